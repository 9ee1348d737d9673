/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: both decoding kernels, one of them fed in pieces, say the same of any bytes, and what they accept is
 * written to the same text again after it was read.
 */
#include "doc_write.h"
#include "json.h"

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
    hr__doc_free(&fast);
    hr__doc_free(&portable);
    free(body);
    return 0;
}
