/* SPDX-License-Identifier: Apache-2.0
 *
 * Files, row groups, column chunks and pages; numbers of fields and enums are those of parquet.thrift
 * (https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
 */
#include "parquet.h"

#include "arrow.h"
#include "parquet_values.h"
#include "thrift.h"

#include <snappy-c.h>

#define PAGE_LIMIT ((size_t)INT32_MAX / 2) /* so that Snappy's worst case is below 2 GiB too */
#define TRIED_BYTES ((size_t)64 << 10)     /* of a column chunk, to learn whether it becomes smaller */
#define DECIMAL_DIGITS 38

enum { TYPE_BOOLEAN = 0, TYPE_INT32 = 1, TYPE_INT64 = 2, TYPE_DOUBLE = 5, TYPE_BYTE_ARRAY = 6, TYPE_FIXED = 7 };
enum { ENCODING_PLAIN = 0, ENCODING_RLE = 3, ENCODING_RLE_DICTIONARY = 8 };
enum { PAGE_DATA = 0, PAGE_DICTIONARY = 2 };
enum { CODEC_NONE = 0, CODEC_SNAPPY = 1 };
enum { CONVERTED_UTF8 = 0, CONVERTED_DECIMAL = 5, CONVERTED_DATE = 6, CONVERTED_TIMESTAMP = 10 };
enum { LOGICAL_STRING = 1, LOGICAL_DECIMAL = 5, LOGICAL_DATE = 6, LOGICAL_TIME = 7, LOGICAL_TIMESTAMP = 8 };
enum { UNIT_MICROS = 2 };

typedef struct column {
    hr_str name;
    char first; /* of the Arrow format: b, l, g, u, z, d; D (tdD), T (ttu), S (tsu:) */
    hr_parquet_kind kind;
    bool nullable;
    bool is_wall_clock; /* a time, or a timestamp without zone */
    uint8_t precision, scale, decimal_bytes;
} column;

struct hr_parquet {
    const hr_allocator *alloc; /* borrowed */
    hr_arena arena;            /* names */
    column *columns;
    size_t n_columns;
    hr_parquet_options options;

    int64_t n_rows, n_bytes; /* written */
    hr_buf groups;           /* the row groups of the footer */
    size_t n_groups;

    /* of the row group at hand */
    size_t at;     /* the column that is next */
    hr_buf chunks; /* its part of the footer */
    int64_t group_at, group_packed, group_plain;

    /* of the column chunk at hand */
    uint32_t *rows, *indices;
    size_t cap_rows, cap_indices;
    hr_parquet_dictionary dictionary;
    hr_buf page, packed;
};

/* What the footer says of a column chunk. */
typedef struct told {
    int codec;
    int64_t at, dictionary_at, data_at; /* bytes from the file's start; dictionary_at 0: none */
    int64_t packed, plain;              /* bytes, with page headers */
} told;

/* ---------------------------------------------------------------------------------------------------- columns */

static bool read_decimal(hr_str format, column *out) {
    unsigned precision, scale;
    if (!hr__arrow_decimal(format, &precision, &scale) || precision < 1 || precision > DECIMAL_DIGITS ||
        scale > precision) {
        return false;
    }
    out->precision = (uint8_t)precision;
    out->scale = (uint8_t)scale;
    __int128 most = 1; /* the first that is too large: it needs the sign bit beside its own */
    for (unsigned i = 0; i < precision; i++) {
        most *= 10;
    }
    for (out->decimal_bytes = 1; out->decimal_bytes < 16 && (most - 1) >> (8 * out->decimal_bytes - 1) != 0;) {
        out->decimal_bytes++;
    }
    return true;
}

static bool is(hr_str format, const char *what) {
    return hr__str_eq(format, hr__str(what));
}

