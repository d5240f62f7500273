"""What of the audit log stays in the database, and how long: anchors are thinned, records go by the owner's rule alone, a removed customer's are not his namesake's."""
import hashlib
import hmac
import json
import time

import psycopg2
import pytest

from gateway import SLOWNESS, Gateway, command, configuration, merge, token
from servers import READER_PASSWORD
from test_audit import folder_of, good, own, verify  # noqa: F401  (fixture)
from wait import eventually

WITHIN = 10 * SLOWNESS
THIN = "select sluice.audit_anchors_thin()"


@pytest.fixture
def reader(postgres, database):
    """What the gateway's login gets for a statement."""
    connection = psycopg2.connect(host="127.0.0.1", port=postgres.port, dbname=database, user="sluice_reader", password=READER_PASSWORD)
    connection.autocommit = True

    def ask(sql, parameters=None):
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    yield ask
    connection.close()


def migrate(one):
    done = command("migrate", "--config", one.path)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def ruled(postgres, database, tmp_path):
    """What the owner has migrated with; no gateway runs, so that nobody but the test asks."""

    def make(ship_days=0, keep_days=0):
        one = Gateway(tmp_path, merge(configuration(tmp_path, postgres, database), {"audit": {"ship_days": ship_days, "keep_days": keep_days}}))
        migrate(one)
        return one

    return make


# Anchors.


def test_anchors_become_one_an_hour_and_one_a_day_and_go_with_the_files(ruled, postgres, database, reader):
    ruled(keep_days=120)
    [(now,)] = postgres.query(database, "select clock_timestamp()")  # of the times below as well: 20 minutes may end in between
    postgres.query(database, "insert into sluice.audit_anchor (chain, seq, mac, at) select chain, n, decode(repeat('00', 16), 'hex'), %s - interval '20 min' * (14400 - n)"
                             " from generate_series(1, 14400) n, unnest(array['a-w0', 'b-w0', 'a-k']) chain", (now,))  # 200 days
    for _ in range(300):
        if reader(THIN) == [(0,)] and postgres.query(database, "select hours_to > now() - interval '50 hours' from sluice.audit_rule") == [(True,)]:
            break
    kept = {(chain, age): (rows, times) for chain, age, rows, times in postgres.query(database, """
        select chain, case when at > now() - interval '48 hours' then 'new' when at > now() - interval '89 days' then 'hours'
                           when at < now() - interval '151 days' then 'old' when at < now() - interval '92 days' then 'days' end,
               count(*), count(distinct date_trunc(case when at > now() - interval '91 days' then 'hour' else 'day' end, at, 'UTC')) from sluice.audit_anchor group by 1, 2""")}
    for chain in ("a-w0", "b-w0", "a-k"):
        assert kept[chain, "new"][0] == 144, "the last two days whole"
        rows, hours = kept[chain, "hours"]
        assert rows - hours <= 3 and 2085 <= hours <= 2090, "the hour that is 48 hours old is whole yet"
        rows, days = kept[chain, "days"]
        assert rows == days and 57 <= days <= 60
        assert postgres.query(database, "select max(seq) from sluice.audit_anchor where chain = %s", (chain,)) == [(14400,)]
    assert ("a-w0", "old") not in kept and ("b-w0", "old") not in kept and kept["a-k", "old"][0] >= 48, "keepers' chains stay, and what is anchored of them"
    # Each that stays is the last one of its hour.
    assert postgres.query(database, "select count(*) from sluice.audit_anchor a join (select date_trunc('hour', %s - interval '20 min' * (14400 - n), 'UTC') as hour, max(n) as n"
                                    " from generate_series(1, 14400) n group by 1) last on date_trunc('hour', a.at, 'UTC') = last.hour"
                                    " where a.at between now() - interval '80 days' and now() - interval '50 hours' and a.seq <> last.n", (now,)) == [(0,)]


