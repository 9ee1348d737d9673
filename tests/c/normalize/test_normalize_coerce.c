/* SPDX-License-Identifier: Apache-2.0
 *
 * coerce: dlt-semantics rules 26 to 40 by table, with whole messages. (Large tables and random values are compared with
 * dlt, orjson and pyarrow in tests/py/test_leaf_oracle.py.)
 */
#include "coerce.h"
#include "hrtest.h"
#include "json.h"

static hr_json_decoder *decoder;
static hr_arena arena;
static hr_doc doc;
static char body[4096 + HR_BODY_PADDING];

/* The value of a JSON text as token 0 of doc. */
static void decode(const char *json) {
    hr_error err = {0};
    HR_CHECK(strlen(json) <= 4096);
    memset(body, 0, sizeof body);
    memcpy(body, json, strlen(json));
    HR_CHECK_INT(hr__json_decode(decoder, body, strlen(json), &doc, &err), HR_OK);
}

/* What the value becomes: its text, "variant", or the code's text and the message. */
static hr_str coerced(hr_type type, const char *json, char room[700]) {
    hr_cell cell = {.i = -77};
    uint32_t size = 0;
    hr_error err = {0};
    decode(json);
    int rc = hr__coerce(&doc, 0, type, &arena, &cell, &size, &err);
    int n;
    if (rc == HR_COERCE) {
        HR_CHECK_INT(cell.i, -77); /* outputs are written on success only */
        HR_CHECK_INT(err.code, HR_OK);
        n = snprintf(room, 700, "variant");
    } else if (rc != HR_OK) {
        HR_CHECK_INT(cell.i, -77);
        HR_CHECK_INT(err.code, rc);
        HR_CHECK_INT(err.stage, HR_STAGE_NORMALIZE);
        n = snprintf(room, 700, "%s: %s", hr_code_text((hr_code)rc), err.message);
    } else if (type == HR_TYPE_TEXT || type == HR_TYPE_JSON) {
        n = snprintf(room, 700, "'%.*s'", (int)size, cell.str);
    } else if (type == HR_TYPE_BINARY || type == HR_TYPE_DECIMAL) {
        n = snprintf(room, 700, "0x");
        for (uint32_t i = 0; i < (type == HR_TYPE_DECIMAL ? 16 : size); i++) {
            n += snprintf(room + n, (size_t)(700 - n), "%02x", (unsigned char)cell.str[i]);
        }
    } else if (type == HR_TYPE_DOUBLE) {
        n = snprintf(room, 700, "%.17g", cell.d);
    } else {
        n = snprintf(room, 700, "%" PRId64, cell.i);
    }
    hr__arena_reset(&arena);
    return (hr_str){room, (size_t)n};
}

typedef struct row {
    const char *json, *want;
} row;

static void check(hr_type type, const row *rows, size_t n) {
    char room[700];
    for (size_t i = 0; i < n; i++) {
        HR_CHECK_STR(coerced(type, rows[i].json, room), rows[i].want);
    }
}
#define CHECK_TABLE(type, rows) check(HR_TYPE_##type, rows, sizeof(rows) / sizeof *(rows))

HR_CASE(types_of_values) {
    static const struct {
        const char *json;
        hr_type type, inferred;
    } cases[] = {
        {"null", HR_TYPE_UNSET, HR_TYPE_UNSET},
        {"1e400", HR_TYPE_UNSET, HR_TYPE_UNSET}, /* orjson writes inf as null */
        {"true", HR_TYPE_BOOL, HR_TYPE_BOOL},
        {"1", HR_TYPE_BIGINT, HR_TYPE_BIGINT},
        {"18446744073709551615", HR_TYPE_BIGINT, HR_TYPE_BIGINT},
        {"99999999999999999999", HR_TYPE_BIGINT, HR_TYPE_BIGINT},
        {"1.0", HR_TYPE_DOUBLE, HR_TYPE_DOUBLE},
        {"\"\"", HR_TYPE_TEXT, HR_TYPE_TEXT},
        {"\"2024-01-15\"", HR_TYPE_TEXT, HR_TYPE_TEXT}, /* dates are not detected */
        {"\"2024-01-15T10:11\"", HR_TYPE_TEXT, HR_TYPE_TIMESTAMP},
        {"[]", HR_TYPE_JSON, HR_TYPE_JSON},
        {"{}", HR_TYPE_JSON, HR_TYPE_JSON},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        decode(cases[i].json);
        HR_CHECK_INT(hr__value_type(&doc.toks[0]), cases[i].type);
        HR_CHECK_INT(hr__value_infer(&doc.toks[0]), cases[i].inferred);
    }
}

