/* SPDX-License-Identifier: Apache-2.0
 *
 * normalize: tables, columns and rows of documents worth a line, the errors' places and texts, limits, what the fast
 * path takes, the fast path against the reference on random documents, failing allocations. (Against dlt itself:
 * tests/py/test_normalize_oracle.py.)
 */
#include "hrtest.h"
#include "two_ways.h"

static const hr_normalize_options plain = {
    .root_table = {"t", 1}, .load_id = {"1.5", 3}, .max_nesting = 1000, .id_kind = HR_ID_RANDOM};

/* "t(id bigint,_dlt_load_id text!)t__x(...)": ! not null, ? only a hint, ~ a variant. */
static hr_str schema_text(const hr_schema *schema, char out[2048]) {
    size_t n = 0;
    for (size_t t = 0; t < schema->n_tables; t++) {
        const hr_table *table = &schema->tables[t];
        n += (size_t)snprintf(out + n, 2048 - n, "%.*s(", (int)table->name.size_bytes, table->name.data);
        for (size_t c = 0; c < table->n_columns; c++) {
            const hr_column *column = &table->columns[c];
            n += (size_t)snprintf(
                out + n, 2048 - n, "%s%.*s %s%s%s", c == 0 ? "" : ",", (int)column->name.size_bytes, column->name.data,
                column->type == HR_TYPE_UNSET ? "?" : hr__type_name((hr_type)column->type),
                (column->flags & HR_COL_NOT_NULL) != 0 ? "!" : "", (column->flags & HR_COL_VARIANT) != 0 ? "~" : "");
        }
        n += (size_t)snprintf(out + n, 2048 - n, ")");
    }
    return (hr_str){out, n};
}

/* Text of a cell of a text column; "" when null. */
static hr_str text_of(const way *w, const char *table, const char *column, size_t row) {
    int32_t t = hr__schema_find(&w->schema, hr__str(table));
    int32_t c = t < 0 ? -1 : hr__schema_find_column(&w->schema, t, hr__str(column));
    HR_CHECK(c >= 0);
    if (c < 0 || !cell_valid(&w->batch.tables[t].columns[c], row)) {
        return hr__str("");
    }
    const hr_batch_column *cells = &w->batch.tables[t].columns[c];
    return (hr_str){cells->cells[row].str, cells->sizes[row]};
}

/* ---------------------------------------------------------------------------------------------------- columns */

#define ROOT "_dlt_load_id text!,_dlt_id text!"
#define LINKS "_dlt_parent_id text!,_dlt_list_idx bigint!,_dlt_id text!"

typedef struct shape_row {
    const char *pages[3];
    const char *schema;
} shape_row;

static const shape_row shape_rows[] = {
    {{"{\"a\":1,\"o1\":{\"x\":1,\"n\":{\"z\":9}},\"b\":2,\"o2\":{\"y\":2},\"c\":3}"}, /* the last object first */
     "t(a bigint,b bigint,c bigint,o2__y bigint,o1__x bigint,o1__n__z bigint," ROOT ")"},
    {{"[{\"a\":null},{\"a\":1}]"}, "t(" ROOT ",a bigint)"}, /* null makes no column */
    {{"{\"a\":{},\"l\":[]}"}, "t(" ROOT ")"},
    {{"{\"Name\":1,\"name\":\"x\"}"}, "t(name text," ROOT ")"},        /* one column: the last value */
    {{"{\"a\":1,\"b\":2,\"a\":true}"}, "t(a bool,b bigint," ROOT ")"}, /* the first place, the last value */
    {{"{\"a\":{\"b\":1},\"a__b\":2}"}, "t(a__b bigint," ROOT ")"},
    {{"[1,null,\"2024-01-15T10:00:00Z\"]"}, "t(value bigint," ROOT ",value__v_text timestamp~)"},
    {{"{\"\":1,\" \":2}"}, "t(_empty bigint," ROOT ")"},
    {{"{\"l\":[1,null]}"}, "t(" ROOT ")t__l(value bigint," LINKS ")"},
    {{"{\"l\":[null]}"}, "t(" ROOT ")t__l(" LINKS ")"},
    {{"{\"l\":[[1],{\"list\":[{\"a\":2}]}]}"},
     "t(" ROOT ")t__l(" LINKS ")t__l__list(value bigint," LINKS ",a bigint)"}, /* one table, two levels */
    {{"{\"k\":1}", "{\"k\":1.5}", "{\"k\":true}"}, "t(k bigint," ROOT ",k__v_double double~,k__v_bool bool~)"},
    {{"{\"k\":1.5}", "{\"k\":2}", "{\"k\":\"x\"}"}, "t(k double," ROOT ",k__v_text text~)"},
    {{"{\"k\":1}", "{\"k\":\"x\",\"k__v_text\":\"y\"}"}, "t(k bigint," ROOT ",k__v_text text)"},
    {{"{\"_dlt_id\":\"own\",\"a\":1}"}, "t(_dlt_id text!,a bigint,_dlt_load_id text!)"},
    {{"{\"_dlt_parent_id\":\"p\"}"}, "t(_dlt_parent_id text!," ROOT ")"},
    {{"{\"a\":{\"l\":[1]}}", "{\"a__l\":[2]}"}, "t(" ROOT ")t__a__l(value bigint," LINKS ")"},
};

