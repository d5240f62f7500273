"""Private servers for a benchmark: PostgreSQL, Redis and the gateway, in a temporary folder, stopped by pid at the end."""
import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
SECRET_NAMES = ("postgres", "owner", "reader", "redis", "dev", "cursor", "login", "audit")


class Failure(Exception):
    """What a person can act on; everything else is a bug and keeps its traceback."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(ready, process, what, log, seconds=30):
    """Polls `ready` until it is true; the process ending first, or the time passing, is a Failure that shows its log."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = Path(log).read_text(errors="replace")[-2000:] if Path(log).exists() else ""
            state = f"ended with {process.returncode}" if process.poll() is not None else f"is not ready after {seconds} s"
            raise Failure(f"{what} {state}; the end of its log:\n{tail}")
        time.sleep(0.05)


def accepts(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(process, sign=signal.SIGTERM, seconds=40):
    if process.poll() is not None:
        return
    process.send_signal(sign)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"process {process.pid} did not stop in {seconds} s; killing it", file=sys.stderr)
        process.kill()
        process.wait()


def run(command, what, **options):
    """Runs to the end and returns stdout; a failure shows both outputs."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failure(f"{what} failed with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Postgres:
    """A cluster of its own on a loopback port, run as the user postgres when we are root, for it refuses to run as root."""

    def __init__(self, folder, secret_files):
        self.folder, self.files = folder / "postgres", secret_files
        self.log = self.folder / "log"
        self.identity = {}
        self.folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self.identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self.port = free_port()
        self.process = None

    def start(self):
        password = self.folder / "initial.password"
        shutil.copyfile(self.files["postgres"], password)
        if self.identity:
            os.chown(password, self.identity["user"], self.identity["group"])
        password.chmod(0o400)
        run([POSTGRES_BIN / "initdb", "-D", self.folder / "data", "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password}",
             "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"], "initdb", cwd="/", **self.identity)
        password.unlink()
        # A warehouse of this size lives in memory anywhere; checkpoints and autovacuum would only blur the rounds.
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "max_connections": 200,
                    "shared_buffers": "256MB", "fsync": "off", "autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "4GB"}
        command = [str(POSTGRES_BIN / "postgres"), "-D", str(self.folder / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.identity)
        wait_until(lambda: accepts(self.port) and self.try_query("select 1"), self.process, "PostgreSQL", self.log)

    def environment(self, role):
        return {**os.environ, "PGPASSWORD": self.files[role].read_text(), "PGOPTIONS": ""}

    def psql(self, role, database, *arguments, **options):
        login = {"postgres": "postgres", "owner": "sluice_owner", "reader": "sluice_reader"}[role]
        return run([POSTGRES_BIN / "psql", "-X", "-q", "-At", "-h", "127.0.0.1", "-p", self.port, "-U", login, "-d", database,
                    "-v", "ON_ERROR_STOP=1", *arguments], "psql", env=self.environment(role), **options)

    def try_query(self, sql):
        with contextlib.suppress(Failure):
            return self.psql("postgres", "postgres", "-c", sql)
        return None

    def stop(self):
        if self.process:
            stop(self.process, signal.SIGINT)  # fast shutdown


class Redis:
    def __init__(self, folder, secret_files):
        self.folder, self.files, self.port, self.process = folder / "redis", secret_files, free_port(), None

    def start(self):
        self.folder.mkdir(mode=0o700)
        configuration = self.folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(f'bind 127.0.0.1\nport {self.port}\nsave ""\nappendonly no\ndir "{self.folder}"\n'
                                 f'maxmemory 512mb\nmaxmemory-policy allkeys-lru\nrequirepass {self.files["redis"].read_text()}\n')
        log = self.folder / "redis.log"
        with open(log, "wb") as out:
            self.process = subprocess.Popen(["redis-server", str(configuration)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until(lambda: accepts(self.port), self.process, "Redis", log)

    def stop(self):
        if self.process:
            stop(self.process)


class Gateway:
    """One `sluice serve`. `uploads` is what the section of that name holds beside its spool, a line each."""

    def __init__(self, world, name, requests="off", redis=True, fast_connections=1, scan_connections=16, uploads=(), audit=False):
        self.world = world
        self.port, self.admin_port, self.ingest_port, self.process = free_port(), free_port(), free_port(), None
        self.config, self.log = world.folder / f"{name}.yaml", world.folder / f"{name}.log"
        spool = world.folder / f"{name}.spool"
        spool.mkdir(mode=0o700)
        files = world.files
        audit_section = f'audit:\n  folder: "{world.folder / name}.audit"\n  key_file: "{files["audit"]}"\n'
        redis_section = f'redis:\n  address: 127.0.0.1:{world.redis.port}\n  password_file: "{files["redis"]}"\n  prefix: "{name}:"\n'
        self.config.write_text(
            f"server:\n  listen: 127.0.0.1:{self.port}\n  admin: 127.0.0.1:{self.admin_port}\n  workers: 1\n"
            f"  ingest:\n    listen: 127.0.0.1:{self.ingest_port}\n    connections: 256\n"
            f"database:\n  host: 127.0.0.1\n  port: {world.postgres.port}\n  name: sluice\n  user: sluice_reader\n"
            f'  password_file: "{files["reader"]}"\n  tls: disable\n  fast:\n    connections: {fast_connections}\n'
            f"  scan:\n    connections: {scan_connections}\n"
            f'  admin:\n    user: sluice_owner\n    password_file: "{files["owner"]}"\n'
            + f'customers:\n  login_key_file: "{files["login"]}"\n'
            + "".join(f"{line}\n" for line in ("uploads:", f'  spool: "{spool}"', *(f"  {line}" for line in uploads)))
            + (redis_section if redis else "") + (audit_section if audit else "") +
            f'auth:\n  issuers:\n    - issuer: https://bench.sluice.local\n      audience: sluice\n      keys:\n'
            f'        - {{kid: bench-1, algorithm: HS256, file: "{files["dev"]}"}}\n'
            # The limiter stands in the way as it does in life, but admits whatever one thread can ask for.
            f"limits:\n  address: null\n  default_tier: bench\n  tiers:\n    bench:\n      rates:\n"
            f"        - {{rate: 10000000/s, burst: 10000000}}\n      quotas: []\n"
            f'log:\n  level: warning\n  requests: {requests}\npaging:\n  cursor_key_file: "{files["cursor"]}"\n')

    def command(self, *words):
        return run([self.world.binary, *words, "--config", self.config], f"sluice {words[0]}", cwd=self.world.folder)

    def start(self):
        command = [str(self.world.binary), "serve", "--config", str(self.config)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, cwd=self.world.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.is_ready, self.process, "sluice serve", self.log)
        return self

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def token(self):
        words = ("token", "--customer", "bench", "--tier", "bench", "--scope", "regions:read datasets:read", "--subject", "bench")
        return self.command(*words).split()[-1]

    def metric(self, name, label=""):
        """The sum of the metric's series whose labels hold `label`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^{re.escape(name)}(\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for labels, value in found if label in labels)

    def pss_kb(self):
        return int(re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(), re.MULTILINE)[1])

    def stop(self):
        if self.process:
            stop(self.process)


