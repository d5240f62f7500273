/* What stays of a load beside its rows: the upload's state, the rows that did not fit, the version; and the quota. */
#include <stdio.h>

#include "base/encoding.h"
#include "base/json.h"
#include "upload/load_private.h"

#define RECORD_BATCH ((size_t)1 << 20) /* bytes of bad rows that one statement takes */

#define FORGET "delete from sluice.quarantine where customer_id is not distinct from $1::text and name = $2"

/* The first value, and in the second the transaction's id, which settles what a COMMIT without an answer did. */
struct kept {
    struct load *load;
    struct load_value value;
};

static void keep_transaction(void *context, const struct postgres_rows *rows)
{
    struct kept *kept = context;
    load_keep_value(&kept->value, rows);
    if (kept->value.rows != 0)
        snprintf(kept->load->transaction, sizeof(kept->load->transaction), "%.*s",
                 TEXT_ARGS(postgres_rows_value(rows, 0, 1)));
}

/* The warehouse's rows have no customer, and go by the dataset. */
static enum status name_parameters(struct load *load, struct text parameters[2])
{
    bool own = load->order->customer != NULL;
    parameters[0] = text_from_string(load->order->customer);
    parameters[1] = arena_copy(load->report->arena, own ? load->order->relation : load->order->dataset);
    return parameters[1].data != NULL ? STATUS_OK : load_out_of_memory(load);
}

/* The row of sluice.upload is the name's lock: taken before any lock on the table, so that two loads of one name never
 * wait for each other crosswise. An append holds it from its first row, a replace from the swap. */
enum status load_record_lock(struct load *load)
{
    struct text parameters[2];
    if (load->order->customer == NULL)
        return STATUS_OK;
    enum status status = name_parameters(load, parameters);
    if (status == STATUS_OK)
        status = load_run_sql(load,
                              "insert into sluice.upload as known (customer_id, name, rows, bytes, columns, options,"
                              " digest, version, quarantined) values ($1, $2, 0, 0, '[]', '{}', '', 0, 0)"
                              " on conflict (customer_id, name) do update set changed_at = clock_timestamp()",
                              2, parameters, NULL, NULL);
    if (status == STATUS_CONFLICT)
        return failure_set(load->failure, STATUS_CONFLICT,
                           "another load of %.*s runs at this moment; send this one again when it has ended",
                           TEXT_ARGS(load->order->dataset));
    return status;
}

static void append_columns(struct buffer *out, const struct load_report *report)
{
    struct json json = json_writer(out);
    json_open_array(&json);
    for (size_t i = 0; i < report->column_count; i++) {
        json_open_object(&json);
        json_field_text(&json, "name", report->columns[i].name);
        json_field_string(&json, "type", report->columns[i].type);
        json_field_bool(&json, "guessed", report->columns[i].guessed);
        json_close_object(&json);
    }
    json_close_array(&json);
}

static void append_options(struct buffer *out, const struct load *load)
{
    const struct sniffed *sniffed = &load->report->sniffed;
    struct json json = json_writer(out);
    json_open_object(&json);
    json_field_string(&json, "format", sniff_format_name(sniffed->format));
    json_field_string(&json, "encoding", text_encoding_name(sniffed->encoding));
    if (sniffed->format == SNIFF_CSV) {
        json_field_text(&json, "delimiter", text_of(&sniffed->csv.delimiter, 1));
        json_field_text(&json, "quote", sniffed->csv.quote != '\0' ? text_of(&sniffed->csv.quote, 1) : TEXT("none"));
        json_field_bool(&json, "header", sniffed->csv.has_header);
        json_field_bool(&json, "decimal_comma", sniffed->decimal_comma);
    }
    json_field_string(&json, "mode", load_mode_name(load->order->mode));
    json_key(&json, TEXT("key"));
    json_open_array(&json);
    for (size_t i = 0; i < load->order->key_count; i++)
        json_text(&json, load->order->key[i]);
    json_close_array(&json);
    json_key(&json, TEXT("guessed"));
    json_open_array(&json);
    for (size_t i = 0; i < sizeof(sniffed->guessed) / sizeof(sniffed->guessed[0]) && sniffed->guessed[i] != NULL; i++)
        json_c_string(&json, sniffed->guessed[i]);
    json_close_array(&json);
    json_close_object(&json);
}

