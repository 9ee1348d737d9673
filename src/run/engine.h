/* SPDX-License-Identifier: Apache-2.0
 *
 * run: wires the stages. One engine: the HTTP loop thread, worker threads, a memory limit; streams (one a resource)
 * whose pages are normalized in parallel and committed in the order they were accepted.
 *
 *   submit -> [loop thread: fetch] -> [worker: decode] -> poll gives the page -> accept
 *          -> [worker: normalize] -> commit in accept order (emit) -> next gives Arrow
 *
 * Every function may be called from any thread unless it says otherwise. Waiting functions return HR_CANCELLED after
 * hr__engine_cancel.
 */
#ifndef HR_RUN_ENGINE_H
#define HR_RUN_ENGINE_H

#include "doc.h"
#include "fields.h"
#include "http.h"
#include "normalize.h"

typedef struct hr_engine hr_engine;
typedef struct hr_stream hr_stream;
typedef struct hr_page hr_page;

/* X(field, type, default, unit and meaning): every limit of the engine in one list. */
#define HR_ENGINE_LIMITS(X)                                                                        \
    X(workers, uint32_t, 0, "worker threads; 0: the machine's cores, at most 64")                  \
    X(memory_limit_bytes, uint64_t, (uint64_t)256 << 20, "bytes held by pages, tapes and batches") \
    X(keep_bytes, uint64_t, (uint64_t)24 << 20, "freed memory that is kept for the next pages")    \
    X(max_in_flight, uint32_t, 64, "requests in flight in all")                                    \
    X(max_in_flight_per_host, uint32_t, 16, "requests in flight a host")                           \
    X(first_window, uint32_t, 3, "requests in flight a host before anything is known of it")       \
    X(max_pause_ms, uint32_t, 3600000, "longest wait for a rate limit that a server told")         \
    X(max_depth, uint32_t, 1024, "nesting of a document")                                          \
    X(max_records, uint32_t, 50000000, "records a page")                                           \
    X(max_selector_steps, uint32_t, 64, "steps of a data selector")

typedef struct hr_engine_options {
#define HR_X(field, type, value, text) type field;
    HR_ENGINE_LIMITS(HR_X)
#undef HR_X
    hr_pacer *pacer; /* what is known of hosts, shared with other engines; NULL: its own */
    bool seeded;     /* ids from `seed` (tests); false: from the operating system */
    uint8_t seed[32];
} hr_engine_options;

void hr__engine_options_init(hr_engine_options *options); /* the defaults of the list */

HR_MUST_CHECK int hr__engine_new(const hr_engine_options *options, hr_engine **engine_out, hr_error *err);
/* Cancels everything and wakes every waiter. */
void hr__engine_cancel(hr_engine *engine);
/* Cancels and joins all threads. Pages, streams and outputs stay valid. Idempotent; one thread at a time. */
void hr__engine_stop(hr_engine *engine);
/* Stops and frees. All pages, streams and outputs must have been freed before. */
void hr__engine_free(hr_engine *engine);

typedef struct hr_engine_stats {
    hr_http_stats http;
    uint64_t memory_bytes, memory_peak_bytes;
    uint64_t pages, rows, renormalized; /* committed pages, rows of all tables; pages normalized twice */
    uint64_t fast_records, reference_records;
} hr_engine_stats;
void hr__engine_stats(hr_engine *engine, hr_engine_stats *stats_out);
bool hr__engine_is_full(hr_engine *engine);

/* ---- streams */

typedef enum hr_body_format {
    HR_BODY_UNSET, /* a JSON document */
    HR_BODY_LINES, /* JSON lines */
    HR_BODY_OTHER, /* the caller decodes it (hr__page_decode) */
} hr_body_format;

typedef struct hr_stream_options {
    hr_normalize_options normalize; /* alloc and seed are the engine's */
    const hr_step *selector;        /* copied; n_selector may be 0: the whole document */
    size_t n_selector;
    bool has_selector;    /* false: the caller selects each page (detection) */
    uint64_t batch_bytes; /* a batch leaves when it holds this much; an eighth while pages are waited for or memory is
                             short */
    hr_body_format format;
} hr_stream_options;

/* `schema` is the seed, moved into the stream on success. */
HR_MUST_CHECK int hr__stream_new(hr_engine *engine, const hr_stream_options *options, hr_schema *schema,
                                 hr_stream **stream_out, hr_error *err);
void hr__stream_free(hr_stream *stream); /* drops what was not taken; pages of it must not be accepted any more */
/* Replaces the selector for pages decoded from now on. */
HR_MUST_CHECK int hr__stream_select(hr_stream *stream, const hr_step *steps, size_t n_steps, hr_error *err);

/* ---- pages */

HR_MUST_CHECK int hr__engine_submit(hr_engine *engine, hr_stream *stream, int64_t tag, hr_http_request *request,
                                    hr_error *err);
