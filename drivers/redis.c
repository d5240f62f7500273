#include "drivers/redis.h"

#include <arpa/inet.h>
#include <async.h>
#include <hiredis.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/encoding.h"
#include "base/log.h"
#include "base/random.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS 2000
#define MAX_ARGUMENTS 64
#define MAX_ITEMS 64

struct command {
    struct redis *redis;
    struct command *next;
    uint64_t sent_ms;
    redis_answer on_answer;
    void *context;
    char *evalsha; /* the EVAL command to send on NOSCRIPT; NULL: not a script */
    int evalsha_size;
    bool failed; /* never reached hiredis: answered with NULL at the turn's end */
};

struct redis {
    struct loop *loop;
    struct redis_options options;
    char *address, *password;
    redisAsyncContext *context; /* NULL: between attempts */
    struct loop_watch *watch;
    bool up, closing;
    struct command *oldest, **newest_link; /* in flight, in the order of sending */
    size_t in_flight;
    struct loop_timer deadline, retry;
    uint32_t backoff_ms;
    struct loop_hook flush_hook;
    bool wants_write, flushing;
    struct redis_statistics statistics;
};

static void start_connecting(struct redis *redis);
static bool ensure_watch(struct redis *redis);

/* The loop's side of hiredis. */

static void on_readable(void *context)
{
    struct redis *redis = context;
    if (redis->context != NULL)
        redisAsyncHandleRead(redis->context);
}

/* hiredis asks for more writing when the socket took only a part: hooks would spin on that, the watch waits. */
static void flush(void *data)
{
    struct redis *redis = data;
    if (redis->context == NULL)
        return;
    redis->flushing = true;
    redisAsyncHandleWrite(redis->context);
    redis->flushing = false;
    if (redis->context != NULL && redis->wants_write && ensure_watch(redis))
        loop_watch_writable(redis->watch, true);
}

static bool ensure_watch(struct redis *redis)
{
    if (redis->watch == NULL && redis->context != NULL)
        redis->watch = loop_watch_start(redis->loop, redis->context->c.fd, on_readable, flush, redis);
    return redis->watch != NULL;
}

static void hook_add_read(void *data)
{
    struct redis *redis = data;
    if (ensure_watch(redis))
        loop_watch_readable(redis->watch, true);
}

static void hook_del_read(void *data)
{
    struct redis *redis = data;
    if (redis->watch != NULL)
        loop_watch_readable(redis->watch, false);
}

/* hiredis asks to write with every command: one write at the turn's end serves them all. */
static void hook_add_write(void *data)
{
    struct redis *redis = data;
    redis->wants_write = true;
    if (redis->flushing)
        return;
    if (redis->context != NULL && (redis->context->c.flags & REDIS_CONNECTED) && redis->up)
        loop_hook_request(redis->loop, &redis->flush_hook);
    else if (ensure_watch(redis))
        loop_watch_writable(redis->watch, true);
}

static void hook_del_write(void *data)
{
    struct redis *redis = data;
    redis->wants_write = false;
    if (redis->watch != NULL)
        loop_watch_writable(redis->watch, false);
}

static void hook_cleanup(void *data)
{
    struct redis *redis = data;
    redis->wants_write = false;
    if (redis->watch != NULL)
        loop_watch_stop(redis->watch);
    redis->watch = NULL;
}

static void on_turn_end(struct loop_hook *hook)
{
    struct redis *redis = (struct redis *)((char *)hook - offsetof(struct redis, flush_hook));
    if (redis->context == NULL || !redis->wants_write)
        return;
    redis->statistics.round_trips++;
    flush(redis);
}

/* Commands. */

static void finish_command(struct command *command, const struct redis_reply *reply)
{
    struct redis *redis = command->redis;
    struct command **link = &redis->oldest;
    while (*link != NULL && *link != command)
        link = &(*link)->next;
    if (*link == command) {
        *link = command->next;
        if (redis->newest_link == &command->next)
            redis->newest_link = link;
        redis->in_flight--;
    }
    if (reply == NULL)
        redis->statistics.failures++;
    if (command->on_answer != NULL)
        command->on_answer(command->context, reply);
    redisFreeCommand(command->evalsha);
    free(command);
}

