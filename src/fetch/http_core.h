/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files http*.c share.
 *
 *   http.c           life, submit, the loop thread: who waits, what follows an answer
 *   http_host.c      hosts: their queues, who may start (pace.h says when)
 *   http_request.c   a request checked and copied into one block: the job
 *   http_transfer.c  a job on a curl handle: options, receiving, how it ended
 *   http_socket.c    curl's sockets and timer on poll(2)
 *   http_error.c     a CURLcode as an error
 *
 * A job's way:
 *
 *   submitted (lock) -> queued at its host (FIFO) -> running (on a transfer) -> done
 *                          ^                           |  ^
 *                          |                           +--+ redirect: the same transfer, the next URL
 *                          +-------- waiting <---------+ 429, 5xx, network failure: until due_ms
 */
#ifndef HR_FETCH_HTTP_CORE_H
#define HR_FETCH_HTTP_CORE_H

#include "early.h"
#include "redirect.h"

#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct hr_http_job hr_http_job;
typedef struct hr_http_host hr_http_host;
typedef struct hr_http_transfer hr_http_transfer;

/* Kinds of request headers, which a redirect may drop. */
enum {
    HR_HEADER_PLAIN = 0,
    HR_HEADER_CREDENTIALS = 1u << 0, /* Authorization, secret_headers: not for another origin */
    HR_HEADER_HOST = 1u << 1,        /* Host, Cookie: another host does not get them */
    HR_HEADER_CONTENT = 1u << 2,     /* describes the body: goes with it */
    HR_HEADER_NO_TYPE = 1u << 3,     /* "Content-Type:", keeps curl from making one up */
};

typedef enum hr_http_state {
    HR_HTTP_STATE_UNSET = 0,
    HR_HTTP_QUEUED,
    HR_HTTP_RUNNING,
    HR_HTTP_WAITING,
} hr_http_state;

typedef struct hr_http_list {
    hr_http_job *first, *last;
} hr_http_list;

/* A request and how far it is. One block of memory: the struct, then the strings and header nodes it points to. */
struct hr_http_job {
    hr_http_job *prev, *next;     /* all unfinished jobs, in order of submission */
    hr_http_job *q_prev, *q_next; /* the one queue it is in: submitted, its host's, waiting */
    hr_http_host *host;
    hr_http_transfer *transfer; /* while running */
    hr_http_state state;
    uint64_t number; /* of submission, from 1 */

    hr_http_request request;  /* numbers, flags and tag; its pointers are the block's, zero-terminated */
    hr_origin origin;         /* of request.url */
    struct curl_slist *lines; /* n_lines header lines "Name: value" */
    uint8_t *kinds;           /* of each line */
    bool has_type;            /* a line is the caller's Content-Type */
    size_t n_lines;
    const char *cookie; /* the Cookie header's value; NULL: none */

    uint32_t attempts, throttled;
    uint64_t begun_ms;             /* of the first attempt; 0: none yet */
    uint32_t n_ours;               /* refusals that were no attempt */
    hr_pace_ticket ticket;         /* while running */
    uint64_t due_ms, wait_from_ms; /* while waiting */
    bool as_is;                    /* bodies are taken as they come, without undoing Content-Encoding */
    bool is_http2;                 /* the host's last answer before this attempt was */
    /* the hop, after redirects of this attempt */
    char *hop_url; /* NULL: request.url; else of the allocator */
    hr_origin hop_origin;
    uint32_t n_redirects;
    uint32_t dropped; /* HR_HEADER_... */
    bool hop_get;
};

/* A host exists as long as it has unfinished jobs; what is known of it stays with the pacer. */
struct hr_http_host {
    hr_http_host *next;                      /* in its bucket */
    hr_http_host *queued_prev, *queued_next; /* hosts with a queue */
    hr_http_list queue;                      /* by number */
    uint32_t in_flight, n_jobs;
    uint64_t held_from_us; /* since when the budget holds its queue back; 0: it does not */
    hr_pacer_host *known;  /* of the pacer */
    hr_origin origin;
};

/* The headers of the last answer. text: their lines, one after the other; spans and views: n of cap. */
typedef struct hr_http_span {
    size_t name_at, name_size, value_at, value_size;
} hr_http_span;

