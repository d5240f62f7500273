"""Each dependency, slow, refused, reset, silent, garbled and full: the promised answer each time, all well within seconds of the end, and no descriptor and no memory left behind."""
import itertools
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
import requests

from conftest import start_gateway
from fault_proxy import FaultProxy
from gateway import BINARY, RELEASE_BINARY, SANITIZE, SECRET, SLOWNESS, assert_problem, issuer, token, write_secret
from office import LOGIN_KEY, opened
from test_tokens import KeyServer, pem, rs, rsa_jwk, rsa_key
from wait import eventually

WHO, FETCHED = "faulty", "https://fetched.test"
SCOPES = "regions:read datasets:read uploads:write"
BEARER = token(customer=WHO, scope=SCOPES)
CACHED = "/v1/regions/AR/summary?window=7d"
TURNS = itertools.count(1)
LIMIT = 12 * SLOWNESS  # seconds: within which each answer comes, whatever is wrong
WITHIN = 5 * SLOWNESS  # seconds, from a fault's end to the first good answer


class Scenario(NamedTuple):
    dependency: str
    fault: str
    probe: str
    promised: dict  # status: the problem's kind; None: no problem


FINE = {200: None}
AWAY = {503: "unavailable"}
LATE = {200: None, 503: "unavailable", 504: "timeout"}  # whichever time ends first
SILENT = {503: "unavailable", 504: "timeout"}
LANES = [Scenario("postgres", fault, lane, promised) for lane in ("fast", "scan", "customer")
         for fault, promised in (("slow", LATE), ("refused", AWAY), ("reset", AWAY), ("silent", SILENT), ("garbage", AWAY), ("full", AWAY))]
REDIS = [Scenario("redis", fault, "fast", FINE) for fault in ("slow", "refused", "reset", "silent", "garbage", "full")]
KEYS = [Scenario("keys", fault, probe, promised) for fault in ("slow", "refused", "reset", "silent", "garbage")
        for probe, promised in (("known key", FINE), ("unknown key", {401: "invalid-token"}))]
DISKS = [Scenario("spool", "full", "upload", {413: "body-too-large"}), Scenario("request log", "full", "fast", FINE), Scenario("audit", "full", "fast", {503: "unrecorded"})]
TABLE = [*LANES, *REDIS, *KEYS]


