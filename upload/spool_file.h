/* A file in the spool's folder, as it is or encrypted: what the spool of loads and resumable uploads share. It is
 * appended to, cut back, and read in order from its start. Blocking; one thread at a time. */
#ifndef SLUICE_UPLOAD_SPOOL_FILE_H
#define SLUICE_UPLOAD_SPOOL_FILE_H

#include "upload/spool_cipher.h"

struct spool_sealed; /* spool_sealed.c's */
struct spool_file {
    int fd;                      /* the caller's to close; -1: there is none */
    uint64_t size;               /* bytes that were appended */
    uint64_t end;                /* of the file: `size` where it is not encrypted */
    uint64_t position;           /* of the next read */
    struct spool_sealed *sealed; /* NULL: not encrypted */
};

/* An empty file `fd`; with a key (NULL: none) it gets its header. 0 or errno. */
int spool_file_begin(struct spool_file *file, int fd, const struct spool_key *key) MUST_CHECK;
/* One that is there. Of an encrypted one what is torn at its end, as a loss of power or a kill leaves it, is cut off:
 * it was never told to be there. STATUS_NOT_FOUND: it is not encrypted with `key`; STATUS_FAILED: it is damaged. */
enum status spool_file_resume(struct spool_file *file, int fd, const struct spool_key *key,
                              struct failure *failure) MUST_CHECK;
void spool_file_forget(struct spool_file *file); /* memory and keys; not the file */
/* 0 or errno. Then nothing more than what was there before is; of an encrypted one, as many bytes less as had waited
 * for their record to fill. */
int spool_file_append(struct spool_file *file, struct text bytes) MUST_CHECK;
/* Has all that was appended in the file: what is encrypted waits in memory otherwise, up to 64 KB. 0 or errno. */
int spool_file_flush(struct spool_file *file) MUST_CHECK;
/* Back to what it was when it had this size and end, behind a flush. 0 or errno. */
int spool_file_cut(struct spool_file *file, uint64_t size, uint64_t end) MUST_CHECK;
/* Drops all bytes. 0 or errno. */
int spool_file_empty(struct spool_file *file) MUST_CHECK;
void spool_file_rewind(struct spool_file *file);
/* Up to `size` bytes; *got 0: the end. STATUS_FAILED: it cannot be read, or what is read was not written: then nothing
 * of the record is given. */
enum status spool_file_read(struct spool_file *file, char *out, size_t size, size_t *got,
                            struct failure *failure) MUST_CHECK;
/* The key that it is encrypted with; NULL: it is not. */
struct spool_cipher *spool_file_cipher(const struct spool_file *file);

/* All of it, as it is; 0 or errno. */
int spool_file_write(int fd, struct text bytes, uint64_t offset) MUST_CHECK;
/* What errno means for who sends the bytes. STATUS_TOO_LARGE: the disk is full; `advice` is what to do then. */
enum status spool_file_tell(int error, const char *advice, struct failure *failure);

#endif
