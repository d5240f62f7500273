#include "api/audit_admin.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/audit_admin_private.h"
#include "audit/grep.h"
#include "audit/subjects.h"
#include "base/date.h"
#include "base/file.h"

enum { FOUND_BAD = 1, CANNOT = 2 };

struct order {
    const char *config_path, *folder, *key, *anchors, *from, *to, *customer, *subject, *pseudonym, *operation, *dataset,
        *status, *request_id, *event, *limit;
    bool no_anchors;
    struct config *config; /* NULL: --folder says enough */
};

static const char help[] =
    "usage: sluice audit verify|grep\n\n"
    "verify  reads all of the audit log and names each bad place: what was changed, is missing or was added. Ends "
    "with\n"
    "        0 (good), 1 (bad places) or 2 (it could not be read).\n"
    "grep    prints the records that match all of the options. Does not check them.\n\n"
    "  --config FILE      the configuration; %s unless told\n"
    "  --folder FOLDER    the log's folder; audit.folder unless told\n"
    "  --key FILE         the log's key; audit.key_file unless told\n"
    "  --anchors FILE     (verify) anchors: lines of CHAIN NUMBER HASH; besides the database's\n"
    "  --no-anchors       (verify) the database is not asked\n"
    "  --from, --to TIME  (grep) instants or days, UTC; from inclusive, to exclusive\n"
    "  --customer NAME --operation ID --dataset NAME --request-id ID --event NAME   (grep) exactly\n"
    "  --subject NAME     (grep) a person, with --customer; needs the key\n"
    "  --pseudonym HEX    (grep) a person as the log names him\n"
    "  --status 403, 4xx  (grep)\n"
    "  --limit N          (grep) at most so many\n";

static int cannot(const char *what, const struct failure *failure)
{
    fprintf(stderr, "sluice audit %s: %s\n", what, failure->message);
    return CANNOT;
}

static enum status read_config(struct order *order, bool needs_key, struct failure *failure)
{
    struct buffer report;
    if (order->folder != NULL && (order->key != NULL || !needs_key))
        return STATUS_OK;
    buffer_init(&report, (size_t)1 << 20);
    enum status status = config_load(order->config_path, &order->config, &report);
    if (status != STATUS_OK && report.size != 0)
        fwrite(report.data, 1, report.size, stderr);
    buffer_free(&report);
    if (status != STATUS_OK)
        return failure_set(failure, status, "%s cannot be used; --folder and --key can stand in for it",
                           order->config_path);
    if (order->folder == NULL)
        order->folder = order->config->audit.folder;
    return order->folder != NULL
               ? STATUS_OK
               : failure_set(failure, STATUS_INVALID,
                             "%s has no audit.folder: there is no audit log; --folder names one", order->config_path);
}

static enum status read_key(const struct order *order, struct hash_hmac_key *key, struct failure *failure)
{
    struct buffer secret;
    buffer_init(&secret, 65536);
    enum status status = order->key != NULL ? file_read_secret(order->key, &secret, failure)
                                            : config_secret_read(&order->config->audit.key, &secret, failure);
    if (status == STATUS_OK && secret.size < CHAIN_KEY_MINIMUM)
        status = failure_set(failure, STATUS_INVALID, "the audit log's key has %zu bytes; it has at least %d",
                             secret.size, CHAIN_KEY_MINIMUM);
    if (status == STATUS_OK)
        hash_hmac_key_set(key, buffer_text(&secret));
    if (secret.data != NULL)
        hash_wipe(secret.data, secret.capacity);
    buffer_free(&secret);
    return status;
}

/* verify */

static void on_finding(void *context, const char *words)
{
    (void)context;
    puts(words);
}

static enum status gather_anchors(const struct order *order, struct audit_anchors *anchors, struct failure *failure)
{
    struct failure why = {0};
    enum status status = STATUS_OK;
    if (order->anchors != NULL)
        status = audit_anchors_read(order->anchors, anchors, failure);
    if (status != STATUS_OK || order->no_anchors || order->config == NULL)
        return status;
    size_t before = anchors->count;
    if (audit_anchors_fetch(order->config, order->folder, anchors, &why) != STATUS_OK) {
        anchors->count = before;
        fprintf(
            stderr,
            "sluice audit verify: the database's anchors could not be read (%s): a chain that was removed whole, or "
            "at its end, may go unseen\n",
            why.message);
    }
    return STATUS_OK;
}