static bool read_format(hr_str format, column *out) {
    static const struct {
        const char *format;
        char first;
        hr_parquet_kind kind;
    } simple[] = {
        {"b", 'b', HR_PARQUET_BOOL},    {"l", 'l', HR_PARQUET_INT64}, {"g", 'g', HR_PARQUET_DOUBLE},
        {"u", 'u', HR_PARQUET_BYTES},   {"z", 'z', HR_PARQUET_BYTES}, {"tdD", 'D', HR_PARQUET_INT32},
        {"ttu", 'T', HR_PARQUET_INT64},
    };
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++) {
        if (is(format, simple[i].format)) {
            out->first = simple[i].first;
            out->kind = simple[i].kind;
            out->is_wall_clock = simple[i].first == 'T';
            return true;
        }
    }
    if (format.size_bytes >= 4 && memcmp(format.data, "tsu:", 4) == 0) {
        out->first = 'S';
        out->kind = HR_PARQUET_INT64;
        out->is_wall_clock = format.size_bytes == 4;
        return true;
    }
    out->first = 'd';
    out->kind = HR_PARQUET_DECIMAL;
    return read_decimal(format, out);
}

int hr__parquet_new(const hr_allocator *alloc, const hr_parquet_column *columns, size_t n_columns,
                    const hr_parquet_options *options, hr_parquet **file_out, hr_error *err) {
    assert(options->page_bytes >= 1 && options->group_rows >= 1 && options->group_rows <= INT32_MAX);
    hr_parquet *file = hr__calloc(alloc, 1, sizeof *file);
    if (file == NULL) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    file->alloc = alloc;
    file->options = *options;
    file->n_columns = n_columns;
    hr__arena_init(&file->arena, alloc, 0);
    hr__parquet_dictionary_init(&file->dictionary, alloc);
    hr_buf *bufs[] = {&file->groups, &file->chunks, &file->page, &file->packed};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        hr__buf_init(bufs[i], alloc, 0);
    }
    file->columns = hr__calloc(alloc, n_columns + 1, sizeof *file->columns);
    int rc = file->columns == NULL ? HR_MEMORY : hr__arena_keep(&file->arena, &file->options.created_by);
    for (size_t c = 0; c < n_columns && rc == HR_OK; c++) {
        column *to = &file->columns[c];
        to->name = columns[c].name;
        to->nullable = columns[c].nullable;
        rc = hr__arena_keep(&file->arena, &to->name);
        if (rc == HR_OK && !read_format(columns[c].format, to)) {
            rc = hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_EMIT, "column %.*s: Parquet of the Arrow format %.*s",
                               (int)to->name.size_bytes, to->name.data, (int)columns[c].format.size_bytes,
                               columns[c].format.data);
            hr__parquet_free(file);
            return rc;
        }
    }
    if (rc != HR_OK) {
        hr__parquet_free(file);
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    *file_out = file;
    return HR_OK;
}

void hr__parquet_free(hr_parquet *file) {
    if (file == NULL) {
        return;
    }
    const hr_allocator *alloc = file->alloc;
    hr__arena_free(&file->arena);
    hr__free(alloc, file->columns);
    hr__free(alloc, file->rows);
    hr__free(alloc, file->indices);
    hr__parquet_dictionary_free(&file->dictionary);
    hr__buf_free(&file->groups);
    hr__buf_free(&file->chunks);
    hr__buf_free(&file->page);
    hr__buf_free(&file->packed);
    hr__free(alloc, file);
}

/* Arrow's names may be absent. */
static const char *name_of(const struct ArrowSchema *schema) {
    return schema->name == NULL ? "" : schema->name;
}

/* The child of the column's name, at its place in most arrays; -1: there is none. */
static int64_t child_of(const hr_parquet *file, size_t c, const struct ArrowSchema *schema) {
    hr_str name = file->columns[c].name;
    if ((int64_t)c < schema->n_children && is(name, name_of(schema->children[c]))) {
        return (int64_t)c;
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (is(name, name_of(schema->children[i]))) {
            return i;
        }
    }
    return -1;
}

