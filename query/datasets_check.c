/* Whether the descriptions in use are still true, asked in the background, all at once. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "query/datasets_private.h"
#include "query/describe.h"

#define MAX_ASKED 1000 /* the most recently used; the others are asked for before they are used */
#define ARRAY_CEILING ((size_t)64 << 20)
#define PARAMETERS 8
enum { SNAPSHOT, SCHEMAS, RELATIONS, NUMBERS, KINDS, OIDS, BASES, ROLES };

struct base { /* a tracked one, of the answer */
    struct text name;
    uint64_t version;
    int64_t changed_at;
};

static void on_timer(struct loop_timer *timer);

static struct datasets *owner_of(struct loop_timer *timer)
{
    struct datasets_check *check = (struct datasets_check *)((char *)timer - offsetof(struct datasets_check, timer));
    return (struct datasets *)((char *)check - offsetof(struct datasets, check));
}

void datasets_check_arm(struct datasets *datasets)
{
    if (datasets->check.timer.loop == NULL && datasets->check.query == NULL)
        loop_timer_start(datasets->loop, &datasets->check.timer, datasets->options.check_ms / 2, on_timer);
}

static void release_asked(struct datasets_check *check)
{
    for (size_t i = 0; i < check->asked_count; i++)
        dataset_unref(check->asked[i]);
    free(check->asked);
    free(check->same);
    check->asked = NULL;
    check->same = NULL;
    check->asked_count = 0;
}

void datasets_check_stop(struct datasets *datasets)
{
    loop_timer_stop(&datasets->check.timer);
    if (datasets->check.query != NULL)
        postgres_cancel(datasets->check.query);
    datasets->check.query = NULL;
    release_asked(&datasets->check);
}

/* The answer. */

/* Everything that is counted or looked at between two uses; the rest of a description never changes. */
static struct dataset *moving(const struct dataset *dataset)
{
    return (struct dataset *)(uintptr_t)dataset;
}

static int compare_bases(const void *a, const void *b)
{
    const struct text *left = &((const struct base *)a)->name, *right = &((const struct base *)b)->name;
    int order = memcmp(left->data, right->data, left->size < right->size ? left->size : right->size);
    return order != 0 ? order : (left->size > right->size) - (left->size < right->size);
}

static void sum_bases(struct dataset *dataset, const struct base *bases, size_t count)
{
    uint64_t sum = 0;
    int64_t latest = 0;
    for (size_t i = 0; i < dataset->base_count; i++) {
        const struct base wanted = {.name = dataset->bases[i]};
        const struct base *found = count != 0 ? bsearch(&wanted, bases, count, sizeof(wanted), compare_bases) : NULL;
        if (found == NULL) {
            sum = 0;
            latest = 0;
            break;
        }
        sum += found->version;
        latest = found->changed_at > latest ? found->changed_at : latest;
    }
    if (dataset->version != sum)
        dataset->version_seen_ms = clock_monotonic_us() / 1000;
    dataset->version = sum;
    dataset->changed_at = latest;
}

/* A relation's row: it is as it was when the sum is the same. */
static void confirm(struct datasets_check *check, struct text number, struct text sum)
{
    int64_t at;
    if (text_to_int64(number, &at) && at >= 1 && (uint64_t)at <= check->asked_count &&
        describe_signature(sum) == check->asked[at - 1]->signature)
        check->same[at - 1] = true;
}

/* What was found to be wrong in the meantime stays so. */
static void conclude(struct datasets *datasets, size_t at, bool same, const struct base *bases, size_t base_count)
{
    struct datasets_check *check = &datasets->check;
    struct dataset *dataset = moving(check->asked[at]);
    if (dataset->checked_ms == 0)
        return;
    if (!same) {
        dataset->checked_ms = 0;
        datasets->statistics.changes++;
        return;
    }
    dataset->checked_ms = check->started_ms;
    sum_bases(dataset, bases, base_count);
}

/* False: out of memory, nothing is known. */
static bool read_answer(struct datasets *datasets, const struct postgres_rows *rows)
{
    struct datasets_check *check = &datasets->check;
    size_t count = postgres_rows_count(rows), base_count = 0;
    struct base *bases = calloc(count, sizeof(*bases));
    if (bases == NULL)
        return false;
    for (size_t i = 1; i < count; i++) {
        struct text name = postgres_rows_value(rows, i, 0), value = postgres_rows_value(rows, i, 1);
        struct text changed_at = postgres_rows_value(rows, i, 2);
        if (changed_at.data != NULL)
            bases[base_count++] =
                (struct base){name, strtoull(value.data, NULL, 10), strtoll(changed_at.data, NULL, 10)};
        else
            confirm(check, name, value);
    }
    qsort(bases, base_count, sizeof(*bases), compare_bases);
    for (size_t i = 0; i < check->asked_count; i++)
        conclude(datasets, i, check->same[i], bases, base_count);
    free(bases);
    return true;
}

