/* What differs between two configurations, and what of it a running gateway can take over. */
#ifndef SLUICE_API_CONFIG_CHANGE_H
#define SLUICE_API_CONFIG_CHANGE_H

#include "api/config.h"

/* A key that is `prefix`, or stands below it, is written differently. ("1s" and "1000ms" differ.) */
bool config_differs(const struct config *a, const struct config *b, const char *prefix);
/* STATUS_INVALID: keys differ that only a start reads; each is named in `report`, a line each. */
enum status config_check_reload(const struct config *running, const struct config *next,
                                struct buffer *report) MUST_CHECK;

#endif
