#include "upload/table_private.h"

#include <stdlib.h>

#define NOWHERE (PTRDIFF_MIN / 2)

enum place { BEFORE, FIRST /* behind [ */, ELEMENT /* behind a comma */, OBJECT, NEXT /* behind an element */, AFTER };

/* An object's end is found by its braces outside of strings; whether it is JSON is then json_rows_add's to say. So a
 * mistake within an object costs that row only, as long as its braces and quotes are paired. */
struct json_array {
    struct json_rows rows; /* first */
    enum place place;
    bool single;         /* one object without an array */
    bool in_string;      /* of the cut object, as are those below */
    ptrdiff_t backslash; /* the last one that may escape what follows, from the first byte at hand */
    size_t searched;     /* bytes of the object that were looked at */
    uint64_t depth;      /* of braces */
    uint64_t line;       /* where the object begins */
};

static void refuse(struct json_array *array, char byte, const char *wanted)
{
    const char *what = byte == '{'                                                ? "an object"
                       : byte == '['                                              ? "an array"
                       : byte == '"'                                              ? "a text"
                       : (byte >= '0' && byte <= '9') || byte == '-'              ? "a number"
                       : byte == 't' || byte == 'f' || byte == 'n'                ? "true, false or null"
                       : byte == ',' || byte == ']' || byte == '}' || byte == ':' ? "punctuation"
                                                                                  : "no JSON";
    table_fail(&array->rows.reader, STATUS_INVALID,
               "line %llu: %s: here stands %s. A JSON file is an array of objects ([{…}, {…}]) or one object; objects "
               "one a line are NDJSON",
               (unsigned long long)array->rows.reader.line, wanted, what);
}

/* One byte between objects. True: an object begins with it. */
static bool meet(struct json_array *array, char byte)
{
    bool opens = byte == '{' && (array->place == BEFORE || array->place == FIRST || array->place == ELEMENT);
    if (json_is_space(byte)) {
        array->rows.reader.line += byte == '\n';
    } else if (opens) {
        array->single = array->place == BEFORE;
        array->place = OBJECT;
        array->line = array->rows.reader.line;
        array->in_string = false;
        array->backslash = NOWHERE;
        array->depth = 0;
    } else if (array->place == BEFORE && byte == '[') {
        array->place = FIRST;
    } else if (array->place == NEXT && byte == ',') {
        array->place = ELEMENT;
    } else if ((array->place == FIRST || array->place == NEXT) && byte == ']') {
        array->place = AFTER;
    } else {
        static const char *const wanted[] = {
            "an array of objects is wanted",        "an object is wanted in the array",
            "an object is wanted behind the comma", "",
            ", or ] is wanted behind an object",    "nothing is wanted behind the end"};
        refuse(array, byte, wanted[array->place]);
    }
    return opens;
}

static void meet_quote(struct json_array *array, ptrdiff_t at)
{
    if (array->in_string && array->backslash == at - 1)
        array->backslash = NOWHERE;
    else
        array->in_string = !array->in_string;
}

/* The object that begins at `begin`: where it ends (past its brace), or 0 where it does not yet. */
static size_t find_end(struct json_array *array, struct text data, size_t begin)
{
    static const char needles[] = {'"', '\\', '{', '}', '\n'};
    for (size_t block = begin + array->searched; block < data.size; block += 64) {
        size_t left = data.size - block;
        uint64_t found = left >= 64 ? table_find(data.data + block, needles, sizeof(needles))
                                    : table_find_tail(data.data + block, left, needles, sizeof(needles));
        for (; found != 0; found &= found - 1) {
            ptrdiff_t at = (ptrdiff_t)(block + (size_t)__builtin_ctzll(found));
            switch (data.data[at]) {
            case '"':
                meet_quote(array, at);
                break;
            case '\\':
                if (array->in_string)
                    array->backslash = array->backslash == at - 1 ? NOWHERE : at;
                break;
            case '\n':
                array->rows.reader.line++;
                break;
            case '{':
                array->depth += !array->in_string;
                break;
            default:
                if (!array->in_string && --array->depth == 0)
                    return (size_t)at + 1;
            }
        }
    }
    return 0;
}

static void finish_object(struct json_array *array, struct text object)
{
    struct table_reader *reader = &array->rows.reader;
    if (!reader->passing && object.size > reader->row_max)
        table_hand_long_row(reader, array->line, object, "");
    else if (!reader->passing)
        json_rows_add(&array->rows, object, array->line);
    reader->passing = false;
    array->place = array->single ? AFTER : NEXT;
    array->searched = 0;
}

/* The object goes on behind the data: how much of the data is done with. */
static size_t keep_object(struct json_array *array, struct text data, size_t begin)
{
    struct table_reader *reader = &array->rows.reader;
    if (!reader->passing && data.size - begin > reader->row_max) {
        table_hand_long_row(reader, array->line, text_of(data.data + begin, data.size - begin), "");
        reader->passing = true;
    }
    size_t done = reader->passing ? data.size : begin;
    array->backslash -= (ptrdiff_t)done;
    array->searched = data.size - done;
    return done;
}

static size_t json_scan(struct table_reader *reader, struct text data, bool one_row)
{
    struct json_array *array = (struct json_array *)reader;
    size_t at = 0;
    while (at < data.size && !table_is_over(reader)) {
        if (array->place != OBJECT && !meet(array, data.data[at])) {
            at++;
            continue;
        }
        size_t end = find_end(array, data, at);
        if (end == 0)
            return keep_object(array, data, at);
        finish_object(array, text_of(data.data + at, end - at));
        at = end;
        if (one_row)
            break;
    }
    return at;
}

static void json_end(struct table_reader *reader, struct text rest)
{
    struct json_array *array = (struct json_array *)reader;
    (void)rest;
    if (array->place == BEFORE)
        table_fail(reader, STATUS_INVALID, "the file has no row");
    else if (array->place == OBJECT)
        table_fail(reader, STATUS_INVALID, "the object that begins in line %llu does not end%s",
                   (unsigned long long)array->line, array->in_string ? ": the file ends within a string" : "");
    else if (array->place != AFTER)
        table_fail(reader, STATUS_INVALID, "the array does not end: ] is missing behind line %llu",
                   (unsigned long long)reader->line);
    else if (!reader->has_columns)
        table_fail(reader, STATUS_INVALID, "the file has no object with members, so no columns are known");
}

static void json_free(struct table_reader *reader)
{
    json_rows_free((struct json_rows *)reader);
    free(reader);
}

struct table_reader *table_json_create(const struct table_handlers *handlers, void *context)
{
    static const struct table_format format = {json_scan, json_end, json_free};
    struct json_array *array = calloc(1, sizeof(*array));
    if (array != NULL && !json_rows_init(&array->rows, &format, handlers, context)) {
        table_reader_free(&array->rows.reader);
        array = NULL;
    }
    return array != NULL ? &array->rows.reader : NULL;
}
