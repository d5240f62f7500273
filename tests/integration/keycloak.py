"""Keycloak itself, its realms out of tests/clients/keycloak.json, and a proxy before it that counts what is asked for."""
import http.server
import json
import os
import subprocess
import threading
from collections import Counter

import requests

import clients
from wait import eventually, free_port

ADMIN, PASSWORD = "admin", "a-password-of-the-tests"
SECRET = "a-secret-of-the-tests"
START_S = 600  # 30 s on an idle machine
KEYS = "org.keycloak.keys.KeyProvider"
PROVIDERS = {"RS256": ("rsa-generated", {"keySize": ["2048"]}), "ES256": ("ecdsa-generated", {"ecdsaEllipticCurveKey": ["P-256"]}),
             "EdDSA": ("eddsa-generated", {"eddsaEllipticCurveKey": ["Ed25519"]})}


def new_session():
    session = requests.Session()
    session.trust_env = False
    return session


class CountingProxy:
    """What callers of Keycloak see of it: documents, by GET."""

    def __init__(self, port):
        self.asked = Counter()
        outer, local = self, threading.local()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if not hasattr(local, "session"):
                    local.session = new_session()
                outer.asked[self.path] += 1
                answer = local.session.get(f"http://127.0.0.1:{port}{self.path}", timeout=60)
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class Keycloak:
    def __init__(self, home, folder):
        port = free_port()
        self.own, self.proxy, self.session = f"http://127.0.0.1:{port}", CountingProxy(port), new_session()
        self.log = folder / "keycloak.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["bash", home / "bin/kc.sh", "start", "--optimized", "--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={port}", f"--hostname={self.proxy.url}"],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder,
                env={"PATH": os.environ["PATH"], "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD, "KC_CACHE": "local",
                     "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m", "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"})
        try:
            eventually(self.is_ready, within=START_S, every=0.2, says="Keycloak's readiness")
        except BaseException:
            self.stop()
            raise

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"Keycloak ended with {self.process.returncode}: {self.log.read_text(errors='replace')[-3000:]}")
        return self.session.get(self.own + "/realms/master", timeout=10).status_code == 200

    def stop(self):
        self.session.close()
        self.proxy.close()
        self.process.kill()
        self.process.wait(10)

    def form(self, realm, auth=None, **fields):
        """A token of the token endpoint."""
        answer = self.session.post(f"{self.own}/realms/{realm}/protocol/openid-connect/token", data=fields, auth=auth, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def administer(self, method, path, content=None):
        bearer = self.form("master", grant_type="password", client_id="admin-cli", username=ADMIN, password=PASSWORD)
        answer = self.session.request(method, f"{self.own}/admin/realms{path}", json=content, timeout=60, headers={"Authorization": f"Bearer {bearer}"})
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer


class Realm:
    """tests/clients/keycloak.json under a name of its own."""

    def __init__(self, keycloak, name, algorithm="RS256"):
        self.keycloak, self.name, self.algorithm = keycloak, name, algorithm
        self.issuer = f"{keycloak.proxy.url}/realms/{name}"
        content = json.loads((clients.HERE / "keycloak.json").read_text(encoding="utf-8"))
        keycloak.administer("POST", "", {**content, "realm": name, "defaultSignatureAlgorithm": algorithm})

    def administer(self, method, path, content=None):
        return self.keycloak.administer(method, f"/{self.name}{path}", content)

    def add_key(self, priority, algorithm=None):
        """A key before all with a lower priority; its component."""
        kind, more = PROVIDERS[algorithm or self.algorithm]
        config = {"priority": [str(priority)], "enabled": ["true"], "active": ["true"], **more}
        made = self.administer("POST", "/components", {"name": f"key-{priority}", "providerType": KEYS, "providerId": kind, "config": config})
        return made.headers["Location"].rpartition("/")[2]

    def change_key(self, key, **changes):
        content = self.administer("GET", f"/components/{key}").json()
        content["config"].update({name: [value] for name, value in changes.items()})
        self.administer("PUT", f"/components/{key}", content)

    def remove_key(self, key):
        self.administer("DELETE", f"/components/{key}")

    def token(self, client="loader", **fields):
        return self.keycloak.form(self.name, auth=(client, SECRET), grant_type="client_credentials", **fields)

    def token_of(self, person, client="desk", **fields):
        return self.keycloak.form(self.name, grant_type="password", client_id=client, username=person, password=PASSWORD, **fields)

    def published(self):
        """The keys that the realm shows, by kid; not counted."""
        answer = self.keycloak.session.get(f"{self.keycloak.own}/realms/{self.name}/protocol/openid-connect/certs", timeout=30)
        return {key["kid"]: key for key in answer.json()["keys"]}

    def asked(self):
        """How often the realm's document and its keys were fetched through the proxy."""
        base = f"/realms/{self.name}/"
        return [self.keycloak.proxy.asked[base + path] for path in (".well-known/openid-configuration", "protocol/openid-connect/certs")]
