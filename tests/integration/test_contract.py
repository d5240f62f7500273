"""The contract is what is served: paths, methods, parameters, and answers of the described shape."""
import base64
import gzip
import hashlib

import pytest

import calls
import contract
from calls import CALLS, REGION, TUS
from gateway import SLOWNESS, assert_problem, check_problem, token
from wait import eventually

ANSWERS = {name: contract.resolve(contract.operation_of(name)["responses"].get("200", {})).get("content", {}) for name in CALLS}
FORMED = [name for name in CALLS if "text/csv" in ANSWERS[name]]
FETCHED = [name for name in CALLS if CALLS[name].method == "GET"]
TAGGED = [name for name in FETCHED if "304" in contract.operation_of(name)["responses"]]
JSON_BODIED = ("planQuery", "runQuery", "putAnalysis")
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def expanding(size):
    """So many bytes of CSV, compressed: members of gzip, one behind the other."""
    piece = 16 << 20
    return gzip.compress(b"1,1\n" * (piece // 4)) * (size // piece)


@pytest.fixture(scope="module")
def api(postgres, redis, tmp_path_factory):
    with calls.opened(tmp_path_factory.mktemp("contract"), postgres, redis) as one:
        yield one


def ask(api, operation, more="", headers=None, **changes):
    """The operation's call, with changes, by a customer who may do all."""
    return calls.ask(api, CALLS[operation]._replace(**changes), more, headers=headers)


def at(api, operation):
    """What the operation acts on, made once for several calls."""
    made = CALLS[operation].before(api)
    return {"before": lambda api: made}


def test_every_operation_of_the_contract_has_a_call_here():
    assert {operation["operationId"]: method for _, method, operation in contract.operations()} == {name: call.method for name, call in CALLS.items()}


@pytest.mark.parametrize("operation", CALLS)
def test_an_operation_answers_as_its_schema_says(api, operation):
    answer = ask(api, operation)
    assert answer.status_code == CALLS[operation].status, answer.text
    contract.check_answer(operation, answer)
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("operation, status, changes", [
    ("readDataset", 206, {"path": "/v1/datasets/weather_daily?limit=1", "headers": {"Prefer": "count=planned"}}),
    ("putUpload", 200, {"path": "/v1/uploads/sales?mode=append&max_bad=0.5"}),
    ("putAnalysis", 200, {"path": "/v1/analytics/total", "body": {"sql": calls.TOTAL, "as": "table"}}),
    ("getUploadQuarantine", 200, {"path": "/v1/uploads/sales/quarantine?after=3"}),
    ("planQuery", 200, {"body": {"sql": "select id from uploads.sales where id = $1", "parameters": [1], "limit": 5}}),
    ("runQuery", 202, {"headers": {"Prefer": "respond-async"}}),
    ("uploadSessionPatch", 204, {"body": calls.SALES[:10]})])
def test_an_operation_that_answers_in_another_way_does_as_its_schema_says(api, operation, status, changes):
    answer = ask(api, operation, **changes)
    assert answer.status_code == status, answer.text
    contract.check_answer(operation, answer)


@pytest.mark.parametrize("operation", TAGGED)
def test_what_a_caller_has_already_is_a_304(api, operation):
    call = at(api, operation)

    def kept():
        tag = ask(api, operation, **call).headers.get("ETag")
        return tag and ask(api, operation, headers={"If-None-Match": tag}, **call)

    answer = eventually(lambda: (again := kept()) is not None and again.status_code == 304 and again, within=5 * SLOWNESS, says="a 304")
    contract.check_answer(operation, answer)
    assert answer.content == b""


CHECKSUM = {"Upload-Checksum": "sha1 " + base64.b64encode(hashlib.sha1(b"other").digest()).decode()}
PIECE = calls.PIECE
FRESH = {"before": lambda api: ""}
GONE = {"before": lambda api: UNKNOWN}
MISTAKES = [  # operation, status, kind, what differs from its call
    ("loadRows", 400, "invalid-parameter", {"path": "/v1/datasets/shown.price/rows?mode=none"}),
    ("loadRows", 404, "not-found", {"path": "/v1/datasets/weather_daily/rows"}),
    ("loadRows", 415, "unsupported-media-type", {"headers": {"Content-Type": "image/png"}}),
    ("loadRows", 422, "invalid-file", {"body": b"day,zone,price\n2025-01-01,bg,x\n"}),
    ("listUploads", 400, "invalid-parameter", {"path": "/v1/uploads?limit=0"}),
    ("listUploads", 403, "unregistered-customer", {"who": "callnobody"}),
    ("getUpload", 400, "invalid-parameter", {"path": "/v1/uploads/No"}),
    ("getUpload", 403, "unregistered-customer", {"who": "callnobody"}),
    ("getUpload", 404, "not-found", {"path": "/v1/uploads/none"}),
    ("putUpload", 400, "invalid-parameter", {"path": "/v1/uploads/fresh?mode=none"}),
    ("putUpload", 403, "unregistered-customer", {"who": "callnobody"}),
    ("putUpload", 409, "conflict", {"path": "/v1/uploads/sales", "body": b"other\n1\n"}),
    ("putUpload", 413, "body-too-large", {"body": expanding(2 << 30), "headers": {"Content-Encoding": "gzip", **calls.CSV}}),
    ("putUpload", 415, "unsupported-media-type", {"headers": {"Content-Type": "image/png"}}),
    ("putUpload", 422, "invalid-file", {"path": "/v1/uploads/fresh?types=amount:numeric"}),
    ("deleteUpload", 400, "invalid-parameter", {"path": "/v1/uploads/No", **FRESH}),
    ("deleteUpload", 404, "not-found", {"path": "/v1/uploads/none", **FRESH}),
    ("deleteUpload", 409, "conflict", {"path": "/v1/uploads/sales", **FRESH}),
    ("getUploadQuarantine", 400, "invalid-parameter", {"path": "/v1/uploads/sales/quarantine?after=-1"}),
    ("getUploadQuarantine", 404, "not-found", {"path": "/v1/uploads/none/quarantine"}),
    ("uploadSessionCreate", 400, "invalid-parameter", {"headers": {**TUS, "Upload-Length": "10"}}),
    ("uploadSessionCreate", 412, "unsupported-version", {"headers": {**CALLS["uploadSessionCreate"].headers, "Tus-Resumable": "0.2.2"}}),
    ("uploadSessionCreate", 413, "body-too-large", {"headers": {**CALLS["uploadSessionCreate"].headers, "Upload-Length": "9" * 18}}),
    ("uploadSessionHead", 400, "invalid-parameter", {"path": calls.SESSIONS + "/1", **FRESH}),
    ("uploadSessionHead", 404, "not-found", GONE),
    ("uploadSessionHead", 412, "unsupported-version", {"headers": {"Tus-Resumable": "2.0.0"}}),
    ("uploadSessionPatch", 400, "invalid-parameter", {"headers": {**PIECE, "Upload-Offset": "x"}}),
    ("uploadSessionPatch", 404, "not-found", GONE),
    ("uploadSessionPatch", 409, "conflict", {"headers": {**PIECE, "Upload-Offset": "7"}}),
    ("uploadSessionPatch", 412, "unsupported-version", {"headers": {**PIECE, "Tus-Resumable": "2"}}),
    ("uploadSessionPatch", 413, "body-too-large", {"body": calls.SALES * 2}),
    ("uploadSessionPatch", 415, "unsupported-media-type", {"headers": {**PIECE, "Content-Type": "text/csv"}}),
    ("uploadSessionPatch", 422, "invalid-file", {"body": calls.SALES.replace(b",", b"\0")}),
    ("uploadSessionPatch", 460, "checksum-mismatch", {"headers": {**PIECE, **CHECKSUM}}),
    ("uploadSessionDelete", 404, "not-found", GONE),
    ("uploadSessionDelete", 412, "unsupported-version", {"headers": {}}),
    ("planQuery", 400, "invalid-body", {"body": {}}),
    ("planQuery", 404, "not-found", {"body": {"url": "/v1/datasets/none"}}),
    ("planQuery", 422, "invalid-sql", {"body": {"sql": "select pg_sleep(1)"}}),
    ("runQuery", 400, "invalid-body", {"body": {"sql": "select :a", "parameters": {}}}),
    ("runQuery", 403, "unregistered-customer", {"who": "callnobody"}),
    ("runQuery", 406, "not-acceptable", {"headers": {"Accept": "image/png"}}),
    ("runQuery", 415, "unsupported-media-type", {"body": b"select 1", "headers": calls.CSV}),
    ("runQuery", 422, "invalid-sql", {"body": {"sql": "select * from uploads.none"}}),
    ("listJobs", 400, "invalid-parameter", {"path": "/v1/jobs?limit=0"}),
    ("listJobs", 403, "unregistered-customer", {"who": "callnobody"}),
    ("getJob", 400, "invalid-parameter", {"path": "/v1/jobs/1", **FRESH}),
    ("getJob", 404, "not-found", GONE),
    ("deleteJob", 404, "not-found", GONE),
    ("getJobResult", 404, "not-found", GONE),
    ("listAnalyses", 400, "invalid-parameter", {"path": "/v1/analytics?limit=1000"}),
    ("listAnalyses", 403, "unregistered-customer", {"who": "callnobody"}),
    ("getAnalysis", 400, "invalid-parameter", {"path": "/v1/analytics/No"}),
    ("getAnalysis", 404, "not-found", {"path": "/v1/analytics/none"}),
    ("putAnalysis", 400, "invalid-body", {"body": {"sql": "select 1 as one", "as": "index"}}),
    ("putAnalysis", 403, "unregistered-customer", {"who": "callnobody", **FRESH}),
    ("putAnalysis", 409, "conflict", {"path": "/v1/analytics/base", "body": {"sql": "select 1 as other"}, "before": lambda api: read_by_another(api)}),
    ("putAnalysis", 415, "unsupported-media-type", {"body": b"select 1", "headers": calls.CSV}),
    ("putAnalysis", 422, "invalid-sql", {"body": {"sql": "drop table uploads.sales"}}),
    ("deleteAnalysis", 404, "not-found", {"path": "/v1/analytics/none", **FRESH}),
    ("deleteAnalysis", 409, "conflict", {"path": "/v1/analytics/base", "before": lambda api: read_by_another(api)}),
    ("refreshAnalysis", 404, "not-found", {"path": "/v1/analytics/none/refresh"}),
    ("refreshAnalysis", 409, "conflict", {"path": "/v1/analytics/busy/refresh"}),
    ("refreshAnalysis", 422, "invalid-sql", {"path": "/v1/analytics/broken/refresh", "before": lambda api: broken(api)}),
    ("listShares", 404, "not-found", {"path": "/v1/analytics/none/shares"}),
    ("putShare", 400, "invalid-parameter", {"path": "/v1/analytics/total/shares/No"}),
    ("putShare", 404, "not-found", {"path": f"/v1/analytics/none/shares/{calls.EMIL}"}),
    ("putShare", 409, "conflict", {"path": f"/v1/analytics/total/shares/{calls.DORA}"}),
    ("deleteShare", 404, "not-found", {"path": f"/v1/analytics/none/shares/{calls.EMIL}", **FRESH}),
]


def read_by_another(api):
    calls.put_analysis(api, "base", "select 1 as one", "view")
    calls.put_analysis(api, "reader", "select one from analytics.base", "view")
    return ""


def broken(api):
    """A table whose SQL could be carried out only then."""
    calls.put_upload(api, "divisor", b"id\n1\n", "?mode=replace")
    calls.put_analysis(api, "broken", "select 1 / id as x from uploads.divisor")
    calls.put_upload(api, "divisor", b"id\n0\n", "?mode=append")
    return ""


@pytest.mark.parametrize("operation, status, kind, changes", MISTAKES, ids=[f"{operation}-{status}-{kind}" for operation, status, kind, _ in MISTAKES])
def test_a_mistake_is_the_problem_that_the_contract_lists(api, operation, status, kind, changes):
    changes = dict(changes)
    who = changes.pop("who", calls.DORA)
    answer = calls.ask(api, CALLS[operation]._replace(**changes), authorization=calls.bearer(who))
    problem = assert_problem(answer, status, kind)
    contract.check_answer(operation, answer)
    assert "calldora" not in problem["detail"] and "ware." not in problem["detail"]


@pytest.mark.parametrize("operation", FORMED)
@pytest.mark.parametrize("form,media", [("csv", "text/csv"), ("ndjson", "application/x-ndjson"), ("json", "application/json")])
def test_format_and_accept_choose_the_form(api, operation, form, media):
    call = at(api, operation)

    def both():
        asked = ask(api, operation, f"format={form}", **call)
        accepted = ask(api, operation, headers={"Accept": f"image/png, {media};q=0.9, */*;q=0.1"}, **call)
        return asked.content == accepted.content and (asked, accepted)

    # What is listed may grow in between: audit records are shipped within a second.
    for answer in eventually(both, within=5 * SLOWNESS, says="the same content by format and by Accept"):
        contract.check_answer(operation, answer)
        assert answer.headers["Content-Type"].split(";")[0] == media
        assert "Accept" in answer.headers["Vary"]
    assert_problem(ask(api, operation, headers={"Accept": "image/png"}), 406, "not-acceptable")


@pytest.mark.parametrize("operation", FETCHED)
def test_head_has_the_headers_of_get_and_no_body(api, operation):
    call, heads = at(api, operation), []

    def agree():
        got, head = (ask(api, operation, method=method, **call) for method in ("GET", "HEAD"))
        heads.append(head)
        for name in ("Content-Type", "ETag", "Content-Length", "Cache-Control"):
            assert head.headers.get(name) == got.headers.get(name), name
        return True

    # What the tests before have changed may be polled in between: then the ETag is another one.
    eventually(agree, within=5 * SLOWNESS, says="the headers of GET and HEAD")
    assert all(head.status_code == 200 and head.content == b"" for head in heads)


def test_head_of_a_problem_has_no_body_and_keeps_the_connection(api):
    status, headers, body = api.raw(b"HEAD /v1/none HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status == 404 and headers["content-type"] == "application/problem+json"
    assert body.startswith(b"HTTP/1.1 200"), body[:200]


def test_the_served_document_is_the_contract(api):
    served = api.json("/v1/openapi.json", headers={"Authorization": None})
    assert served["openapi"] == contract.DOCUMENT["openapi"]
    assert served["paths"].keys() == contract.DOCUMENT["paths"].keys()
    assert served["components"]["schemas"].keys() == contract.DOCUMENT["components"]["schemas"].keys()


def test_the_document_that_a_reader_is_served_has_the_contract_and_his_datasets(api):
    served = ask(api, "getOpenapi").json()
    assert served["paths"].keys() > contract.DOCUMENT["paths"].keys()
    assert served["components"]["schemas"].keys() >= contract.DOCUMENT["components"]["schemas"].keys()
    assert all(path.startswith("/v1/datasets/") for path in served["paths"].keys() - contract.DOCUMENT["paths"].keys())


def test_a_token_that_is_sent_for_the_document_must_be_valid(api):
    assert_problem(api.get("/v1/openapi.json", bearer="none"), 401, "invalid-token")


@pytest.mark.parametrize("operation", [name for name in CALLS if name != "getOpenapi"])
def test_without_a_token_or_its_scope_nothing_is_answered(api, operation):
    call = CALLS[operation]._replace(path=CALLS[operation].path.replace("{}", UNKNOWN), before=lambda api: "")
    without = calls.ask(api, call, headers={"Authorization": None})
    assert_problem(without, 401, "missing-token")
    denied = calls.ask(api, call, authorization=calls.bearer(scope="events:write"))
    assert_problem(denied, 403, "missing-scope")
    for answer in (without, denied):
        contract.check_answer(operation, answer)


@pytest.mark.parametrize("path", ["/v1/datasets/weather_daily/below", "/v1/datasets/weather_daily/", "/v1/datasets/none_such", "/v1/datasets/none%20such",
                                  "/v1/datasets/weather_daily%2Fschema", "/v1/datasets/pg_catalog.pg_class"])
def test_a_path_below_a_dataset_and_one_that_is_not_there_are_404(api, path):
    assert_problem(api.get(path, bearer=token(scope="datasets:read")), 404, "not-found")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/regions/", "/v1/regions/AR/", "/v1/regions/AR/none", "/v2/regions", "//v1/regions", "/v1//regions",
                                  "/v1/regions/AR/../KE", "/v1/regions/%2e%2e/regions", "/V1/regions", "/healthz", "/readyz", "/metrics"])
def test_what_is_not_in_the_contract_is_not_there(api, path):
    # Not through requests, which would tidy the path up.
    status, headers, body = api.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\nConnection: close\r\n\r\n".encode())
    assert status == 404, (status, body[:300])
    check_problem(headers["content-type"], body, 404, "not-found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "BREW"])
def test_another_method_is_a_405_that_names_what_is_allowed(api, method):
    answer = api.get("/v1/regions", method=method)
    assert_problem(answer, 405, "method-not-allowed")
    assert {part.strip() for part in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "OPTIONS"}


def test_options_names_the_methods_and_needs_no_token(api):
    answer = api.get(f"/v1/regions/{REGION}/summary", method="OPTIONS", headers={"Authorization": None})
    assert answer.status_code == 204
    assert {part.strip() for part in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "OPTIONS"}
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert_problem(api.get("/v1/none", method="OPTIONS"), 404)


def test_cors_is_for_the_configured_origins_only(gateway):
    one = gateway({"cors": {"origins": ["https://app.example.com"], "max_age": "300s"}})
    preflight = {"Authorization": None, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    allowed = one.get("/v1/regions", method="OPTIONS", headers={**preflight, "Origin": "https://app.example.com"})
    assert allowed.status_code == 204
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "GET" in allowed.headers["Access-Control-Allow-Methods"]
    assert "authorization" in allowed.headers["Access-Control-Allow-Headers"].lower()
    assert allowed.headers["Access-Control-Max-Age"] == "300"
    other = one.get("/v1/regions", method="OPTIONS", headers={**preflight, "Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
    simple = one.get("/v1/regions?limit=1", headers={"Origin": "https://app.example.com"})
    assert simple.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "ETag" in simple.headers["Access-Control-Expose-Headers"]
    refused = one.get("/v1/regions", headers={"Origin": "https://app.example.com", "Authorization": None})
    assert refused.status_code == 401 and refused.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Origin" in one.get("/v1/regions?limit=1").headers["Vary"]


@pytest.mark.parametrize("operation", CALLS)
def test_an_unknown_parameter_is_refused_by_name(api, operation):
    problem = assert_problem(ask(api, operation, "surprise=1"), 400, "invalid-parameter")
    assert problem["errors"][0]["in"] == "query" and problem["errors"][0]["field"] == "surprise"


@pytest.mark.parametrize("query,field", [("limit=5&limit=5", "limit"), ("q=a&q=b", "q"), ("bbox=1,2,3,4&bbox=1,2,3,4", "bbox")])
def test_a_repeated_parameter_is_refused_by_name(api, query, field):
    problem = assert_problem(api.get(f"/v1/regions?{query}"), 400, "invalid-parameter")
    assert problem["errors"][0]["field"] == field


def test_escapes_are_decoded_once(api):
    assert api.json("/v1/regions/%41R%2Dnorth%2d1")["region_id"] == REGION
    assert_problem(api.get("/v1/regions/%2541R"), 400, "invalid-parameter")
    assert [found["region_id"] for found in api.json("/v1/regions?%71=Lindbourg")] == [REGION]
    assert [found["name"] for found in api.json("/v1/regions?q=Arvon+Coast")] == ["Arvon Coast"]


def test_a_query_without_value_or_name_is_not_a_fault_of_the_service(api):
    for query in ("q=", "=1", "&&", "?", "limit", "limit=", "q=%"):
        assert api.get(f"/v1/regions?{query}").status_code in (200, 400), query
