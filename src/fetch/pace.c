/* SPDX-License-Identifier: Apache-2.0
 *
 * Two controls side by side, because a refusal does not say which limit it is of:
 *
 *   window   requests in flight: triples a round trip until the first refusal, and grows further within it while none
 *            comes; then it is what of that round was accepted. The number that was refused is the ceiling: it is tried
 *            again after 32 and 512 accepted requests, and from there on requests start spaced, one at a time. A host
 *            that counts what is parallel refuses that too; one that counts what comes in a time takes it, and the
 *            window grows on.
 *
 *   rate     starts a second. A host that refuses what was alone in flight, or at a number in flight that it took
 *            before, does not count what is parallel but what comes in a time. Between two refusals it took as many as
 *            it allows: that is the rate, tried higher after 30, 60, ... accepted requests.
 *
 * What is configured or told by the server is kept exactly, without trying.
 */
#include "pace.h"

/* In flight at first, and how many times what was accepted may be in flight next. A host that takes one at a time
 * refuses two of the first three, which leaves one try (TCP starts with 10 and doubles, but for packets). */
#define FIRST_WINDOW 3
#define GROWTH 3
/* Where some were accepted side by side, so many times as many may be in flight this part of an answer's time after the
 * round's start, unless one of it was refused: what is too many at once is refused before it is worked on. */
#define LATE_GROWTH 5
#define LATE_PART 4
/* Accepted requests before a refused number in flight is tried again, times 16 each time; how often. A host that takes
 * one at a time gets no more refusals of that kind (issue 5: at most three). */
#define CEILING_CREDIT 32u
#define CEILING_TRIES 2u
#define CEILING_REFUSALS 3u
/* Answers that take twice as long as they did and this longer are a sign of a queue (guessed: above a machine's noise).
 * What they did is forgotten over so many answers: endpoints differ. */
#define SLOW_US ((uint64_t)100000)
#define BASE_ANSWERS 1024
/* Accepted at a level or above, and half the level more, before a refusal there is taken for one of the rate (by
 * simulation; a lucky few are accepted beyond a limit of parallel requests, when answers are on their way). */
#define RATE_EVIDENCE 4u
#define LEAST_PAUSE_US ((uint64_t)5000)
#define MOST_PAUSE_US ((uint64_t)60000000)
/* What was not started in time, or came late to the server, is caught up with, this much of it; of a rate that was
 * found out a quarter after each refusal of what caught up (a bucket of one token refuses that), twice as much with
 * each higher rate, at least so much. */
#define LATE_US ((uint64_t)10000)
#define LEAST_LATE_US ((uint64_t)200)
#define FIRST_HOLD 30u
#define MOST_HOLD 1600u
#define CLOSE_ANSWERS 10u
/* Refusals in close succession: the third and later ones say that the rate is far too high for a bucket of a few
 * tokens. They lower it to this share, and no longer lengthen the pause: what came through between them says that it
 * was long enough (both by simulation, tests/c/fetch/test_fetch_pace.c). */
#define CLOSE_SHARE 0.7
#define CLOSE_TIMES 4
/* Of the rate of spaced requests that was refused, when it was not the rate that held them back in between. */
#define SPACED_SHARE 0.85
#define CLOSE_MOST 4u
/* What a bucket of a few tokens took was as much as the rate let through, less what was late and the pause behind a
 * refusal: the rate is lowered to no less. */
#define FEW_SHARE 0.95
/* After a refusal the bucket is given the time for so many requests. */
#define REFILL 2
#define FIRST_STEP 1.2
#define LEAST_STEP 1.005
#define MOST_STEP 1.5
/* Resets that differ by less are the same: servers tell whole seconds. */
#define SAME_RESET_US ((uint64_t)1000000)

static uint64_t max_u64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

void hr__pace_init(hr_pace *pace, uint32_t max_window, uint32_t first_window) {
    *pace = (hr_pace){.max_window = max_window, .n_hold = FIRST_HOLD, .step = FIRST_STEP, .late_us = LATE_US};
    pace->window = first_window == 0 ? FIRST_WINDOW : first_window;
    pace->window = pace->window > max_window ? max_window : pace->window;
}

