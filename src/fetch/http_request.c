/* SPDX-License-Identifier: Apache-2.0
 *
 * A request checked and copied into one block, and what redirects make of it.
 */
#include "http_core.h"

#include <stdio.h>
#include <strings.h>

/* ---------------------------------------------------------------------------------------------------- URLs */

/* Copies a part of a URL in lower case. False: it does not fit. */
static bool copy_lower(char *to, size_t cap, const char *from) {
    size_t size = strlen(from);
    if (size >= cap) {
        return false;
    }
    for (size_t i = 0; i <= size; i++) {
        to[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] + 32) : from[i];
    }
    return true;
}

static CURLUcode origin_of(CURLU *parsed, hr_origin *origin_out) {
    char *scheme = NULL, *host = NULL, *port = NULL;
    CURLUcode rc = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
    rc = rc != CURLUE_OK ? rc : curl_url_get(parsed, CURLUPART_HOST, &host, 0);
    rc = rc != CURLUE_OK ? rc : curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    hr_origin origin = {.port = 0};
    if (rc == CURLUE_OK) {
        for (const char *at = port; *at >= '0' && *at <= '9'; at++) {
            origin.port = origin.port * 10 + (uint32_t)(*at - '0');
        }
        if (!copy_lower(origin.scheme, sizeof origin.scheme, scheme)) {
            rc = CURLUE_UNSUPPORTED_SCHEME;
        } else if (!copy_lower(origin.host, sizeof origin.host, host)) {
            rc = CURLUE_MALFORMED_INPUT;
        } else {
            *origin_out = origin;
        }
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return rc;
}

CURLUcode hr__http_origin_get(const char *url, hr_origin *origin_out) {
    CURLU *parsed = curl_url();
    if (parsed == NULL) {
        return CURLUE_OUT_OF_MEMORY;
    }
    CURLUcode rc = curl_url_set(parsed, CURLUPART_URL, url, CURLU_URLENCODE);
    rc = rc != CURLUE_OK ? rc : origin_of(parsed, origin_out);
    curl_url_cleanup(parsed);
    return rc;
}

static bool is_http(const hr_origin *origin) {
    return strcmp(origin->scheme, "http") == 0 || strcmp(origin->scheme, "https") == 0;
}

/* The scheme of text, for messages. */
static hr_str scheme_of(const char *text) {
    size_t size = strcspn(text, ":/?#");
    return text[size] == ':' && size < 32 ? (hr_str){text, size} : hr__str("none");
}

static bool is_name(hr_str name, const char *other) {
    return name.size_bytes == strlen(other) && strncasecmp(name.data, other, name.size_bytes) == 0;
}

static bool has_scheme(const char *url) {
    return url[strcspn(url, ":/?#")] == ':';
}

static bool is_http_text(const char *url) {
    return is_name(scheme_of(url), "http") || is_name(scheme_of(url), "https");
}

/* ---------------------------------------------------------------------------------------------------- headers */

static bool is_token(hr_str text) {
    for (size_t i = 0; i < text.size_bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL) {
            return false;
        }
    }
    return text.size_bytes > 0;
}

static bool has_control(hr_str text) {
    return text.size_bytes != 0 &&
           (memchr(text.data, '\r', text.size_bytes) != NULL || memchr(text.data, '\n', text.size_bytes) != NULL ||
            memchr(text.data, '\0', text.size_bytes) != NULL);
}

/* Headers that this side makes itself. Accept-Encoding: only what libcurl can decode may be asked for, or nothing. */
static bool is_ours(const hr_http_header *header) {
    static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Expect", "Cookie"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (is_name(header->name, names[i])) {
            return true;
        }
    }
    return (is_name(header->name, "Accept-Encoding") && !is_name(header->value, "identity")) ||
           (is_name(header->name, "Connection") && is_name(header->value, "keep-alive"));
}

/* The next of the lines; `rest` is what follows it. */
static hr_str next_line(hr_str *rest) {
    const char *end = memchr(rest->data, '\n', rest->size_bytes);
    hr_str line = {rest->data, end == NULL ? rest->size_bytes : (size_t)(end - rest->data)};
    size_t used = line.size_bytes + (end != NULL);
    *rest = (hr_str){rest->data + used, rest->size_bytes - used};
    return line;
}

