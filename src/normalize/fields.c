/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of text fields: column by column, and as a document.
 */
#include "core.h"
#include "fields_value.h"
#include "normalize_fields.h"
#include "timestamp.h"

#include <math.h>

/* ---------------------------------------------------------------------------------------------------- values */

/* The value of a field, "" where a row is too short; *null_out: it stands for null. */
static inline int value_of(const hr_fields *fields, size_t row, size_t field, hr_arena *arena, hr_str *value_out,
                           bool *null_out) {
    const hr_fields_head *head = fields->head;
    hr_str raw;
    if (HR_UNLIKELY(!hr__fields_raw(fields, row, field, &raw))) {
        raw = (hr_str){"", 0};
    }
    if (HR_UNLIKELY(!hr__fields_is_plain(head, raw))) {
        HR_TRY(hr__fields_value(head, raw, arena, &raw));
    }
    *value_out = raw;
    *null_out = hr__fields_is_null(head, raw);
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- columns */

typedef struct filled {
    hr_batch_column *to;
    size_t text_bytes;
    bool any_null;
} filled;

/* X(type): the loops over a column's rows. Each returns HR_OK, HR_MEMORY, or WALK_BAIL for a value of another type. */
#define COLUMN_LOOP(name, body)                                                                 \
    static int fill_##name(const hr_fields *fields, size_t field, hr_arena *arena, filled *f) { \
        const hr_fields_head *head = fields->head;                                              \
        (void)head;                                                                             \
        hr_batch_column *to = f->to;                                                            \
        for (size_t row = 0; row < fields->n_rows; row++) {                                     \
            hr_str value;                                                                       \
            bool is_null;                                                                       \
            HR_TRY(value_of(fields, row, field, arena, &value, &is_null));                      \
            to->valid[row] = !is_null;                                                          \
            if (is_null) {                                                                      \
                f->any_null = true;                                                             \
                continue;                                                                       \
            }                                                                                   \
            body                                                                                \
        }                                                                                       \
        return HR_OK;                                                                           \
    }

COLUMN_LOOP(bigint, {
    if (HR_UNLIKELY(hr__field_int(head, value, &to->cells[row].i) != HR_READ_OK)) {
        return WALK_BAIL;
    }
})

COLUMN_LOOP(double, {
    double d;
    if (HR_UNLIKELY(hr__field_double(head, value, &d) != HR_READ_OK)) {
        return WALK_BAIL;
    }
    to->cells[row].d = d;
    if (HR_UNLIKELY(!isfinite(d))) { /* what dlt's extract writes as null */
        to->valid[row] = 0;
        f->any_null = true;
    }
})

COLUMN_LOOP(bool, {
    bool b;
    if (HR_UNLIKELY(hr__field_bool(value, &b) != HR_READ_OK)) {
        return WALK_BAIL;
    }
    to->cells[row].i = b;
})

COLUMN_LOOP(timestamp, {
    hr_iso iso;
    hr__iso_parse(value, &iso);
    if (HR_UNLIKELY((iso.kind != HR_ISO_DATETIME && iso.kind != HR_ISO_DATE) ||
                    hr__iso_micros(&iso, &to->cells[row].i) != HR_OK)) {
        return WALK_BAIL;
    }
})

COLUMN_LOOP(text, {
    to->cells[row].str = value.data;
    to->sizes[row] = (uint32_t)value.size_bytes;
    f->text_bytes += value.size_bytes;
})

/* Whether values that are to be read as kind go into a column of the type as they are. */
static bool fits(hr_field_kind kind, uint8_t type) {
    static const hr_field_kind of[HR_TYPE_COUNT] = {[HR_TYPE_TEXT] = HR_FIELD_TEXT,
                                                    [HR_TYPE_TIMESTAMP] = HR_FIELD_TEXT,
                                                    [HR_TYPE_BIGINT] = HR_FIELD_INT,
                                                    [HR_TYPE_DOUBLE] = HR_FIELD_FLOAT,
                                                    [HR_TYPE_BOOL] = HR_FIELD_BOOL};
    return kind == HR_FIELD_UNSET || of[type] == kind;
}

