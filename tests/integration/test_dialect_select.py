"""What is selected, JSON paths, aggregates, computed columns and order: each rule of the dialect against the same question in SQL."""
import pytest

from dialect_every import address, by_psql, every, mistakes, pairs, parse, refused, same_rows  # noqa: F401
from gateway import quote


@pairs(("papers?select=id,x:datab->foo", "select id, datab->'foo' as x from papers"),
       ("papers?select=id,data->foo", "select id, data->'foo' as foo from papers"),
       ("papers?select=id,data->>foo", "select id, data->>'foo' as foo from papers"),
       ("papers?select=id,datab->foo->bar->baz", "select id, datab->'foo'->'bar'->'baz' as baz from papers"),
       ("papers?select=id,datab->foo->bar->>baz", "select id, datab->'foo'->'bar'->>'baz' as baz from papers"),
       ("papers?select=id,datab->list->0", "select id, datab->'list'->0 as list from papers"),
       ("papers?select=id,datab->list->-1->>x", "select id, datab->'list'->-1->>'x' as x from papers"),
       ("papers?select=id,datab->list->-1", "select id, datab->'list'->-1 as list from papers"),
       ("papers?select=id,data->0", "select id, data->0 as data from papers"), ("papers?select=id,data->1->1", "select id, data->1->1 as data from papers"),
       ("papers?select=id,data->2->>k", "select id, data->2->>'k' as k from papers"),
       ('papers?select=id,datab->>"12"', "select id, datab->>'12' as \"12\" from papers"),
       ("papers?select=id,datab->>12", "select id, datab->>12 as datab from papers"),
       ("papers?select=id,datab->>1a", "select id, datab->>'1a' as \"1a\" from papers"),
       ("papers?select=id,datab->>a-b", "select id, datab->>'a-b' as \"a-b\" from papers"),
       ("papers?select=id,datab->>a b", "select id, datab->>'a b' as \"a b\" from papers"),
       ('papers?select=id,datab->>"a.b"', "select id, datab->>'a.b' as \"a.b\" from papers"),
       ('papers?select=id,datab->>"a,b"', "select id, datab->>'a,b' as \"a,b\" from papers"),
       ('papers?select=id,datab->>"q\\"t"', "select id, datab->>'q\"t' as \"q\"\"t\" from papers"),
       ("papers?select=id,datab->>$", "select id, datab->>'$' as \"$\" from papers"),
       ("papers?select=id,arr->0", "select id, to_jsonb(arr)->0 as arr from papers"),
       ("papers?select=id,arr->-1", "select id, to_jsonb(arr)->-1 as arr from papers"),
       ("papers?select=id,arr->>0", "select id, to_jsonb(arr)->>0 as arr from papers"),
       ("papers?select=id,names->1", "select id, to_jsonb(names)->1 as names from papers"),
       ("papers?select=id,c->label", "select id, to_jsonb(c)->'label' as label from papers"),
       ("papers?select=id,c->box->width", "select id, to_jsonb(c)->'box'->'width' as width from papers"),
       ('papers?select=id,c->box->>"height, m"', "select id, to_jsonb(c)->'box'->>'height, m' as \"height, m\" from papers"),
       ("papers?select=id,c->counts->0", "select id, to_jsonb(c)->'counts'->0 as counts from papers"),
       ("papers?select=id,c->extra->k->0", "select id, to_jsonb(c)->'extra'->'k'->0 as k from papers"),
       ("papers?select=id,c->>sent", "select id, to_jsonb(c)->>'sent' as sent from papers"),
       ("papers?select=id,cs->0->width", "select id, to_jsonb(cs)->0->'width' as width from papers"),
       ("papers?select=id,c->span", "select id, to_jsonb(c)->'span' as span from papers"),
       ("papers?select=id,datab->nul", "select id, datab->'nul' as nul from papers"),
       ("papers?select=id,datab->list->2->x,d:datab->list->>2", "select id, datab->'list'->2->'x' as x, datab->'list'->>2 as d from papers"),
       ("papers?select=id,datab -> foo", "select id, datab->'foo' as foo from papers"))
