/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP by libcurl's multi interface. The loop thread owns the multi handle, all easy handles and all transfers; other
 * threads only put transfers into `submitted` and wake it.
 *
 *   submitted (lock) -> waiting (FIFO) -> running (a curl handle) -> done
 *                          ^                 |
 *                          +---- delayed <---+ 429, 5xx, network failure
 */
#include "http.h"

#include "retry.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

typedef struct transfer transfer;

struct transfer {
    transfer *next; /* in the one list it is in */
    hr_http *http;
    uint64_t number; /* order of submission */
    /* the request: copies in arena */
    hr_arena arena;
    char *method, *url, *body, *proxy, *ca_path, *cert_path, *key_path, *host;
    size_t body_size;
    struct curl_slist *headers;
    hr_http_request request; /* numbers and flags of it */
    /* the attempt at work */
    CURL *easy;
    hr_buf answer;
    hr_buf header_text; /* of the last answer */
    int status;
    uint32_t attempts;
    bool paused, too_big, no_memory;
    bool serial_start;           /* alone at its host by decision */
    uint64_t started_ms, due_ms; /* due: when a delayed transfer starts again */
    char message[CURL_ERROR_SIZE];
};

typedef struct transfer_list {
    transfer *first, *last;
} transfer_list;

#define HR_IDLE_HANDLES 32 /* easy handles kept for reuse: their buffers are most of a request's cost */

/* A host whose server answered 429: it is asked one request at a time from then on. */
#define HR_SERIAL_HOSTS 64

