#include "api/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/sockets.h"

#define BACKLOG 1024
#define ACCEPTS_PER_EVENT 64           /* then the loop sees to its other sockets */
#define RETRY_MS 50                    /* how soon a paused listener looks again */
#define BODIES_MS 100                  /* how often it looks what bodies take */
#define HEAD_MEMORY ((size_t)64 << 10) /* an input buffer up to this holds no more than a head */

struct listener {
    struct listener_options options;
    struct loop *loop;
    h2o_socket_t **sockets;
    size_t socket_count; /* 0 once stopped */
    h2o_accept_ctx_t accept, adopt;
    struct loop_timer retry, look;
    bool looks; /* `look` is running: while there are connections */
    uint64_t bodies_cut, refused;
    struct connection *first; /* open connections */
    size_t connections;
};

struct connection {
    struct listener *listener;
    struct connection *previous, *next;
    h2o_socket_t *socket;
    size_t had;                               /* bytes that had come at the last look */
    atomic_uint *of_address;                  /* counted there; NULL: not counted */
    bool keep;                                /* listener_shut_idle passes it over */
    void (*on_adopted_closed)(void *context); /* NULL: it was accepted */
    void *adopted;
};

static void on_connection_closed(void *data)
{
    struct connection *connection = data;
    struct listener *listener = connection->listener;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        listener->first = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    listener->connections--;
    if (connection->of_address != NULL)
        atomic_fetch_sub_explicit(connection->of_address, 1, memory_order_relaxed);
    if (connection->on_adopted_closed != NULL)
        connection->on_adopted_closed(connection->adopted);
    else
        atomic_fetch_sub_explicit(listener->options.connections, 1, memory_order_relaxed);
    free(connection);
}

/* h2o takes a body whole before anyone has looked at the token: what is bounded here is the sum of what has come. One
 * whose request is being answered is not reading, and not meant. */
static size_t body_memory_of(const struct connection *connection)
{
    const h2o_buffer_t *input = connection->socket->input;
    bool waits = connection->on_adopted_closed == NULL && connection->socket->_cb.read != NULL;
    return waits && input->capacity > HEAD_MEMORY ? input->capacity : 0;
}

static size_t gain_of(const struct connection *connection)
{
    size_t size = connection->socket->input->size;
    return size > connection->had ? size - connection->had : 0;
}

static void on_look(struct loop_timer *timer)
{
    struct listener *listener = H2O_STRUCT_FROM_MEMBER(struct listener, look, timer);
    size_t memory = 0, gained = 0, count = 0;
    for (struct connection *one = listener->first; one != NULL; one = one->next)
        if (body_memory_of(one) != 0) {
            memory += body_memory_of(one);
            gained += gain_of(one);
            count++;
        }
    for (struct connection *one = listener->first; one != NULL; one = one->next) {
        size_t of_one = body_memory_of(one);
        if (memory > listener->options.body_memory && of_one != 0 && gain_of(one) <= gained / count) {
            memory -= of_one;
            listener->bodies_cut++;
            shutdown(h2o_socket_get_fd(one->socket), SHUT_RDWR); /* h2o reads the end, and closes it */
        }
        one->had = one->socket->input->size;
    }
    listener->looks = listener->first != NULL;
    if (listener->looks)
        loop_timer_start(listener->loop, &listener->look, BODIES_MS, on_look);
}

static struct connection *add_connection(struct listener *listener, h2o_socket_t *socket)
{
    struct connection *connection = malloc(sizeof(*connection));
    if (connection == NULL)
        return NULL;
    *connection = (struct connection){.listener = listener, .next = listener->first, .socket = socket};
    if (connection->next != NULL)
        connection->next->previous = connection;
    listener->first = connection;
    listener->connections++;
    if (listener->options.body_memory != 0 && !listener->looks) {
        listener->looks = true;
        loop_timer_start(listener->loop, &listener->look, BODIES_MS, on_look);
    }
    socket->on_close.cb = on_connection_closed;
    socket->on_close.data = connection;
    return connection;
}

static bool add_accepted(struct listener *listener, h2o_socket_t *socket)
{
    if (add_connection(listener, socket) == NULL)
        return false;
    atomic_fetch_add_explicit(listener->options.connections, 1, memory_order_relaxed);
    return true;
}

