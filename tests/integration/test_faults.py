"""Servers that die, clients that leave, queues that are full: others go on, and recovery needs nobody."""
import select
import os
import socket
import statistics
import threading
import time

import pytest
import requests

from conftest import TEMPLATE, start_gateway
from gateway import PATIENT, RELEASE_BINARY, SANITIZE, SLOWNESS, assert_problem
from test_cancellation import own_cancel
from wait import eventually

CACHED = "/v1/regions/AR/summary?window=7d"


class Load:
    """Threads that ask one path after the other until they are stopped, and count what comes."""

    def __init__(self, gateway, paths, threads=4):
        self.gateway, self.stopping, self.lock = gateway, threading.Event(), threading.Lock()
        self.counts, self.strange = {}, []
        self.threads = [threading.Thread(target=self.run, args=(paths[index % len(paths)],), daemon=True) for index in range(threads)]

    def run(self, path):
        session, turn = requests.Session(), 0
        session.trust_env = False
        while not self.stopping.is_set():
            turn += 1
            try:
                answer = self.gateway.get(path.format(turn=turn % 3000 + 1), session=session)
                self.note(path, answer.status_code)
                if answer.status_code not in (200, 503):
                    self.strange.append((path, answer.status_code, answer.text[:300]))
                elif answer.status_code == 503 and not int(answer.headers.get("Retry-After", 0)):
                    self.strange.append((path, "503 without Retry-After"))
            except requests.exceptions.ChunkedEncodingError:
                self.note(path, "cut")  # a stream whose source died: seen, as it must be
            except requests.RequestException as error:
                self.strange.append((path, repr(error)))

    def note(self, path, what):
        with self.lock:
            self.counts[path, what] = self.counts.get((path, what), 0) + 1

    def count(self, path, what=200):
        with self.lock:
            return self.counts.get((path, what), 0)

    def more(self, path, what=200, within=10):
        """Waits for another answer of this kind from now on."""
        before = self.count(path, what)
        eventually(lambda: self.count(path, what) > before + 3, within=within, says=f"{what} of {path}")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)


# The database answers late on a busy machine: these tests are not about the lane's time.
UNHURRIED = {"database": {"fast": PATIENT["fast"]}}
UNCACHED = "/v1/regions/MO-south-2/summary?window={turn}d"
SERIES = "/v1/regions/KE/weather"


@pytest.mark.tsan
def test_redis_may_die_under_load_and_come_back(gateway, own_redis):
    one = gateway(UNHURRIED, redis=own_redis)
    with Load(one, [CACHED, UNCACHED, SERIES]) as load:
        load.more(UNCACHED)
        own_redis.kill()
        eventually(lambda: one.metrics()["sluice_redis_up"] == 0, within=5)
        for path in (CACHED, UNCACHED, SERIES):
            load.more(path)
        own_redis.start()
        eventually(lambda: one.metrics()["sluice_redis_up"] == 1, within=5 * SLOWNESS, says="the reconnection")
        load.more(UNCACHED)
    assert not load.strange, load.strange[:3]
    assert {what for _, what in load.counts} == {200}, load.counts


@pytest.mark.tsan
def test_postgres_may_die_under_load_and_come_back(own_postgres, redis, tmp_path):
    own_postgres.clone("faulty", TEMPLATE)
    one = start_gateway(tmp_path, own_postgres, redis, "faulty", UNHURRIED)
    try:
        with Load(one, [CACHED, UNCACHED, SERIES]) as load:
            for path in (CACHED, UNCACHED, SERIES):
                load.more(path)
            own_postgres.kill()
            load.more(UNCACHED, 503)
            load.more(SERIES, 503)
            load.more(CACHED)
            assert load.count(CACHED, 503) == 0, "a cached answer was refused"
            own_postgres.start()
            load.more(UNCACHED, within=5 * SLOWNESS)
            load.more(SERIES, within=5 * SLOWNESS)
        assert not load.strange, load.strange[:3]
        eventually(one.is_ready, within=5 * SLOWNESS)
    finally:
        one.stop()


def test_it_starts_before_its_database_or_says_why_not(own_postgres, redis, tmp_path):
    own_postgres.clone("late", TEMPLATE)
    own_postgres.query("postgres", "checkpoint")  # the tests' servers commit asynchronously
    own_postgres.kill()
    one = start_gateway(tmp_path, own_postgres, redis, "late", {}, ready=False)
    ended = lambda: one.process.poll() is not None
    live = lambda: one.session.get(one.admin + "/healthz", timeout=2).status_code == 200
    eventually(lambda: ended() or live(), within=20)
    if ended():
        assert one.process.returncode not in (0, -6, -11) and "database" in one.errors()
        one.process.returncode = -9  # nothing to stop
        return
    assert one.session.get(one.admin + "/readyz", timeout=30).status_code == 503
    own_postgres.start()
    eventually(one.is_ready, within=10 * SLOWNESS)
    one.stop()


