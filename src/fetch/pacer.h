/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered of hosts: each one's pace, shared by all engines that were given the same pacer. Any thread.
 */
#ifndef HR_FETCH_PACER_H
#define HR_FETCH_PACER_H

#include "pace.h"

typedef struct hr_pacer hr_pacer;

/* @locks the pacer's, by hr__pacer_lock, for all but host, port and next. */
typedef struct hr_pacer_host {
    struct hr_pacer_host *next;
    hr_pace pace;
    uint32_t n_unanswered;  /* requests in a row that ended without an answer, all attempts used */
    uint64_t left_until_us; /* left alone until then: the circuit breaker is open */
    uint64_t asked_by;      /* the engine that entered last: the breaker is a run's, the rest is for all */
    bool as_is;    /* sent a body that libcurl could not decode: its bodies are taken as they come from then on */
    bool is_http2; /* its last answer was */
    uint32_t n_users;
    uint64_t idle_us; /* since when n_users is 0 */
    uint32_t port;
    char host[];
} hr_pacer_host;

/* NULL: no memory. */
hr_pacer *hr__pacer_new(void);
hr_pacer *hr__pacer_ref(hr_pacer *pacer);
void hr__pacer_unref(hr_pacer *pacer); /* NULL is fine */
void hr__pacer_lock(hr_pacer *pacer);
void hr__pacer_unlock(hr_pacer *pacer);
/* A number for an engine, to enter hosts by. */
uint64_t hr__pacer_number(hr_pacer *pacer);
/* The host, which stays until hr__pacer_leave, and is remembered for a minute then, or for as long as its rules need.
 * NULL: no memory. */
hr_pacer_host *hr__pacer_enter(hr_pacer *pacer, uint64_t engine, const char *name, uint32_t port, uint32_t max_window,
                               uint32_t first_window, uint64_t now_us);
void hr__pacer_leave(hr_pacer *pacer, hr_pacer_host *host, uint64_t now_us);

#endif
