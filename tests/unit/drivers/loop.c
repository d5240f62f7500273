#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "drivers/loop.h"

static struct loop *loop; /* for the life of the process: h2o's can't be destroyed without a leak */

/* Timers. */

static struct loop_timer timers[200];
static uint64_t fired_at_us[200], last_fired;
static int fired;

static void on_due(struct loop_timer *timer)
{
    size_t index = (size_t)(timer - timers);
    assert_null(timer->loop);
    fired_at_us[index] = clock_monotonic_us();
    assert_true(last_fired <= timer->due_ms);
    last_fired = timer->due_ms;
    fired++;
}

static void timers_fire_in_order_and_not_early(void **state)
{
    uint64_t begin = clock_monotonic_us();
    fired = 0;
    last_fired = 0;
    for (size_t i = 0; i < 200; i++)
        loop_timer_start(loop, &timers[i], (i * 7919) % 100, on_due);
    for (size_t i = 0; i < 200; i += 4)
        loop_timer_stop(&timers[i]);
    for (size_t i = 1; i < 200; i += 4)
        loop_timer_start(loop, &timers[i], 110, on_due); /* anew */
    while (fired < 150 && clock_monotonic_us() - begin < 20000000)
        loop_turn(loop, 1000);
    assert_int_equal(fired, 150);
    for (size_t i = 0; i < 200; i++) {
        uint64_t delay = i % 4 == 1 ? 110 : (i * 7919) % 100;
        if (i % 4 == 0)
            assert_int_equal(fired_at_us[i], 0);
        else
            assert_true(fired_at_us[i] + 1000 >= begin + delay * 1000); /* due times are whole milliseconds */
    }
    loop_timer_stop(&timers[0]); /* harmless */
}

static void on_due_rearm(struct loop_timer *timer)
{
    if (++fired < 5)
        loop_timer_start(loop, timer, 1, on_due_rearm);
    else
        free(timer);
}

static void a_timer_may_be_armed_again_or_freed_within_its_callback(void **state)
{
    struct loop_timer *timer = calloc(1, sizeof(*timer));
    fired = 0;
    loop_timer_start(loop, timer, 0, on_due_rearm);
    for (int i = 0; i < 1000 && fired < 5; i++)
        loop_turn(loop, 10);
    assert_int_equal(fired, 5);
}

static void on_due_stop_next(struct loop_timer *timer)
{
    fired++;
    loop_timer_stop(&timers[1]);
}

static void a_timer_stopped_within_anothers_callback_does_not_fire(void **state)
{
    fired = 0;
    loop_timer_start(loop, &timers[0], 0, on_due_stop_next);
    loop_timer_start(loop, &timers[1], 0, on_due);
    loop_turn(loop, 5);
    loop_turn(loop, 5);
    assert_int_equal(fired, 1);
}

/* Hooks. */

static int hook_runs;
static void on_turn_end(struct loop_hook *hook)
{
    if (++hook_runs < 3)
        loop_hook_request(loop, hook);
}

static void a_hook_runs_once_for_each_request_and_may_request_itself(void **state)
{
    struct loop_hook hook = {.on_turn_end = on_turn_end}, cancelled = {.on_turn_end = on_turn_end};
    uint64_t quickest = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        hook_runs = 0;
        loop_hook_request(loop, &hook);
        loop_hook_request(loop, &hook);
        loop_hook_request(loop, &cancelled);
        loop_hook_cancel(loop, &cancelled);
        loop_hook_cancel(loop, &cancelled);
        uint64_t begin = clock_monotonic_us();
        loop_turn(loop, 1000);
        uint64_t took = clock_monotonic_us() - begin;
        quickest = took < quickest ? took : quickest;
        assert_int_equal(hook_runs, 3);
        loop_turn(loop, 0);
        assert_int_equal(hook_runs, 3);
    }
    assert_true(quickest < 500000); /* no turn waits with a hook requested; the machine may keep one up */
}

/* Watches. */

struct pipe_end {
    int fds[2];
    struct loop_watch *watch, *other;
    int readable, writable;
};

static void on_readable_stop_both(void *context)
{
    struct pipe_end *end = context;
    end->readable++;
    loop_watch_stop(end->watch);
    if (end->other != NULL)
        loop_watch_stop(end->other);
    end->watch = end->other = NULL;
}

static void on_writable(void *context)
{
    ((struct pipe_end *)context)->writable++;
}

static void watches_may_be_stopped_within_their_own_or_anothers_callback(void **state)
{
    struct pipe_end first = {0}, second = {0};
    assert_int_equal(pipe(first.fds), 0);
    assert_int_equal(pipe(second.fds), 0);
    first.watch = second.other = loop_watch_start(loop, first.fds[0], on_readable_stop_both, NULL, &first);
    second.watch = first.other = loop_watch_start(loop, second.fds[0], on_readable_stop_both, NULL, &second);
    loop_watch_readable(first.watch, true);
    loop_watch_readable(second.watch, true);
    assert_int_equal(write(first.fds[1], "x", 1) + write(second.fds[1], "x", 1), 2);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 5);
    assert_int_equal(first.readable + second.readable, 1);
    for (int i = 0; i < 2; i++) {
        close(first.fds[i]);
        close(second.fds[i]);
    }
}

static void on_readable_once(void *context)
{
    struct pipe_end *end = context;
    char byte;
    end->readable++;
    assert_int_equal(read(end->fds[0], &byte, 1), 1);
    if (end->other != NULL)
        loop_watch_readable(end->other, false); /* its event may be pending in this very turn */
}

