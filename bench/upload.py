"""PUT /v1/uploads/{dataset} beside psql's \\copy into the same table, in one run; and a crowd of customers beside one.

    ./dev bench upload [--size 1GB] [--rounds N] [--only file,crowd] [--customers N] [--seconds N] [--connections N] [--public] [--profile]

The file is a CSV of integers, numerics, a day, a timestamp and texts, the same in every run. Per round, one after the other: curl sends it
through the ingest listener, where delimiter, header and types are found out, the rows staged, indexed on their key and time column, and
swapped in | psql \\copy of the same file into an empty table with those columns, types and indexes, made beforehand | the same without the
indexes, for orientation. All three as the customer's own role. --public: through the public listener, which takes at most 8 MB.
The crowd: files of 1 KB over 64 connections to the public listener, of one customer, then of 2,000, --seconds each a round.
The tables show medians over the rounds. Nothing is refused for being slow: the exit code is 0 whenever the figures could be taken.
"""
import argparse
import base64
import hashlib
import hmac
import http.client
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _load import print_profile, verdict
from _servers import POSTGRES_BIN, Failure, World, accepts, program

CUSTOMER, SCOPE = "bench", "datasets:read uploads:write"
PUBLIC_MAX = 8 << 20
ROW_BYTES = 121  # about
TITLES = {"sluice": "curl, PUT /v1/uploads", "psql": "psql \\copy, same indexes", "psql bare": "psql \\copy, no index"}
TARGET, CROWD_TARGET = 0.80, 2.0
FILL = """copy (
select n as id, 'station-' || n * 7919 %% 997 as station, date '2010-01-01' + (n %% 5000)::int as day,
       timestamp '2015-01-01 00:00:00' + n * interval '7.013 seconds' as at, round((n * 7919 %% 1000003)::numeric / 100, 2) as amount,
       round((n * 104729 %% 99999989)::numeric / 1000000, 6) as price, n * 48271 %% 2147483647 as pieces, md5(n::text) as code,
       case when n %% 11 = 0 then 'held, to be asked for' when n %% 7 = 0 then null else 'sent' end as note
  from generate_series(1::bigint, %d) as n
) to stdout csv header"""


def bytes_of(text):
    match = re.fullmatch(r"(\d+)(KB|MB|GB)", text)
    if not match:
        raise argparse.ArgumentTypeError("a size is like 64MB or 1GB")
    return int(match[1]) << {"KB": 10, "MB": 20, "GB": 30}[match[2]]


def options_of():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=bytes_of, default=1 << 30, help="of the file, like 1GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="file,crowd", help="file, crowd, or both")
    parser.add_argument("--customers", type=int, default=2000, help="of the crowd")
    parser.add_argument("--connections", type=int, default=64, help="of the crowd")
    parser.add_argument("--seconds", type=int, default=20, help="of each measurement of the crowd")
    parser.add_argument("--public", action="store_true", help="through the public listener: at most 8 MB")
    parser.add_argument("--profile", action="store_true", help="also say where the gateway's time goes (perf)")
    options = parser.parse_args()
    options.only = set(options.only.split(","))
    if options.only - {"file", "crowd"}:
        parser.error("--only knows file and crowd")
    return options


