"""Servers, databases and gateways for the integration tests: a private PostgreSQL and Redis for each xdist worker, the demo loaded once
for all of them, a database cloned in a moment for whoever writes."""
import fcntl
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from gateway import BINARY, ROOT, Gateway, command, configuration, merge
from servers import OWNER_PASSWORD, Postgres, Redis

TEMPLATE = "sluice_template"


def pytest_sessionstart():
    if not Path(BINARY).is_file():
        pytest.exit(f"there is no {BINARY}; build it (./dev test does), or name it in SLUICE_BINARY", returncode=4)


def make_template(postgres, name):
    """A migrated database, made as ./dev makes it."""
    if not postgres.query("postgres", "select 1 from pg_roles where rolname = 'sluice_owner'"):
        postgres.query("postgres", "create role sluice_owner login createrole createdb password %s", (OWNER_PASSWORD,))
    postgres.query("postgres", f'create database "{name}" owner sluice_owner')
    postgres.query("postgres", f'revoke all on database "{name}" from public')
    postgres.query(name, "revoke usage on language sql, plpgsql from public; grant usage on language sql, plpgsql to sluice_owner")
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(folder, configuration(folder, postgres, name))
        done = command("migrate", "--config", gateway.path)
        assert done.returncode == 0, f"sluice migrate ended with {done.returncode}: {done.stderr}{done.stdout}"


def make_demo():
    """A stopped cluster that holds the demo; its folder."""
    postgres = Postgres()
    try:
        make_template(postgres, TEMPLATE)
        postgres.psql(TEMPLATE, ROOT / "sql/demo.sql")
        postgres.query(TEMPLATE, "create extension pg_stat_statements")
        postgres.query(TEMPLATE, "vacuum freeze analyze")
    except BaseException:
        postgres.remove()
        raise
    postgres.stop()
    return postgres.folder


def kept_cluster(folder):
    with open(folder.with_suffix(".lock"), "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            shutil.move(make_demo(), folder)
    return folder / "data"


@pytest.fixture(scope="session")
def demo_cluster(tmp_path_factory, worker_id):
    """The data folder of a stopped cluster; made by the first worker that comes, copied by all. SLUICE_DEMO_CLUSTER names a folder that
    keeps it from run to run: whoever changes sql/ deletes it."""
    if os.environ.get("SLUICE_DEMO_CLUSTER"):
        yield kept_cluster(Path(os.environ["SLUICE_DEMO_CLUSTER"]))
        return
    if worker_id == "master":
        folder = make_demo()
        yield folder / "data"
        shutil.rmtree(folder, ignore_errors=True)
        return
    shared = tmp_path_factory.getbasetemp().parent
    with open(shared / "demo.lock", "a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = shared / "demo.folder"
        if not made.is_file():
            made.write_text(str(make_demo()), encoding="utf-8")
        with open(shared / "demo.users", "a", encoding="utf-8") as users:
            users.write(".")
    folder = Path(made.read_text(encoding="utf-8"))
    yield folder / "data"
    with open(shared / "demo.lock", "a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(shared / "demo.users", "r+", encoding="utf-8") as users:
            left = users.read()[1:]
            users.seek(0)
            users.truncate()
            users.write(left)
        if not left:  # whoever comes later makes it anew
            made.unlink()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(demo_cluster):
    server = Postgres(template=demo_cluster)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis():
    server = Redis()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def demo(postgres):
    """The demo's database, which nobody may change."""
    return postgres.clone("demo", TEMPLATE)


@pytest.fixture
def database(postgres, request):
    """A demo of one's own."""
    name = postgres.clone(f"own_{next(NUMBERS)}", TEMPLATE)
    yield name
    postgres.drop(name)


NUMBERS = itertools.count(1)


def start_gateway(folder, postgres, redis, database, changes, prefix=None, binary=BINARY, ready=True):
    config = merge(configuration(folder, postgres, database, redis, prefix), changes)
    return Gateway(folder, config, binary).start(ready)


@pytest.fixture(scope="session")
def api(postgres, redis, demo, tmp_path_factory):
    """The gateway on the unchanged demo, shared by all tests of a worker that only read."""
    gateway = start_gateway(tmp_path_factory.mktemp("api"), postgres, redis, demo, {"limits": {"weights": {}}})
    yield gateway
    gateway.stop()


@pytest.fixture
def gateway(postgres, redis, demo, tmp_path):
    """Starts gateways of one's own: gateway({"cache": {"ttl": "1s"}}, database=name, redis=None, prefix="shared:"). At the test's end each must end
    with 0 within its drain, and without a sanitizer's report."""
    started = []

    def start(changes=None, database=demo, redis=redis, prefix=None, binary=BINARY, ready=True):
        one = start_gateway(tmp_path, postgres, redis, database, changes or {}, prefix, binary, ready)
        started.append(one)
        return one

    yield start
    failures = []
    for one in started:
        try:
            one.stop()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture(params=["redis", "process"])
def store(request, redis):
    """Redis, or None for what the process keeps by itself."""
    return redis if request.param == "redis" else None


@pytest.fixture
def own_postgres(demo_cluster):
    """A PostgreSQL that may be killed."""
    server = Postgres(template=demo_cluster)
    yield server
    server.remove()


@pytest.fixture
def own_redis():
    """A Redis that may be killed."""
    server = Redis()
    yield server
    server.remove()
