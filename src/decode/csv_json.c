/* SPDX-License-Identifier: Apache-2.0
 *
 * CSV as JSON lines: the reader's chunks are kept, what each column is is found from all of them, then the rows are
 * written.
 */
#include "csv_json.h"

#include "doc_write.h"

/* What the values of a column may be, the first that is left counts. */
enum {
    KIND_INT = 1u << 0,    /* at most 18 digits */
    KIND_DOUBLE = 1u << 1, /* at most 15 digits before the point and behind it: none is lost */
    KIND_BOOL = 1u << 2,
    KIND_ANY = KIND_INT | KIND_DOUBLE | KIND_BOOL,
};
enum { MOST_INT = 18, MOST_WHOLE = 15, MOST_FRACTION = 15, MOST_EXPONENT = 2 }; /* digits */

typedef struct csv_body {
    hr_fields **chunks;
    size_t n, cap;
    const hr_allocator *alloc;
    hr_arena arena; /* values without quotes, of one row */
    uint8_t *kinds; /* of the columns */
    hr_str *labels; /* {"name": and ,"name": of the columns */
    hr_arena label_arena;
} csv_body;

/* ---------------------------------------------------------------------------------------------------- values */

static size_t n_digits(hr_str text, size_t at) {
    size_t n = 0;
    while (at + n < text.size_bytes && (unsigned char)(text.data[at + n] - '0') < 10) {
        n++;
    }
    return n;
}

static bool is_word(hr_str text, const char *lower) {
    static const char *const forms[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
    for (size_t i = *lower == 't' ? 0 : 3, end = i + 3; i < end; i++) {
        if (hr__str_eq(text, hr__str(forms[i]))) {
            return true;
        }
    }
    return false;
}

static uint8_t kinds_of(hr_str text) {
    if (is_word(text, "true") || is_word(text, "false")) {
        return KIND_BOOL;
    }
    size_t at = text.size_bytes != 0 && text.data[0] == '-' ? 1 : 0;
    size_t n = n_digits(text, at);
    if (n == 0 || (n > 1 && text.data[at] == '0')) {
        return 0;
    }
    at += n;
    uint8_t kinds = n <= MOST_WHOLE ? KIND_DOUBLE : 0;
    if (at == text.size_bytes) {
        return n <= MOST_INT ? kinds | KIND_INT : kinds;
    }
    if (text.data[at] == '.') {
        n = n_digits(text, ++at);
        kinds = n == 0 || n > MOST_FRACTION ? 0 : kinds;
        at += n;
    }
    if (at < text.size_bytes && (text.data[at] | 0x20) == 'e') {
        at++;
        at += at < text.size_bytes && (text.data[at] == '-' || text.data[at] == '+');
        n = n_digits(text, at);
        kinds = n == 0 || n > MOST_EXPONENT ? 0 : kinds;
        at += n;
    }
    return at == text.size_bytes ? kinds : 0;
}

static bool has_point(hr_str text) {
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (text.data[i] == '.' || (text.data[i] | 0x20) == 'e') {
            return true;
        }
    }
    return false;
}

static int write_value(hr_str text, uint8_t kinds, hr_buf *out, hr_error *err) {
    if ((kinds & KIND_INT) != 0) {
        return hr__str_eq(text, hr__str("-0")) ? hr__buf_append_str(out, "0")
                                               : hr__buf_append(out, text.data, text.size_bytes);
    }
    if ((kinds & KIND_DOUBLE) != 0) {
        HR_TRY(hr__buf_append(out, text.data, text.size_bytes));
        return has_point(text) ? HR_OK : hr__buf_append_str(out, ".0");
    }
    if ((kinds & KIND_BOOL) != 0) {
        return hr__buf_append_str(out, (text.data[0] | 0x20) == 't' ? "true" : "false");
    }
    return hr__doc_write_string(text, 0, out, err);
}

