#include "auth/tokens.h"

#include "workspace.h"

#define HEADER "{\"alg\":\"$\",\"kid\":\"$\",\"typ\":\"JWT\"}"
#define KID(kid) "{\"alg\":\"$\",\"kid\":\"" kid "\"}"

static EVP_PKEY *old_pkey, *new_pkey; /* P-256, as kid "ES256" and "new" in the JWKS file */
static struct keys_store *store;
static struct tokens *tokens;
static struct buffer token, authorization;
static struct {
    int count;
    enum tokens_verdict verdict;
    const struct principal *principal; /* a reference */
    char reason[64];
} answer;

static void on_answer(void *context, enum tokens_verdict verdict, const struct principal *principal, const char *reason)
{
    answer.count++;
    answer.verdict = verdict;
    if (principal != NULL)
        principal_ref(principal);
    principal_unref(answer.principal);
    answer.principal = principal;
    snprintf(answer.reason, sizeof(answer.reason), "%s", reason != NULL ? reason : "");
}

static const char *write_jwks(EVP_PKEY *first, const char *first_kid, EVP_PKEY *second, const char *second_kid)
{
    struct buffer document;
    buffer_init(&document, 65536);
    buffer_append_string(&document, "{\"keys\":[");
    forge_jwk(&document, first, first_kid);
    buffer_append_string(&document, "}");
    if (second != NULL) {
        buffer_append_string(&document, ",");
        forge_jwk(&document, second, second_kid);
        buffer_append_string(&document, "}");
    }
    buffer_append_string(&document, "]}");
    const char *path = workspace_write("jwks.json", buffer_text(&document), 0644);
    strcpy(server.body, buffer_c_string(&document)); /* no server runs yet */
    buffer_free(&document);
    return path;
}

static void start(const char *url, uint32_t cooldown_ms, const struct tokens_options *rules)
{
    static const char *const allowed[] = {"ES256", NULL};
    static struct keys_file file = {.kid = "HS256", .algorithm = "HS256"};
    struct failure failure;
    file.file = workspace_write("secret.key", text_of(forge_secret, 64), 0600);
    const char *path = write_jwks(old_pkey, "ES256", NULL, NULL);
    struct keys_options options = {.issuer = forge_issuer.issuer,
                                   .files = &file,
                                   .file_count = 1,
                                   .jwks_file = url == NULL ? path : NULL,
                                   .jwks_url = url,
                                   .refresh_ms = 3600000,
                                   .cooldown_ms = cooldown_ms,
                                   .timeout_ms = 20000,
                                   .allowed_algorithms = allowed};
    if (keys_store_create(loop, &options, &store, &failure) != STATUS_OK)
        fail_msg("%s", failure.message);
    tokens = tokens_create(worker_loop, &store, rules);
    assert_non_null(tokens);
}

static int set_up(void **state)
{
    workspace_open();
    workspace_loops();
    buffer_init(&token, 1 << 20);
    buffer_init(&authorization, 1 << 20);
    memset(&answer, 0, sizeof(answer));
    store = NULL;
    tokens = NULL;
    old_pkey = forge_pkey("ES256");
    new_pkey = forge_pkey("ES256");
    return 0;
}

static int tear_down(void **state)
{
    principal_unref(answer.principal);
    tokens_destroy(tokens);
    workspace_drain();
    keys_store_destroy(store);
    EVP_PKEY_free(old_pkey);
    EVP_PKEY_free(new_pkey);
    buffer_free(&token);
    buffer_free(&authorization);
    workspace_close();
    return 0;
}

static struct tokens_wait *ask_raw(const char *value, int64_t now_s)
{
    return tokens_verify(tokens, text_from_string(value), now_s, on_answer, NULL);
}

static struct tokens_wait *ask_at(int64_t now_s)
{
    buffer_clear(&authorization);
    buffer_append_string(&authorization, "Bearer ");
    buffer_append_text(&authorization, buffer_text(&token));
    return tokens_verify(tokens, buffer_text(&authorization), now_s, on_answer, NULL);
}

