/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: the grammar, positions, both kernels, every alignment, failing allocations.
 */
#include "doc_write.h"
#include "hrtest.h"
#include "json.h"

typedef struct case_row {
    const char *text;
    size_t size; /* 0: strlen */
    int code;
    int64_t offset;
    const char *written; /* what doc_write gives, when accepted */
} case_row;

static const case_row rows[] = {
    {"{}", 0, HR_OK, 0, "{}"},
    {" [ ] ", 0, HR_OK, 0, "[]"},
    {"null", 0, HR_OK, 0, "null"},
    {"\"\\u00e9\\n\\ud83c\\udf89\"", 0, HR_OK, 0, "\"\xC3\xA9\\n\xF0\x9F\x8E\x89\""},
    {"[1,-0,1.0,1e5,1E-7,123456789012345678,18446744073709551615,1e400]", 0, HR_OK, 0,
     "[1,0,1.0,100000.0,1e-7,123456789012345678,18446744073709551615,null]"},
    {"{\"a\":1,\"b\":2,\"a\":3}", 0, HR_OK, 0, "{\"a\":3,\"b\":2}"},
    {"\xEF\xBB\xBF{\"a\":[true,false,null,\"x\"]}", 0, HR_OK, 0, "{\"a\":[true,false,null,\"x\"]}"},
    {"", 0, HR_SYNTAX, 0, NULL},
    {"  ", 0, HR_SYNTAX, 0, NULL},
    {"[1,]", 0, HR_SYNTAX, 3, NULL},
    {"[1 2]", 0, HR_SYNTAX, 3, NULL},
    {"{\"a\" 1}", 0, HR_SYNTAX, 5, NULL},
    {"{\"a\":1,}", 0, HR_SYNTAX, 7, NULL},
    {"{a:1}", 0, HR_SYNTAX, 1, NULL},
    {"[01]", 0, HR_SYNTAX, 1, NULL},
    {"[1.]", 0, HR_SYNTAX, 3, NULL},
    {"[.5]", 0, HR_SYNTAX, 1, NULL},
    {"[1e]", 0, HR_SYNTAX, 3, NULL},
    {"[+1]", 0, HR_SYNTAX, 1, NULL},
    {"[-]", 0, HR_SYNTAX, 2, NULL},
    {"[NaN]", 0, HR_SYNTAX, 1, NULL},
    {"[Infinity]", 0, HR_SYNTAX, 1, NULL},
    {"[tru]", 0, HR_SYNTAX, 1, NULL},
    {"[nullx]", 0, HR_SYNTAX, 1, NULL},
    {"[1] 2", 0, HR_SYNTAX, 4, NULL},
    {"[\"a\nb\"]", 0, HR_SYNTAX, 3, NULL},
    {"[\"a\\x\"]", 0, HR_SYNTAX, 4, NULL},
    {"[\"\\u12g4\"]", 0, HR_SYNTAX, 2, NULL},
    {"[\"abc", 0, HR_SYNTAX, 1, NULL},
    {"[1", 0, HR_SYNTAX, 2, NULL},
    {"{\"a\":", 0, HR_SYNTAX, 5, NULL},
    {"]", 0, HR_SYNTAX, 0, NULL},
    {"[1}", 0, HR_SYNTAX, 2, NULL},
    {"[\"\xFF\"]", 0, HR_ENCODING, 2, NULL},
    {"[\"\xC0\x80\"]", 0, HR_ENCODING, 2, NULL},
    {"[\"\xED\xA0\x80\"]", 0, HR_ENCODING, 2, NULL},
    {"[\"\xF4\x90\x80\x80\"]", 0, HR_ENCODING, 2, NULL},
    {"[\"\xE2\x82\"]", 0, HR_ENCODING, 2, NULL},
    {"[1\0002]", 5, HR_SYNTAX, 2, NULL},
    {"[\f1]", 0, HR_SYNTAX, 1, NULL},
};

static void check_row(const case_row *row, hr_json_decoder *decoder, size_t shift) {
    size_t size = row->size != 0 ? row->size : strlen(row->text);
    char *room = malloc(size + shift + HR_BODY_PADDING);
    memset(room, '"', size + shift + HR_BODY_PADDING); /* what stands around must not matter */
    memcpy(room + shift, row->text, size);
    hr_doc doc;
    hr_error err = {.code = HR_OK};
    hr__doc_init(&doc, &hr__allocator_libc);
    int rc = hr__json_decode(decoder, room + shift, size, &doc, &err);
    if (rc != row->code) {
        printf("  %s: %s\n", row->text, err.message);
    }
    HR_CHECK_INT(rc, row->code);
    if (rc != HR_OK) {
        if (err.offset_bytes != row->offset) {
            printf("  %s: %s\n", row->text, err.message);
        }
        HR_CHECK_INT(err.offset_bytes, row->offset);
    } else {
        hr_buf out;
        hr__buf_init(&out, &hr__allocator_libc, 0);
        HR_CHECK_INT(hr__doc_write(&doc, 0, 0, NULL, 0, &out, &err), HR_OK);
        HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), row->written);
        hr__buf_free(&out);
    }
    hr__doc_free(&doc);
    free(room);
}

