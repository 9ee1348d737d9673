/* SPDX-License-Identifier: Apache-2.0
 *
 * parquet: Thrift's bytes, levels, indices and values as the specification has them; failing allocations. That readers
 * read the files is tested in tests/py/test_parquet_writer.py.
 */
#include "parquet.h"

#include "hrtest.h"
#include "parquet_values.h"
#include "thrift.h"

#define CHECK_BYTES(buf, ...)                                                                          \
    do {                                                                                               \
        const uint8_t bytes_[] = {__VA_ARGS__};                                                        \
        HR_CHECK_INT((buf).size_bytes, sizeof bytes_);                                                 \
        HR_CHECK((buf).size_bytes == sizeof bytes_ && memcmp((buf).data, bytes_, sizeof bytes_) == 0); \
    } while (0)

HR_CASE(thrift_is_compact) {
    hr_buf out;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    hr_thrift t = {.out = &out};
    hr__thrift_i32(&t, 1, -1);
    hr__thrift_i64(&t, 3, INT64_MIN);
    hr__thrift_bool(&t, 20, true);
    hr__thrift_begin(&t, 21);
    hr__thrift_bool(&t, 1, false);
    hr__thrift_end(&t);
    hr__thrift_binary(&t, 22, hr__str("ab"));
    hr__thrift_list(&t, 23, HR_THRIFT_I32, 2);
    hr__thrift_element_i32(&t, 3);
    hr__thrift_element_i32(&t, 300);
    hr__thrift_list(&t, 24, HR_THRIFT_STRUCT, 15);
    hr__thrift_i16(&t, 25, 7);
    hr__thrift_end(&t);
    HR_CHECK_INT(t.rc, HR_OK);
    CHECK_BYTES(out, 0x15, 0x01, 0x26, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x01, 0x28, 0x1C,
                0x12, 0x00, 0x18, 0x02, 'a', 'b', 0x19, 0x25, 0x06, 0xD8, 0x04, 0x19, 0xFC, 0x0F, 0x14, 0x0E, 0x00);
    hr__buf_free(&out);
}

/* Of 20 int64 values 0, 10, 20, ..., of which the bits say which are not null. */
static int64_t numbers[64];
static hr_parquet_chunk numbers_chunk(const uint8_t *valid, int64_t offset, size_t n_rows, uint32_t *rows) {
    for (size_t i = 0; i < 64; i++) {
        numbers[i] = (int64_t)i * 10;
    }
    hr_parquet_chunk chunk = {
        .kind = HR_PARQUET_INT64, .valid = valid, .values = numbers, .bytes = "", .offset = offset, .n_rows = n_rows};
    hr__parquet_number_rows(&chunk, rows);
    return chunk;
}

HR_CASE(rows_are_numbered_at_any_offset) {
    uint8_t valid[9];
    uint32_t rows[64];
    for (size_t i = 0; i < sizeof valid; i++) {
        valid[i] = (uint8_t)hrtest_below(256);
    }
    for (int64_t offset = 0; offset < 8; offset++) {
        for (size_t n = 1; n <= 64; n++) {
            hr_parquet_chunk chunk = numbers_chunk(valid, offset, n, rows);
            size_t found = 0;
            for (size_t row = 0; row < n; row++) {
                size_t bit = (size_t)offset + row;
                if (valid[bit / 8] >> (bit % 8) & 1) {
                    HR_CHECK(found < chunk.n_values && (chunk.rows == NULL ? row : chunk.rows[found]) == row);
                    found++;
                }
            }
            HR_CHECK_INT(chunk.n_values, found);
            HR_CHECK((chunk.rows == NULL) == (found == n));
        }
    }
}

