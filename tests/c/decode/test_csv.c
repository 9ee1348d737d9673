/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: CSV. Each case is read at once, cut at each byte and byte by byte, by both kernels; the fields of all rows
 * are shown as text: fields in <>, a row a line.
 */
#include "csv.h"
#include "csv_index.h"
#include "csv_json.h"
#include "csv_sniff.h"
#include "hrtest.h"

static void options_of(hr_csv_options *options) {
    hr__csv_options_init(options);
    options->header = -1;
}

static int show(void *ctx, hr_fields *chunk, hr_error *err) {
    hr_buf *out = ctx;
    hr_arena arena;
    hr__arena_init(&arena, chunk->alloc, 0);
    int rc = hr__csv_check_utf8(chunk, err);
    for (size_t row = 0; row < chunk->n_rows && rc == HR_OK; row++) {
        for (size_t f = 0; f < chunk->rows[row].n && rc == HR_OK; f++) {
            hr_str raw, value;
            HR_CHECK(hr__fields_raw(chunk, row, f, &raw));
            rc = hr__fields_value(chunk->head, raw, &arena, &value);
            rc = rc != HR_OK ? rc : hr__buf_append_str(out, "<");
            rc = rc != HR_OK ? rc : hr__buf_append(out, value.data, value.size_bytes);
            rc = rc != HR_OK ? rc : hr__buf_append_str(out, ">");
        }
        rc = rc != HR_OK ? rc : hr__buf_append_str(out, "\n");
    }
    hr__arena_free(&arena);
    hr__fields_free(chunk);
    return rc;
}

/* The text's rows, fed in pieces that end at `cut` and then step bytes at a time (0: the rest at once). */
static int read_in(const hr_csv_options *options, hr_str text, size_t cut, size_t step, hr_buf *out, hr_error *err) {
    hr_csv_reader *reader;
    HR_TRY(hr__csv_reader_new(options, &reader, err));
    int rc = HR_OK;
    for (size_t at = 0; at < text.size_bytes && rc == HR_OK;) {
        size_t end = at < cut ? cut : step == 0 ? text.size_bytes : at + step;
        end = end > text.size_bytes ? text.size_bytes : end;
        while (at < end && rc == HR_OK) {
            size_t used = 0;
            hr_fields *chunk = NULL;
            char *piece = malloc(end - at); /* of its own, so that reading beyond it shows */
            memcpy(piece, text.data + at, end - at);
            rc = hr__csv_feed(reader, piece, end - at, &used, &chunk, err);
            free(piece);
            at += used;
            rc = rc == HR_OK && chunk != NULL ? show(out, chunk, err) : rc;
        }
    }
    for (hr_fields *chunk = NULL; rc == HR_OK;) {
        rc = hr__csv_finish(reader, &chunk, err);
        if (rc != HR_OK || chunk == NULL) {
            break;
        }
        rc = show(out, chunk, err);
    }
    hr__csv_reader_free(reader);
    return rc;
}

static void check_one(const hr_csv_options *options, hr_str text, size_t cut, size_t step, const char *want) {
    hr_buf out;
    hr_error err = {.code = HR_OK};
    hr__buf_init(&out, &hr__allocator_libc, 0);
    int rc = read_in(options, text, cut, step, &out, &err);
    if (rc == HR_OK) {
        HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), want);
    } else {
        HR_CHECK_STR(hr__str(err.message), want);
    }
    hr__buf_free(&out);
}

static void check(const hr_csv_options *given, hr_str text, const char *want) {
    hr_csv_options options = *given;
    for (int portable = 0; portable < 2; portable++) {
        options.portable = portable != 0;
        check_one(&options, text, 0, 0, want);
        check_one(&options, text, 0, 1, want);
        for (size_t cut = 1; cut < text.size_bytes; cut++) {
            check_one(&options, text, cut, 0, want);
        }
    }
}

