#include "upload/http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char bytes[HTTP_HEAD_MAX + 1024];
static struct http_head head;
static const char *reason;

static enum http_head_verdict parse(struct text text)
{
    memcpy(bytes, text.data, text.size);
    return http_head_parse(bytes, text.size, &head, &reason);
}

static enum http_head_verdict parse_lines(const char *lines)
{
    int size = snprintf(bytes, sizeof(bytes), "PUT /v1/uploads/x HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    return http_head_parse(bytes, (size_t)size, &head, &reason);
}

static void assert_bad(const char *lines, const char *words)
{
    enum http_head_verdict verdict = parse_lines(lines);
    if (verdict != HTTP_HEAD_BAD || strstr(reason, words) == NULL)
        fail_msg("%s: %d \"%s\" lacks \"%s\"", lines, (int)verdict, reason, words);
}

static void assert_bad_request(struct text request)
{
    if (parse(request) != HTTP_HEAD_BAD)
        fail_msg("taken: %.*s", TEXT_ARGS(request));
    assert_true(reason[0] != '\0');
}

static void a_head_is_taken_apart(void **state)
{
    static const char request[] = "PUT /v1/uploads/sales?mode=append&a=%20b HTTP/1.1\r\nHost: api.example:8443\r\n"
                                  "Content-Type:text/csv; charset=utf-8 \t\r\nX-Empty:\r\nCONTENT-LENGTH: 42\r\n"
                                  "x-words: sm\xc3\xb8rrebr\xc3\xb8"
                                  "d, \"a b\"\r\n\r\nbody";
    assert_int_equal(parse(text_from_string(request)), HTTP_HEAD_COMPLETE);
    assert_true(text_equal(head.method, TEXT("PUT")));
    assert_true(text_equal(head.target, TEXT("/v1/uploads/sales?mode=append&a=%20b")));
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.line_count, 5);
    assert_true(text_equal(head.lines[1].name, TEXT("content-type")));
    assert_true(text_equal(head.lines[1].value, TEXT("text/csv; charset=utf-8")));
    assert_true(text_equal(head.lines[2].name, TEXT("x-empty")));
    assert_int_equal(head.lines[2].value.size, 0);
    assert_true(text_equal(head.lines[3].name, TEXT("content-length")));
    assert_true(text_equal(head.lines[4].value, TEXT("sm\xc3\xb8rrebr\xc3\xb8"
                                                     "d, \"a b\"")));
    assert_true(head.has_length);
    assert_int_equal(head.length, 42);
    assert_false(head.chunked);
    assert_false(head.expects_continue);
    assert_memory_equal(bytes + head.size, "body", 4);
}

static void every_prefix_of_a_good_head_needs_more(void **state)
{
    static const char request[] =
        "POST /a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n\r\n";
    for (size_t size = 0; size < sizeof(request) - 1; size++)
        assert_int_equal(parse(text_of(request, size)), HTTP_HEAD_MORE);
    assert_int_equal(parse(TEXT(request)), HTTP_HEAD_COMPLETE);
    assert_int_equal(head.size, sizeof(request) - 1);
    assert_true(head.chunked);
    assert_true(head.expects_continue);
    assert_false(head.has_length);
}

static void the_old_version_has_no_chunks_and_no_expectations(void **state)
{
    assert_int_equal(parse(TEXT("GET / HTTP/1.0\r\n\r\n")), HTTP_HEAD_COMPLETE);
    assert_int_equal(head.minor, 0);
    assert_int_equal(parse(TEXT("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")), HTTP_HEAD_COMPLETE);
    assert_false(head.expects_continue);
    assert_bad_request(TEXT("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"));
}

