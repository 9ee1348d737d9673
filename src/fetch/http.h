/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: HTTP by libcurl's multi interface on one loop thread. Callers submit requests from any thread; the loop thread
 * performs them (redirects, decompression, retries with back-off, limits per host) and calls `done` once for each.
 *
 *   hr__http_new -> hr__http_submit (any thread, any number) -> done(result) on the loop thread -> hr__http_free
 */
#ifndef HR_FETCH_HTTP_H
#define HR_FETCH_HTTP_H

#include "pacer.h"

typedef struct hr_http hr_http;

typedef struct hr_http_header {
    hr_str name, value; /* borrowed */
} hr_http_header;

#define HR_RETRY_STATUSES 16

/* How a request is retried (docs/retries.md; dlt-semantics 4.5). Delays: backoff_ms * 2^(attempt-1), at most
 * max_delay_ms; Retry-After (seconds or an HTTP date) in a 429 or 5xx answer takes its place, clamped to
 * [0, max_delay_ms]. */
typedef struct hr_http_retry {
    uint32_t max_attempts; /* 1: never again */
    uint32_t backoff_ms;
    uint32_t max_delay_ms;
    uint32_t max_total_ms; /* no attempt begins later than this after the first; 0: no limit */
    uint32_t n_statuses;
    struct {
        uint16_t from, to;
    } statuses[HR_RETRY_STATUSES]; /* made again; n_statuses 0: 429 and 500 to 599 */
    bool unsafe;                   /* also a POST or PATCH that the server may have acted on */
    uint32_t breaker;              /* requests in a row that got no answer, before their host is left alone; 0: never */
    uint32_t breaker_ms;           /* how long */
} hr_http_retry;

/* One request. All pointers are borrowed for the call of hr__http_submit only. */
typedef struct hr_http_request {
    hr_str method; /* "GET" */
    hr_str url;    /* absolute, http or https, encoded */
    const hr_http_header *headers;
    size_t n_headers;
    hr_str body;                /* data NULL: none */
    hr_str proxy;               /* URL; empty string: none, whatever the environment says */
    hr_str ca_path;             /* file or folder of CA certificates; empty: libcurl's own */
    hr_str cert_path, key_path; /* client certificate; empty: none */
    hr_str key_password;        /* of the file that has its key; empty: it has none */
    hr_str resolve;             /* lines "host:port:address": asked there whatever the name server says */
    hr_str interface;           /* name or address of the interface to send from; empty: any */
    hr_str allowed_hosts;       /* lines "host" or "*.domain": others are not asked; empty: all */
    hr_str secret_headers;      /* lines: names of headers that another origin does not get, beside Authorization */
    uint32_t min_tls;           /* 10, 11, 12, 13; 0: libcurl's own */
    uint32_t delay_ms;          /* not before */
    bool more;                  /* others follow, then hr__http_wake: the loop thread need not be woken for each */
    bool verify_tls;
    uint32_t connect_timeout_ms, read_timeout_ms; /* read: longest silence; 0: none */
    uint32_t max_redirects;                       /* 30, as requests; 0: do not follow, return the 3xx */
    hr_http_retry retry;
    uint64_t max_body_bytes; /* after decompression; more is HR_LIMIT */
    hr_str early_path;     /* options.early gets the value there (early.h), before the body is whole; empty: nothing */
    hr_str early_header;   /* or that of a header */
    hr_pace_limits limits; /* of its host */
    void *tag;             /* the caller's, handed back in the result */
} hr_http_request;

/* What came of a request. The body is the caller's to keep (hr__buf_free); the rest is borrowed for the call. */
typedef struct hr_http_result {
    void *tag;
    int status;                    /* of the last answer; 0: none came */
    hr_str reason;                 /* "Not Found" */
    hr_str url;                    /* after redirects, as sent (it may hold secrets) */
    const hr_http_header *headers; /* of the last answer, in order */
    size_t n_headers;
    bool encoded; /* the body is still compressed, or as the server has it: libcurl cannot undo its Content-Encoding */
    hr_buf body;  /* decompressed, with HR_HTTP_BODY_PADDING readable bytes after size_bytes */
    uint32_t attempts;
    uint32_t throttled;  /* attempts that ended in 429, 503 or a time-out: the host wants to be asked less */
    uint32_t window;     /* requests that its host may be asked at once now */
    uint64_t wire_bytes; /* received for the body of the last attempt, compressed */
    double elapsed_ms;   /* of the last attempt */
    hr_error error;      /* code HR_OK: an answer came whole, whatever its status */
} hr_http_result;

#define HR_HTTP_BODY_PADDING 64 /* = HR_BODY_PADDING of doc.h */

typedef struct hr_http_options {
    const hr_allocator *alloc;
    uint32_t max_in_flight_per_host; /* default 16 */
    uint32_t max_in_flight;          /* default 64 */
    uint32_t first_window;           /* in flight to a host before anything is known of it; default 3 */
    uint32_t max_pause_ms;           /* longest wait for a limit that the server told; default an hour */
    hr_pacer *pacer;                 /* what is known of hosts; NULL: one of its own */
    /* @locality loop thread. Takes ownership of result->body (it may move it out by setting body.data to NULL). */
    void (*done)(void *ctx, hr_http_result *result);
    /* @locality loop thread. May be NULL. What the request's early_path or early_header is about, as text of JSON or of
     * the header, borrowed for the call; at most once an attempt, of an answer with status 200 whose body is still
     * coming. */
    void (*early)(void *ctx, void *tag, hr_str value);
    /* @locality loop thread. May be NULL. True: memory is short, do not start new requests and pause all receiving
     * transfers but the oldest. Asked before a start and while data arrives; call hr__http_wake when it changes. */
    bool (*is_full)(void *ctx);
    void *ctx;
} hr_http_options;

typedef struct hr_http_stats {
    uint64_t requests, retries, wire_bytes, body_bytes;
    uint32_t in_flight, max_in_flight_seen, queued;
    double backoff_ms;   /* waited before attempts, each request's counted */
    double throttled_ms; /* time in which a host had a request to get that its rate budget or a pause held back */
    double held_ms;      /* how long that will last yet, for the host that waits the longest; 0: none does */
} hr_http_stats;

/* Starts the loop thread. */
HR_MUST_CHECK int hr__http_new(const hr_http_options *options, hr_http **http_out, hr_error *err);
/* Queues a request. After HR_OK `done` is called exactly once for it (with HR_CANCELLED if the engine is freed first).
 */
HR_MUST_CHECK int hr__http_submit(hr_http *http, const hr_http_request *request, hr_error *err);
/* Cancels every request submitted so far: each one's done is called with HR_CANCELLED on the loop thread, soon. */
void hr__http_cancel_all(hr_http *http);
/* Makes the loop thread look at is_full again. Any thread. */
void hr__http_wake(hr_http *http);
void hr__http_stats_get(hr_http *http, hr_http_stats *stats_out);
/* Cancels what is left, ends the loop thread (within 200 ms), frees. NULL is fine. */
void hr__http_free(hr_http *http);

#endif
