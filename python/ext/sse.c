/* SPDX-License-Identifier: Apache-2.0
 *
 * Server-sent events as JSON lines.
 */
#include "ext.h"

#include "sse.h"

PyObject *ext_sse_lines(PyObject *module, PyObject *args) {
    Py_buffer body;
    const char *id;
    Py_ssize_t id_size, max_events;
    if (!PyArg_ParseTuple(args, "y*y#n", &body, &id, &id_size, &max_events)) {
        return NULL;
    }
    const hr_json_options options = {.alloc = &hr__allocator_libc};
    hr_json_decoder *decoder = NULL;
    hr_sse_info info;
    hr_buf out;
    hr_error err = {.offset_bytes = -1, .record = -1};
    hr__buf_init(&out, &hr__allocator_libc, 0);
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = hr__json_decoder_new(&options, &decoder, &err);
    if (rc == HR_OK) {
        rc = hr__sse_lines(decoder, (hr_str){body.buf, (size_t)body.len}, (hr_str){id, (size_t)id_size},
                           max_events < 0 ? 0 : (size_t)max_events, &out, &info, &err);
    }
    hr__json_decoder_free(decoder);
    Py_END_ALLOW_THREADS PyObject *found =
        rc != HR_OK ? ext_raise(PyModule_GetState(module), &err, -1)
                    : Py_BuildValue("y#nny#L", out.data == NULL ? "" : out.data, (Py_ssize_t)out.size_bytes,
                                    (Py_ssize_t)info.used_bytes, (Py_ssize_t)info.n_events,
                                    info.id.data == NULL ? "" : info.id.data, (Py_ssize_t)info.id.size_bytes,
                                    (long long)info.retry_ms);
    hr__buf_free(&out);
    PyBuffer_Release(&body);
    return found;
}
