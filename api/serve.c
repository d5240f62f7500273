#include "api/serve.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api/reload.h"
#include "api/sockets.h"
#include "api/upgrade.h"
#include "base/notify.h"

/* Signals wait for the main thread, which reads them from the descriptor. */
static int block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR2);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that reaches a limit of its size is an error like a full disk, not the end */
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

/* A result or an answer takes some 100 KB and is gone a moment later. By itself the allocator would give that back to
 * the kernel each time and get it again page by page, which cost a tenth of a page of 1,000 rows. So up to 2 MB an
 * arena are kept, and of more only what is above 1 MB goes: memory is flat, not a saw. A block of more than 1 MB always
 * goes back. Workers have an arena each; the other threads, mostly asleep, share a few, for each arena keeps its own.
 */
static void keep_freed_memory(unsigned workers)
{
    mallopt(M_TRIM_THRESHOLD, 2 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_ARENA_MAX, (int)workers + 3);
}

static bool no_signal_yet(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && !sigismember(&pending, SIGTERM) && !sigismember(&pending, SIGINT);
}

/* Secrets are in memory: no core file, no ptrace by the same user, and /proc/PID/ is root's. */
static void forbid_dumps(void)
{
    const struct rlimit none = {0, 0};
    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &none); /* where core_pattern is a pipe this does not count, but the former does */
}

struct process {
    struct server *server;
    int signals; /* descriptor */
    struct upgrade_program program;
    struct upgrade upgrade;
};

static void reload(struct process *process)
{
    notify_reloading();
    reload_config(process->server);
    notify_ready();
}

static void begin_upgrade(struct process *process)
{
    struct failure failure = {0};
    if (process->upgrade.child != 0) {
        log_event(LOG_WARNING, "upgrade_refused", "SIGUSR2: a new process is starting already");
        return;
    }
    if (upgrade_begin(&process->upgrade, &process->program, process->server, &failure) == STATUS_OK)
        log_event(LOG_INFO, "upgrade_begun", "%s was started as process %d; this one serves until that one does",
                  process->program.path, (int)process->upgrade.child);
    else
        log_event(LOG_ERROR, "upgrade_failed", "%s; this process goes on", failure.message);
}

/* False: it is time to go. */
static bool on_signal(struct process *process)
{
    struct signalfd_siginfo info;
    if (read(process->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return true;
    if (info.ssi_signo == SIGHUP) {
        reload(process);
    } else if (info.ssi_signo == SIGUSR2) {
        begin_upgrade(process);
    } else {
        upgrade_give_up(&process->upgrade);
        log_event(LOG_INFO, "draining", "signal %u: finishing what is in flight", info.ssi_signo);
        notify_stopping();
        return false;
    }
    return true;
}

/* False: the new process serves. */
static bool on_word(struct process *process)
{
    struct failure failure = {0};
    if (!upgrade_heard(&process->upgrade, &failure)) {
        log_event(LOG_ERROR, "upgrade_failed", "%s; this process goes on", failure.message);
        return true;
    }
    notify_main_process(process->upgrade.child);
    log_event(LOG_INFO, "handed_over", "process %d serves: finishing what is in flight", (int)process->upgrade.child);
    server_hand_over(process->server);
    return false;
}

static void wait_for_the_end(struct process *process)
{
    for (bool goes_on = true; goes_on;) {
        struct pollfd polled[] = {{process->signals, POLLIN, 0}, {process->upgrade.word, POLLIN, 0}};
        if (poll(polled, 2, -1) <= 0)
            continue;
        if (polled[0].revents != 0)
            goes_on = on_signal(process);
        if (goes_on && polled[1].revents != 0)
            goes_on = on_word(process);
    }
}

static enum status run(struct process *process, const struct config *config, struct failure *failure)
{
    enum status status = server_start(process->server, failure);
    if (status == STATUS_OK) {
        log_event(LOG_INFO, "started", "sluice " SLUICE_VERSION " serves on %s with %u workers, admin on %s",
                  config->server.listen.text, config->server.workers, config->server.admin.text);
        upgrade_serving();
        notify_ready();
        wait_for_the_end(process);
    }
    server_drain(process->server);
    server_destroy(process->server);
    return status;
}

int serve_run(const struct config *config, char *const *arguments, const struct handler *const *handlers,
              size_t handler_count)
{
    static struct process process = {.upgrade = {.word = -1}}; /* static: its path is long */
    struct sockets *sockets = NULL;
    struct failure failure = {0};
    if (!config->server.core_dumps)
        forbid_dumps();
    upgrade_find_program(&process.program, arguments);
    process.signals = block_signals();
    notify_open();
    upgrade_open();
    keep_freed_memory(config->server.workers);
    log_start(STDERR_FILENO, config->log.level);
    enum status status = process.signals >= 0
                             ? sockets_create(&sockets, &failure)
                             : failure_set(&failure, STATUS_FAILED, "no descriptor for signals: %s", strerror(errno));
    if (status == STATUS_OK)
        status = server_create(config, sockets, handlers, handler_count, no_signal_yet, &process.server, &failure);
    if (status == STATUS_OK)
        status = run(&process, config, &failure);
    sockets_destroy(sockets);
    notify_close();
    log_stop();
    close(process.signals);
    if (status == STATUS_UNAVAILABLE && !no_signal_yet())
        return EXIT_SUCCESS; /* told to stop while it waited for its database */
    if (status != STATUS_OK)
        fprintf(stderr, "sluice serve: %s\n", failure.message);
    upgrade_close();
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
