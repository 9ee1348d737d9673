/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine: memory account, worker threads, the queues between the loop thread, the workers and the caller.
 */
#include "run.h"

#include "hash.h"

#include <time.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------------------------------- account */

#if defined(__SANITIZE_ADDRESS__)
#define ACCOUNT_MIN_MAPPED SIZE_MAX /* each block is the sanitizer's */
#else
#define ACCOUNT_MIN_MAPPED HR_PAGES_MIN_MAPPED
#endif

static void account_add(hr_account *account, int64_t bytes) {
    int64_t now = atomic_fetch_add_explicit(&account->bytes, bytes, memory_order_relaxed) + bytes;
    int64_t peak = atomic_load_explicit(&account->peak_bytes, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(&account->peak_bytes, &peak, now, memory_order_relaxed,
                                                                memory_order_relaxed)) {
    }
}

static void account_unref(hr_account *account) {
    if (account != NULL && atomic_fetch_sub_explicit(&account->refs, 1, memory_order_acq_rel) == 1) {
        hr__pages_close(&account->pages);
        hr__pages_destroy(&account->pages);
        hr__free(&hr__allocator_libc, account);
    }
}

static void *account_malloc(void *ctx, size_t size_bytes) {
    hr_account *account = ctx;
    void *ptr = hr__pages_malloc(&account->pages, size_bytes);
    if (ptr != NULL) {
        atomic_fetch_add_explicit(&account->refs, 1, memory_order_relaxed);
        account_add(account, (int64_t)size_bytes);
    }
    return ptr;
}

static void account_free(void *ctx, void *ptr) {
    hr_account *account = ctx;
    if (ptr != NULL) {
        account_add(account, -(int64_t)hr__pages_size(ptr));
        hr__pages_free(&account->pages, ptr);
        account_unref(account);
    }
}

static void *account_realloc(void *ctx, void *ptr, size_t old_size_bytes, size_t size_bytes) {
    (void)old_size_bytes;
    hr_account *account = ctx;
    if (ptr == NULL) {
        return account_malloc(ctx, size_bytes);
    }
    size_t old = hr__pages_size(ptr);
    ptr = hr__pages_realloc(&account->pages, ptr, size_bytes);
    if (ptr != NULL) {
        account_add(account, (int64_t)size_bytes - (int64_t)old);
    }
    return ptr;
}

static hr_account *account_new(size_t keep_bytes) {
    hr_account *account = hr__calloc(&hr__allocator_libc, 1, sizeof *account);
    if (account != NULL) {
        atomic_store(&account->refs, 1);
        hr__pages_init(&account->pages, ACCOUNT_MIN_MAPPED, keep_bytes);
        account->alloc = (hr_allocator){account_malloc, account_realloc, account_free, account};
    }
    return account;
}

/* ---------------------------------------------------------------------------------------------------- clock */

uint64_t hr__now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int hr__cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc != 0) {
        return rc;
    }
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return rc;
}

void hr__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ms) {
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000), .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    pthread_cond_timedwait(cond, lock, &until);
}

/* ---------------------------------------------------------------------------------------------------- queues */

void hr__page_list_push(hr_page_list *list, hr_page *page) {
    page->next = NULL;
    if (list->last == NULL) {
        list->first = page;
    } else {
        list->last->next = page;
    }
    list->last = page;
}

hr_page *hr__page_list_pop(hr_page_list *list) {
    hr_page *page = list->first;
    if (page != NULL) {
        list->first = page->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
        page->next = NULL;
    }
    return page;
}

int hr__error_cancelled(hr_error *err) {
    return hr__error_set(err, HR_CANCELLED, HR_STAGE_RUN, "the run was cancelled");
}

void hr__engine_push_event(hr_engine *engine, hr_page *page) {
    pthread_mutex_lock(&engine->lock);
    hr__page_list_push(&engine->events, page);
    pthread_cond_signal(&engine->events_changed);
    pthread_mutex_unlock(&engine->lock);
}

