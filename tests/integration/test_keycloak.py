"""Keycloak as the issuer, made and rotated as README.md tells it."""
import subprocess
import time

import jwt
import pytest

import clients
from conftest import NUMBERS
from gateway import ROOT, assert_problem, issuer
from keycloak import PASSWORD, SECRET, Keycloak, Realm
from load import Carriers
from wait import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # its installation and its start are part of the first test
PATH = "/v1/regions?limit=1"
COOLDOWN_S = 1
GOLD = {"limits": {"tiers": {"gold": {"rates": [{"rate": "77777/s", "burst": 77777}], "quotas": []}}}}


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory):
    one = Keycloak(clients.keycloak(), tmp_path_factory.mktemp("keycloak"))
    yield one
    one.stop()


@pytest.fixture
def realm(keycloak, request):
    return Realm(keycloak, f"lake-{next(NUMBERS)}", getattr(request, "param", "RS256"))


def trusting(realm, **changes):
    entry = issuer(issuer=realm.issuer, discovery=True, **{"refresh": "10m", "cooldown": f"{COOLDOWN_S}s", "timeout": "5s", **changes})
    return {**GOLD, "auth": {"issuers": [entry]}}


def kid_of(bearer):
    return jwt.get_unverified_header(bearer)["kid"]


def claims_of(bearer):
    return jwt.decode(bearer, options={"verify_signature": False})


def fetches(instances):
    return [one.metrics()["sluice_jwks_fetches_total"] for one in instances]


def test_its_clients_and_people_are_known_by_their_tokens(gateway, realm):
    realm.add_key(200, "ES256")
    realm.add_key(200, "EdDSA")
    kinds = sorted((key["kty"], key["use"]) for key in realm.published().values())
    assert kinds == [("EC", "sig"), ("OKP", "sig"), ("RSA", "enc"), ("RSA", "sig")]
    one = gateway(trusting(realm))
    assert one.session.get(one.admin + "/readyz", timeout=5).json()["keys"] == 2, "neither the key for encryption nor EdDSA's"

    answer = one.get(PATH, bearer=realm.token())
    assert answer.status_code == 200
    assert "77777" in answer.headers["RateLimit-Policy"], "the tier of its attribute"
    record = one.record_of(answer)
    assert record["customer"] == "acme"
    answer = one.get(PATH, bearer=realm.token_of("ann"))
    assert answer.status_code == 200 and "77777" not in answer.headers["RateLimit-Policy"]
    assert one.record_of(answer)["customer"] == "birch"

    assert_problem(one.get("/v1/datasets", bearer=realm.token()), 403)
    assert one.get("/v1/datasets", bearer=realm.token(scope="datasets:read")).status_code == 200, "a scope that is given where it is asked for"
    assert "uploads:write" in claims_of(realm.token(scope="uploads:write"))["scope"], "its role is bound to the scope"
    assert "uploads:write" not in claims_of(realm.token_of("ann", scope="uploads:write"))["scope"]
    assert_problem(one.get(PATH, bearer=realm.token("elsewhere")), 401, "invalid-token")


def test_a_person_cannot_make_himself_another_customers(realm):
    """The account console of Keycloak, with the rights that it needs, against the user profile of keycloak.json."""
    mappers = [{"name": "roles", "protocol": "openid-connect", "protocolMapper": "oidc-usermodel-client-role-mapper",
                "config": {"claim.name": "resource_access.${client_id}.roles", "multivalued": "true", "jsonType.label": "String", "access.token.claim": "true"}},
               {"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-resolve-mapper", "config": {"access.token.claim": "true"}}]
    realm.administer("POST", "/clients", {"clientId": "console", "publicClient": True, "directAccessGrantsEnabled": True, "defaultClientScopes": ["sluice"], "protocolMappers": mappers})
    account = f"{realm.keycloak.own}/realms/{realm.name}/account"
    session = realm.keycloak.session
    headers = {"Authorization": f"Bearer {realm.token_of('ann', 'console')}", "Accept": "application/json"}
    shown = session.get(account, headers=headers, timeout=30).json()
    assert shown["username"] == "ann" and "attributes" not in shown
    wanted = {**shown, "attributes": {"customer": ["acme"], "tier": ["gold"]}}
    answer = session.post(account, headers=headers, json=wanted, timeout=30)
    assert answer.status_code == 400 and "read-only" in answer.text
    claims = claims_of(realm.token_of("ann"))
    assert claims["customer"] == "birch" and "tier" not in claims

    profile = realm.administer("GET", "/users/profile").json()
    for attribute in profile["attributes"]:
        attribute["permissions"] = {"view": ["admin", "user"], "edit": ["admin", "user"]}
    realm.administer("PUT", "/users/profile", profile)
    assert session.post(account, headers=headers, json=wanted, timeout=30).status_code == 204
    assert claims_of(realm.token_of("ann"))["customer"] == "acme", "what README.md warns of"