def test_a_json_path_reaches_into_json_arrays_and_composites_and_is_named_by_its_last_key(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("papers?select=id&datab->>foo=eq.bar", "select id from papers where datab->>'foo' = 'bar'"),
       ("papers?select=id&data->>foo=eq.bar", "select id from papers where data->>'foo' = 'bar'"),
       ("papers?select=id&datab->n=eq.10", "select id from papers where datab->'n' = '10'"),
       ("papers?select=id&datab->n=gt.1", "select id from papers where datab->'n' > '1'"),
       ("papers?select=id&data->n=gt.1", "select id from papers where (data->'n')::jsonb > '1'"),
       ('papers?select=id&datab->foo=eq."bar"', "select id from papers where datab->'foo' = '\"bar\"'"),
       ("papers?select=id&datab->list->0=eq.1", "select id from papers where datab->'list'->0 = '1'"),
       ("papers?select=id&datab->list->>-2=eq.2", "select id from papers where datab->'list'->>-2 = '2'"),
       ("papers?select=id&datab->>foo=in.(bar,baz)", "select id from papers where datab->>'foo' in ('bar', 'baz')"),
       ("papers?select=id&datab->>foo=like.ba*", "select id from papers where datab->>'foo' like 'ba%'"),
       ("papers?select=id&datab->>foo=not.is.null", "select id from papers where datab->>'foo' is not null"),
       ("papers?select=id&datab->list=cs.[1]", "select id from papers where datab->'list' @> '[1]'"),
       ("papers?select=id&arr->0=eq.10", "select id from papers where to_jsonb(arr)->0 = '10'"),
       ("papers?select=id&arr->>-1=eq.30", "select id from papers where to_jsonb(arr)->>-1 = '30'"),
       ("papers?select=id&c->>label=eq.other", "select id from papers where to_jsonb(c)->>'label' = 'other'"),
       ("papers?select=id&c->box->width=gte.1", "select id from papers where to_jsonb(c)->'box'->'width' >= '1'"),
       ("papers?select=id&or=(datab->>foo.eq.bar,c->>mood.eq.sad)", "select id from papers where id in (1, 2)"),
       ("papers?select=id&and=(datab->n.lt.5,arr->0.gt.5)", "select id from papers where id = 1 or (datab->'n' < '5' and to_jsonb(arr)->0 > '5')"),
       ("papers?select=id&datab->n=isdistinct.1", "select id from papers where datab->'n' is distinct from '1'"),
       ("papers?select=id&datab->n=in.(1,2)", "select id from papers where datab->'n' in ('1', '2')"),
       ("papers?select=id&datab->>n=eq(any).{1,2}", "select id from papers where datab->>'n' = any('{1,2}')"),
       ("papers?select=id&data->>n=gt.1", "select id from papers where data->>'n' > '1'"),
       ("papers?select=id&datab->foo->bar->>baz=eq.5", "select id from papers where id = 7"),
       ("papers?select=id&datab->>a-b=eq.dash", "select id from papers where id = 1"))
def test_a_json_path_is_filtered_by(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("papers?select=id&order=datab->>foo.desc.nullslast,id", "select id from papers order by datab->>'foo' desc nulls last, id"),
       ("papers?select=id&order=datab->n,id", "select id from papers order by datab->'n', id"),
       ("papers?select=id&order=data->>n.asc.nullsfirst,id.desc", "select id from papers order by data->>'n' nulls first, id desc"),
       ("papers?select=id&order=arr->0.desc,id", "select id from papers order by to_jsonb(arr)->0 desc, id"),
       ("papers?select=id&order=c->box->>width,id", "select id from papers order by to_jsonb(c)->'box'->>'width', id"),
       ("papers?select=id&order=datab->list->-1,id", "select id from papers order by datab->'list'->-1, id"),
       ('papers?select=id&order=datab->>"a.b".desc,id', "select id from papers order by datab->>'a.b' desc, id"))
