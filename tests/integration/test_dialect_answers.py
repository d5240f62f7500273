"""Status, Content-Range, media types, preferences and the other headers of the dialect."""
import urllib.parse

import pytest

from dialect_every import SCOPE, address, by_psql, every, parse  # noqa: F401
from gateway import assert_problem, token

EXACT = {"Prefer": "count=exact"}

# URL, headers, status, Content-Range, rows
SPANS = [("items", {}, 200, "0-14/*", 15), ("items?limit=7", {}, 200, "0-6/*", 7), ("items?limit=7&offset=3", {}, 200, "3-9/*", 7),
         ("items?offset=10", {}, 200, "10-14/*", 5), ("items?id=lt.0", {}, 200, "*/*", 0), ("items?offset=15", {}, 200, "*/*", 0),
         ("items?offset=1000", {}, 200, "*/*", 0), ("items?limit=0", {}, 200, "*/*", 0), ("items?limit=1000", {}, 200, "0-14/*", 15),
         ("empty_one", {}, 200, "*/*", 0), ("items", EXACT, 200, "0-14/15", 15), ("items?limit=7", EXACT, 206, "0-6/15", 7),
         ("items?id=lte.8&limit=7", EXACT, 206, "0-6/8", 7), ("items?id=lte.7&limit=7", EXACT, 200, "0-6/7", 7), ("items?offset=14", EXACT, 206, "14-14/15", 1),
         ("items?offset=15", EXACT, 206, "*/15", 0), ("items?id=lte.8&offset=8", EXACT, 206, "*/8", 0), ("items?offset=16", EXACT, 416, "*/15", None),
         ("items?offset=1000", EXACT, 416, "*/15", None), ("items?limit=0&offset=16", EXACT, 416, "*/15", None), ("empty_one", EXACT, 200, "*/0", 0),
         ("empty_one?offset=1", EXACT, 416, "*/0", None), ("items?id=lt.0", EXACT, 200, "*/0", 0), ("items?limit=-1", {}, 416, None, None),
         ("items?limit=-1", EXACT, 416, None, None), ("items?limit=-9999999999999999999999", {}, 416, None, None), ("items?offset=-1", {}, 200, "0-14/*", 15),
         ("items?offset=-5&limit=2", EXACT, 206, "0-1/15", 2), ("items?limit=abc", {}, 200, "0-14/*", 15), ("items?offset=abc", {}, 200, "0-14/*", 15),
         ("items?limit=", {}, 200, "0-14/*", 15), ("items?limit=1.5", {}, 200, "0-14/*", 15), ("items?limit=99999999999999999999", {}, 200, "0-14/*", 15),
         ("items?offset=99999999999999999999", {}, 200, "*/*", 0), ("items?limit=0x5", {}, 200, "0-14/*", 15), ("items", {"Range": "0-6"}, 200, "0-6/*", 7),
         ("items", {"Range": "0-6", **EXACT}, 206, "0-6/15", 7), ("items", {"Range": "5-"}, 200, "5-14/*", 10),
         ("items", {"Range": "5-7", "Range-Unit": "items"}, 200, "5-7/*", 3), ("items", {"Range": "0-0"}, 200, "0-0/*", 1),
         ("items", {"Range": "10-100", **EXACT}, 206, "10-14/15", 5), ("items", {"Range": "15-20"}, 200, "*/*", 0),
         ("items", {"Range": "16-20", **EXACT}, 416, "*/15", None), ("items", {"Range": "7-3"}, 416, None, None),
         ("items", {"Range": "1-0", **EXACT}, 416, None, None), ("items?limit=5&offset=3", {"Range": "4-20"}, 200, "4-7/*", 4),
         ("items?limit=5", {"Range": "2-3"}, 200, "2-3/*", 2), ("items?offset=3", {"Range": "0-4"}, 200, "3-4/*", 2),
         ("items", {"Range": "abc"}, 200, "0-14/*", 15), ("items", {"Range": "-5"}, 200, "0-14/*", 15), ("items", {"Range": "1-x"}, 200, "0-14/*", 15),
         ("items", {"Range": ""}, 200, "0-14/*", 15), ("items", {"Range": "bytes=0-10"}, 200, "0-14/*", 15),
         ("items", {"Range": "5", **EXACT}, 200, "0-14/15", 15), ("items?select=id&order=id.desc", {"Range": "0-1", **EXACT}, 206, "0-1/15", 2),
         ("sales?select=region,count()&limit=1", EXACT, 206, "0-0/3", 1), ("sales?select=count()", EXACT, 200, "0-0/1", 1),
         ("sales?select=region,product&order=id&limit=2", EXACT, 206, "0-1/5", 2), ("items?or=(id.eq.1,id.eq.2)&limit=1", EXACT, 206, "0-0/2", 1),
         ("many?g=eq.3&limit=10", EXACT, 206, "0-9/429", 10), ("items?limit=3", {"Prefer": "count=planned"}, 206, "0-2/15", 3),
         ("items", {"Prefer": "count=estimated"}, 200, "0-14/15", 15), ("items?limit=4", {"Prefer": "count=estimated"}, 206, "0-3/15", 4),
         ("many?limit=10", {"Prefer": "count=planned"}, 206, "0-9/3000", 10), ("many?limit=10", {"Prefer": "count=estimated"}, 206, "0-9/3000", 10), ]
