"""SIGUSR2: the process starts itself anew, hands its listening sockets over, and ends when the new one serves. And sockets that a service manager hands over."""
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import requests
import yaml

from conftest import start_gateway
from gateway import BINARY, PATIENT, Gateway, configuration, merge, receive, token, write_secret
from load import Callers
from office import LOGIN_KEY, opened
from test_audit import good, told
from test_reload import reload, tier
from wait import eventually, free_port

SUMMARY = "/v1/regions/AR/summary"
STREAM = "/v1/datasets/weather_daily"
WHO = "upgrade"


class Succession:
    """A gateway whose process changes: what stop() of the fixture ends is the last one."""

    def __init__(self, one):
        self.one = one

    def successor(self):
        """SIGUSR2, until the new process serves and the old one has ended; the new one's id."""
        old = self.one.process
        old.send_signal(signal.SIGUSR2)
        new = eventually(lambda: self.heir(old.pid), within=60, says="a process that serves in its place")
        assert old.wait(60) == 0, self.one.errors()[-3000:]
        self.one.process = Adopted(new)
        return new

    def heir(self, of):
        lines = [line for line in self.one.error_lines() if '"event":"handed_over"' in line]
        pids = [int(line.partition("process ")[2].split()[0]) for line in lines]
        return next((pid for pid in reversed(pids) if pid != of and Path(f"/proc/{pid}").exists()), None)


class Adopted:
    """What Gateway wants of a Popen, for a process that is nobody's child here any more."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def send_signal(self, number):
        os.kill(self.pid, number)

    def poll(self):
        if self.returncode is None:
            try:
                done, how = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(how) if done else None
            except ChildProcessError:  # its parent, which it took over from, has not ended yet
                self.returncode = None if Path(f"/proc/{self.pid}").exists() else 0
        return self.returncode

    def wait(self, within):
        eventually(lambda: self.poll() is not None, within=within, says=f"the end of process {self.pid}")
        return self.returncode

    def kill(self):
        self.send_signal(signal.SIGKILL)


@pytest.fixture(autouse=True)
def reaps_orphans():
    """Processes whose parent ends become this one's children, so that none is left."""
    import ctypes

    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def test_a_new_process_takes_over_under_load_and_no_call_fails(gateway):
    one = gateway({"server": {"workers": 3}, "database": PATIENT})
    with Callers(one, 6) as callers, Callers(one, 2, STREAM + "?limit=2000") as streams:
        eventually(lambda: callers.answered > 20, within=30)
        first = Succession(one).successor()
        answered = callers.answered
        eventually(lambda: callers.answered > answered + 20, within=30)
        second = Succession(one).successor()
        eventually(lambda: streams.answered > 4, within=30)
    assert (callers.failures, streams.failures) == ([], [])
    assert first != second
    assert one.is_ready()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_upgrades_and_a_hundred_reloads_under_load_lose_no_record(gateway, postgres, database, tmp_path):
    """Two processes write, compress, delete, anchor and ship in one folder for a while: each its own chains."""
    anchors = tmp_path / "anchors"
    one = gateway({"database": PATIENT, "audit": {"segment_size": "64KB", "anchors": {"every": "200ms", "file": str(anchors)}}, "server": {"workers": 2}}, database=database)
    with Callers(one, 6) as callers, Callers(one, 1, STREAM + "?limit=500") as streams:
        for number in range(100):
            assert reload(one, tier(f"{100000 + number}/s", 100000)) == "done"
            if number % 34 == 33:
                Succession(one).successor()
                one.session.close()
    assert (callers.failures, streams.failures) == ([], [])
    seen = callers.seen + streams.seen
    ours = lambda: [row[0] for row in postgres.query(database, "select entry ->> 'request_id' from sluice.audit_entry where entry ->> 'event' = 'request'")]
    eventually(lambda: set(ours()) >= set(seen), within=60, says="all records in the database")
    one.stop()
    records = told(one)
    assert set(seen) <= set(records) and max(records.values()) == 1, [each for each in seen if records[each] != 1][:5]
    assert " 0 bad places" in good(one, "--anchors", anchors)
    assert max(Counter(ours()).values()) == 1
    gaps = "select chain from sluice.audit_entry group by chain having count(*) <> max(seq) - min(seq) + 1 or min(seq) <> 1"
    assert postgres.query(database, gaps) == []


