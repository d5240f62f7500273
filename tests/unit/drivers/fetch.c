#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/fetch.h"

#include "servers.h"

#define PYTHON "/usr/bin/python3"

/* Paths: /ok, /large (100,000 bytes), /missing, /moved, /slow (never ends). */
static const char script[] =
    "import datetime, http.server, ipaddress, ssl, sys, time\n"
    "folder, port, secure = sys.argv[1], int(sys.argv[2]), sys.argv[3] == 'https'\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        body = b'x' * 100000 if self.path == '/large' else b'{\"keys\":[]}'\n"
    "        self.send_response({'/missing': 404, '/moved': 302}.get(self.path, 200))\n"
    "        if self.path == '/moved': self.send_header('Location', '/ok')\n"
    "        self.send_header('Content-Length', str(len(body)))\n"
    "        self.end_headers()\n"
    "        if self.path == '/slow': self.wfile.flush(); time.sleep(60)\n"
    "        self.wfile.write(body)\n"
    "    def log_message(self, *arguments): pass\n"
    "def certificate():\n"
    "    from cryptography import x509\n"
    "    from cryptography.hazmat.primitives import hashes, serialization as s\n"
    "    from cryptography.hazmat.primitives.asymmetric import ec\n"
    "    key = ec.generate_private_key(ec.SECP256R1())\n"
    "    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, '127.0.0.1')])\n"
    "    now = datetime.datetime.utcnow()\n"
    "    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())\n"
    "        .serial_number(7).not_valid_before(now - datetime.timedelta(days=1))\n"
    "        .not_valid_after(now + datetime.timedelta(days=1))\n"
    "        .add_extension(x509.BasicConstraints(True, None), True)\n"
    "        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address('127.0.0.1'))]), False)\n"
    "        .sign(key, hashes.SHA256()))\n"
    "    with open(folder + '/ca.pem', 'wb') as out: out.write(made.public_bytes(s.Encoding.PEM))\n"
    "    with open(folder + '/key.pem', 'wb') as out: out.write(key.private_bytes(s.Encoding.PEM,\n"
    "        s.PrivateFormat.PKCS8, s.NoEncryption()))\n"
    "class Server(http.server.ThreadingHTTPServer):\n"
    "    daemon_threads = True\n"
    "    request_queue_size = 128\n" /* of 5, what comes at once is lost and sent again after 1, 3, 7 seconds */
    "if secure: certificate()\n"
    "server = Server(('127.0.0.1', port), Handler)\n"
    "if secure:\n"
    "    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
    "    context.load_cert_chain(folder + '/ca.pem', folder + '/key.pem')\n"
    "    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)\n"
    "server.serve_forever()\n";

static struct server plain, secure;
static struct loop *loop; /* for the life of the process */
static char ca_file[96];

static void web_server_start(struct server *server, const char *scheme)
{
    char port[8], log[96];
    server_make_folder(server, NULL);
    server->port = free_port();
    snprintf(port, sizeof(port), "%u", server->port);
    snprintf(log, sizeof(log), "%s/log", server->folder);
    char *arguments[] = {PYTHON, "-c", (char *)(uintptr_t)script, server->folder, port, (char *)(uintptr_t)scheme,
                         NULL};
    server->pid = server_spawn(NULL, SIGKILL, log, arguments);
    server_await_port(server);
}

struct outcome {
    int done;
    enum status status;
    size_t size;
    char body[64], message[512];
};

static void on_done(void *context, enum status status, struct text body, const struct failure *failure)
{
    struct outcome *outcome = context;
    outcome->done++;
    outcome->status = status;
    outcome->size = body.size;
    snprintf(outcome->body, sizeof(outcome->body), "%.*s", (int)(body.size < 63 ? body.size : 63),
             body.data != NULL ? body.data : "");
    if (status != STATUS_OK) {
        assert_null(body.data);
        snprintf(outcome->message, sizeof(outcome->message), "%s", failure->message);
    }
}

static struct outcome fetch(const char *scheme, uint16_t port, const char *path, const char *authority)
{
    char url[64];
    struct fetch_options options = {.url = url, .ca_file = authority, .timeout_ms = 20000, .max_size = 50000};
    struct outcome outcome = {0};
    if (strcmp(path, "/slow") == 0)
        options.timeout_ms = 200;
    snprintf(url, sizeof(url), "%s://127.0.0.1:%u%s", scheme, port, path);
    assert_non_null(fetch_start(loop, &options, on_done, &outcome));
    memset(url, 'x', sizeof(url) - 1); /* options are copied */
    for (uint64_t end = clock_monotonic_us() + 30000000; outcome.done == 0 && clock_monotonic_us() < end;)
        loop_turn(loop, 1000);
    assert_int_equal(outcome.done, 1);
    return outcome;
}

static void a_document_is_handed_over_whole(void **state)
{
    struct outcome outcome = fetch("http", plain.port, "/ok", NULL);
    assert_int_equal(outcome.status, STATUS_OK);
    assert_string_equal(outcome.body, "{\"keys\":[]}");
}

