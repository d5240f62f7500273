/* A listening socket on a worker's loop: accepts, counts and caps connections, checks PROXY senders, begins TLS. */
#ifndef SLUICE_API_LISTENER_H
#define SLUICE_API_LISTENER_H

#include <h2o.h>
#include <stdatomic.h>

#include "api/config.h"
#include "drivers/loop.h"

struct listener;
struct listener_options {
    const struct config_address *address;
    bool share_port;                       /* SO_REUSEPORT: one listener a worker */
    SSL_CTX *tls;                          /* NULL: plain */
    const struct config_networks *proxies; /* not NULL: PROXY lines are expected, and only from these */
    atomic_size_t *connections;            /* counted here, across listeners */
    size_t max_connections;                /* past it: not accepted until one closes */
    uint32_t send_timeout_ms; /* TCP_USER_TIMEOUT: a peer that acknowledges nothing for this long is dropped */
};
/* Binds and listens. The failure names the address and the reason. The options' pointers are borrowed. */
enum status listener_create(struct loop *loop, h2o_context_t *context, h2o_hostconf_t **hosts,
                            const struct listener_options *options, struct listener **listener,
                            struct failure *failure) MUST_CHECK;
/* Accepts from here on. */
void listener_start(struct listener *listener);
/* Takes what is in the backlog, then closes the listening socket; open connections go on. */
void listener_stop(struct listener *listener);
/* shutdown(2) of every open connection. SHUT_RD: what was received is still answered, then the connection ends; an idle
 * one ends at once. SHUT_RDWR: all end now. */
void listener_shut(struct listener *listener, int how);
/* After the last connection has closed. */
void listener_destroy(struct listener *listener);
/* Open connections of this listener. */
size_t listener_connections(const struct listener *listener);

/* A TLS server context: TLS 1.2 or newer, ALPN http/1.1 only. */
enum status listener_tls(const char *certificate, const char *key, const char *minimum, SSL_CTX **tls,
                         struct failure *failure) MUST_CHECK;

#endif
