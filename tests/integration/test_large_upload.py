"""An upload far larger than memory streams in: the gateway stays small, and a neighbour's summaries stay quick meanwhile.

The long form takes SLUICE_LARGE_UPLOAD bytes (10 GB unless told), and about 3.2 times as much of the disk of /tmp and /var/tmp. What was seen is
printed (pytest -s): memory, the neighbour's medians, MB/s of each stage."""
import http.client
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg2
import pytest

from conftest import TEMPLATE, start_gateway
from gateway import BINARY, RELEASE_BINARY, token, write_secret
from office import LOGIN_KEY, Office
from wait import eventually, free_port

CUSTOMER = "vast"
BIG = int(float(os.environ.get("SLUICE_LARGE_UPLOAD", "10e9")))
DISK = 3.2              # times the file: the spool, the table with its indexes, their sort, and PostgreSQL's log
GROWTH = 32 << 20       # issue 5
SLOWER = 2              # issue 5
BAR = 64 << 10          # issue 5
IDLE_S = 12             # of the neighbour's alone
EVERY_S = 0.05          # between two questions of the neighbour's
REGIONS = ("AR", "MO", "KE-plain", "TY-outer-2")
BLOCK_ROWS = 5000
POLITE = ("nice", "-n", "10")

# A program of its own: it shares no interpreter with whoever measures. A block is made once; its number goes into each row, so that ids differ.
PRODUCER = """
import sys
size, rows = int(sys.argv[1]), int(sys.argv[2])
words = ("north", "south", "harbour", "ridge", "a long, quoted remark about the day", "plain")
def row(n):
    remark = words[n % len(words)]
    remark = '"' + remark + '"' if "," in remark else remark
    return "1########%04d,20%02d-%02d-%02d,R%03d,%d.%02d,%.6f,%d,%s,station %d of the western line measured at noon and again at night\\n" % (
        n, n % 25, n % 12 + 1, n % 28 + 1, n % 400, n * 7 % 5000, n % 100, n / 7, n * n % 100000, remark, n % 90)
block = "".join(row(n) for n in range(rows)).encode()
out, sent = sys.stdout.buffer, 0
sent += out.write(b"id,day,region,price,load,visitors,remark,station\\n")
for number in range(100000000):
    if sent >= size:
        break
    sent += out.write(block.replace(b"########", b"%08d" % number))
out.flush()
sys.stderr.write("%d %d" % (sent, number * rows))
"""


class Neighbour(threading.Thread):
    """Asks for summaries at a steady low rate: by turns one that is kept, and one that is not. It counts what an answer took, by stage."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.address, self.headers = (gateway.host, gateway.port), {"Authorization": f"Bearer {token(customer='neighbour')}"}
        self.stage, self.seen, self.wrong, self.over = "idle", [], [], threading.Event()

    def paths(self):
        """(kept, path): every day that a window may end on is an answer of its own."""
        for number in itertools.count():
            yield True, "/v1/regions/AR/summary?window=30d"
            year, month, day = 2012 + number // 336 % 13, number // 28 % 12 + 1, number % 28 + 1
            yield False, f"/v1/regions/{REGIONS[number // 4368 % len(REGIONS)]}/summary?window=1y&as_of={year}-{month:02d}-{day:02d}"

    def run(self):
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        due = time.monotonic()
        for kept, path in self.paths():
            due = max(due + EVERY_S, time.monotonic())
            if self.over.wait(due - time.monotonic()):
                break
            stage, began = self.stage, time.perf_counter()
            try:
                connection.request("GET", path, headers=self.headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(repr(error))
                connection.close()
                continue
            took, plan = time.perf_counter() - began, answer.headers.get("Sluice-Plan", "")
            if answer.status != 200:
                self.wrong.append((answer.status, path))
            elif kept == ("cache=miss" not in plan):
                self.seen.append((stage, kept, took))
        connection.close()

    def median(self, kept, idle):
        """In ms."""
        times = [took for stage, was_kept, took in self.seen if was_kept == kept and (stage == "idle") == idle]
        assert len(times) >= 20, f"the neighbour was answered {len(times)} times only"
        return statistics.median(times) * 1000

    def stop(self):
        self.over.set()
        self.join(40)


class Place:
    """A database and a gateway with an ingest listener, which nobody else uses."""

    def __init__(self, postgres, folder):
        self.postgres, self.folder, self.database = postgres, folder, postgres.clone("vast", TEMPLATE)
        self.office = Office(postgres, self.database, folder)
        self.office.ok("add", CUSTOMER, "--bytes", "0", "--relations", "0")
        self.port = free_port()
        self.gateway = start_gateway(folder, postgres, None, self.database, {
            "server": {"ingest": {"listen": f"127.0.0.1:{self.port}"}}, "customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}},
            binary=RELEASE_BINARY or BINARY)
        self.watching = psycopg2.connect(host=str(postgres.folder), port=postgres.port, user="postgres", dbname=self.database)
        self.watching.autocommit = True

    def pss(self):
        """Bytes of memory that are the gateway's."""
        for line in Path(f"/proc/{self.gateway.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no Pss in smaps_rollup")

    def forget_peak(self):
        """The kernel's mark of the most resident memory begins anew; bytes that are resident now."""
        Path(f"/proc/{self.gateway.process.pid}/clear_refs").write_text("5")
        return self.status_of("VmHWM")

    def status_of(self, name):
        line = next(line for line in Path(f"/proc/{self.gateway.process.pid}/status").read_text().splitlines() if line.startswith(name + ":"))
        return int(line.split()[1]) * 1024

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.gateway.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def received(self):
        return self.gateway.metrics()["sluice_ingest_body_bytes_total"]

    def stage(self):
        """What the database does for the load; None: nothing that it tells of."""
        with self.watching.cursor() as cursor:
            cursor.execute("select case when exists (select from pg_stat_progress_copy) then 'copy' when exists (select from pg_stat_progress_create_index) then 'index'"
                           " when exists (select from pg_stat_progress_analyze where relid in (select oid from pg_class where relname like '~load%')) then 'analyze' end")
            return cursor.fetchone()[0]

    def close(self):
        self.watching.close()
        self.gateway.stop()


