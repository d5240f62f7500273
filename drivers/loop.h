/* One thread's event loop: h2o's evloop with timers of any length, watched descriptors of other libraries, work at the
 * end of each turn, and messages from other threads. Everything here belongs to the thread that calls loop_turn, except
 * loop_post. */
#ifndef SLUICE_DRIVERS_LOOP_H
#define SLUICE_DRIVERS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct loop;
struct st_h2o_evloop_t;

/* NULL when memory or descriptors ran out. */
struct loop *loop_create(void);
/* Nothing may be watched, armed or hooked any more. */
void loop_destroy(struct loop *loop);
/* For h2o_context_init and h2o_evloop_socket_create. */
struct st_h2o_evloop_t *loop_evloop(struct loop *loop);
/* One turn: waits for events (at most to the next timer, or max_wait_ms), handles them, runs due timers, then the
 * hooks. */
void loop_turn(struct loop *loop, int32_t max_wait_ms);
/* Milliseconds / microseconds of CLOCK_MONOTONIC as of this turn's start (loop_now_us asks the kernel at most once a
 * turn). */
uint64_t loop_now_ms(const struct loop *loop);
uint64_t loop_now_us(const struct loop *loop);

/* A one-shot timer inside its owner's structure; zero it before first use. */
struct loop_timer {
    struct loop *loop; /* NULL while not armed */
    uint64_t due_ms;
    size_t heap_index;
    void (*on_due)(struct loop_timer *timer); /* may arm the timer again, or free its owner */
};
/* Arms, or arms anew. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms,
                      void (*on_due)(struct loop_timer *));
/* No callback comes after this. Harmless when not armed. */
void loop_timer_stop(struct loop_timer *timer);

/* Another library's descriptor (libpq, hiredis). Watched through a dup(), so that the library may close its own; give
 * the watch up before or right after that. Level-triggered: on_readable must consume. */
struct loop_watch;
struct loop_watch *loop_watch_start(struct loop *loop, int fd, void (*on_readable)(void *context),
                                    void (*on_writable)(void *context),
                                    void *context); /* NULL: out of memory or descriptors. Both start switched off */
void loop_watch_readable(struct loop_watch *watch, bool wanted);
void loop_watch_writable(struct loop_watch *watch, bool wanted); /* stays on until switched off */
/* No callback comes after this, also when called from within one. */
void loop_watch_stop(struct loop_watch *watch);

/* Work for the end of a turn: flush what the turn's events have gathered. A hook runs once for each time it was
 * requested. */
struct loop_hook {
    struct loop_hook *next;
    bool requested;
    void (*on_turn_end)(struct loop_hook *hook);
};
void loop_hook_request(struct loop *loop, struct loop_hook *hook);
void loop_hook_cancel(struct loop *loop, struct loop_hook *hook);

/* From any thread: on_message runs on the loop's thread, in the order of posting; wakes the loop. The message is the
 * poster's until then and the receiver's afterwards. Messages still there at loop_destroy are dropped with on_message
 * not called. */
struct loop_message {
    struct loop_message *next;
    void (*on_message)(struct loop_message *message);
};
void loop_post(struct loop *loop, struct loop_message *message);
/* Handles the messages posted so far, now; for owners that are about to go and still expect one. The loop's thread
 * only. */
void loop_deliver(struct loop *loop);

#endif
