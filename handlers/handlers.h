/* The table of all handlers; main.c hands it to the server. */
#ifndef SLUICE_HANDLERS_HANDLERS_H
#define SLUICE_HANDLERS_HANDLERS_H

#include <stddef.h>

#include "api/handler.h"

extern const struct handler *const handlers_all[];
extern const size_t handlers_count;

extern const struct handler handlers_list_regions, handlers_get_region; /* regions.c */
extern const struct handler handlers_get_region_summary;                /* summary.c */
extern const struct handler handlers_get_region_weather, handlers_get_region_market,
    handlers_get_region_forecast;                        /* series.c */
extern const struct handler handlers_list_datasets;      /* datasets.c */
extern const struct handler handlers_get_dataset_schema; /* schema.c */
extern const struct handler handlers_read_dataset;       /* rows.c */
extern const struct handler handlers_plan_query;         /* plan.c */
extern const struct handler handlers_get_openapi;        /* contract.c */

#endif
