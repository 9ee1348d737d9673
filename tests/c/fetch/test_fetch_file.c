/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: parts of files.
 */
#include "file.h"
#include "hrtest.h"

#include <stdio.h>
#include <unistd.h>

static FILE *file_of(const char *text) {
    FILE *file = tmpfile();
    HR_CHECK(file != NULL && fputs(text, file) >= 0 && fflush(file) == 0);
    return file;
}

HR_CASE(a_part_is_appended) {
    FILE *file = file_of("0123456789");
    hr_buf buf;
    hr_error err;
    hr__buf_init(&buf, &hr__allocator_libc, 0);
    HR_CHECK_INT(hr__file_read(fileno(file), 2, 3, 8, &buf, &err), HR_OK);
    HR_CHECK_INT(hr__file_read(fileno(file), 9, 1, 8, &buf, &err), HR_OK);
    HR_CHECK_INT(hr__file_read(fileno(file), 100, 0, 8, &buf, &err), HR_OK);
    HR_CHECK_STR(((hr_str){buf.data, buf.size_bytes}), "2349");
    hr__buf_free(&buf);
    fclose(file);
}

HR_CASE(what_cannot_be_read_is_an_error) {
    FILE *file = file_of("0123456789");
    hr_buf buf;
    hr_error err;
    hr__buf_init(&buf, &hr__allocator_libc, 0);
    HR_CHECK_INT(hr__file_read(fileno(file), 8, 3, 0, &buf, &err), HR_IO);
    HR_CHECK_STR(hr__str(err.message), "the file ends at byte 10, before byte 11");
    HR_CHECK_INT(err.stage, HR_STAGE_FETCH);
    HR_CHECK_INT(hr__file_read(-1, 8, 3, 0, &buf, &err), HR_IO);
    HR_CHECK_STR(hr__str(err.message), "the file could not be read at byte 8: Bad file descriptor");
    HR_CHECK_INT(hr__file_read(fileno(file), 0, SIZE_MAX - 3, 8, &buf, &err), HR_MEMORY);
    hr__buf_free(&buf);
    hr__buf_init(&buf, &hr__allocator_libc, 8);
    HR_CHECK_INT(hr__file_read(fileno(file), 0, 9, 0, &buf, &err), HR_MEMORY); /* more than the buffer may hold */
    hr__buf_free(&buf);
    fclose(file);
}

int main(void) {
    HR_RUN(a_part_is_appended);
    HR_RUN(what_cannot_be_read_is_an_error);
    return HR_DONE();
}
