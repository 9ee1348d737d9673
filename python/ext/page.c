/* SPDX-License-Identifier: Apache-2.0
 *
 * Page.
 */
#include "ext.h"

PyObject *ext_page_new(ext_state *state, EngineObject *owner, hr_page *page) {
    PageObject *self = (PageObject *)state->page_type->tp_alloc(state->page_type, 0);
    if (self == NULL) {
        hr__page_free(page);
        return NULL;
    }
    self->owner = (EngineObject *)Py_NewRef(owner);
    self->page = page;
    return (PyObject *)self;
}

static void Page_dealloc(PageObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    hr__page_free(self->page);
    Py_XDECREF(self->owner);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The page's info; false with an exception set when it was released. */
static bool page_info(PageObject *self, hr_page_info *info) {
    if (self->page == NULL) {
        PyErr_SetString(PyExc_ValueError, "the page was released or accepted");
        return false;
    }
    hr__page_info(self->page, info);
    return true;
}

static PyObject *Page_release(PageObject *self, PyObject *unused) {
    hr__page_free(self->page);
    self->page = NULL;
    Py_RETURN_NONE;
}

static PyObject *Page_body(PageObject *self, PyObject *unused) {
    hr_page_info info;
    if (!page_info(self, &info)) {
        return NULL;
    }
    return PyBytes_FromStringAndSize(info.body.data, (Py_ssize_t)info.body.size_bytes);
}

static PyObject *Page_decode(PageObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"body", "lines", NULL};
    const char *body = NULL;
    Py_ssize_t size = 0;
    int lines = 0;
    hr_page_info info;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|z#p", names, &body, &size, &lines) || !page_info(self, &info)) {
        return NULL;
    }
    hr_error err;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = hr__page_decode(self->page, (hr_str){body, (size_t)size}, lines != 0, &err);
    Py_END_ALLOW_THREADS if (rc != HR_OK) {
        return ext_raise(ext_state_of_type(Py_TYPE(self)), &err, info.tag);
    }
    Py_RETURN_NONE;
}

static PyObject *Page_select(PageObject *self, PyObject *arg) {
    hr_page_info info;
    hr_step *steps;
    size_t n_steps;
    if (!page_info(self, &info) || ext_steps(arg, &steps, &n_steps) < 0) {
        return NULL;
    }
    hr_error err;
    int rc = hr__page_select(self->page, steps, n_steps, &err);
    PyMem_Free(steps);
    if (rc != HR_OK) {
        return ext_raise(ext_state_of_type(Py_TYPE(self)), &err, info.tag);
    }
    hr__page_info(self->page, &info);
    return PyLong_FromSize_t(info.n_records);
}

/* bytes of out, which is freed; or raises err. */
static PyObject *bytes_of(PageObject *self, hr_buf *out, int rc, const hr_error *err) {
    PyObject *bytes;
    if (rc != HR_OK) {
        hr_error memory = {.code = HR_MEMORY, .offset_bytes = -1, .record = -1};
        hr_page_info info;
        hr__page_info(self->page, &info);
        bytes = ext_raise(ext_state_of_type(Py_TYPE(self)), err->code == HR_OK ? &memory : err, info.tag);
    } else {
        bytes = PyBytes_FromStringAndSize(out->data, (Py_ssize_t)out->size_bytes);
    }
    hr__buf_free(out);
    return bytes;
}

static PyObject *Page_shape(PageObject *self, PyObject *unused) {
    hr_page_info info;
    if (!page_info(self, &info)) {
        return NULL;
    }
    hr_buf out;
    hr_error err = {0};
    hr__buf_init(&out, &hr__allocator_libc, 0);
    return bytes_of(self, &out, hr__page_shape(self->page, &out, &err), &err);
}

static PyObject *Page_envelope(PageObject *self, PyObject *unused) {
    hr_page_info info;
    if (!page_info(self, &info)) {
        return NULL;
    }
    hr_buf out;
    hr_error err = {0};
    hr__buf_init(&out, &hr__allocator_libc, 0);
    return bytes_of(self, &out, hr__page_envelope(self->page, &out, &err), &err);
}

