/* SPDX-License-Identifier: Apache-2.0
 *
 * What Python's str methods know of characters: white space (str.isspace, str.strip) and decimal digits (\d, int()).
 * Text is what the decoder gives: UTF-8, lone surrogates in their three bytes.
 */
#ifndef HR_NORMALIZE_UNICODE_TEXT_H
#define HR_NORMALIZE_UNICODE_TEXT_H

#include "base.h"

/* The code point at text[*at], which is moved behind it. */
static inline uint32_t hr__utf8_next(hr_str text, size_t *at) {
    unsigned char c = (unsigned char)text.data[(*at)++];
    if (HR_LIKELY(c < 0x80)) {
        return c;
    }
    int more = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    uint32_t point = c & (0x3Fu >> more);
    for (; more > 0 && *at < text.size_bytes; more--) {
        point = point << 6 | ((unsigned char)text.data[(*at)++] & 0x3Fu);
    }
    return point;
}
/* str.isspace of one character. */
bool hr__is_space(uint32_t point);
/* The value of a decimal digit of any script (Nd), or -1. */
int hr__decimal_digit(uint32_t point);
/* str.strip(). */
hr_str hr__strip(hr_str text);
bool hr__is_ascii(hr_str text);
/* The text as int(), float() and Decimal() of Python read it: digits of all scripts as ASCII's, white space as ' ',
 * anything else above ASCII as '?'. Returns the length; out has text.size_bytes bytes. */
size_t hr__to_ascii_number(hr_str text, char *out);

#endif
