/* SPDX-License-Identifier: Apache-2.0
 *
 * Text encodings.
 */
#include "text_encoding.h"

#include "index.h"

/* What Windows-1252 has at 0x80 to 0x9F; 0: nothing. */
static const uint16_t windows_1252[32] = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178,
};

const char *hr__encoding_name(hr_encoding encoding) {
    static const char *const names[] = {"",
#define HR_X(name, text) text,
                                        HR_ENCODING_MAP(HR_X)
#undef HR_X
    };
    return names[encoding];
}

/* ---------------------------------------------------------------------------------------------------- detection */

/* Text in UTF-16 that is mostly Latin has a zero in every second byte. */
static hr_encoding_guess utf_16_guess(const unsigned char *data, size_t size) {
    size_t even = 0, odd = 0, pairs = size / 2;
    for (size_t i = 0; i + 1 < size; i += 2) {
        even += data[i] == 0;
        odd += data[i + 1] == 0;
    }
    hr_encoding_guess guess = {0};
    if (pairs >= 2 && odd * 10 >= pairs * 4 && even * 20 < pairs) {
        guess.encoding = HR_ENCODING_UTF_16_LE;
        guess.confidence = 0.5 + 0.5 * (double)odd / (double)pairs;
    } else if (pairs >= 2 && even * 10 >= pairs * 4 && odd * 20 < pairs) {
        guess.encoding = HR_ENCODING_UTF_16_BE;
        guess.confidence = 0.5 + 0.5 * (double)even / (double)pairs;
    }
    return guess;
}

/* Which of the encodings of one byte: Latin-1 has control characters where Windows-1252 has punctuation, and letters
 * stand beside letters. */
static hr_encoding_guess one_byte_guess(const unsigned char *data, size_t size) {
    size_t high = 0, beside = 0, punctuation = 0, undefined = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] < 0x80) {
            continue;
        }
        high++;
        if (data[i] < 0xA0) {
            punctuation++;
            undefined += windows_1252[data[i] - 0x80] == 0;
        } else {
            unsigned char before = i == 0 ? ' ' : data[i - 1], after = i + 1 == size ? ' ' : data[i + 1];
            bool is_letter = data[i] >= 0xC0 && data[i] != 0xD7 && data[i] != 0xF7;
            bool in_word =
                ((before | 0x20) >= 'a' && (before | 0x20) <= 'z') || ((after | 0x20) >= 'a' && (after | 0x20) <= 'z');
            beside += is_letter && in_word;
        }
    }
    double share = high == 0 ? 0 : (double)(beside + punctuation - undefined) / (double)high;
    hr_encoding_guess guess = {.encoding = undefined != 0 ? HR_ENCODING_LATIN_1 : HR_ENCODING_WINDOWS_1252};
    guess.confidence = undefined != 0 ? 0.1 + 0.2 * share : 0.3 + 0.5 * share;
    return guess;
}

hr_encoding_guess hr__encoding_detect(const char *data, size_t size_bytes, bool is_all) {
    const unsigned char *bytes = (const unsigned char *)data;
    if (size_bytes >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) {
        return (hr_encoding_guess){HR_ENCODING_UTF_8, 1, 3};
    }
    if (size_bytes >= 2 && bytes[0] == 0xFF && bytes[1] == 0xFE) {
        return (hr_encoding_guess){HR_ENCODING_UTF_16_LE, 1, 2};
    }
    if (size_bytes >= 2 && bytes[0] == 0xFE && bytes[1] == 0xFF) {
        return (hr_encoding_guess){HR_ENCODING_UTF_16_BE, 1, 2};
    }
    hr_encoding_guess wide = utf_16_guess(bytes, size_bytes);
    if (wide.encoding != HR_ENCODING_UNSET) {
        return wide;
    }
    size_t wrong = hr__utf8_error(data, size_bytes);
    if (wrong == SIZE_MAX || (!is_all && size_bytes - wrong < 4)) {
        return (hr_encoding_guess){HR_ENCODING_UTF_8, wrong == SIZE_MAX ? 1 : 0.99, 0};
    }
    return one_byte_guess(bytes, size_bytes);
}

/* ---------------------------------------------------------------------------------------------------- conversion */

