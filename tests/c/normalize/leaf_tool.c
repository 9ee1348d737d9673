/* SPDX-License-Identifier: Apache-2.0
 *
 * The leaves of base and normalize by text, for tests/py/test_leaf_oracle.py: a command a line on stdin, an answer a
 * line on stdout. Bytes are hexadecimal, "-" stands for none.
 *
 *   column MAX KEY | path MAX PATH | join MAX PART...   -> bytes, or "error CODE"
 *   shake N BYTES | shake8 N BYTES (eight times)       -> digests
 *   double TEXT                                         -> its bits, Python's repr, orjson's
 *   iso TEXT                                            -> kind y mo d h mi s us offset|none micros|range
 *   infer JSON | coerce TYPE PRECISION SCALE JSON       -> type | "ok VALUE", "variant", "CODE message" (in hex)
 */
#include "hash.h"
#include "json.h"
#include "coerce.h"
#include "naming.h"
#include "number.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PARTS = 16 };

static void put_hex(const void *data, size_t size) {
    const unsigned char *from = data;
    if (size == 0) {
        putchar('-');
    }
    for (size_t i = 0; i < size; i++) {
        printf("%02x", from[i]);
    }
}

static int nibble(char c) {
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Decodes a word of hex in place; HR_BODY_PADDING bytes are readable behind it since the line's buffer is longer. */
static hr_str unhex(char *word) {
    if (strcmp(word, "-") == 0) {
        return (hr_str){"", 0};
    }
    size_t n = strlen(word) / 2;
    for (size_t i = 0; i < n; i++) {
        word[i] = (char)(nibble(word[2 * i]) << 4 | nibble(word[2 * i + 1]));
    }
    return (hr_str){word, n};
}

/* A copy that ends where its allocation ends, so that a sanitizer sees reads beyond it. */
static char *tight(hr_str text) {
    char *copy = malloc(text.size_bytes == 0 ? 1 : text.size_bytes);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, text.data, text.size_bytes);
    return copy;
}

static void names(hr_arena *arena, char **words, size_t n) {
    size_t max_length = (size_t)atol(words[1]);
    hr_str parts[MAX_PARTS] = {0}, out;
    for (size_t i = 2; i < n; i++) {
        hr_str part = unhex(words[i]);
        parts[i - 2] = (hr_str){tight(part), part.size_bytes};
    }
    int rc = words[0][0] == 'c'   ? hr__name_column(arena, parts[0], max_length, &out)
             : words[0][0] == 'p' ? hr__name_path(arena, parts[0], max_length, &out)
                                  : hr__name_join(arena, parts, n - 2, max_length, &out);
    if (rc == HR_OK) {
        put_hex(out.data, out.size_bytes);
    } else {
        printf("error %d", rc);
    }
    for (size_t i = 2; i < n; i++) {
        free((void *)parts[i - 2].data);
    }
}

static void shake(char **words, bool eight) {
    size_t size = (size_t)atol(words[1]);
    uint8_t out[8][1024];
    const void *data[8] = {0};
    void *to[8];
    size_t sizes[8] = {0};
    for (int i = 0; i < (eight ? 8 : 1); i++) {
        hr_str text = unhex(words[2 + i]);
        data[i] = tight(text);
        sizes[i] = text.size_bytes;
        to[i] = out[i];
    }
    if (eight) {
        hr__shake128_x8(data, sizes, to, size);
    } else {
        hr__shake128(data[0], sizes[0], out[0], size);
    }
    for (int i = 0; i < (eight ? 8 : 1); i++) {
        printf(i == 0 ? "" : " ");
        put_hex(out[i], size);
        free((void *)data[i]);
    }
}

static void number(hr_str text) {
    double value = hr__double_parse(text.data, text.size_bytes);
    uint64_t bits;
    char repr[32], orjson[32];
    memcpy(&bits, &value, sizeof bits);
    size_t n_repr = hr__double_repr_python(value, repr), n_orjson = hr__double_repr_orjson(value, orjson);
    printf("%016" PRIx64 " %.*s %.*s", bits, (int)n_repr, repr, (int)n_orjson, orjson);
}

