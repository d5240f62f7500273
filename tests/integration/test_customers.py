"""`sluice customer`: makes, changes, lists and removes the role, the schemas and the rows of a customer; nothing is left behind."""
import contextlib
import json
import subprocess

import psycopg2
import pytest

from conftest import NUMBERS, TEMPLATE
from gateway import BINARY, write_secret
from office import KEPT_ROWS, LOGIN_KEY, NAMES, TABLES, Office, made, office, pair, password_of, state_of  # noqa: F401  (fixtures)
from wait import eventually


def test_add_makes_role_schemas_and_row_and_says_so(office, made):
    name = made("--bytes", "1MB", "--relations", "7")
    role, schemas, groups, members, row = state_of(office, name)
    # Two workers of four connections, one instance, eight to spare.
    assert role == [(f"sluice_c_{name}", True, True, False, False, False, False, False, 76)]
    assert schemas == [(f"{name}_{part}", f"sluice_c_{name}") for part in ("analytics", "jobs", "uploads")]
    assert groups == [("sluice_customer",)] and members == [], "nobody is a member of a customer's role, the owner neither"
    assert row == [(name, "test", 1 << 20, 7)]
    assert office.as_customer(name, "select sluice.me(), current_user, count(*) > 0 from serving.region") == [(name, f"sluice_c_{name}", True)]


def test_add_again_changes_nothing_and_mends_what_is_missing(office, made):
    name = made("--bytes", "1MB")
    before = state_of(office, name)
    assert "made:" not in office.ok("add", name) and state_of(office, name) == before
    office.query(f"drop schema {name}_jobs; revoke sluice_customer from sluice_c_{name}; alter role sluice_c_{name} nologin connection limit 1 password 'other'")
    said = office.ok("add", name)
    assert f"made: schema {name}_jobs" in said and "made: member of sluice_customer" in said
    assert state_of(office, name) == before and office.as_customer(name, "select 1") == [(1,)]


def test_add_prints_what_it_made(office, made):
    name = made()
    office.erase(name)
    said = office.ok("add", name)
    for word in (f"customer {name}", f"role sluice_c_{name}", f"schema {name}_uploads", f"schema {name}_analytics", f"schema {name}_jobs", "member of sluice_customer"):
        assert word in said, said
    assert password_of(name) not in said and LOGIN_KEY not in said


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a'b", "a.b", 'a"b', "ä", "a" * 42, "pg", "pg_x", "warehouse", "_a", "a b", "a\n"])
def test_bad_and_reserved_names_are_refused(office, name):
    for action in ("add", "set", "remove"):
        assert "customer" in office.refused(action, name, *(["--tier", "test"] if action == "set" else []))
    assert office.query("select count(*) from sluice.customer") == [(0,)]


def test_a_name_whose_schema_is_the_warehouses_is_refused(postgres, database, tmp_path):
    one = Office(postgres, database, tmp_path, {"warehouse": {"schemas": ["serving", "north_uploads"]}})
    assert "north_uploads" in one.refused("add", "north") and "north_uploads" in one.refused("remove", "north", "--yes")


def test_a_schema_of_somebody_else_is_not_taken(office):
    name = next(NAMES)
    office.query(f"create schema {name}_analytics authorization sluice_owner")
    assert f"{name}_analytics" in office.refused("add", name)
    role, schemas, _, _, row = state_of(office, name)
    assert role == [] and row == [] and schemas == [(f"{name}_analytics", "sluice_owner")], "nothing of the attempt is left"


def test_a_mighty_role_of_that_name_is_refused(office):
    name = next(NAMES)
    office.query(f"create role sluice_c_{name} login createdb")
    try:
        assert "CREATEDB" in office.refused("add", name)
        assert state_of(office, name)[1] == [] and state_of(office, name)[4] == []
        office.query(f"alter role sluice_c_{name} nocreatedb; grant pg_read_all_data to sluice_c_{name}")
        assert "pg_read_all_data" in office.refused("add", name)
    finally:
        office.query(f"drop role sluice_c_{name}")


