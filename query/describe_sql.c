#include "query/describe.h"

#include <pthread.h>

#include "query/versions.h"

/* The kinds of relations that are served. */
#define SERVED "('r', 'v', 'm', 'f', 'p')"
/* Text in which somebody asks for a setting of ours, or for one whose name is made up at run time. Names of settings
 * know no case. */
#define ASKS "'sluice\\s*\\.|current_setting\\s*\\((?!\\s*''[^'']*''(::text)?\\s*[,)])'"
#define OWN_MAX "64"             /* as query/describe_own.c takes them */
#define DEFINITION_MAX "24576"   /* bytes; sql_check_view's, three times SQL_CHECK_TEXT_MAX */
#define FIRST_NORMAL_OID "16384" /* below are PostgreSQL's own */
/* An index is worth what the planner makes of it: relations grow by an eighth before they are described anew. */
#define SIZE_STEP "case when c.reltuples < 0 then -1 else floor(ln(greatest(c.reltuples, 1)) * 8) end"

/* Whose privileges count: the role of this name, or the login. Null, which may nothing: there is no such role. */
#define ROLE(name)                                                                                                     \
    "(select ro.oid from pg_catalog.pg_roles ro where ro.rolname = coalesce(nullif(" name ", '')::name, "              \
    "current_user))"

/* What a description was made of, as thing(n, kind, oid, role): s: the relation itself, with who looks at it; r: a
 * relation under it, or itself; m: one whose children are under it; t: a type; f: a function. A row of the catalog that
 * is written again has another xmin. The sum needs no order, so that the describing and the checking statement come to
 * the same one. */
#define FACTS                                                                                                          \
    "fact as ("                                                                                                        \
    "  select t.n, hashtextextended('c' || c.oid || ' ' || c.xmin || ' ' || " SIZE_STEP ", 0) as hash"                 \
    "    from thing t join pg_catalog.pg_class c on c.oid = t.oid where t.kind = 'r'"                                  \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('s' || t.oid || has_table_privilege(t.role, t.oid, 'select'), 0) from thing t"     \
    "    where t.kind = 's'"                                                                                           \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('a' || a.attrelid || ' ' || a.attnum || ' ' || a.xmin, 0)"                         \
    "    from thing t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 where t.kind = 'r'"        \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('v' || d.oid || ' ' || d.xmin, 0)"                                                 \
    "    from thing t join pg_catalog.pg_attrdef d on d.adrelid = t.oid where t.kind = 's'"                            \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('i' || i.indexrelid || ' ' || i.xmin, 0)"                                          \
    "    from thing t join pg_catalog.pg_index i on i.indrelid = t.oid where t.kind = 'r'"                             \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('d' || d.objoid || ' ' || d.objsubid || ' ' || d.xmin, 0)"                         \
    "    from thing t join pg_catalog.pg_description d on d.objoid = t.oid and d.classoid = case t.kind when 'r' then" \
    "      'pg_catalog.pg_class'::regclass else 'pg_catalog.pg_proc'::regclass end where t.kind in ('r', 'f')"         \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('w' || r.oid || ' ' || r.xmin, 0)"                                                 \
    "    from thing t join pg_catalog.pg_rewrite r on r.ev_class = t.oid where t.kind = 'r'"                           \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('p' || p.oid || ' ' || p.xmin, 0)"                                                 \
    "    from thing t join pg_catalog.pg_policy p on p.polrelid = t.oid where t.kind = 'r'"                            \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('h' || i.inhrelid || ' ' || i.xmin, 0)"                                            \
    "    from thing t join pg_catalog.pg_inherits i on i.inhparent = t.oid where t.kind in ('r', 'm')"                 \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('t' || y.oid || ' ' || y.xmin, 0)"                                                 \
    "    from thing t join pg_catalog.pg_type y on y.oid = t.oid where t.kind = 't'"                                   \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('y' || a.attrelid || ' ' || a.attnum || ' ' || a.xmin, 0)"                         \
    "    from thing t join pg_catalog.pg_type y on y.oid = t.oid"                                                      \
    "    join pg_catalog.pg_attribute a on a.attrelid = y.typrelid and a.attnum > 0 where t.kind = 't'"                \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('e' || e.oid || ' ' || e.xmin, 0)"                                                 \
    "    from thing t join pg_catalog.pg_enum e on e.enumtypid = t.oid where t.kind = 't'"                             \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('f' || p.oid || ' ' || p.xmin, 0)"                                                 \
    "    from thing t join pg_catalog.pg_proc p on p.oid = t.oid where t.kind = 'f'"                                   \
    "  union all"                                                                                                      \
    "  select t.n, hashtextextended('o' || d.objid, 0) from thing t join pg_catalog.pg_class c on c.oid = t.oid"       \
    "    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid = c.reltype"      \
    "     and d.classid = 'pg_catalog.pg_proc'::regclass where t.kind = 's')"

