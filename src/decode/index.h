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

/* What a block needs to know of those before it. */
typedef struct hr_json_carry {
    size_t base;        /* bytes indexed: complete blocks of 64 */
    uint64_t in_string; /* all bits, if the block starts inside a string */
    uint64_t escaped;   /* 1: its first byte is escaped */
    uint64_t scalar;    /* 1: the byte before is of a scalar that is not a string */
    union {
        unsigned char avx2[96]; /* the kernel's vectors */
        size_t portable; /* bytes known to be well-formed; behind them one sequence may be cut by the block's end */
    } utf8;
} hr_json_carry;

typedef struct hr_json_index {
    uint32_t *at; /* n offsets and, behind them, twice, the body's size */
    size_t n, cap;
    uint32_t *escapes; /* n_escapes offsets of backslashes that escape something, and behind them UINT32_MAX */
    size_t n_escapes, cap_escapes;
    bool open_string;      /* the body ends inside a string, whose opening quote is the last offset */
    size_t control_offset; /* first control character inside a string; SIZE_MAX: none */
    bool bad_utf8;         /* somewhere; hr__utf8_error says where */
    hr_json_carry carry;
} hr_json_index;

/* Forgets what was indexed, keeps the memory. */
static inline void hr__json_index_start(hr_json_index *index) {
    index->n = index->n_escapes = 0;
    index->open_string = index->bad_utf8 = false;
    index->control_offset = SIZE_MAX;
    index->carry = (hr_json_carry){0};
}

/* Goes on with body[0..size_bytes), which is below 4 GiB: over the complete blocks that are not indexed yet and, if it
 * is the last call, over the rest; only then all of the index is there. The body may have moved since the last call.
 * HR_OK or HR_MEMORY, after which the index must be started again. Both give the same index. Of the control characters,
 * form feed and substitute (0x0C, 0x1A) stand in it as if they were structural. */
HR_MUST_CHECK int hr__json_index_portable(const char *body, size_t size_bytes, bool last, const hr_allocator *alloc,
                                          hr_json_index *index);
HR_MUST_CHECK int hr__json_index_avx2(const char *body, size_t size_bytes, bool last, const hr_allocator *alloc,
                                      hr_json_index *index);
/* Offset of the first byte that is not part of well-formed UTF-8 (RFC 3629); SIZE_MAX: all is well. */
size_t hr__utf8_error(const char *text, size_t size_bytes);

#endif
