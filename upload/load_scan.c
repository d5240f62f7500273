/* The first pass: the body as it comes becomes UTF-8 in the spool, and what its columns can be is found out. */
#include <stdlib.h>

#include "upload/load_private.h"

/* The bytes that the file's format is judged by. */
static enum status read_head(struct load *load, struct buffer *head, bool *whole)
{
    *whole = false;
    while (head->size < SNIFF_SIZE && !*whole) {
        size_t size = SNIFF_SIZE - head->size, got = 0;
        char *room = buffer_reserve(head, size);
        if (room == NULL)
            return load_out_of_memory(load);
        if (load_is_cancelled(load))
            return failure_set(load->failure, STATUS_UNAVAILABLE, "the load was told to end; send it again");
        enum status status = body_read(load->body, room, size, &got, load->failure);
        if (status != STATUS_OK)
            return status;
        head->size += got;
        *whole = got == 0;
    }
    return STATUS_OK;
}

static bool add_column(struct load *load, struct text name)
{
    struct load_report *report = load->report;
    if (load->count == load->capacity) {
        size_t capacity = load->capacity == 0 ? 64 : load->capacity * 2;
        struct load_target *grown = arena_calloc(report->arena, capacity, sizeof(*grown));
        if (grown == NULL)
            return false;
        if (load->count != 0)
            memcpy(grown, load->columns, load->count * sizeof(*grown));
        load->columns = grown;
        load->capacity = capacity;
    }
    struct load_target *column = &load->columns[load->count];
    column->name = arena_copy(report->arena, name);
    infer_begin(&column->known);
    column->known.nulls = load->rows; /* rows before this column came */
    load->count++;
    return column->name.data != NULL;
}

static bool scan_columns(void *context, const struct text *names, size_t count)
{
    struct load *load = context;
    for (size_t i = 0; i < count; i++)
        if (!add_column(load, names[i])) {
            load->stopped = load_out_of_memory(load);
            return false;
        }
    return true;
}

static bool scan_column(void *context, struct text name)
{
    struct load *load = context;
    for (size_t i = 0; i < load->count; i++)
        if (text_equal(load->columns[i].name, name)) {
            load->stopped = load_blame(load, 0, name, "two columns are called %s", load_cut(load, name));
            return false;
        }
    return scan_columns(context, &name, 1);
}

static bool scan_row(void *context, const struct table_row *row)
{
    struct load *load = context;
    struct load_target *columns = load->columns;
    size_t count = row->count < load->count ? row->count : load->count;
    for (size_t i = 0; i < count; i++)
        infer_add(&columns[i].known, &load->infer, &row->fields[i]);
    load->rows++;
    return true;
}

static bool scan_bad_row(void *context, const struct table_bad_row *bad)
{
    return load_add_bad_row(context, bad, true);
}

static struct table_reader *create_reader(const struct load *load, const struct table_handlers *handlers, void *context)
{
    switch (load->report->sniffed.format) {
    case SNIFF_NDJSON:
        return table_ndjson_create(handlers, context);
    case SNIFF_JSON:
        return table_json_create(handlers, context);
    default:
        return table_csv_create(&load->report->sniffed.csv, handlers, context);
    }
}

/* The line that a reader's words name: "line 3: …", "… that opens in line 3 …"; 0: none. */
static uint64_t line_of(const char *words)
{
    const char *at = words;
    while ((at = strstr(at, "line ")) != NULL) {
        at += 5;
        if (*at >= '1' && *at <= '9')
            return strtoull(at, NULL, 10);
    }
    return 0;
}

/* Where a handler said stop, its words count, not the reader's. */
static enum status feed(struct load *load, struct table_reader *reader, struct text piece, bool last)
{
    struct failure words = {0};
    enum status status = table_read(reader, piece, last, &words);
    if (status == STATUS_OK)
        return status;
    if (load->stopped != STATUS_OK)
        return load->stopped;
    if (status == STATUS_INVALID)
        load->report->line = line_of(words.message);
    return failure_set(load->failure, status, "%s", words.message);
}

/* Decodes `piece` and hands it on. */
static enum status take(struct load *load, struct table_reader *reader, struct text_decoder *decoder, struct text piece,
                        bool last, struct buffer *utf8)
{
    buffer_clear(utf8);
    enum status status = text_decode(decoder, piece, last, utf8, load->failure);
    if (status == STATUS_INVALID)
        load->report->line = decoder->line;
    if (status == STATUS_OK && utf8->failed)
        status = load_out_of_memory(load);
    if (status == STATUS_OK && utf8->size != 0)
        status = spool_write(load->spool, buffer_text(utf8), load->failure);
    return status == STATUS_OK ? feed(load, reader, buffer_text(utf8), last) : status;
}

static enum status take_body(struct load *load, struct table_reader *reader, struct buffer *head, bool whole)
{
    const struct sniffed *sniffed = &load->report->sniffed;
    struct text_decoder decoder = {.encoding = sniffed->encoding, .line = 1};
    struct text rest = text_of(head->data + sniffed->mark, head->size - sniffed->mark);
    struct buffer utf8;
    enum status status = STATUS_OK;
    size_t got = 1;
    buffer_init(&utf8, 4 * LOAD_PIECE); /* Windows-1252 grows by three at most */
    /* The head in pieces too, so that the decoded text stays as small as later. */
    while (status == STATUS_OK && rest.size > LOAD_PIECE) {
        status = take(load, reader, &decoder, text_of(rest.data, LOAD_PIECE), false, &utf8);
        rest = text_of(rest.data + LOAD_PIECE, rest.size - LOAD_PIECE);
    }
    if (status == STATUS_OK)
        status = take(load, reader, &decoder, rest, whole, &utf8);
    while (status == STATUS_OK && !whole && got != 0) {
        if (load_is_cancelled(load))
            status = failure_set(load->failure, STATUS_UNAVAILABLE, "the load was told to end; send it again");
        else
            status = body_read(load->body, head->data, LOAD_PIECE, &got, load->failure);
        if (status == STATUS_OK)
            status = take(load, reader, &decoder, text_of(head->data, got), got == 0, &utf8);
    }
    buffer_free(&utf8);
    return status;
}