#define READER "(select role from reader)"
/* Privileges are looked up in the catalog as it is now, not as the statement's snapshot has it, and what was dropped
 * since has none: null. It is no answer that nobody may read what is just being replaced: 42P01, and the question is
 * put again (query/datasets.c). */
#define KNOWN(privilege, oid) "coalesce(" privilege ", ('\"dropped meanwhile: ' || " oid " || '\"')::regclass is null)"
#define READS_COLUMN(number) KNOWN("has_column_privilege(" READER ", t.oid, " number ", 'select')", "t.oid")
#define USES_SCHEMA KNOWN("has_schema_privilege(" READER ", n.oid, 'usage')", "n.oid")
#define READS_SOME KNOWN("has_any_column_privilege(" READER ", c.oid, 'select')", "c.oid")
#define READS_THIS READS_COLUMN("a.attnum")
#define READS_PLACE READS_COLUMN("-1::smallint")     /* ctid */
#define READS_PARTITION READS_COLUMN("-6::smallint") /* tableoid */
#define CALLS KNOWN("has_function_privilege(" READER ", p.oid, 'execute')", "p.oid")

/* $1: schema, $2: relation, $3: role or null. No row: there is no such relation, or the role may read nothing of it. */
static const char target_sql[] = "with recursive reader(role) as materialized (select " ROLE(
    "$3") "), target as materialized ("
          "  select c.oid, c.relname, c.relkind, c.reltype, c.relnamespace, n.nspname"
          "    from pg_catalog.pg_namespace n join pg_catalog.pg_class c on c.relnamespace = n.oid"
          "   where n.nspname = $1::name and c.relname = $2::name and c.relkind in " SERVED "     and case when " READER
          " is not null then " USES_SCHEMA " and " READS_SOME " end),"
          /* What is under it, found in the definitions themselves: pg_depend doesn't tell of PostgreSQL's own
           * relations. A name in these trees has its spaces escaped, so that none looks like a field. kept: under a
           * materialised view, whose rows stay as they are until it is refreshed; top: the relation that is read, for
           * one of its children. */
          " under(oid, kept, top) as ("
          "  select oid, false, 0::oid from target"
          "  union"
          "  select e.oid, e.kept, e.top from under u cross join lateral ("
          "    select m[1]::oid as oid, u.kept or c.relkind = 'm' as kept, 0::oid as top"
          "      from pg_catalog.pg_class c join pg_catalog.pg_rewrite r on r.ev_class = c.oid and r.ev_type = '1'"
          "      cross join lateral regexp_matches(r.ev_action::text, ':relid (\\d+)', 'g') m"
          "     where c.oid = u.oid and u.top = 0 and c.relkind in ('v', 'm')"
          "    union all"
          "    select m[1]::oid, u.kept, 0::oid from pg_catalog.pg_class c join pg_catalog.pg_policy p on p.polrelid = "
          "c.oid"
          "      cross join lateral regexp_matches(p.polqual::text, ':relid (\\d+)', 'g') m"
          "     where c.oid = u.oid and u.top = 0 and c.relrowsecurity and p.polcmd in ('r', '*')"
          "    union all"
          "    select i.inhrelid, u.kept, case when u.top = 0 then u.oid else u.top end"
          "      from pg_catalog.pg_inherits i where i.inhparent = u.oid) e),"
          " below as materialized ("
          "  select u.oid, u.kept, u.top, c.relkind, c.relname, c.relnamespace, c.reltuples, c.relispartition,"
          "         c.relrowsecurity"
          "    from under u join pg_catalog.pg_class c on c.oid = u.oid),"
          " policy as (select p.polqual, p.polrelid from below b join pg_catalog.pg_policy p on p.polrelid = b.oid"
          "   where b.top = 0 and not b.kept and b.relrowsecurity and p.polcmd in ('r', '*')),"
          " tree(words) as materialized ("
          "  select r.ev_action::text from below b join pg_catalog.pg_rewrite r on r.ev_class = b.oid and r.ev_type = "
          "'1'"
          "   where b.top = 0 and not b.kept and b.relkind = 'v'"
          "  union all select polqual::text from policy),"
          " readable as (select a.attnum, a.attname, a.atttypid, a.attnotnull, a.atthasdef, a.attgenerated"
          "   from target t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not "
          "a.attisdropped"
          "  where " READS_THIS "),"
          /* A function of the whole row needs the whole row. */
          " computed as (select p.oid, p.proname, p.prorettype, p.provolatile"
          "   from target t cross join lateral (select distinct d.objid from pg_catalog.pg_depend d"
          "       where d.refclassid = 'pg_catalog.pg_type'::regclass and d.refobjid = t.reltype"
          "         and d.classid = 'pg_catalog.pg_proc'::regclass) d"
          /* OFFSET 0: looked up one by one, not all functions hashed. */
          "   cross join lateral (select * from pg_catalog.pg_proc p where p.oid = d.objid offset 0) p"
          "   join pg_catalog.pg_type y on y.oid = p.prorettype and y.typtype <> 'p'"
          "  where p.pronamespace = t.relnamespace and p.prokind = 'f' and not p.proretset and p.pronargs = 1"
          "    and p.proargtypes[0] = t.reltype and " CALLS
          "    and not exists (select from pg_catalog.pg_attribute a where a.attrelid = t.oid and a.attnum > 0"
          "        and not a.attisdropped and not " READS_THIS ")),"
          /* What runs when it is read. Whom a function's text names it may call: that is in no catalog. */
          " called(oid) as ("
          "  select m[1]::oid from tree cross join lateral regexp_matches(words,"
          "    ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') m"
          "  union select oid from computed"
          "  union"
          "  select p.oid from called f join pg_catalog.pg_proc b on b.oid = f.oid join pg_catalog.pg_proc p"
          "      on p.oid >= " FIRST_NORMAL_OID " and p.prolang not in (12, 13)" /* internal, C: no text */
          "     and strpos(coalesce(pg_get_function_sqlbody(b.oid), b.prosrc), p.proname) <> 0"
          "   where b.oid >= " FIRST_NORMAL_OID " and b.prolang not in (12, 13)),"
          " kind(oid) as ("
          "  select atttypid from readable union select prorettype from computed"
          "  union"
          "  select e.oid from kind k join pg_catalog.pg_type y on y.oid = k.oid cross join lateral ("
          "    select y.typbasetype as oid where y.typtype = 'd'"
          "    union all select y.typelem where y.typelem <> 0 and y.typlen = -1"
          "    union all select a.atttypid from pg_catalog.pg_attribute a where y.typtype = 'c' and a.attrelid = "
          "y.typrelid"
          "      and a.attnum > 0 and not a.attisdropped) e),"
          " thing(n, kind, oid, role) as materialized ("
          "  select 1, 's', oid, " READER
          " from target union all select distinct 1, 'r', oid, 0::oid from below where top = 0"
          "  union all select distinct 1, 'm', b.oid, 0::oid from below b where b.top <> 0 and exists (select"
          "    from pg_catalog.pg_inherits i where i.inhparent = b.oid)"
          "  union all select 1, 't', oid, 0::oid from kind where oid >= " FIRST_NORMAL_OID
          "  union all select 1, 'f', oid, 0::oid from called "
          "where oid >= " FIRST_NORMAL_OID ")," FACTS ","
          " base(name) as (select distinct n.nspname || '.' || r.relname from below b"
          "   join pg_catalog.pg_class r on r.oid = case when b.relispartition and b.top = 0 then "
          "pg_partition_root(b.oid)"
          "     else b.oid end"
          "   join pg_catalog.pg_namespace n on n.oid = r.relnamespace"
          /* A partition counts for its root, but a foreign one changes unseen: as a base of its own it is not tracked.
           */
          "  where not b.kept and (b.relkind = 'f' or b.relkind in ('r', 'p', 'm') and (b.top = 0 or not "
          "b.relispartition)))"
          "select json_build_object("
          " 'oid', t.oid, 'kind', t.relkind,"
          " 'words', obj_description(t.oid, 'pg_class'),"
          " 'has_ctid', t.relkind in ('r', 'm', 'p') and " READS_PLACE "    and (t.relkind <> 'p' or " READS_PARTITION
          "),"
          " 'signature', (select sum(hash) from fact)::text,"
          " 'things', (select json_agg(json_build_array(kind, oid)) from thing),"
          " 'columns', (select json_agg(json_build_array(attnum, attname, atttypid, attnotnull, col_description(t.oid, "
          "attnum),"
          "    (select pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d where d.adrelid = t.oid"
          "       and d.adnum = attnum and attgenerated = '')) order by attnum) from readable),"
          " 'computed', (select json_agg(json_build_array(proname, prorettype, obj_description(oid, 'pg_proc'))"
          "    order by proname) from computed),"
          " 'types', (select json_agg(json_build_object("
          "    'oid', y.oid, 'is', y.typtype, 'name', n.nspname || '.' || y.typname, 'not_null', y.typnotnull,"
          "    'base', y.typbasetype, 'element', case when y.typlen = -1 then y.typelem else 0 end,"
          "    'delimiter', coalesce((select e.typdelim from pg_catalog.pg_type e where e.oid = y.typelem), ','),"
          "    'ordered', exists (select from pg_catalog.pg_opclass o where o.opcintype = y.oid and o.opcdefault"
          "       and o.opcmethod = 403)," /* btree */
          "    'labels', (select json_agg(e.enumlabel order by e.enumsortorder) from pg_catalog.pg_enum e"
          "       where e.enumtypid = y.oid),"
          "    'fields', (select json_agg(json_build_array(a.attname, a.atttypid) order by a.attnum)"
          "       from pg_catalog.pg_attribute a where y.typtype = 'c' and a.attrelid = y.typrelid and a.attnum > 0"
          "       and not a.attisdropped)))"
          "    from kind k join pg_catalog.pg_type y on y.oid = k.oid"
          "    join pg_catalog.pg_namespace n on n.oid = y.typnamespace),"
          " 'relations', (select json_agg(json_build_object("
          "    'oid', b.oid, 'kind', b.relkind, 'words', obj_description(b.oid, 'pg_class'),"
          "    'inherited', b.relkind = 'r' and exists (select from pg_catalog.pg_inherits i where i.inhparent = "
          "b.oid),"
          "    'estimate', coalesce((select sum(l.reltuples) from (select distinct oid, top, relkind, reltuples"
          "       from below) l where (l.top = b.oid or l.top = 0 and l.oid = b.oid) and l.relkind <> 'p'"
          "       and l.reltuples >= 0), -1),"
          /* DELETE goes through it to one table, and no rule says how: it is a view of that table's rows. */
          "    'simple', b.relkind = 'v' and pg_relation_is_updatable(b.oid, false) & 16 = 16"
          "       and (select count(*) from pg_catalog.pg_rewrite r where r.ev_class = b.oid) = 1,"
          "    'action', (select r.ev_action::text from pg_catalog.pg_rewrite r where b.relkind = 'v' and r.ev_class = "
          "b.oid"
          "       and r.ev_type = '1'),"
          "    'not_null', (select json_agg(a.attnum) from pg_catalog.pg_attribute a where a.attrelid = b.oid"
          "       and a.attnum > 0 and a.attnotnull and not a.attisdropped),"
          "    'leading', (select json_agg(distinct i.indkey[0]) from pg_catalog.pg_index i where i.indrelid = b.oid"
          "       and i.indisvalid and i.indpred is null),"
          "    'keys', (select json_agg(json_build_array(i.indisprimary, (select json_agg(i.indkey[k]) from"
          "         generate_series(0, i.indnkeyatts - 1) k)) order by i.indisprimary desc, i.indexrelid)"
          "       from pg_catalog.pg_index i where i.indrelid = b.oid and i.indisunique and i.indisvalid and "
          "i.indimmediate"
          "        and i.indpred is null and i.indexprs is null)))"
          "    from (select distinct oid, relkind from below where top = 0) b),"
          " 'asks', exists (select from called where oid = 'pg_catalog.pg_show_all_settings'::regproc) or "
          "coalesce((select"
          "    bool_or(words ~* " ASKS
          ") from (select pg_get_viewdef(b.oid) from below b where b.top = 0 and not b.kept"
          "        and b.relkind = 'v' and b.oid >= " FIRST_NORMAL_OID
          "      union all select coalesce(pg_get_expr(polqual, polrelid), 'sluice.') from policy"
          "      union all select coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) from called f"
          "        join pg_catalog.pg_proc p on p.oid = f.oid where p.oid >= " FIRST_NORMAL_OID ") w(words)), false),"
          /* A function of somebody's own may read what it likes, unless it is declared immutable. */
          " 'moves', exists (select from called f join pg_catalog.pg_proc p on p.oid = f.oid where p.provolatile = 'v'"
          "      or p.provolatile = 's' and (p.oid >= " FIRST_NORMAL_OID
          "        or p.proname in ('now', 'transaction_timestamp', 'statement_timestamp')"
          "        or p.proname = 'age' and p.pronargs = 1 or p.proname ~ '^pg_'))"
          "    or exists (select from tree where words ~ 'SQLVALUEFUNCTION :op [0-8] |TABLESAMPLECLAUSE'),"
          /* A customer's: his own relations under it, a view's definition with a byte more than is taken, one relation
           * more than is taken. */
          " 'own_schemas', (select json_agg(n.nspname) from pg_catalog.pg_namespace n where nullif($3, '') is not null"
          "    and n.nspowner = " READER "),"
          " 'own', (select json_agg(json_build_array(o.relkind, o.relrowsecurity, case when o.relkind in ('v', 'm') "
          "then"
          "      left(pg_get_viewdef(o.oid), " DEFINITION_MAX
          " + 1) end)) from (select distinct c.oid, c.relkind, c.relrowsecurity"
          "     from below b join pg_catalog.pg_class c on c.oid = b.oid join pg_catalog.pg_namespace n on n.oid = "
          "c.relnamespace"
          "    where nullif($3, '') is not null and (b.top = 0 and (c.relkind in ('v', 'm') or c.relrowsecurity"
          "       or c.oid = (select oid from target)) or c.relkind = 'f')"
          "      and (c.relowner = " READER " or n.nspowner = " READER ") limit " OWN_MAX " + 1) o),"
          " 'bases', (select json_agg(json_build_array(b.name, v.version + " VERSIONS_EPOCH
          ", (extract(epoch from v.changed_at)"
          "      * 1000000)::bigint) order by b.name) from base b left join sluice.dataset_version v on v.relation = "
          "b.name)"
          ")::text from target t";

