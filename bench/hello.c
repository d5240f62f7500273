/* The bar for the gateway: what h2o itself does on one thread when it answers every request with the same bytes,
 * without routing, tokens, limits, caches or logs.
 *
 *     bench_hello BYTES [PORT]
 *
 * Listens on 127.0.0.1, on a free port where PORT is 0 or missing, and prints the port's number as its only line. Ends
 * by signal.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <h2o.h>

#define MAX_BYTES (64u << 20)

/* One thread and one purpose: all of it lives as long as the process. */
static h2o_globalconf_t config;
static h2o_context_t context;
static h2o_accept_ctx_t acceptor;
static char *body;
static size_t body_size;

static void quit(const char *what)
{
    fprintf(stderr, "bench_hello: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int answer(h2o_handler_t *handler, h2o_req_t *request)
{
    (void)handler;
    request->res.status = 200;
    request->res.reason = "OK";
    request->res.content_length = body_size;
    h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/json"));
    /* The body outlives every request: handed over without a copy, as the gateway hands over a cached answer. */
    static h2o_generator_t generator;
    h2o_iovec_t bytes = h2o_iovec_init(body, body_size);
    h2o_start_response(request, &generator);
    h2o_send(request, &bytes, body_size != 0, H2O_SEND_STATE_FINAL);
    return 0;
}

static void on_accept(h2o_socket_t *listener, const char *error)
{
    if (error != NULL)
        return;
    h2o_socket_t *client = h2o_evloop_socket_accept(listener);
    if (client != NULL)
        h2o_accept(&acceptor, client);
}

/* Returns the descriptor that listens; *port becomes the one it got. */
static int open_port(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t size = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        quit("socket");
    if (bind(fd, (struct sockaddr *)&address, size) != 0)
        quit("bind 127.0.0.1 (is the port taken? 0 takes a free one)");
    if (listen(fd, SOMAXCONN) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        quit("listen");
    *port = ntohs(address.sin_port);
    return fd;
}

/* A number from 0 to `most`; ends the process with a word to the caller otherwise. */
static unsigned long number(const char *text, unsigned long most)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value > most) {
        fprintf(stderr, "bench_hello: '%s' is not a number from 0 to %lu\n", text, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: bench_hello BYTES [PORT]\n");
        return 2;
    }
    body_size = number(argv[1], MAX_BYTES);
    uint16_t port = argc == 3 ? (uint16_t)number(argv[2], UINT16_MAX) : 0;
    body = malloc(body_size + 1);
    if (body == NULL)
        quit("malloc");
    memset(body, 'x', body_size);

    h2o_config_init(&config);
    h2o_hostconf_t *host = h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), UINT16_MAX);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = answer;
    h2o_context_init(&context, h2o_evloop_create(), &config);
    acceptor.ctx = &context;
    acceptor.hosts = config.hosts;
    h2o_socket_t *listener = h2o_evloop_socket_create(context.loop, open_port(&port), H2O_SOCKET_FLAG_DONT_READ);
    h2o_socket_read_start(listener, on_accept);
    printf("%u\n", port);
    fflush(stdout);
    while (h2o_evloop_run(context.loop, INT32_MAX) == 0 || errno == EINTR)
        continue;
    quit("h2o_evloop_run");
}
