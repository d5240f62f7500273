/* SQL that customers may write, with what runs. */
#ifndef TESTS_UNIT_QUERY_SQL_CHECK_ALLOWED_H
#define TESTS_UNIT_QUERY_SQL_CHECK_ALLOWED_H

static const struct {
    const char *sql, *written;
} allowed[] = {
    {"select 1", "SELECT 1"},
    {"select * from weather", "SELECT * FROM wx.weather"},
    {"select day, avg(temperature) from weather where day >= :from and region = :region group by day order by day "
     "limit 10",
     "SELECT day, avg(temperature) FROM wx.weather WHERE day >= $1 AND region = $2 GROUP BY day ORDER BY day LIMIT 10"},
    {"select w.*, s.amount from weather w join uploads.sales s on s.day = w.day and s.region_id = w.region_id",
     "SELECT w.*, s.amount FROM wx.weather w JOIN acme_uploads.sales s ON s.day = w.day AND s.region_id = w.region_id"},
    {"select uploads.sales.amount from uploads.sales", "SELECT acme_uploads.sales.amount FROM acme_uploads.sales"},
    {"select odd.x, uploads.odd.y from uploads.odd", "SELECT odd.x, odd.y FROM acme_uploads.odd_real odd"},
    {"select * from uploads.odd o", "SELECT * FROM acme_uploads.odd_real o"},
    {"with x as (select * from weather) select * from x", "WITH x AS (SELECT * FROM wx.weather) SELECT * FROM x"},
    {"with weather as (select * from weather) select * from weather",
     "WITH weather AS (SELECT * FROM wx.weather) SELECT * FROM weather"},
    {"with recursive t(n) as (select 1 union all select n + 1 from t where n < 100) select sum(n) from t",
     "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t"},
    {"with recursive a as (select * from b), b as (select 1 as x) select * from a",
     "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1 AS x) SELECT * FROM a"},
    {"with a as materialized (select 1), b as not materialized (select 2) select * from a, b",
     "WITH a AS MATERIALIZED (SELECT 1), b AS NOT MATERIALIZED (SELECT 2) SELECT * FROM a, b"},
    {"select -(-1), - 1, -a.temperature, (-1)::int, -1::int, (a.temperature)::text collate \"C\" from weather a",
     "SELECT 1, -1, - a.temperature, (-1)::int, - 1::int, a.temperature::text COLLATE \"C\" FROM wx.weather a"},
    {"select not (a and b or c), not a = b, (a = b) = c, (1 + 2) * 3, 1 - (2 - 3), 2 ^ (3 ^ 2), a is null = b from "
     "weather",
     "SELECT NOT ((a AND b) OR c), NOT a = b, (a = b) = c, (1 + 2) * 3, 1 - (2 - 3), 2 ^ (3 ^ 2), (a IS NULL) = b FROM "
     "wx.weather"},
    {"select a in (1, 2, 3), a not in (select x from uploads.sales), a between 1 and 2, a not between symmetric 2 and "
     "1 from weather",
     "SELECT a IN (1, 2, 3), NOT a IN (SELECT x FROM acme_uploads.sales), a BETWEEN 1 AND 2, a NOT BETWEEN SYMMETRIC 2 "
     "AND 1 FROM wx.weather"},
    {"select case when a > 1 then 'x' else 'y' end, case a when 1 then 2 end, coalesce(a, b), nullif(a, b), "
     "greatest(a, b), least(1, 2) from weather",
     "SELECT CASE WHEN a > 1 THEN 'x' ELSE 'y' END, CASE a WHEN 1 THEN 2 END, COALESCE(a, b), NULLIF(a, b), "
     "GREATEST(a, b), LEAST(1, 2) FROM wx.weather"},
    {"select a like 'x%' escape '!', a not ilike '%é%', a similar to 'b', a ~ '^x$' from weather",
     "SELECT a LIKE pg_catalog.like_escape('x%', '!'), a NOT ILIKE '%é%', a SIMILAR TO 'b', a ~ '^x$' FROM wx.weather"},
    {"select extract(year from day), date_trunc('month', day), day::date + interval '1 day', interval '1' day, "
     "current_date, current_timestamp(3), localtime from weather",
     "SELECT extract ('year' FROM day), date_trunc('month', day), day::date + '1 day'::interval, '1'::interval day, "
     "current_date, current_timestamp(3), localtime FROM wx.weather"},
    {"select count(*) filter (where a > 1), count(distinct a), string_agg(a, ',' order by b desc nulls last), "
     "percentile_cont(0.5) within group (order by a) from weather",
     "SELECT count(*) FILTER (WHERE a > 1), count(DISTINCT a), string_agg(a, ',' ORDER BY b DESC NULLS LAST), "
     "percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM wx.weather"},
    {"select row_number() over (partition by region order by day rows between 6 preceding and current row), avg(a) "
     "over w, sum(a) over (w range unbounded preceding exclude ties) from weather window w as (partition by region "
     "order by day)",
     "SELECT row_number() OVER (PARTITION BY region ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW), avg(a) "
     "OVER w, sum(a) OVER (w RANGE UNBOUNDED PRECEDING EXCLUDE TIES) FROM wx.weather WINDOW w AS (PARTITION BY region "
     "ORDER BY day)"},
    {"select region, day, sum(a), grouping(region) from weather group by grouping sets ((region), rollup (day), cube "
     "(region, day), ())",
     "SELECT region, day, sum(a), GROUPING(region) FROM wx.weather GROUP BY GROUPING SETS (region, ROLLUP (day), CUBE "
     "(region, day), ())"},
    {"select * from generate_series(1, 10) as g(n)", "SELECT * FROM generate_series(1, 10) g(n)"},
    {"select g from generate_series(date '2021-01-01', date '2021-12-31', interval '1 day') g",
     "SELECT g FROM generate_series('2021-01-01'::date, '2021-12-31'::date, '1 day'::interval) g"},
    {"select x.* from json_to_recordset('[{\"a\":1}]') as x(a int, b text)",
     "SELECT x.* FROM json_to_recordset('[{\"a\":1}]') x (a int, b text)"},
    {"select * from rows from (generate_series(1, 3), unnest(array[1, 2])) with ordinality as t(a, b, n)",
     "SELECT * FROM ROWS FROM (generate_series(1, 3) , unnest(ARRAY[1, 2]) ) WITH ORDINALITY t(a, b, n)"},
    {"select u, o from unnest(array['a', 'b']) with ordinality as t(u, o)",
     "SELECT u, o FROM unnest(ARRAY['a', 'b']) WITH ORDINALITY t(u, o)"},
    {"select * from weather w, lateral (select * from uploads.sales s where s.day = w.day limit 3) x",
     "SELECT * FROM wx.weather w, LATERAL (SELECT * FROM acme_uploads.sales s WHERE s.day = w.day LIMIT 3) x"},
    {"select * from weather a left join uploads.sales b using (day) natural join market",
     "SELECT * FROM wx.weather a LEFT JOIN acme_uploads.sales b USING (day) NATURAL JOIN wx.market"},
    {"select * from weather join uploads.sales using (day, region_id) as j",
     "SELECT * FROM wx.weather JOIN acme_uploads.sales USING (day, region_id) AS j"},
    {"select array[1, 2, 3], array[[1, 2], [3, 4]], array(select 1), (array[1, 2])[1], (array[1, 2])[1:2], "
     "'{1,2}'::int[], array[]::text[] ",
     "SELECT ARRAY[1, 2, 3], ARRAY[ARRAY[1, 2], ARRAY[3, 4]], ARRAY(SELECT 1), ((ARRAY[1, 2]))[1], ((ARRAY[1, "
     "2]))[1:2], '{1,2}'::int[], ARRAY[]::text[]"},
    {"select tags[1], tags[:n], tags[1:2], tags[1: :n], tags[lo:hi] from weather",
     "SELECT tags[1], tags[$1], tags[1:2], tags[1:$1], tags[lo:hi] FROM wx.weather"},
    {"select exists (select 1 from uploads.sales), 1 = any (array[1]), 1 > all (select 2), (select 3) ",
     "SELECT EXISTS (SELECT 1 FROM acme_uploads.sales), 1 = ANY(ARRAY[1]), 1 > ALL (SELECT 2), (SELECT 3)"},
    {"select distinct on (region) region, day from weather order by region, day desc",
     "SELECT DISTINCT ON (region) region, day FROM wx.weather ORDER BY region, day DESC"},
    {"select * from weather order by day using <, a using operator(pg_catalog.>)",
     "SELECT * FROM wx.weather ORDER BY day USING <, a USING OPERATOR(pg_catalog.>)"},
    {"select day from weather union all (select day from uploads.sales order by day limit 1) except select day from "
     "market intersect select current_date order by 1 offset 2",
     "(SELECT day FROM wx.weather UNION ALL (SELECT day FROM acme_uploads.sales ORDER BY day LIMIT 1)) EXCEPT (SELECT "
     "day FROM wx.market INTERSECT SELECT current_date) ORDER BY 1 OFFSET 2"},
    {"values (1, 'a'), (2, 'b')", "VALUES (1, 'a'), (2, 'b')"},
    {"table weather", "SELECT * FROM wx.weather"},
    {"table uploads.sales", "SELECT * FROM acme_uploads.sales"},
    {"select * from weather limit null", "SELECT * FROM wx.weather LIMIT ALL"},
    {"select * from weather order by day fetch first 3 rows with ties",
     "SELECT * FROM wx.weather ORDER BY day FETCH FIRST 3 ROWS WITH TIES"},
    {"select * from weather offset 3 rows fetch next row only", "SELECT * FROM wx.weather LIMIT 1 OFFSET 3"},
    {"select 'it''s', e'a\\nb\\\\', $$dollar :x$$, $q$ a $$ b $q$, U&'d\\0061t', b'101', x'ff', 1e10, .5, "
     "123456789012345678901234567890, null, true",
     "SELECT 'it''s', E'a\nb\\\\', 'dollar :x', ' a $$ b ', 'dat', b'101', x'ff', 1e10, .5, "
     "123456789012345678901234567890, NULL, true"},
    {"select \"Quoted Col\", \"select\", \"a\"\"b\", \"é\" from weather as \"Table W\"",
     "SELECT \"Quoted Col\", \"select\", \"a\"\"b\", \"é\" FROM wx.weather \"Table W\""},
    {"select /* a -- comment :x */ 1 -- rest :y", "SELECT 1"},
    {"select data -> 'a' ->> 'b', data #>> '{a,b}', data @> '{\"a\":1}'::jsonb, data ? 'x', jsonb_path_query(data, "
     "'$.a[*]') from weather",
     "SELECT (data -> 'a') ->> 'b', data #>> '{a,b}', data @> '{\"a\":1}'::jsonb, data ? 'x', jsonb_path_query(data, "
     "'$.a[*]') FROM wx.weather"},
    {"select substring('abc' from 2 for 1), substring('a' from 'b'), position('a' in 'b'), overlay('abc' placing 'x' "
     "from 2), trim(both 'x' from 'y'), trim(' a '), trim(leading from 'x')",
     "SELECT SUBSTRING('abc' FROM 2 FOR 1), SUBSTRING('a' FROM 'b'), POSITION('a' IN 'b'), overlay('abc' placing 'x' "
     "from 2), TRIM (BOTH 'x' FROM 'y'), TRIM (BOTH  FROM ' a '), TRIM (LEADING  FROM 'x')"},
    {"select day at time zone 'UTC', (d1, d2) overlaps (d3, d4), a is distinct from b, a is not distinct from b, a is "
     "true, b is not unknown from weather",
     "SELECT day AT TIME ZONE 'UTC', (d1, d2) overlaps (d3, d4) , a IS DISTINCT FROM b, a IS NOT DISTINCT FROM b, a IS "
     "TRUE, b IS NOT UNKNOWN FROM wx.weather"},
    {"select row(1, 2) = (1, 2), (a, b) in ((1, 2)), row(), row(a, 1) from weather",
     "SELECT ROW(1, 2) = (1, 2), (a, b) IN ((1, 2)), ROW(), ROW(a, 1) FROM wx.weather"},
    {"select cast(a as numeric(10, 2)), a::varchar(3), a::character varying, a::timestamp with time zone, a::double "
     "precision, a::bit(3), a::\"char\", a::char(2), numeric '1', date '2021-01-01', timestamptz '2021-01-01' from "
     "weather",
     "SELECT a::numeric(10, 2), a::varchar(3), a::varchar, a::timestamp with time zone, a::double precision, "
     "a::pg_catalog.bit(3), a::\"char\", a::char(2), '1'::numeric, '2021-01-01'::date, '2021-01-01'::timestamptz FROM "
     "wx.weather"},
    {"select text(1), float8(1), pg_catalog.lower('A')", "SELECT text(1), float8(1), pg_catalog.lower('A')"},
    {"select sum(a) s from weather having sum(a) > 1", "SELECT sum(a) AS s FROM wx.weather HAVING sum(a) > 1"},
    {"select make_interval(days => 3), make_interval(0, 1, hours := 2)",
     "SELECT make_interval(days := 3), make_interval(0, 1, hours := 2)"},
    {"select a operator(pg_catalog.+) 1, 1 OPERATOR(pg_catalog.=) any(array[1]) from weather",
     "SELECT a OPERATOR(pg_catalog.+) 1, 1 OPERATOR(pg_catalog.=) ANY(ARRAY[1]) FROM wx.weather"},
    {"select * from only weather", "SELECT * FROM ONLY wx.weather"},
    {"select weather from weather", "SELECT weather FROM wx.weather"},
    {"select to_jsonb(w) from weather w", "SELECT to_jsonb(w) FROM wx.weather w"},
    {"select w::text from weather w", "SELECT w::text FROM wx.weather w"},
    {"select (jsonb_each('{\"a\":1}')).key", "SELECT (jsonb_each('{\"a\":1}')).key"},
    {"select g.value, g.key from jsonb_each('{\"a\":1}') g", "SELECT g.value, g.key FROM jsonb_each('{\"a\":1}') g"},
    {"select generate_series.generate_series from generate_series(1, 3)",
     "SELECT generate_series.generate_series FROM generate_series(1, 3)"},
    {"with t as (select 1 as a) select t.a from t search_path",
     "WITH t AS (SELECT 1 AS a) SELECT t.a FROM t search_path"},
    {"with recursive t(a, b) as (select 1, 2 union all select a + 1, b from t) search depth first by a set o cycle a "
     "set c using p select * from t",
     "WITH RECURSIVE t(a, b) AS (SELECT 1, 2 UNION ALL SELECT a + 1, b FROM t) SEARCH DEPTH FIRST BY a SET o CYCLE a "
     "SET c TO true DEFAULT false USING p SELECT * FROM t"},
    {"select a collate \"C\" < b collate pg_catalog.\"de_DE\" from weather",
     "SELECT a COLLATE \"C\" < b COLLATE pg_catalog.\"de_DE\" FROM wx.weather"},
    {"select 1;", "SELECT 1"},
    {"  ; select 1 ;;", "SELECT 1"},
    {"select $1::int, $2::text, $1", "SELECT $1::int, $2::text, $1"},
    {"select :a || :b || :a, :_x1", "SELECT ($1 || $2) || $1, $3"},
    {"select concat('a', variadic array['b']), format('%I %s', 'a', 1)",
     "SELECT concat('a', VARIADIC ARRAY['b']), format('%I %s', 'a', 1)"},
    {"select a.b::int::text, a.c || '-' || a.d from weather a",
     "SELECT a.b::int::text, (a.c || '-') || a.d FROM wx.weather a"},
    {"select a is null, a notnull, (a is null) is not null, a isnull from weather",
     "SELECT a IS NULL, a IS NOT NULL, a IS NULL IS NOT NULL, a IS NULL FROM wx.weather"},
    {"select count(*) over () from weather where (day, region) > (select max(day), 1 from uploads.sales)",
     "SELECT count(*) OVER () FROM wx.weather WHERE (day, region) > (SELECT max(day), 1 FROM acme_uploads.sales)"},
    {"select not exists (select 1), - (select 1), (select 1) + 1, (select array[1])[1]",
     "SELECT NOT EXISTS (SELECT 1), - (SELECT 1), (SELECT 1) + 1, (SELECT ARRAY[1])[1]"},
    {"select * from (values (1), (2)) v(x)", "SELECT * FROM (VALUES (1), (2)) v(x)"},
    {"select * from (select 1) as x, (select 2) y", "SELECT * FROM (SELECT 1) x, (SELECT 2) y"},
    {"select * from (weather a join uploads.sales b on true) as j",
     "SELECT * FROM (wx.weather a JOIN acme_uploads.sales b ON true ) j"},
    {"select * from ((select 1) union (select 2)) u", "SELECT * FROM (SELECT 1 UNION SELECT 2) u"},
    {"select 2 * (3 + 4) / (1 - 2) % 5, -2 ^ 2, (-2) ^ 2, @ -5, !! 'a'::tsquery, |/ 25",
     "SELECT ((2 * (3 + 4)) / (1 - 2)) % 5, -2 ^ 2, -2 ^ 2, @ -5, !! 'a'::tsquery, |/ 25"},
    {"select interval '1 year 2 months', interval '1-2' year to month, interval(3) '1 sec', time(3) with time zone "
     "'10:00+1'",
     "SELECT '1 year 2 months'::interval, '1-2'::interval year to month, '1 sec'::interval(3), '10:00+1'::time (3) "
     "with time zone"},
    {"select normalize('a', nfc), 'a' is normalized, 'a' is nfd normalized",
     "SELECT normalize ('a', NFC), 'a' IS  NORMALIZED , 'a' IS NFD NORMALIZED "},
    {"select 1 as \"select\", 2 as value, 3 as year, 4 \"order\"",
     "SELECT 1 AS \"select\", 2 AS value, 3 AS year, 4 AS \"order\""},
    {"select all 1", "SELECT 1"},
    {"select distinct a from weather", "SELECT DISTINCT a FROM wx.weather"},
    {"select count(all a), sum(distinct a) from weather", "SELECT count(a), sum(DISTINCT a) FROM wx.weather"},
    {"select a from weather group by distinct a", "SELECT a FROM wx.weather GROUP BY DISTINCT a"},
    {"select", "SELECT"},
    {"select (regexp_match(a,'x'))[1], (a::text[])[1], ('{1,2}'::int[])[1], (a || b)[1], (case when a then b end)[1], "
     "($1::int[])[1], (string_to_array(a, ','))[2:3] from weather",
     "SELECT ((regexp_match(a, 'x')))[1], ((a::text[]))[1], (('{1,2}'::int[]))[1], ((a || b))[1], ((CASE WHEN a THEN b "
     "END))[1], (($1::int[]))[1], ((string_to_array(a, ',')))[2:3] FROM wx.weather"},
    {"select (array_agg(a order by b))[1], (array_agg(a) filter (where b))[1], (coalesce(a,b))[1] from weather",
     "SELECT ((array_agg(a ORDER BY b)))[1], ((array_agg(a) FILTER (WHERE b)))[1], ((COALESCE(a, b)))[1] FROM "
     "wx.weather"},
    {"select (x).*, (jsonb_each(d)).* from weather x", "SELECT (x).*, (jsonb_each(d)).* FROM wx.weather x"},
    {"select (a = 1)::int, (not a)::text, (a + 1)::text, -(a + 1), -(a::int), (- a)::int, (a is null)::int, (a in "
     "(1))::int, (a between 1 and 2)::int, (select 1)::int, (case when a then 1 end)::int, (a and b)::int, (a like "
     "b)::int, (a at time zone 'x')::date from weather",
     "SELECT (a = 1)::int, (NOT a)::text, (a + 1)::text, - (a + 1), - (a::int), (- a)::int, (a IS NULL)::int, (a IN "
     "(1))::int, (a BETWEEN 1 AND 2)::int, (SELECT 1)::int, CASE WHEN a THEN 1 END::int, (a AND b)::int, (a LIKE "
     "b)::int, (a AT TIME ZONE 'x')::date FROM wx.weather"},
    {"select (a collate \"C\")::text, (a || b) collate \"C\", (a at time zone 'utc') at time zone 'cet', (a + b) at "
     "time zone 'x', not (not a), (not a) = b, (a or b) and (c or d), a or (b and c) from weather",
     "SELECT (a COLLATE \"C\")::text, (a || b) COLLATE \"C\", (a AT TIME ZONE 'utc') AT TIME ZONE 'cet', (a + b) AT "
     "TIME ZONE 'x', NOT (NOT a), (NOT a) = b, (a OR b) AND (c OR d), a OR (b AND c) FROM wx.weather"},
    {"select (a = b) is true, (a + b) is null, (a and b) is not true, (not a) is null, (a or b) is null, (a = any (b)) "
     "is true, (a in (1,2)) = true, (a is null) and b from weather",
     "SELECT (a = b) IS TRUE, (a + b) IS NULL, (a AND b) IS NOT TRUE, (NOT a) IS NULL, (a OR b) IS NULL, (a = ANY(b)) "
     "IS TRUE, (a IN (1, 2)) = true, (a IS NULL) AND b FROM wx.weather"},
    {"select a between (b + 1) and (c and d), (a between 1 and 2) = true, a in ((b + c), (d)), (a, b) = (c, d), (a "
     "between 1 and 2) and b between 3 and 4 from weather",
     "SELECT a BETWEEN (b + 1) AND (c AND d), (a BETWEEN 1 AND 2) = true, a IN (b + c, d), (a, b) = (c, d), (a BETWEEN "
     "1 AND 2) AND (b BETWEEN 3 AND 4) FROM wx.weather"},
    {"select sum(a) / nullif(sum(b), 0)::numeric * 100.0, round((a / b)::numeric, 2), 1.0 * a / b, a % 2 = 0, (a - b) "
     "- c, a - (b - c) from weather",
     "SELECT (sum(a) / CAST(NULLIF(sum(b), 0) AS numeric)) * 100.0, round(CAST(a / b AS numeric), 2), (1.0 * a) / b, "
     "(a % 2) = 0, (a - b) - c, a - (b - c) FROM wx.weather"},
    {"select coalesce(a, 0) + 1, extract(epoch from (a - b)) / 3600, extract(dow from a)::int, date_trunc('week', "
     "a)::date, a > now() - interval '7 days', (now() - '1 day'::interval)::date, a::date - b::date from weather",
     "SELECT COALESCE(a, 0) + 1, extract ('epoch' FROM a - b) / 3600, extract ('dow' FROM a)::int, date_trunc('week', "
     "a)::date, a > (now() - '7 days'::interval), CAST(now() - '1 day'::interval AS date), a::date - b::date FROM "
     "wx.weather"},
    {"select (a < b) = (c < d), (a < b) < c, a < (b < c), (a = b) <> c, (a || 'x') like 'b', a like (b || 'x'), (a ~ "
     "b) or c, a -> 'b' = 'c', (a -> 'b') is null, (a ->> 'b')::int, a @> (b -> 'c') from weather",
     "SELECT (a < b) = (c < d), (a < b) < c, a < (b < c), (a = b) <> c, a || 'x' LIKE 'b', a LIKE b || 'x', a ~ b OR "
     "c, (a -> 'b') = 'c', a -> 'b' IS NULL, CAST(a ->> 'b' AS int), a @> (b -> 'c') FROM wx.weather"},
    {"select * from weather a join (uploads.sales b join market c on b.x = c.x) on a.x = b.x",
     "SELECT * FROM wx.weather a JOIN (acme_uploads.sales b JOIN wx.market c ON b.x = c.x) ON a.x = b.x"},
    {"select * from weather a cross join uploads.sales b left join lateral (select 1 where a.x = b.x) c on true full "
     "join market d using (x) right join market e on e.y = a.y",
     "SELECT * FROM wx.weather a CROSS JOIN acme_uploads.sales b LEFT JOIN LATERAL (SELECT 1 WHERE a.x = b.x) c ON "
     "true FULL JOIN wx.market d USING (x) RIGHT JOIN wx.market e ON e.y = a.y"},
    {"(select 1 order by 1 limit 1) union all (select 2 order by 1 limit 1) order by 1 limit 3",
     "(SELECT 1 ORDER BY 1 LIMIT 1) UNION ALL (SELECT 2 ORDER BY 1 LIMIT 1) ORDER BY 1 LIMIT 3"},
    {"(with a as (select 1) select * from a) union select 2", "(WITH a AS (SELECT 1) SELECT * FROM a) UNION SELECT 2"},
    {"with a as (select 1), b as (with a as (select 2) select * from a) select * from a, b",
     "WITH a AS (SELECT 1), b AS (WITH a AS (SELECT 2) SELECT * FROM a) SELECT * FROM a, b"},
    {"select - - a, - (- a), + a, - (-1::int), 1 - -1, 1 - (-1), a - -b, a*-1, -a*-1, @(-1) from weather",
     "SELECT - (- a), - (- a), + a, - (- 1::int), 1 - -1, 1 - -1, a - (- b), a * -1, (- a) * -1, @ -1 FROM wx.weather"},
    {"select a operator(pg_catalog.||) b || c, not a like b, not a in (1), not a between 1 and 2, not a is null, not "
     "(a is distinct from b), (a is distinct from b) = c from weather",
     "SELECT (a OPERATOR(pg_catalog.||) b) || c, NOT a LIKE b, NOT a IN (1), NOT a BETWEEN 1 AND 2, NOT a IS NULL, NOT "
     "a IS DISTINCT FROM b, (a IS DISTINCT FROM b) = c FROM wx.weather"},
    {"select array_agg(distinct a), avg(distinct (a + b)), count((a, b)), string_agg(a::text, ',' order by a::int "
     "using >) from weather",
     "SELECT array_agg(DISTINCT a), avg(DISTINCT a + b), count((a, b)), string_agg(a::text, ',' ORDER BY a::int USING "
     ">) FROM wx.weather"},
    {"select 1 from weather group by 1, (a, b), () having (count(*) > 1) is true",
     "SELECT 1 FROM wx.weather GROUP BY 1, (a, b), () HAVING count(*) > 1 IS TRUE"},
    {"select sum(a) over (order by d groups between 1 preceding and 1 following exclude group), ntile(4) over w from "
     "weather window w as (), w2 as (w order by a)",
     "SELECT sum(a) OVER (ORDER BY d GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE GROUP), ntile(4) OVER w FROM "
     "wx.weather WINDOW w AS (), w2 AS (w ORDER BY a)"},
    {"select a::numeric(10,2)[], a::text[][], a::varchar(10)[], cast(a as interval day to second(3)), "
     "'2020-01-01'::timestamp(3), a::time with time zone, a::bit varying(3), a::char, a::bpchar, a::decimal(3), "
     "a::float(10), a::real, a::smallint, a::bigint, a::boolean from weather",
     "SELECT a::numeric(10, 2)[], a::text[][], a::varchar(10)[], a::interval day to second(3), "
     "'2020-01-01'::timestamp(3), a::time with time zone, a::pg_catalog.varbit(3), a::char(1), a::bpchar, "
     "a::numeric(3), a::real, a::real, a::smallint, a::bigint, a::boolean FROM wx.weather"},
    {"select case when (a = 1) then (select 1) else (case when b then c end) end, case (a + 1) when (2 + 1) then 3 "
     "else null end from weather",
     "SELECT CASE WHEN a = 1 THEN (SELECT 1) ELSE CASE WHEN b THEN c END END, CASE a + 1 WHEN 2 + 1 THEN 3 ELSE NULL "
     "END FROM wx.weather"},
    {"select '\\', 'a\\b', e'\\\\', '', e'\\'', 'a''b', '%', E'\\t', E'\\u00e9' ",
     "SELECT E'\\\\', E'a\\\\b', E'\\\\', '', '''', 'a''b', '%', '\t', 'é'"},
    {"select \"Ünï\", a.\"Select\", \"x y\".\"z\" from weather \"x y\", weather a",
     "SELECT \"Ünï\", a.\"Select\", \"x y\".z FROM wx.weather \"x y\", wx.weather a"},
    {"select a as \"from\", b as \"T\", c \"order by\" from weather",
     "SELECT a AS \"from\", b AS \"T\", c AS \"order by\" FROM wx.weather"},
    {"select user_id, \"user\", \"current_user\", \"table\" from weather",
     "SELECT user_id, \"user\", \"current_user\", \"table\" FROM wx.weather"},
    {"select * from weather as \"select\"", "SELECT * FROM wx.weather \"select\""},
    {"select year, month, \"end\", value, name, date, time, text, type, row_number, \"left\", \"natural\" from weather",
     "SELECT year, month, \"end\", value, name, date, \"time\", text, type, row_number, \"left\", \"natural\" FROM "
     "wx.weather"},
    {"select year.name, value.key, date.date from weather year, weather value, weather date",
     "SELECT year.name, value.key, date.date FROM wx.weather year, wx.weather value, wx.weather date"},
    {"select interval, \"interval\".a, \"char\".b from weather \"interval\", weather \"char\"",
     "SELECT \"interval\", \"interval\".a, \"char\".b FROM wx.weather \"interval\", wx.weather \"char\""},
    {"select pg_catalog.\"left\"('a', 1), pg_catalog.date_part('year', now()), pg_catalog.btrim('x'), "
     "pg_catalog.timezone('utc', now()), pg_catalog.\"overlaps\"(a,b,c,d), pg_catalog.position('a', 'b'), "
     "pg_catalog.substring('a', 1), pg_catalog.extract('year', now()), pg_catalog.similar_to_escape('a') from weather",
     "SELECT pg_catalog.\"left\"('a', 1), pg_catalog.date_part('year', now()), pg_catalog.btrim('x'), "
     "pg_catalog.timezone('utc', now()), pg_catalog.\"overlaps\"(a, b, c, d), pg_catalog.\"position\"('a', 'b'), "
     "pg_catalog.\"substring\"('a', 1), pg_catalog.\"extract\"('year', now()), pg_catalog.similar_to_escape('a') FROM "
     "wx.weather"},
    {"select array[[1, 2], [3, 4]]", "SELECT ARRAY[ARRAY[1, 2], ARRAY[3, 4]]"},
    {"select array(select 1)", "SELECT ARRAY(SELECT 1)"},
    {"select (array[1, 2])[1]", "SELECT ((ARRAY[1, 2]))[1]"},
    {"select (array[1, 2])[1:2]", "SELECT ((ARRAY[1, 2]))[1:2]"},
    {"select array[]::text[]", "SELECT ARRAY[]::text[]"},
    {"select '{1,2}'::int[3][]", "SELECT '{1,2}'::int[3][]"},
    {"select x[1:], x[:2], x[:], x[1][2] from weather", "SELECT x[1:], x[:2], x[:], x[1][2] FROM wx.weather"},
};

#endif
