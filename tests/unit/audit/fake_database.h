/* The database as the keeper sees it, in memory. These functions stand before the driver's: included by one test. */
#ifndef SLUICE_TESTS_AUDIT_FAKE_DATABASE_H
#define SLUICE_TESTS_AUDIT_FAKE_DATABASE_H

#include <pthread.h>

#include "audit/segment.h"
#include "chains.h"
#include "drivers/postgres_session.h"

struct postgres_session {
    bool lost;
};
struct postgres_rows {
    size_t count, columns;
    char values[8][4][SEGMENT_CHAIN_MAX];
};
#define STORED_MAX 10000
static pthread_mutex_t database_lock = PTHREAD_MUTEX_INITIALIZER;
static bool database_away, has_functions;
static int fail_stores;        /* so many calls lose their answer after they were carried out */
static uint64_t poison;        /* a record of this number is refused; 0: none */
static size_t stored, doubles; /* records, and those that came again */
static struct {
    char chain[SEGMENT_CHAIN_MAX];
    uint64_t seq;
} store[STORED_MAX];
static bool ended_chain;
static char shipped_w0[4096];
static size_t anchor_calls;
static char last_anchors[1024];
static char erasure[33];

size_t postgres_rows_count(const struct postgres_rows *rows)
{
    return rows->count;
}

struct text postgres_rows_value(const struct postgres_rows *rows, size_t row, size_t column)
{
    return text_from_string(rows->values[row][column]);
}

enum status postgres_session_open(const struct postgres_login *login, struct postgres_session **session,
                                  struct failure *failure)
{
    pthread_mutex_lock(&database_lock);
    bool away = database_away;
    pthread_mutex_unlock(&database_lock);
    *session = NULL;
    if (away)
        return failure_set(failure, STATUS_UNAVAILABLE, "away");
    *session = calloc(1, sizeof(**session));
    return STATUS_OK;
}

void postgres_session_close(struct postgres_session *session)
{
    free(session);
}

void postgres_session_watch(struct postgres_session *session, bool (*told)(void *), void *context)
{
}

enum status postgres_session_script(struct postgres_session *session, const char *sql, struct failure *failure)
{
    return STATUS_OK;
}

static bool is_stored(const char *chain, uint64_t seq)
{
    for (size_t i = 0; i < stored; i++)
        if (store[i].seq == seq && strcmp(store[i].chain, chain) == 0)
            return true;
    return false;
}

static enum status keep(const char *chain, const char *entries, struct failure *failure)
{
    if (poison != 0) {
        char bad[32];
        snprintf(bad, sizeof(bad), "{\"seq\":%llu,", (unsigned long long)poison);
        if (strstr(entries, bad) != NULL)
            return failure_set(failure, STATUS_INVALID, "poison");
    }
    for (const char *at = entries; (at = strstr(at, "{\"seq\":")) != NULL; at++) {
        uint64_t seq = strtoull(at + 7, NULL, 10);
        if (is_stored(chain, seq)) {
            doubles++;
            continue;
        }
        assert_true(stored < STORED_MAX);
        snprintf(store[stored].chain, SEGMENT_CHAIN_MAX, "%s", chain);
        store[stored++].seq = seq;
    }
    if (strcmp(chain, CHAINS_W0) == 0)
        snprintf(shipped_w0, sizeof(shipped_w0), "%s", entries);
    ended_chain = ended_chain || strstr(entries, "\"event\":\"end\"") != NULL;
    if (fail_stores > 0) {
        fail_stores--;
        return failure_set(failure, STATUS_UNAVAILABLE, "lost");
    }
    return STATUS_OK;
}

static void tell_shipped(const char *chains, struct postgres_rows *rows)
{
    char names[4096];
    snprintf(names, sizeof(names), "%s", chains + 1);
    names[strcspn(names, "}")] = '\0';
    for (char *rest = names, *name; (name = strsep(&rest, ",")) != NULL;) {
        uint64_t most = 0;
        for (size_t i = 0; i < stored; i++)
            if (strcmp(store[i].chain, name) == 0 && store[i].seq > most)
                most = store[i].seq;
        if (most == 0)
            continue;
        snprintf(rows->values[rows->count][0], SEGMENT_CHAIN_MAX, "%s", name);
        snprintf(rows->values[rows->count][1], SEGMENT_CHAIN_MAX, "%llu", (unsigned long long)most);
        strcpy(rows->values[rows->count++][2], "f");
    }
}

enum status postgres_session_query(struct postgres_session *session, const char *sql, size_t parameter_count,
                                   const struct text *parameters,
                                   void (*on_rows)(void *context, const struct postgres_rows *rows), void *context,
                                   struct failure *failure)
{
    struct postgres_rows rows = {0};
    enum status status = STATUS_OK;
    pthread_mutex_lock(&database_lock);
    if (database_away) {
        status = failure_set(failure, STATUS_UNAVAILABLE, "away");
    } else if (strstr(sql, "has_function_privilege") != NULL) {
        rows.count = 1;
        strcpy(rows.values[0][0], has_functions ? "t" : "f");
    } else if (strstr(sql, "audit_store(") != NULL) {
        status = keep(parameters[0].data, parameters[1].data, failure);
    } else if (strstr(sql, "audit_shipped_to") != NULL) {
        tell_shipped(parameters[0].data, &rows);
    } else if (strstr(sql, "audit_anchor_add") != NULL) {
        anchor_calls++;
        snprintf(last_anchors, sizeof(last_anchors), "%s %s %s", parameters[0].data, parameters[1].data,
                 parameters[2].data);
    } else if (strstr(sql, "audit_erasures") != NULL && erasure[0] != '\0' && strcmp(parameters[0].data, "7") < 0) {
        rows.count = 1;
        strcpy(rows.values[0][0], "7");
        strcpy(rows.values[0][1], erasure);
    }
    pthread_mutex_unlock(&database_lock);
    if (status == STATUS_OK && on_rows != NULL)
        on_rows(context, &rows);
    return status;
}

#endif
