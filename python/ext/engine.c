/* SPDX-License-Identifier: Apache-2.0
 *
 * Engine and Stream.
 */
#include "ext.h"

#include "hash.h"

/* ---------------------------------------------------------------------------------------------------- arguments */

int ext_id_kind(const char *name, hr_id_kind *kind_out) {
    if (strcmp(name, "random") == 0) {
        *kind_out = HR_ID_RANDOM;
    } else if (strcmp(name, "key_hash") == 0) {
        *kind_out = HR_ID_KEY_HASH;
    } else if (strcmp(name, "row_hash") == 0) {
        *kind_out = HR_ID_ROW_HASH;
    } else {
        PyErr_Format(PyExc_ValueError, "id_kind must be 'random', 'key_hash' or 'row_hash', not '%s'", name);
        return -1;
    }
    return 0;
}

int ext_strs(PyObject *tuple, const hr_str **out, size_t *n_out) {
    *n_out = 0;
    *out = NULL;
    if (tuple == Py_None) {
        return 0;
    }
    Py_ssize_t n = PyTuple_Check(tuple) ? PyTuple_GET_SIZE(tuple) : -1;
    if (n < 0) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple of str");
        return -1;
    }
    hr_str *strs = PyMem_Calloc((size_t)n + 1, sizeof *strs);
    if (strs == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_ssize_t size;
        strs[i].data = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(tuple, i), &size);
        if (strs[i].data == NULL) {
            PyMem_Free(strs);
            return -1;
        }
        strs[i].size_bytes = (size_t)size;
    }
    *out = strs;
    *n_out = (size_t)n;
    return 0;
}

int ext_steps(PyObject *sequence, hr_step **steps_out, size_t *n_out) {
    *steps_out = NULL;
    *n_out = 0;
    if (sequence == NULL || sequence == Py_None) {
        return 0;
    }
    Py_ssize_t n = PySequence_Size(sequence);
    if (n < 0) {
        return -1;
    }
    hr_step *steps = PyMem_Calloc((size_t)n + 1, sizeof *steps);
    if (steps == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        if (item == NULL) {
            goto fail;
        }
        if (item == Py_None) {
            steps[i].kind = HR_STEP_EACH;
        } else if (PyUnicode_Check(item)) {
            Py_ssize_t size;
            const char *text = PyUnicode_AsUTF8AndSize(item, &size); /* lives as long as the string, held by sequence */
            if (text == NULL) {
                Py_DECREF(item);
                goto fail;
            }
            steps[i] = (hr_step){.kind = HR_STEP_KEY, .key = {text, (size_t)size}};
        } else {
            steps[i] = (hr_step){.kind = HR_STEP_INDEX, .index = PyLong_AsLongLong(item)};
            if (PyErr_Occurred()) {
                Py_DECREF(item);
                goto fail;
            }
        }
        Py_DECREF(item);
    }
    *steps_out = steps;
    *n_out = (size_t)n;
    return 0;
fail:
    PyMem_Free(steps);
    return -1;
}

static int seed_column(PyObject *column, hr_schema *schema, int32_t table) {
    const char *name, *type;
    Py_ssize_t name_size, type_size;
    int flags, precision, scale;
    if (!PyArg_ParseTuple(column, "s#s#iii;a column is (name, data_type, flags, precision, scale)", &name, &name_size,
                          &type, &type_size, &flags, &precision, &scale)) {
        return -1;
    }
    hr_type hr = hr__type_of_name((hr_str){type, (size_t)type_size});
    if (hr == HR_TYPE_UNSET && type_size != 0) {
        PyErr_Format(PyExc_ValueError, "data_type '%s' of column '%s' is not one of the engine's", type, name);
        return -1;
    }
    if (hr == HR_TYPE_DECIMAL && precision > HR_DECIMAL_DIGITS) {
        hr = HR_TYPE_WIDE;
    }
    int32_t at;
    int rc = hr__schema_add_column(schema, table, (hr_str){name, (size_t)name_size}, hr, (uint8_t)flags, &at);
    if (rc != HR_OK) {
        PyErr_Format(rc == HR_MEMORY ? PyExc_MemoryError : PyExc_ValueError, "column '%s': %s", name,
                     hr_code_text((hr_code)rc));
        return -1;
    }
    if (hr == HR_TYPE_BIGINT || hr == HR_TYPE_TIMESTAMP || hr == HR_TYPE_BINARY) {
        schema->tables[table].columns[at].limit = precision > 0 ? (uint32_t)precision : 0;
    } else if (precision > 0) {
        schema->tables[table].columns[at].precision = (uint8_t)precision;
        schema->tables[table].columns[at].scale = (uint8_t)scale;
    }
    return 0;
}

