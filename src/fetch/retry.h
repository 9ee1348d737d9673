/* SPDX-License-Identifier: Apache-2.0
 *
 * When a request is made again (dlt-semantics 4.5; dlt/sources/helpers/requests/retry.py). No clock of its own.
 */
#ifndef HR_FETCH_RETRY_H
#define HR_FETCH_RETRY_H

#include "http.h"

/* Whether an answer with this status is asked for again. */
bool hr__retry_status(const hr_http_retry *retry, int status);
/* Whether a request with this method may be made again. is_refused: the server has done nothing for it (429, 503, or it
 * never got the request). RFC 9110, 9.2.2. */
bool hr__retry_method(const hr_http_retry *retry, hr_str method, bool is_refused);
/* Whether there is time for another attempt that begins after delay_ms; used_ms: since the first began. */
bool hr__retry_in_time(const hr_http_retry *retry, uint64_t used_ms, uint32_t delay_ms);
/* Milliseconds that a Retry-After asks for, at most max_ms; 0: none or nothing usable. */
uint32_t hr__retry_after_ms(hr_str retry_after, int64_t now_s, uint32_t max_ms);
/* Milliseconds to wait before attempt number `attempt` + 1 (attempt counts from 1). retry_after: the header's value,
 * seconds or an HTTP date, or size 0; now_s: seconds since 1970, for dates. */
uint32_t hr__retry_delay_ms(const hr_http_retry *retry, uint32_t attempt, hr_str retry_after, int64_t now_s);

#endif
