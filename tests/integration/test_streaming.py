"""Large answers: they leave in constant memory at the pace of their reader, and what goes wrong on the way is seen by him."""
import contextlib
import gzip
import http.client
import json
import random
import subprocess
import threading
import time
import zlib

import pytest

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import RELEASE_BINARY, SANITIZE, SLOWNESS, token
from wait import eventually

FORMATS = ("json", "csv", "ndjson")
CONTENT_TYPES = {"json": "application/json", "csv": "text/csv", "ndjson": "application/x-ndjson"}
ROWS, MANY = 60_000, 10_000_000
MEMORY_OF_A_STREAM = 2 << 20
# A cross join yields its rows one by one; a single function would first write them all to disk.
SQL = """
create schema stream; grant usage on schema stream to sluice_reader;
create view stream.endless as select a * 10000::bigint + b as id, 'name "' || b % 1000 || '"' as name, (b % 77) / 7.0::float8 as value,
    case when b % 10 <> 0 then date '2000-01-01' + b % 9000 end as day from generate_series(0, 999) as a cross join generate_series(1, 10000) as b;
create table stream.wide (id integer primary key, name text not null, note text);
insert into stream.wide select n, 'row, "' || n || '"', case when n % 3 <> 0 then md5(n::text) end from generate_series(1, 60000) as n;
create view stream.breaking as select id, name, 100 / (id - 40000) as share, note from stream.wide;
create function stream.late(id integer) returns integer language plpgsql stable as
    $$ begin if id = 40000 then perform pg_sleep(60); end if; return id; end $$;
create function stream.some(asked integer) returns setof integer language plpgsql stable rows 10 as
    $$ begin return query select generate_series(1, asked); end $$;
create view stream.unforeseen as select n as id, md5(n::text) as name from stream.some(200000) as n;
create view stream.foreseen as select n as id, md5(n::text) as name from stream.some(2000) as n;
create view stream.late_row as select stream.late(id) as id, name, note from stream.wide;
grant select on all tables in schema stream to sluice_reader;
"""
BUSY = 'sluice_lane_connections_busy{lane="scan"}'


def prepared(postgres):
    name = postgres.clone(f"stream_{next(NUMBERS)}", TEMPLATE)
    postgres.query(name, SQL)
    postgres.query(name, "analyze stream.wide")
    return name


def started(folder, postgres, redis, name, changes=None, **options):
    one = start_gateway(folder, postgres, redis, name, {"warehouse": {"schemas": ["stream"]}, **(changes or {})}, **options)
    one.database, one.token = name, token(scope="datasets:read")
    return one


@pytest.fixture(scope="module")
def store(postgres, redis, tmp_path_factory):
    name = prepared(postgres)
    one = started(tmp_path_factory.mktemp("stream"), postgres, redis, name)
    yield one
    one.stop()
    postgres.drop(name)


@pytest.fixture
def own_store(postgres, redis, tmp_path):
    """Starts a gateway with other settings on a database of its own."""
    with contextlib.ExitStack() as stack:
        def start(changes=None, **options):
            name = prepared(postgres)
            stack.callback(postgres.drop, name)
            one = started(tmp_path, postgres, redis, name, changes, **options)
            stack.callback(one.stop)
            return one
        yield start


def count_rows(form, body):
    """Rows of a chunk: one byte each tells them, wherever the chunk begins."""
    return body.count(b"{" if form == "json" else b"\n")


def rows_of(form, count):
    """What count_rows finds in a whole answer: a header stands above CSV, and its last line has no end."""
    return count


def scans(postgres, database):
    return postgres.query(database, "select wait_event, query from pg_stat_activity where usename = 'sluice_reader' and state = 'active' and datname = current_database()")


# Whole and equal


@pytest.mark.parametrize("form", FORMATS)
def test_a_streamed_answer_is_the_same_with_and_without_gzip(store, form):
    path = f"/v1/datasets/wide?order=id&format={form}"
    plain, packed = store.get(path, headers={"Accept-Encoding": "identity"}), store.get(path, headers={"Accept-Encoding": "gzip"}, stream=True)
    raw = packed.raw.read()
    assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 1.5 and len(plain.content) > 2_000_000
    for answer in (plain, packed):
        assert answer.headers["Transfer-Encoding"] == "chunked" and "Content-Length" not in answer.headers and "Content-Range" not in answer.headers
        assert answer.headers["Content-Type"].startswith(CONTENT_TYPES[form])
    assert count_rows(form, plain.content) == rows_of(form, ROWS)


