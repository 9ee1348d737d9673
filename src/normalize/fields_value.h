/* SPDX-License-Identifier: Apache-2.0
 *
 * Text fields as pandas' C parser reads them: integers, numbers, true and false.
 */
#ifndef HR_NORMALIZE_FIELDS_VALUE_H
#define HR_NORMALIZE_FIELDS_VALUE_H

#include "fields.h"

typedef enum hr_read {
    HR_READ_OK,
    HR_READ_NOT,   /* it is none */
    HR_READ_RANGE, /* an integer of more than 64 bits */
} hr_read;

/* White space around numbers does not count; thousands separators of head do not either. */
hr_read hr__field_int(const hr_fields_head *head, hr_str value, int64_t *out);
/* Correctly rounded; +-inf on overflow and for inf, infinity. */
hr_read hr__field_double(const hr_fields_head *head, hr_str value, double *out);
hr_read hr__field_bool(hr_str value, bool *out); /* True, TRUE, true, False ... */

#endif