/* $1: the snapshot that the last answer was of; $2, $3: schemas and relations, text[], the n-th of which have the
 * things $4: int[], $5: text[], $6: oid[] (but s, which is found by name again); $7: bases, text[]; $8: roles, text[],
 * of the n-th, '' for the login. Rows of three: "snapshot"; of each relation its number (from 1) and the sum (another
 * one, or no row: it has changed, has gone or may be read no more); of each tracked base its name, version and time.
 * Where no transaction has ended since, there is the first row only. On a standby a snapshot doesn't tell. */
#define SNAPSHOT "(pg_current_snapshot()::text || ' ' || " VERSIONS_EPOCH ")"
#define MAY_HAVE_CHANGED "pg_is_in_recovery() or " SNAPSHOT " <> $1"
#define UNLESS_SAME(array) "case when " MAY_HAVE_CHANGED " then " array " end" /* null has no elements */
static const char check_sql[] =
    "with thing(n, kind, oid, role) as materialized ("
    "  select n, kind, oid, 0::oid"
    "    from unnest(" UNLESS_SAME("$4::int[]") ", " UNLESS_SAME("$5::text[]") ", " UNLESS_SAME(
        "$6::oid[]") ")"
                     "         x(n, kind, oid)"
                     "  union all"
                     "  select a.n::int, 's', c.oid, c.role"
                     "    from unnest(" UNLESS_SAME("$2::text[]") ", " UNLESS_SAME("$3::text[]") ", " UNLESS_SAME(
                         "$8::text[]") ")"
                                       "         with ordinality a(schema, relation, role, n)"
                                       "    cross join lateral (select " ROLE(
                                           "a.role") " as role) ro"
                                                     "    cross join lateral (select c.oid, ro.role from "
                                                     "pg_catalog.pg_namespace ns join pg_catalog.pg_class c"
                                                     "      on c.relnamespace = ns.oid where ns.nspname = "
                                                     "a.schema::name and c.relname = a.relation::name"
                                                     "       and c.relkind in " SERVED
                                                     " and has_schema_privilege(ro.role, ns.oid, 'usage')"
                                                     "       and has_any_column_privilege(ro.role, c.oid, 'select') "
                                                     "offset 0) c)," FACTS " select 'snapshot', " SNAPSHOT ", case "
                                                     "when " MAY_HAVE_CHANGED " then null else 'same' end"
                                                     " union all "
                                                     "select n::text, sum(hash)::text, null from fact group by n"
                                                     " union all "
                                                     "select relation, (version + " VERSIONS_EPOCH
                                                     ")::text, (extract(epoch from changed_at) "
                                                     "* "
                                                     "1000000)::bigint::text"
                                                     "  from sluice.dataset_version where relation = any (" UNLESS_SAME(
                                                         "$7::text[]") ")";

