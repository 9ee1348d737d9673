/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects on the path are looked into key by key, everything else is only counted through.
 */
#include "early.h"

void hr__early_init(hr_early *early, hr_str path) {
    *early = (hr_early){.path = path, .state = path.size_bytes == 0 ? HR_EARLY_NONE : HR_EARLY_MORE};
}

static size_t key_size(const hr_early *early) {
    return strlen(early->path.data);
}

static bool is_last_key(const hr_early *early) {
    return key_size(early) + 1 >= early->path.size_bytes;
}

static hr_early_state found(hr_early *early, size_t end) {
    early->value_at = early->start;
    early->value_size = end - early->start;
    return HR_EARLY_FOUND;
}

/* A string ends with the quote at `quote`. */
static hr_early_state string_ends(hr_early *early, const char *data, size_t quote) {
    early->in_string = false;
    if (early->is_here) {
        return is_last_key(early) ? found(early, quote + 1) : HR_EARLY_NONE;
    }
    if (early->depth == early->level && early->key_next) {
        const char *key = data + early->start + 1;
        size_t size = quote - early->start - 1;
        early->key_next = false;
        early->is_here = size == key_size(early) && memcmp(key, early->path.data, size) == 0;
    }
    return HR_EARLY_MORE;
}

static hr_early_state opens(hr_early *early, char c) {
    bool is_on_path = c == '{' && (early->is_here ? !is_last_key(early) : early->depth == 0);
    if ((early->is_here || early->depth == 0) && !is_on_path) {
        return HR_EARLY_NONE;
    }
    early->depth++;
    if (!is_on_path) {
        return HR_EARLY_MORE;
    }
    if (early->is_here) {
        size_t size = key_size(early) + 1;
        early->path = (hr_str){early->path.data + size, early->path.size_bytes - size};
    }
    early->level = early->depth;
    early->key_next = true;
    early->is_here = false;
    return HR_EARLY_MORE;
}

/* A byte outside of strings. */
static hr_early_state step(hr_early *early, const char *data, size_t at) {
    char c = data[at];
    switch (c) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
    case ':':
        return HR_EARLY_MORE;
    case '"':
        early->in_string = true;
        early->start = at;
        return HR_EARLY_MORE;
    case '{':
    case '[':
        return opens(early, c);
    case '}':
    case ']':
        return early->depth-- == early->level ? HR_EARLY_NONE : HR_EARLY_MORE;
    case ',':
        early->key_next = early->key_next || early->depth == early->level;
        return HR_EARLY_MORE;
    default:
        if (early->depth == 0 || (early->is_here && (!is_last_key(early) || c == 'n' || c == 'f'))) {
            return HR_EARLY_NONE;
        }
        early->in_scalar = early->is_here;
        early->start = at;
        return HR_EARLY_MORE;
    }
}

hr_early_state hr__early_scan(hr_early *early, const char *data, size_t size) {
    size_t end = size > HR_EARLY_BYTES ? HR_EARLY_BYTES : size;
    while (early->state == HR_EARLY_MORE && early->at < end) {
        size_t at = early->at++;
        char c = data[at];
        if (early->in_string) {
            if (c == '"' && !early->escaped) {
                early->state = string_ends(early, data, at);
            }
            early->escaped = c == '\\' && !early->escaped;
        } else if (early->in_scalar && strchr(",}] \t\n\r", c) != NULL) {
            early->state = c == '\0' ? HR_EARLY_NONE : found(early, at);
        } else if (!early->in_scalar) {
            early->state = step(early, data, at);
        }
    }
    if (early->state == HR_EARLY_MORE && early->at == HR_EARLY_BYTES) {
        early->state = HR_EARLY_NONE;
    }
    return early->state;
}