static void convert(const redisReply *from, struct redis_reply *to, struct redis_reply *items)
{
    static const enum redis_type types[] = {[REDIS_REPLY_STRING] = REDIS_TEXT,
                                            [REDIS_REPLY_INTEGER] = REDIS_INTEGER,
                                            [REDIS_REPLY_NIL] = REDIS_NIL,
                                            [REDIS_REPLY_STATUS] = REDIS_STATUS,
                                            [REDIS_REPLY_ERROR] = REDIS_ERROR};
    *to = (struct redis_reply){.type = REDIS_NIL};
    if (from->type == REDIS_REPLY_ARRAY) {
        if (items == NULL || from->elements > MAX_ITEMS)
            return;
        to->type = REDIS_ARRAY;
        to->count = from->elements;
        to->items = items;
        for (size_t i = 0; i < from->elements; i++)
            convert(from->element[i], &items[i], NULL);
        return;
    }
    if (from->type < 1 || (size_t)from->type >= sizeof(types) / sizeof(types[0]))
        return;
    to->type = types[from->type];
    to->integer = from->integer;
    if (to->type == REDIS_TEXT || to->type == REDIS_STATUS || to->type == REDIS_ERROR)
        to->text = text_of(from->str, (size_t)from->len);
}

static void on_reply(redisAsyncContext *context, void *memory, void *data)
{
    const redisReply *reply = memory;
    struct command *command = data;
    struct redis_reply converted, items[MAX_ITEMS];
    if (reply == NULL) {
        finish_command(command, NULL);
        return;
    }
    /* The script is not known there (a restart, SCRIPT FLUSH): send its text, under the same command. */
    if (reply->type == REDIS_REPLY_ERROR && command->evalsha != NULL && strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        char *eval = command->evalsha;
        command->evalsha = NULL;
        bool sent =
            redisAsyncFormattedCommand(context, on_reply, command, eval, (size_t)command->evalsha_size) == REDIS_OK;
        redisFreeCommand(eval);
        if (sent)
            return;
    }
    convert(reply, &converted, items);
    finish_command(command, &converted);
}

static void fail_all(struct redis *redis)
{
    while (redis->oldest != NULL)
        finish_command(redis->oldest, NULL);
}

/* Connection. */

static void lose_connection(struct redis *redis, const char *reason)
{
    bool was_up = redis->up;
    redis->up = false;
    redis->context = NULL;
    loop_timer_stop(&redis->deadline);
    loop_hook_cancel(redis->loop, &redis->flush_hook);
    if (redis->closing)
        return;
    if (was_up || redis->backoff_ms == BACKOFF_FIRST_MS)
        log_event(LOG_WARNING, "redis_down", "no connection to Redis at %s: %s; trying again", redis->address, reason);
    redis->statistics.reconnects++;
}

static void on_retry(struct loop_timer *timer)
{
    struct redis *redis = (struct redis *)((char *)timer - offsetof(struct redis, retry));
    start_connecting(redis);
}

static void schedule_retry(struct redis *redis)
{
    if (redis->closing)
        return;
    loop_timer_start(redis->loop, &redis->retry, 1 + random_below(redis->backoff_ms), on_retry);
    redis->backoff_ms = redis->backoff_ms * 2 < BACKOFF_LAST_MS ? redis->backoff_ms * 2 : BACKOFF_LAST_MS;
}

/* Breaks the connection from our side; hiredis answers what is in flight with NULL. */
static void drop_connection(struct redis *redis, const char *reason)
{
    redisAsyncContext *context = redis->context;
    if (context == NULL)
        return;
    lose_connection(redis, reason);
    redisAsyncFree(context); /* calls back for every command in flight */
    fail_all(redis);
    schedule_retry(redis);
}

static void on_deadline(struct loop_timer *timer)
{
    struct redis *redis = (struct redis *)((char *)timer - offsetof(struct redis, deadline));
    uint64_t now = loop_now_ms(redis->loop);
    if (!redis->up) {
        drop_connection(redis, "connecting took too long");
    } else if (redis->oldest != NULL && now >= redis->oldest->sent_ms + redis->options.timeout_ms) {
        drop_connection(redis, "a command was not answered in time");
    } else if (redis->oldest != NULL) {
        loop_timer_start(redis->loop, timer, redis->oldest->sent_ms + redis->options.timeout_ms - now, on_deadline);
    }
}