/* $1: names of schemas, text[], in order; $2, $3: the last row seen, or null; $4: how many; $5: roles, text[], of the
 * schemas, '' for the login: of a customer's own, names that begin with '~' are on their way in or out. A schema's
 * relations are found through pg_depend, which has an index by schema; when there are many, in the order of the names,
 * which passes by the other schemas' relations. Columns: schema, relation, kind, estimate, comment. */
#define MANY "2000"
/* How many rows there are is nothing for those who may see some of them. */
#define COUNTED "case when c.relrowsecurity then -1 else c.reltuples end as reltuples"
/* Of what was dropped since the statement began (see KNOWN) that counts which stands under its name now; but the login
 * may not look into a customer's schemas, where what was his own was his to read. */
#define LISTED                                                                                                         \
    "c.relkind in " SERVED " and not c.relispartition and (s.name is distinct from $2 or c.relname > $3::name)"        \
    " and coalesce(has_any_column_privilege(n.role, c.oid, 'select'), case when s.role <> '' then c.relowner = n.role" \
    "       else has_any_column_privilege(n.role, to_regclass(quote_ident(s.name) || '.' ||"                           \
    "         quote_ident(c.relname))::oid, 'select') end)"                                                            \
    " and (s.role = '' or left(c.relname, 1) <> '~')"
