"""A running `sluice serve` and the calls that tests make to it."""
import json
import os
import re
import signal
import socket
import subprocess
import urllib.parse
import uuid
from pathlib import Path

import jwt
import requests
import yaml

from servers import OWNER_PASSWORD, READER_PASSWORD, REDIS_PASSWORD
from wait import eventually, free_port

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SLUICE_BINARY", str(ROOT / "build/sluice"))
RELEASE_BINARY = os.environ.get("SLUICE_RELEASE_BINARY")
SANITIZE = os.environ.get("SLUICE_SANITIZE", "")
SLOWNESS = 4 if SANITIZE else 1  # what a sanitizer may make of a time limit
ISSUER = "https://issuer.test"
SECRET = "a secret of the tests, 64 bytes long, shared by gateway and token helper"
REPORT = re.compile(rb"(ERROR|WARNING|SUMMARY): (Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:")
NOW_LIFETIME_S = 6 * 3600  # tokens of modules and of the shared gateway are made at the start of a run
PATIENT = {"fast": {"statement_timeout": "20s"}, "scan": {"queue_timeout": "20s"}}  # of database, where no call may fail: what a busy machine delays is no failure


def merge(base, changes):
    """`changes` over `base`, mapping by mapping."""
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = merge(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
    return merged


def write_secret(folder, name, content):
    path = Path(folder) / name
    path.write_text(content)
    path.chmod(0o600)
    return str(path)


def make_spool(folder):
    path = Path(folder) / "spool-default"
    path.mkdir(mode=0o700, exist_ok=True)
    return str(path)


def issuer(**changes):
    """An entry of auth.issuers; it wants a source of keys."""
    return {"issuer": ISSUER, "audience": "sluice", **changes}


def configuration(folder, postgres, database, redis=None, prefix=None):
    config = {
        "server": {"listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}", "workers": 2},
        "database": {"host": "127.0.0.1", "port": postgres.port, "name": database, "user": "sluice_reader", "tls": "disable",
                     "password_file": write_secret(folder, "reader.password", READER_PASSWORD),
                     "admin": {"user": "sluice_owner", "password_file": write_secret(folder, "owner.password", OWNER_PASSWORD)}},
        "auth": {"issuers": [issuer(keys=[{"kid": "test-1", "algorithm": "HS256", "file": write_secret(folder, "token.key", SECRET)}])]},
        "limits": {"default_tier": "test", "tiers": {"test": {"rates": [{"rate": "100000/s", "burst": 100000}], "quotas": []}}},
        "uploads": {"spool": make_spool(folder)},
        "audit": {"folder": str(Path(folder) / "audit-default"), "key_file": write_secret(folder, "audit.key", "a" * 64)},
        "paging": {"cursor_key_file": write_secret(folder, "cursor.key", "c" * 64)},
    }
    if SANITIZE:
        config["database"]["fast"] = {"statement_timeout": "5s"}  # a sanitized process on a busy machine reads late, and its server may be late too
    if redis is not None:
        config["redis"] = {"address": f"127.0.0.1:{redis.port}", "password_file": write_secret(folder, "redis.password", REDIS_PASSWORD),
                           "prefix": prefix or f"test-{uuid.uuid4().hex[:8]}:"}
    return config


def claims(**changes):
    """A valid token's claims; a change to None leaves the claim out."""
    import time

    now = int(time.time())
    content = {"iss": ISSUER, "aud": "sluice", "sub": "user-1", "customer": "acme", "tier": "test", "scope": "regions:read datasets:read",
               "iat": now, "exp": now + NOW_LIFETIME_S, **changes}
    return {name: value for name, value in content.items() if value is not None}


def token(key=SECRET, algorithm="HS256", kid="test-1", headers=None, **changes):
    head = {**({"kid": kid} if kid else {}), **(headers or {})}
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=head)


def command(*arguments, binary=BINARY, **options):
    """`sluice ARGUMENT…`, run to its end."""
    return subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **options)