def test_a_json_path_is_ordered_by(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("measure?select=id,t", "select id, t from measure"), ("measure?select=t,id", "select t, id from measure"),
       ("measure?select=*", "select * from measure"), ("items?select=*,doubled", "select id, id * 2 as doubled from items"),
       ("measure?select=x:id,y:t", "select id as x, t as y from measure"), ("measure?select=i::text", "select i::text from measure"),
       ("measure?select=x:i::text,id", "select i::text as x, id from measure"), ("measure?select=id::float8", "select id::float8 from measure"),
       ("measure?select=id::numeric", "select id::numeric from measure"), ("measure?select=d::timestamp", "select d::timestamp from measure"),
       ("measure?select=ts::date", "select ts::date from measure"), ("measure?select=b::int4", "select b::int4 from measure"),
       ("measure?select=m::text", "select m::text from measure"), ("spans?select=a::_text", "select a::text[] from spans"),
       ("spans?select=a::_int8", "select a::int8[] from spans"), ("spans?select=ta::text", "select ta::text from spans"),
       ("papers?select=id,datab->>n::int4", "select id, (datab->>'n')::int4 as n from papers"),
       ("papers?select=id,datab->>list::json", "select id, (datab->>'list')::json as list from papers"),
       ("papers?select=id,d:datab->>d::date", "select id, (datab->>'d')::date as d from papers"),
       ("measure?select=id::double precision", "select id::double precision from measure"),
       ("measure?select=ts::timestamp without time zone", "select ts::timestamp without time zone from measure"),
       ("measure?select=t::name", "select t::name from measure"), ("measure?select=t::bpchar", "select t::bpchar from measure"),
       ("measure?select=i::bool", "select i::bool from measure"), ("measure?select=w::text,u::text", "select w::text, u::text from measure"),
       ("measure?select=d::json", "select d::json from measure"), ("items?select=id::xml", "select id::xml from items"),
       ("measure?select= id , t ", "select id, t from measure"), ("measure?select=id,id", "select id from measure"),
       ("measure?select=*,id", "select * from measure"), ("measure?select=id,again:id", "select id, id as again from measure"),
       ('measure?select="an, alias":id', "select id as \"an, alias\" from measure"), ("measure?select=größe:id", "select id as größe from measure"),
       ("measure?select=a-b:id,c$d:t", "select id as \"a-b\", t as \"c$d\" from measure"))
def test_select_names_columns_aliases_and_casts(same_rows, url, sql):
    same_rows(url, sql)


ODD = ["a b", "a.b", "a,b", 'a"b', "a:b", "a-b", "a$b", "größe", "and_more", "orange", "null", "is", "eq", "(x)", "a->b", "*", "Upper", "a%b", "back\\slash",
       "tab\there", "a::b", "sum", "1st", "-dash", "$1", " lead", "a&b", "a=b", "a+b", "'", "😀", "select", "order", "limit", "offset", "and", "or", "not",
       "count", "cursor", "format", "columns", "on_conflict"]
BARE = ["a b", "a-b", "a$b", "größe", "and_more", "orange", "null", "is", "eq", "Upper", "sum", "1st", "$1", "😀", "select", "order", "limit", "offset", "and",
        "or", "not", "cursor", "format", "columns", "on_conflict"]


def in_quotes(name):
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def identifier(name):
    return '"' + name.replace('"', '""') + '"'


@pairs(*[(f"odd?select=id,{quote(in_quotes(name))}", f"select id, {identifier(name)} from odd") for name in ODD],
       *[(f"odd?select=id,{quote(name)}", f"select id, {identifier(name)} from odd") for name in BARE],
       *[(f"odd?select=id,x:{quote(in_quotes(name))}::text", f"select id, {identifier(name)}::text as x from odd") for name in ODD],
       *[(f"odd?select=id,{quote(in_quotes(name))}:id", f"select id, id as {identifier(name)} from odd") for name in ODD[:-11]])
