#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/line.h"
#include "audit/recover_private.h"

#define BUCKETS ((size_t)1 << 17)

void recover_reading_init(struct recover_reading *reading)
{
    *reading = (struct recover_reading){0};
}

void recover_reading_free(struct recover_reading *reading)
{
    free(reading->intents.items);
    free(reading->intents.buckets);
    *reading = (struct recover_reading){0};
}

/* Intents. */

static uint32_t *bucket_of(const struct recover_intents *intents, struct text id)
{
    return &intents->buckets[hash_text(id) % BUCKETS];
}

/* The index + 1 of an item that is free; 0: there is no room for more. */
static uint32_t take_item(struct recover_intents *intents)
{
    uint32_t taken = intents->free;
    if (taken != 0) {
        intents->free = intents->items[taken - 1].next;
        return taken;
    }
    if (intents->count == intents->room) {
        size_t room = intents->room == 0 ? 256 : intents->room * 2;
        if (room > RECOVER_INTENTS)
            room = RECOVER_INTENTS;
        struct recover_intent *items =
            room == intents->room ? NULL : reallocarray(intents->items, room, sizeof(items[0]));
        if (items == NULL)
            return 0;
        intents->items = items;
        intents->room = room;
    }
    return (uint32_t)++intents->count;
}

static void remember(struct recover_intents *intents, uint64_t seq, struct text id)
{
    if (intents->buckets == NULL)
        intents->buckets = calloc(BUCKETS, sizeof(intents->buckets[0]));
    uint32_t index = intents->buckets == NULL || id.size > RECOVER_ID_MAX ? 0 : take_item(intents);
    if (index == 0) {
        intents->more++;
        return;
    }
    struct recover_intent *item = &intents->items[index - 1];
    uint32_t *bucket = bucket_of(intents, id);
    *item = (struct recover_intent){.seq = seq, .next = *bucket, .size = (uint16_t)id.size, .taken = true};
    memcpy(item->request_id, id.data, id.size);
    *bucket = index;
}

static void forget(struct recover_intents *intents, struct text id)
{
    if (intents->buckets != NULL)
        for (uint32_t *link = bucket_of(intents, id); *link != 0; link = &intents->items[*link - 1].next) {
            struct recover_intent *item = &intents->items[*link - 1];
            if (!text_equal(id, text_of(item->request_id, item->size)))
                continue;
            uint32_t index = *link;
            *link = item->next;
            item->taken = false;
            item->next = intents->free;
            intents->free = index;
            return;
        }
}

bool recover_intents_each(const struct recover_intents *intents, size_t *at, struct recover_intent *intent)
{
    for (; *at < intents->count; ++*at)
        if (intents->items[*at].taken) {
            *intent = intents->items[(*at)++];
            return true;
        }
    return false;
}

/* Reading. */

static void take_record(struct recover_reading *reading, struct text line)
{
    struct text event = TEXT_NONE, id;
    if (!line_text(line, "event", &event))
        event = TEXT_NONE;
    reading->last = text_equal(event, TEXT("close")) ? RECOVER_CLOSE
                    : text_equal(event, TEXT("end")) ? RECOVER_END
                                                     : RECOVER_RECORD;
    bool is_intent = text_equal(event, TEXT("intent")), is_lost = text_equal(event, TEXT("lost"));
    reading->lost += is_lost;
    if ((!is_intent && !is_lost && !text_equal(event, TEXT("request"))) || !line_text(line, "request_id", &id))
        return;
    if (is_intent)
        remember(&reading->intents, reading->head.seq, id);
    else
        forget(&reading->intents, id);
}

/* `from_start`: the chain begins with this segment, and the head stands before it or at what was read. Otherwise the
 * first line's hash is taken as it is. */
static enum status read_segment(struct recover_reading *reading, struct segment_reader *reader, bool from_start,
                                const struct hash_hmac_key *key, struct failure *failure)
{
    struct text line;
    uint64_t offset;
    enum status status;
    reading->lines = reading->good_size = reading->size = 0;
    while ((status = segment_next(reader, &line, &offset, failure)) == STATUS_OK) {
        reading->size = offset + line.size;
        if (line.data[line.size - 1] != '\n')
            continue;
        if (reading->good_size != offset)
            return STATUS_INVALID; /* longer than a record */
        if (!from_start && reading->lines == 0) {
            if (!chain_read(line, &reading->head))
                return STATUS_INVALID;
        } else if (chain_check(&reading->head, key, line) != CHAIN_GOOD) {
            return STATUS_INVALID;
        }
        reading->lines++;
        reading->good_size = reading->size;
        take_record(reading, line);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status recover_read(struct recover_reading *reading, int folder_fd, const struct segment_name *newest,
                         unsigned formers, const struct hash_hmac_key *key, struct failure *failure)
{
    struct segment_name segment = *newest;
    bool known = false; /* the head that the newest segment follows */
    for (segment.number -= formers; segment.number <= newest->number; segment.number++) {
        struct segment_reader *reader;
        enum status status = STATUS_NOT_FOUND;
        for (int form = 0; form < 2 && status == STATUS_NOT_FOUND; form++) {
            segment.compressed = form == 1 && segment.number != newest->number;
            status = segment_open(folder_fd, &segment, &reader, failure);
        }
        if (status == STATUS_NOT_FOUND && segment.number != newest->number)
            continue;
        if (status != STATUS_OK)
            return status;
        status = read_segment(reading, reader, known || segment.number == 1, key, failure);
        segment_close(reader);
        if (status != STATUS_OK)
            return status;
        known = reading->lines != 0;
    }
    /* Behind what is unknown nothing can be written. */
    return reading->head.seq == 0 && newest->number != 1 ? STATUS_INVALID : STATUS_OK;
}

struct text recover_tail_rest(const struct recover_reading *reading, struct text half, const struct hash_hmac_key *key)
{
    struct chain_head head = reading->head, claimed;
    struct text rest = text_of(half.data, 0);
    for (;;) {
        const char *start = rest.data + rest.size;
        const char *end = memchr(start, '\n', (size_t)(half.data + half.size - start));
        struct text line = text_of(start, end != NULL ? (size_t)(end + 1 - start) : 0);
        if (end == NULL || !chain_read(line, &claimed))
            return rest;
        if (rest.size == 0 && claimed.seq <= head.seq)
            rest.data += line.size; /* the segment has it */
        else if (chain_check(&head, key, line) == CHAIN_GOOD)
            rest.size += line.size;
        else
            return rest;
    }
}

void recover_read_on(struct recover_reading *reading, struct text line)
{
    if (!chain_read(line, &reading->head))
        return; /* it is none of those */
    reading->lines++;
    take_record(reading, line);
}

bool recover_ends_with(int fd, struct text wanted)
{
    char tail[CHAIN_LINE_MAX + 1];
    struct stat info;
    struct text event;
    if (fstat(fd, &info) != 0 || info.st_size <= 0)
        return false;
    off_t from = info.st_size > (off_t)sizeof(tail) ? info.st_size - (off_t)sizeof(tail) : 0;
    ssize_t got = pread(fd, tail, sizeof(tail), from);
    if (got <= 0 || tail[got - 1] != '\n')
        return false;
    const char *start = memrchr(tail, '\n', (size_t)got - 1);
    start = start != NULL ? start + 1 : tail;
    return line_text(text_of(start, (size_t)(tail + got - start)), "event", &event) && text_equal(event, wanted);
}
