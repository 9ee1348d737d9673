/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver: shapes, rows and cells that both ways write, row ids, and one page from begin to end.
 */
#include "core.h"

#include "coerce_number.h"
#include "doc_write.h"
#include "nested_id.h"
#include "typed_text.h"

#include <stdio.h>
#include <stdlib.h>

/* ---------------------------------------------------------------------------------------------------- life */

int hr__normalizer_new(const hr_normalize_options *options, hr_schema *schema, hr_normalizer **normalizer_out,
                       hr_error *err) {
    hr_normalizer *norm = hr__calloc(options->alloc, 1, sizeof *norm);
    if (norm == NULL) {
        return hr__error_memory(err, HR_STAGE_NORMALIZE);
    }
    norm->options = *options;
    norm->schema = schema;
    norm->load_id_tok =
        (hr_tok){.type = HR_TOK_STRING, .len = (uint32_t)options->load_id.size_bytes, .as.str = options->load_id.data};
    norm->load_id.toks = &norm->load_id_tok;
    norm->options.id_bytes = options->id_bytes == 0 ? HR_ID_BYTES : options->id_bytes;
    norm->id_chars = (norm->options.id_bytes * 4 + 2) / 3;
    norm->id_names[norm->n_id_names++] = hr__str("_dlt_root_id");
    for (size_t i = 0; i < options->n_propagations; i++) {
        const hr_propagation *propagation = &options->propagations[i];
        if (!hr__str_eq(propagation->from, hr__str("_dlt_id"))) {
            norm->options.reference_only = true; /* values that the fast path does not carry along */
        } else if (hr__id_name_bit(norm, propagation->as) == 0) {
            if (norm->n_id_names == HR_ID_NAMES) {
                hr__free(options->alloc, norm);
                return hr__error_set(err, HR_LIMIT, HR_STAGE_NORMALIZE,
                                     "row ids are propagated under more than %d names", HR_ID_NAMES);
            }
            norm->id_names[norm->n_id_names++] = propagation->as;
            norm->options.reference_only |= options->rules.find != NULL; /* a row filter may leave the name out */
        }
    }
    hr__arena_init(&norm->arena, options->alloc, 0);
    hr__arena_init(&norm->scratch, options->alloc, 0);
    hr__buf_init(&norm->text, options->alloc, 0);
    *normalizer_out = norm;
    return HR_OK;
}

void hr__normalizer_forget(hr_normalizer *norm) {
    hr__arena_reset(&norm->arena);
    norm->root = NULL;
    norm->shapes = NULL;
    norm->n_shapes = norm->cap_shapes = 0;
    norm->n_keys = 0;
    norm->nulls = NULL;
    norm->n_nulls = norm->cap_nulls = norm->null_mark = 0;
}

void hr__normalizer_free(hr_normalizer *norm) {
    if (norm == NULL) {
        return;
    }
    const hr_allocator *alloc = norm->options.alloc;
    for (size_t i = 0; i < norm->n_rows; i++) {
        hr__free(alloc, norm->rows[i].links);
        hr__free(alloc, norm->rows[i].ids);
        hr__free(alloc, norm->rows[i].id_sizes);
    }
    hr__free(alloc, norm->rows);
    hr__free(alloc, norm->touched);
    hr__buf_free(&norm->text);
    hr__arena_free(&norm->scratch);
    hr__arena_free(&norm->arena);
    hr__free(alloc, norm);
}

void hr__normalizer_stats(const hr_normalizer *norm, hr_normalize_stats *stats_out) {
    *stats_out = norm->stats;
}

int hr__norm_name(hr_normalizer *norm, hr_name_kind kind, const hr_str *parts, size_t n_parts, hr_arena *arena,
                  hr_str *name_out) {
    size_t max_length = norm->options.max_length;
    if (norm->options.naming.name != NULL) {
        return norm->options.naming.name(norm->options.naming.ctx, kind, parts, n_parts, arena, name_out, norm->err);
    }
    int rc = kind == HR_NAME_COLUMN ? hr__name_column(arena, parts[0], max_length, name_out)
             : kind == HR_NAME_PATH ? hr__name_path(arena, parts[0], max_length, name_out)
                                    : hr__name_join(arena, parts, n_parts, max_length, name_out);
    return rc == HR_OK ? HR_OK : hr__norm_memory(norm);
}

void hr__norm_place(hr_normalizer *norm, hr_str table, hr_str column) {
    snprintf(norm->err->table, sizeof norm->err->table, "%.*s", (int)table.size_bytes, table.data);
    snprintf(norm->err->column, sizeof norm->err->column, "%.*s", (int)column.size_bytes,
             column.data == NULL ? "" : column.data);
}

/* ---------------------------------------------------------------------------------------------------- shapes */

static int copy_parts(hr_arena *arena, const hr_str *a, size_t n_a, const hr_str *b, size_t n_b, hr_str **out) {
    hr_str *parts = hr__arena_alloc(arena, (n_a + n_b + 1) * sizeof *parts);
    if (parts == NULL) {
        return HR_MEMORY;
    }
    if (n_a != 0) {
        memcpy(parts, a, n_a * sizeof *parts);
    }
    if (n_b != 0) {
        memcpy(parts + n_a, b, n_b * sizeof *parts);
    }
    *out = parts;
    return HR_OK;
}

/* The parts with 0x1F behind each: equal for equal tuples. */
static int tuple_key(hr_arena *arena, const hr_str *parts, size_t n_parts, hr_str *out) {
    size_t size = 0;
    for (size_t i = 0; i < n_parts; i++) {
        size += parts[i].size_bytes + 1;
    }
    char *text = hr__arena_alloc(arena, size);
    if (text == NULL) {
        return HR_MEMORY;
    }
    *out = (hr_str){text, size};
    for (size_t i = 0; i < n_parts; i++) {
        memcpy(text, parts[i].data, parts[i].size_bytes);
        text += parts[i].size_bytes;
        *text++ = 0x1F;
    }
    return HR_OK;
}

/* Place of the name in the table of shapes: its shape's, or an empty one. */
static size_t shape_slot(const hr_normalizer *norm, hr_str name) {
    size_t at = hr__str_hash(name) & (norm->cap_shapes - 1);
    while (norm->shapes[at] != NULL && !hr__str_eq(norm->shapes[at]->name, name)) {
        at = (at + 1) & (norm->cap_shapes - 1);
    }
    return at;
}

static bool has_column(const hr_normalizer *norm, int32_t table, hr_str name) {
    int32_t column = hr__schema_find_column(norm->schema, table, name);
    return column >= 0 && norm->schema->tables[table].columns[column].type != HR_TYPE_UNSET;
}

uint8_t hr__id_name_bit(const hr_normalizer *norm, hr_str column) {
    for (size_t i = 0; i < norm->n_id_names; i++) {
        if (hr__str_eq(norm->id_names[i], column)) {
            return (uint8_t)(1u << i);
        }
    }
    return 0;
}

/* Whether the table has the columns for the ids that its rows get from above. */
static bool has_id_columns(const hr_normalizer *norm, const table_shape *shape) {
    for (size_t i = 0; i < norm->n_id_names; i++) {
        if ((shape->takes_id >> i & 1) != 0 && !has_column(norm, shape->table, norm->id_names[i])) {
            return false;
        }
    }
    return true;
}

