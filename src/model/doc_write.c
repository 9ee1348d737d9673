/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of a document as JSON text, as orjson writes them.
 *
 * Recursion is bounded by the decoder's max_depth; a frame is small (an object's members are on the heap, in one list).
 */
#include "doc_write.h"

#include "number.h"

#include <math.h>

typedef struct writer {
    const hr_doc *doc;
    uint32_t flags;
    const size_t *elide;
    size_t n_elide;
    hr_buf *out;
    hr_error *err;
} writer;

static int put(hr_buf *out, const char *data, size_t size_bytes, hr_error *err) {
    int rc = hr__buf_append(out, data, size_bytes);
    return rc == HR_OK ? HR_OK : hr__error_set(err, (hr_code)rc, HR_STAGE_NORMALIZE, "%s", hr_code_text((hr_code)rc));
}

/* What JSON must escape: 0 nothing, 1 by a letter, 2 by \u00xx. */
static char escape_letter(unsigned char c) {
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

int hr__doc_write_string(hr_str text, uint32_t flags, hr_buf *out, hr_error *err) {
    static const char hex[] = "0123456789abcdef";
    if (text.size_bytes > SIZE_MAX / 8 || hr__buf_reserve(out, text.size_bytes * 6 + 2) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_NORMALIZE);
    }
    char *at = out->data + out->size_bytes;
    *at++ = '"';
    for (size_t i = 0; i < text.size_bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char letter = c == '"' || c == '\\' || c < 0x20 ? escape_letter(c) : 0;
        if (letter != 0) {
            *at++ = '\\';
            *at++ = letter;
        } else if (c < 0x20) {
            memcpy(at, "\\u00", 4);
            at[4] = hex[c >> 4];
            at[5] = hex[c & 15];
            at += 6;
        } else if (c == 0xED && i + 2 < text.size_bytes && (unsigned char)text.data[i + 1] >= 0xA0) {
            if ((flags & HR_WRITE_LENIENT) == 0) {
                return hr__error_set(err, HR_ENCODING, HR_STAGE_NORMALIZE,
                                     "a string holds a lone surrogate, which is not text");
            }
            unsigned code = 0xD000u | (unsigned)(text.data[i + 1] & 63) << 6 | (unsigned)(text.data[i + 2] & 63);
            memcpy(at, "\\u", 2);
            for (int k = 0; k < 4; k++) {
                at[2 + k] = hex[code >> (12 - 4 * k) & 15];
            }
            at += 6;
            i += 2;
        } else {
            *at++ = (char)c;
        }
    }
    *at++ = '"';
    out->size_bytes = (size_t)(at - out->data);
    return HR_OK;
}

/* A member that counts: first position of its key, last value. */
typedef struct member {
    hr_str key;
    size_t value;
} member;

static int compare_keys(hr_str a, hr_str b) {
    size_t n = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);
    return order != 0 ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

/* Above this many members, duplicates are looked for by sorting instead of by comparing all pairs. */
#define PAIRWISE_MEMBERS 32

/* Stable merge sort of members by key. scratch has room for n. */
static void sort_members(member *m, size_t n, member *scratch) {
    if (n < 2) {
        return;
    }
    size_t half = n / 2;
    sort_members(m, half, scratch);
    sort_members(m + half, n - half, scratch);
    memcpy(scratch, m, half * sizeof *m);
    size_t i = 0, j = half, k = 0;
    while (i < half) {
        m[k++] = j < n && compare_keys(m[j].key, scratch[i].key) < 0 ? m[j++] : scratch[i++];
    }
}

static int write_value(writer *w, size_t at, bool top);