HR_CASE(levels_are_a_run_or_the_validity_bits) {
    hr_buf out;
    uint32_t rows[64];
    const uint8_t valid[] = {0x2D, 0x81, 0xFF};
    hr__buf_init(&out, &hr__allocator_libc, 0);
    hr_parquet_chunk none = numbers_chunk(NULL, 0, 20, rows);
    HR_CHECK_INT(hr__parquet_levels(&none, 0, 20, &out), HR_OK);
    CHECK_BYTES(out, 2, 0, 0, 0, 40, 1);
    out.size_bytes = 0;
    hr_parquet_chunk some = numbers_chunk(valid, 1, 12, rows);
    HR_CHECK_INT(hr__parquet_levels(&some, 0, 12, &out), HR_OK);
    CHECK_BYTES(out, 3, 0, 0, 0, 5, 0x96, 0x00);
    out.size_bytes = 0;
    HR_CHECK_INT(hr__parquet_levels(&some, 3, 12, &out), HR_OK); /* a page in the middle */
    CHECK_BYTES(out, 3, 0, 0, 0, 5, 0x12, 0x00);
    out.size_bytes = 0;
    hr_parquet_chunk nothing = {.kind = HR_PARQUET_INT64, .n_rows = 3};
    hr__parquet_number_rows(&nothing, rows);
    HR_CHECK_INT(nothing.n_values, 0);
    HR_CHECK_INT(hr__parquet_levels(&nothing, 0, 3, &out), HR_OK);
    CHECK_BYTES(out, 2, 0, 0, 0, 6, 0);
    hr__buf_free(&out);
}

HR_CASE(indices_are_runs_and_groups_of_eight) {
    hr_buf out;
    hr_parquet_dictionary d = {.n_entries = 4};
    hr__buf_init(&out, &hr__allocator_libc, 0);
    const uint32_t run[] = {3, 3, 3, 3, 3, 3, 3, 3, 3};
    HR_CHECK_INT(hr__parquet_indices(&d, run, 9, &out), HR_OK);
    CHECK_BYTES(out, 2, 9 << 1, 3);
    out.size_bytes = 0;
    const uint32_t mixed[] = {0, 1, 2, 3, 0};
    HR_CHECK_INT(hr__parquet_indices(&d, mixed, 5, &out), HR_OK);
    CHECK_BYTES(out, 2, 1 << 1 | 1, 0xE4, 0x00);
    out.size_bytes = 0;
    /* Five, then a run of twelve: three of it fill up the group. */
    const uint32_t both[] = {0, 1, 2, 3, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2};
    HR_CHECK_INT(hr__parquet_indices(&d, both, 18, &out), HR_OK);
    CHECK_BYTES(out, 2, 1 << 1 | 1, 0xE4, 0x54, 9 << 1, 1, 1 << 1 | 1, 0x02, 0x00);
    out.size_bytes = 0;
    d.n_entries = 1;
    HR_CHECK_INT(hr__parquet_indices(&d, both, 1, &out), HR_OK);
    CHECK_BYTES(out, 1, 1 << 1 | 1, 0x00);
    hr__buf_free(&out);
}

HR_CASE(decimals_are_big_endian_and_fit_their_bytes) {
    hr_buf out;
    uint32_t rows[4];
    hr__buf_init(&out, &hr__allocator_libc, 0);
    __int128 values[] = {-129, 127, -128, 300};
    hr_parquet_chunk chunk = {
        .kind = HR_PARQUET_DECIMAL, .decimal_bytes = 2, .values = values, .bytes = "", .n_rows = 4};
    hr__parquet_number_rows(&chunk, rows);
    HR_CHECK_INT(hr__parquet_plain(&chunk, 0, 4, &out), HR_OK);
    CHECK_BYTES(out, 0xFF, 0x7F, 0x00, 0x7F, 0xFF, 0x80, 0x01, 0x2C);
    chunk.decimal_bytes = 1;
    HR_CHECK_INT(hr__parquet_plain(&chunk, 1, 3, &out), HR_OK);
    HR_CHECK_INT(hr__parquet_plain(&chunk, 0, 1, &out), HR_RANGE);
    HR_CHECK_INT(hr__parquet_plain(&chunk, 3, 4, &out), HR_RANGE);
    hr__buf_free(&out);
}

