#include "api/activity.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

enum { LOADED, REPLAYED, REFUSED, FAILED, LOAD_OUTCOMES };
static const char *const load_outcomes[LOAD_OUTCOMES] = {"done", "replayed", "refused", "failed"};
static const char *const job_outcomes[ACTIVITY_JOB_OUTCOMES] = {"done", "failed", "cancelled"};
static const char *const targets[] = {"upload", "warehouse"};

struct count {
    uint64_t number, took_us;
};

struct activity {
    pthread_mutex_t lock; /* a few times a second at most */
    struct count loads[2][LOAD_OUTCOMES], jobs[ACTIVITY_JOB_OUTCOMES];
    uint64_t rows[2], bytes[2], quarantined[2];
    uint64_t sql_refused;
};

struct activity *activity_create(void)
{
    struct activity *activity = calloc(1, sizeof(*activity));
    if (activity != NULL)
        pthread_mutex_init(&activity->lock, NULL);
    return activity;
}

void activity_destroy(struct activity *activity)
{
    if (activity == NULL)
        return;
    pthread_mutex_destroy(&activity->lock);
    free(activity);
}

/* Refused: by what was sent, or by what stands there; failed: by us, the database, or a client that left. */
static size_t outcome_of(const struct activity_load *load)
{
    switch (load->status) {
    case STATUS_OK:
        return load->replayed ? REPLAYED : LOADED;
    case STATUS_INVALID:
    case STATUS_NOT_FOUND:
    case STATUS_DENIED:
    case STATUS_CONFLICT:
    case STATUS_TOO_LARGE:
        return REFUSED;
    default:
        return FAILED;
    }
}

static void add(struct count *count, uint64_t took_us)
{
    count->number++;
    count->took_us += took_us;
}

void activity_count_load(struct activity *activity, const struct activity_load *load)
{
    size_t target = load->warehouse, outcome = outcome_of(load);
    pthread_mutex_lock(&activity->lock);
    add(&activity->loads[target][outcome], load->took_us);
    activity->bytes[target] += load->bytes;
    if (outcome == LOADED) {
        activity->rows[target] += load->rows;
        activity->quarantined[target] += load->quarantined;
    }
    pthread_mutex_unlock(&activity->lock);
}

void activity_count_job(struct activity *activity, enum activity_job outcome, uint64_t took_us)
{
    pthread_mutex_lock(&activity->lock);
    add(&activity->jobs[outcome], took_us);
    pthread_mutex_unlock(&activity->lock);
}

void activity_count_sql_refused(struct activity *activity)
{
    pthread_mutex_lock(&activity->lock);
    activity->sql_refused++;
    pthread_mutex_unlock(&activity->lock);
}

static void append_type(struct buffer *out, const char *name)
{
    buffer_printf(out, "# TYPE %s counter\n", name);
}

static void append_loads(struct buffer *out, const struct activity *copy)
{
    append_type(out, "sluice_loads_total");
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < LOAD_OUTCOMES; i++)
            buffer_printf(out, "sluice_loads_total{target=\"%s\",outcome=\"%s\"} %" PRIu64 "\n", targets[t],
                          load_outcomes[i], copy->loads[t][i].number);
    append_type(out, "sluice_load_seconds_total");
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < LOAD_OUTCOMES; i++)
            buffer_printf(out, "sluice_load_seconds_total{target=\"%s\",outcome=\"%s\"} %.6f\n", targets[t],
                          load_outcomes[i], (double)copy->loads[t][i].took_us / 1e6);
}

static void append_sums(struct buffer *out, const struct activity *copy)
{
    const struct {
        const char *name;
        const uint64_t *values;
    } families[] = {{"sluice_load_rows_total", copy->rows},
                    {"sluice_load_bytes_total", copy->bytes},
                    {"sluice_load_quarantined_rows_total", copy->quarantined}};
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        append_type(out, families[i].name);
        for (size_t t = 0; t < 2; t++)
            buffer_printf(out, "%s{target=\"%s\"} %" PRIu64 "\n", families[i].name, targets[t], families[i].values[t]);
    }
}

static void append_jobs(struct buffer *out, const struct activity *copy)
{
    append_type(out, "sluice_jobs_total");
    for (size_t i = 0; i < ACTIVITY_JOB_OUTCOMES; i++)
        buffer_printf(out, "sluice_jobs_total{outcome=\"%s\"} %" PRIu64 "\n", job_outcomes[i], copy->jobs[i].number);
    append_type(out, "sluice_job_seconds_total");
    for (size_t i = 0; i < ACTIVITY_JOB_OUTCOMES; i++)
        buffer_printf(out, "sluice_job_seconds_total{outcome=\"%s\"} %.6f\n", job_outcomes[i],
                      (double)copy->jobs[i].took_us / 1e6);
}

void activity_append(struct buffer *out, struct activity *activity)
{
    pthread_mutex_lock(&activity->lock);
    struct activity copy = *activity;
    pthread_mutex_unlock(&activity->lock);
    append_loads(out, &copy);
    append_sums(out, &copy);
    append_jobs(out, &copy);
    append_type(out, "sluice_sql_refused_total");
    buffer_printf(out, "sluice_sql_refused_total %" PRIu64 "\n", copy.sql_refused);
}
