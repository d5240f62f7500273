#include "handlers/handlers.h"

const struct handler *const handlers_all[] = {
    &handlers_list_regions,       &handlers_get_region,         &handlers_get_region_summary,
    &handlers_get_region_weather, &handlers_get_region_market,  &handlers_get_region_forecast,
    &handlers_list_datasets,      &handlers_get_dataset_schema, &handlers_read_dataset,
    &handlers_plan_query,         &handlers_get_openapi,
};
const size_t handlers_count = sizeof(handlers_all) / sizeof(handlers_all[0]);
