-- The demo warehouse: an invented continent with 40 regions and 15 years of days. Run with psql by the database's owner, after `sluice migrate`.
--
-- Deterministic: what looks random is the MD5 of region and day, so that every machine gets the same rows. Run again, it fills nothing twice.
-- The dirt is on purpose, because real sources have it: missing days, nulls, negative prices, sources that end early.
\set ON_ERROR_STOP on
\set QUIET on
begin;
set local client_min_messages = warning;
set local synchronous_commit = off;
\ir shape.sql

-- Regions: 4 countries, 12 states, 24 cities. Tyrland lies across the antimeridian; some names need escaping in JSON, CSV or LIKE.
insert into warehouse.region (region_id, name, kind, parent_id, longitude, latitude, attributes)
select id, name, kind, nullif(regexp_replace(id, '-?[^-]+$', ''), ''), longitude, latitude,
       case when timezone is null then '{}'
            else jsonb_strip_nulls(jsonb_build_object('population', population, 'timezone', timezone, 'elevation_m', elevation,
                                                      'coastal', coastal, 'climate', jsonb_build_object('zone', zone))) end
  from (values
    ('AR',           'Arvonia',             'country',   4.80,  47.20,  9120400, 'Europe/Paris',     412, true,  'Cfb'),
    ('AR-north',     'Upper Arvonia',       'state',     4.10,  49.30,  2874000, 'Europe/Paris',     138, false, 'Cfb'),
    ('AR-north-1',   'Lindbourg',           'city',      3.92,  49.41,   611200, 'Europe/Paris',     104, false, 'Cfb'),
    ('AR-north-2',   'Saint-Orlé',          'city',      4.63,  49.05,   143900, 'Europe/Paris',     187, false, 'Cfb'),
    ('AR-coast',     'Arvon Coast',         'state',     1.20,  46.40,  3410800, 'Europe/Paris',      31, true,  'Cfb'),
    ('AR-coast-1',   'Port Maubert',        'city',      0.97,  46.52,   902300, 'Europe/Paris',       6, true,  'Cfb'),
    ('AR-coast-2',   'Belle-Anse',          'city',      1.44,  45.93,    88100, 'Europe/Paris',      12, true,  'Cfb'),
    ('AR-alps',      'Haute Vallée',        'state',     6.90,  45.60,  2835600, 'Europe/Paris',    1240, false, 'Dfc'),
    ('AR-alps-1',    'Montclair',           'city',      6.71,  45.72,   204500, 'Europe/Paris',     921, false, 'Dfb'),
    ('AR-alps-2',    'Col du Nant',         'city',      7.08,  45.41,     9700, 'Europe/Paris',    2106, false, 'ET'),
    ('KE',           'Kestria',             'country',  21.30,  52.60, 14880300, 'Europe/Warsaw',    171, true,  'Dfb'),
    ('KE-baltic',    'Kestrian Baltic',     'state',    19.80,  54.50,  4106000, 'Europe/Warsaw',     28, true,  'Dfb'),
    ('KE-baltic-1',  'Šelno',               'city',     19.64,  54.61,   534800, 'Europe/Warsaw',      9, true,  'Dfb'),
    ('KE-baltic-2',  'Łąkowo',              'city',     20.11,  54.27,    97600, 'Europe/Warsaw',     44, false, 'Dfb'),
    ('KE-plain',     'Great Plain',         'state',    21.60,  52.30,  7551200, 'Europe/Warsaw',     112, false, 'Dfb'),
    ('KE-plain-1',   'Kestrgrad',           'city',     21.47,  52.41,  1983500, 'Europe/Warsaw',     108, false, 'Dfb'),
    ('KE-plain-2',   'Brod na Wisli',       'city',     21.92,  52.08,   310400, 'Europe/Warsaw',      93, false, 'Dfb'),
    ('KE-south',     'Kestrian Highlands',  'state',    22.10,  50.10,  3223100, 'Europe/Warsaw',     468, false, 'Dfb'),
    ('KE-south-1',   'Vysoka',              'city',     22.02,  50.17,   265900, 'Europe/Warsaw',     512, false, 'Dfb'),
    ('KE-south-2',   'O''Dell''s Ford',     'city',     22.38,  49.92,    18300, 'Europe/Warsaw',     389, false, 'Dfb'),
    ('MO',           'Morvania',            'country',  -7.90,  40.10,  6204700, 'Europe/Lisbon',    358, true,  'Csa'),
    ('MO-north',     'Morvan North',        'state',    -8.20,  42.00,  2380500, 'Europe/Lisbon',    266, true,  'Csb'),
    ('MO-north-1',   'Vila do Carvalho',    'city',     -8.41,  42.12,   417700, 'Europe/Lisbon',     71, true,  'Csb'),
    ('MO-north-2',   'São Telmo',           'city',     -7.83,  41.87,    66200, 'Europe/Lisbon',    304, false, 'Csb'),
    ('MO-centre',    'Morvan Centre',       'state',    -7.60,  40.00,  2519900, 'Europe/Lisbon',    431, false, 'Csa'),
    ('MO-centre-1',  'Alcâmora',            'city',     -7.52,  40.08,   728400, 'Europe/Lisbon',    388, false, 'Csa'),
    ('MO-centre-2',  'Ponte Seca',          'city',     -7.21,  39.71,    31800, 'Europe/Lisbon',    502, false, 'BSk'),
    ('MO-south',     'Morvan South',        'state',    -8.10,  37.90,  1304300, 'Europe/Lisbon',    145, true,  'Csa'),
    ('MO-south-1',   'Faro Velho',          'city',     -8.02,  37.84,   189600, 'Europe/Lisbon',     14, true,  'Csa'),
    ('MO-south-2',   'Porto "Velho" 100%',  'city',     -8.47,  37.96,    11400, 'Europe/Lisbon',      5, true,  'Csa'),
    ('TY',           'Tyrland',             'country', 179.60, -17.30,  1108200, 'Pacific/Fiji',      96, true,  'Af'),
    ('TY-west',      'Tyr West',            'state',   178.90, -17.60,   671500, 'Pacific/Fiji',     120, true,  'Af'),
    ('TY-west-1',    'Vatulani',            'city',    178.74, -17.71,   283400, 'Pacific/Fiji',       8, true,  'Af'),
    ('TY-west-2',    'Nabou_ni',            'city',    179.12, -17.44,    40900, 'Pacific/Fiji',      37, true,  'Af'),
    ('TY-east',      'Tyr East',            'state',  -179.40, -16.90,   324800, 'Pacific/Fiji',      84, true,  'Af'),
    ('TY-east-1',    'Taveu',               'city',   -179.31, -16.84,   101300, 'Pacific/Fiji',      15, true,  'Af'),
    ('TY-east-2',    'Rambi',               'city',   -179.88, -16.51,     7900, 'Pacific/Fiji',       4, true,  'Af'),
    ('TY-outer',     'Outer Islands',       'state',  -178.60, -18.20,   111900, 'Pacific/Fiji',      11, true,  'Af'),
    ('TY-outer-1',   'Lakemoa',             'city',   -178.78, -18.22,    26700, 'Pacific/Fiji',       3, true,  'Af'),
    ('TY-outer-2',   'Ono',                 'city',   -178.71, -20.65,     null, null,              null, null,  null)
  ) as r (id, name, kind, longitude, latitude, population, timezone, elevation, coastal, zone)