struct hr_http {
    hr_http_options options;
    CURLM *multi;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    transfer_list submitted; /* lock */
    hr_http_stats stats;     /* lock */
    bool cancel, stop;       /* lock */
    uint64_t n_submitted;    /* lock */
    /* @locality loop thread from here on */
    transfer_list waiting, running, delayed;
    uint32_t n_running;
    CURL *idle[HR_IDLE_HANDLES];
    size_t n_idle;
    char serial_hosts[HR_SERIAL_HOSTS][256];
    size_t n_serial_hosts;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void curl_start(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void list_push(transfer_list *list, transfer *t) {
    t->next = NULL;
    if (list->last == NULL) {
        list->first = t;
    } else {
        list->last->next = t;
    }
    list->last = t;
}

static void list_remove(transfer_list *list, transfer *t) {
    transfer *before = NULL;
    for (transfer *at = list->first; at != NULL; before = at, at = at->next) {
        if (at == t) {
            if (before == NULL) {
                list->first = at->next;
            } else {
                before->next = at->next;
            }
            if (list->last == t) {
                list->last = before;
            }
            t->next = NULL;
            return;
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- submit */

static void transfer_free(transfer *t) {
    const hr_allocator *alloc = t->http->options.alloc;
    curl_slist_free_all(t->headers);
    hr__buf_free(&t->answer);
    hr__buf_free(&t->header_text);
    hr__arena_free(&t->arena);
    hr__free(alloc, t);
}

/* Copies text into the arena; *ok becomes false when there is no memory. */
static char *copy(transfer *t, hr_str text, bool *ok) {
    char *out = hr__arena_copy(&t->arena, text.data, text.size_bytes);
    *ok = *ok && out != NULL;
    return out;
}

static bool copy_headers(transfer *t, const hr_http_request *request) {
    for (size_t i = 0; i < request->n_headers; i++) {
        const hr_http_header *header = &request->headers[i];
        size_t size = header->name.size_bytes + header->value.size_bytes + 3;
        char *line = hr__arena_alloc(&t->arena, size);
        if (line == NULL) {
            return false;
        }
        /* curl sends a header without value only as "Name;" */
        if (header->value.size_bytes == 0) {
            snprintf(line, size, "%.*s;", (int)header->name.size_bytes, header->name.data);
        } else {
            snprintf(line, size, "%.*s: %.*s", (int)header->name.size_bytes, header->name.data,
                     (int)header->value.size_bytes, header->value.data);
        }
        struct curl_slist *list = curl_slist_append(t->headers, line);
        if (list == NULL) {
            return false;
        }
        t->headers = list;
    }
    return true;
}

/* "host:port" of the URL, for limits and messages. */
static char *host_of(transfer *t, bool *ok) {
    const char *from = strstr(t->url, "://");
    from = from == NULL ? t->url : from + 3;
    size_t size = strcspn(from, "/?#");
    const char *at = memchr(from, '@', size);
    if (at != NULL) {
        size -= (size_t)(at + 1 - from);
        from = at + 1;
    }
    return copy(t, (hr_str){from, size}, ok);
}

int hr__http_submit(hr_http *http, const hr_http_request *request, hr_error *err) {
    const hr_allocator *alloc = http->options.alloc;
    for (size_t i = 0; i < request->n_headers; i++) {
        hr_str value = request->headers[i].value;
        if (memchr(value.data, '\n', value.size_bytes) != NULL || memchr(value.data, '\r', value.size_bytes) != NULL) {
            return hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH, "header %.*s holds a line break",
                                 (int)request->headers[i].name.size_bytes, request->headers[i].name.data);
        }
    }
    transfer *t = hr__calloc(alloc, 1, sizeof *t);
    if (t == NULL) {
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    t->http = http;
    t->request = *request;
    hr__arena_init(&t->arena, alloc, 0);
    hr__buf_init(&t->answer, alloc, 0);
    hr__buf_init(&t->header_text, alloc, (size_t)1 << 20);
    bool ok = true;
    t->method = copy(t, request->method, &ok);
    t->url = copy(t, request->url, &ok);
    t->proxy = copy(t, request->proxy, &ok);
    t->ca_path = copy(t, request->ca_path, &ok);
    t->cert_path = copy(t, request->cert_path, &ok);
    t->key_path = copy(t, request->key_path, &ok);
    if (request->body.data != NULL) {
        t->body = copy(t, request->body, &ok);
        t->body_size = request->body.size_bytes;
    }
    t->host = ok ? host_of(t, &ok) : NULL;
    if (!ok || !copy_headers(t, request)) {
        transfer_free(t);
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    pthread_mutex_lock(&http->lock);
    bool stopped = http->stop;
    if (!stopped) {
        t->number = http->n_submitted++;
        list_push(&http->submitted, t);
        http->stats.queued++;
    }
    pthread_mutex_unlock(&http->lock);
    if (stopped) {
        transfer_free(t);
        return hr__error_set(err, HR_CANCELLED, HR_STAGE_FETCH, "the run was cancelled");
    }
    curl_multi_wakeup(http->multi);
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- receiving */

/* The unfinished transfer submitted first: it always goes on, so that a full engine cannot lock up. */
static bool is_oldest(const transfer *t) {
    const transfer_list *lists[] = {&t->http->running, &t->http->delayed, &t->http->waiting};
    for (size_t i = 0; i < 3; i++) {
        for (const transfer *at = lists[i]->first; at != NULL; at = at->next) {
            if (at->number < t->number) {
                return false;
            }
        }
    }
    return true;
}

static bool is_full(const hr_http *http) {
    return http->options.is_full != NULL && http->options.is_full(http->options.ctx);
}

/* A Content-Length is believed up to this when room is made for a body. */
#define BELIEVED_LENGTH ((curl_off_t)64 << 20)

static size_t on_body(char *data, size_t size, size_t n, void *ctx) {
    transfer *t = ctx;
    size_t bytes = size * n;
    if (is_full(t->http) && !is_oldest(t)) {
        t->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (t->answer.size_bytes + bytes > t->request.max_body_bytes) {
        t->too_big = true;
        return 0;
    }
    if (t->answer.data == NULL) {
        curl_off_t length = -1;
        curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        size_t room = length > 0 ? (size_t)(length < BELIEVED_LENGTH ? length : BELIEVED_LENGTH) : bytes;
        if (hr__buf_reserve(&t->answer, room + HR_HTTP_BODY_PADDING) != HR_OK) {
            t->no_memory = true;
            return 0;
        }
    }
    if (hr__buf_reserve(&t->answer, bytes + HR_HTTP_BODY_PADDING) != HR_OK) {
        t->no_memory = true;
        return 0;
    }
    memcpy(t->answer.data + t->answer.size_bytes, data, bytes);
    t->answer.size_bytes += bytes;
    return bytes;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx) {
    transfer *t = ctx;
    size_t bytes = size * n;
    if (bytes >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        t->header_text.size_bytes = 0; /* headers of redirects and of "100 Continue" are not the answer's */
    }
    return hr__buf_append(&t->header_text, data, bytes) == HR_OK ? bytes : 0;
}

/* ---------------------------------------------------------------------------------------------------- starting */

static void set_options(transfer *t, CURL *easy) {
    const hr_http_request *r = &t->request;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_URL, t->url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->message);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 0L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else /* Ubuntu 22.04 has 7.81 */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, r->max_redirects > 0 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)r->max_redirects);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_timeout_ms);
    if (r->read_timeout_ms > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((r->read_timeout_ms + 999) / 1000));
    }
    curl_easy_setopt(easy, CURLOPT_PROXY, t->proxy); /* "" also keeps curl from reading the environment */
    if (t->ca_path[0] != '\0') {
        size_t size = strlen(t->ca_path);
        curl_easy_setopt(easy, t->ca_path[size - 1] == '/' ? CURLOPT_CAPATH : CURLOPT_CAINFO, t->ca_path);
    }
    if (t->cert_path[0] != '\0') {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, t->cert_path);
        if (t->key_path[0] != '\0') {
            curl_easy_setopt(easy, CURLOPT_SSLKEY, t->key_path);
        }
    }
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, r->verify_tls ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, r->verify_tls ? 2L : 0L);
    if (t->body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body_size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->body);
    }
    if (strcmp(t->method, "GET") == 0 && t->body == NULL) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    } else if (strcmp(t->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        if (t->body == NULL) {
            curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        }
    } else {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, t->method);
    }
}