def test_quoted_names_may_hold_anything_and_dashes_dollars_spaces_and_letters_need_no_quotes(same_rows, url, sql):
    same_rows(url, sql)


@pairs(*[(f"odd?select=id&order={quote(in_quotes(name))}.desc", f"select id from odd order by {identifier(name)} desc") for name in ODD],
       *[(f"odd?select=id&and=({quote(in_quotes(name))}.not.is.null,id.gt.1)", "select id from odd where id > 1") for name in ODD],
       *[(f"odd?select=id&{quote(in_quotes(name))}=not.is.null&id=gt.1",
          "select id from odd where id > 1") for name in ODD if name not in BARE or name in ("a b", "größe")],
       *[(f"odd?select={quote(in_quotes(name))}.max()", f"select max({identifier(name)}) from odd") for name in ODD])
def test_names_are_quoted_alike_in_order_trees_filters_and_aggregates(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("sales?select=count()", "select count(*) from sales"), ("sales?select=count", "select count(*) from sales"),
       ("odd?select=count&order=id", "select count from odd order by id"), ("odd?select=count()", "select count(*) from odd"),
       ("sales?select=amount.sum()", "select sum(amount) from sales"),
       ("sales?select=amount.avg(),amount.max(),amount.min(),amount.count()", "select avg(amount), max(amount), min(amount), count(amount) from sales"),
       ("sales?select=price.sum()", "select sum(price) from sales"), ("sales?select=price.avg()", "select avg(price) from sales"),
       ("sales?select=weight.sum()", "select sum(weight) from sales"),
       ("sales?select=region,amount.sum()", "select region, sum(amount) from sales group by region"),
       ("sales?select=region,product,count()", "select region, product, count(*) from sales group by region, product"),
       ("sales?select=region,total:amount.sum()&order=total.desc.nullslast",
        "select region, sum(amount) as total from sales group by region order by 2 desc nulls last"),
       ("sales?select=amount.sum()::text", "select sum(amount)::text as sum from sales"),
       ("sales?select=amount::float8.sum()", "select sum(amount::float8) as sum from sales"),
       ("sales?select=total:amount::numeric.sum()::text", "select sum(amount::numeric)::text as total from sales"),
       ("sales?select=n:count()", "select count(*) as n from sales"), ("sales?select=n:count", "select count(*) as n from sales"),
       ("sales?select=count()::text", "select count(*)::text from sales"), ("sales?select=day.max(),note.min()", "select max(day), min(note) from sales"),
       ("sales?select=k:extra->>k,amount.sum()", "select extra->>'k' as k, sum(amount) from sales group by 1"),
       ("sales?select=extra->k,count()", "select extra->'k' as k, count(*) from sales group by 1"),
       ("sales?select=v:extra->>k::text.max()", "select max(extra->>'k') as v from sales"),
       ("sales?select=amount.sum()&region=eq.north", "select sum(amount) from sales where region = 'north'"),
       ("sales?select=amount.sum()&id=lt.0", "select sum(amount) from sales where false"),
       ("sales?select=region,count()&id=lt.0", "select region, count(*) from sales where false group by 1"),
       ("sales?select=region,count()&order=region.desc", "select region, count(*) from sales group by 1 order by 1 desc"),
       ("sales?select=region,count()&order=count.desc,region&limit=1", "select region, count(*) from sales group by 1 order by 2 desc, 1 limit 1"),
       ("sales?select=r:region,count()&order=r", "select region as r, count(*) from sales group by 1 order by 1"),
       ("sales?select=day::text,count()", "select day::text, count(*) from sales group by 1"), ("items?select=doubled.sum()", "select sum(id * 2) from items"),
       ("measure?select=m.max(),ts.min(),x:n.max()", "select max(m), min(ts), max(n) as x from measure"),
       ("sales?select=amount.sum(),x:price.sum()", "select sum(amount), sum(price) as x from sales"),
       ("sales?select=region,product,amount.sum()&order=region.nullsfirst,product&offset=1&limit=2",
        "select region, product, sum(amount) from sales group by 1, 2 order by 1 nulls first, 2 offset 1 limit 2"),
       ("empty_one?select=count(),n.sum(),x:n.avg()", "select count(*), sum(n), avg(n) as x from empty_one"),
       ("spans?select=mr,count()", "select mr, count(*) from spans group by 1"), ("measure?select=w.sum(),f.avg()", "select sum(w), avg(f) from measure"))
