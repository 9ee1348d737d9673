/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrow's layout, as those who read arrays need it: bits, and the format of decimals
 * (https://arrow.apache.org/docs/format/CDataInterface.html).
 */
#ifndef HR_EMIT_ARROW_H
#define HR_EMIT_ARROW_H

#include "base.h"

static inline bool hr__arrow_bit(const void *bits, int64_t at) {
    return ((const uint8_t *)bits)[at / 8] >> (at % 8) & 1;
}

/* d:PRECISION,SCALE, of 128 bits; numbers from 1000 on are no format. */
static inline bool hr__arrow_decimal(hr_str format, unsigned *precision_out, unsigned *scale_out) {
    unsigned numbers[2] = {0, 0};
    size_t n = 0, n_digits = 0;
    if (format.size_bytes < 2 || memcmp(format.data, "d:", 2) != 0) {
        return false;
    }
    for (size_t i = 2; i < format.size_bytes; i++) {
        char c = format.data[i];
        if (c == ',' && n == 0 && n_digits != 0) {
            n = 1;
            n_digits = 0;
        } else if (c >= '0' && c <= '9' && numbers[n] < 100) {
            numbers[n] = numbers[n] * 10 + (unsigned)(c - '0');
            n_digits++;
        } else {
            return false;
        }
    }
    *precision_out = numbers[0];
    *scale_out = numbers[1];
    return n == 1 && n_digits != 0;
}

#endif
