/* SPDX-License-Identifier: Apache-2.0
 *
 * The values of a column chunk as Parquet's encodings
 * (https://github.com/apache/parquet-format/blob/master/Encodings.md): definition levels, PLAIN, a dictionary of what
 * repeats; and the least and the greatest. Values are counted without nulls, rows with them.
 */
#ifndef HR_EMIT_PARQUET_VALUES_H
#define HR_EMIT_PARQUET_VALUES_H

#include "base.h"

typedef enum hr_parquet_kind { /* of values: how they stand in Arrow, and their physical type */
                               HR_PARQUET_UNSET,
                               HR_PARQUET_BOOL,    /* bits: BOOLEAN */
                               HR_PARQUET_INT32,   /* INT32 */
                               HR_PARQUET_INT64,   /* INT64 */
                               HR_PARQUET_DOUBLE,  /* DOUBLE */
                               HR_PARQUET_BYTES,   /* int32 offsets and bytes: BYTE_ARRAY */
                               HR_PARQUET_DECIMAL, /* 16 bytes, little-endian: FIXED_LEN_BYTE_ARRAY, big-endian */
} hr_parquet_kind;

/* Some rows of an Arrow column; all borrowed. */
typedef struct hr_parquet_chunk {
    hr_parquet_kind kind;
    uint8_t decimal_bytes; /* of a DECIMAL in the file, 1 to 16 */
    const uint8_t *valid;  /* bits; NULL: no row is null */
    const void *values;    /* fixed-width values, bits (BOOL) or offsets (BYTES); NULL: all rows are null */
    const char *bytes;     /* BYTES */
    int64_t offset;        /* of row 0 in these */
    size_t n_rows;
    const uint32_t *rows; /* of the values; NULL: value i is row i */
    size_t n_values;
} hr_parquet_chunk;

/* Numbers the rows that are not null: *rows_out gets them (n_rows of room) unless all are. Sets rows, n_values. */
void hr__parquet_number_rows(hr_parquet_chunk *chunk, uint32_t *rows_out);

/* Definition levels of rows first .. end - 1, as a data page begins with them. */
HR_MUST_CHECK int hr__parquet_levels(const hr_parquet_chunk *chunk, size_t first, size_t end, hr_buf *out);

/* The value behind the last that fits into so many bytes of PLAIN from value `first` on; at least one does. */
size_t hr__parquet_plain_end(const hr_parquet_chunk *chunk, size_t first, size_t bytes);
/* Values first .. end - 1. HR_OK, HR_MEMORY, HR_RANGE: a decimal of more digits than its column's. */
HR_MUST_CHECK int hr__parquet_plain(const hr_parquet_chunk *chunk, size_t first, size_t end, hr_buf *out);

/* Values that occur, in the order of their first occurrence. */
typedef struct hr_parquet_dictionary {
    const hr_allocator *alloc; /* borrowed */
    struct hr_parquet_entry {
        uint32_t hash, value; /* the number of the first such value */
    } *entries;
    uint32_t *slots; /* an entry + 1, by hash; 0: free */
    size_t n_entries, cap_entries, n_slots, cap_slots, plain_bytes;
} hr_parquet_dictionary;

void hr__parquet_dictionary_init(hr_parquet_dictionary *d, const hr_allocator *alloc);
void hr__parquet_dictionary_free(hr_parquet_dictionary *d);
/* Whether values repeat so that a dictionary is worth its while; if so, it is made, and indices_out (n_values of room)
 * has an entry a value. HR_OK, HR_MEMORY. */
HR_MUST_CHECK int hr__parquet_dictionary_make(hr_parquet_dictionary *d, const hr_parquet_chunk *chunk,
                                              uint32_t *indices_out, bool *made_out);
/* The entries, PLAIN. HR_OK, HR_MEMORY, HR_RANGE. */
HR_MUST_CHECK int hr__parquet_dictionary_plain(const hr_parquet_dictionary *d, const hr_parquet_chunk *chunk,
                                               hr_buf *out);
/* n indices, RLE_DICTIONARY: the bits an index takes, then runs and groups of eight. */
HR_MUST_CHECK int hr__parquet_indices(const hr_parquet_dictionary *d, const uint32_t *indices, size_t n, hr_buf *out);

#define HR_PARQUET_FIXED_MAX 16
/* The least and the greatest value, PLAIN without length, by the order of the column's type: BYTES are borrowed from
 * the chunk, others stand in the scratch. False: there are none (no value, or NaN only), or they are too long to tell.
 * `d`: the values' dictionary, or NULL. */
bool hr__parquet_min_max(const hr_parquet_chunk *chunk, const hr_parquet_dictionary *d,
                         char scratch[2 * HR_PARQUET_FIXED_MAX], hr_str *min_out, hr_str *max_out);

#endif