def test_readiness_never_falls_meanwhile(gateway):
    one = gateway({"cache": {"version_poll": "30s"}})  # a poll that is two seconds late would be told, and is not meant
    seen, stop = set(), threading.Event()

    def look():
        while not stop.is_set():
            seen.add(requests.get(one.admin + "/readyz", timeout=10, headers={"Connection": "close"}).status_code)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        Succession(one).successor()
    finally:
        stop.set()
        looker.join()
    assert seen == {200}


PATIENCE = {"server": {"drain_delay": "60s"}}


def patient(one):
    """One with PATIENCE: its old process waits that long, and not just a second, for who is connected and has not asked all yet. The new one does not."""
    one.config["server"]["drain_delay"] = "0ms"
    one.path.write_text(yaml.safe_dump(one.config, sort_keys=False))
    return one


def test_a_stream_and_a_slow_request_that_were_under_way_end_whole(gateway):
    one = patient(gateway(PATIENCE, redis=None))
    with one.connect(timeout=60) as stream, one.connect(timeout=60) as idle:
        stream.sendall(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.token}\r\nAccept: text/csv\r\n\r\n".encode())
        head = stream.recv(1024)
        idle.sendall(b"GET /v1/regions/AR/sum")
        old = one.process
        old.send_signal(signal.SIGUSR2)
        eventually(lambda: Succession(one).heir(old.pid), within=60)
        assert one.get(SUMMARY, headers={"Connection": "close"}).status_code == 200, "by the new one"  # or, just now, by the old one: it must not wait for us
        idle.sendall(f"mary HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.token}\r\n\r\n".encode())
        status, headers, _ = receive(idle)
        assert (status, headers["connection"]) == (200, "close")
        received = head + b"".join(iter(lambda: stream.recv(1 << 20), b""))
    assert received.startswith(b"HTTP/1.1 200") and received.endswith(b"\r\n0\r\n\r\n"), one.errors()[-3000:]
    assert old.wait(60) == 0
    one.process = Adopted(Succession(one).heir(old.pid))


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "upgrade", (WHO,)) as one:
        yield one


@pytest.fixture
def ingest(postgres, redis, office, tmp_path):
    one = start_gateway(tmp_path, postgres, redis, office.database,
                        {"customers": {"login_key_file": write_secret(tmp_path, "login.key", LOGIN_KEY)},
                         "server": {"ingest": {"listen": f"127.0.0.1:{free_port()}"}}})
    yield one
    one.stop()


LONG = "select count(*) as n from uploads.held a, uploads.held b, uploads.held c, uploads.held d"  # hours


@pytest.fixture
def jobs(postgres, redis, office, tmp_path):
    """Whose old process waits for who is connected, however long that takes."""
    one = start_gateway(tmp_path, postgres, redis, office.database,
                        {"customers": {"login_key_file": write_secret(tmp_path, "login.key", LOGIN_KEY)}, **PATIENCE})
    one.token = token(customer=WHO, scope="datasets:read uploads:write analytics:write")
    yield patient(one)
    one.stop(within=100)


def test_a_job_of_the_old_process_counts_until_that_ends(jobs):
    one, body = jobs, b"id\n" + b"".join(b"%d\n" % number for number in range(3000))
    assert one.get("/v1/uploads/held", method="PUT", data=body, headers={"Content-Type": "text/csv"}).status_code in (200, 201)
    begin = lambda sql: one.get("/v1/query", method="POST", json={"sql": sql}, headers={"Prefer": "respond-async"}).json()["job_id"]
    state = lambda job: one.json(f"/v1/jobs/{job}")["state"]
    job, old = begin(LONG), one.process
    eventually(lambda: state(job) == "running", within=20)
    with one.connect(timeout=60) as idle:
        idle.sendall(b"GET /v1/regions/AR/sum")
        old.send_signal(signal.SIGUSR2)
        one.process = Adopted(eventually(lambda: Succession(one).heir(old.pid), within=60))
        one.session.close()
        other = begin("select 1 as one")  # who begins one looks after his others
        eventually(lambda: state(other) == "done", within=20)
        assert state(job) == "running"
        assert [(each["job_id"], each["state"]) for each in one.json("/v1/jobs")["jobs"]] == [(other, "done"), (job, "running")]
        assert old.poll() is None
    assert old.wait(60) == 0
    told = one.json(f"/v1/jobs/{job}")
    assert told["state"] == "failed" and "send the query again" in told["error"], told
    for each in (job, other):
        assert one.get(f"/v1/jobs/{each}", method="DELETE").status_code == 204