/* A page that is decoded, or has failed: to its pager or to the caller. */
static void deliver(hr_engine *engine, hr_page *page) {
    if (page->pager != NULL) {
        hr__pager_arrive(page);
    } else {
        hr__engine_push_event(engine, page);
    }
}

static void push_work(hr_engine *engine, hr_page_list *list, hr_page *page) {
    pthread_mutex_lock(&engine->lock);
    hr__page_list_push(list, page);
    pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->lock);
}

/* ---------------------------------------------------------------------------------------------------- memory limit */

const hr_allocator *hr__engine_allocator(hr_engine *engine) {
    return &engine->account->alloc;
}

bool hr__engine_is_full(hr_engine *engine) {
    return (uint64_t)atomic_load_explicit(&engine->account->bytes, memory_order_relaxed) >
           engine->options.memory_limit_bytes;
}

/* @locality loop thread */
static bool http_is_full(void *ctx) {
    hr_engine *engine = ctx;
    bool full = hr__engine_is_full(engine);
    if (full) {
        atomic_store_explicit(&engine->was_full, true, memory_order_release);
    }
    return full;
}

void hr__engine_memory_freed(hr_engine *engine) {
    if (atomic_load_explicit(&engine->was_full, memory_order_acquire) && !hr__engine_is_full(engine)) {
        atomic_store_explicit(&engine->was_full, false, memory_order_release);
        pthread_mutex_lock(&engine->http_lock);
        if (engine->http != NULL) {
            hr__http_wake(engine->http);
        }
        pthread_mutex_unlock(&engine->http_lock);
    }
}

/* ---------------------------------------------------------------------------------------------------- workers */

