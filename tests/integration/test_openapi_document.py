"""The served OpenAPI document: without a token the contract; with one the caller's own datasets too, typed, and nobody else's."""
import itertools
import re

import pytest

import contract
import shop
from gateway import SLOWNESS, assert_problem, quote
from shop import MINE, VISIBLE, names, reader
from wait import eventually

DOCUMENT = "/v1/openapi.json"
KEYWORDS = {"$ref", "type", "format", "properties", "required", "items", "enum", "const", "description", "default", "example", "examples", "pattern", "minimum", "maximum",
            "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "additionalProperties", "oneOf", "anyOf", "allOf", "not",
            "title", "minProperties", "maxProperties", "propertyNames", "deprecated", "readOnly"}
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def store(postgres, redis, tmp_path_factory):
    with shop.opened(tmp_path_factory.mktemp("shop"), postgres, redis) as one:
        yield one


@pytest.fixture(scope="module")
def served(store):
    return store.json(DOCUMENT)


# Validity: what the specification (3.1, JSON Schema 2020-12) asks of the parts that this document has.


def resolve(document, part):
    while isinstance(part, dict) and "$ref" in part:
        assert part["$ref"].startswith("#/"), part
        target = document
        for name in part["$ref"][2:].split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        part = target
    return part


def references(part):
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def check_schema(schema, at):
    if isinstance(schema, bool):
        return
    assert isinstance(schema, dict), at
    assert schema.keys() <= KEYWORDS, f"{at}: {schema.keys() - KEYWORDS}"
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    assert set(types) <= {"string", "integer", "number", "boolean", "array", "object", "null"} and len(types) == len(set(types)), f"{at}: {types}"
    assert "enum" not in schema or (schema["enum"] and len(schema["enum"]) == len({repr(value) for value in schema["enum"]})), at
    assert len(schema.get("required", [])) == len(set(schema.get("required", []))), at
    for name, inner in schema.get("properties", {}).items():
        check_schema(inner, f"{at}.{name}")
    for keyword in ("items", "additionalProperties", "not", "propertyNames"):
        if keyword in schema:
            check_schema(schema[keyword], f"{at}.{keyword}")
    for keyword in ("oneOf", "anyOf", "allOf"):
        for index, inner in enumerate(schema.get(keyword, [])):
            check_schema(inner, f"{at}.{keyword}[{index}]")


def check_parameters(document, path, parameters):
    resolved = [resolve(document, parameter) for parameter in parameters]
    keys = [(parameter["in"], parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]) for parameter in resolved]
    assert len(keys) == len(set(keys)), f"{path}: a parameter stands twice: {[key for key in keys if keys.count(key) > 1]}"
    for parameter in resolved:
        assert parameter["in"] in ("query", "header", "path", "cookie") and parameter["name"], path
        assert ("schema" in parameter) != ("content" in parameter), f"{path}: {parameter['name']}"
        assert not {"example", "examples"} <= parameter.keys(), f"{path}: {parameter['name']}"
        check_schema(parameter.get("schema", {}), f"{path} {parameter['name']}")
    wanted = set(re.findall(r"{([^}]+)}", path))
    assert {parameter["name"] for parameter in resolved if parameter["in"] == "path"} == wanted, path
    assert all(parameter.get("required") is True for parameter in resolved if parameter["in"] == "path"), path


def check_operation(document, path, operation):
    assert operation["responses"], path
    for status, response in operation["responses"].items():
        assert re.fullmatch(r"[1-5]\d\d|[1-5]XX|default", status), f"{path}: {status}"
        assert resolve(document, response)["description"], f"{path}: {status}"
        for media, content in resolve(document, response).get("content", {}).items():
            assert "/" in media
            check_schema(content.get("schema", {}), f"{path} {status} {media}")
    for requirement in operation.get("security", []):
        assert requirement.keys() <= document["components"]["securitySchemes"].keys(), path


