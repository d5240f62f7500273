"""SIGHUP: the configuration is taken over as a whole, or not at all, and no request is dropped for it."""
import signal
import ssl
import subprocess

import jwt
import pytest
import requests
import yaml

from gateway import ISSUER, PATIENT, SECRET, SLOWNESS, assert_problem, claims, issuer, merge, token, write_secret
from load import Callers
from wait import eventually, free_port

SUMMARY = "/v1/regions/AR/summary"


def outcomes(one):
    metrics = one.metrics()
    return metrics['sluice_reloads_total{outcome="done"}'], metrics['sluice_reloads_total{outcome="refused"}']


def write(one, changes=None, text=None):
    one.config = merge(one.config, changes or {})
    one.path.write_text(text if text is not None else yaml.safe_dump(one.config, sort_keys=False))


def hang_up(one):
    """SIGHUP, and its end: "done" or "refused"."""
    before = outcomes(one)
    one.process.send_signal(signal.SIGHUP)
    after = eventually(lambda: (now := outcomes(one)) != before and now, within=20, says="the reload's end")
    assert sum(after) == sum(before) + 1
    return "done" if after[0] > before[0] else "refused"


def reload(one, changes=None, text=None):
    write(one, changes, text)
    return hang_up(one)


def everywhere(one, ask, calls=24):
    """What `ask` says of answers on that many new connections: the kernel spreads them over the workers."""
    said = set()
    for _ in range(calls):
        with requests.Session() as session:
            session.trust_env = False
            said.add(ask(session))
    return said


def says(one, words):
    """Why a reload was refused: the log is written by a thread of its own."""
    eventually(lambda: any('"event":"reload_refused"' in line and words in line for line in one.errors().splitlines()), says=f"{words} in the log")


def policies(one):
    return everywhere(one, lambda session: one.get(SUMMARY, session=session).headers["RateLimit-Policy"])


def tier(rate, burst):
    return {"limits": {"tiers": {"test": {"rates": [{"rate": rate, "burst": burst}], "quotas": []}}}}


def counted(store):
    """Patience with Redis: an answer of it that comes late makes a worker count by itself, from the beginning."""
    return {"redis": {"timeout": "20s"}} if store is not None else {}


@pytest.mark.tsan
def test_a_changed_limit_counts_on_all_workers_within_a_second(gateway):
    one = gateway({"server": {"workers": 4}})
    assert policies(one) == {'"second";q=100000;w=1;burst=100000'}
    write(one, tier("70000/s", 90000))
    one.process.send_signal(signal.SIGHUP)
    eventually(lambda: outcomes(one)[0] == 1, within=2 * SLOWNESS, says="the reload's end")
    assert policies(one) == {'"second";q=70000;w=1;burst=90000'}
    eventually(lambda: '"event":"reloaded"' in one.errors(), says="the log's line")


