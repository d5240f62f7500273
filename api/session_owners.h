/* Whether those who have resumable uploads are customers still. */
#ifndef SLUICE_API_SESSION_OWNERS_H
#define SLUICE_API_SESSION_OWNERS_H

#include "base/buffer.h"

/* For sessions_options.gone; `context` is the const struct server. Asks the database, as the reader: a customer that is
 * removed has no role any more. Blocks. */
enum status session_owners_gone(void *context, const struct text *customers, size_t count, bool *gone,
                                struct failure *failure) MUST_CHECK;

#endif
