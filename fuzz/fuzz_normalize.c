/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: the fast path gives what the reference gives: schemas, rows, ids, errors. Input: two bytes of settings,
 * then pages, a line each.
 */
#include "../tests/c/normalize/two_ways.h"

#define MAX_PAGES 16

/* Hints for the columns that short keys often get: with and without a type. */
static void seed(hr_schema *schema) {
    static const struct {
        const char *name;
        hr_type type;
        uint8_t flags;
    } columns[] = {{"id", HR_TYPE_UNSET, HR_COL_PRIMARY_KEY},
                   {"a", HR_TYPE_DOUBLE, 0},
                   {"b", HR_TYPE_JSON, 0},
                   {"c", HR_TYPE_TEXT, HR_COL_NOT_NULL},
                   {"t", HR_TYPE_TIMESTAMP, 0}};
    int32_t table, column;
    int rc = hr__schema_add_table(schema, hr__str("r"), -1, &table);
    for (size_t i = 0; i < sizeof columns / sizeof *columns && rc == HR_OK; i++) {
        rc = hr__schema_add_column(schema, table, hr__str(columns[i].name), columns[i].type, columns[i].flags, &column);
    }
    if (rc != HR_OK) {
        abort();
    }
}

/* The same with tables that a key broke out of their chain, with ids of each kind, and columns of text digits. */
static void seed_broken_out(hr_schema *schema) {
    static const char *const names[] = {"r__a", "r__b", "r__a__b", "r__d"};
    int32_t table, column;
    seed(schema);
    int rc = hr__schema_add_column(schema, 0, hr__str("w"), HR_TYPE_WEI, 0, &column);
    for (size_t i = 0; i < sizeof names / sizeof *names && rc == HR_OK; i++) {
        rc = hr__schema_add_table(schema, hr__str(names[i]), -1, &table);
        if (rc == HR_OK) {
            schema->tables[table].id_kind = (uint8_t)(i == 1 ? HR_ID_KEY_HASH : i == 2 ? HR_ID_ROW_HASH : HR_ID_RANDOM);
            rc = hr__schema_add_column(schema, table, hr__str("c"), HR_TYPE_WIDE, HR_COL_PRIMARY_KEY, &column);
        }
    }
    if (rc != HR_OK) {
        abort();
    }
}

/* Row filters, not_null hints and the preferred type json by the last letters of names. */
static int rules(void *ctx, hr_str table, hr_str column, uint8_t *rules_out, hr_error *err) {
    unsigned of_table = (unsigned char)table.data[table.size_bytes - 1];
    unsigned of_column = column.size_bytes == 0 ? 1 : (unsigned char)column.data[column.size_bytes - 1];
    bool own = column.size_bytes > 5 && memcmp(column.data, "_dlt_", 5) == 0;
    (void)ctx;
    (void)err;
    if (of_table % 5 == 0) {
        *rules_out = HR_RULE_LEFT_OUT;
    } else if (own) {
        *rules_out = of_table % 7 == 0 && of_column % 2 == 0 ? HR_RULE_LEFT_OUT : HR_RULE_NOT_NULL;
    } else {
        *rules_out = (uint8_t)((of_column % 5 == 0 ? HR_RULE_LEFT_OUT : 0) |
                               (of_column % 7 == 0 ? HR_RULE_NOT_NULL : 0) | (of_column % 6 == 0 ? HR_RULE_JSON : 0));
    }
    return HR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    static const int32_t nestings[4] = {1000, 0, 1, 2};
    static const size_t lengths[4] = {0, 0, 30, 12};
    static const hr_propagation passed = {.from = {"_dlt_id", 7}, .as = {"_dlt_root_id", 12}};
    if (size_bytes < 2 || size_bytes > 1 << 16) {
        return 0;
    }
    const hr_normalize_options options = {
        .root_table = {"r", 1},
        .load_id = {"1.5", 3},
        .max_nesting = nestings[data[0] & 3],
        .max_length = lengths[data[0] >> 2 & 3],
        .root_key = (data[0] & 16) != 0,
        .id_kind = (data[0] & 32) == 0   ? HR_ID_RANDOM
                   : (data[0] & 64) != 0 ? HR_ID_KEY_HASH
                                         : HR_ID_ROW_HASH,
        .rules = {(data[1] & 4) != 0 ? rules : NULL, NULL},
        .fixed_schema = (data[1] & 128) != 0,
        .propagations = (data[1] & 64) != 0 ? &passed : NULL,
        .n_propagations = (data[1] & 64) != 0,
    };
    hr_str pages[MAX_PAGES];
    size_t n_pages = 0;
    const char *at = (const char *)data + 2, *end = (const char *)data + size_bytes;
    while (n_pages < MAX_PAGES) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        pages[n_pages++] = (hr_str){at, (size_t)((line == NULL ? end : line) - at)};
        if (line == NULL) {
            break;
        }
        at = line + 1;
    }
    bool has_extra = (data[1] & 1) != 0 && n_pages > 1; /* the last page */
    char why[256];
    void (*seeds[4])(hr_schema *) = {NULL, seed, seed_broken_out, seed_broken_out};
    if (!two_ways(&options, seeds[(data[1] & 2) / 2 + (data[1] & 8) / 4], has_extra ? &pages[n_pages - 1] : NULL, pages,
                  n_pages, NULL, why)) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    return 0;
}
