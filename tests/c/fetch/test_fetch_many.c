/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: many requests at once: limits, order, hosts that refuse, memory that is short, cancelling and ending.
 */
#include "fetch_fixture.h"

#include <unistd.h>

#define MAX_MANY 64

typedef struct many {
    char urls[MAX_MANY][512];
    outcome outs[MAX_MANY];
    int n;
} many;

static void submit(fixture *fix, many *all, hr_http_request request) {
    outcome *out = &all->outs[all->n++];
    *out = (outcome){.n_calls = 0};
    hr__buf_init(&out->body, &hr__allocator_libc, 0);
    request.tag = out;
    HR_CHECK_INT(hr__http_submit(fix->http, &request, &out->error), HR_OK);
}

static hr_http_request next_get(many *all, const char *path) {
    return faults_get(all->urls[all->n], path);
}

static void many_free(many *all) {
    for (int i = 0; i < all->n; i++) {
        HR_CHECK_INT(all->outs[i].n_calls, 1);
        outcome_free(&all->outs[i]);
    }
}

/* A number of /stats, which is a request of its own. */
static int stat_of(fixture *fix, const char *name, bool reset) {
    char url[512], key[64];
    outcome out = fetch(fix, faults_get(url, reset ? "/stats?reset=1" : "/stats"));
    snprintf(key, sizeof key, "\"%s\": ", name);
    size_t size = strlen(key);
    int value = -1;
    for (size_t i = 0; i + size <= out.body.size_bytes; i++) {
        if (memcmp(out.body.data + i, key, size) == 0) {
            value = atoi(out.body.data + i + size); /* the body's padding is zero */
            break;
        }
    }
    outcome_free(&out);
    return value;
}

HR_CASE(limits_in_all_and_a_host_are_kept) {
    static const struct {
        uint32_t max_in_flight, per_host;
        int want, want_all;
    } rows[] = {{8, 3, 3, 6}, {4, 16, 4, 4}, {1, 1, 1, 1}, {64, 12, 12, 24}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fixture fix = {.drop_bodies = false};
        many all = {.n = 0};
        HR_CHECK_INT(fixture_start(&fix, (hr_http_options){.max_in_flight = rows[i].max_in_flight,
                                                           .max_in_flight_per_host = rows[i].per_host,
                                                           .first_window = 64}),
                     HR_OK);
        stat_of(&fix, "max_in_flight", true);
        int before = fix.n_done;
        for (int j = 0; j < 30; j++) {
            submit(&fix, &all, next_get(&all, "/slow?ms=30"));
        }
        fixture_wait(&fix, before + 30);
        HR_CHECK_INT(stat_of(&fix, "max_in_flight", true), rows[i].want);
        for (int j = 0; j < 30; j++) { /* localhost is another host */
            char path[64];
            snprintf(path, sizeof path, "/slow?ms=30&case=%d", j);
            hr_http_request request = next_get(&all, path);
            if (j % 2 == 1) {
                snprintf(all.urls[all.n], 512, "http://localhost:%u%s", faults_port(), path);
                request.url = hr__str(all.urls[all.n]);
            }
            submit(&fix, &all, request);
        }
        fixture_wait(&fix, before + 61);
        HR_CHECK_INT(stat_of(&fix, "max_in_flight", false), rows[i].want_all);
        hr_http_stats stats;
        hr__http_stats_get(fix.http, &stats);
        HR_CHECK_INT(stats.max_in_flight_seen, rows[i].want_all);
        HR_CHECK_INT(stats.in_flight, 0);
        HR_CHECK_INT(stats.queued, 0);
        fixture_stop(&fix);
        many_free(&all);
    }
}

HR_CASE(requests_start_in_order_of_submission) {
    fixture fix = {.drop_bodies = true};
    many all = {.n = 0};
    HR_CHECK_INT(fixture_start(&fix, (hr_http_options){.max_in_flight_per_host = 1}), HR_OK);
    for (int i = 0; i < 20; i++) { /* the first is retried: it comes back in front */
        hr_http_request request = next_get(&all, i == 0 ? "/status/503?times=1&case=order" : "/slow?ms=2");
        request.retry = (hr_http_retry){.max_attempts = 2, .backoff_ms = 1, .max_delay_ms = 1};
        submit(&fix, &all, request);
    }
    fixture_wait(&fix, 20);
    HR_CHECK(all.outs[0].number <= 3);
    for (int i = 2; i < 20; i++) {
        HR_CHECK_INT(all.outs[i].number > all.outs[i - 1].number, 1);
    }
    fixture_stop(&fix);
    many_free(&all);
}