static int seed_table(PyObject *item, hr_schema *schema) {
    const char *name, *parent, *id_kind = "random";
    Py_ssize_t name_size, parent_size;
    int max_nesting;
    PyObject *columns;
    hr_id_kind kind;
    if (!PyArg_ParseTuple(item, "s#z#iO|s;a table is (name, parent, max_nesting, columns[, id_kind])", &name,
                          &name_size, &parent, &parent_size, &max_nesting, &columns, &id_kind) ||
        ext_id_kind(id_kind, &kind) < 0) {
        return -1;
    }
    int32_t parent_at = -1;
    if (parent != NULL) {
        parent_at = hr__schema_find(schema, (hr_str){parent, (size_t)parent_size});
        if (parent_at < 0) {
            PyErr_Format(PyExc_ValueError, "table '%s' stands before its parent '%s'", name, parent);
            return -1;
        }
    }
    int32_t table;
    int rc = hr__schema_add_table(schema, (hr_str){name, (size_t)name_size}, parent_at, &table);
    if (rc != HR_OK) {
        PyErr_Format(rc == HR_MEMORY ? PyExc_MemoryError : PyExc_ValueError, "table '%s': %s", name,
                     hr_code_text((hr_code)rc));
        return -1;
    }
    schema->tables[table].max_nesting = max_nesting;
    schema->tables[table].is_new = false;
    schema->tables[table].id_kind = (uint8_t)kind;
    if (columns == Py_None) {
        schema->tables[table].discard = true;
        return 0;
    }
    PyObject *list = PySequence_Fast(columns, "columns must be a sequence");
    if (list == NULL) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list); i++) {
        if (seed_column(PySequence_Fast_GET_ITEM(list, i), schema, table) < 0) {
            Py_DECREF(list);
            return -1;
        }
    }
    Py_DECREF(list);
    return 0;
}

int ext_schema_seed(PyObject *tables, hr_schema *schema) {
    PyObject *list = PySequence_Fast(tables, "tables must be a sequence");
    if (list == NULL) {
        return -1;
    }
    int rc = 0;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(list) && rc == 0; i++) {
        rc = seed_table(PySequence_Fast_GET_ITEM(list, i), schema);
    }
    Py_DECREF(list);
    return rc;
}

/* Propagations from a sequence of (table or None, from, as), whose strings are borrowed from it; *out is malloc'ed
 * (PyMem_Free). -1 with an exception set. */
static int parse_propagations(PyObject *sequence, hr_propagation **out, size_t *n_out) {
    PyObject *list = PySequence_Fast(sequence, "propagations must be a sequence");
    if (list == NULL) {
        return -1;
    }
    Py_ssize_t n = PySequence_Fast_GET_SIZE(list);
    hr_propagation *found = PyMem_Calloc((size_t)n + 1, sizeof *found);
    if (found == NULL) {
        PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < n && found != NULL; i++) {
        const char *table, *from, *as;
        Py_ssize_t table_size, from_size, as_size;
        if (!PyArg_ParseTuple(PySequence_Fast_GET_ITEM(list, i), "z#s#s#;a propagation is (table, from, as)", &table,
                              &table_size, &from, &from_size, &as, &as_size)) {
            PyMem_Free(found);
            found = NULL;
            break;
        }
        found[i] = (hr_propagation){
            {table, table == NULL ? 0 : (size_t)table_size}, {from, (size_t)from_size}, {as, (size_t)as_size}};
    }
    Py_DECREF(list);
    *out = found;
    *n_out = (size_t)n;
    return found == NULL ? -1 : 0;
}

/* ---------------------------------------------------------------------------------------------------- Stream */

/* Names by dlt's own naming convention: naming(kind, parts). An exception becomes HR_UNSUPPORTED, so that dlt meets it
 * itself when it takes the record. @locality worker, without the GIL */
