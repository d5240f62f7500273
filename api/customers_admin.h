/* What `sluice customer` does: makes, lists, changes and erases customers, over a session of the database's owner. */
#ifndef SLUICE_API_CUSTOMERS_ADMIN_H
#define SLUICE_API_CUSTOMERS_ADMIN_H

#include <stdio.h>

#include "api/config.h"
#include "drivers/postgres_session.h"

enum customers_action { CUSTOMERS_ADD, CUSTOMERS_LIST, CUSTOMERS_SET, CUSTOMERS_REMOVE };
/* NULL: not told. */
struct customers_order {
    enum customers_action action;
    const char *name;              /* NULL for a list */
    const char *tier;              /* one of limits.tiers */
    const char *bytes, *relations; /* quotas: "10GB", "100"; "0": no limit; "tier": what the tier says */
    bool json, yes, print_login;
};
/* False: there is no such action. */
bool customers_action_of(const char *word, enum customers_action *action) MUST_CHECK;
/* Blocks. Says on `out` what was made, changed or erased, a line each; each action is one transaction (remove closes
 * the login in one before). STATUS_INVALID: the order is wrong, which is seen before anything is done;
 * STATUS_NOT_FOUND: no such customer. */
enum status customers_check(const struct config *config, const struct customers_order *order,
                            struct failure *failure) MUST_CHECK;
enum status customers_carry_out(const struct config *config, struct postgres_session *session,
                                const struct customers_order *order, FILE *out, struct failure *failure) MUST_CHECK;

#endif
