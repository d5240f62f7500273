#include "api/http_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* What h2o calls: the definitions under test. */
struct phr_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};
struct phr_chunked_decoder {
    size_t left;
    char consume_trailer, digits, state;
};
int phr_parse_request(const char *bytes, size_t size, const char **method, size_t *method_size, const char **path,
                      size_t *path_size, int *minor, struct phr_header *headers, size_t *header_count, size_t last);
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *bytes, size_t *size);

static struct phr_header headers[100];
static size_t header_count;
static h2o_req_t req;

static int parse(const char *head, size_t size)
{
    int minor;
    header_count = 100;
    return phr_parse_request(head, size, (const char **)&req.input.method.base, &req.input.method.len,
                             (const char **)&req.input.path.base, &req.input.path.len, &minor, headers, &header_count,
                             0);
}

static void assert_taken(const char *head)
{
    if (parse(head, strlen(head)) != (int)strlen(head) || http_guard_refusal(&req) != NULL)
        fail_msg("refused: %s", head);
}

static void assert_refused(const char *head, const char *words)
{
    const struct http_guard_refusal *refusal;
    int used = parse(head, strlen(head));
    refusal = http_guard_refusal(&req);
    if (refusal == NULL || strstr(refusal->words, words) == NULL)
        fail_msg("%s: %s", head, refusal != NULL ? refusal->words : "taken");
    assert_int_equal(used, strlen(head)); /* nothing behind it is looked at */
    assert_int_equal(header_count, 0);
    assert_int_equal(req.input.path.len, 1);
}

static void it_stands_before_the_librarys_parser(void **state)
{
    struct failure failure = {0};
    assert_int_equal(http_guard_check(&failure), STATUS_OK);
    (void)state;
}

static void a_plain_request_passes_with_its_headers(void **state)
{
    assert_taken("POST /a?b=c HTTP/1.1\r\nHost: x:80\r\nContent-Length:  12 \t\r\nX:\r\n\r\n");
    assert_int_equal(header_count, 3);
    assert_int_equal(headers[1].value_len, 2);
    assert_memory_equal(headers[1].value, "12", 2);
    assert_true(h2o_memis(req.input.method.base, req.input.method.len, H2O_STRLIT("POST")));
    assert_taken("GET / HTTP/1.0\r\n\r\n");
    assert_taken("GET / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: Chunked\r\n\r\n");
    assert_taken("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    (void)state;
}

static void what_is_not_whole_waits(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (size_t size = 0; size + 1 < sizeof(head) - 1; size++)
        assert_int_equal(parse(head, size), -2);
    (void)state;
}

static void two_framings_are_refused(void **state)
{
#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
    assert_refused(POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "exclude");
    assert_refused(POST "transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", "exclude");
    assert_refused(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "more than one");
    assert_refused(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "once");
    assert_refused(POST "Transfer-Encoding: gzip, chunked\r\n\r\n", "alone");
    assert_refused(POST "Content-Length: +1\r\n\r\n", "number");
    assert_refused(POST "Content-Length:\r\n\r\n", "number");
    assert_refused(POST "Content-Length: 9999999999999999999\r\n\r\n", "number");
    assert_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0");
    (void)state;
}

static void lines_end_with_cr_and_lf(void **state)
{
    assert_refused("GET / HTTP/1.1\nHost: x\r\n\r\n", "CR and LF");
    assert_refused("GET / HTTP/1.1\r\nHost: x\n\r\n", "CR and LF");
    assert_refused("GET / HTTP/1.1\r\nHost: x\r\n\n", "CR and LF");
    assert_refused("GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", "folded");
    assert_refused("GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", "not one of");
    (void)state;
}

static void host_and_target_are_checked(void **state)
{
    assert_refused("GET / HTTP/1.1\r\n\r\n", "one Host");
    assert_refused("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "one Host");
    assert_refused("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "not a host");
    assert_refused("GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "not a path");
    assert_refused("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "not a path");
    assert_refused("G@T / HTTP/1.1\r\nHost: x\r\n\r\n", "not one of");
    assert_refused("PRI * HTTP/2.0\r\n\r\n", "not one of");
    (void)state;
}

static void close_wins_over_keep_alive(void **state)
{
    assert_taken("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n");
    for (size_t i = 1; i < 3; i++)
        assert_memory_equal(headers[i].value, "close", 5);
    assert_taken("GET / HTTP/1.1\r\nHost: x\r\nConnection: x-close, keep-alive\r\n\r\n");
    assert_int_equal(headers[1].value_len, 19);
    (void)state;
}

static void http_1_0_has_no_interim_answer(void **state)
{
    assert_taken("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert_int_equal(header_count, 1);
    assert_refused("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continued\r\n\r\n", "Expect");
    (void)state;
}

static void sizes_are_bounded(void **state)
{
    static char large[HTTP_GUARD_HEAD_MAX + 100];
    memset(large, 'a', sizeof(large));
    memcpy(large, "GET / HTTP/1.1\r\nX: ", 19);
    assert_int_equal(parse(large, HTTP_GUARD_HEAD_MAX - 1), -2);
    assert_int_equal(parse(large, sizeof(large)), sizeof(large));
    assert_non_null(http_guard_refusal(&req));
    assert_int_equal(problem_status(http_guard_refusal(&req)->problem), 431);
    (void)state;
}

/* However they are cut; what follows them stays, right behind the body. */
static void chunks_are_those_of_the_ingest_listener(void **state)
{
    static const char chunks[] = "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\nGET";
    for (size_t piece = 1; piece < sizeof(chunks); piece++) {
        struct phr_chunked_decoder decoder = {.consume_trailer = 1};
        char bytes[sizeof(chunks)];
        size_t kept = 0, at = 0;
        ssize_t result = -2;
        while (result == -2 && at < sizeof(chunks) - 1) {
            size_t some = sizeof(chunks) - 1 - at < piece ? sizeof(chunks) - 1 - at : piece;
            memcpy(bytes + kept, chunks + at, some);
            at += some;
            result = phr_decode_chunked(&decoder, bytes + kept, &some);
            kept += some;
        }
        assert_true(result >= 0);
        assert_int_equal(kept, 5);
        assert_memory_equal(bytes, "abcde", 5);
        assert_memory_equal(bytes + kept, "GET", (size_t)result);
    }
    static const char *const bad[] = {"3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n",
                                      "1000000000000000\r\n", "0\r\nX\r\n\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct phr_chunked_decoder decoder = {.consume_trailer = 1};
        char bytes[64];
        size_t size = strlen(bad[i]);
        memcpy(bytes, bad[i], size);
        assert_int_equal(phr_decode_chunked(&decoder, bytes, &size), -1);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_stands_before_the_librarys_parser),
        cmocka_unit_test(a_plain_request_passes_with_its_headers),
        cmocka_unit_test(what_is_not_whole_waits),
        cmocka_unit_test(two_framings_are_refused),
        cmocka_unit_test(lines_end_with_cr_and_lf),
        cmocka_unit_test(host_and_target_are_checked),
        cmocka_unit_test(close_wins_over_keep_alive),
        cmocka_unit_test(http_1_0_has_no_interim_answer),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(chunks_are_those_of_the_ingest_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
