-- What the tests of the dialect read. Schemas: every (named bare), side (needs a scope of its own), third; `hidden` is no dataset's.
create schema every; create schema side; create schema third; create schema hidden;
grant usage on schema every, side, third to sluice_reader;
set search_path = every;

create type mood as enum ('sad', 'ok', 'very "happy"', 'a, b');
create type size as (width int, "height, m" numeric);
create domain code as text check (value ~ '^[A-Z]{2}[0-9]{2}$');
create domain positive as int check (value > 0);
create domain small as positive check (value < 10);
create domain score as numeric(5,2);
create domain sure as bool;
create domain moment as timestamptz;
create domain numbers as int[];
create domain search as tsvector;
create domain area as size;
create domain document as jsonb;
create domain raw as json;
create domain span as int4range;
create domain temper as mood;
create type float_range as range (subtype = float8, subtype_diff = float8mi);
create type parcel as (label text, box size, counts int[], boxes size[], mood mood, sent timestamptz, extra jsonb, fragile bool, span int4range, "odd ""name" char(3));

-- Fifteen rows, as in the examples of PostgREST's documentation.
create table items (id int primary key);
insert into items select generate_series(1, 15);
create function always_true(i items) returns bool language sql immutable as $$ select true $$;
create function doubled(i items) returns int language sql immutable as $$ select i.id * 2 $$;
create function "odd name"(i items) returns text language sql immutable as $$ select 'odd ' || i.id $$;
create function tags_of(i items) returns text[] language sql immutable as $$ select array['t' || i.id, null] $$;
create table empty_one (id int primary key, t text, n numeric);
create table many as select n as id, n % 7 as g, case when n % 5 = 0 then null else n % 3 end as h from generate_series(1, 3000) as n;
alter table many add primary key (id);

