/* PUT /v1/datasets/{dataset}/rows: a pipeline's file goes into a table of the warehouse that is configured for it. */
#include "api/problem.h"
#include "base/encoding.h"
#include "handlers/handlers.h"
#include "handlers/load_order.h"

#define PARTITION_MAX 16 /* filters */

enum { DATASET };
static const char *const parameters[] = {"dataset", NULL};

struct asked {
    struct text parameters[LOAD_ORDER_PARAMETERS];
    struct load_partition partitions[PARTITION_MAX];
    size_t partition_count;
};

static const struct config_loadable *find(const struct request *request, struct text dataset)
{
    const struct config *config = request->settings->config;
    for (size_t i = 0; config->database.writer_user != NULL && i < config->warehouse.loadable_count; i++)
        if (text_equal(dataset, text_from_string(config->warehouse.loadable[i].dataset)))
            return &config->warehouse.loadable[i];
    return NULL;
}

static bool refuse(struct request *request, struct text field, const char *words)
{
    struct text cut = text_of(field.data, field.size < 64 ? field.size : 64);
    const char *name = text_is_utf8(cut) && cut.size != 0 ? arena_copy(&request->arena, cut).data : NULL;
    struct problem_mistake mistake = {.place = "query", .field = name != NULL ? name : "query", .message = words};
    problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &mistake);
    return false;
}

static bool decode(struct request *request, struct text *part)
{
    char *out = arena_alloc(&request->arena, part->size + 1);
    size_t size;
    if (out == NULL || !encoding_percent_decode(*part, true, out, &size) || !text_is_utf8(text_of(out, size)))
        return refuse(request, TEXT_NONE, "holds a broken percent-escape, a NUL, or bytes that are not UTF-8");
    *part = text_of(out, size);
    return true;
}

static bool add_partition(struct request *request, struct asked *asked, struct text name, struct text value)
{
    for (size_t i = 0; i < asked->partition_count; i++)
        if (text_equal(asked->partitions[i].column, name))
            return refuse(request, name, "stands there twice");
    if (name.size == 0 || asked->partition_count == PARTITION_MAX)
        return refuse(request, name, "is one filter too many, or names no column");
    asked->partitions[asked->partition_count++] =
        (struct load_partition){name, text_of(value.data + 3, value.size - 3)};
    return true;
}

/* A parameter of the operation, or a filter: a column may be called as a parameter is, but no parameter's value begins
 * with "eq.". */
static bool add(struct request *request, struct asked *asked, struct text name, struct text value)
{
    if (text_starts_with(value, TEXT("eq.")))
        return add_partition(request, asked, name, value);
    for (size_t i = 0; i < LOAD_ORDER_PARAMETERS; i++) {
        if (!text_equal(name, text_from_string(load_order_parameters[i])))
            continue;
        if (asked->parameters[i].data != NULL)
            return refuse(request, name, "stands there twice");
        asked->parameters[i] = value;
        return true;
    }
    return refuse(request, name,
                  "is no parameter of loadRows, and no filter either, which is column=eq.value and names the part that "
                  "mode=replace takes the place of");
}

static bool read_query(struct request *request, struct asked *asked)
{
    struct text rest = request->query;
    while (rest.data != NULL) {
        struct text value = text_split(&rest, '&'), name;
        if (value.size == 0)
            continue;
        name = text_split(&value, '=');
        if (value.data == NULL)
            value = TEXT("");
        if (!decode(request, &name) || !decode(request, &value) || !add(request, asked, name, value))
            return false;
    }
    return true;
}

static enum stage_verdict execute(struct request *request)
{
    struct text dataset = request_value(request, DATASET)->text;
    const struct config_loadable *loadable = find(request, dataset);
    struct asked *asked = arena_calloc(&request->arena, 1, sizeof(*asked));
    if (loadable == NULL)
        return problem_send(
            request, PROBLEM_NOT_FOUND,
            "no dataset of this name takes rows; warehouse.loadable in the gateway's configuration names "
            "those that do");
    if (asked == NULL)
        return problem_send_status(request, STATUS_TOO_LARGE);
    if (!read_query(request, asked))
        return STAGE_DONE;
    struct load_task *task =
        load_order_create(request, "loadRows", dataset, asked->parameters, asked->partitions, asked->partition_count);
    if (task == NULL)
        return STAGE_DONE;
    task->order.existing = true;
    /* Copies: the task may outlive the request, and its settings with it. */
    task->order.schema = arena_copy(&task->arena, text_from_string(loadable->schema));
    task->order.relation = arena_copy(&task->arena, text_from_string(loadable->table));
    if (task->order.schema.data == NULL || task->order.relation.data == NULL) {
        load_order_free(task);
        return problem_send_status(request, STATUS_TOO_LARGE);
    }
    request->plan = (struct plan){.target = PLAN_WAREHOUSE, .lane = PLAN_COPY, .relation = dataset};
    request->has_plan = true;
    return load_order_start(request, task);
}

const struct handler handlers_load_rows = {"loadRows", parameters, NULL, execute};
