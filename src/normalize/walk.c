/* SPDX-License-Identifier: Apache-2.0
 *
 * The fast path: a record's cells go straight to their columns while its tokens are walked in document order. Every key
 * is expected where it was last time (entry->next); whatever is new, repeated or unusual gives WALK_BAIL, and the
 * reference does the record anew.
 *
 * Document order instead of dlt's last-object-first order is right here because order only matters for adding columns
 * (which only the reference does) and for rows of one table that come from two lists of one row (such entries are
 * `slow`).
 */
#include "core.h"

#include <math.h>

#define BAIL WALK_BAIL

/* The record at work. */
typedef struct walk {
    hr_normalizer *norm;
    const hr_doc *doc; /* of the record; extra's is another */
} walk;

static int walk_list(walk *w, table_shape *shape, size_t list, int32_t parent_table, uint32_t parent_row);

static inline bool plain_text(const hr_tok *tok) {
    return (tok->flags & HR_TOK_SURROGATE) == 0 && (tok->len == 0 || (unsigned char)tok->as.str[0] != 0xEF);
}

static inline int put(walk *w, int32_t table, int32_t column, uint32_t row, hr_cell cell, uint32_t size) {
    hr_batch_column *to = &w->norm->batch->tables[table].columns[column];
    if (HR_LIKELY(to->n_cells == row && row < to->cap_cells)) {
        to->cells[row] = cell;
        to->valid[row] = 1;
        to->n_cells = (size_t)row + 1;
        if (to->sizes != NULL) {
            to->sizes[row] = size;
            to->text_bytes += size;
        }
        return HR_OK;
    }
    return hr__cell_slow(w->norm, table, column, row, cell, size);
}

/* A value that is not of its column's type: coerced, or into the variant column that is there. Errors are the
 * reference's to tell. */
static int put_coerced(walk *w, const node *nd, entry *e, uint32_t row, const hr_doc *doc, size_t at) {
    hr_cell cell;
    uint32_t size = 0;
    int32_t table = nd->shape->table;
    const hr_column *columns = w->norm->schema->tables[table].columns;
    const hr_column *own = &columns[e->column];
    int rc = hr__column_coerce(w->norm, own, (hr_type)own->type, doc, at, &cell, &size, NULL);
    if (rc == HR_OK) {
        return put(w, table, e->column, row, cell, size);
    }
    if (rc != HR_COERCE) {
        return BAIL;
    }
    int32_t variant = hr__entry_variant(w->norm, nd, e, hr__value_type(&doc->toks[at]));
    if (variant < 0) {
        return BAIL;
    }
    const hr_column *spec = &columns[variant];
    rc = hr__column_coerce(w->norm, spec, (hr_type)spec->type, doc, at, &cell, &size, NULL);
    return rc == HR_OK ? put(w, table, variant, row, cell, size) : BAIL;
}

/* A value that is one cell (scalars, and what stays JSON). */
static inline int walk_cell(walk *w, const node *nd, entry *e, uint32_t row, const hr_doc *doc, size_t at) {
    const hr_tok *tok = &doc->toks[at];
    int32_t table = nd->shape->table;
    if (tok->type == HR_TOK_NULL || (tok->type == HR_TOK_DOUBLE && HR_UNLIKELY(isinf(tok->as.d)))) {
        if (HR_UNLIKELY(e->column < 0 && !e->null_seen && !e->discard && !e->not_null)) {
            return hr__entry_null(w->norm, nd->shape, e);
        }
        return e->not_null ? BAIL : HR_OK;
    }
    if (HR_UNLIKELY(e->column < 0)) {
        hr__entry_resolve(w->norm, nd, e);
        if (e->column < 0) {
            return e->discard ? HR_OK : BAIL;
        }
    }
    switch (e->type) {
    case HR_TYPE_TEXT:
        if (HR_LIKELY(tok->type == HR_TOK_STRING && plain_text(tok))) {
            return put(w, table, e->column, row, (hr_cell){.str = tok->as.str}, tok->len);
        }
        break;
    case HR_TYPE_BIGINT:
        if (HR_LIKELY(tok->type == HR_TOK_INT)) {
            return put(w, table, e->column, row, (hr_cell){.i = tok->as.i}, 0);
        }
        break;
    case HR_TYPE_DOUBLE:
        if (HR_LIKELY(tok->type == HR_TOK_DOUBLE)) {
            return put(w, table, e->column, row, (hr_cell){.d = tok->as.d}, 0);
        }
        break;
    case HR_TYPE_BOOL:
        if (HR_LIKELY(tok->type == HR_TOK_TRUE || tok->type == HR_TOK_FALSE)) {
            return put(w, table, e->column, row, (hr_cell){.i = tok->type == HR_TOK_TRUE}, 0);
        }
        break;
    default:
        break;
    }
    return put_coerced(w, nd, e, row, doc, at);
}

