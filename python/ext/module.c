/* SPDX-License-Identifier: Apache-2.0
 *
 * Module set-up (PEP 489, module state) and the exception.
 */
#include "ext.h"

#include "hash.h"

#ifndef HR_VERSION
#define HR_VERSION "0"
#endif

ext_state *ext_state_of_type(PyTypeObject *type) {
    return PyType_GetModuleState(type);
}

PyObject *ext_text(hr_str text) {
    return PyUnicode_DecodeUTF8(text.data == NULL ? "" : text.data, (Py_ssize_t)text.size_bytes, "backslashreplace");
}

static const char *const code_names[] = {
#define HR_X(name, text) #name,
    HR_CODE_MAP(HR_X)
#undef HR_X
};

/* Sets an attribute and drops value; -1 with an exception set. */
static int set_attr(PyObject *object, const char *name, PyObject *value) {
    if (value == NULL) {
        return -1;
    }
    int rc = PyObject_SetAttrString(object, name, value);
    Py_DECREF(value);
    return rc;
}

PyObject *ext_error_new(ext_state *state, const hr_error *err, int64_t tag) {
    PyObject *message = ext_text(hr__str(err->message[0] != '\0' ? err->message : hr_code_text(err->code)));
    if (message == NULL) {
        return NULL;
    }
    PyObject *error = PyObject_CallOneArg(state->error, message);
    Py_DECREF(message);
    if (error == NULL) {
        return NULL;
    }
    if (set_attr(error, "code", PyUnicode_FromString(code_names[err->code])) < 0 ||
        set_attr(error, "stage", PyUnicode_FromString(hr_stage_text(err->stage))) < 0 ||
        set_attr(error, "retriable", PyBool_FromLong(err->retriable)) < 0 ||
        set_attr(error, "tag", PyLong_FromLongLong(tag)) < 0 ||
        set_attr(error, "record", PyLong_FromLongLong(err->record)) < 0 ||
        set_attr(error, "offset", PyLong_FromLongLong(err->offset_bytes)) < 0 ||
        set_attr(error, "http_status", PyLong_FromLong(err->http_status)) < 0 ||
        set_attr(error, "table", ext_text(hr__str(err->table))) < 0 ||
        set_attr(error, "column", ext_text(hr__str(err->column))) < 0) {
        Py_DECREF(error);
        return NULL;
    }
    return error;
}

PyObject *ext_raise(ext_state *state, const hr_error *err, int64_t tag) {
    PyObject *error = ext_error_new(state, err, tag);
    if (error != NULL) {
        PyErr_SetObject(state->error, error);
        Py_DECREF(error);
    }
    return NULL;
}

