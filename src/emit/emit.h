/* SPDX-License-Identifier: Apache-2.0
 *
 * emit: tables -> Arrow. Batches of pages are appended, in order, to one set of growing Arrow buffers a table; export
 * moves a table's buffers out through the C data interface and leaves the table empty. Column order is the schema's.
 */
#ifndef HR_EMIT_EMIT_H
#define HR_EMIT_EMIT_H

#include "batch.h"

typedef struct hr_emitter hr_emitter;

/* `alloc` also frees exported arrays, so it must outlive them (in the engine: its account's). */
HR_MUST_CHECK int hr__emitter_new(const hr_allocator *alloc, hr_emitter **emitter_out, hr_error *err);
void hr__emitter_free(hr_emitter *emitter);

/* Copies the batch's rows (all tables; indices as in schema, which must have every column of the batch) behind what is
 * there. On failure (HR_MEMORY, HR_LIMIT: a text column beyond 2 GiB) the emitter is only good to be freed. */
HR_MUST_CHECK int hr__emitter_append(hr_emitter *emitter, const hr_schema *schema, const hr_batch *batch,
                                     hr_error *err);

size_t hr__emitter_bytes(const hr_emitter *emitter); /* in all tables' buffers */
size_t hr__emitter_table_bytes(const hr_emitter *emitter, int32_t table);
size_t hr__emitter_rows(const hr_emitter *emitter, int32_t table);

/* Moves the table's rows out as a struct array with one child a complete column. The caller releases both. */
HR_MUST_CHECK int hr__emitter_export(hr_emitter *emitter, const hr_schema *schema, int32_t table,
                                     struct ArrowArray *array_out, struct ArrowSchema *schema_out, hr_error *err);

#endif
