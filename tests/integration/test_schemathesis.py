"""schemathesis finds nothing over the whole served contract: no 5xx, no answer that the document does not tell of, no mistake let through. tests/clients/schemathesis.toml
has the checks that are off, with their reasons."""
import json
import re
import subprocess

import pytest

import calls
import clients

DESCRIBED = 6  # datasets: those of serving, and two of desk
ORDINARY, LONG = 5, 100  # examples an operation and phase
LONG_S = 1200


@pytest.fixture(scope="module")
def desk(postgres, redis, tmp_path_factory):
    """A customer's gateway. What the contract's examples name (the upload sales, the analysis heatwaves) is there until one of the cases deletes it."""
    with calls.opened(tmp_path_factory.mktemp("desk"), postgres, redis, {"warehouse": {"document_limit": DESCRIBED}}, clients.SQL + calls.WAREHOUSE,
                      ("serving", "desk", "shown")) as one:
        calls.put_analysis(one, "heatwaves")
        yield one


def run(desk, folder, document, examples, bearer, phases, seconds):
    # From a file: the operation that it was given the document by would be left out.
    (folder / "contract.json").write_text(json.dumps(document), encoding="utf-8")
    command = [clients.python().parent / "schemathesis", "--config-file", clients.HERE / "schemathesis.toml", "run", "contract.json", "--url", desk.base, "--phases", phases,
               "--max-examples", examples, "--generation-deterministic", "--no-color", "--warnings", "off"]
    if bearer is not None:
        command += ["--header", f"Authorization: Bearer {bearer}"]
    hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(clients.HERE)}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=seconds, check=False, cwd=folder, env={**clients.surroundings(desk), **hooks})


def served(desk, bearer):
    return desk.json("/v1/openapi.json", headers={"Authorization": bearer and f"Bearer {bearer}"})


def explore(desk, folder, examples, bearer, phases, seconds=clients.RUN_S):
    """Runs it over what a caller with this token (None: nobody) is served; how many operations that are, how many it tested, with how many cases. Its own words are
    shown when it finds something."""
    document = served(desk, bearer)
    done = run(desk, folder, document, examples, bearer, phases, seconds)
    assert done.returncode == 0, f"schemathesis ended with {done.returncode}:\n{shorten(done.stdout)[-24000:]}\n{done.stderr[-2000:]}"
    return operations_of(document), int(re.search(r"^\s+Tested: (\d+)", done.stdout, re.M).group(1)), int(re.search(r"(\d+) generated", done.stdout).group(1))


def shorten(text):
    """Values that are as long as a limit allows would leave no room for the rest."""
    return re.sub(r"(.)\1{60,}", r"\1\1\1…", text)


def operations_of(document):
    return sum(1 for item in document["paths"].values() for method in item if method in ("get", "post", "put", "delete", "patch"))


def test_schemathesis_finds_nothing_over_a_callers_contract(desk, tmp_path):
    told, tested, cases = explore(desk, tmp_path, ORDINARY, desk.token, "examples,coverage")
    assert tested == told > 12
    assert cases > 500


def test_schemathesis_finds_nothing_over_the_contract_without_a_token(desk, tmp_path):
    told, tested, cases = explore(desk, tmp_path, ORDINARY, None, "coverage")
    assert tested == told > 8
    assert cases > 100


def test_schemathesis_finds_an_answer_that_the_document_leaves_out(desk, tmp_path):
    path = "/v1/datasets/desk.buoy"
    document = served(desk, desk.token)
    document["paths"] = {path: document["paths"][path]}
    del document["paths"][path]["get"]["responses"]["400"]
    done = run(desk, tmp_path, document, ORDINARY, desk.token, "examples,coverage", clients.RUN_S)
    assert done.returncode == 1 and "Undocumented status code" in done.stdout, done.stdout[-3000:]


@pytest.mark.long
@pytest.mark.timeout(LONG_S)
def test_schemathesis_finds_nothing_with_many_examples_and_with_states(desk, tmp_path):
    *_, cases = explore(desk, tmp_path, LONG, desk.token, "examples,coverage,fuzzing,stateful", LONG_S)
    assert cases > 3000
