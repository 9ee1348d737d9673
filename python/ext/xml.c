/* SPDX-License-Identifier: Apache-2.0
 *
 * XML as JSON text, by the rules of xmltodict 1.0: an element is its text, or an object of its attributes (with a
 * prefix), its children (those of one name as a list) and its text. The parser is the expat that comes with Python
 * (pyexpat's capsule); entities are refused, as are all document type declarations.
 *
 *   <a x="1"><b>2</b><c/><b>3</b></a>  ->  {"a":{"@x":"1","b":["2","3"],"c":null}}
 *
 * The document becomes a tree in an arena, then text. When an element ends its children are grouped: each first child
 * of a name (a head) is followed through `same` by the others.
 */
#include "ext.h"

#include "doc_write.h"

#include <stddef.h>

/* ---- what is needed of expat.h and pyexpat.h */
typedef void (*on_start)(void *ctx, const char *name, const char **attributes);
typedef void (*on_end)(void *ctx, const char *name);
typedef void (*on_text)(void *ctx, const char *text, int size);
typedef void (*on_doctype)(void *ctx, const char *name, const char *system, const char *public, int has_subset);

typedef struct expat_api {
    const char *magic;
    int size, major, minor, micro;
    const char *(*error_string)(int code);
    int (*error_code)(void *parser);
    unsigned long (*error_column)(void *parser);
    unsigned long (*error_line)(void *parser);
    int (*parse)(void *parser, const char *text, int size, int is_final);
    void *(*parser_new)(const char *encoding, const void *memory, const char *separator);
    void (*parser_free)(void *parser);
    void (*set_text)(void *parser, on_text handler);
    void (*set_comment)(void *parser, void (*handler)(void *, const char *));
    void (*set_default_expand)(void *parser, void (*handler)(void *, const char *, int));
    void (*set_element)(void *parser, on_start start, on_end end);
    void (*set_namespace)(void *parser, void (*start)(void), void (*end)(void));
    void (*set_instruction)(void *parser, void (*handler)(void));
    void (*set_unknown_encoding)(void *parser, void (*handler)(void), void *data);
    void (*set_ctx)(void *parser, void *ctx);
    void (*set_doctype)(void *parser, on_doctype handler);
} expat_api;

/* ---- limits */
#define MAX_DEPTH 512
#define MAX_ELEMENTS 20000000u
#define PIECE ((size_t)1 << 16) /* bytes that are parsed at a time */
#define MIXED_MAX 16            /* heads that are compared one by one */

typedef struct text_piece {
    struct text_piece *next;
    hr_str text; /* in the arena */
} text_piece;

typedef struct attribute {
    struct attribute *next;
    hr_str name, value;
} attribute;

typedef struct element {
    struct element *parent, *next, *first, *last; /* of the tree; children in order */
    struct element *same, *same_last;             /* the others of its name, from a head on */
    text_piece *text, *text_last;
    attribute *attributes, *attributes_last;
    hr_str name;
    uint32_t seq;
    bool is_head;
} element;

typedef struct xml_reader {
    hr_arena arena;
    element *root, *at; /* at: the innermost open one */
    uint32_t depth, n_elements;
    int rc; /* the first failure; nothing is done after it */
    const char *why;
    element **heads; /* cap_heads; of the element that ends */
    size_t cap_heads;
} xml_reader;

typedef struct xml_rules {
    hr_str prefix;      /* of attributes */
    const hr_str *list; /* names of elements that are lists, also of one */
    size_t n_list;
} xml_rules;

static void fail(xml_reader *reader, int rc, const char *why) {
    if (reader->rc == HR_OK) {
        reader->rc = rc;
        reader->why = why;
    }
}

static void *take(xml_reader *reader, size_t size_bytes) {
    void *out = hr__arena_alloc(&reader->arena, size_bytes);
    if (out == NULL) {
        fail(reader, HR_MEMORY, "");
    }
    return out;
}

static hr_str copy(xml_reader *reader, const char *text, size_t size_bytes) {
    char *out = hr__arena_copy(&reader->arena, text, size_bytes);
    if (out == NULL) {
        fail(reader, HR_MEMORY, "");
        return (hr_str){"", 0};
    }
    return (hr_str){out, size_bytes};
}

/* ---------------------------------------------------------------------------------------------------- tree */

