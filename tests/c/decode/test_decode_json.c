/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: the grammar with messages and positions (tests/cases/json/grammar.tsv, the argument), both kernels, every
 * alignment, in pieces, the tape, limits, failing allocations.
 */
#include "doc_write.h"
#include "hrtest.h"
#include "json.h"

static const char *cases_path;

/* ---- the file of cases */

static int code_of(const char *name) {
    static const char *const names[] = {
#define HR_X(code, text) #code,
        HR_CODE_MAP(HR_X)
#undef HR_X
    };
    int code = 0;
    while (strcmp(names[code], name) != 0) {
        code++;
    }
    return code;
}

typedef struct json_case {
    hr_str body;
    int code;       /* HR_OK: accepted */
    hr_str text;    /* as it is written; or the message */
    int write_code; /* of hr__doc_write */
    int64_t offset;
} json_case;

/* The n-th tab-separated field of the line, which is cut there. */
static char *next_field(char **line) {
    char *field = *line;
    char *end = strpbrk(field, "\t\n");
    if (end != NULL) {
        *end = '\0';
    }
    *line = end == NULL ? field + strlen(field) : end + 1;
    return field;
}

static bool read_case(char *line, json_case *out) {
    if (*line == '#' || *line == '\n') {
        return false;
    }
    out->code = code_of(next_field(&line));
    out->body = hrtest_unescape(next_field(&line));
    out->offset = out->code == HR_OK ? -1 : strtoll(next_field(&line), NULL, 10);
    char *text = next_field(&line);
    out->write_code = *text == '!' ? code_of(text + 1) : HR_OK;
    out->text = hrtest_unescape(text);
    return true;
}

/* ---- one case */

/* The body at an alignment, with exactly the padding the decoder asks for (so that ASan sees more being read). */
static char *place(hr_str body, size_t shift, char padding, char **room_out) {
    char *room = malloc(body.size_bytes + shift + HR_BODY_PADDING);
    memset(room, padding, body.size_bytes + shift + HR_BODY_PADDING); /* what stands around must not matter */
    memcpy(room + shift, body.data, body.size_bytes);
    *room_out = room;
    return room + shift;
}

static void check_text(const hr_doc *doc, const json_case *c) {
    hr_buf out;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    HR_CHECK_INT(hr__doc_write(doc, 0, 0, NULL, 0, &out, NULL), c->write_code);
    bool same = c->write_code != HR_OK || hr__str_eq((hr_str){out.data, out.size_bytes}, c->text);
    if (!same) {
        printf("  %.*s: wrote %.*s\n", (int)c->body.size_bytes, c->body.data, (int)out.size_bytes, out.data);
    }
    HR_CHECK(same);
    hr__buf_free(&out);
}

static void check_case(hr_json_decoder *decoder, const json_case *c, size_t shift, char padding) {
    char *room;
    const char *body = place(c->body, shift, padding, &room);
    hr_doc doc;
    hr_error err = {.code = HR_OK};
    hr__doc_init(&doc, &hr__allocator_libc);
    HR_CHECK_INT(hr__json_decode(decoder, body, c->body.size_bytes, &doc, &err), c->code);
    if (c->code == HR_OK && err.code == HR_OK) {
        check_text(&doc, c);
    } else {
        HR_CHECK_INT(err.code, c->code);
        HR_CHECK_INT(err.stage, HR_STAGE_DECODE);
        HR_CHECK_INT(err.offset_bytes, c->offset);
        HR_CHECK(hr__str_eq(hr__str(err.message), c->text));
        if (!hr__str_eq(hr__str(err.message), c->text)) {
            printf("  %.*s: %s\n", (int)c->body.size_bytes, c->body.data, err.message);
        }
        HR_CHECK_INT(hr__json_decode(decoder, body, c->body.size_bytes, &doc, NULL), c->code);
    }
    hr__doc_free(&doc);
    free(room);
}

static hr_json_decoder *new_decoder(bool portable) {
    hr_json_decoder *decoder = NULL;
    HR_CHECK_INT(
        hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc, .portable = portable}, &decoder, NULL),
        HR_OK);
    return decoder;
}