void hr__shape_resolve(hr_normalizer *norm, table_shape *shape) {
    if (shape->ready || shape->version == norm->schema->version) {
        return;
    }
    shape->version = norm->schema->version;
    if (shape->table < 0) {
        shape->table = hr__schema_find(norm->schema, shape->name);
    }
    shape->discard = shape->table >= 0 && norm->schema->tables[shape->table].discard;
    shape->root_like = shape->parent == NULL || (shape->table >= 0 && norm->schema->tables[shape->table].parent < 0);
    if (shape->table < 0 || (shape->parent == NULL && norm->schema->tables[shape->table].parent >= 0)) {
        return;
    }
    bool is_shared = shape->same_name != NULL || norm->shapes[shape_slot(norm, shape->name)] != shape;
    shape->loads = has_column(norm, shape->table, hr__str("_dlt_load_id"));
    shape->ready =
        !is_shared && has_column(norm, shape->table, hr__str("_dlt_id")) &&
        (shape->parent == NULL ? shape->loads
                               : shape->root_like || (has_column(norm, shape->table, hr__str("_dlt_parent_id")) &&
                                                      has_column(norm, shape->table, hr__str("_dlt_list_idx")))) &&
        has_id_columns(norm, shape);
}

bool hr__shape_propagates(const hr_normalizer *norm, const table_shape *shape, const hr_propagation *propagation) {
    if (propagation->table.size_bytes != 0) {
        return hr__str_eq(propagation->table, shape->name);
    }
    for (size_t i = 0; i < norm->options.n_propagations; i++) {
        const hr_propagation *own = &norm->options.propagations[i];
        if (own->table.size_bytes != 0 && hr__str_eq(own->table, shape->name) &&
            hr__str_eq(own->from, propagation->from)) {
            return false;
        }
    }
    return shape->root_like;
}

/* Which ids go where; known when the shape is made, since tables that are broken out are in the schema before. */
static void shape_link_ids(hr_normalizer *norm, table_shape *shape) {
    shape->passes_id = norm->options.root_key && shape->parent == NULL ? HR_ROOT_ID : 0;
    for (size_t i = 0; i < norm->options.n_propagations; i++) {
        const hr_propagation *propagation = &norm->options.propagations[i];
        if (hr__str_eq(propagation->from, hr__str("_dlt_id")) && hr__shape_propagates(norm, shape, propagation)) {
            shape->passes_id |= hr__id_name_bit(norm, propagation->as);
        }
    }
}

static int node_new(hr_normalizer *norm, table_shape *shape, const hr_str *path, size_t n_path, int32_t level,
                    node **node_out) {
    node *nd = hr__arena_alloc(&norm->arena, sizeof *nd);
    if (nd == NULL) {
        return hr__norm_memory(norm);
    }
    *nd = (node){.shape = shape, .n_path = n_path, .level = level};
    if (copy_parts(&norm->arena, path, n_path, NULL, 0, &nd->path) != HR_OK) {
        return hr__norm_memory(norm);
    }
    *node_out = nd;
    return HR_OK;
}

/* Room for one shape more in the table of names. */
static int shapes_grow(hr_normalizer *norm) {
    if ((norm->n_shapes + 1) * 2 <= norm->cap_shapes) {
        return HR_OK;
    }
    size_t old_cap = norm->cap_shapes, cap = old_cap == 0 ? 16 : old_cap * 2;
    table_shape **old = norm->shapes, **shapes = hr__arena_alloc(&norm->arena, cap * sizeof(table_shape *));
    if (shapes == NULL) {
        return hr__norm_memory(norm);
    }
    memset(shapes, 0, cap * sizeof(table_shape *));
    norm->shapes = shapes;
    norm->cap_shapes = cap;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i] != NULL) {
            shapes[shape_slot(norm, old[i]->name)] = old[i];
        }
    }
    return HR_OK;
}

/* A table whose rows hang on rows of itself: dlt makes that of a list under a key without letters. */
static int refuse_own_parent(hr_normalizer *norm, const table_shape *parent, hr_str name) {
    for (; parent != NULL; parent = parent->parent) {
        if (hr__str_eq(parent->name, name)) {
            hr__error_set(norm->err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE,
                          "a list under a blank key would become rows of its own parent table: not supported natively");
            hr__norm_place(norm, name, (hr_str){NULL, 0});
            return HR_UNSUPPORTED;
        }
    }
    return HR_OK;
}

/* Puts a shape among those of its name: none of several may be written by the fast path, since their rows meet in one
 * table in dlt's order. */
static void shape_link(hr_normalizer *norm, table_shape *shape) {
    table_shape **slot = &norm->shapes[shape_slot(norm, shape->name)];
    norm->n_shapes += *slot == NULL;
    shape->same_name = *slot;
    for (table_shape *other = *slot; other != NULL; other = other->same_name) {
        other->ready = false;
    }
    *slot = shape;
}

int hr__shape_get(hr_normalizer *norm, table_shape *parent, const hr_str *path, size_t n_path, int32_t level,
                  table_shape **shape_out) {
    hr_arena *arena = &norm->arena;
    table_shape shape = {.parent = parent, .table = -1, .level = level, .version = UINT64_MAX};
    shape.n_parts = (parent == NULL ? 0 : parent->n_parts) + n_path;
    if (tuple_key(arena, path, n_path, &shape.path_key) != HR_OK ||
        copy_parts(arena, parent == NULL ? NULL : parent->parts, parent == NULL ? 0 : parent->n_parts, path, n_path,
                   &shape.parts) != HR_OK) {
        return hr__norm_memory(norm);
    }
    HR_TRY(hr__norm_name(norm, HR_NAME_JOIN, shape.parts, shape.n_parts, arena, &shape.name));
    HR_TRY(refuse_own_parent(norm, parent, shape.name));
    HR_TRY(shapes_grow(norm));
    for (table_shape *at = norm->shapes[shape_slot(norm, shape.name)]; at != NULL; at = at->same_name) {
        if (at->parent == parent && at->level == level && hr__str_eq(at->path_key, shape.path_key)) {
            *shape_out = at;
            return HR_OK;
        }
    }
    table_shape *out = hr__arena_alloc(arena, sizeof *out);
    if (out == NULL) {
        return hr__norm_memory(norm);
    }
    *out = shape;
    HR_TRY(hr__shape_rules(norm, out));
    HR_TRY(node_new(norm, out, NULL, 0, level, &out->rows));
    shape_link(norm, out);
    out->takes_id = parent == NULL ? 0 : parent->passes_id | parent->takes_id;
    hr__shape_resolve(norm, out);
    shape_link_ids(norm, out);
    *shape_out = out;
    return HR_OK;
}

entry *hr__node_find(const node *nd, hr_str key) {
    if (nd->cap_index == 0) {
        return NULL;
    }
    size_t mask = nd->cap_index - 1;
    for (size_t at = hr__str_hash(key) & mask; nd->index[at] != 0; at = (at + 1) & mask) {
        entry *e = nd->entries[nd->index[at] - 1];
        if (hr__str_eq(e->key, key)) {
            return e;
        }
    }
    return NULL;
}

/* Doubles an arena array; the old one stays until forget. */
static int arena_grow(hr_arena *arena, void **array, size_t *cap, size_t n, size_t elem_bytes) {
    if (n < *cap) {
        return HR_OK;
    }
    size_t more = *cap == 0 ? 8 : *cap * 2;
    void *grown = hr__arena_alloc(arena, more * elem_bytes);
    if (grown == NULL) {
        return HR_MEMORY;
    }
    if (n != 0) {
        memcpy(grown, *array, n * elem_bytes);
    }
    *array = grown;
    *cap = more;
    return HR_OK;
}