class Place:
    """A gateway all of whose dependencies are behind proxies."""

    def __init__(self, folder, postgres, redis, office, binary, changes=None):
        self.postgres, self.redis, self.database = postgres, redis, office.database
        self.key_server = KeyServer(rsa_jwk("old"))
        self.proxies = {"postgres": FaultProxy(postgres.port), "redis": FaultProxy(redis.port), "keys": FaultProxy(self.key_server.http.server_address[1])}
        url = f"http://127.0.0.1:{self.proxies['keys'].port}/jwks.json"
        # Nobody waits in a queue longer than for the end of a silent statement before him (its time and 2 s): that would be another 503, "overloaded".
        timeouts = {"fast": {"statement_timeout": "2s"}, "scan": {"statement_timeout": "2s", "queue_timeout": "15s"}, "connect_timeout": "1s", "port": self.proxies["postgres"].port}
        self.gateway = start_gateway(folder, postgres, redis, office.database, {
            "database": timeouts, "redis": {"address": f"127.0.0.1:{self.proxies['redis'].port}"}, "cache": {"answers": "0"},
            "auth": {"issuers": [issuer(keys=[{"kid": "test-1", "algorithm": "HS256", "file": write_secret(folder, "token.key", SECRET)}]), issuer(issuer=FETCHED, jwks_url=url, refresh="10m", cooldown="1s", timeout="2s")]},
            "customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY), "statement_timeout": "2s", "queue_timeout": "15s"}, **(changes or {})}, binary=binary)
        assert self.gateway.get("/v1/uploads/tiny", method="PUT", bearer=BEARER, data=b"id\n1\n2\n", headers={"Content-Type": "text/csv"}).status_code in (200, 201)
        eventually(lambda: self.fresh(lambda session: self.gateway.get(CACHED, session=session)), within=WITHIN, says="a cached answer in both workers")
        eventually(lambda: self.probe("known key").status_code == 200, within=WITHIN, says="the known key")
        eventually(self.gateway.is_ready, within=WITHIN, says="readiness")
        self.first_descriptors = self.settled_descriptors()

    @staticmethod
    def fresh(ask):
        """Whether all is well on so many connections of their own that each worker has one of them."""
        for _ in range(8):
            with requests.Session() as session:
                session.trust_env = False
                if ask(session).status_code != 200:
                    return False
        return True

    def probe(self, name, session=None):
        turn = next(TURNS)
        path, bearer = {"fast": (f"/v1/regions/MO-south-2/summary?window={turn % 3000 + 1}d", None), "scan": ("/v1/regions/KE/weather", None),
                        "customer": (f"/v1/datasets/uploads.tiny?select=id&limit={turn % 900 + 1}", BEARER), "known key": ("/v1/regions/AR", rs("old", iss=FETCHED)),
                        "unknown key": ("/v1/regions/AR", token(pem(rsa_key("old")), "RS256", f"other-{turn}", iss=FETCHED))}[name]
        return self.gateway.get(path, bearer=bearer, session=session, timeout=LIMIT)

    def begin(self, scenario):
        if scenario.fault != "full":
            self.proxies[scenario.dependency].set(scenario.fault)
        elif scenario.dependency == "redis":
            self.redis.client().config_set("maxmemory", "1")
        else:
            self.limit_connections(0)

    def end(self, scenario):
        if scenario.fault != "full":
            self.proxies[scenario.dependency].set("pass")
        elif scenario.dependency == "redis":
            self.redis.client().config_set("maxmemory", "0")
        else:
            self.limit_connections(-1)

    def limit_connections(self, most):
        """What comes past it is told that there are too many, and what is open goes; so does what was logging in just then. Without a limit some come back meanwhile."""
        self.postgres.query(self.database, f'alter database "{self.database}" connection limit {most}')
        end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and usename <> 'postgres'"
        eventually(lambda: not self.postgres.query(self.database, end) or most != 0, within=WITHIN, says="the end of the connections")

    def descriptors(self):
        """Those that are open, but for the lanes' connections: which of these are open says how busy a lane was lately."""
        lanes = sum(count for name, count in self.gateway.metrics().items() if name.startswith("sluice_lane_connections_open"))
        return len(os.listdir(f"/proc/{self.gateway.process.pid}/fd")) - 2 * int(lanes)  # libpq's, and the loop's copy of it

    def settled_descriptors(self):
        """Two readings in a row are the same: the workers tell their numbers twice a second, and a reading may be between what happens and what is told."""
        seen = []
        eventually(lambda: seen.append(self.descriptors()) or seen[-2:] == seen[-1:] * 2, within=WITHIN, every=0.7, says="descriptors that stay")
        return seen[-1]

    def run(self, scenario, first=1):
        """One fault from its begin to the recovery; the answers meanwhile: to `first` requests, and then to two more that come together."""
        self.begin(scenario)
        try:
            with ThreadPoolExecutor(2) as pool:
                answers = [answer for together in (first, 2) for answer in pool.map(self.probe, [scenario.probe] * together)]
            if scenario.probe != "unknown key":
                assert self.gateway.get(CACHED).status_code == 200, "a cached answer was refused"
        finally:
            self.end(scenario)
        ended = time.monotonic()
        good = 401 if scenario.probe == "unknown key" else 200
        eventually(lambda: self.probe(scenario.probe).status_code == good, within=WITHIN, says="recovery")
        if scenario.dependency == "postgres":  # each worker tries again at its own times, and the next scenario may want both
            eventually(lambda: self.fresh(lambda session: self.probe("fast", session)), within=WITHIN, says="recovery of both workers")
        eventually(self.gateway.is_ready, within=max(3.0, WITHIN - (time.monotonic() - ended)), says="readiness")
        return answers

    def stop(self):
        try:
            self.gateway.stop()
        finally:
            for proxy in self.proxies.values():
                proxy.close()
            self.key_server.close()


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "faults", (WHO,)) as one:
        yield one


@pytest.fixture(scope="module")
def place(postgres, redis, office, tmp_path_factory):
    one = Place(tmp_path_factory.mktemp("faults"), postgres, redis, office, BINARY)
    yield one
    one.stop()


def judge(scenario, answer):
    kinds = scenario.promised
    assert answer.status_code in kinds, f"{answer.status_code}: {answer.text[:400]}"
    if kinds[answer.status_code] is not None:
        problem = assert_problem(answer, answer.status_code, kinds[answer.status_code])
        assert answer.status_code != 503 or int(answer.headers["Retry-After"]) >= 1, problem


@pytest.mark.timeout(240)
@pytest.mark.parametrize("scenario", TABLE, ids=[f"{one.dependency} {one.fault}: {one.probe}" for one in TABLE])
def test_a_fault_has_the_promised_answer_and_leaves_nothing(place, scenario):
    for answer in place.run(scenario):
        judge(scenario, answer)
    place.run(scenario, first=0)
    # Of all faults until now together: what a single one left would add up.
    most = place.first_descriptors + 6  # connections of clients, of the audit's keeper, to Redis and for keys come and go
    eventually(lambda: place.descriptors() <= most, within=WITHIN, says=f"no more descriptors than {most}")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not RELEASE_BINARY and SANITIZE, reason="sizes are measured on SLUICE_RELEASE_BINARY")
