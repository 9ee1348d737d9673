/* SPDX-License-Identifier: Apache-2.0
 *
 * simdjson behind a C interface, for comparison.
 */
#ifndef HR_BENCH_BENCH_SIMDJSON_H
#define HR_BENCH_BENCH_SIMDJSON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hr_bench_simdjson hr_bench_simdjson;

hr_bench_simdjson *hr_bench_simdjson_new(void);
void hr_bench_simdjson_free(hr_bench_simdjson *parsers);
/* Each parses body (padded by 64 bytes) and adds something of every key and value to *sum. 0: well. */
int hr_bench_simdjson_dom(hr_bench_simdjson *parsers, const char *body, size_t size_bytes, uint64_t *sum);
int hr_bench_simdjson_ondemand(hr_bench_simdjson *parsers, const char *body, size_t size_bytes, uint64_t *sum);

#ifdef __cplusplus
}
#endif
#endif
