"""The power goes between a write and its record: what the caller was promised is in the log that the disk has left. On the binary that people run, over a file layer
that keeps only what was brought to disk (plug.py)."""
import errno
import itertools
import random
import re
import threading
from collections import Counter
from pathlib import Path

import pytest
import requests

from calls import DORA, EMIL, SALES, CSV, bearer, opened, put_analysis
from gateway import BINARY, RELEASE_BINARY, assert_problem
from plug import EXIT_STATUS, Plug
from test_audit import good, grep
from wait import eventually

WRITERS = 3
WITHIN = 20
NUMBERS = itertools.count(1)


class Writers:
    """Callers that write until the gateway is gone or the block ends; `told` holds of each call, by its number, what its caller was told: a status, or None. The
    number is the call's trace, which the records of the log have too."""

    def __init__(self, one, reads=False):
        self.one, self.told, self.stopping = one, {}, threading.Event()
        self.threads = [threading.Thread(target=self._write, args=(index,)) for index in range(WRITERS)] + [threading.Thread(target=self._read)] * reads

    def call(self, index, session=None):
        number = next(NUMBERS)
        headers = {**self.one.headers(bearer=bearer()), "traceparent": f"00-{number:032x}-{1:016x}-01"}
        choices = [("PUT", f"/v1/analytics/plug_{index}_{number % 3}", {"json": {"sql": f"select {number} as number", "as": "view"}}),
                   ("DELETE", f"/v1/analytics/plug_{index}_{number % 3}", {}),
                   ("PUT", f"/v1/uploads/plug_{index}", {"data": SALES, "headers": CSV, "params": {"types": "amount:numeric", "max_bad": "0.5"}}),
                   (("PUT", "DELETE")[number % 2], f"/v1/analytics/total/shares/{EMIL}", {})]
        method, path, options = choices[0 if number % 5 < 2 else number % len(choices)]
        options["headers"] = {**headers, **options.get("headers", {})}
        self.told[number] = None
        answer = (session or self.one.session).request(method, self.one.base + path, timeout=30, **options)
        self.told[number] = answer.status_code
        return answer

    def _write(self, index):
        session = requests.Session()
        session.trust_env = False
        while not self.stopping.is_set():
            try:
                self.call(index, session)
            except requests.RequestException:
                return

    def _read(self):
        """Fills the log meanwhile, so that files come and go."""
        request = f"GET /v1/regions/AR HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer()}\r\n\r\n".encode()
        try:
            with self.one.connect() as connection:
                while not self.stopping.is_set():
                    connection.sendall(request * 20)
                    got = 0
                    while got < 20:
                        chunk = connection.recv(1 << 18)
                        if not chunk:
                            return
                        got += chunk.count(b"HTTP/1.1 ")
        except OSError:
            return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def acknowledged(self):
        return {number for number, status in list(self.told.items()) if status is not None and status < 300}


class Log:
    """What stands in the log of each call, by its number."""

    def __init__(self, one):
        self.intents, self.outcomes, lost = Counter(), {}, set()
        numbers = {}
        for record in grep(one):
            number = int(record.get("trace_id", "0"), 16)
            if record["event"] == "intent":
                self.intents[number] += 1
                numbers[record["request_id"]] = number
            elif record["event"] == "request":
                self.outcomes.setdefault(number, []).append(record["status"])
            elif record["event"] == "lost":
                lost.add(record["request_id"])
        self.lost = {numbers[request_id] for request_id in lost}


def committed(one):
    """Numbers of the calls whose analyses stand in the database."""
    rows = one.postgres.query(one.database, "select sql from sluice.analysis where customer_id = %s and name like 'plug%%'", (DORA,))
    return {int(re.search(r"\d+", sql)[0]) for sql, in rows}


