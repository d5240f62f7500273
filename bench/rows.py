"""GET /v1/datasets/{dataset} beside its bars, in one run: PostgreSQL itself for what is read from it, h2o for what is kept.

    ./dev bench rows [--seconds N] [--rounds N] [--connections N,N] [--crowd N] [--rows N] [--only WHAT,WHAT]
                      [--fast-connections N] [--scan-connections N] [--profile] [--show-sql]

The dataset is a view over a table of stations and days, five measures each; the answer cache is on, as in life. Each side is judged by its
best number of connections, and these differ: pgbench is at its best with few, because each of its connections is a process of the server's
that the cores are shared with; the gateway's look-ups with many, because what a turn of its loop has brought leaves together over its few
connections. So look-ups by key, and pgbench beside them, are measured with a crowd of connections too; pages are not: so many of them at
once are more than the scan lane queues. Each page in the making is a process of the server's here as it is in pgbench; how many of them there
are at once is --scan-connections, however many callers there are: the server does best with about two a core. wrk works on the same cores, as pgbench does: its script makes the request's head once, as pgbench
prepares its statement once, and each request is a new path in front of it. Per round, and for each
number of connections, one after the other: a bare h2o answering as many bytes as a small answer has | that answer, kept | one row by its
key, where each request asks what nobody asked before | pgbench of its SQL | a page of 1,000 rows, sorted, with the cursor to the next one |
pgbench of its SQL | the same number of rows as a range of days, without a cursor | pgbench of its SQL. And at its end the whole table:
psql's \\copy to CSV | curl, CSV | psql fetching json_agg | curl, JSON | curl, NDJSON, twice. The tables show medians over the rounds. Nothing is
refused for being slow: the exit code is 0 whenever the figures could be taken.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _load import Pgbench, get, print_profile, record, start_hello, verdict, wrk
from _servers import POSTGRES_BIN, Failure, World, program

DATASET = "/v1/datasets/station_daily"
COLUMNS = "station_id, day, temperature_c, precipitation_mm, wind_kmh, cloud_pct, snowfall_cm"
FIRST_STATION, DAYS, FIRST_YEAR, PAGE = 10000, 4000, 2010, 1000
# How many years a question may begin in; the days of any 2 years and 9 months (1,003 to 1,006 of them) follow on each day of the first 8.
YEARS = {"key": 10, "page": 8, "range": 8}
# What the SQL is recorded with, and which variable of pgbench then takes each value's place.
VARIABLES = {"10077": "station", "2013-05-17": "day", "2016-02-17": "end_day"}
PATHS = {
    "key": DATASET + "?station_id=eq.{station}&day=eq.{day}",
    "page": DATASET + f"?station_id=eq.{{station}}&day=gte.{{day}}&order=day&limit={PAGE}",
    "range": DATASET + "?station_id=eq.{station}&day=gte.{day}&day=lt.{end_day}",
}
KEPT = f"{DATASET}?station_id=eq.10077&order=day.desc&limit=10"
TITLES = {"hello": "bare h2o, same bytes", "kept": "10 rows, kept", "key": "one row by key", "pgbench key": "  pgbench, its SQL",
          "page": "1,000 rows, a page", "pgbench page": "  pgbench, its SQL", "range": "1,000 rows, a range", "pgbench range": "  pgbench, its SQL"}
STREAMS = {"psql csv": "psql, \\copy to CSV", "csv": "curl, CSV", "psql json": "psql, json_agg", "json": "curl, JSON", "ndjson": "curl, NDJSON"}
TARGETS = {"kept": ("hello", 0.70), "key": ("pgbench key", 0.90), "page": ("pgbench page", 0.85), "range": ("pgbench range", 0.85)}
STREAM_TARGETS = {"csv": ("psql csv", 0.80), "json": ("psql json", 1.00)}

# The stations' names are digits, because pgbench chooses among numbers only. The rows lie as a load of days leaves them.
FILL = """
create table warehouse.station_daily (
    station_id text not null, day date not null,
    temperature_c double precision, precipitation_mm double precision, wind_kmh double precision, cloud_pct double precision,
    snowfall_cm double precision, primary key (station_id, day)
);
select setseed(0.4) \\g /dev/null
insert into warehouse.station_daily
select (%(first_station)d + n / %(days)d)::text, date '%(first_year)d-01-01' + n %% %(days)d,
       round((40 * random() - 12)::numeric, 1), case when random() < 0.01 then null else round((random() * 30)::numeric, 1) end,
       round((random() * 90)::numeric, 1), round((random() * 100)::numeric), case when random() < 0.9 then 0 else round((random() * 20)::numeric, 1) end
  from generate_series(0, %(rows)d - 1) as n;
