/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of one page, by table and column: what normalize gives and emit appends to Arrow buffers. Cells are stored
 * per column; a cell not written is null. Text points into the page (body, document arena or batch arena), so a batch
 * lives no longer than its page.
 *
 *   tables[t].columns[c]   (t and c are the schema's indices)
 *     n_cells  3           rows 0..2 written so far; rows n_cells.. are null
 *     cells    int64/double/pointers, 8 bytes a row
 *     sizes    uint32 a row, text types only
 *     valid    one byte a row; allocated with cells
 */
#ifndef HR_MODEL_BATCH_H
#define HR_MODEL_BATCH_H

#include "schema.h"

typedef union hr_cell {
    int64_t i;       /* BIGINT; BOOL 0/1; TIMESTAMP, TIME microseconds (UTC); DATE days */
    double d;        /* DOUBLE */
    const char *str; /* TEXT, JSON, BINARY, with sizes[row]; DECIMAL: 16 bytes, little-endian two's complement,
                        or text (hr_schema.for_text) */
} hr_cell;

typedef struct hr_batch_column {
    hr_cell *cells;
    uint32_t *sizes; /* NULL unless hr__schema_has_text of the type */
    uint8_t *valid;
    size_t n_cells; /* rows 0..n_cells-1 are set or null; the rest is null */
    size_t cap_cells;
    size_t text_bytes; /* sum of sizes of valid cells */
    bool any_null;     /* among rows 0..n_cells-1 */
} hr_batch_column;

typedef struct hr_batch_table {
    hr_batch_column *columns; /* n_columns, indices as in the schema */
    size_t n_columns, cap_columns;
    size_t n_rows;
} hr_batch_table;

typedef struct hr_batch {
    const hr_allocator *alloc; /* borrowed */
    hr_arena arena;            /* row ids, coerced text */
    hr_batch_table *tables;    /* n_tables, indices as in the schema */
    size_t n_tables, cap_tables;
} hr_batch;

void hr__batch_init(hr_batch *batch, const hr_allocator *alloc);
void hr__batch_reset(hr_batch *batch); /* no rows, no columns' cells; keeps memory */
void hr__batch_free(hr_batch *batch);
size_t hr__batch_rows(const hr_batch *batch); /* of all tables */

#endif
