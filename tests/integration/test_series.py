"""Case 3: series of every grain, streamed in memory that does not grow with them."""
import csv
import datetime
import io
import json
import re
import socket
import statistics
import threading
import time

import pytest

import reckon
from gateway import RELEASE_BINARY, SANITIZE, SLOWNESS, assert_problem, quote
from wait import eventually

FUNCTIONS = {"temperature_c": "mean", "precipitation_mm": "sum", "wind_kmh": "mean", "cloud_pct": "mean", "snowfall_cm": "sum"}


@pytest.fixture(scope="module")
def weather(postgres, demo):
    """weather(region): [(day, measures…)] in the order of days."""
    return lambda region: postgres.query(demo, f"select day, {', '.join(FUNCTIONS)} from warehouse.weather_daily where region_id = %s order by day", (region,))


def test_15_years_of_days_come_in_one_answer(api, weather):
    answer = api.get("/v1/regions/AR-alps-2/weather")
    expected = weather("AR-alps-2")
    assert answer.headers["Transfer-Encoding"] == "chunked" and "lane=scan" in answer.headers["Sluice-Plan"]
    assert [(datetime.date.fromisoformat(row["day"]), *(row[name] for name in FUNCTIONS)) for row in answer.json()] == expected
    assert all(row["region_id"] == "AR-alps-2" for row in answer.json())


def test_the_three_forms_hold_the_same_rows(api):
    path = "/v1/regions/MO-north-2/weather?from=2015-01-01&to=2019-12-31"
    rows = api.json(path)
    assert [json.loads(line) for line in api.get(path + "&format=ndjson").text.splitlines()] == rows
    lines = list(csv.DictReader(io.StringIO(api.get(path + "&format=csv").content.decode())))
    assert list(lines[0]) == list(rows[0])
    assert [{name: float(value) if value else None for name, value in line.items() if name in FUNCTIONS} for line in lines] == \
        [{name: value for name, value in row.items() if name in FUNCTIONS} for row in rows]


def test_a_gzipped_stream_holds_the_same(api):
    path = "/v1/regions/MO-north-2/weather"
    packed = api.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == api.get(path, headers={"Accept-Encoding": "identity"}).content


@pytest.mark.parametrize("grain", ["week", "month", "year"])
def test_a_grain_groups_and_names_each_function(api, weather, grain):
    rows = weather("TY-outer-2")  # with a hole of months
    told = api.json(f"/v1/regions/TY-outer-2/weather?grain={grain}")
    for index, (name, function) in enumerate(FUNCTIONS.items(), 1):
        reckoned = reckon.aggregate({row[0]: row[index] for row in rows}, grain, function)
        assert [row[grain] for row in told] == [str(start) for start in reckoned]
        for row, (value, days) in zip(told, reckoned.values()):
            assert row["days"] == days and reckon.same(row[f"{name}_{function}"], value), (row, name, value)
    assert set(told[0]) == {"region_id", grain, "days", *(f"{name}_{function}" for name, function in FUNCTIONS.items())}


def test_from_and_to_are_both_included(api):
    told = api.json("/v1/regions/KE/weather?from=2024-02-28&to=2024-03-01")
    assert [row["day"] for row in told] == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert api.json("/v1/regions/KE/weather?from=2024-02-29&to=2024-02-29")[0]["day"] == "2024-02-29"
    assert api.json("/v1/regions/KE/weather?from=1900-01-01&to=1900-12-31") == []
    assert api.json("/v1/regions/KE/weather?from=2025-12-01")[-1]["day"] == "2025-12-31"


def test_fields_choose_and_order_the_measures(api):
    told = api.json("/v1/regions/KE/weather?fields=wind_kmh,temperature_c&from=2024-01-01&to=2024-01-02")
    assert list(told[0]) == ["region_id", "day", "wind_kmh", "temperature_c"]
    monthly = api.json("/v1/regions/KE/weather?fields=snowfall_cm&grain=month&from=2024-01-01&to=2024-01-31")
    assert list(monthly[0]) == ["region_id", "month", "days", "snowfall_cm_sum"]


def test_the_market_of_an_ancestor_stands_in_and_is_named(api, postgres, demo):
    told = api.json("/v1/regions/MO-south-1/market?from=2018-01-01&to=2018-12-31")
    expected = postgres.query(demo, "select day::text, price_eur_mwh from warehouse.market_daily where region_id = 'MO-south' and day between '2018-01-01' and '2018-12-31' order by day")
    assert {row["region_id"] for row in told} == {"MO-south"}
    assert [row["day"] for row in told] == [day for day, _ in expected]
    assert all(reckon.same(row["price_eur_mwh"], price) for row, (_, price) in zip(told, expected))


def test_the_forecast_is_the_latest_one(api):
    told = api.json("/v1/regions/AR/forecast")
    assert [row["day"] for row in told] == [f"2026-01-0{day}" for day in range(1, 8)]


def test_a_short_series_takes_the_fast_lane_with_its_length(api):
    answer = api.get("/v1/regions/AR/weather?from=2024-01-01&to=2024-12-31")
    assert "lane=fast" in answer.headers["Sluice-Plan"]
    assert int(answer.headers["Content-Length"]) > 0


