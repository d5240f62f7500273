#include "upload/text_encoding.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

const char *text_encoding_name(enum text_encoding encoding)
{
    static const char *const names[] = {"utf-8", "utf-16le", "utf-16be", "windows-1252"};
    return names[encoding];
}

bool text_encoding_named(struct text name, enum text_encoding *encoding)
{
    static const struct {
        const char *name;
        enum text_encoding encoding;
    } names[] = {{"utf-8", ENCODING_UTF8},          {"utf8", ENCODING_UTF8},         {"us-ascii", ENCODING_UTF8},
                 {"ascii", ENCODING_UTF8},          {"utf-16", ENCODING_UTF16LE}, /* without a mark, as WHATWG; with one
                                                                                     the mark says */
                 {"utf16", ENCODING_UTF16LE},       {"utf-16le", ENCODING_UTF16LE},  {"utf16le", ENCODING_UTF16LE},
                 {"utf-16be", ENCODING_UTF16BE},    {"utf16be", ENCODING_UTF16BE},   {"latin1", ENCODING_LATIN1},
                 {"latin-1", ENCODING_LATIN1},      {"iso-8859-1", ENCODING_LATIN1}, {"iso8859-1", ENCODING_LATIN1},
                 {"windows-1252", ENCODING_LATIN1}, {"cp1252", ENCODING_LATIN1}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (text_equal_ignoring_case(name, text_from_string(names[i].name))) {
            *encoding = names[i].encoding;
            return true;
        }
    return false;
}

struct head_counts {
    size_t zeros[2];  /* at even and odd places */
    size_t controls;  /* that no text has */
    size_t good, bad; /* sequences beyond ASCII that are UTF-8, and that are not */
};

static void count_head(struct text head, bool whole, struct head_counts *counts)
{
    for (size_t at = 0; at < head.size;) {
        unsigned char byte = (unsigned char)head.data[at];
        if (byte < 0x80) {
            counts->zeros[at & 1] += byte == 0;
            counts->controls +=
                byte != 0 && byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r' && byte != '\f';
            at++;
            continue;
        }
        bool valid;
        size_t size = text_utf8_sequence(text_of(head.data + at, head.size - at), &valid);
        bool cut = !valid && !whole && at + size == head.size;
        counts->good += valid;
        counts->bad += !valid && !cut;
        at += size;
    }
}

/* UTF-16 of Western text has a zero byte in nearly every pair; of other scripts in few (digits, spaces, line ends), but
 * then the bytes are no text in another way. A stray NUL or two is neither. */
static bool is_utf16(const struct head_counts *counts, size_t size, unsigned parity)
{
    size_t zeros = counts->zeros[parity], pairs = size / 2;
    if (zeros < 2 || counts->zeros[!parity] != 0)
        return false;
    return zeros * 2 > pairs || (zeros * 50 >= pairs && (counts->bad + counts->controls) * 8 >= pairs);
}

enum text_encoding text_encoding_sniff(struct text head, bool whole, size_t *mark)
{
    struct head_counts counts = {0};
    *mark = 0;
    if (text_starts_with(head, TEXT("\xEF\xBB\xBF"))) {
        *mark = 3;
        return ENCODING_UTF8;
    }
    if (text_starts_with(head, TEXT("\xFF\xFE")) || text_starts_with(head, TEXT("\xFE\xFF"))) {
        *mark = 2;
        return head.data[0] == '\xFF' ? ENCODING_UTF16LE : ENCODING_UTF16BE;
    }
    count_head(head, whole, &counts);
    if (is_utf16(&counts, head.size, 1))
        return ENCODING_UTF16LE;
    if (is_utf16(&counts, head.size, 0))
        return ENCODING_UTF16BE;
    return counts.bad == 0 || counts.good > counts.bad ? ENCODING_UTF8 : ENCODING_LATIN1;
}

/* Lines end as the readers see them: LF, CR or CRLF. */
static void count_lines(struct text_decoder *decoder, const char *data, size_t size)
{
    size_t at = 0;
#ifdef __SSE2__
    const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');
    for (; at + 16 <= size; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(data + at));
        unsigned lfs = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, lf));
        unsigned crs = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, cr));
        unsigned ends = crs | (lfs & ~(crs << 1 | decoder->after_cr));
        for (; ends != 0; ends &= ends - 1)
            decoder->line++;
        decoder->after_cr = (crs >> 15) != 0;
    }
