/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: text behind dlt's private-use marks, coerced into every type. What is taken for a typed value is one that
 * dlt decodes, and it fits a column, gets a variant, or is refused with an error; what dlt decodes and is not taken for
 * a typed value is refused. Input: the mark's number, then the text.
 */
#include "coerce.h"
#include "index.h"
#include "typed_text.h"

#include <stdlib.h>

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > 1 << 12 || hr__utf8_error((const char *)data + 1, size - 1) != SIZE_MAX) {
        return 0;
    }
    char *to = malloc(size + 2);
    const hr_str text = {to, size + 2};
    check(to != NULL);
    to[0] = (char)0xEF;
    to[1] = (char)0x80;
    to[2] = (char)(0xA6 + data[0] % 8);
    memcpy(to + 3, data + 1, size - 1);
    hr_tok tok = {.type = HR_TOK_STRING, .len = (uint32_t)text.size_bytes, .as.str = text.data};
    hr_doc doc = {.body = text.data, .body_size_bytes = text.size_bytes, .toks = &tok, .n_toks = 1};
    hr_arena arena;
    hr__arena_init(&arena, &hr__allocator_libc, 0);
    bool decodes = false;
    hr_type typed = hr__typed_text_type(text);
    check(hr__text_marked_decodes(&arena, text, &decodes) == HR_OK);
    check(typed == HR_TYPE_UNSET || decodes);
    check(hr__value_type(&tok) == (typed == HR_TYPE_UNSET ? HR_TYPE_TEXT : typed));
    for (hr_type type = HR_TYPE_TEXT; type <= HR_TYPE_BINARY; type++) {
        hr_cell cell;
        uint32_t cell_size = 0;
        hr_error err = {.code = HR_OK};
        int rc = hr__coerce(&doc, 0, type, &arena, &cell, &cell_size, &err);
        check(rc == HR_OK || rc == HR_COERCE || rc == (int)err.code);
        check(rc != HR_COERCE || err.code == HR_OK);
        check((rc != HR_OK && rc != HR_COERCE) || typed != HR_TYPE_UNSET || !decodes);
    }
    hr__arena_free(&arena);
    free(to);
    return 0;
}
