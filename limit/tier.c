#include "limit/tier.h"

#include <pthread.h>
#include <stdlib.h>

struct interned {
    struct limit_tier tier; /* first: it is what others hold */
    struct interned *next;
    size_t references;
};

/* Few tiers, asked for when a configuration is read, and counted when a caller is first or last seen. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct interned *first;

static bool is_same_policy(const struct limit_policy *a, const struct limit_policy *b)
{
    return strcmp(a->name, b->name) == 0 && a->tokens == b->tokens && a->window_ms == b->window_ms &&
           a->burst == b->burst && a->period == b->period;
}

static bool says_the_same(const struct limit_tier *a, const struct limit_tier *b)
{
    if (strcmp(a->name, b->name) != 0 || a->count != b->count)
        return false;
    size_t same = 0;
    while (same < a->count && is_same_policy(&a->policies[same], &b->policies[same]))
        same++;
    return same == a->count;
}

static struct interned *find(const struct limit_tier *content)
{
    struct interned *each = first;
    while (each != NULL && !says_the_same(&each->tier, content))
        each = each->next;
    return each;
}

const struct limit_tier *tier_intern(const struct limit_tier *content)
{
    pthread_mutex_lock(&lock);
    struct interned *found = find(content);
    if (found == NULL && (found = calloc(1, sizeof(*found))) != NULL) {
        memcpy(&found->tier, content, sizeof(*content));
        found->next = first;
        first = found;
    }
    if (found != NULL)
        found->references++;
    pthread_mutex_unlock(&lock);
    return found != NULL ? &found->tier : NULL;
}

/* Under the lock: its place among the few that live; NULL where it was not interned. */
static struct interned **place_of(const struct limit_tier *tier)
{
    struct interned **link = &first;
    while (*link != NULL && &(*link)->tier != tier)
        link = &(*link)->next;
    return *link != NULL ? link : NULL;
}

void tier_ref(const struct limit_tier *tier)
{
    pthread_mutex_lock(&lock);
    struct interned **place = place_of(tier);
    if (place != NULL)
        (*place)->references++;
    pthread_mutex_unlock(&lock);
}

void tier_unref(const struct limit_tier *tier)
{
    struct interned *gone = NULL;
    pthread_mutex_lock(&lock);
    struct interned **place = place_of(tier);
    if (place != NULL && --(*place)->references == 0) {
        gone = *place;
        *place = gone->next;
    }
    pthread_mutex_unlock(&lock);
    free(gone);
}

size_t tier_count(void)
{
    size_t count = 0;
    pthread_mutex_lock(&lock);
    for (const struct interned *each = first; each != NULL; each = each->next)
        count++;
    pthread_mutex_unlock(&lock);
    return count;
}