/* No transaction has ended since: all is as it was then. */
static void confirm_all(struct datasets_check *check)
{
    for (size_t i = 0; i < check->asked_count; i++)
        if (check->asked[i]->checked_ms != 0)
            moving(check->asked[i])->checked_ms = check->started_ms;
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct datasets *datasets = context;
    struct datasets_check *check = &datasets->check;
    struct text snapshot = postgres_rows_value(rows, 0, 1);
    bool known = true;
    if (postgres_rows_value(rows, 0, 2).data != NULL)
        confirm_all(check);
    else
        known = read_answer(datasets, rows);
    check->snapshot[0] = '\0';
    if (known && snapshot.size < sizeof(check->snapshot)) {
        memcpy(check->snapshot, snapshot.data, snapshot.size);
        check->snapshot[snapshot.size] = '\0';
    }
    check->answered = check->content;
}

static void again(struct datasets *datasets)
{
    uint64_t half = datasets->options.check_ms / 2, took = loop_now_ms(datasets->loop) - datasets->check.started_ms;
    loop_timer_start(datasets->loop, &datasets->check.timer, took < half ? half - took : half / 2, on_timer);
}

static void on_done(void *context, const struct postgres_error *error)
{
    struct datasets *datasets = context;
    struct datasets_check *check = &datasets->check;
    check->query = NULL;
    if (error != NULL && error->status != STATUS_UNAVAILABLE && !check->failed)
        log_event(LOG_ERROR, "dataset_check_failed",
                  "whether datasets have changed cannot be asked: %s (SQLSTATE %s); each is described anew before it "
                  "is used",
                  error->message, error->sqlstate);
    check->failed = error != NULL;
    if (error != NULL)
        check->snapshot[0] = '\0';
    release_asked(check);
    again(datasets);
}

/* The question. */

static void append_dataset(struct buffer *arrays, const struct dataset *dataset, size_t number)
{
    char digits[24];
    datasets_append_element(&arrays[SCHEMAS], dataset->schema);
    datasets_append_element(&arrays[RELATIONS], dataset->relation);
    datasets_append_element(&arrays[ROLES], dataset->role);
    for (size_t i = 0; i < dataset->thing_count; i++) {
        if (dataset->things[i].kind == 's') /* by its name */
            continue;
        int size = snprintf(digits, sizeof(digits), "%zu", number);
        datasets_append_element(&arrays[NUMBERS], text_of(digits, (size_t)size));
        datasets_append_element(&arrays[KINDS], text_of(&dataset->things[i].kind, 1));
        size = snprintf(digits, sizeof(digits), "%u", dataset->things[i].oid);
        datasets_append_element(&arrays[OIDS], text_of(digits, (size_t)size));
    }
    for (size_t i = 0; i < dataset->base_count; i++)
        datasets_append_element(&arrays[BASES], dataset->bases[i]);
}

/* The datasets in use, with a reference each. False: there are none, or no memory. */
static bool gather(struct datasets *datasets)
{
    struct datasets_check *check = &datasets->check;
    uint64_t now = loop_now_ms(datasets->loop);
    size_t room = lru_count(datasets->entries);
    room = room < MAX_ASKED ? room : MAX_ASKED;
    check->asked = room != 0 ? calloc(room, sizeof(*check->asked)) : NULL;
    check->same = room != 0 ? calloc(room, sizeof(*check->same)) : NULL;
    check->content = 0;
    if (check->asked == NULL || check->same == NULL)
        room = 0;
    for (struct datasets_entry *entry = datasets->newest;
         entry != NULL && check->asked_count < room && now - entry->used_ms <= datasets->options.forget_ms;
         entry = entry->older) {
        const struct dataset *dataset = entry->dataset;
        if (dataset->checked_ms == 0)
            continue;
        uint64_t identity[] = {dataset->signature, dataset->oid};
        dataset_ref(dataset);
        check->asked[check->asked_count++] = dataset;
        check->content += hash_text(text_of((const char *)identity, sizeof(identity))); /* in any order */
    }
    if (check->asked_count == 0)
        release_asked(check);
    return check->asked_count != 0;
}

static enum status ask(struct datasets *datasets)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    struct datasets_check *check = &datasets->check;
    struct buffer arrays[PARAMETERS];
    struct text values[PARAMETERS];
    bool failed = false;
    for (size_t i = 0; i < PARAMETERS; i++)
        buffer_init(&arrays[i], ARRAY_CEILING);
    for (size_t i = 0; i < check->asked_count; i++)
        append_dataset(arrays, check->asked[i], i + 1);
    values[SNAPSHOT] = check->answered == check->content ? text_from_string(check->snapshot) : TEXT("");
    for (size_t i = SCHEMAS; i < PARAMETERS; i++) {
        datasets_close_array(&arrays[i]);
        values[i] = buffer_text(&arrays[i]);
        failed |= arrays[i].failed;
    }
    const struct postgres_call call = {.statement = describe_check_statement(), .parameters = values, .whole = true};
    enum status status =
        failed ? STATUS_TOO_LARGE : postgres_start(datasets->pool, &call, &handlers, datasets, &check->query);
    for (size_t i = 0; i < PARAMETERS; i++)
        buffer_free(&arrays[i]);
    return status;
}

static void on_timer(struct loop_timer *timer)
{
    struct datasets *datasets = owner_of(timer);
    struct datasets_check *check = &datasets->check;
    check->started_ms = loop_now_ms(datasets->loop);
    if (!gather(datasets))
        return; /* the next use arms the timer */
    if (ask(datasets) != STATUS_OK) {
        check->query = NULL;
        release_asked(check);
        again(datasets);
        return;
    }
    datasets->statistics.checks++;
}
