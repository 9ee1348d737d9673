/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: the pace of a host, against servers simulated with a clock of their own: time is counted, never waited for.
 */
#include "hrtest.h"
#include "pace.h"

#define MAX_FLYING 64
#define NEVER UINT64_MAX

/* A server: refuses more than `parallel` at once (0: any number), and what finds no token in a bucket of `burst` tokens
 * that fills with `per_second` (0: no bucket). An answer takes latency_us, a refusal 1 ms. */
typedef struct server {
    uint32_t parallel, burst;
    double per_second;
    uint64_t latency_us, body_us; /* to the first byte of what is accepted, and on to the last */
    bool tells;                   /* its bucket is a quota of `burst` a second, told in headers */
    bool is_jerky; /* starts, requests and answers are late as on a machine with other work (see late_us) */
    /* state */
    uint32_t at_once, most_at_once;
    double tokens;
    uint64_t filled_us;
    uint64_t quota_second;
    uint32_t random;
} server;

typedef struct flying {
    bool is_used, accepted, counts;
    uint64_t back_us;
    hr_pace_ticket ticket;
    hr_rate_told told;
} flying;

typedef struct outcome {
    uint32_t accepted, refused, ours, most_in_flight;
    uint64_t us;
    uint32_t last_refused_at; /* accepted before it */
} outcome;

/* 50 to 114 us; one in 128 up to 4 ms more. */
static uint64_t late_us(server *to) {
    if (!to->is_jerky) {
        return 0;
    }
    to->random = to->random * 1664525u + 1013904223u;
    uint32_t number = to->random >> 8;
    return 50 + number % 64 + (number / 64 % 128 == 0 ? number / 8192 % 4096 : 0);
}

static void serve(server *to, flying *one, uint64_t now_us) {
    now_us += late_us(to);
    now_us = now_us > to->filled_us ? now_us : to->filled_us; /* in their order */
    if (to->tells && now_us / 1000000 != to->quota_second) {
        to->quota_second = now_us / 1000000;
        to->tokens = to->burst;
    } else if (!to->tells) {
        to->tokens += (double)(now_us - to->filled_us) / 1e6 * to->per_second;
        to->tokens = to->tokens > to->burst ? to->burst : to->tokens;
    }
    to->filled_us = now_us;
    one->accepted = (to->parallel == 0 || to->at_once < to->parallel) && (to->burst == 0 || to->tokens >= 1);
    one->counts = one->accepted;
    to->tokens -= one->accepted && to->burst != 0;
    to->at_once += one->counts;
    to->most_at_once = to->at_once > to->most_at_once ? to->at_once : to->most_at_once;
    one->back_us = now_us + (one->accepted ? to->latency_us + to->body_us : 1000) + late_us(to);
    one->told = (hr_rate_told){.has_left = to->tells,
                               .has_reset = to->tells,
                               .left = (uint64_t)to->tokens,
                               .reset_ms = 1000 - now_us / 1000 % 1000};
}

