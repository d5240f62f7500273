/* What `sluice audit verify` and `sluice audit grep` do: read the audit log's folder, over the running gateway's back
 * or where the files were taken to. */
#ifndef SLUICE_API_AUDIT_ADMIN_H
#define SLUICE_API_AUDIT_ADMIN_H

/* The command line behind "sluice": arguments[0] is "audit". Gives the exit status: 0; 1: verify has findings, grep
 * found nothing; 2: wrong usage, or something could not be read. */
int audit_admin_run(int count, char **arguments, const char *default_config);

#endif
