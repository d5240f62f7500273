/* How a session waits: for its socket, for a word to end, and for what is asked of the server then. */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "drivers/postgres_session_private.h"

#define GIVE_UP_US 2000000 /* a server that was told to cancel answers within this, or is taken for dead */
#define LOOK_MS 50         /* between two looks at told_to_end */

static enum status tell_interrupted(struct failure *failure)
{
    return failure_set(failure, STATUS_UNAVAILABLE, "the call to the database was told to end");
}

enum status session_enter(struct postgres_session *session, struct failure *failure)
{
    session->error = (struct postgres_session_error){0};
    if (atomic_load(&session->interrupted))
        return tell_interrupted(failure);
    if (session->lost)
        return failure_set(failure, STATUS_UNAVAILABLE, "the connection to the database was lost before");
    return STATUS_OK;
}

void postgres_session_interrupt(struct postgres_session *session)
{
    uint64_t one = 1;
    atomic_store(&session->interrupted, true);
    ssize_t ignored = write(session->wake_fd, &one, sizeof(one));
    (void)ignored;
}

void postgres_session_watch(struct postgres_session *session, bool (*told_to_end)(void *context), void *context)
{
    session->told_to_end = told_to_end;
    session->told_context = context;
}

/* PQcancel waits for the server's listener without limit, and the session does not wait for that. */
static void *cancel_main(void *context)
{
    char reason[256];
    int ignored = PQcancel(context, reason, sizeof(reason));
    (void)ignored;
    PQfreeCancel(context);
    return NULL;
}

void session_cancel(struct postgres_session *session)
{
    pthread_t thread;
    if (session->cancelling)
        return;
    session->cancelling = true;
    session->give_up_us = clock_monotonic_us() + GIVE_UP_US;
    PGcancel *cancel = PQgetCancel(session->pg);
    if (cancel == NULL)
        return;
    if (pthread_create(&thread, NULL, cancel_main, cancel) == 0)
        pthread_detach(thread);
    else
        PQfreeCancel(cancel);
}

/* Milliseconds that a poll may take; -1: any time. */
static int longest_wait(const struct postgres_session *session)
{
    if (session->cancelling) {
        uint64_t now = clock_monotonic_us();
        return now >= session->give_up_us ? 0 : (int)((session->give_up_us - now) / 1000) + 1;
    }
    return session->told_to_end != NULL ? LOOK_MS : -1;
}

bool session_wait(struct postgres_session *session, short events, short *ready)
{
    *ready = 0;
    for (;;) {
        bool interrupted = atomic_load(&session->interrupted);
        if (!interrupted && session->told_to_end != NULL && session->told_to_end(session->told_context)) {
            atomic_store(&session->interrupted, true);
            interrupted = true;
        }
        if (interrupted)
            session_cancel(session);
        if (session->cancelling && clock_monotonic_us() >= session->give_up_us)
            return false;
        /* The word to end needs to be heard once. */
        struct pollfd fds[] = {{.fd = PQsocket(session->pg), .events = events},
                               {.fd = session->cancelling ? -1 : session->wake_fd, .events = POLLIN}};
        int count = poll(fds, 2, longest_wait(session));
        if (count > 0 && fds[0].revents != 0) {
            *ready = (fds[0].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 ? events : fds[0].revents;
            return true;
        }
    }
}

enum status session_lose(struct postgres_session *session, struct failure *failure)
{
    session->lost = true;
    session->copying = false;
    if (atomic_load(&session->interrupted))
        return tell_interrupted(failure);
    char reason[256];
    snprintf(reason, sizeof(reason), "%s", PQerrorMessage(session->pg));
    reason[strcspn(reason, "\n")] = '\0';
    return failure_set(failure, STATUS_UNAVAILABLE, "the connection to the database was lost: %s",
                       reason[0] != '\0' ? reason : "no answer");
}

enum status session_flush(struct postgres_session *session, struct failure *failure)
{
    for (;;) {
        short ready;
        int left = PQflush(session->pg);
        if (left == 0)
            return STATUS_OK;
        if (left < 0 || !session_wait(session, POLLIN | POLLOUT, &ready))
            return session_lose(session, failure);
        if ((ready & POLLIN) != 0 && PQconsumeInput(session->pg) != 1)
            return session_lose(session, failure);
    }
}

enum status session_result(struct postgres_session *session, PGresult **result, struct failure *failure)
{
    *result = NULL;
    while (PQisBusy(session->pg)) {
        short ready;
        if (!session_wait(session, POLLIN, &ready))
            return session_lose(session, failure);
        /* An end that comes with the server's last words is told by the result. */
        if (PQconsumeInput(session->pg) != 1 && PQisBusy(session->pg))
            return session_lose(session, failure);
    }
    *result = PQgetResult(session->pg);
    return STATUS_OK;
}

enum status session_end_copy(struct postgres_session *session, int kind, struct failure *failure)
{
    if (kind == PGRES_COPY_IN)
        return PQputCopyEnd(session->pg, "nothing is copied here") >= 0 ? session_flush(session, failure)
                                                                        : session_lose(session, failure);
    char *data = NULL;
    int size;
    short ready;
    while ((size = PQgetCopyData(session->pg, &data, 1)) >= 0) {
        if (size > 0)
            PQfreemem(data);
        else if (!session_wait(session, POLLIN, &ready) || PQconsumeInput(session->pg) != 1)
            return session_lose(session, failure);
    }
    return STATUS_OK;
}

enum status session_drain(struct postgres_session *session, struct failure *failure)
{
    for (;;) {
        PGresult *result;
        enum status status = session_result(session, &result, failure);
        if (status != STATUS_OK || result == NULL)
            return status;
        ExecStatusType kind = PQresultStatus(result);
        PQclear(result);
        if (kind == PGRES_COPY_IN || kind == PGRES_COPY_OUT)
            status = session_end_copy(session, kind, failure);
        if (status != STATUS_OK)
            return status;
    }
}