HR_CASE(cases_give_their_text_or_their_error_at_every_alignment) {
    static const char paddings[] = "\"0]},:\\ \xFF";
    FILE *file = fopen(cases_path, "rb");
    HR_CHECK(file != NULL);
    char line[4096];
    json_case c;
    int n = 0;
    hr_json_decoder *decoders[2] = {new_decoder(false), new_decoder(true)};
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (!read_case(line, &c)) {
            continue;
        }
        n++;
        for (size_t shift = 0; shift < 64; shift++) {
            check_case(decoders[0], &c, shift, paddings[shift % 9]);
            check_case(decoders[1], &c, shift, paddings[shift % 9]);
        }
        for (size_t p = 0; p < sizeof paddings - 1; p++) {
            check_case(decoders[0], &c, 0, paddings[p]);
        }
    }
    HR_CHECK(n > 200);
    if (file != NULL) {
        fclose(file);
    }
    hr__json_decoder_free(decoders[0]);
    hr__json_decoder_free(decoders[1]);
}

/* ---- the tape */

HR_CASE(tape_is_as_drawn) {
    static const char body[200] = "{\"a\":[1,\"x\"],\"b\":null}";
    hr_json_decoder *decoder = new_decoder(false);
    hr_doc doc;
    hr__doc_init(&doc, &hr__allocator_libc);
    HR_CHECK_INT(hr__json_decode(decoder, body, strlen(body), &doc, NULL), HR_OK);
    static const uint8_t types[] = {HR_TOK_OBJECT, HR_TOK_STRING, HR_TOK_ARRAY, HR_TOK_INT,
                                    HR_TOK_STRING, HR_TOK_STRING, HR_TOK_NULL};
    HR_CHECK_INT(doc.n_toks, sizeof types);
    for (size_t i = 0; i < sizeof types && i < doc.n_toks; i++) {
        HR_CHECK_INT(doc.toks[i].type, types[i]);
        HR_CHECK_INT(doc.toks[i].flags, 0);
    }
    HR_CHECK_INT(doc.toks[0].len, 2);
    HR_CHECK_INT(doc.toks[0].as.at.next, 7);
    HR_CHECK_INT(doc.toks[0].as.at.offset, 0);
    HR_CHECK_INT(doc.toks[2].len, 2);
    HR_CHECK_INT(doc.toks[2].as.at.next, 5);
    HR_CHECK_INT(doc.toks[2].as.at.offset, 5);
    HR_CHECK(doc.toks[1].as.str == body + 2); /* strings point into the body */
    HR_CHECK_STR(((hr_str){doc.toks[4].as.str, doc.toks[4].len}), "x");
    HR_CHECK(doc.body == body);
    hr__doc_free(&doc);
    hr__json_decoder_free(decoder);
}

HR_CASE(strings_with_escapes_are_flagged_and_offsets_count_the_byte_order_mark) {
    static const char body[200] = "\xEF\xBB\xBF[\"\\n\",\"\\ud800\",\"\\ud83c\\udf89\",\"\xF0\x9F\x8E\x89\",-0,{}]";
    static const uint8_t flags[] = {0, HR_TOK_UNESCAPED, HR_TOK_UNESCAPED | HR_TOK_SURROGATE, HR_TOK_UNESCAPED, 0, 0};
    hr_json_decoder *decoder = new_decoder(false);
    hr_doc doc;
    hr__doc_init(&doc, &hr__allocator_libc);
    HR_CHECK_INT(hr__json_decode(decoder, body, strlen(body), &doc, NULL), HR_OK);
    for (size_t i = 0; i < sizeof flags; i++) {
        HR_CHECK_INT(doc.toks[i].flags, flags[i]);
    }
    HR_CHECK_STR(((hr_str){doc.toks[2].as.str, doc.toks[2].len}), "\xED\xA0\x80");
    HR_CHECK_STR(((hr_str){doc.toks[3].as.str, doc.toks[3].len}), "\xF0\x9F\x8E\x89");
    HR_CHECK(doc.toks[4].as.str >= body && doc.toks[4].as.str < body + sizeof body);
    HR_CHECK_INT(doc.toks[5].type, HR_TOK_INT);
    HR_CHECK_INT(doc.toks[5].as.i, 0);
    HR_CHECK_INT(doc.toks[0].as.at.offset, 3);
    HR_CHECK_INT(doc.toks[6].as.at.offset, strlen(body) - 3);
    hr__doc_free(&doc);
    hr__json_decoder_free(decoder);
}

