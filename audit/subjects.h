/* People in the log are pseudonyms: 96 random bits, given to a person (customer and subject) when he is first seen, and
 * kept in a file beside the log, by a keyed hash of the two. Without the file's line nobody, not even who has the key,
 * can tell whose records they are: that is how a person is erased without touching the chain. The file: one line a
 * person, "INDEX PSEUDONYM" in hexadecimal, mode 0600, appended to before the first record that uses it is written. One
 * a process, for all workers. */
#ifndef SLUICE_AUDIT_SUBJECTS_H
#define SLUICE_AUDIT_SUBJECTS_H

#include "audit/chain.h"

#define SUBJECTS_INDEX_SIZE 16         /* bytes: HMAC-SHA256 over customer, NUL, subject; cut */
#define SUBJECTS_PSEUDONYM_SIZE 24     /* hexadecimal digits */
#define SUBJECTS_MAX ((size_t)1000000) /* kept; beyond it a pseudonym lasts as long as the worker remembers it */

struct audit_subjects;
/* `key` is copied. Reads the file, makes it when it is not there. */
enum status subjects_open(const char *folder, const struct hash_hmac_key *key, struct audit_subjects **subjects,
                          struct failure *failure) MUST_CHECK;
void subjects_close(struct audit_subjects *subjects);
/* Any thread. The pseudonym of a person, given now if there is none. A lock, a hash and a look-up: callers remember it.
 * False: it could not be written down. */
bool subjects_find(struct audit_subjects *subjects, struct text customer, struct text subject,
                   char pseudonym[SUBJECTS_PSEUDONYM_SIZE]) MUST_CHECK;
/* For command lines, in a file that a gateway may have open: all pseudonyms of a person (two processes
 * that began at once may have given one each). STATUS_NOT_FOUND: none. */
#define SUBJECTS_EACH 16
enum status subjects_look_up(const char *folder, const struct hash_hmac_key *key, struct text customer,
                             struct text subject, char pseudonyms[SUBJECTS_EACH][SUBJECTS_PSEUDONYM_SIZE],
                             size_t *count, struct failure *failure) MUST_CHECK;
void subjects_index(const struct hash_hmac_key *key, struct text customer, struct text subject,
                    unsigned char index[SUBJECTS_INDEX_SIZE]);
/* Any thread: forgets a person, in memory and in the file (written anew, on disk when this returns). The next request
 * of that person gets another pseudonym. STATUS_NOT_FOUND: was not known here. */
enum status subjects_erase(struct audit_subjects *subjects, const unsigned char index[SUBJECTS_INDEX_SIZE],
                           struct failure *failure) MUST_CHECK;
/* Rises with each erasure: what callers remember from before counts no more. Any thread. */
uint64_t subjects_generation(const struct audit_subjects *subjects);

#endif