def test_all_faults_over_and_over_leave_memory_flat(postgres, redis, office, tmp_path):
    one = Place(tmp_path, postgres, redis, office, RELEASE_BINARY or BINARY)
    sizes, descriptors = [], []
    try:
        for _ in range(4):
            for scenario in TABLE:
                if scenario.fault != "silent":  # whose waits are long
                    one.run(scenario)
            sizes.append(one.gateway.memory())
            descriptors.append(one.settled_descriptors())
        print(f"resident after each round: {[size >> 10 for size in sizes]} KB; descriptors {descriptors}")
        assert sizes[-1] < sizes[1] * 1.05 + (1 << 20), sizes
        assert descriptors[-1] <= descriptors[0] + 6
    finally:
        one.stop()


def limit_files(one, size):
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("scenario", DISKS, ids=[one.dependency for one in DISKS])
def test_a_full_disk_has_the_promised_answer(postgres, redis, office, tmp_path, scenario):
    log = "/dev/full" if scenario.dependency == "request log" else "off"
    one = start_gateway(tmp_path, postgres, redis, office.database, {"server": {"workers": 1}, "log": {"requests": log, "level": "error"}, "customers": {"login_key_file": write_secret(tmp_path, "login.key", LOGIN_KEY)},
                                                                     **({"audit": {"folder": None}} if scenario.dependency == "spool" else {})})
    body = b"id,name\n" + b"".join(b"%d,a name that takes some room\n" % number for number in range(40_000))
    upload = lambda: one.get("/v1/uploads/tiny", method="PUT", bearer=BEARER, data=body, headers={"Content-Type": "text/csv"})
    ask = upload if scenario.dependency == "spool" else lambda: one.get("/v1/regions/AR")
    try:
        assert ask().status_code in (200, 201)
        files = len(os.listdir(f"/proc/{one.process.pid}/fd"))
        if scenario.dependency == "audit":
            limit_files(one, max(path.stat().st_size for path in (tmp_path / "audit-default").glob("*.jsonl")))
            eventually(lambda: ask().status_code == 503, within=WITHIN, says="a refusal")
        elif scenario.dependency == "spool":
            limit_files(one, 100_000)
        for _ in range(3):
            judge(scenario, ask())
        if scenario.dependency == "request log":
            eventually(lambda: one.metrics()["sluice_request_lines_dropped_total"] >= 3, says="lines that are counted")
        limit_files(one, resource.RLIM_INFINITY)
        eventually(lambda: ask().status_code in (200, 201), within=WITHIN, says="recovery")
        eventually(lambda: len(os.listdir(f"/proc/{one.process.pid}/fd")) <= files + 4, says="descriptors as before")
    finally:
        one.stop()
