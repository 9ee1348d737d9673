/* SPDX-License-Identifier: Apache-2.0
 *
 * The CSV reader: bytes -> chunks of whole rows.
 */
#include "csv_head.h"
#include "csv_index.h"
#include "csv_sniff.h"
#include "index.h"

#include <stdio.h>

#define SAMPLE_BYTES ((size_t)64 << 10) /* what encoding and dialect are found from */
#define SLICE_BYTES ((size_t)64 << 10)  /* what is indexed at a time; what is behind a chunk's end is indexed again */

struct hr_csv_reader {
    hr_csv_options options; /* strings in arena; dialect: as it was found, once started */
    hr_arena arena;
    hr_encoding_guess encoding;
    double dialect_confidence;
    hr_encoding_carry carry;
    hr_fields_head *head;
    bool has_head, started, finished, done;
    hr_buf pending; /* bytes before it is started, and what of them is not taken yet */
    size_t pending_at;
    hr_fields *cur; /* the chunk at work: its text */
    hr_csv_index index;
    bool is_plain;      /* the chunk at work is indexed a byte at a time */
    bool skips_lf;      /* a chunk ended in CR: an LF that comes next is of its end */
    size_t n_ends_last; /* of the chunk before: a guess of this one's */
    size_t start_bytes; /* of cur's text */
    int64_t skip_left, header_left;
    int64_t n_seen; /* rows that are left to be given: n_rows of info */
    int64_t n_short, n_long, *bad_lines;
    size_t n_bad_lines, cap_bad_lines;
    hr_error error; /* of the row behind the last chunk: the next call's */
};

/* ---------------------------------------------------------------------------------------------------- life */

void hr__csv_options_init(hr_csv_options *options) {
    *options = (hr_csv_options){
        .alloc = &hr__allocator_libc,
        .dialect = {.delimiter = ',', .quote = '"', .doublequote = true, .skip_blank_lines = true},
#define HR_X(field, type, value, text) .field = value,
        HR_CSV_LIMITS(HR_X)
#undef HR_X
            .max_rows = -1,
        .decimal = '.',
    };
}

static int check_dialect(const hr_csv_options *options, hr_error *err) {
    const hr_csv_dialect *d = &options->dialect;
    const char all[] = {d->delimiter, d->quote, d->escape, d->comment};
    for (size_t i = 0; i < sizeof all; i++) {
        bool is_bad = all[i] == '\n' || all[i] == '\r' || (unsigned char)all[i] >= 0x80;
        for (size_t k = 0; k < i; k++) {
            is_bad |= all[i] != 0 && all[i] == all[k] && !(i == 2 && k == 1);
        }
        if (is_bad) {
            return hr__error_set(err, HR_ARGUMENT, HR_STAGE_DECODE,
                                 "delimiter, quote, escape and comment must be different ASCII characters and no "
                                 "ends of lines");
        }
    }
    if (d->delimiter == 0 && !options->sniff) {
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_DECODE, "the delimiter is missing");
    }
    return HR_OK;
}