static void expect_at(int64_t now_s, enum tokens_verdict verdict, const char *reason)
{
    int before = answer.count;
    assert_null(ask_at(now_s));
    assert_int_equal(answer.count, before + 1);
    assert_string_equal(answer.reason, reason);
    assert_int_equal(answer.verdict, verdict);
}

static void a_verified_token_is_remembered(void **state)
{
    start(NULL, 30000, &forge_rules);
    forge_token(&token, "HS256", NULL, HEADER, FORGE_GOOD);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    uint64_t serial = answer.principal->serial;
    expect_at(FORGE_NOW + 1, TOKENS_VALID, "");
    assert_int_equal(answer.principal->serial, serial);
    assert_true(text_equal(answer.principal->customer, TEXT("acme")));
    struct tokens_statistics statistics = tokens_statistics(tokens);
    assert_int_equal(statistics.hits, 1);
    assert_int_equal(statistics.verified, 1);
    assert_int_equal(statistics.refused, 0);
    assert_int_equal(statistics.cached, 1);
    forge_token(&token, "ES256", old_pkey, HEADER, FORGE_GOOD);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    assert_int_not_equal(answer.principal->serial, serial);
}

static void a_refused_token_is_not_remembered(void **state)
{
    start(NULL, 30000, &forge_rules);
    forge_token(&token, "HS256", NULL, HEADER, FORGE_GOOD);
    token.data[token.size - 3] ^= 1;
    expect_at(FORGE_NOW, TOKENS_INVALID, "wrong signature");
    expect_at(FORGE_NOW, TOKENS_INVALID, "wrong signature");
    assert_int_equal(tokens_statistics(tokens).cached, 0);
    assert_int_equal(tokens_statistics(tokens).refused, 2);
}

static void the_scheme_is_bearer_in_any_case_and_others_are_no_token_at_all(void **state)
{
    static const char *const missing[] = {"",       "Basic dTpw", "Bearerx a.b.c", "Token a.b.c", "Bear",
                                          "Digest", "bearer:a.b", "\tBearer\ta.b", "a.b.c",       "DPoP a.b.c"};
    static const char *const invalid[] = {"Bearer", "bearer ", "BEARER   ", "Bearer a.b.c", "Bearer a.b.c, Bearer d"};
    static const char *const schemes[] = {"Bearer ", "bearer ", "BEARER ", "beareR    ", " Bearer "};
    start(NULL, 30000, &forge_rules);
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        assert_null(ask_raw(missing[i], FORGE_NOW));
        assert_int_equal(answer.verdict, TOKENS_MISSING);
    }
    assert_null(tokens_verify(tokens, TEXT_NONE, FORGE_NOW, on_answer, NULL));
    assert_int_equal(answer.verdict, TOKENS_MISSING);
    assert_int_equal(tokens_statistics(tokens).refused, 0);
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        assert_null(ask_raw(invalid[i], FORGE_NOW));
        assert_int_equal(answer.verdict, TOKENS_INVALID);
    }
    forge_token(&token, "HS256", NULL, HEADER, FORGE_GOOD);
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        buffer_clear(&authorization);
        buffer_append_string(&authorization, schemes[i]);
        buffer_append_text(&authorization, buffer_text(&token));
        assert_null(tokens_verify(tokens, buffer_text(&authorization), FORGE_NOW, on_answer, NULL));
        assert_int_equal(answer.verdict, TOKENS_VALID);
    }
    assert_int_equal(tokens_statistics(tokens).hits, sizeof(schemes) / sizeof(schemes[0]) - 1);
}