static bool is_listed(hr_str lines, hr_str name) {
    while (lines.size_bytes > 0) {
        hr_str line = next_line(&lines);
        if (line.size_bytes == name.size_bytes && strncasecmp(line.data, name.data, name.size_bytes) == 0) {
            return true;
        }
    }
    return false;
}

static uint8_t kind_of(const hr_http_request *request, hr_str name) {
    bool secret = is_name(name, "Authorization") || is_name(name, "Proxy-Authorization") ||
                  is_listed(request->secret_headers, name);
    return secret                                                               ? HR_HEADER_CREDENTIALS
           : is_name(name, "Host")                                              ? HR_HEADER_HOST
           : is_name(name, "Content-Type") || is_name(name, "Content-Encoding") ? HR_HEADER_CONTENT
                                                                                : HR_HEADER_PLAIN;
}

static int check(const hr_http_request *request, hr_error *err) {
    if (!is_token(request->method)) {
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH, "the method is no HTTP token");
    }
    if (has_control(request->url) || has_control(request->proxy)) {
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH,
                             "the URL or the proxy holds a line break or a zero byte");
    }
    for (size_t i = 0; i < request->n_headers; i++) {
        const hr_http_header *header = &request->headers[i];
        if (!is_token(header->name)) {
            return hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH, "the name of header %zu is no HTTP token", i);
        }
        if (has_control(header->value)) {
            return hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH, "header %.*s holds a line break or a zero byte",
                                 (int)header->name.size_bytes, header->name.data);
        }
    }
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- packing */

/* Adds n + 1 bytes; SIZE_MAX stays SIZE_MAX. */
static size_t plus(size_t total, size_t n) {
    return __builtin_add_overflow(total, n, &total) || __builtin_add_overflow(total, (size_t)1, &total) ? SIZE_MAX
                                                                                                        : total;
}

static hr_str pack(char **at, hr_str text) {
    char *out = *at;
    if (text.size_bytes != 0) {
        memcpy(out, text.data, text.size_bytes);
    }
    out[text.size_bytes] = '\0';
    *at = out + text.size_bytes + 1;
    return (hr_str){out, text.size_bytes};
}

static void add_line(hr_http_job *job, char *line, uint8_t kind) {
    job->lines[job->n_lines].data = line;
    job->kinds[job->n_lines] = kind;
    job->n_lines++;
}

/* "Name: value"; curl sends a header without a value only as "Name;". */
static char *pack_line(char **at, const hr_http_header *header) {
    char *line = *at;
    bool empty = header->value.size_bytes == 0;
    pack(at, header->name);
    *at += -1;
    if (empty) {
        pack(at, hr__str(";"));
        return line;
    }
    pack(at, hr__str(": "));
    *at += -1;
    pack(at, header->value);
    return line;
}

/* Fills the job from its block; `at` is where the strings go. */
static void pack_request(hr_http_job *job, const hr_http_request *request, char *at) {
    hr_http_request *mine = &job->request;
    *mine = *request;
    mine->method = pack(&at, request->method);
    mine->url = pack(&at, request->url);
    mine->proxy = pack(&at, request->proxy);
    mine->ca_path = pack(&at, request->ca_path);
    mine->cert_path = pack(&at, request->cert_path);
    mine->key_path = pack(&at, request->key_path);
    mine->key_password = pack(&at, request->key_password);
    mine->resolve = pack(&at, request->resolve);
    mine->interface = pack(&at, request->interface);
    mine->allowed_hosts = pack(&at, request->allowed_hosts);
    mine->secret_headers = (hr_str){0}; /* has been heeded */
    mine->early_path = pack(&at, request->early_path);
    mine->early_header = pack(&at, request->early_header);
    mine->headers = NULL;
    mine->n_headers = 0;
    for (size_t i = 0; i < request->n_headers; i++) {
        const hr_http_header *header = &request->headers[i];
        job->has_type = job->has_type || is_name(header->name, "Content-Type");
        if (is_name(header->name, "Cookie")) {
            job->cookie = pack(&at, header->value).data;
        } else if (!is_ours(header)) {
            add_line(job, pack_line(&at, header), kind_of(request, header->name));
        }
    }
    add_line(job, (char *)pack(&at, hr__str("Expect:")).data, HR_HEADER_PLAIN); /* do not wait for "100 Continue" */
    add_line(job, (char *)pack(&at, hr__str("Content-Type:")).data, HR_HEADER_NO_TYPE);
    if (request->body.data != NULL) {
        mine->body = pack(&at, request->body);
    }
}

