"""Load on a server, and what came of it: wrk for HTTP, pgbench for the SQL that the gateway sends."""
import http.client
import os
import re
import shutil
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from _servers import POSTGRES_BIN, ROOT, Failure, run, stop, wait_until

# Case 1 and 3 are asked for these; each must have weather and market data of its own or of an ancestor.
REGIONS = ["AR-north-1", "AR-north-2", "AR-coast-1", "AR-alps-1", "KE-baltic-1", "KE-baltic-2", "KE-plain-1", "KE-plain-2",
           "KE-south-1", "KE-south-2", "MO-north-1", "MO-north-2", "MO-centre-1", "MO-south-1", "TY-west-1", "TY-east-1"]
YEARS, FIRST_YEAR = 10, 2013
WINDOWS, FIRST_WINDOW = 90, 20  # days


@dataclass
class Result:
    rate: float  # requests or transactions a second
    median_us: float = 0
    p99_us: float = 0
    requests: int = 0
    refused: int = 0  # answers other than 2xx and 3xx, and broken connections


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def wrk(url, connections, seconds, token=None, script=None, start=0):
    command = ["wrk", "-t1", "-c", connections, "-d", f"{seconds}s", "--latency"]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    if script:
        command += ["-s", script]
    out = run([*command, url, "--", start], "wrk")
    latency = {name: microseconds(value) for name, value in re.findall(r"^\s+(50|99)%\s+(\S+)$", out, re.MULTILINE)}
    refused = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    for errors in re.findall(r"Socket errors: (.*)", out):
        refused += sum(map(int, re.findall(r"\d+", errors)))
    return Result(float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), latency.get("50", 0), latency.get("99", 0),
                  int(re.search(r"(\d+) requests in", out)[1]), refused)