void listener_adopt(struct listener *listener, int fd, void (*on_closed)(void *context), void *context)
{
    h2o_socket_t *socket = h2o_evloop_socket_create(loop_evloop(listener->loop), fd, 0);
    struct connection *connection = add_connection(listener, socket);
    if (connection == NULL) {
        h2o_socket_close(socket);
        on_closed(context);
        return;
    }
    connection->on_adopted_closed = on_closed;
    connection->adopted = context;
    h2o_accept(&listener->adopt, socket);
}

void *listener_adopted(const h2o_socket_t *socket)
{
    return ((const struct connection *)socket->on_close.data)->adopted;
}

/* Behind a proxy the peer is the proxy: it counts its clients itself. */
static bool is_one_too_many(struct listener *listener, h2o_socket_t *socket)
{
    const struct listener_options *options = &listener->options;
    struct connection *connection = socket->on_close.data;
    struct sockaddr_storage peer;
    if (options->addresses == NULL || h2o_socket_getpeername(socket, (struct sockaddr *)&peer) == 0 ||
        config_networks_contain(options->uncounted, (struct sockaddr *)&peer))
        return false;
    connection->of_address = address_counter(options->addresses, (struct sockaddr *)&peer);
    if (atomic_fetch_add_explicit(connection->of_address, 1, memory_order_relaxed) < options->max_of_address)
        return false;
    listener->refused++;
    return true;
}

static bool is_trusted_sender(const struct listener *listener, h2o_socket_t *socket)
{
    struct sockaddr_storage peer;
    return h2o_socket_getpeername(socket, (struct sockaddr *)&peer) != 0 &&
           config_networks_contain(listener->options.proxies, (struct sockaddr *)&peer);
}

static void on_retry(struct loop_timer *timer);

static void pause_accepting(struct listener *listener)
{
    for (size_t i = 0; i < listener->socket_count; i++)
        h2o_socket_read_stop(listener->sockets[i]);
    loop_timer_start(listener->loop, &listener->retry, RETRY_MS, on_retry);
}

/* Until a PROXY line tells one: whether there was a line is then plain, whatever address it names. */
static void take_address(h2o_socket_t *socket)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    h2o_socket_setpeername(socket, &nobody, sizeof(nobody));
}

