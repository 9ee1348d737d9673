/* SPDX-License-Identifier: Apache-2.0
 *
 * normalize: every allocation failing in turn, on both ways. (What the rows must be is tested against dlt in tests/py.)
 */
#include "hrtest.h"
#include "normalize.h"

/* {"id": 1, "user": {"Name": "x"}, "tags": ["a", [1]], "at": "2024-01-01T00:00:00Z", "n": 1} then n becomes text, as a
 * tape made by hand: this stage has no decoder. */
static void make_doc(hr_doc *doc, hr_tok *toks) {
    size_t n = 0;
#define TEXT(s)                                                  \
    toks[n++] = (hr_tok) {                                       \
        .type = HR_TOK_STRING, .len = sizeof(s) - 1, .as.str = s \
    }
#define INT(v)                        \
    toks[n++] = (hr_tok) {            \
        .type = HR_TOK_INT, .as.i = v \
    }
    for (int record = 0; record < 3; record++) {
        size_t object = n;
        toks[n++] = (hr_tok){.type = HR_TOK_OBJECT, .len = 5};
        TEXT("id");
        INT(record);
        TEXT("user");
        size_t user = n;
        toks[n++] = (hr_tok){.type = HR_TOK_OBJECT, .len = 1};
        TEXT("Name");
        TEXT("x");
        toks[user].as.at.next = (uint32_t)n;
        TEXT("tags");
        size_t tags = n;
        toks[n++] = (hr_tok){.type = HR_TOK_ARRAY, .len = 2};
        TEXT("a");
        size_t inner = n;
        toks[n++] = (hr_tok){.type = HR_TOK_ARRAY, .len = 1};
        INT(1);
        toks[inner].as.at.next = toks[tags].as.at.next = (uint32_t)n;
        TEXT("at");
        TEXT("2024-01-01T00:00:00Z");
        TEXT("n");
        if (record == 2) {
            TEXT("text");
        } else {
            INT(7);
        }
        toks[object].as.at.next = (uint32_t)n;
    }
    doc->toks = toks;
    doc->n_toks = n;
}

static int normalize_once(const hr_allocator *alloc, bool reference_only) {
    hr_tok toks[128];
    hr_doc doc = {0};
    hr_schema schema;
    hr_batch batch;
    hr_normalizer *normalizer = NULL;
    make_doc(&doc, toks);
    const size_t records[] = {0, toks[0].as.at.next, toks[toks[0].as.at.next].as.at.next};
    hr__schema_init(&schema, alloc);
    hr__batch_init(&batch, alloc);
    const hr_normalize_options options = {.alloc = alloc,
                                          .root_table = {"items", 5},
                                          .load_id = {"1", 1},
                                          .max_nesting = 1000,
                                          .id_kind = HR_ID_RANDOM,
                                          .root_key = true,
                                          .reference_only = reference_only};
    int rc = hr__normalizer_new(&options, &schema, &normalizer, NULL);
    for (uint64_t page = 0; page < 2 && rc == HR_OK; page++) {
        rc = hr__normalize(normalizer, &(hr_records){.doc = &doc, .at = records, .n = 3, .stream = page}, &batch, NULL);
    }
    if (rc == HR_OK) {
        HR_CHECK_INT(schema.n_tables, 3);
        HR_CHECK_INT(batch.tables[0].n_rows, 3);
        HR_CHECK_INT(hr__schema_find_column(&schema, 0, hr__str("n__v_text")), 6);
        hr_normalize_stats stats;
        hr__normalizer_stats(normalizer, &stats);
        HR_CHECK_INT(stats.fast_records, reference_only ? 0 : 4);
    }
    hr__normalizer_free(normalizer);
    hr__batch_free(&batch);
    hr__schema_free(&schema);
    return rc;
}

static int fast(const hr_allocator *alloc) {
    return normalize_once(alloc, false);
}
static int reference(const hr_allocator *alloc) {
    return normalize_once(alloc, true);
}

HR_CASE(every_allocation_may_fail_on_the_fast_path) {
    hrtest_sweep(fast, 2000);
}
HR_CASE(every_allocation_may_fail_in_the_reference) {
    hrtest_sweep(reference, 2000);
}

int main(void) {
    HR_RUN(every_allocation_may_fail_on_the_fast_path);
    HR_RUN(every_allocation_may_fail_in_the_reference);
    return HR_DONE();
}