/* One member's value. */
static inline int walk_value(walk *w, node *nd, entry *e, uint32_t row, const hr_doc *doc, size_t at);

/* The members of an object of a row. extra_stamp: keys with it were written already and are left out; 0: none. */
static int walk_object(walk *w, node *nd, uint32_t row, const hr_doc *doc, size_t object, uint64_t extra_stamp) {
    uint64_t stamp = ++w->norm->stamp;
    uint32_t n = doc->toks[object].len;
    size_t at = object + 1;
    entry **expected = &nd->first;
    for (uint32_t i = 0; i < n; i++) {
        const hr_tok *key = &doc->toks[at];
        entry *e = *expected;
        if (HR_UNLIKELY(e == NULL || e->key.size_bytes != key->len ||
                        memcmp(e->key.data, key->as.str, key->len) != 0)) {
            e = hr__node_find(nd, (hr_str){key->as.str, key->len});
            if (e == NULL) {
                return BAIL;
            }
            *expected = e;
        }
        expected = &e->next;
        if (HR_UNLIKELY(e->slow || e->stamp == stamp)) {
            return BAIL;
        }
        e->stamp = stamp;
        if (extra_stamp == 0 || e->extra_stamp != extra_stamp) {
            HR_TRY(walk_value(w, nd, e, row, doc, at + 1));
        }
        at = hr__doc_next(doc, at + 1);
    }
    return HR_OK;
}

static inline int walk_value(walk *w, node *nd, entry *e, uint32_t row, const hr_doc *doc, size_t at) {
    const hr_tok *tok = &doc->toks[at];
    bool nested = tok->type >= HR_TOK_ARRAY;
    if (nested && e->column < 0) {
        hr__entry_resolve(w->norm, nd, e); /* as_json */
    }
    if (HR_LIKELY(!nested) || e->as_json) {
        if (HR_UNLIKELY(e->key_slot >= 0)) {
            w->norm->key_values[e->key_slot] = (value_ref){doc, at};
        }
        return walk_cell(w, nd, e, row, doc, at);
    }
    if (tok->type == HR_TOK_OBJECT) {
        return e->object == NULL ? (tok->len == 0 ? HR_OK : BAIL) : walk_object(w, e->object, row, doc, at, 0);
    }
    if (tok->len == 0) {
        return HR_OK;
    }
    if (e->list == NULL || doc != w->doc) {
        return BAIL;
    }
    return walk_list(w, e->list, at, nd->shape->table, row);
}

/* An element of a list into its row. */
static int walk_element(walk *w, table_shape *shape, uint32_t row, size_t at) {
    const hr_doc *doc = w->doc;
    entry *value = shape->rows->value;
    uint8_t type = doc->toks[at].type;
    if (type == HR_TOK_OBJECT) {
        return walk_object(w, shape->rows, row, doc, at, 0);
    }
    if (type == HR_TOK_ARRAY) {
        node *lists = shape->lists;
        entry *e = lists == NULL || lists->n_entries == 0 ? NULL : lists->entries[0]; /* "list", its only key */
        return e == NULL || e->slow ? BAIL : walk_value(w, lists, e, row, doc, at);
    }
    return value == NULL || value->slow ? BAIL : walk_cell(w, shape->rows, value, row, doc, at);
}