static bool accept_one(struct listener *listener, h2o_socket_t *listening)
{
    if (atomic_load_explicit(listener->options.connections, memory_order_relaxed) >=
        listener->options.max_connections) {
        pause_accepting(listener);
        return false;
    }
    errno = 0;
    h2o_socket_t *socket = h2o_evloop_socket_accept(listening);
    if (socket == NULL) {
        /* Out of descriptors or memory: the socket stays readable, and the loop would spin. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(listener);
        return false;
    }
    if (!add_accepted(listener, socket) || is_one_too_many(listener, socket) ||
        (listener->options.proxies != NULL && !is_trusted_sender(listener, socket))) {
        h2o_socket_close(socket);
        return true;
    }
    unsigned timeout = listener->options.send_timeout_ms;
    setsockopt(h2o_socket_get_fd(socket), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
    if (listener->options.proxies != NULL)
        take_address(socket);
    h2o_accept(&listener->accept, socket);
    return true;
}

static void on_acceptable(h2o_socket_t *socket, const char *error)
{
    struct listener *listener = socket->data;
    if (error != NULL)
        return;
    for (int i = 0; i < ACCEPTS_PER_EVENT && accept_one(listener, socket); i++)
        ;
}

static void on_retry(struct loop_timer *timer)
{
    struct listener *listener = H2O_STRUCT_FROM_MEMBER(struct listener, retry, timer);
    listener_start(listener);
}

static int open_socket(const struct config_address *listen_on, bool share)
{
    const struct sockaddr *address = (const struct sockaddr *)&listen_on->address;
    int one = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
        (!share || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0) &&
        bind(fd, address, listen_on->size) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static enum status refuse_address(const struct config_address *address, struct failure *failure)
{
    return failure_set(failure, STATUS_FAILED,
                       "cannot listen on %s: %s; choose another address in the configuration, or stop what uses it",
                       address->text, strerror(errno));
}

enum status listener_bind(const struct config_address *address, bool share, int *fd, struct failure *failure)
{
    *fd = open_socket(address, share);
    return *fd < 0 ? refuse_address(address, failure) : STATUS_OK;
}

enum status listener_check_free(const struct config_address *address, struct failure *failure)
{
    int fd;
    enum status status = listener_bind(address, false, &fd, failure);
    if (status == STATUS_OK)
        close(fd);
    return status;
}

enum status listener_create(struct loop *loop, h2o_context_t *context, h2o_hostconf_t **hosts,
                            const struct listener_options *options, struct listener **out, struct failure *failure)
{
    int fds[SOCKETS_MAX];
    size_t count = 0;
    const struct sockets_order order = {options->address, options->index, options->of, options->share_port};
    enum status status = sockets_open(options->sockets, &order, fds, &count, failure);
    if (status != STATUS_OK)
        return status;
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL || (listener->sockets = calloc(count, sizeof(h2o_socket_t *))) == NULL) {
        free(listener);
        while (count != 0)
            close(fds[--count]);
        return failure_set(failure, STATUS_FAILED, "out of memory");
    }
    listener->options = *options;
    listener->loop = loop;
    listener->accept = (h2o_accept_ctx_t){
        .ctx = context, .hosts = hosts, .ssl_ctx = options->tls, .expect_proxy_line = options->proxies != NULL};
    listener->adopt = (h2o_accept_ctx_t){.ctx = context, .hosts = hosts};
    for (size_t i = 0; i < count; i++) {
        listener->sockets[i] = h2o_evloop_socket_create(loop_evloop(loop), fds[i], H2O_SOCKET_FLAG_DONT_READ);
        listener->sockets[i]->data = listener;
    }
    listener->socket_count = count;
    *out = listener;
    return STATUS_OK;
}

void listener_set_tls(struct listener *listener, SSL_CTX *tls)
{
    listener->options.tls = listener->accept.ssl_ctx = tls;
}

void listener_start(struct listener *listener)
{
    for (size_t i = 0; i < listener->socket_count; i++)
        h2o_socket_read_start(listener->sockets[i], on_acceptable);
}

static void close_sockets(struct listener *listener)
{
    while (listener->socket_count != 0)
        h2o_socket_close(listener->sockets[--listener->socket_count]);
}

void listener_stop(struct listener *listener)
{
    loop_timer_stop(&listener->retry);
    for (size_t i = 0; i < listener->socket_count; i++)
        while (accept_one(listener, listener->sockets[i]))
            ;
    loop_timer_stop(&listener->retry);
    close_sockets(listener);
}

void listener_destroy(struct listener *listener)
{
    if (listener == NULL)
        return;
    loop_timer_stop(&listener->retry);
    loop_timer_stop(&listener->look);
    close_sockets(listener);
    free(listener->sockets);
    free(listener);
}

void listener_keep(h2o_socket_t *socket)
{
    ((struct connection *)socket->on_close.data)->keep = true;
}

void listener_shut_idle(struct listener *listener)
{
    for (struct connection *connection = listener->first; connection != NULL; connection = connection->next)
        if (!connection->keep)
            shutdown(h2o_socket_get_fd(connection->socket), SHUT_RD);
}

void listener_cut(struct listener *listener)
{
    for (struct connection *connection = listener->first; connection != NULL; connection = connection->next)
        shutdown(h2o_socket_get_fd(connection->socket), SHUT_RDWR);
}

uint64_t listener_bodies_cut(const struct listener *listener)
{
    return listener->bodies_cut;
}

uint64_t listener_refused(const struct listener *listener)
{
    return listener->refused;
}

size_t listener_connections(const struct listener *listener)
{
    return listener->connections;
}

enum status listener_tls(const char *certificate, const char *key, const char *minimum, SSL_CTX **tls,
                         struct failure *failure)
{
    static const h2o_iovec_t protocols[] = {{H2O_STRLIT("http/1.1")}, {NULL, 0}};
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    const char *culprit = certificate;
    if (context == NULL)
        return failure_set(failure, STATUS_FAILED, "OpenSSL could not make a server context");
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_min_proto_version(context, strcmp(minimum, "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) == 1) {
        culprit = key;
        if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 &&
            SSL_CTX_check_private_key(context) == 1) {
            h2o_ssl_register_alpn_protocols(context, protocols);
            *tls = context;
            return STATUS_OK;
        }
    }
    char reason[256];
    ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
    ERR_clear_error();
    SSL_CTX_free(context);
    return failure_set(failure, STATUS_INVALID,
                       "server.tls: cannot use %s: %s; give a PEM file that fits its counterpart", culprit, reason);
}
