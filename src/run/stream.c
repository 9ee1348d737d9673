/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream: pages normalized in parallel, committed in the order of their acceptance.
 *
 *   accept 0 1 2 3        workers: 1 and 3 done, 0 at work        ready: 1 3      next_commit: 0
 *   worker ends 0         -> commits 0, 1                         ready: 3        next_commit: 2
 *
 * A worker normalizes against its own copy of the schema. Copies only lack the end of the stream's schema, so a page
 * that added nothing holds whatever was added meanwhile. A page that did add tables or columns waits for its turn: if
 * the stream's schema is still the one it started from, its additions become the stream's; if not, it is normalized
 * again, now at its turn, against the schema as it is.
 *
 * Why waiting cannot lock up: a worker waits only for pages accepted earlier, workers take pages in accept order, so
 * those are finished or held by workers that wait for even earlier ones.
 */
#include "csv.h"
#include "normalize_fields.h"
#include "run.h"

#include <errno.h>
#include <fcntl.h>

/* ---------------------------------------------------------------------------------------------------- life */

int hr__steps_copy(hr_arena *arena, const hr_step *steps, size_t n_steps, hr_step **steps_out) {
    hr_step *copy = hr__arena_alloc(arena, sizeof *copy * (n_steps + 1));
    if (copy == NULL) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < n_steps; i++) {
        copy[i] = steps[i];
        HR_TRY(steps[i].kind == HR_STEP_KEY ? hr__arena_keep(arena, &copy[i].key) : HR_OK);
    }
    *steps_out = copy;
    return HR_OK;
}

static int told_all(hr_stream *stream) {
    HR_TRY(hr__grow(&stream->engine->account->alloc, (void **)&stream->told_columns, &stream->cap_told,
                    stream->schema.n_tables, sizeof *stream->told_columns));
    for (size_t t = 0; t < stream->schema.n_tables; t++) {
        stream->told_columns[t] = stream->schema.tables[t].n_columns;
    }
    stream->n_told = stream->schema.n_tables;
    stream->told_version = stream->schema.version;
    return HR_OK;
}

static void stream_destroy(hr_stream *stream) {
    hr_engine *engine = stream->engine;
    const hr_allocator *alloc = &engine->account->alloc;
    if (stream->workers != NULL) {
        for (uint32_t i = 0; i < engine->options.workers; i++) {
            hr__normalizer_free(stream->workers[i].normalizer);
            hr__schema_free(&stream->workers[i].schema);
        }
    }
    hr__free(alloc, stream->workers);
    for (size_t i = 0; i < stream->n_spare; i++) {
        hr__batch_free(stream->spare[i]);
        hr__free(alloc, stream->spare[i]);
    }
    hr__emitter_free(stream->emitter);
    hr__schema_free(&stream->schema);
    hr__free(alloc, stream->told_columns);
    hr__buf_free(&stream->null_columns);
    hr__arena_free(&stream->arena);
    pthread_mutex_destroy(&stream->emit_lock);
    pthread_mutex_destroy(&stream->lock);
    pthread_cond_destroy(&stream->changed);
    hr__free(alloc, stream);
}

void hr__stream_ref(hr_stream *stream) {
    atomic_fetch_add_explicit(&stream->refs, 1, memory_order_relaxed);
}

void hr__stream_unref(hr_stream *stream) {
    if (atomic_fetch_sub_explicit(&stream->refs, 1, memory_order_acq_rel) == 1) {
        stream_destroy(stream);
    }
}

/* The propagations' own copy, in the arena. */
static int copy_propagations(hr_stream *stream) {
    hr_normalize_options *options = &stream->options.normalize;
    hr_propagation *copy =
        hr__arena_alloc(&stream->arena, (options->n_propagations + 1) * sizeof *options->propagations);
    if (copy == NULL) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < options->n_propagations; i++) {
        copy[i] = options->propagations[i];
        HR_TRY(hr__arena_keep(&stream->arena, &copy[i].table));
        HR_TRY(hr__arena_keep(&stream->arena, &copy[i].from));
        HR_TRY(hr__arena_keep(&stream->arena, &copy[i].as));
    }
    options->propagations = copy;
    return HR_OK;
}

