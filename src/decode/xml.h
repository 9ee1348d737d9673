/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: XML as JSON text, as it arrives: bytes in, whole records out. A record is an element at a path, or the whole
 * document. expat parses.
 *
 *   path a/r, names without namespaces           <a><r x="1"><b>2</b><c/><b>3</b>t</r><r>4</r></a>
 *     {"x":"1","b":["2","3"],"c":null,"text":"t"}
 *     {"text":"4"}
 *   no path, prefix @, text #text, as xmltodict 1.0 reads it
 *     {"a":{"r":[{"@x":"1","b":["2","3"],"c":null,"#text":"t"},"4"]}}
 *
 * An element is its text, or an object of its attributes, its children and its text; members of one name are a list. An
 * empty element is null; white space (Python's) at the ends of texts is left out.
 */
#ifndef HR_DECODE_XML_H
#define HR_DECODE_XML_H

#include "base.h"

/* X(field, type, default, unit and meaning): every limit of the reader in one list. */
#define HR_XML_LIMITS(X)                                                                                             \
    X(max_record_bytes, size_t, (size_t)1 << 30, "a record's names, values and 8 a member")                          \
    X(max_members, uint32_t, 20000000u, "elements, attributes and texts of a record, some 150 bytes each")           \
    X(max_depth, uint32_t, 512, "elements within each other")                                                        \
    X(max_tag_bytes, uint32_t, 16u << 20, "a tag, a comment or an instruction")                                      \
    X(max_default_bytes, uint32_t, 4096, "values that a document type gives to attributes: each element takes them")

#define HR_XML_PATH_MAX 64

/* Texts are borrowed as long as the reader is used. */
typedef struct hr_xml_options {
    const hr_allocator *alloc;
    const char *encoding; /* whatever the document declares; NULL: that, or by its byte order mark, or UTF-8 */
    const hr_str *path; /* a name each: "b", "{uri}b" (namespaces), "*" for any; n_path 0: the document is the record */
    size_t n_path;
    bool anywhere; /* the one name of the path at any depth; a record within a record is its member */
    const hr_str *list;
    size_t n_list; /* elements that are lists, also of one */
    hr_str attribute_prefix, text_key;
    bool namespaces;     /* names are local ones, of whatever namespace; or else as they stand, with their prefixes */
    bool refuse_doctype; /* or else it is passed over; entities that it declares are refused in any case */
#define HR_X(field, type, value, text) type field;
    HR_XML_LIMITS(HR_X)
#undef HR_X
} hr_xml_options;

void hr__xml_options_init(hr_xml_options *options);

typedef struct hr_xml_reader hr_xml_reader;

/* HR_OK, HR_ARGUMENT (a path that is too long), HR_MEMORY. The parser's own memory is malloc's. */
HR_MUST_CHECK int hr__xml_reader_new(const hr_xml_options *options, hr_xml_reader **reader_out, hr_error *err);
void hr__xml_reader_free(hr_xml_reader *reader);

/* Takes the next bytes and appends a line for each record that has ended. is_last: that was all; nothing is fed after
 * it, nor after an error. What ended before an error is appended, too. HR_OK; with byte and, if there is a path,
 * record: HR_SYNTAX (not well-formed), HR_UNSUPPORTED (entities, a document type, an encoding that expat has not),
 * HR_LIMIT (also out's); HR_MEMORY. */
HR_MUST_CHECK int hr__xml_feed(hr_xml_reader *reader, const char *data, size_t size_bytes, bool is_last, hr_buf *out,
                               hr_error *err);

uint64_t hr__xml_n_records(const hr_xml_reader *reader); /* appended so far */
hr_str hr__xml_root(const hr_xml_reader *reader); /* name of the first element, at most 255 bytes of it; borrowed */

#endif
