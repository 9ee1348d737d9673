/* SPDX-License-Identifier: Apache-2.0
 *
 * normalize: values -> tables. dlt's relational rules (dlt-semantics section 3) over one page's records: names,
 * flattening, child tables, ids and links, inference, coercion, variants.
 *
 * Two implementations, tested equal: the reference (reference.c) builds each row as dlt does, in dlt's order, and is
 * what adds tables and columns; the fast path (walk.c) writes a record's cells straight to columns, guided by the
 * shapes seen before, and hands a record back to the reference whenever something is new, repeated or unusual.
 */
#ifndef HR_NORMALIZE_NORMALIZE_H
#define HR_NORMALIZE_NORMALIZE_H

#include "batch.h"
#include "doc.h"
#include "naming.h"
#include "schema.h"

typedef struct hr_normalizer hr_normalizer;

typedef enum hr_id_kind { /* of root rows, rule 41 */
                          HR_ID_UNSET,
                          HR_ID_RANDOM,   /* append, replace, merge by delete-insert */
                          HR_ID_KEY_HASH, /* upsert, insert-only, cdc */
                          HR_ID_ROW_HASH, /* scd2 */
} hr_id_kind;

/* Most names under which row ids are propagated, "_dlt_root_id" among them. */
#define HR_ID_NAMES 8

/* A column of a table's rows that all rows below them get (rule 44). Of dlt's own columns, "_dlt_id" (under at most
 * HR_ID_NAMES names) and "_dlt_load_id" alone may be a `from`; none may be an `as`, but "_dlt_root_id" of "_dlt_id".
 * What
 * "_dlt_id" goes as may not be a `from`. */
typedef struct hr_propagation {
    hr_str table; /* normalized name; empty: every table whose rows hang on no other */
    hr_str from, as;
} hr_propagation;

typedef struct hr_normalize_options {
    const hr_allocator *alloc;
    hr_str root_table; /* normalized name */
    hr_str load_id;
    int32_t max_nesting; /* rule 9; 1000 by default */
    size_t max_length;   /* of identifiers, code points; 0 unlimited */
    hr_id_kind id_kind;
    size_t id_bytes;                    /* of ids that are made, at most HR_ID_MAX_BYTES; 0: HR_ID_BYTES */
    bool root_key;                      /* _dlt_root_id on child tables: a propagation of the root's _dlt_id */
    const hr_propagation *propagations; /* n_propagations, borrowed for the normalizer's life */
    size_t n_propagations;
    bool reference_only;         /* tests: never take the fast path */
    bool no_coercion;            /* a value of another type than its column's always makes a variant */
    bool fixed_schema;           /* what would add a table or a column fails with HR_SCHEMA */
    bool leave_double_decimals;  /* a double that goes to a decimal column fails with HR_UNSUPPORTED */
    bool leave_typed_timestamps; /* a timestamp of typed text fails with HR_UNSUPPORTED */
    bool leave_naive_timestamps; /* so does one of typed text that has no offset */
    bool leave_typed_moments;    /* so does one of typed text that goes to a column of another type */
    bool stop_at_record;         /* a record that fails leaves the rows of those before it in the batch */
    hr_naming naming;
    hr_name_rules rules;
    uint8_t seed[32]; /* of random ids */
} hr_normalize_options;

/* The records of one page. */
typedef struct hr_records {
    const hr_doc *doc;
    const size_t *at; /* n tokens: the records, in order */
    size_t n;
    const uint8_t *keep; /* n bytes, 0: leave the record out; NULL: keep all */
    const hr_doc *extra; /* an object whose members are added to (or replace those of) every object record, as Python's
                            dict.update does; NULL: none */
    uint64_t stream;     /* number of the random id stream: the page's place in the run */
} hr_records;

/* `schema` is the caller's; the normalizer borrows it for its life and adds tables and columns to it. It may be synced
 * to a longer one between pages (hr__schema_sync). */
HR_MUST_CHECK int hr__normalizer_new(const hr_normalize_options *options, hr_schema *schema,
                                     hr_normalizer **normalizer_out, hr_error *err);
void hr__normalizer_free(hr_normalizer *normalizer);
/* Forgets what was learned about shapes. Needed only after the schema was replaced by one that is not an extension. */
void hr__normalizer_forget(hr_normalizer *normalizer);
/* Normalizes all records into batch (reset first). Errors carry record, table, column and the record's byte offset; the
 * schema may then have grown. Cells of text point into doc, extra and batch. With stop_at_record, an error that names a
 * record leaves the rows of the records before it in the batch, complete. */
HR_MUST_CHECK int hr__normalize(hr_normalizer *normalizer, const hr_records *records, hr_batch *batch, hr_error *err);

/* Columns that have only been null so far and are in no table: the n-th, 0 the oldest. False: there are not so many. */
bool hr__normalizer_null_column(const hr_normalizer *normalizer, size_t n, hr_str *table_out, hr_str *column_out);

typedef struct hr_normalize_stats {
    uint64_t fast_records, reference_records; /* how many records each path made */
} hr_normalize_stats;
void hr__normalizer_stats(const hr_normalizer *normalizer, hr_normalize_stats *stats_out);

#endif