/* A curl handle and what one request on it needs; used again for other jobs. */
struct hr_http_transfer {
    hr_http *http;
    CURL *easy;
    hr_http_job *job;            /* NULL: idle */
    hr_http_transfer *next_idle; /* while idle */
    hr_buf body;
    hr_buf text;
    hr_http_span *spans;
    hr_http_header *views;
    size_t n_headers, spans_cap, views_cap;
    size_t reason_at, reason_size;
    size_t sent_bytes; /* of the request's body, where on_send gives it */
    int status;        /* 0: no answer began */
    bool in_headers, body_began, paused, has_cookies, cookies_on;
    bool discards;   /* the body is not wanted: a redirect or an answer that is asked for again */
    bool cut;        /* a discarded body was too long to read */
    bool silent;     /* ended by the read timeout */
    hr_early early;  /* in body */
    bool has_early;  /* it was found, and is yet to be told */
    hr_code refused; /* why a callback ended the transfer; HR_OK: it did not */
    uint64_t discarded_bytes;
    uint64_t begun_ms, active_ms, check_ms; /* read timeout: begun, last byte, look again at */
    uint64_t seen_bytes;                    /* up and down, at active_ms or at the last check */
    struct curl_slist *resolve;             /* of the job's; freed with the next */
    char message[CURL_ERROR_SIZE];
};

#define HR_HTTP_BUCKETS 64

struct hr_http {
    hr_http_options options;
    uint64_t number; /* the pacer's for this engine */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    hr_http_list submitted;            /* @locks lock */
    uint64_t last_number;              /* @locks lock */
    bool stop;                         /* @locks lock */
    uint32_t n_unwoken;                /* @locks lock; submitted since the loop thread was woken */
    _Atomic uint64_t cancelled_number; /* jobs up to this are cancelled; written under lock, read relaxed anywhere */
    atomic_bool woken;                 /* a byte is in the pipe; acquire/release */
    int pipe_fds[2];
    const char *ca_file,
        *ca_dir; /* in place of libcurl's own when those do not exist; NULL: libcurl's own. Constants */

    /* @locality loop thread from here */
    CURLM *multi;
    uint64_t now_ms;      /* monotonic, of this turn of the loop */
    hr_http_list all;     /* unfinished, by number; linked by prev, next */
    hr_http_list waiting; /* by due_ms */
    hr_http_host *buckets[HR_HTTP_BUCKETS];
    hr_http_host *queued_hosts;
    uint64_t start_due_us;        /* when a queued host may be asked; UINT64_MAX: an end is waited for */
    hr_http_transfer **transfers; /* options.max_in_flight + 1; the first n_transfers exist */
    hr_http_transfer *idle;
    uint32_t n_transfers, n_in_flight, n_paused;
    bool held;         /* something is kept back by is_full */
    bool has_early;    /* a transfer has found what its request wants early */
    uint64_t check_ms; /* the earliest read timeout to look at */
    /* sockets: fds[0] is the pipe */
    struct pollfd *fds, *ready;
    size_t n_fds, fds_cap;
    uint64_t curl_due_ms; /* UINT64_MAX: no timer */

    /* counters: written by the loop thread, read by any; relaxed */
    _Atomic uint64_t requests, retries, wire_bytes, body_bytes, backoff_us, throttled_us, held_until_us;
    _Atomic uint32_t in_flight, max_in_flight_seen, unfinished;
};

uint64_t hr__http_clock_us(void); /* monotonic */
uint64_t hr__http_clock_ms(void);

/* ---- http_host.c */
/* The host of the origin, made if it is not there. NULL: no memory. */
hr_http_host *hr__http_host_get(hr_http *http, const hr_origin *origin);
/* One of its jobs is done; with the last it ends. */
void hr__http_host_leave(hr_http *http, hr_http_host *host);
/* Puts the job into its host's queue, by number. */
void hr__http_host_enqueue(hr_http *http, hr_http_job *job);
void hr__http_host_dequeue(hr_http *http, hr_http_job *job);
/* The oldest queued job that may start now, by its host's pace; then it counts as in flight there. NULL: none; sets
 * http->start_due_us and counts the time in which budgets hold something back. */
