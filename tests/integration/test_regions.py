"""The search and one region, against the demo read by an own connection."""
import csv
import gzip
import io
import json
import math
import re

import pytest

from gateway import assert_problem, quote


@pytest.fixture(scope="module")
def regions(postgres, demo):
    """All regions of the demo, by id in the order that the gateway serves."""
    rows = postgres.query(demo, 'select region_id, name, kind, parent_id, longitude, latitude, attributes from warehouse.region order by region_id collate "C"')
    names = ("region_id", "name", "kind", "parent_id", "longitude", "latitude", "attributes")
    return {row[0]: dict(zip(names, row)) for row in rows}


def ids(found):
    return [region["region_id"] for region in found]


def next_page(answer):
    """The path of rel="next", or None on the last page."""
    match = re.search(r'<([^>]+)>;\s*rel="next"', answer.headers.get("Link", ""))
    return match and match.group(1)


def all_pages(api, path):
    pages = []
    while path:
        answer = api.get(path)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        path = next_page(answer)
        assert len(pages) <= 50, "the pages never end"
    return pages


def test_without_parameters_all_regions_come_by_id(api, regions):
    answer = api.get("/v1/regions")
    assert answer.json() == list(regions.values())
    assert next_page(answer) is None


@pytest.mark.parametrize("query,predicate", [
    ("kind=city", lambda r: r["kind"] == "city"),
    ("parent=KE", lambda r: r["parent_id"] == "KE"),
    ("kind=state&parent=MO", lambda r: r["kind"] == "state" and r["parent_id"] == "MO"),
    ("q=vel", lambda r: "vel" in (r["name"] + "\0" + r["region_id"]).lower()),
    ("q=" + quote("šelno"), lambda r: r["name"] == "Šelno"),
    ("q=" + quote("100%"), lambda r: "100%" in r["name"]),
    ("q=" + quote("%"), lambda r: "%" in r["name"]),
    ("q=_", lambda r: "_" in r["name"]),
    ("q=" + quote("\\"), lambda r: False),
    ("q=" + quote("O'Dell's"), lambda r: "O'Dell's" in r["name"]),
    ("q=" + quote('"Velho"'), lambda r: '"Velho"' in r["name"]),
    ("bbox=0,45,8,50", lambda r: 0 <= r["longitude"] <= 8 and 45 <= r["latitude"] <= 50),
    ("bbox=178,-20,-178.65,-16", lambda r: (r["longitude"] >= 178 or r["longitude"] <= -178.65) and -20 <= r["latitude"] <= -16),
    ("kind=none", lambda r: False),
])
def test_a_search_finds_what_it_names(api, regions, query, predicate):
    expected = [region_id for region_id, region in regions.items() if predicate(region)]
    assert ids(api.json(f"/v1/regions?{query}")) == expected


def haversine_km(a, b):
    (lon1, lat1), (lon2, lat2) = [tuple(map(math.radians, place)) for place in (a, b)]
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371.0088 * math.asin(min(1, math.sqrt(h)))


@pytest.mark.parametrize("lon,lat", [(4.0, 49.0), (179.9, -17.0), (-180, 90), (0, 0)])
def test_near_orders_by_distance_and_tells_it(api, regions, lon, lat):
    found = api.json(f"/v1/regions?near={lon},{lat}")
    distances = {region["region_id"]: haversine_km((lon, lat), (region["longitude"], region["latitude"])) for region in regions.values()}
    assert sorted(ids(found)) == sorted(regions)
    assert [region["distance_km"] for region in found] == sorted(region["distance_km"] for region in found)
    for region in found:
        assert region["distance_km"] == pytest.approx(distances[region["region_id"]], rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("query", ["", "kind=city", "near=21,52", "near=179.9,-17&kind=city", "q=o"])
@pytest.mark.parametrize("limit", [1, 7, 39, 40])
def test_pages_joined_are_the_whole_answer_without_gap_or_double(api, query, limit):
    whole = api.json(f"/v1/regions?{query}")
    pages = all_pages(api, f"/v1/regions?{query}&limit={limit}")
    assert [region for page in pages for region in page] == whole
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages) == max(1, math.ceil(len(whole) / limit))


