/* SPDX-License-Identifier: Apache-2.0
 *
 * CsvReader.
 */
#include "ext.h"

#include "csv.h"
#include "csv_json.h"

typedef struct CsvObject {
    PyObject_HEAD EngineObject *owner; /* owned reference: chunks are memory of its account */
    hr_csv_reader *reader;
} CsvObject;

/* ---------------------------------------------------------------------------------------------------- options */

/* A character of one byte, or none (0) from "" and None. -1 with an exception set. */
static int parse_char(const char *name, const char *text, Py_ssize_t size, char *out) {
    if (text != NULL && (size > 1 || (size == 1 && (unsigned char)text[0] >= 0x80))) {
        PyErr_Format(PyExc_ValueError, "%s must be one ASCII character", name);
        return -1;
    }
    *out = size == 0 || text == NULL ? 0 : text[0];
    return 0;
}

static int parse_kind(const char *name, hr_field_kind *out) {
    static const char *const kinds[] = {"", "int", "float", "bool", "text"};
    for (int i = 0; i < 5; i++) {
        if (strcmp(name, kinds[i]) == 0) {
            *out = (hr_field_kind)i;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "'%s' is none of int, float, bool, text", name);
    return -1;
}

static int parse_kinds(PyObject *pairs, const hr_csv_kind **out, size_t *n_out) {
    Py_ssize_t n = pairs == NULL ? 0 : PyTuple_Size(pairs);
    hr_csv_kind *kinds = n < 0 ? NULL : PyMem_Calloc((size_t)n + 1, sizeof *kinds);
    if (kinds == NULL) {
        return n < 0 ? -1 : (PyErr_NoMemory(), -1);
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        const char *name, *kind;
        Py_ssize_t size;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(pairs, i), "s#s;kinds are pairs (name, kind)", &name, &size, &kind) ||
            parse_kind(kind, &kinds[i].kind) < 0) {
            PyMem_Free(kinds);
            return -1;
        }
        kinds[i].name = (hr_str){name, (size_t)size};
    }
    *out = kinds;
    *n_out = (size_t)n;
    return 0;
}

static int parse_places(PyObject *places, const uint32_t **out, size_t *n_out) {
    Py_ssize_t n = places == Py_None ? 0 : PyTuple_Size(places);
    uint32_t *found = n < 0 ? NULL : PyMem_Calloc((size_t)n + 1, sizeof *found);
    if (found == NULL) {
        return n < 0 ? -1 : (PyErr_NoMemory(), -1);
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        found[i] = (uint32_t)PyLong_AsUnsignedLong(PyTuple_GET_ITEM(places, i));
        if (PyErr_Occurred()) {
            PyMem_Free(found);
            return -1;
        }
    }
    *out = found;
    *n_out = (size_t)n;
    return 0;
}

static int parse_word(const char *word, const char *const *words, int n, const char *what) {
    for (int i = 0; i < n; i++) {
        if (strcmp(word, words[i]) == 0) {
            return i;
        }
    }
    PyErr_Format(PyExc_ValueError, "'%s' is no %s", word, what);
    return -1;
}

/* X(name, field of the dialect) */
#define CSV_CHARS(X)                \
    X(delimiter, dialect.delimiter) \
    X(quote, dialect.quote)         \
    X(escape, dialect.escape)       \
    X(comment, dialect.comment)     \
    X(decimal, decimal)             \
    X(thousands, thousands)

