/* SPDX-License-Identifier: Apache-2.0
 *
 * decode and normalize from a file, for tests against dlt (tests/py/test_normalize_oracle.py). stdin or the file
 * argv[1] holds JSON lines: a case's settings, then its pages.
 *
 *   {"table": "items", "load_id": "1.5", "max_nesting": 1000, "max_length": 0, "root_key": false, "id_kind": "random",
 *    "reference_only": false, "seed": 7, "n_pages": 1, "max_columns": 0, "max_tables": 0,
 *    "tables": [{"name": "items", "parent": null, "max_nesting": null,
 *                "columns": [{"name": "id", "type": "bigint" or "", "not_null": true, "primary_key": true,
 *                             "variant": false}]}]}
 *   [{"id": 1}]                                        a page: records
 *   {"records": [{"id": 2}], "keep": [1], "extra": {}} or with settings
 *
 * A case gives one line: {"tables": [{"name", "parent", "columns": [[name, type, not_null, variant]], "rows": [{}]}],
 * "fast": n, "error": null or {"code", "record", "offset", "table", "column", "message"}}. Rows hold what is not null,
 * timestamps and times as microseconds, dates as days, JSON columns as text, binary as hexadecimal digits, doubles that
 * are not finite as text.
 */
#include "doc_write.h"
#include "json.h"
#include "normalize.h"
#include "number.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const hr_allocator *const alloc = &hr__allocator_libc;

/* The rows of one table so far, as JSON text. */
typedef struct rows_text {
    hr_buf text;
} rows_text;

typedef struct test_case {
    hr_normalize_options options;
    hr_schema schema;
    hr_batch batch;
    hr_normalizer *normalizer;
    rows_text *tables;
    size_t n_tables, cap_tables;
    int64_t n_pages;
} test_case;

static void must(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "normalize_tool: %s\n", what);
        exit(2);
    }
}

static void put(hr_buf *out, hr_str text) {
    must(hr__buf_append(out, text.data, text.size_bytes) == HR_OK, "out of memory");
}

static void put_string(hr_buf *out, hr_str text) {
    hr_error err;
    must(hr__doc_write_string(text, HR_WRITE_LENIENT, out, &err) == HR_OK, "a string cannot be written");
}

static void put_int(hr_buf *out, int64_t value) {
    char text[24];
    put(out, (hr_str){text, hr__int_repr(value, text)});
}

/* ---------------------------------------------------------------------------------------------------- settings */

static int64_t int_of(const hr_doc *doc, size_t object, const char *name, int64_t otherwise) {
    size_t at = hr__doc_member(doc, object, hr__str(name));
    return at == SIZE_MAX || doc->toks[at].type != HR_TOK_INT ? otherwise : doc->toks[at].as.i;
}

static bool bool_of(const hr_doc *doc, size_t object, const char *name) {
    size_t at = hr__doc_member(doc, object, hr__str(name));
    return at != SIZE_MAX && doc->toks[at].type == HR_TOK_TRUE;
}

static hr_str str_of(const hr_doc *doc, size_t object, const char *name, const char *otherwise) {
    size_t at = hr__doc_member(doc, object, hr__str(name));
    return at == SIZE_MAX || doc->toks[at].type != HR_TOK_STRING ? hr__str(otherwise)
                                                                 : (hr_str){doc->toks[at].as.str, doc->toks[at].len};
}

static void seed_columns(hr_schema *schema, int32_t table, const hr_doc *doc, size_t columns) {
    size_t at = columns + 1;
    for (uint32_t i = 0; i < doc->toks[columns].len; i++) {
        uint8_t flags = 0;
        flags |= bool_of(doc, at, "not_null") ? HR_COL_NOT_NULL : 0;
        flags |= bool_of(doc, at, "primary_key") ? HR_COL_PRIMARY_KEY : 0;
        flags |= bool_of(doc, at, "variant") ? HR_COL_VARIANT : 0;
        int32_t column;
        must(hr__schema_add_column(schema, table, str_of(doc, at, "name", ""),
                                   hr__type_of_name(str_of(doc, at, "type", "")), flags, &column) == HR_OK,
             "a column cannot be added");
        at = hr__doc_next(doc, at);
    }
}

