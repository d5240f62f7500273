/* What the tables of this folder are searched by. */
#ifndef SLUICE_LIMIT_KEY_H
#define SLUICE_LIMIT_KEY_H

#include "base/text.h"

/* One key for a caller and one kind of limits, in `memory`; of a long caller's name its hash. */
#define KEY_PLACE_SIZE 256
struct text key_place(struct text key, uint64_t kind, char memory[KEY_PLACE_SIZE]);

#endif
