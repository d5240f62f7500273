"""A client that leaves takes its query with it: in the queue, while it is planned, counted, run or streamed; and nobody else's."""
import contextlib
import heapq
import random
import socket
import statistics
import threading
import time

import psycopg2
import pytest
import requests

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import SANITIZE, SLOWNESS, token
from wait import eventually

BUSY = 'sluice_lane_connections_busy{lane="scan"}'
ONCE = 4 if SANITIZE else 0.2  # seconds for an end that is measured once; what nobody cancels takes ten and more
# slowly() is stable, so that it is called once a row and only where its value is wanted; the planner itself calls pondered().
SQL = """
create schema leave; grant usage on schema leave to sluice_reader;
create table leave.item (id integer primary key, name text not null);
insert into leave.item select n, 'item ' || n from generate_series(1, 400) as n;
create function leave.slowly(id integer, seconds float8) returns integer language plpgsql stable as 'begin perform pg_sleep(seconds); return id; end';
create function leave.pondered(seconds float8) returns integer language plpgsql immutable as 'begin perform pg_sleep(seconds); return 1; end';
create view leave.slow as select id, leave.slowly(id, 0.25) as t from leave.item;
create view leave.brief as select id, leave.slowly(id, 0.05) as t from leave.item;
create view leave.dripping as select id, leave.slowly(id, 0.005) as t, repeat(md5(id::text), 100) as body from leave.item cross join generate_series(1, 100);
create view leave.gushing as select id, repeat('x', 1000) as body from leave.item cross join generate_series(1, 100000);
create view leave.hard_to_plan as select id, name from leave.item where leave.pondered(10) = 1;
grant select on all tables in schema leave to sluice_reader;
"""
# What is asked, with which header, and how its statement begins; {0} makes the statement one that was not planned before.
MOMENTS = {"planned": ("hard_to_plan?or=({0})", "", "%explain%hard_to_plan%"), "counted": ("slow?t=gte.0", "Prefer: count=exact\r\n", "select count(*)%"),
           "sorted": ("slow?order=t.desc", "", "%order by%"), "run": ("slow?t=lt.0", "", '%"slow"%'), "streamed": ("dripping?format=ndjson", "", '%"dripping"%'),
           "streamed to nobody": ("gushing", "", '%"gushing"%'), "packed": ("gushing?format=csv", "Accept-Encoding: gzip\r\n", '%"gushing"%'),
           "estimated": ("slow?t=gte.0", "Prefer: count=estimated\r\n", "select count(*)%"), "paged": ("gushing?order=body&cursor=", "", '%"gushing"%')}


def close(connection):
    connection.close()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def half_close(connection):
    connection.shutdown(socket.SHUT_WR)


WAYS = (close, reset, half_close)


@pytest.fixture(scope="module")
def leave_database(postgres):
    name = postgres.clone(f"leave_{next(NUMBERS)}", TEMPLATE)
    postgres.query(name, SQL)
    postgres.query(name, "analyze leave.item")
    yield name
    postgres.drop(name)


@pytest.fixture(scope="module")
def store(postgres, redis, leave_database, tmp_path_factory):
    one = begin(tmp_path_factory.mktemp("leave"), postgres, redis, leave_database, {})
    yield one
    one.stop()


def begin(folder, postgres, redis, database, changes):
    one = start_gateway(folder, postgres, redis, database, {"warehouse": {"schemas": ["leave"]}, **changes})
    one.token = token(scope="datasets:read")
    return one


@pytest.fixture
def watcher(postgres, leave_database):
    """Counts the statements that run for the gateway; those like `like`, and like none of `but`."""
    connection = postgres.connect(leave_database)
    cursor = connection.cursor()

    def active(like="%leave%", but=("",)):
        cursor.execute("select count(*) from pg_stat_activity where usename = 'sluice_reader' and state = 'active' and datname = current_database() and query ilike %s and not query ilike any(%s)", (like, list(but)))
        return cursor.fetchone()[0]

    yield active
    connection.close()


def own_cancel(postgres, database):
    """Seconds from a cancel that PostgreSQL's own client sends to the end of its query: how long that takes this machine just now."""
    sleeper, seer = postgres.connect(database), postgres.connect(database)
    me = sleeper.get_backend_pid()

    def sleep():
        with contextlib.suppress(psycopg2.errors.QueryCanceled), sleeper.cursor() as cursor:
            cursor.execute("select pg_sleep(120)")

    thread = threading.Thread(target=sleep, daemon=True)
    with seer.cursor() as cursor:
        def sleeps():
            cursor.execute("select count(*) from pg_stat_activity where pid = %s and state = 'active' and query like '%%pg_sleep%%'", (me,))
            return cursor.fetchone()[0] == 1

        thread.start()
        eventually(sleeps, within=20, every=0.002, says="a query's start")
        began = time.monotonic()
        sleeper.cancel()
        eventually(lambda: not sleeps(), within=20, every=0.002, says="a cancelled query's end")
        took = time.monotonic() - began
    thread.join(20)
    sleeper.close()
    seer.close()
    return took


