"""GET /v1/datasets and …/schema: what a caller may see is listed and described, and nothing else is; a relation that asks who reads answers each his own."""
import concurrent.futures
import csv
import io
import itertools
import json

import pytest
import requests

import contract
import shop
from gateway import SLOWNESS, assert_problem, check_problem, quote
from shop import CUSTOMERS, MINE, ROWS_OF_EACH, VISIBLE, names, reader
from wait import eventually

INTERLEAVED = 1000


@pytest.fixture(scope="module")
def store(postgres, redis, tmp_path_factory):
    with shop.opened(tmp_path_factory.mktemp("shop"), postgres, redis) as one:
        yield one


def describe(one, name, **options):
    answer = one.get(f"/v1/datasets/{quote(name)}/schema", **options)
    assert answer.status_code == 200, f"{name}: {answer.text}"
    contract.check_answer("getDatasetSchema", answer)
    return answer.json()


def column(one, dataset, name):
    return next(found for found in describe(one, dataset)["columns"] if found["name"] == name)


# The list


def test_the_list_names_what_the_caller_may_read_and_nothing_else(store):
    listed = names(store)
    assert sorted(name for name in listed if name.startswith("shop.")) == sorted("shop." + name for name in VISIBLE)
    assert {name for name in listed if not name.startswith("shop.")} >= {"region", "weather_daily"}
    assert not [name for name in listed if name.startswith(("premium.", "locked.", "beside.", "warehouse.", "serving."))]
    assert len(listed) == len(set(listed))


def test_the_list_is_in_the_order_of_the_schemas_and_then_of_names(store):
    listed = names(store)
    bare = [name for name in listed if "." not in name]
    assert listed[: len(bare)] == bare and bare == sorted(bare)
    shops = [name for name in listed if name.startswith("shop.")]
    assert listed[len(bare) :] == shops and shops == sorted(shops)


def test_the_list_tells_each_ones_kind_words_and_addresses(store):
    answer = store.get("/v1/datasets?limit=1000")
    contract.check_answer("listDatasets", answer)
    found = {listed["name"]: listed for listed in answer.json()["datasets"]}
    assert {name: found["shop." + name]["kind"] for name in VISIBLE} == VISIBLE
    assert found["shop.reading"]["row_estimate"] == 30
    assert found["shop.reading"]["description"].startswith("What the stations read")
    assert found["shop.no_key"]["description"] is None
    for name in ("shop.reading", "shop.Odd name; $1"):
        assert store.get(found[name]["links"]["rows"] + "?limit=1").status_code == 200
        assert store.json(found[name]["links"]["schema"])["name"] == name


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
def test_the_list_comes_whole_by_pages_of_any_size(store, limit):
    whole, found, path, pages = names(store), [], f"/v1/datasets?limit={limit}", 0
    while path:
        answer = store.get(path)
        page = answer.json()
        assert 1 <= len(page["datasets"]) <= limit
        assert (f'<{page["next"]}>; rel="next"' == answer.headers["Link"]) if page["next"] else "Link" not in answer.headers
        found += [listed["name"] for listed in page["datasets"]]
        path, pages = page["next"], pages + 1
    assert found == whole and pages == -(-len(whole) // limit)


def test_a_page_does_not_repeat_what_was_created_before_it(postgres, store):
    first = store.json("/v1/datasets?limit=12")
    postgres.query(store.database, "create table shop.a_first (id int); grant select on shop.a_first to sluice_reader")
    try:
        rest = store.json(first["next"].replace("limit=12", "limit=1000"))
        whole = [listed["name"] for listed in first["datasets"] + rest["datasets"]]
        assert len(whole) == len(set(whole))
    finally:
        postgres.query(store.database, "drop table shop.a_first")


def test_a_cursor_of_the_list_that_was_changed_or_is_anothers_is_refused(store):
    address = store.json("/v1/datasets?limit=2")["next"]
    cursor = address.partition("cursor=")[2]
    for wrong in (cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB"), cursor[: len(cursor) // 2], "x", cursor + cursor):
        assert_problem(store.get(f"/v1/datasets?limit=2&cursor={wrong}"), 400, "invalid-cursor")
    rows = store.get("/v1/datasets/shop.reading?limit=2&order=id").links["next"]["url"]
    foreign = rows.partition("cursor=")[2].partition("&")[0]
    assert_problem(store.get(f"/v1/datasets?cursor={foreign}"), 400, "invalid-cursor")


def test_a_cursor_shows_no_schema_that_its_reader_has_no_scope_for(store):
    everyone = reader(scope="datasets:read premium:read")
    walk = store.json(f"/v1/datasets?limit={len(names(store))}", bearer=everyone)
    assert walk["next"] is not None
    assert [listed["name"] for listed in store.json(walk["next"], bearer=everyone)["datasets"]] == ["premium.deal"]
    assert store.json(walk["next"], bearer=reader())["datasets"] == []


def test_the_list_comes_as_csv_and_ndjson_too(store):
    whole = names(store)
    table = store.get("/v1/datasets?limit=1000&format=csv")
    assert table.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.content.decode())))
    assert [row["name"] for row in rows] == whole
    lines = store.get("/v1/datasets?limit=1000", headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line)["name"] for line in lines.text.splitlines()] == whole
    page = store.get("/v1/datasets?limit=3&format=csv")
    after = store.get(page.links["next"]["url"])
    assert [row["name"] for row in csv.DictReader(io.StringIO(after.content.decode()))] == whole[3:6]


