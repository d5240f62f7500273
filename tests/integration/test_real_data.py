"""The real files: what is served equals what Python's csv and statistics reckon from them."""
import csv
import datetime
import statistics
from decimal import Decimal

import pytest

import reckon
from conftest import make_template
from gateway import ROOT

FOLDER = ROOT.parent / "shared/data"
pytestmark = pytest.mark.skipif(not (FOLDER / "weather_daily.csv").is_file(), reason=f"{FOLDER} is not there")
WEATHER = ["temperature_c", "precipitation_mm", "windspeed_kmh", "cloudcover_pct", "snowfall_cm"]
SUMS = {"precipitation_mm", "snowfall_cm"}


def number(text, kind):
    return kind(text) if text else None


@pytest.fixture(scope="module")
def sofia():
    """{measure: {day: value}} of Sofia's weather; a later line of a day replaces an earlier one."""
    lines = {}
    with open(FOLDER / "weather_daily.csv", encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["city"] == "Sofia":
                lines[datetime.date.fromisoformat(line["date"])] = line
    return {name: {day: number(line[name], float) for day, line in lines.items()} for name in WEATHER}


def prices(code):
    found = {}
    with open(FOLDER / "market_daily.csv", encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["ISO3 Code"] == code:
                found[datetime.date.fromisoformat(line["Date"])] = number(line["Price (EUR/MWhe)"], Decimal)
    return found


@pytest.fixture(scope="module")
def real(postgres, redis, tmp_path_factory):
    """A gateway on the loaded files, and the load's report."""
    from conftest import start_gateway

    make_template(postgres, "real")
    report = postgres.psql("real", ROOT / "sql/load_data.sql", folder=FOLDER)
    gateway = start_gateway(tmp_path_factory.mktemp("real"), postgres, redis, "real", {})
    yield gateway, report
    gateway.stop()
    postgres.drop("real")


def check_series(told, grain, measures):
    """measures: {name: ({day: value}, function)}"""
    reckoned = {name: reckon.aggregate(rows, grain, function) for name, (rows, function) in measures.items()}
    starts = sorted(next(iter(reckoned.values())))
    assert [row[grain] for row in told] == [str(start) for start in starts]
    for row, start in zip(told, starts):
        for name, (_, function) in measures.items():
            value, days = reckoned[name][start]
            assert row["days"] == days
            assert reckon.same(row[f"{name}_{function}"], value, rel=1e-11), (name, start, row, value)


@pytest.mark.parametrize("window", ["30d", "1y", "10y"])
def test_the_summary_of_sofia_equals_the_files(real, sofia, window):
    gateway, _ = real
    market = prices("BGR")
    end = max(set(sofia["temperature_c"]) & set(market))
    start = reckon.window_start(end, window)
    told = gateway.json(f"/v1/regions/BG-sofia/summary?window={window}")
    assert (told["window"]["from"], told["window"]["to"]) == (str(start), str(end))
    assert (told["market"]["region_id"], told["market"]["inherited"]) == ("BGR", True)
    assert told["weather"]["latest_day"] == str(max(sofia["temperature_c"]))
    assert told["market"]["latest_day"] == str(max(market))
    for source, name, rows in [("market", "price_eur_mwh", market), *(("weather", name, sofia[name]) for name in WEATHER)]:
        values = [value for day, value in rows.items() if start <= day <= end and value is not None]
        measure = told[source]["measures"][name]
        assert measure["days"] == len(values)
        assert reckon.same(measure["mean"], statistics.fmean(map(float, values)), rel=1e-11), name
        assert reckon.same(measure["min"], min(values)) and reckon.same(measure["max"], max(values))


@pytest.mark.parametrize("grain", ["week", "month", "year"])
def test_the_series_of_sofia_equal_the_files(real, sofia, grain):
    gateway, _ = real
    functions = {name: "sum" if name in SUMS else "mean" for name in WEATHER}
    check_series(gateway.json(f"/v1/regions/BG-sofia/weather?grain={grain}"), grain, {name: (sofia[name], functions[name]) for name in WEATHER})
    check_series(gateway.json(f"/v1/regions/BG-sofia/market?grain={grain}"), grain, {"price_eur_mwh": (prices("BGR"), "mean")})


def test_days_keep_their_digits(real, sofia):
    gateway, _ = real
    told = gateway.json("/v1/regions/BG-sofia/weather")
    assert {row["day"]: row["temperature_c"] for row in told} == {str(day): value for day, value in sofia["temperature_c"].items()}


@pytest.mark.parametrize("code", ["GBR", "IRL"])
def test_a_day_that_stands_twice_keeps_its_last_line(real, code):
    gateway, _ = real
    told = gateway.json(f"/v1/regions/{code}/market")
    expected = prices(code)
    assert [row["day"] for row in told] == [str(day) for day in sorted(expected)]
    assert all(reckon.same(row["price_eur_mwh"], expected[datetime.date.fromisoformat(row["day"])]) for row in told)


def test_the_load_tells_what_it_kept_and_dropped(real):
    _, report = real
    with open(FOLDER / "market_daily.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    kept = len({(line["ISO3 Code"], line["Date"]) for line in lines})
    assert f"market_daily.csv: {len(lines)} lines read, {kept} kept" in report
    assert f"{len(lines) - kept} dropped: replaced by a later line of the same region and day" in report
