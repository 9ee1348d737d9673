/* SPDX-License-Identifier: Apache-2.0
 *
 * The retry policy as pure functions.
 */
#include "retry.h"

#include <curl/curl.h>

bool hr__retry_status(const hr_http_retry *retry, int status) {
    for (uint32_t i = 0; i < retry->n_statuses; i++) {
        if (status >= retry->statuses[i].from && status <= retry->statuses[i].to) {
            return true;
        }
    }
    return retry->n_statuses == 0 && (status == 429 || (status >= 500 && status <= 599));
}

bool hr__retry_method(const hr_http_retry *retry, hr_str method, bool is_refused) {
    static const char *const idempotent[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    for (size_t i = 0; i < sizeof idempotent / sizeof *idempotent; i++) {
        if (hr__str_eq(method, hr__str(idempotent[i]))) {
            return true;
        }
    }
    return is_refused || retry->unsafe;
}

bool hr__retry_in_time(const hr_http_retry *retry, uint64_t used_ms, uint32_t delay_ms) {
    return retry->max_total_ms == 0 || used_ms + delay_ms <= retry->max_total_ms;
}

/* Seconds asked for; -1: nothing usable. */
static int64_t after_seconds(hr_str value, int64_t now_s) {
    while (value.size_bytes > 0 && value.data[0] == ' ') {
        value.data++;
        value.size_bytes--;
    }
    if (value.size_bytes == 0 || value.size_bytes > 63) {
        return -1;
    }
    int64_t seconds = 0;
    for (size_t i = 0; i < value.size_bytes; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            char text[64];
            memcpy(text, value.data, value.size_bytes);
            text[value.size_bytes] = '\0';
            time_t when = curl_getdate(text, NULL);
            return when == (time_t)-1 ? -1 : (int64_t)when - now_s;
        }
        seconds = seconds > 100000000 ? seconds : seconds * 10 + (value.data[i] - '0');
    }
    return seconds;
}

uint32_t hr__retry_after_ms(hr_str retry_after, int64_t now_s, uint32_t max_ms) {
    int64_t seconds = after_seconds(retry_after, now_s);
    return seconds <= 0 ? 0 : seconds > max_ms / 1000 ? max_ms : (uint32_t)seconds * 1000;
}

uint32_t hr__retry_delay_ms(const hr_http_retry *retry, uint32_t attempt, hr_str retry_after, int64_t now_s) {
    uint32_t after_ms = hr__retry_after_ms(retry_after, now_s, retry->max_delay_ms);
    uint64_t delay_ms = attempt > 31 ? UINT32_MAX : (uint64_t)retry->backoff_ms << (attempt - 1);
    delay_ms = after_ms > 0 ? after_ms : delay_ms;
    return delay_ms > retry->max_delay_ms ? retry->max_delay_ms : (uint32_t)delay_ms;
}