def test_a_chain_without_new_anchors_keeps_its_last_one(ruled, postgres, database, reader):
    ruled()
    postgres.query(database, "insert into sluice.audit_anchor (chain, seq, mac, at) select 'a-w0', n, decode(repeat('00', 16), 'hex'), now() - interval '400 days' + interval '1 s' * n"
                             " from generate_series(1, 10) n")
    assert reader(THIN)[0][0] in (8, 9)  # an hour may begin among them
    reader(THIN)
    assert postgres.query(database, "select max(seq), count(*) <= 2 from sluice.audit_anchor") == [(10, True)]


def anew(one, place):
    """The largest worker's chain as somebody with the key would write it: the record at `place` (of all) another one, or with None only the first half and an end."""
    chain = max(folder_of(one).glob("*-w*.jsonl"), key=lambda path: path.stat().st_size)
    secret = open(one.config["audit"]["key_file"], "rb").read().strip()
    records = [json.loads(line) for line in chain.read_bytes().splitlines()]
    if place is None:
        records = records[: len(records) // 2] + [{**records[-1], "seq": len(records) // 2 + 1}]
    mac, out = bytes(16), b""
    for number, record in enumerate(records):
        del record["mac"]
        if number == place:
            record["status"] = 418
        body = json.dumps(record, separators=(",", ":"), ensure_ascii=False)[:-1].encode()
        mac = hmac.new(secret, mac + body, hashlib.sha256).digest()[:16]
        out += body + b',"mac":"' + mac.hex().encode() + b'"}\n'
    chain.write_bytes(out)
    return chain.name.split("-000001")[0]


@pytest.mark.parametrize("how", ["rewritten", "cut"])
def test_a_chain_that_was_cut_or_written_anew_is_found_by_the_anchors_that_stay(own, postgres, database, reader, how):
    one = own({"server": {"workers": 1}, "audit": {"anchors": {"every": "50ms"}}})
    for _ in range(3):
        size = one.metrics()["sluice_audit_anchors_total"]
        assert one.get("/v1/regions/AR").status_code == 200
        eventually(lambda: one.metrics()["sluice_audit_anchors_total"] > size, within=WITHIN, says="an anchor")
    one.stop()
    assert " 0 bad places" in good(one)
    postgres.query(database, "update sluice.audit_anchor set at = date_trunc('hour', now() - interval '5 days') + interval '1 ms' * (seq % 1000)")
    [(before,)] = postgres.query(database, "select count(*) from sluice.audit_anchor")
    assert reader(THIN)[0][0] >= 2
    [(after, chains)] = postgres.query(database, "select count(*), count(distinct chain) from sluice.audit_anchor")
    assert after == chains < before
    assert " 0 bad places" in good(one)
    chain = anew(one, 2 if how == "rewritten" else None)
    assert verify(one, "--no-anchors").returncode == 0, "with the key at hand nobody sees it without anchors"
    done = verify(one)
    assert done.returncode == 1 and chain in done.stdout and ("another hash" in done.stdout or "was anchored" in done.stdout), done.stdout


def test_the_keeper_thins_them_out(own, postgres, database):
    postgres.query(database, "insert into sluice.audit_anchor (chain, seq, mac, at) select 'gone-w0', n, decode(repeat('00', 16), 'hex'), date_trunc('hour', now() - interval '9 days') + interval '1 s' * n"
                             " from generate_series(1, 100) n")
    own()
    eventually(lambda: postgres.query(database, "select seq from sluice.audit_anchor where chain = 'gone-w0'") == [(100,)], within=WITHIN, says="the last one alone")


# Records.

FOUR_AGES = """insert into sluice.audit_entry (chain, seq, time, event, customer, entry)
               select 'old', n, now() - interval '1 day' * days, 'request', 'acme', '{}' from (values (1, 1), (2, 20), (3, 40), (4, 4000)) a (n, days)"""


def left(postgres, database):
    return [row[0] for row in postgres.query(database, "select seq from sluice.audit_entry where chain = 'old' order by 1")]


def test_the_gateways_login_lets_nothing_go_that_the_owner_keeps(ruled, postgres, database, reader):
    postgres.query(database, FOUR_AGES)
    assert reader("select sluice.audit_expire(1)") == [(0,)] and left(postgres, database) == [1, 2, 3, 4], "without a rule all stays"
    one = ruled(ship_days=30)
    for days in (1, 29, 30):
        reader("select sluice.audit_expire(%s)", (days,))
    assert left(postgres, database) == [1, 2]
    for sql in ("select * from sluice.audit_rule", "update sluice.audit_rule set ship_days = 1 returning 1", "delete from sluice.audit_rule returning 1",
                "insert into sluice.audit_rule default values returning 1", "delete from sluice.customer_removed returning 1"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            reader(sql)
    assert migrate(one) == "", "run again, it changes nothing"


def test_a_gateway_may_keep_longer_than_the_rule(ruled, postgres, database, reader):
    ruled(ship_days=10)
    postgres.query(database, FOUR_AGES)
    reader("select sluice.audit_expire(1000)")
    assert left(postgres, database) == [1, 2, 3]


def test_migrate_says_what_the_rule_is(ruled, postgres, database):
    one = ruled(ship_days=400)
    assert migrate(one) == ""
    postgres.query(database, "update sluice.audit_rule set ship_days = 7")
    assert migrate(one) == "audit log: shipped records stay 400 days, files for ever\n"
    assert postgres.query(database, "select ship_days, keep_days from sluice.audit_rule") == [(400, 0)]


# Customers that were removed.


def records_of(one, name):
    answer = one.get("/v1/audit?select=request_id,operation&limit=1000", bearer=of(name, scope="audit:read"))
    assert answer.status_code == 200, answer.text
    return {row["request_id"] for row in answer.json()}


def of(name, **changes):
    """Not one of those that his removal a moment ago has revoked."""
    return token(customer=name, iat=int(time.time()) + 2, **changes)


def asked(one, name):
    """A request of the customer's, in the database."""
    answer = one.get("/v1/regions/AR", bearer=of(name, scope="regions:read"))
    assert answer.status_code == 200
    return answer.headers["X-Request-Id"]


def customer(one, *arguments):
    done = command("customer", *arguments, "--config", one.path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_removed_customers_records_stay_and_his_namesake_does_not_see_them(own, postgres, database):
    one = own({"audit": {"ship_days": 400}})
    migrate(one)
    customer(one, "add", "zoe")
    customer(one, "add", "yan")
    first, other = asked(one, "zoe"), asked(one, "yan")
    eventually(lambda: first in records_of(one, "zoe") and other in records_of(one, "yan"), within=WITHIN, says="the records")
    said = customer(one, "remove", "zoe", "--yes")
    assert "records of the audit log stay, each of them 400 days" in said, said
    while_gone = asked(one, "zoe")
    shipped = "select count(*) from sluice.audit_entry where event = 'request' and request_id in (%s, %s)"
    eventually(lambda: postgres.query(database, shipped, (first, while_gone)) == [(2,)], within=WITHIN, says="both records")
    assert records_of(one, "zoe") == set(), "there is no such customer"
    customer(one, "add", "zoe")
    second = asked(one, "zoe")
    eventually(lambda: second in records_of(one, "zoe"), within=WITHIN, says="the new one's record")
    assert not {first, while_gone} & records_of(one, "zoe")
    assert other in records_of(one, "yan")
    customer(one, "add", "zoe")  # once more changes nothing
    assert second in records_of(one, "zoe")
    customer(one, "remove", "zoe", "--yes")
    customer(one, "add", "zoe")
    assert not {first, while_gone, second} & records_of(one, "zoe"), "nor the second one's to the third"


def test_the_name_of_a_removed_customer_goes_with_his_last_record(ruled, postgres, database, reader):
    one = ruled(ship_days=30)
    for name in ("zoe", "yan"):
        customer(one, "add", name)
        assert "audit log" not in customer(one, "remove", name, "--yes"), "there are no records"
    postgres.query(database, "update sluice.customer_removed set removed_at = now() - interval '31 days'")
    postgres.query(database, "insert into sluice.audit_entry (chain, seq, time, event, customer, entry) values ('c', 1, now() - interval '29 days', 'request', 'zoe', '{}')")
    reader("select sluice.audit_expire(30)")
    assert postgres.query(database, "select customer_id from sluice.customer_removed") == [("zoe",)]
