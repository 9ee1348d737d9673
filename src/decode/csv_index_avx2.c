/* SPDX-License-Identifier: Apache-2.0
 *
 * The CSV index with AVX2 and PCLMULQDQ.
 */
#include "csv_index.h"

#if defined(__x86_64__)
#include "blocks_avx2.h"
#include "csv_index_body.h"

static inline void classify(const hr_csv_dialect *dialect, const char *block, masks *m) {
    __m256i a = _mm256_loadu_si256((const __m256i *)block);
    __m256i b = _mm256_loadu_si256((const __m256i *)(block + 32));
    m->delimiter = mask_of(a, b, dialect->delimiter);
    m->quote = dialect->quote == 0 ? 0 : mask_of(a, b, dialect->quote);
    m->lf = mask_of(a, b, '\n');
    m->cr = mask_of(a, b, '\r');
}

int hr__csv_index_avx2(const hr_csv_dialect *dialect, const char *text, size_t size_bytes, bool last,
                       const hr_allocator *alloc, hr_csv_index *index) {
    return index_text(dialect, text, size_bytes, last, alloc, index);
}
#else
int hr__csv_index_avx2(const hr_csv_dialect *dialect, const char *text, size_t size_bytes, bool last,
                       const hr_allocator *alloc, hr_csv_index *index) {
    return hr__csv_index_portable(dialect, text, size_bytes, last, alloc, index);
}
#endif
