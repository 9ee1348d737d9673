/* SPDX-License-Identifier: Apache-2.0
 *
 * Text fields as numbers.
 */
#include "fields_value.h"

#include "number.h"

#include <math.h>
#include <stdio.h>

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c) {
    return (unsigned char)(c - '0') < 10;
}

static hr_str strip(hr_str text) {
    while (text.size_bytes != 0 && is_space(text.data[0])) {
        text = (hr_str){text.data + 1, text.size_bytes - 1};
    }
    while (text.size_bytes != 0 && is_space(text.data[text.size_bytes - 1])) {
        text.size_bytes--;
    }
    return text;
}

hr_read hr__field_int(const hr_fields_head *head, hr_str value, int64_t *out) {
    const char *at = value.data, *end = at + value.size_bytes;
    if (HR_UNLIKELY(at == end)) {
        return HR_READ_NOT;
    }
    if (HR_UNLIKELY(is_space(*at) || is_space(end[-1]))) {
        value = strip(value);
        at = value.data;
        end = at + value.size_bytes;
        if (at == end) {
            return HR_READ_NOT;
        }
    }
    bool negative = *at == '-';
    at += negative || *at == '+';
    if (HR_UNLIKELY(at == end || !is_digit(*at))) {
        return HR_READ_NOT;
    }
    uint64_t n = 0;
    const char *most = end - at > 18 ? at + 18 : end; /* these digits cannot overflow */
    for (; at < most && is_digit(*at); at++) {
        n = n * 10 + (uint64_t)(*at - '0');
    }
    bool is_over = false;
    for (; at < end; at++) {
        if (HR_LIKELY(is_digit(*at))) {
            uint64_t digit = (uint64_t)(*at - '0');
            is_over |= __builtin_mul_overflow(n, (uint64_t)10, &n);
            is_over |= __builtin_add_overflow(n, digit, &n);
        } else if (head->thousands == 0 || *at != head->thousands) {
            return HR_READ_NOT;
        }
    }
    if (is_over || n > (uint64_t)INT64_MAX + negative) {
        return HR_READ_RANGE;
    }
    *out = negative ? (int64_t)(0 - n) : (int64_t)n;
    return HR_READ_OK;
}

/* inf, infinity, in any case, behind a sign. */
static hr_read read_word(hr_str text, bool negative, double *out) {
    static const char word[] = "infinity";
    if (text.size_bytes != 3 && text.size_bytes != 8) {
        return HR_READ_NOT;
    }
    for (size_t i = 0; i < text.size_bytes; i++) {
        if ((text.data[i] | 0x20) != word[i]) {
            return HR_READ_NOT;
        }
    }
    *out = negative ? -INFINITY : INFINITY;
    return HR_READ_OK;
}

/* A number with another decimal point, or with thousands separators, as JSON writes it. digits: without its sign. */
static double parse_other(const hr_fields_head *head, hr_str digits, bool negative) {
    char number[800]; /* no more digits decide */
    size_t n = 0;
    if (negative) {
        number[n++] = '-';
    }
    int64_t exponent = 0;
    bool seen_point = false;
    size_t i = 0;
    for (; i < digits.size_bytes && (digits.data[i] | 0x20) != 'e'; i++) {
        char c = digits.data[i];
        if (c == head->decimal) {
            seen_point = true;
        } else if (is_digit(c) && n < sizeof number - 40) {
            number[n++] = c;
            exponent -= seen_point;
        } else if (is_digit(c)) {
            exponent += !seen_point;
        }
    }
    int64_t written = 0;
    bool below = i + 1 < digits.size_bytes && digits.data[i + 1] == '-';
    for (i++; i < digits.size_bytes; i++) {
        if (is_digit(digits.data[i]) && written < 100000) {
            written = written * 10 + (digits.data[i] - '0');
        }
    }
    exponent += below ? -written : written;
    n += (size_t)snprintf(number + n, 40, "e%lld", (long long)exponent);
    return hr__double_parse(number, n);
}

hr_read hr__field_double(const hr_fields_head *head, hr_str value, double *out) {
    if (value.size_bytes != 0 && (is_space(value.data[0]) || is_space(value.data[value.size_bytes - 1]))) {
        value = strip(value);
    }
    const char *at = value.data, *end = at + value.size_bytes;
    if (at == end) {
        return HR_READ_NOT;
    }
    bool negative = *at == '-';
    at += negative || *at == '+';
    const char *digits = at;
    uint64_t w = 0;
    int64_t exp10 = 0;
    unsigned n_digits = 0; /* in w, from the first that is not 0 */
    bool any = false, is_long = false, seen_point = false;
    for (; at < end; at++) {
        unsigned digit = (unsigned char)(*at - '0');
        if (HR_LIKELY(digit < 10)) {
            any = true;
            if (n_digits < 19) {
                w = w * 10 + digit;
                n_digits += w != 0;
                exp10 -= seen_point;
            } else {
                is_long = true;
                exp10 += !seen_point;
            }
        } else if (*at == head->decimal && !seen_point) {
            seen_point = true;
        } else if (head->thousands == 0 || *at != head->thousands || seen_point || !any) {
            break;
        }
    }
    if (!any) {
        return read_word((hr_str){digits, (size_t)(end - digits)}, negative, out);
    }
    int64_t exponent = 0;
    if (at < end && (*at | 0x20) == 'e') {
        at++;
        bool below = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        if (at == end) {
            return HR_READ_NOT;
        }
        for (; at < end && is_digit(*at); at++) {
            exponent = exponent < 100000 ? exponent * 10 + (*at - '0') : exponent;
        }
        exponent = below ? -exponent : exponent;
    }
    if (at != end) {
        return HR_READ_NOT;
    }
    const hr_str text = {digits, (size_t)(end - digits)};
    bool is_exact = !is_long && w <= (uint64_t)1 << 53 && exp10 + exponent >= -22 && exp10 + exponent <= 22;
    *out = is_exact || (head->decimal == '.' && head->thousands == 0)
               ? hr__double_from_decimal(negative, w, exp10 + exponent, is_long, text.data, text.size_bytes)
               : parse_other(head, text, negative);
    return HR_READ_OK;
}

hr_read hr__field_bool(hr_str value, bool *out) {
    static const char *const words[] = {"True", "TRUE", "true", "False", "FALSE", "false"};
    for (size_t i = 0; i < 6; i++) {
        if (hr__str_eq(value, hr__str(words[i]))) {
            *out = i < 3;
            return HR_READ_OK;
        }
    }
    return HR_READ_NOT;
}
