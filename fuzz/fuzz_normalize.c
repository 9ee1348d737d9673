/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: any JSON as two pages of records; the fast path and the reference give the same schema and rows.
 */
#include "json.h"
#include "normalize.h"

#include <stdlib.h>

typedef struct side {
    hr_schema schema;
    hr_batch batch;
    int rc;
    hr_error err;
} side;

static void run(side *s, const hr_doc *doc, bool reference_only, int32_t max_nesting) {
    hr_normalizer *normalizer;
    hr_normalize_options options = {.alloc = &hr__allocator_libc,
                                    .root_table = {"t", 1},
                                    .load_id = {"1", 1},
                                    .max_nesting = max_nesting,
                                    .id_kind = HR_ID_RANDOM,
                                    .reference_only = reference_only};
    size_t n = doc->toks[0].type == HR_TOK_ARRAY ? doc->toks[0].len : 1, at = doc->toks[0].type == HR_TOK_ARRAY;
    size_t *records = calloc(n + 1, sizeof *records);
    for (size_t i = 0; i < n; i++) {
        records[i] = at;
        at = hr__doc_next(doc, at);
    }
    hr__schema_init(&s->schema, &hr__allocator_libc);
    hr__batch_init(&s->batch, &hr__allocator_libc);
    s->rc = hr__normalizer_new(&options, &s->schema, &normalizer, &s->err);
    for (uint64_t page = 0; page < 2 && s->rc == HR_OK; page++) {
        s->rc = hr__normalize(normalizer, &(hr_records){.doc = doc, .at = records, .n = n, .stream = page}, &s->batch,
                              &s->err);
    }
    hr__normalizer_free(normalizer);
    free(records);
}

static void same(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    char *body = malloc(size + HR_BODY_PADDING);
    memcpy(body, data + 1, size - 1);
    hr_json_decoder *decoder;
    hr_doc doc;
    hr_error err;
    hr__doc_init(&doc, &hr__allocator_libc);
    same(hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc, .max_depth = 64}, &decoder, &err) ==
         HR_OK);
    if (hr__json_decode(decoder, body, size - 1, &doc, &err) == HR_OK) {
        side a, b;
        int32_t max_nesting = data[0] % 4 == 3 ? 1000 : data[0] % 4;
        run(&a, &doc, false, max_nesting);
        run(&b, &doc, true, max_nesting);
        same(a.rc == b.rc);
        if (a.rc == HR_OK) {
            same(a.schema.n_tables == b.schema.n_tables);
            for (size_t t = 0; t < a.schema.n_tables; t++) {
                same(a.schema.tables[t].n_columns == b.schema.tables[t].n_columns);
                same(a.batch.tables[t].n_rows == b.batch.tables[t].n_rows);
            }
        }
        side *sides[] = {&a, &b};
        for (int i = 0; i < 2; i++) {
            hr__batch_free(&sides[i]->batch);
            hr__schema_free(&sides[i]->schema);
        }
    }
    hr__json_decoder_free(decoder);
    hr__doc_free(&doc);
    free(body);
    return 0;
}
