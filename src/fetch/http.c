/* SPDX-License-Identifier: Apache-2.0
 *
 * Life, submit and the loop thread: who may start, who waits, who is cancelled. Other threads only put jobs into
 * `submitted` and wake the loop; all the rest is the loop thread's (http_core.h draws a job's way).
 */
#include "http_core.h"
#include "retry.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

/* Refusals of a request that are no attempt, because others were in flight at its host; from then on they are. */
#define MOST_OURS 8
/* So many requests are not kept from the loop thread, even if more follow. */
#define WAKE_AFTER 8
/* is_full is asked again this often even if nobody calls hr__http_wake. */
#define FULL_CHECK_MS 100
/* A header buffer larger than this is not kept for the next request. */
#define KEPT_HEADER_BYTES ((size_t)64 << 10)

#define DEFAULT_IN_FLIGHT_PER_HOST 16
#define DEFAULT_IN_FLIGHT 64
#define DEFAULT_MAX_PAUSE_MS (3600u * 1000)
#define MAX_IN_FLIGHT 4096

uint64_t hr__http_clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t hr__http_clock_ms(void) {
    return hr__http_clock_us() / 1000;
}

#define COUNT(counter, n) atomic_fetch_add_explicit(&(counter), (n), memory_order_relaxed)
#define READ(counter) atomic_load_explicit(&(counter), memory_order_relaxed)

/* ---------------------------------------------------------------------------------------------------- queues */

static void all_append(hr_http *http, hr_http_job *job) {
    job->prev = http->all.last;
    job->next = NULL;
    *(job->prev == NULL ? &http->all.first : &job->prev->next) = job;
    http->all.last = job;
}

static void all_remove(hr_http *http, hr_http_job *job) {
    *(job->prev == NULL ? &http->all.first : &job->prev->next) = job->next;
    *(job->next == NULL ? &http->all.last : &job->next->prev) = job->prev;
}

/* ---------------------------------------------------------------------------------------------------- back-pressure */

static bool is_full(const hr_http *http) {
    return http->options.is_full != NULL && http->options.is_full(http->options.ctx);
}

/* The oldest unfinished request always may, so that a full engine cannot lock up. */
bool hr__http_may_receive(const hr_http *http, const hr_http_job *job) {
    return job == http->all.first || !is_full(http);
}

/* ---------------------------------------------------------------------------------------------------- ending */

/* Takes the job off its transfer, which becomes idle. */
static void release(hr_http *http, hr_http_job *job) {
    hr_http_transfer *transfer = job->transfer;
    if (transfer == NULL) {
        return;
    }
    curl_multi_remove_handle(http->multi, transfer->easy);
    http->n_paused -= transfer->paused;
    hr__buf_free(&transfer->body);
    if (transfer->text.cap_bytes > KEPT_HEADER_BYTES) {
        hr__buf_free(&transfer->text);
    }
    transfer->paused = false;
    transfer->job = NULL;
    transfer->next_idle = http->idle;
    http->idle = transfer;
    job->transfer = NULL;
}

/* The job is no longer in flight; its transfer still holds its answer. What hr__http_host_end says. */
static bool land(hr_http *http, hr_http_job *job, hr_pace_end end) {
    hr_http_transfer *transfer = end == HR_PACE_ACCEPTED || end == HR_PACE_REFUSED ? job->transfer : NULL;
    job->state = HR_HTTP_STATE_UNSET;
    http->n_in_flight--;
    atomic_store_explicit(&http->in_flight, http->n_in_flight, memory_order_relaxed);
    return hr__http_host_end(http, job, end, transfer);
}

