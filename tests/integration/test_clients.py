"""postgrest-js, postgrest-py and pandas, unmodified, get from /v1/datasets what the same question gets in SQL."""
import json

import pytest

import clients

# What each case of tests/clients/postgrest.mjs and postgrest_cases.py asks, in SQL: "select", and what follows the relation's name.
ROWS = {
    "all_columns": ("*", "desk.buoy order by id"),
    "columns": ("id, name, opened", "desk.buoy where mood = 'wild' order by id"),
    "bare_with_schema_in_its_name": ("id", "desk.buoy where id < 4 order by id"),
    "first_schema": ("region_id, day, temperature_c", "serving.weather_daily where region_id = 'AR-north-1' and day between '2024-02-27' and '2024-03-02' order by day"),
    "odd_name": ('"Odd, column", "a.b"', 'desk."Odd Name; $1" order by 1'),
    "alias_and_cast": ("id::text as number, opened as since", "desk.buoy where id in (1, 2) order by id"),
    "neq": ("id", "desk.buoy where mood <> 'calm' and id > 50 order by id"),
    "comparisons": ("id", "desk.buoy where price > 10 and price <= 20.25 order by id"),
    "like": ("id", "desk.buoy where name like 'buoy 1%' order by id"),
    "like_all_of": ("id", "desk.buoy where name like 'buoy%' and name like '%1' order by id"),
    "ilike_any_of": ("id", "desk.buoy where name ilike 'comma%' or name ilike 'paren%' order by id"),
    "is_null": ("id", "desk.buoy where note is null and id > 50 order by id"),
    "is_true": ("id", "desk.buoy where active and id < 9 order by id"),
    "in_with_reserved_characters": ("id, name", "desk.buoy where id in (1, 2, 5, 7) order by id"),
    "contains_array": ("id", "desk.buoy where tags @> '{t1,all}' order by id"),
    "contains_json": ("id", "desk.buoy where details @> '{\"maker\":{\"name\":\"m2\"}}' and id < 20 order by id"),
    "contained_by": ("id", "desk.buoy where tags <@ '{t1,t2,all}' order by id"),
    "overlaps": ("id", "desk.buoy where tags && '{t3,none}' order by id"),
    "range_overlaps": ("id", "desk.buoy where depth && '[5,6)' order by id"),
    "range_gt": ("id", "desk.buoy where depth >> '[0,50)' order by id"),
    "range_lt": ("id", "desk.buoy where depth << '[20,30)' order by id"),
    "range_adjacent": ("id", "desk.buoy where depth -|- '[20,30)' order by id"),
    "text_search": ("id", "desk.buoy where words @@ to_tsquery('english', 'drift & 12') order by id"),
    "web_search": ("id", "desk.buoy where words @@ websearch_to_tsquery('english', 'drifting -12') and id < 15 order by id"),
    "match": ("id", "desk.buoy where mood = 'calm' and active order by id"),
    "not": ("id", "desk.buoy where id not in (1, 2, 3) and id < 7 order by id"),
    "or": ("id", "desk.buoy where id < 3 or note = 'note 49' or (load > 14.6 and active) order by id"),
    "filter": ("id", "desk.buoy where id >= 58 order by id"),
    "json_paths": ("id, details -> 'maker' ->> 'name' as name, details -> 'meters' as far, details -> 'list' -> 0 as list",
                   "desk.buoy where details -> 'meters' > '57' order by id"),
    "order_by_json": ("id", "desk.buoy order by details -> 'maker' ->> 'name' desc, id limit 5"),
    "order_nulls": ("id, note", "desk.buoy order by note desc nulls last, id desc limit 12"),
    "aggregates": ("mood, count(*) as count, sum(price) as sum, max(id) as max", "desk.buoy group by mood order by mood"),
    "range": ("id", "desk.buoy order by id offset 10 limit 10"),
    "count_exact": ("id", "desk.buoy order by id offset 10 limit 10"),
}
ONE = {"id": 7, "name": "buoy 7"}


@pytest.fixture(scope="module")
def desk(postgres, redis, tmp_path_factory):
    with clients.opened(tmp_path_factory.mktemp("desk"), postgres, redis) as one:
        yield one


@pytest.fixture(scope="module")
def javascript(desk):
    folder = clients.node()
    return clients.run_json(["node", clients.HERE / "postgrest.mjs"], desk, more={"SLUICE_NODE": str(folder)})


@pytest.fixture(scope="module")
def python(desk):
    return clients.run_json([clients.python(), clients.HERE / "postgrest_cases.py"], desk)