names = [f"{url} {' '.join(f'{name}:{value}' for name, value in headers.items())}" for url, headers, *_ in SPANS]


@pytest.mark.parametrize(("url", "headers", "status", "span", "rows"), SPANS, ids=names)
def test_status_and_content_range_tell_the_span_and_the_total(every, url, headers, status, span, rows):
    answer = every.get(address(url), headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers.get("Content-Range") == span
    if rows is None:
        assert_problem(answer, 416, "range-not-satisfiable")
    else:
        assert len(answer.json()) == rows


@pytest.mark.parametrize(("url", "headers", "status", "span", "rows"), [case for case in SPANS if "Range" not in case[1]],
                         ids=[name for name, case in zip(names, SPANS) if "Range" not in case[1]])
def test_head_has_the_headers_of_get_and_no_body(every, url, headers, status, span, rows):
    get, head = every.get(address(url), headers=headers), every.get(address(url), method="HEAD", headers=headers)
    assert head.status_code == status and head.content == b""
    for name in ("Content-Type", "Content-Range", "Content-Location", "Vary", "Preference-Applied"):
        assert head.headers.get(name) == get.headers.get(name), name


def test_a_range_of_a_head_is_passed_over(every):
    answer = every.get(address("items"), method="HEAD", headers={"Range": "2-3", **EXACT})
    assert (answer.status_code, answer.headers["Content-Range"]) == (200, "0-14/15")


def test_the_planned_count_is_the_planners_for_the_whole_filter(every, postgres):
    planned = postgres.query("every", "explain (format json) select * from every.many where g = 3 and h = 1")[0][0][0]["Plan"]["Plan Rows"]
    answer = every.get(address("many?g=eq.3&h=eq.1&limit=2"), headers={"Prefer": "count=planned"})
    assert answer.headers["Content-Range"] == f"0-1/{planned}"


OBJECT, ARRAY = "application/vnd.pgrst.object+json", "application/vnd.pgrst.array+json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
JSON, CSV, NDJSON = "application/json; charset=utf-8", "text/csv; charset=utf-8", "application/x-ndjson"
MEDIA = [("application/json", JSON), ("*/*", JSON), (BROWSER, JSON), (None, JSON), ("", JSON), ("application/*", JSON), ("text/csv", CSV),
         ("text/csv, application/json", CSV), ("application/json, text/csv", JSON), ("text/plain, text/csv", CSV), ("TEXT/CSV", CSV),
         ("application/x-ndjson", NDJSON), (ARRAY, ARRAY + "; charset=utf-8"), (ARRAY + ";nulls=stripped", ARRAY + ";nulls=stripped; charset=utf-8"),
         (OBJECT, OBJECT + "; charset=utf-8"), (OBJECT + ";nulls=stripped", OBJECT + ";nulls=stripped; charset=utf-8"),
         (OBJECT + "; nulls=stripped", OBJECT + ";nulls=stripped; charset=utf-8"), ("image/png, " + OBJECT, OBJECT + "; charset=utf-8"),
         ("application/json;q=0.5, text/csv;q=0.9", CSV), ("text/csv;q=0, */*", JSON)]


@pytest.mark.parametrize(("accept", "content_type"), MEDIA, ids=[str(case[0]) for case in MEDIA])
def test_the_first_acceptable_media_type_is_given_and_echoed(every, accept, content_type):
    headers = {"Accept": accept} if accept is not None else {"Accept": None}
    answer = every.get(address("sales?id=eq.4&select=id,note,price"), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == content_type
    stripped, whole = '{"id":4,"price":10.00}', '{"id":4,"note":null,"price":10.00}'
    row = stripped if "stripped" in content_type else whole
    expected = {CSV: "id,note,price\n4,,10.00", NDJSON: whole + "\n"}.get(content_type, row if "object" in content_type else f"[{row}]")
    assert answer.text.replace("\n", "" if content_type not in (CSV, NDJSON) else "\n").replace(" ", "") == expected


@pytest.mark.parametrize("accept",
                         ["text/html", "application/xml", "image/*", "unknown/unknown", "application/json;q=0", "text/plain",
                          "application/vnd.pgrst.plan+json"])
def test_no_acceptable_media_type_is_406(every, accept):
    assert_problem(every.get(address("items"), headers={"Accept": accept}), 406, "not-acceptable")


@pytest.mark.parametrize("url", ["items", "items?id=lt.0", "items?id=in.(1,2)", "items?limit=2", "many", "items?limit=0"])
def test_singular_with_other_than_one_row_is_406(every, url):
    for method in ("GET", "HEAD"):
        answer = every.get(address(url), method=method, headers={"Accept": OBJECT})
        assert answer.status_code == 406
    assert_problem(every.get(address(url), headers={"Accept": OBJECT}), 406, "not-one-row")


@pytest.mark.parametrize(("url", "row"),
                         [("items?id=eq.3", {"id": 3}), ("items?limit=1&order=id", {"id": 1}), ("items?offset=14&order=id", {"id": 15}),
                          ("sales?select=count()", {"count": 5}), ("items?id=eq.3&select=id,doubled", {"id": 3, "doubled": 6})])
def test_singular_gives_the_one_row_itself(every, url, row):
    answer = every.get(address(url), headers={"Accept": OBJECT})
    assert answer.status_code == 200, answer.text
    assert answer.json() == row


def test_singular_tells_the_count_too(every):
    answer = every.get(address("items?id=eq.3"), headers={"Accept": OBJECT, **EXACT})
    assert (answer.status_code, answer.headers["Content-Range"]) == (200, "0-0/1")


@pytest.mark.parametrize("query", ["", "&select=id,doc:jb,t"])
def test_stripped_nulls_leave_the_members_out_that_json_strip_nulls_leaves_out_of_the_row(every, query):
    rows = every.json(address("docs?order=id" + query))
    answer = every.get(address("docs?order=id" + query), headers={"Accept": ARRAY + ";nulls=stripped"})
    assert answer.json() == [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_csv_of_nothing_is_its_header(every):
    answer = every.get(address("empty_one"), headers={"Accept": "text/csv"})
    assert answer.text == "id,t,n"
    assert every.get(address("odd?select=" + '"a,b","a\\"b"&id=eq.1'), headers={"Accept": "text/csv"}).text == '"a,b","a""b"\nc1,q1'


@pytest.mark.parametrize(("name", "kind"), [("json", JSON), ("csv", CSV), ("ndjson", NDJSON)])
def test_the_parameter_format_stands_before_accept(every, name, kind):
    assert every.get(address(f"items?format={name}"), headers={"Accept": "text/html"}).headers["Content-Type"] == kind
    assert every.get(address(f"items?format={name}"), headers={"Accept": "application/json"}).headers["Content-Type"] == kind


PREFERENCES = [("count=exact", "count=exact"), ("count=planned", "count=planned"), ("count=estimated", "count=estimated"),
               ("handling=strict", "handling=strict"), ("handling=lenient", "handling=lenient"), ("timezone=Europe/Sofia", "timezone=Europe/Sofia"),
               ("count=exact, handling=strict, timezone=America/New_York", "count=exact, handling=strict, timezone=America/New_York"), ("count=wrong", None),
               ("depth=3", None), ("handling=lenient, depth=3", "handling=lenient"), ("timezone=No/Where", None), ("COUNT=exact", "count=exact"),
               ("count=exact, count=planned", "count=exact"), ("return=representation", None), ("count=\"exact\"", "count=exact"),
               ("timezone=Jupiter/Red_Spot, handling=lenient", "handling=lenient")]


@pytest.mark.parametrize(("prefer", "applied"), PREFERENCES, ids=[case[0] for case in PREFERENCES])
def test_what_was_preferred_and_applied_is_told(every, prefer, applied):
    answer = every.get(address("items"), headers={"Prefer": prefer})
    assert answer.status_code in (200, 206), answer.text
    assert answer.headers.get("Preference-Applied") == applied


@pytest.mark.parametrize("prefer",
                         ["handling=strict, depth=3", "depth=3, handling=strict", "handling=strict, count=wrong", "handling=strict, timezone=Jupiter/Red_Spot",
                          "handling=strict, anything"])
def test_strict_handling_refuses_unknown_preferences(every, prefer):
    assert_problem(every.get(address("items"), headers={"Prefer": prefer}), 400)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Sofia", "America/New_York", "Asia/Kathmandu", "+05:30"])
def test_the_preferred_time_zone_is_that_of_the_timestamps_and_of_the_filters(every, postgres, zone):
    rows = every.json(address("measure?select=id,ts&order=id&ts=gte.2021-01-01 00:00"), headers={"Prefer": f"timezone={zone}"})
    connection = postgres.connect("every")
    try:
        with connection.cursor() as cursor:
            cursor.execute("set timezone = %s", (zone,))
            cursor.execute("select json_agg(json_build_object('id', id, 'ts', ts) order by id) from every.measure where ts >= '2021-01-01 00:00'")
            assert rows == cursor.fetchone()[0]
    finally:
        connection.close()
    assert every.json(address("measure?select=ts&id=eq.1")) == [{"ts": "2021-01-01T00:00:00+00:00"}]


@pytest.mark.parametrize(("url", "location"),
                         [("items", "/v1/datasets/items"), ("items?order=id&limit=2", "/v1/datasets/items?limit=2&order=id"),
                          ("items?select=id&id=gt.3&id=lt.5&and=(id.gt.0)", "/v1/datasets/items?and=(id.gt.0)&id=gt.3&id=lt.5&select=id")])
def test_content_location_has_the_parameters_sorted(every, url, location):
    answer = every.get(address(url))
    assert urllib.parse.unquote(answer.headers["Content-Location"]) == location
    again = every.get(answer.headers["Content-Location"])
    assert again.content == answer.content and again.headers["Content-Location"] == answer.headers["Content-Location"]


@pytest.mark.parametrize("accept", ["application/json", "text/csv", OBJECT])
def test_vary_names_accept_prefer_and_range(every, accept):
    answer = every.get(address("items?id=eq.1"), headers={"Accept": accept})
    assert {"accept", "prefer", "range"} <= {name.strip().lower() for name in answer.headers["Vary"].split(",")}


@pytest.mark.parametrize(("name", "profile", "status", "row"),
                         [("items", "public", 200, 1), ("items", "every", 200, 1), ("items", "third", 200, {"id": 1, "v": "third"}),
                          ("third.items", "public", 200, {"id": 1, "v": "third"}), ("items", "hidden", 406, None), ("items", "no_such", 406, None),
                          ("items", "pg_catalog", 406, None), ("notes", "side", 406, None)])
def test_a_profile_names_a_configured_schema_or_public(every, name, profile, status, row):
    answer = every.get(address(name + "?order=id&limit=1"), headers={"Accept-Profile": profile, "Content-Profile": profile})
    assert answer.status_code == status, answer.text
    if isinstance(row, dict):
        assert answer.json() == [row]
    if status >= 400:
        assert "hidden" not in answer.json()["detail"] or profile == "hidden"


def test_a_schema_with_a_scope_of_its_own_is_not_there_for_those_who_lack_it(every):
    refused_one, missing = every.get(address("side.notes")), every.get(address("side.nothing"))
    assert_problem(refused_one, 404, "not-found")
    assert refused_one.json()["detail"].replace("side.notes", "") == missing.json()["detail"].replace("side.nothing", "")
    assert every.json(address("side.notes"), bearer=token(scope=SCOPE + " side:read")) == [{"id": 1, "v": "side"}]


def test_a_large_page_streams_without_content_range_unless_the_count_is_asked_for(every):
    answer = every.get(address("long_words"))
    assert answer.status_code == 200 and "Content-Range" not in answer.headers and len(answer.json()) == 20
    counted = every.get(address("long_words"), headers=EXACT)
    assert (counted.status_code, counted.headers["Content-Range"]) == (200, "0-19/20") and len(counted.json()) == 20


def test_ndjson_has_a_row_a_line(every, postgres):
    answer = every.get(address("papers?order=id"), headers={"Accept": "application/x-ndjson"})
    lines = [parse(line) for line in answer.content.splitlines()]
    assert lines == parse(by_psql(postgres, "select * from papers order by id")[1])
