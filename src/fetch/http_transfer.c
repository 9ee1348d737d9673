/* SPDX-License-Identifier: Apache-2.0
 *
 * A job's hop on a curl handle: its options, what comes in, how it went. All of it on the loop thread.
 */
#include "http_core.h"
#include "retry.h"

#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

/* A Content-Length is believed up to this when room is made for a body; beyond, the buffer grows as bytes come
 * (guessed: more than nearly all pages, and not much to be cheated of). */
#define BELIEVED_BYTES ((curl_off_t)16 << 20)
/* JSON shrinks to a quarter or less; a first guess only. */
#define GUESSED_COMPRESSION 4
/* An unwanted body longer than this costs more than a new connection (guessed). */
#define DISCARD_BYTES ((uint64_t)256 << 10)
/* Of one answer; curl itself limits a line to 100 KiB. */
#define HEADER_BYTES ((size_t)1 << 20)
/* Measured on 2 KB and 128 KB bodies: larger read buffers cost page faults for small answers and win little. */
#define READ_BUFFER_BYTES (64L << 10)
/* A transfer is given up as lost this long after its connect timeout, which is libcurl's own to keep (guessed). */
#define LOST_MS 1000
/* A host name has 253 bytes at most; then port and addresses. */
#define RESOLVE_BYTES 1024
/* "No limit" for a connect: curl's 0 would be 300 s. */
#define NO_CONNECT_TIMEOUT_MS (24L * 3600 * 1000)

/* ---------------------------------------------------------------------------------------------------- headers */

/* A status line: forgets the answer before. */
static int answer_begins(hr_http_transfer *transfer, const char *line, size_t size) {
    transfer->text.size_bytes = 0;
    transfer->n_headers = 0;
    transfer->reason_at = transfer->reason_size = 0;
    transfer->status = 0;
    transfer->in_headers = true;
    HR_TRY(hr__buf_append(&transfer->text, line, size));
    const char *end = line + size;
    const char *space = memchr(line, ' ', size);
    if (space == NULL) {
        return HR_OK;
    }
    const char *at = space + 1;
    while (at < end && *at >= '0' && *at <= '9' && transfer->status < 1000) {
        transfer->status = transfer->status * 10 + (*at++ - '0');
    }
    at += at < end && *at == ' ';
    transfer->reason_at = (size_t)(at - line);
    transfer->reason_size = (size_t)(end - at);
    return HR_OK;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static int header_add(hr_http_transfer *transfer, const char *from, size_t size) {
    const hr_allocator *alloc = transfer->http->options.alloc;
    size_t line_at = transfer->text.size_bytes;
    HR_TRY(hr__buf_append(&transfer->text, from, size));
    const char *line = transfer->text.data + line_at, *end = line + size;
    if (is_blank(*line) && transfer->n_headers > 0) { /* RFC 9112, 5.2: a folded line goes on with the value */
        hr_http_span *last = &transfer->spans[transfer->n_headers - 1];
        last->value_size = transfer->text.size_bytes - last->value_at;
        return HR_OK;
    }
    const char *colon = memchr(line, ':', size);
    if (colon == NULL || colon == line) {
        return HR_OK;
    }
    const char *value = colon + 1;
    while (value < end && is_blank(*value)) {
        value++;
    }
    size_t n = transfer->n_headers + 1;
    HR_TRY(hr__grow(alloc, (void **)&transfer->spans, &transfer->spans_cap, n, sizeof *transfer->spans));
    HR_TRY(hr__grow(alloc, (void **)&transfer->views, &transfer->views_cap, n, sizeof *transfer->views));
    size_t name_size = (size_t)(colon - line);
    while (name_size > 0 && is_blank(line[name_size - 1])) {
        name_size--;
    }
    transfer->spans[transfer->n_headers++] =
        (hr_http_span){line_at, name_size, line_at + (size_t)(value - line), (size_t)(end - value)};
    if (name_size == strlen("Set-Cookie") && strncasecmp(line, "Set-Cookie", name_size) == 0) {
        transfer->has_cookies = true;
    }
    return HR_OK;
}

static uint64_t bytes_moved(const hr_http_transfer *transfer) {
    curl_off_t down = 0, up = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    return (uint64_t)down + (uint64_t)up;
}

static void mark_active(hr_http_transfer *transfer) {
    transfer->active_ms = transfer->http->now_ms;
    transfer->seen_bytes = bytes_moved(transfer);
}

static size_t on_header(char *data, size_t unit, size_t n, void *ctx) {
    hr_http_transfer *transfer = ctx;
    size_t bytes = unit * n, size = bytes;
    mark_active(transfer);
    while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r')) {
        size--;
    }
    int rc = HR_OK;
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        rc = answer_begins(transfer, data, size);
    } else if (size == 0) {
        transfer->in_headers = false;
    } else if (transfer->in_headers) { /* else a trailer: requests does not show them either */
        rc = header_add(transfer, data, size);
    }
    if (rc != HR_OK) {
        transfer->refused = (hr_code)rc;
        return 0;
    }
    return bytes;
}

