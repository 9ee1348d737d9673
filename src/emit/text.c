/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows as text, a row at a time, a cell at a time. Each cell asks for the room it needs and then writes without
 * looking.
 */
#include "text.h"

#include "arrow.h"
#include "number.h"
#include "text_value.h"

/* A column with the part of the array that it is in. */
typedef struct bound_column {
    const hr_text_column *column;
    const hr_text_cell *cell;
    const uint8_t *valid; /* bits; NULL: all are */
    const void *values;   /* fixed-width values, bits (BOOL), or int32 offsets */
    const char *bytes;    /* of text and binary */
    int64_t offset;       /* of row 0 in these */
    uint8_t type;         /* hr_type; UNSET: all null */
    bool is_text;         /* offsets and bytes */
    int8_t scale;         /* DECIMAL that is not text */
} bound_column;

typedef struct writer {
    const hr_text_layout *layout;
    hr_buf *out;
    char *to, *end; /* free space of out */
    hr_error *err;
} writer;

/* ---------------------------------------------------------------------------------------------------- room */

static __attribute__((cold, noinline)) int no_room(writer *w, size_t n_bytes) {
    w->out->size_bytes = (size_t)(w->to - w->out->data);
    int rc = hr__buf_reserve(w->out, n_bytes);
    if (rc == HR_LIMIT) {
        return hr__error_set(w->err, HR_LIMIT, HR_STAGE_EMIT, "a row takes more than %zu bytes of text",
                             w->out->limit_bytes);
    }
    if (rc != HR_OK) {
        return hr__error_memory(w->err, HR_STAGE_EMIT);
    }
    w->to = w->out->data + w->out->size_bytes;
    w->end = w->out->data + w->out->cap_bytes;
    return HR_OK;
}

/* Room for n_bytes at w->to. */
static inline int room(writer *w, size_t n_bytes) {
    return HR_LIKELY((size_t)(w->end - w->to) >= n_bytes) ? HR_OK : no_room(w, n_bytes);
}

static inline void put(writer *w, hr_str text) {
    if (text.size_bytes != 0) {
        memcpy(w->to, text.data, text.size_bytes);
        w->to += text.size_bytes;
    }
}

