#include "log_place.h"

#include "audit/recover.h"
#include "base/clock.h"

static size_t tails(void)
{
    size_t count = 0;
    DIR *entries = opendir(folder);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        count += strstr(entry->d_name, ".tail") != NULL;
    closedir(entries);
    return count;
}

static void an_answer_waits_for_nothing_and_records_are_written_together(void **state)
{
    struct answer answer = {0}, other = {0};
    open_log();
    ask(&answer, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    ask(&other, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    assert_int_equal(answer.called, 1);
    assert_int_equal(other.called, 1);
    uint64_t writes = audit_log_statistics(audit).writes;
    assert_events("begin");
    assert_int_equal(tails(), 1);
    settle();
    assert_int_equal(audit_log_statistics(audit).writes, writes + 1);
    assert_events("begin,request,request");
    audit_log_close(audit);
    assert_events("begin,request,request,end");
    assert_int_equal(tails(), 0);
}

static void many_records_are_written_before_their_time_has_come(void **state)
{
    struct answer answer = {0};
    open_log();
    uint64_t writes = audit_log_statistics(audit).writes;
    while (audit_log_statistics(audit).writes == writes) {
        answer = (struct answer){0};
        ask(&answer, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
        assert_int_equal(answer.called, 1);
        assert_true(audit_log_statistics(audit).records < LOG_WRITE_BYTES / 100);
    }
    audit_log_close(audit);
}

/* A process that is killed at once, with records that it has not written. */
static void die(void (*before)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (audit_log_open(loop, &options, 0, &audit, &failure) == STATUS_OK)
            before();
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static struct recover_result recover(void)
{
    struct recover_result result;
    assert_int_equal(recover_folder(folder, &options.key, &result, &failure), STATUS_OK);
    return result;
}

static void answer_some(void)
{
    struct answer answer = {0};
    ask(&answer, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    append(AUDIT_INTENT);
    append(AUDIT_OUTCOME);
}

static void what_was_answered_is_in_the_log_though_its_process_was_killed_at_once(void **state)
{
    die(answer_some);
    assert_events("begin");
    struct recover_result result = recover();
    assert_int_equal(result.chains, 1);
    assert_int_equal(result.lost + result.broken + result.torn_bytes, 0);
    assert_events("begin,request,intent,request,end");
    assert_int_equal(tails(), 0);
}

static void answer_when_the_disk_is_full(void)
{
    struct answer answer = {0};
    ask(&answer, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    append(AUDIT_INTENT); /* not to be done: its caller was refused */
    append(AUDIT_INCOMPLETE);
    room = 100;
    while (audit_log_accepts(audit))
        loop_turn(loop, 10);
}

static void what_was_answered_before_the_disk_was_full_outlives_a_kill_too(void **state)
{
    die(answer_when_the_disk_is_full);
    assert_int_equal(recover().chains, 1);
    assert_events("begin,request,incomplete,end");
}

static void who_leaves_is_not_called(void **state)
{
    struct answer durable = {0};
    open_log();
    ask(&durable, AUDIT_INTENT, AUDIT_DURABLE);
    audit_log_leave(&durable.wait);
    audit_log_leave(&durable.wait);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(durable.called, 0);
    audit_log_close(audit);
}

static void a_write_waits_for_the_disk_and_reads_do_not_wait_for_it(void **state)
{
    struct answer write_one = {0}, read_one = {0};
    open_log();
    block_sync(true);
    ask(&write_one, AUDIT_INTENT, AUDIT_DURABLE);
    loop_turn(loop, 0);
    ask(&read_one, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    assert_int_equal(read_one.called, 1);
    assert_int_equal(write_one.called, 0);
    block_sync(false);
    turn_until(&write_one.called);
    assert_int_equal(write_one.called, 1);
    audit_log_close(audit);
}

static void writes_that_come_while_the_disk_works_share_the_next_sync(void **state)
{
    struct answer answers[20] = {0};
    open_log();
    block_sync(true);
    unsigned before = syncs;
    ask(&answers[0], AUDIT_INTENT, AUDIT_DURABLE);
    loop_turn(loop, 0);
    for (int i = 1; i < 20; i++)
        ask(&answers[i], AUDIT_INTENT, AUDIT_DURABLE);
    loop_turn(loop, 0);
    block_sync(false);
    turn_until(&answers[19].called);
    for (int i = 0; i < 20; i++)
        assert_int_equal(answers[i].called, 1);
    assert_int_equal(syncs - before, 2);
    audit_log_close(audit);
}

static void a_disk_that_does_not_sync_refuses_the_write(void **state)
{
    struct answer answer = {0};
    open_log();
    sync_fails = true;
    ask(&answer, AUDIT_INTENT, AUDIT_DURABLE);
    turn_until(&answer.called);
    assert_int_equal(answer.called, -1);
    assert_false(audit_log_accepts(audit));
    sync_fails = false;
    for (int i = 0; i < 2000 && !audit_log_accepts(audit); i++)
        loop_turn(loop, 10);
    assert_true(audit_log_accepts(audit));
    audit_log_close(audit);
}

static void a_full_disk_refuses_answers_and_keeps_what_has_happened(void **state)
{
    struct answer before = {0}, write_one = {0}, later = {0}, again = {0};
    open_log();
    room = 100; /* part of a record: it is cut off again */
    ask(&before, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    assert_int_equal(before.called, 1);
    ask(&write_one, AUDIT_ANSWER, AUDIT_DURABLE);
    append(AUDIT_OUTCOME);
    loop_turn(loop, 0);
    assert_int_equal(write_one.called, -1);
    assert_false(audit_log_accepts(audit));
    assert_events("begin");
    ask(&later, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    append(AUDIT_INCOMPLETE);
    assert_int_equal(later.called, 0);
    loop_turn(loop, 0);
    assert_int_equal(later.called, -1);
    room = SIZE_MAX;
    for (int i = 0; i < 2000 && !audit_log_accepts(audit); i++)
        loop_turn(loop, 10);
    assert_events("begin,request,request,incomplete,gap");
    struct found found;
    read_all(&found);
    assert_non_null(memmem(found.all.data, found.all.size, "\"refused\":2", 11));
    buffer_free(&found.all);
    ask(&again, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    assert_int_equal(again.called, 1);
    audit_log_close(audit);
    assert_events("begin,request,request,incomplete,gap,request,end");
}

static void who_leaves_while_the_disk_is_full_is_not_called(void **state)
{
    struct answer answer = {0};
    open_log();
    room = 0;
    append(AUDIT_OUTCOME);
    while (audit_log_accepts(audit))
        loop_turn(loop, 10);
    ask(&answer, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    audit_log_leave(&answer.wait);
    loop_turn(loop, 0);
    assert_int_equal(answer.called, 0);
    room = SIZE_MAX;
    audit_log_close(audit);
}

static void where_it_is_configured_so_a_full_disk_stops_nobody_and_loses_nothing_that_fits(void **state)
{
    struct answer answers[3] = {0};
    options.on_full = AUDIT_CONTINUE;
    open_log();
    room = 0;
    for (int i = 0; i < 3; i++) {
        ask(&answers[i], i == 0 ? AUDIT_INTENT : AUDIT_READ_ANSWER, i == 0 ? AUDIT_DURABLE : AUDIT_WRITTEN);
        loop_turn(loop, 0);
        assert_int_equal(answers[i].called, 1);
    }
    assert_true(audit_log_accepts(audit));
    assert_true(audit_log_statistics(audit).failing);
    assert_events("begin");
    room = SIZE_MAX;
    for (int i = 0; i < 2000 && audit_log_statistics(audit).failing; i++)
        loop_turn(loop, 10);
    assert_events("begin,intent,request,request");
    audit_log_close(audit);
}

/* The write that fails is begun by the very answer that has filled the buffer. */
static void a_disk_that_turns_out_to_be_full_takes_no_answer_back(void **state)
{
    struct answer answers[LOG_WRITE_BYTES / 100] = {0}, later = {0};
    size_t count = 0;
    open_log();
    room = 100;
    while (audit_log_accepts(audit)) {
        assert_true(count < sizeof(answers) / sizeof(answers[0]));
        ask(&answers[count], AUDIT_READ_ANSWER, AUDIT_WRITTEN);
        assert_int_equal(answers[count++].called, 1);
    }
    ask(&later, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    turn_until(&later.called);
    assert_int_equal(later.called, -1);
    room = SIZE_MAX;
    for (int i = 0; i < 2000 && !audit_log_accepts(audit); i++)
        loop_turn(loop, 10);
    audit_log_close(audit);
    struct found found;
    read_all(&found);
    assert_int_equal(found.lines, count + 3); /* begin, gap and end */
    assert_non_null(memmem(found.all.data, found.all.size, "\"refused\":1", 11));
    buffer_free(&found.all);
}

/* The disk works again before the turn ends: what was rolled back is not there for that. */
static void a_write_whose_own_flush_has_failed_does_not_happen(void **state)
{
    struct answer answer = {0};
    open_log();
    room = 100;
    while (audit_log_statistics(audit).records * 150 < LOG_WRITE_BYTES)
        append(AUDIT_OUTCOME);
    for (int i = 0; audit_log_accepts(audit); i++) {
        answer = (struct answer){0};
        assert_true(i < 1000);
        ask(&answer, AUDIT_INTENT, AUDIT_DURABLE);
        if (audit_log_accepts(audit))
            audit_log_leave(&answer.wait);
    }
    assert_int_equal(answer.called, 0);
    room = SIZE_MAX;
    usleep(2 * LOG_RETRY_MS * 1000); /* a turn so long that its next try is due before its end */
    turn_until(&answer.called);
    assert_int_equal(answer.called, -1);
    audit_log_close(audit);
}

/* Nobody waits for these, so only the turn's end writes them. */
static void fill_tail(void)
{
    uint64_t dropped = audit_log_statistics(audit).dropped;
    while (audit_log_statistics(audit).dropped == dropped)
        append(AUDIT_OUTCOME);
}

static void a_record_that_finds_no_room_is_no_answer(void **state)
{
    struct answer read_one = {0}, write_one = {0}, other = {0}, later = {0};
    open_log();
    fill_tail();
    assert_false(append(AUDIT_INTENT));
    assert_false(append(AUDIT_READ_ANSWER));
    /* Whoever has its record is not refused for those. */
    audit_log_wait(audit, &other.wait, true, AUDIT_WRITTEN, on_reached);
    assert_int_equal(other.called, 1);
    settle();
    fill_tail();
    ask(&write_one, AUDIT_INTENT, AUDIT_DURABLE);
    turn_until(&write_one.called);
    assert_int_equal(write_one.called, -1);
    assert_false(audit_log_has(audit, &write_one.wait));
    fill_tail();
    ask(&read_one, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    turn_until(&read_one.called);
    assert_int_equal(read_one.called, -1);
    settle();
    assert_true(audit_log_accepts(audit));
    ask(&later, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
    assert_int_equal(later.called, 1);
    fill_tail();
    audit_log_close(audit);
    struct found found;
    read_all(&found);
    assert_non_null(memmem(found.all.data, found.all.size, "\"dropped\":3", 11));
    assert_non_null(memmem(found.all.data, found.all.size, "\"dropped\":2", 11));
    assert_string_equal(found.all.data + found.all.size - 1, "\n");
    assert_non_null(memmem(found.all.data + found.all.size - 200, 200, "\"event\":\"end\"", 13));
    buffer_free(&found.all);
}

/* Each try writes and cuts off again what there is, up to a megabyte. */
static void a_full_disk_is_tried_again_now_and_then_and_not_by_each_request(void **state)
{
    options.on_full = AUDIT_CONTINUE;
    open_log();
    room = 0;
    uint64_t start_us = clock_monotonic_us();
    for (int i = 0; i < 4000; i++) {
        struct answer read_one = {0}, write_one = {0};
        ask(&read_one, AUDIT_READ_ANSWER, AUDIT_WRITTEN);
        assert_int_equal(read_one.called, 1);
        if (i % 10 != 0)
            continue;
        ask(&write_one, AUDIT_INTENT, AUDIT_DURABLE);
        turn_until(&write_one.called);
        assert_int_equal(write_one.called, 1);
    }
    uint64_t tries = (clock_monotonic_us() - start_us) / 1000 / LOG_RETRY_MS;
    assert_in_range(audit_log_statistics(audit).failures, 1, 100 + tries);
    room = SIZE_MAX;
    audit_log_close(audit);
}

static void what_a_full_buffer_cannot_hold_is_counted(void **state)
{
    options.on_full = AUDIT_CONTINUE;
    open_log();
    room = 0;
    for (int i = 0; i < 40000; i++) {
        append(AUDIT_OUTCOME);
        if (i % 1000 == 0)
            loop_turn(loop, 0);
    }
    loop_turn(loop, 0);
    uint64_t dropped = audit_log_statistics(audit).dropped;
    assert_true(dropped > 1000);
    room = SIZE_MAX;
    for (int i = 0; i < 2000 && audit_log_statistics(audit).failing; i++)
        loop_turn(loop, 10);
    append(AUDIT_OUTCOME);
    audit_log_close(audit);
    struct found found;
    struct chain_head head;
    read_all(&found);
    (void)head;
    assert_true(found.lines + dropped >= 40000);
    buffer_free(&found.all);
}

static void addresses_are_cut_and_people_are_pseudonyms(void **state)
{
    struct audit_record record = {.address = TEXT("192.0.2.77"), .customer = TEXT("acme"), .subject = TEXT("ann@x")};
    assert_int_equal(subjects_open(folder, &options.key, &options.subjects, &failure), STATUS_OK);
    open_log();
    audit_log_append(audit, AUDIT_OUTCOME, &record);
    record.address = TEXT("2001:db8:1:2:3:4:5:6");
    audit_log_append(audit, AUDIT_OUTCOME, &record);
    audit_log_close(audit);
    struct found found;
    read_all(&found);
    assert_non_null(memmem(found.all.data, found.all.size, "\"address\":\"192.0.2.0/24\"", 24));
    assert_non_null(memmem(found.all.data, found.all.size, "\"address\":\"2001:db8:1::/48\"", 27));
    assert_null(memmem(found.all.data, found.all.size, "ann", 3));
    assert_null(memmem(found.all.data, found.all.size, "0.2.77", 6));
    buffer_free(&found.all);
    subjects_close(options.subjects);
}

static void a_trace_is_told_where_the_caller_began_it(void **state)
{
    struct audit_record record = {.trace_id = TEXT("0af7651916cd43dd8448eb211c80319c"), .traced = true};
    open_log();
    audit_log_append(audit, AUDIT_OUTCOME, &record);
    record.trace_id = TEXT("b519dc826e8a5369884fc08473e7126d");
    record.traced = false;
    audit_log_append(audit, AUDIT_OUTCOME, &record);
    audit_log_close(audit);
    struct found found;
    read_all(&found);
    assert_non_null(memmem(found.all.data, found.all.size, "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"", 45));
    assert_null(memmem(found.all.data, found.all.size, "b519dc", 6));
    buffer_free(&found.all);
}

int main(void)
{
    hash_init();
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_waits_for_nothing_and_records_are_written_together),
        TEST(many_records_are_written_before_their_time_has_come),
        TEST(what_was_answered_is_in_the_log_though_its_process_was_killed_at_once),
        TEST(what_was_answered_before_the_disk_was_full_outlives_a_kill_too),
        TEST(who_leaves_while_the_disk_is_full_is_not_called),
        TEST(who_leaves_is_not_called),
        TEST(a_write_waits_for_the_disk_and_reads_do_not_wait_for_it),
        TEST(writes_that_come_while_the_disk_works_share_the_next_sync),
        TEST(a_disk_that_does_not_sync_refuses_the_write),
        TEST(a_full_disk_refuses_answers_and_keeps_what_has_happened),
        TEST(where_it_is_configured_so_a_full_disk_stops_nobody_and_loses_nothing_that_fits),
        TEST(a_disk_that_turns_out_to_be_full_takes_no_answer_back),
        TEST(a_write_whose_own_flush_has_failed_does_not_happen),
        TEST(a_record_that_finds_no_room_is_no_answer),
        TEST(a_full_disk_is_tried_again_now_and_then_and_not_by_each_request),
        TEST(what_a_full_buffer_cannot_hold_is_counted),
        TEST(addresses_are_cut_and_people_are_pseudonyms),
        TEST(a_trace_is_told_where_the_caller_began_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