def test_an_unknown_field_or_region_is_refused_before_any_row(api):
    problem = assert_problem(api.get("/v1/regions/AR/weather?fields=temperature_c,heat"), 400, "invalid-parameter")
    assert problem["errors"][0]["field"] == "fields" and "heat" in problem["errors"][0]["message"] and "wind_kmh" in problem["errors"][0]["message"]
    for series in ("weather", "market", "forecast"):
        assert_problem(api.get(f"/v1/regions/none/{series}"), 404, "not-found")
    injection = quote('temperature_c" from pg_authid--')
    assert_problem(api.get(f"/v1/regions/AR/weather?fields={injection}"), 400, "invalid-parameter")


class SlowReader(threading.Thread):
    """Reads one series at 100 KB/s until it ends or is told to stop."""

    def __init__(self, gateway, path, rate=100_000):
        super().__init__(daemon=True)
        self.gateway, self.path, self.rate = gateway, path, rate
        self.received, self.stopping = 0, threading.Event()
        self.connection = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.connection.connect((gateway.host, gateway.port))
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n\r\n".encode())

    def run(self):
        started = time.monotonic()
        while not self.stopping.is_set():
            chunk = self.connection.recv(4096)
            if not chunk:
                return
            self.received += len(chunk)
            self.stopping.wait(max(0, started + self.received / self.rate - time.monotonic()))

    def end(self):
        self.stopping.set()
        self.join(10)
        self.connection.close()


def big_series(postgres, database):
    """A region with so many rows that no kernel buffer holds its series: a million days don't exist, so a view that repeats them."""
    postgres.query(database, """create view serving.long as select region_id, day, temperature_c, precipitation_mm, wind_kmh, cloud_pct, snowfall_cm
        from warehouse.weather_daily cross join generate_series(1, 40); grant select on serving.long to sluice_reader""")
    return {"serving": {"weather": "serving.long"}}


def latency(gateway, calls):
    """The median of a summary, in seconds."""
    took = []
    for _ in range(calls):
        started = time.perf_counter()
        assert gateway.get("/v1/regions/AR/summary?window=7d").status_code == 200
        took.append(time.perf_counter() - started)
    return statistics.median(took)


@pytest.mark.tsan
def test_32_slow_readers_neither_swell_the_process_nor_slow_the_summary(postgres, database, gateway):
    binary = RELEASE_BINARY or None
    # Sizes and latencies are the release build's; the sanitized build is run for its reports.
    measured = binary is not None and SANITIZE != "thread"
    one = gateway({**big_series(postgres, database), "database": {"scan": {"connections": 32}}, "cache": {"memory": "1MB"}}, database=database,
                  **({"binary": binary} if measured else {}))
    for _ in range(4):
        one.json("/v1/regions/AR/weather?grain=month")  # code, connections and buffers that stay
    idle, before = min(latency(one, 50) for _ in range(4)), one.memory()
    readers = [SlowReader(one, f"/v1/regions/{region}/weather") for region in ("AR", "KE", "MO", "TY") for _ in range(8)]
    try:
        for reader in readers:
            reader.start()
        eventually(lambda: all(reader.received > 20_000 for reader in readers), within=30, says="every reader's first bytes")

        def is_as_quick():
            busy = latency(one, 50)
            # Python's own 32 threads take from the same cores: 1 ms is left to them.
            assert not measured or busy < max(2 * idle, idle + 0.001 * SLOWNESS), f"{busy * 1e3:.2f} ms with readers, {idle * 1e3:.2f} ms idle"
            return True

        latency(one, 150)
        # What other tests take of the machine is no reader's doing, and lasts for a moment; the readers stay.
        eventually(is_as_quick, within=30, every=0.2, says="the summary's pace with readers")
        after = one.memory()
        assert all(reader.is_alive() for reader in readers), "the streams ended before they were measured"
        if measured:
            assert (after - before) / len(readers) < 1_000_000, f"{(after - before) / len(readers):.0f} bytes a stream"
    finally:
        for reader in readers:
            reader.end()
    eventually(lambda: one.metrics()['sluice_lane_connections_busy{lane="scan"}'] == 0, within=10, says="the scans' end")


def test_a_failure_in_mid_stream_is_seen_by_the_reader(postgres, database, gateway):
    postgres.query(database, """create view serving.breaking as select region_id, day, temperature_c / (case when day = '2025-06-01' then 0 else 1 end) as t
        from warehouse.weather_daily cross join generate_series(1, 20); grant select on serving.breaking to sluice_reader""")
    postgres.query(database, f'alter role sluice_reader in database "{database}" set enable_sort = off')  # rows come before the bad one is met
    one = gateway({"serving": {"weather": "serving.breaking"}}, database=database)
    request = "GET /v1/regions/AR/weather?format={} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n"
    for form in ("json", "csv", "ndjson"):
        status, _, body = one.raw(request.format(form, one.token).encode(), half_close=False)
        if status == 500:
            continue  # it failed before the first byte, and says so
        assert status == 200 and not body.endswith(b"0\r\n\r\n"), f"{form}: the last chunk was sent"
        if form == "ndjson":
            assert re.search(rb'\n\{"error":\{"type":"urn:sluice:problem:internal"[^\n]*\}\n', body), body[-600:]
    assert one.get("/v1/regions/AR/weather?from=2024-01-01&to=2024-01-31").status_code == 200
