/* SPDX-License-Identifier: Apache-2.0
 *
 * dlt 1.31's coercions (common/data_types/type_helpers.py, common/time.py, common/utils.py str2bool).
 */
#include "coerce.h"

#include "doc_write.h"
#include "number.h"
#include "timestamp.h"

#include <math.h>

hr_type hr__value_type(const hr_tok *tok) {
    switch (tok->type) {
    case HR_TOK_FALSE:
    case HR_TOK_TRUE:
        return HR_TYPE_BOOL;
    case HR_TOK_INT:
    case HR_TOK_UINT:
    case HR_TOK_BIGINT:
        return HR_TYPE_BIGINT;
    case HR_TOK_DOUBLE:
        return isinf(tok->as.d) ? HR_TYPE_UNSET : HR_TYPE_DOUBLE; /* orjson writes inf as null */
    case HR_TOK_STRING:
        return HR_TYPE_TEXT;
    case HR_TOK_ARRAY:
    case HR_TOK_OBJECT:
        return HR_TYPE_JSON;
    default:
        return HR_TYPE_UNSET;
    }
}

hr_type hr__value_infer(const hr_tok *tok) {
    if (tok->type == HR_TOK_STRING && hr__iso_is_timestamp((hr_str){tok->as.str, tok->len})) {
        return HR_TYPE_TIMESTAMP;
    }
    return hr__value_type(tok);
}

/* "value "abc..." " for messages: the first bytes of the text, cut at a character. */
static int shown(hr_str text) {
    size_t n = text.size_bytes < 40 ? text.size_bytes : 40;
    while (n < text.size_bytes && n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80) {
        n--;
    }
    return (int)n;
}

static int refuse(hr_error *err, hr_code code, const hr_tok *tok, const char *why) {
    if (tok->type == HR_TOK_UINT) {
        return hr__error_set(err, code, HR_STAGE_NORMALIZE, "integer %llu %s", (unsigned long long)tok->as.u, why);
    }
    if (tok->type == HR_TOK_BIGINT) {
        return hr__error_set(err, code, HR_STAGE_NORMALIZE, "an integer of %u digits %s", tok->len, why);
    }
    if (tok->type == HR_TOK_DOUBLE) {
        return hr__error_set(err, code, HR_STAGE_NORMALIZE, "number %g %s", tok->as.d, why);
    }
    hr_str text = {tok->as.str, tok->type == HR_TOK_STRING ? tok->len : 0};
    return hr__error_set(err, code, HR_STAGE_NORMALIZE, "value \"%.*s\" %s", shown(text), text.data, why);
}

/* ---------------------------------------------------------------------------------------------------- text as numbers
 */

