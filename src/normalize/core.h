/* SPDX-License-Identifier: Apache-2.0
 *
 * What the reference and the fast path share: the trie of shapes seen so far, and writing cells.
 *
 * A `table_shape` stands for one place where rows come from (the root, or a list at a path); a `node` for one object in
 * such a row (its top, or a nested object that is flattened); an `entry` for one raw key in an object.
 *
 *   {"id": 1, "user": {"name": "x"}, "tags": ["a"]}
 *   shape items    node ()      entries id -> column id · user -> node (user) · tags -> shape items__tags
 *                  node (user)  entries name -> column user__name
 *   shape items__tags           entry value -> column value
 */
#ifndef HR_NORMALIZE_CORE_H
#define HR_NORMALIZE_CORE_H

#include "coerce.h"
#include "hash.h"
#include "naming.h"
#include "normalize.h"

typedef struct node node;
typedef struct entry entry;
typedef struct table_shape table_shape;

struct entry {      /* what the walk reads comes first: one cache line */
    hr_str key;     /* raw */
    entry *next;    /* what came after this key last time */
    uint64_t stamp; /* the object this key was last seen in */
    int32_t column; /* in the table's schema; -1: none yet */
    uint8_t type;   /* of the column; UNSET: one with a limit */
    bool not_null;
    uint8_t rules;     /* HR_RULE_ of its column's name */
    bool as_json;      /* objects and lists stay JSON text (nesting limit, or a json column) */
    bool slow;         /* another key has the same column, or the name is dlt's own: reference only */
    bool discard;      /* a schema contract or a row filter leaves its values out */
    bool null_seen;    /* without a column */
    node *object;      /* NULL until an object was seen */
    table_shape *list; /* NULL until a list was seen */
    uint64_t version;  /* of the schema when column and variants were looked up */
    int32_t key_slot;  /* place in the primary key; -1 */
    uint64_t extra_stamp;
    int32_t *
        variants; /* HR_TYPE_JSON + 1: columns for values of each type that do not fit, -1: none; NULL: not looked up */
    hr_str part;  /* its normalized name */
    hr_str full;  /* with the flatten path: the column */
    hr_str list_part; /* normalize_path(key): the last part of a child table's path; may be blank */
};

struct node {
    table_shape *shape;
    hr_str *path; /* normalized parts from the row's top */
    size_t n_path;
    int32_t level; /* nesting left; <= 0: nested values stay JSON */
    entry **entries;
    size_t n_entries, cap_entries;
    uint32_t *index; /* open addressing by key: entry + 1 */
    size_t cap_index;
    entry *first; /* first key of the last object */
    entry *value; /* in `rows` of a shape: the key of scalars in lists; NULL: not seen */
};

struct table_shape {
    hr_str name;
    hr_str *parts; /* of the table's path from the root */
    size_t n_parts;
    table_shape *parent;    /* NULL: the root */
    table_shape *same_name; /* the next shape whose rows go to the same table */
    hr_str path_key;        /* parts relative to the parent, 0x1F behind each */
    int32_t level;          /* nesting left in its rows. A shape is its parent, path_key and level */
    int32_t table;          /* in the schema; -1: no row yet */
    uint64_t version;       /* of the schema when it was looked up */
    bool discard;           /* a schema contract leaves its rows out */
    uint8_t own_left_out;   /* of dlt's own columns, those that a row filter leaves out: bits of hr__own_columns */
    bool root_like;    /* its rows have ids of their own and no link: the root, or broken out of its chain by a key */
    bool loads;        /* the table has _dlt_load_id, which rows of a root_like table get unless they are scalars */
    uint8_t passes_id; /* rows below get its rows' ids: bits of hr_normalizer.id_names */
    uint8_t takes_id;  /* so do its own rows, from above */
    bool ready;        /* the table has all of dlt's own columns and no other shape: the fast path may write its rows */
    node *rows;        /* rows from objects */
    node *lists;       /* tracking rows of lists in lists: {"list": [...]}; made when needed */
    entry **names;     /* all entries of all nodes of this shape, by full name; open addressing */
    size_t n_names, cap_names;
};

/* Where a row hangs. */
typedef struct row_link {
    int32_t parent_table;
    uint32_t parent_row;
    uint32_t list_index; /* of a row of a root_like table: HR_NO_LOAD_ID for a scalar's, else 0 */
} row_link;

#define HR_NO_LOAD_ID 1u

