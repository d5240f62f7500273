#include "api/tasks.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

static struct loop *loop;

#define TURN_UNTIL(condition)                                                                                          \
    for (uint64_t end_us = clock_monotonic_us() + 20000000; !(condition); loop_turn(loop, 5))                          \
        if (clock_monotonic_us() > end_us)                                                                             \
    fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition)

/* A task that runs until its gate is opened, or until it is told to end. */
struct job {
    struct task task;
    atomic_bool *gate;
    atomic_bool runs;
    int done; /* times; on the loop */
    unsigned order;
    bool was_cancelled;
    pthread_t thread;
    char name[16];
    sigset_t mask;
};
static unsigned done_count;
static atomic_uint running_now, running_most;

static void run(struct task *task)
{
    struct job *job = (struct job *)task;
    unsigned now = atomic_fetch_add(&running_now, 1) + 1, most = atomic_load(&running_most);
    while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now))
        ;
    job->thread = pthread_self();
    pthread_getname_np(pthread_self(), job->name, sizeof(job->name));
    pthread_sigmask(SIG_SETMASK, NULL, &job->mask);
    atomic_store(&job->runs, true);
    while (job->gate != NULL && !atomic_load(job->gate) && !atomic_load(&task->cancelled))
        sched_yield();
    atomic_fetch_sub(&running_now, 1);
}

static void done(struct task *task)
{
    struct job *job = (struct job *)task;
    job->done++;
    job->order = ++done_count;
    job->was_cancelled = atomic_load(&task->cancelled);
}

static enum status start(struct tasks *tasks, struct job *job, uint64_t customer, atomic_bool *gate)
{
    memset(job, 0, sizeof(*job));
    job->task.loop = loop;
    job->task.run = run;
    job->task.done = done;
    job->task.customer = customer;
    job->gate = gate;
    return tasks_start(tasks, &job->task);
}

static void a_task_runs_on_a_named_thread_without_signals_and_ends_on_the_loop(void **state)
{
    struct tasks *tasks = tasks_create("load", 1, 4, 1);
    struct job job;
    assert_int_equal(start(tasks, &job, 1, NULL), STATUS_OK);
    assert_int_equal(job.done, 0);
    TURN_UNTIL(job.done != 0);
    assert_int_equal(job.done, 1);
    assert_true(job.task.started);
    assert_false(job.was_cancelled);
    assert_false(pthread_equal(job.thread, pthread_self()));
    assert_string_equal(job.name, "load-0");
    assert_true(sigismember(&job.mask, SIGTERM));
    assert_true(sigismember(&job.mask, SIGXFSZ));
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_false(sigismember(&mine, SIGTERM));
    assert_int_equal(tasks_statistics(tasks).finished, 1);
    tasks_stop(tasks, 1000);
    tasks_destroy(tasks);
}

static void recurse(volatile char *above, size_t left)
{
    volatile char here[4096];
    here[0] = above[0];
    if (left > sizeof(here))
        recurse(here, left - sizeof(here));
    above[1] = here[0];
}

static void run_deep(struct task *task)
{
    volatile char first[2] = {1, 0};
    recurse(first, (size_t)3 << 20); /* sanitizers make frames larger */
}

static void a_task_has_room_for_deep_recursion(void **state)
{
    struct tasks *tasks = tasks_create("load", 1, 4, 1);
    struct job job = {.task = {.loop = loop, .run = run_deep, .done = done}};
    assert_int_equal(tasks_start(tasks, &job.task), STATUS_OK);
    TURN_UNTIL(job.done != 0);
    tasks_destroy(tasks);
}

