/* A file that holds what is read twice: in the spool's folder, mode 0600, without a name from the start (O_TMPFILE), so
 * that nothing of it outlives the process however that ends. One bound is over all files of the process, those of
 * resumable uploads among them. Blocking. */
#ifndef SLUICE_UPLOAD_SPOOL_H
#define SLUICE_UPLOAD_SPOOL_H

#include "upload/spool_cipher.h"

struct spool_space; /* the process's, of loads and resumable uploads; its counter is atomic */
/* `folder` must exist, belong to us and be writable: else STATUS_DENIED with words. */
enum status spool_space_create(const char *folder, uint64_t bytes, struct spool_space **space,
                               struct failure *failure) MUST_CHECK;
/* Before anything else: all files are encrypted. Those of loads with a random key of this process's; `secret` is for
 * what outlives it. STATUS_INVALID: it has less than SPOOL_KEY_MINIMUM bytes. */
enum status spool_space_encrypt(struct spool_space *space, struct text secret, struct failure *failure) MUST_CHECK;
/* For files of the folder that outlive the process. NULL: they are not encrypted. */
const struct spool_key *spool_space_key(const struct spool_space *space);
void spool_space_destroy(struct spool_space *space);
uint64_t spool_space_used(const struct spool_space *space);
uint64_t spool_space_size(const struct spool_space *space);
/* For bytes that lie elsewhere in the folder. False: there is no room for them. */
bool spool_space_take(struct spool_space *space, uint64_t bytes) MUST_CHECK;
void spool_space_take_anyway(struct spool_space *space, uint64_t bytes); /* they lie there already */
void spool_space_give_back(struct spool_space *space, uint64_t bytes);

struct spool;
enum status spool_open(struct spool_space *space, struct spool **spool, struct failure *failure) MUST_CHECK;
/* STATUS_TOO_LARGE: the space's bytes are used up, or the disk is full (ENOSPC, EDQUOT): says which; what was written
 * before stays readable, but for what an encrypted one had not written yet (64 KB). */
enum status spool_write(struct spool *spool, struct text bytes, struct failure *failure) MUST_CHECK;
void spool_rewind(struct spool *spool);
enum status spool_read(struct spool *spool, char *out, size_t size, size_t *got, struct failure *failure) MUST_CHECK;
uint64_t spool_size(const struct spool *spool);
void spool_close(struct spool *spool); /* gives its bytes back; harmless with NULL */

#endif