/* The value of a field; *is_null_out: it is null. HR_OK or HR_MEMORY. */
static int read_value(csv_body *csv, const hr_fields *chunk, size_t row, size_t field, hr_str *value_out,
                      bool *is_null_out) {
    hr_str raw = {"", 0};
    (void)hr__fields_raw(chunk, row, field, &raw);
    *value_out = raw;
    HR_TRY(hr__fields_is_plain(chunk->head, raw) ? HR_OK : hr__fields_value(chunk->head, raw, &csv->arena, value_out));
    bool is_quoted = raw.size_bytes != 0 && chunk->head->quote != 0 && raw.data[0] == chunk->head->quote;
    *is_null_out = !is_quoted && hr__fields_is_null(chunk->head, *value_out);
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- columns */

/* The record that an offset of a chunk's text is in; -1: none. */
static int64_t record_at(const hr_fields *chunk, int64_t offset) {
    size_t row = chunk->n_rows;
    while (row > 0 && (int64_t)chunk->rows[row - 1].start > offset) {
        row--;
    }
    return row == 0 ? -1 : chunk->first_record + (int64_t)row - 1;
}

static int keep(void *ctx, hr_fields *chunk, hr_error *err) {
    csv_body *csv = ctx;
    int rc = hr__csv_check_utf8(chunk, err);
    if (rc == HR_ENCODING && err != NULL) {
        err->record = record_at(chunk, err->offset_bytes - chunk->offset_bytes);
    }
    if (rc == HR_OK &&
        hr__grow(csv->alloc, (void **)&csv->chunks, &csv->cap, csv->n + 1, sizeof *csv->chunks) != HR_OK) {
        rc = hr__error_memory(err, HR_STAGE_DECODE);
    }
    if (rc != HR_OK) {
        hr__fields_free(chunk);
        return rc;
    }
    csv->chunks[csv->n++] = chunk;
    return HR_OK;
}

static int find_kinds(csv_body *csv, size_t n_columns) {
    memset(csv->kinds, KIND_ANY, n_columns);
    for (size_t i = 0; i < csv->n; i++) {
        const hr_fields *chunk = csv->chunks[i];
        for (size_t row = 0; row < chunk->n_rows; row++) {
            hr__arena_reset(&csv->arena);
            for (size_t c = 0; c < n_columns; c++) {
                hr_str value;
                bool is_null;
                if (csv->kinds[c] == 0) {
                    continue;
                }
                HR_TRY(read_value(csv, chunk, row, c, &value, &is_null));
                if (!is_null) {
                    csv->kinds[c] = (uint8_t)(csv->kinds[c] & kinds_of(value));
                }
            }
        }
    }
    return HR_OK;
}

static int make_labels(csv_body *csv, const hr_fields_head *head, hr_error *err) {
    hr_buf label;
    hr__buf_init(&label, csv->alloc, 0);
    int rc = HR_OK;
    for (size_t c = 0; c < head->n_columns && rc == HR_OK; c++) {
        label.size_bytes = 0;
        rc = hr__buf_append_str(&label, c == 0 ? "{" : ",");
        rc = rc != HR_OK ? rc : hr__doc_write_string(head->names[c], 0, &label, err);
        rc = rc != HR_OK ? rc : hr__buf_append_str(&label, ":");
        if (rc == HR_OK) {
            csv->labels[c] =
                (hr_str){hr__arena_copy(&csv->label_arena, label.data, label.size_bytes), label.size_bytes};
            rc = csv->labels[c].data == NULL ? HR_MEMORY : HR_OK;
        }
    }
    hr__buf_free(&label);
    return rc;
}

static int write_rows(csv_body *csv, size_t n_columns, hr_buf *out, hr_error *err) {
    for (size_t i = 0; i < csv->n; i++) {
        const hr_fields *chunk = csv->chunks[i];
        for (size_t row = 0; row < chunk->n_rows; row++) {
            hr__arena_reset(&csv->arena);
            for (size_t c = 0; c < n_columns; c++) {
                hr_str value;
                bool is_null;
                HR_TRY(read_value(csv, chunk, row, c, &value, &is_null));
                HR_TRY(hr__buf_append(out, csv->labels[c].data, csv->labels[c].size_bytes));
                HR_TRY(is_null ? hr__buf_append_str(out, "null") : write_value(value, csv->kinds[c], out, err));
            }
            HR_TRY(hr__buf_append_str(out, "}\n"));
        }
        hr__fields_free(csv->chunks[i]); /* its rows are written */
        csv->chunks[i] = NULL;
    }
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- a body */

/* More fields in the first row than there are names: pandas' unnamed index is an error here. */
static int check_first_row(const csv_body *csv, const hr_fields_head *head, hr_error *err) {
    if (head->n_leading == 0) {
        return HR_OK;
    }
    const hr_fields *chunk = csv->chunks[0];
    int rc = hr__error_at(err, HR_SYNTAX, HR_STAGE_DECODE, chunk->offset_bytes + (int64_t)chunk->rows[0].start,
                          "expected %zu fields, found %u in the row", head->n_columns, (unsigned)chunk->rows[0].n);
    if (err != NULL) {
        err->record = 0;
    }
    return rc;
}

static int write_body(csv_body *csv, const hr_fields_head *head, bool infer, hr_buf *out, hr_error *err) {
    size_t n = head->n_columns;
    HR_TRY(check_first_row(csv, head, err));
    csv->kinds = hr__calloc(csv->alloc, n + 1, sizeof *csv->kinds);
    csv->labels = hr__calloc(csv->alloc, n + 1, sizeof *csv->labels);
    if (csv->kinds == NULL || csv->labels == NULL) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    int rc = infer ? find_kinds(csv, n) : HR_OK;
    rc = rc != HR_OK ? rc : make_labels(csv, head, err);
    rc = rc != HR_OK ? rc : write_rows(csv, n, out, err);
    if (rc == HR_LIMIT) {
        return hr__error_set(err, HR_LIMIT, HR_STAGE_DECODE, "the rows as JSON are larger than allowed (%zu bytes)",
                             out->limit_bytes);
    }
    return rc == HR_MEMORY ? hr__error_memory(err, HR_STAGE_DECODE) : rc;
}

int hr__csv_json(const hr_csv_options *given, hr_str body, bool infer, hr_buf *out, hr_error *err) {
    hr_csv_options options = *given;
    options.strict_names = true;
    options.ragged = HR_CSV_RAGGED_RAISE;
    csv_body csv = {.alloc = options.alloc};
    hr_csv_reader *reader;
    HR_TRY(hr__csv_reader_new(&options, &reader, err));
    hr__arena_init(&csv.arena, csv.alloc, 0);
    hr__arena_init(&csv.label_arena, csv.alloc, 0);
    int rc = hr__csv_read(reader, body, keep, &csv, err);
    if (rc == HR_OK && csv.n != 0) {
        rc = write_body(&csv, csv.chunks[0]->head, infer, out, err);
    }
    for (size_t i = 0; i < csv.n; i++) {
        hr__fields_free(csv.chunks[i]);
    }
    hr__free(csv.alloc, csv.chunks);
    hr__free(csv.alloc, csv.kinds);
    hr__free(csv.alloc, csv.labels);
    hr__arena_free(&csv.arena);
    hr__arena_free(&csv.label_arena);
    hr__csv_reader_free(reader);
    return rc;
}
