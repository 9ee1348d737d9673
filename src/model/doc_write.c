/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of a document as JSON text, as orjson writes them.
 *
 * The tape is in the order of the text, so most of it is written in one walk. An object whose members are not written
 * as they stand (sorted, some left out, a key twice) gets a list of them, on a stack; no recursion.
 */
#include "doc_write.h"

#include "number.h"

#include <math.h>

#define COLD __attribute__((cold, noinline))

/* A member of an object that is written from a list. */
typedef struct member {
    uint64_t prefix;     /* the key's first eight bytes as a number, so that most comparisons are one */
    uint32_t key, value; /* tokens */
} member;

#define IN_TAPE_ORDER UINT32_MAX

/* A container that is being written. */
typedef struct frame {
    uint32_t tok;
    uint32_t left; /* elements or members not begun */
    uint32_t next; /* the next in writer.members, or IN_TAPE_ORDER */
    uint32_t base; /* n_members before it */
} frame;

/* Guessed: records of an API have a depth of 3 and 25 members; more come from the allocator. */
enum { SMALL_FRAMES = 16, SMALL_MEMBERS = 96 };

typedef struct writer {
    const hr_doc *doc;
    uint32_t flags;
    const size_t *elide;
    size_t n_elide;
    hr_buf *out;
    hr_error *err;
    char *to, *end; /* free space of out; NULL at first */
    frame *frames;
    size_t n_frames, cap_frames;
    member *members;
    size_t n_members, cap_members;
    frame small_frames[SMALL_FRAMES];
    member small_members[SMALL_MEMBERS];
} writer;

/* ---------------------------------------------------------------------------------------------------- text */

static COLD int no_room(writer *w, size_t n_bytes) {
    if (w->to != NULL) {
        w->out->size_bytes = (size_t)(w->to - w->out->data);
    }
    int rc = hr__buf_reserve(w->out, n_bytes);
    if (rc != HR_OK) {
        return hr__error_set(w->err, (hr_code)rc, HR_STAGE_NORMALIZE, "%s", hr_code_text((hr_code)rc));
    }
    assert(w->out->data != NULL);
    w->to = w->out->data + w->out->size_bytes;
    w->end = w->out->data + w->out->cap_bytes;
    return HR_OK;
}

/* Room for n_bytes at w->to. */
static inline int room(writer *w, size_t n_bytes) {
    return HR_LIKELY((size_t)(w->end - w->to) >= n_bytes) ? HR_OK : no_room(w, n_bytes);
}

static inline void put(writer *w, const char *text, size_t size_bytes) {
    assert(w->to != NULL);
    memcpy(w->to, text, size_bytes);
    w->to += size_bytes;
}

#define EACH_BYTE(c) (0x0101010101010101u * (uint64_t)(c))

/* Of eight bytes, the first the lowest: the top bit of the first that JSON must escape is set, and no bit below it. */
static inline uint64_t must_escape(uint64_t eight) {
    uint64_t quote = eight ^ EACH_BYTE('"'), backslash = eight ^ EACH_BYTE('\\');
    uint64_t found = ((quote - EACH_BYTE(1)) & ~quote) | ((backslash - EACH_BYTE(1)) & ~backslash) |
                     ((eight - EACH_BYTE(0x20)) & ~eight);
    return found & EACH_BYTE(0x80);
}

static inline uint64_t little_endian(uint64_t eight) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(eight);
#else
    return eight;
#endif
}

