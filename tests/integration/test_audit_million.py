"""Requests by the million, while the gateway is killed, the disk fills up and the database goes: each answered request is in the audit log once, in order, and nothing
that verify would name. The ordinary run makes ten thousand of them."""
import multiprocessing
import random
import re
import resource
import socket
import subprocess
import time
from array import array
from pathlib import Path

import pytest

from calls import EMIL, bearer, opened
from gateway import BINARY, RELEASE_BINARY, command
from servers import Postgres
from wait import eventually

WITHIN = 60
CALLERS = 4  # the last one writes, a hundredth of all: an answer that waits for the disk must not hold up those that do not
BATCH = 32  # requests that a connection has under way at once
PER_CONNECTION = 4096
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) ")
TRACE = re.compile(rb'"event":"(?:request|incomplete)",.*?"trace_id":"([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{16})".*?"status":(\d+)')
UNRECORDED = b"problem:unrecorded"  # the answer that says of itself that it is not in the log
UNSURE = 1  # a 503 that was cut off before it said so


def requests_of(caller):
    """One of each kind, and how many of a hundred it is; %s is where the trace goes."""
    good, poor = bearer(), bearer(scope="")
    share = f"/v1/analytics/total/shares/{EMIL}"

    def made(method, path, token):
        return f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\ntraceparent: 00-%s-0000000000000001-01\r\n\r\n".encode()

    if caller == CALLERS:
        return [(made("PUT", share, good), 50), (made("DELETE", share, good), 50)]
    return [(made("GET", "/v1/regions/AR/summary", good), 50), (made("GET", "/v1/regions/AR-north-1", good), 20), (made("GET", "/v1/regions?q=ar&limit=2", good), 8),
            (made("GET", f"/v1/regions/none-{caller}", good), 8), (made("GET", "/v1/regions/AR", poor), 7), (made("GET", "/v1/regions/AR", "no.token.here"), 7)]


class Caller:
    """A process that sends batches on one connection after another until `wanted` answers have come. A request's trace is the caller, its connection, and the number of
    it there; `answers[connection]` holds the statuses in their order."""

    def __init__(self, number, port, wanted):
        self.number, self.port, self.wanted = number, port, wanted
        self.answers = []
        self.chance = random.Random(number)
        kinds = requests_of(number)
        self.kinds, self.weights = [request for request, _ in kinds], [weight for _, weight in kinds]

    def _batch(self, connection, first):
        chosen = self.chance.choices(self.kinds, self.weights, k=BATCH)
        head = b"%08x%08x" % (self.number, connection)
        return b"".join(request % (head + b"%016x" % (first + i)) for i, request in enumerate(chosen))

    def _take(self, peer, statuses):
        """The answers to one batch; False: the connection has ended."""
        got = b""
        chunk = b"x"
        while chunk and not (len(ANSWER.findall(got)) == BATCH and is_whole(got)):
            try:
                chunk = peer.recv(1 << 18)
            except ConnectionResetError:
                chunk = b""
            got += chunk
        found = list(ANSWER.finditer(got))
        for index, match in enumerate(found):
            status = int(match[1])
            until = found[index + 1].start() if index + 1 < len(found) else len(got)
            if status == 503:
                body = got[match.start() : until]
                status = -503 if UNRECORDED in body else 503 if b"request_id" in body else UNSURE
            statuses.append(status)
        return bool(chunk)

    def _connection(self, left):
        statuses = array("h")
        self.answers.append(statuses)
        with socket.create_connection(("127.0.0.1", self.port), timeout=WITHIN) as peer:
            while len(statuses) < min(left, PER_CONNECTION):
                peer.sendall(self._batch(len(self.answers), len(statuses)))
                if not self._take(peer, statuses):
                    return

    def run(self, counter):
        done = 0
        while done < self.wanted:
            try:
                self._connection(self.wanted - done)
            except OSError:
                time.sleep(0.01)  # nobody listens: the gateway starts anew
            done = sum(len(statuses) for statuses in self.answers)
            counter.value = done
        return self.answers


def is_whole(got):
    """Has the last answer's body come?"""
    last = got.rfind(b"HTTP/1.1 ")
    head, end, body = got[last:].partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and (length is None or len(body) >= int(length[1]))


def calling(number, port, wanted, counter, results):
    results.put((number, Caller(number, port, wanted).run(counter)))


