/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast one host is asked: how many requests are in flight (adaptive), and how many start in a time (the rate
 * budget: configured, told by the server's headers, or found out from its refusals). Pure: times are given, nothing is
 * waited for, nothing is allocated. docs/in-flight.md and docs/rate-limits.md give the rules with their reasons.
 *
 *   hr__pace_init -> hr__pace_due_us (may one start?) -> hr__pace_start -> hr__pace_end, hr__pace_told -> ...
 */
#ifndef HR_FETCH_PACE_H
#define HR_FETCH_PACE_H

#include "base.h"
#include "rate_headers.h"

#define HR_PACE_RULES 4  /* rules a host; more are left out (guessed: a second, a minute, an hour, a day) */
#define HR_PACE_SLOTS 64 /* a rule's time is counted in so many parts: at most 1/64 of the rate is given away */
#define HR_PACE_LEVELS 64

/* At most `requests` (or points) in any time of `per_ms`. */
typedef struct hr_pace_rule {
    uint32_t requests;
    uint32_t per_ms;
} hr_pace_rule;

/* What a request's client says of its host. */
typedef struct hr_pace_limits {
    hr_pace_rule rules[HR_PACE_RULES];
    uint32_t n_rules;
    uint32_t max_window;   /* in flight at once; 0: the engine's */
    uint32_t cost;         /* points of this request; 0: 1 */
    double max_per_second; /* evenly; 0: no limit */
    bool ignore_headers;   /* what the server tells of its limits */
} hr_pace_limits;

/* What came of a request, as far as its host's pace is concerned. */
typedef enum hr_pace_end {
    HR_PACE_UNSET,
    HR_PACE_ACCEPTED, /* an answer that refuses nothing */
    HR_PACE_REFUSED,  /* 429 or 503 */
    HR_PACE_SILENT,   /* a time-out */
    HR_PACE_BROKEN,   /* a network error, 5xx, cancelled: says nothing of the pace */
} hr_pace_end;

typedef enum hr_pace_hold {
    HR_PACE_FREE,
    HR_PACE_WINDOW, /* so many are in flight as may be */
    HR_PACE_RATE,   /* the budget is used up, or the host asked for a pause */
} hr_pace_hold;

/* Kept with a request while it is in flight. */
typedef struct hr_pace_ticket {
    uint64_t number; /* of the host's starts, from 1 */
    uint64_t started_us;
    uint32_t level; /* in flight at its start, itself included */
    uint32_t cost;
    bool caught_up; /* nearer to the one before than the rate found out */
} hr_pace_ticket;

/* A rule and what was charged to it: slots[i] holds what counts for the slot_us * number'th part of time. */
typedef struct hr_pace_window {
    hr_pace_rule rule;
    struct {
        uint64_t number;
        uint64_t cost;
    } slots[HR_PACE_SLOTS + 1];
} hr_pace_window;

typedef struct hr_pace {
    uint32_t max_window;
    uint32_t window; /* requests that may be in flight */
    uint32_t in_flight;
    uint64_t cost_in_flight;
    uint64_t n_starts, last_start_us;
    /* growth */
    bool is_steady;                       /* refused or silent once: from then on slowly */
    bool is_probing;                      /* refused last: one at a time until one is accepted */
    uint32_t proven;                      /* the most in flight beside an accepted one, itself included, until steady */
    uint64_t beyond_us;                   /* when more than that started; 0: they did not */
    uint32_t credit;                      /* accepted since the window changed */
    uint32_t ceiling;                     /* so many in flight were too many; 0: not known */
    uint32_t n_ceiling, n_tries;          /* requests refused for it; times that it was tried again */
    uint64_t reduced_at;                  /* n_starts then */
    bool is_refused;                      /* once at least */
    uint32_t n_first;                     /* accepted before that */
    uint32_t n_refused;                   /* rounds in a row without one accepted */
    bool round_is_parallel;               /* the last refusal was taken for one of the number in flight */
    uint32_t accepted_at[HR_PACE_LEVELS]; /* by level, since the last refusal */
    uint64_t least_us, usual_us, base_us; /* time to an answer's first byte: least, of late, before; 0: none yet */
    uint64_t usual_whole_us;              /* time to an answer's end, of late */
    /* pause and rate */
    uint64_t paused_until_us;
    double rate, max_rate; /* starts a second; 0: no limit. rate is found out, max_rate is configured */
    uint64_t next_us;      /* when the next start is due by the rate */
    uint64_t counted_us;   /* when the server may have counted an accepted request at the latest */
    uint64_t late_us;      /* so much of what was not started in time is caught up with */
    uint64_t round_us;     /* the last refusal */
    uint32_t n_round;      /* accepted since */
    uint32_t n_close;      /* refusals in a row in close succession */
    uint32_t n_hold;       /* requests that the rate holds back before it is tried higher */
    uint32_t n_held;
    double step, borne_rate; /* how much higher; the rate before the last step */
    /* told by the server */
    bool has_quota;
    uint64_t left; /* at the answer that told */
    uint64_t reset_us;
    /* configured */
    hr_pace_window windows[HR_PACE_RULES];
    uint32_t n_windows;
} hr_pace;

/* first_window: in flight at first; 0: 3. */
void hr__pace_init(hr_pace *pace, uint32_t max_window, uint32_t first_window);
/* Takes what a client says of the host: the strictest of all that was said holds. */
void hr__pace_limit(hr_pace *pace, const hr_pace_limits *limits);
/* When a request of this cost may start: now_us or before: now; UINT64_MAX: when one in flight has ended, not before.
 */
uint64_t hr__pace_due_us(const hr_pace *pace, uint64_t now_us, uint32_t cost, hr_pace_hold *hold_out);
void hr__pace_start(hr_pace *pace, uint64_t now_us, uint32_t cost, hr_pace_ticket *ticket_out);
/* first_byte_us: from its start to the first byte of the answer; 0: not known. Returns whether it was refused for what
 * we asked beside it or before it, by a host that has accepted others: our own fault, for which the pace is the wait.
 */
bool hr__pace_end_request(hr_pace *pace, const hr_pace_ticket *ticket, uint64_t now_us, hr_pace_end end,
                          uint64_t first_byte_us);
/* No request starts before this time. */
void hr__pace_pause(hr_pace *pace, uint64_t until_us);
/* What an answer told of the host's limits. max_pause_us: a reset further away is not believed. */
void hr__pace_told(hr_pace *pace, uint64_t now_us, const hr_rate_told *told, uint64_t max_pause_us);

#endif
