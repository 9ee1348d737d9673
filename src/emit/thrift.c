/* SPDX-License-Identifier: Apache-2.0
 *
 * A field is its distance from the one before and its type in a byte, or the type and the number; integers are zigzag
 * varints.
 */
#include "thrift.h"

static uint64_t zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

void hr__thrift_bytes(hr_thrift *t, hr_str bytes) {
    if (t->rc == HR_OK) {
        t->rc = hr__buf_append(t->out, bytes.data, bytes.size_bytes);
    }
}

static void varint(hr_thrift *t, uint64_t value) {
    char bytes[HR_VARINT_MAX];
    hr__thrift_bytes(t, (hr_str){bytes, hr__put_varint(bytes, value)});
}

static void byte(hr_thrift *t, unsigned value) {
    char c = (char)value;
    hr__thrift_bytes(t, (hr_str){&c, 1});
}

static void field(hr_thrift *t, int16_t id, hr_thrift_type type) {
    int delta = id - t->last[t->depth];
    t->last[t->depth] = id;
    if (delta >= 1 && delta <= 15) {
        byte(t, (unsigned)delta << 4 | type);
        return;
    }
    byte(t, type);
    varint(t, zigzag(id));
}

void hr__thrift_bool(hr_thrift *t, int16_t id, bool value) {
    field(t, id, value ? HR_THRIFT_TRUE : HR_THRIFT_FALSE);
}

void hr__thrift_i16(hr_thrift *t, int16_t id, int16_t value) {
    field(t, id, HR_THRIFT_I16);
    varint(t, zigzag(value));
}

void hr__thrift_i32(hr_thrift *t, int16_t id, int32_t value) {
    field(t, id, HR_THRIFT_I32);
    varint(t, zigzag(value));
}

void hr__thrift_i64(hr_thrift *t, int16_t id, int64_t value) {
    field(t, id, HR_THRIFT_I64);
    varint(t, zigzag(value));
}

void hr__thrift_binary(hr_thrift *t, int16_t id, hr_str value) {
    field(t, id, HR_THRIFT_BINARY);
    hr__thrift_element_binary(t, value);
}

void hr__thrift_begin(hr_thrift *t, int16_t id) {
    field(t, id, HR_THRIFT_STRUCT);
    hr__thrift_element_begin(t);
}

void hr__thrift_list(hr_thrift *t, int16_t id, hr_thrift_type of, size_t n) {
    field(t, id, HR_THRIFT_LIST);
    if (n < 15) {
        byte(t, (unsigned)n << 4 | of);
        return;
    }
    byte(t, 0xF0u | of);
    varint(t, n);
}

void hr__thrift_element_i32(hr_thrift *t, int32_t value) {
    varint(t, zigzag(value));
}

void hr__thrift_element_binary(hr_thrift *t, hr_str value) {
    varint(t, value.size_bytes);
    hr__thrift_bytes(t, value);
}

void hr__thrift_element_begin(hr_thrift *t) {
    assert(t->depth + 1 < HR_THRIFT_DEPTH);
    t->last[++t->depth] = 0;
}

void hr__thrift_end(hr_thrift *t) {
    byte(t, 0);
    t->depth -= t->depth > 0;
}
