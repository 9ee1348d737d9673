/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON text -> document tape. Step 1 is index.h; this is step 2: a walk over the index that checks the grammar (RFC
 * 8259, as strict as simplejson 4.3) and writes a token a value. No recursion; containers that are open stand on a
 * stack.
 */
#include "json.h"

#include "index.h"
#include "number.h"

/* A container that is open. */
typedef struct open_container {
    uint32_t tok; /* its token */
    uint32_t len; /* values (array) or members (object) so far */
} open_container;

struct hr_json_decoder {
    hr_json_options options;
    hr_json_index index;
    open_container *stack; /* max_depth */
};

/* One decode. */
typedef struct walk {
    const char *body;
    size_t size_bytes;
    const hr_json_index *index;
    size_t next; /* into index->at */
    hr_doc *doc;
    hr_error *err;
} walk;

static bool has_avx2(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

int hr__json_decoder_new(const hr_json_options *options, hr_json_decoder **decoder_out, hr_error *err) {
    hr_json_decoder *decoder = hr__calloc(options->alloc, 1, sizeof *decoder);
    if (decoder == NULL) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    decoder->options = *options;
    decoder->options.max_depth = options->max_depth == 0 ? 1024 : options->max_depth;
    decoder->options.portable = options->portable || !has_avx2();
    decoder->stack = hr__calloc(options->alloc, decoder->options.max_depth, sizeof *decoder->stack);
    if (decoder->stack == NULL) {
        hr__free(options->alloc, decoder);
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    *decoder_out = decoder;
    return HR_OK;
}

void hr__json_decoder_free(hr_json_decoder *decoder) {
    if (decoder == NULL) {
        return;
    }
    const hr_allocator *alloc = decoder->options.alloc;
    hr__free(alloc, decoder->index.at);
    hr__free(alloc, decoder->index.escapes);
    hr__free(alloc, decoder->stack);
    hr__free(alloc, decoder);
}

/* ---------------------------------------------------------------------------------------------------- errors */

/* "expected X, found 'y'" at offset. */
static int unexpected(walk *w, size_t offset, const char *expected) {
    if (offset >= w->size_bytes) {
        return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)w->size_bytes,
                            "expected %s, found the end of the body at byte %zu", expected, w->size_bytes);
    }
    unsigned char c = (unsigned char)w->body[offset];
    if (c < 0x20 || c >= 0x7F) {
        return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)offset,
                            "expected %s, found byte 0x%02x at byte %zu", expected, c, offset);
    }
    return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)offset, "expected %s, found '%c' at byte %zu",
                        expected, c, offset);
}

/* ---------------------------------------------------------------------------------------------------- strings */

/* Whether a block of [from, to) has a backslash. */
static bool may_escape(const hr_json_index *index, size_t from, size_t to) {
    for (size_t block = from / 64; block <= to / 64; block++) {
        if (index->escapes[block / 64] >> (block % 64) & 1) {
            return true;
        }
    }
    return false;
}

static int hex4(const char *at, uint32_t *out) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a' + 10);
        } else {
            return HR_SYNTAX;
        }
        value = value << 4 | digit;
    }
    *out = value;
    return HR_OK;
}