static void check_same_tape(const hr_doc *a, const hr_doc *b) {
    HR_CHECK_INT(a->n_toks, b->n_toks);
    for (size_t i = 0; i < a->n_toks && i < b->n_toks; i++) {
        const hr_tok *x = &a->toks[i], *y = &b->toks[i];
        bool text = x->type == HR_TOK_STRING || x->type == HR_TOK_BIGINT;
        HR_CHECK(x->type == y->type && x->flags == y->flags && x->len == y->len);
        HR_CHECK(text ? memcmp(x->as.str, y->as.str, x->len) == 0 : x->as.u == y->as.u);
    }
}

/* Whether both decoders say the same of body: the code, the error, the tape. */
static void check_same(hr_json_decoder *a, hr_json_decoder *b, const char *body, size_t size, int *rc_out) {
    hr_doc doc_a, doc_b;
    hr_error err_a = {.code = HR_OK}, err_b = {.code = HR_OK};
    hr__doc_init(&doc_a, &hr__allocator_libc);
    hr__doc_init(&doc_b, &hr__allocator_libc);
    int rc = *rc_out = hr__json_decode(a, body, size, &doc_a, &err_a);
    HR_CHECK_INT(hr__json_decode(b, body, size, &doc_b, &err_b), rc);
    HR_CHECK_INT(err_a.offset_bytes, err_b.offset_bytes);
    HR_CHECK(strcmp(err_a.message, err_b.message) == 0);
    check_same_tape(&doc_a, &doc_b);
    hr__doc_free(&doc_a);
    hr__doc_free(&doc_b);
}

/* ---- in pieces */

/* The end of the piece that starts at `from`: one byte more each time, or one cut, or blocks and a bit. */
typedef struct pieces {
    size_t cut, step;
} pieces;

/* Decodes body as it is fed, from another place each time, and checks that all is as with the whole. */
static void check_pieces(hr_json_decoder *decoder, hr_str body, pieces how, const hr_doc *want, int want_rc,
                         const hr_error *want_err) {
    hr_doc doc;
    hr_error err = {.code = HR_OK};
    hr__doc_init(&doc, &hr__allocator_libc);
    hr__json_start(decoder);
    for (size_t fed = how.cut; fed < body.size_bytes; fed += how.step) {
        char *so_far = malloc(fed + 1); /* no padding: ASan sees what is read behind what has arrived */
        memcpy(so_far, body.data, fed);
        HR_CHECK_INT(hr__json_feed(decoder, so_far, fed, &err), HR_OK);
        free(so_far);
    }
    HR_CHECK_INT(hr__json_finish(decoder, body.data, body.size_bytes, &doc, &err), want_rc);
    if (want_rc != HR_OK) {
        HR_CHECK_INT(err.offset_bytes, want_err->offset_bytes);
        HR_CHECK(strcmp(err.message, want_err->message) == 0);
    } else {
        check_same_tape(&doc, want);
    }
    hr__doc_free(&doc);
}

/* The whole, every split in two, byte by byte, and steps around a block, by both kernels. */
static void check_every_split(hr_json_decoder *const decoders[2], hr_str text) {
    char *room;
    const hr_str body = {place(text, 0, '"', &room), text.size_bytes};
    for (int d = 0; d < 2; d++) {
        hr_doc doc;
        hr_error err = {.code = HR_OK};
        hr__doc_init(&doc, &hr__allocator_libc);
        int rc = hr__json_decode(decoders[d], body.data, body.size_bytes, &doc, &err);
        for (size_t cut = 0; cut <= body.size_bytes; cut++) {
            check_pieces(decoders[d], body, (pieces){cut, body.size_bytes}, &doc, rc, &err);
        }
        static const size_t steps[] = {1, 2, 7, 63, 64, 65, 200};
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            check_pieces(decoders[d], body, (pieces){steps[s], steps[s]}, &doc, rc, &err);
        }
        hr__doc_free(&doc);
    }
    free(room);
}

