"""Requests whose ends can be read in two ways: each has one answer, the connection ends with it where the framing is in doubt, and nothing behind it is taken for a request. On
every listener, and the same behind HAProxy."""
import contextlib
import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from conftest import start_gateway
from gateway import SLOWNESS, check_problem, token, write_secret
from office import LOGIN_KEY, opened
from test_haproxy import base, stop_all, three  # noqa: F401 (fixtures)
from wait import free_port

WHO = "smuggler"
MARK = b"smuggled-in"
BEARER = token(customer=WHO, scope="regions:read datasets:read uploads:write")
SMUGGLED = b"GET /v1/" + MARK + b" HTTP/1.1\r\nHost: x\r\nX-Hidden: 1\r\n\r\n"
TAIL_SIZE = len(SMUGGLED)


class Case(NamedTuple):
    name: str
    raw: bytes  # @GET, @POST: a request line without its version; @HOST: the headers that every request has
    status: int = 400  # 0: legal, and what follows is a request of its own; -1, -2: legal, refused or either, and the last of its connection; -3: legal, with a body
    admin: int = None  # where the admin listener's differs
    ingest: int = None


def post(lines, body=b""):
    return b"@POST HTTP/1.1\r\n@HOST" + lines + b"\r\n" + body


def get(lines, version=b"HTTP/1.1"):
    return b"@GET " + version + b"\r\n@HOST" + lines + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n"