/* The first n bytes (at most eight) of text, the first the lowest, and zeros. */
static inline uint64_t load_bytes(const char *text, size_t n) {
    uint64_t eight = 0;
    if (HR_LIKELY(n >= 8)) {
        memcpy(&eight, text, 8);
        return little_endian(eight);
    }
    if (n >= 4) { /* two that overlap */
        uint64_t first = 0, last = 0;
        memcpy(&first, text, 4);
        memcpy(&last, text + n - 4, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        first = __builtin_bswap64(first);
        last = __builtin_bswap64(last);
#endif
        return first | last << (8 * (n - 4));
    }
    for (size_t i = 0; i < n; i++) {
        eight |= (uint64_t)(unsigned char)text[i] << (8 * i);
    }
    return eight;
}

static void put_hex4(writer *w, unsigned code) {
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', hex[code >> 12 & 15], hex[code >> 8 & 15], hex[code >> 4 & 15], hex[code & 15]};
    put(w, text, sizeof text);
}

static void put_escape(writer *w, unsigned char c) {
    static const char letters[32] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char letter = c < 0x20 ? letters[c] : (char)c;
    if (letter == 0) {
        put_hex4(w, c);
        return;
    }
    put(w, (char[2]){'\\', letter}, 2);
}

/* Text without lone surrogates. */
static inline int put_string(writer *w, const char *text, size_t size_bytes) {
    HR_TRY(room(w, size_bytes + 16)); /* eight are written where fewer are needed */
    *w->to++ = '"';
    while (size_bytes != 0) {
        size_t n = size_bytes < 8 ? size_bytes : 8;
        uint64_t eight = load_bytes(text, n), found = must_escape(eight);
        eight = little_endian(eight);
        memcpy(w->to, &eight, 8);
        size_t plain = found == 0 ? 8 : (size_t)__builtin_ctzll(found) / 8;
        if (HR_LIKELY(plain >= n)) { /* the zeros behind the end look like control characters */
            w->to += n;
            text += n;
            size_bytes -= n;
            continue;
        }
        w->to += plain;
        put_escape(w, (unsigned char)text[plain]);
        text += plain + 1;
        size_bytes -= plain + 1;
        HR_TRY(room(w, size_bytes + 16));
    }
    *w->to++ = '"';
    return HR_OK;
}

/* Whether text at i is a surrogate in its three bytes, which well-formed UTF-8 has not. */
static inline bool is_surrogate(const char *text, size_t size_bytes, size_t i) {
    return (unsigned char)text[i] == 0xED && i + 2 < size_bytes && (unsigned char)text[i + 1] >= 0xA0;
}

static COLD int put_string_with_surrogates(writer *w, const char *text, size_t size_bytes) {
    if ((w->flags & HR_WRITE_LENIENT) == 0) {
        return hr__error_set(w->err, HR_ENCODING, HR_STAGE_NORMALIZE,
                             "a string holds a lone surrogate, which is not text");
    }
    HR_TRY(room(w, 1));
    *w->to++ = '"';
    for (size_t i = 0; i < size_bytes; i++) {
        HR_TRY(room(w, 8));
        unsigned char c = (unsigned char)text[i];
        if (is_surrogate(text, size_bytes, i)) {
            put_hex4(w, 0xD000u | (unsigned)(text[i + 1] & 63) << 6 | (unsigned)(text[i + 2] & 63));
            i += 2;
        } else if (c < 0x20 || c == '"' || c == '\\') {
            put_escape(w, c);
        } else {
            *w->to++ = (char)c;
        }
    }
    HR_TRY(room(w, 1));
    *w->to++ = '"';
    return HR_OK;
}

static inline int put_string_token(writer *w, const hr_tok *tok) {
    return HR_LIKELY((tok->flags & HR_TOK_SURROGATE) == 0) ? put_string(w, tok->as.str, tok->len)
                                                           : put_string_with_surrogates(w, tok->as.str, tok->len);
}

/* ---------------------------------------------------------------------------------------------------- members */

/* More room in an array that starts out as a small one inside the writer. */
static COLD int grow(writer *w, void **array, size_t *cap, const void *small, size_t n_needed, size_t elem_bytes) {
    bool is_small = *array == small;
    void *heap = is_small ? NULL : *array;
    size_t heap_cap = is_small ? 0 : *cap;
    if (hr__grow(w->out->alloc, &heap, &heap_cap, n_needed, elem_bytes) != HR_OK) {
        return hr__error_memory(w->err, HR_STAGE_NORMALIZE);
    }
    if (is_small) {
        memcpy(heap, small, *cap * elem_bytes);
    }
    *array = heap;
    *cap = heap_cap;
    return HR_OK;
}

static int compare_keys(const hr_doc *doc, const member *a, const member *b) {
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix ? -1 : 1;
    }
    const hr_tok *key_a = &doc->toks[a->key], *key_b = &doc->toks[b->key];
    size_t n = key_a->len < key_b->len ? key_a->len : key_b->len;
    int order = n == 0 ? 0 : memcmp(key_a->as.str, key_b->as.str, n);
    return order != 0 ? order : (key_a->len > key_b->len) - (key_a->len < key_b->len);
}