static const char list_sql[] =
    "select p.schema, p.relname, p.relkind::text, case when p.relkind = 'p' then (select sum(l.reltuples)"
    "    from pg_partition_tree(p.oid) e join pg_catalog.pg_class l on l.oid = e.relid"
    "   where e.isleaf and l.reltuples >= 0) else p.reltuples end::text, obj_description(p.oid, 'pg_class')"
    "  from (select s.place, s.name as schema, r.oid, r.relname, r.relkind, r.reltuples"
    "    from unnest($1::text[], $5::text[]) with ordinality s(name, role, place) cross join lateral ("
    "      select k.oid, k.role, count(d.objid) > " MANY " as many from (select ns.oid, ro.role"
    "           from pg_catalog.pg_namespace ns cross join (select " ROLE(
        "s.role") " as role) ro"
                  "         where ns.nspname = s.name::name and has_schema_privilege(ro.role, ns.oid, 'usage') limit "
                  "1) k"
                  "        left join lateral (select objid from pg_catalog.pg_depend where refclassid ="
                  "          'pg_catalog.pg_namespace'::regclass and refobjid = k.oid and classid = "
                  "'pg_catalog.pg_class'::regclass"
                  "          limit " MANY " + 1) d on true group by k.oid, k.role) n cross join lateral ("
                  "      (select c.oid, c.relname, c.relkind, " COUNTED " from pg_catalog.pg_class c"
                  "        where n.many and c.relnamespace = n.oid and " LISTED " order by c.relname limit $4::bigint)"
                  "      union all"
                  "      (select c.oid, c.relname, c.relkind, " COUNTED
                  " from (select distinct objid from pg_catalog.pg_depend"
                  "          where not n.many and refclassid = 'pg_catalog.pg_namespace'::regclass and refobjid = n.oid"
                  "            and classid = 'pg_catalog.pg_class'::regclass) d join pg_catalog.pg_class c on c.oid = "
                  "d.objid"
                  "        where " LISTED " order by c.relname limit $4::bigint)) r"
                  "    limit $4::bigint) p order by p.place, p.relname";

static struct postgres_statement target_statement, check_statement, list_statement;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static void prepare(void)
{
    postgres_statement_init(&target_statement, target_sql, 3, NULL);
    postgres_statement_init(&check_statement, check_sql, 8, NULL);
    postgres_statement_init(&list_statement, list_sql, 5, NULL);
}

const struct postgres_statement *describe_statement(void)
{
    pthread_once(&prepared, prepare);
    return &target_statement;
}

const struct postgres_statement *describe_check_statement(void)
{
    pthread_once(&prepared, prepare);
    return &check_statement;
}

const struct postgres_statement *describe_list_statement(void)
{
    pthread_once(&prepared, prepare);
    return &list_statement;
}
