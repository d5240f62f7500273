#ifndef SLUICE_TESTS_TRANSCRIPT_ASSERT_H
#define SLUICE_TESTS_TRANSCRIPT_ASSERT_H

#include "tests/unit/upload/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct table_reader *(*create_reader)(const struct table_handlers *handlers, void *context);

/* Read in pieces of several sizes the file gives the same transcript. `row_max` 0: as the reader has it. */
static inline void assert_transcript(create_reader create, size_t row_max, struct text file, const char *expected)
{
    static const size_t pieces[] = {0, 1, 2, 3, 7, 64};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct transcript transcript = {0};
        buffer_init(&transcript.out, (size_t)1 << 24);
        struct table_reader *reader = create(&transcript_handlers, &transcript);
        assert_non_null(reader);
        if (row_max != 0)
            reader->row_max = row_max;
        transcript_feed(reader, &transcript, file, pieces[i]);
        assert_string_equal(buffer_c_string(&transcript.out), expected);
        buffer_free(&transcript.out);
    }
}

#endif
