#include "audit/subjects.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encoding.h"
#include "base/random.h"

#define FILE_NAME "subjects"
#define FILE_NEW "subjects.new"
#define INDEX_DIGITS (2 * SUBJECTS_INDEX_SIZE)
#define LINE_SIZE (INDEX_DIGITS + 1 + SUBJECTS_PSEUDONYM_SIZE + 1)
#define PLACES_FIRST ((size_t)1024)

struct person {
    unsigned char index[SUBJECTS_INDEX_SIZE];
    char pseudonym[SUBJECTS_PSEUDONYM_SIZE]; /* pseudonym[0] NUL: an empty place */
};

struct audit_subjects {
    int folder_fd, fd;
    struct hash_hmac_key key;
    pthread_mutex_t lock;
    struct person *places; /* open addressing; a power of two; under the lock, as what follows */
    size_t place_count, count;
    atomic_uint_fast64_t generation;
};

void subjects_index(const struct hash_hmac_key *key, struct text customer, struct text subject,
                    unsigned char index[SUBJECTS_INDEX_SIZE])
{
    unsigned char inner[HASH_SHA256_SIZE], whole[HASH_SHA256_SIZE];
    /* Two steps, so that no pair of names makes the same bytes as another one. */
    hash_hmac_sha256_keyed(key, TEXT("subject customer"), customer, inner);
    hash_hmac_sha256_keyed(key, text_of((const char *)inner, sizeof(inner)), subject, whole);
    memcpy(index, whole, SUBJECTS_INDEX_SIZE);
}

/* --- the table --- */

static struct person *place_of(struct person *places, size_t place_count, const unsigned char *index)
{
    size_t at;
    memcpy(&at, index, sizeof(at)); /* a keyed hash: spread already */
    for (at &= place_count - 1; places[at].pseudonym[0] != '\0'; at = (at + 1) & (place_count - 1))
        if (memcmp(places[at].index, index, SUBJECTS_INDEX_SIZE) == 0)
            break;
    return &places[at];
}

static bool grow(struct audit_subjects *subjects)
{
    size_t place_count = subjects->place_count != 0 ? 2 * subjects->place_count : PLACES_FIRST;
    struct person *places = calloc(place_count, sizeof(*places));
    if (places == NULL)
        return false;
    for (size_t i = 0; i < subjects->place_count; i++)
        if (subjects->places[i].pseudonym[0] != '\0')
            *place_of(places, place_count, subjects->places[i].index) = subjects->places[i];
    free(subjects->places);
    subjects->places = places;
    subjects->place_count = place_count;
    return true;
}

/* The first pseudonym of a person stands. */
static bool remember(struct audit_subjects *subjects, const struct person *person)
{
    if (2 * (subjects->count + 1) > subjects->place_count && !grow(subjects))
        return false;
    struct person *place = place_of(subjects->places, subjects->place_count, person->index);
    if (place->pseudonym[0] == '\0') {
        *place = *person;
        subjects->count++;
    }
    return true;
}

/* --- the file --- */

/* False: not a line of ours (a torn one, for one). */
static bool parse_line(const char *line, size_t size, struct person *person)
{
    if (size != LINE_SIZE || line[INDEX_DIGITS] != ' ' || line[LINE_SIZE - 1] != '\n')
        return false;
    unsigned char digits[SUBJECTS_PSEUDONYM_SIZE / 2];
    memcpy(person->pseudonym, line + INDEX_DIGITS + 1, SUBJECTS_PSEUDONYM_SIZE);
    return encoding_hex_decode(line, SUBJECTS_INDEX_SIZE, person->index) &&
           encoding_hex_decode(person->pseudonym, sizeof(digits), digits);
}

static void format_line(const struct person *person, char line[LINE_SIZE])
{
    encoding_hex(person->index, SUBJECTS_INDEX_SIZE, line);
    line[INDEX_DIGITS] = ' ';
    memcpy(line + INDEX_DIGITS + 1, person->pseudonym, SUBJECTS_PSEUDONYM_SIZE);
    line[LINE_SIZE - 1] = '\n';
}

/* Each person of the file; false from `on_person` ends it. */
static void each_line(FILE *file, bool (*on_person)(void *context, const struct person *person), void *context)
{
    char line[LINE_SIZE + 2];
    struct person person;
    while (fgets(line, sizeof(line), file) != NULL)
        if (parse_line(line, strlen(line), &person) && !on_person(context, &person))
            return;
}

