/* SPDX-License-Identifier: Apache-2.0
 *
 * headrace: the public header. What every part of the engine shares with its callers: the error, the string view, the
 * allocator and Arrow's C structs. Everything here compiles alone as C17 and C++17.
 *
 * Conventions: a function that can fail returns an hr_code (0 is HR_OK), takes its object first, then inputs, then
 * outputs (written only on success), then `hr_error *err` (may be NULL; filled only on failure).
 */
#ifndef HEADRACE_H
#define HEADRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HR_API __attribute__((visibility("default")))
#define HR_MUST_CHECK __attribute__((warn_unused_result))
#define HR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define HR_API
#define HR_MUST_CHECK
#define HR_PRINTF(fmt, args)
#endif

/* ------------------------------------------------------------------------------------------------- errors */

/* X(name, text): one line an error code, so that code and text cannot drift. */
#define HR_CODE_MAP(X)                                      \
    X(OK, "ok")                                             \
    X(MEMORY, "out of memory")                              \
    X(LIMIT, "limit exceeded")                              \
    X(SYNTAX, "malformed input")                            \
    X(ENCODING, "malformed text encoding")                  \
    X(HTTP_STATUS, "HTTP error status")                     \
    X(NETWORK, "network failure")                           \
    X(TIMEOUT, "timed out")                                 \
    X(TLS, "TLS failure")                                   \
    X(REDIRECT, "redirect refused")                         \
    X(NULL_VALUE, "null in a column that must not be null") \
    X(COERCE, "value does not fit its column")              \
    X(RANGE, "number out of range")                         \
    X(UNSUPPORTED, "not supported natively")                \
    X(SCHEMA, "the schema lacks a table or a column")       \
    X(ARGUMENT, "bad argument")                             \
    X(CANCELLED, "cancelled")                               \
    X(INTERNAL, "internal error")                           \
    X(IO, "a file could not be read")

typedef enum hr_code {
#define HR_X(name, text) HR_##name,
    HR_CODE_MAP(HR_X)
#undef HR_X
} hr_code;

/* The stages a datum passes, in order; the words of docs, traces and errors. */
#define HR_STAGE_MAP(X)       \
    X(UNSET, "")              \
    X(FETCH, "fetch")         \
    X(DECODE, "decode")       \
    X(NORMALIZE, "normalize") \
    X(EMIT, "emit")           \
    X(RUN, "run")

typedef enum hr_stage {
#define HR_X(name, text) HR_STAGE_##name,
    HR_STAGE_MAP(HR_X)
#undef HR_X
} hr_stage;

/* What went wrong and where. Allocates nothing. */
typedef struct hr_error {
    hr_code code;
    hr_stage stage;
    bool retriable;
    int sys_code;               /* errno or CURLcode; 0 unknown */
    int http_status;            /* 0 unknown */
    int64_t offset_bytes;       /* into the decoded body; -1 unknown */
    int64_t record;             /* index in its page; -1 unknown */
    char table[96], column[96]; /* normalize: where in the schema; empty: unknown; long names are cut */
    char message[512];          /* what was expected, what was found; no secrets */
} hr_error;

HR_API const char *hr_code_text(hr_code code);
HR_API const char *hr_stage_text(hr_stage stage);

/* ------------------------------------------------------------------------------------------------- strings */

/* A view of UTF-8 bytes; does not own, not zero-terminated. data may be NULL when size_bytes is 0. */
typedef struct hr_str {
    const char *data;
    size_t size_bytes;
} hr_str;

/* ------------------------------------------------------------------------------------------------- memory */

/* All memory of the engine comes through one of these. realloc_fn gets the old size; NULL means no memory. */
typedef struct hr_allocator {
    void *(*malloc_fn)(void *ctx, size_t size_bytes);
    void *(*realloc_fn)(void *ctx, void *ptr, size_t old_size_bytes, size_t size_bytes);
    void (*free_fn)(void *ctx, void *ptr);
    void *ctx;
} hr_allocator;

/* ------------------------------------------------------------------------------------------------- Arrow */

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
/* https://arrow.apache.org/docs/format/CDataInterface.html */
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif

#ifdef __cplusplus
}
#endif
#endif