static int verify(struct order *order)
{
    struct hash_hmac_key key;
    struct audit_anchors anchors = {0};
    struct verify_result result;
    struct failure failure = {0};
    enum status status = read_config(order, true, &failure);
    if (status == STATUS_OK)
        status = read_key(order, &key, &failure);
    if (status == STATUS_OK)
        status = gather_anchors(order, &anchors, &failure);
    if (status == STATUS_OK) {
        verify_sort_anchors(anchors.items, anchors.count);
        struct verify_options options = {order->folder, &key, anchors.items, anchors.count, on_finding, NULL};
        status = verify_folder(&options, &result, &failure);
        hash_wipe(&key, sizeof(key));
    }
    free(anchors.items);
    if (status != STATUS_OK)
        return cannot("verify", &failure);
    printf("%" PRIu64 " chains (%" PRIu64 " being written), %" PRIu64 " segments, %" PRIu64
           " records, %zu anchors: %" PRIu64 " bad places; %" PRIu64 " requests lost by crashes, %" PRIu64
           " records dropped by full disks, %" PRIu64 " deletions by the retention rule\n",
           result.chains, result.live, result.segments, result.records, anchors.count, result.findings, result.lost,
           result.dropped, result.deleted);
    return result.findings == 0 ? EXIT_SUCCESS : FOUND_BAD;
}

/* grep */

struct printing {
    uint64_t left;
};

static bool on_line(void *context, struct text line)
{
    struct printing *printing = context;
    return fwrite(line.data, 1, line.size, stdout) == line.size && --printing->left != 0;
}

static bool read_time(const char *text, int64_t *time_us)
{
    int32_t day;
    if (text == NULL || date_parse_instant(text_from_string(text), time_us))
        return true;
    if (!date_parse(text_from_string(text), &day))
        return false;
    *time_us = (int64_t)day * 86400 * 1000000;
    return true;
}

static bool read_status(const char *text, struct grep_options *options)
{
    int64_t number;
    if (text == NULL)
        return true;
    if (text[0] >= '1' && text[0] <= '5' && strcmp(text + 1, "xx") == 0) {
        options->status_low = (text[0] - '0') * 100;
        options->status_high = options->status_low + 99;
        return true;
    }
    if (!text_to_int64(text_from_string(text), &number) || number < 1 || number > 999)
        return false;
    options->status_low = options->status_high = (int)number;
    return true;
}

static enum status read_wishes(const struct order *order, struct grep_options *options, struct printing *printing,
                               struct failure *failure)
{
    int64_t limit = INT64_MAX;
    *options = (struct grep_options){.folder = order->folder,
                                     .from_us = INT64_MIN,
                                     .to_us = INT64_MAX,
                                     .customer = text_from_string(order->customer),
                                     .operation = text_from_string(order->operation),
                                     .dataset = text_from_string(order->dataset),
                                     .request_id = text_from_string(order->request_id),
                                     .event = text_from_string(order->event),
                                     .on_line = on_line,
                                     .context = printing};
    if (!read_time(order->from, &options->from_us) || !read_time(order->to, &options->to_us))
        return failure_set(failure, STATUS_INVALID,
                           "--from and --to take days (2026-11-21) or instants (2026-11-21T17:00:00Z)");
    if (!read_status(order->status, options))
        return failure_set(failure, STATUS_INVALID, "--status takes a number like 403, or a class like 4xx");
    if (order->limit != NULL && (!text_to_int64(text_from_string(order->limit), &limit) || limit < 1))
        return failure_set(failure, STATUS_INVALID, "--limit takes a number from 1");
    printing->left = (uint64_t)limit;
    return STATUS_OK;
}

