#include "upload/sniff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "upload/infer.h"

#define FOLDER SLUICE_SOURCE_DIR "/tests/messy/"

static const struct sniff_told nothing = {
    .format = -1, .encoding = -1, .header = -1, .decimal_comma = -1, .date_order = -1};

static enum status sniff_whole(struct text file, struct sniffed *out)
{
    struct failure failure;
    return sniff(file, true, &nothing, out, &failure);
}

/* A file of tests/messy, read as a load reads it: sniffed, decoded, its types found, then each row as COPY's text. */
struct reading {
    struct sniffed sniffed;
    struct sniff_told told;
    struct infer_column columns[TABLE_COLUMNS_MAX];
    struct infer_result results[TABLE_COLUMNS_MAX];
    struct text names[TABLE_COLUMNS_MAX];
    size_t count, rows;
    bool copies; /* the second pass */
    struct arena arena;
    struct buffer out; /* rows as JSON */
    struct json json;
    uint64_t line;
    char words[512];
};

static bool on_column(void *context, struct text name)
{
    struct reading *reading = context;
    if (reading->copies)
        return true;
    infer_begin(&reading->columns[reading->count]);
    reading->names[reading->count++] = arena_copy(&reading->arena, name);
    return true;
}

static bool on_columns(void *context, const struct text *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        on_column(context, names[i]);
    return true;
}

/* COPY's text back to what it stands for. */
static void write_value(struct json *json, struct text copy)
{
    struct buffer plain;
    if (text_equal(copy, TEXT("\\N"))) {
        json_nothing(json);
        return;
    }
    buffer_init(&plain, 1 << 20);
    for (size_t i = 0; i < copy.size; i++) {
        char byte = copy.data[i];
        assert_true(byte != '\n' && byte != '\r' && byte != '\t');
        if (byte == '\\') {
            byte = copy.data[++i];
            byte = byte == 'n' ? '\n' : byte == 'r' ? '\r' : byte == 't' ? '\t' : byte;
        }
        buffer_append_char(&plain, byte);
    }
    json_text(json, plain.size != 0 ? buffer_text(&plain) : TEXT(""));
    buffer_free(&plain);
}

static bool on_row(void *context, const struct table_row *row)
{
    struct reading *reading = context;
    const struct infer_options options = {reading->sniffed.decimal_comma, reading->told.date_order};
    const struct field null = {FIELD_NULL, TEXT_NONE};
    if (!reading->copies) {
        for (size_t i = 0; i < row->count; i++)
            infer_add(&reading->columns[i], &options, &row->fields[i]);
        reading->rows++;
        return true;
    }
    json_open_array(&reading->json);
    for (size_t i = 0; i < reading->count; i++) {
        struct buffer copy;
        const char *reason = "";
        buffer_init(&copy, 1 << 20);
        if (infer_append_copy(&copy, &reading->results[i], i < row->count ? &row->fields[i] : &null, &reason) != 0)
            fail_msg("line %d: %s", (int)row->line, reason);
        write_value(&reading->json, buffer_text(&copy));
        buffer_free(&copy);
    }
    json_close_array(&reading->json);
    return true;
}

static bool on_bad_row(void *context, const struct table_bad_row *bad)
{
    struct reading *reading = context;
    reading->line = bad->line;
    snprintf(reading->words, sizeof(reading->words), "%s", bad->reason);
    return false;
}

static enum status pass(struct reading *reading, struct text utf8)
{
    static const struct table_handlers handlers = {on_columns, on_column, on_row, on_bad_row};
    struct table_reader *reader = reading->sniffed.format == SNIFF_CSV
                                      ? table_csv_create(&reading->sniffed.csv, &handlers, reading)
                                  : reading->sniffed.format == SNIFF_JSON ? table_json_create(&handlers, reading)
                                                                          : table_ndjson_create(&handlers, reading);
    struct failure failure;
    enum status status = table_read(reader, utf8, true, &failure);
    if (status == STATUS_INVALID)
        snprintf(reading->words, sizeof(reading->words), "%s", failure.message);
    table_reader_free(reader);
    return status;
}