/* Hands over the result of a job that is in no queue, and frees the job. err NULL: an answer came. */
static void job_end(hr_http *http, hr_http_job *job, const hr_error *err) {
    hr_http_result result = {.tag = job->request.tag,
                             .reason = {"", 0},
                             .url = hr__str(hr__http_job_url(job)),
                             .attempts = job->attempts,
                             .throttled = job->throttled,
                             .window = job->host == NULL ? 1 : hr__http_host_window(http, job->host)};
    hr__buf_init(&result.body, http->options.alloc, 0);
    result.error = err != NULL ? *err : (hr_error){.offset_bytes = -1, .record = -1};
    if (job->transfer != NULL) {
        curl_off_t total_us = 0;
        curl_easy_getinfo(job->transfer->easy, CURLINFO_TOTAL_TIME_T, &total_us);
        result.elapsed_ms = (double)total_us / 1000;
        hr__http_transfer_result(job->transfer, &result);
    }
    COUNT(http->body_bytes, result.body.size_bytes);
    atomic_fetch_sub_explicit(&http->unfinished, 1, memory_order_relaxed);
    all_remove(http, job);
    http->options.done(http->options.ctx, &result);
    hr__buf_free(&result.body);
    release(http, job);
    if (job->host != NULL) {
        hr__http_host_leave(http, job->host);
    }
    hr__http_job_free(http->options.alloc, job);
}

static void job_cancel(hr_http *http, hr_http_job *job) {
    hr_error err;
    hr__http_error_cancelled(&err);
    if (job->state == HR_HTTP_QUEUED) {
        hr__http_host_dequeue(http, job);
    } else if (job->state == HR_HTTP_WAITING) {
        hr__http_queue_remove(&http->waiting, job);
    } else if (job->state == HR_HTTP_RUNNING) {
        curl_multi_remove_handle(http->multi, job->transfer->easy);
        land(http, job, HR_PACE_BROKEN);
    }
    job_end(http, job, &err);
}

/* Not before delay_ms. The job is in no queue. */
static void job_delay(hr_http *http, hr_http_job *job, uint32_t delay_ms) {
    job->wait_from_ms = http->now_ms;
    job->due_ms = http->now_ms + delay_ms;
    hr_http_job *before = http->waiting.last;
    while (before != NULL && before->due_ms > job->due_ms) {
        before = before->q_prev;
    }
    hr__http_queue_insert(&http->waiting, before, job);
    job->state = HR_HTTP_WAITING;
}

/* Later again, from its first URL. It is not in flight. */
static void job_wait(hr_http *http, hr_http_job *job, uint32_t delay_ms) {
    release(http, job);
    hr__http_job_rewind(http->options.alloc, job);
    job_delay(http, job, delay_ms);
    COUNT(http->retries, 1);
}

/* Whether the job may be made once more, after delay_ms. is_refused: the server has done nothing for it. */
static bool may_again(const hr_http *http, const hr_http_job *job, uint32_t delay_ms, bool is_refused) {
    const hr_http_retry *retry = &job->request.retry;
    return job->attempts < retry->max_attempts && hr__retry_method(retry, job->request.method, is_refused) &&
           hr__retry_in_time(retry, http->now_ms - job->begun_ms, delay_ms);
}

/* A body that libcurl cannot decode ("Content-Encoding: utf-8", gzip in several members, no gzip at all) is asked for
 * once more as it is: requests reads some of them. Whether this is such a failure. */
static bool became_as_is(hr_http *http, const hr_http_transfer *transfer, CURLcode curl_code) {
    hr_http_job *job = transfer->job;
    if ((curl_code != CURLE_BAD_CONTENT_ENCODING && curl_code != CURLE_WRITE_ERROR) || transfer->refused != HR_OK ||
        job->as_is || hr__http_transfer_header(transfer, "Content-Encoding").size_bytes == 0) {
        return false;
    }
    job->as_is = true;
    hr__pacer_lock(http->options.pacer);
    job->host->known->as_is = true;
    hr__pacer_unlock(http->options.pacer);
    return true;
}

static bool hop_start(hr_http *http, hr_http_job *job, hr_error *err);

