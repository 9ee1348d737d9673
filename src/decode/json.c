/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON text -> document tape. Step 1 is index.h; this is step 2: a walk over the index that checks the grammar (RFC
 * 8259, as strict as simplejson 4.3) and writes a token a value. No recursion; containers that are open stand on a
 * stack. Before the walk there is room for all tokens: a value takes at least one offset of the index, and each value
 * but the first of its container one more, the separator's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "json.h"

#include "index.h"
#include "number.h"

#include <stdio.h>

#define COLD __attribute__((cold, noinline))

/* A container that is open. */
typedef struct open_container {
    uint32_t tok; /* its token */
    uint32_t len; /* values (array) or members (object) before the one that is open above it */
} open_container;

struct hr_json_decoder {
    hr_json_options options;
    hr_json_index index;
    open_container *stack; /* max_depth */
};

/* One decode. */
typedef struct walk {
    const char *body; /* behind the BOM */
    size_t size_bytes;
    size_t bom_bytes; /* added to the offsets that leave */
    const hr_json_index *index;
    const uint32_t *escape; /* next in index->escapes */
    hr_doc *doc;
    hr_error *err;
    bool lines;  /* a document a line; the tape has them as an array */
    size_t line; /* where the document of the line starts that the walk is at */
} walk;

int hr__json_decoder_new(const hr_json_options *options, hr_json_decoder **decoder_out, hr_error *err) {
    hr_json_decoder *decoder = hr__calloc(options->alloc, 1, sizeof *decoder);
    if (decoder == NULL) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    decoder->options = *options;
    decoder->options.max_depth = options->max_depth == 0 ? 1024 : options->max_depth;
    decoder->options.portable = options->portable || !hr__has_avx2();
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

static COLD int syntax_error(const walk *w, size_t offset, const char *what) {
    offset += w->bom_bytes;
    return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)offset, "%s at byte %zu", what, offset);
}

/* "expected X, found 'y' at byte 1". */
static COLD int unexpected(const walk *w, size_t offset, const char *expected) {
    size_t out = offset + w->bom_bytes;
    if (offset >= w->size_bytes) {
        out = w->size_bytes + w->bom_bytes;
        return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)out,
                            "expected %s, found the end of the body at byte %zu", expected, out);
    }
    const unsigned char *c = (const unsigned char *)w->body + offset;
    char found[40];
    if (*c >= 0x80) { /* the body is known to be UTF-8 */
        int size = *c < 0xE0 ? 2 : *c < 0xF0 ? 3 : 4;
        uint32_t code = *c & (0x7Fu >> size);
        for (int i = 1; i < size; i++) {
            code = code << 6 | (c[i] & 63u);
        }
        snprintf(found, sizeof found, "'%.*s' (U+%04X)", size, (const char *)c, (unsigned)code);
    } else {
        snprintf(found, sizeof found, *c < 0x20 || *c == 0x7F ? "byte 0x%02x" : "'%c'", *c);
    }
    return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)out, "expected %s, found %s at byte %zu", expected,
                        found, out);
}

/* ---------------------------------------------------------------------------------------------------- strings */

static bool hex4(const char *at, uint32_t *out) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a' + 10);
        } else {
            return false;
        }
        value = value << 4 | digit;
    }
    *out = value;
    return true;
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

/* What a letter after a backslash stands for; 0: nothing. */
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

/* The escape at body[*from], which is in a string that ends at to: one character to *out, both moved on. */
static int put_escape(walk *w, size_t *from, size_t to, char **out, hr_tok *tok) {
    const char *body = w->body;
    size_t i = *from;
    char c = i + 1 < to ? body[i + 1] : 'u';
    if (c != 'u') {
        char plain = simple_escape(c);
        if (HR_UNLIKELY(plain == 0)) {
            return unexpected(w, i + 1, "one of \"\\/bfnrtu after a backslash");
        }
        *(*out)++ = plain;
        *from = i + 2;
        return HR_OK;
    }
    uint32_t code, low;
    if (HR_UNLIKELY(to - i < 6 || !hex4(body + i + 2, &code))) {
        if (to - i < 6 && to == w->size_bytes) { /* the body was cut here */
            return unexpected(w, to, "an escape");
        }
        return syntax_error(w, i, "expected four hexadecimal digits after \\u");
    }
    i += 6;
    if (code >= 0xD800 && code < 0xDC00 && to - i >= 6 && body[i] == '\\' && body[i + 1] == 'u' &&
        hex4(body + i + 2, &low) && low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        i += 6;
        w->escape++;
    } else if (code >= 0xD800 && code < 0xE000) {
        tok->flags |= HR_TOK_SURROGATE;
    }
    *out = put_utf8(*out, code);
    *from = i;
    return HR_OK;
}