HR_CASE(a_host_that_refuses_parallel_requests_is_asked_one_at_a_time) {
    fixture fix = {.drop_bodies = false};
    many all = {.n = 0};
    uint32_t n_refused = 0;
    HR_CHECK_INT(fixture_start(&fix, (hr_http_options){0}), HR_OK);
    for (int i = 0; i < 16; i++) { /* tried once each: a refusal that is our own fault is no attempt */
        submit(&fix, &all, next_get(&all, "/busy?limit=1&ms=5&refused=2"));
    }
    fixture_wait(&fix, 16);
    for (int i = 0; i < 16; i++) {
        HR_CHECK_INT(all.outs[i].status, 200);
        HR_CHECK_INT(all.outs[i].attempts, 1);
        n_refused += all.outs[i].throttled;
    }
    HR_CHECK_INT(n_refused, 2); /* of three at first */
    stat_of(&fix, "max_in_flight", true);
    int before = fix.n_done;
    for (int i = 0; i < 8; i++) {
        submit(&fix, &all, next_get(&all, "/slow?ms=5"));
    }
    fixture_wait(&fix, before + 8);
    HR_CHECK_INT(stat_of(&fix, "max_in_flight", false), 1);
    fixture_stop(&fix);
    many_free(&all);
}

HR_CASE(a_host_that_gives_no_answer_is_left_alone) {
    fixture fix = {.drop_bodies = false};
    many all = {.n = 0};
    uint32_t n_attempts = 0, n_left_alone = 0;
    HR_CHECK_INT(fixture_start(&fix, (hr_http_options){.max_in_flight_per_host = 1}), HR_OK);
    stat_of(&fix, "max_in_flight", true);
    for (int i = 0; i < 8; i++) {
        hr_http_request request = next_get(&all, i == 1 ? "/status/500" : "/close");
        request.retry =
            (hr_http_retry){.max_attempts = 2, .backoff_ms = 1, .max_delay_ms = 1, .breaker = 3, .breaker_ms = 60000};
        submit(&fix, &all, request);
    }
    fixture_wait(&fix, 9);
    for (int i = 0; i < 8; i++) {
        HR_CHECK_INT(all.outs[i].error.code, i == 1 ? HR_OK : HR_NETWORK);
        n_attempts += all.outs[i].attempts;
        n_left_alone += holds(hr__str(all.outs[i].error.message), "gave no answer to 3 requests in a row");
        HR_CHECK_INT(all.outs[i].error.retriable, i != 1);
    }
    HR_CHECK(n_attempts < 16); /* 500 is an answer: three others open it, and those behind are not asked for */
    HR_CHECK(n_left_alone > 0);
    fixture_stop(&fix);
    many_free(&all);
}

HR_CASE(a_delayed_request_waits) {
    fixture fix = {.drop_bodies = false};
    HR_CHECK_INT(fixture_start(&fix, (hr_http_options){0}), HR_OK);
    char url[512];
    hr_http_request request = faults_get(url, "/json");
    request.delay_ms = 150;
    uint64_t begun_ms = clock_ms();
    outcome out = fetch(&fix, request);
    HR_CHECK_INT(out.status, 200);
    HR_CHECK_INT(out.attempts, 1);
    HR_CHECK(clock_ms() - begun_ms >= 149);
    outcome_free(&out);
    fixture_stop(&fix);
}

/* ---------------------------------------------------------------------------------------------------- memory is short
 */

static atomic_bool full;

static bool says_full(void *ctx) {
    (void)ctx;
    return atomic_load(&full);
}

HR_CASE(when_full_only_the_oldest_goes_on) {
    fixture fix = {.drop_bodies = false};
    many all = {.n = 0};
    atomic_store(&full, true);
    HR_CHECK_INT(fixture_start(&fix, (hr_http_options){.is_full = says_full}), HR_OK);
    stat_of(&fix, "max_in_flight", true);
    for (int i = 0; i < 6; i++) {
        submit(&fix, &all, next_get(&all, "/slow?ms=10"));
    }
    fixture_wait(&fix, 1 + 6); /* one after the other: each is the oldest in its turn */
    HR_CHECK_INT(stat_of(&fix, "max_in_flight", false), 1);
    for (int i = 0; i < 6; i++) {
        HR_CHECK_INT(all.outs[i].number, i + 1);
        HR_CHECK_INT(all.outs[i].status, 200);
    }
    fixture_stop(&fix);
    many_free(&all);
}

