/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: CSV text -> rows of fields, in chunks of whole rows, as the bytes come. Any encoding of text_encoding.h.
 *
 *   feed bytes -> [to UTF-8] -> [index: where fields and rows end] -> every chunk_rows rows: a chunk
 *
 * The first chunk settles what all have in common: dialect, names, how many columns.
 */
#ifndef HR_DECODE_CSV_H
#define HR_DECODE_CSV_H

#include "fields.h"
#include "text_encoding.h"

typedef struct hr_csv_dialect {
    char delimiter;
    char quote, escape, comment; /* 0: none */
    bool doublequote, skip_space, skip_blank_lines;
} hr_csv_dialect;

/* X(field, type, default, unit and meaning): every limit of the reader in one list. */
#define HR_CSV_LIMITS(X)                                                                                   \
    X(chunk_rows, uint32_t, 10000, "rows a chunk")                                                         \
    X(chunk_bytes, uint32_t, 32u << 20, "text of a chunk, beyond which it ends with the row at hand")      \
    X(max_field_bytes, uint32_t, 128u << 20, "a field")                                                    \
    X(max_row_bytes, uint32_t, 1u << 30, "a row")                                                          \
    X(max_columns, uint32_t, 16384, "fields of a row")                                                     \
    X(max_bad_rows, uint32_t, 1000, "rows of another length that are remembered by line; all are counted")

typedef enum hr_csv_ragged {
    HR_CSV_RAGGED_UNSET, /* short rows end in nulls, long ones are errors: pandas' */
    HR_CSV_RAGGED_RAISE, /* both are errors */
    HR_CSV_RAGGED_SKIP,  /* short rows end in nulls, long ones are left out */
    HR_CSV_RAGGED_PAD,   /* short rows end in nulls, what long ones have more is left out */
} hr_csv_ragged;

typedef struct hr_csv_kind {
    hr_str name;
    hr_field_kind kind;
} hr_csv_kind;

/* Everything is copied. */
typedef struct hr_csv_options {
    const hr_allocator *alloc;
    hr_csv_dialect dialect;
    bool sniff; /* the delimiter is found in the first rows */
    hr_encoding encoding;
#define HR_X(field, type, value, text) type field;
    HR_CSV_LIMITS(HR_X)
#undef HR_X
    hr_csv_ragged ragged;
    bool portable;     /* never use AVX2 (tests) */
    int64_t skip_rows; /* rows at the start that are not looked at */
    int64_t header;    /* which of the others has the names; -1: none */
    int64_t max_rows;  /* rows that are read; -1: all */
    const hr_str *names;
    size_t n_names; /* 0: the header's, or 0, 1, 2 ... */
    bool has_names;
    bool strict_names;       /* the header's as it stands: one that comes twice is an error; no header: no rows */
    const hr_str *use_names; /* columns that are kept, by name or, in use_places, by place */
    size_t n_use_names;
    const uint32_t *use_places;
    size_t n_use_places;
    bool has_use;
    const hr_csv_kind *kinds;
    size_t n_kinds;
    hr_field_kind kind;  /* of the other columns */
    const hr_str *nulls; /* texts that stand for null */
    size_t n_nulls;
    char decimal, thousands; /* thousands 0: none */
} hr_csv_options;

void hr__csv_options_init(hr_csv_options *options); /* pandas' defaults, without nulls */

typedef struct hr_csv_reader hr_csv_reader;

/* HR_OK, HR_ARGUMENT (two of the dialect's characters are the same, or one is the end of a line), HR_MEMORY. */
HR_MUST_CHECK int hr__csv_reader_new(const hr_csv_options *options, hr_csv_reader **reader_out, hr_error *err);
void hr__csv_reader_free(hr_csv_reader *reader);

/* Takes bytes of the file, in order: all of them, or so many that a chunk is complete; *used_out says how many. The
 * chunk is the caller's; NULL: not yet. Errors name line, column and byte: HR_SYNTAX, HR_ENCODING, HR_LIMIT, HR_MEMORY;
 * the reader is then only good to be freed. */
HR_MUST_CHECK int hr__csv_feed(hr_csv_reader *reader, const char *data, size_t size_bytes, size_t *used_out,
                               hr_fields **chunk_out, hr_error *err);
/* The end of the file. Call until *chunk_out is NULL. */
HR_MUST_CHECK int hr__csv_finish(hr_csv_reader *reader, hr_fields **chunk_out, hr_error *err);

/* A whole body at once: feeds `take` (which owns the chunk) each chunk in order. The reader must be new. */
typedef int (*hr_csv_take)(void *ctx, hr_fields *chunk, hr_error *err);
HR_MUST_CHECK int hr__csv_read(hr_csv_reader *reader, hr_str body, hr_csv_take take, void *ctx, hr_error *err);

typedef struct hr_csv_info {
    const hr_fields_head *head; /* borrowed; NULL: not known yet */
    hr_csv_dialect dialect;
    hr_encoding encoding;
    double encoding_confidence; /* 0 to 1; 1 when it was given or a byte order mark said so */
    double dialect_confidence;
    int64_t n_rows, n_short, n_long; /* rows given; of those with too few fields; rows with too many */
    const int64_t *bad_lines;        /* borrowed: of the first n_bad_lines rows with too many */
    size_t n_bad_lines;
    bool is_done; /* max_rows are read: nothing more is wanted */
} hr_csv_info;
void hr__csv_info(const hr_csv_reader *reader, hr_csv_info *info_out);

/* The chunk's text is UTF-8. HR_OK, or HR_ENCODING with the place. @locality any thread */
HR_MUST_CHECK int hr__csv_check_utf8(const hr_fields *chunk, hr_error *err);

#endif
