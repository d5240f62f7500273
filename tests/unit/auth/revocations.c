#include "auth/revocations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"

#define NOW 1000000

static struct revocations_store *store;
static struct revocations_view *view;
static struct failure failure;

static int set_up(void **state)
{
    hash_init();
    store = revocations_store_create();
    view = revocations_view_create(store);
    assert_true(store != NULL && view != NULL);
    return 0;
}

static int tear_down(void **state)
{
    revocations_view_destroy(view);
    revocations_store_destroy(store);
    return 0;
}

static void add(const struct revocation *items, size_t count, int64_t now_s)
{
    if (revocations_store_add(store, items, count, now_s, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
}

static bool revoked(const char *customer, const char *subject, const char *token_id, int64_t issued_at)
{
    const struct principal principal = {.customer = text_from_string(customer),
                                        .subject = text_from_string(subject),
                                        .token_id = text_from_string(token_id),
                                        .issued_at = issued_at};
    return revocations_revoked(view, &principal);
}

static void nothing_is_revoked_at_first(void **state)
{
    assert_false(revoked("acme", "ann", "id", 1));
    assert_false(revoked("acme", "ann", NULL, 0));
    assert_int_equal(revocations_store_statistics(store).count, 0);
    assert_int_equal(revocations_store_confirmed_at(store), 0);
}

static void a_token_id_hits_that_token_alone(void **state)
{
    const struct revocation item = {.kind = REVOCATION_TOKEN, .token_id = TEXT("id-1"), .until_s = NOW + 10};
    add(&item, 1, NOW);
    assert_true(revoked("acme", "ann", "id-1", NOW));
    assert_true(revoked("birch", "bob", "id-1", 0));
    assert_false(revoked("acme", "ann", "id-2", NOW));
    assert_false(revoked("acme", "ann", "id-", NOW));
    assert_false(revoked("acme", "ann", NULL, NOW));
    assert_false(revoked("id-1", "id-1", "x", 0)); /* other kinds have other names */
    assert_int_equal(revocations_store_statistics(store).refused, 2);
}

static void a_subject_is_hit_by_what_was_issued_before(void **state)
{
    const struct revocation items[] = {
        {.kind = REVOCATION_SUBJECT,
         .customer = TEXT("acme"),
         .subject = TEXT("ann"),
         .before_s = 500,
         .until_s = NOW + 9},
        {.kind = REVOCATION_CUSTOMER, .customer = TEXT("birch"), .before_s = 700, .until_s = NOW + 9}};
    add(items, 2, NOW);
    assert_true(revoked("acme", "ann", NULL, 499));
    assert_true(revoked("acme", "ann", "x", 0));
    assert_false(revoked("acme", "ann", NULL, 500));
    assert_false(revoked("acme", "bob", NULL, 1));
    assert_false(revoked("birches", "ann", NULL, 1));
    assert_true(revoked("birch", "ann", NULL, 699));
    assert_false(revoked("birch", "ann", NULL, 700));
}

static void of_two_for_the_same_the_later_times_count(void **state)
{
    struct revocation item = {
        .kind = REVOCATION_CUSTOMER, .customer = TEXT("acme"), .before_s = 500, .until_s = NOW + 50};
    add(&item, 1, NOW);
    item.before_s = 400;
    item.until_s = NOW + 90;
    add(&item, 1, NOW);
    assert_true(revoked("acme", "ann", NULL, 499));
    add(NULL, 0, NOW + 60);
    assert_true(revoked("acme", "ann", NULL, 499));
    assert_int_equal(revocations_store_statistics(store).count, 1);
    add(NULL, 0, NOW + 90);
    assert_false(revoked("acme", "ann", NULL, 499));
    assert_int_equal(revocations_store_statistics(store).count, 0);
}

static void what_has_had_its_time_is_not_taken_and_names_too_long_are_none(void **state)
{
    char name[300];
    memset(name, 'x', sizeof(name));
    const struct revocation items[] = {
        {.kind = REVOCATION_TOKEN, .token_id = TEXT("old"), .until_s = NOW},
        {.kind = REVOCATION_TOKEN, .token_id = text_of(name, sizeof(name)), .until_s = NOW + 10},
        {.kind = REVOCATION_TOKEN, .token_id = text_of(name, 255), .until_s = NOW + 10},
        {.kind = REVOCATION_TOKEN, .token_id = TEXT_NONE, .until_s = NOW + 10},
        {.kind = REVOCATION_SUBJECT, .customer = TEXT_NONE, .subject = TEXT("a"), .before_s = 9, .until_s = NOW + 10}};
    add(items, 5, NOW);
    assert_int_equal(revocations_store_statistics(store).count, 1);
    assert_false(revoked("a", "a", "old", 1));
    assert_false(revoked("", "a", NULL, 1));
}

static void many_are_found_and_more_than_the_bound_are_refused_with_the_set_as_it_was(void **state)
{
    struct revocation *items = calloc(REVOCATIONS_MAX, sizeof(*items));
    char(*names)[16] = calloc(REVOCATIONS_MAX, sizeof(*names));
    for (size_t i = 0; i < REVOCATIONS_MAX; i++) {
        int size = snprintf(names[i], sizeof(names[i]), "id-%zu", i);
        items[i] = (struct revocation){
            .kind = REVOCATION_TOKEN, .token_id = text_of(names[i], (size_t)size), .until_s = NOW + 10};
    }
    add(items, REVOCATIONS_MAX / 2, NOW);
    add(items + REVOCATIONS_MAX / 2, REVOCATIONS_MAX / 2, NOW);
    assert_int_equal(revocations_store_statistics(store).count, REVOCATIONS_MAX);
    for (size_t i = 0; i < REVOCATIONS_MAX; i += 997)
        assert_true(revoked("a", "a", names[i], 1));
    assert_false(revoked("a", "a", "id-200000", 1));
    items[0].token_id = TEXT("one more");
    assert_int_equal(revocations_store_add(store, items, 1, NOW, &failure), STATUS_TOO_LARGE);
    assert_true(revoked("a", "a", "id-0", 1));
    assert_false(revoked("a", "a", "one more", 1));
    free(items);
    free(names);
}

static void a_view_outlives_the_set_that_it_has(void **state)
{
    const struct revocation item = {.kind = REVOCATION_TOKEN, .token_id = TEXT("id-1"), .until_s = NOW + 10};
    add(&item, 1, NOW);
    assert_true(revoked("acme", "ann", "id-1", NOW));
    add(NULL, 0, NOW + 11); /* the store lets go, the view still has it */
    revocations_view_destroy(view);
    view = NULL;
}

static void names_of_kinds_lead_back(void **state)
{
    enum revocation_kind kind;
    assert_true(revocation_kind_of(TEXT("subject"), &kind) && kind == REVOCATION_SUBJECT);
    assert_string_equal(revocation_kind_name(REVOCATION_TOKEN), "token");
    assert_false(revocation_kind_of(TEXT("tokens"), &kind));
    assert_false(revocation_kind_of(TEXT_NONE, &kind));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_revoked_at_first),
        TEST(a_token_id_hits_that_token_alone),
        TEST(a_subject_is_hit_by_what_was_issued_before),
        TEST(of_two_for_the_same_the_later_times_count),
        TEST(what_has_had_its_time_is_not_taken_and_names_too_long_are_none),
        TEST(many_are_found_and_more_than_the_bound_are_refused_with_the_set_as_it_was),
        TEST(a_view_outlives_the_set_that_it_has),
        TEST(names_of_kinds_lead_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