/* Writes a code point (surrogates as their three bytes). */
static char *put_utf8(char *to, uint32_t c) {
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

/* What stands for itself or for a control character after a backslash; 0: nothing. */
static char simple_escape(char c) {
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* The string body[from, to) with escapes, into the document's arena. */
static int unescape(walk *w, size_t from, size_t to, hr_tok *tok) {
    char *out = hr__arena_alloc(&w->doc->arena, to - from);
    if (out == NULL) {
        return hr__error_memory(w->err, HR_STAGE_DECODE);
    }
    char *at = out;
    tok->flags = HR_TOK_UNESCAPED;
    for (size_t i = from; i < to;) {
        const char *backslash = memchr(w->body + i, '\\', to - i);
        size_t plain = backslash == NULL ? to - i : (size_t)(backslash - (w->body + i));
        memcpy(at, w->body + i, plain);
        at += plain;
        i += plain;
        if (i >= to) {
            break;
        }
        char c = w->body[i + 1];
        if (c != 'u') {
            char plain_c = simple_escape(c);
            if (plain_c == 0) {
                return unexpected(w, i + 1, "one of \"\\/bfnrtu after a backslash");
            }
            *at++ = plain_c;
            i += 2;
            continue;
        }
        uint32_t code, low;
        if (to - i < 6 || hex4(w->body + i + 2, &code) != HR_OK) {
            return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)i,
                                "expected four hexadecimal digits after \\u at byte %zu", i);
        }
        i += 6;
        if (code >= 0xD800 && code < 0xDC00 && to - i >= 6 && w->body[i] == '\\' && w->body[i + 1] == 'u' &&
            hex4(w->body + i + 2, &low) == HR_OK && low >= 0xDC00 && low < 0xE000) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            i += 6;
        } else if (code >= 0xD800 && code < 0xE000) {
            tok->flags |= HR_TOK_SURROGATE;
        }
        at = put_utf8(at, code);
    }
    tok->as.str = out;
    tok->len = (uint32_t)(at - out);
    return HR_OK;
}

/* The string whose opening quote is index entry next - 1. */
static inline int walk_string(walk *w, size_t open, hr_tok *tok) {
    size_t close = w->index->at[w->next++];
    *tok = (hr_tok){.type = HR_TOK_STRING, .len = (uint32_t)(close - open - 1), .as.str = w->body + open + 1};
    if (HR_UNLIKELY(may_escape(w->index, open, close))) {
        if (memchr(w->body + open + 1, '\\', close - open - 1) != NULL) {
            return unescape(w, open + 1, close, tok);
        }
    }
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- scalars */

static inline bool ends_scalar(const walk *w, size_t offset) {
    if (offset >= w->size_bytes) {
        return true;
    }
    char c = w->body[offset];
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool is_digit(char c) {
    return (unsigned char)(c - '0') < 10;
}

/* The character at offset, '\0' behind the body. */
static inline char peek(const walk *w, size_t offset) {
    return offset < w->size_bytes ? w->body[offset] : '\0';
}

static int walk_number(walk *w, size_t start, hr_tok *tok) {
    const char *body = w->body;
    size_t at = start;
    bool negative = body[at] == '-';
    at += negative;
    if (!is_digit(peek(w, at))) {
        return unexpected(w, at, negative ? "a digit after '-'" : "a value");
    }
    uint64_t value = 0;
    size_t first = at;
    if (body[at] == '0') {
        at++;
        if (is_digit(peek(w, at))) {
            return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)start,
                                "a number has a leading zero at byte %zu", start);
        }
    } else {
        while (is_digit(peek(w, at))) {
            value = value * 10 + (uint64_t)(body[at] - '0'); /* may wrap: looked at only when digits are few */
            at++;
        }
    }
    size_t n_digits = at - first;
    char c = peek(w, at);
    if (c != '.' && (c | 0x20) != 'e') {
        if (!ends_scalar(w, at)) {
            return unexpected(w, at, "',', ']' or '}' after a number");
        }
        bool fits = n_digits < 20 || (n_digits == 20 && memcmp(body + first, "18446744073709551615", 20) <= 0);
        if (HR_LIKELY(fits) && (negative ? value <= (uint64_t)1 << 63 : value <= INT64_MAX)) {
            *tok = (hr_tok){.type = HR_TOK_INT, .as.i = (int64_t)(negative ? 0 - value : value)};
        } else if (fits && !negative) {
            *tok = (hr_tok){.type = HR_TOK_UINT, .as.u = value};
        } else {
            *tok = (hr_tok){.type = HR_TOK_BIGINT, .len = (uint32_t)(at - start), .as.str = body + start};
        }
        return HR_OK;
    }
    int64_t exp10 = 0;
    size_t n_significant = n_digits;
    if (c == '.') {
        size_t point = ++at;
        while (is_digit(peek(w, at))) {
            value = value * 10 + (uint64_t)(body[at] - '0');
            at++;
        }
        if (at == point) {
            return unexpected(w, at, "a digit after '.'");
        }
        exp10 = -(int64_t)(at - point);
        n_significant += at - point;
    }
    if ((peek(w, at) | 0x20) == 'e') {
        at++;
        bool minus = peek(w, at) == '-';
        at += minus || peek(w, at) == '+';
        if (!is_digit(peek(w, at))) {
            return unexpected(w, at, "a digit in the exponent");
        }
        int64_t exponent = 0;
        while (is_digit(peek(w, at))) {
            exponent = exponent < 100000000 ? exponent * 10 + (body[at] - '0') : exponent;
            at++;
        }
        exp10 += minus ? -exponent : exponent;
    }
    if (!ends_scalar(w, at)) {
        return unexpected(w, at, "',', ']' or '}' after a number");
    }
    /* 19 digits fit 64 bits; with more, hr__double_parse counts leading zeros and what it drops. */
    double d = n_significant <= 19 ? hr__double_from_decimal(negative, value, exp10, false, body + start, at - start)
                                   : hr__double_parse(body + start, at - start);
    *tok = (hr_tok){.type = HR_TOK_DOUBLE, .as.d = d};
    return HR_OK;
}

