#ifndef SLUICE_BASE_FILE_H
#define SLUICE_BASE_FILE_H

#include "base/buffer.h"

/* The whole of a regular file, up to buffer's ceiling. Failure names the path, the reason (errno's words) and the
 * remedy. */
enum status file_read(const char *path, struct buffer *out, struct failure *failure) MUST_CHECK;
/* As file_read, without trailing CR/LF, refused (STATUS_DENIED) when group or others may read or write it, or when
 * empty. */
enum status file_read_secret(const char *path, struct buffer *out, struct failure *failure) MUST_CHECK;
/* Writes all of it where the descriptor stands, at once or piece by piece. False: errno tells (ENOSPC, where the kernel
 * takes nothing and says nothing), and a part may stand there. */
bool file_write_all(int fd, struct text bytes) MUST_CHECK;

#endif