@pytest.fixture
def place(own_postgres, tmp_path):
    one = Place(own_postgres, tmp_path)
    yield one
    one.close()


def begin(place, size, bearer):
    """The producer and curl, as polite as a client on another machine would be to this one's processors."""
    producer = subprocess.Popen([*POLITE, sys.executable, "-c", PRODUCER, str(size), str(BLOCK_ROWS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = [f"Authorization: Bearer {bearer}"] if bearer else []
    command = [*POLITE, "curl", "-sS", "-T", "-", *(word for line in [*lines, "Content-Type: text/csv", "Expect:"] for word in ("-H", line)),
               "-o", str(place.folder / "answer"), "-w", "%{http_code}", f"http://127.0.0.1:{place.port}/v1/uploads/big?key=id"]
    curl = subprocess.Popen(command, stdin=producer.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    producer.stdout.close()
    return producer, curl


def follow(place, neighbour, producer, curl):
    """Until curl has its answer: the highest memory, and the seconds of each stage."""
    peak, spent, before = 0, {}, time.monotonic()
    while curl.poll() is None:
        stage = "receive" if producer.poll() is None else place.stage() or ("receive" if "copy" not in spent else "rest")
        if neighbour is not None:
            neighbour.stage = stage
        peak = max(peak, place.pss())
        time.sleep(0.1)  # between two looks
        now = time.monotonic()
        spent[stage], before = spent.get(stage, 0) + now - before, now
    return peak, spent


def upload(place, size, neighbour=None):
    """What the gateway answered, what was sent (bytes, rows), memory before and at its peak, seconds by stage, seconds of processor. The peak is the
    higher one of what looks at PSS have seen and of what the kernel kept of resident memory, which no moment escapes."""
    before, resident, cpu = place.pss(), place.forget_peak(), place.cpu_seconds()
    producer, curl = begin(place, size, token(customer=CUSTOMER, scope="uploads:write"))
    try:
        peak, spent = follow(place, neighbour, producer, curl)
    finally:
        for process in (curl, producer):
            if process.poll() is None:
                process.kill()
        status, complaint = curl.communicate(timeout=10)
        sent, rows = map(int, producer.communicate(timeout=10)[1].split() or (0, 0))
    answer = (place.folder / "answer").read_text() if (place.folder / "answer").exists() else ""
    assert status == b"201", f"{status} {complaint}: {answer[:1000]}"
    peak = max(peak, before + place.status_of("VmHWM") - resident)
    return json.loads(answer), sent, rows, before, peak, spent, place.cpu_seconds() - cpu


def check_rows(place, told, sent, rows):
    assert (told["bytes"], told["rows"], told["quarantined"]) == (sent, rows, 0)
    assert {one["name"]: one["type"] for one in told["columns"]} == {
        "id": "bigint", "day": "date", "region": "text", "price": "numeric", "load": "numeric", "visitors": "bigint", "remark": "text", "station": "text"}
    blocks = rows // BLOCK_ROWS
    first, last = 10 ** 12, 10 ** 12 + (blocks - 1) * 10000 + BLOCK_ROWS - 1
    assert place.office.query(f"select count(*), min(id), max(id) from {CUSTOMER}_uploads.big") == [(rows, first, last)]
    assert list(Path(place.gateway.config["uploads"]["spool"]).iterdir()) == []


def say(sent, before, peak, after, spent, cpu, neighbour=None):
    mb = sent / 1e6
    print(f"\n{mb:,.0f} MB; memory (PSS) {before / 1e6:.1f} MB before, {peak / 1e6:.1f} at its peak, {after / 1e6:.1f} after; {cpu:.1f} s of the gateway's processor time")
    for stage, seconds in spent.items():
        print(f"  {stage}: {seconds:.1f} s, {mb / seconds:.0f} MB/s")
    if neighbour is not None:
        for stage in ("idle", *spent):
            for kept in (True, False):
                times = sorted(took * 1000 for at, was_kept, took in neighbour.seen if (at, was_kept) == (stage, kept))
                if times:
                    print(f"  neighbour, {stage}, {'kept' if kept else 'asked'}: median {statistics.median(times):.2f} ms, p95 {times[len(times) * 95 // 100]:.2f} ms of {len(times)}")


def test_without_a_token_a_large_body_is_refused_before_it_is_read(place):
    producer, curl = begin(place, BIG, None)
    try:
        status, _ = curl.communicate(timeout=60)
    finally:
        producer.kill()
        producer.communicate(timeout=10)
    assert status == b"401", status
    eventually(lambda: place.gateway.metrics()["sluice_ingest_connections"] == 0, says="an idle listener")
    assert place.received() < BAR
    assert place.office.as_customer(CUSTOMER, "select count(*) from sluice.upload") == [(0,)]


@pytest.mark.skipif(not RELEASE_BINARY, reason="a sanitizer's memory says nothing of the gateway's: SLUICE_RELEASE_BINARY names one without")
def test_two_hundred_megabytes_stream_in_and_memory_stays(place):
    told, sent, rows, before, peak, spent, cpu = upload(place, 200_000_000)
    say(sent, before, peak, place.pss(), spent, cpu)
    check_rows(place, told, sent, rows)
    assert peak - before < GROWTH, f"memory grew by {(peak - before) / 1e6:.1f} MB"


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_ten_gigabytes_stream_in_and_a_neighbour_hardly_notices(place):
    """The neighbour's answers are kept too, 1.4 KB each: of ten minutes they are the larger part of what memory grows by."""
    free = min(shutil.disk_usage(folder).free for folder in (place.folder, place.postgres.folder))
    assert free > DISK * BIG, f"{BIG / 1e9:.1f} GB need {DISK * BIG / 1e9:.0f} GB of disk, {free / 1e9:.0f} are free; SLUICE_LARGE_UPLOAD tells a smaller size"
    neighbour = Neighbour(place.gateway)
    neighbour.start()
    try:
        time.sleep(IDLE_S)  # the measurement, not a wait
        told, sent, rows, before, peak, spent, cpu = upload(place, BIG, neighbour)
    finally:
        neighbour.stop()
    say(sent, before, peak, place.pss(), spent, cpu, neighbour)
    check_rows(place, told, sent, rows)
    assert peak - before < GROWTH, f"memory grew by {(peak - before) / 1e6:.1f} MB"
    assert not neighbour.wrong, f"{len(neighbour.wrong)} of the neighbour's answers, like {neighbour.wrong[0]}"
    for kept in (True, False):
        idle, during = neighbour.median(kept, True), neighbour.median(kept, False)
        assert during < SLOWER * idle, f"a summary that is {'kept' if kept else 'asked anew'} took {idle:.2f} ms alone and {during:.2f} ms beside the load"