HR_CASE(tables_and_columns_come_in_dlts_order) {
    for (size_t i = 0; i < sizeof shape_rows / sizeof *shape_rows; i++) {
        for (int reference = 0; reference < 2; reference++) {
            way w;
            char text[2048];
            hr_normalize_options options = plain;
            options.reference_only = reference == 1;
            way_init(&w, &hr__allocator_libc);
            HR_CHECK_INT(way_start(&w, &options), HR_OK);
            for (size_t p = 0; p < 3 && shape_rows[i].pages[p] != NULL; p++) {
                HR_CHECK_INT(way_page(&w, hr__str(shape_rows[i].pages[p]), NULL, p), HR_OK);
            }
            HR_CHECK_STR(schema_text(&w.schema, text), shape_rows[i].schema);
            way_free(&w);
        }
    }
}

HR_CASE(nesting_limit_leaves_json_text) {
    static const char *const want[] = {"t(o json,l json," ROOT ")",
                                       "t(o__p json," ROOT ")t__l(value bigint," LINKS ",a json)"};
    for (int32_t level = 0; level < 2; level++) {
        way w;
        char text[2048];
        hr_normalize_options options = plain;
        options.max_nesting = level;
        way_init(&w, &hr__allocator_libc);
        HR_CHECK_INT(way_start(&w, &options), HR_OK);
        hr_str page = hr__str("{\"o\": {\"p\": {\"x\": 1e16}}, \"l\": [1, {\"a\": [{\"b\": 0, \"b\": \"\\u00e9\"}]}]}");
        HR_CHECK_INT(way_page(&w, page, NULL, 0), HR_OK);
        HR_CHECK_STR(schema_text(&w.schema, text), want[level]);
        if (level == 0) {
            HR_CHECK_STR(text_of(&w, "t", "l", 0), "[1,{\"a\":[{\"b\":\"\xC3\xA9\"}]}]");
        } else {
            HR_CHECK_STR(text_of(&w, "t", "o__p", 0), "{\"x\":1e+16}");
        }
        way_free(&w);
    }
}

/* ---------------------------------------------------------------------------------------------------- ids */

