/* SPDX-License-Identifier: Apache-2.0
 *
 * The extension module headrace._core: thin objects over src/run. The interface is python/headrace/_core.pyi.
 *
 *   module.c  module state, Error, the module's functions
 *   engine.c  Engine and Stream
 *   page.c    Page
 *   route.c   Route, Pacer
 *   pager.c   Pager
 *   batch.c   TableBatch, columns
 *   records.c Records
 *   csv.c     CsvReader
 *   xml.c     XmlReader
 *   text.c    write_text
 *   parquet.c ParquetWriter
 *   stages.c  the stages without fetch and run, for tests
 *   nested.c  ids and links of rows of nested Arrow tables
 *
 * Ownership: Page -> Stream -> Engine by references, so the C engine is freed after all of its pages and streams. The
 * GIL is released around every call that may block or that works on data.
 */
#ifndef HR_EXT_H
#define HR_EXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "engine.h"

typedef struct ext_state {
    PyObject *error; /* the exception class Error */
    PyTypeObject *engine_type, *stream_type, *page_type, *batch_type, *route_type, *pacer_type;
} ext_state;

extern struct PyModuleDef ext_module;
ext_state *ext_state_of_type(PyTypeObject *type); /* borrowed; NULL with an exception set */

/* Sets Error from err (and tag) and returns NULL. */
PyObject *ext_raise(ext_state *state, const hr_error *err, int64_t tag);
/* An Error object; NULL with an exception set. */
PyObject *ext_error_new(ext_state *state, const hr_error *err, int64_t tag);

/* Text that may not be UTF-8 (headers, URLs): as ISO-8859-1, as requests reads it. */
PyObject *ext_text(hr_str text);

typedef struct EngineObject {
    PyObject_HEAD hr_engine *engine;
    PyObject *namings; /* a set: what workers call for names and their rules, as long as there are workers */
    bool closing;
} EngineObject;

typedef struct StreamObject {
    PyObject_HEAD EngineObject *owner; /* owned reference */
    hr_stream *stream;
    uint64_t n_accepted;
} StreamObject;

typedef struct PageObject {
    PyObject_HEAD EngineObject *owner; /* owned reference */
    hr_page *page;                     /* NULL: released or accepted */
} PageObject;

typedef struct PacerObject {
    PyObject_HEAD hr_pacer *pacer;
} PacerObject;

#define EXT_ROUTE_TEXTS 16

typedef struct RouteObject {
    PyObject_HEAD hr_http_request base; /* without method, URL, headers and body; its texts are those below */
    char *texts[EXT_ROUTE_TEXTS];
    size_t n_texts;
} RouteObject;

/* Selector steps from a Python sequence (or None: no selector). *steps_out is malloc'ed (PyMem_Free); its keys are
 * borrowed from the sequence's strings. -1 with an exception set. */
int ext_steps(PyObject *sequence, hr_step **steps_out, size_t *n_out);
/* Texts from a tuple of str (None: none), borrowed from it; *out is malloc'ed (PyMem_Free). -1 with an exception set.
 */
int ext_strs(PyObject *tuple, const hr_str **out, size_t *n_out);
/* Headers from a sequence of pairs of str or bytes, which are borrowed from it; *headers_out is malloc'ed (PyMem_Free).
 * -1 with an exception set. */
int ext_headers(PyObject *sequence, hr_http_header **headers_out, size_t *n_out);
/* Seeds schema from a sequence of Table tuples. -1 with an exception set. */
int ext_schema_seed(PyObject *tables, hr_schema *schema);
/* A list of TableBatch from an output, which is freed. NULL with an exception set. */
PyObject *ext_batches(ext_state *state, hr_output *output);

/* The arrays of a TableBatch, which stay its own, or of another object's __arrow_c_array__. They live as long as
 * *owner_out, a new reference. -1 with an exception set. */
int ext_arrow_of(ext_state *state, PyObject *batch, PyObject **owner_out, const struct ArrowSchema **schema_out,
                 const struct ArrowArray **array_out);

/* Makes the type and adds it to the module; kept_out, if not NULL, owns it. -1 with an exception set. */
int ext_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **kept_out);
int ext_add_engine(PyObject *module, ext_state *state);
int ext_add_route(PyObject *module, ext_state *state);
int ext_add_pager(PyObject *module);
int ext_add_page(PyObject *module, ext_state *state);
int ext_add_records(PyObject *module);
int ext_add_batch(PyObject *module, ext_state *state);
int ext_add_csv(PyObject *module);
int ext_add_xml(PyObject *module);
int ext_add_parquet(PyObject *module);
PyObject *ext_page_new(ext_state *state, EngineObject *owner, hr_page *page); /* takes page, also on failure */

/* module functions of stages.c */
PyObject *ext_normalize_json(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *ext_name_column(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *ext_name_path(PyObject *module, PyObject *args, PyObject *kwargs);
PyObject *ext_iso_parse(PyObject *module, PyObject *arg);
PyObject *ext_split_records(PyObject *module, PyObject *args);
PyObject *ext_count_lines(PyObject *module, PyObject *body);
/* of text.c */
PyObject *ext_write_text(PyObject *module, PyObject *args);
/* module functions of nested.c */
PyObject *ext_nested_rows(PyObject *module, PyObject *args);
PyObject *ext_nested_ids(PyObject *module, PyObject *args);
PyObject *ext_text_ids(PyObject *module, PyObject *args);
PyObject *ext_csv_lines(PyObject *module, PyObject *args);
PyObject *ext_sse_lines(PyObject *module, PyObject *args);
PyObject *ext_random_ids(PyObject *module, PyObject *arg);
/* Fills options' id kind from "random", "key_hash", "row_hash". -1 with an exception set. */
int ext_id_kind(const char *name, hr_id_kind *kind_out);

#endif
