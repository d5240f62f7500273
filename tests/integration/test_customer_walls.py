"""What a customer may do on his own login, what others may do with his things, and what he may read of the warehouse."""
import psycopg2
import pytest

import shop
from conftest import NUMBERS, TEMPLATE
from gateway import command, configuration, write_secret
from office import NAMES, TABLES, Office, denied, made, office, pair  # noqa: F401  (fixtures)
from servers import READER_PASSWORD


# What others may do with what is a customer's.


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
