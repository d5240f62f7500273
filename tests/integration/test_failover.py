"""Several servers of one database: the primary dies under load and its replica takes over."""
import socket
import threading
import time

import pytest
import requests

from conftest import TEMPLATE, start_gateway
from gateway import PATIENT, SLOWNESS, token, write_secret
from replication import Primary, Replica, kill_hard, remove
from wait import eventually

WRITER_PASSWORD = "of the writer of the tests"
WRITER = token(customer="pipeline", scope="datasets:read warehouse:write")
WAREHOUSE = """
create schema ware; create schema shown; grant usage on schema ware to sluice_writer; grant usage on schema shown to sluice_reader;
create table ware.price (n int primary key, zone text not null);
alter table ware.price owner to sluice_owner; alter schema ware owner to sluice_owner; alter schema shown owner to sluice_owner;
create view shown.price as select * from ware.price; alter view shown.price owner to sluice_owner;
grant select on shown.price to sluice_reader;
grant select, insert, update, delete on ware.price to sluice_writer;
"""
WITHIN = 10 * SLOWNESS
READS = ["/v1/regions/AR", "/v1/datasets/serving.weather_daily?limit=20&order=day.desc&region_id=eq.AR&offset={turn}",
         "/v1/regions/AR/weather?from=2024-01-01&to=2024-03-{day:02d}"]


@pytest.fixture
def pair(demo_cluster):
    """pair(synchronous): a primary and its replica."""
    servers = []

    def make(synchronous):
        primary = Primary(demo_cluster, synchronous)
        servers.append(primary)
        primary.query(TEMPLATE, WAREHOUSE + "; select sluice.track('ware.price')")
        primary.query(TEMPLATE, f"alter role sluice_writer password '{WRITER_PASSWORD}'")
        replica = Replica(primary)
        servers.append(replica)
        primary.wait_for_replicas()
        return primary, replica

    yield make
    for server in servers:
        remove(server)


def hosts(*ports):
    """`connect_timeout` is of the host that says nothing: it bounds each attempt."""
    return {"host": [f"127.0.0.1:{port}" for port in ports], "connect_timeout": "1s"}


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(primary, replica, connect_timeout="1s", **changes):
        changes = {"database": {**hosts(primary.port, replica.port), **PATIENT, "connect_timeout": connect_timeout,  # a 504 is none of the answers that a failover may cost
                                "writer": {"user": "sluice_writer", "password_file": write_secret(tmp_path, "writer.password", WRITER_PASSWORD)}},
                   "warehouse": {"schemas": ["shown", "serving"], "loadable": [{"dataset": "price", "table": "ware.price"}]}, **changes}
        one = start_gateway(tmp_path, primary, None, TEMPLATE, changes)
        started.append(one)
        return one

    yield start
    for one in started:
        one.stop()


class Threads:
    """What is done again and again until the end of the block."""

    def __init__(self, *actions):
        self.stopping, self.threads = threading.Event(), []
        for action in actions:
            self.threads.append(threading.Thread(target=self.run, args=(action,), daemon=True))

    def run(self, action):
        session, turn = requests.Session(), 0
        session.trust_env = False
        while not self.stopping.is_set():
            turn += 1
            action(session, turn, self.stopping)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)


def reader(api, path, answers, strange):
    def read(session, turn, stopping):
        asked = time.monotonic()
        try:
            answer = api.get(path.format(turn=turn % 500, day=turn % 28 + 1), session=session)
            if answer.status_code in (200, 503):
                answers.append((asked, time.monotonic(), answer.status_code, any(word in answer.headers.get("Sluice-Plan", "") for word in ("stale", "memory"))))
                stopping.wait(0.005 if answer.status_code == 200 else 0.05)
            else:
                strange.append((path, answer.status_code, answer.text[:300]))
        except requests.exceptions.ChunkedEncodingError:
            answers.append((asked, time.monotonic(), 503, False))
    return read


def writer(api, first, acknowledged, strange):
    def write(session, turn, stopping):
        number = first + turn
        answer = api.get("/v1/datasets/price/rows?mode=append", method="PUT", data=f"n,zone\n{number},a\n".encode(), bearer=WRITER,
                         headers={"Content-Type": "text/csv"}, session=session, timeout=60)
        if answer.status_code == 200:
            acknowledged.append(number)
        elif answer.status_code == 503:
            stopping.wait(0.05)
        else:
            strange.append(("load", answer.status_code, answer.text[:300]))
    return write


