"""PUT /v1/datasets/{dataset}/rows: a pipeline's file goes into a table of the warehouse, all or nothing, and can be sent again."""
import concurrent.futures
import gzip

import pytest

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import assert_problem, token, write_secret
from wait import eventually

WRITER_PASSWORD = "of the writer of the tests"
WAREHOUSE = """
create schema ware; create schema shown; grant usage on schema ware to sluice_writer; grant usage on schema shown to sluice_reader;
create table ware.price (day date not null, zone text not null, price numeric not null, primary key (day, zone));
create table ware.closed (day date primary key);
insert into ware.price select date '2024-01-01' + n, z, n from generate_series(0, 9) n, unnest(array['bg', 'ro']) z;
alter table ware.price owner to sluice_owner; alter table ware.closed owner to sluice_owner; alter schema ware owner to sluice_owner; alter schema shown owner to sluice_owner;
create view shown.price as select * from ware.price; alter view shown.price owner to sluice_owner;
grant select on shown.price to sluice_reader;
grant select, insert, update, delete on ware.price to sluice_writer;
comment on view shown.price is '@reads ware.price';
"""
WRITER = token(customer="pipeline", scope="datasets:read warehouse:write")


@pytest.fixture
def base(postgres):
    name = postgres.clone(f"loads_{next(NUMBERS)}", TEMPLATE)
    postgres.query(name, WAREHOUSE)
    postgres.query(name, f"alter role sluice_writer password '{WRITER_PASSWORD}'")
    yield name
    postgres.drop(name)


@pytest.fixture
def api(postgres, redis, base, tmp_path):
    changes = {"database": {"writer": {"user": "sluice_writer", "password_file": write_secret(tmp_path, "writer.password", WRITER_PASSWORD)}},
               "warehouse": {"schemas": ["shown"], "loadable": [{"dataset": "price", "table": "ware.price"}, {"dataset": "closed", "table": "ware.closed"}]},
               "uploads": {"lock_timeout": "300ms"}}
    one = start_gateway(tmp_path, postgres, redis, base, changes)
    yield one
    one.stop()


@pytest.fixture
def rows(postgres, base):
    return lambda where="true": postgres.query(base, f"select day::text, zone, price::text from ware.price where {where} order by 1, 2")


def put(api, body, query="", dataset="price", bearer=WRITER, **headers):
    return api.get(f"/v1/datasets/{dataset}/rows{query}", method="PUT", data=body, bearer=bearer,
                   headers={key.replace("_", "-"): value for key, value in headers.items()})


def test_a_partition_takes_the_place_of_the_one_that_was_there_and_can_be_sent_again(api, rows):
    body = b"zone,price,day\nbg,100.5,2024-01-02\nro,200,2024-01-02\n"
    for _ in range(2):
        answer = put(api, body, "?mode=replace&day=eq.2024-01-02")
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["dataset"] == "price" and told["rows"] == 2 and told["inserted"] == 2 and told["created"] is False
        assert rows("day = '2024-01-02'") == [("2024-01-02", "bg", "100.5"), ("2024-01-02", "ro", "200")]
        assert len(rows()) == 20


def test_a_row_outside_of_the_partition_refuses_the_file(api, rows):
    problem = assert_problem(put(api, b"day,zone,price\n2024-01-02,bg,1\n2024-01-03,bg,1\n", "?mode=replace&day=eq.2024-01-02"), 422, "invalid-file")
    assert problem["errors"][0]["line"] == 3
    assert rows("day = '2024-01-02' and zone = 'bg'") == [("2024-01-02", "bg", "1")] and len(rows()) == 20


def test_append_upsert_and_replace_of_all(api, rows):
    assert put(api, b"day,zone,price\n2025-01-01,bg,1\n", "?mode=append").json()["inserted"] == 1
    assert_problem(put(api, b"day,zone,price\n2025-01-01,bg,2\n", "?mode=append"), 422, "invalid-file")
    merged = put(api, b"day,zone,price\n2025-01-01,bg,3\n2025-01-01,ro,4\n", "?mode=upsert")
    assert merged.status_code == 200 and (merged.json()["inserted"], merged.json()["updated"]) == (1, 1), merged.text
    assert rows("day = '2025-01-01'") == [("2025-01-01", "bg", "3"), ("2025-01-01", "ro", "4")]
    assert put(api, gzip.compress(b"day,zone,price\n2026-01-01,bg,1\n"), "?mode=replace", Content_Encoding="gzip").status_code == 200
    assert rows() == [("2026-01-01", "bg", "1")]


