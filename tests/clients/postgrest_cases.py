"""What an application does with postgrest-py, unmodified; prints each answer under the name of its case. postgrest.mjs does the same in JavaScript."""
import json
import os

from postgrest import APIError, SyncPostgrestClient

BASE = os.environ["SLUICE_BASE"] + "/v1/datasets"
HEADERS = {"Authorization": f"Bearer {os.environ['SLUICE_TOKEN']}"}
rest = SyncPostgrestClient(BASE, headers=HEADERS)  # sends Accept-Profile: public
desk = SyncPostgrestClient(BASE, schema="desk", headers=HEADERS)


def buoy(*columns, **options):
    return desk.from_("buoy").select(*(columns or ("id",)), **options)


CASES = {
    "all_columns": lambda: buoy("*").order("id"),
    "columns": lambda: buoy("id", "name", "opened").eq("mood", "wild").order("id"),
    "bare_with_schema_in_its_name": lambda: rest.from_("desk.buoy").select("id").lt("id", 4).order("id"),
    "first_schema": lambda: rest.from_("weather_daily").select("region_id,day,temperature_c").eq("region_id", "AR-north-1").gte("day", "2024-02-27").lte("day", "2024-03-02").order("day"),
    "odd_name": lambda: desk.from_("Odd Name; $1").select('"Odd, column","a.b"').order('"Odd, column"'),
    "alias_and_cast": lambda: buoy("number:id::text", "since:opened").in_("id", [1, 2]).order("id"),
    "neq": lambda: buoy().neq("mood", "calm").gt("id", 50).order("id"),
    "comparisons": lambda: buoy().gt("price", 10).lte("price", 20.25).order("id"),
    "like": lambda: buoy().like("name", "buoy 1%").order("id"),
    "like_all_of": lambda: buoy().like_all_of("name", "buoy%,%1").order("id"),
    "ilike_any_of": lambda: buoy().ilike_any_of("name", "COMMA%,paren%").order("id"),
    "is_null": lambda: buoy().is_("note", None).gt("id", 50).order("id"),
    "is_true": lambda: buoy().is_("active", True).lt("id", 9).order("id"),
    "in_with_reserved_characters": lambda: buoy("id,name").in_("name", ["Comma, Place", "Paren (x)", "Łąkowo 100%", "buoy 7"]).order("id"),
    "contains_array": lambda: buoy().contains("tags", ["t1", "all"]).order("id"),
    "contains_json": lambda: buoy().contains("details", {"maker": {"name": "m2"}}).lt("id", 20).order("id"),
    "contained_by": lambda: buoy().contained_by("tags", ["t1", "t2", "all"]).order("id"),
    "overlaps": lambda: buoy().overlaps("tags", ["t3", "none"]).order("id"),
    "range_overlaps": lambda: buoy().ov("depth", "[5,6)").order("id"),
    "range_gt": lambda: buoy().filter("depth", "sr", "[0,50)").order("id"),
    "range_lt": lambda: buoy().filter("depth", "sl", "[20,30)").order("id"),
    "range_adjacent": lambda: buoy().filter("depth", "adj", "[20,30)").order("id"),
    "text_search": lambda: buoy().order("id").filter("words", "fts(english)", "drift & 12"),
    "web_search": lambda: buoy().lt("id", 15).order("id").text_search("words", "drifting -12", {"type": "web_search", "config": "english"}),
    "match": lambda: buoy().match({"mood": "calm", "active": "true"}).order("id"),
    "not": lambda: buoy().not_.in_("id", [1, 2, 3]).lt("id", 7).order("id"),
    "or": lambda: buoy().or_("id.lt.3,note.eq.note 49,and(load.gt.14.6,active.is.true)").order("id"),
    "filter": lambda: buoy().filter("id", "gte", "58").order("id"),
    "json_paths": lambda: buoy("id,details->maker->>name,far:details->meters,details->list->0").gt("details->meters", "57").order("id"),
    "order_by_json": lambda: buoy().order("details->maker->>name", desc=True).order("id").limit(5),
    "order_nulls": lambda: buoy("id,note").order("note", desc=True, nullsfirst=False).order("id", desc=True).limit(12),
    "aggregates": lambda: buoy("mood,count(),price.sum(),id.max()").order("mood"),
    "range": lambda: buoy().order("id").range(10, 19),
    "count_exact": lambda: buoy("id", count="exact").order("id").range(10, 19),
    "count_head": lambda: buoy("*", count="exact", head=True).gt("id", 40),
    "count_estimated": lambda: buoy("id", count="estimated").limit(1),
    "single": lambda: buoy("id,name").eq("id", 7).single(),
    "single_of_many": lambda: buoy().single(),
    "maybe_single": lambda: buoy("id,name").eq("id", 7).maybe_single(),
    "maybe_single_none": lambda: buoy().eq("id", 700).maybe_single(),
    "strip_nulls": lambda: buoy("id,note").in_("id", [6, 7]).order("id").strip_nulls(),
    "csv": lambda: buoy("id,name,note").lt("id", 8).order("id").csv(),
    "unknown_column": lambda: buoy().eq("nothing", 1),
    "unknown_dataset": lambda: desk.from_("nothing").select("*"),
    "wrong_value": lambda: buoy().eq("opened", "yesterday-ish"),
    "past_the_end": lambda: buoy("id", count="exact").range(100, 109),
}


def ask(request):
    try:
        answer = request.execute()
    except APIError as error:
        return {"data": None, "count": None, "error": error.json()}
    return {"data": answer.data if answer else None, "count": answer.count if answer else None, "error": None}


print(json.dumps({name: ask(case()) for name, case in CASES.items()}))
