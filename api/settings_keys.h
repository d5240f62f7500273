/* The key stores of settings, which live on the control thread's loop. Those of an issuer that says the same as before
 * are kept, so that a reload fetches nothing again and has no moment without keys. All on the control thread, or before
 * there is one, or after it. */
#ifndef SLUICE_API_SETTINGS_KEYS_H
#define SLUICE_API_SETTINGS_KEYS_H

#include "api/settings.h"

/* Makes settings->keys and ->stores. `first`: addresses are waited for, a few seconds together; otherwise what they
 * answer comes later. A key file that is bad fails, naming it. */
enum status settings_keys_open(struct loop *loop, struct settings *settings, const struct settings *before,
                               struct failure *failure) MUST_CHECK;
/* Gives them back. A store that a message is still on its way to waits in `settings_keys_sweep`'s list. */
void settings_keys_close(struct settings *settings);
/* Frees what nobody uses any more; `all`: there are no other threads left. */
void settings_keys_sweep(bool all);

#endif
