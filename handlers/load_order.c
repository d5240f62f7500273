#include "handlers/load_order.h"

#include <stdlib.h>

#include "api/problem.h"
#include "base/hash.h"

#define ARENA_CEILING ((size_t)64 << 20) /* a report of the widest table has a few megabytes */
#define KEY_MAX 255                      /* bytes of an Idempotency-Key */
#define LIST_MAX TABLE_COLUMNS_MAX       /* items of key= and types= */
#define LINES_MAX 1000000                /* that can be skipped */

const char *const load_order_parameters[LOAD_ORDER_PARAMETERS] = {
    "mode", "key",     "types", "header",     "delimiter", "quote",  "encoding",
    "null", "decimal", "dates", "skip_lines", "format",    "max_bad"};

/* Says what is wrong with a parameter. */
static bool refuse(struct request *request, size_t parameter, const char *words)
{
    struct problem_mistake mistake = {.place = "query", .field = load_order_parameters[parameter], .message = words};
    problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &mistake);
    return false;
}

/* The place of `value` among `names` (NULL-terminated); -1: it is none of them. */
static int find(struct text value, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++)
        if (text_equal(value, text_from_string(names[i])))
            return i;
    return -1;
}

/* *place stays as it is where nothing was told. */
static bool read_choice(struct request *request, const struct text *asked, size_t parameter, const char *const *names,
                        const char *words, int *place)
{
    if (asked[parameter].data == NULL)
        return true;
    *place = find(asked[parameter], names);
    return *place >= 0 || refuse(request, parameter, words);
}

static bool read_delimiter(struct request *request, struct text value, char *delimiter)
{
    static const char *const names[] = {"tab", "comma", "semicolon", "pipe", "space", NULL};
    if (value.data == NULL)
        return true;
    int place = find(value, names);
    if (place >= 0)
        *delimiter = "\t,;| "[place];
    else if (value.size == 1 && (value.data[0] == '\t' || (value.data[0] >= ' ' && value.data[0] <= '~')) &&
             value.data[0] != '"')
        *delimiter = value.data[0];
    return *delimiter != '\0' ||
           refuse(request, LOAD_ORDER_DELIMITER,
                  "must be one character of ASCII other than \", or tab, comma, semicolon, pipe or space");
}

static bool read_quote(struct request *request, struct text value, char *quote)
{
    static const char *const names[] = {"double", "single", "none", "\"", "'", NULL};
    if (value.data == NULL)
        return true;
    int place = find(value, names);
    if (place >= 0)
        *quote = "\"'n\"'"[place];
    return place >= 0 || refuse(request, LOAD_ORDER_QUOTE, "must be double, single or none");
}

/* What the Content-Type says, where `format` does not. */
static void read_media(struct request *request, struct sniff_told *told)
{
    static const char *const names[] = {"text/csv", "text/tab-separated-values", "application/x-ndjson",
                                        "application/json"};
    static const enum sniff_format formats[] = {SNIFF_CSV, SNIFF_CSV, SNIFF_NDJSON, SNIFF_JSON};
    ssize_t index = h2o_find_header(&request->h2o->headers, H2O_TOKEN_CONTENT_TYPE, -1);
    if (index < 0 || told->format >= 0)
        return;
    h2o_iovec_t value = request->h2o->headers.entries[index].value;
    struct text rest = text_of(value.base, value.len), type = text_trim(text_split(&rest, ';'));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (text_equal_ignoring_case(type, text_from_string(names[i])))
            told->format = (int)formats[i];
    if (text_equal_ignoring_case(type, text_from_string(names[1])) && told->delimiter == '\0')
        told->delimiter = '\t';
}

