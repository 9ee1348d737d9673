/* SPDX-License-Identifier: Apache-2.0
 *
 * model: JSON text of values (here, because a document comes from the decoder).
 */
#include "doc_write.h"
#include "hrtest.h"
#include "json.h"

static hr_json_decoder *decoder;

static void decode(const char *text, hr_doc *doc) {
    static char body[70000];
    size_t size = strlen(text);
    memcpy(body, text, size);
    hr__doc_init(doc, &hr__allocator_libc);
    HR_CHECK_INT(hr__json_decode(decoder, body, size, doc, NULL), HR_OK);
}

/* The value at `at` of the document, written with flags, is `want`. */
static void check_written(const char *text, size_t at, uint32_t flags, const char *want) {
    hr_doc doc;
    hr_buf out;
    decode(text, &doc);
    hr__buf_init(&out, &hr__allocator_libc, 0);
    HR_CHECK_INT(hr__buf_append_str(&out, "before "), HR_OK);
    HR_CHECK_INT(hr__doc_write(&doc, at, flags, NULL, 0, &out, NULL), HR_OK);
    HR_CHECK(memcmp(out.data, "before ", 7) == 0);
    HR_CHECK_STR(((hr_str){out.data + 7, out.size_bytes - 7}), want);
    hr__buf_free(&out);
    hr__doc_free(&doc);
}

/* More rows: tests/cases/json/grammar.tsv and tests/py/test_decode_oracle.py. */
HR_CASE(flags_change_what_is_written) {
    check_written("{\"b\":[1,{\"d\":2,\"c\":3}],\"a\":0}", 0, 0, "{\"b\":[1,{\"d\":2,\"c\":3}],\"a\":0}");
    check_written("{\"b\":[1,{\"d\":2,\"c\":3}],\"a\":0}", 0, HR_WRITE_SORT_KEYS,
                  "{\"a\":0,\"b\":[1,{\"c\":3,\"d\":2}]}");
    check_written("{\"b\":[1,{\"d\":2,\"c\":3}],\"a\":0}", 2, HR_WRITE_SORT_KEYS, "[1,{\"c\":3,\"d\":2}]");
    check_written("{\"ab\":1,\"\":2,\"a\":3,\"\xC3\xA9\":4,\"z\":5}", 0, HR_WRITE_SORT_KEYS,
                  "{\"\":2,\"a\":3,\"ab\":1,\"z\":5,\"\xC3\xA9\":4}");
    check_written("{\"a\":1,\"b\":2,\"a\":3}", 0, HR_WRITE_SORT_KEYS, "{\"a\":3,\"b\":2}");
    check_written("{\"a\":[1],\"b\":{\"c\":[[]]}}", 0, HR_WRITE_EMPTY_ARRAYS, "{\"a\":[],\"b\":{\"c\":[]}}");
    check_written("[1]", 0, HR_WRITE_EMPTY_ARRAYS, "[]");
    check_written("{\"_dlt_id\":1,\"a\":{\"_dlt\":2},\"_dl\":3}", 0, HR_WRITE_SKIP_DLT,
                  "{\"a\":{\"_dlt\":2},\"_dl\":3}");
    check_written("{\"_dlt_id\":1}", 0, HR_WRITE_SKIP_DLT, "{}");
    check_written("[{\"_dlt_id\":1}]", 0, HR_WRITE_SKIP_DLT, "[{\"_dlt_id\":1}]");
    check_written("[1e999,-1e999,18446744073709551616,\"\\ud800\\udc00\\udc00\\n\\\"\"]", 0, HR_WRITE_LENIENT,
                  "[1e999,-1e999,18446744073709551616,\"\xF0\x90\x80\x80\\udc00\\n\\\"\"]");
}