static int parse_options(PyObject *kwargs, hr_csv_options *options) {
    static char *names[] = {
#define X(name, field) #name,
        CSV_CHARS(X)
#undef X
            "doublequote",
        "skip_space",
        "skip_blank_lines",
        "sniff",
        "encoding",
        "ragged",
        "portable",
        "skip_rows",
        "header",
        "max_rows",
        "names",
        "use_names",
        "use_places",
        "kinds",
        "kind",
        "nulls",
        "chunk_rows",
        "chunk_bytes",
        "max_field_bytes",
        "max_columns",
        NULL};
    static const char *const encodings[] = {"",
#define HR_X(name, text) text,
                                            HR_ENCODING_MAP(HR_X)
#undef HR_X
    };
    static const char *const ragged_words[] = {"", "raise", "skip", "pad"};
    hr_csv_dialect *dialect = &options->dialect;
    struct {
        const char *text;
        Py_ssize_t size;
    } chars[6] = {{",", 1}, {"\"", 1}, {NULL, 0}, {NULL, 0}, {".", 1}, {NULL, 0}};
    int doublequote = 1, skip_space = 0, skip_blank_lines = 1, sniff = 0, portable = 0;
    const char *encoding = "", *ragged = "", *kind = "";
    long long skip_rows = 0, header = 0, max_rows = -1;
    PyObject *column_names = Py_None, *use_names = Py_None, *use_places = Py_None, *kinds = NULL, *nulls = Py_None;
    PyObject *empty = PyTuple_New(0);
    int ok = empty != NULL &&
             PyArg_ParseTupleAndKeywords(
                 empty, kwargs, "|$z#z#z#z#z#z#ppppsspLLLOOOO!sOIIII", names, &chars[0].text, &chars[0].size,
                 &chars[1].text, &chars[1].size, &chars[2].text, &chars[2].size, &chars[3].text, &chars[3].size,
                 &chars[4].text, &chars[4].size, &chars[5].text, &chars[5].size, &doublequote, &skip_space,
                 &skip_blank_lines, &sniff, &encoding, &ragged, &portable, &skip_rows, &header, &max_rows,
                 &column_names, &use_names, &use_places, &PyTuple_Type, &kinds, &kind, &nulls, &options->chunk_rows,
                 &options->chunk_bytes, &options->max_field_bytes, &options->max_columns);
    Py_XDECREF(empty);
    if (!ok) {
        return -1;
    }
    int at = 0;
#define X(name, field)                                                            \
    if (parse_char(#name, chars[at].text, chars[at].size, &options->field) < 0) { \
        return -1;                                                                \
    }                                                                             \
    at++;
    CSV_CHARS(X)
#undef X
    dialect->doublequote = doublequote != 0;
    dialect->skip_space = skip_space != 0;
    dialect->skip_blank_lines = skip_blank_lines != 0;
    options->sniff = sniff != 0;
    options->portable = portable != 0;
    options->skip_rows = skip_rows;
    options->header = header;
    options->max_rows = max_rows;
    options->has_names = column_names != Py_None;
    options->has_use = use_names != Py_None || use_places != Py_None;
    int found = parse_word(encoding, encodings, (int)(sizeof encodings / sizeof *encodings), "encoding of the engine");
    int way = found < 0 ? -1 : parse_word(ragged, ragged_words, 4, "way with ragged rows");
    if (way < 0 || parse_kind(kind, &options->kind) < 0) {
        return -1;
    }
    options->encoding = (hr_encoding)found;
    options->ragged = (hr_csv_ragged)way;
    return ext_strs(column_names, &options->names, &options->n_names) < 0 ||
                   ext_strs(use_names, &options->use_names, &options->n_use_names) < 0 ||
                   ext_strs(nulls, &options->nulls, &options->n_nulls) < 0 ||
                   parse_places(use_places, &options->use_places, &options->n_use_places) < 0 ||
                   parse_kinds(kinds, &options->kinds, &options->n_kinds) < 0
               ? -1
               : 0;
}

static void options_free(hr_csv_options *options) {
    PyMem_Free((void *)options->names);
    PyMem_Free((void *)options->use_names);
    PyMem_Free((void *)options->nulls);
    PyMem_Free((void *)options->use_places);
    PyMem_Free((void *)options->kinds);
}

/* ---------------------------------------------------------------------------------------------------- object */

static PyObject *Csv_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    ext_state *state = ext_state_of_type(type);
    EngineObject *owner;
    if (!PyArg_ParseTuple(args, "O!", state->engine_type, &owner)) {
        return NULL;
    }
    hr_csv_options options;
    hr__csv_options_init(&options);
    options.alloc = hr__engine_allocator(owner->engine);
    CsvObject *self = NULL;
    if (parse_options(kwargs, &options) == 0) {
        self = (CsvObject *)type->tp_alloc(type, 0);
    }
    hr_error err;
    if (self != NULL) {
        self->owner = (EngineObject *)Py_NewRef(owner);
        if (hr__csv_reader_new(&options, &self->reader, &err) != HR_OK) {
            Py_CLEAR(self);
            ext_raise(state, &err, -1);
        }
    }
    options_free(&options);
    return (PyObject *)self;
}

