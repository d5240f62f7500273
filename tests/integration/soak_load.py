"""What a gateway meets in a day, at a bounded rate and all at once: actors, each a thread that calls, waits for its next turn, and never ends by what came back."""
import base64
import collections
import http.client
import itertools
import json
import random
import socket
import threading
import time

from gateway import token

ANSWER_S = 60
SCOPES = "regions:read datasets:read uploads:write analytics:write audit:read"
TIERS = {"test": {"rates": [{"rate": "100000/s", "burst": 100000}], "quotas": []}, "few": {"rates": [{"rate": "2/s", "burst": 4}], "quotas": []}}
CSV = {"Content-Type": "text/csv"}
TUS = {"Tus-Resumable": "1.0.0"}
SESSIONS = "/v1/uploads/sessions"
DAYS = [f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
STREAM = "/v1/datasets/weather_daily"
LARGE_BYTES = 20 << 20
SMALL = b"id,day,amount\n" + b"".join(b"%d,2024-01-01,%d.50\n" % (number, number) for number in range(500))
MALFORMED = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /v1/regions HTTP/1.1\nHost: x\n\n",
             b"GET /v1/regions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"POST /v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
             b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/regions HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70000 + b"\r\n\r\n", b"GET /v1/reg"]


def large_body():
    line = b"%09d,2024-01-01,12.50,some words that make the line as long as lines are\n"
    return b"id,day,amount,words\n" + b"".join(line % number for number in range(LARGE_BYTES // len(line % 0)))


class Client:
    """One connection after the other; `keep` holds it from call to call."""

    def __init__(self, host, port, bearer, keep=True):
        self.host, self.port, self.bearer, self.keep, self.connection = host, port, bearer, keep, None

    def send(self, method, path, body=None, headers=None):
        self.connection = self.connection or http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_S)
        self.connection.request(method, path, body, {"Authorization": f"Bearer {self.bearer}", **(headers or {})})
        return self.connection.getresponse()

    def call(self, method, path, body=None, headers=None):
        """Status, headers and body."""
        answer = self.send(method, path, body, headers)
        received = answer.read()
        if not self.keep:
            self.close()
        return answer.status, answer.headers, received

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Load:
    """`with Load(gateway, customers, regions) as load:` all actors at once. `outcomes[actor, status]` counts; a connection that broke is status 0."""

    def __init__(self, gateway, customers, regions):
        self.gateway, self.customers, self.regions = gateway, customers, regions
        self.ingest = gateway.config["server"]["ingest"]["listen"].rpartition(":")[::2]
        self.stopping, self.lock = threading.Event(), threading.Lock()
        self.outcomes, self.threads = collections.Counter(), []
        self.pace = 1  # turns in the time of one
        self.bodies = {"large": large_body()}
        self.revoked = itertools.count(1)

    # --- actors: a turn each; what they return is a status, or several ---

    def client(self, who=None, keep=True, ingest=False, **claims):
        host, port = (self.ingest[0], int(self.ingest[1])) if ingest else (self.gateway.host, self.gateway.port)
        return Client(host, port, token(customer=who or self.customers[0], scope=SCOPES, sub=f"user-{random.randrange(20)}", exp=int(time.time()) + 86400, **claims), keep)

    def summaries(self, client):
        return [client.call("GET", f"/v1/regions/{random.choice(self.regions)}/summary?window={random.choice(('7d', '30d'))}")[0] for _ in range(10)]

    def keys(self, client):
        return [client.call("GET", f"{STREAM}?select=region_id,day,temperature_c&region_id=eq.{random.choice(self.regions)}&day=eq.{random.choice(DAYS)}")[0] for _ in range(5)]

    def pages(self, client):
        return client.call("GET", f"{STREAM}?region_id=eq.{random.choice(self.regions)}&order=day&limit={random.choice((10, 100, 1000))}")[0]

    def walk(self, client):
        path, statuses = f"{STREAM}?order=region_id,day&limit=200", []
        for _ in range(5):
            status, headers, _ = client.call("GET", path)
            statuses.append(status)
            if status != 200 or "<" not in headers.get("Link", ""):
                break
            path = headers["Link"].partition("<")[2].partition(">")[0]
        return statuses

    def streams(self, client):
        """Read whole, read slowly, or left in the middle."""
        answer = client.send("GET", STREAM, headers={"Accept": random.choice(("text/csv", "application/x-ndjson"))})
        for _ in range(random.choice((1, 5, 40))):
            if not answer.read(65536) or self.stopping.wait(0.02):
                break
        client.close()
        return answer.status

    def analyses(self, client):
        name = f"a{random.randrange(5)}"
        sql = "select day, sum(amount) as total from uploads.small group by day"
        statuses = [client.call("PUT", f"/v1/analytics/{name}", json.dumps({"sql": sql, "as": random.choice(("view", "table"))}), {"Content-Type": "application/json"})[0],
                    client.call("GET", "/v1/analytics")[0], client.call("GET", f"/v1/datasets/analytics.{name}?limit=10")[0],
                    client.call("POST", "/v1/query", json.dumps({"sql": "select id, amount from uploads.small where id < 5"}), {"Content-Type": "application/json"})[0]]
        return [*statuses, client.call("DELETE", f"/v1/analytics/{name}")[0]]

    def jobs(self, client):
        status, headers, _ = client.call("POST", "/v1/query", json.dumps({"sql": "select id, amount from uploads.small"}), {"Content-Type": "application/json", "Prefer": "respond-async"})
        if status != 202:
            return status
        path = headers["Location"]
        return [status, client.call("GET", path + "?wait=20")[0], client.call("GET", path + "/result?limit=5&order=id")[0], client.call("DELETE", path)[0]]

    def uploads(self, client):
        return client.call("PUT", "/v1/uploads/small?types=amount:numeric", SMALL, CSV)[0]

    def large_uploads(self, client):
        return client.call("PUT", "/v1/uploads/large", self.bodies["large"], CSV)[0]

    def cut_uploads(self, client):
        with socket.create_connection((client.host, client.port), timeout=ANSWER_S) as connection:
            head = f"PUT /v1/uploads/cut HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.bearer}\r\nContent-Type: text/csv\r\nContent-Length: 1000000\r\n\r\n"
            connection.sendall(head.encode() + SMALL)
        return 1

    def resumable(self, client):
        metadata = ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in (("dataset", b"resumed"), ("types", b"amount:numeric")))
        status, headers, _ = client.call("POST", SESSIONS, b"", {**TUS, "Upload-Length": str(len(SMALL)), "Upload-Metadata": metadata})
        if status != 201:
            return status
        path, half = headers["Location"], len(SMALL) // 2
        piece = lambda offset, part: client.call("PATCH", path, part, {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"})[0]
        statuses = [status, piece(0, SMALL[:half]), client.call("HEAD", path, headers=TUS)[0]]
        if random.random() < 0.7:
            statuses.append(piece(half, SMALL[half:]))
        return [*statuses, client.call("DELETE", path, headers=TUS)[0]]

    def denied(self, client):
        client.bearer = random.choice((token(key="another key than that of the gateway, 64 bytes long and wrong anyway"), token(exp=int(time.time()) - 600, iat=1), "no.token.here", token(kid="none-such")))
        return client.call("GET", f"/v1/regions/{self.regions[0]}/summary")[0]

    def hasty(self, client):
        return client.call("GET", f"/v1/regions/{self.regions[0]}/summary")[0]

    def malformed(self, client):
        with socket.create_connection((client.host, client.port), timeout=ANSWER_S) as connection:
            connection.sendall(random.choice(MALFORMED))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        return 1

    def revocations(self, client):
        jti = f"soak-{next(self.revoked)}"
        client.bearer = token(jti=jti, exp=int(time.time()) + 60)
        first = client.call("GET", "/v1/regions?limit=1")[0]
        document = {"jti": jti, "until": int(time.time()) + 60}
        admin = Client(self.gateway.admin_host, self.gateway.admin_port, "", keep=False)
        told = admin.call("POST", "/revocations", json.dumps(document), {"Content-Type": "application/json"})[0]
        return [first, told, client.call("GET", "/v1/regions?limit=1")[0]]

    def records(self, client):
        return [client.call("GET", "/v1/audit?order=time.desc,chain,seq&limit=20")[0], client.call("GET", "/v1/openapi.json")[0], client.call("GET", "/v1/datasets")[0]]

    # --- the stage ---

    def actors(self):
        """Who, how often a turn (seconds), and as which client; about 250 calls a second in all."""
        for place in range(3):
            yield self.summaries, 0.2, self.client(self.customers[place % 2])
        yield self.keys, 0.12, self.client(tier="test")
        yield self.pages, 0.1, self.client()
        yield self.walk, 1, self.client()
        for _ in range(2):
            yield self.streams, 1, self.client()
        for who in self.customers:
            yield self.analyses, 2, self.client(who)
            yield self.jobs, 2, self.client(who)
        yield self.uploads, 1, self.client()
        yield self.uploads, 1, self.client(self.customers[1], ingest=True)
        yield self.large_uploads, 30, self.client(ingest=True)
        yield self.cut_uploads, 2, self.client(ingest=True)
        yield self.cut_uploads, 2, self.client()
        yield self.resumable, 2, self.client()
        yield self.denied, 0.1, self.client(keep=False)
        yield self.hasty, 0.1, self.client(tier="few", keep=False)
        yield self.malformed, 0.1, self.client()
        yield self.revocations, 3, self.client(keep=False)
        yield self.records, 2, self.client()

    def turn(self, act, client):
        try:
            statuses = act(client)
        except (OSError, http.client.HTTPException):
            client.close()
            statuses = 0
        with self.lock:
            for status in statuses if isinstance(statuses, list) else [statuses]:
                self.outcomes[act.__name__, status] += 1

    def play(self, act, every, client):
        due = time.monotonic()
        while not self.stopping.wait(max(0, due - time.monotonic())):
            self.turn(act, client)
            due = max(due + every / self.pace, time.monotonic())  # what is late is left out: a busy machine gets less load, not a flood
        client.close()

    def counted(self):
        with self.lock:
            return collections.Counter(self.outcomes)

    def __enter__(self):
        client = self.client(self.customers[1])
        for one in (self.client(), client):
            assert one.call("PUT", "/v1/uploads/small?types=amount:numeric", SMALL, CSV)[0] in (200, 201)
            one.close()
        self.threads = [threading.Thread(target=self.play, args=actor) for actor in self.actors()]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(2 * ANSWER_S)
