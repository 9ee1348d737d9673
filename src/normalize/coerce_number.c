/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as Python's numbers. CPython 3.11: Objects/longobject.c PyLong_FromString, Objects/floatobject.c
 * PyFloat_FromString, Modules/_decimal/_decimal.c numeric_as_ascii and libmpdec's mpd_qset_string.
 */
#include "coerce_number.h"

#include "number.h"
#include "unicode_text.h"

#include <math.h>

/* sys.int_info.default_max_str_digits: int() of more decimal digits is a ValueError. */
#define INT_MAX_DIGITS 4300
/* libmpdec's MPD_MAX_EMAX on 64 bits: the largest adjusted exponent of a Decimal. */
#define DECIMAL_MAX_EXPONENT 999999999999999999

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int hex_digit(char c) {
    return is_digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Py_ISSPACE */
static bool is_c_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static hr_str skip(hr_str text, size_t n) {
    return (hr_str){text.data + n, text.size_bytes - n};
}

static bool is_hex_form(hr_str text) {
    return text.size_bytes >= 2 && text.data[0] == '0' && text.data[1] == 'x';
}

/* The text with digits of all scripts as ASCII's. HR_OK or HR_MEMORY. */
static int to_ascii(hr_arena *scratch, hr_str text, hr_str *out) {
    if (HR_LIKELY(hr__is_ascii(text))) {
        *out = text;
        return HR_OK;
    }
    char *copy = hr__arena_alloc(scratch, text.size_bytes);
    if (copy == NULL) {
        return HR_MEMORY;
    }
    *out = (hr_str){copy, hr__to_ascii_number(text, copy)};
    return HR_OK;
}

static hr_str strip_ascii(hr_str text) {
    while (text.size_bytes > 0 && is_c_space(text.data[0])) {
        text = skip(text, 1);
    }
    while (text.size_bytes > 0 && is_c_space(text.data[text.size_bytes - 1])) {
        text.size_bytes--;
    }
    return text;
}

/* Takes a sign off the text; true: '-'. */
static bool take_sign(hr_str *text) {
    if (text->size_bytes > 0 && (text->data[0] == '-' || text->data[0] == '+')) {
        bool negative = text->data[0] == '-';
        *text = skip(*text, 1);
        return negative;
    }
    return false;
}

static bool is_word(hr_str text, const char *word) {
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

/* ---------------------------------------------------------------------------------------------------- int() */

/* What int(text, base) read: its digits (with single underscores between them) and sign. */
typedef struct integer {
    hr_str digits;
    bool negative;
    int base;
} integer;

static int integer_read(hr_arena *scratch, hr_str text, int base, integer *out) {
    HR_TRY(to_ascii(scratch, text, &text));
    text = strip_ascii(text);
    bool negative = take_sign(&text);
    if (base == 16 && text.size_bytes >= 2 && text.data[0] == '0' && (text.data[1] | 0x20) == 'x') {
        text = skip(text, 2);
        if (text.size_bytes > 0 && text.data[0] == '_') {
            text = skip(text, 1);
        }
    }
    size_t n_digits = 0;
    bool behind_digit = false;
    for (size_t i = 0; i < text.size_bytes; i++) {
        bool digit = base == 16 ? hex_digit(text.data[i]) >= 0 : is_digit(text.data[i]);
        if (!digit && (text.data[i] != '_' || !behind_digit)) {
            return HR_COERCE;
        }
        behind_digit = digit;
        n_digits += digit;
    }
    if (!behind_digit || (base == 10 && n_digits > INT_MAX_DIGITS)) {
        return HR_COERCE;
    }
    *out = (integer){text, negative, base};
    return HR_OK;
}

/* dlt: text.strip(), then int(text[2:], 16) of 0x..., else int(text). */
static int integer_of(hr_arena *scratch, hr_str text, integer *out) {
    text = hr__strip(text);
    return is_hex_form(text) ? integer_read(scratch, skip(text, 2), 16, out) : integer_read(scratch, text, 10, out);
}

int hr__text_is_hex(hr_arena *scratch, hr_str text) {
    integer number;
    return integer_read(scratch, text, 16, &number);
}

int hr__text_bigint(hr_arena *scratch, hr_str text, int64_t *value_out) {
    integer number;
    HR_TRY(integer_of(scratch, text, &number));
    uint64_t value = 0;
    for (size_t i = 0; i < number.digits.size_bytes; i++) {
        int digit = hex_digit(number.digits.data[i]);
        if (digit >= 0 && (__builtin_mul_overflow(value, (uint64_t)number.base, &value) ||
                           __builtin_add_overflow(value, (uint64_t)digit, &value))) {
            return HR_RANGE;
        }
    }
    if (value > (uint64_t)INT64_MAX + number.negative) {
        return HR_RANGE;
    }
    *value_out = (int64_t)(number.negative ? 0 - value : value);
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- float() */

/* float(int): round half to even; OverflowError (HR_COERCE) when that is infinite. */
static int hex_double(const integer *number, double *out) {
    uint64_t top = 0; /* the first 64 bits, the last one sticky */
    int exponent = 0;
    for (size_t i = 0; i < number->digits.size_bytes; i++) {
        int digit = hex_digit(number->digits.data[i]);
        if (digit < 0) {
            continue;
        }
        if (top >> 60 == 0) {
            top = top << 4 | (uint64_t)digit;
        } else {
            top |= digit != 0;
            exponent = exponent < 4096 ? exponent + 4 : exponent;
        }
    }
    /* top has at least 61 bits when any digit was dropped, so the sticky bit lies below the rounding position. */
    double value = ldexp((double)top, exponent);
    *out = number->negative ? -value : value;
    return isinf(value) ? HR_COERCE : HR_OK;
}

/* The text as hr__double_parse wants it: no underscores, no '+', digits on both sides of a '.'. 0: float() refuses it.
 */
static size_t double_clean(hr_str text, char *out) {
    size_t n = 0;
    bool digits = false, point = false, exponent = false;
    for (size_t i = 0; i < text.size_bytes; i++) {
        char c = text.data[i];
        if (c == '_') {
            if (i == 0 || i + 1 >= text.size_bytes || !is_digit(text.data[i - 1]) || !is_digit(text.data[i + 1])) {
                return 0;
            }
            continue;
        }
        if (is_digit(c)) {
            digits = true;
        } else if (c == '.' && !point && !exponent) {
            point = true;
            if (!digits) {
                out[n++] = '0';
            }
            if (i + 1 >= text.size_bytes || !is_digit(text.data[i + 1])) {
                continue; /* "5.", "5.e3" */
            }
        } else if ((c == 'e' || c == 'E') && digits && !exponent) {
            exponent = true;
            digits = false;
        } else if ((c == '-' || c == '+') && exponent && (text.data[i - 1] | 0x20) == 'e') {
        } else {
            return 0;
        }
        out[n++] = c;
    }
    return digits ? n : 0;
}

int hr__text_double(hr_arena *scratch, hr_str text, bool is_dlts, double *value_out) {
    text = is_dlts ? hr__strip(text) : text;
    if (is_dlts && is_hex_form(text)) {
        integer number;
        HR_TRY(integer_of(scratch, text, &number));
        return hex_double(&number, value_out);
    }
    HR_TRY(to_ascii(scratch, text, &text));
    text = strip_ascii(text);
    bool negative = take_sign(&text);
    if (is_word(text, "nan") || is_word(text, "inf") || is_word(text, "infinity")) {
        double value = is_word(text, "nan") ? NAN : INFINITY;
        *value_out = negative ? -value : value;
        return HR_OK;
    }
    char room[128], *clean = room;
    if (text.size_bytes + 1 > sizeof room) {
        clean = hr__arena_alloc(scratch, text.size_bytes + 1);
        if (clean == NULL) {
            return HR_MEMORY;
        }
    }
    size_t n = double_clean(text, clean);
    if (n == 0) {
        return HR_COERCE;
    }
    double value = hr__double_parse(clean, n);
    *value_out = negative ? -value : value;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- Decimal() */

/* What Decimal(text) read: digits with at most one '.', and the exponent behind them. */
typedef struct decimal {
    hr_str digits;
    int64_t exponent;
    bool negative, special; /* special: infinite or not a number */
} decimal;

static bool is_special(hr_str text) {
    if (is_word(text, "inf") || is_word(text, "infinity")) {
        return true;
    }
    if (text.size_bytes > 0 && (text.data[0] | 0x20) == 's') {
        text = skip(text, 1);
    }
    size_t i = 3;
    if (text.size_bytes < 3 || !is_word((hr_str){text.data, 3}, "nan")) {
        return false;
    }
    while (i < text.size_bytes && is_digit(text.data[i])) {
        i++;
    }
    return i == text.size_bytes;
}

/* Splits "e+12" off; digits beyond those of any exponent that a Decimal may have: HR_COERCE. */
static int decimal_exponent(hr_str *text, int64_t *out) {
    size_t e = 0;
    *out = 0;
    while (e < text->size_bytes && (text->data[e] | 0x20) != 'e') {
        e++;
    }
    if (e == text->size_bytes) {
        return HR_OK;
    }
    hr_str rest = skip(*text, e + 1);
    text->size_bytes = e;
    bool negative = take_sign(&rest);
    int64_t value = 0;
    for (size_t i = 0; i < rest.size_bytes; i++) {
        if (!is_digit(rest.data[i])) {
            return HR_COERCE;
        }
        value = value > INT64_MAX / 10 - 1 ? INT64_MAX / 4 : value * 10 + (rest.data[i] - '0');
    }
    *out = negative ? -value : value;
    return rest.size_bytes == 0 ? HR_COERCE : HR_OK;
}

/* Decimal(text): white space around and underscores anywhere are ignored. */
static int decimal_read(hr_arena *scratch, hr_str text, decimal *out) {
    char room[128], *clean = room;
    if (text.size_bytes > sizeof room) {
        clean = hr__arena_alloc(scratch, text.size_bytes);
        if (clean == NULL) {
            return HR_MEMORY;
        }
    }
    text = hr__strip(text);
    size_t n = 0, size = hr__to_ascii_number(text, clean);
    for (size_t i = 0; i < size; i++) {
        if (clean[i] != '_') {
            clean[n++] = clean[i];
        }
    }
    if (clean == room) { /* the result outlives this frame */
        clean = hr__arena_copy(scratch, room, n);
        if (clean == NULL) {
            return HR_MEMORY;
        }
    }
    decimal number = {.digits = {clean, n}};
    number.negative = take_sign(&number.digits);
    number.special = is_special(number.digits);
    if (number.special) {
        *out = number;
        return HR_OK;
    }
    HR_TRY(decimal_exponent(&number.digits, &number.exponent));
    bool any = false, point = false;
    int64_t places = 0;
    for (size_t i = 0; i < number.digits.size_bytes; i++) {
        char c = number.digits.data[i];
        if (!is_digit(c) && (c != '.' || point)) {
            return HR_COERCE;
        }
        places += point && c != '.';
        point |= c == '.';
        any |= c != '.';
    }
    number.exponent -= places;
    if (!any || number.exponent > DECIMAL_MAX_EXPONENT || number.exponent < -2 * DECIMAL_MAX_EXPONENT) {
        return HR_COERCE;
    }
    *out = number;
    return HR_OK;
}

/* value * 10^places; false: beyond 10^38. */
static bool scale_up(unsigned __int128 *value, int64_t places) {
    unsigned __int128 limit = (unsigned __int128)10000000000000000000u * 10000000000000000000u; /* 10^38 */
    for (; places > 0 && *value != 0; places--) {
        if (*value >= limit / 10) {
            return false;
        }
        *value *= 10;
    }
    return true;
}

static int decimal_store(const decimal *number, int precision, int scale, uint8_t out[HR_DECIMAL_BYTES]) {
    if (number->special) {
        return HR_RANGE;
    }
    /* The digits without the zeros at the end: what is left must be whole at the scale. */
    unsigned __int128 value = 0;
    int64_t zeros = 0;
    for (size_t i = 0; i < number->digits.size_bytes; i++) {
        char c = number->digits.data[i];
        if (c == '.') {
            continue;
        }
        if (c == '0') {
            zeros += value != 0;
            continue;
        }
        if (!scale_up(&value, zeros + (value != 0))) {
            return HR_RANGE;
        }
        value += (unsigned)(c - '0');
        zeros = 0;
    }
    int64_t places = number->exponent + zeros + scale;
    if (value != 0 && (places < 0 || places > 38 || !scale_up(&value, places))) {
        return HR_RANGE;
    }
    unsigned __int128 limit = 1;
    bool fits = scale_up(&limit, precision);
    if (fits && value >= limit) {
        return HR_RANGE;
    }
    value = number->negative ? 0 - value : value;
    memcpy(out, &value, HR_DECIMAL_BYTES);
    return HR_OK;
}

/* Decimal(int(text, 16)) */
static int decimal_of_hex(hr_arena *scratch, hr_str text, decimal *out) {
    integer whole;
    HR_TRY(integer_of(scratch, text, &whole));
    unsigned __int128 value = 0;
    for (size_t i = 0; i < whole.digits.size_bytes; i++) {
        int digit = hex_digit(whole.digits.data[i]);
        if (digit >= 0 && value >> 124 != 0) {
            return HR_RANGE;
        }
        value = digit >= 0 ? value << 4 | (unsigned)digit : value;
    }
    char text10[40];
    size_t n = sizeof text10;
    do {
        text10[--n] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value != 0);
    char *digits = hr__arena_copy(scratch, text10 + n, sizeof text10 - n);
    *out = (decimal){.digits = {digits, sizeof text10 - n}, .negative = whole.negative};
    return digits == NULL ? HR_MEMORY : HR_OK;
}

/* What dlt's _text_to_decimal reads. */
static int decimal_of(hr_arena *scratch, hr_str text, decimal *out) {
    text = hr__strip(text);
    return is_hex_form(text) ? decimal_of_hex(scratch, text, out) : decimal_read(scratch, text, out);
}

int hr__text_decimal(hr_arena *scratch, hr_str text, int precision, int scale, uint8_t out[HR_DECIMAL_BYTES]) {
    decimal number;
    HR_TRY(decimal_of(scratch, text, &number));
    return decimal_store(&number, precision, scale, out);
}

/* The digits without the point and the zeros before them; at least one. */
static size_t decimal_digits(const decimal *number, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < number->digits.size_bytes; i++) {
        char c = number->digits.data[i];
        if (c != '.' && (c != '0' || n != 0)) {
            out[n++] = c;
        }
    }
    if (n == 0) {
        out[n++] = '0';
    }
    return n;
}

int hr__text_decimal_digits(hr_arena *arena, hr_str text, int precision, int scale, hr_str *out) {
    decimal number;
    HR_TRY(decimal_of(arena, text, &number));
    if (number.special) {
        return HR_RANGE;
    }
    char *digits = hr__arena_alloc(arena, number.digits.size_bytes + 1);
    char *start = hr__arena_alloc(arena, (size_t)precision + 4), *to = start;
    if (digits == NULL || start == NULL) {
        return HR_MEMORY;
    }
    size_t n = decimal_digits(&number, digits);
    int64_t exponent = number.exponent;
    for (; n > 1 && digits[n - 1] == '0'; n--) {
        exponent++;
    }
    if (n == 1 && digits[0] == '0') {
        exponent = 0;
    }
    int64_t whole = exponent + (int64_t)n; /* digits before the point */
    if (exponent < -scale || whole > precision - scale) {
        return HR_RANGE;
    }
    if (number.negative) {
        *to++ = '-';
    }
    for (int64_t at = whole > 0 ? 0 : whole - 1; at < whole || at - whole < scale; at++) {
        if (at == whole) {
            *to++ = '.';
        }
        *to++ = at >= 0 && at < (int64_t)n ? digits[at] : '0';
    }
    *out = (hr_str){start, (size_t)(to - start)};
    return HR_OK;
}

/* Decimal.__str__ of Lib/_pydecimal.py: scientific when the exponent is above 0 or the value below 1E-6. */
int hr__text_decimal_text(hr_arena *arena, hr_str text, hr_str *out) {
    decimal number;
    HR_TRY(decimal_of(arena, text, &number));
    if (number.special) {
        return HR_RANGE;
    }
    size_t most = number.digits.size_bytes + 1;
    char *digits = hr__arena_alloc(arena, most), *start = hr__arena_alloc(arena, most + 40), *to = start;
    if (digits == NULL || start == NULL) {
        return HR_MEMORY;
    }
    size_t n = decimal_digits(&number, digits);
    int64_t left = number.exponent + (int64_t)n; /* digits before the point */
    bool plain = number.exponent <= 0 && left > -6;
    if (number.negative) {
        *to++ = '-';
    }
    if (plain && left <= 0) { /* "0.00" before the digits, six at the most */
        memcpy(to, "0.000000", (size_t)(2 - left));
        to += 2 - left;
    }
    size_t whole = !plain ? 1 : left > 0 ? (size_t)left : n;
    memcpy(to, digits, whole);
    to += whole;
    if (whole < n) {
        *to++ = '.';
        memcpy(to, digits + whole, n - whole);
        to += n - whole;
    }
    if (!plain) {
        int64_t exponent = left - 1;
        *to++ = 'E';
        *to++ = exponent < 0 ? '-' : '+';
        to += hr__uint_repr((uint64_t)(exponent < 0 ? -exponent : exponent), to);
    }
    *out = (hr_str){start, (size_t)(to - start)};
    return HR_OK;
}

int hr__text_is_decimal(hr_arena *scratch, hr_str text) {
    decimal number;
    return decimal_read(scratch, text, &number);
}
