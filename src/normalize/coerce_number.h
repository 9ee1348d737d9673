/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as Python reads it as a number: int(), float(), Decimal(), with dlt's 0x forms (dlt 1.31
 * common/data_types/type_helpers.py: _text_to_bigint, _text_to_double, _text_to_decimal). scratch holds copies of long
 * text only. All: HR_OK; HR_COERCE where Python raises ValueError; HR_MEMORY.
 */
#ifndef HR_NORMALIZE_COERCE_NUMBER_H
#define HR_NORMALIZE_COERCE_NUMBER_H

#include "base.h"

/* 16 bytes, little-endian two's complement: Arrow's decimal128. */
#define HR_DECIMAL_BYTES 16

/* Also HR_RANGE: an integer, but beyond 64 bits. */
HR_MUST_CHECK int hr__text_bigint(hr_arena *scratch, hr_str text, int64_t *value_out);
/* is_dlts: after str.strip(), and with 0x forms; otherwise float() itself. */
HR_MUST_CHECK int hr__text_double(hr_arena *scratch, hr_str text, bool is_dlts, double *value_out);
/* Also HR_RANGE: a number (or infinite, or not one) that decimal128(precision, scale) cannot hold exactly. */
HR_MUST_CHECK int hr__text_decimal(hr_arena *scratch, hr_str text, int precision, int scale,
                                   uint8_t out[HR_DECIMAL_BYTES]);
/* The same as text in arena: its digits, with so many behind the point. */
HR_MUST_CHECK int hr__text_decimal_digits(hr_arena *arena, hr_str text, int precision, int scale, hr_str *out);
/* The Decimal of the text as str shows it, in arena. Also HR_RANGE: infinite, not a number, or beyond 128 bits in hex.
 */
HR_MUST_CHECK int hr__text_decimal_text(hr_arena *arena, hr_str text, hr_str *out);
/* Whether Decimal(text) gives a value. HR_OK, HR_COERCE or HR_MEMORY. */
HR_MUST_CHECK int hr__text_is_decimal(hr_arena *scratch, hr_str text);
/* Whether int(text, 16) does. */
HR_MUST_CHECK int hr__text_is_hex(hr_arena *scratch, hr_str text);

#endif
