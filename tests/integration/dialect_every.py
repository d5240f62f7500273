"""A database with every type and every odd name in it, and psql's answers to hold the gateway's against."""
import json
import os
import subprocess

import pytest

from conftest import TEMPLATE, start_gateway
from dialect_types import make_types
from gateway import ROOT, assert_problem, token
from servers import OWNER_PASSWORD

DATABASE = "every"
FOLDER = ROOT / "tests/integration"
SCHEMAS = ["every", "serving", {"name": "side", "scope": "side:read"}, "third"]
MARK = "=== of the next query"
SCOPE = "datasets:read"


def opened(postgres, redis, folder, changes=None):
    """A gateway on the database, which is made for the first one."""
    if not postgres.query("postgres", "select 1 from pg_database where datname = %s", (DATABASE,)):
        postgres.clone(DATABASE, TEMPLATE)
        postgres.query(DATABASE, (FOLDER / "dialect_every.sql").read_text(encoding="utf-8"))
        postgres.query(DATABASE, make_types())
        postgres.query(DATABASE, "grant select on all tables in schema every, side, third, serving to sluice_reader")
        postgres.query(DATABASE, "revoke all on every.people, every.people_secret from sluice_reader; grant select (id, name) on every.people to sluice_reader")
        postgres.query(DATABASE, "vacuum analyze")
    one = start_gateway(folder, postgres, redis, DATABASE, {"warehouse": {"schemas": SCHEMAS}, **(changes or {})})
    one.token = token(scope=SCOPE)
    return one


SHARED = {}


@pytest.fixture(scope="session")
def every(postgres, redis, tmp_path_factory):
    """One gateway for all files that import this; whose fixture came first stops it."""
    if "gateway" in SHARED:
        yield SHARED["gateway"]
        return
    SHARED["gateway"] = opened(postgres, redis, tmp_path_factory.mktemp("every"))
    yield SHARED["gateway"]
    SHARED.pop("gateway").stop()


# What psql says

QUESTIONS = {}  # SQL: psql's answer, (SQLSTATE, JSON); None until it was asked


def pairs(*cases):
    """Parametrises a test with `url` (behind /v1/datasets/) and the `sql` that gives the same rows."""
    for _, sql in cases:
        QUESTIONS.setdefault(sql, None)
    return pytest.mark.parametrize(("url", "sql"), cases, ids=[url[:90] for url, _ in cases])


def script(sqls):
    lines = ["\\set VERBOSITY sqlstate", "set timezone = 'UTC';", "set statement_timeout = '30s';", "set search_path = every, public;"]
    for sql in sqls:
        lines += [f"select coalesce(json_agg(a_row), '[]')::text from ({sql}) a_row;", "\\echo :SQLSTATE", f"\\echo '{MARK}'"]
    return "\n".join(lines)


def ask_psql(postgres, sqls):
    environment = {**os.environ, "PGPASSWORD": OWNER_PASSWORD, "PGCLIENTENCODING": "UTF8"}
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-h", str(postgres.folder), "-p", str(postgres.port), "-U", "postgres", DATABASE],
                          input=script(sqls), capture_output=True, text=True, timeout=120, check=False, env=environment)
    answers = done.stdout.split(MARK + "\n")[:-1]
    assert len(answers) == len(sqls), done.stderr[-3000:]
    for sql, answer in zip(sqls, answers):
        document, _, state = answer.rstrip("\n").rpartition("\n")
        QUESTIONS[sql] = (state, document)


def by_psql(postgres, sql):
    """All that has been registered is asked at once: a psql each would cost more than the tests."""
    if QUESTIONS.setdefault(sql, None) is None:
        ask_psql(postgres, [one for one, answer in QUESTIONS.items() if answer is None])
    return QUESTIONS[sql]


def parse(document):
    """Numbers as they are written; members in their order, repeated ones too."""
    return json.loads(document, parse_float=lambda text: ("number", text), parse_int=lambda text: ("number", text), object_pairs_hook=Members)


class Members(list):
    """An object: its members in their order."""


def sort_rows(rows):
    return sorted(rows, key=repr)


def address(url):
    return "/v1/datasets/" + url


@pytest.fixture
def same_rows(every, postgres):
    """The URL's rows are those of the SQL; where psql is refused, so is the URL, by a problem of the caller's."""

    def check(url, sql, **options):
        state, document = by_psql(postgres, sql)
        answer = every.get(address(url), **options)
        if state != "00000":
            assert_problem(answer, 404 if state == "42883" else 400)
            return
        assert answer.status_code in (200, 206), f"{answer.status_code}: {answer.text[:800]}"
        found, expected = parse(answer.content), parse(document)
        if "order=" not in url:
            found, expected = sort_rows(found), sort_rows(expected)
        assert found == expected, f"{found}\nis not psql's\n{expected}"

    return check


def mistakes(*cases):
    """Parametrises a test with `url`, `status`, `kind`, `field`, `column` and `words` of a problem."""
    return pytest.mark.parametrize(("url", "status", "kind", "field", "column", "words"), cases, ids=[case[0][:90] for case in cases])


@pytest.fixture
def refused(every):
    """The URL is refused; the message names the parameter, the column in it, and holds each of the words."""

    def check(url, status=400, kind="invalid-parameter", field=None, column=None, words=(), **options):
        problem = assert_problem(every.get(address(url), **options), status, kind)
        told = problem["errors"][0] if problem.get("errors") else {}
        text = problem["detail"] + " " + told.get("message", "")
        if field is not None:
            assert told.get("field", told.get("parameter")) == field, problem
        if column is not None:
            assert told.get("column") == column, problem
        for word in (words,) if isinstance(words, str) else words:
            assert word in text, f"{word!r} is not in {text!r}"
        assert "pg_catalog" not in text and "sluice_t" not in text, text
        return problem

    return check