hr_str hr__http_transfer_header(const hr_http_transfer *transfer, const char *name) {
    size_t size = strlen(name);
    for (size_t i = 0; i < transfer->n_headers; i++) {
        const hr_http_span *span = &transfer->spans[i];
        if (span->name_size == size && strncasecmp(transfer->text.data + span->name_at, name, size) == 0) {
            return (hr_str){transfer->text.data + span->value_at, span->value_size};
        }
    }
    return (hr_str){NULL, 0};
}

/* ---------------------------------------------------------------------------------------------------- body */

/* Before the first byte: is the body wanted, and how much room does it need? */
static int body_begins(hr_http_transfer *transfer) {
    hr_http *http = transfer->http;
    const hr_http_job *job = transfer->job;
    transfer->body_began = true;
    bool redirect = hr__redirect_status(transfer->status) && job->request.max_redirects > 0 &&
                    hr__http_transfer_header(transfer, "Location").size_bytes > 0;
    bool again =
        hr__retry_status(&job->request.retry, transfer->status) && job->attempts < job->request.retry.max_attempts &&
        job->request.retry.max_total_ms == 0 &&
        hr__retry_method(&job->request.retry, job->request.method, transfer->status == 429 || transfer->status == 503);
    transfer->discards = redirect || again;
    if (transfer->discards) {
        return HR_OK;
    }
    curl_off_t length = -1;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    bool encoded = hr__http_transfer_header(transfer, "Content-Encoding").size_bytes > 0;
    uint64_t most = job->request.max_body_bytes;
    if (length <= 0) {
        return HR_OK;
    }
    if (!encoded && most != 0 && (uint64_t)length > most) {
        return HR_LIMIT;
    }
    curl_off_t room = length > BELIEVED_BYTES ? BELIEVED_BYTES : length;
    room = encoded ? room * GUESSED_COMPRESSION : room;
    room = room > BELIEVED_BYTES ? BELIEVED_BYTES : room;
    size_t cap = (size_t)room + HR_HTTP_BODY_PADDING;
    cap = most != 0 && cap > most + HR_HTTP_BODY_PADDING ? (size_t)most + HR_HTTP_BODY_PADDING : cap;
    if (cap > transfer->body.cap_bytes && transfer->body.size_bytes == 0) { /* exactly: hr__grow would double */
        hr__buf_free(&transfer->body);
        transfer->body.data = hr__alloc(http->options.alloc, cap);
        if (transfer->body.data == NULL) {
            return HR_MEMORY;
        }
        transfer->body.cap_bytes = cap;
    }
    return HR_OK;
}

/* Looks for what the request wants early. It is told when this turn of the loop has not brought the whole body. */
static void look_early(hr_http_transfer *transfer) {
    const hr_http_request *request = &transfer->job->request;
    bool is_found = false;
    if (request->early_header.size_bytes > 0) {
        is_found = transfer->early.state == HR_EARLY_UNSET;
        transfer->early.state = HR_EARLY_NONE; /* once */
    } else if (transfer->early.state == HR_EARLY_MORE) {
        is_found = hr__early_scan(&transfer->early, transfer->body.data, transfer->body.size_bytes) == HR_EARLY_FOUND;
    }
    transfer->has_early = transfer->has_early || is_found;
    transfer->http->has_early = transfer->http->has_early || is_found;
}

hr_str hr__http_transfer_early(const hr_http_transfer *transfer) {
    const hr_http_request *request = &transfer->job->request;
    if (request->early_header.size_bytes > 0) {
        return hr__http_transfer_header(transfer, request->early_header.data);
    }
    return (hr_str){transfer->body.data + transfer->early.value_at, transfer->early.value_size};
}