on conflict (region_id) do nothing;

-- Four numbers in [0, 1) from a text, always the same ones.
create or replace function warehouse.demo_noise(seed text) returns double precision[]
    language sql immutable strict parallel safe
    return (select array[('x' || substr(m, 1, 8))::bit(32)::bigint / 4294967296.0, ('x' || substr(m, 9, 8))::bit(32)::bigint / 4294967296.0,
                         ('x' || substr(m, 17, 8))::bit(32)::bigint / 4294967296.0, ('x' || substr(m, 25, 8))::bit(32)::bigint / 4294967296.0]
              from md5(seed) as m);

-- The weather that a place would have on a day: seasons by latitude and hemisphere, cold by height, a slow wave over weeks, and noise.
create or replace function warehouse.demo_weather(seed text, day date, latitude double precision, elevation double precision)
    returns table (temperature_c double precision, precipitation_mm double precision, wind_kmh double precision, cloud_pct double precision, snowfall_cm double precision)
    rows 1 language sql immutable parallel safe
as $$
    select round(t::numeric, 1)::double precision, round(p::numeric, 1)::double precision,
           round((4 + 38 * n[3] * n[3] + 6 * wet)::numeric, 1)::double precision, round((100 * wet)::numeric, 0)::double precision,
           case when t < 1 then round((p * 0.7)::numeric, 1)::double precision else 0 end
      from (select n, wet, 29 - 0.42 * abs(latitude) - 0.0062 * elevation
                           - sign(latitude) * abs(latitude) * 0.23 * cos(2 * pi() * (extract(doy from day) - 20) / 365.25)
                           + 3 * sin(2 * pi() * (day - date '2011-01-01') / 19.3 + latitude) + 7 * (n[1] - 0.5)
                           + 0.04 * (extract(year from day) - 2011) as t,
                   case when wet > 0.62 then 42 * (wet - 0.62) * (0.2 + n[4]) else 0 end as p
              from (select n, least(1, greatest(0, 0.45 + 0.25 * sin(2 * pi() * (day - date '2011-01-01') / 11.7 + latitude / 3) + 0.9 * (n[2] - 0.5))) as wet
                      from (select warehouse.demo_noise(seed || day) as n offset 0) noise offset 0) clouds offset 0) sky
