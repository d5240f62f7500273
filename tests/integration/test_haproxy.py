"""deploy/haproxy/haproxy.cfg in front of three real instances: a rolling restart costs nothing, a killed one only what it had in flight."""
import http.server
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import requests

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import PATIENT, ROOT, SLOWNESS, token, write_secret
from wait import eventually, free_port

CONFIG = ROOT / "deploy/haproxy/haproxy.cfg"
WRITER_PASSWORD = "of the writer of the tests"
WRITER = token(customer="pipeline", scope="datasets:read warehouse:write")
WAREHOUSE = """
create schema ware; create schema shown; grant usage on schema ware to sluice_writer; grant usage on schema shown to sluice_reader;
create table ware.price (n int, zone text not null);
alter table ware.price owner to sluice_owner; alter schema ware owner to sluice_owner; alter schema shown owner to sluice_owner;
create view shown.price as select * from ware.price; alter view shown.price owner to sluice_owner;
grant select on shown.price to sluice_reader;
grant select, insert, update, delete on ware.price to sluice_writer;
"""
READS = ["/v1/regions/AR", "/v1/datasets/serving.weather_daily?limit=20&order=day.desc&region_id=eq.AR&offset={turn}", "/v1/regions/AR/weather?from=2024-01-01"]
NAMES = ("one", "two", "three")

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed (./dev test installs it)")


class Proxy:
    """HAProxy with the configuration that is delivered, but for addresses."""

    def __init__(self, folder, gateways):
        self.port, self.folder = free_port(), folder
        self.base, self.sockets = f"http://127.0.0.1:{self.port}", Path(tempfile.mkdtemp(prefix="sluice-ha-"))  # a socket's path has to be short
        self.socket = self.sockets / "admin"
        text = CONFIG.read_text().replace("bind :8080", f"bind 127.0.0.1:{self.port}").replace("/run/haproxy/admin.sock", str(self.socket))
        text = text.replace("maxconn 20000", "maxconn 1000")  # which wants twice as many descriptors
        # What refuses or says 503 is seen as soon as delivered; but a busy machine's silence of a second is not the end of all three at once.
        text = text.replace("    timeout connect 2s\n", "    timeout connect 2s\n    timeout check 20s\n")
        assert "timeout check" in text
        for index, one in enumerate(gateways):
            address = f"10.0.0.{11 + index}"
            text = text.replace(f"{address}:8080 port 9080", f"{one.host}:{one.port} addr {one.admin_host} port {one.admin_port}")
            text = text.replace(f"{address}:8080", f"{one.host}:{one.port}").replace(f"{address}:8081", one.config["server"]["ingest"]["listen"])
        assert "10.0.0." not in re.sub("#.*", "", text)
        self.path = folder / "haproxy.cfg"
        self.path.write_text(text)
        self.log = folder / "haproxy.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["haproxy", "-db", "-f", str(self.path)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(lambda: all(self.is_up(name) for name in NAMES), within=20, says="HAProxy's three servers")

    def servers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"haproxy ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(b"show stat reads 4 -1\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        rows = [line.split(",") for line in answer.splitlines() if line.startswith("reads,")]
        return {row[1]: row[17] for row in rows}

    def is_up(self, name):
        return self.servers().get(name, "").startswith("UP")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.sockets, ignore_errors=True)


@pytest.fixture
def base(postgres):
    name = postgres.clone(f"proxied_{next(NUMBERS)}", TEMPLATE)
    postgres.query(name, WAREHOUSE)
    postgres.query(name, f"alter role sluice_writer password '{WRITER_PASSWORD}'")
    yield name
    postgres.drop(name)


@pytest.fixture
def three(postgres, redis, base, tmp_path):
    """The instances and HAProxy in front of them."""
    gateways = []
    for name in NAMES:
        (tmp_path / name).mkdir()
        changes = {"server": {"workers": 1, "proxy_protocol": True, "trusted_proxies": ["127.0.0.0/8"], "drain_delay": f"{2 + SLOWNESS}s", "ingest": {"listen": f"127.0.0.1:{free_port()}"}},
                   "database": {"writer": {"user": "sluice_writer", "password_file": write_secret(tmp_path, "writer.password", WRITER_PASSWORD)},
                                **PATIENT},
                   "warehouse": {"schemas": ["shown", "serving"], "loadable": [{"dataset": "price", "table": "ware.price"}]}}
        gateways.append(start_gateway(tmp_path / name, postgres, redis, base, changes, prefix="proxied:", ready=False))
    for one in gateways:
        eventually(one.is_ready, within=30, every=0.02, says="a gateway's readiness")
    proxy = Proxy(tmp_path, gateways)
    yield proxy, gateways
    proxy.stop()
    stop_all(gateways)


def stop_all(gateways):
    """Their drains side by side: each waits for drain_delay."""
    for one in gateways:
        if one.process.poll() is None:
            one.terminate()
    for one in gateways:
        one.stop()


