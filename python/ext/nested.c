/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of nested Arrow tables: which parent and place in its list a child row has, and row ids. What is given and
 * returned are the buffers of Arrow arrays (https://arrow.apache.org/docs/format/Columnar.html), as bytes.
 */
#include "ext.h"

#include "hash.h"
#include "nested_id.h"

/* offsets[0..n_lists], int64: the lists' ends are offsets[1..]. first <= stop <= offsets[n_lists]. */
static bool are_offsets(const int64_t *offsets, size_t n_lists) {
    bool sorted = offsets[0] == 0;
    for (size_t i = 0; i < n_lists; i++) {
        sorted = sorted && offsets[i] <= offsets[i + 1];
    }
    return sorted;
}

/* The list that row `row` is in: the last whose offset is <= row and that is not empty. */
static size_t find_list(const int64_t *offsets, size_t n_lists, int64_t row) {
    size_t low = 0, high = n_lists;
    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;
        if (offsets[middle] <= row) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static void fill_rows(const int64_t *offsets, size_t n_lists, int64_t first, int64_t stop, int64_t *parents,
                      int64_t *indices) {
    size_t list = find_list(offsets, n_lists, first);
    for (int64_t row = first; row < stop; row++) {
        while (offsets[list + 1] <= row) {
            list++;
        }
        parents[row - first] = (int64_t)list;
        indices[row - first] = row - offsets[list];
    }
}

PyObject *ext_nested_rows(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets;
    long long first, stop;
    if (!PyArg_ParseTuple(args, "y*LL", &offsets, &first, &stop)) {
        return NULL;
    }
    PyObject *parents = NULL, *indices = NULL, *pair = NULL;
    size_t n = (size_t)offsets.len / sizeof(int64_t);
    const int64_t *at = offsets.buf;
    if (n == 0 || (size_t)offsets.len % sizeof(int64_t) != 0 || (uintptr_t)at % sizeof(int64_t) != 0 ||
        !are_offsets(at, n - 1) || first < 0 || stop < first || stop > at[n - 1]) {
        PyErr_SetString(PyExc_ValueError, "nested_rows() wants int64 offsets of lists from 0, and rows in them");
        goto out;
    }
    if (stop - first > PY_SSIZE_T_MAX / (Py_ssize_t)sizeof(int64_t)) {
        PyErr_NoMemory();
        goto out;
    }
    Py_ssize_t size = (Py_ssize_t)(stop - first) * (Py_ssize_t)sizeof(int64_t);
    parents = PyBytes_FromStringAndSize(NULL, size);
    indices = PyBytes_FromStringAndSize(NULL, size);
    if (parents == NULL || indices == NULL) {
        goto out;
    }
    if (first < stop) {
        Py_BEGIN_ALLOW_THREADS;
        fill_rows(at, n - 1, first, stop, (int64_t *)PyBytes_AS_STRING(parents), (int64_t *)PyBytes_AS_STRING(indices));
        Py_END_ALLOW_THREADS;
    }
    pair = PyTuple_Pack(2, parents, indices);
out:
    PyBuffer_Release(&offsets);
    Py_XDECREF(parents);
    Py_XDECREF(indices);
    return pair;
}

/* Parent ids as a utf8 array lies in memory: offsets[0..n_rows], int32, into data. */
typedef struct parent_ids {
    const int32_t *offsets;
    const char *data;
    const int64_t *indices;
    size_t n_rows;
} parent_ids;

static bool are_ids(const Py_buffer *offsets, const Py_buffer *data, const Py_buffer *indices, parent_ids *out) {
    size_t n_rows = (size_t)indices->len / sizeof(int64_t);
    if ((size_t)indices->len % sizeof(int64_t) != 0 || (size_t)offsets->len != (n_rows + 1) * sizeof(int32_t) ||
        (uintptr_t)indices->buf % sizeof(int64_t) != 0 || (uintptr_t)offsets->buf % sizeof(int32_t) != 0) {
        return false;
    }
    *out = (parent_ids){offsets->buf, data->buf, indices->buf, n_rows};
    bool valid = out->offsets[0] >= 0 && out->offsets[n_rows] <= data->len;
    for (size_t row = 0; row < n_rows; row++) {
        valid = valid && out->offsets[row] <= out->offsets[row + 1] && out->indices[row] >= 0;
    }
    return valid;
}

static int fill_ids(hr_str table, const parent_ids *ids, char *out) {
    hr_arena scratch;
    hr__arena_init(&scratch, &hr__allocator_libc, 0);
    int rc = HR_OK;
    for (size_t row = 0; row < ids->n_rows && rc == HR_OK; row += HR_NESTED_ID_LANES) {
        size_t n = ids->n_rows - row < HR_NESTED_ID_LANES ? ids->n_rows - row : HR_NESTED_ID_LANES;
        hr_str parents[HR_NESTED_ID_LANES] = {{NULL, 0}};
        uint64_t indices[HR_NESTED_ID_LANES] = {0};
        for (size_t i = 0; i < n; i++) {
            const int32_t *span = ids->offsets + row + i;
            parents[i] = (hr_str){ids->data + span[0], (size_t)(span[1] - span[0])};
            indices[i] = (uint64_t)ids->indices[row + i];
        }
        rc = hr__nested_ids(table, parents, indices, n, HR_ID_BYTES, &scratch, out + row * HR_ID_CHARS);
    }
    hr__arena_free(&scratch);
    return rc;
}

PyObject *ext_nested_ids(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets, data, indices;
    const char *table;
    Py_ssize_t table_size;
    if (!PyArg_ParseTuple(args, "s#y*y*y*", &table, &table_size, &offsets, &data, &indices)) {
        return NULL;
    }
    PyObject *out = NULL;
    parent_ids ids;
    if (!are_ids(&offsets, &data, &indices, &ids)) {
        PyErr_SetString(PyExc_ValueError, "nested_ids() wants int32 offsets into the text, and an int64 index a row");
    } else if (ids.n_rows > (size_t)PY_SSIZE_T_MAX / HR_ID_CHARS) {
        PyErr_NoMemory();
    } else {
        out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(ids.n_rows * HR_ID_CHARS));
    }
    if (out != NULL) {
        int rc;
        Py_BEGIN_ALLOW_THREADS;
        rc = fill_ids((hr_str){table, (size_t)table_size}, &ids, PyBytes_AS_STRING(out));
        Py_END_ALLOW_THREADS;
        if (rc != HR_OK) {
            Py_CLEAR(out);
            PyErr_NoMemory();
        }
    }
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&data);
    PyBuffer_Release(&indices);
    return out;
}

