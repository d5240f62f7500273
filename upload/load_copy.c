/* The second pass: the spool through the reader again, each field converted, rows into COPY. And the same way without
 * COPY to find the line of something that the server complains of. */
#include <stdio.h>

#include "base/json.h"
#include "upload/load_private.h"

static const struct field nothing = {FIELD_NULL, {NULL, 0}};

static bool stop(struct load *load, enum status status)
{
    load->stopped = status;
    return false;
}

/* What did not fit: a line of JSON for sluice.quarantine. */
static bool keep_refused(struct load *load, const struct table_bad_row *bad, struct text column)
{
    struct buffer row;
    struct text raw = bad->raw;
    if (load->refused == NULL) {
        enum status status = spool_open(load->environment->spool, &load->refused, load->failure);
        if (status != STATUS_OK)
            return stop(load, status);
    }
    if (raw.size > LOAD_RAW_MAX)
        raw.size = LOAD_RAW_MAX;
    for (unsigned i = 0; i < 3 && raw.size != 0 && !text_is_utf8(raw); i++)
        raw.size--;                      /* a character that the cut went through */
    buffer_init(&row, 8 * LOAD_RAW_MAX); /* a control character takes six bytes in JSON */
    struct json json = json_writer(&row);
    json_open_object(&json);
    json_field_int64(&json, "line", (int64_t)bad->line);
    json_field_text(&json, "column_name", column);
    json_field_string(&json, "reason", bad->reason);
    json_field_text(&json, "raw", raw.data != NULL ? raw : TEXT(""));
    json_close_object(&json);
    buffer_append_literal(&row, "\n");
    enum status status =
        row.failed ? load_out_of_memory(load) : spool_write(load->refused, buffer_text(&row), load->failure);
    buffer_free(&row);
    return status == STATUS_OK || stop(load, status);
}

/* The row again as a line of CSV: the reader hands out fields only. */
static void append_raw(struct buffer *out, const struct table_row *row)
{
    for (size_t i = 0; i < row->count && out->size < LOAD_RAW_MAX; i++) {
        struct text text = row->fields[i].kind == FIELD_NULL ? TEXT_NONE : row->fields[i].text;
        size_t room = LOAD_RAW_MAX;
        if (text.size > room)
            text.size = room;
        if (i != 0)
            buffer_append_char(out, ',');
        bool quoted =
            text.size != 0 && (memchr(text.data, ',', text.size) != NULL || memchr(text.data, '"', text.size) != NULL ||
                               memchr(text.data, '\n', text.size) != NULL);
        if (quoted)
            buffer_append_char(out, '"');
        for (size_t at = 0; at < text.size; at++) {
            if (text.data[at] == '"')
                buffer_append_char(out, '"');
            buffer_append_char(out, text.data[at]);
        }
        if (quoted)
            buffer_append_char(out, '"');
    }
}

/* `column`: SIZE_MAX where no one is to blame. */
static bool refuse_row(struct load *load, const struct table_row *row, size_t column, const char *words)
{
    struct buffer raw;
    if (load->search != NULL)
        return true;
    buffer_init(&raw, 4 * LOAD_RAW_MAX);
    append_raw(&raw, row);
    struct table_bad_row bad = {row->line, column < load->count ? (int)column : -1, words,
                                raw.failed ? TEXT("") : buffer_text(&raw)};
    bool goes_on = load_add_bad_row(load, &bad, true) &&
                   keep_refused(load, &bad, column < load->count ? load->columns[column].name : TEXT_NONE);
    buffer_free(&raw);
    return goes_on;
}

static bool refuse_value(struct load *load, const struct table_row *row, size_t column, const char *reason)
{
    struct text value = column < row->count ? row->fields[column].text : TEXT_NONE;
    char words[LOAD_VALUE_TOLD * 4 + 320];
    if (value.size != 0)
        snprintf(words, sizeof(words), "\"%s\" %s", load_cut(load, value), reason);
    else
        snprintf(words, sizeof(words), "%s", reason);
    return refuse_row(load, row, column, words);
}

