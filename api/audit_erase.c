#include "api/audit_erase.h"

#include <unistd.h>

#include "api/server_audit.h"
#include "audit/subjects.h"
#include "base/encoding.h"

static void on_number(void *context, const struct postgres_rows *rows)
{
    if (!text_to_int64(postgres_rows_value(rows, 0, 0), context))
        *(int64_t *)context = 0;
}

static enum status ask_gateways(struct postgres_session *session, const char *customer,
                                const unsigned char index[SUBJECTS_INDEX_SIZE], FILE *out, struct failure *failure)
{
    char digits[2 * SUBJECTS_INDEX_SIZE + 1];
    int64_t number = 0;
    encoding_hex(index, SUBJECTS_INDEX_SIZE, digits);
    digits[sizeof(digits) - 1] = '\0';
    const struct text parameters[] = {text_from_string(customer), text_from_string(digits)};
    enum status status = postgres_session_query(session, "select sluice.audit_erase($1, $2)", 2, parameters, on_number,
                                                &number, failure);
    if (status == STATUS_OK)
        fprintf(out, "erasure %lld: every gateway of this database forgets this person within two seconds\n",
                (long long)number);
    return status;
}

static enum status erase_here(const struct config *config, const struct hash_hmac_key *key,
                              const unsigned char index[SUBJECTS_INDEX_SIZE], FILE *out, struct failure *failure)
{
    struct audit_subjects *subjects;
    char path[4096];
    snprintf(path, sizeof(path), "%s/subjects", config->audit.folder);
    if (access(path, F_OK) != 0) {
        fprintf(out, "%s is not on this machine: nothing to erase here\n", path);
        return STATUS_OK;
    }
    enum status status = subjects_open(config->audit.folder, key, &subjects, failure);
    if (status != STATUS_OK)
        return status;
    status = subjects_erase(subjects, index, failure);
    subjects_close(subjects);
    if (status == STATUS_NOT_FOUND)
        fprintf(out, "%s does not know this person\n", path);
    else if (status == STATUS_OK)
        fprintf(out, "%s: the person's pseudonym is nobody's any more\n", path);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status audit_erase_subject(const struct config *config, struct postgres_session *session, const char *customer,
                                const char *subject, FILE *out, struct failure *failure)
{
    struct hash_hmac_key key;
    unsigned char index[SUBJECTS_INDEX_SIZE];
    if (config->audit.folder == NULL)
        return failure_set(failure, STATUS_INVALID,
                           "%s has no audit.folder: there is no audit log whose key could tell the person",
                           config->path);
    enum status status = server_audit_key(config, &key, failure);
    if (status != STATUS_OK)
        return status;
    subjects_index(&key, text_from_string(customer), text_from_string(subject), index);
    status = ask_gateways(session, customer, index, out, failure);
    if (status == STATUS_OK)
        status = erase_here(config, &key, index, out, failure);
    hash_wipe(&key, sizeof(key));
    return status;
}