/* An append keeps the columns that are there, and adds to the numbers. What did not fit the last time is forgotten. */
static const char record[] =
    "with gone as (" FORGET ")"
    " update sluice.upload set rows = $3::bigint + case when $8 = 't' then rows else 0 end,"
    " bytes = $4::bigint + case when $8 = 't' then bytes else 0 end,"
    " columns = case when $8 = 't' and columns <> '[]' then columns else $5::jsonb end, options = $6::jsonb,"
    " digest = $7::bytea, version = $9::bigint, quarantined = $10::bigint, changed_at = clock_timestamp()"
    " where customer_id = $1 and name = $2 returning '', pg_catalog.pg_current_xact_id()";

static enum status update_upload(struct load *load)
{
    struct load_report *report = load->report;
    struct text parameters[10];
    struct kept kept = {load, {.arena = report->arena}};
    struct buffer columns, options;
    char rows[24], bytes[24], digest[2 + 65] = "\\x", version[24], quarantined[24];
    enum status status = name_parameters(load, parameters);
    if (status != STATUS_OK)
        return status;
    buffer_init(&columns, LOAD_SQL_MAX);
    buffer_init(&options, LOAD_SQL_MAX);
    append_columns(&columns, report);
    append_options(&options, load);
    encoding_hex(report->digest, 32, digest + 2);
    digest[66] = '\0';
    snprintf(rows, sizeof(rows), "%llu", (unsigned long long)report->inserted);
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)report->bytes);
    snprintf(version, sizeof(version), "%llu", (unsigned long long)report->version);
    snprintf(quarantined, sizeof(quarantined), "%llu", (unsigned long long)report->quarantined);
    parameters[2] = text_from_string(rows);
    parameters[3] = text_from_string(bytes);
    parameters[4] = text_from_string(buffer_c_string(&columns));
    parameters[5] = text_from_string(buffer_c_string(&options));
    parameters[6] = text_from_string(digest);
    parameters[7] = load->order->existing ? TEXT("t") : TEXT("f");
    parameters[8] = text_from_string(version);
    parameters[9] = text_from_string(quarantined);
    status = parameters[4].data == NULL || parameters[5].data == NULL
                 ? load_out_of_memory(load)
                 : load_run_sql(load, record, 10, parameters, keep_transaction, &kept);
    buffer_free(&columns);
    buffer_free(&options);
    return status;
}

/* Lines of JSON as one array. */
static enum status insert_refused(struct load *load, struct text lines)
{
    struct text parameters[3];
    struct buffer array;
    enum status status = name_parameters(load, parameters);
    if (status != STATUS_OK || lines.size == 0)
        return status;
    buffer_init(&array, lines.size + 8);
    buffer_append_char(&array, '[');
    buffer_append(&array, lines.data, lines.size - 1); /* without the last line end */
    for (size_t i = 1; !array.failed && i < array.size; i++)
        if (array.data[i] == '\n')
            array.data[i] = ','; /* JSON escapes those within texts */
    buffer_append_char(&array, ']');
    parameters[2] = text_from_string(buffer_c_string(&array));
    status = parameters[2].data == NULL
                 ? load_out_of_memory(load)
                 : load_run_sql(load,
                                "insert into sluice.quarantine (customer_id, name, line, column_name, reason, raw)"
                                " select $1, $2, line, column_name, reason, raw from pg_catalog.jsonb_to_recordset($3)"
                                " as bad (line bigint, column_name text, reason text, raw text)",
                                3, parameters, NULL, NULL);
    buffer_free(&array);
    return status;
}

