/* SPDX-License-Identifier: Apache-2.0
 *
 * text: values as Python shows them, rows by a layout. That layouts are dlt's is tested in tests/py/test_text_files.py.
 */
#include "text.h"

#include "hrtest.h"
#include "text_value.h"

/* ---------------------------------------------------------------------------------------------------- values */

#define CHECK_SHOWN(call, want)                   \
    do {                                          \
        char out_[HR_TEXT_VALUE_MAX];             \
        char *out = out_;                         \
        size_t n_ = (call);                       \
        HR_CHECK_STR(((hr_str){out_, n_}), want); \
    } while (0)

HR_CASE(dates_are_of_the_years_that_python_has) {
    CHECK_SHOWN(hr__show_date(0, out), "1970-01-01");
    CHECK_SHOWN(hr__show_date(-1, out), "1969-12-31");
    CHECK_SHOWN(hr__show_date(11016, out), "2000-02-29");
    CHECK_SHOWN(hr__show_date(-719162, out), "0001-01-01");
    CHECK_SHOWN(hr__show_date(-719163, out), "");
    CHECK_SHOWN(hr__show_date(2932896, out), "9999-12-31");
    CHECK_SHOWN(hr__show_date(2932897, out), "");
    CHECK_SHOWN(hr__show_date(INT64_MIN, out), "");
    CHECK_SHOWN(hr__show_date(INT64_MAX, out), "");
}

HR_CASE(every_day_follows_the_one_before) {
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = 1, month = 1, day = 1, wrong = 0;
    for (int64_t at = -719162; at <= 2932896; at++) {
        char want[16], out[16] = {0};
        snprintf(want, sizeof want, "%04u-%02u-%02u", year % 10000, month % 100, day % 100);
        wrong += hr__show_date(at, out) != 10 || memcmp(out, want, 10) != 0;
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (++day > days[month - 1] + (month == 2 && leap)) {
            day = 1;
            month = month == 12 ? 1 : month + 1;
            year += month == 1;
        }
    }
    HR_CHECK_INT(wrong, 0);
}

HR_CASE(times_show_microseconds_unless_there_are_none) {
    CHECK_SHOWN(hr__show_time(0, out), "00:00:00");
    CHECK_SHOWN(hr__show_time(12345, out), "00:00:00.012345");
    CHECK_SHOWN(hr__show_time(86399999999, out), "23:59:59.999999");
    CHECK_SHOWN(hr__show_time(86400000000, out), "");
    CHECK_SHOWN(hr__show_time(-1, out), "");
    CHECK_SHOWN(hr__show_timestamp(-1, 'T', out), "1969-12-31T23:59:59.999999");
    CHECK_SHOWN(hr__show_timestamp(-86400000000, ' ', out), "1969-12-31 00:00:00");
    CHECK_SHOWN(hr__show_timestamp(INT64_MIN, 'T', out), "");
    CHECK_SHOWN(hr__show_timestamp(INT64_MAX, 'T', out), "");
}

HR_CASE(decimals_are_str_of_python) {
    __int128 most = (__int128)99999999999999999 * 1000000000000000000 * 1000 + 999;
    CHECK_SHOWN(hr__show_decimal(0, 0, out), "0");
    CHECK_SHOWN(hr__show_decimal(0, 2, out), "0.00");
    CHECK_SHOWN(hr__show_decimal(0, 6, out), "0.000000");
    CHECK_SHOWN(hr__show_decimal(0, 9, out), "0E-9");
    CHECK_SHOWN(hr__show_decimal(-150, 2, out), "-1.50");
    CHECK_SHOWN(hr__show_decimal(5, 1, out), "0.5");
    CHECK_SHOWN(hr__show_decimal(1, 6, out), "0.000001");
    CHECK_SHOWN(hr__show_decimal(1, 7, out), "1E-7");
    CHECK_SHOWN(hr__show_decimal(12, 8, out), "1.2E-7");
    CHECK_SHOWN(hr__show_decimal(-123, 9, out), "-1.23E-7");
    CHECK_SHOWN(hr__show_decimal(1234, 9, out), "0.000001234");
    CHECK_SHOWN(hr__show_decimal(1, -3, out), "1E+3");
    CHECK_SHOWN(hr__show_decimal(12, -3, out), "1.2E+4");
    CHECK_SHOWN(hr__show_decimal(most, 0, out), "99999999999999999000000000000000000999");
    CHECK_SHOWN(hr__show_decimal(-most, 38, out), "-0.99999999999999999000000000000000000999");
}