def test_readers_see_it_within_a_second_although_they_ask_with_an_etag(api):
    path = "/v1/datasets/price?day=eq.2024-01-05&zone=eq.bg&select=price"
    assert api.json(path, bearer=WRITER) == [{"price": 4}]
    tag = api.get(path, bearer=WRITER).headers.get("ETag")
    assert put(api, b"day,zone,price\n2024-01-05,bg,77\n", "?mode=upsert").status_code == 200
    headers = {"If-None-Match": tag} if tag else {}
    eventually(lambda: (lambda answer: answer.status_code == 200 and answer.json() == [{"price": 77}])(api.get(path, bearer=WRITER, headers=headers)), within=5, says="the new row")


def test_the_same_key_loads_once_also_at_once(api, rows):
    def add(_):
        return put_alone(api, b"day,zone,price\n2025-06-01,bg,1\n", "?mode=append", "twice")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(add, range(4)))
    assert {answer.status_code for answer in answers} <= {200, 409}, [answer.text for answer in answers]
    assert any(answer.status_code == 200 for answer in answers)
    again = add(0)
    assert again.status_code == 200 and again.json()["inserted"] == 1
    assert len(rows("day = '2025-06-01'")) == 1
    assert_problem(put_alone(api, b"day,zone,price\n2025-06-02,bg,1\n", "?mode=append", "twice"), 422, "idempotency-key-reused")


def put_alone(api, body, query, key):
    return api.session.__class__().put(f"{api.base}/v1/datasets/price/rows{query}", data=body, headers=api.headers({"Idempotency-Key": key}, WRITER), timeout=60)


@pytest.mark.parametrize("query, field", [("?day=gte.2024-01-02", "day"), ("?day=2024-01-02", "day"), ("?mode=merge", "mode"), ("?mode=append&mode=append", "mode"),
                                          ("?day=eq.1&day=eq.2", "day"), ("?max_bad=7", "max_bad"), ("?nonsense", "nonsense")])
def test_a_wrong_parameter_is_named(api, rows, query, field):
    problem = assert_problem(put(api, b"day,zone,price\n2024-01-02,bg,1\n", query), 400, "invalid-parameter")
    assert problem["errors"][0]["field"] == field
    assert len(rows()) == 20


def test_a_broken_escape_is_400(api):
    status, _, body = api.raw(f"PUT /v1/datasets/price/rows?day=eq.%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {WRITER}\r\nContent-Length: 2\r\n\r\na\n".encode(),
                              half_close=False)
    assert status == 400 and b"percent-escape" in body


@pytest.mark.parametrize("query, body", [
    ("?mode=append&day=eq.2024-01-02", b"day,zone,price\n2024-01-02,xx,1\n"),  # a partition is replace's
    ("?mode=append", b"day,zone,price,more\n2025-01-02,xx,1,2\n"),  # no schema changes
    ("?mode=append", b"day,zone\n2025-01-02,xx\n"),  # a column that must not be null
    ("?mode=append", b"day,zone,price\n2025-01-02,xx,abc\n"),
    ("?mode=append&types=price:text", b"day,zone,price\n2025-01-02,xx,1\n"),
    ("?mode=replace&nope=eq.1", b"day,zone,price\n2025-01-02,xx,1\n"),
    ("?mode=append", b""),
])
def test_a_file_that_does_not_fit_changes_nothing(api, rows, query, body):
    assert_problem(put(api, body, query), 422, "invalid-file")
    assert len(rows()) == 20 and not rows("zone = 'xx'")


def test_bad_rows_are_told_where_they_are_allowed(api, rows):
    told = put(api, b"day,zone,price\n2025-01-01,bg,1\n2025-01-02,bg,x\n", "?mode=append&max_bad=0.5").json()
    assert told["quarantined"] == 1 and told["inserted"] == 1 and told["bad"][0]["line"] == 3 and told["bad"][0]["column"] == "price"
    assert len(rows()) == 21


def test_what_is_not_loadable_is_404_and_needs_the_scope(api):
    for dataset in ("nothing", "ware.price", "uploads.price"):
        assert_problem(put(api, b"a\n1\n", dataset=dataset), 404, "not-found")
    assert_problem(put(api, b"a\n1\n", bearer=token(scope="datasets:read uploads:write")), 403, "missing-scope")
    closed = put(api, b"day\n2024-01-01\n", "?mode=append", dataset="closed")
    assert_problem(closed, 500, "internal")
    eventually(lambda: "load_failed" in api.errors(), within=5, says="the reason, for the operator")


def test_without_a_writer_nothing_is_loadable(gateway):
    one = gateway({"warehouse": {"loadable": [{"dataset": "weather_daily", "table": "warehouse.weather_daily"}]}})
    assert_problem(put(one, b"a\n1\n", dataset="weather_daily"), 404, "not-found")
