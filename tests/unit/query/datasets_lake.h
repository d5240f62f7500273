/* The schemas and relations that the tests of query/datasets*.c look at. */
#ifndef SLUICE_TESTS_QUERY_DATASETS_LAKE_H
#define SLUICE_TESTS_QUERY_DATASETS_LAKE_H

#include "query/datasets.h"

#include "tests/unit/query/warehouse.h"

static const struct datasets_schema schemas[] = {{"lake", NULL}, {"more", "more:read"}, {"lake.deep", NULL}};
static const char shape[] =
    "create schema lake; create schema more; create schema \"lake.deep\"; create schema many;"
    "grant usage on schema lake, more, \"lake.deep\", many to sluice_reader;"
    "create table lake.one (id int primary key, v int); create table lake.two (id int); create view lake.over as "
    "select "
    "id from lake.one; create table lake.hidden (id int);"
    "create table lake.parts (id int) partition by list (id); create table lake.parts_1 partition of lake.parts for "
    "values in (1);"
    "comment on table lake.two is 'The second'; create table more.\"b.c\" (id int); create table more.a (id int);"
    "create table \"lake.deep\".t (id int); create materialized view more.kept as select 1 as x;"
    "grant select on all tables in schema lake, more, \"lake.deep\" to sluice_reader; revoke select on lake.hidden "
    "from "
    "sluice_reader; select sluice.track('lake.one');"
    "alter default privileges in schema many grant select on tables to sluice_reader";

#endif
