/* SPDX-License-Identifier: Apache-2.0
 *
 * `./dev bench normalize`: the C stages on one core: MB/s of JSON by the thread's CPU time, and beside them simdjson
 * touching every field. Deterministic; best of several rounds, before which one learns the schema.
 *
 *   bench_normalize [--json] [--pages N] [--rounds N] [--only NAME]
 */
#include "bench.h"

#if defined(HR_BENCH_SIMDJSON)
#include "bench_simdjson.h"
#endif
#include "emit.h"
#include "json.h"
#include "normalize.h"
#include "pages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const hr_allocator *const alloc = &hr__allocator_libc;

typedef struct stage {
    const char *name, *title;
    bool decode, normalize, emit, reference; /* what is timed; pages are always decoded */
    bool infer;                              /* each round begins without a schema */
} stage;

static const stage stages[] = {
    {"decode", "decode", .decode = true},
    {"normalize", "normalize, known schema", .normalize = true},
    {"both", "decode and normalize", .decode = true, .normalize = true},
    {"all", "decode, normalize and emit", .decode = true, .normalize = true, .emit = true},
    {"infer", "the same, first pass", .decode = true, .normalize = true, .emit = true, .infer = true},
    {"reference", "normalize, reference path", .normalize = true, .reference = true},
};

typedef struct result {
    double mb_a_s;
    uint64_t rows;
} result;

/* Memory as the engine has it. */
static hr_pages pages_kept;

static void *kept_malloc(void *ctx, size_t size_bytes) {
    return hr__pages_malloc(ctx, size_bytes);
}
static void *kept_realloc(void *ctx, void *ptr, size_t old_size_bytes, size_t size_bytes) {
    (void)old_size_bytes;
    return hr__pages_realloc(ctx, ptr, size_bytes);
}
static void kept_free(void *ctx, void *ptr) {
    hr__pages_free(ctx, ptr);
}
static const hr_allocator kept = {kept_malloc, kept_realloc, kept_free, &pages_kept};
#define BATCH_BYTES ((size_t)8 << 20) /* the engine's batch_bytes */

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

/* Gives the rows away and drops them. */
static void export_all(bench *b, hr_error *err) {
    for (size_t t = 0; t < b->schema.n_tables; t++) {
        struct ArrowArray array;
        struct ArrowSchema schema;
        bench_must(hr__emitter_export(b->emitter, &b->schema, (int32_t)t, &array, &schema, err), err);
        array.release(&array);
        schema.release(&schema);
    }
}

/* One round over all pages; what is timed is added up. */
static uint64_t run_round(bench *b, const stage *st, const hr_buf *pages, size_t n_pages, double *s_out) {
    uint64_t rows = 0;
    hr_error err;
    *s_out = 0;
    for (size_t p = 0; p < n_pages; p++) {
        double start_s = bench_cpu_s();
        bench_must(hr__json_decode(b->decoder, pages[p].data, pages[p].size_bytes, &b->doc, &err), &err);
        if (!st->decode) {
            start_s = bench_cpu_s();
        }
        if (st->normalize) {
            rows += normalize_page(b, p, &err);
        }
        if (st->emit) {
            bench_must(hr__emitter_append(b->emitter, &b->schema, &b->batch, &err), &err);
            if (hr__emitter_bytes(b->emitter) >= BATCH_BYTES || p + 1 == n_pages) {
                export_all(b, &err);
            }
        }
        *s_out += bench_cpu_s() - start_s;
    }
    return rows;
}

static void learn_anew(bench *b, const stage *st) {
    hr_error err;
    const hr_normalize_options options = {.alloc = alloc,
                                          .root_table = {"issues", 6},
                                          .load_id = {"1700000000.5", 12},
                                          .max_nesting = 1000,
                                          .id_kind = HR_ID_RANDOM,
                                          .reference_only = st->reference};
    hr__normalizer_free(b->normalizer);
    hr__schema_free(&b->schema);
    hr__batch_free(&b->batch);
    hr__emitter_free(b->emitter);
    hr__schema_init(&b->schema, alloc);
    hr__batch_init(&b->batch, alloc);
    bench_must(hr__normalizer_new(&options, &b->schema, &b->normalizer, &err), &err);
    bench_must(hr__emitter_new(&kept, &b->emitter, &err), &err);
}