def test_what_a_caller_has_used_up_stays_used_up_where_his_limit_is_the_same(gateway, store):
    one = gateway({**tier("3/h", 3), **counted(store)}, redis=store)
    assert [one.get(SUMMARY).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert reload(one, {"limits": {"default_tier": "test", "address": None}}) == "done"
    assert one.get(SUMMARY).status_code == 429
    assert reload(one, tier("1000/s", 1000)) == "done"
    assert one.get(SUMMARY).status_code == 200


def test_weights_and_the_address_limit_change(gateway):
    one = gateway({"limits": {"weights": {}}, **counted(True)})
    assert one.get(SUMMARY).status_code == 200
    assert reload(one, {"limits": {"weights": {"getRegionSummary": 200000}}}) == "done"
    assert_problem(one.get(SUMMARY), 429, "rate-limited")
    assert reload(one, {"limits": {"weights": {"getRegionSummary": 1}, "address": {"rate": "1/h", "burst": 1, "exempt": []}}}) == "done"
    assert [one.get(SUMMARY).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("text,words", [
    ("server: [", "sluice-"), ("limits: {default_tier: nothing}", "nothing"), ("sever: {}", "did you mean server"),
    ("", "empty")])
def test_a_bad_file_keeps_what_was_and_says_why(gateway, text, words):
    one = gateway()
    good = one.path.read_text()
    loaded = one.metrics()["sluice_config_loaded_timestamp_seconds"]
    assert reload(one, text=text) == "refused"
    says(one, words)
    assert one.get(SUMMARY).status_code == 200
    assert one.metrics()["sluice_config_loaded_timestamp_seconds"] == loaded
    assert reload(one, text=good) == "done"
    # The reload counts as done when the workers have it; the control thread, which tells of it, takes it over a moment later.
    eventually(lambda: one.metrics()["sluice_config_loaded_timestamp_seconds"] > loaded, says="the new time")


@pytest.mark.parametrize("changes,key", [
    ({"server": {"workers": 3}}, "server.workers"),
    ({"server": {"listen": "127.0.0.1:1"}}, "server.listen"),
    ({"server": {"ingest": {"listen": "127.0.0.1:1"}}}, "server.ingest.listen"),
    ({"database": {"name": "elsewhere"}}, "database.name"),
    ({"uploads": {"spool_size": "2GB"}}, "uploads.spool_size"),
    ({"audit": {"folder": "/nowhere"}}, "audit.folder"),
    ({"log": {"requests": "off"}}, "log.requests"),
    ({"warehouse": {"schemas": ["serving", "public"]}}, "warehouse.schemas")])
def test_a_key_that_only_the_start_reads_refuses_the_whole_and_is_named(gateway, changes, key):
    one = gateway()
    assert reload(one, merge(changes, tier("5/s", 5))) == "refused"
    says(one, f"{key}: differs, and needs a restart")
    assert policies(one) == {'"second";q=100000;w=1;burst=100000'}


def test_an_operation_that_is_not_there_and_a_key_file_that_is_bad_refuse(gateway, tmp_path):
    one = gateway()
    assert reload(one, {"limits": {"weights": {"getNothing": 2}}}) == "refused"
    says(one, "limits.weights.getNothing")
    one.config["limits"]["weights"] = {}
    (tmp_path / "token.key").write_text("short")
    assert hang_up(one) == "refused"
    assert one.get(SUMMARY).status_code == 200, "the key of before still counts"
    (tmp_path / "token.key").write_text(SECRET)
    assert reload(one) == "done"


def test_a_key_comes_and_goes(gateway, tmp_path):
    one = gateway()
    second = "another secret of the tests, 64 bytes long, which comes with a reload"
    old = {"kid": "test-1", "algorithm": "HS256", "file": str(tmp_path / "token.key")}
    new = {"kid": "test-2", "algorithm": "HS256", "file": write_secret(tmp_path, "second.key", second)}
    with_new = token(key=second, kid="test-2")
    status = lambda bearer: everywhere(one, lambda session: one.get(SUMMARY, bearer=bearer, session=session).status_code)
    assert (status(one.token), status(with_new)) == ({200}, {401})
    assert reload(one, {"auth": {"issuers": [issuer(keys=[old, new])]}}) == "done"
    assert (status(one.token), status(with_new)) == ({200}, {200})
    assert reload(one, {"auth": {"issuers": [issuer(keys=[new])]}}) == "done"
    assert (status(one.token), status(with_new)) == ({401}, {200})


def test_the_content_of_a_key_file_changes_under_its_name(gateway, tmp_path):
    one = gateway()
    assert one.get(SUMMARY).status_code == 200
    fresh = "a third secret of the tests, 64 bytes long, under the name of the first"
    write_secret(tmp_path, "token.key", fresh)
    assert hang_up(one) == "done"
    assert one.get(SUMMARY).status_code == 401
    assert one.get(SUMMARY, bearer=token(key=fresh)).status_code == 200


@pytest.mark.tsan
def test_an_issuer_comes_with_its_audience_and_its_tier(gateway, tmp_path):
    one = gateway()
    keys = [{"kid": "other-1", "algorithm": "HS256", "file": write_secret(tmp_path, "other.key", SECRET)}]
    other = issuer(keys=keys, issuer="https://other.test", audience="lake", customer="fixed", tier="test")
    other.pop("customer_claim", None)
    bearer = jwt.encode({**claims(iss="https://other.test", aud="lake"), }, SECRET, algorithm="HS256", headers={"kid": "other-1"})
    assert one.get(SUMMARY, bearer=bearer).status_code == 401
    assert reload(one, {"auth": {"issuers": [*one.config["auth"]["issuers"], other]}}) == "done"
    assert one.get(SUMMARY, bearer=bearer).status_code == 200
    assert one.get(SUMMARY).status_code == 200


def make_certificate(folder, name):
    """The certificate's and the key's paths."""
    key, signed = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", signed], check=True, capture_output=True)
    key.chmod(0o600)
    return signed, key


def shown_certificate(one, port=None):
    return ssl.get_server_certificate((one.host, port or one.port), timeout=10)


def test_new_connections_get_the_new_certificate_and_old_ones_go_on(gateway, tmp_path):
    first, second = make_certificate(tmp_path, "first"), make_certificate(tmp_path, "second")
    used = tmp_path / "used.crt", tmp_path / "used.key"
    for source, target in zip(first, used):
        target.touch(mode=0o600)
        target.write_bytes(source.read_bytes())
    ingest = free_port()
    one = gateway({"server": {"ingest": {"listen": f"127.0.0.1:{ingest}"}, "tls": {"certificate": str(used[0]), "key": str(used[1])}}})
    assert shown_certificate(one, ingest) == first[0].read_text()
    one.base = one.base.replace("http:", "https:")
    with requests.Session() as kept:
        kept.trust_env = False
        assert one.get(SUMMARY, session=kept, verify=str(first[0])).status_code == 200
        before = kept.get_adapter(one.base).poolmanager.pools
        for source, target in zip(second, used):
            target.write_bytes(source.read_bytes())
        assert hang_up(one) == "done"
        assert {shown_certificate(one) for _ in range(12)} == {shown_certificate(one, ingest)} == {second[0].read_text()}
        assert one.get(SUMMARY, session=kept, verify=str(first[0])).status_code == 200, "on the connection of before"
        assert sum(before[key].num_connections for key in before.keys()) == 1
    used[1].write_bytes(first[1].read_bytes())
    assert hang_up(one) == "refused", "a key that does not fit its certificate"
    assert shown_certificate(one) == second[0].read_text()


def test_from_plain_to_tls_needs_a_restart(gateway, tmp_path):
    signed, key = make_certificate(tmp_path, "late")
    one = gateway()
    assert reload(one, {"server": {"tls": {"certificate": str(signed), "key": str(key)}}}) == "refused"
    says(one, "from plain to TLS")


def test_what_is_told_of_datasets_origins_and_pages_changes(gateway):
    one = gateway()
    origin = {"Origin": "https://shop.test"}
    assert "Access-Control-Allow-Origin" not in one.get(SUMMARY, headers=origin).headers
    before = one.json("/v1/datasets/weather_daily/schema")
    assert reload(one, {"cors": {"origins": ["https://shop.test"]}, "paging": {"max_limit": 2}, "server": {"max_uri": 300},
                        "warehouse": {"datasets": {"weather_daily": {"expected_lag": "9d"}}}}) == "done"
    assert one.get(SUMMARY, headers=origin).headers["Access-Control-Allow-Origin"] == "https://shop.test"
    assert one.json("/v1/datasets/weather_daily/schema") != before
    assert len(one.json("/v1/regions?limit=100")) == 2
    assert_problem(one.get("/v1/regions?q=" + "x" * 400), 414)


def test_a_request_under_way_ends_under_what_it_began_with(gateway):
    one = gateway(redis=None)
    with one.connect(timeout=60) as connection:
        connection.sendall(f"GET /v1/datasets/weather_daily HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.token}\r\nAccept: text/csv\r\n\r\n".encode())
        received = connection.recv(1024)
        for number in range(5):
            assert reload(one, tier(f"{1000 + number}/s", 1000 + number)) == "done"
        while not received.endswith(b"\r\n0\r\n\r\n"):
            chunk = connection.recv(1 << 20)
            assert chunk, "the answer was cut"
            received += chunk
    assert received.startswith(b"HTTP/1.1 200")
    assert b'RateLimit-Policy: "second";q=100000;w=1;burst=100000'.lower() in received.partition(b"\r\n\r\n")[0].lower()


@pytest.mark.tsan
def test_a_hundred_reloads_under_load_fail_no_request(gateway, redis):
    one = gateway({"database": PATIENT}, redis=redis)
    with Callers(one, 8) as callers:
        for number in range(100):
            key = {"kid": f"extra-{number % 3}", "algorithm": "HS256", "file": one.config["auth"]["issuers"][0]["keys"][0]["file"]}
            keys = [one.config["auth"]["issuers"][0]["keys"][0], key]
            changes = merge(tier(f"{100000 + number}/s", 100000), {"auth": {"issuers": [issuer(keys=keys)]}, "warehouse": {"catalog_check": f"{400 + number % 2}ms"}})
            assert reload(one, changes) == "done"
    assert callers.failures == []
    assert callers.answered > 100


def test_many_reloads_leave_memory_and_descriptors_as_they_were(gateway):
    one = gateway(redis=None)
    path, text = one.path, []
    for number in range(2):
        write(one, merge(tier(f"{100000 + number}/s", 100000), {"warehouse": {"catalog_check": f"{400 + number}ms"}, "auth": {"leeway": f"{20 + number}s"}}))
        text.append(path.read_text())

    def many(count):
        for number in range(count):
            path.write_text(text[number % 2])
            done = one.metrics()['sluice_reloads_total{outcome="done"}']
            one.process.send_signal(signal.SIGHUP)
            eventually(lambda: one.metrics()['sluice_reloads_total{outcome="done"}'] == done + 1, within=20, every=0.001)
            if number % 10 == 0:
                assert one.get(SUMMARY).status_code == 200

    descriptors = lambda: len(list((path.parent / "/proc" / str(one.process.pid) / "fd").iterdir()))
    many(150)  # a sanitizer keeps what is freed for a while
    before, open_before = one.memory(), descriptors()
    many(850 if SLOWNESS == 1 else 150)
    assert one.memory() - before < (2 << 20) + (60 << 20) * (SLOWNESS > 1)
    eventually(lambda: abs(descriptors() - open_before) <= 4, within=10, says="as many descriptors as before")