#endif
    for (; at < size; at++) {
        decoder->line += data[at] == '\r' || (data[at] == '\n' && !decoder->after_cr);
        decoder->after_cr = data[at] == '\r';
    }
}

static enum status refuse(struct text_decoder *decoder, const char *what, struct failure *failure)
{
    return failure_set(failure, STATUS_INVALID,
                       "line %llu, byte %llu: %s; the file was read as %s. Correct it, or state another `encoding`",
                       (unsigned long long)decoder->line, (unsigned long long)decoder->offset, what,
                       text_encoding_name(decoder->encoding));
}

/* Bytes from the start that are ASCII and not NUL, in steps of 16. */
static inline size_t skip_ascii(const unsigned char *data, size_t size)
{
    size_t at = 0;
#ifdef __SSE2__
    for (; at + 16 <= size; at += 16) { /* as signed bytes: greater than 0 */
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(data + at));
        if (_mm_movemask_epi8(_mm_cmpgt_epi8(bytes, _mm_setzero_si128())) != 0xFFFF)
            break;
    }
#endif
    while (at < size && data[at] - 1u < 0x7F)
        at++;
    return at;
}

/* Bytes from the start that are whole characters without NUL. */
static size_t skip_utf8(struct text text)
{
    const unsigned char *data = (const unsigned char *)text.data;
    size_t at = 0;
    bool valid = true;
    while (valid && at < text.size) {
        size_t left = text.size - at;
        if (data[at] < 0x80) {
            size_t ascii = skip_ascii(data + at, left);
            valid = ascii != 0;
            at += ascii;
        } else if (left >= 2 && data[at] >= 0xC2 && data[at] < 0xE0 && (data[at + 1] & 0xC0) == 0x80) {
            at += 2;
        } else {
            size_t size = text_utf8_sequence(text_of(text.data + at, left), &valid);
            at += valid ? size : 0;
        }
    }
    return at;
}

/* The beginning of a character that the piece's end cuts? */
static bool is_cut(struct text text)
{
    bool valid;
    unsigned char lead = (unsigned char)text.data[0];
    return lead >= 0xC2 && lead <= 0xF4 && text.size < 4 && text_utf8_sequence(text, &valid) == text.size && !valid;
}

static void take(struct text_decoder *decoder, struct text text, struct buffer *out)
{
    buffer_append_text(out, text);
    count_lines(decoder, text.data, text.size);
    decoder->offset += text.size;
}

static enum status decode_utf8(struct text_decoder *decoder, struct text bytes, bool last, struct buffer *out,
                               struct failure *failure)
{
    while (decoder->kept_size != 0 && bytes.size != 0) {
        decoder->kept[decoder->kept_size++] = (unsigned char)bytes.data[0];
        bytes = text_of(bytes.data + 1, bytes.size - 1);
        struct text kept = text_of((const char *)decoder->kept, decoder->kept_size);
        if (skip_utf8(kept) == kept.size) {
            take(decoder, kept, out);
            decoder->kept_size = 0;
        } else if (!is_cut(kept)) {
            return refuse(decoder, "here stand bytes that are no UTF-8", failure);
        }
    }
    size_t good = bytes.size != 0 ? skip_utf8(bytes) : 0;
    if (good != 0)
        take(decoder, text_of(bytes.data, good), out);
    struct text rest = text_of(bytes.data + good, bytes.size - good);
    if (rest.size != 0 && rest.data[0] == '\0')
        return refuse(decoder, "here stands a NUL character, which no text has", failure);
    if (rest.size != 0 && !is_cut(rest))
        return refuse(decoder, "here stand bytes that are no UTF-8", failure);
    if (rest.size != 0) {
        memcpy(decoder->kept, rest.data, rest.size);
        decoder->kept_size = (unsigned)rest.size;
    }
    if (last && decoder->kept_size != 0)
        return refuse(decoder, "the file ends within a character", failure);
    return STATUS_OK;
}

static inline void end_line(struct text_decoder *decoder, uint32_t code)
{
    decoder->line += code == '\r' || (code == '\n' && !decoder->after_cr);
    decoder->after_cr = code == '\r';
}

