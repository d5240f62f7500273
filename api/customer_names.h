/* What follows from a customer's name alone: his role, his schemas, his password (DESIGN, decision 5). */
#ifndef SLUICE_API_CUSTOMER_NAMES_H
#define SLUICE_API_CUSTOMER_NAMES_H

#include "api/config.h"
#include "drivers/postgres.h"

#define CUSTOMER_NAME_MAX 41
#define CUSTOMER_ROLE_MAX 64
#define CUSTOMER_PASSWORD_SIZE 65

struct customer_names {
    char role[CUSTOMER_ROLE_MAX];      /* "sluice_c_NAME" */
    char uploads[CUSTOMER_ROLE_MAX];   /* "NAME_uploads" */
    char analytics[CUSTOMER_ROLE_MAX]; /* "NAME_analytics" */
    char jobs[CUSTOMER_ROLE_MAX];      /* "NAME_jobs": results, nobody's dataset */
};
/* False: no customer can have this name (see sluice.customer's check). */
bool customer_names_of(struct text customer, struct customer_names *names) MUST_CHECK;
/* The key of customers.login_key into `out`; empty where none is configured. STATUS_INVALID: it is too short. */
enum status customer_login_key(const struct config *config, struct buffer *out, struct failure *failure) MUST_CHECK;
/* The password of a customer's role: HMAC-SHA-256 of the name under customers.login_key, in hexadecimal: nothing to
 * store, the same on all instances. */
void customer_password(struct text login_key, struct text customer, char out[CUSTOMER_PASSWORD_SIZE]);

/* A blocking login as the customer, for threads: fills storage->login, whose role and password live beside it and whose
 * other strings are `reader`'s. The customer's name is one that customer_names_of takes. */
struct customer_login {
    struct postgres_login login;
    char role[CUSTOMER_ROLE_MAX], password[CUSTOMER_PASSWORD_SIZE];
};
void customers_login(const struct postgres_login *reader, struct text login_key, struct text customer,
                     struct customer_login *storage);

#endif