HR_CASE(to_text) {
    static const row rows[] = {
        {"\"a b\"", "'a b'"},
        {"1", "'1'"},
        {"-0", "'0'"},
        {"18446744073709551615", "'18446744073709551615'"},
        {"1.0", "'1.0'"},
        {"1e20", "'1e+20'"},
        {"1e-7", "'1e-07'"},
        {"-0.0", "'-0.0'"},
        {"true", "'True'"},
        {"false", "'False'"},
        {"{\"b\": [1, 2.0, \"\\u00e9\\n\"], \"a\": 1e16, \"b\": null}", "'{\"b\":null,\"a\":1e+16}'"},
        {"[1e-7]", "'[1e-7]'"},
    };
    CHECK_TABLE(TEXT, rows);
}

HR_CASE(to_bigint) {
    static const row rows[] = {
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775808",
         "number out of range: integer 9223372036854775808 does not fit a 64-bit signed integer column"},
        {"2.0", "2"},
        {"-0.0", "0"},
        {"2.5", "variant"},
        {"1e20", "number out of range: number 1e+20 does not fit a 64-bit signed integer column"},
        {"\" +1_000 \"", "1000"},
        {"\"0x1F\"", "31"},
        {"\"0x -1f\"", "-31"},
        {"\"-0x1f\"", "variant"},
        {"\"1__0\"", "variant"},
        {"\"_1\"", "variant"},
        {"\"1_\"", "variant"},
        {"\"\"", "variant"},
        {"\"1.0\"", "variant"},
        {"\"\\u0663\\u00a0\"", "3"},
        {"\"-9223372036854775808\"", "-9223372036854775808"},
        {"\"9223372036854775808\"",
         "number out of range: value \"9223372036854775808\" does not fit a 64-bit signed integer column"},
        {"true", "variant"},
        {"{}", "variant"},
    };
    CHECK_TABLE(BIGINT, rows);
}

HR_CASE(to_double) {
    static const row rows[] = {
        {"1", "1"},
        {"18446744073709551615", "1.8446744073709552e+19"},
        {"0.1", "0.10000000000000001"},
        {"\" 1_0.5e1 \"", "105"},
        {"\".5\"", "0.5"},
        {"\"5.\"", "5"},
        {"\"+5.e-1\"", "0.5"},
        {"\"NaN\"", "nan"},
        {"\"-Infinity\"", "-inf"},
        {"\"1e400\"", "inf"},
        {"\"0x10\"", "16"},
        {"\"0x20000000000001\"", "9007199254740992"}, /* half to even */
        {"\"0x20000000000003\"", "9007199254740996"},
        {"\"0x2000000000000100000000000000000001\"", "1.0889035741470033e+40"}, /* above half by far away bits */
        {"\"0x1.8\"", "variant"},
        {"\"1._5\"", "variant"},
        {"\".\"", "variant"},
        {"\"e5\"", "variant"},
        {"\"1e\"", "variant"},
        {"false", "variant"},
        {"[]", "variant"},
    };
    CHECK_TABLE(DOUBLE, rows);
}

HR_CASE(to_bool) {
    static const row rows[] = {
        {"true", "1"},
        {"false", "0"},
        {"0", "0"},
        {"-7", "1"},
        {"18446744073709551615", "1"},
        {"0.0", "0"},
        {"-0.0", "0"},
        {"0.5", "1"},
        {"\"YES\"", "1"},
        {"\"True\"", "1"},
        {"\"t\"", "1"},
        {"\"Y\"", "1"},
        {"\"1\"", "1"},
        {"\"no\"", "0"},
        {"\"FALSE\"", "0"},
        {"\"F\"", "0"},
        {"\"n\"", "0"},
        {"\"0\"", "0"},
        {"\"on\"", "variant"},
        {"\" 1\"", "variant"},
        {"\"\"", "variant"},
        {"[]", "variant"},
        {"\"\\u0011\"", "variant"}, /* which is '1' but for one bit */
    };
    CHECK_TABLE(BOOL, rows);
}

