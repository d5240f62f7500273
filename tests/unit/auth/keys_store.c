#include "auth/keys_internal.h"

#include "workspace.h"

static struct keys_store *store;
static struct failure failure;
static struct keys *seen; /* what the subscription got last; a reference */
static int changes;

static const char *const allowed[] = {"RS256", "ES256", "ES384", NULL};

static int set_up(void **state)
{
    workspace_open();
    workspace_loops();
    store = NULL;
    seen = NULL;
    changes = 0;
    server_start();
    return 0;
}

static int tear_down(void **state)
{
    workspace_drain();
    keys_store_destroy(store);
    keys_unref(seen);
    server_stop();
    workspace_close();
    return 0;
}

static void on_change(void *context, struct keys *keys)
{
    keys_unref(seen);
    seen = keys;
    changes++;
}

/* {"keys":[…]} with a new P-256 key for each kid. */
static const char *jwks(const char *const *kids)
{
    static char text[8192];
    struct buffer document;
    buffer_init(&document, sizeof(text));
    buffer_append_string(&document, "{\"keys\":[");
    for (size_t i = 0; kids[i] != NULL; i++) {
        EVP_PKEY *pkey = forge_pkey("ES256");
        buffer_append_string(&document, i != 0 ? "," : "");
        forge_jwk(&document, pkey, kids[i]);
        buffer_append_string(&document, "}");
        EVP_PKEY_free(pkey);
    }
    buffer_append_string(&document, "]}");
    strcpy(text, buffer_c_string(&document));
    buffer_free(&document);
    return text;
}
#define JWKS(...) jwks((const char *const[]){__VA_ARGS__, NULL})

static struct keys_options options_with(const char *url, const char *file)
{
    return (struct keys_options){.issuer = "https://issuer.example",
                                 .jwks_url = url,
                                 .jwks_file = file,
                                 .refresh_ms = 3600000,
                                 .cooldown_ms = 30000,
                                 .timeout_ms = 20000,
                                 .allowed_algorithms = allowed};
}

static size_t current_count(void)
{
    struct keys *keys = keys_store_current(store);
    size_t count = keys_count(keys);
    keys_unref(keys);
    return count;
}

static bool has_kid(const char *kid)
{
    struct keys *keys = keys_store_current(store);
    bool found = keys_find(keys, text_from_string(kid)) != NULL;
    keys_unref(keys);
    return found;
}

static void expect_file_refused(const char *algorithm, struct text content, mode_t mode, const char *why)
{
    struct keys_file file = {.kid = "a", .algorithm = algorithm, .file = workspace_write("bad.key", content, mode)};
    struct keys_options options = {.issuer = "i", .files = &file, .file_count = 1};
    assert_int_not_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    if (strstr(failure.message, why) == NULL || strstr(failure.message, "bad.key") == NULL)
        fail_msg("%s, expecting \"%s\": %s", algorithm, why, failure.message);
}

static void a_bad_key_file_stops_the_start_and_is_named(void **state)
{
    EVP_PKEY *rsa = forge_pkey("RS256"), *ec = forge_pkey("ES256");
    EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    char *rsa_pem = forge_pem(rsa, false), *ec_pem = forge_pem(ec, false), *weak_pem = forge_pem(weak, false);
    char *private_pem = forge_pem(rsa, true), twice[4096];
    snprintf(twice, sizeof(twice), "%s%s", rsa_pem, ec_pem);
    expect_file_refused("HS256", text_of(forge_secret, 31), 0600, "31 bytes");
    expect_file_refused("HS512", text_of(forge_secret, 63), 0600, "63 bytes");
    expect_file_refused("HS256", text_of(forge_secret, 64), 0644, "");
    expect_file_refused("HS256", TEXT(""), 0600, "");
    expect_file_refused("HS256", text_from_string(rsa_pem), 0600, "can't be the secret");
    expect_file_refused("HS256", text_from_string(ec_pem), 0600, "can't be the secret");
    expect_file_refused("HS256", text_from_string(private_pem), 0600, "can't be the secret");
    expect_file_refused("RS256", text_of(forge_secret, 64), 0600, "no public key in PEM");
    expect_file_refused("RS256", TEXT(""), 0600, "no public key in PEM");
    expect_file_refused("RS256", text_from_string(private_pem), 0600, "no public key in PEM");
    expect_file_refused("RS256", text_from_string(weak_pem), 0644, "1024 bits");
    expect_file_refused("RS256", text_from_string(ec_pem), 0644, "needs an RSA key");
    expect_file_refused("ES384", text_from_string(ec_pem), 0644, "P-384");
    expect_file_refused("ES256", text_from_string(rsa_pem), 0644, "P-256");
    expect_file_refused("RS256", text_from_string(twice), 0644, "more than one");
    expect_file_refused("rs256", text_from_string(rsa_pem), 0644, "unknown");
    expect_file_refused("none", text_from_string(rsa_pem), 0644, "unknown");
    free(rsa_pem);
    free(ec_pem);
    free(weak_pem);
    free(private_pem);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(weak);
}