HR_CASE(strings_are_escaped_at_every_place) {
    char text[100], want[100];
    for (size_t size = 0; size < 40; size++) {
        for (size_t at = 0; at < size; at++) {
            for (int what = 0; what < 3; what++) {
                const char *escape = what == 0 ? "\\n" : what == 1 ? "\\u0001" : "\xC3\xA9";
                size_t n = (size_t)snprintf(text, sizeof text, "\"%.*s%s%.*s\"", (int)at,
                                            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", escape, (int)(size - at - 1),
                                            "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
                memcpy(want, text, n + 1);
                check_written(text, 0, 0, want);
            }
        }
    }
}

HR_CASE(elided_arrays_are_written_empty) {
    hr_doc doc;
    hr_buf out;
    decode("{\"a\":[1,2],\"b\":[[3],[4]],\"c\":[]}", &doc);
    hr__buf_init(&out, &hr__allocator_libc, 0);
    /* 0 { 1 a 2 [ 3 1 4 2 5 b 6 [ 7 [ 8 3 9 [ 10 4 */
    HR_CHECK_INT(hr__doc_write(&doc, 0, 0, (size_t[]){2, 9}, 2, &out, NULL), HR_OK);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "{\"a\":[],\"b\":[[3],[]],\"c\":[]}");
    hr__buf_free(&out);
    hr__doc_free(&doc);
}

HR_CASE(what_is_refused_leaves_nothing) {
    static const struct {
        const char *text;
        int code;
        const char *message;
    } rows[] = {
        {"[1,-123456789012345678901]", HR_RANGE, "an integer of 21 digits exceeds 64 bits"},
        {"[1,\"\\ud800\"]", HR_ENCODING, "a string holds a lone surrogate, which is not text"},
        {"{\"a\":1,\"\\udc00\":2}", HR_ENCODING, "a string holds a lone surrogate, which is not text"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hr_doc doc;
        hr_buf out;
        hr_error err;
        decode(rows[i].text, &doc);
        hr__buf_init(&out, &hr__allocator_libc, 0);
        HR_CHECK_INT(hr__buf_append_str(&out, "kept"), HR_OK);
        HR_CHECK_INT(hr__doc_write(&doc, 0, 0, NULL, 0, &out, &err), rows[i].code);
        HR_CHECK_STR(hr__str(err.message), rows[i].message);
        HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "kept");
        hr__buf_free(&out);
        hr__doc_free(&doc);
    }
}

HR_CASE(limit_of_the_buffer_is_a_limit) {
    hr_doc doc;
    hr_buf out;
    hr_error err;
    decode("[\"0123456789012345678901234567890123456789012345678901234567890123456789\"]", &doc);
    hr__buf_init(&out, &hr__allocator_libc, 64);
    HR_CHECK_INT(hr__doc_write(&doc, 0, 0, NULL, 0, &out, &err), HR_LIMIT);
    HR_CHECK_INT(err.code, HR_LIMIT);
    HR_CHECK_INT(out.size_bytes, 0);
    hr__buf_free(&out);
    hr__doc_free(&doc);
}

