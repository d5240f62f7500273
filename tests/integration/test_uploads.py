"""PUT /v1/uploads/{dataset} and what follows from it: a file becomes a table of the customer's, all or nothing, and nobody else's."""
import base64
import concurrent.futures
import gzip
import hashlib
import itertools
import json
import re
import subprocess
import threading

import pytest

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import assert_problem, token, write_secret
from office import LOGIN_KEY, Office
from wait import eventually

SALES = b"id,day,amount,code\n1,2024-01-01,1.50,007\n2,2024-01-02,2.25,008\n"
NAMES = (f"u{number}" for number in itertools.count(1))


def bearer(name, scope="datasets:read uploads:write"):
    return token(customer=name, scope=scope)


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    database = postgres.clone(f"uploads_{next(NUMBERS)}", TEMPLATE)
    one = Office(postgres, database, tmp_path_factory.mktemp("office"))
    for name in ("upanna", "upbert"):
        one.ok("add", name)
    one.ok("add", "upsmall", "--bytes", "100KB", "--relations", "2")
    yield one
    for name in ("upanna", "upbert", "upsmall"):
        one.erase(name)
    postgres.drop(database)


@pytest.fixture(scope="module")
def api(postgres, redis, office, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uploads")
    one = start_gateway(folder, postgres, redis, office.database,
                        {"customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}, "uploads": {"lock_timeout": "2s"}})
    yield one
    one.stop()


@pytest.fixture
def name():
    return next(NAMES)


def put(api, name, body, query="", who="upanna", **headers):
    return api.get(f"/v1/uploads/{name}{query}", method="PUT", data=body, bearer=bearer(who),
                   headers={key.replace("_", "-"): value for key, value in headers.items()})


def rows(api, name, query="?order=id", who="upanna"):
    return api.json(f"/v1/datasets/uploads.{name}{query}", bearer=bearer(who))


def ids(api, name, who="upanna"):
    return [row["id"] for row in rows(api, name, who=who)]


def test_a_file_becomes_a_dataset_at_once(api, name):
    answer = put(api, name, SALES, Content_Type="text/csv")
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert answer.headers["Location"] == f"/v1/datasets/uploads.{name}" == told["links"]["rows"]
    assert (told["dataset"], told["created"], told["mode"], told["rows"], told["inserted"], told["quarantined"]) == (f"uploads.{name}", True, "replace", 2, 2, 0)
    assert [(one["name"], one["type"], one["guessed"]) for one in told["columns"]] == [
        ("id", "bigint", True), ("day", "date", True), ("amount", "numeric", True), ("code", "text", True)]
    assert told["guessed"]["delimiter"] == "," and told["guessed"]["header"] is True
    assert told["bytes"] == len(SALES) and told["digest"] == "sha-256:" + hashlib.sha256(SALES).hexdigest() and told["version"]
    assert rows(api, name) == [{"id": 1, "day": "2024-01-01", "amount": 1.5, "code": "007"}, {"id": 2, "day": "2024-01-02", "amount": 2.25, "code": "008"}]
    record = api.record_of(answer)
    assert record["target"] == "upload" and record["relation"] == f"uploads.{name}" and record["rows"] == 2


def test_a_second_load_is_seen_by_who_asks_with_the_old_etag(api, name):
    put(api, name, SALES)
    path = f"/v1/datasets/uploads.{name}?order=id"
    tag = eventually(lambda: api.get(path, bearer=bearer("upanna")).headers.get("ETag"), within=5, says="an ETag")
    assert put(api, name, b"id,amount\n9,1\n").status_code == 200
    fresh = eventually(lambda: (lambda answer: answer if answer.status_code == 200 else None)(api.get(path, bearer=bearer("upanna"), headers={"If-None-Match": tag})),
                       within=5, says="the new rows")
    assert fresh.json() == [{"id": 9, "amount": 1}] and fresh.headers["ETag"] != tag


def test_append_and_upsert_keep_the_columns(api, name):
    assert put(api, name, b"id,v\n1,a\n2,b\n", "?key=id").status_code == 201
    added = put(api, name, b"id,v\n3,c\n", "?mode=append")
    assert added.status_code == 200 and added.json()["inserted"] == 1 and added.json()["created"] is False, added.text
    merged = put(api, name, b"id,v\n2,B\n4,d\n", "?mode=upsert&key=id")
    assert merged.status_code == 200 and (merged.json()["inserted"], merged.json()["updated"]) == (1, 1), merged.text
    assert [(row["id"], row["v"]) for row in rows(api, name)] == [(1, "a"), (2, "B"), (3, "c"), (4, "d")]
    twice = assert_problem(put(api, name, b"id,v\n5,x\n5,y\n", "?mode=upsert&key=id"), 422, "invalid-file")
    assert "5" in twice["detail"]
    assert_problem(put(api, name, b"id,v\n1,x\n", "?mode=append"), 422, "invalid-file")
    assert ids(api, name) == [1, 2, 3, 4]


def test_append_makes_what_is_not_there(api, name):
    assert put(api, name, b"id\n1\n", "?mode=append").status_code == 201
    assert put(api, name, b"id\n2\n", "?mode=append").status_code == 200
    assert ids(api, name) == [1, 2]


@pytest.mark.parametrize("query, body, wanted", [
    ("?delimiter=semicolon&decimal=comma", b"id;v\n1;1,5\n", {"id": 1, "v": 1.5}),
    ("?delimiter=%3B", b"id;v\n1;1,5\n", {"id": 1, "v": 1.5}),
    ("?delimiter=pipe", b"id|v\n1|2\n", {"id": 1, "v": 2}),
    ("?format=tsv", b"id\tv\n1\t2\n", {"id": 1, "v": 2}),
    ("?quote=single", b"id,v\n1,'a,b'\n", {"id": 1, "v": "a,b"}),
    ("?encoding=latin1", b"id,v\n1,\xe9\n", {"id": 1, "v": "é"}),
    ("?null=none", b"id,v\n1,none\n2,5\n", {"id": 1, "v": None}),
    ("?dates=dmy", b"id,v\n1,02/03/2024\n", {"id": 1, "v": "2024-03-02"}),
    ("?dates=mdy", b"id,v\n1,02/03/2024\n", {"id": 1, "v": "2024-02-03"}),
    ("?skip_lines=2", b"report\nof today\nid,v\n1,2\n", {"id": 1, "v": 2}),
    ("?types=v:text", b"id,v\n1,2\n", {"id": 1, "v": "2"}),
    ("?format=ndjson", b'{"id": 1, "v": {"a": [1]}}\n', {"id": 1, "v": {"a": [1]}}),
    ("?format=json", b'[{"id": 1, "v": true}]', {"id": 1, "v": True}),
])
def test_each_parameter_is_heeded(api, name, query, body, wanted):
    answer = put(api, name, body, query)
    assert answer.status_code == 201, answer.text
    assert rows(api, name)[0] == wanted


def test_without_a_header_columns_are_numbered(api, name):
    assert put(api, name, b"a,b\nc,d\n", "?header=false").json()["rows"] == 2
    assert rows(api, name, "?order=c1") == [{"c1": "a", "c2": "b"}, {"c1": "c", "c2": "d"}]


@pytest.mark.parametrize("query", ["?mode=merge", "?header=maybe", "?delimiter=ab", "?quote=x", "?encoding=klingon", "?decimal=dot", "?dates=ydm",
                                   "?skip_lines=-1", "?format=xlsx", "?max_bad=2", "?max_bad=x", "?types=v", "?types=v:number9", "?key=", "?key=a,,b", "?nonsense=1",
                                   "?mode=append&mode=append"])
def test_a_wrong_parameter_is_named(api, name, query):
    problem = assert_problem(put(api, name, SALES, query), 400, "invalid-parameter")
    assert problem["errors"][0]["field"] in (query[1:].partition("=")[0], "query")
    assert_problem(api.get(f"/v1/uploads/{name}", bearer=bearer("upanna")), 404, "not-found")


@pytest.mark.parametrize("wrong", ["Sales", "1st", "a-b", "x" * 64, "%C3%A9", "a.b"])
def test_a_name_that_no_upload_has_is_refused(api, wrong):
    assert_problem(put(api, wrong, SALES), 400, "invalid-parameter")


def test_sessions_is_no_uploads_name(api):
    assert put(api, "sessions", SALES).status_code in (400, 405)


@pytest.mark.parametrize("body, words", [
    (b"", "empty"), (b"   \n", ""), (b"PAR1\x15\x04\x15\x00rest", "Parquet"), (b"PK\x03\x04\x14\x00\x06\x00", ""), (bytes(range(256)), ""),
    (b"id,id\n1,2\n", "id"), (b"ctid,v\n1,2\n", "ctid"), (b'id,v\n1,"never closed\n', "quote")])
def test_a_file_that_is_none_is_refused(api, name, body, words):
    problem = assert_problem(put(api, name, body), 422, "invalid-file")
    assert words in problem["detail"] and problem["errors"][0]["in"] == "file"
    assert_problem(api.get(f"/v1/uploads/{name}", bearer=bearer("upanna")), 404)


def test_the_first_bad_row_refuses_the_file_and_its_line_is_told(api, name):
    put(api, name, SALES)
    problem = assert_problem(put(api, name, b"id,v\n1,2\n2\n3,4\n"), 422, "invalid-file")
    assert problem["errors"][0]["line"] == 3
    assert len(rows(api, name)) == 2, "the old rows stay"


def test_bad_rows_go_to_quarantine_where_that_is_allowed(api, name):
    body = b"id,v\n" + b"".join(b"%d,%s\n" % (n, b"x" if n % 4 == 0 else b"1") for n in range(1, 41))
    # Line 21 holds the fifth bad row of forty: the one that goes past the share.
    refused = assert_problem(put(api, name, body, "?types=v:integer&max_bad=0.1"), 422, "invalid-file")
    assert refused["errors"][0]["line"] == 21 and refused["errors"][0]["field"] == "v"
    told = put(api, name, body, "?types=v:integer&max_bad=0.5").json()
    assert told["quarantined"] == 10 and told["inserted"] == 30 and told["bad"][0]["line"] == 5 and told["bad"][0]["column"] == "v" and told["bad"][0]["raw"] == "4,x"
    seen, path = [], f"/v1/uploads/{name}/quarantine?limit=4"
    while path:
        page = api.json(path, bearer=bearer("upanna"))
        assert len(page["rows"]) <= 4
        seen += page["rows"]
        path = page["next"]
    assert [one["line"] for one in seen] == list(range(5, 42, 4)) and seen[0]["raw"] == "4,x" and seen[0]["reason"]
    assert_problem(api.get(f"/v1/uploads/{name}/quarantine", bearer=bearer("upbert")), 404, "not-found")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_compressed_bodies_are_taken(api, name, coding):
    body = gzip.compress(SALES) if coding == "gzip" else subprocess.run(["zstd", "-c"], input=SALES, capture_output=True, check=True).stdout
    told = put(api, name, body, Content_Encoding=coding)
    assert told.status_code == 201 and told.json()["bytes"] == len(body), told.text
    assert ids(api, name) == [1, 2]
    assert_problem(put(api, name, body[:-6], Content_Encoding=coding), 422, "invalid-file")
    assert put(api, name, body, Content_Encoding="br").status_code in (400, 415)


def test_a_bomb_is_refused(api, name):
    bomb = gzip.compress(b"id\n" + b"1\n" * 3_000_000)
    assert len(bomb) < 8 << 20
    assert put(api, name, bomb, Content_Encoding="gzip").status_code in (201, 413, 422)
    worse = gzip.compress(b"a" * 50_000_000)
    assert put(api, name, worse, Content_Encoding="gzip").status_code in (413, 422)


def test_the_digest_of_the_body_is_compared(api, name):
    right = base64.b64encode(hashlib.sha256(SALES).digest()).decode()
    assert put(api, name, SALES, Content_Digest=f"sha-256=:{right}:").status_code == 201
    wrong = base64.b64encode(bytes(32)).decode()
    assert_problem(put(api, name, b"id\n7\n", Content_Digest=f"sha-256=:{wrong}:"), 422, "invalid-file")
    assert ids(api, name) == [1, 2]


def test_a_type_that_is_not_taken_is_415(api, name):
    assert_problem(put(api, name, SALES, Content_Type="application/pdf"), 415, "unsupported-media-type")
    for good in ("text/csv; charset=utf-8", "application/octet-stream", "application/x-www-form-urlencoded"):
        assert put(api, name, SALES, Content_Type=good).status_code in (200, 201)


def test_past_max_body_it_is_413(api, name):
    head = f"PUT /v1/uploads/{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer('upanna')}\r\nContent-Length: 10485760\r\n\r\nid\n"
    assert api.raw(head.encode(), half_close=False)[0] == 413


def test_an_idempotency_key_carries_out_once(api, name):
    first = put(api, name, b"id\n1\n", "?mode=append", Idempotency_Key=f"k-{name}")
    again = put(api, name, b"id\n1\n", "?mode=append", Idempotency_Key=f"k-{name}")
    assert (first.status_code, again.status_code) == (201, 201) and first.json() == again.json()
    assert ids(api, name) == [1]
    assert_problem(put(api, name, b"id\n2\n", "?mode=append", Idempotency_Key=f"k-{name}"), 422, "idempotency-key-reused")
    for wrong in ("a b", "x" * 256):
        assert_problem(put(api, name, b"id\n2\n", Idempotency_Key=wrong), 400, "invalid-parameter")
    assert put(api, name, b"id\n1\n", who="upbert", Idempotency_Key=f"k-{name}").status_code == 201, "another customer's key is another key"
    assert ids(api, name) == [1]


@pytest.mark.tsan
def test_two_at_once_leave_one_whole_file(api, name):
    bodies = [b"id,who\n" + b"".join(b"%d,%d\n" % (n, who) for n in range(3000)) for who in (1, 2, 3)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda body: api.session.__class__().put(f"{api.base}/v1/uploads/{name}", data=body, headers=api.headers(None, bearer("upanna")), timeout=60), bodies))
    codes = sorted(answer.status_code for answer in answers)
    assert set(codes) <= {200, 201, 409, 503} and codes[0] in (200, 201), [answer.text for answer in answers]
    found = rows(api, name, "?limit=10000")
    assert len(found) == 3000 and len({row["who"] for row in found}) == 1


@pytest.mark.tsan
def test_two_appends_at_once_to_a_new_name_lose_no_row_of_a_2xx(api, name):
    def add(n):
        return api.session.__class__().put(f"{api.base}/v1/uploads/{name}?mode=append", data=b"id\n%d\n" % n, headers=api.headers(None, bearer("upanna")), timeout=60)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = dict(zip(range(6), pool.map(add, range(6))))
    taken = [n for n, answer in answers.items() if answer.status_code in (200, 201)]
    assert taken and all(answer.status_code in (200, 201, 409, 503) for answer in answers.values()), [answer.text for answer in answers.values()]
    assert ids(api, name) == taken


def test_a_reader_holds_the_swap_up_and_then_it_is_409(api, office, name):
    put(api, name, SALES)
    with office.login("upanna") as cursor:
        cursor.execute(f"begin; select * from upanna_uploads.{name}")
        problem = assert_problem(put(api, name, b"id\n9\n"), 409, "conflict")
        assert name in problem["detail"]
        cursor.execute("rollback")
    assert ids(api, name) == [1, 2]
    assert put(api, name, b"id\n9\n").status_code == 200


def test_readers_see_the_old_rows_or_the_new_ones(api, name):
    put(api, name, b"id,v\n" + b"".join(b"%d,0\n" % n for n in range(200)))
    stop, wrong = threading.Event(), []

    def read():
        session = api.session.__class__()
        while not stop.is_set():
            answer = api.get(f"/v1/datasets/uploads.{name}?select=v&limit=1000", bearer=bearer("upanna"), session=session)
            if answer.status_code == 200 and (len(answer.json()) != 200 or len({row["v"] for row in answer.json()}) != 1):
                wrong.append(answer.text[:300])
            elif answer.status_code not in (200, 503):
                wrong.append(answer.text[:300])

    readers = [threading.Thread(target=read) for _ in range(3)]
    for one in readers:
        one.start()
    try:
        for turn in range(1, 6):
            assert put(api, name, b"id,v\n" + b"".join(b"%d,%d\n" % (n, turn) for n in range(200))).status_code in (200, 409)
    finally:
        stop.set()
        for one in readers:
            one.join()
    assert not wrong, wrong[:3]


def test_a_neighbour_sees_nothing(api, name):
    put(api, name, SALES)
    for path in (f"/v1/uploads/{name}", f"/v1/uploads/{name}/quarantine", f"/v1/datasets/uploads.{name}"):
        assert_problem(api.get(path, bearer=bearer("upbert")), 404, "not-found")
    assert_problem(api.get(f"/v1/uploads/{name}", method="DELETE", bearer=bearer("upbert")), 404, "not-found")
    assert f"uploads.{name}" not in api.get("/v1/uploads?limit=1000", bearer=bearer("upbert")).text
    assert put(api, name, b"id\n77\n", who="upbert").status_code == 201
    assert ids(api, name) == [1, 2]
    # That there was none is known for up to warehouse.catalog_check to who asked just before.
    eventually(lambda: api.get(f"/v1/datasets/uploads.{name}", bearer=bearer("upbert")).status_code == 200, within=5, says="the neighbour's own")
    assert ids(api, name, "upbert") == [77]


def test_the_list_goes_by_pages_and_one_tells_what_was_guessed(api, name):
    for one in (name, name + "b"):
        put(api, one, SALES)
    seen, path = [], "/v1/uploads?limit=2"
    while path:
        answer = api.get(path, bearer=bearer("upanna"))
        assert answer.status_code == 200, answer.text
        seen += [one["dataset"] for one in answer.json()["uploads"]]
        path = answer.json()["next"]
        assert ("Link" in answer.headers) == (path is not None)
    assert seen == sorted(set(seen)) and f"uploads.{name}" in seen and f"uploads.{name}b" in seen
    answer = api.get(f"/v1/uploads/{name}", bearer=bearer("upanna"))
    one = answer.json()
    assert one["rows"] == 2 and one["options"]["delimiter"] == "," and one["digest"].endswith(hashlib.sha256(SALES).hexdigest())
    assert api.get(f"/v1/uploads/{name}", bearer=bearer("upanna"), headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_delete_takes_all_of_it_but_not_from_under_an_analysis(api, office, name):
    put(api, name, SALES)
    assert_problem(api.get(f"/v1/uploads/{name}x", method="DELETE", bearer=bearer("upanna")), 404, "not-found")
    office.as_customer("upanna", f"create view upanna_analytics.v_{name} as select * from upanna_uploads.{name}")
    problem = assert_problem(api.get(f"/v1/uploads/{name}", method="DELETE", bearer=bearer("upanna")), 409, "conflict")
    assert f"analytics.v_{name}" in problem["detail"]
    office.as_customer("upanna", f"drop view upanna_analytics.v_{name}")
    reads = json.dumps([["upanna_uploads", name]])
    office.as_customer("upanna", "insert into sluice.analysis (customer_id, name, sql, made_as, reads) values ('upanna', %s, 'select 1', 'table', %s)", (f"t_{name}", reads))
    problem = assert_problem(api.get(f"/v1/uploads/{name}", method="DELETE", bearer=bearer("upanna")), 409, "conflict")
    assert f"analytics.t_{name}" in problem["detail"]
    office.as_customer("upanna", "delete from sluice.analysis where name = %s", (f"t_{name}",))
    answer = api.get(f"/v1/uploads/{name}", method="DELETE", bearer=bearer("upanna"))
    assert answer.status_code == 204 and not answer.content
    assert_problem(api.get(f"/v1/uploads/{name}", bearer=bearer("upanna")), 404, "not-found")
    eventually(lambda: api.get(f"/v1/datasets/uploads.{name}", bearer=bearer("upanna")).status_code == 404, within=5, says="the end of the dataset")
    assert office.query("select count(*) from pg_class where relname = %s", (name,))[0][0] == 0


def test_a_deletion_that_a_deadlock_ended_says_so(api, office, name):
    assert put(api, name, SALES).status_code == 201
    office.query("create function public.collide() returns event_trigger language plpgsql as $$ begin raise exception using errcode = '40P01', message = 'on purpose'; end $$; "
                 "create event trigger collide on ddl_command_start when tag in ('DROP TABLE') execute function public.collide()")
    try:
        problem = assert_problem(api.get(f"/v1/uploads/{name}", method="DELETE", bearer=bearer("upanna")), 409, "conflict")
    finally:
        office.query("drop event trigger collide; drop function public.collide()")
    assert "still there" in problem["detail"] and len(rows(api, name)) == 2


def test_quotas_end_what_would_go_past_them(api):
    assert put(api, "a", b"id\n1\n", who="upsmall").status_code == 201
    assert put(api, "b", b"id\n1\n", who="upsmall").status_code == 201
    assert_problem(put(api, "c", b"id\n1\n", who="upsmall"), 403, "quota-exceeded")
    big = b"id,v\n" + b"".join(b"%d,%s\n" % (n, b"x" * 90) for n in range(2000))
    assert_problem(put(api, "a", big, who="upsmall"), 403, "quota-exceeded")
    assert ids(api, "a", "upsmall") == [1]
    assert put(api, "a", b"id\n2\n", who="upsmall").status_code == 200


def test_who_may_not_is_told_so(api, name):
    assert_problem(api.get(f"/v1/uploads/{name}", method="PUT", data=SALES, bearer=bearer("upanna", "datasets:read")), 403, "missing-scope")
    assert_problem(api.get(f"/v1/uploads/{name}", method="DELETE", bearer=bearer("upanna", "datasets:read")), 403, "missing-scope")
    assert_problem(put(api, name, SALES, who="nobody"), 403, "unregistered-customer")


@pytest.mark.tsan
def test_a_client_that_leaves_leaves_nothing(postgres, redis, office, tmp_path, name):
    # A long lock_timeout: what ends the load is that its client has left, however late that is.
    one = start_gateway(tmp_path, postgres, redis, office.database,
                        {"customers": {"login_key_file": write_secret(tmp_path, "login.key", LOGIN_KEY)}, "uploads": {"lock_timeout": "120s"}})
    put(one, name, SALES)
    with office.login("upanna") as cursor:
        cursor.execute(f"begin; lock table upanna_uploads.{name}")
        before = one.metrics()["sluice_tasks_abandoned_total"]
        with one.connect() as connection:
            body = b"id\n9\n"
            connection.sendall(b"PUT /v1/uploads/%s?mode=append HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
                               % (name.encode(), bearer("upanna").encode(), len(body), body))
            eventually(lambda: office.query("select count(*) from pg_locks where not granted")[0][0] > 0, within=10, says="the load that waits")
        eventually(lambda: one.metrics()["sluice_tasks_abandoned_total"] > before, within=10, says="the load that nobody waits for")
        eventually(lambda: office.query("select count(*) from pg_locks where not granted")[0][0] == 0, within=10, says="its end")
        cursor.execute("rollback")
    assert ids(one, name) == [1, 2]
    one.stop()


def test_a_load_that_does_not_end_holds_no_drain_up(postgres, redis, office, tmp_path, name):
    one = start_gateway(tmp_path, postgres, redis, office.database,
                        {"server": {"drain_timeout": "500ms"}, "customers": {"login_key_file": write_secret(tmp_path, "login.key", LOGIN_KEY)}, "uploads": {"lock_timeout": "60s"}})
    put(one, name, SALES)
    with office.login("upanna") as cursor, concurrent.futures.ThreadPoolExecutor(1) as pool:
        cursor.execute(f"begin; lock table upanna_uploads.{name}")
        waiting = pool.submit(lambda: put(one, name, b"id\n9\n", "?mode=append"))
        eventually(lambda: office.query("select count(*) from pg_locks where not granted")[0][0] > 0, within=10, says="the load that waits")
        one.stop(within=20)
        assert waiting.exception(10) is not None or waiting.result().status_code == 503
        cursor.execute("rollback")
    assert office.query(f"select count(*) from upanna_uploads.{name}")[0][0] == 2


@pytest.fixture
def asked(postgres, office):
    """What the database was asked since the last call, a list for each connection of a customer's: one entry a round trip."""
    postgres.query("postgres", f"alter database \"{office.database}\" set log_statement = 'all'")
    at = postgres.log.stat().st_size

    def read():
        nonlocal at
        with open(postgres.log, encoding="utf-8", errors="replace") as log:
            log.seek(at)
            lines = log.read().splitlines()
            at = log.tell()
        connections = {}
        for line in lines:
            said = re.search(r"\[(\d+)\] LOG: +(?:statement|execute <unnamed>): (.*)", line)
            if said:
                connections.setdefault(said[1], []).append(said[2])
        return [one for one in connections.values() if any("sluice.upload" in said or "c.quota_bytes" in said for said in one)]

    yield read
    postgres.query("postgres", f"alter database \"{office.database}\" reset log_statement")


@pytest.mark.parametrize("query, most", [("", 15), ("?mode=append", 9), ("?mode=upsert", 15)])
def test_a_small_file_takes_one_connection_and_few_round_trips(api, name, asked, query, most):
    body = b"id,day,amount\n" + b"".join(b"%d,2024-01-01,1.5\n" % n for n in range(10))
    assert put(api, name, body, "?key=id").status_code == 201
    asked()
    if query == "?mode=append":
        body = body.replace(b"\n", b"\n9", 10)
    assert put(api, name, body, query).status_code == 200
    connections = asked()
    assert len(connections) == 1, connections
    assert len(connections[0]) <= most, (len(connections[0]), connections[0])