/* Sends what was submitted with request.more on its way. */
void hr__engine_flush(hr_engine *engine);
/* A page whose bytes are here already. */
HR_MUST_CHECK int hr__engine_submit_bytes(hr_engine *engine, hr_stream *stream, int64_t tag, hr_str body, hr_str url,
                                          hr_error *err);
/* Up to max pages that are decoded or have failed, in order of completion. *n_out is 0 when time ran out or after wake.
 */
HR_MUST_CHECK int hr__engine_poll(hr_engine *engine, uint32_t timeout_ms, hr_page **pages_out, size_t max,
                                  size_t *n_out, hr_error *err);
void hr__engine_wake(hr_engine *engine);

/* A page between poll and accept belongs to one thread. */
typedef struct hr_page_info {
    int64_t tag;
    int status;
    hr_str reason, url;
    const hr_http_header *headers;
    size_t n_headers;
    uint32_t attempts, throttled, window;
    uint64_t wire_bytes;
    double elapsed_ms;
    hr_str body;
    bool encoded;  /* still as its Content-Encoding says: not decoded */
    bool is_early; /* not the page, but what its request wanted early (http.h): the body is that */
    bool decoded;
    size_t n_records;
    const hr_error *error; /* NULL: none */
} hr_page_info;

void hr__page_info(const hr_page *page, hr_page_info *info_out); /* borrowed from the page */
/* The body's: equal bodies have the same, and no two others by accident. */
uint64_t hr__page_fingerprint(const hr_page *page);
/* Decodes `body` in place of the answer's (data NULL: the answer's again) and selects. */
HR_MUST_CHECK int hr__page_decode(hr_page *page, hr_str body, bool lines, hr_error *err);
HR_MUST_CHECK int hr__page_select(hr_page *page, const hr_step *steps, size_t n_steps, hr_error *err);
/* JSON text appended to out: the document with all arrays as [] / with the selected record arrays as []. */
HR_MUST_CHECK int hr__page_shape(const hr_page *page, hr_buf *out, hr_error *err);
HR_MUST_CHECK int hr__page_envelope(const hr_page *page, hr_buf *out, hr_error *err);
/* A JSON list: per record (keep as in hr_records) an object of just these members; keys NULL: whole records. */
HR_MUST_CHECK int hr__page_project(const hr_page *page, const hr_str *keys, size_t n_keys, const uint8_t *keep,
                                   hr_buf *out, hr_error *err);
/* The records (keep as in hr_records) as JSON text, one behind the other: orjson's, with the members of `extra` (an
 * object as compact text, or data NULL) over those of objects. ends_out: n_records, the first *n_out are set: where
 * each ends. HR_RANGE, HR_ENCODING: what orjson refuses; err has the record. */
HR_MUST_CHECK int hr__page_texts(const hr_page *page, const uint8_t *keep, hr_str extra, hr_buf *out, size_t *ends_out,
                                 size_t *n_out, hr_error *err);
void hr__page_free(hr_page *page);

/* ---- pagers: pages of one endpoint whose URLs differ in one number, asked for, looked at and accepted without the
 * caller, as long as nothing about them is out of the ordinary (pager.c). Any other page is given by poll; meanwhile
 * the pager is held: no page behind that one is accepted. */
typedef struct hr_pager hr_pager;

typedef struct hr_pager_options { /* copied */
    int64_t tag;                  /* page N has tag + N */
    hr_http_request request;      /* all but url, body and tag */
    hr_str before, after;         /* of the number in the URL */
    uint64_t number;              /* of the first page to be asked for */
    int64_t value, step;          /* its number in the URL, and how far to the next one's */
    bool has_limit, has_maximum, has_total, has_more, has_selector, stops_when_empty;
    int64_t limit;               /* no page is asked for ahead whose number in the URL is as high */
    int64_t maximum;             /* the page before one as high is the last */
    const hr_step *total, *more; /* path of the total: the page before one as high as total + total_base is the last */
    size_t n_total, n_more;      /* path of what is true when there is a next page */
    int64_t total_base;
    const hr_step *selector; /* pages are to be selected with it */
    size_t n_selector;
    hr_str content_type;         /* of an ordinary answer; data NULL: it has none */
    uint32_t window, max_window; /* requests that the host may be asked at once; pages asked for ahead, at most */
} hr_pager_options;

typedef struct hr_pager_report {
    uint64_t next, n_sent; /* number of the page behind the last one handled; of the page to be asked for next */
    uint64_t n_pages, n_records, n_requests, n_bytes; /* accepted so far; requests and bytes of dropped pages too */
    size_t last_size, last_records;                   /* of the last page accepted */
    uint64_t last_hash;                               /* its fingerprint */
    uint32_t window;                                  /* requests that the host may be asked at once */
    bool is_throttled;                                /* the host wanted to be asked less */
} hr_pager_report;