typedef int compare_fn(const hr_doc *doc, const member *a, const member *b);

static int compare_places(const hr_doc *doc, const member *a, const member *b) {
    (void)doc;
    return (a->key > b->key) - (a->key < b->key);
}

/* Stable sort of m[0..n); scratch has room for n. Runs of eight by insertion, then merged by twos. */
static inline void sort_members(const hr_doc *doc, member *m, size_t n, compare_fn *compare, member *scratch) {
    const size_t run = 8;
    for (size_t start = 0; start < n; start += run) {
        size_t end = n - start < run ? n : start + run;
        for (size_t i = start + 1; i < end; i++) {
            member moved = m[i];
            size_t k = i;
            for (; k > start && compare(doc, &m[k - 1], &moved) > 0; k--) {
                m[k] = m[k - 1];
            }
            m[k] = moved;
        }
    }
    for (size_t width = run; width < n; width *= 2) {
        for (size_t start = 0; start < n && n - start > width; start += 2 * width) {
            size_t end = n - start < 2 * width ? n : start + 2 * width;
            memcpy(scratch, m + start, width * sizeof *m);
            size_t i = 0, j = start + width, k = start;
            while (i < width) {
                m[k++] = j < end && compare(doc, &m[j], &scratch[i]) < 0 ? m[j++] : scratch[i++];
            }
        }
    }
}

/* Whether two members may have the same key: never wrong when it says no. */
static bool may_repeat_key(const hr_doc *doc, size_t object) {
    uint64_t seen[16] = {0};
    uint32_t n = doc->toks[object].len;
    if (n > 64) { /* would say yes anyway */
        return true;
    }
    size_t at = object + 1;
    for (uint32_t i = 0; i < n; i++) {
        const hr_tok *key = &doc->toks[at];
        size_t head = key->len < 8 ? key->len : 8;
        uint64_t hash = key->len;
        if (head != 0) {
            hash += load_bytes(key->as.str, head) + 3 * load_bytes(key->as.str + key->len - head, head);
        }
        hash = hash * 0x9E3779B97F4A7C15u >> 54;
        if (seen[hash / 64] >> (hash % 64) & 1) {
            return true;
        }
        seen[hash / 64] |= (uint64_t)1 << (hash % 64);
        at = hr__doc_next(doc, at + 1);
    }
    return false;
}

/* Lists the members of the object in the order they are written, a key once, at f->next. */
static int list_members(writer *w, frame *f, bool skip_dlt) {
    const hr_doc *doc = w->doc;
    size_t n = 0, most = doc->toks[f->tok].len;
    if (HR_UNLIKELY(w->n_members + 2 * most > w->cap_members)) {
        HR_TRY(grow(w, (void **)&w->members, &w->cap_members, w->small_members, w->n_members + 2 * most,
                    sizeof *w->members));
    }
    member *m = w->members + w->n_members;
    uint32_t at = f->tok + 1;
    for (size_t i = 0; i < most; i++) {
        const hr_tok *key = &doc->toks[at];
        if (!skip_dlt || key->len < 4 || memcmp(key->as.str, "_dlt", 4) != 0) {
            uint64_t prefix = __builtin_bswap64(load_bytes(key->as.str, key->len < 8 ? key->len : 8));
            m[n++] = (member){prefix, at, at + 1};
        }
        at = (uint32_t)hr__doc_next(doc, at + 1);
    }
    sort_members(doc, m, n, compare_keys, m + n);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept != 0 && compare_keys(doc, &m[kept - 1], &m[i]) == 0) {
            m[kept - 1].value = m[i].value;
        } else {
            m[kept++] = m[i];
        }
    }
    if ((w->flags & HR_WRITE_SORT_KEYS) == 0) {
        sort_members(doc, m, kept, compare_places, m + n);
    }
    f->next = (uint32_t)w->n_members;
    f->left = (uint32_t)kept;
    w->n_members += kept;
    return HR_OK;
}

