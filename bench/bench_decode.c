/* SPDX-License-Identifier: Apache-2.0
 *
 * Decoding alone, one core: MB/s and cycles (rdtsc) a byte of the structural index, of the decoder with both kernels,
 * of writing the tape back as text, and of simdjson's DOM for comparison (it parses and touches every field).
 *
 *   bench_decode [--json] [FILE]
 *
 * Without FILE (lines, each a JSON document) it makes pages of 128 KB: arrays of records of about 1.3 KB like an issue
 * of a code host, the same ones each time.
 */
#include "bench_decode.h"

#include "doc_write.h"
#include "index.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#define TICKS() __rdtsc()
#else
#define TICKS() 0ull
#endif

enum { N_PAGES = 64, PAGE_BYTES = 128 << 10, N_ROUNDS = 25 };

typedef struct page {
    char *body;
    size_t size_bytes;
} page;

/* ---- the pages */

static uint64_t random_state = 0x9E3779B97F4A7C15u;

/* xorshift64*, then a number below n. */
static unsigned below(unsigned n) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (unsigned)((random_state * 0x2545F4914F6CDD1Du >> 33) % n);
}

static const char *const words[] = {"lorem", "ipsum",  "dolor",  "sit", "amet", "adipiscing", "elit",
                                    "sed",   "tempor", "labore", "do",  "ut",   "consectetur"};
static const char *const extras[] = {"na\xC3\xAFve caf\xC3\xA9",
                                     "a \\\"quoted\\\" word",
                                     "line\\nbreak",
                                     "emoji \xF0\x9F\x8E\x89",
                                     "tab\\there",
                                     "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E",
                                     "back\\\\slash"};

static const char *word(void) {
    return words[below(sizeof words / sizeof *words)];
}

static char *put_text(char *at, const char *name, unsigned n_words) {
    at += sprintf(at, "\"%s\":\"", name);
    for (unsigned i = 0; i < n_words; i++) {
        at += sprintf(at, "%s ", word());
    }
    return at + sprintf(at, "%s\",", extras[below(sizeof extras / sizeof *extras)]);
}

static char *put_time(char *at, const char *name) {
    return at + sprintf(at, "\"%s\":\"20%02u-%02u-%02uT%02u:30:15Z\",", name, 10 + below(16), 1 + below(12),
                        1 + below(28), below(24));
}

static char *put_user(char *at) {
    const char *login = word();
    return at + sprintf(at,
                        "\"user\":{\"login\":\"%s%u\",\"id\":%u,\"node_id\":\"MDQ6VXNlcj%u\",\"avatar_url\":"
                        "\"https://avatars.example.com/u/%u?v=4\",\"html_url\":\"https://example.com/%s\",\"type\":"
                        "\"%s\",\"site_admin\":%s,\"score\":%u.%03u},",
                        login, below(10000), below(100000000), below(1000000), below(1000000), login,
                        below(2) ? "User" : "Bot", below(10) == 0 ? "true" : "false", below(100), below(1000));
}

