/* SPDX-License-Identifier: Apache-2.0
 *
 * Text encodings: found by byte order mark or by what the bytes look like, and turned into UTF-8 as they come.
 */
#ifndef HR_DECODE_TEXT_ENCODING_H
#define HR_DECODE_TEXT_ENCODING_H

#include "base.h"

/* X(name, its name in Python and IANA's list) */
#define HR_ENCODING_MAP(X)          \
    X(UTF_8, "utf-8")               \
    X(UTF_16_LE, "utf-16-le")       \
    X(UTF_16_BE, "utf-16-be")       \
    X(LATIN_1, "iso-8859-1")        \
    X(WINDOWS_1252, "windows-1252")

typedef enum hr_encoding {
    HR_ENCODING_UNSET, /* to be found */
#define HR_X(name, text) HR_ENCODING_##name,
    HR_ENCODING_MAP(HR_X)
#undef HR_X
} hr_encoding;

const char *hr__encoding_name(hr_encoding encoding); /* "" for UNSET */

typedef struct hr_encoding_guess {
    hr_encoding encoding;
    double confidence; /* 0 to 1 */
    size_t bom_bytes;  /* of the byte order mark at the start */
} hr_encoding_guess;

/* What the text is in, by its start. is_all: nothing follows, so what is cut at the end is wrong. */
hr_encoding_guess hr__encoding_detect(const char *data, size_t size_bytes, bool is_all);

/* What is left of a character that is cut. */
typedef struct hr_encoding_carry {
    unsigned char bytes[4];
    uint32_t n;
    uint32_t high;   /* a high surrogate that waits for its other half; 0: none */
    uint64_t n_read; /* bytes taken so far */
} hr_encoding_carry;

/* Appends the text as UTF-8 (UTF-8 itself as it is, unchecked). last: nothing follows. HR_OK; HR_ENCODING: a lone
 * surrogate, half a character at the end or a byte that Windows-1252 does not have, with the byte's offset; HR_MEMORY,
 * HR_LIMIT as out says. */
HR_MUST_CHECK int hr__encoding_convert(hr_encoding encoding, const char *data, size_t size_bytes, bool last,
                                       hr_encoding_carry *carry, hr_buf *out, hr_error *err);

#endif