def slow_view(postgres, database, seconds):
    """A weather view whose measure takes `seconds` a row. Stable, so that a query that only asks for a row's existence is quick."""
    postgres.query(database, f"""create function serving.slowly(day date) returns float8 language plpgsql stable as
        'begin perform pg_sleep({seconds}); return extract(day from day); end';
        create view serving.slow as select region_id, day, serving.slowly(day) as t from warehouse.weather_daily;
        grant select on serving.slow to sluice_reader""")
    return {"serving": {"weather": "serving.slow"}}


def running(cursor):
    cursor.execute("select count(*) from pg_stat_activity where usename = 'sluice_reader' and state = 'active' and query like '%slow%' and datname = current_database()")
    return cursor.fetchone()[0]


def send(gateway, path):
    connection = gateway.connect(timeout=60)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n\r\n".encode())
    return connection


@pytest.mark.tsan
def test_a_client_that_leaves_cancels_its_scan_within_100_ms(postgres, database, gateway):
    one = gateway({**slow_view(postgres, database, 0.5), "database": {"scan": {"connections": 2}}}, database=database)
    watcher = postgres.connect(database)
    took, machine = [], []
    with watcher.cursor() as cursor:
        for _ in range(5):
            connection = send(one, "/v1/regions/AR/weather")
            eventually(lambda: running(cursor) == 1, within=10, says="the scan's start")
            left = time.monotonic()
            connection.close()
            eventually(lambda: running(cursor) == 0, within=10, every=0.002, says="the scan's end")
            took.append(time.monotonic() - left)
            machine.append(own_cancel(postgres, database))
    watcher.close()
    assert statistics.median(took) < 0.1 * SLOWNESS + 2 * statistics.median(machine), (took, machine)
    eventually(lambda: one.metrics()["sluice_clients_gone_total"] == 5, says="five clients counted")
    assert one.get("/v1/regions/AR/forecast").status_code == 200, "the connection did not come back clean"


def test_a_statement_that_outlives_its_limit_is_a_504(postgres, database, gateway):
    one = gateway({**slow_view(postgres, database, 5), "database": {"scan": {"statement_timeout": "300ms"}, "fast": {"statement_timeout": "200ms"}}}, database=database)
    assert_problem(one.get("/v1/regions/AR/weather"), 504, "timeout")
    assert_problem(one.get("/v1/regions/AR/weather?from=2025-01-01&to=2025-01-31"), 504, "timeout")
    assert_problem(one.get("/v1/regions/AR/summary"), 504, "timeout")
    eventually(lambda: one.get("/v1/regions/AR").status_code == 200, within=20, says="a quick one")  # 200 ms are not much for a busy machine


@pytest.mark.tsan
def test_a_full_queue_is_a_503_at_once_and_the_fast_lane_goes_on(postgres, database, gateway):
    one = gateway({"server": {"workers": 1}, **slow_view(postgres, database, 28), "database": {"scan": {"connections": 1, "queue": 2, "queue_timeout": "12s"}}}, database=database)
    held = [send(one, "/v1/regions/AR/weather") for _ in range(3)]
    try:
        eventually(lambda: one.metrics()["sluice_requests_in_flight"] >= 3)
        took = []
        for _ in range(3):
            started = time.monotonic()
            refused = one.get("/v1/regions/AR/weather")
            took.append(time.monotonic() - started)
            assert_problem(refused, 503, "overloaded")
            assert int(refused.headers["Retry-After"]) >= 1
        assert statistics.median(took) < 0.5 * SLOWNESS, took
        assert one.get("/v1/regions/AR").status_code == 200
        # Those that waited are told after queue_timeout; the one that runs is not disturbed.
        told = lambda: select.select(held, [], [], 0.1)[0]
        eventually(lambda: len(told()) == 2, within=10 * SLOWNESS, says="the two that waited being told")
        assert all(b" 503 " in connection.recv(4096)[:20] for connection in told())
    finally:
        for connection in held:
            connection.close()


def test_sigterm_drains(postgres, database, gateway):
    postgres.query(database, """create view serving.long as select region_id, day, temperature_c from warehouse.weather_daily cross join generate_series(1, 160);
        grant select on serving.long to sluice_reader""")  # much more than the kernel keeps for a reader who has stopped
    one = gateway({"serving": {"weather": "serving.long"}, "server": {"drain_delay": "6s", "drain_timeout": "60s"}, "database": {"scan": {"statement_timeout": "2m"}}}, database=database)
    stream = send(one, "/v1/regions/AR/weather?format=csv")
    first = stream.recv(1000)
    assert b" 200 " in first
    one.terminate()
    eventually(lambda: one.session.get(one.admin + "/readyz", timeout=5).status_code == 503, within=4, says="readiness falling first")
    assert one.get("/v1/regions/AR").status_code == 200, "the listener closed before drain_delay"

    def is_closed():
        try:
            one.connect(timeout=1).close()
        except OSError:
            return True
        return False

    eventually(is_closed, within=30, says="the listener's end")
    assert one.process.poll() is None, "it did not wait for the stream"
    received = first
    while chunk := stream.recv(1 << 20):
        received += chunk
    assert received.endswith(b"0\r\n\r\n"), "the stream was cut"
    assert one.process.wait(25) == 0, "it waited for more than the stream: drain_timeout is 60 s"