static char *put_record(char *at, unsigned number) {
    at += sprintf(at, "{\"id\":%u,\"number\":%u,", number, number % 10000);
    at = put_text(at, "title", 6);
    at += sprintf(at, "\"state\":\"%s\",\"locked\":false,\"comments\":%u,", below(2) ? "open" : "closed", below(50));
    at = put_time(put_time(at, "created_at"), "updated_at");
    at = below(2) ? put_time(at, "closed_at") : at + sprintf(at, "\"closed_at\":null,");
    at += sprintf(at, "\"author_association\":\"CONTRIBUTOR\",");
    at = put_text(at, "body", 40);
    at += sprintf(at, "\"weight\":0.%u%08u,\"milestone\":null,", 1 + below(90000000), below(100000000));
    at = put_user(at);
    at += sprintf(at, "\"labels\":[");
    for (unsigned k = 0, n = below(4); k < n; k++) {
        at += sprintf(at, "%s{\"id\":%u,\"name\":\"%s\",\"color\":\"%06x\",\"default\":%s}", k ? "," : "",
                      below(1000000), word(), below(1 << 24), k == 0 ? "true" : "false");
    }
    at += sprintf(at, "],\"assignees\":[");
    for (unsigned k = 0, n = below(3); k < n; k++) {
        at += sprintf(at, "%s{\"login\":\"%s%u\",\"id\":%u,", k ? "," : "", word(), k, below(1000000));
        at = put_time(at, "since");
        at[-1] = '}';
    }
    at += sprintf(at, "],\"topics\":[");
    for (unsigned k = 0, n = below(4); k < n; k++) {
        at += sprintf(at, "%s\"%s\"", k ? "," : "", word());
    }
    return at + sprintf(at, "],\"reactions\":{\"total_count\":%u,\"plus1\":%u,\"url\":\"https://example.com/r/%u\"}}",
                        below(9), below(5), number);
}

static page *make_pages(size_t *n_out) {
    page *pages = calloc(N_PAGES, sizeof *pages);
    unsigned number = 0;
    for (size_t p = 0; p < N_PAGES; p++) {
        char *at = pages[p].body = calloc(1, PAGE_BYTES + 4096 + HR_BODY_PADDING);
        *at++ = '[';
        while (at - pages[p].body < PAGE_BYTES) {
            at = put_record(at, number++);
            *at++ = ',';
        }
        at[-1] = ']';
        pages[p].size_bytes = (size_t)(at - pages[p].body);
    }
    *n_out = N_PAGES;
    return pages;
}