static PyObject *Page_project(PageObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"keys", "keep", NULL};
    PyObject *key_list;
    const char *keep = NULL;
    Py_ssize_t keep_size = 0;
    hr_page_info info;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|z#", names, &key_list, &keep, &keep_size) ||
        !page_info(self, &info)) {
        return NULL;
    }
    if (keep != NULL && (size_t)keep_size != info.n_records) {
        PyErr_Format(PyExc_ValueError, "keep has %zd bytes for %zu records", keep_size, info.n_records);
        return NULL;
    }
    hr_str *keys = NULL;
    Py_ssize_t n_keys = 0;
    PyObject *list = NULL;
    if (key_list != Py_None) {
        list = PySequence_Fast(key_list, "keys must be a sequence of str");
        if (list == NULL) {
            return NULL;
        }
        n_keys = PySequence_Fast_GET_SIZE(list);
        keys = PyMem_Calloc((size_t)n_keys + 1, sizeof *keys);
        if (keys == NULL) {
            Py_DECREF(list);
            return PyErr_NoMemory();
        }
        for (Py_ssize_t i = 0; i < n_keys; i++) {
            Py_ssize_t size;
            keys[i].data = PyUnicode_AsUTF8AndSize(PySequence_Fast_GET_ITEM(list, i), &size);
            if (keys[i].data == NULL) {
                PyMem_Free(keys);
                Py_DECREF(list);
                return NULL;
            }
            keys[i].size_bytes = (size_t)size;
        }
    }
    hr_buf out;
    hr_error err = {0};
    hr__buf_init(&out, &hr__allocator_libc, 0);
    int rc = hr__page_project(self->page, keys, (size_t)n_keys, (const uint8_t *)keep, &out, &err);
    PyMem_Free(keys);
    Py_XDECREF(list);
    return bytes_of(self, &out, rc, &err);
}

/* Splits text into bytes objects. NULL with an exception set. */
static PyObject *list_of_texts(const hr_buf *text, const size_t *ends, size_t n) {
    PyObject *list = PyList_New((Py_ssize_t)n);
    size_t start = 0;
    for (size_t i = 0; i < n && list != NULL; i++) {
        PyObject *one = PyBytes_FromStringAndSize((const char *)text->data + start, (Py_ssize_t)(ends[i] - start));
        if (one == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, one);
        start = ends[i];
    }
    return list;
}

static PyObject *Page_texts(PageObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"keep", "extra", NULL};
    const char *keep = NULL, *extra = NULL;
    Py_ssize_t keep_size = 0, extra_size = 0;
    hr_page_info info;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|z#z#", names, &keep, &keep_size, &extra, &extra_size) ||
        !page_info(self, &info)) {
        return NULL;
    }
    if (keep != NULL && (size_t)keep_size != info.n_records) {
        PyErr_Format(PyExc_ValueError, "keep has %zd bytes for %zu records", keep_size, info.n_records);
        return NULL;
    }
    size_t *ends = PyMem_RawCalloc(info.n_records + 1, sizeof *ends), n = 0;
    if (ends == NULL) {
        return PyErr_NoMemory();
    }
    hr_buf out;
    hr_error err = {.offset_bytes = -1, .record = -1};
    int rc;
    hr__buf_init(&out, &hr__allocator_libc, 0);
    Py_BEGIN_ALLOW_THREADS rc =
        hr__page_texts(self->page, (const uint8_t *)keep, (hr_str){extra, (size_t)extra_size}, &out, ends, &n, &err);
    Py_END_ALLOW_THREADS PyObject *list = NULL;
    if (rc == HR_OK) {
        list = list_of_texts(&out, ends, n);
    } else if (err.code == HR_OK) {
        PyErr_NoMemory();
    } else {
        ext_raise(ext_state_of_type(Py_TYPE(self)), &err, info.tag);
    }
    hr__buf_free(&out);
    PyMem_RawFree(ends);
    return list;
}

/* What the head of an answer says, as http.client reads it. */
static PyObject *latin1(hr_str text) {
    return PyUnicode_DecodeLatin1(text.data == NULL ? "" : text.data, (Py_ssize_t)text.size_bytes, NULL);
}

