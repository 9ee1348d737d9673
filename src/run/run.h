/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of run: the engine, its streams and pages. Locks: engine->lock (queues), stream->lock (commit state),
 * stream->emit_lock (emitter and schema), engine->caller_lock (decoder of calling threads). engine->http_lock (the
 * client's life). Two are never held at once, but for the lock of
 * base/pages.h, a leaf.
 */
#ifndef HR_RUN_RUN_H
#define HR_RUN_RUN_H

#include "emit.h"
#include "engine.h"
#include "fields.h"
#include "json.h"
#include "pages.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- memory account: an allocator that counts what is live. Consumers of Arrow buffers may keep them for longer than
 * the engine: the account lives as long as its last block. */
typedef struct hr_account {
    _Atomic int64_t bytes, peak_bytes; /* relaxed: statistics and a threshold, they order nothing */
    _Atomic int64_t refs;              /* the engine's and one a block */
    hr_pages pages;
    hr_allocator alloc;
} hr_account;

/* ---- clock, monotonic */
uint64_t hr__now_ms(void);
/* Waits on cond until deadline_ms of hr__now_ms (at most); lock is held. */
void hr__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ms);
int hr__cond_init(pthread_cond_t *cond); /* on the monotonic clock; 0: ok */

/* ---- pages */
typedef struct hr_page_list {
    hr_page *first, *last;
} hr_page_list;

struct hr_page {
    hr_engine *engine; /* borrowed, outlives its pages */
    hr_stream *stream; /* referenced */
    hr_pager *pager;   /* referenced; NULL: none, or it has come */
    hr_page *next;     /* in the one list that holds the page */
    int64_t tag;
    int status;
    uint32_t attempts, throttled, window;
    uint64_t wire_bytes;
    double elapsed_ms;
    hr_str reason, url; /* in arena */
    hr_http_header *headers;
    size_t n_headers;
    hr_arena arena;
    bool encoded;
    bool is_early; /* body is what the request wanted early; the page is yet to come */
    hr_buf body;   /* with HR_BODY_PADDING bytes after it */
    hr_error error;
    hr_doc *doc; /* owned; NULL: not decoded; scratch of fields */
    size_t *records;
    size_t n_records, cap_records;
    size_t *elide; /* sorted */
    size_t n_elide, cap_elide;
    hr_fields *fields; /* owned; NULL: a body; else rows of text fields in place of one */
    /* after accept */
    uint64_t seq;
    size_t skip;     /* records left out at the start */
    bool is_lines;   /* the body is JSON lines */
    bool is_of_file; /* the body is still in the file: file_bytes at file_offset of fd, which is the page's own */
    int fd;
    uint64_t file_offset;
    size_t file_bytes;
    uint8_t *keep;
    hr_buf extra_body;
    hr_doc *extra; /* owned; NULL: none */
    hr_batch *batch;
    hr_buf null_columns; /* "table\0column\0" each: what the stream learns when the page is committed */
    bool stopped;        /* error is of a record; batch holds the rows before it */
};

void hr__page_list_push(hr_page_list *list, hr_page *page);
hr_page *hr__page_list_pop(hr_page_list *list);
HR_MUST_CHECK int hr__page_new(hr_engine *engine, hr_stream *stream, int64_t tag, hr_page **page_out, hr_error *err);
/* Decodes the page's body with decoder and selects with the stream's selector; sets page->error on failure. */
void hr__page_decode_own(hr_page *page, hr_json_decoder *decoder);

/* ---- streams */

/* Batches a stream keeps for its next pages: their columns' memory is most of a page's cost (measured). */
#define HR_SPARE_BATCHES 4
/* Rows this old leave while the workers wait for pages anyhow, an eighth of a batch at least. */
#define HR_IDLE_MS 250

/* What a worker keeps for a stream: a copy of the schema and a normalizer over it. */
typedef struct hr_stream_worker {
    hr_schema schema;
    hr_normalizer *normalizer;  /* NULL: not made yet */
    hr_normalize_stats counted; /* already added to the engine's statistics */
    size_t n_nulls;             /* its null columns that pages have */
} hr_stream_worker;

