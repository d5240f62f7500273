#include "audit/grep.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "audit/line.h"
#include "base/date.h"

#define WORDS_CEILING ((size_t)64 << 10)

enum { CUSTOMER, OPERATION, DATASET, REQUEST_ID, EVENT, FIELDS };
static const char *const names[FIELDS] = {"customer", "operation", "dataset", "request_id", "event"};

struct grep {
    const struct grep_options *options;
    struct text words[FIELDS]; /* as they stand in a line */
    unsigned wanted;           /* bits: a field that is asked for; FIELDS: time, FIELDS + 1: subject, … status */
    uint64_t matches;
    bool enough;
};
#define WANT_TIME (1u << FIELDS)
#define WANT_SUBJECT (2u << FIELDS)
#define WANT_STATUS (4u << FIELDS)

static bool is_one_of(struct text subject, const struct grep_options *options)
{
    for (size_t i = 0; i < options->subject_count; i++)
        if (text_equal(subject, options->subjects[i]))
            return true;
    return false;
}

/* Which of the wishes a member fulfils; 0: none. */
static unsigned fulfils(const struct grep *grep, const struct line_member *member)
{
    const struct grep_options *options = grep->options;
    int64_t time;
    uint64_t status;
    if (text_equal(member->name, TEXT("status")))
        return member->kind == LINE_NUMBER && line_is_number(member->value, &status) &&
                       status >= (uint64_t)options->status_low && status <= (uint64_t)options->status_high
                   ? WANT_STATUS
                   : 0;
    if (member->kind != LINE_TEXT)
        return 0;
    if (text_equal(member->name, TEXT("time")))
        return date_parse_instant(member->value, &time) && time >= options->from_us && time < options->to_us ? WANT_TIME
                                                                                                             : 0;
    if (text_equal(member->name, TEXT("subject")))
        return is_one_of(member->value, options) ? WANT_SUBJECT : 0;
    for (unsigned i = 0; i < FIELDS; i++)
        if ((grep->wanted & 1u << i) != 0 && text_equal(member->name, text_from_string(names[i])))
            return text_equal(member->value, grep->words[i]) ? 1u << i : 0;
    return 0;
}

static bool matches(const struct grep *grep, struct text line)
{
    struct line_cursor cursor = line_begin(line);
    struct line_member member;
    unsigned found = 0;
    while (line_next(&cursor, &member))
        found |= fulfils(grep, &member);
    return !cursor.bad && (found & grep->wanted) == grep->wanted;
}

static enum status grep_segment(struct grep *grep, int folder_fd, struct segment_name segment, struct failure *failure)
{
    struct segment_reader *reader = NULL;
    struct text line;
    uint64_t offset;
    enum status status = segment_open(folder_fd, &segment, &reader, failure);
    if (status == STATUS_NOT_FOUND) { /* compressed meanwhile, or deleted */
        segment.compressed = !segment.compressed;
        status = segment_open(folder_fd, &segment, &reader, failure);
    }
    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    while (!grep->enough && (status = segment_next(reader, &line, &offset, failure)) == STATUS_OK) {
        if (line.data[line.size - 1] != '\n' || !matches(grep, line))
            continue;
        grep->matches++;
        grep->enough = !grep->options->on_line(grep->options->context, line);
    }
    segment_close(reader);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* What is damaged is left out, and told at the end. */
static enum status grep_all(struct grep *grep, int folder_fd, const struct segment_list *list, struct failure *failure)
{
    enum status worst = STATUS_OK;
    for (size_t i = 0; i < list->count && !grep->enough; i++) {
        struct failure why = {0};
        enum status status = grep_segment(grep, folder_fd, list->items[i], &why);
        if (status == STATUS_OK || worst != STATUS_OK)
            continue;
        worst = status;
        if (failure != NULL)
            *failure = why;
    }
    return worst;
}

static bool encode(struct grep *grep, struct buffer *words)
{
    const struct grep_options *options = grep->options;
    const struct text fields[FIELDS] = {options->customer, options->operation, options->dataset, options->request_id,
                                        options->event};
    size_t ends[FIELDS];
    for (size_t i = 0; i < FIELDS; i++) {
        if (fields[i].data != NULL)
            line_encode(words, fields[i]);
        ends[i] = words->size;
    }
    for (size_t i = 0; i < FIELDS && !words->failed; i++) {
        size_t start = i != 0 ? ends[i - 1] : 0;
        grep->words[i] = text_of(words->data + start, ends[i] - start);
        grep->wanted |= fields[i].data != NULL ? 1u << i : 0;
    }
    if (options->from_us != INT64_MIN || options->to_us != INT64_MAX)
        grep->wanted |= WANT_TIME;
    if (options->subject_count != 0)
        grep->wanted |= WANT_SUBJECT;
    if (options->status_high != 0)
        grep->wanted |= WANT_STATUS;
    return !words->failed;
}

enum status grep_folder(const struct grep_options *options, uint64_t *matches_found, struct failure *failure)
{
    struct grep grep = {.options = options};
    struct segment_list list;
    struct buffer words;
    *matches_found = 0;
    enum status status = segment_list(options->folder, &list, failure);
    if (status != STATUS_OK)
        return status;
    buffer_init(&words, WORDS_CEILING);
    int folder_fd = open(options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        status = failure_set(failure, STATUS_FAILED, "cannot open the folder %s: %s", options->folder, strerror(errno));
    else if (!encode(&grep, &words))
        status = failure_set(failure, STATUS_INVALID, "what is looked for is longer than a record can be");
    else
        status = grep_all(&grep, folder_fd, &list, failure);
    *matches_found = grep.matches;
    if (folder_fd >= 0)
        close(folder_fd);
    buffer_free(&words);
    segment_list_free(&list);
    return status;
}
