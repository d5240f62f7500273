/* A session's two files. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/yaml.h"
#include "upload/sessions_private.h"
#include "upload/spool_file.h"

#define ARENA_CEILING ((size_t)256 << 10) /* a session's texts, and the tree that ID.json is read into */
#define FULL "go on later from Upload-Offset"
#define PIECE ((size_t)256 << 10)
#define SYNC_EVERY ((uint64_t)64 << 20) /* bytes: what is left to write at the end takes no more than a moment */

static void append_about(const struct session *session, struct buffer *out)
{
    struct json json = json_writer(out);
    json_open_object(&json);
    json_field_text(&json, "customer", session->customer);
    json_field_string(&json, "subject", session->subject);
    json_field_int64(&json, "length", (int64_t)session->length);
    json_field_text(&json, "metadata", session->metadata.data != NULL ? session->metadata : TEXT(""));
    json_field_bool(&json, "ended", session->ended);
    json_field_bool(&json, "refused", session->refused);
    json_field_text(&json, "result", session->result.data != NULL ? session->result : TEXT(""));
    json_close_object(&json);
    buffer_append_char(out, '\n');
}

/* On the disk when it returns; 0 or errno. */
static int write_whole(const char *path, struct text content)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = fd < 0 ? errno : spool_file_write(fd, content, 0);
    if (error == 0 && fsync(fd) != 0)
        error = errno;
    if (fd >= 0 && close(fd) != 0 && error == 0)
        error = errno;
    return error;
}

int sessions_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

enum status sessions_write_about(const struct session *session, struct failure *failure)
{
    char path[SESSIONS_PATH_MAX], fresh[SESSIONS_PATH_MAX];
    struct buffer content;
    buffer_init(&content, SESSIONS_FILE_MAX);
    append_about(session, &content);
    sessions_path(session->sessions, session->id, ".json", path);
    sessions_path(session->sessions, session->id, ".new", fresh);
    if (content.failed) {
        buffer_free(&content);
        return failure_set(failure, STATUS_TOO_LARGE, "what is to be kept of the upload session is too long");
    }
    int error = write_whole(fresh, buffer_text(&content));
    if (error == 0 && rename(fresh, path) != 0)
        error = errno;
    if (error == 0)
        error = sessions_sync_folder(session->sessions->folder);
    if (error != 0)
        unlink(fresh);
    buffer_free(&content);
    return error == 0 ? STATUS_OK : spool_file_tell(error, FULL, failure);
}

static struct text scalar(const struct yaml_node *root, const char *key)
{
    const struct yaml_node *node = yaml_get(root, key);
    return node != NULL && node->kind == YAML_SCALAR ? node->text : TEXT_NONE;
}

/* JSON is YAML. */
static bool read_tree(struct session *session, struct text source)
{
    struct yaml_node *root;
    struct text copy = arena_copy(&session->arena, source);
    int64_t length;
    if (copy.data == NULL || yaml_parse(&session->arena, "session", copy, &root, NULL) != STATUS_OK)
        return false;
    struct text subject = scalar(root, "subject");
    const struct yaml_node *told = yaml_get(root, "length"), *ended = yaml_get(root, "ended"),
                           *refused = yaml_get(root, "refused");
    session->customer = scalar(root, "customer");
    session->metadata = scalar(root, "metadata");
    session->result = scalar(root, "result");
    /* Not there: a session of a release that kept no refusals. */
    if (refused != NULL && !yaml_to_bool(refused, &session->refused))
        return false;
    if (told == NULL || !yaml_to_int64(told, &length) || length < 0 || ended == NULL ||
        !yaml_to_bool(ended, &session->ended) || subject.size != 2 * (size_t)SESSIONS_OWNER ||
        session->customer.size == 0 || session->customer.size >= sizeof(((struct sessions_entry *)NULL)->customer) ||
        session->metadata.data == NULL || session->result.data == NULL)
        return false;
    session->length = (uint64_t)length;
    memcpy(session->subject, subject.data, subject.size);
    session->subject[subject.size] = '\0';
    return true;
}

