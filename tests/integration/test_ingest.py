"""The ingest listener: the token is looked at before the body, which then streams from the socket into the load; whatever is cut leaves nothing."""
import os
import socket
import ssl
import subprocess

import pytest

from conftest import NUMBERS, start_gateway
from gateway import check_problem, receive, token, write_secret
from office import LOGIN_KEY, opened
from wait import eventually, free_port

WHO = "ingrid"
SALES = b"id,amount\n" + b"".join(b"%d,%d.25\n" % (number, number) for number in range(1, 5001))
BAR = 64 << 10  # issue 5: a body without a token is refused before this much was read


def bearer(scope="datasets:read uploads:write", who=WHO):
    return token(customer=who, scope=scope)


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "ingest", (WHO,)) as one:
        yield one


class Ingest:
    """A gateway with an ingest listener, and calls to that."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.address = ("127.0.0.1", int(gateway.config["server"]["ingest"]["listen"].rpartition(":")[2]))

    def connect(self, buffer=None):
        connection = socket.socket()
        connection.settimeout(30)
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        connection.connect(self.address)
        return connection

    def head(self, name, *lines, method="PUT", path=None, auth=True):
        lines = (f"{method} {path or f'/v1/uploads/{name}'} HTTP/1.1", "Host: lake", *((f"Authorization: Bearer {bearer()}",) if auth else ()), *lines)
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def send(self, data, more=()):
        with self.connect() as connection:
            connection.sendall(data)
            for piece in more:
                connection.sendall(piece)
            return receive(connection)

    def put(self, name, body, *lines):
        return self.send(self.head(name, f"Content-Length: {len(body)}", *lines) + body)

    def metric(self, name):
        return self.gateway.metrics()[f"sluice_ingest_{name}"]

    def rows(self, name):
        """How many there are; None: there is no such dataset."""
        answer = self.gateway.get(f"/v1/datasets/uploads.{name}?select=count()", bearer=bearer())
        return None if answer.status_code == 404 else answer.json()[0]["count"]

    def is_idle(self):
        return self.metric("connections") == 0


def begin(folder, postgres, redis, office, ingest=None, changes=None):
    server = {"ingest": {"listen": f"127.0.0.1:{free_port()}", **(ingest or {})}, **((changes or {}).pop("server", {}))}
    return Ingest(start_gateway(folder, postgres, redis, office.database,
                                {"customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}, **(changes or {}), "server": server}))


@pytest.fixture(scope="module")
def ingest(postgres, redis, office, tmp_path_factory):
    one = begin(tmp_path_factory.mktemp("ingest"), postgres, redis, office)
    yield one
    one.gateway.stop()


@pytest.fixture
def ingests(postgres, redis, office, tmp_path):
    """Gateways of one's own: ingests({"connections": 2}, {"server": …})."""
    started = []

    def start(changes=None, others=None):
        started.append(begin(tmp_path, postgres, redis, office, changes, others))
        return started[-1]

    yield start
    for one in started:
        one.gateway.stop()


@pytest.fixture
def name():
    return f"i{next(NUMBERS)}"


def chunked(body, size=1000):
    return b"".join(b"%x\r\n%s\r\n" % (len(body[at:at + size]), body[at:at + size]) for at in range(0, len(body), size)) + b"0\r\n\r\n"


def flood(connection, most=64 << 20):
    """Sends until the gateway has closed, or no more goes out for a while; bytes."""
    sent, piece = 0, b"1,2\n" * 4096
    connection.settimeout(1)
    try:
        while sent < most:
            sent += connection.send(piece)
    except OSError:
        pass
    connection.settimeout(30)
    return sent


