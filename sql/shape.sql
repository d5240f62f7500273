-- What the demo and the loaded files have in common: schemas, regions and their view. Included by demo.sql and load_data.sql (\ir).

create schema if not exists warehouse;
create schema if not exists serving;
revoke all on schema warehouse, serving from public;

create table if not exists warehouse.region (
    region_id  text primary key,
    name       text not null,
    kind       text not null,
    parent_id  text,
    longitude  double precision check (longitude between -180 and 180),
    latitude   double precision check (latitude between -90 and 90),
    attributes jsonb not null default '{}'
);
create index if not exists region_parent_id on warehouse.region (parent_id);
comment on table warehouse.region is 'Places, in levels: parent_id names the place that this one lies in';

create or replace view serving.region as
select region_id, name, kind, parent_id, longitude, latitude, attributes from warehouse.region;
comment on view serving.region is 'Regions and what is known of them';