def test_aggregates_count_sum_average_and_group_by_the_other_columns(same_rows, url, sql):
    same_rows(url, sql)


@pairs(("items?select=id,doubled,always_true&order=id", "select id, id * 2 as doubled, true as always_true from items order by id"),
       ("items?select=tags_of,id", "select array['t' || id, null] as tags_of, id from items"),
       ("items?select=tags_of->0,id", "select to_jsonb('t' || id) as tags_of, id from items"),
       ('items?select="odd name"', "select 'odd ' || id as \"odd name\" from items"),
       ("items?select=x:doubled::text&order=doubled.desc", "select (id * 2)::text as x from items order by id desc"),
       ("items?order=doubled.desc&limit=2", "select * from items order by id desc limit 2"))
def test_computed_columns_are_selected_and_ordered_by(same_rows, url, sql):
    same_rows(url, sql)


ORDERS = {"": "asc", ".asc": "asc", ".desc": "desc", ".asc.nullsfirst": "asc nulls first", ".asc.nullslast": "asc nulls last",
          ".desc.nullsfirst": "desc nulls first", ".desc.nullslast": "desc nulls last", ".nullsfirst": "asc nulls first", ".nullslast": "asc nulls last"}


@pairs(*[(f"measure?select=id&order={column}{suffix},id{second}", f"select id from measure order by {column} {sql}, id {ORDERS[second]}") for column in ("i",
    "n", "f", "t", "d") for suffix, sql in ORDERS.items() for second in ("", ".desc")],
       ("measure?select=id&order= i , id ", "select id from measure order by i, id"),
       ("measure?select=id&order=m,ts.desc,id", "select id from measure order by m, ts desc, id"),
       ("measure?select=t&order=id", "select t from measure order by id"),
       ("sales?order=region.desc.nullslast,product,amount.nullsfirst,id&select=id",
        "select id from sales order by region desc nulls last, product, amount nulls first, id"),
       ("items?order=id.desc,id.asc", "select * from items order by id desc"),
       ("many?order=h.nullsfirst,g.desc,id&limit=50&offset=590", "select * from many order by h nulls first, g desc, id limit 50 offset 590"))
def test_order_takes_directions_and_where_nulls_stand(same_rows, url, sql):
    same_rows(url, sql)


@pytest.mark.parametrize("order", ["id", "id.desc", "g,id", "h,g.desc,id", "h.desc.nullslast,g,id.desc", "h.nullsfirst,id"])
def test_the_cursor_goes_through_the_rows_of_any_order_once(every, postgres, order):
    sql = ", ".join(f"{part.split('.')[0]} {ORDERS[part[len(part.split('.')[0]):]]}" for part in order.split(","))
    found, path = [], address(f"many?select=id,h,g&order={order}&limit=700")
    while path:
        answer = every.get(path)
        assert answer.status_code == 200, answer.text
        found += parse(answer.content)
        path = answer.links.get("next", {}).get("url")
    assert found == parse(by_psql(postgres, f"select id, h, g from many order by {sql}")[1])