int hr__parquet_fits(const hr_parquet *file, const struct ArrowSchema *schema, const struct ArrowArray *array,
                     hr_error *err) {
    if (!is(hr__str(schema->format), "+s") || schema->n_children != array->n_children) {
        return hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_EMIT, "Parquet is written from struct arrays");
    }
    int64_t n_found = 0;
    for (size_t c = 0; c < file->n_columns; c++) {
        const column *of = &file->columns[c];
        int64_t child = child_of(file, c, schema);
        column found = {0};
        if (child < 0) {
            continue;
        }
        n_found++;
        const struct ArrowSchema *field = schema->children[child];
        if (field->dictionary != NULL || !read_format(hr__str(field->format), &found) || found.first != of->first ||
            found.precision != of->precision || found.scale != of->scale) {
            return hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_EMIT,
                                 "column %s has the Arrow format %s, not the file's", name_of(field), field->format);
        }
    }
    if (n_found != schema->n_children) {
        return hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_EMIT, "a column that is not in the file");
    }
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- pages */

/* Behind what out held when the call began. */
typedef struct target {
    hr_parquet *file;
    hr_buf *out;
    hr_error *err;
    size_t begin; /* bytes of out */
    int64_t at;   /* of the file, of that byte */
} target;

static int64_t position(const target *to) {
    return to->at + (int64_t)(to->out->size_bytes - to->begin);
}

static int failed(const target *to, int rc, const column *of) {
    switch (rc) {
    case HR_OK:
        return HR_OK;
    case HR_RANGE:
        return hr__error_set(to->err, HR_RANGE, HR_STAGE_EMIT, "column %.*s: a decimal of more than %d digits",
                             (int)of->name.size_bytes, of->name.data, of->precision);
    case HR_LIMIT:
        return hr__error_set(to->err, HR_LIMIT, HR_STAGE_EMIT, "column %.*s: a value of %zu bytes or more in Parquet",
                             (int)of->name.size_bytes, of->name.data, PAGE_LIMIT);
    default:
        return hr__error_memory(to->err, HR_STAGE_EMIT);
    }
}

/* Whether Snappy makes the page smaller by a fifth or more: by less, it takes more time than its bytes are worth (row
 * ids, of which it finds the lengths only). */
static int becomes_smaller(hr_parquet *file, bool *out) {
    const hr_buf *page = &file->page;
    size_t n = page->size_bytes < TRIED_BYTES ? page->size_bytes : TRIED_BYTES;
    size_t packed = snappy_max_compressed_length(n);
    file->packed.size_bytes = 0;
    HR_TRY(hr__buf_reserve(&file->packed, packed));
    const char *from = page->data + (page->size_bytes - n) / 2;
    *out = snappy_compress(from, n, file->packed.data, &packed) == SNAPPY_OK && packed < n - n / 5;
    return HR_OK;
}

/* Writes file->page, compressed if the chunk is. */
static int put_page(target *to, told *chunk, int type, int encoding, size_t n_values) {
    hr_parquet *file = to->file;
    hr_buf *page = &file->page;
    hr_str body = {page->data, page->size_bytes};
    if (page->size_bytes > PAGE_LIMIT) {
        return HR_LIMIT;
    }
    if (chunk->codec == CODEC_SNAPPY) {
        size_t size = snappy_max_compressed_length(page->size_bytes);
        file->packed.size_bytes = 0;
        HR_TRY(hr__buf_reserve(&file->packed, size + 1));
        if (snappy_compress(body.data, body.size_bytes, file->packed.data, &size) != SNAPPY_OK) {
            return HR_MEMORY; /* it fails for no other reason */
        }
        body = (hr_str){file->packed.data, size};
    }
    size_t before = to->out->size_bytes;
    hr_thrift t = {.out = to->out};
    hr__thrift_i32(&t, 1, type);
    hr__thrift_i32(&t, 2, (int32_t)page->size_bytes);
    hr__thrift_i32(&t, 3, (int32_t)body.size_bytes);
    hr__thrift_begin(&t, type == PAGE_DICTIONARY ? 7 : 5);
    hr__thrift_i32(&t, 1, (int32_t)n_values);
    hr__thrift_i32(&t, 2, encoding);
    if (type == PAGE_DATA) {
        hr__thrift_i32(&t, 3, ENCODING_RLE); /* definition levels */
        hr__thrift_i32(&t, 4, ENCODING_RLE); /* repetition levels: there are none */
    }
    hr__thrift_end(&t);
    hr__thrift_end(&t);
    size_t header = to->out->size_bytes - before;
    hr__thrift_bytes(&t, body);
    chunk->packed += (int64_t)(header + body.size_bytes);
    chunk->plain += (int64_t)(header + page->size_bytes);
    return t.rc;
}

