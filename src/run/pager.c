/* SPDX-License-Identifier: Apache-2.0
 *
 * A pager: pages of one endpoint whose URLs differ in one number (dlt's page_number and offset paginators), asked for
 * ahead, looked at and accepted in order, without the caller, as long as nothing about them is out of the ordinary.
 *
 *   held -> resume -> running: page 5 accepted, 6 accepted, 7 is not ordinary -> held: poll gives page 7
 *                     (pages 8.. wait in the ring)                        resume, pass or drop <- caller
 *
 * Ordinary is a page that ends nothing and of which nothing is to be said: status below 400, JSON in UTF-8 as the first
 * page's, no cookie, by its total, its maximum and its "has more" there is a next one, not empty where that ends, not
 * the same as the one before or the first, no error in the body. Every other page, the last one too, is the caller's:
 * what is done with it is written once, in Python. So this code only ever says "go on".
 *
 * Any thread may bring a page; one at a time works on the ring (pumps), without the lock held, as in stream.c's commit.
 */
#include "run.h"

#include "number.h"

#include <strings.h>

typedef enum pager_mode {
    MODE_HELD = 0, /* the caller has a page, or has not begun */
    MODE_RUNNING,
    MODE_PASSING, /* every page goes to the caller as it comes */
    MODE_DROPPING,
} pager_mode;

enum { MAX_URL = 65536, NUMBER_ROOM = 24 }; /* bytes */

struct hr_pager {
    hr_engine *engine; /* borrowed, outlives it */
    hr_stream *stream; /* referenced */
    _Atomic int refs;  /* the caller's and one a request under way */
    hr_arena arena;    /* the options' texts */
    hr_pager_options options;
    pthread_mutex_t lock;
    /* lock */
    pager_mode mode;
    bool pumping, again; /* a thread works; it looks again before it ends */
    bool short_of_room;
    hr_page **ring; /* pages that came, by number modulo cap_ring */
    size_t cap_ring;
    hr_pager_report report;
    size_t first_size, first_records;
    uint64_t first_hash;
    size_t left_size, left_records; /* of the page that the caller has */
    uint64_t left_hash;
    /* of the one who pumps */
    char *url; /* room for one */
    size_t *matches, cap_matches;
};

/* ---------------------------------------------------------------------------------------------------- life */

static int copy_path(hr_arena *arena, const hr_step **steps, size_t n_steps) {
    hr_step *copy = NULL;
    HR_TRY(hr__steps_copy(arena, *steps, n_steps, &copy));
    *steps = copy;
    return HR_OK;
}

static int copy_headers(hr_arena *arena, hr_http_request *request) {
    hr_http_header *copy = hr__arena_alloc(arena, (request->n_headers + 1) * sizeof *copy);
    if (copy == NULL) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < request->n_headers; i++) {
        copy[i] = request->headers[i];
        HR_TRY(hr__arena_keep(arena, &copy[i].name));
        HR_TRY(hr__arena_keep(arena, &copy[i].value));
    }
    request->headers = copy;
    return HR_OK;
}

static int copy_options(hr_arena *arena, hr_pager_options *options) {
    hr_http_request *request = &options->request;
    hr_str *texts[] = {&options->before,      &options->after,     &options->content_type,  &request->method,
                       &request->proxy,       &request->ca_path,   &request->cert_path,     &request->key_path,
                       &request->resolve,     &request->interface, &request->allowed_hosts, &request->secret_headers,
                       &request->key_password};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        HR_TRY(hr__arena_keep(arena, texts[i]));
    }
    HR_TRY(copy_headers(arena, request));
    HR_TRY(copy_path(arena, &options->total, options->n_total));
    HR_TRY(copy_path(arena, &options->more, options->n_more));
    return copy_path(arena, &options->selector, options->n_selector);
}