static void seed_tables(hr_schema *schema, const hr_doc *doc) {
    size_t tables = hr__doc_member(doc, 0, hr__str("tables"));
    if (tables == SIZE_MAX) {
        return;
    }
    size_t at = tables + 1;
    for (uint32_t i = 0; i < doc->toks[tables].len; i++) {
        int32_t table;
        int32_t parent = hr__schema_find(schema, str_of(doc, at, "parent", ""));
        must(hr__schema_add_table(schema, str_of(doc, at, "name", ""), parent, &table) == HR_OK,
             "a table cannot be added");
        schema->tables[table].max_nesting = (int32_t)int_of(doc, at, "max_nesting", -1);
        size_t columns = hr__doc_member(doc, at, hr__str("columns"));
        if (columns != SIZE_MAX) {
            seed_columns(schema, table, doc, columns);
        }
        at = hr__doc_next(doc, at);
    }
}

/* The settings' strings are kept by the caller until the case ends. */
static void case_begin(test_case *tc, const hr_doc *doc) {
    *tc = (test_case){0};
    hr_str id_kind = str_of(doc, 0, "id_kind", "random");
    tc->n_pages = int_of(doc, 0, "n_pages", 1);
    tc->options = (hr_normalize_options){
        .alloc = alloc,
        .root_table = str_of(doc, 0, "table", "items"),
        .load_id = str_of(doc, 0, "load_id", "1"),
        .max_nesting = (int32_t)int_of(doc, 0, "max_nesting", 1000),
        .max_length = (size_t)int_of(doc, 0, "max_length", 0),
        .id_kind = hr__str_eq(id_kind, hr__str("key_hash"))   ? HR_ID_KEY_HASH
                   : hr__str_eq(id_kind, hr__str("row_hash")) ? HR_ID_ROW_HASH
                                                              : HR_ID_RANDOM,
        .root_key = bool_of(doc, 0, "root_key"),
        .reference_only = bool_of(doc, 0, "reference_only"),
    };
    tc->options.seed[0] = (uint8_t)int_of(doc, 0, "seed", 0);
    hr__schema_init(&tc->schema, alloc);
    tc->schema.max_columns = (size_t)int_of(doc, 0, "max_columns", (int64_t)tc->schema.max_columns);
    tc->schema.max_tables = (size_t)int_of(doc, 0, "max_tables", (int64_t)tc->schema.max_tables);
    hr__batch_init(&tc->batch, alloc);
    seed_tables(&tc->schema, doc);
    must(hr__normalizer_new(&tc->options, &tc->schema, &tc->normalizer, NULL) == HR_OK, "no normalizer");
}

static void case_end(test_case *tc) {
    hr__normalizer_free(tc->normalizer);
    hr__batch_free(&tc->batch);
    hr__schema_free(&tc->schema);
    for (size_t t = 0; t < tc->n_tables; t++) {
        hr__buf_free(&tc->tables[t].text);
    }
    hr__free(alloc, tc->tables);
}

/* ---------------------------------------------------------------------------------------------------- pages */

static void put_cell(hr_buf *out, hr_type type, const hr_batch_column *column, size_t row) {
    char text[40];
    hr_cell cell = column->cells[row];
    switch (type) {
    case HR_TYPE_TEXT:
    case HR_TYPE_JSON:
        put_string(out, (hr_str){cell.str, column->sizes[row]});
        break;
    case HR_TYPE_DOUBLE:
        if (!isfinite(cell.d)) {
            put(out, hr__str(isnan(cell.d) ? "\"nan\"" : cell.d < 0 ? "\"-inf\"" : "\"inf\""));
        } else {
            put(out, (hr_str){text, hr__double_repr_orjson(cell.d, text)});
        }
        break;
    case HR_TYPE_BINARY:
        put(out, hr__str("\""));
        for (uint32_t i = 0; i < column->sizes[row]; i++) {
            snprintf(text, sizeof text, "%02x", (unsigned char)cell.str[i]);
            put(out, hr__str(text));
        }
        put(out, hr__str("\""));
        break;
    case HR_TYPE_BOOL:
        put(out, hr__str(cell.i != 0 ? "true" : "false"));
        break;
    default:
        put_int(out, cell.i);
        break;
    }
}