struct hr_stream {
    hr_engine *engine;
    hr_stream *next; /* of the engine's list */
    _Atomic int refs;
    uint64_t number;           /* in the engine; ids of different streams differ */
    hr_stream_options options; /* strings and steps in arena */
    hr_arena arena;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* next_commit, rows, finished, error */
    hr_step *steps;         /* lock; in arena; replaced, never changed */
    size_t n_steps;
    bool has_steps;
    uint64_t n_accepted, next_commit;
    uint64_t n_committed; /* without the page that failed and those behind it */
    uint64_t n_records;   /* of the committed pages, before what contracts and filters leave out */
    hr_page_list ready;   /* normalized, sorted by seq */
    bool committing, finished, failed;
    hr_error error;
    int64_t error_tag;
    hr_buf null_columns; /* lock; "table\0column\0" each */
    size_t emit_rows;
    int64_t emit_bytes;                /* below 0 while rows were taken whose commit is not counted yet */
    uint64_t oldest_row_ms;            /* when the oldest row not yet taken was committed */
    hr_batch *spare[HR_SPARE_BATCHES]; /* batches to use again */
    size_t n_spare;
    hr_stream_worker *workers; /* one a worker, each used by its worker only */
    pthread_mutex_t emit_lock;
    hr_schema schema; /* emit_lock; the authoritative one */
    hr_emitter *emitter;
    size_t *told_columns; /* emit_lock; columns a table the consumer knows; n_told tables */
    size_t n_told, cap_told;
    uint64_t told_version; /* emit_lock; the schema's when the consumer was told of all of it */
};

void hr__stream_ref(hr_stream *stream);
void hr__stream_unref(hr_stream *stream);
void hr__stream_wake(hr_stream *stream);
/* @locality worker: normalizes an accepted page, waits for its turn where needed, commits what is ready. */
void hr__stream_work(hr_stream *stream, hr_page *page, uint32_t worker, hr_json_decoder *decoder);

/* Copies a path, keys and all. HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__steps_copy(hr_arena *arena, const hr_step *steps, size_t n_steps, hr_step **steps_out);

/* ---- pagers */
/* Brings a page that was fetched and decoded, or failed. */
void hr__pager_arrive(hr_page *page);
/* A page that does not come. */
void hr__pager_leave(hr_page *page);

/* ---- the engine */
struct hr_engine {
    hr_engine_options options;
    hr_account *account;
    pthread_mutex_t http_lock; /* http's pointer; http's own locks are taken inside it */
    hr_http *http;             /* NULL after stop */
    pthread_mutex_t lock;
    pthread_cond_t work, events_changed;
    hr_page_list to_decode, to_normalize, events;
    bool woken;
    _Atomic bool cancelled, stopping;
    _Atomic bool was_full;
    hr_stream *streams;
    uint64_t n_streams; /* lock; made so far */
    pthread_t *threads;
    uint32_t n_threads;
    uint32_t next_worker; /* lock: hands out worker numbers */
    pthread_mutex_t caller_lock;
    hr_json_decoder *caller_decoder;
    _Atomic uint64_t pages, rows, renormalized, fast_records, reference_records;
};

static inline bool hr__engine_is_cancelled(hr_engine *engine) {
    return atomic_load_explicit(&engine->cancelled, memory_order_acquire);
}
/* Memory may have been freed: lets the loop thread go on if it waits for that. */
void hr__engine_memory_freed(hr_engine *engine);
void hr__engine_push_event(hr_engine *engine, hr_page *page);
/* Sends the request of a page on its way. On failure the page is still the caller's. */
HR_MUST_CHECK int hr__engine_send(hr_engine *engine, hr_page *page, hr_http_request *request, hr_error *err);
int hr__error_cancelled(hr_error *err);

#endif