static int all_null(const hr_fields *fields, size_t field, hr_arena *arena, bool *out) {
    for (size_t row = 0; row < fields->n_rows; row++) {
        hr_str value;
        HR_TRY(value_of(fields, row, field, arena, &value, out));
        if (!*out) {
            return HR_OK;
        }
    }
    *out = true;
    return HR_OK;
}

/* One column of the file into its column of the table. */
static int fill_column(hr_normalizer *norm, const hr_fields *fields, size_t c, int32_t table) {
    hr_arena *arena = &norm->batch->arena;
    const hr_fields_head *head = fields->head;
    size_t field = head->n_leading + c;
    hr_str name;
    HR_TRY(hr__norm_name(norm, HR_NAME_COLUMN, &head->names[c], 1, &norm->scratch, &name));
    if (name.size_bytes == 0 || (name.size_bytes >= 4 && memcmp(name.data, "_dlt", 4) == 0)) {
        return WALK_BAIL;
    }
    int32_t at = hr__schema_find_column(norm->schema, table, name);
    const hr_column *column = at < 0 ? NULL : &norm->schema->tables[table].columns[at];
    if (column == NULL || column->type == HR_TYPE_UNSET) {
        bool is_null;
        HR_TRY(all_null(fields, field, arena, &is_null));
        /* that a column was null the document path remembers, once */
        const entry *e = norm->root->rows == NULL ? NULL : hr__node_find(norm->root->rows, head->names[c]);
        return is_null && e != NULL && e->null_seen ? HR_OK : WALK_BAIL;
    }
    hr_batch_column *to = &norm->batch->tables[table].columns[at];
    if (!fits((hr_field_kind)head->kinds[c], column->type) || to->n_cells != 0 ||
        (column->flags & (HR_COL_DISCARD_VALUE | HR_COL_DISCARD_ROW)) != 0) {
        return WALK_BAIL;
    }
    HR_TRY(hr__column_grow(norm, to, column->type, fields->n_rows - 1));
    filled f = {.to = to};
    int rc = column->type == HR_TYPE_BIGINT      ? fill_bigint(fields, field, arena, &f)
             : column->type == HR_TYPE_DOUBLE    ? fill_double(fields, field, arena, &f)
             : column->type == HR_TYPE_BOOL      ? fill_bool(fields, field, arena, &f)
             : column->type == HR_TYPE_TIMESTAMP ? fill_timestamp(fields, field, arena, &f)
             : column->type == HR_TYPE_TEXT      ? fill_text(fields, field, arena, &f)
                                                 : WALK_BAIL;
    if (rc == HR_MEMORY) {
        return hr__norm_memory(norm);
    }
    HR_TRY(rc);
    if (f.any_null && (column->flags & HR_COL_NOT_NULL) != 0) {
        return WALK_BAIL;
    }
    to->n_cells = fields->n_rows;
    to->any_null = f.any_null;
    to->text_bytes = f.text_bytes;
    return HR_OK;
}

/* All rows, or WALK_BAIL: for the document path. */
static int fill_columns(hr_normalizer *norm, const hr_fields *fields, uint64_t stream) {
    if (norm->root == NULL || norm->options.reference_only || norm->options.id_kind != HR_ID_RANDOM ||
        norm->options.no_coercion || norm->schema->for_text) {
        return WALK_BAIL;
    }
    HR_TRY(hr__rows_match(norm));
    hr__shape_resolve(norm, norm->root);
    if (!norm->root->ready || norm->root->discard) {
        return WALK_BAIL;
    }
    int32_t table = norm->root->table;
    for (size_t c = 0; c < fields->head->n_columns; c++) {
        if (fields->head->used[c]) {
            HR_TRY(fill_column(norm, fields, c, table));
        }
    }
    for (size_t row = 0; row < fields->n_rows; row++) {
        HR_TRY(hr__row_id_set(norm, table, (uint32_t)row, (hr_str){NULL, 0}));
    }
    norm->batch->tables[table].n_rows = fields->n_rows;
    norm->stats.fast_records += fields->n_rows;
    return hr__rows_fill(norm, stream);
}

/* ---------------------------------------------------------------------------------------------------- a document */

