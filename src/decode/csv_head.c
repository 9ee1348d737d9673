/* SPDX-License-Identifier: Apache-2.0
 *
 * The columns of a CSV file.
 */
#include "csv_head.h"

#include <stdio.h>

static int copy_strs(hr_arena *arena, const hr_str **strs, size_t n) {
    hr_str *copy = hr__arena_alloc(arena, (n + 1) * sizeof *copy);
    if (copy == NULL) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        copy[i] = (hr_str){hr__arena_copy(arena, (*strs)[i].data, (*strs)[i].size_bytes), (*strs)[i].size_bytes};
        if (copy[i].data == NULL) {
            return HR_MEMORY;
        }
    }
    *strs = copy;
    return HR_OK;
}

int hr__csv_options_copy(hr_csv_options *options, hr_arena *arena) {
    HR_TRY(copy_strs(arena, &options->names, options->n_names));
    HR_TRY(copy_strs(arena, &options->use_names, options->n_use_names));
    HR_TRY(copy_strs(arena, &options->nulls, options->n_nulls));
    uint32_t *places = hr__arena_alloc(arena, (options->n_use_places + 1) * sizeof *places);
    hr_csv_kind *kinds = hr__arena_alloc(arena, (options->n_kinds + 1) * sizeof *kinds);
    if (places == NULL || kinds == NULL) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < options->n_use_places; i++) {
        places[i] = options->use_places[i];
    }
    for (size_t i = 0; i < options->n_kinds; i++) {
        kinds[i] = options->kinds[i];
        kinds[i].name.data = hr__arena_copy(arena, kinds[i].name.data, kinds[i].name.size_bytes);
        if (kinds[i].name.data == NULL) {
            return HR_MEMORY;
        }
    }
    options->use_places = places;
    options->kinds = kinds;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- names */

/* Names by their text, for headers of thousands: open addressing, place + 1. */
typedef struct name_set {
    const hr_str *names;
    uint32_t *slots;
    uint32_t *counts; /* how many names were made of this one */
    size_t cap;
} name_set;

/* Slot of the name; *found_out: its place, or SIZE_MAX. */
static size_t find(const name_set *set, hr_str name, size_t *found_out) {
    size_t at = hr__str_hash(name) & (set->cap - 1);
    for (; set->slots[at] != 0; at = (at + 1) & (set->cap - 1)) {
        if (hr__str_eq(set->names[set->slots[at] - 1], name)) {
            *found_out = set->slots[at] - 1;
            return at;
        }
    }
    *found_out = SIZE_MAX;
    return at;
}

static int numbered(hr_arena *arena, hr_str name, size_t number, hr_str *out) {
    char *text = hr__arena_alloc(arena, name.size_bytes + 24);
    if (text == NULL) {
        return HR_MEMORY;
    }
    memcpy(text, name.data, name.size_bytes);
    int n = snprintf(text + name.size_bytes, 24, ".%zu", number);
    *out = (hr_str){text, name.size_bytes + (size_t)n};
    return HR_OK;
}

