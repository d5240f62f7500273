#include "upload/sniff.h"

#include "upload/sniff_private.h"

#define SAMPLE ((size_t)256 << 10) /* bytes that the form of a CSV is found from */

const char *sniff_format_name(enum sniff_format format)
{
    static const char *const names[] = {"csv", "ndjson", "json"};
    return names[format];
}

void sniff_guessed(struct sniffed *out, const char *what)
{
    size_t i = 0;
    while (out->guessed[i] != NULL)
        i++;
    if (i + 1 < sizeof(out->guessed) / sizeof(out->guessed[0]))
        out->guessed[i] = what;
}

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* What a file is that is no text, by its first bytes; NULL: nothing known. */
static const char *known_binary(struct text head)
{
    static const struct {
        struct text magic;
        const char *what;
    } known[] = {
        {{"PAR1", 4}, "a Parquet file, which is not read here; export it as CSV or NDJSON"},
        {{"\x1f\x8b", 2}, "compressed with gzip; send it with the header Content-Encoding: gzip"},
        {{"\x28\xb5\x2f\xfd", 4}, "compressed with zstd; send it with the header Content-Encoding: zstd"},
        {{"BZh", 3}, "compressed with bzip2; unpack it"},
        {{"\xfd\x37zXZ", 5}, "compressed with xz; unpack it"},
        {{"7z\xbc\xaf\x27\x1c", 6}, "a 7z archive; unpack it"},
        {{"%PDF-", 5}, "a PDF; export the table as CSV"},
        {{"\xd0\xcf\x11\xe0", 4}, "a spreadsheet of an old kind (xls); export it as CSV"},
        {{"SQLite format 3", 15}, "a database of SQLite; export the table as CSV"},
        {{"Obj\x01", 4}, "an Avro file; export it as CSV or NDJSON"},
        {{"ORC\x0a", 4}, "an ORC file; export it as CSV or NDJSON"},
        {{"ARROW1", 6}, "an Arrow file; export it as CSV or NDJSON"},
        {{"\x89PNG", 4}, "an image (PNG)"},
        {{"\xff\xd8\xff", 3}, "an image (JPEG)"},
        {{"\xff\xfe\0\0", 4}, "UTF-32; save it as UTF-8"},
        {{"\0\0\xfe\xff", 4}, "UTF-32; save it as UTF-8"},
    };
    if (text_starts_with(head, TEXT("PK\3\4")))
        return memmem(head.data, head.size, "xl/", 3) != NULL ? "a spreadsheet (xlsx); export it as CSV"
                                                              : "a zip archive; unpack it";
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (text_starts_with(head, known[i].magic))
            return known[i].what;
    return NULL;
}

/* Control characters that no text has, in more than a tenth of the first bytes. */
static bool is_binary(struct text head)
{
    size_t size = head.size < 4096 ? head.size : 4096, controls = 0;
    for (size_t i = 0; i < size; i++)
        controls += (unsigned char)head.data[i] < 0x20 && !is_space(head.data[i]);
    return controls * 10 > size && controls > 2;
}

static enum status check_binary(struct text head, const struct sniffed *sniffed, struct failure *failure)
{
    const char *what = known_binary(head);
    if (what != NULL)
        return failure_set(failure, STATUS_INVALID, "the file is %s", what);
    if ((sniffed->encoding == ENCODING_UTF8 || sniffed->encoding == ENCODING_LATIN1) && is_binary(head))
        return failure_set(failure, STATUS_INVALID, "the file is binary; send CSV, NDJSON or JSON");
    return STATUS_OK;
}

/* Pages that came instead of the file, as after a login that ran out. */
static const char *other_markup(struct text text)
{
    static const char *const pages[] = {"<!doctype html", "<html", "<?xml"};
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        size_t size = strlen(pages[i]);
        if (text.size >= size && text_equal_ignoring_case(text_of(text.data, size), text_of(pages[i], size)))
            return i < 2 ? "a page of HTML" : "XML";
    }
    return NULL;
}

/* Behind the object that begins at `at`; SIZE_MAX: it has no end here. */
static size_t skip_object(struct text text, size_t at)
{
    size_t depth = 0;
    bool quoted = false;
    for (; at < text.size; at++) {
        char byte = text.data[at];
        if (quoted) {
            if (byte == '\\')
                at++;
            quoted = byte != '"';
        } else if (byte == '"') {
            quoted = true;
        } else if (byte == '{' || byte == '[') {
            depth++;
        } else if ((byte == '}' || byte == ']') && --depth == 0) {
            return at + 1;
        }
    }
    return SIZE_MAX;
}

static size_t skip_spaces(struct text text, size_t at)
{
    while (at < text.size && is_space(text.data[at]))
        at++;
    return at;
}

