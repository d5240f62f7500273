"""Reads from a standby: used while it is known how far it is behind, given up for the primary when not, and never a row older than was promised."""
import math
import re
import socket
import threading
import time

import pytest
import requests

from conftest import TEMPLATE, start_gateway
from gateway import SLOWNESS, token
from replication import Primary, Replica, kill_hard, remove
from wait import eventually, free_port

# `slowly` waits before its row; `gushing` is more than any buffer on the way holds.
SQL = """
create schema far; grant usage on schema far to sluice_reader;
create table far.item (id integer primary key, name text not null);
insert into far.item select n, 'item ' || n from generate_series(1, 3000) as n;
create table far.loose (id integer primary key, name text not null);
insert into far.loose select n, 'loose ' || n from generate_series(1, 10) as n;
create function far.slowly(id integer, seconds float8) returns integer language plpgsql stable as 'begin perform pg_sleep(seconds); return id; end';
create view far.slow as select id, name, far.slowly(id, 8) as t from far.item where id = 1;
create view far.gushing as select id, repeat('x', 1000) as body from far.item cross join generate_series(1, 100);
grant select on all tables in schema far to sluice_reader;
alter schema far owner to sluice_owner; alter table far.item owner to sluice_owner; alter table far.loose owner to sluice_owner;
analyze far.item; analyze far.loose;
select sluice.track('far.item');
"""
ITEMS = "/v1/datasets/item?order=name&limit=5"
LOOSE = "/v1/datasets/loose?order=name"
WITHIN = 10 * SLOWNESS


# What a test may have changed, as it was.
AS_BEFORE = """
delete from far.loose; insert into far.loose select n, 'loose ' || n from generate_series(1, 10) as n;
update far.item set name = 'item ' || id where name <> 'item ' || id;
update warehouse.region set name = 'Arvonia' where region_id = 'AR';
alter table far.item drop column if exists more;
"""


def make_pair(template):
    servers = [Primary(template, False)]
    servers[0].query(TEMPLATE, SQL)
    servers.append(Replica(servers[0]))
    servers[0].wait_for_replicas()
    return servers


@pytest.fixture(scope="module")
def kept_pair(demo_cluster):
    servers = make_pair(demo_cluster)
    yield servers
    for server in servers:
        remove(server)


@pytest.fixture
def pair(kept_pair):
    """What each test finds as it was made; the standby may be paused and killed."""
    yield kept_pair
    primary, replica = kept_pair
    if replica.process.poll() is not None:
        replica.start()
    replica.resume()
    replica.query("postgres", "alter system reset max_standby_streaming_delay")
    replica.query("postgres", "select pg_reload_conf()")
    primary.query("postgres", "drop extension if exists pg_stat_statements")
    primary.query(TEMPLATE, AS_BEFORE)
    replica.catch_up(primary)


@pytest.fixture
def lost_pair(demo_cluster):
    """A pair of one's own, for what cannot be undone: a promotion, the end of the primary."""
    servers = make_pair(demo_cluster)
    yield servers
    for server in servers:
        remove(server)


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(primary, *replicas, max_lag="5s", database=None, **changes):
        # ports instead of servers stand for what is no standby
        ports = [getattr(replica, "port", replica) for replica in replicas]
        changes = {"database": {"host": f"127.0.0.1:{primary.port}", "connect_timeout": "1s", "fast": {"statement_timeout": "1s"},
                                "replica": {"host": [f"127.0.0.1:{port}" for port in ports], "max_lag": max_lag}, **(database or {})},
                   # One worker: another one would first have to see a dataset's version itself.
                   "server": {"workers": 1}, "warehouse": {"schemas": ["far", "serving"]}, "cache": {"answers": 0}, **changes}
        one = start_gateway(tmp_path, primary, None, TEMPLATE, changes)
        one.token = token(scope="datasets:read audit:read")
        started.append(one)
        return one

    yield start
    for one in started:
        one.stop()


def lane(answer):
    return re.search(r"lane=(\w+)", answer.headers["Sluice-Plan"])[1]


