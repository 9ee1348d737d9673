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

static int write_value(writer *w, size_t at, bool top);

static int write_object(writer *w, size_t at, bool top) {
    hr_member *members = NULL;
    size_t n = 0;
    if (hr__doc_members(w->doc, at, w->out->alloc, &members, &n) != HR_OK) {
        return hr__error_memory(w->err, HR_STAGE_NORMALIZE);
    }
    if (top && (w->flags & HR_WRITE_SKIP_DLT)) {
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            if (members[i].key.size_bytes < 4 || memcmp(members[i].key.data, "_dlt", 4) != 0) {
                members[kept++] = members[i];
            }
        }
        n = kept;
    }
    if (w->flags & HR_WRITE_SORT_KEYS) {
        hr__doc_members_sort(members, n);
    }
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
            return hr__error_set(w->err, HR_RANGE, HR_STAGE_NORMALIZE, "an integer of %u digits exceeds 64 bits",
                                 tok->len);
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