static void Csv_dealloc(CsvObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    hr__csv_reader_free(self->reader);
    Py_XDECREF(self->owner);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Gives a chunk to the stream, or drops it. */
static int give(StreamObject *stream, long long tag, hr_fields *chunk, hr_error *err) {
    int rc = hr__stream_feed_fields(stream->stream, tag, chunk, err);
    if (rc == HR_OK) {
        stream->n_accepted++;
    } else {
        hr__fields_free(chunk);
    }
    return rc;
}

/* Takes all of data, or a chunk's worth of it; the number of bytes taken is in *used_out. Without the GIL. */
static int feed(CsvObject *self, StreamObject *stream, long long tag, const Py_buffer *data, size_t *used_out,
                hr_error *err) {
    hr_fields *chunk;
    HR_TRY(hr__csv_feed(self->reader, data->buf, (size_t)data->len, used_out, &chunk, err));
    return chunk == NULL ? HR_OK : give(stream, tag, chunk, err);
}

static PyObject *Csv_feed(CsvObject *self, PyObject *args) {
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    StreamObject *stream;
    long long tag;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "O!Ly*", state->stream_type, &stream, &tag, &data)) {
        return NULL;
    }
    hr_error err;
    int rc;
    size_t used = 0;
    Py_BEGIN_ALLOW_THREADS rc = feed(self, stream, tag, &data, &used, &err);
    Py_END_ALLOW_THREADS PyBuffer_Release(&data);
    return rc == HR_OK ? PyLong_FromSize_t(used) : ext_raise(state, &err, tag);
}

static PyObject *Csv_finish(CsvObject *self, PyObject *args) {
    ext_state *state = ext_state_of_type(Py_TYPE(self));
    StreamObject *stream;
    long long tag;
    if (!PyArg_ParseTuple(args, "O!L", state->stream_type, &stream, &tag)) {
        return NULL;
    }
    hr_error err;
    hr_fields *chunk = NULL;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = hr__csv_finish(self->reader, &chunk, &err);
    if (rc == HR_OK && chunk != NULL) {
        rc = give(stream, tag, chunk, &err);
    }
    Py_END_ALLOW_THREADS return rc == HR_OK ? PyBool_FromLong(chunk != NULL) : ext_raise(state, &err, tag);
}

