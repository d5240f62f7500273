"""Two customers with the same things and a stranger, for the tests that none learns of another's: what is another's is answered as what is not
there, the twin of each attempt, which names a thing of the same length that nobody has."""
import base64
import re

import pytest

from conftest import start_gateway
from gateway import token, write_secret
from office import LOGIN_KEY, opened
from wait import eventually

WAREHOUSE = """
create schema ware; grant usage on schema ware to sluice_reader, sluice_writer;
create table ware.price (day date primary key, price numeric not null);
insert into ware.price select date '2024-01-01' + n, 10 + n from generate_series(0, 9) n;
create schema secret; grant usage on schema secret to sluice_reader; create table secret.plan (id integer primary key);
alter schema ware owner to sluice_owner; alter table ware.price owner to sluice_owner;
alter schema secret owner to sluice_owner; alter table secret.plan owner to sluice_owner;
grant select on ware.price, secret.plan to sluice_reader;
"""
SCHEMAS = {"warehouse": {"schemas": ["ware", {"name": "secret", "scope": "secret:read"}]}}
ALL = "datasets:read analytics:write uploads:write warehouse:write regions:read audit:read"
ME, OTHER, STRANGER = "isoanna", "isobert", "isocarl"
FOREIGN_WORDS = (OTHER, "ledger", "margin", "frozen", "bestowed", "topsecret", "bertkey")
SALES = "id,who\n1,{0}\n2,{0}\n"
NOWHERE = "00000000-0000-4000-8000-000000000000"
TUS = {"Tus-Resumable": "1.0.0"}


def bearer(name=ME, scope=ALL, **claims):
    return token(customer=name, scope=scope, **claims)


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "isolation", (ME, OTHER), WAREHOUSE, SCHEMAS) as one:
        yield one


@pytest.fixture(scope="module")
def api(postgres, redis, office, tmp_path_factory):
    folder = tmp_path_factory.mktemp("isolation")
    spool = folder / "spool"
    spool.mkdir(mode=0o700)
    one = start_gateway(folder, postgres, redis, office.database,
                        {**SCHEMAS, "customers": {"connections": 8, "each": 2, "login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}, "uploads": {"spool": str(spool)}})
    yield one
    one.stop()


def call(api, method, path, who=ME, headers=None, scope=ALL, **options):
    return api.get(path, method=method, headers=headers, bearer=bearer(who, scope), **options)


def made(answer):
    assert answer.status_code in (200, 201, 204), f"{answer.status_code} {answer.text}"
    return answer


def upload(api, name, body, who=ME, query="", key=None):
    return call(api, "PUT", f"/v1/uploads/{name}{query}", who, {"Content-Type": "text/csv", "Idempotency-Key": key}, data=body)


def session_of(api, who, dataset):
    encoded = base64.b64encode(dataset.encode()).decode()
    return call(api, "POST", "/v1/uploads/sessions", who, {**TUS, "Upload-Length": "100", "Upload-Metadata": f"dataset {encoded}"})


class World:
    """What both have under one name, and what only the other has."""

    def __init__(self, api):
        for who in (ME, OTHER):
            made(upload(api, "sales", SALES.format("topsecret" if who == OTHER else "mine"), who))
            made(call(api, "PUT", "/v1/analytics/total", who, json={"sql": "select count(*) as n, min(who) as who from uploads.sales"}))
        ledger = made(upload(api, "ledger", "id,who\n1,topsecret\n2,topsecret\nthree,topsecret\n", OTHER, "?max_bad=0.5&types=id:integer", "bertkey-1"))
        assert ledger.json()["quarantined"] == 1, ledger.text
        made(call(api, "PUT", "/v1/analytics/margin", OTHER, json={"sql": "select who from uploads.ledger"}))
        made(call(api, "PUT", "/v1/analytics/frozen", OTHER, json={"sql": "select who from uploads.ledger", "as": "table"}))
        made(call(api, "PUT", "/v1/analytics/bestowed", OTHER, json={"sql": "select who from uploads.ledger"}))
        made(call(api, "PUT", f"/v1/analytics/bestowed/shares/{STRANGER}", OTHER))
        self.session = made(session_of(api, OTHER, "later")).headers["Location"].rpartition("/")[2]
        job = call(api, "POST", "/v1/query", OTHER, {"Prefer": "respond-async"}, json={"sql": "select who from uploads.ledger"})
        assert job.status_code == 202, job.text
        self.job = job.headers["Location"].rpartition("/")[2]
        eventually(lambda: call(api, "GET", f"/v1/jobs/{self.job}", OTHER).json()["state"] == "done", within=20, says="the other's job")
        page = made_page(call(api, "GET", "/v1/datasets/uploads.sales?order=id&limit=1", OTHER))
        self.cursor = page


def made_page(answer):
    assert answer.status_code in (200, 206), answer.text
    found = re.search(r"cursor=([^&>]+)", answer.headers.get("Link", ""))
    assert found, answer.headers
    return found[1]


@pytest.fixture(scope="module")
def world(api):
    return World(api)


def state_of_other(api, office):
    """All that the other has, as the database and his own calls tell."""
    rows = {name: call(api, "GET", f"/v1/datasets/{name}", OTHER).text for name in ("uploads.sales", "uploads.ledger", "analytics.total", "analytics.margin", "analytics.frozen", "analytics.bestowed")}
    kept = [office.query(f"select md5(string_agg(t::text, '|' order by t::text)) from sluice.{table} t where {column} = %s", (OTHER,))
            for table, column in (("upload", "customer_id"), ("analysis", "customer_id"), ("share", "customer_id"), ("idempotency", "owner"), ("quarantine", "customer_id"))]
    names = office.query("select n.nspname, c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname like %s order by 1, 2", (OTHER + "%",))
    return rows, kept, names


# --- What differs between any two answers, and what the caller wrote himself, is masked. ---

CHANGING = {"date", "x-request-id", "server-timing", "ratelimit", "traceparent", "upload-expires"}


def words_of(name):
    return re.findall(r"\w+", name)


def mask(text, real, twin):
    """What was written is the twin's in both answers; the words are as long. The whole name first: a word of a random one may stand in another word of it."""
    for one, other in ((real, twin), *zip(words_of(real), words_of(twin), strict=True)):
        if one != other:
            for form in (str, str.lower, str.upper):
                text = text.replace(form(one), form(other))
    text = re.sub(r'"(request_id|session_id|job_id|version)": ?"[^"]*"', r'"\1":"-"', text)
    text = re.sub(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z', "TIME", text)
    return re.sub(r"/sessions/[0-9a-f-]{36}", "/sessions/-", text)


def seen(answer, real, twin):
    changing = CHANGING | ({"etag", "last-modified"} if answer.status_code < 300 else set())
    headers = {key.lower(): mask(value, real, twin) for key, value in answer.headers.items() if key.lower() not in changing}
    return answer.status_code, headers, mask(answer.text, real, twin)


def same(first, second, real="", twin="", at=""):
    told, twins = seen(first, real, twin), seen(second, real, twin)
    assert told == twins, f"{at} {real} / {twin}\n{told}\n{twins}"


def tells_nothing(answer, name=""):
    told = answer.text + str({key: value for key, value in answer.headers.items() if key != "X-Request-Id"})
    for word in sorted(words_of(name), key=len, reverse=True):
        for form in (word, word.lower(), word.upper()):
            told = told.replace(form, "-")
    for word in FOREIGN_WORDS:
        assert word not in told, f"{word}: {told[:800]}"