static inline uint32_t unit_at(const struct text_decoder *decoder, const unsigned char *bytes)
{
    return decoder->encoding == ENCODING_UTF16LE ? (uint32_t)(bytes[0] | bytes[1] << 8)
                                                 : (uint32_t)(bytes[0] << 8 | bytes[1]);
}

/* One character. *used 0: there is only a part of it. */
static enum status decode_pair(struct text_decoder *decoder, const unsigned char *bytes, size_t size, size_t *used,
                               char **room, struct failure *failure)
{
    *used = 0;
    if (size < 2)
        return STATUS_OK;
    uint32_t code = unit_at(decoder, bytes);
    if (code >= 0xD800 && code < 0xE000) {
        uint32_t low = size >= 4 ? unit_at(decoder, bytes + 2) : 0xDC00;
        if (code >= 0xDC00 || low < 0xDC00 || low > 0xDFFF)
            return refuse(decoder, "here stands half of a surrogate pair", failure);
        if (size < 4)
            return STATUS_OK;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code == 0)
        return refuse(decoder, "here stands a NUL character, which no text has", failure);
    end_line(decoder, code);
    *room += text_utf8_write(code, *room);
    *used = code < 0x10000 ? 2 : 4;
    decoder->offset += *used;
    return STATUS_OK;
}

static enum status decode_utf16(struct text_decoder *decoder, struct text bytes, bool last, struct buffer *out,
                                struct failure *failure)
{
    /* Two bytes become three at most; four become four. What was kept is less than a character. */
    char *room = buffer_reserve(out, bytes.size / 2 * 3 + 8), *start = room;
    enum status status = STATUS_OK;
    size_t at = 0, used = 1;
    if (room == NULL)
        return STATUS_OK;
    while (decoder->kept_size != 0 && at < bytes.size && status == STATUS_OK) {
        decoder->kept[decoder->kept_size++] = (unsigned char)bytes.data[at++];
        status = decode_pair(decoder, decoder->kept, decoder->kept_size, &used, &room, failure);
        if (used != 0)
            decoder->kept_size = 0;
    }
    while (status == STATUS_OK && used != 0 && at < bytes.size) {
        status = decode_pair(decoder, (const unsigned char *)bytes.data + at, bytes.size - at, &used, &room, failure);
        at += used;
    }
    out->size += (size_t)(room - start);
    if (status != STATUS_OK)
        return status;
    if (at < bytes.size) {
        memcpy(decoder->kept, bytes.data + at, bytes.size - at);
        decoder->kept_size = (unsigned)(bytes.size - at);
    }
    if (last && decoder->kept_size != 0)
        return refuse(decoder, "the file ends within a character", failure);
    return STATUS_OK;
}

/* As WHATWG has it: the five bytes that Microsoft left free are the control characters of Latin-1. */
static const uint16_t windows_1252[32] = {0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                          0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D,   0x017D, 0x8F,
                                          0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                          0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};

static enum status decode_latin1(struct text_decoder *decoder, struct text bytes, struct buffer *out,
                                 struct failure *failure)
{
    const unsigned char *data = (const unsigned char *)bytes.data;
    for (size_t at = 0; at < bytes.size && !out->failed;) {
        size_t ascii = skip_ascii(data + at, bytes.size - at);
        if (ascii != 0) {
            take(decoder, text_of(bytes.data + at, ascii), out);
            at += ascii;
            continue;
        }
        if (data[at] == 0)
            return refuse(decoder, "here stands a NUL character, which no text has", failure);
        char *room = buffer_reserve(out, 4);
        if (room != NULL)
            out->size += text_utf8_write(data[at] < 0xA0 ? windows_1252[data[at] - 0x80] : data[at], room);
        decoder->after_cr = false;
        decoder->offset++;
        at++;
    }
    return STATUS_OK;
}

enum status text_decode(struct text_decoder *decoder, struct text bytes, bool last, struct buffer *out,
                        struct failure *failure)
{
    if (decoder->line == 0)
        decoder->line = 1;
    switch (decoder->encoding) {
    case ENCODING_UTF16LE:
    case ENCODING_UTF16BE:
        return decode_utf16(decoder, bytes, last, out, failure);
    case ENCODING_LATIN1:
        return decode_latin1(decoder, bytes, out, failure);
    default:
        return decode_utf8(decoder, bytes, last, out, failure);
    }
}