static enum status read_file(struct reading *reading, struct text file, struct buffer *utf8)
{
    const struct infer_options options = {false, reading->told.date_order};
    struct failure failure = {0};
    enum status status = sniff(file, true, &reading->told, &reading->sniffed, &failure);
    if (status == STATUS_OK) {
        struct text_decoder decoder = {.encoding = reading->sniffed.encoding};
        size_t mark = reading->sniffed.mark;
        status = text_decode(&decoder, text_of(file.data + mark, file.size - mark), true, utf8, &failure);
        reading->line = decoder.line;
    }
    if (status != STATUS_OK) {
        snprintf(reading->words, sizeof(reading->words), "%s", failure.message);
        return status;
    }
    reading->line = 0;
    status = pass(reading, buffer_text(utf8));
    struct infer_options found = options;
    found.decimal_comma = reading->sniffed.decimal_comma;
    for (size_t i = 0; i < reading->count; i++)
        infer_end(&reading->columns[i], &found, &reading->results[i]);
    reading->copies = true;
    reading->json = json_writer(&reading->out);
    json_open_array(&reading->json);
    if (status == STATUS_OK)
        status = pass(reading, buffer_text(utf8));
    json_close_array(&reading->json);
    return status;
}

static struct text load_file(const char *path, struct arena *arena)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s is not there", path);
    char *data = arena_alloc(arena, (size_t)1 << 20);
    size_t size = fread(data, 1, (size_t)1 << 20, file);
    fclose(file);
    return text_of(data, size);
}

/* The table of expectations is an array of objects, which a reader of ours reads. */
struct expectations {
    struct arena arena;
    struct text names[32];
    size_t count, files, wrong;
};

static struct text member(const struct expectations *expected, const struct table_row *row, const char *name)
{
    for (size_t i = 0; i < row->count && i < expected->count; i++)
        if (text_equal(expected->names[i], text_from_string(name)))
            return row->fields[i].kind != FIELD_NULL ? row->fields[i].text : TEXT_NONE;
    return TEXT_NONE;
}

static bool keep_name(void *context, struct text name)
{
    struct expectations *expected = context;
    expected->names[expected->count++] = arena_copy(&expected->arena, name);
    return true;
}

static bool keep_names(void *context, const struct text *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        keep_name(context, names[i]);
    return true;
}

static void tell_member(void *context, struct text name, struct text value)
{
    struct sniff_told *told = context;
    int64_t number = 0;
    if (text_equal(name, TEXT("delimiter")))
        told->delimiter = value.data[0];
    else if (text_equal(name, TEXT("header")))
        told->header = text_equal(value, TEXT("true"));
    else if (text_equal(name, TEXT("date_order")))
        told->date_order = SNIFF_DMY;
    else if (text_equal(name, TEXT("null")))
        told->null = value;
    else if (text_equal(name, TEXT("skip_lines")) && text_to_int64(value, &number))
        told->skip_lines = (int)number;
    else if (text_equal(name, TEXT("encoding")))
        told->encoding = ENCODING_UTF8;
    else
        fail_msg("the test knows no told %.*s", TEXT_ARGS(name));
}

/* {"name":"value",…} of plain texts. */
static void tell(struct sniff_told *told, struct text json)
{
    struct text parts[8];
    size_t count = 0;
    for (size_t i = 0; i < json.size; i++)
        if (json.data[i] == '"') {
            const char *end = memchr(json.data + i + 1, '"', json.size - i - 1);
            parts[count++] = text_of(json.data + i + 1, (size_t)(end - json.data) - i - 1);
            i = (size_t)(end - json.data);
        }
    for (size_t i = 0; i + 1 < count; i += 2)
        tell_member(told, parts[i], parts[i + 1]);
}

