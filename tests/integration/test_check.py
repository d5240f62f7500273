"""`sluice check`: the mistakes of a file, and the catalog that the database yields with it."""
import re

import pytest

import shop
from conftest import NUMBERS, TEMPLATE
from gateway import Gateway, command, configuration, merge
from shop import VISIBLE
from wait import free_port


@pytest.fixture(scope="module")
def database_of_shop(postgres):
    name = postgres.clone(f"checked_{next(NUMBERS)}", TEMPLATE)
    postgres.query(name, shop.SQL)
    for table in shop.TRACKED:
        postgres.query(name, "select sluice.track(%s::regclass)", (table,))
    postgres.query(name, "analyze")
    yield name
    postgres.drop(name)


@pytest.fixture
def check(postgres, redis, database_of_shop, tmp_path):
    """check({"warehouse": …}, "--offline"): how `sluice check` ended."""

    def run(changes=None, *arguments):
        one = Gateway(tmp_path, merge(configuration(tmp_path, postgres, database_of_shop, redis), {"warehouse": {"schemas": shop.SCHEMAS}, **(changes or {})}))
        done = command("check", "--config", one.path, *arguments)
        assert done.returncode not in (-6, -11) and "Sanitizer" not in done.stderr, done.stderr
        return done

    return run


def parts(done):
    """{dataset: (its line, its warnings)}, in the order printed."""
    found, name = {}, None
    for line in done.stdout.splitlines():
        if line.startswith("  warning: "):
            if name is not None:
                found[name][1].append(line.removeprefix("  warning: "))
        elif match := re.match(r"(.+): (table|view|materialized view|foreign table|partitioned table); ", line):
            name = match[1]
            found[name] = (line, [])
        else:
            name = None
    return found


def test_the_catalog_has_a_line_for_each_dataset(check):
    done = check()
    assert done.returncode == 0, done.stderr + done.stdout
    found = parts(done)
    assert sorted(name for name in found if name.startswith("shop.")) == sorted("shop." + name for name in VISIBLE)
    assert "region" in found and "weather_daily" in found and "premium.deal" in found
    assert not [name for name in found if "treasure" in name or "purchase" in name]
    assert {name: found["shop." + name][0].removeprefix(f"shop.{name}: ").split(";")[0] for name in VISIBLE} == VISIBLE
    assert "; key (station, day)" in found["shop.reading"][0] and "; unique (id)" in found["shop.reading"][0]
    assert "; time day by day" in found["shop.reading"][0] and "; lag 3d; every 14d" in found["shop.reading"][0]
    assert "about 30 rows" in found["shop.reading"][0]
    assert "asks who reads" in found["shop.mine"][0] and "asks who reads" in found["shop.guarded"][0] and "asks who reads" not in found["shop.reading"][0]
    assert "2 columns" in found["shop.partly"][0], "the third may not be read"


def test_what_cannot_be_served_well_is_warned_of(check):
    found = {name: " | ".join(warnings) for name, (_, warnings) in parts(check()).items()}
    assert "no key" in found["shop.no_key"] and "no key" in found["shop.part_of_key"] and "no key" not in found["shop.reading"] and "no key" not in found["shop.simple"]
    assert "no index begins with at" in found["shop.no_key"] and "no index" not in found["shop.reading"]
    assert "not tracked" in found["shop.no_key"] and "not tracked" in found["shop.event"]
    assert "not tracked" not in found["shop.reading"] and "not tracked" not in found["shop.simple"] and "not tracked" not in found["shop.mine"]
    assert found["region"] == ""


def test_the_sum_of_the_warnings_is_told_and_they_are_no_mistakes(check):
    done = check()
    count = sum(line.startswith("  warning: ") for line in done.stdout.splitlines())
    assert count > 5 and f"{len(parts(done))} datasets, {count} warnings" in done.stdout and done.returncode == 0


def test_schemas_are_told_with_their_scope_and_whether_they_can_be_used(check):
    out = check().stdout
    assert "schema serving, named bare" in out and "schema premium, for the scope premium:read" in out
    told = out.partition("schema locked\n")[2]
    assert told.startswith("  warning: sluice_reader may not use it; grant usage on schema \"locked\"")
    assert "vault" not in out


def test_a_schema_that_is_not_there_is_a_mistake_of_the_file(check):
    done = check({"warehouse": {"schemas": ["serving", "shpo"]}})
    assert done.returncode not in (0, -6, -11) and "shpo" in done.stderr and "warehouse.schemas" in done.stderr
    assert "weather_daily" in done.stdout, "the others are printed all the same"


def test_what_the_file_tells_of_datasets_is_held_against_the_catalog(check):
    done = check({"warehouse": {"schemas": ["serving", "shop"], "datasets": {
        "shop.no_key": {"key": ["at", "words"], "time_column": "att"}, "shop.none": {"grain": "day"}, "shop.grouped": {"key": ["statoin"]}}}})
    assert done.returncode == 0
    found = {name: " | ".join(warnings) for name, (_, warnings) in parts(done).items()}
    assert "time_column: there is no column att" in found["shop.no_key"] and "no key" not in found["shop.no_key"]
    assert "key: there is no column statoin" in found["shop.grouped"]
    assert "warehouse.datasets.shop.none: there is no such dataset" in done.stdout


def test_offline_looks_at_the_file_alone(check):
    done = check(None, "--offline")
    assert done.returncode == 0 and parts(done) == {} and "no mistakes" in done.stdout
    assert check({"warehouse": {"schemas": ["none"]}}, "--offline").returncode == 0
    assert check({"warehouse": {"schemata": ["none"]}}, "--offline").returncode not in (0, -6, -11)


def test_a_database_that_is_away_is_said_and_is_no_mistake(check):
    done = check({"database": {"port": free_port()}})
    assert done.returncode == 0 and "the file alone was checked" in done.stdout and parts(done) == {}


def test_mistakes_of_the_file_come_before_any_question(check):
    done = check({"warehouse": {"schemas": ["serving", "serving"]}})
    assert done.returncode not in (0, -6, -11) and parts(done) == {}
    done = check({"warehouse": {"schemas": []}})
    assert done.returncode not in (0, -6, -11), "none is none"


def test_names_cannot_write_on_the_terminal(postgres, database_of_shop, check):
    postgres.query(database_of_shop, 'create table shop."a\nb\x1b[31m" ("c\x07" int primary key); grant select on shop."a\nb\x1b[31m" to sluice_reader')
    try:
        done = check()
        assert done.returncode == 0 and "\x1b" not in done.stdout and "\x07" not in done.stdout
        assert "shop.a?b?[31m: table" in done.stdout
    finally:
        postgres.query(database_of_shop, 'drop table shop."a\nb\x1b[31m"')
