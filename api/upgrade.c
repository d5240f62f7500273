#include "api/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/sockets.h"
#include "base/notify.h"

#define FIRST_FD 3              /* of what is handed over: the sockets, and the pipe behind them */
#define VARIABLE_MAX (64 << 10) /* bytes of one */
#define ADDED 16                /* variables at most */
#define SOCKETS_TEXT (SOCKETS_MAX * 5)

static int ready_fd = -1; /* of the new process */
static pid_t before;      /* who started it; 0: nobody that it takes over from. Whoever loses his parent gets another */

void upgrade_find_program(struct upgrade_program *program, char *const *arguments)
{
    const char *name = arguments[0];
    char folder[2048];
    program->arguments = arguments;
    program->path[0] = '\0';
    if (name[0] == '/')
        snprintf(program->path, sizeof(program->path), "%s", name);
    else if (strchr(name, '/') != NULL && getcwd(folder, sizeof(folder)) != NULL)
        snprintf(program->path, sizeof(program->path), "%s/%s", folder, name);
    if (program->path[0] != '\0')
        return;
    ssize_t size = readlink("/proc/self/exe", program->path, sizeof(program->path) - 1);
    program->path[size > 0 ? size : 0] = '\0';
}

/* The environment that this process had, with what it has wiped. */
struct surroundings {
    char **variables; /* NULL-terminated: those of now, then `added` */
    char *added[ADDED];
    size_t added_count;
};

static void add_variable(struct surroundings *surroundings, const char *name, const char *value)
{
    char *variable = NULL;
    if (name == NULL || value == NULL || surroundings->added_count == ADDED || strlen(value) > VARIABLE_MAX ||
        asprintf(&variable, "%s=%s", name, value) < 0)
        return;
    surroundings->added[surroundings->added_count++] = variable;
}

static void add_secret(struct surroundings *surroundings, const struct config_secret *secret,
                       const struct buffer *value)
{
    if (secret->environment != NULL && value->size != 0 && getenv(secret->environment) == NULL)
        add_variable(surroundings, secret->environment, value->data);
}

static void add_all(struct surroundings *surroundings, const struct server *server, size_t socket_count)
{
    const struct config *config = server->config;
    char list[SOCKETS_TEXT] = "", word[16];
    size_t at = 0;
    for (size_t i = 0; i < socket_count && at < sizeof(list); i++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%zu", i != 0 ? "," : "", FIRST_FD + i);
    snprintf(word, sizeof(word), "%zu", FIRST_FD + socket_count);
    add_variable(surroundings, "SLUICE_SOCKETS", list);
    add_variable(surroundings, "SLUICE_READY", word);
    add_variable(surroundings, "NOTIFY_SOCKET", notify_address());
    add_secret(surroundings, &config->database.password, &server->database_password);
    add_secret(surroundings, &config->database.writer_password, &server->writer_password);
    add_secret(surroundings, &config->customers.login_key, &server->login_key);
    add_secret(surroundings, &config->redis.password, &server->redis_password);
    add_secret(surroundings, &config->paging.cursor_key, &server->cursor_secret);
    add_secret(surroundings, &config->audit.key, &server->audit_secret);
    add_secret(surroundings, &config->uploads.encryption_key, &server->spool_secret);
}

static void forget_surroundings(struct surroundings *surroundings)
{
    for (size_t i = 0; i < surroundings->added_count; i++) {
        explicit_bzero(surroundings->added[i], strlen(surroundings->added[i]));
        free(surroundings->added[i]);
    }
    free(surroundings->variables);
}

static bool make_surroundings(struct surroundings *surroundings, const struct server *server, size_t socket_count)
{
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    *surroundings = (struct surroundings){.variables = calloc(count + ADDED + 1, sizeof(char *))};
    if (surroundings->variables == NULL)
        return false;
    memcpy(surroundings->variables, environ, count * sizeof(char *));
    add_all(surroundings, server, socket_count);
    memcpy(surroundings->variables + count, surroundings->added, surroundings->added_count * sizeof(char *));
    return true;
}

/* Copies of the descriptors above all numbers that the child gets: so none is overwritten before it was moved. */
static int copy_high(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FD + (int)count);
        if (copy < 0) {
            int error = errno;
            while (i != 0)
                close(fds[--i]);
            return error;
        }
        fds[i] = copy;
    }
    return 0;
}