static void transfer_end(transfer *t, hr_code code, CURLcode curl_code);
static bool is_serial(const hr_http *http, const char *host);

static void transfer_start(transfer *t) {
    hr_http *http = t->http;
    t->answer.size_bytes = 0;
    t->header_text.size_bytes = 0;
    t->status = 0;
    t->paused = t->too_big = t->no_memory = false;
    t->message[0] = '\0';
    t->attempts++;
    t->serial_start = is_serial(http, t->host);
    t->started_ms = now_ms();
    CURL *easy = http->n_idle > 0 ? http->idle[--http->n_idle] : curl_easy_init();
    if (easy == NULL) {
        transfer_end(t, HR_MEMORY, CURLE_OUT_OF_MEMORY);
        return;
    }
    t->easy = easy;
    set_options(t, easy);
    if (curl_multi_add_handle(http->multi, easy) != CURLM_OK) {
        curl_easy_cleanup(easy);
        t->easy = NULL;
        transfer_end(t, HR_MEMORY, CURLE_OUT_OF_MEMORY);
        return;
    }
    list_push(&http->running, t);
    http->n_running++;
}

/* ---------------------------------------------------------------------------------------------------- ending */

static hr_code code_of(CURLcode code) {
    switch (code) {
    case CURLE_OK:
        return HR_OK;
    case CURLE_OUT_OF_MEMORY:
        return HR_MEMORY;
    case CURLE_OPERATION_TIMEDOUT:
        return HR_TIMEOUT;
    case CURLE_TOO_MANY_REDIRECTS:
        return HR_REDIRECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return HR_TLS;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return HR_ARGUMENT;
    default:
        return HR_NETWORK;
    }
}

/* Fills the result's error; code is not HR_OK. */
static void error_of(const transfer *t, hr_code code, CURLcode curl_code, hr_error *err) {
    const char *why = t->message[0] != '\0' ? t->message : curl_easy_strerror(curl_code);
    switch (code) {
    case HR_CANCELLED:
        hr__error_set(err, code, HR_STAGE_FETCH, "the run was cancelled");
        break;
    case HR_MEMORY:
        hr__error_memory(err, HR_STAGE_FETCH);
        break;
    case HR_LIMIT:
        hr__error_set(err, code, HR_STAGE_FETCH,
                      "the answer of %s is larger than max_body_bytes (%llu bytes after decompression)", t->host,
                      (unsigned long long)t->request.max_body_bytes);
        break;
    case HR_REDIRECT:
        hr__error_set(err, code, HR_STAGE_FETCH, "%s redirected more than %u times", t->host, t->request.max_redirects);
        break;
    case HR_TLS:
        hr__error_set(err, code, HR_STAGE_FETCH, "no trusted TLS connection to %s: %s", t->host, why);
        break;
    case HR_TIMEOUT:
        hr__error_set(err, code, HR_STAGE_FETCH, "%s did not answer in time: %s", t->host, why);
        break;
    default:
        if (curl_code == CURLE_PARTIAL_FILE) {
            hr__error_set(err, code, HR_STAGE_FETCH, "the answer of %s is cut short: %s (%zu bytes came)", t->host, why,
                          t->answer.size_bytes);
        } else {
            hr__error_set(err, code, HR_STAGE_FETCH, "request to %s failed: %s", t->host, why);
        }
    }
    err->sys_code = (int)curl_code;
    err->http_status = t->status;
    err->retriable = code == HR_NETWORK || code == HR_TIMEOUT;
}