def check(one, writers):
    """Of each write that was promised the record is there; of each that happened at least the intent, and then the log says that a crash came."""
    log = Log(one)
    for number in writers.acknowledged():
        assert log.outcomes.get(number) == [writers.told[number]] and log.intents[number] == 1, f"write {number}: {writers.told[number]}, {log.outcomes.get(number)}"
    happened = committed(one) & writers.told.keys()
    assert happened or not writers.acknowledged() or len(writers.told) < 10
    for number in happened:
        assert log.intents[number] == 1 and (number in log.outcomes or number in log.lost), f"write {number} happened, and nobody knows"
    for number, status in writers.told.items():
        assert len(log.outcomes.get(number, [])) <= 1, number
        assert not (number in log.outcomes and number in log.lost), number
    return log


@pytest.fixture(scope="module")
def shop(postgres, redis, tmp_path_factory):
    """A gateway with a plug, which the tests start and stop."""
    with opened(tmp_path_factory.mktemp("plug"), postgres, redis, {"audit": {"segment_size": "64KB", "anchors": {"every": "100ms"}}, "log": {"requests": "off"}}) as one:
        one.stop()
        one.binary = RELEASE_BINARY or BINARY
        yield one
        one.environment = {}
        if one.process.poll() is not None:
            one.start()


@pytest.fixture
def plugged(shop):
    plug = Plug(Path(shop.config["audit"]["folder"]))

    def start():
        shop.session.close()
        plug.reset()
        shop.environment = plug.environment
        shop.start()
        return plug

    yield start
    if shop.process.poll() is None:
        shop.stop()


def pull(one, plugged, point, moment, calls, chance=None, reads=False):
    """Starts, writes, loses the power at that call, and starts again on what is left."""
    plug = plugged()
    with Writers(one, reads) as writers:
        eventually(lambda: len(writers.acknowledged()) >= WRITERS, within=WITHIN, says="writes")
        plug.arm(point, moment, calls)
        one.process.wait(WITHIN * 2)
    assert one.process.returncode == EXIT_STATUS, one.errors()[-2000:]
    plug.cut(chance)
    plugged()
    assert " 0 bad places" in good(one), f"{point} {moment} {calls}"
    check(one, writers)
    one.stop()
    return writers


@pytest.mark.parametrize("point,moment", [("write", "before"), ("write", "half"), ("write", "after"), ("sync", "before"), ("sync", "after")])
def test_a_write_that_was_acknowledged_has_its_record_on_disk_when_the_power_goes(shop, plugged, point, moment):
    writers = pull(shop, plugged, point, moment, 7)
    assert writers.acknowledged() and None in writers.told.values()


@pytest.mark.long
@pytest.mark.parametrize("point", ["name", "folder sync"])
def test_names_of_files_are_on_disk_before_what_was_promised_in_them(shop, plugged, point):
    for moment in ("before", "after"):
        assert pull(shop, plugged, point, moment, 5, reads=True).acknowledged()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(60))
def test_the_power_goes_anywhere_and_the_disk_keeps_a_part_more(shop, plugged, seed):
    chance = random.Random(seed)
    pull(shop, plugged, "any", chance.choice(["before", "half", "after"]), chance.randint(1, 200), chance, reads=seed % 2 == 0)


def is_compressed(live):
    """All that former processes have left: only who writes has a tail."""
    running = tuple(path.name.rpartition("-w")[0] + "-" for path in live.glob("*.tail"))
    return running and all(path.name.startswith(running) for path in live.glob("*.jsonl"))


def test_a_disk_that_lies_is_found_out_by_this_test(shop, plugged):
    began = shop.postgres.query(shop.database, "select clock_timestamp()")[0][0]
    plug = plugged()
    eventually(lambda: is_compressed(plug.live), within=WITHIN, says="the former logs' compression")  # the keeper would write, and pull the plug
    plug.lie()
    writers = Writers(shop)
    assert put_analysis(shop, "liar", "select 1 as one", "view") == ""
    assert any(writers.call(0).status_code < 300 for _ in range(10)), "no write was told that it is done"  # some delete what is not there
    plug.arm("write", "before", 1)
    assert shop.get("/v1/regions/AR").status_code == 200, "a read waits for no write"
    shop.process.wait(WITHIN)
    plug.cut()
    plugged()
    with pytest.raises(AssertionError):
        check(shop, writers)
    # Anchors of what the disk had promised are true no more: the other tests' disks are honest.
    shop.postgres.query(shop.database, "delete from sluice.audit_anchor where chain in (select chain from sluice.audit_anchor group by 1 having max(at) >= %s)", (began,))


