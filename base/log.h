/* The process's log: one JSON object a line, to a file descriptor, written by a thread of its own. No caller ever
 * waits: what does not fit is dropped and counted, and the next line that fits says how many were lost. */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include "base/buffer.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* Before log_start and after log_stop lines are written at once, to stderr. `fd` stays the caller's. */
void log_start(int fd, enum log_level level);
void log_set_level(enum log_level level); /* any thread */
void log_stop(void);                      /* writes what is left */
/* {"time":…,"level":…,"event":event,"message":…}. `event` is a stable snake_case word. */
void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);
/* Whole lines of JSON, each with its LF, made by the caller: the batch that a worker hands over once a loop turn.
 * Copied. */
void log_lines(struct text lines);
/* Lines dropped since the start. */
uint64_t log_dropped(void);

#endif
