"""What an analyst does with pandas; prints what came out of it."""
import json
import os

import pandas

BASE = os.environ["SLUICE_BASE"] + "/v1/datasets"
HEADERS = {"Authorization": f"Bearer {os.environ['SLUICE_TOKEN']}"}

csv = pandas.read_csv(f"{BASE}/weather_daily?select=region_id,day,temperature_c&region_id=eq.AR-north-1&day=gte.2024-01-01&day=lt.2025-01-01&order=day&format=csv",
                      storage_options=HEADERS, parse_dates=["day"], index_col="day")
monthly = csv["temperature_c"].resample("MS").mean()
packed = pandas.read_csv(f"{BASE}/desk.many?order=id", storage_options={**HEADERS, "Accept": "text/csv", "Accept-Encoding": "gzip"})
rows = pandas.read_json(f"{BASE}/desk.many?order=id", storage_options=HEADERS)
lines = pandas.read_json(f"{BASE}/desk.many?order=id&format=ndjson", storage_options=HEADERS, lines=True)
buoys = pandas.read_csv(f"{BASE}/desk.buoy?select=id,name,note,load,active,tags&order=id&format=csv", storage_options=HEADERS)
print(json.dumps({
    "types": {name: str(kind) for name, kind in csv.dtypes.items()}, "index": str(csv.index.dtype.kind), "days": len(csv),
    "monthly": [round(value, 9) for value in monthly], "nulls": int(csv["temperature_c"].isna().sum()),
    "many": [int(packed["id"].sum()), len(packed)], "json": [int(rows["id"].sum()), len(rows)], "ndjson": [int(lines["id"].sum()), len(lines)],
    "names": list(buoys["name"]), "notes": int(buoys["note"].notna().sum()), "infinite": [str(value) for value in buoys["load"][10:12]],
    "active": int(buoys["active"].sum()), "tags": json.loads(buoys["tags"][0])}))
