"""Bad input is a 4xx problem that names the field and the remedy: never a fault, a crash, or a hint."""
import random
import socket

import pytest

from gateway import assert_problem, check_problem, quote, split_answer

SUMMARY, WEATHER, SEARCH = "/v1/regions/AR/summary", "/v1/regions/AR/weather", "/v1/regions"
BAD = [  # path, field that the problem names
    (f"{SEARCH}?kind=No%20Kind", "kind"),
    (f"{SEARCH}?limit=0", "limit"),
    (f"{SEARCH}?limit=-1", "limit"),
    (f"{SEARCH}?limit=1001", "limit"),
    (f"{SEARCH}?limit=1.5", "limit"),
    (f"{SEARCH}?limit=1e2", "limit"),
    (f"{SEARCH}?limit=0x10", "limit"),
    (f"{SEARCH}?limit=%205", "limit"),
    (f"{SEARCH}?limit=99999999999999999999", "limit"),
    (f"{SEARCH}?limit=NaN", "limit"),
    (f"{SEARCH}?q=", "q"),
    (f"{SEARCH}?q=" + "x" * 101, "q"),
    (f"{SEARCH}?bbox=1,2,3", "bbox"),
    (f"{SEARCH}?bbox=1,2,3,4,5", "bbox"),
    (f"{SEARCH}?bbox=1,2,3,x", "bbox"),
    (f"{SEARCH}?bbox=1,2,,4", "bbox"),
    (f"{SEARCH}?bbox=1,50,2,40", "bbox"),
    (f"{SEARCH}?bbox=-181,0,0,0", "bbox"),
    (f"{SEARCH}?bbox=NaN,0,1,1", "bbox"),
    (f"{SEARCH}?near=1", "near"),
    (f"{SEARCH}?near=1e999,0", "near"),
    (f"{SEARCH}?near=inf,0", "near"),
    (f"{SEARCH}?near=-Infinity,0", "near"),
    (f"{SEARCH}?near=nan,nan", "near"),
    (f"{SEARCH}?near=1234567890123456789012345678901234567890,0", "near"),
    (f"{SEARCH}?parent=" + "x" * 65, "parent"),
    (f"{SEARCH}?cursor=*", "cursor"),
    (f"{SEARCH}?format=xml", "format"),
    (f"{SUMMARY}?window=0d", "window"),
    (f"{SUMMARY}?window=10000y", "window"),
    (f"{SUMMARY}?window=201y", "window"),
    (f"{SUMMARY}?window=999999d", "window"),
    (f"{SUMMARY}?window=-5d", "window"),
    (f"{SUMMARY}?window=30", "window"),
    (f"{SUMMARY}?window=d", "window"),
    (f"{SUMMARY}?window=1h", "window"),
    (f"{SUMMARY}?window=1.5m", "window"),
    (f"{SUMMARY}?as_of=2025-02-30", "as_of"),
    (f"{SUMMARY}?as_of=2023-02-29", "as_of"),
    (f"{SUMMARY}?as_of=2025-13-01", "as_of"),
    (f"{SUMMARY}?as_of=2025-1-1", "as_of"),
    (f"{SUMMARY}?as_of=0000-01-01", "as_of"),
    (f"{SUMMARY}?as_of=20250101", "as_of"),
    (f"{SUMMARY}?as_of=today", "as_of"),
    (f"{SUMMARY}?as_of=2025-01-01T00:00:00Z", "as_of"),
    (f"{WEATHER}?from=2025-02-31", "from"),
    (f"{WEATHER}?from=2025-06-01&to=2025-05-31", "from"),
    (f"{WEATHER}?to=infinity", "to"),
    (f"{WEATHER}?grain=hour", "grain"),
    (f"{WEATHER}?grain=DAY", "grain"),
    (f"{WEATHER}?fields=", "fields"),
    (f"{WEATHER}?fields=region_id", "fields"),
    (f"{WEATHER}?fields=none", "fields"),
    (f"{WEATHER}?fields=temperature_c,temperature_c", "fields"),
    (f"{WEATHER}?fields=temperature_c,,wind_kmh", "fields"),
    (f"{WEATHER}?fields=" + ",".join(f"f{i}" for i in range(65)), "fields"),
    (f"{WEATHER}?fields=" + quote("t); drop table x--"), "fields"),
    ("/v1/regions/" + "x" * 65, "region_id"),
    ("/v1/regions/-x", "region_id"),
    ("/v1/regions/a%20b", "region_id"),
    ("/v1/regions/a'b", "region_id"),
    ("/v1/regions/%E2%82%AC", "region_id"),
    ("/v1/regions/a%2fb", "region_id"),
]


