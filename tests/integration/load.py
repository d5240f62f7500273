"""Callers that never stop, and what became of their calls."""
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import requests

from wait import eventually


class Callers:
    """`with Callers(gateway, count) as callers:` each calls again and again until the block ends, half of them on one connection, half on a new one each time.
    A call that fails is no exception but an entry in `failures`; `seen` has the ids of all that were answered."""

    def __init__(self, gateway, count=4, path="/v1/regions/AR/summary", verify=None, bearer=None):
        self.url, self.headers = gateway.base + path, gateway.headers(bearer=bearer)
        self.count, self.verify = count, verify
        self.stopping = threading.Event()
        self.failures, self.answered, self.seen = [], 0, []
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(count)

    def _ask(self, session, url, headers):
        """Whether the answer is 200."""
        try:
            answer = session.get(url, headers=headers, timeout=60)
            failure, seen = (None if answer.status_code == 200 else answer.status_code), [answer.headers["X-Request-Id"]]
        except requests.RequestException as error:
            failure, seen = repr(error), []
        with self.lock:
            self.answered += failure is None
            self.seen += seen
            if failure is not None:
                self.failures.append(failure)
        return failure is None

    def _call(self, session):
        self._ask(session, self.url, self.headers)

    def _caller(self, keeps):
        session = self._session()
        while not self.stopping.is_set():
            self._call(session)
            if not keeps:
                session.close()
                session = self._session()
        session.close()

    def _session(self):
        session = requests.Session()
        session.trust_env = False
        if self.verify:
            session.verify = str(self.verify)
        return session

    def __enter__(self):
        self.running = [self.pool.submit(self._caller, index % 2 == 0) for index in range(self.count)]
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for one in self.running:
            one.result()
        self.pool.shutdown()


class Carriers(Callers):
    """Callers whose tokens come and go: each call carries the newest or, as often, any of them, to each of several gateways."""

    def __init__(self, gateways, bearer, path, count=6):
        super().__init__(gateways[0], count, path)
        self.gateways, self.path = gateways, path
        self.bearers, self.carried, self.accepted = [bearer], Counter(), Counter()

    def _call(self, session):
        with self.lock:
            bearer = random.choice([self.bearers[-1], random.choice(self.bearers)])
            self.carried[bearer] += 1
        good = [self._ask(session, one.base + self.path, one.headers(bearer=bearer)) for one in self.gateways]
        with self.lock:
            self.carried[bearer] -= 1
            self.accepted[bearer] += all(good)

    def use(self, bearer, calls=30):
        """A new token, until so many calls with it were answered by all gateways."""
        with self.lock:
            self.bearers.append(bearer)
        self.go_on(calls)

    def go_on(self, calls=30):
        newest, before = self.bearers[-1], self.accepted[self.bearers[-1]]
        eventually(lambda: self.accepted[newest] - before >= calls or self.failures, within=60, says="answers to the newest token")

    def retire(self, bearer):
        """No call carries it any more."""
        with self.lock:
            self.bearers.remove(bearer)
        eventually(lambda: self.carried[bearer] == 0, within=60, says="the end of the calls with a token")