def test_the_list_and_a_description_are_not_sent_twice_to_who_has_them(store):
    for path in ("/v1/datasets?limit=5", "/v1/datasets/shop.grouped/schema"):
        tag = store.get(path).headers["ETag"]
        again = store.get(path, headers={"If-None-Match": tag})
        assert again.status_code == 304 and again.content == b""


# What may not be seen

HIDDEN = ["shop.hidden_treasure", "shop.purchase", "premium.deal", "locked.vault", "beside.unnamed", "warehouse.region", "serving.hidden_treasure", "pg_catalog.pg_class",
          "information_schema.tables", "sluice.dataset_version", "pg_toast.pg_toast_1255", "shop.reading_pkey", "shop.label", "shop.", ".reading", "Shop.reading", "SHOP.READING",
          "shop.READING", "deal", "vault", "hidden_treasure", 'shop"."reading', "shop.reading; drop table shop.reading", "*", "%", "shop.%"]


def refusals(one, name, **options):
    """What is answered to all that can be asked of a dataset, without what differs from call to call."""
    path = f"/v1/datasets/{quote(name)}"
    answers = [one.get(path, **options), one.get(path + "?hidden_depth=eq.1&order=none", **options), one.get(path + "?select=no(", **options),
               one.get(path + "?limit=0", headers={"Prefer": "count=exact"}, **options), one.get(path, headers={"Accept": "text/csv"}, **options),
               one.get(path + "/schema", **options), one.get("/v1/query/plan", method="POST", json={"url": path + "?limit=1"}, **options)]
    told = []
    for answer in answers:
        problem = assert_problem(answer, 404, "not-found")
        told.append({key: value for key, value in problem.items() if key not in ("request_id", "instance")})
    head = one.get(path, method="HEAD", **options)
    assert head.status_code == 404 and not head.content
    return told


@pytest.mark.parametrize("name", HIDDEN)
def test_what_a_caller_may_not_see_is_answered_as_what_is_not_there(store, name):
    assert refusals(store, name) == refusals(store, "shop.none_such")


def test_who_has_a_schemas_scope_sees_and_reads_it(store):
    everyone = reader(scope="datasets:read premium:read")
    assert "premium.deal" in names(store, bearer=everyone) and "premium.deal" not in names(store)
    assert describe(store, "premium.deal", bearer=everyone)["keys"] == [["id"]]
    assert store.json("/v1/datasets/premium.deal", bearer=everyone) == []
    plan = store.get("/v1/query/plan", method="POST", json={"url": "/v1/datasets/premium.deal"}, bearer=everyone)
    assert plan.status_code == 200 and plan.json()["relation"] == "premium.deal"


