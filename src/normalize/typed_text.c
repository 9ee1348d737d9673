/* SPDX-License-Identifier: Apache-2.0
 *
 * Which texts with a private-use type marker dlt decodes: DECODERS of dlt 1.31 common/json/__init__.py.
 */
#include "typed_text.h"

#include "coerce_binary.h"
#include "coerce_number.h"
#include "unicode_text.h"

static bool starts_with_digits(hr_str text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i >= text.size_bytes || text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return true;
}

static bool has_prefix(hr_str text, const char *prefix) {
    size_t n = strlen(prefix);
    return text.size_bytes >= n && memcmp(text.data, prefix, n) == 0;
}

/* str.replace(word, "") in place. */
static hr_str without(char *data, size_t size, const char *word) {
    size_t n = 0, word_size = strlen(word);
    for (size_t i = 0; i < size;) {
        if (has_prefix((hr_str){data + i, size - i}, word)) {
            i += word_size;
        } else {
            data[n++] = data[i++];
        }
    }
    return (hr_str){data, n};
}

/* UUID(hex=text) */
static int decodes_uuid(hr_arena *scratch, hr_str text, bool *out) {
    char *data = hr__arena_copy(scratch, text.data, text.size_bytes);
    if (data == NULL) {
        return HR_MEMORY;
    }
    text = without(data, text.size_bytes, "urn:");
    text = without(data, text.size_bytes, "uuid:");
    size_t from = 0, to = text.size_bytes;
    while (from < to && (data[from] == '{' || data[from] == '}')) {
        from++;
    }
    while (to > from && (data[to - 1] == '{' || data[to - 1] == '}')) {
        to--;
    }
    text = without(data + from, to - from, "-");
    size_t n_points = 0;
    for (size_t at = 0; at < text.size_bytes; n_points++) {
        hr__utf8_next(text, &at);
    }
    *out = false;
    if (n_points == 32) {
        int rc = hr__text_is_hex(scratch, text);
        if (rc == HR_MEMORY) {
            return rc;
        }
        *out = rc == HR_OK;
    }
    return HR_OK;
}

/* Whether the text has the pattern's form: 9 stands for a digit, other characters for themselves. */
static bool has_form(hr_str text, const char *pattern) {
    if (text.size_bytes != strlen(pattern)) {
        return false;
    }
    for (size_t i = 0; i < text.size_bytes; i++) {
        bool digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (pattern[i] == '9' ? !digit : text.data[i] != pattern[i]) {
            return false;
        }
    }
    return true;
}

static size_t count_digits(hr_str text, size_t from) {
    size_t n = 0;
    while (from + n < text.size_bytes && text.data[from + n] >= '0' && text.data[from + n] <= '9') {
        n++;
    }
    return n;
}

/* time.isoformat without an offset */
static bool is_time(hr_str text) {
    return has_form(text, "99:99:99") || has_form(text, "99:99:99.999999");
}

/* datetime.isoformat */
static bool is_datetime(hr_str text) {
    if (text.size_bytes < 19) {
        return false;
    }
    hr_str day = {text.data, 11}, rest = {text.data + 11, text.size_bytes - 11};
    if (rest.size_bytes >= 14) {
        hr_str offset = {rest.data + rest.size_bytes - 6, 6};
        rest.size_bytes -= has_form(offset, "+99:99") || has_form(offset, "-99:99") ? 6 : 0;
    }
    return has_form(day, "9999-99-99T") && is_time(rest);
}

/* Digits of an exponent that every Decimal may have; what has more is not taken for one here. */
#define EXPONENT_DIGITS 18

/* str(Decimal) of a finite one */
static bool is_decimal(hr_str text) {
    size_t at = text.size_bytes > 0 && text.data[0] == '-', n = count_digits(text, at);
    if (n == 0) {
        return false;
    }
    at += n;
    if (at < text.size_bytes && text.data[at] == '.') {
        n = count_digits(text, at + 1);
        at += 1 + n;
        if (n == 0) {
            return false;
        }
    }
    if (at + 1 < text.size_bytes && text.data[at] == 'E' && (text.data[at + 1] == '+' || text.data[at + 1] == '-')) {
        n = count_digits(text, at + 2);
        at += 2 + n;
        if (n == 0 || n > EXPONENT_DIGITS) {
            return false;
        }
    }
    return at == text.size_bytes;
}

