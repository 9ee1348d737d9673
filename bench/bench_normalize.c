/* SPDX-License-Identifier: Apache-2.0
 *
 * decode and normalize on one core: pages of 100 records of about 1.3 KB, like a GitHub issue (a root row and about
 * four child rows). Deterministic; best of several rounds, the first of which learns the schema.
 *
 *   bench_normalize [--json] [--pages N] [--rounds N] [--only NAME]     cycles are the time stamp counter's
 */
#include "json.h"
#include "normalize.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#define TICKS() __rdtsc()
#else
#define TICKS() 0ull
#endif

#define RECORDS_A_PAGE 100

static const hr_allocator *const alloc = &hr__allocator_libc;

static void must(int rc, const hr_error *err) {
    if (rc != HR_OK) {
        fprintf(stderr, "bench_normalize: %s\n", err == NULL ? "failed" : err->message);
        exit(1);
    }
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---------------------------------------------------------------------------------------------------- records */

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
    must(hr__buf_reserve(out, PUT_ROOM), NULL);
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

static hr_buf make_page(uint32_t number) {
    hr_buf out;
    hr__buf_init(&out, alloc, 0);
    random_state = number;
    put(&out, "[");
    for (uint32_t i = 0; i < RECORDS_A_PAGE; i++) {
        put(&out, i ? "," : " ");
        put_record(&out, number * RECORDS_A_PAGE + i);
    }
    put(&out, "]");
    must(hr__buf_reserve(&out, HR_BODY_PADDING), NULL);
    return out;
}

/* ---------------------------------------------------------------------------------------------------- measuring */

typedef struct stage {
    const char *name, *title;
    bool decode, normalize, reference; /* what is timed; pages are always decoded */
} stage;

static const stage stages[] = {
    {"decode", "decode", .decode = true},
    {"normalize", "normalize, known schema", .normalize = true},
    {"both", "decode and normalize", .decode = true, .normalize = true},
    {"reference", "normalize, reference path", .normalize = true, .reference = true},
};

typedef struct result {
    double mb_a_s, cycles_a_byte;
    uint64_t rows;
} result;

/* What one stage's rounds use. */
typedef struct bench {
    hr_json_decoder *decoder;
    hr_doc doc;
    hr_schema schema;
    hr_batch batch;
    hr_normalizer *normalizer;
    size_t records[RECORDS_A_PAGE];
} bench;

static uint64_t normalize_page(bench *b, uint64_t stream, hr_error *err) {
    size_t at = 1;
    for (size_t i = 0; i < RECORDS_A_PAGE; i++) {
        b->records[i] = at;
        at = hr__doc_next(&b->doc, at);
    }
    const hr_records records = {.doc = &b->doc, .at = b->records, .n = RECORDS_A_PAGE, .stream = stream};
    must(hr__normalize(b->normalizer, &records, &b->batch, err), err);
    return hr__batch_rows(&b->batch);
}

/* One round over all pages; what is timed is added up. */
static uint64_t run_round(bench *b, const stage *st, const hr_buf *pages, size_t n_pages, double *s_out,
                          uint64_t *ticks_out) {
    uint64_t rows = 0;
    hr_error err;
    *s_out = 0;
    *ticks_out = 0;
    for (size_t p = 0; p < n_pages; p++) {
        double start_s = now_s();
        uint64_t start = TICKS();
        must(hr__json_decode(b->decoder, pages[p].data, pages[p].size_bytes, &b->doc, &err), &err);
        if (!st->decode) {
            start_s = now_s();
            start = TICKS();
        }
        if (st->normalize) {
            rows += normalize_page(b, p, &err);
        }
        *ticks_out += TICKS() - start;
        *s_out += now_s() - start_s;
    }
    return rows;
}

static result run_stage(const stage *st, const hr_buf *pages, size_t n_pages, size_t n_bytes, int n_rounds) {
    bench b = {0};
    hr_error err;
    hr__doc_init(&b.doc, alloc);
    hr__schema_init(&b.schema, alloc);
    hr__batch_init(&b.batch, alloc);
    must(hr__json_decoder_new(&(hr_json_options){.alloc = alloc}, &b.decoder, &err), &err);
    const hr_normalize_options options = {.alloc = alloc,
                                          .root_table = {"issues", 6},
                                          .load_id = {"1700000000.5", 12},
                                          .max_nesting = 1000,
                                          .id_kind = HR_ID_RANDOM,
                                          .reference_only = st->reference};
    must(hr__normalizer_new(&options, &b.schema, &b.normalizer, &err), &err);
    double best_s = 1e9;
    uint64_t best_ticks = UINT64_MAX, rows = 0;
    for (int round = 0; round <= n_rounds; round++) {
        double spent_s;
        uint64_t ticks;
        rows = run_round(&b, st, pages, n_pages, &spent_s, &ticks);
        if (round > 0) {
            best_s = spent_s < best_s ? spent_s : best_s;
            best_ticks = ticks < best_ticks ? ticks : best_ticks;
        }
    }
    hr__normalizer_free(b.normalizer);
    hr__batch_free(&b.batch);
    hr__schema_free(&b.schema);
    hr__doc_free(&b.doc);
    hr__json_decoder_free(b.decoder);
    return (result){(double)n_bytes / best_s / 1e6, (double)best_ticks / (double)n_bytes, rows};
}

typedef struct settings {
    size_t n_pages;
    int n_rounds;
    bool json;
    const char *only;
} settings;

static settings read_settings(int argc, char **argv) {
    settings set = {.n_pages = 200, .n_rounds = 10};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            set.json = true;
        } else if (strcmp(argv[i], "--pages") == 0 && i + 1 < argc) {
            set.n_pages = (size_t)atol(argv[++i]);
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            set.n_rounds = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            set.only = argv[++i];
        } else {
            fprintf(stderr, "usage: bench_normalize [--json] [--pages N] [--rounds N] [--only NAME]\n");
            exit(2);
        }
    }
    return set;
}

