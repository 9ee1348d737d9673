/* SPDX-License-Identifier: Apache-2.0
 *
 * snake_case names (dlt 1.31: common/normalizers/naming/snake_case.py, naming.py), rules 10-17 of dlt-semantics. Names
 * are made once a key and remembered by the caller, so this is written to be plainly right: a character is a code
 * point.
 */
#define _GNU_SOURCE /* memmem */
#include "naming.h"

#include "hash.h"
#include "unicode_text.h"

/* Decodes into out, which has room for text.size_bytes. */
static size_t decode(hr_str text, uint32_t *out) {
    size_t n = 0;
    for (size_t at = 0; at < text.size_bytes;) {
        out[n++] = hr__utf8_next(text, &at);
    }
    return n;
}

static size_t encode(const uint32_t *points, size_t n, char *out) {
    char *at = out;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = points[i];
        if (c < 0x80) {
            *at++ = (char)c;
        } else if (c < 0x800) {
            *at++ = (char)(0xC0 | c >> 6);
            *at++ = (char)(0x80 | (c & 63));
        } else if (c < 0x10000) {
            *at++ = (char)(0xE0 | c >> 12);
            *at++ = (char)(0x80 | (c >> 6 & 63));
            *at++ = (char)(0x80 | (c & 63));
        } else {
            *at++ = (char)(0xF0 | c >> 18);
            *at++ = (char)(0x80 | (c >> 12 & 63));
            *at++ = (char)(0x80 | (c >> 6 & 63));
            *at++ = (char)(0x80 | (c & 63));
        }
    }
    return (size_t)(at - out);
}

static bool is_upper(uint32_t c) {
    return c >= 'A' && c <= 'Z';
}
static bool is_lower(uint32_t c) {
    return c >= 'a' && c <= 'z';
}
static bool is_ascii_digit(uint32_t c) {
    return c >= '0' && c <= '9';
}

bool hr__name_is_blank(hr_str text) {
    for (size_t at = 0; at < text.size_bytes;) {
        if (!hr__is_space(hr__utf8_next(text, &at))) {
            return false;
        }
    }
    return true;
}

/* Rule 13. name and source are UTF-8; the result is in the arena. */
static int shorten(hr_arena *arena, hr_str name, hr_str source, size_t max_length, hr_str *out) {
    *out = name;
    if (max_length == 0 || name.size_bytes <= max_length) {
        return HR_OK; /* no more bytes than allowed code points */
    }
    uint32_t *points = hr__arena_alloc(arena, name.size_bytes * sizeof *points);
    if (points == NULL) {
        return HR_MEMORY;
    }
    size_t n = decode(name, points);
    if (n <= max_length) {
        return HR_OK;
    }
    uint8_t digest[4];
    char tag[6];
    hr__shake128(source.data, source.size_bytes, digest, sizeof digest);
    hr__base64(digest, sizeof digest, tag);
    for (size_t i = 0; i < sizeof tag; i++) {
        tag[i] = tag[i] == '/'                     ? 'a'
                 : tag[i] == '+'                   ? 'b'
                 : is_upper((unsigned char)tag[i]) ? (char)(tag[i] | 0x20)
                                                   : tag[i];
    }
    size_t rest = max_length > sizeof tag ? max_length - sizeof tag : 0;
    size_t head = rest / 2 + rest % 2, tail = rest / 2;
    char *text = hr__arena_alloc(arena, (head + tail) * 4 + sizeof tag + 1);
    if (text == NULL) {
        return HR_MEMORY;
    }
    size_t size = encode(points, head, text);
    memcpy(text + size, tag, sizeof tag);
    size += sizeof tag;
    size += encode(points + n - tail, tail, text + size);
    *out = (hr_str){text, size};
    return HR_OK;
}

/* Rule 12 d: a capital that starts a word ([A-Z][a-z]+) behind anything but '_': ([^_])([A-Z][a-z]+) -> \1_\2.
 * Matches do not overlap: the next search starts behind the word. */
static size_t split_words(const uint32_t *in, size_t n, uint32_t *out) {
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        if (i + 2 < n && in[i] != '_' && is_upper(in[i + 1]) && is_lower(in[i + 2])) {
            out[k++] = in[i];
            out[k++] = '_';
            out[k++] = in[i + 1];
            i += 2;
            while (i < n && is_lower(in[i])) {
                out[k++] = in[i++];
            }
        } else {
            out[k++] = in[i++];
        }
    }
    return k;
}

/* Rule 12 e: ([a-z0-9])([A-Z]) -> \1_\2, then lower case. */
static size_t split_capitals(const uint32_t *in, size_t n, uint32_t *out) {
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        if (i + 1 < n && (is_lower(in[i]) || is_ascii_digit(in[i])) && is_upper(in[i + 1])) {
            out[k++] = in[i];
            out[k++] = '_';
            out[k++] = in[i + 1];
            i += 2;
        } else {
            out[k++] = in[i++];
        }
    }
    for (size_t i = 0; i < k; i++) {
        out[i] = is_upper(out[i]) ? out[i] | 0x20 : out[i];
    }
    return k;
}

