/* A new binary takes over without a refused connection: the process starts itself anew, by the path that it was started
 * with, and hands its listening sockets over. The new one reads and checks all that a start does, and says through a
 * pipe when it serves; the old one then closes its sockets, finishes what is in flight and ends. Until that word the
 * old one serves as ever. The main thread's. */
#ifndef SLUICE_API_UPGRADE_H
#define SLUICE_API_UPGRADE_H

#include <sys/types.h>

#include "api/server.h"

/* What SIGUSR2 starts. Borrows argv. */
struct upgrade_program {
    char path[4096];
    char *const *arguments;
};
/* Where `argv` came from, before anything changes the working directory: a name without a slash is this very file. */
void upgrade_find_program(struct upgrade_program *program, char *const *arguments);

struct upgrade {
    pid_t child; /* 0: none is under way */
    int word;    /* the pipe's end that tells; -1: none */
};
enum status upgrade_begin(struct upgrade *upgrade, const struct upgrade_program *program, struct server *server,
                          struct failure *failure) MUST_CHECK;
/* The pipe became readable. True: the new process serves, and this one is to go. False: it has ended, as the failure
 * says, and nothing is under way any more. */
bool upgrade_heard(struct upgrade *upgrade, struct failure *failure);
/* The gateway is told to stop: so is the one that was about to take over. */
void upgrade_give_up(struct upgrade *upgrade);

/* In the new process. */
void upgrade_open(void);    /* takes SLUICE_READY out of the environment */
void upgrade_serving(void); /* tells who started it, if one did */
void upgrade_close(void);
/* The process that started this one has not ended yet: what it has under way still counts. Any thread. */
bool upgrade_before_lives(void);

#endif