def check_document(document):
    """Raises an AssertionError where this is no OpenAPI 3.1 document."""
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"]) and document["info"]["title"] and document["info"]["version"]
    for reference in references(document):
        resolve(document, reference)
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name), name
        check_schema(schema, name)
    identifiers = []
    for path, item in document["paths"].items():
        assert path.startswith("/") and not re.search(r"[ ;\"<>\\^`|?#]", path), path
        for method, operation in item.items():
            if method not in METHODS:
                assert method in ("parameters", "summary", "description", "servers"), method
                continue
            identifiers.append(operation["operationId"])
            check_parameters(document, path, item.get("parameters", []) + operation.get("parameters", []))
            check_operation(document, path, operation)
    assert len(identifiers) == len(set(identifiers)), [one for one in identifiers if identifiers.count(one) > 1]


def examples(document, part, at="#"):
    """(where, schema, value) of each example that stands beside a schema."""
    if isinstance(part, dict):
        schema = part.get("schema")
        if isinstance(schema, dict):
            values = [part["example"]] if "example" in part else []
            values += [resolve(document, value)["value"] for value in part.get("examples", {}).values()] if isinstance(part.get("examples"), dict) else []
            for value in values:
                yield at, resolve(document, schema), value
        elif "type" in part and "example" in part:
            yield at, part, part["example"]
        for name, inner in part.items():
            yield from examples(document, inner, f"{at}/{name}")
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from examples(document, inner, f"{at}/{index}")


def row_schema(document, name):
    operation = document["paths"][f"/v1/datasets/{quote(name)}"]["get"]
    content = operation["responses"]["200"]["content"]
    assert content["application/json"]["schema"]["type"] == "array"
    assert resolve(document, content["application/json"]["schema"]["items"]) == resolve(document, content["application/vnd.pgrst.object+json"]["schema"])
    return resolve(document, content["application/json"]["schema"]["items"])


def parameters_of(document, name):
    operation = document["paths"][f"/v1/datasets/{quote(name)}"]["get"]
    return {parameter["name"]: parameter for parameter in (resolve(document, one) for one in operation["parameters"])}


def parameter_name(column):
    """As the dialect wants it: in quotes where it would be something else without."""
    plain = re.fullmatch(r"[\w$]+", column) and column not in ("select", "order", "limit", "offset", "cursor", "format", "and", "or", "columns", "on_conflict")
    return column if plain else '"' + re.sub(r'(["\\])', r"\\\1", column) + '"'


def described(document):
    """Paths of the caller's own datasets."""
    return {path for path in document["paths"].keys() - contract.DOCUMENT["paths"].keys()}


def test_without_a_token_the_static_contract_is_served_and_may_be_kept(store):
    answer = store.get(DOCUMENT, headers={"Authorization": None})
    assert answer.status_code == 200 and answer.json()["paths"].keys() == contract.DOCUMENT["paths"].keys()
    assert "public" in answer.headers["Cache-Control"] and answer.headers["ETag"]
    assert store.get(DOCUMENT, headers={"Authorization": None, "If-None-Match": answer.headers["ETag"]}).status_code == 304
    check_document(answer.json())


def test_a_token_without_the_scope_to_read_datasets_gets_the_static_contract(store):
    assert described(store.json(DOCUMENT, bearer=reader(scope="regions:read"))) == set()


def test_with_a_token_it_is_valid_and_has_just_the_callers_datasets(store, served):
    check_document(served)
    assert described(served) == {f"/v1/datasets/{quote(name)}" for name in names(store)}


def test_what_stands_in_the_contract_stands_there_still(store, served):
    plain = store.json(DOCUMENT, headers={"Authorization": None})
    assert {path: served["paths"][path] for path in plain["paths"]} == plain["paths"]
    assert {name: served["components"]["schemas"][name] for name in plain["components"]["schemas"]} == plain["components"]["schemas"]
    assert {key: value for key, value in served.items() if key not in ("paths", "components")} == {key: value for key, value in plain.items() if key not in ("paths", "components")}


