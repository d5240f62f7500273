/* A temporary folder with key files, a loop, and a small HTTP server for key sets. */
#ifndef TESTS_UNIT_AUTH_WORKSPACE_H
#define TESTS_UNIT_AUTH_WORKSPACE_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "drivers/loop.h"

#include "forge.h"

static struct {
    char folder[64];
    char paths[32][128]; /* of the files made */
    size_t path_count;
} workspace;

static inline void workspace_open(void)
{
    strcpy(workspace.folder, "/tmp/sluice-auth-XXXXXX");
    workspace.path_count = 0;
    assert_non_null(mkdtemp(workspace.folder));
}

/* The path, which lives as long as the workspace. A second writing of the same name replaces the content. */
static inline const char *workspace_write(const char *name, struct text content, mode_t mode)
{
    char path[128];
    size_t i = 0;
    snprintf(path, sizeof(path), "%s/%s", workspace.folder, name);
    while (i < workspace.path_count && strcmp(workspace.paths[i], path) != 0)
        i++;
    assert_true(i < 32);
    strcpy(workspace.paths[i], path);
    workspace.path_count += i == workspace.path_count;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0 && fchmod(fd, mode) == 0);
    assert_int_equal(write(fd, content.data, content.size), content.size);
    close(fd);
    return workspace.paths[i];
}

static inline void workspace_close(void)
{
    for (size_t i = 0; i < workspace.path_count; i++)
        unlink(workspace.paths[i]);
    rmdir(workspace.folder);
}

/* Two loops for the life of the process: h2o's can't be destroyed without a leak. */
static struct loop *loop, *worker_loop;

static inline void workspace_loops(void)
{
    if (loop == NULL) {
        loop = loop_create();
        worker_loop = loop_create();
        assert_true(loop != NULL && worker_loop != NULL);
    }
}

/* Delivers what is still on its way: call before what it is for ends. */
static inline void workspace_drain(void)
{
    for (int i = 0; i < 3; i++) {
        loop_turn(loop, 0);
        loop_turn(worker_loop, 0);
    }
}

/* Turns the loop until the condition holds; fails after thirty seconds. */
#define loop_until(loop, condition)                                                                                    \
    do {                                                                                                               \
        uint64_t give_up_us = clock_monotonic_us() + 30000000;                                                         \
        while (!(condition)) {                                                                                         \
            if (clock_monotonic_us() > give_up_us)                                                                     \
                fail_msg("waited in vain for %s", #condition);                                                         \
            loop_turn((loop), 20);                                                                                     \
        }                                                                                                              \
    } while (0)

/* Answers each GET with `body` as it is then. */
static struct {
    int listener, port;
    pthread_t thread;
    pthread_mutex_t lock;
    char body[8192];
    int status;
    bool silent; /* takes requests and never answers */
    atomic_int requests;
    int held[16]; /* connections left unanswered */
    size_t held_count;
    char url[64];
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void server_serve(int client)
{
    char request[4096], head[128];
    ssize_t ignored = read(client, request, sizeof(request));
    pthread_mutex_lock(&server.lock);
    bool silent = server.silent && server.held_count < 16;
    if (silent)
        server.held[server.held_count++] = client;
    else {
        int size = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                            server.status, strlen(server.body));
        ignored += write(client, head, (size_t)size);
        ignored += write(client, server.body, strlen(server.body));
    }
    pthread_mutex_unlock(&server.lock);
    (void)ignored;
    atomic_fetch_add(&server.requests, 1);
    if (!silent)
        close(client);
}

static inline void *server_run(void *unused)
{
    (void)unused;
    for (int client; (client = accept(server.listener, NULL, NULL)) >= 0;)
        server_serve(client);
    return NULL;
}

static inline void server_answer(int status, const char *body, bool silent)
{
    pthread_mutex_lock(&server.lock);
    assert_true(strlen(body) < sizeof(server.body));
    strcpy(server.body, body);
    server.status = status;
    server.silent = silent;
    pthread_mutex_unlock(&server.lock);
}

static inline void server_start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server.listener, 16), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&address, &size), 0);
    server.port = ntohs(address.sin_port);
    snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%d/jwks.json", server.port);
    atomic_store(&server.requests, 0);
    server.held_count = 0;
    assert_int_equal(pthread_create(&server.thread, NULL, server_run, NULL), 0);
}

static inline void server_stop(void)
{
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    for (size_t i = 0; i < server.held_count; i++)
        close(server.held[i]);
}

#endif
