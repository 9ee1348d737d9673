/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: when and how long to wait before a request is made again.
 */
#include "hrtest.h"
#include "retry.h"

HR_CASE(delays_double_up_to_the_limit) {
    const hr_http_retry retry = {.max_attempts = 5, .backoff_ms = 1000, .max_delay_ms = 5000};
    static const uint32_t want[] = {1000, 2000, 4000, 5000, 5000};
    for (uint32_t attempt = 1; attempt <= 5; attempt++) {
        HR_CHECK_INT(hr__retry_delay_ms(&retry, attempt, (hr_str){NULL, 0}, 0), want[attempt - 1]);
    }
    HR_CHECK_INT(hr__retry_delay_ms(&retry, 60, (hr_str){NULL, 0}, 0), 5000);
}

HR_CASE(retry_after_counts_in_seconds_or_as_a_date) {
    const hr_http_retry retry = {.max_attempts = 5, .backoff_ms = 10, .max_delay_ms = 60000};
    HR_CHECK_INT(hr__retry_delay_ms(&retry, 1, hr__str("7"), 0), 7000);
    HR_CHECK_INT(hr__retry_delay_ms(&retry, 1, hr__str(" 99999999999999"), 0), 60000);
    HR_CHECK_INT(hr__retry_delay_ms(&retry, 1, hr__str("0"), 0), 10);
    HR_CHECK_INT(hr__retry_delay_ms(&retry, 1, hr__str("soon"), 0), 10);
    HR_CHECK_INT(hr__retry_delay_ms(&retry, 1, hr__str("Thu, 01 Jan 1970 00:01:30 GMT"), 60), 30000);
    HR_CHECK_INT(hr__retry_delay_ms(&retry, 1, hr__str("Thu, 01 Jan 1970 00:01:30 GMT"), 100), 10);
}

HR_CASE(statuses_that_are_tried_again) {
    const hr_http_retry usual = {.max_attempts = 5};
    const hr_http_retry own = {.n_statuses = 2, .statuses = {{404, 404}, {502, 504}}};
    static const int yes[] = {429, 500, 503, 599}, no[] = {200, 301, 400, 401, 404, 600};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        HR_CHECK(hr__retry_status(&usual, yes[i]));
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        HR_CHECK(!hr__retry_status(&usual, no[i]));
    }
    HR_CHECK(hr__retry_status(&own, 404) && hr__retry_status(&own, 502) && hr__retry_status(&own, 504));
    HR_CHECK(!hr__retry_status(&own, 429) && !hr__retry_status(&own, 500) && !hr__retry_status(&own, 505));
}

HR_CASE(methods_that_are_made_again) {
    static const struct {
        const char *method;
        bool unsafe, is_refused, want;
    } rows[] = {{"GET", false, false, true},    {"PUT", false, false, true}, {"DELETE", false, false, true},
                {"POST", false, false, false},  {"POST", false, true, true}, {"POST", true, false, true},
                {"PATCH", false, false, false}, {"get", false, false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const hr_http_retry retry = {.unsafe = rows[i].unsafe};
        HR_CHECK_INT(hr__retry_method(&retry, hr__str(rows[i].method), rows[i].is_refused), rows[i].want);
    }
}

HR_CASE(total_time_is_kept) {
    const hr_http_retry none = {.max_attempts = 5}, minute = {.max_total_ms = 60000};
    HR_CHECK(hr__retry_in_time(&none, UINT32_MAX, 300000));
    HR_CHECK(hr__retry_in_time(&minute, 50000, 10000));
    HR_CHECK(!hr__retry_in_time(&minute, 50001, 10000));
}

int main(void) {
    HR_RUN(delays_double_up_to_the_limit);
    HR_RUN(retry_after_counts_in_seconds_or_as_a_date);
    HR_RUN(statuses_that_are_tried_again);
    HR_RUN(methods_that_are_made_again);
    HR_RUN(total_time_is_kept);
    return HR_DONE();
}
