#include "query/datasets.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "query/datasets_private.h"
#include "query/describe.h"

#define MAX_ENTRIES 1000000
#define MAX_ABSENT 4096
#define MAX_LOADS 1024                        /* under way at once */
#define STALE_MS 60000                        /* how long a description may stand in while the database is away */
#define REPEATS 7                             /* of a question whose relation was dropped meanwhile */
#define RETRY_MS 200                          /* between two questions while one stands in */
#define SAY_MS 10000                          /* between two lines of the log about failed descriptions */
#define KEY_MAX (4 * (DATASETS_NAME_MAX + 1)) /* schema, role, prefix, relation, each with a NUL behind */
#define ENTRY_OVERHEAD 160                    /* bytes of the LRU's own for an entry, and of the heap's */

struct datasets_wait {
    struct datasets_wait *previous, *next; /* of its load */
    struct datasets_load *load;
    datasets_answer on_answer;
    void *context;
};

/* A relation being described. Goes on when nobody waits any more: what it brings is kept. */
struct datasets_load {
    struct datasets *datasets;
    struct datasets_load *next;
    struct datasets_wait *waits, *last_wait; /* first come, first served */
    struct postgres_query *query;
    struct dataset *described;
    enum status status;
    unsigned repeats;
    bool overtaken; /* it began before somebody knew better: nobody joins it, and nothing of it is kept */
    uint64_t started_ms, hash;
    struct datasets_place place; /* its texts stand in the key, as the relation does */
    struct text relation;
    size_t key_size;
    char key[KEY_MAX];
};

/* Entries. */

static void unlink_use(struct datasets_entry *entry)
{
    struct datasets *datasets = entry->datasets;
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        datasets->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        datasets->oldest = entry->newer;
}

static void link_newest(struct datasets_entry *entry)
{
    struct datasets *datasets = entry->datasets;
    entry->newer = NULL;
    entry->older = datasets->newest;
    if (datasets->newest != NULL)
        datasets->newest->newer = entry;
    else
        datasets->oldest = entry;
    datasets->newest = entry;
}

static void use(struct datasets_entry *entry)
{
    entry->used_ms = loop_now_ms(entry->datasets->loop);
    if (entry->newer == NULL)
        return;
    unlink_use(entry);
    link_newest(entry);
}

static void release_entry(void *value)
{
    struct datasets_entry *entry = value;
    entry->datasets->statistics.evicted++;
    unlink_use(entry);
    dataset_unref(entry->dataset);
    free(entry);
}

static void remove_entry(struct datasets *datasets, struct text key, uint64_t hash)
{
    uint64_t evicted = datasets->statistics.evicted;
    lru_remove(datasets->entries, key, hash);
    datasets->statistics.evicted = evicted;
}

static void keep_entry(struct datasets *datasets, struct text key, uint64_t hash, const struct dataset *dataset)
{
    remove_entry(datasets, key, hash);
    lru_remove(datasets->absent, key, hash);
    struct datasets_entry *entry = malloc(sizeof(*entry));
    if (entry == NULL)
        return;
    uint64_t now = loop_now_ms(datasets->loop);
    *entry = (struct datasets_entry){.datasets = datasets, .dataset = dataset, .used_ms = now, .answered_ms = now};
    dataset_ref(dataset);
    link_newest(entry);
    lru_put(datasets->entries, key, hash, entry,
            sizeof(*entry) + sizeof(*dataset) + dataset->arena.used + key.size + ENTRY_OVERHEAD);
    datasets_check_arm(datasets);
}

static void keep_absent(struct datasets *datasets, struct text key, uint64_t hash, uint64_t until_ms)
{
    remove_entry(datasets, key, hash);
    uint64_t *until = malloc(sizeof(*until));
    if (until == NULL)
        return;
    *until = until_ms;
    lru_put(datasets->absent, key, hash, until, 1);
}

struct datasets *datasets_create(struct loop *loop, struct postgres *pool, const struct datasets_options *options)
{
    struct datasets *datasets = calloc(1, sizeof(*datasets));
    if (datasets == NULL)
        return NULL;
    datasets->loop = loop;
    datasets->pool = pool;
    datasets->options = *options;
    datasets->entries = lru_create(MAX_ENTRIES, options->memory, release_entry);
    datasets->absent = lru_create(MAX_ABSENT, SIZE_MAX, free);
    if (datasets->entries == NULL || datasets->absent == NULL) {
        datasets_destroy(datasets);
        return NULL;
    }
    return datasets;
}

