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
extern const struct handler handlers_load_rows;          /* load_rows.c */
extern const struct handler handlers_put_upload;         /* uploads.c */
extern const struct handler handlers_list_uploads, handlers_get_upload,
    handlers_get_upload_quarantine; /* upload_state.c */
extern const struct handler handlers_upload_session_create, handlers_upload_session_head, handlers_upload_session_patch,
    handlers_upload_session_delete;                 /* upload_sessions.c */
extern const struct handler handlers_delete_upload; /* upload_delete.c */
extern const struct handler handlers_plan_query;    /* plan.c */
extern const struct handler handlers_get_openapi;   /* contract.c */
extern const struct handler handlers_run_query;     /* sql_query.c */
extern const struct handler handlers_list_analyses, handlers_get_analysis, handlers_put_analysis,
    handlers_delete_analysis, handlers_refresh_analysis;                                     /* analytics.c */
extern const struct handler handlers_get_job_result, handlers_list_audit;                    /* rows.c */
extern const struct handler handlers_list_jobs, handlers_get_job, handlers_delete_job;       /* jobs.c */
extern const struct handler handlers_list_shares, handlers_put_share, handlers_delete_share; /* shares.c */

#endif
