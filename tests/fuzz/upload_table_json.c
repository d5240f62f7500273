/* NDJSON or an array: read whole and in pieces they give the same; a row holds no more text than it may be long; nested
 * JSON that was handed out is read again as the same. The first bytes choose the format and the pieces. */
#define ROW_MAX 300

#include "tests/fuzz/upload_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    check_size(row, 0);
    for (size_t i = 0; i < row->count; i++) {
        if (row->fields[i].kind == FIELD_JSON)
            check_nested(row->fields[i].text);
        if (row->fields[i].kind == FIELD_PLAIN || row->fields[i].kind == FIELD_QUOTED)
            abort();
        if (memchr(row->fields[i].text.data, 0, row->fields[i].text.size) != NULL)
            abort(); /* none comes from an escape */
    }
    return transcript_row(context, row);
}

static const struct table_handlers handlers = {check_columns, check_column, check_row, transcript_bad_row};

static struct table_reader *reader_of(bool lines, struct transcript *transcript)
{
    return lines ? table_ndjson_create(&handlers, transcript) : table_json_create(&handlers, transcript);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct text file = text_of((const char *)data + 3, size - 3);
    if (memchr(file.data, 0, file.size) != NULL || !text_is_utf8(file))
        return 0; /* the decoder before the reader lets neither through */
    struct transcript whole = {.stop_after = data[0] >> 3}, cut = whole;
    bool lines = (data[0] & 1) == 0;
    uint32_t pieces = (uint32_t)data[1] << 8 | data[2] | 0x10000;
    enum status status = read_file(reader_of(lines, &whole), file, 0, &whole);
    check_same(status, &whole, read_file(reader_of(lines, &cut), file, pieces, &cut), &cut);
    return 0;
}
