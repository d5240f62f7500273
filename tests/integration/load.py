"""Callers that never stop, and what became of their calls."""
import threading
from concurrent.futures import ThreadPoolExecutor

import requests


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

    def _call(self, session):
        try:
            answer = session.get(self.url, headers=self.headers, timeout=60)
            failure, seen = (None if answer.status_code == 200 else answer.status_code), [answer.headers["X-Request-Id"]]
        except requests.RequestException as error:
            failure, seen = repr(error), []
        with self.lock:
            self.answered += failure is None
            self.seen += seen
            if failure is not None:
                self.failures.append(failure)

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