def test_a_failure_half_way_leaves_nothing(office):
    """The grants on the warehouse come last, after role, schemas and password."""
    name = next(NAMES)
    office.query("create function public.stop() returns event_trigger language plpgsql as $$ begin raise exception 'stopped here'; end $$;"
                 "create event trigger stop on ddl_command_end when tag in ('GRANT') execute function public.stop()")
    try:
        done = office.run("add", name)
        assert done.returncode != 0 and "stopped here" in done.stderr and "nothing of it was made" in done.stdout
        assert state_of(office, name) == ([], [], [], [], [])
    finally:
        office.query("drop event trigger stop")
    office.query("create rule stop as on insert to sluice.customer do instead select 1 / 0")
    office.refused("add", name)
    assert state_of(office, name) == ([], [], [], [], [])


def test_two_adds_at_once_both_end_well(office):
    names = [next(NAMES) for _ in range(3)]
    running = [subprocess.Popen([BINARY, "customer", "add", name, "--config", str(office.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for name in names * 2]
    try:
        for one in running:
            out, err = one.communicate(timeout=60)
            assert one.returncode == 0, err + out
        for name in names:
            assert len(state_of(office, name)[1]) == 3
    finally:
        for name in names:
            office.erase(name)


def test_without_a_login_key_the_row_alone_is_made(postgres, database, tmp_path):
    one = Office(postgres, database, tmp_path, {"customers": {}})
    del one.config["customers"]
    one.path.write_text(json.dumps(one.config))
    name = next(NAMES)
    assert "login_key" in one.ok("add", name)
    role, schemas, _, _, row = state_of(one, name)
    assert role == [] and schemas == [] and row == [(name, "test", None, None)]
    assert "login_key" in one.refused("set", name, "--print-login")
    one.ok("remove", name, "--yes")
    assert state_of(one, name)[4] == []


def test_a_short_login_key_is_refused(postgres, database, tmp_path):
    one = Office(postgres, database, tmp_path)
    one.config["customers"]["login_key_file"] = write_secret(tmp_path, "short.key", "short")
    one.path.write_text(json.dumps(one.config))
    assert "login_key" in one.refused("add", next(NAMES))


def test_set_changes_tier_and_quotas(office, made):
    name = made()
    assert "nothing to set" in office.refused("set", name)
    assert "no tier" in office.refused("set", name, "--tier", "none")
    for bad in ("-1", "1TB", "x", ""):
        office.refused("set", name, "--bytes", bad)
    for bad in ("-1", "1.5", "1000001", "x"):
        office.refused("set", name, "--relations", bad)
    office.ok("set", name, "--bytes", "10GB", "--relations", "100")
    assert state_of(office, name)[4] == [(name, "test", 10 << 30, 100)]
    office.ok("set", name, "--bytes", "0", "--relations", "tier")
    assert state_of(office, name)[4] == [(name, "test", 0, None)]
    assert "there is no customer" in office.refused("set", "nobody", "--bytes", "1")
    assert state_of(office, "nobody")[4] == []


def test_print_login_is_a_login_for_psql(office, made):
    name = made()
    said = office.ok("set", name, "--print-login")
    variables = dict(line.split("=", 1) for line in said.splitlines())
    assert {key: value.strip("'") for key, value in variables.items()} == {
        "PGHOST": "127.0.0.1", "PGPORT": str(office.postgres.port), "PGDATABASE": office.database, "PGSSLMODE": "disable", "PGUSER": f"sluice_c_{name}", "PGPASSWORD": password_of(name)}
    done = subprocess.run(["sh", "-c", f"set -a; {said}\npsql -X -At -c 'select sluice.me()'"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == name, done.stderr


def test_list_tells_what_each_has(office, made):
    one, other = made("--bytes", "5MB"), made("--relations", "0")
    office.query(KEPT_ROWS, {"me": one, "other": other})
    office.as_customer(one, f"create table {one}_uploads.sales as select n from generate_series(1, 10000) n")
    listed = {line.partition(":")[0]: line for line in office.ok("list").splitlines()}
    assert "tier test; 1 uploads, 1 analyses, 1 jobs" in listed[one] and f"of {5 << 20} bytes" in listed[one]
    assert "0 uploads" in listed[other] and "no limit relations" in listed[other]
    items = {item["customer"]: item for item in json.loads(office.ok("list", "--json"))}
    assert items[one]["bytes"] > 300000 and items[one]["quota_bytes"] == 5 << 20 and items[one]["login"] is True
    assert items[other] | {"created_at": None} == {"customer": other, "tier": "test", "quota_bytes": None, "quota_relations": 0, "uploads": 0, "analyses": 0, "jobs": 0, "bytes": 0,
                                                   "login": True, "created_at": None}
    assert office.refused("list", one)


def test_an_empty_list_is_an_empty_array(office):
    assert json.loads(office.ok("list", "--json")) == [] and office.ok("list") == ""


@pytest.mark.parametrize("arguments", [[], ["none"], ["add"], ["add", "a", "b"], ["set"], ["remove"], ["list", "x", "y"]])
def test_a_wrong_call_is_refused(office, arguments):
    assert "sluice customer" in office.refused(*arguments)


# Removing.


def traces(office, name):
    """Everything that still tells of a customer."""
    found = {}
    for table, column in (("pg_roles", "rolname"), ("pg_namespace", "nspname"), ("sluice.dataset_version", "relation")):
        found[table] = office.query(f"select {column} from {table} where {column} like %s or {column} like %s", (rf"%\_c\_{name}", rf"{name}\_%"))
    found["pg_class"] = office.query("select oid::regclass::text from pg_class c where relnamespace not in (select oid from pg_namespace) or relowner not in (select oid from pg_roles)"
                                     " or oid::regclass::text like %s", (rf"{name}\_%",))
    for table in TABLES + ("customer",):
        found[table] = office.query(f"select * from sluice.{table} t where t::text ~ %s", (rf"\m{name}\M",))
    found["pg_shdepend"] = office.query("select * from pg_shdepend where refclassid = 'pg_authid'::regclass and refobjid not in (select oid from pg_authid)")
    return {what: rows for what, rows in found.items() if rows}


def test_remove_leaves_no_trace_and_says_what_it_erased(office, pair):
    one, other = pair
    office.as_customer(one, f"select sluice.track_own('{one}_uploads.sales'); grant usage on schema {one}_uploads to sluice_c_{other}; grant select on {one}_uploads.sales to sluice_c_{other}")
    office.as_customer(other, f"create view {other}_analytics.leaning as select * from {one}_uploads.sales")
    told = office.ok("remove", one)
    assert "would erase" in told and "--yes" in told and len(state_of(office, one)[1]) == 3
    said = office.ok("remove", one, "--yes")
    for words in ("1 uploads", "2 rows in quarantine", "1 analyses", "2 shares", "1 jobs", "1 kept answers", "1 versions", f"role sluice_c_{one}", f"schema {one}_uploads with 1 relations",
                  "1 relations of others, which read his"):
        assert f"erased: {words}" in said, said
    assert traces(office, one) == {}
    assert office.as_customer(other, f"select words from {other}_uploads.sales") == [(f"of {other}",)] and state_of(office, other)[4]
    assert "nothing of it" in office.ok("remove", one, "--yes")


def test_remove_ends_his_sessions(office, made):
    name = made()
    with office.login(name) as idle, office.login(name) as holding:
        holding.execute(f"begin; create table {name}_uploads.t (); lock table {name}_uploads.t")
        idle.execute("select 1")
        assert "2 sessions" in office.ok("remove", name, "--yes")
        for cursor in (idle, holding):
            with pytest.raises(psycopg2.OperationalError):
                cursor.execute("select 1")
    assert traces(office, name) == {}
    with pytest.raises(psycopg2.OperationalError):
        office.connect(f"sluice_c_{name}", password_of(name))


@pytest.mark.parametrize("gone", ["drop role", "drop schemas", "delete row", "drop one schema"])
def test_remove_works_when_half_of_it_is_gone(office, made, gone):
    name = made()
    if gone == "drop role":
        office.query(f"drop owned by sluice_c_{name} cascade; drop role sluice_c_{name}")
    elif gone == "drop schemas":
        office.query(f"drop schema {name}_uploads, {name}_analytics, {name}_jobs")
    elif gone == "delete row":
        office.query("delete from sluice.customer where customer_id = %s", (name,))
    else:
        office.query(f"drop schema {name}_jobs")
    assert "erased: " in office.ok("remove", name, "--yes") and traces(office, name) == {}


def test_a_remove_that_fails_keeps_everything_but_the_login(office, made):
    name = made()
    office.query(KEPT_ROWS, {"me": name, "other": "x"})
    office.as_customer(name, f"create table {name}_uploads.sales ()")
    office.query("create rule stop as on delete to sluice.customer do instead select 1 / 0")
    try:
        done = office.run("remove", name, "--yes")
        assert done.returncode != 0 and "the login is closed" in done.stdout
        role, schemas, _, _, row = state_of(office, name)
        assert len(schemas) == 3 and row and role[0][1] is False
        assert office.query("select count(*) from sluice.upload where customer_id = %s", (name,)) == [(1,)]
    finally:
        office.query("drop rule stop on sluice.customer")
    office.ok("add", name)
    assert office.as_customer(name, f"select count(*) from {name}_uploads.sales") == [(0,)]


def test_the_role_stays_where_another_database_needs_it(office, made, postgres, tmp_path):
    name = made()
    folder = tmp_path / "beside"
    folder.mkdir()
    beside = Office(postgres, postgres.clone(f"beside_{next(NUMBERS)}", TEMPLATE), folder)
    try:
        beside.ok("add", name)
        assert "another database" in office.ok("remove", name, "--yes")
        assert state_of(office, name)[1] == [] and state_of(beside, name)[1] != []
        beside.ok("add", name)
        assert beside.as_customer(name, "select sluice.me()") == [(name,)]
        beside.ok("remove", name, "--yes")
        assert traces(beside, name) == {}
    finally:
        postgres.drop(beside.database)


def test_a_customer_that_was_removed_starts_anew(office, made):
    name = made()
    office.query(KEPT_ROWS, {"me": name, "other": "x"})
    office.ok("remove", name, "--yes")
    office.ok("add", name)
    with office.login(name) as cursor:
        for table in TABLES:
            cursor.execute(f"select count(*) from sluice.{table}")
            assert cursor.fetchall() == [(0,)]


def test_sessions_of_the_role_are_bounded_by_what_all_instances_may_open(postgres, database, tmp_path, made):
    """(6 connections of lanes, 1 load, 1 job) of 2 instances, and 8: whatever the number of this machine's cores."""
    office = Office(postgres, database, tmp_path, {"server": {"workers": 1}, "customers": {"connections": 6, "each": 2, "login_key_file": write_secret(tmp_path, "login.key", LOGIN_KEY)},
                                                   "uploads": {"each": 1}, "jobs": {"each": 1}, "limits": {"instances": 2}})
    name = made()
    office.ok("add", name)
    assert state_of(office, name)[0][0][-1] == 24
    with contextlib.ExitStack() as stack:
        for _ in range(24):
            stack.enter_context(office.login(name))
        with pytest.raises(psycopg2.OperationalError, match="too many connections"):
            office.connect(f"sluice_c_{name}", password_of(name))

    def has_room():
        """A session counts until its backend has ended."""
        try:
            return office.as_customer(name, "select 1")
        except psycopg2.OperationalError:
            return False

    eventually(has_room, within=10, says="room again")