static bool read_told(struct request *request, const struct text *asked, struct sniff_told *told)
{
    static const char *const bools[] = {"false", "true", NULL}, *const marks[] = {"point", "comma", NULL},
                             *const dates[] = {"ymd", "dmy", "mdy", NULL},
                             *const formats[] = {"csv", "ndjson", "json", "tsv", NULL};
    enum text_encoding encoding;
    int64_t lines = 0;
    *told = (struct sniff_told){
        .format = -1, .encoding = -1, .header = -1, .decimal_comma = -1, .null = TEXT_NONE, .date_order = -1};
    if (!read_choice(request, asked, LOAD_ORDER_HEADER, bools, "must be true or false", &told->header) ||
        !read_choice(request, asked, LOAD_ORDER_DECIMAL, marks, "must be point or comma", &told->decimal_comma) ||
        !read_choice(request, asked, LOAD_ORDER_DATES, dates, "must be ymd, dmy or mdy", &told->date_order) ||
        !read_choice(request, asked, LOAD_ORDER_FORMAT, formats, "must be csv, tsv, ndjson or json", &told->format) ||
        !read_delimiter(request, asked[LOAD_ORDER_DELIMITER], &told->delimiter) ||
        !read_quote(request, asked[LOAD_ORDER_QUOTE], &told->quote))
        return false;
    if (told->format == 3) { /* tsv */
        told->format = SNIFF_CSV;
        told->delimiter = told->delimiter != '\0' ? told->delimiter : '\t';
    }
    told->null = asked[LOAD_ORDER_NULL];
    if (asked[LOAD_ORDER_SKIP_LINES].data != NULL &&
        (!text_to_int64(asked[LOAD_ORDER_SKIP_LINES], &lines) || lines < 0 || lines > LINES_MAX))
        return refuse(request, LOAD_ORDER_SKIP_LINES, "must be a whole number from 0 to 1000000");
    told->skip_lines = (int)lines;
    if (asked[LOAD_ORDER_ENCODING].data != NULL) {
        if (!text_encoding_named(asked[LOAD_ORDER_ENCODING], &encoding))
            return refuse(request, LOAD_ORDER_ENCODING,
                          "must be utf-8, utf-16, utf-16le, utf-16be, latin1 or windows-1252");
        told->encoding = (int)encoding;
    }
    read_media(request, told);
    return true;
}

/* Lists: parts between commas, into the task's arena. */
static bool read_list(struct request *request, struct load_task *task, size_t parameter, struct text value,
                      const struct text **items, size_t *count)
{
    struct text rest = value;
    size_t most = 1;
    if (value.data == NULL)
        return true;
    for (size_t i = 0; i < value.size; i++)
        most += value.data[i] == ',';
    struct text *list = most <= LIST_MAX ? arena_calloc(&task->arena, most, sizeof(*list)) : NULL;
    if (list == NULL)
        return refuse(request, parameter, "names too many columns");
    while (rest.data != NULL) {
        struct text item = text_split(&rest, ',');
        if (item.size == 0)
            return refuse(request, parameter, "needs names of columns with a comma between them");
        list[(*count)++] = arena_copy(&task->arena, item);
    }
    *items = list;
    return true;
}

/* "column:type", the type behind the last colon, becomes "column=type". */
static bool read_types(struct request *request, struct load_task *task, struct text value)
{
    struct load_order *order = &task->order;
    enum infer_type type;
    if (!read_list(request, task, LOAD_ORDER_TYPES, value, &order->types, &order->type_count))
        return false;
    for (size_t i = 0; i < order->type_count; i++) {
        struct text item = order->types[i];
        char *colon = item.data != NULL ? memrchr(item.data, ':', item.size) : NULL;
        if (colon == NULL || colon == item.data ||
            !infer_type_named(text_of(colon + 1, item.size - (size_t)(colon + 1 - item.data)), &type))
            return refuse(request, LOAD_ORDER_TYPES,
                          "needs column:type with a comma between them; types are boolean, integer, numeric, double, "
                          "date, timestamp, timestamptz, json and text");
        *colon = '=';
    }
    return true;
}

static bool read_order(struct request *request, struct load_task *task, const struct text *asked)
{
    static const char *const modes[] = {"replace", "append", "upsert", NULL};
    struct load_order *order = &task->order;
    int mode = LOAD_REPLACE;
    if (!read_choice(request, asked, LOAD_ORDER_MODE, modes, "must be replace, append or upsert", &mode) ||
        !read_told(request, asked, &order->told) ||
        !read_list(request, task, LOAD_ORDER_KEY, asked[LOAD_ORDER_KEY], &order->key, &order->key_count) ||
        !read_types(request, task, asked[LOAD_ORDER_TYPES]))
        return false;
    order->mode = (enum load_mode)mode;
    if (asked[LOAD_ORDER_MAX_BAD].data != NULL &&
        (!text_to_double(asked[LOAD_ORDER_MAX_BAD], &order->max_bad) || order->max_bad < 0 || order->max_bad > 1))
        return refuse(request, LOAD_ORDER_MAX_BAD, "must be a number from 0 to 1, the share of rows that may be wrong");
    if (order->told.null.data != NULL)
        order->told.null = arena_copy(&task->arena, order->told.null);
    return true;
}

/* Headers. */

/* STATUS_CONFLICT: it stands there more than once. */
static enum status find_header(struct request *request, const char *name, struct text *value)
{
    h2o_headers_t *headers = &request->h2o->headers;
    ssize_t index = h2o_find_header_by_str(headers, name, strlen(name), -1);
    *value = index < 0 ? TEXT_NONE : text_of(headers->entries[index].value.base, headers->entries[index].value.len);
    return index >= 0 && h2o_find_header_by_str(headers, name, strlen(name), index) >= 0 ? STATUS_CONFLICT : STATUS_OK;
}