static void on_setup(redisAsyncContext *context, void *memory, void *data)
{
    const redisReply *reply = memory;
    struct redis *redis = context->data;
    (void)data;
    if (redis == NULL || redis->context != context)
        return;
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        log_event(LOG_ERROR, "redis_refused",
                  "Redis at %s refused the login: %s; check redis.password_file and redis.database", redis->address,
                  reply != NULL ? reply->str : "connection lost");
        if (reply != NULL)
            redisAsyncDisconnect(context);
        return;
    }
    loop_timer_stop(&redis->deadline);
    redis->up = true;
    redis->backoff_ms = BACKOFF_FIRST_MS;
    log_event(LOG_INFO, "redis_up", "connected to Redis at %s", redis->address);
}

static void on_connected(const redisAsyncContext *context, int result)
{
    struct redis *redis = context->data;
    redisAsyncContext *own = redis->context;
    if (result != REDIS_OK) {
        /* hiredis frees the context after this. */
        lose_connection(redis, context->errstr);
        schedule_retry(redis);
        return;
    }
    if (redis->password != NULL)
        redisAsyncCommand(own, NULL, NULL, "AUTH %s", redis->password);
    /* SELECT is answered with an error too when AUTH was refused. */
    redisAsyncCommand(own, on_setup, NULL, "SELECT %d", redis->options.database);
}

static void on_disconnected(const redisAsyncContext *context, int result)
{
    struct redis *redis = context->data;
    if (redis->context != context)
        return; /* dropped by us */
    lose_connection(redis, result == REDIS_OK ? "closed" : context->errstr);
    fail_all(redis);
    schedule_retry(redis);
}

static redisAsyncContext *open_context(const char *address)
{
    char host[64];
    if (strncmp(address, "unix:", 5) == 0)
        return redisAsyncConnectUnix(address + 5);
    const char *colon = strrchr(address, ':');
    size_t size = (size_t)(colon - address);
    if (address[0] == '[') {
        address++;
        size -= 2;
    }
    memcpy(host, address, size);
    host[size] = '\0';
    return redisAsyncConnect(host, atoi(colon + 1));
}

static void start_connecting(struct redis *redis)
{
    redisAsyncContext *context = open_context(redis->address);
    if (context == NULL || context->err != 0) {
        if (context != NULL)
            redisAsyncFree(context);
        schedule_retry(redis);
        return;
    }
    redis->context = context;
    context->data = redis;
    context->ev = (__typeof__(context->ev)){.data = redis,
                                            .addRead = hook_add_read,
                                            .delRead = hook_del_read,
                                            .addWrite = hook_add_write,
                                            .delWrite = hook_del_write,
                                            .cleanup = hook_cleanup};
    redisAsyncSetConnectCallback(context, on_connected);
    redisAsyncSetDisconnectCallback(context, on_disconnected);
    loop_timer_start(redis->loop, &redis->deadline, redis->options.timeout_ms + 1000, on_deadline);
}

static bool is_address(const char *address)
{
    char host[64];
    unsigned char bytes[16];
    int64_t port;
    if (strncmp(address, "unix:/", 6) == 0)
        return strlen(address) < 100;
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= sizeof(host) ||
        !text_to_int64(text_from_string(colon + 1), &port) || port < 1 || port > 65535)
        return false;
    size_t size = (size_t)(colon - address);
    bool six = size > 2 && address[0] == '[' && address[size - 1] == ']';
    memcpy(host, address + six, size - 2 * six);
    host[size - 2 * (size_t)six] = '\0';
    return inet_pton(six ? AF_INET6 : AF_INET, host, bytes) == 1;
}

enum status redis_create(struct loop *loop, const struct redis_options *options, struct redis **out,
                         struct failure *failure)
{
    if (!is_address(options->address))
        return failure_set(
            failure, STATUS_INVALID,
            "redis.address %s is no numeric address with port; give 127.0.0.1:6379, [::1]:6379 or unix:/path",
            options->address);
    struct redis *redis = calloc(1, sizeof(*redis));
    if (redis == NULL)
        return failure_set(failure, STATUS_FAILED, "out of memory");
    redis->loop = loop;
    redis->options = *options;
    redis->address = strdup(options->address);
    redis->password = options->password != NULL ? strdup(options->password) : NULL;
    redis->newest_link = &redis->oldest;
    redis->backoff_ms = BACKOFF_FIRST_MS;
    redis->flush_hook.on_turn_end = on_turn_end;
    loop_timer_start(loop, &redis->retry, 0, on_retry);
    *out = redis;
    return STATUS_OK;
}

