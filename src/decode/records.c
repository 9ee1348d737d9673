/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over brackets, commas and strings, whose state outlives a chunk.
 */
#include "records.h"

int hr__record_finder_init(hr_record_finder *records, const hr_str *path, size_t n_path, hr_error *err) {
    if (n_path > HR_RECORDS_PATH_MAX) {
        return hr__error_set(err, HR_LIMIT, HR_STAGE_DECODE, "the path has %zu keys, more than %d", n_path,
                             HR_RECORDS_PATH_MAX);
    }
    *records = (hr_record_finder){.n_path = (uint32_t)n_path, .is_on_path = true};
    for (size_t i = 0; i < n_path; i++) {
        if (path[i].size_bytes > HR_RECORDS_KEY_MAX) {
            return hr__error_set(err, HR_LIMIT, HR_STAGE_DECODE, "a key of the path has %zu bytes, more than %d",
                                 path[i].size_bytes, HR_RECORDS_KEY_MAX);
        }
        records->path[i] = path[i];
    }
    return HR_OK;
}

static int bad(const hr_record_finder *r, size_t at, const char *what, hr_error *err) {
    uint64_t offset = r->offset + at;
    return hr__error_at(err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)offset, "%s at byte %llu", what,
                        (unsigned long long)offset);
}

/* A container opens at `at`. */
static int open_container(hr_record_finder *r, char c, size_t at, hr_record_span *span, hr_error *err) {
    if (r->phase == HR_RECORDS_CLOSED) {
        return bad(r, at, "expected the end of the document, found more", err);
    }
    r->depth++;
    if (r->phase != HR_RECORDS_SEEK || !r->is_on_path) {
        return HR_OK;
    }
    r->is_on_path = false;
    r->level = r->depth;
    if (r->n_matched < r->n_path) {
        return c == '{' ? HR_OK : bad(r, at, "expected an object on the way to the records, found a list", err);
    }
    r->phase = c == '[' ? HR_RECORDS_ARRAY : HR_RECORDS_OBJECT;
    span->begin = c == '[' ? at + 1 : at;
    span->has_begin = true;
    return HR_OK;
}

static int close_container(hr_record_finder *r, char c, size_t at, hr_record_span *span, hr_error *err) {
    if (r->depth == 0) {
        return bad(r, at, "a bracket closes that was not opened", err);
    }
    bool is_level = r->depth == r->level;
    r->depth--;
    if ((r->phase == HR_RECORDS_ARRAY || r->phase == HR_RECORDS_OBJECT) && is_level) {
        if (c != (r->phase == HR_RECORDS_ARRAY ? ']' : '}')) {
            return bad(r, at, "brackets do not pair", err);
        }
        span->end = r->phase == HR_RECORDS_ARRAY ? at : at + 1;
        span->has_end = span->is_done = true;
        r->phase = HR_RECORDS_AFTER;
    } else if (r->phase == HR_RECORDS_SEEK && is_level) {
        return bad(r, at,
                   r->is_on_path ? "expected a list or an object at the path, found something else"
                                 : "the path of the records is not there: its object ends",
                   err);
    }
    if (r->depth == 0) {
        r->phase = HR_RECORDS_CLOSED;
    }
    return HR_OK;
}

static int comma(hr_record_finder *r, size_t at, hr_record_span *span, hr_error *err) {
    if (r->depth != r->level) {
        return r->depth == 0 ? bad(r, at, "expected the end of the document, found ','", err) : HR_OK;
    }
    if (r->phase == HR_RECORDS_ARRAY) {
        span->end = at;
        span->has_end = true;
        r->n_records++;
    } else if (r->phase == HR_RECORDS_SEEK && r->is_on_path) {
        return bad(r, at, "expected a list or an object at the path, found something else", err);
    }
    return HR_OK;
}

/* Bytes of a string up to its end or the chunk's; returns how many. Keys are compared as they are written. */
static size_t in_string(hr_record_finder *r, const char *text, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; i++) {
        char c = text[i];
        if (c == '"' && !r->escaped) {
            r->in_string = false;
            r->is_match = r->is_match && r->key_bytes == r->path[r->n_matched].size_bytes;
            return i + 1;
        }
        r->escaped = c == '\\' && !r->escaped;
        if (r->is_match) {
            hr_str want = r->path[r->n_matched];
            r->is_match = r->key_bytes < want.size_bytes && want.data[r->key_bytes] == c;
            r->key_bytes++;
        }
    }
    return size_bytes;
}

/* What the walk stops at. */
static const bool counts[256] = {
    ['"'] = true, ['{'] = true, ['}'] = true, ['['] = true, [']'] = true, [','] = true, [':'] = true};

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

int hr__record_finder_scan(hr_record_finder *records, const char *chunk, size_t size_bytes, hr_record_span *span_out,
                           hr_error *err) {
    hr_record_finder *r = records;
    bool is_inside = r->phase == HR_RECORDS_ARRAY || r->phase == HR_RECORDS_OBJECT;
    hr_record_span span = {.has_begin = is_inside};
    for (size_t i = 0; i < size_bytes;) {
        if (r->in_string) {
            i += in_string(r, chunk + i, size_bytes - i);
            continue;
        }
        char c = chunk[i];
        if (HR_LIKELY(!counts[(unsigned char)c])) {
            if (HR_UNLIKELY(r->phase == HR_RECORDS_CLOSED && !is_blank(c))) {
                return bad(r, i, "expected the end of the document, found more", err);
            }
            i++;
            continue;
        }
        if (c == '"') {
            if (r->depth == 0) {
                return bad(r, i, "expected a list or an object, found a string", err);
            }
            r->in_string = true;
            /* In an object on the way a string that is no value is a key; a value's outcome is not asked for. */
            r->is_match = r->phase == HR_RECORDS_SEEK && r->depth == r->level && !r->is_on_path;
            r->key_bytes = 0;
        } else if (c == ':') {
            if (r->phase == HR_RECORDS_SEEK && r->depth == r->level && r->is_match) {
                r->is_on_path = true;
                r->n_matched++;
                r->is_match = false;
            }
        } else if (c == ',') {
            HR_TRY(comma(r, i, &span, err));
        } else if (c == '{' || c == '[') {
            HR_TRY(open_container(r, c, i, &span, err));
        } else {
            HR_TRY(close_container(r, c, i, &span, err));
        }
        i++;
    }
    r->offset += size_bytes;
    *span_out = span;
    return HR_OK;
}

int hr__record_finder_finish(const hr_record_finder *records, hr_error *err) {
    if (records->phase == HR_RECORDS_CLOSED) {
        return HR_OK;
    }
    return bad(records, 0,
               records->in_string    ? "the document ends within a string"
               : records->depth != 0 ? "the document ends within a list or an object"
                                     : "expected a list or an object, found the end of the document",
               err);
}
