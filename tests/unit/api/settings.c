/* What a configuration becomes, what two of them share, and when it goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/config_change.h"
#include "api/settings.h"
#include "base/hash.h"
#include "limit/tier.h"
#include "openapi/embedded.h"

#define ISSUERS "auth: {issuers: [{issuer: 'https://a', audience: a, jwks_url: 'http://127.0.0.1:1/'}]}\n"
#define TIERS "limits: {default_tier: one, tiers: {one: {rates: [{rate: 5/s, burst: 7}]}, two: {rates: []}}"

static struct openapi *contract;
static size_t unused;

static struct config *parse(const char *text)
{
    struct config *config;
    struct buffer report;
    buffer_init(&report, 1 << 16);
    if (config_parse("test.yaml", text_from_string(text), &config, &report) != STATUS_OK)
        fail_msg("%.*s", (int)report.size, report.data);
    buffer_free(&report);
    return config;
}

static void on_unused(struct settings *settings)
{
    unused++;
    settings_free(settings);
}

static struct settings *make(const char *text, const struct settings *before)
{
    const struct settings_order order = {parse(text), true, contract, before};
    struct settings *settings;
    struct failure failure;
    if (settings_create(&order, &settings, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    settings->on_unused = on_unused;
    return settings;
}

static void a_tier_is_found_by_its_name_and_the_default_one_without(void **state)
{
    struct settings *settings = make(ISSUERS TIERS "}\n", NULL);
    (void)state;
    assert_int_equal(settings_tier_index(settings, TEXT("two")), 1);
    assert_int_equal(settings_tier_index(settings, TEXT_NONE), 0);
    assert_int_equal(settings_tier_index(settings, TEXT("three")), SIZE_MAX);
    assert_string_equal(settings->tiers[0].header, "\"second\";q=5;w=1;burst=7");
    settings_unref(settings);
}

static void a_tier_that_says_the_same_is_the_same(void **state)
{
    struct settings *first = make(ISSUERS TIERS "}\n", NULL);
    struct settings *second = make(ISSUERS TIERS ", address: null}\n", first);
    struct settings *third =
        make(ISSUERS "limits: {default_tier: one, tiers: {one: {rates: [{rate: 5/s, burst: 8}]}}}\n", second);
    (void)state;
    assert_ptr_equal(first->tiers[0].limit, second->tiers[0].limit);
    assert_ptr_not_equal(first->address_tier, second->address_tier);
    assert_ptr_not_equal(second->tiers[0].limit, third->tiers[0].limit);
    settings_unref(first);
    assert_int_equal(second->tiers[0].limit->policies[0].burst, 7);
    settings_unref(second);
    settings_unref(third);
    assert_int_equal(tier_count(), 0);
}

static void settings_go_with_their_last_reference(void **state)
{
    struct settings *settings = make(ISSUERS TIERS "}\n", NULL);
    (void)state;
    unused = 0;
    settings_ref(settings);
    settings_unref(settings);
    assert_int_equal(unused, 0);
    settings_unref(settings);
    assert_int_equal(unused, 1);
}

static void they_say_what_is_the_same_as_before(void **state)
{
    struct settings *first = make(ISSUERS TIERS "}\n", NULL);
    struct settings *limits = make(ISSUERS TIERS ", instances: 2}\n", first);
    struct settings *catalog = make(ISSUERS TIERS "}\nwarehouse: {catalog_check: 300ms}\n", first);
    struct settings *auth = make("auth: {leeway: 5s, issuers: [{issuer: 'https://a', audience: a, jwks_url: "
                                 "'http://127.0.0.1:1/'}]}\n" TIERS "}\n",
                                 first);
    (void)state;
    assert_true(limits->same_auth && limits->same_catalog);
    assert_true(catalog->same_auth && !catalog->same_catalog);
    assert_true(!auth->same_auth && auth->same_catalog);
    settings_unref(first);
    settings_unref(limits);
    settings_unref(catalog);
    settings_unref(auth);
}

static void weights_of_operations_that_are_not_there_are_refused(void **state)
{
    const struct settings_order order = {parse(ISSUERS TIERS ", weights: {getNothing: 3}}\n"), true, contract, NULL};
    struct settings *settings;
    struct failure failure;
    (void)state;
    assert_int_equal(settings_create(&order, &settings, &failure), STATUS_INVALID);
    assert_non_null(strstr(failure.message, "limits.weights.getNothing"));
    assert_int_equal(tier_count(), 0);
}

static void keys_that_only_a_start_reads_are_named_each(void **state)
{
    struct config *running = parse(ISSUERS TIERS "}\n");
    struct config *next = parse(ISSUERS TIERS ", instances: 4}\nserver: {workers: 3}\njobs: {keep: 2h}\n");
    struct buffer report;
    (void)state;
    buffer_init(&report, 4096);
    assert_int_equal(config_check_reload(running, running, &report), STATUS_OK);
    assert_int_equal(report.size, 0);
    assert_int_equal(config_check_reload(running, next, &report), STATUS_INVALID);
    assert_non_null(strstr(buffer_c_string(&report), "server.workers: differs"));
    assert_non_null(strstr(buffer_c_string(&report), "jobs.keep: differs"));
    assert_null(strstr(buffer_c_string(&report), "limits"));
    buffer_free(&report);
    config_free(running);
    config_free(next);
}

static void what_is_written_as_the_default_is_no_difference(void **state)
{
    struct config *without = parse(ISSUERS TIERS "}\n"), *with = parse(ISSUERS TIERS "}\njobs: {keep: 24h}\n");
    (void)state;
    assert_false(config_differs(without, with, "jobs"));
    assert_false(config_differs(without, with, "server"));
    config_free(with);
    with = parse(ISSUERS TIERS "}\njobs: {keep: 23h}\n");
    assert_true(config_differs(without, with, "jobs"));
    assert_true(config_differs(without, with, "jobs.keep"));
    assert_false(config_differs(without, with, "job"));
    config_free(without);
    config_free(with);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tier_is_found_by_its_name_and_the_default_one_without),
        cmocka_unit_test(a_tier_that_says_the_same_is_the_same),
        cmocka_unit_test(settings_go_with_their_last_reference),
        cmocka_unit_test(they_say_what_is_the_same_as_before),
        cmocka_unit_test(weights_of_operations_that_are_not_there_are_refused),
        cmocka_unit_test(keys_that_only_a_start_reads_are_named_each),
        cmocka_unit_test(what_is_written_as_the_default_is_no_difference),
    };
    struct failure failure;
    hash_init();
    if (openapi_load("openapi.yaml", embedded_contract(), &contract, &failure) != STATUS_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    openapi_free(contract);
    return failed;
}
