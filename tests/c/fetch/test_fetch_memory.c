/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: each allocation failing in turn, ours and those that libcurl makes for us. A request must end, once, in its
 * answer or in "out of memory"; nothing may leak (ASan and the count of what is live).
 */
#include "fetch_fixture.h"
#include "http_core.h"

#define MAX_RUNS 3000

/* Allocators for two threads. fail_at: this call and, if `for_good`, all later ones return NULL; -1: none. */
typedef struct failing {
    _Atomic int64_t calls, fail_at, live;
    bool for_good;
} failing;

static failing ours, curls;

static bool fails(failing *state) {
    int64_t call = atomic_fetch_add(&state->calls, 1), fail_at = atomic_load(&state->fail_at);
    return fail_at >= 0 && (call == fail_at || (state->for_good && call > fail_at));
}

static void *counted(failing *state, void *ptr) {
    atomic_fetch_add(&state->live, ptr != NULL);
    return ptr;
}

static void *our_malloc(void *ctx, size_t size_bytes) {
    (void)ctx;
    return fails(&ours) ? NULL : counted(&ours, malloc(size_bytes));
}

static void *our_realloc(void *ctx, void *ptr, size_t old_size_bytes, size_t size_bytes) {
    (void)ctx;
    (void)old_size_bytes;
    if (fails(&ours)) {
        return NULL;
    }
    return ptr == NULL ? counted(&ours, malloc(size_bytes)) : realloc(ptr, size_bytes);
}

static void our_free(void *ctx, void *ptr) {
    (void)ctx;
    atomic_fetch_sub(&ours.live, ptr != NULL);
    free(ptr);
}

static const hr_allocator our_allocator = {our_malloc, our_realloc, our_free, NULL};

static void *curl_malloc(size_t size_bytes) {
    return fails(&curls) ? NULL : malloc(size_bytes);
}
static void *curl_realloc(void *ptr, size_t size_bytes) {
    return fails(&curls) ? NULL : realloc(ptr, size_bytes);
}
static char *curl_strdup(const char *text) {
    return fails(&curls) ? NULL : strdup(text);
}
static void *curl_calloc(size_t n, size_t size_bytes) {
    return fails(&curls) ? NULL : calloc(n, size_bytes);
}

/* ---------------------------------------------------------------------------------------------------- what is asked */

static const hr_http_header headers[] = {
    {{"Authorization", 13}, {"Bearer x", 8}}, {{"Cookie", 6}, {"a=1", 3}}, {{"Content-Type", 12}, {"text/plain", 10}}};

/* Number `kind` of the requests that are swept; `run` makes the server see each run as new. False: there is no such. */
static bool request_of(int kind, int64_t run, char *url, hr_http_request *request_out) {
    char path[256];
    const char *paths[] = {
        "/redirect-to?url=/gzip&code=307&cookie=b%%3D2&run=%lld", /* a redirect with a cookie, a compressed body */
        "/status/503?times=1&run=%lld",                           /* asked for twice */
        "/redirect-to?url=http://localhost:%lld/json",            /* to another host: set below */
        "/big?bytes=300000&run=%lld",
        "/many-headers?n=100&run=%lld",
    };
    if (kind >= (int)(sizeof paths / sizeof *paths)) {
        return false;
    }
    snprintf(path, sizeof path, paths[kind], kind == 2 ? (long long)faults_port() : (long long)run);
    *request_out = faults_get(url, path);
    request_out->method = hr__str(kind == 0 ? "POST" : "GET");
    request_out->headers = headers;
    request_out->n_headers = kind == 0 ? 3 : 2;
    request_out->body = kind == 0 ? hr__str("{}") : (hr_str){NULL, 0};
    request_out->retry.max_attempts = 2;
    return true;
}

/* ---------------------------------------------------------------------------------------------------- sweeps */

/* From a new engine to its end. */
static int whole_life(int kind, int64_t run) {
    char url[512];
    hr_http_request request;
    request_of(kind, run, url, &request);
    fixture fix = {.drop_bodies = true};
    int rc = fixture_start(&fix, (hr_http_options){.alloc = &our_allocator, .max_in_flight = 2});
    if (rc == HR_OK) {
        outcome out = fetch(&fix, request);
        rc = out.error.code;
        HR_CHECK_INT(out.status, rc == HR_OK ? 200 : out.status);
        if (rc != HR_OK) {
            HR_CHECK_STR(hr__str(out.error.message), "out of memory");
        }
        fixture_stop(&fix);
    }
    return rc;
}