class Load:
    """Threads that read and one that writes, through the proxy; what failed, and when it had begun."""

    def __init__(self, proxy, readers=6):
        self.proxy, self.stopping, self.failed, self.answered, self.written = proxy, threading.Event(), [], 0, []
        self.threads = [threading.Thread(target=self.run, args=(self.read, index), daemon=True) for index in range(readers)]
        self.threads.append(threading.Thread(target=self.run, args=(self.write, 0), daemon=True))
        self.bearer = token()

    def run(self, action, index):
        session, turn = requests.Session(), 0
        session.trust_env = False
        while not self.stopping.is_set():
            turn += 1
            began = time.monotonic()
            try:
                answer = action(session, index, turn)
                if answer.status_code != 200:
                    self.failed.append((began, answer.status_code, answer.text[:300]))
                self.answered += 1
            except requests.RequestException as error:
                self.failed.append((began, action.__name__, repr(error)))
            self.stopping.wait(0.01)

    def read(self, session, index, turn):
        path = READS[(index + turn) % len(READS)].format(turn=turn % 500)
        return session.get(self.proxy.base + path, headers={"Authorization": f"Bearer {self.bearer}"}, timeout=60)

    def write(self, session, _index, turn):
        body = f"n,zone\n{turn},a\n".encode()
        data = iter([body]) if turn % 2 else body  # without a length: to the ingest listener
        answer = session.put(self.proxy.base + "/v1/datasets/price/rows?mode=append", data=data, timeout=60,
                             headers={"Authorization": f"Bearer {WRITER}", "Content-Type": "text/csv"})
        if answer.status_code == 200:
            self.written.append(turn)
        return answer

    def more(self):
        before, written = self.answered, len(self.written)
        eventually(lambda: self.answered > before + 60 and len(self.written) > written + 2, within=60, says="more answers through the proxy")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(70)


def test_the_delivered_configuration_is_valid():
    done = subprocess.run(["haproxy", "-c", "-f", str(CONFIG)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr


@pytest.mark.timeout(300)
def test_a_rolling_restart_under_load_costs_no_request(three, postgres, base):
    proxy, gateways = three
    with Load(proxy) as load:
        load.more()
        for name, one in zip(NAMES, gateways):
            one.terminate()
            eventually(lambda name=name: not proxy.is_up(name), within=10 * SLOWNESS, says=f"HAProxy's seeing that {name} goes")
            assert one.process.wait(60) == 0, one.errors()[-2000:]
            load.more()
            one.start()
            eventually(lambda name=name: proxy.is_up(name), within=20 * SLOWNESS, says=f"HAProxy's seeing that {name} is back")
            load.more()
    assert not load.failed, load.failed[:5]
    there = [number for number, in postgres.query(base, "select n from ware.price order by n")]
    assert there == sorted(load.written), "a load was lost, or came twice"


@pytest.mark.timeout(300)
def test_a_killed_instance_costs_what_was_in_flight_on_it_at_most(three, postgres, base):
    proxy, gateways = three
    with Load(proxy) as load:
        load.more()
        killed = time.monotonic()
        gateways[0].process.send_signal(signal.SIGKILL)
        gateways[0].process.wait(10)
        gone = time.monotonic()
        eventually(lambda: not proxy.is_up("one"), within=10 * SLOWNESS, says="HAProxy's seeing that one has died")
        load.more()
    assert len(load.failed) <= len(load.threads), load.failed
    # What began after the end was never on it: not one of these fails.
    late = [failure for failure in load.failed if failure[0] > gone]
    assert not late, (killed, late[:5])
    there = {number for number, in postgres.query(base, "select n from ware.price")}
    assert set(load.written) <= there, "an acknowledged load was lost"


class Stub:
    """What a gateway is for HAProxy: /readyz, and sessions that it knows or does not."""

    def __init__(self, name):
        self.name, self.known = name, set()
        self.host = self.admin_host = "127.0.0.1"
        self.servers = [self.serve(True), self.serve(True), self.serve(False)]
        self.port, ingest, self.admin_port = (server.server_address[1] for server in self.servers)
        self.config = {"server": {"ingest": {"listen": f"127.0.0.1:{ingest}"}}}

    def serve(self, proxied):
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def setup(self):
                super().setup()
                if proxied:
                    assert self.rfile.readline().startswith(b"PROXY TCP4 127.0.0.1 ")

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, place = (200 if self.command == "GET" or self.path.rpartition("/")[2] in stub.known else 404), None
                if self.command == "POST":
                    stub.known.add(uuid := f"{stub.name}-{len(stub.known)}")
                    status, place = 201, f"/v1/uploads/sessions/{uuid}"
                self.send_response(status)
                if place:
                    self.send_header("Location", place)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


def test_a_resumable_upload_stays_on_the_instance_that_has_it(tmp_path):
    stubs = [Stub(name) for name in NAMES]
    proxy = Proxy(tmp_path, stubs)
    try:
        places = [requests.post(proxy.base + "/v1/uploads/sessions", timeout=10).headers["Location"] for _ in range(12)]
        assert all(stub.known for stub in stubs), "all upload to one instance"
        for method in ("HEAD", "PATCH", "DELETE"):
            for place in places:
                assert requests.request(method, proxy.base + place, timeout=10).status_code == 200, (method, place)
        stubs[0].stop()
        eventually(lambda: not proxy.is_up("one"), within=10, says="HAProxy's seeing that one has gone")
        answers = {place: requests.request("HEAD", proxy.base + place, timeout=30).status_code for place in places}
        assert all(status == (503 if "/one-" in place else 200) for place, status in answers.items()), answers
    finally:
        proxy.stop()
        for stub in stubs[1:]:
            stub.stop()


def test_the_callers_address_comes_through(three):
    proxy, gateways = three
    answer = requests.get(proxy.base + "/v1/regions/AR", headers={"Authorization": f"Bearer {token()}", "X-Forwarded-For": "203.0.113.9"}, timeout=30)
    assert answer.status_code == 200
    wanted = answer.headers["X-Request-Id"]
    record = eventually(lambda: next((line for one in gateways for line in one.request_lines() if line["request_id"] == wanted), None))
    assert record["address"] == "127.0.0.1"
