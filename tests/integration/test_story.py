"""Two stories on the real files: a customer with curl alone, from the upload to what is shared (case 4), and a pipeline that loads the days of
a warehouse one by one and is run again (case 2)."""
import csv
import json
import re
import subprocess
import sys
from collections import Counter
from decimal import Decimal

import pytest

from conftest import make_template, start_gateway
from gateway import ROOT, token, write_secret
from office import LOGIN_KEY, Office
from wait import eventually

FOLDER = ROOT.parent / "shared/data"
pytestmark = pytest.mark.skipif(not (FOLDER / "weather_daily.csv").is_file(), reason=f"{FOLDER} is not there")
WRITER_PASSWORD = "of the writer of the story"
CUSTOMER, PARTNER = "trader", "friend"
SCOPE = "datasets:read uploads:write analytics:write"


@pytest.fixture(scope="module")
def world(postgres, redis, tmp_path_factory):
    """A gateway on the loaded files with two customers and a writer."""
    folder = tmp_path_factory.mktemp("story")
    make_template(postgres, "story")
    postgres.psql("story", ROOT / "sql/load_data.sql", folder=FOLDER)
    postgres.query("story", f"alter role sluice_writer password '{WRITER_PASSWORD}'; grant usage on schema warehouse to sluice_writer;"
                            "grant select, insert, update, delete on warehouse.weather_daily, warehouse.market_daily to sluice_writer")
    office = Office(postgres, "story", folder)
    for name in (CUSTOMER, PARTNER):
        office.ok("add", name)
    changes = {"customers": {"login_key_file": write_secret(folder, "login.key", LOGIN_KEY)},
               "database": {"writer": {"user": "sluice_writer", "password_file": write_secret(folder, "writer.password", WRITER_PASSWORD)}},
               "warehouse": {"loadable": [{"dataset": name, "table": f"warehouse.{name}"} for name in ("weather_daily", "market_daily")]}}
    gateway = start_gateway(folder, postgres, redis, "story", changes)
    yield gateway
    gateway.stop()
    for name in (CUSTOMER, PARTNER):
        office.erase(name)
    postgres.drop("story")


