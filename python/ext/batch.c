/* SPDX-License-Identifier: Apache-2.0
 *
 * TableBatch: one table's rows, handed over through the Arrow PyCapsule interface
 * (https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html).
 */
#include "ext.h"

typedef struct BatchObject {
    PyObject_HEAD PyObject *name, *parent, *new_columns;
    size_t n_rows, n_bytes;
    bool is_new;
    struct ArrowArray array; /* release NULL: taken */
    struct ArrowSchema schema;
} BatchObject;

static void Batch_dealloc(BatchObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->array.release != NULL) {
        self->array.release(&self->array);
    }
    if (self->schema.release != NULL) {
        self->schema.release(&self->schema);
    }
    Py_XDECREF(self->name);
    Py_XDECREF(self->parent);
    Py_XDECREF(self->new_columns);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *columns_list(const hr_output_table *table) {
    PyObject *list = PyList_New((Py_ssize_t)table->n_new_columns);
    for (size_t i = 0; i < table->n_new_columns && list != NULL; i++) {
        const hr_column *column = &table->new_columns[i];
        PyObject *item = Py_BuildValue("(Nsiii)", ext_text(column->name), hr__type_name((hr_type)column->type),
                                       (int)column->flags, column->type == HR_TYPE_DECIMAL ? column->precision : 0,
                                       column->type == HR_TYPE_DECIMAL ? column->scale : 0);
        if (item == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return list;
}

/* Moves table's arrays into a new object. */
static PyObject *batch_new(ext_state *state, hr_output_table *table) {
    BatchObject *self = (BatchObject *)state->batch_type->tp_alloc(state->batch_type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->n_rows = table->n_rows;
    self->n_bytes = table->n_bytes;
    self->is_new = table->is_new;
    self->name = ext_text(hr__str(table->name));
    self->parent = table->parent == NULL ? Py_NewRef(Py_None) : ext_text(hr__str(table->parent));
    self->new_columns = columns_list(table);
    if (self->name == NULL || self->parent == NULL || self->new_columns == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->array = table->array;
    self->schema = table->schema;
    table->array.release = NULL;
    table->schema.release = NULL;
    return (PyObject *)self;
}

PyObject *ext_batches(ext_state *state, hr_output *output) {
    PyObject *list = PyList_New((Py_ssize_t)output->n_tables);
    for (size_t t = 0; t < output->n_tables && list != NULL; t++) {
        PyObject *batch = batch_new(state, &output->tables[t]);
        if (batch == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)t, batch);
    }
    hr__output_free(output);
    return list;
}

static void release_schema_capsule(PyObject *capsule) {
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema->release != NULL) {
        schema->release(schema);
    }
    PyMem_Free(schema);
}

static void release_array_capsule(PyObject *capsule) {
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (array->release != NULL) {
        array->release(array);
    }
    PyMem_Free(array);
}

static PyObject *Batch_arrow_c_array(BatchObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"requested_schema", NULL};
    PyObject *requested = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &requested)) {
        return NULL;
    }
    if (self->array.release == NULL) {
        PyErr_SetString(PyExc_ValueError, "these rows were taken before");
        return NULL;
    }
    struct ArrowSchema *schema = PyMem_Calloc(1, sizeof *schema);
    struct ArrowArray *array = PyMem_Calloc(1, sizeof *array);
    PyObject *schema_capsule = NULL, *array_capsule = NULL;
    if (schema == NULL || array == NULL) {
        PyErr_NoMemory();
        goto fail;
    }
    schema_capsule = PyCapsule_New(schema, "arrow_schema", release_schema_capsule);
    if (schema_capsule == NULL) {
        goto fail;
    }
    schema = NULL; /* the capsule's */
    array_capsule = PyCapsule_New(array, "arrow_array", release_array_capsule);
    if (array_capsule == NULL) {
        goto fail;
    }
    array = NULL;
    PyObject *pair = PyTuple_Pack(2, schema_capsule, array_capsule);
    if (pair != NULL) {
        *(struct ArrowSchema *)PyCapsule_GetPointer(schema_capsule, "arrow_schema") = self->schema;
        *(struct ArrowArray *)PyCapsule_GetPointer(array_capsule, "arrow_array") = self->array;
        self->schema.release = NULL;
        self->array.release = NULL;
    }
    Py_DECREF(schema_capsule);
    Py_DECREF(array_capsule);
    return pair;
