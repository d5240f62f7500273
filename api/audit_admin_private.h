/* What the two halves of `sluice audit` share. */
#ifndef SLUICE_API_AUDIT_ADMIN_PRIVATE_H
#define SLUICE_API_AUDIT_ADMIN_PRIVATE_H

#include "api/config.h"
#include "audit/verify.h"

/* Heads that were written down outside the folder. */
struct audit_anchors {
    struct verify_anchor *items;
    size_t count, room;
};
/* Those of a file: a line each, CHAIN SEQ MAC, and what follows. */
enum status audit_anchors_read(const char *path, struct audit_anchors *anchors, struct failure *failure) MUST_CHECK;
/* Those of the database that are of this instance, or of a chain that is in the folder: others' logs lie elsewhere. */
enum status audit_anchors_fetch(const struct config *config, const char *folder, struct audit_anchors *anchors,
                                struct failure *failure) MUST_CHECK;

#endif
