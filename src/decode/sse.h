/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: server-sent events (HTML Living Standard, 9.2) -> JSON lines, one an event:
 *
 *   id: 7                   {"event":"message","id":"7","data":{"a":1}}
 *   data: {"a":1}
 *   (empty line)
 *
 * `data` is the JSON value that the event's data are, or else their text.
 */
#ifndef HR_DECODE_SSE_H
#define HR_DECODE_SSE_H

#include "json.h"

typedef struct hr_sse_info {
    size_t used_bytes; /* up to the end of the last whole event */
    size_t n_events;   /* written */
    hr_str id;         /* the last event's, borrowed from body or as it was given */
    int64_t retry_ms;  /* what the server asks for; -1: nothing */
} hr_sse_info;

/* Appends a line for each whole event with data in body, at most max_events. id: of the event before, or data NULL.
 * HR_OK, HR_MEMORY or HR_LIMIT (out's). */
HR_MUST_CHECK int hr__sse_lines(hr_json_decoder *decoder, hr_str body, hr_str id, size_t max_events, hr_buf *out,
                                hr_sse_info *info_out, hr_error *err);

#endif