/* Per table of the schema, for the page at work. */
typedef struct table_rows {
    row_link *links; /* a child row each; not for the root */
    size_t cap_links;
    const char **ids; /* root_like tables, a row each: NULL, or its id of id_sizes characters */
    uint32_t *id_sizes;
    size_t cap_ids, cap_id_sizes;
    uint8_t passes_id, takes_id; /* as in its shapes */
    size_t mark;                 /* n_rows before the record at work */
    bool touched;
    enum { FILL_NONE, FILL_BEGUN, FILL_DONE } fill; /* of dlt's own columns */
} table_rows;

typedef struct value_ref {
    const hr_doc *doc;
    size_t at;
} value_ref;

#define HR_ROOT_ID 1u /* the bit of _dlt_root_id in id_names */

struct hr_normalizer {
    hr_normalize_options options;
    hr_schema *schema; /* borrowed */
    hr_batch *batch;   /* borrowed during hr__normalize */
    hr_arena arena;    /* shapes, names: lives until forget */
    hr_arena scratch;  /* a record's */
    hr_buf text;       /* scratch for hashed text */
    table_shape *root;
    table_shape **shapes; /* by name, open addressing; others of the name hang on same_name */
    size_t n_shapes, cap_shapes;
    uint64_t matched_version; /* of the schema that rows and batch have room for */
    table_rows *rows;         /* a table each */
    size_t n_rows, cap_rows;
    int32_t *touched; /* tables the record wrote to */
    size_t n_touched, cap_touched;
    uint64_t stamp;
    hr_str id_names[HR_ID_NAMES]; /* columns of rows that hold an id of a row above; the first is _dlt_root_id */
    size_t n_id_names;
    size_t id_chars; /* of an id that is made here */
    hr_ids ids;      /* the page's random ones */
    hr_doc load_id;  /* its text, as a value that can be propagated */
    hr_tok load_id_tok;
    hr_str *key_names; /* sorted primary key columns (KEY_HASH) */
    size_t n_keys;
    value_ref *key_values;
    struct null_column {
        hr_str table;
        entry *from;
    } *nulls; /* in arena */
    size_t n_nulls, cap_nulls;
    size_t null_mark; /* n_nulls before the record at work */
    hr_normalize_stats stats;
    hr_error *err; /* borrowed during hr__normalize; never NULL */
};

/* Status of the fast path, besides hr_code: hand the record to the reference. */
#define WALK_BAIL (-1)

/* ---- a page: forgets the one before. err is not NULL. */
void hr__norm_begin(hr_normalizer *norm, hr_batch *batch, hr_error *err);
/* ---- and its end: what was lent is given back; an error is completed and copied to err_out (NULL: nowhere). */
void hr__norm_end(hr_normalizer *norm, int rc, hr_error *err_out);

/* ---- names, by the convention of the options. Errors fill norm->err. */
HR_MUST_CHECK int hr__norm_name(hr_normalizer *norm, hr_name_kind kind, const hr_str *parts, size_t n_parts,
                                hr_arena *arena, hr_str *name_out);
/* ---- rules (rules.c) */
#define HR_OWN_COLUMNS 5
/* dlt's own columns that are not nullable. */
extern const char *const hr__own_columns[HR_OWN_COLUMNS];
/* HR_RULE_ flags of a column's name. Errors fill norm->err. */
HR_MUST_CHECK int hr__rules_find(hr_normalizer *norm, hr_str table, hr_str column, uint8_t *rules_out);
/* Asks for dlt's own columns of a new shape's rows. */
HR_MUST_CHECK int hr__shape_rules(hr_normalizer *norm, table_shape *shape);
/* Whether all of dlt's own columns of the shape's rows are left out: a row may then be left out whole. */
bool hr__shape_is_left_out(const table_shape *shape);
/* Whether the name is of one of dlt's own columns, and then whether a row filter leaves it out. */
bool hr__shape_own_column(const table_shape *shape, hr_str name, bool *left_out);
/* ---- shapes */
/* Finds or makes the shape of the lists at a path below parent (NULL: the root). */
HR_MUST_CHECK int hr__shape_get(hr_normalizer *norm, table_shape *parent, const hr_str *path, size_t n_path,
                                int32_t level, table_shape **shape_out);
/* Looks the shape's table up if the schema has grown. */
void hr__shape_resolve(hr_normalizer *norm, table_shape *shape);
entry *hr__node_find(const node *nd, hr_str key);
/* Finds or makes the key's entry. */
HR_MUST_CHECK int hr__node_entry(hr_normalizer *norm, node *nd, hr_str key, entry **entry_out);
/* Looks the entry's column up if the schema has grown. */
void hr__entry_resolve(hr_normalizer *norm, const node *nd, entry *e);
/* The variant column for values of a type; -1: none. */
int32_t hr__entry_variant(hr_normalizer *norm, const node *nd, entry *e, hr_type type);
/* The name of a column's variant for values of a type (rule 35): table's column of the old name "complex" for json if
 * there is one. */
