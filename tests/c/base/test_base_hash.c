/* SPDX-License-Identifier: Apache-2.0
 *
 * hash: SHAKE-128 against known answers, four at a time against one at a time, base64, random ids. (Random messages are
 * compared with hashlib in tests/py/test_leaf_oracle.py.)
 */
#include "hash.h"
#include "hash_vector.h"
#include "hrtest.h"

static hr_str hex_of(const uint8_t *data, size_t size, char *room) {
    for (size_t i = 0; i < size; i++) {
        snprintf(room + 2 * i, 3, "%02x", data[i]);
    }
    return (hr_str){room, 2 * size};
}

/* Python: hashlib.shake_128(message).hexdigest(n) */
HR_CASE(shake128_gives_known_answers) {
    static const struct {
        char fill;
        size_t size;
        const char *want;
    } cases[] = {
        {'a', 0, "7f9c2ba4e88f827d6160"}, /* FIPS 202's empty message */
        {'a', 1, "85c8de88d28866bf0868"},   {'a', 7, "fd3bc56c7da3c6754ad5"},   {'a', 8, "cbf9a334b6ede74fac9f"},
        {'a', 28, "77aa041786182f23d756"},  {'a', 167, "4f5c6c53ae8190a8ff8a"}, /* the last byte of a block is padding
                                                                                 */
        {'a', 168, "c22e11586c22b713bde3"},                                     /* padding is a block of its own */
        {'a', 169, "09fc23f3acfd944380db"}, {'a', 336, "518b1887755367d74643"},
    };
    char message[400], room[64];
    uint8_t digest[10];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(message, cases[i].fill, sizeof message);
        hr__shake128(message, cases[i].size, digest, sizeof digest);
        HR_CHECK_STR(hex_of(digest, sizeof digest, room), cases[i].want);
    }
}

HR_CASE(shake128_output_may_be_longer_than_a_block) {
    uint8_t longer[500], shorter[168];
    char room[64];
    hr__shake128("abc", 3, longer, sizeof longer);
    hr__shake128("abc", 3, shorter, sizeof shorter);
    HR_CHECK(memcmp(longer, shorter, sizeof shorter) == 0);
    HR_CHECK_STR(hex_of(longer + 490, 10, room), "650a292198275211a56b");
}

/* dlt-semantics rule 42 */
HR_CASE(nested_row_id_is_dlts) {
    uint8_t digest[HR_ID_BYTES];
    char id[HR_ID_CHARS];
    hr__shake128("abc_items__tags_0", 17, digest, sizeof digest);
    HR_CHECK_INT(hr__base64(digest, sizeof digest, id), HR_ID_CHARS);
    HR_CHECK_STR(((hr_str){id, sizeof id}), "Ihjej8ClZ6IIEw");
}

HR_CASE(eight_at_once_equal_one_at_a_time) {
    printf("  x8 is %s\n", hr__shake128_kind());
    static const size_t n_outs[] = {1, 8, 10, 16, 17, 168};
    char messages[8][400];
    for (size_t i = 0; i < sizeof messages; i++) {
        messages[i / 400][i % 400] = (char)(i * 131 + i / 7);
    }
    for (size_t size = 0; size <= 400; size++) {
        const void *data[8];
        uint8_t got[8][168], want[168];
        void *out[8];
        /* One message of every size among others: shorter, empty, longer than a block. */
        const size_t sizes[8] = {size, size / 2, 0, size > 170 ? 169 : 400 - size, size / 5, 1, 167, 168};
        size_t n_out = n_outs[size % (sizeof n_outs / sizeof *n_outs)];
        for (int m = 0; m < 8; m++) {
            data[m] = messages[m];
            out[m] = got[m];
        }
        const size_t small[8] = {size % 168, size / 3, 0, 167, size % 9, size * 7 % 168, 8, size % 64};
        for (int pass = 0; pass < 2; pass++) {
            const size_t *used = pass == 0 ? sizes : small;
            hr__shake128_x8(data, used, out, n_out);
            for (int m = 0; m < 8; m++) {
                hr__shake128(data[m], used[m], want, n_out);
                HR_CHECK(memcmp(got[m], want, n_out) == 0);
            }
            if (pass == 1 && hr__has_avx2()) {
                hr__shake128_x4_avx2(data + 4, used + 4, out + 4, n_out);
                for (int m = 4; m < 8; m++) {
                    hr__shake128(data[m], used[m], want, n_out);
                    HR_CHECK(memcmp(got[m], want, n_out) == 0);
                }
            }
        }
    }
}