static int walk_literal(walk *w, size_t offset, const char *word, size_t size, hr_tok_type type, hr_tok *tok) {
    if (w->size_bytes - offset < size || memcmp(w->body + offset, word, size) != 0 || !ends_scalar(w, offset + size)) {
        return unexpected(w, offset, "a value");
    }
    *tok = (hr_tok){.type = (uint8_t)type};
    return HR_OK;
}

/* A scalar that is not a string. */
static int walk_scalar(walk *w, size_t offset, hr_tok *tok) {
    switch (peek(w, offset)) {
    case 't':
        return walk_literal(w, offset, "true", 4, HR_TOK_TRUE, tok);
    case 'f':
        return walk_literal(w, offset, "false", 5, HR_TOK_FALSE, tok);
    case 'n':
        return walk_literal(w, offset, "null", 4, HR_TOK_NULL, tok);
    default:
        return walk_number(w, offset, tok);
    }
}

/* ---------------------------------------------------------------------------------------------------- walk */

/* Offset of the next index entry, consumed; size_bytes at the end. */
static inline size_t take(walk *w) {
    return w->next < w->index->n ? w->index->at[w->next++] : w->size_bytes;
}

/* Room for two more tokens (a key and its value). */
static inline int reserve(walk *w) {
    hr_doc *doc = w->doc;
    if (HR_LIKELY(doc->n_toks + 2 <= doc->cap_toks)) {
        return HR_OK;
    }
    if (hr__grow(doc->arena.alloc, (void **)&doc->toks, &doc->cap_toks, doc->n_toks + 2, sizeof *doc->toks) != HR_OK) {
        return hr__error_memory(w->err, HR_STAGE_DECODE);
    }
    return HR_OK;
}