/* ---------------------------------------------------------------------------------------------------- values */

static bool is_elided(const writer *w, size_t at) {
    if (w->flags & HR_WRITE_EMPTY_ARRAYS) {
        return true;
    }
    size_t low = 0, high = w->n_elide;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->elide[middle] == at) {
            return true;
        }
        if (w->elide[middle] < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static int put_big_integer(writer *w, const hr_tok *tok) {
    if ((w->flags & HR_WRITE_LENIENT) == 0) {
        return hr__error_set(w->err, HR_RANGE, HR_STAGE_NORMALIZE, "an integer of %u digits exceeds 64 bits",
                             tok->len - (tok->as.str[0] == '-'));
    }
    HR_TRY(room(w, tok->len));
    put(w, tok->as.str, tok->len);
    return HR_OK;
}

static void put_double(writer *w, double value) {
    if (isinf(value) && (w->flags & HR_WRITE_LENIENT) != 0) {
        put(w, value < 0 ? "-1e999" : "1e999", value < 0 ? 6 : 5);
        return;
    }
    w->to += hr__double_repr_orjson(value, w->to);
}

/* A value that is no string and no container. */
static int put_scalar(writer *w, const hr_tok *tok) {
    HR_TRY(room(w, 40));
    switch (tok->type) {
    case HR_TOK_NULL:
        put(w, "null", 4);
        return HR_OK;
    case HR_TOK_FALSE:
        put(w, "false", 5);
        return HR_OK;
    case HR_TOK_TRUE:
        put(w, "true", 4);
        return HR_OK;
    case HR_TOK_INT:
        w->to += hr__int_repr(tok->as.i, w->to);
        return HR_OK;
    case HR_TOK_UINT:
        w->to += hr__uint_repr(tok->as.u, w->to);
        return HR_OK;
    case HR_TOK_BIGINT:
        return put_big_integer(w, tok);
    default:
        put_double(w, tok->as.d);
        return HR_OK;
    }
}

/* A frame for the container at `at`, which is not empty, and its bracket. */
static int open_container(writer *w, size_t at) {
    if (HR_UNLIKELY(w->n_frames == w->cap_frames)) {
        HR_TRY(grow(w, (void **)&w->frames, &w->cap_frames, w->small_frames, w->n_frames + 1, sizeof *w->frames));
    }
    const hr_tok *tok = &w->doc->toks[at];
    frame *f = &w->frames[w->n_frames];
    *f = (frame){.tok = (uint32_t)at, .left = tok->len, .next = IN_TAPE_ORDER, .base = (uint32_t)w->n_members};
    if (tok->type == HR_TOK_OBJECT) {
        bool skip_dlt = w->n_frames == 0 && (w->flags & HR_WRITE_SKIP_DLT) != 0;
        if (skip_dlt || (w->flags & HR_WRITE_SORT_KEYS) != 0 || may_repeat_key(w->doc, at)) {
            HR_TRY(list_members(w, f, skip_dlt));
        }
    }
    w->n_frames++;
    assert(w->to != NULL); /* the caller made room for the bracket */
    *w->to++ = tok->type == HR_TOK_ARRAY ? '[' : '{';
    return HR_OK;
}

/* What follows a value or an open bracket: ends the containers that are complete, else writes the comma and the key of
 * the next value. *at is the token behind what was written, then that of the next value. */
static inline int put_separators(writer *w, size_t *at, bool first) {
    const hr_tok *toks = w->doc->toks;
    while (w->n_frames != 0) {
        HR_TRY(room(w, 2));
        frame *f = &w->frames[w->n_frames - 1];
        bool array = toks[f->tok].type == HR_TOK_ARRAY;
        if (f->left == 0) {
            *w->to++ = array ? ']' : '}';
            *at = toks[f->tok].as.at.next;
            w->n_members = f->base;
            w->n_frames--;
            first = false;
            continue;
        }
        f->left--;
        if (!first) {
            *w->to++ = ',';
        }
        if (!array) {
            size_t key = f->next == IN_TAPE_ORDER ? *at : w->members[f->next].key;
            *at = f->next == IN_TAPE_ORDER ? key + 1 : w->members[f->next++].value;
            HR_TRY(put_string_token(w, &toks[key]));
            HR_TRY(room(w, 1));
            *w->to++ = ':';
        }
        return HR_OK;
    }
    return HR_OK;
}

static int put_value(writer *w, size_t at) {
    do {
        const hr_tok *tok = &w->doc->toks[at];
        bool opened = false;
        if (tok->type == HR_TOK_STRING) {
            HR_TRY(put_string_token(w, tok));
            at++;
        } else if (tok->type < HR_TOK_ARRAY) {
            HR_TRY(put_scalar(w, tok));
            at++;
        } else {
            HR_TRY(room(w, 2));
            if (tok->len == 0 || (tok->type == HR_TOK_ARRAY && is_elided(w, at))) {
                put(w, tok->type == HR_TOK_ARRAY ? "[]" : "{}", 2);
                at = tok->as.at.next;
            } else {
                HR_TRY(open_container(w, at));
                opened = true;
                at++;
            }
        }
        HR_TRY(put_separators(w, &at, opened));
    } while (w->n_frames != 0);
    return HR_OK;
}

/* Ends the text; on failure none of it stays. */
static int finish(writer *w, size_t size_before, int rc) {
    w->out->size_bytes = rc == HR_OK ? (size_t)(w->to - w->out->data) : size_before;
    return rc;
}

int hr__doc_write_string(hr_str text, uint32_t flags, hr_buf *out, hr_error *err) {
    writer w; /* what is for containers is not initialised */
    w.flags = flags;
    w.out = out;
    w.err = err;
    w.to = w.end = NULL;
    size_t size_before = out->size_bytes;
    bool surrogates = false;
    for (size_t i = 0; i < text.size_bytes && !surrogates; i++) {
        surrogates = is_surrogate(text.data, text.size_bytes, i);
    }
    return finish(&w, size_before,
                  surrogates ? put_string_with_surrogates(&w, text.data, text.size_bytes)
                             : put_string(&w, text.data, text.size_bytes));
}

int hr__doc_write(const hr_doc *doc, size_t at, uint32_t flags, const size_t *elide, size_t n_elide, hr_buf *out,
                  hr_error *err) {
    writer w; /* the small arrays are not initialised */
    w.doc = doc;
    w.flags = flags;
    w.elide = elide;
    w.n_elide = n_elide;
    w.out = out;
    w.err = err;
    w.to = w.end = NULL;
    w.frames = w.small_frames;
    w.members = w.small_members;
    w.n_frames = w.n_members = 0;
    w.cap_frames = SMALL_FRAMES;
    w.cap_members = SMALL_MEMBERS;
    size_t size_before = out->size_bytes;
    int rc = finish(&w, size_before, put_value(&w, at));
    if (w.frames != w.small_frames) {
        hr__free(out->alloc, w.frames);
    }
    if (w.members != w.small_members) {
        hr__free(out->alloc, w.members);
    }
    return rc;
}
