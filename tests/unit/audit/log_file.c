#include "log_place.h"

static void segments_follow_one_another_in_one_chain(void **state)
{
    options.segment_bytes = 2000;
    open_log();
    for (int i = 0; i < 50; i++) {
        append(AUDIT_OUTCOME);
        while (audit_sync_is_closing(sync_thread))
            usleep(100);
        settle();
    }
    audit_log_close(audit);
    struct found found;
    read_all(&found);
    assert_true(found.segments > 5);
    buffer_free(&found.all);
}

static void a_write_that_waits_while_its_segment_is_closed_is_on_disk_when_it_is_told_so(void **state)
{
    struct answer answers[30] = {0};
    options.segment_bytes = 1000;
    open_log();
    for (int i = 0; i < 30; i++) {
        ask(&answers[i], AUDIT_INTENT, AUDIT_DURABLE);
        loop_turn(loop, 0);
    }
    for (int i = 0; i < 30; i++)
        turn_until(&answers[i].called);
    for (int i = 0; i < 30; i++)
        assert_int_equal(answers[i].called, 1);
    audit_log_close(audit);
}

/* --- the head that others read --- */

#define HEADS 1000

struct reading {
    uint64_t last;            /* the number that ends it */
    struct chain_head *heads; /* as they were read, each other than the one before */
    size_t count;
};

static void *read_heads(void *context)
{
    struct reading *reading = context;
    struct chain_head head = {0}, before = {0};
    while (head.seq != reading->last) {
        head = audit_log_head(audit);
        if (memcmp(&head, &before, sizeof(head)) != 0 && reading->count <= HEADS)
            reading->heads[reading->count++] = head;
        before = head;
    }
    return NULL;
}

static void a_head_that_is_read_while_it_moves_is_one_that_was_written(void **state)
{
    struct chain_head *written = calloc(HEADS + 2, sizeof(*written)); /* by number */
    struct reading reading = {.last = HEADS + 1, .heads = calloc(HEADS + 1, sizeof(*written))};
    pthread_t thread;
    assert_true(written != NULL && reading.heads != NULL);
    open_log();
    written[1] = audit_log_head(audit);
    assert_int_equal(pthread_create(&thread, NULL, read_heads, &reading), 0);
    for (size_t i = 2; i <= reading.last; i++) {
        append(AUDIT_OUTCOME);
        settle();
        written[i] = audit_log_head(audit);
        assert_int_equal(written[i].seq, i);
    }
    pthread_join(thread, NULL);
    assert_int_not_equal(reading.count, 0);
    for (size_t i = 0; i < reading.count; i++)
        assert_memory_equal(&reading.heads[i], &written[reading.heads[i].seq], sizeof(*written));
    audit_log_close(audit);
    free(reading.heads);
    free(written);
}

int main(void)
{
    hash_init();
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(segments_follow_one_another_in_one_chain),
        TEST(a_write_that_waits_while_its_segment_is_closed_is_on_disk_when_it_is_told_so),
        TEST(a_head_that_is_read_while_it_moves_is_one_that_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