HR_CASE(base64_has_no_padding) {
    static const struct {
        const char *bytes, *want;
    } cases[] = {{"", ""},
                 {"f", "Zg"},
                 {"fo", "Zm8"},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg"},
                 {"fooba", "Zm9vYmE"},
                 {"foobar", "Zm9vYmFy"},
                 {"\xFB\xEF\xBE", "++++"},
                 {"\xFF\xFF\xFF", "////"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[16];
        size_t size = hr__base64(cases[i].bytes, strlen(cases[i].bytes), out);
        HR_CHECK_STR(((hr_str){out, size}), cases[i].want);
    }
}

/* RFC 8439, appendix A.1: key and nonce of zero, block 0 begins with 76b8e0ada0f13d90405d. */
HR_CASE(random_ids_are_chacha20) {
    uint8_t seed[32] = {0}, digest[HR_ID_BYTES] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d};
    char want[HR_ID_CHARS], got[HR_ID_CHARS];
    hr_ids ids;
    hr__ids_init(&ids, seed, 0);
    hr__ids_next(&ids, HR_ID_BYTES, got);
    hr__base64(digest, sizeof digest, want);
    HR_CHECK(memcmp(got, want, sizeof want) == 0);
}

HR_CASE(random_ids_depend_on_seed_and_stream_only) {
    uint8_t seed[32] = {1}, other[32] = {2};
    hr_ids a, b, c, d;
    hr__ids_init(&a, seed, 7);
    hr__ids_init(&b, seed, 7);
    hr__ids_init(&c, seed, 8);
    hr__ids_init(&d, other, 7);
    char seen[1000][HR_ID_CHARS];
    for (int i = 0; i < 1000; i++) {
        char id_b[HR_ID_CHARS], id_c[HR_ID_CHARS], id_d[HR_ID_CHARS];
        hr__ids_next(&a, HR_ID_BYTES, seen[i]);
        hr__ids_next(&b, HR_ID_BYTES, id_b);
        hr__ids_next(&c, HR_ID_BYTES, id_c);
        hr__ids_next(&d, HR_ID_BYTES, id_d);
        HR_CHECK(memcmp(seen[i], id_b, HR_ID_CHARS) == 0);
        HR_CHECK(memcmp(seen[i], id_c, HR_ID_CHARS) != 0 && memcmp(seen[i], id_d, HR_ID_CHARS) != 0);
        for (int k = 0; k < i; k++) {
            HR_CHECK(memcmp(seen[i], seen[k], HR_ID_CHARS) != 0);
        }
    }
}

HR_CASE(seeds_differ) {
    uint8_t a[32] = {0}, b[32] = {0};
    HR_CHECK_INT(hr__random_seed(a), HR_OK);
    HR_CHECK_INT(hr__random_seed(b), HR_OK);
    HR_CHECK(memcmp(a, b, sizeof a) != 0);
}

int main(void) {
    HR_RUN(shake128_gives_known_answers);
    HR_RUN(shake128_output_may_be_longer_than_a_block);
    HR_RUN(nested_row_id_is_dlts);
    HR_RUN(eight_at_once_equal_one_at_a_time);
    HR_RUN(base64_has_no_padding);
    HR_RUN(random_ids_are_chacha20);
    HR_RUN(random_ids_depend_on_seed_and_stream_only);
    HR_RUN(seeds_differ);
    return HR_DONE();
}
