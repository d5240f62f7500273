/* The customers whose data this worker reads: of each that is active a pool of connections logged in as his own role
 * (DESIGN, decision 5). Made when first asked for; the connections of all of them share one bound (postgres_share);
 * pools without connections and queries are forgotten, the least lately used first. One per worker, its thread only. */
#ifndef SLUICE_API_CUSTOMERS_H
#define SLUICE_API_CUSTOMERS_H

#include "api/customer_names.h"

struct customers;
/* `login_key` is borrowed, and so are the configuration's strings in *reader. NULL: out of memory. */
struct customers *customers_create(struct loop *loop, const struct config *config, const struct postgres_login *reader,
                                   struct text login_key);
/* Every query under way ends with STATUS_UNAVAILABLE, and no lane is given away any more. */
void customers_stop(struct customers *customers);
void customers_destroy(struct customers *customers);
/* The lane of a customer; valid until the loop's turn ends (a query under way keeps it). NULL: out of memory, too many
 * customers at once, a name that none can have, or `customers` is NULL (no customers.login_key). That the role exists
 * is found out at login: STATUS_UNAVAILABLE of the query. */
struct postgres *customers_lane(struct customers *customers, struct text customer);

struct customers_statistics {
    struct postgres_statistics lanes; /* of all, also of those that were forgotten */
    size_t pools;                     /* kept now */
};
struct customers_statistics customers_statistics(const struct customers *customers);

#endif