@pytest.mark.parametrize("path,field", BAD, ids=[path[:60] for path, _ in BAD])
def test_a_bad_value_is_a_400_that_names_the_field_and_a_remedy(api, path, field):
    problem = assert_problem(api.get(path), 400)
    mistake = problem["errors"][0]
    assert mistake["field"] == field and mistake["in"] in ("query", "path")
    assert len(mistake["message"]) > 10 and field in problem["detail"]


def raw_get(api, target, headers="", method="GET"):
    """The target goes out byte by byte."""
    target = target if isinstance(target, bytes) else target.encode()
    return api.raw(method.encode() + b" " + target + f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\nConnection: close\r\n{headers}\r\n".encode())


@pytest.mark.parametrize("target", [b"/v1/regions?q=%ff", b"/v1/regions?q=%c3", b"/v1/regions?q=%ed%a0%80", b"/v1/regions?q=%00", b"/v1/regions?q=a%00b", b"/v1/regions?q=%zz",
                                    b"/v1/regions?q=%4", b"/v1/regions?q=%", b"/v1/regions/%00", b"/v1/regions/AR%00", b"/v1/regions/%zz", b"/v1/regions/%ff",
                                    b"/v1/regions/%c0%af", b"/v1/regions/\xff", b"/v1/regions?q=\xff", b"/v1/regions?%zz=1"])
def test_bytes_that_are_no_text_are_a_400(api, target):
    status, headers, body = raw_get(api, target)
    assert status == 400, (status, body[:300])
    check_problem(headers.get("content-type"), body, 400)


def test_an_escaped_slash_does_not_become_a_path(api):
    for target in (b"/v1%2fregions", b"/v1/regions%2fAR", b"/v1/regions/AR%2fsummary", b"/v1/regions/..%2f..%2fmetrics"):
        status, headers, body = raw_get(api, target)
        assert status in (400, 404)
        check_problem(headers["content-type"], body, status)


def test_a_long_target_is_a_414(api):
    status, headers, body = raw_get(api, "/v1/regions?q=" + "x" * 9000)
    assert status == 414
    problem = check_problem(headers["content-type"], body, 414, "uri-too-long")
    assert "8192" in problem["detail"]


def test_many_header_lines_are_a_431(gateway):
    one = gateway({"server": {"max_headers": 20}})
    status, headers, body = raw_get(one, "/v1/openapi.json", "".join(f"X-{i}: 1\r\n" for i in range(30)))
    assert status == 431
    check_problem(headers["content-type"], body, 431, "too-many-headers")


def test_a_body_on_a_get_is_refused(api):
    for headers in ("Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"):
        status, told, body = raw_get(api, SUMMARY, headers)
        assert status == 400
        problem = check_problem(told["content-type"], body, 400, "body-not-allowed")
        assert "getRegionSummary" in problem["detail"]


def test_a_smuggled_request_is_not_answered(api):
    status, _, body = api.raw(f"GET {SUMMARY} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\nContent-Length: 46\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "0\r\n\r\nGET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert status == 400 and b"HTTP/1.1" not in body


def test_a_folded_header_line_is_refused(api):
    status, headers, body = raw_get(api, SUMMARY, "X-One: a\r\n b\r\n")
    assert status == 400
    check_problem(headers["content-type"], body, 400, "bad-request")


@pytest.mark.parametrize("request_bytes", [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 200,
                                           b"GET / HTTP/1.1\r\nBad Header\r\n\r\n", b"GET /v1/regions HTTP/1.1\r\nContent-Length: x\r\nHost: x\r\n\r\n",
                                           b"GET /v1/regions HTTP/1.1\r\nContent-Length: -1\r\nHost: x\r\n\r\n",
                                           b"GET /v1/regions HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\nHost: x\r\n\r\n",
                                           b"GET /v1/regions HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\nzz\r\n",
                                           b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
                                           b"GET http://other/v1/regions HTTP/1.1\r\nHost: x\r\n\r\n", b"GET v1/regions HTTP/1.1\r\nHost: x\r\n\r\n",
                                           b"GET /v1/regions HTTP/1.1\r\n\r\n", b"GET /v1/regions HTTP/1.0\r\n\r\n", b"get /v1/regions HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_malformed_http_is_a_4xx_or_a_closed_connection(api, request_bytes):
    status, _, body = api.raw(request_bytes)
    assert status is None and not body or status is not None and 400 <= status < 500, (status, body[:200])
    assert api.get("/v1/openapi.json").status_code == 200


def test_an_endless_head_is_cut(api):
    with api.connect(timeout=20) as connection:
        sent = 0
        try:
            connection.sendall(b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n")
            while sent < 4 << 20:
                sent += connection.send(b"X-A: " + b"a" * 8000 + b"\r\n")
            received = connection.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            received = b""
        status, _, _ = split_answer(received)
        assert status is None or 400 <= status < 500
    assert api.get("/v1/openapi.json").status_code == 200


def test_a_large_body_is_refused_without_being_kept(gateway):
    one = gateway({"server": {"max_body": "1MB"}})
    with one.connect(timeout=20) as connection:
        connection.sendall(f"POST /v1/regions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.token}\r\nContent-Length: 99999999\r\n\r\n".encode() + b"x" * 1000)
        status, _, _ = split_answer(connection.recv(65536))
        assert status in (405, 413)


def test_random_bytes_never_bring_it_down(api):
    source = random.Random(3)
    alphabet = [b"GET ", b"/v1/regions", b"/AR", b"/summary", b"?", b"&", b"=", b"%", b"%00", b"q", b"limit", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"Host: x", b"\n", b":",
                b"Transfer-Encoding: chunked", b"Content-Length: 5", b"\xff", b"\0", f"Authorization: Bearer {api.token}".encode(), b"Accept: ", b"*/*;q=", b"If-None-Match: ", b'W/"', b",",
                b"traceparent: 00-", b"a" * 40]
    for _ in range(300):
        request = b"".join(source.choice(alphabet) for _ in range(source.randrange(1, 40)))
        if source.random() < 0.5:
            request = b"GET /v1/regions?" + request
        with socket.create_connection((api.host, api.port), timeout=10) as connection:
            try:
                connection.sendall(request + b"\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    assert b"HTTP/1.1 5" not in chunk, request
            except ConnectionError:
                pass
    assert api.get("/v1/openapi.json").status_code == 200 and api.process.poll() is None


@pytest.mark.parametrize("header", ["", "*", "*/*;q=x", "text/csv;q=0", "text/csv;;;", ",,,", "application/json;q=1.5", "a/b, " * 500, "text/csv; charset=utf-16", "\x7f"])
def test_a_strange_accept_header_is_no_fault(api, header):
    status, _, _ = raw_get(api, SUMMARY, f"Accept: {header}\r\n")
    assert status in (200, 400, 406)


@pytest.mark.parametrize("header", ["", '"', "W/", "W/W/W/", ",,,,", '"a' * 2000, "\\"])
def test_a_strange_if_none_match_is_no_fault(api, header):
    status, _, _ = raw_get(api, SUMMARY, f"If-None-Match: {header}\r\n")
    assert status in (200, 400)


def test_a_denial_does_not_tell_whether_a_region_exists(api):
    from gateway import token

    answers = [api.get(f"/v1/regions/{region}", bearer=token(scope="none")).json() for region in ("AR", "none")]
    for answer in answers:
        answer.pop("request_id")
        answer.pop("instance")
    assert answers[0] == answers[1]