/* HexBytes.hex() */
static bool is_hex_bytes(hr_str text) {
    for (size_t i = 2; i < text.size_bytes; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return has_prefix(text, "0x") && text.size_bytes % 2 == 0;
}

bool hr__typed_text_is_uuid(hr_str text) {
    bool marked = (unsigned char)text.data[2] == 0xA9;
    text = hr__typed_text_value(text);
    for (size_t i = 0; i < text.size_bytes && marked; i++) {
        char c = text.data[i];
        bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        marked = hyphen ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
    return marked && text.size_bytes == 36;
}

hr_type hr__typed_text_type(hr_str text) {
    size_t size;
    int kind = (unsigned char)text.data[2] - 0xA6;
    text = hr__typed_text_value(text);
    switch (kind) {
    case 0:
        return is_decimal(text) ? HR_TYPE_DECIMAL : HR_TYPE_UNSET;
    case 1:
        return is_datetime(text) ? HR_TYPE_TIMESTAMP : HR_TYPE_UNSET;
    case 2:
        return has_form(text, "9999-99-99") ? HR_TYPE_DATE : HR_TYPE_UNSET;
    case 4:
        return is_hex_bytes(text) ? HR_TYPE_BINARY : HR_TYPE_UNSET;
    case 6:
        return is_decimal(text) ? HR_TYPE_WEI : HR_TYPE_UNSET;
    case 5:
        return text.size_bytes % 4 == 0 && hr__is_ascii(text) && hr__bytes_from_base64(text, true, NULL, &size)
                   ? HR_TYPE_BINARY
                   : HR_TYPE_UNSET;
    case 7:
        return is_time(text) ? HR_TYPE_TIME : HR_TYPE_UNSET;
    default:
        return HR_TYPE_UNSET;
    }
}

int hr__text_marked_decodes(hr_arena *scratch, hr_str text, bool *decodes_out) {
    int kind = (unsigned char)text.data[2] - 0xA6;
    size_t size;
    text = (hr_str){text.data + 3, text.size_bytes - 3};
    switch (kind) {
    case 0: /* Decimal */
    case 6: /* Wei */ {
        int rc = hr__text_is_decimal(scratch, text);
        if (rc == HR_MEMORY) {
            return rc;
        }
        *decodes_out = rc == HR_OK;
        return HR_OK;
    }
    case 1: /* datetime.fromisoformat */
        *decodes_out = text.size_bytes >= 7 && starts_with_digits(text, 4);
        return HR_OK;
    case 2: /* date.fromisoformat */
        *decodes_out = text.size_bytes >= 7 && text.size_bytes <= 10 && starts_with_digits(text, 4);
        return HR_OK;
    case 3:
        return decodes_uuid(scratch, text, decodes_out);
    case 4: /* HexBytes */
        for (int i = 0; i < 2; i++) {
            size_t n = has_prefix(text, i == 0 ? "0x" : "0X") ? 2 : 0;
            text = (hr_str){text.data + n, text.size_bytes - n};
        }
        *decodes_out = hr__bytes_from_hex(text, NULL, &size);
        return HR_OK;
    case 5: /* base64.b64decode */
        *decodes_out = hr__is_ascii(text) && hr__bytes_from_base64(text, false, NULL, &size);
        return HR_OK;
    default: /* time.fromisoformat */
        text = has_prefix(text, "T") ? (hr_str){text.data + 1, text.size_bytes - 1} : text;
        *decodes_out = starts_with_digits(text, 2);
        return HR_OK;
    }
}

bool hr__tok_is_marked(const hr_tok *tok) {
    const unsigned char *t = (const unsigned char *)tok->as.str;
    return tok->type == HR_TOK_STRING && tok->len > 3 && t[0] == 0xEF && t[1] == 0x80 && t[2] >= 0xA6 && t[2] <= 0xAE;
}

bool hr__doc_has_marked(const hr_doc *doc, size_t at) {
    bool object = doc->toks[at].type == HR_TOK_OBJECT;
    size_t value = at + 1;
    for (uint32_t i = 0; i < doc->toks[at].len; i++) {
        value += object; /* the key */
        const hr_tok *tok = &doc->toks[value];
        if (hr__tok_is_marked(tok) || (tok->type >= HR_TOK_ARRAY && hr__doc_has_marked(doc, value))) {
            return true;
        }
        value = hr__doc_next(doc, value);
    }
    return false;
}