/* The n-th field of a row of COPY's text. */
static struct text copy_field(struct text row, size_t index)
{
    struct text rest = text_of(row.data, row.size - 1), field = TEXT_NONE;
    for (size_t i = 0; i <= index && rest.data != NULL; i++)
        field = text_split(&rest, '\t');
    return field;
}

static bool search_row(struct load *load, struct text row, uint64_t line)
{
    struct load_search *search = load->search;
    bool same = search->row != 0 ? load->copied == search->row : true;
    for (size_t i = 0; search->row == 0 && same && i < load->order->key_count; i++) {
        const struct load_target *column = load_column_named(load, load->order->key[i]);
        same = column != NULL && text_equal(copy_field(row, (size_t)(column - load->columns)), search->values[i]);
    }
    if (same) {
        search->rows[search->found] = load->handed;
        search->lines[search->found++] = line;
    }
    buffer_clear(&load->copy);
    return search->found < search->wanted || stop(load, STATUS_CONFLICT);
}

static bool flush(struct load *load)
{
    enum status status = STATUS_OK;
    if (load->copy.failed)
        status = load_out_of_memory(load);
    else if (load->copy.size != 0)
        status = postgres_session_copy_put(load->session, buffer_text(&load->copy), load->failure);
    buffer_clear(&load->copy);
    return status == STATUS_OK || stop(load, status);
}

static bool refuse_partition(struct load *load, const struct table_row *row, const struct load_target *column)
{
    char value[LOAD_VALUE_TOLD * 4 + 8];
    struct text field =
        (size_t)(column - load->columns) < row->count ? row->fields[column - load->columns].text : TEXT_NONE;
    snprintf(value, sizeof(value), "%s", load_cut(load, field));
    return stop(load,
                load_blame(load, row->line, column->name,
                           "line %llu, column %.*s: \"%s\" lies outside the partition that is replaced (%s); send "
                           "each partition's rows on their own",
                           (unsigned long long)row->line, TEXT_ARGS(column->name), value,
                           load_cut(load, column->partition)));
}

static bool copy_row(void *context, const struct table_row *row)
{
    struct load *load = context;
    struct buffer *copy = &load->copy;
    size_t start = copy->size;
    const char *reason = NULL;
    load->handed++;
    for (size_t i = 0; i < load->skipped_count; i++)
        if (load->skipped[i].row == load->handed)
            return refuse_row(load, row, load->skipped[i].column, load->skipped[i].words);
    for (size_t i = 0; i < load->count; i++) {
        const struct load_target *column = &load->columns[i];
        const struct field *field = i < row->count ? &row->fields[i] : &nothing;
        if (i != 0)
            buffer_append_char(copy, '\t');
        size_t at = copy->size;
        if (!load_convert(load, column, field, &reason)) {
            copy->size = start;
            return refuse_value(load, row, i, reason);
        }
        if (column->partition.data != NULL && !copy->failed && load->search == NULL &&
            !load_is_in_partition(column, text_of(copy->data + at, copy->size - at)))
            return refuse_partition(load, row, column);
    }
    buffer_append_char(copy, '\n');
    load->copied++;
    if (__builtin_expect(load->search != NULL && !copy->failed, 0))
        return search_row(load, buffer_text(copy), row->line);
    return (copy->size < LOAD_PIECE && !copy->failed) || flush(load);
}

static bool copy_columns(void *context, const struct text *names, size_t count)
{
    (void)context;
    (void)names;
    return count <= TABLE_COLUMNS_MAX;
}

static bool copy_column(void *context, struct text name)
{
    (void)context;
    (void)name;
    return true;
}

static bool copy_bad_row(void *context, const struct table_bad_row *bad)
{
    struct load *load = context;
    if (load->search != NULL)
        return true;
    struct text column =
        bad->column >= 0 && (size_t)bad->column < load->count ? load->columns[bad->column].name : TEXT_NONE;
    return keep_refused(load, bad, column);
}

static const struct table_handlers handlers = {copy_columns, copy_column, copy_row, copy_bad_row};

