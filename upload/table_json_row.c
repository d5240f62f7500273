#include "upload/table_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

#define SLOTS 4096                  /* a power of two, more than twice TABLE_COLUMNS_MAX */
#define NAME_MAX_RAW 1024           /* bytes of a member's name: all of them are kept */
#define NAMES_MAX ((size_t)1 << 20) /* bytes that table_names may need at a time */

_Static_assert(SLOTS > 2 * TABLE_COLUMNS_MAX, "the table of names must stay half empty");

bool json_rows_init(struct json_rows *rows, const struct table_format *format, const struct table_handlers *handlers,
                    void *context)
{
    table_reader_init(&rows->reader, format, handlers, context);
    buffer_init(&rows->out, TABLE_ROW_MAX + 64);
    rows->columns = calloc(TABLE_COLUMNS_MAX, sizeof(*rows->columns));
    rows->fields = calloc(TABLE_COLUMNS_MAX, sizeof(*rows->fields));
    rows->names = calloc(TABLE_COLUMNS_MAX, sizeof(*rows->names));
    rows->slots = calloc(SLOTS, sizeof(*rows->slots));
    return rows->columns != NULL && rows->fields != NULL && rows->names != NULL && rows->slots != NULL;
}

void json_rows_free(struct json_rows *rows)
{
    buffer_free(&rows->out);
    free(rows->columns);
    free(rows->fields);
    free(rows->names);
    free(rows->slots);
}

/* Where the name is in the table of names, or would be. */
static uint16_t *find_slot(const struct json_rows *rows, struct text raw)
{
    size_t at = hash_text(raw) & (SLOTS - 1);
    while (rows->slots[at] != 0 && !text_equal(rows->columns[rows->slots[at] - 1].raw, raw))
        at = (at + 1) & (SLOTS - 1);
    return &rows->slots[at];
}

static bool refuse(struct json_rows *rows, const char *what, struct text name)
{
    struct table_reader *reader = &rows->reader;
    size_t size = name.size < TABLE_NAME_MAX ? name.size : TABLE_NAME_MAX;
    while (size < name.size && size != 0 && ((unsigned char)name.data[size] & 0xC0) == 0x80)
        size--;
    snprintf(reader->reason, sizeof(reader->reason), "%s \"%.*s\"%s", what, (int)size, name.data,
             size < name.size ? " …" : "");
    return false;
}

/* Puts a member in its column's place. *guess: the column that it has if members come in the order they came before.
 * *fresh: columns that this row is the first to have. False: reader.reason says why it can't be. */
static bool place(struct json_rows *rows, const struct json_member *member, size_t *guess, size_t *fresh)
{
    size_t known = rows->reader.column_count, index = *guess;
    if (index >= known || !text_equal(rows->columns[index].raw, member->name)) {
        if (member->name.size > NAME_MAX_RAW)
            return refuse(rows, "has a member whose name is longer than 1024 bytes:", member->name);
        uint16_t *slot = find_slot(rows, member->name);
        if (*slot == 0) {
            if (known + *fresh == TABLE_COLUMNS_MAX)
                return refuse(rows, "makes more than 1500 columns with", member->name);
            index = known + (*fresh)++;
            rows->columns[index] = (struct json_column){.raw = member->name};
            *slot = (uint16_t)(index + 1);
        } else {
            index = *slot - 1u;
        }
    }
    if (rows->columns[index].seen == rows->row)
        return refuse(rows, "has more than one member", member->name);
    rows->columns[index].seen = rows->row;
    rows->fields[index] = member->value;
    *guess = index + 1;
    return true;
}

/* The columns of a row that turned out bad are none. */
static void forget(struct json_rows *rows, size_t fresh)
{
    if (fresh == 0)
        return;
    memset(rows->slots, 0, SLOTS * sizeof(*rows->slots));
    for (size_t i = 0; i < rows->reader.column_count; i++)
        *find_slot(rows, rows->columns[i].raw) = (uint16_t)(i + 1);
}

/* Finds PostgreSQL's names for the new columns, and keeps copies of both names. */
static enum status settle_names(struct json_rows *rows, size_t fresh, struct failure *failure)
{
    size_t known = rows->reader.column_count, count = known + fresh;
    struct arena scratch;
    for (size_t i = 0; i < count; i++) /* a name that was settled before stays as it is */
        rows->names[i] = i < known ? rows->columns[i].name : rows->columns[i].raw;
    arena_init(&scratch, NULL, 0, NAMES_MAX);
    enum status status = table_names(rows->names, count, &scratch, failure);
    for (size_t i = known; i < count && status == STATUS_OK; i++) {
        struct json_column *column = &rows->columns[i];
        column->name = rows->names[i] = arena_copy(&rows->reader.names, rows->names[i]);
        column->raw = arena_copy(&rows->reader.names, column->raw);
        if (column->name.data == NULL || column->raw.data == NULL)
            status = failure_set(failure, STATUS_FAILED, "out of memory while reading the file");
    }
    arena_free(&scratch);
    return status;
}

/* The first row's members are the columns, later ones come one by one. False: the row can't be handed out. */
static bool settle(struct json_rows *rows, size_t fresh, struct text text, uint64_t line)
{
    struct table_reader *reader = &rows->reader;
    struct failure failure;
    size_t known = reader->column_count;
    enum status status = settle_names(rows, fresh, &failure);
    if (status == STATUS_INVALID && reader->has_columns) {
        snprintf(reader->reason, sizeof(reader->reason), "%.*s", (int)sizeof(reader->reason) - 1, failure.message);
        forget(rows, fresh);
        table_hand_bad_row(reader, line, -1, text);
        return false;
    }
    if (status != STATUS_OK) {
        table_fail(reader, status, "line %llu: %s", (unsigned long long)line, failure.message);
        return false;
    }
    if (!reader->has_columns)
        table_hand_columns(reader, rows->names, fresh);
    for (size_t i = known; i < known + fresh && known != 0 && !table_is_over(reader); i++) {
        reader->column_count++;
        if (!reader->handlers.on_column(reader->context, rows->columns[i].name))
            table_fail(reader, STATUS_DENIED, "reading the file was stopped");
    }
    return !table_is_over(reader);
}

void json_rows_add(struct json_rows *rows, struct text text, uint64_t line)
{
    struct table_reader *reader = &rows->reader;
    struct json_object object;
    struct json_member member;
    enum json_step step;
    size_t guess = 0, fresh = 0;
    rows->row++;
    if (!json_object_begin(&object, text, &rows->out, reader->reason, sizeof(reader->reason))) {
        table_out_of_memory(reader);
        return;
    }
    for (size_t i = 0; i < reader->column_count; i++)
        rows->fields[i] = (struct field){FIELD_NULL, TEXT("")};
    while ((step = json_object_next(&object, &member)) == JSON_MEMBER)
        if (!place(rows, &member, &guess, &fresh))
            break;
    if (step == JSON_END && !reader->has_columns && fresh == 0) {
        snprintf(reader->reason, sizeof(reader->reason),
                 "has no members, and no row before it that would tell columns");
        step = JSON_WRONG;
    }
    if (step != JSON_END) {
        forget(rows, fresh);
        table_hand_bad_row(reader, line, -1, text);
        return;
    }
    if (fresh != 0 && !settle(rows, fresh, text, line))
        return;
    struct table_row row = {rows->fields, reader->column_count, line};
    table_hand_row(reader, &row);
}
