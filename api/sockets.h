/* Listening sockets that were handed to this process at its start, by the process before it (SLUICE_SOCKETS, see
 * upgrade.h) or by the service manager (LISTEN_FDS: socket activation), and those that it has, for the process after
 * it. A socket that was handed over is never closed while another could not serve what waits in its queue: all of an
 * address are served, however many workers there are. Made by the main thread; not for use by several at once. */
#ifndef SLUICE_API_SOCKETS_H
#define SLUICE_API_SOCKETS_H

#include "api/config.h"

#define SOCKETS_MAX 512

struct sockets;
/* Takes what the environment names, and the names out of it. STATUS_INVALID: it is no list of listening sockets. */
enum status sockets_create(struct sockets **sockets, struct failure *failure) MUST_CHECK;
/* Closes what nobody asked for. */
void sockets_destroy(struct sockets *sockets);
/* The process before this one serves on them until this one says that it does. */
bool sockets_shared(const struct sockets *sockets);
/* Whether some were handed over that listen at this address. */
bool sockets_has(const struct sockets *sockets, const struct config_address *address);

struct sockets_order {
    const struct config_address *address;
    unsigned index, of; /* this listener among those of the address; `of` 0 is 1 */
    bool share;         /* a new one shares its port with others (SO_REUSEPORT) */
};
/* The sockets of one listener, *count of them in `fds`, which then closes them: its part of those that were handed
 * over, or a new one where none was. Fewer of them than listeners: several listeners take from one. `sockets` NULL: a
 * new one. */
enum status sockets_open(struct sockets *sockets, const struct sockets_order *order, int fds[SOCKETS_MAX],
                         size_t *count, struct failure *failure) MUST_CHECK;
/* After the last sockets_open: STATUS_INVALID if the service manager's hold one for an address that is not configured.
 * What the process before listened to and this one does not is closed. */
enum status sockets_check(struct sockets *sockets, struct failure *failure) MUST_CHECK;
/* All that this process listens with: for the one after it. */
size_t sockets_all(const struct sockets *sockets, int fds[SOCKETS_MAX]);

#endif