HR_CASE(to_timestamp) {
    static const row rows[] = {
        {"\"2024-01-15T10:11:12.5+02:00\"", "1705306272500000"},
        {"\"2024-01-15\"", "1705276800000000"},
        {"\"1705313471.25\"", "1705313471250000"},
        {"\" 1_0 \"", "10000000"},
        {"\"0x10\"", "variant"},
        {"\"10:11\"", "variant"},
        {"\"soon\"", "variant"},
        {"\"nan\"", "variant"},
        {"1705313471", "1705313471000000"},
        {"-62135596800", "-62135596800000000"},
        {"-62135596801", "variant"},
        {"253402300800", "variant"},
        {"18446744073709551615", "variant"},
        {"0.0000005", "0"}, /* half to even */
        {"0.0000015", "2"},
        {"-0.1", "-100000"},
        {"true", "variant"},
        {"\"2024-01-15T10:11:12+24:00\"", "number out of range: value \"2024-01-15T10:11:12+24:00\" is a timestamp "
                                          "whose offset or year is out of range"},
        {"\"0001-01-01T00:00:00+00:01\"", "number out of range: value \"0001-01-01T00:00:00+00:01\" is a timestamp "
                                          "whose offset or year is out of range"},
    };
    CHECK_TABLE(TIMESTAMP, rows);
}

HR_CASE(to_date_and_time) {
    static const row dates[] = {
        {"\"2024-01-15\"", "19737"},
        {"\"2024-01-15T23:59:59-05:00\"", "19738"}, /* the day in UTC */
        {"\"1969-12-31T12:00:00\"", "-1"},
        {"86400", "1"},
        {"-0.5", "-1"},
        {"\"1611111111\"", "-130808"}, /* as CPython's date.fromisoformat: 1611-11-11 */
        {"\"1612010000\"", "18657"},   /* no such day: seconds since 1970 */
        {"\"2024-01-15T10:11:12+24:00\"", "variant"},
        {"\"10:11\"", "variant"},
        {"true", "variant"},
    };
    static const row times[] = {
        {"\"10:11:12.5\"", "36672500000"}, {"\"01:00+02:00\"", "82800000000"},  {"\"T2359-00:02\"", "60000000"},
        {"\"10:11+24:00\"", "variant"},    {"\"2024-01-15T10:11\"", "variant"}, {"1", "variant"},
    };
    CHECK_TABLE(DATE, dates);
    CHECK_TABLE(TIME, times);
}

