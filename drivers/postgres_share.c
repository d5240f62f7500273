/* A bound on the connections of several pools. A pool that waits for a place stands in a ring; whoever gets one goes to
 * its end. */
#include <stdlib.h>

#include "drivers/postgres_private.h"

struct postgres_share {
    size_t limit, used;          /* connections that are open or being opened */
    struct postgres *turn;       /* it may take a place before those in the ring; NULL: none */
    struct share_link ring;      /* of pools, by share_link */
    struct share_link idle;      /* of connections, by idle_link; the longest idle first */
    struct loop *loop;           /* of the pools; NULL: there was none yet */
    struct loop_hook hook;       /* gives free places away at the turn's end: not from within a callback */
    struct canceller *canceller; /* one thread for all of them */
};

/* Rings with a head: a link that is in none points nowhere. */

static void link_last(struct share_link *head, struct share_link *link)
{
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}

static void unlink_it(struct share_link *link)
{
    if (link->next == NULL)
        return;
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->next = link->previous = NULL;
}

static struct postgres *pool_of(struct share_link *link)
{
    return (struct postgres *)((char *)link - offsetof(struct postgres, share_link));
}

static struct connection *connection_of(struct share_link *link)
{
    return (struct connection *)((char *)link - offsetof(struct connection, idle_link));
}

static void on_turn_end(struct loop_hook *hook);

struct postgres_share *postgres_share_create(size_t connections)
{
    struct postgres_share *share = calloc(1, sizeof(*share));
    if (share == NULL)
        return NULL;
    share->limit = connections;
    share->ring.next = share->ring.previous = &share->ring;
    share->idle.next = share->idle.previous = &share->idle;
    share->hook.on_turn_end = on_turn_end;
    return share;
}

void postgres_share_destroy(struct postgres_share *share)
{
    if (share == NULL)
        return;
    if (share->loop != NULL)
        loop_hook_cancel(share->loop, &share->hook);
    canceller_destroy(share->canceller);
    free(share);
}

size_t postgres_share_used(const struct postgres_share *share)
{
    return share->used;
}

struct canceller *share_canceller(struct postgres_share *share, struct loop *loop)
{
    share->loop = loop;
    if (share->canceller == NULL)
        share->canceller = canceller_create(loop);
    return share->canceller;
}

/* How many places a pool has, and whether it could do with another one. */

static size_t held_by(const struct postgres *pool)
{
    size_t held = 0;
    for (size_t i = 0; i < pool->options.connections; i++)
        held += pool->connections[i].state != CONNECTION_CLOSED;
    return held;
}

static bool wants_place(const struct postgres *pool)
{
    size_t coming = 0, closed = 0;
    for (size_t i = 0; i < pool->options.connections; i++) {
        enum connection_state state = pool->connections[i].state;
        coming += state == CONNECTION_CONNECTING || state == CONNECTION_SETTING_UP || state == CONNECTION_CANCELLING;
        closed += state == CONNECTION_CLOSED;
    }
    return pool->waiting > coming && closed != 0 && loop_now_ms(pool->loop) >= pool->retry_ms;
}

/* The first of the ring that could do with a place, but not `except`. Those for whom nobody waits any more leave it. */
static struct postgres *next_in_turn(struct postgres_share *share, const struct postgres *except)
{
    for (struct share_link *link = share->ring.next, *next; link != &share->ring; link = next) {
        struct postgres *pool = pool_of(link);
        next = link->next;
        if (pool->waiting == 0)
            unlink_it(link);
        else if (pool != except && wants_place(pool))
            return pool;
    }
    return NULL;
}

static bool close_idle(struct postgres_share *share)
{
    for (struct share_link *link = share->idle.next; link != &share->idle; link = link->next) {
        struct connection *connection = connection_of(link);
        if (connection->pool->waiting == 0) {
            connection_close(connection);
            return true;
        }
    }
    return false;
}

bool share_take(struct postgres *pool)
{
    struct postgres_share *share = pool->options.share;
    if (share->turn != pool && next_in_turn(share, pool) != NULL)
        return false;
    if (share->used >= share->limit && !close_idle(share))
        return false;
    share->turn = NULL;
    return true;
}

void share_wait(struct postgres *pool)
{
    if (pool->share_link.next == NULL)
        link_last(&pool->options.share->ring, &pool->share_link);
}

void share_leave(struct postgres *pool)
{
    unlink_it(&pool->share_link);
}

void share_moved(struct connection *connection, enum connection_state before)
{
    struct postgres_share *share = connection->pool->options.share;
    enum connection_state now = connection->state;
    share->used += (size_t)(now != CONNECTION_CLOSED) - (size_t)(before != CONNECTION_CLOSED);
    unlink_it(&connection->idle_link);
    if (now == CONNECTION_READY)
        link_last(&share->idle, &connection->idle_link);
    if (now == CONNECTION_CLOSED && before != CONNECTION_CLOSED)
        loop_hook_request(share->loop, &share->hook);
}

/* Whether `pool`, which has queries of its own waiting, should give a connection that has become free to `other`. A
 * login costs more than a short query: they don't swap for an even split's sake. */
static bool should_yield(const struct postgres *pool, const struct postgres *other)
{
    size_t held = held_by(other);
    return pool->waiting == 0 || held == 0 || held_by(pool) > held + 1;
}

void share_return(struct connection *connection)
{
    struct postgres *pool = connection->pool;
    struct postgres_share *share = pool->options.share;
    if (share == NULL || connection->state != CONNECTION_READY || share->used < share->limit)
        return;
    for (struct share_link *link = share->ring.next; link != &share->ring; link = link->next) {
        struct postgres *other = pool_of(link);
        if (other == pool && pool->waiting != 0) {
            unlink_it(link);
            link_last(&share->ring, link);
            return;
        }
        if (other != pool && wants_place(other) && should_yield(pool, other)) {
            pool->retry_ms = 0;           /* its own queries wait for a place now, and for nothing else */
            connection_close(connection); /* the hook gives the place away */
            return;
        }
    }
}

static void on_turn_end(struct loop_hook *hook)
{
    struct postgres_share *share = (struct postgres_share *)((char *)hook - offsetof(struct postgres_share, hook));
    while (share->used < share->limit) {
        struct postgres *pool = next_in_turn(share, NULL);
        size_t before = share->used;
        if (pool == NULL)
            return;
        unlink_it(&pool->share_link);
        share->turn = pool;
        pool_dispatch(pool); /* takes one, and stands at the ring's end where it needs more */
        share->turn = NULL;
        if (share->used <= before)
            return; /* connecting failed at once; its next try, or another's, comes here again */
    }
}