/* Each case alone, with white space before it that moves it over a block's border, and as an element between others. */
HR_CASE(cases_fed_in_pieces_are_as_the_whole) {
    FILE *file = fopen(cases_path, "rb");
    HR_CHECK(file != NULL);
    hr_json_decoder *decoders[2] = {new_decoder(false), new_decoder(true)};
    char line[4096];
    static char body[8192];
    json_case c;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (!read_case(line, &c)) {
            continue;
        }
        check_every_split(decoders, c.body);
        size_t before = 64 - (c.body.size_bytes / 2) % 64;
        memset(body, ' ', before);
        memcpy(body + before, c.body.data, c.body.size_bytes);
        check_every_split(decoders, (hr_str){body, before + c.body.size_bytes});
        int n = snprintf(body, sizeof body, "\xEF\xBB\xBF[{\"key of the first\\n\":%*s\"\xE2\x82\xAC\"},",
                         (int)(before % 40), "");
        memcpy(body + n, c.body.data, c.body.size_bytes);
        size_t size = (size_t)n + c.body.size_bytes;
        memcpy(body + size, ",\"after\\\\\",[]]", 14);
        check_every_split(decoders, (hr_str){body, size + 14});
    }
    if (file != NULL) {
        fclose(file);
    }
    hr__json_decoder_free(decoders[0]);
    hr__json_decoder_free(decoders[1]);
}

static char *generate(char *at, int depth) {
    static const char *const scalars[] = {"null",
                                          "true",
                                          "false",
                                          "0",
                                          "-12.5e-7",
                                          "18446744073709551616",
                                          "\"\"",
                                          "\"x\"",
                                          "\"\\\"\\\\\"",
                                          "\"\\ud83c\\udf89\"",
                                          "\"\xF0\x9F\x8E\x89\xE6\x97\xA5\"",
                                          " \"long enough that a block ends in it, wherever it starts ............\" "};
    unsigned kind = depth == 0 ? 2 : hrtest_below(4);
    if (kind >= 2) {
        return at + sprintf(at, "%s", scalars[hrtest_below(sizeof scalars / sizeof *scalars)]);
    }
    *at++ = kind == 0 ? '[' : '{';
    for (unsigned i = 0, n = hrtest_below(4); i < n; i++) {
        at += sprintf(at, i != 0 ? ",%s" : "%s", kind == 0 ? "" : "\"k\\\\\":");
        at = generate(at, depth - 1);
    }
    *at++ = kind == 0 ? ']' : '}';
    return at;
}

/* Generated documents, some of them with a byte that was changed. */
HR_CASE(generated_documents_fed_in_pieces_are_as_the_whole) {
    static char body[1 << 16];
    hr_json_decoder *decoders[2] = {new_decoder(false), new_decoder(true)};
    for (int i = 0; i < 300; i++) {
        size_t size = (size_t)(generate(body, 4) - body);
        size = size > 600 ? 600 : size; /* then it is cut */
        if (i % 3 == 0) {
            body[hrtest_below((unsigned)size)] = (char)hrtest_below(256);
        }
        check_every_split(decoders, (hr_str){body, size});
    }
    hr__json_decoder_free(decoders[0]);
    hr__json_decoder_free(decoders[1]);
}

/* A document with strings, escapes and numbers around every 64-byte border, cut at each byte: only the whole is taken,
 * and both kernels say the same. */
HR_CASE(kernels_agree_on_every_prefix) {
    const char *text =
        "{\"key\\\\\":[1,2.5,\"a\\\"b\",\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\x89\",{\"x\":null,\"y\":[true,[]]}],"
        "\"long\":\"0123456789012345678901234567890123456789012345678901234567890123456789\\n\\\\\","
        "\"z\":-1.5e-3,\"w\":[[[[1]]]],\"q\":\"\\ud83c\\udf89\\u0041\"}";
    size_t size = strlen(text);
    hr_json_decoder *fast = new_decoder(false), *slow = new_decoder(true);
    for (size_t shift = 0; shift < 64; shift += 7) {
        for (size_t cut = 0; cut <= size; cut++) {
            char *room;
            int rc;
            const char *body = place((hr_str){text, cut}, shift, "x]\""[cut % 3], &room);
            check_same(fast, slow, body, cut, &rc);
            HR_CHECK_INT(rc == HR_OK, cut == size);
            free(room);
        }
    }
    hr__json_decoder_free(fast);
    hr__json_decoder_free(slow);
}

