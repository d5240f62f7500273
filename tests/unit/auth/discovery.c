#include "auth/discovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void keys_are_asked_for_over_https_or_on_this_machine_only(void **state)
{
    static const char *const safe[] = {
        "https://a.example", "https://a.example:8443/x?y#z", "https://[2001:db8::1]/x",   "http://127.0.0.1:80/jwks",
        "http://127.9.8.7",  "http://localhost:9000/a@b",    "http://[::1]:80/jwks.json", "http://[::1]"};
    static const char *const unsafe[] = {"",
                                         "https://",
                                         "https:///x",
                                         "http://a.example",
                                         "ftp://a.example",
                                         "HTTPS://a.example",
                                         "file:///etc/passwd",
                                         "http://127.0.0.1.evil.example/",
                                         "http://127.0.0.1@evil.example/",
                                         "https://user:secret@a.example/",
                                         "http://localhost.evil.example",
                                         "http://0.0.0.0",
                                         "http://128.0.0.1",
                                         "http://127.1",
                                         "http://2130706433/",
                                         "http://[::2]",
                                         "http://:80",
                                         "https://a.example/ x",
                                         "https://a.example/\r\nHost: b",
                                         "http://127.0.0.1\\@evil.example",
                                         "https://a.example/\xc3\xa9"};
    for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++)
        if (!discovery_is_safe(text_from_string(safe[i])))
            fail_msg("%s was refused", safe[i]);
    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++)
        if (discovery_is_safe(text_from_string(unsafe[i])))
            fail_msg("%s was taken", unsafe[i]);
    char long_one[DISCOVERY_MAX_URL + 2] = "https://a.example/";
    memset(long_one + 18, 'a', sizeof(long_one) - 19);
    assert_false(discovery_is_safe(text_from_string(long_one)));
}

static void the_documents_address_is_the_issuers_with_the_well_known_path(void **state)
{
    struct buffer url;
    buffer_init(&url, 1000);
    discovery_append_url(&url, TEXT("https://a.example/realms/x/"));
    assert_string_equal(buffer_c_string(&url), "https://a.example/realms/x/.well-known/openid-configuration");
    buffer_free(&url);
}

static enum status judge(const char *document, const char *issuer)
{
    struct buffer url;
    struct failure failure = {0};
    buffer_init(&url, DISCOVERY_MAX_URL + 1);
    enum status status = discovery_read(text_from_string(document), text_from_string(issuer), &url, &failure);
    if (status == STATUS_OK)
        assert_string_equal(buffer_c_string(&url), "https://k.example/j");
    else
        assert_true(failure.message[0] != '\0' && url.size == 0);
    buffer_free(&url);
    return status;
}

static void a_document_counts_only_if_it_names_its_issuer_exactly_and_safe_keys(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"issuer\":\"https://i\"}",
        "{\"jwks_uri\":\"https://k.example/j\"}",
        "{\"issuer\":\"https://i/\",\"jwks_uri\":\"https://k.example/j\"}",
        "{\"issuer\":\"https://I\",\"jwks_uri\":\"https://k.example/j\"}",
        "{\"issuer\":[\"https://i\"],\"jwks_uri\":\"https://k.example/j\"}",
        "{\"issuer\":\"https://i\",\"jwks_uri\":\"http://k.example/j\"}",
        "{\"issuer\":\"https://i\",\"jwks_uri\":1}",
        "{\"issuer\":\"https://i\",\"jwks_uri\":\"https://k.example/j\",\"jwks_uri\":\"https://e.example/j\"}",
        "{\"issuer\":\"https://e\",\"issuer\":\"https://i\",\"jwks_uri\":\"https://k.example/j\"}"};
    assert_int_equal(judge("{\"issuer\":\"https://i\",\"x\":[],\"jwks_uri\":\"https://k.example/j\"}", "https://i"),
                     STATUS_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (judge(bad[i], "https://i") == STATUS_OK)
            fail_msg("%s was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_asked_for_over_https_or_on_this_machine_only),
        cmocka_unit_test(the_documents_address_is_the_issuers_with_the_well_known_path),
        cmocka_unit_test(a_document_counts_only_if_it_names_its_issuer_exactly_and_safe_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
