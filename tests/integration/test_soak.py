"""Half an hour of everything at once: memory, descriptors, threads and files stay what they were. SLUICE_SOAK_MINUTES says how long; SLUICE_SOAK_SERIES names a file for the samples."""
import json
import os
import signal
import statistics
import time
from pathlib import Path

import pytest
import yaml

from conftest import start_gateway
from gateway import BINARY, RELEASE_BINARY, command, merge, write_secret
from office import LOGIN_KEY, opened
from soak_load import TIERS, Load
from wait import eventually, free_port

MINUTES = float(os.environ.get("SLUICE_SOAK_MINUTES", "30"))
SERIES = os.environ.get("SLUICE_SOAK_SERIES")
WARM = 1 / 3  # of the time: caches, pools, allocator's arenas and the log's retention fill up
EVERY_S = 5
RELOAD_S = 60
HASTE = 3  # in the warm-up the load is so many times what it is afterwards: buffers and pools reach the size that they keep, which at the usual pace takes them twenty minutes
FLAT = 0.01
CUSTOMERS = ("soakanna", "soakbert")
KB = 1024
# Bounds that the warm-up reaches: of what is kept, and of connections, whose buffers grow to the largest result that each has brought.
OURS = {"server": {"workers": 2, "max_connections_per_address": 1000}, "database": {"scan": {"connections": 6}}, "customers": {"connections": 8, "each": 4},
        "cache": {"memory": "1MB", "answers": "1MB"},
        "uploads": {"sessions": {"lifetime": "1m", "each": 500}}, "limits": {"default_tier": "test", "tiers": TIERS},
        "audit": {"segment_size": "1MB", "segment_age": "15s", "keep_size": "1MB", "anchors": {"every": "5s"}}, "log": {"requests": "/dev/null"}}


def sample(one):
    """Bytes of memory, and counts. `anonymous` is what the process itself has taken: what it reads of libraries is not in it, for how much of that is there, and shared with whom,
    is other processes' doing; `pss` has both."""
    of = Path(f"/proc/{one.process.pid}")
    sizes = {line.split(":")[0]: int(line.split()[1]) * KB for line in (of / "smaps_rollup").read_text().splitlines()[1:]}
    return {"anonymous": sizes["Anonymous"], "pss": sizes["Pss"], "descriptors": len(os.listdir(of / "fd")), "threads": len(os.listdir(of / "task")),
            "spool": len(os.listdir(one.config["uploads"]["spool"])), "audit": len(os.listdir(one.config["audit"]["folder"]))}


class Soak:
    def __init__(self, one, postgres, redis):
        self.one, self.postgres, self.redis = one, postgres, redis
        self.begun, self.samples, self.reloads = time.monotonic(), [], 0
        self.due = {"redis": 0.1, "postgres": 0.15, "postgres again": 0.2}  # parts of the whole, within the warm-up
        self.text = [one.path.read_text()]
        changed = merge(one.config, {"auth": {"leeway": "31s"}, "warehouse": {"catalog_check": "450ms"}, "limits": {"tiers": {"test": {"rates": [{"rate": "90000/s", "burst": 100000}]}}}})
        self.text.append(yaml.safe_dump(changed, sort_keys=False))

    def passed(self):
        return (time.monotonic() - self.begun) / (MINUTES * 60)

    def reload(self):
        self.reloads += 1
        self.one.path.write_text(self.text[self.reloads % 2])
        self.one.process.send_signal(signal.SIGHUP)

    def disturb(self):
        for what in [what for what, at in self.due.items() if self.passed() > at]:
            del self.due[what]
            server = self.redis if what == "redis" else self.postgres
            server.kill()
            server.start()
            eventually(self.one.is_ready, within=30, says=f"readiness after the loss of {what}")

    def run(self, load):
        reload_at = self.begun + RELOAD_S / 2
        while self.passed() < 1:
            load.pace = HASTE if self.passed() < WARM else 1
            self.disturb()
            if time.monotonic() > reload_at:
                reload_at += RELOAD_S
                self.reload()
            self.samples.append({"at": round(time.monotonic() - self.begun, 1), "calls": sum(load.counted().values()), **sample(self.one)})
            if SERIES:
                Path(SERIES).write_text("\n".join(map(json.dumps, self.samples)) + "\n")
            time.sleep(EVERY_S)  # between two samples

    def parts(self, name):
        """Medians of the third-to-last and of the last sixth: a peak of one moment is in neither, while what a leak adds in ten of thirty minutes is between the two."""
        sixth = len(self.samples) // 6
        values = [each[name] for each in self.samples]
        return statistics.median(values[-3 * sixth:-2 * sixth]), statistics.median(values[-sixth:])

    def shown(self):
        step = max(1, len(self.samples) // 60)
        return "\n".join(json.dumps(each) for each in self.samples[::step])


@pytest.fixture
def office(own_postgres, tmp_path_factory):
    with opened(own_postgres, tmp_path_factory, "soak", CUSTOMERS) as one:
        yield one


@pytest.fixture
def one(own_postgres, own_redis, office, tmp_path):
    """On the binary that people run: a sanitizer keeps what is freed."""
    changes = merge(OURS, {"server": {"ingest": {"listen": f"127.0.0.1:{free_port()}"}}, "customers": {"login_key_file": write_secret(tmp_path, "login.key", LOGIN_KEY)}})
    changes["audit"]["anchors"]["file"] = str(tmp_path / "anchors")
    gateway = start_gateway(tmp_path, own_postgres, own_redis, office.database, changes, binary=RELEASE_BINARY or BINARY)
    yield gateway
    gateway.stop()


@pytest.mark.long
@pytest.mark.timeout(MINUTES * 60 + 600)
def test_half_an_hour_of_everything_leaves_memory_as_it_was(one, own_postgres, own_redis):
    regions = [region["region_id"] for region in one.json("/v1/regions?limit=40")]
    soak = Soak(one, own_postgres, own_redis)
    with Load(one, CUSTOMERS, regions) as load:
        soak.run(load)
    outcomes = load.counted()
    print("\n" + json.dumps({f"{actor} {status}": count for (actor, status), count in sorted(outcomes.items())}))
    print(json.dumps({name: soak.parts(name) for name in soak.samples[0]}))
    for name, most in (("anonymous", FLAT), ("descriptors", 0.1), ("threads", 0.1), ("spool", 0.5), ("audit", 0.5)):
        before, after = soak.parts(name)
        assert after <= before * (1 + most) + (2 if name != "anonymous" else 0), f"{name}: {before} became {after}\n{soak.shown()}"
    metrics = one.metrics()
    assert metrics['sluice_reloads_total{outcome="done"}'] >= soak.reloads - 1 and metrics['sluice_reloads_total{outcome="refused"}'] == 0
    assert not [key for key in outcomes if key[1] == 500], outcomes
    assert all(any(0 < status < 300 for actor, status in outcomes if actor == who) for who in {actor for actor, _ in outcomes} - {"denied"}), outcomes
    done = command("audit", "verify", "--config", one.path, binary=one.binary)
    assert done.returncode == 0 and " 0 bad places" in done.stdout, done.stdout + done.stderr
