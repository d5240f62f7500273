"""Case 1 and case 3 beside their bars, in one run: h2o for what is cached, PostgreSQL itself for what is not.

    ./dev bench summary [--seconds N] [--rounds N] [--connections N,N] [--no-redis] [--fast-connections N] [--profile] [--show-sql]

Per round, and for each number of connections, one after the other: a bare h2o server answering as many bytes as the summary has |
the cached summary, without and with a request log to a file | the uncached summary, where each request asks what nobody asked
before | pgbench of the same SQL | a year of days | pgbench of its SQL. The table shows medians over the rounds. Nothing is refused for
being slow: the exit code is 0 whenever the figures could be taken.
"""
import argparse
import os
import resource
import socket
import statistics
import sys
import time

from _load import PROBES, by_region, get, print_profile, record, start_hello, verdict, write_lua, wrk
from _servers import Failure, World, program

CACHED = "/v1/regions/KE-plain-1/summary?window=30d"
IDLE_CONNECTIONS = 1000
TARGETS = {"cached": ("hello", 0.75), "uncached": ("pgbench summary", 0.90), "series": ("pgbench series", 0.85)}
MEMORY_TARGETS = {"after start": 20, f"with {IDLE_CONNECTIONS} idle connections": 30}  # MB
TITLES = {"hello": "bare h2o, same bytes", "cached": "summary, cached", "cached, logged": "summary, cached, request log to a file",
          "uncached": "summary, uncached", "pgbench summary": "  pgbench, its SQL", "series": "365 days of weather",
          "pgbench series": "  pgbench, its SQL"}


def options_of():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement, after its warm-up")
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,8,32")
    parser.add_argument("--no-redis", action="store_true", help="cache in the process only, which spares each miss two Redis commands")
    parser.add_argument("--fast-connections", type=int, default=2, help="database.fast.connections of the gateway")
    parser.add_argument("--profile", action="store_true", help="also say where the gateway's time goes (perf)")
    parser.add_argument("--show-sql", action="store_true", help="print what pgbench runs")
    options = parser.parse_args()
    options.connections = [int(word) for word in options.connections.split(",")]
    return options