static void a_public_key_in_der_is_no_secret(void **state)
{
    EVP_PKEY *ec = forge_pkey("ES256");
    unsigned char *der = NULL;
    int size = i2d_PUBKEY(ec, &der);
    expect_file_refused("HS256", text_of((char *)der, (size_t)size), 0600, "can't be the secret");
    OPENSSL_free(der);
    EVP_PKEY_free(ec);
}

static void two_files_may_not_share_a_kid_and_some_key_must_be_there(void **state)
{
    const char *path = workspace_write("secret.key", text_of(forge_secret, 64), 0600);
    struct keys_file files[] = {{"a", "HS256", path}, {"a", "HS512", path}};
    struct keys_options options = {.issuer = "i", .files = files, .file_count = 2}, none = {.issuer = "i"};
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_INVALID);
    assert_non_null(strstr(failure.message, "kid \"a\""));
    assert_int_equal(keys_store_create(loop, &none, &store, &failure), STATUS_INVALID);
    files[1].kid = "b";
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    assert_int_equal(current_count(), 2);
    assert_false(keys_store_refetch(store));
}

static void a_missing_or_senseless_jwks_file_stops_the_start(void **state)
{
    struct keys_options options = options_with(NULL, "/nonexistent/jwks.json");
    assert_int_not_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    assert_non_null(strstr(failure.message, "/nonexistent/jwks.json"));
    options.jwks_file = workspace_write("jwks.json", TEXT("{\"keys\":[]}"), 0644);
    assert_int_not_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    assert_non_null(strstr(failure.message, "jwks.json"));
}

static void a_refetch_reads_the_jwks_file_again_but_not_within_the_cooldown(void **state)
{
    struct keys_options options = options_with(NULL, NULL);
    options.jwks_file = workspace_write("jwks.json", text_from_string(JWKS("a")), 0644);
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    struct keys_subscription *subscription = keys_subscribe(store, loop, on_change, NULL);
    workspace_write("jwks.json", text_from_string(JWKS("b", "c")), 0644);
    assert_true(keys_store_refetch(store));
    assert_true(keys_store_refetch(store)); /* under way */
    loop_until(loop, changes == 1);
    assert_int_equal(keys_count(seen), 2);
    assert_true(has_kid("c"));
    assert_false(has_kid("a"));
    assert_false(keys_store_refetch(store)); /* the cooldown */
    assert_int_equal(keys_store_statistics(store).fetches, 2);
    keys_unsubscribe(subscription);
}

static void after_the_cooldown_a_refetch_starts_again(void **state)
{
    struct keys_options options = options_with(NULL, NULL);
    options.jwks_file = workspace_write("jwks.json", text_from_string(JWKS("a")), 0644);
    options.cooldown_ms = 1;
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    struct keys_subscription *subscription = keys_subscribe(store, loop, on_change, NULL);
    for (int i = 1; i < 4; i++) {
        loop_until(loop, keys_store_refetch(store));
        loop_until(loop, changes >= i);
    }
    keys_unsubscribe(subscription);
}

static void an_unchanged_key_set_stays_the_same_object(void **state)
{
    struct keys_options options = options_with(NULL, NULL);
    options.jwks_file = workspace_write("jwks.json", text_from_string(JWKS("a")), 0644);
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    struct keys_subscription *subscription = keys_subscribe(store, loop, on_change, NULL);
    struct keys *before = keys_store_current(store);
    assert_true(keys_store_refetch(store));
    loop_until(loop, changes == 1);
    assert_ptr_equal(before, seen);
    keys_unref(before);
    keys_unsubscribe(subscription);
}

static void an_address_is_fetched_at_the_start_and_joined_with_the_files(void **state)
{
    struct keys_options options = options_with(server.url, NULL);
    struct keys_file file = {"local", "HS256", workspace_write("s.key", text_of(forge_secret, 64), 0600)};
    options.files = &file;
    options.file_count = 1;
    server_answer(200, JWKS("a", "local"), false);
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    assert_int_equal(current_count(), 2); /* of the two called "local" the configured one stays */
    struct keys *keys = keys_store_current(store);
    assert_string_equal(keys_find(keys, TEXT("local"))->algorithm->name, "HS256");
    keys_unref(keys);
    assert_true(keys_store_statistics(store).last_success_us > 0);
}

static void an_answer_without_usable_keys_keeps_the_old_set(void **state)
{
    static const struct {
        int status;
        const char *body;
    } answers[] = {{500, "oops"}, {200, "{\"keys\":[]}"}, {200, "<html>"}, {404, "{\"keys\":[]}"}};
    struct keys_options options = options_with(server.url, NULL);
    options.cooldown_ms = 1;
    server_answer(200, JWKS("a"), false);
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    struct keys_subscription *subscription = keys_subscribe(store, loop, on_change, NULL);
    for (int i = 0; i < 4; i++) {
        server_answer(answers[i].status, answers[i].body, false);
        uint64_t failures = keys_store_statistics(store).failures;
        loop_until(loop, keys_store_refetch(store));
        loop_until(loop, keys_store_statistics(store).failures > failures);
        assert_true(has_kid("a"));
    }
    loop_until(loop, changes >= 1);
    assert_int_equal(keys_count(seen), 1);
    keys_unsubscribe(subscription);
}

