"""Resumable uploads on the listener for large bodies: a broken piece keeps what came. And two clients, unmodified, through a proxy that cuts their connections."""
import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading

import pytest

import clients
from conftest import start_gateway
from gateway import split_answer, write_secret
from office import LOGIN_KEY
from test_tus import NAMES, OFFSET_STREAM, SALES, begun, bearer, office, patch, rows, tus  # noqa: F401 (office is a fixture)
from wait import eventually, free_port

CUTS = 3


@pytest.fixture(scope="module")
def api(postgres, redis, office, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("tus_ingest")
    spool = folder / "spool"
    spool.mkdir(mode=0o700)
    one = start_gateway(folder, postgres, redis, office.database,
                        {"customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}, "uploads": {"spool": str(spool)},
                         "server": {"ingest": {"listen": f"127.0.0.1:{free_port()}"}}})
    one.spool = spool
    one.ingest = int(one.config["server"]["ingest"]["listen"].rpartition(":")[2])
    yield one
    one.stop()


@pytest.fixture
def name():
    return next(NAMES)


def head_of(api, path, offset, framing, who="tusanna", **headers):
    lines = [f"PATCH {path} HTTP/1.1", f"Host: 127.0.0.1:{api.ingest}", "Tus-Resumable: 1.0.0", f"Upload-Offset: {offset}", f"Content-Type: {OFFSET_STREAM}", framing,
             *(f"{key.replace('_', '-')}: {value}" for key, value in headers.items())]
    if who is not None:
        lines.append(f"Authorization: Bearer {bearer(who)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_of(connection):
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return split_answer(received)


def send(api, path, offset, body, framing=None, cut=False, **headers):
    """One PATCH over the ingest listener; its status and headers. With `cut` the client leaves behind the bytes, and this returns when the gateway
    has seen it."""
    def pieces():
        return sum(line["path"] == path and line["method"] == "PATCH" for line in api.request_lines())

    before = pieces() if cut else 0
    with socket.create_connection(("127.0.0.1", api.ingest), timeout=30) as connection:
        connection.sendall(head_of(api, path, offset, framing or f"Content-Length: {len(body)}", **headers) + body)
        if not cut:
            return answer_of(connection)
    eventually(lambda: pieces() > before, within=20, says="the record of the request that was cut")
    return None, {}, b""


def free(api, path):
    """The session's offset when nobody holds it any more."""
    def ask():
        answer = tus(api, "HEAD", path)
        assert answer.status_code in (200, 423)
        return answer if answer.status_code == 200 else None
    return int(eventually(ask, within=20, says="the session's end of work").headers["Upload-Offset"])


def file_of(lines):
    return b"id,amount,note\n" + b"".join(b"%d,%d.25,note of row %d\n" % (number, number * 3, number) for number in range(lines))


def test_a_broken_piece_keeps_the_bytes_that_came(api, name):
    path = begun(api, len(SALES), dataset=name)
    send(api, path, 0, SALES[:25], framing=f"Content-Length: {len(SALES)}", cut=True)
    assert eventually(lambda: free(api, path), within=20, says="the bytes") == 25
    status, headers, _ = send(api, path, 25, SALES[25:])
    assert status == 204 and headers["upload-offset"] == str(len(SALES)) and headers["tus-resumable"] == "1.0.0"
    assert json.loads(headers["sluice-upload"])["rows"] == 2
    assert len(rows(api, name)) == 2


def test_a_broken_piece_with_a_checksum_keeps_nothing(api, name):
    path = begun(api, len(SALES), dataset=name)
    checksum = "sha1 " + base64.b64encode(hashlib.sha1(SALES).digest()).decode()
    send(api, path, 0, SALES[:25], framing=f"Content-Length: {len(SALES)}", cut=True, Upload_Checksum=checksum)
    assert free(api, path) == 0
    assert send(api, path, 0, SALES, Upload_Checksum=checksum)[0] == 204


def test_two_pieces_at_once_are_a_423(api, name):
    path = begun(api, len(SALES), dataset=name)
    part = api.spool / f"{path.rpartition('/')[2]}.part"
    with socket.create_connection(("127.0.0.1", api.ingest), timeout=30) as first:
        first.sendall(head_of(api, path, 0, f"Content-Length: {len(SALES)}") + SALES[:10])
        # Looked for on the disk: a HEAD holds the session too, for a moment in which the first piece would be the one that is refused.
        eventually(lambda: part.stat().st_size == 10, within=20, says="the first piece at work")
        assert tus(api, "HEAD", path).status_code == 423
        assert send(api, path, 0, SALES)[0] == 423
        assert patch(api, path, 0, SALES).status_code == 423
        first.sendall(SALES[10:])
        status, headers, _ = answer_of(first)
        assert status == 204 and headers["upload-offset"] == str(len(SALES))
    assert len(rows(api, name)) == 2


def test_a_piece_longer_than_what_is_left_is_refused(api, name):
    path = begun(api, 10, dataset=name)
    assert send(api, path, 0, b"", framing="Content-Length: 1000000000")[0] == 413  # before a byte of it was sent
    assert send(api, path, 0, b"b\r\n01234567890\r\n0\r\n\r\n", framing="Transfer-Encoding: chunked")[0] == 413
    assert free(api, path) == 0
    assert send(api, path, 0, b"4\r\n0123\r\n0\r\n\r\n", framing="Transfer-Encoding: chunked")[0] == 204
    assert free(api, path) == 4


def test_without_a_token_nothing_is_taken(api, name):
    path = begun(api, 10, dataset=name)
    assert send(api, path, 0, b"", framing="Content-Length: 10", who=None)[0] == 401
    assert free(api, path) == 0


def test_whoever_leaves_behind_the_last_byte_finds_the_upload_loaded(api, name):
    body = file_of(20000)
    path = begun(api, len(body), dataset=name)
    send(api, path, 0, body, cut=True)

    # Whether the gateway read all of it before it saw the client leave is the kernel's to say: a client asks, and sends what is missing.
    def go_on():
        answer = tus(api, "HEAD", path)
        if answer.status_code == 200 and int(answer.headers["Upload-Offset"]) < len(body):
            at = int(answer.headers["Upload-Offset"])
            assert send(api, path, at, body[at:])[0] in (204, 409, 423)
        return answer.headers.get("Sluice-Upload")

    assert json.loads(eventually(go_on, within=30, says="the load"))["rows"] == 20000
    assert api.json(f"/v1/datasets/uploads.{name}?select=count()", bearer=bearer("tusanna")) == [{"count": 20000}]


class CuttingProxy:
    """Passes connections on to `port`, and cuts the first `cuts` of those that send more than `after` bytes."""

    def __init__(self, port, cuts, after):
        self.target, self.cuts, self.after, self.cut = port, cuts, after, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                threading.Thread(target=self.pass_on, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self.pass_on, args=(server, client, False), daemon=True).start()

    def is_cut(self, passed):
        with self.lock:
            if passed < self.after or self.cut >= self.cuts:
                return False
            self.cut += 1
            return True

    def pass_on(self, source, sink, counts):
        passed = 0
        with contextlib.suppress(OSError):
            while chunk := source.recv(16384):
                sink.sendall(chunk)
                passed += len(chunk)
                if counts and self.is_cut(passed):
                    source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the client sees a reset
                    source.shutdown(socket.SHUT_RD)
                    source.close()
                    break
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()


@pytest.fixture
def proxy(api):
    made = []

    def make(port, cuts=CUTS, after=400_000):
        made.append(CuttingProxy(port, cuts, after))
        return made[-1]

    yield make
    for one in made:
        one.close()


def run_client(client, api, proxy, orders):
    command = ["node", clients.HERE / "tus.mjs"] if client == "tus-js-client" else [clients.python(), clients.HERE / "tus_cases.py"]
    more = {"SLUICE_BASE": f"http://127.0.0.1:{proxy.port}", "SLUICE_TOKEN": bearer("tusanna"), "SLUICE_TUS": json.dumps(orders)}
    if client == "tus-js-client":
        more["SLUICE_NODE"] = str(clients.node())
    return clients.run_json(command, api, more=more)


@pytest.mark.parametrize("client", ["tus-js-client", "tuspy"])
@pytest.mark.parametrize("listener, chunk", [("ingest", 1 << 30), ("ingest", 700_000), ("public", 600_000)])
def test_a_client_uploads_through_a_proxy_that_cuts_three_times(api, proxy, tmp_path, name, client, listener, chunk):
    body = file_of(100_000)
    file = tmp_path / "rows.csv"
    file.write_bytes(body)
    through = proxy(api.ingest if listener == "ingest" else api.port)
    (answer,) = run_client(client, api, through, [{"file": str(file), "metadata": {"dataset": name, "filename": "rows.csv", "key": "id"}, "chunk": chunk, "retries": 200}])
    assert "error" not in answer, answer
    assert through.cut == CUTS
    result = json.loads(answer["result"])
    assert (result["rows"], result["digest"]) == (100_000, "sha-256:" + hashlib.sha256(body).hexdigest())
    assert api.json(f"/v1/datasets/uploads.{name}?select=count()", bearer=bearer("tusanna")) == [{"count": 100_000}]


@pytest.mark.parametrize("client", ["tus-js-client", "tuspy"])
def test_a_client_is_told_that_its_file_was_refused(api, proxy, tmp_path, name, client):
    file = tmp_path / "rows.csv"
    file.write_bytes(b"id,amount\n1,2\nx,3\n")
    (answer,) = run_client(client, api, proxy(api.ingest, cuts=0), [{"file": str(file), "metadata": {"dataset": name, "types": "id:integer"}, "chunk": 1 << 30, "retries": 0}])
    assert "422" in json.dumps(answer)


def test_tuspy_sends_checksums(api, proxy, tmp_path, name):
    file = tmp_path / "rows.csv"
    file.write_bytes(SALES)
    (answer,) = run_client("tuspy", api, proxy(api.ingest, cuts=0), [{"file": str(file), "metadata": {"dataset": name}, "chunk": 30, "checksum": True}])
    assert json.loads(answer["result"])["rows"] == 2
