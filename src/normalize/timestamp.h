/* SPDX-License-Identifier: Apache-2.0
 *
 * Dates and times in text as dlt reads them: pendulum's ISO 8601 grammar with its COMMON fallback (dlt-semantics rule
 * 29, shared/oracle/iso_port.py is the reference).
 */
#ifndef HR_NORMALIZE_TIMESTAMP_H
#define HR_NORMALIZE_TIMESTAMP_H

#include "base.h"

typedef enum hr_iso_kind { HR_ISO_NONE, HR_ISO_DATETIME, HR_ISO_DATE, HR_ISO_TIME } hr_iso_kind;

typedef struct hr_iso {
    hr_iso_kind kind;
    int32_t year, month, day, hour, minute, second, microsecond;
    bool has_offset;
    int32_t offset_seconds; /* east of UTC; beyond +-24 h is possible and is an error where dlt converts it */
} hr_iso;

/* What the text is; HR_ISO_NONE when it is neither. Never fails. The hot path is YYYY-MM-DDTHH:MM:SS[.f](Z|+HH:MM). */
void hr__iso_parse(hr_str text, hr_iso *iso_out);
/* Days since 1970-01-01 of a proleptic Gregorian date from year 1 on. */
int32_t hr__iso_days(int32_t year, int32_t month, int32_t day);
/* Microseconds since 1970 UTC of a DATETIME (naive: UTC) or a DATE (its midnight). HR_OK; HR_RANGE when the offset is
 * 24 h or more or the result leaves years 1-9999 (dlt raises there, rule 31). */
HR_MUST_CHECK int hr__iso_micros(const hr_iso *iso, int64_t *micros_out);
/* Whether dlt's iso_timestamp detection takes the text: a DATETIME. */
bool hr__iso_is_timestamp(hr_str text);

#endif