hr_http_job *hr__http_host_next(hr_http *http);
/* The same for the one job that may start when memory is short: the budget holds for it, the number in flight does not.
 */
bool hr__http_host_may_force(hr_http *http, hr_http_job *job);
/* The job is no longer in flight. transfer: with the answer, or NULL. Returns whether it was refused because of those
 * in flight beside it. */
bool hr__http_host_end(hr_http *http, hr_http_job *job, hr_pace_end end, hr_http_transfer *transfer);
/* A request ended for good: with an answer, or without. */
void hr__http_host_count(hr_http *http, const hr_http_job *job, bool is_answered);
/* How long the host is left alone yet, since requests to it got no answer; 0: it is not. */
uint64_t hr__http_host_left_ms(hr_http *http, const hr_http_host *host);
void hr__http_host_pause(hr_http *http, hr_http_host *host, uint64_t ms);
uint32_t hr__http_host_window(hr_http *http, hr_http_host *host);

/* ---- queues, http_host.c */
/* Puts the job behind `before` (NULL: in front). */
void hr__http_queue_insert(hr_http_list *list, hr_http_job *before, hr_http_job *job);
void hr__http_queue_remove(hr_http_list *list, hr_http_job *job);

/* ---- http_request.c */
HR_MUST_CHECK int hr__http_job_new(const hr_allocator *alloc, const hr_http_request *request, hr_http_job **job_out,
                                   hr_error *err);
void hr__http_job_free(const hr_allocator *alloc, hr_http_job *job);
/* Back to the URL that was asked for. */
void hr__http_job_rewind(const hr_allocator *alloc, hr_http_job *job);
/* Scheme, host and port of a URL. CURLUE_OK, or why it is none. */
CURLUcode hr__http_origin_get(const char *url, hr_origin *origin_out);
/* Whether its allowed_hosts name the origin. */
bool hr__http_job_allows(const hr_http_job *job, const hr_origin *origin);
/* Makes Location (relative or not) the job's next hop, by the rules of redirect.h. HR_OK, HR_REDIRECT or HR_MEMORY. */
HR_MUST_CHECK int hr__http_job_redirect(const hr_allocator *alloc, hr_http_job *job, int status, hr_str location,
                                        hr_error *err);
const char *hr__http_job_url(const hr_http_job *job); /* of this hop */

/* ---- http_transfer.c */
HR_MUST_CHECK int hr__http_transfer_new(hr_http *http, hr_http_transfer **transfer_out);
void hr__http_transfer_free(hr_http_transfer *transfer);
/* Gives the job's hop to curl. HR_OK, or an error of the arguments or of memory; then nothing runs. */
HR_MUST_CHECK int hr__http_transfer_start(hr_http_transfer *transfer, hr_error *err);
/* The value of a header of the last answer; data NULL: not there. */
hr_str hr__http_transfer_header(const hr_http_transfer *transfer, const char *name);
/* What was found early: borrowed, until the transfer goes on; data NULL: it is not there. */
hr_str hr__http_transfer_early(const hr_http_transfer *transfer);
/* The headers of the last answer. */
const hr_http_header *hr__http_transfer_headers(hr_http_transfer *transfer, size_t *n_out);
/* Fills status, reason, url, headers and counts of the result; the body moves into it. */
void hr__http_transfer_result(hr_http_transfer *transfer, hr_http_result *result);
/* Ends what is silent for longer than its read timeout: true. Else sets when to look again. */
bool hr__http_transfer_is_silent(hr_http_transfer *transfer, uint64_t now_ms);
bool hr__http_may_receive(const hr_http *http, const hr_http_job *job);

/* ---- http_socket.c */
HR_MUST_CHECK int hr__http_sockets_init(hr_http *http, hr_error *err);
void hr__http_sockets_free(hr_http *http);
/* Waits for sockets, the pipe or curl's timer, until due_us at most, and lets curl work. */
void hr__http_sockets_run(hr_http *http, uint64_t due_us);

/* ---- http_error.c: fills err; returns its code. */
int hr__http_error_fill(const hr_http_transfer *transfer, CURLcode curl_code, hr_error *err);
int hr__http_error_cancelled(hr_error *err);
int hr__http_error_left_alone(const hr_http_job *job, uint64_t left_ms, hr_error *err);

#endif