/* Values first .. end - 1 and the nulls behind them, in file->page. */
static int fill_page(hr_parquet *file, const column *of, const hr_parquet_chunk *chunk, bool has_dictionary,
                     size_t first, size_t end, size_t first_row, size_t end_row) {
    file->page.size_bytes = 0;
    if (of->nullable) {
        HR_TRY(hr__parquet_levels(chunk, first_row, end_row, &file->page));
    }
    return has_dictionary ? hr__parquet_indices(&file->dictionary, file->indices + first, end - first, &file->page)
                          : hr__parquet_plain(chunk, first, end, &file->page);
}

/* Where the data page ends that begins with the value. */
static size_t page_end(const hr_parquet *file, const hr_parquet_chunk *chunk, bool has_dictionary, size_t first) {
    size_t n = chunk->n_values - first, most = file->options.page_bytes; /* an index takes a byte or two */
    return has_dictionary ? first + (n < most ? n : most) : hr__parquet_plain_end(chunk, first, most);
}

static int put_data_pages(target *to, const column *of, const hr_parquet_chunk *chunk, bool has_dictionary, told *as) {
    hr_parquet *file = to->file;
    size_t value = 0, row = 0;
    as->data_at = position(to);
    do {
        size_t end = page_end(file, chunk, has_dictionary, value);
        bool is_last = end == chunk->n_values;
        size_t end_row = is_last ? chunk->n_rows : chunk->rows == NULL ? end : chunk->rows[end];
        HR_TRY(fill_page(file, of, chunk, has_dictionary, value, end, row, end_row));
        if (value == 0 && file->options.compress && !has_dictionary) {
            bool smaller;
            HR_TRY(becomes_smaller(file, &smaller));
            as->codec = smaller ? CODEC_SNAPPY : CODEC_NONE;
        }
        HR_TRY(put_page(to, as, PAGE_DATA, has_dictionary ? ENCODING_RLE_DICTIONARY : ENCODING_PLAIN, end_row - row));
        value = end;
        row = end_row;
    } while (value < chunk->n_values);
    return HR_OK;
}

/* The dictionary's page. The chunk is compressed if that is worth it for the larger one, of it and of the indices. */
static int put_dictionary(target *to, const hr_parquet_chunk *chunk, told *as) {
    hr_parquet *file = to->file;
    bool smaller = false;
    file->page.size_bytes = 0;
    HR_TRY(hr__parquet_indices(&file->dictionary, file->indices, page_end(file, chunk, true, 0), &file->page));
    size_t index_bytes = file->page.size_bytes;
    if (file->options.compress && index_bytes > file->dictionary.plain_bytes) {
        HR_TRY(becomes_smaller(file, &smaller));
    }
    file->page.size_bytes = 0;
    HR_TRY(hr__parquet_dictionary_plain(&file->dictionary, chunk, &file->page));
    if (file->options.compress && index_bytes <= file->dictionary.plain_bytes) {
        HR_TRY(becomes_smaller(file, &smaller));
    }
    as->codec = smaller ? CODEC_SNAPPY : CODEC_NONE;
    as->dictionary_at = position(to);
    return put_page(to, as, PAGE_DICTIONARY, ENCODING_PLAIN, file->dictionary.n_entries);
}

