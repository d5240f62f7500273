/* What the files of http_head.h share. Nobody else includes this. */
#ifndef SLUICE_UPLOAD_HTTP_PRIVATE_H
#define SLUICE_UPLOAD_HTTP_PRIVATE_H

#include <stdbool.h>

extern const unsigned char http_token_bytes[256]; /* RFC 9110, 5.6.2 */

static inline bool http_is_token_byte(char byte)
{
    return http_token_bytes[(unsigned char)byte] != 0;
}

/* Of a header's value: no control characters but the tab (RFC 9110, 5.5). */
static inline bool http_is_value_byte(char byte)
{
    unsigned char value = (unsigned char)byte;
    return (value >= 0x20 && value != 0x7f) || value == '\t';
}

#endif