/* A list whose table was broken out of its chain: rows with ids of their own, for scalars without a load id. */
static int walk_broken_out(walk *w, table_shape *shape, size_t list, int32_t parent_table, uint32_t parent_row) {
    const hr_doc *doc = w->doc;
    size_t at = list + 1;
    if (w->norm->schema->tables[shape->table].id_kind > HR_ID_RANDOM) {
        return BAIL;
    }
    for (uint32_t i = 0; i < doc->toks[list].len; i++) {
        bool is_scalar = doc->toks[at].type < HR_TOK_ARRAY;
        const row_link link = {parent_table, parent_row, is_scalar ? HR_NO_LOAD_ID : 0};
        uint32_t row;
        if (!is_scalar && !shape->loads) {
            return BAIL;
        }
        HR_TRY(hr__row_begin(w->norm, shape->table, &link, &row));
        HR_TRY(hr__row_id_set(w->norm, shape->table, row, (hr_str){NULL, 0}));
        HR_TRY(walk_element(w, shape, row, at));
        at = hr__doc_next(doc, at);
    }
    return HR_OK;
}

/* Whether a row filter leaves out all columns of the object in a row; 0 also where a key is new. */
static bool is_left_out(walk *w, node *nd, size_t object) {
    const hr_doc *doc = w->doc;
    size_t at = object + 1;
    for (uint32_t i = 0; i < doc->toks[object].len; i++) {
        const hr_tok *key = &doc->toks[at], *value = key + 1;
        entry *e = hr__node_find(nd, (hr_str){key->as.str, key->len});
        if (e == NULL) {
            return false;
        }
        hr__entry_resolve(w->norm, nd, e); /* as_json */
        if (value->type < HR_TOK_ARRAY || e->as_json) {
            if ((e->rules & HR_RULE_LEFT_OUT) == 0) {
                return false;
            }
        } else if (value->type == HR_TOK_OBJECT && value->len != 0 &&
                   (e->object == NULL || !is_left_out(w, e->object, at + 1))) {
            return false;
        }
        at = hr__doc_next(doc, at + 1);
    }
    return true;
}

/* A list of whose rows a row filter leaves out all columns: nothing is written, and nothing below. */
static int walk_left_out(walk *w, table_shape *shape, size_t list) {
    const hr_doc *doc = w->doc;
    size_t at = list + 1;
    if (!hr__shape_is_left_out(shape)) {
        return BAIL;
    }
    for (uint32_t i = 0; i < doc->toks[list].len; i++) {
        if (doc->toks[at].type == HR_TOK_OBJECT) {
            if (!is_left_out(w, shape->rows, at)) {
                return BAIL;
            }
        } else if (doc->toks[at].type == HR_TOK_ARRAY || shape->rows->value == NULL ||
                   (shape->rows->value->rules & HR_RULE_LEFT_OUT) == 0) {
            return BAIL;
        }
        at = hr__doc_next(doc, at);
    }
    return HR_OK;
}

