"""Every type of PostgreSQL through the dialect: what is read, and what the operators and aggregates make of it, is what psql gives."""
import csv
import io

import pytest

from dialect_every import QUESTIONS, address, by_psql, every, parse, same_rows, sort_rows  # noqa: F401
from dialect_types import ROWS, TYPES, literal
from gateway import quote

COLUMNS = list(TYPES)
each_type = pytest.mark.parametrize("column", COLUMNS)


def ask(sql):
    QUESTIONS.setdefault(sql, None)
    return sql


def first(column):
    return TYPES[column][1][0]


def cast(column):
    return TYPES[column][0].partition(" collate")[0]


for _column in COLUMNS:
    ask(f'select id, "{_column}" from types order by id')


@each_type
def test_values_of_each_type_are_printed_as_to_json_prints_them(same_rows, column):
    same_rows(f"types?select=id,{column}&order=id", f'select id, "{column}" from types order by id')


def test_a_row_of_all_types_is_what_json_agg_makes_of_it(same_rows):
    same_rows("types?order=id", "select * from types order by id")


def rows_as_csv(text):
    """Records of fields; None where nothing stands, "" where quotes do. The csv module does not tell the two apart."""
    records, fields, at = [], [], 0
    while True:
        if text[at : at + 1] == '"':
            end, parts = at + 1, []
            while True:
                close = text.index('"', end)
                parts.append(text[end:close])
                if text[close + 1 : close + 2] != '"':
                    break
                end = close + 2
            fields.append('"'.join(parts))
            at = close + 1
        else:
            end = min(place for place in (text.find(",", at), text.find("\n", at), len(text)) if place >= 0)
            fields.append(text[at:end] or None)
            at = end
        if at == len(text) or text[at] == "\n":
            records.append(fields)
            fields = []
        if at == len(text):
            return records
        assert text[at] in ",\n", text[at : at + 40]
        at += 1


for _column in COLUMNS:
    ask(f"select id, to_json(\"{_column}\") #>> '{{}}' as v from types order by id" if TYPES[_column][0] not in ("json",
        "jsonb") else f'select id, "{_column}"::text as v from types order by id')


