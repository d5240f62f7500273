"""Who gets in: a table of bad tokens, keys that rotate, scopes."""
import base64
import functools
import http.server
import json
import re
import threading
import time

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway import SECRET, assert_problem, claims, issuer, token, write_secret
from wait import eventually

PATH = "/v1/regions?limit=1"


def b64(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@functools.lru_cache(maxsize=None)
def rsa_key(name):
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.lru_cache(maxsize=None)
def ec_key(name):
    return ec.generate_private_key(ec.SECP256R1())


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(kid, **changes):
    numbers = rsa_key(kid).public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": number(numbers.n), "e": number(numbers.e), **changes}


def ec_jwk(kid):
    numbers = ec_key(kid).public_key().public_numbers()
    return {"kty": "EC", "kid": kid, "crv": "P-256", "alg": "ES256", "use": "sig", "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big"))}


def rs(kid, **changes):
    return token(pem(rsa_key(kid)), "RS256", kid, **changes)


@pytest.fixture(scope="module")
def guarded(postgres, redis, demo, tmp_path_factory):
    """A gateway that knows an HMAC secret, an RSA and an EC key."""
    from conftest import start_gateway

    folder = tmp_path_factory.mktemp("tokens")
    keys = [{"kid": "test-1", "algorithm": "HS256", "file": write_secret(folder, "secret", SECRET)},
            {"kid": "rsa-1", "algorithm": "RS256", "file": write_secret(folder, "rsa.pem", public_pem(rsa_key("rsa-1")))},
            {"kid": "ec-1", "algorithm": "ES256", "file": write_secret(folder, "ec.pem", public_pem(ec_key("ec-1")))}]
    one = start_gateway(folder, postgres, redis, demo, {"auth": {"issuers": [issuer(keys=keys)]}})
    yield one
    one.stop()


def unsigned(algorithm="none", signature=""):
    return ".".join([b64(json.dumps({"alg": algorithm, "typ": "JWT", "kid": "test-1"}).encode()), b64(json.dumps(claims()).encode()), signature])


def hmac_with_public_key():
    """The algorithm confusion: the RSA public key, which everybody has, taken for an HMAC secret."""
    import hashlib
    import hmac

    head = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "rsa-1"}).encode())
    body = b64(json.dumps(claims()).encode())
    return f"{head}.{body}." + b64(hmac.new(public_pem(rsa_key("rsa-1")).encode(), f"{head}.{body}".encode(), hashlib.sha256).digest())


def now():
    """When the test runs: this file may have been read an hour before."""
    return int(time.time())


