/* Where an issuer's keys are: OpenID Connect Discovery 1.0, RFC 8414. */
#ifndef SLUICE_AUTH_DISCOVERY_H
#define SLUICE_AUTH_DISCOVERY_H

#include "base/buffer.h"
#include "base/status.h"

#define DISCOVERY_MAX_DOCUMENT (64 * 1024) /* bytes */
#define DISCOVERY_MAX_URL 2048             /* bytes */

/* Whether keys may be asked for there: https, or http on this machine (127.0.0.0/8, [::1], localhost). Whoever stands
 * between could hand out keys of his own otherwise. */
bool discovery_is_safe(struct text url);
/* The issuer's own document: its address, a slash at its end left out, and /.well-known/openid-configuration. */
void discovery_append_url(struct buffer *out, struct text issuer);
/* Checks that the document is this issuer's (its `issuer` must be the same, byte by byte) and appends its `jwks_uri`.
 */
enum status discovery_read(struct text document, struct text issuer, struct buffer *jwks_url,
                           struct failure *failure) MUST_CHECK;

#endif