static enum status fill_quarantine(struct load *load)
{
    struct buffer batch;
    enum status status = STATUS_OK;
    size_t got = 1;
    if (load->refused == NULL)
        return STATUS_OK;
    buffer_init(&batch, RECORD_BATCH + 8 * LOAD_RAW_MAX);
    spool_rewind(load->refused);
    while (status == STATUS_OK && got != 0) {
        char *room = buffer_reserve(&batch, LOAD_PIECE);
        status =
            room != NULL ? spool_read(load->refused, room, LOAD_PIECE, &got, load->failure) : load_out_of_memory(load);
        if (status != STATUS_OK)
            break;
        batch.size += got;
        const char *end = batch.size != 0 ? memrchr(batch.data, '\n', batch.size) : NULL;
        size_t whole = end != NULL ? (size_t)(end - batch.data) + 1 : 0;
        if (whole != 0 && (got == 0 || batch.size >= RECORD_BATCH - LOAD_PIECE)) {
            status = insert_refused(load, text_of(batch.data, whole));
            buffer_consume(&batch, whole);
        }
    }
    buffer_free(&batch);
    return status;
}

/* The warehouse's tables have triggers, which raised it already. */
static const char version_of_warehouse[] =
    "select version from sluice.dataset_version where relation = $1 || '.' || $2";
static const char may_read_versions[] =
    "select pg_catalog.has_table_privilege('sluice.dataset_version', 'select'), pg_catalog.pg_current_xact_id()";
static const char raise_own[] = "select sluice.raise_own($1, $2)";
/* Of a new table: whatever changes it from now on, psql too, raises its version. The last word is the one that is told:
 * behind a savepoint each of the two raises it. */
static const char track_and_raise[] =
    "select sluice.raise_own($1, $2) from (select count(sluice.track_own($3::regclass)) as n) as tracked"
    " where n >= 0";

static enum status name_table(struct load *load, struct text parameters[3])
{
    struct arena *arena = load->report->arena;
    load_append_target(load);
    parameters[0] = arena_copy(arena, load->order->schema);
    parameters[1] = arena_copy(arena, load->order->relation);
    parameters[2] = arena_copy(arena, buffer_text(&load->sql));
    buffer_clear(&load->sql);
    for (size_t i = 0; i < 3; i++)
        if (parameters[i].data == NULL)
            return load_out_of_memory(load);
    return STATUS_OK;
}

static enum status raise_version(struct load *load)
{
    const struct load_order *order = load->order;
    struct kept may = {load, {.arena = load->report->arena}};
    struct load_value value = {.arena = load->report->arena};
    struct text parameters[3];
    int64_t version = 0;
    enum status status = name_table(load, parameters);
    if (status == STATUS_OK && order->customer == NULL) {
        status = load_run_sql(load, may_read_versions, 0, NULL, keep_transaction, &may);
        if (status != STATUS_OK || !text_equal(may.value.value, TEXT("t")))
            return status;
    }
    bool fresh = order->customer != NULL && !order->existing;
    if (status == STATUS_OK)
        status = load_run_sql(load,
                              fresh                     ? track_and_raise
                              : order->customer != NULL ? raise_own
                                                        : version_of_warehouse,
                              fresh ? 3 : 2, parameters, load_keep_value, &value);
    if (status == STATUS_OK && text_to_int64(value.value, &version))
        load->report->version = (uint64_t)version;
    return status;
}

enum status load_record(struct load *load)
{
    struct text parameters[2];
    enum status status = raise_version(load);
    if (status != STATUS_OK)
        return status;
    if (load->order->customer != NULL)
        status = update_upload(load);
    else if ((status = name_parameters(load, parameters)) == STATUS_OK)
        status = load_run_sql(load, FORGET, 2, parameters, NULL, NULL);
    return status == STATUS_OK ? fill_quarantine(load) : status;
}