int ext_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **kept_out) {
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL || PyModule_AddType(module, type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    if (kept_out != NULL) {
        *kept_out = type;
    } else {
        Py_DECREF(type);
    }
    return 0;
}

static int module_exec(PyObject *module) {
    ext_state *state = PyModule_GetState(module);
    state->error =
        PyErr_NewExceptionWithDoc("headrace._core.Error", "What went wrong in the engine, and where.", NULL, NULL);
    if (state->error == NULL || PyModule_AddObjectRef(module, "Error", state->error) < 0 ||
        PyModule_AddStringConstant(module, "__version__", HR_VERSION) < 0 ||
        PyModule_AddIntConstant(module, "COL_NOT_NULL", HR_COL_NOT_NULL) < 0 ||
        PyModule_AddIntConstant(module, "COL_VARIANT", HR_COL_VARIANT) < 0 ||
        PyModule_AddIntConstant(module, "COL_PRIMARY_KEY", HR_COL_PRIMARY_KEY) < 0 ||
        PyModule_AddIntConstant(module, "COL_DISCARD_VALUE", HR_COL_DISCARD_VALUE) < 0 ||
        PyModule_AddIntConstant(module, "COL_DISCARD_ROW", HR_COL_DISCARD_ROW) < 0 ||
        PyModule_AddIntConstant(module, "COL_DISCARD_VARIANT", HR_COL_DISCARD_VARIANT) < 0 ||
        PyModule_AddIntConstant(module, "ID_MAX_BYTES", HR_ID_MAX_BYTES) < 0 ||
        PyModule_AddIntConstant(module, "ID_NAMES", HR_ID_NAMES) < 0 ||
        PyModule_AddIntConstant(module, "MAX_COLUMNS", HR_SCHEMA_MAX_COLUMNS) < 0 ||
        PyModule_AddIntConstant(module, "MAX_TABLES", HR_SCHEMA_MAX_TABLES) < 0 ||
        PyModule_AddIntConstant(module, "NAME_COLUMN", HR_NAME_COLUMN) < 0 ||
        PyModule_AddIntConstant(module, "NAME_PATH", HR_NAME_PATH) < 0 ||
        PyModule_AddIntConstant(module, "NAME_JOIN", HR_NAME_JOIN) < 0 ||
        PyModule_AddIntConstant(module, "RULE_LEFT_OUT", HR_RULE_LEFT_OUT) < 0 ||
        PyModule_AddIntConstant(module, "RULE_NOT_NULL", HR_RULE_NOT_NULL) < 0 ||
        PyModule_AddIntConstant(module, "RULE_JSON", HR_RULE_JSON) < 0) {
        return -1;
    }
    if (ext_add_route(module, state) < 0 || ext_add_engine(module, state) < 0 || ext_add_records(module) < 0 ||
        ext_add_page(module, state) < 0 || ext_add_batch(module, state) < 0 || ext_add_csv(module) < 0 ||
        ext_add_xml(module) < 0 || ext_add_pager(module) < 0 || ext_add_parquet(module) < 0) {
        return -1;
    }
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    ext_state *state = PyModule_GetState(module);
    Py_VISIT(state->error);
    Py_VISIT(state->engine_type);
    Py_VISIT(state->stream_type);
    Py_VISIT(state->page_type);
    Py_VISIT(state->batch_type);
    Py_VISIT(state->route_type);
    Py_VISIT(state->pacer_type);
    return 0;
}

static int module_clear(PyObject *module) {
    ext_state *state = PyModule_GetState(module);
    Py_CLEAR(state->error);
    Py_CLEAR(state->engine_type);
    Py_CLEAR(state->stream_type);
    Py_CLEAR(state->page_type);
    Py_CLEAR(state->batch_type);
    Py_CLEAR(state->route_type);
    Py_CLEAR(state->pacer_type);
    return 0;
}

static void module_free(void *module) {
    module_clear(module);
}

static PyMethodDef module_methods[] = {
    {"normalize_json", (PyCFunction)(void (*)(void))ext_normalize_json, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("Decodes a JSON array of records and normalizes it in the calling thread.")},
    {"name_column", (PyCFunction)(void (*)(void))ext_name_column, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("The column name of a key (snake_case).")},
    {"name_path", (PyCFunction)(void (*)(void))ext_name_path, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("A normalized path (snake_case).")},
    {"split_records", ext_split_records, METH_VARARGS, PyDoc_STR("Slices of the elements of a JSON array.")},
    {"count_lines", ext_count_lines, METH_O, PyDoc_STR("Line ends in a buffer.")},
    {"write_text", ext_write_text, METH_VARARGS, PyDoc_STR("Writes the rows of an Arrow batch as text.")},
    {"nested_rows", ext_nested_rows, METH_VARARGS, PyDoc_STR("Parents and places of the rows that lists hold.")},
    {"nested_ids", ext_nested_ids, METH_VARARGS, PyDoc_STR("Ids of rows nested under others.")},
    {"text_ids", ext_text_ids, METH_VARARGS, PyDoc_STR("Row ids that are hashes of texts.")},
    {"random_ids", ext_random_ids, METH_O, PyDoc_STR("Random row ids.")},
    {"csv_lines", ext_csv_lines, METH_VARARGS, PyDoc_STR("A body of CSV as JSON lines.")},
    {"sse_lines", ext_sse_lines, METH_VARARGS, PyDoc_STR("Server-sent events as JSON lines.")},
    {"iso_parse", ext_iso_parse, METH_O, PyDoc_STR("What dlt reads a text as: datetime, date, time or None.")},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

struct PyModuleDef ext_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "headrace._core",
    .m_doc = PyDoc_STR("The engine: fetch, decode, normalize, emit, off the GIL."),
    .m_size = sizeof(ext_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&ext_module);
}