create view serving.station_daily as select %(columns)s from warehouse.station_daily;
grant select on warehouse.station_daily, serving.station_daily to sluice_reader;
select sluice.track('warehouse.station_daily') \\g /dev/null
vacuum analyze warehouse.station_daily;
"""
# Request number n asks for combination n of a shuffled order (the multiplier is a prime, larger than any factor of their number), so that
# no question comes twice until all have come.
LUA = """
local stations, days, years = %(stations)d, 28 * 12, %(years)d
local total = stations * days * years
local n, head = 0, nil
function init(arguments)
    n = tonumber(arguments[1])
    head = wrk.format("GET", "/"):match(" HTTP/1.*")
end
function request()
    n = n + 1
    local i = (n * 7368787) %% total
    local station = %(first_station)d + i %% stations
    i = math.floor(i / stations)
    local year, month, day = %(first_year)d + math.floor(i / days), math.floor(i / 28) %% 12, i %% 28 + 1
    local last = month + 9
    return "GET " .. string.format(%(path)s) .. head
end
"""
LUA_WORDS = {"{station}": ("%d", "station"), "{day}": ("%d-%02d-%02d", "year, month + 1, day"),
             "{end_day}": ("%d-%02d-%02d", "year + 2 + math.floor(last / 12), last %% 12 + 1, day")}
RANDOM = """\\set station random(%(first_station)d, %(last_station)d)
\\set year random(%(first_year)d, %(last_year)d)
\\set month random(0, 11)
\\set first random(1, 28)
\\set day :year * 10000 + (:month + 1) * 100 + :first
\\set last :month + 9
\\set end_day (:year + 2 + :last / 12) * 10000 + (:last %% 12 + 1) * 100 + :first
"""


def numbers_of(kind, stations):
    return {"stations": stations, "years": YEARS[kind], "first_station": FIRST_STATION, "last_station": FIRST_STATION + stations - 1,
            "first_year": FIRST_YEAR, "last_year": FIRST_YEAR + YEARS[kind] - 1}


def write_lua(folder, kind, stations):
    path, values = PATHS[kind], []
    for word, (form, arguments) in LUA_WORDS.items():
        if word in path:
            path = path.replace(word, form)
            values.append(arguments.replace("%%", "%"))
    file = folder / f"{kind}.lua"
    file.write_text(LUA % {**numbers_of(kind, stations), "path": ", ".join([f'"{path}"', *values])})
    return file


def pgbench_of(world, kind, statement, stations):
    """The statement with pgbench's variables for its parameters, whose types the server infers as it does for the gateway."""
    sql = re.sub(r"\$(\d+)", lambda match: ":" + VARIABLES[statement.values[int(match[1]) - 1]], statement.sql)
    script = world.folder / f"{kind}.sql"
    script.write_text(RANDOM % numbers_of(kind, stations) + sql + ";\n")
    return Pgbench(world, ["-f", script], statement)


