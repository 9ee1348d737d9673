/* SPDX-License-Identifier: Apache-2.0
 *
 * Route: how a client's requests get to their host, said once for all of them. Pacer: what is known of hosts.
 */
#include "ext.h"

static PyObject *Pacer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "", names)) {
        return NULL;
    }
    PacerObject *self = (PacerObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->pacer = hr__pacer_new();
    if (self->pacer == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void Pacer_dealloc(PacerObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    hr__pacer_unref(self->pacer);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot Pacer_slots[] = {
    {Py_tp_new, Pacer_new},
    {Py_tp_dealloc, Pacer_dealloc},
    {Py_tp_doc, "What is known of hosts: each one's pace, shared by all engines that were given the same."},
    {0, NULL},
};

static PyType_Spec Pacer_spec = {
    .name = "headrace._core.Pacer",
    .basicsize = sizeof(PacerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Pacer_slots,
};

/* ---------------------------------------------------------------------------------------------------- Route */

/* Pairs (requests, milliseconds). -1 with an exception set. */
static int parse_rules(PyObject *sequence, hr_pace_limits *limits) {
    if (sequence == NULL) {
        return 0;
    }
    PyObject *list = PySequence_Fast(sequence, "rate_limits must be a sequence of (requests, milliseconds)");
    if (list == NULL) {
        return -1;
    }
    int rc = 0;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(list);
    if (n > HR_PACE_RULES) {
        PyErr_Format(PyExc_ValueError, "at most %d rate limits a host, not %zd", HR_PACE_RULES, n);
        rc = -1;
    }
    for (Py_ssize_t i = 0; i < n && rc == 0; i++) {
        hr_pace_rule *rule = &limits->rules[limits->n_rules++];
        if (!PyArg_ParseTuple(PySequence_Fast_GET_ITEM(list, i), "II;a rate limit is (requests, milliseconds)",
                              &rule->requests, &rule->per_ms)) {
            rc = -1;
        } else if (rule->requests == 0 || rule->per_ms == 0) {
            PyErr_SetString(PyExc_ValueError, "a rate limit's requests and milliseconds must be above 0");
            rc = -1;
        }
    }
    Py_DECREF(list);
    return rc;
}

/* A copy of text that lives as long as the route. False with an exception set. */
static bool keep(RouteObject *self, const char *text, hr_str *to) {
    size_t size = strlen(text);
    char *copy = PyMem_Malloc(size + 1);
    if (copy == NULL) {
        PyErr_NoMemory();
        return false;
    }
    memcpy(copy, text, size + 1);
    self->texts[self->n_texts++] = copy;
    *to = (hr_str){copy, size};
    return true;
}

/* Pairs (from, to) of statuses. -1 with an exception set. */
static int parse_statuses(PyObject *sequence, hr_http_retry *retry) {
    PyObject *list = sequence == NULL ? PyTuple_New(0)
                                      : PySequence_Fast(sequence, "retry_statuses must be a sequence of (from, to)");
    if (list == NULL) {
        return -1;
    }
    int rc = 0;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(list);
    if (n > HR_RETRY_STATUSES) {
        PyErr_Format(PyExc_ValueError, "at most %d stretches of statuses, not %zd", HR_RETRY_STATUSES, n);
        rc = -1;
    }
    for (Py_ssize_t i = 0; i < n && rc == 0; i++) {
        rc = PyArg_ParseTuple(PySequence_Fast_GET_ITEM(list, i), "HH;statuses are (from, to)", &retry->statuses[i].from,
                              &retry->statuses[i].to)
                 ? 0
                 : -1;
        retry->n_statuses += rc == 0;
    }
    Py_DECREF(list);
    return rc;
}

static PyObject *Route_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"proxy",
                            "ca_path",
                            "cert_path",
                            "key_path",
                            "resolve",
                            "interface",
                            "allowed_hosts",
                            "secret_headers",
                            "min_tls",
                            "verify_tls",
                            "connect_timeout_ms",
                            "read_timeout_ms",
                            "max_redirects",
                            "max_attempts",
                            "backoff_ms",
                            "max_delay_ms",
                            "max_total_ms",
                            "retry_statuses",
                            "retry_unsafe",
                            "breaker",
                            "breaker_ms",
                            "max_body_bytes",
                            "rate_limits",
                            "cost",
                            "max_in_flight",
                            "max_per_second",
                            "learn_limits",
                            "key_password",
                            NULL};
    const char *proxy = "", *ca_path = "", *cert_path = "", *key_path = "", *resolve = "", *interface = "";
    const char *allowed_hosts = "", *secret_headers = "", *key_password = "";
    PyObject *rules = NULL, *statuses = NULL;
    int verify_tls = 1, learn_limits = 1, unsafe = 0;
    unsigned long long max_body_bytes = (unsigned long long)1 << 30;
    hr_http_request base = {.connect_timeout_ms = 60000,
                            .read_timeout_ms = 60000,
                            .max_redirects = 30,
                            .retry = {.max_attempts = 5, .backoff_ms = 1000, .max_delay_ms = 300000}};
    hr_http_retry *retry = &base.retry;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "|$ssssssssIpIIIIIIIOpIIKOIIdps", names, &proxy, &ca_path, &cert_path, &key_path, &resolve,
            &interface, &allowed_hosts, &secret_headers, &base.min_tls, &verify_tls, &base.connect_timeout_ms,
            &base.read_timeout_ms, &base.max_redirects, &retry->max_attempts, &retry->backoff_ms, &retry->max_delay_ms,
            &retry->max_total_ms, &statuses, &unsafe, &retry->breaker, &retry->breaker_ms, &max_body_bytes, &rules,
            &base.limits.cost, &base.limits.max_window, &base.limits.max_per_second, &learn_limits, &key_password) ||
        parse_rules(rules, &base.limits) < 0 || parse_statuses(statuses, retry) < 0) {
        return NULL;
    }
    base.verify_tls = verify_tls != 0;
    base.max_body_bytes = max_body_bytes;
    base.limits.ignore_headers = learn_limits == 0;
    retry->unsafe = unsafe != 0;
    RouteObject *self = (RouteObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    if (!keep(self, proxy, &base.proxy) || !keep(self, ca_path, &base.ca_path) ||
        !keep(self, cert_path, &base.cert_path) || !keep(self, key_path, &base.key_path) ||
        !keep(self, resolve, &base.resolve) || !keep(self, interface, &base.interface) ||
        !keep(self, allowed_hosts, &base.allowed_hosts) || !keep(self, secret_headers, &base.secret_headers) ||
        !keep(self, key_password, &base.key_password)) {
        Py_DECREF(self);
        return NULL;
    }
    self->base = base;
    return (PyObject *)self;
}

static void Route_dealloc(RouteObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    for (size_t i = 0; i < self->n_texts; i++) {
        PyMem_Free(self->texts[i]);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot Route_slots[] = {
    {Py_tp_new, Route_new},
    {Py_tp_dealloc, Route_dealloc},
    {Py_tp_doc, "How a client's requests get to their host."},
    {0, NULL},
};

static PyType_Spec Route_spec = {
    .name = "headrace._core.Route",
    .basicsize = sizeof(RouteObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Route_slots,
};

int ext_add_route(PyObject *module, ext_state *state) {
    return ext_add_type(module, &Route_spec, &state->route_type) < 0 ||
                   ext_add_type(module, &Pacer_spec, &state->pacer_type) < 0
               ? -1
               : 0;
}
