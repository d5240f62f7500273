"""Every file of tests/messy through PUT /v1/uploads: its columns, types and rows as expected.json has them, or a refusal with the right line."""
import json
import re
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import ROOT, assert_problem, quote, token, write_secret
from office import LOGIN_KEY, Office

FOLDER = Path(ROOT) / "tests/messy"
ENTRIES = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
# A parameter's name and, where the table writes values otherwise, its value.
PARAMETERS = {"date_order": "dates"}
TYPES = {"timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone"}
CUSTOMER = "messy"
BEARER = {"customer": CUSTOMER, "scope": "datasets:read uploads:write"}


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    database = postgres.clone(f"messy_{next(NUMBERS)}", TEMPLATE)
    one = Office(postgres, database, tmp_path_factory.mktemp("office"))
    one.ok("add", CUSTOMER, "--relations", "0")
    yield one
    one.erase(CUSTOMER)
    postgres.drop(database)


@pytest.fixture(scope="module")
def api(postgres, redis, office, tmp_path_factory):
    folder = tmp_path_factory.mktemp("messy")
    one = start_gateway(folder, postgres, redis, office.database, {"customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}})
    yield one
    one.stop()


def name_of(entry):
    return "f_" + re.sub(r"[^a-z0-9_]", "_", entry["file"].lower())


def put(api, entry):
    told = "&".join(f"{PARAMETERS.get(name, name)}={quote(value)}" for name, value in entry["told"].items())
    return api.get(f"/v1/uploads/{name_of(entry)}?{told}".rstrip("?"), method="PUT", data=(FOLDER / entry["file"]).read_bytes(), bearer=token(**BEARER))


def canonical(value, kind):
    """COPY's text of a value as one form: what two texts of the same value share, and no two values do."""
    if value is None:
        return None
    if kind == "boolean":
        return {"t": True, "f": False}[value]
    if kind == "timestamp":
        return datetime.fromisoformat(padded(value))
    if kind == "timestamptz":
        return datetime.fromisoformat(padded(value)).astimezone(timezone.utc)
    if kind == "jsonb":
        return json.dumps(json.loads(value, parse_float=str, parse_int=str))
    return format(Decimal(value), "f") if kind == "numeric" else value


def padded(moment):
    """Python 3.10 reads three digits of a second, or six."""
    return re.sub(r"\.(\d+)", lambda match: "." + match[1].ljust(6, "0"), moment.replace("Z", "+00:00"))


def served(value, kind):
    """The same of what the API gave, with numbers as they stood in the JSON."""
    if value is None or kind == "boolean":
        return value
    if kind == "jsonb":
        return json.dumps(value)
    return canonical(value, kind)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if "refused" not in entry], ids=lambda entry: entry["file"])
def test_a_messy_file_is_read_right(api, entry):
    answer = put(api, entry)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert [one["name"] for one in told["columns"]] == entry["columns"]
    assert [one["type"] for one in told["columns"]] == [TYPES.get(kind, kind) for kind in entry["types"]] or \
        [one["type"] for one in told["columns"]] == entry["types"]
    assert (told["rows"], told["inserted"], told["quarantined"]) == (len(entry["rows"]), len(entry["rows"]), 0)
    found = {**entry, "decimal": "comma" if entry.get("decimal_comma") else "point"}
    for what in ("delimiter", "header", "format", "encoding", "quote", *(["decimal"] if "decimal_comma" in entry else [])):
        if what in found and what in told["guessed"]:
            assert told["guessed"][what] == found[what], what
    answer = api.get(f"/v1/datasets/uploads.{name_of(entry)}", bearer=token(**BEARER))
    assert answer.status_code == 200, answer.text
    rows = json.loads(answer.text, parse_float=str, parse_int=str)
    assert all(list(row) == entry["columns"] for row in rows)
    assert [[served(value, kind) for value, kind in zip(row.values(), entry["types"])] for row in rows] == \
        [[canonical(value, kind) for value, kind in zip(row, entry["types"])] for row in entry["rows"]]


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if "refused" in entry], ids=lambda entry: entry["file"])
def test_a_file_that_cannot_be_read_is_refused_with_its_line(api, office, entry):
    problem = assert_problem(put(api, entry), 422, "invalid-file")
    assert entry["refused"].lower() in problem["detail"].lower(), problem["detail"]
    mistake = problem["errors"][0]
    assert mistake["in"] == "file" and mistake.get("line", 0) == entry["line"], problem
    assert_problem(api.get(f"/v1/uploads/{name_of(entry)}", bearer=token(**BEARER)), 404, "not-found")
    assert office.query("select count(*) from pg_class where relkind = 'r' and (relname = %s or relname like '~%%')", (name_of(entry),))[0][0] == 0


def test_the_table_of_messy_files_is_complete():
    named = {entry["file"] for entry in ENTRIES} | {"make.py", "expected.json"}
    assert {file.name for file in FOLDER.iterdir() if file.is_file()} == named and len(ENTRIES) >= 60