create table measure (id int primary key, i int, n numeric, f float8, t text, b bool, d date, ts timestamptz, m mood, u uuid, w interval);
insert into measure values
    (1, 10, 1.50, 0.5, 'alpha', true, '2021-01-01', '2021-01-01 00:00+00', 'sad', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1 day'),
    (2, -5, -2.25, -1e10, 'Beta', false, '2021-06-15', '2021-06-15 12:00+02', 'ok', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2 days'),
    (3, 0, 0, 'NaN', 'gamma', null, '1999-12-31', '1999-12-31 23:59:59.5+00', 'ok', null, '1 mon'),
    (4, null, null, null, null, true, null, null, null, null, null),
    (5, 10, 'NaN', 'Infinity', 'alphabet', false, 'infinity', 'infinity', 'sad', 'c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '-1 day'),
    (6, 2147483647, 12345678901234567890.123456789, 0.1, 'ALPHA', null, '0044-03-15 BC', '0044-03-15 00:00+00 BC', 'very "happy"', null, '00:00:01'),
    (7, 7, 1.5, '-Infinity', '', true, '2021-01-02', '2021-01-02 00:00+00', 'a, b', 'd0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1 year');

create table words (id int primary key, t text);
insert into words values (1, ''), (2, 'null'), (3, null), (4, 'a,b'), (5, 'a)b'), (6, '(a)'), (7, '"q"'), (8, 'back\slash'), (9, 'a*b'), (10, 'a%b'), (11, 'a_b'), (12, 'ünï 中文 🚰'),
    (13, E'line\nbreak'), (14, ' lead'), (15, '{a,b}'), (16, 'a'), (17, 'b'), (18, 'axb'), (19, 'A'), (20, 'a"b'), (21, 'a.b'), (22, 'a+b'), (23, 'a b'), (24, 'a&b=c'), (25, 'not.eq.a'),
    (26, 'Robert''); drop table words;--'), (27, '$1'), (28, 'a\b'), (29, 'double\\slash'), (30, 'trail '), (31, '%'), (32, 'eq.a'), (33, 'or'), (34, '[x]^{2}'), (35, '#frag'), (36, 'a/b');

create table spans (id int primary key, r int4range, nr numrange, tr tstzrange, dr daterange, mr int4multirange, a int[], ta text[], c size, ip inet, j jsonb, box box);
insert into spans values
    (1, '[1,10)', '[1.5,2.5]', '[2021-01-01,2021-02-01)', '[2021-01-01,2021-02-01)', '{[1,5),[8,10)}', '{1,2,3}', '{a,b}', '(1,2)', '10.0.0.1', '{"a": 1, "b": 2}', '(1,1),(0,0)'),
    (2, '[10,20)', '(2.5,5)', '[2021-02-01,2021-03-01)', '[2021-02-01,2021-03-01)', '{[10,20)}', '{3,4}', '{"b,c","d}"}', '(2,1)', '10.0.0.0/8', '{"a": 1}', '(3,3),(2,2)'),
    (3, '[20,)', '(,)', '(,2000-01-01)', '[2022-01-01,)', '{}', '{}', '{}', '(,)', '::1', '[1, 2, 3]', null),
    (4, 'empty', 'empty', 'empty', 'empty', '{(,)}', '{NULL,1}', '{NULL,"null",""}', null, '192.168.0.0/16', '"a"', '(9,9),(0,0)'),
    (5, null, null, null, null, null, null, null, null, null, null, null),
    (6, '[5,15)', '[5,15)', null, null, '{[5,15)}', '{1,2,3,4,5}', '{a,b,c}', '(1,)', '10.1.2.3', '{"a": {"b": [1, {"c": "d"}]}, "k": null}', null);

create table docs (id int primary key, t text, j json, jb jsonb, v tsvector, dv search, language regconfig default 'english');
insert into docs values
    (1, 'The fat cats ate the rats', '{"t": "fat cats"}', '{"t": "fat cats"}', to_tsvector('english', 'The fat cats ate the rats'), to_tsvector('english', 'The fat cats ate the rats')),
    (2, 'Impossible is nothing', '{"t": "impossible"}', '{"t": "impossible"}', to_tsvector('english', 'Impossible is nothing'), to_tsvector('english', 'Impossible is nothing')),
    (3, 'C''est un peu impossible, les chats', '{"t": "les chats"}', '{"t": "les chats"}', to_tsvector('french', 'C''est un peu impossible, les chats'), to_tsvector('french', 'un peu impossible, les chats')),
    (4, '', '{}', '{}', '', ''),
    (5, null, null, null, null, null),
    (6, 'one cat, two rats; the cat is fat', '["cat"]', '["cat"]', to_tsvector('simple', 'one cat, two rats; the cat is fat'), to_tsvector('simple', 'one cat two rats'));

create table papers (id int primary key, data json, datab jsonb, arr int[], names text[], c parcel, cs size[], plain text, n int);
insert into papers values
    (1, '{"foo": "bar", "n": 1, "list": [1, 2, {"x": "y"}], "12": "twelve", "a-b": "dash", "a b": "space", "a.b": "dot", "a,b": "comma", "q\"t": "quote", "1a": "one a", "$": "dollar"}',
        '{"foo": "bar", "n": 1, "list": [1, 2, {"x": "y"}], "12": "twelve", "a-b": "dash", "a b": "space", "a.b": "dot", "a,b": "comma", "q\"t": "quote", "1a": "one a", "$": "dollar"}',
        '{10,20,30}', '{p,q}', row('label', row(1, 2.5), '{7,8}', array[row(3, 4)::size], 'ok', '2021-10-31 12:34:56+00', '{"k": [1]}', true, '[1,5)', 'x'), array[row(1, 1)::size, row(2, 2)::size], 'p1', 1),
    (2, '{"foo": "baz", "n": 10, "list": [], "nul": null, "b": true}', '{"foo": "baz", "n": 10, "list": [], "nul": null, "b": true}', '{}', '{}',
        row('other', row(5, null), '{}', '{}', 'sad', null, null, false, 'empty', null), '{}', 'p2', 2),
    (3, '[1, [2, 3], {"k": "v"}]', '[1, [2, 3], {"k": "v"}]', '{1,NULL}', '{NULL}', null, null, 'p3', 3),
    (4, '"scalar"', '"scalar"', null, null, null, null, 'p4', 4),
    (5, 'null', 'null', '{{1,2},{3,4}}', '{{a},{b}}', null, null, 'p5', 5),
    (6, null, null, null, null, null, null, null, null),
    (7, '{"foo": {"bar": {"baz": 5}}, "n": 2, "d": "2021-01-01"}', '{"foo": {"bar": {"baz": 5}}, "n": 2, "d": "2021-01-01"}', '{5}', '{"a b"}', null, null, 'p7', 7);

create table odd (id int primary key, "select" text, "order" int, "limit" int, "offset" int, "and" int, "or" int, "not" int, "count" int, "cursor" int, "format" int, "columns" int, "on_conflict" int,
    "a b" text, "a.b" text, "a,b" text, "a""b" text, "a:b" text, "a-b" text, "a$b" text, "größe" text, and_more int, orange int, "null" int, "is" int, "eq" int, "(x)" text, "a->b" text, "*" text,
    "Upper" text, "a%b" text, "back\slash" text, "tab	here" text, "a::b" text, "sum" int, "1st" int, "-dash" int, "$1" int, " lead" text, "a&b" text, "a=b" text, "a+b" text, "'" text, "😀" text, nots int);
insert into odd (id, "select", "order", "limit", "offset", "and", "or", "not", "count", "cursor", "format", "columns", "on_conflict", "a b", "a.b", "a,b", "a""b", "a:b", "a-b", "a$b", "größe", and_more, orange,
                 "null", "is", "eq", "(x)", "a->b", "*", "Upper", "a%b", "back\slash", "tab	here", "a::b", "sum", "1st", "-dash", "$1", " lead", "a&b", "a=b", "a+b", "'", "😀", nots)
select n, 's' || n, n * 10, n, n, n, n, n, n % 2, n, n, n, n, 'b' || n, 'd' || n, 'c' || n, 'q' || n, 'co' || n, 'da' || n, 'do' || n, 'g' || n, n, n, n, n, n, 'p' || n, 'ar' || n, 'st' || n, 'U' || n, 'pc' || n,
       'bs' || n, 'tab' || n, 'cast' || n, n, n, -n, n, 'l' || n, 'amp' || n, 'eqs' || n, 'pl' || n, 'apo' || n, 'smile' || n, n
from generate_series(1, 3) as n;

create table sales (id int primary key, region text, product text, amount int, price numeric(10,2), weight float8, day date, note text, extra jsonb);
insert into sales values (1, 'north', 'a', 10, 1.50, 0.5, '2021-01-01', 'x', '{"k": 1}'), (2, 'north', 'b', 20, 2.50, 1.5, '2021-01-02', null, '{"k": 2}'), (3, 'south', 'a', 30, null, 2.5, '2021-01-01', 'y', '{"k": 1}'),
    (4, 'south', 'a', null, 10.00, null, '2021-01-03', null, null), (5, null, 'c', 5, 0.01, 'NaN', null, 'z', '{"k": "t"}');

create table "Mixed Case" (id int primary key, v text); insert into "Mixed Case" values (1, 'mixed');
create table "semi;colon" (id int primary key, v text); insert into "semi;colon" values (1, 'semi');
create table "dollar$" (id int primary key, v text); insert into "dollar$" values (1, 'dollar');
create table "quo""te" (id int primary key, v text); insert into "quo""te" values (1, 'quote');
create table "naïve 中文" (id int primary key, v text); insert into "naïve 中文" values (1, 'naive');
create table "per%cent" (id int primary key, v text); insert into "per%cent" values (1, 'percent');
create table "sla/sh" (id int primary key, v text); insert into "sla/sh" values (1, 'slash');
create table "dot.ted" (id int primary key, v text); insert into "dot.ted" values (1, 'dotted');
create table "select" (id int primary key, v text); insert into "select" values (1, 'select');
create table "plus+" (id int primary key, v text); insert into "plus+" values (1, 'plus');
create table "que?ry" (id int primary key, v text); insert into "que?ry" values (1, 'query');
create table "'; drop table every.items; --" (id int primary key, v text); insert into "'; drop table every.items; --" values (1, 'drop');
create table side.notes (id int primary key, v text); insert into side.notes values (1, 'side');
create table third.items (id int primary key, v text); insert into third.items values (1, 'third');
create table third."Do.t $;" (id int primary key, v text); insert into third."Do.t $;" values (1, 'third');
create table hidden.treasure (id int primary key, gold text);
create table people (id int primary key, name text, nearly_secret text);
create table people_secret (id int primary key, salary int);
insert into people values (1, 'ann', 'x'), (2, 'bob', 'y');

create view seen as select id, t, i from measure where i > 0;
create view faulty as select n as id, 1000 / (2500 - n) as v from generate_series(1, 3000) as n;
create view faulty_at_once as select id, 1 / (id - id) as v from items;
create view late as select n as id, case when n = 2900 then 'not a number' else n::text end as t from generate_series(1, 3000) as n;
create view slow as select id, pg_sleep(0.2)::text as nap from items;
create view long_words as select 1 as id, repeat('a', 30000) || 'b' as t from generate_series(1, 20) as n;
create materialized view kept as select g, count(*) as n from many group by g;
create unique index on kept (g);
create table parts (id int not null, k text, day date not null, primary key (id, day)) partition by range (day);
create table parts_2020 partition of parts for values from ('2020-01-01') to ('2021-01-01');
create table parts_2021 partition of parts for values from ('2021-01-01') to ('2022-01-01');
insert into parts values (1, 'a', '2020-05-05'), (2, 'b', '2021-05-05'), (3, null, '2021-06-06');
create extension if not exists file_fdw;
create server files foreign data wrapper file_fdw;
create foreign table abroad (a int, b text) server files options (program 'printf 1,one\\n2,two\\n3,\\n', format 'csv');