HR_CASE(rows_and_fields) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a,b\n1,2\n", "<a><b>\n<1><2>\n"},
        {"a,b\r\n1,2", "<a><b>\n<1><2>\n"},
        {"a,b\r1,2\r", "<a><b>\n<1><2>\n"},
        {"a,\n,\n", "<a><>\n<><>\n"},
        {"\n\na\n \n\t\nb\n\n", "<a>\n<b>\n"}, /* blank lines are skipped */
        {"\"\"\n", "<>\n"},                    /* but not this one */
        {"\"a,b\",\"c\nd\",\"e\r\nf\"\n", "<a,b><c\nd><e\r\nf>\n"},
        {"\"a\"\"b\",\"\"\"\",\"\"\n", "<a\"b><\"><>\n"},
        {"a\"b,c\"\"d\n", "<a\"b><c\"\"d>\n"},           /* a quote inside a field is kept */
        {"\"a\"b,\"c\"\"d\"e\"f\n", "<ab><c\"de\"f>\n"}, /* so is what follows a closing one */
        {"\"a\" ,b\n", "<a ><b>\n"},
        {" \"a,b\"\n", "< \"a><b\">\n"}, /* white space comes before it: the quote opens nothing */
        {"1,2,3\n4\n5,6\n", "<1><2><3>\n<4>\n<5><6>\n"},
        {"1,2\n3,4,5\n", "expected 2 fields, found 3 in the row at line 2, column 1 (byte 4)"},
        {"\"a\n\",2\n3,4,5\n", "expected 2 fields, found 3 in the row at line 3, column 1 (byte 7)"},
        {"a\n\"b\nc", "the file ends inside quotes; the row begins at line 2, column 1 (byte 2)"},
        {"a\xC3\xA9,\xE2\x82\xAC\n", "<a\xC3\xA9><\xE2\x82\xAC>\n"},
        {"\xEF\xBB\xBF"
         "a\n",
         "<a>\n"},
    };
    hr_csv_options options;
    options_of(&options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(&options, hr__str(cases[i].text), cases[i].want);
        options.chunk_rows = 1;
        check(&options, hr__str(cases[i].text), cases[i].want);
        options.chunk_rows = 10000;
    }
    hr_buf out;
    hr_error err;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    HR_CHECK_INT(read_in(&options, (hr_str){"a\0b,\0\n", 6}, 0, 0, &out, &err), HR_OK);
    HR_CHECK(out.size_bytes == 9 && memcmp(out.data, "<a\0b><\0>\n", 9) == 0); /* NULs are kept */
    hr__buf_free(&out);
}

HR_CASE(dialects) {
    hr_csv_options options;
    options_of(&options);
    options.dialect = (hr_csv_dialect){.delimiter = ';', .quote = '\'', .doublequote = true, .skip_blank_lines = true};
    check(&options, hr__str("'a;''b';\"c\"\n"), "<a;'b><\"c\">\n");
    options.dialect.doublequote = false;
    options.dialect.escape = '\\';
    check(&options, hr__str("'a\\'b';c\\;d;e\\\\\n'x\\\ny';z;\\\n\n"), "<a'b><c;d><e\\>\n<x\ny><z><\n>\n");
    options.dialect = (hr_csv_dialect){.delimiter = '\t', .quote = 0, .skip_blank_lines = true};
    check(&options, hr__str("\"a\t\"b\"\n"), "<\"a><\"b\">\n");
    options.dialect =
        (hr_csv_dialect){.delimiter = ',', .quote = '"', .comment = '#', .doublequote = true, .skip_blank_lines = true};
    check(&options, hr__str("# first\r\na,b#c,d\r\n#x\n1,\"#2\"\n#last"), "<a><b>\n<1><#2>\n");
    options.dialect = (hr_csv_dialect){.delimiter = ',', .quote = '"', .doublequote = true, .skip_space = true};
    check(&options, hr__str("a,  \"b,c\", d\n"), "<a><b,c><d>\n");
    options.dialect.skip_space = false;
    check(&options, hr__str("a\n\n\r\nb\n"), "<a>\n<>\n<>\n<b>\n");
}

