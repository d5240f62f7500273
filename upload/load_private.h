/* What the parts of a load share. A load is one thread's. */
#ifndef SLUICE_UPLOAD_LOAD_PRIVATE_H
#define SLUICE_UPLOAD_LOAD_PRIVATE_H

#include "upload/load.h"

#define LOAD_PIECE ((size_t)256 << 10)  /* bytes that are read or sent at once */
#define LOAD_SQL_MAX ((size_t)8 << 20)  /* 1,500 columns named several times, and views of the customer's */
#define LOAD_ROW_MAX ((size_t)40 << 20) /* of COPY's text: TABLE_ROW_MAX with every byte escaped, and a piece */
#define LOAD_RAW_MAX ((size_t)64 << 10) /* bytes of a bad row that are kept */
#define LOAD_VALUE_TOLD 100             /* characters of a value that messages repeat */
#define LOAD_STAGING "~load_"           /* such names are never served */

/* How a field becomes COPY's text. */
enum load_kind {
    LOAD_AS_TYPED, /* as inferred or told: infer_append_copy alone */
    LOAD_INT2,     /* of a table that stands: its own rules, leading zeros are numbers there */
    LOAD_INT4,
    LOAD_INT8,
    LOAD_NUMERIC,
    LOAD_REAL,
    LOAD_FLOAT,
    LOAD_BOOLEAN,
    LOAD_DATE,
    LOAD_TIMESTAMP,
    LOAD_TIMESTAMPTZ,
    LOAD_JSON,
    LOAD_UUID,
    LOAD_ENUM, /* with `labels` */
    LOAD_TEXT, /* varchar(n) and char(n) with `longest` */
    LOAD_OTHER /* the server judges */
};

struct load_labels { /* of an enum */
    struct text *sorted;
    size_t count;
    const char *words; /* why another value is refused */
};

struct load_target { /* a column of the file, and of the table that it goes to */
    struct text name;
    struct infer_column known;
    struct infer_result as;
    enum load_kind kind;
    const char *type; /* SQL; in the report's arena */
    bool guessed, not_null, is_key;
    int64_t longest;      /* characters; 0: any */
    int precision, scale; /* of numeric; 0: any */
    struct load_labels labels;
    struct text partition; /* COPY's text that each row must have here; TEXT_NONE: any */
};

/* What a second look at the spool searches: the n-th row that was sent, or rows with these key values. */
struct load_search {
    uint64_t row;              /* from 1; 0: by key */
    const struct text *values; /* COPY's text, in the order of the key */
    uint64_t lines[2];
    uint64_t rows[2]; /* among those that the reader hands out, from 1 */
    size_t found, wanted;
};

/* A row that the server refused in COPY: those are taken out of the next one. */
#define LOAD_JUDGED_MAX 8 /* each costs a whole pass more */
struct load_judged {
    uint64_t row;  /* among those that the reader hands out, from 1; 0: none */
    size_t column; /* SIZE_MAX: not known */
    char words[200];
};

struct load {
    const struct load_environment *environment;
    const struct load_order *order;
    struct body *body;
    const atomic_bool *cancelled;
    struct load_report *report;
    struct failure *failure;
    enum status stopped; /* why a handler told the reader to stop */

    struct infer_options infer;
    struct load_target *columns; /* in the report's arena */
    size_t count, capacity;
    uint64_t rows, bad;    /* of the file: what the first pass saw; later `bad` counts those of a wrong type too */
    size_t seen;           /* columns that the second pass's reader knows so far */
    struct spool *spool;   /* the file as UTF-8 */
    struct spool *refused; /* bad rows, a line of JSON each; NULL until there is one */
    struct buffer copy, words;
    struct load_search *search;
    uint64_t copied; /* rows that went into `copy` */
    uint64_t handed; /* rows that the pass's reader handed out */
    struct load_judged judged, skipped[LOAD_JUDGED_MAX];
    size_t skipped_count;

    struct postgres_session *session;
    struct buffer sql;
    struct buffer queue; /* statements that go with the next one, in one round trip */
    char staging[32], transaction[24];
    char relkind;       /* of the existing table */
    bool staged;        /* the rows go to `staging` first */
    bool temporary;     /* … which is a temporary table */
    struct text checks; /* of an upsert's table, as a table's definition has them; TEXT_NONE: none */
    size_t time_column; /* SIZE_MAX: none */
};

/* load.c */
bool load_is_cancelled(const struct load *load);
enum status load_out_of_memory(struct load *load);
/* A failure that the caller's file is to blame for, at a line (0: none) and a column (TEXT_NONE: none). */
enum status load_blame(struct load *load, uint64_t line, struct text column, const char *format, ...) PRINTF_LIKE(4, 5);
/* `text` cut to what messages repeat, on the load's words: valid until the next call. */
const char *load_cut(struct load *load, struct text text);