static page *read_pages(const char *path, size_t *n_out) {
    FILE *file = fopen(path, "rb");
    page *pages = NULL;
    char *line = NULL;
    size_t cap = 0, n = 0;
    ssize_t size;
    while (file != NULL && (size = getline(&line, &cap, file)) > 0) {
        pages = realloc(pages, (n + 1) * sizeof *pages);
        pages[n].body = calloc(1, (size_t)size + HR_BODY_PADDING);
        memcpy(pages[n].body, line, (size_t)size);
        pages[n++].size_bytes = (size_t)size;
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    *n_out = n;
    return pages;
}

/* ---- what is measured */

typedef struct run {
    const hr_allocator *alloc;
    hr_json_decoder *fast, *portable;
    hr_json_index index;
    hr_doc doc;
    hr_buf out;
    void *simdjson;
    uint64_t sum; /* of what was touched, so that nothing is left out */
} run;

static void must(int rc, const char *what) {
    if (rc != HR_OK) {
        fprintf(stderr, "%s failed: %d\n", what, rc);
        exit(1);
    }
}

static void run_index(run *r, const page *p) {
    must(hr__json_index_avx2(p->body, p->size_bytes, r->alloc, &r->index), "index");
    r->sum += r->index.n;
}

static void run_index_portable(run *r, const page *p) {
    must(hr__json_index_portable(p->body, p->size_bytes, r->alloc, &r->index), "index");
    r->sum += r->index.n;
}

static void run_decode(run *r, const page *p) {
    must(hr__json_decode(r->fast, p->body, p->size_bytes, &r->doc, NULL), "decode");
    r->sum += r->doc.n_toks;
}

static void run_portable(run *r, const page *p) {
    must(hr__json_decode(r->portable, p->body, p->size_bytes, &r->doc, NULL), "decode");
    r->sum += r->doc.n_toks;
}

static void run_decode_and_write(run *r, const page *p) {
    must(hr__json_decode(r->fast, p->body, p->size_bytes, &r->doc, NULL), "decode");
    r->out.size_bytes = 0;
    must(hr__doc_write(&r->doc, 0, 0, NULL, 0, &r->out, NULL), "write");
    r->sum += r->out.size_bytes;
}

static void run_decode_and_write_sorted(run *r, const page *p) {
    must(hr__json_decode(r->fast, p->body, p->size_bytes, &r->doc, NULL), "decode");
    r->out.size_bytes = 0;
    must(hr__doc_write(&r->doc, 0, HR_WRITE_SORT_KEYS, NULL, 0, &r->out, NULL), "write");
    r->sum += r->out.size_bytes;
}

#ifdef HR_BENCH_SIMDJSON
static void run_simdjson(run *r, const page *p) {
    must(hr_bench_simdjson(r->simdjson, p->body, p->size_bytes, &r->sum), "simdjson");
}
#endif

static const struct {
    const char *name;
    void (*fn)(run *r, const page *p);
} measures[] = {
    {"index, avx2", run_index},
    {"index, portable", run_index_portable},
    {"decode, avx2", run_decode},
    {"decode, portable", run_portable},
    {"decode avx2 + write", run_decode_and_write},
    {"decode avx2 + write sorted", run_decode_and_write_sorted},
#ifdef HR_BENCH_SIMDJSON
    {"simdjson dom + touch", run_simdjson},
#endif
};

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    size_t n_pages = 0, n_bytes = 0;
    page *pages = argc > 1 + json ? read_pages(argv[1 + json], &n_pages) : make_pages(&n_pages);
    for (size_t p = 0; p < n_pages; p++) {
        n_bytes += pages[p].size_bytes;
    }
    if (n_pages == 0) {
        fprintf(stderr, "usage: bench_decode [--json] [FILE]\n");
        return 2;
    }
    run r = {.alloc = &hr__allocator_libc};
    must(hr__json_decoder_new(&(hr_json_options){.alloc = r.alloc}, &r.fast, NULL), "new");
    must(hr__json_decoder_new(&(hr_json_options){.alloc = r.alloc, .portable = true}, &r.portable, NULL), "new");
    hr__doc_init(&r.doc, r.alloc);
    hr__buf_init(&r.out, r.alloc, 0);
#ifdef HR_BENCH_SIMDJSON
    r.simdjson = hr_bench_simdjson_new();
#endif
    printf(json ? "{\"pages\":%zu,\"mb\":%.1f" : "%zu pages, %.1f MB; best of %d rounds\n", n_pages,
           (double)n_bytes / 1e6, N_ROUNDS);
    for (size_t m = 0; m < sizeof measures / sizeof *measures; m++) {
        double best_s = 1e9;
        uint64_t best_ticks = UINT64_MAX;
        for (int round = 0; round < N_ROUNDS; round++) {
            double start_s = now_s();
            uint64_t start = TICKS();
            for (size_t p = 0; p < n_pages; p++) {
                measures[m].fn(&r, &pages[p]);
            }
            uint64_t ticks = TICKS() - start;
            double spent_s = now_s() - start_s;
            best_s = spent_s < best_s ? spent_s : best_s;
            best_ticks = ticks < best_ticks ? ticks : best_ticks;
        }
        printf(json ? ",\"%s\":{\"mb_s\":%.0f,\"cycles_byte\":%.2f}" : "%-28s %7.0f MB/s  %5.2f cycles/byte\n",
               measures[m].name, (double)n_bytes / best_s / 1e6, (double)best_ticks / (double)n_bytes);
    }
    printf(json ? ",\"sum\":%llu}\n" : "(%llu)\n", (unsigned long long)r.sum);
#ifdef HR_BENCH_SIMDJSON
    hr_bench_simdjson_free(r.simdjson);
#endif
    hr__json_decoder_free(r.fast);
    hr__json_decoder_free(r.portable);
    hr__free(r.alloc, r.index.at);
    hr__free(r.alloc, r.index.escapes);
    hr__doc_free(&r.doc);
    hr__buf_free(&r.out);
    for (size_t p = 0; p < n_pages; p++) {
        free(pages[p].body);
    }
    free(pages);
    return 0;
}
