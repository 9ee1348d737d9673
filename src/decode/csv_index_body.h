/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of the CSV index that is the same for every instruction set; each kernel has included blocks_*.h and defines
 * classify.
 */
#include "csv_index.h"

/* A bit a byte of a block. */
typedef struct masks {
    uint64_t delimiter, quote, lf, cr;
} masks;

static inline void classify(const hr_csv_dialect *dialect, const char *block, masks *m);

static inline int index_block(const hr_csv_dialect *dialect, const hr_allocator *alloc, const masks *m, uint64_t valid,
                              size_t base, hr_csv_index *index) {
    uint64_t inside = prefix_xor(m->quote) ^ index->inside; /* from an opening quote to the byte before the closing */
    uint64_t lines = m->lf | m->cr;
    uint64_t split = (m->delimiter | lines) & ~inside;
    uint64_t after_cr = (m->cr & ~inside) << 1 | index->after_cr;
    uint64_t ends = split & ~(m->lf & after_cr);
    uint64_t close = m->quote & ~inside;
    uint64_t doubled = dialect->doublequote ? UINT64_MAX : 0;
    uint64_t bad =
        m->quote & inside & ~(split << 1 | index->after_split) & ~((m->quote << 1 | index->after_quote) & doubled);
    bad |= (close << 1 | index->after_close) & ~(split | (m->quote & doubled)) & valid;
    if (HR_UNLIKELY(bad != 0)) {
        index->irregular = true;
        return HR_OK;
    }
    if (HR_UNLIKELY((lines & inside) != 0)) {
        index->n_quoted_lines += (size_t)__builtin_popcountll((m->cr | (m->lf & ~(m->cr << 1))) & inside);
    }
    index->inside = (uint64_t)((int64_t)inside >> 63);
    index->after_split = split >> 63;
    index->after_quote = m->quote >> 63;
    index->after_close = close >> 63;
    index->after_cr = (m->cr & ~inside) >> 63;
    if (HR_UNLIKELY(index->n + BLOCK_ROOM > index->cap)) {
        HR_TRY(hr__grow(alloc, (void **)&index->ends, &index->cap, index->n + BLOCK_ROOM, sizeof *index->ends));
    }
    if (HR_UNLIKELY(index->n_rows + 64 > index->cap_rows)) {
        HR_TRY(hr__grow(alloc, (void **)&index->rows, &index->cap_rows, index->n_rows + 64, sizeof *index->rows));
    }
    write_offsets(index->ends + index->n, (uint32_t)base, ends);
    for (uint64_t rest = ends & lines; rest != 0; rest &= rest - 1) {
        uint64_t upto = rest ^ (rest - 1); /* the lowest bit and all below */
        index->rows[index->n_rows++] = (uint32_t)(index->n + (size_t)__builtin_popcountll(ends & upto));
    }
    index->n += (size_t)__builtin_popcountll(ends);
    return HR_OK;
}

static inline int index_text(const hr_csv_dialect *dialect, const char *text, size_t size_bytes, bool last,
                             const hr_allocator *alloc, hr_csv_index *index) {
    masks m;
    for (; size_bytes - index->done >= 64 && !index->irregular; index->done += 64) {
        classify(dialect, text + index->done, &m);
        HR_TRY(index_block(dialect, alloc, &m, UINT64_MAX, index->done, index));
    }
    size_t rest = size_bytes - index->done;
    if (!last || rest == 0 || index->irregular) {
        return HR_OK;
    }
    char block[64] = {0};
    memcpy(block, text + index->done, rest);
    classify(dialect, block, &m);
    uint64_t valid = ((uint64_t)1 << rest) - 1;
    m = (masks){m.delimiter & valid, m.quote & valid, m.lf & valid, m.cr & valid};
    HR_TRY(index_block(dialect, alloc, &m, valid, index->done, index));
    index->done = size_bytes;
    return HR_OK;
}
