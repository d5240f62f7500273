#include "api/gone.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct gone {
    int epoll;
    struct loop_watch *watch;
};

static void on_readable(void *context)
{
    struct gone *gone = context;
    struct epoll_event event;
    /* One event at a time: an owner that ends another watch in its callback must not leave that one in a batch already
     * fetched. */
    while (epoll_wait(gone->epoll, &event, 1, 0) == 1) {
        struct gone_watch *watch = event.data.ptr;
        gone_stop(watch);
        watch->on_gone(watch);
    }
}

struct gone *gone_create(struct loop *loop)
{
    struct gone *gone = calloc(1, sizeof(*gone));
    if (gone == NULL)
        return NULL;
    gone->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (gone->epoll >= 0)
        gone->watch = loop_watch_start(loop, gone->epoll, on_readable, NULL, gone);
    if (gone->watch == NULL) {
        gone_destroy(gone);
        return NULL;
    }
    loop_watch_readable(gone->watch, true);
    return gone;
}

void gone_destroy(struct gone *gone)
{
    if (gone == NULL)
        return;
    if (gone->watch != NULL)
        loop_watch_stop(gone->watch);
    if (gone->epoll >= 0)
        close(gone->epoll);
    free(gone);
}

bool gone_start(struct gone *gone, struct gone_watch *watch, int fd, void (*on_gone)(struct gone_watch *watch))
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLONESHOT, .data.ptr = watch};
    if (watch->gone != NULL)
        return true;
    if (epoll_ctl(gone->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return false;
    *watch = (struct gone_watch){gone, fd, on_gone};
    return true;
}

void gone_stop(struct gone_watch *watch)
{
    if (watch->gone == NULL)
        return;
    epoll_ctl(watch->gone->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->gone = NULL;
}