/* A pager that is held. `first`: the first page of all, decoded and selected. */
HR_MUST_CHECK int hr__pager_new(hr_stream *stream, const hr_pager_options *options, const hr_page *first,
                                hr_pager **pager_out, hr_error *err);
/* The page that was given is dealt with (accepted, if its rows are wanted): goes on behind it. */
void hr__pager_resume(hr_pager *pager);
/* Rows were taken from the stream: goes on if it waited for that. */
void hr__pager_poke(hr_pager *pager);
/* While held: no more is asked for; what is under way is given by poll, whatever it is. */
void hr__pager_pass(hr_pager *pager);
/* No more is asked for; what is under way is dropped. */
void hr__pager_drop(hr_pager *pager);
void hr__pager_report_get(hr_pager *pager, hr_pager_report *report_out);
void hr__pager_free(hr_pager *pager); /* drops; before the engine is freed */

/* @locality one accepting thread a stream. Gives the page to the workers; on success the page is the engine's. keep:
 * n_records bytes or NULL (copied); extra: JSON text of an object, or data NULL. */
HR_MUST_CHECK int hr__stream_accept(hr_stream *stream, hr_page *page, const uint8_t *keep, hr_str extra, hr_error *err);
/* What the bytes of a fed page are. */
typedef enum hr_feed_form {
    HR_FEED_DOCUMENT = 0,
    HR_FEED_ELEMENTS, /* of an array, without its brackets (hr_slice) */
    HR_FEED_LINES,    /* JSON lines: a record a line */
} hr_feed_form;

/* A page whose bytes are here (copied) and whose records need nobody's look: decoded, selected and normalized by a
 * worker, committed in its turn. The first `skip` records are left out; a record in an error counts from the page's
 * first.
 * @locality the accepting thread */
HR_MUST_CHECK int hr__stream_feed(hr_stream *stream, int64_t tag, hr_str body, hr_feed_form form, size_t skip,
                                  hr_error *err);
/* The same for JSON lines, file_bytes at file_offset of an open file (fd stays the caller's): a worker reads them, and
 * what cannot be read is the page's error (HR_IO). */
HR_MUST_CHECK int hr__stream_feed_file(hr_stream *stream, int64_t tag, int fd, uint64_t file_offset, size_t file_bytes,
                                       size_t skip, hr_error *err);
/* A page of rows of text fields (hr__normalize_fields), normalized by a worker, committed in its turn. On success the
 * rows are the engine's. @locality the accepting thread */
HR_MUST_CHECK int hr__stream_feed_fields(hr_stream *stream, int64_t tag, hr_fields *fields, hr_error *err);
/* What accounts of memory in the engine count; lives as long as anything taken from it. */
const hr_allocator *hr__engine_allocator(hr_engine *engine);
void hr__stream_finish(hr_stream *stream);
/* Waits until all accepted and fed pages are committed; false: time ran out, a page failed or the engine was cancelled.
 */
bool hr__stream_wait_committed(hr_stream *stream, uint32_t timeout_ms);
/* Whether committed pages added tables or columns that no batch has told of. */
bool hr__stream_has_grown(hr_stream *stream);
/* How many accepted or fed pages are committed; a page that failed is not, nor are those behind it. */
uint64_t hr__stream_committed(hr_stream *stream);
/* How many records those pages had, before what contracts and filters leave out. */
uint64_t hr__stream_records(hr_stream *stream);

/* ---- output */

typedef struct hr_output_table {
    char *name, *parent;    /* owned; parent NULL: none */
    size_t n_rows, n_bytes; /* bytes in the buffers */
    bool is_new;
    hr_column *new_columns; /* owned; their names are owned by the output's arena */
    size_t n_new_columns;
    struct ArrowArray array; /* release NULL: taken */
    struct ArrowSchema schema;
} hr_output_table;

typedef struct hr_output {
    hr_arena arena;
    hr_output_table *tables; /* the root first, parents before children */
    size_t n_tables;
} hr_output;

typedef enum hr_next { HR_NEXT_UNSET, HR_NEXT_ROWS, HR_NEXT_TIMEOUT, HR_NEXT_END } hr_next;

/* Whether twice batch_bytes wait to be taken: the consumer is slower than the engine, so pages should be held back. */
bool hr__stream_is_behind(hr_stream *stream);
/* The next rows. *next_out says which of the three; *output_out is set for ROWS. Fails with the first failed page's
 * error (in accept order), *tag_out its tag, else -1; with stop_at_record, after all rows before that record. @locality
 * one consumer thread a stream. */
HR_MUST_CHECK int hr__stream_next(hr_stream *stream, uint32_t timeout_ms, hr_next *next_out, hr_output **output_out,
                                  int64_t *tag_out, hr_error *err);
void hr__output_free(hr_output *output); /* releases what was not taken */
/* Appends "table\0column\0" for each column that has only been null and is in no table; some more than once. */
HR_MUST_CHECK int hr__stream_null_columns(hr_stream *stream, hr_buf *out);

#endif
