"""Resumable uploads (tus 1.0.0) at /v1/uploads/sessions: what came is kept, across cuts and restarts; the last byte loads the upload."""
import base64
import hashlib
import itertools
import json
import os
import re
import time

import pytest

from conftest import start_gateway
from gateway import assert_problem, token, write_secret
from office import LOGIN_KEY, opened

SALES = b"id,day,amount,code\n1,2024-01-01,1.50,007\n2,2024-01-02,2.25,008\n"
SESSIONS = "/v1/uploads/sessions"
OFFSET_STREAM = "application/offset+octet-stream"
ID = re.compile(r"^/v1/uploads/sessions/[0-9a-f-]{36}$")
NAMES = (f"t{number}" for number in itertools.count(1))
UNKNOWN = SESSIONS + "/00000000-0000-4000-8000-000000000000"
EACH = 5


def bearer(name, scope="datasets:read uploads:write", subject="user-1"):
    return token(customer=name, scope=scope, sub=subject)


def encode(**metadata):
    return ",".join(f"{key} {base64.b64encode(str(value).encode()).decode()}" for key, value in metadata.items())


def begin(folder, postgres, redis, office, spool):
    spool.mkdir(mode=0o700, exist_ok=True)
    return start_gateway(folder, postgres, redis, office.database,
                         {"customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)},
                          "uploads": {"spool": str(spool), "spool_size": "64MB", "sessions": {"each": EACH}}})


@pytest.fixture(scope="module")
def office(postgres, tmp_path_factory):
    with opened(postgres, tmp_path_factory, "tus", ("tusanna", "tusbert")) as one:
        yield one