def test_a_cursor_fits_its_own_search_only(api, gateway):
    cursor = re.search(r"cursor=([^&>]+)", next_page(api.get("/v1/regions?limit=2&kind=city"))).group(1)
    assert api.get(f"/v1/regions?limit=3&kind=city&cursor={cursor}").status_code == 200
    forged = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    for query in (f"kind=state&cursor={cursor}", f"cursor={cursor}", f"kind=city&near=1,2&cursor={cursor}", f"kind=city&cursor={forged}",
                  f"kind=city&cursor={cursor[:-4]}", f"kind=city&cursor={cursor}AAAA", "kind=city&cursor=AAAA"):
        assert_problem(api.get(f"/v1/regions?{query}"), 400, "invalid-cursor")
    other = gateway({"paging": {"cursor_key_file": None}})
    assert_problem(other.get(f"/v1/regions?kind=city&cursor={cursor}"), 400, "invalid-cursor")


def test_max_limit_bounds_a_page_and_the_rest_follows(gateway):
    one = gateway({"paging": {"max_limit": 10}})
    pages = all_pages(one, "/v1/regions?limit=1000")
    assert [len(page) for page in pages] == [10, 10, 10, 10]


def test_one_region_is_what_the_warehouse_holds(api, regions):
    for region_id, region in regions.items():
        assert api.json(f"/v1/regions/{region_id}") == region
    assert_problem(api.get("/v1/regions/none"), 404, "not-found")


def test_an_etag_is_honoured_and_changes_with_the_data(postgres, database, gateway):
    one = gateway(database=database)
    paths = ["/v1/regions?kind=city", "/v1/regions/AR", "/v1/regions/AR/summary", "/v1/regions/AR/weather?from=2024-01-01&to=2024-02-01"]
    from wait import eventually

    for path in paths:
        first = one.get(path)
        etag = first.headers["ETag"]
        assert etag.startswith('W/"')
        for header in (etag, f'"x", {etag}', "*", etag.removeprefix("W/")):
            unchanged = one.get(path, headers={"If-None-Match": header})
            assert (unchanged.status_code, unchanged.content) == (304, b""), (path, header)
            assert unchanged.headers["ETag"] == etag and "Cache-Control" in unchanged.headers
        assert one.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
        csv_etag = one.get(path, headers={"Accept": "text/csv"}).headers["ETag"]
        assert csv_etag != etag, "another form is another representation"
    before = {path: one.get(path).headers["ETag"] for path in paths}
    postgres.query(database, "update warehouse.region set name = 'Renamed' where region_id = 'AR'")
    for path in paths:
        eventually(lambda path=path: one.get(path).headers["ETag"] != before[path], says=f"another ETag of {path}")
        assert one.get(path, headers={"If-None-Match": before[path]}).status_code == 200
    assert one.json("/v1/regions/AR")["name"] == "Renamed"


def test_csv_quotes_what_needs_it(api, regions):
    text = api.get("/v1/regions?format=csv").content.decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert ids(rows) == list(regions)
    for row in rows:
        region = regions[row["region_id"]]
        assert row["name"] == region["name"]
        assert (row["parent_id"] or None) == region["parent_id"]
        assert float(row["longitude"]) == region["longitude"]
        assert json.loads(row["attributes"]) == region["attributes"]


def test_ndjson_is_a_row_a_line_and_names_the_next_page(api, regions):
    answer = api.get("/v1/regions?format=ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == list(regions.values())
    assert answer.text.endswith("\n")


def test_gzip_comes_only_when_asked_for_and_holds_the_same(api):
    plain = api.get("/v1/regions", headers={"Accept-Encoding": "identity"})
    packed = api.get("/v1/regions", headers={"Accept-Encoding": "br;q=1, gzip;q=0.8"}, stream=True)
    body = packed.raw.read(decode_content=False)
    assert packed.headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain.headers
    assert gzip.decompress(body) == plain.content
    assert len(body) < len(plain.content) and int(packed.headers["Content-Length"]) == len(body)
    assert "Accept-Encoding" in plain.headers["Vary"]
    refused = api.get("/v1/regions", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in refused.headers


def test_plan_and_timing_say_where_the_answer_came_from(api):
    search = api.get("/v1/regions?limit=3")
    assert re.fullmatch(r'target=warehouse, lane=scan, relation="serving\.region", cache=none', search.headers["Sluice-Plan"])
    assert re.match(r"total;dur=\d+\.\d{3}", search.headers["Server-Timing"])
    api.get("/v1/regions/TY-outer")
    again = api.get("/v1/regions/TY-outer").headers
    assert "lane=fast" in again["Sluice-Plan"]
