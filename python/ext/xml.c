/* SPDX-License-Identifier: Apache-2.0
 *
 * XmlReader.
 */
#include "ext.h"

#include "xml.h"

typedef struct XmlObject {
    PyObject_HEAD hr_xml_reader *reader;
    PyObject *texts; /* the arguments, whose texts the reader borrows */
    hr_str *path, *list;
    bool is_feeding; /* in some thread */
} XmlObject;

static int parse_options(XmlObject *self, PyObject *args, PyObject *kwargs, hr_xml_options *options) {
    static char *names[] = {"path",           "lists",    "attribute_prefix", "text_key", "namespaces",
                            "refuse_doctype", "encoding", "max_record_bytes", NULL};
    PyObject *path, *lists, *prefix, *text_key, *encoding;
    int namespaces, refuse_doctype;
    Py_ssize_t prefix_size, text_size, max_record_bytes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!UUppOn", names, &PyTuple_Type, &path, &PyTuple_Type, &lists,
                                     &prefix, &text_key, &namespaces, &refuse_doctype, &encoding, &max_record_bytes)) {
        return -1;
    }
    self->texts = PyTuple_Pack(5, path, lists, prefix, text_key, encoding);
    if (self->texts == NULL || ext_strs(path, (const hr_str **)&self->path, &options->n_path) < 0 ||
        ext_strs(lists, (const hr_str **)&self->list, &options->n_list) < 0) {
        return -1;
    }
    options->anywhere = options->n_path == 2 && self->path[0].size_bytes == 0;
    options->path = self->path + options->anywhere;
    options->n_path -= options->anywhere;
    options->list = self->list;
    options->attribute_prefix.data = PyUnicode_AsUTF8AndSize(prefix, &prefix_size);
    options->text_key.data = PyUnicode_AsUTF8AndSize(text_key, &text_size);
    options->encoding = encoding == Py_None ? NULL : PyUnicode_AsUTF8(encoding);
    if (options->attribute_prefix.data == NULL || options->text_key.data == NULL ||
        (options->encoding == NULL && encoding != Py_None)) {
        return -1;
    }
    options->attribute_prefix.size_bytes = (size_t)prefix_size;
    options->text_key.size_bytes = (size_t)text_size;
    options->namespaces = namespaces != 0;
    options->refuse_doctype = refuse_doctype != 0;
    options->max_record_bytes = (size_t)max_record_bytes;
    return 0;
}

static PyObject *Xml_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    XmlObject *self = (XmlObject *)type->tp_alloc(type, 0);
    hr_xml_options options;
    hr_error err;
    hr__xml_options_init(&options);
    if (self == NULL || parse_options(self, args, kwargs, &options) < 0) {
        Py_XDECREF(self);
        return NULL;
    }
    if (hr__xml_reader_new(&options, &self->reader, &err) != HR_OK) {
        Py_DECREF(self);
        return ext_raise(ext_state_of_type(type), &err, -1);
    }
    return (PyObject *)self;
}

static void Xml_dealloc(XmlObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    hr__xml_reader_free(self->reader);
    PyMem_Free(self->path);
    PyMem_Free(self->list);
    Py_CLEAR(self->texts);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *Xml_feed(XmlObject *self, PyObject *args) {
    Py_buffer view;
    int is_last = 0;
    if (!PyArg_ParseTuple(args, "y*|p", &view, &is_last)) {
        return NULL;
    }
    if (self->is_feeding) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_RuntimeError, "another thread feeds this reader");
        return NULL;
    }
    hr_buf out;
    hr_error err = {.offset_bytes = -1, .record = -1};
    int rc;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    self->is_feeding = true;
    Py_BEGIN_ALLOW_THREADS rc = hr__xml_feed(self->reader, view.buf, (size_t)view.len, is_last != 0, &out, &err);
    Py_END_ALLOW_THREADS self->is_feeding = false;
    PyBuffer_Release(&view);
    PyObject *lines = PyBytes_FromStringAndSize(out.data, (Py_ssize_t)out.size_bytes);
    hr__buf_free(&out);
    PyObject *error = rc == HR_OK ? Py_NewRef(Py_None) : ext_error_new(ext_state_of_type(Py_TYPE(self)), &err, -1);
    if (lines == NULL || error == NULL) {
        Py_XDECREF(lines);
        Py_XDECREF(error);
        return NULL;
    }
    return Py_BuildValue("(NN)", lines, error);
}

static PyObject *Xml_get_n_records(XmlObject *self, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(hr__xml_n_records(self->reader));
}

static PyObject *Xml_get_root(XmlObject *self, void *unused) {
    (void)unused;
    hr_str root = hr__xml_root(self->reader);
    return PyUnicode_DecodeUTF8(root.data, (Py_ssize_t)root.size_bytes, "replace");
}

static PyMethodDef Xml_methods[] = {
    {"feed", (PyCFunction)Xml_feed, METH_VARARGS, PyDoc_STR("The lines of records that the next bytes end.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Xml_getset[] = {
    {"n_records", (getter)Xml_get_n_records, NULL, PyDoc_STR("Records so far."), NULL},
    {"root", (getter)Xml_get_root, NULL, PyDoc_STR("Name of the first element."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Xml_slots[] = {
    {Py_tp_new, Xml_new},
    {Py_tp_dealloc, Xml_dealloc},
    {Py_tp_methods, Xml_methods},
    {Py_tp_getset, Xml_getset},
    {Py_tp_doc, "XML as JSON text, as it arrives."},
    {0, NULL},
};

static PyType_Spec Xml_spec = {
    .name = "headrace._core.XmlReader",
    .basicsize = sizeof(XmlObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Xml_slots,
};

int ext_add_xml(PyObject *module) {
    return ext_add_type(module, &Xml_spec, NULL);
}
