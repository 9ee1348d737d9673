/* SPDX-License-Identifier: Apache-2.0
 *
 * dlt 1.31's coercions (common/data_types/type_helpers.py, common/time.py, common/utils.py str2bool).
 */
#define _GNU_SOURCE /* memmem */
#include "coerce.h"

#include "coerce_binary.h"
#include "coerce_json.h"
#include "coerce_number.h"
#include "doc_write.h"
#include "hash.h"
#include "number.h"
#include "timestamp.h"
#include "typed_text.h"
#include "unicode_text.h"

#include <math.h>
#include <stdio.h>

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
    case HR_TOK_STRING: {
        hr_str text = {tok->as.str, tok->len};
        hr_type typed = hr__text_is_marked(text) ? hr__typed_text_type(text) : HR_TYPE_UNSET;
        return typed == HR_TYPE_UNSET ? HR_TYPE_TEXT : typed;
    }
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

/* How much of a value a message shows. */
#define SHOWN_BYTES 40

/* The first bytes of the text, cut at a character. */
static int shown(hr_str text) {
    size_t n = text.size_bytes < SHOWN_BYTES ? text.size_bytes : SHOWN_BYTES;
    while (n < text.size_bytes && n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80) {
        n--;
    }
    return (int)n;
}

/* Fills err with what the value is and `why`; returns code. */
static int refuse(hr_error *err, hr_code code, const hr_tok *tok, const char *why) {
    char number[32];
    switch (tok->type) {
    case HR_TOK_INT:
        return hr__error_set(err, code, HR_STAGE_NORMALIZE, "integer %lld %s", (long long)tok->as.i, why);
    case HR_TOK_UINT:
        return hr__error_set(err, code, HR_STAGE_NORMALIZE, "integer %llu %s", (unsigned long long)tok->as.u, why);
    case HR_TOK_BIGINT:
        return hr__error_set(err, code, HR_STAGE_NORMALIZE, "an integer of %u digits %s",
                             tok->len - (tok->as.str[0] == '-'), why);
    case HR_TOK_DOUBLE:
        return hr__error_set(err, code, HR_STAGE_NORMALIZE, "number %.*s %s",
                             (int)hr__double_repr_python(tok->as.d, number), number, why);
    case HR_TOK_STRING: {
        hr_str text = {tok->as.str, tok->len};
        return hr__error_set(err, code, HR_STAGE_NORMALIZE, "value \"%.*s%s\" %s", shown(text), text.data,
                             text.size_bytes > SHOWN_BYTES ? "..." : "", why);
    }
    default:
        return hr__error_set(err, code, HR_STAGE_NORMALIZE, "a value %s", why);
    }
}

static hr_str tok_text(const hr_tok *tok) {
    return (hr_str){tok->as.str, tok->len};
}

/* ---------------------------------------------------------------------------------------------------- dates and times
 */

#define MICROS_PER_DAY ((int64_t)86400 * 1000000)

/* pendulum.from_timestamp: whole and fraction apart, the fraction to microseconds half to even (CPython
 * _PyTime_ObjectToTimeval). Years outside 1-9999 are a ValueError; dlt does not catch the OSError of times that the C
 * library cannot take (beyond some 6.7e16), here they are a variant too. */
static int epoch_micros(double seconds, int64_t *out) {
    double whole, micros = nearbyint(modf(seconds, &whole) * 1e6);
    if (micros >= 1e6) {
        micros -= 1e6;
        whole += 1;
    } else if (micros < 0) {
        micros += 1e6;
        whole -= 1;
    }
    if (!(whole >= -62135596800.0 && whole < 253402300800.0)) {
        return HR_COERCE;
    }
    *out = (int64_t)whole * 1000000 + (int64_t)micros;
    return HR_OK;
}

/* dlt's ensure_datetime. HR_RANGE: a datetime whose conversion to UTC fails. */
static int text_micros(hr_arena *arena, hr_str text, int64_t *out) {
    hr_iso iso;
    hr__iso_parse(text, &iso);
    if (iso.kind == HR_ISO_DATETIME || iso.kind == HR_ISO_DATE) {
        return hr__iso_micros(&iso, out);
    }
    double seconds;
    if (iso.kind == HR_ISO_TIME) {
        return HR_COERCE;
    }
    HR_TRY(hr__text_double(arena, text, false, &seconds));
    return epoch_micros(seconds, out);
}

