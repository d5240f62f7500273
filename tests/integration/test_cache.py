"""What is cached is fast, shared, and never older than it may be."""
import contextlib
import resource
import select
import socket
import time

import pytest
import requests

from gateway import SLOWNESS, assert_problem
from wait import eventually

NAME = "/v1/regions/AR"


def fresh(one, path=NAME, **options):
    """Over a connection of its own: it may meet any worker."""
    with requests.Session() as session:
        session.trust_env = False
        return one.get(path, session=session, **options)


@pytest.mark.tsan
def test_a_changed_row_is_seen_everywhere_within_a_second_and_a_half(postgres, database, gateway, store):
    everywhere = [gateway(database=database, redis=store, prefix="seen:") for _ in range(2)]
    paths = [NAME, NAME + "/summary", "/v1/regions?q=AR&kind=country"]
    for one in everywhere:
        for path in paths * 6:
            assert fresh(one, path).status_code == 200
    postgres.query(database, "update warehouse.region set name = 'Renamed' where region_id = 'AR'")
    changed = time.monotonic()
    eventually(lambda: all("Renamed" in fresh(one, path).text for one in everywhere for path in paths * 4), within=10, says="the new name everywhere")
    took = time.monotonic() - changed
    assert took < 1.5 * SLOWNESS, f"{took:.2f} s"
    assert all("Renamed" in fresh(one, path).text for one in everywhere for path in paths * 4), "an old answer came back"


def test_data_without_a_version_is_kept_for_its_ttl_only(postgres, database, gateway):
    postgres.query(database, "drop trigger sluice_version on warehouse.region; delete from sluice.dataset_version where relation = 'warehouse.region'")
    one = gateway({"server": {"workers": 1}, "cache": {"ttl": "5s"}}, database=database)
    answer = one.get(NAME)
    assert "ETag" not in answer.headers and answer.headers["Cache-Control"] == "private, max-age=5"
    postgres.query(database, "update warehouse.region set name = 'Renamed' where region_id = 'AR'")
    assert one.json(NAME)["name"] == "Arvonia"
    eventually(lambda: one.json(NAME)["name"] == "Renamed", within=15)


@contextlib.contextmanager
def locked(postgres, database, table):
    """Nobody can read `table` inside."""
    connection = postgres.connect(database)
    connection.autocommit = False
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"lock table {table} in access exclusive mode")
        yield
    finally:
        connection.rollback()
        connection.close()


def read_answers(connections, within):
    """The statuses of the answers on these connections."""
    statuses, waiting, deadline = [], {connection.fileno(): connection for connection in connections}, time.monotonic() + within
    poller = select.poll()
    for number in waiting:
        poller.register(number, select.POLLIN)
    while waiting and time.monotonic() < deadline:
        for number, _ in poller.poll(1000):
            statuses.append(int(waiting[number].recv(65536).split(b" ", 2)[1]))
            poller.unregister(number)
            del waiting[number]
    return statuses


@pytest.mark.tsan
def test_a_thousand_simultaneous_misses_are_one_query(postgres, database, gateway, store):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    one = gateway({"server": {"workers": 1}, "database": {"fast": {"statement_timeout": "60s"}}}, database=database, redis=store)
    one.json("/v1/regions/KE/summary")
    queries = lambda: one.metrics()['sluice_lane_queries_total{lane="fast"}']
    request = f"GET /v1/regions/MO/summary?window=3m HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.token}\r\n\r\n".encode()
    eventually(lambda: one.metrics().get('sluice_requests_total{operation="getRegionSummary",class="2xx"}') == 1)  # counters are published now and then
    before, connections = queries(), []
    try:
        with locked(postgres, database, "warehouse.weather_daily"):
            for _ in range(1000):
                connection = socket.create_connection((one.host, one.port), timeout=30)
                connection.sendall(request)
                connections.append(connection)
            eventually(lambda: one.metrics()["sluice_requests_in_flight"] >= 1000, within=30, says="a thousand requests in flight")
            assert queries() - before == 1
        assert read_answers(connections, 30) == [200] * 1000
        assert queries() - before == 1
    finally:
        for connection in connections:
            connection.close()


def test_stale_answers_stand_in_while_the_database_is_away(own_postgres, gateway, redis, tmp_path):
    from conftest import TEMPLATE, start_gateway

    own_postgres.clone("stale", TEMPLATE)
    one = start_gateway(tmp_path, own_postgres, redis, "stale", {"server": {"workers": 1}})
    try:
        old = one.get("/v1/regions/AR/summary")
        assert one.get(NAME).status_code == 200
        listed = one.get("/v1/regions?kind=country").headers["ETag"]
        own_postgres.query("stale", "update warehouse.region set name = 'Renamed' where region_id = 'AR'")
        own_postgres.query("stale", "checkpoint")  # the tests' servers commit asynchronously
        eventually(lambda: one.get("/v1/regions?kind=country").headers["ETag"] != listed, within=20, says="the new version")
        own_postgres.kill()
        stale = eventually(lambda: (answer := one.get("/v1/regions/AR/summary")).status_code == 200 and answer, says="an answer without the database")
        assert stale.content == old.content
        assert "cache=stale" in stale.headers["Sluice-Plan"] and stale.headers["Cache-Control"] == "no-store"
        away = one.get("/v1/regions/KE/summary")
        assert_problem(away, 503, "unavailable")
        assert int(away.headers["Retry-After"]) >= 1
        assert one.session.get(one.admin + "/readyz", timeout=5).status_code in (200, 503)
        own_postgres.start()
        eventually(lambda: one.json(NAME)["name"] == "Renamed" if one.get(NAME).status_code == 200 else False, within=5 * SLOWNESS, says="the recovery")
    finally:
        one.stop()


def test_an_unknown_region_is_not_remembered_for_ever(postgres, database, gateway):
    one = gateway(database=database)
    assert_problem(one.get("/v1/regions/NEW"), 404)
    postgres.query(database, "insert into warehouse.region (region_id, name, kind) values ('NEW', 'New', 'country')")
    eventually(lambda: fresh(one, "/v1/regions/NEW").status_code == 200, within=10)


def test_the_cache_stays_within_its_memory(gateway):
    # Of 900 queries one may be late on a busy machine, and this is not about the lane's time.
    one = gateway({"server": {"workers": 1}, "cache": {"memory": "1MB"}, "database": {"fast": {"statement_timeout": "10s"}}}, redis=None)
    for days in range(1, 900):
        assert one.get(f"/v1/regions/AR/summary?window={days}d").status_code == 200
    eventually(lambda: one.metrics()["sluice_cache_entries"] > 10)
    assert one.metrics()["sluice_cache_bytes"] <= 1 << 20
