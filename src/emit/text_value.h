/* SPDX-License-Identifier: Apache-2.0
 *
 * Values as Python shows them: isoformat of dates and times, str of decimals; hex and base64. Nothing is terminated.
 */
#ifndef HR_EMIT_TEXT_VALUE_H
#define HR_EMIT_TEXT_VALUE_H

#include "base.h"

/* Room for the longest that the functions below write, and for a zone behind it. */
#define HR_TEXT_VALUE_MAX 64
#define HR_TEXT_ZONE_MAX 16

/* "1969-12-31" of days since 1970; 0: not of the years 1 to 9999. */
size_t hr__show_date(int64_t days, char *out);
/* "23:59:58", with ".000001" unless it is a whole second. 0 <= microseconds < a day, else 0. */
size_t hr__show_time(int64_t microseconds, char *out);
/* Date, `between`, time of microseconds since 1970; 0: not of the years 1 to 9999. */
size_t hr__show_timestamp(int64_t microseconds, char between, char *out);
/* str(Decimal) of a value of so many decimal places (-128..127): "1.50", "0E-9", "1E+3". */
size_t hr__show_decimal(__int128 value, int scale, char *out);
/* Two digits a byte. */
void hr__show_hex(const uint8_t *bytes, size_t size_bytes, char *out);
/* Four characters for each three bytes, with padding. */
void hr__show_base64(const uint8_t *bytes, size_t size_bytes, char *out);
/* Whether the bytes are UTF-8 as Python decodes it: shortest forms, no surrogates. */
bool hr__bytes_are_utf8(const uint8_t *bytes, size_t size_bytes);

#endif