static int call_naming(void *ctx, hr_name_kind kind, const hr_str *parts, size_t n_parts, hr_arena *arena,
                       hr_str *name_out, hr_error *err) {
    int rc = HR_MEMORY;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *tuple = PyTuple_New((Py_ssize_t)n_parts), *name = NULL;
    for (size_t i = 0; i < n_parts && tuple != NULL; i++) {
        PyObject *part = PyUnicode_DecodeUTF8(parts[i].data == NULL ? "" : parts[i].data,
                                              (Py_ssize_t)parts[i].size_bytes, "surrogatepass");
        if (part == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, part);
        }
    }
    if (tuple != NULL) {
        name = PyObject_CallFunction(ctx, "iO", (int)kind, tuple);
    }
    Py_ssize_t size;
    const char *text = name == NULL ? NULL : PyUnicode_AsUTF8AndSize(name, &size);
    if (text == NULL) {
        PyErr_Clear();
        rc = hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE, "the naming convention fails on a key");
    } else {
        name_out->data = hr__arena_copy(arena, text, (size_t)size);
        name_out->size_bytes = (size_t)size;
        rc = name_out->data == NULL ? hr__error_memory(err, HR_STAGE_NORMALIZE) : HR_OK;
    }
    Py_XDECREF(name);
    Py_XDECREF(tuple);
    PyGILState_Release(gil);
    return rc;
}

/* What dlt's settings say of a column: rules(table, column), an int of RULE_ flags. Exceptions as in call_naming.
 * @locality worker, without the GIL */
static int call_rules(void *ctx, hr_str table, hr_str column, uint8_t *rules_out, hr_error *err) {
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *found = PyObject_CallFunction(ctx, "s#s#", table.data, (Py_ssize_t)table.size_bytes,
                                            column.data == NULL ? "" : column.data, (Py_ssize_t)column.size_bytes);
    long rules = found == NULL ? -1 : PyLong_AsLong(found);
    Py_XDECREF(found);
    PyErr_Clear();
    PyGILState_Release(gil);
    if (rules < 0) {
        return hr__error_set(err, HR_UNSUPPORTED, HR_STAGE_NORMALIZE, "the schema's settings fail on a column's name");
    }
    *rules_out = (uint8_t)rules;
    return HR_OK;
}

static void Stream_dealloc(StreamObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    hr__stream_free(self->stream);
    Py_XDECREF(self->owner);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *Stream_accept(StreamObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"page", "keep", "extra", NULL};
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    PageObject *page;
    const char *keep = NULL, *extra = NULL;
    Py_ssize_t keep_size = 0, extra_size = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|z#z#", names, state->page_type, &page, &keep, &keep_size, &extra,
                                     &extra_size)) {
        return NULL;
    }
    if (page->page == NULL) {
        PyErr_SetString(PyExc_ValueError, "the page was released or accepted before");
        return NULL;
    }
    hr_page_info info;
    hr__page_info(page->page, &info);
    if (keep != NULL && (size_t)keep_size != info.n_records) {
        PyErr_Format(PyExc_ValueError, "keep has %zd bytes for %zu records", keep_size, info.n_records);
        return NULL;
    }
    hr_error err;
    if (hr__stream_accept(self->stream, page->page, (const uint8_t *)keep, (hr_str){extra, (size_t)extra_size}, &err) !=
        HR_OK) {
        return ext_raise(state, &err, info.tag);
    }
    page->page = NULL;
    self->n_accepted++;
    Py_RETURN_NONE;
}

static PyObject *Stream_finish(StreamObject *self, PyObject *unused) {
    hr__stream_finish(self->stream);
    Py_RETURN_NONE;
}

static PyObject *Stream_select(StreamObject *self, PyObject *arg) {
    hr_step *steps;
    size_t n_steps;
    if (ext_steps(arg, &steps, &n_steps) < 0) {
        return NULL;
    }
    hr_error err;
    int rc = hr__stream_select(self->stream, steps, n_steps, &err);
    PyMem_Free(steps);
    if (rc != HR_OK) {
        return ext_raise(ext_state_of_type(Py_TYPE(self)), &err, -1);
    }
    Py_RETURN_NONE;
}