static void compare(struct expectations *all, struct text file, const char *what, struct text expected, struct text got)
{
    if (expected.data == NULL || text_equal(expected, got))
        return;
    print_error("%.*s: %s: expected %.*s, got %.*s\n", TEXT_ARGS(file), what, TEXT_ARGS(expected), TEXT_ARGS(got));
    all->wrong++;
}

static struct text yes(bool value)
{
    return value ? TEXT("true") : TEXT("false");
}

static void compare_found(struct expectations *all, const struct table_row *row, const struct reading *reading)
{
    struct text file = member(all, row, "file");
    const struct sniffed *sniffed = &reading->sniffed;
    compare(all, file, "format", member(all, row, "format"), text_from_string(sniff_format_name(sniffed->format)));
    compare(all, file, "encoding", member(all, row, "encoding"),
            text_from_string(text_encoding_name(sniffed->encoding)));
    compare(all, file, "delimiter", member(all, row, "delimiter"), text_of(&sniffed->csv.delimiter, 1));
    compare(all, file, "quote", member(all, row, "quote"), text_of(&sniffed->csv.quote, 1));
    compare(all, file, "header", member(all, row, "header"), yes(sniffed->csv.has_header));
    compare(all, file, "decimal_comma", member(all, row, "decimal_comma"), yes(sniffed->decimal_comma));
}

static void compare_table(struct expectations *all, const struct table_row *row, const struct reading *reading)
{
    struct text file = member(all, row, "file");
    struct buffer names, types;
    buffer_init(&names, 1 << 20);
    buffer_init(&types, 1 << 20);
    struct json name_list = json_writer(&names), type_list = json_writer(&types);
    json_open_array(&name_list);
    json_open_array(&type_list);
    for (size_t i = 0; i < reading->count; i++) {
        json_text(&name_list, reading->names[i]);
        json_c_string(&type_list, infer_type_name(reading->results[i].type));
    }
    json_close_array(&name_list);
    json_close_array(&type_list);
    compare(all, file, "columns", member(all, row, "columns"), buffer_text(&names));
    compare(all, file, "types", member(all, row, "types"), buffer_text(&types));
    compare(all, file, "rows", member(all, row, "rows"), buffer_text(&reading->out));
    buffer_free(&names);
    buffer_free(&types);
}

static void compare_refusal(struct expectations *all, const struct table_row *row, struct reading *reading)
{
    struct text file = member(all, row, "file"), words = member(all, row, "refused");
    char line[32];
    if (reading->line == 0) { /* in the words */
        const char *at = strstr(reading->words, "line ");
        reading->line = at != NULL ? strtoull(at + 5, NULL, 10) : 0;
    }
    snprintf(line, sizeof(line), "%llu", (unsigned long long)reading->line);
    compare(all, file, "line", member(all, row, "line"), text_from_string(line));
    if (memmem(reading->words, strlen(reading->words), words.data, words.size) == NULL) {
        print_error("%.*s: no \"%.*s\" in: %s\n", TEXT_ARGS(file), TEXT_ARGS(words), reading->words);
        all->wrong++;
    }
}

static bool check_file(void *context, const struct table_row *row)
{
    struct expectations *all = context;
    struct text name = member(all, row, "file"), words = member(all, row, "refused");
    struct reading *reading = calloc(1, sizeof(*reading));
    struct buffer utf8;
    char path[512];
    snprintf(path, sizeof(path), FOLDER "%.*s", TEXT_ARGS(name));
    arena_init(&reading->arena, NULL, 0, 1 << 24);
    buffer_init(&reading->out, 1 << 20);
    buffer_init(&utf8, 1 << 22);
    reading->told = nothing;
    tell(&reading->told, member(all, row, "told"));
    enum status status = read_file(reading, load_file(path, &reading->arena), &utf8);
    all->files++;
    if (words.data != NULL && status == STATUS_OK) {
        print_error("%.*s is not refused\n", TEXT_ARGS(name));
        all->wrong++;
    } else if (words.data != NULL) {
        compare_refusal(all, row, reading);
    } else if (status != STATUS_OK) {
        print_error("%.*s is refused: %s\n", TEXT_ARGS(name), reading->words);
        all->wrong++;
    } else {
        compare_found(all, row, reading);
        compare_table(all, row, reading);
    }
    buffer_free(&utf8);
    buffer_free(&reading->out);
    arena_free(&reading->arena);
    free(reading);
    return true;
}

