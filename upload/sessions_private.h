/* What sessions*.c share. */
#ifndef SLUICE_UPLOAD_SESSIONS_PRIVATE_H
#define SLUICE_UPLOAD_SESSIONS_PRIVATE_H

#include <pthread.h>

#include "upload/sessions.h"
#include "upload/spool_file.h"

#define SESSIONS_ID 36         /* characters */
#define SESSIONS_PATH_MAX 4200 /* of the folder, which is shorter than 4096, and a name in it */
#define SESSIONS_CLOSING 64
#define SESSIONS_OWNER 32        /* bytes: a digest of the subject */
#define SESSIONS_ABOUT_MAX 32768 /* bytes of what ID.json tells */
#define SESSIONS_FILE_MAX 49152  /* of ID.json, which may hold that encrypted */

struct sessions_entry {
    char id[SESSIONS_ID_SIZE];
    char customer[64];
    uint64_t length;
    int64_t touched_s; /* of the last byte, as far as is known here */
    bool ended;
};

struct sessions {
    struct sessions_options options;
    char *folder;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t wake;
    bool stopping;
    struct sessions_entry *entries; /* in no order */
    size_t count, capacity;
    int closing[SESSIONS_CLOSING]; /* of removed files: to give back gigabytes takes a while, and not a loop's */
    size_t closing_count;
    pthread_t sweeper;
};

struct session {
    struct sessions *sessions;
    struct arena arena;
    char id[SESSIONS_ID_SIZE];
    struct spool_file file; /* ID.part, locked */
    struct text customer;   /* all texts in `arena` */
    char subject[2 * SESSIONS_OWNER + 1];
    struct text metadata, result;
    uint64_t length;
    int64_t touched_s;
    bool ended, refused;
    bool foreign; /* encrypted with another key, or not as it should be: whose it is is all that is known */
};

bool sessions_is_id(struct text id);
/* NULL: not encrypted. */
const struct spool_key *sessions_key(const struct sessions *sessions);
bool sessions_is_expired(const struct sessions *sessions, int64_t touched_s);
void sessions_path(const struct sessions *sessions, const char *id, const char *ending, char out[SESSIONS_PATH_MAX]);
/* Hexadecimal, of the subject's SHA-256: the file tells no name. */
void sessions_owner_digest(struct text subject, char out[2 * SESSIONS_OWNER + 1]);

/* sessions_about.c */
/* Writes ID.json anew; it is on the disk then, with its name. */
enum status sessions_write_about(const struct session *session, struct failure *failure) MUST_CHECK;
/* Has the names in the folder on the disk. 0 or errno. */
int sessions_sync_folder(const char *path);
void sessions_init_arena(struct session *session);
/* Reads ID.json, with the key of session->file. STATUS_NOT_FOUND: it is not there; STATUS_FAILED: it cannot be read, or
 * is none of ours. */
enum status sessions_read_about(struct session *session, struct failure *failure) MUST_CHECK;

/* sessions_file.c */
/* Opens and locks ID.part, and reads ID.json. STATUS_CONFLICT: somebody holds it. STATUS_OK: it may be a foreign one.
 */
enum status sessions_open(struct sessions *sessions, const char *id, struct session **session,
                          struct failure *failure) MUST_CHECK;

/* sessions_sweep.c: a thread's. */
void *sessions_sweep_now_and_then(void *context);

/* sessions_index.c: what is there, for the bounds. */
enum status sessions_index_load(struct sessions *sessions, struct failure *failure) MUST_CHECK;
/* Takes a place for a new session; the bounds of sessions_begin. */
enum status sessions_index_add(struct sessions *sessions, const struct session *session,
                               struct failure *failure) MUST_CHECK;
void sessions_index_touch(struct sessions *sessions, const struct session *session);
void sessions_index_remove(struct sessions *sessions, const char *id);
/* The customer's ended session that is older than all others, where there are more than `each`. */
bool sessions_index_surplus(struct sessions *sessions, struct text customer, char id[SESSIONS_ID_SIZE]);

#endif
