/* SPDX-License-Identifier: Apache-2.0
 *
 * The records that bench_decode and bench_normalize read.
 */
#include "bench.h"

#include "doc.h"

#include <stdarg.h>
#include <stdio.h>

static uint64_t random_state;

/* splitmix64 */
static uint32_t pick(uint32_t n) {
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ (z >> 31)) >> 32) % n;
}

#define PUT_ROOM 4096 /* no piece of a record is longer */

static void put(hr_buf *out, const char *fmt, ...) HR_PRINTF(2, 3);
static void put(hr_buf *out, const char *fmt, ...) {
    bench_must(hr__buf_reserve(out, PUT_ROOM), NULL);
    va_list args;
    va_start(args, fmt);
    out->size_bytes += (size_t)vsnprintf(out->data + out->size_bytes, PUT_ROOM, fmt, args);
    va_end(args);
}

static const char *word(void) {
    static const char *const words[] = {"lorem", "ipsum", "dolor", "sit",    "amet",   "adipiscing", "elit",
                                        "sed",   "do",    "ut",    "tempor", "labore", "incididunt"};
    return words[pick(sizeof words / sizeof *words)];
}

static void put_text(hr_buf *out, const char *key, int n_words) {
    static const char *const ends[] = {
        "naïve café", "a \\\"quoted\\\" word", "line\\nbreak", "emoji 🎉", "plain ascii", "日本語", "caf\\u00e9",
        "plain again"};
    put(out, "\"%s\":\"", key);
    for (int i = 0; i < n_words; i++) {
        put(out, "%s ", word());
    }
    put(out, "%s\",", ends[pick(sizeof ends / sizeof *ends)]);
}

static void put_time(hr_buf *out, const char *key, const char *after) {
    put(out, "\"%s\":\"20%02u-%02u-%02uT%02u:%02u:%02uZ\"%s", key, 10 + pick(16), 1 + pick(12), 1 + pick(28), pick(24),
        pick(60), pick(60), after);
}

static void put_user(hr_buf *out) {
    uint32_t number = pick(10000);
    const char *name = word();
    put(out, "\"user\":{\"login\":\"%s%u\",\"id\":%u,\"node_id\":\"MDQ6VXNlcj%u\",", name, number, pick(100000000),
        pick(1000000));
    put(out, "\"avatar_url\":\"https://avatars.example.com/u/%u?v=4\",\"html_url\":\"https://example.com/%s%u\",",
        pick(1000000), name, number);
    put(out, "\"type\":\"%s\",\"site_admin\":%s,\"score\":%u.%03u},", pick(2) ? "User" : "Bot",
        pick(10) ? "false" : "true", pick(100), pick(1000));
}

static void put_lists(hr_buf *out) {
    put(out, "\"labels\":[");
    for (uint32_t k = 0, n = pick(4); k < n; k++) {
        put(out, "%s{\"id\":%u,\"name\":\"%s\",\"color\":\"%06x\",\"default\":%s}", k ? "," : "", pick(1000000), word(),
            pick(1 << 24), k ? "false" : "true");
    }
    put(out, "],\"assignees\":[");
    for (uint32_t k = 0, n = pick(3); k < n; k++) {
        put(out, "%s{\"login\":\"%s%u\",\"id\":%u,", k ? "," : "", word(), k, pick(1000000));
        put_time(out, "since", "}");
    }
    put(out, "],\"tags\":[");
    for (uint32_t k = 0, n = pick(4); k < n; k++) {
        put(out, "%s\"%s\"", k ? "," : "", word());
    }
    put(out, "],");
}

static void put_record(hr_buf *out, uint32_t number) {
    put(out, "{\"id\":%u,\"number\":%u,", number, number % 10000);
    put_text(out, "title", 6);
    put(out, "\"state\":\"%s\",\"locked\":false,\"comments\":%u,", pick(2) ? "open" : "closed", pick(50));
    put_time(out, "created_at", ",");
    put_time(out, "updated_at", ",");
    if (pick(2)) {
        put_time(out, "closed_at", ",");
    } else {
        put(out, "\"closed_at\":null,");
    }
    put(out, "\"node_id\":\"I_kwDO%08u\",\"html_url\":\"https://example.com/lorem/ipsum/issues/%u\",", pick(100000000),
        number % 10000);
    put(out, "\"author_association\":\"CONTRIBUTOR\",");
    put_text(out, "body", 55);
    put(out, pick(5) ? "\"weight\":0.%06u," : "\"weight\":null,", pick(1000000));
    put(out, "\"milestone\":null,");
    put_user(out);
    put_lists(out);
    put(out, "\"reactions\":{\"total\":%u,\"plus\":%u,\"minus\":%u,\"url\":\"https://example.com/r/%u\"}}", pick(9),
        pick(9), pick(9), pick(100000));
}

hr_buf bench_page(uint32_t number) {
    hr_buf out;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    random_state = number;
    put(&out, "[");
    for (uint32_t i = 0; i < RECORDS_A_PAGE; i++) {
        put(&out, i ? "," : " ");
        put_record(&out, number * RECORDS_A_PAGE + i);
    }
    put(&out, "]");
    bench_must(hr__buf_reserve(&out, HR_BODY_PADDING), NULL);
    return out;
}
