/* Work that blocks (loads, statements that make things, jobs), on a bounded number of threads beside the workers. A
 * task is made and ended on a worker's loop; in between it belongs to a thread. */
#ifndef SLUICE_API_TASKS_H
#define SLUICE_API_TASKS_H

#include <stdatomic.h>

#include "drivers/loop.h"

struct tasks;
struct task {
    struct loop_message message; /* first: how it comes back */
    struct loop *loop;
    void (*run)(struct task *task);  /* on a thread; looks at `cancelled` now and then, and hands it to what blocks */
    void (*done)(struct task *task); /* on the loop, always, exactly once, also when it never ran (`started` false) */
    atomic_bool cancelled;
    bool started;
    uint64_t customer;   /* a hash: whose it is */
    struct tasks *tasks; /* set by tasks_start; zero where it runs on a thread that is nobody's pool */
    struct task *next;   /* the pool's */
};
/* `each`: tasks of one customer that run at once; others of his wait while other customers' pass them. */
struct tasks *tasks_create(const char *name, unsigned threads, size_t queue, unsigned each);
/* Any loop's thread. run, done, loop and customer are set, the rest is zero. STATUS_BUSY: the queue is full, or this
 * customer fills his share of it (a quarter, at least one); STATUS_UNAVAILABLE: stopping. Neither calls done. */
enum status tasks_start(struct tasks *tasks, struct task *task) MUST_CHECK;
/* Any thread, for who runs a task himself, without a pool: `done` comes on its loop, whose the task is from here on. */
void tasks_give_back(struct task *task);
/* The task's loop: nobody waits for it any more; it is told to end, and `done` still comes: of one that waits in the
 * next turn, never within this call. */
void tasks_cancel(struct task *task);
/* Refuses new ones, cancels what waits and (after `grace_ms`) what runs, and waits for the threads. Loops must still
 * turn, or the last `done` is lost. One thread's, not a task's. */
void tasks_stop(struct tasks *tasks, uint32_t grace_ms);
/* Stops it first. After the loops have handed over the last `done`. */
void tasks_destroy(struct tasks *tasks);
struct tasks_statistics {
    size_t running, waiting;
    uint64_t finished, refused;
};
struct tasks_statistics tasks_statistics(struct tasks *tasks);

#endif