HR_CASE(ragged_rows) {
    hr_csv_options options;
    options_of(&options);
    hr_str text = hr__str("1,2\n3\n4,5,6\n7,8\n");
    options.ragged = HR_CSV_RAGGED_SKIP;
    check(&options, text, "<1><2>\n<3>\n<7><8>\n");
    options.ragged = HR_CSV_RAGGED_PAD;
    check(&options, text, "<1><2>\n<3>\n<4><5><6>\n<7><8>\n");
    options.ragged = HR_CSV_RAGGED_RAISE;
    check(&options, text, "expected 2 fields, found 1 in the row at line 2, column 1 (byte 4)");
}

HR_CASE(headers_and_limits) {
    hr_csv_options options;
    options_of(&options);
    options.header = 0;
    options.skip_rows = 1;
    options.max_rows = 2;
    check(&options, hr__str("title\n\na,b\n1,2\n3,4\n5,6,7\n"), "<1><2>\n<3><4>\n");
    options.header = 5;
    check(&options, hr__str("a,b\n"), "the file has no row of column names");
    options_of(&options);
    options.max_columns = 2;
    check(&options, hr__str("1,2\n1,2,3\n"), "a row of 3 fields, more than max_columns 2 at line 2, column 1 (byte 4)");
    options_of(&options);
    options.max_field_bytes = 4;
    check(&options, hr__str("1234\n1,12345\n"), "a field longer than max_field_bytes at line 2, column 3 (byte 7)");
}

HR_CASE(a_field_that_does_not_end_is_refused_early) {
    static char text[300000];
    hr_csv_options options;
    options_of(&options);
    options.max_field_bytes = 100;
    memset(text, 'x', sizeof text);
    memcpy(text, "a,b\n1,\"", 7);
    const char *want = "a field longer than max_field_bytes (a quote that is not closed?) at line 2, column 3 (byte 6)";
    check_one(&options, (hr_str){text, sizeof text}, 0, 0, want);
    options.portable = true;
    check_one(&options, (hr_str){text, sizeof text}, 0, 0, want);
    memset(text, ',', sizeof text);
    want = "a row of more fields than max_columns 16384 at line 1, column 1 (byte 0)";
    check_one(&options, (hr_str){text, sizeof text}, 0, 0, want);
}

/* Text that is longer than what is indexed at a time, with rows that cross. */
HR_CASE(long_text_is_cut_into_chunks) {
    hr_csv_options options;
    options_of(&options);
    options.chunk_rows = 1000;
    hr_buf text, want, out;
    hr_error err;
    hr__buf_init(&text, &hr__allocator_libc, 0);
    hr__buf_init(&want, &hr__allocator_libc, 0);
    hr__buf_init(&out, &hr__allocator_libc, 0);
    for (int i = 0; i < 30000; i++) {
        char line[80];
        int n = snprintf(line, sizeof line, i % 3 == 0 ? "%d,\"x\r\n%d\"\r\n" : "%d,%d\r\n", i, i * 7);
        HR_CHECK_INT(hr__buf_append(&text, line, (size_t)n), HR_OK);
        n = snprintf(line, sizeof line, i % 3 == 0 ? "<%d><x\r\n%d>\n" : "<%d><%d>\n", i, i * 7);
        HR_CHECK_INT(hr__buf_append(&want, line, (size_t)n), HR_OK);
    }
    HR_CHECK_INT(read_in(&options, (hr_str){text.data, text.size_bytes}, 100001, 4097, &out, &err), HR_OK);
    HR_CHECK(out.size_bytes == want.size_bytes && memcmp(out.data, want.data, want.size_bytes) == 0);
    HR_CHECK_INT(hr__buf_append_str(&text, "1,2,3\n"), HR_OK);
    HR_CHECK_INT(read_in(&options, (hr_str){text.data, text.size_bytes}, 0, 0, &out, &err), HR_SYNTAX);
    HR_CHECK(strstr(err.message, "at line 40001, column 1") != NULL);
    hr__buf_free(&text);
    hr__buf_free(&want);
    hr__buf_free(&out);
}