/* Rule 12: one part. */
static int identifier(hr_arena *arena, hr_str text, size_t max_length, hr_str *out) {
    hr_str source = hr__strip(text); /* a */
    /* No character becomes longer; d, e and f add a '_' before at most every character and one in front. */
    size_t room = source.size_bytes * 2 + 1;
    uint32_t *a = hr__arena_alloc(arena, room * sizeof *a);
    uint32_t *b = hr__arena_alloc(arena, room * sizeof *b);
    char *name = hr__arena_alloc(arena, room);
    if (a == NULL || b == NULL || name == NULL) {
        return HR_MEMORY;
    }
    size_t n = decode(source, a);
    /* b, c */
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = a[i];
        c = c == '+' || c == '*' ? 'x' : c == '-' ? '_' : c == '@' ? 'a' : c == '|' ? 'l' : c;
        if (is_upper(c) || is_lower(c) || c == '_' || hr__decimal_digit(c) >= 0) {
            b[k++] = c;
        } else if (k == 0 || b[k - 1] != 0) {
            b[k++] = 0; /* one '_' a run of others */
        }
    }
    for (size_t i = 0; i < k; i++) {
        b[i] = b[i] == 0 ? '_' : b[i];
    }
    n = split_words(b, k, a);
    n = split_capitals(a, n, b);
    /* f */
    k = 0;
    if (n > 0 && hr__decimal_digit(b[0]) >= 0) {
        a[k++] = '_';
    }
    memcpy(a + k, b, n * sizeof *b);
    n += k;
    /* g */
    for (size_t i = n; i > 0 && a[i - 1] == '_'; i--) {
        a[i - 1] = 'x';
    }
    /* h */
    k = 0;
    for (size_t i = 0; i < n; i++) {
        if (a[i] != '_' || k == 0 || b[k - 1] != '_') {
            b[k++] = a[i];
        }
    }
    return shorten(arena, (hr_str){name, encode(b, k, name)}, source, max_length, out);
}

int hr__name_path(hr_arena *arena, hr_str path, size_t max_length, hr_str *name_out) {
    char *joined = NULL;
    size_t size = 0, cap = 0;
    hr_str rest = path;
    for (bool last = false; !last;) {
        const char *split = rest.size_bytes >= 2 ? memmem(rest.data, rest.size_bytes, "__", 2) : NULL;
        last = split == NULL;
        hr_str part = {rest.data, last ? rest.size_bytes : (size_t)(split - rest.data)};
        if (!last) {
            rest = (hr_str){split + 2, rest.size_bytes - part.size_bytes - 2};
        }
        if (hr__name_is_blank(part)) {
            continue;
        }
        hr_str name;
        HR_TRY(identifier(arena, part, max_length, &name));
        if (size + name.size_bytes + 2 > cap) {
            cap = (size + name.size_bytes + 2) * 2;
            char *grown = hr__arena_alloc(arena, cap);
            if (grown == NULL) {
                return HR_MEMORY;
            }
            if (size != 0) {
                memcpy(grown, joined, size);
            }
            joined = grown;
        }
        assert(joined != NULL);
        if (size != 0) {
            memcpy(joined + size, "__", 2);
            size += 2;
        }
        memcpy(joined + size, name.data, name.size_bytes);
        size += name.size_bytes;
    }
    return shorten(arena, (hr_str){joined == NULL ? "" : joined, size}, path, max_length, name_out);
}

int hr__name_column(hr_arena *arena, hr_str key, size_t max_length, hr_str *name_out) {
    if (hr__name_is_blank(key)) {
        *name_out = hr__str("_empty");
        return HR_OK;
    }
    return hr__name_path(arena, key, max_length, name_out);
}

int hr__name_join(hr_arena *arena, const hr_str *parts, size_t n_parts, size_t max_length, hr_str *name_out) {
    size_t size = 0;
    for (size_t i = 0; i < n_parts; i++) {
        size += parts[i].size_bytes + 2;
    }
    char *joined = hr__arena_alloc(arena, size + 1);
    if (joined == NULL) {
        return HR_MEMORY;
    }
    size = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (hr__name_is_blank(parts[i])) {
            continue;
        }
        if (size != 0) {
            memcpy(joined + size, "__", 2);
            size += 2;
        }
        memcpy(joined + size, parts[i].data, parts[i].size_bytes);
        size += parts[i].size_bytes;
    }
    hr_str name = {joined, size};
    return shorten(arena, name, name, max_length, name_out);
}
