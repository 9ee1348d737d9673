/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: what servers tell of their rate limits.
 */
#include "hrtest.h"
#include "http.h"

#define NOW_MS 1700000000000
#define NONE UINT64_MAX

static hr_rate_told read_lines(const char *const *lines) {
    hr_http_header headers[8];
    size_t n = 0;
    for (; lines[n] != NULL; n++) {
        const char *colon = strchr(lines[n], ':');
        headers[n] = (hr_http_header){{lines[n], (size_t)(colon - lines[n])}, hr__str(colon + 1)};
    }
    hr_rate_told told;
    hr__rate_headers_read(headers, n, NOW_MS, &told);
    return told;
}

HR_CASE(limits_are_read_in_each_spelling) {
    static const struct {
        const char *lines[6];
        uint64_t left, reset_ms;
    } rows[] = {
        {{"RateLimit-Limit:100", "RateLimit-Remaining: 42", "RateLimit-Reset: 18"}, 42, 18000},
        {{"ratelimit-limit:100, 100;w=60", "ratelimit-remaining:0", "ratelimit-reset:7"}, 0, 7000},
        {{"RateLimit: limit=100, remaining=50, reset=5", "RateLimit-Policy: 100;w=60"}, 50, 5000},
        {{"RateLimit-Policy: \"default\";q=100;w=60", "RateLimit: \"default\";r=50;t=30"}, 50, 30000},
        {{"RateLimit: \"burst\";r=5;t=1, \"day\";r=900;t=30000"}, 5, 1000},
        {{"RateLimit: \"day\";r=0;t=30000, \"burst\";r=5;t=1"}, 0, 30000000},
        {{"RateLimit: \"a;r=1,b\" ; t=3 ; r=9"}, 9, 3000},
        {{"RateLimit: \"default\";r=50"}, 50, NONE},
        {{"X-RateLimit-Remaining: 3", "X-RateLimit-Reset: 60"}, 3, 60000},
        {{"X-Rate-Limit-Remaining: 3", "x-rate-limit-reset: 1.5"}, 3, 1500},
        {{"X-RateLimit-Remaining: 3", "X-RateLimit-Reset: 1700000060"}, 3, 60000},
        {{"X-RateLimit-Remaining: 3", "X-RateLimit-Reset: 1700000060000"}, 3, 60000},
        {{"X-RateLimit-Remaining: 3", "X-RateLimit-Reset: 1600000000"}, 3, 0}, /* past */
        {{"Date: Tue, 14 Nov 2023 22:13:30 GMT", "X-RateLimit-Remaining: 3", "X-RateLimit-Reset: 1700000060"},
         3,
         50000},
        {{"X-RateLimit-Remaining: 3", "X-RateLimit-Reset: 1700000060", "X-RateLimit-Reset-After: 2.5"}, 3, 2500},
        {{"X-RateLimit-Remaining: 3", "X-RateLimit-Reset: 60", "RateLimit-Remaining: 2", "RateLimit-Reset: 6"},
         2,
         6000},
        {{"RateLimit: \"x\";r=1;t=2", "X-RateLimit-Remaining: 3", "X-RateLimit-Reset: 60"}, 1, 2000},
        {{"X-RateLimit-Reset: 60"}, NONE, 60000},
        {{"X-RateLimit-Remaining: 7"}, 7, NONE},
        /* nothing to read */
        {{"X-RateLimit-Remaining: many", "X-RateLimit-Reset: soon"}, NONE, NONE},
        {{"X-RateLimit-Remaining:", "RateLimit:", "RateLimit-Reset: -5"}, NONE, NONE},
        {{"RateLimit: ;;;,,,=;r=", "RateLimit-Remaining: 99999999999999999999999"}, NONE, NONE},
        {{"X-RateLimit: 5", "RateLimited: 1", "X-RateLimit-Remaining-Minute: 4", "Date: never"}, NONE, NONE},
        {{"Content-Type: application/json"}, NONE, NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hr_rate_told told = read_lines(rows[i].lines);
        HR_CHECK_INT(told.has_left ? told.left : NONE, rows[i].left);
        HR_CHECK_INT(told.has_reset ? told.reset_ms : NONE, rows[i].reset_ms);
    }
}

int main(void) {
    HR_RUN(limits_are_read_in_each_spelling);
    return HR_DONE();
}
