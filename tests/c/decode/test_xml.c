/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: XML as JSON text, whole and cut at every byte; what is refused; failing allocations.
 */
#include "hrtest.h"
#include "xml.h"

typedef struct xml_case {
    const char *path; /* names with '/' between them; NULL: the document, as xmltodict has it */
    hr_str text;
    const char *lines;
    const char *error; /* NULL: none */
} xml_case;

#define TEXT(literal) {literal, sizeof literal - 1}

static const xml_case cases[] = {
    {"a/r", TEXT("<a><r x=\"1\"><b>2</b><c/><b>3</b>t</r><r>4</r><s/></a>"),
     "{\"x\":\"1\",\"b\":[\"2\",\"3\"],\"c\":null,\"text\":\"t\"}\n{\"text\":\"4\"}\n", NULL},
    {NULL, TEXT("<a><r x=\"1\"><b>2</b><c/><b>3</b>t</r><r>4</r></a>"),
     "{\"a\":{\"r\":[{\"@x\":\"1\",\"b\":[\"2\",\"3\"],\"c\":null,\"#text\":\"t\"},\"4\"]}}\n", NULL},
    /* namespaces are told apart by the path only */
    {"*/{u}r", TEXT("<a xmlns:n='u'><n:r n:x='1' x='2'/><r x='3'/></a>"), "{\"x\":[\"1\",\"2\"]}\n", NULL},
    {NULL, TEXT("<n:a xmlns:n='u'><n:b n:x='1'/></n:a>"), "{\"n:a\":{\"@xmlns:n\":\"u\",\"n:b\":{\"@n:x\":\"1\"}}}\n",
     NULL},
    /* an attribute, a child and the text of one name; a child that is a list also alone */
    {"r", TEXT("<r text=''><text/>x<l>1</l></r>"), "{\"text\":[\"\",null,\"x\"],\"l\":[\"1\"]}\n", NULL},
    /* white space as Python has it, but within a text */
    {"a/r", TEXT("<a><r> \xC2\xA0\xE2\x80\xA8x\xC2\xA0y\xE3\x80\x80\n</r><r>\xC2\x85</r></a>"),
     "{\"text\":\"x\xC2\xA0y\"}\n{\"text\":null}\n", NULL},
    {"a/r", TEXT("<a><r>a<!-- no --> <?pi?><b/> &lt;&#65;<![CDATA[<&]]></r></a>"),
     "{\"b\":null,\"text\":\"a  <A<&\"}\n", NULL},
    {"r", TEXT("<!DOCTYPE r [<!ATTLIST r x CDATA '1'>]><r/>"), "{\"x\":\"1\"}\n", NULL},
    {"r", TEXT("\xFE\xFF\0<\0r\0>\0\xE9\0<\0/\0r\0>"), "{\"text\":\"\xC3\xA9\"}\n", NULL},
    {"r", TEXT("<?xml version='1.0' encoding='iso-8859-1'?><r>\xE9</r>"), "{\"text\":\"\xC3\xA9\"}\n", NULL},
    {"a/r", TEXT("<a><r>1</r><r>2</a>"), "{\"text\":\"1\"}\n",
     "the XML is not well-formed: mismatched tag at line 1, column 18, byte 17; 1 records stand before it"},
    {NULL, TEXT("<a>\n<b>"), "", "the XML is not well-formed: no element found at line 2, column 4, byte 7"},
    {"r", TEXT(""), "",
     "the XML is not well-formed: it is empty at line 1, column 1, byte 0; 0 records stand before it"},
    {"r", TEXT("<r>\xFF</r>"), "",
     "the XML is not well-formed: not well-formed (invalid token) at line 1, column 4, byte 3; 0 records stand before "
     "it"},
    {"r", TEXT("<!DOCTYPE r [<!ENTITY e 'x'>]><r>&e;</r>"), "",
     "the XML declares the entity `e`: entities are refused, at line 1, byte 24; 0 records stand before it"},
    {"r", TEXT("<!DOCTYPE r SYSTEM 'x'><r>&e;</r>"), "",
     "the XML uses the entity `e`, which it does not declare, at line 1, byte 26; 0 records stand before it"},
    {NULL, TEXT("<!DOCTYPE a><a/>"), "",
     "the XML has a document type declaration, which may hold entities, at line 1, byte 11"},
    {"r", TEXT("<?xml version='1.0' encoding='none'?><r/>"), "",
     "the XML is not well-formed: unknown encoding at line 1, column 31, byte 30; 0 records stand before it"},
};