static void an_ambiguous_framing_is_refused(void **state)
{
    assert_bad("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "exclude each other");
    assert_bad("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "exclude each other");
    assert_bad("Content-Length: 5\r\nContent-Length: 5\r\n", "more than one Content-Length");
    assert_bad("Content-Length: 5\r\ncontent-length: 6\r\n", "more than one Content-Length");
    assert_bad("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "more than one Transfer-Encoding");
    static const char *const codings[] = {"gzip, chunked", "identity", "chunked, chunked", "chunked;a=b", "",
                                          "\"chunked\"",   "xchunked"};
    static const char *const lengths[] = {
        "5, 5", "+5", "-5", "-0", "", "5 5", "0x5", "5;", "5.0", "9223372036854775808", "18446744073709551621", "\v5"};
    char line[128];
    for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
        snprintf(line, sizeof(line), "Transfer-Encoding: %s\r\n", codings[i]);
        assert_bad(line, "");
    }
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        snprintf(line, sizeof(line), "Content-Length: %s\r\n", lengths[i]);
        assert_bad(line, "");
    }
    assert_int_equal(parse_lines("Content-Length: 9223372036854775807\r\n"), HTTP_HEAD_COMPLETE);
    assert_int_equal(head.length, INT64_MAX);
    assert_int_equal(parse_lines("Content-Length: 0\r\n"), HTTP_HEAD_COMPLETE);
    assert_true(head.has_length);
}

static void lines_that_others_may_read_otherwise_are_refused(void **state)
{
    assert_bad("A: b\r\n folded\r\n", "folded");
    assert_bad("A: b\r\n\tfolded\r\n", "folded");
    assert_bad("A : b\r\n", "name");
    assert_bad("A\tb: c\r\n", "name");
    assert_bad(": b\r\n", "name");
    assert_bad("no colon\r\n", "colon");
    assert_bad("A: b\rc\r\n", "CR and LF");
    assert_bad("A: b\nC: d\r\n", "CR and LF");
    assert_bad("A: b\x7f\r\n", "control");
    assert_bad("A: b\x01\r\n", "control");
    assert_bad_request(TEXT("GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n"));
    assert_bad_request(TEXT("GET / HTTP/1.1\nHost: a\n\n"));
    assert_bad_request(TEXT("GET / HTTP/1.1\r\r\n"));
    assert_bad_request(TEXT("GET / HTTP/1.1\r\nHost: a\r\nContent-Length\0: 5\r\n\r\n"));
}

static void a_request_line_is_three_words(void **state)
{
    static const char *const wrong[] = {"",
                                        "GET",
                                        "GET /",
                                        "GET  / HTTP/1.1",
                                        "GET / HTTP/1.1 ",
                                        " GET / HTTP/1.1",
                                        "GET / a HTTP/1.1",
                                        "G(T / HTTP/1.1",
                                        "GET a HTTP/1.1",
                                        "GET * HTTP/1.1",
                                        "GET http://a/ HTTP/1.1",
                                        "GET /\xc3\xa4 HTTP/1.1",
                                        "GET /\ta HTTP/1.1",
                                        "GET / HTTP/1.2",
                                        "GET / HTTP/2.0",
                                        "GET / http/1.1",
                                        "GET / HTTP/11",
                                        "GET / HTTP/1.1\t"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char request[128];
        int size = snprintf(request, sizeof(request), "%s\r\nHost: a\r\n\r\n", wrong[i]);
        assert_bad_request(text_of(request, (size_t)size));
    }
}

static void one_host_is_needed(void **state)
{
    assert_bad("Host: b\r\n", "Host");
    assert_bad_request(TEXT("GET / HTTP/1.1\r\n\r\n"));
    assert_bad_request(TEXT("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"));
}

static void another_expectation_is_told_but_not_before_a_mistake(void **state)
{
    assert_int_equal(parse_lines("Expect: tea\r\n"), HTTP_HEAD_EXPECTATION);
    assert_int_equal(parse_lines("Expect: 100-continue\r\nExpect: tea\r\n"), HTTP_HEAD_EXPECTATION);
    assert_bad("Expect: tea\r\nContent-Length: x\r\n", "Content-Length");
}

static void size_and_number_of_lines_are_bounded(void **state)
{
    static char lines[HTTP_HEAD_MAX];
    char *end = lines;
    for (int i = 0; i < HTTP_HEAD_LINES - 1; i++)
        end += sprintf(end, "A: b\r\n");
    assert_int_equal(parse_lines(lines), HTTP_HEAD_COMPLETE);
    assert_int_equal(head.line_count, HTTP_HEAD_LINES);
    sprintf(end, "A: b\r\n");
    assert_int_equal(parse_lines(lines), HTTP_HEAD_TOO_LARGE);
    memset(bytes, 'a', sizeof(bytes));
    memcpy(bytes, "GET /", 5);
    assert_int_equal(http_head_parse(bytes, HTTP_HEAD_MAX - 1, &head, &reason), HTTP_HEAD_MORE);
    assert_int_equal(http_head_parse(bytes, HTTP_HEAD_MAX, &head, &reason), HTTP_HEAD_TOO_LARGE);
    assert_int_equal(http_head_parse(bytes, sizeof(bytes), &head, &reason), HTTP_HEAD_TOO_LARGE);
    /* The largest one. */
    memcpy(bytes + HTTP_HEAD_MAX - 26, " HTTP/1.1\r\nHost: abcd\r\n\r\n", 25);
    assert_int_equal(http_head_parse(bytes, HTTP_HEAD_MAX, &head, &reason), HTTP_HEAD_COMPLETE);
    assert_int_equal(head.size, HTTP_HEAD_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_taken_apart),
        cmocka_unit_test(every_prefix_of_a_good_head_needs_more),
        cmocka_unit_test(the_old_version_has_no_chunks_and_no_expectations),
        cmocka_unit_test(an_ambiguous_framing_is_refused),
        cmocka_unit_test(lines_that_others_may_read_otherwise_are_refused),
        cmocka_unit_test(a_request_line_is_three_words),
        cmocka_unit_test(one_host_is_needed),
        cmocka_unit_test(another_expectation_is_told_but_not_before_a_mistake),
        cmocka_unit_test(size_and_number_of_lines_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