/* Loads under way. */

static struct datasets_load *find_load(struct datasets *datasets, struct text key, uint64_t hash)
{
    struct datasets_load *load = datasets->loads[hash % DATASETS_BUCKETS];
    while (load != NULL &&
           (load->overtaken || load->hash != hash || !text_equal(text_of(load->key, load->key_size), key)))
        load = load->next;
    return load;
}

static void unlink_load(struct datasets_load *load)
{
    struct datasets_load **place = &load->datasets->loads[load->hash % DATASETS_BUCKETS];
    while (*place != load)
        place = &(*place)->next;
    *place = load->next;
    load->datasets->load_count--;
}

static struct datasets_wait *add_wait(struct datasets_load *load, datasets_answer on_answer, void *context)
{
    struct datasets_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL)
        return NULL;
    *wait =
        (struct datasets_wait){.load = load, .previous = load->last_wait, .on_answer = on_answer, .context = context};
    if (load->last_wait != NULL)
        load->last_wait->next = wait;
    else
        load->waits = wait;
    load->last_wait = wait;
    return wait;
}

void datasets_cancel(struct datasets_wait *wait)
{
    if (wait->previous != NULL)
        wait->previous->next = wait->next;
    else
        wait->load->waits = wait->next;
    if (wait->next != NULL)
        wait->next->previous = wait->previous;
    else
        wait->load->last_wait = wait->previous;
    free(wait);
}

static void free_load(struct datasets_load *load)
{
    dataset_unref(load->described);
    free(load);
}

void datasets_destroy(struct datasets *datasets)
{
    if (datasets == NULL)
        return;
    datasets_check_stop(datasets);
    for (size_t i = 0; i < DATASETS_BUCKETS; i++)
        while (datasets->loads[i] != NULL) {
            struct datasets_load *load = datasets->loads[i];
            unlink_load(load);
            postgres_cancel(load->query);
            while (load->waits != NULL) /* their owners have gone, or must not be called any more */
                datasets_cancel(load->waits);
            free_load(load);
        }
    lru_destroy(datasets->entries);
    lru_destroy(datasets->absent);
    free(datasets);
}

/* Answers all who wait: the load is off the table, nobody can join it any more. */
static void conclude(struct datasets_load *load, enum status status, const struct dataset *dataset)
{
    while (load->waits != NULL) {
        datasets_answer on_answer = load->waits->on_answer;
        void *context = load->waits->context;
        datasets_cancel(load->waits);
        on_answer(context, status, dataset);
    }
}

/* An entry that may stand in while nothing better can be had: not when it is known to be wrong. */
static struct datasets_entry *find_stale(struct datasets *datasets, struct text key, uint64_t hash)
{
    struct datasets_entry *entry = lru_get(datasets->entries, key, hash);
    return entry != NULL && entry->dataset->checked_ms != 0 &&
                   loop_now_ms(datasets->loop) - entry->dataset->checked_ms <= STALE_MS
               ? entry
               : NULL;
}

static void on_rows(void *context, const struct postgres_rows *rows)
{
    struct datasets_load *load = context;
    struct failure failure = {0};
    if (postgres_rows_count(rows) == 0)
        return; /* the status stands for that */
    load->status = describe_read(postgres_rows_value(rows, 0, 0), &load->datasets->options, &load->place,
                                 load->relation, &load->described, &failure);
    if (load->status != STATUS_OK) {
        log_event(LOG_ERROR, "dataset_description_failed", "%s", failure.message);
        load->status = STATUS_FAILED;
        return;
    }
    load->described->checked_ms = load->started_ms;
    const struct datasets_entry *before =
        lru_get(load->datasets->entries, text_of(load->key, load->key_size), load->hash);
    load->described->version_seen_ms = before != NULL && before->dataset->version == load->described->version
                                           ? before->dataset->version_seen_ms
                                           : clock_monotonic_us() / 1000;
}

/* "could not open relation", "cache lookup failed"; relation or attribute "with OID does not exist": dropped under the
 * question. Or a deadlock with what drops it. What stands there now answers it. */
static bool is_overtaken(const struct postgres_error *error)
{
    static const char *const states[] = {"XX000", "42P01", "42703", "40P01"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(error->sqlstate, states[i]) == 0)
            return true;
    return false;
}

