/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of fetch share: an engine, a call that waits for its answer, and the address of
 * tests/servers/faults.py, which starts the test programs.
 */
#ifndef FETCH_FIXTURE_H
#define FETCH_FIXTURE_H

#include "hrtest.h"
#include "http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* What was handed to `done`, copied. */
typedef struct outcome {
    int n_calls;
    int number; /* how many were done before */
    int status;
    char reason[64], url[1024];
    char headers[8192]; /* "name: value\n" each, cut */
    size_t n_headers;
    hr_buf body;
    uint32_t attempts, throttled;
    bool encoded;
    uint64_t wire_bytes;
    hr_error error;
} outcome;

typedef struct fixture {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n_done;
    bool drop_bodies; /* free them at once */
    hr_http *http;
} fixture;

static void copy_text(char *to, size_t cap, hr_str from) {
    snprintf(to, cap, "%.*s", (int)from.size_bytes, from.data == NULL ? "" : from.data);
}

static void fixture_done(void *ctx, hr_http_result *result) {
    fixture *fix = ctx;
    outcome *out = result->tag;
    pthread_mutex_lock(&fix->lock);
    out->n_calls++;
    out->number = fix->n_done++;
    out->status = result->status;
    copy_text(out->reason, sizeof out->reason, result->reason);
    copy_text(out->url, sizeof out->url, result->url);
    size_t at = 0;
    for (size_t i = 0; i < result->n_headers; i++) {
        const hr_http_header *header = &result->headers[i];
        int n = snprintf(out->headers + at, sizeof out->headers - at, "%.*s: %.*s\n", (int)header->name.size_bytes,
                         header->name.data, (int)header->value.size_bytes, header->value.data);
        at = at + (size_t)n < sizeof out->headers ? at + (size_t)n : sizeof out->headers - 1;
    }
    out->n_headers = result->n_headers;
    out->attempts = result->attempts;
    out->throttled = result->throttled;
    out->encoded = result->encoded;
    out->wire_bytes = result->wire_bytes;
    out->error = result->error;
    if (!fix->drop_bodies) {
        out->body = result->body;
        result->body.data = NULL;
    }
    pthread_cond_broadcast(&fix->changed);
    pthread_mutex_unlock(&fix->lock);
}

static int fixture_start(fixture *fix, hr_http_options options) {
    *fix = (fixture){.drop_bodies = fix->drop_bodies};
    pthread_mutex_init(&fix->lock, NULL);
    pthread_cond_init(&fix->changed, NULL);
    options.alloc = options.alloc == NULL ? &hr__allocator_libc : options.alloc;
    options.done = fixture_done;
    options.ctx = fix;
    hr_error err;
    int rc = hr__http_new(&options, &fix->http, &err);
    if (rc != HR_OK) {
        HR_CHECK_STR(hr__str(err.message), "out of memory");
    }
    return rc;
}

static void fixture_stop(fixture *fix) {
    hr__http_free(fix->http);
    fix->http = NULL;
    pthread_cond_destroy(&fix->changed);
    pthread_mutex_destroy(&fix->lock);
}

static void fixture_wait(fixture *fix, int n_done) {
    pthread_mutex_lock(&fix->lock);
    while (fix->n_done < n_done) {
        pthread_cond_wait(&fix->changed, &fix->lock);
    }
    pthread_mutex_unlock(&fix->lock);
}

static const char *faults(const char *name) {
    const char *value = getenv(name);
    if (value == NULL) {
        printf("%s is not set: run this program through tests/servers/faults.py\n", name);
        exit(2);
    }
    return value;
}

static unsigned faults_port(void) {
    return (unsigned)atoi(faults("HR_FAULTS_PORT"));
}

/* A GET of the fault server, tried once. `url` has room for 512 bytes. */
static hr_http_request faults_get(char *url, const char *path) {
    snprintf(url, 512, "http://127.0.0.1:%u%s", faults_port(), path);
    return (hr_http_request){
        .method = hr__str("GET"),
        .url = hr__str(url),
        .verify_tls = true,
        .connect_timeout_ms = 5000,
        .read_timeout_ms = 10000,
        .max_redirects = 30,
        .retry = {.max_attempts = 1, .backoff_ms = 1, .max_delay_ms = 20},
        .max_body_bytes = (uint64_t)64 << 20,
    };
}

/* Submits and waits. The outcome's body is the caller's: outcome_free. */
static outcome fetch(fixture *fix, hr_http_request request) {
    outcome out = {.n_calls = 0};
    hr__buf_init(&out.body, &hr__allocator_libc, 0);
    request.tag = &out;
    int before = fix->n_done;
    int rc = hr__http_submit(fix->http, &request, &out.error);
    if (rc == HR_OK) {
        fixture_wait(fix, before + 1);
        HR_CHECK_INT(out.n_calls, 1);
    }
    return out;
}

static inline void outcome_free(outcome *out) {
    hr__buf_free(&out->body);
}

static inline uint64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline hr_str body_of(const outcome *out) {
    return (hr_str){out->body.data, out->body.size_bytes};
}

/* Whether text holds part. Both may be binary-free only. */
static inline bool holds(hr_str text, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.size_bytes; i++) {
        if (memcmp(text.data + i, part, n) == 0) {
            return true;
        }
    }
    return false;
}

#define CHECK_HOLDS(text, part)                                                                           \
    do {                                                                                                  \
        hr_str text_ = (text);                                                                            \
        if (!holds(text_, (part))) {                                                                      \
            hrtest_failed++;                                                                              \
            printf("  %s:%d: \"%.*s\" does not hold \"%s\"\n", __FILE__, __LINE__, (int)text_.size_bytes, \
                   text_.data == NULL ? "" : text_.data, (part));                                         \
        }                                                                                                 \
    } while (0)
#define CHECK_LACKS(text, part) HR_CHECK(!holds((text), (part)))

/* A message's expectation: "@" stands for 127.0.0.1 and the fault server's port. */
static inline void check_message(const hr_error *err, const char *want) {
    char full[512];
    const char *at = strchr(want, '@');
    if (at == NULL) {
        snprintf(full, sizeof full, "%s", want);
    } else {
        snprintf(full, sizeof full, "%.*s127.0.0.1:%u%s", (int)(at - want), want, faults_port(), at + 1);
    }
    HR_CHECK_STR(hr__str(err->message), full);
}

#define JSON_3 "{\"items\": [{\"id\": 0}, {\"id\": 1}, {\"id\": 2}]}"

#endif
