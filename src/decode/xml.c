/* SPDX-License-Identifier: Apache-2.0
 *
 * A record becomes a tree in an arena, then a line; the arena is reset. Attributes, children and a text beside them are
 * members alike. When an element ends its members are grouped: the first of a name (a head) is followed through `same`
 * by the others.
 *
 *   <r x="1"><b>2</b><c/><b>3</b></r>      r.first -> x -> b -> c -> b      heads x, b, c; b.same -> the other b
 */
#include "xml.h"

#include "doc_write.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PIECE = 1 << 16, /* bytes that are parsed at a time: an int for expat, and what follows an error is not looked at */
    MIXED_MAX = 16,  /* heads that are compared one by one */
    ROOT_MAX = 255,  /* bytes of the root's name that are kept */
    MEMBER_BYTES = 8, /* of a member, beside its name and value, in max_record_bytes */
};
#define SEPARATOR '\n' /* between a namespace and a name: neither has it */

typedef struct text_piece {
    struct text_piece *next;
    hr_str text; /* in the arena */
} text_piece;

typedef struct member {
    struct member *parent, *next, *first, *last; /* of the tree; members in order */
    struct member *same, *same_last;             /* the others of its name, from a head on */
    text_piece *text, *text_last;                /* until it ends */
    hr_str key, value;
    uint32_t seq;
    bool is_head;
    bool is_text; /* an attribute or a text beside members: an empty value is no null */
} member;

struct hr_xml_reader {
    hr_xml_options options;
    XML_Parser parser;
    hr_arena arena;      /* of the record that is open */
    member *record, *at; /* at: the innermost open element; NULL: none is a record's */
    member **heads;      /* cap_heads; of the element that ends */
    size_t cap_heads;
    uint32_t depth, n_matched; /* elements that are open; of them, from the root on, on the path */
    uint32_t n_members;        /* of the record */
    size_t record_bytes, default_bytes;
    uint64_t n_records, fed_bytes;
    size_t root_bytes;
    char root[ROOT_MAX];
    hr_buf *out;   /* borrowed, while bytes are fed */
    hr_error *err; /* borrowed, may be NULL; while bytes are fed */
    int rc;        /* the first failure; nothing is done after it */
};

void hr__xml_options_init(hr_xml_options *options) {
    *options = (hr_xml_options){.alloc = &hr__allocator_libc,
                                .text_key = {"text", 4},
#define HR_X(field, type, value, text) .field = (value),
                                HR_XML_LIMITS(HR_X)
#undef HR_X
    };
}

/* ---------------------------------------------------------------------------------------------------- errors */

static void stop(hr_xml_reader *reader, int rc) {
    reader->rc = rc;
    (void)XML_StopParser(reader->parser, XML_FALSE);
}

static void out_of_memory(hr_xml_reader *reader) {
    if (reader->rc == HR_OK) {
        stop(reader, hr__error_memory(reader->err, HR_STAGE_DECODE));
    }
}

/* Bytes before what is parsed. */
static int64_t offset_of(const hr_xml_reader *reader) {
    int64_t at = (int64_t)XML_GetCurrentByteIndex(reader->parser);
    return at < 0 ? 0 : at; /* before the first byte: -1 */
}

/* Where an error is: in a document of many records, behind how many. */
static void set_record(const hr_xml_reader *reader) {
    hr_error *err = reader->err;
    if (err == NULL || reader->options.n_path == 0) {
        return;
    }
    err->record = (int64_t)reader->n_records;
    size_t used = strlen(err->message);
    (void)snprintf(err->message + used, sizeof err->message - used, "; %llu records stand before it",
                   (unsigned long long)reader->n_records);
}

/* what: with its verb; detail stands in backticks behind it, as much as is readable. */
static void refuse(hr_xml_reader *reader, hr_code code, const char *what, const char *detail, const char *why) {
    if (reader->rc != HR_OK) {
        return;
    }
    int64_t offset = offset_of(reader);
    const char *mark = *detail == '\0' ? "" : "`";
    hr__error_at(reader->err, code, HR_STAGE_DECODE, offset, "the XML %s%s%.100s%s%s, at line %llu, byte %lld", what,
                 mark, detail, mark, why, (unsigned long long)XML_GetCurrentLineNumber(reader->parser),
                 (long long)offset);
    set_record(reader);
    stop(reader, code);
}

