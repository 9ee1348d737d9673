/* SPDX-License-Identifier: Apache-2.0
 *
 * Masks with vectors of 16 bytes as gcc and clang have them for every processor.
 */
#ifndef HR_DECODE_BLOCKS_PORTABLE_H
#define HR_DECODE_BLOCKS_PORTABLE_H

#include "blocks.h"

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

/* Bit i is set where byte i of the vector is 0xFF; the others must be 0. */
static inline uint64_t mask16(bytes16 where) {
    const bytes16 place = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    words2 bits = (words2)(where & place);
    /* The bytes of a word are different bits: their sum, in the top byte of the product, is all of them. */
    const uint64_t sum = 0x0101010101010101u;
    uint64_t low = bits[0], high = bits[1];
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return low % 255 | high % 255 << 8;
#else
    return low * sum >> 56 | high * sum >> 56 << 8;
#endif
}

/* Bit i of the result is the xor of bits 0..i. */
static inline uint64_t prefix_xor(uint64_t bits) {
    for (int shift = 1; shift < 64; shift *= 2) {
        bits ^= bits << shift;
    }
    return bits;
}

#endif