static inline int append(writer *w, hr_str text) {
    HR_TRY(room(w, text.size_bytes));
    put(w, text);
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- text */

/* Bytes before the first that the set has. */
static inline size_t plain_prefix(const uint8_t set[256], hr_str text) {
    const uint8_t *at = (const uint8_t *)text.data;
    size_t i = 0, n = text.size_bytes;
    while (i + 8 <= n && (set[at[i]] | set[at[i + 1]] | set[at[i + 2]] | set[at[i + 3]] | set[at[i + 4]] |
                          set[at[i + 5]] | set[at[i + 6]] | set[at[i + 7]]) == 0) {
        i += 8;
    }
    while (i < n && set[at[i]] == 0) {
        i++;
    }
    return i;
}

static int append_escaped(writer *w, hr_str text) {
    for (;;) {
        size_t n = plain_prefix(w->layout->escaped, text);
        HR_TRY(append(w, (hr_str){text.data, n}));
        if (n == text.size_bytes) {
            return HR_OK;
        }
        HR_TRY(append(w, w->layout->escapes[text.data[n] & 127]));
        text = (hr_str){text.data + n + 1, text.size_bytes - n - 1};
    }
}

static int append_wrapped(writer *w, const hr_text_cell *cell, hr_str text) {
    HR_TRY(room(w, cell->open.size_bytes + text.size_bytes + cell->close.size_bytes));
    put(w, cell->open);
    put(w, text);
    put(w, cell->close);
    return HR_OK;
}

static int append_in_quotes(writer *w, const hr_text_cell *cell, hr_str text) {
    HR_TRY(append(w, cell->open));
    HR_TRY(append_escaped(w, text));
    return append(w, cell->close);
}

static int append_quoted(writer *w, const hr_text_cell *cell, hr_str text) {
    size_t n = plain_prefix(w->layout->quoted, text);
    if (n == text.size_bytes) {
        return append(w, text);
    }
    if (w->layout->quoted[(uint8_t)text.data[n]] == 2) {
        return hr__error_set(w->err, HR_UNSUPPORTED, HR_STAGE_EMIT, "the character \\x%02x cannot be written",
                             (unsigned)(uint8_t)text.data[n]);
    }
    return append_in_quotes(w, cell, text);
}

static int append_cell(writer *w, const hr_text_cell *cell, hr_str text) {
    switch (cell->form) {
    case HR_TEXT_WRAPPED:
        return append_wrapped(w, cell, text);
    case HR_TEXT_ESCAPED:
        return append_in_quotes(w, cell, text);
    case HR_TEXT_QUOTED:
        return append_quoted(w, cell, text);
    default:
        return hr__error_set(w->err, HR_UNSUPPORTED, HR_STAGE_EMIT, "a value of this type cannot be written");
    }
}

/* ---------------------------------------------------------------------------------------------------- values */

static int append_bytes(writer *w, const hr_text_cell *cell, hr_str bytes) {
    const uint8_t *data = (const uint8_t *)bytes.data;
    size_t n = bytes.size_bytes;
    bool hex = w->layout->bytes == HR_TEXT_BYTES_HEX;
    if (w->layout->bytes == HR_TEXT_BYTES_UTF8 && !hr__bytes_are_utf8(data, n)) {
        return hr__error_set(w->err, HR_ENCODING, HR_STAGE_EMIT, "bytes that are not UTF-8 cannot be written");
    }
    if (w->layout->bytes == HR_TEXT_BYTES_UTF8 || cell->form == HR_TEXT_REFUSED) {
        return append_cell(w, cell, bytes);
    }
    HR_TRY(append(w, cell->open));
    if (w->layout->bytes_max != 0) {
        char size[24];
        hr_str number = {size, hr__uint_repr(n, size)};
        HR_TRY(append(w, n <= w->layout->bytes_max ? number : hr__str("MAX")));
        HR_TRY(append(w, w->layout->size_close));
    }
    size_t size = hex ? 2 * n : (n + 2) / 3 * 4;
    HR_TRY(room(w, size));
    (hex ? hr__show_hex : hr__show_base64)(data, n, w->to);
    w->to += size;
    return append(w, cell->close);
}

/* Text of a value that is not text; 0: of no year that Python has. */
static size_t show(const writer *w, const bound_column *from, int64_t row, char *out) {
    int64_t at = from->offset + row;
    const int64_t *wide = from->values;
    switch (from->type) {
    case HR_TYPE_BIGINT:
        return hr__int_repr(wide[at], out);
    case HR_TYPE_DOUBLE: {
        double value = ((const double *)from->values)[at];
        return w->layout->orjson_doubles ? hr__double_repr_orjson(value, out) : hr__double_repr_python(value, out);
    }
    case HR_TYPE_TIMESTAMP: {
        size_t n = hr__show_timestamp(wide[at], w->layout->date_time, out);
        if (n != 0 && !from->column->naive) {
            memcpy(out + n, w->layout->zone.data, w->layout->zone.size_bytes);
            n += w->layout->zone.size_bytes;
        }
        return n;
    }
    case HR_TYPE_DATE:
        return hr__show_date(((const int32_t *)from->values)[at], out);
    case HR_TYPE_TIME:
        return hr__show_time(wide[at], out);
    default: { /* DECIMAL */
        __int128 value;
        memcpy(&value, (const char *)from->values + at * (int64_t)sizeof value, sizeof value);
        return hr__show_decimal(value, from->scale, out);
    }
    }
}

static int append_value(writer *w, const bound_column *from, int64_t row) {
    if (from->is_text) {
        const int32_t *offsets = (const int32_t *)from->values + from->offset + row;
        hr_str text = {from->bytes + offsets[0], (size_t)(offsets[1] - offsets[0])};
        return from->type == HR_TYPE_BINARY ? append_bytes(w, from->cell, text) : append_cell(w, from->cell, text);
    }
    if (from->type == HR_TYPE_BOOL) {
        return append_cell(w, from->cell, w->layout->words[hr__arrow_bit(from->values, from->offset + row)]);
    }
    char text[HR_TEXT_VALUE_MAX];
    size_t n = show(w, from, row, text);
    if (n == 0) {
        return hr__error_set(w->err, HR_RANGE, HR_STAGE_EMIT, "a date or time is not of the years 1 to 9999");
    }
    return append_cell(w, from->cell, (hr_str){text, n});
}

static int append_row(writer *w, const bound_column *columns, size_t n_columns, int64_t row) {
    const hr_text_layout *layout = w->layout;
    bool first = true;
    HR_TRY(append(w, layout->row_open));
    for (size_t c = 0; c < n_columns; c++) {
        const bound_column *from = &columns[c];
        bool is_null =
            from->type == HR_TYPE_UNSET || (from->valid != NULL && !hr__arrow_bit(from->valid, from->offset + row));
        if (is_null && layout->skip_null) {
            continue;
        }
        HR_TRY(first ? HR_OK : append(w, layout->cell_between));
        first = false;
        HR_TRY(append(w, from->column->label));
        HR_TRY(is_null ? append(w, layout->null) : append_value(w, from, row));
    }
    return append(w, layout->row_close);
}

/* ---------------------------------------------------------------------------------------------------- binding */

/* Whether the Arrow format is the one of the type; *scale_out for decimals that are numbers, else -1. */
static bool is_format_of(const char *format, uint8_t type, int *scale_out) {
    static const char *const formats[HR_TYPE_COUNT] = {
#define HR_X(name, dlt_name, format) format,
        HR_TYPE_MAP(HR_X)
#undef HR_X
    };
    *scale_out = -1;
    if (type == HR_TYPE_TIMESTAMP) {
        return strncmp(format, "tsu:", 4) == 0;
    }
    if (type != HR_TYPE_DECIMAL) {
        return strcmp(format, formats[type]) == 0;
    }
    unsigned precision, scale;
    if (!hr__arrow_decimal(hr__str(format), &precision, &scale)) {
        return strcmp(format, "u") == 0;
    }
    *scale_out = (int)scale;
    return scale <= 38;
}

static int bind_column(const hr_text_layout *layout, const hr_text_column *column, const struct ArrowSchema *schema,
                       const struct ArrowArray *array, bound_column *out, hr_error *err) {
    *out = (bound_column){.column = column};
    if (column->child < 0) {
        return HR_OK;
    }
    if (column->child >= array->n_children || column->child >= schema->n_children || column->type == HR_TYPE_UNSET ||
        column->type > HR_TYPE_BINARY) {
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_EMIT, "no such column");
    }
    const struct ArrowArray *child = array->children[column->child];
    const struct ArrowSchema *field = schema->children[column->child];
    int scale;
    if (field->dictionary != NULL || !is_format_of(field->format, column->type, &scale)) {
        return hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_EMIT, "column %s of type %s has the Arrow format %s",
                             field->name == NULL ? "" : field->name, hr__type_name((hr_type)column->type),
                             field->format);
    }
    out->cell = &layout->cells[column->type];
    out->is_text = column->type == HR_TYPE_TEXT || column->type == HR_TYPE_JSON || column->type == HR_TYPE_BINARY ||
                   (column->type == HR_TYPE_DECIMAL && scale < 0);
    out->type = column->type;
    out->scale = (int8_t)scale;
    out->offset = array->offset + child->offset;
    out->valid = child->null_count == 0 ? NULL : child->buffers[0];
    out->values = child->buffers[1];
    out->bytes = out->is_text && child->buffers[2] != NULL ? child->buffers[2] : "";
    return HR_OK;
}