/* Takes the job, whose answer is there, out of flight. Whether it is asked for again: then it waits for that. A 429 for
 * what else was asked of the host is our fault, so it is no attempt: pages stand in order, and what waits a back-off of
 * its own holds those behind it. To a request that was alone it is one where the server says when to come again, or the
 * user that it is not to be asked again. */
static bool refused_again(hr_http *http, hr_http_transfer *transfer) {
    hr_http_job *job = transfer->job;
    hr_http_retry retry = job->request.retry;
    bool refused = transfer->status == 429 || transfer->status == 503;
    hr_str after = hr__http_transfer_header(transfer, "Retry-After");
    int64_t now_s = (int64_t)time(NULL);
    uint32_t after_ms = hr__retry_after_ms(after, now_s, retry.max_delay_ms);
    bool ours = land(http, job,
                     refused                   ? HR_PACE_REFUSED
                     : transfer->status >= 500 ? HR_PACE_BROKEN
                                               : HR_PACE_ACCEPTED);
    job->throttled += refused;
    if (refused && after_ms > 0) {
        hr__http_host_pause(http, job->host, after_ms);
    }
    bool is_told = after.size_bytes > 0 || !hr__retry_status(&retry, 429);
    if (ours && !(is_told && job->ticket.level == 1) && transfer->status == 429 && job->n_ours < MOST_OURS &&
        hr__retry_in_time(&retry, http->now_ms - job->begun_ms, 0)) {
        job->n_ours++;
        job->attempts--;
        job_wait(http, job, 0); /* its host's pace says when */
        return true;
    }
    uint32_t delay_ms = hr__retry_delay_ms(&retry, job->attempts, after, now_s);
    if (!hr__retry_status(&retry, transfer->status) || !may_again(http, job, delay_ms, refused)) {
        return false;
    }
    job_wait(http, job,
             refused && after_ms > 0 ? 0 : delay_ms); /* 0: the whole host has a pause, it waits in its queue */
    return true;
}

/* An answer came whole: the next hop, again later, or the result. */
static void answered(hr_http *http, hr_http_transfer *transfer) {
    hr_http_job *job = transfer->job;
    hr_str location = hr__http_transfer_header(transfer, "Location");
    hr_error err;
    if (hr__redirect_status(transfer->status) && job->request.max_redirects > 0 && location.size_bytes > 0) {
        int rc = hr__http_job_redirect(http->options.alloc, job, transfer->status, location, &err);
        if (rc != HR_OK) {
            err.http_status = transfer->status;
            err.sys_code = rc == HR_REDIRECT ? CURLE_TOO_MANY_REDIRECTS : 0;
        }
        if (rc != HR_OK || !hop_start(http, job, &err)) {
            land(http, job, HR_PACE_BROKEN);
            job_end(http, job, &err);
        }
        return;
    }
    if (!refused_again(http, transfer)) {
        hr__http_host_count(http, job, true);
        job_end(http, job, NULL);
    }
}

/* curl is done with the transfer, or we are. */
static void finished(hr_http *http, hr_http_transfer *transfer, CURLcode curl_code) {
    hr_http_job *job = transfer->job;
    uint32_t delay_ms = hr__retry_delay_ms(&job->request.retry, job->attempts, (hr_str){NULL, 0}, 0);
    curl_off_t wire = 0, sent_us = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &wire);
    curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
    bool is_sent = sent_us > 0 || transfer->sent_bytes > 0;
    COUNT(http->wire_bytes, (uint64_t)wire);
    hr_error err;
    if (curl_code == CURLE_OK && transfer->in_headers) {
        curl_code = CURLE_GOT_NOTHING; /* closed within the headers: libcurl takes that for an empty body */
    }
    if (curl_code != CURLE_OK && !transfer->cut) { /* before the handle is removed: it knows the socket's error */
        hr__http_error_fill(transfer, curl_code, &err);
        job->throttled += err.code == HR_TIMEOUT;
    }
    curl_multi_remove_handle(http->multi, transfer->easy);
    http->n_paused -= transfer->paused;
    transfer->paused = false;
    if (curl_code == CURLE_OK || transfer->cut) {
        answered(http, transfer);
        return;
    }
    bool as_is = became_as_is(http, transfer, curl_code);
    land(http, job, !as_is && err.code == HR_TIMEOUT ? HR_PACE_SILENT : HR_PACE_BROKEN);
    if (as_is) {
        job->attempts--;
        job_wait(http, job, 0);
    } else if (err.retriable && may_again(http, job, delay_ms, !is_sent)) {
        job_wait(http, job, delay_ms);
    } else {
        hr__http_host_count(http, job, !err.retriable || transfer->status != 0);
        job_end(http, job, &err);
    }
}

