/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages through decode and normalize, for the normalizer's tests and its fuzzer: by the fast path and by the reference,
 * over schemas of their own, compared after every page.
 */
#ifndef TWO_WAYS_H
#define TWO_WAYS_H

#include "json.h"
#include "normalize.h"

#include <stdio.h>
#include <stdlib.h>

/* One way: what lives from page to page. */
typedef struct way {
    const hr_allocator *alloc;
    hr_schema schema;
    hr_batch batch;
    hr_normalizer *normalizer;
    hr_json_decoder *decoder;
    hr_doc doc, extra;
    bool has_extra;
    size_t *places;
    size_t cap_places;
    char *body, *extra_body; /* padded copies */
    hr_error err;
} way;

static inline void way_init(way *w, const hr_allocator *alloc) {
    *w = (way){.alloc = alloc};
    hr__schema_init(&w->schema, alloc);
    hr__batch_init(&w->batch, alloc);
    hr__doc_init(&w->doc, alloc);
    hr__doc_init(&w->extra, alloc);
}

static inline void way_free(way *w) {
    hr__normalizer_free(w->normalizer);
    hr__batch_free(&w->batch);
    hr__schema_free(&w->schema);
    hr__doc_free(&w->doc);
    hr__doc_free(&w->extra);
    hr__json_decoder_free(w->decoder);
    hr__free(w->alloc, w->places);
    hr__free(w->alloc, w->body);
    hr__free(w->alloc, w->extra_body);
}

static inline int way_start(way *w, const hr_normalize_options *options) {
    hr_normalize_options own = *options;
    own.alloc = w->alloc;
    HR_TRY(hr__json_decoder_new(&(hr_json_options){.alloc = w->alloc}, &w->decoder, &w->err));
    return hr__normalizer_new(&own, &w->schema, &w->normalizer, &w->err);
}

static inline int way_decode(way *w, hr_str text, char **body, hr_doc *doc) {
    hr__free(w->alloc, *body);
    *body = hr__alloc(w->alloc, text.size_bytes + HR_BODY_PADDING);
    if (*body == NULL) {
        return HR_MEMORY;
    }
    memcpy(*body, text.data, text.size_bytes);
    memset(*body + text.size_bytes, 0, HR_BODY_PADDING);
    return hr__json_decode(w->decoder, *body, text.size_bytes, doc, &w->err);
}

static inline int way_extra(way *w, hr_str text) {
    HR_TRY(way_decode(w, text, &w->extra_body, &w->extra));
    w->has_extra = w->extra.toks[0].type == HR_TOK_OBJECT;
    return HR_OK;
}

/* Normalizes a page: the elements of an array, or one record. */
static inline int way_page(way *w, hr_str text, const uint8_t *keep, uint64_t stream) {
    HR_TRY(way_decode(w, text, &w->body, &w->doc));
    bool list = w->doc.toks[0].type == HR_TOK_ARRAY;
    size_t n = list ? w->doc.toks[0].len : 1, at = list;
    HR_TRY(hr__grow(w->alloc, (void **)&w->places, &w->cap_places, n + 1, sizeof *w->places));
    for (size_t i = 0; i < n; i++) {
        w->places[i] = at;
        at = hr__doc_next(&w->doc, at);
    }
    const hr_records records = {.doc = &w->doc,
                                .at = w->places,
                                .n = n,
                                .keep = keep,
                                .extra = w->has_extra ? &w->extra : NULL,
                                .stream = stream};
    return hr__normalize(w->normalizer, &records, &w->batch, &w->err);
}

/* ---------------------------------------------------------------------------------------------------- comparing */

#define TWO_WAYS_DIFFER(...) (snprintf(why, 256, __VA_ARGS__), false)

static inline bool same_schema(const hr_schema *a, const hr_schema *b, char why[256]) {
    if (a->n_tables != b->n_tables) {
        return TWO_WAYS_DIFFER("%zu tables, reference %zu", a->n_tables, b->n_tables);
    }
    for (size_t t = 0; t < a->n_tables; t++) {
        const hr_table *one = &a->tables[t], *other = &b->tables[t];
        if (!hr__str_eq(one->name, other->name) || one->parent != other->parent || one->n_columns != other->n_columns) {
            return TWO_WAYS_DIFFER("table %zu: %.*s of %d with %zu columns, reference %.*s of %d with %zu", t,
                                   (int)one->name.size_bytes, one->name.data, one->parent, one->n_columns,
                                   (int)other->name.size_bytes, other->name.data, other->parent, other->n_columns);
        }
        for (size_t c = 0; c < one->n_columns; c++) {
            if (!hr__str_eq(one->columns[c].name, other->columns[c].name) ||
                one->columns[c].type != other->columns[c].type || one->columns[c].flags != other->columns[c].flags) {
                return TWO_WAYS_DIFFER("table %zu column %zu differs", t, c);
            }
        }
    }
    return true;
}

