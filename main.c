/* The command line: serve, check, migrate, customer, token, audit, health. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "api/audit_admin.h"
#include "api/audit_erase.h"
#include "api/check.h"
#include "api/config.h"
#include "api/customers_admin.h"
#include "api/migrate.h"
#include "api/mint.h"
#include "api/revocations_admin.h"
#include "api/serve.h"
#include "api/server.h"
#include "base/hash.h"
#include "drivers/postgres_session.h"
#include "handlers/handlers.h"

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

static char *const *program_arguments; /* as the process was started, for the one that takes over from it */

/* What the options of all commands say. */
struct options {
    const char *config, *customer, *subject;
    bool offline;
    struct mint_order mint;       /* of `token` */
    struct customers_order order; /* of `customer` */
    bool erases;                  /* of `customer`: a person */
    enum { TOKEN_PRINT, TOKEN_REVOKE, TOKEN_LIST } token_action;
    struct revocation_wish wish; /* of `token revoke` */
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

static int serve(const struct options *options)
{
    struct config *config;
    if (read_config(options, &config) != STATUS_OK)
        return EXIT_FAILURE;
    int result = serve_run(config, program_arguments, handlers_all, handlers_count);
    config_free(config);
    return result;
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

/* migrate, customer and the half of token that revokes: as the owner of the database */

static enum status run_migrate(const struct options *options, const struct config *config,
                               struct postgres_session *session, struct failure *failure)
{
    (void)options;
    return migrate_run(config, session, stdout, failure);
}

static enum status run_erase_subject(const struct options *options, const struct config *config,
                                     struct postgres_session *session, struct failure *failure)
{
    return audit_erase_subject(config, session, options->customer, options->subject, stdout, failure);
}

static enum status run_customer(const struct options *options, const struct config *config,
                                struct postgres_session *session, struct failure *failure)
{
    return customers_carry_out(config, session, &options->order, stdout, failure);
}

static enum status run_revocations(const struct options *options, const struct config *config,
                                   struct postgres_session *session, struct failure *failure)
{
    struct revocation_wish wish = options->wish;
    wish.customer = options->customer;
    wish.subject = options->subject;
    return options->token_action == TOKEN_LIST ? revocations_list(session, options->order.json, stdout, failure)
                                               : revocations_revoke(config, session, &wish, stdout, failure);
}

/* What `look` (NULL: nothing) has against the command is said before the database is asked for anything. */
static int as_owner(const struct options *options, const char *command,
                    enum status (*look)(const struct config *config, const struct customers_order *order,
                                        struct failure *failure),
                    enum status (*run)(const struct options *options, const struct config *config,
                                       struct postgres_session *session, struct failure *failure))
{
    struct config *config;
    struct postgres_session *session = NULL;
    struct failure failure = {0};
    if (read_config(options, &config) != STATUS_OK)
        return EXIT_FAILURE;
    enum status status = look != NULL ? look(config, &options->order, &failure) : STATUS_OK;
    if (status == STATUS_OK)
        status = server_open_owner(config, &session, &failure);
    if (status == STATUS_OK)
        status = run(options, config, session, &failure);
    postgres_session_close(session);
    config_free(config);
    return status == STATUS_OK ? EXIT_SUCCESS : fail(command, &failure);
}

static int migrate(const struct options *options)
{
    return as_owner(options, "migrate", NULL, run_migrate);
}

static int customer(const struct options *options)
{
    return options->erases ? as_owner(options, "customer erase-subject", NULL, run_erase_subject)
                           : as_owner(options, "customer", customers_check, run_customer);
}

/* token */

static int token(const struct options *options)
{
    struct config *config;
    struct failure failure = {0};
    if (options->token_action != TOKEN_PRINT)
        return as_owner(options, "token", NULL, run_revocations);
    if (read_config(options, &config) != STATUS_OK)
        return EXIT_FAILURE;
    struct mint_order order = options->mint;
    order.customer = options->customer;
    order.subject = options->subject != NULL ? options->subject : options->customer;
    enum status status = mint_print(config, &order, stdout, &failure);
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
};
#define CONFIG_HELP "  --config FILE      the configuration; " DEFAULT_CONFIG " unless told\n"
static const struct command commands[] = {
    {"serve", "",
     "Serves the API until SIGTERM or SIGINT, then finishes what is in flight. SIGHUP reads the configuration\n"
     "anew; SIGUSR2 starts the program anew, which takes over without a refused connection.\n\n" CONFIG_HELP,
     serve},
    {"check", "",
     "Checks the configuration and lists every mistake with its line. Then asks the database, where it can be\n"
     "reached, for the catalog that results, and warns of datasets that can't be served well.\n"
     "Ends with 1 for a mistake of the file and for a schema that is not there; not for a warning, nor\n"
     "for a database that is away.\n\n" CONFIG_HELP "  --offline          checks the file alone\n",
     check},
    {"migrate", "",
     "Brings the database's schema `sluice` up to date, as database.admin.user, and sets the reader's and the\n"
     "writer's password.\n"
     "Run again, it changes nothing.\n\n" CONFIG_HELP,
     migrate},
    {"customer", "add|set|remove NAME, list, or erase-subject",
     "add     makes a customer whole: role, password, schemas, grants on the warehouse. Run again, it mends what is\n"
     "        missing, and grants what has come to the warehouse since.\n"
     "set     changes its tier and quotas, or prints its login.\n"
     "remove  says what there is of it, and with --yes erases it for good.\n"
     "list    prints all of them with what they have.\n"
     "erase-subject --customer NAME --subject SUBJECT\n"
     "        makes a person unrecognisable in the audit log, on all gateways.\n\n" CONFIG_HELP
     "  --tier TIER        one of limits.tiers; a new one's is limits.default_tier unless told\n"
     "  --bytes SIZE       what it may keep, like 10GB; 0: no limit; tier: what its tier says\n"
     "  --relations N      and in how many relations\n"
     "  --print-login      (set) prints its login as variables for psql: a secret\n"
     "  --json             (list) prints JSON\n"
     "  --yes              (remove) really\n",
     customer},
    {"token", "[revoke, or revocations]",
     "Prints a token, signed with a key of auth.issuers. For development: an identity provider makes the real ones.\n"
     "revoke       makes tokens invalid on every gateway of this database, within a second. Not taken back.\n"
     "revocations  prints what is revoked.\n\n" CONFIG_HELP
     "  --customer NAME    whose token it is; required. (revoke) whose tokens\n"
     "  --subject NAME     who uses it; the customer unless told. (revoke) of that subject alone\n"
     "  --tier TIER        none unless told: then limits.default_tier counts\n"
     "  --scope \"A B\"      what it may do; \"regions:read datasets:read\" unless told\n"
     "  --lifetime TIME    like 900s, 60m, 12h; 1h unless told\n"
     "  --kid KID          the key of auth.issuers; the first one unless told\n"
     "  --key FILE         the private key as PEM, where auth.issuers has the public one\n"
     "  --jti ID           (revoke) that one token, instead of a customer's\n"
     "  --until TIME       (revoke --jti) its exp; as long as any token may live unless told\n"
     "  --before TIME      (revoke --customer) what was issued before; now unless told. Like 2030-01-31T12:00:00Z\n"
     "  --json             (revocations) prints JSON\n",
     token},
    {"health", "", "Asks the running server's admin listener; ends with 0 if it is ready.\n\n" CONFIG_HELP, health},
};

static void usage(FILE *out)
{
    fputs("sluice " SLUICE_VERSION ": a REST API gateway in front of a data warehouse\n\n"
          "usage: sluice COMMAND [--config FILE] …; each COMMAND explains itself with --help\n\n"
          "  serve              serve the API\n"
          "  check              check the configuration, and print the catalog it yields\n"
          "  migrate            bring the database up to date\n"
          "  customer           make, list, change and erase customers\n"
          "  token              print a token for development, revoke tokens\n"
          "  audit              verify or search the audit log\n"
          "  health             ask a running server whether it is ready\n",
          out);
}

static int wrong_usage(const struct command *command, const char *what)
{
    fprintf(stderr, "sluice %s: %s; sluice %s --help explains it\n", command->name, what, command->name);
    return EXIT_USAGE;
}

/* What `customer` shall do, and to whom. */
static bool read_action(struct options *options, int count, char **words)
{
    options->order.tier = options->mint.tier;
    if (count == 0 || !customers_action_of(words[0], &options->order.action))
        return false;
    options->order.name = count == 2 ? words[1] : NULL;
    return count == (options->order.action == CUSTOMERS_LIST ? 1 : 2);
}

/* What `token` shall do. */
static bool read_token_action(struct options *options, int count, char **words)
{
    if (count == 0)
        return true;
    bool revoke = strcmp(words[0], "revoke") == 0;
    options->token_action = revoke ? TOKEN_REVOKE : TOKEN_LIST;
    return count == 1 && (revoke || strcmp(words[0], "revocations") == 0);
}

/* NULL, or what is wrong with what stands behind the command and its options. */
static const char *read_words(const struct command *command, struct options *options, int count, char **words)
{
    if (command->run == customer && count == 1 && strcmp(words[0], "erase-subject") == 0) {
        options->erases = true;
        return options->customer != NULL && options->subject != NULL ? NULL
                                                                     : "erase-subject needs --customer and --subject";
    }
    if (command->run == customer)
        return read_action(options, count, words) ? NULL
                                                  : "needs add NAME, set NAME, remove NAME, list or erase-subject";
    if (command->run != token)
        return count == 0 ? NULL : "takes no further arguments";
    if (!read_token_action(options, count, words))
        return "needs no word, revoke or revocations";
    return options->token_action == TOKEN_PRINT && options->customer == NULL ? "--customer is missing" : NULL;
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
                                          {"jti", required_argument, NULL, 'i'},
                                          {"until", required_argument, NULL, 'm'},
                                          {"before", required_argument, NULL, 'd'},
                                          {"offline", no_argument, NULL, 'o'},
                                          {"bytes", required_argument, NULL, 'y'},
                                          {"relations", required_argument, NULL, 'r'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"yes", no_argument, NULL, 'e'},
                                          {"print-login", no_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {.config = DEFAULT_CONFIG, .mint = {.scope = "regions:read datasets:read"}};
    const char **places[256] = {
        ['c'] = &options.config,     ['u'] = &options.customer,      ['t'] = &options.mint.tier,
        ['s'] = &options.mint.scope, ['y'] = &options.order.bytes,   ['r'] = &options.order.relations,
        ['b'] = &options.subject,    ['k'] = &options.mint.kid,      ['l'] = &options.mint.lifetime,
        ['f'] = &options.mint.key,   ['i'] = &options.wish.token_id, ['m'] = &options.wish.until,
        ['d'] = &options.wish.before};
    bool *flags[256] = {['o'] = &options.offline,
                        ['j'] = &options.order.json,
                        ['e'] = &options.order.yes,
                        ['p'] = &options.order.print_login};
    for (int found; (found = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        if (found == 'h') {
            printf("usage: sluice %s %s\n\n%s", command->name, command->arguments, command->help);
            return EXIT_SUCCESS;
        }
        if (found == '?')
            return wrong_usage(command, "unknown option");
        if (flags[found] != NULL)
            *flags[found] = true;
        else
            *places[found] = optarg;
    }
    const char *wrong = read_words(command, &options, count - optind, arguments + optind);
    if (wrong != NULL)
        return wrong_usage(command, wrong);
    return command->run(&options);
}

int main(int count, char **arguments)
{
    hash_init();
    program_arguments = arguments;
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
    if (strcmp(arguments[1], "audit") == 0)
        return audit_admin_run(count - 1, arguments + 1, DEFAULT_CONFIG);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(arguments[1], commands[i].name) == 0)
            return run_command(&commands[i], count - 1, arguments + 1);
    fprintf(stderr, "sluice: there is no command %s\n\n", arguments[1]);
    usage(stderr);
    return EXIT_USAGE;
}
