"""Secrets come from files or the environment, and are seen nowhere after that; what is encrypted on its way is checked."""
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import TEMPLATE, start_gateway
from gateway import BINARY, Gateway, configuration, merge
from servers import READER_PASSWORD, REDIS_BIN, REDIS_PASSWORD
from wait import eventually, free_port

MARKS = ("reader-password-of-the-tests", "redis-password-of-the-tests", "c" * 64)


@pytest.fixture
def from_environment(postgres, redis, demo, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_READER", READER_PASSWORD)
    monkeypatch.setenv("TEST_REDIS", REDIS_PASSWORD)
    monkeypatch.setenv("TEST_CURSOR", "c" * 64)
    config = merge(configuration(tmp_path, postgres, demo, redis), {})
    for section, key, variable in (("database", "password", "TEST_READER"), ("redis", "password", "TEST_REDIS"), ("paging", "cursor_key", "TEST_CURSOR")):
        del config[section][f"{key}_file"]
        config[section][f"{key}_env"] = variable
    one = Gateway(tmp_path, config).start()
    yield one
    one.stop()


def test_nothing_secret_stands_in_arguments_environment_log_or_metrics(from_environment):
    one, proc = from_environment, Path(f"/proc/{from_environment.process.pid}")
    assert one.get("/v1/regions/AR").status_code == 200
    seen = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes() + one.stderr.read_bytes() + one.stdout.read_bytes()
    seen += one.session.get(one.admin + "/metrics").content + one.session.get(one.admin + "/readyz").content
    for mark in (*MARKS, one.token):
        assert mark.encode() not in seen, f"{mark[:12]}… is seen"


def limit_of_core(pid):
    line = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core file size"))
    return line.split()[4]


@pytest.mark.parametrize("allowed", [False, True])
def test_there_are_core_dumps_only_where_they_are_asked_for(gateway, allowed):
    one = gateway({"server": {"core_dumps": allowed}})
    assert (limit_of_core(one.process.pid) == "0") == (not allowed or limit_of_core(os.getpid()) == "0")


def test_dumps_are_off_for_another_user_too(postgres, redis, demo, tmp_path):
    """Run as nobody, its /proc belongs to root: neither a debugger nor a core file of the same user sees its memory."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    folder = Path(tempfile.mkdtemp(prefix="sluice-nobody-", dir="/var/tmp"))
    try:
        config = configuration(folder, postgres, demo, redis)
        one = Gateway(folder, config)
        binary = folder / "sluice"
        shutil.copy(BINARY, binary)
        subprocess.run(["chown", "-R", "65534:65534", str(folder)], check=True)
        with open(one.stdout, "ab") as out, open(one.stderr, "ab") as err:
            one.process = subprocess.Popen([str(binary), "serve", "--config", str(one.path)], stdout=out, stderr=err, user=65534, group=65534, extra_groups=[])
        eventually(one.is_ready, within=30, says="readiness as nobody")
        assert os.stat(f"/proc/{one.process.pid}/mem").st_uid == 0
        one.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("what", ["reader.password", "redis.password", "cursor.key", "token.key"])
def test_a_secret_that_others_may_read_stops_the_start(postgres, redis, demo, tmp_path, what):
    config = configuration(tmp_path, postgres, demo, redis)
    (tmp_path / what).chmod(0o644)
    one = Gateway(tmp_path, config)
    done = subprocess.run([one.binary, "serve", "--config", str(one.path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and what in done.stderr and "chmod 600" in done.stderr, done.stderr[-500:]


def certificate(folder, name, authority=None, subject="/CN=localhost", extensions="subjectAltName=DNS:localhost"):
    """A key and a certificate, of itself or of an authority."""
    key, request, signed = folder / f"{name}.key", folder / f"{name}.csr", folder / f"{name}.crt"
    run = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)  # noqa: E731
    if authority is None:
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", subject, "-keyout", key, "-out", signed)
        return key, signed
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", key, "-out", request)
    (folder / "ext").write_text(extensions)
    run("x509", "-req", "-in", request, "-CA", authority[1], "-CAkey", authority[0], "-CAcreateserial", "-days", "2", "-extfile", folder / "ext", "-out", signed)
    return key, signed


def test_a_tls_key_that_others_may_read_stops_the_start(postgres, redis, demo, tmp_path):
    key, signed = certificate(tmp_path, "site")
    key.chmod(0o640)
    one = Gateway(tmp_path, merge(configuration(tmp_path, postgres, demo, redis), {"server": {"tls": {"certificate": str(signed), "key": str(key)}}}))
    done = subprocess.run([one.binary, "serve", "--config", str(one.path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "site.key" in done.stderr and "chmod 600" in done.stderr, done.stderr[-500:]


@pytest.fixture
def encrypted(own_postgres, tmp_path):
    """A PostgreSQL whose certificate is for localhost, of an authority of our own; the two authorities' files."""
    authority = certificate(tmp_path, "ca", subject="/CN=the tests' authority")
    other = certificate(tmp_path, "other", subject="/CN=another authority")
    key, signed = certificate(tmp_path, "server", authority)
    for name, source in (("server.key", key), ("server.crt", signed)):
        shutil.copy(source, own_postgres.data / name)
        shutil.chown(own_postgres.data / name, *(("postgres", "postgres") if os.geteuid() == 0 else (os.geteuid(), None)))
        (own_postgres.data / name).chmod(0o600)
    own_postgres.query("postgres", "alter system set ssl = on")
    own_postgres.query("postgres", "select pg_reload_conf()")
    eventually(lambda: own_postgres.query("postgres", "show ssl") == [("on",)], says="PostgreSQL's TLS")
    return own_postgres, authority[1], other[1]


def test_the_database_is_who_its_certificate_says(encrypted, tmp_path):
    server, authority, other = encrypted
    def starts(good=True, **database):
        one = start_gateway(tmp_path, server, None, TEMPLATE, {"database": {"tls": "verify-full", "ca_file": str(authority), **database}}, ready=False)
        try:
            # A good one may say that the database is away too, when an attempt took too long.
            eventually(one.is_ready if good else lambda: one.is_ready() or "database_away" in one.errors(), within=30, says="readiness or a refusal")
            ready = good or one.is_ready()
            if good:
                assert one.json("/v1/regions/AR")["region_id"] == "AR"
                clear = server.query("postgres", "select count(*) from pg_stat_ssl s join pg_stat_activity a using (pid) where a.usename = 'sluice_reader' and not s.ssl")
                assert clear == [(0,)], "a connection without TLS"
            return ready
        finally:
            one.stop()

    assert starts(host="localhost")
    assert starts(host=[f"localhost:{free_port()}", f"localhost:{server.port}"]), "the name of each host counts"
    assert not starts(False, host="127.0.0.1"), "the certificate is for another name"
    assert not starts(False, host="localhost", ca_file=str(other)), "another authority"


def redis_on_a_socket(folder):
    path = folder / "redis.sock"
    process = subprocess.Popen([REDIS_BIN, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--requirepass", REDIS_PASSWORD, "--save", "", "--dir", str(folder)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(path.exists, within=20, says="Redis's socket")
    return process, path


def test_redis_over_a_unix_socket(postgres, redis, demo, tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="sluice-rs-"))
    process, path = redis_on_a_socket(folder)
    try:
        one = start_gateway(tmp_path, postgres, redis, demo, {"redis": {"address": f"unix:{path}"}})
        eventually(lambda: one.session.get(one.admin + "/readyz").json()["redis"] == "up", within=20, says="Redis over its socket")
        assert one.get("/v1/regions/AR").status_code == 200
        process.kill()
        process.wait(10)
        path.unlink()
        eventually(lambda: one.session.get(one.admin + "/readyz").json()["redis"] == "down", within=20, says="Redis's loss")
        process, _ = redis_on_a_socket(folder)
        eventually(lambda: one.session.get(one.admin + "/readyz").json()["redis"] == "up", within=20, says="Redis's return")
        one.stop()
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(shutil.which("stunnel4") is None, reason="stunnel4 is not installed (./dev test installs it)")
def test_redis_over_tls_through_the_documented_stunnel(postgres, redis, demo, tmp_path):
    """The recipe in README.md: stunnel beside the gateway, on a unix socket, to Redis's TLS port; here another stunnel stands for that."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-st-"))
    authority = certificate(folder, "ca", subject="/CN=the tests' authority")
    key, signed = certificate(folder, "redis", authority)
    tls = free_port()
    (folder / "server.conf").write_text(f"foreground = yes\npid =\n[redis]\naccept = 127.0.0.1:{tls}\nconnect = 127.0.0.1:{redis.port}\ncert = {signed}\nkey = {key}\n")
    (folder / "client.conf").write_text(f"foreground = yes\npid =\n[redis]\nclient = yes\naccept = {folder}/redis.sock\nconnect = 127.0.0.1:{tls}\n"
                                        f"CAfile = {authority[1]}\nverifyChain = yes\ncheckHost = localhost\n")
    processes = [subprocess.Popen(["stunnel4", str(folder / name)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in ("server.conf", "client.conf")]
    try:
        eventually((folder / "redis.sock").exists, within=20, says="stunnel's socket")
        eventually(lambda: socket.create_connection(("127.0.0.1", tls), 1).close() is None, within=20, says="stunnel's TLS port")
        one = start_gateway(tmp_path, postgres, redis, demo, {"redis": {"address": f"unix:{folder}/redis.sock"}})
        eventually(lambda: one.session.get(one.admin + "/readyz").json()["redis"] == "up", within=30, says="Redis through stunnel")
        one.stop()
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
