/* SPDX-License-Identifier: Apache-2.0
 *
 * The C tests' harness: cases by name, asserts that print both sides and survive release builds, and an allocator that
 * fails its n-th call (every allocation failing in turn: HR_SWEEP).
 */
#ifndef HRTEST_H
#define HRTEST_H

#include "base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int hrtest_failed;

#define HR_CASE(name) static void name(void)
#define HR_RUN(name)                                                          \
    do {                                                                      \
        int before_ = hrtest_failed;                                          \
        name();                                                               \
        printf("%s %s\n", hrtest_failed == before_ ? "ok" : "not ok", #name); \
    } while (0)
#define HR_DONE() (printf("%d failed\n", hrtest_failed), hrtest_failed == 0 ? 0 : 1)

#define HR_CHECK(cond)                                          \
    do {                                                        \
        if (!(cond)) {                                          \
            hrtest_failed++;                                    \
            printf("  %s:%d: %s\n", __FILE__, __LINE__, #cond); \
        }                                                       \
    } while (0)
#define HR_CHECK_INT(got, want)                                                                                \
    do {                                                                                                       \
        int64_t got_ = (int64_t)(got), want_ = (int64_t)(want);                                                \
        if (got_ != want_) {                                                                                   \
            hrtest_failed++;                                                                                   \
            printf("  %s:%d: %s: got %" PRId64 ", want %" PRId64 "\n", __FILE__, __LINE__, #got, got_, want_); \
        }                                                                                                      \
    } while (0)
#define HR_CHECK_STR(got_str, want_cstr)                                                                           \
    do {                                                                                                           \
        hr_str got_ = (got_str);                                                                                   \
        hr_str want_ = hr__str(want_cstr);                                                                         \
        if (!hr__str_eq(got_, want_)) {                                                                            \
            hrtest_failed++;                                                                                       \
            printf("  %s:%d: %s: got \"%.*s\", want \"%s\"\n", __FILE__, __LINE__, #got_str, (int)got_.size_bytes, \
                   got_.data == NULL ? "" : got_.data, want_cstr);                                                 \
        }                                                                                                          \
    } while (0)

/* A number below n, the next of a sequence that is the same in each run. */
static inline unsigned hrtest_below(unsigned n) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % n;
}

/* An allocator whose call number fail_at (from 0) and all later ones return NULL; -1: never. Counts what is live. */
typedef struct hrtest_alloc {
    int64_t calls, fail_at, live;
} hrtest_alloc;

static inline void *hrtest_malloc(void *ctx, size_t size_bytes) {
    hrtest_alloc *state = ctx;
    if (state->fail_at >= 0 && state->calls++ >= state->fail_at) {
        return NULL;
    }
    void *out = malloc(size_bytes);
    state->live += out != NULL;
    return out;
}
static inline void *hrtest_realloc(void *ctx, void *ptr, size_t old_size_bytes, size_t size_bytes) {
    (void)old_size_bytes;
    hrtest_alloc *state = ctx;
    if (state->fail_at >= 0 && state->calls++ >= state->fail_at) {
        return NULL;
    }
    void *out = realloc(ptr, size_bytes);
    state->live += ptr == NULL && out != NULL;
    return out;
}
static inline void hrtest_free(void *ctx, void *ptr) {
    hrtest_alloc *state = ctx;
    state->live -= ptr != NULL;
    free(ptr);
}
#define HRTEST_ALLOCATOR(state) {hrtest_malloc, hrtest_realloc, hrtest_free, &(state)}

/* Runs `body(const hr_allocator *) -> int rc` with allocation 0, 1, 2, ... failing until it succeeds; each failing run
 * must return HR_MEMORY and leak nothing. */
static inline void hrtest_sweep(int (*body)(const hr_allocator *alloc), int64_t max_runs) {
    for (int64_t n = 0; n < max_runs; n++) {
        hrtest_alloc state = {.fail_at = n};
        hr_allocator alloc = HRTEST_ALLOCATOR(state);
        int rc = body(&alloc);
        HR_CHECK_INT(state.live, 0);
        if (rc == HR_OK) {
            return;
        }
        HR_CHECK_INT(rc, HR_MEMORY);
    }
    HR_CHECK(!"the sweep did not end");
}

static inline int hrtest_hex_digit(char c) {
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

/* Resolves the escapes of tests/cases, \\, \n, \t and \xHH, in place. */
static inline hr_str hrtest_unescape(char *text) {
    char *to = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '\\') {
            *to++ = *at;
        } else if (*++at == 'x') {
            *to++ = (char)(hrtest_hex_digit(at[1]) << 4 | hrtest_hex_digit(at[2]));
            at += 2;
        } else {
            *to++ = *at == 'n' ? '\n' : *at == 't' ? '\t' : *at;
        }
    }
    return (hr_str){text, (size_t)(to - text)};
}

#endif