static void *worker_main(void *arg) {
    hr_engine *engine = arg;
    hr_error err;
    hr_json_decoder *decoder = NULL;
    hr_json_options options = {.alloc = &engine->account->alloc, .max_depth = engine->options.max_depth};
    int rc = hr__json_decoder_new(&options, &decoder, &err);
    pthread_mutex_lock(&engine->lock);
    uint32_t number = engine->next_worker++;
    for (;;) {
        hr_page *page = NULL;
        bool normalize = false;
        for (;;) {
            if (atomic_load_explicit(&engine->stopping, memory_order_acquire)) {
                break;
            }
            page = hr__page_list_pop(&engine->to_normalize);
            normalize = page != NULL;
            if (page == NULL) {
                page = hr__page_list_pop(&engine->to_decode);
            }
            if (page != NULL) {
                break;
            }
            pthread_cond_wait(&engine->work, &engine->lock);
        }
        if (page == NULL) {
            break;
        }
        pthread_mutex_unlock(&engine->lock);
        if (normalize) {
            hr__stream_work(page->stream, page, number, decoder);
        } else {
            hr_body_format format = page->stream->options.format;
            page->is_lines = format == HR_BODY_LINES;
            if (hr__engine_is_cancelled(engine)) { /* nobody waits for it any more */
                hr__error_cancelled(&page->error);
            } else if (rc == HR_OK && format != HR_BODY_OTHER) {
                hr__page_decode_own(page, decoder);
            } else if (rc != HR_OK) {
                page->error = err;
            }
            deliver(engine, page);
        }
        pthread_mutex_lock(&engine->lock);
    }
    pthread_mutex_unlock(&engine->lock);
    hr__json_decoder_free(decoder);
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------- fetched */

/* Copies what outlives the call into the page. */
static int page_take_answer(hr_page *page, hr_http_result *result) {
    page->status = result->status;
    page->attempts = result->attempts;
    page->throttled = result->throttled;
    page->window = result->window;
    page->encoded = result->encoded;
    page->wire_bytes = result->wire_bytes;
    page->elapsed_ms = result->elapsed_ms;
    page->body = result->body;
    result->body.data = NULL;
    char *url = hr__arena_copy(&page->arena, result->url.data, result->url.size_bytes);
    char *reason = hr__arena_copy(&page->arena, result->reason.data, result->reason.size_bytes);
    page->headers = hr__arena_alloc(&page->arena, sizeof *page->headers * (result->n_headers + 1));
    if (url == NULL || reason == NULL || page->headers == NULL) {
        return HR_MEMORY;
    }
    page->url = (hr_str){url, result->url.size_bytes};
    page->reason = (hr_str){reason, result->reason.size_bytes};
    for (size_t i = 0; i < result->n_headers; i++) {
        const hr_http_header *header = &result->headers[i];
        char *name = hr__arena_copy(&page->arena, header->name.data, header->name.size_bytes);
        char *value = hr__arena_copy(&page->arena, header->value.data, header->value.size_bytes);
        if (name == NULL || value == NULL) {
            return HR_MEMORY;
        }
        page->headers[page->n_headers++] =
            (hr_http_header){{name, header->name.size_bytes}, {value, header->value.size_bytes}};
    }
    return HR_OK;
}

/* What comes of a page before it: a page that holds no more than that. Without memory it does not come.
 * @locality loop thread */
static void http_early(void *ctx, void *tag, hr_str value) {
    hr_engine *engine = ctx;
    hr_page *page = tag, *early;
    if (hr__page_new(engine, page->stream, page->tag, &early, NULL) != HR_OK) {
        return;
    }
    early->is_early = true;
    if (hr__buf_append(&early->body, value.data, value.size_bytes) != HR_OK) {
        hr__page_free(early);
        return;
    }
    hr__engine_push_event(engine, early);
}

/* @locality loop thread */
static void http_done(void *ctx, hr_http_result *result) {
    hr_engine *engine = ctx;
    hr_page *page = result->tag;
    if (page_take_answer(page, result) != HR_OK) {
        hr__error_memory(&page->error, HR_STAGE_FETCH);
    } else if (result->error.code != HR_OK) {
        page->error = result->error;
    }
    if (page->error.code != HR_OK || page->status >= 400 || page->encoded) {
        deliver(engine, page);
    } else {
        push_work(engine, &engine->to_decode, page);
    }
}

/* ---------------------------------------------------------------------------------------------------- life */

void hr__engine_options_init(hr_engine_options *options) {
    *options = (hr_engine_options){
#define HR_X(field, type, value, text) .field = (value),
        HR_ENGINE_LIMITS(HR_X)
#undef HR_X
    };
}

int hr__engine_new(const hr_engine_options *options, hr_engine **engine_out, hr_error *err) {
    hr_engine *engine = hr__calloc(&hr__allocator_libc, 1, sizeof *engine);
    hr_account *account = account_new((size_t)options->keep_bytes);
    if (engine == NULL || account == NULL) {
        hr__free(&hr__allocator_libc, engine);
        account_unref(account);
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    engine->account = account;
    engine->options = *options;
    if (engine->options.workers == 0) {
        long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
        engine->options.workers = n_cores < 1 ? 1 : (uint32_t)n_cores;
    }
    if (engine->options.workers > 64) {
        engine->options.workers = 64;
    }
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->caller_lock, NULL);
    pthread_mutex_init(&engine->http_lock, NULL);
    pthread_cond_init(&engine->work, NULL);
    hr__cond_init(&engine->events_changed);
    const hr_allocator *alloc = &engine->account->alloc;
    int rc = HR_OK;
    if (!engine->options.seeded) {
        rc = hr__random_seed(engine->options.seed);
        if (rc != HR_OK) {
            hr__error_set(err, HR_INTERNAL, HR_STAGE_RUN, "the operating system gave no random bytes");
            goto fail;
        }
    }
    hr_json_options json_options = {.alloc = alloc, .max_depth = engine->options.max_depth};
    rc = hr__json_decoder_new(&json_options, &engine->caller_decoder, err);
    if (rc != HR_OK) {
        goto fail;
    }
    hr_http_options http_options = {
        .alloc = alloc,
        .max_in_flight = engine->options.max_in_flight,
        .max_in_flight_per_host = engine->options.max_in_flight_per_host,
        .first_window = engine->options.first_window,
        .max_pause_ms = engine->options.max_pause_ms,
        .pacer = engine->options.pacer,
        .done = http_done,
        .early = http_early,
        .is_full = http_is_full,
        .ctx = engine,
    };
    rc = hr__http_new(&http_options, &engine->http, err);
    if (rc != HR_OK) {
        goto fail;
    }
    engine->threads = hr__calloc(&hr__allocator_libc, engine->options.workers, sizeof *engine->threads);
    if (engine->threads == NULL) {
        rc = hr__error_memory(err, HR_STAGE_RUN);
        goto fail;
    }
    for (uint32_t i = 0; i < engine->options.workers; i++) {
        int failed = pthread_create(&engine->threads[i], NULL, worker_main, engine);
        if (failed != 0) {
            rc = hr__error_set(err, HR_INTERNAL, HR_STAGE_RUN, "worker thread %u could not be started: %s", i,
                               strerror(failed));
            goto fail;
        }
        engine->n_threads++;
    }
    *engine_out = engine;
    return HR_OK;
fail:
    hr__engine_free(engine);
    return rc;
}

void hr__engine_cancel(hr_engine *engine) {
    atomic_store_explicit(&engine->cancelled, true, memory_order_release);
    pthread_mutex_lock(&engine->http_lock);
    if (engine->http != NULL) {
        hr__http_cancel_all(engine->http);
    }
    pthread_mutex_unlock(&engine->http_lock);
    pthread_mutex_lock(&engine->lock);
    pthread_cond_broadcast(&engine->events_changed);
    /* A stream is unlinked under this lock before it is freed; waking takes its own lock, so hold a reference. */
    size_t n_streams = 0;
    for (hr_stream *stream = engine->streams; stream != NULL; stream = stream->next) {
        n_streams++;
    }
    hr_stream **streams = hr__calloc(&hr__allocator_libc, n_streams, sizeof *streams);
    n_streams = 0;
    for (hr_stream *stream = engine->streams; stream != NULL && streams != NULL; stream = stream->next) {
        hr__stream_ref(stream);
        streams[n_streams++] = stream;
    }
    pthread_mutex_unlock(&engine->lock);
    for (size_t i = 0; i < n_streams; i++) { /* without memory the waiters see the flag within their 50 ms slices */
        hr__stream_wake(streams[i]);
        hr__stream_unref(streams[i]);
    }
    hr__free(&hr__allocator_libc, streams);
}

void hr__engine_stop(hr_engine *engine) {
    hr__engine_cancel(engine);
    pthread_mutex_lock(&engine->lock);
    atomic_store_explicit(&engine->stopping, true, memory_order_release);
    pthread_cond_broadcast(&engine->work);
    pthread_mutex_unlock(&engine->lock);
    for (uint32_t i = 0; i < engine->n_threads; i++) {
        pthread_join(engine->threads[i], NULL);
    }
    engine->n_threads = 0;
    pthread_mutex_lock(&engine->http_lock);
    hr_http *http = engine->http;
    engine->http = NULL;
    pthread_mutex_unlock(&engine->http_lock);
    hr__http_free(http);
}

static void free_list(hr_page_list *list) {
    for (hr_page *page = hr__page_list_pop(list); page != NULL; page = hr__page_list_pop(list)) {
        hr__page_free(page);
    }
}

void hr__engine_free(hr_engine *engine) {
    if (engine == NULL) {
        return;
    }
    hr__engine_stop(engine);
    free_list(&engine->to_decode);
    free_list(&engine->to_normalize);
    free_list(&engine->events);
    hr__json_decoder_free(engine->caller_decoder);
    hr__free(&hr__allocator_libc, engine->threads);
    pthread_cond_destroy(&engine->events_changed);
    pthread_cond_destroy(&engine->work);
    pthread_mutex_destroy(&engine->http_lock);
    pthread_mutex_destroy(&engine->caller_lock);
    pthread_mutex_destroy(&engine->lock);
    hr__pages_close(&engine->account->pages);
    account_unref(engine->account);
    hr__free(&hr__allocator_libc, engine);
}

void hr__engine_stats(hr_engine *engine, hr_engine_stats *stats_out) {
    *stats_out = (hr_engine_stats){
        .memory_bytes = (uint64_t)atomic_load(&engine->account->bytes),
        .memory_peak_bytes = (uint64_t)atomic_load(&engine->account->peak_bytes),
        .pages = atomic_load(&engine->pages),
        .rows = atomic_load(&engine->rows),
        .renormalized = atomic_load(&engine->renormalized),
        .fast_records = atomic_load(&engine->fast_records),
        .reference_records = atomic_load(&engine->reference_records),
    };
    pthread_mutex_lock(&engine->http_lock);
    if (engine->http != NULL) {
        hr__http_stats_get(engine->http, &stats_out->http);
    }
    pthread_mutex_unlock(&engine->http_lock);
}

/* ---------------------------------------------------------------------------------------------------- submit, poll */

int hr__engine_send(hr_engine *engine, hr_page *page, hr_http_request *request, hr_error *err) {
    if (hr__engine_is_cancelled(engine)) {
        return hr__error_cancelled(err);
    }
    request->tag = page;
    pthread_mutex_lock(&engine->http_lock);
    int rc = engine->http == NULL ? hr__error_cancelled(err) : hr__http_submit(engine->http, request, err);
    pthread_mutex_unlock(&engine->http_lock);
    return rc;
}

int hr__engine_submit(hr_engine *engine, hr_stream *stream, int64_t tag, hr_http_request *request, hr_error *err) {
    hr_page *page;
    HR_TRY(hr__page_new(engine, stream, tag, &page, err));
    int rc = hr__engine_send(engine, page, request, err);
    if (rc != HR_OK) {
        hr__page_free(page);
    }
    return rc;
}

void hr__engine_flush(hr_engine *engine) {
    pthread_mutex_lock(&engine->http_lock);
    if (engine->http != NULL) {
        hr__http_wake(engine->http);
    }
    pthread_mutex_unlock(&engine->http_lock);
}

int hr__engine_submit_bytes(hr_engine *engine, hr_stream *stream, int64_t tag, hr_str body, hr_str url, hr_error *err) {
    if (hr__engine_is_cancelled(engine)) {
        return hr__error_cancelled(err);
    }
    hr_page *page;
    HR_TRY(hr__page_new(engine, stream, tag, &page, err));
    hr_http_result result = {.tag = page, .status = 200, .reason = hr__str("OK"), .url = url, .attempts = 1};
    hr__buf_init(&result.body, &engine->account->alloc, 0);
    if (hr__buf_reserve(&result.body, body.size_bytes + HR_BODY_PADDING) != HR_OK ||
        hr__buf_append(&result.body, body.data, body.size_bytes) != HR_OK) {
        hr__buf_free(&result.body);
        hr__page_free(page);
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    http_done(engine, &result);
    return HR_OK;
}

int hr__engine_poll(hr_engine *engine, uint32_t timeout_ms, hr_page **pages_out, size_t max, size_t *n_out,
                    hr_error *err) {
    uint64_t deadline_ms = hr__now_ms() + timeout_ms;
    *n_out = 0;
    pthread_mutex_lock(&engine->lock);
    for (;;) {
        if (hr__engine_is_cancelled(engine)) {
            pthread_mutex_unlock(&engine->lock);
            return hr__error_cancelled(err);
        }
        if (engine->events.first != NULL || engine->woken || hr__now_ms() >= deadline_ms) {
            break;
        }
        hr__cond_wait_until(&engine->events_changed, &engine->lock, deadline_ms);
    }
    engine->woken = false;
    while (*n_out < max && engine->events.first != NULL) {
        pages_out[(*n_out)++] = hr__page_list_pop(&engine->events);
    }
    pthread_mutex_unlock(&engine->lock);
    return HR_OK;
}

void hr__engine_wake(hr_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    engine->woken = true;
    pthread_cond_broadcast(&engine->events_changed);
    pthread_mutex_unlock(&engine->lock);
}
