#include "audit/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/line.h"
#include "audit/verify_private.h"

void verify_tell(struct verify *verify, struct verify_chain *chain, const char *format, ...)
{
    char words[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    chain->broken = true;
    verify->result->findings++;
    verify->options->on_finding(verify->options->context, words);
}

static int compare_name(const void *name, const void *chain)
{
    return strcmp(name, ((const struct verify_chain *)chain)->name);
}

void verify_retention(struct verify *verify, struct text line)
{
    struct text raw;
    char name[SEGMENT_CHAIN_MAX] = "";
    uint64_t through = 0, seq = 0;
    if (!line_text(line, "chain", &raw) || raw.size >= sizeof(name) || !line_number(line, "through", &through))
        return;
    memcpy(name, raw.data, raw.size);
    verify->result->deleted++;
    struct verify_chain *chain =
        bsearch(name, verify->chains, verify->chain_count, sizeof(verify->chains[0]), compare_name);
    if (chain == NULL)
        return;
    if (through > chain->retained_through && through <= UINT32_MAX)
        chain->retained_through = (unsigned)through;
    if (line_number(line, "through_seq", &seq) && seq > chain->retained_seq)
        chain->retained_seq = seq;
}

static bool is_keeper(const struct verify_chain *chain)
{
    size_t size = strlen(chain->name);
    return size > 2 && strcmp(chain->name + size - 2, "-k") == 0;
}

/* The keepers' chains last: what they delete while we read is written there before. */
static enum status read_chains(struct verify *verify, struct failure *failure)
{
    for (int keepers = 0; keepers < 2; keepers++)
        for (size_t i = 0; i < verify->chain_count; i++) {
            struct verify_chain *chain = &verify->chains[i];
            if (chain->segment_count == 0 || is_keeper(chain) != (keepers == 1))
                continue;
            verify->result->chains++;
            enum status status = verify_chain_read(verify, chain, failure);
            if (status != STATUS_OK)
                return status;
        }
    return STATUS_OK;
}

enum status verify_folder(const struct verify_options *options, struct verify_result *result, struct failure *failure)
{
    struct verify verify = {.options = options, .result = result, .folder_fd = -1};
    *result = (struct verify_result){0};
    enum status status = segment_list(options->folder, &verify.list, failure);
    if (status != STATUS_OK)
        return status;
    verify.folder_fd = open(options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (verify.folder_fd < 0)
        status = failure_set(failure, STATUS_FAILED, "cannot open the folder %s: %s", options->folder, strerror(errno));
    if (status == STATUS_OK)
        status = verify_chains_of(&verify, failure);
    if (status == STATUS_OK)
        status = read_chains(&verify, failure);
    if (status == STATUS_OK)
        verify_settle(&verify);
    if (verify.folder_fd >= 0)
        close(verify.folder_fd);
    free(verify.chains);
    segment_list_free(&verify.list);
    return status;
}
