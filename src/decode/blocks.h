/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of 64 bytes as bit masks: what the kernels of the JSON and the CSV index share.
 */
#ifndef HR_DECODE_BLOCKS_H
#define HR_DECODE_BLOCKS_H

#include "base.h"

/* Room for two blocks, so that eight offsets can be written where fewer are. */
enum { BLOCK_ROOM = 64 + 8 };

/* Writes the offsets of the set bits; may write up to BLOCK_ROOM. */
static inline void write_offsets(uint32_t *to, uint32_t base, uint64_t bits) {
    while (bits != 0) { /* eight at a time: most blocks have 8 to 16 */
        for (int i = 0; i < 8; i++) {
            to[i] = base + (uint32_t)__builtin_ctzll(bits | (uint64_t)1 << 63);
            bits &= bits - 1;
        }
        to += 8;
    }
}

#endif
