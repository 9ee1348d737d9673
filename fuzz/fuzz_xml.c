/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: XML of any bytes gives the same lines, or an error of the same kind behind the same lines, at once, cut
 * anywhere and byte by byte; each line is a JSON object. The first byte picks the options, the second the cut.
 */
#include "json.h"
#include "xml.h"

#include <stdlib.h>

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

/* Feeds `first` bytes, then pieces of `step` (0: the rest at once). */
static int read_all(const hr_xml_options *options, hr_str text, size_t first, size_t step, hr_buf *out, uint64_t *n_out,
                    hr_error *err) {
    hr_xml_reader *reader;
    check(hr__xml_reader_new(options, &reader, err) == HR_OK);
    int rc = hr__xml_feed(reader, text.data, first, false, out, err);
    for (size_t at = first; step != 0 && at < text.size_bytes && rc == HR_OK; at += step) {
        first = at + step < text.size_bytes ? at + step : text.size_bytes;
        rc = hr__xml_feed(reader, text.data + at, first - at, false, out, err);
    }
    rc = rc != HR_OK ? rc : hr__xml_feed(reader, text.data + first, text.size_bytes - first, true, out, err);
    *n_out = hr__xml_n_records(reader);
    hr__xml_reader_free(reader);
    return rc;
}

static void check_json(hr_buf *lines, uint64_t n_records) {
    const hr_json_options options = {.alloc = &hr__allocator_libc};
    hr_json_decoder *decoder;
    hr_doc doc;
    hr_error err;
    hr__doc_init(&doc, &hr__allocator_libc);
    check(hr__json_decoder_new(&options, &decoder, &err) == HR_OK);
    check(hr__buf_reserve(lines, HR_BODY_PADDING) == HR_OK);
    check(hr__json_decode_lines(decoder, lines->data, lines->size_bytes, &doc, &err) == HR_OK);
    check(doc.toks[0].len == n_records);
    hr__json_decoder_free(decoder);
    hr__doc_free(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    const hr_str path[] = {{"*", 1}, {"r", 1}, {"{u}r", 4}}, list = {"l", 1};
    unsigned bits = data[0];
    hr_xml_options options;
    hr__xml_options_init(&options);
    options.path = (bits & 4) != 0 ? path + 1 : path;
    options.n_path = bits & 3;
    options.anywhere = options.n_path == 1;
    options.list = &list;
    options.n_list = (bits & 8) != 0;
    options.namespaces = (bits & 16) != 0;
    options.refuse_doctype = (bits & 32) != 0;
    options.attribute_prefix = hr__str((bits & 64) != 0 ? "@" : "");
    options.max_record_bytes = (bits & 128) != 0 ? 100 : 1 << 20;
    options.max_depth = 30;
    if (options.path == path + 1 && options.n_path == 3) {
        options.n_path = 2;
    }
    hr_str text = {(const char *)data + 2, size - 2};
    size_t cut = text.size_bytes == 0 ? 0 : data[1] % (text.size_bytes + 1);
    const size_t firsts[] = {0, cut, 0}, steps[] = {0, 0, 1};
    hr_buf out[3];
    hr_error err[3];
    int rc[3];
    uint64_t n[3];
    for (size_t i = 0; i < 3; i++) {
        err[i] = (hr_error){.code = HR_OK};
        hr__buf_init(&out[i], &hr__allocator_libc, 0);
        rc[i] = read_all(&options, text, firsts[i], steps[i], &out[i], &n[i], &err[i]);
        check((rc[i] == HR_OK) == (err[i].message[0] == '\0'));
        check(rc[i] == rc[0] && n[i] == n[0] && out[i].size_bytes == out[0].size_bytes);
        check(out[0].size_bytes == 0 || memcmp(out[i].data, out[0].data, out[0].size_bytes) == 0);
        check(err[i].record == err[0].record); /* the byte is expat's, which differs for what is no character */
    }
    if (n[0] != 0) {
        check_json(&out[0], n[0]);
    }
    for (size_t i = 0; i < 3; i++) {
        hr__buf_free(&out[i]);
    }
    return 0;
}
