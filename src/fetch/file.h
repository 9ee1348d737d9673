/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: a part of a file on this machine. It is read and not mapped: a mapped file that is cut meanwhile kills the
 * process.
 */
#ifndef HR_FETCH_FILE_H
#define HR_FETCH_FILE_H

#include "base.h"

/* Appends the bytes [offset, offset + size_bytes) of the open file to out, which has room for padding_bytes more then.
 * fd: its place does not matter and stays. Errors: HR_IO, also when the file ends before, HR_MEMORY. Any thread. */
HR_MUST_CHECK int hr__file_read(int fd, uint64_t offset, size_t size_bytes, size_t padding_bytes, hr_buf *out,
                                hr_error *err);

#endif
