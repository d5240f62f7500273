/* Shipping: the records of this instance's chains go into the database, at least once, and there once (chain, number).
 * How far each has come the database knows; it is asked whenever a session was opened, for it may be another one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "audit/keeper_private.h"
#include "audit/line.h"

/* Records of a chain in one turn, and so 2,500 or 20,000 a second: while the workers are busy the processor and the
 * database are the requests' first (a record costs PostgreSQL what two cached answers cost us), and what comes faster
 * is shipped afterwards. */
enum { PACE_BUSY = 500, PACE_IDLE = 4000 };
#define BUSY_PERCENT 50 /* of the workers' time */

/* --- chains --- */

static int compare_name(const void *name, const void *chain)
{
    return strcmp(name, ((const struct keeper_chain *)chain)->name);
}

static struct keeper_chain *find(const struct keeper *keeper, const char *name)
{
    return keeper->chain_count != 0
               ? bsearch(name, keeper->chains, keeper->chain_count, sizeof(keeper->chains[0]), compare_name)
               : NULL;
}

static void leave_place(struct keeper_chain *chain)
{
    if (chain->fd >= 0)
        close(chain->fd);
    segment_close(chain->reader);
    chain->fd = -1;
    chain->reader = NULL;
    chain->number = 0;
    chain->offset = 0;
}

void keeper_forget_places(struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->chain_count; i++) {
        leave_place(&keeper->chains[i]);
        keeper->chains[i].asked = keeper->chains[i].ended = false;
    }
}

/* INSTANCE-20261121T170312-…: no other instance's whose name only begins like ours. */
static bool is_ours(const struct keeper *keeper, const char *chain)
{
    size_t size = strlen(keeper->options.audit->instance);
    return strncmp(chain, keeper->options.audit->instance, size) == 0 && chain[size] == '-' &&
           strspn(chain + size + 1, "0123456789") == 8 && chain[size + 9] == 'T';
}

/* Those that are in the folder now; what is known of them stays. */
static bool gather_chains(struct keeper *keeper)
{
    const struct segment_list *list = &keeper->list;
    size_t count = 0;
    struct keeper_chain *chains = calloc(list->count + 1, sizeof(*chains));
    if (chains == NULL)
        return false;
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->items[i].chain;
        if ((i != 0 && strcmp(list->items[i - 1].chain, name) == 0) || !is_ours(keeper, name))
            continue;
        struct keeper_chain *known = find(keeper, name);
        if (known != NULL) {
            chains[count] = *known;
            known->fd = -1; /* moved */
            known->reader = NULL;
        } else {
            chains[count].fd = -1;
            snprintf(chains[count].name, sizeof(chains[count].name), "%s", name);
        }
        count++;
    }
    for (size_t i = 0; i < keeper->chain_count; i++)
        leave_place(&keeper->chains[i]);
    free(keeper->chains);
    keeper->chains = chains;
    keeper->chain_count = count;
    return true;
}

static void on_shipped(void *context, const struct postgres_rows *rows)
{
    struct keeper *keeper = context;
    for (size_t i = 0; i < postgres_rows_count(rows); i++) {
        int64_t seq;
        struct keeper_chain *chain = find(keeper, postgres_rows_value(rows, i, 0).data);
        if (chain == NULL || !text_to_int64(postgres_rows_value(rows, i, 1), &seq) || seq < 0)
            continue;
        chain->shipped = (uint64_t)seq;
        chain->ended = text_equal(postgres_rows_value(rows, i, 2), TEXT("t"));
    }
}

/* Of those that are not known in this session. */
static bool ask(struct keeper *keeper)
{
    struct buffer names;
    struct failure failure = {0};
    enum status status = STATUS_OK;
    buffer_init(&names, (size_t)128 << 20);
    for (size_t i = 0; i < keeper->chain_count; i++)
        if (!keeper->chains[i].asked) {
            buffer_append(&names, names.size == 0 ? "{" : ",", 1);
            buffer_append_string(&names, keeper->chains[i].name);
            keeper->chains[i].shipped = 0;
        }
    bool any = names.size != 0;
    buffer_append_char(&names, '}');
    if (any && buffer_c_string(&names) == NULL)
        status = failure_set(&failure, STATUS_FAILED, "out of memory");
    const struct text parameter = buffer_text(&names);
    if (any && status == STATUS_OK)
        status =
            postgres_session_query(keeper->session, "select chain, seq, ended from sluice.audit_shipped_to($1::text[])",
                                   1, &parameter, on_shipped, keeper, &failure);
    buffer_free(&names);
    for (size_t i = 0; status == STATUS_OK && i < keeper->chain_count; i++)
        keeper->chains[i].asked = true;
    if (status != STATUS_OK)
        keeper_database_failed(keeper, status, "records", &failure);
    return status == STATUS_OK;
}

