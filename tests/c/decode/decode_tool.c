/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs cases for tests/py/test_decode_oracle.py. Reads cases from stdin until its end and writes a result for each to
 * stdout; both are 4 bytes of size (little-endian) and so many bytes. The arguments:
 *
 *   write FLAGS PORTABLE   JSON -> "+" and the text of hr__doc_write, or "-CODE OFFSET MESSAGE" (of decode), or
 *                          "!CODE MESSAGE" (of write)
 *   numbers                JSON, an array of numbers -> nine bytes each: 'i', 'u' or 'd' and the 64 bits; 'b' of a big
 * one parse                  a decimal -> the 8 bytes of the double repr                   8 bytes of a double ->
 * Python's text, "\n", orjson's text
 */
#include "doc_write.h"
#include "json.h"
#include "number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *code_name(int code) {
    static const char *const names[] = {
#define HR_X(name, text) #name,
        HR_CODE_MAP(HR_X)
#undef HR_X
    };
    return names[code];
}

static void answer(const char *data, size_t size_bytes) {
    uint32_t size = (uint32_t)size_bytes;
    fwrite(&size, sizeof size, 1, stdout);
    fwrite(data, 1, size_bytes, stdout);
}

static void answer_numbers(const hr_doc *doc) {
    size_t n = doc->toks[0].len;
    char *out = malloc(9 * n + 1);
    for (size_t i = 0; i < n; i++) {
        const hr_tok *tok = &doc->toks[i + 1];
        out[9 * i] = "????iubd??"[tok->type];
        memcpy(out + 9 * i + 1, &tok->as, 8);
    }
    answer(out, 9 * n);
    free(out);
}

static void run_document(hr_json_decoder *decoder, const char *data, size_t size, bool numbers, uint32_t flags) {
    hr_doc doc;
    hr_error err = {.code = HR_OK};
    char text[700];
    hr__doc_init(&doc, &hr__allocator_libc);
    int rc = hr__json_decode(decoder, data, size, &doc, &err);
    if (rc != HR_OK) {
        answer(text,
               (size_t)snprintf(text, sizeof text, "-%s %" PRId64 " %s", code_name(rc), err.offset_bytes, err.message));
    } else if (numbers) {
        answer_numbers(&doc);
    } else {
        hr_buf out;
        hr__buf_init(&out, &hr__allocator_libc, 0);
        rc = hr__buf_append(&out, "+", 1);
        rc = rc != HR_OK ? rc : hr__doc_write(&doc, 0, flags, NULL, 0, &out, &err);
        if (rc != HR_OK) {
            answer(text, (size_t)snprintf(text, sizeof text, "!%s %s", code_name(rc), err.message));
        } else {
            answer(out.data, out.size_bytes);
        }
        hr__buf_free(&out);
    }
    hr__doc_free(&doc);
}

static void run_repr(const char *data) {
    double value;
    char text[80];
    memcpy(&value, data, sizeof value);
    size_t n = hr__double_repr_python(value, text);
    text[n++] = '\n';
    n += hr__double_repr_orjson(value, text + n);
    answer(text, n);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    uint32_t flags = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    hr_json_decoder *decoder;
    hr_json_options options = {.alloc = &hr__allocator_libc, .portable = argc > 3 && argv[3][0] == '1'};
    uint32_t size;
    if (hr__json_decoder_new(&options, &decoder, NULL) != HR_OK) {
        return 2;
    }
    while (fread(&size, sizeof size, 1, stdin) == 1) {
        char *data = malloc((size_t)size + HR_BODY_PADDING);
        if (data == NULL || fread(data, 1, size, stdin) != size) {
            return 2;
        }
        memset(data + size, '"', HR_BODY_PADDING); /* must not matter */
        if (strcmp(mode, "parse") == 0) {
            double value = hr__double_parse(data, size);
            answer((const char *)&value, sizeof value);
        } else if (strcmp(mode, "repr") == 0) {
            run_repr(data);
        } else {
            run_document(decoder, data, size, strcmp(mode, "numbers") == 0, flags);
        }
        free(data);
    }
    hr__json_decoder_free(decoder);
    return 0;
}
