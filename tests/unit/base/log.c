#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

static int ends[2]; /* of the pipe that the log writes to */
static struct buffer seen;
static uint64_t dropped_before;

static int set_up(void **state)
{
    alarm(60); /* what waits for ever is a failure */
    buffer_init(&seen, 64 << 20);
    dropped_before = log_dropped();
    return pipe2(ends, O_CLOEXEC);
}

static int tear_down(void **state)
{
    log_stop();
    close(ends[0]);
    close(ends[1]);
    buffer_free(&seen);
    alarm(0);
    return 0;
}

/* False: the pipe's other end is closed everywhere. */
static bool read_piece(void)
{
    char *room = buffer_reserve(&seen, 65536);
    assert_non_null(room);
    ssize_t got = read(ends[0], room, 65536);
    assert_true(got >= 0);
    seen.size += (size_t)got;
    return got != 0;
}

/* Reads until then, or until `wanted` is seen. */
static void read_until(const char *wanted)
{
    for (;;) {
        if (!read_piece() || (wanted != NULL && memmem(seen.data, seen.size, wanted, strlen(wanted)) != NULL))
            return;
    }
}

static void stop_and_read(void)
{
    log_stop();
    close(ends[1]);
    ends[1] = -1;
    read_until(NULL);
}

static uint64_t dropped(void)
{
    return log_dropped() - dropped_before;
}

static size_t count_of(const char *word)
{
    size_t count = 0, size = strlen(word);
    for (const char *at = seen.data, *end = at + seen.size; (at = memmem(at, (size_t)(end - at), word, size)) != NULL;
         at += size)
        count++;
    return count;
}

static void an_event_is_one_line_of_json(void **state)
{
    log_start(ends[1], LOG_INFO);
    log_event(LOG_WARNING, "test_event", "a \"%s\"\nof %d\xFF", "line", 2);
    stop_and_read();
    const char *expected = "\",\"level\":\"warning\",\"event\":\"test_event\",\"message\":\"a \\\"line\\\"\\nof "
                           "2\xEF\xBF\xBD\"}\n";
    assert_int_equal(seen.size, 36 + strlen(expected));
    assert_memory_equal(seen.data, "{\"time\":\"2", 10);
    assert_memory_equal(seen.data + 36, expected, strlen(expected));
}

static void events_below_the_level_are_left_out(void **state)
{
    log_start(ends[1], LOG_WARNING);
    log_event(LOG_DEBUG, "no_debug", "x");
    log_event(LOG_INFO, "no_info", "x");
    log_event(LOG_WARNING, "yes_warning", "x");
    log_event(LOG_ERROR, "yes_error", "x");
    stop_and_read();
    assert_int_equal(count_of("\n"), 2);
    assert_int_equal(count_of("\"event\":\"yes_"), 2);
    assert_int_equal(dropped(), 0);
}

static void a_message_of_any_length_stays_one_line(void **state)
{
    char *message = malloc(100000);
    memset(message, 1, 99999); /* six bytes each when escaped */
    message[99999] = '\0';
    log_start(ends[1], LOG_INFO);
    log_event(LOG_INFO, "long", "%s", message);
    log_event(LOG_INFO, "after", "x");
    free(message);
    stop_and_read();
    assert_int_equal(count_of("\n"), 2);
    assert_int_equal(count_of("\"event\":\"after\""), 1);
    assert_int_equal(dropped(), 0);
}

static void lines_come_out_while_the_log_runs(void **state)
{
    log_start(ends[1], LOG_INFO);
    log_lines(TEXT("{\"n\":1}\n{\"n\":2}\n"));
    read_until("{\"n\":2}\n");
    log_lines(TEXT_NONE);
    log_lines(TEXT("{\"n\":3}\n"));
    read_until("{\"n\":3}\n");
    assert_int_equal(seen.size, 24);
}

static void without_a_thread_lines_go_to_stderr_at_once(void **state)
{
    int before = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    log_event(LOG_ERROR, "before_start", "x");
    dup2(before, STDERR_FILENO);
    close(before);
    read_until("\"event\":\"before_start\"");
    assert_int_equal(count_of("\n"), 1);
}