/* Splits the last answer's header lines. Returns how many; headers has room for max. */
static size_t split_headers(const transfer *t, hr_http_header *headers, size_t max, hr_str *reason) {
    const char *at = t->header_text.data, *end = at + t->header_text.size_bytes;
    size_t n = 0;
    bool first = true;
    *reason = (hr_str){"", 0};
    while (at != NULL && at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end == NULL ? end : line_end;
        const char *last = line_end > at && line_end[-1] == '\r' ? line_end - 1 : line_end;
        const char *colon = memchr(at, ':', (size_t)(last - at));
        if (first) { /* HTTP/1.1 200 OK */
            const char *space = memchr(at, ' ', (size_t)(last - at));
            space = space == NULL ? NULL : memchr(space + 1, ' ', (size_t)(last - space - 1));
            *reason = space == NULL ? *reason : (hr_str){space + 1, (size_t)(last - space - 1)};
            first = false;
        } else if (colon != NULL && n < max) {
            const char *value = colon + 1;
            while (value < last && (*value == ' ' || *value == '\t')) {
                value++;
            }
            headers[n++] = (hr_http_header){{at, (size_t)(colon - at)}, {value, (size_t)(last - value)}};
        }
        at = line_end + 1;
    }
    return n;
}

#define MAX_HEADERS 256 /* of an answer; more are dropped */

/* Hands the transfer's result over and frees it. It is in no list and has no handle. */
static void transfer_end(transfer *t, hr_code code, CURLcode curl_code) {
    hr_http *http = t->http;
    hr_http_header headers[MAX_HEADERS];
    hr_http_result result = {.tag = t->request.tag, .status = t->status, .attempts = t->attempts};
    result.error.offset_bytes = result.error.record = -1;
    char *url = NULL;
    if (t->easy != NULL) {
        curl_off_t wire = 0, total_us = 0;
        curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &wire);
        curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &total_us);
        curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
        result.wire_bytes = (uint64_t)wire;
        result.elapsed_ms = (double)total_us / 1000;
    }
    result.url = hr__str(url != NULL ? url : t->url);
    result.n_headers = split_headers(t, headers, MAX_HEADERS, &result.reason);
    result.headers = headers;
    if (code != HR_OK) {
        error_of(t, code, curl_code, &result.error);
    } else if (t->answer.data == NULL && hr__buf_reserve(&t->answer, HR_HTTP_BODY_PADDING) != HR_OK) {
        error_of(t, HR_MEMORY, curl_code, &result.error);
    }
    result.body = t->answer;
    hr__buf_init(&t->answer, http->options.alloc, 0);
    pthread_mutex_lock(&http->lock);
    http->stats.queued--;
    http->stats.wire_bytes += result.wire_bytes;
    http->stats.body_bytes += result.body.size_bytes;
    pthread_mutex_unlock(&http->lock);
    http->options.done(http->options.ctx, &result);
    hr__buf_free(&result.body);
    if (t->easy != NULL) {
        if (http->n_idle < HR_IDLE_HANDLES) {
            curl_easy_reset(t->easy);
            http->idle[http->n_idle++] = t->easy;
        } else {
            curl_easy_cleanup(t->easy);
        }
        t->easy = NULL;
    }
    transfer_free(t);
}

static void count_end(hr_http *http, bool retried, double delay_ms) {
    pthread_mutex_lock(&http->lock);
    http->stats.requests++;
    http->stats.retries += retried;
    http->stats.throttled_ms += delay_ms;
    pthread_mutex_unlock(&http->lock);
}

