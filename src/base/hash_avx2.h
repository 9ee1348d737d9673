/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of hash.c that is compiled for AVX2.
 */
#ifndef HR_BASE_HASH_AVX2_H
#define HR_BASE_HASH_AVX2_H

#include "base.h"

#define HR_SHAKE_RATE 168 /* bytes a block */
/* Behind the message SHAKE's suffix 1111 and the first bit of padding; in the block's last lane the last bit of
 * padding. */
#define HR_SHAKE_SUFFIX ((uint64_t)0x1F)
#define HR_SHAKE_LAST ((uint64_t)0x80 << 56)

/* Whether AVX2 may be used here. Cheap. */
static inline bool hr__has_avx2(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("pclmul");
#else
    return false;
#endif
}

/* Four messages of less than HR_SHAKE_RATE bytes; out_bytes <= HR_SHAKE_RATE. Call only if hr__has_avx2(). */
void hr__shake128_x4_avx2(const void *const data[4], const size_t size_bytes[4], void *const out[4], size_t out_bytes);

#endif
