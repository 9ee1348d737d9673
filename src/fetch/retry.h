/* SPDX-License-Identifier: Apache-2.0
 *
 * When a request is made again (dlt-semantics 4.5; dlt/sources/helpers/requests/retry.py). No clock of its own.
 */
#ifndef HR_FETCH_RETRY_H
#define HR_FETCH_RETRY_H

#include "http.h"

/* Whether an answer with this status is asked for again: 429 and 500-599. */
bool hr__retry_status(int status);
/* Milliseconds that a Retry-After asks for, at most max_ms; 0: none or nothing usable. */
uint32_t hr__retry_after_ms(hr_str retry_after, int64_t now_s, uint32_t max_ms);
/* Milliseconds to wait before attempt number `attempt` + 1 (attempt counts from 1). retry_after: the header's value,
 * seconds or an HTTP date, or size 0; now_s: seconds since 1970, for dates. */
uint32_t hr__retry_delay_ms(const hr_http_retry *retry, uint32_t attempt, hr_str retry_after, int64_t now_s);

#endif
