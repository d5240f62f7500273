/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>

#include "api/customer_names.h"

#define LONGEST "abcdefghijklmnopqrstuvwxyz_0123456789abcd" /* 41 */

static struct customer_names names;

static void a_name_gives_a_role_and_three_schemas(void **state)
{
    assert_true(customer_names_of(TEXT("acme"), &names));
    assert_string_equal(names.role, "sluice_c_acme");
    assert_string_equal(names.uploads, "acme_uploads");
    assert_string_equal(names.analytics, "acme_analytics");
    assert_string_equal(names.jobs, "acme_jobs");
}

static void the_longest_name_fits_whole_within_postgresqls_63_bytes(void **state)
{
    assert_true(customer_names_of(TEXT(LONGEST), &names));
    assert_string_equal(names.role, "sluice_c_" LONGEST);
    assert_string_equal(names.analytics, LONGEST "_analytics");
    assert_true(strlen(names.role) <= 63 && strlen(names.analytics) <= 63);
}

static void what_is_no_name_or_is_reserved_has_none(void **state)
{
    static const struct text bad[] = {{"", 0},    {NULL, 0},       {"A", 1},          {"1a", 2},  {"_a", 2},
                                      {"a-b", 3}, {"a.b", 3},      {"a\"b", 3},       {"a'b", 3}, {"a\0b", 3},
                                      {"a b", 3}, {"\xC3\xA4", 2}, {LONGEST "e", 42}, {"pg", 2},  {"pg_x", 4},
                                      {"a\n", 2}, {"a\xFF", 2},    {"aB", 2},         {"a/", 2},  {"warehouse", 9}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(customer_names_of(bad[i], &names));
    assert_true(customer_names_of(TEXT("pgx"), &names));
    assert_true(customer_names_of(TEXT("warehouse2"), &names));
}

/* RFC 4231, test case 2: the same on all instances means the same as the standard's. */
static void the_password_is_the_hmac_of_the_name(void **state)
{
    char password[CUSTOMER_PASSWORD_SIZE], other[CUSTOMER_PASSWORD_SIZE];
    customer_password(TEXT("Jefe"), TEXT("what do ya want for nothing?"), password);
    assert_string_equal(password, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    customer_password(TEXT("Jefe"), TEXT("acme"), password);
    customer_password(TEXT("Jefe"), TEXT("acmf"), other);
    assert_string_not_equal(password, other);
}

static void a_login_is_the_readers_but_for_role_and_password(void **state)
{
    const struct postgres_login reader = {
        .host = "h", .port = 7, .user = "sluice_reader", .password = "p", .database = "d"};
    struct customer_login login;
    customers_login(&reader, TEXT("key"), TEXT("acme"), &login);
    assert_string_equal(login.login.user, "sluice_c_acme");
    assert_ptr_equal(login.login.password, login.password);
    assert_int_equal(strlen(login.login.password), 64);
    assert_string_equal(login.login.host, "h");
    assert_string_equal(login.login.database, "d");
    assert_int_equal(login.login.port, 7);
}

static void a_login_key_is_absent_or_long_enough(void **state)
{
    struct config config = {0};
    struct buffer key;
    struct failure failure;
    buffer_init(&key, 1000);
    assert_int_equal(customer_login_key(&config, &key, &failure), STATUS_OK);
    assert_int_equal(key.size, 0);
    config.customers.login_key.environment = "SLUICE_TEST_LOGIN_KEY";
    setenv("SLUICE_TEST_LOGIN_KEY", "too short", 1);
    assert_int_equal(customer_login_key(&config, &key, &failure), STATUS_INVALID);
    assert_null(strstr(failure.message, "too short"));
    buffer_clear(&key);
    setenv("SLUICE_TEST_LOGIN_KEY", "0123456789abcdef0123456789abcdef", 1);
    assert_int_equal(customer_login_key(&config, &key, &failure), STATUS_OK);
    assert_int_equal(key.size, 32);
    buffer_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_gives_a_role_and_three_schemas),
        cmocka_unit_test(the_longest_name_fits_whole_within_postgresqls_63_bytes),
        cmocka_unit_test(what_is_no_name_or_is_reserved_has_none),
        cmocka_unit_test(the_password_is_the_hmac_of_the_name),
        cmocka_unit_test(a_login_is_the_readers_but_for_role_and_password),
        cmocka_unit_test(a_login_key_is_absent_or_long_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