static int to_micros(const hr_tok *tok, hr_arena *arena, int64_t *out) {
    switch (tok->type) {
    case HR_TOK_STRING:
        return text_micros(arena, tok_text(tok), out);
    case HR_TOK_INT:
        if (tok->as.i < -62135596800 || tok->as.i > 253402300799) {
            return HR_COERCE;
        }
        *out = tok->as.i * 1000000;
        return HR_OK;
    case HR_TOK_DOUBLE:
        return epoch_micros(tok->as.d, out);
    default:
        return HR_COERCE;
    }
}

static int to_timestamp(const hr_tok *tok, hr_arena *arena, hr_cell *cell, hr_error *err) {
    int rc = to_micros(tok, arena, &cell->i);
    return rc == HR_RANGE ? refuse(err, rc, tok, "is a timestamp whose offset or year is out of range") : rc;
}

/* date.fromisoformat, which dlt asks before ISO and epoch seconds, reads ten bytes that begin with a basic date and
 * does not look at the last two: "1611111111" is a day in 1611 (CPython 3.11 to 3.13). */
static bool is_cut_date(hr_str text, hr_iso *iso) {
    if (text.size_bytes != 10 || text.data[4] == '-' ||
        (text.data[4] == 'W' && (text.data[7] < '1' || text.data[7] > '7'))) {
        return false;
    }
    hr_str date = {text.data, 8};
    hr__iso_parse(date, iso);
    return iso->kind == HR_ISO_DATE && hr__is_ascii(date);
}

/* _text_to_date_fast, ensure_pendulum_date: the day in UTC. */
static int to_date(const hr_tok *tok, hr_arena *arena, hr_cell *cell) {
    int64_t micros;
    hr_iso iso;
    if (tok->type == HR_TOK_STRING && is_cut_date(tok_text(tok), &iso)) {
        cell->i = hr__iso_days(iso.year, iso.month, iso.day);
        return HR_OK;
    }
    int rc = to_micros(tok, arena, &micros);
    if (rc != HR_OK) {
        return rc == HR_RANGE ? HR_COERCE : rc; /* converted inside of dlt's coercion, so a ValueError */
    }
    int64_t days = micros / MICROS_PER_DAY;
    cell->i = days - (micros % MICROS_PER_DAY < 0);
    return HR_OK;
}