static int body_append(hr_http_transfer *transfer, const char *data, size_t size) {
    hr_buf *body = &transfer->body;
    uint64_t most = transfer->job->request.max_body_bytes;
    if (most != 0 && (size > most || body->size_bytes > most - size)) {
        return HR_LIMIT;
    }
    HR_TRY(hr__buf_reserve(body, size + HR_HTTP_BODY_PADDING));
    return hr__buf_append(body, data, size);
}

/* HTTP/2 in libcurl before 8 cannot pause one stream: what comes for it blocks its whole connection, the oldest
 * request's stream too (lib/http2.c 7.88.1, on_data_chunk_recv: NGHTTP2_ERR_PAUSE). So only HTTP/1 pauses; over HTTP/2
 * the limit holds back the next requests. */
static bool can_pause(const hr_http_transfer *transfer) {
    long version = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
    return version == CURL_HTTP_VERSION_1_0 || version == CURL_HTTP_VERSION_1_1;
}

static size_t on_body(char *data, size_t unit, size_t n, void *ctx) {
    hr_http_transfer *transfer = ctx;
    hr_http *http = transfer->http;
    size_t size = unit * n;
    mark_active(transfer);
    if (transfer->job->number <= atomic_load_explicit(&http->cancelled_number, memory_order_relaxed)) {
        transfer->refused = HR_CANCELLED;
        return 0;
    }
    int rc = transfer->body_began ? HR_OK : body_begins(transfer);
    if (rc == HR_OK && transfer->discards) {
        transfer->discarded_bytes += size;
        transfer->cut = transfer->discarded_bytes > DISCARD_BYTES;
        return transfer->cut ? 0 : size;
    }
    if (rc == HR_OK && !hr__http_may_receive(http, transfer->job) && can_pause(transfer)) {
        transfer->paused = true;
        http->n_paused++;
        return CURL_WRITEFUNC_PAUSE;
    }
    rc = rc != HR_OK ? rc : body_append(transfer, data, size);
    if (rc != HR_OK) {
        transfer->refused = (hr_code)rc;
        return 0;
    }
    if (http->options.early != NULL && transfer->status == 200) {
        look_early(transfer);
    }
    return size;
}

/* ---------------------------------------------------------------------------------------------------- options */

/* The first failure is kept in rc. */
#define SET(option, ...)                                      \
    do {                                                      \
        if (rc == CURLE_OK) {                                 \
            rc = curl_easy_setopt(easy, option, __VA_ARGS__); \
        }                                                     \
    } while (0)

/* Links the header lines that this hop sends. */
static struct curl_slist *link_lines(hr_http_job *job) {
    struct curl_slist *first = NULL, **at = &first;
    bool has_type = job->has_type && (job->dropped & HR_HEADER_CONTENT) == 0;
    uint32_t dropped = job->dropped | (has_type ? HR_HEADER_NO_TYPE : 0);
    for (size_t i = 0; i < job->n_lines; i++) {
        if ((job->kinds[i] & dropped) == 0) {
            *at = &job->lines[i];
            at = &job->lines[i].next;
        }
    }
    *at = NULL;
    return first;
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static CURLcode set_tls(const hr_http *http, CURL *easy, const hr_http_request *request) {
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_SSL_VERIFYPEER, request->verify_tls ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, request->verify_tls ? 2L : 0L);
    const char *file = http->ca_file, *folder = http->ca_dir;
    if (request->ca_path.size_bytes != 0) {
        bool is_dir = is_folder(request->ca_path.data);
        file = is_dir ? NULL : request->ca_path.data;
        folder = is_dir ? request->ca_path.data : NULL;
    }
    if (file != NULL ||
        folder != NULL) { /* both are set: else libcurl's own folder is trusted beside the caller's file */
        SET(CURLOPT_CAINFO, file);
        SET(CURLOPT_CAPATH, folder);
    }
    if (request->cert_path.size_bytes != 0) {
        SET(CURLOPT_SSLCERT, request->cert_path.data);
    }
    if (request->key_path.size_bytes != 0) {
        SET(CURLOPT_SSLKEY, request->key_path.data);
    }
    if (request->cert_path.size_bytes != 0) { /* also where it is empty: else OpenSSL asks the terminal */
        SET(CURLOPT_KEYPASSWD, request->key_password.data);
    }
    if (rc == CURLE_OK && strncasecmp(request->proxy.data, "https:", 6) == 0) { /* may be unknown to this libcurl */
        curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, request->verify_tls ? 1L : 0L);
        curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, request->verify_tls ? 2L : 0L);
        if (file != NULL || folder != NULL) {
            curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, file);
            curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, folder);
        }
    }
    return rc;
}

