/* SPDX-License-Identifier: Apache-2.0
 *
 * The structural index with AVX2 and PCLMULQDQ, checking UTF-8 on the way (Keiser, Lemire: "Validating UTF-8 In Less
 * Than One Instruction Per Byte", 2021).
 */
#include "index.h"

#if defined(__x86_64__)
#include "blocks_avx2.h"

typedef struct utf8_state {
    __m256i error, previous, incomplete;
} utf8_state;

/* Errors of pairs of bytes, by the first byte's nibbles and the second's high nibble; a bit is an error if set in all.
 */
enum {
    TOO_SHORT = 1 << 0,
    TOO_LONG = 1 << 1,
    OVERLONG_3 = 1 << 2,
    TOO_LARGE = 1 << 3,
    SURROGATE = 1 << 4,
    OVERLONG_2 = 1 << 5,
    TOO_LARGE_1000 = 1 << 6,
    OVERLONG_4 = 1 << 6,
    TWO_CONTS = 1 << 7,
    CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS,
};

#define TWICE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

static inline __m256i previous_bytes(__m256i now, __m256i before, int n) {
    __m256i joined = _mm256_permute2x128_si256(before, now, 0x21);
    return n == 1   ? _mm256_alignr_epi8(now, joined, 15)
           : n == 2 ? _mm256_alignr_epi8(now, joined, 14)
                    : _mm256_alignr_epi8(now, joined, 13);
}

static inline void utf8_check(utf8_state *s, __m256i now) {
    const __m256i low4 = _mm256_set1_epi8(15);
    __m256i before = previous_bytes(now, s->previous, 1);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(before, 4), low4);
    __m256i first_high = _mm256_shuffle_epi8(
        TWICE(TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, (char)TWO_CONTS,
              (char)TWO_CONTS, (char)TWO_CONTS, (char)TWO_CONTS, TOO_SHORT | OVERLONG_2, TOO_SHORT,
              TOO_SHORT | OVERLONG_3 | SURROGATE, TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4),
        high);
    __m256i first_low = _mm256_shuffle_epi8(
        TWICE((char)(CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4), (char)(CARRY | OVERLONG_2), (char)CARRY,
              (char)CARRY, (char)(CARRY | TOO_LARGE), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000),
              (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000),
              (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000),
              (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000),
              (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000 | SURROGATE),
              (char)(CARRY | TOO_LARGE | TOO_LARGE_1000), (char)(CARRY | TOO_LARGE | TOO_LARGE_1000)),
        _mm256_and_si256(before, low4));
    __m256i second_high = _mm256_shuffle_epi8(
        TWICE(TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
              (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4),
              (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE),
              (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE),
              (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE), TOO_SHORT, TOO_SHORT, TOO_SHORT,
              TOO_SHORT),
        _mm256_and_si256(_mm256_srli_epi16(now, 4), low4));
    __m256i special = _mm256_and_si256(_mm256_and_si256(first_high, first_low), second_high);
    __m256i third = _mm256_subs_epu8(previous_bytes(now, s->previous, 2), _mm256_set1_epi8((char)(0xE0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(previous_bytes(now, s->previous, 3), _mm256_set1_epi8((char)(0xF0 - 0x80)));
    __m256i must = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    s->error = _mm256_or_si256(s->error, _mm256_xor_si256(must, special));
    /* A lead byte in the last three places whose sequence is not complete there. */
    const __m256i most =
        _mm256_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                         -1, -1, -1, -1, -1, (char)(0xF0 - 1), (char)(0xE0 - 1), (char)(0xC0 - 1));
    s->incomplete = _mm256_subs_epu8(now, most);
    s->previous = now;
}

typedef utf8_state kernel;

#include "index_body.h"

static inline void classify(kernel *k, const char *block, masks *m) {
    /* By their low nibble, the only white space and the only structural character (with bit 5 set) there is; simdjson's
     * tables. Bytes that none of them is: 100, 17, 113, 2, 112 have another low nibble than the place they stand at. */
    const __m256i white = TWICE(' ', 100, 100, 100, 17, 100, 113, 2, 100, '\t', '\n', 112, 100, '\r', 100, 100);
    const __m256i op = TWICE(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ':', '{', ',', '}', 0, 0);
    const __m256i bit5 = _mm256_set1_epi8(0x20), top = _mm256_set1_epi8(0x1F);
    __m256i a = _mm256_loadu_si256((const __m256i *)block);
    __m256i b = _mm256_loadu_si256((const __m256i *)(block + 32));
    m->backslash = mask_of(a, b, '\\');
    m->quote = mask_of(a, b, '"');
    m->white = two_masks(_mm256_cmpeq_epi8(a, _mm256_shuffle_epi8(white, a)),
                         _mm256_cmpeq_epi8(b, _mm256_shuffle_epi8(white, b)));
    m->op = two_masks(_mm256_cmpeq_epi8(_mm256_or_si256(a, bit5), _mm256_shuffle_epi8(op, a)),
                      _mm256_cmpeq_epi8(_mm256_or_si256(b, bit5), _mm256_shuffle_epi8(op, b)));
    m->control =
        two_masks(_mm256_cmpeq_epi8(_mm256_max_epu8(a, top), top), _mm256_cmpeq_epi8(_mm256_max_epu8(b, top), top));
    if (HR_LIKELY(_mm256_movemask_epi8(_mm256_or_si256(a, b)) == 0)) { /* ASCII */
        k->error = _mm256_or_si256(k->error, k->incomplete);
        k->incomplete = _mm256_setzero_si256();
        k->previous = b;
        return;
    }
    utf8_check(k, a);
    utf8_check(k, b);
}

_Static_assert(sizeof(kernel) == sizeof(((hr_json_carry *)NULL)->utf8.avx2), "the kernel's state fits");

int hr__json_index_avx2(const char *body, size_t size_bytes, bool last, const hr_allocator *alloc,
                        hr_json_index *index) {
    kernel k;
    memcpy(&k, index->carry.utf8.avx2, sizeof k);
    int rc = index_body(body, size_bytes, last, alloc, index, &k);
    memcpy(index->carry.utf8.avx2, &k, sizeof k);
    /* The last block ends with a space or is one: a sequence that is cut has been seen. */
    index->bad_utf8 = !_mm256_testz_si256(k.error, k.error);
    return rc;
}
#else
int hr__json_index_avx2(const char *body, size_t size_bytes, bool last, const hr_allocator *alloc,
                        hr_json_index *index) {
    return hr__json_index_portable(body, size_bytes, last, alloc, index);
}
#endif