static void put_rows(test_case *tc, size_t t) {
    hr_buf *out = &tc->tables[t].text;
    const hr_table *table = &tc->schema.tables[t];
    const hr_batch_table *rows = &tc->batch.tables[t];
    for (size_t row = 0; row < rows->n_rows; row++) {
        put(out, hr__str(out->size_bytes == 0 ? "{" : ",{"));
        bool first = true;
        for (size_t c = 0; c < rows->n_columns; c++) {
            const hr_batch_column *column = &rows->columns[c];
            if (row >= column->n_cells || !column->valid[row]) {
                must(row >= column->n_cells || column->any_null, "a null in a column without nulls");
                continue;
            }
            put(out, hr__str(first ? "" : ","));
            first = false;
            put_string(out, table->columns[c].name);
            put(out, hr__str(":"));
            put_cell(out, (hr_type)table->columns[c].type, column, row);
        }
        put(out, hr__str("}"));
    }
}

static int case_page(test_case *tc, const hr_doc *doc, hr_json_decoder *decoder, uint64_t stream, hr_error *err) {
    hr_records records = {.doc = doc, .stream = stream};
    hr_doc extra;
    hr_buf extra_text;
    size_t list = 0;
    uint8_t *keep = NULL;
    hr__doc_init(&extra, alloc);
    hr__buf_init(&extra_text, alloc, 0);
    if (doc->toks[0].type == HR_TOK_OBJECT) {
        list = hr__doc_member(doc, 0, hr__str("records"));
        must(list != SIZE_MAX, "a page has no records");
        size_t at = hr__doc_member(doc, 0, hr__str("extra"));
        if (at != SIZE_MAX) {
            must(hr__doc_write(doc, at, HR_WRITE_LENIENT, NULL, 0, &extra_text, err) == HR_OK &&
                     hr__buf_reserve(&extra_text, HR_BODY_PADDING) == HR_OK &&
                     hr__json_decode(decoder, extra_text.data, extra_text.size_bytes, &extra, err) == HR_OK,
                 "extra");
            records.extra = &extra;
        }
        at = hr__doc_member(doc, 0, hr__str("keep"));
        if (at != SIZE_MAX) {
            keep = hr__calloc(alloc, doc->toks[at].len, 1);
            must(keep != NULL, "out of memory");
            for (uint32_t i = 0; i < doc->toks[at].len; i++) {
                keep[i] = doc->toks[at + 1 + i].as.i != 0;
            }
            records.keep = keep;
        }
    }
    must(doc->toks[list].type == HR_TOK_ARRAY, "a page's records are no list");
    records.n = doc->toks[list].len;
    size_t *places = hr__calloc(alloc, records.n, sizeof *places), at = list + 1;
    must(places != NULL, "out of memory");
    for (size_t i = 0; i < records.n; i++) {
        places[i] = at;
        at = hr__doc_next(doc, at);
    }
    records.at = places;
    int rc = hr__normalize(tc->normalizer, &records, &tc->batch, err);
    must(hr__grow(alloc, (void **)&tc->tables, &tc->cap_tables, tc->schema.n_tables, sizeof *tc->tables) == HR_OK,
         "out of memory");
    for (; tc->n_tables < tc->schema.n_tables; tc->n_tables++) {
        hr__buf_init(&tc->tables[tc->n_tables].text, alloc, 0);
    }
    for (size_t t = 0; t < tc->batch.n_tables && rc == HR_OK; t++) {
        put_rows(tc, t);
    }
    hr__free(alloc, places);
    hr__free(alloc, keep);
    hr__doc_free(&extra);
    hr__buf_free(&extra_text);
    return rc;
}

/* ---------------------------------------------------------------------------------------------------- results */

static void put_error(hr_buf *out, const hr_error *err) {
    put(out, hr__str("{\"code\":"));
    put_string(out, hr__str(hr_code_text(err->code)));
    put(out, hr__str(",\"record\":"));
    put_int(out, err->record);
    put(out, hr__str(",\"offset\":"));
    put_int(out, err->offset_bytes);
    put(out, hr__str(",\"table\":"));
    put_string(out, hr__str(err->table));
    put(out, hr__str(",\"column\":"));
    put_string(out, hr__str(err->column));
    put(out, hr__str(",\"message\":"));
    put_string(out, hr__str(err->message));
    put(out, hr__str("}"));
}

