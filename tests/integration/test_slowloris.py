"""Thousands of connections that send or read as slowly as they can: others hardly notice, memory is bounded, and each is cut by the time that is configured."""
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import time

import pytest

from conftest import start_gateway
from gateway import BINARY, RELEASE_BINARY, SANITIZE, SLOWNESS, split_answer, token, write_secret
from office import LOGIN_KEY, opened
from wait import eventually, free_port

CACHED = "/v1/regions/AR/summary?window=7d"
LONG = """create view serving.long as select region_id, day, temperature_c from warehouse.weather_daily cross join generate_series(1, 40);
    grant select on serving.long to sluice_reader"""
WANTED = 5000
KINDS = ("head", "body", "reader", "idle")
WHO = "slowly"


def descriptors():
    """How many connections this machine lets us hold, up to WANTED; the gateway inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard) if hard > soft else (soft, hard))
    return min(WANTED, hard - 1000)


class Attack:
    """A process of its own (this file as a program) with `count` connections of each of `kinds`: "ready" when all are open; then a byte a connection every `pause` seconds."""

    def __init__(self, address, bearer, kinds, count, pause):
        self.process = subprocess.Popen([sys.executable, __file__, address[0], str(address[1]), bearer, ",".join(kinds), str(count), str(pause)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        assert self.process.stdout.readline().strip() == "ready"

    def stop(self):
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()


def first_bytes(kind, bearer, path):
    head = f"Host: x\r\nAuthorization: Bearer {bearer}\r\n"
    return {"head": f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Slow: ", "idle": f"GET /v1/none HTTP/1.1\r\nHost: x\r\n\r\n", "reader": f"GET /v1/regions/AR/weather HTTP/1.1\r\n{head}\r\n",
            "body": f"POST /v1/query HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{{"}[kind].encode()


def attack(host, port, bearer, kinds, count, pause):
    """The program: connections from 127.0.0.2 on, a thousand an address, for ever."""
    held = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        one = socket.socket()
        if kind == "reader":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.bind((f"127.0.0.{2 + number // 1000}", 0))
        one.connect((host, port))
        one.sendall(first_bytes(kind, bearer, CACHED))
        held.append((one, kind))
    print("ready", flush=True)
    while True:
        began = time.monotonic()
        for index, (one, kind) in enumerate(held):
            try:
                if kind in ("head", "body"):
                    one.send(b"a", socket.MSG_DONTWAIT)
                elif kind == "reader":
                    one.recv(1, socket.MSG_DONTWAIT)
            except OSError:
                pass
            if index % 50 == 49:
                time.sleep(pause / len(held) * 50)  # the pace of the attack, not a wait for anything
        time.sleep(max(0.0, pause - (time.monotonic() - began)))


class Caller:
    """One keep-alive connection from an address that does nothing else; times of a cached answer in seconds."""

    def __init__(self, gateway):
        self.request = f"GET {CACHED} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\n\r\n".encode()
        self.connection = socket.create_connection((gateway.host, gateway.port), 10, ("127.0.0.100", 0))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, times):
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            self.connection.sendall(self.request)
            answer = self.connection.recv(65536)
            taken.append(time.perf_counter() - began)
            assert answer.startswith(b"HTTP/1.1 200 ") and b"\r\n\r\n" in answer, answer[:300]
        return taken


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(not RELEASE_BINARY and SANITIZE, reason="times and sizes are measured on SLUICE_RELEASE_BINARY")
def test_5000_slow_connections_leave_others_their_median(postgres, database, gateway):
    """Quiet and attacked by turns, in one run; each kind of slowness is a quarter of the connections."""
    count = descriptors()
    postgres.query(database, LONG)
    one = gateway({"serving": {"weather": "serving.long"}, "server": {"workers": 2, "max_connections": 20000, "request_timeout": "60s"}}, database=database, binary=RELEASE_BINARY or BINARY)
    caller, before = Caller(one), one.memory()
    caller.ask(500)
    quiet, attacked, grown = [], [], []
    for _ in range(3):
        quiet += caller.ask(1500)
        slow = Attack((one.host, one.port), one.token, KINDS, count, 3)
        try:
            eventually(lambda: one.metrics()["sluice_connections"] >= count * 0.95, within=20, says=f"{count} connections")
            attacked += caller.ask(1500)
            with socket.create_connection((one.host, one.port), 5, ("127.0.0.101", 0)) as new:
                new.sendall(caller.request)
                assert new.recv(65536).startswith(b"HTTP/1.1 200 ")
            grown.append(one.memory() - before)
        finally:
            slow.stop()
        eventually(lambda: one.metrics()["sluice_connections"] < 10, within=30, says="the end of the connections")
    was, now = statistics.median(quiet), statistics.median(attacked)
    print(f"{count} slow connections: median {was * 1e6:.0f} us quiet, {now * 1e6:.0f} us attacked; memory +{max(grown) / (1 << 20):.0f} MB")
    assert now < 2 * was, f"{was * 1e6:.0f} us, and {now * 1e6:.0f} us among {count} slow connections"
    assert max(grown) < count * 64 << 10, f"{max(grown) / count / 1024:.0f} KB a connection"
    assert grown[-1] < grown[0] * 1.25 + (8 << 20), f"it grows from attack to attack: {grown}"


def cut_after(address, data, drip=b"a", every=0.1):
    """Seconds until the other side closes somebody who sends `drip` all the time."""
    began = time.monotonic()
    with socket.create_connection(address, 10) as connection, selectors.DefaultSelector() as ready:
        connection.sendall(data)
        ready.register(connection, selectors.EVENT_READ)
        while time.monotonic() < began + 30:
            try:
                if ready.select(every) and not connection.recv(65536):
                    break
                connection.sendall(drip)
            except OSError:
                break
    return time.monotonic() - began


@pytest.fixture(scope="module")
def place(postgres, redis, tmp_path_factory):
    """A gateway with an ingest listener of eight connections."""
    with opened(postgres, tmp_path_factory, "slow", (WHO,)) as office:
        folder = tmp_path_factory.mktemp("slow")
        one = start_gateway(folder, postgres, redis, office.database,
                            {"customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)},
                             "server": {"workers": 1, "request_timeout": "5s", "max_connections_per_address": 40,
                                        "ingest": {"listen": f"127.0.0.1:{free_port()}", "connections": 8, "min_receive_rate": "10KB", "deadline": "6s"}}})
        one.ingest = ("127.0.0.1", int(one.config["server"]["ingest"]["listen"].rpartition(":")[2]))
        yield one
        one.stop()


BEARER = token(customer=WHO, scope="datasets:read uploads:write")
UPLOAD = f"PUT /v1/uploads/slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {BEARER}\r\nContent-Type: text/csv\r\n"


@pytest.mark.parametrize("listener,data", [("public", b"GET /v1/regions HTTP/1.1\r\nHost: x\r\nX: "), ("public", b"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n"),
                                           ("public", b"POST /v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"), ("ingest", b"PUT /v1/uploads/x HTTP/1.1\r\nHost: x\r\nX: "),
                                           ("ingest", (UPLOAD + "Content-Length: 100000\r\n\r\nid\n").encode())], ids=["head", "body", "chunks", "ingest head", "ingest body"])
def test_a_dripping_request_is_cut_by_its_time(place, listener, data):
    took = cut_after((place.host, place.port) if listener == "public" else place.ingest, data)
    assert took < 5 + 2 * SLOWNESS, f"cut after {took:.1f} s"


def test_an_idle_connection_is_cut_by_its_time(place):
    began = time.monotonic()
    with socket.create_connection((place.host, place.port), 30) as connection:
        connection.sendall(b"GET /v1/none HTTP/1.1\r\nHost: x\r\n\r\n")
        assert split_answer(connection.recv(65536))[0] == 404
        assert connection.recv(1) == b""
    assert 4 < time.monotonic() - began < 5 + 2 * SLOWNESS


def connect_from(source, address):
    connection = socket.create_connection(address, 15, (source, 0))
    return connection


def is_closed(connection):
    connection.settimeout(0.001)
    try:
        return connection.recv(1) == b""
    except socket.timeout:
        return False
    except OSError:
        return True


def test_one_address_holds_no_more_connections_than_its_bound(place):
    """What comes past it is closed, and another address does not notice."""
    place.session.close()
    held = [connect_from("127.0.0.9", (place.host, place.port)) for _ in range(60)]
    try:
        eventually(lambda: sum(map(is_closed, held)) == 20, says="20 of 60 closed")
        with connect_from("127.0.0.10", (place.host, place.port)) as other:
            other.sendall(f"GET {CACHED} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {place.token}\r\n\r\n".encode())
            assert other.recv(65536).startswith(b"HTTP/1.1 200 ")
        eventually(lambda: place.metrics()["sluice_connections_refused_total"] == 20)
    finally:
        for connection in held:
            connection.close()
    eventually(lambda: place.metrics()["sluice_connections"] <= 1)
    with connect_from("127.0.0.9", (place.host, place.port)) as again:  # the count goes down as well
        again.sendall(b"GET /v1/none HTTP/1.1\r\nHost: x\r\n\r\n")
        assert again.recv(65536).startswith(b"HTTP/1.1 404 ")


def test_trusted_proxies_hold_as_many_as_they_want(gateway):
    one = gateway({"server": {"workers": 1, "max_connections_per_address": 5, "trusted_proxies": ["127.0.0.11/32"]}})
    held = [connect_from("127.0.0.11", (one.host, one.port)) for _ in range(30)]
    eventually(lambda: one.metrics()["sluice_connections"] >= 30)
    assert not any(map(is_closed, held))
    for connection in held:
        connection.close()


def test_slow_heads_do_not_keep_others_from_the_ingest_listener(place):
    """They are ten times as many as it has connections, and those behind them wait in its backlog."""
    heads = [connect_from("127.0.0.12", place.ingest) for _ in range(80)]
    try:
        for connection in heads:
            connection.sendall(b"PUT /v1/uploads/x HTTP/1.1\r\nX: ")
        began = time.monotonic()
        with connect_from("127.0.0.13", place.ingest) as other:
            other.sendall((UPLOAD + "Content-Length: 7\r\n\r\nid\n1\n2\n").encode())
            answer = b"".join(iter(lambda: other.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 20"), answer[:300]
        assert time.monotonic() - began < 4 * SLOWNESS
    finally:
        for connection in heads:
            connection.close()


def test_a_slow_head_stays_while_nobody_waits(place):
    with connect_from("127.0.0.14", place.ingest) as slow:
        data = (UPLOAD + "Content-Length: 7\r\n\r\nid\n1\n2\n").encode()
        step = -(-len(data) // 100)  # a second in all: where each byte waited, a busy machine would come near request_timeout
        for at in range(0, len(data), step):
            slow.sendall(data[at:at + step])
            time.sleep(0.01)  # a client's pace
        assert b"".join(iter(lambda: slow.recv(65536), b"")).startswith(b"HTTP/1.1 20")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    os.nice(5)
    attack(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4].split(","), int(sys.argv[5]), float(sys.argv[6]))
