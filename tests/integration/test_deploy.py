"""What deploy/ delivers is valid, fits the gateway and itself. (deploy/haproxy: test_haproxy.py.)"""
import json
import re
import shutil
import socket
import subprocess

import pytest
import yaml

from conftest import start_gateway
from gateway import ROOT, command
from wait import eventually, free_port

DEPLOY = ROOT / "deploy"
SERVICE = DEPLOY / "systemd/sluice.service"
METRIC = re.compile(r"\b(?:sluice|process)_[a-z0-9_]+")


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed (./dev test installs it)")


def seconds(text):
    return sum(float(number) * {"s": 1, "m": 60, "ms": 0.001}[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m)", text))


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


@needs("systemd-analyze")
def test_the_unit_is_sandboxed_to_an_exposure_below_two(tmp_path):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(SERVICE)], capture_output=True, text=True, check=False)
    exposure = re.search(r"Overall exposure level for sluice.service: ([\d.]+)", done.stdout)
    assert exposure and float(exposure[1]) < 2.0, done.stdout[-300:] + done.stderr
    # `verify` looks for the programs that the unit starts: here any will do.
    unit = tmp_path / "sluice.service"
    unit.write_text(SERVICE.read_text().replace("/usr/local/bin/sluice", "/bin/true").replace("file:///usr/share/doc/sluice/README.md", "man:true(1)"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "sluice.service" in line]
    assert not complaints, complaints


def test_the_unit_waits_longer_than_the_drain():
    unit = SERVICE.read_text()
    assert int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]) >= 30 + 5  # drain_delay 0 and drain_timeout 30 s are the defaults
    assert "Type=notify" in unit


@needs("promtool")
@pytest.mark.parametrize("arguments", [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")], ids=" ".join)
def test_promtool_takes_the_configuration_and_the_rules(arguments):
    done = subprocess.run(["promtool", *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do():
    rules = [rule for group in documents(DEPLOY / "prometheus/alerts.yml")[0]["groups"] for rule in group["rules"]]
    assert len(rules) >= 10
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"] and rule["annotations"]["action"], rule["alert"]


def families(text):
    """Every metric of an expression or a page, without the endings that a histogram adds."""
    return {re.sub(r"(_bucket|_sum|_count)$", "", name) for name in METRIC.findall(text)}


def test_every_metric_of_alerts_and_dashboard_is_told(gateway):
    one = gateway({"server": {"ingest": {"listen": f"127.0.0.1:{free_port()}"}}, "log": {"requests": "stdout"}})
    assert one.get("/v1/regions/AR").status_code == 200
    told = lambda: families(one.session.get(one.admin + "/metrics", timeout=10).text)  # noqa: E731
    eventually(lambda: "sluice_requests_total" in told(), says="the first call's count")
    rules = [rule["expr"] for group in documents(DEPLOY / "prometheus/alerts.yml")[0]["groups"] for rule in group["rules"]]
    dashboard = json.loads((DEPLOY / "grafana/sluice.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    shown += [json.dumps(variable["query"]) for variable in dashboard["templating"]["list"]]
    wanted = families(" ".join(rules + shown))
    assert len(wanted) > 25
    # What tells of standbys is there where one is configured: test_replica looks at it.
    here = {name for name in wanted if not name.startswith("sluice_replica_")}
    assert not here - told(), "named in deploy/, but not among the metrics"
    labels = {"lane": {"fast", "scan", "customer"}, "class": {"2xx", "5xx"}, "result": {"refused"}}
    page = one.session.get(one.admin + "/metrics", timeout=10).text
    for name, value in re.findall(r'(lane|result)="(\w+)"', " ".join(rules)):
        assert value in labels[name] and f'{name}="{value}"' in page, (name, value)


def test_kubernetes_manifests_fit_each_other():
    stateful, = documents(DEPLOY / "kubernetes/statefulset.yaml")
    config, = documents(DEPLOY / "kubernetes/config.yaml")
    services = documents(DEPLOY / "kubernetes/service.yaml")
    pod = stateful["spec"]["template"]
    container, = pod["spec"]["containers"]
    sluice = yaml.safe_load(config["data"]["sluice.yaml"])
    drain = seconds(sluice["server"]["drain_delay"]) + seconds(sluice["server"]["drain_timeout"])
    assert pod["spec"]["terminationGracePeriodSeconds"] >= drain + 5
    readiness = container["readinessProbe"]
    assert seconds(sluice["server"]["drain_delay"]) > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert pod["spec"]["securityContext"]["runAsUser"] == pod["spec"]["securityContext"]["fsGroup"] == 10001 and pod["spec"]["securityContext"]["runAsNonRoot"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": int(sluice["server"]["listen"].rpartition(":")[2]), "admin": int(sluice["server"]["admin"].rpartition(":")[2]),
                     "ingest": int(sluice["server"]["ingest"]["listen"].rpartition(":")[2])}
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["admin"])
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz" and readiness["httpGet"]["path"] == "/readyz"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    init, = pod["spec"]["initContainers"]
    assert init["command"][-1] == sluice["uploads"]["spool"] and sluice["uploads"]["spool"].rpartition("/")[0] in mounts
    assert init["image"] == container["image"] and init["securityContext"] == container["securityContext"]
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]} | {claim["metadata"]["name"] for claim in stateful["spec"]["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    labels = pod["metadata"]["labels"].items()
    for document in services:
        selector = document["spec"].get("selector") or document["spec"]["podSelector"]
        assert selector.get("matchLabels", selector).items() <= labels, document["metadata"]["name"]
        for port in document["spec"]["ports"] if document["kind"] == "Service" else []:
            assert port["targetPort"] in ports
    assert stateful["spec"]["serviceName"] in {document["metadata"]["name"] for document in services if document["kind"] == "Service"}
    assert "password:" not in config["data"]["sluice.yaml"], "a secret in a ConfigMap"


@pytest.mark.parametrize("source", ["kubernetes"])
def test_the_gateway_takes_the_delivered_configuration(source, tmp_path):
    text = documents(DEPLOY / source / "config.yaml")[0]["data"]["sluice.yaml"]
    for path in set(re.findall(r"/etc/sluice/[\w./-]+", text)):
        copy = tmp_path / path.rpartition("/")[2]
        copy.write_text("s" * 64)
        copy.chmod(0o600)
        text = text.replace(path, str(copy))
    (tmp_path / "sluice.yaml").write_text(text)
    done = command("check", "--offline", "--config", tmp_path / "sluice.yaml")
    assert done.returncode == 0, done.stderr


def test_compose_gives_the_gateway_as_little_as_it_needs():
    compose, = documents(DEPLOY / "compose.yaml")
    for name in ("sluice", "migrate"):
        assert compose["services"][name]["read_only"] is True and compose["services"][name]["cap_drop"] == ["ALL"]
    assert seconds(compose["services"]["sluice"]["stop_grace_period"]) >= 30 + 5
    for port in compose["services"]["sluice"]["ports"]:
        assert port.startswith("127.0.0.1:")


def test_the_service_manager_is_told(postgres, redis, demo, tmp_path, monkeypatch):
    """READY comes when it serves, STOPPING when it drains: Type=notify."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        one = start_gateway(tmp_path, postgres, redis, demo, {}, ready=False)
        assert manager.recv(4096).startswith(b"READY=1\n")
        eventually(one.is_ready, within=30, says="readiness: the lanes' first word of themselves comes within half a second of READY")
        one.terminate()
        assert manager.recv(4096).startswith(b"STOPPING=1\n")
        one.stop()