int hr__stream_new(hr_engine *engine, const hr_stream_options *options, hr_schema *schema, hr_stream **stream_out,
                   hr_error *err) {
    const hr_allocator *alloc = &engine->account->alloc;
    hr_stream *stream = hr__calloc(alloc, 1, sizeof *stream);
    if (stream == NULL) {
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    stream->engine = engine;
    atomic_store(&stream->refs, 1);
    stream->options = *options;
    stream->options.normalize.alloc = alloc;
    memcpy(stream->options.normalize.seed, engine->options.seed, sizeof engine->options.seed);
    stream->error_tag = -1;
    hr__arena_init(&stream->arena, alloc, 0);
    hr__buf_init(&stream->null_columns, alloc, 0);
    pthread_mutex_init(&stream->lock, NULL);
    pthread_mutex_init(&stream->emit_lock, NULL);
    hr__cond_init(&stream->changed);
    hr__schema_init(&stream->schema, alloc);
    stream->workers = hr__calloc(alloc, engine->options.workers, sizeof *stream->workers);
    if (stream->workers == NULL || hr__arena_keep(&stream->arena, &stream->options.normalize.root_table) != HR_OK ||
        hr__arena_keep(&stream->arena, &stream->options.normalize.load_id) != HR_OK ||
        copy_propagations(stream) != HR_OK ||
        hr__steps_copy(&stream->arena, options->selector, options->n_selector, &stream->steps) != HR_OK ||
        hr__schema_sync(&stream->schema, schema) != HR_OK || told_all(stream) != HR_OK ||
        hr__emitter_new(alloc, &stream->emitter, err) != HR_OK) {
        stream_destroy(stream);
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    stream->n_steps = options->n_selector;
    stream->has_steps = options->has_selector;
    hr__schema_free(schema);
    pthread_mutex_lock(&engine->lock);
    stream->number = engine->n_streams++;
    stream->next = engine->streams;
    engine->streams = stream;
    pthread_mutex_unlock(&engine->lock);
    *stream_out = stream;
    return HR_OK;
}

void hr__stream_free(hr_stream *stream) {
    if (stream == NULL) {
        return;
    }
    hr_engine *engine = stream->engine;
    pthread_mutex_lock(&engine->lock);
    for (hr_stream **at = &engine->streams; *at != NULL; at = &(*at)->next) {
        if (*at == stream) {
            *at = stream->next;
            break;
        }
    }
    pthread_mutex_unlock(&engine->lock);
    hr__stream_unref(stream);
}

int hr__stream_select(hr_stream *stream, const hr_step *steps, size_t n_steps, hr_error *err) {
    hr_step *copy;
    pthread_mutex_lock(&stream->lock);
    int rc = hr__steps_copy(&stream->arena, steps, n_steps, &copy);
    if (rc == HR_OK) {
        stream->steps = copy;
        stream->n_steps = n_steps;
        stream->has_steps = true;
    }
    pthread_mutex_unlock(&stream->lock);
    return rc == HR_OK ? HR_OK : hr__error_memory(err, HR_STAGE_RUN);
}

void hr__stream_wake(hr_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

/* ---------------------------------------------------------------------------------------------------- accept */

/* Gives the page to the workers, next in order. */
static void page_push(hr_stream *stream, hr_page *page) {
    hr_engine *engine = stream->engine;
    pthread_mutex_lock(&stream->lock);
    page->seq = stream->n_accepted++;
    pthread_mutex_unlock(&stream->lock);
    pthread_mutex_lock(&engine->lock);
    hr__page_list_push(&engine->to_normalize, page);
    pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->lock);
}

int hr__stream_accept(hr_stream *stream, hr_page *page, const uint8_t *keep, hr_str extra, hr_error *err) {
    hr_engine *engine = stream->engine;
    const hr_allocator *alloc = &engine->account->alloc;
    if (page->doc == NULL || page->stream != stream) {
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_RUN, "accept: the page is not decoded or of another stream");
    }
    if (keep != NULL && page->n_records != 0) {
        page->keep = hr__alloc(alloc, page->n_records);
        if (page->keep == NULL) {
            return hr__error_memory(err, HR_STAGE_RUN);
        }
        memcpy(page->keep, keep, page->n_records);
    }
    if (extra.data != NULL && (hr__buf_reserve(&page->extra_body, extra.size_bytes + HR_BODY_PADDING) != HR_OK ||
                               hr__buf_append(&page->extra_body, extra.data, extra.size_bytes) != HR_OK)) {
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    if (hr__engine_is_cancelled(engine)) {
        return hr__error_cancelled(err);
    }
    page_push(stream, page);
    return HR_OK;
}

/* A page of records that are fed; NULL: `err` says why. */
static hr_page *page_fed(hr_stream *stream, int64_t tag, size_t skip, hr_error *err) {
    hr_page *page = NULL;
    if (hr__engine_is_cancelled(stream->engine)) {
        hr__error_cancelled(err);
    } else if (hr__page_new(stream->engine, stream, tag, &page, err) == HR_OK) {
        page->skip = skip;
        return page;
    }
    return NULL;
}

int hr__stream_feed(hr_stream *stream, int64_t tag, hr_str body, hr_feed_form form, size_t skip, hr_error *err) {
    hr_page *page = page_fed(stream, tag, skip, err);
    if (page == NULL) {
        return err->code;
    }
    page->is_lines = form == HR_FEED_LINES;
    size_t n_bracket = form == HR_FEED_ELEMENTS ? 1 : 0;
    if (hr__buf_reserve(&page->body, body.size_bytes + 2 + HR_BODY_PADDING) != HR_OK ||
        hr__buf_append(&page->body, "[", n_bracket) != HR_OK ||
        hr__buf_append(&page->body, body.data, body.size_bytes) != HR_OK ||
        hr__buf_append(&page->body, "]", n_bracket) != HR_OK) {
        hr__page_free(page);
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    page_push(stream, page);
    return HR_OK;
}

int hr__stream_feed_file(hr_stream *stream, int64_t tag, int fd, uint64_t file_offset, size_t file_bytes, size_t skip,
                         hr_error *err) {
    hr_page *page = page_fed(stream, tag, skip, err);
    if (page == NULL) {
        return err->code;
    }
    page->is_lines = true;
    page->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (page->fd < 0) {
        hr__page_free(page);
        return hr__error_set(err, HR_IO, HR_STAGE_FETCH, "the file could not be kept open: %s", strerror(errno));
    }
    page->is_of_file = true;
    page->file_offset = file_offset;
    page->file_bytes = file_bytes;
    page_push(stream, page);
    return HR_OK;
}

int hr__stream_feed_fields(hr_stream *stream, int64_t tag, hr_fields *fields, hr_error *err) {
    hr_page *page = page_fed(stream, tag, 0, err);
    if (page == NULL) {
        return err->code;
    }
    page->doc = hr__alloc(&stream->engine->account->alloc, sizeof *page->doc);
    if (page->doc == NULL) {
        hr__page_free(page);
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    hr__doc_init(page->doc, &stream->engine->account->alloc);
    page->fields = fields;
    page_push(stream, page);
    return HR_OK;
}

uint64_t hr__stream_committed(hr_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    uint64_t n = stream->n_committed;
    pthread_mutex_unlock(&stream->lock);
    return n;
}

uint64_t hr__stream_records(hr_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    uint64_t n = stream->n_records;
    pthread_mutex_unlock(&stream->lock);
    return n;
}

bool hr__stream_wait_committed(hr_stream *stream, uint32_t timeout_ms) {
    uint64_t deadline_ms = hr__now_ms() + timeout_ms;
    pthread_mutex_lock(&stream->lock);
    while (stream->next_commit != stream->n_accepted && !stream->failed && hr__now_ms() < deadline_ms &&
           !hr__engine_is_cancelled(stream->engine)) {
        hr__cond_wait_until(&stream->changed, &stream->lock, deadline_ms);
    }
    bool all = stream->next_commit == stream->n_accepted && !stream->failed;
    pthread_mutex_unlock(&stream->lock);
    return all;
}

bool hr__stream_has_grown(hr_stream *stream) {
    pthread_mutex_lock(&stream->emit_lock);
    bool has_grown = stream->schema.version != stream->told_version;
    pthread_mutex_unlock(&stream->emit_lock);
    return has_grown;
}

void hr__stream_finish(hr_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    stream->finished = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

/* ---------------------------------------------------------------------------------------------------- normalize */

static hr_batch *batch_take(hr_stream *stream) {
    const hr_allocator *alloc = &stream->engine->account->alloc;
    pthread_mutex_lock(&stream->lock);
    hr_batch *batch = stream->n_spare == 0 ? NULL : stream->spare[--stream->n_spare];
    pthread_mutex_unlock(&stream->lock);
    if (batch == NULL) {
        batch = hr__alloc(alloc, sizeof *batch);
        if (batch != NULL) {
            hr__batch_init(batch, alloc);
        }
    }
    return batch;
}

/* A page's batch back to the spares, or freed. */
static void batch_put(hr_stream *stream, hr_page *page) {
    hr_batch *batch = page->batch;
    if (batch == NULL) {
        return;
    }
    page->batch = NULL;
    hr__batch_reset(batch);
    pthread_mutex_lock(&stream->lock);
    bool kept = stream->n_spare < HR_SPARE_BATCHES && !hr__engine_is_full(stream->engine);
    if (kept) {
        stream->spare[stream->n_spare++] = batch;
    }
    pthread_mutex_unlock(&stream->lock);
    if (!kept) {
        hr__batch_free(batch);
        hr__free(&stream->engine->account->alloc, batch);
    }
}

/* Makes the worker's schema equal to the stream's; from_new: after a schema that did not become the stream's. */
static int worker_sync(hr_stream *stream, hr_stream_worker *own, bool from_new) {
    const hr_allocator *alloc = &stream->engine->account->alloc;
    if (from_new || own->schema.alloc == NULL) {
        hr__schema_free(&own->schema);
        hr__schema_init(&own->schema, alloc);
    }
    pthread_mutex_lock(&stream->emit_lock);
    int rc = own->schema.version == stream->schema.version && !from_new
                 ? HR_OK
                 : hr__schema_sync(&own->schema, &stream->schema);
    pthread_mutex_unlock(&stream->emit_lock);
    return rc;
}

static void count_records(hr_stream *stream, hr_stream_worker *own) {
    hr_normalize_stats stats;
    hr__normalizer_stats(own->normalizer, &stats);
    hr_engine *engine = stream->engine;
    atomic_fetch_add(&engine->fast_records, stats.fast_records - own->counted.fast_records);
    atomic_fetch_add(&engine->reference_records, stats.reference_records - own->counted.reference_records);
    own->counted = stats;
}

/* Gives the page the columns that its worker saw null and no earlier page of this worker has. */
static int take_nulls(hr_page *page, hr_stream_worker *own, hr_error *err) {
    hr_str table, column;
    hr_buf *out = &page->null_columns;
    out->size_bytes = 0;
    while (hr__normalizer_null_column(own->normalizer, own->n_nulls, &table, &column)) {
        own->n_nulls++;
        if (hr__buf_append(out, table.data, table.size_bytes) != HR_OK || hr__buf_append(out, "", 1) != HR_OK ||
            hr__buf_append(out, column.data, column.size_bytes) != HR_OK || hr__buf_append(out, "", 1) != HR_OK) {
            return hr__error_memory(err, HR_STAGE_NORMALIZE);
        }
    }
    return HR_OK;
}

int hr__stream_null_columns(hr_stream *stream, hr_buf *out) {
    pthread_mutex_lock(&stream->lock);
    int rc = hr__buf_append(out, stream->null_columns.data, stream->null_columns.size_bytes);
    pthread_mutex_unlock(&stream->lock);
    return rc;
}

/* Drops the worker's normalizer and what it learned. */
static void worker_forget(hr_stream_worker *own) {
    hr__normalizer_free(own->normalizer);
    own->normalizer = NULL;
    own->counted = (hr_normalize_stats){0};
    own->n_nulls = 0;
}

static int decode_extra(hr_page *page, hr_json_decoder *decoder, hr_error *err) {
    if (page->extra_body.data == NULL || page->extra != NULL) {
        return HR_OK;
    }
    const hr_allocator *alloc = &page->engine->account->alloc;
    hr_doc *doc = hr__alloc(alloc, sizeof *doc);
    if (doc == NULL) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    hr__doc_init(doc, alloc);
    page->extra = doc;
    return hr__json_decode(decoder, page->extra_body.data, page->extra_body.size_bytes, doc, err);
}

static int normalize_once(hr_stream *stream, hr_page *page, hr_stream_worker *own, hr_error *err) {
    if (own->normalizer == NULL) {
        HR_TRY(hr__normalizer_new(&stream->options.normalize, &own->schema, &own->normalizer, err));
    }
    const uint64_t number = stream->number << 40 | page->seq; /* a trillion pages a stream */
    const hr_records records = {
        .doc = page->doc,
        .at = page->records + page->skip,
        .n = page->n_records - page->skip,
        .keep = page->keep,
        .extra = page->extra,
        .stream = number,
    };
    int rc = page->fields == NULL
                 ? hr__normalize(own->normalizer, &records, page->batch, err)
                 : hr__normalize_fields(own->normalizer, page->fields, number, page->doc, page->batch, err);
    count_records(stream, own);
    HR_TRY(take_nulls(page, own, err));
    if (rc != HR_OK && err->record >= 0) {
        err->record += (int64_t)page->skip;
    }
    page->stopped = rc != HR_OK && rc != HR_MEMORY && stream->options.normalize.stop_at_record && err->record >= 0;
    return rc;
}

/* Waits until every page accepted before this one is committed. False: cancelled, or one of them failed, so that what
 * this page adds to the schema must not become the stream's. */
static bool wait_turn(hr_stream *stream, const hr_page *page) {
    bool mine = false;
    pthread_mutex_lock(&stream->lock);
    while (!hr__engine_is_cancelled(stream->engine)) {
        mine = stream->next_commit == page->seq;
        if (mine || stream->failed) {
            mine = mine && !stream->failed;
            break;
        }
        hr__cond_wait_until(&stream->changed, &stream->lock, hr__now_ms() + 50);
    }
    pthread_mutex_unlock(&stream->lock);
    return mine;
}

/* Normalizes the page; at its turn when its schema grew or it failed. Fills page->error on failure. */
static int normalize_page(hr_stream *stream, hr_page *page, hr_stream_worker *own, hr_json_decoder *decoder,
                          hr_error *err) {
    if (page->batch == NULL) {
        return hr__error_memory(err, HR_STAGE_NORMALIZE);
    }
    if (worker_sync(stream, own, false) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_NORMALIZE);
    }
    HR_TRY(decode_extra(page, decoder, err));
    uint64_t base_version = own->schema.version;
    int rc = normalize_once(stream, page, own, err);
    if (rc == HR_OK && own->schema.version == base_version) {
        return HR_OK;
    }
    if (!wait_turn(stream, page)) {
        return hr__error_cancelled(err);
    }
    /* Nobody else changes the stream's schema now. */
    pthread_mutex_lock(&stream->emit_lock);
    bool moved = stream->schema.version != base_version;
    pthread_mutex_unlock(&stream->emit_lock);
    if (moved) {
        atomic_fetch_add(&stream->engine->renormalized, 1);
        worker_forget(own);
        hr__batch_free(page->batch); /* its columns are laid out for a schema that did not come to be */
        hr__batch_init(page->batch, &stream->engine->account->alloc);
        if (worker_sync(stream, own, true) != HR_OK) {
            return hr__error_memory(err, HR_STAGE_NORMALIZE);
        }
        rc = normalize_once(stream, page, own, err);
    }
    if (rc != HR_OK && !page->stopped) {
        return rc;
    }
    pthread_mutex_lock(&stream->emit_lock);
    int synced = hr__schema_sync(&stream->schema, &own->schema);
    pthread_mutex_unlock(&stream->emit_lock);
    if (synced != HR_OK) {
        page->stopped = false;
        return hr__error_memory(err, HR_STAGE_NORMALIZE);
    }
    return rc;
}

/* ---------------------------------------------------------------------------------------------------- commit */

static void ready_insert(hr_stream *stream, hr_page *page) {
    hr_page **at = &stream->ready.first;
    while (*at != NULL && (*at)->seq < page->seq) {
        at = &(*at)->next;
    }
    page->next = *at;
    *at = page;
}

/* Appends the page's rows; *bytes_out: what the emitter grew by. */
static int commit_rows(hr_stream *stream, hr_page *page, int64_t *bytes_out, hr_error *err) {
    pthread_mutex_lock(&stream->emit_lock);
    int64_t before = (int64_t)hr__emitter_bytes(stream->emitter);
    int rc = hr__emitter_append(stream->emitter, &stream->schema, page->batch, err);
    *bytes_out = (int64_t)hr__emitter_bytes(stream->emitter) - before;
    pthread_mutex_unlock(&stream->emit_lock);
    return rc;
}

static void commit_page(hr_stream *stream, hr_page *page, bool failed) {
    int64_t bytes = 0;
    size_t n_rows = 0;
    hr_error err = page->error;
    if (!failed && (err.code == HR_OK || page->stopped)) {
        n_rows = hr__batch_rows(page->batch);
        if (commit_rows(stream, page, &bytes, &err) != HR_OK) {
            n_rows = 0;
        }
    }
    pthread_mutex_lock(&stream->lock);
    if (!failed &&
        hr__buf_append(&stream->null_columns, page->null_columns.data, page->null_columns.size_bytes) != HR_OK &&
        err.code == HR_OK) {
        hr__error_memory(&err, HR_STAGE_NORMALIZE);
    }
    if (err.code != HR_OK && !stream->failed) {
        stream->failed = true;
        stream->error = err;
        stream->error_tag = page->tag;
    }
    if (n_rows != 0 && stream->emit_rows == 0) {
        stream->oldest_row_ms = hr__now_ms();
    }
    stream->emit_rows += n_rows;
    stream->emit_bytes += bytes;
    pthread_mutex_unlock(&stream->lock);
    atomic_fetch_add(&stream->engine->pages, 1);
    atomic_fetch_add(&stream->engine->rows, n_rows);
}

/* Puts the page among the ready ones and commits, in order, what is next; one worker at a time. */
static void commit(hr_stream *stream, hr_page *page) {
    pthread_mutex_lock(&stream->lock);
    ready_insert(stream, page);
    if (stream->committing) {
        pthread_mutex_unlock(&stream->lock);
        return;
    }
    stream->committing = true;
    while (stream->ready.first != NULL && stream->ready.first->seq == stream->next_commit) {
        hr_page *head = stream->ready.first;
        stream->ready.first = head->next;
        bool failed = stream->failed;
        size_t n_records = head->fields != NULL ? head->fields->n_rows : head->n_records - head->skip;
        pthread_mutex_unlock(&stream->lock);
        commit_page(stream, head, failed);
        batch_put(stream, head);
        hr__page_free(head);
        pthread_mutex_lock(&stream->lock);
        stream->next_commit++;
        stream->n_committed += !stream->failed;
        stream->n_records += stream->failed ? 0 : n_records;
        pthread_cond_broadcast(&stream->changed);
    }
    stream->committing = false;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

void hr__stream_work(hr_stream *stream, hr_page *page, uint32_t worker, hr_json_decoder *decoder) {
    hr_stream_worker *own = &stream->workers[worker];
    hr__stream_ref(stream); /* committing frees pages, and with the last page maybe the stream */
    hr_error err = {.offset_bytes = -1, .record = -1};
    if (hr__engine_is_cancelled(stream->engine)) { /* nobody waits for it any more */
        hr__error_cancelled(&page->error);
    } else if (page->doc == NULL) { /* fed */
        hr__page_decode_own(page, decoder);
        if (page->error.code == HR_OK && page->doc->toks[0].type != HR_TOK_ARRAY) {
            hr__error_set(&page->error, HR_SYNTAX, HR_STAGE_DECODE, "expected a list of records");
        }
        page->skip = page->skip < page->n_records ? page->skip : page->n_records;
    } else if (page->fields != NULL) {
        hr_error bad = {.offset_bytes = -1, .record = -1};
        if (hr__csv_check_utf8(page->fields, &bad) != HR_OK) {
            page->error = bad;
        }
    }
    if (page->error.code != HR_OK) {
        commit(stream, page);
        hr__stream_unref(stream);
        return;
    }
    page->batch = batch_take(stream);
    if (normalize_page(stream, page, own, decoder, &err) != HR_OK) {
        page->error = err;
        page->stopped = page->stopped && err.record >= 0;
        /* Whatever this worker added to its copy is not the stream's: start again from there. */
        worker_forget(own);
        hr__schema_free(&own->schema);
        own->schema = (hr_schema){0};
    }
    commit(stream, page);
    hr__stream_unref(stream);
}

/* ---------------------------------------------------------------------------------------------------- output */

void hr__output_free(hr_output *output) {
    if (output == NULL) {
        return;
    }
    for (size_t t = 0; t < output->n_tables; t++) {
        if (output->tables[t].array.release != NULL) {
            output->tables[t].array.release(&output->tables[t].array);
        }
        if (output->tables[t].schema.release != NULL) {
            output->tables[t].schema.release(&output->tables[t].schema);
        }
    }
    hr__arena_free(&output->arena);
    hr__free(&hr__allocator_libc, output);
}

static int output_columns(hr_stream *stream, hr_output *output, hr_output_table *to, size_t t, size_t told) {
    const hr_table *from = &stream->schema.tables[t];
    to->new_columns = hr__arena_alloc(&output->arena, sizeof *to->new_columns * (from->n_columns - told + 1));
    if (to->new_columns == NULL) {
        return HR_MEMORY;
    }
    for (size_t c = told; c < from->n_columns; c++) {
        if (from->columns[c].type == HR_TYPE_UNSET) {
            continue;
        }
        hr_column column = from->columns[c];
        HR_TRY(hr__arena_keep(&output->arena, &column.name));
        to->new_columns[to->n_new_columns++] = column;
    }
    return HR_OK;
}

static int output_table(hr_stream *stream, hr_output *output, size_t t, hr_error *err) {
    const hr_table *from = &stream->schema.tables[t];
    hr_output_table *to = &output->tables[output->n_tables];
    *to = (hr_output_table){.is_new = t >= stream->n_told,
                            .n_rows = hr__emitter_rows(stream->emitter, (int32_t)t),
                            .n_bytes = hr__emitter_table_bytes(stream->emitter, (int32_t)t)};
    to->name = hr__arena_copy(&output->arena, from->name.data, from->name.size_bytes);
    if (from->parent >= 0) {
        hr_str parent = stream->schema.tables[from->parent].name;
        to->parent = hr__arena_copy(&output->arena, parent.data, parent.size_bytes);
    }
    size_t told = t < stream->n_told ? stream->told_columns[t] : 0;
    if (to->name == NULL || (from->parent >= 0 && to->parent == NULL) ||
        output_columns(stream, output, to, t, told) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    HR_TRY(hr__emitter_export(stream->emitter, &stream->schema, (int32_t)t, &to->array, &to->schema, err));
    output->n_tables++;
    return HR_OK;
}

/* All tables with rows, the root first and always. emit_lock is held. */
static int output_fill(hr_stream *stream, hr_output *output, hr_error *err) {
    const hr_schema *schema = &stream->schema;
    output->tables = hr__arena_alloc(&output->arena, sizeof *output->tables * (schema->n_tables + 1));
    if (output->tables == NULL) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    int32_t root = hr__schema_find(schema, stream->options.normalize.root_table);
    if (root >= 0) {
        HR_TRY(output_table(stream, output, (size_t)root, err));
    }
    for (size_t t = 0; t < schema->n_tables; t++) {
        if ((int32_t)t != root && hr__emitter_rows(stream->emitter, (int32_t)t) != 0) {
            HR_TRY(output_table(stream, output, t, err));
        }
    }
    return HR_OK;
}

static int output_make(hr_stream *stream, hr_output **output_out, int64_t *freed_out, hr_error *err) {
    hr_output *output = hr__calloc(&hr__allocator_libc, 1, sizeof *output);
    if (output == NULL) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    hr__arena_init(&output->arena, &hr__allocator_libc, 0);
    pthread_mutex_lock(&stream->emit_lock);
    int64_t before = (int64_t)hr__emitter_bytes(stream->emitter);
    int rc = output_fill(stream, output, err);
    if (rc == HR_OK && told_all(stream) != HR_OK) {
        rc = hr__error_memory(err, HR_STAGE_EMIT);
    }
    *freed_out = before - (int64_t)hr__emitter_bytes(stream->emitter);
    pthread_mutex_unlock(&stream->emit_lock);
    if (rc != HR_OK) {
        hr__output_free(output);
        return rc;
    }
    *output_out = output;
    return HR_OK;
}

/* Whether what is committed should leave now. lock is held. */
static bool is_due(hr_stream *stream, bool done, uint64_t now_ms) {
    uint64_t bytes = stream->emit_bytes < 0 ? 0 : (uint64_t)stream->emit_bytes;
    if (stream->emit_rows == 0) {
        return false;
    }
    if (done || bytes >= stream->options.batch_bytes) {
        return true;
    }
    uint64_t age_ms = now_ms - stream->oldest_row_ms;
    bool is_idle = stream->next_commit == stream->n_accepted && age_ms >= HR_IDLE_MS;
    /* Not every page by itself: what was handed over may be what fills the memory. */
    return bytes >= stream->options.batch_bytes / 8 && (is_idle || hr__engine_is_full(stream->engine));
}

bool hr__stream_is_behind(hr_stream *stream) {
    pthread_mutex_lock(&stream->lock);
    bool is_behind = stream->emit_rows != 0 && stream->emit_bytes > 0 &&
                     (uint64_t)stream->emit_bytes / 2 >= stream->options.batch_bytes;
    pthread_mutex_unlock(&stream->lock);
    return is_behind;
}

int hr__stream_next(hr_stream *stream, uint32_t timeout_ms, hr_next *next_out, hr_output **output_out, int64_t *tag_out,
                    hr_error *err) {
    hr_engine *engine = stream->engine;
    uint64_t deadline_ms = hr__now_ms() + timeout_ms;
    *tag_out = -1;
    hr_next next = HR_NEXT_UNSET;
    int rc = HR_OK;
    pthread_mutex_lock(&stream->lock);
    while (next == HR_NEXT_UNSET && rc == HR_OK) {
        uint64_t now_ms = hr__now_ms();
        bool done = stream->finished && stream->next_commit == stream->n_accepted;
        if (hr__engine_is_cancelled(engine)) {
            rc = hr__error_cancelled(err);
        } else if (stream->failed && !(stream->options.normalize.stop_at_record && stream->emit_rows != 0)) {
            if (err != NULL) {
                *err = stream->error;
            }
            rc = stream->error.code;
            *tag_out = stream->error_tag;
        } else if (stream->failed || is_due(stream, done, now_ms)) {
            next = HR_NEXT_ROWS;
        } else if (done) {
            next = HR_NEXT_END;
        } else if (now_ms >= deadline_ms) {
            next = HR_NEXT_TIMEOUT;
        } else {
            /* In slices: fullness and age have no signal of their own. */
            uint64_t slice_ms = stream->emit_rows != 0 ? now_ms + 10 : now_ms + 50;
            hr__cond_wait_until(&stream->changed, &stream->lock, slice_ms < deadline_ms ? slice_ms : deadline_ms);
        }
    }
    if (next == HR_NEXT_ROWS) {
        stream->emit_rows = 0;
    }
    pthread_mutex_unlock(&stream->lock);
    if (rc != HR_OK) {
        return rc;
    }
    if (next == HR_NEXT_ROWS) {
        int64_t freed_bytes = 0;
        HR_TRY(output_make(stream, output_out, &freed_bytes, err));
        pthread_mutex_lock(&stream->lock);
        stream->emit_bytes -= freed_bytes;
        pthread_mutex_unlock(&stream->lock);
        hr__engine_memory_freed(engine);
    }
    *next_out = next;
    return HR_OK;
}