/* The string body[from, to) with escapes, the first of them *w->escape, into the document's arena. */
static __attribute__((noinline)) int unescape(walk *w, size_t from, size_t to, hr_tok *tok) {
    char *out = hr__arena_alloc(&w->doc->arena, to - from);
    if (out == NULL) {
        return hr__error_memory(w->err, HR_STAGE_DECODE);
    }
    char *at = out;
    tok->flags = HR_TOK_UNESCAPED;
    while (*w->escape < to) {
        size_t plain = *w->escape++ - from;
        memcpy(at, w->body + from, plain);
        at += plain;
        from += plain;
        HR_TRY(put_escape(w, &from, to, &at, tok));
    }
    memcpy(at, w->body + from, to - from);
    at += to - from;
    tok->as.str = out;
    tok->len = (uint32_t)(at - out);
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- scalars */

/* What may stand behind a number or a literal. */
static const bool ends_scalar[256] = {
    [','] = true, ['}'] = true, [']'] = true, [' '] = true, ['\n'] = true, ['\r'] = true, ['\t'] = true};

static inline bool ends(const char *at) {
    return ends_scalar[(unsigned char)*at];
}

static inline bool is_digit(char c) {
    return (unsigned char)(c - '0') < 10;
}

static const uint32_t tens[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* The digits, at most eight, that stand at `at`: their value, and how many. Eight bytes are read. */
static inline unsigned take_digits(const char *at, uint32_t *value_out) {
    uint64_t eight;
    memcpy(&eight, at, sizeof eight);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    eight = __builtin_bswap64(eight);
#endif
    eight ^= 0x3030303030303030u;
    /* The top bit of the first byte that is not below ten; those behind it may be wrong. */
    uint64_t other = (eight | (eight + 0x7676767676767676u)) & 0x8080808080808080u;
    unsigned n = other == 0 ? 8 : (unsigned)__builtin_ctzll(other) / 8;
    eight = eight << (32 - 4 * n) << (32 - 4 * n);             /* zeros in front of n digits */
    eight = (eight * 10 + (eight >> 8)) & 0x00FF00FF00FF00FFu; /* pairs, then fours, then all */
    eight = (eight * 100 + (eight >> 16)) & 0x0000FFFF0000FFFFu;
    *value_out = (uint32_t)(eight * 10000 + (eight >> 32));
    return n;
}

/* The digits at `at` behind those of *value, which may wrap: it counts only when there are few. Returns their end. */
static inline const char *take_all_digits(const char *at, uint64_t *value) {
    for (;;) {
        uint32_t more;
        unsigned n = take_digits(at, &more);
        *value = *value * tens[n] + more;
        at += n;
        if (n < 8) {
            return at;
        }
    }
}

/* The number text[0..), whose integer digits, from first to at, are value. */
static __attribute__((noinline)) int put_double(const walk *w, const char *text, size_t offset, const char *first,
                                                const char *at, uint64_t value, hr_tok *tok) {
    int64_t exp10 = 0;
    int64_t n_digits = at - first;
    if (*at == '.') {
        const char *point = ++at;
        at = take_all_digits(at, &value);
        if (at == point) {
            return unexpected(w, offset + (size_t)(at - text), "a digit after '.'");
        }
        exp10 = point - at;
        n_digits += at - point;
    }
    if ((*at | 0x20) == 'e') {
        at++;
        bool minus = *at == '-';
        at += minus || *at == '+';
        if (!is_digit(*at)) {
            return unexpected(w, offset + (size_t)(at - text), "a digit in the exponent");
        }
        int64_t exponent = 0;
        for (; is_digit(*at); at++) {
            exponent = exponent < HR_EXPONENT_MAX ? exponent * 10 + (*at - '0') : exponent;
        }
        exp10 += minus ? -exponent : exponent;
    }
    if (!ends(at)) {
        return unexpected(w, offset + (size_t)(at - text), "',', ']' or '}' after a number");
    }
    /* 19 digits fit 64 bits; with more, hr__double_parse counts leading zeros and what it drops. */
    double d = n_digits <= 19 ? hr__double_from_decimal(*text == '-', value, exp10, false, text, (size_t)(at - text))
                              : hr__double_parse(text, (size_t)(at - text));
    *tok = (hr_tok){.type = HR_TOK_DOUBLE, .as.d = d};
    return HR_OK;
}

/* An integer of 19 digits or more, from first to at. */
static COLD void put_big_integer(const char *text, const char *first, const char *at, uint64_t value, hr_tok *tok) {
    bool negative = *text == '-';
    size_t n = (size_t)(at - first);
    bool fits = n < 20 || (n == 20 && memcmp(first, "18446744073709551615", 20) <= 0);
    if (fits && (negative ? value <= (uint64_t)1 << 63 : value <= INT64_MAX)) {
        *tok = (hr_tok){.type = HR_TOK_INT, .as.i = (int64_t)(negative ? 0 - value : value)};
    } else if (fits && !negative) {
        *tok = (hr_tok){.type = HR_TOK_UINT, .as.u = value};
    } else {
        *tok = (hr_tok){.type = HR_TOK_BIGINT, .len = (uint32_t)(at - text), .as.str = text};
    }
}

static inline int put_number(const walk *w, const char *text, size_t offset, hr_tok *tok) {
    const char *first = text + (*text == '-');
    uint32_t eight;
    unsigned n = take_digits(first, &eight);
    uint64_t value = eight;
    const char *at = first + n;
    if (HR_UNLIKELY(n == 8)) {
        at = take_all_digits(at, &value);
    }
    if (HR_UNLIKELY(n == 0)) {
        return unexpected(w, offset + (size_t)(first - text), first == text ? "a value" : "a digit after '-'");
    }
    if (HR_UNLIKELY(*first == '0' && at - first > 1)) {
        return syntax_error(w, offset, "a number has a leading zero");
    }
    if (HR_LIKELY(ends(at))) {
        if (HR_UNLIKELY(at - first > 18)) {
            put_big_integer(text, first, at, value, tok);
        } else {
            *tok = (hr_tok){.type = HR_TOK_INT, .as.i = first == text ? (int64_t)value : -(int64_t)value};
        }
        return HR_OK;
    }
    if (*at == '.' || (*at | 0x20) == 'e') {
        return put_double(w, text, offset, first, at, value, tok);
    }
    return unexpected(w, offset + (size_t)(at - text), "',', ']' or '}' after a number");
}

/* The error of what starts like word but is not. */
static COLD int not_word(const walk *w, const char *text, size_t offset, const char *word) {
    char expected[48];
    size_t n = 0;
    while (word[n] != '\0' && text[n] == word[n]) {
        n++;
    }
    snprintf(expected, sizeof expected, word[n] == '\0' ? "',', ']' or '}' after '%s'" : "'%s'", word);
    return unexpected(w, offset + n, expected);
}

/* The scalar, not a string, at text, which is body + offset or a copy of it. */
static inline int put_scalar(const walk *w, const char *text, size_t offset, hr_tok *tok) {
    if (*text == 'n') {
        *tok = (hr_tok){.type = HR_TOK_NULL};
        return HR_LIKELY(memcmp(text, "null", 4) == 0 && ends(text + 4)) ? HR_OK : not_word(w, text, offset, "null");
    }
    if (*text == 't') {
        *tok = (hr_tok){.type = HR_TOK_TRUE};
        return HR_LIKELY(memcmp(text, "true", 4) == 0 && ends(text + 4)) ? HR_OK : not_word(w, text, offset, "true");
    }
    if (*text == 'f') {
        *tok = (hr_tok){.type = HR_TOK_FALSE};
        return HR_LIKELY(memcmp(text, "false", 5) == 0 && ends(text + 5)) ? HR_OK : not_word(w, text, offset, "false");
    }
    return put_number(w, text, offset, tok);
}

/* The scalar the body ends with: what stands behind the body must not be taken for a part of it. */
static COLD int put_last_scalar(const walk *w, size_t offset, hr_tok *tok) {
    size_t size = w->size_bytes - offset;
    char *text = hr__arena_alloc(&w->doc->arena, size + HR_BODY_PADDING);
    if (text == NULL) {
        return hr__error_memory(w->err, HR_STAGE_DECODE);
    }
    memcpy(text, w->body + offset, size);
    memset(text + size, ' ', HR_BODY_PADDING);
    return put_scalar(w, text, offset, tok);
}

/* ---------------------------------------------------------------------------------------------------- walk */

static inline void put_string(const char *body, uint32_t open, uint32_t close, hr_tok *tok) {
    *tok = (hr_tok){.type = HR_TOK_STRING, .len = close - open - 1, .as.str = body + open + 1};
}

/* The error of a member for which the index has less than four offsets, from at on. */
static COLD int short_member(walk *w, const uint32_t *at, const uint32_t *end, bool first) {
    if (at == end || w->body[*at] != '"') {
        return unexpected(w, *at, first ? "a key or '}'" : "a key after ','");
    }
    if (*w->escape < at[1]) {
        hr_tok key;
        HR_TRY(unescape(w, at[0] + 1, at[1], &key));
    }
    if (end - at < 3 || w->body[at[2]] != ':') {
        return unexpected(w, end - at < 3 ? w->size_bytes : at[2], "':' after a key");
    }
    return unexpected(w, w->size_bytes, "a value");
}

/* The end of the line at which the walk is. */
static inline size_t line_end(const walk *w) {
    const char *found = memchr(w->body + w->line, '\n', w->size_bytes - w->line);
    return found == NULL ? w->size_bytes : (size_t)(found - w->body);
}

static COLD int over_line_end(const walk *w, size_t line) {
    return unexpected(w, line, "the rest of the document before the line's end");
}

/* A document of lines has ended with the offset before at: on its line, and another line's must be next. */
static int check_line(const walk *w, const uint32_t *at, const uint32_t *end) {
    size_t line = line_end(w);
    if (HR_UNLIKELY(at[-1] > line)) {
        return over_line_end(w, line);
    }
    return HR_UNLIKELY(at < end && *at < line) ? unexpected(w, *at, "the end of the line") : HR_OK;
}

/* One function on purpose: a state machine whose states are its labels and whose state is in registers. */
static int walk_document(walk *w, open_container *stack, uint32_t max_depth) {
    const char *body = w->body;
    hr_tok *const toks = w->doc->toks, *tok = toks;
    const uint32_t *at = w->index->at, *const end = at + w->index->n; /* at is end + 1 after an open string */
    uint32_t next_escape = *w->escape;                                /* at or behind the offset the walk is at */
    uint32_t depth = 0;
    uint32_t len = 0;      /* values or members of the innermost open container so far */
    bool in_array = false; /* the innermost open container is one */
    uint32_t offset;
    uint32_t n_lines = 0; /* documents */
    char c;

    if (w->lines) {
        *tok++ = (hr_tok){.type = HR_TOK_ARRAY};
        if (at == end) {
            goto lines_end;
        }
        w->line = *at;
    }
value: /* a value that is no member's must start here */
    if (HR_UNLIKELY(at == end)) {
        return unexpected(w, *at, "a value");
    }
    offset = *at++;
    c = body[offset];
any_value:
    if (c == '"') {
        uint32_t close = *at++;
        put_string(body, offset, close, tok++);
        if (HR_UNLIKELY(next_escape < close)) {
            HR_TRY(unescape(w, offset + 1, close, tok - 1));
            next_escape = *w->escape;
        }
    } else if (c == '{' || c == '[') {
        goto open;
    } else {
        HR_TRY(HR_UNLIKELY(at == end) ? put_last_scalar(w, offset, tok) : put_scalar(w, body + offset, offset, tok));
        tok++;
    }
after: /* a value ended */
    if (HR_UNLIKELY(depth == 0)) {
        goto document_end;
    }
    len++;
    if (in_array) {
        goto after_element;
    }
    if (HR_UNLIKELY(at >= end)) {
        return unexpected(w, *at, "',' or '}' after an object member");
    }
    c = body[*at++];
    if (HR_LIKELY(c == ',')) {
        goto member;
    }
    if (HR_LIKELY(c == '}')) {
        goto close;
    }
    return unexpected(w, at[-1], "',' or '}' after an object member");
after_element:
    if (HR_UNLIKELY(at >= end)) {
        return unexpected(w, *at, "',' or ']' after an array element");
    }
    c = body[*at++];
    if (HR_LIKELY(c == ',')) {
        goto value;
    }
    if (HR_LIKELY(c == ']')) {
        goto close;
    }
    return unexpected(w, at[-1], "',' or ']' after an array element");

open: /* c, at offset, opens a container */
    if (HR_UNLIKELY(depth >= max_depth)) {
        size_t out = offset + w->bom_bytes;
        return hr__error_at(w->err, HR_LIMIT, HR_STAGE_DECODE, (int64_t)out,
                            "the document is nested deeper than %u levels at byte %zu", max_depth, out);
    }
    if (depth != 0) {
        stack[depth - 1].len = len;
    }
    stack[depth++].tok = (uint32_t)(tok - toks);
    len = 0;
    in_array = c == '[';
    *tok++ =
        (hr_tok){.type = c == '{' ? HR_TOK_OBJECT : HR_TOK_ARRAY, .as.at.offset = (uint32_t)(offset + w->bom_bytes)};
    if (at != end && body[*at] == (char)(c + 2)) { /* '{' + 2 is '}', '[' + 2 is ']' */
        at++;
        goto close;
    }
    if (in_array) {
        goto value;
    }
member: /* a key must start here */
    if (HR_UNLIKELY(end - at < 4)) {
        return short_member(w, at, end, len == 0);
    }
    if (HR_UNLIKELY(body[*at] != '"')) {
        return unexpected(w, *at, len == 0 ? "a key or '}'" : "a key after ','");
    }
    put_string(body, at[0], at[1], tok++);
    if (HR_UNLIKELY(next_escape < at[1])) {
        HR_TRY(unescape(w, at[0] + 1, at[1], tok - 1));
        next_escape = *w->escape;
    }
    if (HR_UNLIKELY(body[at[2]] != ':')) {
        return unexpected(w, at[2], "':' after a key");
    }
    offset = at[3];
    at += 4;
    c = body[offset];
    goto any_value;

close: { /* the innermost container ends */
    hr_tok *container = &toks[stack[--depth].tok];
    container->len = len;
    container->as.at.next = (uint32_t)(tok - toks);
    if (depth != 0) {
        len = stack[depth - 1].len;
        in_array = toks[stack[depth - 1].tok].type == HR_TOK_ARRAY;
    }
    goto after;
}
document_end:
    if (w->lines) {
        n_lines++;
        HR_TRY(check_line(w, at, end));
        if (at < end) {
            w->line = *at;
            goto value;
        }
    lines_end:
        toks[0].len = n_lines;
        toks[0].as.at.next = (uint32_t)(tok - toks);
    } else if (at < end) {
        return unexpected(w, *at, "the end of the document");
    }
    w->doc->n_toks = (size_t)(tok - toks);
    return HR_OK;
}

/* The error of the walk or of the index, whichever a reader from the left meets first. */
static COLD int first_error(const walk *w, int rc, int64_t walk_offset) {
    const hr_json_index *index = w->index;
    size_t control = index->control_offset + w->bom_bytes;
    if (index->control_offset != SIZE_MAX && (rc == HR_OK || walk_offset + w->lines > (int64_t)control)) {
        return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)control,
                            "a string holds the control character 0x%02x at byte %zu: it must be escaped",
                            (unsigned char)w->body[index->control_offset], control);
    }
    if (index->open_string && (rc == HR_OK || walk_offset >= (int64_t)(w->size_bytes + w->bom_bytes))) {
        size_t open = index->at[index->n - 1] + w->bom_bytes;
        return hr__error_at(w->err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)open,
                            "the string that starts at byte %zu does not end", open);
    }
    return rc;
}