/* ---------------------------------------------------------------------------------------------------- kernels */

static void check_same_index(const hr_csv_index *a, const hr_csv_index *b) {
    HR_CHECK_INT(a->n, b->n);
    HR_CHECK_INT(a->n_rows, b->n_rows);
    HR_CHECK_INT(a->inside, b->inside);
    HR_CHECK(a->n != b->n || a->n == 0 || memcmp(a->ends, b->ends, a->n * sizeof *a->ends) == 0);
    HR_CHECK(a->n_rows != b->n_rows || a->n_rows == 0 || memcmp(a->rows, b->rows, a->n_rows * sizeof *a->rows) == 0);
}

HR_CASE(kernels_are_equal_on_random_text) {
    static const char letters[] = "aaab,,\"\"\n\r\n";
    const hr_csv_dialect dialects[] = {{.delimiter = ',', .quote = '"', .doublequote = true},
                                       {.delimiter = ',', .quote = '"'},
                                       {.delimiter = 'b', .quote = 0}};
    hr_csv_index index[3] = {{0}};
    unsigned n_regular = 0;
    for (int run = 0; run < 20000; run++) {
        char text[300];
        size_t size = hrtest_below(run % 2 == 0 ? 12 : sizeof text);
        const hr_csv_dialect *d = &dialects[run % 3];
        for (size_t i = 0; i < size; i++) {
            text[i] = letters[hrtest_below(sizeof letters - 1)];
        }
        for (int k = 0; k < 3; k++) {
            hr__csv_index_start(&index[k]);
            size_t cut = size == 0 ? 0 : hrtest_below((unsigned)size);
            int (*fn)(const hr_csv_dialect *, const char *, size_t, bool, const hr_allocator *, hr_csv_index *) =
                k == 0                      ? hr__csv_index_plain
                : k == 1 || !hr__has_avx2() ? hr__csv_index_portable
                                            : hr__csv_index_avx2;
            HR_CHECK_INT(fn(d, text, cut, false, &hr__allocator_libc, &index[k]), HR_OK);
            HR_CHECK_INT(fn(d, text, size, true, &hr__allocator_libc, &index[k]), HR_OK);
        }
        HR_CHECK_INT(index[1].irregular, index[2].irregular);
        if (!index[1].irregular) {
            n_regular++;
            check_same_index(&index[1], &index[0]);
            check_same_index(&index[2], &index[0]);
        }
    }
    HR_CHECK(n_regular > 5000);
    for (int k = 0; k < 3; k++) {
        hr__free(&hr__allocator_libc, index[k].ends);
        hr__free(&hr__allocator_libc, index[k].rows);
    }
}

/* ---------------------------------------------------------------------------------------------------- encodings */

