/* SPDX-License-Identifier: Apache-2.0
 *
 * Hosts on the loop thread: the queue of each, and whose turn it is. When a host may be asked is its pace's to say,
 * which it shares with the other engines of the same pacer.
 */
#include "http_core.h"

#include <time.h>

/* Another engine's requests to the same host do not tell when they end: looked at again after this. */
#define OTHERS_CHECK_US ((uint64_t)20000)
/* Time held back is counted at least this often. */
#define HELD_CHECK_US ((uint64_t)500000)

#define COUNT(counter, n) atomic_fetch_add_explicit(&(counter), (n), memory_order_relaxed)

/* ---------------------------------------------------------------------------------------------------- queues */

void hr__http_queue_insert(hr_http_list *list, hr_http_job *before, hr_http_job *job) {
    hr_http_job *after = before == NULL ? list->first : before->q_next;
    job->q_prev = before;
    job->q_next = after;
    *(before == NULL ? &list->first : &before->q_next) = job;
    *(after == NULL ? &list->last : &after->q_prev) = job;
}

void hr__http_queue_remove(hr_http_list *list, hr_http_job *job) {
    *(job->q_prev == NULL ? &list->first : &job->q_prev->q_next) = job->q_next;
    *(job->q_next == NULL ? &list->last : &job->q_next->q_prev) = job->q_prev;
    job->q_prev = job->q_next = NULL;
}

/* ---------------------------------------------------------------------------------------------------- life */

static hr_http_host **bucket_of(hr_http *http, const hr_origin *origin) {
    uint64_t hash = hr__str_hash(hr__str(origin->host)) + origin->port;
    return &http->buckets[hash % HR_HTTP_BUCKETS];
}

hr_http_host *hr__http_host_get(hr_http *http, const hr_origin *origin) {
    hr_http_host **bucket = bucket_of(http, origin), *host = *bucket;
    while (host != NULL && (host->origin.port != origin->port || strcmp(host->origin.host, origin->host) != 0)) {
        host = host->next;
    }
    if (host != NULL) {
        return host;
    }
    host = hr__calloc(http->options.alloc, 1, sizeof *host);
    if (host == NULL) {
        return NULL;
    }
    host->known =
        hr__pacer_enter(http->options.pacer, http->number, origin->host, origin->port,
                        http->options.max_in_flight_per_host, http->options.first_window, hr__http_clock_us());
    if (host->known == NULL) {
        hr__free(http->options.alloc, host);
        return NULL;
    }
    host->origin = *origin;
    host->next = *bucket;
    *bucket = host;
    return host;
}

void hr__http_host_leave(hr_http *http, hr_http_host *host) {
    if (--host->n_jobs > 0) {
        return;
    }
    hr_http_host **at = bucket_of(http, &host->origin);
    while (*at != host) {
        at = &(*at)->next;
    }
    *at = host->next;
    hr__pacer_leave(http->options.pacer, host->known, hr__http_clock_us());
    hr__free(http->options.alloc, host);
}

/* ---------------------------------------------------------------------------------------------------- its queue */

void hr__http_host_enqueue(hr_http *http, hr_http_job *job) {
    hr_http_host *host = job->host;
    if (host->queue.first == NULL) {
        host->queued_prev = NULL;
        host->queued_next = http->queued_hosts;
        if (host->queued_next != NULL) {
            host->queued_next->queued_prev = host;
        }
        http->queued_hosts = host;
    }
    hr_http_job *before = host->queue.last; /* a new one: behind all */
    if (before != NULL && before->number > job->number) {
        before = NULL; /* one that comes back: near the front */
        for (hr_http_job *at = host->queue.first; at != NULL && at->number < job->number; at = at->q_next) {
            before = at;
        }
    }
    hr__http_queue_insert(&host->queue, before, job);
    job->state = HR_HTTP_QUEUED;
}

/* Counts the time since the host's queue was held back by its budget, if it was, and whether it is from now on. */
static void count_held(hr_http *http, hr_http_host *host, uint64_t now_us, bool is_held) {
    if (host->held_from_us != 0 && now_us > host->held_from_us) {
        COUNT(http->throttled_us, now_us - host->held_from_us);
    }
    host->held_from_us = is_held ? now_us : 0;
}

void hr__http_host_dequeue(hr_http *http, hr_http_job *job) {
    hr_http_host *host = job->host;
    hr__http_queue_remove(&host->queue, job);
    if (host->queue.first == NULL) {
        *(host->queued_prev == NULL ? &http->queued_hosts : &host->queued_prev->queued_next) = host->queued_next;
        if (host->queued_next != NULL) {
            host->queued_next->queued_prev = host->queued_prev;
        }
        count_held(http, host, hr__http_clock_us(), false);
    }
    job->state = HR_HTTP_STATE_UNSET;
}

/* ---------------------------------------------------------------------------------------------------- its turn */

/* @locks the pacer's */
static void start(hr_http_job *job, uint64_t now_us) {
    hr_pace *pace = &job->host->known->pace;
    hr__pace_limit(pace, &job->request.limits);
    hr__pace_start(pace, now_us, job->request.limits.cost, &job->ticket);
    job->host->in_flight++;
    job->as_is = job->as_is || job->host->known->as_is;
    job->is_http2 = job->host->known->is_http2;
}

/* When the host's first job may start. @locks the pacer's */
static uint64_t due_of(hr_http_host *host, uint64_t now_us, hr_pace_hold *hold_out) {
    const hr_pace_limits *limits = &host->queue.first->request.limits;
    hr__pace_limit(&host->known->pace, limits);
    uint64_t due_us = hr__pace_due_us(&host->known->pace, now_us, limits->cost, hold_out);
    bool others = host->known->pace.in_flight > host->in_flight;
    return due_us == UINT64_MAX && others ? now_us + OTHERS_CHECK_US : due_us;
}

