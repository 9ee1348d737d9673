/* SPDX-License-Identifier: Apache-2.0
 *
 * write_text: an Arrow batch into a load file's text. The layout comes as a dict, see _core.pyi.
 */
#include "ext.h"

#include "text.h"
#include "text_value.h"

/* What is written at once. Guessed: large beside the cost of a call, small beside the memory limit. */
#define PIECE_BYTES ((size_t)1 << 20)
/* A row of text; Arrow's columns of one batch hold less. */
#define ROW_BYTES_MAX ((size_t)4 << 30)

/* A str or bytes of the dict, borrowed. -1 with an exception set. */
static int text_of(PyObject *object, hr_str *out) {
    Py_ssize_t size = 0;
    char *data = NULL;
    if (object == NULL) {
        return -1;
    }
    if (PyBytes_Check(object)) {
        data = PyBytes_AS_STRING(object);
        size = PyBytes_GET_SIZE(object);
    } else {
        data = (char *)PyUnicode_AsUTF8AndSize(object, &size);
    }
    *out = (hr_str){data, (size_t)size};
    return data == NULL ? -1 : 0;
}

/* The dict's value (borrowed), which must be there. */
static PyObject *value_of(PyObject *layout, const char *key) {
    PyObject *value = PyDict_GetItemString(layout, key);
    if (value == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_KeyError, "the layout has no %s", key);
    }
    return value;
}

static int text_at(PyObject *layout, const char *key, hr_str *out) {
    PyObject *value = value_of(layout, key);
    return value == NULL ? -1 : text_of(value, out);
}

/* A number that is one of 0..max. */
static int number_at(PyObject *layout, const char *key, size_t max, size_t *out) {
    PyObject *value = value_of(layout, key);
    size_t number = value == NULL ? 0 : PyLong_AsSize_t(value);
    if (PyErr_Occurred() == NULL && number > max) {
        PyErr_Format(PyExc_ValueError, "%s is %zu, above %zu", key, number, max);
    }
    *out = number;
    return PyErr_Occurred() == NULL ? 0 : -1;
}

/* {type: (form, open, close)}; a type that is not there is refused. */
static int read_cells(PyObject *layout, hr_text_layout *out) {
    PyObject *cells = value_of(layout, "cells"), *name, *value;
    if (cells == NULL || !PyDict_Check(cells)) {
        return PyErr_Occurred() ? -1 : (PyErr_SetString(PyExc_TypeError, "cells must be a dict"), -1);
    }
    for (size_t i = 0; i < HR_TYPE_COUNT; i++) {
        out->cells[i].form = HR_TEXT_REFUSED;
    }
    for (Py_ssize_t at = 0; PyDict_Next(cells, &at, &name, &value);) {
        static const char *const forms[] = {
            [HR_TEXT_WRAPPED] = "wrapped", [HR_TEXT_ESCAPED] = "escaped", [HR_TEXT_QUOTED] = "quoted"};
        hr_str type;
        const char *form;
        PyObject *open, *close;
        if (text_of(name, &type) < 0 || !PyArg_ParseTuple(value, "sOO", &form, &open, &close)) {
            return -1;
        }
        hr_text_cell *cell = &out->cells[hr__type_of_name(type)];
        for (int f = HR_TEXT_WRAPPED; f <= HR_TEXT_QUOTED; f++) {
            cell->form = strcmp(form, forms[f]) == 0 ? (hr_text_form)f : cell->form;
        }
        if (text_of(open, &cell->open) < 0 || text_of(close, &cell->close) < 0) {
            return -1;
        }
    }
    return 0;
}