HR_CASE(ids_and_links_are_dlts) {
    way w;
    hr_normalize_options options = plain;
    options.root_key = true;
    way_init(&w, &hr__allocator_libc);
    HR_CHECK_INT(way_start(&w, &options), HR_OK);
    HR_CHECK_INT(way_page(&w, hr__str("{\"_dlt_id\":\"abc\",\"items\":[{\"tags\":[1]}]}"), NULL, 0), HR_OK);
    HR_CHECK_STR(text_of(&w, "t", "_dlt_id", 0), "abc");
    HR_CHECK_STR(text_of(&w, "t", "_dlt_load_id", 0), "1.5");
    HR_CHECK_STR(text_of(&w, "t__items", "_dlt_parent_id", 0), "abc");
    HR_CHECK_STR(text_of(&w, "t__items__tags", "_dlt_root_id", 0), "abc");
    hr_str parent = text_of(&w, "t__items", "_dlt_id", 0);
    hr_str link = text_of(&w, "t__items__tags", "_dlt_parent_id", 0);
    HR_CHECK(hr__str_eq(parent, link));
    way_free(&w);
}

static void key_seed(hr_schema *schema) {
    int32_t table, column;
    HR_CHECK_INT(hr__schema_add_table(schema, hr__str("t"), -1, &table), HR_OK);
    HR_CHECK_INT(hr__schema_add_column(schema, table, hr__str("id"), HR_TYPE_UNSET,
                                       HR_COL_PRIMARY_KEY | HR_COL_NOT_NULL, &column),
                 HR_OK);
}

HR_CASE(key_hash_and_row_hash_are_dlts) { /* check values: dlt-semantics rule 42 */
    for (int reference = 0; reference < 2; reference++) {
        way w;
        hr_normalize_options options = plain;
        options.reference_only = reference == 1;
        options.id_kind = HR_ID_KEY_HASH;
        way_init(&w, &hr__allocator_libc);
        key_seed(&w.schema);
        HR_CHECK_INT(way_start(&w, &options), HR_OK);
        HR_CHECK_INT(way_page(&w, hr__str("[{\"id\":7},{\"x\":2,\"id\":1}]"), NULL, 0), HR_OK);
        HR_CHECK_STR(text_of(&w, "t", "_dlt_id", 1), "z5jIxXIbUnmbKw");
        char text[2048];
        HR_CHECK_STR(schema_text(&w.schema, text), "t(id ?!,id bigint!," ROOT ",x bigint)");
        HR_CHECK_INT(way_page(&w, hr__str("[{\"id\":7},{\"x\":2}]"), NULL, 0), HR_NULL_VALUE);
        HR_CHECK_INT(w.err.record, 1);
        HR_CHECK_INT(w.err.offset_bytes, 10);
        HR_CHECK_STR(hr__str(w.err.column), "id");
        way_free(&w);
        options.id_kind = HR_ID_ROW_HASH;
        way_init(&w, &hr__allocator_libc);
        HR_CHECK_INT(way_start(&w, &options), HR_OK);
        hr_str page = hr__str("[{\"b\":1,\"a\":{\"y\":\"\xC3\xA9\"},\"_dlt_x\":0},"
                              "{\"b\":1,\"a\":{\"z\":1.0,\"y\":\"\xC3\xA9\"},\"_dlt_x\":\"zz\"}]");
        HR_CHECK_INT(way_page(&w, page, NULL, 0), HR_OK);
        HR_CHECK_STR(text_of(&w, "t", "_dlt_id", 1), "KX9dSmtow6p6ug");
        way_free(&w);
    }
}

/* t and t__l, which a key broke out of its chain. */
static void broken_out_seed(hr_schema *schema) {
    int32_t table, column;
    if (hr__schema_add_table(schema, hr__str("t"), -1, &table) != HR_OK ||
        hr__schema_add_table(schema, hr__str("t__l"), -1, &table) != HR_OK ||
        hr__schema_add_column(schema, table, hr__str("value"), HR_TYPE_UNSET, HR_COL_PRIMARY_KEY, &column) != HR_OK) {
        schema->max_tables = 0; /* every test after it fails */
    }
}

static const hr_propagation root_ids[] = {{{"t", 1}, {"_dlt_id", 7}, {"_dlt_root_id", 12}},
                                          {{"t__l", 4}, {"_dlt_id", 7}, {"_dlt_root_id", 12}}};

