/* The keeper's session, and what the database asks for: whom to forget. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/keeper_private.h"
#include "base/encoding.h"
#include "base/log.h"

#define AWAY_US 500000      /* until the database is tried again */
#define REFUSED_US 2000000  /* it answered, and not well */
#define NONE_US 30000000    /* it has no functions of ours */
#define ERASE_US 1000000    /* between two looks for erasures */
#define EXPIRE_US 600000000 /* between two looks for what is too old */
#define EXPIRE_AT_ONCE 10000
#define MARK "erased"
#define MARK_NEW "erased.new"

static bool told_to_end(void *context)
{
    struct keeper *keeper = context;
    return atomic_load(&keeper->stopping) && keeper_now_us() > keeper->stop_by_us;
}

static void on_check(void *context, const struct postgres_rows *rows)
{
    *(bool *)context = postgres_rows_count(rows) == 1 && text_equal(postgres_rows_value(rows, 0, 0), TEXT("t"));
}

/* The gateway's login reads only, where nobody says otherwise. */
static enum status set_up(struct keeper *keeper, struct failure *failure)
{
    enum status status = postgres_session_script(keeper->session,
                                                 "set default_transaction_read_only = off;"
                                                 "set statement_timeout = '10s'; set search_path = pg_catalog",
                                                 failure);
    if (status == STATUS_OK)
        status = postgres_session_query(
            keeper->session,
            "select coalesce(has_function_privilege(to_regprocedure('sluice.audit_anchors_thin()'), 'execute'), false)",
            0, NULL, on_check, &keeper->has_functions, failure);
    return status;
}

static void leave(struct keeper *keeper, int64_t pause_us)
{
    postgres_session_close(keeper->session);
    keeper->session = NULL;
    keeper->open_at_us = keeper_now_us() + pause_us;
    keeper_forget_places(keeper);
}

void keeper_database_failed(struct keeper *keeper, enum status status, const char *what, const struct failure *failure)
{
    keeper_count(keeper, &keeper->statistics.failures, 1);
    if (!keeper->told_away)
        log_event(LOG_WARNING, "audit_database_away", "%s of the audit log wait: %s", what, failure->message);
    keeper->told_away = true;
    leave(keeper, status == STATUS_UNAVAILABLE ? AWAY_US : REFUSED_US);
}

static bool take_session(struct keeper *keeper, struct failure *failure)
{
    postgres_session_watch(keeper->session, told_to_end, keeper);
    enum status status = set_up(keeper, failure);
    if (status != STATUS_OK) {
        keeper_database_failed(keeper, status, "records and anchors", failure);
        return false;
    }
    if (!keeper->has_functions) {
        if (!keeper->told_none)
            log_event(LOG_WARNING, "audit_not_shipped",
                      "the database lacks what the audit log needs of it for %s: records are neither shipped nor "
                      "anchored there; "
                      "run sluice migrate",
                      keeper->options.login->user);
        keeper->told_none = true;
        leave(keeper, NONE_US);
        return false;
    }
    if (keeper->told_away)
        log_event(LOG_INFO, "audit_database_back", "records and anchors of the audit log go on into the database");
    keeper->told_away = keeper->told_none = false;
    return true;
}

bool keeper_reach(struct keeper *keeper)
{
    struct failure failure = {0};
    if (keeper->session != NULL)
        return true;
    if (keeper_now_us() < keeper->open_at_us)
        return false;
    enum status status = postgres_session_open(keeper->options.login, &keeper->session, &failure);
    if (status == STATUS_OK)
        return take_session(keeper, &failure);
    keeper->session = NULL;
    keeper_database_failed(keeper, status, "records and anchors", &failure);
    return false;
}

/* --- erasures --- */

static int64_t read_mark(struct keeper *keeper)
{
    char digits[24] = "";
    int64_t mark = 0;
    int fd = openat(keeper->folder_fd, MARK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, digits, sizeof(digits) - 1);
    close(fd);
    return got > 1 && text_to_int64(text_of(digits, (size_t)got - 1), &mark) ? mark : 0;
}