HR_CASE(encodings) {
    static const struct {
        hr_encoding given, found;
        const char *text;
        size_t size;
        const char *want;
    } cases[] = {
        {0, HR_ENCODING_UTF_16_LE,
         "\xFF\xFE"
         "a\0,\0\xE9\0\n\0",
         10, "<a><\xC3\xA9>\n"},
        {0, HR_ENCODING_UTF_16_BE, "\xFE\xFF\0a\0,\xD8\x3D\xDE\x00\0\n", 12, "<a><\xF0\x9F\x98\x80>\n"},
        {0, HR_ENCODING_UTF_16_LE, "a\0,\0b\0\n\0", 8, "<a><b>\n"},
        {0, HR_ENCODING_WINDOWS_1252, "caf\xE9,\x80\n", 7, "<caf\xC3\xA9><\xE2\x82\xAC>\n"},
        {HR_ENCODING_LATIN_1, HR_ENCODING_LATIN_1, "caf\xE9,\x80\n", 7, "<caf\xC3\xA9><\xC2\x80>\n"},
        {HR_ENCODING_WINDOWS_1252, HR_ENCODING_WINDOWS_1252, "a,\x81\n", 4,
         "a byte without a character at byte 2 is not windows-1252"},
        {HR_ENCODING_UTF_8, HR_ENCODING_UTF_8, "a\nb\xE9,c\n", 7,
         "text that is not UTF-8 (say which encoding it is) at line 2, column 2 (byte 3)"},
        {HR_ENCODING_UTF_16_LE, HR_ENCODING_UTF_16_LE,
         "a\0\x00\xD8"
         "b\0",
         6, "half of a surrogate pair at byte 2 is not utf-16-le"},
        {HR_ENCODING_UTF_16_LE, HR_ENCODING_UTF_16_LE, "a\0\n", 3,
         "the end in the middle of a character at byte 3 is not utf-16-le"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hr_csv_options options;
        options_of(&options);
        options.encoding = cases[i].given;
        check(&options, (hr_str){cases[i].text, cases[i].size}, cases[i].want);
    }
    HR_CHECK(hr__encoding_detect("caf\xE9 na\xEFve", 10, true).confidence > 0.7);
    HR_CHECK(hr__encoding_detect("\xE9\xE9\x81\xA0", 4, true).confidence < 0.4);
    HR_CHECK_INT(hr__encoding_detect("a\xC3", 2, false).encoding, HR_ENCODING_UTF_8);
    HR_CHECK_INT(hr__encoding_detect("a\xC3", 2, true).encoding, HR_ENCODING_WINDOWS_1252);
}

HR_CASE(delimiters_are_found) {
    static const struct {
        const char *text;
        char want;
    } cases[] = {
        {"a;b;c\n1,5;2,5;3,5\n2,5;3;4\n", ';'},
        {"a\tb\n1\t2\n", '\t'},
        {"a|b\n\"x,y,z\"|2\n", '|'},
        {"time,value\n10:11:12,1\n10:11:13,2\n", ','},
        {"a b c\n1 2 3\n", ' '},
        {"one\ntwo\n", ','},
        {"", ','},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hr_csv_dialect dialect = {.delimiter = ',', .quote = '"', .doublequote = true};
        double confidence;
        hr__csv_sniff(hr__str(cases[i].text), &dialect, &confidence);
        HR_CHECK_INT(dialect.delimiter, cases[i].want);
        HR_CHECK(confidence >= 0 && confidence <= 1);
    }
}

static int json_of(const hr_csv_options *options, hr_str text, bool infer, size_t limit, hr_buf *out, hr_error *err) {
    *err = (hr_error){.offset_bytes = -1, .record = -1};
    hr__buf_init(out, options->alloc, limit);
    return hr__csv_json(options, text, infer, out, err);
}

HR_CASE(json_lines) {
    static const struct {
        const char *text, *want;
        int64_t record;
    } cases[] = {
        {"a,b\n1,x\n-0,\"y\"\"\"\n", "{\"a\":1,\"b\":\"x\"}\n{\"a\":0,\"b\":\"y\\\"\"}\n", 0},
        {"a\n1\n2.5\n", "{\"a\":1.0}\n{\"a\":2.5}\n", 0},
        {"a\nTRUE\n\nfalse\n", "{\"a\":true}\n{\"a\":false}\n", 0},
        {"a,b\n,\"\"\n", "{\"a\":null,\"b\":\"\"}\n", 0}, /* what is in quotes is not null */
        {"a\n01\n1\n", "{\"a\":\"01\"}\n{\"a\":\"1\"}\n", 0},
        {"\"a\nb\",\n1,2\n", "{\"a\\nb\":1,\"\":2}\n", 0},
        {"a,b\n", "", 0},
        {"", "", 0},
        {"\n\n", "", 0},
        {"a,b,a\n1,2,3\n", "the header has `a` twice", -1},
        {"a,b\n1,2,3\n", "expected 2 fields, found 3 in the row", 0},
        {"a,b\n1,2\n1\n", "expected 2 fields, found 1 in the row at line 3, column 1 (byte 8)", 1},
        {"a\nb\n\xFF\nc\n", "text that is not UTF-8 (say which encoding it is) at line 3, column 1 (byte 4)", 1},
        {"a\nb\n\"c\n", "the file ends inside quotes; the row begins at line 3, column 1 (byte 4)", -1},
    };
    static const hr_str nulls[] = {{"", 0}};
    hr_csv_options options;
    hr__csv_options_init(&options);
    options.encoding = HR_ENCODING_UTF_8;
    options.nulls = nulls;
    options.n_nulls = 1;
    for (uint32_t chunk_rows = 1; chunk_rows <= 10000; chunk_rows += 9999) {
        options.chunk_rows = chunk_rows;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            hr_buf out;
            hr_error err;
            int rc = json_of(&options, hr__str(cases[i].text), true, 0, &out, &err);
            hr_str found =
                rc != HR_OK ? hr__str(err.message) : (hr_str){out.data == NULL ? "" : out.data, out.size_bytes};
            HR_CHECK_STR(found, cases[i].want);
            if (rc != HR_OK) {
                HR_CHECK_INT(err.record, cases[i].record);
            }
            hr__buf_free(&out);
        }
    }
    hr_buf out;
    hr_error err;
    HR_CHECK_INT(json_of(&options, hr__str("a\n1\n2\n"), false, 0, &out, &err), HR_OK);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "{\"a\":\"1\"}\n{\"a\":\"2\"}\n"); /* nothing is inferred */
    hr__buf_free(&out);
    HR_CHECK_INT(json_of(&options, hr__str("a\n1\n2\n"), true, 10, &out, &err), HR_LIMIT);
    HR_CHECK_STR(hr__str(err.message), "the rows as JSON are larger than allowed (10 bytes)");
    hr__buf_free(&out);
}

