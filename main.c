/* The command line: serve, check, migrate, customer, token, health. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "api/check.h"
#include "api/config.h"
#include "api/server.h"
#include "auth/tokens.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "drivers/postgres_session.h"
#include "handlers/handlers.h"
#include "sql/migrations.h"

#ifdef __SANITIZE_ADDRESS__
/* h2o keeps freed blocks for each thread, and never frees a context's message queue: neither grows. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);
__attribute__((visibility("default"))) const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\nleak:h2o_multithread_create_queue\n";
}
#endif

#define DEFAULT_CONFIG "/etc/sluice/sluice.yaml"
#define REPORT_CEILING ((size_t)1 << 20)

enum { EXIT_USAGE = 2 };

/* What the options of all commands say. */
struct options {
    const char *config, *customer, *tier, *scope, *subject, *kid, *lifetime, *key;
    bool offline;
};

static enum status read_config(const struct options *options, struct config **config)
{
    struct buffer report;
    buffer_init(&report, REPORT_CEILING);
    enum status status = config_load(options->config, config, &report);
    if (status != STATUS_OK && report.size != 0)
        fwrite(report.data, 1, report.size, stderr);
    buffer_free(&report);
    return status;
}

static int fail(const char *command, const struct failure *failure)
{
    fprintf(stderr, "sluice %s: %s\n", command, failure->message);
    return EXIT_FAILURE;
}

/* serve */

static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    sigprocmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool no_signal_yet(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && !sigismember(&pending, SIGTERM) && !sigismember(&pending, SIGINT);
}

static int serve(const struct options *options)
{
    struct config *config;
    struct server *server;
    struct failure failure = {0};
    sigset_t signals;
    int signal_number;
    if (read_config(options, &config) != STATUS_OK)
        return EXIT_FAILURE;
    prctl(PR_SET_DUMPABLE, 0); /* secrets are in memory: no core file, no ptrace by the same user */
    block_signals(&signals);
    log_start(STDERR_FILENO, config->log.level);
    enum status status = server_create(config, handlers_all, handlers_count, no_signal_yet, &server, &failure);
    if (status == STATUS_OK) {
        status = server_start(server, &failure);
        if (status == STATUS_OK) {
            log_event(LOG_INFO, "started", "sluice " SLUICE_VERSION " serves on %s with %u workers, admin on %s",
                      config->server.listen.text, config->server.workers, config->server.admin.text);
            while (sigwait(&signals, &signal_number) == 0 && signal_number == SIGHUP)
                log_event(LOG_WARNING, "no_reload",
                          "SIGHUP: the configuration is read at the start only; restart to change it");
            log_event(LOG_INFO, "draining", "signal %d: finishing what is in flight", signal_number);
        }
        server_drain(server);
        server_destroy(server);
    }
    log_stop();
    config_free(config);
    if (status == STATUS_UNAVAILABLE && !no_signal_yet())
        return EXIT_SUCCESS; /* told to stop while it waited for its database */
    return status == STATUS_OK ? EXIT_SUCCESS : fail("serve", &failure);
}

/* check */

