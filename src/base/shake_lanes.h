/* SPDX-License-Identifier: Apache-2.0
 *
 * SHAKE-128 of N_LANES one-block messages at once, written once for any vector: lane i of all states side by side in
 * one LANE. The including file defines what keccak.h wants and N_LANES.
 */
#include "keccak.h"

static void shake_lanes(const void *const *data, const size_t *size_bytes, void *const *out, size_t out_bytes) {
    uint64_t words[25][N_LANES];
    size_t n_words = 1; /* that hold data or the suffix; ids are short */
    for (size_t m = 0; m < N_LANES; m++) {
        n_words = size_bytes[m] / 8 + 1 > n_words ? size_bytes[m] / 8 + 1 : n_words;
    }
    memset(words, 0, sizeof words);
    for (size_t m = 0; m < N_LANES; m++) {
        uint64_t block[HR_SHAKE_RATE / 8];
        memset(block, 0, n_words * 8);
        if (size_bytes[m] != 0) {
            memcpy(block, data[m], size_bytes[m]);
        }
        ((uint8_t *)block)[size_bytes[m]] = HR_SHAKE_SUFFIX;
        for (size_t i = 0; i < n_words; i++) {
            words[i][m] = block[i];
        }
        words[HR_SHAKE_RATE / 8 - 1][m] ^= HR_SHAKE_LAST;
    }
    LANE state[25];
    memcpy(state, words, sizeof state);
    keccak_f(state);
    memcpy(words, state, sizeof words);
    for (size_t m = 0; m < N_LANES; m++) {
        uint64_t block[HR_SHAKE_RATE / 8];
        for (size_t i = 0; i < (out_bytes + 7) / 8; i++) {
            block[i] = words[i][m];
        }
        memcpy(out[m], block, out_bytes);
    }
}
