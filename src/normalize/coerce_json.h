/* SPDX-License-Identifier: Apache-2.0
 *
 * Text for a json column: what orjson.loads reads and orjson.dumps then writes (dlt 1.31: coerce_value("json", "text"),
 * ParquetDataWriter.write_data). A string in the text is written as it is, without quotes.
 */
#ifndef HR_NORMALIZE_COERCE_JSON_H
#define HR_NORMALIZE_COERCE_JSON_H

#include "base.h"

/* The result is in arena. HR_OK; HR_COERCE: not JSON for orjson; HR_UNSUPPORTED: it is null; HR_LIMIT: nested deeper
 * than orjson writes; HR_MEMORY. */
HR_MUST_CHECK int hr__text_json(hr_arena *arena, hr_str text, hr_str *out, hr_error *err);

#endif