static void start_element(void *ctx, const char *name, const char **attributes) {
    xml_reader *reader = ctx;
    if (reader->rc != HR_OK) {
        return;
    }
    if (++reader->depth > MAX_DEPTH || ++reader->n_elements > MAX_ELEMENTS) {
        fail(reader, HR_LIMIT,
             reader->depth > MAX_DEPTH ? "elements nested deeper than 512" : "more than 20000000 elements");
        return;
    }
    element *made = take(reader, sizeof *made);
    if (made == NULL) {
        return;
    }
    *made = (element){.parent = reader->at, .seq = reader->n_elements, .name = copy(reader, name, strlen(name))};
    for (; *attributes != NULL && reader->rc == HR_OK; attributes += 2) {
        attribute *one = take(reader, sizeof *one);
        if (one == NULL) {
            return;
        }
        *one = (attribute){.name = copy(reader, attributes[0], strlen(attributes[0])),
                           .value = copy(reader, attributes[1], strlen(attributes[1]))};
        *(made->attributes_last == NULL ? &made->attributes : &made->attributes_last->next) = one;
        made->attributes_last = one;
    }
    element *parent = reader->at;
    if (parent == NULL) {
        reader->root = made;
    } else {
        *(parent->last == NULL ? &parent->first : &parent->last->next) = made;
        parent->last = made;
    }
    reader->at = made;
}

static void take_text(void *ctx, const char *text, int size) {
    xml_reader *reader = ctx;
    if (reader->rc != HR_OK || reader->at == NULL) {
        return;
    }
    text_piece *piece = take(reader, sizeof *piece);
    if (piece == NULL) {
        return;
    }
    *piece = (text_piece){.text = copy(reader, text, (size_t)size)};
    element *to = reader->at;
    *(to->text_last == NULL ? &to->text : &to->text_last->next) = piece;
    to->text_last = piece;
}

static void join(element *head, element *other) {
    head->same_last->same = other;
    head->same_last = other->same_last;
    other->is_head = false;
}

static int by_name(const void *a, const void *b) {
    const element *x = *(element *const *)a, *y = *(element *const *)b;
    size_t least = x->name.size_bytes < y->name.size_bytes ? x->name.size_bytes : y->name.size_bytes;
    int order = memcmp(x->name.data, y->name.data, least);
    if (order == 0 && x->name.size_bytes != y->name.size_bytes) {
        order = x->name.size_bytes < y->name.size_bytes ? -1 : 1;
    }
    return order != 0 ? order : x->seq < y->seq ? -1 : 1;
}

/* Runs of one name first: in most documents nothing is left to do then. */
static void group_children(xml_reader *reader, element *parent) {
    size_t n = 0;
    element *head = NULL;
    for (element *child = parent->first; child != NULL; child = child->next) {
        child->same_last = child;
        child->is_head = head == NULL || !hr__str_eq(head->name, child->name);
        if (!child->is_head) {
            join(head, child);
            continue;
        }
        head = child;
        if (hr__grow(reader->arena.alloc, (void **)&reader->heads, &reader->cap_heads, n + 1, sizeof *reader->heads) !=
            HR_OK) {
            fail(reader, HR_MEMORY, "");
            return;
        }
        reader->heads[n++] = child;
    }
    element **heads = reader->heads;
    if (n > MIXED_MAX) {
        qsort(heads, n, sizeof *heads, by_name);
        for (size_t i = 1, first = 0; i < n; i++) {
            if (hr__str_eq(heads[first]->name, heads[i]->name)) {
                join(heads[first], heads[i]);
            } else {
                first = i;
            }
        }
        return;
    }
    for (size_t i = 1; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (heads[j]->is_head && hr__str_eq(heads[j]->name, heads[i]->name)) {
                join(heads[j], heads[i]);
                break;
            }
        }
    }
}

static void end_element(void *ctx, const char *name) {
    xml_reader *reader = ctx;
    if (reader->rc != HR_OK) {
        return;
    }
    group_children(reader, reader->at);
    reader->at = reader->at->parent;
    reader->depth--;
}

static void refuse_doctype(void *ctx, const char *name, const char *system, const char *public, int has_subset) {
    fail(ctx, HR_UNSUPPORTED, "a document type declaration, which may hold entities");
}

/* ---------------------------------------------------------------------------------------------------- text */

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The element's own text without white space at its ends; size 0: none. Pieces are joined in the arena. */
static hr_str text_of(xml_reader *reader, const element *of) {
    size_t size = 0;
    for (const text_piece *piece = of->text; piece != NULL; piece = piece->next) {
        size += piece->text.size_bytes;
    }
    hr_str out = {"", 0};
    if (of->text != NULL && of->text->next == NULL) {
        out = of->text->text;
    } else if (size != 0) {
        char *joined = take(reader, size);
        if (joined == NULL) {
            return out;
        }
        out = (hr_str){joined, size};
        for (const text_piece *piece = of->text; piece != NULL; piece = piece->next) {
            memcpy(joined, piece->text.data, piece->text.size_bytes);
            joined += piece->text.size_bytes;
        }
    }
    while (out.size_bytes != 0 && is_space(out.data[out.size_bytes - 1])) {
        out.size_bytes--;
    }
    while (out.size_bytes != 0 && is_space(*out.data)) {
        out.data++;
        out.size_bytes--;
    }
    return out;
}

