#include "upload/spool_sealed.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Bytes behind the last good record that are looked through for one: more than what a load of the disk leaves unsynced
 * (sessions_file.c). */
#define LOST_MAX ((uint64_t)96 << 20)

struct spool_sealed {
    struct spool_cipher *cipher;
    size_t waiting_size;              /* of file->size */
    size_t opened_size, opened_given; /* of the record that is being read */
    uint64_t next;                    /* where the record behind it begins */
    char waiting[SPOOL_CELL];         /* until they fill a record */
    char opened[SPOOL_CELL], record[SPOOL_CELL];
};

/* Where the next record begins, behind `end`: in its cell, where a byte fits in there. */
static uint64_t begin_of(uint64_t end)
{
    uint64_t rest = SPOOL_CELL - end % SPOOL_CELL;
    return rest > SPOOL_RECORD_OVERHEAD ? end : end + rest;
}

/* Bytes that a record may have that begins there. */
static size_t room_of(uint64_t begin)
{
    return SPOOL_CELL - (size_t)(begin % SPOOL_CELL) - SPOOL_RECORD_OVERHEAD;
}

struct place {
    uint64_t position; /* of its first byte among all, big endian */
    uint32_t size;     /* big endian; both as they stand in the file */
    uint64_t begin;    /* in the file, big endian */
} __attribute__((packed));

static struct text text_of_place(const struct place *place)
{
    return text_of((const char *)place, sizeof(*place));
}

static struct spool_sealed *create(struct spool_cipher *cipher)
{
    struct spool_sealed *sealed = cipher != NULL ? malloc(sizeof(*sealed)) : NULL;
    if (sealed == NULL) {
        spool_cipher_free(cipher);
        return NULL;
    }
    sealed->cipher = cipher;
    sealed->waiting_size = sealed->opened_size = sealed->opened_given = 0;
    sealed->next = SPOOL_HEADER;
    return sealed;
}

int spool_sealed_begin(struct spool_file *file, const struct spool_key *key)
{
    unsigned char header[SPOOL_HEADER];
    file->sealed = create(spool_cipher_begin(key, header));
    if (file->sealed == NULL)
        return ENOMEM;
    int error = spool_file_write(file->fd, text_of((char *)header, sizeof(header)), 0);
    file->end = SPOOL_HEADER;
    if (error != 0)
        spool_file_forget(file);
    return error;
}

void spool_sealed_free(struct spool_sealed *sealed)
{
    if (sealed == NULL)
        return;
    spool_cipher_free(sealed->cipher);
    free(sealed);
}

struct spool_cipher *spool_sealed_cipher(const struct spool_sealed *sealed)
{
    return sealed->cipher;
}

/* False with errno; 0 behind the file's end. */
static bool read_all(int fd, char *out, size_t size, uint64_t offset)
{
    while (size != 0) {
        ssize_t count = pread(fd, out, size, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            errno = count == 0 ? 0 : errno;
            return false;
        }
        out += count;
        offset += (uint64_t)count;
        size -= (size_t)count;
    }
    return true;
}

static enum status tell_unreadable(struct failure *failure)
{
    return failure_set(failure, STATUS_FAILED, "the spool cannot be read: %s",
                       errno != 0 ? strerror(errno) : "it is shorter than what was written");
}

static enum status tell_damaged(uint64_t begin, struct failure *failure)
{
    return failure_set(
        failure, STATUS_FAILED,
        "the spool is damaged: what is read at byte %llu of its file is not what was written there; look "
        "after its disk, and send the file again",
        (unsigned long long)begin);
}

/* Writing. */

void spool_sealed_drop(struct spool_file *file)
{
    file->size -= file->sealed->waiting_size;
    file->sealed->waiting_size = 0;
}

/* What waits cannot be written. */
static int give_up(struct spool_file *file, int error)
{
    spool_sealed_drop(file);
    int ignored = ftruncate(file->fd, (off_t)file->end);
    (void)ignored;
    return error;
}

int spool_sealed_flush(struct spool_file *file)
{
    struct spool_sealed *sealed = file->sealed;
    size_t size = sealed->waiting_size;
    if (size == 0)
        return 0;
    uint64_t begin = begin_of(file->end);
    struct place place = {htobe64(file->size - size), htobe32((uint32_t)size), htobe64(begin)};
    memcpy(sealed->record, &place, SPOOL_RECORD_HEAD);
    if (!spool_cipher_seal(sealed->cipher, text_of_place(&place), text_of(sealed->waiting, size),
                           sealed->record + SPOOL_RECORD_HEAD))
        return give_up(file, EIO);
    int error = spool_file_write(file->fd, text_of(sealed->record, SPOOL_RECORD_OVERHEAD + size), begin);
    if (error != 0)
        return give_up(file, error);
    file->end = begin + SPOOL_RECORD_OVERHEAD + size;
    sealed->waiting_size = 0;
    return 0;
}

int spool_sealed_append(struct spool_file *file, struct text bytes)
{
    struct spool_sealed *sealed = file->sealed;
    while (bytes.size != 0) {
        size_t room = room_of(begin_of(file->end)) - sealed->waiting_size;
        size_t piece = bytes.size < room ? bytes.size : room;
        memcpy(sealed->waiting + sealed->waiting_size, bytes.data, piece);
        sealed->waiting_size += piece;
        file->size += piece;
        bytes.data += piece;
        bytes.size -= piece;
        int error = piece == room ? spool_sealed_flush(file) : 0;
        if (error != 0)
            return error;
    }
    return 0;
}

