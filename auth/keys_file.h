/* Keys from the files that the configuration names: secrets, public keys in PEM, JWKS documents. */
#ifndef SLUICE_AUTH_KEYS_FILE_H
#define SLUICE_AUTH_KEYS_FILE_H

#include "auth/jwk.h"
#include "auth/keys.h"

/* Appends one key. The failure names the file. */
enum status keys_file_read(const struct keys_file *file, struct key_list *list, struct failure *failure) MUST_CHECK;
/* Appends the usable keys of a JWKS file. */
enum status keys_file_read_set(const char *path, const char *const *allowed, struct key_list *list,
                               struct jwk_skipped *skipped, struct failure *failure) MUST_CHECK;

#endif