static PyObject *names_of(const hr_fields_head *head) {
    if (head == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *list = PyList_New((Py_ssize_t)head->n_columns);
    for (size_t i = 0; i < head->n_columns && list != NULL; i++) {
        PyObject *name = ext_text(head->names[i]);
        if (name == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, name);
    }
    return list;
}

static PyObject *Csv_info(CsvObject *self, PyObject *unused) {
    hr_csv_info info;
    hr__csv_info(self->reader, &info);
    PyObject *lines = PyList_New((Py_ssize_t)info.n_bad_lines);
    for (size_t i = 0; i < info.n_bad_lines && lines != NULL; i++) {
        PyObject *line = PyLong_FromLongLong(info.bad_lines[i]);
        if (line == NULL) {
            Py_CLEAR(lines);
            break;
        }
        PyList_SET_ITEM(lines, (Py_ssize_t)i, line);
    }
    PyObject *names = lines == NULL ? NULL : names_of(info.head);
    if (names == NULL) {
        Py_XDECREF(lines);
        return NULL;
    }
    return Py_BuildValue("{sNsCsssdsdsLsLsLsNsOsn}", "names", names, "delimiter", info.dialect.delimiter, "encoding",
                         hr__encoding_name(info.encoding), "encoding_confidence", info.encoding_confidence,
                         "dialect_confidence", info.dialect_confidence, "rows", (long long)info.n_rows, "short",
                         (long long)info.n_short, "long", (long long)info.n_long, "bad_lines", lines, "done",
                         info.is_done ? Py_True : Py_False, "leading",
                         (Py_ssize_t)(info.head == NULL ? 0 : info.head->n_leading));
}

static PyMethodDef Csv_methods[] = {
    {"feed", (PyCFunction)Csv_feed, METH_VARARGS, NULL},
    {"finish", (PyCFunction)Csv_finish, METH_VARARGS, NULL},
    {"info", (PyCFunction)Csv_info, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Csv_slots[] = {
    {Py_tp_new, Csv_new},
    {Py_tp_dealloc, Csv_dealloc},
    {Py_tp_methods, Csv_methods},
    {Py_tp_doc, "Reads one CSV file for a stream."},
    {0, NULL},
};

static PyType_Spec Csv_spec = {
    .name = "headrace._core.CsvReader",
    .basicsize = sizeof(CsvObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Csv_slots,
};

int ext_add_csv(PyObject *module) {
    return ext_add_type(module, &Csv_spec, NULL);
}

/* ---------------------------------------------------------------------------------------------------- a body */

PyObject *ext_csv_lines(PyObject *module, PyObject *args) {
    Py_buffer body;
    const char *delimiter, *quote, *escape;
    Py_ssize_t delimiter_size, quote_size, escape_size, limit;
    long long skip_rows;
    PyObject *column_names, *nulls;
    int infer;
    hr_csv_options options;
    hr__csv_options_init(&options);
    options.encoding = HR_ENCODING_UTF_8;
    options.chunk_rows = UINT32_MAX - 1; /* chunks end by their bytes */
    if (!PyArg_ParseTuple(args, "y*s#s#s#LOO!pn", &body, &delimiter, &delimiter_size, &quote, &quote_size, &escape,
                          &escape_size, &skip_rows, &column_names, &PyTuple_Type, &nulls, &infer, &limit)) {
        return NULL;
    }
    PyObject *text = NULL;
    options.skip_rows = skip_rows;
    options.has_names = column_names != Py_None;
    options.header = options.has_names ? -1 : 0;
    if (parse_char("delimiter", delimiter, delimiter_size, &options.dialect.delimiter) < 0 ||
        parse_char("quote", quote, quote_size, &options.dialect.quote) < 0 ||
        parse_char("escape", escape, escape_size, &options.dialect.escape) < 0 ||
        ext_strs(nulls, &options.nulls, &options.n_nulls) < 0 ||
        (options.has_names && ext_strs(column_names, &options.names, &options.n_names) < 0)) {
        goto out;
    }
    hr_buf lines;
    hr_error err = {.offset_bytes = -1, .record = -1};
    int rc;
    hr__buf_init(&lines, &hr__allocator_libc, (size_t)limit);
    Py_BEGIN_ALLOW_THREADS rc = hr__csv_json(&options, (hr_str){body.buf, (size_t)body.len}, infer != 0, &lines, &err);
    Py_END_ALLOW_THREADS text = rc == HR_OK ? PyBytes_FromStringAndSize(lines.data, (Py_ssize_t)lines.size_bytes)
                                            : ext_raise(PyModule_GetState(module), &err, -1);
    hr__buf_free(&lines);
out:
    PyMem_Free((void *)options.nulls);
    PyMem_Free((void *)options.names);
    PyBuffer_Release(&body);
    return text;
}