static void white_space_inside_a_token_is_refused(void **state)
{
    start(NULL, 30000, &forge_rules);
    forge_token(&token, "HS256", NULL, HEADER, FORGE_GOOD);
    char *middle = token.data + token.size / 2;
    char byte = *middle;
    for (const char *space = " \t\r\n"; *space != '\0'; space++) {
        *middle = *space;
        assert_null(ask_at(FORGE_NOW));
        assert_int_equal(answer.verdict, TOKENS_INVALID);
    }
    *middle = byte;
    expect_at(FORGE_NOW, TOKENS_VALID, "");
}

static void nothing_is_remembered_past_its_exp(void **state)
{
    start(NULL, 30000, &forge_rules);
    forge_token(&token, "HS256", NULL, HEADER, FORGE_GOOD);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    expect_at(FORGE_NOW + 599, TOKENS_VALID, "");
    assert_int_equal(tokens_statistics(tokens).hits, 1);
    expect_at(FORGE_NOW + 600, TOKENS_VALID, ""); /* the leeway: verified anew, not remembered */
    assert_int_equal(tokens_statistics(tokens).hits, 1);
    assert_int_equal(tokens_statistics(tokens).cached, 0);
    expect_at(FORGE_NOW + 629, TOKENS_VALID, "");
    expect_at(FORGE_NOW + 630, TOKENS_INVALID, "expired");
    assert_int_equal(tokens_statistics(tokens).hits, 1);
}

static void forge_padded(int number, size_t size)
{
    char payload[8192];
    int at = snprintf(payload, sizeof(payload), "{" FORGE_BASE ",\"exp\":1700000600,\"n\":%d,\"p\":\"", number);
    memset(payload + at, 'x', size);
    strcpy(payload + at + (int)size, "\"}");
    forge_token(&token, "HS256", NULL, HEADER, payload);
}

static void the_cache_is_bounded_by_entries(void **state)
{
    start(NULL, 30000, &forge_rules);
    for (int i = 0; i < 150; i++) {
        forge_padded(i, 1);
        expect_at(FORGE_NOW, TOKENS_VALID, "");
    }
    assert_int_equal(tokens_statistics(tokens).cached, 100);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    assert_int_equal(tokens_statistics(tokens).hits, 1);
    forge_padded(0, 1);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    assert_int_equal(tokens_statistics(tokens).hits, 1);
}

static void the_cache_is_bounded_by_bytes(void **state)
{
    struct tokens_options rules = forge_rules;
    rules.cache = 1000000;
    start(NULL, 30000, &rules);
    for (int i = 0; i < 2300; i++) {
        forge_padded(i, 5700); /* 7.9 KB of token each, 18 MB in all */
        expect_at(FORGE_NOW, TOKENS_VALID, "");
    }
    size_t cached = tokens_statistics(tokens).cached;
    assert_true(cached > 1000 && cached * 7900 < 16 * 1024 * 1024);
}

static void refetch_into_the_worker(void)
{
    uint64_t fetches = keys_store_statistics(store).fetches;
    loop_until(loop, keys_store_refetch(store));
    loop_until(loop, keys_store_statistics(store).fetches > fetches);
    loop_turn(worker_loop, 0);
}

static void a_key_that_is_gone_takes_its_remembered_tokens_with_it_and_no_others(void **state)
{
    struct buffer kept;
    start(NULL, 3600000, &forge_rules);
    forge_token(&token, "HS256", NULL, HEADER, FORGE_GOOD);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    kept = token;
    buffer_init(&token, 1 << 20);
    forge_token(&token, "ES256", old_pkey, HEADER, FORGE_GOOD);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    write_jwks(new_pkey, "new", NULL, NULL);
    refetch_into_the_worker();
    expect_at(FORGE_NOW, TOKENS_INVALID, "unknown key");
    buffer_free(&token);
    token = kept;
    uint64_t hits = tokens_statistics(tokens).hits;
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    assert_int_equal(tokens_statistics(tokens).hits, hits + 1);
}