/* What the server refuses is a fault of its setting up, not of whoever asked for a name; but changes that come one upon
 * the other are nobody's, and pass. */
static enum status judge(struct datasets *datasets, const struct postgres_error *error)
{
    if (error->status == STATUS_UNAVAILABLE || error->status == STATUS_BUSY || error->status == STATUS_TIMEOUT)
        return error->status;
    uint64_t now = loop_now_ms(datasets->loop);
    if (datasets->said_ms == 0 || now - datasets->said_ms >= SAY_MS) {
        datasets->said_ms = now;
        log_event(LOG_ERROR, "dataset_description_failed",
                  "the catalog cannot be asked about datasets: %s (SQLSTATE %s); run sluice migrate if it is about "
                  "sluice.dataset_version",
                  error->message, error->sqlstate);
    }
    return is_overtaken(error) ? STATUS_UNAVAILABLE : STATUS_FAILED;
}

static enum status ask(struct datasets_load *load);

static void on_done(void *context, const struct postgres_error *error)
{
    struct datasets_load *load = context;
    struct datasets *datasets = load->datasets;
    enum status asked = STATUS_FAILED;
    if (error != NULL && is_overtaken(error) && load->repeats++ < REPEATS && (asked = ask(load)) == STATUS_OK)
        return;
    struct text key = text_of(load->key, load->key_size);
    /* Where it could not be asked again, that is the reason: usually too many wait for the database. */
    enum status status = error == NULL ? load->status : asked != STATUS_FAILED ? asked : judge(datasets, error);
    const struct dataset *answer = status == STATUS_OK ? load->described : NULL;
    unlink_load(load);
    if (status == STATUS_OK && !load->overtaken)
        keep_entry(datasets, key, load->hash, load->described);
    else if (status == STATUS_NOT_FOUND && !load->overtaken &&
             load->place.role.data == NULL) /* his own: he may have just made it */
        keep_absent(datasets, key, load->hash, load->started_ms + datasets->options.check_ms);
    struct datasets_entry *old =
        status != STATUS_OK && status != STATUS_NOT_FOUND ? find_stale(datasets, key, load->hash) : NULL;
    if (old != NULL) {
        old->retry_ms = loop_now_ms(datasets->loop) + RETRY_MS;
        answer = old->dataset;
        status = STATUS_OK;
    }
    if (answer != NULL)
        dataset_ref(answer); /* a callback may push it out */
    conclude(load, status, answer);
    dataset_unref(answer);
    free_load(load);
}

/* NULL with *status: the question could not be put. */
static enum status ask(struct datasets_load *load)
{
    static const struct postgres_handlers handlers = {on_rows, on_done};
    struct datasets *datasets = load->datasets;
    struct text values[] = {load->place.schema, load->relation, load->place.role};
    struct postgres_call call = {.statement = describe_statement(), .parameters = values, .whole = true};
    load->status = STATUS_NOT_FOUND;
    return postgres_start(datasets->pool, &call, &handlers, load, &load->query);
}

/* From a key. None of the four holds a NUL. */
static void read_key(struct datasets_load *load)
{
    struct text rest = text_of(load->key, load->key_size), *const parts[] = {&load->place.schema, &load->place.role,
                                                                             &load->place.prefix, &load->relation};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct text part = text_split(&rest, '\0');
        *parts[i] = part.size != 0 ? part : TEXT_NONE;
    }
}

static struct datasets_load *start_load(struct datasets *datasets, struct text key, uint64_t hash, enum status *status)
{
    *status = STATUS_BUSY;
    struct datasets_load *load = datasets->load_count < MAX_LOADS ? malloc(sizeof(*load)) : NULL;
    if (load == NULL)
        return NULL;
    *load = (struct datasets_load){
        .datasets = datasets, .started_ms = loop_now_ms(datasets->loop), .hash = hash, .key_size = key.size};
    memcpy(load->key, key.data, key.size);
    read_key(load);
    *status = ask(load);
    if (*status != STATUS_OK) {
        free(load);
        return NULL;
    }
    load->next = datasets->loads[hash % DATASETS_BUCKETS];
    datasets->loads[hash % DATASETS_BUCKETS] = load;
    datasets->load_count++;
    datasets->statistics.misses++;
    return load;
}

