/* SPDX-License-Identifier: Apache-2.0
 *
 * Growing Arrow buffers, and their export through the C data interface
 * (https://arrow.apache.org/docs/format/CDataInterface.html).
 *
 *   column    rows  validity (1 bit)   values
 *   BIGINT       3  101                int64 x 3
 *   BOOL         3  111                1 bit x 3
 *   TEXT         3  110                offsets int32 x 4, bytes
 *
 * A column that is behind its table's rows is null for the missing ones; they are written when it next gets a value, or
 * at export.
 */
#include "emit.h"

#include <limits.h>
#include <stdio.h>

/* One growing allocation. */
typedef struct raw {
    char *data;
    size_t size_bytes, cap_bytes;
    size_t last_bytes; /* what it held when it was last exported: what the next one begins with */
} raw;

typedef struct emit_column {
    uint8_t type; /* hr_type */
    size_t n_rows, n_nulls;
    raw valid;   /* bits */
    raw values;  /* fixed-width values, bits (BOOL) or text bytes */
    raw offsets; /* int32 x (n_rows + 1), text only */
} emit_column;

typedef struct emit_table {
    emit_column *columns;
    size_t n_columns, cap_columns;
    size_t n_rows;
} emit_table;

struct hr_emitter {
    const hr_allocator *alloc; /* borrowed */
    emit_table *tables;
    size_t n_tables, cap_tables;
};

static int raw_reserve(const hr_allocator *alloc, raw *r, size_t extra_bytes) {
    size_t need;
    if (__builtin_add_overflow(r->size_bytes, extra_bytes, &need)) {
        return HR_MEMORY;
    }
    if (need <= r->cap_bytes) {
        return HR_OK;
    }
    size_t begin_bytes = r->last_bytes + r->last_bytes / 16;
    if (r->data == NULL && need <= begin_bytes) {
        r->data = hr__alloc(alloc, begin_bytes);
        r->cap_bytes = r->data == NULL ? 0 : begin_bytes;
        return r->data == NULL ? HR_MEMORY : HR_OK;
    }
    return hr__grow(alloc, (void **)&r->data, &r->cap_bytes, need < 64 ? 64 : need, 1);
}

/* Gives the bytes away. */
static void *raw_take(raw *r) {
    void *data = r->data;
    *r = (raw){.last_bytes = r->size_bytes};
    return data;
}

static bool is_text(uint8_t type) {
    return type == HR_TYPE_TEXT || type == HR_TYPE_JSON || type == HR_TYPE_BINARY;
}

/* Bytes of one fixed-width value. */
static size_t width_of(uint8_t type) {
    return type == HR_TYPE_DATE ? 4 : type == HR_TYPE_DECIMAL ? 16 : 8;
}

/* Appends n bits, all `value`, to a bit buffer that holds n_bits. */
static int bits_fill(const hr_allocator *alloc, raw *bits, size_t n_bits, size_t n, bool value) {
    size_t bytes = (n_bits + n + 7) / 8;
    HR_TRY(raw_reserve(alloc, bits, bytes - bits->size_bytes));
    if (bytes > bits->size_bytes) {
        memset(bits->data + bits->size_bytes, 0, bytes - bits->size_bytes);
        bits->size_bytes = bytes;
    }
    if (!value) {
        return HR_OK;
    }
    size_t at = n_bits;
    size_t end = n_bits + n;
    for (; at < end && (at & 7) != 0; at++) {
        bits->data[at >> 3] = (char)(bits->data[at >> 3] | (1u << (at & 7)));
    }
    if (end - at >= 8) {
        memset(bits->data + (at >> 3), 0xFF, (end - at) / 8);
        at += (end - at) & ~(size_t)7;
    }
    for (; at < end; at++) {
        bits->data[at >> 3] = (char)(bits->data[at >> 3] | (1u << (at & 7)));
    }
    return HR_OK;
}

/* Sets bit at of a buffer whose bits from there on are zero. */
static void bit_set(raw *bits, size_t at) {
    bits->data[at >> 3] = (char)(bits->data[at >> 3] | (1u << (at & 7)));
}

