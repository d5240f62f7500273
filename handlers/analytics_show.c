#include "handlers/analytics_show.h"

enum { NAME, AS, SQL, DESCRIPTION, READS, COLUMNS, ROWS, CREATED, REFRESHED };

/* `reads` in the names that callers use: the warehouse's first schema is known to them without its name, and that is
 * told by the reader of this answer as the others are: schema.name. */
const char analytics_show_sql[] =
    "select c.relname, case when c.relkind = 'v' then 'view' else 'table' end, a.sql,"
    "  coalesce(a.description, pg_catalog.obj_description(c.oid, 'pg_class')),"
    "  coalesce((select pg_catalog.jsonb_agg(case r->>0 when $2 then 'uploads' when $1 then 'analytics' else r->>0 end"
    "    || '.' || (r->>1) order by r) from pg_catalog.jsonb_array_elements(a.reads) r), '[]'),"
    "  coalesce((select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', t.attname, 'type',"
    "    pg_catalog.format_type(t.atttypid, t.atttypmod)) order by t.attnum) from pg_catalog.pg_attribute t"
    "    where t.attrelid = c.oid and t.attnum > 0 and not t.attisdropped), '[]'),"
    "  case when c.relkind = 'v' then null else a.rows end,"
    "  pg_catalog.to_char(a.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
    "  pg_catalog.to_char(a.refreshed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    " from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
    " left join sluice.analysis a on a.name = c.relname and a.customer_id = sluice.me()"
    " where n.nspname = $1 and c.relkind in ('v', 'r', 'm', 'p') and not pg_catalog.starts_with(c.relname, '~')"
    "  and (c.relname = $3 or $3::text is null) and (c.relname > $4 or $4::text is null)"
    " order by c.relname limit $5::bigint";

static void append_number(struct json *json, const char *key, struct text value)
{
    json_key(json, text_from_string(key));
    if (value.data != NULL)
        json_raw(json, value);
    else
        json_nothing(json);
}

void analytics_append(struct json *json, const struct postgres_rows *rows, size_t row, struct text version)
{
    struct text name = postgres_rows_value(rows, row, NAME);
    struct buffer dataset;
    buffer_init(&dataset, 1024);
    buffer_append_literal(&dataset, "analytics.");
    buffer_append_text(&dataset, name);
    json_open_object(json);
    json_field_text(json, "name", name);
    json_field_text(json, "dataset", buffer_text(&dataset));
    json_field_text(json, "as", postgres_rows_value(rows, row, AS));
    json_field_text(json, "sql", postgres_rows_value(rows, row, SQL));
    json_field_text(json, "description", postgres_rows_value(rows, row, DESCRIPTION));
    json_key(json, TEXT("reads"));
    json_raw(json, postgres_rows_value(rows, row, READS));
    json_key(json, TEXT("columns"));
    json_raw(json, postgres_rows_value(rows, row, COLUMNS));
    append_number(json, "rows", postgres_rows_value(rows, row, ROWS));
    json_field_text(json, "created_at", postgres_rows_value(rows, row, CREATED));
    json_field_text(json, "refreshed_at", postgres_rows_value(rows, row, REFRESHED));
    if (version.data != NULL)
        json_field_text(json, "version", version);
    json_close_object(json);
    buffer_free(&dataset);
}
