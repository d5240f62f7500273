/* Encryption of what lies in the spool's folder: AES-256-GCM. Each file has a key of its own, made from a secret and 16
 * random bytes at the file's start; each piece that is sealed has 12 random bytes as its nonce, so that none is used
 * twice, however often a file is cut back and written again. */
#ifndef SLUICE_UPLOAD_SPOOL_CIPHER_H
#define SLUICE_UPLOAD_SPOOL_CIPHER_H

#include "base/buffer.h"
#include "base/hash.h"

#define SPOOL_KEY_MINIMUM 32 /* bytes of a secret */
#define SPOOL_KEY_ID 8

struct spool_key {
    struct hash_hmac_key secret;
    unsigned char id[SPOOL_KEY_ID]; /* tells keys apart, and nothing else about them */
};
/* Wiped by its owner (hash_wipe). */
void spool_key_set(struct spool_key *key, struct text secret);

#define SPOOL_HEADER 32 /* bytes at a file's start: a mark, the key's id, the file's random bytes */
#define SPOOL_SEAL 28   /* bytes that a piece grows by */

struct spool_cipher; /* of one file; one thread at a time. It holds the file's key alone */
/* For a new file, whose first bytes `header` is to be. NULL: out of memory. */
struct spool_cipher *spool_cipher_begin(const struct spool_key *key, unsigned char header[SPOOL_HEADER]);
/* For a file that is there. STATUS_NOT_FOUND: its header is not of this key, or none at all. */
enum status spool_cipher_resume(const struct spool_key *key, const unsigned char header[SPOOL_HEADER],
                                struct spool_cipher **cipher, struct failure *failure) MUST_CHECK;
void spool_cipher_free(struct spool_cipher *cipher); /* wipes it; harmless with NULL */
/* `out` has room for plain.size + SPOOL_SEAL; `place` is what the piece can be opened with alone, at most 64 bytes.
 * False: libcrypto refused. */
bool spool_cipher_seal(struct spool_cipher *cipher, struct text place, struct text plain, char *out) MUST_CHECK;
/* `out` has room for sealed.size - SPOOL_SEAL. False: these are not the bytes that were sealed for `place`; `out` is
 * of no use then. */
bool spool_cipher_unseal(struct spool_cipher *cipher, struct text place, struct text sealed, char *out) MUST_CHECK;

#endif
