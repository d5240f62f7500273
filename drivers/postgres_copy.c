/* COPY … FROM STDIN of a blocking session. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "drivers/postgres_session_private.h"

#define PIECE ((size_t)64 << 10) /* bytes that libpq holds of ours, about */

enum status postgres_session_copy_begin(struct postgres_session *session, const char *sql, struct failure *failure)
{
    PGresult *result = NULL;
    enum status status = session_enter(session, failure);
    if (status != STATUS_OK)
        return status;
    if (PQsendQuery(session->pg, sql) != 1)
        return session_lose(session, failure);
    status = session_flush(session, failure);
    if (status == STATUS_OK)
        status = session_result(session, &result, failure);
    if (status != STATUS_OK)
        return status;
    if (PQresultStatus(result) == PGRES_COPY_IN) {
        session->copying = true;
        PQclear(result);
        return STATUS_OK;
    }
    status = PQresultStatus(result) == PGRES_FATAL_ERROR
                 ? session_fail(session, result, failure)
                 : failure_set(failure, STATUS_FAILED, "the statement is no COPY from stdin");
    PQclear(result);
    enum status drained = session_drain(session, NULL);
    return drained == STATUS_OK ? status : session_lose(session, failure);
}

/* What came from the server and was not read, without reading it. libpq itself takes no notice of an error before the
 * copy's end: it would be sent to the last byte for nothing. */
static size_t peek(struct postgres_session *session, unsigned char *bytes, size_t size)
{
    ssize_t count;
    if (PQsslInUse(session->pg)) {
        SSL *ssl = PQsslStruct(session->pg, "OpenSSL");
        count = ssl != NULL ? SSL_peek(ssl, bytes, (int)size) : 0;
        ERR_clear_error();
    } else {
        count = recv(PQsocket(session->pg), bytes, size, MSG_PEEK | MSG_DONTWAIT);
    }
    return count > 0 ? (size_t)count : 0;
}

/* An ErrorResponse: its kind, four bytes of size, and then fields, of which the first are the severity and the severity
 * in English. Where libpq has read a part of a notice, these bytes begin within one, so that one byte proves nothing.
 */
static bool is_error(const unsigned char *bytes, size_t size)
{
    static const char *const severities[] = {"VERROR", "VFATAL", "VPANIC"};
    if (size < 6 || bytes[0] != 'E' || bytes[5] != 'S')
        return false;
    const unsigned char *end = memchr(bytes + 6, '\0', size - 6);
    size_t left = end != NULL ? size - (size_t)(end + 1 - bytes) : 0;
    for (size_t i = 0; i < sizeof(severities) / sizeof(severities[0]); i++)
        if (left > strlen(severities[i]) && memcmp(end + 1, severities[i], strlen(severities[i]) + 1) == 0)
            return true;
    return false;
}

/* The messages (a byte of kind, four of size) up to an error, if there is one. */
static bool has_error(const unsigned char *bytes, size_t size)
{
    while (size >= 5) {
        if (is_error(bytes, size))
            return true;
        uint32_t length = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 | bytes[4];
        if (length < 4 || length > size - 1)
            return false;
        bytes += 1 + (size_t)length;
        size -= 1 + (size_t)length;
    }
    return false;
}

/* Has the server said no? Anything else that it says is libpq's. */
static bool is_refused(struct postgres_session *session)
{
    unsigned char bytes[4096];
    size_t size = peek(session, bytes, sizeof(bytes));
    if (size == 0)
        return false;
    if (has_error(bytes, size))
        return true;
    int ignored = PQconsumeInput(session->pg); /* a broken connection is met when it is written to */
    (void)ignored;
    return false;
}

