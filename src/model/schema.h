/* SPDX-License-Identifier: Apache-2.0
 *
 * The relational schema of one resource's tables as dlt keeps it: tables and columns in order of first appearance,
 * append-only. A later schema of the same run has every earlier one as a prefix, so a snapshot is (n_tables, each
 * table's n_columns) and workers' copies stay valid while the authoritative one grows.
 */
#ifndef HR_MODEL_SCHEMA_H
#define HR_MODEL_SCHEMA_H

#include "base.h"

/* X(name, dlt's name, Arrow format): dlt's data types. Formats: dlt-semantics rule 40. NULL: built at run time. */
#define HR_TYPE_MAP(X)                   \
    X(UNSET, "", NULL)                   \
    X(TEXT, "text", "u")                 \
    X(BIGINT, "bigint", "l")             \
    X(DOUBLE, "double", "g")             \
    X(BOOL, "bool", "b")                 \
    X(TIMESTAMP, "timestamp", "tsu:UTC") \
    X(JSON, "json", "u")                 \
    X(DATE, "date", "tdD")               \
    X(TIME, "time", "ttu")               \
    X(DECIMAL, "decimal", NULL)          \
    X(BINARY, "binary", "z")             \
    X(WEI, "wei", "u")                   \
    X(WIDE, "decimal", "u")

typedef enum hr_type {
#define HR_X(name, dlt_name, format) HR_TYPE_##name,
    HR_TYPE_MAP(HR_X)
#undef HR_X
        HR_TYPE_COUNT
} hr_type; /* cells of WEI (dlt's integers of 78 digits) and of WIDE (decimals beyond DECIMAL's 38 digits) are text */

#define HR_DECIMAL_DIGITS 38 /* that a DECIMAL holds; a column with more is WIDE */

const char *hr__type_name(hr_type type);
hr_type hr__type_of_name(hr_str name); /* HR_TYPE_UNSET: not one of ours */

enum {
    HR_COL_NOT_NULL = 1u << 0, /* nullable: False */
    HR_COL_VARIANT = 1u << 1,
    HR_COL_PRIMARY_KEY = 1u << 2, /* part of the key that upsert's row ids are hashed from */
    HR_COL_NEW = 1u << 3,         /* not yet told to dlt */
    /* What a schema contract said of a column that is not there (type UNSET), dlt-semantics rules 57 to 59: */
    HR_COL_DISCARD_VALUE = 1u << 4, /* its values are left out */
    HR_COL_DISCARD_ROW = 1u << 5,   /* rows that have the key are left out, with all below them */
    /* With one of the two: as well values of another type than their column's, of which this would be the variant. */
    HR_COL_DISCARD_VARIANT = 1u << 6,
};

typedef struct hr_column {
    hr_str name;   /* owned by the schema's arena */
    uint8_t type;  /* hr_type; UNSET: a hint without a type. Its first value adds a column of the same name at the end
                      (dlt-semantics rule 47), which the name then means; this slot stays and is never emitted */
    uint8_t flags; /* HR_COL_ */
    uint8_t precision, scale; /* DECIMAL, WIDE, WEI only; 38 and 9 by default */
    uint32_t limit; /* what its load file holds: BIGINT of so many bits (below 64), TIMESTAMP of so many digits of a
                       second (above 6: from 1677 to 2262), BINARY of exactly so many bytes; 0: all values */
} hr_column;

typedef struct hr_table {
    hr_str name;         /* owned by the schema's arena */
    int32_t parent;      /* index of the parent table; -1: a root, or broken out of its chain by a key */
    bool is_new;         /* not yet told to dlt */
    bool discard;        /* a schema contract leaves its rows out, with all below them */
    uint8_t id_kind;     /* of rows of a table broken out of its chain: hr_id_kind of normalize; 0: random */
    int32_t max_nesting; /* -1: the schema's */
    hr_column *columns;
    size_t n_columns, cap_columns;
    uint32_t *index; /* open addressing: column + 1, 0 empty; cap is a power of two */
    size_t cap_index;
} hr_table;

#define HR_SCHEMA_MAX_COLUMNS 20000 /* guessed: what has more is dlt's */
#define HR_SCHEMA_MAX_TABLES 5000

typedef struct hr_schema {
    const hr_allocator *alloc; /* borrowed */
    hr_arena arena;            /* names */
    hr_table *tables;
    size_t n_tables, cap_tables;
    uint64_t version;   /* grows with every table or column added */
    size_t max_columns; /* a table may have no more; HR_SCHEMA_MAX_COLUMNS */
    size_t max_tables;  /* HR_SCHEMA_MAX_TABLES */
    /* Rows go into text files, where a decimal shows how it was written: cells of DECIMAL columns are text,
     * str(Decimal), and cells of JSON columns are lists and objects only, as the others cannot be told from their text.
     */
    bool for_text;
    uint8_t wei_precision, wei_scale; /* of new WEI columns, which the destination decides; 0: none are added here */
} hr_schema;

/* Whether cells of the type are bytes and a size. */
static inline bool hr__schema_has_text(const hr_schema *schema, uint8_t type) {
    return type == HR_TYPE_TEXT || type == HR_TYPE_JSON || type >= HR_TYPE_BINARY ||
           (type == HR_TYPE_DECIMAL && schema->for_text);
}

void hr__schema_init(hr_schema *schema, const hr_allocator *alloc);
void hr__schema_free(hr_schema *schema);
/* Index of the table, or -1. */
int32_t hr__schema_find(const hr_schema *schema, hr_str name);
/* Adds a table; *table_out is its index. HR_OK, HR_MEMORY, HR_LIMIT (too many tables). */
HR_MUST_CHECK int hr__schema_add_table(hr_schema *schema, hr_str name, int32_t parent, int32_t *table_out);
/* Index of the column in the table, or -1. */
int32_t hr__schema_find_column(const hr_schema *schema, int32_t table, hr_str name);
/* Adds a column at the end, also beside a hint (type UNSET) of its name; *column_out is its index. HR_OK, HR_MEMORY,
 * HR_LIMIT (too many columns). */
HR_MUST_CHECK int hr__schema_add_column(hr_schema *schema, int32_t table, hr_str name, hr_type type, uint8_t flags,
                                        int32_t *column_out);
/* Makes dst equal to src, which has dst as a prefix: copies only what is missing. */
HR_MUST_CHECK int hr__schema_sync(hr_schema *dst, const hr_schema *src);

#endif
