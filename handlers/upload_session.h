/* What upload_session*.c share: resumable uploads (tus 1.0.0). */
#ifndef SLUICE_HANDLERS_UPLOAD_SESSION_H
#define SLUICE_HANDLERS_UPLOAD_SESSION_H

#include "handlers/load_order.h"
#include "upload/sessions.h"

/* A piece that comes, a load, or both: on a thread. */
struct upload_piece {
    struct request_task base; /* first */
    struct session *session;  /* held; NULL: it is gone, for its customer is none any more */
    struct load_task *load;   /* what follows the last byte */
    struct body_source file;  /* the session's bytes, for the load */
    struct tus_checksum checksum;
    bool receives;      /* false: all bytes are there, and the load has to be made up for */
    bool loads;         /* it came to that */
    enum status status; /* of receiving */
    struct failure failure;
};

/* The load that the session's metadata ask for; answers with a problem and gives NULL where they ask for nothing that
 * can be. `id` NULL: the session is still to be made. */
struct load_task *upload_session_order(struct request *request, struct text metadata, const char *id);
/* Takes session and load. */
enum stage_verdict upload_session_start(struct request *request, struct session *session, struct load_task *load,
                                        const struct tus_checksum *checksum, bool receives);
/* Makes the session on a thread, and then calls upload_session_begun. */
enum stage_verdict upload_session_begin(struct request *request, struct text metadata, uint64_t length);
/* 201, or what stood in the way: STATUS_BUSY and such with words, which may be NULL where the gateway itself is busy.
 */
enum stage_verdict upload_session_begun(struct request *request, enum status status, const char *id,
                                        const struct failure *failure);
/* Keeps why the load was refused; for a thread. */
void upload_session_keep_reason(struct session *session, const struct load_task *load);
/* These three let go of the session before the answer goes out: its client may go on at once over another connection,
 * which another worker serves, and nobody shall be in his way. */
/* The problem that the load was refused with. */
enum stage_verdict upload_session_refuse(struct request *request, struct session *session);
/* 200 with what is known of the session. */
enum stage_verdict upload_session_show(struct request *request, struct session *session);
/* 204: the offset, and what came of the load where that has been. */
enum stage_verdict upload_session_accept(struct request *request, struct session *session);

#endif