static int node_add(hr_normalizer *norm, node *nd, entry *e) {
    HR_TRY(arena_grow(&norm->arena, (void **)&nd->entries, &nd->cap_entries, nd->n_entries, sizeof *nd->entries));
    if ((nd->n_entries + 1) * 2 > nd->cap_index) {
        size_t cap = nd->cap_index == 0 ? 16 : nd->cap_index * 2;
        uint32_t *index = hr__arena_alloc(&norm->arena, cap * sizeof *index);
        if (index == NULL) {
            return HR_MEMORY;
        }
        memset(index, 0, cap * sizeof *index);
        for (size_t i = 0; i < nd->n_entries; i++) {
            size_t at = hr__str_hash(nd->entries[i]->key) & (cap - 1);
            while (index[at] != 0) {
                at = (at + 1) & (cap - 1);
            }
            index[at] = (uint32_t)i + 1;
        }
        nd->index = index;
        nd->cap_index = cap;
    }
    size_t at = hr__str_hash(e->key) & (nd->cap_index - 1);
    while (nd->index[at] != 0) {
        at = (at + 1) & (nd->cap_index - 1);
    }
    nd->entries[nd->n_entries++] = e;
    nd->index[at] = (uint32_t)nd->n_entries;
    return HR_OK;
}

/* Registers e's full name in its shape; a name that is there already makes both entries slow. */
static int shape_register(hr_normalizer *norm, table_shape *shape, entry *e) {
    if ((shape->n_names + 1) * 2 > shape->cap_names) {
        size_t cap = shape->cap_names == 0 ? 32 : shape->cap_names * 2;
        entry **names = hr__arena_alloc(&norm->arena, cap * sizeof *names);
        if (names == NULL) {
            return HR_MEMORY;
        }
        memset(names, 0, cap * sizeof *names);
        for (size_t i = 0; i < shape->cap_names; i++) {
            if (shape->names[i] == NULL) {
                continue;
            }
            size_t at = hr__str_hash(shape->names[i]->full) & (cap - 1);
            while (names[at] != NULL) {
                at = (at + 1) & (cap - 1);
            }
            names[at] = shape->names[i];
        }
        shape->names = names;
        shape->cap_names = cap;
    }
    size_t at = hr__str_hash(e->full) & (shape->cap_names - 1);
    for (; shape->names[at] != NULL; at = (at + 1) & (shape->cap_names - 1)) {
        if (hr__str_eq(shape->names[at]->full, e->full)) {
            shape->names[at]->slow = true;
            e->slow = true;
            return HR_OK;
        }
    }
    shape->names[at] = e;
    shape->n_names++;
    return HR_OK;
}

static bool is_dlt_name(hr_str name) {
    return name.size_bytes >= 5 && memcmp(name.data, "_dlt_", 5) == 0;
}

int hr__variant_name(hr_normalizer *norm, int32_t table, hr_str column, hr_type type, hr_arena *arena,
                     hr_str *name_out) {
    char suffix[16];
    if (type == HR_TYPE_JSON && table >= 0) {
        const hr_str old[2] = {column, hr__str("v_complex")};
        hr_str name;
        HR_TRY(hr__norm_name(norm, HR_NAME_JOIN, old, 2, &norm->scratch, &name));
        int32_t at = hr__schema_find_column(norm->schema, table, name);
        if (at >= 0 && (norm->schema->tables[table].columns[at].flags & HR_COL_VARIANT) != 0) {
            *name_out = norm->schema->tables[table].columns[at].name;
            return HR_OK;
        }
    }
    int size = snprintf(suffix, sizeof suffix, "v_%s", hr__type_name(type));
    const hr_str parts[2] = {column, {suffix, (size_t)size}};
    return hr__norm_name(norm, HR_NAME_JOIN, parts, 2, arena, name_out);
}

void hr__entry_resolve(hr_normalizer *norm, const node *nd, entry *e) {
    const hr_schema *schema = norm->schema;
    int32_t table = nd->shape->table;
    if (e->column >= 0 || e->version == schema->version) {
        return;
    }
    e->version = schema->version;
    int32_t column = table < 0 ? -1 : hr__schema_find_column(schema, table, e->full);
    uint8_t type = column < 0 ? HR_TYPE_UNSET : schema->tables[table].columns[column].type;
    bool json = type == HR_TYPE_UNSET ? (e->rules & HR_RULE_JSON) != 0 : type == HR_TYPE_JSON;
    e->as_json = nd->level <= 0 || json;
    if (column < 0 || (e->rules & HR_RULE_LEFT_OUT) != 0) {
        return;
    }
    const hr_column *spec = &schema->tables[table].columns[column];
    e->not_null = (spec->flags & (HR_COL_NOT_NULL | HR_COL_DISCARD_ROW)) != 0; /* the reference drops the row */
    e->discard = (spec->flags & HR_COL_DISCARD_VALUE) != 0;
    if (type != HR_TYPE_UNSET) {
        e->column = column;
        e->type = spec->limit == 0 ? type : HR_TYPE_UNSET; /* each value is looked at */
    }
}

int32_t hr__entry_variant(hr_normalizer *norm, const node *nd, entry *e, hr_type type) {
    const hr_schema *schema = norm->schema;
    if (type > HR_TYPE_JSON) {
        return -1; /* typed text: the reference's */
    }
    if (e->variants == NULL || (e->variants[type] < 0 && e->version != schema->version)) {
        int32_t *variants = e->variants;
        if (variants == NULL) {
            variants = hr__arena_alloc(&norm->arena, (HR_TYPE_JSON + 1) * sizeof *variants);
        }
        if (variants == NULL) {
            return -1; /* the reference then looks again, or fails too */
        }
        for (hr_type of = HR_TYPE_UNSET; of <= HR_TYPE_JSON; of++) {
            hr_str name;
            variants[of] = -1;
            if (of == HR_TYPE_UNSET || of == HR_TYPE_TIMESTAMP ||
                hr__variant_name(norm, nd->shape->table, e->full, of, &norm->scratch, &name) != HR_OK) {
                continue;
            }
            int32_t variant = hr__schema_find_column(schema, nd->shape->table, name);
            if (variant >= 0 && schema->tables[nd->shape->table].columns[variant].type != HR_TYPE_UNSET) {
                variants[of] = variant;
            }
        }
        e->variants = variants;
        e->version = schema->version;
    }
    return e->variants[type];
}

/* dlt fails on a lone surrogate (here in its three bytes) wherever it stands: orjson does not write it. */
static int refuse_surrogates(hr_normalizer *norm, const node *nd, hr_str key) {
    for (size_t i = 0; i + 1 < key.size_bytes; i++) {
        if ((unsigned char)key.data[i] == 0xED && (unsigned char)key.data[i + 1] >= 0xA0) {
            hr__error_set(norm->err, HR_ENCODING, HR_STAGE_NORMALIZE,
                          "a key holds a lone surrogate, which is not text");
            hr__norm_place(norm, nd->shape->name, (hr_str){NULL, 0});
            return HR_ENCODING;
        }
    }
    return HR_OK;
}