@pytest.mark.parametrize("realm", ["RS256", "ES256"], indirect=True)
def test_its_keys_rotate_under_load_without_a_false_401(gateway, realm):
    keys = [realm.add_key(200)]
    bearers = [realm.token()]
    assert jwt.get_unverified_header(bearers[0])["alg"] == realm.algorithm
    instances = [gateway(trusting(realm)) for _ in range(2)]
    with Carriers(instances, bearers[0], PATH) as carriers:
        carriers.go_on()
        for priority in (300, 400, 500):
            asked, fetched = realm.asked(), fetches(instances)
            keys.append(realm.add_key(priority))
            bearers.append(realm.token())
            assert kid_of(bearers[-1]) != kid_of(bearers[-2])
            carriers.use(bearers[-1])
            realm.change_key(keys[-2], active="false")  # passive: it signs no more, and is published
            assert kid_of(bearers[-2]) in realm.published()
            carriers.go_on()
            assert realm.asked() == [count + len(instances) for count in asked], "one refetch an instance"
            assert fetches(instances) == [count + 1 for count in fetched]
            time.sleep(COOLDOWN_S)  # not for synchronisation: nobody rotates more often than the gateway may ask
        carriers.retire(bearers[0])
        carriers.retire(bearers[1])
        realm.change_key(keys[0], enabled="false")
        realm.remove_key(keys[1])
        assert not {kid_of(bearers[0]), kid_of(bearers[1])} & set(realm.published())
        keys.append(realm.add_key(600))
        bearers.append(realm.token())
        carriers.use(bearers[-1])  # whose refetch takes the others away
        for one in instances:
            assert [one.get(PATH, bearer=bearer).status_code for bearer in bearers] == [401, 401, 200, 200, 200]
    assert not carriers.failures, carriers.failures[:10]


def test_a_removed_keys_tokens_end_with_the_refresh(gateway, realm):
    realm.add_key(200)
    one = gateway(trusting(realm, refresh="1s"))
    old = realm.token()
    assert one.get(PATH, bearer=old).status_code == 200
    keys = {key["name"]: key["id"] for key in realm.administer("GET", "/components?type=org.keycloak.keys.KeyProvider").json()}
    realm.add_key(300)
    new = realm.token()
    realm.remove_key(keys["key-200"])
    eventually(lambda: one.get(PATH, bearer=old).status_code == 401, within=10, says="the end of the removed key")
    assert_problem(one.get(PATH, bearer=old), 401, "invalid-token")
    assert one.get(PATH, bearer=new).status_code == 200


def recipe(keycloak):
    """The commands of README.md, for this Keycloak."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text[text.index("*Keycloak* (tried"):text.index("**Revoking.**")]
    script = "\n".join(line[4:] for line in part[part.index("    KC="):].splitlines() if line.startswith("    "))
    for example, here in (("https://login.acme.example", keycloak.own), ("password=…", f"password={PASSWORD}"), ("loader:…", f"loader:{SECRET}")):
        assert example in script
        script = script.replace(example, here)
    return script


def test_the_commands_of_the_readme_make_a_realm_and_rotate_its_key(gateway, keycloak):
    run = subprocess.run(["bash", "-euo", "pipefail", "-c", f"curl() {{ command curl --silent --fail --noproxy '*' \"$@\"; }}\n{recipe(keycloak)}\necho $TOKEN"], cwd=ROOT,
                         capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
    assert run.returncode == 0, run.stderr
    before = run.stdout.split()[-1]
    after = keycloak.form("lake", auth=("loader", SECRET), grant_type="client_credentials")
    assert kid_of(before) != kid_of(after)
    one = gateway({**GOLD, "auth": {"issuers": [issuer(issuer=f"{keycloak.proxy.url}/realms/lake", discovery=True)]}})
    assert one.get("/v1/datasets", bearer=before).status_code == 200
    assert one.get(PATH, bearer=after).status_code == 200
