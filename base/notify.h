/* Tells the service manager how the process is doing (sd_notify's protocol, without libsystemd): a datagram to the
 * socket that NOTIFY_SOCKET names. Without that variable nothing happens. Not for use by several threads at once. */
#ifndef SLUICE_BASE_NOTIFY_H
#define SLUICE_BASE_NOTIFY_H

/* Takes NOTIFY_SOCKET out of the environment: no child shall inherit it. */
void notify_open(void);
void notify_ready(void);     /* serving; after a reload too */
void notify_reloading(void); /* until notify_ready */
void notify_stopping(void);
/* Another process is the service from here on. */
void notify_main_process(int pid);
/* What NOTIFY_SOCKET said, for that process; NULL: nothing. */
const char *notify_address(void);
void notify_close(void);

#endif