/* ---------------------------------------------------------------------------------------------------- starting */

static int transfer_get(hr_http *http, hr_http_transfer **transfer_out) {
    if (http->idle == NULL) {
        assert(http->n_transfers <= http->options.max_in_flight);
        HR_TRY(hr__http_transfer_new(http, transfer_out));
        http->transfers[http->n_transfers++] = *transfer_out;
        return HR_OK;
    }
    *transfer_out = http->idle;
    http->idle = http->idle->next_idle;
    return HR_OK;
}

/* Starts the job's hop on its transfer. False: err tells why not. */
static bool hop_start(hr_http *http, hr_http_job *job, hr_error *err) {
    if (hr__http_transfer_start(job->transfer, err) != HR_OK) {
        return false;
    }
    COUNT(http->requests, 1);
    if (job->transfer->check_ms < http->check_ms) {
        http->check_ms = job->transfer->check_ms;
    }
    return true;
}

/* Of a job that its host lets start. */
static void job_start(hr_http *http, hr_http_job *job) {
    hr_error err;
    hr__http_host_dequeue(http, job);
    job->state = HR_HTTP_RUNNING;
    job->attempts++;
    job->begun_ms = job->begun_ms == 0 ? http->now_ms : job->begun_ms;
    http->n_in_flight++;
    atomic_store_explicit(&http->in_flight, http->n_in_flight, memory_order_relaxed);
    if (http->n_in_flight > READ(http->max_in_flight_seen)) {
        atomic_store_explicit(&http->max_in_flight_seen, http->n_in_flight, memory_order_relaxed);
    }
    int rc = transfer_get(http, &job->transfer);
    if (rc != HR_OK) {
        hr__error_memory(&err, HR_STAGE_FETCH);
    } else {
        job->transfer->job = job;
    }
    if (rc != HR_OK || !hop_start(http, job, &err)) {
        land(http, job, HR_PACE_BROKEN);
        job_end(http, job, &err);
    }
}

/* Ends what is queued for hosts that are left alone. */
static void end_left_alone(hr_http *http) {
    hr_http_host *next = NULL;
    for (hr_http_host *host = http->queued_hosts; host != NULL; host = next) {
        next = host->queued_next;
        uint64_t left_ms = hr__http_host_left_ms(http, host);
        host->n_jobs++; /* so that it outlives its jobs */
        while (left_ms > 0 && host->queue.first != NULL) {
            hr_http_job *job = host->queue.first;
            hr_error err;
            hr__http_error_left_alone(job, left_ms, &err);
            hr__http_host_dequeue(http, job);
            job_end(http, job, &err);
        }
        hr__http_host_leave(http, host);
    }
}

/* When full only the oldest starts, and beyond the numbers in flight: paused transfers may fill them. */
static void start_queued(hr_http *http) {
    bool full = http->queued_hosts != NULL && is_full(http);
    http->held = full;
    http->start_due_us = UINT64_MAX;
    if (full) {
        hr_http_job *oldest = http->all.first;
        if (oldest->state == HR_HTTP_QUEUED && hr__http_host_may_force(http, oldest)) {
            job_start(http, oldest);
        }
        return;
    }
    for (hr_http_job *job; (job = hr__http_host_next(http)) != NULL;) {
        job_start(http, job);
    }
}

