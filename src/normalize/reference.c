/* SPDX-License-Identifier: Apache-2.0
 *
 * One record dlt's way (dlt 1.31: common/normalizers/json/relational.py, normalize/items_normalizers/jsonl.py): each
 * row is flattened to an ordered map, coerced field by field, and what it adds to the schema is added after the whole
 * row. Slow and plainly right; it is also where shapes are learned.
 */
#include "core.h"

/* A flattened row: name -> value in order of first appearance. */
typedef struct field {
    hr_str name;
    value_ref value; /* doc NULL: one of dlt's own columns, filled later */
    hr_type system;  /* its type */
    entry *from;
    bool left_out; /* by a row filter */
} field;

typedef struct row_map {
    field *fields;
    size_t n, cap;
    uint32_t *index;
    size_t cap_index;
} row_map;

/* A list found while flattening. */
typedef struct found_list {
    table_shape *shape;
    value_ref value;
} found_list;

typedef struct list_map {
    found_list *lists;
    size_t n, cap;
} list_map;

static int grow(hr_normalizer *norm, void **array, size_t *cap, size_t n, size_t elem_bytes) {
    if (n < *cap) {
        return HR_OK;
    }
    size_t more = *cap == 0 ? 16 : *cap * 2;
    void *grown = hr__arena_alloc(&norm->scratch, more * elem_bytes);
    if (grown == NULL) {
        return hr__norm_memory(norm);
    }
    if (n != 0) {
        memcpy(grown, *array, n * elem_bytes);
    }
    *array = grown;
    *cap = more;
    return HR_OK;
}

static int map_index(hr_normalizer *norm, row_map *map) {
    size_t cap = map->cap_index == 0 ? 64 : map->cap_index * 2;
    uint32_t *index = hr__arena_alloc(&norm->scratch, cap * sizeof *index);
    if (index == NULL) {
        return hr__norm_memory(norm);
    }
    memset(index, 0, cap * sizeof *index);
    for (size_t i = 0; i < map->n; i++) {
        size_t at = hr__str_hash(map->fields[i].name) & (cap - 1);
        while (index[at] != 0) {
            at = (at + 1) & (cap - 1);
        }
        index[at] = (uint32_t)i + 1;
    }
    map->index = index;
    map->cap_index = cap;
    return HR_OK;
}

/* dict[name] = value. */
static int map_set(hr_normalizer *norm, row_map *map, const field *f) {
    if ((map->n + 1) * 2 > map->cap_index) {
        HR_TRY(map_index(norm, map));
    }
    size_t at = hr__str_hash(f->name) & (map->cap_index - 1);
    for (; map->index[at] != 0; at = (at + 1) & (map->cap_index - 1)) {
        if (hr__str_eq(map->fields[map->index[at] - 1].name, f->name)) {
            map->fields[map->index[at] - 1] = *f;
            return HR_OK;
        }
    }
    HR_TRY(grow(norm, (void **)&map->fields, &map->cap, map->n, sizeof *map->fields));
    map->fields[map->n++] = *f;
    map->index[at] = (uint32_t)map->n;
    return HR_OK;
}

static field *map_get(const row_map *map, hr_str name) {
    if (map->cap_index == 0) {
        return NULL;
    }
    for (size_t at = hr__str_hash(name) & (map->cap_index - 1); map->index[at] != 0;
         at = (at + 1) & (map->cap_index - 1)) {
        if (hr__str_eq(map->fields[map->index[at] - 1].name, name)) {
            return &map->fields[map->index[at] - 1];
        }
    }
    return NULL;
}