def test_a_stream_of_json_is_json_and_has_every_row_in_order(store):
    rows = store.json("/v1/datasets/wide?order=id.desc")
    assert [row["id"] for row in rows] == list(range(ROWS, 0, -1))
    assert rows[0] == {"id": ROWS, "name": f'row, "{ROWS}"', "note": None}


def test_what_the_planner_takes_for_few_rows_comes_in_one_piece_and_if_they_are_many_row_by_row(own_store):
    """The planner thinks that either view has ten rows. A result that has outgrown one piece is asked for again, once: then its shape is known."""
    one = own_store({"server": {"workers": 1}})
    cancels = 'sluice_lane_cancels_total{lane="scan"}'
    before = one.metrics()[cancels]
    for _ in range(3):
        assert [row["id"] for row in one.json("/v1/datasets/foreseen")] == list(range(1, 2001))
    for _ in range(3):
        answer = one.get("/v1/datasets/unforeseen?format=csv")
        assert answer.text.splitlines()[1:3] == ["1,c4ca4238a0b923820dcc509a6f75849b", "2,c81e728d9d4c2f636f067f89cc14862c"]
        assert len(answer.text.splitlines()) == 200_001
    eventually(lambda: one.metrics()[cancels] - before == 1, within=2 * SLOWNESS, says="one cancelled query, of the first read")


