"""Tokens that count no more: told on the command line or the admin listener, heeded by every gateway of the database within a second."""
import json
import time

import pytest

from conftest import NUMBERS, TEMPLATE
from gateway import SLOWNESS, assert_problem, command, token
from servers import Postgres
from wait import eventually

PATH = "/v1/regions?limit=1"
SECOND = 1.0 * SLOWNESS
DOCUMENT = {"Content-Type": "application/json"}


def now():
    return int(time.time())


def fresh(**changes):
    return token(jti=f"id-{next(NUMBERS)}-{now()}", **changes)


def jti_of(bearer):
    import jwt

    return jwt.decode(bearer, options={"verify_signature": False})["jti"]


def admits(one, bearer):
    return one.get(PATH, bearer=bearer).status_code == 200


def assert_revoked(one, bearer, within=SECOND):
    eventually(lambda: one.get(PATH, bearer=bearer).status_code == 401, within=within, says="the revocation")
    problem = assert_problem(one.get(PATH, bearer=bearer), 401, "invalid-token")
    assert "revoked" in problem["detail"]


def revoke(one, *options):
    done = command("token", "revoke", "--config", one.path, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("revoked: "), done.stdout
    return done.stdout


def post(one, document, **headers):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return one.session.post(one.admin + "/revocations", data=body, headers={**DOCUMENT, **headers}, timeout=10)


def test_a_revoked_token_is_refused_by_two_gateways_within_a_second_and_others_are_not(gateway, database):
    one, other = gateway(database=database), gateway(database=database)
    bad, good = fresh(), fresh()
    for each in (one, other):
        assert admits(each, bad) and admits(each, good)  # in the cache of verified tokens
    said = revoke(one, "--jti", jti_of(bad), "--until", str(now() + 600))
    assert jti_of(bad) in said
    for each in (one, other):
        assert_revoked(each, bad)
        assert admits(each, good)
    answer = one.get(PATH, bearer=bad)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert one.record_of(answer)["reason"] == "invalid-token"
    assert one.metrics()["sluice_revocations"] == 1 and one.metrics()["sluice_revoked_total"] >= 1


def test_a_removed_customers_tokens_do_not_open_what_his_namesake_has(gateway, database):
    one = gateway(database=database)
    old = fresh(customer="larch", iat=now() - 5)
    for action in (("add", "larch"), ("remove", "larch")):
        assert command("customer", *action, "--config", one.path).returncode == 0
    assert admits(one, old), "nothing was erased yet"
    removed = command("customer", "remove", "larch", "--yes", "--config", one.path)
    assert removed.returncode == 0 and 'revoked: tokens of the customer "larch"' in removed.stdout, removed
    assert_revoked(one, old)
    assert command("customer", "add", "larch", "--config", one.path).returncode == 0
    assert_revoked(one, old)
    assert admits(one, fresh(customer="larch", iat=now() + 2))


def test_a_subject_is_revoked_by_the_time_of_issue_and_gets_in_with_a_new_token(gateway, database):
    one = gateway(database=database)
    old, neighbour, other = fresh(sub="ann", iat=now() - 60), fresh(sub="bob", iat=now() - 60), fresh(sub="ann", customer="birch", iat=now() - 60)
    undated = fresh(sub="ann", iat=None)
    for each in (old, neighbour, other, undated):
        assert admits(one, each)
    revoke(one, "--customer", "acme", "--subject", "ann", "--before", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now() - 30)))
    assert_revoked(one, old)
    assert not admits(one, undated), "a token that does not say when it was issued counts as old"
    assert admits(one, neighbour) and admits(one, other) and admits(one, fresh(sub="ann", iat=now() - 10))
    newest = fresh(sub="ann", iat=now())  # before the command begins: its end may come seconds after what it takes for now
    revoke(one, "--customer", "acme", "--subject", "ann")  # up to now
    assert_revoked(one, newest)
    time_of_issue = now() + 2  # the issuer's clock, within the leeway
    assert admits(one, fresh(sub="ann", iat=time_of_issue))


def test_a_customer_is_revoked_whole(gateway, database):
    one = gateway(database=database)
    old = [fresh(sub=name, iat=now() - 5) for name in ("ann", "bob")]
    other = fresh(customer="birch", iat=now() - 5)
    assert all(admits(one, each) for each in (*old, other))
    answer = post(one, {"customer": "acme"})
    assert answer.status_code == 201, answer.text
    written = answer.json()
    assert written["kind"] == "customer" and written["customer"] == "acme" and "127.0.0.1" in written["by"] and "subject" not in written
    for each in old:
        assert_revoked(one, each)
    assert admits(one, other)


def test_the_admin_operation_takes_the_same_fields_and_heeds_at_once(gateway, database):
    one = gateway(database=database)
    bearer = fresh()
    assert admits(one, bearer)
    assert post(one, {"jti": jti_of(bearer), "until": now() + 600}).json()["jti"] == jti_of(bearer)
    assert_revoked(one, bearer)
    for wrong, says in ((b"", "JSON"), (b"[]", "JSON"), (b'{"jti": "a", "jti": "b"}', "JSON"), ({}, "jti"), ({"jti": "a", "customer": "acme"}, "either"),
                        ({"jti": 5}, "text"), ({"jti": "a", "until": "tomorrow"}, "2030"), ({"jti": "a", "until": 5}, "past"), ({"customer": "acme", "sub": "x"}, "known here"),
                        ({"subject": "ann"}, "either"), ({"jti": "x" * 256}, "255"), ({"customer": "acme", "before": now() + 10**9}, "further ahead"),
                        ({"customer": "acme", "before": 1}, "nothing to revoke")):
        answer = post(one, wrong)
        assert answer.status_code == 400 and says in answer.json()["error"], (wrong, answer.text)
    assert post(one, {"jti": "a"}, **{"Content-Type": "text/plain"}).status_code == 415, "a page of another site can send that"
    assert one.session.get(one.admin + "/revocations", timeout=10).status_code == 405
    assert post(one, b"x" * 100000).status_code in (400, 413)


