"""A JSON line for each request, whatever came of it."""
import json
import re

from gateway import token
from wait import eventually


def test_each_request_has_a_line_with_what_came_of_it(api):
    answer = api.get("/v1/regions/AR/summary?window=5d", bearer=token(customer="logged", sub="user-7", jti="id-7"))
    line = api.record_of(answer)
    assert line["event"] == "request" and line["status"] == 200 and line["method"] == "GET"
    assert line["path"] == "/v1/regions/AR/summary?window=5d" and line["operation"] == "getRegionSummary"
    assert (line["customer"], line["subject"], line["token_id"]) == ("logged", "user-7", "id-7")
    assert line["address"] == "127.0.0.1" and line["lane"] == "fast" and line["target"] == "warehouse"
    assert line["rows"] == 1 and line["bytes"] > 0 and line["duration_us"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])


def test_a_refusal_has_a_line_with_its_reason(api):
    for path, options, status, reason in [("/none", {}, 404, "not-found"), ("/v1/regions?limit=0", {}, 400, "invalid-parameter"),
                                          ("/v1/regions", {"headers": {"Authorization": None}}, 401, "missing-token"), ("/v1/regions", {"bearer": "junk"}, 401, "invalid-token"),
                                          ("/v1/regions", {"bearer": token(scope="x")}, 403, "missing-scope"), ("/v1/regions", {"method": "PUT"}, 405, "method-not-allowed")]:
        line = api.record_of(api.get(path, **options))
        assert (line["status"], line["reason"]) == (status, reason)


def test_every_line_is_json_even_when_the_path_is_not_text(api):
    for target in (b'/v1/regions?q="\\', b"/\xff\xfe", b"/v1/regions/%22%0a", b"/" + b"x" * 5000):
        api.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    marker = api.record_of(api.get("/v1/openapi.json"))
    assert marker
    whole, _, _ = api.stdout.read_text(encoding="utf-8").rpartition("\n")  # the last line may be under way: of a call of an earlier test that was left
    for line in whole.split("\n"):
        json.loads(line)


def test_each_request_has_exactly_one_line(gateway):
    one = gateway({"log": {"requests": "stdout"}})
    ids = {one.get(f"/v1/regions?limit={limit}").headers["X-Request-Id"] for limit in range(1, 101)}
    assert len(ids) == 100
    lines = eventually(lambda: len(found := one.request_lines()) >= 100 and found)
    assert {line["request_id"] for line in lines} == ids and len(lines) == 100


def test_the_last_lines_are_written_before_it_ends(gateway):
    one = gateway()
    last = one.get("/v1/regions/AR").headers["X-Request-Id"]
    one.stop()
    assert last in {line["request_id"] for line in one.request_lines()}


def test_a_stream_tells_its_rows_and_whether_it_was_whole(api):
    whole = api.get("/v1/regions/AR/weather")
    line = api.record_of(whole)
    assert line["rows"] == len(whole.json()) and line["lane"] == "scan" and "complete" not in line
    with api.connect() as connection:
        connection.sendall(f"GET /v1/regions/AR/weather?fields=wind_kmh HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode())
        assert connection.recv(10)
    eventually(lambda: next((found for found in api.request_lines() if found["path"].endswith("fields=wind_kmh")), None), says="the line of a client that left")


def test_traceparent_goes_on_and_a_bad_one_is_replaced(api):
    trace = "0af7651916cd43dd8448eb211c80319c"
    line = api.record_of(api.get("/v1/regions/AR", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}))
    assert line["trace_id"] == trace and re.fullmatch("[0-9a-f]{16}", line["span_id"]) and line["span_id"] != "b7ad6b7169203331"
    for bad in ("", "junk", f"00-{'0' * 32}-b7ad6b7169203331-01", f"ff-{trace}-b7ad6b7169203331-01", f"00-{trace.upper()}-b7ad6b7169203331-01"):
        line = api.record_of(api.get("/v1/regions/AR", headers={"traceparent": bad}))
        assert re.fullmatch("[0-9a-f]{32}", line["trace_id"]) and line["trace_id"] not in (trace, "0" * 32)


def test_requests_go_to_a_file_or_nowhere(gateway, tmp_path):
    path = tmp_path / "requests.log"
    one = gateway({"log": {"requests": str(path)}})
    wanted = one.get("/v1/openapi.json").headers["X-Request-Id"]
    eventually(lambda: path.is_file() and wanted in path.read_text())
    assert path.stat().st_mode & 0o077 == 0
    silent = gateway({"log": {"requests": "off"}})
    silent.get("/v1/openapi.json")
    silent.stop()
    assert silent.request_lines() == []
