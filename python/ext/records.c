/* SPDX-License-Identifier: Apache-2.0
 *
 * Records: where the records of a JSON document stand, found as it is read.
 */
#include "ext.h"

#include "records.h"

typedef struct RecordsObject {
    PyObject_HEAD hr_record_finder records;
    PyObject *path; /* a tuple of bytes, which the records borrow */
} RecordsObject;

static PyObject *Records_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"path", NULL};
    PyObject *path;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!", names, &PyTuple_Type, &path)) {
        return NULL;
    }
    RecordsObject *self = (RecordsObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->path = Py_NewRef(path);
    hr_str keys[HR_RECORDS_PATH_MAX];
    Py_ssize_t n = PyTuple_GET_SIZE(path);
    for (Py_ssize_t i = 0; i < n && i < HR_RECORDS_PATH_MAX; i++) {
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(path, i), &data, &size) < 0) {
            Py_DECREF(self);
            return NULL;
        }
        keys[i] = (hr_str){data, (size_t)size};
    }
    hr_error err;
    if (hr__record_finder_init(&self->records, keys, (size_t)n, &err) != HR_OK) {
        Py_DECREF(self);
        return ext_raise(ext_state_of_type(type), &err, -1);
    }
    return (PyObject *)self;
}

static void Records_dealloc(RecordsObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(self->path);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *Records_scan(RecordsObject *self, PyObject *chunk) {
    Py_buffer view;
    if (PyObject_GetBuffer(chunk, &view, PyBUF_SIMPLE) != 0) {
        return NULL;
    }
    hr_error err;
    hr_record_span span;
    hr_record_finder records = self->records; /* another thread would see no half of it */
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = hr__record_finder_scan(&records, view.buf, (size_t)view.len, &span, &err);
    Py_END_ALLOW_THREADS PyBuffer_Release(&view);
    if (rc != HR_OK) {
        return ext_raise(ext_state_of_type(Py_TYPE(self)), &err, -1);
    }
    self->records = records;
    return Py_BuildValue("(nnO)", span.has_begin ? (Py_ssize_t)span.begin : -1,
                         span.has_end ? (Py_ssize_t)span.end : -1, span.is_done ? Py_True : Py_False);
}

static PyObject *Records_finish(RecordsObject *self, PyObject *unused) {
    (void)unused;
    hr_error err;
    if (hr__record_finder_finish(&self->records, &err) != HR_OK) {
        return ext_raise(ext_state_of_type(Py_TYPE(self)), &err, -1);
    }
    Py_RETURN_NONE;
}

static PyObject *Records_get_n_commas(RecordsObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(self->records.n_records);
}

static PyMethodDef Records_methods[] = {
    {"scan", (PyCFunction)Records_scan, METH_O, PyDoc_STR("Where the next bytes hold the records' text.")},
    {"finish", (PyCFunction)Records_finish, METH_NOARGS, PyDoc_STR("No more bytes: raises if the document is cut.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Records_getset[] = {
    {"n_commas", (getter)Records_get_n_commas, NULL, PyDoc_STR("Commas between records so far."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Records_slots[] = {
    {Py_tp_new, Records_new},
    {Py_tp_dealloc, Records_dealloc},
    {Py_tp_methods, Records_methods},
    {Py_tp_getset, Records_getset},
    {Py_tp_doc, "Finds the records of a JSON document as it is read."},
    {0, NULL},
};

static PyType_Spec Records_spec = {
    .name = "headrace._core.Records",
    .basicsize = sizeof(RecordsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Records_slots,
};

int ext_add_records(PyObject *module) {
    return ext_add_type(module, &Records_spec, NULL);
}
