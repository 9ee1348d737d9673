/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: both decoding kernels, one of them fed in pieces, say the same of any bytes, and what they accept is
 * written to the same text again after it was read.
 */
#include "doc_write.h"
#include "json.h"
#include "records.h"

#include <stdlib.h>

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

/* step: 0, or the bytes that are fed at a time. */
static int decode(const char *body, size_t size, bool portable, size_t step, hr_doc *doc, hr_error *err) {
    hr_json_decoder *decoder;
    hr_json_options options = {.alloc = &hr__allocator_libc, .portable = portable};
    check(hr__json_decoder_new(&options, &decoder, err) == HR_OK);
    hr__doc_init(doc, &hr__allocator_libc);
    hr__json_start(decoder);
    for (size_t fed = step; step != 0 && fed < size; fed += step) {
        check(hr__json_feed(decoder, body, fed, err) == HR_OK);
    }
    int rc = hr__json_finish(decoder, body, size, doc, err);
    hr__json_decoder_free(decoder);
    return rc;
}

static void check_same_tape(const hr_doc *a, const hr_doc *b) {
    check(a->n_toks == b->n_toks);
    for (size_t i = 0; i < a->n_toks; i++) {
        const hr_tok *x = &a->toks[i], *y = &b->toks[i];
        bool text = x->type == HR_TOK_STRING || x->type == HR_TOK_BIGINT;
        bool value = x->type >= HR_TOK_INT;
        check(x->type == y->type && x->flags == y->flags && x->len == y->len);
        check(text ? memcmp(x->as.str, y->as.str, x->len) == 0 : !value || x->as.u == y->as.u);
    }
}

/* The document as text, with room for the decoder's padding. */
static hr_buf write(const hr_doc *doc, uint32_t flags) {
    hr_buf out;
    hr_error err;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    check(hr__doc_write(doc, 0, flags | HR_WRITE_LENIENT, NULL, 0, &out, &err) == HR_OK);
    check(hr__buf_reserve(&out, HR_BODY_PADDING) == HR_OK);
    return out;
}

static void check_text_stays(const hr_doc *doc, uint32_t flags) {
    hr_doc again;
    hr_error err;
    hr_buf first = write(doc, flags);
    check(decode(first.data, first.size_bytes, false, 64, &again, &err) == HR_OK);
    hr_buf second = write(&again, flags);
    check(hr__str_eq((hr_str){first.data, first.size_bytes}, (hr_str){second.data, second.size_bytes}));
    hr__doc_free(&again);
    hr__buf_free(&first);
    hr__buf_free(&second);
}

/* Cut between records, the text decodes to the same elements, or one slice fails: if the text is at fault or, of a
 * likely cut, the cut. */
static void check_split(const char *body, size_t size, int rc, const hr_doc *doc, bool portable, bool likely) {
    hr_json_decoder *decoder;
    hr_json_options options = {.alloc = &hr__allocator_libc, .portable = portable};
    hr_slice *slices = NULL;
    size_t n, n_elements = 0, n_toks = 0;
    bool all = true;
    check(hr__json_decoder_new(&options, &decoder, NULL) == HR_OK);
    check((likely ? hr__json_cut : hr__json_split)(decoder, body, size, 1 + size % 50, &slices, &n) == HR_OK);
    for (size_t i = 0; i < n; i++) {
        hr_doc slice;
        size_t length = slices[i].to - slices[i].from;
        char *text = malloc(length + 2 + HR_BODY_PADDING);
        check(text != NULL && slices[i].from <= slices[i].to && slices[i].to < size);
        text[0] = '[';
        memcpy(text + 1, body + slices[i].from, length);
        text[length + 1] = ']';
        hr__doc_init(&slice, &hr__allocator_libc);
        all = hr__json_decode(decoder, text, length + 2, &slice, NULL) == HR_OK && all;
        n_elements += all ? slice.toks[0].len : 0;
        n_toks += all ? slice.n_toks - 1 : 0;
        hr__doc_free(&slice);
        free(text);
    }
    check(n == 0 || all == (rc == HR_OK) || (likely && !all));
    check(n == 0 || !all || (n_elements == doc->toks[0].len && n_toks == doc->n_toks - 1));
    hr__free(&hr__allocator_libc, slices);
    hr__json_decoder_free(decoder);
}