void sessions_init_arena(struct session *session)
{
    arena_init(&session->arena, NULL, 0, ARENA_CEILING);
}

enum status sessions_read_about(struct session *session, struct failure *failure)
{
    char path[SESSIONS_PATH_MAX];
    struct buffer content;
    buffer_init(&content, SESSIONS_FILE_MAX);
    sessions_path(session->sessions, session->id, ".json", path);
    if (access(path, F_OK) != 0) {
        buffer_free(&content);
        return STATUS_NOT_FOUND;
    }
    enum status status = file_read(path, &content, failure);
    if (status != STATUS_OK || !read_tree(session, buffer_text(&content)))
        status = failure_set(failure, STATUS_FAILED, "the file %s.json of the spool is none that this release wrote",
                             session->id);
    buffer_free(&content);
    return status;
}

/* STATUS_NOT_FOUND: it was removed between opening and locking. */
static enum status lock_part(struct session *session, struct failure *failure)
{
    char path[SESSIONS_PATH_MAX];
    struct stat about;
    sessions_path(session->sessions, session->id, ".part", path);
    session->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (session->fd < 0)
        return errno == ENOENT
                   ? STATUS_NOT_FOUND
                   : failure_set(failure, STATUS_FAILED, "the upload session cannot be opened: %s", strerror(errno));
    if (flock(session->fd, LOCK_EX | LOCK_NB) != 0)
        return failure_set(failure, STATUS_CONFLICT,
                           "another request is at work on this upload session; ask again shortly");
    if (fstat(session->fd, &about) != 0 || about.st_nlink == 0)
        return STATUS_NOT_FOUND;
    session->offset = (uint64_t)about.st_size;
    session->touched_s = about.st_mtim.tv_sec;
    return STATUS_OK;
}

enum status sessions_open(struct sessions *sessions, const char *id, struct session **out, struct failure *failure)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    session->sessions = sessions;
    session->fd = -1;
    memcpy(session->id, id, SESSIONS_ID);
    sessions_init_arena(session);
    enum status status = lock_part(session, failure);
    if (status == STATUS_OK)
        status = sessions_read_about(session, failure);
    if (status != STATUS_OK) {
        if (session->fd >= 0)
            close(session->fd);
        arena_free(&session->arena);
        free(session);
        return status;
    }
    *out = session;
    return STATUS_OK;
}

struct intake {
    uint64_t start, synced;
    EVP_MD_CTX *digest; /* NULL: no checksum */
    char *piece;
    bool too_long; /* for the told length */
};

/* Until the source ends, or fails. */
static enum status take_all(struct session *session, const struct body_source *source, struct intake *intake,
                            const atomic_bool *cancelled, struct failure *failure)
{
    for (;;) {
        size_t got = 0;
        if (cancelled != NULL && atomic_load_explicit(cancelled, memory_order_relaxed))
            return failure_set(failure, STATUS_UNAVAILABLE, "the request was ended before its body was whole");
        enum status status = source->read(source->context, intake->piece, PIECE, &got, failure);
        if (status != STATUS_OK || got == 0)
            return status;
        intake->too_long = got > session->length - session->offset;
        if (intake->too_long)
            return failure_set(failure, STATUS_TOO_LARGE,
                               "more bytes came than Upload-Length told; nothing of this request is kept");
        int error = spool_file_write(session->fd, text_of(intake->piece, got), session->offset);
        if (error != 0) {
            if (ftruncate(session->fd, (off_t)session->offset) != 0)
                return spool_file_tell(errno, FULL, failure);
            return spool_file_tell(error, FULL, failure);
        }
        if (intake->digest != NULL)
            EVP_DigestUpdate(intake->digest, intake->piece, got);
        session->offset += got;
        if (session->offset - intake->synced >= SYNC_EVERY && fdatasync(session->fd) == 0)
            intake->synced = session->offset;
    }
}