static void iso(hr_str text) {
    static const char *const kinds[] = {"none", "dt", "date", "time"};
    char *copy = tight(text);
    hr_iso at;
    hr__iso_parse((hr_str){copy, text.size_bytes}, &at);
    bool is_timestamp = hr__iso_is_timestamp((hr_str){copy, text.size_bytes});
    free(copy);
    printf("%s", kinds[at.kind]);
    if (is_timestamp != (at.kind == HR_ISO_DATETIME)) {
        printf(" is_timestamp differs");
    }
    if (at.kind == HR_ISO_NONE) {
        return;
    }
    printf(" %d %d %d %d %d %d %d", at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond);
    if (at.has_offset) {
        printf(" %d", at.offset_seconds);
    } else {
        printf(" none");
    }
    int64_t micros;
    if (at.kind == HR_ISO_TIME) {
        return;
    }
    if (hr__iso_micros(&at, &micros) == HR_OK) {
        printf(" %" PRId64, micros);
    } else {
        printf(" range");
    }
}

static void put_cell(hr_type type, hr_cell cell, uint32_t size) {
    switch (type) {
    case HR_TYPE_TEXT:
    case HR_TYPE_JSON:
    case HR_TYPE_BINARY:
        put_hex(cell.str, size);
        break;
    case HR_TYPE_DECIMAL:
        put_hex(cell.str, 16);
        break;
    case HR_TYPE_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, &cell.d, sizeof bits);
        printf("%016" PRIx64, bits);
        break;
    }
    default:
        printf("%" PRId64, cell.i);
    }
}

static void value(hr_json_decoder *decoder, hr_doc *doc, hr_arena *arena, char **words, size_t n) {
    hr_error err = {0};
    hr_str json = unhex(words[n - 1]);
    if (hr__json_decode(decoder, json.data, json.size_bytes, doc, &err) != HR_OK) {
        printf("decode %s", err.message);
        return;
    }
    if (words[0][0] == 'i') {
        printf("%s", hr__type_name(hr__value_infer(&doc->toks[0])));
        return;
    }
    hr_type type = hr__type_of_name(hr__str(words[1]));
    hr_cell cell = {0};
    uint32_t size = 0;
    int rc = type == HR_TYPE_DECIMAL ? hr__coerce_decimal(doc, 0, atoi(words[2]), atoi(words[3]), arena, &cell, &err)
                                     : hr__coerce(doc, 0, type, arena, &cell, &size, &err);
    if (rc == HR_OK) {
        printf("ok ");
        put_cell(type, cell, size);
    } else if (rc == HR_COERCE) {
        printf("variant");
    } else {
        printf("%d ", rc);
        put_hex(err.message, strlen(err.message));
    }
}

int main(void) {
    hr_arena arena;
    hr_doc doc;
    hr_json_decoder *decoder;
    hr__arena_init(&arena, &hr__allocator_libc, 0);
    hr__doc_init(&doc, &hr__allocator_libc);
    if (hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc}, &decoder, NULL) != HR_OK) {
        return 1;
    }
    size_t cap = (size_t)1 << 20;
    char *line = malloc(cap + HR_BODY_PADDING);
    while (line != NULL && fgets(line, (int)cap, stdin) != NULL) {
        char *words[MAX_PARTS], *rest = NULL;
        size_t n = 0;
        for (char *word = strtok_r(line, " \n", &rest); word != NULL && n < MAX_PARTS;
             word = strtok_r(NULL, " \n", &rest)) {
            words[n++] = word;
        }
        if (n == 0) {
            continue;
        }
        switch (words[0][0]) {
        case 's':
            shake(words, words[0][5] == '8');
            break;
        case 'd':
            number(unhex(words[1]));
            break;
        case 'i':
            if (words[0][1] == 's') {
                iso(unhex(words[1]));
                break;
            }
            value(decoder, &doc, &arena, words, n);
            break;
        default:
            if (strcmp(words[0], "coerce") == 0) {
                value(decoder, &doc, &arena, words, n);
            } else {
                names(&arena, words, n);
            }
        }
        putchar('\n');
        hr__arena_reset(&arena);
    }
    free(line);
    hr__json_decoder_free(decoder);
    hr__doc_free(&doc);
    hr__arena_free(&arena);
    return 0;
}
