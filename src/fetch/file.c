/* SPDX-License-Identifier: Apache-2.0
 *
 * A part of a file, by pread.
 */
#include "file.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

int hr__file_read(int fd, uint64_t offset, size_t size_bytes, size_t padding_bytes, hr_buf *out, hr_error *err) {
    if (size_bytes > SIZE_MAX - padding_bytes || hr__buf_reserve(out, size_bytes + padding_bytes) != HR_OK) {
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    for (size_t done = 0; done < size_bytes;) {
        ssize_t n = pread(fd, out->data + out->size_bytes, size_bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hr__error_set(err, HR_IO, HR_STAGE_FETCH, "the file could not be read at byte %" PRIu64 ": %s",
                                 offset + done, strerror(errno));
        }
        if (n == 0) {
            return hr__error_set(err, HR_IO, HR_STAGE_FETCH, "the file ends at byte %" PRIu64 ", before byte %" PRIu64,
                                 offset + done, offset + size_bytes);
        }
        out->size_bytes += (size_t)n;
        done += (size_t)n;
    }
    return HR_OK;
}
