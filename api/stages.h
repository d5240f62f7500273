/* The way of a request: one const table, read from top to bottom. */
#ifndef SLUICE_API_STAGES_H
#define SLUICE_API_STAGES_H

#include "api/handler.h"

struct stage {
    const char *name;
    enum stage_verdict (*run)(struct request *request);
};
extern const struct stage stages[];
extern const size_t stages_count;

#endif
