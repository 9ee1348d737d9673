/* SPDX-License-Identifier: Apache-2.0
 *
 * SHAKE-128, base64, ChaCha20 row ids. Keccak once for one lane, in hash_avx2.c for four, in hash_avx512.c for eight.
 */
#include "hash.h"

#include "hash_vector.h"

#include <errno.h>
#include <sys/random.h>

#define LANE uint64_t
#define XOR(a, b) ((a) ^ (b))
#define ANDNOT(a, b) (~(a) & (b))
#define ROL(a, n) ((a) << (n) | (a) >> (64 - (n)))
#define ROUND_CONSTANT(i) keccak_constants[i]
#include "keccak.h"

#define RATE HR_SHAKE_RATE

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "lanes are read as they lie in memory");

/* XORs size_bytes <= RATE bytes into the state. */
static void absorb(uint64_t state[25], const uint8_t *from, size_t size_bytes) {
    size_t i = 0;
    for (; i + 8 <= size_bytes; i += 8) {
        uint64_t lane;
        memcpy(&lane, from + i, sizeof lane);
        state[i / 8] ^= lane;
    }
    for (; i < size_bytes; i++) {
        state[i / 8] ^= (uint64_t)from[i] << i % 8 * 8;
    }
}

void hr__shake128(const void *data, size_t size_bytes, void *out, size_t out_bytes) {
    uint64_t state[25] = {0};
    const uint8_t *from = data;
    for (; size_bytes >= RATE; from += RATE, size_bytes -= RATE) {
        absorb(state, from, RATE);
        keccak_f(state);
    }
    absorb(state, from, size_bytes);
    state[size_bytes / 8] ^= HR_SHAKE_SUFFIX << size_bytes % 8 * 8;
    state[RATE / 8 - 1] ^= HR_SHAKE_LAST;
    uint8_t *to = out;
    for (;;) {
        keccak_f(state);
        size_t n = out_bytes < RATE ? out_bytes : RATE;
        memcpy(to, state, n);
        to += n;
        out_bytes -= n;
        if (out_bytes == 0) {
            return;
        }
    }
}

const char *hr__shake128_kind(void) {
    return hr__has_avx512() ? "AVX-512" : hr__has_avx2() ? "AVX2" : "portable";
}

void hr__shake128_x8(const void *const data[8], const size_t size_bytes[8], void *const out[8], size_t out_bytes) {
    bool small = out_bytes <= RATE;
    for (int i = 0; i < 8; i++) {
        small = small && size_bytes[i] < RATE;
    }
    if (small && hr__has_avx512()) {
        hr__shake128_x8_avx512(data, size_bytes, out, out_bytes);
    } else if (small && hr__has_avx2()) {
        hr__shake128_x4_avx2(data, size_bytes, out, out_bytes);
        hr__shake128_x4_avx2(data + 4, size_bytes + 4, out + 4, out_bytes);
    } else {
        for (int i = 0; i < 8; i++) {
            hr__shake128(data[i], size_bytes[i], out[i], out_bytes);
        }
    }
}

size_t hr__base64(const void *data, size_t size_bytes, char *out) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *from = data;
    char *at = out;
    for (; size_bytes >= 3; size_bytes -= 3, from += 3) {
        uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        *at++ = letters[bits >> 18];
        *at++ = letters[bits >> 12 & 63];
        *at++ = letters[bits >> 6 & 63];
        *at++ = letters[bits & 63];
    }
    if (size_bytes != 0) {
        uint32_t bits = (uint32_t)from[0] << 16 | (size_bytes == 2 ? (uint32_t)from[1] << 8 : 0);
        *at++ = letters[bits >> 18];
        *at++ = letters[bits >> 12 & 63];
        if (size_bytes == 2) {
            *at++ = letters[bits >> 6 & 63];
        }
    }
    return (size_t)(at - out);
}

/* ---------------------------------------------------------------------------------------------------- row ids */

#define QUARTER(a, b, c, d)                                     \
    x[a] += x[b], x[d] ^= x[a], x[d] = x[d] << 16 | x[d] >> 16; \
    x[c] += x[d], x[b] ^= x[c], x[b] = x[b] << 12 | x[b] >> 20; \
    x[a] += x[b], x[d] ^= x[a], x[d] = x[d] << 8 | x[d] >> 24;  \
    x[c] += x[d], x[b] ^= x[c], x[b] = x[b] << 7 | x[b] >> 25

/* The ChaCha20 block function (RFC 8439, section 2.3). */
static void chacha_block(hr_ids *ids) {
    uint32_t x[16];
    memcpy(x, ids->state, sizeof x);
    for (int i = 0; i < 10; i++) {
        QUARTER(0, 4, 8, 12);
        QUARTER(1, 5, 9, 13);
        QUARTER(2, 6, 10, 14);
        QUARTER(3, 7, 11, 15);
        QUARTER(0, 5, 10, 15);
        QUARTER(1, 6, 11, 12);
        QUARTER(2, 7, 8, 13);
        QUARTER(3, 4, 9, 14);
    }
    for (int i = 0; i < 16; i++) {
        x[i] += ids->state[i];
    }
    memcpy(ids->block, x, sizeof x);
    ids->state[12]++;
    ids->at = 0;
}

void hr__ids_init(hr_ids *ids, const uint8_t seed[32], uint64_t stream) {
    ids->state[0] = 0x61707865;
    ids->state[1] = 0x3320646e;
    ids->state[2] = 0x79622d32;
    ids->state[3] = 0x6b206574;
    memcpy(ids->state + 4, seed, 32);
    ids->state[12] = 0;
    ids->state[13] = 0;
    memcpy(ids->state + 14, &stream, sizeof stream);
    ids->at = sizeof ids->block;
}

size_t hr__ids_next(hr_ids *ids, size_t size_bytes, char *out) {
    if (ids->at + size_bytes > sizeof ids->block) {
        chacha_block(ids);
    }
    const uint8_t *bytes = ids->block + ids->at;
    ids->at += (uint32_t)size_bytes;
    return hr__base64(bytes, size_bytes, out);
}

int hr__random_seed(uint8_t seed[32]) {
    for (size_t have = 0; have < 32;) {
        ssize_t n = getrandom(seed + have, 32 - have, 0);
        if (n < 0 && errno != EINTR) {
            return HR_INTERNAL;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    return HR_OK;
}
