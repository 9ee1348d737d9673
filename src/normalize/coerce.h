/* SPDX-License-Identifier: Apache-2.0
 *
 * One value into one column's type: dlt's coercion table (dlt-semantics rules 26-40; dlt/common/data_types/type_helpers.py).
 */
#ifndef HR_NORMALIZE_COERCE_H
#define HR_NORMALIZE_COERCE_H

#include "batch.h"
#include "doc.h"

/* The dlt type of a value before detections: TEXT, BIGINT, DOUBLE, BOOL, JSON; UNSET for null and for doubles that dlt's
 * extract writes as null (inf). */
hr_type hr__value_type(const hr_tok *tok);
/* The type a new column gets from this value: detections (iso_timestamp) first, then hr__value_type. */
hr_type hr__value_infer(const hr_tok *tok);
/* Puts the value at `at` (not null) into *cell_out (and *size_out for TEXT, JSON, BINARY) as the column's type. Text that
 * needs no change stays where it is; new text goes to the arena.
 * HR_OK; HR_COERCE: it does not fit, dlt makes a variant column (err is not filled); HR_RANGE, HR_ENCODING: dlt fails on
 * this value (integer beyond 64 bits, lone surrogate, offset of 24 h, decimal beyond its scale): err says why; HR_MEMORY. */
HR_MUST_CHECK int hr__coerce(const hr_doc *doc, size_t at, const hr_column *column, hr_arena *arena, hr_cell *cell_out,
                             uint32_t *size_out, hr_error *err);

#endif
