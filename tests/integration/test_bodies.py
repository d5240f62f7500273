"""The public listener takes a body before it has seen a token: what such bodies may take together is bounded."""
import contextlib
import select
import socket

import pytest

from wait import eventually

BODY = 1 << 20
PART = 900_000
BOUND = 128  # bodies of server.max_body; BODIES in api/worker.c


@pytest.fixture
def one(gateway):
    return gateway({"server": {"workers": 1, "max_body": "1MB", "request_timeout": "60s"}})


def sender(one, stack, body):
    client = stack.enter_context(socket.create_connection((one.host, one.port), timeout=30))
    client.sendall(f"PUT /v1/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {BODY}\r\n\r\n".encode() + body)
    return client


def is_open(client):
    readable, _, _ = select.select([client], [], [], 0)
    try:
        return not readable or client.recv(1, socket.MSG_PEEK) != b""
    except ConnectionResetError:
        return False


def test_bodies_of_nobody_take_a_bounded_memory_together(one):
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(180):
            with contextlib.suppress(OSError):  # cut while it sends
                clients.append(sender(one, stack, b"x" * PART))
        eventually(lambda: sum(map(is_open, clients)) <= BOUND, within=20, says="the bound on bodies")
        eventually(lambda: one.metrics()["sluice_bodies_cut_total"] >= 180 - BOUND, within=5)
        assert sum(map(is_open, clients)) > BOUND // 2, "no more are cut than must be"
        # Who sends at a pace is let through, and answered.
        quick = sender(one, stack, b"x" * BODY)
        assert quick.recv(65536).startswith(b"HTTP/1.1 401 ")
        assert one.session.get(one.base + "/v1/regions", timeout=10).status_code == 401


def test_what_a_body_took_is_given_back_with_its_answer(one):
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(180):
            clients.append(sender(one, stack, b"x" * BODY))
            assert clients[-1].recv(65536).startswith(b"HTTP/1.1 401 ")
        eventually(lambda: one.metrics()["sluice_connections"] >= 180 and one.metrics().get('sluice_requests_total{operation="putUpload",class="4xx"}') == 180)
        assert all(map(is_open, clients)) and one.metrics()["sluice_bodies_cut_total"] == 0


def test_a_few_bodies_on_their_way_are_left_alone(one):
    with contextlib.ExitStack() as stack:
        clients = [sender(one, stack, b"x" * PART) for _ in range(20)]
        for client in clients:
            client.sendall(b"x" * (BODY - PART))
        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 401 ")
        assert one.metrics()["sluice_bodies_cut_total"] == 0