/* Ends the copy and reads what became of it. */
static enum status finish(struct postgres_session *session, const char *reason, uint64_t *rows, struct failure *failure)
{
    PGresult *result = NULL;
    int sent;
    session->copying = false;
    while ((sent = PQputCopyEnd(session->pg, reason)) == 0) {
        enum status status = session_flush(session, failure);
        if (status != STATUS_OK)
            return status;
    }
    if (sent < 0)
        return session_lose(session, failure);
    enum status status = session_flush(session, failure);
    if (status == STATUS_OK && PQconsumeInput(session->pg) != 1 && PQisBusy(session->pg)) /* what was peeked at */
        status = session_lose(session, failure);
    if (status == STATUS_OK)
        status = session_result(session, &result, failure);
    if (status != STATUS_OK)
        return status;
    if (PQresultStatus(result) == PGRES_COMMAND_OK)
        *rows = strtoull(PQcmdTuples(result), NULL, 10);
    else
        status = session_fail(session, result, failure);
    PQclear(result);
    enum status drained = session_drain(session, NULL);
    return drained == STATUS_OK || status != STATUS_OK ? status : session_lose(session, failure);
}

/* Waits while the server is slow. */
static enum status flush_piece(struct postgres_session *session, bool *refused, struct failure *failure)
{
    for (;;) {
        *refused = is_refused(session);
        if (*refused)
            return STATUS_OK;
        int left = PQflush(session->pg);
        if (left == 0)
            return STATUS_OK;
        short ready;
        if (left < 0 || !session_wait(session, POLLIN | POLLOUT, &ready))
            return session_lose(session, failure);
    }
}

static enum status put_piece(struct postgres_session *session, struct text piece, struct failure *failure)
{
    bool refused = false;
    uint64_t rows = 0;
    int sent;
    do {
        sent = PQputCopyData(session->pg, piece.data, (int)piece.size);
        enum status status = sent >= 0 ? flush_piece(session, &refused, failure) : session_lose(session, failure);
        if (status != STATUS_OK)
            return status;
        if (refused) {
            status = finish(session, "refused", &rows, failure);
            return status != STATUS_OK ? status
                                       : failure_set(failure, STATUS_FAILED, "the database ended the copy too early");
        }
    } while (sent == 0);
    return STATUS_OK;
}

static enum status enter_copy(struct postgres_session *session, struct failure *failure)
{
    enum status status = session_enter(session, failure);
    if (status == STATUS_OK && !session->copying)
        return failure_set(failure, STATUS_FAILED, "no copy is under way");
    return status;
}

/* The server holds the half copy until it is told: it is given the word, and a moment. */
static enum status interrupt_copy(struct postgres_session *session, struct failure *failure)
{
    if (session->copying && !session->lost)
        postgres_session_copy_abort(session, "interrupted");
    return failure_set(failure, STATUS_UNAVAILABLE, "the copy into the database was told to end");
}

enum status postgres_session_copy_put(struct postgres_session *session, struct text bytes, struct failure *failure)
{
    enum status status = enter_copy(session, failure);
    while (status == STATUS_OK && bytes.size != 0 && !atomic_load(&session->interrupted)) {
        struct text piece = text_of(bytes.data, bytes.size < PIECE ? bytes.size : PIECE);
        status = put_piece(session, piece, failure);
        bytes.data += piece.size;
        bytes.size -= piece.size;
    }
    return atomic_load(&session->interrupted) ? interrupt_copy(session, failure) : status;
}

enum status postgres_session_copy_end(struct postgres_session *session, uint64_t *rows, struct failure *failure)
{
    *rows = 0;
    enum status status = enter_copy(session, failure);
    if (status == STATUS_OK)
        return finish(session, NULL, rows, failure);
    return atomic_load(&session->interrupted) ? interrupt_copy(session, failure) : status;
}

void postgres_session_copy_abort(struct postgres_session *session, const char *reason)
{
    uint64_t rows;
    if (session->copying && !session->lost && finish(session, reason, &rows, NULL) == STATUS_OK)
        session->lost = true; /* it stands although it was to fail: nothing may follow in this transaction */
}
