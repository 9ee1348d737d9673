/* SPDX-License-Identifier: Apache-2.0
 *
 * dlt's snake_case naming convention (dlt-semantics rules 10-17; dlt/common/normalizers/naming/snake_case.py and
 * naming.py of dlt 1.31). Results are new strings in the arena. HR_OK or HR_MEMORY; HR_ENCODING for text that is not
 * UTF-8.
 */
#ifndef HR_NORMALIZE_NAMING_H
#define HR_NORMALIZE_NAMING_H

#include "base.h"

/* Rule 10: the column name of a key. max_length: code points, 0 unlimited. */
HR_MUST_CHECK int hr__name_column(hr_arena *arena, hr_str key, size_t max_length, hr_str *name_out);
/* Rule 11: normalize_path, for tables and list keys ("" stays ""). */
HR_MUST_CHECK int hr__name_path(hr_arena *arena, hr_str path, size_t max_length, hr_str *name_out);
/* Rules 15, 16: shorten_fragments: the parts that are not blank joined by "__", then shortened. */
HR_MUST_CHECK int hr__name_join(hr_arena *arena, const hr_str *parts, size_t n_parts, size_t max_length,
                                hr_str *name_out);
/* Python's str.isspace() of the whole string (true also for ""). */
bool hr__name_is_blank(hr_str text);

#endif