static bool write_mark(struct keeper *keeper, int64_t mark)
{
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%lld\n", (long long)mark);
    int fd = openat(keeper->folder_fd, MARK_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool done = fd >= 0 && write(fd, digits, (size_t)size) == size && fdatasync(fd) == 0 &&
                renameat(keeper->folder_fd, MARK_NEW, keeper->folder_fd, MARK) == 0 && fsync(keeper->folder_fd) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

struct erasing {
    struct keeper *keeper;
    bool good;
    size_t rows, erased;
    int64_t last;
};

static void on_erasures(void *context, const struct postgres_rows *rows)
{
    struct erasing *erasing = context;
    erasing->rows = postgres_rows_count(rows);
    for (size_t i = 0; erasing->good && i < erasing->rows; i++) {
        unsigned char index[SUBJECTS_INDEX_SIZE];
        struct failure failure = {0};
        int64_t id;
        struct text digits = postgres_rows_value(rows, i, 1);
        if (!text_to_int64(postgres_rows_value(rows, i, 0), &id) || digits.size != 2 * SUBJECTS_INDEX_SIZE ||
            !encoding_hex_decode(digits.data, SUBJECTS_INDEX_SIZE, index))
            continue;
        enum status status = subjects_erase(erasing->keeper->options.audit->subjects, index, &failure);
        erasing->good = status == STATUS_OK || status == STATUS_NOT_FOUND;
        erasing->erased += status == STATUS_OK;
        if (!erasing->good)
            keeper_fail(erasing->keeper, "audit_erase_failed", "%s; tried again", failure.message);
        else if (id > erasing->last)
            erasing->last = id;
    }
}

void keeper_erase(struct keeper *keeper)
{
    struct erasing erasing = {.keeper = keeper, .good = true};
    struct failure failure = {0};
    char after[24];
    int64_t now = keeper_now_us();
    if (now < keeper->erase_at_us || keeper->options.audit->subjects == NULL)
        return;
    keeper->erase_at_us = now + ERASE_US;
    if (!keeper->erasing_begun && keeper->erased_to == 0)
        keeper->erased_to = read_mark(keeper);
    erasing.last = keeper->erased_to;
    snprintf(after, sizeof(after), "%lld", (long long)keeper->erased_to);
    const struct text parameters[] = {text_from_string(after), keeper->erasing_begun ? TEXT("f") : TEXT("t")};
    enum status status =
        postgres_session_query(keeper->session, "select id, subject_index from sluice.audit_erasures($1, $2)", 2,
                               parameters, on_erasures, &erasing, &failure);
    if (status != STATUS_OK) {
        keeper_database_failed(keeper, status, "erasures", &failure);
        return;
    }
    if (erasing.erased != 0)
        log_event(LOG_INFO, "audit_erased", "%zu people were made unrecognisable in the audit log, as was asked for",
                  erasing.erased);
    if (erasing.last != keeper->erased_to && !write_mark(keeper, erasing.last))
        keeper_fail(keeper, "audit_erase_failed", "%s/" MARK " cannot be written: %s", keeper->options.audit->folder,
                    strerror(errno));
    keeper->erased_to = erasing.last;
    keeper->erasing_begun = keeper->erasing_begun || erasing.good;
    if (erasing.good && erasing.rows == 1000)
        keeper->erase_at_us = 0; /* there may be more */
}

/* --- what is too old --- */

static void on_expired(void *context, const struct postgres_rows *rows)
{
    if (!text_to_int64(postgres_rows_value(rows, 0, 0), context))
        *(int64_t *)context = 0;
}

void keeper_expire(struct keeper *keeper)
{
    struct failure failure = {0};
    char days[16];
    enum status status = STATUS_OK;
    int64_t records = 0, anchors = 0, now = keeper_now_us();
    if (keeper->session == NULL || now < keeper->expire_at_us)
        return;
    snprintf(days, sizeof(days), "%u", keeper->options.ship_days);
    const struct text parameter = text_from_string(days);
    if (keeper->options.ship_days != 0)
        status = postgres_session_query(keeper->session, "select sluice.audit_expire($1)", 1, &parameter, on_expired,
                                        &records, &failure);
    if (status == STATUS_OK)
        status = postgres_session_query(keeper->session, "select sluice.audit_anchors_thin()", 0, NULL, on_expired,
                                        &anchors, &failure);
    if (status != STATUS_OK)
        keeper_database_failed(keeper, status, "old records", &failure);
    else if (records < EXPIRE_AT_ONCE && anchors < EXPIRE_AT_ONCE)
        keeper->expire_at_us = now + EXPIRE_US;
}