/* A number in the words of the limit. */
static void refuse_limit(hr_xml_reader *reader, const char *what, size_t limit, const char *unit) {
    char text[100];
    (void)snprintf(text, sizeof text, "%s%zu%s", what, limit, unit);
    refuse(reader, HR_LIMIT, text, "", "");
}

/* ---------------------------------------------------------------------------------------------------- memory */

static void *take(hr_xml_reader *reader, size_t size_bytes) {
    void *out = hr__arena_alloc(&reader->arena, size_bytes);
    if (out == NULL) {
        out_of_memory(reader);
    }
    return out;
}

/* Counts bytes of the record. */
static bool has_room(hr_xml_reader *reader, size_t size_bytes) {
    const hr_xml_options *options = &reader->options;
    reader->record_bytes += size_bytes;
    if (reader->record_bytes > options->max_record_bytes) {
        refuse_limit(reader, "has a record that is larger than max_body_bytes, ", options->max_record_bytes, " bytes");
        return false;
    }
    return true;
}

/* Copies prefix and text, one behind the other. */
static hr_str copy(hr_xml_reader *reader, hr_str prefix, hr_str text) {
    size_t size = prefix.size_bytes + text.size_bytes;
    char *out = take(reader, size + 1);
    if (out == NULL) {
        return (hr_str){"", 0};
    }
    if (prefix.size_bytes != 0) {
        memcpy(out, prefix.data, prefix.size_bytes);
    }
    memcpy(out + prefix.size_bytes, text.data, text.size_bytes);
    return (hr_str){out, size};
}

