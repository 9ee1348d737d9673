/* SPDX-License-Identifier: Apache-2.0
 *
 * naming: dlt-semantics rules 10 to 17 by table. (Random names are compared with dlt in tests/py/test_leaf_oracle.py.)
 */
#include "hrtest.h"
#include "naming.h"

static hr_arena arena;

static hr_str column(const char *key, size_t max_length) {
    hr_str name = {0};
    HR_CHECK_INT(hr__name_column(&arena, hr__str(key), max_length, &name), HR_OK);
    return name;
}

static hr_str path(const char *text, size_t max_length) {
    hr_str name = {0};
    HR_CHECK_INT(hr__name_path(&arena, hr__str(text), max_length, &name), HR_OK);
    return name;
}

HR_CASE(keys_become_snake_case) {
    static const struct {
        const char *key, *want;
    } cases[] = {
        {"id", "id"},
        {"Camel Case", "camel_case"},
        {"HTTPResponse", "http_response"},
        {"userID", "user_id"},
        {"ABCd", "ab_cd"},
        {"TestHTTPResponseCode2XX", "test_http_response_code2_xx"},
        {"aBcDe", "a_bc_de"}, /* matches do not overlap: "aBc", then "De" */
        {"aBCdE", "a_b_cd_e"},
        {"A-B+C@D|E*F", "a_bx_ca_dl_ex_f"},
        {"a.b", "a_b"},
        {"a .- b", "a_b"}, /* '-' becomes '_' first, then "__" one '_' */
        {"1st", "_1st"},
        {"\u0663a", "_\u0663a"}, /* a digit of any script stays, also in front */
        {"a\u0663", "a\u0663"},
        {"_x_", "_xx"}, /* underscores at the end become x each */
        {"\u00e9", "x"},
        {"\u65e5\u672c", "x"}, /* one '_' for the run, then x */
        {"a\u65e5b", "a_b"},
        {" \u00a0a\u3000", "a"},   /* stripped as str.strip */
        {"\u200ba", "_a"},         /* a zero-width space is not white space */
        {"a\xED\xA0\x80z", "a_z"}, /* a lone surrogate as any other character */
        {"A", "a"},
        {"Z9", "z9"},
        {"9Z", "_9_z"},
        {"$", "x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HR_CHECK_STR(column(cases[i].key, 0), cases[i].want);
    }
}

HR_CASE(double_underscores_split_a_path) {
    static const struct {
        const char *text, *path, *column;
    } cases[] = {
        {"", "", "_empty"},
        {" \t", "", "_empty"},
        {"\u3000", "", "_empty"},
        {"__", "", ""}, /* not blank, and no part: dlt's empty name */
        {"_", "x", "x"},
        {"___", "x", "x"},
        {"____", "", ""},
        {"x__", "x", "x"},
        {"__x", "x", "x"},
        {"a____b", "a__b", "a__b"},
        {"a___b", "a___b", "a___b"}, /* parts a and _b */
        {"a__ __b", "a__b", "a__b"},
        {"Ab__cD", "ab__c_d", "ab__c_d"},
        {"a__1", "a___1", "a___1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HR_CHECK_STR(path(cases[i].text, 0), cases[i].path);
        HR_CHECK_STR(column(cases[i].text, 0), cases[i].column);
    }
}

HR_CASE(long_names_keep_both_ends_and_a_tag) {
    char x70[71] = {0}, e40[81] = {0};
    memset(x70, 'x', 70);
    for (size_t i = 0; i < 40; i++) {
        memcpy(e40 + 2 * i, "\u0663", 2);
    }
    HR_CHECK_STR(column(x70, 63), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxuaqhmqxxxxxxxxxxxxxxxxxxxxxxxxxxxx"); /* 29 + 6 + 28 */
    HR_CHECK_STR(column(x70, 70), x70);
    HR_CHECK_INT(column(x70, 69).size_bytes, 69);
    HR_CHECK_INT(column(e40, 41).size_bytes, 81); /* counted in characters: "_" and 40 */
    HR_CHECK_INT(column(e40, 40).size_bytes, 17 * 2 - 1 + 6 + 17 * 2);
    /* The tag is of the text as it came (its part, stripped), so names alike have different tags. */
    HR_CHECK(!hr__str_eq(column("AAAAAAAAAAAAAAAA", 10), column("aaaaaaaaaaaaaaaa", 10)));
}

HR_CASE(joined_parts_leave_blanks_out) {
    const hr_str parts[] = {hr__str("items"), hr__str(""), hr__str("a"), hr__str(" "), hr__str("b_")};
    hr_str name;
    HR_CHECK_INT(hr__name_join(&arena, parts, 5, 0, &name), HR_OK);
    HR_CHECK_STR(name, "items__a__b_"); /* parts are taken as they are */
    HR_CHECK_INT(hr__name_join(&arena, parts + 1, 1, 0, &name), HR_OK);
    HR_CHECK_STR(name, "");
    HR_CHECK_INT(hr__name_join(&arena, parts, 0, 0, &name), HR_OK);
    HR_CHECK_STR(name, "");
    HR_CHECK_INT(hr__name_join(&arena, parts, 5, 10, &name), HR_OK);
    HR_CHECK_INT(name.size_bytes, 10);
}

HR_CASE(blank_is_pythons_isspace) {
    HR_CHECK(hr__name_is_blank(hr__str("")));
    HR_CHECK(hr__name_is_blank((hr_str){NULL, 0}));
    HR_CHECK(
        hr__name_is_blank(hr__str(" \t\n\v\f\r\x1c\x1d\x1e\x1f\xC2\x85\u00a0\u1680\u2003\u2028\u202f\u205f\u3000")));
    HR_CHECK(!hr__name_is_blank(hr__str(" a ")));
    HR_CHECK(!hr__name_is_blank(hr__str("\u200b")));
    HR_CHECK(!hr__name_is_blank(hr__str("\ufeff")));
    HR_CHECK(!hr__name_is_blank((hr_str){"\0", 1}));
}

static int all_names(const hr_allocator *alloc) {
    hr_arena own;
    hr__arena_init(&own, alloc, 0);
    char key[3000];
    memset(key, 'k', sizeof key);
    memcpy(key + 1000, "__", 2);
    hr_str name, parts[2] = {hr__str("a"), {key, sizeof key}};
    int rc = hr__name_column(&own, parts[1], 63, &name);
    rc = rc != HR_OK ? rc : hr__name_path(&own, parts[1], 0, &name);
    rc = rc != HR_OK ? rc : hr__name_join(&own, parts, 2, 30, &name);
    hr__arena_free(&own);
    return rc;
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(all_names, 100);
}

int main(void) {
    hr__arena_init(&arena, &hr__allocator_libc, 0);
    HR_RUN(keys_become_snake_case);
    HR_RUN(double_underscores_split_a_path);
    HR_RUN(long_names_keep_both_ends_and_a_tag);
    HR_RUN(joined_parts_leave_blanks_out);
    HR_RUN(blank_is_pythons_isspace);
    HR_RUN(every_allocation_may_fail);
    hr__arena_free(&arena);
    return HR_DONE();
}
