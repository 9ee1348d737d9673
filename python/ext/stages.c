/* SPDX-License-Identifier: Apache-2.0
 *
 * The stages without fetch and run, in the calling thread: for tests against dlt and for measuring.
 */
#include "ext.h"

#include "emit.h"
#include "json.h"
#include "naming.h"
#include "timestamp.h"

/* Everything one call of normalize_json owns. */
typedef struct one_shot {
    hr_json_decoder *decoder;
    hr_doc doc;
    hr_schema schema;
    hr_normalizer *normalizer;
    hr_batch batch;
    hr_emitter *emitter;
    size_t *records;
    size_t *told; /* columns a seeded table came with */
    size_t n_told;
    char *body; /* padded copy */
    hr_output *output;
} one_shot;

static void one_shot_free(one_shot *run) {
    const hr_allocator *alloc = &hr__allocator_libc;
    hr__normalizer_free(run->normalizer);
    hr__emitter_free(run->emitter);
    hr__batch_free(&run->batch);
    hr__doc_free(&run->doc);
    hr__json_decoder_free(run->decoder);
    hr__schema_free(&run->schema);
    hr__free(alloc, run->records);
    hr__free(alloc, run->told);
    hr__free(alloc, run->body);
    hr__output_free(run->output);
}

static int one_shot_output(one_shot *run, hr_error *err) {
    const hr_allocator *alloc = &hr__allocator_libc;
    run->output = hr__calloc(alloc, 1, sizeof *run->output);
    if (run->output == NULL) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    hr_arena *arena = &run->output->arena;
    hr__arena_init(arena, alloc, 0);
    run->output->tables = hr__arena_alloc(arena, sizeof *run->output->tables * (run->schema.n_tables + 1));
    if (run->output->tables == NULL) {
        return hr__error_memory(err, HR_STAGE_EMIT);
    }
    for (size_t t = 0; t < run->schema.n_tables; t++) {
        const hr_table *from = &run->schema.tables[t];
        size_t told = t < run->n_told ? run->told[t] : 0;
        hr_output_table *to = &run->output->tables[t];
        *to = (hr_output_table){.n_rows = hr__emitter_rows(run->emitter, (int32_t)t),
                                .n_bytes = hr__emitter_table_bytes(run->emitter, (int32_t)t),
                                .is_new = t >= run->n_told};
        to->name = hr__arena_copy(arena, from->name.data, from->name.size_bytes);
        to->new_columns = hr__arena_alloc(arena, sizeof *to->new_columns * (from->n_columns - told + 1));
        if (to->name == NULL || to->new_columns == NULL) {
            return hr__error_memory(err, HR_STAGE_EMIT);
        }
        if (from->parent >= 0) {
            to->parent = run->output->tables[from->parent].name;
        }
        for (size_t c = told; c < from->n_columns; c++) {
            if (from->columns[c].type != HR_TYPE_UNSET) {
                to->new_columns[to->n_new_columns++] = from->columns[c]; /* names live as long as run->schema */
            }
        }
        HR_TRY(hr__emitter_export(run->emitter, &run->schema, (int32_t)t, &to->array, &to->schema, err));
        run->output->n_tables++;
    }
    return HR_OK;
}

static int one_shot_run(one_shot *run, const hr_json_options *json, const hr_normalize_options *options,
                        size_t body_size_bytes, hr_error *err) {
    const hr_allocator *alloc = &hr__allocator_libc;
    HR_TRY(hr__json_decoder_new(json, &run->decoder, err));
    HR_TRY(hr__json_decode(run->decoder, run->body, body_size_bytes, &run->doc, err));
    if (run->doc.toks[0].type != HR_TOK_ARRAY) {
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_DECODE, "normalize_json wants a JSON array of records");
    }
    size_t n = run->doc.toks[0].len;
    run->records = hr__calloc(alloc, n, sizeof *run->records);
    run->told = hr__calloc(alloc, run->schema.n_tables, sizeof *run->told);
    if (run->records == NULL || run->told == NULL) {
        return hr__error_memory(err, HR_STAGE_RUN);
    }
    run->n_told = run->schema.n_tables;
    for (size_t t = 0; t < run->n_told; t++) {
        run->told[t] = run->schema.tables[t].n_columns;
    }
    size_t at = 1;
    for (size_t i = 0; i < n; i++) {
        run->records[i] = at;
        at = hr__doc_next(&run->doc, at);
    }
    HR_TRY(hr__normalizer_new(options, &run->schema, &run->normalizer, err));
    const hr_records records = {.doc = &run->doc, .at = run->records, .n = n};
    HR_TRY(hr__normalize(run->normalizer, &records, &run->batch, err));
    HR_TRY(hr__emitter_new(alloc, &run->emitter, err));
    HR_TRY(hr__emitter_append(run->emitter, &run->schema, &run->batch, err));
    return one_shot_output(run, err);
}

