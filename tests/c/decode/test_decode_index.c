/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: the structural index of both kernels against one made byte by byte.
 */
#include "hrtest.h"
#include "index.h"

static bool is_any_of(unsigned char c, const char *chars) {
    return c != 0 && strchr(chars, c) != NULL;
}

/* What index.h promises, one byte at a time. */
static void index_slowly(const unsigned char *body, uint32_t size, hr_json_index *index) {
    bool string = false, scalar = false, escaped = false;
    index->n = index->n_escapes = 0;
    index->control_offset = SIZE_MAX;
    for (uint32_t i = 0; i < size; i++) {
        unsigned char c = body[i];
        bool is_escaped = escaped;
        escaped = c == '\\' && !is_escaped;
        if (escaped) {
            index->escapes[index->n_escapes++] = i;
        }
        if (c == '"' && !is_escaped) {
            string = !string;
            index->at[index->n++] = i;
            scalar = false;
            continue;
        }
        if (string && c < 0x20 && index->control_offset == SIZE_MAX) {
            index->control_offset = i;
        }
        bool op = is_any_of(c, "{}[]:,\x0C\x1A"), white = is_any_of(c, " \t\r\n");
        if (!string && (op || (!white && !scalar))) {
            index->at[index->n++] = i;
        }
        scalar = !op && !white;
    }
    index->at[index->n] = index->at[index->n + 1] = size;
    index->escapes[index->n_escapes] = UINT32_MAX;
    index->open_string = string;
    index->bad_utf8 = hr__utf8_error((const char *)body, size) != SIZE_MAX;
}

static void check_equal(const hr_json_index *got, const hr_json_index *want) {
    HR_CHECK_INT(got->n, want->n);
    HR_CHECK_INT(got->n_escapes, want->n_escapes);
    HR_CHECK_INT(got->open_string, want->open_string);
    HR_CHECK_INT(got->control_offset, want->control_offset);
    HR_CHECK_INT(got->bad_utf8, want->bad_utf8);
    HR_CHECK(got->n != want->n || memcmp(got->at, want->at, (want->n + 2) * sizeof *want->at) == 0);
    HR_CHECK(got->n_escapes != want->n_escapes ||
             memcmp(got->escapes, want->escapes, (want->n_escapes + 1) * sizeof *want->escapes) == 0);
}

typedef int (*index_fn)(const char *body, size_t size_bytes, bool last, const hr_allocator *alloc,
                        hr_json_index *index);

/* The index of body, fed step bytes more at a time, each time from another place; 0: at once. */
static void index_in_pieces(index_fn fn, const void *body, size_t size, size_t step, hr_json_index *index) {
    hr__json_index_start(index);
    for (size_t fed = step; step != 0 && fed < size; fed += step) {
        char *so_far = malloc(fed);
        memcpy(so_far, body, fed);
        HR_CHECK_INT(fn(so_far, fed, false, &hr__allocator_libc, index), HR_OK);
        free(so_far);
    }
    HR_CHECK_INT(fn(body, size, true, &hr__allocator_libc, index), HR_OK);
}

/* Bodies of 0 to 400 bytes from an alphabet; memory ends where the padding does. */
static void check_bodies(const char *alphabet, unsigned n_alphabet, int n_bodies) {
    hr_json_index want = {.at = malloc(500 * sizeof(uint32_t)), .escapes = malloc(500 * sizeof(uint32_t))};
    hr_json_index portable = {0}, avx2 = {0};
    int before = hrtest_failed;
    for (int k = 0; k < n_bodies && hrtest_failed == before; k++) {
        uint32_t size = hrtest_below(hrtest_below(4) == 0 ? 400 : 140);
        unsigned char *body = malloc(size + 64);
        memset(body, 'x', size + 64);
        unsigned few = 1 + hrtest_below(n_alphabet), from = hrtest_below(n_alphabet);
        for (uint32_t i = 0; i < size; i++) {
            body[i] = (unsigned char)alphabet[(from + hrtest_below(few)) % n_alphabet];
        }
        index_slowly(body, size, &want);
        const size_t steps[] = {0, k % 16 == 0 ? 1 : 64, 1 + hrtest_below(200)};
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            index_in_pieces(hr__json_index_portable, body, size, steps[i], &portable);
            check_equal(&portable, &want);
            if (hr__has_avx2()) {
                index_in_pieces(hr__json_index_avx2, body, size, steps[i], &avx2);
                check_equal(&avx2, &want);
            }
        }
        free(body);
    }
    free(want.at);
    free(want.escapes);
    free(portable.at);
    free(portable.escapes);
    free(avx2.at);
    free(avx2.escapes);
}

