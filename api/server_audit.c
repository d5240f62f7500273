#include "api/server_audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define SECRET_CEILING 4096 /* bytes */

enum status server_audit_read_secret(const struct config *config, struct buffer *secret, struct failure *failure)
{
    enum status status = config_secret_read(&config->audit.key, secret, failure);
    if (status == STATUS_OK && secret->size < CHAIN_KEY_MINIMUM)
        status =
            failure_set(failure, STATUS_INVALID,
                        "audit.key: the secret has %zu bytes, at least %d are needed; make one: openssl rand -hex 32",
                        secret->size, CHAIN_KEY_MINIMUM);
    return status;
}

static void forget_key(struct buffer *secret)
{
    if (secret->data != NULL)
        hash_wipe(secret->data, secret->capacity);
    buffer_free(secret);
}

enum status server_audit_key(const struct config *config, struct hash_hmac_key *key, struct failure *failure)
{
    struct buffer secret;
    buffer_init(&secret, SECRET_CEILING);
    enum status status = server_audit_read_secret(config, &secret, failure);
    if (status == STATUS_OK)
        hash_hmac_key_set(key, buffer_text(&secret));
    forget_key(&secret);
    return status;
}

/* The host's name, in the characters that a file's name takes. */
static void name_instance(const char *configured, char out[AUDIT_INSTANCE_MAX + 1])
{
    char name[256] = "";
    if (configured == NULL && gethostname(name, sizeof(name) - 1) != 0)
        strcpy(name, "sluice");
    const char *from = configured != NULL ? configured : name[0] != '\0' ? name : "sluice";
    size_t size = strnlen(from, AUDIT_INSTANCE_MAX);
    for (size_t i = 0; i < size; i++) {
        char c = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] + 32) : from[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
        out[i] = allowed ? c : '-';
    }
    out[size] = '\0';
}

static enum status make_folder(const char *folder, struct failure *failure)
{
    struct stat about;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return failure_set(failure, STATUS_INVALID, "audit.folder: cannot make %s: %s", folder, strerror(errno));
    if (stat(folder, &about) != 0 || !S_ISDIR(about.st_mode))
        return failure_set(failure, STATUS_INVALID, "audit.folder: %s is no folder", folder);
    if ((about.st_mode & 077) != 0)
        return failure_set(failure, STATUS_INVALID,
                           "audit.folder: others than its owner can look into %s; chmod 700 %s", folder, folder);
    return STATUS_OK;
}

static void set_options(struct server_audit *audit, const struct config *config, struct text secret)
{
    name_instance(config->audit.instance, audit->instance);
    audit->options = (struct audit_options){.folder = config->audit.folder,
                                            .release = SLUICE_VERSION,
                                            .instance = audit->instance,
                                            .segment_bytes = config->audit.segment_bytes,
                                            .segment_age_ms = config->audit.segment_age_ms,
                                            .on_full = config->audit.on_full,
                                            .address = config->audit.address};
    audit_options_set(&audit->options, secret);
}

static enum status recover(struct server_audit *audit, struct failure *failure)
{
    const struct audit_options *options = &audit->options;
    struct recover_result *result = &audit->recovered;
    enum status status = recover_folder(options->folder, &options->key, result, failure);
    if (status == STATUS_OK && result->chains != 0)
        log_event(
            LOG_WARNING, "audit_recovered",
            "%llu chains of the audit log had no end: a process died; %llu requests were under way, %llu bytes of "
            "unfinished records were cut off",
            (unsigned long long)result->chains, (unsigned long long)result->lost,
            (unsigned long long)result->torn_bytes);
    if (status == STATUS_OK && result->broken != 0)
        log_event(LOG_ERROR, "audit_broken",
                  "%llu chains of the audit log are not what was written; sluice audit verify names the places",
                  (unsigned long long)result->broken);
    return status;
}

enum status server_audit_create(const struct config *config, struct text secret, struct server_audit **out,
                                struct failure *failure)
{
    struct server_audit *audit = calloc(1, sizeof(*audit));
    if (audit == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    set_options(audit, config, secret);
    enum status status = make_folder(config->audit.folder, failure);
    if (status == STATUS_OK)
        status = recover(audit, failure);
    if (status == STATUS_OK)
        status = subjects_open(config->audit.folder, &audit->options.key, &audit->options.subjects, failure);
    if (status == STATUS_OK)
        status = audit_sync_create(&audit->options.sync, failure);
    if (status == STATUS_OK)
        *out = audit;
    else
        server_audit_destroy(audit);
    return status;
}

void server_audit_destroy(struct server_audit *audit)
{
    if (audit == NULL)
        return;
    audit_sync_destroy(audit->options.sync);
    subjects_close(audit->options.subjects);
    hash_wipe(&audit->options.key, sizeof(audit->options.key));
    free(audit);
}
