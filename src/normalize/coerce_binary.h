/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as Python reads it as bytes: bytes.fromhex, binascii.a2b_base64 (CPython 3.11).
 * Both write to out, which has room for text.size_bytes bytes, or only check when out is NULL; false: ValueError.
 */
#ifndef HR_NORMALIZE_COERCE_BINARY_H
#define HR_NORMALIZE_COERCE_BINARY_H

#include "base.h"

bool hr__bytes_from_hex(hr_str text, uint8_t *out, size_t *size_out);
/* strict: base64.b64decode(validate=True); otherwise characters of other alphabets are skipped. */
bool hr__bytes_from_base64(hr_str text, bool strict, uint8_t *out, size_t *size_out);

#endif