def encoded(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=")


class Bench:
    def __init__(self, world, options):
        self.world, self.options, self.notes = world, options, []
        self.key = world.files["dev"].read_bytes()
        self.times = {what: [] for what in TITLES}
        self.memory, self.cpu = [], []
        # As many loads at once for one customer as for many: else the crowd would be compared with two threads' work.
        self.gateway = world.gateway("bench", uploads=("threads: 4", "queue: 1024", "each: 4"))
        self.gateway.command("customer", "add", CUSTOMER, "--bytes", "0", "--relations", "0")
        if not options.public and not accepts(self.gateway.ingest_port):
            self.notes.append("NO INGEST LISTENER: the file went through the public one")
            options.public = True
        if options.public and options.size > PUBLIC_MAX:
            self.notes.append("the public listener takes 8 MB: that is the file's size")
            options.size = PUBLIC_MAX

    def token(self, customer):
        now = int(time.time())
        claims = {"iss": "https://bench.sluice.local", "aud": "sluice", "sub": "bench", "customer": customer, "tier": "bench", "scope": SCOPE,
                  "iat": now, "exp": now + 6 * 3600}
        text = encoded(json.dumps({"alg": "HS256", "kid": "bench-1", "typ": "JWT"}).encode()) + b"." + encoded(json.dumps(claims).encode())
        return (text + b"." + encoded(hmac.new(self.key, text, hashlib.sha256).digest())).decode()

    # The file.

    def make_file(self):
        self.file = self.world.folder / "file.csv"
        rows = self.options.size // ROW_BYTES
        with open(self.file, "wb") as out:
            done = subprocess.run(self.psql("postgres", "sluice", FILL % rows), stdout=out, stderr=subprocess.PIPE, text=True, check=False,
                                  env=self.world.postgres.environment("postgres"))
        if done.returncode != 0:
            raise Failure(f"the file could not be made: {done.stderr}")
        self.file.chmod(0o644)
        while self.options.public and self.file.stat().st_size > PUBLIC_MAX:
            os.truncate(self.file, self.file.read_bytes().rindex(b"\n", 0, PUBLIC_MAX) + 1)
        with open(self.file, "rb") as file:
            self.rows = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b"")) - 1

    def psql(self, user, database, sql):
        return [str(word) for word in (POSTGRES_BIN / "psql", "-X", "-q", "-h", "127.0.0.1", "-p", self.world.postgres.port, "-U", user, "-d", database,
                                       "-v", "ON_ERROR_STOP=1", "-c", sql)]

    def as_customer(self, sql):
        """Seconds that psql took, from its start to its end."""
        password = hmac.new(self.world.files["login"].read_bytes(), CUSTOMER.encode(), hashlib.sha256).hexdigest()
        started = time.perf_counter()
        done = subprocess.run(self.psql(f"sluice_c_{CUSTOMER}", "sluice", sql), capture_output=True, text=True, check=False,
                              env={**os.environ, "PGPASSWORD": password, "PGSSLMODE": "disable"})
        if done.returncode != 0:
            raise Failure(f"psql failed: {done.stderr[-1000:]}")
        return time.perf_counter() - started

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.gateway.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def upload(self):
        """Seconds that curl took; the gateway's memory is looked at meanwhile."""
        port = self.gateway.port if self.options.public else self.gateway.ingest_port
        command = ["curl", "-sS", "-T", str(self.file), "-H", f"Authorization: Bearer {self.token(CUSTOMER)}", "-H", "Content-Type: text/csv",
                   "-o", str(self.world.folder / "answer"), "-w", "%{http_code}", f"http://127.0.0.1:{port}/v1/uploads/big?key=id"]
        seen, over = [self.gateway.pss_kb()], threading.Event()

        def watch():
            while not over.wait(0.05):
                seen.append(self.gateway.pss_kb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        started, before = time.perf_counter(), self.cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        over.set()
        watcher.join()
        answer = (self.world.folder / "answer").read_text() if (self.world.folder / "answer").exists() else ""
        if done.returncode != 0 or done.stdout not in ("200", "201"):
            raise Failure(f"the upload was answered with {done.stdout} ({done.stderr.strip()}): {answer[:1000]}")
        told = json.loads(answer)
        if told["rows"] != self.rows:
            raise Failure(f"{told['rows']} rows were loaded, {self.rows} were sent")
        self.types = ", ".join(f"{one['name']} {one['type']}" for one in told["columns"])
        self.memory.append((seen[0], max(seen)))
        self.cpu.append(self.cpu_seconds() - before)
        return seconds

    def measure(self, what):
        places = {"psql": "(like bench_uploads.big including indexes)", "psql bare": "(like bench_uploads.big)"}
        self.world.postgres.psql("postgres", "sluice", "-c", "checkpoint")
        if what == "sluice":
            return self.upload()
        self.as_customer(f"drop table if exists bench_uploads.peer; create table bench_uploads.peer {places[what]}")
        self.world.postgres.psql("postgres", "sluice", "-c", "checkpoint")
        seconds = self.as_customer(f"\\copy bench_uploads.peer from '{self.file}' csv header")
        self.as_customer("drop table bench_uploads.peer")
        return seconds

    def files(self):
        self.make_file()
        self.world.folder.chmod(0o711)
        for number in range(self.options.rounds):
            # A fresh table each time: an upload that takes the place of another drops the old one besides, which \copy does not.
            if number:
                self.as_customer("drop table bench_uploads.big; delete from sluice.upload where name = 'big'")
            for what in TITLES:
                self.times[what].append(self.measure(what))
                print(f"round {number + 1}: {TITLES[what]}: {self.times[what][-1]:.3f} s", file=sys.stderr)

    def report_files(self):
        size = self.file.stat().st_size
        print(f"\nA CSV of {size / 1e6:,.1f} MB, {self.rows:,} rows ({self.types}), through the {'public' if self.options.public else 'ingest'} listener.")
        print(f"Median of {self.options.rounds} round(s). {len(os.sched_getaffinity(0))} cores for client, gateway and PostgreSQL (fsync and autovacuum off).")
        print(f"\n{'':<32}{'seconds':>10}{'MB/s':>9}{'rows/s':>13}")
        for what, title in TITLES.items():
            seconds = statistics.median(self.times[what])
            print(f"{title:<32}{seconds:>10.3f}{size / 1e6 / seconds:>9.1f}{self.rows / seconds:>13,.0f}")
        print(f"\nThe gateway: {statistics.median(self.cpu):.2f} s of CPU; PSS before {self.memory[0][0] / 1024:.1f} MB, at its peak "
              f"{max(peak for _, peak in self.memory) / 1024:.1f} MB, so it grew by {max(peak - before for before, peak in self.memory) / 1024:.1f} MB")
        reached = statistics.median(self.times["psql"]) / statistics.median(self.times["sluice"])
        print(f"\nTarget: {reached:.1%} of psql \\copy with the same indexes, target {TARGET:.0%}: {verdict(reached >= TARGET)}")

    # The crowd.

    def add_customers(self):
        names = [f"c{number}" for number in range(self.options.customers)]
        started = time.perf_counter()
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(lambda name: self.gateway.command("customer", "add", name, "--bytes", "0", "--relations", "0"), names))
        print(f"{len(names):,} customers made in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        return names

    def push(self, customers, names, file):
        """Latencies in ms of small uploads for --seconds, from each connection one after the other; what was answered otherwise than with 2xx.
        Each goes to another customer than the one before, and a name comes again only long after its last load has ended."""
        tokens, numbers, lock = [self.token(one) for one in customers], itertools.count(self.sent), threading.Lock()
        until, times, refused = time.monotonic() + self.options.seconds, [], []

        def client():
            connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=120)
            while time.monotonic() < until:
                with lock:
                    self.sent = number = next(numbers)
                headers = {"Authorization": f"Bearer {tokens[number % len(tokens)]}", "Content-Type": "text/csv"}
                started = time.perf_counter()
                connection.request("PUT", f"/v1/uploads/small_{number // len(tokens) % names}", file, headers)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status in (200, 201):
                    times.append((time.perf_counter() - started) * 1e3)
                else:
                    refused.append(f"{answer.status} {body[:300].decode(errors='replace')}")
            connection.close()

        clients = [threading.Thread(target=client) for _ in range(self.options.connections)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        return sorted(times), refused

    def crowd(self):
        line = "{},2024-01-{:02d},{}.50,piece-{}\n"
        file = ("id,day,amount,code\n" + "".join(line.format(n, n % 28 + 1, n * 31, n * 7) for n in range(42))).encode()
        self.crowds, self.sent = {}, 0
        customers = self.add_customers()
        for _ in range(self.options.rounds):
            for names, group in ((4 * self.options.connections, [CUSTOMER]), (1, customers)):
                times, refused = self.push(group, names, file)
                if not times:
                    raise Failure(f"no small upload of {len(group)} customer(s) was taken: {refused[:1]}")
                self.crowds.setdefault(len(group), []).append(times)
                print(f"{len(group):,} customer(s): {len(times):,} uploads, median {statistics.median(times):,.0f} ms", file=sys.stderr)
                if refused:
                    self.notes.append(f"{len(refused):,} small uploads of {len(group):,} customer(s) were refused, like {refused[0]}")

    def report_crowd(self):
        print(f"\nFiles of 1 KB on {self.options.connections} connections, median of {self.options.rounds} round(s) of {self.options.seconds} s:")
        print(f"{'':<32}{'uploads/s':>10}{'median ms':>11}{'p99 ms':>9}")
        medians = {}
        for number, rounds in self.crowds.items():
            rate = statistics.median(len(times) / self.options.seconds for times in rounds)
            medians[number] = statistics.median(statistics.median(times) for times in rounds)
            last = statistics.median(times[len(times) * 99 // 100] for times in rounds)
            print(f"{f'{number:,} customer(s)':<32}{rate:>10,.1f}{medians[number]:>11,.0f}{last:>9,.0f}")
        one, many = medians.values()
        print(f"\nTarget: the crowd's median is {many / one:.2f} times that of one customer, target {CROWD_TARGET:.0f}: {verdict(many <= CROWD_TARGET * one)}")
        print(f"The gateway's PSS: {self.gateway.pss_kb() / 1024:.1f} MB")

    def profile(self):
        self.as_customer("drop table bench_uploads.big; delete from sluice.upload where name = 'big'")
        print_profile(self.world, self.gateway.process, "an upload", self.upload)


def main():
    options = options_of()
    binary = os.environ.get("SLUICE_BINARY")
    if not binary:
        raise Failure("SLUICE_BINARY is not set: run ./dev bench upload, which builds the gateway and names it")
    with World(binary) as world:
        bench = Bench(world, options)
        if "file" in options.only:
            bench.files()
            bench.report_files()
            if options.profile:
                bench.profile()
        if "crowd" in options.only:
            bench.crowd()
            bench.report_crowd()
        for note in dict.fromkeys(bench.notes):
            print(f"NOTE: {note}")


program(main)
