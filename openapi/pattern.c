/* Regular expressions of the contract's `pattern`. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "openapi/schema.h"

#define MATCH_LIMIT 100000  /* steps of one match: a pattern of the contract's that explodes ends as "no match" */
#define HEAP_LIMIT_KIB 1024 /* of one match without JIT */
#define WORKPLACE_SIZE 512  /* bytes: match data for one pair of offsets, with its context */

struct schema_pattern {
    struct schema_pattern *next;
    pcre2_code *code;
    pcre2_match_context *limits;
};

/* Match data may be shared by no two threads. It is small and lives as long as one match: it stands on the stack, and
 * only what does not fit there (the frames of a match without JIT) comes from malloc. */
struct workplace {
    _Alignas(16) char memory[WORKPLACE_SIZE];
    size_t used;
};

static void *take(size_t size, void *context)
{
    struct workplace *place = context;
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size || rounded > sizeof(place->memory) - place->used)
        return malloc(size);
    void *memory = place->memory + place->used;
    place->used += rounded;
    return memory;
}

static void give_back(void *memory, void *context)
{
    const struct workplace *place = context;
    uintptr_t at = (uintptr_t)memory, first = (uintptr_t)place->memory;
    if (at < first || at >= first + sizeof(place->memory))
        free(memory);
}

const struct schema_pattern *schema_pattern_compile(struct schema_compiler *compiler, const struct yaml_node *node)
{
    int error;
    PCRE2_SIZE at;
    struct schema_pattern *pattern = arena_calloc(compiler->arena, 1, sizeof(*pattern));
    if (pattern == NULL) {
        failure_set(compiler->failure, STATUS_TOO_LARGE, "%s: the document is too large", compiler->name);
        return NULL;
    }
    /* \C could stop within a character, where the next step would read past the text's end. */
    pattern->code = pcre2_compile((PCRE2_SPTR)node->text.data, node->text.size,
                                  PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &error, &at, NULL);
    if (pattern->code == NULL) {
        PCRE2_UCHAR words[128];
        pcre2_get_error_message(error, words, sizeof(words));
        failure_set(compiler->failure, STATUS_INVALID, "%s:%d: the pattern does not compile: %s at character %zu",
                    compiler->name, node->line, (char *)words, (size_t)at);
        return NULL;
    }
    /* Without JIT (refused by a hardened kernel) matches are slower, and right. */
    pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    pattern->limits = pcre2_match_context_create(NULL);
    if (pattern->limits == NULL) {
        pcre2_code_free(pattern->code);
        failure_set(compiler->failure, STATUS_FAILED, "%s: out of memory", compiler->name);
        return NULL;
    }
    pcre2_set_match_limit(pattern->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(pattern->limits, HEAP_LIMIT_KIB);
    pattern->next = compiler->patterns;
    compiler->patterns = pattern;
    return pattern;
}

void schema_free_patterns(struct schema_pattern *patterns)
{
    for (; patterns != NULL; patterns = patterns->next) {
        pcre2_code_free(patterns->code);
        pcre2_match_context_free(patterns->limits);
    }
}

bool schema_pattern_matches(const struct schema_pattern *pattern, struct text text)
{
    struct workplace place;
    place.used = 0;
    bool matches = false;
    pcre2_general_context *memory = pcre2_general_context_create(take, give_back, &place);
    /* One pair of offsets: whether it matches is all that is asked. */
    pcre2_match_data *data = memory != NULL ? pcre2_match_data_create(1, memory) : NULL;
    if (data != NULL)
        matches = pcre2_match(pattern->code, (PCRE2_SPTR)text.data, text.size, 0, PCRE2_NO_UTF_CHECK, data,
                              pattern->limits) >= 0;
    pcre2_match_data_free(data);
    pcre2_general_context_free(memory);
    return matches;
}
