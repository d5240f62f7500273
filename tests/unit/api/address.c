/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <sys/un.h>

#include "api/address.h"

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage address;
    if (!address_parse(text_from_string(text), &address))
        fail_msg("not read: %s", text);
    return address;
}

static int port_of(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
                                               : ((const struct sockaddr_in6 *)address)->sin6_port);
}

static void addresses_are_read_with_and_without_a_port(void **state)
{
    static const struct {
        const char *text, *formatted;
        int port;
    } cases[] = {
        {"10.0.0.1", "10.0.0.1", 0},
        {"10.0.0.1:80", "10.0.0.1", 80},
        {"255.255.255.255:65535", "255.255.255.255", 65535},
        {"::1", "::1", 0},
        {"[::1]", "::1", 0},
        {"[::1]:80", "::1", 80},
        {"::", "::", 0},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1", 0},
        {"::ffff:10.0.0.1", "10.0.0.1", 0},
        {"[::ffff:10.0.0.1]:443", "10.0.0.1", 443},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char formatted[ADDRESS_TEXT_SIZE];
        struct sockaddr_storage address = address_of(cases[i].text);
        address_format((struct sockaddr *)&address, formatted);
        assert_string_equal(formatted, cases[i].formatted);
        assert_int_equal(port_of(&address), cases[i].port);
    }
}

static void everything_else_is_no_address(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "localhost",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.1.2",
        "010.0.0.1",
        "10.0.0.1 ",
        " 10.0.0.1",
        "10.0.0.1:",
        "10.0.0.1:-1",
        "10.0.0.1:65536",
        "10.0.0.1:8x",
        "10.0.0.1:+8",
        "[10.0.0.1]",
        "[::1",
        "::1]",
        "[::1]80",
        "[::1]:",
        "[::1]:65536",
        "[]",
        "[]:80",
        ":80",
        "[[::1]]",
        "fe80::1%eth0",
        "1::2::3",
        "12345::",
        "unknown",
        "_hidden",
        "0x7f.0.0.1",
        "2130706433",
        "10.0.0.1/8",
        "[::1]:80:90",
        ":",
        ":::",
        "10.0.0.1:99999999999999999999",
        "1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3:4:5:6:7:8",
    };
    struct sockaddr_storage address;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (address_parse(text_from_string(texts[i]), &address))
            fail_msg("taken: %s", texts[i]);
    assert_false(address_parse(TEXT_NONE, &address));
    assert_false(address_parse(TEXT("10.0.0.1\0"), &address));
    assert_false(address_parse(TEXT("[::1]\0"), &address));
}

static void an_address_of_another_family_is_unknown(void **state)
{
    struct sockaddr_un peer = {.sun_family = AF_UNIX};
    char formatted[ADDRESS_TEXT_SIZE];
    address_format((struct sockaddr *)&peer, formatted);
    assert_string_equal(formatted, "unknown");
}

/* 10.0.0.0/8, ::1 and 2001:db8::/33. */
static const struct config_network trusted_items[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10}, 104}, {{[15] = 1}, 128}, {{0x20, 0x01, 0x0d, 0xb8}, 33}};
static const struct config_networks trusted = {trusted_items, 3};

static void networks_contain_what_their_bits_say(void **state)
{
    static const char *const in[] = {"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3",
                                     "::1",      "2001:db8::7",    "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"};
    static const char *const out[] = {
        "11.0.0.0", "9.255.255.255", "::2", "::", "2001:db8:8000::", "2001:db7::", "127.0.0.1"};
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
        struct sockaddr_storage address = address_of(in[i]);
        if (!config_networks_contain(&trusted, (struct sockaddr *)&address))
            fail_msg("out: %s", in[i]);
    }
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
        struct sockaddr_storage address = address_of(out[i]);
        if (config_networks_contain(&trusted, (struct sockaddr *)&address))
            fail_msg("in: %s", out[i]);
    }
    static const struct config_network everything_item = {{0}, 0};
    static const struct config_networks everything = {&everything_item, 1}, nothing = {NULL, 0};
    struct sockaddr_storage address = address_of("2001:db8::7");
    assert_true(config_networks_contain(&everything, (struct sockaddr *)&address));
    assert_false(config_networks_contain(&nothing, (struct sockaddr *)&address));
}

static void the_caller_is_the_last_hop_that_is_not_trusted(void **state)
{
    static const struct {
        const char *peer, *forwarded_for, *caller;
    } cases[] = {
        {"192.0.2.1", "203.0.113.9", "192.0.2.1"}, /* a stranger says what he likes */
        {"10.0.0.1", NULL, "10.0.0.1"},
        {"10.0.0.1", "", "10.0.0.1"},
        {"10.0.0.1", "203.0.113.9", "203.0.113.9"},
        {"::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"},
        {"10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"}, /* what the caller himself had put there */
        {"10.0.0.1", "10.9.9.9, 203.0.113.9", "203.0.113.9"},
        {"10.0.0.1", "1.1.1.1,203.0.113.9 ,10.0.0.2,\t::1", "203.0.113.9"},
        {"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"}, /* one of our own calls */
        {"10.0.0.1", "203.0.113.9:5555", "203.0.113.9"},
        {"10.0.0.1", "[2a00::7]:5555", "2a00::7"},
        {"10.0.0.1", "nonsense", "10.0.0.1"},
        {"10.0.0.1", "unknown, 10.0.0.2", "10.0.0.2"},
        {"10.0.0.1", "203.0.113.9,", "10.0.0.1"},
        {"10.0.0.1", ",,,", "10.0.0.1"},
        {"10.0.0.1", "203.0.113.9, 10.0.0.2, x", "10.0.0.1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sockaddr_storage peer = address_of(cases[i].peer), caller;
        char formatted[ADDRESS_TEXT_SIZE];
        address_from_forwarded(&trusted, (struct sockaddr *)&peer, text_from_string(cases[i].forwarded_for), &caller);
        address_format((struct sockaddr *)&caller, formatted);
        if (strcmp(formatted, cases[i].caller) != 0)
            fail_msg("%s by %s: %s instead of %s", cases[i].forwarded_for, cases[i].peer, formatted, cases[i].caller);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_with_and_without_a_port),
        cmocka_unit_test(everything_else_is_no_address),
        cmocka_unit_test(an_address_of_another_family_is_unknown),
        cmocka_unit_test(networks_contain_what_their_bits_say),
        cmocka_unit_test(the_caller_is_the_last_hop_that_is_not_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
