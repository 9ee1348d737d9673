/* SPDX-License-Identifier: Apache-2.0
 *
 * normalize: rows of text fields -> tables. What pandas and then dlt make of them, a chunk of rows being what pandas
 * reads at once: a column of a chunk is integers, numbers, true and false or text; dlt's rules do the rest.
 *
 * Two implementations, tested equal: the records as a document through hr__normalize, which is what adds columns and
 * variants; and column by column straight to cells, where the table has all columns and every value is of its type.
 */
#ifndef HR_NORMALIZE_NORMALIZE_FIELDS_H
#define HR_NORMALIZE_NORMALIZE_FIELDS_H

#include "fields.h"
#include "normalize.h"

/* Normalizes the rows into batch (reset first) as the records of one page; doc and at are scratch that must outlive the
 * batch. Cells of text point into fields, doc and batch. Errors as hr__normalize's: the record counts from the first of
 * the file, the offset is the file's; HR_COERCE, too: a value is not what the column is to be read as. */
HR_MUST_CHECK int hr__normalize_fields(hr_normalizer *normalizer, const hr_fields *fields, uint64_t stream, hr_doc *doc,
                                       hr_batch *batch, hr_error *err);

#endif
