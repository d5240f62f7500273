#include "audit/line.h"

#include "base/json.h"

struct line_cursor line_begin(struct text line)
{
    if (line.size != 0 && line.data[line.size - 1] == '\n')
        line.size--;
    return (struct line_cursor){line.data, line.data + line.size, false, false};
}

static bool take(struct line_cursor *cursor, char byte)
{
    if (cursor->at == cursor->end || *cursor->at != byte)
        return false;
    cursor->at++;
    return true;
}

static bool take_escape(struct line_cursor *cursor)
{
    if (cursor->at == cursor->end)
        return false;
    char kind = *cursor->at++;
    if (kind != 'u')
        return kind != '\0' && strchr("\"\\/bfnrt", kind) != NULL;
    for (int i = 0; i < 4; i++, cursor->at++)
        if (cursor->at == cursor->end ||
            !((*cursor->at >= '0' && *cursor->at <= '9') || (*cursor->at >= 'a' && *cursor->at <= 'f') ||
              (*cursor->at >= 'A' && *cursor->at <= 'F')))
            return false;
    return true;
}

static bool take_text(struct line_cursor *cursor, struct text *raw)
{
    if (!take(cursor, '"'))
        return false;
    const char *from = cursor->at;
    while (cursor->at < cursor->end) {
        unsigned char byte = (unsigned char)*cursor->at++;
        if (byte == '"') {
            *raw = text_of(from, (size_t)(cursor->at - 1 - from));
            return true;
        }
        if (byte < ' ' || (byte == '\\' && !take_escape(cursor)))
            return false;
    }
    return false;
}

static bool is_digit(const struct line_cursor *cursor)
{
    return cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9';
}

static bool take_digits(struct line_cursor *cursor)
{
    if (!is_digit(cursor))
        return false;
    while (is_digit(cursor))
        cursor->at++;
    return true;
}

static bool take_number(struct line_cursor *cursor)
{
    (void)take(cursor, '-');
    if (!take(cursor, '0') && !take_digits(cursor))
        return false;
    if (take(cursor, '.') && !take_digits(cursor))
        return false;
    if (take(cursor, 'e') || take(cursor, 'E')) {
        if (!take(cursor, '+'))
            (void)take(cursor, '-');
        return take_digits(cursor);
    }
    return true;
}

static bool take_word(struct line_cursor *cursor)
{
    static const struct text words[] = {{"true", 4}, {"false", 5}, {"null", 4}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if ((size_t)(cursor->end - cursor->at) >= words[i].size &&
            memcmp(cursor->at, words[i].data, words[i].size) == 0) {
            cursor->at += words[i].size;
            return true;
        }
    return false;
}

static bool take_any(struct line_cursor *cursor, unsigned depth);

static bool take_nested(struct line_cursor *cursor, char closing, unsigned depth)
{
    cursor->at++;
    if (depth == 0)
        return false;
    if (take(cursor, closing))
        return true;
    do {
        struct text name;
        if (closing == '}' && (!take_text(cursor, &name) || !take(cursor, ':')))
            return false;
        if (!take_any(cursor, depth - 1))
            return false;
    } while (take(cursor, ','));
    return take(cursor, closing);
}

static bool take_any(struct line_cursor *cursor, unsigned depth)
{
    struct text raw;
    char first = cursor->at < cursor->end ? *cursor->at : '\0';
    if (first == '"')
        return take_text(cursor, &raw);
    if (first == '{' || first == '[')
        return take_nested(cursor, first == '{' ? '}' : ']', depth);
    if (first == '-' || (first >= '0' && first <= '9'))
        return take_number(cursor);
    return take_word(cursor);
}

static bool take_member(struct line_cursor *cursor, struct line_member *member)
{
    if (!take_text(cursor, &member->name) || !take(cursor, ':'))
        return false;
    const char *from = cursor->at;
    if (!take_any(cursor, LINE_DEPTH_MAX))
        return false;
    member->value = text_of(from, (size_t)(cursor->at - from));
    member->kind = *from == '"'                                                              ? LINE_TEXT
                   : *from == '-' || is_digit(&(struct line_cursor){from, cursor->at, 0, 0}) ? LINE_NUMBER
                                                                                             : LINE_OTHER;
    if (member->kind == LINE_TEXT)
        member->value = text_of(from + 1, member->value.size - 2);
    return true;
}

bool line_next(struct line_cursor *cursor, struct line_member *member)
{
    if (cursor->bad || (cursor->begun && cursor->at == cursor->end))
        return false;
    if (!cursor->begun) {
        cursor->begun = true;
        cursor->bad = !take(cursor, '{');
        if (!cursor->bad && take(cursor, '}')) {
            cursor->bad = cursor->at != cursor->end;
            return false;
        }
    } else if (take(cursor, '}')) {
        cursor->bad = cursor->at != cursor->end;
        return false;
    } else {
        cursor->bad = !take(cursor, ',');
    }
    cursor->bad = cursor->bad || !take_member(cursor, member) || cursor->at == cursor->end;
    return !cursor->bad;
}

bool line_text(struct text line, const char *name, struct text *raw)
{
    struct line_cursor cursor = line_begin(line);
    struct line_member member;
    while (line_next(&cursor, &member))
        if (text_equal(member.name, text_from_string(name))) {
            *raw = member.value;
            return member.kind == LINE_TEXT;
        }
    return false;
}

bool line_is_number(struct text digits, uint64_t *value)
{
    uint64_t sum = 0;
    if (digits.size == 0 || (digits.size > 1 && digits.data[0] == '0'))
        return false;
    for (size_t i = 0; i < digits.size; i++)
        if (digits.data[i] < '0' || digits.data[i] > '9' || __builtin_mul_overflow(sum, (uint64_t)10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(digits.data[i] - '0'), &sum))
            return false;
    *value = sum;
    return true;
}

bool line_number(struct text line, const char *name, uint64_t *value)
{
    struct line_cursor cursor = line_begin(line);
    struct line_member member;
    while (line_next(&cursor, &member))
        if (text_equal(member.name, text_from_string(name)))
            return member.kind == LINE_NUMBER && line_is_number(member.value, value);
    return false;
}

void line_encode(struct buffer *out, struct text word)
{
    size_t before = out->size;
    json_append_string(out, word);
    if (out->failed)
        return;
    /* Without the quotes around it. */
    memmove(out->data + before, out->data + before + 1, out->size - before - 2);
    out->size -= 2;
}