/* ensure_pendulum_time: the time of day in UTC. */
static int to_time(const hr_tok *tok, hr_cell *cell) {
    hr_iso iso;
    if (tok->type != HR_TOK_STRING) {
        return HR_COERCE;
    }
    hr__iso_parse(tok_text(tok), &iso);
    if (iso.kind != HR_ISO_TIME || (iso.has_offset && (iso.offset_seconds >= 86400 || iso.offset_seconds <= -86400))) {
        return HR_COERCE;
    }
    int64_t seconds = iso.hour * 3600 + iso.minute * 60 + iso.second - (iso.has_offset ? iso.offset_seconds : 0);
    seconds = (seconds % 86400 + 86400) % 86400;
    cell->i = seconds * 1000000 + iso.microsecond;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- text */

static int to_new_text(hr_arena *arena, const char *data, size_t size, hr_cell *cell, uint32_t *size_out) {
    char *text = hr__arena_copy(arena, data, size);
    if (text == NULL) {
        return HR_MEMORY;
    }
    cell->str = text;
    *size_out = (uint32_t)size;
    return HR_OK;
}

static int typed_to_text(const hr_tok *tok, hr_type from, hr_arena *arena, hr_cell *cell, uint32_t *size_out,
                         hr_error *err);

/* What text of a date or time is to be. */
static const hr_iso_kind moment_kinds[HR_TYPE_COUNT] = {
    [HR_TYPE_TIMESTAMP] = HR_ISO_DATETIME, [HR_TYPE_DATE] = HR_ISO_DATE, [HR_TYPE_TIME] = HR_ISO_TIME};

/* Whether Python takes the text for one of the type: its zone is less than a day away. */
static bool is_moment(hr_type type, hr_str text) {
    hr_iso iso;
    hr__iso_parse(text, &iso);
    return iso.kind == moment_kinds[type] && iso.offset_seconds < 86400 && iso.offset_seconds > -86400;
}

/* Text with a marker inside a value that stays nested: what orjson writes for the value that dlt reads from it; where
 * it reads none, the text without the marker (custom_pua_remove). */
static int unmark(const hr_tok *tok, hr_arena *arena, hr_tok *out, hr_error *err) {
    hr_type type = hr__typed_text_type(tok_text(tok));
    hr_str text = hr__typed_text_value(tok_text(tok));
    hr_cell cell = {.str = text.data};
    uint32_t size = (uint32_t)text.size_bytes;
    bool decodes = false;
    if (type == HR_TYPE_UNSET) {
        HR_TRY(hr__text_is_marked(tok_text(tok)) ? hr__text_marked_decodes(arena, tok_text(tok), &decodes) : HR_OK);
    } else if (moment_kinds[type] != HR_ISO_NONE) {
        decodes = !is_moment(type, text);
    }
    if (decodes && !hr__typed_text_is_uuid(tok_text(tok))) {
        return refuse(err, HR_UNSUPPORTED, tok, "has dlt's private-use type marker in a form that is not dlt's own");
    }
    if (type != HR_TYPE_UNSET) {
        HR_TRY(typed_to_text(tok, type, arena, &cell, &size, err));
    }
    *out = *tok;
    out->as.str = cell.str;
    out->len = size;
    return HR_OK;
}

/* Takes the markers from the values (not the keys) in the container at `at` of toks. Recursion: bounded by the
 * document's depth. */
static int unmark_values(hr_tok *toks, size_t at, hr_arena *arena, hr_error *err) {
    bool object = toks[at].type == HR_TOK_OBJECT;
    size_t value = at + 1;
    for (uint32_t i = 0; i < toks[at].len; i++) {
        value += object;
        hr_tok *tok = &toks[value];
        if (tok->type >= HR_TOK_ARRAY) {
            HR_TRY(unmark_values(toks, value, arena, err));
            value = tok->as.at.next;
            continue;
        }
        if (hr__tok_is_marked(tok)) {
            const hr_tok marked = *tok;
            HR_TRY(unmark(&marked, arena, tok, err));
        }
        value++;
    }
    return HR_OK;
}

/* A copy of the value at `at` without markers; its tokens are in arena. */
static int unmarked(const hr_doc *doc, size_t at, hr_arena *arena, hr_doc *out, hr_error *err) {
    size_t n = hr__doc_next(doc, at) - at;
    hr_tok *toks = hr__arena_alloc(arena, n * sizeof *toks);
    if (toks == NULL) {
        return HR_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        toks[i] = doc->toks[at + i];
        if (toks[i].type >= HR_TOK_ARRAY) {
            toks[i].as.at.next -= (uint32_t)at;
        }
    }
    *out = (hr_doc){.body = doc->body, .body_size_bytes = doc->body_size_bytes, .toks = toks, .n_toks = n};
    return unmark_values(toks, 0, arena, err);
}

/* The orjson text of a value that stays nested. */
static int to_json_text(const hr_doc *doc, size_t at, hr_arena *arena, hr_cell *cell, uint32_t *size_out,
                        hr_error *err) {
    hr_buf buf;
    hr__buf_init(&buf, arena->alloc, UINT32_MAX);
    int rc = hr__doc_write(doc, at, 0, NULL, 0, &buf, err);
    if (rc == HR_OK && memmem(buf.data, buf.size_bytes, "\xEF\x80", 2) != NULL && hr__doc_has_marked(doc, at)) {
        hr_doc plain;
        buf.size_bytes = 0;
        rc = unmarked(doc, at, arena, &plain, err);
        rc = rc == HR_OK ? hr__doc_write(&plain, 0, 0, NULL, 0, &buf, err) : rc;
    }
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

static int to_json(const hr_doc *doc, size_t at, hr_arena *arena, hr_cell *cell, uint32_t *size_out, hr_error *err) {
    const hr_tok *tok = &doc->toks[at];
    if (tok->type >= HR_TOK_ARRAY) {
        return to_json_text(doc, at, arena, cell, size_out, err);
    }
    if (tok->type != HR_TOK_STRING) {
        return HR_COERCE;
    }
    hr_str text;
    HR_TRY(hr__text_json(arena, tok_text(tok), &text, err));
    cell->str = text.data;
    *size_out = (uint32_t)text.size_bytes;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- numbers, bytes
 */

static int to_bigint(const hr_tok *tok, hr_arena *arena, hr_cell *cell, hr_error *err) {
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
        int rc = hr__text_bigint(arena, tok_text(tok), &cell->i);
        return rc == HR_RANGE ? refuse(err, HR_RANGE, tok, beyond) : rc;
    }
    default:
        return HR_COERCE;
    }
}

static int to_double(const hr_tok *tok, hr_arena *arena, hr_cell *cell) {
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
    case HR_TOK_STRING:
        return hr__text_double(arena, tok_text(tok), true, &cell->d);
    default:
        return HR_COERCE;
    }
}