static int check(const struct options *options)
{
    struct config *config;
    struct buffer report;
    if (read_config(options, &config) != STATUS_OK)
        return EXIT_FAILURE;
    printf("%s: no mistakes\n", options->config);
    buffer_init(&report, REPORT_CEILING);
    enum status status = options->offline ? STATUS_OK : check_catalog(config, stdout, &report);
    if (report.size != 0)
        fwrite(report.data, 1, report.size, stderr);
    buffer_free(&report);
    config_free(config);
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* migrate and customer: as the owner of the database */

static enum status open_owner(const struct config *config, struct postgres_session **session, struct failure *failure)
{
    struct buffer password;
    struct postgres_resolved resolved;
    struct postgres_login login;
    buffer_init(&password, 65536);
    enum status status = config_secret_read(&config->database.admin_password, &password, failure);
    if (status == STATUS_OK)
        status = server_login(config, &password, &resolved, &login, failure);
    if (status == STATUS_OK) {
        login.user = config->database.admin_user;
        status = postgres_session_open(&login, session, failure);
    }
    buffer_free(&password);
    return status;
}

static void on_applied(void *context, const struct postgres_rows *rows)
{
    *(bool *)context = postgres_rows_count(rows) != 0;
}

/* A migration and the note that it was made, in one transaction. */
static enum status migrate_one(struct postgres_session *session, const struct migration *migration,
                               struct failure *failure)
{
    bool applied = false;
    struct text name = text_from_string(migration->name);
    enum status status = postgres_session_query(session, "select 1 from sluice.migration where name = $1", 1, &name,
                                                on_applied, &applied, failure);
    if (status != STATUS_OK || applied)
        return status;
    struct buffer sql;
    buffer_init(&sql, (size_t)4 << 20);
    buffer_append(&sql, migration->begin, (size_t)(migration->end - migration->begin));
    buffer_printf(&sql, "\n;insert into sluice.migration (name) values ('%s')", migration->name);
    const char *text = buffer_c_string(&sql);
    status = text != NULL ? postgres_session_script(session, text, failure)
                          : failure_set(failure, STATUS_FAILED, "out of memory");
    buffer_free(&sql);
    if (status == STATUS_OK)
        printf("applied %s\n", migration->name);
    else
        fprintf(stderr, "sluice migrate: %s failed; nothing of it remains\n", migration->name);
    return status;
}

static enum status set_reader_password(const struct config *config, struct postgres_session *session,
                                       struct failure *failure)
{
    struct buffer password;
    buffer_init(&password, 65536);
    enum status status = config_secret_read(&config->database.password, &password, failure);
    if (status == STATUS_OK && password.size != 0)
        status = postgres_session_set_password(session, config->database.user, buffer_c_string(&password), failure);
    buffer_free(&password);
    return status;
}

static int migrate(const struct options *options)
{
    struct config *config;
    struct postgres_session *session = NULL;
    struct failure failure = {0};
    if (read_config(options, &config) != STATUS_OK)
        return EXIT_FAILURE;
    enum status status = open_owner(config, &session, &failure);
    if (status == STATUS_OK) /* two of us at once wait for each other; the lock ends with the session */
        status = postgres_session_script(session,
                                         "set client_min_messages = warning; select pg_advisory_lock(77531902);"
                                         "create schema if not exists sluice;"
                                         "create table if not exists sluice.migration (name text primary key,"
                                         " applied_at timestamptz not null default clock_timestamp())",
                                         &failure);
    for (size_t i = 0; status == STATUS_OK && i < migrations_count; i++)
        status = migrate_one(session, &migrations[i], &failure);
    if (status == STATUS_OK)
        status = set_reader_password(config, session, &failure);
    postgres_session_close(session);
    config_free(config);
    return status == STATUS_OK ? EXIT_SUCCESS : fail("migrate", &failure);
}

static bool has_tier(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->limits.tier_count; i++)
        if (strcmp(config->limits.tiers[i].name, name) == 0)
            return true;
    return false;
}

static int customer_add(const struct options *options)
{
    struct config *config;
    struct postgres_session *session = NULL;
    struct failure failure = {0};
    if (read_config(options, &config) != STATUS_OK)
        return EXIT_FAILURE;
    const char *tier = options->tier != NULL ? options->tier : config->limits.default_tier;
    struct text parameters[] = {text_from_string(options->customer), text_from_string(tier)};
    enum status status = has_tier(config, tier)
                             ? open_owner(config, &session, &failure)
                             : failure_set(&failure, STATUS_INVALID,
                                           "there is no tier %s; limits.tiers in %s lists them", tier, options->config);
    if (status == STATUS_OK)
        status = postgres_session_query(session,
                                        "insert into sluice.customer (customer_id, tier) values ($1, $2)"
                                        " on conflict (customer_id) do update set tier = excluded.tier",
                                        2, parameters, NULL, NULL, &failure);
    postgres_session_close(session);
    config_free(config);
    if (status == STATUS_INVALID && session != NULL)
        failure_set(&failure, status,
                    "a customer's name begins with a letter and holds up to 41 lower-case letters, digits and _");
    if (status != STATUS_OK)
        return fail("customer add", &failure);
    printf("customer %s is of tier %s\n", options->customer, tier);
    return EXIT_SUCCESS;
}

/* token */

/* Units of a token's lifetime. */
static bool parse_lifetime(const char *text, int64_t *seconds)
{
    size_t size = strlen(text);
    int64_t unit = 1;
    if (size != 0 && text[size - 1] >= 'a')
        unit = text[--size] == 's' ? 1 : text[size] == 'm' ? 60 : text[size] == 'h' ? 3600 : 0;
    return unit != 0 && text_to_int64(text_of(text, size), seconds) && *seconds > 0 && *seconds <= 366 * 86400 / unit &&
           (*seconds *= unit, true);
}