int hr__node_entry(hr_normalizer *norm, node *nd, hr_str key, entry **entry_out) {
    entry *e = hr__node_find(nd, key);
    if (e != NULL) {
        *entry_out = e;
        return HR_OK;
    }
    HR_TRY(refuse_surrogates(norm, nd, key));
    hr_arena *arena = &norm->arena;
    e = hr__arena_alloc(arena, sizeof *e);
    if (e == NULL) {
        return hr__norm_memory(norm);
    }
    *e = (entry){.key_slot = -1, .column = -1, .version = UINT64_MAX};
    char *copy = hr__arena_copy(arena, key.data, key.size_bytes);
    if (copy == NULL) {
        return hr__norm_memory(norm);
    }
    e->key = (hr_str){copy, key.size_bytes};
    HR_TRY(hr__norm_name(norm, HR_NAME_COLUMN, &e->key, 1, arena, &e->part));
    HR_TRY(hr__norm_name(norm, HR_NAME_PATH, &e->key, 1, arena, &e->list_part));
    e->full = e->part;
    if (nd->n_path != 0) {
        hr_str *parts;
        if (copy_parts(&norm->scratch, nd->path, nd->n_path, &e->part, 1, &parts) != HR_OK) {
            return hr__norm_memory(norm);
        }
        HR_TRY(hr__norm_name(norm, HR_NAME_JOIN, parts, nd->n_path + 1, arena, &e->full));
    }
    e->slow = is_dlt_name(e->full) || e->full.size_bytes == 0 || hr__id_name_bit(norm, e->full) != 0;
    HR_TRY(hr__rules_find(norm, nd->shape->name, e->full, &e->rules));
    e->discard = (e->rules & HR_RULE_LEFT_OUT) != 0;
    e->not_null = !e->discard && (e->rules & HR_RULE_NOT_NULL) != 0;
    if (nd->shape == norm->root) {
        for (size_t i = 0; i < norm->n_keys; i++) {
            if (hr__str_eq(norm->key_names[i], e->full)) {
                e->key_slot = (int32_t)i;
            }
        }
    }
    if (shape_register(norm, nd->shape, e) != HR_OK || node_add(norm, nd, e) != HR_OK) {
        return hr__norm_memory(norm);
    }
    if (hr__str_eq(key, hr__str("value"))) {
        nd->value = e;
    }
    hr__entry_resolve(norm, nd, e);
    *entry_out = e;
    return HR_OK;
}

int hr__entry_null(hr_normalizer *norm, const table_shape *shape, entry *e) {
    if (arena_grow(&norm->arena, (void **)&norm->nulls, &norm->cap_nulls, norm->n_nulls, sizeof *norm->nulls) !=
        HR_OK) {
        return hr__norm_memory(norm);
    }
    norm->nulls[norm->n_nulls].table = shape->name;
    norm->nulls[norm->n_nulls++].from = e;
    e->null_seen = true;
    return HR_OK;
}

bool hr__normalizer_null_column(const hr_normalizer *norm, size_t n, hr_str *table_out, hr_str *column_out) {
    if (n >= norm->n_nulls) {
        return false;
    }
    *table_out = norm->nulls[n].table;
    *column_out = norm->nulls[n].from->full;
    return true;
}

int hr__entry_object(hr_normalizer *norm, node *nd, entry *e, node **node_out) {
    if (e->object == NULL) {
        hr_str *path;
        if (copy_parts(&norm->scratch, nd->path, nd->n_path, &e->part, 1, &path) != HR_OK) {
            return hr__norm_memory(norm);
        }
        HR_TRY(node_new(norm, nd->shape, path, nd->n_path + 1, nd->level - 1, &e->object));
    }
    *node_out = e->object;
    return HR_OK;
}

/* Levels: rows of a list run at the level of the row that holds it minus one, whatever object in the row it is in
 * (rule 21): the row's top node has it. */
static int32_t row_level(const node *nd) {
    return nd->level + (int32_t)nd->n_path;
}

int hr__entry_list(hr_normalizer *norm, node *nd, entry *e, table_shape **shape_out) {
    if (e->list == NULL) {
        hr_str *path;
        table_shape *shape;
        if (copy_parts(&norm->scratch, nd->path, nd->n_path, &e->list_part, 1, &path) != HR_OK) {
            return hr__norm_memory(norm);
        }
        HR_TRY(hr__shape_get(norm, nd->shape, path, nd->n_path + 1, row_level(nd) - 1, &shape));
        e->list = shape;
    }
    *shape_out = e->list;
    return HR_OK;
}