def test_a_profile_names_a_schema_that_the_caller_may_see(store):
    assert store.json("/v1/datasets/reading?limit=1&select=id&order=id", headers={"Accept-Profile": "shop"}) == [{"id": 100}]
    assert store.json("/v1/datasets/shop.reading?limit=1&select=id&order=id", headers={"Accept-Profile": "public"}) == [{"id": 100}]
    told = [assert_problem(store.get("/v1/datasets/deal", headers={"Accept-Profile": profile}), 406) for profile in ("premium", "none", "beside")]
    assert len({problem["detail"] for problem in told}) == 1
    assert store.json("/v1/datasets/deal", headers={"Accept-Profile": "premium"}, bearer=reader(scope="datasets:read premium:read")) == []


@pytest.mark.parametrize("query", ["select=id,hidden_salary", "hidden_salary=gt.1", "order=hidden_salary", "or=(hidden_salary.eq.1,id.eq.1)", "select=hidden_salary::text",
                                   "select=max:hidden_salary.max()", "select=hidden_salary->>a"])
def test_a_column_that_may_not_be_read_is_one_that_is_not_there(store, query):
    def told(asked):
        problem = assert_problem(store.get(f"/v1/datasets/shop.partly?{asked}"), 400)
        return {key: value for key, value in problem.items() if key not in ("request_id", "instance")}

    other = "hidden_nosuch"  # as long as the other one
    assert json.loads(json.dumps(told(query)).replace("hidden_salary", other)) == told(query.replace("hidden_salary", other))


def test_the_other_columns_are_served_and_no_hint_names_the_hidden_one(store):
    assert store.json("/v1/datasets/shop.partly") == [{"id": 1, "open": "yes"}]
    assert [found["name"] for found in describe(store, "shop.partly")["columns"]] == ["id", "open"]
    for query in ("hidden_salar=eq.1", "select=salary", "order=hidden"):
        assert "hidden_salary" not in store.get(f"/v1/datasets/shop.partly?{query}").text


# The description


def test_columns_have_their_types_words_and_units(store):
    found = {one["name"]: one for one in describe(store, "shop.reading")["columns"]}
    assert list(found) == ["station", "day", "temperature_c", "price", "mood", "size", "tags", "span", "seen", "score", "extra", "sure", "id", "label"]
    assert {name: one["type"] for name, one in found.items()} == {
        "station": "string", "day": "string", "temperature_c": "number", "price": "number", "mood": "string", "size": "object", "tags": "array", "span": "string",
        "seen": "string", "score": "number", "extra": "any", "sure": "boolean", "id": "integer", "label": "string"}
    assert {name: [found[name][key] for key in ("description", "unit", "aggregate")] for name in ("temperature_c", "price", "mood")} == {
        "temperature_c": ["Air temperature at noon", "°C", "max"], "price": ["Paid", "EUR/MWh", "sum"], "mood": ["How it felt", None, None]}
    assert found["mood"]["enum"] == ["sad", "ok", 'very "happy"'] and found["day"]["enum"] is None
    assert {name for name, one in found.items() if not one["nullable"]} == {"station", "day", "score", "sure", "id"}
    assert {name for name, one in found.items() if one["computed"]} == {"label"}
    assert found["id"]["format"] in ("bigint", "int8") and "numeric" in found["price"]["format"]


def test_a_computed_column_is_read_where_it_is_named_and_not_else(store):
    assert "label" not in store.json("/v1/datasets/shop.reading?limit=1")[0]
    assert store.json("/v1/datasets/shop.reading?select=label&label=eq.S2/2025-01-03") == [{"label": "S2/2025-01-03"}]


@pytest.mark.parametrize("name,keys", [("reading", [["station", "day"], ["id"]]), ("simple", [["s", "d"]]), ("over_simple", [["place", "since"]]), ("part_of_key", []),
                                       ("grouped", [["station"]]), ("kept", []), ("event", [["kind", "day", "at"]]), ("no_key", []),
                                       ("Odd name; $1", [["Odd, column"]]), ("abroad", []), ("mine", [["id"]]), ("guarded_view", [["id"]])])