int hr__http_job_new(const hr_allocator *alloc, const hr_http_request *request, hr_http_job **job_out, hr_error *err) {
    HR_TRY(check(request, err));
    size_t n_lines = request->n_headers + 2; /* and Expect, Content-Type */
    size_t size = sizeof(hr_http_job), nodes_size;
    if (__builtin_mul_overflow(n_lines, sizeof(struct curl_slist) + 1, &nodes_size)) {
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    size = plus(size, nodes_size);
    const hr_str texts[] = {request->method,     request->url,          request->proxy,       request->ca_path,
                            request->cert_path,  request->key_path,     hr__str("Expect:"),   hr__str("Content-Type:"),
                            request->body,       request->resolve,      request->interface,   request->allowed_hosts,
                            request->early_path, request->early_header, request->key_password};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size = plus(size, texts[i].size_bytes);
    }
    for (size_t i = 0; i < request->n_headers; i++) {
        size = plus(plus(size, request->headers[i].name.size_bytes + 2), request->headers[i].value.size_bytes);
    }
    hr_http_job *job = size == SIZE_MAX ? NULL : hr__alloc(alloc, size);
    if (job == NULL) {
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    *job = (hr_http_job){.lines = (struct curl_slist *)(job + 1)};
    job->kinds = (uint8_t *)(job->lines + n_lines);
    pack_request(job, request, (char *)(job->kinds + n_lines));

    CURLUcode rc = hr__http_origin_get(job->request.url.data, &job->origin);
    if (rc == CURLUE_OUT_OF_MEMORY) {
        hr__error_memory(err, HR_STAGE_FETCH);
    } else if (!is_http_text(job->request.url.data)) {
        hr_str scheme = scheme_of(job->request.url.data);
        hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH, "expected an http or https URL, found scheme %.*s",
                      (int)scheme.size_bytes, scheme.data);
        rc = CURLUE_UNSUPPORTED_SCHEME;
    } else if (rc != CURLUE_OK) {
        hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH, "malformed URL: %s", curl_url_strerror(rc));
    } else if (!hr__http_job_allows(job, &job->origin)) {
        hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH, "%s is not one of the allowed hosts", job->origin.host);
        rc = CURLUE_BAD_HOSTNAME;
    }
    if (rc != CURLUE_OK) {
        hr__http_job_free(alloc, job);
        return rc == CURLUE_OUT_OF_MEMORY ? HR_MEMORY : HR_ARGUMENT;
    }
    job->hop_origin = job->origin;
    *job_out = job;
    return HR_OK;
}

void hr__http_job_free(const hr_allocator *alloc, hr_http_job *job) {
    if (job != NULL) {
        hr__free(alloc, job->hop_url);
        hr__free(alloc, job);
    }
}

/* ---------------------------------------------------------------------------------------------------- redirects */

/* "*.example.com" is every host below example.com, not that itself. */
static bool is_host(hr_str pattern, hr_str host) {
    if (pattern.size_bytes > 2 && pattern.data[0] == '*' && pattern.data[1] == '.') {
        pattern = (hr_str){pattern.data + 1, pattern.size_bytes - 1};
        if (host.size_bytes <= pattern.size_bytes) {
            return false;
        }
        host = (hr_str){host.data + host.size_bytes - pattern.size_bytes, pattern.size_bytes};
    }
    return pattern.size_bytes == host.size_bytes && strncasecmp(pattern.data, host.data, host.size_bytes) == 0;
}

bool hr__http_job_allows(const hr_http_job *job, const hr_origin *origin) {
    hr_str rest = job->request.allowed_hosts;
    if (rest.size_bytes == 0) {
        return true;
    }
    while (rest.size_bytes > 0) {
        if (is_host(next_line(&rest), hr__str(origin->host))) {
            return true;
        }
    }
    return false;
}

const char *hr__http_job_url(const hr_http_job *job) {
    return job->hop_url != NULL ? job->hop_url : job->request.url.data;
}

void hr__http_job_rewind(const hr_allocator *alloc, hr_http_job *job) {
    hr__free(alloc, job->hop_url);
    job->hop_url = NULL;
    job->hop_origin = job->origin;
    job->n_redirects = 0;
    job->dropped = 0;
    job->hop_get = false;
}