static bool refuse_header(struct request *request, const char *name, const char *words)
{
    struct problem_mistake mistake = {.place = "header", .field = name, .message = words};
    problem_send_mistake(request, PROBLEM_INVALID_PARAMETER, &mistake);
    return false;
}

static bool read_key(struct request *request, struct load_task *task, const char *operation, struct text dataset)
{
    struct text value;
    struct buffer about;
    enum status status = find_header(request, "idempotency-key", &value);
    bool good = status == STATUS_OK && (value.data == NULL || (value.size >= 1 && value.size <= KEY_MAX));
    for (size_t i = 0; good && i < value.size; i++)
        good = value.data[i] > ' ' && value.data[i] <= '~';
    if (!good)
        return refuse_header(request, "Idempotency-Key", "must be one key of 1 to 255 visible characters of ASCII");
    if (value.data == NULL)
        return true;
    buffer_init(&about, 4096);
    /* With its parameters: a key names one request, and another mode is another one. */
    buffer_printf(&about, "%s %.*s %016llx", operation, TEXT_ARGS(dataset),
                  (unsigned long long)hash_stable(request->query));
    task->order.idempotency.key = arena_copy(&task->arena, value);
    task->order.idempotency.operation = arena_copy(&task->arena, buffer_text(&about));
    buffer_free(&about);
    return true;
}

static bool read_coding(struct request *request, struct load_task *task)
{
    struct text value;
    enum status status = find_header(request, "content-encoding", &value);
    if (status == STATUS_OK && body_coding_named(value, &task->coding))
        return true;
    problem_send(request, PROBLEM_UNSUPPORTED_MEDIA,
                 "Content-Encoding must be gzip, zstd or identity, and only one of them");
    return false;
}

static bool read_body(struct request *request, struct load_task *task)
{
    struct text digest;
    h2o_iovec_t entity = request->h2o->entity;
    if (find_header(request, "content-digest", &digest) != STATUS_OK)
        return refuse_header(request, "Content-Digest", "stands there twice; join the lines by a comma");
    task->digest = digest.data != NULL ? arena_copy(&task->arena, digest) : TEXT_NONE;
    task->connection = ingest_of(request);
    if (task->connection != NULL || entity.base == NULL || entity.len == 0)
        return true;
    /* The request goes with its client, and the thread may be at it by then. */
    task->copy = malloc(entity.len);
    if (task->copy == NULL) {
        problem_send_status(request, STATUS_TOO_LARGE);
        return false;
    }
    memcpy(task->copy, entity.base, entity.len);
    task->memory.rest = text_of(task->copy, entity.len);
    return true;
}

static bool copy_partitions(struct request *request, struct load_task *task, const struct load_partition *partitions,
                            size_t count)
{
    struct load_partition *copies = arena_calloc(&task->arena, count + 1, sizeof(*copies));
    for (size_t i = 0; copies != NULL && i < count; i++) {
        copies[i] = (struct load_partition){arena_copy(&task->arena, partitions[i].column),
                                            arena_copy(&task->arena, partitions[i].value)};
    }
    task->order.partitions = copies;
    task->order.partition_count = count;
    if (copies == NULL)
        problem_send_status(request, STATUS_TOO_LARGE);
    return copies != NULL;
}

struct load_task *load_order_create(struct request *request, const char *operation, struct text dataset,
                                    const struct text asked[LOAD_ORDER_PARAMETERS],
                                    const struct load_partition *partitions, size_t partition_count)
{
    const struct server *server = request->worker->server;
    struct load_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        problem_send_status(request, STATUS_TOO_LARGE);
        return NULL;
    }
    arena_init(&task->arena, NULL, 0, ARENA_CEILING);
    task->server = server;
    task->report.arena = &task->arena;
    task->base.task.run = load_order_run;
    task->base.done = load_order_done;
    task->order.dataset = arena_copy(&task->arena, dataset);
    task->order.lock_timeout_ms = server->config->uploads.lock_timeout_ms;
    if (read_order(request, task, asked) && copy_partitions(request, task, partitions, partition_count) &&
        read_key(request, task, operation, dataset) && read_coding(request, task) && read_body(request, task))
        return task;
    load_order_free(task);
    return NULL;
}

void load_order_quota(const struct request *request, struct load_order *order)
{
    const struct config_tier *tier = request->allowance;
    if (tier == NULL)
        return;
    order->quota_bytes = tier->upload_bytes;
    order->quota_relations = tier->upload_relations;
}

enum stage_verdict load_order_start(struct request *request, struct load_task *task)
{
    enum status status = request_task_start(request, &task->base);
    if (status == STATUS_OK)
        return STAGE_WAIT;
    load_order_free(task);
    return problem_send_status(request, status);
}

void load_order_free(struct load_task *task)
{
    free(task->copy);
    arena_free(&task->arena);
    free(task);
}
