/* SPDX-License-Identifier: Apache-2.0
 *
 * Keccak-f[1600] (FIPS 202, section 3.3), written once for any lane type: the including file defines LANE (one or four
 * 64-bit lanes), XOR, ROL and ANDNOT(a, b) = ~a & b, and ROUND_CONSTANT(i).
 */

static const uint64_t keccak_constants[24] = {
    0x0000000000000001u, 0x0000000000008082u, 0x800000000000808Au, 0x8000000080008000u, 0x000000000000808Bu,
    0x0000000080000001u, 0x8000000080008081u, 0x8000000000008009u, 0x000000000000008Au, 0x0000000000000088u,
    0x0000000080008009u, 0x000000008000000Au, 0x000000008000808Bu, 0x800000000000008Bu, 0x8000000000008089u,
    0x8000000000008003u, 0x8000000000008002u, 0x8000000000000080u, 0x000000000000800Au, 0x800000008000000Au,
    0x8000000080008081u, 0x8000000000008080u, 0x0000000080000001u, 0x8000000080008008u};

#define CHI_ROW(o, b0, b1, b2, b3, b4)    \
    a[(o) + 0] = XOR(b0, ANDNOT(b1, b2)); \
    a[(o) + 1] = XOR(b1, ANDNOT(b2, b3)); \
    a[(o) + 2] = XOR(b2, ANDNOT(b3, b4)); \
    a[(o) + 3] = XOR(b3, ANDNOT(b4, b0)); \
    a[(o) + 4] = XOR(b4, ANDNOT(b0, b1))

static void keccak_f(LANE state[25]) {
    LANE a[25];
    for (int i = 0; i < 25; i++) {
        a[i] = state[i];
    }
    for (int round = 0; round < 24; round++) {
        LANE c0 = XOR(XOR(XOR(a[0], a[5]), XOR(a[10], a[15])), a[20]);
        LANE c1 = XOR(XOR(XOR(a[1], a[6]), XOR(a[11], a[16])), a[21]);
        LANE c2 = XOR(XOR(XOR(a[2], a[7]), XOR(a[12], a[17])), a[22]);
        LANE c3 = XOR(XOR(XOR(a[3], a[8]), XOR(a[13], a[18])), a[23]);
        LANE c4 = XOR(XOR(XOR(a[4], a[9]), XOR(a[14], a[19])), a[24]);
        LANE d0 = XOR(c4, ROL(c1, 1)), d1 = XOR(c0, ROL(c2, 1)), d2 = XOR(c1, ROL(c3, 1));
        LANE d3 = XOR(c2, ROL(c4, 1)), d4 = XOR(c3, ROL(c0, 1));
        LANE b00 = XOR(a[0], d0), b01 = ROL(XOR(a[6], d1), 44), b02 = ROL(XOR(a[12], d2), 43);
        LANE b03 = ROL(XOR(a[18], d3), 21), b04 = ROL(XOR(a[24], d4), 14);
        LANE b05 = ROL(XOR(a[3], d3), 28), b06 = ROL(XOR(a[9], d4), 20), b07 = ROL(XOR(a[10], d0), 3);
        LANE b08 = ROL(XOR(a[16], d1), 45), b09 = ROL(XOR(a[22], d2), 61);
        LANE b10 = ROL(XOR(a[1], d1), 1), b11 = ROL(XOR(a[7], d2), 6), b12 = ROL(XOR(a[13], d3), 25);
        LANE b13 = ROL(XOR(a[19], d4), 8), b14 = ROL(XOR(a[20], d0), 18);
        LANE b15 = ROL(XOR(a[4], d4), 27), b16 = ROL(XOR(a[5], d0), 36), b17 = ROL(XOR(a[11], d1), 10);
        LANE b18 = ROL(XOR(a[17], d2), 15), b19 = ROL(XOR(a[23], d3), 56);
        LANE b20 = ROL(XOR(a[2], d2), 62), b21 = ROL(XOR(a[8], d3), 55), b22 = ROL(XOR(a[14], d4), 39);
        LANE b23 = ROL(XOR(a[15], d0), 41), b24 = ROL(XOR(a[21], d1), 2);
        CHI_ROW(0, b00, b01, b02, b03, b04);
        CHI_ROW(5, b05, b06, b07, b08, b09);
        CHI_ROW(10, b10, b11, b12, b13, b14);
        CHI_ROW(15, b15, b16, b17, b18, b19);
        CHI_ROW(20, b20, b21, b22, b23, b24);
        a[0] = XOR(a[0], ROUND_CONSTANT(round));
    }
    for (int i = 0; i < 25; i++) {
        state[i] = a[i];
    }
}