@pytest.fixture(scope="module")
def api(postgres, redis, office, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tus")
    one = begin(folder, postgres, redis, office, folder / "spool")
    one.spool = folder / "spool"
    yield one
    one.stop()


@pytest.fixture
def name():
    return next(NAMES)


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """Sessions that a test leaves open would count against the next one's."""
    yield
    if "api" in request.fixturenames:
        api = request.getfixturevalue("api")
        for path in list(api.spool.glob("*.json")):
            for who, subject in itertools.product(("tusanna", "tusbert"), ("user-1", "user-2")):
                tus(api, "DELETE", f"{SESSIONS}/{path.stem}", who=who, subject=subject)


def tus(api, method, path, data=None, who="tusanna", subject="user-1", version="1.0.0", **headers):
    named = {key.replace("_", "-"): str(value) for key, value in headers.items() if value is not None}
    return api.get(path, method=method, data=data, bearer=bearer(who, subject=subject), headers={"Tus-Resumable": version, **named})


def create(api, length, who="tusanna", subject="user-1", **metadata):
    return tus(api, "POST", SESSIONS, who=who, subject=subject, Upload_Length=length, Upload_Metadata=encode(**metadata))


def begun(api, length, **metadata):
    answer = create(api, length, **metadata)
    assert answer.status_code == 201, answer.text
    assert ID.match(answer.headers["Location"])
    return answer.headers["Location"]


def patch(api, path, offset, body, **headers):
    return tus(api, "PATCH", path, data=body, Upload_Offset=offset, Content_Type=OFFSET_STREAM, **headers)


def offset_of(api, path):
    answer = tus(api, "HEAD", path)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def rows(api, name, who="tusanna"):
    return api.json(f"/v1/datasets/uploads.{name}?order=id", bearer=bearer(who))


def test_options_tells_what_is_offered(api):
    for path in (SESSIONS, UNKNOWN):
        answer = api.session.options(api.base + path, timeout=10)
        assert answer.status_code == 204
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert answer.headers["Tus-Extension"].split(",") == ["creation", "termination", "checksum", "expiration"]
        assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
        assert int(answer.headers["Tus-Max-Size"]) == 32 << 20  # half of the spool: a load needs as much again
        assert "Tus-Resumable" not in answer.headers
    assert "Tus-Version" not in api.session.options(api.base + "/v1/datasets", timeout=10).headers


def test_a_file_in_pieces_is_loaded_with_its_last_byte(api, name):
    path = begun(api, len(SALES), dataset=name, filename="sales.csv", key="id")
    first = patch(api, path, 0, SALES[:20])
    assert first.status_code == 204 and first.headers["Upload-Offset"] == "20"
    assert "Sluice-Upload" not in first.headers
    answer = tus(api, "HEAD", path)
    assert (answer.headers["Upload-Offset"], answer.headers["Upload-Length"]) == ("20", str(len(SALES)))
    assert answer.headers["Upload-Metadata"] == encode(dataset=name, filename="sales.csv", key="id")
    assert answer.headers["Cache-Control"] == "no-store"
    last = patch(api, path, 20, SALES[20:])
    assert last.status_code == 204 and last.headers["Upload-Offset"] == str(len(SALES))
    assert last.headers["Location"] == f"/v1/datasets/uploads.{name}"
    result = json.loads(last.headers["Sluice-Upload"])
    assert (result["dataset"], result["rows"], result["created"], result["mode"]) == (f"uploads.{name}", 2, True, "replace")
    assert result["digest"] == "sha-256:" + hashlib.sha256(SALES).hexdigest()
    assert [row["code"] for row in rows(api, name)] == ["007", "008"]
    assert_problem(api.get(f"/v1/datasets/uploads.{name}", bearer=bearer("tusbert")), 404)


def test_the_result_is_there_for_who_lost_the_answer(api, name):
    path = begun(api, len(SALES), dataset=name)
    last = patch(api, path, 0, SALES)
    assert last.status_code == 204
    head = tus(api, "HEAD", path)
    assert head.headers["Upload-Offset"] == str(len(SALES)) and head.headers["Sluice-Upload"] == last.headers["Sluice-Upload"]
    shown = api.json(path, bearer=bearer("tusanna"))
    assert shown["state"] == "loaded" and shown["offset"] == shown["length"] == len(SALES)
    assert shown["result"] == json.loads(last.headers["Sluice-Upload"])
    again = patch(api, path, len(SALES), b"")
    assert again.status_code == 204 and again.headers["Sluice-Upload"] == last.headers["Sluice-Upload"]
    assert (api.spool / f"{path.rpartition('/')[2]}.part").stat().st_size == 0


def test_the_parameters_of_putupload_are_told_in_the_metadata(api, name):
    body = b"x;1,5\ny;2,5\n"
    assert patch(api, begun(api, len(body), dataset=name, header="false", delimiter="semicolon", decimal="comma"), 0, body).status_code == 204
    found = api.json(f"/v1/datasets/uploads.{name}", bearer=bearer("tusanna"))
    assert [list(row.values()) for row in found] == [["x", 1.5], ["y", 2.5]]
    more = b"id,day,amount,code\n3,2024-01-03,1,009\n"
    other = next(NAMES)
    assert patch(api, begun(api, len(SALES), dataset=other, key="id"), 0, SALES).status_code == 204
    appended = patch(api, begun(api, len(more), dataset=other, mode="append"), 0, more)
    assert appended.status_code == 204 and json.loads(appended.headers["Sluice-Upload"])["mode"] == "append"
    assert [row["id"] for row in rows(api, other)] == [1, 2, 3]


def test_a_compressed_file_is_told_by_the_metadata(api, name):
    import gzip

    body = gzip.compress(SALES)
    assert patch(api, begun(api, len(body), dataset=name, content_encoding="gzip"), 0, body).status_code == 204
    assert len(rows(api, name)) == 2


@pytest.mark.parametrize("metadata, words", [
    (None, "dataset"), ("", "dataset"), (encode(filename="x"), "dataset"), (encode(dataset="Sales"), "lower case"), (encode(dataset="sessions"), "reserved"),
    (encode(dataset="a", mdoe="append"), "mdoe"), (encode(dataset="a", mode="merge"), "mode"), (encode(dataset="a", max_bad="2"), "max_bad"),
    (encode(dataset="a", content_encoding="br"), "content_encoding"), ("dataset !", "base64"), ("dataset YQ==,dataset YQ==", "twice"), (encode(dataset="x" * 64), "dataset"),
])
def test_metadata_that_no_load_can_follow_are_refused_before_a_byte_is_sent(api, metadata, words):
    answer = tus(api, "POST", SESSIONS, Upload_Length=10, Upload_Metadata=metadata)
    assert words in assert_problem(answer, 400)["detail"]
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert not list(api.spool.glob("*.json"))


@pytest.mark.parametrize("length, status", [(None, 400), ("", 400), ("-1", 400), ("1.5", 400), ("0x10", 400), ("9223372036854775808", 400), ("99999999999999999999", 400),
                                            ("0", 422), ("33554433", 413), ("9223372036854775807", 413)])
def test_a_length_that_cannot_be_is_refused(api, name, length, status):
    assert_problem(tus(api, "POST", SESSIONS, Upload_Length=length, Upload_Metadata=encode(dataset=name)), status)
    assert not list(api.spool.glob("*.json"))


def test_a_session_begins_without_bytes(api, name):
    assert_problem(tus(api, "POST", SESSIONS, data=b"x", Upload_Length=1, Upload_Metadata=encode(dataset=name), Content_Type=OFFSET_STREAM), 400, "body-not-allowed")


def test_who_is_no_registered_customer_may_not_begin(api, name):
    assert_problem(create(api, 10, who="nobody", dataset=name), 403, "unregistered-customer")


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1", ""])
def test_another_version_is_a_412(api, name, version):
    path = begun(api, 10, dataset=name)
    for method, where in (("POST", SESSIONS), ("HEAD", path), ("PATCH", path), ("DELETE", path)):
        answer = tus(api, method, where, version=version, Upload_Length=10, Upload_Offset=0)
        assert answer.status_code == 412 and answer.headers["Tus-Version"] == "1.0.0"
    assert offset_of(api, path) == 0


def test_every_answer_says_the_version(api, name):
    path = begun(api, 10, dataset=name)
    answers = [tus(api, "HEAD", path), tus(api, "HEAD", UNKNOWN), patch(api, path, 5, b"x"), patch(api, path, 0, b"x"), api.get(path, bearer="nonsense"),
               api.get(path, bearer=bearer("tusanna", scope="datasets:read")), tus(api, "DELETE", path), tus(api, "DELETE", path)]
    assert [answer.status_code for answer in answers] == [200, 404, 409, 204, 401, 403, 204, 404]
    assert {answer.headers.get("Tus-Resumable") for answer in answers} == {"1.0.0"}


def test_a_wrong_offset_is_a_409_and_changes_nothing(api, name):
    path = begun(api, 10, dataset=name)
    assert patch(api, path, 0, b"0123").status_code == 204
    for wrong in (0, 3, 5, 10, 9223372036854775807):
        assert_problem(patch(api, path, wrong, b"x"), 409, "conflict")
    assert_problem(patch(api, path, "-1", b"x"), 400)
    assert_problem(patch(api, path, None, b"x"), 400)
    assert offset_of(api, path) == 4


def test_more_than_the_told_length_is_refused(api, name):
    path = begun(api, 10, dataset=name)
    assert_problem(patch(api, path, 0, b"x" * 11), 413, "body-too-large")
    assert offset_of(api, path) == 0


def test_another_content_type_is_refused(api, name):
    path = begun(api, 10, dataset=name)
    assert_problem(tus(api, "PATCH", path, data=b"x", Upload_Offset=0, Content_Type="text/csv"), 415)
    assert offset_of(api, path) == 0


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_piece_is_compared_with_its_checksum(api, name, algorithm):
    path = begun(api, 10, dataset=name)

    def told(body):
        return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, body).digest()).decode()}"

    assert patch(api, path, 0, b"0123", Upload_Checksum=told(b"0123")).status_code == 204
    assert_problem(patch(api, path, 4, b"4567", Upload_Checksum=told(b"4568")), 460, "checksum-mismatch")
    assert_problem(patch(api, path, 4, b"4567", Upload_Checksum="md5 " + base64.b64encode(hashlib.md5(b"4567").digest()).decode()), 400)
    assert_problem(patch(api, path, 4, b"4567", Upload_Checksum=algorithm), 400)
    assert offset_of(api, path) == 4


