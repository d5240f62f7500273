#include <stdlib.h>
#include <unistd.h>

#include "api/audit_admin_private.h"
#include "api/server.h"
#include "base/encoding.h"
#include "base/file.h"
#include "drivers/postgres_session.h"

#define FILE_CEILING ((size_t)1 << 30)
#define ANCHORS_MAX ((size_t)10000000)

static bool parse(struct text chain, struct text seq, struct text mac, struct verify_anchor *anchor)
{
    int64_t number;
    *anchor = (struct verify_anchor){0};
    if (text_starts_with(mac, TEXT("\\x"))) /* bytea's text */
        mac = text_of(mac.data + 2, mac.size - 2);
    if (chain.size == 0 || chain.size >= sizeof(anchor->chain) || !text_to_int64(seq, &number) || number < 1 ||
        mac.size != 2 * CHAIN_MAC_SIZE)
        return false;
    memcpy(anchor->chain, chain.data, chain.size);
    anchor->head.seq = (uint64_t)number;
    return encoding_hex_decode(mac.data, CHAIN_MAC_SIZE, anchor->head.mac);
}

static bool add(struct audit_anchors *anchors, const struct verify_anchor *anchor)
{
    if (anchors->count == anchors->room) {
        size_t room = anchors->room == 0 ? 256 : anchors->room * 2;
        struct verify_anchor *items = room > ANCHORS_MAX ? NULL : reallocarray(anchors->items, room, sizeof(items[0]));
        if (items == NULL)
            return false;
        anchors->items = items;
        anchors->room = room;
    }
    anchors->items[anchors->count++] = *anchor;
    return true;
}

enum status audit_anchors_read(const char *path, struct audit_anchors *anchors, struct failure *failure)
{
    struct buffer bytes;
    buffer_init(&bytes, FILE_CEILING);
    enum status status = file_read(path, &bytes, failure);
    struct text rest = buffer_text(&bytes);
    for (size_t number = 1; status == STATUS_OK && rest.data != NULL && rest.size != 0; number++) {
        struct verify_anchor anchor;
        struct text line = text_trim(text_split(&rest, '\n'));
        if (line.size == 0)
            continue;
        struct text chain = text_split(&line, ' '), seq = text_split(&line, ' '), mac = text_split(&line, ' ');
        if (!parse(chain, seq, mac, &anchor))
            status = failure_set(failure, STATUS_INVALID, "%s, line %zu: no anchor; expected: CHAIN NUMBER HASH", path,
                                 number);
        else if (!add(anchors, &anchor))
            status = failure_set(failure, STATUS_TOO_LARGE, "%s: more anchors than memory", path);
    }
    buffer_free(&bytes);
    return status;
}

struct fetching {
    struct audit_anchors *anchors;
    const struct segment_list *list;
    char instance[256]; /* as it was configured, or the host's name */
    bool bad;
};

/* Names of instances are lower case, with - for what a file's name does not take. */
static bool is_ours(const char *chain, const char *instance)
{
    for (; *instance != '\0'; instance++, chain++) {
        char c = *instance >= 'A' && *instance <= 'Z' ? (char)(*instance + 32) : *instance;
        bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
        if (*chain != (allowed ? c : '-'))
            return false;
    }
    /* -20261121T170312-1f3a-w0: no name that only begins like ours. */
    return strlen(chain) > 10 && chain[0] == '-' && strspn(chain + 1, "0123456789") == 8 && chain[9] == 'T';
}

static bool on_row(void *context, const struct postgres_rows *rows)
{
    struct fetching *fetching = context;
    struct verify_anchor anchor;
    if (!parse(postgres_rows_value(rows, 0, 0), postgres_rows_value(rows, 0, 1), postgres_rows_value(rows, 0, 2),
               &anchor))
        return !(fetching->bad = true);
    bool wanted = is_ours(anchor.chain, fetching->instance);
    for (size_t low = 0, high = fetching->list->count; !wanted && low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(anchor.chain, fetching->list->items[middle].chain);
        wanted = order == 0;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return !wanted || add(fetching->anchors, &anchor);
}

enum status audit_anchors_fetch(const struct config *config, const char *folder, struct audit_anchors *anchors,
                                struct failure *failure)
{
    struct fetching fetching = {.anchors = anchors};
    struct segment_list list = {0};
    struct postgres_session *session = NULL;
    if (config->audit.instance != NULL)
        snprintf(fetching.instance, sizeof(fetching.instance), "%s", config->audit.instance);
    else if (gethostname(fetching.instance, sizeof(fetching.instance) - 1) != 0)
        strcpy(fetching.instance, "sluice");
    enum status status = segment_list(folder, &list, failure);
    fetching.list = &list;
    if (status == STATUS_OK)
        status = server_open_owner(config, &session, failure);
    if (status == STATUS_OK)
        status = postgres_session_each(session, "select chain, seq, mac::text from sluice.audit_anchor", 0, NULL,
                                       on_row, &fetching, failure);
    if (fetching.bad)
        failure_set(failure, status, "sluice.audit_anchor holds a row that is no anchor");
    postgres_session_close(session);
    segment_list_free(&list);
    return status;
}