def test_keys_are_those_of_the_table_and_pass_through_simple_views(store, name, keys):
    assert describe(store, "shop." + name)["keys"] == keys


def test_lag_pace_time_and_grain_come_from_comments_and_keys(store):
    told = {name: describe(store, "shop." + name) for name in ("reading", "grouped", "event", "no_key", "simple", "kept")}
    assert (told["reading"]["expected_lag"], told["reading"]["expected_every"]) == ("P3D", "P14D")
    assert (told["reading"]["time_column"], told["reading"]["grain"]) == ("day", "day")
    assert (told["grouped"]["time_column"], told["grouped"]["grain"], told["grouped"]["expected_lag"]) == ("last_day", "month", "P0D")
    assert told["grouped"]["description"].rstrip(".") == "Means"
    assert (told["no_key"]["time_column"], told["no_key"]["expected_lag"]) == ("at", None)
    assert told["simple"]["expected_lag"] == "P3D", "a view without words of its own is as late as its table"
    assert told["kept"]["time_column"] is None


def test_freshness_tells_the_newest_row_and_the_version(postgres, store):
    before = describe(store, "shop.reading")["freshness"]
    assert before["latest"] == "2025-01-10" and before["changed_at"] and before["version"]
    assert describe(store, "shop.kept")["freshness"]["latest"] is None
    assert describe(store, "shop.no_key")["freshness"]["version"] is None
    postgres.query(store.database, "insert into shop.reading (station, day, id) values ('S9', '2025-03-01', 999)")
    try:
        eventually(lambda: describe(store, "shop.reading")["freshness"]["version"] != before["version"], within=2 * SLOWNESS, says="another version")
        after = describe(store, "shop.reading")["freshness"]
        assert after["latest"] == "2025-03-01" and after["changed_at"] > before["changed_at"]
    finally:
        postgres.query(store.database, "delete from shop.reading where id = 999")


def test_freshness_says_nothing_of_others_rows(store):
    for name in MINE:
        assert describe(store, "shop." + name)["freshness"]["latest"] is None, name


@pytest.mark.parametrize("name", VISIBLE)
def test_each_kind_of_relation_is_described_and_read(store, name):
    columns = [found["name"] for found in describe(store, "shop." + name)["columns"] if not found["computed"]]
    rows = store.get(f"/v1/datasets/shop.{quote(name)}?limit=3")
    assert rows.status_code == 200, rows.text
    assert all(list(row) == columns for row in rows.json())
    table = store.get(f"/v1/datasets/shop.{quote(name)}?limit=3&format=csv")
    assert next(csv.reader(io.StringIO(table.content.decode()))) == columns


def test_partitions_are_read_where_they_are_named(store):
    assert len(store.json("/v1/datasets/shop.event_2025")) == len(store.json("/v1/datasets/shop.event")) == 5
    assert store.json("/v1/datasets/shop.event_2024") == []
    assert "shop.event_2025" not in names(store)


def test_the_configuration_tells_better_than_the_catalog(postgres, redis, tmp_path):
    told = {"no_key": {"time_column": "at", "grain": "hour", "expected_lag": "2h", "expected_every": "2w", "key": ["at", "words"]}, "grouped": {"grain": "year"}}
    with shop.opened(tmp_path, postgres, redis, {"warehouse": {"schemas": ["shop", "serving"], "datasets": told}}) as one:
        found = describe(one, "no_key")
        assert {key: found[key] for key in told["no_key"] if key != "key"} == {"time_column": "at", "grain": "hour", "expected_lag": "PT2H", "expected_every": "P14D"}
        assert found["keys"] == [["at", "words"]]
        assert describe(one, "grouped")["grain"] == "year" and describe(one, "grouped")["time_column"] == "last_day"
        assert describe(one, "serving.region")["name"] == "serving.region", "now the shop's relations are named bare"
        assert_problem(one.get("/v1/datasets/region"), 404, "not-found")


# Relations that ask who reads


def of_customer(rows, customer):
    assert rows and all(row["customer"] == customer for row in rows), (customer, rows[:3])
    return rows