/* ---------------------------------------------------------------------------------------------------- the loop */

/* Takes what was submitted and cancels what shall be. Returns whether the loop ends. */
static bool take_orders(hr_http *http) {
    pthread_mutex_lock(&http->lock);
    hr_http_list submitted = http->submitted;
    http->submitted = (hr_http_list){NULL, NULL};
    bool stop = http->stop;
    pthread_mutex_unlock(&http->lock);
    while (submitted.first != NULL) {
        hr_http_job *job = submitted.first;
        hr__http_queue_remove(&submitted, job);
        all_append(http, job);
        job->host = hr__http_host_get(http, &job->origin);
        if (job->host == NULL) {
            hr_error err;
            hr__error_memory(&err, HR_STAGE_FETCH);
            job_end(http, job, &err);
            continue;
        }
        job->host->n_jobs++;
        if (job->request.delay_ms > 0) {
            job_delay(http, job, job->request.delay_ms);
        } else {
            hr__http_host_enqueue(http, job);
        }
    }
    while (http->all.first != NULL && http->all.first->number <= READ(http->cancelled_number)) {
        job_cancel(http, http->all.first);
    }
    return stop;
}

static void requeue_due(hr_http *http) {
    while (http->waiting.first != NULL && http->waiting.first->due_ms <= http->now_ms) {
        hr_http_job *job = http->waiting.first;
        hr__http_queue_remove(&http->waiting, job);
        COUNT(http->backoff_us, (http->now_ms - job->wait_from_ms) * 1000);
        hr__http_host_enqueue(http, job);
    }
}

static void resume_paused(hr_http *http) {
    for (uint32_t i = 0; i < http->n_transfers && http->n_paused > 0; i++) {
        hr_http_transfer *transfer = http->transfers[i];
        if (transfer->job == NULL || !transfer->paused || !hr__http_may_receive(http, transfer->job)) {
            continue;
        }
        transfer->paused = false;
        http->n_paused--;
        transfer->active_ms = http->now_ms;
        CURLcode rc = curl_easy_pause(transfer->easy, CURLPAUSE_CONT); /* hands over what it kept: may pause again */
        if (rc != CURLE_OK) {
            finished(http, transfer, rc);
        }
    }
}

static void end_silent(hr_http *http) {
    if (http->check_ms > http->now_ms) {
        return;
    }
    http->check_ms = UINT64_MAX;
    for (uint32_t i = 0; i < http->n_transfers; i++) {
        hr_http_transfer *transfer = http->transfers[i];
        if (transfer->job == NULL) {
            continue;
        }
        if (transfer->check_ms <= http->now_ms && hr__http_transfer_is_silent(transfer, http->now_ms)) {
            finished(http, transfer, CURLE_OPERATION_TIMEDOUT);
        } else if (transfer->check_ms < http->check_ms) {
            http->check_ms = transfer->check_ms;
        }
    }
}

static void reap(hr_http *http) {
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left)) != NULL;) {
        hr_http_transfer *transfer = NULL;
        CURLcode rc = message->data.result;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer) == CURLE_OK) {
            finished(http, transfer, rc);
        }
    }
}

/* Tells what was found early in bodies that are still coming. */
static void tell_early(hr_http *http) {
    for (uint32_t i = 0; i < http->n_transfers && http->has_early; i++) {
        hr_http_transfer *transfer = http->transfers[i];
        if (transfer->job == NULL || !transfer->has_early) {
            continue;
        }
        transfer->has_early = false;
        hr_str value = hr__http_transfer_early(transfer);
        if (value.data != NULL) {
            http->options.early(http->options.ctx, transfer->job->request.tag, value);
        }
    }
    http->has_early = false;
}

