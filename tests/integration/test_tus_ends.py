"""How resumable uploads end that nobody ends: with their customer; and what the reason of a refusal outlives."""
import pytest

from gateway import assert_problem
from office import Office, opened
from test_tus import begin, bearer, begun, patch, tus
from wait import eventually

BAD = b"id\n1\nx\n"
SWEEP_S = 20  # of upload/sessions_sweep.c


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "tusends", ("tusanna", "tusbert")) as one:
        yield one


def named(path):
    return path.rpartition("/")[2]


def test_the_reason_of_a_refusal_survives_a_restart(postgres, redis, office, tmp_path):
    one = begin(tmp_path, postgres, redis, office, tmp_path / "spool")
    path = begun(one, len(BAD), dataset="refused", types="id:integer")
    problem = assert_problem(patch(one, path, 0, BAD), 422, "invalid-file")
    one.kill()
    two = begin(tmp_path, postgres, redis, office, tmp_path / "spool")
    assert assert_problem(tus(two, "GET", path), 422, "invalid-file")["errors"] == problem["errors"]
    two.stop()


def test_a_removed_customers_sessions_are_swept_and_nobody_elses(postgres, redis, office, tmp_path):
    """The command's machine has another spool: what lies here is the gateway's to erase."""
    spool = tmp_path / "spool"
    one = begin(tmp_path, postgres, redis, office, spool)
    mine = begun(one, 10, dataset="mine")
    assert patch(one, mine, 0, b"0123").status_code == 204
    other = tus(one, "POST", "/v1/uploads/sessions", who="tusbert", Upload_Length=10, Upload_Metadata="dataset b3RoZXI=").headers["Location"]
    said = office.ok("remove", "tusanna", "--yes")
    assert "each gateway erases his resumable uploads in its own spool within a minute" in said and "resumable uploads, 4 bytes" not in said
    eventually(lambda: not list(spool.glob(f"{named(mine)}.*")), within=SWEEP_S + 40)
    assert len(list(spool.glob(f"{named(other)}.*"))) == 2
    assert tus(one, "HEAD", other, who="tusbert").status_code == 200
    one.stop()
    office.ok("add", "tusanna")


def test_where_the_spool_is_the_commands_own_it_says_what_it_erased(postgres, redis, office, tmp_path):
    spool = tmp_path / "spool"
    one = begin(tmp_path, postgres, redis, office, spool)
    mine = begun(one, 10, dataset="mine")
    assert patch(one, mine, 0, b"0123").status_code == 204
    of_before, seen = bearer("tusanna"), []

    def status_of_head(token):
        seen.append(one.get(mine, method="HEAD", bearer=token, headers={"Tus-Resumable": "1.0.0"}).status_code)
        return seen[-1]

    here = Office(postgres, office.database, tmp_path, {"uploads": {"spool": str(spool)}})
    assert "would erase: 1 resumable uploads, 4 bytes" in here.ok("remove", "tusanna")
    assert len(list(spool.iterdir())) == 2
    assert "erased: 1 resumable uploads, 4 bytes" in here.ok("remove", "tusanna", "--yes")
    assert not list(spool.iterdir())
    # His tokens up to the second of the removal are revoked, which the gateway hears of a moment later; newer ones find nothing.
    eventually(lambda: status_of_head(of_before) == 401, within=20, says="the revocation of his tokens")
    eventually(lambda: status_of_head(bearer("tusanna")) == 404, within=20, says="the session's end for a token of after the removal")
    assert set(seen) <= {401, 404}, seen
    one.stop()
    office.ok("add", "tusanna")