/* The absolute URL of location seen from base, without credentials when its origin is another. Of the allocator. */
static CURLUcode resolve(const hr_allocator *alloc, const hr_http_job *job, const char *location, hr_origin *origin_out,
                         char **url_out) {
    CURLU *parsed = curl_url();
    if (parsed == NULL) {
        return CURLUE_OUT_OF_MEMORY;
    }
    char *text = NULL, *copy = NULL;
    CURLUcode rc = curl_url_set(parsed, CURLUPART_URL, hr__http_job_url(job), CURLU_URLENCODE);
    rc = rc != CURLUE_OK ? rc : curl_url_set(parsed, CURLUPART_URL, location, CURLU_URLENCODE);
    rc = rc != CURLUE_OK ? rc : origin_of(parsed, origin_out);
    if (rc == CURLUE_OK && !hr__redirect_keeps_credentials(&job->hop_origin, origin_out)) {
        curl_url_set(parsed, CURLUPART_USER, NULL, 0);
        curl_url_set(parsed, CURLUPART_PASSWORD, NULL, 0);
    }
    rc = rc != CURLUE_OK ? rc : curl_url_get(parsed, CURLUPART_URL, &text, 0);
    if (rc == CURLUE_OK) {
        size_t size = strlen(text) + 1;
        copy = hr__alloc(alloc, size);
        if (copy == NULL) {
            rc = CURLUE_OUT_OF_MEMORY;
        } else {
            memcpy(copy, text, size);
            *url_out = copy;
        }
    }
    curl_free(text);
    curl_url_cleanup(parsed);
    return rc;
}

int hr__http_job_redirect(const hr_allocator *alloc, hr_http_job *job, int status, hr_str location, hr_error *err) {
    const hr_origin *from = &job->hop_origin;
    if (job->n_redirects >= job->request.max_redirects) {
        return hr__error_set(err, HR_REDIRECT, HR_STAGE_FETCH, "%s:%u redirected more than %u times (max_redirects)",
                             from->host, from->port, job->request.max_redirects);
    }
    char *terminated = hr__alloc(alloc, location.size_bytes + 1), *url = NULL;
    if (terminated == NULL) {
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    memcpy(terminated, location.data, location.size_bytes);
    terminated[location.size_bytes] = '\0';
    hr_origin to;
    CURLUcode rc = resolve(alloc, job, terminated, &to, &url);
    int out = HR_OK;
    if (rc == CURLUE_OUT_OF_MEMORY) {
        out = hr__error_memory(err, HR_STAGE_FETCH);
    } else if (rc == CURLUE_UNSUPPORTED_SCHEME || (rc == CURLUE_OK && !is_http(&to)) ||
               (rc != CURLUE_OK && has_scheme(terminated) && !is_http_text(terminated))) {
        hr_str scheme = scheme_of(terminated);
        out = hr__error_set(err, HR_REDIRECT, HR_STAGE_FETCH,
                            "%s:%u redirected to scheme %.*s: only http and https are followed", from->host, from->port,
                            (int)scheme.size_bytes, scheme.data);
    } else if (rc != CURLUE_OK) {
        out = hr__error_set(err, HR_REDIRECT, HR_STAGE_FETCH, "%s:%u redirected to a malformed URL: %s", from->host,
                            from->port, curl_url_strerror(rc));
    } else if (!hr__http_job_allows(job, &to)) {
        out = hr__error_set(err, HR_REDIRECT, HR_STAGE_FETCH,
                            "%s:%u redirected to %s, which is not one of the allowed hosts", from->host, from->port,
                            to.host);
    }
    hr__free(alloc, terminated);
    if (out != HR_OK) {
        hr__free(alloc, url);
        return out;
    }
    if (!hr__redirect_keeps_credentials(from, &to)) {
        job->dropped |= HR_HEADER_CREDENTIALS;
    }
    if (strcmp(from->host, to.host) != 0) {
        job->dropped |= HR_HEADER_HOST;
    }
    if (hr__redirect_drops_body(status)) {
        job->dropped |= HR_HEADER_CONTENT;
    }
    job->hop_get = job->hop_get || hr__redirect_is_get(status, job->request.method);
    job->n_redirects++;
    job->hop_origin = to;
    hr__free(alloc, job->hop_url);
    job->hop_url = url;
    return HR_OK;
}