static enum sniff_format guess_format(struct text sample)
{
    size_t first = skip_spaces(sample, 0);
    if (first == sample.size)
        return SNIFF_CSV;
    if (sample.data[first] == '[') {
        size_t next = skip_spaces(sample, first + 1);
        /* [1, 2] and [["a"]] are JSON too, and refused as such; [name],[size] is a header. */
        bool json = next == sample.size || strchr("{[]\"-0123456789", sample.data[next]) != NULL;
        return json ? SNIFF_JSON : SNIFF_CSV;
    }
    size_t next = sample.data[first] == '{' ? skip_spaces(sample, first + 1) : sample.size;
    if (next >= sample.size || (sample.data[next] != '"' && sample.data[next] != '}'))
        return SNIFF_CSV;
    /* An object a line, or one that goes over lines. */
    const char *line = memchr(sample.data + first, '\n', sample.size - first);
    size_t end = skip_object(sample, first);
    if (line == NULL || (end != SIZE_MAX && (size_t)(line - sample.data) >= end))
        return SNIFF_NDJSON;
    return SNIFF_JSON;
}

/* Behind `count` lines. */
static struct text skip_lines(struct text text, int count)
{
    while (count-- > 0 && text.size != 0) {
        size_t end = 0;
        while (end < text.size && text.data[end] != '\n' && text.data[end] != '\r')
            end++;
        if (end + 1 < text.size && text.data[end] == '\r' && text.data[end + 1] == '\n')
            end++;
        end = end < text.size ? end + 1 : end;
        text = text_of(text.data + end, text.size - end);
    }
    return text;
}

/* The head's first part as UTF-8; what can't be decoded ends it: the whole file's reading will say what is wrong and
 * where. *all: there is nothing but `out` in the file. */
static bool decode_sample(struct text head, bool whole, const struct sniffed *sniffed, struct buffer *out, bool *all)
{
    struct text_decoder decoder = {.encoding = sniffed->encoding};
    struct text rest = text_of(head.data + sniffed->mark, head.size - sniffed->mark);
    struct failure ignored;
    if (rest.size > SAMPLE) {
        rest.size = SAMPLE;
        whole = false;
    }
    buffer_init(out, SAMPLE * 3 + 16);
    *all = text_decode(&decoder, rest, whole, out, &ignored) == STATUS_OK && whole;
    return !out->failed;
}

static void find_encoding(struct text head, bool whole, const struct sniff_told *told, struct sniffed *out)
{
    out->encoding = text_encoding_sniff(head, whole, &out->mark);
    if (told->encoding < 0) {
        if (out->mark == 0)
            sniff_guessed(out, "encoding");
        return;
    }
    /* "utf-16" leaves the order of the bytes to the mark. */
    bool marked = out->mark != 0 && told->encoding == ENCODING_UTF16LE && out->encoding == ENCODING_UTF16BE;
    if (!marked && (enum text_encoding)told->encoding != out->encoding) {
        out->encoding = (enum text_encoding)told->encoding;
        out->mark = 0;
    }
}

static enum status sniff_text(struct text text, bool all, const struct sniff_told *told, struct sniffed *out,
                              struct failure *failure)
{
    struct text start = text_of(text.data + skip_spaces(text, 0), text.size - skip_spaces(text, 0));
    if (start.size == 0 && all)
        return failure_set(failure, STATUS_INVALID, "the file is empty; send at least a line with the columns' names");
    const char *markup = told->format < 0 ? other_markup(start) : NULL;
    if (markup != NULL)
        return failure_set(failure, STATUS_INVALID, "the file is %s; send CSV, NDJSON or JSON", markup);
    out->format = told->format >= 0 ? (enum sniff_format)told->format : guess_format(text);
    if (told->format < 0)
        sniff_guessed(out, "format");
    if (out->format != SNIFF_CSV)
        return STATUS_OK;
    out->csv.skip_lines = told->skip_lines > 0 ? (unsigned)told->skip_lines : 0;
    sniff_csv(skip_lines(text, told->skip_lines), all, told, out);
    return STATUS_OK;
}

enum status sniff(struct text head, bool whole, const struct sniff_told *told, struct sniffed *out,
                  struct failure *failure)
{
    struct buffer sample;
    bool all;
    *out = (struct sniffed){.csv = {.delimiter = ',', .quote = '"', .has_header = true, .null = TEXT("")}};
    if (head.size == 0)
        head = TEXT("");
    find_encoding(head, whole, told, out);
    enum status status = check_binary(head, out, failure);
    if (status != STATUS_OK)
        return status;
    if (decode_sample(head, whole, out, &sample, &all))
        status = sniff_text(sample.size != 0 ? buffer_text(&sample) : TEXT(""), all, told, out, failure);
    else
        status = failure_set(failure, STATUS_FAILED, "out of memory while reading the file");
    buffer_free(&sample);
    return status;
}
