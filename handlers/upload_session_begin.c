/* A resumable upload begins: its files come to the disk, on a thread. */
#include <stdlib.h>

#include "handlers/upload_session.h"

#define ARENA_CEILING ((size_t)32 << 10) /* the owner's names and the metadata */

struct beginning {
    struct request_task base; /* first */
    struct sessions *sessions;
    struct arena arena;
    struct session_owner owner;
    struct text metadata;
    uint64_t length;
    char id[SESSIONS_ID_SIZE];
    enum status status;
    struct failure failure;
};

static void run(struct task *base)
{
    struct beginning *beginning = (struct beginning *)base;
    beginning->status = sessions_begin(beginning->sessions, beginning->owner, beginning->metadata, beginning->length,
                                       beginning->id, &beginning->failure);
}

/* Nobody would ever hear of it. */
static void take_back(const struct beginning *beginning)
{
    struct session *session;
    if (sessions_hold(beginning->sessions, text_from_string(beginning->id), beginning->owner, &session, NULL) ==
        STATUS_OK)
        session_remove(session);
}

static void free_beginning(struct beginning *beginning)
{
    arena_free(&beginning->arena);
    free(beginning);
}

static void done(struct request_task *base)
{
    struct beginning *beginning = (struct beginning *)base;
    if (!base->task.started)
        beginning->status = STATUS_UNAVAILABLE;
    if (base->request != NULL)
        upload_session_begun(base->request, beginning->status, beginning->id, &beginning->failure);
    else if (beginning->status == STATUS_OK)
        take_back(beginning);
    free_beginning(beginning);
}

static bool copy_asked(const struct request *request, struct text metadata, struct beginning *beginning)
{
    struct arena *arena = &beginning->arena;
    struct text subject = request->principal->subject;
    beginning->owner.customer = arena_copy(arena, request->principal->customer);
    beginning->owner.subject = arena_copy(arena, subject.data != NULL ? subject : TEXT(""));
    beginning->metadata = arena_copy(arena, metadata);
    return beginning->owner.customer.data != NULL && beginning->owner.subject.data != NULL &&
           beginning->metadata.data != NULL;
}

enum stage_verdict upload_session_begin(struct request *request, struct text metadata, uint64_t length)
{
    struct beginning *beginning = calloc(1, sizeof(*beginning));
    if (beginning == NULL)
        return upload_session_begun(request, STATUS_FAILED, "", NULL);
    arena_init(&beginning->arena, NULL, 0, ARENA_CEILING);
    beginning->base.task.run = run;
    beginning->base.done = done;
    beginning->sessions = request->worker->server->sessions;
    beginning->length = length;
    enum status status =
        copy_asked(request, metadata, beginning) ? request_task_start(request, &beginning->base) : STATUS_FAILED;
    if (status == STATUS_OK)
        return STAGE_WAIT;
    free_beginning(beginning);
    return upload_session_begun(request, status, "", NULL);
}
