/* The rows' way into their table: staging and COPY; and COPY again, without the row that the server refused, where rows
 * may go to quarantine. What load_convert judges costs nothing more; what only the server can judge (a condition, a key
 * that is there already, a type that is not known here) costs a pass over the spool each time, so that there is a limit
 * to it. */
#include "upload/load_private.h"

struct counts { /* of bad rows, as they were before the pass */
    uint64_t rows, bad;
    size_t told;
};

/* A savepoint's number is not the transaction's own, and COPY's FREEZE wants the table to be of the same one: so the
 * staging table is made behind the savepoint. Old rows are deleted before it, and once. */
static bool is_prepared_once(const struct load *load)
{
    return load->order->existing && load->order->mode == LOAD_REPLACE;
}

/* Back to where the pass began: the rows that it quarantined come again in the next one. */
static enum status go_back(struct load *load, const struct counts *counts)
{
    struct load_report *report = load->report;
    load->rows = counts->rows;
    load->bad = counts->bad;
    report->bad_count = counts->told;
    report->line = 0;
    report->column = TEXT_NONE;
    spool_close(load->refused);
    load->refused = NULL;
    load->skipped[load->skipped_count++] = load->judged;
    load->judged = (struct load_judged){0};
    *load->failure = (struct failure){0};
    return load_run_sql(load, "rollback to savepoint rows", 0, NULL, NULL, NULL);
}

static enum status copy_once(struct load *load)
{
    enum status status = is_prepared_once(load) ? STATUS_OK : load_table_prepare(load);
    return status == STATUS_OK ? load_copy(load) : status;
}

static enum status refuse_more(struct load *load)
{
    return load_blame(load, load->report->line, load->report->column,
                      "line %llu: %s; more than %d rows were refused by the database itself, which is as far as "
                      "max_bad goes: correct them; nothing was loaded",
                      (unsigned long long)load->report->line, load->judged.words, LOAD_JUDGED_MAX);
}

enum status load_rows(struct load *load)
{
    const struct counts counts = {load->rows, load->bad, load->report->bad_count};
    enum status status = is_prepared_once(load) ? load_table_prepare(load) : STATUS_OK;
    if (load->order->max_bad <= 0)
        return status == STATUS_OK ? copy_once(load) : status;
    if (status == STATUS_OK)
        load_queue(load, "savepoint rows");
    while (status == STATUS_OK) {
        status = copy_once(load);
        if (status == STATUS_OK)
            load_queue(load, "release savepoint rows");
        if (status == STATUS_OK || load->judged.row == 0)
            return status;
        if (load->skipped_count == LOAD_JUDGED_MAX)
            return refuse_more(load);
        status = go_back(load, &counts);
    }
    return status;
}