SHAPES = iter(range(1, 1 << 30))


def ask(one, moment):
    path, header, _ = MOMENTS[moment]
    path = path.format(",".join(["id.gt.0"] * next(SHAPES)) if moment == "planned" else "")
    connection = one.connect(timeout=60)
    connection.sendall(f"GET /v1/datasets/{path} HTTP/1.1\r\nHost: x\r\n{header}Authorization: Bearer {one.token}\r\n\r\n".encode())
    return connection


@pytest.mark.tsan
@pytest.mark.parametrize("moment", MOMENTS)
def test_who_leaves_ends_his_query_within_100_ms(postgres, leave_database, store, watcher, moment):
    took, machine = [], []
    for turn in range(5):
        gone = store.metrics()["sluice_clients_gone_total"]
        connection = ask(store, moment)
        eventually(lambda: watcher(MOMENTS[moment][2]) == 1, within=20, every=0.002, says="the query's start")
        if moment.startswith("streamed") or moment == "packed":
            assert b" 200 " in connection.recv(500), "it did not stream"
        left = time.monotonic()
        WAYS[turn % len(WAYS)](connection)
        eventually(lambda: watcher() == 0, within=20, every=0.002, says="the query's end")
        took.append(time.monotonic() - left)
        machine.append(own_cancel(postgres, leave_database))
        connection.close()
        if turn % len(WAYS) != 1:
            eventually(lambda: store.metrics()["sluice_clients_gone_total"] > gone or moment.startswith("streamed") or moment in ("packed", "paged"), says="a client counted")
    assert statistics.median(took) < 0.1 * SLOWNESS + 2 * statistics.median(machine), (took, machine)
    eventually(lambda: store.metrics()[BUSY] == 0, says="free connections")
    assert store.json("/v1/datasets/item?id=lt.3&select=id&order=id") == [{"id": 1}, {"id": 2}]


@pytest.mark.tsan
def test_who_leaves_the_queue_is_never_run(postgres, redis, leave_database, watcher, tmp_path):
    one = begin(tmp_path, postgres, redis, leave_database, {"server": {"workers": 1}, "database": {"scan": {"connections": 1, "queue": 8, "queue_timeout": "60s", "statement_timeout": "5m"}}})
    try:
        assert one.get("/v1/datasets/item?id=eq.1").status_code == 200
        first = ask(one, "sorted")
        eventually(lambda: watcher("%order by%") == 1, says="the first one's start")
        waiting = [ask(one, moment) for moment in ("run", "counted", "streamed", "sorted")]
        eventually(lambda: one.metrics()["sluice_requests_in_flight"] == 5, says="four in the queue")
        last = ask(one, "estimated")
        eventually(lambda: one.metrics()["sluice_requests_in_flight"] == 6, says="five in the queue")
        for turn, connection in enumerate(waiting):
            WAYS[turn % len(WAYS)](connection)
        eventually(lambda: one.metrics()["sluice_requests_in_flight"] == 2, within=2 * SLOWNESS, says="their end in the queue")
        assert watcher("%order by%") == 1, "the one that runs was disturbed"
        first.close()
        eventually(lambda: watcher("select count(*)%") == 1, within=2 * SLOWNESS, says="the turn of the last one")
        last.close()
        eventually(lambda: watcher() == 0 and one.metrics()["sluice_requests_in_flight"] == 0, within=2 * SLOWNESS, says="quiet")
        for connection in waiting:
            connection.close()
        assert len(one.json("/v1/datasets/item?id=lt.3")) == 2
    finally:
        one.stop()


def test_who_leaves_while_his_plan_is_asked_for_ends_that_too(store, watcher):
    body = '{"url": "/v1/datasets/hard_to_plan?name=neq.x&id=gt.0"}'
    connection = store.connect(timeout=60)
    connection.sendall(f"POST /v1/query/plan HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nAuthorization: Bearer {store.token}\r\n\r\n{body}".encode())
    eventually(lambda: watcher("%explain%") == 1, within=10, every=0.002)
    left = time.monotonic()
    connection.close()
    eventually(lambda: watcher() == 0, within=10, every=0.002)
    assert time.monotonic() - left < ONCE


