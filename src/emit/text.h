/* SPDX-License-Identifier: Apache-2.0
 *
 * text: the rows of an Arrow struct array as text, in the form of a load file: INSERT values, lines of JSON, CSV.
 *
 * What the formats share is the walk: rows of cells with something before, between and behind. A layout says what that
 * is, so no format, no SQL dialect and no version of dlt is known here; python/headrace/_normalize/text_layouts.py
 * makes layouts from what dlt's own functions give.
 *
 *   {"id":7,"name":"a\"b"}\n          row_open  label cell  cell_between  label cell  row_close
 *   (7,E'a"b',NULL),\n(8,...          row_open  cell  cell_between  cell ...  row_close  row_between  row_open ...
 */
#ifndef HR_EMIT_TEXT_H
#define HR_EMIT_TEXT_H

#include "schema.h"

typedef enum hr_text_form { /* of the cells of a type */
                            HR_TEXT_FORM_UNSET,
                            HR_TEXT_REFUSED, /* HR_UNSUPPORTED */
                            HR_TEXT_WRAPPED, /* open, the value, close */
                            HR_TEXT_ESCAPED, /* the same, with escapes in the value */
                            HR_TEXT_QUOTED, /* as ESCAPED if a byte of the value is in `quoted`, else the value alone */
} hr_text_form;

typedef enum hr_text_bytes { /* of a binary value */
                             HR_TEXT_BYTES_UNSET,
                             HR_TEXT_BYTES_HEX,
                             HR_TEXT_BYTES_BASE64,
                             HR_TEXT_BYTES_UTF8, /* as they are; HR_ENCODING if they are not UTF-8 */
} hr_text_bytes;

typedef struct hr_text_cell {
    hr_text_form form;
    hr_str open, close;
} hr_text_cell;

/* Strings are borrowed. */
typedef struct hr_text_layout {
    hr_str row_open, row_between, row_close;
    hr_str cell_between;
    hr_str null;                       /* of null cells; unless */
    bool skip_null;                    /* they are left out with their label */
    hr_text_cell cells[HR_TYPE_COUNT]; /* by hr_type */
    hr_str words[2];                   /* false, true */
    hr_str escapes[128];               /* of ASCII characters; used where `escaped` is not 0 */
    uint8_t escaped[256];              /* by byte */
    uint8_t quoted[256];               /* by byte; 2: HR_UNSUPPORTED, there is no way to write it */
    hr_str zone;                       /* behind timestamps that are not naive */
    char date_time;                    /* between date and time of timestamps */
    bool orjson_doubles;               /* else Python's */
    hr_text_bytes bytes;
    /* "CONVERT(VARBINARY(12), '...": behind the open of a binary cell the number of bytes, or MAX above this, and
     * size_close. 0: not so. */
    size_t bytes_max;
    hr_str size_close;
} hr_text_layout;

typedef struct hr_text_column {
    hr_str label;  /* before the value; borrowed */
    int32_t child; /* of the array; -1: the array has no such column, its cells are null */
    uint8_t type;  /* hr_type, which the child's Arrow format must be of. DECIMAL may also be text (format u) */
    bool naive;    /* timestamps without zone */
} hr_text_column;

/* Appends rows *row .. of the array to out until it holds enough_bytes or the rows end; *row is the next row then.
 * `follows`: row_between stands before the first row too. On failure *row is the row at fault, and out ends with the
 * row before it. HR_OK, HR_MEMORY, HR_LIMIT (out's limit), HR_UNSUPPORTED, HR_ENCODING, HR_RANGE (a year that Python's
 * datetime has not). The schema is that of the array; neither is released. */
HR_MUST_CHECK int hr__text_rows(const hr_text_layout *layout, const hr_text_column *columns, size_t n_columns,
                                const struct ArrowSchema *schema, const struct ArrowArray *array, bool follows,
                                int64_t *row, size_t enough_bytes, hr_buf *out, hr_error *err);

#endif
