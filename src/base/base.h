/* SPDX-License-Identifier: Apache-2.0
 *
 * base: what every stage stands on and what knows nothing of data: errors, memory, growable buffers, strings.
 * One header on purpose: these four are used together in every file.
 */
#ifndef HR_BASE_H
#define HR_BASE_H

#include "headrace/headrace.h"

#include <assert.h>
#include <string.h>

#define HR_LIKELY(x) __builtin_expect(!!(x), 1)
#define HR_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Whether what is compiled with avx2_args (src/meson.build) may run here. Cheap. */
static inline bool hr__has_avx2(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

/* Returns the status as it is; use only while this function owns nothing. */
#define HR_TRY(call)                            \
    do {                                        \
        int hr_try_rc_ = (call);                \
        if (HR_UNLIKELY(hr_try_rc_ != HR_OK)) { \
            return hr_try_rc_;                  \
        }                                       \
    } while (0)

/* ---- errors. Fills *err (if not NULL) and returns code. offset_bytes and record are set to -1. */
int hr__error_set(hr_error *err, hr_code code, hr_stage stage, const char *fmt, ...) HR_PRINTF(4, 5);
/* The same with a position in the body. */
int hr__error_at(hr_error *err, hr_code code, hr_stage stage, int64_t offset_bytes, const char *fmt, ...)
    HR_PRINTF(5, 6);
/* Out of memory, the message every allocation failure has. */
static inline int hr__error_memory(hr_error *err, hr_stage stage) {
    hr__error_set(err, HR_MEMORY, stage, "out of memory");
    return HR_MEMORY;
}

/* ---- memory */
extern const hr_allocator hr__allocator_libc; /* malloc, realloc, free */

static inline void *hr__alloc(const hr_allocator *alloc, size_t size_bytes) {
    return alloc->malloc_fn(alloc->ctx, size_bytes);
}
void *hr__calloc(const hr_allocator *alloc, size_t n, size_t size_bytes); /* overflow-checked, zeroed */
static inline void hr__free(const hr_allocator *alloc, void *ptr) {
    if (ptr != NULL) {
        alloc->free_fn(alloc->ctx, ptr);
    }
}
/* Grows *array to hold at least n_needed elements of elem_bytes (doubling); updates *cap. HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__grow(const hr_allocator *alloc, void **array, size_t *cap, size_t n_needed, size_t elem_bytes);

/* ---- arena: bump allocation, dropped by one reset. Blocks are 16-byte aligned.
 *
 *   head -> [chunk 64 KiB used 40 KiB] -> [chunk 64 KiB full] -> NULL
 */
typedef struct hr_arena_chunk hr_arena_chunk;
typedef struct hr_arena {
    const hr_allocator *alloc; /* borrowed, outlives the arena */
    hr_arena_chunk *head;
    char *at, *end;     /* free space of head */
    size_t used_bytes;  /* sum of the chunks' sizes */
    size_t limit_bytes; /* 0: none */
} hr_arena;

void hr__arena_init(hr_arena *arena, const hr_allocator *alloc, size_t limit_bytes);
void *hr__arena_alloc_slow(hr_arena *arena, size_t size_bytes);
/* NULL when there is no memory or the limit is reached. */
static inline void *hr__arena_alloc(hr_arena *arena, size_t size_bytes) {
    size_t need = (size_bytes + 15u) & ~(size_t)15u;
    if (HR_LIKELY(need >= size_bytes && (size_t)(arena->end - arena->at) >= need && need != 0)) {
        void *out = arena->at;
        arena->at += need;
        return out;
    }
    return hr__arena_alloc_slow(arena, size_bytes);
}
char *hr__arena_copy(hr_arena *arena, const char *data, size_t size_bytes); /* zero-terminated copy; NULL: no memory */
/* Has the text copied into the arena; one without data stays. HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__arena_keep(hr_arena *arena, hr_str *text);
void hr__arena_reset(hr_arena *arena); /* keeps the newest chunk, frees the others */
void hr__arena_free(hr_arena *arena);  /* frees all; may be used again after hr__arena_init */

/* ---- growable bytes with a limit */
typedef struct hr_buf {
    const hr_allocator *alloc; /* borrowed */
    char *data;
    size_t size_bytes, cap_bytes;
    size_t limit_bytes; /* 0: none */
} hr_buf;

void hr__buf_init(hr_buf *buf, const hr_allocator *alloc, size_t limit_bytes);
void hr__buf_free(hr_buf *buf);
/* Room for extra_bytes more. HR_OK, HR_MEMORY or HR_LIMIT. */
HR_MUST_CHECK int hr__buf_reserve(hr_buf *buf, size_t extra_bytes);
HR_MUST_CHECK int hr__buf_append(hr_buf *buf, const void *data, size_t size_bytes);
static inline HR_MUST_CHECK int hr__buf_append_str(hr_buf *buf, const char *text) {
    return hr__buf_append(buf, text, strlen(text));
}

/* ---- strings */
static inline hr_str hr__str(const char *text) {
    return (hr_str){text, strlen(text)};
}
static inline bool hr__str_eq(hr_str a, hr_str b) {
    return a.size_bytes == b.size_bytes && (a.size_bytes == 0 || memcmp(a.data, b.data, a.size_bytes) == 0);
}
uint64_t hr__str_hash(hr_str s); /* for tables in memory, not for attackers' input without a cap on entries */

#endif