/* n nulls behind the column's rows. */
static int append_nulls(const hr_allocator *alloc, emit_column *column, size_t n) {
    if (n == 0) {
        return HR_OK;
    }
    HR_TRY(bits_fill(alloc, &column->valid, column->n_rows, n, false));
    if (column->type == HR_TYPE_BOOL) {
        HR_TRY(bits_fill(alloc, &column->values, column->n_rows, n, false));
    } else if (is_text(column->type)) {
        HR_TRY(raw_reserve(alloc, &column->offsets, n * sizeof(int32_t)));
        int32_t last = (int32_t)column->values.size_bytes;
        int32_t *to = (int32_t *)(column->offsets.data + column->offsets.size_bytes);
        for (size_t i = 0; i < n; i++) {
            to[i] = last;
        }
        column->offsets.size_bytes += n * sizeof(int32_t);
    } else {
        size_t bytes = n * width_of(column->type);
        HR_TRY(raw_reserve(alloc, &column->values, bytes));
        memset(column->values.data + column->values.size_bytes, 0, bytes);
        column->values.size_bytes += bytes;
    }
    column->n_rows += n;
    column->n_nulls += n;
    return HR_OK;
}

/* memcpy for texts, most of which are short: in line, each byte once or twice. */
static inline void copy_text(char *to, const char *from, size_t n) {
    if (n > 32) {
        memcpy(to, from, n);
    } else if (n >= 16) {
        memcpy(to, from, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else if (n != 0) {
        to[0] = from[0];
        to[n / 2] = from[n / 2];
        to[n - 1] = from[n - 1];
    }
}

static int append_text(const hr_allocator *alloc, emit_column *column, const hr_batch_column *from, hr_str name,
                       hr_error *err) {
    size_t n = from->n_cells;
    if (from->text_bytes > (size_t)INT32_MAX - column->values.size_bytes) {
        return hr__error_set(err, HR_LIMIT, HR_STAGE_EMIT,
                             "column %.*s holds more than 2 GiB of text in one batch: make the pages smaller",
                             (int)name.size_bytes, name.data);
    }
    if (raw_reserve(alloc, &column->offsets, n * sizeof(int32_t)) != HR_OK ||
        raw_reserve(alloc, &column->values, from->text_bytes) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    char *bytes = column->values.data + column->values.size_bytes;
    char *start = column->values.data;
    int32_t *offsets = (int32_t *)(column->offsets.data + column->offsets.size_bytes);
    for (size_t i = 0; i < n; i++) {
        if (from->valid[i]) {
            copy_text(bytes, from->cells[i].str, from->sizes[i]);
            bytes += from->sizes[i];
        }
        offsets[i] = (int32_t)(bytes - start);
    }
    column->values.size_bytes = (size_t)(bytes - start);
    column->offsets.size_bytes += n * sizeof(int32_t);
    return HR_OK;
}

static int append_fixed(const hr_allocator *alloc, emit_column *column, const hr_batch_column *from) {
    size_t n = from->n_cells;
    if (column->type == HR_TYPE_BOOL) {
        HR_TRY(bits_fill(alloc, &column->values, column->n_rows, n, false));
        for (size_t i = 0; i < n; i++) {
            if (from->valid[i] && from->cells[i].i != 0) {
                bit_set(&column->values, column->n_rows + i);
            }
        }
        return HR_OK;
    }
    size_t width = width_of(column->type);
    HR_TRY(raw_reserve(alloc, &column->values, n * width));
    char *to = column->values.data + column->values.size_bytes;
    if (width == 8) {
        memcpy(to, from->cells, n * width);
        if (from->any_null) { /* what stands in a null cell is arbitrary: write zeros */
            for (size_t i = 0; i < n; i++) {
                if (!from->valid[i]) {
                    memset(to + i * 8, 0, 8);
                }
            }
        }
    } else {
        memset(to, 0, n * width);
        for (size_t i = 0; i < n; i++) {
            if (!from->valid[i]) {
                continue;
            }
            if (column->type == HR_TYPE_DATE) {
                int32_t days = (int32_t)from->cells[i].i;
                memcpy(to + i * width, &days, sizeof days);
            } else {
                memcpy(to + i * width, from->cells[i].str, width);
            }
        }
    }
    column->values.size_bytes += n * width;
    return HR_OK;
}

/* Validity of from's n_cells rows. */
static int append_valid(const hr_allocator *alloc, emit_column *column, const hr_batch_column *from) {
    size_t n = from->n_cells;
    if (!from->any_null) {
        return bits_fill(alloc, &column->valid, column->n_rows, n, true);
    }
    HR_TRY(bits_fill(alloc, &column->valid, column->n_rows, n, false));
    for (size_t i = 0; i < n; i++) {
        if (from->valid[i]) {
            bit_set(&column->valid, column->n_rows + i);
        } else {
            column->n_nulls++;
        }
    }
    return HR_OK;
}

static int append_column(const hr_allocator *alloc, emit_column *column, size_t n_before, const hr_batch_column *from,
                         hr_str name, hr_error *err) {
    if (from->n_cells == 0) {
        return HR_OK; /* stays behind; padded later */
    }
    if (append_nulls(alloc, column, n_before - column->n_rows) != HR_OK || append_valid(alloc, column, from) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    if (is_text(column->type)) {
        HR_TRY(append_text(alloc, column, from, name, err));
    } else if (append_fixed(alloc, column, from) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    column->n_rows += from->n_cells;
    return HR_OK;
}

/* hr_type of the column as it leaves. */
static uint8_t emitted_type(const hr_schema *schema, const hr_column *spec) {
    bool as_text = spec->type > HR_TYPE_BINARY || (spec->type == HR_TYPE_DECIMAL && schema->for_text);
    return as_text ? HR_TYPE_TEXT : spec->type;
}

/* The table's columns as many and of the types as the schema's. */
static int match_columns(const hr_allocator *alloc, const hr_schema *schema, emit_table *tbl, const hr_table *table) {
    HR_TRY(hr__grow(alloc, (void **)&tbl->columns, &tbl->cap_columns, table->n_columns, sizeof *tbl->columns));
    for (size_t c = tbl->n_columns; c < table->n_columns; c++) {
        tbl->columns[c] = (emit_column){0};
        tbl->n_columns++;
    }
    for (size_t c = 0; c < table->n_columns; c++) {
        emit_column *column = &tbl->columns[c];
        if (column->type != HR_TYPE_UNSET || table->columns[c].type == HR_TYPE_UNSET) {
            continue;
        }
        uint8_t type = emitted_type(schema, &table->columns[c]);
        if (is_text(type)) {
            HR_TRY(raw_reserve(alloc, &column->offsets, sizeof(int32_t)));
            memset(column->offsets.data, 0, sizeof(int32_t));
            column->offsets.size_bytes = sizeof(int32_t);
        }
        column->type = type;
    }
    return HR_OK;
}

static int match_tables(hr_emitter *emitter, const hr_schema *schema) {
    HR_TRY(hr__grow(emitter->alloc, (void **)&emitter->tables, &emitter->cap_tables, schema->n_tables,
                    sizeof *emitter->tables));
    while (emitter->n_tables < schema->n_tables) {
        emitter->tables[emitter->n_tables++] = (emit_table){0};
    }
    return HR_OK;
}

int hr__emitter_new(const hr_allocator *alloc, hr_emitter **emitter_out, hr_error *err) {
    hr_emitter *emitter = hr__calloc(alloc, 1, sizeof *emitter);
    if (emitter == NULL) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    emitter->alloc = alloc;
    *emitter_out = emitter;
    return HR_OK;
}

static void column_free(const hr_allocator *alloc, emit_column *column) {
    hr__free(alloc, column->valid.data);
    hr__free(alloc, column->values.data);
    hr__free(alloc, column->offsets.data);
    *column = (emit_column){0};
}

void hr__emitter_free(hr_emitter *emitter) {
    if (emitter == NULL) {
        return;
    }
    const hr_allocator *alloc = emitter->alloc;
    for (size_t t = 0; t < emitter->n_tables; t++) {
        for (size_t c = 0; c < emitter->tables[t].n_columns; c++) {
            column_free(alloc, &emitter->tables[t].columns[c]);
        }
        hr__free(alloc, emitter->tables[t].columns);
    }
    hr__free(alloc, emitter->tables);
    hr__free(alloc, emitter);
}

int hr__emitter_append(hr_emitter *emitter, const hr_schema *schema, const hr_batch *batch, hr_error *err) {
    if (match_tables(emitter, schema) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    for (size_t t = 0; t < batch->n_tables; t++) {
        const hr_batch_table *from = &batch->tables[t];
        emit_table *tbl = &emitter->tables[t];
        if (from->n_rows == 0) {
            continue;
        }
        if (match_columns(emitter->alloc, schema, tbl, &schema->tables[t]) != HR_OK) {
            return hr__error_memory(err, HR_STAGE_EMIT);
        }
        for (size_t c = 0; c < from->n_columns; c++) {
            HR_TRY(append_column(emitter->alloc, &tbl->columns[c], tbl->n_rows, &from->columns[c],
                                 schema->tables[t].columns[c].name, err));
        }
        tbl->n_rows += from->n_rows;
    }
    return HR_OK;
}

size_t hr__emitter_table_bytes(const hr_emitter *emitter, int32_t table) {
    size_t bytes = 0;
    for (size_t c = 0; (size_t)table < emitter->n_tables && c < emitter->tables[table].n_columns; c++) {
        const emit_column *column = &emitter->tables[table].columns[c];
        bytes += column->valid.size_bytes + column->values.size_bytes + column->offsets.size_bytes;
    }
    return bytes;
}

size_t hr__emitter_bytes(const hr_emitter *emitter) {
    size_t bytes = 0;
    for (size_t t = 0; t < emitter->n_tables; t++) {
        bytes += hr__emitter_table_bytes(emitter, (int32_t)t);
    }
    return bytes;
}

size_t hr__emitter_rows(const hr_emitter *emitter, int32_t table) {
    return (size_t)table < emitter->n_tables ? emitter->tables[table].n_rows : 0;
}

/* ---------------------------------------------------------------------------------------------------- export */

/* What an exported array or schema of ours owns. One allocation for the children's structs and pointers. */
typedef struct exported {
    const hr_allocator *alloc; /* borrowed; outlives the array, see emit.h */
    const void *buffers[3];
    char *text; /* schema: format and name */
} exported;

static void array_release(struct ArrowArray *array) {
    exported *own = array->private_data;
    const hr_allocator *alloc = own->alloc;
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release != NULL) {
            array->children[i]->release(array->children[i]);
        }
        hr__free(alloc, array->children[i]);
    }
    hr__free(alloc, array->children);
    for (int64_t i = 0; i < array->n_buffers; i++) {
        hr__free(alloc, (void *)own->buffers[i]);
    }
    hr__free(alloc, own);
    array->release = NULL;
}

static void schema_release(struct ArrowSchema *schema) {
    exported *own = schema->private_data;
    const hr_allocator *alloc = own->alloc;
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release != NULL) {
            schema->children[i]->release(schema->children[i]);
        }
        hr__free(alloc, schema->children[i]);
    }
    hr__free(alloc, schema->children);
    hr__free(alloc, own->text);
    hr__free(alloc, own);
    schema->release = NULL;
}

/* Gives array its private part and room for n_children released children; array can be released from then on. */
static int array_init(const hr_allocator *alloc, struct ArrowArray *array, size_t n_children) {
    *array = (struct ArrowArray){0};
    exported *own = hr__calloc(alloc, 1, sizeof *own);
    if (own == NULL) {
        return HR_MEMORY;
    }
    own->alloc = alloc;
    array->private_data = own;
    array->buffers = own->buffers;
    array->release = array_release;
    if (n_children == 0) {
        return HR_OK;
    }
    array->children = hr__calloc(alloc, n_children, sizeof *array->children);
    if (array->children == NULL) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < n_children; i++) {
        array->children[i] = hr__calloc(alloc, 1, sizeof **array->children);
        if (array->children[i] == NULL) {
            return HR_MEMORY;
        }
        array->n_children++;
    }
    return HR_OK;
}

static int schema_init(const hr_allocator *alloc, struct ArrowSchema *schema, const char *format, hr_str name,
                       bool nullable, size_t n_children) {
    *schema = (struct ArrowSchema){0};
    exported *own = hr__calloc(alloc, 1, sizeof *own);
    if (own == NULL) {
        return HR_MEMORY;
    }
    own->alloc = alloc;
    schema->private_data = own;
    schema->release = schema_release;
    schema->flags = nullable ? ARROW_FLAG_NULLABLE : 0;
    size_t format_size = strlen(format) + 1;
    own->text = hr__alloc(alloc, format_size + name.size_bytes + 1);
    if (own->text == NULL) {
        return HR_MEMORY;
    }
    memcpy(own->text, format, format_size);
    if (name.size_bytes != 0) {
        memcpy(own->text + format_size, name.data, name.size_bytes);
    }
    own->text[format_size + name.size_bytes] = '\0';
    schema->format = own->text;
    schema->name = own->text + format_size;
    if (n_children == 0) {
        return HR_OK;
    }
    schema->children = hr__calloc(alloc, n_children, sizeof *schema->children);
    if (schema->children == NULL) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < n_children; i++) {
        schema->children[i] = hr__calloc(alloc, 1, sizeof **schema->children);
        if (schema->children[i] == NULL) {
            return HR_MEMORY;
        }
        schema->n_children++;
    }
    return HR_OK;
}