static result run_stage(const stage *st, const hr_buf *pages, size_t n_pages, size_t n_bytes, unsigned long n_rounds) {
    bench b = {0};
    hr_error err;
    hr__doc_init(&b.doc, alloc);
    hr__schema_init(&b.schema, alloc);
    hr__batch_init(&b.batch, alloc);
    bench_must(hr__json_decoder_new(&(hr_json_options){.alloc = alloc}, &b.decoder, &err), &err);
    double best_s = 1e9;
    uint64_t rows = 0;
    for (unsigned long round = 0; round <= n_rounds; round++) {
        double spent_s;
        if (round == 0 || st->infer) {
            learn_anew(&b, st);
        }
        rows = run_round(&b, st, pages, n_pages, &spent_s);
        best_s = round > 0 && spent_s < best_s ? spent_s : best_s;
    }
    hr__normalizer_free(b.normalizer);
    hr__emitter_free(b.emitter);
    hr__batch_free(&b.batch);
    hr__schema_free(&b.schema);
    hr__doc_free(&b.doc);
    hr__json_decoder_free(b.decoder);
    return (result){(double)n_bytes / best_s / 1e6, rows};
}

static void print_result(bool json, bool first, const char *name, const char *title, result r) {
    if (json) {
        printf("%s\"%s\":{\"mb_a_s\":%.0f}", first ? "{" : ",", name, r.mb_a_s);
    } else {
        printf("%-28s %7.0f MB/s  %" PRIu64 " rows\n", title, r.mb_a_s, r.rows);
    }
    fflush(stdout);
}

#if defined(HR_BENCH_SIMDJSON)
static result run_simdjson(const hr_buf *pages, size_t n_pages, size_t n_bytes, unsigned long n_rounds) {
    hr_bench_simdjson *parsers = hr_bench_simdjson_new();
    bench_must(parsers == NULL ? HR_MEMORY : HR_OK, NULL);
    double best_s = 1e9;
    uint64_t sum = 0;
    for (unsigned long round = 0; round <= n_rounds; round++) {
        double start_s = bench_cpu_s();
        for (size_t p = 0; p < n_pages; p++) {
            bench_must(hr_bench_simdjson_dom(parsers, pages[p].data, pages[p].size_bytes, &sum) == 0 ? HR_OK
                                                                                                     : HR_SYNTAX,
                       NULL);
        }
        double spent_s = bench_cpu_s() - start_s;
        best_s = round > 0 && spent_s < best_s ? spent_s : best_s;
    }
    hr_bench_simdjson_free(parsers);
    return (result){(double)n_bytes / best_s / 1e6, sum == 0};
}
#endif

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
    hr__pages_init(&pages_kept, HR_PAGES_MIN_MAPPED, (size_t)48 << 20);
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
        print_result(set.json, first, stages[s].name, stages[s].title, r);
        first = false;
    }
#if defined(HR_BENCH_SIMDJSON)
    if (set.only == NULL || strcmp(set.only, "simdjson") == 0) {
        result r = run_simdjson(pages, set.n_pages, n_bytes, set.n_rounds);
        print_result(set.json, first, "simdjson", "simdjson DOM, read all", r);
    }
#endif
    printf("%s", set.json ? "}\n" : "");
    for (size_t p = 0; p < set.n_pages; p++) {
        hr__buf_free(&pages[p]);
    }
    hr__free(alloc, pages);
    hr__pages_close(&pages_kept);
    hr__pages_destroy(&pages_kept);
    return 0;
}
