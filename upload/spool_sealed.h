/* The encrypted form of a spool_file: records, which lie in cells of 64 KB and cross none, so that the file's end is
 * found from its last cell. A record is where its bytes stand among all (8 bytes), how many they are (4), and the
 * sealed bytes, bound to both and to the record's place in the file. What was appended is never written again: a cut in
 * the middle of a write takes nothing from what was there. */
#ifndef SLUICE_UPLOAD_SPOOL_SEALED_H
#define SLUICE_UPLOAD_SPOOL_SEALED_H

#include "upload/spool_file.h"

#define SPOOL_CELL ((size_t)64 << 10)
#define SPOOL_RECORD_HEAD 12
#define SPOOL_RECORD_OVERHEAD (SPOOL_RECORD_HEAD + SPOOL_SEAL)

/* As the functions of spool_file.h. */
int spool_sealed_begin(struct spool_file *file, const struct spool_key *key) MUST_CHECK;
/* `file->end` is the file's size. */
enum status spool_sealed_resume(struct spool_file *file, const struct spool_key *key,
                                struct failure *failure) MUST_CHECK;
void spool_sealed_free(struct spool_sealed *sealed);
int spool_sealed_append(struct spool_file *file, struct text bytes) MUST_CHECK;
int spool_sealed_flush(struct spool_file *file) MUST_CHECK;
void spool_sealed_drop(struct spool_file *file); /* what waits to be flushed */
void spool_sealed_rewind(struct spool_file *file);
enum status spool_sealed_read(struct spool_file *file, char *out, size_t size, size_t *got,
                              struct failure *failure) MUST_CHECK;
struct spool_cipher *spool_sealed_cipher(const struct spool_sealed *sealed);

#endif
