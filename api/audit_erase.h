/* What `sluice customer erase-subject` does: makes a person unrecognisable in the audit log. The chains stay as they
 * are; what goes is the line that says whose a pseudonym is (audit/subjects.h), and there is no other. */
#ifndef SLUICE_API_AUDIT_ERASE_H
#define SLUICE_API_AUDIT_ERASE_H

#include <stdio.h>

#include "api/config.h"
#include "drivers/postgres_session.h"

/* `session`: the owner's. Asks every gateway of this database, which obeys within a second or two, and erases in this
 * machine's folder, where there is one; says on `out` what was done. Tells nobody whether the person was known
 * elsewhere. */
enum status audit_erase_subject(const struct config *config, struct postgres_session *session, const char *customer,
                                const char *subject, FILE *out, struct failure *failure) MUST_CHECK;

#endif
