/* SPDX-License-Identifier: Apache-2.0
 *
 * pages: memory of a run. Large blocks are mappings of their own, and the next large block takes the place of one that
 * was freed: the kernel clears each page once a run, not once a block (a quarter of the CPU of dlt's normalize step,
 * measured), and what is not kept goes back to the system at once, whatever else the heap holds.
 */
#ifndef HR_BASE_PAGES_H
#define HR_BASE_PAGES_H

#include "base.h"

#include <pthread.h>

/* Sizes of mappings: eight steps a doubling (n = 8 to 15 times 2^k), so that blocks of about one size take each other's
 * place. */
#define HR_PAGES_CLASSES ((size_t)64 * 8)

typedef struct hr_pages_block hr_pages_block;

typedef struct hr_pages {
    size_t min_mapped_bytes;                   /* smaller blocks come from libc's heap */
    size_t keep_bytes;                         /* so much is kept of what was freed */
    pthread_mutex_t lock;                      /* a leaf: taken inside any other lock, takes none */
    hr_pages_block *classes[HR_PAGES_CLASSES]; /* lock; kept blocks of a size, the newest first */
    hr_pages_block *newest, *oldest;           /* lock; all kept blocks */
    size_t n_kept, kept_bytes;                 /* lock */
} hr_pages;

/* The block size from which on a mapping is worth its page faults (measured). */
#define HR_PAGES_MIN_MAPPED ((size_t)64 << 10)

void hr__pages_init(hr_pages *pages, size_t min_mapped_bytes, size_t keep_bytes);
/* Gives back what is kept and keeps nothing from now on. Blocks that are live may still be freed. */
void hr__pages_close(hr_pages *pages);
void hr__pages_destroy(hr_pages *pages); /* after close, with no block live */

/* As malloc, realloc and free. Blocks are aligned to 64 bytes, smaller than min_mapped_bytes to 16. Any thread. */
void *hr__pages_malloc(hr_pages *pages, size_t size_bytes);
void *hr__pages_realloc(hr_pages *pages, void *ptr, size_t size_bytes);
void hr__pages_free(hr_pages *pages, void *ptr);
size_t hr__pages_size(const void *ptr); /* what was asked for */

#endif
