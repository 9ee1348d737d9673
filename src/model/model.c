/* SPDX-License-Identifier: Apache-2.0
 *
 * What passes between the stages: documents, schemas, batches. Data structures only, no rules.
 */
#include "batch.h"
#include "doc.h"
#include "schema.h"

/* ---------------------------------------------------------------------------------------------------- document */

void hr__doc_init(hr_doc *doc, const hr_allocator *alloc) {
    *doc = (hr_doc){0};
    hr__arena_init(&doc->arena, alloc, 0);
}

void hr__doc_reset(hr_doc *doc) {
    doc->body = NULL;
    doc->body_size_bytes = doc->n_toks = 0;
    hr__arena_reset(&doc->arena);
}

void hr__doc_free(hr_doc *doc) {
    if (doc->arena.alloc == NULL) {
        return;
    }
    hr__free(doc->arena.alloc, doc->toks);
    doc->toks = NULL;
    doc->n_toks = doc->cap_toks = 0;
    hr__arena_free(&doc->arena);
}

size_t hr__doc_member(const hr_doc *doc, size_t object, hr_str key) {
    const hr_tok *tok = &doc->toks[object];
    if (tok->type != HR_TOK_OBJECT) {
        return SIZE_MAX;
    }
    size_t found = SIZE_MAX;
    size_t at = object + 1;
    for (uint32_t i = 0; i < tok->len; i++) {
        const hr_tok *name = &doc->toks[at];
        if (hr__str_eq((hr_str){name->as.str, name->len}, key)) {
            found = at + 1;
        }
        at = hr__doc_next(doc, at + 1);
    }
    return found;
}

static int compare_keys(hr_str a, hr_str b) {
    size_t n = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);
    return order != 0 ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

/* Stable merge sort by key; scratch has room for n. */
static void sort_members(hr_member *m, size_t n, hr_member *scratch) {
    if (n < 2) {
        return;
    }
    size_t half = n / 2;
    sort_members(m, half, scratch);
    sort_members(m + half, n - half, scratch);
    memcpy(scratch, m, half * sizeof *m);
    size_t i = 0, j = half, k = 0;
    while (i < half) {
        m[k++] = j < n && compare_keys(m[j].key, scratch[i].key) < 0 ? m[j++] : scratch[i++];
    }
}

void hr__doc_members_sort(hr_member *members, size_t n) {
    sort_members(members, n, members + n);
}

/* Above this many members, equal keys are found by sorting instead of by comparing all pairs. */
#define PAIRWISE_MEMBERS 32

/* Joins equal keys of m[0..n) by sorting (key, place): the first keeps its place and gets the last's value. */
static int join_equal(hr_member *m, size_t *n, const hr_allocator *alloc) {
    hr_member *order = hr__calloc(alloc, 2 * *n + 1, sizeof *order);
    if (order == NULL) {
        return HR_MEMORY;
    }
    for (size_t k = 0; k < *n; k++) {
        order[k] = (hr_member){m[k].key, k};
    }
    hr__doc_members_sort(order, *n);
    for (size_t k = 0, end; k < *n; k = end) {
        for (end = k + 1; end < *n && hr__str_eq(order[k].key, order[end].key); end++) {
            m[order[k].value].value = m[order[end].value].value;
            m[order[end].value].key.data = NULL;
            m[order[end].value].value = SIZE_MAX; /* dropped */
        }
    }
    hr__free(alloc, order);
    size_t kept = 0;
    for (size_t k = 0; k < *n; k++) {
        if (m[k].value != SIZE_MAX) {
            m[kept++] = m[k];
        }
    }
    *n = kept;
    return HR_OK;
}

int hr__doc_members(const hr_doc *doc, size_t object, const hr_allocator *alloc, hr_member **members_out,
                    size_t *n_out) {
    size_t n_all = doc->toks[object].len, n = 0, at = object + 1;
    hr_member *m = hr__calloc(alloc, 2 * n_all + 1, sizeof *m);
    if (m == NULL) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < n_all; i++) {
        hr_str key = {doc->toks[at].as.str, doc->toks[at].len};
        size_t same = n;
        for (size_t k = 0; n_all <= PAIRWISE_MEMBERS && k < n && same == n; k++) {
            same = hr__str_eq(m[k].key, key) ? k : n;
        }
        m[same].key = same == n ? key : m[same].key;
        m[same].value = at + 1;
        n += same == n;
        at = hr__doc_next(doc, at + 1);
    }
    if (n_all > PAIRWISE_MEMBERS && join_equal(m, &n, alloc) != HR_OK) {
        hr__free(alloc, m);
        return HR_MEMORY;
    }
    *members_out = m;
    *n_out = n;
    return HR_OK;
}

static int push_match(size_t match, const hr_allocator *alloc, size_t **matches, size_t *n, size_t *cap) {
    HR_TRY(hr__grow(alloc, (void **)matches, cap, *n + 1, sizeof **matches));
    (*matches)[(*n)++] = match;
    return HR_OK;
}

