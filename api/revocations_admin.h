/* Revoking by hand: what `sluice token revoke` and the admin listener's POST /revocations do. */
#ifndef SLUICE_API_REVOCATIONS_ADMIN_H
#define SLUICE_API_REVOCATIONS_ADMIN_H

#include <stdio.h>

#include "api/config.h"
#include "auth/revocation_order.h"
#include "drivers/postgres_session.h"

struct revocation_lives revocations_lives(const struct config *config);

/* The call that writes an order down. It answers one row: what stands there now. */
#define REVOCATIONS_PARAMETERS 7
extern const char revocations_sql[];
struct revocations_parameters {
    char before[24], until[24];
    struct text texts[REVOCATIONS_PARAMETERS]; /* borrow from the order and from `by` */
};
void revocations_parameters(const struct revocation *order, struct text by, struct revocations_parameters *parameters);
/* Row 0 as a JSON object: {"kind":…,"customer":…,"subject":…,"jti":…,"before":…,"until":…,"at":…,"by":…}. */
void revocations_append_json(struct buffer *out, const struct postgres_rows *rows, size_t row);

/* Over a session of the database's owner; blocks. Prints what stands there now. */
enum status revocations_revoke(const struct config *config, struct postgres_session *session,
                               const struct revocation_wish *wish, FILE *out, struct failure *failure) MUST_CHECK;
/* All that has not had its time, the newest first; a line each, or JSON. */
enum status revocations_list(struct postgres_session *session, bool json, FILE *out,
                             struct failure *failure) MUST_CHECK;

#endif