static void a_log_may_be_started_again(void **state)
{
    log_start(ends[1], LOG_INFO);
    log_lines(TEXT("{\"n\":1}\n"));
    log_stop();
    log_stop();
    log_start(ends[1], LOG_INFO);
    log_start(ends[1], LOG_INFO);
    log_lines(TEXT("{\"n\":2}\n"));
    stop_and_read();
    assert_int_equal(seen.size, 16);
    assert_memory_equal(seen.data, "{\"n\":1}\n{\"n\":2}\n", 16);
}

#define THREADS 4
#define EACH 3000

static void *write_lines(void *context)
{
    int id = *(const int *)context;
    char lines[64];
    for (int i = 0; i < EACH; i++) {
        if (i % 3 == 0) {
            log_event(LOG_INFO, "counted", "t%d i%d.", id, i);
            continue;
        }
        int size = snprintf(lines, sizeof(lines), "{\"message\":\"t%d i%d.\"}\n", id, i);
        log_lines(text_of(lines, (size_t)size));
    }
    return NULL;
}

static void *read_all(void *context)
{
    read_until(NULL);
    return context;
}

static void threads_lines_stay_whole_in_order_and_complete(void **state)
{
    pthread_t threads[THREADS], reader;
    int ids[THREADS], next[THREADS] = {0};
    log_start(ends[1], LOG_INFO);
    assert_int_equal(pthread_create(&reader, NULL, read_all, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        ids[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &ids[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_stop();
    close(ends[1]);
    ends[1] = -1;
    pthread_join(reader, NULL);
    struct text rest = buffer_text(&seen);
    size_t notices = 0;
    while (rest.size != 0) {
        struct text line = text_split(&rest, '\n');
        int id, number;
        const char *message = memmem(line.data, line.size, "\"message\":\"t", 12);
        assert_true(line.size > 2 && line.data[0] == '{' && line.data[line.size - 1] == '}');
        if (message == NULL) {
            notices++;
            continue;
        }
        assert_int_equal(sscanf(message + 11, "t%d i%d.", &id, &number), 2);
        assert_true(number >= next[id]);
        next[id] = number + 1;
    }
    assert_int_equal(count_of("\n") - notices + dropped(), THREADS * EACH);
}

static uint64_t lost_by_notices(void)
{
    uint64_t lost = 0;
    for (const char *at = seen.data; (at = memmem(at, seen.size - (size_t)(at - seen.data), "\"lines\":", 8)) != NULL;
         at++)
        lost += strtoull(at + 8, NULL, 10);
    return lost;
}

/* 4 MB in lines of 64 bytes: more than the ring, the writer's batch and the pipe hold together. */
#define FLOOD 65536

static void flood(void)
{
    char line[65];
    for (int i = 0; i < FLOOD; i++) {
        snprintf(line, sizeof(line), "{\"flood\":%053d}\n", i);
        log_lines(text_of(line, 64));
    }
}

static void a_reader_that_sleeps_stops_no_caller_and_learns_what_it_lost(void **state)
{
    log_start(ends[1], LOG_INFO);
    flood(); /* returns although nobody reads */
    uint64_t lost = dropped();
    assert_true(lost > FLOOD / 4 && lost < FLOOD);
    read_until("{\"flood\":00000000000000000000000000000000000000000000000010000}");
    log_lines(TEXT("{\"last\":1}\n"));
    /* What is left then fits the pipe: log_stop gives a reader up who takes nothing for a second. */
    for (struct pollfd more = {ends[0], POLLIN, 0}; poll(&more, 1, 1000) == 1;)
        read_piece();
    stop_and_read();
    assert_int_equal(count_of("{\"flood\":"), FLOOD - lost);
    if (count_of("{\"last\":1}\n") == 1) /* unless the ring was still full */
        assert_int_equal(lost_by_notices(), dropped());
}

static void stopping_ends_although_nobody_reads(void **state, int flags)
{
    assert_int_equal(fcntl(ends[1], F_SETFL, flags), 0);
    log_start(ends[1], LOG_INFO);
    flood();
    uint64_t start = clock_monotonic_us();
    log_stop();
    assert_true(clock_monotonic_us() - start < 10 * 1000000);
    close(ends[1]);
    ends[1] = -1;
    read_until(NULL);
    size_t whole = count_of("}\n"), notices = whole + dropped() - FLOOD;
    assert_true(notices <= 2); /* written or lost, as the lines they tell of */
}

static void stopping_does_not_wait_for_a_blocking_pipe(void **state)
{
    stopping_ends_although_nobody_reads(state, 0);
}

static void stopping_does_not_wait_for_a_non_blocking_pipe(void **state)
{
    stopping_ends_although_nobody_reads(state, O_NONBLOCK);
}

static void a_closed_reader_kills_nothing_and_is_counted(void **state)
{
    log_start(ends[1], LOG_INFO);
    close(ends[0]);
    ends[0] = -1;
    for (int i = 0; i < 100; i++)
        log_lines(TEXT("{\"n\":1}\n{\"n\":2}\n"));
    log_stop();
    /* One notice for each batch that was lost before may be among them. */
    assert_true(dropped() >= 200 && dropped() <= 300);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* As on a full disk: the second line is cut after 36 bytes, the others do not get there at all. Runs before the tests
 * that lose lines, of which the next would begin with a notice. */
static void a_line_cut_by_a_full_disk_is_ended_before_the_next(void **state)
{
    char path[] = "/tmp/sluice-log-XXXXXX", line[65];
    struct buffer lines;
    int file = mkostemp(path, O_CLOEXEC);
    assert_true(file >= 0);
    unlink(path);
    buffer_init(&lines, 1000);
    for (int i = 0; i < 10; i++) {
        snprintf(line, sizeof(line), "{\"line\":%054d}\n", i);
        buffer_append(&lines, line, 64);
    }
    limit_files(100);
    log_start(file, LOG_INFO);
    log_lines(buffer_text(&lines));
    while (dropped() < 9) /* the alarm bounds it */
        sched_yield();
    limit_files(RLIM_INFINITY);
    log_lines(TEXT("{\"after\":1}\n"));
    log_stop();
    buffer_free(&lines);
    assert_int_equal(dropped(), 9);
    seen.size = (size_t)pread(file, buffer_reserve(&seen, 1000), 1000, 0);
    close(file);
    assert_int_equal(count_of("\n"), 4);
    assert_memory_equal(seen.data + 99, "0\n{\"time\":", 10);
    assert_int_equal(lost_by_notices(), 9);
    assert_memory_equal(seen.data + seen.size - 13, "\n{\"after\":1}\n", 13);
}

static void signals_are_left_to_the_other_threads(void **state)
{
    sigset_t set, before;
    struct timespec second = {1, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    log_start(ends[1], LOG_INFO);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    kill(getpid(), SIGUSR1); /* would end the process in a thread that did not block it */
    assert_int_equal(sigtimedwait(&set, NULL, &second), SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_event_is_one_line_of_json),
        TEST(events_below_the_level_are_left_out),
        TEST(a_message_of_any_length_stays_one_line),
        TEST(lines_come_out_while_the_log_runs),
        TEST(without_a_thread_lines_go_to_stderr_at_once),
        TEST(a_log_may_be_started_again),
        TEST(a_line_cut_by_a_full_disk_is_ended_before_the_next),
        TEST(threads_lines_stay_whole_in_order_and_complete),
        TEST(a_reader_that_sleeps_stops_no_caller_and_learns_what_it_lost),
        TEST(stopping_does_not_wait_for_a_blocking_pipe),
        TEST(stopping_does_not_wait_for_a_non_blocking_pipe),
        TEST(a_closed_reader_kills_nothing_and_is_counted),
        TEST(signals_are_left_to_the_other_threads),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
