/* SPDX-License-Identifier: Apache-2.0
 *
 * Nested row ids: the messages are made side by side, then hashed together.
 */
#include "nested_id.h"

#include "hash.h"
#include "number.h"

#define MESSAGE_ROOM 256 /* what does not fit goes to scratch: long names, long ids of a user's */

/* Writes "<parent id>_<table>_<index>", of at most message_bytes; its size. */
static size_t put_message(char *message, hr_str parent, hr_str table, uint64_t index) {
    char *at = message;
    if (parent.size_bytes != 0) {
        memcpy(at, parent.data, parent.size_bytes);
        at += parent.size_bytes;
    }
    *at++ = '_';
    memcpy(at, table.data, table.size_bytes);
    at += table.size_bytes;
    *at++ = '_';
    at += hr__uint_repr(index, at);
    return (size_t)(at - message);
}

static size_t message_bytes(hr_str parent, hr_str table) {
    return parent.size_bytes + table.size_bytes + 2 + 24;
}

int hr__nested_ids(hr_str table, const hr_str parents[], const uint64_t indices[], size_t n_rows, size_t id_bytes,
                   hr_arena *scratch, char *out) {
    char messages[HR_NESTED_ID_LANES][MESSAGE_ROOM];
    uint8_t digests[HR_NESTED_ID_LANES][HR_ID_MAX_BYTES];
    void *digest_at[HR_NESTED_ID_LANES];
    const void *data[HR_NESTED_ID_LANES];
    size_t sizes[HR_NESTED_ID_LANES] = {0};
    assert(n_rows <= HR_NESTED_ID_LANES);
    for (size_t i = 0; i < HR_NESTED_ID_LANES; i++) {
        digest_at[i] = digests[i];
        data[i] = messages[i];
    }
    int rc = HR_OK;
    for (size_t i = 0; i < n_rows; i++) {
        char *message = messages[i];
        if (message_bytes(parents[i], table) > MESSAGE_ROOM) {
            message = hr__arena_alloc(scratch, message_bytes(parents[i], table));
            if (message == NULL) {
                rc = HR_MEMORY;
                goto out;
            }
        }
        sizes[i] = put_message(message, parents[i], table, indices[i]);
        data[i] = message;
    }
    hr__shake128_x8(data, sizes, digest_at, id_bytes);
    for (size_t i = 0; i < n_rows; i++) {
        out += hr__base64(digests[i], id_bytes, out);
    }
out:
    hr__arena_reset(scratch);
    return rc;
}