@pytest.mark.parametrize("fault", [{"write": errno.ENOSPC}, {"write": errno.EIO}, {"sync": errno.EIO}, {"sync": errno.ENOSPC}])
def test_what_cannot_be_brought_to_disk_does_not_happen(shop, plugged, fault):
    plug = plugged()
    writers = Writers(shop)
    name = f"/v1/analytics/fault_{next(NUMBERS)}"
    plug.fail(**fault)
    for _ in range(3):
        assert_problem(shop.get(name, method="PUT", json={"sql": "select 1 as one", "as": "view"}), 503, "unrecorded")
    plug.fail()
    eventually(lambda: shop.get(name).status_code == 404, within=WITHIN, says="that it is not there")
    eventually(lambda: writers.call(0).status_code < 300, within=WITHIN, says="a write")
    plug.arm("sync", "after", 1)
    with pytest.raises(requests.RequestException):
        writers.call(1)
    shop.process.wait(WITHIN)
    plug.cut()
    plugged()
    assert " 0 bad places" in good(shop)
    check(shop, writers)


@pytest.mark.parametrize("fault", [{"write": errno.ENOSPC}, {"sync": errno.EIO}])
def test_what_was_carried_out_when_the_disk_failed_is_told_of_when_it_works_again(shop, plugged, fault):
    """Its caller hears 503; an intent without outcome would speak of a crash that never was."""
    plug = plugged()
    with Writers(shop) as writers:
        eventually(lambda: len(writers.acknowledged()) >= WRITERS, within=WITHIN, says="writes")
    assert put_analysis(shop, "held", "select 1 as one", "view") == ""
    connection = shop.postgres.connect(shop.database)
    with connection.cursor() as cursor:
        cursor.execute("begin; select from sluice.analysis where name = 'held' for update")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(shop.get("/v1/analytics/held", method="DELETE", bearer=bearer(), session=requests.Session())))
        thread.start()
        blocked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        eventually(lambda: shop.postgres.query(shop.database, blocked) != [(0,)], within=WITHIN, says="that the deletion waits")
        plug.fail(**fault)
        cursor.execute("commit")
        thread.join()
    connection.close()
    assert_problem(answers[0], 503, "unrecorded")
    request_id = answers[0].headers["X-Request-Id"]
    plug.fail()
    eventually(lambda: writers.call(0).status_code < 300, within=WITHIN, says="a write")
    eventually(lambda: {"intent", "request", "incomplete"} == {record["event"] for record in grep(shop) if record.get("request_id") == request_id}, within=WITHIN, says="the outcome")
    assert [record["status"] for record in grep(shop, "--event", "request") if record["request_id"] == request_id] == [204]
    shop.process.kill()
    shop.process.wait()
    plugged()
    assert request_id not in {record["request_id"] for record in grep(shop, "--event", "lost")} and " 0 bad places" in good(shop)


@pytest.mark.long
def test_a_disk_that_fills_again_and_again_promises_nothing_it_has_not(shop, plugged):
    plug = plugged()
    chance = random.Random(7)
    with Writers(shop) as writers:
        for _ in range(6):
            before = len(writers.acknowledged())
            eventually(lambda: len(writers.acknowledged()) > before + 3, within=WITHIN, says="writes")
            plug.fail(**{chance.choice(["write", "sync"]): chance.choice([errno.ENOSPC, errno.EIO])})
            refused = sum(status == 503 for status in writers.told.values())
            eventually(lambda: sum(status == 503 for status in list(writers.told.values())) > refused + 3, within=WITHIN, says="refusals")
            plug.fail()
    assert writers.told.keys() and set(writers.told.values()) <= {200, 201, 204, 404, 503}
    shop.stop()
    assert " 0 bad places" in good(shop)
    log = Log(shop)
    for number in writers.acknowledged():
        assert log.outcomes.get(number) == [writers.told[number]], number
    for number in committed(shop) & writers.told.keys():
        assert log.intents[number] == 1, number
