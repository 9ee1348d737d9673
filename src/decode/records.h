/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: where the records of a JSON document of any size stand, found as it arrives. The records are the elements of
 * the array at a path of keys ({"data": {"items": [...]}}: data, items; no path: the document itself), or the one
 * object there. Only brackets and strings are looked at; what the records hold is the decoder's.
 *
 *   chunk:   {"data": [{"a": 1}, {"a": 2}, {"a
 *   begin              ^
 *   end                                  ^      at the last comma between two records; the rest goes before what the
 *                                               next chunk has up to its end
 */
#ifndef HR_DECODE_RECORDS_H
#define HR_DECODE_RECORDS_H

#include "base.h"

#define HR_RECORDS_PATH_MAX 16
#define HR_RECORDS_KEY_MAX 256

typedef enum hr_record_phase {
    HR_RECORDS_SEEK = 0, /* the path's end is not reached */
    HR_RECORDS_ARRAY,
    HR_RECORDS_OBJECT,
    HR_RECORDS_AFTER, /* the records have ended */
    HR_RECORDS_CLOSED /* the document has ended */
} hr_record_phase;

typedef struct hr_record_finder {
    hr_str path[HR_RECORDS_PATH_MAX]; /* borrowed, as long as this is used */
    uint32_t n_path, n_matched;
    hr_record_phase phase;
    uint64_t depth;     /* containers that are open */
    uint64_t level;     /* SEEK: depth of the innermost container on the path; else: of the records' container */
    uint64_t offset;    /* bytes seen */
    uint64_t n_records; /* commas between them */
    bool in_string, escaped;
    bool is_on_path;    /* SEEK: the next value is on the path */
    bool is_match;      /* the string that is open, or was the last, may be the next key of the path */
    uint32_t key_bytes; /* of it so far */
} hr_record_finder;

/* What a chunk has of the records' text: from begin on, complete up to end if has_end. */
typedef struct hr_record_span {
    size_t begin, end;
    bool has_begin; /* false: the chunk has none of it */
    bool has_end;
    bool is_done; /* the last record ends at end */
} hr_record_span;

/* path: n_path keys as they stand in the text, HR_LIMIT if they are too many or too long. */
HR_MUST_CHECK int hr__record_finder_init(hr_record_finder *records, const hr_str *path, size_t n_path, hr_error *err);
/* The next bytes. Errors (HR_SYNTAX, with the byte in the document): the path leads to something else, brackets that do
 * not pair, more behind the document's end. */
HR_MUST_CHECK int hr__record_finder_scan(hr_record_finder *records, const char *chunk, size_t size_bytes,
                                         hr_record_span *span_out, hr_error *err);
/* No more bytes. HR_SYNTAX if the document is not complete. */
HR_MUST_CHECK int hr__record_finder_finish(const hr_record_finder *records, hr_error *err);

#endif
