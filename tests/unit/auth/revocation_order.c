#include "auth/revocation_order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1700000000
#define LONGEST 86460
#define LEEWAY 30

static const struct revocation_lives lives = {LONGEST, LEEWAY};

static struct revocation made;
static struct failure failure;

static enum status make(struct revocation_wish wish)
{
    memset(&failure, 0, sizeof(failure));
    return revocation_order_make(&wish, NOW, &lives, &made, &failure);
}

static void what_is_not_told_is_completed_on_the_safe_side(void **state)
{
    assert_int_equal(make((struct revocation_wish){.token_id = "id"}), STATUS_OK);
    assert_int_equal(made.kind, REVOCATION_TOKEN);
    assert_int_equal(made.until_s, NOW + LONGEST);
    assert_int_equal(make((struct revocation_wish){.token_id = "id", .until = "2023-11-14T22:13:21Z"}), STATUS_OK);
    assert_int_equal(made.until_s, NOW + 1 + LEEWAY); /* until then it is taken */
    assert_int_equal(make((struct revocation_wish){.customer = "acme"}), STATUS_OK);
    assert_int_equal(made.kind, REVOCATION_CUSTOMER);
    assert_int_equal(made.before_s, NOW + 1); /* this second's tokens too */
    assert_int_equal(made.until_s, NOW + 1 + LONGEST);
    assert_int_equal(make((struct revocation_wish){.customer = "acme", .subject = "ann", .before = "1699999000"}),
                     STATUS_OK);
    assert_int_equal(made.kind, REVOCATION_SUBJECT);
    assert_int_equal(made.before_s, 1699999000);
    assert_true(text_equal(made.subject, TEXT("ann")));
    assert_int_equal(make((struct revocation_wish){.customer = "acme", .before = "2023-11-14T23:13:19.000001+01:00"}),
                     STATUS_OK);
    assert_int_equal(made.before_s, NOW); /* a part of a second counts as the whole */
}

static void wishes_that_contradict_themselves_are_refused(void **state)
{
    char long_name[300];
    memset(long_name, 'x', sizeof(long_name));
    long_name[256] = '\0';
    const struct revocation_wish bad[] = {
        {0},
        {.subject = "ann"},
        {.token_id = "a", .customer = "acme"},
        {.token_id = "a", .subject = "ann"},
        {.token_id = "a", .before = "1699999000"},
        {.token_id = ""},
        {.token_id = long_name},
        {.token_id = "\xff"},
        {.token_id = "a", .until = "yesterday"},
        {.token_id = "a", .until = "1699999970"},
        {.token_id = "a", .until = "99999999999999"},
        {.token_id = "a", .until = "-1"},
        {.customer = ""},
        {.customer = "a12345678901234567890123456789012345678901"},
        {.customer = "acme", .subject = ""},
        {.customer = "acme", .until = "1700000001"},
        {.customer = "acme", .before = "1600000000"},
        {.customer = "acme", .before = "1800000000"},
        {.customer = "acme", .before = ""},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(make(bad[i]), STATUS_INVALID);
        assert_true(failure.message[0] != '\0');
    }
}

static void keep(void *context, const struct revocation *order)
{
    struct revocation *kept = context;
    *kept = *order;
    kept->token_id = kept->customer = kept->subject = TEXT_NONE; /* they end with the call */
}

static enum status read(const char *json)
{
    memset(&made, 0, sizeof(made));
    return revocation_order_read(text_from_string(json), NOW, &lives, keep, &made, &failure);
}

static void the_same_is_read_from_json(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "[]",
                                      "{}",
                                      "{\"jti\":1}",
                                      "{\"jti\":null}",
                                      "{\"jti\":\"a\",\"jti\":\"b\"}",
                                      "{\"jti\":\"a\",\"more\":1}",
                                      "{\"jti\":\"a\\u0000b\"}",
                                      "{\"jti\":\"a\",\"until\":1.5}",
                                      "{\"jti\":\"a\",\"until\":true}",
                                      "{\"customer\":\"acme\",\"subject\":7}",
                                      "{\"customer\":[\"acme\"]}"};
    assert_int_equal(read("{\"jti\":\"id\",\"until\":1700000600}"), STATUS_OK);
    assert_int_equal(made.until_s, 1700000600 + LEEWAY);
    assert_int_equal(read("{\"customer\":\"acme\",\"subject\":\"ann\",\"before\":\"2023-11-14T22:13:20Z\"}"),
                     STATUS_OK);
    assert_int_equal(made.kind, REVOCATION_SUBJECT);
    assert_int_equal(made.before_s, NOW);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (read(bad[i]) != STATUS_INVALID)
            fail_msg("%s was taken", bad[i]);
    char *large = calloc(1, REVOCATION_ORDER_MAX + 2);
    memset(large, ' ', REVOCATION_ORDER_MAX + 1);
    memcpy(large, "{\"jti\":\"id\"}", 12);
    assert_int_equal(read(large), STATUS_INVALID);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_told_is_completed_on_the_safe_side),
        cmocka_unit_test(wishes_that_contradict_themselves_are_refused),
        cmocka_unit_test(the_same_is_read_from_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
