/* What the readers of tables share: how a file that comes in pieces becomes whole rows, and how bytes that matter are
 * found. Only for upload/table*.c and their tests. */
#ifndef SLUICE_UPLOAD_TABLE_PRIVATE_H
#define SLUICE_UPLOAD_TABLE_PRIVATE_H

#include <endian.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "upload/table.h"

#define TABLE_RAW_MAX ((size_t)64 << 10) /* bytes of a bad row that are told */

struct table_format {
    /* Hands out the rows of `data`, which begins where a row does, or in the midst of one that is passed over. Returns
     * how many bytes it is done with: the rest is the beginning of a row, no longer than row_max, and comes again with
     * more behind it. `one_row`: return after the first one that ends. */
    size_t (*scan)(struct table_reader *reader, struct text data, bool one_row);
    /* The file's end: `rest` is a row without its end, or nothing. */
    void (*end)(struct table_reader *reader, struct text rest);
    void (*free)(struct table_reader *reader);
};

/* The first member of each format's own reader. */
struct table_reader {
    const struct table_format *format;
    struct table_handlers handlers;
    void *context;
    struct failure failure; /* its status is not STATUS_OK: reading is over */
    struct buffer kept;     /* the beginning of the row that the last piece cut */
    struct arena names;     /* of the columns */
    size_t row_max;         /* bytes of a row: TABLE_ROW_MAX, smaller in tests */
    size_t column_count;
    uint64_t line; /* where the scan stands, from 1 */
    bool has_columns, passing /* over the rest of a row that is too long */;
    char reason[256];
};

void table_reader_init(struct table_reader *reader, const struct table_format *format,
                       const struct table_handlers *handlers, void *context);
/* Both end the reading. */
void table_fail(struct table_reader *reader, enum status status, const char *format, ...) PRINTF_LIKE(3, 4);
void table_out_of_memory(struct table_reader *reader);
static inline bool table_is_over(const struct table_reader *reader)
{
    return reader->failure.status != STATUS_OK;
}
/* Calls the handlers; a false of theirs ends the reading. */
void table_hand_columns(struct table_reader *reader, const struct text *names, size_t count);
void table_hand_row(struct table_reader *reader, const struct table_row *row);
void table_hand_bad_row(struct table_reader *reader, uint64_t line, int column, struct text raw);
/* `reason` is made by the reader: the row's length and its bound. */
void table_hand_long_row(struct table_reader *reader, uint64_t line, struct text raw, const char *hint);

/* Which of the 64 bytes from `block` on are one of the needles: bit 0 is the first byte. */
static inline __attribute__((always_inline)) uint64_t table_find(const char *block, const char *needles, unsigned count)
{
    uint64_t found = 0;
#ifdef __SSE2__
    for (unsigned part = 0; part < 4; part++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(block + 16 * part));
        __m128i hits = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(needles[0]));
        for (unsigned i = 1; i < count; i++)
            hits = _mm_or_si128(hits, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(needles[i])));
        found |= (uint64_t)(unsigned)_mm_movemask_epi8(hits) << (16 * part);
    }
#else
    const uint64_t low = UINT64_C(0x7F7F7F7F7F7F7F7F), each = UINT64_C(0x0101010101010101);
    for (unsigned part = 0; part < 8; part++) {
        uint64_t eight, hits = 0;
        memcpy(&eight, block + 8 * part, sizeof(eight));
        eight = le64toh(eight);
        for (unsigned i = 0; i < count; i++) {
            uint64_t other = eight ^ (each * (unsigned char)needles[i]); /* zero where it is the needle */
            hits |= ~(((other & low) + low) | other | low);
        }
        /* The high bit of each byte, gathered. */
        found |= (((hits >> 7) * UINT64_C(0x0102040810204080)) >> 56) << (8 * part);
    }
#endif
    return found;
}

/* The same where fewer than 64 bytes are left. Needles are never NUL. */
static inline uint64_t table_find_tail(const char *tail, size_t size, const char *needles, unsigned count)
{
    char block[64] = {0};
    memcpy(block, tail, size);
    return table_find(block, needles, count);
}

/* Members of one JSON object (RFC 8259, strictly), one after the other. */
struct json_object {
    const char *begin, *at, *end;
    struct buffer *out; /* unescaped texts and compact JSON; has room for all of them from the start, so never moves */
    char *reason;       /* says what is wrong and at which byte of the object */
    size_t reason_size;
    bool started;
};
struct json_member {
    struct text name; /* unescaped */
    struct field value;
};
enum json_step { JSON_MEMBER, JSON_END, JSON_WRONG };
/* False: out of memory. Texts live as long as `text` and until `out` is used again. */
bool json_object_begin(struct json_object *object, struct text text, struct buffer *out, char *reason,
                       size_t reason_size) MUST_CHECK;
enum json_step json_object_next(struct json_object *object, struct json_member *member);

/* Objects that become rows: columns by their members' names. */
struct json_column {
    struct text raw;  /* as the file has it */
    struct text name; /* as PostgreSQL will */
    uint64_t seen;    /* number of the last row that had it */
};
struct json_rows {
    struct table_reader reader; /* first */
    struct buffer out;
    uint64_t row;
    struct json_column *columns; /* TABLE_COLUMNS_MAX, as are fields and names */
    struct field *fields;
    struct text *names;
    uint16_t *slots; /* a hash table by raw name: index + 1; 0: free */
};
bool json_rows_init(struct json_rows *rows, const struct table_format *format, const struct table_handlers *handlers,
                    void *context) MUST_CHECK;
void json_rows_free(struct json_rows *rows);
/* `text` is one object, or what should be one: a row or a bad row. */
void json_rows_add(struct json_rows *rows, struct text text, uint64_t line);

static inline bool json_is_space(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

#endif