HR_CASE(a_table_broken_out_has_ids_of_its_own) {
    const hr_str page = hr__str("[{\"_dlt_id\":\"r\",\"l\":[{\"_dlt_id\":\"own\",\"k\":[1]},2,[3]]}]");
    for (int reference = 0; reference < 2; reference++) {
        way w;
        char text[2048];
        hr_normalize_options options = plain;
        options.reference_only = reference == 1;
        options.propagations = root_ids;
        options.n_propagations = 2;
        way_init(&w, &hr__allocator_libc);
        broken_out_seed(&w.schema);
        HR_CHECK_INT(way_start(&w, &options), HR_OK);
        for (uint64_t p = 0; p < 2; p++) {
            HR_CHECK_INT(way_page(&w, page, NULL, p), HR_OK);
            HR_CHECK_STR(text_of(&w, "t__l", "_dlt_id", 0), "own");
            HR_CHECK_INT(text_of(&w, "t__l", "_dlt_id", 1).size_bytes, 14);
            HR_CHECK_STR(text_of(&w, "t__l", "_dlt_root_id", 1), "r");
            HR_CHECK_STR(text_of(&w, "t__l", "_dlt_load_id", 2), "1.5");
            HR_CHECK_STR(text_of(&w, "t__l__k", "_dlt_root_id", 0), "own");
            HR_CHECK_STR(text_of(&w, "t__l__k", "_dlt_parent_id", 0), "own");
            int32_t table = hr__schema_find(&w.schema, hr__str("t__l"));
            int32_t load_id = hr__schema_find_column(&w.schema, table, hr__str("_dlt_load_id"));
            HR_CHECK(!w.batch.tables[table].columns[load_id].valid[1]); /* a scalar has none */
        }
        HR_CHECK_STR(schema_text(&w.schema, text),
                     "t(_dlt_id text!,_dlt_load_id text!)"
                     "t__l(value ?,_dlt_id text!,_dlt_root_id text!,_dlt_load_id text!,value bigint)"
                     "t__l__k(value bigint,_dlt_root_id text!,_dlt_parent_id text!,_dlt_list_idx bigint!,_dlt_id text!)"
                     "t__l__list(value bigint,_dlt_root_id text!,_dlt_parent_id text!,_dlt_list_idx bigint!,"
                     "_dlt_id text!)");
        way_free(&w);
    }
}

HR_CASE(columns_are_passed_to_rows_below) {
    static const hr_propagation passed[] = {{{NULL, 0}, {"n", 1}, {"of", 2}},
                                            {{"t__c", 4}, {"n", 1}, {"of", 2}},
                                            {{NULL, 0}, {"_dlt_load_id", 12}, {"load", 4}}};
    way w;
    hr_normalize_options options = plain;
    options.propagations = passed;
    options.n_propagations = 3;
    way_init(&w, &hr__allocator_libc);
    HR_CHECK_INT(way_start(&w, &options), HR_OK);
    HR_CHECK_INT(way_page(&w, hr__str("[{\"n\":\"a\",\"c\":[{\"d\":[1]},{\"n\":\"b\",\"d\":[2]}]}]"), NULL, 0), HR_OK);
    HR_CHECK_STR(text_of(&w, "t__c", "of", 1), "a");
    HR_CHECK_STR(text_of(&w, "t__c__d", "of", 0), "a");
    HR_CHECK_STR(text_of(&w, "t__c__d", "of", 1), "b");
    HR_CHECK_STR(text_of(&w, "t__c__d", "load", 1), "1.5");
    way_free(&w);
}

HR_CASE(row_hash_is_over_what_extra_adds) {
    way with, without;
    hr_normalize_options options = plain;
    options.id_kind = HR_ID_ROW_HASH;
    way_init(&with, &hr__allocator_libc);
    way_init(&without, &hr__allocator_libc);
    HR_CHECK_INT(way_start(&with, &options), HR_OK);
    HR_CHECK_INT(way_start(&without, &options), HR_OK);
    HR_CHECK_INT(way_extra(&with, hr__str("{\"c\":{\"z\":1,\"y\":2},\"a\":9}")), HR_OK);
    HR_CHECK_INT(way_page(&with, hr__str("{\"b\":1,\"a\":[1,2]}"), NULL, 0), HR_OK);
    HR_CHECK_INT(way_page(&without, hr__str("{\"a\":9,\"c\":{\"y\":2,\"z\":1},\"b\":1}"), NULL, 0), HR_OK);
    HR_CHECK(hr__str_eq(text_of(&with, "t", "_dlt_id", 0), text_of(&without, "t", "_dlt_id", 0)));
    way_free(&with);
    way_free(&without);
}

