-- Loads regions.csv, weather_daily.csv and market_daily.csv of the current folder in place of what the database holds. Run with psql by the owner,
-- after `sluice migrate`: `./dev up --data FOLDER` does. All or nothing. Ends by telling what was kept and what was dropped, and why.
--
-- The files are read as text into staging with their line numbers, so that a value nobody expects drops its line with a reason and not the load.
\set ON_ERROR_STOP on
\set QUIET on
begin;
set local client_min_messages = warning;
set local synchronous_commit = off;
\ir shape.sql

create table if not exists warehouse.weather_daily (
    region_id text not null, day date not null,
    temperature_c double precision, precipitation_mm double precision, windspeed_kmh double precision, cloudcover_pct double precision, snowfall_cm double precision,
    primary key (region_id, day)
);
create table if not exists warehouse.market_daily (
    region_id text not null, day date not null, price_eur_mwh numeric,
    primary key (region_id, day)
);

-- line: of the file, counting its head as line 1.
create temporary table staged_region (line bigint generated always as identity (start 2), region_id text, name text, kind text, parent_id text, longitude text, latitude text, population_2020 text) on commit drop;
create temporary table staged_weather (line bigint generated always as identity (start 2), city text, day text, temperature_c text, precipitation_mm text, windspeed_kmh text, cloudcover_pct text, snowfall_cm text) on commit drop;
create temporary table staged_market (line bigint generated always as identity (start 2), country text, region_id text, day text, price_eur_mwh text) on commit drop;
\copy staged_region (region_id, name, kind, parent_id, longitude, latitude, population_2020) from 'regions.csv' with (format csv, header true, encoding 'UTF8')
\copy staged_weather (city, day, temperature_c, precipitation_mm, windspeed_kmh, cloudcover_pct, snowfall_cm) from 'weather_daily.csv' with (format csv, header true, encoding 'UTF8')
\copy staged_market (country, region_id, day, price_eur_mwh) from 'market_daily.csv' with (format csv, header true, encoding 'UTF8')

-- Not NaN, not infinite, and within a double's range.
create function pg_temp.is_number(value text) returns boolean language sql immutable
    return value is null or (length(value) <= 60 and value ~ '^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,2})?$');
create function pg_temp.is_day(value text) returns boolean language plpgsql immutable as $$
begin
    return value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' and to_char(value::date, 'YYYY-MM-DD') = value;
exception when datetime_field_overflow or invalid_datetime_format then
    return false;
end $$;

-- Why a line is not kept; null: it is. A reason that looks at one line alone comes first, so that a bad line never replaces a good one.
create temporary table judged on commit drop as
select 'regions.csv' as file, line, null::text as key, null::text as day,
       case when region_id is null or name is null or kind is null then 'no code, name or kind'
            when not pg_temp.is_number(longitude) or not pg_temp.is_number(latitude) or not pg_temp.is_number(population_2020) then 'not a number'
            when longitude::numeric not between -180 and 180 or latitude::numeric not between -90 and 90 then 'outside of the globe' end as reason,
       false as has_empty, region_id
  from staged_region
union all
select 'weather_daily.csv', s.line, null, s.day,
       case when r.region_id is null then 'no city of this name in regions.csv'
            when not coalesce(pg_temp.is_day(s.day), false) then 'not a day'
            when not (pg_temp.is_number(temperature_c) and pg_temp.is_number(precipitation_mm) and pg_temp.is_number(windspeed_kmh)
                      and pg_temp.is_number(cloudcover_pct) and pg_temp.is_number(snowfall_cm)) then 'not a number' end,
       num_nulls(temperature_c, precipitation_mm, windspeed_kmh, cloudcover_pct, snowfall_cm) > 0, r.region_id
  from staged_weather s left join (select name, min(region_id) as region_id from staged_region where kind = 'city' group by name having count(distinct region_id) = 1) r on r.name = s.city
union all
select 'market_daily.csv', s.line, null, s.day,
       case when r.region_id is null then 'no region of this code in regions.csv'
            when not coalesce(pg_temp.is_day(s.day), false) then 'not a day'
            when not pg_temp.is_number(price_eur_mwh) then 'not a number' end,
       price_eur_mwh is null, r.region_id
  from staged_market s left join (select distinct region_id from staged_region) r using (region_id);