static enum status scan_head(struct load *load, struct buffer *head)
{
    static const struct table_handlers handlers = {scan_columns, scan_column, scan_row, scan_bad_row};
    struct load_report *report = load->report;
    bool whole;
    enum status status = read_head(load, head, &whole);
    if (status == STATUS_OK)
        status = sniff(buffer_text(head), whole, &load->order->told, &report->sniffed, load->failure);
    if (status != STATUS_OK)
        return status;
    load->infer = (struct infer_options){report->sniffed.decimal_comma, load->order->told.date_order};
    struct table_reader *reader = create_reader(load, &handlers, load);
    if (reader == NULL)
        return load_out_of_memory(load);
    status = take_body(load, reader, head, whole);
    table_reader_free(reader);
    return status;
}

static enum status check_share(struct load *load)
{
    const struct load_report *report = load->report;
    uint64_t all = load->rows + load->bad;
    if (load->bad == 0 || (double)load->bad <= load->order->max_bad * (double)all)
        return STATUS_OK;
    const struct load_bad_row *first = &report->bad[0];
    return load_blame(load, first->line, first->column,
                      "%llu of %llu rows do not fit, and max_bad=%g allows fewer; the first is line %llu: %.*s",
                      (unsigned long long)load->bad, (unsigned long long)all, load->order->max_bad,
                      (unsigned long long)first->line, TEXT_ARGS(first->reason));
}

enum status load_scan(struct load *load)
{
    struct load_report *report = load->report;
    struct buffer head;
    enum status status = spool_open(load->environment->spool, &load->spool, load->failure);
    if (status != STATUS_OK)
        return status;
    buffer_init(&head, SNIFF_SIZE + 1);
    status = scan_head(load, &head);
    buffer_free(&head);
    if (status != STATUS_OK)
        return status;
    report->bytes = body_size(load->body);
    report->raw_bytes = body_raw_size(load->body);
    body_digest(load->body, report->digest);
    if (load->count == 0)
        return load_blame(load, 0, TEXT_NONE, "the file has no column; send a header line, or rows");
    return check_share(load);
}

enum status load_reread(struct load *load, const struct table_handlers *handlers)
{
    struct table_reader *reader = create_reader(load, handlers, load);
    struct buffer piece;
    enum status status = STATUS_OK;
    size_t got = 1;
    buffer_init(&piece, LOAD_PIECE);
    char *room = buffer_reserve(&piece, LOAD_PIECE);
    spool_rewind(load->spool);
    load->stopped = STATUS_OK;
    if (reader == NULL || room == NULL)
        status = load_out_of_memory(load);
    while (status == STATUS_OK && got != 0) {
        if (load_is_cancelled(load))
            status = failure_set(load->failure, STATUS_UNAVAILABLE, "the load was told to end; send it again");
        else
            status = spool_read(load->spool, room, LOAD_PIECE, &got, load->failure);
        if (status == STATUS_OK)
            status = feed(load, reader, text_of(room, got), got == 0);
    }
    if (reader != NULL)
        table_reader_free(reader);
    buffer_free(&piece);
    return status;
}

/* `column` by the number that the second pass knows it by. */
static void remember(struct load *load, const struct table_bad_row *bad)
{
    struct load_report *report = load->report;
    if (report->bad_count == LOAD_BAD_TOLD)
        return;
    struct load_bad_row *kept = &report->bad[report->bad_count];
    struct text name =
        bad->column >= 0 && (size_t)bad->column < load->count ? load->columns[bad->column].name : TEXT_NONE;
    kept->line = bad->line;
    kept->column = name;
    kept->reason = arena_copy(report->arena, text_from_string(bad->reason));
    kept->raw = arena_copy(report->arena, text_from_string(load_cut(load, bad->raw)));
    if (kept->reason.data != NULL && kept->raw.data != NULL)
        report->bad_count++;
}

bool load_add_bad_row(struct load *load, const struct table_bad_row *bad, bool counts)
{
    bool first_pass = load->session == NULL;
    if (counts) {
        load->bad++;
        load->rows -= first_pass ? 0 : 1; /* the reader had it for a good one */
        remember(load, bad);
    }
    uint64_t all = load->rows + load->bad;
    struct text name =
        bad->column >= 0 && (size_t)bad->column < load->count ? load->columns[bad->column].name : TEXT_NONE;
    if (load->order->max_bad <= 0)
        load->stopped = load_blame(
            load, bad->line, name, "line %llu%s%.*s: %s; correct it, or let max_bad allow a share of bad rows",
            (unsigned long long)bad->line, name.size != 0 ? ", column " : "", TEXT_ARGS(name), bad->reason);
    else if (!first_pass && (double)load->bad > load->order->max_bad * (double)all)
        load->stopped =
            load_blame(load, bad->line, name,
                       "%llu of %llu rows and more do not fit, max_bad=%g allows fewer; line %llu%s%.*s: %s",
                       (unsigned long long)load->bad, (unsigned long long)all, load->order->max_bad,
                       (unsigned long long)bad->line, name.size != 0 ? ", column " : "", TEXT_ARGS(name), bad->reason);
    return load->stopped == STATUS_OK;
}
