/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of the index that is the same for every instruction set; included once by each kernel, which defines
 *   CLASSIFY(block, masks)  the five masks of 64 bytes
 *   PREFIX_XOR(bits)        bit i is the xor of bits 0..i
 */

typedef struct masks {
    uint64_t backslash, quote, op, white, control;
} masks;

static int index_body(const char *body, size_t size_bytes, const hr_allocator *alloc, hr_json_index *index) {
    size_t n_blocks = (size_bytes + 63) / 64;
    HR_TRY(hr__grow(alloc, (void **)&index->escapes, &index->cap_escapes, n_blocks / 64 + 1, sizeof *index->escapes));
    memset(index->escapes, 0, (n_blocks / 64 + 1) * sizeof *index->escapes);
    index->n = 0;
    index->control_offset = SIZE_MAX;
    uint64_t in_string = 0, escape_carry = 0, scalar_carry = 0;
    for (size_t block = 0; block < n_blocks; block++) {
        size_t base = block * 64;
        masks m;
        CLASSIFY(body + base, &m);
        if (HR_UNLIKELY(size_bytes - base < 64)) { /* what stands behind the body is not looked at */
            uint64_t keep = ((uint64_t)1 << (size_bytes - base)) - 1;
            m.backslash &= keep;
            m.quote &= keep;
            m.op &= keep;
            m.control &= keep;
            m.white |= ~keep;
        }
        uint64_t escaped = 0;
        if (HR_UNLIKELY(m.backslash != 0 || escape_carry != 0)) {
            if (m.backslash != 0) {
                index->escapes[block / 64] |= (uint64_t)1 << (block % 64);
            }
            /* A backslash that is not itself escaped escapes the next byte. */
            uint64_t rest = m.backslash & ~escape_carry;
            escaped = escape_carry;
            escape_carry = 0;
            while (rest != 0) {
                uint64_t bit = rest & (0 - rest);
                if (bit >> 63) {
                    escape_carry = 1;
                }
                escaped |= bit << 1;
                rest &= ~(bit | bit << 1);
            }
        }
        uint64_t quote = m.quote & ~escaped;
        uint64_t inside = PREFIX_XOR(quote) ^ in_string; /* from an opening quote to the byte before the closing one */
        in_string = (uint64_t)((int64_t)inside >> 63);
        uint64_t scalar = ~(m.op | m.white);
        uint64_t bare = scalar & ~quote;
        uint64_t follows = bare << 1 | scalar_carry;
        scalar_carry = bare >> 63;
        uint64_t starts = ((m.op | (scalar & ~follows)) & ~(inside ^ quote)) | quote;
        if (HR_UNLIKELY((m.control & inside) != 0) && index->control_offset == SIZE_MAX) {
            index->control_offset = base + (size_t)__builtin_ctzll(m.control & inside);
        }
        size_t count = (size_t)__builtin_popcountll(starts);
        if (HR_UNLIKELY(index->n + 72 > index->cap)) {
            HR_TRY(hr__grow(alloc, (void **)&index->at, &index->cap, index->n + 72, sizeof *index->at));
        }
        uint32_t *to = index->at + index->n;
        while (starts != 0) { /* eight at a time: most blocks have 8 to 16 */
            for (int i = 0; i < 8; i++) {
                to[i] = (uint32_t)base + (uint32_t)__builtin_ctzll(starts | (uint64_t)1 << 63);
                starts &= starts - 1;
            }
            to += 8;
        }
        index->n += count;
    }
    if (n_blocks != 0) {
        index->at[index->n] = (uint32_t)size_bytes; /* where a string that does not end, ends */
    }
    index->open_string = in_string != 0;
    return HR_OK;
}
