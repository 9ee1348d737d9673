/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: records found as a document arrives. Any cut, and what decodes: fuzz/fuzz_json.c.
 */
#include "hrtest.h"
#include "records.h"

HR_CASE(spans_are_as_drawn) {
    const char *chunks[] = {"{\"data\": [{\"a\": 1}, {\"a\": 2}, {\"a", "\": 3}], \"n\": 1} \n"};
    hr_str path = hr__str("data");
    hr_record_finder finder;
    hr_record_span span;
    hr_error err;
    HR_CHECK_INT(hr__record_finder_init(&finder, &path, 1, &err), HR_OK);
    HR_CHECK_INT(hr__record_finder_scan(&finder, chunks[0], strlen(chunks[0]), &span, &err), HR_OK);
    HR_CHECK(span.has_begin && span.has_end && !span.is_done);
    HR_CHECK_INT(span.begin, 10);
    HR_CHECK_INT(span.end, 28);
    HR_CHECK_INT(finder.n_records, 2);
    HR_CHECK_INT(hr__record_finder_finish(&finder, &err), HR_SYNTAX);
    HR_CHECK_INT(err.offset_bytes, 33);
    HR_CHECK_STR(hr__str(err.message), "the document ends within a string at byte 33");
    HR_CHECK_INT(hr__record_finder_scan(&finder, chunks[1], strlen(chunks[1]), &span, &err), HR_OK);
    HR_CHECK(span.has_begin && span.has_end && span.is_done);
    HR_CHECK_INT(span.begin, 0);
    HR_CHECK_INT(span.end, 5);
    HR_CHECK_INT(hr__record_finder_finish(&finder, &err), HR_OK);
}

HR_CASE(a_path_has_limits) {
    hr_str path[HR_RECORDS_PATH_MAX + 1] = {{NULL, 0}};
    hr_record_finder finder;
    hr_error err;
    HR_CHECK_INT(hr__record_finder_init(&finder, path, HR_RECORDS_PATH_MAX, &err), HR_OK);
    HR_CHECK_INT(hr__record_finder_init(&finder, path, HR_RECORDS_PATH_MAX + 1, &err), HR_LIMIT);
    HR_CHECK_STR(hr__str(err.message), "the path has 17 keys, more than 16");
    path[0] = (hr_str){"", HR_RECORDS_KEY_MAX + 1};
    HR_CHECK_INT(hr__record_finder_init(&finder, path, 1, &err), HR_LIMIT);
    HR_CHECK_STR(hr__str(err.message), "a key of the path has 257 bytes, more than 256");
}

int main(void) {
    HR_RUN(spans_are_as_drawn);
    HR_RUN(a_path_has_limits);
    return HR_DONE();
}
