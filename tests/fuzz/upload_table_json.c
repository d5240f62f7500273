/* NDJSON or an array: read whole and in pieces they give the same; a row holds no more text than it may be long; nested
 * JSON that was handed out is read again as the same. The first bytes choose the format and the pieces. */
#include "tests/unit/upload/transcript.h"

#define ROW_MAX 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t columns;

static bool check_columns(void *context, const struct text *names, size_t count)
{
    if (count == 0 || count > TABLE_COLUMNS_MAX)
        abort();
    columns = count;
    return transcript_columns(context, names, count);
}

static bool check_column(void *context, struct text name)
{
    if (++columns > TABLE_COLUMNS_MAX || name.size == 0 || name.size > TABLE_NAME_MAX)
        abort();
    return transcript_column(context, name);
}

/* Compact JSON is what it is made into again. */
static void check_nested(struct text json)
{
    struct buffer file, out;
    struct json_object object;
    struct json_member member;
    char reason[256];
    buffer_init(&file, 4096);
    buffer_init(&out, 4096);
    buffer_append_literal(&file, "{\"x\": ");
    buffer_append_text(&file, json);
    buffer_append_literal(&file, " }");
    if (!json_object_begin(&object, buffer_text(&file), &out, reason, sizeof(reason)) ||
        json_object_next(&object, &member) != JSON_MEMBER || member.value.kind != FIELD_JSON ||
        !text_equal(member.value.text, json) || json_object_next(&object, &member) != JSON_END)
        abort();
    buffer_free(&file);
    buffer_free(&out);
}

static bool check_row(void *context, const struct table_row *row)
{
    size_t bytes = 0;
    if (row->count != columns || row->line == 0)
        abort();
    for (size_t i = 0; i < row->count; i++) {
        bytes += row->fields[i].text.size;
        if (row->fields[i].kind == FIELD_JSON)
            check_nested(row->fields[i].text);
        if (row->fields[i].kind == FIELD_PLAIN || row->fields[i].kind == FIELD_QUOTED)
            abort();
        if (memchr(row->fields[i].text.data, 0, row->fields[i].text.size) != NULL)
            abort(); /* none comes from an escape */
    }
    if (bytes > ROW_MAX)
        abort();
    return transcript_row(context, row);
}

static enum status read_file(bool lines, struct text file, uint32_t pieces, struct transcript *transcript)
{
    const struct table_handlers handlers = {check_columns, check_column, check_row, transcript_bad_row};
    struct table_reader *reader =
        lines ? table_ndjson_create(&handlers, transcript) : table_json_create(&handlers, transcript);
    struct failure failure = {0};
    enum status status = STATUS_OK;
    if (reader == NULL)
        abort();
    reader->row_max = ROW_MAX;
    buffer_init(&transcript->out, (size_t)1 << 26);
    do {
        size_t piece = file.size;
        if (pieces != 0) {
            pieces = pieces * 1664525 + 1013904223;
            piece = pieces >> 30 == 0 ? 1 : (pieces >> 20) % 150;
        }
        piece = piece < file.size ? piece : file.size;
        char *copy = malloc(piece != 0 ? piece : 1);
        if (copy == NULL)
            abort();
        if (piece != 0)
            memcpy(copy, file.data, piece);
        file = text_of(file.data + piece, file.size - piece);
        status = table_read(reader, text_of(copy, piece), file.size == 0, &failure);
        free(copy);
    } while (status == STATUS_OK && file.size != 0);
    if (status != STATUS_OK)
        buffer_printf(&transcript->out, "%s: %s\n", status_name(status), failure.message);
    table_reader_free(reader);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct text file = text_of((const char *)data + 3, size - 3);
    if (memchr(file.data, 0, file.size) != NULL || !text_is_utf8(file))
        return 0; /* the decoder before the reader lets neither through */
    struct transcript whole = {.stop_after = data[0] >> 3}, cut = whole;
    enum status status = read_file((data[0] & 1) == 0, file, 0, &whole);
    if (read_file((data[0] & 1) == 0, file, (uint32_t)data[1] << 8 | data[2] | 0x10000, &cut) != status ||
        status == STATUS_FAILED || whole.out.failed || !text_equal(buffer_text(&whole.out), buffer_text(&cut.out)))
        abort();
    buffer_free(&whole.out);
    buffer_free(&cut.out);
    return 0;
}