static int write_key(hr_str prefix, hr_str name, bool *is_first, hr_buf *out, hr_error *err) {
    HR_TRY(hr__buf_append_str(out, *is_first ? "" : ","));
    *is_first = false;
    HR_TRY(hr__doc_write_string(prefix, 0, out, err));
    out->size_bytes--; /* the quote: the name goes on */
    size_t at = out->size_bytes;
    HR_TRY(hr__doc_write_string(name, 0, out, err));
    memmove(out->data + at, out->data + at + 1, out->size_bytes - at - 1);
    out->size_bytes--;
    return hr__buf_append_str(out, ":");
}

static bool is_list(const xml_rules *rules, const element *head) {
    if (head->same != NULL) {
        return true;
    }
    for (size_t i = 0; i < rules->n_list; i++) {
        if (hr__str_eq(rules->list[i], head->name)) {
            return true;
        }
    }
    return false;
}

/* Recursive as deep as the document, at most MAX_DEPTH. */
static int write_element(xml_reader *reader, const xml_rules *rules, const element *of, hr_buf *out, hr_error *err) {
    hr_str text = text_of(reader, of);
    if (of->attributes == NULL && of->first == NULL) {
        return text.size_bytes == 0 ? hr__buf_append_str(out, "null") : hr__doc_write_string(text, 0, out, err);
    }
    bool is_first = true;
    HR_TRY(hr__buf_append_str(out, "{"));
    for (const attribute *one = of->attributes; one != NULL; one = one->next) {
        HR_TRY(write_key(rules->prefix, one->name, &is_first, out, err));
        HR_TRY(hr__doc_write_string(one->value, 0, out, err));
    }
    for (const element *head = of->first; head != NULL; head = head->next) {
        if (!head->is_head) {
            continue;
        }
        bool listed = is_list(rules, head);
        HR_TRY(write_key((hr_str){"", 0}, head->name, &is_first, out, err));
        HR_TRY(hr__buf_append_str(out, listed ? "[" : ""));
        for (const element *one = head; one != NULL; one = one->same) {
            HR_TRY(hr__buf_append_str(out, one == head ? "" : ","));
            HR_TRY(write_element(reader, rules, one, out, err));
        }
        HR_TRY(hr__buf_append_str(out, listed ? "]" : ""));
    }
    if (text.size_bytes != 0) {
        HR_TRY(write_key((hr_str){"", 0}, hr__str("#text"), &is_first, out, err));
        HR_TRY(hr__doc_write_string(text, 0, out, err));
    }
    return hr__buf_append_str(out, "}");
}

/* ---------------------------------------------------------------------------------------------------- parse */

/* Whether what stands before the root has a document type declaration: expat must not read even its start. */
static bool has_doctype(const char *text, size_t size_bytes) {
    const char *at = text, *end = text + size_bytes;
    while ((at = memchr(at, '<', (size_t)(end - at))) != NULL && end - at > 1) {
        const char *close;
        if (at[1] == '?') {
            close = memmem(at, (size_t)(end - at), "?>", 2);
        } else if (end - at > 3 && memcmp(at, "<!--", 4) == 0) {
            close = memmem(at + 4, (size_t)(end - at) - 4, "-->", 3);
        } else {
            return at[1] == '!';
        }
        if (close == NULL) {
            return false;
        }
        at = close + 2;
    }
    return false;
}

/* Byte of a line (from 1) and a column (characters, from 0). */
static size_t offset_of(const char *text, size_t size_bytes, unsigned long line, unsigned long column) {
    const char *at = text, *end = text + size_bytes;
    for (; line > 1; line--) {
        const char *found = memchr(at, '\n', (size_t)(end - at));
        if (found == NULL) {
            break;
        }
        at = found + 1;
    }
    for (; column > 0 && at < end; column--) {
        for (at++; at < end && ((unsigned char)*at & 0xC0) == 0x80; at++) {
        }
    }
    return (size_t)(at - text);
}