def get(gateway, path, token):
    """A GET that must be a 200: (headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise Failure(f"GET {path} answered {answer.status}: {body[:500].decode(errors='replace')}; the gateway's log is {gateway.log}")
    return answer.headers, body


def start_hello(world, size):
    """A bare h2o server that answers every request with `size` bytes: its port."""
    program_file = Path(os.environ.get("SLUICE_BENCH_BUILD", ROOT / "build-bench")) / "bench" / "bench_hello"
    if not program_file.exists():
        raise Failure(f"{program_file} is missing: ./dev bench NAME builds it, or set SLUICE_BENCH_BUILD to a build with -DBENCH=ON")
    log = world.folder / f"hello-{size}.log"
    with open(log, "wb") as out:
        process = subprocess.Popen([program_file, str(size)], stdout=out, stderr=out)
    world.cleanup.callback(stop, process)
    wait_until(lambda: log.read_text().endswith("\n"), process, "bench_hello", log)
    return int(log.read_text())


def print_profile(world, process, title, work):
    """Where the process's time goes while `work` runs; False: it can't be told here."""
    if not shutil.which("perf"):
        print("\nno profile: perf is not installed (apt-get install linux-perf)")
        return False
    data = world.folder / "perf.data"
    data.unlink(missing_ok=True)
    recorder = subprocess.Popen(["perf", "record", "-q", "-F", "997", "-p", str(process.pid), "-o", data],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    work()
    stop(recorder, 2)  # SIGINT: perf writes its file
    if not data.exists() or data.stat().st_size == 0:
        print(f"\nno profile: perf record was refused: {recorder.stderr.read().strip()[:300]}")
        return False
    out = run(["perf", "report", "-i", data, "--stdio", "--no-children", "--percent-limit", "1", "--sort", "dso,symbol"], "perf report")
    print(f"\nWhere the gateway's time goes: {title}")
    lines = [line.removesuffix("-      -").rstrip() for line in map(str.rstrip, out.splitlines())]
    print("\n".join([line for line in lines if line and not line.startswith("#")][:30]))
    return True


def verdict(reached):
    return "reached" if reached else "not reached"


# Request number n asks for combination n of a shuffled order (the multiplier has no factor in common with their number), so that
# no question comes twice until all have come.
LUA = """
local regions = {%(regions)s}
local days, years, windows = 27 * 12, %(years)d, %(windows)d
local total = #regions * days * years * windows
local n = 0
function init(arguments) n = tonumber(arguments[1]) end
function request()
    n = n + 1
    local i = (n * 7368787) %% total
    local region = regions[i %% #regions + 1]
    i = math.floor(i / #regions)
    local day, month = i %% 27 + 2, math.floor(i / 27) %% 12 + 1
    i = math.floor(i / days)
    local year, window = %(first_year)d + i %% years, %(first_window)d + math.floor(i / years)
    return wrk.format("GET", %(path)s)
end
"""
PATHS = {
    "summary": 'string.format("/v1/regions/%s/summary?window=%dd&as_of=%d-%02d-%02d", region, window, year, month, day)',
    "series": 'string.format("/v1/regions/%s/weather?from=%d-%02d-%02d&to=%d-%02d-%02d", region, year, month, day, year + 1, month, day - 1)',
}
# What the SQL is recorded with, and how pgbench then chooses each value anew: the same ranges as in the Lua above.
PROBES = {
    "summary": ("/v1/regions/KE-plain-1/summary?window=41d&as_of=2019-05-17", {"41": ("days", "int"), "2019-05-17": ("from_day", "date")}),
    "series": ("/v1/regions/KE-plain-1/weather?from=2017-03-05&to=2018-03-04",
               {"2017-03-05": ("from_day", "date"), "2018-03-04": ("to_day", "date")}),
}
RANDOM = f"""\\set year random({FIRST_YEAR}, {FIRST_YEAR + YEARS - 1})
\\set month random(1, 12)
\\set day random(2, 28)
\\set from_day :year * 10000 + :month * 100 + :day
\\set to_day :from_day + 9999
\\set days random({FIRST_WINDOW}, {FIRST_WINDOW + WINDOWS - 1})
"""


def write_lua(folder, kind):
    file = folder / f"{kind}.lua"
    file.write_text(LUA % {"regions": ", ".join(f'"{region}"' for region in REGIONS), "years": YEARS, "first_year": FIRST_YEAR,
                           "windows": WINDOWS, "first_window": FIRST_WINDOW, "path": PATHS[kind]})
    return file


def log_records(text):
    """(pid, message) of each record of the server's log; lines of one record are joined as they were sent."""
    parts = re.split(r"^\d{4}-\d\d-\d\d [\d:.]+ \S+ \[(\d+)\] ", text, flags=re.MULTILINE)
    return [(parts[i], parts[i + 1].replace("\n\t", "\n")) for i in range(1, len(parts) - 1, 2)]


@dataclass
class Statement:
    sql: str  # with $1, $2, …
    values: list  # of the probe; None is null
    settings: list  # (name, value) that the gateway set after its login on this connection


def record(world, gateway_name, ask, path, known, **options):
    """Lets PostgreSQL log the SQL of one request for `path`, with the settings of the connection that it came over. The statement is
    told from others by the values `known` among its parameters."""
    world.postgres.psql("postgres", "sluice", "-c", "alter role sluice_reader set log_min_duration_statement = 0")
    before = world.postgres.log.stat().st_size
    gateway = world.gateway(gateway_name, **options)
    try:
        ask(gateway, path)
    finally:
        gateway.stop()
        world.postgres.psql("postgres", "sluice", "-c", "alter role sluice_reader reset log_min_duration_statement")
    text = world.postgres.log.read_text()[before:]
    records = log_records(text)
    for (pid, message), (_, detail) in zip(records, records[1:]):
        executed = re.match(r"LOG:  duration: [\d.]+ ms  execute [^:]+: (?!explain)(.*)", message, re.DOTALL | re.IGNORECASE)
        if not executed or not detail.startswith("DETAIL:  parameters: ") or not all(f"'{value}'" in detail for value in known):
            continue
        pairs = re.findall(r"\$\d+ = (?:'((?:[^']|'')*)'|(NULL))", detail)
        values = [None if null else value.replace("''", "'") for value, null in pairs]
        settings = [found for other, line in records if other == pid and " statement: set " in line
                    for found in re.findall(r"\bset \"?(\w+)\"? = '?([^;']*)'?;", line, re.IGNORECASE)]
        return Statement(executed[1].strip().rstrip(";"), values, settings)
    raise Failure(f"PostgreSQL's log shows no statement with the parameters {', '.join(known)} after GET {path}: "
                  "has the way in which the gateway hands them over changed?")


def for_pgbench(statement, kind, region_variable):
    """The statement with pgbench's variables for its parameters. pgbench knows no types: each gets a cast to the one it has."""
    known = {**PROBES[kind][1], "KE-plain-1": (region_variable, "text")}

    def parameter(match):
        value = statement.values[int(match[1]) - 1]
        if value is None:
            return "null"
        if value in known:
            return ":{}::{}".format(*known[value])
        kind_of = "int" if re.fullmatch(r"-?\d+", value) else "date" if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else "text"
        return f"'{value}'::{kind_of}"

    # pgbench would take ':MI' of a literal for a variable.
    sql = re.sub(r"'[^']*:[^']*'", lambda literal: "U&" + literal[0].replace("\\", "\\\\").replace(":", "\\003A"), statement.sql)
    return RANDOM + re.sub(r"\$(\d+)", parameter, sql) + ";\n"


def by_region(world, kind, statement):
    """pgbench chooses among numbers only, so each region has a script, and pgbench chooses among the scripts."""
    scripts = []
    for number, region in enumerate(REGIONS):
        script = world.folder / f"{kind}{number}.sql"
        script.write_text(for_pgbench(statement, kind, f"region{number}"))
        scripts += ["-f", script, "-D", f"region{number}={region}"]
    return Pgbench(world, scripts, statement)


class Pgbench:
    """The peer: the same statement, prepared, under the settings that the gateway uses. `scripts`: pgbench's options that name them."""

    def __init__(self, world, scripts, statement):
        self.world, self.scripts = world, scripts
        # The timeout's cost is the same at any length, but a pgbench that meets it gives up.
        settings = [(name, "30000" if name == "statement_timeout" else value) for name, value in statement.settings]
        escaped = [(name, value.replace("\\", "\\\\").replace(" ", "\\ ")) for name, value in settings]
        self.environment = {**world.postgres.environment("reader"), "PGSSLMODE": "disable",
                            "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in escaped)}

    def measure(self, connections, seconds, warm_up):
        # The progress reports cut the warm-up off: a second run would connect and plan anew.
        command = [POSTGRES_BIN / "pgbench", "-n", "-M", "prepared", "-h", "127.0.0.1", "-p", self.world.postgres.port,
                   "-U", "sluice_reader", "-c", connections, "-j", 1, "-T", seconds + warm_up, "-P", 1, *self.scripts, "sluice"]
        log = self.world.folder / "pgbench.log"
        with open(log, "w", encoding="utf-8") as errors:
            out = run_to(command, errors, self.environment)
        text = log.read_text()
        failed = re.search(r"number of failed transactions: (\d+)", out)
        rates = [(float(at), float(rate)) for at, rate in re.findall(r"^progress: ([\d.]+) s, ([\d.]+) tps", text, re.MULTILINE)]
        kept = [rate for at, rate in rates if at > warm_up + 0.5]
        if not kept:
            raise Failure(f"pgbench reported no progress after its warm-up:\n{text[-1000:]}")
        mean = float(re.search(r"latency average = ([\d.]+) ms", out)[1]) * 1e3
        return Result(statistics.fmean(kept), mean, 0, 0, int(failed[1]) if failed else 0)


def run_to(command, errors, environment):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise Failure(f"pgbench failed with {done.returncode}:\n{Path(errors.name).read_text()[-2000:]}")
    return done.stdout