def test_what_is_revoked_is_listed_with_who_wanted_it(gateway, database):
    one = gateway(database=database)
    listed = command("token", "revocations", "--config", one.path)
    assert listed.stdout == "nothing is revoked\n"
    revoke(one, "--customer", "acme", "--subject", 'a"\x1b[2J')
    revoke(one, "--jti", "abc")
    listed = command("token", "revocations", "--config", one.path)
    assert listed.stdout.splitlines()[0].startswith('the token "abc"; kept until ') and "\x1b" not in listed.stdout
    rows = json.loads(command("token", "revocations", "--config", one.path, "--json").stdout)
    assert [row["kind"] for row in rows] == ["token", "subject"] and all(row["by"] for row in rows)
    wrong = command("token", "revoke", "--config", one.path, "--jti", "a", "--customer", "acme")
    assert wrong.returncode == 1 and "either" in wrong.stderr


def test_a_revocation_outlives_redis_and_the_gateway(postgres, database, gateway):
    from servers import Redis

    redis = Redis()
    try:
        one = gateway(database=database, redis=redis)
        bearer = fresh()
        assert admits(one, bearer)
        revoke(one, "--jti", jti_of(bearer))
        assert_revoked(one, bearer)
        redis.kill()
        redis.start()
        assert not admits(one, bearer)
        redis.client().flushall()
        assert not admits(one, bearer)
        one.stop()
        again = gateway(database=database, redis=redis)
        assert not admits(again, bearer), "known before the first request"
    finally:
        redis.remove()


def test_the_reader_reads_through_the_function_alone_and_customers_not_at_all(postgres, database):
    from psycopg2 import errors

    for table in ("revocation", "revocation_counter"):
        with pytest.raises(errors.InsufficientPrivilege):
            postgres.query(database, f"set role sluice_reader; select * from sluice.{table}")
    assert postgres.query(database, "set role sluice_reader; select newest from sluice.revocations_since(0, 10)") == [(0,)]
    postgres.query(database, "create role revocation_nobody")
    try:
        postgres.query(database, "grant usage on schema sluice to revocation_nobody")
        for call in ("sluice.revocations_since(0, 1)", "sluice.revoke('customer', 'acme', '', '', 1, 2, 'x')"):
            with pytest.raises(errors.InsufficientPrivilege):
                postgres.query(database, f"set role revocation_nobody; select {call}")
    finally:
        postgres.query(database, "drop owned by revocation_nobody; drop role revocation_nobody")


def test_entries_that_are_written_at_once_are_all_seen_and_old_ones_go(gateway, postgres, database):
    one = gateway(database=database)
    postgres.query(database, f"select sluice.revoke('token', '', '', 'gone-' || n, null, {now() + 1}, 'x') from generate_series(1, 20) n")
    postgres.query(database, f"select sluice.revoke('token', '', '', 'many-' || n, null, {now() + 600}, 'x') from generate_series(1, 12000) n")
    eventually(lambda: one.metrics()["sluice_revocations"] in (12000, 12020), within=10, says="all entries")
    assert not admits(one, token(jti="many-1")) and not admits(one, token(jti="many-12000")) and admits(one, token(jti="many-12001"))
    eventually(lambda: one.metrics()["sluice_revocations"] == 12000, within=10, says="the end of those that had their time")
    revoke(one, "--jti", "last")
    assert postgres.query(database, "select count(*) from sluice.revocation where jti like 'gone-%%'") == [(0,)]


@pytest.fixture
def own_postgres(demo_cluster):
    server = Postgres(template=demo_cluster)
    yield server
    server.remove()


@pytest.mark.parametrize("unknown", ["serve", "refuse"])
def test_while_the_database_is_away_the_last_set_counts_and_then_what_was_configured(own_postgres, tmp_path, unknown):
    from conftest import start_gateway

    database = own_postgres.clone("away", TEMPLATE)
    one = start_gateway(tmp_path, own_postgres, None, database, {"auth": {"revocation": {"max_age": "3s", "when_unknown": unknown}}})
    try:
        bad, good = fresh(), fresh()
        assert admits(one, bad) and admits(one, good)  # the page is in the cache from here on
        revoke(one, "--jti", jti_of(bad))
        assert_revoked(one, bad)
        own_postgres.kill()
        assert not admits(one, bad), "the last set stands"
        if unknown == "serve":
            eventually(lambda: one.metrics()["sluice_revocations_age_milliseconds"] > 4000, within=20)
            assert_problem(one.get(PATH, bearer=bad), 401, "invalid-token")
            assert one.get(PATH, bearer=good).status_code != 401
        else:
            eventually(lambda: one.get(PATH, bearer=good).status_code == 503 and "revoked" in one.get(PATH, bearer=good).json()["detail"], within=20, says="the refusal")
            assert one.metrics()["sluice_revocations_age_milliseconds"] >= 3000, "what was known counted so long"
            assert one.get("/v1/openapi.json", headers={"Authorization": None}).status_code == 200, "what needs no token is served"
        ready = one.session.get(one.admin + "/readyz", timeout=5)
        assert ready.json()["revocations"] == "not known"
        own_postgres.start()
        eventually(lambda: admits(one, good), within=20, says="the database's return")
        eventually(lambda: one.session.get(one.admin + "/readyz", timeout=5).json()["revocations"] == "known", within=10)
        assert not admits(one, bad)
    finally:
        one.stop()
