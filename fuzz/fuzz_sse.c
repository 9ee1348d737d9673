/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: server-sent events in one piece and cut anywhere give the same lines and the same id, and the lines are as
 * many as the events.
 */
#include "sse.h"

#include <stdlib.h>

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hr_json_decoder *decoder;
    hr_json_options options = {.alloc = &hr__allocator_libc};
    hr_buf whole, parts;
    hr_sse_info of_whole, first, rest;
    const char *text = (const char *)data;
    hr_str none = {NULL, 0};
    size_t cut = size == 0 ? 0 : data[0] % (size + 1), n_lines = 0;
    check(hr__json_decoder_new(&options, &decoder, NULL) == HR_OK);
    hr__buf_init(&whole, &hr__allocator_libc, 0);
    hr__buf_init(&parts, &hr__allocator_libc, 0);
    check(hr__sse_lines(decoder, (hr_str){text, size}, none, SIZE_MAX, &whole, &of_whole, NULL) == HR_OK);
    check(hr__sse_lines(decoder, (hr_str){text, cut}, none, SIZE_MAX, &parts, &first, NULL) == HR_OK);
    check(first.used_bytes <= cut && of_whole.used_bytes <= size);
    check(hr__sse_lines(decoder, (hr_str){text + first.used_bytes, size - first.used_bytes}, first.id, SIZE_MAX, &parts,
                        &rest, NULL) == HR_OK);
    check(first.used_bytes + rest.used_bytes == of_whole.used_bytes);
    check(first.n_events + rest.n_events == of_whole.n_events && hr__str_eq(rest.id, of_whole.id));
    check(hr__str_eq((hr_str){whole.data, whole.size_bytes}, (hr_str){parts.data, parts.size_bytes}));
    for (size_t i = 0; i < whole.size_bytes; i++) {
        n_lines += whole.data[i] == '\n';
    }
    check(n_lines == of_whole.n_events);
    hr__buf_free(&whole);
    hr__buf_free(&parts);
    hr__json_decoder_free(decoder);
    return 0;
}