/* As lines, the text decodes if each line that is not empty does, and to their documents. */
static void check_lines(const char *body, size_t size, bool portable) {
    hr_json_decoder *decoder;
    hr_json_options options = {.alloc = &hr__allocator_libc, .portable = portable};
    hr_doc lines, one;
    hr_error err = {.code = HR_OK};
    bool all = true;
    size_t n_toks = 1, n_documents = 0;
    check(hr__json_decoder_new(&options, &decoder, NULL) == HR_OK);
    hr__doc_init(&lines, &hr__allocator_libc);
    hr__doc_init(&one, &hr__allocator_libc);
    for (size_t from = 0; from < size && all;) {
        const char *newline = memchr(body + from, '\n', size - from);
        size_t to = newline == NULL ? size : (size_t)(newline - body);
        char *text = malloc(to - from + 1 + HR_BODY_PADDING);
        check(text != NULL);
        text[0] = ' '; /* only the first line may begin with a byte order mark */
        memcpy(text + 1, body + from, to - from);
        size_t blank = from == 0 && size >= 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
        size_t shift = from == 0 ? 1 : 0;
        while (blank < to - from && memchr(" \t\r", body[from + blank], 3) != NULL) {
            blank++;
        }
        if (blank < to - from) {
            all = hr__json_decode(decoder, text + shift, to - from + 1 - shift, &one, NULL) == HR_OK;
            n_toks += all ? one.n_toks : 0;
            n_documents++;
        }
        free(text);
        from = to + 1;
    }
    int rc = hr__json_decode_lines(decoder, body, size, &lines, &err);
    check((rc == HR_OK) == all && (rc == HR_OK || err.offset_bytes <= (int64_t)size));
    check(!all || (lines.n_toks == n_toks && lines.toks[0].len == n_documents));
    hr__doc_free(&lines);
    hr__doc_free(&one);
    hr__json_decoder_free(decoder);
}

/* The records that are found in chunks of `step` bytes, as the text of an array; false: an error. */
static bool find_records(const char *body, size_t size, size_t step, hr_buf *out) {
    hr_record_finder finder;
    hr_record_span span;
    size_t begun = SIZE_MAX; /* of what is not complete */
    bool any = false;
    check(hr__record_finder_init(&finder, NULL, 0, NULL) == HR_OK && hr__buf_append_str(out, "[") == HR_OK);
    for (size_t at = 0; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;
        if (hr__record_finder_scan(&finder, body + at, n, &span, NULL) != HR_OK) {
            return false;
        }
        begun = span.has_begin && begun == SIZE_MAX ? at + span.begin : begun;
        if (span.has_end) {
            check(begun != SIZE_MAX && begun <= at + span.end && at + span.end <= size);
            check(!any || hr__buf_append_str(out, ",") == HR_OK);
            check(hr__buf_append(out, body + begun, at + span.end - begun) == HR_OK);
            any = true;
            begun = span.is_done ? SIZE_MAX : at + span.end + 1;
        }
    }
    check(hr__buf_append_str(out, "]") == HR_OK && hr__buf_reserve(out, HR_BODY_PADDING) == HR_OK);
    return hr__record_finder_finish(&finder, NULL) == HR_OK;
}

/* In a document that is a list or an object the records are found, whole, wherever it is cut. */
static void check_records(const char *body, size_t size, int rc, const hr_doc *doc) {
    hr_buf whole, cut;
    hr_doc found;
    hr__buf_init(&whole, &hr__allocator_libc, 0);
    hr__buf_init(&cut, &hr__allocator_libc, 0);
    bool ok = find_records(body, size, size + 1, &whole);
    check(ok == find_records(body, size, 1 + size % 7, &cut));
    if (ok) {
        check(hr__str_eq((hr_str){whole.data, whole.size_bytes}, (hr_str){cut.data, cut.size_bytes}));
    }
    bool is_list = rc == HR_OK && doc->toks[0].type == HR_TOK_ARRAY;
    if (is_list || (rc == HR_OK && doc->toks[0].type == HR_TOK_OBJECT)) {
        check(ok);
        check(decode(whole.data, whole.size_bytes, false, 0, &found, NULL) == HR_OK);
        check(found.toks[0].len == (is_list ? doc->toks[0].len : 1) && found.n_toks == doc->n_toks + (is_list ? 0 : 1));
        hr__doc_free(&found);
    }
    hr__buf_free(&whole);
    hr__buf_free(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *body = malloc(size + HR_BODY_PADDING);
    check(body != NULL);
    memcpy(body, data, size);
    memset(body + size, size % 2 ? '"' : '0', HR_BODY_PADDING);
    hr_doc fast, portable;
    hr_error err_fast = {.code = HR_OK}, err_portable = {.code = HR_OK};
    int rc = decode(body, size, false, 0, &fast, &err_fast);
    check(rc == decode(body, size, true, 1 + size % 80, &portable, &err_portable));
    check(err_fast.offset_bytes == err_portable.offset_bytes && err_fast.offset_bytes <= (int64_t)size);
    check(strcmp(err_fast.message, err_portable.message) == 0);
    if (rc == HR_OK) {
        check_same_tape(&fast, &portable);
        check_text_stays(&fast, 0);
        check_text_stays(&fast, HR_WRITE_SORT_KEYS);
    }
    check_lines(body, size, size % 2 != 0);
    check_records(body, size, rc, &fast);
    check_split(body, size, rc, &fast, size % 2 != 0, false);
    check_split(body, size, rc, &fast, size % 2 != 0, true);
    hr__doc_free(&fast);
    hr__doc_free(&portable);
    free(body);
    return 0;
}
