/* SPDX-License-Identifier: Apache-2.0
 *
 * Thrift's compact protocol, writing only: what Parquet's page headers and footer are made of
 * (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md). Fields are written in the order
 * of their numbers.
 */
#ifndef HR_EMIT_THRIFT_H
#define HR_EMIT_THRIFT_H

#include "base.h"

#define HR_THRIFT_DEPTH 8

typedef enum hr_thrift_type {
    HR_THRIFT_TRUE = 1,
    HR_THRIFT_FALSE = 2,
    HR_THRIFT_I16 = 4,
    HR_THRIFT_I32 = 5,
    HR_THRIFT_I64 = 6,
    HR_THRIFT_BINARY = 8,
    HR_THRIFT_LIST = 9,
    HR_THRIFT_STRUCT = 12,
} hr_thrift_type;

/* Begins within a struct. Once rc is not HR_OK, nothing more is written. */
typedef struct hr_thrift {
    hr_buf *out;
    int rc; /* HR_OK, or what the buffer said */
    int depth;
    int16_t last[HR_THRIFT_DEPTH]; /* the number of the field before, by depth */
} hr_thrift;

#define HR_VARINT_MAX 10 /* bytes */
/* Seven bits a byte, the lowest first; Parquet's runs begin with one, too. Returns the number of bytes. */
static inline size_t hr__put_varint(char *to, uint64_t value) {
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) {
        to[n++] = (char)(value | 0x80);
    }
    to[n++] = (char)value;
    return n;
}

/* Fields. */
void hr__thrift_bool(hr_thrift *t, int16_t id, bool value);
void hr__thrift_i16(hr_thrift *t, int16_t id, int16_t value);
void hr__thrift_i32(hr_thrift *t, int16_t id, int32_t value);
void hr__thrift_i64(hr_thrift *t, int16_t id, int64_t value);
void hr__thrift_binary(hr_thrift *t, int16_t id, hr_str value);
void hr__thrift_begin(hr_thrift *t, int16_t id); /* a struct: its fields follow, then hr__thrift_end */
void hr__thrift_list(hr_thrift *t, int16_t id, hr_thrift_type of, size_t n); /* n elements follow */

/* Elements. */
void hr__thrift_element_i32(hr_thrift *t, int32_t value);
void hr__thrift_element_binary(hr_thrift *t, hr_str value);
void hr__thrift_element_begin(hr_thrift *t); /* a struct, to its hr__thrift_end */

void hr__thrift_end(hr_thrift *t);                 /* of a struct, the outermost too */
void hr__thrift_bytes(hr_thrift *t, hr_str bytes); /* as they are: elements that were written elsewhere */

#endif