/* str2bool: lower case, one of the words. Nothing but ASCII has these letters as its lower case. */
static int text_bool(hr_str text, int64_t *out) {
    static const char *const words[2][5] = {{"no", "false", "f", "n", "0"}, {"yes", "true", "t", "y", "1"}};
    char lower[5];
    if (text.size_bytes > sizeof lower) {
        return HR_COERCE;
    }
    for (size_t i = 0; i < text.size_bytes; i++) {
        lower[i] = text.data[i] >= 'A' && text.data[i] <= 'Z' ? (char)(text.data[i] | 0x20) : text.data[i];
    }
    for (int value = 0; value < 2; value++) {
        for (int i = 0; i < 5; i++) {
            if (hr__str_eq((hr_str){lower, text.size_bytes}, hr__str(words[value][i]))) {
                *out = value;
                return HR_OK;
            }
        }
    }
    return HR_COERCE;
}

static int to_bool(const hr_tok *tok, hr_cell *cell) {
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
        return text_bool(tok_text(tok), &cell->i);
    default:
        return HR_COERCE;
    }
}

static int to_binary(const hr_tok *tok, hr_arena *arena, hr_cell *cell, uint32_t *size_out) {
    if (tok->type != HR_TOK_STRING && tok->type != HR_TOK_UINT && (tok->type != HR_TOK_INT || tok->as.i < 0)) {
        return HR_COERCE;
    }
    hr_str text = tok->type == HR_TOK_STRING ? tok_text(tok) : (hr_str){NULL, sizeof tok->as.u};
    uint8_t *bytes = hr__arena_alloc(arena, text.size_bytes + 1);
    size_t n = 0;
    if (bytes == NULL) {
        return HR_MEMORY;
    }
    if (tok->type != HR_TOK_STRING) { /* int.to_bytes(..., "little"), as few as needed */
        for (uint64_t rest = tok->as.u; rest != 0; rest >>= 8) {
            bytes[n++] = (uint8_t)rest;
        }
    } else if (text.size_bytes >= 2 && text.data[0] == '0' && text.data[1] == 'x') {
        if (!hr__bytes_from_hex((hr_str){text.data + 2, text.size_bytes - 2}, bytes, &n)) {
            return HR_COERCE;
        }
    } else if (!hr__bytes_from_base64(text, true, bytes, &n)) {
        return HR_COERCE;
    }
    cell->str = (const char *)bytes;
    *size_out = (uint32_t)n;
    return HR_OK;
}

#define AS_TEXT (-1) /* in place of a precision */

/* Of DECIMAL the bits; of WIDE and WEI the digits. */
static int put_decimal(hr_type type, hr_str text, int precision, int scale, hr_arena *arena, hr_cell *cell,
                       uint32_t *size_out) {
    if (type != HR_TYPE_DECIMAL) {
        hr_str digits;
        HR_TRY(hr__text_decimal_digits(arena, text, precision, scale, &digits));
        cell->str = digits.data;
        *size_out = (uint32_t)digits.size_bytes;
        return HR_OK;
    }
    uint8_t *bytes = hr__arena_alloc(arena, HR_DECIMAL_BYTES);
    if (bytes == NULL) {
        return HR_MEMORY;
    }
    cell->str = (const char *)bytes;
    return hr__text_decimal(arena, text, precision, scale, bytes);
}