void load_find(struct load *load, struct load_search *search)
{
    struct failure *failure = load->failure;
    enum status stopped = load->stopped;
    load->failure = NULL;
    load->search = search;
    load->copied = load->handed = 0;
    buffer_clear(&load->copy);
    /* However it ends: what was found is there. */
    if (load_reread(load, &handlers) != STATUS_OK)
        buffer_clear(&load->copy);
    load->search = NULL;
    load->failure = failure;
    load->stopped = stopped;
}

/* The server's complaint about a row, for its caller: the staging table's name is nobody's concern. */
static void make_words(const struct load *load, const struct postgres_session_error *error, char *words, size_t size)
{
    if (strcmp(error->sqlstate, "23505") == 0)
        snprintf(words, size, "a row with this key is there already; mode=upsert changes it");
    else if (strcmp(error->sqlstate, "23514") == 0 && error->constraint[0] != '\0')
        snprintf(words, size, "breaks the condition %s that rows must meet", error->constraint);
    else
        snprintf(words, size, "%.180s", load->failure->message);
    while (!text_is_utf8(text_from_string(words))) /* the cut went through a character */
        words[strlen(words) - 1] = '\0';
}

static size_t column_of(const struct load *load, struct text name)
{
    const struct load_target *column = name.size != 0 ? load_column_named(load, name) : NULL;
    return column != NULL ? (size_t)(column - load->columns) : SIZE_MAX;
}

/* The server's complaint about a row of COPY, with the line of the file. */
static enum status blame_row(struct load *load, enum status status)
{
    struct postgres_session_error kept = *postgres_session_error(load->session);
    struct load_search search = {.row = kept.copy_line, .wanted = 1};
    struct load_judged *judged = &load->judged;
    if (kept.copy_line == 0 || (strncmp(kept.sqlstate, "22", 2) != 0 && strncmp(kept.sqlstate, "23", 2) != 0))
        return load_words(load, status);
    make_words(load, &kept, judged->words, sizeof(judged->words));
    load_find(load, &search);
    judged->row = search.rows[0];
    judged->column = column_of(load, text_from_string(kept.column));
    struct text column = judged->column != SIZE_MAX ? load->columns[judged->column].name : TEXT_NONE;
    return load_blame(load, search.lines[0], column, "line %llu%s%.*s: %s; nothing was loaded",
                      (unsigned long long)search.lines[0], column.size != 0 ? ", column " : "", TEXT_ARGS(column),
                      judged->words);
}

static void append_statement(struct load *load)
{
    buffer_append_literal(&load->sql, "copy ");
    if (load->staged)
        load_append_staging(load);
    else
        load_append_target(load);
    buffer_append_literal(&load->sql, " (");
    load_append_columns(load, false);
    /* FREEZE: the table was made in this transaction, so that whoever sees it at all may see every row. */
    buffer_append_string(&load->sql, load->staged && !load->temporary ? ") from stdin (freeze)" : ") from stdin");
}

enum status load_copy(struct load *load)
{
    buffer_clear(&load->sql);
    append_statement(load);
    const char *sql = buffer_c_string(&load->sql);
    if (sql == NULL)
        return load_out_of_memory(load);
    enum status status = load_send_queue(load);
    if (status == STATUS_OK) {
        status = postgres_session_copy_begin(load->session, sql, load->failure);
        status = status == STATUS_OK ? status : load_words(load, status);
    }
    buffer_clear(&load->sql);
    if (status != STATUS_OK)
        return status;
    load->copied = load->handed = 0;
    buffer_clear(&load->copy);
    status = load_reread(load, &handlers);
    if (status == STATUS_OK && !flush(load))
        status = load->stopped;
    if (status != STATUS_OK) {
        bool ours = postgres_session_error(load->session)->sqlstate[0] == '\0';
        if (!ours)
            return blame_row(load, status);
        postgres_session_copy_abort(load->session, "the load was refused");
        return status;
    }
    uint64_t rows = 0;
    status = postgres_session_copy_end(load->session, &rows, load->failure);
    if (status != STATUS_OK)
        return blame_row(load, status);
    load->report->rows = rows;
    load->report->inserted = rows;
    load->report->quarantined = load->bad;
    return STATUS_OK;
}
