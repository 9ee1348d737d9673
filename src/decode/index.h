/* SPDX-License-Identifier: Apache-2.0
 *
 * Step 1 of decoding JSON: where the tokens are. For each 64 bytes bit masks say which bytes are quotes, backslashes
 * and so on; from them the offsets of all structural characters outside strings, of both quotes of every string, and of
 * the first byte of every other scalar are written (Langdale, Lemire: "Parsing Gigabytes of JSON per Second", 2019).
 *
 *   {"a": [1, true]}   ->  0 { 1 " 3 " 4 : 6 [ 7 1 8 , 10 t 14 ] 15 }
 */
#ifndef HR_DECODE_INDEX_H
#define HR_DECODE_INDEX_H

#include "base.h"

typedef struct hr_json_index {
    uint32_t *at; /* n offsets, and behind them the body's size */
    size_t n, cap;
    uint64_t *escapes; /* a bit a block of 64 bytes: it has a backslash */
    size_t cap_escapes;
    bool open_string;      /* the body ends inside a string */
    size_t control_offset; /* first control character inside a string; SIZE_MAX: none */
    bool bad_utf8;         /* somewhere; hr__utf8_error says where */
} hr_json_index;

/* Indexes body[0..size_bytes), which has 64 readable bytes behind it. HR_OK or HR_MEMORY. Both give the same index. */
HR_MUST_CHECK int hr__json_index_portable(const char *body, size_t size_bytes, const hr_allocator *alloc,
                                          hr_json_index *index);
HR_MUST_CHECK int hr__json_index_avx2(const char *body, size_t size_bytes, const hr_allocator *alloc,
                                      hr_json_index *index);
/* Offset of the first byte that is not part of well-formed UTF-8 (RFC 3629); SIZE_MAX: all is well. */
size_t hr__utf8_error(const char *text, size_t size_bytes);

#endif
