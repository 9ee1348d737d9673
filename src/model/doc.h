/* SPDX-License-Identifier: Apache-2.0
 *
 * A decoded document: what decode gives and normalize reads. A tape of 16-byte tokens in document order; an object is
 * followed by its members (a STRING token for the key, then the value), an array by its elements.
 *
 *   {"a":[1,"x"],"b":null}
 *   tok  0 OBJECT len=2 at.next=6   1 STRING "a"   2 ARRAY len=2 at.next=5   3 INT 1   4 STRING "x"   5 STRING "b"   6
 * NULL (at.next of the object is 7: the index after its last token; of the array 5)
 */
#ifndef HR_MODEL_DOC_H
#define HR_MODEL_DOC_H

#include "base.h"

typedef enum hr_tok_type {
    HR_TOK_UNSET,
    HR_TOK_NULL,
    HR_TOK_FALSE,
    HR_TOK_TRUE,
    HR_TOK_INT,    /* as.i; also -0, which is the integer 0 */
    HR_TOK_UINT,   /* as.u, greater than INT64_MAX */
    HR_TOK_BIGINT, /* an integer outside [-2^63, 2^64-1]: as.str and len are its text */
    HR_TOK_DOUBLE, /* as.d, correctly rounded; +-inf on overflow */
    HR_TOK_STRING, /* as.str and len: UTF-8 without escapes, not zero-terminated */
    HR_TOK_ARRAY,  /* len elements; as.at */
    HR_TOK_OBJECT, /* len members; as.at */
} hr_tok_type;

enum {
    HR_TOK_SURROGATE =
        1u << 0, /* STRING with a lone surrogate, kept as its 3-byte form (WTF-8): never leaves as text */
    HR_TOK_UNESCAPED = 1u << 1, /* STRING that had escapes: as.str points into the document's arena, not the body */
};

typedef struct hr_tok {
    uint8_t type; /* hr_tok_type */
    uint8_t flags;
    uint16_t reserved;
    uint32_t len; /* STRING, BIGINT: bytes; ARRAY: elements; OBJECT: members */
    union {
        int64_t i;
        uint64_t u;
        double d;
        const char *str; /* borrowed from the body or the arena, valid until the document is reset */
        struct {
            uint32_t next;   /* index of the token after this container */
            uint32_t offset; /* of the '[' or '{' in the body, bytes */
        } at;
    } as;
} hr_tok;

/* Bytes after the body that must be readable (the decoder loads whole vectors); their values do not matter. */
#define HR_BODY_PADDING 64

typedef struct hr_doc {
    const char *body; /* borrowed from the page, valid until it is freed */
    size_t body_size_bytes;
    hr_tok *toks; /* owned; n_toks of cap_toks */
    size_t n_toks, cap_toks;
    hr_arena arena; /* unescaped strings */
} hr_doc;

void hr__doc_init(hr_doc *doc, const hr_allocator *alloc);
void hr__doc_reset(hr_doc *doc); /* forgets the content, keeps memory for the next page */
void hr__doc_free(hr_doc *doc);

/* Index of the value after the value at index at. */
static inline size_t hr__doc_next(const hr_doc *doc, size_t at) {
    const hr_tok *tok = &doc->toks[at];
    return tok->type >= HR_TOK_ARRAY ? tok->as.at.next : at + 1;
}

/* Value of the last member of the object at `object` whose key is `key` (json.loads keeps the last); SIZE_MAX: none. */
size_t hr__doc_member(const hr_doc *doc, size_t object, hr_str key);

/* The members of an object as Python's dict has them: a key once, at its first place, with its last value. *members_out
 * is from alloc (the caller's to hr__free) and has room for 2 n. HR_OK or HR_MEMORY. */
typedef struct hr_member {
    hr_str key;
    size_t value; /* token */
} hr_member;
HR_MUST_CHECK int hr__doc_members(const hr_doc *doc, size_t object, const hr_allocator *alloc, hr_member **members_out,
                                  size_t *n_out);
/* Sorts members (of hr__doc_members: room for 2 n) by the bytes of their keys. */
void hr__doc_members_sort(hr_member *members, size_t n);

/* ---- a path into a document: the part of jsonpath_ng's language that is used in practice. */
typedef enum hr_step_kind {
    HR_STEP_UNSET,
    HR_STEP_KEY,   /* object member */
    HR_STEP_INDEX, /* array element; negative from the end */
    HR_STEP_EACH,  /* [*]: every element of an array (a scalar or object stands for a list of itself) */
} hr_step_kind;

typedef struct hr_step {
    hr_step_kind kind;
    hr_str key; /* borrowed */
    int64_t index;
} hr_step;

/* Appends the indices of all matches of steps[0..n_steps) from the value at `root` to *matches (libc-like growth
 * through alloc; the caller frees *matches). HR_OK or HR_MEMORY. */
HR_MUST_CHECK int hr__doc_select(const hr_doc *doc, size_t root, const hr_step *steps, size_t n_steps,
                                 const hr_allocator *alloc, size_t **matches, size_t *n_matches, size_t *cap_matches);

#endif
