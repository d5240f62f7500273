/* Stands in for libFuzzer in ordinary builds: runs the harness once over each file of the folders named. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    uint8_t *data = malloc(1 << 20);
    size_t size = data != NULL ? fread(data, 1, 1 << 20, file) : 0;
    fclose(file);
    /* An exact copy, so that the address sanitizer sees a read past the end. */
    uint8_t *exact = malloc(size != 0 ? size : 1);
    for (size_t i = 0; exact != NULL && i < size; i++)
        exact[i] = data[i];
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    int failures = 0;
    size_t count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder == NULL) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            char path[4096];
            struct stat info;
            snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
            if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
                failures += replay_file(path);
                count++;
            }
        }
        closedir(folder);
    }
    printf("%zu corpus files replayed\n", count);
    return failures != 0 || count == 0;
}
