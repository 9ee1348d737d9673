/* SPDX-License-Identifier: Apache-2.0
 *
 * SHAKE-128 of eight one-block messages at once, in AVX-512: rotations are one instruction, chi and theta's columns are
 * ternary ones.
 */
#include "hash_vector.h"

#if defined(__AVX512F__)
const bool hr__avx512_is_built = true;

#include <immintrin.h>

#define N_LANES 8
#define LANE __m512i
#define XOR(a, b) _mm512_xor_si512(a, b)
#define ANDNOT(a, b) _mm512_andnot_si512(a, b)
#define ROL(a, n) _mm512_rol_epi64(a, n)
#define ROUND_CONSTANT(i) _mm512_set1_epi64((long long)keccak_constants[i])
#include "shake_lanes.h"

void hr__shake128_x8_avx512(const void *const *data, const size_t *size_bytes, void *const *out, size_t out_bytes) {
    shake_lanes(data, size_bytes, out, out_bytes);
}
#else
const bool hr__avx512_is_built = false;

void hr__shake128_x8_avx512(const void *const *data, const size_t *size_bytes, void *const *out, size_t out_bytes) {
    (void)data, (void)size_bytes, (void)out, (void)out_bytes;
}
#endif
