/* SPDX-License-Identifier: Apache-2.0
 *
 * Dates and times in text: pendulum 3.3's parser (its ISO 8601 grammar in parsing/, then the COMMON expression), as
 * dlt 1.31 uses it (common/time.py, common/schema/detections.py); rule 29 of dlt-semantics.
 */

#include "timestamp.h"

#include "unicode_text.h"

static bool is_leap(int32_t y) {
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int32_t days_in_month(int32_t y, int32_t m) {
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return m == 2 && is_leap(y) ? 29 : days[m - 1];
}

int32_t hr__iso_days(int32_t year, int32_t month, int32_t day) {
    /* Years begin in March, so that the leap day is the last one. Neri and Schneider, "Euclidean affine functions and
     * their application to calendar algorithms", 2022: (979 m - 2919) / 32 is the day the month m (3..14) begins. */
    uint32_t late = month <= 2;
    uint32_t y = (uint32_t)year - late, m = (uint32_t)month + 12 * late, century = y / 100;
    uint32_t days = 1461 * y / 4 - century + century / 4 + (979 * m - 2919) / 32 + (uint32_t)day;
    return (int32_t)days - 719469; /* 1970-01-01 */
}

static bool date_ok(const hr_iso *d) {
    return d->year >= 1 && d->year <= 9999 && d->month >= 1 && d->month <= 12 && d->day >= 1 &&
           d->day <= days_in_month(d->year, d->month);
}

static bool time_ok(const hr_iso *d) {
    return d->hour <= 23 && d->minute <= 59 && d->second <= 59;
}

/* ---------------------------------------------------------------------------------------------------- ISO 8601 */

typedef struct cursor {
    const char *at, *end;
} cursor;

static inline char peek(const cursor *c) {
    return c->at < c->end ? *c->at : '\0';
}
static inline bool at_end(const cursor *c) {
    return c->at >= c->end;
}
static inline bool digit(char c) {
    return c >= '0' && c <= '9';
}

static bool number(cursor *c, int n, int32_t *out) {
    int32_t value = 0;
    for (int i = 0; i < n; i++) {
        if (!digit(peek(c))) {
            return false;
        }
        value = value * 10 + (*c->at++ - '0');
    }
    *out = value;
    return true;
}

/* Behind '.' or ',': microseconds; digits behind the sixth are dropped. */
static bool fraction(cursor *c, int32_t *out) {
    static const int32_t missing[] = {0, 100000, 10000, 1000, 100, 10, 1};
    int32_t value = 0;
    int n = 0;
    while (n < 6 && digit(peek(c))) {
        value = value * 10 + (*c->at++ - '0');
        n++;
    }
    if (n == 0) {
        return false;
    }
    while (digit(peek(c))) {
        c->at++;
    }
    *out = value * missing[n];
    return true;
}

static bool before_zone(const cursor *c) {
    char z = peek(c);
    return !at_end(c) && z != 'Z' && z != '+' && z != '-';
}

static bool seconds(cursor *c, hr_iso *d) {
    if (!number(c, 2, &d->second)) {
        return false;
    }
    if (peek(c) == '.' || peek(c) == ',') {
        c->at++;
        return fraction(c, &d->microsecond);
    }
    return true;
}

static bool zone(cursor *c, hr_iso *d) {
    if (peek(c) == 'Z') {
        d->has_offset = true;
        d->offset_seconds = 0;
        c->at++;
        return true;
    }
    if (peek(c) != '+' && peek(c) != '-') {
        return true;
    }
    int32_t sign = *c->at++ == '+' ? 1 : -1, hours, minutes = 0;
    if (!number(c, 2, &hours)) {
        return false;
    }
    if (peek(c) == ':') {
        c->at++;
    }
    if (!at_end(c) && !number(c, 2, &minutes)) {
        return false;
    }
    int32_t all = (minutes + hours * 60) * sign;
    if (all > 1440) {
        return false;
    }
    d->has_offset = true;
    d->offset_seconds = all * 60;
    return true;
}

/* The time from its separator on; hour_read: "HH" of a time alone was read. extended: the date had dashes. */
static bool clock_time(cursor *c, hr_iso *d, bool hour_read, bool extended) {
    if (!hour_read) {
        if (peek(c) != 'T' && peek(c) != ' ') {
            return false;
        }
        c->at++;
        if (!number(c, 2, &d->hour)) {
            return false;
        }
    }
    if (before_zone(c)) {
        if (peek(c) == ':') {
            c->at++;
            if (!number(c, 2, &d->minute)) {
                return false;
            }
            if (before_zone(c)) {
                if (peek(c) != ':') {
                    return false;
                }
                c->at++;
                if (!seconds(c, d) || !extended) {
                    return false;
                }
            }
        } else {
            if (!number(c, 2, &d->minute) || (before_zone(c) && !seconds(c, d)) || extended) {
                return false;
            }
        }
    }
    return zone(c, d);
}

/* Day `ordinal` of the year; beyond the year's ends only with roll. */
static bool from_ordinal(hr_iso *d, int32_t year, int32_t ordinal, bool roll) {
    int32_t in_year = is_leap(year) ? 366 : 365;
    if (ordinal < 1) {
        if (!roll) {
            return false;
        }
        year--;
        ordinal += is_leap(year) ? 366 : 365;
    } else if (ordinal > in_year) {
        if (!roll) {
            return false;
        }
        ordinal -= in_year;
        year++;
    }
    d->year = year;
    d->month = 1;
    while (d->month <= 12 && ordinal > days_in_month(year, d->month)) {
        ordinal -= days_in_month(year, d->month++);
    }
    d->day = ordinal;
    return ordinal >= 1;
}

static int32_t floor_mod7(int32_t y) {
    return (y + y / 4 - y / 100 + y / 400) % 7;
}

static bool from_week(hr_iso *d, int32_t year, int32_t week, int32_t day) {
    bool long_year = floor_mod7(year) == 4 || floor_mod7(year - 1) == 3;
    if (week > 53 || (week > 52 && !long_year) || day > 7 || year < 1) {
        return false;
    }
    int32_t jan4 = (hr__iso_days(year, 1, 4) % 7 + 7 + 3) % 7 + 1; /* ISO weekday: 1970-01-01 was a Thursday (4) */
    return from_ordinal(d, year, week * 7 + day - (jan4 + 3), true);
}

static bool separator(const cursor *c) {
    return at_end(c) || peek(c) == ' ' || peek(c) == 'T';
}

static bool iso_week(cursor *c, hr_iso *d, int32_t year, bool extended) {
    c->at++; /* W */
    int32_t week, day = 1;
    if (!number(c, 2, &week)) {
        return false;
    }
    if (!separator(c)) {
        if (extended) {
            if (peek(c) != '-') {
                return false;
            }
            c->at++;
        }
        if (!number(c, 1, &day)) {
            return false;
        }
    }
    return from_week(d, year, week, day);
}

static bool iso_date(cursor *c, hr_iso *d, int32_t year, bool *extended) {
    d->year = year;
    if (peek(c) == '-') {
        c->at++;
        *extended = true;
        if (peek(c) == 'W') {
            return iso_week(c, d, year, true);
        }
        if (!number(c, 2, &d->month)) {
            return false;
        }
        if (separator(c)) {
            return true;
        }
        if (peek(c) == '-') {
            c->at++;
            return number(c, 2, &d->day);
        }
        int32_t last;
        return number(c, 1, &last) && from_ordinal(d, year, d->month * 10 + last, false);
    }
    if (peek(c) == 'W') {
        return iso_week(c, d, year, false);
    }
    int32_t third, last;
    if (!number(c, 2, &d->month) || !number(c, 1, &third)) {
        return false;
    }
    if (separator(c)) {
        return from_ordinal(d, year, d->month * 10 + third, false);
    }
    if (!number(c, 1, &last)) {
        return false;
    }
    d->day = third * 10 + last;
    return true;
}

/* The ISO parser: 1 it is something (d filled), 0 not (COMMON may take it), -1 never a date (durations). */
static int iso_text(hr_str text, hr_iso *d) {
    cursor c = {text.data, text.data + text.size_bytes};
    bool extended = false;
    int32_t century, rest;
    if (peek(&c) == 'P') {
        return -1;
    }
    *d = (hr_iso){.month = 1, .day = 1};
    if (peek(&c) == 'T') {
        d->kind = HR_ISO_TIME;
        return clock_time(&c, d, false, false) && at_end(&c) && time_ok(d);
    }
    if (!number(&c, 2, &century)) {
        return 0;
    }
    if (peek(&c) == ':') {
        d->kind = HR_ISO_TIME;
        d->hour = century;
        return clock_time(&c, d, true, true) && at_end(&c) && time_ok(d);
    }
    if (!number(&c, 2, &rest)) {
        return 0;
    }
    d->kind = HR_ISO_DATE;
    if (!iso_date(&c, d, century * 100 + rest, &extended)) {
        return 0;
    }
    if (!at_end(&c)) {
        d->kind = HR_ISO_DATETIME;
        if (!clock_time(&c, d, false, extended)) {
            return 0;
        }
    }
    return at_end(&c) && date_ok(d) && time_ok(d);
}

/* ---------------------------------------------------------------------------------------------------- COMMON */

/* 1 or 2 digits. */
static bool one_or_two(cursor *c, int32_t *out) {
    if (!number(c, 1, out)) {
        return false;
    }
    if (digit(peek(c))) {
        *out = *out * 10 + (*c->at++ - '0');
    }
    return true;
}

/* ^(YYYY([/:]?MM[/:]?DD)?)?([ ]?H{1,2}:M{1,2}?(:S{1,2})?([.|,]d{1,9})?)?$ from the time on. */
static bool common_time(cursor *c, hr_iso *d) {
    int32_t minute;
    if (!one_or_two(c, &d->hour) || peek(c) != ':') {
        return false;
    }
    c->at++;
    if (!one_or_two(c, &minute)) {
        return false; /* the expression allows no minute, but then pendulum raises */
    }
    d->minute = minute;
    if (peek(c) == ':') {
        c->at++;
        if (!one_or_two(c, &d->second)) {
            return false;
        }
    }
    if (peek(c) == '.' || peek(c) == '|' || peek(c) == ',') {
        c->at++;
        const char *from = c->at;
        if (!fraction(c, &d->microsecond) || c->at - from > 9) {
            return false;
        }
    }
    return at_end(c) && time_ok(d);
}

/* The longest text the expression takes, in characters: YYYY/MM/DD HH:MM:SS.fffffffff */
#define COMMON_CHARS_MAX 29

/* Python's \d is a decimal digit of any script, and int() reads it: the text with such digits as ASCII's in out. False:
 * it has other characters, or is too long. */
static bool common_ascii(hr_str text, char out[COMMON_CHARS_MAX], hr_str *ascii_out) {
    size_t n = 0;
    for (size_t at = 0; at < text.size_bytes;) {
        uint32_t point = hr__utf8_next(text, &at);
        int value = point < 128 ? 0 : hr__decimal_digit(point);
        if (value < 0 || n == COMMON_CHARS_MAX) {
            return false;
        }
        out[n++] = point < 128 ? (char)point : (char)('0' + value);
    }
    *ascii_out = (hr_str){out, n};
    return true;
}

static bool common_text(hr_str text, hr_iso *d) {
    char room[COMMON_CHARS_MAX];
    if (!common_ascii(text, room, &text)) {
        return false;
    }
    const cursor start = {text.data, text.data + text.size_bytes};
    cursor c = start;
    int32_t year, month, day;
    *d = (hr_iso){.month = 1, .day = 1};
    if (text.size_bytes > 0 && number(&c, 4, &year)) {
        /* With month and day, without, then the whole as a time: as the expression backtracks. */
        cursor whole = c;
        bool has_day = true;
        whole.at += peek(&whole) == '/' || peek(&whole) == ':';
        has_day = number(&whole, 2, &month);
        whole.at += has_day && (peek(&whole) == '/' || peek(&whole) == ':');
        has_day = has_day && number(&whole, 2, &day);
        for (int with_day = has_day; with_day >= 0; with_day--) {
            cursor t = with_day ? whole : c;
            *d = (hr_iso){.kind = HR_ISO_DATE, .year = year, .month = with_day ? month : 1, .day = with_day ? day : 1};
            if (at_end(&t)) {
                return date_ok(d);
            }
            t.at += peek(&t) == ' ';
            d->kind = HR_ISO_DATETIME;
            if (common_time(&t, d)) {
                return date_ok(d);
            }
        }
    }
    c = start;
    *d = (hr_iso){.kind = HR_ISO_TIME, .month = 1, .day = 1};
    c.at += peek(&c) == ' ';
    return common_time(&c, d);
}

/* ---------------------------------------------------------------------------------------------------- public */

static inline int32_t two(const char *at) {
    return (at[0] - '0') * 10 + (at[1] - '0');
}

/* Eight bytes, the first one lowest. */
static inline uint64_t load8(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Eight bytes against a pattern: '0' (0x30) stands for a digit, anything else for itself; room is 0x76 where a digit is
 * and 0x7F elsewhere, so that a digit above 9 and a difference both carry into the byte's high bit. Into *pairs: byte i
 * is the number of digits i and i + 1. */
static inline bool eight(const char *at, uint64_t pattern, uint64_t room, uint64_t *pairs) {
    uint64_t v = load8(at) ^ pattern;
    *pairs = v * 10 + (v >> 8);
    return ((v | (v + room)) & 0x8080808080808080u) == 0;
}

/* "", "Z" or "+HH:MM" to the end. */
static inline bool usual_zone(const char *at, const char *end, hr_iso *d) {
    if (end - at == 1 && *at == 'Z') {
        d->has_offset = true;
        return true;
    }
    if (end - at != 6 || (*at != '+' && *at != '-') || at[3] != ':' || !digit(at[1]) || !digit(at[2]) ||
        !digit(at[4]) || !digit(at[5])) {
        return at == end;
    }
    int32_t minutes = two(at + 1) * 60 + two(at + 4);
    d->has_offset = true;
    d->offset_seconds = (*at == '-' ? -minutes : minutes) * 60;
    return minutes < 1440;
}

/* The usual form: YYYY-MM-DDTHH:MM:SS[.f](|Z|+HH:MM), T or a space. False: ask the long way. */
static inline bool usual(hr_str text, hr_iso *d) {
    const char *t = text.data, *end = t + text.size_bytes;
    uint64_t date, time;
    if (text.size_bytes < 19 || !eight(t, 0x2D30302D30303030u, 0x7F76767F76767676u, &date) /* 0000-00- */
        || !eight(t + 11, 0x30303A30303A3030u, 0x76767F76767F7676u, &time)                 /* 00:00:00 */
        || (t[10] != 'T' && t[10] != ' ') || !digit(t[8]) || !digit(t[9])) {
        return false;
    }
    *d = (hr_iso){.kind = HR_ISO_DATETIME,
                  .year = (int32_t)(date & 0xFF) * 100 + (int32_t)(date >> 16 & 0xFF),
                  .month = (int32_t)(date >> 40 & 0xFF),
                  .day = two(t + 8),
                  .hour = (int32_t)(time & 0xFF),
                  .minute = (int32_t)(time >> 24 & 0xFF),
                  .second = (int32_t)(time >> 48 & 0xFF)};
    cursor c = {t + 19, end};
    if (c.at < end && *c.at == '.') {
        c.at++;
        if (!fraction(&c, &d->microsecond)) {
            return false;
        }
    }
    return usual_zone(c.at, end, d) && date_ok(d) && time_ok(d);
}

void hr__iso_parse(hr_str text, hr_iso *iso_out) {
    if (HR_LIKELY(usual(text, iso_out))) {
        return;
    }
    hr_iso d;
    int found = iso_text(text, &d);
    if (found == 0) {
        found = common_text(text, &d);
    }
    *iso_out = found == 1 ? d : (hr_iso){.kind = HR_ISO_NONE};
}

bool hr__iso_is_timestamp(hr_str text) {
    /* A datetime starts with its year, and only COMMON's may be of another script's digits. */
    if (text.size_bytes < 6 || (!digit(text.data[0]) && (unsigned char)text.data[0] < 0x80)) {
        return false;
    }
    hr_iso iso;
    hr__iso_parse(text, &iso);
    return iso.kind == HR_ISO_DATETIME;
}

int hr__iso_micros(const hr_iso *iso, int64_t *micros_out) {
    if (iso->has_offset && (iso->offset_seconds >= 86400 || iso->offset_seconds <= -86400)) {
        return HR_RANGE;
    }
    int64_t seconds = (int64_t)hr__iso_days(iso->year, iso->month, iso->day) * 86400 + (int64_t)iso->hour * 3600 +
                      (int64_t)iso->minute * 60 + iso->second - (iso->has_offset ? iso->offset_seconds : 0);
    if (seconds < -62135596800 || seconds > 253402300799) { /* 0001-01-01 .. 9999-12-31T23:59:59 */
        return HR_RANGE;
    }
    *micros_out = seconds * 1000000 + iso->microsecond;
    return HR_OK;
}
