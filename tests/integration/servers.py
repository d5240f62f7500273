"""Private PostgreSQL and Redis servers of one test run: in a temporary folder, on free loopback ports, stopped by pid."""
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg2
import redis as redis_client

from wait import eventually, free_port

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
REDIS_BIN = "/usr/bin/redis-server"
OWNER_PASSWORD = "owner-password-of-the-tests"
READER_PASSWORD = "reader-password-of-the-tests"
REDIS_PASSWORD = "redis-password-of-the-tests"


def postgres_user():
    """initdb and postgres refuse to run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def postgres_folder():
    folder = Path(tempfile.mkdtemp(prefix="sluice-pg-", dir="/var/tmp"))  # its socket's path has to be short
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder


class Postgres:
    """One cluster. The superuser comes over the socket without a password, all others over TCP with theirs."""

    def __init__(self, template=None):
        self.folder = postgres_folder()
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.port = free_port()
        self.process = None
        if template is None:
            self._run(["initdb", "-D", self.data, "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256",
                       "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
        else:
            subprocess.run(["cp", "-a", "--reflink=auto", template, self.data], check=True)
        self.start()

    def _run(self, command):
        subprocess.run([POSTGRES_BIN / command[0], *command[1:]], check=True, capture_output=True, cwd="/", **postgres_user())

    def start(self):
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "max_connections": 200,
                    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_wal_size": "4GB",
                    "shared_preload_libraries": "pg_stat_statements", "jit": "off", "log_min_messages": "warning"}
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([POSTGRES_BIN / "postgres", "-D", self.data, *options], stdout=log, stderr=log, cwd="/",
                                            stdin=subprocess.DEVNULL, **postgres_user())
        eventually(self._is_up, within=60, every=0.02, says="PostgreSQL's start")

    def _is_up(self):
        assert self.process.poll() is None, f"PostgreSQL ended: {self.log.read_text(errors='replace')[-2000:]}"
        try:
            self.connect("postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def connect(self, database, user="postgres"):
        connection = psycopg2.connect(host=str(self.folder), port=self.port, user=user, dbname=database)
        connection.autocommit = True
        return connection

    def query(self, database, sql, parameters=None):
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def kill(self):
        """Every backend at once, as in a crash; SIGQUIT leaves nothing running that a restart would stumble over."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def clone(self, name, template):
        self.query("postgres", f'create database "{name}" template "{template}" owner sluice_owner strategy file_copy')
        self.query("postgres", f'revoke all on database "{name}" from public')
        self.query("postgres", f'grant connect on database "{name}" to sluice_reader, sluice_writer, sluice_customer')
        self.query("postgres", f'grant temporary on database "{name}" to sluice_writer')
        return name

    def drop(self, name):
        self.query("postgres", f'drop database if exists "{name}" with (force)')

    def psql(self, database, file, folder=None):
        """Runs a file as the owner, as ./dev does; what it prints."""
        command = ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "sluice_owner", "-d", database, "-v", "ON_ERROR_STOP=1", "-f", str(file)]
        done = subprocess.run(command, cwd=folder, env={**os.environ, "PGPASSWORD": OWNER_PASSWORD}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"psql -f {file}: {done.stderr}"
        return done.stdout


class Redis:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-redis-"))
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        command = [REDIS_BIN, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
                   "--requirepass", REDIS_PASSWORD, "--dir", str(self.folder), "--maxclients", "4000"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(self._is_up, within=20, says="Redis's start")

    def client(self):
        return redis_client.Redis(port=self.port, password=REDIS_PASSWORD)

    def _is_up(self):
        try:
            return self.client().ping()
        except redis_client.RedisError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