static int to_decimal(const hr_tok *tok, hr_type type, int precision, int scale, hr_arena *arena, hr_cell *cell,
                      uint32_t *size_out, hr_error *err) {
    char number[40];
    hr_str text = {number, 0};
    switch (tok->type) {
    case HR_TOK_STRING:
        text = tok_text(tok);
        break;
    case HR_TOK_INT:
        text.size_bytes = hr__int_repr(tok->as.i, number);
        break;
    case HR_TOK_UINT:
        text.size_bytes = hr__uint_repr(tok->as.u, number);
        break;
    case HR_TOK_DOUBLE: /* Decimal(str(value)) */
        text.size_bytes = hr__double_repr_python(tok->as.d, number);
        break;
    default:
        return HR_COERCE;
    }
    if (precision == AS_TEXT) {
        hr_str shown;
        int rc = hr__text_decimal_text(arena, text, &shown);
        if (rc != HR_OK) {
            return rc == HR_RANGE
                       ? refuse(err, HR_RANGE, tok, "is no finite number, or one of more than 128 bits in hex")
                       : rc;
        }
        cell->str = shown.data;
        *size_out = (uint32_t)shown.size_bytes;
        return HR_OK;
    }
    int rc = put_decimal(type, text, precision, scale, arena, cell, size_out);
    if (rc == HR_RANGE) {
        char why[64];
        snprintf(why, sizeof why, "does not fit a %s(%d, %d) column", hr__type_name(type), precision, scale);
        return refuse(err, HR_RANGE, tok, why);
    }
    return rc;
}

/* ---------------------------------------------------------------------------------------------------- public */

/* What dlt fails on, or the engine does not do, whatever the column. */
static int check_value(const hr_tok *tok, hr_arena *arena, hr_error *err) {
    if (tok->type == HR_TOK_BIGINT) {
        return refuse(err, HR_RANGE, tok, "exceeds 64 bits");
    }
    if (tok->type != HR_TOK_STRING) {
        return HR_OK;
    }
    if (tok->flags & HR_TOK_SURROGATE) {
        return refuse(err, HR_ENCODING, tok, "holds a lone surrogate, which is not text");
    }
    bool decodes = false;
    if (hr__text_is_marked(tok_text(tok)) && hr__text_marked_decodes(arena, tok_text(tok), &decodes) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_NORMALIZE);
    }
    return decodes
               ? refuse(err, HR_UNSUPPORTED, tok, "starts with dlt's private-use type marker, which is not supported")
               : HR_OK;
}

static int coerce(const hr_doc *doc, size_t at, hr_type type, int precision, int scale, hr_arena *arena, hr_cell *cell,
                  uint32_t *size_out, hr_error *err) {
    const hr_tok *tok = &doc->toks[at];
    switch (type) {
    case HR_TYPE_TEXT:
        if (tok->type == HR_TOK_STRING) {
            cell->str = tok->as.str;
            *size_out = tok->len;
            return HR_OK;
        }
        return tok->type >= HR_TOK_ARRAY ? to_json_text(doc, at, arena, cell, size_out, err)
                                         : to_text(tok, arena, cell, size_out);
    case HR_TYPE_BIGINT:
        return to_bigint(tok, arena, cell, err);
    case HR_TYPE_DOUBLE:
        return to_double(tok, arena, cell);
    case HR_TYPE_BOOL:
        return to_bool(tok, cell);
    case HR_TYPE_TIMESTAMP:
        return to_timestamp(tok, arena, cell, err);
    case HR_TYPE_JSON:
        return to_json(doc, at, arena, cell, size_out, err);
    case HR_TYPE_DATE:
        return to_date(tok, arena, cell);
    case HR_TYPE_TIME:
        return to_time(tok, cell);
    case HR_TYPE_DECIMAL:
    case HR_TYPE_WIDE:
    case HR_TYPE_WEI:
        return to_decimal(tok, type, precision, scale, arena, cell, size_out, err);
    case HR_TYPE_BINARY:
        return to_binary(tok, arena, cell, size_out);
    default:
        return refuse(err, HR_UNSUPPORTED, tok, "goes to a column without a type");
    }
}

static int typed_bytes(const hr_tok *tok, hr_str value, hr_arena *arena, hr_cell *cell, uint32_t *size_out,
                       hr_error *err) {
    uint8_t *bytes = hr__arena_alloc(arena, value.size_bytes + 1);
    size_t n = 0;
    if (bytes == NULL) {
        return HR_MEMORY;
    }
    bool hex = hr__typed_text_is_hex(tok_text(tok));
    if (hex ? !hr__bytes_from_hex((hr_str){value.data + 2, value.size_bytes - 2}, bytes, &n)
            : !hr__bytes_from_base64(value, true, bytes, &n)) {
        return refuse(err, HR_UNSUPPORTED, tok, "has dlt's mark of bytes and is none");
    }
    cell->str = (const char *)bytes;
    *size_out = (uint32_t)n;
    return HR_OK;
}