def test_idle_keep_alive_connections_do_not_hold_up_the_drain(gateway):
    one = gateway()
    idle = [one.connect() for _ in range(20)]
    for connection in idle[:10]:
        connection.sendall(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(100)
    started = time.monotonic()
    one.stop()
    assert time.monotonic() - started < 5 * SLOWNESS


@pytest.mark.skipif(not RELEASE_BINARY and SANITIZE, reason="sizes are measured on SLUICE_RELEASE_BINARY")
def test_a_thousand_idle_connections_cost_under_30_mb(gateway):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    one = gateway({"server": {"workers": 1}}, **({"binary": RELEASE_BINARY} if RELEASE_BINARY else {}))
    for _ in range(20):
        one.get(CACHED)
    before = one.memory()
    connections = []
    try:
        for _ in range(1000):
            connections.append(send(one, CACHED))
        for connection in connections:
            assert b" 200 " in connection.recv(65536)
        eventually(lambda: one.metrics()["sluice_connections"] >= 1000)
        cost = one.memory() - before
        assert cost < 30 << 20, f"{cost / 1e6:.1f} MB"
    finally:
        for connection in connections:
            connection.close()


def test_memory_at_rest_is_small(gateway):
    if not RELEASE_BINARY and SANITIZE:
        pytest.skip("sizes are measured on SLUICE_RELEASE_BINARY")
    one = gateway({"server": {"workers": 1}}, **({"binary": RELEASE_BINARY} if RELEASE_BINARY else {}))
    one.get(CACHED)
    assert one.memory() <= 20 << 20, f"{one.memory() / (1 << 20):.1f} MB"


def test_a_client_that_never_ends_its_request_is_cut(gateway):
    one = gateway({"server": {"request_timeout": "1s"}})
    with one.connect(timeout=10) as connection:
        connection.sendall(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        received = connection.recv(4096)
        assert received == b"" or b" 408 " in received[:20] or b" 400 " in received[:20]
    assert one.get("/v1/openapi.json").status_code == 200


@pytest.mark.long
def test_a_reader_below_the_least_rate_is_cut(postgres, database, gateway):
    postgres.query(database, """create view serving.long as select region_id, day, temperature_c from warehouse.weather_daily cross join generate_series(1, 40);
        grant select on serving.long to sluice_reader""")
    one = gateway({"serving": {"weather": "serving.long"}, "server": {"min_send_rate": "100KB"}}, database=database)
    connection = send(one, "/v1/regions/AR/weather")
    connection.recv(100)
    eventually(lambda: one.metrics()["sluice_slow_readers_cut_total"] == 1, within=90, every=0.5)
    connection.close()
    eventually(lambda: one.metrics()['sluice_lane_connections_busy{lane="scan"}'] == 0)


def test_past_max_connections_the_listener_waits_until_one_goes(gateway):
    one = gateway({"server": {"workers": 1, "max_connections": 4}})
    one.session.close()
    held = [send(one, "/v1/openapi.json") for _ in range(4)]
    for connection in held:
        assert connection.recv(100)
    late = send(one, "/v1/openapi.json")
    late.settimeout(0.3)
    with pytest.raises(socket.timeout):
        late.recv(100)
    held[0].close()
    late.settimeout(10)
    assert b" 200 " in late.recv(100)
    for connection in [*held, late]:
        connection.close()


@pytest.mark.tsan
def test_clients_that_leave_at_any_moment_harm_nobody(gateway):
    one = gateway()
    paths = [CACHED, SERIES, "/v1/regions?limit=40", UNCACHED.format(turn=500), "/v1/regions/AR/market?grain=month"]

    def leave(index):
        for turn in range(40):
            connection = send(one, paths[(index + turn) % len(paths)])
            if turn % 3:
                connection.recv(1 + (index * 37 + turn * 11) % 5000)
            if turn % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of a FIN
            connection.close()

    threads = [threading.Thread(target=leave, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # One is the connection that asks.
    eventually(lambda: one.metrics()["sluice_requests_in_flight"] == 0, within=10)
    eventually(lambda: one.metrics()["sluice_connections"] == 0, within=10)
    assert one.get(SERIES).status_code == 200
    assert os.path.exists(f"/proc/{one.process.pid}")