static int walk_list(walk *w, table_shape *shape, size_t list, int32_t parent_table, uint32_t parent_row) {
    const hr_doc *doc = w->doc;
    size_t at = list + 1;
    if (HR_UNLIKELY(shape->own_left_out != 0)) {
        hr__shape_resolve(w->norm, shape);
        return walk_left_out(w, shape, list);
    }
    if (HR_UNLIKELY(!shape->ready)) {
        hr__shape_resolve(w->norm, shape);
        if (shape->discard) {
            return HR_OK;
        }
        if (!shape->ready) {
            return BAIL;
        }
    }
    if (HR_UNLIKELY(shape->root_like)) {
        return walk_broken_out(w, shape, list, parent_table, parent_row);
    }
    entry *value = shape->rows->value;
    for (uint32_t i = 0; i < doc->toks[list].len; i++) {
        const row_link link = {parent_table, parent_row, i};
        uint32_t row;
        HR_TRY(hr__row_begin(w->norm, shape->table, &link, &row));
        uint8_t type = doc->toks[at].type;
        if (type == HR_TOK_OBJECT) {
            HR_TRY(walk_object(w, shape->rows, row, doc, at, 0));
        } else if (type == HR_TOK_ARRAY) {
            node *lists = shape->lists;
            entry *e = lists == NULL || lists->n_entries == 0 ? NULL : lists->entries[0]; /* "list", its only key */
            if (e == NULL || e->slow) {
                return BAIL;
            }
            HR_TRY(walk_value(w, lists, e, row, doc, at));
        } else {
            if (value == NULL || value->slow) {
                return BAIL;
            }
            HR_TRY(walk_cell(w, shape->rows, value, row, doc, at));
        }
        at = hr__doc_next(doc, at);
    }
    return HR_OK;
}

/* Extra's members into the root row, marking their entries. */
static int walk_extra(walk *w, node *nd, uint32_t row, const hr_doc *extra, uint64_t stamp) {
    size_t at = 1;
    for (uint32_t i = 0; i < extra->toks[0].len; i++) {
        const hr_tok *key = &extra->toks[at];
        entry *e = hr__node_find(nd, (hr_str){key->as.str, key->len});
        if (e == NULL || e->slow || e->extra_stamp == stamp) {
            return BAIL;
        }
        e->extra_stamp = stamp;
        if (extra->toks[at + 1].type >= HR_TOK_ARRAY && !e->as_json) {
            return BAIL; /* nested values from a parent are rare: the reference takes them */
        }
        HR_TRY(walk_value(w, nd, e, row, extra, at + 1));
        at = hr__doc_next(extra, at + 1);
    }
    return HR_OK;
}

int hr__walk_record(hr_normalizer *norm, const hr_records *records, size_t record) {
    walk w = {norm, records->doc};
    table_shape *root = norm->root;
    size_t at = records->at[record];
    uint32_t row;
    hr__shape_resolve(norm, root);
    if (!root->ready || root->own_left_out != 0) {
        return BAIL;
    }
    for (size_t i = 0; i < norm->n_keys; i++) {
        norm->key_values[i].doc = NULL;
    }
    HR_TRY(hr__row_begin(norm, root->table, NULL, &row));
    if (records->doc->toks[at].type != HR_TOK_OBJECT) {
        entry *value = root->rows->value;
        if (value == NULL || value->slow) {
            return BAIL;
        }
        HR_TRY(walk_value(&w, root->rows, value, row, records->doc, at));
    } else {
        uint64_t extra_stamp = 0;
        if (records->extra != NULL) {
            extra_stamp = ++norm->stamp;
            HR_TRY(walk_extra(&w, root->rows, row, records->extra, extra_stamp));
        }
        HR_TRY(walk_object(&w, root->rows, row, records->doc, at, extra_stamp));
    }
    if (norm->options.id_kind == HR_ID_RANDOM) {
        return hr__row_id_set(norm, root->table, row, (hr_str){NULL, 0});
    }
    for (size_t i = 0; i < norm->n_keys; i++) {
        if (norm->key_values[i].doc == NULL) {
            return BAIL;
        }
    }
    const id_source source = {.kind = norm->options.id_kind,
                              .value = {records->doc, at},
                              .wrap = "value",
                              .extra = records->extra,
                              .keys = norm->key_names,
                              .key_values = norm->key_values,
                              .n_keys = norm->n_keys};
    return hr__row_id_hash(norm, root->table, row, &source);
}