/* The options of a case; path and names are its storage. */
static hr_xml_options options_of(const char *path, hr_str *names) {
    static const hr_str list = {"l", 1};
    hr_xml_options options;
    hr__xml_options_init(&options);
    options.list = &list;
    options.n_list = 1;
    options.path = names;
    options.namespaces = path != NULL;
    if (path == NULL) {
        options.attribute_prefix = hr__str("@");
        options.text_key = hr__str("#text");
        options.refuse_doctype = true;
        return options;
    }
    for (const char *at = path; at != NULL && options.n_path < 4; options.n_path++) {
        const char *end = strchr(at, '/');
        names[options.n_path] = end == NULL ? hr__str(at) : (hr_str){at, (size_t)(end - at)};
        at = end == NULL ? NULL : end + 1;
    }
    return options;
}

/* Feeds the text up to a cut, then the rest. */
static int read_text(const hr_xml_options *options, hr_str text, size_t cut, hr_buf *out, hr_error *err) {
    hr_xml_reader *reader;
    int rc = hr__xml_reader_new(options, &reader, err);
    if (rc != HR_OK) {
        return rc;
    }
    rc = hr__xml_feed(reader, text.data, cut, false, out, err);
    rc = rc != HR_OK ? rc : hr__xml_feed(reader, text.data + cut, text.size_bytes - cut, true, out, err);
    hr__xml_reader_free(reader);
    return rc;
}

static void check_case(const xml_case *c, size_t cut) {
    hr_str names[4];
    hr_xml_options options = options_of(c->path, names);
    hr_buf out;
    hr_error err = {.code = HR_OK};
    hr__buf_init(&out, &hr__allocator_libc, 0);
    int rc = read_text(&options, c->text, cut, &out, &err);
    HR_CHECK_INT(rc == HR_OK, c->error == NULL);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), c->lines);
    HR_CHECK_STR(hr__str(err.message), c->error == NULL ? "" : c->error);
    hr__buf_free(&out);
}

HR_CASE(documents_are_lines_wherever_they_are_cut) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t cut = 0; cut <= cases[i].text.size_bytes; cut++) {
            check_case(&cases[i], cut);
        }
    }
}

HR_CASE(many_names_by_turns_are_lists) {
    char text[4000];
    size_t used = (size_t)snprintf(text, sizeof text, "<r>");
    for (int i = 0; i < 100; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "<n%d>%d</n%d>", i % 40, i, i % 40);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "</r>");
    hr_str name;
    hr_xml_options options = options_of("r", &name);
    hr_buf out;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    HR_CHECK_INT(read_text(&options, (hr_str){text, used}, 0, &out, NULL), HR_OK);
    HR_CHECK_INT(hr__buf_append(&out, "", 1), HR_OK);
    HR_CHECK(strstr(out.data, "{\"n0\":[\"0\",\"40\",\"80\"],\"n1\":") == out.data);
    HR_CHECK(strstr(out.data, "\"n19\":[\"19\",\"59\",\"99\"],\"n20\":[\"20\",\"60\"],") != NULL);
    hr__buf_free(&out);
}

static void check_limit(hr_xml_options *options, const char *text, const char *expected) {
    hr_str names[4];
    hr_xml_options base = options_of("a/r", names);
    options->path = base.path;
    options->n_path = base.n_path;
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        hr_buf out;
        hr_error err = {.code = HR_OK};
        hr__buf_init(&out, &hr__allocator_libc, 0);
        HR_CHECK_INT(read_text(options, hr__str(text), cut, &out, &err), HR_LIMIT);
        HR_CHECK(strncmp(err.message, expected, strlen(expected)) == 0);
        HR_CHECK_INT(err.record, 1);
        HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), "{\"text\":\"1\"}\n");
        hr__buf_free(&out);
    }
}

