#include "api/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/address.h"
#include "api/listener.h"
#include "base/log.h"

#define FIRST_FD 3 /* sd_listen_fds(3): SD_LISTEN_FDS_START */

struct sockets {
    struct handed { /* at the start */
        int fd;
        struct sockaddr_storage address;
        bool taken;
    } handed[SOCKETS_MAX];
    size_t handed_count;
    bool from_manager;
    int open[SOCKETS_MAX];
    size_t open_count;
};

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)a, *b4 = (const struct sockaddr_in *)b;
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)a, *b6 = (const struct sockaddr_in6 *)b;
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return a->ss_family == AF_INET6 && a6->sin6_port == b6->sin6_port &&
           memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

static enum status add_handed(struct sockets *sockets, const char *variable, int fd, struct failure *failure)
{
    struct handed *handed = &sockets->handed[sockets->handed_count];
    socklen_t size = sizeof(handed->address), int_size = sizeof(int);
    int listens = 0;
    if (sockets->handed_count == SOCKETS_MAX)
        return failure_set(failure, STATUS_INVALID, "%s: more than %d sockets were handed over", variable, SOCKETS_MAX);
    *handed = (struct handed){.fd = fd};
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_size) != 0 || listens == 0 ||
        getsockname(fd, (struct sockaddr *)&handed->address, &size) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        return failure_set(failure, STATUS_INVALID,
                           "%s: descriptor %d is no socket that listens; with systemd use ListenStream= and Accept=no",
                           variable, fd);
    sockets->handed_count++;
    return STATUS_OK;
}

/* sd_listen_fds(3): they begin at 3, and are meant for the process that LISTEN_PID names. */
static enum status read_manager(struct sockets *sockets, struct failure *failure)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    enum status status = STATUS_OK;
    bool is_mine = pid != NULL && count != NULL && strtol(pid, NULL, 10) == (long)getpid();
    long fds = is_mine ? strtol(count, NULL, 10) : 0;
    sockets->from_manager = fds > 0;
    if (fds < 0 || fds > SOCKETS_MAX)
        status = failure_set(failure, STATUS_INVALID, "LISTEN_FDS: between 0 and %d sockets are taken", SOCKETS_MAX);
    for (long i = 0; status == STATUS_OK && i < fds; i++)
        status = add_handed(sockets, "LISTEN_FDS", FIRST_FD + (int)i, failure);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return status;
}

/* "3,4,5", from the process before. */
static enum status read_former(struct sockets *sockets, struct failure *failure)
{
    const char *list = getenv("SLUICE_SOCKETS");
    enum status status = STATUS_OK;
    while (list != NULL && *list != '\0' && status == STATUS_OK) {
        char *end;
        long fd = strtol(list, &end, 10);
        if (end == list || fd < FIRST_FD || fd > 1 << 20 || (*end != ',' && *end != '\0'))
            status = failure_set(failure, STATUS_INVALID,
                                 "SLUICE_SOCKETS: is no list of descriptors; it is set by a process for the one that "
                                 "takes over from it, and by nobody else");
        else
            status = add_handed(sockets, "SLUICE_SOCKETS", (int)fd, failure);
        list = *end == ',' ? end + 1 : end;
    }
    unsetenv("SLUICE_SOCKETS");
    return status;
}

enum status sockets_create(struct sockets **out, struct failure *failure)
{
    struct sockets *sockets = calloc(1, sizeof(*sockets));
    if (sockets == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    enum status status = read_manager(sockets, failure);
    if (status == STATUS_OK)
        status = read_former(sockets, failure);
    if (status != STATUS_OK) {
        free(sockets);
        return status;
    }
    *out = sockets;
    return STATUS_OK;
}

void sockets_destroy(struct sockets *sockets)
{
    for (size_t i = 0; sockets != NULL && i < sockets->handed_count; i++)
        if (!sockets->handed[i].taken)
            close(sockets->handed[i].fd);
    free(sockets);
}

/* Indexes of those that listen there. */
static size_t find_all(const struct sockets *sockets, const struct config_address *address, size_t found[SOCKETS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; sockets != NULL && i < sockets->handed_count; i++)
        if (same_address(&sockets->handed[i].address, &address->address))
            found[count++] = i;
    return count;
}

bool sockets_shared(const struct sockets *sockets)
{
    return sockets->handed_count != 0 && !sockets->from_manager;
}

bool sockets_has(const struct sockets *sockets, const struct config_address *address)
{
    size_t found[SOCKETS_MAX];
    return find_all(sockets, address, found) != 0;
}

static void remember(struct sockets *sockets, int fd)
{
    if (sockets != NULL && sockets->open_count < SOCKETS_MAX)
        sockets->open[sockets->open_count++] = fd;
}

/* A part of `all`: each is served by one listener at least, and each listener has one at least. */
static enum status take_part(struct sockets *sockets, const struct sockets_order *order, const size_t *all,
                             size_t all_count, int fds[SOCKETS_MAX], size_t *count, struct failure *failure)
{
    unsigned of = order->of != 0 ? order->of : 1;
    *count = 0;
    for (size_t i = order->index; i < all_count; i += of) {
        sockets->handed[all[i]].taken = true;
        fds[(*count)++] = sockets->handed[all[i]].fd;
    }
    if (*count == 0) {
        int fd = fcntl(sockets->handed[all[order->index % all_count]].fd, F_DUPFD_CLOEXEC, FIRST_FD);
        if (fd < 0)
            return failure_set(failure, STATUS_FAILED, "cannot listen on %s: %s", order->address->text,
                               strerror(errno));
        fds[(*count)++] = fd;
    }
    for (size_t i = 0; i < *count; i++)
        remember(sockets, fds[i]);
    return STATUS_OK;
}

enum status sockets_open(struct sockets *sockets, const struct sockets_order *order, int fds[SOCKETS_MAX],
                         size_t *count, struct failure *failure)
{
    size_t all[SOCKETS_MAX];
    size_t all_count = find_all(sockets, order->address, all);
    if (all_count != 0)
        return take_part(sockets, order, all, all_count, fds, count, failure);
    *count = 1;
    enum status status = listener_bind(order->address, order->share, &fds[0], failure);
    if (status == STATUS_OK)
        remember(sockets, fds[0]);
    return status;
}

enum status sockets_check(struct sockets *sockets, struct failure *failure)
{
    for (size_t i = 0; i < sockets->handed_count; i++) {
        struct handed *handed = &sockets->handed[i];
        char text[64];
        if (handed->taken)
            continue;
        address_format((const struct sockaddr *)&handed->address, text);
        unsigned port = ntohs(((const struct sockaddr_in *)&handed->address)->sin_port); /* IPv6 has it there too */
        if (sockets->from_manager)
            return failure_set(failure, STATUS_INVALID,
                               "LISTEN_FDS: a socket was handed over that listens on %s port %u, which is none of "
                               "server.listen, server.admin and server.ingest.listen; make the two say the same",
                               text, port);
        log_event(LOG_INFO, "socket_closed",
                  "%s port %u, where the process before listened, is not configured any more", text, port);
        close(handed->fd);
        handed->taken = true;
    }
    return STATUS_OK;
}

size_t sockets_all(const struct sockets *sockets, int fds[SOCKETS_MAX])
{
    memcpy(fds, sockets->open, sockets->open_count * sizeof(fds[0]));
    return sockets->open_count;
}