class World:
    """with World(binary) as world: world.postgres, world.redis, world.gateway(…). `binary` None: no warehouse in it."""

    def __init__(self, binary=None):
        self.binary = Path(binary).resolve() if binary else None
        if self.binary and not os.access(self.binary, os.X_OK):
            raise Failure(f"SLUICE_BINARY: {self.binary} is no program; run ./dev bench NAME, which builds it")

    def __enter__(self):
        # /var/tmp: the user postgres must be able to enter, and a unix socket's path may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-bench-", dir="/var/tmp"))
        self.folder.chmod(0o711)
        self.cleanup = contextlib.ExitStack()
        self.cleanup.callback(shutil.rmtree, self.folder, True)
        try:
            self.start()
        except BaseException:
            self.cleanup.close()
            raise
        return self

    def __exit__(self, *_):
        self.cleanup.close()

    def start(self):
        (self.folder / "secrets").mkdir(mode=0o700)
        self.files = {name: self.folder / "secrets" / name for name in SECRET_NAMES}
        for file in self.files.values():
            file.touch(mode=0o600)
            file.write_text(secrets.token_hex(32))
        self.postgres, self.redis = Postgres(self.folder, self.files), Redis(self.folder, self.files)
        for server in (self.postgres, self.redis):
            self.cleanup.callback(server.stop)
            server.start()
        if self.binary:
            self.fill()

    def fill(self):
        owner = self.files["owner"].read_text()
        self.postgres.psql("postgres", "postgres", "-c", f"create role sluice_owner login createrole createdb password '{owner}'",
                           "-c", "create database sluice owner sluice_owner", "-c", "revoke all on database sluice from public")
        # As ./dev does: customers shall make no functions.
        self.postgres.psql("postgres", "sluice", "-c", "revoke usage on language sql, plpgsql from public",
                           "-c", "grant usage on language sql, plpgsql to sluice_owner")
        Gateway(self, "migrate").command("migrate")
        self.postgres.psql("owner", "sluice", "-f", str(ROOT / "sql" / "demo.sql"), cwd=ROOT)
        self.postgres.psql("postgres", "sluice", "-c", "vacuum analyze")

    def gateway(self, name, **options):
        gateway = Gateway(self, name, **options)
        self.cleanup.callback(gateway.stop)
        return gateway.start()


def program(main):
    """Runs a benchmark's main: Failures are told in one line, Ctrl-C and SIGTERM stop the servers too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
