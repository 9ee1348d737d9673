/* SPDX-License-Identifier: Apache-2.0
 *
 * Pager: a stream's pages, asked for and accepted by the engine as long as they are ordinary.
 */
#include "ext.h"

typedef struct PagerObject {
    PyObject_HEAD EngineObject *owner; /* owned reference */
    hr_pager *pager;
} PagerObject;

/* An int or None. -1 with an exception set. */
static int parse_bound(PyObject *value, bool *has_out, int64_t *value_out) {
    *has_out = value != Py_None;
    *value_out = *has_out ? PyLong_AsLongLong(value) : 0;
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *Pager_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"stream",       "tag",    "route",      "method", "headers",  "first",
                            "before",       "after",  "number",     "value",  "step",     "limit",
                            "maximum",      "total",  "total_base", "more",   "selector", "stops_when_empty",
                            "content_type", "window", "max_window", NULL};
    ext_state *state = ext_state_of_type(type);
    StreamObject *stream;
    RouteObject *route;
    PageObject *first;
    PyObject *header_list, *limit, *maximum, *total, *more, *selector;
    const char *method, *before, *after, *content_type;
    Py_ssize_t before_size, after_size, content_type_size;
    unsigned long long number;
    long long tag, value, step, total_base;
    int stops_when_empty;
    hr_pager_options options = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!LO!sOO!s#s#KLLOOOLOOpz#II", names, state->stream_type, &stream,
                                     &tag, state->route_type, &route, &method, &header_list, state->page_type, &first,
                                     &before, &before_size, &after, &after_size, &number, &value, &step, &limit,
                                     &maximum, &total, &total_base, &more, &selector, &stops_when_empty, &content_type,
                                     &content_type_size, &options.window, &options.max_window)) {
        return NULL;
    }
    hr_page_info info = {0};
    if (first->page != NULL) {
        hr__page_info(first->page, &info);
    }
    if (!info.decoded) {
        PyErr_SetString(PyExc_ValueError, "first must be a decoded page");
        return NULL;
    }
    options.request = route->base;
    options.request.method = hr__str(method);
    options.tag = tag;
    options.before = (hr_str){before, (size_t)before_size};
    options.after = (hr_str){after, (size_t)after_size};
    options.number = number;
    options.value = value;
    options.step = step;
    options.total_base = total_base;
    options.stops_when_empty = stops_when_empty != 0;
    options.content_type = (hr_str){content_type, (size_t)content_type_size};
    options.has_total = total != Py_None;
    options.has_more = more != Py_None;
    options.has_selector = selector != Py_None;
    hr_http_header *headers = NULL;
    hr_step *steps[3] = {NULL, NULL, NULL};
    PagerObject *self = NULL;
    hr_error err;
    if (parse_bound(limit, &options.has_limit, &options.limit) < 0 ||
        parse_bound(maximum, &options.has_maximum, &options.maximum) < 0 ||
        ext_steps(total, &steps[0], &options.n_total) < 0 || ext_steps(more, &steps[1], &options.n_more) < 0 ||
        ext_steps(selector, &steps[2], &options.n_selector) < 0 ||
        ext_headers(header_list, &headers, &options.request.n_headers) < 0) {
        goto out;
    }
    options.request.headers = headers;
    options.total = steps[0];
    options.more = steps[1];
    options.selector = steps[2];
    self = (PagerObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        goto out;
    }
    self->owner = (EngineObject *)Py_NewRef(stream->owner);
    if (hr__pager_new(stream->stream, &options, first->page, &self->pager, &err) != HR_OK) {
        ext_raise(state, &err, -1);
        Py_CLEAR(self);
    }
out:
    PyMem_Free(headers);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        PyMem_Free(steps[i]);
    }
    return (PyObject *)self;
}

static void Pager_dealloc(PagerObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    hr__pager_free(self->pager);
    Py_XDECREF(self->owner);
    type->tp_free(self);
    Py_DECREF(type);
}

/* X(method, call of the engine) */
#define PAGER_CALLS(X)          \
    X(resume, hr__pager_resume) \
    X(poke, hr__pager_poke)     \
    X(pass_on, hr__pager_pass)  \
    X(drop, hr__pager_drop)

#define X(name, function)                                                \
    static PyObject *Pager_##name(PagerObject *self, PyObject *unused) { \
        Py_BEGIN_ALLOW_THREADS function(self->pager);                    \
        Py_END_ALLOW_THREADS Py_RETURN_NONE;                             \
    }
PAGER_CALLS(X)
#undef X

static PyObject *Pager_report(PagerObject *self, PyObject *unused) {
    hr_pager_report report;
    hr__pager_report_get(self->pager, &report);
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:n,s:n,s:K,s:I,s:N}", "next", (unsigned long long)report.next,
                         "n_sent", (unsigned long long)report.n_sent, "pages", (unsigned long long)report.n_pages,
                         "records", (unsigned long long)report.n_records, "requests",
                         (unsigned long long)report.n_requests, "bytes", (unsigned long long)report.n_bytes,
                         "last_size", (Py_ssize_t)report.last_size, "last_records", (Py_ssize_t)report.last_records,
                         "last_hash", (unsigned long long)report.last_hash, "window", report.window, "throttled",
                         PyBool_FromLong(report.is_throttled));
}

static PyMethodDef Pager_methods[] = {
#define X(name, function) {#name, (PyCFunction)Pager_##name, METH_NOARGS, NULL},
    PAGER_CALLS(X)
#undef X
        {"report", (PyCFunction)Pager_report, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Pager_slots[] = {
    {Py_tp_new, Pager_new},
    {Py_tp_dealloc, Pager_dealloc},
    {Py_tp_methods, Pager_methods},
    {Py_tp_doc,
     "A stream's pages whose URLs differ in one number, asked for and accepted as long as they are ordinary."},
    {0, NULL},
};

static PyType_Spec Pager_spec = {
    .name = "headrace._core.Pager",
    .basicsize = sizeof(PagerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Pager_slots,
};

int ext_add_pager(PyObject *module) {
    return ext_add_type(module, &Pager_spec, NULL);
}
