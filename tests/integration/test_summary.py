"""Case 1: a region's averages, against the demo's rows reckoned in Python."""
import csv
import datetime
import io
import itertools

import pytest

import reckon
from gateway import assert_problem
from wait import eventually

UNITS = {"temperature_c": "°C", "precipitation_mm": "mm", "wind_kmh": "km/h", "cloud_pct": "%", "snowfall_cm": "cm",
         "interest_index": "index", "price_eur_mwh": "EUR/MWh"}
MARKET_OF = {"AR-north-1": "AR", "AR-alps-2": "AR-alps", "KE-plain": "KE-plain", "MO-south-2": "MO-south", "TY-outer-2": "TY", "KE": "KE"}


@pytest.fixture(scope="module")
def rows(postgres, demo):
    """rows(table, region): {measure: {day: value}} of the warehouse."""
    known = {}

    def read(table, region):
        if (table, region) not in known:
            measures = [row[0] for row in postgres.query(demo, """select column_name from information_schema.columns where table_schema = 'serving' and table_name = %s
                        and column_name not in ('region_id', 'day', 'issued_on') order by ordinal_position""", (table,))]
            found = postgres.query(demo, f"select day, {', '.join(measures)} from serving.{table} where region_id = %s", (region,))
            known[table, region] = {measure: {row[0]: row[i] for row in found} for i, measure in enumerate(measures, 1)}
        return known[table, region]

    return read


def latest(measures):
    return max(next(iter(measures.values())))


def check_source(told, measures, region, start, end):
    assert told["region_id"] == region
    assert told["latest_day"] == str(latest(measures))
    assert told["updated_at"].endswith("Z")
    assert list(told["measures"]) == list(measures)
    for name, values in measures.items():
        reckon.check_measure(told["measures"][name], reckon.statistics_of(values, start, end), name)
        assert told["measures"][name]["unit"] == UNITS[name]


@pytest.mark.parametrize("region", MARKET_OF)
@pytest.mark.parametrize("window", ["30d", "7d", "12w", "6m", "1y", "1d", "200y"])
def test_averages_equal_the_warehouses_rows(api, rows, region, window):
    weather, market = rows("weather_daily", region), rows("market_daily", MARKET_OF[region])
    end = max(set(weather["temperature_c"]) & set(market["price_eur_mwh"]))
    start = reckon.window_start(end, window)
    told = api.json(f"/v1/regions/{region}/summary?window={window}")
    assert told["window"] == {"requested": window, "from": str(start), "to": str(end), "days": (end - start).days + 1}
    check_source(told["weather"], weather, region, start, end)
    check_source(told["market"], market, MARKET_OF[region], start, end)
    assert told["market"]["inherited"] == (region != MARKET_OF[region])
    assert told["region"] == api.json(f"/v1/regions/{region}")


@pytest.mark.parametrize("as_of", ["2025-12-31", "2024-02-29", "2024-03-31", "2017-03-15", "2011-01-01", "2010-12-31", "2030-01-01", "0001-01-01"])
@pytest.mark.parametrize("window", ["30d", "1m", "1y"])
def test_as_of_ends_the_window_even_where_nothing_was_measured(api, rows, as_of, window):
    end = datetime.date.fromisoformat(as_of)
    if end.year == 1:
        start = None  # before the first day that Python knows
    else:
        start = reckon.window_start(end, window)
    told = api.json(f"/v1/regions/TY-outer-2/summary?window={window}&as_of={as_of}")
    assert told["window"]["to"] == as_of
    if start is not None:
        assert told["window"]["from"] == str(start)
    check_source(told["weather"], rows("weather_daily", "TY-outer-2"), "TY-outer-2", start or end, end)
    check_source(told["market"], rows("market_daily", "TY"), "TY", start or end, end)


def test_the_window_is_30_days_unless_told(api):
    assert api.json("/v1/regions/KE/summary")["window"]["requested"] == "30d"


def test_a_summary_costs_one_query(postgres, database, gateway):
    one = gateway({"cache": {"version_poll": "1h"}}, database=database)
    one.json("/v1/regions/AR/summary")  # the connection is there, and the statement prepared
    postgres.query(database, "select pg_stat_statements_reset()")
    queries = lambda: one.metrics()['sluice_lane_queries_total{lane="fast"}']
    before = eventually(queries)  # workers publish their counters now and then
    one.json("/v1/regions/KE-plain-1/summary?window=6m")
    eventually(lambda: queries() > before)
    assert queries() - before == 1
    ran = postgres.query(database, """select query, calls from pg_stat_statements s join pg_roles r on r.oid = s.userid
        where r.rolname = 'sluice_reader' and s.dbid = (select oid from pg_database where datname = current_database())
          and query ilike '%%weather_daily%%'""")
    assert [calls for _, calls in ran] == [1], ran


