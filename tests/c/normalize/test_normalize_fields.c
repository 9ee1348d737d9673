/* SPDX-License-Identifier: Apache-2.0
 *
 * normalize: rows of text fields. Every allocation failing in turn, on both ways; values as pandas reads them. (What
 * the rows must be is tested against pandas and dlt in tests/py.)
 */
#include "csv.h"
#include "fields_value.h"
#include "hrtest.h"
#include "normalize_fields.h"

#include <math.h>

typedef struct run {
    const hr_allocator *alloc;
    hr_schema schema;
    hr_normalizer *normalizer;
    hr_batch batch;
    hr_doc doc;
    uint64_t number;
    size_t n_rows;
} run;

static int take(void *ctx, hr_fields *chunk, hr_error *err) {
    run *r = ctx;
    int rc = hr__normalize_fields(r->normalizer, chunk, r->number++, &r->doc, &r->batch, err);
    r->n_rows += rc == HR_OK ? hr__batch_rows(&r->batch) : 0;
    hr__fields_free(chunk);
    return rc;
}

static int read_rows(const hr_allocator *alloc, bool reference_only) {
    const hr_str nulls[] = {{"", 0}};
    const hr_normalize_options normalize = {
        .alloc = alloc,
        .root_table = hr__str("t"),
        .load_id = hr__str("1"),
        .max_nesting = 1000,
        .id_kind = HR_ID_RANDOM,
        .reference_only = reference_only,
    };
    hr_csv_options options;
    hr__csv_options_init(&options);
    options.alloc = alloc;
    options.chunk_rows = 2;
    options.nulls = nulls;
    options.n_nulls = 1;
    run r = {.alloc = alloc};
    hr_csv_reader *reader = NULL;
    hr_error err;
    hr__schema_init(&r.schema, alloc);
    hr__batch_init(&r.batch, alloc);
    hr__doc_init(&r.doc, alloc);
    int rc = hr__normalizer_new(&normalize, &r.schema, &r.normalizer, &err);
    rc = rc != HR_OK ? rc : hr__csv_reader_new(&options, &reader, &err);
    rc = rc != HR_OK
             ? rc
             : hr__csv_read(reader,
                            hr__str("i,d,b,t,at,null\n1,1.5,True,x,2024-01-01T00:00:00Z,\n2,2,False,\"y\"\"\",\n"
                                    "3,3,True,z,2024-01-02,\n4,,,,,\n5,x,1,007,y,1\n"),
                            take, &r, &err);
    if (rc == HR_OK) {
        HR_CHECK_INT(r.n_rows, 5);
        hr_normalize_stats stats;
        hr__normalizer_stats(r.normalizer, &stats);
        HR_CHECK(reference_only ? stats.fast_records == 0 : stats.fast_records >= 2);
    }
    hr__csv_reader_free(reader);
    hr__normalizer_free(r.normalizer);
    hr__doc_free(&r.doc);
    hr__batch_free(&r.batch);
    hr__schema_free(&r.schema);
    return rc;
}

static int read_by_columns(const hr_allocator *alloc) {
    return read_rows(alloc, false);
}
static int read_by_document(const hr_allocator *alloc) {
    return read_rows(alloc, true);
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(read_by_columns, 2000);
    hrtest_sweep(read_by_document, 2000);
}

HR_CASE(numbers) {
    static const struct {
        const char *text;
        hr_read as_int, as_double;
        int64_t i;
        double d;
    } cases[] = {
        {"0", HR_READ_OK, HR_READ_OK, 0, 0},
        {" -17\t", HR_READ_OK, HR_READ_OK, -17, -17},
        {"+5", HR_READ_OK, HR_READ_OK, 5, 5},
        {"9223372036854775807", HR_READ_OK, HR_READ_OK, INT64_MAX, 0x1p63},
        {"-9223372036854775808", HR_READ_OK, HR_READ_OK, INT64_MIN, -0x1p63},
        {"9223372036854775808", HR_READ_RANGE, HR_READ_OK, 0, 0x1p63},
        {"00000000000000000000000012", HR_READ_OK, HR_READ_OK, 12, 12},
        {"", HR_READ_NOT, HR_READ_NOT, 0, 0},
        {" ", HR_READ_NOT, HR_READ_NOT, 0, 0},
        {"-", HR_READ_NOT, HR_READ_NOT, 0, 0},
        {"- 1", HR_READ_NOT, HR_READ_NOT, 0, 0},
        {"1 2", HR_READ_NOT, HR_READ_NOT, 0, 0},
        {"1.5", HR_READ_NOT, HR_READ_OK, 0, 1.5},
        {".5", HR_READ_NOT, HR_READ_OK, 0, 0.5},
        {"5.", HR_READ_NOT, HR_READ_OK, 0, 5},
        {".", HR_READ_NOT, HR_READ_NOT, 0, 0},
        {"1.2.3", HR_READ_NOT, HR_READ_NOT, 0, 0},
        {"1e3", HR_READ_NOT, HR_READ_OK, 0, 1000},
        {"1E-2", HR_READ_NOT, HR_READ_OK, 0, 0.01},
        {"1e999999999999", HR_READ_NOT, HR_READ_OK, 0, INFINITY},
        {"0.1234567890123456789012345", HR_READ_NOT, HR_READ_OK, 0, 0.1234567890123456789012345},
        {"-Infinity", HR_READ_NOT, HR_READ_OK, 0, -INFINITY},
        {"infinit", HR_READ_NOT, HR_READ_NOT, 0, 0},
    };
    const hr_fields_head head = {.decimal = '.'};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t n = 0;
        double d = 0;
        HR_CHECK_INT(hr__field_int(&head, hr__str(cases[i].text), &n), cases[i].as_int);
        HR_CHECK_INT(hr__field_double(&head, hr__str(cases[i].text), &d), cases[i].as_double);
        HR_CHECK_INT(cases[i].as_int == HR_READ_OK ? n : 0, cases[i].i);
        HR_CHECK(cases[i].as_double != HR_READ_OK || d == cases[i].d);
    }
    const hr_fields_head german = {.decimal = ',', .thousands = '.'};
    double d = 0;
    int64_t n = 0;
    HR_CHECK_INT(hr__field_double(&german, hr__str("-1.234.567,25"), &d), HR_READ_OK);
    HR_CHECK(d == -1234567.25);
    HR_CHECK_INT(hr__field_double(&german, hr__str("0,12345678901234567890123e2"), &d), HR_READ_OK);
    HR_CHECK(d == 12.345678901234567890123);
    HR_CHECK_INT(hr__field_int(&german, hr__str("1.234"), &n), HR_READ_OK);
    HR_CHECK_INT(n, 1234);
}

int main(void) {
    HR_RUN(every_allocation_may_fail);
    HR_RUN(numbers);
    return HR_DONE();
}
