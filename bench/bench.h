/* SPDX-License-Identifier: Apache-2.0
 *
 * What bench_decode and bench_normalize share: pages and clocks.
 */
#ifndef HR_BENCH_BENCH_H
#define HR_BENCH_BENCH_H

#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { RECORDS_A_PAGE = 100 };

/* A JSON array of RECORDS_A_PAGE records of about 1.2 KB, like an issue of a code host (a root row and about four child
 * rows), padded for the decoder. The same for the same number. */
hr_buf bench_page(uint32_t number);

/* Ends the program, with err's message if there is one, unless rc is HR_OK. */
static inline void bench_must(int rc, const hr_error *err) {
    if (rc != HR_OK) {
        fprintf(stderr, "failed: %s\n", err == NULL ? hr_code_text((hr_code)rc) : err->message);
        exit(1);
    }
}

static inline double bench_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The calling thread's: other work on the machine counts less. */
static inline double bench_cpu_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The time stamp counter, which counts at the processor's nominal rate; 0 where there is none. */
static inline uint64_t bench_ticks(void) {
#if defined(__x86_64__)
    return __rdtsc();
#else
    return 0;
#endif
}

#endif
