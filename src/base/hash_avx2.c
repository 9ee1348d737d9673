/* SPDX-License-Identifier: Apache-2.0
 *
 * SHAKE-128 of four one-block messages at once: lane i of the four states side by side in one vector.
 */
#include "hash_avx2.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LANE __m256i
#define XOR(a, b) _mm256_xor_si256(a, b)
#define ANDNOT(a, b) _mm256_andnot_si256(a, b)
#define ROL(a, n) _mm256_or_si256(_mm256_slli_epi64(a, n), _mm256_srli_epi64(a, 64 - (n)))
#define ROUND_CONSTANT(i) _mm256_set1_epi64x((long long)keccak_constants[i])
#include "keccak.h"

void hr__shake128_x4_avx2(const void *const data[4], const size_t size_bytes[4], void *const out[4], size_t out_bytes) {
    uint64_t block[4][HR_SHAKE_RATE / 8];
    size_t n_lanes = 1; /* that hold data or the suffix; ids are short */
    for (int m = 0; m < 4; m++) {
        n_lanes = size_bytes[m] / 8 + 1 > n_lanes ? size_bytes[m] / 8 + 1 : n_lanes;
    }
    for (int m = 0; m < 4; m++) {
        memset(block[m], 0, n_lanes * 8);
        if (size_bytes[m] != 0) {
            memcpy(block[m], data[m], size_bytes[m]);
        }
        ((uint8_t *)block[m])[size_bytes[m]] = HR_SHAKE_SUFFIX;
    }
    __m256i state[25];
    for (size_t i = 0; i < 25; i++) {
        state[i] = i >= n_lanes ? _mm256_setzero_si256()
                                : _mm256_set_epi64x((long long)block[3][i], (long long)block[2][i],
                                                    (long long)block[1][i], (long long)block[0][i]);
    }
    state[HR_SHAKE_RATE / 8 - 1] = XOR(state[HR_SHAKE_RATE / 8 - 1], _mm256_set1_epi64x((long long)HR_SHAKE_LAST));
    keccak_f(state);
    for (size_t i = 0; i < (out_bytes + 7) / 8; i++) {
        uint64_t lanes[4];
        memcpy(lanes, &state[i], sizeof lanes);
        for (int m = 0; m < 4; m++) {
            block[m][i] = lanes[m];
        }
    }
    for (int m = 0; m < 4; m++) {
        memcpy(out[m], block[m], out_bytes);
    }
}
#else
void hr__shake128_x4_avx2(const void *const data[4], const size_t size_bytes[4], void *const out[4], size_t out_bytes) {
    (void)data, (void)size_bytes, (void)out, (void)out_bytes;
}
#endif