/* A second `a` is `a.1`, or the next number that no column has. */
static int make_different(hr_fields_head *head, hr_str *names, size_t n) {
    size_t cap = 16;
    while (cap < n * 4) {
        cap *= 2;
    }
    name_set all = {.names = names, .cap = cap}, made = {.names = names, .cap = cap};
    int rc = HR_MEMORY;
    all.slots = hr__calloc(head->alloc, cap, sizeof *all.slots);
    made.slots = hr__calloc(head->alloc, cap, sizeof *made.slots);
    all.counts = hr__calloc(head->alloc, n + 1, sizeof *all.counts);
    hr_str *given = hr__arena_alloc(&head->arena, (n + 1) * sizeof *given);
    if (all.slots == NULL || made.slots == NULL || all.counts == NULL || given == NULL) {
        goto out;
    }
    memcpy(given, names, n * sizeof *names);
    all.names = given;
    size_t found;
    for (size_t i = 0; i < n; i++) {
        size_t slot = find(&all, given[i], &found);
        if (found == SIZE_MAX) {
            all.slots[slot] = (uint32_t)i + 1;
        }
    }
    for (size_t i = 0; i < n; i++) {
        size_t first;
        (void)find(&all, given[i], &first);
        for (hr_str name = given[i]; all.counts[first] != 0;) {
            size_t of_header;
            if (numbered(&head->arena, given[i], all.counts[first], &name) != HR_OK) {
                goto out;
            }
            find(&all, name, &of_header);
            find(&made, name, &found);
            if (of_header == SIZE_MAX && found == SIZE_MAX) {
                names[i] = name;
                break;
            }
            all.counts[first]++;
        }
        all.counts[first]++;
        size_t slot = find(&made, names[i], &found);
        made.slots[slot] = (uint32_t)i + 1;
    }
    rc = HR_OK;
out:
    hr__free(head->alloc, all.slots);
    hr__free(head->alloc, all.counts);
    hr__free(head->alloc, made.slots);
    return rc;
}

static int number_names(hr_fields_head *head, hr_str *names, size_t from, size_t to, const char *format) {
    for (size_t i = from; i < to; i++) {
        char *text = hr__arena_alloc(&head->arena, 32);
        if (text == NULL) {
            return HR_MEMORY;
        }
        names[i] = (hr_str){text, (size_t)snprintf(text, 32, format, i)};
    }
    return HR_OK;
}

/* The texts of a chunk's only row, in the head's arena. */
static int header_texts(const hr_csv_options *options, const hr_fields *chunk, hr_fields_head *head, hr_str *names) {
    const hr_csv_dialect *d = &options->dialect;
    hr_fields_head rules = {
        .quote = d->quote, .escape = d->escape, .doublequote = d->doublequote, .skip_space = d->skip_space};
    for (size_t i = 0; i < chunk->rows[0].n; i++) {
        hr_str raw = {NULL, 0}, value;
        (void)hr__fields_raw(chunk, 0, i, &raw);
        HR_TRY(hr__fields_value(&rules, raw, &head->arena, &value));
        if (value.size_bytes == 0 && !options->strict_names) {
            HR_TRY(number_names(head, names, i, i + 1, "Unnamed: %zu"));
            continue;
        }
        names[i] = (hr_str){hr__arena_copy(&head->arena, value.data, value.size_bytes), value.size_bytes};
        if (names[i].data == NULL) {
            return HR_MEMORY;
        }
    }
    return HR_OK;
}

/* Refuses a name that comes twice. */
static int check_different(const hr_fields_head *head, const hr_str *names, size_t n, hr_error *err) {
    name_set set = {.names = names, .cap = 16};
    while (set.cap < n * 2) {
        set.cap *= 2;
    }
    set.slots = hr__calloc(head->alloc, set.cap, sizeof *set.slots);
    if (set.slots == NULL) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    int rc = HR_OK;
    for (size_t i = 0; i < n && rc == HR_OK; i++) {
        size_t found, slot = find(&set, names[i], &found);
        if (found == SIZE_MAX) {
            set.slots[slot] = (uint32_t)i + 1;
        } else {
            rc = hr__error_set(err, HR_SYNTAX, HR_STAGE_DECODE, "the header has `%.*s` twice",
                               (int)(names[i].size_bytes < 80 ? names[i].size_bytes : 80), names[i].data);
        }
    }
    hr__free(head->alloc, set.slots);
    return rc;
}