static bool no_bad_row(void *context, const struct table_bad_row *bad)
{
    fail_msg("expected.json, line %d: %s", (int)bad->line, bad->reason);
    return context == NULL;
}

static void each_messy_file_reads_as_expected_or_is_refused_with_its_line(void **state)
{
    static const struct table_handlers handlers = {keep_names, keep_name, check_file, no_bad_row};
    struct expectations all = {.count = 0};
    struct failure failure;
    arena_init(&all.arena, NULL, 0, 1 << 24);
    struct text table = load_file(FOLDER "expected.json", &all.arena);
    struct table_reader *reader = table_json_create(&handlers, &all);
    assert_int_equal(table_read(reader, table, true, &failure), STATUS_OK);
    table_reader_free(reader);
    arena_free(&all.arena);
    assert_true(all.files >= 60);
    assert_int_equal(all.wrong, 0);
}

static void what_is_told_is_not_guessed(void **state)
{
    struct sniff_told told = nothing;
    struct sniffed out;
    struct failure failure;
    told.delimiter = '|';
    told.quote = 'n';
    told.header = 0;
    told.format = SNIFF_CSV;
    told.encoding = ENCODING_LATIN1;
    told.decimal_comma = 1;
    told.null = TEXT("?");
    assert_int_equal(sniff(TEXT("a,b\n1,2\n"), true, &told, &out, &failure), STATUS_OK);
    assert_null(out.guessed[0]);
    assert_int_equal(out.csv.delimiter, '|');
    assert_int_equal(out.csv.quote, 0);
    assert_false(out.csv.has_header);
    assert_true(out.decimal_comma);
    assert_true(text_equal(out.csv.null, TEXT("?")));
    assert_int_equal(out.encoding, ENCODING_LATIN1);
}

static void what_is_guessed_is_said(void **state)
{
    struct sniffed out;
    static const char *const words[] = {"encoding", "format", "delimiter", "quote", "header", "decimal_comma", "null"};
    assert_int_equal(sniff_whole(TEXT("a;b\n1,5;2\nNA;3\n"), &out), STATUS_OK);
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(out.guessed[i], words[i]);
    assert_null(out.guessed[7]);
}

static void a_row_that_the_head_cuts_does_not_count(void **state)
{
    struct sniffed out;
    struct failure failure;
    assert_int_equal(sniff(TEXT("a,b\n1,2\n3,4\n5,\"x;y;z\n;"), false, &nothing, &out, &failure), STATUS_OK);
    assert_int_equal(out.csv.delimiter, ',');
    assert_int_equal(out.csv.quote, '"');
    assert_true(out.csv.has_header);
}

static void a_file_of_utf16_told_without_order_goes_by_its_mark(void **state)
{
    struct sniff_told told = nothing;
    struct sniffed out;
    struct failure failure;
    told.encoding = ENCODING_UTF16LE;
    assert_int_equal(sniff(TEXT("\xFE\xFF\0a\0\n\0"
                                "1\0\n"),
                           true, &told, &out, &failure),
                     STATUS_OK);
    assert_int_equal(out.encoding, ENCODING_UTF16BE);
    assert_int_equal(out.mark, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_messy_file_reads_as_expected_or_is_refused_with_its_line),
        cmocka_unit_test(what_is_told_is_not_guessed),
        cmocka_unit_test(what_is_guessed_is_said),
        cmocka_unit_test(a_row_that_the_head_cuts_does_not_count),
        cmocka_unit_test(a_file_of_utf16_told_without_order_goes_by_its_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
