/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of hash.c that are compiled for AVX2 and AVX-512.
 */
#ifndef HR_BASE_HASH_VECTOR_H
#define HR_BASE_HASH_VECTOR_H

#include "base.h"

#define HR_SHAKE_RATE 168 /* bytes a block */
/* Behind the message SHAKE's suffix 1111 and the first bit of padding; in the block's last lane the last bit of
 * padding. */
#define HR_SHAKE_SUFFIX ((uint64_t)0x1F)
#define HR_SHAKE_LAST ((uint64_t)0x80 << 56)

extern const bool hr__avx512_is_built; /* a compiler without it leaves it out */
/* Whether AVX-512's foundation may be used here. Cheap. */
static inline bool hr__has_avx512(void) {
#if defined(__x86_64__)
    return hr__avx512_is_built && __builtin_cpu_supports("avx512f");
#else
    return false;
#endif
}

/* Four (eight) messages of less than HR_SHAKE_RATE bytes; out_bytes <= HR_SHAKE_RATE. Call only if hr__has_avx2()
 * (hr__has_avx512()). */
void hr__shake128_x4_avx2(const void *const *data, const size_t *size_bytes, void *const *out, size_t out_bytes);
void hr__shake128_x8_avx512(const void *const *data, const size_t *size_bytes, void *const *out, size_t out_bytes);

#endif