/* The value of a header of the last answer. */
static hr_str find_header(const transfer *t, const char *name) {
    hr_http_header headers[MAX_HEADERS];
    hr_str reason;
    size_t n = split_headers(t, headers, MAX_HEADERS, &reason);
    for (size_t i = 0; i < n; i++) {
        if (headers[i].name.size_bytes == strlen(name) &&
            strncasecmp(headers[i].name.data, name, headers[i].name.size_bytes) == 0) {
            return headers[i].value;
        }
    }
    return (hr_str){NULL, 0};
}

static bool is_serial(const hr_http *http, const char *host) {
    for (size_t i = 0; i < http->n_serial_hosts; i++) {
        if (strcmp(http->serial_hosts[i], host) == 0) {
            return true;
        }
    }
    return false;
}

/* Delay before a request is made again that was refused only because others were in flight (guessed: polite, short). */
#define PARALLEL_REFUSED_MS 100

/* A 429 while requests to the host were, or may have been, in flight side by side: from now on one at a time. Such an
 * answer is our fault, so it is no attempt. Returns whether it was one. */
static bool became_serial(hr_http *http, transfer *t) {
    if (t->status != 429 || t->serial_start || http->n_serial_hosts >= HR_SERIAL_HOSTS || strlen(t->host) > 255) {
        return false;
    }
    if (!is_serial(http, t->host)) {
        strcpy(http->serial_hosts[http->n_serial_hosts++], t->host);
    }
    return true;
}

/* A running transfer ended: again later, or its result. */
static void transfer_finished(transfer *t, CURLcode curl_code) {
    hr_http *http = t->http;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(http->multi, t->easy);
    list_remove(&http->running, t);
    http->n_running--;
    t->status = (int)status;
    hr_code code = t->too_big ? HR_LIMIT : t->no_memory ? HR_MEMORY : code_of(curl_code);
    bool parallel = code == HR_OK && became_serial(http, t);
    t->attempts -= parallel;
    bool again = code == HR_OK ? hr__retry_status(t->status) : code == HR_NETWORK || code == HR_TIMEOUT;
    if (again && t->attempts < t->request.retry.max_attempts) {
        hr_str after = code == HR_OK ? find_header(t, "Retry-After") : (hr_str){NULL, 0};
        uint32_t delay_ms =
            parallel && after.size_bytes == 0
                ? PARALLEL_REFUSED_MS
                : hr__retry_delay_ms(&t->request.retry, t->attempts < 1 ? 1 : t->attempts, after, (int64_t)time(NULL));
        t->due_ms = now_ms() + delay_ms;
        curl_easy_cleanup(t->easy);
        t->easy = NULL;
        list_push(&http->delayed, t);
        count_end(http, true, delay_ms);
        return;
    }
    count_end(http, false, 0);
    transfer_end(t, code, curl_code);
}

/* ---------------------------------------------------------------------------------------------------- the loop */

static uint32_t running_at_host(const hr_http *http, const char *host) {
    uint32_t n = 0;
    for (const transfer *t = http->running.first; t != NULL; t = t->next) {
        n += strcmp(t->host, host) == 0;
    }
    return n;
}

/* Takes what was submitted; cancels when asked. Returns whether the loop ends. */
static bool take_orders(hr_http *http) {
    pthread_mutex_lock(&http->lock);
    transfer_list submitted = http->submitted;
    http->submitted = (transfer_list){0};
    bool cancel = http->cancel, stop = http->stop;
    http->cancel = false;
    pthread_mutex_unlock(&http->lock);
    for (transfer *t = submitted.first, *next; t != NULL; t = next) {
        next = t->next;
        list_push(&http->waiting, t);
    }
    if (cancel || stop) {
        transfer_list *lists[] = {&http->waiting, &http->delayed, &http->running};
        for (size_t i = 0; i < 3; i++) {
            while (lists[i]->first != NULL) {
                transfer *t = lists[i]->first;
                list_remove(lists[i], t);
                if (i == 2) {
                    curl_multi_remove_handle(http->multi, t->easy);
                    http->n_running--;
                }
                transfer_end(t, HR_CANCELLED, CURLE_ABORTED_BY_CALLBACK);
            }
        }
    }
    return stop;
}