HR_CASE(pages_end_where_their_bytes_do) {
    uint32_t rows[8];
    const int32_t offsets[] = {0, 1, 3, 6, 10, 10};
    const uint8_t valid[] = {0x1D}; /* 0, 2, 3, 4 */
    hr_parquet_chunk chunk = {.kind = HR_PARQUET_BYTES, .values = offsets, .bytes = "abbcccdddd", .n_rows = 5};
    hr__parquet_number_rows(&chunk, rows);
    const size_t all[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2,
                          2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5};
    for (size_t bytes = 0; bytes < sizeof all / sizeof *all; bytes++) {
        HR_CHECK_INT(hr__parquet_plain_end(&chunk, 0, bytes), all[bytes]);
    }
    HR_CHECK_INT(hr__parquet_plain_end(&chunk, 4, 0), 5);
    HR_CHECK_INT(hr__parquet_plain_end(&chunk, 5, 0), 5);
    chunk.valid = valid;
    hr__parquet_number_rows(&chunk, rows);
    HR_CHECK_INT(hr__parquet_plain_end(&chunk, 0, 0), 1);
    HR_CHECK_INT(hr__parquet_plain_end(&chunk, 0, 11), 1);
    HR_CHECK_INT(hr__parquet_plain_end(&chunk, 0, 12), 2);
    HR_CHECK_INT(hr__parquet_plain_end(&chunk, 0, 1000), 4);
    hr_parquet_chunk wide = numbers_chunk(NULL, 0, 20, rows);
    HR_CHECK_INT(hr__parquet_plain_end(&wide, 3, 7), 4);
    HR_CHECK_INT(hr__parquet_plain_end(&wide, 3, 39), 7);
    HR_CHECK_INT(hr__parquet_plain_end(&wide, 3, 1000), 20);
}

/* Two row groups of a text column that repeats, one that does not, and one that is missing. */
static int write_file(const hr_allocator *alloc) {
    static int32_t repeated_offsets[2001], other_offsets[2001];
    static char repeated[4000], other[8001];
    for (int i = 0; i < 2000; i++) {
        memcpy(repeated + (size_t)2 * i, i % 7 == 0 ? "aa" : "bb", 2);
        snprintf(other + (size_t)4 * i, 5, "%03x ", (unsigned)i * 7 % 4096);
        repeated_offsets[i + 1] = 2 * (i + 1);
        other_offsets[i + 1] = 4 * (i + 1);
    }
    const void *first_buffers[] = {NULL, repeated_offsets, repeated}, *second_buffers[] = {NULL, other_offsets, other};
    struct ArrowArray first = {.length = 2000, .n_buffers = 3, .buffers = first_buffers};
    struct ArrowArray second = {.length = 2000, .n_buffers = 3, .buffers = second_buffers};
    struct ArrowSchema first_schema = {.format = "u", .name = "a"}, second_schema = {.format = "u", .name = "b"};
    struct ArrowArray *arrays[] = {&first, &second};
    struct ArrowSchema *schemas[] = {&first_schema, &second_schema};
    struct ArrowArray array = {.length = 2000, .n_children = 2, .children = arrays};
    struct ArrowSchema schema = {.format = "+s", .n_children = 2, .children = schemas};
    hr_parquet_column columns[] = {{hr__str("a"), hr__str("u"), true},
                                   {hr__str("b"), hr__str("u"), false},
                                   {hr__str("c"), hr__str("d:9,2"), true}};
    hr_parquet_options options = {1000, 1500, true, hr__str("test")};
    hr_parquet *file = NULL;
    hr_error err;
    hr_buf out;
    HR_TRY(hr__parquet_new(alloc, columns, 3, &options, &file, &err));
    hr__buf_init(&out, alloc, 0);
    int64_t row = 0;
    int rc = hr__parquet_fits(file, &schema, &array, &err);
    while (rc == HR_OK && row < array.length) {
        out.size_bytes = 0;
        rc = hr__parquet_rows(file, &schema, &array, &row, 1, &out, &err);
    }
    out.size_bytes = 0;
    rc = rc == HR_OK ? hr__parquet_finish(file, &out, &err) : rc;
    if (rc == HR_OK) {
        HR_CHECK(out.size_bytes > 8 && memcmp(out.data + out.size_bytes - 4, "PAR1", 4) == 0);
    }
    hr__buf_free(&out);
    hr__parquet_free(file);
    return rc;
}

HR_CASE(each_allocation_may_fail) {
    HR_CHECK_INT(write_file(&hr__allocator_libc), HR_OK);
    hrtest_sweep(write_file, 1000);
}

int main(void) {
    HR_RUN(thrift_is_compact);
    HR_RUN(rows_are_numbered_at_any_offset);
    HR_RUN(levels_are_a_run_or_the_validity_bits);
    HR_RUN(indices_are_runs_and_groups_of_eight);
    HR_RUN(decimals_are_big_endian_and_fit_their_bytes);
    HR_RUN(pages_end_where_their_bytes_do);
    HR_RUN(each_allocation_may_fail);
    return HR_DONE();
}