$$;

create table if not exists warehouse.weather_daily (
    region_id text not null, day date not null,
    temperature_c double precision, precipitation_mm double precision, wind_kmh double precision, cloud_pct double precision, snowfall_cm double precision,
    primary key (region_id, day)
);
comment on table warehouse.weather_daily is 'Measured weather, a row a region and day; days are missing where a station was silent. Expected lag: 1 day';

-- Missing: one day in 250 anywhere, and Ono's station was down for the whole of 2017's cyclone season. Null: a broken gauge a measure.
insert into warehouse.weather_daily
select r.region_id, d.day, case when hole[1] < 0.003 then null else w.temperature_c end, case when hole[2] < 0.008 then null else w.precipitation_mm end,
       case when hole[3] < 0.01 then null else w.wind_kmh end, case when r.region_id = 'AR-alps-2' and d.day < '2013-06-01' then null else w.cloud_pct end,
       case when hole[2] < 0.008 then null else w.snowfall_cm end
  from warehouse.region r
 cross join lateral (select date '2011-01-01' + n as day from generate_series(0, date '2025-12-31' - date '2011-01-01') as n) d
 cross join lateral warehouse.demo_noise('hole' || r.region_id || d.day) as hole
 cross join lateral warehouse.demo_weather(r.region_id, d.day, r.latitude, coalesce((r.attributes ->> 'elevation_m')::double precision, 5)) as w
 where hole[4] >= 0.004 and not (r.region_id = 'TY-outer-2' and d.day between '2017-02-11' and '2017-04-30')
   and not exists (select from warehouse.weather_daily)
 order by r.region_id, d.day;