static const char *const formats[] = {
#define HR_X(name, dlt_name, format) format,
    HR_TYPE_MAP(HR_X)
#undef HR_X
};

static int export_column(const hr_allocator *alloc, emit_column *column, const hr_column *spec, size_t n_rows,
                         struct ArrowArray *array, struct ArrowSchema *schema) {
    char decimal[32];
    const char *format = formats[column->type];
    if (column->type == HR_TYPE_DECIMAL) {
        snprintf(decimal, sizeof decimal, "d:%d,%d", spec->precision, spec->scale);
        format = decimal;
    }
    HR_TRY(append_nulls(alloc, column, n_rows - column->n_rows));
    HR_TRY(schema_init(alloc, schema, format, spec->name, (spec->flags & HR_COL_NOT_NULL) == 0, 0));
    HR_TRY(array_init(alloc, array, 0));
    bool text = is_text(column->type);
    if (column->values.data == NULL) { /* Arrow wants a buffer even for no bytes */
        HR_TRY(raw_reserve(alloc, &column->values, 64));
    }
    exported *own = array->private_data;
    array->length = (int64_t)n_rows;
    array->null_count = (int64_t)column->n_nulls;
    void *valid = raw_take(&column->valid);
    if (column->n_nulls != 0) {
        own->buffers[0] = valid;
    } else {
        hr__free(alloc, valid);
    }
    if (text) {
        own->buffers[1] = raw_take(&column->offsets);
        own->buffers[2] = raw_take(&column->values);
        array->n_buffers = 3;
    } else {
        own->buffers[1] = raw_take(&column->values);
        array->n_buffers = 2;
    }
    column->n_rows = column->n_nulls = 0;
    column->type = HR_TYPE_UNSET; /* match_columns begins it anew */
    return HR_OK;
}