/* Text that dlt wrote for a value of this type. A bad date or time is one that dlt does not decode either. */
static int coerce_typed(const hr_tok *tok, hr_type type, int precision, int scale, hr_arena *arena, hr_cell *cell,
                        uint32_t *size_out, hr_error *err) {
    const hr_str value = hr__typed_text_value(tok_text(tok));
    const hr_tok plain = {.type = HR_TOK_STRING, .len = (uint32_t)value.size_bytes, .as.str = value.data};
    hr_iso iso;
    if (moment_kinds[type] != HR_ISO_NONE) {
        hr__iso_parse(value, &iso);
        if (iso.kind != moment_kinds[type]) {
            return refuse(err, HR_UNSUPPORTED, tok, "has dlt's mark of a date or time and is none");
        }
    }
    switch (type) {
    case HR_TYPE_TIMESTAMP:
        return to_timestamp(&plain, arena, cell, err);
    case HR_TYPE_DATE:
        return to_date(&plain, arena, cell);
    case HR_TYPE_TIME:
        return to_time(&plain, cell);
    case HR_TYPE_DECIMAL:
    case HR_TYPE_WIDE:
    case HR_TYPE_WEI:
        return to_decimal(&plain, type, precision, scale, arena, cell, size_out, err);
    default:
        return typed_bytes(tok, value, arena, cell, size_out, err);
    }
}

/* bool(Decimal) of what str(Decimal) wrote. */
static bool is_nonzero(hr_str decimal) {
    for (size_t i = 0; i < decimal.size_bytes && decimal.data[i] != 'E'; i++) {
        if (decimal.data[i] >= '1' && decimal.data[i] <= '9') {
            return true;
        }
    }
    return false;
}

/* str of what dlt has, as json's custom_encode makes it. */
static int typed_to_text(const hr_tok *tok, hr_type from, hr_arena *arena, hr_cell *cell, uint32_t *size_out,
                         hr_error *err) {
    hr_str value = hr__typed_text_value(tok_text(tok));
    hr_cell bytes = {0};
    uint32_t n_bytes = 0;
    char *text;
    switch (from) {
    case HR_TYPE_DECIMAL:
    case HR_TYPE_WEI:
        HR_TRY(hr__text_decimal_text(arena, value, &value));
        break;
    case HR_TYPE_BINARY:
        if (hr__typed_text_is_hex(tok_text(tok))) {
            break;
        }
        HR_TRY(typed_bytes(tok, value, arena, &bytes, &n_bytes, err));
        text = hr__arena_alloc(arena, (n_bytes + 2) / 3 * 4 + 1);
        if (text == NULL) {
            return HR_MEMORY;
        }
        value = (hr_str){text, hr__base64(bytes.str, n_bytes, text)};
        while (value.size_bytes % 4 != 0) {
            text[value.size_bytes++] = '=';
        }
        break;
    case HR_TYPE_TIMESTAMP: /* isoformat: no microseconds where there are none */
        text = hr__arena_copy(arena, value.data, value.size_bytes);
        if (text == NULL) {
            return HR_MEMORY;
        }
        value.data = text;
        if (value.size_bytes >= 26 && memcmp(text + 19, ".000000", 7) == 0) {
            memmove(text + 19, text + 26, value.size_bytes - 26);
            value.size_bytes -= 7;
        }
        if (value.size_bytes > 6 && memcmp(text + value.size_bytes - 6, "-00:00", 6) == 0) {
            text[value.size_bytes - 6] = '+';
        }
        break;
    default:
        break;
    }
    cell->str = value.data;
    *size_out = (uint32_t)value.size_bytes;
    return HR_OK;
}

/* _numeric_to_bigint. HR_UNSUPPORTED beyond 18 digits, where the decimal context has its say. */
static int decimal_to_bigint(const hr_tok *tok, hr_str value, hr_arena *arena, int64_t *out, hr_error *err) {
    hr_str digits;
    int rc = hr__text_decimal_digits(arena, value, 18, 0, &digits);
    if (rc != HR_RANGE) {
        return rc == HR_OK ? hr__text_bigint(arena, digits, out) : rc;
    }
    rc = hr__text_decimal_digits(arena, value, 18 + HR_DECIMAL_DIGITS, HR_DECIMAL_DIGITS, &digits);
    return rc == HR_OK      ? HR_COERCE
           : rc == HR_RANGE ? refuse(err, HR_UNSUPPORTED, tok,
                                     "is a decimal of many digits for a bigint column: not supported natively")
                            : rc;
}

