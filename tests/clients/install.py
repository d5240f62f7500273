#!/usr/bin/python3
"""Installs what requirements.txt and package-lock.json pin, each once, into a folder named after them; prints the folders. Ends with 75 (EX_TEMPFAIL)
where a registry cannot be reached or there is no Node.js: the tests that need it say so and are skipped. What maven.txt pins is 150 MB, and made only when
its test asks for it."""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("SLUICE_CLIENTS") or HERE.parents[1] / "build-clients")
PYTHON = "/usr/bin/python3"
UNAVAILABLE = 75
INSTALL_S = 500
UNPACK = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack"


class Unavailable(Exception):
    pass


def run(command, **options):
    """What it says goes to a person only when it fails: then its last lines."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False, stdin=subprocess.DEVNULL, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(map(str, command[:4]))} ended with {done.returncode}: {(done.stderr + done.stdout)[-600:]}")


def make_python(folder):
    run([PYTHON, "-m", "venv", folder])
    run([folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--timeout", "20", "--no-deps",
         "--only-binary", ":all:", "-r", HERE / "requirements.txt"])


def make_node(folder):
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Unavailable("there is no node or no npm (Debian's nodejs and npm)")
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries", "2", "--fetch-timeout", "30000", "--cache", str(CACHE / "npm-cache")], cwd=folder)


def make_keycloak(folder):
    if shutil.which("java") is None or shutil.which("mvn") is None:
        raise Unavailable("there is no java or no mvn (Debian's openjdk-17-jre-headless and maven)")
    lines = (HERE / "maven.txt").read_text(encoding="utf-8").splitlines()
    artifact = next(line for line in lines if line and not line.startswith("#"))
    repository = folder / "repository"
    repository.mkdir(parents=True)
    run(["mvn", "--batch-mode", "--quiet", "--strict-checksums", f"-Dmaven.repo.local={repository}", UNPACK, f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"], cwd=repository)
    shutil.rmtree(repository)
    (place,) = folder.glob("keycloak-*")
    place.rename(folder / "keycloak")
    run(["bash", folder / "keycloak/bin/kc.sh", "build", "--db=dev-mem"])


def folder_of(name, manifests, make):
    """The folder is complete, or it isn't there: what was begun and not ended is made anew."""
    digest = hashlib.sha256(b"".join((HERE / manifest).read_bytes() for manifest in manifests)).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                make(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            done.touch()
    return folder


def python():
    """The interpreter that sees the packages of requirements.txt."""
    return folder_of("python", ["requirements.txt"], make_python) / "bin/python"


def node():
    """The folder whose node_modules holds the packages of package-lock.json."""
    return folder_of("node", ["package.json", "package-lock.json"], make_node)


def keycloak():
    """Keycloak's home, built for a database in memory."""
    return folder_of("keycloak", ["maven.txt"], make_keycloak) / "keycloak"


def main():
    code = 0
    for part in (python, node):
        try:
            print(part())
        except Unavailable as error:
            print(f"{part.__name__}: {error}", file=sys.stderr)
            code = UNAVAILABLE
    return code


if __name__ == "__main__":
    sys.exit(main())
