"""Waiting for conditions instead of for time to pass, and addresses to listen on."""
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


def free_port():
    """A loopback port nobody listens on, below those that the kernel gives to outgoing connections."""
    for _ in range(200):
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 32000")
