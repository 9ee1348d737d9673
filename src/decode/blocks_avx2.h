/* SPDX-License-Identifier: Apache-2.0
 *
 * Masks with AVX2 and PCLMULQDQ.
 */
#ifndef HR_DECODE_BLOCKS_AVX2_H
#define HR_DECODE_BLOCKS_AVX2_H

#include "blocks.h"

#include <immintrin.h>

static inline uint64_t two_masks(__m256i a, __m256i b) {
    return (uint32_t)_mm256_movemask_epi8(a) | (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32;
}

static inline uint64_t mask_of(__m256i a, __m256i b, char c) {
    return two_masks(_mm256_cmpeq_epi8(a, _mm256_set1_epi8(c)), _mm256_cmpeq_epi8(b, _mm256_set1_epi8(c)));
}

/* Bit i of the result is the xor of bits 0..i. */
static inline uint64_t prefix_xor(uint64_t bits) {
    __m128i all = _mm_set1_epi8((char)0xFF);
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_set_epi64x(0, (long long)bits), all, 0));
}

#endif