static inline bool cell_valid(const hr_batch_column *column, size_t row) {
    return row < column->n_cells && column->valid[row] != 0;
}

static inline bool same_column(const hr_batch_column *a, const hr_batch_column *b, uint8_t type, size_t n_rows) {
    bool text = type == HR_TYPE_TEXT || type == HR_TYPE_JSON || type >= HR_TYPE_BINARY;
    size_t text_bytes = 0;
    for (size_t row = 0; row < n_rows; row++) {
        if (cell_valid(a, row) != cell_valid(b, row) || (!cell_valid(a, row) && row < a->n_cells && !a->any_null)) {
            return false;
        }
        if (!cell_valid(a, row)) {
            continue;
        }
        if (text) {
            text_bytes += a->sizes[row];
            if (!hr__str_eq((hr_str){a->cells[row].str, a->sizes[row]}, (hr_str){b->cells[row].str, b->sizes[row]})) {
                return false;
            }
        } else if (type == HR_TYPE_DECIMAL) {
            if (memcmp(a->cells[row].str, b->cells[row].str, 16) != 0) {
                return false;
            }
        } else if (a->cells[row].i != b->cells[row].i) {
            return false;
        }
    }
    return a->n_cells <= n_rows && (!text || (a->text_bytes == text_bytes && b->text_bytes == text_bytes));
}

static inline bool same_batch(const way *a, const way *b, char why[256]) {
    for (size_t t = 0; t < a->batch.n_tables && t < b->batch.n_tables; t++) {
        const hr_batch_table *one = &a->batch.tables[t], *other = &b->batch.tables[t];
        if (one->n_rows != other->n_rows) {
            return TWO_WAYS_DIFFER("table %zu: %zu rows, reference %zu", t, one->n_rows, other->n_rows);
        }
        for (size_t c = 0; c < one->n_columns && c < other->n_columns; c++) {
            const hr_column *spec = &a->schema.tables[t].columns[c];
            if (!same_column(&one->columns[c], &other->columns[c], spec->type, one->n_rows)) {
                return TWO_WAYS_DIFFER("table %zu column %.*s: cells differ", t, (int)spec->name.size_bytes,
                                       spec->name.data);
            }
        }
    }
    return hr__batch_rows(&a->batch) == hr__batch_rows(&b->batch) ? true : TWO_WAYS_DIFFER("row counts differ");
}

static inline bool same_error(const hr_error *a, const hr_error *b, char why[256]) {
    if (a->code != b->code || a->record != b->record || a->offset_bytes != b->offset_bytes ||
        strcmp(a->table, b->table) != 0 || strcmp(a->column, b->column) != 0 || strcmp(a->message, b->message) != 0) {
        return TWO_WAYS_DIFFER("error \"%.80s\", reference \"%.80s\"", a->message, b->message);
    }
    return true;
}

/* The pages by both ways until one fails; false, with why, when they differ. Both schemas begin with seed (may be
 * NULL). *fast_out: records that the fast path made (may be NULL). */
static inline bool two_ways(const hr_normalize_options *options, void (*seed)(hr_schema *schema), const hr_str *extra,
                            const hr_str *pages, size_t n_pages, uint64_t *fast_out, char why[256]) {
    way ways[2];
    bool same = true;
    for (int i = 0; i < 2; i++) {
        hr_normalize_options own = *options;
        own.reference_only = i == 1;
        way_init(&ways[i], &hr__allocator_libc);
        if (seed != NULL) {
            seed(&ways[i].schema);
        }
        if (way_start(&ways[i], &own) != HR_OK || (extra != NULL && way_extra(&ways[i], *extra) != HR_OK)) {
            n_pages = 0;
        }
    }
    for (size_t p = 0; p < n_pages && same; p++) {
        int rc = way_page(&ways[0], pages[p], NULL, p), reference_rc = way_page(&ways[1], pages[p], NULL, p);
        if (rc != reference_rc) {
            const hr_error *err = &ways[rc == HR_OK].err;
            same = TWO_WAYS_DIFFER("page %zu: status %d, reference %d: %.100s", p, rc, reference_rc, err->message);
        } else if (rc != HR_OK) {
            same = same_error(&ways[0].err, &ways[1].err, why);
            break;
        } else {
            same = same_schema(&ways[0].schema, &ways[1].schema, why) && same_batch(&ways[0], &ways[1], why);
        }
    }
    if (fast_out != NULL && ways[0].normalizer != NULL) {
        hr_normalize_stats stats;
        hr__normalizer_stats(ways[0].normalizer, &stats);
        *fast_out = stats.fast_records;
    }
    way_free(&ways[0]);
    way_free(&ways[1]);
    return same;
}

#endif
