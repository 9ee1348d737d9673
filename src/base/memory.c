/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory: the libc allocator, the arena, growable bytes. Only this file and pages.c take memory from the system.
 */
#include "base.h"

#include <stdlib.h>

static void *libc_malloc(void *ctx, size_t size_bytes) {
    (void)ctx;
    return malloc(size_bytes);
}
static void *libc_realloc(void *ctx, void *ptr, size_t old_size_bytes, size_t size_bytes) {
    (void)ctx;
    (void)old_size_bytes;
    return realloc(ptr, size_bytes);
}
static void libc_free(void *ctx, void *ptr) {
    (void)ctx;
    free(ptr);
}

const hr_allocator hr__allocator_libc = {libc_malloc, libc_realloc, libc_free, NULL};

void *hr__calloc(const hr_allocator *alloc, size_t n, size_t size_bytes) {
    size_t total;
    if (__builtin_mul_overflow(n, size_bytes, &total)) {
        return NULL;
    }
    void *out = hr__alloc(alloc, total == 0 ? 1 : total);
    if (out != NULL) {
        memset(out, 0, total);
    }
    return out;
}

int hr__grow(const hr_allocator *alloc, void **array, size_t *cap, size_t n_needed, size_t elem_bytes) {
    if (n_needed <= *cap) {
        return HR_OK;
    }
    size_t n = *cap < 8 ? 8 : *cap;
    while (n < n_needed) {
        if (__builtin_mul_overflow(n, (size_t)2, &n)) {
            return HR_MEMORY;
        }
    }
    size_t total;
    if (__builtin_mul_overflow(n, elem_bytes, &total)) {
        return HR_MEMORY;
    }
    void *out =
        *array == NULL ? hr__alloc(alloc, total) : alloc->realloc_fn(alloc->ctx, *array, *cap * elem_bytes, total);
    if (out == NULL) {
        return HR_MEMORY;
    }
    *array = out;
    *cap = n;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- arena */

struct hr_arena_chunk {
    hr_arena_chunk *next;
    size_t size_bytes; /* of data */
    _Alignas(16) char data[];
};

/* Chunks double up to this; measured: no gain beyond on pages of 128 KB. */
#define ARENA_CHUNK_MIN ((size_t)16 << 10)
#define ARENA_CHUNK_MAX ((size_t)1 << 20)

void hr__arena_init(hr_arena *arena, const hr_allocator *alloc, size_t limit_bytes) {
    *arena = (hr_arena){.alloc = alloc, .limit_bytes = limit_bytes};
}

void *hr__arena_alloc_slow(hr_arena *arena, size_t size_bytes) {
    if (size_bytes > SIZE_MAX / 2) {
        return NULL;
    }
    size_t need = size_bytes == 0 ? 16 : (size_bytes + 15u) & ~(size_t)15u;
    if ((size_t)(arena->end - arena->at) < need) {
        size_t want = arena->head == NULL ? ARENA_CHUNK_MIN : arena->head->size_bytes * 2;
        want = want > ARENA_CHUNK_MAX ? ARENA_CHUNK_MAX : want;
        want = want < need ? need : want;
        if (arena->limit_bytes != 0 && want > arena->limit_bytes - arena->used_bytes) {
            want = need;
            if (want > arena->limit_bytes - arena->used_bytes) {
                return NULL;
            }
        }
        hr_arena_chunk *chunk = hr__alloc(arena->alloc, sizeof *chunk + want);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->size_bytes = want;
        chunk->next = arena->head;
        arena->head = chunk;
        arena->used_bytes += want;
        arena->at = chunk->data;
        arena->end = chunk->data + want;
    }
    void *out = arena->at;
    arena->at += need;
    return out;
}

char *hr__arena_copy(hr_arena *arena, const char *data, size_t size_bytes) {
    char *out = hr__arena_alloc(arena, size_bytes + 1);
    if (out != NULL) {
        if (size_bytes != 0) {
            memcpy(out, data, size_bytes);
        }
        out[size_bytes] = '\0';
    }
    return out;
}

int hr__arena_keep(hr_arena *arena, hr_str *text) {
    if (text->data == NULL) {
        return HR_OK;
    }
    text->data = hr__arena_copy(arena, text->data, text->size_bytes);
    return text->data == NULL ? HR_MEMORY : HR_OK;
}

void hr__arena_reset(hr_arena *arena) {
    hr_arena_chunk *keep = arena->head;
    if (keep == NULL) {
        return;
    }
    for (hr_arena_chunk *chunk = keep->next; chunk != NULL;) {
        hr_arena_chunk *next = chunk->next;
        hr__free(arena->alloc, chunk);
        chunk = next;
    }
    keep->next = NULL;
    arena->used_bytes = keep->size_bytes;
    arena->at = keep->data;
    arena->end = keep->data + keep->size_bytes;
}

void hr__arena_free(hr_arena *arena) {
    for (hr_arena_chunk *chunk = arena->head; chunk != NULL;) {
        hr_arena_chunk *next = chunk->next;
        hr__free(arena->alloc, chunk);
        chunk = next;
    }
    arena->head = NULL;
    arena->at = arena->end = NULL;
    arena->used_bytes = 0;
}

/* ---------------------------------------------------------------------------------------------------- buffer */

void hr__buf_init(hr_buf *buf, const hr_allocator *alloc, size_t limit_bytes) {
    *buf = (hr_buf){.alloc = alloc, .limit_bytes = limit_bytes};
}

void hr__buf_free(hr_buf *buf) {
    hr__free(buf->alloc, buf->data);
    buf->data = NULL;
    buf->size_bytes = buf->cap_bytes = 0;
}

int hr__buf_reserve(hr_buf *buf, size_t extra_bytes) {
    size_t need;
    if (__builtin_add_overflow(buf->size_bytes, extra_bytes, &need)) {
        return HR_LIMIT;
    }
    if (buf->limit_bytes != 0 && need > buf->limit_bytes) {
        return HR_LIMIT;
    }
    return hr__grow(buf->alloc, (void **)&buf->data, &buf->cap_bytes, need, 1);
}

int hr__buf_append(hr_buf *buf, const void *data, size_t size_bytes) {
    HR_TRY(hr__buf_reserve(buf, size_bytes));
    if (size_bytes != 0) {
        memcpy(buf->data + buf->size_bytes, data, size_bytes);
        buf->size_bytes += size_bytes;
    }
    return HR_OK;
}

static inline uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hr__str_hash(hr_str s) {
    static const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
    const char *at = s.data;
    size_t n = s.size_bytes;
    uint64_t h = (n + 1) * factor, word, tail = 0;
    for (; n > 8; at += 8, n -= 8) {
        memcpy(&word, at, sizeof word);
        h = mix(h ^ word, factor);
    }
    for (size_t i = 0; i < n; i++) {
        tail = tail << 8 | (uint8_t)at[i];
    }
    return mix(h ^ tail, factor);
}