#define LANES 8 /* of hr__shake128_x8 */

/* Ids of texts, several hashes at a time. */
static void hash_texts(const int32_t *offsets, const char *data, size_t n_rows, char *out) {
    uint8_t digests[LANES][HR_ID_BYTES];
    void *digest_at[LANES];
    for (size_t i = 0; i < LANES; i++) {
        digest_at[i] = digests[i];
    }
    for (size_t row = 0; row < n_rows; row += LANES) {
        size_t n = n_rows - row < LANES ? n_rows - row : LANES, sizes[LANES] = {0};
        const void *texts[LANES];
        for (size_t i = 0; i < LANES; i++) {
            texts[i] = i < n ? data + offsets[row + i] : data;
            sizes[i] = i < n ? (size_t)(offsets[row + i + 1] - offsets[row + i]) : 0;
        }
        hr__shake128_x8(texts, sizes, digest_at, HR_ID_BYTES);
        for (size_t i = 0; i < n; i++) {
            hr__base64(digests[i], HR_ID_BYTES, out + (row + i) * HR_ID_CHARS);
        }
    }
}

PyObject *ext_text_ids(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets, data;
    if (!PyArg_ParseTuple(args, "y*y*", &offsets, &data)) {
        return NULL;
    }
    PyObject *out = NULL;
    const int32_t *at = offsets.buf;
    size_t n = (size_t)offsets.len / sizeof(int32_t);
    bool valid = n != 0 && (size_t)offsets.len % sizeof(int32_t) == 0 && (uintptr_t)at % sizeof(int32_t) == 0 &&
                 at[0] >= 0 && at[n - 1] <= data.len;
    for (size_t row = 0; valid && row + 1 < n; row++) {
        valid = at[row] <= at[row + 1];
    }
    if (!valid) {
        PyErr_SetString(PyExc_ValueError, "text_ids() wants int32 offsets into the text");
    } else if (n - 1 > (size_t)PY_SSIZE_T_MAX / HR_ID_CHARS) {
        PyErr_NoMemory();
    } else {
        out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((n - 1) * HR_ID_CHARS));
    }
    if (out != NULL) {
        char *to = PyBytes_AS_STRING(out);
        Py_BEGIN_ALLOW_THREADS;
        hash_texts(at, data.buf, n - 1, to);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&data);
    return out;
}

PyObject *ext_random_ids(PyObject *module, PyObject *arg) {
    (void)module;
    Py_ssize_t n_rows = PyLong_AsSsize_t(arg);
    if (n_rows == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (n_rows < 0 || n_rows > PY_SSIZE_T_MAX / HR_ID_CHARS) {
        PyErr_SetString(PyExc_ValueError, "random_ids() wants a number of rows");
        return NULL;
    }
    uint8_t seed[32];
    if (hr__random_seed(seed) != HR_OK) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *out = PyBytes_FromStringAndSize(NULL, n_rows * HR_ID_CHARS);
    if (out != NULL) {
        char *at = PyBytes_AS_STRING(out);
        hr_ids ids;
        hr__ids_init(&ids, seed, 0);
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t row = 0; row < n_rows; row++, at += HR_ID_CHARS) {
            hr__ids_next(&ids, HR_ID_BYTES, at);
        }
        Py_END_ALLOW_THREADS;
    }
    return out;
}
