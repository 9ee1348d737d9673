/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: names of any key keep to the limit and to the characters of snake_case, and are names of themselves.
 * Input: a byte for the limit, then the key.
 */
#include "index.h"
#include "naming.h"

#include <stdlib.h>

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

static size_t points(hr_str text) {
    size_t n = 0;
    for (size_t i = 0; i < text.size_bytes; i++) {
        n += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 1 << 14 || hr__utf8_error((const char *)data + 1, size - 1) != SIZE_MAX) {
        return 0;
    }
    hr_str key = {(const char *)data + 1, size - 1}, column, path, again;
    size_t max_length = data[0] == 0 ? 0 : 8 + data[0] % 80;
    hr_arena arena;
    hr__arena_init(&arena, &hr__allocator_libc, 0);
    check(hr__name_column(&arena, key, max_length, &column) == HR_OK);
    check(hr__name_path(&arena, key, max_length, &path) == HR_OK);
    check(hr__name_is_blank(key) || hr__str_eq(column, path));
    check(hr__utf8_error(column.data, column.size_bytes) == SIZE_MAX);
    check(max_length == 0 || points(column) <= max_length);
    for (size_t i = 0; i < column.size_bytes; i++) { /* besides digits of other scripts */
        unsigned char c = (unsigned char)column.data[i];
        check(c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'));
    }
    const hr_str parts[3] = {column, {" ", 1}, path};
    check(hr__name_join(&arena, parts, 3, 0, &again) == HR_OK);
    check(again.size_bytes ==
          column.size_bytes + path.size_bytes + (path.size_bytes != 0 && column.size_bytes != 0 ? 2 : 0));
    hr__arena_free(&arena);
    return 0;
}