int hr__csv_head_names(const hr_csv_options *options, const hr_fields *chunk, hr_fields_head *head, hr_error *err) {
    size_t n = chunk->rows[0].n;
    if (options->has_names) {
        return HR_OK;
    }
    hr_fields row = *chunk; /* what is behind the row is looked at with its chunk */
    row.text.size_bytes = chunk->ends[chunk->rows[0].first + n - 1];
    HR_TRY(hr__csv_check_utf8(&row, err));
    hr_str *names = hr__arena_alloc(&head->arena, (n + 1) * sizeof *names);
    if (names == NULL || header_texts(options, chunk, head, names) != HR_OK ||
        (!options->strict_names && make_different(head, names, n) != HR_OK)) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    HR_TRY(options->strict_names ? check_different(head, names, n, err) : HR_OK);
    head->names = names;
    head->n_columns = n;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- columns */

/* Names where the file has none, and for fields beyond those that have one. */
static int name_rest(const hr_csv_options *options, size_t n_first, hr_fields_head *head) {
    if (options->has_names) {
        hr_str *names = hr__arena_alloc(&head->arena, (options->n_names + 1) * sizeof *names);
        if (names == NULL) {
            return HR_MEMORY;
        }
        memcpy(names, options->names, options->n_names * sizeof *names);
        for (size_t i = 0; i < options->n_names; i++) { /* the head may outlive the options */
            names[i].data = hr__arena_copy(&head->arena, names[i].data, names[i].size_bytes);
            if (names[i].data == NULL) {
                return HR_MEMORY;
            }
        }
        head->names = names;
        head->n_columns = options->n_names;
    } else if (head->names == NULL) {
        hr_str *names = hr__arena_alloc(&head->arena, (n_first + 1) * sizeof *names);
        if (names == NULL || number_names(head, names, 0, n_first, "%zu") != HR_OK) {
            return HR_MEMORY;
        }
        head->names = names;
        head->n_columns = n_first;
    }
    bool has_more = n_first > head->n_columns && !options->has_use;
    head->n_leading = has_more ? n_first - head->n_columns : 0;
    return HR_OK;
}

static int mark_used(const hr_csv_options *options, hr_fields_head *head, hr_error *err) {
    for (size_t i = 0; i < options->n_use_places; i++) {
        if (options->use_places[i] >= head->n_columns) {
            return hr__error_set(err, HR_ARGUMENT, HR_STAGE_DECODE, "usecols asks for column %u of %zu",
                                 options->use_places[i], head->n_columns);
        }
        head->used[options->use_places[i]] = true;
    }
    for (size_t i = 0; i < options->n_use_names; i++) {
        bool found = false;
        for (size_t c = 0; c < head->n_columns; c++) {
            bool is_it = hr__str_eq(head->names[c], options->use_names[i]);
            head->used[c] |= is_it;
            found |= is_it;
        }
        if (!found) {
            return hr__error_set(err, HR_ARGUMENT, HR_STAGE_DECODE,
                                 "usecols asks for column '%.*s', which is not there",
                                 (int)(options->use_names[i].size_bytes & 0xFF), options->use_names[i].data);
        }
    }
    return HR_OK;
}

int hr__csv_head_columns(const hr_csv_options *options, size_t n_first, hr_fields_head *head, hr_error *err) {
    if (name_rest(options, n_first, head) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    size_t n = head->n_columns;
    head->kinds = hr__arena_alloc(&head->arena, n + 1);
    head->used = hr__arena_alloc(&head->arena, n + 1);
    if (head->kinds == NULL || head->used == NULL) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    memset(head->used, !options->has_use, n);
    HR_TRY(mark_used(options, head, err));
    for (size_t c = 0; c < n; c++) {
        head->kinds[c] = (uint8_t)options->kind;
        for (size_t i = 0; i < options->n_kinds; i++) {
            if (hr__str_eq(options->kinds[i].name, head->names[c])) {
                head->kinds[c] = (uint8_t)options->kinds[i].kind;
            }
        }
    }
    for (size_t i = 0; i < options->n_nulls; i++) {
        if (hr__fields_head_null(head, options->nulls[i]) != HR_OK) {
            return hr__error_memory(err, HR_STAGE_DECODE);
        }
    }
    head->quote = options->dialect.quote;
    head->escape = options->dialect.escape;
    head->doublequote = options->dialect.doublequote;
    head->skip_space = options->dialect.skip_space;
    head->decimal = options->decimal;
    head->thousands = options->thousands;
    return HR_OK;
}