static const struct config_key *choose_key(const struct config *config, const char *kid)
{
    for (size_t i = 0; i < config->auth.key_count; i++)
        if (kid == NULL || strcmp(config->auth.keys[i].kid, kid) == 0)
            return &config->auth.keys[i];
    return NULL;
}

static enum status mint(const struct options *options, const struct config *config, struct failure *failure)
{
    const struct config_key *key = choose_key(config, options->kid);
    struct tokens_grant grant = {config->auth.issuer,
                                 config->auth.audience,
                                 options->subject,
                                 config->auth.customer_claim,
                                 options->customer,
                                 config->auth.tier_claim,
                                 options->tier,
                                 options->scope,
                                 clock_wall_us() / 1000000,
                                 3600};
    struct buffer secret, token;
    if (key == NULL)
        return failure_set(failure, STATUS_INVALID, "auth.keys in %s has no such key; --kid names one",
                           options->config);
    if (options->lifetime != NULL && !parse_lifetime(options->lifetime, &grant.lifetime_s))
        return failure_set(failure, STATUS_INVALID, "--lifetime needs a duration like 900s, 60m or 12h");
    if (options->lifetime == NULL && grant.lifetime_s > config->auth.max_lifetime_s)
        grant.lifetime_s = config->auth.max_lifetime_s;
    buffer_init(&secret, 65536);
    buffer_init(&token, 65536);
    enum status status = file_read_secret(options->key != NULL ? options->key : key->file, &secret, failure);
    if (status == STATUS_OK)
        status = tokens_mint(&grant, key->kid, key->algorithm, buffer_text(&secret), &token, failure);
    if (status == STATUS_OK)
        printf("%.*s\n", (int)token.size, token.data);
    buffer_free(&secret);
    buffer_free(&token);
    return status;
}

static int token(const struct options *options)
{
    struct config *config;
    struct failure failure = {0};
    if (read_config(options, &config) != STATUS_OK)
        return EXIT_FAILURE;
    enum status status = mint(options, config, &failure);
    config_free(config);
    return status == STATUS_OK ? EXIT_SUCCESS : fail("token", &failure);
}

/* health */

/* Asks /readyz of the admin listener; the wildcard address is reached over loopback. */
static int ask_health(const struct config *config)
{
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const struct timeval timeout = {3, 0};
    char answer[1024] = "";
    size_t size = 0;
    const struct sockaddr *address = (const struct sockaddr *)&config->server.admin.address;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    bool sent = connect(fd, address, config->server.admin.size) == 0 &&
                send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(request) - 1;
    int error = sent ? 0 : errno;
    for (ssize_t got; sent && size + 1 < sizeof(answer); size += (size_t)got)
        if ((got = recv(fd, answer + size, sizeof(answer) - 1 - size, 0)) <= 0)
            break;
    close(fd);
    if (error != 0)
        return error;
    const char *body = strstr(answer, "\r\n\r\n");
    if (body != NULL)
        fputs(body + 4, stdout);
    return strncmp(answer, "HTTP/1.1 200 ", 13) == 0 ? 0 : EAGAIN;
}

