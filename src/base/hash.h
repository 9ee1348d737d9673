/* SPDX-License-Identifier: Apache-2.0
 *
 * SHAKE-128 (FIPS 202) for dlt's deterministic ids, one at a time and eight at a time (AVX-512 or AVX2, chosen at
 * run time; the portable path gives the same bytes), standard base64 without padding, and a random stream for row ids.
 */
#ifndef HR_BASE_HASH_H
#define HR_BASE_HASH_H

#include "base.h"

#define HR_ID_BYTES 10     /* dlt's DLT_ID_LENGTH_BYTES where DLT_DLT_ID_LENGTH_BYTES is not set */
#define HR_ID_CHARS 14     /* its base64 without padding */
#define HR_ID_MAX_BYTES 64 /* a block of hr_ids */
#define HR_ID_MAX_CHARS 86

void hr__shake128(const void *data, size_t size_bytes, void *out, size_t out_bytes);
/* Eight messages at once, out_bytes (<= 168) each. Messages of 168 bytes or more are allowed (hashed one by one). */
void hr__shake128_x8(const void *const data[8], const size_t size_bytes[8], void *const out[8], size_t out_bytes);
const char *hr__shake128_kind(void); /* what x8 runs on here */
/* Base64, standard alphabet, no padding. out has (size*4+2)/3 bytes; returns that length. */
size_t hr__base64(const void *data, size_t size_bytes, char *out);

/* Row ids: a ChaCha20 stream. Same seed and stream number give the same ids (tests: output equal for 1 and N workers).
 */
typedef struct hr_ids {
    uint32_t state[16];
    uint8_t block[64];
    uint32_t at; /* bytes of block used */
} hr_ids;
void hr__ids_init(hr_ids *ids, const uint8_t seed[32], uint64_t stream);
/* The next id of size_bytes <= HR_ID_MAX_BYTES, as base64 to out; returns its length. */
size_t hr__ids_next(hr_ids *ids, size_t size_bytes, char *out);
/* 32 bytes from the operating system. HR_OK or HR_INTERNAL. */
HR_MUST_CHECK int hr__random_seed(uint8_t seed[32]);

#endif
