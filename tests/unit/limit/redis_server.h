/* A private redis-server on a unix socket in a temporary folder (nothing to collide on), and a client to look into it.
 * It dies with the test. */
#ifndef TESTS_UNIT_LIMIT_REDIS_SERVER_H
#define TESTS_UNIT_LIMIT_REDIS_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "drivers/redis.h"

static struct {
    char folder[64], socket[96], address[104];
    pid_t pid; /* 0: not running */
} redis_server;

static struct loop *loop; /* one for the life of the process: h2o's can't be destroyed without a leak */

/* Turns the loop until `condition` holds; the test fails after ten seconds. */
#define loop_until(condition)                                                                                          \
    do {                                                                                                               \
        uint64_t until_end = clock_monotonic_us() + 10000000;                                                          \
        while (!(condition)) {                                                                                         \
            if (clock_monotonic_us() > until_end)                                                                      \
                fail_msg("line %d: not within ten seconds: %s", __LINE__, #condition);                                 \
            loop_turn(loop, 5);                                                                                        \
        }                                                                                                              \
    } while (0)

/* Lets `ms` of real time go by while the loop runs: for what must not happen, or happens by the clock. */
static inline void loop_for(uint64_t ms)
{
    uint64_t end = clock_monotonic_us() + ms * 1000;
    do
        loop_turn(loop, 1);
    while (clock_monotonic_us() < end);
}

static inline void redis_server_wait(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, redis_server.socket);
    for (int i = 0; i < 2000; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool there = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
        close(fd);
        if (there)
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("redis-server did not open %s", redis_server.socket);
}

/* Starts it with an empty memory; also after redis_server_kill, at the same address. */
static inline void redis_server_start(void)
{
    if (redis_server.folder[0] == '\0') {
        strcpy(redis_server.folder, "/tmp/sluice-redis-XXXXXX");
        assert_non_null(mkdtemp(redis_server.folder));
        snprintf(redis_server.socket, sizeof(redis_server.socket), "%s/s", redis_server.folder);
        snprintf(redis_server.address, sizeof(redis_server.address), "unix:%s", redis_server.socket);
    }
    redis_server.pid = fork();
    assert_true(redis_server.pid >= 0);
    if (redis_server.pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0), dup2(null, 1), dup2(null, 2);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/usr/bin/redis-server", "redis-server", "--port", "0", "--unixsocket", redis_server.socket, "--save", "",
              "--appendonly", "no", "--dir", redis_server.folder, (char *)NULL);
        _exit(127);
    }
    redis_server_wait();
}

static inline void redis_server_kill(void)
{
    if (redis_server.pid == 0)
        return;
    kill(redis_server.pid, SIGKILL);
    waitpid(redis_server.pid, NULL, 0);
    redis_server.pid = 0;
}

static inline void redis_server_stop(void)
{
    redis_server_kill();
    unlink(redis_server.socket);
    rmdir(redis_server.folder);
}

/* For a group of tests. */
static inline int redis_server_set_up(void **state)
{
    loop = loop_create();
    redis_server_start();
    return 0;
}

static inline int redis_server_tear_down(void **state)
{
    redis_server_stop();
    return 0;
}

/* Milliseconds, where a time-out is not what is tested: neither side's standing still is taken for Redis' absence. */
#define REDIS_PATIENCE 9000

/* A connection that is up, unless the server is not running. */
static inline struct redis *redis_connect(uint32_t timeout_ms)
{
    struct redis_options options = {.address = redis_server.address, .timeout_ms = timeout_ms, .queue = 4096};
    struct redis *redis = NULL;
    struct failure failure;
    assert_int_equal(redis_create(loop, &options, &redis, &failure), STATUS_OK);
    if (redis_server.pid != 0)
        loop_until(redis_is_up(redis));
    return redis;
}

struct redis_asked {
    bool answered;
    int64_t integer;
    char text[512];
};

static inline void on_redis_asked(void *context, const struct redis_reply *reply)
{
    struct redis_asked *asked = context;
    asked->answered = true;
    if (reply == NULL)
        return;
    asked->integer = reply->integer;
    if (reply->type == REDIS_ERROR)
        fail_msg("redis: %.*s", TEXT_ARGS(reply->text));
    if (reply->text.data != NULL)
        snprintf(asked->text, sizeof(asked->text), "%.*s", TEXT_ARGS(reply->text));
}

/* Runs a Lua script over the whole of Redis and waits: its answer is an integer or a text. */
static inline struct redis_asked redis_ask(struct redis *redis, const char *script)
{
    struct text arguments[] = {TEXT("EVAL"), text_from_string(script), TEXT("0")};
    struct redis_asked asked = {false, 0, ""};
    assert_int_equal(redis_send(redis, 3, arguments, on_redis_asked, &asked), STATUS_OK);
    loop_until(asked.answered);
    return asked;
}

#define REDIS_COUNT_KEYS "return #redis.call('KEYS','*')"
/* The names of keys that live for ever or lack the prefix "test:". */
#define REDIS_BAD_KEYS                                                                                                 \
    "local bad='' for _,k in ipairs(redis.call('KEYS','*')) do "                                                       \
    "if redis.call('PTTL',k)<0 or string.sub(k,1,5)~='test:' then bad=bad..k..' ' end end return bad"

#endif