/* --- places --- */

static bool open_place(struct keeper *keeper, struct keeper_chain *chain)
{
    struct segment_name segment = {.number = chain->number};
    char name[SEGMENT_NAME_MAX];
    struct failure failure;
    memcpy(segment.chain, chain->name, sizeof(segment.chain));
    segment_format(&segment, name);
    chain->fd = openat(keeper->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (chain->fd >= 0)
        return true;
    segment.compressed = true;
    return segment_open(keeper->folder_fd, &segment, &chain->reader, &failure) == STATUS_OK;
}

/* The number of a segment's first record; 0: it has none. */
static uint64_t first_seq(struct keeper *keeper, const struct segment_name *segment)
{
    struct segment_reader *reader;
    struct chain_head head = {0};
    struct text line;
    uint64_t offset;
    if (segment_open(keeper->folder_fd, segment, &reader, NULL) != STATUS_OK)
        return 0;
    if (segment_next(reader, &line, &offset, NULL) != STATUS_OK || !chain_read(line, &head))
        head.seq = 0;
    segment_close(reader);
    return head.seq;
}

/* The last segment that begins at or before the record that is next; or the first one that is there. */
static bool find_place(struct keeper *keeper, struct keeper_chain *chain)
{
    size_t count, first = keeper_segments_of(keeper, chain->name, &count);
    for (size_t i = count; i-- > 0;) {
        uint64_t seq = i != 0 ? first_seq(keeper, &keeper->list.items[first + i]) : 1;
        if (i == 0 || (seq != 0 && seq <= chain->shipped + 1)) {
            chain->number = keeper->list.items[first + i].number;
            chain->offset = 0;
            return open_place(keeper, chain);
        }
    }
    return false;
}

/* The number up to which records stand: what a full disk has taken in part is cut off again, so only what the writer
 * counts is there. */
static uint64_t last_written(struct keeper *keeper, const struct keeper_chain *chain)
{
    if (strcmp(chain->name, keeper->own.chain) == 0)
        return keeper->own_head.seq;
    for (size_t i = 0; i < keeper->options.log_count; i++)
        if (strcmp(chain->name, audit_log_chain(keeper->options.logs[i])) == 0)
            return audit_log_head(keeper->options.logs[i]).seq;
    return UINT64_MAX;
}

/* Another process of this instance writes it, and ships it itself. */
static bool is_anothers(struct keeper *keeper, const struct keeper_chain *chain)
{
    size_t count, first = keeper_segments_of(keeper, chain->name, &count);
    return count != 0 && segment_is_held(keeper->folder_fd, &keeper->list.items[first + count - 1]);
}

bool keeper_is_shipped(const struct keeper *keeper, const char *chain, uint64_t seq)
{
    if (!keeper->options.ship || keeper->options.login == NULL || !is_ours(keeper, chain))
        return true;
    const struct keeper_chain *known = find(keeper, chain);
    return known != NULL && known->shipped >= seq;
}

uint64_t keeper_lag(struct keeper *keeper)
{
    uint64_t lag = 0;
    if (!keeper->options.ship || keeper->options.login == NULL)
        return 0;
    for (size_t i = 0; i <= keeper->options.log_count; i++) {
        bool own = i == keeper->options.log_count;
        struct audit_log *log = own ? NULL : keeper->options.logs[i];
        const struct keeper_chain *chain = find(keeper, own ? keeper->own.chain : audit_log_chain(log));
        uint64_t written = own ? keeper->own_head.seq : audit_log_head(log).seq;
        uint64_t shipped = chain != NULL ? chain->shipped : 0;
        lag += written > shipped ? written - shipped : 0;
    }
    return lag;
}

/* --- batches --- */

struct batch {
    struct keeper *keeper;
    struct keeper_chain *chain;
    uint64_t limit; /* number of the last record that may go */
    size_t records, most;
    uint64_t at;      /* number of the last line that was looked at */
    uint64_t seq;     /* of the last one in it */
    bool full, ended; /* no more goes in; the chain's or the segment's last record was seen */
    bool closes;
};

/* A JSON text takes any character, jsonb no NUL: it becomes what stands for a character that is none. */
static void append_record(struct buffer *out, struct text line)
{
    size_t done = 0;
    for (size_t i = 0; i + 1 < line.size; i++)
        if (line.data[i] == '\\') {
            if (line.size - i >= 6 && memcmp(line.data + i, "\\u0000", 6) == 0) {
                buffer_append(out, line.data + done, i - done);
                buffer_append_literal(out, "\\ufffd");
                done = i + 6;
            }
            i++; /* what is escaped begins no escape */
        }
    buffer_append(out, line.data + done, line.size - done);
}

/* Is the line one JSON object in UTF-8, with a number and a time? */
static bool is_record(struct text line, struct chain_head *head, struct text *event)
{
    struct line_member member;
    struct line_cursor cursor = line_begin(line);
    struct text time;
    while (line_next(&cursor, &member))
        ;
    return !cursor.bad && text_is_utf8(line) && chain_read(line, head) && line_text(line, "time", &time) &&
           line_text(line, "event", event);
}

static int64_t cpu_us(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* The process's time since the last look, without our own. */
static bool are_workers_busy(struct keeper *keeper)
{
    int64_t now = keeper_now_us(), used = cpu_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_us(CLOCK_THREAD_CPUTIME_ID);
    int64_t whole = (now - keeper->looked_us) * (int64_t)keeper->options.log_count;
    bool busy = keeper->looked_us != 0 && (used - keeper->used_us) * 100 > whole * BUSY_PERCENT;
    keeper->looked_us = now;
    keeper->used_us = used;
    return busy;
}

/* False: not this one, nor what follows. */
static bool take(struct batch *batch, struct text line)
{
    struct keeper *keeper = batch->keeper;
    struct chain_head head;
    struct text event;
    if (batch->at >= batch->limit) { /* what stands behind may be cut off again */
        batch->full = true;
        return false;
    }
    if (!is_record(line, &head, &event)) {
        batch->chain->broken = true;
        keeper_fail(keeper, "audit_ship_broken",
                    "the chain %s holds what is no record behind number %llu: it is not shipped further; sluice audit "
                    "verify names the place",
                    batch->chain->name, (unsigned long long)(batch->seq != 0 ? batch->seq : batch->chain->shipped));
        return false;
    }
    size_t most = batch->chain->single ? 1 : batch->most;
    if (batch->records == most || keeper->batch.size + line.size > KEEPER_BATCH_BYTES) {
        batch->full = true;
        return false;
    }
    batch->at = head.seq;
    batch->ended = text_equal(event, TEXT("end"));
    batch->closes = text_equal(event, TEXT("close"));
    if (head.seq <= batch->chain->shipped)
        return true;
    buffer_append(&keeper->batch, batch->records == 0 ? "[" : ",", 1);
    append_record(&keeper->batch, text_of(line.data, line.size - 1)); /* without LF */
    batch->records++;
    batch->seq = head.seq;
    return true;
}

/* Whole lines from a file that may grow; *next becomes where to go on. */
static void gather_plain(struct batch *batch, uint64_t *next)
{
    struct keeper *keeper = batch->keeper;
    ssize_t got = pread(batch->chain->fd, keeper->window, KEEPER_WINDOW, (off_t)*next);
    struct text rest = text_of(keeper->window, got > 0 ? (size_t)got : 0);
    while (rest.size != 0 && !batch->ended && !batch->closes) {
        const char *end = memchr(rest.data, '\n', rest.size);
        size_t size = end != NULL ? (size_t)(end + 1 - rest.data) : 0;
        if (size == 0 || !take(batch, text_of(rest.data, size)))
            return;
        *next += size;
        rest = text_of(rest.data + size, rest.size - size);
    }
}

/* What was compressed grows no more. A line that did not fit is lost with the reader: it is opened anew. */
static void gather_packed(struct batch *batch)
{
    struct text line;
    uint64_t offset;
    while (!batch->ended && !batch->closes && batch->records < batch->most &&
           batch->keeper->batch.size < KEEPER_BATCH_BYTES - CHAIN_LINE_MAX) {
        enum status status = segment_next(batch->chain->reader, &line, &offset, NULL);
        if (status != STATUS_OK || line.data[line.size - 1] != '\n') {
            batch->chain->broken = true; /* without "close" or "end", or damaged */
            return;
        }
        if (!take(batch, line))
            return;
    }
}

static enum status store(struct keeper *keeper, const struct batch *batch, struct failure *failure)
{
    buffer_append_char(&keeper->batch, ']');
    if (buffer_c_string(&keeper->batch) == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    const struct text parameters[] = {text_from_string(batch->chain->name), buffer_text(&keeper->batch)};
    return postgres_session_query(keeper->session, "select sluice.audit_store($1, $2::jsonb)", 2, parameters, NULL,
                                  NULL, failure);
}

/* The database has refused a record as such: the batch again one by one, and the one that it is goes without. */
static void refused(struct batch *batch, const struct failure *failure)
{
    struct keeper_chain *chain = batch->chain;
    leave_place(chain);
    if (!chain->single) {
        chain->single = true;
        return;
    }
    keeper_fail(batch->keeper, "audit_ship_refused",
                "the database takes record %llu of %s not: %s; it stays in the "
                "file alone",
                (unsigned long long)batch->seq, chain->name, failure->message);
    chain->shipped = batch->seq;
    chain->single = false;
}

/* False: the session is gone. */
static bool send(struct keeper *keeper, struct batch *batch)
{
    struct failure failure = {0};
    enum status status = batch->records != 0 ? store(keeper, batch, &failure) : STATUS_OK;
    if (status == STATUS_INVALID) {
        refused(batch, &failure);
        return true;
    }
    if (status != STATUS_OK) {
        keeper_database_failed(keeper, status, "records", &failure);
        return false;
    }
    if (batch->records != 0)
        batch->chain->shipped = batch->seq;
    keeper_count(keeper, &keeper->statistics.shipped, batch->records);
    return true;
}

/* True: there is more of it. */
static bool ship_some(struct keeper *keeper, struct keeper_chain *chain, size_t most)
{
    struct batch batch = {.keeper = keeper, .chain = chain, .limit = last_written(keeper, chain), .most = most};
    bool was_open = chain->number != 0;
    if (batch.limit <= chain->shipped || (batch.limit == UINT64_MAX && is_anothers(keeper, chain)))
        return false;
    if (was_open ? chain->fd < 0 && chain->reader == NULL && !open_place(keeper, chain) : !find_place(keeper, chain))
        return false; /* the next segment is not there yet */
    uint64_t next = chain->offset;
    batch.at = chain->offset != 0 ? chain->shipped : 0;
    buffer_clear(&keeper->batch);
    if (chain->fd >= 0)
        gather_plain(&batch, &next);
    else
        gather_packed(&batch);
    if (!send(keeper, &batch))
        return false;
    if (chain->number == 0)
        return true; /* refused: found anew */
    bool moved = next != chain->offset || batch.records != 0;
    chain->offset = next;
    if (chain->reader != NULL && batch.full)
        leave_place(chain);
    if (batch.ended)
        chain->ended = true;
    if (batch.closes) {
        unsigned number = chain->number + 1;
        leave_place(chain);
        chain->number = number;
        moved = true;
    }
    if (chain->ended || chain->broken)
        leave_place(chain);
    return moved && !chain->ended && !chain->broken;
}

void keeper_ship(struct keeper *keeper)
{
    if (!keeper->options.ship)
        return;
    keeper_list(keeper, false);
    if ((keeper->chains_listed_us != keeper->listed_us && !gather_chains(keeper)) || !ask(keeper))
        return;
    keeper->chains_listed_us = keeper->listed_us;
    uint64_t pace = are_workers_busy(keeper) ? PACE_BUSY : PACE_IDLE;
    for (size_t i = 0; i < keeper->chain_count && keeper->session != NULL; i++) {
        struct keeper_chain *chain = &keeper->chains[i];
        bool again = !chain->ended && !chain->broken;
        uint64_t until = chain->shipped + pace;
        while (again && chain->shipped < until && !keeper_is_stopping(keeper)) {
            uint64_t left = until - chain->shipped;
            again = ship_some(keeper, chain, left < KEEPER_BATCH_RECORDS ? left : KEEPER_BATCH_RECORDS) &&
                    keeper->session != NULL;
        }
    }
}
