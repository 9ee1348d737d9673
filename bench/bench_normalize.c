/* SPDX-License-Identifier: Apache-2.0
 *
 * `./dev bench normalize`: the C stages on one core: MB/s of JSON and cycles (the time stamp counter's) a byte.
 * Deterministic; best of several rounds, before which one learns the schema.
 *
 *   bench_normalize [--json] [--pages N] [--rounds N] [--only NAME]
 */
#include "bench.h"

#include "emit.h"
#include "json.h"
#include "normalize.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const hr_allocator *const alloc = &hr__allocator_libc;

typedef struct stage {
    const char *name, *title;
    bool decode, normalize, emit, reference; /* what is timed; pages are always decoded */
} stage;

static const stage stages[] = {
    {"decode", "decode", .decode = true},
    {"normalize", "normalize, known schema", .normalize = true},
    {"both", "decode and normalize", .decode = true, .normalize = true},
    {"all", "decode, normalize and emit", .decode = true, .normalize = true, .emit = true},
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
    hr_emitter *emitter;
    size_t records[RECORDS_A_PAGE];
} bench;

static uint64_t normalize_page(bench *b, uint64_t stream, hr_error *err) {
    size_t at = 1;
    for (size_t i = 0; i < RECORDS_A_PAGE; i++) {
        b->records[i] = at;
        at = hr__doc_next(&b->doc, at);
    }
    const hr_records records = {.doc = &b->doc, .at = b->records, .n = RECORDS_A_PAGE, .stream = stream};
    bench_must(hr__normalize(b->normalizer, &records, &b->batch, err), err);
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
        double start_s = bench_now_s();
        uint64_t start = bench_ticks();
        bench_must(hr__json_decode(b->decoder, pages[p].data, pages[p].size_bytes, &b->doc, &err), &err);
        if (!st->decode) {
            start_s = bench_now_s();
            start = bench_ticks();
        }
        if (st->normalize) {
            rows += normalize_page(b, p, &err);
        }
        if (st->emit) {
            bench_must(hr__emitter_append(b->emitter, &b->schema, &b->batch, &err), &err);
        }
        *ticks_out += bench_ticks() - start;
        *s_out += bench_now_s() - start_s;
    }
    return rows;
}

static result run_stage(const stage *st, const hr_buf *pages, size_t n_pages, size_t n_bytes, unsigned long n_rounds) {
    bench b = {0};
    hr_error err;
    hr__doc_init(&b.doc, alloc);
    hr__schema_init(&b.schema, alloc);
    hr__batch_init(&b.batch, alloc);
    bench_must(hr__json_decoder_new(&(hr_json_options){.alloc = alloc}, &b.decoder, &err), &err);
    const hr_normalize_options options = {.alloc = alloc,
                                          .root_table = {"issues", 6},
                                          .load_id = {"1700000000.5", 12},
                                          .max_nesting = 1000,
                                          .id_kind = HR_ID_RANDOM,
                                          .reference_only = st->reference};
    bench_must(hr__normalizer_new(&options, &b.schema, &b.normalizer, &err), &err);
    double best_s = 1e9;
    uint64_t best_ticks = UINT64_MAX, rows = 0;
    for (unsigned long round = 0; round <= n_rounds; round++) {
        double spent_s;
        uint64_t ticks;
        bench_must(hr__emitter_new(alloc, &b.emitter, &err), &err);
        rows = run_round(&b, st, pages, n_pages, &spent_s, &ticks);
        hr__emitter_free(b.emitter);
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
    unsigned long n_rounds;
    bool json;
    const char *only;
} settings;

static settings read_settings(int argc, char **argv) {
    settings set = {.n_pages = 200, .n_rounds = 10};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            set.json = true;
        } else if (strcmp(argv[i], "--pages") == 0 && i + 1 < argc) {
            set.n_pages = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            set.n_rounds = strtoul(argv[++i], NULL, 10);
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
    bench_must(set.n_pages == 0 || set.n_rounds == 0 ? HR_ARGUMENT : HR_OK, NULL);
    hr_buf *pages = hr__calloc(alloc, set.n_pages, sizeof *pages);
    bench_must(pages == NULL ? HR_MEMORY : HR_OK, NULL);
    for (size_t p = 0; p < set.n_pages; p++) {
        pages[p] = bench_page((uint32_t)p);
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