static size_t on_send(char *to, size_t unit, size_t n, void *ctx) {
    hr_http_transfer *transfer = ctx;
    hr_str body = transfer->job->request.body;
    size_t left = body.size_bytes - transfer->sent_bytes, size = unit * n < left ? unit * n : left;
    memcpy(to, body.data + transfer->sent_bytes, size);
    transfer->sent_bytes += size;
    return size;
}

static bool is_http2(const hr_http_job *job) {
    return job->n_redirects == 0 && job->is_http2;
}

/* libcurl sends a request anew by itself when a connection that had carried others ends without a byte of an answer.
 * The server may have acted on it. Only HTTP/2 has refused streams, which it did not act on, and they look the same
 * here. */
static int on_rewind(void *ctx, curl_off_t offset, int origin) {
    hr_http_transfer *transfer = ctx;
    if (offset != 0 || origin != SEEK_SET || !is_http2(transfer->job)) {
        return CURL_SEEKFUNC_FAIL;
    }
    transfer->sent_bytes = 0;
    return CURL_SEEKFUNC_OK;
}

/* A body that is not sent anew. Of an empty one there is nothing that on_rewind could refuse: a connection of its own.
 */
static CURLcode set_body_once(hr_http_transfer *transfer, size_t size_bytes) {
    CURL *easy = transfer->easy;
    CURLcode rc = CURLE_OK;
    if (size_bytes == 0) {
        SET(CURLOPT_POSTFIELDS, "");
        SET(CURLOPT_FRESH_CONNECT, is_http2(transfer->job) ? 0L : 1L);
        return rc;
    }
    SET(CURLOPT_READFUNCTION, on_send);
    SET(CURLOPT_READDATA, transfer);
    SET(CURLOPT_SEEKFUNCTION, on_rewind);
    SET(CURLOPT_SEEKDATA, transfer);
    return rc;
}

/* GET and HEAD as such; everything else as a POST with another name, with Content-Length: 0 where there is no body, as
 * requests has it. */
static CURLcode set_method(hr_http_transfer *transfer) {
    CURL *easy = transfer->easy;
    const hr_http_job *job = transfer->job;
    CURLcode rc = CURLE_OK;
    const hr_http_request *request = &job->request;
    hr_str method = job->hop_get ? hr__str("GET") : request->method;
    bool has_body = request->body.data != NULL && (job->dropped & HR_HEADER_CONTENT) == 0;
    if (hr__str_eq(method, hr__str("HEAD"))) {
        SET(CURLOPT_NOBODY, 1L);
        return rc;
    }
    if (hr__str_eq(method, hr__str("GET")) && !has_body) {
        SET(CURLOPT_HTTPGET, 1L);
        return rc;
    }
    size_t size_bytes = has_body ? request->body.size_bytes : 0;
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size_bytes);
    if (hr__retry_method(&request->retry, method, false)) {
        SET(CURLOPT_POSTFIELDS, has_body ? request->body.data : "");
    } else {
        rc = rc != CURLE_OK ? rc : set_body_once(transfer, size_bytes);
    }
    if (!hr__str_eq(method, hr__str("POST"))) {
        SET(CURLOPT_CUSTOMREQUEST, method.data);
    }
    return rc;
}

/* The lines of the request's resolve as curl wants them. */
static CURLcode set_resolve(hr_http_transfer *transfer) {
    CURL *easy = transfer->easy;
    CURLcode rc = CURLE_OK;
    hr_str rest = transfer->job->request.resolve;
    while (rest.size_bytes > 0) {
        const char *end = memchr(rest.data, '\n', rest.size_bytes);
        size_t size = end == NULL ? rest.size_bytes : (size_t)(end - rest.data);
        char line[RESOLVE_BYTES];
        if (size >= sizeof line) {
            return CURLE_BAD_FUNCTION_ARGUMENT;
        }
        memcpy(line, rest.data, size);
        line[size] = '\0';
        struct curl_slist *longer = curl_slist_append(transfer->resolve, line);
        if (longer == NULL) {
            return CURLE_OUT_OF_MEMORY;
        }
        transfer->resolve = longer;
        size += end != NULL;
        rest = (hr_str){rest.data + size, rest.size_bytes - size};
    }
    SET(CURLOPT_RESOLVE, transfer->resolve);
    return rc;
}

