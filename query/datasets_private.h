/* Between the files of query/datasets*.c. */
#ifndef SLUICE_QUERY_DATASETS_PRIVATE_H
#define SLUICE_QUERY_DATASETS_PRIVATE_H

#include "base/buffer.h"
#include "base/lru.h"
#include "query/datasets.h"

#define DATASETS_BUCKETS 256 /* of loads under way, by key */
#define DATASETS_NAME_MAX 63 /* NAMEDATALEN - 1: the server would cut a longer one, and find another relation */

struct datasets_entry {
    struct datasets_entry *newer, *older; /* in the order of use */
    struct datasets *datasets;
    const struct dataset *dataset;
    uint64_t used_ms, answered_ms;
    uint64_t retry_ms; /* after a failed question it stands in this long without another one */
};

/* The look in the background: one at a time. */
struct datasets_check {
    struct postgres_query *query; /* NULL: none under way */
    const struct dataset **asked; /* references, in the order of the question */
    bool *same;                   /* each of them, as the answer says */
    size_t asked_count;
    uint64_t started_ms;
    char snapshot[512]; /* of the last complete answer; "": none */
    uint64_t content;   /* hash of what is asked for now */
    uint64_t answered;  /* of what that answer was about: the snapshot tells of nothing else */
    bool failed;        /* the last one did; said once */
    struct loop_timer timer;
};

struct datasets {
    struct loop *loop;
    struct postgres *pool;
    struct datasets_options options;
    struct lru *entries; /* of struct datasets_entry */
    struct lru *absent;  /* names that are not there: until when, uint64_t in milliseconds */
    struct datasets_entry *newest, *oldest;
    struct datasets_load *loads[DATASETS_BUCKETS];
    size_t load_count;
    struct datasets_check check;
    uint64_t said_ms; /* when a failed description was last logged */
    struct datasets_statistics statistics;
};

/* Arms the timer, unless it is armed or a look is under way. */
void datasets_check_arm(struct datasets *datasets);
void datasets_check_stop(struct datasets *datasets);
/* An element of PostgreSQL's text form of an array; the first one opens the brace, which the caller closes. */
void datasets_append_element(struct buffer *array, struct text element);
void datasets_close_array(struct buffer *array);

#endif