@pytest.fixture(params=["javascript", "python"])
def answers(request):
    """Every case's answer, by one of the two clients."""
    return request.getfixturevalue(request.param)


def rows_of(postgres, desk, columns, rest):
    """As to_json prints them: psycopg2 must not make numbers of its own of them."""
    found = postgres.query(desk.database, f"select coalesce(json_agg(row_to_json(asked)), '[]')::text from (select {columns} from {rest}) as asked")
    return json.loads(found[0][0])


def test_every_read_of_a_postgrest_client_gives_the_rows_that_sql_gives(answers, postgres, desk):
    wrong = {name: (answers[name], rows) for name, asked in ROWS.items() if answers[name]["data"] != (rows := rows_of(postgres, desk, *asked)) or not rows}
    assert not wrong


def test_both_postgrest_clients_are_asked_the_same(javascript, python):
    assert list(javascript) == list(python)
    assert set(ROWS) < set(javascript)


def test_a_postgrest_client_counts(answers):
    assert answers["count_exact"]["count"] == 60
    assert answers["count_head"]["count"] == 20 and not answers["count_head"]["data"]
    assert answers["count_estimated"]["count"] == 60


def test_a_range_of_a_counted_read_is_partial(javascript):
    assert javascript["count_exact"]["status"] == 206
    assert javascript["range"]["status"] == 200


def test_single_gives_one_object_and_refuses_many(answers):
    assert answers["single"]["data"] == ONE
    assert answers["single_of_many"]["data"] is None and answers["single_of_many"]["error"] is not None


def test_maybe_single_gives_one_object_or_nothing(answers):
    assert answers["maybe_single"]["data"] == ONE
    assert answers["maybe_single_none"]["data"] is None and answers["maybe_single_none"]["error"] is None


def test_nulls_are_stripped_when_asked(answers):
    assert answers["strip_nulls"]["data"] == [{"id": 6}, {"id": 7, "note": "note 7"}]


def test_csv_has_a_header_and_a_line_a_row(answers):
    lines = answers["csv"]["data"].split("\n")
    assert lines[0] == "id,name,note"
    assert lines[1].startswith('1,"Comma, Place"') and lines[3].startswith('3,"Quote ""q"""')
    assert lines[7] == "7,buoy 7,note 7" and len(lines) == 8


@pytest.mark.parametrize("case, status, word", [("unknown_column", 400, "nothing"), ("unknown_dataset", 404, None), ("wrong_value", 400, None), ("single_of_many", 406, None),
                                                ("past_the_end", 416, None)])
def test_a_postgrest_client_is_told_what_was_wrong(answers, case, status, word):
    error = answers[case]["error"]
    assert answers[case].get("status", status) == status
    # These two members are all that postgrest-py keeps of a problem, and what postgrest-js throws.
    assert error["message"] and error["code"]
    assert word is None or word in error["message"]


@pytest.fixture(scope="module")
def pandas(desk):
    return clients.run_json([clients.python(), clients.HERE / "pandas_cases.py"], desk)


def test_pandas_reads_a_series_from_an_address(pandas, postgres, desk):
    year = "serving.weather_daily where region_id = 'AR-north-1' and day >= '2024-01-01' and day < '2025-01-01'"
    (days, nulls), = postgres.query(desk.database, f"select count(*), count(*) - count(temperature_c) from {year}")
    means = postgres.query(desk.database, f"select round(avg(temperature_c)::numeric, 9)::float from {year} group by date_trunc('month', day) order by date_trunc('month', day)")
    assert pandas["days"] == days and pandas["nulls"] == nulls
    assert pandas["types"] == {"region_id": "str", "temperature_c": "float64"} and pandas["index"] == "M"
    assert pandas["monthly"] == pytest.approx([mean for mean, in means], abs=1e-8)


def test_pandas_reads_all_rows_as_gzipped_csv_as_json_and_as_lines(pandas):
    assert pandas["many"] == pandas["json"] == pandas["ndjson"] == [5000 * 5001 // 2, 5000]


def test_pandas_tells_nulls_infinities_quotes_and_arrays_apart(pandas, postgres, desk):
    assert pandas["names"] == [name for name, in postgres.query(desk.database, "select name from desk.buoy order by id")]
    assert pandas["notes"] == 8 and pandas["active"] == 30
    assert pandas["infinite"] == ["nan", "inf"]
    assert pandas["tags"] == ["t1", "all"]
