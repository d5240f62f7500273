/* Bytes of a file in the spool's folder: what the spool of loads and resumable uploads share. Blocking. */
#ifndef SLUICE_UPLOAD_SPOOL_FILE_H
#define SLUICE_UPLOAD_SPOOL_FILE_H

#include "base/buffer.h"

/* All of it; 0 or errno. */
int spool_file_write(int fd, struct text bytes, uint64_t offset) MUST_CHECK;
/* What errno means for who sends the bytes. STATUS_TOO_LARGE: the disk is full; `advice` is what to do then. */
enum status spool_file_tell(int error, const char *advice, struct failure *failure);
/* Up to `size` bytes from *position, which moves on; *got 0: it is at `end`. */
enum status spool_file_read(int fd, uint64_t *position, uint64_t end, char *out, size_t size, size_t *got,
                            struct failure *failure) MUST_CHECK;

#endif
