/* SPDX-License-Identifier: Apache-2.0
 *
 * A page: one answer's bytes, its document and which of its values are the records.
 */
#include "run.h"

#include "doc_write.h"
#include "file.h"

#include <unistd.h>

int hr__page_new(hr_engine *engine, hr_stream *stream, int64_t tag, hr_page **page_out, hr_error *err) {
    const hr_allocator *alloc = &engine->account->alloc;
    hr_page *page = hr__calloc(alloc, 1, sizeof *page);
    if (page == NULL) {
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    page->engine = engine;
    page->stream = stream;
    page->tag = tag;
    page->error = (hr_error){.offset_bytes = -1, .record = -1};
    hr__arena_init(&page->arena, alloc, 0);
    hr__buf_init(&page->body, alloc, 0);
    hr__buf_init(&page->extra_body, alloc, 0);
    hr__buf_init(&page->null_columns, alloc, 0);
    hr__stream_ref(stream);
    *page_out = page;
    return HR_OK;
}

static void doc_drop(const hr_allocator *alloc, hr_doc **doc) {
    if (*doc != NULL) {
        hr__doc_free(*doc);
        hr__free(alloc, *doc);
        *doc = NULL;
    }
}

static void close_file(hr_page *page) {
    if (page->is_of_file) {
        page->is_of_file = false;
        close(page->fd);
    }
}

void hr__page_free(hr_page *page) {
    if (page == NULL) {
        return;
    }
    hr_engine *engine = page->engine;
    const hr_allocator *alloc = &engine->account->alloc;
    hr__pager_leave(page);
    doc_drop(alloc, &page->doc);
    doc_drop(alloc, &page->extra);
    hr__buf_free(&page->body);
    hr__buf_free(&page->extra_body);
    hr__buf_free(&page->null_columns);
    hr__fields_free(page->fields);
    hr__free(alloc, page->records);
    hr__free(alloc, page->elide);
    hr__free(alloc, page->keep);
    if (page->batch != NULL) {
        hr__batch_free(page->batch);
        hr__free(alloc, page->batch);
    }
    hr__arena_free(&page->arena);
    close_file(page);
    hr__stream_unref(page->stream);
    hr__free(alloc, page);
    hr__engine_memory_freed(engine);
}

/* ---------------------------------------------------------------------------------------------------- select */

/* The arrays whose elements the selector takes: what stands before its first [*], or the one match itself. */
static int find_elided(hr_page *page, const hr_step *steps, size_t n_steps) {
    const hr_allocator *alloc = &page->engine->account->alloc;
    size_t n_before = 0;
    while (n_before < n_steps && steps[n_before].kind != HR_STEP_EACH) {
        n_before++;
    }
    page->n_elide = 0;
    return hr__doc_select(page->doc, 0, steps, n_before, alloc, &page->elide, &page->n_elide, &page->cap_elide);
}

static int push_records(hr_page *page, size_t array) {
    const hr_allocator *alloc = &page->engine->account->alloc;
    uint32_t n = page->doc->toks[array].len;
    HR_TRY(hr__grow(alloc, (void **)&page->records, &page->cap_records, n, sizeof *page->records));
    size_t at = array + 1;
    for (uint32_t i = 0; i < n; i++) {
        page->records[i] = at;
        at = hr__doc_next(page->doc, at);
    }
    page->n_records = n;
    return HR_OK;
}

/* dlt's RESTClient.extract_response: one match that is a list gives its elements, null gives none, anything else
 * stands. */
static int select_records(hr_page *page, const hr_step *steps, size_t n_steps, hr_error *err) {
    const hr_allocator *alloc = &page->engine->account->alloc;
    page->n_records = 0;
    if (find_elided(page, steps, n_steps) != HR_OK ||
        hr__doc_select(page->doc, 0, steps, n_steps, alloc, &page->records, &page->n_records, &page->cap_records) !=
            HR_OK) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    if (page->n_records == 1) {
        size_t match = page->records[0];
        if (page->doc->toks[match].type == HR_TOK_ARRAY) {
            if (push_records(page, match) != HR_OK) {
                return hr__error_memory(err, HR_STAGE_DECODE);
            }
        } else if (page->doc->toks[match].type == HR_TOK_NULL) {
            page->n_records = 0;
        }
    }
    if (page->n_records > page->engine->options.max_records) {
        size_t n_records = page->n_records;
        page->n_records = 0;
        return hr__error_set(err, HR_LIMIT, HR_STAGE_DECODE, "the page holds %zu records, more than max_records %u",
                             n_records, page->engine->options.max_records);
    }
    return HR_OK;
}

int hr__page_select(hr_page *page, const hr_step *steps, size_t n_steps, hr_error *err) {
    if (page->doc == NULL) {
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_DECODE, "select: the page is not decoded");
    }
    if (n_steps > page->engine->options.max_selector_steps) {
        return hr__error_set(err, HR_LIMIT, HR_STAGE_DECODE, "the data selector has %zu steps, more than %u", n_steps,
                             page->engine->options.max_selector_steps);
    }
    return select_records(page, steps, n_steps, err);
}

