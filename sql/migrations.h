/* The migrations as they were when this binary was built, in their order. */
#ifndef SLUICE_SQL_MIGRATIONS_H
#define SLUICE_SQL_MIGRATIONS_H

#include "base/text.h"

struct migration {
    const char *name; /* "0001_versions" */
    const char *begin, *end;
};
extern const struct migration migrations[];
extern const size_t migrations_count;

#endif
