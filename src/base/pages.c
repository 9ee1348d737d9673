/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks that are mappings, and those kept for the next. See pages.h.
 *
 *   block -> [size asked for, bytes mapped (0: of libc's heap), links while it is kept; unused to 64][the caller's
 * bytes]
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap */
#endif
#include "pages.h"

#include <stdlib.h>
#include <sys/mman.h>

/* As long as a cache line, which is what Arrow likes its buffers aligned to. */
#define HEADER ((size_t)64)

struct hr_pages_block {
    size_t size_bytes, mapped_bytes;
    hr_pages_block *newer, *older; /* of all that are kept */
    hr_pages_block *class_newer, *class_older;
};
static_assert(sizeof(hr_pages_block) <= HEADER, "the header holds the links");

static void *begin(void *block, size_t size_bytes, size_t mapped_bytes) {
    if (block == NULL || block == MAP_FAILED) {
        return NULL;
    }
    hr_pages_block *head = block;
    head->size_bytes = size_bytes;
    head->mapped_bytes = mapped_bytes;
    return (char *)block + HEADER;
}

static hr_pages_block *block_of(void *ptr) {
    return (hr_pages_block *)((char *)ptr - HEADER);
}

size_t hr__pages_size(const void *ptr) {
    return ((const hr_pages_block *)((const char *)ptr - HEADER))->size_bytes;
}

static size_t log2_of(size_t n) {
    return (size_t)(63 - __builtin_clzll(n));
}

/* What to map for a block that is asked for so large. */
static size_t mapped_of(size_t size_bytes) {
    size_t need = size_bytes + HEADER;
    size_t step = ((size_t)1 << log2_of(need)) / 8;
    step = step < 4096 ? 4096 : step;
    return (need + step - 1) & ~(step - 1);
}

/* The class of mappings of this size. */
static size_t class_of(size_t mapped_bytes) {
    size_t log2 = log2_of(mapped_bytes);
    return log2 * 8 + (log2 < 3 ? 0 : (mapped_bytes >> (log2 - 3)) & 7);
}

void hr__pages_init(hr_pages *pages, size_t min_mapped_bytes, size_t keep_bytes) {
    *pages = (hr_pages){.min_mapped_bytes = min_mapped_bytes, .keep_bytes = keep_bytes};
    pthread_mutex_init(&pages->lock, NULL);
}

/* Takes the block out of what is kept. lock is held. */
static void kept_unlink(hr_pages *pages, hr_pages_block *block) {
    *(block->newer == NULL ? &pages->newest : &block->newer->older) = block->older;
    *(block->older == NULL ? &pages->oldest : &block->older->newer) = block->newer;
    hr_pages_block **first = &pages->classes[class_of(block->mapped_bytes)];
    *(block->class_newer == NULL ? first : &block->class_newer->class_older) = block->class_older;
    if (block->class_older != NULL) {
        block->class_older->class_newer = block->class_newer;
    }
    pages->n_kept--;
    pages->kept_bytes -= block->mapped_bytes;
}

/* Puts the block among what is kept. lock is held. */
static void kept_link(hr_pages *pages, hr_pages_block *block) {
    hr_pages_block **first = &pages->classes[class_of(block->mapped_bytes)];
    block->newer = block->class_newer = NULL;
    block->older = pages->newest;
    block->class_older = *first;
    *(block->older == NULL ? &pages->oldest : &block->older->newer) = block;
    if (block->class_older != NULL) {
        block->class_older->class_newer = block;
    }
    pages->newest = *first = block;
    pages->n_kept++;
    pages->kept_bytes += block->mapped_bytes;
}

/* A kept block of this size or up to twice as large; of those the newest: it is likeliest to be in a cache. */
static hr_pages_block *kept_find(hr_pages *pages, size_t mapped_bytes) {
    hr_pages_block *found = NULL;
    size_t class = class_of(mapped_bytes);
    pthread_mutex_lock(&pages->lock);
    for (size_t i = class; found == NULL && i < class + 8 && i < HR_PAGES_CLASSES; i++) {
        found = pages->classes[i];
    }
    if (found != NULL) {
        kept_unlink(pages, found);
    }
    pthread_mutex_unlock(&pages->lock);
    return found;
}

/* Gives back blocks that hang together by `older`. */
static void unmap_all(hr_pages_block *block) {
    while (block != NULL) {
        hr_pages_block *older = block->older;
        munmap(block, block->mapped_bytes);
        block = older;
    }
}

/* Keeps the block (NULL: none), if it is not half of what may be kept; the oldest are given back for it. */
static void kept_put(hr_pages *pages, hr_pages_block *block) {
    hr_pages_block *dropped = NULL;
    pthread_mutex_lock(&pages->lock);
    if (block != NULL && block->mapped_bytes <= pages->keep_bytes / 2) {
        kept_link(pages, block);
    } else if (block != NULL) {
        block->older = NULL;
        dropped = block;
    }
    while (pages->kept_bytes > pages->keep_bytes && pages->oldest != NULL) {
        hr_pages_block *oldest = pages->oldest;
        kept_unlink(pages, oldest);
        oldest->older = dropped;
        dropped = oldest;
    }
    pthread_mutex_unlock(&pages->lock);
    unmap_all(dropped);
}

void hr__pages_close(hr_pages *pages) {
    pthread_mutex_lock(&pages->lock);
    pages->keep_bytes = 0;
    pthread_mutex_unlock(&pages->lock);
    kept_put(pages, NULL);
}

void hr__pages_destroy(hr_pages *pages) {
    assert(pages->n_kept == 0);
    pthread_mutex_destroy(&pages->lock);
}

void *hr__pages_malloc(hr_pages *pages, size_t size_bytes) {
    if (size_bytes > SIZE_MAX / 4) {
        return NULL;
    }
    if (size_bytes < pages->min_mapped_bytes) {
        /* hr__pages_free finds the block's start: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        return begin(malloc(size_bytes + HEADER), size_bytes, 0);
    }
    size_t mapped = mapped_of(size_bytes);
    hr_pages_block *kept = kept_find(pages, mapped);
    if (kept != NULL) {
        return begin(kept, size_bytes, kept->mapped_bytes);
    }
    return begin(mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), size_bytes, mapped);
}

void hr__pages_free(hr_pages *pages, void *ptr) {
    if (ptr == NULL) {
        return;
    }
    hr_pages_block *block = block_of(ptr);
    if (block->mapped_bytes == 0) {
        free(block);
    } else {
        kept_put(pages, block);
    }
}

void *hr__pages_realloc(hr_pages *pages, void *ptr, size_t size_bytes) {
    if (ptr == NULL || size_bytes > SIZE_MAX / 4) {
        return ptr == NULL ? hr__pages_malloc(pages, size_bytes) : NULL;
    }
    hr_pages_block *block = block_of(ptr);
    const size_t old_bytes = block->size_bytes;
    const size_t old_mapped = block->mapped_bytes;
    bool is_mapped = size_bytes >= pages->min_mapped_bytes;
    if (old_mapped == 0 && !is_mapped) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        return begin(realloc(block, size_bytes + HEADER), size_bytes, 0);
    }
    size_t mapped = mapped_of(size_bytes);
    if (is_mapped && mapped <= old_mapped && old_mapped / 2 <= mapped) {
        return begin(block, size_bytes, old_mapped);
    }
    if (is_mapped && old_mapped != 0) {
        return begin(mremap(block, old_mapped, mapped, MREMAP_MAYMOVE), size_bytes, mapped);
    }
    void *out = hr__pages_malloc(pages, size_bytes);
    if (out != NULL) {
        memcpy(out, ptr, old_bytes < size_bytes ? old_bytes : size_bytes);
        hr__pages_free(pages, ptr);
    }
    return out;
}