static void put_result(hr_buf *out, const test_case *tc, const hr_error *err) {
    put(out, hr__str("{\"tables\":["));
    for (size_t t = 0; t < tc->schema.n_tables; t++) {
        const hr_table *table = &tc->schema.tables[t];
        put(out, hr__str(t == 0 ? "{\"name\":" : ",{\"name\":"));
        put_string(out, table->name);
        put(out, hr__str(",\"parent\":"));
        if (table->parent >= 0) {
            put_string(out, tc->schema.tables[table->parent].name);
        } else {
            put(out, hr__str("null"));
        }
        put(out, hr__str(",\"columns\":["));
        for (size_t c = 0; c < table->n_columns; c++) {
            const hr_column *column = &table->columns[c];
            put(out, hr__str(c == 0 ? "[" : ",["));
            put_string(out, column->name);
            put(out, hr__str(","));
            put_string(out, hr__str(hr__type_name((hr_type)column->type)));
            put(out, hr__str((column->flags & HR_COL_NOT_NULL) != 0 ? ",true" : ",false"));
            put(out, hr__str((column->flags & HR_COL_VARIANT) != 0 ? ",true]" : ",false]"));
        }
        put(out, hr__str("],\"rows\":["));
        if (t < tc->n_tables && tc->tables[t].text.size_bytes != 0) {
            put(out, (hr_str){tc->tables[t].text.data, tc->tables[t].text.size_bytes});
        }
        put(out, hr__str("]}"));
    }
    hr_normalize_stats stats;
    hr__normalizer_stats(tc->normalizer, &stats);
    put(out, hr__str("],\"fast\":"));
    put_int(out, (int64_t)stats.fast_records);
    put(out, hr__str(",\"error\":"));
    if (err != NULL) {
        put_error(out, err);
    } else {
        put(out, hr__str("null"));
    }
    put(out, hr__str("}\n"));
}

/* ---------------------------------------------------------------------------------------------------- lines */

static hr_buf read_all(const char *path) {
    FILE *file = path == NULL ? stdin : fopen(path, "rb");
    must(file != NULL, "the file cannot be read");
    hr_buf all;
    hr__buf_init(&all, alloc, 0);
    while (!feof(file) && !ferror(file)) {
        must(hr__buf_reserve(&all, 1 << 20) == HR_OK, "out of memory");
        all.size_bytes += fread(all.data + all.size_bytes, 1, all.cap_bytes - all.size_bytes, file);
    }
    must(hr__buf_reserve(&all, HR_BODY_PADDING) == HR_OK, "out of memory");
    if (path != NULL) {
        fclose(file);
    }
    return all;
}

/* The line at *at, without its newline; moves *at behind it. */
static hr_str next_line(const hr_buf *all, size_t *at) {
    const char *start = all->data + *at;
    const char *end = memchr(start, '\n', all->size_bytes - *at);
    size_t size = end == NULL ? all->size_bytes - *at : (size_t)(end - start);
    *at += size + (end != NULL);
    return (hr_str){start, size};
}

static void decode(hr_json_decoder *decoder, hr_str line, hr_doc *doc) {
    hr_error err;
    if (hr__json_decode(decoder, line.data, line.size_bytes, doc, &err) != HR_OK) {
        must(false, err.message);
    }
}

int main(int argc, char **argv) {
    hr_buf all = read_all(argc > 1 ? argv[1] : NULL);
    hr_json_decoder *decoder;
    must(hr__json_decoder_new(&(hr_json_options){.alloc = alloc}, &decoder, NULL) == HR_OK, "no decoder");
    hr_doc settings, page;
    hr__doc_init(&settings, alloc);
    hr__doc_init(&page, alloc);
    hr_buf out;
    hr__buf_init(&out, alloc, 0);
    for (size_t at = 0; at < all.size_bytes;) {
        test_case tc;
        hr_error err;
        int rc = HR_OK;
        decode(decoder, next_line(&all, &at), &settings);
        case_begin(&tc, &settings);
        for (int64_t i = 0; i < tc.n_pages; i++) {
            hr_str line = next_line(&all, &at);
            if (rc == HR_OK) {
                decode(decoder, line, &page);
                rc = case_page(&tc, &page, decoder, (uint64_t)i, &err);
            }
        }
        out.size_bytes = 0;
        put_result(&out, &tc, rc == HR_OK ? NULL : &err);
        fwrite(out.data, 1, out.size_bytes, stdout);
        case_end(&tc);
    }
    hr__buf_free(&out);
    hr__doc_free(&settings);
    hr__doc_free(&page);
    hr__json_decoder_free(decoder);
    hr__buf_free(&all);
    return 0;
}
