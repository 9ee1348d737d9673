/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of the index that is the same for every instruction set; included once by each kernel, which has
 * defined `kernel` (what it carries from block to block), included blocks_*.h and defines classify.
 */
#include "index.h"

/* A bit a byte of a block. */
typedef struct masks {
    uint64_t backslash, quote, op, white, control;
} masks;

/* The masks of the 64 bytes at block. */
static inline void classify(kernel *k, const char *block, masks *m);
/* Which bytes a backslash escapes; the backslashes' offsets go to index->escapes. One that is itself escaped escapes
 * nothing. *into_next is bit 0 for this block and, afterwards, for the
 * next. */
static int find_escaped(hr_json_index *index, const hr_allocator *alloc, uint64_t backslash, size_t base,
                        uint64_t *into_next, uint64_t *escaped_out) {
    HR_TRY(
        hr__grow(alloc, (void **)&index->escapes, &index->cap_escapes, index->n_escapes + 65, sizeof *index->escapes));
    uint64_t escaped = *into_next;
    *into_next = 0;
    for (uint64_t rest = backslash & ~escaped; rest != 0;) {
        uint64_t bit = rest & (0 - rest);
        index->escapes[index->n_escapes++] = (uint32_t)(base + (size_t)__builtin_ctzll(rest));
        *into_next = bit >> 63;
        escaped |= bit << 1;
        rest &= ~(bit | bit << 1);
    }
    *escaped_out = escaped;
    return HR_OK;
}

static inline int index_block(hr_json_index *index, const hr_allocator *alloc, kernel *k, const char *block,
                              size_t base, hr_json_carry *c) {
    masks m;
    classify(k, block, &m);
    uint64_t escaped = 0;
    if (HR_UNLIKELY((m.backslash | c->escaped) != 0)) {
        uint64_t next = c->escaped;
        HR_TRY(find_escaped(index, alloc, m.backslash, base, &next, &escaped));
        c->escaped = next;
    }
    uint64_t quote = m.quote & ~escaped;
    uint64_t inside = prefix_xor(quote) ^ c->in_string; /* from an opening quote to the byte before the closing one */
    c->in_string = (uint64_t)((int64_t)inside >> 63);
    uint64_t scalar = ~(m.op | m.white);
    uint64_t bare = scalar & ~quote;
    uint64_t follows = bare << 1 | c->scalar;
    c->scalar = bare >> 63;
    uint64_t starts = ((m.op | (scalar & ~follows)) & ~(inside ^ quote)) | quote;
    if (HR_UNLIKELY((m.control & inside) != 0) && index->control_offset == SIZE_MAX) {
        index->control_offset = base + (size_t)__builtin_ctzll(m.control & inside);
    }
    if (HR_UNLIKELY(index->n + BLOCK_ROOM > index->cap)) {
        HR_TRY(hr__grow(alloc, (void **)&index->at, &index->cap, index->n + BLOCK_ROOM, sizeof *index->at));
    }
    write_offsets(index->at + index->n, (uint32_t)base, starts);
    index->n += (size_t)__builtin_popcountll(starts);
    return HR_OK;
}

static inline int index_body(const char *body, size_t size_bytes, bool last_call, const hr_allocator *alloc,
                             hr_json_index *index, kernel *k) {
    hr_json_carry c = index->carry;
    size_t base = c.base;
    for (; size_bytes - base >= 64; base += 64) {
        HR_TRY(index_block(index, alloc, k, body + base, base, &c));
    }
    c.base = base;
    index->carry = c;
    if (!last_call) {
        return HR_OK;
    }
    char last[64]; /* what stands behind the body is not looked at */
    memset(last, ' ', sizeof last);
    memcpy(last, body + base, size_bytes - base);
    HR_TRY(index_block(index, alloc, k, last, base, &c));
    HR_TRY(
        hr__grow(alloc, (void **)&index->escapes, &index->cap_escapes, index->n_escapes + 1, sizeof *index->escapes));
    index->at[index->n] = index->at[index->n + 1] = (uint32_t)size_bytes;
    index->escapes[index->n_escapes] = UINT32_MAX;
    index->open_string = c.in_string != 0;
    return HR_OK;
}