HR_CASE(base64_is_padded) {
    static const struct {
        const char *bytes, *want;
    } rows[] = {{"", ""},        {"a", "YQ=="},        {"ab", "YWI="},
                {"abc", "YWJj"}, {"abcd", "YWJjZA=="}, {"\xff\xfe\xfd", "//79"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[16];
        hr__show_base64((const uint8_t *)rows[i].bytes, strlen(rows[i].bytes), out);
        HR_CHECK_STR(((hr_str){out, strlen(rows[i].want)}), rows[i].want);
    }
}

HR_CASE(utf8_is_what_python_decodes) {
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x20",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xe1\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        HR_CHECK(hr__bytes_are_utf8((const uint8_t *)good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        HR_CHECK(!hr__bytes_are_utf8((const uint8_t *)bad[i], strlen(bad[i])));
    }
}

/* ---------------------------------------------------------------------------------------------------- rows */

/* Two columns, four rows of which the first is before the slice: (x) | 7 a'b, null "", -1 null. */
typedef struct fixture {
    struct ArrowSchema schema, fields[2];
    struct ArrowArray array, columns[2];
    struct ArrowSchema *field_list[2];
    struct ArrowArray *column_list[2];
    const void *buffers[2][3];
} fixture;

static const int64_t numbers[] = {99, 7, 0, -1};
static const int32_t offsets[] = {0, 1, 4, 4, 4};
static const uint8_t number_bits[] = {0x0B}, text_bits[] = {0x07};

static void make(fixture *f) {
    *f = (fixture){0};
    f->buffers[0][0] = number_bits;
    f->buffers[0][1] = numbers;
    f->buffers[1][0] = text_bits;
    f->buffers[1][1] = offsets;
    f->buffers[1][2] = "xa'b";
    for (size_t c = 0; c < 2; c++) {
        f->columns[c] =
            (struct ArrowArray){.length = 4, .null_count = 1, .n_buffers = c == 0 ? 2 : 3, .buffers = f->buffers[c]};
        f->fields[c] = (struct ArrowSchema){.format = c == 0 ? "l" : "u", .name = c == 0 ? "n" : "t"};
        f->column_list[c] = &f->columns[c];
        f->field_list[c] = &f->fields[c];
    }
    f->array = (struct ArrowArray){.length = 3, .offset = 1, .n_children = 2, .children = f->column_list};
    f->schema = (struct ArrowSchema){.format = "+s", .n_children = 2, .children = f->field_list};
}

static hr_text_layout sql_layout(void) {
    hr_text_layout layout = {.row_open = hr__str("("),
                             .row_between = hr__str(",\n"),
                             .row_close = hr__str(")"),
                             .cell_between = hr__str(","),
                             .null = hr__str("NULL")};
    layout.cells[HR_TYPE_BIGINT] = (hr_text_cell){HR_TEXT_WRAPPED, {NULL, 0}, {NULL, 0}};
    layout.cells[HR_TYPE_TEXT] = (hr_text_cell){HR_TEXT_ESCAPED, hr__str("E'"), hr__str("'")};
    layout.escaped['\''] = 1;
    layout.escapes['\''] = hr__str("''");
    return layout;
}

static const hr_text_column columns[] = {
    {.child = 0, .type = HR_TYPE_BIGINT}, {.child = -1, .type = HR_TYPE_TEXT}, {.child = 1, .type = HR_TYPE_TEXT}};

HR_CASE(rows_have_what_the_layout_puts_around_them) {
    fixture f;
    make(&f);
    hr_text_layout layout = sql_layout();
    hr_buf out;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    int64_t row = 0;
    HR_CHECK_INT(hr__text_rows(&layout, columns, 3, &f.schema, &f.array, true, &row, 1 << 20, &out, NULL), HR_OK);
    HR_CHECK_INT(row, 3);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), ",\n(7,NULL,E'a''b'),\n(NULL,NULL,E''),\n(-1,NULL,NULL)");
    out.size_bytes = 0;
    row = 1;
    HR_CHECK_INT(hr__text_rows(&layout, columns, 3, &f.schema, &f.array, false, &row, 1, &out, NULL), HR_OK);
    HR_CHECK_INT(row, 2);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), ",\n(NULL,NULL,E'')");
    hr__buf_free(&out);
}

HR_CASE(nulls_are_left_out_with_their_labels) {
    fixture f;
    make(&f);
    hr_text_layout layout = sql_layout();
    layout.row_between = layout.null = (hr_str){NULL, 0};
    layout.row_close = hr__str(")\n");
    layout.skip_null = true;
    const hr_text_column labeled[] = {{.label = hr__str("n="), .child = 0, .type = HR_TYPE_BIGINT},
                                      {.label = hr__str("t="), .child = 1, .type = HR_TYPE_TEXT}};
    hr_buf out;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    int64_t row = 0;
    HR_CHECK_INT(hr__text_rows(&layout, labeled, 2, &f.schema, &f.array, false, &row, 1 << 20, &out, NULL), HR_OK);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "(n=7,t=E'a''b')\n(t=E'')\n(n=-1)\n");
    hr__buf_free(&out);
}