int hr__csv_reader_new(const hr_csv_options *options, hr_csv_reader **reader_out, hr_error *err) {
    const hr_allocator *alloc = options->alloc;
    HR_TRY(check_dialect(options, err));
    hr_csv_reader *reader = hr__calloc(alloc, 1, sizeof *reader);
    if (reader == NULL) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    reader->options = *options;
    reader->options.portable = options->portable || !hr__has_avx2();
    reader->options.chunk_rows = options->chunk_rows == 0 ? 1 : options->chunk_rows;
    reader->dialect_confidence = 1;
    reader->skip_left = options->skip_rows;
    reader->header_left = options->header;
    hr__arena_init(&reader->arena, alloc, 0);
    hr__buf_init(&reader->pending, alloc, 0);
    hr__csv_index_start(&reader->index);
    if (hr__csv_options_copy(&reader->options, &reader->arena) != HR_OK ||
        hr__fields_head_new(alloc, &reader->head) != HR_OK ||
        hr__fields_new(alloc, reader->head, &reader->cur) != HR_OK) {
        hr__csv_reader_free(reader);
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    reader->cur->first_line = 1;
    *reader_out = reader;
    return HR_OK;
}

void hr__csv_reader_free(hr_csv_reader *reader) {
    if (reader == NULL) {
        return;
    }
    const hr_allocator *alloc = reader->options.alloc;
    hr__fields_free(reader->cur);
    hr__fields_head_unref(reader->head);
    hr__buf_free(&reader->pending);
    hr__arena_free(&reader->arena);
    hr__free(alloc, reader->index.ends);
    hr__free(alloc, reader->index.rows);
    hr__free(alloc, reader->bad_lines);
    hr__free(alloc, reader);
}

void hr__csv_info(const hr_csv_reader *reader, hr_csv_info *info_out) {
    *info_out = (hr_csv_info){
        .head = reader->has_head ? reader->head : NULL,
        .dialect = reader->options.dialect,
        .encoding = reader->encoding.encoding,
        .encoding_confidence = reader->encoding.confidence,
        .dialect_confidence = reader->dialect_confidence,
        .n_rows = reader->n_seen,
        .n_short = reader->n_short,
        .n_long = reader->n_long,
        .bad_lines = reader->bad_lines,
        .n_bad_lines = reader->n_bad_lines,
        .is_done = reader->done,
    };
}

/* ---------------------------------------------------------------------------------------------------- errors */

/* An error at an offset of the chunk's text, with the place behind the message. */
static int fail_at(const hr_fields *chunk, hr_code code, size_t offset, const char *what, hr_error *err) {
    int64_t line, column;
    hr__fields_place(chunk, offset, &line, &column);
    int64_t byte = chunk->offset_bytes + (int64_t)offset;
    return hr__error_at(err, code, HR_STAGE_DECODE, byte, "%s at line %lld, column %lld (byte %lld)", what,
                        (long long)line, (long long)column, (long long)byte);
}

int hr__csv_check_utf8(const hr_fields *chunk, hr_error *err) {
    size_t at = hr__utf8_error(chunk->text.data, chunk->text.size_bytes);
    return at == SIZE_MAX ? HR_OK
                          : fail_at(chunk, HR_ENCODING, at, "text that is not UTF-8 (say which encoding it is)", err);
}

/* ---------------------------------------------------------------------------------------------------- rows */

/* Where the row behind the end of a row starts, in text[0..size). */
static size_t next_row(const hr_csv_reader *reader, const char *text, size_t size, size_t end) {
    size_t at = end;
    if (reader->options.dialect.comment != 0) { /* the row may have ended at a comment */
        while (at < size && text[at] != '\n' && text[at] != '\r') {
            at++;
        }
    }
    return at + 1 < size && text[at] == '\r' && text[at + 1] == '\n' ? at + 2 : at + 1;
}

/* Skips lines that are nothing but a comment. */
static size_t skip_comments(const hr_csv_reader *reader, const char *text, size_t size, size_t at) {
    while (reader->options.dialect.comment != 0 && at < size && text[at] == reader->options.dialect.comment) {
        at = next_row(reader, text, size, at);
    }
    return at;
}

static bool is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (text[i] != ' ' && text[i] != '\t') {
            return false;
        }
    }
    return true;
}