BODY = b"4\r\na,b\n\r\n0\r\n\r\n"
FRAMING = [
    Case("length and chunks", post(b"Content-Length: 4\r\n" + CHUNKED, BODY)),
    Case("chunks and length", post(CHUNKED + b"Content-Length: 4\r\n", BODY)),
    Case("chunks and a length that hides a request", post(CHUNKED + b"Content-Length: %d\r\n" % (5 + TAIL_SIZE), b"0\r\n\r\n")),
    Case("length and an unknown coding", post(b"Content-Length: 4\r\nTransfer-Encoding: x\r\n", b"a,b\n")),
    Case("two equal lengths", post(b"Content-Length: 4\r\nContent-Length: 4\r\n", b"a,b\n")),
    Case("two lengths", post(b"Content-Length: 4\r\nContent-Length: 0\r\n", b"a,b\n")),
    Case("two lengths, the other way", post(b"Content-Length: 0\r\nContent-Length: 4\r\n", b"a,b\n")),
    Case("two lengths of a GET", get(b"Content-Length: 0\r\nContent-Length: %d\r\n" % TAIL_SIZE)),
    *(Case(f"length {value!r}", post(b"Content-Length: " + value + b"\r\n", b"a,b\n"))
      for value in (b"+4", b"-4", b"4, 4", b"4 4", b"4,", b"0x4", b"4\xc2\xa0", b"", b"four", b"4.0", b"4e0", b"18446744073709551616", b"18446744073709551620", b"99999999999999999999999", b"'4'", b'"4"')),
    Case("length behind a tab", post(b"Content-Length:\t4\r\n", b"a,b\n"), 0),
    Case("length with space around", post(b"Content-Length:   4  \r\n", b"a,b\n"), 0),
    Case("length without space", post(b"content-length:4\r\n", b"a,b\n"), 0),
    Case("length with leading zeros", post(b"Content-Length: 0004\r\n", b"a,b\n"), 0),
    Case("space before length's colon", post(b"Content-Length : 4\r\n", b"a,b\n")),
    Case("length's name with an underscore", post(b"Content_Length: 4\r\nContent-Length: 4\r\n", b"a,b\n"), 0),
    *(Case(f"coding {value!r}", post(b"Transfer-Encoding: " + value + b"\r\n", BODY))
      for value in (b"xchunked", b"chunked, identity", b"identity, chunked", b"chunked, chunked", b"gzip, chunked", b"identity", b"chunked;q=1", b'"chunked"', b"chunked,", b",chunked", b"\x0bchunked",
                    b"chunke", b"chunked\xa0", b"\xffchunked", b"", b"cow\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding: cow", b"chunked\r\nTransfer-encoding: chunked")),
    Case("coding in capitals", post(b"TRANSFER-ENCODING: CHUNKED\r\n", BODY), 0),
    Case("coding behind a tab", post(b"Transfer-Encoding:\tchunked\r\n", BODY), 0),
    Case("coding folded", post(b"Transfer-Encoding:\r\n chunked\r\n", BODY)),
    Case("coding before its colon a space", post(b"Transfer-Encoding : chunked\r\n", BODY)),
    Case("coding before its colon a tab", post(b"Transfer-Encoding\t: chunked\r\n", BODY)),
    Case("coding behind a bare CR", post(b"X: a\rTransfer-Encoding: chunked\r\n", BODY)),
    Case("coding behind a bare LF", post(b"X: a\nTransfer-Encoding: chunked\r\n", BODY)),
    Case("coding with HTTP/1.0", b"@POST HTTP/1.0\r\n@HOST" + CHUNKED + b"Connection: keep-alive\r\n\r\n" + BODY),
    Case("coding of a GET", get(CHUNKED) + b"0\r\n\r\n", -2, admin=0),
    Case("length of a GET", get(b"Content-Length: %d\r\n" % TAIL_SIZE), -2, admin=-3),
]
HEADS = [
    Case("folded header", get(b"X-A: a\r\n b\r\n")),
    Case("folded with a tab", get(b"X-A: a\r\n\tb\r\n")),
    Case("first header begins with a space", b"@GET HTTP/1.1\r\n X: 1\r\n@HOST\r\n"),
    Case("bare LF behind the request line", b"@GET HTTP/1.1\n@HOST\r\n"),
    Case("bare LF behind a header", get(b"X: 1\n")),
    Case("bare LF ends the head", b"@GET HTTP/1.1\r\n@HOST\n"),
    Case("bare LF everywhere", b"@GET HTTP/1.1\nHost: x\n\n"),
    Case("bare CR in a value", get(b"X: a\rb\r\n")),
    Case("bare CR ends a header", get(b"X: a\rY: b\r\n")),
    Case("CR CR LF", get(b"X: a\r\r\n")),
    Case("NUL in a value", get(b"X: a\0b\r\n")),
    Case("NUL in a name", get(b"X\0: a\r\n")),
    Case("control character in a value", get(b"X: a\x01b\r\n")),
    Case("DEL in a value", get(b"X: a\x7fb\r\n")),
    Case("header without a colon", get(b"Nothing\r\n")),
    Case("space before a colon", get(b"X : a\r\n")),
    Case("empty name", get(b": a\r\n")),
    Case("name with a space", get(b"X Y: a\r\n")),
    Case("name with a bracket", get(b"X(Y): a\r\n")),
    Case("name with a byte above ASCII", get(b"X\xe9: a\r\n")),
    Case("no Host", b"@GET HTTP/1.1\r\nX: 1\r\n\r\n"),
    Case("two Hosts", get(b"Host: y\r\n")),
    Case("Host twice the same", get(b"Host: x\r\n")),
    *(Case(f"Host {value!r}", b"@GET HTTP/1.1\r\nHost: " + value + b"\r\n\r\n") for value in (b"a b", b"a/b", b"user@a", b"a?b", b"a#b", b"a\\b", b"a, b", b"\xff", b"a\tb")),
    Case("101 header lines", get(b"".join(b"X-%d: 1\r\n" % number for number in range(101))), 431),
    Case("a head of 200 KB", get(b"X: " + b"a" * 200_000 + b"\r\n"), 431),
    Case("a head of 200 KB that does not end", b"@GET HTTP/1.1\r\n@HOSTX: " + b"a" * 200_000, 431),
    Case("Expect: something", post(b"Content-Length: 4\r\nExpect: 200-ok\r\n", b"a,b\n")),
    Case("Expect: 100-continue, more", post(b"Content-Length: 4\r\nExpect: 100-continue, x\r\n", b"a,b\n")),
    Case("Expect of a GET", get(b"Expect: x\r\n")),
    Case("Expect: 100-continue of a GET", get(b"Expect: 100-continue\r\n"), 0),
    Case("Upgrade to h2c", get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), -1),
    Case("Upgrade to a web socket", get(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), -1),
    Case("Connection: close", get(b"Connection: close\r\n"), -1),
    Case("Connection: keep-alive, close", get(b"Connection: keep-alive, close\r\n"), -1),
    Case("Connection: close, then keep-alive", get(b"Connection: close\r\nConnection: keep-alive\r\n"), -1),
    Case("Connection: names the length", post(b"Connection: keep-alive, content-length\r\nContent-Length: 4\r\n", b"a,b\n"), 0),
    Case("empty lines first", b"\r\n" + get(b""), 0, ingest=-2),
]
LINES = [
    Case("absolute form", b"GET http://x/v1/regions HTTP/1.1\r\n@HOST\r\n"),
    Case("absolute form of another host", b"GET http://y/v1/regions HTTP/1.1\r\n@HOST\r\n"),
    Case("authority form", b"CONNECT x:80 HTTP/1.1\r\n@HOST\r\n"),
    Case("authority form of a GET", b"GET x:80 HTTP/1.1\r\n@HOST\r\n"),
    Case("asterisk form", b"OPTIONS * HTTP/1.1\r\n@HOST\r\n"),
    Case("asterisk form of a GET", b"GET * HTTP/1.1\r\n@HOST\r\n"),
    Case("a path without a slash", b"GET v1/regions HTTP/1.1\r\n@HOST\r\n"),
    Case("no target", b"GET HTTP/1.1\r\n@HOST\r\n"),
    Case("HTTP/0.9", b"GET /v1/regions\r\n"),
    Case("HTTP/2.0 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Case("HTTP/2.0", b"@GET HTTP/2.0\r\n@HOST\r\n"),
    Case("HTTP/1.10", b"@GET HTTP/1.10\r\n@HOST\r\n"),
    Case("HTTP/11", b"@GET HTTP/11\r\n@HOST\r\n"),
    Case("HTTP/1.2", b"@GET HTTP/1.2\r\n@HOST\r\n", 0, ingest=400),
    Case("http/1.1", b"@GET http/1.1\r\n@HOST\r\n"),
    Case("a word too many", b"@GET x HTTP/1.1\r\n@HOST\r\n"),
    Case("two spaces before the target", b"GET  /v1/regions HTTP/1.1\r\n@HOST\r\n"),
    Case("two spaces before the version", b"GET /v1/regions  HTTP/1.1\r\n@HOST\r\n"),
    Case("a tab before the target", b"GET\t/v1/regions HTTP/1.1\r\n@HOST\r\n"),
    Case("a space first", b" GET /v1/regions HTTP/1.1\r\n@HOST\r\n"),
    Case("HTTP/1.0 closes", b"@GET HTTP/1.0\r\n@HOST\r\n", -1),
    Case("HTTP/1.0 keeps alive when asked", b"@GET HTTP/1.0\r\nConnection: keep-alive\r\n@HOST\r\n", 0),
    Case("TRACE", b"TRACE /v1/regions HTTP/1.1\r\n@HOSTX-Secret: abc\r\n\r\n", 0),
    Case("an unknown method", b"BREW /v1/regions HTTP/1.1\r\n@HOST\r\n", 0),
    Case("a method with a byte that none may have", b"G@T /v1/regions HTTP/1.1\r\n@HOST\r\n", -2),
    Case("a very long method", b"A" * 20_000 + b" /v1/regions HTTP/1.1\r\n@HOST\r\n", 0),
    Case("NUL in the target", b"GET /v1/re\0gions HTTP/1.1\r\n@HOST\r\n"),
    Case("a target of 60 KB", b"GET /v1/regions?q=" + b"a" * 60_000 + b" HTTP/1.1\r\n@HOST\r\n", 0, ingest=431),
    *(Case(f"target {path.decode()}", b"GET " + path + b" HTTP/1.1\r\n@HOST\r\n", 0)
      for path in (b"/v1/regions/%00", b"/v1/regions%2fAR", b"/v1/%2e%2e/v1/regions", b"/v1/regions/../../healthz", b"/v1/regions/%c0%ae%c0%ae/", b"/v1/regions/%", b"//v1/regions", b"/v1/regions#AR")),
    Case("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 40 + b"\r\n\r\n"),
    Case("a PROXY line", b"PROXY TCP4 10.1.1.1 10.1.1.2 1 2\r\n" + get(b"")),
]
CHUNKS = [  # the head is in order: only the body is not. -2: refused, or not looked at, and the last of its connection
    *(Case(f"chunks {body[:40]!r}", post(CHUNKED, body), -2)
      for body in (b"0x4\r\na,b\n\r\n0\r\n\r\n", b"-4\r\na,b\n\r\n0\r\n\r\n", b"+4\r\na,b\n\r\n0\r\n\r\n", b" 4\r\na,b\n\r\n0\r\n\r\n", b"g\r\na,b\n\r\n0\r\n\r\n", b"\r\n\r\n", b";a\r\n\r\n", b"4\na,b\n\r\n0\r\n\r\n",
                   b"4\r\na,b\n\n0\r\n\r\n", b"4\r\na,b\n0\r\n\r\n", b"4\r\na,b\nX\r\n0\r\n\r\n", b"4\r\na,b\n\r\n0\r\n\n", b"4\r\na,b\n\r\n0\n\r\n", b"4\r\na,b\n\r\n0\n\n", b"4;x\na,b\n\r\n0\r\n\r\n", b"4\ra,b\n\r\n0\r\n\r\n",
                   b"ffffffffffffffff\r\na,b\n\r\n0\r\n\r\n", b"10000000000000004\r\na,b\n\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"00000000000000000004\r\na,b\n\r\n0\r\n\r\n", b"4 x\r\na,b\n\r\n0\r\n\r\n",
                   b"4;a=\0\r\na,b\n\r\n0\r\n\r\n", b"4;" + b"a" * 9000 + b"\r\na,b\n\r\n0\r\n\r\n", b"4\r\na,b\n\r\n0\r\nX: " + b"a" * 9000 + b"\r\n\r\n", b"4\r\na,b\n\r\n0\r\nX\r\n\r\n", b"4\r\na,b\n\r\n0\r\nX: a\n\r\n",
                   b"4\r\na,b\n\r\n0\r\n X: a\r\n\r\n", b"4\r\na,b\n\r\n0\r\n: a\r\n\r\n", b"5\r\na,b\n\r\n0\r\n\r\n", b"3\r\na,b\n\r\n0\r\n\r\n")),
    Case("a chunk's extension", post(CHUNKED, b'4;a=b;c="d"\r\na,b\n\r\n0;e\r\n\r\n'), 0),
    Case("trailers", post(CHUNKED, b"4\r\na,b\n\r\n0\r\nX-Sum: 1\r\n\r\n"), 0),
    Case("trailers that frame", post(CHUNKED, b"4\r\na,b\n\r\n0\r\nContent-Length: 400\r\nTransfer-Encoding: x\r\nHost: y\r\n\r\n"), 0),
    Case("a request inside a chunk", post(CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (TAIL_SIZE, SMUGGLED)), 0),
    Case("a request inside a body", post(b"Content-Length: %d\r\n" % TAIL_SIZE, SMUGGLED), 0),
]
CASES = [*FRAMING, *HEADS, *LINES, *CHUNKS]
LISTENERS = {"public": (b"GET /v1/regions/AR", b"POST /v1/query", b"Content-Type: application/json\r\n"),
             "ingest": (b"GET /v1/uploads", b"PUT /v1/uploads/smuggled", b"Content-Type: text/csv\r\n"),
             "admin": (b"GET /healthz", b"POST /revocations", b"")}
BEHIND = b"GET /v1/behind HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def fill(raw, listener):
    """The bytes of a case for a listener."""
    reads, sends, kind = LISTENERS[listener]
    raw = raw.replace(b"@POST", sends).replace(b"@GET", reads)
    return raw.replace(b"@HOST", b"Host: x\r\nAuthorization: Bearer " + BEARER.encode() + b"\r\n" + (kind if raw.startswith(sends) else b""))


def take_chunks(body):
    """What follows the chunks; None: they do not end."""
    while True:
        size, _, body = body.partition(b"\r\n")
        if not size:
            return None
        length = int(size.partition(b";")[0], 16)
        body = body[length + 2:]
        if length == 0:
            return body


def answers(received):
    """(status, headers, body) of each answer, one behind the other; interim ones do not count."""
    found = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        assert end and re.match(rb"HTTP/1\.[01] \d\d\d ", head), f"no answer: {received[:200]!r}"
        status = int(head[9:12])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])}
        if status < 200:
            received = rest
            continue
        if "content-length" in headers:
            size = int(headers["content-length"])
            body, received = rest[:size], rest[size:]
        elif headers.get("transfer-encoding") == "chunked":
            left = take_chunks(rest)
            body, received = rest, left or b""
        else:
            body, received = rest, b""
        found.append((status, headers, body))
    return found


