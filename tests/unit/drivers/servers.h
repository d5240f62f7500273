/* Private servers on free loopback ports in temp folders, stopped by pid. They die with the test's process too. */
#ifndef TESTS_UNIT_DRIVERS_SERVERS_H
#define TESTS_UNIT_DRIVERS_SERVERS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "tests/unit/drivers/free_port.h"

#define SERVER_SKIP 77 /* CTest's SKIP_RETURN_CODE */
#define SERVER_POSTGRES_FOLDER "/usr/lib/postgresql/15/bin"
#define SERVER_REDIS "/usr/bin/redis-server"
#define SERVER_WAIT_US 30000000 /* to start or to end */

struct server {
    char folder[64];
    uint16_t port;
    pid_t pid; /* 0: not running */
};

static inline _Noreturn void server_die(const char *what)
{
    fprintf(stderr, "servers.h: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* -1: nobody listens. */
static inline int server_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static inline bool server_listens(uint16_t port)
{
    int fd = server_connect(port);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* A child that runs `arguments`; as user `user` where that is given and we are root. `end` ends it with its parent. */
static inline pid_t server_spawn(const char *user, int end, const char *log, char *const arguments[])
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid > 0 ? pid : (server_die("fork"), 0);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        _exit(126);
    const struct passwd *who = user != NULL && getuid() == 0 ? getpwnam(user) : NULL;
    if (who != NULL && (initgroups(who->pw_name, who->pw_gid) != 0 || setgid(who->pw_gid) != 0 ||
                        setuid(who->pw_uid) != 0 || chdir("/") != 0))
        _exit(126);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, end); /* after setuid, which forgets it */
    if (getppid() != parent)
        _exit(126);
    execv(arguments[0], arguments);
    _exit(127);
}

/* True when it ended with code 0. */
static inline bool server_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline void server_await(struct server *server, bool (*there)(uint16_t port))
{
    uint64_t end = clock_monotonic_us() + SERVER_WAIT_US;
    while (!there(server->port)) {
        if (waitpid(server->pid, NULL, WNOHANG) != 0 || clock_monotonic_us() > end)
            server_die("a server did not start; see its log in the temp folder");
        usleep(2000);
    }
}

static inline void server_await_port(struct server *server)
{
    server_await(server, server_listens);
}

static inline void server_kill(struct server *server, int signal_number)
{
    if (server->pid == 0)
        return;
    kill(server->pid, signal_number);
    (void)server_wait(server->pid);
    server->pid = 0;
}

static inline void server_make_folder(struct server *server, const char *user)
{
    snprintf(server->folder, sizeof(server->folder), "/tmp/sluice-drivers-XXXXXX");
    if (mkdtemp(server->folder) == NULL)
        server_die("mkdtemp");
    const struct passwd *who = user != NULL && getuid() == 0 ? getpwnam(user) : NULL;
    if (who != NULL && chown(server->folder, who->pw_uid, who->pw_gid) != 0)
        server_die("chown");
}

static inline void server_remove_folder(struct server *server)
{
    char *arguments[] = {"/bin/rm", "-rf", "--", server->folder, NULL};
    if (strncmp(server->folder, "/tmp/sluice-drivers-", 20) == 0)
        (void)server_wait(server_spawn(NULL, SIGKILL, "/dev/null", arguments));
}

/* Redis. */

static inline void redis_server_run(struct server *server, const char *password)
{
    char port[8], log[96];
    snprintf(port, sizeof(port), "%u", server->port);
    snprintf(log, sizeof(log), "%s/log", server->folder);
    char *arguments[] = {SERVER_REDIS,
                         "--port",
                         port,
                         "--bind",
                         "127.0.0.1",
                         "--save",
                         "",
                         "--dir",
                         server->folder,
                         "--databases",
                         "4",
                         password != NULL ? "--requirepass" : NULL,
                         (char *)(uintptr_t)password,
                         NULL};
    server->pid = server_spawn(NULL, SIGKILL, log, arguments);
    server_await_port(server);
}

static inline void redis_server_start(struct server *server, const char *password)
{
    if (access(SERVER_REDIS, X_OK) != 0)
        exit(SERVER_SKIP);
    server_make_folder(server, NULL);
    server->port = free_port();
    redis_server_run(server, password);
}

static inline void redis_server_stop(struct server *server)
{
    server_kill(server, SIGKILL);
    server_remove_folder(server);
}

/* PostgreSQL: a superuser "postgres" without password; whoever is called "with_password" must give one. */

/* It listens before it is ready, and then refuses whoever comes: "postgres" must be let in. */
static inline bool postgres_server_answers(uint16_t port)
{
    static const char startup[] = "\0\0\0\x17\0\3\0\0user\0postgres\0"; /* its own NUL is the last of 23 bytes */
    struct timeval patience = {5, 0};
    char first = 0;
    int fd = server_connect(port);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    bool answers = send(fd, startup, sizeof(startup), MSG_NOSIGNAL) == (ssize_t)sizeof(startup) &&
                   recv(fd, &first, 1, 0) == 1 && first == 'R';
    close(fd);
    return answers;
}

static inline void postgres_server_run(struct server *server)
{
    char port[8], data[96], log[96];
    snprintf(port, sizeof(port), "%u", server->port);
    snprintf(data, sizeof(data), "%s/data", server->folder);
    snprintf(log, sizeof(log), "%s/log", server->folder);
    char *arguments[] = {SERVER_POSTGRES_FOLDER "/postgres",
                         "-D",
                         data,
                         "-p",
                         port,
                         "-k",
                         server->folder,
                         "-c",
                         "listen_addresses=127.0.0.1",
                         "-c",
                         "fsync=off",
                         "-c",
                         "shared_buffers=16MB",
                         "-c",
                         "max_connections=40",
                         "-c",
                         "autovacuum=off",
                         "-c",
                         "jit=off", /* nothing interrupts a compiler */
                         NULL};
    server->pid = server_spawn("postgres", SIGQUIT, log, arguments);
    server_await(server, postgres_server_answers);
}

static inline void postgres_server_allow(const struct server *server)
{
    static const char rules[] = "local all all trust\n"
                                "host all with_password 127.0.0.1/32 scram-sha-256\n"
                                "host all all 127.0.0.1/32 trust\n";
    char path[96];
    snprintf(path, sizeof(path), "%s/data/pg_hba.conf", server->folder);
    int fd = open(path, O_WRONLY | O_TRUNC);
    if (fd < 0 || write(fd, rules, sizeof(rules) - 1) != (ssize_t)sizeof(rules) - 1)
        server_die("pg_hba.conf");
    close(fd);
}

static inline void postgres_server_start(struct server *server)
{
    char data[96], log[96];
    if (access(SERVER_POSTGRES_FOLDER "/postgres", X_OK) != 0)
        exit(SERVER_SKIP);
    server_make_folder(server, "postgres");
    snprintf(data, sizeof(data), "%s/data", server->folder);
    snprintf(log, sizeof(log), "%s/log", server->folder);
    char *arguments[] = {SERVER_POSTGRES_FOLDER "/initdb",
                         "-D",
                         data,
                         "-U",
                         "postgres",
                         "-A",
                         "trust",
                         "-N",
                         "-E",
                         "UTF8",
                         "--locale=C.UTF-8",
                         NULL};
    if (!server_wait(server_spawn("postgres", SIGKILL, log, arguments)))
        server_die("initdb failed");
    postgres_server_allow(server);
    server->port = free_port();
    postgres_server_run(server);
}

static inline void postgres_server_stop(struct server *server)
{
    server_kill(server, SIGQUIT);
    server_remove_folder(server);
}

#endif