static int put_chunk(target *to, const column *of, hr_parquet_chunk *chunk, bool *has_dictionary_out, told *as) {
    hr_parquet *file = to->file;
    HR_TRY(hr__grow(file->alloc, (void **)&file->rows, &file->cap_rows, chunk->n_rows, sizeof *file->rows));
    hr__parquet_number_rows(chunk, file->rows);
    HR_TRY(
        hr__grow(file->alloc, (void **)&file->indices, &file->cap_indices, chunk->n_values + 1, sizeof *file->indices));
    HR_TRY(hr__parquet_dictionary_make(&file->dictionary, chunk, file->indices, has_dictionary_out));
    as->at = position(to);
    if (*has_dictionary_out) {
        HR_TRY(put_dictionary(to, chunk, as));
    }
    return put_data_pages(to, of, chunk, *has_dictionary_out, as);
}

/* ---------------------------------------------------------------------------------------------------- footer */

static int physical_type(const column *of) {
    switch (of->kind) {
    case HR_PARQUET_BOOL:
        return TYPE_BOOLEAN;
    case HR_PARQUET_INT32:
        return TYPE_INT32;
    case HR_PARQUET_INT64:
        return TYPE_INT64;
    case HR_PARQUET_DOUBLE:
        return TYPE_DOUBLE;
    case HR_PARQUET_BYTES:
        return TYPE_BYTE_ARRAY;
    default:
        return TYPE_FIXED;
    }
}

static void tell_statistics(hr_thrift *t, const hr_parquet_chunk *chunk, const hr_parquet_dictionary *d) {
    char scratch[2 * HR_PARQUET_FIXED_MAX];
    hr_str min, max;
    bool any = hr__parquet_min_max(chunk, d, scratch, &min, &max);
    hr__thrift_begin(t, 12);
    hr__thrift_i64(t, 3, (int64_t)(chunk->n_rows - chunk->n_values)); /* null_count */
    if (any) {
        hr__thrift_binary(t, 5, max);
        hr__thrift_binary(t, 6, min);
        hr__thrift_bool(t, 7, true); /* they are values */
        hr__thrift_bool(t, 8, true);
    }
    hr__thrift_end(t);
}

/* A ColumnChunk, behind those of the columns before. */
static int tell_chunk(hr_parquet *file, const column *of, const hr_parquet_chunk *chunk, bool has_dictionary,
                      const told *as) {
    hr_thrift t = {.out = &file->chunks};
    hr__thrift_i64(&t, 2, 0);
    hr__thrift_begin(&t, 3);
    hr__thrift_i32(&t, 1, physical_type(of));
    hr__thrift_list(&t, 2, HR_THRIFT_I32, has_dictionary ? 3 : 2);
    hr__thrift_element_i32(&t, ENCODING_PLAIN);
    hr__thrift_element_i32(&t, ENCODING_RLE);
    if (has_dictionary) {
        hr__thrift_element_i32(&t, ENCODING_RLE_DICTIONARY);
    }
    hr__thrift_list(&t, 3, HR_THRIFT_BINARY, 1);
    hr__thrift_element_binary(&t, of->name);
    hr__thrift_i32(&t, 4, as->codec);
    hr__thrift_i64(&t, 5, (int64_t)chunk->n_rows);
    hr__thrift_i64(&t, 6, as->plain);
    hr__thrift_i64(&t, 7, as->packed);
    hr__thrift_i64(&t, 9, as->data_at);
    if (has_dictionary) {
        hr__thrift_i64(&t, 11, as->dictionary_at);
    }
    tell_statistics(&t, chunk, has_dictionary ? &file->dictionary : NULL);
    hr__thrift_end(&t);
    hr__thrift_end(&t);
    return t.rc;
}

/* A RowGroup, behind those before; what it is made of is forgotten. */
static int tell_group(hr_parquet *file, size_t n_rows) {
    hr_thrift t = {.out = &file->groups};
    hr__thrift_list(&t, 1, HR_THRIFT_STRUCT, file->n_columns);
    hr__thrift_bytes(&t, (hr_str){file->chunks.data, file->chunks.size_bytes});
    hr__thrift_i64(&t, 2, file->group_plain);
    hr__thrift_i64(&t, 3, (int64_t)n_rows);
    hr__thrift_i64(&t, 5, file->group_at);
    hr__thrift_i64(&t, 6, file->group_packed);
    if (file->n_groups <= INT16_MAX) {
        hr__thrift_i16(&t, 7, (int16_t)file->n_groups);
    }
    hr__thrift_end(&t);
    file->n_groups++;
    file->n_rows += (int64_t)n_rows;
    file->chunks.size_bytes = 0;
    file->at = 0;
    file->group_packed = file->group_plain = 0;
    return t.rc;
}

