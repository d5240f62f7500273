#include "api/address_count.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/hash.h"

static struct address_counts counts;

static atomic_uint *counter_of(const char *text)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
        six->sin6_family = AF_INET6;
    }
    four->sin_port = 1234;
    return address_counter(&counts, (const struct sockaddr *)&address);
}

static void an_address_has_one_counter_whatever_its_port_and_form(void **state)
{
    assert_ptr_equal(counter_of("192.0.2.1"), counter_of("192.0.2.1"));
    assert_ptr_equal(counter_of("192.0.2.1"), counter_of("::ffff:192.0.2.1"));
    (void)state;
}

static void addresses_of_one_subscriber_share_theirs(void **state)
{
    assert_ptr_equal(counter_of("2001:db8:1:2::1"), counter_of("2001:db8:1:2:ffff::9"));
    (void)state;
}

static void others_have_others(void **state)
{
    unsigned same = 0;
    for (unsigned i = 0; i < 200; i++) {
        char text[16];
        struct in_addr address = {htonl(0x0a000000u + i)};
        same += counter_of(inet_ntop(AF_INET, &address, text, sizeof(text))) == counter_of("192.0.2.1");
    }
    assert_true(same < 3); /* 1 in 16384 each */
    (void)state;
}

int main(void)
{
    hash_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_one_counter_whatever_its_port_and_form),
        cmocka_unit_test(addresses_of_one_subscriber_share_theirs),
        cmocka_unit_test(others_have_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