int main(int argc, char **argv) {
    settings set = read_settings(argc, argv);
    size_t n_bytes = 0;
    hr_buf *pages = hr__calloc(alloc, set.n_pages, sizeof *pages);
    must(pages == NULL ? HR_MEMORY : HR_OK, NULL);
    for (size_t p = 0; p < set.n_pages; p++) {
        pages[p] = make_page((uint32_t)p);
        n_bytes += pages[p].size_bytes;
    }
    if (!set.json) {
        printf("%zu pages of %d records, %.1f MB, %zu bytes a record\n", set.n_pages, RECORDS_A_PAGE,
               (double)n_bytes / 1e6, n_bytes / (set.n_pages * RECORDS_A_PAGE));
    }
    bool first = true;
    for (size_t s = 0; s < sizeof stages / sizeof *stages; s++) {
        if (set.only != NULL && strcmp(set.only, stages[s].name) != 0) {
            continue;
        }
        result r = run_stage(&stages[s], pages, set.n_pages, n_bytes, set.n_rounds);
        if (set.json) {
            printf("%s\"%s\":{\"mb_a_s\":%.0f,\"cycles_a_byte\":%.2f}", first ? "{" : ",", stages[s].name, r.mb_a_s,
                   r.cycles_a_byte);
        } else {
            printf("%-28s %7.0f MB/s  %5.2f cycles/byte  %" PRIu64 " rows\n", stages[s].title, r.mb_a_s,
                   r.cycles_a_byte, r.rows);
        }
        fflush(stdout);
        first = false;
    }
    printf("%s", set.json ? "}\n" : "");
    for (size_t p = 0; p < set.n_pages; p++) {
        hr__buf_free(&pages[p]);
    }
    hr__free(alloc, pages);
    return 0;
}
