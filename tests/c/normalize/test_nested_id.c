/* SPDX-License-Identifier: Apache-2.0
 *
 * normalize: ids of nested rows, against values of dlt's (dlt-semantics rule 42); any number of lanes, long parents.
 */
#include "hrtest.h"

#include "hash.h"
#include "nested_id.h"

static const hr_str table = {"items__tags", 11};

HR_CASE(ids_are_dlts) {
    const hr_str parents[4] = {{"abc", 3}, {"abc", 3}, {NULL, 0}, {"abc", 3}};
    const uint64_t indices[4] = {0, 1, 0, 0};
    for (size_t n = 1; n <= 4; n++) {
        hr_arena scratch;
        hr__arena_init(&scratch, &hr__allocator_libc, 0);
        char ids[4 * HR_ID_CHARS];
        HR_CHECK_INT(hr__nested_ids(table, parents, indices, n, HR_ID_BYTES, &scratch, ids), HR_OK);
        HR_CHECK_STR(((hr_str){ids, HR_ID_CHARS}), "Ihjej8ClZ6IIEw");
        if (n > 1) {
            HR_CHECK_STR(((hr_str){ids + HR_ID_CHARS, HR_ID_CHARS}), "9PHuS9Au8PfRHA");
        }
        hr__arena_free(&scratch);
    }
}

HR_CASE(long_parents_are_hashed_whole_and_memory_is_checked) {
    static char long_parent[1000];
    memset(long_parent, 'p', sizeof long_parent);
    const hr_str parents[2] = {{"abc", 3}, {long_parent, sizeof long_parent}};
    const uint64_t indices[2] = {0, UINT64_MAX};
    char message[1200], want[HR_ID_CHARS], ids[2 * HR_ID_CHARS];
    int size = snprintf(message, sizeof message, "%.1000s_items__tags_18446744073709551615", long_parent);
    uint8_t digest[HR_ID_BYTES];
    hr__shake128(message, (size_t)size, digest, sizeof digest);
    hr__base64(digest, sizeof digest, want);
    hrtest_alloc state = {.fail_at = -1};
    const hr_allocator alloc = HRTEST_ALLOCATOR(state);
    hr_arena scratch;
    hr__arena_init(&scratch, &alloc, 0);
    HR_CHECK_INT(hr__nested_ids(table, parents, indices, 2, HR_ID_BYTES, &scratch, ids), HR_OK);
    HR_CHECK(memcmp(ids + HR_ID_CHARS, want, HR_ID_CHARS) == 0);
    hr__arena_free(&scratch);
    state.fail_at = 0;
    hr__arena_init(&scratch, &alloc, 0);
    HR_CHECK_INT(hr__nested_ids(table, parents, indices, 2, HR_ID_BYTES, &scratch, ids), HR_MEMORY);
    hr__arena_free(&scratch);
    HR_CHECK_INT(state.live, 0);
}

int main(void) {
    HR_RUN(ids_are_dlts);
    HR_RUN(long_parents_are_hashed_whole_and_memory_is_checked);
    return HR_DONE();
}
