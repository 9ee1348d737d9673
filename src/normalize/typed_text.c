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

/* custom_pua_remove also takes the character behind the last marker. */
static bool is_marked_inside(const hr_tok *tok) {
    const unsigned char *t = (const unsigned char *)tok->as.str;
    return tok->type == HR_TOK_STRING && tok->len > 3 && t[0] == 0xEF && t[1] == 0x80 && t[2] >= 0xA6 && t[2] <= 0xAE;
}

bool hr__doc_has_marked(const hr_doc *doc, size_t at) {
    bool object = doc->toks[at].type == HR_TOK_OBJECT;
    size_t value = at + 1;
    for (uint32_t i = 0; i < doc->toks[at].len; i++) {
        value += object; /* the key */
        const hr_tok *tok = &doc->toks[value];
        if (is_marked_inside(tok) || (tok->type >= HR_TOK_ARRAY && hr__doc_has_marked(doc, value))) {
            return true;
        }
        value = hr__doc_next(doc, value);
    }
    return false;
}
