/* SPDX-License-Identifier: Apache-2.0
 *
 * What an answer's headers tell of the server's rate limit. Pure functions.
 *
 *   RateLimit: "default";r=50;t=30            draft-ietf-httpapi-ratelimit-headers-08 and later (structured fields)
 *   RateLimit: limit=100, remaining=50, reset=30                                       ... -07
 *   RateLimit-Limit, -Remaining, -Reset       ... up to -06; reset in seconds
 *   X-RateLimit-..., X-Rate-Limit-...         custom; reset in seconds, or a time in seconds or milliseconds since 1970
 *   X-RateLimit-Reset-After                   seconds
 */
#ifndef HR_FETCH_RATE_HEADERS_H
#define HR_FETCH_RATE_HEADERS_H

#include "base.h"

typedef struct hr_http_header hr_http_header;

typedef struct hr_rate_told {
    bool has_left, has_reset;
    uint64_t left;     /* requests or points until the reset */
    uint64_t reset_ms; /* from now */
} hr_rate_told;

/* now_ms: since 1970, for resets that are a time; the answer's Date takes its place. */
void hr__rate_headers_read(const hr_http_header *headers, size_t n_headers, int64_t now_ms, hr_rate_told *told_out);

#endif