/* Objects of many members and containers of many levels leave the writer's small arrays. */
HR_CASE(large_objects_and_deep_documents_are_written) {
    enum { N = 1000 };
    char *text = malloc(70000), *want = malloc(70000), *sorted = malloc(70000);
    size_t n = 0, w = 0, s = 0;
    n += (size_t)sprintf(text + n, "{");
    w += (size_t)sprintf(want + w, "{");
    s += (size_t)sprintf(sorted + s, "{");
    for (int i = 0; i < N; i++) { /* keys from N - 1 down, then the first ten again */
        n += (size_t)sprintf(text + n, "\"key%05d\":{\"b\":%d,\"a\":1},", N - 1 - i, i);
        w += (size_t)sprintf(want + w, i < 10 ? "\"key%05d\":%d," : "\"key%05d\":{\"b\":%d,\"a\":1},", N - 1 - i, i);
        s += (size_t)sprintf(sorted + s, i >= N - 10 ? "\"key%05d\":%d," : "\"key%05d\":{\"a\":1,\"b\":%d},", i,
                             N - 1 - i);
    }
    for (int i = 0; i < 10; i++) {
        n += (size_t)sprintf(text + n, "\"key%05d\":%d,", N - 1 - i, i);
    }
    text[n - 1] = want[w - 1] = sorted[s - 1] = '}';
    check_written(text, 0, 0, want);
    check_written(text, 0, HR_WRITE_SORT_KEYS, sorted);
    memset(text, '[', 1000);
    memset(text + 1000, ']', 1000);
    text[2000] = '\0';
    check_written(text, 0, 0, text);
    n = 0;
    for (int i = 0; i < 500; i++) {
        n += (size_t)sprintf(text + n, "{\"b\":0,\"a\":");
    }
    n += (size_t)sprintf(text + n, "1");
    for (int i = 0; i < 500; i++) {
        n += (size_t)sprintf(text + n, "}");
    }
    check_written(text, 0, 0, text);
    w = 0;
    for (int i = 0; i < 500; i++) {
        w += (size_t)sprintf(want + w, "{\"a\":");
    }
    w += (size_t)sprintf(want + w, "1");
    for (int i = 0; i < 500; i++) {
        w += (size_t)sprintf(want + w, ",\"b\":0}");
    }
    check_written(text, 0, HR_WRITE_SORT_KEYS, want);
    free(text);
    free(want);
    free(sorted);
}

HR_CASE(a_string_is_written_as_a_literal) {
    hr_buf out;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    HR_CHECK_INT(hr__doc_write_string((hr_str){"a\"\\\n\x01\xC3\xA9\x7F", 8}, 0, &out, NULL), HR_OK);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "\"a\\\"\\\\\\n\\u0001\xC3\xA9\x7F\"");
    out.size_bytes = 0;
    HR_CHECK_INT(hr__doc_write_string((hr_str){NULL, 0}, 0, &out, NULL), HR_OK);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "\"\"");
    out.size_bytes = 0;
    HR_CHECK_INT(hr__doc_write_string(hr__str("\xED\xA0\x80"), 0, &out, NULL), HR_ENCODING);
    HR_CHECK_INT(hr__doc_write_string(hr__str("x\xED\xA0\x80y"), HR_WRITE_LENIENT, &out, NULL), HR_OK);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "\"x\\ud800y\"");
    hr__buf_free(&out);
}

static hr_doc sweep_doc;

static int write_once(const hr_allocator *alloc) {
    hr_buf out;
    hr__buf_init(&out, alloc, 0);
    int rc = hr__doc_write(&sweep_doc, 0, 0, NULL, 0, &out, NULL);
    rc = rc != HR_OK ? rc : hr__doc_write(&sweep_doc, 0, HR_WRITE_SORT_KEYS, NULL, 0, &out, NULL);
    hr__buf_free(&out);
    return rc;
}

HR_CASE(every_allocation_may_fail) {
    char text[4000];
    size_t n = 0;
    for (int i = 0; i < 40; i++) {
        n += (size_t)sprintf(text + n, "{\"a\":0,\"b\":%d,\"a\":", i);
    }
    n += (size_t)sprintf(text + n, "\"text\"");
    for (int i = 0; i < 40; i++) {
        n += (size_t)sprintf(text + n, "}");
    }
    decode(text, &sweep_doc);
    hrtest_sweep(write_once, 200);
    hr__doc_free(&sweep_doc);
}

int main(void) {
    if (hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc}, &decoder, NULL) != HR_OK) {
        return 1;
    }
    HR_RUN(flags_change_what_is_written);
    HR_RUN(strings_are_escaped_at_every_place);
    HR_RUN(elided_arrays_are_written_empty);
    HR_RUN(what_is_refused_leaves_nothing);
    HR_RUN(limit_of_the_buffer_is_a_limit);
    HR_RUN(large_objects_and_deep_documents_are_written);
    HR_RUN(a_string_is_written_as_a_literal);
    HR_RUN(every_allocation_may_fail);
    hr__json_decoder_free(decoder);
    return HR_DONE();
}
