#include "auth/revocation_order.h"

#include <stdio.h>

#include <jansson.h>

#include "base/date.h"

#define MAX_NAME 255
#define MAX_CUSTOMER 41
#define LAST_S 253402300799 /* the end of the year 9999 */

static bool parse_time(const char *given, int64_t *seconds)
{
    struct text text = text_from_string(given);
    int64_t microseconds;
    if (text_to_int64(text, seconds))
        return *seconds > 0 && *seconds <= LAST_S;
    if (!date_parse_instant(text, &microseconds))
        return false;
    *seconds = (microseconds + 999999) / 1000000; /* upwards: the later second is the safe one */
    return *seconds > 0 && *seconds <= LAST_S;
}

static enum status read_time(const char *given, const char *field, int64_t otherwise, int64_t *seconds,
                             struct failure *failure)
{
    *seconds = otherwise;
    if (given == NULL || parse_time(given, seconds))
        return STATUS_OK;
    return failure_set(failure, STATUS_INVALID, "%s needs a time like 2030-01-31T12:00:00Z, or seconds since 1970",
                       field);
}

/* What a token can carry, so that a slip of the hand is no revocation that finds nothing. */
static enum status check_name(const char *given, const char *field, size_t most, struct failure *failure)
{
    size_t size = strlen(given);
    if (size != 0 && size <= most && text_is_utf8(text_of(given, size)))
        return STATUS_OK;
    return failure_set(failure, STATUS_INVALID, "%s needs 1 to %zu bytes of UTF-8", field, most);
}

static enum status check_names(const struct revocation_wish *wish, struct failure *failure)
{
    enum status status = STATUS_OK;
    if ((wish->token_id != NULL) == (wish->customer != NULL))
        return failure_set(failure, STATUS_INVALID,
                           "needs either jti, or customer with or without subject; a subject is one of a customer");
    if (wish->token_id != NULL && (wish->subject != NULL || wish->before != NULL))
        return failure_set(failure, STATUS_INVALID, "jti names one token: subject and before do not go with it");
    if (wish->customer != NULL && wish->until != NULL)
        return failure_set(failure, STATUS_INVALID,
                           "until goes with jti; of a customer all tokens issued before `before` are revoked");
    if (wish->token_id != NULL)
        return check_name(wish->token_id, "jti", MAX_NAME, failure);
    status = check_name(wish->customer, "customer", MAX_CUSTOMER, failure);
    return status == STATUS_OK && wish->subject != NULL ? check_name(wish->subject, "subject", MAX_NAME, failure)
                                                        : status;
}

enum status revocation_order_make(const struct revocation_wish *wish, int64_t now_s,
                                  const struct revocation_lives *lives, struct revocation *made,
                                  struct failure *failure)
{
    enum status status = check_names(wish, failure);
    *made = (struct revocation){.kind = wish->token_id != NULL  ? REVOCATION_TOKEN
                                        : wish->subject != NULL ? REVOCATION_SUBJECT
                                                                : REVOCATION_CUSTOMER,
                                .token_id = text_from_string(wish->token_id),
                                .customer = text_from_string(wish->customer),
                                .subject = text_from_string(wish->subject)};
    if (status != STATUS_OK)
        return status;
    if (made->kind == REVOCATION_TOKEN) {
        status = read_time(wish->until, "until", now_s + lives->longest_s, &made->until_s, failure);
        if (status == STATUS_OK && wish->until != NULL)
            made->until_s += lives->leeway_s;
        if (status == STATUS_OK && made->until_s <= now_s)
            status = failure_set(failure, STATUS_INVALID, "until lies in the past: give the token's exp, or nothing");
        return status;
    }
    status = read_time(wish->before, "before", now_s + 1, &made->before_s, failure);
    if (status == STATUS_OK && made->before_s > now_s + lives->longest_s)
        status = failure_set(failure, STATUS_INVALID, "before lies further ahead than any token lives");
    made->until_s = made->before_s + lives->longest_s;
    if (status == STATUS_OK && made->until_s <= now_s)
        status = failure_set(failure, STATUS_INVALID,
                             "before lies so far back that all such tokens have expired; there is nothing to revoke");
    return status;
}

/* A member's text; a whole number stands for itself in the 24 bytes at `number`. */
static const char *member_of(const json_t *root, const char *name, char number[24], bool *wrong)
{
    const json_t *value = json_object_get(root, name);
    if (json_is_integer(value)) {
        snprintf(number, 24, "%lld", (long long)json_integer_value(value));
        return number;
    }
    *wrong = *wrong || (value != NULL && !json_is_string(value));
    return json_string_value(value);
}

static enum status read_members(const json_t *root, struct revocation_wish *wish, char numbers[5][24],
                                struct failure *failure)
{
    static const char *const names[] = {"jti", "customer", "subject", "before", "until"};
    const char **places[] = {&wish->token_id, &wish->customer, &wish->subject, &wish->before, &wish->until};
    size_t found = 0;
    for (size_t i = 0; i < 5; i++) {
        bool wrong = false;
        *places[i] = member_of(root, names[i], numbers[i], &wrong);
        found += json_object_get(root, names[i]) != NULL;
        if (wrong || (i < 3 && *places[i] == numbers[i]))
            return failure_set(failure, STATUS_INVALID, "%s needs a text", names[i]);
    }
    if (found != json_object_size(root))
        return failure_set(failure, STATUS_INVALID, "known here are jti, customer, subject, before and until");
    return STATUS_OK;
}

enum status revocation_order_read(struct text json, int64_t now_s, const struct revocation_lives *lives,
                                  void (*use)(void *context, const struct revocation *made), void *context,
                                  struct failure *failure)
{
    json_error_t error;
    struct revocation_wish wish = {0};
    struct revocation order;
    char numbers[5][24];
    json_t *root = NULL;
    if (json.size != 0 && json.size <= REVOCATION_ORDER_MAX)
        root = json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, &error);
    enum status status = json_is_object(root)
                             ? read_members(root, &wish, numbers, failure)
                             : failure_set(failure, STATUS_INVALID,
                                           "needs a JSON object like {\"jti\": \"…\"} or {\"customer\": \"…\", "
                                           "\"subject\": \"…\"}");
    if (status == STATUS_OK)
        status = revocation_order_make(&wish, now_s, lives, &order, failure);
    if (status == STATUS_OK)
        use(context, &order);
    json_decref(root);
    return status;
}
