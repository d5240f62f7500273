/* Chains in a temporary folder, for the tests of who reads them. */
#ifndef SLUICE_TESTS_AUDIT_CHAINS_H
#define SLUICE_TESTS_AUDIT_CHAINS_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cmocka.h>

#include "audit/chain.h"
#include "audit/entry.h"
#include "audit/segment.h"

#define CHAINS_MAX ((size_t)1 << 30)
#define CHAINS_W0 "gw1-20261121T170312-1f3a-w0"
#define CHAINS_W1 "gw1-20261121T170312-1f3a-w1"
#define CHAINS_K "gw1-20261121T170312-1f3a-k"

struct chains {
    char folder[64];
    int folder_fd;
    struct hash_hmac_key key;
};

static inline void chains_key(struct hash_hmac_key *key, const char *secret)
{
    hash_hmac_key_set(key, text_from_string(secret));
}

static inline void chains_open(struct chains *chains)
{
    *chains = (struct chains){.folder = "/tmp/sluice-audit-XXXXXX"};
    assert_non_null(mkdtemp(chains->folder));
    chains->folder_fd = open(chains->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(chains->folder_fd >= 0);
    chains_key(&chains->key, "a key of the tests, of more than 32 bytes");
}

static inline void chains_empty(struct chains *chains)
{
    struct segment_list list;
    char name[SEGMENT_NAME_MAX];
    assert_int_equal(segment_list(chains->folder, &list, NULL), STATUS_OK);
    for (size_t i = 0; i < list.count; i++) {
        segment_format(&list.items[i], name);
        assert_int_equal(unlinkat(chains->folder_fd, name, 0), 0);
        list.items[i].compressed = true;
        segment_format(&list.items[i], name);
        unlinkat(chains->folder_fd, name, 0);
    }
    segment_list_free(&list);
}

static inline void chains_close(struct chains *chains)
{
    chains_empty(chains);
    close(chains->folder_fd);
    assert_int_equal(rmdir(chains->folder), 0);
}

static inline void chains_write(const struct chains *chains, const char *name, struct text bytes)
{
    /* Anew: file systems put a truncated file on disk at once, which takes its time. */
    unlinkat(chains->folder_fd, name, 0);
    int fd = openat(chains->folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (ssize_t wrote; bytes.size != 0; bytes.data += wrote, bytes.size -= (size_t)wrote)
        assert_true((wrote = write(fd, bytes.data, bytes.size)) > 0);
    close(fd);
}

static inline void chains_read(const struct chains *chains, const char *name, struct buffer *bytes)
{
    int fd = openat(chains->folder_fd, name, O_RDONLY | O_CLOEXEC);
    struct stat info;
    assert_true(fd >= 0 && fstat(fd, &info) == 0);
    buffer_init(bytes, CHAINS_MAX);
    char *room = buffer_reserve(bytes, (size_t)info.st_size + 1);
    assert_non_null(room);
    assert_int_equal(read(fd, room, (size_t)info.st_size + 1), info.st_size);
    bytes->size = (size_t)info.st_size;
    close(fd);
}

/* Compresses as the keeper does, and removes the plain file. */
static inline void chains_compress(const struct chains *chains, const char *name)
{
    char packed_name[SEGMENT_NAME_MAX];
    struct buffer plain;
    chains_read(chains, name, &plain);
    size_t room = ZSTD_compressBound(plain.size);
    char *packed = malloc(room);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    assert_true(packed != NULL && context != NULL);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size_t size = ZSTD_compress2(context, packed, room, plain.data, plain.size);
    assert_false(ZSTD_isError(size));
    snprintf(packed_name, sizeof(packed_name), "%s.zst", name);
    chains_write(chains, packed_name, text_of(packed, size));
    assert_int_equal(unlinkat(chains->folder_fd, name, 0), 0);
    ZSTD_freeCCtx(context);
    free(packed);
    buffer_free(&plain);
}

/* One that is being written: lines gather, chains_segment_end makes the file. */
struct chains_writer {
    const struct chains *chains;
    struct segment_name segment;
    struct chain_head head;
    struct buffer lines;
    size_t start; /* of the line under way */
};

static inline void chains_line(struct chains_writer *writer, const char *event)
{
    writer->start = writer->lines.size;
    chain_begin_line(&writer->head, &writer->lines);
    entry_append_event(&writer->lines, 1795280000000000 + (int64_t)writer->head.seq * 1000000, event);
}

static inline void chains_seal(struct chains_writer *writer)
{
    assert_true(chain_seal(&writer->head, &writer->chains->key, &writer->lines, writer->start));
}

static inline void chains_event(struct chains_writer *writer, const char *event)
{
    chains_line(writer, event);
    chains_seal(writer);
}

static inline void chains_begin(struct chains_writer *writer, const struct chains *chains, const char *chain)
{
    *writer = (struct chains_writer){.chains = chains, .segment = {.number = 1}};
    snprintf(writer->segment.chain, sizeof(writer->segment.chain), "%s", chain);
    buffer_init(&writer->lines, CHAINS_MAX);
    chains_line(writer, "begin");
    entry_append_text(&writer->lines, "chain", text_from_string(chain));
    chains_seal(writer);
}

static inline void chains_intent(struct chains_writer *writer, const char *request_id)
{
    chains_line(writer, "intent");
    entry_append_text(&writer->lines, "request_id", text_from_string(request_id));
    chains_seal(writer);
}

static inline void chains_request(struct chains_writer *writer, const char *request_id, const char *customer,
                                  uint64_t status)
{
    chains_line(writer, "request");
    entry_append_text(&writer->lines, "request_id", text_from_string(request_id));
    entry_append_text(&writer->lines, "customer", text_from_string(customer));
    entry_append_number(&writer->lines, "status", status);
    chains_seal(writer);
}

/* Writes the file as it is, and forgets the lines. */
static inline void chains_save(struct chains_writer *writer)
{
    char name[SEGMENT_NAME_MAX];
    segment_format(&writer->segment, name);
    chains_write(writer->chains, name, buffer_text(&writer->lines));
    buffer_free(&writer->lines);
    buffer_init(&writer->lines, CHAINS_MAX);
}

static inline void chains_continue(struct chains_writer *writer)
{
    char previous[2 * CHAIN_MAC_SIZE + 1];
    for (size_t i = 0; i < CHAIN_MAC_SIZE; i++)
        snprintf(previous + 2 * i, 3, "%02x", writer->head.mac[i]);
    chains_line(writer, "continue");
    entry_append_text(&writer->lines, "chain", text_from_string(writer->segment.chain));
    entry_append_number(&writer->lines, "segment", writer->segment.number);
    entry_append_text(&writer->lines, "previous", text_from_string(previous));
    chains_seal(writer);
}

static inline void chains_rotate(struct chains_writer *writer)
{
    chains_event(writer, "close");
    chains_save(writer);
    writer->segment.number++;
    chains_continue(writer);
}

static inline void chains_end(struct chains_writer *writer)
{
    chains_event(writer, "end");
    chains_save(writer);
}

#endif