update judged set reason = 'replaced by a later line of the same region and day'
  from (select file, line, lead(line) over (partition by file, region_id, day order by line) as later from judged where reason is null) twice
 where judged.file = twice.file and judged.line = twice.line and twice.later is not null;
create unique index on judged (file, line);

truncate warehouse.region, warehouse.weather_daily, warehouse.market_daily;
insert into warehouse.region
select s.region_id, name, kind, parent_id, longitude::double precision, latitude::double precision,
       jsonb_strip_nulls(jsonb_build_object('population_2020', population_2020::numeric))
  from staged_region s join judged j on j.file = 'regions.csv' and j.line = s.line and j.reason is null;
insert into warehouse.weather_daily
select j.region_id, s.day::date, temperature_c::double precision, precipitation_mm::double precision, windspeed_kmh::double precision,
       cloudcover_pct::double precision, snowfall_cm::double precision
  from staged_weather s join judged j on j.file = 'weather_daily.csv' and j.line = s.line and j.reason is null
 order by 1, 2;
insert into warehouse.market_daily
select j.region_id, s.day::date, price_eur_mwh::numeric
  from staged_market s join judged j on j.file = 'market_daily.csv' and j.line = s.line and j.reason is null
 order by 1, 2;

create or replace view serving.weather_daily as
select region_id, day, temperature_c, precipitation_mm, windspeed_kmh, cloudcover_pct, snowfall_cm from warehouse.weather_daily;
comment on view serving.weather_daily is 'Measured weather by region and day';
comment on column serving.weather_daily.temperature_c is 'Mean air temperature [°C; mean]';
comment on column serving.weather_daily.precipitation_mm is 'Precipitation [mm; sum]';
comment on column serving.weather_daily.windspeed_kmh is 'Mean wind speed [km/h; mean]';
comment on column serving.weather_daily.cloudcover_pct is 'Cloud cover [%; mean]';
comment on column serving.weather_daily.snowfall_cm is 'Snowfall [cm; sum]';

create or replace view serving.market_daily as
select region_id, day, price_eur_mwh from warehouse.market_daily;
comment on view serving.market_daily is 'Day-ahead electricity price by country and day';
comment on column serving.market_daily.price_eur_mwh is 'Day-ahead electricity price [EUR/MWh; mean]';

-- The files hold no forecast: an empty view of weather's shape.
create or replace view serving.weather_forecast as
select region_id, day, null::date as issued_on, temperature_c, precipitation_mm, windspeed_kmh, cloudcover_pct, snowfall_cm from warehouse.weather_daily where false;
comment on view serving.weather_forecast is 'No forecast was loaded';
comment on column serving.weather_forecast.temperature_c is 'Mean air temperature [°C; mean]';
comment on column serving.weather_forecast.precipitation_mm is 'Precipitation [mm; sum]';
comment on column serving.weather_forecast.windspeed_kmh is 'Mean wind speed [km/h; mean]';
comment on column serving.weather_forecast.cloudcover_pct is 'Cloud cover [%; mean]';
comment on column serving.weather_forecast.snowfall_cm is 'Snowfall [cm; sum]';

select count(sluice.track(c.oid)) as tracked
  from pg_class c
 where c.relnamespace = 'warehouse'::regnamespace and c.relkind = 'r'
   and not exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'sluice_version') \g /dev/null
\ir grants.sql

-- The report, one line a file and one a reason.
\pset tuples_only on
\pset format unaligned
select line from (
    select file, 0 as place, '' as reason,
           format('%s: %s lines read, %s kept%s, %s dropped', file, count(*), count(*) filter (where reason is null),
                  case when bool_or(has_empty and reason is null) then format(' (%s of them with an empty value, kept as null)', count(*) filter (where has_empty and reason is null)) else '' end,
                  count(reason)) as line
      from judged group by file
    union all
    select file, 1, reason, format('%s:   %s dropped: %s (line %s%s)', file, count(*), reason,
                                   array_to_string((array_agg(line order by line))[1:5], ', '), case when count(*) > 5 then ', …' else '' end)
      from judged where reason is not null group by file, reason
) report order by array_position(array['regions.csv', 'weather_daily.csv', 'market_daily.csv'], file), place, reason;
commit;
\pset tuples_only off
\pset format aligned
analyze warehouse.region, warehouse.weather_daily, warehouse.market_daily;
\set QUIET off