def test_the_check_of_validity_finds_what_is_wrong():
    broken = [lambda d: d.update(openapi="3.0.3"), lambda d: d["paths"]["/v1/datasets"]["get"].update(operationId="listRegions"),
              lambda d: d["paths"]["/v1/datasets"]["get"]["parameters"].append({"$ref": "#/components/parameters/None"}),
              lambda d: d["components"]["schemas"]["DatasetList"].update(type="list"), lambda d: d["components"]["schemas"]["DatasetList"].update(surprise=1),
              lambda d: d["paths"]["/v1/datasets"]["get"]["parameters"].append({"name": "x", "in": "path", "required": True, "schema": {}})]
    import copy

    check_document(contract.DOCUMENT)
    for breaks in broken:
        document = copy.deepcopy(contract.DOCUMENT)
        breaks(document)
        with pytest.raises((AssertionError, KeyError)):
            check_document(document)


def test_each_example_is_of_its_schema(served):
    found = list(examples(served, served))
    assert len(found) > 50
    for at, schema, value in found:
        contract.conforms(value, schema, at)


def test_rows_are_typed_with_words_units_and_labels(served):
    properties = row_schema(served, "shop.reading")["properties"]
    assert list(properties)[:4] == ["station", "day", "temperature_c", "price"]
    assert properties["station"]["type"] == "string"
    assert (properties["day"]["type"], properties["day"]["format"]) == ("string", "date")
    assert set(properties["temperature_c"]["type"]) == {"number", "string", "null"} and properties["temperature_c"]["format"] == "double"
    assert properties["temperature_c"]["description"] == "Air temperature at noon [°C]"
    assert properties["mood"]["enum"] == ["sad", "ok", 'very "happy"', None]
    assert properties["sure"]["type"] == "boolean" and properties["tags"]["type"] == ["array", "null"]
    assert properties["size"]["properties"].keys() == {"width", "height"}
    assert properties["seen"]["format"] == "date-time"
    assert (properties["id"]["type"], properties["id"]["format"]) == ("integer", "int64")
    assert row_schema(served, "shop.reading")["description"].startswith("What the stations read")


@pytest.mark.parametrize("name", [*("shop." + name for name in VISIBLE), "region", "weather_daily"])
def test_rows_are_as_their_schema_says(store, served, name):
    rows = store.json(f"/v1/datasets/{quote(name)}?limit=50")
    schema = row_schema(served, name)
    for row in rows:
        contract.conforms(row, {**schema, "additionalProperties": False}, name)


@pytest.mark.parametrize("name", [*("shop." + name for name in VISIBLE), "region", "weather_daily"])
def test_each_column_is_a_parameter_whose_example_can_be_asked(store, served, name):
    columns = [column["name"] for column in store.json(f"/v1/datasets/{quote(name)}/schema")["columns"]]
    parameters = parameters_of(served, name)
    assert {parameter_name(column) for column in columns} <= parameters.keys()
    assert {"select", "order", "limit", "offset", "cursor", "format", "and", "or", "Prefer"} <= parameters.keys()
    ask_examples(store, name, columns, parameters)


def ask_examples(one, name, columns, parameters):
    for column in map(parameter_name, columns):
        answer = one.get(f"/v1/datasets/{quote(name)}", params={column: parameters[column]["example"], "limit": 2})
        assert answer.status_code == 200, f"{column}={parameters[column]['example']}: {answer.text}"


def test_a_column_with_a_name_of_the_dialect_is_a_parameter_too(postgres, store):
    clashing = ["select", "order", "limit", "and", "not.and", "cursor", "columns", "Prefer", 'quo"te', "back\\slash", " space ", "a->b", "x.y.z", "é", "a&b=c", "%41", "+"]
    columns = ", ".join(f"""\"{name.replace('"', '""')}\" text""" for name in clashing)
    postgres.query(store.database, f"create table shop.clash ({columns}); grant select on shop.clash to sluice_reader".replace("%", "%%"), ())
    try:
        document = eventually(lambda: (now := store.json(DOCUMENT)) and "/v1/datasets/shop.clash" in now["paths"] and now, within=5 * SLOWNESS)
        check_document(document)
        assert list(row_schema(document, "shop.clash")["properties"]) == clashing
        ask_examples(store, "shop.clash", clashing, parameters_of(document, "shop.clash"))
    finally:
        postgres.query(store.database, "drop table shop.clash")


