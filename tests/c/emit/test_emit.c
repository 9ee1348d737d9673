/* SPDX-License-Identifier: Apache-2.0
 *
 * emit: batches into Arrow buffers, column after column.
 */
#include "emit.h"
#include "hrtest.h"

/* Puts n cells into column c of table t of batch; valid[i] 0 is null. */
static int put(hr_batch *batch, size_t n_columns, size_t c, size_t n, const hr_cell *cells, const uint32_t *sizes,
               const uint8_t *valid) {
    const hr_allocator *alloc = batch->alloc;
    if (batch->n_tables == 0) {
        HR_TRY(hr__grow(alloc, (void **)&batch->tables, &batch->cap_tables, 1, sizeof *batch->tables));
        batch->tables[0] = (hr_batch_table){0};
        batch->n_tables = 1;
    }
    hr_batch_table *tbl = &batch->tables[0];
    HR_TRY(hr__grow(alloc, (void **)&tbl->columns, &tbl->cap_columns, n_columns, sizeof *tbl->columns));
    while (tbl->n_columns < n_columns) {
        tbl->columns[tbl->n_columns++] = (hr_batch_column){0};
    }
    hr_batch_column *column = &tbl->columns[c];
    column->cells = hr__calloc(alloc, n, sizeof *column->cells);
    column->valid = hr__calloc(alloc, n, 1);
    column->sizes = sizes == NULL ? NULL : hr__calloc(alloc, n, sizeof *column->sizes);
    if (column->cells == NULL || column->valid == NULL || (sizes != NULL && column->sizes == NULL)) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        column->cells[i] = cells[i];
        column->valid[i] = valid[i];
        column->any_null |= valid[i] == 0;
        if (sizes != NULL) {
            column->sizes[i] = sizes[i];
            column->text_bytes += valid[i] ? sizes[i] : 0;
        }
    }
    column->n_cells = n;
    tbl->n_rows = n > tbl->n_rows ? n : tbl->n_rows;
    return HR_OK;
}

static int make_schema(hr_schema *schema, const hr_allocator *alloc) {
    int32_t at;
    hr__schema_init(schema, alloc);
    HR_TRY(hr__schema_add_table(schema, hr__str("t"), -1, &at));
    HR_TRY(hr__schema_add_column(schema, 0, hr__str("id"), HR_TYPE_BIGINT, HR_COL_NOT_NULL, &at));
    HR_TRY(hr__schema_add_column(schema, 0, hr__str("name"), HR_TYPE_TEXT, 0, &at));
    HR_TRY(hr__schema_add_column(schema, 0, hr__str("flag"), HR_TYPE_BOOL, 0, &at));
    HR_TRY(hr__schema_add_column(schema, 0, hr__str("late"), HR_TYPE_DATE, 0, &at));
    return hr__schema_add_column(schema, 0, hr__str("hinted"), HR_TYPE_UNSET, 0, &at);
}

static bool bit(const void *bits, size_t at) {
    return (((const uint8_t *)bits)[at / 8] >> (at % 8)) & 1;
}

/* Three rows, then two in which `late` appears and `name` is missing. */
static int two_batches(const hr_allocator *alloc, struct ArrowArray *array, struct ArrowSchema *arrow) {
    hr_schema schema;
    hr_batch first, second;
    hr_emitter *emitter = NULL;
    hr__batch_init(&first, alloc);
    hr__batch_init(&second, alloc);
    int rc = make_schema(&schema, alloc);
    const uint8_t all[] = {1, 1, 1}, some[] = {1, 0, 1}, last[] = {0, 1};
    const uint32_t sizes[] = {1, 0, 2};
    rc = rc != HR_OK ? rc : hr__emitter_new(alloc, &emitter, NULL);
    rc = rc != HR_OK ? rc : put(&first, 3, 0, 3, (hr_cell[]){{.i = 1}, {.i = 2}, {.i = 3}}, NULL, all);
    rc = rc != HR_OK ? rc : put(&first, 3, 1, 3, (hr_cell[]){{.str = "a"}, {.i = -1}, {.str = "bc"}}, sizes, some);
    rc = rc != HR_OK ? rc : put(&first, 3, 2, 2, (hr_cell[]){{.i = 1}, {.i = 0}}, NULL, all);
    rc = rc != HR_OK ? rc : put(&second, 4, 0, 2, (hr_cell[]){{.i = 4}, {.i = 5}}, NULL, all);
    rc = rc != HR_OK ? rc : put(&second, 4, 3, 2, (hr_cell[]){{.i = -1}, {.i = 7}}, NULL, last);
    rc = rc != HR_OK ? rc : hr__emitter_append(emitter, &schema, &first, NULL);
    rc = rc != HR_OK ? rc : hr__emitter_append(emitter, &schema, &second, NULL);
    rc = rc != HR_OK ? rc : hr__emitter_export(emitter, &schema, 0, array, arrow, NULL);
    hr__emitter_free(emitter);
    hr__batch_free(&first);
    hr__batch_free(&second);
    hr__schema_free(&schema);
    return rc;
}

