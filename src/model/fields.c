/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of text fields: life, values, places.
 */
#include "fields.h"

int hr__fields_head_new(const hr_allocator *alloc, hr_fields_head **head_out) {
    hr_fields_head *head = hr__calloc(alloc, 1, sizeof *head);
    if (head == NULL) {
        return HR_MEMORY;
    }
    head->alloc = alloc;
    atomic_store(&head->refs, 1);
    hr__arena_init(&head->arena, alloc, 0);
    head->decimal = '.';
    *head_out = head;
    return HR_OK;
}

void hr__fields_head_unref(hr_fields_head *head) {
    if (head == NULL || atomic_fetch_sub_explicit(&head->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    const hr_allocator *alloc = head->alloc;
    hr__arena_free(&head->arena);
    hr__free(alloc, head);
}

int hr__fields_head_null(hr_fields_head *head, hr_str text) {
    hr_str *nulls = hr__arena_alloc(&head->arena, (head->n_nulls + 1) * sizeof *nulls);
    char *copy = hr__arena_copy(&head->arena, text.data, text.size_bytes);
    if (nulls == NULL || copy == NULL) {
        return HR_MEMORY;
    }
    if (head->n_nulls != 0) {
        memcpy(nulls, head->nulls, head->n_nulls * sizeof *nulls);
    }
    nulls[head->n_nulls++] = (hr_str){copy, text.size_bytes};
    head->nulls = nulls;
    head->longest_null = text.size_bytes > head->longest_null ? text.size_bytes : head->longest_null;
    if (text.size_bytes == 0) {
        head->has_empty_null = true;
    } else {
        unsigned char first = (unsigned char)copy[0];
        head->null_first[first >> 6] |= (uint64_t)1 << (first & 63);
    }
    return HR_OK;
}

bool hr__fields_is_null_text(const hr_fields_head *head, hr_str value) {
    if (value.size_bytes > head->longest_null) {
        return false;
    }
    for (size_t i = 0; i < head->n_nulls; i++) {
        if (hr__str_eq(head->nulls[i], value)) {
            return true;
        }
    }
    return false;
}

int hr__fields_new(const hr_allocator *alloc, hr_fields_head *head, hr_fields **fields_out) {
    hr_fields *fields = hr__calloc(alloc, 1, sizeof *fields);
    if (fields == NULL) {
        return HR_MEMORY;
    }
    fields->alloc = alloc;
    hr__buf_init(&fields->text, alloc, 0);
    atomic_fetch_add_explicit(&head->refs, 1, memory_order_relaxed);
    fields->head = head;
    *fields_out = fields;
    return HR_OK;
}

void hr__fields_free(hr_fields *fields) {
    if (fields == NULL) {
        return;
    }
    const hr_allocator *alloc = fields->alloc;
    hr__buf_free(&fields->text);
    hr__free(alloc, fields->ends);
    hr__free(alloc, fields->rows);
    hr__fields_head_unref(fields->head);
    hr__free(alloc, fields);
}

/* The rules of pandas' tokenizer: a quote opens at the start of a field only; behind the closing one the rest is as it
 * stands. */
static size_t unquote(const hr_fields_head *head, hr_str raw, char *to) {
    bool is_inside = head->quote != 0 && raw.data[0] == head->quote;
    size_t n = 0;
    for (size_t i = is_inside ? 1 : 0; i < raw.size_bytes; i++) {
        char c = raw.data[i];
        if (head->escape != 0 && c == head->escape) {
            if (i + 1 < raw.size_bytes) {
                to[n++] = raw.data[++i];
            }
        } else if (is_inside && c == head->quote) {
            bool is_double = head->doublequote && i + 1 < raw.size_bytes && raw.data[i + 1] == head->quote;
            if (is_double) {
                to[n++] = c;
                i++;
            } else {
                is_inside = false;
            }
        } else {
            to[n++] = c;
        }
    }
    return n;
}

int hr__fields_value(const hr_fields_head *head, hr_str raw, hr_arena *arena, hr_str *value_out) {
    while (head->skip_space && raw.size_bytes != 0 && raw.data[0] == ' ') {
        raw = (hr_str){raw.data + 1, raw.size_bytes - 1};
    }
    bool quoted = raw.size_bytes != 0 && head->quote != 0 && raw.data[0] == head->quote;
    if (!quoted && (head->escape == 0 || memchr(raw.data, head->escape, raw.size_bytes) == NULL)) {
        *value_out = raw;
        return HR_OK;
    }
    if (quoted && raw.size_bytes >= 2 && raw.data[raw.size_bytes - 1] == head->quote &&
        memchr(raw.data + 1, head->quote, raw.size_bytes - 2) == NULL &&
        (head->escape == 0 || memchr(raw.data, head->escape, raw.size_bytes) == NULL)) {
        *value_out = (hr_str){raw.data + 1, raw.size_bytes - 2};
        return HR_OK;
    }
    char *to = hr__arena_alloc(arena, raw.size_bytes);
    if (to == NULL) {
        return HR_MEMORY;
    }
    *value_out = (hr_str){to, unquote(head, raw, to)};
    return HR_OK;
}

void hr__fields_place(const hr_fields *fields, size_t offset, int64_t *line_out, int64_t *column_out) {
    const char *text = fields->text.data;
    int64_t line = fields->first_line;
    size_t start = 0;
    for (size_t i = 0; i < offset && i < fields->text.size_bytes; i++) {
        bool ends = text[i] == '\n' || (text[i] == '\r' && (i + 1 >= fields->text.size_bytes || text[i + 1] != '\n'));
        if (ends) {
            line++;
            start = i + 1;
        }
    }
    *line_out = line;
    *column_out = (int64_t)(offset - start) + 1;
}