/* Text that dlt wrote for a value of another type than the column's. */
static int coerce_between(const hr_tok *tok, hr_type from, hr_type type, int precision, int scale, hr_arena *arena,
                          hr_cell *cell, uint32_t *size_out, hr_error *err) {
    hr_str value = hr__typed_text_value(tok_text(tok));
    const hr_tok plain = {.type = HR_TOK_STRING, .len = (uint32_t)value.size_bytes, .as.str = value.data};
    if (moment_kinds[from] != HR_ISO_NONE && !is_moment(from, value)) {
        return refuse(err, HR_UNSUPPORTED, tok, "has dlt's mark of a date or time and is none");
    }
    bool number = from == HR_TYPE_DECIMAL || from == HR_TYPE_WEI;
    switch (type) {
    case HR_TYPE_TEXT:
        return typed_to_text(tok, from, arena, cell, size_out, err);
    case HR_TYPE_TIMESTAMP:
        return from == HR_TYPE_DATE ? to_timestamp(&plain, arena, cell, err) : HR_COERCE;
    case HR_TYPE_DATE:
        return from == HR_TYPE_TIMESTAMP ? to_date(&plain, arena, cell) : HR_COERCE;
    case HR_TYPE_BOOL:
        cell->i = is_nonzero(value);
        return number ? HR_OK : HR_COERCE;
    case HR_TYPE_BIGINT:
        return number ? decimal_to_bigint(tok, value, arena, &cell->i, err) : HR_COERCE;
    case HR_TYPE_DOUBLE:
        return number ? hr__text_double(arena, value, false, &cell->d) : HR_COERCE;
    case HR_TYPE_DECIMAL:
    case HR_TYPE_WIDE:
    case HR_TYPE_WEI:
        return number ? to_decimal(&plain, type, precision, scale, arena, cell, size_out, err) : HR_COERCE;
    default:
        return HR_COERCE;
    }
}

static int coerce_checked(const hr_doc *doc, size_t at, hr_type type, int precision, int scale, hr_arena *arena,
                          hr_cell *cell_out, uint32_t *size_out, hr_error *err) {
    hr_cell cell = {0};
    uint32_t size = 0;
    const hr_tok *tok = &doc->toks[at];
    hr_type from = HR_TYPE_TEXT; /* of marked text, what dlt reads from it */
    if (tok->type == HR_TOK_STRING && hr__text_is_marked(tok_text(tok))) {
        from = hr__value_type(tok);
    }
    int rc;
    if (HR_UNLIKELY(from != HR_TYPE_TEXT)) {
        rc = from == type ? coerce_typed(tok, type, precision, scale, arena, &cell, &size, err)
                          : coerce_between(tok, from, type, precision, scale, arena, &cell, &size, err);
    } else {
        HR_TRY(check_value(tok, arena, err));
        rc = coerce(doc, at, type, precision, scale, arena, &cell, &size, err);
    }
    if (HR_LIKELY(rc == HR_OK)) {
        *cell_out = cell;
        *size_out = size;
    } else if (rc == HR_MEMORY) {
        hr__error_memory(err, HR_STAGE_NORMALIZE);
    }
    return rc;
}

int hr__coerce(const hr_doc *doc, size_t at, hr_type type, hr_arena *arena, hr_cell *cell_out, uint32_t *size_out,
               hr_error *err) {
    return coerce_checked(doc, at, type, HR_DECIMAL_PRECISION, HR_DECIMAL_SCALE, arena, cell_out, size_out, err);
}

int hr__coerce_decimal(const hr_doc *doc, size_t at, int precision, int scale, hr_arena *arena, hr_cell *cell_out,
                       hr_error *err) {
    uint32_t size;
    return coerce_checked(doc, at, HR_TYPE_DECIMAL, precision, scale, arena, cell_out, &size, err);
}

int hr__coerce_wide(const hr_doc *doc, size_t at, hr_type type, int precision, int scale, hr_arena *arena,
                    hr_cell *cell_out, uint32_t *size_out, hr_error *err) {
    return coerce_checked(doc, at, type, precision, scale, arena, cell_out, size_out, err);
}

int hr__coerce_decimal_text(const hr_doc *doc, size_t at, hr_type type, hr_arena *arena, hr_cell *cell_out,
                            uint32_t *size_out, hr_error *err) {
    return coerce_checked(doc, at, type, AS_TEXT, 0, arena, cell_out, size_out, err);
}