static void a_key_that_changed_under_its_kid_invalidates_what_it_signed_before(void **state)
{
    start(NULL, 3600000, &forge_rules);
    forge_token(&token, "ES256", old_pkey, HEADER, FORGE_GOOD);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    write_jwks(new_pkey, "ES256", NULL, NULL);
    refetch_into_the_worker();
    expect_at(FORGE_NOW, TOKENS_INVALID, "wrong signature");
    forge_token(&token, "ES256", new_pkey, HEADER, FORGE_GOOD);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
}

static void an_unknown_kid_waits_for_the_new_keys(void **state)
{
    start(NULL, 3600000, &forge_rules);
    forge_token(&token, "ES256", new_pkey, KID("new"), FORGE_GOOD);
    write_jwks(old_pkey, "ES256", new_pkey, "new");
    assert_non_null(ask_at(FORGE_NOW));
    assert_non_null(ask_at(FORGE_NOW)); /* another joins */
    assert_int_equal(answer.count, 0);
    loop_turn(loop, 100);
    assert_int_equal(answer.count, 0);
    loop_until(worker_loop, answer.count == 2);
    assert_int_equal(answer.verdict, TOKENS_VALID);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    assert_int_equal(tokens_statistics(tokens).hits, 1);
}

static void an_unknown_kid_that_stays_unknown_is_refused_and_not_asked_for_again_within_the_cooldown(void **state)
{
    start(NULL, 3600000, &forge_rules);
    forge_token(&token, "ES256", new_pkey, KID("new"), FORGE_GOOD);
    assert_non_null(ask_at(FORGE_NOW));
    loop_turn(loop, 100);
    loop_until(worker_loop, answer.count == 1);
    assert_int_equal(answer.verdict, TOKENS_INVALID);
    assert_string_equal(answer.reason, "unknown key");
    uint64_t fetches = keys_store_statistics(store).fetches;
    expect_at(FORGE_NOW, TOKENS_INVALID, "unknown key");
    assert_int_equal(keys_store_statistics(store).fetches, fetches);
}

static void a_set_that_has_not_reached_this_worker_yet_is_looked_at_before_any_refetch(void **state)
{
    start(NULL, 3600000, &forge_rules);
    write_jwks(old_pkey, "ES256", new_pkey, "new");
    uint64_t fetches = keys_store_statistics(store).fetches;
    assert_true(keys_store_refetch(store));
    loop_until(loop, keys_store_statistics(store).fetches > fetches); /* worker_loop does not turn */
    forge_token(&token, "ES256", new_pkey, KID("new"), FORGE_GOOD);
    expect_at(FORGE_NOW, TOKENS_VALID, "");
}

static void a_wait_that_began_after_a_fetch_ended_is_not_answered_by_that_fetch(void **state)
{
    start(NULL, 0, &forge_rules);
    uint64_t fetches = keys_store_statistics(store).fetches;
    assert_true(keys_store_refetch(store));
    loop_until(loop, keys_store_statistics(store).fetches > fetches); /* its message waits for worker_loop */
    forge_token(&token, "ES256", new_pkey, KID("new"), FORGE_GOOD);
    assert_non_null(ask_at(FORGE_NOW)); /* starts the second */
    write_jwks(old_pkey, "ES256", new_pkey, "new");
    loop_turn(worker_loop, 0);
    assert_int_equal(answer.count, 0);
    loop_turn(loop, 100);
    loop_until(worker_loop, answer.count == 1);
    assert_int_equal(answer.verdict, TOKENS_VALID);
}

static void a_cancelled_wait_is_never_answered(void **state)
{
    start(NULL, 3600000, &forge_rules);
    forge_token(&token, "ES256", new_pkey, KID("new"), FORGE_GOOD);
    struct tokens_wait *first = ask_at(FORGE_NOW), *second = ask_at(FORGE_NOW), *third = ask_at(FORGE_NOW);
    assert_non_null(second);
    tokens_cancel(second);
    tokens_cancel(first);
    loop_turn(loop, 100);
    loop_until(worker_loop, answer.count == 1);
    workspace_drain();
    assert_int_equal(answer.count, 1);
    assert_non_null(third);
}

