/* SPDX-License-Identifier: Apache-2.0
 *
 * Step 1 of decoding JSON: where the tokens are. For each 64 bytes bit masks say which bytes are quotes, backslashes
 * and so on; from them the offsets of all structural characters outside strings, of both quotes of every string, and of
 * the first byte of every other scalar are written (Langdale, Lemire: "Parsing Gigabytes of JSON per Second", 2019).
 *
 *   {"a": ["\n", true]}   at:      0 { 1 " 3 " 4 : 6 [ 7 " 10 " 11 , 13 t 17 ] 18 }, then 19, 19
 *                         escapes: 8, then UINT32_MAX
 */
#ifndef HR_DECODE_INDEX_H
#define HR_DECODE_INDEX_H

#include "base.h"

typedef struct hr_json_index {
    uint32_t *at; /* n offsets and, behind them, twice, the body's size */
    size_t n, cap;
    uint32_t *escapes; /* n_escapes offsets of backslashes that escape something, and behind them UINT32_MAX */
    size_t n_escapes, cap_escapes;
    bool open_string;      /* the body ends inside a string, whose opening quote is the last offset */
    size_t control_offset; /* first control character inside a string; SIZE_MAX: none */
    bool bad_utf8;         /* somewhere; hr__utf8_error says where */
} hr_json_index;

/* Indexes body[0..size_bytes); size_bytes is below 4 GiB. HR_OK or HR_MEMORY. Both give the same index. Of the control
 * characters, form feed and substitute (0x0C, 0x1A) stand in it as if they were structural. */
HR_MUST_CHECK int hr__json_index_portable(const char *body, size_t size_bytes, const hr_allocator *alloc,
                                          hr_json_index *index);
HR_MUST_CHECK int hr__json_index_avx2(const char *body, size_t size_bytes, const hr_allocator *alloc,
                                      hr_json_index *index);
/* Offset of the first byte that is not part of well-formed UTF-8 (RFC 3629); SIZE_MAX: all is well. */
size_t hr__utf8_error(const char *text, size_t size_bytes);

#endif
