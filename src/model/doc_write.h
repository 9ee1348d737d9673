/* SPDX-License-Identifier: Apache-2.0
 *
 * A value of a document as JSON text, byte for byte as orjson.dumps writes the Python value that json.loads gives:
 * compact, non-ASCII kept, doubles by shortest round trip (1e+16 and 1e-7 as orjson), duplicate keys collapsed
 * (position of the first, value of the last), inf as null. This text becomes json columns and is what row ids are
 * hashed from.
 */
#ifndef HR_MODEL_DOC_WRITE_H
#define HR_MODEL_DOC_WRITE_H

#include "doc.h"

enum {
    HR_WRITE_SORT_KEYS = 1u << 0,    /* orjson.OPT_SORT_KEYS: members by their key's UTF-8 bytes, at every depth */
    HR_WRITE_LENIENT = 1u << 1,      /* write what orjson refuses: BIGINT as its text, lone surrogates as \udXXX, inf as
                                        1e999: for handing envelopes to Python's json.loads */
    HR_WRITE_EMPTY_ARRAYS = 1u << 2, /* every array, the root included, as []: the shape of a document */
    HR_WRITE_SKIP_DLT = 1u << 3, /* leave out members of the top object whose key starts with "_dlt" (get_row_hash) */
};

/* Appends the text of the value at `at` to out. elide: sorted token indices whose arrays are written as []; may be
 * NULL. HR_OK, HR_MEMORY, HR_LIMIT, or without LENIENT: HR_RANGE (an integer beyond 64 bits: orjson's "Integer exceeds
 * 64-bit range"), HR_ENCODING (a lone surrogate). */
HR_MUST_CHECK int hr__doc_write(const hr_doc *doc, size_t at, uint32_t flags, const size_t *elide, size_t n_elide,
                                hr_buf *out, hr_error *err);
/* Appends a string as a JSON string literal, as orjson. */
HR_MUST_CHECK int hr__doc_write_string(hr_str text, uint32_t flags, hr_buf *out, hr_error *err);

#endif
