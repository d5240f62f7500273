"""Several issuers at once, each with its keys, and an OpenID provider that is found by its address alone."""
import http.server
import json
import os
import subprocess
import threading
import time

import pytest
import requests

import clients
from gateway import ISSUER, SECRET, assert_problem, issuer, token, write_secret
from load import Carriers
from test_tokens import ec_jwk, ec_key, pem, rs, rsa_jwk
from wait import eventually, free_port

PATH = "/v1/regions?limit=1"


class Issuer:
    """A document of discovery and the keys that it leads to, both as the test wants them."""

    def __init__(self, *keys):
        self.keys, self.asked, self.document = list(keys), {}, None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked[self.path] = outer.asked.get(self.path, 0) + 1
                content = {"/jwks": {"keys": outer.keys}, "/.well-known/openid-configuration": outer.document}.get(self.path)
                body = json.dumps(content).encode()
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.document = {"issuer": self.url, "jwks_uri": self.url + "/jwks"}
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def entry(self, **changes):
        return issuer(issuer=self.url, discovery=True, refresh="10m", cooldown="1s", timeout="20s", **changes)

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def found():
    one = Issuer(ec_jwk("ec-1"), rsa_jwk("shared"))
    yield one
    one.close()


def es(kid, **changes):
    return token(pem(ec_key(kid)), "ES256", kid, **changes)


def test_a_key_is_its_own_issuers_alone(gateway, found, tmp_path):
    own = issuer(keys=[{"kid": "test-1", "algorithm": "HS256", "file": write_secret(tmp_path, "secret", SECRET)}])
    one = gateway({"auth": {"issuers": [own, found.entry(audience=["lake", "sluice"])]}})
    assert one.get(PATH, bearer=token()).status_code == 200
    assert one.get(PATH, bearer=es("ec-1", iss=found.url)).status_code == 200
    assert one.get(PATH, bearer=es("ec-1", iss=found.url, aud="lake")).status_code == 200
    assert_problem(one.get(PATH, bearer=token(aud="lake")), 401, "invalid-token")
    assert_problem(one.get(PATH, bearer=es("ec-1", iss=ISSUER)), 401, "invalid-token")
    assert_problem(one.get(PATH, bearer=token(iss=found.url)), 401, "invalid-token")
    assert_problem(one.get(PATH, bearer=es("ec-1", iss=found.url + "/")), 401, "invalid-token")
    assert one.session.get(one.admin + "/readyz", timeout=5).json()["keys"] == 3


def test_an_issuer_may_stand_for_one_customer_and_one_tier(gateway, found):
    one = gateway({"auth": {"issuers": [found.entry(customer="birch", tier="test")]}})
    answer = one.get(PATH, bearer=es("ec-1", iss=found.url, customer=None, tier="unheard-of"))
    assert answer.status_code == 200
    assert one.record_of(answer)["customer"] == "birch"


def test_an_issuer_that_is_away_hinders_no_other(gateway, found, tmp_path):
    own = issuer(keys=[{"kid": "test-1", "algorithm": "HS256", "file": write_secret(tmp_path, "secret", SECRET)}])
    away = issuer(issuer=f"http://127.0.0.1:{free_port()}", discovery=True, cooldown="1s", timeout="1s")
    one = gateway({"auth": {"issuers": [away, own, found.entry()]}})
    assert one.get(PATH, bearer=token()).status_code == 200
    for index in range(5):
        assert_problem(one.get(PATH, bearer=es("ec-1", iss=away["issuer"], sub=f"s{index}")), 401, "invalid-token")
        assert one.get(PATH, bearer=es("ec-1", iss=found.url, sub=f"s{index}")).status_code == 200


