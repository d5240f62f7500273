"""`sluice customer`: the role, the schemas and the rows of a customer; what others and he himself may do with them; nothing is left behind."""
import contextlib
import hashlib
import hmac
import itertools
import json
import subprocess

import psycopg2
import pytest

import shop
from conftest import NUMBERS, TEMPLATE
from gateway import BINARY, Gateway, command, configuration, merge, write_secret
from servers import READER_PASSWORD
from wait import eventually

LOGIN_KEY = "k" * 64
NAMES = (f"c{number}" for number in itertools.count(1))
TABLES = ("upload", "quarantine", "analysis", "share", "job", "idempotency")
KEPT_ROWS = """
insert into sluice.upload (customer_id, name, rows, bytes, columns) values (%(me)s, 'sales', 1, 1, '[]');
insert into sluice.quarantine (customer_id, name, line, reason) values (%(me)s, 'sales', 1, 'bad'), (%(me)s, 'sales', 2, 'bad');
insert into sluice.analysis (customer_id, name, sql, made_as) values (%(me)s, 'total', 'select 1', 'view');
insert into sluice.share (customer_id, name, reader_id) values (%(me)s, 'analytics.total', %(other)s);
insert into sluice.job (job_id, customer_id, subject, sql) values (gen_random_uuid(), %(me)s, 'u', 'select 1');
insert into sluice.idempotency (owner, operation, key) values (%(me)s, 'putUpload', 'k1');
"""


