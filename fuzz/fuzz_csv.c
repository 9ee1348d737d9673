/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: CSV of any bytes gives the same rows at once and in pieces, by each kernel; what of it becomes JSON lines
 * is JSON. The first byte picks the options.
 */
#include "csv.h"
#include "csv_json.h"
#include "json.h"

#include <stdlib.h>

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

/* Appends each field's value with a byte behind it. */
static int take(void *ctx, hr_fields *chunk, hr_error *err) {
    hr_arena arena;
    hr__arena_init(&arena, chunk->alloc, 0);
    for (size_t row = 0; row < chunk->n_rows; row++) {
        for (size_t f = 0; f < chunk->rows[row].n; f++) {
            hr_str raw, value;
            check(hr__fields_raw(chunk, row, f, &raw));
            check(raw.data + raw.size_bytes <= chunk->text.data + chunk->text.size_bytes);
            check(hr__fields_value(chunk->head, raw, &arena, &value) == HR_OK);
            check(hr__buf_append(ctx, value.data, value.size_bytes) == HR_OK &&
                  hr__buf_append(ctx, "\x1F", 1) == HR_OK);
        }
        check(hr__buf_append(ctx, "\x1E", 1) == HR_OK);
    }
    hr__arena_free(&arena);
    int rc = hr__csv_check_utf8(chunk, err);
    hr__fields_free(chunk);
    return rc;
}

static int read_all(const hr_csv_options *options, hr_str text, size_t step, hr_buf *out, hr_error *err) {
    hr_csv_reader *reader;
    int rc = hr__csv_reader_new(options, &reader, err);
    check(rc == HR_OK);
    for (size_t at = 0; step != 0 && at < text.size_bytes && rc == HR_OK;) {
        hr_fields *chunk = NULL;
        size_t used = 0;
        rc = hr__csv_feed(reader, text.data + at, text.size_bytes - at < step ? text.size_bytes - at : step, &used,
                          &chunk, err);
        at += used;
        rc = rc == HR_OK && chunk != NULL ? take(out, chunk, err) : rc;
    }
    if (rc == HR_OK) {
        rc = hr__csv_read(reader, step == 0 ? text : (hr_str){"", 0}, take, out, err);
    }
    hr__csv_reader_free(reader);
    return rc;
}

static void check_json(hr_csv_options *options, hr_str text, bool infer) {
    const hr_json_options json_options = {.alloc = &hr__allocator_libc};
    hr_buf lines;
    hr_doc doc;
    hr_json_decoder *decoder;
    hr_error err = {.code = HR_OK};
    hr__buf_init(&lines, &hr__allocator_libc, 0);
    hr__doc_init(&doc, &hr__allocator_libc);
    options->encoding = HR_ENCODING_UTF_8;
    if (hr__csv_json(options, text, infer, &lines, &err) == HR_OK && lines.size_bytes != 0) {
        check(hr__json_decoder_new(&json_options, &decoder, &err) == HR_OK);
        check(hr__buf_reserve(&lines, HR_BODY_PADDING) == HR_OK);
        check(hr__json_decode_lines(decoder, lines.data, lines.size_bytes, &doc, &err) == HR_OK);
        check(doc.toks[0].len == hr__json_count_lines(lines.data, lines.size_bytes));
        hr__json_decoder_free(decoder);
    } else {
        check(lines.size_bytes == 0 || err.message[0] != '\0');
    }
    hr__doc_free(&doc);
    hr__buf_free(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    hr_csv_options options;
    hr__csv_options_init(&options);
    unsigned bits = data[0];
    options.header = (bits & 1) != 0 ? 0 : -1;
    options.sniff = (bits & 2) != 0;
    options.dialect.escape = (bits & 4) != 0 ? '\\' : 0;
    options.dialect.comment = (bits & 8) != 0 ? '#' : 0;
    options.dialect.skip_space = (bits & 16) != 0;
    options.ragged = (bits & 32) != 0 ? HR_CSV_RAGGED_PAD : HR_CSV_RAGGED_SKIP;
    options.chunk_rows = (bits & 64) != 0 ? 1 : 3;
    options.encoding = (bits & 128) != 0 ? HR_ENCODING_UNSET : HR_ENCODING_UTF_8;
    hr_str text = {(const char *)data + 1, size - 1};
    hr_buf out[3];
    int rc[3];
    for (size_t i = 0; i < 3; i++) {
        hr_error err = {.code = HR_OK};
        options.portable = i == 1;
        hr__buf_init(&out[i], &hr__allocator_libc, 0);
        rc[i] = read_all(&options, text, i == 2 ? 1 + bits % 7 : 0, &out[i], &err);
        check(rc[i] == HR_OK || err.message[0] != '\0');
    }
    for (size_t i = 1; i < 3; i++) {
        check(rc[i] == rc[0] && out[i].size_bytes == out[0].size_bytes);
        check(out[0].size_bytes == 0 || memcmp(out[i].data, out[0].data, out[0].size_bytes) == 0);
    }
    for (size_t i = 0; i < 3; i++) {
        hr__buf_free(&out[i]);
    }
    check_json(&options, text, (bits & 2) != 0);
    return 0;
}