HR_CASE(transfers_pause_and_go_on) {
    fixture fix = {.drop_bodies = false};
    many all = {.n = 0};
    atomic_store(&full, false);
    HR_CHECK_INT(fixture_start(&fix, (hr_http_options){.is_full = says_full, .first_window = 16}), HR_OK);
    submit(&fix, &all, next_get(&all, "/hang"));
    for (int i = 0; i < 4; i++) { /* in flight when memory becomes short; longer than their read timeout */
        hr_http_request request = next_get(&all, "/drip?n=100&ms=3");
        request.read_timeout_ms = 250;
        submit(&fix, &all, request);
    }
    hr_http_stats stats;
    do {
        hr__http_stats_get(fix.http, &stats);
    } while (stats.in_flight < 5);
    atomic_store(&full, true);
    usleep(900 * 1000); /* paused: the time it would have taken, and a read timeout */
    HR_CHECK_INT(fix.n_done, 0);
    atomic_store(&full, false);
    hr__http_wake(fix.http);
    fixture_wait(&fix, 4);
    for (int i = 1; i < 5; i++) {
        HR_CHECK_INT(all.outs[i].error.code, HR_OK);
        HR_CHECK_INT(all.outs[i].body.size_bytes, 100);
    }
    hr__http_cancel_all(fix.http);
    fixture_wait(&fix, 5);
    fixture_stop(&fix);
    many_free(&all);
}

/* ---------------------------------------------------------------------------------------------------- ends */

HR_CASE(cancelling_and_ending_are_quick_wherever_requests_are) {
    static const char *const paths[] = {"/hang",
                                        "/hang-body",
                                        "/drip?n=10000&ms=10",
                                        "/retry-after?seconds=100&times=9&c=%d",
                                        "/big?bytes=30000000",
                                        "/redirect-loop"};
    for (int by_free = 0; by_free < 2; by_free++) {
        fixture fix = {.drop_bodies = true};
        many all = {.n = 0};
        HR_CHECK_INT(fixture_start(&fix, (hr_http_options){.max_in_flight = 20, .first_window = 16}), HR_OK);
        for (int i = 0; i < 36; i++) { /* running, waiting, queued */
            char path[128];
            snprintf(path, sizeof path, paths[i % 6], i + by_free);
            hr_http_request request = next_get(&all, path);
            request.retry = (hr_http_retry){.max_attempts = 5, .backoff_ms = 1000, .max_delay_ms = 100000};
            request.max_redirects = 1000000;
            submit(&fix, &all, request);
        }
        usleep(100 * 1000);
        uint64_t begun_ms = clock_ms();
        if (by_free == 0) {
            hr__http_cancel_all(fix.http);
            fixture_wait(&fix, 36);
            HR_CHECK(clock_ms() - begun_ms < 400); /* 200, and twice that under ASan with two cores */
            char url[512];
            hr_http_request request = faults_get(url, "/json"); /* the engine goes on; 127.0.0.1 asked for a pause */
            snprintf(url, sizeof url, "http://localhost:%u/json", faults_port());
            request.url = hr__str(url);
            outcome out = fetch(&fix, request);
            HR_CHECK_INT(out.status, 200);
            outcome_free(&out);
            begun_ms = clock_ms();
        }
        hr__http_free(fix.http);
        HR_CHECK(clock_ms() - begun_ms < 400);
        fix.http = NULL;
        HR_CHECK_INT(fix.n_done, 36 + (by_free == 0));
        int n_cancelled = 0;
        for (int i = 0; i < all.n; i++) {
            n_cancelled += all.outs[i].error.code == HR_CANCELLED;
            HR_CHECK(all.outs[i].error.code == HR_CANCELLED || i % 6 == 4);
        }
        HR_CHECK(n_cancelled >= 30);
        fixture_stop(&fix);
        many_free(&all);
    }
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    HR_RUN(limits_in_all_and_a_host_are_kept);
    HR_RUN(requests_start_in_order_of_submission);
    HR_RUN(a_host_that_refuses_parallel_requests_is_asked_one_at_a_time);
    HR_RUN(a_host_that_gives_no_answer_is_left_alone);
    HR_RUN(a_delayed_request_waits);
    HR_RUN(when_full_only_the_oldest_goes_on);
    HR_RUN(transfers_pause_and_go_on);
    HR_RUN(cancelling_and_ending_are_quick_wherever_requests_are);
    return HR_DONE();
}