@each_type
def test_csv_has_the_same_forms_without_their_quotes_and_nulls_apart_from_empty_texts(every, postgres, column):
    answer = every.get(address(f"types?select=id,v:{column}&order=id"), headers={"Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    text = answer.content.decode()
    assert text.startswith("id,v\n") and not text.endswith("\n")
    records = rows_as_csv(text)[1:]
    kind = TYPES[column][0]
    sql = f'select id, "{column}"::text as v from types order by id' if kind in ("json",
        "jsonb") else f"select id, to_json(\"{column}\") #>> '{{}}' as v from types order by id"
    state, document = by_psql(postgres, sql)
    assert state == "00000"
    expected = [[member[1][1] if isinstance(member[1], tuple) else member[1] for member in row] for row in parse(document)]
    assert [record[0] for record in records] == [row[0] for row in expected]
    for (_, found), (_, wanted) in zip(records, expected):
        assert (found is None) == (wanted is None), (found, wanted)
        if kind.startswith(("json", "every.document", "every.raw")) or (wanted or "").startswith(("{", "[")):
            assert found == wanted or parse(found) == parse(wanted), (found, wanted)
        else:
            assert found == wanted
    assert len(list(csv.reader(io.StringIO(text)))) == ROWS + 2


SIGNS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "isdistinct": "is distinct from", "like": "like", "ilike": "ilike",
         "match": "~", "imatch": "~*",
         "cs": "@>", "cd": "<@", "ov": "&&", "sl": "<<", "sr": ">>", "nxr": "&<", "nxl": "&>", "adj": "-|-"}
NO_INFERENCE = ("composite", "nested", "domain_composite")  # the server reads no text as a record that nobody names


def filter_sql(column, operator):
    cast_to = f"::{cast(column)}" if column in NO_INFERENCE else ""
    return f'select id from types where "{column}" {SIGNS[operator]} {literal(first(column))}{cast_to}'


def check_filter(every, postgres, url, sql):
    """None, or how the answer is another than psql's."""
    state, document = by_psql(postgres, sql)
    answer = every.get(address(url))
    if state == "00000":
        if answer.status_code != 200:
            return f"{url}: {answer.status_code} {answer.text[:300]}, psql has rows"
        found, wanted = sort_rows(parse(answer.content)), sort_rows(parse(document))
        return None if found == wanted else f"{url}: {found}, psql has {wanted}"
    # Which of several operators an ambiguous value might mean is nothing to tell of: the type has none of its own.
    expected = (404,) if state == "42883" else (400, 404) if state in ("42725", "42804") else (400,)
    return None if answer.status_code in expected else f"{url}: {answer.status_code} {answer.text[:300]}, psql says {state}"


for _column in COLUMNS:
    for _operator in SIGNS:
        ask(filter_sql(_column, _operator))


@each_type
def test_each_operator_on_each_type_answers_as_psql_or_is_refused_where_psql_refuses_it(every, postgres, column):
    found = [check_filter(every, postgres, f"types?select=id&{column}={operator}.{quote(first(column))}", filter_sql(column, operator)) for operator in SIGNS]
    assert not [fault for fault in found if fault], "\n".join(fault for fault in found if fault)


def in_sql(column):
    if column.startswith("reg"):  # compared as the oids they stand for: a name is none, and whether it exists is nobody's to learn
        return f"select id from types where \"{column}\" = any('{{name}}')"
    values = ", ".join(literal(text) + (f"::{cast(column)}" if column in NO_INFERENCE else "") for text in TYPES[column][1])
    return f'select id from types where "{column}" in ({values})'


def in_url(column):
    values = ",".join('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in TYPES[column][1])
    return f"types?select=id&{column}=in.({quote(values)})"


OTHERS = {
    "in": (in_url, in_sql),
    "is null": (lambda column: f"types?select=id&{column}=is.null", lambda column: f'select id from types where "{column}" is null'),
    "is not null": (lambda column: f"types?select=id&{column}=not.is.null", lambda column: f'select id from types where not ("{column}" is null)'),
    "count": (lambda column: f"types?select={column}.count()", lambda column: f'select count("{column}") from types'),
    **{name: (lambda column, name=name: f"types?select={column}.{name}()", lambda column, name=name: f'select {name}("{column}") from types')
       for name in ("sum", "avg", "min", "max")},
    "text": (lambda column: f"types?select=id,{column}::text", lambda column: f'select id, "{column}"::text from types'),
    "group": (lambda column: f"types?select={column},count()&id=lt.4",
              lambda column: f'select "{column}", count(*) from types where id < 4 group by "{column}"'),
}
NO_ORDER = ("xid", "cid", "acl")  # psql groups by what it can hash; the gateway, which gives groups an order, does not

for _column in COLUMNS:
    for _url, _sql in OTHERS.values():
        ask(_sql(_column))


@each_type
def test_in_is_aggregates_groups_and_casts_of_each_type_are_psqls(every, postgres, column):
    asked = [pair for name, pair in OTHERS.items() if not (name == "group" and column in NO_ORDER)]
    found = [check_filter(every, postgres, url(column), sql(column)) for url, sql in asked]
    assert not [fault for fault in found if fault], "\n".join(fault for fault in found if fault)


for _column in COLUMNS:
    for _way in ("asc", "desc"):
        ask(f'select id from types order by "{_column}" {_way}, id')


@each_type
@pytest.mark.parametrize("way", ["asc", "desc"])
def test_each_type_orders_as_in_psql_whole_and_page_by_page(every, same_rows, column, way):
    sql = f'select id from types order by "{column}" {way}, id'
    same_rows(f"types?select=id&order={column}.{way},id", sql)
    answer = every.get(address(f"types?select=id&order={column}.{way},id&limit=8"))
    if answer.status_code != 200 or column == "domain_enum":  # psql has no `<` for a domain over an enum, and so no place behind a row
        return
    whole = [row["id"] for row in every.json(address(f"types?select=id&order={column}.{way},id"))]
    walked = [row["id"] for row in answer.json()]
    while "next" in answer.links:
        answer = every.get(answer.links["next"]["url"])
        assert answer.status_code == 200, answer.text
        walked += [row["id"] for row in answer.json()]
    assert walked == whole
