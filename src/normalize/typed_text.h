/* SPDX-License-Identifier: Apache-2.0
 *
 * dlt's private-use type markers (dlt-semantics rule 6; dlt 1.31 common/json/__init__.py): text of U+F026..U+F02D and
 * more is read as a Decimal, datetime, date, UUID, hex bytes, base64 bytes, Wei or time when it can be.
 */
#ifndef HR_NORMALIZE_TYPED_TEXT_H
#define HR_NORMALIZE_TYPED_TEXT_H

#include "doc.h"
#include "schema.h"

/* Whether the text starts with a marker and has more. Cheap. */
static inline bool hr__text_is_marked(hr_str text) {
    const unsigned char *t = (const unsigned char *)text.data;
    return HR_UNLIKELY(text.size_bytes > 3 && t[0] == 0xEF) && t[1] == 0x80 && t[2] >= 0xA6 && t[2] <= 0xAD;
}
/* Which value marked text is, when it is written as dlt writes it (`_custom_pua_encode`): DECIMAL, TIMESTAMP (isoformat
 * of a datetime, with an offset of whole minutes or none), DATE, TIME (without offset), BINARY (base64, or hex digits),
 * WEI (as DECIMAL). UNSET for all else. What stands behind the marker is hr__typed_text_value. */
hr_type hr__typed_text_type(hr_str text);
/* Whether marked text stands for dlt's HexBytes. */
static inline bool hr__typed_text_is_hex(hr_str text) {
    return (unsigned char)text.data[2] == 0xAA;
}
/* Whether marked text stands for a UUID as str() shows it. */
bool hr__typed_text_is_uuid(hr_str text);
static inline hr_str hr__typed_text_value(hr_str text) {
    return (hr_str){text.data + 3, text.size_bytes - 3};
}
/* Of marked text: *decodes_out tells whether dlt would read a value from it. Exact, but for datetimes, dates and times:
 * true for all that might be one. HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__text_marked_decodes(hr_arena *scratch, hr_str text, bool *decodes_out);
/* Whether the value, inside an array or object, is text with a marker: custom_pua_remove also takes the character
 * behind the last one. */
bool hr__tok_is_marked(const hr_tok *tok);
/* Whether a value inside the array or object at `at` is text with a marker: dlt decodes it or takes the marker away. */
bool hr__doc_has_marked(const hr_doc *doc, size_t at);

#endif