HR_CASE(grammar_positions_and_text_at_every_alignment) {
    for (int portable = 0; portable < 2; portable++) {
        hr_json_decoder *decoder;
        hr_json_options options = {.alloc = &hr__allocator_libc, .portable = portable != 0};
        HR_CHECK_INT(hr__json_decoder_new(&options, &decoder, NULL), HR_OK);
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            for (size_t shift = 0; shift < 64; shift++) {
                check_row(&rows[r], decoder, shift);
            }
        }
        hr__json_decoder_free(decoder);
    }
}

/* A document with strings, escapes and numbers around every 64-byte border, cut at each byte: never a crash, both
 * kernels say the same. */
HR_CASE(kernels_agree_on_every_prefix) {
    const char *text =
        "{\"key\\\\\":[1,2.5,\"a\\\"b\",\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\x89\",{\"x\":null,\"y\":[true,[]]}],"
        "\"long\":\"0123456789012345678901234567890123456789012345678901234567890123456789\\n\\\\\","
        "\"z\":-1.5e-3,\"w\":[[[[1]]]],\"q\":\"\\ud83c\\udf89\\u0041\"}";
    size_t size = strlen(text);
    hr_json_decoder *fast, *slow;
    HR_CHECK_INT(hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc}, &fast, NULL), HR_OK);
    HR_CHECK_INT(hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc, .portable = true}, &slow, NULL),
                 HR_OK);
    for (size_t cut = 0; cut <= size; cut++) {
        char *body = malloc(cut + HR_BODY_PADDING);
        memset(body + cut, 'x', HR_BODY_PADDING);
        memcpy(body, text, cut);
        hr_doc a, b;
        hr_error err_a = {.code = HR_OK}, err_b = {.code = HR_OK};
        hr__doc_init(&a, &hr__allocator_libc);
        hr__doc_init(&b, &hr__allocator_libc);
        int rc_a = hr__json_decode(fast, body, cut, &a, &err_a), rc_b = hr__json_decode(slow, body, cut, &b, &err_b);
        HR_CHECK_INT(rc_a, rc_b);
        HR_CHECK_INT(rc_a == HR_OK, cut == size);
        HR_CHECK_INT(err_a.offset_bytes, err_b.offset_bytes);
        HR_CHECK_INT(a.n_toks, b.n_toks);
        hr__doc_free(&a);
        hr__doc_free(&b);
        free(body);
    }
    hr__json_decoder_free(fast);
    hr__json_decoder_free(slow);
}

HR_CASE(depth_is_limited) {
    char deep[300 + HR_BODY_PADDING];
    hr_json_decoder *decoder;
    hr_doc doc;
    hr_error err;
    memset(deep, '[', sizeof deep);
    HR_CHECK_INT(
        hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc, .max_depth = 100}, &decoder, NULL),
        HR_OK);
    hr__doc_init(&doc, &hr__allocator_libc);
    HR_CHECK_INT(hr__json_decode(decoder, deep, 300, &doc, &err), HR_LIMIT);
    HR_CHECK_INT(err.offset_bytes, 100);
    HR_CHECK_STR(hr__str(err.message), "the document is nested deeper than 100 levels at byte 100");
    hr__doc_free(&doc);
    hr__json_decoder_free(decoder);
}

static int decode_once(const hr_allocator *alloc) {
    static const char text[200] = "{\"a\":[1,{\"b\":\"x\\ny\"},[[]]],\"c\":{\"d\":1.5,\"a\":2,\"a\":3}}";
    hr_json_decoder *decoder = NULL;
    hr_doc doc;
    hr_buf out;
    hr__doc_init(&doc, alloc);
    hr__buf_init(&out, alloc, 0);
    int rc = hr__json_decoder_new(&(hr_json_options){.alloc = alloc}, &decoder, NULL);
    rc = rc != HR_OK ? rc : hr__json_decode(decoder, text, strlen(text), &doc, NULL);
    rc = rc != HR_OK ? rc : hr__doc_write(&doc, 0, HR_WRITE_SORT_KEYS, NULL, 0, &out, NULL);
    hr__buf_free(&out);
    hr__doc_free(&doc);
    hr__json_decoder_free(decoder);
    return rc;
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(decode_once, 200);
}

int main(void) {
    HR_RUN(grammar_positions_and_text_at_every_alignment);
    HR_RUN(kernels_agree_on_every_prefix);
    HR_RUN(depth_is_limited);
    HR_RUN(every_allocation_may_fail);
    return HR_DONE();
}
