"""A warehouse with one relation of each kind, some that may not be seen, and some whose rows are another's: what the tests of the catalog read."""
import contextlib

from conftest import NUMBERS, TEMPLATE, start_gateway
from gateway import token

SCHEMAS = ["serving", "shop", {"name": "premium", "scope": "premium:read"}, "locked"]
CUSTOMERS = ("acme", "birch")
ROWS_OF_EACH = 40

SQL = """
create schema shop; create schema premium; create schema locked; create schema beside;
grant usage on schema shop, premium to sluice_reader;

create type shop.mood as enum ('sad', 'ok', 'very "happy"');
create type shop.size as (width integer, height integer);
create domain shop.score as numeric(5,2) not null check (value >= 0);

create table shop.reading (
    station text, day date, temperature_c double precision, price numeric(10,2), mood shop.mood, size shop.size, tags text[], span int4range,
    seen timestamptz, score shop.score default 1, extra jsonb, sure boolean not null default true, id bigint not null, primary key (station, day), unique (id));
insert into shop.reading (station, day, temperature_c, price, mood, tags, id)
select 'S' || s, date '2025-01-01' + d, s + d, s * d, 'ok', '{a,b}', s * 100 + d from generate_series(1, 3) as s, generate_series(0, 9) as d;
comment on table shop.reading is 'What the stations read. Expected lag: 3 days. Expected every: 14 days.';
comment on column shop.reading.temperature_c is 'Air temperature at noon [°C; max]';
comment on column shop.reading.price is 'Paid [EUR/MWh; sum]';
comment on column shop.reading.mood is 'How it felt';
create function shop.label(r shop.reading) returns text language sql immutable as $$ select r.station || '/' || r.day $$;
create view shop.simple as select day as d, station as s, temperature_c as t from shop.reading;
create view shop.over_simple as select s as place, d as since, t from shop.simple;
create view shop.part_of_key as select day, temperature_c from shop.reading;
create view shop.grouped as select station, avg(temperature_c) as temperature_c, max(day) as last_day from shop.reading group by station;
comment on view shop.grouped is 'Means. Key: station. Time: last_day. Grain: month. Expected lag: none.';
create materialized view shop.kept as select station, count(*) as n from shop.reading group by station;
create unique index on shop.kept (station);
create table shop.event (at timestamptz not null, day date not null, kind text, primary key (kind, day, at)) partition by range (day);
create table shop.event_2024 partition of shop.event for values from ('2024-01-01') to ('2025-01-01');
create table shop.event_2025 partition of shop.event for values from ('2025-01-01') to ('2026-01-01');
insert into shop.event select '2025-02-01'::timestamptz + n * interval '1 hour', date '2025-02-01' + n, 'k' || n from generate_series(1, 5) as n;
create table shop."Odd name; $1" ("Odd, column" integer primary key, "a.b" text);
insert into shop."Odd name; $1" values (1, 'x');
create table shop.no_key (at timestamptz, words text);
create extension file_fdw;
create server files foreign data wrapper file_fdw;
create foreign table shop.abroad (a integer, b text) server files options (program 'printf 1,one\\\\n2,two\\\\n', format 'csv');

create table shop.hidden_treasure (id integer primary key, hidden_depth text);
create table shop.partly (id integer primary key, open text, hidden_salary integer);
create table premium.deal (id integer primary key, hidden_price numeric);
create table locked.vault (id integer primary key, hidden_gold text);
create table beside.unnamed (id integer primary key, hidden_note text);
insert into shop.partly values (1, 'yes', 1000);

create table shop.purchase (id integer primary key, customer text not null, day date not null, amount numeric);
insert into shop.purchase select n, case when n % 2 = 0 then 'acme' else 'birch' end, date '2025-01-01' + n, n from generate_series(1, 80) as n;
create view shop.mine as select id, customer, day, amount from shop.purchase where customer = current_setting('sluice.customer', true);
create view shop.mine_nested as select id, customer, amount from shop.mine where amount > 0;
create function shop.reader() returns text language sql stable as $$ select current_setting('sluice.customer', true) $$;
create view shop.mine_by_function as select id, customer, amount from shop.purchase where customer = shop.reader();
create function shop.reader_at_length() returns text language plpgsql stable as $$ begin return current_setting('sluice.customer', true); end $$;
create view shop.mine_at_length as select id, customer, amount from shop.purchase where customer = shop.reader_at_length();
create table shop.guarded (id integer primary key, customer text not null, amount numeric);
insert into shop.guarded select id, customer, amount from shop.purchase;
alter table shop.guarded enable row level security;
create policy own on shop.guarded for select using (customer = current_setting('sluice.customer', true));
create view shop.guarded_view with (security_invoker = true) as select id, customer, amount from shop.guarded;
create view shop.whoami as select current_setting('sluice.customer', true) as customer, current_setting('sluice.subject', true) as subject,
                                  current_setting('sluice.tier', true) as tier, current_setting('sluice.scopes', true) as scopes;

grant select on all tables in schema shop, premium to sluice_reader;
grant select on locked.vault to sluice_reader;
revoke all on shop.hidden_treasure, shop.partly, shop.purchase from sluice_reader;
grant select (id, open) on shop.partly to sluice_reader;
"""
# The versions of these are counted: their answers are kept.
TRACKED = ("shop.reading", "shop.purchase", "shop.guarded")
VISIBLE = {"reading": "table", "Odd name; $1": "table", "no_key": "table", "partly": "table", "guarded": "table", "event": "partitioned table", "abroad": "foreign table",
           "kept": "materialized view", **dict.fromkeys(("simple", "over_simple", "part_of_key", "grouped", "mine", "mine_nested", "mine_by_function",
                                                         "mine_at_length", "guarded_view", "whoami"), "view")}
MINE = ("mine", "mine_nested", "mine_by_function", "mine_at_length", "guarded", "guarded_view")


@contextlib.contextmanager
def opened(folder, postgres, redis, changes=None, options=None):
    """A gateway on a shop of its own; its `database` is the name."""
    name = postgres.clone(f"shop_{next(NUMBERS)}", TEMPLATE)
    one = None
    try:
        postgres.query(name, SQL)
        for table in TRACKED:
            postgres.query(name, "select sluice.track(%s::regclass)", (table,))
        postgres.query(name, "analyze")
        one = start_gateway(folder, postgres, redis, name, {"warehouse": {"schemas": SCHEMAS}, **(changes or {})}, **(options or {}))
        one.database = name
        one.token = reader()
        yield one
    finally:
        if one is not None:
            one.stop()
        postgres.drop(name)


def reader(customer="acme", scope="datasets:read", **changes):
    return token(customer=customer, scope=scope, **changes)


def names(one, **options):
    """All that a caller is listed, page by page."""
    found, path = [], "/v1/datasets?limit=1000"
    while path is not None:
        page = one.json(path, **options)
        found += [listed["name"] for listed in page["datasets"]]
        path = page["next"]
    return found