/* What all values of a column are, as pandas decides it: integers (and none is missing), else numbers, else true and
 * false, else text. */
static int kind_of(const hr_fields *fields, size_t field, hr_arena *arena, hr_field_kind *kind_out) {
    const hr_fields_head *head = fields->head;
    bool is_int = true, is_float = true, is_bool = true, any_null = false, any = false;
    for (size_t row = 0; row < fields->n_rows && (is_float || is_bool); row++) {
        hr_str value;
        bool is_null, b;
        int64_t n;
        double d;
        HR_TRY(value_of(fields, row, field, arena, &value, &is_null));
        any_null |= is_null;
        if (is_null) {
            continue;
        }
        any = true;
        hr_read as_int = is_int ? hr__field_int(head, value, &n) : HR_READ_NOT;
        if (as_int == HR_READ_RANGE) { /* no integer of ours, and a double would not hold it */
            *kind_out = HR_FIELD_TEXT;
            return HR_OK;
        }
        is_int = is_int && as_int == HR_READ_OK;
        is_float = is_float && (as_int == HR_READ_OK || hr__field_double(head, value, &d) == HR_READ_OK);
        is_bool = is_bool && !is_float && hr__field_bool(value, &b) == HR_READ_OK;
    }
    *kind_out = !any                  ? HR_FIELD_FLOAT
                : is_int && !any_null ? HR_FIELD_INT
                : is_float            ? HR_FIELD_FLOAT
                : is_bool             ? HR_FIELD_BOOL
                                      : HR_FIELD_TEXT;
    return HR_OK;
}

static int not_of_kind(hr_normalizer *norm, const hr_fields *fields, size_t row, size_t c, hr_str value) {
    static const char *const kinds[] = {"", "an integer", "a number", "true or false", "text"};
    const hr_fields_head *head = fields->head;
    hr__error_set(norm->err, HR_COERCE, HR_STAGE_NORMALIZE, "'%.*s' is not %s, which dtype says column '%.*s' has",
                  (int)(value.size_bytes < 40 ? value.size_bytes : 40), value.data, kinds[head->kinds[c]],
                  (int)(head->names[c].size_bytes < 60 ? head->names[c].size_bytes : 60), head->names[c].data);
    norm->err->record = (int64_t)row;
    norm->err->offset_bytes = fields->rows[row].start;
    return HR_COERCE;
}

/* The token of a value. exact: an integer stays one, though the column is numbers. */
static bool put_value(const hr_fields_head *head, hr_field_kind kind, bool exact, hr_str value, hr_tok *tok) {
    bool b;
    int64_t n;
    double d;
    switch (kind) {
    case HR_FIELD_INT:
        if (hr__field_int(head, value, &n) != HR_READ_OK) {
            return false;
        }
        *tok = (hr_tok){.type = HR_TOK_INT, .as.i = n};
        return true;
    case HR_FIELD_FLOAT:
        if (exact && hr__field_int(head, value, &n) == HR_READ_OK) {
            *tok = (hr_tok){.type = HR_TOK_INT, .as.i = n};
            return true;
        }
        if (hr__field_double(head, value, &d) != HR_READ_OK) {
            return false;
        }
        *tok = isfinite(d) ? (hr_tok){.type = HR_TOK_DOUBLE, .as.d = d} : (hr_tok){.type = HR_TOK_NULL};
        return true;
    case HR_FIELD_BOOL:
        if (hr__field_bool(value, &b) != HR_READ_OK) {
            return false;
        }
        *tok = (hr_tok){.type = b ? HR_TOK_TRUE : HR_TOK_FALSE};
        return true;
    default:
        *tok = (hr_tok){.type = HR_TOK_STRING, .len = (uint32_t)value.size_bytes, .as.str = value.data};
        return true;
    }
}

