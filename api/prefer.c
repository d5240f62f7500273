#include "api/prefer.h"

#include <stdio.h>

#define MAX_ZONE 64 /* bytes; the longest of the tz database has 32 */
#define MAX_TOLD 80 /* bytes of what the caller sent that a message tells back */

/* Names and what they may say; none listed: judged by itself. */
static const struct {
    struct text name;
    const char *values[4];
} known[] = {{{"count", 5}, {"exact", "planned", "estimated"}},
             {{"handling", 8}, {"strict", "lenient"}},
             {{"timezone", 8}, {NULL}},
             {{"return", 6}, {"minimal", "headers-only", "representation"}},
             {{"resolution", 10}, {"merge-duplicates", "ignore-duplicates"}},
             {{"missing", 7}, {"default", "null"}},
             {{"tx", 2}, {"commit", "rollback"}},
             {{"max-affected", 12}, {NULL}}};
enum { PREFER_COUNT, PREFER_HANDLING, PREFER_TIMEZONE, PREFER_MAX_AFFECTED = 7 };
#define KNOWN (sizeof(known) / sizeof(known[0]))

/* The part of *rest before `separator`, which counts only outside of quotes. */
static struct text split_unquoted(struct text *rest, char separator)
{
    bool quoted = false;
    for (size_t i = 0; i < rest->size; i++) {
        char byte = rest->data[i];
        if (byte == '"')
            quoted = !quoted;
        else if (quoted && byte == '\\')
            i++;
        else if (!quoted && byte == separator) {
            struct text part = text_of(rest->data, i);
            *rest = text_of(rest->data + i + 1, rest->size - i - 1);
            return part;
        }
    }
    struct text part = *rest;
    *rest = TEXT_NONE;
    return part;
}

/* A quoted value becomes what it stands for. False: its quotes are not closed, or something follows them. */
static bool unquote(struct text *value, struct arena *arena, bool *full)
{
    size_t at = 1, size = 0;
    if (value->size == 0 || value->data[0] != '"')
        return value->size == 0 || memchr(value->data, '"', value->size) == NULL;
    char *out = arena_alloc(arena, value->size);
    *full = *full || out == NULL;
    if (out == NULL)
        return false;
    for (; at < value->size && value->data[at] != '"'; at++) {
        if (value->data[at] == '\\' && ++at == value->size)
            return false;
        out[size++] = value->data[at];
    }
    if (at + 1 != value->size)
        return false;
    *value = text_of(out, size);
    return true;
}

static void say(struct prefer_mistake *mistake, struct text preference, const char *what, const char *remedy)
{
    char told[MAX_TOLD + 1];
    size_t count = preference.size < MAX_TOLD ? preference.size : MAX_TOLD;
    if (mistake->message[0] != '\0')
        return; /* the first one is told */
    for (size_t i = 0; i < count; i++) {
        unsigned char byte = (unsigned char)preference.data[i];
        told[i] = byte >= 0x20 && byte < 0x7F ? (char)byte : '?';
    }
    told[count] = '\0';
    snprintf(mistake->message, sizeof(mistake->message), "%s `%s`; %s", what, told, remedy);
}

static void say_unknown(struct prefer_mistake *mistake, struct text preference)
{
    char remedy[200];
    int at = snprintf(remedy, sizeof(remedy), "known are");
    for (size_t i = 0; i < KNOWN; i++)
        at += snprintf(remedy + at, sizeof(remedy) - (size_t)at, "%s %s", i != 0 ? "," : "", known[i].name.data);
    snprintf(remedy + at, sizeof(remedy) - (size_t)at, "; leave it out, or ask for handling=lenient");
    say(mistake, preference, "unknown preference", remedy);
}

static void say_malformed(struct prefer_mistake *mistake, struct text preference, size_t which)
{
    char remedy[160];
    int at = snprintf(remedy, sizeof(remedy), "try");
    for (size_t i = 0; i < 4 && known[which].values[i] != NULL; i++)
        at += snprintf(remedy + at, sizeof(remedy) - (size_t)at, "%s %s=%s", i != 0 ? "," : "", known[which].name.data,
                       known[which].values[i]);
    say(mistake, preference, "no such preference as",
        which == PREFER_TIMEZONE       ? "try a zone's name, like timezone=Europe/Sofia"
        : which == PREFER_MAX_AFFECTED ? "try a whole number, like max-affected=10"
                                       : remedy);
}

