/* SPDX-License-Identifier: Apache-2.0
 *
 * The C stages alone, one core, schema known: MB/s of JSON and cycles (rdtsc) a byte.
 *
 *   bench_stages FILE   (pages: each line a JSON array of records)
 */
#include "emit.h"
#include "json.h"
#include "normalize.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#define TICKS() __rdtsc()
#else
#define TICKS() 0ull
#endif

typedef struct page {
    char *body;
    size_t size_bytes;
} page;

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void must(int rc, const hr_error *err) {
    if (rc != HR_OK) {
        fprintf(stderr, "failed: %s\n", err->message);
        exit(1);
    }
}

static page *read_pages(const char *path, size_t *n_out, size_t *bytes_out) {
    FILE *file = fopen(path, "rb");
    page *pages = NULL;
    char *line = NULL;
    size_t cap = 0, n = 0;
    ssize_t size;
    while (file != NULL && (size = getline(&line, &cap, file)) > 0) {
        pages = realloc(pages, (n + 1) * sizeof *pages);
        pages[n].body = malloc((size_t)size + HR_BODY_PADDING);
        memcpy(pages[n].body, line, (size_t)size);
        pages[n++].size_bytes = (size_t)size;
        *bytes_out += (size_t)size;
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    *n_out = n;
    return pages;
}

typedef struct stage {
    const char *name;
    bool decode, normalize, emit, reference;
} stage;

int main(int argc, char **argv) {
    const hr_allocator *alloc = &hr__allocator_libc;
    size_t n_pages = 0, n_bytes = 0;
    page *pages = argc > 1 ? read_pages(argv[1], &n_pages, &n_bytes) : NULL;
    if (n_pages == 0) {
        fprintf(stderr, "usage: bench_stages FILE\n");
        return 2;
    }
    hr_error err;
    hr_json_decoder *decoder, *portable;
    must(hr__json_decoder_new(&(hr_json_options){.alloc = alloc}, &decoder, &err), &err);
    must(hr__json_decoder_new(&(hr_json_options){.alloc = alloc, .portable = true}, &portable, &err), &err);
    static const stage stages[] = {{"decode", .decode = true},
                                   {"normalize", .normalize = true},
                                   {"decode + normalize + emit", true, true, true, false},
                                   {"normalize, reference path", .normalize = true, .reference = true}};
    printf("%zu pages, %.0f MB\n", n_pages, (double)n_bytes / 1e6);
    for (size_t s = 0; s < sizeof stages / sizeof *stages; s++) {
        const stage *at = &stages[s];
        hr_schema schema;
        hr_batch batch;
        hr_normalizer *normalizer;
        hr_emitter *emitter;
        hr__schema_init(&schema, alloc);
        hr__batch_init(&batch, alloc);
        hr_normalize_options options = {.alloc = alloc,
                                        .root_table = {"issues", 6},
                                        .load_id = {"1", 1},
                                        .max_nesting = 1000,
                                        .id_kind = HR_ID_RANDOM,
                                        .reference_only = at->reference};
        must(hr__normalizer_new(&options, &schema, &normalizer, &err), &err);
        double best_s = 1e9;
        uint64_t best_ticks = UINT64_MAX;
        for (int round = 0; round < 4; round++) { /* the first round learns the schema */
            double spent_s = 0;
            uint64_t ticks = 0;
            must(hr__emitter_new(alloc, &emitter, &err), &err);
            hr_doc doc;
            hr__doc_init(&doc, alloc);
            size_t *records = NULL, cap = 0;
            for (size_t p = 0; p < n_pages; p++) {
                double start_s = now_s();
                uint64_t start = TICKS();
                must(hr__json_decode(decoder, pages[p].body, pages[p].size_bytes, &doc, &err), &err);
                if (!at->decode) {
                    start_s = now_s();
                    start = TICKS();
                }
                if (at->normalize) {
                    size_t n = doc.toks[0].len, value = 1;
                    must(hr__grow(alloc, (void **)&records, &cap, n, sizeof *records), &err);
                    for (size_t i = 0; i < n; i++) {
                        records[i] = value;
                        value = hr__doc_next(&doc, value);
                    }
                    must(hr__normalize(normalizer, &(hr_records){.doc = &doc, .at = records, .n = n, .stream = p},
                                       &batch, &err),
                         &err);
                }
                if (at->emit) {
                    must(hr__emitter_append(emitter, &schema, &batch, &err), &err);
                }
                spent_s += now_s() - start_s;
                ticks += TICKS() - start;
            }
            hr__free(alloc, records);
            hr__doc_free(&doc);
            hr__emitter_free(emitter);
            best_s = spent_s < best_s ? spent_s : best_s;
            best_ticks = ticks < best_ticks ? ticks : best_ticks;
        }
        printf("%-28s %7.0f MB/s  %5.2f cycles/byte\n", at->name, (double)n_bytes / best_s / 1e6,
               (double)best_ticks / (double)n_bytes);
        hr__normalizer_free(normalizer);
        hr__batch_free(&batch);
        hr__schema_free(&schema);
    }
    hr__json_decoder_free(decoder);
    hr__json_decoder_free(portable);
    return 0;
}