/* Python's str.strip for ASCII white space; others do not occur in numbers that int() and float() then accept. */
static hr_str strip(hr_str text) {
    while (text.size_bytes > 0 && ((unsigned char)text.data[0] <= 32)) {
        text.data++;
        text.size_bytes--;
    }
    while (text.size_bytes > 0 && ((unsigned char)text.data[text.size_bytes - 1] <= 32)) {
        text.size_bytes--;
    }
    return text;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int hex_digit(char c) {
    return is_digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Digits of a base, with single underscores between them, to the end. HR_COERCE: none or others; HR_RANGE: too big. */
static int digits_value(hr_str text, int base, uint64_t *out) {
    uint64_t value = 0;
    bool overflow = false, digit_before = false;
    if (text.size_bytes == 0) {
        return HR_COERCE;
    }
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (text.data[i] == '_' && digit_before && i + 1 < text.size_bytes) {
            digit_before = false;
            continue;
        }
        int digit = base == 16 ? hex_digit(text.data[i]) : is_digit(text.data[i]) ? text.data[i] - '0' : -1;
        if (digit < 0) {
            return HR_COERCE;
        }
        digit_before = true;
        overflow |= __builtin_mul_overflow(value, (uint64_t)base, &value);
        overflow |= __builtin_add_overflow(value, (uint64_t)digit, &value);
    }
    *out = value;
    return overflow ? HR_RANGE : HR_OK;
}

/* int(text) of Python, or its 0x form of dlt. */
static int text_integer(hr_str text, int64_t *out) {
    text = strip(text);
    bool negative = false;
    uint64_t value;
    int rc;
    if (text.size_bytes >= 2 && text.data[0] == '0' && text.data[1] == 'x') {
        rc = digits_value((hr_str){text.data + 2, text.size_bytes - 2}, 16, &value);
    } else {
        if (text.size_bytes > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
            negative = text.data[0] == '-';
            text.data++;
            text.size_bytes--;
        }
        rc = digits_value(text, 10, &value);
    }
    if (rc != HR_OK) {
        return rc;
    }
    if (value > (uint64_t)INT64_MAX + negative) {
        return HR_RANGE;
    }
    *out = (int64_t)(negative ? 0 - value : value);
    return HR_OK;
}

static bool same_word(hr_str text, const char *word) {
    size_t n = strlen(word);
    if (text.size_bytes != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if ((text.data[i] | 0x20) != word[i]) {
            return false;
        }
    }
    return true;
}

/* float(text) of Python, or its 0x form of dlt. */
static int text_double(hr_str text, double *out) {
    text = strip(text);
    if (text.size_bytes >= 2 && text.data[0] == '0' && text.data[1] == 'x') {
        uint64_t value = 0;
        int rc = digits_value((hr_str){text.data + 2, text.size_bytes - 2}, 16, &value);
        *out = (double)value;
        return rc;
    }
    char clean[400]; /* without underscores and leading '+' */
    size_t n = 0;
    bool negative = false;
    if (text.size_bytes > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
        negative = text.data[0] == '-';
        text.data++;
        text.size_bytes--;
    }
    if (same_word(text, "nan") || same_word(text, "inf") || same_word(text, "infinity")) {
        *out = same_word(text, "nan") ? NAN : negative ? -INFINITY : INFINITY;
        return HR_OK;
    }
    if (negative) {
        clean[n++] = '-';
    }
    bool digits = false, point = false, exponent = false;
    for (size_t i = 0; i < text.size_bytes; i++) {
        char c = text.data[i];
        if (n + 1 >= sizeof clean) {
            return HR_RANGE;
        }
        if (c == '_') {
            if (i == 0 || i + 1 >= text.size_bytes || !is_digit(text.data[i - 1]) || !is_digit(text.data[i + 1])) {
                return HR_COERCE;
            }
            continue;
        }
        if (c == '.' && !point && !exponent) {
            point = true;
        } else if ((c | 0x20) == 'e' && digits && !exponent) {
            exponent = true;
            digits = false;
        } else if ((c == '-' || c == '+') && exponent && (text.data[i - 1] | 0x20) == 'e') {
        } else if (is_digit(c)) {
            digits = true;
        } else {
            return HR_COERCE;
        }
        clean[n++] = c;
    }
    if (!digits) {
        return HR_COERCE;
    }
    *out = hr__double_parse(clean, n);
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- timestamps */

/* Seconds since 1970 as datetime.fromtimestamp(value, UTC) rounds them (half to even). */
static int epoch_micros(double seconds, int64_t *out) {
    if (!(seconds >= -62135596800.0 && seconds < 253402300800.0)) {
        return HR_COERCE;
    }
    double whole = floor(seconds);
    double micros = nearbyint((seconds - whole) * 1e6);
    *out = (int64_t)whole * 1000000 + (int64_t)micros;
    return HR_OK;
}

static int text_timestamp(const hr_tok *tok, int64_t *out, hr_error *err) {
    hr_iso iso;
    hr_str text = {tok->as.str, tok->len};
    hr__iso_parse(text, &iso);
    if (iso.kind == HR_ISO_DATETIME || iso.kind == HR_ISO_DATE) {
        if (hr__iso_micros(&iso, out) != HR_OK) {
            return refuse(err, HR_RANGE, tok, "is a timestamp whose offset or year is out of range");
        }
        return HR_OK;
    }
    if (iso.kind == HR_ISO_TIME) {
        return HR_COERCE;
    }
    double seconds;
    hr_str number = strip(text);
    bool hex = number.size_bytes >= 2 && number.data[0] == '0' && number.data[1] == 'x'; /* float() does not take it */
    if (hex || text_double(text, &seconds) != HR_OK) {
        return HR_COERCE;
    }
    return epoch_micros(seconds, out);
}

/* ---------------------------------------------------------------------------------------------------- to each type */

static int to_new_text(hr_arena *arena, const char *data, size_t size, hr_cell *cell, uint32_t *size_out) {
    char *text = hr__arena_copy(arena, data, size);
    if (text == NULL) {
        return HR_MEMORY;
    }
    cell->str = text;
    *size_out = (uint32_t)size;
    return HR_OK;
}

/* The orjson text of a value that stays nested. */
static int to_json_text(const hr_doc *doc, size_t at, hr_arena *arena, hr_cell *cell, uint32_t *size_out,
                        hr_error *err) {
    hr_buf buf;
    hr__buf_init(&buf, arena->alloc, UINT32_MAX);
    int rc = hr__doc_write(doc, at, 0, NULL, 0, &buf, err);
    if (rc == HR_OK) {
        rc = to_new_text(arena, buf.data, buf.size_bytes, cell, size_out);
        if (rc != HR_OK) {
            hr__error_memory(err, HR_STAGE_NORMALIZE);
        }
    }
    hr__buf_free(&buf);
    return rc;
}

static int to_text(const hr_tok *tok, hr_arena *arena, hr_cell *cell, uint32_t *size_out) {
    char text[40];
    switch (tok->type) {
    case HR_TOK_TRUE:
        cell->str = "True";
        *size_out = 4;
        return HR_OK;
    case HR_TOK_FALSE:
        cell->str = "False";
        *size_out = 5;
        return HR_OK;
    case HR_TOK_INT:
        return to_new_text(arena, text, hr__int_repr(tok->as.i, text), cell, size_out);
    case HR_TOK_UINT:
        return to_new_text(arena, text, hr__uint_repr(tok->as.u, text), cell, size_out);
    default:
        return to_new_text(arena, text, hr__double_repr_python(tok->as.d, text), cell, size_out);
    }
}

static int to_bigint(const hr_tok *tok, hr_cell *cell, hr_error *err) {
    static const char *const beyond = "does not fit a 64-bit signed integer column";
    switch (tok->type) {
    case HR_TOK_INT:
        cell->i = tok->as.i;
        return HR_OK;
    case HR_TOK_UINT:
        return refuse(err, HR_RANGE, tok, beyond);
    case HR_TOK_DOUBLE:
        if (tok->as.d != floor(tok->as.d)) {
            return HR_COERCE;
        }
        if (!(tok->as.d >= -9223372036854775808.0 && tok->as.d < 9223372036854775808.0)) {
            return refuse(err, HR_RANGE, tok, beyond);
        }
        cell->i = (int64_t)tok->as.d;
        return HR_OK;
    case HR_TOK_STRING: {
        int rc = text_integer((hr_str){tok->as.str, tok->len}, &cell->i);
        return rc == HR_RANGE ? refuse(err, HR_RANGE, tok, beyond) : rc;
    }
    default:
        return HR_COERCE;
    }
}

static int to_double(const hr_tok *tok, hr_cell *cell, hr_error *err) {
    switch (tok->type) {
    case HR_TOK_INT:
        cell->d = (double)tok->as.i;
        return HR_OK;
    case HR_TOK_UINT:
        cell->d = (double)tok->as.u;
        return HR_OK;
    case HR_TOK_DOUBLE:
        cell->d = tok->as.d;
        return HR_OK;
    case HR_TOK_STRING: {
        int rc = text_double((hr_str){tok->as.str, tok->len}, &cell->d);
        return rc == HR_RANGE ? refuse(err, HR_RANGE, tok, "is too long for a number") : rc;
    }
    default:
        return HR_COERCE;
    }
}

static int to_bool(const hr_tok *tok, hr_cell *cell) {
    hr_str text = {tok->as.str, tok->len};
    switch (tok->type) {
    case HR_TOK_TRUE:
    case HR_TOK_FALSE:
        cell->i = tok->type == HR_TOK_TRUE;
        return HR_OK;
    case HR_TOK_INT:
        cell->i = tok->as.i != 0;
        return HR_OK;
    case HR_TOK_UINT:
        cell->i = 1;
        return HR_OK;
    case HR_TOK_DOUBLE:
        cell->i = tok->as.d != 0;
        return HR_OK;
    case HR_TOK_STRING:
        if (same_word(text, "yes") || same_word(text, "true") || same_word(text, "t") || same_word(text, "y") ||
            (tok->len == 1 && text.data[0] == '1')) {
            cell->i = 1;
            return HR_OK;
        }
        if (same_word(text, "no") || same_word(text, "false") || same_word(text, "f") || same_word(text, "n") ||
            (tok->len == 1 && text.data[0] == '0')) {
            cell->i = 0;
            return HR_OK;
        }
        return HR_COERCE;
    default:
        return HR_COERCE;
    }
}

static int to_timestamp(const hr_tok *tok, hr_cell *cell, hr_error *err) {
    switch (tok->type) {
    case HR_TOK_STRING:
        return text_timestamp(tok, &cell->i, err);
    case HR_TOK_INT:
        return tok->as.i < -62135596800 || tok->as.i > 253402300799 ? HR_COERCE
                                                                    : (cell->i = tok->as.i * 1000000, HR_OK);
    case HR_TOK_DOUBLE:
        return epoch_micros(tok->as.d, &cell->i);
    default:
        return HR_COERCE;
    }
}

/* Whether text is a number of JSON's grammar. */
static bool is_json_number(hr_str text) {
    size_t i = text.data[0] == '-', digits = i;
    while (i < text.size_bytes && is_digit(text.data[i])) {
        i++;
    }
    if (i == digits || (text.data[digits] == '0' && i > digits + 1)) {
        return false;
    }
    if (i < text.size_bytes && text.data[i] == '.') {
        for (digits = ++i; i < text.size_bytes && is_digit(text.data[i]); i++) {
        }
        if (i == digits) {
            return false;
        }
    }
    if (i < text.size_bytes && (text.data[i] | 0x20) == 'e') {
        i++;
        i += i < text.size_bytes && (text.data[i] == '-' || text.data[i] == '+');
        for (digits = i; i < text.size_bytes && is_digit(text.data[i]); i++) {
        }
        if (i == digits) {
            return false;
        }
    }
    return i == text.size_bytes;
}

/* Text for a json column: dlt takes what json.loads takes. Words are; what may be a longer document is refused, since
 * this stage has no decoder. */
static int text_to_json(const hr_tok *tok, hr_arena *arena, hr_cell *cell, uint32_t *size_out, hr_error *err) {
    hr_str text = strip((hr_str){tok->as.str, tok->len});
    if (text.size_bytes == 0) {
        return HR_COERCE;
    }
    char first = text.data[0], last = text.data[text.size_bytes - 1];
    if (hr__str_eq(text, hr__str("true")) || hr__str_eq(text, hr__str("false"))) {
        cell->str = text.data;
        *size_out = (uint32_t)text.size_bytes;
        return HR_OK;
    }
    int64_t integer;
    if ((first == '-' || is_digit(first)) && is_json_number(text)) {
        char number[40];
        size_t size = text_integer(text, &integer) == HR_OK
                          ? hr__int_repr(integer, number)
                          : hr__double_repr_orjson(hr__double_parse(text.data, text.size_bytes), number);
        return to_new_text(arena, number, size, cell, size_out) == HR_OK ? HR_OK
                                                                         : hr__error_memory(err, HR_STAGE_NORMALIZE);
    }
    bool maybe = (first == '{' && last == '}') || (first == '[' && last == ']') ||
                 (first == '"' && last == '"' && text.size_bytes > 1) || hr__str_eq(text, hr__str("null"));
    return maybe ? refuse(err, HR_UNSUPPORTED, tok,
                          "may be JSON text for a json column, which the engine does not read yet")
                 : HR_COERCE;
}

/* dlt-semantics rule 6: U+F026..U+F02D, then something: dlt tries to decode a typed value. Whether it would succeed is
 * not worked out: such text (an icon font's character and more) is refused when what follows could be a value. */
static bool is_typed(const hr_tok *tok) {
    const unsigned char *t = (const unsigned char *)tok->as.str;
    if (tok->len < 4 || t[0] != 0xEF || t[1] != 0x80 || t[2] < 0xA6 || t[2] > 0xAD) {
        return false;
    }
    for (uint32_t i = 3; i < tok->len; i++) {
        if (t[i] == ' ' && t[2] != 0xA7) {
            return false;
        }
    }
    return true;
}

int hr__coerce(const hr_doc *doc, size_t at, hr_type type, hr_arena *arena, hr_cell *cell_out, uint32_t *size_out,
               hr_error *err) {
    const hr_tok *tok = &doc->toks[at];
    if (tok->type == HR_TOK_STRING) {
        if (HR_UNLIKELY(tok->flags & HR_TOK_SURROGATE)) {
            return refuse(err, HR_ENCODING, tok, "holds a lone surrogate, which is not text");
        }
        if (HR_UNLIKELY(is_typed(tok))) {
            return refuse(err, HR_UNSUPPORTED, tok, "starts with dlt's private-use type marker, which is not read yet");
        }
        if (HR_LIKELY(type == HR_TYPE_TEXT)) {
            cell_out->str = tok->as.str;
            *size_out = tok->len;
            return HR_OK;
        }
    }
    if (HR_UNLIKELY(tok->type == HR_TOK_BIGINT)) {
        return refuse(err, HR_RANGE, tok, "exceeds 64 bits");
    }
    hr_cell cell = {0};
    int rc;
    switch (type) {
    case HR_TYPE_TEXT:
        rc = tok->type >= HR_TOK_ARRAY ? to_json_text(doc, at, arena, &cell, size_out, err)
                                       : to_text(tok, arena, &cell, size_out);
        if (rc == HR_MEMORY) {
            return hr__error_memory(err, HR_STAGE_NORMALIZE);
        }
        break;
    case HR_TYPE_BIGINT:
        rc = to_bigint(tok, &cell, err);
        break;
    case HR_TYPE_DOUBLE:
        rc = to_double(tok, &cell, err);
        break;
    case HR_TYPE_BOOL:
        rc = to_bool(tok, &cell);
        break;
    case HR_TYPE_TIMESTAMP:
        rc = to_timestamp(tok, &cell, err);
        break;
    case HR_TYPE_JSON:
        rc = tok->type >= HR_TOK_ARRAY    ? to_json_text(doc, at, arena, &cell, size_out, err)
             : tok->type == HR_TOK_STRING ? text_to_json(tok, arena, &cell, size_out, err)
                                          : HR_COERCE;
        break;
    default:
        return refuse(err, HR_UNSUPPORTED, tok, "goes to a column of a type that the engine does not write yet");
    }
    if (rc == HR_OK) {
        *cell_out = cell;
    }
    return rc;
}
