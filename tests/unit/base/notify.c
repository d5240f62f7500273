/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/notify.h"

/* A manager's socket; `name` as NOTIFY_SOCKET has it. */
static int listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(name);
    memcpy(address.sun_path, name, size);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static const char *heard(int fd)
{
    static char words[256];
    ssize_t size = recv(fd, words, sizeof(words) - 1, 0);
    words[size > 0 ? size : 0] = '\0';
    return words;
}

static void each_state_is_told(void **state)
{
    char name[64];
    snprintf(name, sizeof(name), "@sluice-notify-%d", (int)getpid());
    int fd = listen_at(name);
    notify_open();
    assert_null(getenv("NOTIFY_SOCKET"));
    notify_ready();
    assert_non_null(strstr(heard(fd), "READY=1\n"));
    uint64_t before = (uint64_t)clock_monotonic_us();
    notify_reloading();
    const char *words = heard(fd), *at = strstr(words, "MONOTONIC_USEC=");
    assert_true(strncmp(words, "RELOADING=1\n", 12) == 0 && at != NULL);
    uint64_t told = strtoull(at + 15, NULL, 10);
    assert_true(told >= before && told <= (uint64_t)clock_monotonic_us());
    notify_stopping();
    assert_non_null(strstr(heard(fd), "STOPPING=1\n"));
    notify_close();
    notify_ready();
    assert_string_equal(heard(fd), "");
    close(fd);
}

static void a_path_is_reached_too(void **state)
{
    char folder[] = "/tmp/sluice-notify-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    int fd = listen_at(path);
    notify_open();
    notify_ready();
    assert_non_null(strstr(heard(fd), "READY=1"));
    close(fd);
    notify_stopping(); /* the manager has gone: nothing happens */
    notify_close();
    unlink(path);
    rmdir(folder);
}

static void without_a_manager_nothing_is_told(void **state)
{
    static const char *const wrong[] = {"", "@", "relative/path", "/nonexistent/socket",
                                        ("/a/path/that/is/longer/than/the/hundred/and/eight/bytes/that/an/address/"
                                         "of/a/unix/socket/may/have/at/most")};
    unsetenv("NOTIFY_SOCKET");
    notify_open();
    notify_ready();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        setenv("NOTIFY_SOCKET", wrong[i], 1);
        notify_open();
        assert_null(getenv("NOTIFY_SOCKET"));
        notify_ready();
        notify_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_is_told),
        cmocka_unit_test(a_path_is_reached_too),
        cmocka_unit_test(without_a_manager_nothing_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