class Patient(threading.Thread):
    """Asks and waits for whole answers until it is told to stop; whatever is not what it asked for is strange."""

    def __init__(self, one, path, count):
        super().__init__(daemon=True)
        self.one, self.path, self.count, self.stopping = one, path, count, threading.Event()
        self.answers, self.strange = 0, []

    def run(self):
        with requests.Session() as session:
            session.trust_env = False
            while not self.stopping.is_set():
                self.turn(session)

    def turn(self, session):
        try:
            answer = self.one.get(f"/v1/datasets/{self.path}", session=session, timeout=60)
            if answer.status_code != 200 or len(answer.json()) != self.count:
                self.strange.append((self.path, answer.status_code, answer.text[:300]))
        except (requests.RequestException, ValueError) as problem:
            self.strange.append((self.path, repr(problem)))
        self.answers += 1


def leave_at_random(one, count, seconds, seed):
    """`count` clients, who come one after the other and leave at random moments, each in his way. The time of the last one's leaving."""
    chance = random.Random(seed)
    began, leaving = time.monotonic(), []
    moments = [moment for moment in MOMENTS for _ in range(-(-count // len(MOMENTS)))][:count]
    chance.shuffle(moments)
    for number, moment in enumerate(moments):
        heapq.heappush(leaving, (began + 0.3 + chance.random() * seconds, number, ask(one, moment)))
    halves = []
    while leaving:
        at, number, connection = heapq.heappop(leaving)
        time.sleep(max(0, at - time.monotonic()))  # the moment itself, not a wait for something
        if number % 4 == 0:
            connection.setblocking(False)
            try:
                connection.recv(chance.randrange(1, 20_000))
            except BlockingIOError:
                pass
        WAYS[number % len(WAYS)](connection)
        halves.append(connection)
    return time.monotonic(), halves


@pytest.mark.tsan
def test_100_clients_who_leave_at_random_moments_leave_nothing_running_and_harm_nobody(postgres, redis, leave_database, watcher, tmp_path):
    one = begin(tmp_path, postgres, redis, leave_database, {"database": {"scan": {"connections": 10, "queue": 256, "queue_timeout": "60s"}}})
    patients = [Patient(one, "item?id=eq.7", 1), Patient(one, "item?id=gt.390&order=id", 10), Patient(one, "brief?order=id&limit=2", 2), Patient(one, "item?select=id&limit=400", 400)]
    try:
        for patient in patients:
            patient.start()
        eventually(lambda: all(patient.answers for patient in patients), within=20, says="answers to all")
        left, connections = leave_at_random(one, 100, 3.0, 4)
        # The patient ones go on asking: what they run is no trace of those who left.
        eventually(lambda: watcher(but=("%item%", "%limit 3%")) == 0, within=20, every=0.005, says="the end of all that was left behind")
        took = time.monotonic() - left
        eventually(lambda: all(patient.answers > 5 for patient in patients), within=60, says="more answers to all")  # they waited in the queue behind the others
        for patient in patients:
            patient.stopping.set()
        for patient in patients:
            patient.join(60)
        assert took < ONCE, f"{took * 1000:.0f} ms"
        assert not [strange for patient in patients for strange in patient.strange][:3]
        for connection in connections:  # those that were closed by half still keep what was sent to them
            connection.close()
        eventually(lambda: watcher() == 0 and one.metrics()["sluice_requests_in_flight"] == 0 and one.metrics()[BUSY] == 0, within=2 * SLOWNESS, says="quiet")
        assert [len(one.json(f"/v1/datasets/item?id=lt.{number}")) for number in range(1, 30)] == list(range(29)), "a connection did not come back clean"
    finally:
        for patient in patients:
            patient.stopping.set()
        one.stop()


@pytest.mark.tsan
def test_40_clients_who_leave_at_once_leave_nothing_running(postgres, redis, leave_database, watcher, tmp_path):
    # Forty logins at once take one worker long on a busy machine: nobody is sent away meanwhile.
    one = begin(tmp_path, postgres, redis, leave_database, {"server": {"workers": 1}, "database": {"connect_timeout": "30s", "scan": {"connections": 40, "queue": 64, "queue_timeout": "60s", "statement_timeout": "5m"}}})
    try:
        connections = [ask(one, moment) for moment in ("sorted", "counted", "streamed", "streamed to nobody") for _ in range(10)]
        eventually(lambda: watcher() == 40, within=30 * SLOWNESS, says="forty scans")
        left = time.monotonic()
        for connection in connections:
            reset(connection)
        eventually(lambda: watcher() == 0, within=20, every=0.005, says="their end")
        took = time.monotonic() - left
        assert took < ONCE, f"{took * 1000:.0f} ms"
        assert len(one.json("/v1/datasets/item?id=lt.30")) == 29
    finally:
        one.stop()