/* {character: text} */
static int read_escapes(PyObject *layout, hr_text_layout *out) {
    PyObject *escapes = value_of(layout, "escapes"), *key, *value;
    if (escapes == NULL || !PyDict_Check(escapes)) {
        return PyErr_Occurred() ? -1 : (PyErr_SetString(PyExc_TypeError, "escapes must be a dict"), -1);
    }
    for (Py_ssize_t at = 0; PyDict_Next(escapes, &at, &key, &value);) {
        hr_str c;
        if (text_of(key, &c) < 0) {
            return -1;
        }
        if (c.size_bytes != 1) {
            PyErr_SetString(PyExc_ValueError, "only ASCII characters have escapes");
            return -1;
        }
        out->escaped[(uint8_t)c.data[0]] = 1;
        if (text_of(value, &out->escapes[(uint8_t)c.data[0]]) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The characters of a string get this mark. */
static int mark(PyObject *layout, const char *key, uint8_t set[256], uint8_t as) {
    hr_str chars;
    if (text_at(layout, key, &chars) < 0) {
        return -1;
    }
    for (size_t i = 0; i < chars.size_bytes; i++) {
        set[(uint8_t)chars.data[i]] = as;
    }
    return 0;
}

static int read_layout(PyObject *layout, hr_text_layout *out) {
    size_t skip_null, date_time, orjson_doubles, bytes;
    *out = (hr_text_layout){0};
    if (text_at(layout, "row_open", &out->row_open) < 0 || text_at(layout, "row_between", &out->row_between) < 0 ||
        text_at(layout, "row_close", &out->row_close) < 0 || text_at(layout, "cell_between", &out->cell_between) < 0 ||
        text_at(layout, "null", &out->null) < 0 || text_at(layout, "false", &out->words[0]) < 0 ||
        text_at(layout, "true", &out->words[1]) < 0 || text_at(layout, "zone", &out->zone) < 0 ||
        text_at(layout, "size_close", &out->size_close) < 0 || number_at(layout, "skip_null", 1, &skip_null) < 0 ||
        number_at(layout, "date_time", 127, &date_time) < 0 ||
        number_at(layout, "orjson_doubles", 1, &orjson_doubles) < 0 ||
        number_at(layout, "bytes", HR_TEXT_BYTES_UTF8, &bytes) < 0 ||
        number_at(layout, "bytes_max", SIZE_MAX / 2, &out->bytes_max) < 0 || read_cells(layout, out) < 0 ||
        read_escapes(layout, out) < 0 || mark(layout, "quoted", out->quoted, 1) < 0 ||
        mark(layout, "refused", out->quoted, 2) < 0) {
        return -1;
    }
    if (out->zone.size_bytes > HR_TEXT_ZONE_MAX) {
        PyErr_SetString(PyExc_ValueError, "the zone is too long");
        return -1;
    }
    out->skip_null = skip_null != 0;
    out->date_time = (char)date_time;
    out->orjson_doubles = orjson_doubles != 0;
    out->bytes = bytes == HR_TEXT_BYTES_HEX      ? HR_TEXT_BYTES_HEX
                 : bytes == HR_TEXT_BYTES_BASE64 ? HR_TEXT_BYTES_BASE64
                                                 : HR_TEXT_BYTES_UTF8;
    return 0;
}

/* [(label, child, type, naive)], borrowed from the list. *out: PyMem_Free. */
static int read_columns(PyObject *list, hr_text_column **out, size_t *n_out) {
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "columns must be a list");
        return -1;
    }
    size_t n = (size_t)PyList_GET_SIZE(list);
    hr_text_column *columns = PyMem_Calloc(n + 1, sizeof *columns);
    if (columns == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        PyObject *label;
        const char *type;
        int naive;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, (Py_ssize_t)i), "Oisp", &label, &columns[i].child, &type, &naive) ||
            text_of(label, &columns[i].label) < 0) {
            PyMem_Free(columns);
            return -1;
        }
        columns[i].type = (uint8_t)hr__type_of_name(hr__str(type));
        columns[i].naive = naive != 0;
    }
    *out = columns;
    *n_out = n;
    return 0;
}

/* All rows, a piece at a time, into write. -1 with an exception set. */
static int write_rows(ext_state *state, const hr_text_layout *layout, const hr_text_column *columns, size_t n_columns,
                      const struct ArrowSchema *schema, const struct ArrowArray *array, bool follows, PyObject *write) {
    hr_buf out;
    hr_error err;
    int64_t row = 0;
    int rc = HR_OK;
    hr__buf_init(&out, &hr__allocator_libc, ROW_BYTES_MAX);
    while (rc == HR_OK && row < array->length) {
        out.size_bytes = 0;
        Py_BEGIN_ALLOW_THREADS;
        rc = hr__text_rows(layout, columns, n_columns, schema, array, follows, &row, PIECE_BYTES, &out, &err);
        Py_END_ALLOW_THREADS;
        PyObject *written = out.size_bytes == 0 && rc != HR_OK
                                ? Py_NewRef(Py_None)
                                : PyObject_CallFunction(write, "y#", out.data, (Py_ssize_t)out.size_bytes);
        if (written == NULL) {
            hr__buf_free(&out);
            return -1;
        }
        Py_DECREF(written);
    }
    hr__buf_free(&out);
    if (rc != HR_OK) {
        err.record = row;
        ext_raise(state, &err, -1);
        return -1;
    }
    return 0;
}

PyObject *ext_write_text(PyObject *module, PyObject *args) {
    PyObject *batch, *layout_dict, *column_list, *write, *owner = NULL;
    int follows;
    hr_text_layout layout;
    hr_text_column *columns = NULL;
    size_t n_columns = 0;
    if (!PyArg_ParseTuple(args, "OO!OpO", &batch, &PyDict_Type, &layout_dict, &column_list, &follows, &write) ||
        read_layout(layout_dict, &layout) < 0 || read_columns(column_list, &columns, &n_columns) < 0) {
        return NULL;
    }
    ext_state *state = PyModule_GetState(module);
    const struct ArrowSchema *schema;
    const struct ArrowArray *array;
    int rc = ext_arrow_of(state, batch, &owner, &schema, &array);
    rc = rc < 0 ? -1 : write_rows(state, &layout, columns, n_columns, schema, array, follows != 0, write);
    Py_XDECREF(owner);
    PyMem_Free(columns);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}
