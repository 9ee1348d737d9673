/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer: any text is read as a date, a time, both or none without harm, and what was read, written out in full, is
 * read as the same moment again.
 */
#include "timestamp.h"

#include <stdio.h>
#include <stdlib.h>

static void check(bool ok) {
    if (!ok) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1); /* of its own, so that a byte read behind it is found */
    hr_iso iso, again;
    int64_t micros, micros_again;
    check(text != NULL);
    memcpy(text, data, size);
    hr__iso_parse((hr_str){text, size}, &iso);
    check(hr__iso_is_timestamp((hr_str){text, size}) == (iso.kind == HR_ISO_DATETIME));
    if (iso.kind == HR_ISO_DATETIME || iso.kind == HR_ISO_DATE) {
        check(iso.year >= 1 && iso.year <= 9999 && iso.month >= 1 && iso.month <= 12 && iso.day >= 1 && iso.day <= 31);
    }
    if (iso.kind == HR_ISO_DATETIME && hr__iso_micros(&iso, &micros) == HR_OK) {
        char full[64];
        int offset = iso.has_offset ? abs(iso.offset_seconds) : 0;
        int n = snprintf(full, sizeof full, "%04d-%02d-%02dT%02d:%02d:%02d.%06d", iso.year, iso.month, iso.day,
                         iso.hour, iso.minute, iso.second, iso.microsecond);
        if (iso.has_offset) {
            n += snprintf(full + n, sizeof full - (size_t)n, "%c%02d:%02d", iso.offset_seconds < 0 ? '-' : '+',
                          offset / 3600, offset / 60 % 60);
        }
        hr__iso_parse((hr_str){full, (size_t)n}, &again);
        check(again.kind == HR_ISO_DATETIME && hr__iso_micros(&again, &micros_again) == HR_OK);
        check(micros == micros_again);
    }
    free(text);
    return 0;
}