static void tell_micros(hr_thrift *t, bool is_utc) {
    hr__thrift_bool(t, 1, is_utc);
    hr__thrift_begin(t, 2);
    hr__thrift_begin(t, UNIT_MICROS);
    hr__thrift_end(t);
    hr__thrift_end(t);
}

/* converted_type, scale, precision, and the logical type in the newer form. */
static void tell_logical(hr_thrift *t, const column *of) {
    int converted = -1, logical = 0;
    switch (of->first) {
    case 'u':
        converted = CONVERTED_UTF8, logical = LOGICAL_STRING;
        break;
    case 'd':
        converted = CONVERTED_DECIMAL, logical = LOGICAL_DECIMAL;
        break;
    case 'D':
        converted = CONVERTED_DATE, logical = LOGICAL_DATE;
        break;
    case 'T':
        logical = LOGICAL_TIME;
        break;
    case 'S':
        converted = of->is_wall_clock ? -1 : CONVERTED_TIMESTAMP, logical = LOGICAL_TIMESTAMP;
        break;
    default:
        return;
    }
    if (converted >= 0) {
        hr__thrift_i32(t, 6, converted);
    }
    if (of->first == 'd') {
        hr__thrift_i32(t, 7, of->scale);
        hr__thrift_i32(t, 8, of->precision);
    }
    hr__thrift_begin(t, 10);
    hr__thrift_begin(t, (int16_t)logical);
    if (of->first == 'd') {
        hr__thrift_i32(t, 1, of->scale);
        hr__thrift_i32(t, 2, of->precision);
    } else if (of->first == 'T' || of->first == 'S') {
        tell_micros(t, !of->is_wall_clock);
    }
    hr__thrift_end(t);
    hr__thrift_end(t);
}

static void tell_schema(hr_thrift *t, const hr_parquet *file) {
    hr__thrift_list(t, 2, HR_THRIFT_STRUCT, file->n_columns + 1);
    hr__thrift_element_begin(t);
    hr__thrift_binary(t, 4, hr__str("schema"));
    hr__thrift_i32(t, 5, (int32_t)file->n_columns);
    hr__thrift_end(t);
    for (size_t c = 0; c < file->n_columns; c++) {
        const column *of = &file->columns[c];
        hr__thrift_element_begin(t);
        hr__thrift_i32(t, 1, physical_type(of));
        if (of->kind == HR_PARQUET_DECIMAL) {
            hr__thrift_i32(t, 2, of->decimal_bytes);
        }
        hr__thrift_i32(t, 3, of->nullable); /* REQUIRED, OPTIONAL */
        hr__thrift_binary(t, 4, of->name);
        tell_logical(t, of);
        hr__thrift_end(t);
    }
}

/* Magic at the file's start. */
static int begin_file(target *to) {
    return position(to) == 0 ? hr__buf_append_str(to->out, "PAR1") : HR_OK;
}

static target target_of(hr_parquet *file, hr_buf *out, hr_error *err) {
    return (target){file, out, err, out->size_bytes, file->n_bytes};
}

