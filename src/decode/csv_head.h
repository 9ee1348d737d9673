/* SPDX-License-Identifier: Apache-2.0
 *
 * The columns of a CSV file: their names, as pandas makes them different, which are kept, what they are read as.
 */
#ifndef HR_DECODE_CSV_HEAD_H
#define HR_DECODE_CSV_HEAD_H

#include "csv.h"

/* Copies what the options point to into the arena. HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__csv_options_copy(hr_csv_options *options, hr_arena *arena);
/* Takes the names from the chunk's only row. */
HR_MUST_CHECK int hr__csv_head_names(const hr_csv_options *options, const hr_fields *chunk, hr_fields_head *head,
                                     hr_error *err);
/* Settles the columns by the first row of data, of n_first fields. HR_ARGUMENT: a column to keep is not there. */
HR_MUST_CHECK int hr__csv_head_columns(const hr_csv_options *options, size_t n_first, hr_fields_head *head,
                                       hr_error *err);

#endif
