#include "audit/chain.h"

#include "base/encoding.h"

/* Around a line's own words: {"seq": … ,"mac":"…"}LF */
#define HEAD "{\"seq\":"
#define TAIL ",\"mac\":\""
#define TAIL_END "\"}\n"
_Static_assert(sizeof(TAIL) - 1 + 2 * CHAIN_MAC_SIZE + sizeof(TAIL_END) - 1 == CHAIN_TAIL_SIZE, "the tail's size");

void chain_begin_line(const struct chain_head *head, struct buffer *out)
{
    buffer_append_literal(out, HEAD);
    buffer_append_uint64(out, head->seq + 1);
}

static void make_mac(const struct chain_head *head, const struct hash_hmac_key *key, struct text words,
                     unsigned char mac[CHAIN_MAC_SIZE])
{
    unsigned char whole[HASH_SHA256_SIZE];
    hash_hmac_sha256_keyed(key, text_of((const char *)head->mac, CHAIN_MAC_SIZE), words, whole);
    memcpy(mac, whole, CHAIN_MAC_SIZE);
}

bool chain_seal(struct chain_head *head, const struct hash_hmac_key *key, struct buffer *out, size_t start)
{
    char *tail = buffer_reserve(out, CHAIN_TAIL_SIZE);
    if (tail == NULL || out->size - start > CHAIN_LINE_MAX - CHAIN_TAIL_SIZE)
        return false;
    make_mac(head, key, text_of(out->data + start, out->size - start), head->mac);
    head->seq++;
    memcpy(tail, TAIL, sizeof(TAIL) - 1);
    encoding_hex(head->mac, CHAIN_MAC_SIZE, tail + sizeof(TAIL) - 1);
    memcpy(tail + CHAIN_TAIL_SIZE - (sizeof(TAIL_END) - 1), TAIL_END, sizeof(TAIL_END) - 1);
    out->size += CHAIN_TAIL_SIZE;
    return true;
}

static bool read_seq(struct text line, uint64_t *seq)
{
    size_t at = sizeof(HEAD) - 1;
    uint64_t value = 0;
    if (line.data[at] < '1' || line.data[at] > '9')
        return false;
    for (; at < line.size && line.data[at] >= '0' && line.data[at] <= '9'; at++)
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(line.data[at] - '0'), &value))
            return false;
    *seq = value;
    return at < line.size && line.data[at] == ',';
}

bool chain_read(struct text line, struct chain_head *claimed)
{
    if (line.size > CHAIN_LINE_MAX || line.size < sizeof(HEAD) + 1 + CHAIN_TAIL_SIZE ||
        memcmp(line.data, HEAD, sizeof(HEAD) - 1) != 0)
        return false;
    const char *tail = line.data + line.size - CHAIN_TAIL_SIZE;
    return memcmp(tail, TAIL, sizeof(TAIL) - 1) == 0 &&
           memcmp(line.data + line.size - (sizeof(TAIL_END) - 1), TAIL_END, sizeof(TAIL_END) - 1) == 0 &&
           read_seq(line, &claimed->seq) && encoding_hex_decode(tail + sizeof(TAIL) - 1, CHAIN_MAC_SIZE, claimed->mac);
}

enum chain_verdict chain_check(struct chain_head *head, const struct hash_hmac_key *key, struct text line)
{
    struct chain_head claimed;
    unsigned char mac[CHAIN_MAC_SIZE];
    if (!chain_read(line, &claimed))
        return CHAIN_MALFORMED;
    make_mac(head, key, text_of(line.data, line.size - CHAIN_TAIL_SIZE), mac);
    if (!hash_equal(mac, claimed.mac, sizeof(mac)))
        return CHAIN_BAD_MAC;
    if (claimed.seq != head->seq + 1)
        return CHAIN_BAD_SEQ;
    *head = claimed;
    return CHAIN_GOOD;
}
