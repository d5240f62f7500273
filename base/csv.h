/* Writes CSV (RFC 4180) with LF line ends. */
#ifndef SLUICE_BASE_CSV_H
#define SLUICE_BASE_CSV_H

#include "base/buffer.h"

/* One field: quoted when it holds a comma, quote, CR or LF, or is empty; data == NULL (null) writes nothing at all, so
 * that a null and an empty string differ. The caller sets commas and line ends. */
void csv_append_field(struct buffer *buffer, struct text text);

#endif