static int health(const struct options *options)
{
    struct config *config;
    if (read_config(options, &config) != STATUS_OK)
        return EXIT_FAILURE;
    int error = ask_health(config);
    if (error != 0)
        fprintf(stderr, "sluice health: %s: %s\n", config->server.admin.text,
                error == EAGAIN ? "not ready" : strerror(error));
    config_free(config);
    return error == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The table of commands. */

struct command {
    const char *name;
    const char *arguments, *help;
    int (*run)(const struct options *options);
    bool needs_customer;
};
#define CONFIG_HELP "  --config FILE      the configuration; " DEFAULT_CONFIG " unless told\n"
static const struct command commands[] = {
    {"serve", "", "Serves the API until SIGTERM or SIGINT, then finishes what is in flight.\n\n" CONFIG_HELP, serve,
     false},
    {"check", "",
     "Checks the configuration and lists every mistake with its line. Then asks the database, where it can be\n"
     "reached, for the catalog that results, and warns of datasets that can't be served well.\n"
     "Ends with 1 for a mistake of the file and for a schema that is not there; not for a warning, nor\n"
     "for a database that is away.\n\n" CONFIG_HELP "  --offline          checks the file alone\n",
     check, false},
    {"migrate", "",
     "Brings the database's schema `sluice` up to date, as database.admin.user, and sets the reader's password.\n"
     "Run again, it changes nothing.\n\n" CONFIG_HELP,
     migrate, false},
    {"customer", "add NAME",
     "Makes a customer, or changes its tier.\n\n" CONFIG_HELP
     "  --tier TIER        one of limits.tiers; limits.default_tier unless told\n",
     customer_add, true},
    {"token", "",
     "Prints a token, signed with a key of auth.keys. For development: an identity provider makes the real "
     "ones.\n\n" CONFIG_HELP "  --customer NAME    whose token it is; required\n"
     "  --subject NAME     who uses it; the customer unless told\n"
     "  --tier TIER        none unless told: then limits.default_tier counts\n"
     "  --scope \"A B\"      what it may do; \"regions:read datasets:read\" unless told\n"
     "  --lifetime TIME    like 900s, 60m, 12h; 1h unless told\n"
     "  --kid KID          the key of auth.keys; the first one unless told\n"
     "  --key FILE         the private key as PEM, where auth.keys has the public one\n",
     token, true},
    {"health", "", "Asks the running server's admin listener; ends with 0 if it is ready.\n\n" CONFIG_HELP, health,
     false},
};

static void usage(FILE *out)
{
    fputs("sluice " SLUICE_VERSION ": a REST API gateway in front of a data warehouse\n\n"
          "usage: sluice COMMAND [--config FILE] …; each COMMAND explains itself with --help\n\n"
          "  serve              serve the API\n"
          "  check              check the configuration, and print the catalog it yields\n"
          "  migrate            bring the database up to date\n"
          "  customer add NAME  make a customer\n"
          "  token              print a token for development\n"
          "  health             ask a running server whether it is ready\n",
          out);
}

static int wrong_usage(const struct command *command, const char *what)
{
    fprintf(stderr, "sluice %s: %s; sluice %s --help explains it\n", command->name, what, command->name);
    return EXIT_USAGE;
}

static int run_command(const struct command *command, int count, char **arguments)
{
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"customer", required_argument, NULL, 'u'},
                                          {"tier", required_argument, NULL, 't'},
                                          {"scope", required_argument, NULL, 's'},
                                          {"subject", required_argument, NULL, 'b'},
                                          {"kid", required_argument, NULL, 'k'},
                                          {"lifetime", required_argument, NULL, 'l'},
                                          {"key", required_argument, NULL, 'f'},
                                          {"offline", no_argument, NULL, 'o'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {.config = DEFAULT_CONFIG, .scope = "regions:read datasets:read"};
    const char **places[256] = {
        ['c'] = &options.config,  ['u'] = &options.customer, ['t'] = &options.tier,     ['s'] = &options.scope,
        ['b'] = &options.subject, ['k'] = &options.kid,      ['l'] = &options.lifetime, ['f'] = &options.key};
    for (int found; (found = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        if (found == 'h') {
            printf("usage: sluice %s %s\n\n%s", command->name, command->arguments, command->help);
            return EXIT_SUCCESS;
        }
        if (found == '?')
            return wrong_usage(command, "unknown option");
        if (found == 'o') {
            options.offline = true;
            continue;
        }
        *places[found] = optarg;
    }
    if (strcmp(command->name, "customer") == 0) {
        if (count - optind != 2 || strcmp(arguments[optind], "add") != 0)
            return wrong_usage(command, "needs: add NAME");
        options.customer = arguments[optind + 1];
    } else if (optind != count) {
        return wrong_usage(command, "takes no further arguments");
    }
    if (command->needs_customer && options.customer == NULL)
        return wrong_usage(command, "--customer is missing");
    if (options.subject == NULL)
        options.subject = options.customer;
    return command->run(&options);
}

int main(int count, char **arguments)
{
    hash_init();
    if (count < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "help") == 0) {
        usage(stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(arguments[1], "--version") == 0) {
        puts("sluice " SLUICE_VERSION);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(arguments[1], commands[i].name) == 0)
            return run_command(&commands[i], count - 1, arguments + 1);
    fprintf(stderr, "sluice: there is no command %s\n\n", arguments[1]);
    usage(stderr);
    return EXIT_USAGE;
}