/* The object's members as Python's dict has them, and sorted if asked. *members_out is from alloc. */
static int collect_members(writer *w, size_t object, bool top, member **members_out, size_t *n_out) {
    const hr_doc *doc = w->doc;
    const hr_allocator *alloc = w->out->alloc;
    size_t n_all = doc->toks[object].len;
    member *m = hr__calloc(alloc, 2 * n_all + 1, sizeof *m);
    if (m == NULL) {
        return hr__error_memory(w->err, HR_STAGE_NORMALIZE);
    }
    size_t n = 0, at = object + 1;
    for (size_t i = 0; i < n_all; i++) {
        const hr_tok *name = &doc->toks[at];
        hr_str key = {name->as.str, name->len};
        size_t value = at + 1;
        at = hr__doc_next(doc, at + 1);
        if (top && (w->flags & HR_WRITE_SKIP_DLT) && key.size_bytes >= 4 && memcmp(key.data, "_dlt", 4) == 0) {
            continue;
        }
        size_t same = n;
        for (size_t k = 0; n_all <= PAIRWISE_MEMBERS && k < n; k++) {
            if (hr__str_eq(m[k].key, key)) {
                same = k;
                break;
            }
        }
        m[same] = (member){key, value};
        n += same == n;
    }
    member *scratch = m + n_all;
    if (n_all > PAIRWISE_MEMBERS) { /* sort (position, value) by key to find the equal ones, keep the first's place */
        member *order = hr__calloc(alloc, 2 * n + 1, sizeof *order);
        if (order == NULL) {
            hr__free(alloc, m);
            return hr__error_memory(w->err, HR_STAGE_NORMALIZE);
        }
        for (size_t k = 0; k < n; k++) {
            order[k] = (member){m[k].key, k};
        }
        sort_members(order, n, order + n);
        for (size_t k = 0; k < n;) {
            size_t end = k + 1;
            while (end < n && hr__str_eq(order[k].key, order[end].key)) {
                end++;
            }
            if (end - k > 1) {
                m[order[k].value].value = m[order[end - 1].value].value;
                for (size_t d = k + 1; d < end; d++) {
                    m[order[d].value].key.data = NULL; /* dropped */
                    m[order[d].value].value = SIZE_MAX;
                }
            }
            k = end;
        }
        hr__free(alloc, order);
        size_t kept = 0;
        for (size_t k = 0; k < n; k++) {
            if (m[k].value != SIZE_MAX) {
                m[kept++] = m[k];
            }
        }
        n = kept;
    }
    if (w->flags & HR_WRITE_SORT_KEYS) {
        sort_members(m, n, scratch);
    }
    *members_out = m;
    *n_out = n;
    return HR_OK;
}

static int write_object(writer *w, size_t at, bool top) {
    member *members;
    size_t n;
    HR_TRY(collect_members(w, at, top, &members, &n));
    int rc = put(w->out, "{", 1, w->err);
    for (size_t i = 0; i < n && rc == HR_OK; i++) {
        rc = i == 0 ? HR_OK : put(w->out, ",", 1, w->err);
        rc = rc != HR_OK ? rc : hr__doc_write_string(members[i].key, w->flags, w->out, w->err);
        rc = rc != HR_OK ? rc : put(w->out, ":", 1, w->err);
        rc = rc != HR_OK ? rc : write_value(w, members[i].value, false);
    }
    hr__free(w->out->alloc, members);
    return rc != HR_OK ? rc : put(w->out, "}", 1, w->err);
}

static bool is_elided(const writer *w, size_t at) {
    if (w->flags & HR_WRITE_EMPTY_ARRAYS) {
        return true;
    }
    for (size_t i = 0; i < w->n_elide; i++) {
        if (w->elide[i] == at) {
            return true;
        }
    }
    return false;
}

static int write_array(writer *w, size_t at) {
    if (is_elided(w, at)) {
        return put(w->out, "[]", 2, w->err);
    }
    HR_TRY(put(w->out, "[", 1, w->err));
    size_t item = at + 1;
    for (uint32_t i = 0; i < w->doc->toks[at].len; i++) {
        if (i != 0) {
            HR_TRY(put(w->out, ",", 1, w->err));
        }
        HR_TRY(write_value(w, item, false));
        item = hr__doc_next(w->doc, item);
    }
    return put(w->out, "]", 1, w->err);
}

static int write_value(writer *w, size_t at, bool top) {
    const hr_tok *tok = &w->doc->toks[at];
    char text[40];
    switch (tok->type) {
    case HR_TOK_NULL:
        return put(w->out, "null", 4, w->err);
    case HR_TOK_FALSE:
        return put(w->out, "false", 5, w->err);
    case HR_TOK_TRUE:
        return put(w->out, "true", 4, w->err);
    case HR_TOK_INT:
        return put(w->out, text, hr__int_repr(tok->as.i, text), w->err);
    case HR_TOK_UINT:
        return put(w->out, text, hr__uint_repr(tok->as.u, text), w->err);
    case HR_TOK_BIGINT:
        if ((w->flags & HR_WRITE_LENIENT) == 0) {
            return hr__error_set(w->err, HR_RANGE, HR_STAGE_NORMALIZE, "an integer of %u digits exceeds 64 bits", tok->len);
        }
        return put(w->out, tok->as.str, tok->len, w->err);
    case HR_TOK_DOUBLE:
        if (isinf(tok->as.d) && (w->flags & HR_WRITE_LENIENT) != 0) {
            return put(w->out, tok->as.d < 0 ? "-1e999" : "1e999", tok->as.d < 0 ? 6 : 5, w->err);
        }
        return put(w->out, text, hr__double_repr_orjson(tok->as.d, text), w->err);
    case HR_TOK_STRING:
        return hr__doc_write_string((hr_str){tok->as.str, tok->len}, w->flags, w->out, w->err);
    case HR_TOK_ARRAY:
        return write_array(w, at);
    default:
        return write_object(w, at, top);
    }
}

int hr__doc_write(const hr_doc *doc, size_t at, uint32_t flags, const size_t *elide, size_t n_elide, hr_buf *out,
                  hr_error *err) {
    writer w = {doc, flags, elide, n_elide, out, err};
    return write_value(&w, at, true);
}