int hr__shape_lists(hr_normalizer *norm, table_shape *shape, node **node_out) {
    if (shape->lists == NULL) {
        HR_TRY(node_new(norm, shape, NULL, 0, shape->level - 1, &shape->lists));
    }
    *node_out = shape->lists;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- rows, cells */

int hr__rows_match(hr_normalizer *norm) {
    const hr_allocator *alloc = norm->options.alloc;
    size_t n_tables = norm->schema->n_tables;
    hr_batch *batch = norm->batch;
    if (norm->matched_version == norm->schema->version) {
        return HR_OK;
    }
    if (hr__grow(alloc, (void **)&norm->rows, &norm->cap_rows, n_tables, sizeof *norm->rows) != HR_OK ||
        hr__grow(alloc, (void **)&norm->touched, &norm->cap_touched, n_tables, sizeof *norm->touched) != HR_OK ||
        hr__grow(batch->alloc, (void **)&batch->tables, &batch->cap_tables, n_tables, sizeof *batch->tables) != HR_OK) {
        return hr__norm_memory(norm);
    }
    for (; norm->n_rows < n_tables; norm->n_rows++) {
        norm->rows[norm->n_rows] = (table_rows){0};
    }
    for (; batch->n_tables < n_tables; batch->n_tables++) {
        batch->tables[batch->n_tables] = (hr_batch_table){0};
    }
    for (size_t t = 0; t < n_tables; t++) {
        hr_batch_table *tbl = &batch->tables[t];
        size_t n_columns = norm->schema->tables[t].n_columns;
        if (tbl->n_columns == n_columns) {
            continue;
        }
        if (hr__grow(batch->alloc, (void **)&tbl->columns, &tbl->cap_columns, n_columns, sizeof *tbl->columns) !=
            HR_OK) {
            return hr__norm_memory(norm);
        }
        for (; tbl->n_columns < n_columns; tbl->n_columns++) {
            tbl->columns[tbl->n_columns] = (hr_batch_column){0};
        }
    }
    norm->matched_version = norm->schema->version;
    return HR_OK;
}

int hr__row_begin(hr_normalizer *norm, int32_t table, const row_link *link, uint32_t *row_out) {
    hr_batch_table *tbl = &norm->batch->tables[table];
    table_rows *rows = &norm->rows[table];
    if (tbl->n_rows >= UINT32_MAX - 1) {
        return hr__error_set(norm->err, HR_LIMIT, HR_STAGE_NORMALIZE,
                             "a page makes more than 4 billion rows of a table");
    }
    if (!rows->touched) {
        rows->touched = true;
        rows->mark = tbl->n_rows;
        norm->touched[norm->n_touched++] = table;
    }
    if (link != NULL) {
        if (HR_UNLIKELY(tbl->n_rows >= rows->cap_links) &&
            hr__grow(norm->options.alloc, (void **)&rows->links, &rows->cap_links, tbl->n_rows + 1,
                     sizeof *rows->links) != HR_OK) {
            return hr__norm_memory(norm);
        }
        rows->links[tbl->n_rows] = *link;
    }
    *row_out = (uint32_t)tbl->n_rows++;
    return HR_OK;
}

int hr__column_grow(hr_normalizer *norm, hr_batch_column *column, uint8_t type, size_t row) {
    const hr_allocator *alloc = norm->batch->alloc;
    size_t cap = column->cap_cells, cap_valid = column->cap_cells;
    if (hr__schema_has_text(norm->schema, type)) {
        size_t cap_sizes = column->sizes == NULL ? 0 : column->cap_cells;
        size_t n_sizes = column->sizes == NULL && column->cap_cells > row + 1 ? column->cap_cells : row + 1;
        if (hr__grow(alloc, (void **)&column->sizes, &cap_sizes, n_sizes, sizeof *column->sizes) != HR_OK) {
            return hr__norm_memory(norm);
        }
    }
    if (hr__grow(alloc, (void **)&column->valid, &cap_valid, row + 1, 1) != HR_OK ||
        hr__grow(alloc, (void **)&column->cells, &cap, row + 1, sizeof *column->cells) != HR_OK) {
        return hr__norm_memory(norm);
    }
    column->cap_cells = cap;
    return HR_OK;
}

int hr__cell_slow(hr_normalizer *norm, int32_t table, int32_t column, uint32_t row, hr_cell cell, uint32_t size) {
    hr_batch_column *to = &norm->batch->tables[table].columns[column];
    uint8_t type = norm->schema->tables[table].columns[column].type;
    if (to->n_cells > row) {
        return WALK_BAIL;
    }
    if (row >= to->cap_cells || (hr__schema_has_text(norm->schema, type) && to->sizes == NULL)) {
        HR_TRY(hr__column_grow(norm, to, type, row));
    }
    if (to->n_cells < row) {
        memset(to->valid + to->n_cells, 0, row - to->n_cells);
        to->any_null = true;
    }
    to->cells[row] = cell;
    to->valid[row] = 1;
    if (hr__schema_has_text(norm->schema, type)) {
        to->sizes[row] = size;
        to->text_bytes += size;
    }
    to->n_cells = (size_t)row + 1;
    return HR_OK;
}

/* Whether datetime.isoformat wrote an offset. */
static bool has_offset(hr_str text) {
    const char *end = text.data + text.size_bytes;
    return text.size_bytes > 6 && (end[-6] == '+' || end[-6] == '-') && end[-3] == ':';
}

/* A value that the caller takes itself: versions of dlt make different ones of it. */
static bool is_left(const hr_normalize_options *options, hr_type type, const hr_doc *doc, size_t at) {
    const hr_tok *tok = &doc->toks[at];
    if (type == HR_TYPE_DECIMAL || type > HR_TYPE_BINARY) {
        return options->leave_double_decimals && tok->type == HR_TOK_DOUBLE;
    }
    hr_str text = {tok->as.str, tok->len};
    if (tok->type >= HR_TOK_ARRAY && options->leave_typed_moments) {
        return hr__doc_has_marked(doc, at);
    }
    if (tok->type != HR_TOK_STRING || HR_LIKELY(!hr__text_is_marked(text))) {
        return false;
    }
    return type == HR_TYPE_TIMESTAMP
               ? options->leave_typed_timestamps || (options->leave_naive_timestamps && !has_offset(text))
               : options->leave_typed_moments && hr__typed_text_type(text) == HR_TYPE_TIMESTAMP;
}

/* HexBytes show in text files as other bytes do not; of a Wei beyond BigQuery's numbers dlt makes another column. */
static bool is_odd(const hr_normalizer *norm, hr_type type, const hr_tok *tok, hr_arena *arena) {
    hr_str text = {tok->as.str, tok->len}, digits;
    bool marked = tok->type == HR_TOK_STRING && hr__text_is_marked(text);
    if (type == HR_TYPE_BINARY) {
        return norm->schema->for_text && marked && hr__typed_text_is_hex(text);
    }
    text = marked ? hr__typed_text_value(text) : text;
    return type == HR_TYPE_WEI && tok->type == HR_TOK_STRING &&
           hr__text_decimal_digits(arena, text, 2 * HR_DECIMAL_DIGITS, HR_DECIMAL_DIGITS, &digits) == HR_RANGE;
}

/* Whether a value that is JSON is text of neither a list nor an object. */
static bool is_json_scalar(const hr_tok *tok) {
    size_t i = 0;
    if (tok->type != HR_TOK_STRING) {
        return false;
    }
    while (i < tok->len && strchr(" \t\n\r", tok->as.str[i]) != NULL) {
        i++;
    }
    return i == tok->len || (tok->as.str[i] != '[' && tok->as.str[i] != '{');
}

/* Nanoseconds in 64 bits: 1677-09-21T00:12:43.145225 to 2262-04-11T23:47:16.854775, in microseconds. */
#define NANOS_MAX_MICROS ((int64_t)9223372036854775)

/* Whether a cell is one that its column's load file holds. */
static bool is_within(const hr_column *column, hr_cell cell, uint32_t size) {
    int64_t most;
    switch (column->type) {
    case HR_TYPE_BIGINT:
        most = (int64_t)1 << (column->limit - 1);
        return cell.i >= -most && cell.i < most;
    case HR_TYPE_TIMESTAMP:
        return cell.i >= -NANOS_MAX_MICROS && cell.i <= NANOS_MAX_MICROS;
    default:
        return size == column->limit;
    }
}

int hr__column_coerce(hr_normalizer *norm, const hr_column *column, hr_type type, const hr_doc *doc, size_t at,
                      hr_cell *cell_out, uint32_t *size_out, hr_error *err) {
    hr_arena *arena = &norm->batch->arena;
    if (HR_UNLIKELY(norm->options.no_coercion) &&
        hr__value_type(&doc->toks[at]) != (type == HR_TYPE_WIDE ? HR_TYPE_DECIMAL : type)) {
        return HR_COERCE;
    }
    if (HR_UNLIKELY(is_left(&norm->options, type, doc, at)) ||
        (HR_UNLIKELY(type >= HR_TYPE_BINARY) && is_odd(norm, type, &doc->toks[at], arena))) {
        return hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE, "a %s value is left to the caller",
                             hr__type_name(type));
    }
    bool wide = type > HR_TYPE_BINARY;
    if (HR_UNLIKELY((type == HR_TYPE_DECIMAL || wide) && norm->schema->for_text)) {
        return hr__coerce_decimal_text(doc, at, type, arena, cell_out, size_out, err);
    }
    if (HR_UNLIKELY(wide)) {
        bool is_new = column == NULL || column->type != type;
        return hr__coerce_wide(doc, at, type, is_new ? norm->schema->wei_precision : column->precision,
                               is_new ? norm->schema->wei_scale : column->scale, arena, cell_out, size_out, err);
    }
    if (HR_UNLIKELY(type == HR_TYPE_DECIMAL)) {
        bool is_new = column == NULL || column->type != HR_TYPE_DECIMAL;
        return hr__coerce_decimal(doc, at, is_new ? HR_DECIMAL_PRECISION : column->precision,
                                  is_new ? HR_DECIMAL_SCALE : column->scale, arena, cell_out, err);
    }
    int rc = hr__coerce(doc, at, type, arena, cell_out, size_out, err);
    if (HR_UNLIKELY(rc == HR_OK && column != NULL && column->limit != 0) && !is_within(column, *cell_out, *size_out)) {
        return hr__error_set(err, HR_RANGE, HR_STAGE_NORMALIZE, "a %s value does not fit its column's precision",
                             hr__type_name(type));
    }
    if (HR_UNLIKELY(type == HR_TYPE_JSON && norm->schema->for_text) && rc == HR_OK && is_json_scalar(&doc->toks[at])) {
        return hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE, "JSON text of a scalar is left to the caller");
    }
    return rc;
}

/* Takes back what the record at work wrote. */
static void record_undo(hr_normalizer *norm) {
    for (size_t i = 0; i < norm->n_touched; i++) {
        int32_t table = norm->touched[i];
        table_rows *rows = &norm->rows[table];
        hr_batch_table *tbl = &norm->batch->tables[table];
        tbl->n_rows = rows->mark;
        rows->touched = false;
        for (size_t c = 0; c < tbl->n_columns; c++) {
            hr_batch_column *column = &tbl->columns[c];
            while (column->n_cells > rows->mark) {
                column->n_cells--;
                if (column->sizes != NULL && column->valid[column->n_cells]) {
                    column->text_bytes -= column->sizes[column->n_cells];
                }
            }
        }
    }
    norm->n_touched = 0;
    while (norm->n_nulls > norm->null_mark) {
        norm->nulls[--norm->n_nulls].from->null_seen = false;
    }
}