def test_names_that_look_alike_as_identifiers_stay_apart(postgres, store):
    alike = ["a-b", "a b", "a.b", "a_b", "a;b", "ä", "ö"]
    postgres.query(store.database, "".join(f'create table shop."{name}" (id int); grant select on shop."{name}" to sluice_reader;' for name in alike))
    try:
        document = eventually(lambda: (now := store.json(DOCUMENT)) and {f"/v1/datasets/shop.{quote(name)}" for name in alike} <= now["paths"].keys() and now, within=5 * SLOWNESS)
        check_document(document)
    finally:
        postgres.query(store.database, "".join(f'drop table shop."{name}";' for name in alike))


def test_nothing_in_it_names_what_the_caller_may_not_see(store):
    text = store.get(DOCUMENT).text
    for name in ("hidden", "treasure", "salary", "premium", "deal", "vault", "gold", "beside", "unnamed", "purchase", "warehouse."):
        static = store.get(DOCUMENT, headers={"Authorization": None}).text
        assert text.count(name) == static.count(name), name
    everyone = store.get(DOCUMENT, bearer=reader(scope="datasets:read premium:read"))
    assert "/v1/datasets/premium.deal" in everyone.json()["paths"] and "hidden_price" in everyone.text
    assert "treasure" not in everyone.text and "salary" not in everyone.text


def test_two_callers_documents_are_not_taken_for_each_others(store):
    few, many = reader(), reader(scope="datasets:read premium:read")
    first, second = store.get(DOCUMENT, bearer=few), store.get(DOCUMENT, bearer=many)
    assert first.headers["ETag"] != second.headers["ETag"]
    assert "private" in first.headers["Cache-Control"]
    assert store.get(DOCUMENT, bearer=few, headers={"If-None-Match": second.headers["ETag"]}).status_code == 200

    def keeps_its_own():
        tag = store.get(DOCUMENT, bearer=few).headers["ETag"]
        assert store.get(DOCUMENT, bearer=few, headers={"If-None-Match": tag}).status_code == 304
        head = store.get(DOCUMENT, bearer=few, method="HEAD")
        return head.status_code == 200 and head.headers["ETag"] == tag and not head.content

    eventually(keeps_its_own, within=5 * SLOWNESS, says="a document of one's own that stays")  # what other tests have dropped is polled


def test_rows_of_others_are_in_no_example(served):
    for name in MINE:
        assert set(row_schema(served, "shop." + name)) <= {"type", "properties", "description", "required"}, name


def test_a_table_created_is_in_it_within_a_second_and_a_changed_one_is_as_it_is(postgres, store):
    import time

    def seen(condition):
        began, slowest = time.monotonic(), 0

        def now():
            nonlocal slowest
            asked = time.monotonic()
            paths, schemas = store.json(DOCUMENT)["paths"], store.json(DOCUMENT)["components"]["schemas"]
            slowest = max(slowest, time.monotonic() - asked)
            return condition(paths, schemas)

        eventually(now, within=30, every=0.005)
        assert time.monotonic() - began < SLOWNESS + 2 * slowest  # the promise, and what the machine takes for an answer

    store.json(DOCUMENT)
    postgres.query(store.database, "create table shop.latecomer (id int primary key); grant select on shop.latecomer to sluice_reader")
    try:
        seen(lambda paths, schemas: "/v1/datasets/shop.latecomer" in paths)
        postgres.query(store.database, "alter table shop.latecomer add column more text")
        seen(lambda paths, schemas: any(name.startswith("row_shop_latecomer") and "more" in schema["properties"] for name, schema in schemas.items()))
    finally:
        postgres.query(store.database, "drop table shop.latecomer")
    seen(lambda paths, schemas: "/v1/datasets/shop.latecomer" not in paths and not any("latecomer" in name for name in schemas))


@pytest.mark.parametrize("limit", [1, 3])
def test_it_describes_as_many_datasets_as_the_configuration_says(gateway, limit):
    one = gateway({"warehouse": {"document_limit": limit}})
    document = one.json(DOCUMENT, bearer=reader())
    check_document(document)
    assert sorted(described(document)) == [f"/v1/datasets/{name}" for name in itertools.islice(names(one, bearer=reader()), limit)]


def test_a_token_that_is_not_valid_is_refused_though_none_is_needed(store):
    assert_problem(store.get(DOCUMENT, bearer="x.y.z"), 401, "invalid-token")