static PyObject *Stream_next_batch(StreamObject *self, PyObject *arg) {
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    unsigned long timeout_ms = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred()) {
        return NULL;
    }
    hr_next next = HR_NEXT_UNSET;
    hr_output *output = NULL;
    int64_t tag;
    hr_error err;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = hr__stream_next(self->stream, (uint32_t)timeout_ms, &next, &output, &tag, &err);
    Py_END_ALLOW_THREADS if (rc != HR_OK) {
        return ext_raise(state, &err, tag);
    }
    if (next == HR_NEXT_END) {
        Py_RETURN_NONE;
    }
    if (next == HR_NEXT_TIMEOUT) {
        Py_RETURN_FALSE;
    }
    return ext_batches(state, output);
}

static PyObject *Stream_wait_committed(StreamObject *self, PyObject *arg) {
    unsigned long timeout_ms = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred()) {
        return NULL;
    }
    bool all;
    Py_BEGIN_ALLOW_THREADS all = hr__stream_wait_committed(self->stream, (uint32_t)timeout_ms);
    Py_END_ALLOW_THREADS return PyBool_FromLong(all);
}

static PyObject *Stream_has_grown(StreamObject *self, PyObject *unused) {
    return PyBool_FromLong(hr__stream_has_grown(self->stream));
}

static PyObject *Stream_feed(StreamObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"tag", "body", "in_brackets", "skip", "lines", NULL};
    long long tag;
    Py_buffer body;
    Py_ssize_t skip = 0;
    int in_brackets = 0, lines = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Ly*|pnp", names, &tag, &body, &in_brackets, &skip, &lines)) {
        return NULL;
    }
    hr_feed_form form = lines ? HR_FEED_LINES : in_brackets ? HR_FEED_ELEMENTS : HR_FEED_DOCUMENT;
    hr_error err;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = hr__stream_feed(self->stream, tag, (hr_str){body.buf, (size_t)body.len}, form,
                                                skip < 0 ? 0 : (size_t)skip, &err);
    Py_END_ALLOW_THREADS PyBuffer_Release(&body);
    if (rc != HR_OK) {
        return ext_raise(ext_state_of_type(Py_TYPE(self)), &err, tag);
    }
    self->n_accepted++;
    Py_RETURN_NONE;
}

static PyObject *Stream_feed_file(StreamObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"tag", "fd", "offset", "size", "skip", NULL};
    long long tag, offset;
    int fd;
    Py_ssize_t size, skip = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LiLn|n", names, &tag, &fd, &offset, &size, &skip)) {
        return NULL;
    }
    if (offset < 0 || size < 0 || skip < 0) {
        PyErr_SetString(PyExc_ValueError, "offset, size and skip must not be negative");
        return NULL;
    }
    hr_error err;
    int rc = hr__stream_feed_file(self->stream, tag, fd, (uint64_t)offset, (size_t)size, (size_t)skip, &err);
    if (rc != HR_OK) {
        return ext_raise(ext_state_of_type(Py_TYPE(self)), &err, tag);
    }
    self->n_accepted++;
    Py_RETURN_NONE;
}

static PyObject *Stream_get_n_committed(StreamObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(hr__stream_committed(self->stream));
}

static PyObject *Stream_get_n_records(StreamObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(hr__stream_records(self->stream));
}

static PyObject *Stream_null_columns(StreamObject *self, PyObject *unused) {
    hr_buf names;
    hr__buf_init(&names, &hr__allocator_libc, 0);
    PyObject *list = PyList_New(0);
    if (list != NULL && hr__stream_null_columns(self->stream, &names) != HR_OK) {
        PyErr_NoMemory();
        Py_CLEAR(list);
    }
    const char *at = (const char *)names.data, *end = at + names.size_bytes;
    while (list != NULL && at < end) {
        const char *column = at + strlen(at) + 1;
        PyObject *pair = Py_BuildValue("(ss)", at, column);
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
        at = column + strlen(column) + 1;
    }
    hr__buf_free(&names);
    return list;
}

static PyObject *Stream_get_n_accepted(StreamObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(self->n_accepted);
}

static PyObject *Stream_is_behind(StreamObject *self, PyObject *unused) {
    return PyBool_FromLong(hr__stream_is_behind(self->stream));
}

