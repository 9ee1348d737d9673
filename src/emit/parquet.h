/* SPDX-License-Identifier: Apache-2.0
 *
 * parquet: Arrow struct arrays -> a Parquet file (https://github.com/apache/parquet-format), of the types that the
 * engine emits. Each array is a row group, or several.
 *
 *   "PAR1"
 *   chunk of column 0: [dictionary page] data page ...      a column without repeating values has no dictionary
 *   chunk of column 1: ...
 *   ... row groups ...
 *   footer: the schema, and where each chunk is             its length, "PAR1"
 *
 * Pages are of version 1, PLAIN or RLE_DICTIONARY, compressed with Snappy where that makes a column smaller: what every
 * reader of Parquet reads. What asks for more (nested types, 256 bit decimals, other precisions) is not written here.
 */
#ifndef HR_EMIT_PARQUET_H
#define HR_EMIT_PARQUET_H

#include "base.h"

typedef struct hr_parquet_column {
    hr_str name;
    /* Arrow's: b, l, g, u, z, tdD, ttu, tsu:ZONE (kept as UTC) or tsu: (a wall clock), d:PRECISION,SCALE with 1 <=
     * PRECISION <= 38 and 0 <= SCALE <= PRECISION */
    hr_str format;
    bool nullable;
} hr_parquet_column;

typedef struct hr_parquet_options {
    size_t page_bytes; /* of a data page before compression, about; 1 .. 1 GiB */
    size_t group_rows; /* in a row group, at most; 1 .. 2^31 - 1 */
    bool compress;
    hr_str created_by; /* "headrace version 0.1.0" */
} hr_parquet_options;

typedef struct hr_parquet hr_parquet;

/* Copies the columns. HR_OK, HR_MEMORY, HR_UNSUPPORTED: a format that is not one of these. */
HR_MUST_CHECK int hr__parquet_new(const hr_allocator *alloc, const hr_parquet_column *columns, size_t n_columns,
                                  const hr_parquet_options *options, hr_parquet **file_out, hr_error *err);
void hr__parquet_free(hr_parquet *file);

/* Whether the array has these columns as the file has them, in any order; a nullable one may be missing. HR_OK or
 * HR_UNSUPPORTED. */
HR_MUST_CHECK int hr__parquet_fits(const hr_parquet *file, const struct ArrowSchema *schema,
                                   const struct ArrowArray *array, hr_error *err);
/* Appends rows *row .. of an array that fits to out, column chunk by column chunk, until it holds enough_bytes or the
 * rows end; *row is then the first of the row group that is not complete. Before the next call the caller takes all of
 * out; it is with the same array until *row is its length. HR_OK, HR_MEMORY, HR_RANGE (a decimal of more digits
 * than its column's), HR_NULL_VALUE (in a column that is not nullable), HR_LIMIT (a page of 2 GiB); after a failure the
 * file is only good to be freed. */
HR_MUST_CHECK int hr__parquet_rows(hr_parquet *file, const struct ArrowSchema *schema, const struct ArrowArray *array,
                                   int64_t *row, size_t enough_bytes, hr_buf *out, hr_error *err);
/* Appends the footer. */
HR_MUST_CHECK int hr__parquet_finish(hr_parquet *file, hr_buf *out, hr_error *err);

#endif
