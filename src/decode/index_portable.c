/* SPDX-License-Identifier: Apache-2.0
 *
 * The structural index without SIMD, and the UTF-8 check that names the byte.
 */
#include "index.h"

enum { CLASS_WHITE = 1, CLASS_OP = 2, CLASS_CONTROL = 4, CLASS_QUOTE = 8, CLASS_BACKSLASH = 16 };

static const uint8_t classes[256] = {
    [0 ... 8] = CLASS_CONTROL,
    ['\t'] = CLASS_WHITE | CLASS_CONTROL,
    ['\n'] = CLASS_WHITE | CLASS_CONTROL,
    [11 ... 12] = CLASS_CONTROL,
    ['\r'] = CLASS_WHITE | CLASS_CONTROL,
    [14 ... 31] = CLASS_CONTROL,
    [' '] = CLASS_WHITE,
    ['{'] = CLASS_OP,
    ['}'] = CLASS_OP,
    ['['] = CLASS_OP,
    [']'] = CLASS_OP,
    [':'] = CLASS_OP,
    [','] = CLASS_OP,
    ['"'] = CLASS_QUOTE,
    ['\\'] = CLASS_BACKSLASH,
};

#define CLASSIFY(block, m)                                   \
    do {                                                     \
        *(m) = (masks){0};                                   \
        for (int i_ = 0; i_ < 64; i_++) {                    \
            uint8_t c_ = classes[(uint8_t)(block)[i_]];      \
            (m)->white |= (uint64_t)(c_ & 1) << i_;          \
            (m)->op |= (uint64_t)(c_ >> 1 & 1) << i_;        \
            (m)->control |= (uint64_t)(c_ >> 2 & 1) << i_;   \
            (m)->quote |= (uint64_t)(c_ >> 3 & 1) << i_;     \
            (m)->backslash |= (uint64_t)(c_ >> 4 & 1) << i_; \
        }                                                    \
    } while (0)

static inline uint64_t prefix_xor(uint64_t bits) {
    for (int shift = 1; shift < 64; shift *= 2) {
        bits ^= bits << shift;
    }
    return bits;
}
#define PREFIX_XOR(bits) prefix_xor(bits)

#include "index_body.h"

int hr__json_index_portable(const char *body, size_t size_bytes, const hr_allocator *alloc, hr_json_index *index) {
    index->bad_utf8 = hr__utf8_error(body, size_bytes) != SIZE_MAX;
    return index_body(body, size_bytes, alloc, index);
}

size_t hr__utf8_error(const char *text, size_t size_bytes) {
    const uint8_t *at = (const uint8_t *)text, *end = at + size_bytes;
    while (at < end) {
        uint64_t eight;
        if (end - at >= 8 && (memcpy(&eight, at, 8), (eight & 0x8080808080808080u) == 0)) {
            at += 8;
            continue;
        }
        uint8_t c = *at;
        if (c < 0x80) {
            at++;
            continue;
        }
        int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
        uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;  /* no overlong forms */
        uint8_t high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF; /* no surrogates, nothing above U+10FFFF */
        if (c < 0xC2 || c > 0xF4 || end - at <= more || at[1] < low || at[1] > high) {
            return (size_t)(at - (const uint8_t *)text);
        }
        for (int i = 2; i <= more; i++) {
            if ((at[i] & 0xC0) != 0x80) {
                return (size_t)(at - (const uint8_t *)text);
            }
        }
        at += more + 1;
    }
    return SIZE_MAX;
}