class Callers:
    def __init__(self, port, wanted):
        context = multiprocessing.get_context("fork")
        self.results = context.Queue()
        self.counters = [context.Value("q", 0, lock=False) for _ in range(CALLERS)]
        self.processes = [context.Process(target=calling, args=(i + 1, port, wanted // 100 if i + 1 == CALLERS else -(-wanted // (CALLERS - 1)), self.counters[i], self.results), daemon=True) for i in range(CALLERS)]
        for process in self.processes:
            process.start()

    def answered(self):
        return sum(counter.value for counter in self.counters)

    def end(self, within):
        """{caller: answers}"""
        answers = dict(self.results.get(timeout=within) for _ in self.processes)
        for process in self.processes:
            process.join(WITHIN)
        return answers


# What goes wrong.


def kill(one, _server, _chance):
    one.kill()
    one.session.close()
    one.start(ready=False)


def fill_disk(one, _server, chance):
    """The process's files grow by part of a record at most; then there is room again."""
    paths = sorted(Path(one.config["audit"]["folder"]).glob("*-w*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    size = min(path.stat().st_size for path in paths[-one.config["server"]["workers"] :])
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (size + chance.randint(0, 300), resource.RLIM_INFINITY))
    eventually(lambda: one.metrics().get("sluice_audit_failures_total", 0) > 0, within=WITHIN, says="a full disk")
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def lose_database(_one, server, _chance):
    server.kill()
    server.start()


def disturb(one, server, callers, wanted, kills, others):
    """Spread over the run: so many kills, and so many of each other fault."""
    chance = random.Random(kills)
    faults = [kill] * kills + [fill_disk, lose_database] * others
    chance.shuffle(faults)
    for index, fault in enumerate(faults):
        due = wanted * (index + 1) // (len(faults) + 1)
        eventually(lambda: callers.answered() >= due or not any(process.is_alive() for process in callers.processes), within=600, every=0.02, says=f"{due} answers")
        eventually(one.is_ready, within=WITHIN, says="the gateway")
        fault(one, server, chance)


def check_log(one, answers, kills):
    """Each answer's record once, with its status; of each connection in their order; of what was refused because it could not be recorded none."""
    seen = {(caller, number): array("b", bytes(len(statuses))) for caller, connections in answers.items() for number, statuses in enumerate(connections, 1)}
    last, withheld = {}, set()
    for line in lines_of(one):
        match = TRACE.search(line)
        if match is None:
            continue
        place, index, status = (int(match[1], 16), int(match[2], 16)), int(match[3], 16), int(match[4])
        if place not in seen:
            continue
        assert last.get(place, -1) < index, f"{place}: {index} after {last[place]}"
        last[place] = index
        if index < len(seen[place]):  # else nobody has heard the answer
            told = answers[place[0]][place[1] - 1][index]
            # Its record was in the file when the disk was full for the next one's, or it was carried out already: "incomplete" follows.
            if told == -503:
                withheld.add((place, index))
            assert told in (status, UNSURE) or (place, index) in withheld, f"{place} {index}: the log says {status}, the caller heard {told}"
            seen[place][index] += 1
    for (caller, number), counts in seen.items():
        for index, (count, told) in enumerate(zip(counts, answers[caller][number - 1])):
            assert told == UNSURE or count == (told > 0) or (count == 1 and ((caller, number), index) in withheld), f"{caller} {number} {index}: {told} is in the log {count} times"
    # A kill may come between the two records, once for each connection that is open.
    told_of = {((int(match[1], 16), int(match[2], 16)), int(match[3], 16)) for match in map(TRACE.search, lines_of(one, "incomplete")) if match}
    assert len(withheld - told_of) <= kills * CALLERS, f"{len(withheld - told_of)} of {len(withheld)} withheld answers are not called incomplete"


def lines_of(one, event="request"):
    with subprocess.Popen([one.binary, "audit", "grep", "--config", str(one.path), "--event", event], stdout=subprocess.PIPE) as process:
        found = 0
        for found, line in enumerate(process.stdout, 1):
            yield line
        assert process.wait() == (0 if found else 1)  # as grep's


def tell(answers, seconds, verdict):
    statuses = {}
    for connections in answers.values():
        for each in connections:
            for status in each:
                statuses[status] = statuses.get(status, 0) + 1
    print(f"{sum(statuses.values())} answers in {seconds:.0f} s: {dict(sorted(statuses.items()))}; {verdict}")
    return statuses


@pytest.mark.parametrize("wanted,kills,others", [(10_000, 3, 1), pytest.param(1_000_000, 30, 5, marks=[pytest.mark.long, pytest.mark.timeout(1500)])])
def test_each_answer_is_in_the_log_once_whatever_dies(demo_cluster, tmp_path, wanted, kills, others):
    server = Postgres(template=demo_cluster)
    try:
        with opened(tmp_path, server, None, {"audit": {"segment_size": "16MB", "anchors": {"every": "1s"}}, "log": {"requests": "off", "level": "error"}, "server": {"workers": 2}}) as one:
            one.stop()
            one.binary = RELEASE_BINARY or BINARY
            one.start()
            began = time.monotonic()
            callers = Callers(one.port, wanted)
            disturb(one, server, callers, wanted, kills, others)
            answers = callers.end(1200)
            eventually(one.is_ready, within=WITHIN, says="the gateway")
            one.stop()
            done = command("audit", "verify", "--config", one.path, binary=one.binary)
            assert done.returncode == 0 and " 0 bad places" in done.stdout, done.stdout + done.stderr
            statuses = tell(answers, time.monotonic() - began, done.stdout.strip())
            check_log(one, answers, kills)
            assert {200, 204, 401, 403, 404} <= statuses.keys()
            one.start()
    finally:
        server.remove()