def test_the_second_call_comes_from_memory_and_is_the_same(gateway, store):
    one = gateway({"server": {"workers": 1}}, redis=store)
    first, second = one.get("/v1/regions/MO/summary"), one.get("/v1/regions/MO/summary")
    assert "cache=miss" in first.headers["Sluice-Plan"] and "cache=memory" in second.headers["Sluice-Plan"]
    assert "lane=fast" in first.headers["Sluice-Plan"]
    assert first.content == second.content


def test_another_instance_takes_it_from_redis(gateway):
    first, second = gateway(prefix="shared-summary:"), gateway(prefix="shared-summary:")
    windows, bodies = itertools.count(2), []

    def taken():
        """Another window each time: an instance that Redis had no answer for, because a worker's connection was not up yet or its write on the way, keeps its own."""
        path = f"/v1/regions/MO/summary?window={next(windows)}y"
        told, answer = first.get(path), second.get(path)
        bodies.append((told.content, answer.content))
        return "cache=redis" in answer.headers["Sluice-Plan"]

    eventually(taken, within=10, every=0.1, says="an answer from Redis")
    assert all(told == answer for told, answer in bodies)


def test_csv_has_a_line_a_measure(api):
    told = api.json("/v1/regions/AR-alps-1/summary?window=6m")
    lines = list(csv.DictReader(io.StringIO(api.get("/v1/regions/AR-alps-1/summary?window=6m&format=csv").content.decode())))
    assert [line["measure"] for line in lines] == [*told["weather"]["measures"], *told["market"]["measures"]]
    for line in lines:
        source = told[line["source"]]
        measure = source["measures"][line["measure"]]
        assert line["source_region_id"] == source["region_id"]
        assert (line["from"], line["to"]) == (told["window"]["from"], told["window"]["to"])
        assert line["unit"] == measure["unit"] and int(line["days"]) == measure["days"]
        for part in ("mean", "min", "max"):
            assert reckon.same(line[part] or None, measure[part])


def test_a_region_without_any_rows_says_so(postgres, database, gateway):
    postgres.query(database, "insert into warehouse.region (region_id, name, kind) values ('XX', 'Nowhere', 'country')")
    told = gateway(database=database).json("/v1/regions/XX/summary")
    assert told["window"] == {"requested": "30d", "from": None, "to": None, "days": None}
    for source in ("weather", "market"):
        assert told[source]["region_id"] is None and told[source]["latest_day"] is None
        for measure in told[source]["measures"].values():
            assert (measure["mean"], measure["min"], measure["max"], measure["days"]) == (None, None, None, 0)


def test_a_region_with_one_source_ends_on_its_latest_day(postgres, database, gateway):
    postgres.query(database, "insert into warehouse.region (region_id, name, kind) values ('YY', 'Half', 'country')")
    postgres.query(database, "insert into warehouse.weather_daily (region_id, day, temperature_c) values ('YY', '2020-02-29', 1.5), ('YY', '2020-02-28', null)")
    told = gateway(database=database).json("/v1/regions/YY/summary?window=1y")
    assert told["window"] == {"requested": "1y", "from": "2019-03-01", "to": "2020-02-29", "days": 366}
    assert told["weather"]["measures"]["temperature_c"] == {"unit": "°C", "mean": 1.5, "min": 1.5, "max": 1.5, "days": 1}
    assert told["market"]["region_id"] is None


def test_measures_of_another_company_appear_without_a_rebuild(postgres, database, gateway):
    postgres.query(database, """create view serving.footfall as select region_id, day, visitors, spend_eur from warehouse.source_a;
        comment on column serving.footfall.visitors is 'Visitors [people; sum]'; grant select on serving.footfall to sluice_reader""")
    one = gateway({"serving": {"market": "serving.footfall", "aggregates": {"spend_eur": "max"}}}, database=database)
    told = one.json("/v1/regions/AR-north-1/summary")
    assert list(told["market"]["measures"]) == ["visitors", "spend_eur"]
    assert told["market"]["measures"]["visitors"]["unit"] == "people"
    yearly = one.json("/v1/regions/AR-north-1/market?grain=year")
    expected = postgres.query(database, """select date_trunc('year', day)::date, count(*), sum(visitors), max(spend_eur) from warehouse.source_a
        where region_id = 'AR-north-1' group by 1 order by 1""")
    assert [(row["year"], row["days"], int(row["visitors_sum"])) for row in yearly] == [(str(year), days, int(visitors)) for year, days, visitors, _ in expected]
    assert all(reckon.same(row["spend_eur_max"], most) for row, (_, _, _, most) in zip(yearly, expected))


def test_an_unknown_region_is_a_404_that_tells_nothing(api):
    problem = assert_problem(api.get("/v1/regions/none/summary"), 404, "not-found")
    assert "none" not in problem["detail"].split()
