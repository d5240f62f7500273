"""What a statement_timeout costs when it travels with each query, against one set once at login.

    ./dev bench timeout [--seconds N] [--rounds N] [--clients N,N]

The same prepared look-up by primary key, four ways, in alternating rounds of one run; medians. In a pipeline, settings and query go
out together and are answered together: one round trip, as the gateway's fast lane would send them. What is set with LOCAL needs no
BEGIN there: the implicit transaction lasts to the Sync.
"""
import argparse
import re
import statistics
import sys

from _servers import POSTGRES_BIN, Failure, World, program, run

LOOKUP = "select id, name, value from place where id = :id"
RANDOM = "\\set id random(1, 10000)\n"
SET_CONFIG = "select set_config('statement_timeout', '100ms', true)"
SET_LOCAL = "set local statement_timeout = '100ms'"
# log_min_messages: outside of BEGIN each SET LOCAL warns, and writing that to the server's log is not what is measured.
SETTINGS = "-c client_min_messages=error -c log_min_messages=fatal"
WAYS = [
    ("set once at login", f"{RANDOM}{LOOKUP};\n"),
    ("the same, in a pipeline", f"{RANDOM}\\startpipeline\n{LOOKUP};\n\\endpipeline\n"),
    ("set_config(…, true) in the same round trip", f"{RANDOM}\\startpipeline\n{SET_CONFIG};\n{LOOKUP};\n\\endpipeline\n"),
    ("SET LOCAL in the same round trip", f"{RANDOM}\\startpipeline\n{SET_LOCAL};\n{LOOKUP};\n\\endpipeline\n"),
    ("BEGIN, SET LOCAL, …, COMMIT in the same one", f"{RANDOM}\\startpipeline\nbegin;\n{SET_LOCAL};\n{LOOKUP};\ncommit;\n\\endpipeline\n"),
]


def pgbench(world, script, at_login, *arguments):
    environment = {**world.postgres.environment("postgres"), "PGOPTIONS": f"{SETTINGS} -c statement_timeout={at_login}"}
    return run([POSTGRES_BIN / "pgbench", "-n", "-M", "prepared", "-h", "127.0.0.1", "-p", world.postgres.port, "-U", "postgres",
                "-j", 1, *arguments, "-f", script, "postgres"], "pgbench", env=environment)


def measure(world, number, script, clients, seconds):
    out = pgbench(world, script, "100ms" if number < 2 else "0", "-c", clients, "-T", seconds)
    return float(re.search(r"^tps = ([\d.]+)", out, re.MULTILINE)[1])


def stops(world, number, text):
    """Does a query of half a second, in the place of the look-up, end in the timeout?"""
    slow = world.folder / "slow.sql"
    slow.write_text(text.replace(LOOKUP, "select pg_sleep(0.5)"))
    try:
        pgbench(world, slow, "100ms" if number < 2 else "0", "-c", 1, "-t", 1)
    except Failure as failure:
        return "statement timeout" in str(failure)
    return False


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=int, default=5, help="of each measurement")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--clients", default="1,8", help="numbers of connections")
    options = arguments.parse_args()
    with World() as world:
        world.postgres.psql("postgres", "postgres", "-c", "create table place (id int primary key, name text, value double precision)",
                            "-c", "insert into place select n, 'place ' || n, n * 1.5 from generate_series(1, 10000) n", "-c", "vacuum analyze place")
        scripts = []
        for number, (_, script) in enumerate(WAYS):
            scripts.append(world.folder / f"way{number}.sql")
            scripts[-1].write_text(script)
        effective = [stops(world, number, script) for number, (_, script) in enumerate(WAYS)]
        measure(world, 0, scripts[0], 1, 2)  # warm-up
        for clients in map(int, options.clients.split(",")):
            rates = [[] for _ in WAYS]
            for _ in range(options.rounds):
                for number, script in enumerate(scripts):
                    rates[number].append(measure(world, number, script, clients, options.seconds))
            medians = [statistics.median(rate) for rate in rates]
            print(f"\n{clients} connection(s), median of {options.rounds} rounds of {options.seconds} s; client and server share the machine's cores")
            print(f"{'statement_timeout is …':<46}{'queries/s':>12}{'µs each':>10}{'against login':>15}{'stops a slow query':>20}")
            for (name, _), rate, works in zip(WAYS, medians, effective):
                print(f"{name:<46}{rate:>12,.0f}{clients * 1e6 / rate:>10.1f}{rate / medians[0]:>15.1%}{'yes' if works else 'NO':>20}")
            sys.stdout.flush()


program(main)
