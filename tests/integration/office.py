"""Customers as `sluice customer` makes them, for the tests: their logins, schemas and rows."""
import contextlib
import hashlib
import hmac
import itertools

import psycopg2
import pytest

from conftest import NUMBERS, TEMPLATE
from gateway import Gateway, command, configuration, merge, write_secret

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


@contextlib.contextmanager
def opened(postgres, tmp_path_factory, label, customers, warehouse="", changes=None, own=""):
    """On a database of its own; `own` is what each customer makes there, {0} his name. All of it goes at the end."""
    database = postgres.clone(f"{label}_{next(NUMBERS)}", TEMPLATE)
    if warehouse:
        postgres.query(database, warehouse)
    one = Office(postgres, database, tmp_path_factory.mktemp("office"), changes)
    for name in customers:
        one.ok("add", name)
        if own:
            one.as_customer(name, own.format(name))
    yield one
    for name in customers:
        one.erase(name)
    postgres.drop(database)


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


@pytest.fixture
def pair(office, made):
    """Two customers with the same things, and rows in all our tables."""
    one, other = made(), made()
    for name, neighbour in ((one, other), (other, one)):
        office.query(KEPT_ROWS, {"me": name, "other": neighbour})
        office.as_customer(name, f"create table {name}_uploads.sales (id integer primary key, words text); insert into {name}_uploads.sales values (1, 'of {name}');"
                                 f"create view {name}_analytics.total as select count(*) from {name}_uploads.sales; create table {name}_jobs.j as select 1 as n")
    return one, other
