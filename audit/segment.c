#include "audit/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_MAX ((size_t)1000000)
#define NUMBER_MAX 999999999u

/* Names. */

static bool is_chain(const char *name, size_t size)
{
    if (size == 0 || size >= SEGMENT_CHAIN_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < size; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || name[i] == '.' ||
              name[i] == '-' || name[i] == 'T'))
            return false;
    return true;
}

void segment_format(const struct segment_name *segment, char out[SEGMENT_NAME_MAX])
{
    snprintf(out, SEGMENT_NAME_MAX, "%s-%06u.jsonl%s", segment->chain, segment->number,
             segment->compressed ? ".zst" : "");
}

bool segment_parse(const char *name, struct segment_name *parsed)
{
    char again[SEGMENT_NAME_MAX];
    size_t size = strnlen(name, SEGMENT_NAME_MAX);
    *parsed = (struct segment_name){0};
    if (size == SEGMENT_NAME_MAX)
        return false;
    const char *end = memmem(name, size, TEXT(".jsonl").data, TEXT(".jsonl").size);
    for (const char *later = end; later != NULL; later = strstr(later + 1, ".jsonl"))
        end = later;
    if (end == NULL)
        return false;
    const char *digits = end;
    while (digits > name && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    if (end - digits < 6 || end - digits > 9 || digits == name || digits[-1] != '-' ||
        !is_chain(name, (size_t)(digits - 1 - name)))
        return false;
    memcpy(parsed->chain, name, (size_t)(digits - 1 - name));
    for (; digits < end; digits++)
        parsed->number = parsed->number * 10 + (unsigned)(*digits - '0');
    parsed->compressed = strcmp(end, ".jsonl.zst") == 0;
    /* One name a segment: written anew it must be the same. */
    segment_format(parsed, again);
    return parsed->number != 0 && strcmp(name, again) == 0;
}

/* Lists. */

static int compare(const void *left, const void *right)
{
    const struct segment_name *a = left, *b = right;
    int order = strcmp(a->chain, b->chain);
    if (order == 0)
        order = a->number < b->number ? -1 : a->number > b->number;
    return order != 0 ? order : (int)a->compressed - (int)b->compressed;
}

static enum status add(struct segment_list *list, size_t *room, const struct segment_name *item, const char *folder,
                       struct failure *failure)
{
    if (list->count == *room) {
        size_t more = *room == 0 ? 64 : *room * 2;
        struct segment_name *items =
            list->count >= LIST_MAX ? NULL : reallocarray(list->items, more, sizeof(list->items[0]));
        if (items == NULL)
            return failure_set(failure, STATUS_TOO_LARGE,
                               "%s holds more than %zu segments, or memory ran out; move old ones elsewhere", folder,
                               list->count);
        list->items = items;
        *room = more;
    }
    list->items[list->count++] = *item;
    return STATUS_OK;
}

static void drop_doubles(struct segment_list *list)
{
    size_t kept = 0;
    if (list->count != 0)
        qsort(list->items, list->count, sizeof(list->items[0]), compare);
    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 || list->items[kept - 1].number != list->items[i].number ||
            strcmp(list->items[kept - 1].chain, list->items[i].chain) != 0)
            list->items[kept++] = list->items[i];
    list->count = kept;
}

enum status segment_list(const char *folder, struct segment_list *list, struct failure *failure)
{
    size_t room = 0;
    enum status status = STATUS_OK;
    *list = (struct segment_list){0};
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return failure_set(failure, STATUS_FAILED, "cannot read the folder %s: %s; check audit.folder and its owner",
                           folder, strerror(errno));
    for (struct dirent *entry; status == STATUS_OK;) {
        struct segment_name item;
        errno = 0;
        if ((entry = readdir(directory)) == NULL) {
            if (errno != 0)
                status = failure_set(failure, STATUS_FAILED, "cannot read the folder %s: %s; check the disk it is on",
                                     folder, strerror(errno));
            break;
        }
        if (segment_parse(entry->d_name, &item))
            status = add(list, &room, &item, folder, failure);
    }
    closedir(directory);
    drop_doubles(list);
    if (status != STATUS_OK)
        segment_list_free(list);
    return status;
}

void segment_list_free(struct segment_list *list)
{
    free(list->items);
    *list = (struct segment_list){0};
}

/* Locks. */

static int lock(int fd, int operation)
{
    int result;
    do
        result = flock(fd, operation);
    while (result != 0 && errno == EINTR);
    return result;
}

int segment_create(int folder_fd, const struct segment_name *segment)
{
    char name[SEGMENT_NAME_MAX], hidden[SEGMENT_NAME_MAX + 8];
    segment_format(segment, name);
    /* Nobody may see it before it is locked: recovery would take it for what a crash has left. */
    snprintf(hidden, sizeof(hidden), ".%s.new", name);
    if (unlinkat(folder_fd, hidden, 0) != 0 && errno != ENOENT)
        return -1;
    int fd = openat(folder_fd, hidden, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    bool made = lock(fd, LOCK_EX | LOCK_NB) == 0 && linkat(folder_fd, hidden, folder_fd, name, 0) == 0;
    int error = errno;
    unlinkat(folder_fd, hidden, 0);
    if (made)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

bool segment_is_held(int folder_fd, const struct segment_name *segment)
{
    char name[SEGMENT_NAME_MAX];
    segment_format(segment, name);
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool held = lock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}