def exchange(address, data, timeout=5 * SLOWNESS, kept=False):
    """All that comes until the other side closes: a connection that stays open is a failure, unless it may be `kept`."""
    received = b""
    with socket.create_connection(address, timeout=timeout) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # the answer may stand here already
            connection.sendall(data)
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        except socket.timeout:
            if not kept:
                raise AssertionError(f"the connection was kept after {received[:300]!r}") from None
    return answers(received)


@pytest.fixture(scope="module")
def hostile(postgres, redis, tmp_path_factory):
    """A gateway with all three listeners, and a customer who may upload; their addresses."""
    with opened(postgres, tmp_path_factory, "smuggle", (WHO,)) as office:
        folder = tmp_path_factory.mktemp("hostile")
        one = start_gateway(folder, postgres, redis, office.database,
                            {"customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}, "server": {"workers": 1, "ingest": {"listen": f"127.0.0.1:{free_port()}"}}})
        one.addresses = {"public": (one.host, one.port), "admin": (one.admin_host, one.admin_port),
                         "ingest": ("127.0.0.1", int(one.config["server"]["ingest"]["listen"].rpartition(":")[2]))}
        yield one
        one.stop()


def logged_ids(gateway):
    return [line["request_id"] for line in gateway.request_lines()]


def no_smuggling(gateway, before):
    """Nothing hidden was served: after a request whose record is there, all earlier ones are, as one worker writes them."""
    gateway.record_of(gateway.get("/v1/regions/AR"), start=before)
    hidden = [line["path"] for line in gateway.request_lines(before) if MARK.decode() in line["path"]]
    assert not hidden, "a request that was hidden in another one is in the request log"


def expected(case, listener):
    if listener == "admin" and case.admin is not None:
        return case.admin
    return case.ingest if listener == "ingest" and case.ingest is not None else case.status


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_odd_request_has_one_answer_and_hides_none(hostile, listener, case):
    status = expected(case, listener)
    wants_two = status in (0, -3) and listener != "ingest"  # which takes one request a connection
    data, before = fill(case.raw, listener), hostile.log_size()
    got = exchange(hostile.addresses[listener], data + {0: BEHIND, -3: SMUGGLED + BEHIND}.get(status, SMUGGLED))
    assert len(got) == (2 if wants_two else 1), got
    first, headers, body = got[0]
    assert 200 <= first < 500, got[0]
    if status > 0:
        assert first == status, got[0]
        check_problem(headers.get("content-type"), body, status)
    if not wants_two:
        assert headers.get("connection") == "close"
    no_smuggling(hostile, before)


def test_what_follows_an_error_in_doubt_is_not_answered_however_it_arrives(hostile):
    """Byte by byte, and with what is hidden in packets of its own."""
    before = hostile.log_size()
    for raw in (b"@POST HTTP/1.1\r\n@HOSTContent-Length: 4\r\n" + CHUNKED + b"\r\n" + BODY, b"@GET HTTP/1.1\n@HOST\r\n", b"@GET HTTP/1.1\r\n@HOST" + b"Host: y\r\n\r\n"):
        for listener, address in hostile.addresses.items():
            received = b""
            with socket.create_connection(address, timeout=5 * SLOWNESS) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    for byte in fill(raw, listener) + SMUGGLED:
                        connection.sendall(bytes([byte]))
                except OSError:
                    pass
                try:
                    while chunk := connection.recv(65536):
                        received += chunk
                except ConnectionResetError:
                    pass
            assert len(answers(received)) <= 1 and b" 400 " in received[:20] or received == b"", received
    no_smuggling(hostile, before)


def test_requests_behind_each_other_are_answered_in_their_order(hostile):
    lines = b"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + BEARER.encode() + b"\r\n"
    data = b"".join(b"GET /v1/regions/%s " % name + lines + b"\r\n" for name in (b"AR", b"none", b"KE")) + b"POST /v1/none " + lines + CHUNKED + b"\r\n" + BODY + BEHIND
    assert [status for status, _, _ in exchange(hostile.addresses["public"], data)] == [200, 404, 200, 404, 404]


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed (./dev test installs it)")
@pytest.mark.timeout(300)
def test_behind_haproxy_each_answer_of_a_gateway_is_the_answer_to_one_request(three):  # noqa: F811
    """HAProxy mends some of it, and then it is a request like others; but gateways answer exactly what HAProxy asked them."""
    proxy, gateways = three

    def ask(task):
        listener, case = task
        try:
            return case, exchange(("127.0.0.1", proxy.port), fill(case.raw, listener) + SMUGGLED, 3 * SLOWNESS, kept=True)
        except AssertionError as error:
            return case, error

    tasks = [(listener, case) for listener in ("public", "ingest") for case in CASES if case.name not in ("a PROXY line", "HTTP/2.0 preface")]  # both are HAProxy's own business
    with ThreadPoolExecutor(256) as pool:  # connections that are kept are waited for
        done = list(pool.map(ask, tasks))
    # What it takes for a request of its own it may ask for, and a case has one of those besides itself at most.
    wrong = [(case.name, got) for case, got in done if isinstance(got, Exception) or len(got) > 2]
    assert not wrong, wrong[:5]
    seen = [headers["x-request-id"] for _, got in done for _, headers, _ in got if "x-request-id" in headers]
    stop_all(gateways)  # all that they served is in their logs then
    logged = [number for one in gateways for number in logged_ids(one)]
    assert len(seen) == len(set(seen)) > 50 and len(logged) == len(set(logged)) > 50
    more = set(logged) - set(seen)
    assert not more, [line for one in gateways for line in one.request_lines() if line["request_id"] in more]