static void a_customers_tasks_wait_for_each_other_and_others_pass(void **state)
{
    struct tasks *tasks = tasks_create("load", 3, 40, 2);
    atomic_bool gate = false;
    struct job first[5], other[2];
    for (int i = 0; i < 5; i++)
        assert_int_equal(start(tasks, &first[i], 1, &gate), STATUS_OK);
    assert_int_equal(tasks_statistics(tasks).running, 2);
    assert_int_equal(tasks_statistics(tasks).waiting, 3);
    /* One of three threads is free, and what waits is the first customer's: the other goes right through. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(start(tasks, &other[i], 2, NULL), STATUS_OK);
        TURN_UNTIL(other[i].done != 0);
    }
    assert_int_equal(first[0].done + first[1].done + first[2].done, 0);
    assert_false(atomic_load(&first[2].runs));
    atomic_store(&gate, true);
    TURN_UNTIL(done_count != 0 && first[4].done != 0 && first[3].done != 0 && first[2].done != 0);
    assert_true(first[2].order < first[4].order || first[3].order < first[4].order);
    tasks_stop(tasks, 1000);
    loop_deliver(loop);
    for (int i = 0; i < 5; i++)
        assert_int_equal(first[i].done, 1);
    tasks_destroy(tasks);
}

static void a_full_queue_and_a_full_share_are_busy(void **state)
{
    struct tasks *tasks = tasks_create("load", 1, 8, 1);
    atomic_bool gate = false;
    struct job held, own[3], others[7];
    assert_int_equal(start(tasks, &held, 1, &gate), STATUS_OK);
    assert_int_equal(start(tasks, &own[0], 1, NULL), STATUS_OK);
    assert_int_equal(start(tasks, &own[1], 1, NULL), STATUS_OK);
    assert_int_equal(start(tasks, &own[2], 1, NULL), STATUS_BUSY); /* a quarter of 8 */
    for (int i = 0; i < 6; i++)
        assert_int_equal(start(tasks, &others[i], 2 + (uint64_t)i / 2, NULL), STATUS_OK);
    assert_int_equal(start(tasks, &others[6], 9, NULL), STATUS_BUSY);
    assert_int_equal(tasks_statistics(tasks).refused, 2);
    atomic_store(&gate, true);
    TURN_UNTIL(tasks_statistics(tasks).finished == 9);
    tasks_stop(tasks, 1000);
    loop_deliver(loop);
    assert_int_equal(own[2].done + others[6].done, 0);
    assert_int_equal(own[1].done, 1);
    assert_int_equal(others[5].done, 1);
    tasks_destroy(tasks);
}

static void a_cancelled_task_ends_whether_it_waits_or_runs(void **state)
{
    struct tasks *tasks = tasks_create("load", 1, 8, 1);
    atomic_bool gate = false;
    struct job runs, waits, last;
    assert_int_equal(start(tasks, &runs, 1, &gate), STATUS_OK);
    assert_int_equal(start(tasks, &waits, 2, &gate), STATUS_OK);
    assert_int_equal(start(tasks, &last, 3, &gate), STATUS_OK);
    TURN_UNTIL(atomic_load(&runs.runs));
    tasks_cancel(&waits.task);
    assert_int_equal(waits.done, 0); /* never within the call */
    TURN_UNTIL(waits.done != 0);
    assert_false(waits.task.started);
    assert_int_equal(runs.done, 0);
    tasks_cancel(&runs.task);
    TURN_UNTIL(runs.done != 0);
    assert_true(runs.task.started);
    assert_true(runs.was_cancelled);
    tasks_cancel(&last.task);
    TURN_UNTIL(last.done != 0);
    tasks_stop(tasks, 1000);
    loop_deliver(loop);
    assert_int_equal(runs.done + waits.done + last.done, 3);
    tasks_destroy(tasks);
}