/* Moves due transfers back to the front, starts what may start. Returns milliseconds until the next is due. */
static int start_due(hr_http *http) {
    uint64_t now = now_ms();
    int timeout_ms = 1000;
    for (transfer *t = http->delayed.first, *next; t != NULL; t = next) {
        next = t->next;
        if (t->due_ms <= now) {
            list_remove(&http->delayed, t);
            t->next = http->waiting.first; /* before what was submitted later */
            http->waiting.first = t;
            http->waiting.last = http->waiting.last == NULL ? t : http->waiting.last;
        } else if (t->due_ms - now < (uint64_t)timeout_ms) {
            timeout_ms = (int)(t->due_ms - now) + 1;
        }
    }
    bool full = is_full(http);
    for (transfer *t = http->waiting.first, *next; t != NULL && http->n_running < http->options.max_in_flight;
         t = next) {
        next = t->next;
        uint32_t most = is_serial(http, t->host) ? 1 : http->options.max_in_flight_per_host;
        if (running_at_host(http, t->host) >= most || (full && !is_oldest(t))) {
            continue;
        }
        list_remove(&http->waiting, t);
        transfer_start(t);
    }
    return timeout_ms;
}

static void unpause(hr_http *http) {
    for (transfer *t = http->running.first, *next; t != NULL; t = next) {
        next = t->next;
        if (t->paused && (!is_full(http) || is_oldest(t))) {
            t->paused = false;
            curl_easy_pause(t->easy, CURLPAUSE_CONT);
        }
    }
}

static void *loop_main(void *arg) {
    hr_http *http = arg;
    while (!take_orders(http)) {
        int timeout_ms = start_due(http);
        unpause(http);
        int n_running;
        curl_multi_perform(http->multi, &n_running);
        CURLMsg *message;
        int left;
        bool ended = false;
        while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
            if (message->msg == CURLMSG_DONE) {
                transfer *t = NULL;
                CURLcode code = message->data.result;
                curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
                transfer_finished(t, code);
                ended = true;
            }
        }
        pthread_mutex_lock(&http->lock);
        http->stats.in_flight = http->n_running;
        if (http->n_running > http->stats.max_in_flight_seen) {
            http->stats.max_in_flight_seen = http->n_running;
        }
        pthread_mutex_unlock(&http->lock);
        if (!ended) {
            curl_multi_poll(http->multi, NULL, 0, timeout_ms, NULL);
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------- life */

int hr__http_new(const hr_http_options *options, hr_http **http_out, hr_error *err) {
    pthread_once(&curl_once, curl_start);
    hr_http *http = hr__calloc(options->alloc, 1, sizeof *http);
    if (http == NULL) {
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    http->options = *options;
    http->options.max_in_flight = options->max_in_flight == 0 ? 64 : options->max_in_flight;
    http->options.max_in_flight_per_host = options->max_in_flight_per_host == 0 ? 16 : options->max_in_flight_per_host;
    pthread_mutex_init(&http->lock, NULL);
    http->multi = curl_multi_init();
    if (http->multi == NULL) {
        hr__http_free(http);
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    int failed = pthread_create(&http->thread, NULL, loop_main, http);
    if (failed != 0) {
        hr__http_free(http);
        return hr__error_set(err, HR_INTERNAL, HR_STAGE_FETCH, "the loop thread could not be started: %s",
                             strerror(failed));
    }
    http->started = true;
    *http_out = http;
    return HR_OK;
}

void hr__http_wake(hr_http *http) {
    curl_multi_wakeup(http->multi);
}

void hr__http_cancel_all(hr_http *http) {
    pthread_mutex_lock(&http->lock);
    http->cancel = true;
    pthread_mutex_unlock(&http->lock);
    hr__http_wake(http);
}

void hr__http_stats_get(hr_http *http, hr_http_stats *stats_out) {
    pthread_mutex_lock(&http->lock);
    *stats_out = http->stats;
    pthread_mutex_unlock(&http->lock);
}

void hr__http_free(hr_http *http) {
    if (http == NULL) {
        return;
    }
    if (http->started) {
        pthread_mutex_lock(&http->lock);
        http->stop = true;
        pthread_mutex_unlock(&http->lock);
        hr__http_wake(http);
        pthread_join(http->thread, NULL);
    }
    for (size_t i = 0; i < http->n_idle; i++) {
        curl_easy_cleanup(http->idle[i]);
    }
    if (http->multi != NULL) {
        curl_multi_cleanup(http->multi);
    }
    pthread_mutex_destroy(&http->lock);
    hr__free(http->options.alloc, http);
}