/* Asks until n requests are accepted. */
static outcome run(hr_pace *pace, server *to, uint32_t n, uint64_t from_us) {
    flying all[MAX_FLYING] = {{false}};
    outcome out = {0};
    uint64_t now_us = from_us;
    uint32_t n_flying = 0;
    to->tokens = to->burst;
    to->filled_us = from_us;
    while (out.accepted < n) {
        hr_pace_hold hold;
        uint64_t due_us = hr__pace_due_us(pace, now_us, 1, &hold);
        if (due_us <= now_us && n_flying < MAX_FLYING && out.accepted + n_flying < n) {
            size_t i = 0;
            while (all[i].is_used) {
                i++;
            }
            all[i] = (flying){.is_used = true};
            hr__pace_start(pace, now_us, 1, &all[i].ticket);
            serve(to, &all[i], now_us);
            n_flying++;
            out.most_in_flight = n_flying > out.most_in_flight ? n_flying : out.most_in_flight;
            continue;
        }
        flying *next = NULL;
        for (size_t i = 0; i < MAX_FLYING; i++) {
            next = all[i].is_used && (next == NULL || all[i].back_us < next->back_us) ? &all[i] : next;
        }
        if (next == NULL || (due_us != NEVER && due_us < next->back_us && out.accepted + n_flying < n)) {
            if (due_us == NEVER || due_us <= now_us) {
                HR_CHECK(!"nothing in flight and nothing may start");
                return out;
            }
            now_us = due_us + late_us(to);
            continue;
        }
        now_us = next->back_us > now_us ? next->back_us : now_us;
        next->is_used = false;
        n_flying--;
        to->at_once -= next->counts;
        out.accepted += next->accepted;
        out.refused += !next->accepted;
        out.last_refused_at = next->accepted ? out.last_refused_at : out.accepted;
        hr_pace_end end = next->accepted ? HR_PACE_ACCEPTED : HR_PACE_REFUSED;
        uint64_t first_byte_us = now_us - next->ticket.started_us - (next->accepted ? to->body_us : 0);
        out.ours += hr__pace_end_request(pace, &next->ticket, now_us, end, first_byte_us);
        hr__pace_told(pace, now_us, &next->told, 3600u * (uint64_t)1000000);
    }
    out.us = now_us - from_us;
    HR_CHECK_INT(pace->in_flight, 0);
    HR_CHECK_INT(pace->cost_in_flight, 0);
    return out;
}

#define T0 ((uint64_t)123456789000) /* some uptime */

HR_CASE(window_triples_a_round_trip_up_to_the_most) {
    hr_pace pace;
    hr__pace_init(&pace, 16, 0);
    server to = {.latency_us = 50000};
    outcome out = run(&pace, &to, 500, T0);
    HR_CHECK_INT(out.refused, 0);
    HR_CHECK_INT(to.most_at_once, 16);
    HR_CHECK(out.us <= (uint64_t)(500 / 16 + 3) * 50000); /* two round trips lost */
}

/* The third round begins with nine; nothing of it refused after a quarter of an answer's time, seven more start. */
HR_CASE(window_grows_within_a_round_that_is_not_refused) {
    hr_pace pace;
    hr__pace_init(&pace, 16, 0);
    server to = {.latency_us = 50000};
    outcome out = run(&pace, &to, 3 + 31 * 16, T0);
    HR_CHECK_INT(out.us, 50000 + 12500 + 31 * 50000);
}

/* A refusal comes before more is asked for: the third round's nine are all that such a server sees. */
HR_CASE(window_stays_within_a_round_that_is_refused) {
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        hr_pace pace;
        hr_pace_ticket tickets[16];
        hr_pace_hold hold;
        hr__pace_init(&pace, 16, 0);
        for (size_t i = 0; i < 3; i++) {
            hr__pace_start(&pace, T0, 1, &tickets[i]);
        }
        HR_CHECK(hr__pace_due_us(&pace, T0 + 1, 1, &hold) == NEVER); /* one at a time: two refused, no more */
        for (size_t i = 0; i < 3; i++) {
            hr__pace_end_request(&pace, &tickets[i], T0 + 50000, HR_PACE_ACCEPTED, 50000);
        }
        for (size_t i = 0; i < 9; i++) {
            HR_CHECK(hr__pace_due_us(&pace, T0 + 50000, 1, &hold) == T0 + 50000);
            hr__pace_start(&pace, T0 + 50000, 1, &tickets[i]);
        }
        HR_CHECK(hr__pace_due_us(&pace, T0 + 50000, 1, &hold) == T0 + 62500);
        HR_CHECK_INT(hold, HR_PACE_WINDOW);
        if (is_refused) {
            hr__pace_end_request(&pace, &tickets[8], T0 + 51000, HR_PACE_REFUSED, 1000);
        }
        HR_CHECK(hr__pace_due_us(&pace, T0 + 62500, 1, &hold) == (is_refused ? NEVER : T0 + 62500));
    }
}