@pytest.mark.parametrize("name", MINE)
def test_each_caller_sees_his_own_rows_only(store, name):
    for customer in CUSTOMERS * 2:
        bearer = reader(customer)
        assert len(of_customer(store.json(f"/v1/datasets/shop.{name}", bearer=bearer), customer)) == ROWS_OF_EACH
        counted = store.get(f"/v1/datasets/shop.{name}?limit=5&order=id", bearer=bearer, headers={"Prefer": "count=exact"})
        assert counted.headers["Content-Range"] == f"0-4/{ROWS_OF_EACH}"
        of_customer(counted.json(), customer)
        assert store.json(f"/v1/datasets/shop.{name}?select=count()", bearer=bearer) == [{"count": ROWS_OF_EACH}]
        table = store.get(f"/v1/datasets/shop.{name}?format=csv", bearer=bearer).content.decode()
        assert len(of_customer(list(csv.DictReader(io.StringIO(table))), customer)) == ROWS_OF_EACH
        lines = store.get(f"/v1/datasets/shop.{name}?format=ndjson", bearer=bearer).text
        assert len(of_customer([json.loads(line) for line in lines.splitlines()], customer)) == ROWS_OF_EACH
        assert store.get(f"/v1/datasets/shop.{name}?limit=1", method="HEAD", bearer=bearer).status_code == 200


@pytest.mark.parametrize("name", MINE)
def test_a_look_up_by_key_finds_no_row_of_another(store, name):
    lanes = set()
    for customer, number in itertools.product(CUSTOMERS, (1, 2, 3, 4)):
        answer = store.get(f"/v1/datasets/shop.{name}?id=eq.{number}", bearer=reader(customer))
        assert len(answer.json()) == (1 if CUSTOMERS[number % 2] == customer else 0), (customer, number)
        lanes.add(answer.headers["Sluice-Plan"].partition("lane=")[2].partition(",")[0])
    assert len(lanes) == 1


def test_some_of_these_look_ups_go_to_the_fast_lane_and_the_others_to_scan(store):
    assert "lane=fast" in store.get("/v1/datasets/shop.guarded?id=eq.1", bearer=reader()).headers["Sluice-Plan"]
    assert "lane=scan" in store.get("/v1/datasets/shop.guarded?limit=1", bearer=reader()).headers["Sluice-Plan"]


@pytest.mark.parametrize("name", MINE)
def test_a_cursor_leads_through_ones_own_rows_and_is_nobody_elses(store, name):
    path, found = f"/v1/datasets/shop.{name}?order=amount.desc&limit=7&cursor=", []
    while path:
        answer = store.get(path, bearer=reader("birch"))
        found += of_customer(answer.json(), "birch")
        path = answer.links["next"]["url"] if "next" in answer.links else None
        if path:
            assert_problem(store.get(path, bearer=reader("acme")), 400, "invalid-cursor")
    assert [row["id"] for row in found] == sorted(range(1, 80, 2), reverse=True)