HR_CASE(kernels_give_the_index_of_structural_characters) {
    static const char alphabet[] = "\"\"\\\\{}[]:, \n\t\ra1-";
    check_bodies(alphabet, sizeof alphabet - 1, 60000);
}

HR_CASE(kernels_give_the_index_of_any_bytes) {
    char all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
    }
    check_bodies(all, sizeof all, 30000);
}

HR_CASE(kernels_give_the_index_of_utf8_and_what_is_almost) {
    static const char alphabet[] = "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\x89\xED\xA0\x80\xF4\x8F\xBF\xBF\xC1\xE0\xF5\"a";
    check_bodies(alphabet, sizeof alphabet - 1, 60000);
}

/* Every code point, and every pair of bytes in front of two continuation bytes, in the middle of ASCII. */
HR_CASE(kernels_agree_which_utf8_is_well_formed) {
    hr_json_index portable = {0}, avx2 = {0};
    char body[192];
    int n_bad = 0;
    for (uint32_t pair = 0; pair < 65536; pair++) {
        size_t at = 20 + pair % 60;
        memset(body, 'a', sizeof body);
        body[at] = (char)(pair >> 8);
        body[at + 1] = (char)pair;
        body[at + 2] = body[at + 3] = pair & 64 ? 'a' : (char)0x80;
        index_in_pieces(hr__json_index_portable, body, 128, 0, &portable);
        index_in_pieces(hr__json_index_avx2, body, 128, 0, &avx2);
        n_bad += portable.bad_utf8;
        HR_CHECK_INT(hr__has_avx2() ? avx2.bad_utf8 : portable.bad_utf8, portable.bad_utf8);
        HR_CHECK_INT(hr__utf8_error(body, 128) != SIZE_MAX, portable.bad_utf8);
    }
    HR_CHECK(n_bad > 40000 && n_bad < 65536);
    free(portable.at);
    free(portable.escapes);
    free(avx2.at);
    free(avx2.escapes);
}

/* Runs of backslashes of every length across the borders of blocks. */
HR_CASE(backslashes_before_a_quote_are_counted) {
    hr_json_index portable = {0}, avx2 = {0};
    char body[320 + 64];
    for (uint32_t start = 50; start < 140; start++) {
        for (uint32_t n = 0; n < 140; n++) {
            memset(body, 'a', sizeof body);
            body[0] = '"';
            memset(body + start, '\\', n);
            body[start + n] = '"';
            index_in_pieces(hr__json_index_portable, body, 320, 0, &portable);
            HR_CHECK_INT(portable.open_string, n % 2);
            HR_CHECK_INT(portable.n_escapes, n / 2 + n % 2);
            if (hr__has_avx2()) {
                index_in_pieces(hr__json_index_avx2, body, 320, 0, &avx2);
                check_equal(&avx2, &portable);
            }
        }
    }
    free(portable.at);
    free(portable.escapes);
    free(avx2.at);
    free(avx2.escapes);
}

int main(void) {
    HR_RUN(kernels_give_the_index_of_structural_characters);
    HR_RUN(kernels_give_the_index_of_any_bytes);
    HR_RUN(kernels_give_the_index_of_utf8_and_what_is_almost);
    HR_RUN(kernels_agree_which_utf8_is_well_formed);
    HR_RUN(backslashes_before_a_quote_are_counted);
    return HR_DONE();
}