@pytest.mark.parametrize("name", ["another issuer", "a slash more", "no address", "an address that is not safe"])
def test_a_document_that_is_not_the_issuers_own_gives_no_keys(gateway, found, name):
    good = dict(found.document)
    found.document = {"another issuer": {**good, "issuer": "https://evil.example"}, "a slash more": {**good, "issuer": good["issuer"] + "/"},
                      "no address": {"issuer": good["issuer"]}, "an address that is not safe": {**good, "jwks_uri": "http://evil.example/jwks"}}[name]
    one = gateway({"auth": {"issuers": [found.entry()]}})
    assert_problem(one.get(PATH, bearer=es("ec-1", iss=found.url)), 401, "invalid-token")
    eventually(lambda: "discovery_failed" in one.errors(), says="the event")
    assert "/jwks" not in found.asked
    found.document = good
    eventually(lambda: one.get(PATH, bearer=es("ec-1", iss=found.url)).status_code == 200, within=20, says="the mended document")
    found.document = {**good, "issuer": "https://evil.example"}
    assert_problem(one.get(PATH, bearer=rs("unknown", iss=found.url)), 401, "invalid-token")
    assert one.get(PATH, bearer=es("ec-1", iss=found.url)).status_code == 200, "known keys go on"


def test_the_document_leads_to_new_keys_where_they_have_moved(gateway, found):
    one = gateway({"auth": {"issuers": [found.entry()]}})
    assert one.get(PATH, bearer=rs("shared", iss=found.url)).status_code == 200
    moved = Issuer(rsa_jwk("moved"))
    try:
        found.document = {"issuer": found.url, "jwks_uri": moved.url + "/jwks"}
        eventually(lambda: one.get(PATH, bearer=rs("moved", iss=found.url)).status_code == 200, within=20, says="the new address")
        assert one.get(PATH, bearer=rs("shared", iss=found.url)).status_code == 401
    finally:
        moved.close()


class OidcProvider:
    def __init__(self, place, algorithm):
        (place / "oidc.mjs").write_text((clients.HERE / "oidc.mjs").read_text(encoding="utf-8"), encoding="utf-8")
        self.process = subprocess.Popen(["node", place / "oidc.mjs"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
                                        env={"PATH": os.environ["PATH"], "OIDC_ALGORITHM": algorithm})
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://"), "the provider did not start"
        self.session = requests.Session()
        self.session.trust_env = False

    def token(self):
        answer = self.session.post(self.url + "/token", data={"grant_type": "client_credentials", "scope": "regions:read datasets:read"},
                                   auth=("loader", "a-secret-of-the-tests"), timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def rotate(self):
        return self.session.post(self.url + "/rotate", timeout=60).text

    def counts(self):
        return self.session.get(self.url + "/counts", timeout=60).json()

    def stop(self):
        self.session.close()
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(params=["RS256", "ES256"])
def provider(request):
    one = OidcProvider(clients.node(), request.param)
    yield one
    one.stop()


@pytest.mark.tsan
def test_an_openid_provider_rotates_its_keys_under_load_without_a_false_401(gateway, provider):
    cooldown_s = 1
    entry = issuer(issuer=provider.url, discovery=True, refresh="10m", cooldown=f"{cooldown_s}s", timeout="5s")
    instances = [gateway({"auth": {"issuers": [entry]}}) for _ in range(2)]
    with Carriers(instances, provider.token(), PATH) as carriers:
        for _ in range(3):
            before, fetched = provider.counts(), [one.metrics()["sluice_jwks_fetches_total"] for one in instances]
            for outlived in carriers.bearers[:-1]:
                carriers.retire(outlived)  # the provider publishes two keys
            provider.rotate()
            carriers.use(provider.token())
            after = provider.counts()
            assert {name: after[name] - before[name] for name in after} == {"discovery": 2, "jwks": 2}, "one refetch an instance"
            assert [one.metrics()["sluice_jwks_fetches_total"] for one in instances] == [number + 1 for number in fetched]
            time.sleep(cooldown_s)  # not for synchronisation: a provider does not rotate more often than the gateway may ask
    assert not carriers.failures, carriers.failures[:10]
