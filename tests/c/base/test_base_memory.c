/* SPDX-License-Identifier: Apache-2.0
 *
 * memory: blocks of hr__allocator_pages keep their bytes when they grow, shrink and become mappings or cease to be.
 */
#include "base.h"
#include "hrtest.h"

static const hr_allocator *const pages = &hr__allocator_pages;

static char byte_at(size_t i) {
    return (char)(i * 31 + (i >> 11));
}

static void fill(char *block, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        block[i] = byte_at(i);
    }
}

static bool is_filled(const char *block, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (block[i] != byte_at(i)) {
            return false;
        }
    }
    return true;
}

HR_CASE(blocks_keep_their_bytes) {
    static const size_t sizes[] = {1, 64, 4096, 262143, 262144, 262145, 1 << 20, 3 << 20, 262144, 100, 5 << 20, 1};
    char *block = NULL;
    size_t size = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *moved = pages->realloc_fn(pages->ctx, block, size, sizes[i]);
        HR_CHECK(moved != NULL);
        if (moved == NULL) {
            break;
        }
        block = moved;
        HR_CHECK(is_filled(block, size < sizes[i] ? size : sizes[i]));
        fill(block, 0, sizes[i]);
        size = sizes[i];
        HR_CHECK_INT((uintptr_t)block % (size >= 262144 ? 64 : 16), 0);
    }
    hr__free(pages, block);
}

HR_CASE(buffers_grow_in_it) {
    hr_buf buf;
    hr__buf_init(&buf, pages, 0);
    char part[1000];
    for (size_t n = 0; n < 3000; n++) {
        for (size_t i = 0; i < sizeof part; i++) {
            part[i] = byte_at(n * sizeof part + i);
        }
        HR_CHECK_INT(hr__buf_append(&buf, part, sizeof part), HR_OK);
    }
    HR_CHECK(is_filled(buf.data, buf.size_bytes));
    hr__buf_free(&buf);
}

HR_CASE(too_much_is_no_memory) {
    HR_CHECK(hr__alloc(pages, SIZE_MAX) == NULL);
    HR_CHECK(hr__alloc(pages, SIZE_MAX / 2) == NULL);
    char *block = hr__alloc(pages, 1 << 20);
    HR_CHECK(block != NULL);
    if (block != NULL) {
        fill(block, 0, 1 << 20);
        HR_CHECK(pages->realloc_fn(pages->ctx, block, 1 << 20, SIZE_MAX) == NULL);
        HR_CHECK(pages->realloc_fn(pages->ctx, block, 1 << 20, SIZE_MAX / 2) == NULL);
        HR_CHECK(is_filled(block, 1 << 20));
    }
    hr__free(pages, block);
}

int main(void) {
    HR_RUN(blocks_keep_their_bytes);
    HR_RUN(buffers_grow_in_it);
    HR_RUN(too_much_is_no_memory);
    return HR_DONE();
}