static PyMethodDef Stream_methods[] = {
    {"accept", (PyCFunction)(void (*)(void))Stream_accept, METH_VARARGS | METH_KEYWORDS, NULL},
    {"finish", (PyCFunction)Stream_finish, METH_NOARGS, NULL},
    {"feed", (PyCFunction)(void (*)(void))Stream_feed, METH_VARARGS | METH_KEYWORDS, NULL},
    {"feed_file", (PyCFunction)(void (*)(void))Stream_feed_file, METH_VARARGS | METH_KEYWORDS, NULL},
    {"null_columns", (PyCFunction)Stream_null_columns, METH_NOARGS, NULL},
    {"select", (PyCFunction)Stream_select, METH_O, NULL},
    {"next_batch", (PyCFunction)Stream_next_batch, METH_O, NULL},
    {"wait_committed", (PyCFunction)Stream_wait_committed, METH_O, NULL},
    {"has_grown", (PyCFunction)Stream_has_grown, METH_NOARGS, NULL},
    {"is_behind", (PyCFunction)Stream_is_behind, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Stream_getset[] = {
    {"n_accepted", (getter)Stream_get_n_accepted, NULL, NULL, NULL},
    {"n_committed", (getter)Stream_get_n_committed, NULL, NULL, NULL},
    {"n_records", (getter)Stream_get_n_records, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Stream_slots[] = {
    {Py_tp_dealloc, Stream_dealloc},
    {Py_tp_methods, Stream_methods},
    {Py_tp_getset, Stream_getset},
    {Py_tp_doc, "The rows of one resource: one root table and the tables nested under it."},
    {0, NULL},
};

static PyType_Spec Stream_spec = {
    .name = "headrace._core.Stream",
    .basicsize = sizeof(StreamObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Stream_slots,
};

/* ---------------------------------------------------------------------------------------------------- Engine */

static PyObject *Engine_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"workers",
                            "memory_limit",
                            "keep",
                            "max_in_flight",
                            "max_in_flight_per_host",
                            "first_window",
                            "max_pause_ms",
                            "pacer",
                            "max_depth",
                            "seed",
                            NULL};
    ext_state *state = ext_state_of_type(type);
    PyObject *pacer = Py_None;
    hr_engine_options options;
    hr__engine_options_init(&options);
    unsigned long long memory_limit = options.memory_limit_bytes, keep = options.keep_bytes;
    const char *seed = NULL;
    Py_ssize_t seed_size = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$IKKIIIIOIz#", names, &options.workers, &memory_limit, &keep,
                                     &options.max_in_flight, &options.max_in_flight_per_host, &options.first_window,
                                     &options.max_pause_ms, &pacer, &options.max_depth, &seed, &seed_size)) {
        return NULL;
    }
    if (pacer != Py_None && !PyObject_TypeCheck(pacer, state->pacer_type)) {
        PyErr_SetString(PyExc_TypeError, "pacer must be a Pacer");
        return NULL;
    }
    options.pacer = pacer == Py_None ? NULL : ((PacerObject *)pacer)->pacer;
    options.memory_limit_bytes = memory_limit;
    options.keep_bytes = keep;
    if (seed != NULL) {
        if (seed_size != sizeof options.seed) {
            PyErr_Format(PyExc_ValueError, "seed must have %zu bytes", sizeof options.seed);
            return NULL;
        }
        options.seeded = true;
        memcpy(options.seed, seed, sizeof options.seed);
    }
    EngineObject *self = (EngineObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->namings = PySet_New(NULL);
    if (self->namings == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    hr_error err;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = hr__engine_new(&options, &self->engine, &err);
    Py_END_ALLOW_THREADS if (rc != HR_OK) {
        Py_DECREF(self);
        return ext_raise(ext_state_of_type(type), &err, -1);
    }
    return (PyObject *)self;
}

static void Engine_dealloc(EngineObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    hr_engine *engine = self->engine;
    if (engine != NULL) {
        Py_BEGIN_ALLOW_THREADS hr__engine_free(engine);
        Py_END_ALLOW_THREADS
    }
    Py_XDECREF(self->namings);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *Engine_stream(EngineObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"table",
                            "tables",
                            "load_id",
                            "max_nesting",
                            "max_length",
                            "id_kind",
                            "root_key",
                            "selector",
                            "batch_bytes",
                            "reference_only",
                            "naming",
                            "no_coercion",
                            "fixed_schema",
                            "stop_at_record",
                            "leave_double_decimals",
                            "leave_typed_timestamps",
                            "for_text",
                            "propagations",
                            "rules",
                            "format",
                            "leave_typed_moments",
                            "id_bytes",
                            "wei_precision",
                            "leave_naive_timestamps",
                            NULL};
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    const char *table = NULL, *load_id = NULL, *id_kind = "random", *format = "json";
    Py_ssize_t table_size = 0, load_id_size = 0;
    PyObject *tables = NULL, *selector = Py_None, *naming = Py_None, *propagation_list = NULL, *rules = Py_None;
    int max_nesting = 1000, root_key = 0, reference_only = 0, no_coercion = 0, fixed_schema = 0, stop_at_record = 0;
    int leave_double_decimals = 0, leave_typed_timestamps = 0, leave_naive_timestamps = 0, leave_typed_moments = 0;
    int for_text = 0;
    unsigned long long max_length = 0, batch_bytes = 8u << 20;
    unsigned int id_bytes = HR_ID_BYTES;
    unsigned char wei_precision = 0, wei_scale = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$s#Os#iKspOKpOppppppOOspI(bb)p", names, &table, &table_size,
                                     &tables, &load_id, &load_id_size, &max_nesting, &max_length, &id_kind, &root_key,
                                     &selector, &batch_bytes, &reference_only, &naming, &no_coercion, &fixed_schema,
                                     &stop_at_record, &leave_double_decimals, &leave_typed_timestamps, &for_text,
                                     &propagation_list, &rules, &format, &leave_typed_moments, &id_bytes,
                                     &wei_precision, &wei_scale, &leave_naive_timestamps)) {
        return NULL;
    }
    if (table == NULL || tables == NULL || load_id == NULL) {
        PyErr_SetString(PyExc_TypeError, "stream() needs table, tables and load_id");
        return NULL;
    }
    if (id_bytes == 0 || id_bytes > HR_ID_MAX_BYTES) {
        return PyErr_Format(PyExc_ValueError, "id_bytes must be 1 to %d, not %u", HR_ID_MAX_BYTES, id_bytes);
    }
    hr_stream_options options = {
        .normalize = {.root_table = {table, (size_t)table_size},
                      .load_id = {load_id, (size_t)load_id_size},
                      .max_nesting = max_nesting,
                      .max_length = (size_t)max_length,
                      .id_bytes = id_bytes,
                      .root_key = root_key != 0,
                      .reference_only = reference_only != 0,
                      .no_coercion = no_coercion != 0,
                      .fixed_schema = fixed_schema != 0,
                      .stop_at_record = stop_at_record != 0,
                      .leave_double_decimals = leave_double_decimals != 0,
                      .leave_typed_timestamps = leave_typed_timestamps != 0,
                      .leave_naive_timestamps = leave_naive_timestamps != 0,
                      .leave_typed_moments = leave_typed_moments != 0,
                      .naming = {naming == Py_None ? NULL : call_naming, naming},
                      .rules = {rules == Py_None ? NULL : call_rules, rules}},
        .has_selector = selector != Py_None,
        .batch_bytes = batch_bytes,
    };
    hr_step *steps = NULL;
    hr_propagation *propagations = NULL;
    if ((naming != Py_None && PySet_Add(self->namings, naming) < 0) ||
        (rules != Py_None && PySet_Add(self->namings, rules) < 0)) {
        return NULL;
    }
    if (ext_id_kind(id_kind, &options.normalize.id_kind) < 0 ||
        (propagation_list != NULL &&
         parse_propagations(propagation_list, &propagations, &options.normalize.n_propagations) < 0) ||
        ext_steps(selector, &steps, &options.n_selector) < 0) {
        PyMem_Free(propagations);
        return NULL;
    }
    options.normalize.propagations = propagations;
    options.selector = steps;
    options.format = strcmp(format, "lines") == 0   ? HR_BODY_LINES
                     : strcmp(format, "other") == 0 ? HR_BODY_OTHER
                                                    : HR_BODY_UNSET;
    hr_schema schema;
    hr__schema_init(&schema, &hr__allocator_libc);
    schema.for_text = for_text != 0;
    schema.wei_precision = wei_precision;
    schema.wei_scale = wei_scale;
    StreamObject *stream = NULL;
    hr_error err;
    if (ext_schema_seed(tables, &schema) < 0) {
        goto out;
    }
    stream = (StreamObject *)state->stream_type->tp_alloc(state->stream_type, 0);
    if (stream == NULL) {
        goto out;
    }
    if (hr__stream_new(self->engine, &options, &schema, &stream->stream, &err) != HR_OK) {
        ext_raise(state, &err, -1);
        Py_CLEAR(stream);
        goto out;
    }
    stream->owner = (EngineObject *)Py_NewRef(self);
out:
    hr__schema_free(&schema);
    PyMem_Free(steps);
    PyMem_Free(propagations);
    return (PyObject *)stream;
}

int ext_headers(PyObject *sequence, hr_http_header **headers_out, size_t *n_out) {
    PyObject *list = PySequence_Fast(sequence, "headers must be a sequence of (name, value)");
    if (list == NULL) {
        return -1;
    }
    Py_ssize_t n = PySequence_Fast_GET_SIZE(list);
    hr_http_header *headers = PyMem_Calloc((size_t)n + 1, sizeof *headers);
    for (Py_ssize_t i = 0; i < n && headers != NULL; i++) {
        const char *name, *value;
        Py_ssize_t name_size, value_size;
        if (!PyArg_ParseTuple(PySequence_Fast_GET_ITEM(list, i), "s#s#;a header is (name, value)", &name, &name_size,
                              &value, &value_size)) {
            PyMem_Free(headers);
            Py_DECREF(list);
            return -1;
        }
        headers[i] = (hr_http_header){{name, (size_t)name_size}, {value, (size_t)value_size}};
    }
    Py_DECREF(list);
    if (headers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *headers_out = headers;
    *n_out = (size_t)n;
    return 0;
}

static PyObject *Engine_submit(EngineObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"stream", "tag",      "route", "method",     "url",          "headers",
                            "body",   "delay_ms", "more",  "early_path", "early_header", NULL};
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    StreamObject *stream;
    RouteObject *route;
    long long tag;
    const char *method = "GET", *url = NULL, *body = NULL;
    unsigned int delay_ms = 0;
    int more = 0;
    PyObject *header_list = NULL;
    const char *early_path = NULL, *early_header = "";
    Py_ssize_t url_size = 0, body_size = 0, path_size = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!LO!ss#O|z#Ipy#s", names, state->stream_type, &stream, &tag,
                                     state->route_type, &route, &method, &url, &url_size, &header_list, &body,
                                     &body_size, &delay_ms, &more, &early_path, &path_size, &early_header)) {
        return NULL;
    }
    hr_http_header *headers;
    size_t n_headers;
    if (ext_headers(header_list, &headers, &n_headers) < 0) {
        return NULL;
    }
    hr_http_request request = route->base;
    request.method = hr__str(method);
    request.url = (hr_str){url, (size_t)url_size};
    request.headers = headers;
    request.n_headers = n_headers;
    request.body = (hr_str){body, (size_t)body_size};
    request.delay_ms = delay_ms;
    request.more = more != 0;
    request.early_path = (hr_str){early_path, (size_t)path_size};
    request.early_header = hr__str(early_header);
    hr_error err;
    int rc = hr__engine_submit(self->engine, stream->stream, tag, &request, &err);
    PyMem_Free(headers);
    if (rc != HR_OK) {
        return ext_raise(state, &err, tag);
    }
    Py_RETURN_NONE;
}