hr_http_job *hr__http_host_next(hr_http *http) {
    hr_http_job *out = NULL;
    uint64_t now_us = hr__http_clock_us(), held_until_us = 0;
    http->start_due_us = UINT64_MAX;
    hr__pacer_lock(http->options.pacer);
    for (hr_http_host *host = http->queued_hosts; host != NULL; host = host->queued_next) {
        hr_pace_hold hold = HR_PACE_FREE;
        uint64_t due_us = due_of(host, now_us, &hold);
        count_held(http, host, now_us, hold == HR_PACE_RATE);
        if (due_us <= now_us) {
            out = out == NULL || host->queue.first->number < out->number ? host->queue.first : out;
            continue;
        }
        if (hold == HR_PACE_RATE) {
            held_until_us = due_us != UINT64_MAX && due_us > held_until_us ? due_us : held_until_us;
            due_us = due_us > now_us + HELD_CHECK_US ? now_us + HELD_CHECK_US : due_us;
        }
        http->start_due_us = due_us < http->start_due_us ? due_us : http->start_due_us;
    }
    if (http->n_in_flight >= http->options.max_in_flight) {
        out = NULL;
    }
    if (out != NULL) {
        start(out, now_us);
    }
    hr__pacer_unlock(http->options.pacer);
    atomic_store_explicit(&http->held_until_us, held_until_us, memory_order_relaxed);
    return out;
}

bool hr__http_host_may_force(hr_http *http, hr_http_job *job) {
    hr_http_host *host = job->host;
    hr_pace_hold hold = HR_PACE_FREE;
    uint64_t now_us = hr__http_clock_us();
    hr__pacer_lock(http->options.pacer);
    hr__pace_limit(&host->known->pace, &job->request.limits);
    uint64_t due_us = hr__pace_due_us(&host->known->pace, now_us, job->request.limits.cost, &hold);
    /* An end that is waited for may never come: what is in flight may be paused. */
    bool may = due_us <= now_us || hold == HR_PACE_WINDOW || due_us == UINT64_MAX;
    if (may) {
        start(job, now_us);
    } else {
        http->start_due_us = due_us;
    }
    count_held(http, host, now_us, !may);
    hr__pacer_unlock(http->options.pacer);
    return may;
}

/* From the request's last byte to the answer's first. */
static uint64_t first_byte_us(const hr_http_transfer *transfer) {
    curl_off_t sent = 0, came = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
    curl_easy_getinfo(transfer->easy, CURLINFO_STARTTRANSFER_TIME_T, &came);
    return came > sent ? (uint64_t)(came - sent) : 1;
}

bool hr__http_host_end(hr_http *http, hr_http_job *job, hr_pace_end end, hr_http_transfer *transfer) {
    hr_http_host *host = job->host;
    hr_rate_told told = {.has_left = false};
    size_t n_headers;
    uint64_t now_us = hr__http_clock_us();
    if (transfer != NULL && !job->request.limits.ignore_headers) {
        const hr_http_header *headers = hr__http_transfer_headers(transfer, &n_headers);
        hr__rate_headers_read(headers, n_headers, (int64_t)time(NULL) * 1000, &told);
        if (end == HR_PACE_REFUSED && told.has_reset && !told.has_left) {
            told.has_left = true; /* nothing is left */
        }
    }
    hr__pacer_lock(http->options.pacer);
    host->in_flight--;
    if (transfer != NULL && job->n_redirects == 0) { /* else another host may have answered */
        host->known->is_http2 = transfer->text.size_bytes > 5 && transfer->text.data[5] == '2'; /* "HTTP/2 200" */
    }
    bool ours = hr__pace_end_request(&host->known->pace, &job->ticket, now_us, end,
                                     transfer == NULL ? 0 : first_byte_us(transfer));
    hr__pace_told(&host->known->pace, now_us, &told, (uint64_t)http->options.max_pause_ms * 1000);
    hr__pacer_unlock(http->options.pacer);
    return ours;
}

void hr__http_host_count(hr_http *http, const hr_http_job *job, bool is_answered) {
    hr_pacer_host *known = job->host->known;
    const hr_http_retry *retry = &job->request.retry;
    hr__pacer_lock(http->options.pacer);
    known->n_unanswered = is_answered ? 0 : known->n_unanswered + 1;
    if (retry->breaker != 0 && known->n_unanswered >= retry->breaker) { /* again with the next that fails */
        known->left_until_us = hr__http_clock_us() + (uint64_t)retry->breaker_ms * 1000;
    }
    hr__pacer_unlock(http->options.pacer);
}

uint64_t hr__http_host_left_ms(hr_http *http, const hr_http_host *host) {
    uint64_t now_us = hr__http_clock_us();
    hr__pacer_lock(http->options.pacer);
    uint64_t until_us = host->known->left_until_us;
    hr__pacer_unlock(http->options.pacer);
    return until_us > now_us ? (until_us - now_us) / 1000 + 1 : 0;
}

void hr__http_host_pause(hr_http *http, hr_http_host *host, uint64_t ms) {
    hr__pacer_lock(http->options.pacer);
    hr__pace_pause(&host->known->pace, hr__http_clock_us() + ms * 1000);
    hr__pacer_unlock(http->options.pacer);
}

uint32_t hr__http_host_window(hr_http *http, hr_http_host *host) {
    hr__pacer_lock(http->options.pacer);
    uint32_t window = host->known->pace.window;
    hr__pacer_unlock(http->options.pacer);
    return window;
}
