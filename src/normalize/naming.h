/* SPDX-License-Identifier: Apache-2.0
 *
 * dlt's snake_case naming convention (dlt-semantics rules 10-17; dlt/common/normalizers/naming/snake_case.py and
 * naming.py of dlt 1.31). Results are new strings in the arena. HR_OK or HR_MEMORY; HR_ENCODING for text that is not
 * UTF-8.
 */
#ifndef HR_NORMALIZE_NAMING_H
#define HR_NORMALIZE_NAMING_H

#include "base.h"

/* Rule 10: the column name of a key. max_length: code points, 0 unlimited. */
HR_MUST_CHECK int hr__name_column(hr_arena *arena, hr_str key, size_t max_length, hr_str *name_out);
/* Rule 11: normalize_path, for tables and list keys ("" stays ""). */
HR_MUST_CHECK int hr__name_path(hr_arena *arena, hr_str path, size_t max_length, hr_str *name_out);
/* Rules 15, 16: shorten_fragments: the parts that are not blank joined by "__", then shortened. */
HR_MUST_CHECK int hr__name_join(hr_arena *arena, const hr_str *parts, size_t n_parts, size_t max_length,
                                hr_str *name_out);
/* Python's str.isspace() of the whole string (true also for ""). */
bool hr__name_is_blank(hr_str text);

/* ---- other conventions: dlt's own code, asked once for each new key or path. */
typedef enum hr_name_kind {
    HR_NAME_UNSET,
    HR_NAME_COLUMN, /* one part, a key: the column's name (rule 10) */
    HR_NAME_PATH,   /* one part, a key of a list: the last part of its table's path (rule 11) */
    HR_NAME_JOIN,   /* the parts joined and shortened (rules 15, 16) */
} hr_name_kind;

/* Puts a name of these parts into the arena. HR_OK, or an error that fills err. Any thread may call it. */
typedef int (*hr_name_fn)(void *ctx, hr_name_kind kind, const hr_str *parts, size_t n_parts, hr_arena *arena,
                          hr_str *name_out, hr_error *err);
typedef struct hr_naming {
    hr_name_fn name; /* NULL: snake_case, as above */
    void *ctx;       /* borrowed, outlives its users */
} hr_naming;

/* ---- what dlt's settings say of a column by its name, asked once for each new key. */
enum {
    HR_RULE_LEFT_OUT = 1u << 0, /* a row filter leaves its values out (rule 51) */
    HR_RULE_NOT_NULL = 1u << 1, /* a new column of this name is not nullable (rule 39) */
    HR_RULE_JSON = 1u << 2,     /* objects and lists stay JSON while the column has no type (rule 20) */
};

/* Puts HR_RULE_ flags of a normalized name into *rules_out. HR_OK, or an error that fills err. Any thread may call it.
 */
typedef int (*hr_rules_fn)(void *ctx, hr_str table, hr_str column, uint8_t *rules_out, hr_error *err);
typedef struct hr_name_rules {
    hr_rules_fn find; /* NULL: dlt's own columns are not nullable, nothing else */
    void *ctx;        /* borrowed, outlives its users */
} hr_name_rules;

#endif
