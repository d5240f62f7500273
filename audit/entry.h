/* What the records of the audit log say, between {"seq":N and the hash (chain.h). Each has "time" and "event"; fields
 * without a value are left out.
 *
 * - begin: chain, instance, pid, release, key (the first 8 hexadecimal digits of its SHA-256).
 *
 * - continue: chain, segment, previous (the hash before, in hexadecimal).
 *
 * - intent: request_id, trace_id (where the caller sent one), address, customer, subject, method, operation, dataset,
 *   version, target, lane, cache, sql.
 *
 * - request: as intent, and status, reason, rows, bytes, duration_us, complete (only false is written).
 *
 * - incomplete: request_id, bytes. The answer that a "request" has told of did not reach its client whole.
 *
 * - gap: dropped, refused. So many records were not written, because the disk took none: of what happened all the same,
 *   and of what therefore did not happen.
 *
 * - retention: chain, through, through_seq. Segments up to this number, records up to that one, were deleted.
 *
 * - lost: request_id, intent (number of its record). A crash came before its outcome.
 *
 * - close, end: segment. An end after a crash has crash, torn and lost too. */
#ifndef SLUICE_AUDIT_ENTRY_H
#define SLUICE_AUDIT_ENTRY_H

#include "audit/record.h"

enum entry_address { ENTRY_ADDRESS_TRUNCATED /* IPv4 /24, IPv6 /48 */, ENTRY_ADDRESS_FULL, ENTRY_ADDRESS_NONE };

/* ,"time":…,"event":… and what follows, without the closing brace. `subject`: the pseudonym; TEXT_NONE: none. */
void entry_append_intent(struct buffer *out, const struct audit_record *record, struct text subject,
                         enum entry_address address);
void entry_append_request(struct buffer *out, const struct audit_record *record, struct text subject,
                          enum entry_address address);
/* Of the small ones ,"time":…,"event":…; the caller appends the rest. */
void entry_append_event(struct buffer *out, int64_t time_us, const char *event);
void entry_append_text(struct buffer *out, const char *name, struct text value); /* TEXT_NONE: nothing */
void entry_append_number(struct buffer *out, const char *name, uint64_t value);

#endif