/* One function on purpose: a state machine whose states are its labels. */
static int walk_document(walk *w, open_container *stack, uint32_t max_depth) {
    hr_doc *doc = w->doc;
    uint32_t depth = 0;
    size_t offset;
    char c;
    hr_tok *tok;

    offset = take(w);
value: /* offset is where a value must start */
    HR_TRY(reserve(w));
    tok = &doc->toks[doc->n_toks];
    c = peek(w, offset);
    if (c == '"') {
        HR_TRY(walk_string(w, offset, tok));
        doc->n_toks++;
        goto after;
    }
    if (c != '{' && c != '[') {
        HR_TRY(walk_scalar(w, offset, tok));
        doc->n_toks++;
        goto after;
    }
    if (depth >= max_depth) {
        return hr__error_at(w->err, HR_LIMIT, HR_STAGE_DECODE, (int64_t)offset,
                            "the document is nested deeper than %u levels at byte %zu", max_depth, offset);
    }
    *tok = (hr_tok){.type = c == '{' ? HR_TOK_OBJECT : HR_TOK_ARRAY, .as.at.offset = (uint32_t)offset};
    stack[depth++] = (open_container){.tok = (uint32_t)doc->n_toks++, .len = 0};
    offset = take(w);
    if (peek(w, offset) == (c == '{' ? '}' : ']')) {
        goto close;
    }
    if (c == '[') {
        goto value;
    }
key: /* offset is where a key must start */
    if (peek(w, offset) != '"') {
        return unexpected(w, offset, stack[depth - 1].len == 0 ? "a key or '}'" : "a key after ','");
    }
    HR_TRY(reserve(w));
    HR_TRY(walk_string(w, offset, &doc->toks[doc->n_toks]));
    doc->n_toks++;
    offset = take(w);
    if (peek(w, offset) != ':') {
        return unexpected(w, offset, "':' after a key");
    }
    offset = take(w);
    goto value;
after: /* a value ended */
    if (depth == 0) {
        goto end;
    }
    stack[depth - 1].len++;
    offset = take(w);
    c = peek(w, offset);
    if (doc->toks[stack[depth - 1].tok].type == HR_TOK_OBJECT) {
        if (HR_LIKELY(c == ',')) {
            offset = take(w);
            goto key;
        }
        if (c != '}') {
            return unexpected(w, offset, "',' or '}' after a member");
        }
    } else {
        if (HR_LIKELY(c == ',')) {
            offset = take(w);
            goto value;
        }
        if (c != ']') {
            return unexpected(w, offset, "',' or ']' after an element");
        }
    }
close: /* the container on top ends */
    depth--;
    tok = &doc->toks[stack[depth].tok];
    tok->len = stack[depth].len;
    tok->as.at.next = (uint32_t)doc->n_toks;
    goto after;
end:
    if (w->next < w->index->n) {
        return unexpected(w, w->index->at[w->next], "the end of the document");
    }
    return HR_OK;
}

int hr__json_decode(hr_json_decoder *decoder, const char *body, size_t size_bytes, hr_doc *doc, hr_error *err) {
    hr__doc_reset(doc);
    doc->body = body;
    doc->body_size_bytes = size_bytes;
    if (size_bytes >= UINT32_MAX) {
        return hr__error_set(err, HR_LIMIT, HR_STAGE_DECODE, "the body has %zu bytes, more than 4 GiB", size_bytes);
    }
    size_t skip = size_bytes >= 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    const hr_allocator *alloc = decoder->options.alloc;
    hr_json_index *index = &decoder->index;
    int rc = decoder->options.portable ? hr__json_index_portable(body + skip, size_bytes - skip, alloc, index)
                                       : hr__json_index_avx2(body + skip, size_bytes - skip, alloc, index);
    if (rc != HR_OK) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    walk w = {.body = body + skip, .size_bytes = size_bytes - skip, .index = index, .doc = doc, .err = err};
    if (index->bad_utf8) {
        size_t at = hr__utf8_error(w.body, w.size_bytes);
        return hr__error_at(err, HR_ENCODING, HR_STAGE_DECODE, (int64_t)(at + skip),
                            "the body is not UTF-8: byte 0x%02x at byte %zu", (unsigned char)w.body[at], at + skip);
    }
    if (index->n == 0) {
        return hr__error_at(err, HR_SYNTAX, HR_STAGE_DECODE, 0, "the body is empty: expected a JSON document");
    }
    if (index->open_string) {
        /* Count only complete strings while walking; if the walk comes that far, the last one is the error. */
        uint32_t open = index->at[index->n - 1];
        rc = walk_document(&w, decoder->stack, decoder->options.max_depth);
        if (rc == HR_OK || err == NULL || err->offset_bytes >= (int64_t)open) {
            rc = hr__error_at(err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)(open + skip),
                              "the string that starts at byte %zu does not end", open + skip);
            return rc;
        }
        return rc;
    }
    rc = walk_document(&w, decoder->stack, decoder->options.max_depth);
    if (rc == HR_OK && index->control_offset != SIZE_MAX) {
        return hr__error_at(err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)(index->control_offset + skip),
                            "a string holds the control character 0x%02x at byte %zu: it must be escaped",
                            (unsigned char)w.body[index->control_offset], index->control_offset + skip);
    }
    if (rc != HR_OK && err != NULL && err->offset_bytes >= 0) {
        err->offset_bytes += (int64_t)skip;
    }
    return rc;
}
