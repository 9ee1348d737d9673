/* SPDX-License-Identifier: Apache-2.0
 *
 * The CSV index with vectors of 16 bytes, and the one that takes a byte at a time.
 */
#include "blocks_portable.h"
#include "csv_index_body.h"

static inline void classify(const hr_csv_dialect *dialect, const char *block, masks *m) {
    *m = (masks){0};
    for (int i = 0; i < 64; i += 16) {
        bytes16 v;
        memcpy(&v, block + i, sizeof v);
        m->delimiter |= mask16((bytes16)(v == (uint8_t)dialect->delimiter)) << i;
        m->quote |= mask16((bytes16)(v == (uint8_t)dialect->quote)) << i;
        m->lf |= mask16((bytes16)(v == '\n')) << i;
        m->cr |= mask16((bytes16)(v == '\r')) << i;
    }
    m->quote = dialect->quote == 0 ? 0 : m->quote;
}

int hr__csv_index_portable(const hr_csv_dialect *dialect, const char *text, size_t size_bytes, bool last,
                           const hr_allocator *alloc, hr_csv_index *index) {
    return index_text(dialect, text, size_bytes, last, alloc, index);
}

/* ---------------------------------------------------------------------------------------------------- plain */

static int end_field(const hr_allocator *alloc, hr_csv_index *index, size_t at) {
    HR_TRY(hr__grow(alloc, (void **)&index->ends, &index->cap, index->n + 1, sizeof *index->ends));
    index->ends[index->n++] = (uint32_t)at;
    return HR_OK;
}

static int end_row(const hr_allocator *alloc, hr_csv_index *index, size_t at) {
    HR_TRY(end_field(alloc, index, at));
    HR_TRY(hr__grow(alloc, (void **)&index->rows, &index->cap_rows, index->n_rows + 1, sizeof *index->rows));
    index->rows[index->n_rows++] = (uint32_t)index->n;
    return HR_OK;
}

/* One byte outside of quotes and escapes. */
static int outside(const hr_csv_dialect *d, const hr_allocator *alloc, hr_csv_index *index, char c, size_t at) {
    bool at_start = index->state <= HR_CSV_FIELD;
    if (c == '\n' || c == '\r') {
        HR_TRY(end_row(alloc, index, at));
        index->state = HR_CSV_ROW;
    } else if (c == d->delimiter) {
        HR_TRY(end_field(alloc, index, at));
        index->state = HR_CSV_FIELD;
    } else if (d->quote != 0 && c == d->quote && (at_start || index->state == HR_CSV_QUOTE_IN_QUOTED)) {
        index->state = HR_CSV_QUOTED;
    } else if (d->escape != 0 && c == d->escape && index->state != HR_CSV_QUOTE_IN_QUOTED) {
        index->state = HR_CSV_ESCAPE_IN;
    } else if (d->comment != 0 && c == d->comment && index->state == HR_CSV_ROW) {
        index->state = HR_CSV_COMMENT_LINE;
    } else if (d->comment != 0 && c == d->comment && index->state != HR_CSV_QUOTE_IN_QUOTED) {
        HR_TRY(end_row(alloc, index, at));
        index->state = HR_CSV_COMMENT;
    } else if (!at_start || !d->skip_space || c != ' ') {
        index->state = HR_CSV_IN;
    } else {
        index->state = HR_CSV_FIELD; /* white space before a field; a comment behind it is no line of its own */
    }
    return HR_OK;
}

int hr__csv_index_plain(const hr_csv_dialect *dialect, const char *text, size_t size_bytes, bool last,
                        const hr_allocator *alloc, hr_csv_index *index) {
    (void)last;
    for (; index->done < size_bytes; index->done++) {
        char c = text[index->done];
        bool is_line = c == '\n' || c == '\r';
        bool after_cr = index->after_cr != 0;
        index->after_cr = 0;
        switch (index->state) {
        case HR_CSV_QUOTED:
            index->n_quoted_lines += is_line;
            if (dialect->escape != 0 && c == dialect->escape) {
                index->state = HR_CSV_ESCAPE_QUOTED;
            } else if (c == dialect->quote) {
                index->state = dialect->doublequote ? HR_CSV_QUOTE_IN_QUOTED : HR_CSV_IN;
            }
            break;
        case HR_CSV_ESCAPE_IN:
            index->state = HR_CSV_IN;
            break;
        case HR_CSV_ESCAPE_QUOTED:
            index->state = HR_CSV_QUOTED;
            break;
        case HR_CSV_COMMENT:
        case HR_CSV_COMMENT_LINE:
            if (is_line) {
                index->state = HR_CSV_ROW;
                index->after_cr = c == '\r';
            }
            break;
        default:
            if (c == '\n' && after_cr) {
                break; /* of the line that the CR ended */
            }
            HR_TRY(outside(dialect, alloc, index, c, index->done));
            index->after_cr = c == '\r';
        }
    }
    index->inside = index->state == HR_CSV_QUOTED || index->state == HR_CSV_ESCAPE_QUOTED ? UINT64_MAX : 0;
    return HR_OK;
}