def test_a_refused_file_ends_its_session_which_keeps_the_reason(api, name):
    body = b"id,amount\n1,2\nx,3\n"
    path = begun(api, len(body), dataset=name, types="id:integer")
    problem = assert_problem(patch(api, path, 0, body), 422, "invalid-file")
    assert problem["errors"][0]["line"] == 3 and problem["errors"][0]["field"] == "id"
    for again in (tus(api, "GET", path), patch(api, path, len(body), b""), patch(api, path, 0, body)):
        told = assert_problem(again, 422, "invalid-file")
        assert (told["errors"], told["detail"]) == (problem["errors"], problem["detail"])
    head = tus(api, "HEAD", path)
    assert head.status_code == 422 and "Upload-Offset" not in head.headers
    reason = json.loads(head.headers["Sluice-Upload"])
    assert (reason["problem"], reason["line"], reason["column"]) == ("invalid-file", 3, "id") and reason["message"] in problem["detail"]
    assert (api.spool / f"{path.rpartition('/')[2]}.part").stat().st_size == 0
    assert_problem(tus(api, "GET", path, who="tusbert"), 404)
    assert tus(api, "DELETE", path).status_code == 204
    assert not list(api.spool.iterdir())
    assert_problem(api.get(f"/v1/datasets/uploads.{name}", bearer=bearer("tusanna")), 404)


