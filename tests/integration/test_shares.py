"""What customers share with each other: in lists, in the served contract, and not in SQL."""
import pytest

from gateway import assert_problem
from test_analytics import ALL, bearer, clean, delete, office, own, put, query_of, refresh, rows, share, words  # noqa: F401  (fixtures)

BERT = bearer("bert")


def listed(own, who="bert", query="?limit=1000"):
    answer = own.json(f"/v1/datasets{query}", bearer=bearer(who))
    return {one["name"]: one for one in answer["datasets"] if one["name"].startswith("shared.")}


def walked(own, limit, who="bert"):
    path, names = f"/v1/datasets?limit={limit}", []
    while path:
        page = own.json(path, bearer=bearer(who))
        assert len(page["datasets"]) <= limit and (page["next"] is None or len(page["datasets"]) == limit)
        names += [one["name"] for one in page["datasets"]]
        path = page["next"]
    return names


@pytest.fixture
def given(own, clean):  # noqa: F811
    assert put(own, "given", "select id, amount, who from uploads.sales", description="For you").status_code == 201
    assert put(own, "gift", "select 7 as id", **{"as": "table"}).status_code == 201
    assert put(own, "kept", "select id from uploads.sales").status_code == 201
    for name in ("given", "gift"):
        assert share(own, name, "bert").status_code == 204


def test_what_is_shared_is_in_its_readers_list_and_says_who_shares_it(own, given):
    seen = listed(own)
    assert list(seen) == ["shared.anna.gift", "shared.anna.given"]
    assert seen["shared.anna.given"] == {"name": "shared.anna.given", "kind": "view", "description": "For you", "row_estimate": None, "shared_by": "anna",
                                         "links": {"rows": "/v1/datasets/shared.anna.given", "schema": "/v1/datasets/shared.anna.given/schema"}}
    assert seen["shared.anna.gift"]["kind"] == "table" and seen["shared.anna.gift"]["row_estimate"] == 1
    assert all("shared_by" not in one for one in own.json("/v1/datasets", bearer=BERT)["datasets"] if not one["name"].startswith("shared."))
    for name, one in seen.items():
        assert own.get(one["links"]["rows"], bearer=BERT).status_code == 200
        assert own.json(one["links"]["schema"], bearer=BERT)["name"] == name
    csv = own.get("/v1/datasets?format=csv&limit=1000", bearer=BERT).text.splitlines()
    assert [line.split(",")[0] for line in csv[-2:]] == list(seen)
    for who in ("anna", "carl"):
        assert listed(own, who) == {}
    assert listed(own, "bert", "?limit=1") == {}


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 1000])
def test_pages_of_the_list_go_on_into_what_is_shared(own, given, limit):
    assert walked(own, limit) == (all_ := walked(own, 1000)) and len(set(all_)) == len(all_) and all_[-2:] == ["shared.anna.gift", "shared.anna.given"]
    assert not [name for name in walked(own, limit, "anna") if name.startswith("shared.")]


def test_anothers_cursor_shows_only_what_is_shared_with_oneself(own, given):
    path = own.json("/v1/datasets?limit=1", bearer=BERT)["next"]
    while "shared.anna.gift" not in (page := own.get(path, bearer=BERT)).text:
        path = page.json()["next"]
    assert own.json(page.json()["next"], bearer=bearer("anna"))["datasets"] == []


def test_the_end_of_a_share_ends_it_in_lists_too(own, given):
    tag = own.get("/v1/datasets?limit=1000", bearer=BERT).headers["ETag"]
    assert own.get("/v1/datasets?limit=1000", bearer=BERT, headers={"If-None-Match": tag}).status_code == 304
    assert share(own, "given", "bert", "DELETE").status_code == 204
    assert own.get("/v1/datasets?limit=1000", bearer=BERT, headers={"If-None-Match": tag}).status_code == 200
    assert list(listed(own)) == ["shared.anna.gift"]
    assert delete(own, "gift").status_code == 204
    assert listed(own) == {}


def test_the_served_contract_has_what_is_shared(own, given):
    paths = own.json("/v1/openapi.json", bearer=BERT)["paths"]
    assert "/v1/datasets/shared.anna.given" in paths and "/v1/datasets/shared.anna.gift" in paths and "/v1/datasets/shared.anna.kept" not in paths
    assert share(own, "given", "bert", "DELETE").status_code == 204
    paths = own.json("/v1/openapi.json", bearer=BERT)["paths"]
    assert "/v1/datasets/shared.anna.given" not in paths and "/v1/datasets/shared.anna.gift" in paths
    for who in ("anna", "carl"):
        assert not [path for path in own.json("/v1/openapi.json", bearer=bearer(who))["paths"] if "shared." in path]


def test_sql_says_where_to_read_what_is_shared_and_no_more(own, given):
    for name in ("given", "kept", "nothing"):  # the same for what is shared, what is not, and what is not there
        for sql in (f"select 1 from shared.anna.{name}", f"select 1 from price where exists (select from shared.anna.{name})"):
            told = assert_problem(query_of(own, sql, "bert"), 422, "invalid-sql")["detail"]
            assert f"GET /v1/datasets/shared.anna.{name}" in told and "as its owner" in told
        told = assert_problem(query_of(own, f"select 1 from shared.{name}", "bert"), 422, "invalid-sql")["detail"]
        assert "/v1/datasets/shared.OWNER.NAME" in told
    assert_problem(put(own, "mine", "select id from shared.anna.given", who="bert"), 422, "invalid-sql")
    assert "database" in assert_problem(query_of(own, "select 1 from other.anna.given", "bert"), 422, "invalid-sql")["detail"]


def test_a_share_is_not_passed_on(own, given, office):  # noqa: F811
    """No right in the database stands behind a share: its reader's own login reads nothing of it, so neither can a view of his."""
    with pytest.raises(Exception, match="permission denied"):
        office.as_customer("bert", "create view bert_analytics.passed as select * from anna_analytics.given")
    assert_problem(own.get("/v1/analytics/given/shares/carl", method="PUT", bearer=BERT), 404, "not-found")
