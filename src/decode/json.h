/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: JSON text -> document tape. Strict RFC 8259 as simplejson 4.3 and orjson read it (dlt-semantics 3.1).
 * Two steps: a structural index of the body by SIMD (AVX2 chosen at run time, portable fallback), which can be made as
 * the body arrives, then a walk that checks the grammar and writes the tape.
 */
#ifndef HR_DECODE_JSON_H
#define HR_DECODE_JSON_H

#include "doc.h"

typedef struct hr_json_decoder hr_json_decoder;

typedef struct hr_json_options {
    const hr_allocator *alloc;
    uint32_t max_depth; /* 0: 1024 */
    bool portable;      /* true: never use AVX2 (tests) */
} hr_json_options;

HR_MUST_CHECK int hr__json_decoder_new(const hr_json_options *options, hr_json_decoder **decoder_out, hr_error *err);
void hr__json_decoder_free(hr_json_decoder *decoder);
/* In pieces, while a body arrives: start, feed as often as wanted, finish; what can be done without the rest is done in
 * feed. body[0..size_bytes) is all that has arrived so far, at the same place or another. After a failed feed
 * (HR_MEMORY) the decoder must be started again. finish is hr__json_decode of the whole, whatever was fed of it before.
 */
void hr__json_start(hr_json_decoder *decoder);
HR_MUST_CHECK int hr__json_feed(hr_json_decoder *decoder, const char *body, size_t size_bytes, hr_error *err);
HR_MUST_CHECK int hr__json_finish(hr_json_decoder *decoder, const char *body, size_t size_bytes, hr_doc *doc,
                                  hr_error *err);
/* Decodes body[0..size_bytes) into doc (reset first). The body needs HR_BODY_PADDING readable bytes after it and must
 * outlive doc. A UTF-8 BOM is skipped. Errors: HR_SYNTAX, HR_ENCODING (not UTF-8), HR_LIMIT (depth, 4 GiB, token
 * count), HR_MEMORY; each names the byte. One decoder is used by one thread at a time. */
HR_MUST_CHECK int hr__json_decode(hr_json_decoder *decoder, const char *body, size_t size_bytes, hr_doc *doc,
                                  hr_error *err);
/* The same for JSON lines: a document a line, none over a line's end; empty lines are left out. The tape is that of an
 * array of them, whose offset in the body is 0. */
HR_MUST_CHECK int hr__json_decode_lines(hr_json_decoder *decoder, const char *body, size_t size_bytes, hr_doc *doc,
                                        hr_error *err);
/* Line ends in the body. */
size_t hr__json_count_lines(const char *body, size_t size_bytes);

/* Some elements of an array: body[from..to), with the commas between them and without brackets. */
typedef struct hr_slice {
    size_t from, to;
} hr_slice;
/* Cuts the text of a document that is an array into slices of whole elements, each of target_bytes or a little more, so
 * that they can be decoded (in brackets) one by one. *slices_out is from the decoder's allocator (the caller's to
 * hr__free), also on failure. *n_out is 0 when the document is no array or cannot be cut: its brackets do not pair, a
 * string stays open, it is not UTF-8. Whether the elements are well-formed is not looked at. HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__json_split(hr_json_decoder *decoder, const char *body, size_t size_bytes, size_t target_bytes,
                                 hr_slice **slices_out, size_t *n_out);
/* The same without reading all of it: cuts at what is likely to stand between two records, which begin with the same
 * key
 * (`},{"id":`). When every slice decodes (in brackets), they hold the document's elements; a slice that does not may
 * have been cut wrongly, and from its start on hr__json_split tells. *n_out is 0 when the text does not look so. */
HR_MUST_CHECK int hr__json_cut(hr_json_decoder *decoder, const char *body, size_t size_bytes, size_t target_bytes,
                               hr_slice **slices_out, size_t *n_out);

#endif
