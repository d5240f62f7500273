/* Notices clients that leave while their query runs: h2o stops reading while a handler works, so a FIN would go unseen.
 * One epoll descriptor a worker, watched by its loop; a client's descriptor is in it only while a request waits for
 * something long. */
#ifndef SLUICE_API_GONE_H
#define SLUICE_API_GONE_H

#include "drivers/loop.h"

struct gone;
struct gone_watch { /* inside its owner; zeroed before first use */
    struct gone *gone;
    int fd;
    void (*on_gone)(struct gone_watch *watch);
};
struct gone *gone_create(struct loop *loop); /* NULL: out of memory or descriptors */
void gone_destroy(struct gone *gone);
/* on_gone runs once, when the peer has closed or reset; the watch has ended by then. False: the descriptor can't be
 * watched (the request goes on unwatched). */
bool gone_start(struct gone *gone, struct gone_watch *watch, int fd, void (*on_gone)(struct gone_watch *watch));
/* No callback comes after this. Harmless when not started. Must come before the descriptor is closed. */
void gone_stop(struct gone_watch *watch);

#endif