/* Room for the tokens of a walk over the index. Of n offsets a value that is a first element takes one, any other two:
 * its own and the separator's before it. Containers with a first element, too, take two, '[' and ']', but for those
 * that are still open when an error ends the walk.
 * A document of a line has no separator before it: n_lines of them may be numbers. */
static int reserve_tokens(hr_doc *doc, size_t n, uint32_t max_depth, size_t n_lines) {
    size_t most = (n + max_depth) / 2 < n ? (n + max_depth) / 2 : n;
    most += n_lines + 4;
    if (doc->toks != NULL) {
        return hr__grow(doc->arena.alloc, (void **)&doc->toks, &doc->cap_toks, most, sizeof *doc->toks);
    }
    doc->toks = hr__alloc(doc->arena.alloc, most * sizeof *doc->toks); /* exactly: hr__grow would double */
    doc->cap_toks = doc->toks == NULL ? 0 : most;
    return doc->toks == NULL ? HR_MEMORY : HR_OK;
}

void hr__json_start(hr_json_decoder *decoder) {
    hr__json_index_start(&decoder->index);
}

/* Goes on with the index of body[0..size_bytes), which is behind a byte order mark. */
static int index_more(hr_json_decoder *decoder, const char *body, size_t size_bytes, bool last) {
    return (decoder->options.portable ? hr__json_index_portable : hr__json_index_avx2)(
        body, size_bytes, last, decoder->options.alloc, &decoder->index);
}

