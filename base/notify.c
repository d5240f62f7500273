#include "base/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

static int notify_fd = -1;
static char notify_path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "": none */

void notify_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    size_t size = path != NULL ? strlen(path) : 0;
    /* A path, or the name of an abstract socket behind an "@". */
    if (size < 2 || size >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@')) {
        unsetenv("NOTIFY_SOCKET");
        return;
    }
    memcpy(address.sun_path, path, size + 1);
    memcpy(notify_path, path, size + 1);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    unsetenv("NOTIFY_SOCKET");
    notify_close();
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    if (notify_fd >= 0 && connect(notify_fd, (const struct sockaddr *)&address, length) != 0)
        notify_close();
}

/* A manager that is not there any more is no reason to stop. */
static void tell(const char *state)
{
    if (notify_fd >= 0)
        (void)send(notify_fd, state, strlen(state), MSG_NOSIGNAL);
}

void notify_ready(void)
{
    tell("READY=1\nSTATUS=serving");
}

void notify_reloading(void)
{
    char state[96];
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
             (uint64_t)clock_monotonic_us());
    tell(state);
}

void notify_stopping(void)
{
    tell("STOPPING=1\nSTATUS=finishing what is in flight");
}

void notify_main_process(int pid)
{
    char state[32];
    snprintf(state, sizeof(state), "MAINPID=%d", pid);
    tell(state);
}

const char *notify_address(void)
{
    return notify_fd >= 0 ? notify_path : NULL;
}

void notify_close(void)
{
    if (notify_fd >= 0)
        close(notify_fd);
    notify_fd = -1;
}
