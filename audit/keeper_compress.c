/* Closed segments are compressed: CHAIN-N.jsonl → CHAIN-N.jsonl.zst, on disk before the plain one goes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "audit/keeper_private.h"
#include "base/file.h"

/* Records are alike but for their hashes and numbers: the higher levels look longer and find less (67 MB of them: level
 * 3 231 ms and 13.1 %, level 1 83 ms and 11.1 %, level -1 57 ms and 20.2 %). */
#define LEVEL 1
/* Of one turn; then shipping and anchors have theirs. */
#define TURN_US 200000
#define PIECE ((size_t)128 << 10) /* bytes */

struct packing {
    struct keeper *keeper;
    ZSTD_CCtx *packer;
    int from, to;
    char *plain, *packed; /* PIECE bytes each */
};

static bool pack_piece(struct packing *packing, size_t size, ZSTD_EndDirective mode)
{
    ZSTD_inBuffer in = {packing->plain, size, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {packing->packed, PIECE, 0};
        left = ZSTD_compressStream2(packing->packer, &out, &in, mode);
        if (ZSTD_isError(left)) {
            errno = ENOMEM;
            return false;
        }
        if (!file_write_all(packing->to, text_of(packing->packed, out.pos)))
            return false;
    } while (mode == ZSTD_e_end ? left != 0 : in.pos != in.size);
    return true;
}

/* False with errno 0: told to stop. */
static bool pack(struct packing *packing)
{
    for (;;) {
        ssize_t got = read(packing->from, packing->plain, PIECE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (keeper_is_stopping(packing->keeper)) {
            errno = 0;
            return false;
        }
        if (!pack_piece(packing, (size_t)got, got == 0 ? ZSTD_e_end : ZSTD_e_continue))
            return false;
        if (got == 0)
            return true;
    }
}

/* What tells its age to the retention rule goes along. */
static bool keep_times(int from, int to)
{
    struct stat about;
    if (fstat(from, &about) != 0)
        return false;
    const struct timespec times[2] = {about.st_atim, about.st_mtim};
    return futimens(to, times) == 0;
}

static bool put_in_place(struct packing *packing, const char *plain, const char *temporary, const char *packed)
{
    int folder = packing->keeper->folder_fd;
    return keep_times(packing->from, packing->to) && fsync(packing->to) == 0 &&
           renameat(folder, temporary, folder, packed) == 0 && fsync(folder) == 0 && unlinkat(folder, plain, 0) == 0 &&
           fsync(folder) == 0;
}

static bool set_up(struct packing *packing)
{
    packing->packer = ZSTD_createCCtx();
    packing->plain = malloc(PIECE);
    packing->packed = malloc(PIECE);
    errno = ENOMEM;
    return packing->packer != NULL && packing->plain != NULL && packing->packed != NULL &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(packing->packer, ZSTD_c_compressionLevel, LEVEL)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(packing->packer, ZSTD_c_checksumFlag, 1));
}

static void compress_one(struct keeper *keeper, const struct segment_name *segment, int from)
{
    struct packing packing = {.keeper = keeper, .from = from, .to = -1};
    char plain[SEGMENT_NAME_MAX], packed[SEGMENT_NAME_MAX + 8], temporary[SEGMENT_NAME_MAX + 16];
    segment_format(segment, plain);
    snprintf(packed, sizeof(packed), "%s.zst", plain);
    snprintf(temporary, sizeof(temporary), "%s.tmp", packed);
    bool done = set_up(&packing);
    if (done)
        packing.to = openat(keeper->folder_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    done = done && packing.to >= 0 && pack(&packing) && put_in_place(&packing, plain, temporary, packed);
    int error = errno;
    if (packing.to >= 0)
        close(packing.to);
    ZSTD_freeCCtx(packing.packer);
    free(packing.plain);
    free(packing.packed);
    if (done) {
        keeper_count(keeper, &keeper->statistics.compressed, 1);
        return;
    }
    unlinkat(keeper->folder_fd, temporary, 0);
    if (error != 0)
        keeper_fail(keeper, "audit_compress_failed", "%s/%s cannot be compressed: %s; tried again in a minute",
                    keeper->options.audit->folder, plain, strerror(error));
}

void keeper_compress(struct keeper *keeper)
{
    int64_t until = keeper_now_us() + TURN_US;
    for (size_t i = 0; i < keeper->list.count && !keeper_is_stopping(keeper) && keeper_now_us() < until; i++) {
        struct segment_name *segment = &keeper->list.items[i];
        /* Who ships from it has it open, and goes on reading. */
        if (segment->compressed || !keeper_is_closed(keeper, i))
            continue;
        int fd = keeper_take(keeper, segment);
        if (fd < 0)
            continue;
        compress_one(keeper, segment, fd);
        close(fd);
    }
}
