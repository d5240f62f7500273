"""`sluice audit verify` and `sluice audit grep` over a log written here, with the chain's rule written down a second time."""
import hashlib
import hmac
import json
import os
import subprocess

import pytest

SECRET = b"a key of the tests, of more than 32 bytes"
CHAIN = "gw1-20261121T170312-1f3a-w0"


def lines(events, secret=SECRET):
    """The chain's lines and its last hash."""
    mac, out = bytes(16), []
    for seq, (event, fields) in enumerate(events, 1):
        words = {"seq": seq, "time": f"2026-11-21T17:00:{seq:02}.000000Z", "event": event, **fields}
        body = json.dumps(words, separators=(",", ":"))[:-1].encode()
        mac = hmac.new(secret, mac + body, hashlib.sha256).digest()[:16]
        out.append(body + b',"mac":"' + mac.hex().encode() + b'"}\n')
    return out, mac.hex()


@pytest.fixture()
def log(tmp_path):
    folder = tmp_path / "audit"
    folder.mkdir(mode=0o700)
    key = tmp_path / "key"
    key.write_bytes(SECRET)
    key.chmod(0o600)
    written, mac = lines([("begin", {"chain": CHAIN}),
                          ("request", {"request_id": "a", "customer": "acme", "status": 200}),
                          ("request", {"request_id": "b", "customer": "acme", "subject": "00ff", "status": 403}),
                          ("end", {"segment": 1})])
    (folder / f"{CHAIN}-000001.jsonl").write_bytes(b"".join(written))
    return folder, key, written, mac


def run(action, log, *options):
    binary = os.environ.get("SLUICE_BINARY", "build/sluice")
    done = subprocess.run([binary, "audit", action, "--folder", log[0], "--key", log[1], *options],
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_a_good_log_is_verified_and_a_changed_one_is_named(log):
    status, out, err = run("verify", log)
    assert (status, err) == (0, "") and "4 records" in out and "0 bad places" in out
    path = log[0] / f"{CHAIN}-000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"403", b"200"))
    status, out, _ = run("verify", log)
    assert status == 1 and f"{CHAIN}-000001.jsonl: record 3 (byte " in out


def test_anchors_of_a_file_find_a_chain_that_is_gone(log, tmp_path):
    anchors = tmp_path / "anchors"
    anchors.write_text(f"{CHAIN} 4 {log[3]} 2026-11-21T17:00:05Z\n")
    assert run("verify", log, "--anchors", anchors)[0] == 0
    (log[0] / f"{CHAIN}-000001.jsonl").unlink()
    status, out, _ = run("verify", log, "--anchors", anchors)
    assert status == 1 and "this chain is not there" in out
    anchors.write_text("nonsense\n")
    status, _, err = run("verify", log, "--anchors", anchors)
    assert status == 2 and "line 1" in err


def test_what_cannot_be_read_is_no_finding(log, tmp_path):
    assert run("verify", (tmp_path / "nowhere", log[1]))[0] == 2
    log[1].write_bytes(b"short")
    status, _, err = run("verify", log)
    assert status == 2 and "5 bytes" in err


def test_records_are_searched(log):
    assert run("grep", log, "--status", "4xx") == (0, log[2][2].decode(), "")
    assert run("grep", log, "--customer", "acme", "--limit", "1") == (0, log[2][1].decode(), "")
    assert run("grep", log, "--pseudonym", "00ff") == (0, log[2][2].decode(), "")
    assert run("grep", log, "--from", "2026-11-21T17:00:02Z", "--to", "2026-11-21T17:00:03Z") == (0, log[2][1].decode(), "")
    assert run("grep", log, "--event", "request", "--to", "2026-11-21") == (1, "", "")


@pytest.mark.parametrize("options", [("--status", "6x"), ("--from", "monday"), ("--limit", "0"), ("--subject", "x"), ("--x",)])
def test_wrong_usage_is_told(log, options):
    status, out, err = run("grep", log, *options)
    assert status == 2 and out == "" and "sluice audit" in err