static PyObject *Engine_submit_bytes(EngineObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"stream", "tag", "body", "url", NULL};
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    StreamObject *stream;
    long long tag;
    const char *body, *url = "";
    Py_ssize_t body_size;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!Ly#|s", names, state->stream_type, &stream, &tag, &body,
                                     &body_size, &url)) {
        return NULL;
    }
    hr_error err;
    if (hr__engine_submit_bytes(self->engine, stream->stream, tag, (hr_str){body, (size_t)body_size}, hr__str(url),
                                &err) != HR_OK) {
        return ext_raise(state, &err, tag);
    }
    Py_RETURN_NONE;
}

#define POLL_MAX 64

static PyObject *Engine_poll(EngineObject *self, PyObject *arg) {
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    unsigned long timeout_ms = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred()) {
        return NULL;
    }
    hr_page *pages[POLL_MAX];
    size_t n_pages = 0;
    hr_error err;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = hr__engine_poll(self->engine, (uint32_t)timeout_ms, pages, POLL_MAX, &n_pages, &err);
    Py_END_ALLOW_THREADS if (rc != HR_OK) {
        return ext_raise(state, &err, -1);
    }
    PyObject *list = PyList_New((Py_ssize_t)n_pages);
    for (size_t i = 0; i < n_pages; i++) {
        PyObject *page = list == NULL ? NULL : ext_page_new(state, self, pages[i]);
        if (page == NULL) {
            if (list == NULL) {
                hr__page_free(pages[i]);
            }
            Py_CLEAR(list);
            continue;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, page);
    }
    return list;
}