static int read_xml(const expat_api *api, void *parser, xml_reader *reader, hr_str body, hr_error *err) {
    if (has_doctype(body.data, body.size_bytes)) {
        refuse_doctype(reader, NULL, NULL, NULL, 0);
    }
    for (size_t at = 0; reader->rc == HR_OK;) {
        size_t size = body.size_bytes - at < PIECE ? body.size_bytes - at : PIECE;
        bool is_last = at + size == body.size_bytes;
        if (api->parse(parser, body.data + at, (int)size, is_last) == 0 && reader->rc == HR_OK) {
            int code = api->error_code(parser);
            size_t offset = offset_of(body.data, body.size_bytes, api->error_line(parser), api->error_column(parser));
            return hr__error_at(err, HR_SYNTAX, HR_STAGE_DECODE, (int64_t)offset,
                                "the XML is not well-formed: %s at byte %zu", api->error_string(code), offset);
        }
        at += size;
        if (is_last) {
            break;
        }
    }
    if (reader->rc == HR_MEMORY) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    return reader->rc == HR_OK
               ? HR_OK
               : hr__error_set(err, (hr_code)reader->rc, HR_STAGE_DECODE, "the XML has %s", reader->why);
}

static int xml_as_json(const expat_api *api, hr_str body, const xml_rules *rules, hr_buf *out, hr_error *err) {
    xml_reader reader = {0};
    hr__arena_init(&reader.arena, &hr__allocator_libc, 0);
    void *parser = api->parser_new("utf-8", NULL, NULL);
    int rc;
    if (parser == NULL) {
        rc = hr__error_memory(err, HR_STAGE_DECODE);
    } else {
        api->set_ctx(parser, &reader);
        api->set_element(parser, start_element, end_element);
        api->set_text(parser, take_text);
        api->set_doctype(parser, refuse_doctype);
        rc = read_xml(api, parser, &reader, body, err);
        api->parser_free(parser);
    }
    if (rc == HR_OK) {
        bool is_first = true, listed = false;
        element *root = reader.root;
        for (size_t i = 0; i < rules->n_list; i++) {
            listed = listed || hr__str_eq(rules->list[i], root->name);
        }
        rc = hr__buf_append_str(out, "{");
        rc = rc == HR_OK ? write_key((hr_str){"", 0}, root->name, &is_first, out, err) : rc;
        rc = rc == HR_OK ? hr__buf_append_str(out, listed ? "[" : "") : rc;
        rc = rc == HR_OK ? write_element(&reader, rules, root, out, err) : rc;
        rc = rc == HR_OK ? hr__buf_append_str(out, listed ? "]}" : "}") : rc;
        if (rc == HR_OK && reader.rc != HR_OK) {
            rc = HR_MEMORY;
        }
        if (rc == HR_MEMORY || rc == HR_LIMIT) {
            rc = hr__error_memory(err, HR_STAGE_DECODE);
        }
    }
    hr__free(&hr__allocator_libc, reader.heads);
    hr__arena_free(&reader.arena);
    return rc;
}

static const expat_api *find_expat(void) {
    const expat_api *api = PyCapsule_Import("pyexpat.expat_CAPI", 0);
    if (api != NULL && (strcmp(api->magic, "pyexpat.expat_CAPI 1.1") != 0 || (size_t)api->size < sizeof *api)) {
        PyErr_SetString(PyExc_ImportError, "this Python's pyexpat is not the one that was expected");
        return NULL;
    }
    return api;
}

PyObject *ext_xml_text(PyObject *module, PyObject *args) {
    hr_str body, prefix;
    Py_ssize_t body_size, prefix_size;
    PyObject *names;
    if (!PyArg_ParseTuple(args, "y#s#O!", &body.data, &body_size, &prefix.data, &prefix_size, &PyTuple_Type, &names)) {
        return NULL;
    }
    body.size_bytes = (size_t)body_size;
    prefix.size_bytes = (size_t)prefix_size;
    const expat_api *api = find_expat();
    xml_rules rules = {.prefix = prefix};
    if (api == NULL || ext_strs(names, &rules.list, &rules.n_list) < 0) {
        return NULL;
    }
    hr_buf out;
    hr_error err = {.offset_bytes = -1, .record = -1};
    int rc;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    Py_BEGIN_ALLOW_THREADS rc = xml_as_json(api, body, &rules, &out, &err);
    Py_END_ALLOW_THREADS PyMem_Free((void *)rules.list);
    PyObject *text = rc == HR_OK ? PyBytes_FromStringAndSize(out.data, (Py_ssize_t)out.size_bytes)
                                 : ext_raise(PyModule_GetState(module), &err, -1);
    hr__buf_free(&out);
    return text;
}