static void record_done(hr_normalizer *norm) {
    for (size_t i = 0; i < norm->n_touched; i++) {
        norm->rows[norm->touched[i]].touched = false;
    }
    norm->n_touched = 0;
}

/* ---------------------------------------------------------------------------------------------------- row ids */

int hr__row_id_set(hr_normalizer *norm, int32_t table, uint32_t row, hr_str id) {
    const hr_allocator *alloc = norm->options.alloc;
    table_rows *rows = &norm->rows[table];
    if (hr__grow(alloc, (void **)&rows->ids, &rows->cap_ids, (size_t)row + 1, sizeof *rows->ids) != HR_OK ||
        hr__grow(alloc, (void **)&rows->id_sizes, &rows->cap_id_sizes, (size_t)row + 1, sizeof *rows->id_sizes) !=
            HR_OK) {
        return hr__norm_memory(norm);
    }
    rows->ids[row] = id.data;
    rows->id_sizes[row] = (uint32_t)id.size_bytes;
    return HR_OK;
}

static int append(hr_normalizer *norm, const char *data, size_t size) {
    return hr__buf_append(&norm->text, data, size) == HR_OK ? HR_OK : hr__norm_memory(norm);
}

static int key_text(hr_normalizer *norm, int32_t table, const id_source *source) {
    HR_TRY(append(norm, "{", 1));
    for (size_t i = 0; i < source->n_keys; i++) {
        const value_ref *value = &source->key_values[i];
        if (value->doc == NULL) {
            hr__error_set(norm->err, HR_NULL_VALUE, HR_STAGE_NORMALIZE,
                          "the primary key column is missing: the row id of this merge strategy is made from it");
            hr__norm_place(norm, norm->schema->tables[table].name, source->keys[i]);
            return HR_NULL_VALUE;
        }
        HR_TRY(i == 0 ? HR_OK : append(norm, ",", 1));
        HR_TRY(hr__doc_write_string(source->keys[i], 0, &norm->text, norm->err));
        HR_TRY(append(norm, ":", 1));
        HR_TRY(hr__doc_write(value->doc, value->at, HR_WRITE_SORT_KEYS, NULL, 0, &norm->text, norm->err));
    }
    return append(norm, "}", 1);
}

/* A member of the record or of extra. */
typedef struct merged {
    hr_str key;
    value_ref value;
} merged;

static int compare_str(hr_str a, hr_str b) {
    size_t n = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);
    return order != 0 ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

static int compare_merged(const void *a, const void *b) {
    return compare_str(((const merged *)a)->key, ((const merged *)b)->key);
}

static size_t merged_add(merged *all, size_t n, const hr_doc *doc, const hr_member *members, size_t n_members) {
    for (size_t i = 0; i < n_members; i++) {
        if (members[i].key.size_bytes < 4 || memcmp(members[i].key.data, "_dlt", 4) != 0) {
            all[n++] = (merged){members[i].key, {doc, members[i].value}};
        }
    }
    return n;
}

/* The text of a record with extra's members over its own, as HR_WRITE_SKIP_DLT and HR_WRITE_SORT_KEYS write it. */
static int merged_text(hr_normalizer *norm, const hr_doc *doc, size_t at, const hr_doc *extra) {
    const hr_allocator *alloc = norm->options.alloc;
    hr_member *members = NULL, *more = NULL;
    merged *all = NULL;
    size_t n_members = 0, n_more = 0, n = 0;
    int rc = hr__doc_members(doc, at, alloc, &members, &n_members);
    rc = rc == HR_OK ? hr__doc_members(extra, 0, alloc, &more, &n_more) : rc;
    if (rc == HR_OK) {
        all = hr__calloc(alloc, n_members + n_more, sizeof *all);
    }
    if (all == NULL) {
        rc = hr__norm_memory(norm);
        goto out;
    }
    n = merged_add(all, n, extra, more, n_more);
    for (size_t i = 0; i < n_members; i++) {
        bool replaced = false;
        for (size_t k = 0; k < n_more && !replaced; k++) {
            replaced = hr__str_eq(more[k].key, members[i].key);
        }
        n = replaced ? n : merged_add(all, n, doc, &members[i], 1);
    }
    qsort(all, n, sizeof *all, compare_merged);
    rc = append(norm, "{", 1);
    for (size_t i = 0; i < n && rc == HR_OK; i++) {
        rc = i == 0 ? HR_OK : append(norm, ",", 1);
        rc = rc != HR_OK ? rc : hr__doc_write_string(all[i].key, 0, &norm->text, norm->err);
        rc = rc != HR_OK ? rc : append(norm, ":", 1);
        rc = rc != HR_OK ? rc
                         : hr__doc_write(all[i].value.doc, all[i].value.at, HR_WRITE_SORT_KEYS, NULL, 0, &norm->text,
                                         norm->err);
    }
    rc = rc != HR_OK ? rc : append(norm, "}", 1);
out:
    hr__free(alloc, members);
    hr__free(alloc, more);
    hr__free(alloc, all);
    return rc;
}

static int record_text(hr_normalizer *norm, const id_source *source) {
    const hr_doc *doc = source->value.doc;
    size_t at = source->value.at;
    bool object = doc->toks[at].type == HR_TOK_OBJECT;
    if (object && source->extra != NULL) {
        return merged_text(norm, doc, at, source->extra);
    }
    if (!object) {
        HR_TRY(append(norm, "{\"", 2));
        HR_TRY(append(norm, source->wrap, strlen(source->wrap)));
        HR_TRY(append(norm, "\":", 2));
    }
    HR_TRY(hr__doc_write(doc, at, HR_WRITE_SORT_KEYS | HR_WRITE_SKIP_DLT, NULL, 0, &norm->text, norm->err));
    return object ? HR_OK : append(norm, "}", 1);
}

int hr__row_id_hash(hr_normalizer *norm, int32_t table, uint32_t row, const id_source *source) {
    norm->text.size_bytes = 0;
    HR_TRY(source->kind == HR_ID_KEY_HASH ? key_text(norm, table, source) : record_text(norm, source));
    uint8_t digest[HR_ID_MAX_BYTES];
    hr__shake128(norm->text.data, norm->text.size_bytes, digest, norm->options.id_bytes);
    char *id = hr__arena_alloc(&norm->batch->arena, norm->id_chars);
    if (id == NULL) {
        return hr__norm_memory(norm);
    }
    hr__base64(digest, norm->options.id_bytes, id);
    return hr__row_id_set(norm, table, row, (hr_str){id, norm->id_chars});
}

/* ---------------------------------------------------------------------------------------------------- system columns
 */

/* A column of n cells to be filled as a whole; NULL with *rc_out set, or when there is no such column. */
static hr_batch_column *whole_column(hr_normalizer *norm, int32_t table, hr_str name, int *rc_out) {
    int32_t column = hr__schema_find_column(norm->schema, table, name);
    *rc_out = HR_OK;
    uint8_t type = column < 0 ? HR_TYPE_UNSET : norm->schema->tables[table].columns[column].type;
    if (type == HR_TYPE_UNSET) { /* also one that a schema contract leaves out */
        return NULL;
    }
    hr_batch_table *tbl = &norm->batch->tables[table];
    if (type != (hr__str_eq(name, hr__str("_dlt_list_idx")) ? HR_TYPE_BIGINT : HR_TYPE_TEXT)) {
        *rc_out = hr__error_set(norm->err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE,
                                "column %.*s has a type that is not dlt's", (int)name.size_bytes, name.data);
        return NULL;
    }
    hr_batch_column *to = &tbl->columns[column];
    if (tbl->n_rows > to->cap_cells || (hr__schema_has_text(norm->schema, type) && to->sizes == NULL)) {
        *rc_out = hr__column_grow(norm, to, type, tbl->n_rows - 1);
        if (*rc_out != HR_OK) {
            return NULL;
        }
    }
    memset(to->valid, 1, tbl->n_rows);
    to->n_cells = tbl->n_rows;
    to->any_null = false;
    to->text_bytes = 0;
    return to;
}