PyObject *ext_normalize_json(PyObject *module, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"body",    "table",    "tables",         "load_id",  "max_nesting", "max_length",
                            "id_kind", "root_key", "reference_only", "portable", "seed",        NULL};
    ext_state *state = PyModule_GetState(module);
    const char *body, *table = NULL, *load_id = "", *id_kind = "random", *seed = NULL;
    Py_ssize_t body_size, table_size = 0, load_id_size = 0, seed_size = 0;
    PyObject *tables = NULL;
    int max_nesting = 1000, root_key = 0, reference_only = 0, portable = 0;
    unsigned long long max_length = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y#|$s#Os#iKspppz#", names, &body, &body_size, &table, &table_size,
                                     &tables, &load_id, &load_id_size, &max_nesting, &max_length, &id_kind, &root_key,
                                     &reference_only, &portable, &seed, &seed_size)) {
        return NULL;
    }
    if (table == NULL || tables == NULL) {
        PyErr_SetString(PyExc_TypeError, "normalize_json() needs table and tables");
        return NULL;
    }
    const hr_allocator *alloc = &hr__allocator_libc;
    hr_json_options json = {.alloc = alloc, .portable = portable != 0};
    hr_normalize_options options = {
        .alloc = alloc,
        .root_table = {table, (size_t)table_size},
        .load_id = {load_id, (size_t)load_id_size},
        .max_nesting = max_nesting,
        .max_length = (size_t)max_length,
        .root_key = root_key != 0,
        .reference_only = reference_only != 0,
    };
    if (ext_id_kind(id_kind, &options.id_kind) < 0) {
        return NULL;
    }
    if (seed_size != 0 && seed_size != sizeof options.seed) {
        return PyErr_Format(PyExc_ValueError, "seed must have %zu bytes", sizeof options.seed);
    }
    if (seed_size != 0) {
        memcpy(options.seed, seed, sizeof options.seed);
    }
    one_shot run = {0};
    hr__doc_init(&run.doc, alloc);
    hr__schema_init(&run.schema, alloc);
    hr__batch_init(&run.batch, alloc);
    PyObject *list = NULL;
    run.body = hr__alloc(alloc, (size_t)body_size + HR_BODY_PADDING);
    if (run.body == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    memcpy(run.body, body, (size_t)body_size);
    if (ext_schema_seed(tables, &run.schema) < 0) {
        goto out;
    }
    hr_error err;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = one_shot_run(&run, &json, &options, (size_t)body_size, &err);
    Py_END_ALLOW_THREADS if (rc != HR_OK) {
        ext_raise(state, &err, -1);
        goto out;
    }
    list = ext_batches(state, run.output);
    run.output = NULL;
out:
    one_shot_free(&run);
    return list;
}

PyObject *ext_count_lines(PyObject *module, PyObject *body) {
    Py_buffer view;
    if (PyObject_GetBuffer(body, &view, PyBUF_SIMPLE) != 0) {
        return NULL;
    }
    size_t n = hr__json_count_lines(view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return PyLong_FromSize_t(n);
}

PyObject *ext_split_records(PyObject *module, PyObject *args) {
    Py_buffer body;
    Py_ssize_t target;
    int likely = 0;
    if (!PyArg_ParseTuple(args, "y*n|p", &body, &target, &likely)) {
        return NULL;
    }
    const hr_allocator *alloc = &hr__allocator_libc;
    const hr_json_options options = {.alloc = alloc};
    hr_json_decoder *decoder = NULL;
    hr_slice *slices = NULL;
    size_t n = 0;
    int rc;
    Py_BEGIN_ALLOW_THREADS rc = hr__json_decoder_new(&options, &decoder, NULL);
    if (rc == HR_OK) {
        rc = (likely ? hr__json_cut : hr__json_split)(decoder, body.buf, (size_t)body.len,
                                                      target < 1 ? 1 : (size_t)target, &slices, &n);
    }
    hr__json_decoder_free(decoder);
    Py_END_ALLOW_THREADS PyBuffer_Release(&body);
    PyObject *list = rc == HR_OK ? PyList_New((Py_ssize_t)n) : PyErr_NoMemory();
    for (size_t i = 0; i < n && list != NULL; i++) {
        PyObject *pair = Py_BuildValue("(nn)", (Py_ssize_t)slices[i].from, (Py_ssize_t)slices[i].to);
        if (pair == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
    }
    hr__free(alloc, slices);
    return list;
}

typedef int (*name_fn)(hr_arena *arena, hr_str key, size_t max_length, hr_str *name_out);

static PyObject *name_with(name_fn fn, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"key", "max_length", NULL};
    const char *key;
    Py_ssize_t size;
    unsigned long long max_length = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s#|K", names, &key, &size, &max_length)) {
        return NULL;
    }
    hr_arena arena;
    hr__arena_init(&arena, &hr__allocator_libc, 0);
    hr_str name;
    int rc = fn(&arena, (hr_str){key, (size_t)size}, (size_t)max_length, &name);
    PyObject *out =
        rc == HR_OK ? PyUnicode_FromStringAndSize(name.data, (Py_ssize_t)name.size_bytes) : PyErr_NoMemory();
    hr__arena_free(&arena);
    return out;
}

PyObject *ext_name_column(PyObject *module, PyObject *args, PyObject *kwargs) {
    return name_with(hr__name_column, args, kwargs);
}

PyObject *ext_name_path(PyObject *module, PyObject *args, PyObject *kwargs) {
    return name_with(hr__name_path, args, kwargs);
}

PyObject *ext_iso_parse(PyObject *module, PyObject *arg) {
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(arg, &size);
    if (text == NULL) {
        return NULL;
    }
    static const char *const kinds[] = {NULL, "dt", "date", "time"};
    hr_iso iso;
    hr__iso_parse((hr_str){text, (size_t)size}, &iso);
    if (iso.kind == HR_ISO_NONE) {
        Py_RETURN_NONE;
    }
    PyObject *offset = iso.has_offset ? PyLong_FromLong(iso.offset_seconds) : Py_NewRef(Py_None);
    return Py_BuildValue("(s(iiiiiii)N)", kinds[iso.kind], iso.year, iso.month, iso.day, iso.hour, iso.minute,
                         iso.second, iso.microsecond, offset);
}