HR_CASE(long_names_are_hashed_too) {
    static char page[3000];
    char key[501], why[256];
    memset(key, 'k', 500);
    key[500] = 0;
    snprintf(page, sizeof page, "[{\"%s\":[{\"%s\":[1,2,3,4,5]}]}]", key, key);
    const hr_str pages[] = {hr__str(page), hr__str(page)};
    uint64_t fast = 0;
    HR_CHECK(two_ways(&plain, NULL, NULL, pages, 2, &fast, why));
    HR_CHECK_INT(fast, 1);
}

/* ---------------------------------------------------------------------------------------------------- errors */

typedef struct error_row {
    const char *page;
    int code;
    int64_t record, offset;
    const char *table, *column, *message;
} error_row;

static const error_row error_rows[] = {
    {"[{\"a\":1},{\"a\":\"2024-01-15T10:00:00Z\"},{\"a\":\"x\"}]", HR_COERCE, 2, 38, "t", "a__v_text",
     "a text value fits neither its column nor its variant column"},
    {"[1, {\"_dlt_load_id\":1, \"_dlt_root_id\": null}]", HR_NULL_VALUE, 1, 4, "t", "_dlt_root_id",
     "null in a column that is not nullable"},
    {"[{\"l\":[{\"_dlt_id\":\"x\"}]}]", HR_NULL_VALUE, 0, 1, "t__l", "_dlt_id",
     "the data brings its own _dlt_id: dlt then gives the row no link to its parent"},
    {"[{\"_dlt_id\":5}]", HR_UNSUPPORTED, 0, 1, "t", "_dlt_id",
     "the data brings its own _dlt_id, which is not text: not supported natively"},
    {"[{\"__\":5}]", HR_UNSUPPORTED, 0, 1, "t", "", "a key gives a column without a name"},
    {"[{\"a\":18446744073709551615}]", HR_RANGE, 0, 1, "t", "a",
     "integer 18446744073709551615 does not fit a 64-bit signed integer column"},
    {"[{\"a\":1},{\"a\":{\"x\\ud83d\":null}}]", HR_ENCODING, 1, 9, "t", "",
     "a key holds a lone surrogate, which is not text"},
    {"[{\"a\":{\" \":[1]}}, {\"\":[1]}]", HR_UNSUPPORTED, 1, 18, "t", "",
     "a list under a blank key would become rows of its own parent table: not supported natively"},
    {"[{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9}]", HR_LIMIT, 0, 1, "t", "",
     "more than 3 tables or 8 columns in a table"},
    {"[{\"a\":[1],\"b\":[1]},{\"c\":[1]}]", HR_LIMIT, 1, 19, "t__c", "", "more than 3 tables or 8 columns in a table"},
};

HR_CASE(errors_tell_where) {
    for (size_t i = 0; i < sizeof error_rows / sizeof *error_rows; i++) {
        const error_row *row = &error_rows[i];
        for (int reference = 0; reference < 2; reference++) {
            way w;
            hr_normalize_options options = plain;
            options.reference_only = reference == 1;
            way_init(&w, &hr__allocator_libc);
            w.schema.max_columns = 8;
            w.schema.max_tables = 3;
            HR_CHECK_INT(way_start(&w, &options), HR_OK);
            HR_CHECK_INT(way_page(&w, hr__str(row->page), NULL, 0), row->code);
            HR_CHECK_STR(hr__str(w.err.message), row->message);
            HR_CHECK_STR(hr__str(w.err.table), row->table);
            HR_CHECK_STR(hr__str(w.err.column), row->column);
            HR_CHECK_INT(w.err.stage, HR_STAGE_NORMALIZE);
            HR_CHECK_INT(w.err.record, row->record);
            HR_CHECK_INT(w.err.offset_bytes, row->offset);
            HR_CHECK_INT(way_page(&w, hr__str(row->page), NULL, 1), row->code); /* it may be tried again */
            HR_CHECK_STR(hr__str(w.err.message), row->message);
            way_free(&w);
        }
    }
}