class Curl:
    """curl, as a customer types it."""

    def __init__(self, gateway, customer, folder):
        self.base, self.folder, self.bearer = gateway.base, folder, token(customer=customer, scope=SCOPE)

    def __call__(self, path, *words, wanted=200):
        out = self.folder / "answer"
        out.unlink(missing_ok=True)
        done = subprocess.run(["curl", "-sS", "-g", "-o", str(out), "-w", "%{http_code}", "-H", f"Authorization: Bearer {self.bearer}", *map(str, words),
                               self.base + path], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        body = out.read_bytes() if out.exists() else b""
        assert int(done.stdout) in (wanted if isinstance(wanted, tuple) else (wanted,)), f"{path}: {done.stdout} {body[:600]}"
        return json.loads(body, parse_float=Decimal) if body[:1] in b"[{" and body else body

    def json(self, path, document, method="PUT", **more):
        return self(path, "-X", method, "-H", "Content-Type: application/json", "-d", json.dumps(document), **more)


def file_of(name):
    with open(FOLDER / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.timeout(300)
def test_a_customer_brings_a_file_and_takes_its_answers_out_with_curl_alone(world, tmp_path):
    curl, partner = Curl(world, CUSTOMER, tmp_path), Curl(world, PARTNER, tmp_path)
    lines = file_of("market_daily.csv")

    # The upload. Its key is refused, because the file has days that stand twice; without a key it is taken as it is.
    market = FOLDER / "market_daily.csv"
    refused = curl("/v1/uploads/prices?key=ISO3%20Code,Date", "-T", market, wanted=422)
    twice = {key for key, times in Counter((line["ISO3 Code"], line["Date"]) for line in lines).items() if times > 1}
    assert any(f"{code}, {day}" in refused["detail"] for code, day in twice), refused["detail"]
    curl("/v1/uploads/prices", wanted=404)
    told = curl("/v1/uploads/prices", "-T", market, wanted=201)
    assert (told["rows"], told["quarantined"], told["bytes"]) == (len(lines), 0, market.stat().st_size)
    assert [(one["name"], one["type"]) for one in told["columns"]] == [
        ("Country", "text"), ("ISO3 Code", "text"), ("Date", "date"), ("Price (EUR/MWhe)", "numeric")]
    assert curl("/v1/uploads/prices")["rows"] == len(lines)

    # Its rows, with filters, to the last digit.
    rows = curl("/v1/datasets/uploads.prices?ISO3%20Code=eq.BGR&Date=gte.2021-10-01&Date=lt.2021-11-01&order=Date")
    wanted = [line for line in lines if line["ISO3 Code"] == "BGR" and line["Date"].startswith("2021-10")]
    assert [(row["Date"], row["Price (EUR/MWhe)"]) for row in rows] == [(line["Date"], Decimal(line["Price (EUR/MWhe)"])) for line in wanted]
    empty = curl("/v1/datasets/uploads.prices?%22Price%20(EUR/MWhe)%22=is.null&limit=1000")
    assert len(empty) == sum(1 for line in lines if not line["Price (EUR/MWhe)"])
    text = curl("/v1/datasets/uploads.prices?ISO3%20Code=eq.GBR&format=csv")
    assert len(text.splitlines()) == 1 + sum(1 for line in lines if line["ISO3 Code"] == "GBR")

    # A file with bad rows: refused with its line; with a share of bad rows allowed they are kept aside.
    plants = tmp_path / "plants.csv"
    plants.write_text("plant;region;day;output_mwh\nP1;BG-sofia;2021-10-01;1,5\nP1;BG-sofia;2021-10-02;2,25\nP2;BG-plovdiv;2021-10-01;7\nP2;BG-plovdiv;7\n")
    assert curl("/v1/uploads/plants", "-T", plants, wanted=422)["errors"][0]["line"] == 5
    told = curl("/v1/uploads/plants?max_bad=0.3&key=plant,day", "-T", plants, wanted=201)
    assert (told["rows"], told["quarantined"], told["bad"][0]["line"]) == (3, 1, 5)
    assert told["guessed"]["delimiter"] == ";" and told["guessed"]["decimal"] == "comma"
    aside = curl("/v1/uploads/plants/quarantine")
    assert [(one["line"], one["raw"]) for one in aside["rows"]] == [(5, "P2;BG-plovdiv;7")]

    # More rows, changed rows, and all anew.
    plants.write_text("plant,region,day,output_mwh\nP2,BG-plovdiv,2021-10-02,8.5\n")
    assert curl("/v1/uploads/plants?mode=append", "-T", plants)["inserted"] == 1
    plants.write_text("plant,region,day,output_mwh\nP2,BG-plovdiv,2021-10-02,9\nP3,BG-varna,2021-10-01,0.125\n")
    told = curl("/v1/uploads/plants?mode=upsert&key=plant,day", "-T", plants)
    assert (told["inserted"], told["updated"]) == (1, 1)
    assert [row["output_mwh"] for row in curl("/v1/datasets/uploads.plants?order=plant,day")] == [Decimal("1.5"), Decimal("2.25"), 7, 9, Decimal("0.125")]

    # Joined with weather and market in one question.
    sql = ("select p.plant, p.day, p.output_mwh, w.temperature_c, m.price_eur_mwh, p.output_mwh * m.price_eur_mwh as revenue "
           "from uploads.plants p join weather_daily w on w.region_id = p.region and w.day = p.day "
           "join market_daily m on m.region_id = 'BGR' and m.day = p.day")
    asked = curl.json("/v1/query", {"sql": f"{sql} where p.day >= :since order by p.plant, p.day", "parameters": {"since": "2021-10-02"}}, "POST")
    price = {line["Date"]: Decimal(line["Price (EUR/MWhe)"]) for line in lines if line["ISO3 Code"] == "BGR" and line["Date"].startswith("2021-10")}
    warm = {(line["city"], line["date"]): line["temperature_c"] for line in file_of("weather_daily.csv")}
    assert [(row["plant"], row["day"], row["revenue"]) for row in asked] == [
        ("P1", "2021-10-02", Decimal("2.25") * price["2021-10-02"]), ("P2", "2021-10-02", 9 * price["2021-10-02"])]
    assert float(asked[0]["temperature_c"]) == float(warm["Sofia", "2021-10-02"])

    # Saved as a view and as a table, read with filters. The view has new rows at once, the table when it is refreshed.
    curl.json("/v1/analytics/revenue", {"sql": sql, "description": "What the plants earn"}, wanted=201)
    curl.json("/v1/analytics/monthly", {"sql": "select plant, date_trunc('month', day)::date as month, sum(revenue) as revenue from analytics.revenue group by 1, 2",
                                        "as": "table"}, wanted=201)
    by_plant = {row["plant"]: row["revenue"] for row in curl("/v1/datasets/analytics.monthly?order=plant")}
    assert by_plant["P1"] == Decimal("1.5") * price["2021-10-01"] + Decimal("2.25") * price["2021-10-02"]
    assert len(curl("/v1/datasets/analytics.revenue?plant=eq.P3")) == 1
    plants.write_text("plant,region,day,output_mwh\nP1,BG-sofia,2021-10-03,4\n")
    curl("/v1/uploads/plants?mode=append", "-T", plants)
    eventually(lambda: len(curl("/v1/datasets/analytics.revenue?plant=eq.P1")) == 3, within=5, says="the view's new row")
    assert curl("/v1/datasets/analytics.monthly?plant=eq.P1")[0]["revenue"] == by_plant["P1"]
    curl("/v1/analytics/monthly/refresh", "-X", "POST")
    eventually(lambda: curl("/v1/datasets/analytics.monthly?plant=eq.P1")[0]["revenue"] == by_plant["P1"] + 4 * price["2021-10-03"], within=5, says="the table's new sum")

    # All anew, under the view that reads it.
    plants.write_text("plant,region,day,output_mwh\nP9,BG-sofia,2021-10-01,10\n")
    curl("/v1/uploads/plants?key=plant,day", "-T", plants)
    eventually(lambda: [row["plant"] for row in curl("/v1/datasets/analytics.revenue")] == ["P9"], within=5, says="the new file's rows in the view")

    # Shared with one other customer, read only, and revoked at once.
    shared = f"/v1/datasets/shared.{CUSTOMER}.monthly"
    for name in ("analytics.monthly", "uploads.plants", f"shared.{CUSTOMER}.monthly"):
        partner(f"/v1/datasets/{name}", wanted=404)
    curl(f"/v1/analytics/monthly/shares/{PARTNER}", "-X", "PUT", wanted=204)
    assert [one["reader"] for one in curl("/v1/analytics/monthly/shares")["shares"]] == [PARTNER]
    eventually(lambda: {row["plant"] for row in partner(shared)} == {"P1", "P2", "P3"}, within=5, says="the shared rows")
    partner("/v1/analytics/monthly", "-X", "DELETE", wanted=404)
    partner(f"/v1/datasets/shared.{CUSTOMER}.revenue", wanted=404)
    curl(f"/v1/analytics/monthly/shares/{PARTNER}", "-X", "DELETE", wanted=204)
    partner(shared, wanted=404)

    # Deleted in the order of what reads what.
    assert "analytics.revenue" in curl("/v1/uploads/plants", "-X", "DELETE", wanted=409)["detail"]
    assert "analytics.monthly" in curl("/v1/analytics/revenue", "-X", "DELETE", wanted=409)["detail"]
    for path in ("/v1/analytics/monthly", "/v1/analytics/revenue", "/v1/uploads/plants", "/v1/uploads/prices"):
        curl(path, "-X", "DELETE", wanted=204)
        curl(path, wanted=404)
    assert curl("/v1/uploads") == {"uploads": [], "next": None}


# What an operator of Airflow would run for each day of its schedule: standard library only.
DAG = '''
import csv, datetime, hashlib, io, sys, time, urllib.error, urllib.request
base, bearer, folder, first, last = sys.argv[1:]
CODES = {"Sofia": "BG-sofia", "Plovdiv": "BG-plovdiv", "Varna": "BG-varna", "Burgas": "BG-burgas", "Ruse": "BG-ruse"}

def extract_weather(day):
    with open(folder + "/weather_daily.csv", encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["date"] == day and line["city"] in CODES:
                yield {"region_id": CODES[line["city"]], "day": day, **{name: line[name] for name in line if name not in ("city", "date")}}

def extract_market(day):
    with open(folder + "/market_daily.csv", encoding="utf-8", newline="") as file:
        found = {line["ISO3 Code"]: line["Price (EUR/MWhe)"] for line in csv.DictReader(file) if line["Date"] == day}
    return ({"region_id": code, "day": day, "price_eur_mwh": price} for code, price in sorted(found.items()))

def load(dataset, day, rows):
    rows, out = list(rows), io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    body = out.getvalue().encode()
    key = f"{dataset}-{day}-" + hashlib.sha256(body).hexdigest()[:16]
    request = urllib.request.Request(f"{base}/v1/datasets/{dataset}/rows?mode=replace&day=eq.{day}", body, method="PUT", headers={
        "Authorization": "Bearer " + bearer, "Content-Type": "text/csv", "Idempotency-Key": key})
    for attempt in range(5):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                print(dataset, day, answer.status, len(rows))
                return
        except urllib.error.HTTPError as error:
            if error.code not in (409, 429, 503) or attempt == 4:
                sys.exit(f"{dataset} {day}: {error.code} {error.read().decode()}")
            time.sleep(int(error.headers.get("Retry-After", 1)))

day = datetime.date.fromisoformat(first)
while day <= datetime.date.fromisoformat(last):
    for dataset, extract in (("weather_daily", extract_weather), ("market_daily", extract_market)):
        load(dataset, day.isoformat(), extract(day.isoformat()))
    day += datetime.timedelta(1)
'''


@pytest.mark.timeout(300)
def test_a_pipeline_loads_days_and_run_again_changes_nothing(world, postgres, tmp_path):
    script = tmp_path / "daily.py"
    script.write_text(DAG)
    first, last = "2021-10-01", "2021-10-05"
    tables = ("weather_daily", "market_daily")

    def rows():
        return {table: postgres.query("story", f"select t::text from warehouse.{table} t order by 1") for table in tables}

    def run(bearer=None):
        bearer = bearer or token(customer="pipeline", scope="warehouse:write")
        return subprocess.run([sys.executable, script, world.base, bearer, FOLDER, first, last], capture_output=True, text=True, timeout=200, check=False)

    before, reader = rows(), token(customer="pipeline")
    path = f"/v1/datasets/market_daily?day=eq.{first}&region_id=eq.BGR"
    # A day that was loaded badly: the pipeline puts it right.
    postgres.query("story", f"delete from warehouse.weather_daily where day = '{first}' and region_id = 'BG-sofia'; "
                            f"update warehouse.market_daily set price_eur_mwh = -1 where day between '{first}' and '{last}'")
    eventually(lambda: world.json(path, bearer=reader)[0]["price_eur_mwh"] == -1, within=5, says="the wrong price")
    assert "missing-scope" in run(reader).stderr
    for _ in range(2):
        done = run()
        assert done.returncode == 0, done.stderr
        assert re.findall(r"weather_daily \S+ 200 5", done.stdout) and len(done.stdout.splitlines()) == 10
        assert rows() == before
    price = next(line["Price (EUR/MWhe)"] for line in file_of("market_daily.csv") if line["ISO3 Code"] == "BGR" and line["Date"] == first)
    eventually(lambda: world.json(path, bearer=reader)[0]["price_eur_mwh"] == float(price), within=1.5, says="the right price, in the promised time")
    # A backfill with the file of another day is refused whole.
    answer = world.get(f"/v1/datasets/market_daily/rows?mode=replace&day=eq.{first}", method="PUT", data=f"region_id,day,price_eur_mwh\nBGR,{last},1\n",
                       bearer=token(customer="pipeline", scope="warehouse:write"))
    assert answer.status_code == 422 and answer.json()["errors"][0]["line"] == 2
    assert rows() == before
