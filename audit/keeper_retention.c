/* The retention rule: closed segments go when they are older than keep_days, and the oldest ones while all together
 * hold more than keep_bytes. Written down in the keeper's chain, on disk, before the first one goes. Keepers' own
 * chains stay: they are what tells of it, and they are short. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/keeper_private.h"
#include "audit/line.h"
#include "base/clock.h"

#define TIDY_EVERY_US 1000000
#define LINES_CEILING ((size_t)16 << 20)
#define VICTIMS_MAX 1000 /* at once */

struct candidate {
    size_t index; /* in the list */
    int64_t changed_us;
    uint64_t bytes;
};

static bool is_keepers(const char *chain)
{
    size_t size = strlen(chain);
    return size > 2 && strcmp(chain + size - 2, "-k") == 0;
}

/* Oldest first; within a chain by number, whatever the clock did meanwhile. */
static int compare(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->changed_us != b->changed_us)
        return a->changed_us < b->changed_us ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static struct candidate *gather(struct keeper *keeper, size_t *count, uint64_t *bytes)
{
    const struct segment_list *list = &keeper->list;
    struct candidate *candidates = calloc(list->count + 1, sizeof(*candidates));
    *count = 0;
    *bytes = 0;
    for (size_t i = 0; candidates != NULL && i < list->count; i++) {
        char name[SEGMENT_NAME_MAX];
        struct stat about;
        segment_format(&list->items[i], name);
        if (is_keepers(list->items[i].chain) || !keeper_is_closed(keeper, i) ||
            fstatat(keeper->folder_fd, name, &about, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(about.st_mode))
            continue;
        int64_t changed_us = (int64_t)about.st_mtim.tv_sec * 1000000 + about.st_mtim.tv_nsec / 1000;
        bool follows = *count != 0 && candidates[*count - 1].index + 1 == i &&
                       strcmp(list->items[i - 1].chain, list->items[i].chain) == 0;
        if (follows && candidates[*count - 1].changed_us > changed_us)
            changed_us = candidates[*count - 1].changed_us;
        candidates[(*count)++] = (struct candidate){i, changed_us, (uint64_t)about.st_size};
        *bytes += (uint64_t)about.st_size;
    }
    if (candidates != NULL && *count != 0)
        qsort(candidates, *count, sizeof(candidates[0]), compare);
    return candidates;
}

/* The number of its last record; 0: it has none that can be read, and is left for `sluice audit verify` to tell of. */
static uint64_t last_seq(struct keeper *keeper, const struct segment_name *segment)
{
    struct segment_reader *reader;
    struct failure failure;
    struct text line;
    uint64_t offset;
    struct chain_head head = {0};
    enum status status = segment_open(keeper->folder_fd, segment, &reader, &failure);
    if (status != STATUS_OK)
        return 0;
    while ((status = segment_next(reader, &line, &offset, &failure)) == STATUS_OK)
        if (!chain_read(line, &head))
            break;
    segment_close(reader);
    return status == STATUS_NOT_FOUND ? head.seq : 0;
}

struct victim {
    size_t index;
    int fd; /* locked */
    uint64_t seq;
};

/* A chain loses its oldest segments only: one behind one that stays, stays. */
static bool is_first_left(const struct keeper *keeper, const struct victim *victims, size_t count, size_t index)
{
    if (index == 0 || strcmp(keeper->list.items[index - 1].chain, keeper->list.items[index].chain) != 0)
        return true;
    for (size_t i = 0; i < count; i++)
        if (victims[i].index == index - 1)
            return true;
    return false;
}

static size_t choose(struct keeper *keeper, const struct candidate *candidates, size_t count, uint64_t bytes,
                     struct victim *victims)
{
    const struct keeper_options *options = &keeper->options;
    int64_t oldest_us = clock_wall_us() - (int64_t)options->keep_days * 86400 * 1000000;
    size_t chosen = 0;
    for (size_t i = 0; i < count && chosen < VICTIMS_MAX && !keeper_is_stopping(keeper); i++) {
        const struct segment_name *segment = &keeper->list.items[candidates[i].index];
        bool old = options->keep_days != 0 && candidates[i].changed_us < oldest_us;
        bool much = options->keep_bytes != 0 && bytes > options->keep_bytes;
        if (!old && !much)
            break; /* those behind are younger */
        if (!is_first_left(keeper, victims, chosen, candidates[i].index))
            continue;
        struct victim victim = {candidates[i].index, -1, last_seq(keeper, segment)};
        if (victim.seq == 0 || !keeper_is_shipped(keeper, segment->chain, victim.seq))
            continue;
        victim.fd = keeper_take(keeper, segment);
        if (victim.fd < 0)
            continue;
        victims[chosen++] = victim;
        bytes -= candidates[i].bytes;
    }
    return chosen;
}

static bool write_down(struct keeper *keeper, const struct victim *victims, size_t count)
{
    struct chain_head head = keeper->own_head;
    struct buffer lines;
    bool good = true;
    buffer_init(&lines, LINES_CEILING);
    for (size_t i = 0; good && i < count; i++) {
        const struct segment_name *segment = &keeper->list.items[victims[i].index];
        size_t start = keeper_begin(keeper, &head, &lines, "retention");
        entry_append_text(&lines, "chain", text_from_string(segment->chain));
        entry_append_number(&lines, "through", segment->number);
        entry_append_number(&lines, "through_seq", victims[i].seq);
        good = keeper_seal(keeper, &head, &lines, start);
    }
    good = good && keeper_write(keeper, &head, &lines);
    buffer_free(&lines);
    return good;
}

static void delete_all(struct keeper *keeper, const struct victim *victims, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[SEGMENT_NAME_MAX];
        segment_format(&keeper->list.items[victims[i].index], name);
        if (unlinkat(keeper->folder_fd, name, 0) != 0) {
            keeper_fail(keeper, "audit_retention_failed", "%s/%s cannot be deleted: %s", keeper->options.audit->folder,
                        name, strerror(errno));
            break; /* one behind it must not go before it */
        }
        keeper_count(keeper, &keeper->statistics.deleted, 1);
    }
}

void keeper_tidy(struct keeper *keeper)
{
    const struct keeper_options *options = &keeper->options;
    size_t count, chosen;
    uint64_t bytes;
    int64_t now = keeper_now_us();
    if ((options->keep_days == 0 && options->keep_bytes == 0) || now - keeper->tidied_us < TIDY_EVERY_US)
        return;
    keeper->tidied_us = now;
    keeper_list(keeper, true);
    struct candidate *candidates = gather(keeper, &count, &bytes);
    struct victim *victims = calloc(VICTIMS_MAX, sizeof(*victims));
    chosen = candidates != NULL && victims != NULL ? choose(keeper, candidates, count, bytes, victims) : 0;
    if (chosen != 0) {
        if (write_down(keeper, victims, chosen))
            delete_all(keeper, victims, chosen);
        else
            keeper_fail(keeper, "audit_retention_failed",
                        "the keeper's chain in %s cannot be written: %s; nothing was deleted", options->audit->folder,
                        strerror(errno));
        for (size_t i = 0; i < chosen; i++)
            close(victims[i].fd);
        keeper_list(keeper, true);
    }
    free(victims);
    free(candidates);
}