@mistakes(("items?order=id.descc", 400, "invalid-parameter", "order", 3, (".descc", ".asc", ".desc", ".nullsfirst", ".nullslast")),
          ("items?order=id.asc.nulls", 400, "invalid-parameter", "order", 7, ".nulls"),
          ("items?order=id.nullsfirst.asc", 400, "invalid-parameter", "order", None, ".asc"),
          ("items?order=id.asc.desc", 400, "invalid-parameter", "order", 7, ".desc"),
          ("measure?order=id,t.DESC", 400, "invalid-parameter", "order", 5, ".DESC"), ("items?order=id.", 400, "invalid-parameter", "order", 3, ()),
          ("items?order=,id", 400, "invalid-parameter", "order", 1, ()), ("items?order=id,", 400, "invalid-parameter", "order", 4, ()),
          ("items?order=id;drop", 400, "invalid-parameter", "order", 3, ()),
          ("items?order=nothing", 400, "invalid-parameter", "order", 1, ("unknown column `nothing`",)),
          ("items?order=id.desc,no_such", 400, "invalid-parameter", "order", 9, ("unknown column `no_such`",)),
          ("papers?order=data", 404, "unsupported-operator", "order", None, ("json", "no order")),
          ("sales?select=region,count()&order=amount", 400, "invalid-parameter", "order", None, "neither grouped by"))
def test_any_other_suffix_of_order_is_refused_by_its_place(refused, url, status, kind, field, column, words):
    refused(url, status, kind, field, column, words)


@mistakes(("items?select=nothing", 400, "invalid-parameter", "select", 1, "unknown column `nothing`"),
          ("measure?select=id,tt", 400, "invalid-parameter", "select", 4, ("unknown column `tt`", "did you mean `t`")),
          ("items?select=id,,id", 400, "invalid-parameter", "select", 4, ()), ("items?select=,", 400, "invalid-parameter", "select", 1, ()),
          ("items?select=id::nonsense", 400, None, None, None, ()), ("items?select=id::", 400, "invalid-parameter", "select", 5, "a type is expected"),
          ("items?select=id::int4;drop", 400, "invalid-parameter", "select", 9, ()), ("items?select=id::pg_class", 400, None, None, None, ()),
          ("items?select=id::regclass", 400, "invalid-parameter", "select", None, "not the name of a type"),
          ("items?select=id::every.mood", 400, "invalid-parameter", "select", None, ()),
          ("items?select=id::int4[]", 400, "invalid-parameter", "select", 9, "_int4"),
          ("items?select=id->x", 404, "unsupported-operator", "select", None, "no parts"),
          ("papers?select=data->>foo->bar", 400, "invalid-parameter", "select", None, "->>"),
          ("papers?select=data->", 400, "invalid-parameter", "select", 7, "JSON key"),
          ("papers?select=data->99999999999", 400, "invalid-parameter", "select", None, "32 bits"),
          ("items?select=id.median()", 400, "invalid-parameter", "select", 3, "unknown aggregate `.median`"),
          ("items?select=id.sum", 400, "invalid-parameter", "select", 3, ()),
          ("items?select=sum()", 400, "invalid-parameter", "select", None, "lacks its column"),
          ("measure?select=t.sum()", 404, "unsupported-operator", "select", None, "no sum()"),
          ("measure?select=b.max()", 404, "unsupported-operator", "select", None, "no max()"),
          ("items?select=other(id)", 400, "invalid-parameter", "select", None, "embedding"),
          ("items?select=...other(id)", 400, "invalid-parameter", "select", 1, "embedding"),
          ("items?select=a:other!inner(*)", 400, "invalid-parameter", "select", None, "embedding"),
          ("items?select=:id", 400, "invalid-parameter", "select", 1, ()), ('items?select="id', 400, "invalid-parameter", "select", 1, "quoted"),
          ("sales?select=amount.sum(),price.sum()", 400, "invalid-parameter", "select", None, "alias"),
          ("measure?select=id,id:t", 400, "invalid-parameter", "select", None, "alias"), ("items?select=id)", 400, "invalid-parameter", "select", 3, ()),
          ("measure?select=t::uuid", 400, None, None, None, "not of the type"),
          ("papers?select=data,count()", 404, "unsupported-operator", "select", None, "grouped"))
def test_what_select_does_not_know_is_refused_by_its_place(refused, url, status, kind, field, column, words):
    refused(url, status, kind, field, column, words)
