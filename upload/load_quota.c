/* What a customer may keep, and what is there of it. */
#include <stdio.h>

#include "upload/load_private.h"

/* Relations whose name begins with ~ are loads and analyses that are being made. Each but views is asked for its size,
 * which waits for whoever replaces it: so it is asked before anything is replaced here, or two who replace different
 * ones would wait for each other. */
const char load_quota_sql[] =
    "select coalesce(k.quota_bytes, $2::bigint), coalesce(k.quota_relations, $3::bigint),"
    " coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)) filter (where c.relkind <> 'v'), 0)::bigint,"
    " count(c.oid) filter (where not pg_catalog.starts_with(c.relname, '~')),"
    " coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)) filter (where c.relkind <> 'v' and c.relname "
    "= $1 and n.nspname = k.customer_id || $4), 0)::bigint,"
    " count(c.oid) filter (where c.relname = $1 and n.nspname = k.customer_id || $4)"
    " from sluice.customer k left join (pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace)"
    " on n.nspname in (k.customer_id || '_uploads', k.customer_id || '_analytics') and c.relkind in ('r', 'v', 'm', "
    "'p')"
    " where k.customer_id = sluice.me() group by 1, 2, k.customer_id";

enum { BYTES_ALLOWED, RELATIONS_ALLOWED, BYTES, RELATIONS, OWN_BYTES, OWN_RELATIONS, NUMBERS };
struct used {
    int64_t numbers[NUMBERS];
    bool known;
};

static void keep_used(void *context, const struct postgres_rows *rows)
{
    struct used *used = context;
    used->known = postgres_rows_count(rows) == 1;
    for (size_t i = 0; used->known && i < NUMBERS; i++)
        used->known = text_to_int64(postgres_rows_value(rows, 0, i), &used->numbers[i]);
}

static enum status ask(struct load *load, struct used *used)
{
    const struct load_order *order = load->order;
    char bytes[24], relations[24];
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)order->quota_bytes);
    snprintf(relations, sizeof(relations), "%llu", (unsigned long long)order->quota_relations);
    const struct text parameters[] = {arena_copy(load->report->arena, order->relation), text_from_string(bytes),
                                      text_from_string(relations), TEXT("_uploads")};
    return parameters[0].data == NULL
               ? load_out_of_memory(load)
               : load_run_sql(load, load_quota_sql, LOAD_QUOTA_PARAMETERS, parameters, keep_used, used);
}

/* `before` any row is there, so that a load without a chance ends early; then with all of them, and before the table
 * that they replace is: it counts no more. What is replaced or added to makes no relation more. */
enum status load_check_quota(struct load *load, bool before)
{
    const struct load_order *order = load->order;
    struct used used = {0};
    const int64_t *numbers = used.numbers;
    if (order->customer == NULL || (order->quota_bytes == 0 && order->quota_relations == 0))
        return STATUS_OK;
    enum status status = ask(load, &used);
    if (status != STATUS_OK || !used.known)
        return status;
    bool fresh = !order->existing && numbers[OWN_RELATIONS] == 0;
    int64_t count = numbers[RELATIONS] + fresh, most = numbers[RELATIONS_ALLOWED];
    if (most != 0 && fresh && count > most)
        return failure_set(load->failure, STATUS_TOO_LARGE,
                           "with %.*s there would be %lld uploads and analyses, and %lld are allowed; delete one first",
                           TEXT_ARGS(order->dataset), (long long)count, (long long)most);
    int64_t size = numbers[BYTES] - (order->existing ? 0 : numbers[OWN_BYTES]);
    int64_t room = numbers[BYTES_ALLOWED];
    if (room == 0 || (before ? size < room : size <= room))
        return STATUS_OK;
    return failure_set(
        load->failure, STATUS_TOO_LARGE,
        "with %.*s uploads and analyses would take %lld bytes%s, and %lld are allowed; delete something first",
        TEXT_ARGS(order->dataset), (long long)size, before ? " or more" : "", (long long)room);
}