class Bench:
    def __init__(self, world, options):
        self.world, self.options = world, options
        self.started = 0  # requests sent so far: each script goes on where the one before it ended
        self.notes = []
        self.results = {}  # (what, connections) → a Result a round
        common = {"redis": not options.no_redis, "fast_connections": options.fast_connections}
        probe = {**common, "redis": False}  # so that no answer is in Redis
        self.pgbench = {}
        for kind in ("summary", "series"):
            statement = record(world, f"probe-{kind}", lambda gateway, path: get(gateway, path, gateway.token()), *PROBES[kind], **probe)
            self.pgbench[kind] = by_region(world, kind, statement)
            if options.show_sql:
                print(f"{kind}: {statement.sql}\nparameters: {statement.values}\nsettings: {statement.settings}\n")
        self.gateway = world.gateway("bench", **common)
        self.logged = world.gateway("logged", requests=world.folder / "requests.log", **common)
        self.token = self.gateway.token()
        self.scripts = {kind: write_lua(world.folder, kind) for kind in ("summary", "series")}
        for gateway in (self.gateway, self.logged):
            get(gateway, CACHED, self.token)
        headers, body = get(self.gateway, CACHED, self.token)
        if "cache=memory" not in headers.get("Sluice-Plan", ""):
            self.notes.append(f"NOT CACHED: a repeated summary says Sluice-Plan: {headers.get('Sluice-Plan')}")
        self.bytes = len(body)
        self.series_bytes = len(get(self.gateway, "/v1/regions/KE-plain-1/weather?from=2017-03-05&to=2018-03-04", self.token)[1])
        self.hello = start_hello(world, self.bytes)

    @staticmethod
    def queries(gateway):
        time.sleep(0.6)  # the workers publish their counters twice a second
        return gateway.metric("sluice_lane_queries_total")

    def http(self, gateway, path, connections, kind=None):
        """One measurement, and whether each request of `kind` went to the database, as the gateway's own counters have it."""
        url = f"http://127.0.0.1:{gateway.port}{path}"
        script = self.scripts.get(kind)
        for seconds in (self.options.warm_up, self.options.seconds):
            before = self.queries(gateway)
            result = wrk(url, connections, seconds, self.token, script, self.started)
            # wrk counts answers; a request per connection may be on its way at the end.
            self.started += result.requests + connections if kind else 0
        queries = self.queries(gateway) - before
        if kind and queries < result.requests * 0.999:
            self.notes.append(f"NOT ALL MISSES: {queries:,.0f} queries for {result.requests:,} requests ({kind}, {connections} connections)")
        if not kind and queries > 0.001 * result.requests + 100:
            self.notes.append(f"NOT ALL HITS: {queries:,.0f} queries for {result.requests:,} cached requests")
        return result

    def measure(self, what, connections):
        if what == "hello":
            url = f"http://127.0.0.1:{self.hello}{CACHED}"
            wrk(url, connections, self.options.warm_up, self.token)
            return wrk(url, connections, self.options.seconds, self.token)
        if what.startswith("pgbench"):
            return self.pgbench[what.split()[1]].measure(connections, self.options.seconds, self.options.warm_up)
        if what == "cached":
            return self.http(self.gateway, CACHED, connections)
        if what == "cached, logged":
            return self.http(self.logged, CACHED, connections)
        return self.http(self.gateway, "/", connections, "summary" if what == "uncached" else "series")

    def rounds(self):
        for number in range(self.options.rounds):
            for connections in self.options.connections:
                for what in TITLES:
                    result = self.measure(what, connections)
                    self.results.setdefault((what, connections), []).append(result)
                    print(f"round {number + 1}: {what}, {connections} connections: {result.rate:,.0f}/s", file=sys.stderr)
                    if result.refused:
                        self.notes.append(f"{result.refused:,} of {what}, {connections} connections, were refused or broken")

    def rate(self, what, connections):
        return statistics.median(result.rate for result in self.results[what, connections])

    def best(self, what):
        return max(self.rate(what, connections) for connections in self.options.connections)

    def report(self):
        options = self.options
        print(f"\nMedian of {options.rounds} round(s) of {options.seconds} s after {options.warm_up} s; keep-alive, wrk -t1, pgbench -j1 -M prepared.")
        print(f"{len(os.sched_getaffinity(0))} cores for all: one worker thread of the gateway (or h2o, or pgbench) and one thread of wrk, PostgreSQL and Redis. Nothing")
        print("is pinned. Where PostgreSQL works, the gateway's rows have to feed wrk and to make JSON as well, pgbench's have not.")
        print(f"The summary has {self.bytes:,} bytes, the series {self.series_bytes:,}. Redis: {'off' if options.no_redis else 'on'}. "
              f"database.fast.connections: {options.fast_connections}. PostgreSQL: fsync and autovacuum off.\n")
        print(f"{'':<40}{'connections':>11}{'requests/s':>13}{'median µs':>11}{'p99 µs':>9}{'of its peer':>13}")
        for what, title in TITLES.items():
            for connections in options.connections:
                results = self.results[what, connections]
                median_us, p99_us = (statistics.median(values) for values in zip(*((r.median_us, r.p99_us) for r in results)))
                peer = TARGETS.get(what.split(",")[0], (None,))[0]
                ratio = f"{self.rate(what, connections) / self.rate(peer, connections):.1%}" if peer else ""
                p99 = f"{p99_us:,.0f}" if p99_us else ""
                mean = " (mean)" if what.startswith("pgbench") else ""
                print(f"{title + mean:<40}{connections:>11}{self.rate(what, connections):>13,.0f}{median_us:>11,.0f}{p99:>9}{ratio:>13}")
        print("\nTargets, best against best over the numbers of connections:")
        for what, (peer, target) in TARGETS.items():
            reached = self.best(what) / self.best(peer)
            print(f"  {TITLES[what]:<38}{reached:>8.1%} of {TITLES[peer].strip():<24} target {target:.0%}: {verdict(reached >= target)}")

    def memory(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))  # the gateway inherits it
        gateway = self.world.gateway("idle", redis=not self.options.no_redis)
        sizes = {"after start": gateway.pss_kb()}
        request = f"GET {CACHED} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()
        clients = [socket.create_connection(("127.0.0.1", gateway.port), 10) for _ in range(IDLE_CONNECTIONS)]
        for client in clients:
            client.sendall(request)
            if not client.recv(65536).startswith(b"HTTP/1.1 200"):
                raise Failure("an idle connection's first request was not answered with 200")
        deadline = time.monotonic() + 5  # the workers publish their counters twice a second
        while (open_now := gateway.metric("sluice_connections")) < IDLE_CONNECTIONS and time.monotonic() < deadline:
            time.sleep(0.1)
        sizes[f"with {IDLE_CONNECTIONS} idle connections"] = gateway.pss_kb()
        for client in clients:
            client.close()
        gateway.stop()
        if open_now < IDLE_CONNECTIONS:
            self.notes.append(f"only {open_now:.0f} of {IDLE_CONNECTIONS} idle connections were open")
        print("\nMemory (PSS), each idle connection after one answered request:")
        for when, size in sizes.items():
            target = MEMORY_TARGETS[when]
            print(f"  {when:<38}{size / 1024:>8.1f} MB {'':<23} target {target} MB: {verdict(size <= target * 1024)}")

    def profile(self):
        connections = self.options.connections[-1]
        for what in ("cached", "uncached", "series"):
            if not print_profile(self.world, self.gateway.process, f"{what}, {connections} connections", lambda: self.measure(what, connections)):
                return


def main():
    options = options_of()
    binary = os.environ.get("SLUICE_BINARY")
    if not binary:
        raise Failure("SLUICE_BINARY is not set: run ./dev bench summary, which builds the gateway and names it")
    with World(binary) as world:
        bench = Bench(world, options)
        bench.rounds()
        bench.report()
        bench.memory()
        if options.profile:
            bench.profile()
        for note in dict.fromkeys(bench.notes):
            print(f"NOTE: {note}")


program(main)
