/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as Python's bytes. CPython 3.11: Objects/bytesobject.c _PyBytes_FromHex, Modules/binascii.c
 * binascii_a2b_base64_impl.
 */
#include "coerce_binary.h"

static int hex_digit(char c) {
    char low = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    return c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool hr__bytes_from_hex(hr_str text, uint8_t *out, size_t *size_out) {
    size_t n = 0;
    for (size_t i = 0; i < text.size_bytes;) {
        char c = text.data[i];
        if (c == ' ' || (c >= '\t' && c <= '\r')) { /* between bytes only */
            i++;
            continue;
        }
        int high = hex_digit(c), low = i + 1 < text.size_bytes ? hex_digit(text.data[i + 1]) : -1;
        if (high < 0 || low < 0) {
            return false;
        }
        if (out != NULL) {
            out[n] = (uint8_t)(high << 4 | low);
        }
        n++;
        i += 2;
    }
    *size_out = n;
    return true;
}

bool hr__bytes_from_base64(hr_str text, bool strict, uint8_t *out, size_t *size_out) {
    size_t n = 0;
    unsigned place = 0, pads = 0, left = 0; /* place in the group of four; bits not yet written */
    bool padding = false;
    if (strict && text.size_bytes > 0 && text.data[0] == '=') {
        return false;
    }
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (text.data[i] == '=') {
            padding = true;
            if (place >= 2 && place + ++pads >= 4) { /* complete: nothing behind is read */
                *size_out = n;
                return !strict || i + 1 == text.size_bytes;
            }
            continue;
        }
        int digit = base64_digit(text.data[i]);
        if ((unsigned char)text.data[i] >= 0x80 || (strict && (digit < 0 || padding))) {
            return false;
        }
        if (digit < 0) {
            continue;
        }
        pads = 0;
        if (place != 0 && out != NULL) {
            out[n] = (uint8_t)(left << (place * 2) | (unsigned)digit >> (6 - place * 2));
        }
        n += place != 0;
        left = (unsigned)digit & (0x3Fu >> (place * 2));
        place = (place + 1) % 4;
    }
    *size_out = n;
    return place == 0;
}
