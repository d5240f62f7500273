/* What a dead process left, any bytes of it: a segment and a tail. Recovery does not fail; what it has mended is a
 * whole chain to whoever verifies it; a second one finds nothing to do. The first two bytes are the segment's size, low
 * one first. */
#include "audit/recover.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHAIN "gw1-20261121T170312-1f3a-w0"
#define FIRST CHAIN "-000001.jsonl"
#define SECOND CHAIN "-000002.jsonl"
#define TAIL CHAIN ".tail"

static char folder[] = "/dev/shm/sluice-fuzz-XXXXXX";
static int folder_fd = -1;
static struct hash_hmac_key key;

static void clean(void)
{
    rmdir(folder);
}

static void put(const char *name, const uint8_t *data, size_t size)
{
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
}

static struct recover_result recover(void)
{
    struct recover_result result;
    if (recover_folder(folder, &key, &result, NULL) != STATUS_OK || result.chains + result.broken > 1)
        abort();
    return result;
}

static void on_finding(void *context, const char *words)
{
    (void)context;
    (void)words;
}

static void check_mended(void)
{
    struct verify_options options = {folder, &key, NULL, 0, on_finding, NULL};
    struct verify_result found;
    if (verify_folder(&options, &found, NULL) != STATUS_OK || found.findings != 0 || found.live != 0)
        abort();
    if (faccessat(folder_fd, TAIL, F_OK, 0) == 0 || recover().chains != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (folder_fd < 0) {
        if (mkdtemp(folder) == NULL || (folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
            abort();
        atexit(clean);
        hash_init();
        hash_hmac_key_set(&key, TEXT("a key of the tests, of more than 32 bytes"));
    }
    size_t segment = size < 2 ? 0 : (size_t)data[0] | (size_t)data[1] << 8;
    if (size < 2 || segment > size - 2)
        return 0;
    put(FIRST, data + 2, segment);
    put(TAIL, data + 2 + segment, size - 2 - segment);
    if (recover().chains == 1)
        check_mended();
    unlinkat(folder_fd, FIRST, 0);
    unlinkat(folder_fd, SECOND, 0);
    unlinkat(folder_fd, TAIL, 0);
    return 0;
}
