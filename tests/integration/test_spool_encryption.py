"""Encryption of the spool: with a key nothing of an upload lies readable in the folder, and it loads right all the same, across restarts too."""
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import start_gateway
from gateway import BINARY, Gateway, assert_problem, configuration, merge, write_secret
from office import LOGIN_KEY, opened
from test_tus import SALES, SESSIONS, bearer, begun, offset_of, patch, rows, tus
from test_upgrade import Succession
from wait import eventually

KEY = "5e" * 32
NEEDLE = b"needle-of-the-haystack"
HEADER = b"id,day,note\n"


def lines(first, count):
    return b"".join(b"%d,2024-01-01,%s-%d\n" % (n, NEEDLE, n) for n in range(first, first + count))


def begin(folder, postgres, redis, office, key=KEY, variable=None):
    """`variable`: of the environment, instead of a file."""
    (folder / "spool").mkdir(mode=0o700, exist_ok=True)
    told = {"spool": str(folder / "spool"), "spool_size": "512MB"}
    if variable is not None:
        told["encryption_key_env"] = variable
    elif key is not None:
        told["encryption_key_file"] = write_secret(folder, "spool.key", key)
    one = start_gateway(folder, postgres, redis, office.database, {
        "server": {"max_body": "64MB"}, "customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}, "uploads": told})
    one.spool = folder / "spool"
    return one


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "sealed", ("tusanna", "tusbert")) as one:
        yield one


def raw(spool):
    """All bytes of the folder's files."""
    return b"".join(path.read_bytes() for path in spool.iterdir() if path.is_file())


def test_a_resumable_upload_lies_there_encrypted_and_survives_a_kill(postgres, redis, office, tmp_path):
    one = begin(tmp_path, postgres, redis, office)
    body = HEADER + lines(0, 9000)
    half = len(body) // 2
    path = begun(one, len(body), dataset="sealed_half", filename="telling-name.csv")
    assert patch(one, path, 0, body[:half]).status_code == 204
    seen = raw(one.spool)
    assert len(seen) > half
    for secret in (NEEDLE, HEADER.strip(), b"telling-name", b"sealed_half", b"dGVsbGluZy1uYW1l"):
        assert secret not in seen
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in one.spool.iterdir())
    one.kill()
    one = begin(tmp_path, postgres, redis, office)
    assert offset_of(one, path) == half
    assert patch(one, path, half, body[half:half + 100]).status_code == 204  # a record that is not full
    one.stop()
    one = begin(tmp_path, postgres, redis, office)
    done = patch(one, path, half + 100, body[half + 100:])
    assert done.status_code == 204 and json.loads(done.headers["Sluice-Upload"])["rows"] == 9000
    shown = rows(one, "sealed_half")
    assert shown[7] == {"id": 7, "day": "2024-01-01", "note": NEEDLE.decode() + "-7"}
    assert tus(one, "HEAD", path).headers["Sluice-Upload"] == done.headers["Sluice-Upload"]  # kept in ID.json, sealed too
    assert b"sealed_half" not in raw(one.spool)
    one.stop()


def test_a_key_from_the_environment_goes_along_with_an_upgrade(postgres, redis, office, tmp_path, monkeypatch):
    monkeypatch.setenv("OF_THE_SPOOL", KEY)
    one = begin(tmp_path, postgres, redis, office, variable="OF_THE_SPOOL")
    body = HEADER + lines(0, 3000)
    half = len(body) // 2
    path = begun(one, len(body), dataset="sealed_heir")
    assert patch(one, path, 0, body[:half]).status_code == 204
    assert NEEDLE not in raw(one.spool)
    Succession(one).successor()
    one.session.close()
    assert KEY.encode() not in Path(f"/proc/{one.process.pid}/environ").read_bytes()
    assert offset_of(one, path) == half
    assert patch(one, path, half, body[half:]).status_code == 204
    assert rows(one, "sealed_heir")[7]["note"] == NEEDLE.decode() + "-7"
    one.stop()
    # As a file, it is the same key.
    one = begin(tmp_path, postgres, redis, office)
    assert tus(one, "HEAD", path).status_code == 200
    one.stop()


