/* ID.json: what a session is about. Where the spool is encrypted it tells whose it is, and the rest sealed with the key
 * of ID.part, bound to the session's name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/encoding.h"
#include "base/file.h"
#include "base/json.h"
#include "base/yaml.h"
#include "upload/sessions_private.h"

#define FULL "try again later, or with less"
#define ARENA_CEILING ((size_t)384 << 10) /* a session's texts, and the trees that ID.json is read into */

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

/* The name is what it can be opened with alone. */
static struct text place_of(const struct session *session)
{
    return text_of(session->id, SESSIONS_ID);
}

static bool append_sealed(const struct session *session, struct spool_cipher *cipher, struct text plain,
                          struct buffer *out)
{
    struct buffer sealed, text;
    buffer_init(&sealed, SESSIONS_ABOUT_MAX + SPOOL_SEAL);
    buffer_init(&text, SESSIONS_FILE_MAX);
    char *room = buffer_reserve(&sealed, plain.size + SPOOL_SEAL);
    bool done = room != NULL && spool_cipher_seal(cipher, place_of(session), plain, room);
    if (done) {
        struct json json = json_writer(out);
        encoding_base64url_append(&text, room, plain.size + SPOOL_SEAL);
        json_open_object(&json);
        json_field_text(&json, "customer", session->customer);
        json_field_text(&json, "sealed", buffer_text(&text));
        json_close_object(&json);
        buffer_append_char(out, '\n');
    }
    done = done && !text.failed;
    buffer_free(&sealed);
    buffer_free(&text);
    return done;
}

/* What the file is to hold. */
static bool append_content(const struct session *session, struct buffer *out)
{
    struct spool_cipher *cipher = spool_file_cipher(&session->file);
    struct buffer plain;
    if (cipher == NULL) {
        append_about(session, out);
        return !out->failed;
    }
    buffer_init(&plain, SESSIONS_ABOUT_MAX);
    append_about(session, &plain);
    bool done = !plain.failed && append_sealed(session, cipher, buffer_text(&plain), out) && !out->failed;
    buffer_free(&plain);
    return done;
}

enum status sessions_write_about(const struct session *session, struct failure *failure)
{
    char path[SESSIONS_PATH_MAX], fresh[SESSIONS_PATH_MAX];
    struct buffer content;
    buffer_init(&content, SESSIONS_FILE_MAX);
    bool made = append_content(session, &content);
    sessions_path(session->sessions, session->id, ".json", path);
    sessions_path(session->sessions, session->id, ".new", fresh);
    if (!made) {
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

static bool is_customer(struct text name)
{
    return name.size != 0 && name.size < sizeof(((struct sessions_entry *)NULL)->customer);
}

static bool read_plain(struct session *session, const struct yaml_node *root)
{
    int64_t length;
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
        !is_customer(session->customer) || session->metadata.data == NULL || session->result.data == NULL)
        return false;
    session->length = (uint64_t)length;
    memcpy(session->subject, subject.data, subject.size);
    session->subject[subject.size] = '\0';
    return true;
}

/* JSON is YAML. */
static struct yaml_node *parse(struct session *session, struct text source)
{
    struct yaml_node *root;
    struct text copy = arena_copy(&session->arena, source);
    return copy.data != NULL && yaml_parse(&session->arena, "session", copy, &root, NULL) == STATUS_OK ? root : NULL;
}

static bool read_sealed(struct session *session, struct spool_cipher *cipher, struct text sealed)
{
    struct buffer bytes;
    struct text customer = session->customer;
    bool done = false;
    buffer_init(&bytes, SESSIONS_FILE_MAX);
    if (encoding_base64url_decode(sealed, &bytes) && bytes.size > SPOOL_SEAL) {
        size_t size = bytes.size - SPOOL_SEAL;
        char *plain = arena_alloc(&session->arena, size);
        const struct yaml_node *root =
            plain != NULL && spool_cipher_unseal(cipher, place_of(session), buffer_text(&bytes), plain)
                ? parse(session, text_of(plain, size))
                : NULL;
        done = root != NULL && read_plain(session, root) && text_equal(customer, session->customer);
    }
    buffer_free(&bytes);
    return done;
}

/* With a key only what is sealed counts: else who may write to the folder could tell another length or owner. */
static bool read_tree(struct session *session, struct text source)
{
    struct spool_cipher *cipher = spool_file_cipher(&session->file);
    const struct yaml_node *root = parse(session, source);
    struct text sealed = root != NULL ? scalar(root, "sealed") : TEXT_NONE;
    if (root == NULL)
        return false;
    if (sealed.data == NULL)
        return cipher == NULL && read_plain(session, root);
    session->customer = scalar(root, "customer");
    if (!is_customer(session->customer))
        return false;
    session->foreign = cipher == NULL;
    return session->foreign || read_sealed(session, cipher, sealed);
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