static bool is_right(EVP_MD_CTX *digest, const struct tus_checksum *checksum)
{
    unsigned char found[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    return EVP_DigestFinal_ex(digest, found, &size) == 1 && size == checksum->size &&
           memcmp(found, checksum->digest, size) == 0;
}

/* Keeps what came, or what was there before; and has it on the disk. */
static enum status settle(struct session *session, const struct intake *intake, bool keep, enum status status,
                          struct failure *failure)
{
    if (!keep) {
        session->offset = intake->start;
        if (ftruncate(session->fd, (off_t)intake->start) != 0)
            status = spool_file_tell(errno, FULL, failure);
    }
    if (fdatasync(session->fd) != 0)
        status = spool_file_tell(errno, FULL, failure);
    session->touched_s = clock_wall_us() / 1000000;
    sessions_index_touch(session->sessions, session);
    return status;
}

enum status session_receive(struct session *session, const struct body_source *source,
                            const struct tus_checksum *checksum, const atomic_bool *cancelled, struct failure *failure)
{
    struct intake intake = {session->offset, session->offset, NULL, malloc(PIECE), false};
    bool checked = checksum != NULL && checksum->algorithm != TUS_NONE;
    if (checked && (intake.digest = EVP_MD_CTX_new()) != NULL &&
        EVP_DigestInit_ex(intake.digest, checksum->algorithm == TUS_SHA1 ? EVP_sha1() : EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(intake.digest);
        intake.digest = NULL;
    }
    enum status status = STATUS_FAILED;
    if (intake.piece == NULL || (checked && intake.digest == NULL)) {
        failure_set(failure, status, "out of memory");
    } else {
        status = take_all(session, source, &intake, cancelled, failure);
        if (status == STATUS_OK && checked && !is_right(intake.digest, checksum))
            status = failure_set(failure, STATUS_DENIED,
                                 "the body has another digest than Upload-Checksum told; nothing of it is kept, send "
                                 "it again");
        bool keep = status == STATUS_OK || (!checked && !intake.too_long);
        status = settle(session, &intake, keep, status, failure);
    }
    EVP_MD_CTX_free(intake.digest);
    free(intake.piece);
    return status;
}

static enum status read_part(void *context, char *out, size_t size, size_t *got, struct failure *failure)
{
    struct session *session = context;
    return spool_file_read(session->fd, &session->position, session->offset, out, size, got, failure);
}

struct body_source session_source(struct session *session)
{
    session->position = 0;
    posix_fadvise(session->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return (struct body_source){read_part, session};
}

static enum status keep_end(struct session *session, struct text result, bool refused, struct failure *failure)
{
    char surplus[SESSIONS_ID_SIZE];
    struct session *other = NULL;
    if (result.size > SESSIONS_RESULT_MAX)
        result = TEXT("{}");
    session->ended = true;
    session->refused = refused;
    session->result = arena_copy(&session->arena, result);
    enum status status = sessions_write_about(session, failure);
    if (status != STATUS_OK || session->result.data == NULL) {
        session->ended = session->refused = false;
        return status != STATUS_OK ? status : failure_set(failure, STATUS_FAILED, "out of memory");
    }
    /* Its space is free at once. Where this fails, it is when the session expires. */
    int ignored = ftruncate(session->fd, 0);
    (void)ignored;
    session->offset = 0;
    session->touched_s = clock_wall_us() / 1000000;
    sessions_index_touch(session->sessions, session);
    if (sessions_index_surplus(session->sessions, session->customer, surplus) &&
        memcmp(surplus, session->id, SESSIONS_ID) != 0 &&
        sessions_open(session->sessions, surplus, &other, NULL) == STATUS_OK)
        session_remove(other);
    return STATUS_OK;
}

enum status session_end(struct session *session, struct text result, struct failure *failure)
{
    return keep_end(session, result, false, failure);
}

enum status session_refuse(struct session *session, struct text reason, struct failure *failure)
{
    return keep_end(session, reason, true, failure);
}
