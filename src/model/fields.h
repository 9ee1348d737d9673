/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of text fields: what the CSV decoder gives and normalize takes. A chunk owns its text; a field is a slice of it
 * as it was written, quotes and all.
 *
 *   text  a,"b ""x""",c\nd,,f\n      head->n_columns 3
 *   ends  1 11 13 15 16 18           of every field, in order
 *   rows  {start 0, first 0, n 3} {start 14, first 3, n 3}
 */
#ifndef HR_MODEL_FIELDS_H
#define HR_MODEL_FIELDS_H

#include "base.h"

#include <stdatomic.h>

/* What the values of a column are read as. */
typedef enum hr_field_kind {
    HR_FIELD_UNSET, /* what all of a chunk's values are: integers, else numbers, else true and false, else text */
    HR_FIELD_INT,   /* integers, where nothing is missing */
    HR_FIELD_FLOAT,
    HR_FIELD_BOOL,
    HR_FIELD_TEXT,
} hr_field_kind;

/* What the chunks of a file have in common. Counted; unchanged once the first chunk is there. */
typedef struct hr_fields_head {
    const hr_allocator *alloc; /* borrowed */
    _Atomic int refs;
    hr_arena arena;
    hr_str *names; /* n_columns */
    uint8_t *kinds;
    bool *used; /* false: the column is left out */
    size_t n_columns;
    size_t n_leading; /* fields before the first column, left out (pandas' unnamed index) */
    hr_str *nulls;    /* n_nulls texts that stand for null */
    size_t n_nulls, longest_null;
    uint64_t null_first[4]; /* bits of the bytes they begin with */
    bool has_empty_null;
    char quote, escape, decimal, thousands; /* 0: none */
    bool doublequote, skip_space;
} hr_fields_head;

typedef struct hr_fields_row {
    uint32_t start; /* of its first field in text */
    uint32_t first; /* its first field in ends */
    uint32_t n;     /* fields, at least 1 */
} hr_fields_row;

typedef struct hr_fields {
    const hr_allocator *alloc; /* borrowed */
    hr_fields_head *head;      /* referenced */
    hr_buf text;               /* with HR_FIELDS_PADDING readable bytes after it */
    uint32_t *ends;
    hr_fields_row *rows;
    size_t n_rows, cap_rows;
    int64_t first_record; /* number of the first row in the file, from 0 */
    int64_t first_line;   /* in the file, from 1 */
    int64_t offset_bytes; /* of text in the file, as UTF-8 */
} hr_fields;

#define HR_FIELDS_PADDING 64

HR_MUST_CHECK int hr__fields_head_new(const hr_allocator *alloc, hr_fields_head **head_out);
void hr__fields_head_unref(hr_fields_head *head);
/* Adds a text that stands for null. HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__fields_head_null(hr_fields_head *head, hr_str text);

HR_MUST_CHECK int hr__fields_new(const hr_allocator *alloc, hr_fields_head *head, hr_fields **fields_out);
void hr__fields_free(hr_fields *fields);

/* A field as it was written; false: the row is too short. */
static inline bool hr__fields_raw(const hr_fields *fields, size_t row, size_t field, hr_str *raw_out) {
    const hr_fields_row *at = &fields->rows[row];
    if (field >= at->n) {
        return false;
    }
    const uint32_t *end = &fields->ends[at->first + field];
    uint32_t start = field == 0 ? at->start : end[-1] + 1;
    *raw_out = (hr_str){fields->text.data + start, *end - start};
    return true;
}
/* Whether the field is its value, as it stands. */
static inline bool hr__fields_is_plain(const hr_fields_head *head, hr_str raw) {
    return raw.size_bytes == 0 ||
           ((head->quote == 0 || raw.data[0] != head->quote) && head->escape == 0 && !head->skip_space);
}
/* The value of a field: without quotes and escapes; new text goes to the arena. HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__fields_value(const hr_fields_head *head, hr_str raw, hr_arena *arena, hr_str *value_out);
/* Whether the value stands for null. */
bool hr__fields_is_null_text(const hr_fields_head *head, hr_str value);
static inline bool hr__fields_is_null(const hr_fields_head *head, hr_str value) {
    if (value.size_bytes == 0) {
        return head->has_empty_null;
    }
    unsigned char first = (unsigned char)value.data[0];
    return HR_UNLIKELY((head->null_first[first >> 6] >> (first & 63) & 1) != 0) && hr__fields_is_null_text(head, value);
}
/* Line of the file, from 1, and column in bytes, from 1, at an offset of text. */
void hr__fields_place(const hr_fields *fields, size_t offset, int64_t *line_out, int64_t *column_out);

#endif