/* The values of a column, each behind its key, at place `at` of every record's tokens. */
static int put_column(hr_normalizer *norm, const hr_fields *fields, size_t c, size_t at, size_t stride, hr_doc *doc) {
    const hr_fields_head *head = fields->head;
    size_t field = head->n_leading + c;
    hr_str name;
    HR_TRY(hr__norm_name(norm, HR_NAME_COLUMN, &head->names[c], 1, &norm->scratch, &name));
    int32_t table = hr__schema_find(norm->schema, norm->options.root_table);
    int32_t column = table < 0 ? -1 : hr__schema_find_column(norm->schema, table, name);
    uint8_t type = column < 0 ? HR_TYPE_UNSET : norm->schema->tables[table].columns[column].type;
    hr_field_kind kind = (hr_field_kind)head->kinds[c];
    bool is_given = kind != HR_FIELD_UNSET;
    if (!is_given && type == HR_TYPE_TEXT) {
        kind = HR_FIELD_TEXT; /* as it is written */
    } else if (!is_given && kind_of(fields, field, &doc->arena, &kind) != HR_OK) {
        return hr__norm_memory(norm);
    }
    for (size_t row = 0; row < fields->n_rows; row++) {
        hr_tok *toks = &doc->toks[row * stride + at];
        hr_str value;
        bool is_null;
        if (value_of(fields, row, field, &doc->arena, &value, &is_null) != HR_OK) {
            return hr__norm_memory(norm);
        }
        toks[0] =
            (hr_tok){.type = HR_TOK_STRING, .len = (uint32_t)head->names[c].size_bytes, .as.str = head->names[c].data};
        if (is_null) {
            toks[1] = (hr_tok){.type = HR_TOK_NULL};
        } else if (!put_value(head, kind, type == HR_TYPE_BIGINT, value, &toks[1])) {
            return not_of_kind(norm, fields, row, c, value);
        }
    }
    return HR_OK;
}

/* The rows as a document of objects; at: the objects. */
static int make_doc(hr_normalizer *norm, const hr_fields *fields, hr_doc *doc, size_t **at_out) {
    const hr_fields_head *head = fields->head;
    const hr_allocator *alloc = norm->options.alloc;
    size_t n_used = 0, n_toks;
    for (size_t c = 0; c < head->n_columns; c++) {
        n_used += head->used[c];
    }
    size_t stride = 1 + 2 * n_used;
    hr__doc_reset(doc);
    if (__builtin_mul_overflow(fields->n_rows, stride, &n_toks) ||
        hr__grow(alloc, (void **)&doc->toks, &doc->cap_toks, n_toks, sizeof *doc->toks) != HR_OK) {
        return hr__norm_memory(norm);
    }
    size_t *at = hr__arena_alloc(&doc->arena, (fields->n_rows + 1) * sizeof *at);
    if (at == NULL) {
        return hr__norm_memory(norm);
    }
    doc->n_toks = n_toks;
    doc->body = fields->text.data;
    doc->body_size_bytes = fields->text.size_bytes;
    for (size_t row = 0; row < fields->n_rows; row++) {
        at[row] = row * stride;
        doc->toks[row * stride] = (hr_tok){.type = HR_TOK_OBJECT,
                                           .len = (uint32_t)n_used,
                                           .as.at = {(uint32_t)((row + 1) * stride), fields->rows[row].start}};
    }
    size_t place = 1;
    for (size_t c = 0; c < head->n_columns; c++) {
        if (head->used[c]) {
            HR_TRY(put_column(norm, fields, c, place, stride, doc));
            place += 2;
        }
    }
    *at_out = at;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- a chunk */

int hr__normalize_fields(hr_normalizer *norm, const hr_fields *fields, uint64_t stream, hr_doc *doc, hr_batch *batch,
                         hr_error *err) {
    hr_error own = {.offset_bytes = -1, .record = -1};
    size_t *at;
    hr__norm_begin(norm, batch, &own);
    int rc = fill_columns(norm, fields, stream);
    if (rc == WALK_BAIL) {
        rc = make_doc(norm, fields, doc, &at);
        if (rc == HR_OK) {
            const hr_records records = {.doc = doc, .at = at, .n = fields->n_rows, .stream = stream};
            rc = hr__normalize(norm, &records, batch, &own);
        }
    }
    norm->err = &own; /* hr__normalize has given it back */
    if (rc != HR_OK && own.record >= 0) {
        own.record += fields->first_record;
        own.offset_bytes += own.offset_bytes < 0 ? 0 : fields->offset_bytes;
    }
    hr__norm_end(norm, rc, err);
    return rc;
}