static bool is_zone(struct text value)
{
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] < ' ' || value.data[i] > '~' || value.data[i] == '"' || value.data[i] == '\\')
            return false;
    return value.size != 0 && value.size <= MAX_ZONE;
}

/* Index of a value among those that the preference lists; SIZE_MAX: it is none of them. */
static size_t find_value(size_t which, struct text value)
{
    int64_t number;
    if (which == PREFER_TIMEZONE)
        return is_zone(value) ? 0 : SIZE_MAX;
    if (which == PREFER_MAX_AFFECTED)
        return text_to_int64(value, &number) && number >= 0 ? 0 : SIZE_MAX;
    for (size_t i = 0; i < 4 && known[which].values[i] != NULL; i++)
        if (text_equal(value, text_from_string(known[which].values[i])))
            return i;
    return SIZE_MAX;
}

static void apply(struct prefer *prefer, size_t which, size_t index, struct text value)
{
    if (which == PREFER_COUNT && prefer->count == PREFER_COUNT_NONE)
        prefer->count = (enum prefer_count)(PREFER_COUNT_EXACT + index);
    if (which == PREFER_HANDLING && prefer->handling == PREFER_HANDLING_NONE)
        prefer->handling = (enum prefer_handling)(PREFER_HANDLING_STRICT + index);
    if (which == PREFER_TIMEZONE && prefer->timezone.data == NULL)
        prefer->timezone = value;
}

static void read_one(struct text preference, struct arena *arena, struct prefer *prefer, bool *full,
                     struct prefer_mistake *mistake)
{
    struct text rest = preference, value = text_trim(split_unquoted(&rest, ';')); /* parameters: we know of none */
    struct text name = text_trim(text_split(&value, '='));
    size_t which = 0;
    if (preference.size == 0)
        return;
    value = text_trim(value);
    while (which < KNOWN && !text_equal_ignoring_case(known[which].name, name))
        which++;
    if (which == KNOWN) {
        say_unknown(mistake, preference);
        return;
    }
    size_t index = unquote(&value, arena, full) ? find_value(which, value) : SIZE_MAX;
    if (index == SIZE_MAX)
        say_malformed(mistake, preference, which);
    else
        apply(prefer, which, index, value);
}

enum status prefer_read(struct text header, struct arena *arena, struct prefer *prefer, struct prefer_mistake *mistake)
{
    bool full = false;
    *prefer = (struct prefer){.timezone = TEXT_NONE};
    mistake->message[0] = '\0';
    while (header.data != NULL)
        read_one(text_trim(split_unquoted(&header, ',')), arena, prefer, &full, mistake);
    prefer->strict = prefer->handling == PREFER_HANDLING_STRICT;
    if (full) {
        snprintf(mistake->message, sizeof(mistake->message), "the preferences are too long; send fewer");
        return STATUS_TOO_LARGE;
    }
    return prefer->strict && mistake->message[0] != '\0' ? STATUS_INVALID : STATUS_OK;
}

bool prefer_is_async(struct text header)
{
    while (header.data != NULL) {
        struct text preference = split_unquoted(&header, ',');
        if (text_equal_ignoring_case(TEXT("respond-async"), text_trim(split_unquoted(&preference, ';'))))
            return true;
    }
    return false;
}

static void append_applied(struct buffer *out, const char *name, struct text value)
{
    bool quoted = false;
    for (size_t i = 0; i < value.size; i++)
        quoted = quoted || strchr(" ,;=", value.data[i]) != NULL;
    if (out->size != 0)
        buffer_append_literal(out, ", ");
    buffer_append_string(out, name);
    buffer_append_string(out, quoted ? "=\"" : "=");
    buffer_append_text(out, value);
    if (quoted)
        buffer_append_char(out, '"');
}

void prefer_append_applied(struct buffer *out, const struct prefer *prefer)
{
    if (prefer->count != PREFER_COUNT_NONE)
        append_applied(out, "count", text_from_string(known[PREFER_COUNT].values[prefer->count - PREFER_COUNT_EXACT]));
    if (prefer->handling != PREFER_HANDLING_NONE)
        append_applied(out, "handling",
                       text_from_string(known[PREFER_HANDLING].values[prefer->handling - PREFER_HANDLING_STRICT]));
    if (prefer->timezone.data != NULL)
        append_applied(out, "timezone", prefer->timezone);
}