static int sweep_json(const hr_allocator *alloc) {
    static const hr_str nulls[] = {{"", 0}, {"NA", 2}};
    hr_csv_options options;
    hr__csv_options_init(&options);
    options.alloc = alloc;
    options.encoding = HR_ENCODING_UTF_8;
    options.chunk_rows = 2;
    options.nulls = nulls;
    options.n_nulls = 2;
    hr_buf out;
    hr_error err;
    int rc = json_of(&options, hr__str("a,b,c\n1,\"a\"\"b\",3\n1,NA,1.5\n1,\"x\"y,2\n"), true, 0, &out, &err);
    hr__buf_free(&out);
    return rc;
}

static int sweep_body(const hr_allocator *alloc) {
    const hr_str names[] = {{"x", 1}}, nulls[] = {{"", 0}, {"NA", 2}};
    hr_csv_options options;
    options_of(&options);
    options.alloc = alloc;
    options.header = 0;
    options.chunk_rows = 2;
    options.ragged = HR_CSV_RAGGED_SKIP;
    options.use_names = names;
    options.n_use_names = 1;
    options.has_use = true;
    options.nulls = nulls;
    options.n_nulls = 2;
    hr_buf out;
    hr_error err;
    hr__buf_init(&out, alloc, 0);
    int rc = read_in(&options, hr__str("x,x,x.1,\n1,\"a\"\"b\",3\n1\n1,2,3,4,5\n\"a\"b,2,3,4\n"), 0, 0, &out, &err);
    hr__buf_free(&out);
    return rc;
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(sweep_body, 300);
    hrtest_sweep(sweep_json, 300);
}

int main(void) {
    HR_RUN(rows_and_fields);
    HR_RUN(dialects);
    HR_RUN(ragged_rows);
    HR_RUN(headers_and_limits);
    HR_RUN(a_field_that_does_not_end_is_refused_early);
    HR_RUN(long_text_is_cut_into_chunks);
    HR_RUN(kernels_are_equal_on_random_text);
    HR_RUN(encodings);
    HR_RUN(delimiters_are_found);
    HR_RUN(json_lines);
    HR_RUN(every_allocation_may_fail);
    return HR_DONE();
}