def from_lane(api, path, wanted, within=WITHIN):
    """The first answer to `path` that comes from this lane."""
    def ask():
        answer = api.get(path)
        assert answer.status_code == 200, answer.text
        return answer if lane(answer) == wanted else None
    return eventually(ask, within=within, every=0.05, says=f"an answer to {path} from lane {wanted}")


def lag(answer):
    return float(re.fullmatch(r"(\d+\.\d)s", answer.headers["Sluice-Lag"])[1])


def usable(api, replica):
    return api.metrics()[f'sluice_replica_usable{{replica="127.0.0.1:{replica.port}"}}']


def lag_told(api, replica):
    """By the metric; nothing is told of a lag that is not known."""
    return api.metrics().get(f'sluice_replica_lag_seconds{{replica="127.0.0.1:{replica.port}"}}', math.inf)


def ask_slowly(api, replica):
    """A thread that asks for what takes 8 s, and its answers, once the query is under way on the standby. What the primary got, because the standby was late
    to say where it is, is asked again."""
    def under_way():
        from_lane(api, "/v1/datasets/slow?limit=0", "replica")
        answers = []
        asker = threading.Thread(target=lambda: answers.append(requests.get(api.base + "/v1/datasets/slow", headers=api.headers(), timeout=60)), daemon=True)
        asker.start()
        eventually(lambda: answers or backends(replica, '%"slow"%'), within=WITHIN, says="the query on the standby, or its end elsewhere")
        return not answers and (asker, answers)
    return eventually(under_way, within=2 * WITHIN, says="the query on the standby")


def backends(server, like):
    return server.query(TEMPLATE, "select pid from pg_stat_activity where usename = 'sluice_reader' and state = 'active' and query ilike %s", (like,))


