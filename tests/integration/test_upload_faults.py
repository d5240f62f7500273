"""kill -9 of the gateway and of the database at random moments, and right behind a commit, while loads with an Idempotency-Key run: every 2xx
is there exactly once, nothing else is, and nothing is left over."""
import itertools
import os
import random
import signal
import threading
import time
import uuid
from pathlib import Path

import psycopg2
import pytest
import requests

from conftest import TEMPLATE, start_gateway
from gateway import token, write_secret
from office import LOGIN_KEY, Office
from wait import eventually, free_port

WRITER_PASSWORD = "of the writer of the faults"
CUSTOMER = "fault"
WAREHOUSE = f"""
create schema ware; create schema shown; grant usage on schema ware to sluice_writer;
create table ware.fact (load text not null, n int not null, value numeric not null);
alter table ware.fact owner to sluice_owner; alter schema ware owner to sluice_owner; alter schema shown owner to sluice_owner;
grant select, insert, update, delete on ware.fact to sluice_writer;
alter role sluice_writer password '{WRITER_PASSWORD}';
"""


class Loader(threading.Thread):
    """One load after the other into a table of its own. A load whose answer is no 2xx, or does not come, is sent again under its key until it is
    one; every fourth is given up at its first failure instead: it may be there whole, or not at all."""

    def __init__(self, name, path, mode, bearer, table):
        super().__init__(daemon=True)
        self.name, self.path, self.mode, self.bearer, self.table = name, path, mode, bearer, table
        self.random = random.Random(name)
        self.stopping = threading.Event()
        self.base = None  # of the listener to use; the test sets it
        self.done, self.given_up, self.strange = {}, {}, []

    def send(self, key, body):
        """(status, detail); status 0: no answer."""
        try:
            answer = requests.put(f"{self.base}{self.path}?mode={self.mode}{'&key=load,n' if self.mode == 'upsert' else ''}", data=body, timeout=90,
                                  headers={"Authorization": f"Bearer {self.bearer}", "Idempotency-Key": key, "Content-Type": "text/csv"})
            told = answer.json()
        except requests.RequestException as error:  # an answer that was cut in its body is none either
            return 0, repr(error)
        return answer.status_code, told["inserted"] if answer.status_code in (200, 201) else told.get("detail", "")

    def one(self, load, rows, patient):
        """Sends it until it is taken, or once where it may be given up."""
        key, body = str(uuid.uuid4()), "load,n,value\n" + "".join(f"{load},{n},{n * 1.5}\n" for n in range(rows))
        while True:
            status, told = self.send(key, body)
            if status in (200, 201):
                self.done[load] = rows
                if told != rows:
                    self.strange.append((load, status, told, rows))
                return
            if status not in (0, 409, 500, 503):
                self.strange.append((load, status, told))
            if not patient and not (status == 409 and "runs at this moment" in told):
                self.given_up[load] = (rows, status, told)
                return
            time.sleep(0.02)  # a client's pause between attempts

    def run(self):
        for number in itertools.count():
            if self.stopping.is_set():
                return
            self.one(f"{self.name}-{number}", self.random.choice((1, 7, 300, 4000)), self.random.random() < 0.75)