class Gateway:
    def __init__(self, folder, config, binary=BINARY):
        self.folder, self.config, self.binary = Path(folder), config, binary
        self.path = self.folder / f"sluice-{uuid.uuid4().hex[:8]}.yaml"
        self.stdout = self.path.with_suffix(".out")
        self.stderr = self.path.with_suffix(".err")
        self.path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        self.host, self.port = self._address("listen")
        self.admin_host, self.admin_port = self._address("admin")
        self.base, self.admin = f"http://{self.host}:{self.port}", f"http://{self.admin_host}:{self.admin_port}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = token()
        self.environment = {}  # over ours
        self.process = None

    def _address(self, name):
        host, _, port = self.config["server"][name].rpartition(":")
        return host, int(port) if port.isdigit() else 0

    def start(self, ready=True):
        with open(self.stdout, "ab") as out, open(self.stderr, "ab") as err:
            self.process = subprocess.Popen([self.binary, "serve", "--config", str(self.path)], stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                                            env={**os.environ, **self.environment})
        if ready:
            try:
                eventually(self.is_ready, within=30, every=0.02, says="the gateway's readiness")
            except AssertionError as failure:  # nobody has it yet who would stop it
                self.process.kill()
                self.process.wait(10)
                failure.add_note(self.errors()[-2000:])
                raise
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"sluice serve ended with {self.process.returncode}: {self.errors()[-4000:]}")
        try:
            return self.ask_admin("/readyz", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def ask_admin(self, path, timeout=10):
        """On a connection of its own: the admin listener ends one that was idle for 10 s, maybe just when the next question is on its way."""
        return self.session.get(self.admin + path, timeout=timeout, headers={"Connection": "close"})

    def errors(self):
        return self.stderr.read_text(errors="replace")

    def error_lines(self):
        """Whole ones: the last may be under way, and what is read of it cut anywhere."""
        return self.errors().rpartition("\n")[0].split("\n")

    def headers(self, changes=None, bearer=None):
        base = {"Authorization": f"Bearer {bearer or self.token}"}
        return {name: value for name, value in {**base, **(changes or {})}.items() if value is not None}

    def get(self, path, method="GET", headers=None, bearer=None, session=None, timeout=30, **options):
        """`path` goes out as it stands, with its query; `params` is for what needs encoding."""
        options.setdefault("allow_redirects", False)
        return (session or self.session).request(method, self.base + path, headers=self.headers(headers, bearer), timeout=timeout, **options)

    def json(self, path, **options):
        answer = self.get(path, **options)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def connect(self, timeout=10):
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def raw(self, request, timeout=10, half_close=True):
        """Sends bytes, and reads until the gateway closes; status (None without an answer), headers in lower case, body. A half-closed
        connection ends even where the request did not ask for that, but to a scan it says that the client has left."""
        with self.connect(timeout) as connection:
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return receive(connection)

    def log_size(self):
        """Bytes of the request log so far: where request_lines begins to read when told so."""
        return self.stdout.stat().st_size

    def request_lines(self, start=0):
        """The records of the request log so far, from byte `start` on."""
        with open(self.stdout, encoding="utf-8", errors="replace") as log:
            log.seek(start)
            whole, _, _ = log.read().rpartition("\n")  # the last line may be under way
            return [json.loads(line) for line in whole.split("\n") if '"event":"request"' in line]

    def record_of(self, answer, within=5, start=0):
        """The log's record of one answer."""
        wanted = answer.headers["X-Request-Id"]
        return eventually(lambda: next((line for line in self.request_lines(start) if line["request_id"] == wanted), None), within=within, says=f"the record of {wanted}")

    def metrics(self):
        """Samples of /metrics: {'name{label="value"}': number}."""
        answer = self.ask_admin("/metrics")
        assert answer.status_code == 200
        samples = (line.rpartition(" ") for line in answer.text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def memory(self):
        """Resident bytes."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no Rss in smaps_rollup")

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self, within=40):
        """Asks it to drain, and looks at how it ended."""
        self.session.close()
        if self.process is None or self.process.returncode == -signal.SIGKILL:
            return
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGABRT)
                self.process.wait(10)
                raise AssertionError(f"sluice did not end within {within} s of SIGTERM: {self.errors()[-2000:]}") from None
        errors = self.stderr.read_bytes()
        assert not REPORT.search(errors), f"a sanitizer reported: {errors[-6000:].decode(errors='replace')}"
        assert self.process.returncode == 0, f"sluice ended with {self.process.returncode}: {errors[-4000:].decode(errors='replace')}"


def receive(connection):
    """All until the gateway closes: status (None without an answer), headers in lower case, body."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return split_answer(received)


def split_answer(received):
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/1."):
        return None, {}, received
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


def assert_problem(answer, status, kind=None):
    """An answer is a problem (RFC 9457) of this status, and of this kind; its document."""
    assert answer.status_code == status, f"{answer.status_code}, not {status}: {answer.text[:500]}"
    return check_problem(answer.headers.get("Content-Type"), answer.content, status, kind)


def check_problem(content_type, body, status, kind=None):
    assert content_type == "application/problem+json", f"{content_type}: {body[:300]}"
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:sluice:problem:")
    assert problem["title"] and problem["detail"] and problem["request_id"]
    if kind is not None:
        assert problem["type"] == f"urn:sluice:problem:{kind}", problem
    return problem


def quote(text):
    return urllib.parse.quote(text, safe="")