static void put_text(hr_batch_column *column, size_t row, const char *text, uint32_t size) {
    column->cells[row].str = text;
    column->sizes[row] = size;
    column->text_bytes += size;
}

/* A column of ids that is filled; NULL: the table has none. */
static const hr_batch_column *id_column(const hr_normalizer *norm, int32_t table, hr_str name) {
    int32_t column = hr__schema_find_column(norm->schema, table, name);
    bool is_text = column >= 0 && norm->schema->tables[table].columns[column].type == HR_TYPE_TEXT;
    return is_text ? &norm->batch->tables[table].columns[column] : NULL;
}

/* The ids of a child table's rows. */
static int hash_ids(hr_normalizer *norm, int32_t table, hr_batch_column *id, const hr_batch_column *parent_id) {
    size_t n_rows = norm->batch->tables[table].n_rows;
    const table_rows *rows = &norm->rows[table];
    hr_str name = norm->schema->tables[table].name;
    size_t id_chars = norm->id_chars;
    char *block = hr__arena_alloc(&norm->batch->arena, n_rows * id_chars);
    if (block == NULL) {
        return hr__norm_memory(norm);
    }
    for (size_t row = 0; row < n_rows; row += HR_NESTED_ID_LANES) {
        size_t n = n_rows - row < HR_NESTED_ID_LANES ? n_rows - row : HR_NESTED_ID_LANES;
        hr_str parents[HR_NESTED_ID_LANES] = {{NULL, 0}};
        uint64_t indices[HR_NESTED_ID_LANES] = {0};
        for (size_t i = 0; i < n; i++) {
            parents[i] = (hr_str){parent_id->cells[row + i].str, parent_id->sizes[row + i]};
            indices[i] = rows->links[row + i].list_index;
        }
        if (hr__nested_ids(name, parents, indices, n, norm->options.id_bytes, &norm->scratch, block + row * id_chars) !=
            HR_OK) {
            return hr__norm_memory(norm);
        }
        for (size_t i = 0; i < n; i++) {
            put_text(id, row + i, block + (row + i) * id_chars, (uint32_t)id_chars);
        }
    }
    return HR_OK;
}

/* The columns that link a child table's rows; NULL where the table has none. */
typedef struct link_columns {
    hr_batch_column *parent_id, *list_idx, *id;
    hr_batch_column *above[HR_ID_NAMES]; /* as in id_names */
} link_columns;

/* The columns for ids of rows further above. */
static int find_above(hr_normalizer *norm, int32_t table, link_columns *links) {
    for (size_t i = 0; i < norm->n_id_names; i++) {
        int rc = HR_OK;
        if ((norm->rows[table].takes_id >> i & 1) != 0) {
            links->above[i] = whole_column(norm, table, norm->id_names[i], &rc);
        }
        HR_TRY(rc);
    }
    return HR_OK;
}

static int find_links(hr_normalizer *norm, int32_t table, link_columns *links) {
    int rc;
    *links = (link_columns){0};
    HR_TRY(find_above(norm, table, links));
    links->parent_id = whole_column(norm, table, hr__str("_dlt_parent_id"), &rc);
    HR_TRY(rc);
    links->list_idx = whole_column(norm, table, hr__str("_dlt_list_idx"), &rc);
    HR_TRY(rc);
    links->id = whole_column(norm, table, hr__str("_dlt_id"), &rc);
    return rc;
}

/* The text of a cell, or a null. */
static void put_copy(hr_batch_column *to, size_t row, const hr_batch_column *from, size_t from_row) {
    if (from == NULL || from_row >= from->n_cells || from->valid[from_row] == 0) {
        to->valid[row] = 0;
        to->any_null = true;
        return;
    }
    put_text(to, row, from->cells[from_row].str, from->sizes[from_row]);
}

/* Ids of the parents' rows and of rows further above. Any column of `to` may be NULL. */
static void copy_ids(hr_normalizer *norm, int32_t table, const link_columns *to) {
    size_t n_rows = norm->batch->tables[table].n_rows;
    const row_link *links = norm->rows[table].links;
    int32_t parent_table = -1;
    const hr_batch_column *id = NULL, *above[HR_ID_NAMES] = {NULL};
    for (size_t row = 0; row < n_rows; row++) {
        const row_link *link = &links[row];
        if (link->parent_table != parent_table) {
            parent_table = link->parent_table;
            const table_rows *parent = &norm->rows[parent_table];
            id = id_column(norm, parent_table, hr__str("_dlt_id"));
            for (size_t i = 0; i < norm->n_id_names; i++) {
                above[i] = (parent->passes_id >> i & 1) != 0  ? id
                           : (parent->takes_id >> i & 1) != 0 ? id_column(norm, parent_table, norm->id_names[i])
                                                              : NULL;
            }
        }
        assert(id != NULL); /* a row has a parent, whose table has ids */
        if (to->parent_id != NULL) {
            put_text(to->parent_id, row, id->cells[link->parent_row].str, id->sizes[link->parent_row]);
            to->list_idx->cells[row].i = link->list_index;
        }
        for (size_t i = 0; i < norm->n_id_names; i++) {
            if (to->above[i] != NULL) {
                put_copy(to->above[i], row, above[i], link->parent_row);
            }
        }
    }
}

static int fill_table(hr_normalizer *norm, int32_t table);

static int fill_parents(hr_normalizer *norm, int32_t table) {
    size_t n_rows = norm->batch->tables[table].n_rows;
    const row_link *links = norm->rows[table].links;
    for (size_t row = 0; row < n_rows; row++) {
        const table_rows *parent = &norm->rows[links[row].parent_table];
        if (parent->fill == FILL_NONE) {
            HR_TRY(fill_table(norm, links[row].parent_table));
        } else if (parent->fill == FILL_BEGUN) {
            hr__error_set(norm->err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE, "tables whose rows hang on each other");
            hr__norm_place(norm, norm->schema->tables[table].name, (hr_str){NULL, 0});
            return HR_UNSUPPORTED;
        }
    }
    return HR_OK;
}

static int fill_child(hr_normalizer *norm, int32_t table) {
    link_columns columns;
    HR_TRY(fill_parents(norm, table));
    HR_TRY(find_links(norm, table, &columns));
    copy_ids(norm, table, &columns);
    return hash_ids(norm, table, columns.id, columns.parent_id);
}

/* _dlt_load_id of a table broken out of its chain: scalars in lists have none. */
static void fill_load_ids(hr_normalizer *norm, int32_t table, hr_batch_column *load_id, const row_link *links) {
    for (size_t row = 0; row < norm->batch->tables[table].n_rows; row++) {
        if (links != NULL && links[row].list_index == HR_NO_LOAD_ID) {
            load_id->valid[row] = 0;
            load_id->any_null = true;
        } else {
            put_text(load_id, row, norm->options.load_id.data, (uint32_t)norm->options.load_id.size_bytes);
        }
    }
}