static FILE *open_to_read(int folder_fd)
{
    int fd = openat(folder_fd, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (file == NULL && fd >= 0)
        close(fd);
    return file;
}

/* The file of that name, locked: another process may have written it anew since we opened it. */
static bool lock_file(struct audit_subjects *subjects)
{
    for (int tries = 0; tries < 100; tries++) {
        struct stat ours, named;
        if (subjects->fd < 0)
            subjects->fd =
                openat(subjects->folder_fd, FILE_NAME, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (subjects->fd < 0 || flock(subjects->fd, LOCK_EX) != 0)
            return false;
        if (fstat(subjects->fd, &ours) == 0 && fstatat(subjects->folder_fd, FILE_NAME, &named, 0) == 0 &&
            ours.st_ino == named.st_ino)
            return true;
        close(subjects->fd);
        subjects->fd = -1;
    }
    errno = EBUSY;
    return false;
}

static void unlock_file(struct audit_subjects *subjects)
{
    flock(subjects->fd, LOCK_UN);
}

/* A whole line, or none. */
static bool write_down(struct audit_subjects *subjects, const struct person *person)
{
    char line[LINE_SIZE];
    format_line(person, line);
    if (!lock_file(subjects))
        return false;
    off_t end = lseek(subjects->fd, 0, SEEK_END);
    bool written = end >= 0 && write(subjects->fd, line, LINE_SIZE) == LINE_SIZE;
    if (!written && end >= 0)
        (void)!ftruncate(subjects->fd, end);
    unlock_file(subjects);
    return written;
}

static bool on_loaded(void *context, const struct person *person)
{
    struct audit_subjects *subjects = context;
    return subjects->count < SUBJECTS_MAX && remember(subjects, person);
}

enum status subjects_open(const char *folder, const struct hash_hmac_key *key, struct audit_subjects **out,
                          struct failure *failure)
{
    struct audit_subjects *subjects = calloc(1, sizeof(*subjects));
    if (subjects == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    subjects->key = *key;
    subjects->fd = -1;
    atomic_init(&subjects->generation, 1);
    pthread_mutex_init(&subjects->lock, NULL);
    subjects->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (subjects->folder_fd < 0 || !lock_file(subjects) || !grow(subjects)) {
        enum status status = failure_set(failure, STATUS_FAILED, "audit.folder: cannot open %s/%s: %s", folder,
                                         FILE_NAME, strerror(errno));
        subjects_close(subjects);
        return status;
    }
    FILE *file = open_to_read(subjects->folder_fd);
    if (file != NULL) {
        each_line(file, on_loaded, subjects);
        fclose(file);
    }
    unlock_file(subjects);
    *out = subjects;
    return STATUS_OK;
}

void subjects_close(struct audit_subjects *subjects)
{
    if (subjects == NULL)
        return;
    if (subjects->fd >= 0)
        close(subjects->fd);
    if (subjects->folder_fd >= 0)
        close(subjects->folder_fd);
    hash_wipe(&subjects->key, sizeof(subjects->key));
    pthread_mutex_destroy(&subjects->lock);
    free(subjects->places);
    free(subjects);
}

static bool find_or_make(struct audit_subjects *subjects, struct person *person)
{
    struct person *known = place_of(subjects->places, subjects->place_count, person->index);
    if (known->pseudonym[0] != '\0') {
        *person = *known;
        return true;
    }
    unsigned char chance[SUBJECTS_PSEUDONYM_SIZE / 2];
    random_bytes(chance, sizeof(chance));
    encoding_hex(chance, sizeof(chance), person->pseudonym);
    if (subjects->count >= SUBJECTS_MAX)
        return true;
    return write_down(subjects, person) && remember(subjects, person);
}

bool subjects_find(struct audit_subjects *subjects, struct text customer, struct text subject,
                   char pseudonym[SUBJECTS_PSEUDONYM_SIZE])
{
    struct person person;
    subjects_index(&subjects->key, customer, subject, person.index);
    pthread_mutex_lock(&subjects->lock);
    bool found = find_or_make(subjects, &person);
    pthread_mutex_unlock(&subjects->lock);
    if (found)
        memcpy(pseudonym, person.pseudonym, SUBJECTS_PSEUDONYM_SIZE);
    return found;
}

uint64_t subjects_generation(const struct audit_subjects *subjects)
{
    return atomic_load_explicit(&subjects->generation, memory_order_acquire);
}

struct search {
    unsigned char index[SUBJECTS_INDEX_SIZE];
    char (*pseudonyms)[SUBJECTS_PSEUDONYM_SIZE];
    size_t count;
};

static bool on_compared(void *context, const struct person *person)
{
    struct search *search = context;
    if (memcmp(person->index, search->index, SUBJECTS_INDEX_SIZE) == 0)
        memcpy(search->pseudonyms[search->count++], person->pseudonym, SUBJECTS_PSEUDONYM_SIZE);
    return search->count < SUBJECTS_EACH;
}

enum status subjects_look_up(const char *folder, const struct hash_hmac_key *key, struct text customer,
                             struct text subject, char pseudonyms[SUBJECTS_EACH][SUBJECTS_PSEUDONYM_SIZE],
                             size_t *count, struct failure *failure)
{
    struct search search = {.pseudonyms = pseudonyms};
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FILE *file = folder_fd >= 0 ? open_to_read(folder_fd) : NULL;
    int error = errno;
    if (folder_fd >= 0)
        close(folder_fd);
    if (file == NULL)
        return failure_set(failure, STATUS_FAILED, "cannot read %s/%s: %s", folder, FILE_NAME, strerror(error));
    subjects_index(key, customer, subject, search.index);
    each_line(file, on_compared, &search);
    fclose(file);
    *count = search.count;
    if (search.count != 0)
        return STATUS_OK;
    return failure_set(failure, STATUS_NOT_FOUND, "%s has no pseudonym for this person: never seen here, or erased",
                       folder);
}

/* --- erasing --- */

struct rewriting {
    const unsigned char *without;
    FILE *file;
    size_t erased;
};

static bool on_rewritten(void *context, const struct person *person)
{
    struct rewriting *rewriting = context;
    char line[LINE_SIZE];
    if (memcmp(person->index, rewriting->without, SUBJECTS_INDEX_SIZE) == 0) {
        rewriting->erased++;
        return true;
    }
    format_line(person, line);
    return fwrite(line, LINE_SIZE, 1, rewriting->file) == 1;
}

static bool put_in_place(struct audit_subjects *subjects, FILE *file)
{
    bool whole = fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
    whole = fclose(file) == 0 && whole;
    return whole && renameat(subjects->folder_fd, FILE_NEW, subjects->folder_fd, FILE_NAME) == 0 &&
           fsync(subjects->folder_fd) == 0;
}

/* The file anew, without that person: other processes that have it open notice (lock_file). */
static bool write_anew(struct audit_subjects *subjects, const unsigned char *without, size_t *erased)
{
    struct rewriting rewriting = {.without = without};
    FILE *from = open_to_read(subjects->folder_fd);
    int fd = from != NULL
                 ? openat(subjects->folder_fd, FILE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)
                 : -1;
    struct stat owner;
    /* A command line run by root leaves the file to the gateway's user. */
    if (fd >= 0 && fstat(fileno(from), &owner) == 0 && owner.st_uid != geteuid())
        (void)!fchown(fd, owner.st_uid, owner.st_gid);
    rewriting.file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (rewriting.file == NULL) {
        if (fd >= 0)
            close(fd);
        if (from != NULL)
            fclose(from);
        return false;
    }
    each_line(from, on_rewritten, &rewriting);
    fclose(from);
    *erased = rewriting.erased;
    return put_in_place(subjects, rewriting.file);
}

/* Those behind the gap move up, as open addressing wants it: all are placed anew. */
static bool forget(struct audit_subjects *subjects, const unsigned char *index)
{
    struct person *place = place_of(subjects->places, subjects->place_count, index);
    if (place->pseudonym[0] == '\0')
        return false;
    memset(place, 0, sizeof(*place));
    subjects->count--;
    size_t mask = subjects->place_count - 1;
    for (size_t at = ((size_t)(place - subjects->places) + 1) & mask; subjects->places[at].pseudonym[0] != '\0';
         at = (at + 1) & mask) {
        struct person moved = subjects->places[at];
        memset(&subjects->places[at], 0, sizeof(moved));
        *place_of(subjects->places, subjects->place_count, moved.index) = moved;
    }
    return true;
}

enum status subjects_erase(struct audit_subjects *subjects, const unsigned char index[SUBJECTS_INDEX_SIZE],
                           struct failure *failure)
{
    size_t erased = 0;
    pthread_mutex_lock(&subjects->lock);
    bool done = lock_file(subjects) && write_anew(subjects, index, &erased);
    int error = errno;
    bool known = done && forget(subjects, index);
    if (subjects->fd >= 0)
        unlock_file(subjects);
    atomic_fetch_add(&subjects->generation, 1);
    pthread_mutex_unlock(&subjects->lock);
    if (!done)
        return failure_set(failure, STATUS_FAILED, "cannot write the audit log's file of subjects anew: %s",
                           strerror(error));
    return known || erased != 0 ? STATUS_OK : failure_set(failure, STATUS_NOT_FOUND, "not known here");
}