/* Answers of a round that come in one turn of the loop, before the next requests start. */
HR_CASE(window_triples_when_answers_come_together) {
    hr_pace pace;
    hr__pace_init(&pace, 16, 0);
    uint64_t now_us = T0;
    const uint32_t in_flight[] = {3, 9, 16, 16};
    for (size_t round = 0; round < sizeof in_flight / sizeof *in_flight; round++) {
        hr_pace_ticket tickets[16];
        hr_pace_hold hold;
        uint32_t n = 0;
        while (hr__pace_due_us(&pace, now_us, 1, &hold) <= now_us) {
            hr__pace_start(&pace, now_us, 1, &tickets[n++]);
        }
        HR_CHECK_INT(n, in_flight[round]);
        now_us += 50000;
        for (uint32_t i = 0; i < n; i++) {
            hr__pace_end_request(&pace, &tickets[i], now_us, HR_PACE_ACCEPTED, 50000);
        }
    }
}

HR_CASE(one_at_a_time_is_found_with_at_most_three_refusals) {
    for (uint32_t limit = 1; limit <= 5; limit += 2) {
        hr_pace pace;
        hr__pace_init(&pace, 16, 0);
        server to = {.latency_us = 50000, .parallel = limit};
        outcome out = run(&pace, &to, 1000, T0);
        HR_CHECK_INT(pace.window, limit);
        HR_CHECK(limit > 1 || out.refused <= 3);
        HR_CHECK(out.refused <= 8);
        HR_CHECK_INT(out.ours, out.refused); /* none alone in flight */
        HR_CHECK(out.us <= (uint64_t)1000 / limit * 50000 * 105 / 100);
        HR_CHECK(out.last_refused_at < 700); /* and never again */
        out = run(&pace, &to, 1000, T0 + out.us);
        HR_CHECK_INT(out.refused, 0);
    }
}