void redis_destroy(struct redis *redis)
{
    if (redis == NULL)
        return;
    redis->closing = true;
    drop_connection(redis, "closed");
    fail_all(redis);
    loop_timer_stop(&redis->retry);
    loop_timer_stop(&redis->deadline);
    loop_hook_cancel(redis->loop, &redis->flush_hook);
    free(redis->address);
    if (redis->password != NULL)
        explicit_bzero(redis->password, strlen(redis->password));
    free(redis->password);
    free(redis);
}

bool redis_is_up(const struct redis *redis)
{
    return redis->up;
}

/* hiredis's form of arguments. */
static void split(size_t count, const struct text *arguments, const char **values, size_t *sizes)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = arguments[i].data != NULL ? arguments[i].data : "";
        sizes[i] = arguments[i].size;
    }
}

static enum status send_command(struct redis *redis, size_t count, const struct text *arguments, char *eval,
                                int eval_size, redis_answer on_answer, void *context)
{
    const char *values[MAX_ARGUMENTS];
    size_t sizes[MAX_ARGUMENTS];
    if (!redis->up)
        return STATUS_UNAVAILABLE;
    if (redis->in_flight >= redis->options.queue)
        return STATUS_BUSY;
    struct command *command = count <= MAX_ARGUMENTS ? calloc(1, sizeof(*command)) : NULL;
    if (command == NULL)
        return STATUS_TOO_LARGE;
    split(count, arguments, values, sizes);
    *command = (struct command){.redis = redis,
                                .sent_ms = loop_now_ms(redis->loop),
                                .on_answer = on_answer,
                                .context = context,
                                .evalsha = eval,
                                .evalsha_size = eval_size};
    if (redisAsyncCommandArgv(redis->context, on_reply, command, (int)count, values, sizes) != REDIS_OK) {
        free(command);
        return STATUS_UNAVAILABLE;
    }
    *redis->newest_link = command;
    redis->newest_link = &command->next;
    redis->in_flight++;
    redis->statistics.commands++;
    if (redis->deadline.loop == NULL)
        loop_timer_start(redis->loop, &redis->deadline, redis->options.timeout_ms, on_deadline);
    return STATUS_OK;
}

enum status redis_send(struct redis *redis, size_t count, const struct text *arguments, redis_answer on_answer,
                       void *context)
{
    return send_command(redis, count, arguments, NULL, 0, on_answer, context);
}

void redis_script_init(struct redis_script *script, const char *text)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)text, strlen(text), digest);
    encoding_hex(digest, sizeof(digest), script->sha1);
    script->sha1[40] = '\0';
    script->text = text;
}

enum status redis_run(struct redis *redis, const struct redis_script *script, size_t key_count, const struct text *keys,
                      size_t argument_count, const struct text *arguments, redis_answer on_answer, void *context)
{
    struct text all[MAX_ARGUMENTS];
    const char *values[MAX_ARGUMENTS];
    size_t sizes[MAX_ARGUMENTS], count = 0;
    char number[24], *eval = NULL;
    if (3 + key_count + argument_count > MAX_ARGUMENTS)
        return STATUS_TOO_LARGE;
    all[count++] = TEXT("EVAL");
    all[count++] = text_from_string(script->text);
    all[count++] = text_of(number, (size_t)snprintf(number, sizeof(number), "%zu", key_count));
    for (size_t i = 0; i < key_count; i++)
        all[count++] = keys[i];
    for (size_t i = 0; i < argument_count; i++)
        all[count++] = arguments[i];
    split(count, all, values, sizes);
    int size = redisFormatCommandArgv(&eval, (int)count, values, sizes);
    if (size < 0)
        return STATUS_FAILED;
    all[0] = TEXT("EVALSHA");
    all[1] = text_from_string(script->sha1);
    enum status status = send_command(redis, count, all, eval, size, on_answer, context);
    if (status != STATUS_OK)
        redisFreeCommand(eval);
    return status;
}

struct redis_statistics redis_statistics(const struct redis *redis)
{
    return redis->statistics;
}
