"""What the audit log costs: the same gateway with and without it, in alternating rounds of one run.

    ./dev bench audit [--seconds N] [--rounds N] [--connections N,N]

The cached summary (each answer follows its record), and small writes (each waits for two fdatasyncs of
that file, shared by those that come together). The log's folder is on the disk of the temporary folder.
"""
import argparse
import http.client
import os
import statistics
import sys
import threading
import time
from pathlib import Path

from _load import get, wrk
from _servers import World, program

CACHED = "/v1/regions/KE-plain-1/summary"
TARGET = 90  # % of the throughput without


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_cached(gateway, connections, seconds, token):
    """(requests a second, µs of the gateway's CPU a request)."""
    before = cpu_seconds(gateway.process.pid)
    result = wrk(f"http://127.0.0.1:{gateway.port}{CACHED}", connections, seconds, token)
    if result.refused:
        raise SystemExit(f"{result.refused} answers were refused or broken")
    return result.rate, (cpu_seconds(gateway.process.pid) - before) / result.requests * 1e6


def write_small(gateway, clients, seconds, token):
    """Deletes of uploads that are not there: an operation that writes, without the database's share of one. (answers a second, median µs)."""
    times, lock, end = [], threading.Lock(), time.monotonic() + seconds

    def client(number):
        mine = []
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        while time.monotonic() < end:
            began = time.perf_counter()
            connection.request("DELETE", f"/v1/jobs/00000000-0000-4000-8000-{number:012d}", headers={"Authorization": f"Bearer {token}"})
            connection.getresponse().read()
            mine.append((time.perf_counter() - began) * 1e6)
        with lock:
            times.extend(mine)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times) / seconds, statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", default="32,128", help="numbers of connections")
    options = parser.parse_args()
    connections = [int(word) for word in options.connections.split(",")]
    with World(os.environ["SLUICE_BINARY"]) as world:
        gateways = {"without": world.gateway("without"), "with": world.gateway("with", audit=True)}
        token = gateways["without"].token()
        for gateway in gateways.values():
            get(gateway, CACHED, token)
            wrk(f"http://127.0.0.1:{gateway.port}{CACHED}", connections[0], 1, token)
        found = {}
        for number in range(options.rounds):
            for count in connections:
                # Who comes first changes from round to round.
                for name in sorted(gateways, reverse=number % 2 == 1):
                    rate, cpu = read_cached(gateways[name], count, options.seconds, token)
                    found.setdefault((name, count), []).append((rate, cpu))
                    print(f"round {number + 1}: {name} the log, {count} connections: {rate:,.0f}/s, {cpu:.2f} µs", file=sys.stderr)
        writes = {name: write_small(gateway, 16, options.seconds, token) for name, gateway in gateways.items()}
        lines = sum(1 for path in Path(world.folder).glob("with.audit/*.jsonl") for _ in open(path, "rb"))
        shipped, lag = (gateways["with"].metric(name) for name in ("sluice_audit_shipped_total", "sluice_audit_ship_lag_records"))
        report(found, connections, options, writes, lines, shipped, lag)


def report(found, connections, options, writes, lines, shipped, lag):
    print(f"\nThe cached summary; medians of {options.rounds} rounds of {options.seconds} s, one worker, wrk -t1.")
    print(f"{'connections':>11}{'without':>14}{'with the log':>14}{'of it':>9}{'CPU without':>14}{'CPU with':>11}")
    best = {}
    for count in connections:
        (a, a_cpu), (b, b_cpu) = ([statistics.median(values) for values in zip(*found[name, count])] for name in ("without", "with"))
        best["without"], best["with"] = max(best.get("without", 0), a), max(best.get("with", 0), b)
        print(f"{count:>11}{a:>12,.0f}/s{b:>12,.0f}/s{100 * b / a:>8.1f}%{a_cpu:>11.2f} µs{b_cpu:>8.2f} µs")
    share = 100 * best["with"] / best["without"]
    print(f"Best against best: {share:.1f}%   target {TARGET}%: {'reached' if share >= TARGET else 'not reached'}")
    for name, (rate, median) in writes.items():
        print(f"Small writes, 16 clients, {name} the log: {rate:,.0f}/s, median {median / 1000:.2f} ms")
    print(f"{lines:,} records are in the segments that are not compressed; {shipped:,.0f} were shipped meanwhile, {lag:,.0f} wait for that.")


program(main)