/* A rate that the server keeps to itself is found out: 95 % of it, 1 % of refusals. */
HR_CASE(rate_is_found_out_from_refusals) {
    static const struct {
        double per_second;
        uint32_t burst, latency_ms;
        double share; /* 0: 0.95 */
    } rows[] = {{100, 20, 1, 0},
                {100, 20, 50, 0},
                {110, 10, 50, 0},
                {10, 10, 100, 0},
                {1000, 50, 5, 0},
                {50, 1, 20, 0},
                {333, 100, 30, 0},
                /* few tokens, fast answers: refused at once at first, again and again */
                {100, 2, 1, 0},
                {100, 3, 1, 0},
                {100, 5, 1, 0},
                {10, 2, 1, 0},
                {20, 6, 1, 0},
                {1000, 2, 1, 0},
                /* one token; and few tokens with many requests in flight, which look like a limit of those at first */
                {100, 1, 1, 0},
                {10, 1, 200, 0},
                {50, 1, 50, 0},
                {50, 2, 100, 0},
                {50, 5, 200, 0.9},
                {100, 2, 100, 0.9},
                {100, 20, 50, 0},
                {400, 5, 20, 0.9},
                {100, 1, 20, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hr_pace pace;
        hr__pace_init(&pace, 16, 0);
        server to = {.latency_us = rows[i].latency_ms * (uint64_t)1000,
                     .burst = rows[i].burst,
                     .per_second = rows[i].per_second};
        outcome out = run(&pace, &to, 5000, T0);
        double best_s = (5000 - rows[i].burst) / rows[i].per_second, took_s = (double)out.us / 1e6;
        double share = rows[i].share == 0 ? 0.95 : rows[i].share;
        if (took_s > best_s / share || out.refused > 50) {
            printf("  %g/s, burst %u, %u ms: %.1f s, best %.1f s, %u refused\n", rows[i].per_second, rows[i].burst,
                   rows[i].latency_ms, took_s, best_s, out.refused);
            hrtest_failed++;
        }
    }
}

/* A bucket of one token takes nothing that comes too soon: neither the next request behind one that came late, nor what
 * makes up for a late start. */
HR_CASE(a_bucket_of_one_token_gets_its_rate_on_a_jerky_machine) {
    for (uint32_t seed = 0; seed < 40; seed++) { /* every other time the rate is said, a little below */
        hr_pace pace;
        hr__pace_init(&pace, 16, 0);
        hr__pace_limit(&pace, &(hr_pace_limits){.max_per_second = seed % 2 == 0 ? 0 : 99});
        server to = {.latency_us = 1000, .burst = 1, .per_second = 100, .is_jerky = true, .random = seed};
        outcome out = run(&pace, &to, 5000, T0);
        HR_CHECK(out.us <= (uint64_t)4999 * 10000 * 100 / 95);
        HR_CHECK(out.refused <= (seed % 2 == 0 ? 50 : 20));
    }
}

/* What is late is not missing: a short round says nothing of a lower rate. */
HR_CASE(a_bucket_of_five_tokens_gets_its_rate_on_a_jerky_machine) {
    for (uint32_t seed = 0; seed < 20; seed++) {
        hr_pace pace;
        hr__pace_init(&pace, 16, 0);
        server to = {.latency_us = 200000, .burst = 5, .per_second = 50, .is_jerky = true, .random = seed};
        outcome out = run(&pace, &to, 5000, T0);
        HR_CHECK(out.us <= (uint64_t)4995 * 20000 * 100 / 95);
        HR_CHECK(out.refused <= 50);
    }
}

/* The next one does not wait for the whole answer of the one before, nor does an answer's end count as a request. One
 * of 20 is taken for a host of one request at a time. */
HR_CASE(a_bucket_of_one_token_gets_its_rate_with_long_answers) {
    size_t n_kept = 0;
    for (uint32_t seed = 0; seed < 20; seed++) {
        hr_pace pace;
        hr__pace_init(&pace, 16, 0);
        hr__pace_limit(&pace, &(hr_pace_limits){.max_per_second = 99});
        server to = {.latency_us = 1000, .burst = 1, .per_second = 100, .is_jerky = true, .random = seed};
        run(&pace, &to, 1000, T0); /* what comes too soon is refused */
        to.is_jerky = false;
        to.body_us = 50000;
        to.most_at_once = 0;
        outcome out = run(&pace, &to, 5000, T0 + 60000000);
        n_kept += to.most_at_once >= 5 && out.us <= (uint64_t)4999 * 10000 * 100 / 95;
    }
    HR_CHECK(n_kept >= 19);
}

HR_CASE(what_the_server_tells_is_kept_without_a_refusal) {
    for (uint32_t latency_ms = 1; latency_ms <= 100; latency_ms *= 10) {
        hr_pace pace;
        hr__pace_init(&pace, 16, 0);
        server to = {.latency_us = latency_ms * (uint64_t)1000, .burst = 100, .tells = true};
        outcome out = run(&pace, &to, 1000, T0);
        HR_CHECK(out.refused <= 10); /* a reset is told in whole milliseconds: one request asks after it */
        HR_CHECK(out.us <= (uint64_t)11000000);
    }
}

HR_CASE(a_rule_holds_in_any_stretch_of_its_time) {
    static const hr_pace_rule rules[] = {{100, 1000}, {7, 60000}, {1, 500}};
    for (size_t i = 0; i < 3; i++) {
        enum { N = 400 };
        static uint64_t starts[N];
        hr_pace pace;
        hr__pace_init(&pace, 16, 0);
        hr__pace_limit(&pace, &(hr_pace_limits){.rules = {rules[i]}, .n_rules = 1});
        uint64_t now_us = T0;
        for (size_t j = 0; j < N; j++) { /* 3 ms each, one after the other */
            hr_pace_hold hold;
            hr_pace_ticket ticket;
            uint64_t due_us = hr__pace_due_us(&pace, now_us, 1, &hold);
            HR_CHECK(due_us != NEVER);
            HR_CHECK_INT(hold, due_us > now_us ? HR_PACE_RATE : HR_PACE_FREE);
            now_us = due_us;
            starts[j] = now_us;
            hr__pace_start(&pace, now_us, 1, &ticket);
            now_us += 3000;
            HR_CHECK(!hr__pace_end_request(&pace, &ticket, now_us, HR_PACE_ACCEPTED, 3000));
        }
        uint32_t n = rules[i].requests;
        for (size_t j = n; j < N; j++) {
            HR_CHECK(starts[j] - starts[j - n] > (uint64_t)rules[i].per_ms * 1000);
        }
        double rate = (N - n) / ((double)(starts[N - n] - starts[0]) / 1e3), want = (double)n / rules[i].per_ms;
        HR_CHECK(rate > 0.95 * want);
    }
}

HR_CASE(rules_count_points_and_all_hold) {
    hr_pace pace;
    hr__pace_init(&pace, 64, 0);
    hr__pace_limit(&pace, &(hr_pace_limits){.rules = {{10, 1000}, {15, 60000}}, .n_rules = 2});
    hr__pace_limit(&pace, &(hr_pace_limits){.rules = {{10, 1000}}, .n_rules = 1}); /* of another resource: the same */
    HR_CHECK_INT(pace.n_windows, 2);
    hr_pace_ticket tickets[3];
    hr_pace_hold hold;
    pace.window = 64;
    hr__pace_start(&pace, T0, 5, &tickets[0]);
    HR_CHECK(hr__pace_due_us(&pace, T0, 6, &hold) == NEVER); /* in flight counts: when that has ended is not known */
    HR_CHECK_INT(hold, HR_PACE_RATE);
    HR_CHECK(hr__pace_due_us(&pace, T0, 5, &hold) == T0);
    hr__pace_start(&pace, T0, 5, &tickets[1]);
    hr__pace_end_request(&pace, &tickets[0], T0 + 1000, HR_PACE_ACCEPTED, 1000);
    hr__pace_end_request(&pace, &tickets[1], T0 + 1000, HR_PACE_ACCEPTED, 1000);
    uint64_t due_us = hr__pace_due_us(&pace, T0 + 1000, 5, &hold);
    HR_CHECK(due_us > T0 + 1000000 && due_us < T0 + 1100000);
    hr__pace_start(&pace, due_us, 5, &tickets[2]);
    hr__pace_end_request(&pace, &tickets[2], due_us + 1000, HR_PACE_ACCEPTED, 1000);
    due_us = hr__pace_due_us(&pace, due_us + 2000000, 1000, &hold); /* more than the rule: alone */
    HR_CHECK(due_us > T0 + 61000000 && due_us < T0 + 64000000);
}

HR_CASE(configured_rate_is_even) {
    hr_pace pace;
    hr__pace_init(&pace, 16, 0);
    hr__pace_limit(&pace, &(hr_pace_limits){.max_per_second = 80});
    hr__pace_limit(&pace, &(hr_pace_limits){.max_per_second = 40});
    server to = {.latency_us = 200000, .burst = 2, .per_second = 40.1};
    outcome out = run(&pace, &to, 400, T0);
    HR_CHECK_INT(out.refused, 0);
    HR_CHECK(out.us <= (uint64_t)10700000); /* 10 s, and what the window needs to grow */
    HR_CHECK(to.most_at_once >= 8);
}

HR_CASE(window_halves_with_timeouts_and_503) {
    hr_pace pace;
    hr__pace_init(&pace, 16, 0);
    server to = {.latency_us = 1000};
    run(&pace, &to, 100, T0);
    HR_CHECK_INT(pace.window, 16);
    hr_pace_ticket tickets[3];
    for (size_t i = 0; i < 3; i++) {
        hr__pace_start(&pace, T0, 1, &tickets[i]);
    }
    for (size_t i = 0; i < 3; i++) { /* of one round: once */
        hr__pace_end_request(&pace, &tickets[i], T0 + 1000, HR_PACE_SILENT, 0);
        HR_CHECK_INT(pace.window, 8);
    }
    hr__pace_start(&pace, T0, 1, &tickets[0]);
    hr__pace_end_request(&pace, &tickets[0], T0 + 1000, HR_PACE_BROKEN, 0);
    HR_CHECK_INT(pace.window, 8);
    run(&pace, &to, 500, T0 + 1000000);
    HR_CHECK_INT(pace.window, 16);
}

HR_CASE(pause_holds_the_host) {
    hr_pace pace;
    hr_pace_hold hold;
    hr__pace_init(&pace, 16, 0);
    hr__pace_pause(&pace, T0 + 5000000);
    hr__pace_pause(&pace, T0 + 1000000);
    HR_CHECK(hr__pace_due_us(&pace, T0, 1, &hold) == T0 + 5000000);
    HR_CHECK_INT(hold, HR_PACE_RATE);
    HR_CHECK(hr__pace_due_us(&pace, T0 + 5000000, 1, &hold) == T0 + 5000000);
    HR_CHECK_INT(hold, HR_PACE_FREE);
}

HR_CASE(slow_answers_stop_the_growth) {
    hr_pace pace;
    hr__pace_init(&pace, 64, 0);
    uint64_t now_us = T0;
    for (int round = 0; round < 20; round++) { /* a server that works one after the other, 40 ms each */
        hr_pace_ticket tickets[64];
        uint32_t n = pace.window;
        for (uint32_t i = 0; i < n; i++) {
            hr__pace_start(&pace, now_us, 1, &tickets[i]);
        }
        for (uint32_t i = 0; i < n; i++) {
            now_us += 40000;
            hr__pace_end_request(&pace, &tickets[i], now_us, HR_PACE_ACCEPTED, 40000 * (uint64_t)(i + 1));
        }
    }
    HR_CHECK(pace.window < 24); /* 64 in 5 rounds if it did not look */
}

HR_CASE(a_far_reset_is_not_waited_for) {
    hr_pace pace;
    hr_pace_hold hold;
    hr__pace_init(&pace, 16, 0);
    hr__pace_told(&pace, T0, &(hr_rate_told){.has_left = true, .has_reset = true, .left = 0, .reset_ms = UINT64_MAX},
                  60000000);
    HR_CHECK(hr__pace_due_us(&pace, T0, 1, &hold) == T0 + 60000000);
    hr__pace_told(&pace, T0, &(hr_rate_told){.has_left = true, .left = 0},
                  60000000); /* no reset: nothing to wait for */
    HR_CHECK(hr__pace_due_us(&pace, T0 + 60000000, 1, &hold) == T0 + 60000000);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    HR_RUN(window_triples_a_round_trip_up_to_the_most);
    HR_RUN(window_triples_when_answers_come_together);
    HR_RUN(window_grows_within_a_round_that_is_not_refused);
    HR_RUN(window_stays_within_a_round_that_is_refused);
    HR_RUN(one_at_a_time_is_found_with_at_most_three_refusals);
    HR_RUN(rate_is_found_out_from_refusals);
    HR_RUN(a_bucket_of_one_token_gets_its_rate_on_a_jerky_machine);
    HR_RUN(a_bucket_of_five_tokens_gets_its_rate_on_a_jerky_machine);
    HR_RUN(a_bucket_of_one_token_gets_its_rate_with_long_answers);
    HR_RUN(what_the_server_tells_is_kept_without_a_refusal);
    HR_RUN(a_rule_holds_in_any_stretch_of_its_time);
    HR_RUN(rules_count_points_and_all_hold);
    HR_RUN(configured_rate_is_even);
    HR_RUN(window_halves_with_timeouts_and_503);
    HR_RUN(pause_holds_the_host);
    HR_RUN(slow_answers_stop_the_growth);
    HR_RUN(a_far_reset_is_not_waited_for);
    return HR_DONE();
}
