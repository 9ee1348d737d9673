/* SPDX-License-Identifier: Apache-2.0
 *
 * ParquetWriter: Arrow batches into a Parquet file. TableBatch is read as it is, other objects through the Arrow
 * PyCapsule interface.
 */
#include "ext.h"

#include "parquet.h"

/* What is written at once, or one column chunk. Guessed, as in text.c. */
#define PIECE_BYTES ((size_t)1 << 20)

typedef struct ParquetObject {
    PyObject_HEAD PyObject *write; /* NULL: the file is complete, or failed */
    hr_parquet *file;
    hr_buf out;
    bool busy; /* a call is at work, perhaps without the GIL */
} ParquetObject;

static int Parquet_traverse(ParquetObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->write);
    return 0;
}

static int Parquet_clear(ParquetObject *self) {
    Py_CLEAR(self->write);
    return 0;
}

static void Parquet_dealloc(ParquetObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Parquet_clear(self);
    hr__parquet_free(self->file);
    hr__buf_free(&self->out);
    type->tp_free(self);
    Py_DECREF(type);
}

/* [(name, format, nullable)], borrowed from the list. *out: PyMem_Free. */
static int read_columns(PyObject *list, hr_parquet_column **out) {
    Py_ssize_t n = PyList_GET_SIZE(list), size;
    hr_parquet_column *columns = PyMem_Calloc((size_t)n + 1, sizeof *columns);
    if (columns == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        const char *name, *format;
        int nullable;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "s#sp", &name, &size, &format, &nullable)) {
            PyMem_Free(columns);
            return -1;
        }
        columns[i] = (hr_parquet_column){{name, (size_t)size}, hr__str(format), nullable != 0};
    }
    *out = columns;
    return 0;
}

static PyObject *Parquet_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"columns", "write", "page_bytes", "group_rows", "compress", NULL};
    PyObject *list, *write;
    Py_ssize_t page_bytes = 1 << 20, group_rows = 1 << 20;
    int compress = 1;
    hr_parquet_column *columns = NULL;
    hr_error err;
    ext_state *state = ext_state_of_type(type);
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, "O!O|$nnp", names, &PyList_Type, &list, &write,
                                                      &page_bytes, &group_rows, &compress)) {
        return NULL;
    }
    if (page_bytes < 1 || page_bytes > 1 << 30 || group_rows < 1 || group_rows > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "page_bytes is 1 to 1 GiB, group_rows 1 to 2^31 - 1");
        return NULL;
    }
    ParquetObject *self = (ParquetObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    hr__buf_init(&self->out, &hr__allocator_libc, 0);
    if (read_columns(list, &columns) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    hr_parquet_options options = {(size_t)page_bytes, (size_t)group_rows, compress != 0,
                                  hr__str("headrace version " HR_VERSION)};
    int rc = hr__parquet_new(&hr__allocator_libc, columns, (size_t)PyList_GET_SIZE(list), &options, &self->file, &err);
    PyMem_Free(columns);
    if (rc != HR_OK) {
        Py_DECREF(self);
        return ext_raise(state, &err, -1);
    }
    self->write = Py_NewRef(write);
    return (PyObject *)self;
}

/* Gives out away. -1 with an exception set. */
static int drain(ParquetObject *self) {
    PyObject *written = PyObject_CallFunction(self->write, "y#", self->out.data, (Py_ssize_t)self->out.size_bytes);
    Py_XDECREF(written);
    self->out.size_bytes = 0;
    return written == NULL ? -1 : 0;
}

/* -1 with an exception set: the file is complete, or failed, or another call is at work on it. */
static int begin(ParquetObject *self) {
    if (self->write == NULL || self->busy) {
        PyErr_SetString(PyExc_ValueError,
                        self->busy ? "another call writes into this file" : "the file is complete, or failed");
        return -1;
    }
    self->busy = true;
    return 0;
}

static PyObject *end(ParquetObject *self, bool is_closed, int rc) {
    self->busy = false;
    if (is_closed) {
        Py_CLEAR(self->write);
    }
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* -1 with an exception set; *failed_out: after it the file is no good. */
static int write_rows(ParquetObject *self, const struct ArrowSchema *schema, const struct ArrowArray *array,
                      bool *failed_out) {
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    hr_error err;
    int rc = hr__parquet_fits(self->file, schema, array, &err);
    for (int64_t row = 0; rc == HR_OK && row < array->length;) {
        *failed_out = true; /* unless it goes well */
        Py_BEGIN_ALLOW_THREADS;
        rc = hr__parquet_rows(self->file, schema, array, &row, PIECE_BYTES, &self->out, &err);
        Py_END_ALLOW_THREADS;
        if (rc == HR_OK && drain(self) < 0) {
            return -1;
        }
    }
    if (rc != HR_OK) {
        ext_raise(state, &err, -1);
        return -1;
    }
    *failed_out = false;
    return 0;
}

static PyObject *Parquet_write(ParquetObject *self, PyObject *batch) {
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    const struct ArrowSchema *schema;
    const struct ArrowArray *array;
    PyObject *owner = NULL;
    bool failed = false;
    if (state == NULL || begin(self) < 0) {
        return NULL;
    }
    int rc = ext_arrow_of(state, batch, &owner, &schema, &array);
    rc = rc < 0 ? -1 : write_rows(self, schema, array, &failed);
    Py_XDECREF(owner);
    return end(self, failed, rc);
}

static PyObject *Parquet_finish(ParquetObject *self, PyObject *unused) {
    hr_error err;
    if (begin(self) < 0) {
        return NULL;
    }
    int rc = hr__parquet_finish(self->file, &self->out, &err);
    if (rc != HR_OK) {
        ext_raise(ext_state_of_type(Py_TYPE(self)), &err, -1);
    }
    return end(self, true, rc == HR_OK ? drain(self) : -1);
}

static PyMethodDef Parquet_methods[] = {
    {"write", (PyCFunction)Parquet_write, METH_O, PyDoc_STR("Writes the rows of an Arrow batch as row groups.")},
    {"finish", (PyCFunction)Parquet_finish, METH_NOARGS, PyDoc_STR("Writes the footer.")},
    {NULL, NULL, 0, NULL}};

static PyType_Slot Parquet_slots[] = {{Py_tp_doc, (void *)PyDoc_STR("A Parquet file that is being written.")},
                                      {Py_tp_new, Parquet_new},
                                      {Py_tp_dealloc, Parquet_dealloc},
                                      {Py_tp_traverse, Parquet_traverse},
                                      {Py_tp_clear, Parquet_clear},
                                      {Py_tp_methods, Parquet_methods},
                                      {0, NULL}};

static PyType_Spec Parquet_spec = {"headrace._core.ParquetWriter", sizeof(ParquetObject), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, Parquet_slots};

int ext_add_parquet(PyObject *module) {
    return ext_add_type(module, &Parquet_spec, NULL);
}
