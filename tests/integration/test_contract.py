"""The contract is what is served: paths, methods, parameters, and answers of the described shape."""
import pytest

import contract
from gateway import assert_problem, check_problem, token

REGION = "AR-north-1"
CALLS = {
    "listRegions": "/v1/regions?q=ar&kind=city&parent=AR-north&bbox=-10,30,60,70&near=4,49&limit=5",
    "getRegion": f"/v1/regions/{REGION}",
    "getRegionSummary": f"/v1/regions/{REGION}/summary?window=30d&as_of=2025-06-30",
    "getRegionWeather": f"/v1/regions/{REGION}/weather?from=2024-01-01&to=2024-01-31&grain=day&fields=temperature_c",
    "getRegionMarket": f"/v1/regions/{REGION}/market?from=2024-01-01&to=2024-12-31&grain=month",
    "getRegionForecast": f"/v1/regions/{REGION}/forecast?grain=week",
    "listDatasets": "/v1/datasets?limit=5",
    "getDatasetSchema": "/v1/datasets/weather_daily/schema",
    "readDataset": f"/v1/datasets/weather_daily?select=region_id,day,temperature_c&region_id=eq.{REGION}&order=day.desc&limit=5",
    "getOpenapi": "/v1/openapi.json",
    "planQuery": "/v1/query/plan",
}
FORMED = [name for name in CALLS if name not in ("getDatasetSchema", "getOpenapi", "planQuery")]
FETCHED = [name for name in CALLS if name != "planQuery"]


def ask(api, operation, more="", **options):
    """The operation's call, by a caller who may read all of the warehouse; `more` goes behind its query."""
    path = CALLS[operation]
    if operation == "planQuery":
        options = {"method": "POST", "json": {"url": CALLS["readDataset"]}, **options}
    path += ("&" if "?" in path else "?") + more if more else ""
    return api.get(path, bearer=token(scope="regions:read datasets:read"), **options)


def test_every_operation_of_the_contract_has_a_call_here():
    assert {operation["operationId"] for _, _, operation in contract.operations()} == CALLS.keys()


@pytest.mark.parametrize("operation", CALLS)
def test_an_operation_answers_as_its_schema_says(api, operation):
    answer = ask(api, operation)
    assert answer.status_code == 200, answer.text
    contract.check_answer(operation, answer)
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("operation", FORMED)
@pytest.mark.parametrize("form,media", [("csv", "text/csv"), ("ndjson", "application/x-ndjson"), ("json", "application/json")])
def test_format_and_accept_choose_the_form(api, operation, form, media):
    asked = ask(api, operation, f"format={form}")
    accepted = ask(api, operation, headers={"Accept": f"image/png, {media};q=0.9, */*;q=0.1"})
    for answer in (asked, accepted):
        contract.check_answer(operation, answer)
        assert answer.headers["Content-Type"].split(";")[0] == media
        assert "Accept" in answer.headers["Vary"]
    assert asked.content == accepted.content
    assert_problem(ask(api, operation, headers={"Accept": "image/png"}), 406, "not-acceptable")


@pytest.mark.parametrize("operation", FETCHED)
def test_head_has_the_headers_of_get_and_no_body(api, operation):
    got, head = ask(api, operation), ask(api, operation, method="HEAD")
    assert head.status_code == 200 and head.content == b""
    for name in ("Content-Type", "ETag", "Content-Length", "Cache-Control"):
        assert head.headers.get(name) == got.headers.get(name), name


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
    options = {"method": "POST", "json": {"url": CALLS["readDataset"]}} if operation == "planQuery" else {}
    assert_problem(api.get(CALLS[operation], headers={"Authorization": None}, **options), 401, "missing-token")
    assert_problem(api.get(CALLS[operation], bearer=token(scope="events:write"), **options), 403, "missing-scope")


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
