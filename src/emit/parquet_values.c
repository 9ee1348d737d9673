/* SPDX-License-Identifier: Apache-2.0
 *
 * The loops over a chunk's values. Those without nulls are copies of memory where Arrow's layout is PLAIN's.
 */
#include "parquet_values.h"

#include "arrow.h"
#include "thrift.h"

#include <math.h>

/* A larger dictionary costs readers more than it saves (and is pyarrow's limit). */
#define DICTIONARY_BYTES ((size_t)1 << 20)
#define SAMPLE_BLOCKS ((size_t)4)  /* whose values say whether to make a dictionary, */
#define SAMPLE_BLOCK ((size_t)128) /* so many one after another */
#define PROBES_MAX 64u             /* of a hash table, against values that were made to collide */
#define TOLD_BYTES 4096u           /* a longer least or greatest value is not told (pyarrow's limit) */

static inline uint64_t load8(const char *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline size_t row_of(const hr_parquet_chunk *chunk, size_t value) {
    return chunk->rows == NULL ? value : chunk->rows[value];
}

static inline hr_str bytes_of(const hr_parquet_chunk *chunk, size_t value) {
    const int32_t *offsets = (const int32_t *)chunk->values + chunk->offset + (int64_t)row_of(chunk, value);
    return (hr_str){chunk->bytes + offsets[0], (size_t)(offsets[1] - offsets[0])};
}

/* Of a value in Arrow's memory; BYTES and BOOL have none. */
static inline size_t width_of(hr_parquet_kind kind) {
    return kind == HR_PARQUET_INT32 ? 4 : kind == HR_PARQUET_DECIMAL ? 16 : 8;
}

static inline const char *fixed_of(const hr_parquet_chunk *chunk, size_t value) {
    int64_t at = chunk->offset + (int64_t)row_of(chunk, value);
    return (const char *)chunk->values + at * (int64_t)width_of(chunk->kind);
}

/* ---------------------------------------------------------------------------------------------------- levels */

/* 64 bits from bit `at` on, of bits that end at bit `end`; what is behind them is 0. */
static uint64_t bits_at(const uint8_t *bits, int64_t at, int64_t end) {
    uint64_t word = 0;
    size_t first = (size_t)(at / 8), last = (size_t)((end + 7) / 8), shift = (size_t)(at % 8);
    size_t n = last - first < 8 ? last - first : 8;
    memcpy(&word, bits + first, n);
    word >>= shift;
    if (shift != 0 && last - first > 8) {
        word |= (uint64_t)bits[first + 8] << (64 - shift);
    }
    return end - at >= 64 ? word : word & ((UINT64_C(1) << (end - at)) - 1);
}

void hr__parquet_number_rows(hr_parquet_chunk *chunk, uint32_t *rows_out) {
    size_t n = 0;
    int64_t end = chunk->offset + (int64_t)chunk->n_rows;
    for (size_t row = 0; chunk->values != NULL && chunk->valid != NULL && row < chunk->n_rows; row += 64) {
        uint64_t word = bits_at(chunk->valid, chunk->offset + (int64_t)row, end);
        for (; word != 0; word &= word - 1) {
            rows_out[n++] = (uint32_t)(row + (size_t)__builtin_ctzll(word));
        }
    }
    bool all = chunk->values != NULL && (chunk->valid == NULL || n == chunk->n_rows);
    chunk->n_values = all ? chunk->n_rows : n;
    chunk->rows = all ? NULL : rows_out;
}

int hr__parquet_levels(const hr_parquet_chunk *chunk, size_t first, size_t end, hr_buf *out) {
    size_t n = end - first;
    bool mixed = chunk->rows != NULL && chunk->n_values != 0;
    HR_TRY(hr__buf_reserve(out, 32 + n / 8));
    char *size_at = out->data + out->size_bytes, *to = size_at + 4;
    if (!mixed) { /* one run */
        to += hr__put_varint(to, (uint64_t)n << 1);
        *to++ = chunk->rows == NULL;
    } else {
        to += hr__put_varint(to, (uint64_t)((n + 7) / 8) << 1 | 1);
        for (size_t row = 0; row < n; row += 64) {
            uint64_t word = bits_at(chunk->valid, chunk->offset + (int64_t)(first + row), chunk->offset + (int64_t)end);
            size_t bytes = n - row >= 64 ? 8 : (n - row + 7) / 8;
            memcpy(to, &word, bytes);
            to += bytes;
        }
    }
    uint32_t size = (uint32_t)(to - size_at - 4);
    memcpy(size_at, &size, sizeof size);
    out->size_bytes = (size_t)(to - out->data);
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- plain */

/* PLAIN bytes of BYTES values first .. end - 1. */
static size_t plain_size(const hr_parquet_chunk *chunk, size_t first, size_t end) {
    size_t sum = 4 * (end - first);
    if (chunk->rows == NULL && end > first) { /* they stand together */
        const int32_t *offsets = (const int32_t *)chunk->values + chunk->offset;
        return sum + (size_t)(offsets[end] - offsets[first]);
    }
    for (size_t value = first; value < end; value++) {
        sum += bytes_of(chunk, value).size_bytes;
    }
    return sum;
}

static size_t bytes_end(const hr_parquet_chunk *chunk, size_t first, size_t bytes) {
    size_t end = first + 1, sum = 0;
    if (first >= chunk->n_values) {
        return first;
    }
    if (chunk->rows == NULL) { /* the last end whose values fit */
        for (size_t beyond = chunk->n_values + 1; end + 1 < beyond;) {
            size_t middle = end + (beyond - end) / 2;
            if (plain_size(chunk, first, middle) <= bytes) {
                end = middle;
            } else {
                beyond = middle;
            }
        }
        return end;
    }
    for (end = first; end < chunk->n_values; end++) {
        sum += 4 + bytes_of(chunk, end).size_bytes;
        if (sum > bytes && end > first) {
            break;
        }
    }
    return end;
}

size_t hr__parquet_plain_end(const hr_parquet_chunk *chunk, size_t first, size_t bytes) {
    size_t n = chunk->n_values - first, fit;
    switch (chunk->kind) {
    case HR_PARQUET_BYTES:
        return bytes_end(chunk, first, bytes);
    case HR_PARQUET_BOOL:
        fit = bytes * 8;
        break;
    case HR_PARQUET_DECIMAL:
        fit = bytes / chunk->decimal_bytes;
        break;
    default:
        fit = bytes / width_of(chunk->kind);
    }
    fit = fit == 0 ? 1 : fit;
    return first + (fit < n ? fit : n);
}

static int plain_bytes(const hr_parquet_chunk *chunk, size_t first, size_t end, hr_buf *out) {
    size_t sum = plain_size(chunk, first, end);
    HR_TRY(hr__buf_reserve(out, sum));
    char *to = out->data + out->size_bytes;
    for (size_t value = first; value < end; value++) {
        hr_str text = bytes_of(chunk, value);
        uint32_t size = (uint32_t)text.size_bytes;
        memcpy(to, &size, sizeof size);
        if (size != 0) {
            memcpy(to + 4, text.data, size);
        }
        to += 4 + size;
    }
    out->size_bytes += sum;
    return HR_OK;
}

static int plain_bools(const hr_parquet_chunk *chunk, size_t first, size_t end, hr_buf *out) {
    size_t n = end - first;
    HR_TRY(hr__buf_reserve(out, n / 8 + 8));
    char *to = out->data + out->size_bytes;
    for (size_t value = 0; value < n; value += 8) {
        unsigned byte = 0;
        for (size_t i = value; i < value + 8 && i < n; i++) {
            byte |= (unsigned)hr__arrow_bit(chunk->values, chunk->offset + (int64_t)row_of(chunk, first + i))
                    << (i - value);
        }
        *to++ = (char)byte;
    }
    out->size_bytes += (n + 7) / 8;
    return HR_OK;
}

/* Big-endian, the last so many bytes. False: the value has more. */
static bool put_decimal(const char *from, size_t bytes, char *to) {
    __int128 value;
    memcpy(&value, from, sizeof value);
    for (size_t i = bytes; i-- > 0; value >>= 8) {
        to[i] = (char)value;
    }
    return value == (to[0] < 0 ? -1 : 0);
}

static int plain_decimals(const hr_parquet_chunk *chunk, size_t first, size_t end, hr_buf *out) {
    HR_TRY(hr__buf_reserve(out, (end - first) * chunk->decimal_bytes));
    for (size_t value = first; value < end; value++) {
        if (!put_decimal(fixed_of(chunk, value), chunk->decimal_bytes, out->data + out->size_bytes)) {
            return HR_RANGE;
        }
        out->size_bytes += chunk->decimal_bytes;
    }
    return HR_OK;
}

int hr__parquet_plain(const hr_parquet_chunk *chunk, size_t first, size_t end, hr_buf *out) {
    if (chunk->kind == HR_PARQUET_BYTES) {
        return plain_bytes(chunk, first, end, out);
    }
    if (chunk->kind == HR_PARQUET_BOOL) {
        return plain_bools(chunk, first, end, out);
    }
    if (chunk->kind == HR_PARQUET_DECIMAL) {
        return plain_decimals(chunk, first, end, out);
    }
    size_t width = width_of(chunk->kind);
    if (chunk->rows == NULL && end > first) {
        return hr__buf_append(out, fixed_of(chunk, first), (end - first) * width);
    }
    HR_TRY(hr__buf_reserve(out, (end - first) * width));
    for (size_t value = first; value < end; value++, out->size_bytes += width) {
        memcpy(out->data + out->size_bytes, fixed_of(chunk, value), width);
    }
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- dictionary */

void hr__parquet_dictionary_init(hr_parquet_dictionary *d, const hr_allocator *alloc) {
    *d = (hr_parquet_dictionary){.alloc = alloc};
}

void hr__parquet_dictionary_free(hr_parquet_dictionary *d) {
    hr__free(d->alloc, d->entries);
    hr__free(d->alloc, d->slots);
    hr__parquet_dictionary_init(d, d->alloc);
}

/* As it stands in memory. */
static inline hr_str memory_of(const hr_parquet_chunk *chunk, size_t value) {
    return chunk->kind == HR_PARQUET_BYTES ? bytes_of(chunk, value)
                                           : (hr_str){fixed_of(chunk, value), width_of(chunk->kind)};
}

/* No entry, and slots for n_entries. */
static int clear(hr_parquet_dictionary *d, size_t n_entries) {
    size_t n_slots = 64;
    while (n_slots < 2 * n_entries) {
        n_slots *= 2;
    }
    HR_TRY(hr__grow(d->alloc, (void **)&d->slots, &d->cap_slots, n_slots, sizeof *d->slots));
    memset(d->slots, 0, n_slots * sizeof *d->slots);
    d->n_slots = n_slots;
    d->n_entries = d->plain_bytes = 0;
    return HR_OK;
}

static int rehash(hr_parquet_dictionary *d) {
    size_t n_entries = d->n_entries, plain_bytes = d->plain_bytes;
    HR_TRY(clear(d, 2 * d->n_slots));
    for (size_t e = 0; e < n_entries; e++) {
        size_t slot = d->entries[e].hash & (d->n_slots - 1);
        while (d->slots[slot] != 0) {
            slot = (slot + 1) & (d->n_slots - 1);
        }
        d->slots[slot] = (uint32_t)e + 1;
    }
    d->n_entries = n_entries;
    d->plain_bytes = plain_bytes;
    return HR_OK;
}

/* The value's entry, a new one if need be. HR_LIMIT: it took too many probes. */
static int enter(hr_parquet_dictionary *d, const hr_parquet_chunk *chunk, size_t value, uint32_t *entry_out) {
    hr_str text = memory_of(chunk, value);
    uint32_t h = (uint32_t)hr__str_hash(text);
    size_t slot = h & (d->n_slots - 1);
    for (size_t probe = 0; d->slots[slot] != 0; probe++, slot = (slot + 1) & (d->n_slots - 1)) {
        uint32_t e = d->slots[slot] - 1;
        if (d->entries[e].hash == h && hr__str_eq(memory_of(chunk, d->entries[e].value), text)) {
            *entry_out = e;
            return HR_OK;
        }
        if (probe == PROBES_MAX) {
            return HR_LIMIT;
        }
    }
    HR_TRY(hr__grow(d->alloc, (void **)&d->entries, &d->cap_entries, d->n_entries + 1, sizeof *d->entries));
    *entry_out = (uint32_t)d->n_entries;
    d->entries[d->n_entries++] = (struct hr_parquet_entry){h, (uint32_t)value};
    d->slots[slot] = (uint32_t)d->n_entries;
    d->plain_bytes += text.size_bytes + 4;
    return 2 * d->n_entries > d->n_slots ? rehash(d) : HR_OK;
}

/* Whether values of some places of the chunk repeat. */
static int repeats(hr_parquet_dictionary *d, const hr_parquet_chunk *chunk, bool *out) {
    size_t n = 0, n_blocks = chunk->n_values <= SAMPLE_BLOCK * SAMPLE_BLOCKS ? 1 : SAMPLE_BLOCKS;
    size_t block = n_blocks == 1 ? chunk->n_values : SAMPLE_BLOCK;
    HR_TRY(clear(d, SAMPLE_BLOCKS * SAMPLE_BLOCK));
    for (size_t b = 0; b < n_blocks; b++) {
        size_t first = n_blocks == 1 ? 0 : (chunk->n_values - block) / (n_blocks - 1) * b;
        for (size_t value = first; value < first + block; value++, n++) {
            uint32_t entry;
            HR_TRY(enter(d, chunk, value, &entry));
        }
    }
    *out = 2 * d->n_entries <= n;
    return HR_OK;
}

static int make(hr_parquet_dictionary *d, const hr_parquet_chunk *chunk, uint32_t *indices_out, bool *made_out) {
    bool worth = false;
    HR_TRY(repeats(d, chunk, &worth));
    if (!worth) {
        return HR_OK;
    }
    HR_TRY(clear(d, 0));
    uint32_t entry = 0;
    for (size_t value = 0; value < chunk->n_values; value++) {
        if (value == 0 || !hr__str_eq(memory_of(chunk, value - 1), memory_of(chunk, value))) {
            HR_TRY(enter(d, chunk, value, &entry));
        }
        indices_out[value] = entry;
        if (d->plain_bytes > DICTIONARY_BYTES) {
            return HR_OK;
        }
    }
    *made_out = d->n_entries <= chunk->n_values / 2;
    return HR_OK;
}

int hr__parquet_dictionary_make(hr_parquet_dictionary *d, const hr_parquet_chunk *chunk, uint32_t *indices_out,
                                bool *made_out) {
    *made_out = false;
    if (chunk->kind == HR_PARQUET_BOOL || chunk->n_values == 0) {
        return HR_OK;
    }
    int rc = make(d, chunk, indices_out, made_out);
    return rc == HR_LIMIT ? HR_OK : rc;
}

int hr__parquet_dictionary_plain(const hr_parquet_dictionary *d, const hr_parquet_chunk *chunk, hr_buf *out) {
    for (size_t e = 0; e < d->n_entries; e++) {
        HR_TRY(hr__parquet_plain(chunk, d->entries[e].value, (size_t)d->entries[e].value + 1, out));
    }
    return HR_OK;
}

/* Groups of eight, the last filled up with 0: LSB first. */
static char *put_packed(char *to, const uint32_t *indices, size_t n, unsigned bits) {
    uint64_t pending = 0;
    unsigned n_pending = 0;
    to += hr__put_varint(to, (uint64_t)((n + 7) / 8) << 1 | 1);
    for (size_t i = 0; i < (n + 7) / 8 * 8; i++) {
        pending |= (uint64_t)(i < n ? indices[i] : 0) << n_pending;
        n_pending += bits;
        if (n_pending >= 32) {
            uint32_t word = (uint32_t)pending;
            memcpy(to, &word, sizeof word);
            to += sizeof word;
            pending >>= 32;
            n_pending -= 32;
        }
    }
    for (; n_pending > 0; n_pending -= n_pending < 8 ? n_pending : 8, pending >>= 8) {
        *to++ = (char)pending;
    }
    return to;
}

static char *put_run(char *to, uint32_t index, size_t n, unsigned bits) {
    to += hr__put_varint(to, (uint64_t)n << 1);
    memcpy(to, &index, (bits + 7) / 8);
    return to + (bits + 7) / 8;
}

int hr__parquet_indices(const hr_parquet_dictionary *d, const uint32_t *indices, size_t n, hr_buf *out) {
    unsigned bits = 1;
    while (((d->n_entries - 1) >> bits) != 0) {
        bits++;
    }
    /* A run takes at most 14 bytes and follows 8 indices that are packed; eight indices take `bits` bytes. */
    HR_TRY(hr__buf_reserve(out, 64 + (n / 8 + 1) * (bits + 24)));
    char *to = out->data + out->size_bytes;
    *to++ = (char)bits;
    size_t packed = 0; /* indices packed .. i - 1 are to be packed */
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;
        while (end < n && indices[end] == indices[i]) {
            end++;
        }
        size_t fill = (8 - (i - packed) % 8) % 8; /* runs begin behind whole groups */
        if (end - i < 8 + fill) {
            i = end;
            continue;
        }
        i += fill;
        to = i > packed ? put_packed(to, indices + packed, i - packed, bits) : to;
        to = put_run(to, indices[i], end - i, bits);
        i = packed = end;
    }
    to = n > packed ? put_packed(to, indices + packed, n - packed, bits) : to;
    out->size_bytes = (size_t)(to - out->data);
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- least, greatest
 */

/* The first eight bytes, as a number of the same order. */
static inline uint64_t prefix_of(hr_str text) {
    if (text.size_bytes >= 8) {
        return __builtin_bswap64(load8(text.data));
    }
    uint64_t prefix = 0;
    for (size_t i = 0; i < text.size_bytes; i++) {
        prefix |= (uint64_t)(uint8_t)text.data[i] << (56 - 8 * i);
    }
    return prefix;
}

static int compare(hr_str a, hr_str b) {
    size_t n = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);
    return order != 0 ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

/* value(i) for i in 0 .. n - 1: all, or those of the dictionary. */
typedef struct values {
    const hr_parquet_chunk *chunk;
    const hr_parquet_dictionary *d;
    size_t n;
} values;

static inline size_t value_at(const values *of, size_t i) {
    return of->d == NULL ? i : of->d->entries[i].value;
}

static bool min_max_bytes(const values *of, hr_str *min_out, hr_str *max_out) {
    hr_str min = bytes_of(of->chunk, value_at(of, 0)), max = min;
    uint64_t min_prefix = prefix_of(min), max_prefix = min_prefix;
    for (size_t i = 1; i < of->n; i++) {
        hr_str text = bytes_of(of->chunk, value_at(of, i));
        uint64_t prefix = prefix_of(text);
        if (prefix < min_prefix || (prefix == min_prefix && compare(text, min) < 0)) {
            min = text;
            min_prefix = prefix;
        }
        if (prefix > max_prefix || (prefix == max_prefix && compare(text, max) > 0)) {
            max = text;
            max_prefix = prefix;
        }
    }
    *min_out = min;
    *max_out = max;
    return min.size_bytes <= TOLD_BYTES && max.size_bytes <= TOLD_BYTES;
}

#define MIN_MAX(name, type, from, skips)                                                  \
    static bool name(const values *of, char *scratch, hr_str *min_out, hr_str *max_out) { \
        type min = 0, max = 0;                                                            \
        bool any = false;                                                                 \
        for (size_t i = 0; i < of->n; i++) {                                              \
            type v;                                                                       \
            from;                                                                         \
            if (skips) {                                                                  \
                continue;                                                                 \
            }                                                                             \
            min = !any || v < min ? v : min;                                              \
            max = !any || v > max ? v : max;                                              \
            any = true;                                                                   \
        }                                                                                 \
        memcpy(scratch, &min, sizeof min);                                                \
        memcpy(scratch + HR_PARQUET_FIXED_MAX, &max, sizeof max);                         \
        *min_out = (hr_str){scratch, sizeof min};                                         \
        *max_out = (hr_str){scratch + HR_PARQUET_FIXED_MAX, sizeof max};                  \
        return any;                                                                       \
    }
#define FROM_MEMORY memcpy(&v, fixed_of(of->chunk, value_at(of, i)), sizeof v)
MIN_MAX(min_max_i32, int32_t, FROM_MEMORY, false)
MIN_MAX(min_max_i64, int64_t, FROM_MEMORY, false)
MIN_MAX(min_max_i128, __int128, FROM_MEMORY, false)
MIN_MAX(min_max_double, double, FROM_MEMORY, isnan(v))
MIN_MAX(min_max_bool, uint8_t,
        v = hr__arrow_bit(of->chunk->values, of->chunk->offset + (int64_t)row_of(of->chunk, value_at(of, i))), false)

bool hr__parquet_min_max(const hr_parquet_chunk *chunk, const hr_parquet_dictionary *d,
                         char scratch[2 * HR_PARQUET_FIXED_MAX], hr_str *min_out, hr_str *max_out) {
    values of = {chunk, d, d == NULL ? chunk->n_values : d->n_entries};
    if (of.n == 0) {
        return false;
    }
    switch (chunk->kind) {
    case HR_PARQUET_BYTES:
        return min_max_bytes(&of, min_out, max_out);
    case HR_PARQUET_BOOL:
        return min_max_bool(&of, scratch, min_out, max_out);
    case HR_PARQUET_INT32:
        return min_max_i32(&of, scratch, min_out, max_out);
    case HR_PARQUET_INT64:
        return min_max_i64(&of, scratch, min_out, max_out);
    case HR_PARQUET_DECIMAL: {
        bool any = min_max_i128(&of, scratch, min_out, max_out), fits = true;
        hr_str *told[] = {min_out, max_out};
        for (size_t i = 0; i < 2; i++) {
            char little[16];
            char *to = scratch + i * HR_PARQUET_FIXED_MAX;
            memcpy(little, to, sizeof little);
            fits = put_decimal(little, chunk->decimal_bytes, to) && fits;
            told[i]->size_bytes = chunk->decimal_bytes;
        }
        return any && fits;
    }
    default: { /* DOUBLE: both zeros are within what is told */
        bool any = min_max_double(&of, scratch, min_out, max_out);
        double min, max;
        memcpy(&min, scratch, sizeof min);
        memcpy(&max, scratch + HR_PARQUET_FIXED_MAX, sizeof max);
        min = min == 0 ? -0.0 : min;
        max = max == 0 ? 0.0 : max;
        memcpy(scratch, &min, sizeof min);
        memcpy(scratch + HR_PARQUET_FIXED_MAX, &max, sizeof max);
        return any;
    }
    }
}
