/* SPDX-License-Identifier: Apache-2.0
 *
 * One value into one column's type: dlt's coercion table (dlt-semantics rules 26-40;
 * dlt/common/data_types/type_helpers.py) for columns of TEXT, BIGINT, DOUBLE, BOOL, TIMESTAMP and JSON.
 */
#ifndef HR_NORMALIZE_COERCE_H
#define HR_NORMALIZE_COERCE_H

#include "batch.h"
#include "doc.h"

/* dlt's default decimal (common/arithmetics.py). */
#define HR_DECIMAL_PRECISION 38
#define HR_DECIMAL_SCALE 9

/* The dlt type of a value before detections: TEXT, BIGINT, DOUBLE, BOOL, JSON; UNSET for null and for doubles that
 * dlt's extract writes as null (inf). */
hr_type hr__value_type(const hr_tok *tok);
/* The type a new column gets from this value: detections (iso_timestamp) first, then hr__value_type. */
hr_type hr__value_infer(const hr_tok *tok);
/* Puts the value at `at` (not null) into *cell_out (and *size_out for TEXT and JSON) as the type. Text that needs no
 * change stays where it is; new text goes to the arena. HR_OK; HR_COERCE: it does not fit, dlt makes a variant column
 * (err is not filled); HR_RANGE, HR_ENCODING, HR_UNSUPPORTED: dlt fails on this value (integer beyond 64 bits, lone
 * surrogate, offset of 24 h) or the engine does not read it yet: err says which and why; HR_MEMORY. */
HR_MUST_CHECK int hr__coerce(const hr_doc *doc, size_t at, hr_type type, hr_arena *arena, hr_cell *cell_out,
                             uint32_t *size_out, hr_error *err);
/* The same for a column of DECIMAL, WIDE or WEI as text: str of the Decimal that dlt has. */
HR_MUST_CHECK int hr__coerce_decimal_text(const hr_doc *doc, size_t at, hr_type type, hr_arena *arena,
                                          hr_cell *cell_out, uint32_t *size_out, hr_error *err);
/* The same for columns of WIDE and WEI: plain digits, `scale` of them behind the point. */
HR_MUST_CHECK int hr__coerce_wide(const hr_doc *doc, size_t at, hr_type type, int precision, int scale, hr_arena *arena,
                                  hr_cell *cell_out, uint32_t *size_out, hr_error *err);
/* The same for a decimal column with its own precision and scale. */
HR_MUST_CHECK int hr__coerce_decimal(const hr_doc *doc, size_t at, int precision, int scale, hr_arena *arena,
                                     hr_cell *cell_out, hr_error *err);

#endif