/* ---------------------------------------------------------------------------------------------------- decode */

static int decode_with(hr_page *page, hr_json_decoder *decoder, hr_error *err) {
    const hr_allocator *alloc = &page->engine->account->alloc;
    if (page->doc == NULL) {
        page->doc = hr__alloc(alloc, sizeof *page->doc);
        if (page->doc == NULL) {
            return hr__error_memory(err, HR_STAGE_DECODE);
        }
        hr__doc_init(page->doc, alloc);
    }
    page->n_records = page->n_elide = 0;
    if (page->body.data == NULL && hr__buf_reserve(&page->body, HR_BODY_PADDING) != HR_OK) {
        doc_drop(alloc, &page->doc);
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    int rc = (page->is_lines ? hr__json_decode_lines : hr__json_decode)(decoder, page->body.data, page->body.size_bytes,
                                                                        page->doc, err);
    if (rc != HR_OK) {
        doc_drop(alloc, &page->doc);
        return rc;
    }
    hr_stream *stream = page->stream;
    pthread_mutex_lock(&stream->lock);
    const hr_step *steps = stream->steps;
    size_t n_steps = stream->n_steps;
    bool has_steps = stream->has_steps;
    pthread_mutex_unlock(&stream->lock);
    return has_steps ? select_records(page, steps, n_steps, err) : HR_OK;
}

void hr__page_decode_own(hr_page *page, hr_json_decoder *decoder) {
    hr_error err = {.code = HR_OK, .offset_bytes = -1, .record = -1};
    if (page->is_of_file) {
        int rc = hr__file_read(page->fd, page->file_offset, page->file_bytes, HR_BODY_PADDING, &page->body, &err);
        close_file(page);
        if (rc != HR_OK) {
            page->error = err;
            return;
        }
    }
    if (decode_with(page, decoder, &err) != HR_OK) {
        page->error = err;
    }
}

int hr__page_decode(hr_page *page, hr_str body, bool lines, hr_error *err) {
    hr_engine *engine = page->engine;
    if (body.data != NULL) {
        page->body.size_bytes = 0;
        int rc = hr__buf_reserve(&page->body, body.size_bytes + HR_BODY_PADDING);
        if (rc == HR_OK) {
            rc = hr__buf_append(&page->body, body.data, body.size_bytes);
        }
        if (rc != HR_OK) {
            return hr__error_memory(err, HR_STAGE_DECODE);
        }
    }
    pthread_mutex_lock(&engine->caller_lock);
    page->is_lines = lines;
    int rc = decode_with(page, engine->caller_decoder, err);
    pthread_mutex_unlock(&engine->caller_lock);
    if (rc == HR_OK) {
        page->error = (hr_error){.offset_bytes = -1, .record = -1};
    }
    return rc;
}

/* ---------------------------------------------------------------------------------------------------- views */

void hr__page_info(const hr_page *page, hr_page_info *info_out) {
    *info_out = (hr_page_info){
        .tag = page->tag,
        .status = page->status,
        .reason = page->reason,
        .url = page->url,
        .headers = page->headers,
        .n_headers = page->n_headers,
        .attempts = page->attempts,
        .throttled = page->throttled,
        .window = page->window,
        .encoded = page->encoded,
        .is_early = page->is_early,
        .wire_bytes = page->wire_bytes,
        .elapsed_ms = page->elapsed_ms,
        .body = {page->body.data, page->body.size_bytes},
        .decoded = page->doc != NULL,
        .n_records = page->n_records,
        .error = page->error.code == HR_OK ? NULL : &page->error,
    };
}

uint64_t hr__page_fingerprint(const hr_page *page) {
    const char *at = page->body.data;
    size_t size = page->body.size_bytes;
    uint64_t h = 0x9E3779B97F4A7C15u ^ size, word = 0;
    for (; size >= sizeof word; size -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        h = (h ^ word) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, size == 0 ? "" : at, size);
    h = (h ^ word) * 0xD6E8FEB86659FD93u;
    return h ^ h >> 32;
}

static int not_decoded(hr_error *err) {
    return hr__error_set(err, HR_ARGUMENT, HR_STAGE_RUN, "the page is not decoded");
}

int hr__page_shape(const hr_page *page, hr_buf *out, hr_error *err) {
    if (page->doc == NULL) {
        return not_decoded(err);
    }
    return hr__doc_write(page->doc, 0, HR_WRITE_LENIENT | HR_WRITE_EMPTY_ARRAYS, NULL, 0, out, err);
}

int hr__page_envelope(const hr_page *page, hr_buf *out, hr_error *err) {
    if (page->doc == NULL) {
        return not_decoded(err);
    }
    return hr__doc_write(page->doc, 0, HR_WRITE_LENIENT, page->elide, page->n_elide, out, err);
}

static int project_object(const hr_doc *doc, size_t object, const hr_str *keys, size_t n_keys, hr_buf *out,
                          hr_error *err) {
    HR_TRY(hr__buf_append_str(out, "{"));
    bool first = true;
    for (size_t k = 0; k < n_keys; k++) {
        size_t value = hr__doc_member(doc, object, keys[k]);
        if (value == SIZE_MAX) {
            continue;
        }
        HR_TRY(hr__buf_append_str(out, first ? "" : ","));
        first = false;
        HR_TRY(hr__doc_write_string(keys[k], HR_WRITE_LENIENT, out, err));
        HR_TRY(hr__buf_append_str(out, ":"));
        HR_TRY(hr__doc_write(doc, value, HR_WRITE_LENIENT, NULL, 0, out, err));
    }
    return hr__buf_append_str(out, "}");
}

int hr__page_project(const hr_page *page, const hr_str *keys, size_t n_keys, const uint8_t *keep, hr_buf *out,
                     hr_error *err) {
    if (page->doc == NULL) {
        return not_decoded(err);
    }
    const hr_doc *doc = page->doc;
    HR_TRY(hr__buf_append_str(out, "["));
    bool first = true;
    for (size_t i = 0; i < page->n_records; i++) {
        if (keep != NULL && keep[i] == 0) {
            continue;
        }
        HR_TRY(hr__buf_append_str(out, first ? "" : ","));
        first = false;
        size_t at = page->records[i];
        if (keys == NULL || doc->toks[at].type != HR_TOK_OBJECT) {
            HR_TRY(hr__doc_write(doc, at, HR_WRITE_LENIENT, NULL, 0, out, err));
        } else {
            HR_TRY(project_object(doc, at, keys, n_keys, out, err));
        }
    }
    return hr__buf_append_str(out, "]");
}

/* The text of an object with extra's members over its own: they stand behind them, and of a key that is there twice a
 * reader takes the first's place and the last's value, as dict.update leaves it. */
static int text_with_extra(const hr_doc *doc, size_t object, hr_str extra, hr_buf *out, hr_error *err) {
    HR_TRY(hr__doc_write(doc, object, 0, NULL, 0, out, err));
    out->size_bytes--; /* the brace */
    HR_TRY(hr__buf_append_str(out, doc->toks[object].len == 0 ? "" : ","));
    return hr__buf_append(out, extra.data + 1, extra.size_bytes - 1);
}

int hr__page_texts(const hr_page *page, const uint8_t *keep, hr_str extra, hr_buf *out, size_t *ends_out, size_t *n_out,
                   hr_error *err) {
    if (page->doc == NULL) {
        return not_decoded(err);
    }
    const hr_doc *doc = page->doc;
    size_t n = 0;
    for (size_t i = 0; i < page->n_records; i++) {
        if (keep != NULL && keep[i] == 0) {
            continue;
        }
        size_t at = page->records[i];
        int rc = extra.size_bytes > 2 && doc->toks[at].type == HR_TOK_OBJECT
                     ? text_with_extra(doc, at, extra, out, err)
                     : hr__doc_write(doc, at, 0, NULL, 0, out, err);
        if (rc != HR_OK) {
            if (err != NULL) {
                err->record = (int64_t)i;
            }
            return rc;
        }
        ends_out[n++] = out->size_bytes;
    }
    *n_out = n;
    return HR_OK;
}