class Place:
    """A database and a gateway that die and come back, and the loads that run meanwhile."""

    def __init__(self, postgres, redis, folder):
        self.postgres, self.database = postgres, postgres.clone("faults", TEMPLATE)
        postgres.query(self.database, WAREHOUSE)
        self.office = Office(postgres, self.database, folder)
        self.office.ok("add", CUSTOMER, "--bytes", "0", "--relations", "0")
        ingest = f"127.0.0.1:{free_port()}"
        changes = {"server": {"ingest": {"listen": ingest}},
                   "database": {"writer": {"user": "sluice_writer", "password_file": write_secret(folder, "writer.password", WRITER_PASSWORD)}},
                   "customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)},
                   "warehouse": {"schemas": ["shown"], "loadable": [{"dataset": "fact", "table": "ware.fact"}]}, "uploads": {"each": 8, "threads": 6}}
        self.gateway = start_gateway(folder, postgres, redis, self.database, changes)
        self.spool = Path(self.gateway.config["uploads"]["spool"])
        own, writer = token(customer=CUSTOMER, scope="uploads:write"), token(customer="pipeline", scope="warehouse:write")
        self.loaders = [Loader("added", "/v1/uploads/added", "append", own, f"{CUSTOMER}_uploads.added"),
                        Loader("merged", "/v1/uploads/merged", "upsert", own, f"{CUSTOMER}_uploads.merged"),
                        Loader("swapped", "/v1/uploads/swapped", "replace", own, f"{CUSTOMER}_uploads.swapped"),
                        Loader("fact", "/v1/datasets/fact/rows", "append", writer, "ware.fact")]
        for index, one in enumerate(self.loaders):
            one.base = self.gateway.base if index % 2 else f"http://{ingest}"

    def loaded(self):
        return sum(len(one.done) for one in self.loaders)

    def left_over(self):
        """What the spool's folder holds: between the starts nothing may be there but what resumable uploads keep, and there are none."""
        return [path.name for path in self.spool.rglob("*") if path.is_file() and path.stat().st_size]

    def connected(self):
        try:
            return self.postgres.connect(self.database)
        except psycopg2.OperationalError:
            return None

    def wait_for_commit(self):
        """Until a load's commit is seen, whose answer is still on its way then. A backend that was killed makes the database recover first."""
        with eventually(self.connected, within=20, says="the database's recovery").cursor() as cursor:
            seen, until = set(), time.monotonic() + 20
            while len(seen) < 2 and time.monotonic() < until:
                cursor.execute("select count(*) from sluice.idempotency")
                seen.add(cursor.fetchone()[0])
        cursor.connection.close()

    def kill_gateway(self):
        self.gateway.kill()
        assert not self.left_over()
        self.gateway.start()

    def kill_database(self):
        self.postgres.kill()
        self.postgres.start()

    def kill_backend(self):
        """One process of the database's dies: the server ends all others and recovers from its log."""
        found = self.postgres.query(self.database, "select pid from pg_stat_activity where usename in ('sluice_writer', %s)", (f"sluice_c_{CUSTOMER}",))
        if not found:
            return self.kill_database()
        victim = random.choice(found)[0]
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return None  # its load has ended
        # Before the server has seen the death it still lets connections in, which end with the crash.
        eventually(lambda: not Path(f"/proc/{victim}").exists(), within=30, says="the server's look at the process that died")
        return eventually(self.is_back, within=30, says="the database's recovery")

    def is_back(self):
        try:
            return self.postgres.query(self.database, "select 1")
        except Exception:  # psycopg2's errors of a server that recovers are many
            return False

    def rows_of(self, loader):
        """{load: (rows, different rows)}"""
        if not self.postgres.query(self.database, "select to_regclass(%s)", (loader.table,))[0][0]:
            return {}
        return {load: counts for load, *counts in self.postgres.query(self.database, f"select load, count(*), count(distinct n) from {loader.table} group by 1")}

    def check(self, loader):
        there = self.rows_of(loader)
        if loader.mode == "replace":  # of the last that was taken, or of one behind it that was given up and came through all the same
            (load, counts), = there.items()
            number = int(load.partition("-")[2])
            assert number >= max(int(one.partition("-")[2]) for one in loader.done), (load, list(loader.done)[-3:])
            rows = loader.done.get(load) or loader.given_up[load][0]
            assert counts == [rows, rows]
            return
        for load, rows in loader.done.items():
            assert there.pop(load, None) == [rows, rows], (load, rows)
        for load, counts in there.items():
            rows, status, told = loader.given_up[load]
            assert counts == [rows, rows], f"{load} is there in part: {counts} of {rows}"
            assert status == 0 or "not known" in told, f"{load} is there, and {status} had said: {told}"


@pytest.fixture
def place(own_postgres, redis, tmp_path):
    one = Place(own_postgres, redis, tmp_path)
    yield one
    for loader in one.loaders:
        loader.stopping.set()
    one.gateway.stop()


@pytest.mark.parametrize("kills", [pytest.param(20, marks=pytest.mark.timeout(400)), pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_every_load_that_was_taken_is_there_exactly_once_whatever_is_killed(place, kills):
    chance = random.Random(5)
    for loader in place.loaders:
        loader.start()
    for _ in range(kills):
        before = place.loaded()
        eventually(lambda seen=before: place.loaded() > seen, within=60, says=f"another load behind {before}")
        if chance.random() < 0.5:
            place.wait_for_commit()
        else:
            time.sleep(chance.random() * 0.4)  # the moment is what is tried, nothing waits for it
        chance.choice((place.kill_gateway, place.kill_gateway, place.kill_database, place.kill_backend))()
    for loader in place.loaders:
        loader.stopping.set()
    for loader in place.loaders:
        loader.join(120)
        print(f"{loader.name}: {len(loader.done)} taken, {len(loader.given_up)} given up")
        assert not loader.is_alive(), f"{loader.name} has a load that is never taken"
        assert not loader.strange, loader.strange[:3]
        assert loader.done, loader.given_up
        place.check(loader)
    eventually(lambda: not place.postgres.query(place.database, "select 1 from pg_class where relkind = 'r' and relname like '~%'"), within=10,
               says="the end of the last staging table")
    place.gateway.kill()
    assert not place.left_over()
    place.gateway.start()