def test_a_streams_span_is_told_where_the_count_was_asked_for(store):
    answer = store.get("/v1/datasets/wide?limit=20000&order=id", headers={"Prefer": "count=exact"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (206, f"0-19999/{ROWS}") and len(answer.json()) == 20_000


def test_a_stream_of_ndjson_with_more_behind_it_ends_with_a_next_line(store):
    """The pages behind a cursor are no streams: they have a Link."""
    seen, path, told = [], "/v1/datasets/wide?order=name.desc&limit=25000&format=ndjson", []
    while path is not None:
        answer = store.get(path)
        lines = [json.loads(line) for line in answer.text.splitlines()]
        link = answer.links.get("next", {}).get("url")
        line = lines.pop()["next"] if "next" in lines[-1] else None
        assert link is None or line is None
        seen += [one["id"] for one in lines]
        told.append("link" if link else "line" if line else None)
        path = link or line
    assert len(seen) == len(set(seen)) == ROWS
    assert told[0] == "line" and told[-1] is None and set(told[1:-1]) == {"link"}


def test_a_connection_serves_on_after_a_stream(store):
    connection = http.client.HTTPConnection(store.host, store.port, timeout=60)
    for path in ("/v1/datasets/wide", "/v1/datasets/wide?id=eq.1", "/v1/datasets/wide?format=csv", "/v1/datasets/wide?id=eq.2"):
        connection.request("GET", path, headers=store.headers())
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
    connection.close()


def test_a_head_of_a_large_answer_has_no_body_and_leaves_no_scan(postgres, store):
    answer = store.get("/v1/datasets/endless", method="HEAD", timeout=20)
    assert answer.status_code == 200 and not answer.content
    eventually(lambda: not scans(postgres, store.database), within=2 * SLOWNESS, says="the scan's end")


# Failures in mid-stream


def fetch(one, path, folder, *options):
    """curl at work; its output is written to a file as it comes."""
    out = folder / f"{random.getrandbits(64):x}"
    return out, subprocess.Popen(["curl", "-sS", "--noproxy", "*", "--no-buffer", "-H", f"Authorization: Bearer {one.token}", "-o", out, *options, one.base + path],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check_cut(form, body):
    """A cut answer cannot be taken for a whole one."""
    if form == "json":
        with pytest.raises(ValueError):
            json.loads(body)
    if form == "ndjson":
        lines = body.splitlines()
        error = json.loads(lines[-1])["error"]
        assert error["type"].startswith("urn:sluice:problem:") and error["request_id"] and body.endswith(b"\n")
        assert all("error" not in json.loads(line) for line in lines[:-1]) and len(lines) > 100
        return error
    return None


def test_a_database_that_is_killed_gives_curl_18_and_an_error_line_in_ndjson(own_postgres, redis, tmp_path):
    one = started(tmp_path, own_postgres, redis, prepared(own_postgres), {"database": {"scan": {"statement_timeout": "5m"}}})
    calls = [(form, *fetch(one, f"/v1/datasets/endless?format={form}", tmp_path, "--limit-rate", "3M", *more)) for form, more in
             [(form, ()) for form in FORMATS] + [("ndjson", ("--compressed",))]]
    try:
        eventually(lambda: all(out.is_file() and out.stat().st_size > 200_000 for _, out, _ in calls), within=30, says="the streams' first bytes")
        assert all(call.poll() is None for _, _, call in calls)
        own_postgres.kill()
        for form, out, call in calls:
            assert call.wait(60) == 18, form
            body = out.read_bytes()
            assert count_rows(form, body) < MANY // 2
            check_cut(form, body)
        own_postgres.start()
        eventually(lambda: one.get("/v1/datasets/wide?id=eq.1").status_code == 200, within=10 * SLOWNESS, says="the database's return")
        eventually(lambda: one.metrics()[BUSY] == 0, within=2 * SLOWNESS, says="free connections")
    finally:
        for _, _, call in calls:
            call.kill()
            call.wait()
        one.stop()


@pytest.mark.parametrize("form", FORMATS)
def test_a_view_that_divides_by_zero_half_way_fails_visibly(store, tmp_path, form):
    out, call = fetch(store, f"/v1/datasets/breaking?format={form}", tmp_path)
    assert call.wait(60) == 18
    error = check_cut(form, out.read_bytes())
    assert 1000 < count_rows(form, out.read_bytes()) < 40_002
    if error is not None:
        assert error["type"] == "urn:sluice:problem:internal" and "zero" not in json.dumps(error)


def test_a_backend_that_is_terminated_in_mid_stream_is_seen(postgres, store, tmp_path):
    out, call = fetch(store, "/v1/datasets/endless?format=ndjson", tmp_path, "--limit-rate", "3M")
    try:
        eventually(lambda: out.is_file() and out.stat().st_size > 100_000, within=20)
        postgres.query(store.database, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sluice_reader' and state = 'active' and datname = current_database()")
        assert call.wait(60) == 18
        check_cut("ndjson", out.read_bytes())
    finally:
        call.kill()
        call.wait()
    assert store.get("/v1/datasets/wide?limit=1").status_code == 200


def test_a_statement_timeout_in_mid_stream_is_seen(own_store, tmp_path):
    one = own_store({"database": {"scan": {"statement_timeout": "6s"}}})  # time enough to get to the row that is late
    calls = [(form, *fetch(one, f"/v1/datasets/late_row?format={form}", tmp_path)) for form in FORMATS]
    for form, out, call in calls:
        assert call.wait(60) == 18, form
        error = check_cut(form, out.read_bytes())
        assert error is None or error["type"] == "urn:sluice:problem:timeout"


def test_a_gateway_that_is_killed_gives_curl_18_or_a_reset(own_store, tmp_path):
    one = own_store()
    out, call = fetch(one, "/v1/datasets/endless?format=csv", tmp_path, "--limit-rate", "3M")
    eventually(lambda: out.is_file() and out.stat().st_size > 100_000, within=20)
    one.kill()
    assert call.wait(60) in (18, 56)


# Backpressure


class Stalled:
    """Asks for a stream, reads its first bytes, and then nothing."""

    def __init__(self, one, path, encoding="identity"):
        self.connection = one.connect(timeout=60)
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {encoding}\r\nAuthorization: Bearer {one.token}\r\n\r\n".encode())
        assert b" 200 " in self.connection.recv(1000)

    def close(self):
        self.connection.close()


@pytest.mark.tsan
def test_a_reader_that_stops_stops_its_scan_and_nobody_else(postgres, own_store):
    measured = RELEASE_BINARY is not None and SANITIZE != "thread"
    one = own_store({"server": {"workers": 1}}, **({"binary": RELEASE_BINARY} if measured else {}))
    for form in FORMATS:
        assert one.get(f"/v1/datasets/wide?format={form}").status_code == 200
    before = one.memory()
    stalled = [Stalled(one, f"/v1/datasets/endless?format={form}") for form in FORMATS for _ in range(3)]
    try:
        waiting = lambda: [event for event, _ in scans(postgres, one.database)] == ["ClientWrite"] * len(stalled)
        eventually(waiting, within=30 * SLOWNESS, says="backends that wait for their readers")
        for number in range(1, 30):
            assert one.json(f"/v1/datasets/wide?id=eq.{number}")[0]["id"] == number
            assert len(one.json(f"/v1/datasets/wide?id=gt.{number}&limit=3")) == 3
        if measured:
            grown = one.memory() - before
            assert grown < MEMORY_OF_A_STREAM * len(stalled), f"{grown / len(stalled) / 1e6:.2f} MB a stream"
    finally:
        for one_stalled in stalled:
            one_stalled.close()
    eventually(lambda: not scans(postgres, one.database) and one.metrics()[BUSY] == 0, within=2 * SLOWNESS, says="free connections")


@pytest.mark.long
@pytest.mark.parametrize("form", FORMATS)
def test_a_reader_slower_than_the_floor_is_cut_and_its_connection_is_free_again(postgres, own_store, form):
    one = own_store({"server": {"min_send_rate": "100KB"}, "database": {"scan": {"statement_timeout": "10m"}}})
    stalled = Stalled(one, f"/v1/datasets/endless?format={form}")
    try:
        eventually(lambda: one.metrics()[BUSY] == 1, within=5 * SLOWNESS, says="a connection at work")
        eventually(lambda: one.metrics()["sluice_slow_readers_cut_total"] == 1, within=90, every=0.2, says="the cut")
        eventually(lambda: one.metrics()[BUSY] == 0 and not scans(postgres, one.database), within=SLOWNESS, says="a free connection")
    finally:
        stalled.close()
    assert one.get("/v1/datasets/wide?limit=3").status_code == 200


# Memory


class Reader(threading.Thread):
    """Reads a stream to its end, or at a pace until it is told to stop, and counts its rows."""

    def __init__(self, one, path, form, packed=False, rate=None):
        super().__init__(daemon=True)
        self.form, self.rate, self.unpacker = form, rate, zlib.decompressobj(31) if packed else None
        self.rows = self.received = 0
        self.stopping, self.problem = threading.Event(), None
        self.connection = http.client.HTTPConnection(one.host, one.port, timeout=120)
        self.connection.request("GET", path, headers=one.headers({"Accept-Encoding": "gzip" if packed else "identity"}))

    def run(self):
        try:
            self.read(self.connection.getresponse())
        except Exception as problem:  # shown by the test that waits for it
            self.problem = problem

    def read(self, answer):
        began = time.monotonic()
        while not self.stopping.is_set():
            chunk = answer.read(1 << 18 if self.rate is None else 1 << 14)
            if not chunk:
                return
            self.received += len(chunk)
            self.rows += count_rows(self.form, self.unpacker.decompress(chunk) if self.unpacker else chunk)
            if self.rate is not None:
                self.stopping.wait(max(0, began + self.received / self.rate - time.monotonic()))

    def end(self):
        self.stopping.set()
        self.join(60)
        self.connection.close()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not RELEASE_BINARY and bool(SANITIZE), reason="sizes are measured on SLUICE_RELEASE_BINARY")
@pytest.mark.parametrize("form", FORMATS)
def test_ten_million_rows_leave_in_constant_memory_for_fast_and_slow_readers(postgres, own_store, form):
    options = {"binary": RELEASE_BINARY} if RELEASE_BINARY else {}
    one = own_store({"database": {"scan": {"statement_timeout": "30m"}}, "cache": {"memory": "1MB", "answers": "1MB"}}, **options)
    for packed in ("gzip", "identity"):
        for _ in range(4):  # code, connections and buffers that stay, on either worker
            one.get(f"/v1/datasets/wide?format={form}", headers={"Accept-Encoding": packed, "Connection": "close"})
    before, path = one.memory(), f"/v1/datasets/endless?format={form}"
    slow = [Reader(one, path, form, packed, rate=100_000) for packed in (False, True)]
    fast = [Reader(one, path, form, packed) for packed in (False, True)]
    most, began = 0, time.monotonic()
    for reader in slow + fast:
        reader.start()
    try:
        while any(reader.is_alive() for reader in fast):
            most = max(most, one.memory() - before)
            fast[0].join(0.05)
            fast[1].join(0.05)
        took = time.monotonic() - began
        assert all(reader.is_alive() for reader in slow), "the slow ones ended before they were measured"
    finally:
        for reader in slow + fast:
            reader.end()
    assert [reader.problem for reader in slow + fast] == [None] * 4
    assert [reader.rows for reader in fast] == [rows_of(form, MANY)] * 2
    print(f"{form}: {fast[0].received / 1e6:.0f} MB plain, {fast[1].received / 1e6:.0f} MB packed in {took:.0f} s; at most {most / 4 / 1e6:.2f} MB a stream")
    assert most < 4 * MEMORY_OF_A_STREAM, f"{most / 4 / 1e6:.2f} MB a stream"
    eventually(lambda: one.metrics()[BUSY] == 0, within=5, says="free connections")