static PyObject *Engine_flush(EngineObject *self, PyObject *unused) {
    hr__engine_flush(self->engine);
    Py_RETURN_NONE;
}

static PyObject *Engine_wake(EngineObject *self, PyObject *unused) {
    hr__engine_wake(self->engine);
    Py_RETURN_NONE;
}

static PyObject *Engine_is_full(EngineObject *self, PyObject *unused) {
    return PyBool_FromLong(hr__engine_is_full(self->engine));
}

static PyObject *Engine_stats(EngineObject *self, PyObject *unused) {
    hr_engine_stats stats;
    hr__engine_stats(self->engine, &stats);
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:K,s:I,s:I,s:I,s:d,s:d,s:d,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "requests",
        (unsigned long long)stats.http.requests, "retries", (unsigned long long)stats.http.retries, "wire_bytes",
        (unsigned long long)stats.http.wire_bytes, "body_bytes", (unsigned long long)stats.http.body_bytes, "in_flight",
        stats.http.in_flight, "max_in_flight_seen", stats.http.max_in_flight_seen, "queued", stats.http.queued,
        "backoff_ms", stats.http.backoff_ms, "throttled_ms", stats.http.throttled_ms, "held_ms", stats.http.held_ms,
        "memory", (unsigned long long)stats.memory_bytes, "memory_peak", (unsigned long long)stats.memory_peak_bytes,
        "pages", (unsigned long long)stats.pages, "rows", (unsigned long long)stats.rows, "renormalized",
        (unsigned long long)stats.renormalized, "fast_records", (unsigned long long)stats.fast_records,
        "reference_records", (unsigned long long)stats.reference_records);
}