def test_a_flipped_byte_loads_nothing(postgres, redis, office, tmp_path):
    one = begin(tmp_path, postgres, redis, office)
    body = HEADER + lines(0, 9000)
    path = begun(one, len(body), dataset="sealed_flip")
    assert patch(one, path, 0, body[:-10]).status_code == 204
    with open(one.spool / f"{Path(path).name}.part", "r+b") as part:
        part.seek(1000)
        byte = part.read(1)
        part.seek(1000)
        part.write(bytes([byte[0] ^ 1]))
    assert_problem(patch(one, path, len(body) - 10, body[-10:]), 500)
    assert_problem(one.get("/v1/datasets/uploads.sealed_flip", bearer=bearer("tusanna")), 404)
    eventually(lambda: "spool is damaged" in one.errors(), says="the reason, for the operator")  # a thread writes it
    one.stop()


def test_sessions_of_another_key_or_of_none_are_dropped_and_told_of(postgres, redis, office, tmp_path):
    for before, after, words in ((KEY, "6f" * 32, "not encrypted with uploads.encryption_key"), (None, KEY, "not encrypted with uploads.encryption_key"),
                                 (KEY, None, "no uploads.encryption_key is configured")):
        one = begin(tmp_path, postgres, redis, office, before)
        path = begun(one, len(SALES), dataset="sealed_other")
        assert patch(one, path, 0, SALES[:20]).status_code == 204
        assert (SALES[:20] in raw(one.spool)) == (before is None)
        one.stop()
        one = begin(tmp_path, postgres, redis, office, after)
        assert tus(one, "HEAD", path).status_code == 404
        assert list(one.spool.iterdir()) == []
        eventually(lambda: "1 upload sessions" in one.errors() and words in one.errors(), says="the line of the log")
        one.stop()


def spooled(pid):
    """What the nameless files of the process hold, while they are there."""
    seen = b""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if "/spool/" in os.readlink(fd):
                seen += fd.read_bytes()
        except OSError:
            continue
    return seen


def maps(pid):
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.long
@pytest.mark.parametrize("key", [KEY, None])
def test_a_body_that_spools_is_unreadable_on_the_disk_only_with_a_key(postgres, redis, office, tmp_path, key):
    one = begin(tmp_path, postgres, redis, office, key)
    body = HEADER + lines(0, 1200000 if key is None else 1000000)
    assert len(body) > 36 << 20
    answers, seen, mapped = [], b"", ""
    thread = threading.Thread(target=lambda: answers.append(one.get("/v1/uploads/sealed_big", method="PUT", data=body, bearer=bearer("tusanna"), headers={"Content-Type": "text/csv"}, timeout=170)))
    thread.start()
    while thread.is_alive():
        found = spooled(one.process.pid)
        seen = found if len(found) > len(seen) else seen
        mapped += maps(one.process.pid) if "h2o.b" not in mapped else ""
        thread.join(0.02)
    assert answers[0].status_code in (200, 201), answers[0].text
    assert len(seen) > 1 << 20, "the spool was never seen"
    assert (NEEDLE in seen) == (key is None)
    assert ("/tmp/h2o.b" in mapped) == (key is None)  # h2o's own file for what it has read of a large body
    assert answers[0].json()["rows"] == body.count(b"\n") - 1
    one.stop()


@pytest.mark.parametrize("content, mode, words", [("short", 0o600, "at least 32"), (KEY, 0o644, "chmod 600")])
def test_a_key_that_is_short_or_that_others_may_read_is_refused_by_check_and_start(postgres, redis, demo, tmp_path, content, mode, words):
    path = write_secret(tmp_path, "spool.key", content)
    Path(path).chmod(mode)
    one = Gateway(tmp_path, merge(configuration(tmp_path, postgres, demo, redis), {"uploads": {"encryption_key_file": path}}))
    for arguments in (["check", "--offline"], ["serve"]):
        done = subprocess.run([BINARY, *arguments, "--config", str(one.path)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and words in done.stderr and "encryption_key" in done.stderr, done.stderr[-500:]
        assert content not in done.stderr + done.stdout or content == "short"