int hr__emitter_export(hr_emitter *emitter, const hr_schema *schema, int32_t table, struct ArrowArray *array_out,
                       struct ArrowSchema *schema_out, hr_error *err) {
    const hr_allocator *alloc = emitter->alloc;
    struct ArrowArray array = {0};
    struct ArrowSchema arrow_schema = {0};
    const hr_table *spec = &schema->tables[table];
    size_t n_children = 0;
    for (size_t c = 0; c < spec->n_columns; c++) {
        n_children += spec->columns[c].type != HR_TYPE_UNSET;
    }
    if (match_tables(emitter, schema) != HR_OK) {
        goto fail;
    }
    emit_table *tbl = &emitter->tables[table];
    if (match_columns(alloc, schema, tbl, spec) != HR_OK || array_init(alloc, &array, n_children) != HR_OK ||
        schema_init(alloc, &arrow_schema, "+s", (hr_str){NULL, 0}, false, n_children) != HR_OK) {
        goto fail;
    }
    array.length = (int64_t)tbl->n_rows;
    array.n_buffers = 1;
    size_t child = 0;
    for (size_t c = 0; c < spec->n_columns; c++) {
        if (spec->columns[c].type == HR_TYPE_UNSET) {
            continue;
        }
        if (export_column(alloc, &tbl->columns[c], &spec->columns[c], tbl->n_rows, array.children[child],
                          arrow_schema.children[child]) != HR_OK) {
            goto fail;
        }
        child++;
    }
    tbl->n_rows = 0;
    *array_out = array;
    *schema_out = arrow_schema;
    return HR_OK;
fail:
    if (array.release != NULL) {
        array.release(&array);
    }
    if (arrow_schema.release != NULL) {
        arrow_schema.release(&arrow_schema);
    }
    return hr__error_memory(err, HR_STAGE_EMIT);
}
