/* A listening socket on a worker's loop: accepts, counts and caps connections, checks PROXY senders, begins TLS. */
#ifndef SLUICE_API_LISTENER_H
#define SLUICE_API_LISTENER_H

#include <h2o.h>
#include <stdatomic.h>

#include "api/address_count.h"
#include "api/config.h"
#include "drivers/loop.h"

struct listener;
struct sockets;
struct listener_options {
    const struct config_address *address;
    struct sockets *sockets;                 /* where its sockets come from; NULL: it makes a new one */
    unsigned index, of;                      /* its place among the listeners of this address; `of` 0 is 1 */
    bool share_port;                         /* SO_REUSEPORT: one listener a worker */
    SSL_CTX *tls;                            /* NULL: plain */
    const struct config_networks *proxies;   /* not NULL: PROXY lines are expected, and only from these */
    atomic_size_t *connections;              /* counted here, across listeners */
    size_t max_connections;                  /* past it: not accepted until one closes */
    struct address_counts *addresses;        /* of all listeners that share it; NULL: none is counted */
    const struct config_networks *uncounted; /* proxies, behind which are many */
    size_t max_of_address;                   /* past it a connection is closed as soon as it is accepted */
    size_t body_memory;                      /* of bodies that are still coming, all connections together; 0: any */
    uint32_t send_timeout_ms; /* TCP_USER_TIMEOUT: a peer that acknowledges nothing for this long is dropped */
};
/* Binds and listens. The failure names the address and the reason. The options' pointers are borrowed. */
enum status listener_create(struct loop *loop, h2o_context_t *context, h2o_hostconf_t **hosts,
                            const struct listener_options *options, struct listener **listener,
                            struct failure *failure) MUST_CHECK;
/* A socket that listens, non-blocking. `share`: SO_REUSEPORT. The failure as listener_create's. */
enum status listener_bind(const struct config_address *address, bool share, int *fd,
                          struct failure *failure) MUST_CHECK;
/* STATUS_FAILED: somebody listens at this address already, even one who would share it. */
enum status listener_check_free(const struct config_address *address, struct failure *failure) MUST_CHECK;
/* For connections that come from here on; borrowed. */
void listener_set_tls(struct listener *listener, SSL_CTX *tls);
/* Accepts from here on. */
void listener_start(struct listener *listener);
/* Takes what is in the backlog, then closes the listening sockets; open connections go on. */
void listener_stop(struct listener *listener);
/* Ends the connections on which nothing is in flight: what they have sent by now is still answered. `keep` says of the
 * socket of a request in flight that it is not one of these: to shut its reading side would look as if its client had
 * left. */
void listener_keep(h2o_socket_t *socket);
void listener_shut_idle(struct listener *listener);
/* Cuts all connections. */
void listener_cut(struct listener *listener);
/* Serves one end of a socket pair as if it had been accepted here, plain and without PROXY lines; the listener's limit
 * does not count it. on_closed comes on the loop when the socket has closed. */
void listener_adopt(struct listener *listener, int fd, void (*on_closed)(void *context), void *context);
/* The context that a socket of a listener was adopted with; NULL: it was accepted. */
void *listener_adopted(const h2o_socket_t *socket);
/* After the last connection has closed. */
void listener_destroy(struct listener *listener);
/* Connections that were cut because bodies took more than body_memory: the slowest senders first. */
uint64_t listener_bodies_cut(const struct listener *listener);
/* Connections that were closed because their address had too many. */
uint64_t listener_refused(const struct listener *listener);
/* Open connections of this listener. */
size_t listener_connections(const struct listener *listener);

/* A TLS server context: TLS 1.2 or newer, ALPN http/1.1 only. */
enum status listener_tls(const char *certificate, const char *key, const char *minimum, SSL_CTX **tls,
                         struct failure *failure) MUST_CHECK;

#endif