HR_CASE(limits_hold) {
    hr_xml_options options;
    hr__xml_options_init(&options);
    options.max_depth = 3;
    check_limit(&options, "<a><r>1</r><r><b><c/></b></r></a>", "the XML has elements nested deeper than 3, at line 1");
    hr__xml_options_init(&options);
    options.max_members = 3;
    check_limit(&options, "<a><r>1</r><r x='1'>t<b/><b/></r></a>",
                "the XML has a record of more than 3 elements and attributes");
    hr__xml_options_init(&options);
    options.max_record_bytes = 50;
    check_limit(&options, "<a><r>1</r><r>1234567890<b/>1234567890<b/>1234567890</r></a>",
                "the XML has a record that is larger than max_body_bytes, 50 bytes");
}

HR_CASE(an_open_tag_has_a_largest_size) {
    static const char *const starts[] = {"<!--", "<a><r>1</r><!--", "<a><r>1</r><r x='", "<a><r>1</r><?x "};
    hr_str names[4];
    hr_xml_options options = options_of("a/r", names);
    options.max_tag_bytes = 100;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        hr_xml_reader *reader;
        hr_buf out;
        hr_error err;
        hr__buf_init(&out, &hr__allocator_libc, 0);
        HR_CHECK_INT(hr__xml_reader_new(&options, &reader, NULL), HR_OK);
        int rc = hr__xml_feed(reader, starts[i], strlen(starts[i]), false, &out, &err);
        for (int n = 0; n < 20 && rc == HR_OK; n++) {
            rc = hr__xml_feed(reader, "0123456789", 10, false, &out, &err);
        }
        HR_CHECK_INT(rc, HR_LIMIT);
        HR_CHECK(strstr(err.message, "has a tag or a comment of more than 100 bytes") != NULL);
        hr__xml_reader_free(reader);
        hr__buf_free(&out);
    }
}

HR_CASE(values_that_a_document_type_gives_are_no_bomb) {
    static char text[8000];
    int used = snprintf(text, sizeof text, "<!DOCTYPE a [<!ATTLIST a x CDATA '");
    memset(text + used, 'x', 5000);
    (void)snprintf(text + used + 5000, sizeof text - (size_t)used - 5000, "'>]><a/>");
    hr_xml_options options;
    hr_buf out;
    hr_error err;
    hr__xml_options_init(&options);
    hr__buf_init(&out, &hr__allocator_libc, 0);
    HR_CHECK_INT(read_text(&options, hr__str(text), 0, &out, &err), HR_LIMIT);
    HR_CHECK(strstr(err.message, "declares values of attributes of more than 4096 bytes") != NULL);
    hr__buf_free(&out);
}

HR_CASE(lines_have_the_limit_of_their_buffer) {
    hr_str names[4];
    hr_xml_options options = options_of("a/r", names);
    hr_buf out;
    hr_error err;
    hr__buf_init(&out, &hr__allocator_libc, 50);
    HR_CHECK_INT(read_text(&options, hr__str("<a><r>1</r><r>2</r><r>3</r><r>4</r></a>"), 0, &out, &err), HR_LIMIT);
    HR_CHECK(out.size_bytes != 0 && out.size_bytes % strlen("{\"text\":\"1\"}\n") == 0);
    HR_CHECK(strstr(err.message, "as JSON is larger than allowed, 50 bytes") != NULL);
    hr__buf_free(&out);
}

static int read_with(const hr_allocator *alloc) {
    hr_str names[4];
    hr_xml_options options = options_of("a/r", names);
    options.alloc = alloc;
    hr_buf out;
    hr__buf_init(&out, alloc, 0);
    int rc = read_text(&options, cases[0].text, 20, &out, NULL);
    hr__buf_free(&out);
    return rc;
}

HR_CASE(each_allocation_may_fail) {
    hrtest_sweep(read_with, 100);
}

int main(void) {
    HR_RUN(documents_are_lines_wherever_they_are_cut);
    HR_RUN(many_names_by_turns_are_lists);
    HR_RUN(limits_hold);
    HR_RUN(an_open_tag_has_a_largest_size);
    HR_RUN(values_that_a_document_type_gives_are_no_bomb);
    HR_RUN(lines_have_the_limit_of_their_buffer);
    HR_RUN(each_allocation_may_fail);
    return HR_DONE();
}
