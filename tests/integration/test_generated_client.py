"""The served OpenAPI document is good enough to make a client of: its types compile, have teeth, and are those of the rows that come."""
import json
import re

import pytest

import clients


@pytest.fixture(scope="module")
def desk(postgres, redis, tmp_path_factory):
    with clients.opened(tmp_path_factory.mktemp("desk"), postgres, redis) as one:
        yield one


@pytest.fixture(scope="module")
def program(desk, tmp_path_factory):
    """tests/clients/typed.ts, compiled against the types of the document that this caller is served."""
    packages = clients.node()
    folder = tmp_path_factory.mktemp("typed")
    document = desk.json("/v1/openapi.json")
    (folder / "contract.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (folder / "node_modules").symlink_to(packages / "node_modules")
    clients.run(["node", packages / "node_modules/openapi-typescript/bin/cli.js", "contract.json", "-o", "contract.d.ts"], desk, cwd=folder)
    # Which name the row's schema has is the document's business.
    content = document["paths"]["/v1/datasets/desk.buoy"]["get"]["responses"]["200"]["content"]["application/json"]
    name = content["schema"]["items"]["$ref"].rpartition("/")[2]
    source = (clients.HERE / "typed.ts").read_text(encoding="utf-8")
    (folder / "typed.ts").write_text(source.replace("row_desk_buoy_NAME", name), encoding="utf-8")
    clients.run(["node", packages / "node_modules/typescript/bin/tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--noUncheckedIndexedAccess", "--skipLibCheck",
                 "--lib", "es2023,dom", "typed.ts", "process.d.ts"], desk, cwd=write_process(folder))
    return folder / "typed.js"


def write_process(folder):
    """All that the program needs of Node's own types."""
    (folder / "process.d.ts").write_text("declare const process: { env: Record<string, string> }\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def printed(program, desk):
    return clients.run_json(["node", program], desk, cwd=program.parent)


def test_a_typed_client_reads_typed_rows(printed, postgres, desk):
    rows = postgres.query(desk.database, "select region_id, day::text, temperature_c from serving.weather_daily where region_id = 'AR-north-1' and day >= '2025-12-01' order by day limit 10")
    assert [(row["region_id"], row["day"], row["temperature_c"]) for row in printed["weather"]] == rows
    assert printed["warmest"] == max(row[2] for row in rows if row[2] is not None) and printed["region"] == "AR-north-1"
    assert printed["moods"] == ["rough", "wild", "calm"] and printed["names"][0] == "Comma, Place"
    assert printed["tags"] == ["t1", "all"] and printed["latitude"] == 2


def test_a_typed_client_calls_every_other_kind_of_operation(printed):
    assert printed["listed"] == 3 and printed["summary"] == "AR-north-1" and printed["any"] == [{"id": 1, "ties": 1}, {"id": 2, "ties": 2}]
    assert printed["lane"] == "fast"
    assert printed["problem"] == "urn:sluice:problem:invalid-parameter" and printed["status"] == 400


def test_every_column_of_every_dataset_is_a_parameter_and_a_property(desk, postgres):
    document = desk.json("/v1/openapi.json")
    found = {}
    for path, item in document["paths"].items():
        if (name := re.fullmatch(r"/v1/datasets/desk\.(\w+)", path)) is not None:
            parameters = {one["name"] for one in item["get"]["parameters"] if "name" in one}
            schema = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["items"]["$ref"].rpartition("/")[2]
            assert set(document["components"]["schemas"][schema]["properties"]) == parameters
            found[name.group(1)] = parameters
    columns = postgres.query(desk.database, "select table_name, array_agg(column_name::text) from information_schema.columns where table_schema = 'desk' group by 1")
    assert found == {table: set(names) for table, names in columns if table in ("buoy", "many", "mine")}