BAD = {
    "cut": lambda: token()[:-8],
    "cut to two parts": lambda: token().rpartition(".")[0],
    "doubled": lambda: token() + token(),
    "doubled with a dot": lambda: token() + "." + token(),
    "alg none": unsigned,
    "alg None": lambda: unsigned("None"),
    "alg none with a signature": lambda: unsigned("none", token().rpartition(".")[2]),
    "HS256 without signature": lambda: unsigned("HS256"),
    "RSA public key as HMAC secret": hmac_with_public_key,
    "another secret": lambda: token(key="another secret of the tests, also long enough"),
    "an empty secret": lambda: jwt.encode(claims(), "", algorithm="HS256", headers={"kid": "test-1"}),
    "another algorithm of the key": lambda: token(algorithm="HS512"),
    "the EC key's id": lambda: token(kid="ec-1"),
    "an unknown key": lambda: token(kid="unknown"),
    "crit": lambda: token(headers={"crit": ["exp"]}),
    "another audience": lambda: token(aud="other"),
    "audiences without ours": lambda: token(aud=["a", "b"]),
    "no audience": lambda: token(aud=None),
    "another issuer": lambda: token(iss="https://evil.example"),
    "no issuer": lambda: token(iss=None),
    "expired": lambda: token(exp=now() - 3600),
    "no exp": lambda: token(exp=None),
    "exp as text": lambda: token(exp=str(now() + 600)),
    "exp a week ahead": lambda: token(exp=now() + 7 * 86400),
    "nbf in the future": lambda: token(nbf=now() + 3600),
    "iat in the future": lambda: token(iat=now() + 3600),
    "no subject": lambda: token(sub=None),
    "no customer": lambda: token(customer=None),
    "a customer that is no name": lambda: token(customer='a"; drop'),
    "64 KB": lambda: token(padding="x" * 65536),
    "a changed payload": lambda: ".".join([token().split(".")[0], b64(json.dumps(claims(customer="other")).encode()), token().split(".")[2]]),
    "junk": lambda: "junk",
    "dots": lambda: "..",
    "blanks inside": lambda: token()[:20] + " " + token()[20:],
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_refused(guarded, name):
    bad = BAD[name]()
    answer = guarded.get(PATH, bearer=bad)
    problem = assert_problem(answer, answer.status_code)
    if name == "64 KB" and answer.status_code in (400, 431):
        return
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="sluice"') and 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert bad[:40] not in json.dumps(problem), "the token is quoted"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Token abc"])
def test_without_a_bearer_token_the_header_says_what_is_wanted(guarded, header):
    answer = guarded.get(PATH, headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="sluice"')
    if header is None:
        assert_problem(answer, 401, "missing-token")
        assert "error=" not in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("good", [lambda: token(), lambda: rs("rsa-1"), lambda: token(pem(ec_key("ec-1")), "ES256", "ec-1"), lambda: token(aud=["other", "sluice"]),
                                  lambda: token(scope=None, scp=["x", "regions:read"]), lambda: token(nbf=now() - 5), lambda: token(headers={"typ": "at+jwt"}),
                                  lambda: token(scope="a b regions:read"), lambda: token(exp=now() + 3000.5), lambda: token(jti="id-1")])
def test_a_good_token_is_let_in(guarded, good):
    assert guarded.get(PATH, bearer=good()).status_code == 200


def test_the_scheme_is_read_in_any_case(guarded):
    assert guarded.get(PATH, headers={"Authorization": f"bearer {token()}"}).status_code == 200


def test_two_authorization_headers_are_not_both_believed(guarded):
    lines = f"Authorization: Bearer {token()}\r\nAuthorization: Bearer {token(key='evil' * 12)}\r\n"
    status, _, _ = guarded.raw(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n".encode())
    assert status in (400, 401)


@pytest.mark.parametrize("scope", [None, "", "regions:write", "regions:readx", "REGIONS:READ"])
def test_a_missing_scope_is_a_403_that_names_it(guarded, scope):
    answer = guarded.get(PATH, bearer=token(scope=scope))
    problem = assert_problem(answer, 403, "missing-scope")
    assert "regions:read" in problem["detail"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sluice", error="insufficient_scope", scope="regions:read"'


def test_an_unknown_tier_is_refused_and_none_is_the_default_one(guarded):
    assert_problem(guarded.get(PATH, bearer=token(tier="platinum")), 403, "unknown-tier")
    assert guarded.get(PATH, bearer=token(tier=None)).status_code == 200


def test_a_token_in_the_cache_does_not_outlive_its_exp(gateway):
    one = gateway({"auth": {"leeway": "0s"}})
    short = token(exp=now() + 6)
    assert one.get(PATH, bearer=short).status_code == 200
    eventually(lambda: one.get(PATH, bearer=short).status_code == 401, within=15, says="the token's end")
    assert_problem(one.get(PATH, bearer=short), 401, "invalid-token")


@pytest.mark.tsan
def test_many_tokens_at_once_are_judged_each_by_itself(guarded):
    wrong = []

    def ask(index):
        session = requests.Session()
        for turn in range(20):
            good = (index + turn) % 2 == 0
            bearer = token(sub=f"user-{index}-{turn}", key=SECRET if good else "wrong" * 10)
            status = guarded.get(PATH, bearer=bearer, session=session).status_code
            if status != (200 if good else 401):
                wrong.append((index, turn, status))

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


class KeyServer:
    """An identity provider's JWKS, whose keys and mood the test chooses."""

    def __init__(self, *jwks):
        self.keys, self.asked, self.broken = list(jwks), 0, False
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked += 1
                body = b"broken" if server.broken else json.dumps({"keys": server.keys}).encode()
                self.send_response(500 if server.broken else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/jwks.json"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def key_server():
    server = KeyServer(rsa_jwk("old"), ec_jwk("ec"))
    yield server
    server.close()


@pytest.mark.tsan
def test_a_rotated_key_is_fetched_once_when_it_is_first_seen(gateway, key_server):
    one = gateway({"auth": {"issuers": [issuer(jwks_url=key_server.url, refresh="10m", cooldown="1s", timeout="20s")]}})
    assert one.get(PATH, bearer=rs("old")).status_code == 200
    assert one.get(PATH, bearer=token(pem(ec_key("ec")), "ES256", "ec")).status_code == 200
    key_server.keys = [rsa_jwk("new"), rsa_jwk("encrypting", use="enc")]
    before = key_server.asked
    eventually(lambda: one.get(PATH, bearer=rs("new")).status_code == 200, within=20, says="the new key")
    assert key_server.asked == before + 1
    assert one.get(PATH, bearer=rs("old")).status_code == 401, "a key that was taken away lives on"
    assert one.get(PATH, bearer=rs("encrypting")).status_code == 401


@pytest.mark.tsan
def test_unknown_keys_do_not_become_a_flood_of_fetches_and_stale_keys_go_on(gateway, key_server):
    one = gateway({"auth": {"issuers": [issuer(jwks_url=key_server.url, refresh="10m", cooldown="30s", timeout="20s")]}})
    assert one.get(PATH, bearer=rs("old")).status_code == 200
    key_server.broken = True
    before = key_server.asked
    for index in range(20):
        assert one.get(PATH, bearer=rs("old", **{"sub": f"user-{index}"})).status_code == 200
        assert_problem(one.get(PATH, bearer=token(pem(rsa_key("evil")), "RS256", f"evil-{index}")), 401, "invalid-token")
    assert key_server.asked - before <= 2


def test_keys_come_from_a_jwks_file_too(gateway, tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [rsa_jwk("file-1"), {"kty": "oct", "kid": "secret", "k": b64(SECRET.encode()), "alg": "HS256"}]}))
    one = gateway({"auth": {"issuers": [issuer(jwks_file=str(path))]}})
    assert one.get(PATH, bearer=rs("file-1")).status_code == 200
    assert one.get(PATH, bearer=token(kid="secret")).status_code == 401, "HS256 is not among the allowed algorithms of a JWKS"


def test_no_token_stands_in_log_or_answer(guarded):
    good = token(sub="leak-probe")
    bad = token(sub="leak-probe-2", key="wrong" * 10)
    for bearer in (good, bad):
        guarded.record_of(guarded.get(PATH, bearer=bearer))
    guarded.get(f"{PATH}&q={good[:60]}")
    written = guarded.stdout.read_text() + guarded.errors()
    for bearer in (good, bad):
        assert bearer.split(".")[2] not in written and bearer.split(".")[1] not in written
    assert SECRET not in written and not re.search(r"Bearer ey", written)


def test_two_tokens_in_one_request_are_refused(gateway):
    one = gateway()
    lines = f"GET /v1/regions/AR HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.token}\r\nAuthorization: Bearer {one.token}\r\nConnection: close\r\n\r\n"
    status, headers, body = one.raw(lines.encode())
    assert status == 400 and headers["content-type"] == "application/problem+json" and b"Authorization" in body
