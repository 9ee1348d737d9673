/* SPDX-License-Identifier: Apache-2.0
 *
 * timestamp: dlt-semantics rules 29 to 31 by table. (A grid and random texts are compared with dlt and pendulum in
 * tests/py/test_leaf_oracle.py.)
 */
#include "hrtest.h"
#include "timestamp.h"

static const char *const kinds[] = {"none", "datetime", "date", "time"};

/* "datetime 2024-01-15 10:11:12.345000 +7200" */
static hr_str shown(hr_str text, char room[80]) {
    hr_iso iso;
    hr__iso_parse(text, &iso);
    int n = snprintf(room, 80, "%s", kinds[iso.kind]);
    if (iso.kind == HR_ISO_DATETIME || iso.kind == HR_ISO_DATE) {
        n += snprintf(room + n, (size_t)(80 - n), " %04d-%02d-%02d", iso.year, iso.month, iso.day);
    }
    if (iso.kind == HR_ISO_DATETIME || iso.kind == HR_ISO_TIME) {
        n += snprintf(room + n, (size_t)(80 - n), " %02d:%02d:%02d.%06d", iso.hour, iso.minute, iso.second,
                      iso.microsecond);
        n += iso.has_offset ? snprintf(room + n, (size_t)(80 - n), " %+d", iso.offset_seconds) : 0;
    }
    return (hr_str){room, (size_t)n};
}

HR_CASE(texts_are_read_as_pendulum_does) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        /* the usual form */
        {"2024-01-15T10:11:12Z", "datetime 2024-01-15 10:11:12.000000 +0"},
        {"2024-01-15T10:11:12", "datetime 2024-01-15 10:11:12.000000"},
        {"2024-01-15 10:11:12.345Z", "datetime 2024-01-15 10:11:12.345000 +0"},
        {"2024-01-15T10:11:12.345678+02:00", "datetime 2024-01-15 10:11:12.345678 +7200"},
        {"2024-01-15T10:11:12.3456789-11:30", "datetime 2024-01-15 10:11:12.345678 -41400"},
        {"2024-02-29T00:00:00Z", "datetime 2024-02-29 00:00:00.000000 +0"},
        {"2023-02-29T00:00:00Z", "none"},
        {"1900-02-29T00:00:00Z", "none"},
        {"2000-02-29T00:00:00Z", "datetime 2000-02-29 00:00:00.000000 +0"},
        {"0000-01-01T00:00:00Z", "none"},
        {"2024-13-01T00:00:00Z", "none"},
        {"2024-00-01T00:00:00Z", "none"},
        {"2024-01-00T00:00:00Z", "none"},
        {"2024-04-31T00:00:00Z", "none"},
        {"2024-01-15T24:00:00Z", "none"},
        {"2024-01-15T10:60:00Z", "none"},
        {"2024-01-15T10:11:60Z", "none"},
        {"2024-01-15T10:11:12z", "none"},
        {"2024-01-15t10:11:12Z", "none"},
        {"2024-01-15T10:11:12.Z", "none"},
        {"2024-01-15T10:11:12 Z", "none"},
        {"2024-01-15T10:11:12ZZ", "none"},
        {" 2024-01-15T10:11:12Z", "none"},
        {"2024-01-15T10:11:12Z ", "none"},
        {"2024-01-15T10:11:1:Z", "none"},
        {"2024/01-15T10:11:12Z", "none"},
        /* the zone */
        {"2024-01-15T10:11:12+0200", "datetime 2024-01-15 10:11:12.000000 +7200"},
        {"2024-01-15T10:11:12-02", "datetime 2024-01-15 10:11:12.000000 -7200"},
        {"2024-01-15T10:11:12+24:00", "datetime 2024-01-15 10:11:12.000000 +86400"},
        {"2024-01-15T10:11:12+24:01", "none"}, /* more than 24 hours are refused east of UTC only */
        {"2024-01-15T10:11:12-99:99", "datetime 2024-01-15 10:11:12.000000 -362340"},
        {"2024-01-15T10:11:12+2", "none"},
        {"2024-01-15T10:11:12+02:", "datetime 2024-01-15 10:11:12.000000 +7200"},
        /* shorter times, the other fraction sign, basic forms and what may be mixed */
        {"2024-01-15T10", "datetime 2024-01-15 10:00:00.000000"},
        {"2024-01-15T10:11Z", "datetime 2024-01-15 10:11:00.000000 +0"},
        {"2024-01-15T10:11:12,5", "datetime 2024-01-15 10:11:12.500000"},
        {"20240115T101112Z", "datetime 2024-01-15 10:11:12.000000 +0"},
        {"20240115T101112.25", "datetime 2024-01-15 10:11:12.250000"},
        {"20240115T10:11", "datetime 2024-01-15 10:11:00.000000"},
        {"20240115T10:11:12", "none"},
        {"2024-01-15T101112", "none"},
        /* days of the year, weeks */
        {"2024-366T10", "datetime 2024-12-31 10:00:00.000000"},
        {"2023-366T10", "none"},
        {"2024015", "date 2024-01-15"},
        {"2024-W03-1T10:11", "datetime 2024-01-15 10:11:00.000000"},
        {"2024W031", "date 2024-01-15"},
        {"2024-W01", "date 2024-01-01"},
        {"2020-W53-7", "date 2021-01-03"},
        {"2024-W53-1", "none"},
        {"2024-W01-0", "date 2023-12-31"},
        {"2024-W01-8", "none"},
        /* dates and times */
        {"2024-01-15", "date 2024-01-15"},
        {"2024-01", "date 2024-01-01"},
        {"2024", "date 2024-01-01"},
        {"10:11", "time 10:11:00.000000"},
        {"T101112.5", "time 10:11:12.500000"},
        {"10:11:12+01:00", "time 10:11:12.000000 +3600"},
        /* pendulum's COMMON expression */
        {"2024/01/15 1:2", "datetime 2024-01-15 01:02:00.000000"},
        {"2024:01:15 1:2:3|4", "datetime 2024-01-15 01:02:03.400000"},
        {"2024 10:11", "datetime 2024-01-01 10:11:00.000000"},
        {"202401151:2", "datetime 2024-01-15 01:02:00.000000"},
        {"20241:2", "datetime 2024-01-01 01:02:00.000000"},
        {"2024/01/15", "date 2024-01-15"},
        {"9:5.123456789", "time 09:05:00.123456"},
        {"9:5.1234567890", "none"},
        {"2024 1:", "none"},
        {"\u0662\u0660\u0662\u0664 1\u0661:2", "datetime 2024-01-01 11:02:00.000000"}, /* \d is of any script */
        {"2024-01-1\u0665T10:11:12Z", "none"},
        /* neither */
        {"", "none"},
        {"P1D", "none"},
        {"2024-01-15/2024-01-16", "none"},
        {"1705313471", "none"},
        {"now", "none"},
        {"2024-01-15T10:11:12.345Z and more of it", "none"},
    };
    char room[80];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hr_str text = hr__str(cases[i].text);
        HR_CHECK_STR(shown(text, room), cases[i].want);
        HR_CHECK_INT(hr__iso_is_timestamp(text), strncmp(cases[i].want, "datetime", 8) == 0);
    }
}