HR_CASE(to_decimal) {
    static const row rows[] = {
        {"1", "0x00ca9a3b000000000000000000000000"},
        {"\"0.000000001\"", "0x01000000000000000000000000000000"},
        {"\"-10e-10\"", "0xffffffffffffffffffffffffffffffff"},
        {"0.5", "0x0065cd1d000000000000000000000000"},
        {"\" 1_0__0E-11 \"", "0x01000000000000000000000000000000"}, /* Decimal ignores underscores */
        {"\"0x1\"", "0x00ca9a3b000000000000000000000000"},
        {"\"0e50\"", "0x00000000000000000000000000000000"},
        {"\"0.0000000001\"", "number out of range: value \"0.0000000001\" does not fit a decimal(38, 9) column"},
        {"1e29", "number out of range: number 1e+29 does not fit a decimal(38, 9) column"},
        {"\"nan\"", "number out of range: value \"nan\" does not fit a decimal(38, 9) column"},
        {"\"1e\"", "variant"},
        {"\"\"", "variant"},
        {"\"abc\"", "variant"},
        {"true", "variant"},
    };
    CHECK_TABLE(DECIMAL, rows);
    hr_cell cell;
    hr_error err = {0};
    decode("\"-123.45\"");
    HR_CHECK_INT(hr__coerce_decimal(&doc, 0, 5, 2, &arena, &cell, &err), HR_OK);
    HR_CHECK(memcmp(cell.str, "\xC7\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 16) == 0);
    HR_CHECK_INT(hr__coerce_decimal(&doc, 0, 4, 2, &arena, &cell, &err), HR_RANGE);
    HR_CHECK_STR(hr__str(err.message), "value \"-123.45\" does not fit a decimal(4, 2) column");
    HR_CHECK_INT(hr__coerce_decimal(&doc, 0, 5, 1, &arena, &cell, &err), HR_RANGE);
}

HR_CASE(to_decimal_text) { /* want: str(Decimal(value)) of Python */
    static const struct {
        const char *json, *want;
    } rows[] = {
        {"\"1.50\"", "1.50"},
        {"\" -00.0 \"", "-0.0"},
        {"\"+007\"", "7"},
        {"\"0.000001\"", "0.000001"},
        {"\"0.00000012\"", "1.2E-7"},
        {"\"0E-9\"", "0E-9"},
        {"\"000.00000\"", "0.00000"},
        {"\"1e3\"", "1E+3"},
        {"\"-12.50e9\"", "-1.250E+10"},
        {"\"1_0.\"", "10"},
        {"\".5\"", "0.5"},
        {"\"0x-1f\"", "-31"},
        {"\"123456789012345678901234567890123456789012345.6789\"",
         "123456789012345678901234567890123456789012345.6789"},
        {"5", "5"},
        {"18446744073709551615", "18446744073709551615"},
        {"5.0", "5.0"},
        {"1e22", "1E+22"},
        {"1e-7", "1E-7"},
    };
    static const char *const bad[] = {"\"nan\"", "\"-Infinity\"", "\"0x100000000000000000000000000000000\""};
    hr_cell cell;
    uint32_t size;
    hr_error err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        decode(rows[i].json);
        HR_CHECK_INT(hr__coerce_decimal_text(&doc, 0, HR_TYPE_DECIMAL, &arena, &cell, &size, &err), HR_OK);
        HR_CHECK_STR(((hr_str){cell.str, size}), rows[i].want);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        decode(bad[i]);
        HR_CHECK_INT(hr__coerce_decimal_text(&doc, 0, HR_TYPE_DECIMAL, &arena, &cell, &size, &err), HR_RANGE);
    }
    HR_CHECK_STR(hr__str(err.message),
                 "value \"0x100000000000000000000000000000000\" is no finite number, or one of more "
                 "than 128 bits in hex");
    decode("\"x\"");
    HR_CHECK_INT(hr__coerce_decimal_text(&doc, 0, HR_TYPE_DECIMAL, &arena, &cell, &size, &err), HR_COERCE);
}

HR_CASE(to_binary) {
    static const row rows[] = {
        {"\"YWJj\"", "0x616263"},
        {"\"YQ==\"", "0x61"},
        {"\"\"", "0x"},
        {"\"YQ=\"", "variant"},
        {"\"=\"", "variant"},
        {"\"YW Jj\"", "variant"},
        {"\"YQ==x\"", "variant"},
        {"\"0xDe ad\"", "0xdead"},
        {"\"0xd\"", "variant"},
        {"\"0xzz\"", "variant"},
        {"\"0x\"", "0x"},
        {"\"\\u00e9\"", "variant"},
        {"0", "0x"},
        {"258", "0x0201"},
        {"-1", "variant"},
        {"18446744073709551615", "0xffffffffffffffff"},
        {"1.5", "variant"},
        {"true", "variant"},
    };
    CHECK_TABLE(BINARY, rows);
}

HR_CASE(to_json) {
    static const row rows[] = {
        {"{\"a\": [1, {\"b\": \"\\u00e9\"}]}", "'{\"a\":[1,{\"b\":\"\u00e9\"}]}'"},
        {"\" { \\\"a\\\" : [ 1 , 2.50 , null ] , \\\"a\\\" : 1e16 } \"", "'{\"a\":1e+16}'"},
        {"\"\\\"a\\\\u00e9\\\\n\\\"\"", "'a\u00e9\n'"}, /* a string is written without quotes */
        {"\"\\\"\\\\ud83d\\\\ude00\\\"\"", "'\U0001F600'"},
        {"\"\\\"\\\\ud83d\\\"\"", "variant"},
        {"\"true\"", "'true'"},
        {"\"-0\"", "'0'"},
        {"\"18446744073709551616\"", "'1.8446744073709552e+19'"},
        {"\"1e400\"", "variant"},
        {"\"01\"", "variant"},
        {"\"[1,]\"", "variant"},
        {"\"{1:2}\"", "variant"},
        {"\"[1] 2\"", "variant"},
        {"\"NaN\"", "variant"},
        {"\"\"", "variant"},
        {"\"abc\"", "variant"},
        {"\"null\"", "not supported natively: value \"null\" in a json column is a null, which is not supported"},
        {"1", "variant"},
        {"true", "variant"},
        {"[\"\\uf026abc\"]", "'[\"abc\"]'"},
        {"[\"\\uf0261_0\"]",
         "not supported natively: value \"\uf0261_0\" has dlt's private-use type marker in a form that is "
         "not dlt's own"},
        {"{\"\\uf026abc\": \"\\uf026\"}", "'{\"\uf026abc\":\"\uf026\"}'"}, /* keys, and a marker alone, stay */
        {"[99999999999999999999]", "number out of range: an integer of 20 digits exceeds 64 bits"},
    };
    CHECK_TABLE(JSON, rows);
}

HR_CASE(json_text_nests_as_deep_as_orjson_writes) {
    char json[2100], room[700];
    static const struct {
        int depth;
        const char *want;
    } cases[] = {{254, NULL},
                 {255, "limit exceeded: JSON text is nested 255 levels deep, 254 are allowed"},
                 {1024, "limit exceeded: JSON text is nested 1024 levels deep, 254 are allowed"},
                 {1025, "variant"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t depth = (size_t)cases[i].depth;
        json[0] = '"';
        memset(json + 1, '[', depth);
        memset(json + 1 + depth, ']', depth);
        memcpy(json + 1 + 2 * depth, "\"", 2);
        hr_str got = coerced(HR_TYPE_JSON, json, room);
        if (cases[i].want != NULL) {
            HR_CHECK_STR(got, cases[i].want);
        } else {
            HR_CHECK_INT(got.size_bytes, 2 * depth + 2);
        }
    }
}

HR_CASE(values_that_no_column_takes) {
    static const row rows[] = {
        {"-99999999999999999999", "number out of range: an integer of 20 digits exceeds 64 bits"},
        {"\"a\\ud800\"", "malformed text encoding: value \"a\xED\xA0\x80\" holds a lone surrogate, which is not text"},
        {"\"\\uf02a0xDE\"", "not supported natively: value \"\uf02a0xDE\" starts with dlt's private-use type marker, "
                            "which is not supported"},
    };
    for (hr_type type = HR_TYPE_TEXT; type <= HR_TYPE_BINARY; type++) {
        check(type, rows, sizeof rows / sizeof *rows);
    }
    char room[700];
    HR_CHECK_STR(coerced(HR_TYPE_UNSET, "1", room),
                 "not supported natively: integer 1 goes to a column without a type");
}

/* Rule 6: what dlt's extract writes for values that JSON does not have. */
HR_CASE(typed_text_is_its_value) {
    static const struct {
        hr_type type;
        row at;
    } cases[] = {
        {HR_TYPE_TIMESTAMP, {"\"\\uf0272024-01-15T10:00:00\"", "1705312800000000"}},
        {HR_TYPE_TIMESTAMP, {"\"\\uf0272024-01-15T10:00:00.000001+05:30\"", "1705293000000001"}},
        {HR_TYPE_TIMESTAMP, {"\"\\uf0272024-01-15T10:00:00-00:30\"", "1705314600000000"}},
        {HR_TYPE_DATE, {"\"\\uf0281969-12-31\"", "-1"}},
        {HR_TYPE_TIME, {"\"\\uf02d00:00:01.000002\"", "1000002"}},
        {HR_TYPE_BINARY, {"\"\\uf02bAAE=\"", "0x0001"}},
        {HR_TYPE_DECIMAL, {"\"\\uf0261.5\"", "0x002f6859000000000000000000000000"}},
        {HR_TYPE_DECIMAL, {"\"\\uf0261E-9\"", "0x01000000000000000000000000000000"}},
        {HR_TYPE_BINARY, {"\"\\uf02a0xdead\"", "0xdead"}},
        /* of another type than the column's */
        {HR_TYPE_TEXT, {"\"\\uf0272024-01-15T10:00:00.000000-00:00\"", "'2024-01-15T10:00:00+00:00'"}},
        {HR_TYPE_TEXT, {"\"\\uf0272024-01-15T10:00:00.000001\"", "'2024-01-15T10:00:00.000001'"}},
        {HR_TYPE_TEXT, {"\"\\uf02bAAF=\"", "'AAE='"}},
        {HR_TYPE_TEXT, {"\"\\uf02a0xdead\"", "'0xdead'"}},
        {HR_TYPE_TEXT, {"\"\\uf02c1E+2\"", "'1E+2'"}},
        {HR_TYPE_DATE, {"\"\\uf0272024-01-15T01:00:00+05:30\"", "19736"}},
        {HR_TYPE_BIGINT, {"\"\\uf0261E+2\"", "100"}},
        {HR_TYPE_BIGINT, {"\"\\uf026-5.000\"", "-5"}},
        {HR_TYPE_BIGINT, {"\"\\uf0260.5\"", "variant"}},
        {HR_TYPE_BOOL, {"\"\\uf02c0E+5\"", "0"}},
        {HR_TYPE_TIME, {"\"\\uf0272024-01-15T10:00:00\"", "variant"}},
        {HR_TYPE_JSON,
         {"[\"\\uf0261.5\",{\"\\uf0261\":\"\\uf02cx\",\"u\":[\"\\uf02bAAE=\",\"\\uf02e1\",\"\\uf026\"]}]",
          "'[\"1.5\",{\"\uf0261\":\"x\",\"u\":[\"AAE=\",\"1\",\"\uf026\"]}]'"}},
        {HR_TYPE_JSON,
         {"[\"\\uf0272024-01-15T10:00:00.000000\",\"\\uf02912345678-1234-5678-1234-567812345678\"]",
          "'[\"2024-01-15T10:00:00\",\"12345678-1234-5678-1234-567812345678\"]'"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(cases[i].type, &cases[i].at, 1);
    }
    /* not as dlt writes it, or for a column of another type: dlt's own code is asked */
    static const char *const refused[] = {"\\uf02720240115T100000", "\\uf0272024-01-15", "\\uf02d10:00:00+01:00",
                                          "\\uf0261_0", "\\uf02bAA E="};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char text[64], room[700];
        snprintf(text, sizeof text, "\"%s\"", refused[i]);
        for (hr_type type = HR_TYPE_TEXT; type <= HR_TYPE_BINARY; type++) {
            hr_str got = coerced(type, text, room);
            got.size_bytes = got.size_bytes < 23 ? got.size_bytes : 23;
            HR_CHECK_STR(got, "not supported natively:");
        }
    }
}

/* Rule 6: a marker before text that its decoder refuses is ordinary text. */
HR_CASE(private_use_text_that_dlt_cannot_decode_is_text) {
    static const struct {
        const char *text;
        bool decodes;
    } cases[] = {
        {"\\uf026", false},
        {"\\uf026 icon", false},
        {"\\uf026 1_0 ", true},
        {"\\uf027 clock", false},
        {"\\uf0272024-01-15", true},
        {"\\uf028 heart", false},
        {"\\uf0282024-01-15", true},
        {"\\uf029 qr", false},
        {"\\uf029{12345678-1234-5678-1234-567812345678}", true},
        {"\\uf02a0xdead", true},
        {"\\uf02a0xdea", false},
        {"\\uf02b Tags", true} /* base64 skips the space */,
        {"\\uf02b Tag", false},
        {"\\uf02bt\\u00e9gs", false},
        {"\\uf02c5", true},
        {"\\uf02cbook", false},
        {"\\uf02d10:11", true},
        {"\\uf02d book", false},
        {"\\uf02e1", false},
        {"\\uf0251", false},
        {"x\\uf0261", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[100];
        hr_cell cell;
        uint32_t size;
        snprintf(json, sizeof json, "\"%s\"", cases[i].text);
        decode(json);
        int rc = hr__coerce(&doc, 0, HR_TYPE_TEXT, &arena, &cell, &size, NULL);
        bool is_left = cases[i].decodes && hr__value_type(&doc.toks[0]) == HR_TYPE_TEXT; /* not in dlt's own form */
        if (rc != (is_left ? HR_UNSUPPORTED : HR_OK)) {
            printf("  %s\n", cases[i].text);
        }
        HR_CHECK_INT(rc, is_left ? HR_UNSUPPORTED : HR_OK);
    }
}

/* Cells of decimals beyond 38 digits and of Wei: as many digits behind the point as the column has. */
HR_CASE(wide_decimals_are_digits) {
    static const struct {
        const char *json, *want; /* NULL: out of range */
    } cases[] = {
        {"\"1.50\"", "1.500"},   {"\"-0.0\"", "-0.000"},    {"\"0E+900000\"", "0.000"},
        {"\"1E+2\"", "100.000"}, {"\"0.001\"", "0.001"},    {"\"1E-3\"", "0.001"},
        {"\"0.0010\"", "0.001"}, {"\"0.0001\"", NULL},      {"\"999999.999\"", "999999.999"},
        {"\"1000000\"", NULL},   {"\"nan\"", NULL},         {"-12", "-12.000"},
        {"0.25", "0.250"},       {"\"\\uf0262\"", "2.000"}, {"\"\\uf02c2\"", "2.000"},
        {"\"0x10\"", "16.000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hr_cell cell;
        uint32_t size;
        decode(cases[i].json);
        int rc = hr__coerce_wide(&doc, 0, HR_TYPE_WIDE, 9, 3, &arena, &cell, &size, NULL);
        HR_CHECK_INT(rc, cases[i].want == NULL ? HR_RANGE : HR_OK);
        if (rc == HR_OK) {
            HR_CHECK_STR(((hr_str){cell.str, size}), cases[i].want);
        }
    }
    hr_cell cell;
    uint32_t size;
    decode("\"0.5\"");
    HR_CHECK_INT(hr__coerce_wide(&doc, 0, HR_TYPE_WEI, 1, 0, &arena, &cell, &size, NULL), HR_RANGE);
    decode("9");
    HR_CHECK_INT(hr__coerce_wide(&doc, 0, HR_TYPE_WEI, 1, 0, &arena, &cell, &size, NULL), HR_OK);
    HR_CHECK_STR(((hr_str){cell.str, size}), "9");
}

HR_CASE(messages_show_forty_bytes_and_whole_characters) {
    char room[700];
    HR_CHECK_STR(
        coerced(HR_TYPE_BIGINT, "\"123456789012345678901234567890123456789012345\"", room),
        "number out of range: value \"1234567890123456789012345678901234567890...\" does not fit a 64-bit signed "
        "integer column");
    HR_CHECK_STR(
        coerced(HR_TYPE_TEXT,
                "\"\\uf026\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663"
                "\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663\\u0663\"",
                room),
        "not supported natively: value \"\uf026\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663\u0663"
        "\u0663\u0663\u0663\u0663\u0663\u0663...\" starts with dlt's private-use type marker, which is not supported");
}

HR_CASE(text_stays_where_it_is) {
    hr_cell cell;
    uint32_t size;
    decode("\"where\"");
    HR_CHECK_INT(hr__coerce(&doc, 0, HR_TYPE_TEXT, &arena, &cell, &size, NULL), HR_OK);
    HR_CHECK(cell.str == doc.toks[0].as.str);
}

/* Every kind of value that allocates, into every type. */
static int coerce_all(const hr_allocator *alloc) {
    static char long_digits[400], long_base64[20003], long_json[20010];
    static hr_tok toks[24];
    hr_doc made = {.toks = toks};
    const char *const texts[] = {
        "12",      "\u0663", "0x10",       "[1,{\"a\\n\":[\"\\u00e9\"]}]",     "\"a\"",       "{\"a\":1}",
        "\uf0291", "YWJj",   "\uf02bAAE=", "\uf0272024-01-15T10:00:00.000000", "\uf026123.5", "\uf02a0xdead"};
    memset(long_digits, '7', sizeof long_digits);
    memset(long_base64, 'A', sizeof long_base64 - 3);
    memset(long_json, ' ', sizeof long_json);
    memcpy(long_json, "[\"\\n", 4);
    memcpy(long_json + sizeof long_json - 2, "\"]", 2);
    size_t n = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        toks[n++] = (hr_tok){.type = HR_TOK_STRING, .len = (uint32_t)strlen(texts[i]), .as.str = texts[i]};
    }
    toks[n++] = (hr_tok){.type = HR_TOK_STRING, .len = sizeof long_digits, .as.str = long_digits};
    toks[n++] = (hr_tok){.type = HR_TOK_STRING, .len = sizeof long_base64 - 3, .as.str = long_base64};
    toks[n++] = (hr_tok){.type = HR_TOK_STRING, .len = sizeof long_json, .as.str = long_json};
    toks[n++] = (hr_tok){.type = HR_TOK_INT, .as.i = 12};
    toks[n++] = (hr_tok){.type = HR_TOK_DOUBLE, .as.d = 1.5};
    toks[n++] = (hr_tok){.type = HR_TOK_OBJECT, .len = 0, .as.at.next = (uint32_t)n + 1};
    toks[n++] = (hr_tok){.type = HR_TOK_ARRAY, .len = 1, .as.at.next = (uint32_t)n + 2};
    toks[n++] = (hr_tok){.type = HR_TOK_STRING, .len = 7, .as.str = "\uf02bAAE="};
    hr_arena own;
    hr__arena_init(&own, alloc, 0);
    int rc = HR_OK;
    for (size_t at = 0; at < n && rc != HR_MEMORY; at++) {
        for (hr_type type = HR_TYPE_TEXT; type < HR_TYPE_COUNT && rc != HR_MEMORY; type++) {
            hr_cell cell;
            uint32_t size;
            hr_error err = {0};
            rc = hr__coerce(&made, at, type, &own, &cell, &size, &err);
            HR_CHECK(rc == HR_OK || rc == HR_COERCE || err.code == (hr_code)rc);
        }
        hr__arena_free(&own); /* so that each value allocates anew */
        hr__arena_init(&own, alloc, 0);
    }
    hr__arena_free(&own);
    return rc == HR_MEMORY ? HR_MEMORY : HR_OK;
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(coerce_all, 1000);
}

int main(void) {
    hr__arena_init(&arena, &hr__allocator_libc, 0);
    hr__doc_init(&doc, &hr__allocator_libc);
    if (hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc}, &decoder, NULL) != HR_OK) {
        return 1;
    }
    HR_RUN(types_of_values);
    HR_RUN(to_text);
    HR_RUN(to_bigint);
    HR_RUN(to_double);
    HR_RUN(to_bool);
    HR_RUN(to_timestamp);
    HR_RUN(to_date_and_time);
    HR_RUN(to_decimal);
    HR_RUN(to_decimal_text);
    HR_RUN(to_binary);
    HR_RUN(to_json);
    HR_RUN(json_text_nests_as_deep_as_orjson_writes);
    HR_RUN(values_that_no_column_takes);
    HR_RUN(typed_text_is_its_value);
    HR_RUN(private_use_text_that_dlt_cannot_decode_is_text);
    HR_RUN(wide_decimals_are_digits);
    HR_RUN(messages_show_forty_bytes_and_whole_characters);
    HR_RUN(text_stays_where_it_is);
    HR_RUN(every_allocation_may_fail);
    hr__json_decoder_free(decoder);
    hr__doc_free(&doc);
    hr__arena_free(&arena);
    return HR_DONE();
}
