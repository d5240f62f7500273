/* The process's part of the audit log: its folder, key and names, what a crash left, the sync thread, and people's
 * pseudonyms. The workers' parts hang on it; the keeper looks after what they write. */
#ifndef SLUICE_API_SERVER_AUDIT_H
#define SLUICE_API_SERVER_AUDIT_H

#include "api/config.h"
#include "audit/log.h"
#include "audit/recover.h"

struct server_audit {
    struct audit_options options;
    char instance[AUDIT_INSTANCE_MAX + 1];
    struct recover_result recovered;
};

/* The chains' key as configured; STATUS_INVALID if it is too short. `secret` has been initialised. */
enum status server_audit_read_secret(const struct config *config, struct buffer *secret,
                                     struct failure *failure) MUST_CHECK;
/* Makes the folder (0700) where there is none, ends what a crash left, and says so in the log. STATUS_INVALID names the
 * key of the configuration. `secret` is read within the call. */
enum status server_audit_create(const struct config *config, struct text secret, struct server_audit **audit,
                                struct failure *failure) MUST_CHECK;
/* The workers' logs must be closed. NULL is allowed. */
void server_audit_destroy(struct server_audit *audit);
/* The key alone, for command lines. The caller wipes it. */
enum status server_audit_key(const struct config *config, struct hash_hmac_key *key,
                             struct failure *failure) MUST_CHECK;

#endif
