/* Any text: no crash; what is accepted is accepted again as it was written back, and is written back as itself. */
#include <stdlib.h>

#include "query/sql_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool resolve(void *context, struct text schema, struct text name, struct text *real_schema,
                    struct text *real_name)
{
    (void)context;
    *real_schema = schema.size != 0 ? schema : TEXT("wx");
    *real_name = name;
    return name.size % 7 != 6;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct sql_checked checked, again;
    struct sql_check_mistake mistake;
    arena_init(&arena, NULL, 0, 64 << 20);
    enum status status = sql_check(text_of((const char *)data, size), resolve, NULL, &arena, &checked, &mistake);
    if (status == STATUS_OK && checked.sql.size <= SQL_CHECK_TEXT_MAX) {
        if (sql_check(checked.sql, resolve, NULL, &arena, &again, &mistake) != STATUS_OK ||
            !text_equal(checked.sql, again.sql) || again.parameter_count != checked.parameter_count)
            abort();
    } else if (status != STATUS_OK && (mistake.message[0] == '\0' || mistake.position > size + 1)) {
        abort();
    }
    arena_free(&arena);
    return 0;
}