static uint64_t next_due_us(const hr_http *http) {
    uint64_t due_ms = http->check_ms;
    if (http->waiting.first != NULL && http->waiting.first->due_ms < due_ms) {
        due_ms = http->waiting.first->due_ms;
    }
    if ((http->held || http->n_paused > 0) && http->now_ms + FULL_CHECK_MS < due_ms) {
        due_ms = http->now_ms + FULL_CHECK_MS;
    }
    uint64_t due_us = due_ms == UINT64_MAX ? UINT64_MAX : due_ms * 1000;
    return http->start_due_us < due_us ? http->start_due_us : due_us;
}

static void *loop_main(void *arg) {
    hr_http *http = arg;
    for (;;) {
        http->now_ms = hr__http_clock_ms();
        if (take_orders(http)) {
            break;
        }
        requeue_due(http);
        resume_paused(http);
        end_left_alone(http);
        start_queued(http);
        end_silent(http);
        hr__http_sockets_run(http, next_due_us(http));
        reap(http);
        tell_early(http);
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------- any thread */

void hr__http_wake(hr_http *http) {
    if (!atomic_exchange_explicit(&http->woken, true, memory_order_acq_rel)) {
        ssize_t n = write(http->pipe_fds[1], "", 1);
        (void)n; /* a full pipe wakes as well */
    }
}

int hr__http_submit(hr_http *http, const hr_http_request *request, hr_error *err) {
    hr_http_job *job;
    HR_TRY(hr__http_job_new(http->options.alloc, request, &job, err));
    pthread_mutex_lock(&http->lock);
    bool stop = http->stop;
    if (!stop) {
        job->number = ++http->last_number;
        hr__http_queue_insert(&http->submitted, http->submitted.last, job);
        COUNT(http->unfinished, 1);
        http->n_unwoken++;
    }
    bool wake = !request->more || http->n_unwoken >= WAKE_AFTER;
    http->n_unwoken = wake ? 0 : http->n_unwoken;
    pthread_mutex_unlock(&http->lock);
    if (stop) {
        hr__http_job_free(http->options.alloc, job);
        return hr__http_error_cancelled(err);
    }
    if (wake) {
        hr__http_wake(http);
    }
    return HR_OK;
}

void hr__http_cancel_all(hr_http *http) {
    pthread_mutex_lock(&http->lock);
    atomic_store_explicit(&http->cancelled_number, http->last_number, memory_order_relaxed);
    pthread_mutex_unlock(&http->lock);
    hr__http_wake(http);
}

void hr__http_stats_get(hr_http *http, hr_http_stats *stats_out) {
    uint32_t in_flight = READ(http->in_flight), unfinished = READ(http->unfinished);
    uint64_t held_until_us = READ(http->held_until_us), now_us = hr__http_clock_us();
    *stats_out = (hr_http_stats){
        .requests = READ(http->requests),
        .retries = READ(http->retries),
        .wire_bytes = READ(http->wire_bytes),
        .body_bytes = READ(http->body_bytes),
        .in_flight = in_flight,
        .max_in_flight_seen = READ(http->max_in_flight_seen),
        .queued = unfinished > in_flight ? unfinished - in_flight : 0,
        .backoff_ms = (double)READ(http->backoff_us) / 1000,
        .throttled_ms = (double)READ(http->throttled_us) / 1000,
        .held_ms = held_until_us > now_us ? (double)(held_until_us - now_us) / 1000 : 0,
    };
}

/* ---------------------------------------------------------------------------------------------------- life */

/* The one global: libcurl wants to be initialised once in a process, and other users of it may be there. */
static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void curl_start(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool exists(const char *path) {
    return path != NULL && access(path, R_OK) == 0;
}

/* A libcurl that came in a wheel looks for certificates where the distribution has them on which it was built. */
static const char *find_ca_file(void) {
    static const char *const files[] = {
        "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Arch, Gentoo */
        "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL 7 and later */
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
        "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
        "/etc/ssl/cert.pem",                                 /* Alpine, macOS, BSD */
    };
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    if (info->age < CURLVERSION_SEVENTH || exists(info->cainfo) || exists(info->capath)) {
        return NULL;
    }
    const char *tls = info->ssl_version == NULL ? "" : info->ssl_version;
    if (strstr(tls, "SecureTransport") != NULL || strstr(tls, "Schannel") != NULL) { /* they have the system's store */
        return NULL;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (exists(files[i])) {
            return files[i];
        }
    }
    return NULL;
}

/* The loop thread takes no signals: they are Python's; SIGPIPE of a TLS library becomes EPIPE. Faults stay deliverable.
 */
static int start_thread(hr_http *http) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        sigdelset(&all, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&http->thread, NULL, loop_main, http);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

int hr__http_new(const hr_http_options *options, hr_http **http_out, hr_error *err) {
    pthread_once(&curl_once, curl_start);
    hr_http *http = hr__calloc(options->alloc, 1, sizeof *http);
    if (http == NULL) {
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    http->options = *options;
    uint32_t *in_flight = &http->options.max_in_flight, *per_host = &http->options.max_in_flight_per_host;
    *in_flight = *in_flight == 0 ? DEFAULT_IN_FLIGHT : *in_flight > MAX_IN_FLIGHT ? MAX_IN_FLIGHT : *in_flight;
    *per_host = *per_host == 0 ? DEFAULT_IN_FLIGHT_PER_HOST : *per_host;
    uint32_t *max_pause_ms = &http->options.max_pause_ms;
    *max_pause_ms = *max_pause_ms == 0 ? DEFAULT_MAX_PAUSE_MS : *max_pause_ms;
    http->options.pacer = options->pacer != NULL ? hr__pacer_ref(options->pacer) : hr__pacer_new();
    http->check_ms = UINT64_MAX;
    http->ca_file = find_ca_file();
    pthread_mutex_init(&http->lock, NULL); /* Linux and macOS: cannot fail with default attributes */
    http->number = http->options.pacer != NULL ? hr__pacer_number(http->options.pacer) : 0;
    int rc = http->options.pacer == NULL ? hr__error_memory(err, HR_STAGE_FETCH) : hr__http_sockets_init(http, err);
    if (rc != HR_OK) {
        goto fail;
    }
    http->transfers = hr__calloc(options->alloc, (size_t)*in_flight + 1, sizeof *http->transfers);
    if (http->transfers == NULL) {
        rc = hr__error_memory(err, HR_STAGE_FETCH);
        goto fail;
    }
    int failed = start_thread(http);
    if (failed != 0) {
        rc = hr__error_set(err, HR_INTERNAL, HR_STAGE_FETCH, "the loop thread could not be started: %s",
                           strerror(failed));
        goto fail;
    }
    http->started = true;
    *http_out = http;
    return HR_OK;
fail:
    hr__http_free(http);
    return rc;
}

void hr__http_free(hr_http *http) {
    if (http == NULL) {
        return;
    }
    const hr_allocator *alloc = http->options.alloc;
    if (http->started) {
        pthread_mutex_lock(&http->lock);
        http->stop = true;
        atomic_store_explicit(&http->cancelled_number, UINT64_MAX, memory_order_relaxed);
        pthread_mutex_unlock(&http->lock);
        hr__http_wake(http);
        pthread_join(http->thread, NULL);
    }
    for (uint32_t i = 0; http->transfers != NULL && i < http->n_transfers; i++) {
        hr__http_transfer_free(http->transfers[i]);
    }
    hr__http_sockets_free(http);
    hr__free(alloc, http->transfers);
    hr__pacer_unref(http->options.pacer);
    pthread_mutex_destroy(&http->lock);
    hr__free(alloc, http);
}