/* The tape's room is reckoned from the index: bodies that have the most tokens for their offsets. */
HR_CASE(densest_bodies_fit_their_tape) {
    static const char *const units[] = {"[",        "{\"\":", "[1,",   "[[],",      "[{},",
                                        "{\"\":1,", "1,",     "\"\",", "{\"\":{},", "[[1],"};
    hr_json_decoder *fast = new_decoder(false), *slow = new_decoder(true);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        for (size_t n = 1; n < 3000; n = n * 5 / 4 + 1) {
            size_t size = n * strlen(units[u]);
            char *text = malloc(size + 1), *room;
            int rc;
            for (size_t i = 0; i < n; i++) {
                memcpy(text + i * strlen(units[u]), units[u], strlen(units[u]));
            }
            for (size_t flat = 0; flat < 2; flat++) { /* the second time the nesting is one level */
                text[0] = flat == 0 ? text[0] : '[';
                for (size_t i = 1; flat != 0 && i < size; i++) {
                    text[i] = text[i] == '[' || text[i] == '{' ? '0' : text[i];
                }
                const char *body = place((hr_str){text, size}, 0, ' ', &room);
                check_same(fast, slow, body, size, &rc);
                free(room);
            }
            free(text);
        }
    }
    hr__json_decoder_free(fast);
    hr__json_decoder_free(slow);
}

/* ---- lines */

HR_CASE(lines_are_an_array_of_their_documents) {
    static const struct {
        const char *body, *text; /* text: as it is written; or the message */
        int64_t offset;          /* below 0: accepted */
    } cases[] = {
        {"", "[]", -1},
        {"\n \r\n\t\n", "[]", -1},
        {"{\"a\":1}\n{\"a\":[2,{}]}", "[{\"a\":1},{\"a\":[2,{}]}]", -1},
        {"\xEF\xBB\xBF 1 \r\n\n[]\n\"x\\ny\"\ntrue\nnull\n-5\n0\n1\n2\n3\n4\n",
         "[1,[],\"x\\ny\",true,null,-5,0,1,2,3,4]", -1},
        {"1\n2 3\n", "expected the end of the line, found '3' at byte 4", 4},
        {"{} {}", "expected the end of the line, found '{' at byte 3", 3},
        {"1\n,2\n", "expected a value, found ',' at byte 2", 2},
        {"1,\n2\n", "expected the end of the line, found ',' at byte 1", 1},
        {"[1]\n[2\n,3]\n", "expected the rest of the document before the line's end, found byte 0x0a at byte 6", 6},
        {"{\"a\":\n1}", "expected the rest of the document before the line's end, found byte 0x0a at byte 5", 5},
        {"{\"a\":\n{}\n{}", "expected the rest of the document before the line's end, found byte 0x0a at byte 5", 5},
        {"[1\n2]\n", "expected the rest of the document before the line's end, found byte 0x0a at byte 2", 2},
        {"{}\n{\"a\"", "expected ':' after a key, found the end of the body at byte 7", 7},
        {"\"a\nb\"\n", "a string holds the control character 0x0a at byte 2: it must be escaped", 2},
        {"{}\n\xFF", "the body is not UTF-8: byte 0xff at byte 3", 3},
        {"1\n]", "expected a value, found ']' at byte 2", 2},
    };
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        hr_json_decoder *decoder = new_decoder(i % 2 != 0);
        hr_str text = hr__str(cases[i / 2].body);
        char *room;
        const char *body = place(text, 1, '7', &room);
        hr_doc doc;
        hr_error err = {.code = HR_OK};
        hr__doc_init(&doc, &hr__allocator_libc);
        int rc = hr__json_decode_lines(decoder, body, text.size_bytes, &doc, &err);
        if (cases[i / 2].offset < 0) {
            HR_CHECK_INT(rc, HR_OK);
            check_text(&doc, &(json_case){.body = text, .text = hr__str(cases[i / 2].text)});
        } else {
            HR_CHECK(rc != HR_OK);
            HR_CHECK_INT(err.offset_bytes, cases[i / 2].offset);
            HR_CHECK_STR(hr__str(err.message), cases[i / 2].text);
        }
        hr__doc_free(&doc);
        hr__json_decoder_free(decoder);
        free(room);
    }
}