HR_CASE(deep_documents_do_not_overflow_the_stack) {
    enum { DEPTH = 500 };
    static char page[DEPTH * 12 + 64];
    size_t n = 0;
    for (int i = 0; i < DEPTH; i++) {
        n += (size_t)snprintf(page + n, sizeof page - n, "{\"a\":[");
    }
    for (int i = 0; i < DEPTH; i++) {
        n += (size_t)snprintf(page + n, sizeof page - n, "]}");
    }
    way w;
    way_init(&w, &hr__allocator_libc);
    HR_CHECK_INT(way_start(&w, &plain), HR_OK);
    HR_CHECK_INT(way_page(&w, (hr_str){page, n}, NULL, 0), HR_OK);
    HR_CHECK_INT(w.schema.n_tables, DEPTH);
    HR_CHECK_INT(way_page(&w, (hr_str){page, n}, NULL, 0), HR_OK);
    HR_CHECK_INT(hr__batch_rows(&w.batch), DEPTH);
    way_free(&w);
}

/* ---------------------------------------------------------------------------------------------------- the fast path */

typedef struct fast_row {
    const char *pages[2];
    uint64_t fast; /* records of page 2 and those of page 1 that the fast path makes */
} fast_row;

static const fast_row fast_rows[] = {
    {{"[{\"a\":1,\"b\":{\"c\":2},\"l\":[{\"x\":1},2,[3]]}]", "[{\"l\":[[4,null]],\"b\":null,\"a\":null},{\"a\":2},{}]"},
     3},
    {{"[{\"k\":1},{\"k\":\"x\"},{\"k\":\"y\"},{\"k\":2},{\"k\":null}]"}, 3}, /* variants are taken */
    {{"[{\"k\":\"x\"},{\"k\":1},{\"k\":2.5},{\"k\":true}]"}, 3},             /* coerced in place */
    {{"[{\"a\":null},{\"a\":1},{\"a\":2}]"}, 1},
    {{"[{\"t\":\"2024-01-15T10:00:00Z\"},{\"t\":\"2024-01-16\"},{\"t\":5}]"}, 2},
    {{"[{\"A\":1},{\"a\":1},{\"A\":2}]"}, 0}, /* two keys of one column */
    {{"[{\"a\":1,\"a\":2},{\"a\":1},{\"a\":1,\"a\":2}]"}, 1},
};

HR_CASE(the_fast_path_takes_what_was_learned) {
    for (size_t i = 0; i < sizeof fast_rows / sizeof *fast_rows; i++) {
        const fast_row *row = &fast_rows[i];
        const hr_str pages[2] = {hr__str(row->pages[0]), hr__str(row->pages[1] == NULL ? "[]" : row->pages[1])};
        char why[256] = "";
        uint64_t fast = 0;
        HR_CHECK(two_ways(&plain, NULL, NULL, pages, 2, &fast, why));
        HR_CHECK_STR(hr__str(why), "");
        HR_CHECK_INT(fast, row->fast);
    }
}

