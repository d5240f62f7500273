"""The admin listener: health, readiness, metrics; and TLS on the public one."""
import datetime
import ipaddress
import re
import ssl

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wait import eventually


def admin(one, path, method="GET"):
    return one.session.request(method, one.admin + path, timeout=10, headers={"Connection": "close"})


def test_health_and_readiness_answer(api):
    assert admin(api, "/healthz").status_code == 200
    # A poll of the database that is late is told for a moment.
    ready = eventually(lambda: (answer := admin(api, "/readyz")).status_code == 200 and answer, within=30, says="readiness")
    assert "database" in ready.text.lower() and "redis" in ready.text.lower()
    assert admin(api, "/none").status_code == 404


def test_readiness_tells_which_dependency_is_away(gateway, own_redis):
    one = gateway(redis=own_redis)
    own_redis.kill()
    told = eventually(lambda: (answer := admin(one, "/readyz")).text != "" and one.metrics()["sluice_redis_up"] == 0 and answer, says="Redis's loss")
    # Limits and caches go on without Redis: it is told, and the gateway stays ready.
    assert "redis" in told.text.lower() and admin(one, "/healthz").status_code == 200


def test_the_admin_pages_are_not_on_the_public_listener_nor_the_api_on_admins(api):
    for path in ("/healthz", "/readyz", "/metrics", "/dashboard"):
        assert api.get(path).status_code == 404
    assert requests.get(api.admin + "/v1/openapi.json", timeout=10).status_code == 404


def test_metrics_are_prometheus_text(api):
    api.get("/v1/regions/AR/summary")
    api.get("/v1/regions/none")
    answer = admin(api, "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    typed, sampled = set(), []
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in typed, f"{name} is typed twice"
            assert kind in ("counter", "gauge", "histogram")
            typed.add(name)
        elif line and not line.startswith("#"):
            match = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? (\d+(\.\d+)?|\+Inf)', line)
            assert match, line
            sampled.append(match.group(1))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) if re.sub(r"_(bucket|sum|count)$", "", name) in typed else name for name in sampled}
    assert families == typed


def test_requests_are_counted_by_operation_and_class(gateway):
    one = gateway()
    for _ in range(3):
        one.get("/v1/regions/AR")
    one.get("/v1/regions/none")
    one.get("/none")
    # Two workers publish, each at its own half second.
    metrics = eventually(lambda: (found := one.metrics()).get('sluice_requests_total{operation="getRegion",class="4xx"}') == 1
                         and found.get('sluice_request_duration_seconds_count{operation="getRegion"}') == 4
                         and found.get('sluice_requests_total{operation="none",class="4xx"}') == 1 and found)
    assert metrics['sluice_requests_total{operation="getRegion",class="2xx"}'] == 3
    assert metrics['sluice_request_duration_seconds_count{operation="getRegion"}'] == 4
    assert metrics['sluice_request_duration_seconds_bucket{operation="getRegion",le="+Inf"}'] == 4
    assert metrics['sluice_requests_total{operation="none",class="4xx"}'] == 1
    eventually(lambda: (found := one.metrics())['sluice_lane_up{lane="fast"}'] == 1 and found["sluice_redis_up"] == 1, says="what is up")


@pytest.fixture
def certificate(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sluice.test")])
    now = datetime.datetime.utcnow()
    signed = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
              .not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
              .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False).sign(key, hashes.SHA256()))
    (tmp_path / "tls.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "tls.key").touch(mode=0o600)
    (tmp_path / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return tmp_path


def test_tls_serves_http_1_1_at_version_1_2_and_newer(gateway, certificate):
    one = gateway({"server": {"tls": {"certificate": str(certificate / "tls.crt"), "key": str(certificate / "tls.key"), "minimum": "1.2"}}})
    one.base = one.base.replace("http://", "https://")
    assert one.get("/v1/regions/AR/summary", verify=str(certificate / "tls.crt")).status_code == 200
    assert len(one.get("/v1/regions/AR/weather", verify=str(certificate / "tls.crt")).json()) > 5000
    context = ssl.create_default_context(cafile=str(certificate / "tls.crt"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(one.connect(), server_hostname="127.0.0.1") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1" and connection.version() in ("TLSv1.2", "TLSv1.3")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(one.connect(), server_hostname="127.0.0.1")