/* Reading. */

void spool_sealed_rewind(struct spool_file *file)
{
    file->sealed->opened_size = file->sealed->opened_given = 0;
    file->sealed->next = SPOOL_HEADER;
}

/* Reads the next record; the bytes before it were given. */
static enum status open_next(struct spool_file *file, struct failure *failure)
{
    struct spool_sealed *sealed = file->sealed;
    uint64_t begin = begin_of(sealed->next);
    struct place place = {.begin = htobe64(begin)};
    if (begin + SPOOL_RECORD_OVERHEAD >= file->end)
        return tell_damaged(begin, failure);
    if (!read_all(file->fd, (char *)&place, SPOOL_RECORD_HEAD, begin))
        return tell_unreadable(failure);
    size_t size = be32toh(place.size), most = room_of(begin);
    if (be64toh(place.position) != file->position || size == 0 || size > most ||
        begin + SPOOL_RECORD_OVERHEAD + size > file->end)
        return tell_damaged(begin, failure);
    if (!read_all(file->fd, sealed->record, SPOOL_SEAL + size, begin + SPOOL_RECORD_HEAD))
        return tell_unreadable(failure);
    if (!spool_cipher_unseal(sealed->cipher, text_of_place(&place), text_of(sealed->record, SPOOL_SEAL + size),
                             sealed->opened))
        return tell_damaged(begin, failure);
    sealed->opened_size = size;
    sealed->opened_given = 0;
    sealed->next = begin + SPOOL_RECORD_OVERHEAD + size;
    return STATUS_OK;
}

enum status spool_sealed_read(struct spool_file *file, char *out, size_t size, size_t *got, struct failure *failure)
{
    struct spool_sealed *sealed = file->sealed;
    *got = 0;
    int error = spool_sealed_flush(file);
    if (error != 0)
        return spool_file_tell(error, "try again later, or with less", failure);
    if (sealed->opened_given == sealed->opened_size) {
        if (file->position == file->size)
            return STATUS_OK;
        enum status status = open_next(file, failure);
        if (status != STATUS_OK)
            return status;
    }
    size_t left = sealed->opened_size - sealed->opened_given;
    *got = size < left ? size : left;
    memcpy(out, sealed->opened + sealed->opened_given, *got);
    sealed->opened_given += *got;
    file->position += *got;
    return STATUS_OK;
}

/* Going on behind a restart. */

/* The good records from the start of the cell that begins at `cell`: where they end, in the file and among all bytes.
 * False: there is none. */
static bool walk(struct spool_sealed *sealed, uint64_t cell, size_t cell_size, uint64_t *end, uint64_t *size)
{
    size_t at = cell == 0 ? SPOOL_HEADER : 0;
    bool any = false;
    while (cell_size > at + SPOOL_RECORD_OVERHEAD) {
        struct place place = {.begin = htobe64(cell + at)};
        memcpy(&place, sealed->record + at, SPOOL_RECORD_HEAD);
        size_t count = be32toh(place.size);
        if (count == 0 || count > cell_size - at - SPOOL_RECORD_OVERHEAD || (any && be64toh(place.position) != *size) ||
            !spool_cipher_unseal(sealed->cipher, text_of_place(&place),
                                 text_of(sealed->record + at + SPOOL_RECORD_HEAD, SPOOL_SEAL + count), sealed->opened))
            break;
        at += SPOOL_RECORD_OVERHEAD + count;
        *end = cell + at;
        *size = be64toh(place.position) + count;
        any = true;
    }
    return any;
}

static enum status find_end(struct spool_file *file, struct failure *failure)
{
    uint64_t whole = file->end, cell = (whole - 1) / SPOOL_CELL * SPOOL_CELL;
    file->end = SPOOL_HEADER;
    file->size = 0;
    for (;; cell -= SPOOL_CELL) {
        size_t size = whole - cell < SPOOL_CELL ? (size_t)(whole - cell) : SPOOL_CELL;
        if (!read_all(file->fd, file->sealed->record, size, cell))
            return tell_unreadable(failure);
        if (walk(file->sealed, cell, size, &file->end, &file->size) || cell == 0)
            break;
        if (whole - cell > LOST_MAX)
            return tell_damaged(cell, failure);
    }
    if (file->end != whole && ftruncate(file->fd, (off_t)file->end) != 0)
        return spool_file_tell(errno, "ask again later", failure);
    return STATUS_OK;
}

enum status spool_sealed_resume(struct spool_file *file, const struct spool_key *key, struct failure *failure)
{
    unsigned char header[SPOOL_HEADER];
    struct spool_cipher *cipher = NULL;
    if (file->end < SPOOL_HEADER)
        return failure_set(failure, STATUS_NOT_FOUND, "the file of the spool is not encrypted");
    if (!read_all(file->fd, (char *)header, sizeof(header), 0))
        return tell_unreadable(failure);
    enum status status = spool_cipher_resume(key, header, &cipher, failure);
    if (status != STATUS_OK)
        return status;
    file->sealed = create(cipher);
    if (file->sealed == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    status = find_end(file, failure);
    if (status != STATUS_OK)
        spool_file_forget(file);
    return status;
}