/* lists[path] = value; the shape is the path. */
static int lists_set(hr_normalizer *norm, list_map *map, table_shape *shape, value_ref value) {
    for (size_t i = 0; i < map->n; i++) {
        if (map->lists[i].shape == shape) {
            map->lists[i].value = value;
            return HR_OK;
        }
    }
    HR_TRY(grow(norm, (void **)&map->lists, &map->cap, map->n, sizeof *map->lists));
    map->lists[map->n++] = (found_list){shape, value};
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- flatten */

/* An object that waits to be flattened. */
typedef struct waiting {
    value_ref object;
    node *nd;
} waiting;

typedef struct flat {
    row_map fields;
    list_map lists;
    waiting *stack;
    size_t n_stack, cap_stack;
} flat;

/* is_nested_type: whether an object or list at e stays as it is. */
static bool stays_json(hr_normalizer *norm, const node *nd, const entry *e) {
    int32_t table = nd->shape->table, column = table < 0 ? -1 : hr__schema_find_column(norm->schema, table, e->full);
    uint8_t type = column < 0 ? HR_TYPE_UNSET : norm->schema->tables[table].columns[column].type;
    return nd->level <= 0 || (type == HR_TYPE_UNSET ? (e->rules & HR_RULE_JSON) != 0 : type == HR_TYPE_JSON);
}

static int flatten_member(hr_normalizer *norm, flat *f, node *nd, hr_str key, value_ref value) {
    entry *e;
    HR_TRY(hr__node_entry(norm, nd, key, &e));
    uint8_t type = value.doc->toks[value.at].type;
    if (type >= HR_TOK_ARRAY && !stays_json(norm, nd, e)) {
        if (type == HR_TOK_OBJECT) {
            node *object;
            HR_TRY(hr__entry_object(norm, nd, e, &object));
            HR_TRY(grow(norm, (void **)&f->stack, &f->cap_stack, f->n_stack, sizeof *f->stack));
            f->stack[f->n_stack++] = (waiting){value, object};
            return HR_OK;
        }
        table_shape *shape;
        HR_TRY(hr__entry_list(norm, nd, e, &shape));
        return lists_set(norm, &f->lists, shape, value);
    }
    return map_set(norm, &f->fields, &(field){.name = e->full, .value = value, .from = e});
}

/* The object's members, with extra's laid over them (root only), as Python's dict.update leaves them. */
static int flatten_object(hr_normalizer *norm, flat *f, node *nd, value_ref object, const hr_doc *extra) {
    const hr_allocator *alloc = norm->options.alloc;
    hr_member *members = NULL, *more = NULL;
    size_t n = 0, n_more = 0;
    int rc = hr__doc_members(object.doc, object.at, alloc, &members, &n);
    if (rc == HR_OK && extra != NULL) {
        rc = hr__doc_members(extra, 0, alloc, &more, &n_more);
    }
    if (rc != HR_OK) {
        rc = hr__norm_memory(norm);
    }
    for (size_t i = 0; i < n && rc == HR_OK; i++) {
        value_ref value = {object.doc, members[i].value};
        for (size_t k = 0; k < n_more; k++) {
            if (more[k].value != SIZE_MAX && hr__str_eq(more[k].key, members[i].key)) {
                value = (value_ref){extra, more[k].value};
                more[k].value = SIZE_MAX;
            }
        }
        rc = flatten_member(norm, f, nd, members[i].key, value);
    }
    for (size_t k = 0; k < n_more && rc == HR_OK; k++) {
        if (more[k].value != SIZE_MAX) {
            rc = flatten_member(norm, f, nd, more[k].key, (value_ref){extra, more[k].value});
        }
    }
    hr__free(alloc, members);
    hr__free(alloc, more);
    return rc;
}

/* ---------------------------------------------------------------------------------------------------- coerce */

/* A cell of the row at work, and the column it adds if any. */
typedef struct new_cell {
    hr_str name;
    hr_type type;
    uint8_t flags;
    bool is_new;
    int32_t column;
    hr_cell cell;
    uint32_t size;
    bool system; /* no value: filled at the end of the page */
} new_cell;

typedef struct cells {
    new_cell *cells;
    size_t n, cap;
    bool any_variant;
} cells;

/* row[name] = cell. Only a variant column can meet a cell of its name: its name was made after flattening. */
static int cells_put(hr_normalizer *norm, cells *row, const new_cell *cell, bool is_variant) {
    row->any_variant |= is_variant;
    for (size_t i = 0; i < row->n && row->any_variant; i++) {
        if (hr__str_eq(row->cells[i].name, cell->name)) {
            row->cells[i] = *cell;
            return HR_OK;
        }
    }
    HR_TRY(grow(norm, (void **)&row->cells, &row->cap, row->n, sizeof *row->cells));
    row->cells[row->n++] = *cell;
    return HR_OK;
}

/* The name's rules. from: an entry that may be the name's; NULL: none. */
static int rules_of(hr_normalizer *norm, const table_shape *shape, hr_str name, const entry *from, uint8_t *rules_out) {
    if (from != NULL && hr__str_eq(from->full, name)) {
        *rules_out = from->rules;
        return HR_OK;
    }
    return hr__rules_find(norm, shape->name, name, rules_out);
}

/* The table's column of that name; NULL: none (or no table yet). */
static const hr_column *column_of(hr_normalizer *norm, int32_t table, hr_str name, int32_t *at_out) {
    *at_out = table < 0 ? -1 : hr__schema_find_column(norm->schema, table, name);
    return *at_out < 0 ? NULL : &norm->schema->tables[table].columns[*at_out];
}

/* Status besides hr_code: a schema contract drops the row, and all below it. */
#define ROW_DISCARDED (-2)

/* What a schema contract said of a column that is not there: HR_OK and *left_out_out, or ROW_DISCARDED. What it said of
 * a key is not said of the variant of that name. */
static int check_discard(const hr_column *column, bool is_variant, bool *left_out_out) {
    uint8_t flags = column == NULL ? 0 : column->flags;
    if (is_variant && (column == NULL || column->type != HR_TYPE_UNSET || (flags & HR_COL_DISCARD_VARIANT) == 0)) {
        flags = 0;
    }
    *left_out_out = (flags & HR_COL_DISCARD_VALUE) != 0;
    return (flags & HR_COL_DISCARD_ROW) != 0 ? ROW_DISCARDED : HR_OK;
}

/* _coerce_non_null_value: into its column, a new column, or a variant. */
static int coerce_value(hr_normalizer *norm, const table_shape *shape, hr_str name, value_ref value, const entry *from,
                        bool is_variant, cells *row) {
    const hr_tok *tok = &value.doc->toks[value.at];
    int32_t at;
    if (name.size_bytes == 0) {
        hr__error_set(norm->err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE, "a key gives a column without a name");
        hr__norm_place(norm, shape->name, name);
        return HR_UNSUPPORTED;
    }
    const hr_column *have = column_of(norm, shape->table, name, &at);
    bool complete = have != NULL && have->type != HR_TYPE_UNSET, left_out;
    int discarded = check_discard(have, is_variant, &left_out);
    if (left_out || discarded != HR_OK) {
        return discarded;
    }
    new_cell cell = {.name = name, .is_new = !complete, .column = at};
    cell.type = complete ? (hr_type)have->type : hr__value_infer(tok);
    if (cell.is_new && cell.type > HR_TYPE_BINARY && norm->schema->wei_precision == 0) {
        hr__error_set(norm->err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE,
                      "a new column of type wei, of which the destination has none, is left to the caller");
        hr__norm_place(norm, shape->name, name);
        return HR_UNSUPPORTED;
    }
    uint8_t rules = 0;
    HR_TRY(have != NULL ? HR_OK : rules_of(norm, shape, name, from, &rules));
    cell.flags = have != NULL ? have->flags : (rules & HR_RULE_NOT_NULL) != 0 ? HR_COL_NOT_NULL : 0;
    cell.flags = (uint8_t)(cell.flags | (is_variant && !complete ? HR_COL_VARIANT : 0));
    int rc = hr__column_coerce(norm, have, cell.type, value.doc, value.at, &cell.cell, &cell.size, norm->err);
    if (rc == HR_OK) {
        return cells_put(norm, row, &cell, is_variant);
    }
    if (rc != HR_COERCE) {
        hr__norm_place(norm, shape->name, name);
        return rc;
    }
    hr_type type = hr__value_type(tok);
    if (is_variant) {
        hr__error_set(norm->err, HR_COERCE, HR_STAGE_NORMALIZE,
                      "a %s value fits neither its column nor its variant column", hr__type_name(type));
        hr__norm_place(norm, shape->name, name);
        return HR_COERCE;
    }
    hr_str variant;
    if (hr__variant_name(norm, shape->table, name, type, &norm->scratch, &variant) != HR_OK) {
        return hr__norm_memory(norm);
    }
    return coerce_value(norm, shape, variant, value, NULL, true, row);
}

static int coerce_field(hr_normalizer *norm, const table_shape *shape, const field *f, cells *row) {
    int32_t at;
    if (f->value.doc == NULL) {
        const hr_column *have = column_of(norm, shape->table, f->name, &at);
        bool complete = have != NULL && have->type != HR_TYPE_UNSET, left_out = false;
        bool is_own = hr__id_name_bit(norm, f->name) <= HR_ROOT_ID; /* contracts do not apply */
        int discarded = is_own ? HR_OK : check_discard(have, false, &left_out);
        if (left_out || discarded != HR_OK) {
            return discarded;
        }
        uint8_t not_null = is_own ? HR_COL_NOT_NULL : 0;
        return cells_put(norm, row,
                         &(new_cell){.name = f->name,
                                     .type = f->system,
                                     .flags = (uint8_t)((have == NULL ? 0 : have->flags) | not_null),
                                     .is_new = !complete,
                                     .column = at,
                                     .system = true},
                         false);
    }
    if (hr__value_type(&f->value.doc->toks[f->value.at]) != HR_TYPE_UNSET) {
        return coerce_value(norm, shape, f->name, f->value, f->from, false, row);
    }
    const hr_column *have = column_of(norm, shape->table, f->name, &at);
    bool complete = have != NULL && have->type != HR_TYPE_UNSET, left_out;
    int discarded = check_discard(have, false, &left_out);
    if (left_out || discarded != HR_OK) {
        return discarded;
    }
    if (!complete && !f->from->null_seen) {
        HR_TRY(hr__entry_null(norm, shape, f->from));
    }
    uint8_t rules = 0;
    HR_TRY(have != NULL ? HR_OK : rules_of(norm, shape, f->name, f->from, &rules));
    if (complete ? (have->flags & HR_COL_NOT_NULL) != 0 : (rules & HR_RULE_NOT_NULL) != 0) {
        hr__error_set(norm->err, HR_NULL_VALUE, HR_STAGE_NORMALIZE, "null in a column that is not nullable");
        hr__norm_place(norm, shape->name, f->name);
        return HR_NULL_VALUE;
    }
    return HR_OK;
}

/* Under a fixed schema the row may add nothing. */
static int check_fixed(hr_normalizer *norm, const table_shape *shape, const cells *row) {
    hr_str column = {NULL, 0};
    bool adds = shape->table < 0;
    for (size_t i = 0; i < row->n && !adds; i++) {
        adds = row->cells[i].is_new;
        column = row->cells[i].name;
    }
    if (!adds) {
        return HR_OK;
    }
    hr__error_set(norm->err, HR_SCHEMA, HR_STAGE_NORMALIZE, "the record adds to the schema, which is fixed");
    hr__norm_place(norm, shape->name, column);
    return HR_SCHEMA;
}

/* Adds what is new to the schema, then writes the row. */
static int row_emit(hr_normalizer *norm, table_shape *shape, const cells *row, const row_link *link,
                    uint32_t *row_out) {
    hr_schema *schema = norm->schema;
    int rc = HR_OK;
    if (shape->table < 0) {
        shape->table = hr__schema_find(schema, shape->name);
    }
    if (norm->options.fixed_schema) {
        HR_TRY(check_fixed(norm, shape, row));
    }
    if (shape->table < 0) {
        rc =
            hr__schema_add_table(schema, shape->name, shape->parent == NULL ? -1 : shape->parent->table, &shape->table);
    }
    for (size_t i = 0; i < row->n && rc == HR_OK; i++) {
        new_cell *cell = &row->cells[i];
        if (cell->is_new) {
            rc = hr__schema_add_column(schema, shape->table, cell->name, cell->type, cell->flags, &cell->column);
        }
    }
    if (rc == HR_LIMIT) {
        hr__error_set(norm->err, HR_LIMIT, HR_STAGE_NORMALIZE, "more than %zu tables or %zu columns in a table",
                      schema->max_tables, schema->max_columns);
        hr__norm_place(norm, shape->name, (hr_str){NULL, 0});
        return HR_LIMIT;
    }
    if (rc != HR_OK) {
        return hr__norm_memory(norm);
    }
    if (shape->parent == NULL && schema->tables[shape->table].parent >= 0) {
        hr__error_set(norm->err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE,
                      "the resource's table is nested in another: not supported natively");
        hr__norm_place(norm, shape->name, (hr_str){NULL, 0});
        return HR_UNSUPPORTED;
    }
    HR_TRY(hr__rows_match(norm));
    HR_TRY(hr__row_begin(norm, shape->table, link, row_out));
    for (size_t i = 0; i < row->n; i++) {
        const new_cell *cell = &row->cells[i];
        if (!cell->system) {
            rc = hr__cell_slow(norm, shape->table, cell->column, *row_out, cell->cell, cell->size);
            if (rc == WALK_BAIL) {
                return hr__error_set(norm->err, HR_INTERNAL, HR_STAGE_NORMALIZE, "a row has two values for a column");
            }
            HR_TRY(rc);
        }
    }
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- propagation */

/* What rows below a row get from it and from those above: name -> value, in order of first appearance (rule 44). */
typedef struct extend {
    field *fields;
    size_t n;
} extend;

static void extend_set(extend *ext, const field *f) {
    for (size_t i = 0; i < ext->n; i++) {
        if (hr__str_eq(ext->fields[i].name, f->name)) {
            ext->fields[i] = *f;
            return;
        }
    }
    ext->fields[ext->n++] = *f;
}

/* The propagation of the shape's rows at place i; NULL: none. Of two for the same column the table's own counts, at the
 * place of the other, as in Python's dict.update. */
static const hr_propagation *propagation_at(const hr_normalizer *norm, const table_shape *shape, size_t i) {
    const hr_propagation *all = norm->options.propagations;
    bool is_own = all[i].table.size_bytes != 0;
    if (is_own ? !hr__str_eq(all[i].table, shape->name) : !shape->root_like) {
        return NULL;
    }
    for (size_t k = 0; k < norm->options.n_propagations && shape->root_like; k++) {
        bool is_other = is_own ? all[k].table.size_bytes == 0 : hr__str_eq(all[k].table, shape->name);
        if (is_other && hr__str_eq(all[k].from, all[i].from)) {
            return is_own ? NULL : &all[k];
        }
    }
    return &all[i];
}

/* _get_propagated_values: what the row passes on over what it got. */
static int propagate(hr_normalizer *norm, const table_shape *shape, const flat *f, const extend *above,
                     extend *below_out) {
    size_t n_propagations = norm->options.n_propagations;
    if (n_propagations == 0 && shape->passes_id == 0) {
        *below_out = *above;
        return HR_OK;
    }
    extend below = {.fields = hr__arena_alloc(&norm->scratch, (above->n + n_propagations + 1) * sizeof(field))};
    if (below.fields == NULL) {
        return hr__norm_memory(norm);
    }
    for (size_t i = 0; i < above->n; i++) {
        below.fields[below.n++] = above->fields[i];
    }
    if (norm->options.root_key && shape->parent == NULL) {
        extend_set(&below, &(field){.name = hr__str("_dlt_root_id"), .system = HR_TYPE_TEXT});
    }
    for (size_t i = 0; i < n_propagations; i++) {
        const hr_propagation *propagation = propagation_at(norm, shape, i);
        if (propagation == NULL) {
            continue;
        }
        const field *found = map_get(&f->fields, propagation->from);
        if (found == NULL) {
            continue;
        }
        field value = {.name = propagation->as, .value = found->value, .from = found->from};
        if (hr__str_eq(propagation->from, hr__str("_dlt_id"))) {
            value = (field){.name = propagation->as, .system = HR_TYPE_TEXT};
        } else if (hr__str_eq(propagation->from, hr__str("_dlt_load_id")) && found->value.doc == NULL) {
            value.value = (value_ref){&norm->load_id, 0};
        }
        extend_set(&below, &value);
    }
    *below_out = below;
    return HR_OK;
}

/* flattened_row.update(extend) */
static int add_extend(hr_normalizer *norm, const table_shape *shape, flat *f, const extend *ext) {
    for (size_t i = 0; i < ext->n; i++) {
        field one = ext->fields[i];
        if (one.value.doc != NULL) {
            HR_TRY(hr__node_entry(norm, shape->rows, one.name, &one.from)); /* remembers that it was only null */
        }
        HR_TRY(map_set(norm, &f->fields, &one));
    }
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- rows */

static int system_field(hr_normalizer *norm, flat *f, const char *name, hr_type type) {
    return map_set(norm, &f->fields, &(field){.name = hr__str(name), .system = type});
}

/* bool(value) of Python. */
static bool is_falsy(const hr_tok *tok) {
    switch (tok->type) {
    case HR_TOK_NULL:
    case HR_TOK_FALSE:
        return true;
    case HR_TOK_INT:
        return tok->as.i == 0;
    case HR_TOK_DOUBLE:
        return tok->as.d == 0 || hr__value_type(tok) == HR_TYPE_UNSET;
    case HR_TOK_STRING:
    case HR_TOK_ARRAY:
    case HR_TOK_OBJECT:
        return tok->len == 0;
    default:
        return false;
    }
}

static bool has_rows_below(const flat *f) {
    for (size_t i = 0; i < f->lists.n; i++) {
        const value_ref *list = &f->lists.lists[i].value;
        if (list->doc->toks[list->at].len != 0) {
            return true;
        }
    }
    return false;
}

/* The id that the data brings (rule 41); *id_out is left alone when it does not. */
static int find_own_id(hr_normalizer *norm, const table_shape *shape, const flat *f, hr_str *id_out) {
    const field *own = map_get(&f->fields, hr__str("_dlt_id"));
    if (own == NULL || is_falsy(&own->value.doc->toks[own->value.at])) {
        return HR_OK;
    }
    int32_t at;
    hr_cell cell;
    uint32_t size;
    const value_ref *value = &own->value;
    const hr_tok *tok = &value->doc->toks[value->at];
    const hr_column *have = column_of(norm, shape->table, own->name, &at);
    bool complete = have != NULL && have->type != HR_TYPE_UNSET;
    if (!shape->root_like) {
        hr__error_set(norm->err, HR_NULL_VALUE, HR_STAGE_NORMALIZE,
                      "the data brings its own _dlt_id: dlt then gives the row no link to its parent");
    } else if (complete ? tok->type >= HR_TOK_ARRAY || (tok->type != HR_TOK_STRING && has_rows_below(f))
                        : hr__value_infer(tok) != HR_TYPE_TEXT) { /* below, a new column would not be of text */
        hr__error_set(norm->err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE,
                      "the data brings its own _dlt_id, which is not text: not supported natively");
    } else if (hr__coerce(value->doc, value->at, HR_TYPE_TEXT, &norm->batch->arena, &cell, &size, norm->err) == HR_OK) {
        *id_out = (hr_str){cell.str, size};
        return HR_OK;
    }
    hr__norm_place(norm, shape->name, own->name);
    return norm->err->code;
}

/* dlt's own columns behind the row's and what was propagated to it (rule 23). */
static int add_system(hr_normalizer *norm, const table_shape *shape, flat *f, bool is_scalar) {
    if (shape->root_like) {
        HR_TRY(is_scalar ? HR_OK : system_field(norm, f, "_dlt_load_id", HR_TYPE_TEXT));
    } else {
        HR_TRY(system_field(norm, f, "_dlt_parent_id", HR_TYPE_TEXT));
        HR_TRY(system_field(norm, f, "_dlt_list_idx", HR_TYPE_BIGINT));
    }
    return system_field(norm, f, "_dlt_id", HR_TYPE_TEXT);
}

static int emit_list(hr_normalizer *norm, table_shape *shape, value_ref list, int32_t parent_table, uint32_t parent_row,
                     const extend *ext);

/* Whether the row has a key that a schema contract drops rows for: known before its values are looked at. */
static bool is_discarded(hr_normalizer *norm, const table_shape *shape, const flat *f) {
    int32_t at;
    for (size_t i = 0; i < f->fields.n; i++) {
        const hr_column *have = column_of(norm, shape->table, f->fields.fields[i].name, &at);
        if (!f->fields.fields[i].left_out && have != NULL && (have->flags & HR_COL_DISCARD_ROW) != 0) {
            return true;
        }
    }
    return false;
}

/* _filter_row: marks what a row filter leaves out. A row of which something is left has dlt's own columns too. */
static int filter_row(hr_normalizer *norm, const table_shape *shape, flat *f, bool *is_empty_out) {
    size_t n_left = f->fields.n;
    bool own = false;
    for (size_t i = 0; i < f->fields.n; i++) {
        field *one = &f->fields.fields[i];
        if (!hr__shape_own_column(shape, one->name, &one->left_out)) { /* dlt's own are asked for once a table */
            uint8_t rules;
            HR_TRY(rules_of(norm, shape, one->name, one->from, &rules));
            one->left_out = (rules & HR_RULE_LEFT_OUT) != 0;
        }
        n_left -= one->left_out;
        own |= one->left_out && one->value.doc == NULL;
    }
    *is_empty_out = n_left == 0;
    if (own && n_left != 0) {
        hr__error_set(norm->err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE,
                      "a row filter leaves out some of dlt's own columns of a row: not supported natively");
        hr__norm_place(norm, shape->name, (hr_str){NULL, 0});
        return HR_UNSUPPORTED;
    }
    return HR_OK;
}

/* The id of a row that hangs on no other: the data's, a random one, or a hash. */
static int set_row_id(hr_normalizer *norm, const table_shape *shape, const flat *f, uint32_t row, hr_str user_id,
                      id_source *source) {
    bool is_root = shape->parent == NULL;
    source->kind = is_root ? norm->options.id_kind : (hr_id_kind)norm->schema->tables[shape->table].id_kind;
    if (user_id.data != NULL || source->kind <= HR_ID_RANDOM) {
        return hr__row_id_set(norm, shape->table, row, user_id);
    }
    hr_str *keys = norm->key_names;
    value_ref *values = norm->key_values;
    source->n_keys = norm->n_keys;
    if (!is_root && source->kind == HR_ID_KEY_HASH) {
        HR_TRY(hr__table_keys(norm, shape->table, &norm->scratch, &keys, &source->n_keys));
        values = hr__arena_alloc(&norm->scratch, (source->n_keys + 1) * sizeof *values);
        if (values == NULL) {
            return hr__norm_memory(norm);
        }
    }
    for (size_t k = 0; k < source->n_keys; k++) {
        const field *key = map_get(&f->fields, keys[k]);
        if (key != NULL && key->value.doc == NULL) {
            hr__error_set(norm->err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE,
                          "a row id made of a column of dlt's own: not supported natively");
            hr__norm_place(norm, shape->name, keys[k]);
            return HR_UNSUPPORTED;
        }
        values[k] = key == NULL ? (value_ref){NULL, 0} : key->value;
    }
    source->keys = keys;
    source->key_values = values;
    return hr__row_id_hash(norm, shape->table, row, source);
}

/* A flattened row, then the lists in it. ext: what it gets from above; source: what its id is made of. */
static int emit_flat(hr_normalizer *norm, table_shape *shape, flat *f, row_link *link, const extend *ext,
                     bool is_scalar, id_source *source) {
    hr_str user_id = {NULL, 0};
    cells row = {0};
    uint32_t number;
    extend below;
    HR_TRY(add_extend(norm, shape, f, ext));
    if (!is_scalar) {
        HR_TRY(find_own_id(norm, shape, f, &user_id));
    }
    HR_TRY(add_system(norm, shape, f, is_scalar));
    HR_TRY(propagate(norm, shape, f, ext, &below));
    if (shape->root_like && link != NULL) {
        link->list_index = is_scalar ? HR_NO_LOAD_ID : 0;
    }
    bool is_empty = false;
    HR_TRY(norm->options.rules.find == NULL ? HR_OK : filter_row(norm, shape, f, &is_empty));
    if (is_empty || (norm->options.fixed_schema && is_discarded(norm, shape, f))) {
        return HR_OK;
    }
    bool discarded = false;
    for (size_t i = 0; i < f->fields.n; i++) {
        const field *one = &f->fields.fields[i];
        int rc = one->left_out ? HR_OK : coerce_field(norm, shape, one, &row);
        discarded = discarded || rc == ROW_DISCARDED;
        HR_TRY(rc == ROW_DISCARDED ? HR_OK : rc);
    }
    if (discarded) { /* dlt still adds what else is new in the row */
        return check_fixed(norm, shape, &row);
    }
    HR_TRY(row_emit(norm, shape, &row, link, &number));
    if (shape->root_like) {
        HR_TRY(set_row_id(norm, shape, f, number, user_id, source));
    }
    for (size_t i = 0; i < f->lists.n; i++) {
        HR_TRY(emit_list(norm, f->lists.lists[i].shape, f->lists.lists[i].value, shape->table, number, &below));
    }
    return HR_OK;
}

static int flatten_waiting(hr_normalizer *norm, flat *f) {
    while (f->n_stack > 0) { /* the last one first: dlt >= 1.23 */
        waiting next = f->stack[--f->n_stack];
        HR_TRY(flatten_object(norm, f, next.nd, next.object, NULL));
    }
    return HR_OK;
}

/* Recursion: a list in a row in a list: bounded by the document's depth. */
static int emit_list(hr_normalizer *norm, table_shape *shape, value_ref list, int32_t parent_table, uint32_t parent_row,
                     const extend *ext) {
    const hr_doc *doc = list.doc;
    size_t at = list.at + 1;
    hr__shape_resolve(norm, shape);
    for (uint32_t i = 0; i < doc->toks[list.at].len && !shape->discard; i++) {
        flat f = {0};
        row_link link = {parent_table, parent_row, i};
        value_ref value = {doc, at};
        id_source source = {.value = value, .wrap = doc->toks[at].type == HR_TOK_ARRAY ? "list" : "value"};
        bool is_scalar = doc->toks[at].type < HR_TOK_ARRAY;
        if (doc->toks[at].type == HR_TOK_OBJECT) {
            HR_TRY(flatten_object(norm, &f, shape->rows, value, NULL));
        } else if (doc->toks[at].type == HR_TOK_ARRAY) {
            node *lists;
            HR_TRY(hr__shape_lists(norm, shape, &lists));
            HR_TRY(flatten_member(norm, &f, lists, hr__str("list"), value));
        } else {
            entry *e;
            HR_TRY(hr__node_entry(norm, shape->rows, hr__str("value"), &e));
            HR_TRY(map_set(norm, &f.fields, &(field){.name = e->full, .value = value, .from = e}));
        }
        HR_TRY(flatten_waiting(norm, &f));
        HR_TRY(emit_flat(norm, shape, &f, &link, ext, is_scalar, &source));
        at = hr__doc_next(doc, at);
    }
    return HR_OK;
}

int hr__reference_record(hr_normalizer *norm, const hr_records *records, size_t record) {
    flat f = {0};
    value_ref value = {records->doc, records->at[record]};
    table_shape *root = norm->root;
    hr__shape_resolve(norm, root);
    if (value.doc->toks[value.at].type == HR_TOK_OBJECT) {
        HR_TRY(flatten_object(norm, &f, root->rows, value, records->extra));
    } else {
        HR_TRY(flatten_member(norm, &f, root->rows, hr__str("value"), value));
    }
    HR_TRY(flatten_waiting(norm, &f));
    id_source source = {.value = value, .wrap = "value", .extra = records->extra};
    return emit_flat(norm, root, &f, NULL, &(extend){0}, false, &source);
}
