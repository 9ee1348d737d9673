/* SPDX-License-Identifier: Apache-2.0
 *
 * Values as text. The calendar is that of Howard Hinnant's civil_from_days
 * (https://howardhinnant.github.io/date_algorithms.html): years begin in March, so that leap days end them.
 */
#include "text_value.h"

#define DAY_US INT64_C(86400000000)

static const char two_digits[] = "00010203040506070809101112131415161718192021222324"
                                 "25262728293031323334353637383940414243444546474849"
                                 "50515253545556575859606162636465666768697071727374"
                                 "75767778798081828384858687888990919293949596979899";

static char *put_two(char *to, unsigned value) {
    memcpy(to, two_digits + (size_t)2 * value, 2);
    return to + 2;
}

size_t hr__show_date(int64_t days, char *out) {
    if (days < -719162 || days > 2932896) { /* 0001-01-01, 9999-12-31 */
        return 0;
    }
    uint32_t z = (uint32_t)(days + 719468); /* since 0000-03-01 */
    uint32_t era = z / 146097, day_of_era = z % 146097;
    uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t from_march = (5 * day_of_year + 2) / 153;
    uint32_t month = from_march < 10 ? from_march + 3 : from_march - 9;
    uint32_t year = year_of_era + era * 400 + (month <= 2);
    char *to = put_two(put_two(out, year / 100), year % 100);
    *to++ = '-';
    to = put_two(to, month);
    *to++ = '-';
    put_two(to, day_of_year - (153 * from_march + 2) / 5 + 1);
    return 10;
}

size_t hr__show_time(int64_t microseconds, char *out) {
    if (microseconds < 0 || microseconds >= DAY_US) {
        return 0;
    }
    uint32_t seconds = (uint32_t)(microseconds / 1000000), fraction = (uint32_t)(microseconds % 1000000);
    char *to = put_two(out, seconds / 3600);
    *to++ = ':';
    to = put_two(to, seconds / 60 % 60);
    *to++ = ':';
    to = put_two(to, seconds % 60);
    if (fraction != 0) {
        *to++ = '.';
        to = put_two(put_two(put_two(to, fraction / 10000), fraction / 100 % 100), fraction % 100);
    }
    return (size_t)(to - out);
}

size_t hr__show_timestamp(int64_t microseconds, char between, char *out) {
    int64_t days = microseconds / DAY_US - (microseconds % DAY_US < 0);
    if (hr__show_date(days, out) == 0) {
        return 0;
    }
    out[10] = between;
    return 11 + hr__show_time(microseconds - days * DAY_US, out + 11);
}

/* The digits of value; out has 40 bytes. */
static size_t put_digits(unsigned __int128 value, char *out) {
    char text[40];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value != 0);
    memcpy(out, text + at, sizeof text - at);
    return sizeof text - at;
}

/* Decimal.__str__ of Lib/_pydecimal.py: scientific when the exponent is above 0 or the value below 1E-6. */
size_t hr__show_decimal(__int128 value, int scale, char *out) {
    char digits[40], *to = out;
    if (value < 0) {
        *to++ = '-';
    }
    int n = (int)put_digits(value < 0 ? 0 - (unsigned __int128)value : (unsigned __int128)value, digits);
    int left = n - scale; /* digits before the point */
    if (scale >= 0 && left > -6) {
        if (left <= 0) {
            *to++ = '0';
            *to++ = '.';
            memset(to, '0', (size_t)-left);
            to += -left;
            memcpy(to, digits, (size_t)n);
            return (size_t)(to + n - out);
        }
        memcpy(to, digits, (size_t)left);
        to += left;
        if (scale > 0) {
            *to++ = '.';
            memcpy(to, digits + left, (size_t)scale);
            to += scale;
        }
        return (size_t)(to - out);
    }
    *to++ = digits[0];
    if (n > 1) {
        *to++ = '.';
        memcpy(to, digits + 1, (size_t)n - 1);
        to += n - 1;
    }
    int exponent = left - 1;
    *to++ = 'E';
    *to++ = exponent < 0 ? '-' : '+';
    to += put_digits((unsigned __int128)(exponent < 0 ? -exponent : exponent), to);
    return (size_t)(to - out);
}

void hr__show_hex(const uint8_t *bytes, size_t size_bytes, char *out) {
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < size_bytes; i++) {
        *out++ = hex[bytes[i] >> 4];
        *out++ = hex[bytes[i] & 15];
    }
}

void hr__show_base64(const uint8_t *bytes, size_t size_bytes, char *out) {
    static const char sixty_four[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; size_bytes >= 3; size_bytes -= 3, bytes += 3) {
        uint32_t three = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
        *out++ = sixty_four[three >> 18];
        *out++ = sixty_four[three >> 12 & 63];
        *out++ = sixty_four[three >> 6 & 63];
        *out++ = sixty_four[three & 63];
    }
    if (size_bytes != 0) {
        uint32_t rest = (uint32_t)bytes[0] << 16 | (size_bytes == 2 ? (uint32_t)bytes[1] << 8 : 0);
        *out++ = sixty_four[rest >> 18];
        *out++ = sixty_four[rest >> 12 & 63];
        *out++ = size_bytes == 2 ? sixty_four[rest >> 6 & 63] : '=';
        *out = '=';
    }
}

/* Bytes of the well-formed sequence at the start (RFC 3629, section 4); 0: there is none. */
static size_t utf8_sequence(const uint8_t *at, size_t size_bytes) {
    uint8_t c = at[0];
    size_t n = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (n == 0 || n > size_bytes) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (c == 0xE0 && at[1] < 0xA0) || (c == 0xF0 && at[1] < 0x90);
    bool beyond = (c == 0xED && at[1] >= 0xA0) || (c == 0xF4 && at[1] >= 0x90);
    return overlong || beyond ? 0 : n;
}

bool hr__bytes_are_utf8(const uint8_t *bytes, size_t size_bytes) {
    while (size_bytes != 0) {
        size_t n = utf8_sequence(bytes, size_bytes);
        if (n == 0) {
            return false;
        }
        bytes += n;
        size_bytes -= n;
    }
    return true;
}