static struct tokens_wait *victim;

static void on_answer_cancelling(void *context, enum tokens_verdict verdict, const struct principal *principal,
                                 const char *reason)
{
    answer.count++;
    if (victim != NULL)
        tokens_cancel(victim);
    victim = NULL;
    ask_at(FORGE_NOW); /* and asks for more within the answer */
}

static void an_answer_may_cancel_another_wait_and_ask_anew(void **state)
{
    start(NULL, 3600000, &forge_rules);
    forge_token(&token, "ES256", new_pkey, KID("new"), FORGE_GOOD);
    buffer_append_string(&authorization, "Bearer ");
    buffer_append_text(&authorization, buffer_text(&token));
    assert_non_null(tokens_verify(tokens, buffer_text(&authorization), FORGE_NOW, on_answer_cancelling, NULL));
    victim = ask_at(FORGE_NOW);
    assert_non_null(victim);
    loop_turn(loop, 100);
    loop_until(worker_loop, answer.count == 2); /* itself, and what it asked */
    workspace_drain();
    assert_int_equal(answer.count, 2);
}

static void no_more_than_1024_wait(void **state)
{
    start(NULL, 3600000, &forge_rules);
    forge_token(&token, "ES256", new_pkey, KID("new"), FORGE_GOOD);
    for (int i = 0; i < 1024; i++)
        assert_non_null(ask_at(FORGE_NOW));
    expect_at(FORGE_NOW, TOKENS_INVALID, "unknown key");
}

static void a_wait_ends_after_two_seconds_when_the_issuer_hangs(void **state)
{
    write_jwks(old_pkey, "ES256", NULL, NULL);
    server.status = 200;
    server.silent = false;
    server_start();
    start(server.url, 0, &forge_rules);
    server_answer(200, "", true);
    forge_token(&token, "ES256", new_pkey, KID("new"), FORGE_GOOD);
    uint64_t began_us = clock_monotonic_us();
    assert_non_null(ask_at(FORGE_NOW));
    loop_turn(loop, 100);
    loop_until(worker_loop, answer.count == 1);
    uint64_t took_us = clock_monotonic_us() - began_us;
    assert_int_equal(answer.verdict, TOKENS_INVALID);
    assert_true(took_us > 1800000 && took_us < 9000000);        /* the fetch itself would take 20 s */
    forge_token(&token, "ES256", old_pkey, HEADER, FORGE_GOOD); /* known keys are served meanwhile */
    expect_at(FORGE_NOW, TOKENS_VALID, "");
    tokens_destroy(tokens);
    tokens = NULL;
    keys_store_destroy(store);
    store = NULL;
    server_stop();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_verified_token_is_remembered),
        TEST(a_refused_token_is_not_remembered),
        TEST(the_scheme_is_bearer_in_any_case_and_others_are_no_token_at_all),
        TEST(white_space_inside_a_token_is_refused),
        TEST(nothing_is_remembered_past_its_exp),
        TEST(the_cache_is_bounded_by_entries),
        TEST(the_cache_is_bounded_by_bytes),
        TEST(a_key_that_is_gone_takes_its_remembered_tokens_with_it_and_no_others),
        TEST(a_key_that_changed_under_its_kid_invalidates_what_it_signed_before),
        TEST(an_unknown_kid_waits_for_the_new_keys),
        TEST(an_unknown_kid_that_stays_unknown_is_refused_and_not_asked_for_again_within_the_cooldown),
        TEST(a_set_that_has_not_reached_this_worker_yet_is_looked_at_before_any_refetch),
        TEST(a_wait_that_began_after_a_fetch_ended_is_not_answered_by_that_fetch),
        TEST(a_cancelled_wait_is_never_answered),
        TEST(an_answer_may_cancel_another_wait_and_ask_anew),
        TEST(no_more_than_1024_wait),
        TEST(a_wait_ends_after_two_seconds_when_the_issuer_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