def cpu_seconds(pid):
    """What the process has computed so far, in its own code and in the kernel: neighbours on the cores don't blur it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def options_of():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement, after its warm-up")
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,8,32")
    parser.add_argument("--crowd", type=int, default=128, help="connections of one more measurement of look-ups by key; 0: none")
    parser.add_argument("--rows", type=int, default=1000000, help="of the whole table, a multiple of 4000")
    parser.add_argument("--fast-connections", type=int, default=2, help="database.fast.connections of the gateway")
    parser.add_argument("--scan-connections", type=int, default=4, help="database.scan.connections of the gateway")
    parser.add_argument("--only", default="", help="measure only these, and their peers: kept,key,page,range,csv,json,ndjson")
    parser.add_argument("--profile", action="store_true", help="also say where the gateway's time goes (perf)")
    parser.add_argument("--show-sql", action="store_true", help="print what pgbench runs")
    options = parser.parse_args()
    options.connections = [int(word) for word in options.connections.split(",")]
    options.stations = max(options.rows // DAYS, 1)
    options.rows = options.stations * DAYS
    only = set(filter(None, options.only.split(",")))
    known = [what for what in (*TITLES, *STREAMS) if what != "hello" and " " not in what]
    if only - set(known):
        parser.error(f"--only knows {', '.join(known)}")
    wanted = only | {peer for what, (peer, _) in {**TARGETS, **STREAM_TARGETS}.items() if what in only}
    options.kinds = [what for what in TITLES if not only or what in wanted]
    options.streams = [what for what in STREAMS if not only or what in wanted]
    return options


def connections_of(what, options):
    """How many connections `what`, or its peer, is measured with."""
    crowd = [options.crowd] if what in ("key", "pgbench key") and options.crowd not in (0, *options.connections) else []
    return options.connections + crowd


class Bench:
    def __init__(self, world, options):
        self.world, self.options = world, options
        self.started = dict.fromkeys(PATHS, 0)  # requests sent so far: each script goes on where the one before it ended
        self.notes = []
        self.results = {}  # (what, connections) → a Result a round
        self.times = {}  # of streams: what → (seconds, bytes, seconds of the gateway's) a round
        fill = FILL % {**numbers_of("key", options.stations), "days": DAYS, "rows": options.rows, "columns": COLUMNS}
        world.postgres.psql("owner", "sluice", "-f", "-", input=fill)
        common = {"fast_connections": options.fast_connections, "scan_connections": options.scan_connections}
        self.pgbench, self.bytes, self.plans = {}, {}, {}
        values = {name: value for value, name in VARIABLES.items()}
        for kind in PATHS:
            path = PATHS[kind].format(**values)
            known = [value for value, name in VARIABLES.items() if f"{{{name}}}" in PATHS[kind]]
            statement = record(world, f"probe-{kind}", lambda gateway, path: self.probe(gateway, path, kind), path, known, redis=False, **common)
            self.pgbench[kind] = pgbench_of(world, kind, statement, options.stations)
            if options.show_sql:
                print(f"{kind}: {statement.sql}\nparameters: {statement.values}\nsettings: {statement.settings}\n")
        self.gateway = world.gateway("bench", **common)
        self.token = self.gateway.token()
        self.scripts = {kind: write_lua(world.folder, kind, options.stations) for kind in PATHS}
        self.wait_for_versions()
        self.hello = start_hello(world, self.bytes["kept"])

    def probe(self, gateway, path, kind):
        headers, body = get(gateway, path, gateway.token())
        self.plans[kind], self.bytes[kind] = headers.get("Sluice-Plan", ""), len(body)

    def wait_for_versions(self):
        """The first answers come before the gateway knows the dataset's version, and are not kept."""
        for _ in range(100):
            headers, body = get(self.gateway, KEPT, self.token)
            self.plans["kept"], self.bytes["kept"] = headers.get("Sluice-Plan", ""), len(body)
            if "cache=memory" in self.plans["kept"]:
                return
            time.sleep(0.05)
        self.notes.append(f"NOT KEPT: a repeated question says Sluice-Plan: {self.plans['kept']}")

    def queries(self):
        time.sleep(0.6)  # the workers publish their counters twice a second
        return self.gateway.metric("sluice_lane_queries_total")

    def http(self, what, connections):
        """One measurement, and whether its requests went to the database or not, as the gateway's own counters have it."""
        url = f"http://127.0.0.1:{self.gateway.port}{KEPT if what == 'kept' else '/'}"
        script, kind = self.scripts.get(what), what in PATHS
        for seconds in (self.options.warm_up, self.options.seconds):
            before = self.queries()
            result = wrk(url, connections, seconds, self.token, script, self.started.get(what, 0))
            if kind:  # wrk counts answers; a request per connection may be on its way at the end
                self.started[what] += result.requests + connections
        queries = self.queries() - before
        if kind and queries < result.requests * 0.999:
            self.notes.append(f"NOT ALL MISSES: {queries:,.0f} queries for {result.requests:,} requests ({what}, {connections} connections)")
        if not kind and queries > 0.001 * result.requests + 100:
            self.notes.append(f"NOT ALL HITS: {queries:,.0f} queries for {result.requests:,} kept answers")
        return result

    def measure(self, what, connections):
        if what == "hello":
            url = f"http://127.0.0.1:{self.hello}{KEPT}"
            wrk(url, connections, self.options.warm_up, self.token)
            return wrk(url, connections, self.options.seconds, self.token)
        if what.startswith("pgbench"):
            return self.pgbench[what.split()[1]].measure(connections, self.options.seconds, self.options.warm_up)
        return self.http(what, connections)

    def stream(self, what):
        """(seconds from the program's start to its end, bytes as curl counts them, seconds that the gateway computed)."""
        select = f"select {COLUMNS} from serving.station_daily"
        if what.startswith("psql"):
            words = f"\\copy ({select}) to stdout csv" if what == "psql csv" else f"select json_agg(t) from ({select}) as t"
            command = [POSTGRES_BIN / "psql", "-X", "-q", "-At", "-h", "127.0.0.1", "-p", self.world.postgres.port, "-U", "sluice_reader",
                       "-d", "sluice", "-v", "ON_ERROR_STOP=1", "-c", words]
        else:
            command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{stderr}%{http_code} %{size_download}", "-H", f"Authorization: Bearer {self.token}",
                       f"http://127.0.0.1:{self.gateway.port}{DATASET}?format={what}"]
        started, before = time.perf_counter(), cpu_seconds(self.gateway.process.pid)
        done = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
                              env={**self.world.postgres.environment("reader"), "PGSSLMODE": "disable"})
        seconds, cpu = time.perf_counter() - started, cpu_seconds(self.gateway.process.pid) - before
        if done.returncode != 0 or (command[0] == "curl" and not done.stderr.startswith("200 ")):
            raise Failure(f"{what} failed with {done.returncode}: {done.stderr[-1000:]}")
        return seconds, int(done.stderr.split()[1]) if command[0] == "curl" else 0, cpu

    def rounds(self):
        for number in range(self.options.rounds):
            for connections in sorted({number for what in self.options.kinds for number in connections_of(what, self.options)}):
                for what in self.options.kinds:
                    if connections not in connections_of(what, self.options):
                        continue
                    result = self.measure(what, connections)
                    self.results.setdefault((what, connections), []).append(result)
                    print(f"round {number + 1}: {what}, {connections} connections: {result.rate:,.0f}/s", file=sys.stderr)
                    if result.refused:
                        self.notes.append(f"{result.refused:,} of {what}, {connections} connections, were refused or broken")
            for _ in range(2):
                for what in self.options.streams:
                    self.times.setdefault(what, []).append(self.stream(what))
                    print(f"round {number + 1}: {what}: {self.times[what][-1][0]:.3f} s", file=sys.stderr)

    def rate(self, what, connections):
        return statistics.median(result.rate for result in self.results[what, connections])

    def best(self, what):
        return max(self.rate(what, connections) for connections in connections_of(what, self.options))

    def seconds(self, what):
        return statistics.median(seconds for seconds, *_ in self.times[what])

    def report(self):
        options = self.options
        print(f"\nMedian of {options.rounds} round(s) of {options.seconds} s after {options.warm_up} s; keep-alive, wrk -t1, pgbench -j1 -M prepared.")
        print(f"{len(os.sched_getaffinity(0))} cores for all: one worker thread of the gateway (or h2o, or pgbench) and one thread of wrk, PostgreSQL")
        print("and Redis. Nothing is pinned. Where PostgreSQL works, the gateway's rows are encoded and fed to wrk as well, pgbench's are dropped.")
        print(f"database.fast.connections: {options.fast_connections}, database.scan.connections: {options.scan_connections}. PostgreSQL: fsync and autovacuum off. {options.rows:,} rows.")
        for what, plan in self.plans.items():
            print(f"  {what:<6} {self.bytes[what]:>9,} bytes   Sluice-Plan: {plan}")
        if options.kinds:
            print(f"\n{'':<32}{'connections':>11}{'requests/s':>13}{'median µs':>11}{'p99 µs':>9}{'of its peer':>13}")
        for what in options.kinds:
            for connections in connections_of(what, options):
                results = self.results[what, connections]
                median_us, p99_us = (statistics.median(values) for values in zip(*((r.median_us, r.p99_us) for r in results)))
                ratio = f"{self.rate(what, connections) / self.rate(TARGETS[what][0], connections):.1%}" if what in TARGETS else ""
                p99 = f"{p99_us:,.0f}" if p99_us else ""
                title = TITLES[what] + (" (mean)" if what.startswith("pgbench") else "")
                print(f"{title:<32}{connections:>11}{self.rate(what, connections):>13,.0f}{median_us:>11,.0f}{p99:>9}{ratio:>13}")
        if options.streams:
            print(f"\n{options.rows:,} rows in one answer, median of {2 * options.rounds}:")
            print(f"{'':<32}{'seconds':>11}{'rows/s':>13}{'MB':>11}{'gateway CPU s':>15}")
        for what in options.streams:
            size, cpu = self.times[what][0][1], statistics.median(cpu for *_, cpu in self.times[what])
            more = f"{size / 1e6:>11,.1f}{cpu:>15.2f}" if size else ""
            print(f"{STREAMS[what]:<32}{self.seconds(what):>11.3f}{options.rows / self.seconds(what):>13,.0f}{more}")
        print("\nTargets, best against best over the numbers of connections:")
        for what, (peer, target) in {**TARGETS, **STREAM_TARGETS}.items():
            if what not in options.kinds + options.streams:
                continue
            reached = self.best(what) / self.best(peer) if what in TARGETS else self.seconds(peer) / self.seconds(what)
            titles = {**TITLES, **STREAMS}
            print(f"  {titles[what]:<24}{reached:>8.1%} of {(titles[peer].strip()):<24} target {target:.0%}: {verdict(reached >= target)}")

    def profile(self):
        for what in self.options.kinds:
            connections = connections_of(what, self.options)[-1]
            if what in TARGETS and not print_profile(self.world, self.gateway.process, f"{TITLES[what]}, {connections} connections",
                                                     lambda: self.measure(what, connections)):
                return
        for what in self.options.streams:
            if "psql" not in what:
                print_profile(self.world, self.gateway.process, STREAMS[what], lambda: [self.stream(what) for _ in range(3)])


def main():
    options = options_of()
    binary = os.environ.get("SLUICE_BINARY")
    if not binary:
        raise Failure("SLUICE_BINARY is not set: run ./dev bench rows, which builds the gateway and names it")
    with World(binary) as world:
        bench = Bench(world, options)
        bench.rounds()
        bench.report()
        if options.profile:
            bench.profile()
        for note in dict.fromkeys(bench.notes):
            print(f"NOTE: {note}")


program(main)
