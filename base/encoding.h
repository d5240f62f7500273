/* Base64url (RFC 4648 section 5, no padding), hexadecimal, and percent-encoding (RFC 3986). */
#ifndef SLUICE_BASE_ENCODING_H
#define SLUICE_BASE_ENCODING_H

#include "base/buffer.h"

void encoding_base64url_append(struct buffer *buffer, const void *data, size_t size);
/* Appends the decoded bytes. False (buffer unchanged) for characters outside the alphabet, padding, a length of 1 mod
 * 4, or bits set behind the end. */
bool encoding_base64url_decode(struct text text, struct buffer *out) MUST_CHECK;
/* Six bits of either base64, whose `last` two digits are "-_" or "+/"; -1: no digit of it. */
int encoding_base64_digit(char byte, const char last[2]);
void encoding_hex(const void *data, size_t size, char *out /* 2 * size, no NUL */);
/* The way back, of 2 * size digits: lower case only, so that there is one spelling. False: `out` holds nothing of use.
 */
bool encoding_hex_decode(const char *digits, size_t size, void *out) MUST_CHECK;
/* `out` may be text.data itself: decoding never grows. '+' becomes a space only if plus_is_space. False for "%zz", "%4"
 * and for a decoded NUL. */
bool encoding_percent_decode(struct text text, bool plus_is_space, char *out, size_t *out_size) MUST_CHECK;
/* Everything but RFC 3986 unreserved characters is escaped. */
void encoding_percent_append(struct buffer *buffer, struct text text);

#endif