HR_CASE(our_allocations_fail_in_turn) {
    char url[512];
    hr_http_request request;
    ours.for_good = true;
    for (int kind = 0; request_of(kind, 0, url, &request); kind++) {
        int64_t run = 0;
        for (int rc = HR_MEMORY; rc != HR_OK && run < MAX_RUNS; run++) {
            atomic_store(&ours.calls, 0);
            atomic_store(&ours.fail_at, run);
            rc = whole_life(kind, run);
            HR_CHECK(rc == HR_OK || rc == HR_MEMORY);
            HR_CHECK_INT(atomic_load(&ours.live), 0);
        }
        HR_CHECK(run > 5 && run < MAX_RUNS);
        printf("  request %d: %lld allocations\n", kind, (long long)run - 1);
    }
    atomic_store(&ours.fail_at, -1);
}

/* What the loop thread does up to the first byte, in this one: a job, a transfer, its options, a redirect. */
static int until_started(int kind, int64_t run) {
    char url[512];
    hr_http_request request;
    hr_error err;
    request_of(kind, run, url, &request);
    request.ca_path = hr__str(faults("HR_FAULTS_CERT"));
    request.proxy = hr__str("http://user:secret@127.0.0.1:9");
    hr_http http = {.options = {.alloc = &our_allocator, .max_in_flight = 2}, .check_ms = UINT64_MAX};
    hr_http_job *job = NULL;
    hr_http_transfer *transfer = NULL;
    int rc = hr__http_sockets_init(&http, &err);
    rc = rc != HR_OK ? rc : hr__http_job_new(&our_allocator, &request, &job, &err);
    rc = rc != HR_OK ? rc : hr__http_transfer_new(&http, &transfer);
    for (int hop = 0; hop < 3 && rc == HR_OK; hop++) {
        transfer->job = job;
        rc = hr__http_transfer_start(transfer, &err);
        if (rc == HR_OK) {
            curl_multi_remove_handle(http.multi, transfer->easy);
            rc = hr__http_job_redirect(&our_allocator, job, 302, hr__str(hop == 0 ? "https://h:1/x" : "../y?z"), &err);
        }
    }
    hr__http_transfer_free(transfer);
    hr__http_job_free(&our_allocator, job);
    hr__http_sockets_free(&http);
    return rc;
}

/* Only in what we ask of it: later, in the midst of a connection, libcurl 7.88 itself divides by zero when the table of
 * its sockets gets no memory. */
HR_CASE(libcurls_allocations_fail_in_turn) {
    char url[512];
    hr_http_request request;
    for (int kind = 0; request_of(kind, 0, url, &request); kind++) {
        int64_t run = 0, n_failed = 0;
        for (bool reached = true; reached && run < MAX_RUNS; run++) {
            atomic_store(&curls.calls, 0);
            atomic_store(&curls.fail_at, run);
            int rc = until_started(kind, run);
            reached = atomic_load(&curls.calls) > run;
            n_failed += rc != HR_OK;
            HR_CHECK(rc == HR_MEMORY || rc == HR_OK ||
                     rc == HR_REDIRECT); /* does without, or finds the URL malformed */
            HR_CHECK(reached || rc == HR_OK);
            HR_CHECK_INT(atomic_load(&ours.live), 0);
        }
        HR_CHECK(run < MAX_RUNS && n_failed > 20);
        printf("  request %d: %lld allocations, %lld failed\n", kind, (long long)run - 1, (long long)n_failed);
    }
    atomic_store(&curls.fail_at, -1);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    atomic_store(&ours.fail_at, -1);
    atomic_store(&curls.fail_at, -1);
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, free, curl_realloc, curl_strdup, curl_calloc) !=
        CURLE_OK) {
        return 2;
    }
    HR_RUN(our_allocations_fail_in_turn);
    HR_RUN(libcurls_allocations_fail_in_turn);
    return HR_DONE();
}