def test_a_session_is_given_up(api, name):
    path = begun(api, 10, dataset=name)
    assert patch(api, path, 0, b"0123").status_code == 204
    assert tus(api, "DELETE", path).status_code == 204
    for method in ("HEAD", "DELETE"):
        assert tus(api, method, path).status_code == 404
    assert_problem(patch(api, path, 4, b"x"), 404)
    assert not list(api.spool.iterdir())


def test_sessions_are_their_customers_and_subjects_alone(api, name):
    path = begun(api, 10, dataset=name)
    for who, subject in (("tusbert", "user-1"), ("tusanna", "user-2")):
        for method in ("GET", "PATCH", "DELETE"):
            foreign = tus(api, method, path, who=who, subject=subject, Upload_Offset=0)
            missing = tus(api, method, UNKNOWN, who=who, subject=subject, Upload_Offset=0)
            assert_problem(foreign, 404)
            assert foreign.json()["detail"] == missing.json()["detail"]
    assert offset_of(api, path) == 0
    for path in ("/nope", "/../../etc/passwd", "/0123", "/%2e%2e%2f"):
        assert tus(api, "HEAD", SESSIONS + path).status_code in (400, 404)


def test_a_customer_has_a_bounded_number_of_open_sessions(api, name):
    paths = [begun(api, 10, dataset=name) for _ in range(EACH)]
    problem = assert_problem(create(api, 10, dataset=name), 403, "quota-exceeded")
    assert f"{EACH} upload sessions" in problem["detail"]
    assert create(api, 10, who="tusbert", dataset=name).status_code == 201
    assert tus(api, "DELETE", paths[0]).status_code == 204
    begun(api, 10, dataset=name)


def test_told_lengths_share_the_spools_space(api, name):
    begun(api, 20_000_000, dataset=name)
    assert_problem(create(api, 20_000_000, who="tusbert", dataset=name), 413, "body-too-large")


def test_files_are_private(api, name):
    path = begun(api, 10, dataset=name)
    for file in api.spool.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600 and file.stem == path.rpartition("/")[2]
    assert b"user-1" not in b"".join(file.read_bytes() for file in api.spool.iterdir())


def test_an_expired_session_is_gone(api, name):
    path = begun(api, 10, dataset=name)
    then = time.time() - 25 * 3600
    os.utime(api.spool / f"{path.rpartition('/')[2]}.part", (then, then))
    assert tus(api, "HEAD", path).status_code == 404
    assert_problem(patch(api, path, 0, b"x"), 404)


