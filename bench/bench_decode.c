/* SPDX-License-Identifier: Apache-2.0
 *
 * `./dev bench decode`: decoding alone on one core: MB/s and cycles (the time stamp counter's) a byte of the structural
 * index, of the decoder with both kernels, of writing the tape back as text, and of simdjson, which parses the same
 * pages and reads every field, by its DOM and by its On-Demand interface.
 *
 *   bench_decode [--json] [FILE]       FILE: lines, each a JSON document, instead of pages.c's
 */
#include "bench.h"

#include "doc_write.h"
#include "index.h"
#include "json.h"
#ifdef HR_BENCH_SIMDJSON
#include "bench_simdjson.h"
#endif

#include <stdio.h>
#include <stdlib.h>

enum { N_PAGES = 64, N_ROUNDS = 40 };

static hr_buf *make_pages(size_t *n_out) {
    hr_buf *pages = calloc(N_PAGES, sizeof *pages);
    for (size_t p = 0; p < N_PAGES; p++) {
        pages[p] = bench_page((uint32_t)p);
    }
    *n_out = N_PAGES;
    return pages;
}

static hr_buf *read_pages(const char *path, size_t *n_out) {
    FILE *file = fopen(path, "rb");
    hr_buf *pages = NULL;
    char *line = NULL;
    size_t cap = 0, cap_pages = 0, n = 0;
    ssize_t size;
    while (file != NULL && (size = getline(&line, &cap, file)) > 0) {
        bench_must(hr__grow(&hr__allocator_libc, (void **)&pages, &cap_pages, n + 1, sizeof *pages), NULL);
        hr__buf_init(&pages[n], &hr__allocator_libc, 0);
        bench_must(hr__buf_append(&pages[n], line, (size_t)size), NULL);
        bench_must(hr__buf_reserve(&pages[n++], HR_BODY_PADDING), NULL);
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
    struct hr_bench_simdjson *simdjson;
    uint64_t sum; /* of what was read, so that nothing is left out */
} run;

static void run_index(run *r, const hr_buf *page) {
    hr__json_index_start(&r->index);
    bench_must(hr__json_index_avx2(page->data, page->size_bytes, true, r->alloc, &r->index), NULL);
    r->sum += r->index.n;
}

static void run_index_portable(run *r, const hr_buf *page) {
    hr__json_index_start(&r->index);
    bench_must(hr__json_index_portable(page->data, page->size_bytes, true, r->alloc, &r->index), NULL);
    r->sum += r->index.n;
}

static void decode(run *r, hr_json_decoder *decoder, const hr_buf *page) {
    hr_error err;
    bench_must(hr__json_decode(decoder, page->data, page->size_bytes, &r->doc, &err), &err);
    r->sum += r->doc.n_toks;
}

static void run_decode(run *r, const hr_buf *page) {
    decode(r, r->fast, page);
}

static void run_portable(run *r, const hr_buf *page) {
    decode(r, r->portable, page);
}

/* As a body arrives: 16 KB, curl's buffer, at a time. */
static void run_feed(run *r, const hr_buf *page) {
    hr_error err;
    hr__json_start(r->fast);
    for (size_t size = 16 << 10; size < page->size_bytes; size += 16 << 10) {
        bench_must(hr__json_feed(r->fast, page->data, size, &err), &err);
    }
    bench_must(hr__json_finish(r->fast, page->data, page->size_bytes, &r->doc, &err), &err);
    r->sum += r->doc.n_toks;
}

/* What the simdjson measures do, too: of every key and value something is read. */
static void run_decode_and_read(run *r, const hr_buf *page) {
    decode(r, r->fast, page);
    for (const hr_tok *tok = r->doc.toks, *end = tok + r->doc.n_toks; tok < end; tok++) {
        r->sum += tok->type == HR_TOK_STRING ? tok->len : tok->type == HR_TOK_DOUBLE ? (uint64_t)tok->as.d : tok->as.u;
    }
}

static void decode_and_write(run *r, const hr_buf *page, uint32_t flags) {
    hr_error err;
    decode(r, r->fast, page);
    r->out.size_bytes = 0;
    bench_must(hr__doc_write(&r->doc, 0, flags, NULL, 0, &r->out, &err), &err);
    r->sum += r->out.size_bytes;
}

static void run_decode_and_write(run *r, const hr_buf *page) {
    decode_and_write(r, page, 0);
}

static void run_decode_and_write_sorted(run *r, const hr_buf *page) {
    decode_and_write(r, page, HR_WRITE_SORT_KEYS);
}

#ifdef HR_BENCH_SIMDJSON
static void run_simdjson_dom(run *r, const hr_buf *page) {
    bench_must(hr_bench_simdjson_dom(r->simdjson, page->data, page->size_bytes, &r->sum), NULL);
}

static void run_simdjson_ondemand(run *r, const hr_buf *page) {
    bench_must(hr_bench_simdjson_ondemand(r->simdjson, page->data, page->size_bytes, &r->sum), NULL);
}
#endif

static const struct {
    const char *name;
    void (*fn)(run *r, const hr_buf *page);
} measures[] = {
    {"index, avx2", run_index},
    {"index, portable", run_index_portable},
    {"decode, portable", run_portable},
    {"decode, avx2", run_decode},
    {"decode, avx2, fed by 16 KB", run_feed},
    {"decode, avx2, read all", run_decode_and_read},
#ifdef HR_BENCH_SIMDJSON
    {"simdjson DOM, read all", run_simdjson_dom},
    {"simdjson On-Demand, read all", run_simdjson_ondemand},
#endif
    {"decode, avx2, write", run_decode_and_write},
    {"decode, avx2, write sorted", run_decode_and_write_sorted},
};

int main(int argc, char **argv) {
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    size_t n_pages = 0, n_bytes = 0;
    hr_buf *pages = argc > 1 + json ? read_pages(argv[1 + json], &n_pages) : make_pages(&n_pages);
    for (size_t p = 0; p < n_pages; p++) {
        n_bytes += pages[p].size_bytes;
    }
    if (n_pages == 0) {
        fprintf(stderr, "usage: bench_decode [--json] [FILE]\n");
        return 2;
    }
    run r = {.alloc = &hr__allocator_libc};
    bench_must(hr__json_decoder_new(&(hr_json_options){.alloc = r.alloc}, &r.fast, NULL), NULL);
    bench_must(hr__json_decoder_new(&(hr_json_options){.alloc = r.alloc, .portable = true}, &r.portable, NULL), NULL);
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
            double start_s = bench_now_s();
            uint64_t start = bench_ticks();
            for (size_t p = 0; p < n_pages; p++) {
                measures[m].fn(&r, &pages[p]);
            }
            uint64_t ticks = bench_ticks() - start;
            double spent_s = bench_now_s() - start_s;
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
        hr__buf_free(&pages[p]);
    }
    free(pages);
    return 0;
}
