/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: both decoding kernels say the same of any bytes; what they accept can be written and read again.
 */
#include "doc_write.h"
#include "json.h"

#include <stdlib.h>

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

static int decode(const char *body, size_t size, bool portable, hr_doc *doc, hr_error *err) {
    hr_json_decoder *decoder;
    check(hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc, .portable = portable}, &decoder, err) ==
          0);
    hr__doc_init(doc, &hr__allocator_libc);
    int rc = hr__json_decode(decoder, body, size, doc, err);
    hr__json_decoder_free(decoder);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *body = malloc(size + HR_BODY_PADDING);
    memcpy(body, data, size);
    memset(body + size, '"', HR_BODY_PADDING);
    hr_doc fast, slow, again;
    hr_error err_fast = {0}, err_slow = {0}, err;
    int rc = decode(body, size, false, &fast, &err_fast);
    check(rc == decode(body, size, true, &slow, &err_slow));
    check(rc == HR_OK || err_fast.offset_bytes == err_slow.offset_bytes);
    if (rc == HR_OK) {
        check(fast.n_toks == slow.n_toks);
        hr_buf out;
        hr__buf_init(&out, &hr__allocator_libc, 0);
        check(hr__doc_write(&fast, 0, HR_WRITE_LENIENT, NULL, 0, &out, &err) == HR_OK);
        size_t written = out.size_bytes;
        check(hr__buf_reserve(&out, HR_BODY_PADDING) == HR_OK);
        check(decode(out.data, written, false, &again, &err) == HR_OK);
        hr__doc_free(&again);
        hr__buf_free(&out);
    }
    hr__doc_free(&fast);
    hr__doc_free(&slow);
    free(body);
    return 0;
}
