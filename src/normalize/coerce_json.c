/* SPDX-License-Identifier: Apache-2.0
 *
 * A small JSON reader for text inside a document: dlt-semantics rule 34, json from text. It writes a document tape,
 * which hr__doc_write then writes as text; the decode stage is not below this one, and this path is rare.
 *
 * The grammar is orjson's: RFC 8259; integers beyond 64 bits are doubles, and doubles beyond the largest are an error;
 * containers nest up to 1024 when read and up to 254 when written. Containers that are open are chained through
 * tok.as.at.next, so nothing recurses.
 */
#include "coerce_json.h"

#include "doc.h"
#include "doc_write.h"
#include "number.h"

#include <math.h>

/* orjson 3.11: loads refuses the 1025th level, dumps the 255th (measured). */
#define READ_DEPTH_MAX 1024
#define WRITE_DEPTH_MAX 254
#define NO_PARENT UINT32_MAX

typedef struct reader {
    const char *at, *end;
    hr_doc doc;
    uint32_t open; /* the innermost open container, NO_PARENT: none; the next one out is in its as.at.next */
    uint32_t depth, depth_max;
} reader;

static int add(reader *r, hr_tok tok) {
    if (r->doc.n_toks >= UINT32_MAX ||
        hr__grow(r->doc.arena.alloc, (void **)&r->doc.toks, &r->doc.cap_toks, r->doc.n_toks + 1, sizeof tok) != HR_OK) {
        return HR_MEMORY;
    }
    r->doc.toks[r->doc.n_toks++] = tok;
    return HR_OK;
}

static void skip_space(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) {
        r->at++;
    }
}

static bool take(reader *r, char c) {
    skip_space(r);
    if (r->at < r->end && *r->at == c) {
        r->at++;
        return true;
    }
    return false;
}

/* ---------------------------------------------------------------------------------------------------- strings */

static bool hex4(reader *r, uint32_t *out) {
    uint32_t value = 0;
    if (r->end - r->at < 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        char c = *r->at++, low = (char)(c | 0x20);
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint32_t)(c - '0');
        } else if (low >= 'a' && low <= 'f') {
            value = value << 4 | (uint32_t)(low - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = value;
    return true;
}

static char *put_utf8(char *to, uint32_t point) {
    if (point < 0x80) {
        *to++ = (char)point;
    } else if (point < 0x800) {
        *to++ = (char)(0xC0 | point >> 6);
    } else if (point < 0x10000) {
        *to++ = (char)(0xE0 | point >> 12);
        *to++ = (char)(0x80 | (point >> 6 & 63));
    } else {
        *to++ = (char)(0xF0 | point >> 18);
        *to++ = (char)(0x80 | (point >> 12 & 63));
        *to++ = (char)(0x80 | (point >> 6 & 63));
    }
    if (point >= 0x80) {
        *to++ = (char)(0x80 | (point & 63));
    }
    return to;
}

/* Behind a backslash. */
static bool unescape(reader *r, char **to) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->end ? *r->at++ : '\0';
    if (c == 'u') {
        uint32_t point, low;
        if (!hex4(r, &point) || (point >= 0xDC00 && point < 0xE000)) {
            return false;
        }
        if (point >= 0xD800 && point < 0xDC00) {
            if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u') {
                return false;
            }
            r->at += 2;
            if (!hex4(r, &low) || low < 0xDC00 || low >= 0xE000) {
                return false;
            }
            point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        }
        *to = put_utf8(*to, point);
        return true;
    }
    const char *found = c == '\0' ? NULL : strchr(from, c);
    if (found != NULL) {
        *(*to)++ = into[found - from];
    }
    return found != NULL;
}

/* Behind the opening quote. */
static int read_string(reader *r) {
    const char *from = r->at;
    while (r->at < r->end && *r->at != '"' && *r->at != '\\' && (unsigned char)*r->at >= 0x20) {
        r->at++;
    }
    if (r->at < r->end && *r->at == '"') {
        return add(r, (hr_tok){.type = HR_TOK_STRING, .len = (uint32_t)(r->at++ - from), .as.str = from});
    }
    char *text = hr__arena_alloc(&r->doc.arena, (size_t)(r->end - from)), *to = text;
    if (text == NULL) {
        return HR_MEMORY;
    }
    for (r->at = from; r->at < r->end;) {
        char c = *r->at++;
        if (c == '"') {
            return add(r, (hr_tok){.type = HR_TOK_STRING, .len = (uint32_t)(to - text), .as.str = text});
        }
        if ((unsigned char)c < 0x20 || (c == '\\' && !unescape(r, &to))) {
            return HR_COERCE;
        }
        if (c != '\\') {
            *to++ = c;
        }
    }
    return HR_COERCE;
}

/* ---------------------------------------------------------------------------------------------------- scalars */

static size_t digits(reader *r) {
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return (size_t)(r->at - from);
}