/* X(attribute, expression over info giving a new object) */
#define PAGE_ATTRIBUTES(X)                                                        \
    X(tag, PyLong_FromLongLong(info.tag))                                         \
    X(status, PyLong_FromLong(info.status))                                       \
    X(reason, latin1(info.reason))                                                \
    X(url, ext_text(info.url))                                                    \
    X(attempts, PyLong_FromUnsignedLong(info.attempts))                           \
    X(throttled, PyLong_FromUnsignedLong(info.throttled))                         \
    X(window, PyLong_FromUnsignedLong(info.window))                               \
    X(wire_bytes, PyLong_FromUnsignedLongLong(info.wire_bytes))                   \
    X(elapsed_ms, PyFloat_FromDouble(info.elapsed_ms))                            \
    X(size, PyLong_FromSize_t(info.body.size_bytes))                              \
    X(encoded, PyBool_FromLong(info.encoded))                                     \
    X(is_early, PyBool_FromLong(info.is_early))                                   \
    X(decoded, PyBool_FromLong(info.decoded))                                     \
    X(n_records, PyLong_FromSize_t(info.n_records))                               \
    X(fingerprint, PyLong_FromUnsignedLongLong(hr__page_fingerprint(self->page)))

#define X(name, expression)                                            \
    static PyObject *Page_get_##name(PageObject *self, void *unused) { \
        hr_page_info info;                                             \
        return page_info(self, &info) ? (expression) : NULL;           \
    }
PAGE_ATTRIBUTES(X)
#undef X

static PyObject *Page_get_error(PageObject *self, void *unused) {
    hr_page_info info;
    if (!page_info(self, &info)) {
        return NULL;
    }
    if (info.error == NULL) {
        Py_RETURN_NONE;
    }
    return ext_error_new(ext_state_of_type(Py_TYPE(self)), info.error, info.tag);
}

static PyObject *Page_get_headers(PageObject *self, void *unused) {
    hr_page_info info;
    if (!page_info(self, &info)) {
        return NULL;
    }
    PyObject *list = PyList_New((Py_ssize_t)info.n_headers);
    for (size_t i = 0; i < info.n_headers && list != NULL; i++) {
        PyObject *pair = Py_BuildValue("(NN)", latin1(info.headers[i].name), latin1(info.headers[i].value));
        if (pair == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
    }
    return list;
}

static PyMethodDef Page_methods[] = {
    {"body", (PyCFunction)Page_body, METH_NOARGS, NULL},
    {"decode", (PyCFunction)(void (*)(void))Page_decode, METH_VARARGS | METH_KEYWORDS, NULL},
    {"select", (PyCFunction)Page_select, METH_O, NULL},
    {"shape", (PyCFunction)Page_shape, METH_NOARGS, NULL},
    {"envelope", (PyCFunction)Page_envelope, METH_NOARGS, NULL},
    {"project", (PyCFunction)(void (*)(void))Page_project, METH_VARARGS | METH_KEYWORDS, NULL},
    {"texts", (PyCFunction)(void (*)(void))Page_texts, METH_VARARGS | METH_KEYWORDS, NULL},
    {"release", (PyCFunction)Page_release, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Page_getset[] = {
#define X(name, expression) {#name, (getter)Page_get_##name, NULL, NULL, NULL},
    PAGE_ATTRIBUTES(X)
#undef X
        {"error", (getter)Page_get_error, NULL, NULL, NULL},
    {"headers", (getter)Page_get_headers, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Page_slots[] = {
    {Py_tp_dealloc, Page_dealloc},
    {Py_tp_methods, Page_methods},
    {Py_tp_getset, Page_getset},
    {Py_tp_doc, "One answer, fetched and decoded (or failed)."},
    {0, NULL},
};

static PyType_Spec Page_spec = {
    .name = "headrace._core.Page",
    .basicsize = sizeof(PageObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Page_slots,
};

int ext_add_page(PyObject *module, ext_state *state) {
    return ext_add_type(module, &Page_spec, &state->page_type);
}