void hr__pace_limit(hr_pace *pace, const hr_pace_limits *limits) {
    if (limits->max_window != 0 && limits->max_window < pace->max_window) {
        pace->max_window = limits->max_window;
        pace->window = pace->window > pace->max_window ? pace->max_window : pace->window;
    }
    if (limits->max_per_second > 0 && (pace->max_rate == 0 || limits->max_per_second < pace->max_rate)) {
        pace->max_rate = limits->max_per_second;
    }
    for (uint32_t i = 0; i < limits->n_rules; i++) {
        const hr_pace_rule *rule = &limits->rules[i];
        bool known = rule->requests == 0 || rule->per_ms == 0;
        for (uint32_t j = 0; j < pace->n_windows && !known; j++) {
            const hr_pace_rule *other = &pace->windows[j].rule;
            known = other->requests == rule->requests && other->per_ms == rule->per_ms;
        }
        if (!known && pace->n_windows < HR_PACE_RULES) {
            pace->windows[pace->n_windows++] = (hr_pace_window){.rule = *rule};
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- rules */

static uint64_t slot_us(const hr_pace_window *window) {
    uint64_t us = (uint64_t)window->rule.per_ms * 1000 / HR_PACE_SLOTS;
    return us == 0 ? 1 : us;
}

/* When the rule lets a request start. What is in flight counts until it has ended, then from when the server may have
 * counted it at the latest. */
static uint64_t rule_due_us(const hr_pace_window *window, uint64_t now_us, uint64_t in_flight, uint64_t cost) {
    uint64_t unit = slot_us(window), now = now_us / unit, most = window->rule.requests;
    uint64_t used = in_flight + (cost > most ? most : cost);
    for (size_t i = 0; i <= HR_PACE_SLOTS; i++) {
        used += window->slots[i].number + HR_PACE_SLOTS >= now ? window->slots[i].cost : 0;
    }
    if (used <= most) {
        return now_us;
    }
    for (uint64_t number = now < HR_PACE_SLOTS ? 0 : now - HR_PACE_SLOTS; number <= now + 1; number++) {
        size_t i = (size_t)(number % (HR_PACE_SLOTS + 1));
        used -= window->slots[i].number == number ? window->slots[i].cost : 0;
        if (used <= most) {
            return (number + HR_PACE_SLOTS + 1) * unit;
        }
    }
    return UINT64_MAX;
}

static void rule_charge(hr_pace_window *window, uint64_t at_us, uint64_t cost) {
    uint64_t number = at_us / slot_us(window), most = window->rule.requests;
    size_t i = (size_t)(number % (HR_PACE_SLOTS + 1));
    if (window->slots[i].number < number) {
        window->slots[i].number = number;
        window->slots[i].cost = 0;
    }
    if (window->slots[i].number == number) { /* else it is out of the rule's time already */
        window->slots[i].cost += cost > most ? most : cost;
    }
}

/* ---------------------------------------------------------------------------------------------------- starting */

static double rate_of(const hr_pace *pace) {
    return pace->rate == 0 || (pace->max_rate != 0 && pace->max_rate < pace->rate) ? pace->max_rate : pace->rate;
}

/* How many may be in flight at now_us; *from_us: when it will be more, if nothing is refused, UINT64_MAX: not known. */
static uint32_t window_at(const hr_pace *pace, uint64_t now_us, uint64_t *from_us) {
    *from_us = UINT64_MAX;
    uint32_t most = pace->proven < pace->max_window / LATE_GROWTH ? pace->proven * LATE_GROWTH : pace->max_window;
    if (pace->is_probing) {
        return 1;
    }
    if (pace->is_steady || pace->proven < 2 || pace->beyond_us == 0 || pace->usual_us == 0 || most <= pace->window) {
        return pace->window;
    }
    *from_us = pace->beyond_us + pace->usual_us / LATE_PART;
    return now_us >= *from_us ? most : pace->window;
}

/* Beyond the ceiling requests do not start together, but as far apart as keeps so many in flight. */
static bool is_spaced(const hr_pace *pace) {
    return pace->ceiling != 0 && pace->window >= pace->ceiling;
}

static uint64_t gap_us(double rate) {
    double us = 1e6 / rate;
    return us > (double)MOST_PAUSE_US * 60 ? MOST_PAUSE_US * 60 : (uint64_t)us;
}

/* What the server told allows: the rest of its time's quota less what is in flight; after the reset one, which asks. */
static uint64_t quota_due_us(const hr_pace *pace, uint64_t now_us, uint64_t cost) {
    if (!pace->has_quota) {
        return now_us;
    }
    if (now_us >= pace->reset_us) {
        return pace->in_flight == 0 ? now_us : UINT64_MAX;
    }
    if (pace->cost_in_flight + cost <= pace->left) {
        return now_us;
    }
    return pace->in_flight > 0 ? UINT64_MAX : pace->reset_us;
}

/* A bucket of a few tokens: the host took few before it refused one. */
static bool has_few_tokens(const hr_pace *pace) {
    return pace->rate > 0 && pace->n_first < CLOSE_ANSWERS;
}

/* One token: what comes too soon was refused. And answers are here, whole, before the next start is due. */
static bool is_strict(const hr_pace *pace) {
    return has_few_tokens(pace) && pace->late_us <= LEAST_LATE_US && 2 * pace->usual_whole_us < gap_us(rate_of(pace));
}

uint64_t hr__pace_due_us(const hr_pace *pace, uint64_t now_us, uint32_t cost, hr_pace_hold *hold_out) {
    *hold_out = HR_PACE_WINDOW;
    uint64_t wider_us;
    uint32_t window = window_at(pace, now_us, &wider_us);
    if (pace->in_flight >= window) {
        return wider_us > now_us ? wider_us : UINT64_MAX;
    }
    cost = cost == 0 ? 1 : cost;
    uint64_t due_us = max_u64(now_us, pace->paused_until_us);
    due_us = max_u64(due_us, quota_due_us(pace, now_us, cost));
    for (uint32_t i = 0; i < pace->n_windows; i++) {
        due_us = max_u64(due_us, rule_due_us(&pace->windows[i], now_us, pace->cost_in_flight, cost));
    }
    if (rate_of(pace) > 0) {
        if (is_strict(pace) && pace->in_flight > 0) { /* it may have come late: on time would be too soon behind it */
            *hold_out = HR_PACE_RATE;
            return UINT64_MAX;
        }
        due_us = max_u64(due_us, pace->next_us);
    }
    *hold_out = due_us <= now_us ? HR_PACE_FREE : HR_PACE_RATE;
    if (is_spaced(pace) && pace->in_flight > 0) {
        uint64_t spaced_us = pace->last_start_us + 3 * pace->usual_us / (3 * pace->window - 2);
        *hold_out = spaced_us > due_us ? HR_PACE_WINDOW : *hold_out;
        due_us = max_u64(due_us, spaced_us);
    }
    return due_us;
}

void hr__pace_start(hr_pace *pace, uint64_t now_us, uint32_t cost, hr_pace_ticket *ticket_out) {
    cost = cost == 0 ? 1 : cost;
    double rate = rate_of(pace);
    bool caught_up = false;
    if (rate > 0) {
        uint64_t gap = gap_us(rate);
        pace->n_held += pace->rate > 0 && pace->next_us + gap > now_us; /* it was the rate that held it back */
        uint64_t late_us = pace->next_us == 0 ? 0 : pace->rate == 0 ? LATE_US : pace->late_us;
        pace->next_us = max_u64(pace->next_us, now_us - late_us) + gap;
        uint64_t before_us =
            has_few_tokens(pace) ? max_u64(pace->last_start_us, pace->counted_us) : pace->last_start_us;
        caught_up = pace->rate > 0 && now_us < before_us + gap;
    }
    pace->last_start_us = now_us;
    pace->round_us = pace->n_starts == 0 ? now_us : pace->round_us;
    pace->in_flight++;
    pace->beyond_us = pace->beyond_us == 0 && pace->in_flight > pace->proven ? now_us : pace->beyond_us;
    pace->cost_in_flight += cost;
    *ticket_out = (hr_pace_ticket){.number = ++pace->n_starts,
                                   .started_us = now_us,
                                   .level = pace->in_flight,
                                   .cost = cost,
                                   .caught_up = caught_up};
}

void hr__pace_pause(hr_pace *pace, uint64_t until_us) {
    pace->paused_until_us = max_u64(pace->paused_until_us, until_us);
}

/* ---------------------------------------------------------------------------------------------------- ending */

/* A time as it is of late: the newest counts an eighth. */
static uint64_t of_late(uint64_t usual_us, uint64_t newest_us) {
    return usual_us == 0 ? newest_us : (7 * usual_us + newest_us) / 8;
}

/* Whether answers take so much longer than they did that more in flight would only wait at the server. While the window
 * grows fast one such answer says it. */
static bool is_slow(hr_pace *pace, uint64_t first_byte_us) {
    if (first_byte_us != 0) {
        pace->least_us = pace->least_us == 0 || first_byte_us < pace->least_us ? first_byte_us : pace->least_us;
        pace->usual_us = of_late(pace->usual_us, first_byte_us);
        if (pace->base_us == 0 || pace->usual_us < pace->base_us) {
            pace->base_us = pace->usual_us;
        }
        pace->base_us += (pace->usual_us - pace->base_us) / BASE_ANSWERS;
    }
    uint64_t slow_us = 2 * pace->base_us + SLOW_US;
    return pace->usual_us > slow_us || (!pace->is_steady && first_byte_us > slow_us);
}

static void grow(hr_pace *pace, uint32_t level) {
    if (!pace->is_steady) {
        uint32_t most = level < pace->max_window / GROWTH ? level * GROWTH : pace->max_window;
        pace->window = most > pace->window ? most : pace->window;
        if (level > pace->proven) {
            pace->proven = level;
            pace->beyond_us = 0;
        }
        return;
    }
    if (pace->window >= pace->max_window || 2 * level <= pace->window) {
        return; /* it was not the window that kept the number low */
    }
    bool is_try = pace->ceiling != 0 && pace->window + 1 == pace->ceiling;
    if (is_try && (pace->n_tries == CEILING_TRIES || (pace->ceiling == 2 && pace->n_ceiling >= CEILING_REFUSALS))) {
        return;
    }
    uint32_t needed = is_try            ? CEILING_CREDIT << (4 * pace->n_tries)
                      : is_spaced(pace) ? 2 + pace->window / 2
                                        : pace->window;
    if (++pace->credit > needed) {
        pace->n_tries += is_try;
        pace->window++;
        pace->credit = 0;
    }
}

static void accepted(hr_pace *pace, const hr_pace_ticket *ticket, uint64_t now_us, uint64_t first_byte_us) {
    if (ticket->number > pace->reduced_at) {
        pace->is_probing = false;
        pace->n_refused = 0;
    }
    pace->n_round++;
    pace->usual_whole_us = of_late(pace->usual_whole_us, now_us - ticket->started_us);
    pace->accepted_at[ticket->level < HR_PACE_LEVELS ? ticket->level : HR_PACE_LEVELS - 1]++;
    if (!is_slow(pace, first_byte_us)) {
        grow(pace, ticket->level);
    }
    bool is_lower = pace->max_rate == 0 || pace->rate < pace->max_rate; /* than what is configured */
    if (pace->rate > 0 && is_lower && pace->n_held >= pace->n_hold) {
        pace->borne_rate = pace->rate;
        pace->rate *= pace->step;
        pace->step = 1 + (pace->step - 1) * 1.5 > MOST_STEP ? MOST_STEP : 1 + (pace->step - 1) * 1.5;
        pace->n_held = 0;
        pace->late_us = pace->late_us * 2 < LEAST_LATE_US ? LEAST_LATE_US : pace->late_us * 2;
        pace->late_us = pace->late_us > LATE_US ? LATE_US : pace->late_us;
    }
}

/* Whether so many in flight were taken before: then it is not their number that is refused. */
static bool was_taken(const hr_pace *pace, uint32_t level) {
    uint32_t n = 0;
    for (uint32_t i = level; i < HR_PACE_LEVELS; i++) {
        n += pace->accepted_at[i];
    }
    return n >= RATE_EVIDENCE + level / 2;
}

/* Between two refusals a bucket of tokens was emptied twice: what was accepted is what flowed in, or less if it was
 * full for a while. The rate before the last step was borne, or that of the spaced requests (0: they were not).
 * Refusals in close succession tell of an empty bucket, not of a rate: they need a pause, and the rate is at most a few
 * times that of what came through. */
static void reduce_rate(hr_pace *pace, double borne_rate, uint64_t now_us) {
    double seconds = (double)(now_us - pace->round_us) / 1e6;
    bool is_close = pace->n_round < CLOSE_ANSWERS && pace->rate > 0;
    pace->n_close = is_close ? pace->n_close + 1 : 0;
    if (is_close) {
        double most = seconds > 0 ? CLOSE_TIMES * (pace->n_round + 1) / seconds : pace->rate;
        pace->rate *= pace->n_close > 2 ? CLOSE_SHARE : 1;
        pace->rate = most < pace->rate ? most : pace->rate;
    } else if (seconds > 0) {
        double found = (pace->n_round + (pace->n_round < CLOSE_ANSWERS)) / seconds;
        double tried = borne_rate > 0 && borne_rate < pace->rate ? borne_rate : pace->rate;
        double least = pace->rate == 0 ? borne_rate : SPACED_SHARE * tried;
        found = 2 * pace->n_held < pace->n_round && found < least ? least : found;
        least = FEW_SHARE * pace->rate;
        found = has_few_tokens(pace) && pace->borne_rate == 0 && found < least ? least : found;
        pace->rate = pace->rate == 0 || found < pace->rate ? found : pace->rate * 0.95;
        pace->rate = pace->rate < pace->borne_rate ? pace->borne_rate : pace->rate;
        pace->n_hold = pace->n_round >= pace->n_hold && pace->n_hold < MOST_HOLD ? pace->n_hold * 2 : pace->n_hold;
        pace->step = 1 + (pace->step - 1) / 3 < LEAST_STEP ? LEAST_STEP : 1 + (pace->step - 1) / 3;
    }
    pace->borne_rate = 0;
    pace->n_held = 0;
    pace->next_us = now_us + (pace->rate > 0 ? REFILL * gap_us(pace->rate) : 0);
}

static void lower_ceiling(hr_pace *pace, uint32_t level) {
    if (pace->ceiling == 0 || level < pace->ceiling) {
        pace->ceiling = level;
    }
    if (pace->window >= pace->ceiling) {
        pace->window = pace->ceiling - 1;
    }
}

/* From now on slowly; what was started before is of the round that ended it. */
static void end_growth(hr_pace *pace) {
    pace->is_steady = true;
    pace->credit = 0;
    pace->reduced_at = pace->n_starts;
}

static void halve(hr_pace *pace) {
    pace->window = pace->window > 1 ? pace->window / 2 : 1;
    end_growth(pace);
}

/* One of a round is answered for all: those that were started before the window became smaller. */
static bool refused(hr_pace *pace, const hr_pace_ticket *ticket, uint64_t now_us) {
    bool is_alone = ticket->level == 1 && ticket->number == pace->n_starts;
    uint32_t level = is_alone || ticket->level > 1 ? ticket->level : 2; /* one that overtook it was there first */
    if (ticket->number <= pace->reduced_at) {
        if (pace->ceiling != 0 && level > 1 && pace->round_is_parallel && !was_taken(pace, level)) {
            pace->n_ceiling++;
            lower_ceiling(pace, level);
        }
        return level > 1;
    }
    if (!pace->is_refused) { /* what a configured rate held back says nothing of a bucket */
        pace->n_first = rate_of(pace) > 0 ? 0 : pace->n_round;
    }
    pace->is_refused = true;
    bool is_beyond = pace->ceiling != 0 && pace->window > pace->ceiling; /* as many were taken, spaced */
    bool of_rate = level == 1 || is_beyond || was_taken(pace, level);
    pace->round_is_parallel = !of_rate;
    if (of_rate && ticket->caught_up && pace->late_us > 0) {
        pace->late_us = pace->late_us / 4 < LEAST_LATE_US ? 0 : pace->late_us / 4;
        if (pace->n_round >= CLOSE_ANSWERS) { /* the rate itself may be right */
            pace->next_us = now_us + REFILL * gap_us(pace->rate);
            end_growth(pace);
            return true;
        }
    }
    if (of_rate) {
        double borne = is_beyond && pace->usual_us != 0 ? (pace->window - 1) * 1e6 / (double)pace->usual_us : 0;
        reduce_rate(pace, borne, now_us);
        end_growth(pace);
        if (pace->n_close > 0 && !is_beyond) {
            halve(pace);
        }
        uint32_t n = pace->n_refused + (pace->n_close < CLOSE_MOST ? pace->n_close : CLOSE_MOST);
        if (n > 0) {
            uint64_t refill_us = REFILL * gap_us(pace->rate);
            uint64_t pause_us = refill_us < pace->usual_us ? refill_us : pace->usual_us;
            pause_us = max_u64(LEAST_PAUSE_US, pause_us) << (n < 16 ? n : 16);
            hr__pace_pause(pace, now_us + (pause_us > MOST_PAUSE_US ? MOST_PAUSE_US : pause_us));
        }
        pace->is_probing = n > 0;
    } else {
        if (pace->ceiling != 0 && level < pace->ceiling) { /* another limit than that which was found before */
            pace->n_ceiling = pace->n_tries = 0;
        }
        pace->n_ceiling++;
        halve(pace);
        lower_ceiling(pace, level);
        pace->window = pace->ceiling - 1;
        pace->is_probing = true;
    }
    pace->n_refused++;
    pace->round_us = now_us;
    pace->n_round = 0;
    for (uint32_t i = pace->ceiling; !of_rate && i < HR_PACE_LEVELS; i++) {
        pace->accepted_at[i] = 0;
    }
    return level > 1 || pace->usual_us != 0;
}

bool hr__pace_end_request(hr_pace *pace, const hr_pace_ticket *ticket, uint64_t now_us, hr_pace_end end,
                          uint64_t first_byte_us) {
    pace->in_flight--;
    pace->cost_in_flight -= ticket->cost;
    bool ours = false;
    if (end == HR_PACE_ACCEPTED) {
        accepted(pace, ticket, now_us, first_byte_us);
    } else if (end == HR_PACE_REFUSED) {
        ours = refused(pace, ticket, now_us);
    } else if (end == HR_PACE_SILENT && ticket->number > pace->reduced_at) {
        halve(pace);
    }
    uint64_t counted_us = pace->least_us == 0 || now_us < pace->least_us ? now_us : now_us - pace->least_us;
    counted_us = max_u64(counted_us, ticket->started_us);
    if (end == HR_PACE_ACCEPTED) { /* the next one comes a gap behind it at the server, too */
        uint64_t late_us = first_byte_us > pace->least_us ? first_byte_us - pace->least_us : 0;
        pace->counted_us = max_u64(pace->counted_us, ticket->started_us + late_us);
        uint64_t next_us = has_few_tokens(pace) ? pace->counted_us + gap_us(pace->rate) : 0;
        pace->next_us = next_us > pace->late_us ? max_u64(pace->next_us, next_us - pace->late_us) : pace->next_us;
    }
    for (uint32_t i = 0; i < pace->n_windows; i++) {
        rule_charge(&pace->windows[i], counted_us, ticket->cost);
    }
    if (pace->has_quota && ticket->started_us >= pace->reset_us && end == HR_PACE_ACCEPTED) {
        pace->has_quota = false; /* hr__pace_told says what holds now, if anything */
    }
    return ours;
}

void hr__pace_told(hr_pace *pace, uint64_t now_us, const hr_rate_told *told, uint64_t max_pause_us) {
    if (!told->has_left || !told->has_reset) {
        return;
    }
    uint64_t reset_us = told->reset_ms > max_pause_us / 1000 ? max_pause_us : told->reset_ms * 1000;
    reset_us += now_us;
    if (!pace->has_quota || reset_us > pace->reset_us + SAME_RESET_US || now_us >= pace->reset_us) {
        pace->has_quota = true;
        pace->left = told->left;
        pace->reset_us = reset_us;
    } else if (told->left < pace->left) {
        pace->left = told->left;
    }
}