create table if not exists warehouse.weather_forecast (
    region_id text not null, day date not null, issued_on date not null,
    temperature_c double precision, precipitation_mm double precision, wind_kmh double precision, cloud_pct double precision, snowfall_cm double precision,
    primary key (region_id, day)
);
comment on table warehouse.weather_forecast is 'The latest forecast of the seven days after issued_on. Expected lag: none';
insert into warehouse.weather_forecast
select r.region_id, d.day, date '2025-12-31', w.temperature_c, w.precipitation_mm, w.wind_kmh, w.cloud_pct, w.snowfall_cm
  from warehouse.region r
 cross join lateral (select date '2025-12-31' + n as day from generate_series(1, 7) as n) d
 cross join lateral warehouse.demo_weather(r.region_id, d.day, r.latitude, coalesce((r.attributes ->> 'elevation_m')::double precision, 5)) as w
 where not exists (select from warehouse.weather_forecast);

-- The market is traded in the countries and three of the states; all others look to their ancestors. It ends four days before the weather, Tyrland's six.
create table if not exists warehouse.market_daily (
    region_id text not null, day date not null, interest_index numeric, price_eur_mwh numeric,
    primary key (region_id, day)
);
comment on table warehouse.market_daily is 'Day-ahead market, a row a trading region and day. Expected lag: 4 days';
insert into warehouse.market_daily
select m.region_id, d.day, case when hole[1] < 0.006 then null else round((50 + 22 * sin(2 * pi() * age / 365.25 + m.base) + 18 * (n[1] - 0.5) + age / 400.0)::numeric, 2) end,
       case when hole[2] < 0.004 then null
            -- Spikes in a cold week, below zero on a windy weekend.
            when n[3] < 0.012 then -round((60 * n[4])::numeric, 2)
            else round((m.base + 26 * cos(2 * pi() * (extract(doy from d.day) - 15) / 365.25) - case when extract(isodow from d.day) >= 6 then 14 else 0 end
                        + 30 * (n[2] - 0.5) + case when d.day between '2021-09-01' and '2023-02-28' then 140 * (0.4 + n[4]) else 0 end)::numeric, 2) end
  from (values ('AR', 52, date '2011-01-01'), ('KE', 47, date '2011-01-01'), ('MO', 44, date '2013-07-01'), ('TY', 118, date '2016-01-01'),
               ('AR-alps', 49, date '2011-01-01'), ('KE-plain', 46, date '2011-01-01'), ('MO-south', 41, date '2018-04-01')) as m (region_id, base, since)
 cross join lateral (select day, day - date '2011-01-01' as age
                       from (select m.since + n as day from generate_series(0, date '2025-12-27' - m.since - case when m.region_id = 'TY' then 2 else 0 end) as n) x) d
 cross join lateral warehouse.demo_noise('market' || m.region_id || d.day) as n
 cross join lateral warehouse.demo_noise('gap' || m.region_id || d.day) as hole
 where hole[4] >= 0.002 and not exists (select from warehouse.market_daily)
 order by m.region_id, d.day;

-- Two bought sources with manners of their own: one comes late, the other seldom.
create table if not exists warehouse.source_a (
    region_id text not null, day date not null, visitors bigint, spend_eur numeric,
    primary key (region_id, day)
);
comment on table warehouse.source_a is 'Footfall of the cities, daily. Expected lag: 3 days';
comment on column warehouse.source_a.visitors is 'Visitors counted in the centre [people; sum]';
comment on column warehouse.source_a.spend_eur is 'Card payments in the centre [EUR; sum]';
insert into warehouse.source_a
select r.region_id, d.day, visitors, case when n[3] < 0.02 then null else round((visitors * (11 + 9 * n[2]))::numeric, 2) end
  from warehouse.region r
 cross join lateral (select date '2023-01-01' + n as day from generate_series(0, date '2025-12-28' - date '2023-01-01') as n) d
 cross join lateral warehouse.demo_noise('a' || r.region_id || d.day) as n
 cross join lateral (select ((r.attributes ->> 'population')::double precision / 40 * (0.6 + 0.5 * n[1])
                             * case when extract(isodow from d.day) = 7 then 0.4 else 1 end)::bigint as visitors) v
 where r.kind = 'city' and n[4] >= 0.005 and not exists (select from warehouse.source_a)
 order by r.region_id, d.day;