/* load_session.c */
enum status load_session_begin(struct load *load); /* and a transaction */
/* Statements without parameters and rows, put behind those that wait: they run with the next one, whose failure theirs
 * is. For those that fail with no words of their own. */
void load_queue(struct load *load, const char *sql);
/* Runs what stands in load->sql (and clears it afterwards). Words of the server come as load_words makes them. */
enum status load_execute(struct load *load, size_t parameter_count, const struct text *parameters,
                         void (*on_rows)(void *context, const struct postgres_rows *rows), void *context);
enum status load_run_sql(struct load *load, const char *sql, size_t parameter_count, const struct text *parameters,
                         void (*on_rows)(void *context, const struct postgres_rows *rows), void *context);
/* What a failed statement means to the caller. */
enum status load_words(struct load *load, enum status status);
bool load_has_state(const struct load *load, const char *sqlstate);
/* "schema"."name" into load->sql. */
void load_append_name(struct load *load, struct text schema, struct text name);
void load_append_target(struct load *load);  /* the table that is loaded */
void load_append_staging(struct load *load); /* the staging table */
/* A rows handler that copies the first value (TEXT_NONE without a row or of a null) into the arena. */
struct load_value {
    struct arena *arena;
    struct text value;
    size_t rows;
};
void load_keep_value(void *context, const struct postgres_rows *rows);

enum status load_send_queue(struct load *load);

/* load_scan.c */
enum status load_scan(struct load *load);
/* The spool once more through a reader. */
enum status load_reread(struct load *load, const struct table_handlers *handlers);
/* False: too many (load->stopped says it, with words). Rows of the second pass too. */
bool load_add_bad_row(struct load *load, const struct table_bad_row *bad, bool counts);

/* load_convert.c: one field behind load->copy; false with a reason, which goes on from "the value is". */
bool load_convert(struct load *load, const struct load_target *column, const struct field *field, const char **reason);
/* Of a whole replace, or with the value that the replaced partition has: `text` as load_convert made it. */
bool load_is_in_partition(const struct load_target *column, struct text text);
void load_append_copy_text(struct buffer *out, struct text text);

/* load_judge.c: what the server would refuse a whole COPY for, and what is cheap to tell before it. Exact: what is true
 * here is true there. */
/* `uuid`: as the server writes it, with a NUL. */
bool load_judge_uuid(struct text text, char uuid[37]);
/* The number, as COPY's text, fits numeric(precision, scale); so does NaN. */
bool load_judge_numeric(struct text text, int precision, int scale);
/* … fits float8, or float4: neither too large nor so small that it would be nothing. */
bool load_judge_float(struct text text, bool single);
/* "4:sent4:held" (sizes in bytes) becomes a sorted list in `arena`. False: out of memory. */
bool load_judge_labels(struct arena *arena, struct text netstrings, struct load_labels *labels);
bool load_judge_is_label(const struct load_labels *labels, struct text text);

/* load_rows.c: staging, COPY, and COPY again without the rows that only the server can judge. */
enum status load_rows(struct load *load);

/* load_copy.c */
/* A row that the server refused is told in load->judged. */
enum status load_copy(struct load *load);
/* Looks through the spool again; never fails: what was not found has line 0. */
void load_find(struct load *load, struct load_search *search);

/* load_columns.c: which columns there are, and of which types. */
enum status load_columns_new(struct load *load);
enum status load_columns_existing(struct load *load);
struct load_target *load_column_named(const struct load *load, struct text name);

/* load_table.c */
enum status load_table_prepare(struct load *load); /* before COPY */
enum status load_table_finish(struct load *load);  /* after it: keys, indexes, rows into their table, swap */
void load_append_columns(struct load *load, bool key_only);

/* load_swap.c: the staging table takes the place of the old one. */
enum status load_swap(struct load *load);

/* load_idempotency.c */
enum status load_idempotency_begin(struct load *load); /* load->report->replayed: nothing is left to do */
enum status load_idempotency_end(struct load *load, struct text answer);
/* After a COMMIT without an answer: STATUS_OK, the transaction stands; else what to say. */
enum status load_settle(struct load *load);

/* load_record.c */
enum status load_record_lock(struct load *load); /* one load of a name at a time */
enum status load_record(struct load *load);      /* sluice.upload, quarantine, version */

/* load_quota.c */
enum status load_check_quota(struct load *load, bool before);

#endif
