/* SPDX-License-Identifier: Apache-2.0
 *
 * Step 1 of decoding CSV: where fields and rows end, by the rules of pandas' tokenizer (a quote opens at the start of a
 * field only; behind a closing quote the field goes on as it stands). The kernels take quotes in pairs, 64 bytes at a
 * time, and say `irregular` when a quote stands where pairs do not tell; then hr__csv_index_plain, one byte at a time,
 * starts over.
 *
 *   text a,"b,\n"\r\nc,d\n    ends 1 7 10 12   rows 2 4 (how many of the ends the rows so far have)
 */
#ifndef HR_DECODE_CSV_INDEX_H
#define HR_DECODE_CSV_INDEX_H

#include "csv.h"

typedef enum hr_csv_state {
    HR_CSV_ROW, /* at the start of a row */
    HR_CSV_FIELD,
    HR_CSV_IN,
    HR_CSV_QUOTED,
    HR_CSV_QUOTE_IN_QUOTED,
    HR_CSV_ESCAPE_IN,
    HR_CSV_ESCAPE_QUOTED,
    HR_CSV_COMMENT,      /* behind a row that a comment ended */
    HR_CSV_COMMENT_LINE, /* a row that is nothing else */
} hr_csv_state;

typedef struct hr_csv_index {
    uint32_t *ends; /* of fields */
    size_t n, cap;
    uint32_t *rows;
    size_t n_rows, cap_rows;
    size_t done;           /* bytes indexed; the kernels: complete blocks, until the last call */
    size_t n_quoted_lines; /* ends of lines in quotes */
    bool irregular;
    /* what a block needs to know of those before it, bits 0 but for inside */
    uint64_t inside, after_split, after_quote, after_close, after_cr;
    hr_csv_state state; /* plain */
} hr_csv_index;

/* Forgets what was indexed, keeps the memory; the next byte starts a row. */
static inline void hr__csv_index_start(hr_csv_index *index) {
    index->n = index->n_rows = index->done = index->n_quoted_lines = 0;
    index->irregular = false;
    index->inside = index->after_quote = index->after_close = index->after_cr = 0;
    index->after_split = 1;
    index->state = HR_CSV_ROW;
}

/* Go on with text[0..size_bytes), below 4 GiB; last: over the rest of less than a block, too. HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__csv_index_portable(const hr_csv_dialect *dialect, const char *text, size_t size_bytes, bool last,
                                         const hr_allocator *alloc, hr_csv_index *index);
HR_MUST_CHECK int hr__csv_index_avx2(const hr_csv_dialect *dialect, const char *text, size_t size_bytes, bool last,
                                     const hr_allocator *alloc, hr_csv_index *index);
/* Any dialect, any text. Sets `inside`, too. */
HR_MUST_CHECK int hr__csv_index_plain(const hr_csv_dialect *dialect, const char *text, size_t size_bytes, bool last,
                                      const hr_allocator *alloc, hr_csv_index *index);

#endif
