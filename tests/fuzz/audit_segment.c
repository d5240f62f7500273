/* Any bytes as a segment, plain and compressed: pieces add up to what was read, none is too long; a line that is good
 * under the key is whole JSON only if the picker says so, and nothing that the picker picks lies outside the line. The
 * first byte chooses the form. */
#include "audit/segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pick(struct text line)
{
    struct line_cursor cursor = line_begin(line);
    struct line_member member;
    struct text raw;
    uint64_t number;
    while (line_next(&cursor, &member))
        if (member.value.data < line.data || member.value.data + member.value.size > line.data + line.size ||
            member.name.data < line.data || member.name.data + member.name.size > line.data + line.size)
            abort();
    if (line_text(line, "event", &raw) && memchr(raw.data, '\n', raw.size) != NULL)
        abort();
    if (line_number(line, "seq", &number) && cursor.bad && line.size < 9)
        abort();
}

static void read_all(int folder_fd, const struct segment_name *name, const struct hash_hmac_key *key, uint64_t plain)
{
    struct segment_reader *reader;
    struct chain_head head = {0}, claimed;
    struct text line;
    uint64_t offset, at = 0;
    enum status status = segment_open(folder_fd, name, &reader, NULL);
    if (status != STATUS_OK)
        abort();
    while ((status = segment_next(reader, &line, &offset, NULL)) == STATUS_OK && at < (64 << 20)) {
        if (offset != at || line.size == 0 || line.size > CHAIN_LINE_MAX)
            abort();
        at += line.size;
        if (chain_check(&head, key, line) == CHAIN_GOOD && !chain_read(line, &claimed))
            abort();
        pick(line);
    }
    if (plain != UINT64_MAX && (status != STATUS_NOT_FOUND || at != plain))
        abort();
    segment_close(reader);
}

static char folder[] = "/dev/shm/sluice-fuzz-XXXXXX";

static void clean(void)
{
    rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int folder_fd = -1;
    static struct hash_hmac_key key;
    struct segment_name name = {"fuzz-w0", 1, size != 0 && (data[0] & 1) != 0};
    char text[SEGMENT_NAME_MAX];
    if (folder_fd < 0) {
        if (mkdtemp(folder) == NULL || (folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
            abort();
        atexit(clean);
        hash_hmac_key_set(&key, TEXT("a key of the tests, of more than 32 bytes"));
    }
    if (size == 0)
        return 0;
    segment_format(&name, text);
    int fd = openat(folder_fd, text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    close(fd);
    read_all(folder_fd, &name, &key, name.compressed ? UINT64_MAX : size - 1);
    unlinkat(folder_fd, text, 0);
    return 0;
}
