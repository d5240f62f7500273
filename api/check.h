/* What `sluice check` says beyond the file: the catalog that a configuration yields. */
#ifndef SLUICE_API_CHECK_H
#define SLUICE_API_CHECK_H

#include <stdio.h>

#include "api/config.h"

/* Logs in as the server does, and prints a line a dataset of the configured schemas, each followed by warnings of what
 * can't be served well. Blocks. STATUS_NOT_FOUND: a configured schema is not there, which is appended to `report`, a
 * line each. Everything else is STATUS_OK: a database that can't be reached or asked is said, and is no mistake of the
 * file's. */
enum status check_catalog(const struct config *config, FILE *out, struct buffer *report) MUST_CHECK;

#endif
