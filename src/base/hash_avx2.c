/* SPDX-License-Identifier: Apache-2.0
 *
 * SHAKE-128 of four one-block messages at once, in AVX2.
 */
#include "hash_vector.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define N_LANES 4
#define LANE __m256i
#define XOR(a, b) _mm256_xor_si256(a, b)
#define ANDNOT(a, b) _mm256_andnot_si256(a, b)
#define ROL(a, n) _mm256_or_si256(_mm256_slli_epi64(a, n), _mm256_srli_epi64(a, 64 - (n)))
#define ROUND_CONSTANT(i) _mm256_set1_epi64x((long long)keccak_constants[i])
#include "shake_lanes.h"

void hr__shake128_x4_avx2(const void *const *data, const size_t *size_bytes, void *const *out, size_t out_bytes) {
    shake_lanes(data, size_bytes, out, out_bytes);
}
#else
void hr__shake128_x4_avx2(const void *const *data, const size_t *size_bytes, void *const *out, size_t out_bytes) {
    (void)data, (void)size_bytes, (void)out, (void)out_bytes;
}
#endif