static PyObject *Engine_cancel(EngineObject *self, PyObject *unused) {
    Py_BEGIN_ALLOW_THREADS hr__engine_cancel(self->engine);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static PyObject *Engine_close(EngineObject *self, PyObject *unused) {
    if (self->closing) {
        Py_RETURN_NONE;
    }
    self->closing = true;
    Py_BEGIN_ALLOW_THREADS hr__engine_stop(self->engine);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static PyMethodDef Engine_methods[] = {
    {"stream", (PyCFunction)(void (*)(void))Engine_stream, METH_VARARGS | METH_KEYWORDS, NULL},
    {"submit", (PyCFunction)(void (*)(void))Engine_submit, METH_VARARGS | METH_KEYWORDS, NULL},
    {"submit_bytes", (PyCFunction)(void (*)(void))Engine_submit_bytes, METH_VARARGS | METH_KEYWORDS, NULL},
    {"poll", (PyCFunction)Engine_poll, METH_O, NULL},
    {"flush", (PyCFunction)Engine_flush, METH_NOARGS, NULL},
    {"wake", (PyCFunction)Engine_wake, METH_NOARGS, NULL},
    {"is_full", (PyCFunction)Engine_is_full, METH_NOARGS, NULL},
    {"stats", (PyCFunction)Engine_stats, METH_NOARGS, NULL},
    {"cancel", (PyCFunction)Engine_cancel, METH_NOARGS, NULL},
    {"close", (PyCFunction)Engine_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Engine_slots[] = {
    {Py_tp_new, Engine_new},
    {Py_tp_dealloc, Engine_dealloc},
    {Py_tp_methods, Engine_methods},
    {Py_tp_doc, "One engine serves one extraction: loop thread, workers, memory limit."},
    {0, NULL},
};

static PyType_Spec Engine_spec = {
    .name = "headrace._core.Engine",
    .basicsize = sizeof(EngineObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Engine_slots,
};

int ext_add_engine(PyObject *module, ext_state *state) {
    return ext_add_type(module, &Engine_spec, &state->engine_type) < 0 ||
                   ext_add_type(module, &Stream_spec, &state->stream_type) < 0
               ? -1
               : 0;
}
