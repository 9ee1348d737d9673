/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: a whole body of CSV as JSON lines: an object of the header's names for each row.
 */
#ifndef HR_DECODE_CSV_JSON_H
#define HR_DECODE_CSV_JSON_H

#include "csv.h"

/* Appends the rows to out. Fields in quotes are never null. With infer a column whose values are all integers, numbers
 * or true and false as JSON has them (also True, TRUE) becomes such, if no digit is lost. The options' names are those
 * of the header as it stands: one that comes twice is an error, and so is a row of another length; a body without a
 * header has no rows. HR_OK; HR_SYNTAX, HR_ENCODING, with record and byte; HR_LIMIT (out's limit too), HR_ARGUMENT,
 * HR_MEMORY. */
HR_MUST_CHECK int hr__csv_json(const hr_csv_options *options, hr_str body, bool infer, hr_buf *out, hr_error *err);

#endif
