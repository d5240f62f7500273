/* GET of a small document over HTTP or HTTPS (libcurl), on a thread of its own because name resolution and TLS block.
 */
#ifndef SLUICE_DRIVERS_FETCH_H
#define SLUICE_DRIVERS_FETCH_H

#include "base/buffer.h"
#include "drivers/loop.h"

struct fetch_options {
    const char *url;     /* http:// or https:// only; redirects are not followed */
    const char *ca_file; /* NULL: the system's authorities */
    uint32_t timeout_ms; /* whole transfer */
    size_t max_size;     /* bytes; a larger document fails */
};
/* `body` is valid during the call. On failure body is TEXT_NONE and *failure says why. */
typedef void (*fetch_done)(void *context, enum status status, struct text body, const struct failure *failure);

struct fetch;
/* Copies the options. on_done runs on `loop`'s thread. NULL when no thread could be made. The thread ends with the
 * transfer. libcurl is loaded only when the first fetch starts, so that a gateway without a JWKS address does not pay
 * its memory. */
struct fetch *fetch_start(struct loop *loop, const struct fetch_options *options, fetch_done on_done, void *context);
/* No callback comes after this. */
void fetch_cancel(struct fetch *fetch);
/* The same, waiting; for start and for command lines. */
enum status fetch_now(const struct fetch_options *options, struct buffer *out, struct failure *failure) MUST_CHECK;

#endif