@pytest.mark.parametrize("framing", ["Content-Length: 10737418240", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("lines, status, kind", [((), 401, "missing-token"), (("Authorization: Bearer x.y.z",), 401, "invalid-token"), (None, 403, "missing-scope")])
def test_who_may_not_upload_is_told_so_before_the_body_is_read(ingest, name, framing, lines, status, kind):
    lines = (f"Authorization: Bearer {bearer(scope='datasets:read')}",) if lines is None else lines
    eventually(ingest.is_idle, says="an idle listener")
    before = ingest.metric("body_bytes_total")
    with ingest.connect(buffer=8192) as connection:
        connection.sendall(ingest.head(name, framing, *lines, auth=False))
        if "chunked" in framing:
            connection.sendall(b"ffffffffff\r\n")
        answer = receive(connection)
    check_problem(answer[1]["content-type"], answer[2], status, kind)
    assert answer[1]["connection"] == "close"
    eventually(ingest.is_idle, says="an idle listener")
    quiet = ingest.metric("body_bytes_total")
    assert quiet - before < 32
    with ingest.connect(buffer=8192) as connection:
        # A few bytes come with the head: whoever floods late may find the connection closed, and nothing would have been taken.
        connection.sendall(ingest.head(name, framing, *lines, auth=False) + b"1,2\n")
        flood(connection)
        assert receive(connection)[0] in (status, None)
    eventually(ingest.is_idle, says="an idle listener")
    assert 0 < ingest.metric("body_bytes_total") - quiet < BAR
    assert ingest.rows(name) is None


@pytest.mark.parametrize("framing", ["length", "chunked", "pieces"])
def test_a_body_streams_in_and_is_a_dataset_at_once(ingest, name, framing):
    if framing == "length":
        status, headers, body = ingest.put(name, SALES)
    elif framing == "chunked":
        status, headers, body = ingest.send(ingest.head(name, "Transfer-Encoding: chunked") + chunked(SALES))
    else:
        pieces = chunked(SALES, 7777)
        status, headers, body = ingest.send(ingest.head(name, "Transfer-Encoding: chunked"), (pieces[at:at + 1001] for at in range(0, len(pieces), 1001)))
    assert status == 201, body
    assert headers["connection"] == "close" and headers["location"] == f"/v1/datasets/uploads.{name}"
    assert ingest.rows(name) == 5000


def test_curl_waits_for_100_continue(ingest, name, tmp_path):
    (tmp_path / "sales.csv").write_bytes(SALES)
    command = ["curl", "-sS", "-v", "-T", str(tmp_path / "sales.csv"), "-H", "Expect: 100-continue", "--expect100-timeout", "20", "-H", "Content-Type: text/csv"]
    url = f"http://127.0.0.1:{ingest.address[1]}/v1/uploads/{name}"
    done = subprocess.run([*command, "-H", f"Authorization: Bearer {bearer()}", url], capture_output=True, text=True, timeout=60, check=True)
    assert "< HTTP/1.1 100 Continue" in done.stderr and "< HTTP/1.1 201" in done.stderr
    assert ingest.rows(name) == 5000
    eventually(ingest.is_idle, says="an idle listener")
    before = ingest.metric("body_bytes_total")
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=60, check=True)
    assert "100 Continue" not in done.stderr and "< HTTP/1.1 401" in done.stderr
    assert ingest.metric("body_bytes_total") == before, "curl sent no body, as nobody asked for it"


@pytest.mark.parametrize("lines", [("Content-Length: 5", "Transfer-Encoding: chunked"), ("Content-Length: 5", "Content-Length: 5"), ("Transfer-Encoding: gzip, chunked",),
                                   ("Content-Length: -5",), ("X: a", " folded"), ("Expect: something",)])
def test_an_ambiguous_head_is_400(ingest, name, lines):
    refused = ingest.metric("refused_total")
    status, headers, body = ingest.send(ingest.head(name, *lines) + b"hello")
    check_problem(headers["content-type"], body, 400, "bad-request")
    assert status == 400 and ingest.metric("refused_total") == refused + 1


def test_what_has_no_body_to_stream_is_served_elsewhere(ingest):
    for method, path in (("GET", "/v1/regions"), ("GET", "/v1/uploads"), ("GET", "/v1/openapi.json")):
        status, headers, body = ingest.send(ingest.head("", method=method, path=path))
        assert "public" in check_problem(headers["content-type"], body, 404, "not-found")["detail"]
    status, headers, body = ingest.send(ingest.head("", method="GET", path="/v1/nothing"))
    check_problem(headers["content-type"], body, 404, "not-found")


def test_a_pipelined_request_is_not_read_as_one(ingest, name):
    status, headers, body = ingest.send(ingest.head(name, f"Content-Length: {len(SALES)}") + SALES + ingest.head(f"{name}b", "Content-Length: 5") + b"a\n1\n2")
    assert status == 201 and b"HTTP/1.1" not in body
    assert ingest.rows(f"{name}b") is None


def test_the_log_has_the_callers_address(ingest, name):
    with ingest.connect() as connection:
        connection.sendall(ingest.head(name, f"Content-Length: {len(SALES)}") + SALES)
        status, headers, _ = receive(connection)
    line = eventually(lambda: next((one for one in ingest.gateway.request_lines() if one["request_id"] == headers["x-request-id"]), None), says="the record")
    assert status == 201 and line["address"] == "127.0.0.1" and line["operation"] == "putUpload"


@pytest.mark.parametrize("garbage", [b"5\r\na\n1\n2X\r\n", b"zz\r\n", b"5;\x00\r\n", b"-1\r\n", b"4\r\na\n1\n\r\nfffffffffffffffff\r\n"])
def test_chunks_of_garbage_load_nothing(ingest, name, garbage):
    status, headers, body = ingest.send(ingest.head(name, "Transfer-Encoding: chunked") + garbage)
    assert status == 400, body
    assert "chunks" in check_problem(headers["content-type"], body, status)["detail"]
    assert ingest.rows(name) is None


@pytest.mark.tsan
def test_a_client_cut_in_the_middle_leaves_nothing(ingest, name):
    assert ingest.put(name, b"id\n1\n")[0] == 201
    for head, part in ((f"Content-Length: {len(SALES)}", SALES[:3000]), ("Transfer-Encoding: chunked", chunked(SALES)[:-5])):
        with ingest.connect() as connection:
            connection.sendall(ingest.head(name, head) + part)
        eventually(ingest.is_idle, within=20, says="an idle listener")
        assert ingest.rows(name) == 1
    assert os.listdir(ingest.gateway.config["uploads"]["spool"]) == []


def test_a_body_larger_than_max_body_is_413(ingests, name):
    one = ingests({"max_body": "64KB"})
    with one.connect() as connection:
        connection.sendall(one.head(name, "Content-Length: 65537", "Expect: 100-continue"))
        status, headers, body = receive(connection)
    assert "65536" in check_problem(headers["content-type"], body, 413, "body-too-large")["detail"] and status == 413
    assert one.metric("body_bytes_total") == 0
    big = b"id\n" + b"1\n" * 40000
    with one.connect() as connection:
        connection.sendall(one.head(name, "Transfer-Encoding: chunked"))
        try:
            connection.sendall(chunked(big))
        except OSError:
            pass
        status, headers, body = receive(connection)
    assert status == 413, body
    assert one.rows(name) is None
    assert one.put(name, b"id\n" + b"1\n" * 32000)[0] == 201, "what was refused is in the way"


def test_a_slow_sender_is_cut_and_leaves_nothing(ingests, name):
    one = ingests({"min_receive_rate": "100MB", "deadline": "12s"})  # a window of four seconds: the deadline is far behind its end
    with one.connect() as connection:
        connection.sendall(one.head(name, f"Content-Length: {len(SALES)}") + SALES[:100])
        status, headers, body = receive(connection)
    assert status == 408, body
    assert "bytes a second" in check_problem(headers["content-type"], body, status)["detail"]
    assert one.rows(name) is None


def test_a_body_that_does_not_end_before_the_deadline_is_cut(ingests, name):
    one = ingests({"min_receive_rate": 0, "deadline": "500ms"})
    with one.connect() as connection:
        connection.sendall(one.head(name, f"Content-Length: {len(SALES)}") + SALES[:100])
        status, headers, body = receive(connection)
    assert status == 408, body
    assert "did not end" in check_problem(headers["content-type"], body, status)["detail"]
    assert one.rows(name) is None


def test_seventy_connections_at_sixty_four_are_all_served(ingests, name):
    """While others wait a head that takes a second is cut: so the six come when those of the 64 are through, whose connections stay until their clients close, or
    for a second."""
    one = ingests()
    head = one.head(name, "Content-Length: 5", auth=False)
    first, late = [one.connect() for _ in range(64)], []
    try:
        eventually(lambda: one.metric("connections") == 64, within=20, says="64 open connections")
        for connection in first:
            connection.sendall(head)
        for connection in first:
            assert receive(connection)[0] == 401
        for _ in range(6):
            late.append(one.connect())
            late[-1].sendall(head)
        assert one.metric("connections") <= 64
        for connection in first:
            connection.close()
        for connection in late:
            assert receive(connection)[0] == 401
            connection.close()
    finally:
        for connection in (*first, *late):
            connection.close()
    eventually(one.is_idle, within=20, says="an idle listener")
    assert one.metric("accepted_total") == 70


@pytest.mark.tsan
def test_one_customer_has_half_of_the_connections_at_most(ingests, name):
    one = ingests({"connections": 2})
    with one.connect() as first, one.connect() as second:
        first.sendall(one.head(name, f"Content-Length: {len(SALES)}", "Expect: 100-continue"))
        assert first.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n", "its load has begun"
        first.sendall(SALES[:3000])
        second.sendall(one.head(name + "_2", f"Content-Length: {len(SALES)}"))
        status, headers, body = receive(second)
        assert status == 503, body
        assert check_problem(headers["content-type"], body, status)["type"].endswith(":overloaded")
        first.sendall(SALES[3000:])
        status, _, body = receive(first)
    assert status == 201, body


def test_a_drain_lets_a_load_finish(ingests, name):
    one = ingests()
    with one.connect() as idle, one.connect() as connection:
        connection.sendall(one.head(name, f"Content-Length: {len(SALES)}") + SALES[:3000])
        eventually(lambda: one.metric("body_bytes_total") >= 3000, says="the body's begin")
        one.gateway.terminate()
        assert idle.recv(1) == b""
        connection.sendall(SALES[3000:])
        status, _, body = receive(connection)
    assert status == 201, body
    assert one.gateway.process.wait(20) == 0


@pytest.mark.tsan
def test_a_drain_that_takes_too_long_cancels_the_load(ingests, office, name):
    one = ingests(others={"server": {"drain_timeout": "300ms"}})
    with one.connect() as connection:
        connection.sendall(one.head(name, f"Content-Length: {len(SALES)}") + SALES[:3000])
        eventually(lambda: one.metric("body_bytes_total") >= 3000, says="the body's begin")
        one.gateway.terminate()
        status, _, _ = receive(connection)
    assert status in (503, None)
    assert one.gateway.process.wait(20) == 0
    assert office.as_customer(WHO, "select count(*) from sluice.upload where name = %s", (name,)) == [(0,)]


def test_a_killed_gateway_leaves_no_file_and_no_rows(ingests, office, name):
    one = ingests()
    with one.connect() as connection:
        connection.sendall(one.head(name, f"Content-Length: {len(SALES)}") + SALES[:-10])
        eventually(lambda: one.metric("body_bytes_total") >= len(SALES) - 10, says="the body")
        one.gateway.kill()
    assert os.listdir(one.gateway.config["uploads"]["spool"]) == []
    assert office.as_customer(WHO, "select count(*) from sluice.upload where name = %s", (name,)) == [(0,)]


def test_proxy_lines_tell_the_caller(ingests, name):
    one = ingests(others={"server": {"proxy_protocol": True, "trusted_proxies": ["127.0.0.0/8"]}})
    status, headers, _ = one.send(b"PROXY TCP4 192.0.2.44 192.0.2.1 4711 443\r\n" + one.head(name, f"Content-Length: {len(SALES)}") + SALES)
    assert status == 201
    line = eventually(lambda: next((entry for entry in one.gateway.request_lines() if entry["request_id"] == headers["x-request-id"]), None), says="the record")
    assert line["address"] == "192.0.2.44"
    assert one.send(one.head(name, "Content-Length: 0"))[0] is None


def test_tls_with_the_listeners_certificate(ingests, name, tmp_path):
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    one = ingests(others={"server": {"tls": {"certificate": str(certificate), "key": str(key)}}})
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    with context.wrap_socket(one.connect()) as connection:
        connection.sendall(one.head(name, "Transfer-Encoding: chunked") + chunked(SALES))
        status, _, body = receive(connection)
    assert status == 201 and b'"rows":5000' in body.replace(b" ", b"")
    with context.wrap_socket(one.connect()) as connection:
        connection.sendall(one.head(name, "Content-Length: 10737418240", auth=False))
        assert receive(connection)[0] == 401
    with one.connect() as connection:
        connection.sendall(one.head(name, "Content-Length: 5"))
        assert receive(connection)[0] is None