/* Whose records: pseudonyms[] and words[] hold what options->subjects points to. */
static enum status read_subject(const struct order *order, struct grep_options *options,
                                char pseudonyms[SUBJECTS_EACH][SUBJECTS_PSEUDONYM_SIZE],
                                struct text words[SUBJECTS_EACH], struct failure *failure)
{
    struct hash_hmac_key key;
    size_t count = 1;
    enum status status = STATUS_OK;
    if (order->subject != NULL && (order->customer == NULL || order->pseudonym != NULL))
        return failure_set(failure, STATUS_INVALID, "--subject needs --customer, and no --pseudonym");
    if (order->pseudonym != NULL) {
        words[0] = text_from_string(order->pseudonym);
    } else if (order->subject != NULL) {
        status = read_key(order, &key, failure);
        if (status == STATUS_OK)
            status = subjects_look_up(order->folder, &key, options->customer, text_from_string(order->subject),
                                      pseudonyms, &count, failure);
        for (size_t i = 0; status == STATUS_OK && i < count; i++)
            words[i] = text_of(pseudonyms[i], SUBJECTS_PSEUDONYM_SIZE);
        hash_wipe(&key, sizeof(key));
    } else {
        count = 0;
    }
    options->subjects = words;
    options->subject_count = count;
    return status;
}

static int grep(struct order *order)
{
    struct grep_options options;
    struct printing printing;
    char pseudonyms[SUBJECTS_EACH][SUBJECTS_PSEUDONYM_SIZE];
    struct text words[SUBJECTS_EACH];
    struct failure failure = {0};
    uint64_t matches = 0;
    enum status status = read_config(order, order->subject != NULL, &failure);
    if (status == STATUS_OK)
        status = read_wishes(order, &options, &printing, &failure);
    if (status == STATUS_OK)
        status = read_subject(order, &options, pseudonyms, words, &failure);
    if (status == STATUS_OK)
        status = grep_folder(&options, &matches, &failure);
    if (status == STATUS_OK && fflush(stdout) != 0)
        status = failure_set(&failure, STATUS_FAILED, "the records could not be written out");
    if (status != STATUS_OK)
        return cannot("grep", &failure);
    return matches != 0 ? EXIT_SUCCESS : FOUND_BAD;
}

int audit_admin_run(int count, char **arguments, const char *default_config)
{
    struct order order = {.config_path = default_config};
    static const struct option known[] = {
        {"config", 1, NULL, 0},      {"folder", 1, NULL, 1},    {"key", 1, NULL, 2},      {"anchors", 1, NULL, 3},
        {"from", 1, NULL, 4},        {"to", 1, NULL, 5},        {"customer", 1, NULL, 6}, {"subject", 1, NULL, 7},
        {"pseudonym", 1, NULL, 8},   {"operation", 1, NULL, 9}, {"dataset", 1, NULL, 10}, {"status", 1, NULL, 11},
        {"request-id", 1, NULL, 12}, {"event", 1, NULL, 13},    {"limit", 1, NULL, 14},   {"no-anchors", 0, NULL, 15},
        {"help", 0, NULL, 16},       {NULL, 0, NULL, 0}};
    const char **places[] = {&order.config_path, &order.folder,   &order.key,        &order.anchors,   &order.from,
                             &order.to,          &order.customer, &order.subject,    &order.pseudonym, &order.operation,
                             &order.dataset,     &order.status,   &order.request_id, &order.event,     &order.limit};
    for (int found; (found = getopt_long(count, arguments, "c:", known, NULL)) != -1;) {
        if (found == 16) {
            printf(help, default_config);
            return EXIT_SUCCESS;
        }
        if (found == '?') {
            fputs("sluice audit: unknown option; sluice audit --help explains it\n", stderr);
            return CANNOT;
        }
        if (found == 15)
            order.no_anchors = true;
        else
            *places[found == 'c' ? 0 : found] = optarg;
    }
    const char *action = count - optind == 1 ? arguments[optind] : "";
    int status = strcmp(action, "verify") == 0 ? verify(&order) : strcmp(action, "grep") == 0 ? grep(&order) : -1;
    if (status < 0) {
        fputs("sluice audit: needs verify or grep; sluice audit --help explains it\n", stderr);
        status = CANNOT;
    }
    if (order.config != NULL)
        config_free(order.config);
    return status;
}