/* Rows whose ids are their own. is_root: they hang on no other, else they may get the root's id. */
static int fill_own(hr_normalizer *norm, int32_t table, bool is_root) {
    int rc;
    size_t n_rows = norm->batch->tables[table].n_rows;
    const table_rows *rows = &norm->rows[table];
    link_columns columns = {0};
    if (!is_root && rows->takes_id != 0) {
        HR_TRY(fill_parents(norm, table));
        HR_TRY(find_above(norm, table, &columns));
        copy_ids(norm, table, &columns);
    }
    hr_batch_column *load_id = whole_column(norm, table, hr__str("_dlt_load_id"), &rc);
    HR_TRY(rc);
    if (load_id != NULL) {
        fill_load_ids(norm, table, load_id, is_root ? NULL : rows->links);
    }
    hr_batch_column *id = whole_column(norm, table, hr__str("_dlt_id"), &rc);
    HR_TRY(rc);
    size_t id_chars = norm->id_chars;
    char *block = hr__arena_alloc(&norm->batch->arena, n_rows * id_chars);
    if (block == NULL) {
        return hr__norm_memory(norm);
    }
    for (size_t row = 0; row < n_rows; row++) {
        if (rows->ids[row] != NULL) {
            put_text(id, row, rows->ids[row], rows->id_sizes[row]);
        } else {
            hr__ids_next(&norm->ids, norm->options.id_bytes, block + row * id_chars);
            put_text(id, row, block + row * id_chars, (uint32_t)id_chars);
        }
    }
    return HR_OK;
}

/* Recursion: a table's parents are other tables of its chain; depth is bounded by the document's. */
static int fill_table(hr_normalizer *norm, int32_t table) {
    norm->rows[table].fill = FILL_BEGUN;
    if (norm->batch->tables[table].n_rows != 0) {
        HR_TRY(norm->schema->tables[table].parent < 0 ? fill_own(norm, table, table == norm->root->table)
                                                      : fill_child(norm, table));
    }
    norm->rows[table].fill = FILL_DONE;
    return HR_OK;
}

/* Which ids the rows of each table have to do with: their shapes know. */
static void fill_begin(hr_normalizer *norm, uint64_t stream) {
    hr__ids_init(&norm->ids, norm->options.seed, stream);
    for (size_t t = 0; t < norm->n_rows; t++) {
        table_rows *rows = &norm->rows[t];
        rows->fill = FILL_NONE;
        rows->passes_id = rows->takes_id = 0;
        const table_shape *shape = norm->shapes[shape_slot(norm, norm->schema->tables[t].name)];
        for (; shape != NULL; shape = shape->same_name) {
            rows->passes_id |= shape->passes_id;
            rows->takes_id |= shape->takes_id;
        }
    }
}

int hr__rows_fill(hr_normalizer *norm, uint64_t stream) {
    fill_begin(norm, stream);
    for (size_t t = 0; t < norm->n_rows; t++) {
        if (norm->rows[t].fill == FILL_NONE) {
            HR_TRY(fill_table(norm, (int32_t)t));
        }
    }
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- a page */

int hr__table_keys(hr_normalizer *norm, int32_t table, hr_arena *arena, hr_str **names_out, size_t *n_out) {
    size_t n_columns = table < 0 ? 0 : norm->schema->tables[table].n_columns, n = 0;
    hr_str *names = hr__arena_alloc(arena, (n_columns + 1) * sizeof *names);
    if (names == NULL) {
        return hr__norm_memory(norm);
    }
    for (size_t c = 0; c < n_columns; c++) {
        const hr_column *column = &norm->schema->tables[table].columns[c];
        if ((column->flags & HR_COL_PRIMARY_KEY) == 0 ||
            hr__schema_find_column(norm->schema, table, column->name) != (int32_t)c) {
            continue;
        }
        size_t at = n++;
        for (; at > 0 && compare_str(names[at - 1], column->name) > 0; at--) {
            names[at] = names[at - 1];
        }
        names[at] = column->name;
    }
    *names_out = names;
    *n_out = n;
    return HR_OK;
}

/* The root's primary key, where ids are made of it. */
static int find_keys(hr_normalizer *norm) {
    if (norm->options.id_kind == HR_ID_KEY_HASH) {
        int32_t table = hr__schema_find(norm->schema, norm->options.root_table);
        HR_TRY(hr__table_keys(norm, table, &norm->arena, &norm->key_names, &norm->n_keys));
    }
    norm->key_values = hr__arena_alloc(&norm->arena, (norm->n_keys + 1) * sizeof *norm->key_values);
    return norm->key_values == NULL ? hr__norm_memory(norm) : HR_OK;
}

static int make_root(hr_normalizer *norm) {
    int32_t level = norm->options.max_nesting;
    int32_t table = hr__schema_find(norm->schema, norm->options.root_table);
    if (table >= 0 && norm->schema->tables[table].max_nesting >= 0) {
        level = norm->schema->tables[table].max_nesting;
    }
    HR_TRY(find_keys(norm));
    table_shape *root = NULL;
    HR_TRY(hr__shape_get(norm, NULL, &norm->options.root_table, 1, level, &root));
    norm->root = root;
    return HR_OK;
}

static int normalize_record(hr_normalizer *norm, const hr_records *records, size_t record) {
    norm->null_mark = norm->n_nulls;
    int rc = norm->options.reference_only ? WALK_BAIL : hr__walk_record(norm, records, record);
    if (rc == HR_OK) {
        norm->stats.fast_records++;
    } else if (rc == WALK_BAIL) {
        record_undo(norm);
        rc = hr__reference_record(norm, records, record);
        norm->stats.reference_records++;
        hr__arena_reset(&norm->scratch);
    }
    if (rc != HR_OK) {
        norm->err->record = (int64_t)record;
        const hr_tok *tok = &records->doc->toks[records->at[record]];
        norm->err->offset_bytes = tok->type >= HR_TOK_ARRAY ? (int64_t)tok->as.at.offset : -1;
        record_undo(norm);
    }
    record_done(norm);
    return rc;
}

/* Shapes of documents whose keys never repeat would fill memory: above this they are forgotten (guessed: 200,000 keys).
 */
#define SHAPES_MAX_BYTES ((size_t)64 << 20)

static int normalize_page(hr_normalizer *norm, const hr_records *records) {
    if (norm->arena.used_bytes > SHAPES_MAX_BYTES) {
        hr__normalizer_forget(norm);
    }
    if (norm->root == NULL) {
        HR_TRY(make_root(norm));
    }
    HR_TRY(hr__rows_match(norm));
    int rc = HR_OK;
    for (size_t i = 0; i < records->n && rc == HR_OK; i++) {
        if (records->keep == NULL || records->keep[i] != 0) {
            rc = normalize_record(norm, records, i);
        }
    }
    if (rc != HR_OK && (!norm->options.stop_at_record || rc == HR_MEMORY)) {
        return rc;
    }
    hr_error stopped = *norm->err;
    HR_TRY(hr__rows_fill(norm, records->stream));
    *norm->err = stopped;
    return rc;
}

void hr__norm_begin(hr_normalizer *norm, hr_batch *batch, hr_error *err) {
    norm->err = err;
    norm->batch = batch;
    norm->n_touched = 0;
    norm->matched_version = UINT64_MAX;
    hr__batch_reset(batch);
    hr__arena_reset(&norm->scratch);
}

void hr__norm_end(hr_normalizer *norm, int rc, hr_error *err_out) {
    if (rc != HR_OK) {
        for (size_t t = 0; t < norm->n_rows; t++) {
            norm->rows[t].touched = false;
        }
        if (norm->err->code == HR_OK) {
            hr__error_memory(norm->err, HR_STAGE_NORMALIZE);
        }
        if (err_out != NULL) {
            *err_out = *norm->err;
        }
    }
    norm->batch = NULL;
    norm->err = NULL;
}

int hr__normalize(hr_normalizer *norm, const hr_records *records, hr_batch *batch, hr_error *err) {
    hr_error own = {.offset_bytes = -1, .record = -1};
    hr__norm_begin(norm, batch, &own);
    int rc = normalize_page(norm, records);
    hr__norm_end(norm, rc, err);
    return rc;
}
