/* Any bytes as an encrypted file of the spool: nothing is read but what was written. The file is one of three records
 * that lie in two cells; the input overwrites bytes of it (a place of 3 bytes, a count, as many bytes) and then cuts it
 * (a place). What is read before the damage is found must be what was written, and after a restart too. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "upload/spool_sealed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE ((size_t)70000)

static char content[2 * SIZE];
static struct spool_key key;

static bool append(struct spool_file *file, size_t from, size_t to)
{
    return spool_file_append(file, text_of(content + from, to - from)) == 0 && spool_file_flush(file) == 0;
}

static void read_all(struct spool_file *file)
{
    static char piece[10000];
    size_t got = 1;
    uint64_t all = 0;
    spool_file_rewind(file);
    while (spool_file_read(file, piece, sizeof(piece), &got, NULL) == STATUS_OK && got != 0) {
        if (all + got > file->size || memcmp(piece, content + all, got) != 0)
            abort();
        all += got;
    }
}

static size_t number(const uint8_t *data)
{
    return (size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spool_file file;
    if (content[0] == '\0') {
        for (size_t i = 0; i < sizeof(content); i++)
            content[i] = (char)('a' + i * 7 % 26);
        spool_key_set(&key, TEXT("a secret of the tests, of 32 and more bytes"));
    }
    int fd = memfd_create("spool", MFD_CLOEXEC);
    if (fd < 0 || spool_file_begin(&file, fd, &key) != 0 || !append(&file, 0, 100) || !append(&file, 100, 65000) ||
        !append(&file, 65000, SIZE))
        abort();
    for (; size >= 4; data += 4, size -= 4) {
        size_t count = data[3] < size - 4 ? data[3] : size - 4;
        if (pwrite(fd, data + 4, count, (off_t)(number(data) % file.end)) != (ssize_t)count)
            abort();
        data += count;
        size -= count;
    }
    if (size == 3 && ftruncate(fd, (off_t)(number(data) % file.end)) != 0)
        abort();
    read_all(&file);
    spool_file_forget(&file);
    if (spool_file_resume(&file, fd, &key, NULL) == STATUS_OK) {
        if (file.size > SIZE)
            abort();
        read_all(&file);
        if (file.size < SIZE && !append(&file, (size_t)file.size, SIZE))
            abort();
        read_all(&file);
        spool_file_forget(&file);
    }
    close(fd);
    return 0;
}
