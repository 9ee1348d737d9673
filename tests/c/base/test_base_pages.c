/* SPDX-License-Identifier: Apache-2.0
 *
 * pages: blocks keep their bytes when they grow, shrink and become mappings or cease to be; what was freed serves
 * again, up to a limit.
 */
#include "hrtest.h"
#include "pages.h"

#define MIN_MAPPED ((size_t)262144)

static hr_pages pages;

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
        char *moved = hr__pages_realloc(&pages, block, sizes[i]);
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
    hr__pages_free(&pages, block);
}

HR_CASE(a_freed_block_serves_again) {
    char *block = hr__pages_malloc(&pages, 1 << 20);
    fill(block, 0, 1 << 20);
    hr__pages_free(&pages, block);
    char *smaller = hr__pages_malloc(&pages, 900000);
    HR_CHECK(smaller == block);
    char *other = hr__pages_malloc(&pages, 900000);
    HR_CHECK(other != block);
    hr__pages_free(&pages, smaller);
    hr__pages_free(&pages, other);
    char *tiny = hr__pages_malloc(&pages, 300000); /* less than half of what is kept: not for this one */
    HR_CHECK(tiny != block && tiny != other);
    hr__pages_free(&pages, tiny);
}

HR_CASE(no_more_is_kept_than_asked_for) {
    char *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = hr__pages_malloc(&pages, MIN_MAPPED);
        HR_CHECK(blocks[i] != NULL);
    }
    for (size_t i = 0; i < 200; i++) {
        hr__pages_free(&pages, blocks[i]);
        HR_CHECK(pages.kept_bytes <= pages.keep_bytes);
    }
    HR_CHECK(pages.n_kept != 0);
    hr__pages_free(&pages, hr__pages_malloc(&pages, pages.keep_bytes + 1));
    HR_CHECK(pages.kept_bytes <= pages.keep_bytes);
    char *live = hr__pages_malloc(&pages, 1 << 20);
    hr__pages_close(&pages);
    HR_CHECK_INT(pages.n_kept, 0);
    HR_CHECK_INT(pages.kept_bytes, 0);
    hr__pages_free(&pages, live);
    HR_CHECK_INT(pages.n_kept, 0);
}

HR_CASE(too_much_is_no_memory) {
    HR_CHECK(hr__pages_malloc(&pages, SIZE_MAX) == NULL);
    HR_CHECK(hr__pages_malloc(&pages, SIZE_MAX / 2) == NULL);
    char *block = hr__pages_malloc(&pages, 1 << 20);
    HR_CHECK(block != NULL);
    if (block != NULL) {
        fill(block, 0, 1 << 20);
        HR_CHECK(hr__pages_realloc(&pages, block, SIZE_MAX) == NULL);
        HR_CHECK(hr__pages_realloc(&pages, block, SIZE_MAX / 2) == NULL);
        HR_CHECK(is_filled(block, 1 << 20));
    }
    hr__pages_free(&pages, block);
}

int main(void) {
    hr__pages_init(&pages, MIN_MAPPED, (size_t)8 << 20);
    HR_RUN(blocks_keep_their_bytes);
    HR_RUN(too_much_is_no_memory);
    HR_RUN(a_freed_block_serves_again);
    HR_RUN(no_more_is_kept_than_asked_for);
    hr__pages_destroy(&pages);
    return HR_DONE();
}