HR_MUST_CHECK int hr__variant_name(hr_normalizer *norm, int32_t table, hr_str column, hr_type type, hr_arena *arena,
                                   hr_str *name_out);
/* The node of objects under e, the shape of lists under e, the node of a shape's tracking rows; made when needed. */
HR_MUST_CHECK int hr__entry_object(hr_normalizer *norm, node *nd, entry *e, node **node_out);
HR_MUST_CHECK int hr__entry_list(hr_normalizer *norm, node *nd, entry *e, table_shape **shape_out);
HR_MUST_CHECK int hr__shape_lists(hr_normalizer *norm, table_shape *shape, node **node_out);

/* Remembers that the entry's key had a null and no column. */
HR_MUST_CHECK int hr__entry_null(hr_normalizer *norm, const table_shape *shape, entry *e);

/* ---- rows and cells */
/* A new row of a table; *row_out is its number. link: NULL for a root. */
HR_MUST_CHECK int hr__row_begin(hr_normalizer *norm, int32_t table, const row_link *link, uint32_t *row_out);
/* Puts a cell; WALK_BAIL when the row has one in this column already. */
HR_MUST_CHECK int hr__cell_slow(hr_normalizer *norm, int32_t table, int32_t column, uint32_t row, hr_cell cell,
                                uint32_t size);
/* Room for the tables of the schema in rows and batch. */
HR_MUST_CHECK int hr__rows_match(hr_normalizer *norm);
/* Room in a column of the batch for row. */
HR_MUST_CHECK int hr__column_grow(hr_normalizer *norm, hr_batch_column *column, uint8_t type, size_t row);
/* dlt's own columns of all rows; stream: the random ids'. */
HR_MUST_CHECK int hr__rows_fill(hr_normalizer *norm, uint64_t stream);
/* hr__coerce for a column of the schema: decimals have the column's precision and scale. err may be NULL. */
HR_MUST_CHECK int hr__column_coerce(hr_normalizer *norm, const hr_column *column, hr_type type, const hr_doc *doc,
                                    size_t at, hr_cell *cell_out, uint32_t *size_out, hr_error *err);
/* What a row's id is hashed from. */
typedef struct id_source {
    hr_id_kind kind;
    value_ref value;     /* ROW_HASH: the object, or what stands in {wrap: value} */
    const char *wrap;    /* "value" or "list" */
    const hr_doc *extra; /* members over the object's; NULL: none */
    const hr_str *keys;  /* KEY_HASH: n_keys names, sorted, and their values */
    const value_ref *key_values;
    size_t n_keys;
} id_source;

/* Remembers the id of a root_like table's row: given (data NULL: to be a random one), or hashed. */
HR_MUST_CHECK int hr__row_id_set(hr_normalizer *norm, int32_t table, uint32_t row, hr_str id);
HR_MUST_CHECK int hr__row_id_hash(hr_normalizer *norm, int32_t table, uint32_t row, const id_source *source);
/* The table's primary key columns, sorted as OPT_SORT_KEYS sorts; in arena. table -1: none. */
HR_MUST_CHECK int hr__table_keys(hr_normalizer *norm, int32_t table, hr_arena *arena, hr_str **names_out,
                                 size_t *n_out);
/* Whether a column of rows holds the id of a row above: its bit in id_names, or 0. */
uint8_t hr__id_name_bit(const hr_normalizer *norm, hr_str column);
/* Whether the propagation is one of the shape's rows; of two for the same column the table's own counts. */
bool hr__shape_propagates(const hr_normalizer *norm, const table_shape *shape, const hr_propagation *propagation);

/* ---- the two ways: one record. records->extra applies. */
HR_MUST_CHECK int hr__reference_record(hr_normalizer *norm, const hr_records *records, size_t record);
HR_MUST_CHECK int hr__walk_record(hr_normalizer *norm, const hr_records *records, size_t record);

static inline int hr__norm_memory(hr_normalizer *norm) {
    return hr__error_memory(norm->err, HR_STAGE_NORMALIZE);
}
/* Adds table and column to the error. */
void hr__norm_place(hr_normalizer *norm, hr_str table, hr_str column);

#endif