@pytest.mark.parametrize("name", MINE)
def test_anothers_etag_brings_ones_own_rows(store, name):
    path = f"/v1/datasets/shop.{name}?order=id&limit=3"
    first = store.get(path, bearer=reader("acme"))
    if "ETag" in first.headers:
        assert store.get(path, bearer=reader("acme"), headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
        other = store.get(path, bearer=reader("birch"), headers={"If-None-Match": first.headers["ETag"]})
        assert other.status_code == 200
        of_customer(other.json(), "birch")
    assert "private" in first.headers["Cache-Control"]


@pytest.mark.parametrize("name", MINE)
def test_no_answer_of_these_is_kept(store, name):
    for _ in range(4):
        answer = store.get(f"/v1/datasets/shop.{name}?order=id&limit=3", bearer=reader())
        assert "cache=none" in answer.headers["Sluice-Plan"]


def test_what_is_the_same_for_all_is_kept(store):
    def plans():
        return [store.get("/v1/datasets/shop.reading?order=id&limit=3", bearer=reader(customer)).headers["Sluice-Plan"] for customer in CUSTOMERS * 2]

    # A version that is noticed just then, of another test's rows, ends what was kept.
    eventually(lambda: "cache=memory" in plans()[-1], says="a kept answer")


def test_a_range_in_another_unit_is_not_answered_with_what_was_kept_of_a_range_of_rows(store):
    path = "/v1/datasets/shop.reading?order=id"
    for _ in range(2):
        assert len(store.json(path, headers={"Range": "0-4", "Range-Unit": "items"})) == 5
        assert len(store.json(path, headers={"Range": "0-4", "Range-Unit": "bytes"})) == 30


def test_a_view_is_told_customer_subject_tier_and_scopes(store):
    seen = store.json("/v1/datasets/shop.whoami", bearer=reader("birch", scope="datasets:read premium:read", sub="o'neil \\ \"x\" é"))
    assert seen == [{"customer": "birch", "subject": "o'neil \\ \"x\" é", "tier": "test", "scopes": "datasets:read premium:read"}]


def test_what_one_statement_was_told_is_not_left_for_the_next(postgres, store):
    """On the same connections: a view whose asking nobody can see is told nothing."""
    postgres.query(store.database, """create function shop.whisper() returns text language plpgsql volatile as
                   $$ declare heard text; begin execute 'select current_set' || 'ting(''slu' || 'ice.customer'', true)' into heard; return heard; end $$;
                   create view shop.whisper_view as select shop.whisper() as heard; grant select on shop.whisper_view to sluice_reader""")
    try:
        for n in range(60):
            store.json("/v1/datasets/shop.mine?limit=1", bearer=reader(CUSTOMERS[n % 2]))
            store.json(f"/v1/datasets/shop.guarded?id=eq.{n}", bearer=reader(CUSTOMERS[n % 2]))
            assert store.json("/v1/datasets/shop.whisper_view", bearer=reader("birch")) in ([{"heard": ""}], [{"heard": None}])
    finally:
        postgres.query(store.database, "drop view shop.whisper_view; drop function shop.whisper()")


@pytest.mark.parametrize("customer", ["acme' or '1'='1", 'acme"', "acme\\", "Acme", "acme;", "acme birch", "acme\nbirch", "1acme", "-acme", "", "%", "acme\0"])
def test_a_customers_name_that_could_be_sql_is_no_customers_name(store, customer):
    assert_problem(store.get("/v1/datasets/shop.mine", bearer=reader(customer)), 401, "invalid-token")


def test_the_plan_of_what_asks_is_never_kept(store):
    answer = store.get("/v1/query/plan", method="POST", json={"url": "/v1/datasets/shop.mine?limit=1"}, bearer=reader())
    contract.check_answer("planQuery", answer)
    assert answer.json()["cache"] == "none"


@pytest.mark.tsan
def test_a_thousand_interleaved_requests_of_two_customers_bring_each_his_own(store):
    queries = ("limit=4", "id=eq.{0}", "select=id,customer&order=id.desc&limit=2", "amount=gt.{0}&format=json")
    paths = [f"/v1/datasets/shop.{name}?{query}" for name in MINE for query in queries]

    def ask(session, n):
        customer = CUSTOMERS[n % 2]
        path = paths[(n // 2) % len(paths)].format(n % 80)
        answer = store.get(path, bearer=TOKENS[customer], session=session, timeout=60)
        assert answer.status_code == 200, answer.text
        strangers = [row for row in answer.json() if row["customer"] != customer]
        assert not strangers, (customer, path, strangers)
        return len(answer.json())

    def work(part):
        with requests.Session() as session:
            session.trust_env = False
            return sum(ask(session, n) for n in part)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, [range(first, first + INTERLEAVED // 8) for first in range(0, INTERLEAVED, INTERLEAVED // 8)])) > INTERLEAVED


TOKENS = {customer: reader(customer) for customer in CUSTOMERS}


def test_a_name_with_a_zero_byte_is_a_problem_in_words(store):
    head = f"GET /v1/datasets/shop.reading%00 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {store.token}\r\nConnection: close\r\n\r\n"
    status, headers, body = store.raw(head.encode())
    assert status in (400, 404)
    check_problem(headers["content-type"], body, status)
