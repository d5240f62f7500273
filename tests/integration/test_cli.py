"""The command line: help, check, token, customer, migrate, health."""
import jwt
import pytest
import yaml

from conftest import make_template
from gateway import ISSUER, SECRET, Gateway, command, configuration, merge
from wait import eventually, free_port


@pytest.fixture
def written(tmp_path, postgres, redis, demo):
    """written({"server": {…}}): a configuration file that was not started."""
    return lambda changes=None, database=demo: Gateway(tmp_path, merge(configuration(tmp_path, postgres, database, redis), changes or {}))


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["check", "--help"], ["migrate", "--help"], ["customer", "--help"], ["customer", "add", "--help"],
                                       ["token", "--help"], ["health", "--help"]])
def test_help_says_how_it_is_called(arguments):
    done = command(*arguments)
    assert done.returncode == 0 and "sluice" in done.stdout and done.stderr == ""
    if arguments[0] != "--help":
        assert "--config" in done.stdout


@pytest.mark.parametrize("arguments", [["none"], ["serve", "--none"], ["serve", "--config"], ["serve", "--config", "/none/sluice.yaml"], ["customer"], ["customer", "none"], ["token", "extra"]])
def test_a_wrong_call_is_refused_on_stderr(arguments):
    done = command(*arguments)
    assert done.returncode not in (0, -6, -11) and done.stdout == "" and done.stderr


def test_check_of_a_good_file_says_that_it_has_no_mistakes(written):
    one = written()
    done = command("check", "--offline", "--config", one.path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{one.path}: no mistakes\n"


def test_check_lists_all_mistakes_with_line_and_remedy(written):
    one = written({"server": {"wrokers": 2, "listen": "nowhere"}, "database": {"port": 99999, "tls": "maybe"}, "limits": {"default_tier": "none"}, "sever": {},
                   "cache": {"ttl": "10 parsecs"}})
    done = command("check", "--config", one.path)
    assert done.returncode not in (0, -6, -11)
    lines = one.path.read_text().splitlines()
    for key in ("wrokers", "listen", "port", "tls", "default_tier", "sever", "ttl"):
        told = [line for line in done.stderr.splitlines() if key in line]
        assert told, f"{key} is not told of: {done.stderr}"
        number = next(index for index, line in enumerate(lines, 1) if line.strip().startswith(key + ":"))
        assert any(f":{number}:" in line for line in told), (key, number, told)
    assert "workers" in done.stderr


@pytest.mark.parametrize("text", ["", "- a\n", "server: [\n", "a: &x [*x]\n", "\0", "server:\n\tlisten: x\n", "server: {listen: 1}\nserver: {listen: 2}\n"])
def test_a_file_that_is_no_configuration_is_refused_in_words(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    done = command("check", "--config", path)
    assert done.returncode not in (0, -6, -11) and str(path) in done.stderr


def test_the_example_file_has_no_mistake_but_its_missing_keys(tmp_path):
    """What stands in sluice.example.yaml is known and valid: only auth.issuers is empty there, and nothing else is told of."""
    from gateway import ROOT

    example = yaml.safe_load((ROOT / "sluice.example.yaml").read_text())
    key = tmp_path / "dev.key"
    key.write_text(SECRET)
    key.chmod(0o600)
    example["auth"]["issuers"] = [{"issuer": "https://issuer.example", "audience": "sluice", "keys": [{"kid": "dev-1", "algorithm": "HS256", "file": str(key)}]}]
    example["database"]["port"] = free_port()  # nobody is there
    path = tmp_path / "example.yaml"
    path.write_text(yaml.safe_dump(example))
    done = command("check", "--config", path)
    assert not [line for line in done.stderr.splitlines() if "example.yaml:" in line], done.stderr


def test_serve_does_not_start_on_a_bad_file(written):
    one = written({"server": {"workers": "many"}})
    done = command("serve", "--config", one.path)
    assert done.returncode not in (0, -6, -11) and "workers" in done.stderr


def test_serve_names_the_address_that_is_taken(written, api):
    one = written({"server": {"listen": f"{api.host}:{api.port}"}})
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        one = written({"server": {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}})
        done = command("serve", "--config", one.path)
        assert done.returncode not in (0, -6, -11) and str(taken.getsockname()[1]) in done.stderr


@pytest.mark.parametrize("role,wrong", [("superuser", "SUPERUSER"), ("inherit", "INHERIT")])
def test_serve_refuses_a_login_that_may_more_than_read(postgres, database, written, role, wrong):
    postgres.query("postgres", f"create role too_mighty login {role} password 'x'")
    try:
        postgres.query("postgres", f'grant connect on database "{database}" to too_mighty')
        one = written({"database": {"user": "too_mighty"}}, database)
        path = one.folder / "mighty.password"
        path.write_text("x")
        path.chmod(0o600)
        one.config["database"]["password_file"] = str(path)
        one.path.write_text(yaml.safe_dump(one.config))
        done = command("serve", "--config", one.path)
        assert done.returncode not in (0, -6, -11) and "too_mighty" in done.stderr, done.stderr
    finally:
        postgres.query(database, "drop owned by too_mighty")
        postgres.query("postgres", f'revoke all on database "{database}" from too_mighty')
        postgres.query("postgres", "drop role too_mighty")


def test_token_mints_what_the_gateway_accepts(api):
    done = command("token", "--config", api.path, "--customer", "minted", "--tier", "test", "--scope", "regions:read", "--subject", "me")
    assert done.returncode == 0, done.stderr
    minted = done.stdout.strip()
    content = jwt.decode(minted, SECRET, algorithms=["HS256"], audience="sluice", issuer=ISSUER)
    assert (content["customer"], content["tier"], content["scope"], content["sub"]) == ("minted", "test", "regions:read", "me")
    assert api.get("/v1/regions/AR", bearer=minted).status_code == 200
    assert api.record_of(api.get("/v1/regions/AR", bearer=minted))["customer"] == "minted"


def test_migrate_and_customer_add_may_be_repeated(postgres, tmp_path, redis):
    make_template(postgres, "fresh")
    try:
        one = Gateway(tmp_path, configuration(tmp_path, postgres, "fresh", redis))
        again = command("migrate", "--config", one.path)
        assert again.returncode == 0, again.stderr
        for _ in range(2):
            added = command("customer", "add", "acme", "--tier", "test", "--config", one.path)
            assert added.returncode == 0, added.stderr
        assert postgres.query("fresh", "select customer_id, tier from sluice.customer") == [("acme", "test")]
        for name in ("Bad-Name", "1x", "x" * 42, "a'b", ""):
            refused = command("customer", "add", name, "--tier", "test", "--config", one.path)
            assert refused.returncode not in (0, -6, -11) and refused.stderr
        assert command("customer", "add", "other", "--tier", "none", "--config", one.path).returncode != 0
        assert len(postgres.query("fresh", "select 1 from sluice.customer")) == 1
    finally:
        postgres.drop("fresh")


def test_health_asks_the_running_gateway(api, written):
    assert command("health", "--config", api.path).returncode == 0
    assert command("health", "--config", written().path).returncode not in (0, -6, -11)


def test_sighup_reloads_or_is_survived(gateway):
    import signal

    one = gateway()
    one.process.send_signal(signal.SIGHUP)
    eventually(lambda: one.get("/v1/regions/AR").status_code == 200)
    assert one.process.poll() is None
