/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids of rows that are nested under others: base64 of the SHAKE-128 of "<parent's id>_<table>_<index in its list>"
 * (dlt-semantics rule 42), eight hashes at a time.
 */
#ifndef HR_NORMALIZE_NESTED_ID_H
#define HR_NORMALIZE_NESTED_ID_H

#include "base.h"

#define HR_NESTED_ID_LANES 8

/* The ids of n_rows <= HR_NESTED_ID_LANES rows of a table, of id_bytes <= HR_ID_MAX_BYTES as base64, one behind the
 * other to out. scratch is reset. HR_OK or HR_MEMORY (err is not filled). */
HR_MUST_CHECK int hr__nested_ids(hr_str table, const hr_str parents[], const uint64_t indices[], size_t n_rows,
                                 size_t id_bytes, hr_arena *scratch, char *out);

#endif