/* ---- limits */

HR_CASE(depth_is_limited) {
    char deep[2048 + HR_BODY_PADDING];
    hr_json_decoder *decoder;
    hr_doc doc;
    hr_error err;
    memset(deep, '[', sizeof deep);
    HR_CHECK_INT(
        hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc, .max_depth = 100}, &decoder, NULL),
        HR_OK);
    hr__doc_init(&doc, &hr__allocator_libc);
    HR_CHECK_INT(hr__json_decode(decoder, deep, 300, &doc, &err), HR_LIMIT);
    HR_CHECK_INT(err.offset_bytes, 100);
    HR_CHECK_STR(hr__str(err.message), "the document is nested deeper than 100 levels at byte 100");
    hr__json_decoder_free(decoder);
    decoder = new_decoder(false);
    memset(deep + 1024, ']', 1024);
    HR_CHECK_INT(hr__json_decode(decoder, deep, 2048, &doc, &err), HR_OK);
    HR_CHECK_INT(doc.n_toks, 1024);
    memset(deep + 1024, '[', 1);
    HR_CHECK_INT(hr__json_decode(decoder, deep, 2048, &doc, &err), HR_LIMIT);
    HR_CHECK_INT(err.offset_bytes, 1024);
    hr__doc_free(&doc);
    hr__json_decoder_free(decoder);
}

HR_CASE(body_of_4_gib_is_refused_unread) {
    hr_json_decoder *decoder = new_decoder(false);
    hr_doc doc;
    hr_error err;
    hr__doc_init(&doc, &hr__allocator_libc);
    HR_CHECK_INT(hr__json_decode(decoder, "", (size_t)1 << 32, &doc, &err), HR_LIMIT);
    HR_CHECK_STR(hr__str(err.message), "the body has 4294967296 bytes, 4 GiB or more");
    hr__doc_free(&doc);
    hr__json_decoder_free(decoder);
}

/* ---- memory */

static int decode_once(const hr_allocator *alloc) {
    static const char text[300] =
        "{\"a\":[1,{\"b\":\"x\\ny\"},[[]]],\"c\":{\"d\":1.5,\"a\":2,\"a\":3},"
        "\"long\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8]}";
    static const char root[100] = "12345678901234567890123";
    static const char numbers[100] = "1\n2\n3\n4\n5\n6\n7\n8\n9\n{\"a\":\"\\n\"}";
    hr_json_decoder *decoder = NULL;
    hr_doc doc;
    hr__doc_init(&doc, alloc);
    int rc = hr__json_decoder_new(&(hr_json_options){.alloc = alloc}, &decoder, NULL);
    rc = rc != HR_OK ? rc : hr__json_decode(decoder, text, strlen(text), &doc, NULL);
    rc = rc != HR_OK ? rc : hr__json_decode(decoder, root, strlen(root), &doc, NULL);
    rc = rc != HR_OK ? rc : hr__json_decode_lines(decoder, numbers, strlen(numbers), &doc, NULL);
    for (size_t fed = 0; fed < strlen(text) && rc == HR_OK; fed += 64) {
        fed == 0 ? hr__json_start(decoder) : (void)0;
        rc = hr__json_feed(decoder, text, fed, NULL);
    }
    rc = rc != HR_OK ? rc : hr__json_finish(decoder, text, strlen(text), &doc, NULL);
    hr__doc_free(&doc);
    hr__json_decoder_free(decoder);
    return rc;
}

