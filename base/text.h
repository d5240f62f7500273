/* A slice of bytes that somebody else owns. Not NUL-terminated. */
#ifndef SLUICE_BASE_TEXT_H
#define SLUICE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
    const char *data; /* NULL only together with size 0: "absent" */
    size_t size;      /* bytes */
};

#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})
#define TEXT_NONE ((struct text){NULL, 0})
/* For printf's "%.*s". Callers bound sizes long before INT_MAX. */
#define TEXT_ARGS(t) (int)(t).size, (t).data

static inline struct text text_of(const char *data, size_t size)
{
    return (struct text){data, size};
}

/* NULL gives TEXT_NONE. */
static inline struct text text_from_string(const char *string)
{
    return (struct text){string, string != NULL ? strlen(string) : 0};
}

static inline bool text_equal(struct text a, struct text b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* ASCII only. */
bool text_equal_ignoring_case(struct text a, struct text b);
bool text_starts_with(struct text text, struct text prefix);
/* Without spaces and tabs (RFC 9110 OWS) at both ends. */
struct text text_trim(struct text text);
/* The same without line ends, too. */
struct text text_trim_lines(struct text text);
/* Takes the part before the first `separator` off *rest and returns it; *rest becomes what follows, or TEXT_NONE
 * (data == NULL) after the last part. Call while rest->data != NULL. */
struct text text_split(struct text *rest, char separator);
/* The whole of `text` as a decimal integer: optional minus, digits, nothing else, within int64. False otherwise. */
bool text_to_int64(struct text text, int64_t *value) __attribute__((warn_unused_result));
/* The whole of `text` as a finite JSON number (RFC 8259 section 6). False on anything else, NaN, 1e999 and more than 64
 * characters included. */
bool text_to_double(struct text text, double *value) __attribute__((warn_unused_result));
/* How many bytes must be changed, added or removed to make `a` of `b` (Levenshtein), for "did you mean": texts of more
 * than 31 bytes are far, SIZE_MAX. */
size_t text_distance(struct text a, struct text b);
/* Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). */
bool text_is_utf8(struct text text);
/* The UTF-8 of a character (at most U+10FFFF, no surrogate), 1 to 4 bytes; how many. */
size_t text_utf8_write(uint32_t code, char out[4]);
/* Bytes of the UTF-8 sequence that `text` (not empty) begins with. Where that is ill-formed, *valid is false and the
 * bytes are its maximal subpart (Unicode 15, section 3.9): what one U+FFFD stands for. */
size_t text_utf8_sequence(struct text text, bool *valid);

#endif
