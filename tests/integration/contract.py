"""openapi.yaml as the tests read it: independent of the gateway's own reader."""
import datetime
import json
import re

import yaml

from gateway import ROOT

# Dates of the contract are quoted texts; YAML 1.1 would read unquoted ones as dates, which JSON has not.
DOCUMENT = json.loads(json.dumps(yaml.safe_load((ROOT / "openapi/openapi.yaml").read_text(encoding="utf-8")), default=str))
TYPES = {"string": str, "object": dict, "array": list, "boolean": bool, "null": type(None)}


def resolve(part):
    while isinstance(part, dict) and "$ref" in part:
        target = DOCUMENT
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        part = target
    return part


def operations():
    """(path, method, operation) of all."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method.upper(), operation


def operation_of(operation_id):
    return next(operation for _, _, operation in operations() if operation["operationId"] == operation_id)


def is_type(value, name):
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def check_format(value, form, at):
    if form == "date":
        datetime.date.fromisoformat(value)
    elif form == "date-time":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value), f"{at}: {value!r} is no date-time"
        datetime.datetime.fromisoformat(re.sub(r"Z$", "+00:00", value))


def conforms(value, schema, at="$"):
    """Raises an AssertionError that says where `value` departs from `schema`."""
    schema = resolve(schema)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    assert not types or any(is_type(value, name) for name in types), f"{at}: {value!r} is none of {types}"
    if "enum" in schema:
        assert value in schema["enum"], f"{at}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str):
        check_format(value, schema.get("format"), at)
        if "pattern" in schema:
            assert re.search(schema["pattern"], value), f"{at}: {value!r} does not match {schema['pattern']}"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            conforms(item, schema.get("items", {}), f"{at}[{index}]")
    elif isinstance(value, dict):
        missing = set(schema.get("required", [])) - value.keys()
        assert not missing, f"{at}: {sorted(missing)} is missing"
        for name, item in value.items():
            known = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            assert known is not False, f"{at}: {name} is not in the schema"
            conforms(item, known if isinstance(known, dict) else {}, f"{at}.{name}")


def check_answer(operation_id, answer):
    """The answer's status, media type, headers and body are what the contract says of this operation."""
    responses = operation_of(operation_id)["responses"]
    status = str(answer.status_code)
    assert status in responses, f"{operation_id} answered {status}, which the contract does not list: {answer.text[:300]}"
    response = resolve(responses[status])
    for name, header in response.get("headers", {}).items():
        if name in answer.headers:
            kind = resolve(header)["schema"]["type"]
            assert kind != "integer" or answer.headers[name].isdigit(), f"{name}: {answer.headers[name]}"
    content = response.get("content")
    if content is None:
        assert not answer.content
        return
    media = answer.headers["Content-Type"].split(";")[0]
    assert media in content, f"{operation_id}: {media} is none of {list(content)}"
    if media in ("application/json", "application/problem+json") and answer.request.method != "HEAD":
        conforms(answer.json(), content[media]["schema"])
