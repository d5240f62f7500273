"""The audit log of a running gateway: every request once, also over crashes, full disks and a lost database; anchors, shipping, erasure, and GET /v1/audit."""
import json
import resource
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest

from calls import DORA, EMIL, SCOPES, ask, opened
from conftest import TEMPLATE
from gateway import SLOWNESS, assert_problem, command, token
from servers import Postgres
from wait import eventually

WITHIN = 10 * SLOWNESS
READ_AUDIT = "audit:read"


def folder_of(one):
    return Path(one.config["audit"]["folder"])


def grep(one, *options):
    done = command("audit", "grep", "--config", one.path, *options, binary=one.binary)
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def verify(one, *options):
    return command("audit", "verify", "--config", one.path, *options, binary=one.binary)


def good(one, *options):
    done = verify(one, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def told(one):
    """Request ids of "request" records, counted."""
    return Counter(line["request_id"] for line in grep(one, "--event", "request"))


def anchored(one):
    return one.metrics().get("sluice_audit_last_anchor_timestamp_seconds", 0) > 0


def entries(postgres, database, where="true"):
    return [row[0] for row in postgres.query(database, f"select entry from sluice.audit_entry where {where} order by chain, seq")]


@pytest.fixture
def own(gateway, database):
    """Gateways on a database of their own."""
    return lambda changes=None, **more: gateway(changes, database=database, **more)


def test_every_request_of_a_session_is_in_the_log_once(own):
    one = own()
    seen = []
    for path, options in [("/v1/regions/AR", {}), ("/v1/regions/none", {}), ("/v1/regions/AR", {"bearer": "no.token.here"}), ("/v1/nothing", {}), ("/v1/regions?limit=x", {}),
                          ("/v1/datasets", {"method": "HEAD"}), ("/v1/regions/AR", {"method": "DELETE"}), ("/v1/datasets/weather_daily?limit=3", {}),
                          ("/v1/datasets/weather_daily", {"headers": {"Accept": "application/x-ndjson"}}), ("/v1/openapi.json", {})]:
        answer = one.get(path, **options)
        seen.append((answer.headers["X-Request-Id"], answer.status_code))
    tag = one.get("/v1/regions/AR").headers.get("ETag")
    kept = one.get("/v1/regions/AR", headers={"If-None-Match": tag}) if tag else None
    if kept is not None:
        seen.append((kept.headers["X-Request-Id"], kept.status_code))
    eventually(lambda: all(count == 1 for count in (told(one)[request_id] for request_id, _ in seen)), within=WITHIN, says="each answer's record")
    records = {line["request_id"]: line for line in grep(one, "--event", "request")}
    assert [(request_id, records[request_id]["status"]) for request_id, _ in seen] == seen
    denied = records[seen[2][0]]
    assert denied["status"] == 401 and denied["reason"] and "customer" not in denied
    assert records[seen[0][0]]["customer"] == "acme" and records[seen[0][0]]["subject"] != "user-1" and records[seen[0][0]]["operation"] == "getRegion"
    assert "user-1" not in "".join(path.read_text() for path in folder_of(one).glob("*.jsonl"))
    assert " 0 bad places" in good(one)
    one.stop()
    assert max(told(one).values()) == 1 and " 0 bad places" in good(one) and "(0 being written)" in good(one)


def test_a_refusal_by_the_limits_is_in_the_log(own):
    one = own({"limits": {"tiers": {"test": {"rates": [{"rate": "1/h", "burst": 1}]}}}})  # however slowly they come
    answers = [one.get("/v1/regions/AR") for _ in range(5)]
    refused = [answer.headers["X-Request-Id"] for answer in answers if answer.status_code == 429]
    assert refused
    found = eventually(lambda: {line["request_id"] for line in grep(one, "--status", "429")} >= set(refused), within=WITHIN, says="the refusals' records")
    assert found


def test_every_operation_is_in_the_log_once_and_writes_with_their_intent(postgres, redis, tmp_path):
    from calls import CALLS

    with opened(tmp_path, postgres, redis) as one:
        seen = {}
        for name, call in CALLS.items():
            answer = ask(one, call)
            assert answer.status_code == call.status, f"{name}: {answer.text[:500]}"
            seen[answer.headers["X-Request-Id"]] = (name, call)
        eventually(lambda: set(told(one)) >= set(seen), within=WITHIN, says="each operation's record")
        counts, intents = told(one), Counter(line["request_id"] for line in grep(one, "--event", "intent"))
        for request_id, (name, call) in seen.items():
            assert counts[request_id] == 1, name
            if call.method in ("PUT", "DELETE", "PATCH"):
                assert intents[request_id] == 1, name
        assert " 0 bad places" in good(one)


def test_a_killed_gateways_log_is_ended_at_the_next_start(own):
    one = own()
    for _ in range(20):
        assert one.get("/v1/regions/AR").status_code == 200
    before = eventually(lambda: len(found := told(one)) >= 20 and found, within=WITHIN, says="the records")
    one.kill()
    assert verify(one).returncode == 1  # its chains have no end
    again = own()
    eventually(lambda: '"event":"audit_recovered"' in again.errors(), within=WITHIN, says="the event")
    assert " 0 bad places" in good(again)
    ends = [line for line in grep(again, "--event", "end") if line.get("crash")]
    assert len(ends) >= 3  # two workers and the keeper
    assert told(again) == before


def test_a_request_that_a_kill_cut_off_is_named_as_lost(own):
    one = own()
    connection = one.connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(f"GET /v1/datasets/weather_daily?select=*,a:region_id,b:region_id HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.token}\r\n\r\n".encode())
    intent = eventually(lambda: grep(one, "--event", "intent"), within=WITHIN, says="the intent")[0]
    assert intent["operation"] == "readDataset" and intent["request_id"] not in told(one)
    one.kill()
    connection.close()
    again = own()
    lost = grep(again, "--event", "lost")
    assert [(line["request_id"], line["intent"]) for line in lost] == [(intent["request_id"], intent["seq"])]
    assert "1 requests lost by crashes" in good(again)


def limit_files(one, size):
    """What a full disk does to the log: no file of the process grows past `size`."""
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.fixture
def fillable(own, tmp_path):
    """A gateway whose files can be bounded: its other logs do not grow."""

    def start(on_full):
        return own({"audit": {"on_full": on_full}, "log": {"requests": "off", "level": "error"}})

    return start


def ignores_sigxfsz(one):
    mask = next(line for line in Path(f"/proc/{one.process.pid}/status").read_text().splitlines() if line.startswith("SigIgn"))
    return int(mask.split()[1], 16) >> (signal.SIGXFSZ - 1) & 1


def test_a_full_disk_refuses_and_says_so_and_it_works_again_after(fillable):
    one = fillable("refuse")
    assert ignores_sigxfsz(one), "a limit of a file's size must be an error, not the end"
    assert one.get("/v1/regions/AR").status_code == 200
    limit_files(one, max(path.stat().st_size for path in folder_of(one).glob("*.jsonl")))
    [refused] = eventually(lambda: (answer := one.get("/v1/regions/AR")).status_code == 503 and [answer], within=WITHIN, says="a refusal")
    assert_problem(refused, 503, "unrecorded")
    eventually(lambda: one.session.get(one.admin + "/readyz").json()["audit"] == "failing", within=WITHIN, says="/readyz")
    assert one.session.get(one.admin + "/readyz").status_code == 503
    assert one.metrics()["sluice_audit_up"] == 0 and one.metrics()["sluice_audit_failures_total"] > 0
    limit_files(one, resource.RLIM_INFINITY)
    after = eventually(lambda: (answer := one.get("/v1/regions/AR")).status_code == 200 and answer, within=WITHIN, says="an answer")
    eventually(lambda: one.session.get(one.admin + "/readyz").json()["audit"] == "up", within=WITHIN, says="/readyz")
    eventually(lambda: told(one)[after.headers["X-Request-Id"]] == 1, within=WITHIN, says="the answer's record")
    assert refused.headers["X-Request-Id"] not in told(one)
    assert " 0 bad places" in good(one)


def test_a_write_that_cannot_be_recorded_is_not_carried_out(postgres, redis, tmp_path):
    with opened(tmp_path, postgres, redis, {"log": {"requests": "off", "level": "error"}, "server": {"workers": 1}}) as one:
        files = [path for path in folder_of(one).glob("*-w0-*.jsonl")]
        limit_files(one, files[0].stat().st_size)
        refused = one.get("/v1/analytics/unheard", method="PUT", json={"sql": "select 1 as one", "as": "view"})
        assert_problem(refused, 503, "unrecorded")
        limit_files(one, resource.RLIM_INFINITY)
        eventually(lambda: one.get("/v1/analytics/unheard").status_code == 404, within=WITHIN, says="that it is not there")
        assert one.get("/v1/analytics/unheard", method="PUT", json={"sql": "select 1 as one", "as": "view"}).status_code == 201
        assert " 0 bad places" in good(one)


def test_a_full_disk_may_be_passed_over(fillable):
    one = fillable("continue")
    assert one.get("/v1/regions/AR").status_code == 200
    limit_files(one, max(path.stat().st_size for path in folder_of(one).glob("*.jsonl")))

    def ready_and_failing():
        assert one.get("/v1/regions/AR").status_code == 200
        answer = one.session.get(one.admin + "/readyz")
        return answer.status_code == 200 and answer.json()["audit"] == "failing"

    eventually(ready_and_failing, within=WITHIN, says="failing, and an answer, and readiness")
    limit_files(one, resource.RLIM_INFINITY)
    eventually(lambda: one.session.get(one.admin + "/readyz").json()["audit"] == "up", within=WITHIN, says="/readyz")
    assert " 0 bad places" in good(one)


def test_records_are_shipped_once_over_the_databases_death(demo_cluster, tmp_path, redis):
    from conftest import start_gateway

    server = Postgres(template=demo_cluster)
    one = None
    try:
        database = server.clone("ship", TEMPLATE)
        one = start_gateway(tmp_path, server, redis, database, {"audit": {"segment_size": "64KB"}})
        for _ in range(100):
            assert one.get("/v1/regions/AR").status_code == 200
        server.kill()
        for _ in range(300):
            one.get("/v1/regions?q=x")
        eventually(lambda: one.metrics()["sluice_audit_ship_lag_records"] > 0, within=WITHIN, says="the lag")
        server.start()
        for _ in range(50):
            one.get("/v1/regions/AR")
        eventually(lambda: one.metrics()["sluice_audit_ship_lag_records"] == 0, within=2 * WITHIN, says="all shipped")

        def in_both():
            """The lag is told by the keeper's last turn: what was asked since is still on its way. What is doubled or lost stays so."""
            in_files = told(one)
            return Counter(entry["request_id"] for entry in entries(server, database, "event = 'request'")) == in_files and in_files

        assert set(eventually(in_both, within=2 * WITHIN, says="the same records in files and database").values()) == {1}
        assert server.query(database, "select count(*) = max(seq) - min(seq) + 1 from sluice.audit_entry group by chain having count(*) <> max(seq) - min(seq) + 1") == []
        one.stop()
        one = start_gateway(tmp_path, server, redis, database, {})
        ended = "select count(*) from sluice.audit_shipped where ended"
        eventually(lambda: server.query(database, ended)[0][0] == 3, within=WITHIN, says="the former chains' ends")  # what the stop wrote
        assert " 0 bad places" in good(one)
    finally:
        if one is not None:
            one.stop()
        server.remove()


@pytest.mark.tsan
def test_segments_are_compressed_and_deleted_by_the_rule(own):
    one = own({"audit": {"segment_size": "64KB", "keep_size": "20KB"}, "log": {"requests": "off"}})

    def some():
        for _ in range(200):
            one.get("/v1/regions/AR")
        metrics = one.metrics()  # a segment may be too old before the keeper came to compress it
        return metrics["sluice_audit_segments_deleted_total"] >= 2 and metrics["sluice_audit_segments_compressed_total"] >= 2

    eventually(some, within=6 * WITHIN, says="deletions, and compressed segments")
    assert " 0 bad places" in good(one)
    one.stop()
    assert " 0 bad places" in good(one)


def cut_tail(one):
    """A worker's chain loses its last records, and its end is made good again where no key is needed for that."""
    chain = max(folder_of(one).glob("*-w*.jsonl"), key=lambda path: path.stat().st_size)
    lines = chain.read_bytes().splitlines(keepends=True)
    chain.write_bytes(b"".join(lines[: len(lines) // 2]))
    return chain


@pytest.mark.parametrize("place", ["file", "database"])
def test_a_tail_that_was_cut_off_is_named_by_the_anchors(own, postgres, database, tmp_path, place):
    anchors = tmp_path / "anchors"

    def anchored_to():
        """The number of the worker's newest anchor."""
        if place == "database":
            return postgres.query(database, "select coalesce(max(seq), 0) from sluice.audit_anchor where chain like '%-w0'")[0][0]
        whole, _, _ = anchors.read_text().rpartition("\n")
        return max((int(line.split()[1]) for line in whole.splitlines() if line.split()[0].endswith("-w0")), default=0)

    one = own({"server": {"workers": 1}, "audit": {"anchors": {"every": "100ms", **({"file": str(anchors)} if place == "file" else {})}}})
    for _ in range(20):
        one.get("/v1/regions/AR")
    records = eventually(lambda: len(found := grep(one, "--event", "request")) >= 20 and found, within=WITHIN, says="the records")
    last = max(line["seq"] for line in records)
    eventually(lambda: anchored_to() >= last, within=WITHIN, says="an anchor behind the records")  # the next one may have been begun before they came
    options = ("--anchors", anchors, "--no-anchors") if place == "file" else ()
    assert " 0 bad places" in good(one, *options)
    one.kill()
    chain = cut_tail(one)
    again = own({"server": {"workers": 1}, "audit": {"anchors": {"every": "100ms"}}})  # its recovery ends the chain under the key
    assert verify(again, "--no-anchors").returncode == 0  # without anchors nobody sees it
    done = verify(again, *options)
    assert done.returncode == 1 and chain.name.split("-000001")[0] in done.stdout, done.stdout


def test_a_person_is_erased_everywhere_and_the_chain_holds(own):
    one = own()
    person = token(sub="ann", customer="acme")
    assert one.get("/v1/regions/AR", bearer=person).status_code == 200
    who = ("--customer", "acme", "--subject", "ann")
    before = eventually(lambda: grep(one, *who), within=WITHIN, says="the person's records")
    pseudonym = before[0]["subject"]
    erased = command("customer", "erase-subject", "--customer", "acme", "--subject", "ann", "--config", one.path)
    assert erased.returncode == 0, erased.stderr
    # The gateway's keeper may have heard of it and been first.
    assert "erasure 1:" in erased.stdout and ("nobody's" in erased.stdout or "does not know this person" in erased.stdout)
    gone = command("audit", "grep", *who, "--config", one.path)
    assert gone.returncode == 2 and gone.stdout == "" and "erased" in gone.stderr
    eventually(lambda: (folder_of(one) / "erased").is_file(), within=WITHIN, says="the keeper's mark")
    answer = one.get("/v1/regions/AR", bearer=person)
    after = eventually(lambda: grep(one, "--request-id", answer.headers["X-Request-Id"]), within=WITHIN, says="the record")
    assert after[0]["subject"] not in (pseudonym, "ann")
    assert grep(one, "--pseudonym", pseudonym)  # what it says stays, of nobody
    assert " 0 bad places" in good(one)
    assert (folder_of(one) / "subjects").stat().st_mode & 0o777 == 0o600
    for wrong in (["--customer", "acme"], ["--subject", "ann"]):
        assert command("customer", "erase-subject", *wrong, "--config", one.path).returncode == 2


@pytest.mark.tsan
def test_every_gateway_forgets_a_person(own, tmp_path):
    ones = [own({"audit": {"folder": str(tmp_path / f"audit-{name}"), "instance": name}}) for name in ("north", "south")]
    person = token(sub="ann", customer="acme")

    def name_now(one):
        answer = one.get("/v1/regions/AR", bearer=person)
        return eventually(lambda: grep(one, "--request-id", answer.headers["X-Request-Id"]), within=WITHIN, says="the record")[0]["subject"]

    before = [name_now(one) for one in ones]
    assert before == [name_now(one) for one in ones]
    erased = command("customer", "erase-subject", "--customer", "acme", "--subject", "ann", "--config", ones[0].path)
    assert erased.returncode == 0, erased.stderr
    for one, name in zip(ones, before):
        eventually(lambda: name_now(one) != name, within=WITHIN, every=0.1, says="another pseudonym")
        settled = name_now(one)
        eventually(lambda: (folder_of(one) / "erased").is_file(), within=WITHIN, says="the keeper's mark")
        assert name_now(one) == settled and " 0 bad places" in good(one)
    other = token(sub="bob", customer="acme")
    assert ones[0].get("/v1/regions/AR", bearer=other).status_code == 200


def test_the_gateways_login_may_only_add(own, postgres, database):
    import psycopg2

    from servers import READER_PASSWORD

    own()
    connection = psycopg2.connect(host="127.0.0.1", port=postgres.port, dbname=database, user="sluice_reader", password=READER_PASSWORD)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for sql in ("select * from sluice.audit_entry", "delete from sluice.audit_anchor", "insert into sluice.audit_entry default values", "update sluice.audit_shipped set seq = 0",
                    "select * from sluice.audit_erasure", "select sluice.audit_erase('acme', 'aa')", "select sluice.audit_expire(0)", "truncate sluice.audit_anchor"):
            with pytest.raises(psycopg2.Error):
                cursor.execute(sql)
    connection.close()


# GET /v1/audit


@pytest.fixture(scope="module")
def shop(postgres, redis, tmp_path_factory):
    with opened(tmp_path_factory.mktemp("audit"), postgres, redis) as one:
        answers = [one.get(f"/v1/regions/{region}", bearer=token(customer=who, scope="regions:read")) for who in (DORA, EMIL) for region in ("AR-north-1", "AR-north-2", "none")]
        answers.append(one.get(f"/v1/datasets/uploads.{EMIL}secret", bearer=token(customer=EMIL, scope=SCOPES)))
        asked = {answer.headers["X-Request-Id"] for answer in answers}
        eventually(lambda: asked <= {entry["request_id"] for entry in entries(one.postgres, one.database, "event = 'request'")}, within=WITHIN, says="the records in the database")
        yield one


def as_admin(one, path, who=DORA, **options):
    return one.get(path, bearer=token(customer=who, scope=READ_AUDIT), **options)


def test_an_administrator_reads_his_customers_records(shop):
    answer = as_admin(shop, "/v1/audit?operation=eq.getRegion&event=eq.request&select=operation,status,subject&order=seq")
    assert answer.status_code == 200, answer.text
    assert sorted(row["status"] for row in answer.json()) == [200, 200, 404] or Counter(row["status"] for row in answer.json())[404] >= 1
    assert all(row["subject"] != "user-1" for row in answer.json())
    csv = as_admin(shop, "/v1/audit?select=operation,status&limit=2&operation=eq.getRegion", headers={"Accept": "text/csv"})
    assert csv.status_code == 200 and csv.text.startswith("operation,status\ngetRegion,")


def test_pages_lead_on_to_the_end(shop):
    whole = as_admin(shop, "/v1/audit?select=chain,seq&time=lt.2100-01-01&operation=eq.getRegion&order=chain,seq").json()
    path, walked = "/v1/audit?select=chain,seq&time=lt.2100-01-01&operation=eq.getRegion&order=chain,seq&limit=1", []
    while path is not None:
        answer = as_admin(shop, path)
        assert answer.status_code == 200, answer.text
        walked += answer.json()
        link = answer.headers.get("Link")
        path = link[1 : link.index(">")] if link else None
        assert path is None or path.startswith("/v1/audit?")
    assert walked == whole and len(whole) >= 3


def test_nobody_reads_anothers_records(shop):
    own_rows, others = (as_admin(shop, "/v1/audit?select=request_id&limit=1000", who).json() for who in (DORA, EMIL))
    assert own_rows and others and not {row["request_id"] for row in own_rows} & {row["request_id"] for row in others}
    assert EMIL not in as_admin(shop, "/v1/audit?limit=1000&operation=eq.getRegion").text
    for who in ("", "nobody", "CALLEMIL", "callemil "):
        answer = as_admin(shop, "/v1/audit?limit=1000&time=lt.2026-01-01", who)
        assert answer.status_code in (401, 403) or answer.json() == []


def test_without_the_scope_it_is_denied(shop):
    for scope in ("regions:read datasets:read", "audit", "audit:readx"):
        assert_problem(shop.get("/v1/audit", bearer=token(customer=DORA, scope=scope)), 403)
    assert shop.get("/v1/audit", headers={"Authorization": None}).status_code == 401
    for name in ("audit", "sluice.audit", "audit.audit"):  # no other way leads there
        answer = shop.get(f"/v1/datasets/{name}", bearer=token(customer=DORA, scope=SCOPES))
        assert answer.status_code == 404, answer.text


def test_wrong_filters_are_told(shop):
    assert_problem(as_admin(shop, "/v1/audit?nothing=eq.1"), 400)
    assert_problem(as_admin(shop, "/v1/audit?status=eq.x"), 400)
