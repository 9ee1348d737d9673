/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a fuzzer's seeds as a plain test: each line of the file (fuzz/seeds.py), and all that it starts with.
 */
#include "hrtest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
    static char line[1 << 16];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    size_t n_inputs = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        size_t end = strcspn(line, "\n");
        if (*line == '#' || end == 0) {
            continue;
        }
        line[end] = '\0';
        hr_str input = hrtest_unescape(line);
        for (size_t cut = 0; cut <= input.size_bytes; cut++) {
            LLVMFuzzerTestOneInput((const uint8_t *)input.data, cut);
        }
        n_inputs++;
    }
    if (file != NULL) {
        fclose(file);
    }
    printf("%zu inputs\n", n_inputs);
    return n_inputs == 0;
}