HR_CASE(a_synced_schema_is_found_without_forgetting) {
    way w, other;
    way_init(&w, &hr__allocator_libc);
    way_init(&other, &hr__allocator_libc);
    HR_CHECK_INT(way_start(&w, &plain), HR_OK);
    HR_CHECK_INT(way_start(&other, &plain), HR_OK);
    HR_CHECK_INT(way_page(&w, hr__str("[{\"a\":1,\"n\":null,\"l\":[]}]"), NULL, 0), HR_OK);
    HR_CHECK_INT(hr__schema_sync(&other.schema, &w.schema), HR_OK);
    HR_CHECK_INT(way_page(&other, hr__str("[{\"n\":1},{\"n\":\"x\"}]"), NULL, 0), HR_OK);
    HR_CHECK_INT(hr__schema_sync(&w.schema, &other.schema), HR_OK);
    HR_CHECK_INT(way_page(&w, hr__str("[{\"a\":1,\"n\":2},{\"n\":\"y\"},{\"n\":\"z\"}]"), NULL, 1), HR_OK);
    hr_normalize_stats stats;
    hr__normalizer_stats(w.normalizer, &stats);
    HR_CHECK_INT(stats.fast_records, 3);
    HR_CHECK_STR(text_of(&w, "t", "n__v_text", 2), "z");
    way_free(&w);
    way_free(&other);
}

HR_CASE(records_not_kept_leave_nothing) {
    way w;
    char text[2048];
    const uint8_t keep[] = {0, 1, 0};
    way_init(&w, &hr__allocator_libc);
    HR_CHECK_INT(way_start(&w, &plain), HR_OK);
    HR_CHECK_INT(way_page(&w, hr__str("[{\"a\":1},{\"b\":1},{\"c\":[1]}]"), keep, 0), HR_OK);
    HR_CHECK_STR(schema_text(&w.schema, text), "t(b bigint," ROOT ")");
    HR_CHECK_INT(w.batch.tables[0].n_rows, 1);
    way_free(&w);
}

/* ---------------------------------------------------------------------------------------------------- random documents
 */

static uint32_t random_state;