def upload_head(name, size):
    bearer = token(customer=WHO, scope="datasets:read uploads:write")
    return f"PUT /v1/uploads/{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\nContent-Type: text/csv\r\nContent-Length: {size}\r\n\r\n".encode()


def test_an_upload_under_way_ends_in_the_old_process_and_the_next_begins_in_the_new_one(ingest):
    one, body = ingest, b"id,amount\n" + b"".join(b"%d,%d\n" % (number, number) for number in range(20000))
    host, _, port = one.config["server"]["ingest"]["listen"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as upload:
        upload.sendall(upload_head("early", len(body)) + body[:50000])
        eventually(lambda: one.metrics()["sluice_ingest_body_bytes_total"] >= 50000)
        old = one.process
        old.send_signal(signal.SIGUSR2)
        eventually(lambda: Succession(one).heir(old.pid), within=60)
        with socket.create_connection((host, int(port)), timeout=60) as later:
            later.sendall(upload_head("late", len(body)) + body)
            assert receive(later)[0] == 201
        assert old.poll() is None, "it waits for the body"
        upload.sendall(body[50000:])
        assert receive(upload)[0] == 201
    assert old.wait(60) == 0
    one.process = Adopted(Succession(one).heir(old.pid))


def test_a_program_that_does_not_start_changes_nothing(gateway):
    one = gateway({"database": PATIENT})
    good = one.path.read_text()
    one.path.write_text(good + "nonsense: 1\n")
    with Callers(one, 2) as callers:
        one.process.send_signal(signal.SIGUSR2)
        eventually(lambda: '"event":"upgrade_failed"' in one.errors(), within=30)
        assert "nonsense" in one.errors()
        eventually(lambda: callers.answered > 10, within=30)
    assert callers.failures == [] and one.is_ready()
    one.path.write_text(good)
    Succession(one).successor()
    assert one.get(SUMMARY).status_code == 200


def test_a_program_that_is_not_there_changes_nothing(gateway, tmp_path):
    moved = tmp_path / "sluice"
    os.link(BINARY, moved) if os.stat(BINARY).st_dev == os.stat(tmp_path).st_dev else subprocess.run(["cp", BINARY, moved], check=True)
    one = gateway(binary=str(moved))
    moved.unlink()
    one.process.send_signal(signal.SIGUSR2)
    eventually(lambda: '"event":"upgrade_failed"' in one.errors(), within=30)
    assert one.get(SUMMARY).status_code == 200


def test_a_different_number_of_workers_serves_all_sockets(gateway):
    one = gateway({"server": {"workers": 4}, "database": PATIENT})
    for workers in (2, 5, 1):
        one.config["server"]["workers"] = workers
        one.path.write_text(yaml.safe_dump(one.config, sort_keys=False))
        with Callers(one, 4) as callers:
            Succession(one).successor()
            done = callers.answered
            eventually(lambda: callers.answered > done + 40, within=30)
        assert callers.failures == []
        assert one.metrics()["sluice_workers"] == workers


def test_the_new_process_has_no_other_descriptors_and_no_secrets_in_its_environment(postgres, redis, demo, tmp_path, monkeypatch):
    config, names = configuration(tmp_path, postgres, demo, redis), {"OF_THE_READER": ("database", "password"), "OF_REDIS": ("redis", "password"),
                                                                     "OF_THE_AUDIT": ("audit", "key"), "OF_CURSORS": ("paging", "cursor_key")}
    for name, (section, key) in names.items():
        monkeypatch.setenv(name, Path(config[section].pop(f"{key}_file")).read_text())
        config[section][f"{key}_env"] = name
    one = Gateway(tmp_path, merge(config, {"server": {"core_dumps": True}}))
    one.start()
    descriptors = lambda: len(os.listdir(f"/proc/{one.process.pid}/fd"))
    one.get(SUMMARY)
    # All that stays open: of each of two workers two connections for look-ups, one for scans and one to Redis.
    told = lambda: [one.metrics()[name] for name in ('sluice_lane_connections_open{lane="fast"}', 'sluice_lane_connections_open{lane="scan"}', "sluice_redis_up")]
    eventually(lambda: told() == [4, 2, 1], within=30, says="all connections")
    before = descriptors()
    for _ in range(3):
        Succession(one).successor()
        one.session.close()
        assert one.get(SUMMARY).status_code == 200, "the secrets came along"
    environment = Path(f"/proc/{one.process.pid}/environ").read_bytes()
    assert not [name for name in names if os.environ[name].encode() in environment]
    eventually(lambda: abs(descriptors() - before) <= 4, within=10, says="as many descriptors as before")
    one.stop()


def test_the_service_manager_hears_of_the_new_main_process(postgres, redis, demo, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        one = start_gateway(tmp_path, postgres, redis, demo, {})
        said = [manager.recv(4096).decode()]
        new = Succession(one).successor()
        while not any("MAINPID" in words for words in said):
            said.append(manager.recv(4096).decode())
        assert f"MAINPID={new}" in said
        one.process.send_signal(signal.SIGHUP)
        while not any("RELOADING=1" in words for words in said):
            said.append(manager.recv(4096).decode())
        one.stop()


LAUNCH = """
import os, sys
fds, arguments = [int(fd) for fd in sys.argv[1].split(",")], sys.argv[2:]
high = [os.dup2(fd, 100 + place) for place, fd in enumerate(fds)]
for place, fd in enumerate(high):
    os.dup2(fd, 3 + place, inheritable=True)
os.closerange(3 + len(fds), 200)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join("sluice" for _ in fds))
os.execv(arguments[0], arguments)
"""


def launch(one, sockets):
    """As a service manager starts it, with sockets that listen already."""
    with open(one.stdout, "ab") as out, open(one.stderr, "ab") as err:
        one.process = subprocess.Popen([sys.executable, "-c", LAUNCH, ",".join(str(each.fileno()) for each in sockets), BINARY, "serve", "--config", str(one.path)],
                                       pass_fds=[each.fileno() for each in sockets], stdout=out, stderr=err, stdin=subprocess.DEVNULL)
    return one


def test_sockets_of_a_service_manager_are_taken_and_calls_wait_in_them(postgres, redis, demo, tmp_path):
    config = configuration(tmp_path, postgres, demo, redis)
    one = Gateway(tmp_path, merge(config, {"server": {"workers": 3}, "database": PATIENT}))
    listening = [socket.create_server((one.host, one.port)), socket.create_server((one.admin_host, one.admin_port))]
    with one.connect(timeout=60) as early:
        early.sendall(f"GET {SUMMARY} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.token}\r\nConnection: close\r\n\r\n".encode())
        launch(one, listening)
        assert receive(early)[0] == 200, "it was sent before there was a process"
    with Callers(one, 4) as callers:
        eventually(lambda: callers.answered > 20, within=30)
        Succession(one).successor()
        done = callers.answered
        eventually(lambda: callers.answered > done + 20, within=30)
    assert callers.failures == []
    one.stop()
    for each in listening:
        each.close()


def test_a_socket_that_is_none_of_the_configured_ones_stops_the_start(postgres, redis, demo, tmp_path):
    one = Gateway(tmp_path, configuration(tmp_path, postgres, demo, redis))
    with socket.create_server(("127.0.0.1", 0)) as other:
        launch(one, [other])
        assert one.process.wait(30) == 1
    assert "none of server.listen" in one.errors()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        launch(one, [datagrams])
        assert one.process.wait(30) == 1
    assert "no socket that listens" in one.errors()


def test_sigterm_while_the_new_process_starts_ends_both(postgres, redis, demo, tmp_path):
    one = start_gateway(tmp_path, postgres, redis, demo, {})
    one.config["database"]["port"] = free_port()  # it waits for its database
    one.path.write_text(yaml.safe_dump(one.config, sort_keys=False))
    one.process.send_signal(signal.SIGUSR2)
    line = eventually(lambda: next((line for line in one.error_lines() if '"event":"upgrade_begun"' in line), None), within=30)
    new = Adopted(int(line.partition("process ")[2].split(";")[0]))
    eventually(lambda: '"event":"database_away"' in one.errors(), within=30)
    one.process.send_signal(signal.SIGUSR2)
    eventually(lambda: '"event":"upgrade_refused"' in one.errors(), within=30)
    one.stop()
    new.wait(30)