HR_CASE(nul_does_not_end_a_text) {
    char room[80];
    HR_CHECK_STR(shown((hr_str){"2024-01-15\0", 11}, room), "none");
    HR_CHECK_STR(shown((hr_str){"2024-01-15T10:11:12\0Z", 21}, room), "none");
    HR_CHECK_STR(shown((hr_str){NULL, 0}, room), "none");
}

HR_CASE(days_are_counted_as_the_calendar_runs) {
    int32_t want = -719162; /* 0001-01-01 */
    for (int32_t year = 1; year <= 9999; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        for (int32_t month = 1; month <= 12; month++) {
            int32_t n = days[month - 1] + (month == 2 && leap);
            HR_CHECK_INT(hr__iso_days(year, month, 1), want);
            HR_CHECK_INT(hr__iso_days(year, month, n), want + n - 1);
            want += n;
        }
    }
    HR_CHECK_INT(hr__iso_days(1970, 1, 1), 0);
    HR_CHECK_INT(hr__iso_days(9999, 12, 31), want - 1);
}

HR_CASE(micros_are_utc) {
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.000001", 1}, /* naive is UTC */
        {"1969-12-31T23:59:59.999999Z", -1},
        {"2024-01-15T10:11:12+02:00", 1705306272000000},
        {"2024-01-15", 1705276800000000},
        {"0001-01-01T00:00:00Z", -62135596800000000},
        {"9999-12-31T23:59:59.999999Z", 253402300799999999},
        {"2024-01-15T00:00:00-23:59", 1705363140000000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hr_iso iso;
        int64_t micros = 0;
        hr__iso_parse(hr__str(cases[i].text), &iso);
        HR_CHECK_INT(hr__iso_micros(&iso, &micros), HR_OK);
        HR_CHECK_INT(micros, cases[i].want);
    }
}

/* Rule 31 */
HR_CASE(micros_fail_where_dlt_fails) {
    static const char *const texts[] = {
        "2024-01-15T10:11:12+24:00",   "2024-01-15T10:11:12-24:00",        "2024-01-15T10:11:12-99:99",
        "0001-01-01T00:00:00.5+00:01", "9999-12-31T23:59:59.999999-00:01",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        hr_iso iso;
        int64_t micros = 42;
        hr__iso_parse(hr__str(texts[i]), &iso);
        HR_CHECK_INT(iso.kind, HR_ISO_DATETIME);
        HR_CHECK_INT(hr__iso_micros(&iso, &micros), HR_RANGE);
        HR_CHECK_INT(micros, 42);
    }
}

int main(void) {
    HR_RUN(texts_are_read_as_pendulum_does);
    HR_RUN(nul_does_not_end_a_text);
    HR_RUN(days_are_counted_as_the_calendar_runs);
    HR_RUN(micros_are_utc);
    HR_RUN(micros_fail_where_dlt_fails);
    return HR_DONE();
}