static size_t bom_bytes(const char *body, size_t size_bytes) {
    return size_bytes >= 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

int hr__json_feed(hr_json_decoder *decoder, const char *body, size_t size_bytes, hr_error *err) {
    size_t bom = bom_bytes(body, size_bytes);
    if (size_bytes - bom - decoder->index.carry.base < 64 || size_bytes > UINT32_MAX) {
        return HR_OK;
    }
    return index_more(decoder, body + bom, size_bytes - bom, false) == HR_OK ? HR_OK
                                                                             : hr__error_memory(err, HR_STAGE_DECODE);
}

size_t hr__json_count_lines(const char *body, size_t size_bytes) {
    size_t n = 0;
    for (size_t i = 0; i < size_bytes; i++) {
        n += body[i] == '\n';
    }
    return n;
}

static int finish(hr_json_decoder *decoder, const char *body, size_t size_bytes, bool lines, hr_doc *doc,
                  hr_error *err) {
    hr__doc_reset(doc);
    doc->body = body;
    doc->body_size_bytes = size_bytes;
    if (size_bytes > UINT32_MAX) {
        return hr__error_set(err, HR_LIMIT, HR_STAGE_DECODE, "the body has %zu bytes, 4 GiB or more", size_bytes);
    }
    hr_error own;
    size_t bom = bom_bytes(body, size_bytes);
    hr_json_index *index = &decoder->index;
    walk w = {.body = body + bom,
              .size_bytes = size_bytes - bom,
              .bom_bytes = bom,
              .index = index,
              .doc = doc,
              .err = err != NULL ? err : &own,
              .lines = lines};
    size_t n_lines = lines ? hr__json_count_lines(w.body, w.size_bytes) + 1 : 0;
    if (index_more(decoder, w.body, w.size_bytes, true) != HR_OK ||
        reserve_tokens(doc, index->n, decoder->options.max_depth, n_lines) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    if (index->bad_utf8) {
        size_t at = hr__utf8_error(w.body, w.size_bytes);
        return hr__error_at(err, HR_ENCODING, HR_STAGE_DECODE, (int64_t)(at + bom),
                            "the body is not UTF-8: byte 0x%02x at byte %zu", (unsigned char)w.body[at], at + bom);
    }
    if (index->n == 0 && !lines) {
        return hr__error_at(err, HR_SYNTAX, HR_STAGE_DECODE, 0, "the body is empty: expected a JSON document");
    }
    w.escape = index->escapes;
    int rc = walk_document(&w, decoder->stack, decoder->options.max_depth);
    if (HR_UNLIKELY(lines && rc != HR_OK && rc != HR_MEMORY && w.size_bytes != 0)) {
        size_t line = line_end(&w); /* what is wrong is that the document does not end there */
        rc = w.err->offset_bytes > (int64_t)(line + bom) ? over_line_end(&w, line) : rc;
    }
    if (HR_UNLIKELY((rc != HR_OK && rc != HR_MEMORY) || index->open_string || index->control_offset != SIZE_MAX)) {
        rc = first_error(&w, rc, rc == HR_OK ? 0 : w.err->offset_bytes);
    }
    return rc;
}

int hr__json_finish(hr_json_decoder *decoder, const char *body, size_t size_bytes, hr_doc *doc, hr_error *err) {
    return finish(decoder, body, size_bytes, false, doc, err);
}

int hr__json_decode(hr_json_decoder *decoder, const char *body, size_t size_bytes, hr_doc *doc, hr_error *err) {
    hr__json_start(decoder);
    return finish(decoder, body, size_bytes, false, doc, err);
}

int hr__json_decode_lines(hr_json_decoder *decoder, const char *body, size_t size_bytes, hr_doc *doc, hr_error *err) {
    hr__json_start(decoder);
    return finish(decoder, body, size_bytes, true, doc, err);
}

/* ---------------------------------------------------------------------------------------------------- split */

/* Bytes that are indexed at a time: the index stays in the cache. */
#define SPLIT_WINDOW ((size_t)256 << 10)

/* How far a split is. */
typedef struct split {
    const char *body;
    size_t target_bytes, from; /* of the slice at work */
    size_t depth;
    bool started, ended, bad;
    bool blank; /* nothing stands in the slice yet */
    hr_slice *slices;
    size_t n, cap;
} split;

static int split_cut(split *sp, const hr_allocator *alloc, size_t to) {
    sp->bad = sp->bad || (sp->blank && (sp->n != 0 || !sp->ended)); /* a comma with nothing before or behind it */
    HR_TRY(hr__grow(alloc, (void **)&sp->slices, &sp->cap, sp->n + 1, sizeof *sp->slices));
    sp->blank = true;
    sp->slices[sp->n++] = (hr_slice){sp->from, to};
    sp->from = to + 1;
    return HR_OK;
}

/* One offset of the index. */
static inline int split_step(split *sp, const hr_allocator *alloc, size_t at) {
    char c = sp->body[at];
    bool opens = c == '[' || c == '{';
    if (HR_UNLIKELY(!sp->started || sp->ended)) {
        sp->bad = sp->ended || c != '[';
        sp->started = true;
        sp->from = at + 1;
        sp->depth = 1;
        sp->blank = true;
        return HR_OK;
    } else if (opens) {
        sp->depth++;
    } else if (c == ']' || c == '}') {
        sp->depth--;
        if (sp->depth == 0) {
            sp->ended = true;
            sp->bad = c != ']';
            return split_cut(sp, alloc, at);
        }
    } else if (c == ',' && sp->depth == 1 && at - sp->from >= sp->target_bytes) {
        return split_cut(sp, alloc, at);
    }
    sp->blank = false;
    return HR_OK;
}

int hr__json_split(hr_json_decoder *decoder, const char *body, size_t size_bytes, size_t target_bytes,
                   hr_slice **slices_out, size_t *n_out) {
    const hr_allocator *alloc = decoder->options.alloc;
    hr_json_index *index = &decoder->index;
    split sp = {.body = body, .target_bytes = target_bytes};
    int rc = HR_OK;
    *n_out = 0;
    hr__json_start(decoder);
    for (size_t to = 0; to < size_bytes && size_bytes <= UINT32_MAX && rc == HR_OK && !sp.bad;) {
        to = size_bytes - to > SPLIT_WINDOW ? to + SPLIT_WINDOW : size_bytes;
        index->n = index->n_escapes = 0;
        rc = index_more(decoder, body, to, to == size_bytes);
        for (size_t i = 0; i < index->n && rc == HR_OK && !sp.bad; i++) {
            rc = split_step(&sp, alloc, index->at[i]);
        }
        sp.bad = sp.bad || index->bad_utf8;
    }
    *slices_out = sp.slices;
    if (rc == HR_OK && sp.ended && !sp.bad && !index->open_string) {
        *n_out = sp.n;
    }
    return rc;
}

/* ---------------------------------------------------------------------------------------------------- cut */

#define CUT_KEY_MAX ((size_t)64)
#define CUT_STEP ((size_t)4 << 10)
/* So far a likely boundary is looked behind: a list within a record that is longer, of objects that begin with the
 * records' own first key, is taken for the records. */
#define CUT_WINDOW ((size_t)16 << 10)
/* So many boundaries a slice are looked at. */
#define CUT_TRIES 256

/* What stands between two records, if they begin with the same key: `},{"id":`. False: the text does not begin so. */
static bool cut_pattern(const char *body, size_t size_bytes, char pattern[CUT_KEY_MAX + 8], size_t *size_out) {
    if (size_bytes < 4 || memcmp(body, "[{\"", 3) != 0) {
        return false;
    }
    size_t room = size_bytes - 3 < CUT_KEY_MAX ? size_bytes - 3 : CUT_KEY_MAX;
    const char *quote = memchr(body + 3, '"', room);
    if (quote == NULL || memchr(body + 3, '\\', (size_t)(quote - body) - 3) != NULL) {
        return false;
    }
    memcpy(pattern, "},", 2);
    memcpy(pattern + 2, body + 1, (size_t)(quote - body));
    pattern[2 + (quote - body)] = ':';
    *size_out = 3 + (size_t)(quote - body);
    return true;
}

/* Whether what stands behind `from` (outside a string) closes nothing that was opened before it, for CUT_WINDOW bytes
 * or up to `end`; if not, *to_out is where it closes. */
static int cut_look(hr_json_decoder *decoder, const char *body, size_t from, size_t end, size_t *to_out, bool *is_out) {
    hr_json_index *index = &decoder->index;
    size_t depth = 0;
    hr__json_start(decoder);
    for (size_t to = 0, size = end - from < CUT_WINDOW ? end - from : CUT_WINDOW; to < size;) {
        to = size - to > CUT_STEP ? to + CUT_STEP : size;
        index->n = index->n_escapes = 0;
        HR_TRY(index_more(decoder, body + from, to, to == size));
        for (size_t i = 0; i < index->n; i++) {
            char c = body[from + index->at[i]];
            depth += c == '[' || c == '{';
            if (c == ']' || c == '}') {
                if (depth == 0) {
                    *to_out = from + index->at[i];
                    *is_out = false;
                    return HR_OK;
                }
                depth--;
            }
        }
    }
    *is_out = true;
    return HR_OK;
}

int hr__json_cut(hr_json_decoder *decoder, const char *body, size_t size_bytes, size_t target_bytes,
                 hr_slice **slices_out, size_t *n_out) {
    const hr_allocator *alloc = decoder->options.alloc;
    char pattern[CUT_KEY_MAX + 8];
    size_t pattern_bytes;
    size_t n = 0, cap = 0, end = size_bytes;
    *slices_out = NULL;
    *n_out = 0;
    while (end != 0 && (body[end - 1] == '\n' || body[end - 1] == ' ')) {
        end--;
    }
    if (end == 0 || body[end - 1] != ']') {
        return HR_OK;
    }
    end--;
    if (!cut_pattern(body, end, pattern, &pattern_bytes)) {
        return HR_OK;
    }
    for (size_t from = 1, tries = 0, at = from + target_bytes;;) {
        const char *found = at < end ? memmem(body + at, end - at, pattern, pattern_bytes) : NULL;
        size_t comma = found == NULL ? end : (size_t)(found - body) + 1;
        bool is_boundary = found == NULL;
        if (!is_boundary) {
            HR_TRY(cut_look(decoder, body, comma + 1, end, &at, &is_boundary));
        }
        if (is_boundary) {
            HR_TRY(hr__grow(alloc, (void **)slices_out, &cap, n + 1, sizeof **slices_out));
            (*slices_out)[n++] = (hr_slice){from, comma};
            from = comma + 1;
            at = from + target_bytes;
            tries = 0;
        } else if (++tries == CUT_TRIES) {
            return HR_OK;
        }
        if (found == NULL) {
            *n_out = n;
            return HR_OK;
        }
    }
}