/* By which way, beside the proxy. */
static CURLcode set_way(hr_http_transfer *transfer) {
    CURL *easy = transfer->easy;
    const hr_http_request *request = &transfer->job->request;
    CURLcode rc = CURLE_OK;
    curl_slist_free_all(transfer->resolve);
    transfer->resolve = NULL;
    if (request->resolve.size_bytes > 0) {
        rc = set_resolve(transfer);
    }
    if (request->interface.size_bytes > 0) {
        SET(CURLOPT_INTERFACE, request->interface.data);
    }
    if (request->min_tls != 0) {
        static const long versions[] = {CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_TLSv1_2,
                                        CURL_SSLVERSION_TLSv1_3};
        uint32_t version = request->min_tls < 10 ? 10 : request->min_tls > 13 ? 13 : request->min_tls;
        SET(CURLOPT_SSLVERSION, versions[version - 10]);
    }
    return rc;
}

static CURLcode set_options(hr_http_transfer *transfer) {
    CURL *easy = transfer->easy;
    hr_http_job *job = transfer->job;
    const hr_http_request *request = &job->request;
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->message);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_URL, hr__http_job_url(job));
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else /* Ubuntu 22.04 has 7.81 */
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(CURLOPT_QUICK_EXIT, 1L); /* else a slow name server holds up cancelling */
#endif
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_HTTPHEADER, link_lines(job));
    SET(CURLOPT_ACCEPT_ENCODING, ""); /* all that this libcurl decodes */
    SET(CURLOPT_HTTP_CONTENT_DECODING, job->as_is ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, READ_BUFFER_BYTES); /* refused when 7.88 kept a buffer: of this size */
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        request->connect_timeout_ms == 0 ? NO_CONNECT_TIMEOUT_MS : (long)request->connect_timeout_ms);
    SET(CURLOPT_PROXY, request->proxy.data); /* "": none; set always, so that the environment is not read */
    SET(CURLOPT_NOPROXY, "");
    rc = rc != CURLE_OK ? rc : set_way(transfer);
    if (!transfer->cookies_on) { /* cookies of a redirect go with the next hop; kept in the handle from now on */
        /* An empty cookie starts the cookie engine too. CURLOPT_COOKIEFILE "" is the documented way, but
         * curl_easy_reset loses its list (7.88: 17 bytes a handle). */
        SET(CURLOPT_COOKIELIST, "Set-Cookie:");
        transfer->cookies_on = rc == CURLE_OK;
    }
    if (job->cookie != NULL && (job->dropped & HR_HEADER_HOST) == 0) {
        SET(CURLOPT_COOKIE, job->cookie);
    }
    /* HTTP/2 by ALPN only: 7.88 breaks on cleartext prior knowledge (curl issue 10634). */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS); /* may not be built in */
    if (strcmp(job->hop_origin.scheme, "https") == 0) {
        SET(CURLOPT_PIPEWAIT, 1L); /* rather one connection with streams than one handshake a request */
        rc = rc != CURLE_OK ? rc : set_tls(transfer->http, easy, request);
    }
    return rc != CURLE_OK ? rc : set_method(transfer);
}

/* ---------------------------------------------------------------------------------------------------- life */

int hr__http_transfer_new(hr_http *http, hr_http_transfer **transfer_out) {
    hr_http_transfer *transfer = hr__calloc(http->options.alloc, 1, sizeof *transfer);
    if (transfer == NULL) {
        return HR_MEMORY;
    }
    transfer->http = http;
    hr__buf_init(&transfer->body, http->options.alloc, 0);
    hr__buf_init(&transfer->text, http->options.alloc, HEADER_BYTES);
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL) {
        hr__http_transfer_free(transfer);
        return HR_MEMORY;
    }
    *transfer_out = transfer;
    return HR_OK;
}

void hr__http_transfer_free(hr_http_transfer *transfer) {
    if (transfer == NULL) {
        return;
    }
    const hr_allocator *alloc = transfer->http->options.alloc;
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->resolve);
    hr__buf_free(&transfer->body);
    hr__buf_free(&transfer->text);
    hr__free(alloc, transfer->spans);
    hr__free(alloc, transfer->views);
    hr__free(alloc, transfer);
}