static void an_issuer_that_is_away_at_the_start_is_tried_again(void **state)
{
    struct keys_options options = options_with(server.url, NULL);
    options.cooldown_ms = 100;
    server_answer(503, "", false);
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    assert_int_equal(current_count(), 0);
    assert_int_equal(keys_store_statistics(store).failures, 1);
    server_answer(200, JWKS("a"), false);
    loop_until(loop, current_count() == 1); /* by the timer: nobody asked */
}

static void a_key_set_is_refreshed_by_itself(void **state)
{
    struct keys_options options = options_with(server.url, NULL);
    options.refresh_ms = 100;
    server_answer(200, JWKS("a"), false);
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    server_answer(200, JWKS("b"), false);
    loop_until(loop, has_kid("b"));
    assert_false(has_kid("a"));
}

static void an_unsubscribed_receiver_hears_nothing_even_of_a_message_on_its_way(void **state)
{
    struct keys_options options = options_with(NULL, NULL);
    options.jwks_file = workspace_write("jwks.json", text_from_string(JWKS("a")), 0644);
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    struct keys_subscription *first = keys_subscribe(store, worker_loop, on_change, NULL);
    struct keys_subscription *second = keys_subscribe(store, worker_loop, on_change, NULL);
    workspace_write("jwks.json", text_from_string(JWKS("b")), 0644);
    assert_true(keys_store_refetch(store));
    loop_until(loop, has_kid("b")); /* both messages are posted, none is delivered */
    keys_unsubscribe(first);
    loop_until(worker_loop, changes == 1);
    loop_turn(worker_loop, 0);
    assert_int_equal(changes, 1);
    keys_unsubscribe(second);
}

static void a_store_may_end_while_it_fetches(void **state)
{
    struct keys_options options = options_with(server.url, NULL);
    server_answer(200, JWKS("a"), false);
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    server_answer(200, "", true);
    int before = atomic_load(&server.requests);
    assert_true(keys_store_refetch(store));
    loop_until(loop, atomic_load(&server.requests) > before);
    keys_store_destroy(store);
    store = NULL;
    loop_turn(loop, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void the_document_of_discovery_leads_to_the_keys_and_a_strangers_does_not(void **state)
{
    struct keys_options options = options_with(NULL, NULL);
    char document[256], address[128];
    /* The one server answers both with what it has: a document is no key set, and no key set a document. */
    snprintf(address, sizeof(address), "%s", server.url);
    snprintf(document, sizeof(document), "{\"issuer\":\"https://issuer.example\",\"jwks_uri\":\"%s\"}", address);
    options.discovery = address;
    options.in_background = true;
    server_answer(200, document, false);
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    assert_int_equal(current_count(), 0); /* nobody waited */
    struct keys_subscription *subscription = keys_subscribe(store, loop, on_change, NULL);
    loop_until(loop, changes == 1);
    loop_until(loop,
               atomic_load(&server.requests) == 2); /* the document, and then what it named; counted once answered */
    assert_int_equal(keys_store_statistics(store).failures, 1);
    assert_int_equal(current_count(), 0);
    keys_unsubscribe(subscription);
    keys_store_destroy(store);
    store = NULL;
    options.issuer = "https://other.example";
    options.in_background = false;
    assert_int_equal(keys_store_create(loop, &options, &store, &failure), STATUS_OK);
    loop_until(loop, atomic_load(&server.requests) >= 3);
    assert_int_equal(atomic_load(&server.requests), 3); /* the keys were not asked for */
    assert_int_equal(keys_store_statistics(store).failures, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_key_file_stops_the_start_and_is_named),
        TEST(a_public_key_in_der_is_no_secret),
        TEST(two_files_may_not_share_a_kid_and_some_key_must_be_there),
        TEST(a_missing_or_senseless_jwks_file_stops_the_start),
        TEST(a_refetch_reads_the_jwks_file_again_but_not_within_the_cooldown),
        TEST(after_the_cooldown_a_refetch_starts_again),
        TEST(an_unchanged_key_set_stays_the_same_object),
        TEST(an_address_is_fetched_at_the_start_and_joined_with_the_files),
        TEST(an_answer_without_usable_keys_keeps_the_old_set),
        TEST(an_issuer_that_is_away_at_the_start_is_tried_again),
        TEST(a_key_set_is_refreshed_by_itself),
        TEST(an_unsubscribed_receiver_hears_nothing_even_of_a_message_on_its_way),
        TEST(a_store_may_end_while_it_fetches),
        TEST(the_document_of_discovery_leads_to_the_keys_and_a_strangers_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