/* A row with more fields than there are columns, or with fewer. *keep_out: it stays. */
static int ragged_row(hr_csv_reader *reader, hr_fields *chunk, const hr_fields_row *row, size_t n_wanted,
                      bool *keep_out, hr_error *err) {
    bool is_long = row->n > n_wanted;
    hr_csv_ragged ragged = reader->options.ragged;
    if (is_long && reader->options.has_use && ragged == HR_CSV_RAGGED_UNSET) {
        ragged = HR_CSV_RAGGED_PAD; /* as in pandas, where usecols looks at those columns only */
    }
    if (ragged == HR_CSV_RAGGED_RAISE || (is_long && ragged == HR_CSV_RAGGED_UNSET)) {
        char what[96];
        snprintf(what, sizeof what, "expected %zu fields, found %u in the row", n_wanted, (unsigned)row->n);
        int rc = fail_at(chunk, HR_SYNTAX, row->start, what, err);
        if (err != NULL) {
            err->record = reader->n_seen;
        }
        return rc;
    }
    reader->n_long += is_long;
    reader->n_short += !is_long;
    *keep_out = !is_long || ragged == HR_CSV_RAGGED_PAD;
    if (is_long && reader->n_bad_lines < reader->options.max_bad_rows) {
        int64_t column;
        if (hr__grow(reader->options.alloc, (void **)&reader->bad_lines, &reader->cap_bad_lines,
                     reader->n_bad_lines + 1, sizeof *reader->bad_lines) != HR_OK) {
            return hr__error_memory(err, HR_STAGE_DECODE);
        }
        hr__fields_place(chunk, row->start, &reader->bad_lines[reader->n_bad_lines++], &column);
    }
    return HR_OK;
}

/* The names' row, or the first row where there is none, settles the columns. *is_row_out: it is data itself. */
static int settle_head(hr_csv_reader *reader, hr_fields *chunk, const hr_fields_row *row, bool is_header,
                       hr_error *err) {
    chunk->rows[0] = *row;
    chunk->n_rows = 1;
    int rc = is_header ? hr__csv_head_names(&reader->options, chunk, reader->head, err) : HR_OK;
    if (rc == HR_OK && !is_header) {
        rc = hr__csv_head_columns(&reader->options, row->n, reader->head, err);
        reader->has_head = rc == HR_OK;
    }
    chunk->n_rows = 0;
    return rc;
}

static int check_row(const hr_csv_reader *reader, const hr_fields *chunk, const hr_fields_row *row, size_t next,
                     hr_error *err) {
    if (row->n > reader->options.max_columns) {
        char what[80];
        snprintf(what, sizeof what, "a row of %u fields, more than max_columns %u", (unsigned)row->n,
                 reader->options.max_columns);
        return fail_at(chunk, HR_LIMIT, row->start, what, err);
    }
    for (size_t f = 0; next - row->start > reader->options.max_field_bytes && f < row->n; f++) {
        uint32_t end = chunk->ends[row->first + f];
        uint32_t start = f == 0 ? row->start : chunk->ends[row->first + f - 1] + 1;
        if (end - start > reader->options.max_field_bytes) {
            return fail_at(chunk, HR_LIMIT, start, "a field longer than max_field_bytes", err);
        }
    }
    return HR_OK;
}

/* One row of the index: left out, taken as names, or put behind the chunk's rows. */
static int take_row(hr_csv_reader *reader, hr_fields *chunk, const hr_fields_row *row, hr_error *err) {
    const char *text = chunk->text.data + row->start;
    if (reader->skip_left > 0) {
        reader->skip_left--;
        return HR_OK;
    }
    if (row->n == 1 && reader->options.dialect.skip_blank_lines &&
        is_blank(text, chunk->ends[row->first] - row->start)) {
        return HR_OK;
    }
    if (reader->header_left >= 0) {
        if (reader->header_left-- == 0) {
            HR_TRY(settle_head(reader, chunk, row, true, err));
        }
        return HR_OK;
    }
    if (reader->options.max_rows >= 0 && reader->n_seen >= reader->options.max_rows) {
        reader->done = true;
        return HR_OK;
    }
    if (!reader->has_head) {
        HR_TRY(settle_head(reader, chunk, row, false, err));
    }
    bool keep = true;
    size_t n_wanted = reader->head->n_leading + reader->head->n_columns;
    if (HR_UNLIKELY(row->n != n_wanted)) {
        HR_TRY(ragged_row(reader, chunk, row, n_wanted, &keep, err));
    }
    if (keep) {
        chunk->rows[chunk->n_rows++] = *row;
        reader->n_seen++;
    }
    return HR_OK;
}