fail:
    Py_XDECREF(schema_capsule);
    PyMem_Free(schema);
    PyMem_Free(array);
    return NULL;
}

int ext_arrow_of(ext_state *state, PyObject *batch, PyObject **owner_out, const struct ArrowSchema **schema_out,
                 const struct ArrowArray **array_out) {
    *owner_out = NULL;
    if (Py_TYPE(batch) == state->batch_type && ((BatchObject *)batch)->array.release != NULL) {
        *schema_out = &((BatchObject *)batch)->schema;
        *array_out = &((BatchObject *)batch)->array;
        *owner_out = Py_NewRef(batch);
        return 0;
    }
    PyObject *pair = PyObject_CallMethod(batch, "__arrow_c_array__", NULL), *schema, *array;
    if (pair != NULL && PyArg_ParseTuple(pair, "OO", &schema, &array)) {
        *schema_out = PyCapsule_GetPointer(schema, "arrow_schema");
        *array_out = *schema_out == NULL ? NULL : PyCapsule_GetPointer(array, "arrow_array");
        if (*array_out != NULL) {
            *owner_out = pair;
            return 0;
        }
    }
    Py_XDECREF(pair);
    return -1;
}

static PyObject *Batch_get_name(BatchObject *self, void *unused) {
    return Py_NewRef(self->name);
}
static PyObject *Batch_get_parent(BatchObject *self, void *unused) {
    return Py_NewRef(self->parent);
}
static PyObject *Batch_get_new_columns(BatchObject *self, void *unused) {
    return Py_NewRef(self->new_columns);
}
static PyObject *Batch_get_n_rows(BatchObject *self, void *unused) {
    return PyLong_FromSize_t(self->n_rows);
}
static PyObject *Batch_get_n_bytes(BatchObject *self, void *unused) {
    return PyLong_FromSize_t(self->n_bytes);
}
/* [(name, Arrow format, nullable)]; empty once they are taken. */
static PyObject *Batch_get_columns(BatchObject *self, void *unused) {
    int64_t n = self->array.release == NULL ? 0 : self->schema.n_children;
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (int64_t c = 0; list != NULL && c < n; c++) {
        const struct ArrowSchema *column = self->schema.children[c];
        PyObject *item = Py_BuildValue("(NsN)", ext_text(hr__str(column->name)), column->format,
                                       PyBool_FromLong((column->flags & ARROW_FLAG_NULLABLE) != 0));
        if (item == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)c, item);
    }
    return list;
}
static PyObject *Batch_get_is_new(BatchObject *self, void *unused) {
    return PyBool_FromLong(self->is_new);
}

static PyMethodDef Batch_methods[] = {
    {"__arrow_c_array__", (PyCFunction)(void (*)(void))Batch_arrow_c_array, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Batch_getset[] = {
    {"name", (getter)Batch_get_name, NULL, NULL, NULL},
    {"parent", (getter)Batch_get_parent, NULL, NULL, NULL},
    {"new_columns", (getter)Batch_get_new_columns, NULL, NULL, NULL},
    {"n_rows", (getter)Batch_get_n_rows, NULL, NULL, NULL},
    {"n_bytes", (getter)Batch_get_n_bytes, NULL, NULL, NULL},
    {"columns", (getter)Batch_get_columns, NULL, NULL, NULL},
    {"is_new", (getter)Batch_get_is_new, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Batch_slots[] = {
    {Py_tp_dealloc, Batch_dealloc},
    {Py_tp_methods, Batch_methods},
    {Py_tp_getset, Batch_getset},
    {Py_tp_doc, "Rows of one table, exported once through __arrow_c_array__."},
    {0, NULL},
};

static PyType_Spec Batch_spec = {
    .name = "headrace._core.TableBatch",
    .basicsize = sizeof(BatchObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Batch_slots,
};

int ext_add_batch(PyObject *module, ext_state *state) {
    return ext_add_type(module, &Batch_spec, &state->batch_type);
}
