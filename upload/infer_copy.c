#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/json.h"
#include "upload/infer_private.h"
#include "upload/table_private.h"

/* Bytes from the start that COPY's text format takes as they are. */
static size_t skip_plain(struct text text)
{
    size_t at = 0;
#ifdef __SSE2__
    for (; at + 16 <= text.size; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(text.data + at));
        __m128i hits = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'))),
            _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r'))));
        unsigned found = (unsigned)_mm_movemask_epi8(hits);
        if (found != 0)
            return at + (size_t)__builtin_ctz(found);
    }
#endif
    for (; at < text.size; at++)
        if (text.data[at] == '\\' || text.data[at] == '\t' || text.data[at] == '\n' || text.data[at] == '\r')
            break;
    return at;
}

static void append_escaped(struct buffer *out, struct text text)
{
    for (;;) {
        size_t plain = skip_plain(text);
        buffer_append(out, text.data, plain);
        if (plain == text.size)
            return;
        char byte = text.data[plain];
        buffer_append_char(out, '\\');
        buffer_append_char(out, byte == '\t' ? 't' : byte == '\n' ? 'n' : byte == '\r' ? 'r' : '\\');
        text = text_of(text.data + plain + 1, text.size - plain - 1);
    }
}

bool infer_json_fits(struct text json)
{
    bool in_string = false;
    unsigned digits = 0, exponent = 0;
    bool in_exponent = false;
    for (size_t i = 0; i < json.size; i++) {
        char byte = json.data[i];
        if (in_string) {
            i += byte == '\\';
            in_string = byte != '"';
        } else if ((unsigned char)(byte - '0') < 10) {
            exponent = in_exponent && exponent <= INFER_DIGITS_MAX ? exponent * 10 + (unsigned)(byte - '0') : exponent;
            if (++digits > INFER_DIGITS_MAX || exponent > INFER_DIGITS_MAX)
                return false;
        } else if ((byte == 'e' || byte == 'E') && digits != 0) {
            in_exponent = true;
        } else if (byte != '+' && byte != '-' && byte != '.') {
            in_string = byte == '"';
            in_exponent = false;
            digits = exponent = 0;
        }
    }
    return true;
}

/* JSON that stands in a text, as in a cell of a CSV: checked by the reader of JSON, as the member of an object. */
static enum status append_told_json(struct buffer *out, struct text text, const char **reason)
{
    struct buffer object, compact;
    struct json_object reader;
    struct json_member member;
    char words[256];
    enum status status = STATUS_INVALID;
    *reason = "is no JSON";
    buffer_init(&object, TABLE_ROW_MAX + 64);
    buffer_init(&compact, TABLE_ROW_MAX + 64);
    buffer_append_literal(&object, "{\"\":");
    buffer_append_text(&object, text);
    buffer_append_char(&object, '}');
    if (object.failed || !json_object_begin(&reader, buffer_text(&object), &compact, words, sizeof(words))) {
        *reason = "is too long for JSON";
    } else if (json_object_next(&reader, &member) == JSON_MEMBER && member.name.size == 0) {
        /* The text may hold a comma and more members: then it is no single value. */
        struct field value = member.value;
        bool alone = json_object_next(&reader, &member) == JSON_END;
        if (alone && !infer_json_fits(value.text) && value.kind != FIELD_STRING) {
            *reason = "holds a number that is too long for the database";
        } else if (alone) {
            append_escaped(out, text);
            status = STATUS_OK;
        }
    }
    buffer_free(&object);
    buffer_free(&compact);
    return status;
}

static enum status append_json(struct buffer *out, const struct field *field, const char **reason)
{
    if (field->kind <= FIELD_QUOTED)
        return append_told_json(out, field->text, reason);
    if (field->kind == FIELD_STRING) {
        struct buffer quoted;
        buffer_init(&quoted, 6 * field->text.size + 2);
        json_append_string(&quoted, field->text);
        bool failed = quoted.failed;
        append_escaped(out, buffer_text(&quoted));
        buffer_free(&quoted);
        *reason = "is too long for JSON";
        return failed ? STATUS_INVALID : STATUS_OK;
    }
    if (!infer_json_fits(field->text)) {
        *reason = "holds a number that is too long for the database";
        return STATUS_INVALID;
    }
    append_escaped(out, field->text);
    return STATUS_OK;
}

static enum status append_boolean(struct buffer *out, struct text text, const char **reason)
{
    static const char *const words[] = {"true", "yes", "t", "y", "1", "on", "false", "no", "f", "n", "0", "off"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (text_equal_ignoring_case(text, text_from_string(words[i]))) {
            buffer_append_char(out, i < sizeof(words) / sizeof(words[0]) / 2 ? 't' : 'f');
            return STATUS_OK;
        }
    *reason = "is neither true nor false";
    return STATUS_INVALID;
}

static enum status append_typed(struct buffer *out, const struct infer_result *type, const struct field *field,
                                const char **reason)
{
    struct text text = infer_is_padded(field->text) ? text_trim(field->text) : field->text;
    bool comma = type->decimal_comma && field->kind <= FIELD_QUOTED;
    switch (type->type) {
    case INFER_BOOLEAN:
        return append_boolean(out, text, reason);
    case INFER_INTEGER:
        return infer_append_integer(out, text, comma, reason);
    case INFER_NUMERIC:
        return infer_append_numeric(out, text, comma, reason);
    case INFER_JSON:
        return append_json(out, field, reason);
    default:
        return infer_append_time(out, text, type, reason);
    }
}

/* Most values stand in the file as COPY takes them. */
static inline bool is_ready(enum infer_type type, bool decimal_comma, struct text text)
{
    switch (type) {
    case INFER_INTEGER:
        return infer_is_short_integer(text);
    case INFER_NUMERIC:
        return infer_is_short_integer(text) || (!decimal_comma && infer_is_short_decimal(text));
    case INFER_DATE:
        return infer_is_iso(text, false);
    case INFER_TIMESTAMP:
        return infer_is_iso(text, true);
    default:
        return false;
    }
}

enum status infer_append_copy(struct buffer *out, const struct infer_result *type, const struct field *field,
                              const char **reason)
{
    if (field->kind == FIELD_NULL)
        buffer_append_literal(out, "\\N");
    else if (type->type == INFER_TEXT)
        append_escaped(out, field->text);
    else if (is_ready(type->type, type->decimal_comma, field->text))
        buffer_append_text(out, field->text);
    else if (field->text.size == 0 && (field->kind != FIELD_STRING || type->type != INFER_JSON))
        buffer_append_literal(out, "\\N");
    else
        return append_typed(out, type, field, reason);
    return STATUS_OK;
}