static void a_large_document_a_wrong_status_and_a_redirect_fail(void **state)
{
    struct outcome large = fetch("http", plain.port, "/large", NULL),
                   missing = fetch("http", plain.port, "/missing", NULL),
                   moved = fetch("http", plain.port, "/moved", NULL);
    assert_int_equal(large.status, STATUS_TOO_LARGE);
    assert_non_null(strstr(large.message, "50000"));
    assert_int_equal(missing.status, STATUS_FAILED);
    assert_non_null(strstr(missing.message, "404"));
    assert_int_equal(moved.status, STATUS_FAILED);
}

static void a_server_that_dawdles_is_a_timeout(void **state)
{
    uint64_t begin = clock_monotonic_us();
    assert_int_equal(fetch("http", plain.port, "/slow", NULL).status, STATUS_TIMEOUT);
    assert_true(clock_monotonic_us() - begin < 10000000); /* its time-out is 200 ms, the others' 20 s */
}

static void nobody_there_and_other_schemes_fail(void **state)
{
    assert_int_equal(fetch("http", free_port(), "/ok", NULL).status, STATUS_UNAVAILABLE);
    assert_int_not_equal(fetch("ftp", plain.port, "/ok", NULL).status, STATUS_OK);
    struct fetch_options options = {.url = "file:///etc/passwd", .timeout_ms = 1000, .max_size = 5000};
    struct buffer out;
    struct failure failure;
    buffer_init(&out, 5000);
    assert_int_not_equal(fetch_now(&options, &out, &failure), STATUS_OK);
    assert_int_equal(out.size, 0);
    buffer_free(&out);
}

static void only_a_known_authority_is_trusted(void **state)
{
    assert_int_equal(fetch("https", secure.port, "/ok", ca_file).status, STATUS_OK);
    struct outcome unknown = fetch("https", secure.port, "/ok", NULL);
    assert_int_equal(unknown.status, STATUS_UNAVAILABLE);
    assert_int_equal(unknown.size, 0);
    assert_int_not_equal(fetch("https", secure.port, "/ok", "/nonexistent/ca.pem").status, STATUS_OK);
    assert_int_not_equal(fetch("https", plain.port, "/ok", ca_file).status, STATUS_OK);
}

static void a_cancelled_fetch_never_calls_back(void **state)
{
    char url[64];
    struct outcome outcome = {0};
    struct fetch_options options = {.url = url, .timeout_ms = 300, .max_size = 5000};
    for (int i = 0; i < 60; i++) {
        snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", plain.port, i % 3 == 0 ? "/slow" : "/ok");
        struct fetch *started = fetch_start(loop, &options, on_done, &outcome);
        assert_non_null(started);
        usleep((useconds_t)(i * 100)); /* not for order: to meet the transfer at another point each time */
        fetch_cancel(started);
        loop_turn(loop, 0);
    }
    for (uint64_t end = clock_monotonic_us() + 500000; clock_monotonic_us() < end;)
        loop_turn(loop, 20);
    assert_int_equal(outcome.done, 0);
}

/* Message and thread let go of the same structure at the same time. */
static void many_fetches_at_once_each_end_once(void **state)
{
    char url[64];
    static struct outcome outcomes[64];
    struct fetch_options options = {.url = url, .timeout_ms = 40000, .max_size = 5000};
    int done = 0;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/ok", plain.port);
    for (int i = 0; i < 64; i++)
        assert_non_null(fetch_start(loop, &options, on_done, &outcomes[i]));
    for (uint64_t end = clock_monotonic_us() + 50000000; done < 64 && clock_monotonic_us() < end;) {
        loop_turn(loop, 100);
        done = 0;
        for (int i = 0; i < 64; i++)
            done += outcomes[i].done;
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(outcomes[i].done, 1);
        assert_int_equal(outcomes[i].status, STATUS_OK);
    }
}

static int setup(void **state)
{
    if (access(PYTHON, X_OK) != 0)
        exit(SERVER_SKIP);
    unsetenv("http_proxy"); /* libcurl would ask it for 127.0.0.1 too */
    unsetenv("https_proxy");
    unsetenv("HTTPS_PROXY");
    unsetenv("ALL_PROXY");
    unsetenv("all_proxy");
    web_server_start(&plain, "http");
    web_server_start(&secure, "https");
    snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", secure.folder);
    loop = loop_create();
    return loop != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    server_kill(&plain, SIGKILL);
    server_kill(&secure, SIGKILL);
    server_remove_folder(&plain);
    server_remove_folder(&secure);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_handed_over_whole),
        cmocka_unit_test(a_large_document_a_wrong_status_and_a_redirect_fail),
        cmocka_unit_test(a_server_that_dawdles_is_a_timeout),
        cmocka_unit_test(nobody_there_and_other_schemes_fail),
        cmocka_unit_test(only_a_known_authority_is_trusted),
        cmocka_unit_test(a_cancelled_fetch_never_calls_back),
        cmocka_unit_test(many_fetches_at_once_each_end_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
