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
    union {
        uint64_t lane[4][HR_SHAKE_RATE / 8];
        uint8_t byte[4][HR_SHAKE_RATE];
    } block = {{{0}}};
    for (int i = 0; i < 4; i++) {
        memcpy(block.byte[i], data[i], size_bytes[i]);
        block.byte[i][size_bytes[i]] = 0x1F;
        block.byte[i][HR_SHAKE_RATE - 1] ^= 0x80;
    }
    __m256i state[25];
    for (int i = 0; i < HR_SHAKE_RATE / 8; i++) {
        state[i] = _mm256_set_epi64x((long long)block.lane[3][i], (long long)block.lane[2][i],
                                     (long long)block.lane[1][i], (long long)block.lane[0][i]);
    }
    for (int i = HR_SHAKE_RATE / 8; i < 25; i++) {
        state[i] = _mm256_setzero_si256();
    }
    keccak_f(state);
    for (size_t i = 0; i < (out_bytes + 7) / 8; i++) {
        uint64_t lanes[4];
        _mm256_storeu_si256((__m256i *)lanes, state[i]);
        for (int m = 0; m < 4; m++) {
            block.lane[m][i] = lanes[m];
        }
    }
    for (int m = 0; m < 4; m++) {
        memcpy(out[m], block.byte[m], out_bytes);
    }
}
#else
void hr__shake128_x4_avx2(const void *const data[4], const size_t size_bytes[4], void *const out[4], size_t out_bytes) {
    (void)data, (void)size_bytes, (void)out, (void)out_bytes;
}
#endif
