#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *status_name(enum status status)
{
    static const char *const names[] = {
        [STATUS_OK] = "ok",         [STATUS_INVALID] = "invalid",         [STATUS_NOT_FOUND] = "not_found",
        [STATUS_DENIED] = "denied", [STATUS_CONFLICT] = "conflict",       [STATUS_TOO_LARGE] = "too_large",
        [STATUS_BUSY] = "busy",     [STATUS_UNAVAILABLE] = "unavailable", [STATUS_TIMEOUT] = "timeout",
        [STATUS_FAILED] = "failed"};
    return (size_t)status < sizeof(names) / sizeof(names[0]) ? names[status] : "unknown";
}

enum status failure_set(struct failure *failure, enum status status, const char *format, ...)
{
    if (failure == NULL)
        return status;
    /* Apart, because the old message is often an argument of the new one. */
    char message[sizeof(failure->message)];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    failure->status = status;
    memcpy(failure->message, size >= 0 ? message : "", size >= 0 ? strlen(message) + 1 : 1);
    return status;
}
