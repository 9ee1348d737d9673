/* SPDX-License-Identifier: Apache-2.0
 *
 * The structural index with vectors of 16 bytes as gcc and clang have them for every processor, and the UTF-8 check
 * that names the byte.
 */
#include "blocks_portable.h"
#include "index.h"

typedef struct kernel {
    uint8_t unused;
} kernel;

#include "index_body.h"

static inline void classify(kernel *k, const char *block, masks *m) {
    (void)k;
    *m = (masks){0};
    for (int i = 0; i < 64; i += 16) {
        bytes16 v;
        memcpy(&v, block + i, sizeof v);
        bytes16 low = v | 0x20;
        m->backslash |= mask16((bytes16)(v == '\\')) << i;
        m->quote |= mask16((bytes16)(v == '"')) << i;
        /* {}[] differ by bit 5; 0x0C and 0x1A become ',' and ':' by it, as in the AVX2 kernel */
        m->op |= mask16((bytes16)((low == '{') | (low == '}') | (low == ',') | (low == ':'))) << i;
        m->white |= mask16((bytes16)((v == ' ') | (v == '\n') | (v == '\r') | (v == '\t'))) << i;
        m->control |= mask16((bytes16)(v < 0x20)) << i;
    }
}

/* Goes on with the check; what is wrong less than four bytes before the end may only be cut there. */
static void check_utf8(const char *body, size_t size_bytes, bool last, hr_json_index *index) {
    size_t *done = &index->carry.utf8.portable;
    if (index->bad_utf8) {
        return;
    }
    size_t at = hr__utf8_error(body + *done, size_bytes - *done);
    *done = at == SIZE_MAX ? size_bytes : *done + at;
    index->bad_utf8 = at != SIZE_MAX && (last || size_bytes - *done >= 4);
}

int hr__json_index_portable(const char *body, size_t size_bytes, bool last, const hr_allocator *alloc,
                            hr_json_index *index) {
    kernel k = {0};
    check_utf8(body, size_bytes, last, index);
    return index_body(body, size_bytes, last, alloc, index, &k);
}

size_t hr__utf8_error(const char *text, size_t size_bytes) {
    const uint8_t *at = (const uint8_t *)text, *end = at + size_bytes;
    while (at < end) {
        uint64_t eight[2];
        if (end - at >= 16 && (memcpy(eight, at, 16), ((eight[0] | eight[1]) & 0x8080808080808080u) == 0)) {
            at += 16;
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
