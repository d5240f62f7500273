/* What PostgreSQL's planner estimates of a statement (EXPLAIN), and a bounded memory of it by the statement's shape and
 * the data's version. One a worker. */
#ifndef SLUICE_QUERY_VERDICTS_H
#define SLUICE_QUERY_VERDICTS_H

#include "query/dataset.h"
#include "query/plan.h"

struct verdicts;
struct verdicts *verdicts_create(size_t capacity); /* entries; NULL: out of memory */
void verdicts_destroy(struct verdicts *verdicts);
/* False: not known yet. */
bool verdicts_find(struct verdicts *verdicts, const struct dataset *dataset, uint64_t statement_id,
                   struct plan_estimate *estimate);
void verdicts_keep(struct verdicts *verdicts, const struct dataset *dataset, uint64_t statement_id,
                   const struct plan_estimate *estimate);
/* The statement that asks: "explain (format json) …" with the same parameters. Its text in `arena`. STATUS_TOO_LARGE:
 * the arena is full. */
enum status verdicts_explain(const struct postgres_statement *statement, struct arena *arena,
                             struct postgres_statement *explain) MUST_CHECK;
/* Reads its answer. STATUS_FAILED: it has not the form that PostgreSQL 15 gives it. */
enum status verdicts_read(const struct postgres_rows *rows, struct plan_estimate *estimate) MUST_CHECK;

#endif