int hr__http_transfer_start(hr_http_transfer *transfer, hr_error *err) {
    hr_http *http = transfer->http;
    const hr_http_job *job = transfer->job;
    transfer->body.size_bytes = 0;
    transfer->text.size_bytes = 0;
    transfer->n_headers = transfer->reason_at = transfer->reason_size = 0;
    transfer->sent_bytes = 0;
    transfer->status = 0;
    transfer->in_headers = transfer->body_began = transfer->paused = false;
    transfer->discards = transfer->cut = transfer->silent = false;
    transfer->refused = HR_OK;
    transfer->has_early = false;
    transfer->early = (hr_early){.state = HR_EARLY_UNSET};
    if (job->request.early_path.size_bytes > 0) {
        hr__early_init(&transfer->early, job->request.early_path);
    }
    transfer->discarded_bytes = transfer->seen_bytes = 0;
    transfer->message[0] = '\0';
    transfer->begun_ms = transfer->active_ms = http->now_ms;
    transfer->check_ms = job->request.read_timeout_ms == 0 ? UINT64_MAX : http->now_ms + job->request.read_timeout_ms;
    curl_easy_reset(transfer->easy);
    if (transfer->has_cookies && job->n_redirects == 0) { /* curl_easy_reset keeps cookies: they are another job's */
        curl_easy_setopt(transfer->easy, CURLOPT_COOKIELIST, "ALL");
        transfer->has_cookies = false;
    }
    CURLcode rc = set_options(transfer);
    if (rc == CURLE_OK && curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK) {
        rc = CURLE_OUT_OF_MEMORY;
    }
    return rc == CURLE_OK ? HR_OK : hr__http_error_fill(transfer, rc, err);
}

/* libcurl that was short of memory can lose a transfer: neither socket nor timer, for good (7.88, each allocation
 * failing in turn). Only one that is alone: others may wait for a stream of the one connection. */
static bool is_lost(const hr_http_transfer *transfer, uint64_t now_ms) {
    uint64_t timeout_ms = transfer->job->request.connect_timeout_ms;
    return timeout_ms != 0 && transfer->http->n_in_flight == 1 && now_ms >= transfer->begun_ms + timeout_ms + LOST_MS;
}

bool hr__http_transfer_is_silent(hr_http_transfer *transfer, uint64_t now_ms) {
    uint64_t timeout_ms = transfer->job->request.read_timeout_ms;
    curl_off_t connected_us = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    uint64_t bytes = bytes_moved(transfer), from_ms = transfer->active_ms;
    uint64_t connected_ms = transfer->begun_ms + (uint64_t)connected_us / 1000;
    if (connected_us == 0 && is_lost(transfer, now_ms)) {
        return true;
    }
    if (connected_us == 0 || transfer->paused || bytes != transfer->seen_bytes) {
        from_ms = now_ms; /* connecting has its own timeout; or something moved that no callback told of */
    } else if (connected_ms > from_ms) {
        from_ms = connected_ms;
    }
    transfer->seen_bytes = bytes;
    transfer->check_ms = from_ms + timeout_ms;
    transfer->silent = transfer->check_ms <= now_ms;
    return transfer->silent;
}

const hr_http_header *hr__http_transfer_headers(hr_http_transfer *transfer, size_t *n_out) {
    const char *text = transfer->text.data;
    for (size_t i = 0; i < transfer->n_headers; i++) {
        const hr_http_span *span = &transfer->spans[i];
        transfer->views[i] =
            (hr_http_header){{text + span->name_at, span->name_size}, {text + span->value_at, span->value_size}};
    }
    *n_out = transfer->n_headers;
    return transfer->views;
}

void hr__http_transfer_result(hr_http_transfer *transfer, hr_http_result *result) {
    const char *text = transfer->text.data;
    curl_off_t wire = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &wire);
    result->wire_bytes = (uint64_t)wire;
    result->status = transfer->status;
    result->encoded = transfer->job->as_is && hr__http_transfer_header(transfer, "Content-Encoding").size_bytes > 0;
    if (transfer->reason_size != 0) {
        result->reason = (hr_str){text + transfer->reason_at, transfer->reason_size};
    }
    result->headers = hr__http_transfer_headers(transfer, &result->n_headers);
    if (result->error.code == HR_OK) { /* the padding is zero: read, but never as data */
        if (hr__buf_reserve(&transfer->body, HR_HTTP_BODY_PADDING) != HR_OK) {
            hr__error_memory(&result->error, HR_STAGE_FETCH);
        } else {
            memset(transfer->body.data + transfer->body.size_bytes, 0, HR_HTTP_BODY_PADDING);
            result->body = transfer->body;
            hr__buf_init(&transfer->body, transfer->http->options.alloc, 0);
        }
    }
    hr__buf_free(&transfer->body);
}