int hr__parquet_finish(hr_parquet *file, hr_buf *out, hr_error *err) {
    target to = target_of(file, out, err);
    int rc = begin_file(&to);
    size_t before = out->size_bytes;
    hr_thrift t = {.out = out, .rc = rc};
    hr__thrift_i32(&t, 1, 2); /* version */
    tell_schema(&t, file);
    hr__thrift_i64(&t, 3, file->n_rows);
    hr__thrift_list(&t, 4, HR_THRIFT_STRUCT, file->n_groups);
    hr__thrift_bytes(&t, (hr_str){file->groups.data, file->groups.size_bytes});
    hr__thrift_binary(&t, 6, file->options.created_by);
    hr__thrift_list(&t, 7, HR_THRIFT_STRUCT, file->n_columns); /* the least and the greatest: by the type's order */
    for (size_t c = 0; c < file->n_columns; c++) {
        hr__thrift_element_begin(&t);
        hr__thrift_begin(&t, 1);
        hr__thrift_end(&t);
        hr__thrift_end(&t);
    }
    hr__thrift_end(&t);
    size_t size = out->size_bytes - before;
    if (t.rc == HR_OK && size > PAGE_LIMIT) {
        return hr__error_set(err, HR_LIMIT, HR_STAGE_EMIT, "%zu row groups are too many for a Parquet file",
                             file->n_groups);
    }
    char end[8];
    uint32_t size32 = (uint32_t)size;
    memcpy(end, &size32, sizeof size32);
    memcpy(end + 4, "PAR1", 4);
    hr__thrift_bytes(&t, (hr_str){end, sizeof end});
    file->n_bytes = position(&to);
    return t.rc == HR_OK ? HR_OK : hr__error_memory(err, HR_STAGE_EMIT);
}

/* ---------------------------------------------------------------------------------------------------- rows */

/* Rows first .. first + n_rows - 1 of the column; all null if the array does not have it. */
static hr_parquet_chunk bind(const hr_parquet *file, size_t c, const struct ArrowSchema *schema,
                             const struct ArrowArray *array, int64_t first, size_t n_rows) {
    const column *of = &file->columns[c];
    int64_t at = child_of(file, c, schema);
    hr_parquet_chunk chunk = {.kind = of->kind, .decimal_bytes = of->decimal_bytes, .n_rows = n_rows};
    if (at < 0) {
        return chunk;
    }
    const struct ArrowArray *child = array->children[at];
    chunk.offset = array->offset + child->offset + first;
    chunk.valid = child->null_count == 0 ? NULL : child->buffers[0];
    chunk.values = child->buffers[1];
    chunk.bytes = of->kind == HR_PARQUET_BYTES && child->buffers[2] != NULL ? child->buffers[2] : "";
    return chunk;
}

static int put_column(target *to, const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t first,
                      size_t n_rows) {
    hr_parquet *file = to->file;
    const column *of = &file->columns[file->at];
    hr_parquet_chunk chunk = bind(file, file->at, schema, array, first, n_rows);
    told as = {0};
    bool has_dictionary = false;
    HR_TRY(failed(to, put_chunk(to, of, &chunk, &has_dictionary, &as), of));
    if (!of->nullable && chunk.n_values != chunk.n_rows) {
        return hr__error_set(to->err, HR_NULL_VALUE, HR_STAGE_EMIT,
                             "Column '%.*s' is declared non-nullable but contains nulls", (int)of->name.size_bytes,
                             of->name.data);
    }
    HR_TRY(failed(to, tell_chunk(file, of, &chunk, has_dictionary, &as), of));
    file->group_at = file->at == 0 ? as.at : file->group_at;
    file->group_packed += as.packed;
    file->group_plain += as.plain;
    file->at++;
    return HR_OK;
}

int hr__parquet_rows(hr_parquet *file, const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t *row,
                     size_t enough_bytes, hr_buf *out, hr_error *err) {
    target to = target_of(file, out, err);
    if (begin_file(&to) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    while (*row < array->length && out->size_bytes < enough_bytes) {
        size_t n = (size_t)(array->length - *row);
        n = n < file->options.group_rows ? n : file->options.group_rows;
        if (file->at < file->n_columns) {
            HR_TRY(put_column(&to, schema, array, *row, n));
        }
        if (file->at == file->n_columns) {
            if (tell_group(file, n) != HR_OK) {
                return hr__error_memory(err, HR_STAGE_EMIT);
            }
            *row += (int64_t)n;
        }
    }
    file->n_bytes = position(&to);
    return HR_OK;
}
