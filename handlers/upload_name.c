#include "handlers/upload_name.h"

#include "api/problem.h"

enum stage_verdict upload_name_find(struct request *request, struct text relation, struct upload_name *name)
{
    static const char front[] = "uploads.";
    struct text customer = request->principal->customer;
    if (request->worker->customers == NULL || customer.data == NULL || !customer_names_of(customer, &name->names))
        return problem_send(request, PROBLEM_UNREGISTERED,
                            "uploads are for registered customers, and the token's customer is none; the operator "
                            "registers one with `sluice customer add`");
    if (text_equal(relation, TEXT("sessions"))) {
        struct problem_mistake mistake = {
            .place = "path", .field = "dataset", .message = "sessions is reserved; choose another name"};
        return problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &mistake);
    }
    char *dataset = arena_alloc(&request->arena, sizeof(front) + relation.size);
    if (dataset == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    memcpy(dataset, front, sizeof(front) - 1);
    memcpy(dataset + sizeof(front) - 1, relation.data, relation.size);
    name->relation = relation;
    name->dataset = text_of(dataset, sizeof(front) - 1 + relation.size);
    return STAGE_NEXT;
}
