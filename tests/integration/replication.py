"""A primary and its streaming replica, each in a folder of its own; the primary may be killed and the replica promoted."""
import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg2

from servers import POSTGRES_BIN, Postgres, postgres_folder, postgres_user
from wait import eventually, free_port

REPLICATION_PASSWORD = "replication-password-of-the-tests"


class Primary(Postgres):
    """`synchronous`: a COMMIT answers when the replica named "replica" has it on disk."""

    def __init__(self, template, synchronous):
        super().__init__(template=template)
        self.query("postgres", "create role replicator login replication password %s", (REPLICATION_PASSWORD,))
        with open(self.data / "pg_hba.conf", "a", encoding="utf-8") as rules:
            rules.write("\nhost replication replicator 127.0.0.1/32 scram-sha-256\n")
        self.synchronous = synchronous
        self.query("postgres", "select pg_reload_conf()")

    def wait_for_replicas(self):
        """With synchronous replication, turned on here: its COMMITs would wait for ever without a replica."""
        eventually(lambda: self.query("postgres", "select 1 from pg_stat_replication where state = 'streaming'"), within=30, says="the replica's streaming")
        if self.synchronous:
            # The servers of the tests run with synchronous_commit=off on their command line, which no file overrules: it holds for each role instead.
            for role in ("sluice_owner", "sluice_writer", "sluice_reader", "postgres"):
                self.query("postgres", f"alter role {role} set synchronous_commit = on")
            self.query("postgres", "alter system set synchronous_standby_names = 'replica'")
            self.query("postgres", "select pg_reload_conf()")
            eventually(lambda: self.query("postgres", "select 1 from pg_stat_replication where sync_state = 'sync'"), within=30, says="the replica's being synchronous")


class Replica(Postgres):
    def __init__(self, primary):  # pylint: disable=super-init-not-called
        self.folder = postgres_folder()
        self.data, self.log = self.folder / "data", self.folder / "log"
        self.port, self.process = free_port(), None
        source = f"host=127.0.0.1 port={primary.port} user=replicator password={REPLICATION_PASSWORD} application_name=replica"
        subprocess.run([POSTGRES_BIN / "pg_basebackup", "-d", source, "-D", self.data, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"],
                       check=True, capture_output=True, cwd="/", **postgres_user())
        self.start()

    def promote(self):
        assert self.query("postgres", "select pg_promote(true, 30)") == [(True,)]

    def lag_bytes(self, primary):
        """Behind what the primary has written by now."""
        written = primary.query("postgres", "select pg_current_wal_lsn()")[0][0]
        return int(self.query("postgres", "select pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn())", (written,))[0][0])

    def catch_up(self, primary):
        eventually(lambda: self.lag_bytes(primary) <= 0, within=30, says="the replica's catching up")

    def pause(self):
        self.query("postgres", "select pg_wal_replay_pause()")
        eventually(lambda: self.query("postgres", "select pg_get_wal_replay_pause_state()") == [("paused",)], says="the replay's pause")

    def resume(self):
        self.query("postgres", "select pg_wal_replay_resume()")


def kill_hard(postgres):
    """kill -9 of the postmaster and of every process under it: nothing is said to anybody, as when the machine goes. All are gone when this
    returns: one that still held the shared memory would not let a server start again. The postmaster stands still before its children are looked
    for: it makes no other one then."""
    postgres.process.send_signal(signal.SIGSTOP)
    eventually(lambda: state_of(postgres.process.pid) == "T", within=20, says="the postmaster's standing still")
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(postgres.process.pid)], capture_output=True, text=True, check=False).stdout.split()
    postgres.process.kill()
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    postgres.process.wait(20)
    eventually(lambda: all(state_of(child) in "ZX" for child in children), within=20, says="the end of PostgreSQL's processes")


def state_of(pid):
    """One letter; X: there is none any more. A zombie holds nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def remove(postgres):
    if postgres.process is not None and postgres.process.poll() is None:
        postgres.kill()
    shutil.rmtree(postgres.folder, ignore_errors=True)


def is_down(postgres):
    try:
        postgres.connect("postgres").close()
    except psycopg2.OperationalError:
        return True
    return False