/* 200 records; lists of n_parts objects that begin with the records' first key, in record 77. */
static char *records_text(size_t n_parts) {
    char *text = malloc((size_t)40000 + n_parts * 40 + HR_BODY_PADDING), *to = text;
    *to++ = '[';
    for (int i = 0; i < 200; i++) {
        to += sprintf(to, "%s{\"id\":%d,\"text\":\"},{\\\"id\\\":\",\"parts\":[", i == 0 ? "" : ",", i);
        for (size_t k = 0; k < (i == 77 ? n_parts : 2); k++) {
            to += sprintf(to, "%s{\"id\":%zu,\"x\":[{\"id\":1}]}", k == 0 ? "" : ",", k);
        }
        to += sprintf(to, "]}");
    }
    memcpy(to, "]\n", 3);
    return text;
}

/* Cuts the text; how many slices do not decode. Also on failure nothing stays allocated. */
static int cut_records(const hr_allocator *alloc, const char *text, size_t *n_out, size_t *n_bad_out) {
    hr_json_decoder *decoder = NULL;
    hr_slice *slices = NULL;
    int rc = hr__json_decoder_new(&(hr_json_options){.alloc = alloc}, &decoder, NULL);
    *n_out = *n_bad_out = 0;
    rc = rc != HR_OK ? rc : hr__json_cut(decoder, text, strlen(text), 1000, &slices, n_out);
    for (size_t i = 0; i < *n_out && rc == HR_OK; i++) {
        size_t length = slices[i].to - slices[i].from;
        char *slice = malloc(length + 2 + HR_BODY_PADDING);
        hr_doc doc;
        hr__doc_init(&doc, alloc);
        sprintf(slice, "[%.*s]", (int)length, text + slices[i].from);
        rc = hr__json_decode(decoder, slice, length + 2, &doc, NULL);
        *n_bad_out += rc == HR_SYNTAX;
        rc = rc == HR_SYNTAX ? HR_OK : rc;
        HR_CHECK(i + 1 == *n_out ? text[slices[i].to] == ']' : slices[i + 1].from == slices[i].to + 1);
        hr__doc_free(&doc);
        free(slice);
    }
    hr__free(alloc, slices);
    hr__json_decoder_free(decoder);
    return rc;
}

HR_CASE(likely_cuts_are_between_records_or_show) {
    size_t n, n_bad;
    char *text = records_text(300); /* 9 KB: looked over */
    HR_CHECK_INT(cut_records(&hr__allocator_libc, text, &n, &n_bad), HR_OK);
    HR_CHECK(n > 15);
    HR_CHECK_INT(n_bad, 0);
    free(text);
    text = records_text(3000); /* longer than what is looked at */
    HR_CHECK_INT(cut_records(&hr__allocator_libc, text, &n, &n_bad), HR_OK);
    HR_CHECK(n > 15 && n_bad > 1);
    free(text);
    static const char *const others[] = {"",           "[", "[]", "{}", "[1,2]", "[{}]", "[{\"a", "[{\"a\\\"\":1}]",
                                         "[{\"id\":1}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        HR_CHECK_INT(cut_records(&hr__allocator_libc, others[i], &n, &n_bad), HR_OK);
        HR_CHECK_INT(n, 0);
    }
}

static int cut_once(const hr_allocator *alloc) {
    size_t n, n_bad;
    char *text = records_text(300);
    int rc = cut_records(alloc, text, &n, &n_bad);
    free(text);
    return rc;
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(decode_once, 200);
    hrtest_sweep(cut_once, 200);
}

int main(int argc, char **argv) {
    cases_path = argc > 1 ? argv[1] : "tests/cases/json/grammar.tsv";
    HR_RUN(cases_give_their_text_or_their_error_at_every_alignment);
    HR_RUN(tape_is_as_drawn);
    HR_RUN(strings_with_escapes_are_flagged_and_offsets_count_the_byte_order_mark);
    HR_RUN(kernels_agree_on_every_prefix);
    HR_RUN(cases_fed_in_pieces_are_as_the_whole);
    HR_RUN(generated_documents_fed_in_pieces_are_as_the_whole);
    HR_RUN(densest_bodies_fit_their_tape);
    HR_RUN(lines_are_an_array_of_their_documents);
    HR_RUN(depth_is_limited);
    HR_RUN(body_of_4_gib_is_refused_unread);
    HR_RUN(likely_cuts_are_between_records_or_show);
    HR_RUN(every_allocation_may_fail);
    return HR_DONE();
}