static size_t put_utf_8(uint32_t code, char *to) {
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xC0 | code >> 6);
        to[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xE0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 63));
        to[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    to[0] = (char)(0xF0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 63));
    to[2] = (char)(0x80 | (code >> 6 & 63));
    to[3] = (char)(0x80 | (code & 63));
    return 4;
}

static int bad_text(hr_error *err, hr_encoding encoding, uint64_t offset, const char *what) {
    return hr__error_at(err, HR_ENCODING, HR_STAGE_DECODE, (int64_t)offset, "%s at byte %llu is not %s", what,
                        (unsigned long long)offset, hr__encoding_name(encoding));
}

static int convert_one_byte(hr_encoding encoding, const unsigned char *data, size_t size, uint64_t offset, hr_buf *out,
                            hr_error *err) {
    char *to = out->data + out->size_bytes;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t code = data[i];
        if (encoding == HR_ENCODING_WINDOWS_1252 && code >= 0x80 && code < 0xA0) {
            code = windows_1252[code - 0x80];
            if (code == 0) {
                return bad_text(err, encoding, offset + i, "a byte without a character");
            }
        }
        n += put_utf_8(code, to + n);
    }
    out->size_bytes += n;
    return HR_OK;
}

/* One unit of two bytes. */
static int take_unit(hr_encoding encoding, uint32_t unit, uint64_t offset, hr_encoding_carry *carry, hr_buf *out,
                     hr_error *err) {
    bool is_low = unit >= 0xDC00 && unit < 0xE000;
    if ((carry->high != 0) != is_low) {
        return bad_text(err, encoding, carry->high != 0 ? offset - 2 : offset, "half of a surrogate pair");
    }
    if (unit >= 0xD800 && unit < 0xDC00) {
        carry->high = unit;
        return HR_OK;
    }
    uint32_t code = is_low ? 0x10000 + ((carry->high - 0xD800) << 10) + (unit - 0xDC00) : unit;
    carry->high = 0;
    out->size_bytes += put_utf_8(code, out->data + out->size_bytes);
    return HR_OK;
}

static int convert_utf_16(hr_encoding encoding, const unsigned char *data, size_t size, bool last,
                          hr_encoding_carry *carry, hr_buf *out, hr_error *err) {
    size_t low = encoding == HR_ENCODING_UTF_16_LE ? 0 : 1, i = 0;
    if (carry->n == 1 && size != 0) {
        unsigned char pair[2] = {carry->bytes[0], data[0]};
        carry->n = 0;
        HR_TRY(take_unit(encoding, (uint32_t)pair[low] | (uint32_t)pair[1 - low] << 8, carry->n_read - 1, carry, out,
                         err));
        i = 1;
    }
    for (; i + 1 < size; i += 2) {
        HR_TRY(take_unit(encoding, (uint32_t)data[i + low] | (uint32_t)data[i + 1 - low] << 8, carry->n_read + i, carry,
                         out, err));
    }
    if (i < size) {
        carry->bytes[0] = data[i];
        carry->n = 1;
    }
    if (last && (carry->n != 0 || carry->high != 0)) {
        return bad_text(err, encoding, carry->n_read + size, "the end in the middle of a character");
    }
    return HR_OK;
}

int hr__encoding_convert(hr_encoding encoding, const char *data, size_t size_bytes, bool last, hr_encoding_carry *carry,
                         hr_buf *out, hr_error *err) {
    const unsigned char *bytes = (const unsigned char *)data;
    bool is_wide = encoding == HR_ENCODING_UTF_16_LE || encoding == HR_ENCODING_UTF_16_BE;
    /* A byte of one, a unit of two: three bytes at most. */
    int rc = hr__buf_reserve(out, encoding == HR_ENCODING_UTF_8 ? size_bytes : size_bytes * (is_wide ? 2 : 3) + 8);
    if (rc != HR_OK) {
        return rc == HR_MEMORY ? hr__error_memory(err, HR_STAGE_DECODE)
                               : hr__error_set(err, (hr_code)rc, HR_STAGE_DECODE, "the text is too long");
    }
    if (encoding == HR_ENCODING_UTF_8) {
        rc = hr__buf_append(out, data, size_bytes);
    } else if (is_wide) {
        rc = convert_utf_16(encoding, bytes, size_bytes, last, carry, out, err);
    } else {
        rc = convert_one_byte(encoding, bytes, size_bytes, carry->n_read, out, err);
    }
    carry->n_read += size_bytes;
    return rc;
}