def test_two_at_once_is_a_423(api, name):
    import fcntl

    path = begun(api, 10, dataset=name)
    with open(api.spool / f"{path.rpartition('/')[2]}.part", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert_problem(patch(api, path, 0, b"x"), 423, "locked")
        assert_problem(tus(api, "GET", path), 423, "locked")
        answer = tus(api, "DELETE", path)
        assert_problem(answer, 423, "locked")
        assert answer.headers["Retry-After"] == "1"
    assert patch(api, path, 0, b"x").status_code == 204


def test_a_browser_may_use_it(postgres, redis, office, tmp_path, name):
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    one = start_gateway(tmp_path, postgres, redis, office.database,
                        {"customers": {"login_key_file": write_secret(tmp_path, "login.key", LOGIN_KEY)}, "uploads": {"spool": str(spool)},
                         "cors": {"origins": ["https://app.test"]}})
    preflight = one.session.options(one.base + SESSIONS, headers={"Origin": "https://app.test", "Access-Control-Request-Method": "POST"}, timeout=10)
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
    assert all(header in allowed for header in ("tus-resumable", "upload-length", "upload-metadata", "upload-offset", "upload-checksum"))
    answer = one.get(SESSIONS, method="POST", bearer=bearer("tusanna"), headers={"Origin": "https://app.test", "Tus-Resumable": "1.0.0", "Upload-Length": "4", "Upload-Metadata": encode(dataset=name)})
    assert answer.status_code == 201
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert all(header in exposed for header in ("Location", "Upload-Offset", "Upload-Length", "Tus-Resumable", "Sluice-Upload"))
    one.stop()


def test_sessions_survive_a_kill_and_a_load_that_was_cut_is_made_up_for(postgres, redis, office, tmp_path, name):
    one = begin(tmp_path, postgres, redis, office, tmp_path / "spool")
    path, whole, empty = (begun(one, len(SALES), dataset=f"{name}_{kind}") for kind in ("part", "whole", "empty"))
    assert patch(one, path, 0, SALES[:30]).status_code == 204
    one.kill()
    # All bytes came, and the process ended before the load.
    (tmp_path / "spool" / f"{whole.rpartition('/')[2]}.part").write_bytes(SALES)
    two = begin(tmp_path, postgres, redis, office, tmp_path / "spool")
    assert offset_of(two, path) == 30 and offset_of(two, empty) == 0
    assert patch(two, path, 30, SALES[30:]).status_code == 204
    answer = tus(two, "HEAD", whole)
    assert answer.status_code == 200 and json.loads(answer.headers["Sluice-Upload"])["rows"] == 2
    for kind in ("part", "whole"):
        assert len(rows(two, f"{name}_{kind}")) == 2
    two.stop()


def test_a_load_whose_end_was_not_noted_is_not_made_twice(postgres, redis, office, tmp_path, name):
    one = begin(tmp_path, postgres, redis, office, tmp_path / "spool")
    assert patch(one, begun(one, len(SALES), dataset=name), 0, SALES).status_code == 204
    more = b"id,day,amount,code\n3,2024-01-03,1,009\n"
    path = begun(one, len(more), dataset=name, mode="append")
    about = tmp_path / "spool" / f"{path.rpartition('/')[2]}.json"
    before = about.read_bytes()
    first = patch(one, path, 0, more)
    assert first.status_code == 204
    one.kill()
    about.write_bytes(before)
    about.with_suffix(".part").write_bytes(more)
    two = begin(tmp_path, postgres, redis, office, tmp_path / "spool")
    again = tus(two, "HEAD", path)
    assert again.status_code == 200 and json.loads(again.headers["Sluice-Upload"]) == json.loads(first.headers["Sluice-Upload"])
    assert len(rows(two, name)) == 3
    two.stop()


def test_a_load_that_could_not_run_runs_when_asked_again(api, office, name):
    """409 while a reader holds the old table; the bytes stay."""
    assert patch(api, begun(api, len(SALES), dataset=name), 0, SALES).status_code == 204
    path = begun(api, len(SALES), dataset=name)
    with office.postgres.connect(office.database) as reader:
        with reader.cursor() as cursor:
            cursor.execute(f"begin; lock table tusanna_uploads.{name} in access share mode")
            assert_problem(patch(api, path, 0, SALES), 409, "conflict")
        reader.rollback()
    answer = tus(api, "HEAD", path)
    assert answer.status_code == 200 and answer.headers["Upload-Offset"] == str(len(SALES))
    assert json.loads(answer.headers["Sluice-Upload"])["rows"] == 2
