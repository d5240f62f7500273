/* One chain, from its first segment to its end. */
#include <inttypes.h>
#include <stdio.h>

#include "audit/line.h"
#include "audit/verify_private.h"

enum last { LAST_NONE, LAST_RECORD, LAST_CLOSE, LAST_END };

struct walk {
    struct verify *verify;
    struct verify_chain *chain;
    struct chain_head head;
    enum last last;
    bool begun; /* a record of this chain was good */
    bool live;  /* the segment is being written, or was a moment ago */
    /* The segment. */
    struct segment_name segment;
    char name[SEGMENT_NAME_MAX];
    bool first;                     /* no record of it was read */
    uint64_t tail, tail_at, offset; /* bytes without LF, where they begin; of the line */
};

#define TELL(walk, words, ...)                                                                                         \
    verify_tell((walk)->verify, (walk)->chain, "%s: record %" PRIu64 " (byte %" PRIu64 "): " words, (walk)->name,      \
                (walk)->head.seq + 1, (walk)->offset, ##__VA_ARGS__)

static void tell_bad_mac(struct walk *walk, struct text line)
{
    struct chain_head claimed = {0};
    uint64_t due = walk->head.seq + 1;
    if (!chain_read(line, &claimed) || claimed.seq == due)
        TELL(walk, "its bytes or its hash were changed, or it was written under another key");
    else if (claimed.seq > due)
        TELL(walk, "number %" PRIu64 " stands in its place: records before that are missing, or it was changed",
             claimed.seq);
    else
        TELL(walk, "number %" PRIu64 " stands in its place: doubled, moved, or changed", claimed.seq);
}

/* The part of "continue" that lets a check begin behind deleted segments: the hash that it followed. Under the key's
 * protection itself, for it stands in the line. */
static bool take_previous(struct text line, struct chain_head *head)
{
    struct text raw;
    struct chain_head claimed;
    if (!chain_read(line, &claimed) || !line_text(line, "previous", &raw) || raw.size != 2 * CHAIN_MAC_SIZE)
        return false;
    for (size_t i = 0; i < raw.size; i++) {
        const char *found = memchr("0123456789abcdef", raw.data[i], 16);
        if (found == NULL)
            return false;
        unsigned digit = (unsigned)(*found <= '9' ? *found - '0' : *found - 'a' + 10);
        head->mac[i / 2] = (unsigned char)(i % 2 == 0 ? digit << 4 : head->mac[i / 2] | digit);
    }
    head->seq = claimed.seq - 1;
    return true;
}

/* A good record at a place where it must not be: whole segments or lines were moved to where their hashes fit. */
static bool check_place(struct walk *walk, struct text line, struct text event)
{
    struct text chain;
    uint64_t number = 0;
    bool is_continue = text_equal(event, TEXT("continue")), is_begin = text_equal(event, TEXT("begin"));
    const char *wrong = NULL;
    if (walk->last == LAST_END)
        wrong = "it stands behind the chain's end";
    else if (is_begin != (walk->head.seq == 1) || (is_begin && !(walk->first && walk->segment.number == 1)))
        wrong = "a chain's first record is \"begin\", and no other is";
    else if (is_continue != (walk->first && walk->segment.number > 1) || (walk->last == LAST_CLOSE && !is_continue))
        wrong = "a segment's first record is \"continue\" behind a \"close\", and no other is";
    else if (is_continue && (!line_number(line, "segment", &number) || number != walk->segment.number))
        wrong = "it belongs to another segment; the files were renamed";
    else if (line_text(line, "chain", &chain) && (is_begin || is_continue) &&
             !text_equal(chain, text_from_string(walk->chain->name)))
        wrong = "it belongs to another chain; the files were renamed";
    if (wrong == NULL)
        return true;
    verify_tell(walk->verify, walk->chain, "%s: record %" PRIu64 " (byte %" PRIu64 "): %s", walk->name, walk->head.seq,
                walk->offset, wrong);
    return false;
}

static void count(struct walk *walk, struct text line, struct text event)
{
    struct verify_result *result = walk->verify->result;
    uint64_t number = 0;
    result->records++;
    walk->last = text_equal(event, TEXT("close")) ? LAST_CLOSE
                 : text_equal(event, TEXT("end")) ? LAST_END
                                                  : LAST_RECORD;
    if (text_equal(event, TEXT("lost")))
        result->lost++;
    else if (walk->last == LAST_END && line_number(line, "lost_more", &number))
        result->lost += number;
    else if (text_equal(event, TEXT("gap")) && line_number(line, "dropped", &number))
        result->dropped += number;
    else if (text_equal(event, TEXT("retention")))
        verify_retention(walk->verify, line);
}

static void take_whole_line(struct walk *walk, struct text line)
{
    struct text event = TEXT_NONE;
    if (!walk->begun && walk->chain->missing_through != 0 && !take_previous(line, &walk->head)) {
        TELL(walk, "a check cannot begin here: it is not the \"continue\" that follows deleted segments");
        return;
    }
    switch (chain_check(&walk->head, walk->verify->options->key, line)) {
    case CHAIN_MALFORMED:
        TELL(walk, "it is no record: its frame was changed, or bytes were added or removed");
        return;
    case CHAIN_BAD_MAC:
        tell_bad_mac(walk, line);
        return;
    case CHAIN_BAD_SEQ:
        TELL(walk, "it has another number");
        return;
    case CHAIN_GOOD:
        break;
    }
    if (!line_text(line, "event", &event))
        event = TEXT_NONE;
    if (!check_place(walk, line, event))
        return;
    if (!walk->begun)
        /* Anchors of what was deleted: verify_settle asks whether it was by the rule. */
        while (walk->chain->anchors_seen < walk->chain->anchor_count &&
               walk->verify->options->anchors[walk->chain->first_anchor + walk->chain->anchors_seen].head.seq <
                   walk->head.seq)
            walk->chain->anchors_seen++;
    walk->begun = true;
    walk->first = false;
    count(walk, line, event);
    verify_anchors_pass(walk->verify, walk->chain, &walk->head);
}

static void take_line(struct walk *walk, struct text line)
{
    if (line.data[line.size - 1] != '\n') {
        if (walk->tail == 0)
            walk->tail_at = walk->offset;
        walk->tail += line.size;
    } else if (walk->tail != 0) {
        walk->offset = walk->tail_at;
        TELL(walk, "it is no record: longer than any");
    } else {
        take_whole_line(walk, line);
    }
}

static void end_segment(struct walk *walk, bool is_newest)
{
    walk->offset = walk->tail_at;
    if (walk->tail == 0 || walk->chain->broken)
        return;
    if (!walk->live || !is_newest || walk->tail >= CHAIN_LINE_MAX)
        TELL(walk, "%" PRIu64 " bytes that are no record stand behind the last one%s", walk->tail,
             is_newest && !walk->live
                 ? " (a crash leaves such; the gateway's next start cuts them off and ends the chain)"
                 : "");
}

/* Compressed meanwhile, perhaps. */
static enum status open_segment(struct walk *walk, struct segment_reader **reader, struct failure *failure)
{
    enum status status = segment_open(walk->verify->folder_fd, &walk->segment, reader, failure);
    if (status != STATUS_NOT_FOUND)
        return status;
    walk->segment.compressed = !walk->segment.compressed;
    return segment_open(walk->verify->folder_fd, &walk->segment, reader, failure);
}

static enum status read_lines(struct walk *walk, struct segment_reader *reader, struct failure *failure)
{
    struct text line;
    enum status status = STATUS_OK;
    while (!walk->chain->broken) {
        status = segment_next(reader, &line, &walk->offset, failure);
        if (status != STATUS_OK)
            break;
        take_line(walk, line);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* STATUS_NOT_FOUND: there is none of this number. */
static enum status read_segment(struct walk *walk, bool is_newest, struct failure *failure)
{
    struct segment_reader *reader = NULL;
    struct failure why = {0};
    walk->live = segment_is_held(walk->verify->folder_fd, &walk->segment);
    enum status status = open_segment(walk, &reader, &why);
    segment_format(&walk->segment, walk->name);
    walk->first = true;
    walk->tail = walk->tail_at = walk->offset = 0;
    if (status == STATUS_OK) {
        walk->verify->result->segments++;
        status = read_lines(walk, reader, &why);
        segment_close(reader);
    }
    if (status == STATUS_INVALID) {
        verify_tell(walk->verify, walk->chain, "after record %" PRIu64 ": %s", walk->head.seq, why.message);
        return STATUS_OK;
    }
    if (status == STATUS_OK)
        end_segment(walk, is_newest);
    else if (failure != NULL)
        *failure = why;
    return status;
}

/* Is the segment whose turn it is there? `number`: of the one that was found instead. */
static bool expect(struct walk *walk, unsigned due, unsigned number)
{
    if (number == due)
        return true;
    if (!walk->begun && walk->last == LAST_NONE) {
        walk->chain->missing_through = number - 1;
        return true;
    }
    verify_tell(walk->verify, walk->chain, "%s-%06u.jsonl: this segment is missing, and one behind it is there",
                walk->chain->name, due);
    return false;
}

static void end_chain(struct walk *walk)
{
    struct verify_chain *chain = walk->chain;
    if (walk->live)
        walk->verify->result->live++;
    if (chain->broken)
        return;
    if (!walk->begun && chain->missing_through != 0) {
        chain->segment_count = 0; /* all of it was deleted while we read */
        return;
    }
    verify_anchors_end(walk->verify, chain, &walk->head);
    if (!chain->broken && walk->last != LAST_END && !walk->live)
        verify_tell(walk->verify, chain,
                    "%s: after record %" PRIu64 ": no \"end\", and nobody writes it: a crash left it so (the gateway's "
                    "next start ends it), or its last records were removed",
                    walk->name, walk->head.seq);
}

enum status verify_chain_read(struct verify *verify, struct verify_chain *chain, struct failure *failure)
{
    struct walk walk = {.verify = verify, .chain = chain};
    const struct segment_name *items = verify->list.items + chain->first_segment;
    unsigned due = 1;
    for (size_t i = 0; i < chain->segment_count && !chain->broken; i++) {
        if (!expect(&walk, due, items[i].number))
            break;
        walk.segment = items[i];
        enum status status = read_segment(&walk, i + 1 == chain->segment_count, failure);
        due = items[i].number + 1;
        if (status == STATUS_NOT_FOUND && !walk.begun)
            chain->missing_through = items[i].number; /* deleted while we read */
        else if (status == STATUS_NOT_FOUND)
            due--;
        else if (status != STATUS_OK)
            return status;
    }
    /* Those that the writer began after the folder was listed. */
    while (!chain->broken && walk.last == LAST_CLOSE && due != 0) {
        walk.segment = (struct segment_name){.number = due++};
        snprintf(walk.segment.chain, sizeof(walk.segment.chain), "%s", chain->name);
        bool live = walk.live;
        char last[SEGMENT_NAME_MAX];
        memcpy(last, walk.name, sizeof(last));
        enum status status = read_segment(&walk, true, failure);
        if (status == STATUS_NOT_FOUND) {
            walk.live = live;
            memcpy(walk.name, last, sizeof(last));
            break;
        }
        if (status != STATUS_OK)
            return status;
    }
    end_chain(&walk);
    return STATUS_OK;
}
