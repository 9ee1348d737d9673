/* SPDX-License-Identifier: Apache-2.0
 *
 * A value of a JSON document that is still coming: a string, number or true at a path of keys, given as soon as it is
 * complete. A hint, not a decoder: it takes the first of several equal keys and looks at nothing it need not, so what
 * it finds counts only when the whole document was decoded and says the same.
 *
 *   hr__early_init(&early, "meta\0next\0") -> hr__early_scan(&early, data, size) with ever more of the same document
 */
#ifndef HR_FETCH_EARLY_H
#define HR_FETCH_EARLY_H

#include "base.h"

/* What comes later is not early (guessed: reading so much costs 0.1 ms, and bodies without the key are read in vain).
 */
#define HR_EARLY_BYTES ((size_t)64 << 10)

typedef enum hr_early_state {
    HR_EARLY_UNSET,
    HR_EARLY_MORE,  /* not yet */
    HR_EARLY_FOUND, /* value_at, value_size */
    HR_EARLY_NONE,  /* not there, or not one of the three */
} hr_early_state;

typedef struct hr_early {
    hr_str path;  /* borrowed, valid until the last scan; the keys left to be met, each with a zero byte behind it */
    size_t at;    /* bytes read */
    size_t depth; /* open objects and lists */
    size_t level; /* depth of the object that the next key of the path is looked for in */
    size_t start; /* of the string or the value at hand */
    bool in_string, escaped, in_scalar;
    bool key_next; /* in the object at `level`, the next string is a key */
    bool is_here;  /* that key was the next of the path: its value follows */
    hr_early_state state;
    size_t value_at, value_size; /* JSON text of the value in the document */
} hr_early;

void hr__early_init(hr_early *early, hr_str path);
/* data: the document from its start, at least as much as before. */
hr_early_state hr__early_scan(hr_early *early, const char *data, size_t size);

#endif