HR_CASE(columns_have_their_values_and_missing_cells_are_null) {
    struct ArrowArray array;
    struct ArrowSchema schema;
    int rc = two_batches(&hr__allocator_libc, &array, &schema);
    HR_CHECK_INT(rc, HR_OK);
    if (rc != HR_OK) {
        return;
    }
    HR_CHECK_INT(array.length, 5);
    HR_CHECK_INT(array.n_children, 4);
    HR_CHECK_STR(hr__str(schema.format), "+s");
    static const char *const names[] = {"id", "name", "flag", "late"};
    static const char *const formats[] = {"l", "u", "b", "tdD"};
    static const int64_t nulls[] = {0, 3, 3, 4};
    for (int64_t i = 0; i < array.n_children; i++) {
        HR_CHECK_STR(hr__str(schema.children[i]->name), names[i]);
        HR_CHECK_STR(hr__str(schema.children[i]->format), formats[i]);
        HR_CHECK_INT(schema.children[i]->flags, i == 0 ? 0 : ARROW_FLAG_NULLABLE);
        HR_CHECK_INT(array.children[i]->length, 5);
        HR_CHECK_INT(array.children[i]->null_count, nulls[i]);
    }
    HR_CHECK(array.children[0]->buffers[0] == NULL);
    for (int64_t i = 0; i < 5; i++) {
        HR_CHECK_INT(((const int64_t *)array.children[0]->buffers[1])[i], i + 1);
    }
    const int32_t *offsets = array.children[1]->buffers[1];
    static const int32_t want_offsets[] = {0, 1, 1, 3, 3, 3};
    for (size_t i = 0; i < 6; i++) {
        HR_CHECK_INT(offsets[i], want_offsets[i]);
    }
    HR_CHECK(memcmp(array.children[1]->buffers[2], "abc", 3) == 0);
    HR_CHECK(bit(array.children[1]->buffers[0], 0) && !bit(array.children[1]->buffers[0], 1));
    HR_CHECK(bit(array.children[2]->buffers[1], 0) && !bit(array.children[2]->buffers[1], 1));
    HR_CHECK(bit(array.children[3]->buffers[0], 4) && !bit(array.children[3]->buffers[0], 3));
    HR_CHECK_INT(((const int32_t *)array.children[3]->buffers[1])[4], 7);
    array.release(&array);
    schema.release(&schema);
}

static int sweep_body(const hr_allocator *alloc) {
    struct ArrowArray array;
    struct ArrowSchema schema;
    HR_TRY(two_batches(alloc, &array, &schema));
    array.release(&array);
    schema.release(&schema);
    return HR_OK;
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(sweep_body, 500);
}

HR_CASE(bits_are_right_at_every_length) {
    for (size_t n = 1; n < 70; n++) {
        hr_schema schema;
        hr_emitter *emitter;
        int32_t at;
        hr__schema_init(&schema, &hr__allocator_libc);
        HR_CHECK_INT(hr__schema_add_table(&schema, hr__str("t"), -1, &at), HR_OK);
        HR_CHECK_INT(hr__schema_add_column(&schema, 0, hr__str("b"), HR_TYPE_BOOL, 0, &at), HR_OK);
        HR_CHECK_INT(hr__emitter_new(&hr__allocator_libc, &emitter, NULL), HR_OK);
        size_t n_rows = 0;
        for (size_t round = 0; round < 3; round++) {
            hr_batch batch;
            hr_cell cells[70];
            uint8_t valid[70];
            hr__batch_init(&batch, &hr__allocator_libc);
            for (size_t i = 0; i < n; i++) {
                cells[i].i = (int64_t)((n_rows + i) % 3 == 0);
                valid[i] = round == 1 ? 1 : (n_rows + i) % 5 != 0;
            }
            HR_CHECK_INT(put(&batch, 1, 0, n, cells, NULL, valid), HR_OK);
            HR_CHECK_INT(hr__emitter_append(emitter, &schema, &batch, NULL), HR_OK);
            hr__batch_free(&batch);
            n_rows += n;
        }
        struct ArrowArray array;
        struct ArrowSchema arrow;
        HR_CHECK_INT(hr__emitter_export(emitter, &schema, 0, &array, &arrow, NULL), HR_OK);
        for (size_t i = 0; i < n_rows; i++) {
            bool want_valid = (i >= n && i < 2 * n) || i % 5 != 0;
            HR_CHECK_INT(array.children[0]->buffers[0] == NULL || bit(array.children[0]->buffers[0], i), want_valid);
            if (want_valid) {
                HR_CHECK_INT(bit(array.children[0]->buffers[1], i), i % 3 == 0);
            }
        }
        array.release(&array);
        arrow.release(&arrow);
        hr__emitter_free(emitter);
        hr__schema_free(&schema);
    }
}

int main(void) {
    HR_RUN(columns_have_their_values_and_missing_cells_are_null);
    HR_RUN(every_allocation_may_fail);
    HR_RUN(bits_are_right_at_every_length);
    return HR_DONE();
}