def test_scans_are_read_from_the_standby_with_their_etag_and_their_lag(pair, serve):
    primary, replica = pair
    api = serve(primary, replica)
    answer = from_lane(api, ITEMS, "replica")
    assert answer.json() == api.json(ITEMS + "&id=gt.0") and len(answer.json()) == 5
    assert 0 <= lag(answer) <= 5
    again = api.get(ITEMS, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    eventually(lambda: api.metrics()['sluice_lane_queries_total{lane="replica"}'] > 0, says="the lane's counter")
    # A standby that says a second late where it is, is left for a moment: nothing here holds at each instant.
    eventually(lambda: usable(api, replica) == 1 and lag_told(api, replica) <= 5, within=WITHIN, says="the metrics of a standby that is used")


def test_what_must_be_of_this_moment_is_read_from_the_primary(pair, serve):
    primary, replica = pair
    api = serve(primary, replica)
    from_lane(api, ITEMS, "replica")
    key = api.get("/v1/datasets/item?id=eq.7")
    counted = api.get(ITEMS, headers={"Prefer": "count=exact"})
    assert lane(key) == "fast" and lane(counted) == "scan" and counted.headers["Content-Range"] == "0-4/3000"
    assert "Sluice-Lag" not in key.headers and "Sluice-Lag" not in counted.headers


def test_without_a_replica_nothing_tells_of_one(demo_cluster, own_postgres, tmp_path):
    api = start_gateway(tmp_path, own_postgres, None, TEMPLATE, {})
    try:
        answer = api.get("/v1/datasets/serving.weather_daily?limit=2&order=day")
        assert lane(answer) == "scan" and "Sluice-Lag" not in answer.headers
        assert not [name for name in api.metrics() if "replica" in name]
    finally:
        api.stop()


def test_an_idle_primary_makes_no_lag(pair, serve):
    primary, replica = pair
    api = serve(primary, replica, max_lag="2s")
    replica.catch_up(primary)
    from_lane(api, ITEMS, "replica")
    primary.query("postgres", "create extension pg_stat_statements")
    # More polls than max_lag has room for, and nothing written.
    first = primary_polls(primary)
    eventually(lambda: primary_polls(primary) > first + 14, within=20 * SLOWNESS, says="fourteen polls")
    # Where idleness made a lag, none of this would come true: nothing is written that would end it.
    eventually(lambda: usable(api, replica) == 1, says="the standby's use")
    eventually(lambda: lane(answer := api.get(ITEMS)) == "replica" and lag(answer) <= 1.5, says="an answer without a lag")


def primary_polls(primary):
    found = primary.query("postgres", "select coalesce(sum(calls), 0) from pg_stat_statements where query like '%%pg_current_wal_insert_lsn() as at%%'")
    return int(found[0][0])


def test_a_standby_that_falls_behind_is_left_for_the_primary_and_taken_up_again(pair, serve):
    primary, replica = pair
    api = serve(primary, replica, max_lag="1s")
    from_lane(api, ITEMS, "replica")
    from_lane(api, LOOSE, "replica")
    replica.pause()
    primary.query(TEMPLATE, "insert into far.loose values (11, 'a new one')")
    answer = from_lane(api, LOOSE, "scan", within=2 * SLOWNESS)
    assert answer.json()[0] == {"id": 11, "name": "a new one"} and "Sluice-Lag" not in answer.headers
    eventually(lambda: usable(api, replica) == 0, says="the metric")
    eventually(lambda: lag_told(api, replica) > 1, says="the lag")
    eventually(lambda: "replica_not_used" in api.errors(), says="the log's line")
    replica.resume()
    assert from_lane(api, LOOSE, "replica").json()[0]["id"] == 11
    eventually(lambda: "replica_used" in api.errors(), says="the log's line")


def test_nothing_older_than_max_lag_is_ever_read(pair, serve):
    """The primary counts on while the replay stops and goes; each answer is compared with what was committed max_lag before it was asked."""
    primary, replica = pair
    api = serve(primary, replica, max_lag="500ms")
    from_lane(api, LOOSE, "replica")
    committed, stopping, lanes = [], threading.Event(), set()

    def count():
        connection = primary.connect(TEMPLATE)
        with connection.cursor() as cursor:
            number = 100
            while not stopping.wait(0.01):
                number += 1
                cursor.execute("update far.loose set name = %s where id = 1", (f"{number:09}",))
                committed.append((time.monotonic(), number))
        connection.close()

    writer = threading.Thread(target=count, daemon=True)
    writer.start()
    try:
        eventually(lambda: len(committed) > 5, says="commits")
        # 150 turns, and more where by then one of the lanes had no turn: a slow machine's polls leave the standby little of its 0.5 s.
        turn, end = -1, time.monotonic() + 2 * WITHIN
        while (turn := turn + 1) < 150 or (lanes != {"replica", "scan"} and time.monotonic() < end):
            if turn % 50 == 10:
                replica.pause()
            if turn % 50 == 30:
                replica.resume()
            asked = time.monotonic()
            answer = api.get(LOOSE + "&id=lt.2")
            lanes.add(lane(answer))
            floor = max((number for at, number in list(committed) if at < asked - 0.5), default=0)
            name = answer.json()[0]["name"]
            assert (int(name) if name.isdigit() else 0) >= floor, f"{lane(answer)}: older than 0.5 s"
            stopping.wait(0.02)
    finally:
        stopping.set()
        writer.join(20)
    assert lanes == {"replica", "scan"}


def test_what_a_tracked_change_has_made_is_read_at_once(pair, serve):
    """The version is seen on the primary: the standby, which has not replayed the change yet, is not asked."""
    primary, replica = pair
    api = serve(primary, replica, max_lag="60s")
    old = from_lane(api, ITEMS, "replica")
    replica.pause()
    primary.query(TEMPLATE, "update far.item set name = 'a first one' where id = 9")
    # The new body may come with the old version, polled before, if the standby is not asked just then for another reason: both are waited for.
    new = eventually(lambda: (answer := api.get(ITEMS)).json()[0]["name"] == "a first one" and answer.headers.get("ETag") != old.headers["ETag"] and answer, within=2 * SLOWNESS, says="the change")
    assert lane(new) == "scan"
    assert api.get(ITEMS, headers={"If-None-Match": old.headers["ETag"]}).status_code == 200
    replica.resume()
    assert from_lane(api, ITEMS, "replica").json() == new.json()


def test_a_kept_answer_from_the_standby_is_of_its_version(pair, serve):
    primary, replica = pair
    api = serve(primary, replica, cache={"answers": "16MB"})
    path = ITEMS + "&id=gt."

    def kept(turn=iter(range(10000))):
        number = next(turn)
        # Not kept where the standby was lost while it answered.
        return lane(api.get(path + str(-number))) == "replica" and "cache=memory" in api.get(path + str(-number)).headers["Sluice-Plan"] and path + str(-number)
    one = eventually(kept, within=WITHIN, every=0.05, says="a kept answer of the standby")
    primary.query(TEMPLATE, "update far.item set name = 'a first one' where id = 9")
    eventually(lambda: api.json(one)[0]["name"] == "a first one", within=2 * SLOWNESS, says="the change")
    assert all(api.json(one)[0]["name"] == "a first one" for _ in range(20))


def test_a_walk_over_both_servers_loses_and_repeats_no_row(pair, serve):
    primary, replica = pair
    api = serve(primary, replica, max_lag="1s")
    from_lane(api, LOOSE, "replica")
    names, lanes, path, turn = [], [], "/v1/datasets/item?order=name&limit=100&cursor=", 0
    while path:
        turn += 1
        if turn == 10:
            replica.pause()
            primary.query(TEMPLATE, "insert into far.loose values (12, 'x')")
            eventually(lambda: usable(api, replica) == 0, within=WITHIN, says="the lag")
        if turn == 20:
            replica.resume()
            eventually(lambda: usable(api, replica) == 1, within=WITHIN, says="the end of the lag")
        answer = api.get(path)
        assert answer.status_code == 200
        lanes.append(lane(answer))
        names += [row["name"] for row in answer.json()]
        link = re.search(r'<([^>]*)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else None
    assert names == sorted(f"item {n}" for n in range(1, 3001))
    assert {"replica", "scan"} <= set(lanes), lanes


def test_a_standby_killed_before_the_first_byte_costs_nothing_but_time(pair, serve):
    primary, replica = pair
    api = serve(primary, replica)
    from_lane(api, ITEMS, "replica")
    asker, answers = ask_slowly(api, replica)
    kill_hard(replica)
    asker.join(60)
    assert answers[0].status_code == 200 and answers[0].json()[0]["id"] == 1 and lane(answers[0]) == "scan"
    eventually(lambda: api.metrics()["sluice_replica_retries_total"] >= 1, says="the counter")
    for _ in range(50):
        answer = api.get(ITEMS)
        assert answer.status_code == 200, answer.text
    replica.start()
    from_lane(api, ITEMS, "replica")


def test_a_standby_killed_in_mid_stream_cuts_the_answer_where_all_can_see(pair, serve):
    primary, replica = pair
    api = serve(primary, replica)
    from_lane(api, ITEMS, "replica")
    head = "".join(f"{name}: {value}\r\n" for name, value in api.headers().items())

    def gush():
        connection = socket.create_connection((api.host, api.port), timeout=60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(f"GET /v1/datasets/gushing HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        received = connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 200"), received[:300]
        if b"lane=replica" in received:
            return connection, received
        connection.close()  # the standby had been late to say where it is
        return None

    connection, received = eventually(gush, within=WITHIN, every=0.1, says="a stream of the standby")
    with connection:
        eventually(lambda: backends(replica, '%"gushing"%'), within=WITHIN, says="the stream from the standby")
        kill_hard(replica)
        tail = received
        try:
            while chunk := connection.recv(1 << 20):
                tail = (tail + chunk)[-16:]
        except ConnectionResetError:
            pass
    assert not tail.endswith(b"0\r\n\r\n"), "the answer looks whole"


def test_a_promoted_standby_is_no_standby_any_more(lost_pair, serve):
    primary, replica = lost_pair
    api = serve(primary, replica)
    from_lane(api, ITEMS, "replica")
    replica.promote()
    from_lane(api, ITEMS, "scan", within=2 * SLOWNESS)
    eventually(lambda: usable(api, replica) == 0, says="the metric")
    eventually(lambda: "no standby" in api.errors(), says="the log's line")


def test_a_failover_to_the_standby_itself_is_followed(lost_pair, serve):
    primary, replica = lost_pair
    api = serve(primary, replica, max_lag="60s", database={"host": [f"127.0.0.1:{primary.port}", f"127.0.0.1:{replica.port}"]})
    from_lane(api, ITEMS, "replica")
    kill_hard(primary)
    before = api.get(ITEMS)
    if before.status_code == 200:
        assert lane(before) == "replica", "what is described and planned goes on without a primary"
    else:  # a standby that was late to say where it is, or lost its connection, is not believed again before there is a primary
        assert before.status_code == 503, before.text
        eventually(lambda: "it does not answer" in api.errors() or "it cannot be" in api.errors(), says="why the standby was not read from")
    replica.promote()
    answer = eventually(lambda: (one := api.get(ITEMS)).status_code == 200 and lane(one) == "scan" and one, within=WITHIN, says="reads from the new primary")
    assert len(answer.json()) == 5
    replica.query(TEMPLATE, "update far.item set name = 'a first one' where id = 9")
    eventually(lambda: api.json(ITEMS)[0]["name"] == "a first one", within=WITHIN, says="a change on the new primary")


def test_a_query_in_the_way_of_the_replay_is_asked_of_the_primary(pair, serve):
    primary, replica = pair
    replica.query("postgres", "alter system set max_standby_streaming_delay = '100ms'")
    replica.query("postgres", "select pg_reload_conf()")
    api = serve(primary, replica, max_lag="60s")
    from_lane(api, ITEMS, "replica")
    asker, answers = ask_slowly(api, replica)
    # Only the replayed lock conflicts: the query on the primary comes after it.
    primary.query(TEMPLATE, "alter table far.item add column more integer")
    asker.join(60)
    assert answers[0].status_code == 200 and answers[0].json()[0]["id"] == 1, answers[0].text
    assert lane(answers[0]) == "scan"
    eventually(lambda: api.metrics()["sluice_replica_retries_total"] >= 1, says="the counter")


def test_another_cluster_is_no_standby(pair, serve, own_postgres):
    primary, _ = pair
    api = serve(primary, own_postgres)
    eventually(lambda: "no standby" in api.errors() or "another cluster" in api.errors(), within=WITHIN, says="the refusal")
    assert usable(api, own_postgres) == 0
    assert lane(api.get(ITEMS)) == "scan"


def test_a_standby_that_is_not_there_holds_up_neither_start_nor_reads(pair, serve):
    primary, replica = pair
    nowhere = free_port()
    api = serve(primary, nowhere, replica)
    answer = from_lane(api, ITEMS, "replica")
    assert len(answer.json()) == 5
    assert api.metrics()[f'sluice_replica_usable{{replica="127.0.0.1:{nowhere}"}}'] == 0


def test_series_and_searches_are_read_from_the_standby_too(pair, serve):
    primary, replica = pair
    api = serve(primary, replica, max_lag="60s")
    api.token = token(scope="datasets:read regions:read")
    series, search = "/v1/regions/AR/weather", "/v1/regions?q=a&limit=3"
    for path in (series, search):
        answer = from_lane(api, path, "replica")
        assert lag(answer) <= 60
        assert api.get(path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    old = api.get(search)
    replica.pause()
    primary.query(TEMPLATE, "update warehouse.region set name = 'Aa first' where region_id = 'AR'")
    new = eventually(lambda: (answer := api.get(search)).headers["ETag"] != old.headers["ETag"] and answer, within=WITHIN, says="the new version")
    assert lane(new) == "scan"
    replica.resume()
    assert from_lane(api, search, "replica").content == new.content


def test_the_plan_says_that_a_standby_would_be_read(pair, serve):
    primary, replica = pair
    api = serve(primary, replica)
    from_lane(api, ITEMS, "replica")
    ask = lambda: api.get("/v1/query/plan", method="POST", json={"url": ITEMS})  # noqa: E731
    eventually(lambda: (plan := ask()).status_code == 200 and plan.json()["lane"] == "replica", says="the standby in the plan")
