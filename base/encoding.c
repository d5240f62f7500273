#include "base/encoding.h"

#include <endian.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void encoding_base64url_append(struct buffer *buffer, const void *data, size_t size)
{
    const unsigned char *at = data;
    for (; size >= 3; at += 3, size -= 3) {
        char four[4] = {alphabet[at[0] >> 2], alphabet[(at[0] & 3) << 4 | at[1] >> 4],
                        alphabet[(at[1] & 15) << 2 | at[2] >> 6], alphabet[at[2] & 63]};
        buffer_append(buffer, four, 4);
    }
    if (size == 0)
        return;
    unsigned char second = size == 2 ? at[1] : 0;
    char rest[3] = {alphabet[at[0] >> 2], alphabet[(at[0] & 3) << 4 | second >> 4], alphabet[(second & 15) << 2]};
    buffer_append(buffer, rest, size + 1);
}

int encoding_base64_digit(char byte, const char last[2])
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    return byte == last[0] ? 62 : byte == last[1] ? 63 : -1;
}

bool encoding_base64url_decode(struct text text, struct buffer *out)
{
    if (text.size % 4 == 1)
        return false;
    size_t decoded = text.size / 4 * 3 + (text.size % 4 != 0 ? text.size % 4 - 1 : 0);
    char *room = decoded != 0 ? buffer_reserve(out, decoded) : NULL;
    if (decoded != 0 && room == NULL)
        return false;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = encoding_base64_digit(text.data[i], "-_");
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            *room++ = (char)(bits >> held & 0xFF);
        }
    }
    if ((bits & ((1u << held) - 1)) != 0)
        return false;
    out->size += decoded;
    return true;
}

/* Four bytes become eight digits at once: a nibble in each byte of a word, the first one lowest. */
static void hex_word(const unsigned char *bytes, char *out)
{
    uint64_t word = (uint64_t)bytes[0] | (uint64_t)bytes[1] << 16 | (uint64_t)bytes[2] << 32 | (uint64_t)bytes[3] << 48;
    uint64_t nibbles = (word >> 4 & 0x000f000f000f000f) | (word & 0x000f000f000f000f) << 8;
    uint64_t is_letter = (nibbles + 0x0606060606060606) >> 4 & 0x0101010101010101;
    uint64_t digits = htole64(nibbles + 0x3030303030303030 + is_letter * ('a' - '0' - 10));
    memcpy(out, &digits, sizeof(digits));
}

void encoding_hex(const void *data, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;
    for (; size >= 4; size -= 4, bytes += 4, out += 8)
        hex_word(bytes, out);
    for (size_t i = 0; i < size; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
}

static int nibble(char byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

bool encoding_hex_decode(const char *digits, size_t size, void *out)
{
    unsigned char *bytes = out;
    for (size_t i = 0; i < 2 * size; i++) {
        int digit = digits[i] >= 'A' && digits[i] <= 'F' ? -1 : nibble(digits[i]);
        if (digit < 0)
            return false;
        bytes[i / 2] = (unsigned char)(i % 2 == 0 ? digit << 4 : bytes[i / 2] | digit);
    }
    return true;
}

bool encoding_percent_decode(struct text text, bool plus_is_space, char *out, size_t *out_size)
{
    size_t written = 0;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            int high = i + 2 < text.size ? nibble(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? nibble(text.data[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return false;
            byte = (char)(high << 4 | low);
            i += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        } else if (byte == '\0') {
            return false;
        }
        out[written++] = byte;
    }
    *out_size = written;
    return true;
}

void encoding_percent_append(struct buffer *buffer, struct text text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
            byte == '-' || byte == '.' || byte == '_' || byte == '~') {
            buffer_append_char(buffer, (char)byte);
        } else {
            char escape[3] = {'%', digits[byte >> 4], digits[byte & 15]};
            buffer_append(buffer, escape, sizeof(escape));
        }
    }
}