int hr__text_rows(const hr_text_layout *layout, const hr_text_column *columns, size_t n_columns,
                  const struct ArrowSchema *schema, const struct ArrowArray *array, bool follows, int64_t *row,
                  size_t enough_bytes, hr_buf *out, hr_error *err) {
    assert(layout->zone.size_bytes <= HR_TEXT_ZONE_MAX);
    bound_column *bound = hr__calloc(out->alloc, n_columns == 0 ? 1 : n_columns, sizeof *bound);
    if (bound == NULL || hr__buf_reserve(out, 1) != HR_OK) {
        hr__free(out->alloc, bound);
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    int rc = HR_OK;
    for (size_t c = 0; c < n_columns && rc == HR_OK; c++) {
        rc = bind_column(layout, &columns[c], schema, array, &bound[c], err);
    }
    writer w = {layout, out, out->data + out->size_bytes, out->data + out->cap_bytes, err};
    size_t complete = out->size_bytes; /* bytes of whole rows */
    while (rc == HR_OK && *row < array->length && complete < enough_bytes) {
        rc = *row > 0 || follows ? append(&w, layout->row_between) : HR_OK;
        rc = rc != HR_OK ? rc : append_row(&w, bound, n_columns, *row);
        if (rc == HR_OK) {
            complete = (size_t)(w.to - out->data);
            ++*row;
        }
    }
    out->size_bytes = complete;
    hr__free(out->alloc, bound);
    return rc;
}
