/* SPDX-License-Identifier: Apache-2.0
 *
 * Doubles to and from text, exactly: parsing is correctly rounded (Clinger's fast path, Eisel-Lemire, then exact
 * arithmetic), printing is the shortest text that reads back as the same double. No locale.
 */
#ifndef HR_BASE_NUMBER_H
#define HR_BASE_NUMBER_H

#include "base.h"

/* A scanned exponent may stop growing here: no body has so many digits that they could make up for it. */
#define HR_EXPONENT_MAX ((int64_t)1 << 53)

/* text[0..size_bytes) must match -?digits[.digits][(e|E)[+-]digits]. +-inf on overflow, +-0 on underflow. */
double hr__double_parse(const char *text, size_t size_bytes);
/* From a scanned decimal: w * 10^exp10, exact when !truncated (w holds all digits); `text` is used when it is not
 * enough. */
double hr__double_from_decimal(bool negative, uint64_t w, int64_t exp10, bool truncated, const char *text,
                               size_t size_bytes);
/* repr(float) of Python: "1.0", "1e+20", "1e-07", "inf", "nan". Returns the length; out has 32 bytes, not terminated.
 */
size_t hr__double_repr_python(double value, char *out);
/* orjson's form: "1.0", "1e+20", "1e-7"; null for inf and nan. */
size_t hr__double_repr_orjson(double value, char *out);
/* Decimal text of an integer; out has 24 bytes. */
size_t hr__int_repr(int64_t value, char *out);
size_t hr__uint_repr(uint64_t value, char *out);

#endif