static void answer_entry(struct datasets_entry *entry, datasets_answer on_answer, void *context)
{
    const struct dataset *dataset = entry->dataset;
    use(entry);
    entry->datasets->statistics.hits++;
    datasets_check_arm(entry->datasets);
    dataset_ref(dataset);
    on_answer(context, STATUS_OK, dataset);
    dataset_unref(dataset);
}

/* Not older than check_ms. A database that takes that long to answer is not asked by every request on top: what it has
 * just said, or is being asked in the background, is used for twice as long. */
static bool is_fresh(const struct datasets_entry *entry)
{
    const struct datasets *datasets = entry->datasets;
    uint64_t now = loop_now_ms(datasets->loop), check_ms = datasets->options.check_ms;
    uint64_t age = now - entry->dataset->checked_ms;
    return entry->dataset->checked_ms != 0 && (age < check_ms || now - entry->answered_ms < check_ms / 2 ||
                                               (datasets->check.query != NULL && age < 2 * check_ms));
}

/* What is known already. False: it must be asked. */
static bool answer_known(struct datasets *datasets, struct text key, uint64_t hash, datasets_answer on_answer,
                         void *context)
{
    uint64_t now = loop_now_ms(datasets->loop);
    struct datasets_entry *entry = lru_get(datasets->entries, key, hash);
    if (entry != NULL && (is_fresh(entry) || (entry->retry_ms > now && find_stale(datasets, key, hash) != NULL))) {
        answer_entry(entry, on_answer, context);
        return true;
    }
    const uint64_t *absent_until = lru_get(datasets->absent, key, hash);
    if (absent_until == NULL || *absent_until <= now)
        return false;
    datasets->statistics.hits++;
    on_answer(context, STATUS_NOT_FOUND, NULL);
    return true;
}

/* False: no relation has such a name, or stands in such a place. */
static bool make_key(const struct datasets_place *place, struct text relation, char bytes[KEY_MAX], struct text *key)
{
    const struct text parts[] = {place->schema, place->role, place->prefix, relation};
    size_t size = 0;
    if (place->schema.size == 0 || relation.size == 0 || !text_is_utf8(relation))
        return false;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].size > DATASETS_NAME_MAX)
            return false;
        if (parts[i].size != 0 && memchr(parts[i].data, '\0', parts[i].size) != NULL)
            return false;
        if (parts[i].size != 0)
            memcpy(bytes + size, parts[i].data, parts[i].size);
        size += parts[i].size;
        bytes[size++] = '\0';
    }
    *key = text_of(bytes, size);
    return true;
}

struct datasets_wait *datasets_get(struct datasets *datasets, const struct datasets_place *place, struct text relation,
                                   datasets_answer on_answer, void *context)
{
    char bytes[KEY_MAX];
    struct text key;
    enum status status = STATUS_NOT_FOUND;
    if (!make_key(place, relation, bytes, &key)) {
        on_answer(context, status, NULL);
        return NULL;
    }
    uint64_t hash = hash_text(key);
    if (answer_known(datasets, key, hash, on_answer, context))
        return NULL;
    struct datasets_load *load = find_load(datasets, key, hash);
    if (load == NULL)
        load = start_load(datasets, key, hash, &status);
    else
        datasets->statistics.hits++;
    struct datasets_wait *wait = load != NULL ? add_wait(load, on_answer, context) : NULL;
    if (wait != NULL)
        return wait;
    struct datasets_entry *old = find_stale(datasets, key, hash);
    if (old != NULL)
        answer_entry(old, on_answer, context);
    else
        on_answer(context, load != NULL ? STATUS_BUSY : status, NULL);
    return NULL;
}

void datasets_forget(struct datasets *datasets, const struct dataset *dataset)
{
    ((struct dataset *)(uintptr_t)dataset)->checked_ms = 0;
    for (size_t i = 0; i < DATASETS_BUCKETS; i++)
        for (struct datasets_load *load = datasets->loads[i]; load != NULL; load = load->next)
            load->overtaken |=
                text_equal(load->relation, dataset->relation) && text_equal(load->place.schema, dataset->schema);
}

struct datasets_statistics datasets_statistics(const struct datasets *datasets)
{
    struct datasets_statistics statistics = datasets->statistics;
    statistics.bytes = lru_weight(datasets->entries);
    statistics.entries = lru_count(datasets->entries);
    return statistics;
}