static void pager_unref(hr_pager *pager) {
    if (atomic_fetch_sub_explicit(&pager->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    const hr_allocator *alloc = &pager->engine->account->alloc;
    for (size_t i = 0; pager->ring != NULL && i < pager->cap_ring; i++) {
        hr__page_free(pager->ring[i]);
    }
    hr__free(alloc, pager->ring);
    hr__free(alloc, pager->url);
    hr__free(alloc, pager->matches);
    hr__arena_free(&pager->arena);
    pthread_mutex_destroy(&pager->lock);
    hr__stream_unref(pager->stream);
    hr__free(alloc, pager);
}

void hr__pager_leave(hr_page *page) {
    hr_pager *pager = page->pager;
    page->pager = NULL;
    if (pager != NULL) {
        pager_unref(pager);
    }
}

int hr__pager_new(hr_stream *stream, const hr_pager_options *options, const hr_page *first, hr_pager **pager_out,
                  hr_error *err) {
    hr_engine *engine = stream->engine;
    const hr_allocator *alloc = &engine->account->alloc;
    if (options->before.size_bytes + options->after.size_bytes > MAX_URL || options->max_window == 0) {
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_RUN, "a pager needs a window and a URL of at most %d bytes",
                             MAX_URL);
    }
    hr_pager *pager = hr__calloc(alloc, 1, sizeof *pager);
    if (pager == NULL) {
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    pager->engine = engine;
    pager->stream = stream;
    hr__stream_ref(stream);
    atomic_store(&pager->refs, 1);
    pthread_mutex_init(&pager->lock, NULL);
    hr__arena_init(&pager->arena, alloc, 0);
    pager->options = *options;
    pager->cap_ring = (size_t)options->max_window + 1;
    pager->ring = hr__calloc(alloc, pager->cap_ring, sizeof(hr_page *));
    pager->url = hr__alloc(alloc, options->before.size_bytes + options->after.size_bytes + NUMBER_ROOM);
    if (pager->ring == NULL || pager->url == NULL || copy_options(&pager->arena, &pager->options) != HR_OK) {
        pager_unref(pager);
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    pager->report = (hr_pager_report){.next = options->number, .n_sent = options->number, .window = options->window};
    pager->report.last_size = pager->first_size = first->body.size_bytes;
    pager->report.last_records = pager->first_records = first->n_records;
    pager->report.last_hash = pager->first_hash = hr__page_fingerprint(first);
    *pager_out = pager;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- a page's look */

/* The value at a path of the page's document; NULL: none, or not one. */
static const hr_tok *value_at(hr_pager *pager, const hr_page *page, const hr_step *steps, size_t n_steps) {
    size_t n = 0;
    if (hr__doc_select(page->doc, 0, steps, n_steps, &pager->engine->account->alloc, &pager->matches, &n,
                       &pager->cap_matches) != HR_OK ||
        n != 1) {
        return NULL;
    }
    return &page->doc->toks[pager->matches[0]];
}

static bool is_one_of(hr_str key, const char *const *names) {
    for (; *names != NULL; names++) {
        if (strlen(*names) == key.size_bytes && strncasecmp(*names, key.data, key.size_bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether the body may hold an error in place of records: as _rest_api/completeness.py looks, with fewer questions. */
static bool may_hold_an_error(const hr_doc *doc) {
    static const char *const names[] = {"error", "errors", "fault", "exception", NULL};
    if (doc->toks[0].type != HR_TOK_OBJECT) {
        return false;
    }
    size_t at = 1;
    for (uint32_t i = 0; i < doc->toks[0].len; i++) {
        if (is_one_of((hr_str){doc->toks[at].as.str, doc->toks[at].len}, names)) {
            return true;
        }
        at = hr__doc_next(doc, at + 1);
    }
    return false;
}

/* Whether the head of the answer is as that of the first. */
static bool has_usual_head(const hr_pager *pager, const hr_page *page) {
    hr_str type = {NULL, 0};
    for (size_t i = 0; i < page->n_headers; i++) {
        const hr_http_header *header = &page->headers[i];
        if (header->name.size_bytes == 10 && strncasecmp(header->name.data, "set-cookie", 10) == 0) {
            return false;
        }
        if (header->name.size_bytes == 12 && strncasecmp(header->name.data, "content-type", 12) == 0) {
            if (type.data != NULL) {
                return false;
            }
            type = header->value;
        }
    }
    return (type.data == NULL) == (pager->options.content_type.data == NULL) &&
           hr__str_eq(type, pager->options.content_type);
}

/* Whether the paginator would go on after this page, `value` being its number (dlt's RangePaginator.update_state). */
static bool goes_on(hr_pager *pager, const hr_page *page, int64_t value) {
    const hr_pager_options *options = &pager->options;
    int64_t next;
    if ((options->stops_when_empty && page->n_records == 0) || __builtin_add_overflow(value, options->step, &next) ||
        (options->has_maximum && next >= options->maximum)) {
        return false;
    }
    if (options->has_total) {
        const hr_tok *total = value_at(pager, page, options->total, options->n_total);
        int64_t end;
        if (total == NULL || total->type != HR_TOK_INT ||
            __builtin_add_overflow(total->as.i, options->total_base, &end) || next >= end) {
            return false;
        }
    }
    if (options->has_more) {
        const hr_tok *more = value_at(pager, page, options->more, options->n_more);
        return more != NULL && more->type == HR_TOK_TRUE;
    }
    return true;
}

static int64_t value_of(const hr_pager *pager, uint64_t number) {
    return (int64_t)((uint64_t)pager->options.value +
                     (number - pager->options.number) * (uint64_t)pager->options.step); /* checked by has_value */
}

static bool has_value(const hr_pager *pager, uint64_t number) {
    int64_t value;
    return number - pager->options.number <= INT64_MAX &&
           !__builtin_mul_overflow((int64_t)(number - pager->options.number), pager->options.step, &value) &&
           !__builtin_add_overflow(value, pager->options.value, &value);
}

/* @locality the one who pumps. *hash_out: the body's; 0: not looked at. */
static bool is_ordinary(hr_pager *pager, hr_page *page, uint64_t number, uint64_t *hash_out) {
    *hash_out = 0;
    if (page->error.code != HR_OK || page->status >= 400 || page->encoded || page->doc == NULL) {
        return false;
    }
    hr_error err;
    if (pager->options.has_selector &&
        hr__page_select(page, pager->options.selector, pager->options.n_selector, &err) != HR_OK) {
        page->error = err;
        return false;
    }
    const hr_pager_report *report = &pager->report; /* its last_ fields are written by who pumps */
    size_t size = page->body.size_bytes;
    *hash_out = hr__page_fingerprint(page);
    bool is_last = page->n_records > 0 && size == report->last_size && page->n_records == report->last_records &&
                   *hash_out == report->last_hash;
    bool is_first = page->n_records > 0 && size == pager->first_size && page->n_records == pager->first_records &&
                    *hash_out == pager->first_hash;
    return !is_last && !is_first && has_usual_head(pager, page) && goes_on(pager, page, value_of(pager, number)) &&
           (page->n_records > 1 || !may_hold_an_error(page->doc));
}

/* ---------------------------------------------------------------------------------------------------- at work */

/* An answer that came to nobody: counted and freed. lock is not held. */
static void drop(hr_pager *pager, hr_page *page) {
    pthread_mutex_lock(&pager->lock);
    pager->report.n_requests += page->attempts;
    pager->report.n_bytes += page->body.size_bytes;
    pthread_mutex_unlock(&pager->lock);
    hr__page_free(page);
}

/* Accepts an ordinary page, or leaves it to the caller. lock is not held. */
static void handle(hr_pager *pager, hr_page *page, uint64_t number) {
    uint64_t hash;
    bool is_left = !is_ordinary(pager, page, number, &hash);
    uint32_t attempts = page->attempts, throttled = page->throttled, window = page->window;
    size_t size = page->body.size_bytes, n_records = page->n_records;
    hr_error err;
    if (!is_left && n_records == 0) {
        hr__page_free(page);
    } else if (!is_left && hr__stream_accept(pager->stream, page, NULL, (hr_str){NULL, 0}, &err) != HR_OK) {
        page->error = err;
        is_left = true;
    }
    pthread_mutex_lock(&pager->lock);
    hr_pager_report *report = &pager->report;
    report->is_throttled = report->is_throttled || throttled != 0;
    report->window = window != 0 ? window : report->window;
    if (is_left) {
        pager->mode = pager->mode == MODE_RUNNING ? MODE_HELD : pager->mode;
        pager->left_size = size;
        pager->left_records = n_records;
        pager->left_hash = hash;
    } else {
        report->n_pages++;
        report->n_records += n_records;
        report->n_requests += attempts;
        report->n_bytes += size;
        report->last_size = size;
        report->last_records = n_records;
        report->last_hash = hash;
    }
    bool is_wanted = pager->mode != MODE_DROPPING;
    pthread_mutex_unlock(&pager->lock);
    if (is_left && is_wanted) {
        hr__engine_push_event(pager->engine, page);
    } else if (is_left) {
        drop(pager, page);
    }
}

/* Asks for a page. The answer, or why it could not be asked for, comes to the ring. False: no memory. lock is not held.
 */
static bool ask(hr_pager *pager, uint64_t number) {
    const hr_pager_options *options = &pager->options;
    char *url = pager->url;
    size_t at = options->before.size_bytes;
    memcpy(url, options->before.data, at);
    at += hr__int_repr(value_of(pager, number), url + at);
    memcpy(url + at, options->after.data == NULL ? "" : options->after.data, options->after.size_bytes);
    hr_http_request request = options->request;
    request.url = (hr_str){url, at + options->after.size_bytes};
    request.more = true;
    hr_page *page;
    hr_error err;
    if (hr__page_new(pager->engine, pager->stream, options->tag + (int64_t)number, &page, &err) != HR_OK) {
        return false;
    }
    page->pager = pager;
    atomic_fetch_add_explicit(&pager->refs, 1, memory_order_relaxed);
    if (hr__engine_send(pager->engine, page, &request, &err) != HR_OK) {
        page->error = err;
        hr__pager_arrive(page);
    }
    return true;
}

/* How many pages may be asked for now. lock is held. */
static uint64_t n_wanted(hr_pager *pager, bool is_behind) {
    const hr_pager_options *options = &pager->options;
    hr_pager_report *report = &pager->report;
    if (pager->mode != MODE_RUNNING) {
        return 0;
    }
    uint64_t most = (uint64_t)report->window * 2; /* in flight, and as many that wait for their turn */
    most = most > options->max_window ? options->max_window : most < 1 ? 1 : most;
    uint64_t n_ahead = report->n_sent - report->next, n = n_ahead < most ? most - n_ahead : 0;
    bool is_full = hr__engine_is_full(pager->engine);
    if (n_ahead == 0 && n > 0 && is_full) {
        n = 1; /* one goes, however little memory is left */
    } else if (is_full) {
        n = 0;
    }
    pager->short_of_room = is_behind && n > 0;
    n = is_behind ? 0 : n;
    uint64_t n_possible = 0;
    while (n_possible < n && has_value(pager, report->n_sent + n_possible) &&
           ((n_ahead == 0 && n_possible == 0) || !options->has_limit ||
            value_of(pager, report->n_sent + n_possible) < options->limit)) {
        n_possible++;
    }
    return n_possible;
}

/* Handles what has come in order and keeps the window full. */
static void pump(hr_pager *pager) {
    bool has_sent = false;
    pthread_mutex_lock(&pager->lock);
    pager->again = true;
    if (pager->pumping) {
        pthread_mutex_unlock(&pager->lock);
        return;
    }
    pager->pumping = true;
    while (pager->again) {
        pager->again = false;
        hr_page **slot = &pager->ring[pager->report.next % pager->cap_ring];
        while (pager->mode == MODE_RUNNING && *slot != NULL) {
            hr_page *page = *slot;
            *slot = NULL;
            uint64_t number = pager->report.next++;
            pthread_mutex_unlock(&pager->lock);
            handle(pager, page, number);
            pthread_mutex_lock(&pager->lock);
            slot = &pager->ring[pager->report.next % pager->cap_ring];
        }
        pthread_mutex_unlock(&pager->lock);
        bool is_behind = hr__stream_is_behind(pager->stream);
        pthread_mutex_lock(&pager->lock);
        for (uint64_t n = n_wanted(pager, is_behind); n > 0; n--) {
            uint64_t number = pager->report.n_sent++;
            pthread_mutex_unlock(&pager->lock);
            bool is_asked = ask(pager, number);
            has_sent = has_sent || is_asked;
            pthread_mutex_lock(&pager->lock);
            if (!is_asked) {
                pager->report.n_sent--;
                pager->short_of_room = true; /* tried again with the next poke */
                break;
            }
        }
    }
    pager->pumping = false;
    pthread_mutex_unlock(&pager->lock);
    if (has_sent) {
        hr__engine_flush(pager->engine);
    }
}

void hr__pager_arrive(hr_page *page) {
    hr_pager *pager = page->pager;
    page->pager = NULL;
    pthread_mutex_lock(&pager->lock);
    pager_mode mode = pager->mode;
    if (mode == MODE_HELD || mode == MODE_RUNNING) {
        uint64_t number = (uint64_t)(page->tag - pager->options.tag);
        pager->ring[number % pager->cap_ring] = page;
    }
    pthread_mutex_unlock(&pager->lock);
    if (mode == MODE_PASSING) {
        hr__engine_push_event(pager->engine, page);
    } else if (mode == MODE_DROPPING) {
        drop(pager, page);
    } else {
        pump(pager);
    }
    pager_unref(pager);
}

/* ---------------------------------------------------------------------------------------------------- the caller's */

void hr__pager_resume(hr_pager *pager) {
    pthread_mutex_lock(&pager->lock);
    if (pager->mode == MODE_HELD) {
        pager->mode = MODE_RUNNING;
        if (pager->report.next > pager->options.number) { /* a page was left */
            pager->report.last_size = pager->left_size;
            pager->report.last_records = pager->left_records;
            pager->report.last_hash = pager->left_hash;
        }
    }
    pthread_mutex_unlock(&pager->lock);
    pump(pager);
}

void hr__pager_poke(hr_pager *pager) {
    pthread_mutex_lock(&pager->lock);
    bool is_short = pager->mode == MODE_RUNNING && pager->short_of_room;
    pthread_mutex_unlock(&pager->lock);
    if (is_short) {
        pump(pager);
    }
}

/* Sets the mode and gives what waits in the ring to `take`, in order of numbers. */
static void turn_over(hr_pager *pager, pager_mode mode) {
    pthread_mutex_lock(&pager->lock);
    pager->mode = pager->mode == MODE_DROPPING ? MODE_DROPPING : mode;
    for (uint64_t number = pager->report.next; number < pager->report.n_sent; number++) {
        hr_page *page = pager->ring[number % pager->cap_ring];
        pager->ring[number % pager->cap_ring] = NULL;
        if (page == NULL) {
            continue;
        }
        pthread_mutex_unlock(&pager->lock);
        if (mode == MODE_PASSING) {
            hr__engine_push_event(pager->engine, page);
        } else {
            drop(pager, page);
        }
        pthread_mutex_lock(&pager->lock);
    }
    pthread_mutex_unlock(&pager->lock);
}

void hr__pager_pass(hr_pager *pager) {
    turn_over(pager, MODE_PASSING);
}

void hr__pager_drop(hr_pager *pager) {
    turn_over(pager, MODE_DROPPING);
}

void hr__pager_report_get(hr_pager *pager, hr_pager_report *report_out) {
    pthread_mutex_lock(&pager->lock);
    *report_out = pager->report;
    pthread_mutex_unlock(&pager->lock);
}

void hr__pager_free(hr_pager *pager) {
    if (pager != NULL) {
        hr__pager_drop(pager);
        pager_unref(pager);
    }
}