class Office:
    """A database and the configuration to administer it with."""

    def __init__(self, postgres, database, folder, changes=None):
        self.postgres, self.database = postgres, database
        self.config = merge(configuration(folder, postgres, database), {"customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)}, **(changes or {})})
        self.path = Gateway(folder, self.config).path

    def run(self, *arguments):
        done = command("customer", *arguments, "--config", self.path)
        assert done.returncode not in (-6, -11) and "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        return done

    def ok(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def refused(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode != 0 and done.stderr
        return done.stderr

    def query(self, sql, parameters=None):
        return self.postgres.query(self.database, sql, parameters)

    def connect(self, user, password):
        connection = psycopg2.connect(host="127.0.0.1", port=self.postgres.port, dbname=self.database, user=user, password=password)
        connection.autocommit = True
        return connection

    @contextlib.contextmanager
    def login(self, name):
        connection = self.connect(f"sluice_c_{name}", password_of(name))
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def as_customer(self, name, sql, parameters=None):
        with self.login(name) as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def erase(self, name):
        """Whatever a test has left: roles belong to the whole server."""
        self.run("remove", name, "--yes")


def password_of(name):
    return hmac.new(LOGIN_KEY.encode(), name.encode(), hashlib.sha256).hexdigest()


def denied(office, name, sql, kind=psycopg2.errors.InsufficientPrivilege):
    with office.login(name) as cursor, pytest.raises(kind):
        cursor.execute(sql)


@pytest.fixture
def office(postgres, database, tmp_path):
    return Office(postgres, database, tmp_path)


@pytest.fixture
def made(office):
    """made(): a new customer's name; erased at the end."""
    names = []

    def make(*arguments):
        names.append(next(NAMES))
        office.ok("add", names[-1], *arguments)
        return names[-1]

    yield make
    for name in names:
        office.erase(name)


def state_of(office, name):
    """What the catalogs hold of a customer."""
    role = office.query("select rolname, rolcanlogin, rolinherit, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit from pg_roles where rolname = %s",
                        (f"sluice_c_{name}",))
    schemas = office.query("select nspname, nspowner::regrole::text from pg_namespace where nspname like %s order by 1", (name + r"\_%",))
    groups = office.query("select roleid::regrole::text from pg_auth_members where member::regrole::text = %s", (f"sluice_c_{name}",))
    members = office.query("select member::regrole::text from pg_auth_members where roleid::regrole::text = %s", (f"sluice_c_{name}",))
    return role, schemas, groups, members, office.query("select customer_id, tier, quota_bytes, quota_relations from sluice.customer where customer_id = %s", (name,))


def test_add_makes_role_schemas_and_row_and_says_so(office, made):
    name = made("--bytes", "1MB", "--relations", "7")
    role, schemas, groups, members, row = state_of(office, name)
    # Two workers of four connections, one instance, eight to spare.
    assert role == [(f"sluice_c_{name}", True, True, False, False, False, False, False, 16)]
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


# What others may do with it.


@pytest.fixture
def pair(office, made):
    """Two customers with the same things, and rows in all our tables."""
    one, other = made(), made()
    for name, neighbour in ((one, other), (other, one)):
        office.query(KEPT_ROWS, {"me": name, "other": neighbour})
        office.as_customer(name, f"create table {name}_uploads.sales (id integer primary key, words text); insert into {name}_uploads.sales values (1, 'of {name}');"
                                 f"create view {name}_analytics.total as select count(*) from {name}_uploads.sales; create table {name}_jobs.j as select 1 as n")
    return one, other


def test_another_customer_is_denied_everything(office, pair):
    one, other = pair
    for sql in (f"select * from {other}_uploads.sales", f"select * from {other}_analytics.total", f"select * from {other}_jobs.j", f"insert into {other}_uploads.sales values (2, 'x')",
                f"update {other}_uploads.sales set words = 'x'", f"delete from {other}_uploads.sales", f"truncate {other}_uploads.sales", f"drop table {other}_uploads.sales",
                f"create table {other}_uploads.mine ()", f"create view {one}_analytics.theirs as select * from {other}_uploads.sales", f"create view {other}_analytics.mine as select 1",
                f"begin; lock table {other}_uploads.sales", f"copy {other}_uploads.sales to stdout", f"set role sluice_c_{other}", "set role sluice_owner", "set role sluice_reader",
                f"set session authorization sluice_c_{other}", f"alter role sluice_c_{other} nologin", f"alter schema {other}_uploads rename to stolen", f"grant usage on schema {other}_uploads to public",
                f"create index on {other}_uploads.sales (words)", f"comment on table {other}_uploads.sales is 'mine'", f"reassign owned by sluice_c_{other} to sluice_c_{one}",
                f"select sluice.raise_own('{other}_uploads', 'sales')", "select sluice.raise_own('serving', 'region')", "select sluice.raise_own('warehouse', 'region')"):
        denied(office, one, sql)
    assert office.as_customer(other, f"select words from {other}_uploads.sales") == [(f"of {other}",)]


def test_the_reader_is_denied_everything(office, pair):
    one, _ = pair
    connection = office.connect("sluice_reader", READER_PASSWORD)
    try:
        for sql in (f"select * from {one}_uploads.sales", f"select * from {one}_analytics.total", f"select * from {one}_jobs.j", f"insert into {one}_uploads.sales values (2)",
                    f"create table {one}_uploads.x ()", f"set role sluice_c_{one}", "set role sluice_customer", "select sluice.me()", "select * from sluice.customer",
                    *(f"select * from sluice.{table}" for table in TABLES), f"select sluice.raise_own('{one}_uploads', 'sales')", f"select * from sluice.erase_customer('{one}', true)"):
            with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(sql)
    finally:
        connection.close()


def test_each_customer_sees_his_own_rows_alone(office, pair):
    one, other = pair
    with office.login(one) as cursor:
        for table in TABLES + ("customer",):
            column = "owner" if table == "idempotency" else "customer_id"
            cursor.execute(f"select distinct {column} from sluice.{table}")
            seen = {row[0] for row in cursor.fetchall()}
            assert seen == ({one, other} if table == "share" else {one}), (table, "what is shared with him he may see")
        cursor.execute("select customer_id, name, reader_id from sluice.share order by customer_id = %s desc", (one,))
        assert cursor.fetchall() == [(one, "analytics.total", other), (other, "analytics.total", one)]
        cursor.execute("delete from sluice.share where reader_id = %s", (one,))
        assert cursor.rowcount == 0, "another's share is seen, not changed"
        cursor.execute("update sluice.upload set rows = 5")
        assert cursor.rowcount == 1
    assert office.query("select rows from sluice.upload where customer_id = %s", (other,)) == [(1,)]


def test_rows_of_others_cannot_be_written(office, pair):
    one, other = pair
    for sql in (f"insert into sluice.upload (customer_id, name, rows, bytes, columns) values ('{other}', 'x', 1, 1, '[]')", f"update sluice.upload set customer_id = '{other}'",
                f"insert into sluice.share (customer_id, name, reader_id) values ('{other}', 'uploads.sales', '{one}')", f"update sluice.share set customer_id = '{other}', reader_id = '{one}'",
                f"insert into sluice.idempotency (owner, operation, key) values ('{other}', 'x', 'y')", "insert into sluice.idempotency (owner, operation, key) values ('warehouse', 'x', 'y')",
                "insert into sluice.quarantine (name, line, reason) values ('x', 1, 'y')", "update sluice.customer set tier = 'test'", "update sluice.customer set quota_bytes = 0",
                f"insert into sluice.customer (customer_id, tier) values ('{one}_2', 'test')", "delete from sluice.customer", "truncate sluice.upload", "alter table sluice.upload disable row level security",
                "drop policy own on sluice.upload", "select * from sluice.dataset_version", "select * from sluice.migration", "select sluice.track('warehouse.region')",
                f"select * from sluice.erase_customer('{other}', true)", f"select * from sluice.make_customer('{one}', 'test', 'test', 1000)", "select * from sluice.customer_list()",
                f"select sluice.close_customer('{other}')", f"select * from sluice.end_sessions('{other}')"):
        denied(office, one, sql)


def test_a_share_does_not_tell_whether_there_is_such_a_customer(office, pair):
    one, other = pair
    for reader in (other, "nobody_at_all"):
        office.as_customer(one, "insert into sluice.share (customer_id, name, reader_id) values (%s, 'uploads.sales', %s)", (one, reader))


def test_me_follows_the_login_whatever_role_is_set(office, pair):
    one, other = pair
    with office.login(one) as cursor:
        cursor.execute("set role sluice_customer")
        cursor.execute("select sluice.me(), current_user::text, (select array_agg(customer_id) from sluice.upload)")
        assert cursor.fetchall() == [(one, "sluice_customer", [one])]
        cursor.execute(f"select set_config('role', 'sluice_c_{one}', false), set_config('sluice.customer', '{other}', false), set_config('search_path', '{other}_uploads', false)")
        cursor.execute("select sluice.me(), (select array_agg(customer_id) from sluice.upload)")
        assert cursor.fetchall() == [(one, [one])]
    assert office.query("select sluice.me()") == [(None,)]


@pytest.mark.parametrize("sql", ["create temp table t ()", "create schema mine", "create table public.t ()", "create table serving.t ()", "create table sluice.t ()", "create role r", "create database d",
                                 "insert into warehouse.region (region_id, name, kind) values ('x', 'x', 'x')", "select * from warehouse.region", "delete from serving.region",
                                 "create extension dblink", "copy (select 1) to program 'true'", "copy (select 1) to '/tmp/x'", "select pg_read_file('/etc/passwd')",
                                 "select lo_import('/etc/passwd')", "alter system set work_mem = '1GB'", "create publication p for all tables", "create event trigger e on ddl_command_end execute function f()",
                                 "grant sluice_customer to public", "select * from pg_authid", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'"])
def test_a_customers_login_may_do_nothing_else(office, made, sql):
    denied(office, made(), sql, psycopg2.Error)


# What he may read of the warehouse.


@pytest.fixture
def mall(postgres, tmp_path):
    """A shop whose relations ask who reads, with a schema that needs a scope and one that the reader may not use."""
    database = postgres.clone(f"mall_{next(NUMBERS)}", TEMPLATE)
    postgres.query(database, shop.SQL)
    # As the owner of a warehouse would have it.
    for schema in ("shop", "premium", "locked", "beside"):
        postgres.query(database, f"alter schema {schema} owner to sluice_owner")
        for (name,) in postgres.query(database, "select c.oid::regclass::text from pg_class c where relnamespace = %s::regnamespace and relkind in ('r', 'v', 'm', 'f', 'p')", (schema,)):
            postgres.query(database, f"alter table {name} owner to sluice_owner")
    one = Office(postgres, database, tmp_path, {"warehouse": {"schemas": shop.SCHEMAS}})
    name = next(NAMES)
    one.customer = name
    one.said = one.ok("add", name)
    yield one
    one.erase(name)
    postgres.drop(database)


def readable(one):
    return {row[0] for row in one.query("select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'shop' and c.relkind in ('r', 'v', 'm', 'f', 'p')"
                                        " and has_any_column_privilege(%s, c.oid, 'select')", (f"sluice_c_{one.customer}",))}


def test_customers_read_what_the_reader_may_but_not_what_asks_who_reads(mall):
    assert readable(mall) - {"event_2024", "event_2025"} == set(shop.VISIBLE) - set(shop.MINE) - {"whoami"}
    assert mall.as_customer(mall.customer, "select count(*) from shop.reading") == [(30,)]
    assert "ask who reads" in mall.said and "customers may use the schema shop" in mall.said
    for sql in ("select * from shop.mine", "select * from shop.guarded", "select * from shop.purchase", "select * from shop.hidden_treasure", "select hidden_salary from shop.partly", "select * from premium.deal",
                "select * from locked.vault", "select * from beside.unnamed"):
        denied(mall, mall.customer, sql)
    assert mall.as_customer(mall.customer, "select id, open from shop.partly") == [(1, "yes")]
    assert "the schema premium needs the scope premium:read" in mall.said


def test_add_again_follows_the_warehouse(mall):
    mall.query("create table shop.fresh (id integer); alter table shop.fresh owner to sluice_owner; grant select on shop.fresh to sluice_reader;"
               "create or replace view shop.simple as select day as d, station as s, temperature_c as t from shop.reading where station = current_setting('sluice.customer', true);"
               "revoke select on shop.no_key from sluice_reader; grant select on shop.partly to sluice_reader")
    said = mall.ok("add", mall.customer)
    assert "may read 2 more" in said and "no longer read shop.simple" in said and "no longer read shop.no_key" in said
    assert {"fresh", "partly"} <= readable(mall) and not {"simple", "no_key"} & readable(mall)
    assert mall.as_customer(mall.customer, "select hidden_salary from shop.partly") == [(1000,)]
    mall.query("revoke select on shop.partly from sluice_reader; grant select (id) on shop.partly to sluice_reader")
    mall.ok("add", mall.customer)
    denied(mall, mall.customer, "select hidden_salary from shop.partly")
    assert mall.as_customer(mall.customer, "select id from shop.partly") == [(1,)]
    assert "made:" not in mall.ok("add", mall.customer)


def test_a_relation_of_another_owner_is_warned_of(mall):
    mall.query("create table shop.alien (id integer); grant select on shop.alien to sluice_reader")
    assert "warning: 1 relations belong to others" in mall.ok("add", mall.customer) and "alien" not in readable(mall)


def test_functions_in_views_are_warned_of_where_the_languages_are_open(office, made):
    name = made()
    office.query("grant usage on language plpgsql, sql to public")  # as a new database has them; office is the module's own
    try:
        assert "revoke usage on language plpgsql from public" in office.ok("add", name)
    finally:
        office.query("revoke usage on language plpgsql, sql from public; grant usage on language plpgsql, sql to sluice_owner")
    assert "warning" not in office.ok("add", name)
    denied(office, name, f"create function {name}_analytics.f() returns integer language sql as 'select 1'")


# Versions.


def test_versions_of_his_own_relations_rise_with_every_change(office, made):
    name = made()
    version = lambda relation: (office.query("select version from sluice.dataset_version where relation = %s", (relation,)) or [(None,)])[0][0]  # noqa: E731
    with office.login(name) as cursor:
        cursor.execute(f"create table {name}_uploads.sales (id integer)")
        cursor.execute(f"select sluice.track_own('{name}_uploads.sales')")
        first = version(f"{name}_uploads.sales")
        assert first > 10**12, "milliseconds since the epoch"
        cursor.execute(f"insert into {name}_uploads.sales values (1)")
        assert version(f"{name}_uploads.sales") == first + 1
        cursor.execute(f"select sluice.raise_own('{name}_uploads', 'sales'), sluice.raise_own('{name}_uploads', 'sales')")
        assert cursor.fetchall() == [(first + 2, first + 2)], "once a transaction"
        cursor.execute(f"drop table {name}_uploads.sales")
        cursor.execute(f"select sluice.raise_own('{name}_uploads', 'sales')")
        assert version(f"{name}_uploads.sales") == first + 3, "its readers notice that it has gone"
        cursor.execute(f"select sluice.raise_own('{name}_uploads', 'never')")
        assert version(f"{name}_uploads.never") is None, "names alone fill no table"
        cursor.execute(f"create table {name}_analytics.other (id integer)")
        cursor.execute(f"select sluice.track_own('{name}_analytics.other')")
        assert version(f"{name}_uploads.sales") is None, "what has gone is forgotten"
        cursor.execute(f"create table {name}_uploads.sales (id integer)")
        cursor.execute(f"select sluice.raise_own('{name}_uploads', 'sales')")
        assert version(f"{name}_uploads.sales") > first, "and does not come back as it was"
    for sql in ("select sluice.track_own('serving.region')", "select sluice.track_own('warehouse.region')", f"select sluice.raise_own('{name}_jobs', 'x')"):
        denied(office, name, sql, psycopg2.Error)


def test_no_names_travel_by_notifications(office, made):
    name = made()
    office.as_customer(name, f"create table {name}_uploads.secret (id integer); select sluice.track_own('{name}_uploads.secret')")
    listener = made()
    with office.login(listener) as cursor:
        cursor.execute("listen sluice_version")
        office.as_customer(name, f"insert into {name}_uploads.secret values (1)")
        cursor.execute("select 1")
        cursor.connection.poll()
        assert cursor.connection.notifies == []


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


# The writer of the warehouse.


def test_the_writer_has_rows_of_its_own_and_no_customers(office, pair):
    office.query("alter role sluice_writer password 'w'")
    office.query(f'grant connect on database "{office.database}" to sluice_writer')
    connection = office.connect("sluice_writer", "w")
    try:
        with connection.cursor() as cursor:
            cursor.execute("insert into sluice.idempotency (owner, operation, key) values ('warehouse', 'loadRows', 'k'); insert into sluice.quarantine (name, line, reason) values ('region', 1, 'x')")
            cursor.execute("select owner from sluice.idempotency union all select customer_id from sluice.quarantine")
            assert cursor.fetchall() == [("warehouse",), (None,)]
        for sql in (f"insert into sluice.idempotency (owner, operation, key) values ('{pair[0]}', 'loadRows', 'k')", "select * from sluice.upload", f"select * from {pair[0]}_uploads.sales"):
            with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(sql)
    finally:
        connection.close()


def test_migrate_sets_the_writers_password(postgres, database, tmp_path):
    one = Office(postgres, database, tmp_path, {"database": {**configuration(tmp_path, postgres, database)["database"],
                                                            "writer": {"user": "sluice_writer", "password_file": write_secret(tmp_path, "writer.password", "of the writer")}}})
    done = command("migrate", "--config", one.path)
    assert done.returncode == 0, done.stderr
    postgres.query(database, f'grant connect on database "{database}" to sluice_writer')
    one.connect("sluice_writer", "of the writer").close()


def test_sessions_of_the_role_are_bounded(office, made):
    name = made()
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(office.login(name))
        with pytest.raises(psycopg2.OperationalError, match="too many connections"):
            office.connect(f"sluice_c_{name}", password_of(name))
    eventually(lambda: office.as_customer(name, "select 1"), within=10, says="room again")