/* Recursion depth is n_steps, which the caller limits. */
int hr__doc_select(const hr_doc *doc, size_t root, const hr_step *steps, size_t n_steps, const hr_allocator *alloc,
                   size_t **matches, size_t *n_matches, size_t *cap_matches) {
    if (n_steps == 0) {
        return push_match(root, alloc, matches, n_matches, cap_matches);
    }
    const hr_tok *tok = &doc->toks[root];
    if (steps->kind == HR_STEP_KEY) {
        size_t value = hr__doc_member(doc, root, steps->key);
        if (value == SIZE_MAX) {
            return HR_OK;
        }
        return hr__doc_select(doc, value, steps + 1, n_steps - 1, alloc, matches, n_matches, cap_matches);
    }
    if (tok->type != HR_TOK_ARRAY) {
        if (steps->kind == HR_STEP_EACH && tok->type != HR_TOK_NULL) {
            return hr__doc_select(doc, root, steps + 1, n_steps - 1, alloc, matches, n_matches, cap_matches);
        }
        return HR_OK;
    }
    int64_t index = steps->index < 0 ? steps->index + (int64_t)tok->len : steps->index;
    size_t at = root + 1;
    for (uint32_t i = 0; i < tok->len; i++) {
        if (steps->kind == HR_STEP_EACH || (int64_t)i == index) {
            HR_TRY(hr__doc_select(doc, at, steps + 1, n_steps - 1, alloc, matches, n_matches, cap_matches));
        }
        at = hr__doc_next(doc, at);
    }
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- schema */

static const char *const type_names[] = {
#define HR_X(name, dlt_name, format) dlt_name,
    HR_TYPE_MAP(HR_X)
#undef HR_X
};

const char *hr__type_name(hr_type type) {
    return type_names[type];
}

hr_type hr__type_of_name(hr_str name) {
    for (size_t i = 1; i < sizeof type_names / sizeof *type_names; i++) {
        if (hr__str_eq(name, hr__str(type_names[i]))) {
            return (hr_type)i;
        }
    }
    return HR_TYPE_UNSET;
}

void hr__schema_init(hr_schema *schema, const hr_allocator *alloc) {
    *schema = (hr_schema){.alloc = alloc, .max_columns = HR_SCHEMA_MAX_COLUMNS, .max_tables = HR_SCHEMA_MAX_TABLES};
    hr__arena_init(&schema->arena, alloc, 0);
}

void hr__schema_free(hr_schema *schema) {
    if (schema->alloc == NULL) {
        return;
    }
    for (size_t i = 0; i < schema->n_tables; i++) {
        hr__free(schema->alloc, schema->tables[i].columns);
        hr__free(schema->alloc, schema->tables[i].index);
    }
    hr__free(schema->alloc, schema->tables);
    schema->tables = NULL;
    schema->n_tables = schema->cap_tables = 0;
    hr__arena_free(&schema->arena);
}

int32_t hr__schema_find(const hr_schema *schema, hr_str name) {
    for (size_t i = 0; i < schema->n_tables; i++) {
        if (hr__str_eq(schema->tables[i].name, name)) {
            return (int32_t)i;
        }
    }
    return -1;
}

int hr__schema_add_table(hr_schema *schema, hr_str name, int32_t parent, int32_t *table_out) {
    if (schema->n_tables >= schema->max_tables) {
        return HR_LIMIT;
    }
    HR_TRY(hr__grow(schema->alloc, (void **)&schema->tables, &schema->cap_tables, schema->n_tables + 1,
                    sizeof *schema->tables));
    char *copy = hr__arena_copy(&schema->arena, name.data, name.size_bytes);
    if (copy == NULL) {
        return HR_MEMORY;
    }
    schema->tables[schema->n_tables] =
        (hr_table){.name = {copy, name.size_bytes}, .parent = parent, .is_new = true, .max_nesting = -1};
    *table_out = (int32_t)schema->n_tables++;
    schema->version++;
    return HR_OK;
}

static void index_put(hr_table *tbl, uint32_t column) {
    size_t mask = tbl->cap_index - 1;
    size_t at = hr__str_hash(tbl->columns[column].name) & mask;
    while (tbl->index[at] != 0 && !hr__str_eq(tbl->columns[tbl->index[at] - 1].name, tbl->columns[column].name)) {
        at = (at + 1) & mask;
    }
    tbl->index[at] = column + 1;
}

int32_t hr__schema_find_column(const hr_schema *schema, int32_t table, hr_str name) {
    const hr_table *tbl = &schema->tables[table];
    if (tbl->cap_index == 0) {
        return -1;
    }
    size_t mask = tbl->cap_index - 1;
    for (size_t at = hr__str_hash(name) & mask; tbl->index[at] != 0; at = (at + 1) & mask) {
        uint32_t column = tbl->index[at] - 1;
        if (hr__str_eq(tbl->columns[column].name, name)) {
            return (int32_t)column;
        }
    }
    return -1;
}

int hr__schema_add_column(hr_schema *schema, int32_t table, hr_str name, hr_type type, uint8_t flags,
                          int32_t *column_out) {
    hr_table *tbl = &schema->tables[table];
    if (tbl->n_columns >= schema->max_columns) {
        return HR_LIMIT;
    }
    HR_TRY(
        hr__grow(schema->alloc, (void **)&tbl->columns, &tbl->cap_columns, tbl->n_columns + 1, sizeof *tbl->columns));
    char *copy = hr__arena_copy(&schema->arena, name.data, name.size_bytes);
    if (copy == NULL) {
        return HR_MEMORY;
    }
    if ((tbl->n_columns + 1) * 2 > tbl->cap_index) {
        size_t cap = tbl->cap_index == 0 ? 16 : tbl->cap_index * 2;
        uint32_t *index = hr__calloc(schema->alloc, cap, sizeof *index);
        if (index == NULL) {
            return HR_MEMORY;
        }
        hr__free(schema->alloc, tbl->index);
        tbl->index = index;
        tbl->cap_index = cap;
        for (size_t i = 0; i < tbl->n_columns; i++) {
            index_put(tbl, (uint32_t)i);
        }
    }
    tbl->columns[tbl->n_columns] = (hr_column){
        .name = {copy, name.size_bytes}, .type = (uint8_t)type, .flags = flags, .precision = 38, .scale = 9};
    if (type == HR_TYPE_WEI) {
        tbl->columns[tbl->n_columns].precision = schema->wei_precision;
        tbl->columns[tbl->n_columns].scale = schema->wei_scale;
    }
    index_put(tbl, (uint32_t)tbl->n_columns);
    *column_out = (int32_t)tbl->n_columns++;
    schema->version++;
    return HR_OK;
}

int hr__schema_sync(hr_schema *dst, const hr_schema *src) {
    dst->max_columns = src->max_columns;
    dst->max_tables = src->max_tables;
    dst->for_text = src->for_text;
    dst->wei_precision = src->wei_precision;
    dst->wei_scale = src->wei_scale;
    for (size_t t = 0; t < src->n_tables; t++) {
        const hr_table *from = &src->tables[t];
        int32_t at;
        if (t >= dst->n_tables) {
            HR_TRY(hr__schema_add_table(dst, from->name, from->parent, &at));
        }
        hr_table *to = &dst->tables[t];
        to->is_new = from->is_new;
        to->max_nesting = from->max_nesting;
        to->id_kind = from->id_kind;
        to->discard = from->discard;
        for (size_t c = to->n_columns; c < from->n_columns; c++) {
            const hr_column *column = &from->columns[c];
            HR_TRY(hr__schema_add_column(dst, (int32_t)t, column->name, column->type, column->flags, &at));
            dst->tables[t].columns[at].precision = column->precision;
            dst->tables[t].columns[at].scale = column->scale;
            dst->tables[t].columns[at].limit = column->limit;
        }
    }
    dst->version = src->version;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- batch */

void hr__batch_init(hr_batch *batch, const hr_allocator *alloc) {
    *batch = (hr_batch){.alloc = alloc};
    hr__arena_init(&batch->arena, alloc, 0);
}

void hr__batch_reset(hr_batch *batch) {
    for (size_t t = 0; t < batch->n_tables; t++) {
        hr_batch_table *tbl = &batch->tables[t];
        for (size_t c = 0; c < tbl->n_columns; c++) {
            tbl->columns[c].n_cells = tbl->columns[c].text_bytes = 0;
            tbl->columns[c].any_null = false;
        }
        tbl->n_rows = 0;
    }
    hr__arena_reset(&batch->arena);
}

void hr__batch_free(hr_batch *batch) {
    if (batch->alloc == NULL) {
        return;
    }
    for (size_t t = 0; t < batch->n_tables; t++) {
        for (size_t c = 0; c < batch->tables[t].n_columns; c++) {
            hr__free(batch->alloc, batch->tables[t].columns[c].cells);
            hr__free(batch->alloc, batch->tables[t].columns[c].sizes);
            hr__free(batch->alloc, batch->tables[t].columns[c].valid);
        }
        hr__free(batch->alloc, batch->tables[t].columns);
    }
    hr__free(batch->alloc, batch->tables);
    batch->tables = NULL;
    batch->n_tables = batch->cap_tables = 0;
    hr__arena_free(&batch->arena);
}

size_t hr__batch_rows(const hr_batch *batch) {
    size_t n_rows = 0;
    for (size_t t = 0; t < batch->n_tables; t++) {
        n_rows += batch->tables[t].n_rows;
    }
    return n_rows;
}