def test_reads_and_loads_go_on_from_the_promoted_replica_and_no_acknowledged_load_is_lost(pair, serve):
    primary, replica = pair(synchronous=True)
    api = serve(primary, replica)
    answers, acknowledged, strange = [[] for _ in READS], [], []
    actions = [reader(api, path, answers[index], strange) for index, path in enumerate(READS)]
    actions += [writer(api, first, acknowledged, strange) for first in (1_000_000, 2_000_000)]
    with Threads(*actions):
        eventually(lambda: len(acknowledged) > 20 and all(len(each) > 20 for each in answers), within=60, says="answers before the failover")
        kill_hard(primary)
        killed = time.monotonic()
        replica.promote()
        promoted = time.monotonic()

        # What was asked after the end of the primary, and comes from no cache, can only be of the replica. It may have come before pg_promote()
        # told us of the end of the promotion, and an answer that is kept comes but once from the database.
        def came(each):
            return any(asked > killed and status == 200 and not stale for asked, _, status, stale in list(each))
        eventually(lambda: all(came(each) for each in answers), within=5 * SLOWNESS, says="reads from the promoted replica")
        before = len(acknowledged)
        eventually(lambda: len(acknowledged) > before + 5, within=20 * SLOWNESS, says="loads into the promoted replica")
    firsts = [min(at for asked, at, status, stale in each if asked > killed and status == 200 and not stale) - promoted for each in answers]
    assert max(firsts) < 5 * SLOWNESS, firsts
    assert not strange, strange[:5]
    there = {number for number, in replica.query(TEMPLATE, "select n from ware.price")}
    assert not set(acknowledged) - there, "acknowledged loads were lost"


def tagged(api, path, headers=None):
    """The first answer with an ETag: there is none while the versions could not be polled for a moment."""
    return eventually(lambda: "ETag" in (answer := api.get(path, headers=headers)).headers and answer, within=WITHIN, says=f"an ETag of {path}")


def test_what_a_lost_transaction_had_shown_is_not_confirmed_afterwards(pair, serve):
    primary, replica = pair(synchronous=False)
    api = serve(primary, replica, cache={"version_poll": "100ms", "ttl": "1h"})
    name, path, rows = "/v1/regions/AR", "/v1/datasets/price?select=n,zone&order=n", "insert into ware.price values (1, '{}')"
    rename = "update warehouse.region set name = '{}' where region_id = 'AR'"
    replica.catch_up(primary)
    replica.stop()
    old = {place: tagged(api, place).headers["ETag"] for place in (name, path)}
    primary.query(TEMPLATE, rows.format("lost"))
    primary.query(TEMPLATE, rename.format("Lost"))
    eventually(lambda: api.json(name)["name"] == "Lost" and api.json(path) == [{"n": 1, "zone": "lost"}], within=WITHIN, says="the transactions that will be lost")
    # The versions are polled apart from the bodies: the ETags that count are those of after the change, of which each relation had one.
    lost = {place: eventually(lambda place=place: (tag := tagged(api, place).headers["ETag"]) != old[place] and tag, within=WITHIN, says=f"the new version of {place}") for place in (name, path)}
    assert tagged(api, name, {"If-None-Match": lost[name]}).status_code == 304
    kill_hard(primary)
    replica.start()
    replica.promote()
    eventually(lambda: api.is_ready() and api.json(name)["name"] != "Lost", within=WITHIN, says="what the replica has")
    eventually(lambda: api.json(path) == [], within=WITHIN, says="the rows that the replica has")  # a description is looked at each catalog_check
    # As many changes as were lost: the counters stand where they stood.
    replica.query(TEMPLATE, rows.format("kept"))
    replica.query(TEMPLATE, rename.format("Kept"))
    eventually(lambda: api.json(name)["name"] == "Kept" and api.json(path) == [{"n": 1, "zone": "kept"}], within=WITHIN, says="the new transactions")
    for place, tag in lost.items():
        answer = tagged(api, place, {"If-None-Match": tag})
        assert answer.status_code == 200 and answer.headers["ETag"] != tag, f"{place}: a lost version's ETag was confirmed"


def test_the_primary_is_found_wherever_it_stands_in_the_list(pair, serve):
    primary, replica = pair(synchronous=False)
    api = serve(replica, primary, connect_timeout="20s")  # the replica first; both answer, however late, and a load that may have been begun is not tried again
    answer = api.get("/v1/datasets/price/rows?mode=append", method="PUT", data=b"n,zone\n7,a\n", bearer=WRITER, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert primary.query(TEMPLATE, "select n from ware.price") == [(7,)]


def test_a_host_that_says_nothing_does_not_hide_the_next_one(own_postgres, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1000)
        api = start_gateway(tmp_path, own_postgres, None, TEMPLATE, {"database": hosts(silent.getsockname()[1], own_postgres.port)}, ready=False)
        try:
            eventually(api.is_ready, within=20 * SLOWNESS, says="readiness past the silent host")
            assert api.json("/v1/regions/AR")["region_id"] == "AR"
        finally:
            api.stop()


def test_a_host_without_an_address_is_left_out(own_postgres, tmp_path, monkeypatch):
    monkeypatch.setenv("RES_OPTIONS", "timeout:1 attempts:1")  # a name server that is away holds up each of the many questions for 10 s
    changes = {"database": {"host": ["nowhere.invalid", f"127.0.0.1:{own_postgres.port}"]}}
    api = start_gateway(tmp_path, own_postgres, None, TEMPLATE, changes)
    try:
        assert api.json("/v1/regions/AR")["region_id"] == "AR"
        eventually(lambda: "database_host_unknown" in api.errors(), says="the warning")
    finally:
        api.stop()