create table if not exists warehouse.source_b (
    region_id text not null, day date not null, vegetation_index double precision, soil_moisture_pct double precision,
    primary key (region_id, day)
);
comment on table warehouse.source_b is 'Satellite passes over the states, one every 14 days. Expected lag: 14 days';
comment on column warehouse.source_b.vegetation_index is 'Vegetation index NDVI, -1 to 1 [1; mean]';
comment on column warehouse.source_b.soil_moisture_pct is 'Soil moisture, upper 10 cm [%; mean]';
insert into warehouse.source_b
select r.region_id, d.day, case when n[2] < 0.06 then null else round((0.45 - sign(r.latitude) * 0.22 * cos(2 * pi() * (extract(doy from d.day) - 20) / 365.25) + 0.1 * (n[1] - 0.5))::numeric, 3)::double precision end,
       round((22 + 14 * n[3])::numeric, 1)::double precision
  from warehouse.region r
 cross join lateral (select date '2016-01-06' + 14 * n as day from generate_series(0, (date '2025-12-31' - date '2016-01-06') / 14) as n) d
 cross join lateral warehouse.demo_noise('b' || r.region_id || d.day) as n
 where r.kind = 'state' and not exists (select from warehouse.source_b)
 order by r.region_id, d.day;

drop function warehouse.demo_weather;
drop function warehouse.demo_noise;

-- What the gateway serves. Its measures are the views' numeric columns; the comments say "words [unit; how to aggregate]".
create or replace view serving.weather_daily as
select region_id, day, temperature_c, precipitation_mm, wind_kmh, cloud_pct, snowfall_cm from warehouse.weather_daily;
comment on view serving.weather_daily is 'Measured weather by region and day';
comment on column serving.weather_daily.temperature_c is 'Mean air temperature [°C; mean]';
comment on column serving.weather_daily.precipitation_mm is 'Precipitation [mm; sum]';
comment on column serving.weather_daily.wind_kmh is 'Mean wind speed at 10 m [km/h; mean]';
comment on column serving.weather_daily.cloud_pct is 'Cloud cover [%; mean]';
comment on column serving.weather_daily.snowfall_cm is 'Snowfall [cm; sum]';

create or replace view serving.market_daily as
select region_id, day, interest_index, price_eur_mwh from warehouse.market_daily;
comment on view serving.market_daily is 'Market interest and price by trading region and day';
comment on column serving.market_daily.interest_index is 'Market interest, 2011 = 50 [index; mean]';
comment on column serving.market_daily.price_eur_mwh is 'Day-ahead electricity price [EUR/MWh; mean]';

create or replace view serving.weather_forecast as
select region_id, day, issued_on, temperature_c, precipitation_mm, wind_kmh, cloud_pct, snowfall_cm from warehouse.weather_forecast;
comment on view serving.weather_forecast is 'Forecast for the next seven days by region and day';
comment on column serving.weather_forecast.temperature_c is 'Mean air temperature [°C; mean]';
comment on column serving.weather_forecast.precipitation_mm is 'Precipitation [mm; sum]';
comment on column serving.weather_forecast.wind_kmh is 'Mean wind speed at 10 m [km/h; mean]';
comment on column serving.weather_forecast.cloud_pct is 'Cloud cover [%; mean]';
comment on column serving.weather_forecast.snowfall_cm is 'Snowfall [cm; sum]';

-- Last, so that filling counts as one change. Only what is not tracked yet: running this file again is no change.
select count(sluice.track(c.oid)) as tracked
  from pg_class c
 where c.relnamespace = 'warehouse'::regnamespace and c.relkind = 'r'
   and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'sluice_version') \g /dev/null
\ir grants.sql
commit;
analyze warehouse.region, warehouse.weather_daily, warehouse.weather_forecast, warehouse.market_daily, warehouse.source_a, warehouse.source_b;
\set QUIET off
