/* What audit/sync*.c share. */
#ifndef SLUICE_AUDIT_SYNC_PRIVATE_H
#define SLUICE_AUDIT_SYNC_PRIVATE_H

#include "audit/sync.h"

/* Brings the file's bytes up to `to` on disk, again where it is doubtful. errno; 0: on disk. */
int sync_file_settle(struct audit_sync_file *file, uint64_t to, const struct chain_head *head);
void sync_file_free(struct audit_sync_file *file);

#endif
