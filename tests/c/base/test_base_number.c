/* SPDX-License-Identifier: Apache-2.0
 *
 * base: numbers to and from text. Millions of random ones are compared with Python's in tests/py/test_decode_oracle.py;
 * here are those that are hard for a known reason.
 */
#include "hrtest.h"
#include "number.h"

#include <math.h>

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

HR_CASE(decimals_are_read_correctly_rounded) {
    static const struct {
        const char *text;
        uint64_t bits;
    } rows[] = {
        {"0", 0},
        {"-0", 0x8000000000000000u},
        {"0e999999999999999999999", 0},
        {"1", 0x3FF0000000000000u},
        {"1e23", 0x44B52D02C7E14AF6u},             /* not the nearest to the double 1e23 */
        {"9007199254740993", 0x4340000000000000u}, /* half-way: to even */
        {"9007199254740993.0000000000000000000000000000000000000000000000001", 0x4340000000000001u},
        {"9007199254740995", 0x4340000000000002u},
        {"2.2250738585072011e-308", 0x000FFFFFFFFFFFFFu}, /* hung PHP and Java */
        {"2.2250738585072014e-308", 0x0010000000000000u},
        {"4.9406564584124654e-324", 1},
        {"2.4703282292062327e-324", 0},
        {"2.4703282292062328e-324", 1},
        {"1.7976931348623157e308", 0x7FEFFFFFFFFFFFFFu},
        {"1.7976931348623158e308", 0x7FEFFFFFFFFFFFFFu},
        {"1.7976931348623159e308", 0x7FF0000000000000u},
        {"-1e400", 0xFFF0000000000000u},
        {"1e-400", 0},
        {"1e99999999999999999999", 0x7FF0000000000000u},
        {"1e-99999999999999999999", 0},
        {"0.1000000000000000055511151231257827021181583404541015625", 0x3FB999999999999Au},
        {"1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490179775872070"
         "9633028641669288791094655554785194040263065748867150582068190890200070838367627385484581771153176447"
         "5730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904"
         "174497792",
         0x7FF0000000000000u}, /* half-way to what comes behind the largest */
        {"1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490179775872070"
         "9633028641669288791094655554785194040263065748867150582068190890200070838367627385484581771153176447"
         "5730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904"
         "174497791.9",
         0x7FEFFFFFFFFFFFFFu},
        {"123456789012345678901234567890", 0x45F8EE90FF6C373Eu},
        {"1234567890123456789.5", 0x43B12210F47DE981u},
        {"8.5e-1", 0x3FEB333333333333u},
        {"1E+2", 0x4059000000000000u},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t got = bits_of(hr__double_parse(rows[i].text, strlen(rows[i].text)));
        if (got != rows[i].bits) {
            printf("  %s: got %016" PRIx64 ", want %016" PRIx64 "\n", rows[i].text, got, rows[i].bits);
        }
        HR_CHECK(got == rows[i].bits);
    }
}

/* 1 with n zeros before it and an exponent of n, more digits than any buffer: 0.000...1e1000000. */
HR_CASE(long_decimals_are_read) {
    enum { N = 1000000 };
    char *text = malloc(N + 30);
    memset(text, '0', N + 2);
    text[1] = '.';
    size_t size = N + 1 + (size_t)sprintf(text + N + 1, "1e%d", N);
    HR_CHECK(hr__double_parse(text, size) == 1.0);
    size = N + (size_t)sprintf(text + N, "e-%d", N - 2); /* 0.0...0 */
    HR_CHECK(hr__double_parse(text, size) == 0.0);
    memset(text, '9', N);
    size = N + (size_t)sprintf(text + N, "e-%d", N);
    HR_CHECK(hr__double_parse(text, size) == 1.0);
    free(text);
}

HR_CASE(doubles_are_printed_shortest) {
    static const struct {
        double value;
        const char *python, *orjson;
    } rows[] = {
        {0.0, "0.0", "0.0"},
        {-0.0, "-0.0", "-0.0"},
        {1.0, "1.0", "1.0"},
        {-1.5, "-1.5", "-1.5"},
        {0.1, "0.1", "0.1"},
        {0.3, "0.3", "0.3"},
        {1e15, "1000000000000000.0", "1000000000000000.0"},
        {1e16, "1e+16", "1e+16"},
        {123456789012345680.0, "1.2345678901234568e+17", "1.2345678901234568e+17"},
        {9007199254740991.0, "9007199254740991.0", "9007199254740991.0"},
        {9007199254740992.0, "9007199254740992.0", "9007199254740992.0"},
        {9007199254740994.0, "9007199254740994.0", "9007199254740994.0"},
        {1e22, "1e+22", "1e+22"},
        {1e23, "1e+23", "1e+23"},
        {0.0001, "0.0001", "0.0001"},
        {0.00001, "1e-05", "0.00001"},
        {0.000001, "1e-06", "1e-6"},
        {1.5e-7, "1.5e-07", "1.5e-7"},
        {1e-10, "1e-10", "1e-10"},
        {1e100, "1e+100", "1e+100"},
        {5e-324, "5e-324", "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308", "2.2250738585072014e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308"},
        {9.5367431640625e-07, "9.5367431640625e-07", "9.5367431640625e-7"},        /* 2^-20 */
        {5.684341886080802e-14, "5.684341886080802e-14", "5.684341886080802e-14"}, /* 2^-44: closer below */
        {9.313225746154785e-10, "9.313225746154785e-10", "9.313225746154785e-10"},
        {2e-323, "2e-323", "2e-323"},
        {INFINITY, "inf", "null"},
        {-INFINITY, "-inf", "null"},
        {NAN, "nan", "null"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[32];
        HR_CHECK_STR(((hr_str){text, hr__double_repr_python(rows[i].value, text)}), rows[i].python);
        HR_CHECK_STR(((hr_str){text, hr__double_repr_orjson(rows[i].value, text)}), rows[i].orjson);
    }
}

HR_CASE(doubles_survive_printing_and_reading) {
    uint64_t state = 42;
    for (int i = 0; i < 200000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = state ^ state >> 29;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) {
            continue;
        }
        char text[32];
        size_t n = hr__double_repr_python(value, text);
        HR_CHECK(n <= sizeof text && bits_of(hr__double_parse(text, n)) == bits);
    }
}

HR_CASE(integers_are_printed) {
    static const struct {
        int64_t value;
        const char *text;
    } rows[] = {{0, "0"},
                {7, "7"},
                {10, "10"},
                {99, "99"},
                {100, "100"},
                {12345, "12345"},
                {-1, "-1"},
                {INT64_MAX, "9223372036854775807"},
                {INT64_MIN, "-9223372036854775808"}};
    char text[24];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        HR_CHECK_STR(((hr_str){text, hr__int_repr(rows[i].value, text)}), rows[i].text);
    }
    HR_CHECK_STR(((hr_str){text, hr__uint_repr(UINT64_MAX, text)}), "18446744073709551615");
}

int main(void) {
    HR_RUN(decimals_are_read_correctly_rounded);
    HR_RUN(long_decimals_are_read);
    HR_RUN(doubles_are_printed_shortest);
    HR_RUN(doubles_survive_printing_and_reading);
    HR_RUN(integers_are_printed);
    return HR_DONE();
}