static int read_number(reader *r) {
    const char *from = r->at;
    bool negative = *r->at == '-', whole = true;
    r->at += negative;
    const char *first = r->at;
    size_t n = digits(r);
    if (n == 0 || (n > 1 && *first == '0')) {
        return HR_COERCE;
    }
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        whole = false;
        if (digits(r) == 0) {
            return HR_COERCE;
        }
    }
    if (r->at < r->end && (*r->at | 0x20) == 'e') {
        r->at++;
        whole = false;
        r->at += r->at < r->end && (*r->at == '-' || *r->at == '+');
        if (digits(r) == 0) {
            return HR_COERCE;
        }
    }
    uint64_t value = 0;
    bool overflow = !whole;
    for (size_t i = 0; i < n && !overflow; i++) {
        overflow = __builtin_mul_overflow(value, 10u, &value) ||
                   __builtin_add_overflow(value, (uint64_t)(first[i] - '0'), &value);
    }
    if (!overflow && value <= (uint64_t)INT64_MAX + negative) {
        return add(r, (hr_tok){.type = HR_TOK_INT, .as.i = (int64_t)(negative ? 0 - value : value)});
    }
    if (!overflow && !negative) {
        return add(r, (hr_tok){.type = HR_TOK_UINT, .as.u = value});
    }
    double d = hr__double_parse(from, (size_t)(r->at - from));
    return isinf(d) ? HR_COERCE : add(r, (hr_tok){.type = HR_TOK_DOUBLE, .as.d = d});
}

static int read_word(reader *r, const char *word, hr_tok_type type) {
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) {
        return HR_COERCE;
    }
    r->at += n;
    return add(r, (hr_tok){.type = (uint8_t)type});
}

/* ---------------------------------------------------------------------------------------------------- containers */

static int open_container(reader *r, hr_tok_type type) {
    if (++r->depth > READ_DEPTH_MAX) {
        return HR_COERCE;
    }
    r->depth_max = r->depth > r->depth_max ? r->depth : r->depth_max;
    HR_TRY(add(r, (hr_tok){.type = (uint8_t)type, .as.at.next = r->open}));
    r->open = (uint32_t)r->doc.n_toks - 1;
    r->at++;
    return HR_OK;
}

static void close_container(reader *r) {
    hr_tok *tok = &r->doc.toks[r->open];
    r->open = tok->as.at.next;
    tok->as.at.next = (uint32_t)r->doc.n_toks;
    r->depth--;
}

/* One value; of a container only its opening bracket. */
static int read_value(reader *r) {
    skip_space(r);
    switch (r->at < r->end ? *r->at : '\0') {
    case '{':
        return open_container(r, HR_TOK_OBJECT);
    case '[':
        return open_container(r, HR_TOK_ARRAY);
    case '"':
        r->at++;
        return read_string(r);
    case 't':
        return read_word(r, "true", HR_TOK_TRUE);
    case 'f':
        return read_word(r, "false", HR_TOK_FALSE);
    case 'n':
        return read_word(r, "null", HR_TOK_NULL);
    case '-':
    case '0' ... '9':
        return read_number(r);
    default:
        return HR_COERCE;
    }
}

static int read_key(reader *r) {
    if (!take(r, '"')) {
        return HR_COERCE;
    }
    HR_TRY(read_string(r));
    return take(r, ':') ? HR_OK : HR_COERCE;
}

/* Everything up to the end of the text. */
static int read_all(reader *r) {
    HR_TRY(read_value(r));
    while (r->open != NO_PARENT) {
        hr_tok *tok = &r->doc.toks[r->open];
        bool object = tok->type == HR_TOK_OBJECT;
        if (take(r, object ? '}' : ']')) {
            close_container(r);
            continue;
        }
        if (tok->len != 0 && !take(r, ',')) {
            return HR_COERCE;
        }
        tok->len++;
        if (object) {
            HR_TRY(read_key(r));
        }
        HR_TRY(read_value(r));
    }
    skip_space(r);
    return r->at == r->end ? HR_OK : HR_COERCE;
}

/* What was read as text in arena. */
static int write_all(const reader *r, hr_arena *arena, hr_str *out, hr_error *err) {
    const hr_tok *top = &r->doc.toks[0];
    if (top->type == HR_TOK_NULL) {
        return hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE,
                             "value \"null\" in a json column is a null, which is not supported");
    }
    if (r->depth_max > WRITE_DEPTH_MAX) {
        return hr__error_set(err, HR_LIMIT, HR_STAGE_NORMALIZE, "JSON text is nested %u levels deep, %d are allowed",
                             r->depth_max, WRITE_DEPTH_MAX);
    }
    hr_buf buf;
    hr__buf_init(&buf, arena->alloc, UINT32_MAX);
    hr_str text = {top->as.str, top->len};
    int rc = HR_OK;
    if (top->type != HR_TOK_STRING) {
        rc = hr__doc_write(&r->doc, 0, 0, NULL, 0, &buf, err);
        text = (hr_str){buf.data, buf.size_bytes};
    }
    if (rc == HR_OK) {
        char *copy = hr__arena_copy(arena, text.data, text.size_bytes);
        rc = copy == NULL ? hr__error_memory(err, HR_STAGE_NORMALIZE) : HR_OK;
        *out = (hr_str){copy, text.size_bytes};
    }
    hr__buf_free(&buf);
    return rc;
}

int hr__text_json(hr_arena *arena, hr_str text, hr_str *out, hr_error *err) {
    reader r = {.at = text.data, .end = text.data + text.size_bytes, .open = NO_PARENT};
    hr__doc_init(&r.doc, arena->alloc);
    r.doc.body = text.data;
    r.doc.body_size_bytes = text.size_bytes;
    int rc = read_all(&r);
    if (rc == HR_OK) {
        rc = write_all(&r, arena, out, err);
    } else if (rc == HR_MEMORY) {
        rc = hr__error_memory(err, HR_STAGE_NORMALIZE);
    }
    hr__doc_free(&r.doc);
    return rc;
}