/* A member more of the element that is open; NULL: no room. */
static member *add_member(hr_xml_reader *reader, hr_str prefix, hr_str name) {
    if (!has_room(reader, name.size_bytes + MEMBER_BYTES)) {
        return NULL;
    }
    if (++reader->n_members > reader->options.max_members) {
        refuse_limit(reader, "has a record of more than ", reader->options.max_members, " elements and attributes");
        return NULL;
    }
    member *made = take(reader, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    member *parent = reader->at;
    *made = (member){.parent = parent, .seq = reader->n_members, .key = copy(reader, prefix, name)};
    if (parent != NULL) {
        *(parent->last == NULL ? &parent->first : &parent->last->next) = made;
        parent->last = made;
    }
    return made;
}

/* ---------------------------------------------------------------------------------------------------- names */

/* The part of expat's name that is a member's; *uri_out: before it. */
static hr_str local_name(const hr_xml_reader *reader, const char *name, hr_str *uri_out) {
    const char *cut = reader->options.namespaces ? strrchr(name, SEPARATOR) : NULL;
    *uri_out = cut == NULL ? (hr_str){"", 0} : (hr_str){name, (size_t)(cut - name)};
    return hr__str(cut == NULL ? name : cut + 1);
}

static bool is_named(hr_str uri, hr_str name, hr_str wanted) {
    if (wanted.size_bytes == 1 && *wanted.data == '*') {
        return true;
    }
    if (wanted.size_bytes == 0 || *wanted.data != '{') {
        return hr__str_eq(name, wanted);
    }
    size_t size = uri.size_bytes + 2;
    return wanted.size_bytes == size + name.size_bytes && wanted.data[size - 1] == '}' &&
           memcmp(wanted.data + 1, uri.data, uri.size_bytes) == 0 &&
           memcmp(wanted.data + size, name.data, name.size_bytes) == 0;
}

/* Whether the element that starts outside of records is one. */
static bool is_record(hr_xml_reader *reader, hr_str uri, hr_str name) {
    const hr_xml_options *options = &reader->options;
    if (options->n_path == 0) {
        return true;
    }
    if (options->anywhere) {
        return is_named(uri, name, options->path[0]);
    }
    if (reader->n_matched + 1 == reader->depth && reader->n_matched < options->n_path &&
        is_named(uri, name, options->path[reader->n_matched])) {
        reader->n_matched++;
    }
    return reader->n_matched == options->n_path && reader->depth == options->n_path;
}

/* ---------------------------------------------------------------------------------------------------- tree */

static void add_attributes(hr_xml_reader *reader, const char **attributes) {
    for (; *attributes != NULL && reader->rc == HR_OK; attributes += 2) {
        hr_str uri, name = local_name(reader, attributes[0], &uri), value = hr__str(attributes[1]);
        member *made = add_member(reader, reader->options.attribute_prefix, name);
        if (made != NULL && has_room(reader, value.size_bytes)) {
            made->is_text = true;
            made->value = copy(reader, (hr_str){"", 0}, value);
        }
    }
}

static void start_element(void *ctx, const char *full_name, const char **attributes) {
    hr_xml_reader *reader = ctx;
    if (reader->rc != HR_OK) {
        return;
    }
    hr_str uri, name = local_name(reader, full_name, &uri);
    if (reader->depth == 0) {
        reader->root_bytes = name.size_bytes < ROOT_MAX ? name.size_bytes : ROOT_MAX;
        memcpy(reader->root, name.data, reader->root_bytes);
    }
    if (++reader->depth > reader->options.max_depth) {
        refuse_limit(reader, "has elements nested deeper than ", reader->options.max_depth, "");
        return;
    }
    if (reader->record == NULL && !is_record(reader, uri, name)) {
        return;
    }
    member *made = add_member(reader, (hr_str){"", 0}, name);
    if (made == NULL) {
        return;
    }
    if (reader->record == NULL) {
        reader->record = made;
    }
    reader->at = made;
    add_attributes(reader, attributes);
}

static bool is_xml_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void take_text(void *ctx, const char *text, int size) {
    hr_xml_reader *reader = ctx;
    if (reader->rc != HR_OK || reader->at == NULL) {
        return;
    }
    member *to = reader->at;
    if (to->text == NULL) { /* white space before a text is left out: most of it is between elements */
        while (size > 0 && is_xml_space(*text)) {
            text++;
            size--;
        }
        if (size == 0) {
            return;
        }
    }
    text_piece *piece = has_room(reader, (size_t)size) ? take(reader, sizeof *piece) : NULL;
    if (piece == NULL) {
        return;
    }
    *piece = (text_piece){.text = copy(reader, (hr_str){"", 0}, (hr_str){text, (size_t)size})};
    *(to->text_last == NULL ? &to->text : &to->text_last->next) = piece;
    to->text_last = piece;
}

static void join(member *head, member *other) {
    head->same_last->same = other;
    head->same_last = other->same_last;
    other->is_head = false;
}

static int by_key(const void *a, const void *b) {
    const member *x = *(member *const *)a, *y = *(member *const *)b;
    size_t least = x->key.size_bytes < y->key.size_bytes ? x->key.size_bytes : y->key.size_bytes;
    int order = memcmp(x->key.data, y->key.data, least);
    if (order == 0 && x->key.size_bytes != y->key.size_bytes) {
        order = x->key.size_bytes < y->key.size_bytes ? -1 : 1;
    }
    return order != 0 ? order : x->seq < y->seq ? -1 : 1;
}

/* Runs of one name first: in most documents nothing is left to do then. */
static void group_members(hr_xml_reader *reader, member *parent) {
    size_t n = 0;
    member *head = NULL;
    for (member *one = parent->first; one != NULL; one = one->next) {
        one->same_last = one;
        one->is_head = head == NULL || !hr__str_eq(head->key, one->key);
        if (!one->is_head) {
            join(head, one);
            continue;
        }
        head = one;
        if (hr__grow(reader->arena.alloc, (void **)&reader->heads, &reader->cap_heads, n + 1, sizeof(member *)) !=
            HR_OK) {
            out_of_memory(reader);
            return;
        }
        reader->heads[n++] = one;
    }
    member **heads = reader->heads;
    if (n > MIXED_MAX) {
        qsort(heads, n, sizeof *heads, by_key);
        for (size_t i = 1, first = 0; i < n; i++) {
            if (hr__str_eq(heads[first]->key, heads[i]->key)) {
                join(heads[first], heads[i]);
            } else {
                first = i;
            }
        }
        return;
    }
    for (size_t i = 1; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (heads[j]->is_head && hr__str_eq(heads[j]->key, heads[i]->key)) {
                join(heads[j], heads[i]);
                break;
            }
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- texts */

/* Bytes of the white space character at the start, as Python's str.isspace has it; 0: none. Control characters that
 * XML does not allow are left out. */
static size_t space_at(const char *data, size_t size_bytes) {
    const unsigned char *at = (const unsigned char *)data;
    if (size_bytes >= 1 && is_xml_space(*data)) {
        return 1;
    }
    if (size_bytes >= 2 && at[0] == 0xC2 && (at[1] == 0x85 || at[1] == 0xA0)) { /* U+0085, U+00A0 */
        return 2;
    }
    if (size_bytes < 3 || at[0] < 0xE1 || at[0] > 0xE3) {
        return 0;
    }
    uint32_t code = (uint32_t)(at[0] & 0x0F) << 12 | (uint32_t)(at[1] & 0x3F) << 6 | (at[2] & 0x3F);
    bool is_space = code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
                    code == 0x202F || code == 0x205F || code == 0x3000;
    return is_space ? 3 : 0;
}

static hr_str stripped(hr_str text) {
    size_t n;
    while ((n = space_at(text.data, text.size_bytes)) != 0) {
        text = (hr_str){text.data + n, text.size_bytes - n};
    }
    while (text.size_bytes != 0) {
        size_t start = text.size_bytes - 1;
        while (start > 0 && ((unsigned char)text.data[start] & 0xC0) == 0x80) {
            start--;
        }
        n = text.size_bytes - start;
        if (space_at(text.data + start, n) != n) {
            break;
        }
        text.size_bytes = start;
    }
    return text;
}

/* The element's own text; size 0: none. Pieces are joined in the arena. */
static hr_str text_of(hr_xml_reader *reader, const member *of) {
    if (of->text == NULL) {
        return (hr_str){"", 0};
    }
    if (of->text->next == NULL) {
        return stripped(of->text->text);
    }
    size_t size = 0;
    for (const text_piece *piece = of->text; piece != NULL; piece = piece->next) {
        size += piece->text.size_bytes;
    }
    char *joined = take(reader, size), *to = joined;
    if (joined == NULL) {
        return (hr_str){"", 0};
    }
    for (const text_piece *piece = of->text; piece != NULL; piece = piece->next) {
        memcpy(to, piece->text.data, piece->text.size_bytes);
        to += piece->text.size_bytes;
    }
    return stripped((hr_str){joined, size});
}

/* ---------------------------------------------------------------------------------------------------- lines */

static bool is_list(const hr_xml_options *options, const member *head) {
    if (head->same != NULL) {
        return true;
    }
    for (size_t i = 0; i < options->n_list && !head->is_text; i++) {
        if (hr__str_eq(options->list[i], head->key)) {
            return true;
        }
    }
    return false;
}

static int write_key(hr_str key, bool is_first, hr_buf *out, hr_error *err) {
    HR_TRY(hr__buf_append_str(out, is_first ? "{" : ","));
    HR_TRY(hr__doc_write_string(key, 0, out, err));
    return hr__buf_append_str(out, ":");
}

static int write_value(const hr_xml_options *options, const member *of, hr_buf *out, hr_error *err);

/* `"key":` and the value, or the list of values, of a head. */
static int write_member(const hr_xml_options *options, const member *head, bool is_first, hr_buf *out, hr_error *err) {
    bool listed = is_list(options, head);
    HR_TRY(write_key(head->key, is_first, out, err));
    HR_TRY(hr__buf_append_str(out, listed ? "[" : ""));
    for (const member *one = head; one != NULL; one = one->same) {
        HR_TRY(hr__buf_append_str(out, one == head ? "" : ","));
        HR_TRY(write_value(options, one, out, err));
    }
    return hr__buf_append_str(out, listed ? "]" : "");
}

/* Recursive as deep as the document, at most max_depth. */
static int write_value(const hr_xml_options *options, const member *of, hr_buf *out, hr_error *err) {
    if (of->first == NULL) {
        return of->value.size_bytes == 0 && !of->is_text ? hr__buf_append_str(out, "null")
                                                         : hr__doc_write_string(of->value, 0, out, err);
    }
    for (const member *head = of->first; head != NULL; head = head->next) {
        if (head->is_head) {
            HR_TRY(write_member(options, head, head == of->first, out, err));
        }
    }
    return hr__buf_append_str(out, "}");
}

static int write_record(const hr_xml_options *options, const member *record, hr_buf *out, hr_error *err) {
    if (options->n_path == 0) {
        HR_TRY(write_member(options, record, true, out, err));
        return hr__buf_append_str(out, "}\n");
    }
    if (record->first != NULL) {
        HR_TRY(write_value(options, record, out, err));
        return hr__buf_append_str(out, "\n");
    }
    HR_TRY(write_key(options->text_key, true, out, err));
    HR_TRY(write_value(options, record, out, err));
    return hr__buf_append_str(out, "}\n");
}

static void end_record(hr_xml_reader *reader) {
    size_t before = reader->out->size_bytes;
    int rc = write_record(&reader->options, reader->record, reader->out, reader->err);
    if (rc != HR_OK) {
        reader->out->size_bytes = before;
        if (rc == HR_LIMIT) {
            refuse_limit(reader, "as JSON is larger than allowed, ", reader->out->limit_bytes, " bytes");
        } else {
            out_of_memory(reader);
        }
        return;
    }
    reader->n_records++;
    reader->n_members = 0;
    reader->record_bytes = 0;
    reader->record = NULL;
    hr__arena_reset(&reader->arena);
}

static void end_element(void *ctx, const char *name) {
    hr_xml_reader *reader = ctx;
    if (reader->rc != HR_OK) {
        return;
    }
    reader->depth--;
    reader->n_matched = reader->n_matched > reader->depth ? reader->depth : reader->n_matched;
    member *ended = reader->at;
    if (ended == NULL) {
        return;
    }
    hr_str value = text_of(reader, ended);
    if (ended->first == NULL) {
        ended->value = value;
    } else {
        if (value.size_bytes != 0) {
            member *text = add_member(reader, (hr_str){"", 0}, reader->options.text_key);
            if (text != NULL) {
                text->is_text = true;
                text->value = value;
            }
        }
        group_members(reader, ended);
    }
    reader->at = ended->parent;
    if (reader->rc == HR_OK && reader->at == NULL) {
        reader->record->is_head = true;
        end_record(reader);
    }
}

/* ---------------------------------------------------------------------------------------------------- refused */

static void see_doctype(void *ctx, const char *name, const char *system, const char *public, int has_subset) {
    hr_xml_reader *reader = ctx;
    if (reader->options.refuse_doctype) {
        refuse(reader, HR_UNSUPPORTED, "has a document type declaration, which may hold entities", "", "");
    }
}

static void refuse_entity(void *ctx, const char *name, int is_parameter, const char *value, int size, const char *base,
                          const char *system, const char *public, const char *notation) {
    refuse(ctx, HR_UNSUPPORTED, "declares the entity ", name, ": entities are refused");
}

static void refuse_skipped(void *ctx, const char *name, int is_parameter) {
    refuse(ctx, HR_UNSUPPORTED, "uses the entity ", name, ", which it does not declare");
}

static int refuse_external(XML_Parser parser, const char *context, const char *base, const char *system,
                           const char *public) {
    refuse(XML_GetUserData(parser), HR_UNSUPPORTED, "refers to something outside of it: that is refused", "", "");
    return XML_STATUS_ERROR;
}

/* A value that each element of a name takes: a bomb, if it is large. */
static void see_default(void *ctx, const char *element, const char *attribute, const char *type, const char *value,
                        int is_required) {
    hr_xml_reader *reader = ctx;
    reader->default_bytes += value == NULL ? 0 : strlen(value);
    if (reader->default_bytes > reader->options.max_default_bytes) {
        refuse_limit(reader, "declares values of attributes of more than ", reader->options.max_default_bytes,
                     " bytes");
    }
}

/* ---------------------------------------------------------------------------------------------------- feed */

int hr__xml_reader_new(const hr_xml_options *options, hr_xml_reader **reader_out, hr_error *err) {
    if (options->n_path > HR_XML_PATH_MAX) {
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_DECODE, "the path has %zu names, more than %d", options->n_path,
                             HR_XML_PATH_MAX);
    }
    hr_xml_reader *reader = hr__calloc(options->alloc, 1, sizeof *reader);
    if (reader == NULL) {
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    reader->options = *options;
    hr__arena_init(&reader->arena, options->alloc, 0);
    const char separator[] = {SEPARATOR, '\0'};
    XML_Parser parser = XML_ParserCreate_MM(options->encoding, NULL, options->namespaces ? separator : NULL);
    if (parser == NULL) {
        hr__xml_reader_free(reader);
        return hr__error_memory(err, HR_STAGE_DECODE);
    }
    reader->parser = parser;
    XML_SetUserData(parser, reader);
    XML_SetElementHandler(parser, start_element, end_element);
    XML_SetCharacterDataHandler(parser, take_text);
    XML_SetStartDoctypeDeclHandler(parser, see_doctype);
    XML_SetEntityDeclHandler(parser, refuse_entity);
    XML_SetSkippedEntityHandler(parser, refuse_skipped);
    XML_SetExternalEntityRefHandler(parser, refuse_external);
    XML_SetAttlistDeclHandler(parser, see_default);
    (void)XML_SetParamEntityParsing(parser, XML_PARAM_ENTITY_PARSING_NEVER);
    *reader_out = reader;
    return HR_OK;
}

void hr__xml_reader_free(hr_xml_reader *reader) {
    if (reader == NULL) {
        return;
    }
    if (reader->parser != NULL) {
        XML_ParserFree(reader->parser);
    }
    hr__free(reader->options.alloc, reader->heads);
    hr__arena_free(&reader->arena);
    hr__free(reader->options.alloc, reader);
}

/* What expat found wrong, unless it was stopped. */
static void fail(hr_xml_reader *reader) {
    if (reader->rc != HR_OK) {
        return;
    }
    enum XML_Error code = XML_GetErrorCode(reader->parser);
    if (code == XML_ERROR_NO_MEMORY) {
        out_of_memory(reader);
        return;
    }
    bool is_encoding = code == XML_ERROR_UNKNOWN_ENCODING || code == XML_ERROR_INCORRECT_ENCODING;
    int64_t offset = offset_of(reader);
    reader->rc = is_encoding ? HR_UNSUPPORTED : HR_SYNTAX;
    hr__error_at(reader->err, (hr_code)reader->rc, HR_STAGE_DECODE, offset,
                 "the XML is not well-formed: %s at line %llu, column %llu, byte %lld",
                 reader->fed_bytes == 0 ? "it is empty" : XML_ErrorString(code),
                 (unsigned long long)XML_GetCurrentLineNumber(reader->parser),
                 (unsigned long long)XML_GetCurrentColumnNumber(reader->parser) + 1, (long long)offset);
    set_record(reader);
}

/* Bytes that expat holds until a tag ends are scanned again with each piece: that is the square of a tag's size. */
static void check_open_tag(hr_xml_reader *reader) {
    if (reader->fed_bytes - (uint64_t)offset_of(reader) > reader->options.max_tag_bytes) {
        refuse_limit(reader, "has a tag or a comment of more than ", reader->options.max_tag_bytes, " bytes");
    }
}

int hr__xml_feed(hr_xml_reader *reader, const char *data, size_t size_bytes, bool is_last, hr_buf *out, hr_error *err) {
    reader->out = out;
    reader->err = err;
    for (size_t at = 0, size = 0; reader->rc == HR_OK; at += size) {
        size = size_bytes - at < PIECE ? size_bytes - at : PIECE;
        bool is_end = at + size == size_bytes;
        reader->fed_bytes += size;
        if (XML_Parse(reader->parser, data + at, (int)size, is_end && is_last) != XML_STATUS_OK) {
            fail(reader);
        } else {
            check_open_tag(reader);
        }
        if (is_end) {
            break;
        }
    }
    reader->out = NULL;
    reader->err = NULL;
    return reader->rc;
}

uint64_t hr__xml_n_records(const hr_xml_reader *reader) {
    return reader->n_records;
}

hr_str hr__xml_root(const hr_xml_reader *reader) {
    return (hr_str){reader->root, reader->root_bytes};
}