static uint32_t pick(uint32_t n) {
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static void put(hr_buf *out, const char *text) {
    HR_CHECK_INT(hr__buf_append_str(out, text), HR_OK);
}

static void put_value(hr_buf *out, int depth) {
    static const char *const keys[] = {"\"a\"", "\"A\"",       "\"b\"",     "\"id\"",     "\"a__b\"",      "\"list\"",
                                       "\"l\"", "\"\\u00e9\"", "\"value\"", "\"_dlt_x\"", "\"a__v_text\"", "\"k k\""};
    static const char *const scalars[] = {"null", "true",  "0",       "1.5",   "\"x\"", "\"2024-01-15T10:00:00Z\"",
                                          "\"\"", "false", "\"1\"",   "-7",    "1e300", "\"\\n\\ud83c\\udf89\"",
                                          "2.0",  "1e400", "\"12 \"", "\"no\""};
    uint32_t kind = depth <= 0 ? 0 : pick(10);
    if (kind < 6) {
        put(out, scalars[pick(4) == 0 ? pick(sizeof scalars / sizeof *scalars) : pick(5)]);
        return;
    }
    bool object = kind < 8;
    put(out, object ? "{" : "[");
    for (uint32_t i = 0, n = pick(5); i < n; i++) {
        put(out, i == 0 ? "" : ",");
        if (object) {
            put(out, keys[pick(sizeof keys / sizeof *keys)]);
            put(out, ":");
        }
        put_value(out, depth - 1);
    }
    put(out, object ? "}" : "]");
}

static hr_buf random_page(uint32_t n_records, int depth) {
    hr_buf out;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    put(&out, "[");
    for (uint32_t i = 0; i < n_records; i++) {
        put(&out, i == 0 ? "{\"n\":" : ",{\"n\":");
        put_value(&out, 0);
        put(&out, ",\"o\":");
        put_value(&out, depth);
        put(&out, ",\"o2\":");
        put_value(&out, depth);
        put(&out, "}");
    }
    put(&out, "]");
    return out;
}

HR_CASE(random_documents_are_the_same_both_ways) {
    uint64_t n_fast = 0;
    for (uint32_t seed = 0; seed < 1500; seed++) {
        random_state = seed * 7919;
        hr_buf bufs[3];
        hr_str pages[3];
        for (int p = 0; p < 3; p++) {
            bufs[p] = random_page(6, (int)(seed % 5));
            pages[p] = (hr_str){bufs[p].data, bufs[p].size_bytes};
        }
        hr_normalize_options options = plain;
        options.max_nesting = seed % 3 == 0 ? (int32_t)(seed % 4) : 1000;
        options.root_key = seed % 2 == 0;
        options.max_length = seed % 7 == 0 ? 12 : 0;
        options.id_kind = seed % 5 == 0 ? HR_ID_ROW_HASH : HR_ID_RANDOM;
        options.propagations = root_ids;
        options.n_propagations = seed % 13 < 2 ? seed % 13 + 1 : 0;
        const hr_str extra = hr__str("{\"n\":\"p\",\"extra\":[1]}");
        char why[256] = "";
        uint64_t fast = 0;
        HR_CHECK(two_ways(&options,
                          seed % 11 == 0  ? key_seed
                          : seed % 13 < 4 ? broken_out_seed
                                          : NULL,
                          seed % 4 == 0 ? &extra : NULL, pages, 3, &fast, why));
        if (why[0] != 0) {
            printf("  seed %u: %s\n  %.*s\n", seed, why, (int)pages[0].size_bytes, pages[0].data);
        }
        n_fast += fast;
        for (int p = 0; p < 3; p++) {
            hr__buf_free(&bufs[p]);
        }
    }
    HR_CHECK(n_fast > 5000);
}

/* ---------------------------------------------------------------------------------------------------- allocations */

static int sweep(const hr_allocator *alloc, bool reference_only) {
    static const char *const pages[] = {
        "[{\"id\":1,\"o\":{\"x\":1.5,\"p\":{}},\"l\":[1,{\"a\":\"b\"},[2]],\"n\":null},{\"id\":\"x\",\"c1\":1,\"c2\":2}"
        "]",
        "[{\"id\":2,\"o\":{\"x\":1},\"l\":[{\"a\":5}]},{\"id\":\"y\",\"new\":[{\"z\":[]},{\"z\":[1,2,3,4,5]}]}]"};
    way w;
    hr_normalize_options options = plain;
    options.reference_only = reference_only;
    options.root_key = true;
    options.id_kind = HR_ID_ROW_HASH;
    options.propagations = root_ids;
    options.n_propagations = 2;
    way_init(&w, alloc);
    broken_out_seed(&w.schema);
    int rc = w.schema.max_tables == 0 ? HR_MEMORY : way_start(&w, &options);
    rc = rc == HR_OK ? way_extra(&w, hr__str("{\"parent\":{\"k\":[1]},\"n\":1}")) : rc;
    for (size_t p = 0; p < 2 && rc == HR_OK; p++) {
        rc = way_page(&w, hr__str(pages[p]), NULL, p);
    }
    way_free(&w);
    return rc;
}

static int sweep_fast(const hr_allocator *alloc) {
    return sweep(alloc, false);
}

static int sweep_reference(const hr_allocator *alloc) {
    return sweep(alloc, true);
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(sweep_fast, 5000);
    hrtest_sweep(sweep_reference, 5000);
}

int main(void) {
    HR_RUN(tables_and_columns_come_in_dlts_order);
    HR_RUN(nesting_limit_leaves_json_text);
    HR_RUN(ids_and_links_are_dlts);
    HR_RUN(key_hash_and_row_hash_are_dlts);
    HR_RUN(a_table_broken_out_has_ids_of_its_own);
    HR_RUN(columns_are_passed_to_rows_below);
    HR_RUN(row_hash_is_over_what_extra_adds);
    HR_RUN(long_names_are_hashed_too);
    HR_RUN(errors_tell_where);
    HR_RUN(deep_documents_do_not_overflow_the_stack);
    HR_RUN(the_fast_path_takes_what_was_learned);
    HR_RUN(a_synced_schema_is_found_without_forgetting);
    HR_RUN(records_not_kept_leave_nothing);
    HR_RUN(random_documents_are_the_same_both_ways);
    HR_RUN(every_allocation_may_fail);
    return HR_DONE();
}