HR_CASE(a_row_that_fails_leaves_those_before_it) {
    fixture f;
    make(&f);
    hr_text_layout layout = sql_layout();
    layout.cells[HR_TYPE_TEXT] = (hr_text_cell){HR_TEXT_QUOTED, hr__str("\""), hr__str("\"")};
    layout.quoted['\''] = 2;
    layout.row_between = hr__str(";");
    hr_buf out;
    hr_error err;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    int64_t row = 0;
    f.array.offset = 0; /* x, a'b, null */
    HR_CHECK_INT(hr__text_rows(&layout, columns, 3, &f.schema, &f.array, false, &row, 1 << 20, &out, &err),
                 HR_UNSUPPORTED);
    HR_CHECK_INT(row, 1);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "(99,NULL,x)");
    HR_CHECK_STR(hr__str(err.message), "the character \\x27 cannot be written");
    layout.quoted['\''] = 1;
    HR_CHECK_INT(hr__text_rows(&layout, columns, 3, &f.schema, &f.array, false, &row, 1 << 20, &out, &err), HR_OK);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "(99,NULL,x);(7,NULL,\"a''b\");(NULL,NULL,)");
    hr__buf_free(&out);
}

HR_CASE(a_row_above_the_limit_is_an_error) {
    fixture f;
    make(&f);
    hr_text_layout layout = sql_layout();
    layout.row_open = hr__str("(((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((");
    hr_buf out;
    hr_error err;
    hr__buf_init(&out, &hr__allocator_libc, 64);
    int64_t row = 0;
    HR_CHECK_INT(hr__text_rows(&layout, columns, 3, &f.schema, &f.array, false, &row, 1 << 20, &out, &err), HR_LIMIT);
    HR_CHECK_INT(row, 0);
    HR_CHECK_INT(out.size_bytes, 0);
    HR_CHECK_STR(hr__str(err.message), "a row takes more than 64 bytes of text");
    hr__buf_free(&out);
}

HR_CASE(columns_of_another_arrow_type_are_refused) {
    fixture f;
    make(&f);
    hr_text_layout layout = sql_layout();
    static const struct {
        const char *format;
        uint8_t type;
        int rc;
    } rows[] = {{"l", HR_TYPE_BIGINT, HR_OK},
                {"i", HR_TYPE_BIGINT, HR_UNSUPPORTED},
                {"tsn:UTC", HR_TYPE_TIMESTAMP, HR_UNSUPPORTED},
                {"d:38,9,256", HR_TYPE_DECIMAL, HR_UNSUPPORTED},
                {"d:99,99", HR_TYPE_DECIMAL, HR_UNSUPPORTED},
                {"d:", HR_TYPE_DECIMAL, HR_UNSUPPORTED},
                {"U", HR_TYPE_TEXT, HR_UNSUPPORTED},
                {"l", HR_TYPE_UNSET, HR_ARGUMENT},
                {"l", 200, HR_ARGUMENT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hr_buf out;
        int64_t row = 0;
        hr__buf_init(&out, &hr__allocator_libc, 0);
        f.fields[0].format = rows[i].format;
        const hr_text_column column = {.child = 0, .type = rows[i].type};
        HR_CHECK_INT(hr__text_rows(&layout, &column, 1, &f.schema, &f.array, false, &row, 1, &out, NULL), rows[i].rc);
        hr__buf_free(&out);
    }
}

static int sweep_body(const hr_allocator *alloc) {
    fixture f;
    make(&f);
    hr_text_layout layout = sql_layout();
    hr_buf out;
    hr__buf_init(&out, alloc, 0);
    int64_t row = 0;
    int rc = hr__text_rows(&layout, columns, 3, &f.schema, &f.array, false, &row, 1 << 20, &out, NULL);
    hr__buf_free(&out);
    return rc;
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(sweep_body, 100);
}

int main(void) {
    HR_RUN(dates_are_of_the_years_that_python_has);
    HR_RUN(every_day_follows_the_one_before);
    HR_RUN(times_show_microseconds_unless_there_are_none);
    HR_RUN(decimals_are_str_of_python);
    HR_RUN(base64_is_padded);
    HR_RUN(utf8_is_what_python_decodes);
    HR_RUN(rows_have_what_the_layout_puts_around_them);
    HR_RUN(nulls_are_left_out_with_their_labels);
    HR_RUN(a_row_that_fails_leaves_those_before_it);
    HR_RUN(a_row_above_the_limit_is_an_error);
    HR_RUN(columns_of_another_arrow_type_are_refused);
    HR_RUN(every_allocation_may_fail);
    return HR_DONE();
}