/* `fds`: the sockets and the pipe. What other descriptors there are stay behind. */
static int spawn(const struct upgrade_program *program, char *const *environment, int *fds, size_t count, pid_t *child)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int error = copy_high(fds, count);
    if (error != 0)
        return error;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawn_file_actions_init(&actions);
    for (size_t i = 0; error == 0 && i < count; i++)
        error = posix_spawn_file_actions_adddup2(&actions, fds[i], FIRST_FD + (int)i);
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, FIRST_FD + (int)count);
    if (error == 0)
        error = posix_spawn(child, program->path, &actions, &attributes, program->arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    return error;
}

enum status upgrade_begin(struct upgrade *upgrade, const struct upgrade_program *program, struct server *server,
                          struct failure *failure)
{
    struct surroundings surroundings;
    int fds[SOCKETS_MAX + 1], word[2];
    size_t count = sockets_all(server->sockets, fds);
    if (pipe2(word, O_CLOEXEC) != 0)
        return failure_set(failure, STATUS_FAILED, "no pipe can be made: %s", strerror(errno));
    fds[count] = word[1];
    int error = make_surroundings(&surroundings, server, count) ? 0 : ENOMEM;
    if (error == 0)
        error = spawn(program, surroundings.variables, fds, count + 1, &upgrade->child);
    forget_surroundings(&surroundings);
    close(word[1]);
    if (error != 0) {
        close(word[0]);
        upgrade->child = 0;
        return failure_set(failure, STATUS_FAILED, "%s could not be started: %s", program->path, strerror(error));
    }
    upgrade->word = word[0];
    return STATUS_OK;
}

bool upgrade_heard(struct upgrade *upgrade, struct failure *failure)
{
    char byte;
    int how = 0;
    ssize_t got;
    do
        got = read(upgrade->word, &byte, 1);
    while (got < 0 && errno == EINTR);
    close(upgrade->word);
    upgrade->word = -1;
    if (got == 1)
        return true;
    /* It closed the pipe without the word: it has ended, or is about to. */
    kill(upgrade->child, SIGKILL);
    while (waitpid(upgrade->child, &how, 0) < 0 && errno == EINTR)
        ;
    upgrade->child = 0;
    if (WIFEXITED(how))
        (void)failure_set(failure, STATUS_FAILED,
                          "the new process ended with %d, before it served; what it wrote says why", WEXITSTATUS(how));
    else
        (void)failure_set(failure, STATUS_FAILED, "the new process ended by signal %d, before it served",
                          WTERMSIG(how));
    return false;
}

void upgrade_give_up(struct upgrade *upgrade)
{
    if (upgrade->child == 0 || upgrade->word < 0)
        return;
    kill(upgrade->child, SIGTERM);
    close(upgrade->word);
    upgrade->word = -1;
}

void upgrade_open(void)
{
    const char *named = getenv("SLUICE_READY");
    struct stat about;
    int fd = named != NULL ? atoi(named) : -1;
    unsetenv("SLUICE_READY");
    if (fd < FIRST_FD || fstat(fd, &about) != 0 || !S_ISFIFO(about.st_mode) || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return;
    ready_fd = fd;
    before = getppid();
}

bool upgrade_before_lives(void)
{
    return before != 0 && getppid() == before;
}

/* Who started this process may have been killed meanwhile: then nobody needs the word. */
void upgrade_serving(void)
{
    if (ready_fd >= 0)
        (void)!write(ready_fd, "1", 1);
    upgrade_close();
}

void upgrade_close(void)
{
    if (ready_fd >= 0)
        close(ready_fd);
    ready_fd = -1;
}