/* Moves the first n rows of the index, which end before `next`, into the chunk at work. */
static int take_rows(hr_csv_reader *reader, size_t n, size_t next, hr_error *err) {
    hr_fields *chunk = reader->cur;
    hr_csv_index *index = &reader->index;
    const char *text = chunk->text.data;
    if (hr__grow(reader->options.alloc, (void **)&chunk->rows, &chunk->cap_rows, n + 1, sizeof *chunk->rows) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    chunk->ends = index->ends;
    index->ends = NULL;
    index->cap = 0;
    chunk->first_record = reader->n_seen;
    size_t start = skip_comments(reader, text, next, reader->start_bytes);
    uint32_t first = 0;
    for (size_t r = 0; r < n; r++) {
        hr_fields_row row = {(uint32_t)start, first, index->rows[r] - first};
        first = index->rows[r];
        start = skip_comments(reader, text, next, next_row(reader, text, next, chunk->ends[first - 1]));
        HR_TRY(check_row(reader, chunk, &row, start, err));
        HR_TRY(take_row(reader, chunk, &row, err));
    }
    return HR_OK;
}

/* Ends the chunk at work behind n rows of the index; *chunk_out is NULL when none of them is data. */
static int cut(hr_csv_reader *reader, size_t n, hr_fields **chunk_out, hr_error *err) {
    hr_fields *chunk = reader->cur, *next;
    size_t size = chunk->text.size_bytes;
    size_t end = reader->index.ends[reader->index.rows[n - 1] - 1];
    size_t at = next_row(reader, chunk->text.data, size, end);
    at = at > size ? size : at;
    bool is_cut_cr = at == size && at > 0 && chunk->text.data[at - 1] == '\r';
    reader->n_ends_last = reader->index.rows[n - 1];
    size_t n_quoted_lines = reader->index.n_quoted_lines;
    hr_error own = {.offset_bytes = -1, .record = -1};
    int rc = take_rows(reader, n, at, &own);
    if (rc != HR_OK && (rc == HR_MEMORY || chunk->n_rows == 0)) {
        if (err != NULL) {
            *err = own;
        }
        return rc;
    }
    reader->error = rc == HR_OK ? reader->error : own; /* the rows before it are given first */
    if (hr__fields_new(reader->options.alloc, reader->head, &next) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    next->offset_bytes = chunk->offset_bytes + (int64_t)at;
    bool is_line_a_row = n_quoted_lines == 0 && reader->options.dialect.comment == 0;
    if (is_line_a_row) {
        next->first_line = chunk->first_line + (int64_t)n;
    } else {
        int64_t column;
        hr__fields_place(chunk, at, &next->first_line, &column);
    }
    /* The next one will be about as long. */
    size_t guess = at + at / 8 > reader->options.chunk_bytes ? size - at : at + at / 8;
    if (hr__buf_reserve(&next->text, guess + SLICE_BYTES + HR_FIELDS_PADDING) != HR_OK ||
        hr__buf_append(&next->text, chunk->text.data + at, size - at) != HR_OK) {
        hr__fields_free(next);
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    chunk->text.size_bytes = at;
    reader->cur = next;
    reader->start_bytes = 0;
    reader->skips_lf = is_cut_cr;
    reader->is_plain = false;
    hr__csv_index_start(&reader->index);
    if (chunk->n_rows == 0) {
        hr__fields_free(chunk);
        return HR_OK;
    }
    *chunk_out = chunk;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- bytes */

static int index_more(hr_csv_reader *reader, bool last, hr_error *err) {
    hr_fields *cur = reader->cur;
    const hr_csv_dialect *dialect = &reader->options.dialect;
    hr_csv_index *index = &reader->index;
    const char *text = cur->text.data;
    size_t size = cur->text.size_bytes;
    if (reader->skips_lf && size != 0) {
        reader->skips_lf = false;
        index->after_cr = text[0] == '\n';
        reader->start_bytes = text[0] == '\n' ? 1 : 0;
        cur->first_line -= text[0] == '\n';
    }
    if (index->ends == NULL && hr__grow(reader->options.alloc, (void **)&index->ends, &index->cap,
                                        reader->n_ends_last + reader->n_ends_last / 8 + 64, sizeof *index->ends)) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    bool is_any = reader->is_plain || dialect->escape != 0 || dialect->comment != 0 || dialect->skip_space;
    int rc = HR_OK;
    if (!is_any) {
        rc = (reader->options.portable ? hr__csv_index_portable : hr__csv_index_avx2)(dialect, text, size, last,
                                                                                      reader->options.alloc, index);
        if (rc == HR_OK && index->irregular) {
            reader->is_plain = is_any = true;
            hr__csv_index_start(index);
            index->after_cr = reader->start_bytes;
        }
    }
    if (rc == HR_OK && is_any) {
        rc = hr__csv_index_plain(dialect, text, size, last, reader->options.alloc, index);
    }
    return rc == HR_OK ? HR_OK : hr__error_memory(err, HR_STAGE_DECODE);
}

/* What is not a complete row yet must stay below the limits. */
static int check_open(hr_csv_reader *reader, hr_error *err) {
    const hr_csv_index *index = &reader->index;
    size_t size = reader->cur->text.size_bytes;
    size_t field = index->n == 0 ? 0 : index->ends[index->n - 1] + 1;
    size_t row = index->n_rows == 0 ? 0 : index->ends[index->rows[index->n_rows - 1] - 1] + 1;
    if (index->state == HR_CSV_COMMENT || index->state == HR_CSV_COMMENT_LINE) {
        return HR_OK;
    }
    size_t n_open = index->n - (index->n_rows == 0 ? 0 : index->rows[index->n_rows - 1]);
    if (n_open > reader->options.max_columns) {
        char what[64];
        snprintf(what, sizeof what, "a row of more fields than max_columns %u", reader->options.max_columns);
        return fail_at(reader->cur, HR_LIMIT, row, what, err);
    }
    if (size > field && size - field > (size_t)reader->options.max_field_bytes + SLICE_BYTES) {
        return fail_at(reader->cur, HR_LIMIT, field,
                       "a field longer than max_field_bytes (a quote that is not closed?)", err);
    }
    if (size > row && size - row > reader->options.max_row_bytes) {
        return fail_at(reader->cur, HR_LIMIT, row, "a row longer than max_row_bytes", err);
    }
    return HR_OK;
}

/* Rows of the index that make a chunk; 0: not enough yet. */
static size_t rows_due(const hr_csv_reader *reader) {
    int64_t before = (reader->skip_left > 0 ? reader->skip_left : 0) + reader->header_left + 1;
    size_t wanted = reader->options.chunk_rows + (size_t)before;
    if (reader->index.n_rows >= wanted) {
        return wanted;
    }
    return reader->cur->text.size_bytes >= reader->options.chunk_bytes ? reader->index.n_rows : 0;
}

/* The error of the row behind the chunk that was given last. */
static int failed_before(const hr_csv_reader *reader, hr_error *err) {
    if (reader->error.code != HR_OK && err != NULL) {
        *err = reader->error;
    }
    return reader->error.code;
}

/* Takes bytes until a chunk is there. */
static int take_bytes(hr_csv_reader *reader, const char *data, size_t size, size_t *used_out, hr_fields **chunk_out,
                      hr_error *err) {
    size_t used = 0;
    HR_TRY(failed_before(reader, err));
    while (*chunk_out == NULL && !reader->done && (used < size || rows_due(reader) != 0)) {
        size_t due = rows_due(reader);
        if (due != 0) {
            HR_TRY(cut(reader, due, chunk_out, err));
            HR_TRY(reader->error.code == HR_OK ? index_more(reader, false, err) : HR_OK);
            continue;
        }
        size_t n = size - used < SLICE_BYTES ? size - used : SLICE_BYTES;
        HR_TRY(hr__encoding_convert(reader->encoding.encoding, data + used, n, false, &reader->carry,
                                    &reader->cur->text, err));
        used += n;
        if (hr__buf_reserve(&reader->cur->text, HR_FIELDS_PADDING) != HR_OK) {
            return hr__error_memory(err, HR_STAGE_DECODE);
        }
        HR_TRY(index_more(reader, false, err));
        HR_TRY(check_open(reader, err));
    }
    *used_out = reader->done ? size : used;
    return HR_OK;
}

/* Finds what was not said from the bytes so far. */
static int start(hr_csv_reader *reader, bool is_all, hr_error *err) {
    hr_str sample = {reader->pending.data == NULL ? "" : reader->pending.data, reader->pending.size_bytes};
    hr_encoding_guess guess = hr__encoding_detect(sample.data, sample.size_bytes, is_all);
    hr_encoding given = reader->options.encoding;
    if (given != HR_ENCODING_UNSET) {
        /* A byte order mark of that encoding is none of its text. */
        guess = (hr_encoding_guess){given, 1, guess.encoding == given ? guess.bom_bytes : 0};
    }
    reader->encoding = guess;
    reader->pending_at = guess.bom_bytes;
    reader->cur->offset_bytes = guess.encoding == HR_ENCODING_UTF_8 ? (int64_t)guess.bom_bytes : 0;
    reader->started = true;
    if (reader->options.sniff) {
        hr_buf text;
        hr_encoding_carry carry = {0};
        hr__buf_init(&text, reader->options.alloc, 0);
        int rc = hr__encoding_convert(guess.encoding, sample.data + guess.bom_bytes,
                                      sample.size_bytes - guess.bom_bytes, false, &carry, &text, err);
        if (rc == HR_OK) {
            hr__csv_sniff((hr_str){text.data == NULL ? "" : text.data, text.size_bytes}, &reader->options.dialect,
                          &reader->dialect_confidence);
        }
        hr__buf_free(&text);
        return rc;
    }
    return HR_OK;
}

/* What is left of the bytes that were kept for the start. */
static int drain(hr_csv_reader *reader, hr_fields **chunk_out, hr_error *err) {
    size_t used = 0, left = reader->pending.size_bytes - reader->pending_at;
    if (left == 0) {
        return HR_OK;
    }
    HR_TRY(take_bytes(reader, reader->pending.data + reader->pending_at, left, &used, chunk_out, err));
    reader->pending_at += used;
    if (reader->pending_at == reader->pending.size_bytes) {
        hr__buf_free(&reader->pending);
        hr__buf_init(&reader->pending, reader->options.alloc, 0);
        reader->pending_at = 0;
    }
    return HR_OK;
}

static int feed(hr_csv_reader *reader, const char *data, size_t size_bytes, size_t *used_out, hr_fields **chunk_out,
                hr_error *err) {
    size_t used = 0;
    if (!reader->started) {
        size_t room = SAMPLE_BYTES - reader->pending.size_bytes;
        used = size_bytes < room ? size_bytes : room;
        if (hr__buf_append(&reader->pending, data, used) != HR_OK) {
            return hr__error_memory(err, HR_STAGE_DECODE);
        }
        if (reader->pending.size_bytes == SAMPLE_BYTES) {
            HR_TRY(start(reader, false, err));
        }
    }
    if (reader->started) {
        HR_TRY(drain(reader, chunk_out, err));
        if (*chunk_out == NULL) {
            size_t more = 0;
            HR_TRY(take_bytes(reader, data + used, size_bytes - used, &more, chunk_out, err));
            used += more;
        }
    }
    *used_out = used;
    return HR_OK;
}

/* Gives the chunk out, or drops it when something failed behind it. */
static int hand_over(int rc, hr_fields *chunk, hr_fields **chunk_out) {
    if (rc == HR_OK) {
        *chunk_out = chunk;
    } else {
        hr__fields_free(chunk);
    }
    return rc;
}

int hr__csv_feed(hr_csv_reader *reader, const char *data, size_t size_bytes, size_t *used_out, hr_fields **chunk_out,
                 hr_error *err) {
    hr_fields *chunk = NULL;
    int rc = feed(reader, data, size_bytes, used_out, &chunk, err);
    return hand_over(rc, chunk, chunk_out);
}

/* The end of a row that no end of a line ends. */
static int end_open_row(hr_csv_reader *reader, hr_error *err) {
    hr_csv_index *index = &reader->index;
    hr_fields *cur = reader->cur;
    size_t size = cur->text.size_bytes;
    if (index->inside != 0) {
        size_t row = index->n_rows == 0 ? 0 : index->ends[index->rows[index->n_rows - 1] - 1] + 1;
        return fail_at(cur, HR_SYNTAX, row, "the file ends inside quotes; the row begins", err);
    }
    char before = size > reader->start_bytes ? cur->text.data[size - 1] : '\n';
    bool is_comment = index->state == HR_CSV_COMMENT || index->state == HR_CSV_COMMENT_LINE;
    bool is_escaped = index->state == HR_CSV_IN && reader->options.dialect.escape != 0;
    if (is_comment || ((before == '\n' || before == '\r') && !is_escaped)) {
        return HR_OK;
    }
    if (hr__grow(reader->options.alloc, (void **)&index->ends, &index->cap, index->n + 1, sizeof *index->ends) !=
            HR_OK ||
        hr__grow(reader->options.alloc, (void **)&index->rows, &index->cap_rows, index->n_rows + 1,
                 sizeof *index->rows) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    index->ends[index->n++] = (uint32_t)size;
    index->rows[index->n_rows++] = (uint32_t)index->n;
    return HR_OK;
}

static int finish_rows(hr_csv_reader *reader, hr_fields **chunk_out, hr_error *err) {
    HR_TRY(failed_before(reader, err));
    if (!reader->finished) {
        reader->finished = true;
        HR_TRY(hr__encoding_convert(reader->encoding.encoding, "", 0, true, &reader->carry, &reader->cur->text, err));
        if (hr__buf_reserve(&reader->cur->text, HR_FIELDS_PADDING) != HR_OK) {
            return hr__error_memory(err, HR_STAGE_DECODE);
        }
        HR_TRY(index_more(reader, true, err));
        HR_TRY(end_open_row(reader, err));
    }
    while (*chunk_out == NULL && !reader->done && reader->index.n_rows != 0) {
        size_t due = rows_due(reader);
        due = due == 0 ? reader->index.n_rows : due;
        HR_TRY(cut(reader, due, chunk_out, err));
        if (reader->error.code == HR_OK) {
            HR_TRY(index_more(reader, true, err));
            HR_TRY(end_open_row(reader, err));
        }
    }
    return HR_OK;
}

static int finish(hr_csv_reader *reader, hr_fields **chunk_out, hr_error *err) {
    if (!reader->started) {
        HR_TRY(start(reader, true, err));
    }
    HR_TRY(drain(reader, chunk_out, err));
    if (*chunk_out == NULL && !reader->done) {
        HR_TRY(finish_rows(reader, chunk_out, err));
    }
    if (*chunk_out == NULL && reader->header_left >= 0 && !reader->options.strict_names) {
        return hr__error_set(err, HR_SYNTAX, HR_STAGE_DECODE, "the file has no row of column names");
    }
    return HR_OK;
}

int hr__csv_finish(hr_csv_reader *reader, hr_fields **chunk_out, hr_error *err) {
    hr_fields *chunk = NULL;
    *chunk_out = NULL;
    int rc = finish(reader, &chunk, err);
    return hand_over(rc, chunk, chunk_out);
}

int hr__csv_read(hr_csv_reader *reader, hr_str body, hr_csv_take take, void *ctx, hr_error *err) {
    hr_fields *chunk;
    for (size_t at = 0; at < body.size_bytes;) {
        size_t used;
        HR_TRY(hr__csv_feed(reader, body.data + at, body.size_bytes - at, &used, &chunk, err));
        at += used;
        if (chunk != NULL) {
            HR_TRY(take(ctx, chunk, err));
        }
    }
    for (;;) {
        HR_TRY(hr__csv_finish(reader, &chunk, err));
        if (chunk == NULL) {
            return HR_OK;
        }
        HR_TRY(take(ctx, chunk, err));
    }
}