static void a_watch_switched_off_stays_silent_and_wakes_when_switched_on(void **state)
{
    struct pipe_end first = {0}, second = {0};
    assert_int_equal(pipe(first.fds), 0);
    assert_int_equal(pipe(second.fds), 0);
    first.watch = second.other = loop_watch_start(loop, first.fds[0], on_readable_once, NULL, &first);
    second.watch = first.other = loop_watch_start(loop, second.fds[0], on_readable_once, NULL, &second);
    assert_int_equal(write(first.fds[1], "x", 1) + write(second.fds[1], "x", 1), 2);
    loop_turn(loop, 5);
    assert_int_equal(first.readable + second.readable, 0); /* both start switched off */
    loop_watch_readable(first.watch, true);
    loop_watch_readable(second.watch, true);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 5);
    assert_int_equal(first.readable + second.readable, 1);
    loop_watch_readable(first.watch, true);
    loop_watch_readable(second.watch, true);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 5);
    assert_int_equal(first.readable + second.readable, 2);
    loop_watch_stop(first.watch);
    loop_watch_stop(second.watch);
    for (int i = 0; i < 2; i++) {
        close(first.fds[i]);
        close(second.fds[i]);
    }
    loop_turn(loop, 0);
}

static void a_writable_watch_stays_on_until_switched_off(void **state)
{
    struct pipe_end end = {0};
    assert_int_equal(pipe(end.fds), 0);
    end.watch = loop_watch_start(loop, end.fds[1], NULL, on_writable, &end);
    loop_watch_writable(end.watch, true);
    for (int i = 0; i < 4; i++)
        loop_turn(loop, 5);
    assert_true(end.writable >= 3);
    loop_watch_writable(end.watch, false);
    int before = end.writable;
    for (int i = 0; i < 4; i++)
        loop_turn(loop, 1);
    assert_int_equal(end.writable, before);
    loop_watch_writable(end.watch, true);
    loop_turn(loop, 5);
    loop_turn(loop, 5);
    assert_true(end.writable > before);
    loop_watch_stop(end.watch);
    close(end.fds[0]);
    close(end.fds[1]);
    loop_turn(loop, 0);
}

/* Messages. */

#define THREADS 4
#define EACH 20000

struct note {
    struct loop_message message;
    int thread, number;
};
static int next_number[THREADS], received;
static atomic_int posted; /* those that loop_post is through with */

static void on_message(struct loop_message *message)
{
    struct note *note = (struct note *)message;
    assert_int_equal(note->number, next_number[note->thread]);
    next_number[note->thread]++;
    received++;
    free(note);
}

static void *post_many(void *context)
{
    for (int i = 0; i < EACH; i++) {
        struct note *note = calloc(1, sizeof(*note));
        *note = (struct note){.message = {.on_message = on_message}, .thread = *(int *)context, .number = i};
        loop_post(loop, &note->message);
        atomic_fetch_add(&posted, 1);
    }
    return NULL;
}

static void messages_of_other_threads_arrive_in_order_and_none_is_lost(void **state)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    uint64_t begin = clock_monotonic_us();
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &numbers[i]), 0);
    }
    /* What was posted before a turn began comes within it: behind a lost wake-up it would lie there for this turn's
     * second too. */
    while (received < THREADS * EACH && clock_monotonic_us() - begin < 60000000) {
        int had = received;
        bool there = atomic_load(&posted) > had;
        loop_turn(loop, 1000);
        assert_true(received > had || !there);
    }
    assert_int_equal(received, THREADS * EACH);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

struct owner {
    struct loop_message goes, late;
    bool gone;
};
static int late_messages;

static void on_late(struct loop_message *message)
{
    struct owner *owner = (struct owner *)((char *)message - offsetof(struct owner, late));
    assert_false(owner->gone);
    late_messages++;
}

static void on_goes(struct loop_message *message)
{
    struct owner *owner = (struct owner *)((char *)message - offsetof(struct owner, goes));
    loop_deliver(loop); /* whatever is still expected comes now, or the owner cannot be freed */
    assert_int_equal(late_messages, 1);
    owner->gone = true;
    free(owner);
}

static void an_owner_that_goes_within_a_message_gets_those_behind_it_first(void **state)
{
    struct owner *owner = calloc(1, sizeof(*owner));
    owner->goes.on_message = on_goes;
    owner->late.on_message = on_late;
    late_messages = 0;
    loop_post(loop, &owner->goes);
    loop_post(loop, &owner->late);
    loop_turn(loop, 1000);
    loop_turn(loop, 0);
    assert_int_equal(late_messages, 1);
}

static void the_clock_stands_still_within_a_turn_and_moves_between(void **state)
{
    loop_turn(loop, 0);
    uint64_t first = loop_now_us(loop);
    assert_int_equal(loop_now_us(loop), first);
    assert_int_equal(loop_now_ms(loop), first / 1000);
    loop_turn(loop, 5);
    assert_true(loop_now_us(loop) > first);
}

static int setup(void **state)
{
    loop = loop_create();
    return loop != NULL ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_and_not_early),
        cmocka_unit_test(a_timer_may_be_armed_again_or_freed_within_its_callback),
        cmocka_unit_test(a_timer_stopped_within_anothers_callback_does_not_fire),
        cmocka_unit_test(a_hook_runs_once_for_each_request_and_may_request_itself),
        cmocka_unit_test(watches_may_be_stopped_within_their_own_or_anothers_callback),
        cmocka_unit_test(a_watch_switched_off_stays_silent_and_wakes_when_switched_on),
        cmocka_unit_test(a_writable_watch_stays_on_until_switched_off),
        cmocka_unit_test(messages_of_other_threads_arrive_in_order_and_none_is_lost),
        cmocka_unit_test(an_owner_that_goes_within_a_message_gets_those_behind_it_first),
        cmocka_unit_test(the_clock_stands_still_within_a_turn_and_moves_between),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