static void stopping_drops_what_waits_and_tells_what_runs_after_the_grace(void **state)
{
    struct tasks *tasks = tasks_create("load", 1, 8, 1);
    atomic_bool gate = false;
    struct job runs, waits, late;
    assert_int_equal(start(tasks, &runs, 1, &gate), STATUS_OK);
    assert_int_equal(start(tasks, &waits, 1, &gate), STATUS_OK);
    TURN_UNTIL(atomic_load(&runs.runs));
    uint64_t from_us = clock_monotonic_us();
    tasks_stop(tasks, 50);
    assert_true(clock_monotonic_us() - from_us >= 50000);
    assert_int_equal(start(tasks, &late, 1, NULL), STATUS_UNAVAILABLE);
    TURN_UNTIL(runs.done != 0 && waits.done != 0);
    assert_true(runs.was_cancelled);
    assert_true(runs.task.started);
    assert_true(waits.was_cancelled);
    assert_false(waits.task.started);
    assert_int_equal(late.done, 0);
    assert_int_equal(tasks_statistics(tasks).finished, 2);
    tasks_destroy(tasks);
}

static void *open_gate(void *context)
{
    atomic_store((atomic_bool *)context, true);
    return NULL;
}

static void what_ends_within_the_grace_is_not_cancelled(void **state)
{
    struct tasks *tasks = tasks_create("load", 2, 8, 2);
    atomic_bool gate = false;
    struct job runs[2];
    pthread_t opener;
    assert_int_equal(start(tasks, &runs[0], 1, &gate), STATUS_OK);
    assert_int_equal(start(tasks, &runs[1], 1, &gate), STATUS_OK);
    assert_int_equal(pthread_create(&opener, NULL, open_gate, &gate), 0);
    tasks_stop(tasks, 60000);
    pthread_join(opener, NULL);
    TURN_UNTIL(runs[0].done != 0 && runs[1].done != 0);
    assert_false(runs[0].was_cancelled);
    assert_true(runs[1].task.started);
    tasks_destroy(tasks);
}

/* Done within a loop's turn, a task starts its successor; some are cancelled at any point. For the thread sanitizer. */
struct chain {
    struct job job;
    struct tasks *tasks;
    unsigned left;
};

static void on_link(struct task *task)
{
    struct chain *chain = (struct chain *)task;
    if (chain->left-- != 0)
        assert_int_equal(tasks_start(chain->tasks, task), STATUS_OK);
    else
        chain->job.done++;
}

static void many_tasks_of_many_customers_all_come_back(void **state)
{
    struct tasks *tasks = tasks_create("load", 4, 400, 2);
    static struct chain chains[24];
    atomic_store(&running_most, 0);
    for (unsigned i = 0; i < 24; i++) {
        chains[i] = (struct chain){
            .job.task = {.loop = loop, .run = run, .done = on_link, .customer = i % 5}, .tasks = tasks, .left = 200};
        assert_int_equal(tasks_start(tasks, &chains[i].job.task), STATUS_OK);
    }
    for (unsigned turn = 0, all = 0; all < 24; turn++) {
        loop_turn(loop, 5);
        if (chains[turn % 24].job.done == 0)
            tasks_cancel(&chains[turn % 24].job.task);
        all = 0;
        for (unsigned i = 0; i < 24; i++)
            all += (unsigned)chains[i].job.done;
    }
    assert_true(atomic_load(&running_most) <= 4);
    assert_int_equal(tasks_statistics(tasks).finished, 24 * 201);
    assert_int_equal(tasks_statistics(tasks).running + tasks_statistics(tasks).waiting, 0);
    tasks_destroy(tasks);
}

static int setup(void **state)
{
    loop = loop_create();
    return loop != NULL ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_runs_on_a_named_thread_without_signals_and_ends_on_the_loop),
        cmocka_unit_test(a_task_has_room_for_deep_recursion),
        cmocka_unit_test(a_customers_tasks_wait_for_each_other_and_others_pass),
        cmocka_unit_test(a_full_queue_and_a_full_share_are_busy),
        cmocka_unit_test(a_cancelled_task_ends_whether_it_waits_or_runs),
        cmocka_unit_test(stopping_drops_what_waits_and_tells_what_runs_after_the_grace),
        cmocka_unit_test(what_ends_within_the_grace_is_not_cancelled),
        cmocka_unit_test(many_tasks_of_many_customers_all_come_back),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
