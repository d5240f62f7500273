"""Other people's clients: where they are installed, and a warehouse with what they are used for. tests/clients/ has their manifests and scripts."""
import contextlib
import functools
import importlib.util
import json
import os
import subprocess

import pytest

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import ROOT, merge, token

HERE = ROOT / "tests/clients"
SCOPES = "regions:read datasets:read"
CUSTOMER = "acme"
RUN_S = 100  # a client on a busy machine

SQL = """
create schema desk;
grant usage on schema desk to sluice_reader;
create type desk.mood as enum ('calm', 'rough', 'wild');
create type desk.place as (lat double precision, lon double precision);
create table desk.buoy (
    id integer primary key, name text not null, mood desk.mood not null, opened date not null, seen timestamptz, price numeric(12,3), load double precision,
    tags text[] not null, depth int4range not null, details jsonb not null, note text, words tsvector not null, place desk.place, active boolean not null);
comment on table desk.buoy is 'Buoys of the north. Expected lag: 3 days.';
comment on column desk.buoy.load is 'Strain of the chain [kN]';
insert into desk.buoy
select n, case n when 1 then 'Comma, Place' when 2 then 'Paren (x)' when 3 then 'Quote "q"' when 4 then 'Back\\slash' when 5 then 'Łąkowo 100%' else 'buoy ' || n end,
       (array['calm', 'rough', 'wild']::desk.mood[])[1 + n % 3], date '2024-01-01' + n, timestamptz '2024-01-01 00:00:00.25+00' + n * interval '1 hour 1 second',
       case when n % 10 = 0 then null else n * 1.125 end, case n when 11 then 'NaN' when 12 then 'Infinity' else n / 4.0 end,
       case when n % 4 = 0 then '{}' else array['t' || n % 5, 'all'] end, int4range(n, n + 10), jsonb_build_object('maker', jsonb_build_object('name', 'm' || n % 4),
       'meters', n, 'list', jsonb_build_array(n, 'x')), case when n % 7 = 0 then 'note ' || n end, to_tsvector('english', 'The buoys were drifting ' || n),
       case when n % 2 = 0 then (n, -n)::desk.place end, n % 2 = 0
  from generate_series(1, 60) as n;
create table desk."Odd Name; $1" ("Odd, column" integer primary key, "a.b" text);
insert into desk."Odd Name; $1" values (1, 'x'), (2, null);
create table desk.many as select n as id, n % 97 as ties from generate_series(1, 5000) as n;
alter table desk.many add primary key (id);
create table desk.mine_of_all (id integer primary key, customer text not null);
insert into desk.mine_of_all values (1, 'acme'), (2, 'birch');
create view desk.mine as select id, customer from desk.mine_of_all where customer = current_setting('sluice.customer', true);
grant select on desk.buoy, desk."Odd Name; $1", desk.many, desk.mine to sluice_reader;
"""


def load_installer():
    specification = importlib.util.spec_from_file_location("install", HERE / "install.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


INSTALLER = load_installer()


@functools.cache
def tried(part):
    """Where a part of the packages is, or why it isn't there: what can't be had is not asked for again."""
    try:
        return part(), None
    except INSTALLER.Unavailable as error:
        return None, str(error)


def installed(part):
    """A part of the packages; without a network to get them from, whoever needs them is skipped."""
    place, reason = tried(part)
    if place is None:
        pytest.skip(f"the clients are not installed: {reason}")
    return place


def python():
    return installed(INSTALLER.python)


def node():
    return installed(INSTALLER.node)


def keycloak():
    return installed(INSTALLER.keycloak)


@contextlib.contextmanager
def opened(folder, postgres, redis, changes=None):
    """A gateway on a warehouse with the schema desk beside serving; its `database` is the name."""
    name = postgres.clone(f"desk_{next(NUMBERS)}", TEMPLATE)
    one = None
    try:
        postgres.query(name, SQL)
        postgres.query(name, "analyze")
        one = start_gateway(folder, postgres, redis, name, merge({"warehouse": {"schemas": ["serving", "desk"]}}, changes or {}))
        one.database = name
        one.token = token(customer=CUSTOMER, scope=SCOPES)
        yield one
    finally:
        if one is not None:
            one.stop()
        postgres.drop(name)


def surroundings(one):
    """What a script of tests/clients/ is told: the gateway, a token, and no proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy") and not name.startswith(("PYTHON", "ASAN_", "UBSAN_", "TSAN_"))}
    return {**kept, "SLUICE_BASE": one.base, "SLUICE_TOKEN": one.token, "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "*"}


def run(command, one, **options):
    """A client's script, run to its end; what it printed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=RUN_S, check=False, stdin=subprocess.DEVNULL,
                          env={**surroundings(one), **options.pop("more", {})}, **options)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def run_json(command, one, **options):
    return json.loads(run(command, one, **options))
