/* What stands before h2o's parser. h2o 2.2.5 takes heads that others on the way read differently: Content-Length beside
 * Transfer-Encoding, two lengths, bare line feeds, no Host; and it strips the headers that would tell of it. It calls
 * picohttpparser by its exported names, so this file defines these names: the program's own definition goes before the
 * library's (ELF symbol interposition). What is ambiguous never becomes a request of h2o's: in its place h2o gets one
 * without headers whose method is one of our refusals; it is answered with a problem, and its connection ends. */
#ifndef SLUICE_API_HTTP_GUARD_H
#define SLUICE_API_HTTP_GUARD_H

#include <h2o.h>

#include "api/problem.h"
#include "base/status.h"

#define HTTP_GUARD_HEAD_MAX ((size_t)128 << 10) /* bytes of a head: server.max_uri is 64 KB at most */

struct http_guard_refusal {
    enum problem problem;
    const char *words; /* what was wrong, and where that is written */
};
/* The request stands for a head that was refused; NULL: it does not. */
const struct http_guard_refusal *http_guard_refusal(const h2o_req_t *req);
/* Answers them where there is no `struct request`: on the admin listener. After the host's other paths. */
void http_guard_register(h2o_hostconf_t *host);
/* h2o calls this file's parser and not its own: asked once, before anything listens. */
enum status http_guard_check(struct failure *failure) MUST_CHECK;

#endif
