/* SPDX-License-Identifier: Apache-2.0
 *
 * simdjson behind a C interface, for comparison in bench_decode.
 */
#ifndef HR_BENCH_DECODE_H
#define HR_BENCH_DECODE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void *hr_bench_simdjson_new(void);
void hr_bench_simdjson_free(void *parser);
/* Parses body (padded by 64 bytes) into simdjson's DOM and adds something of every field to *sum. 0: well. */
int hr_bench_simdjson(void *parser, const char *body, size_t size_bytes, uint64_t *sum);

#ifdef __cplusplus
}
#endif
#endif
