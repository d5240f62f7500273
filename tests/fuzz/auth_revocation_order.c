/* The body of POST /revocations. What is taken must be an order that can be written down. */
#include <stdlib.h>

#include "auth/revocation_order.h"

#define NOW 1700000000

static void use(void *context, const struct revocation *order)
{
    (void)context;
    bool is_token = order->kind == REVOCATION_TOKEN;
    if (order->until_s <= NOW || is_token != (order->token_id.size != 0) || is_token != (order->customer.size == 0) ||
        order->token_id.size > 255 || order->subject.size > 255)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct revocation_lives lives = {86460, 30};
    struct failure failure;
    (void)!revocation_order_read(text_of((const char *)data, size), NOW, &lives, use, NULL, &failure);
    return 0;
}
