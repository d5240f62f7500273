"""Waiting for conditions instead of for time to pass, and addresses to listen on."""
import itertools
import random
import socket
import time


def eventually(condition, within=5.0, every=0.01, says="the condition"):
    """The first true value of condition(), which is asked until `within` seconds have passed. An AssertionError or OSError of it
    counts as no, and is shown when time is up."""
    deadline = time.monotonic() + within
    while True:
        last = None
        try:
            value = condition()
            if value:
                return value
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"{says} did not come true within {within} s" + (f": {last}" if last else "")) from last
        time.sleep(every)


FIRST_PORT, END_PORT, BLOCK = 20000, 32000, 400  # below the ports that the kernel gives to outgoing connections
BLOCKS = []


def claim_block():
    """Ports that no other test process takes while this one runs, and the claim: a name, which the kernel frees with the process."""
    blocks = list(range(FIRST_PORT, END_PORT, BLOCK))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0sluice-test-ports-{first}")
        except OSError:
            claim.close()
            continue
        return claim, itertools.cycle(range(first, first + BLOCK))
    raise RuntimeError(f"{len(blocks)} test processes run already: each block of ports is taken")


def free_port():
    """A loopback port nobody listens on, nor will: until a few hundred more were asked for, no test gets it again."""
    if not BLOCKS:
        BLOCKS.append(claim_block())
    ports = BLOCKS[0][1]
    for _ in range(BLOCK):
        port = next(ports)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port in this process' block")
