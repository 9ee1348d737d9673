/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: a value found in a document that is still coming.
 */
#include "early.h"
#include "hrtest.h"

/* The path is written with / for the zero bytes. want NULL: nothing is found; `after`: it is found with the byte before
 * this place, not sooner (0: not asked). */
typedef struct row {
    const char *path, *text, *want;
    size_t after;
} row;

static const row rows[] = {
    {"next/", "{\"next\": \"abc\", \"items\": [1, 2]}", "\"abc\"", 14},
    {"next/", "{\"next\":17,\"items\":[]}", "17", 11}, /* a number ends where something else begins */
    {"next/", "{\"next\":-1.5e3}", "-1.5e3", 15},
    {"next/", "{\"next\":true }", "true", 13},
    {"meta/next/", "{\"a\":{\"next\":\"no\"},\"meta\":{\"x\":[{\"next\":\"no\"}],\"next\":\"yes\"}}", "\"yes\"", 0},
    {"next/", "{\"a\":\"next\",\"b\":[\"next\",\"no\"],\"next\":\"yes\"}", "\"yes\"", 0},
    {"next/", "{\"next\":\"a\\\"b\\\\\",\"c\":\"d\"}", "\"a\\\"b\\\\\"", 0},
    {"next/", "{\"a\\\"\":\"\\\\\",\"next\":\"e\"}", "\"e\"", 0},
    {"next/", "{\"next\":\"first\",\"next\":\"last\"}", "\"first\"", 0},
    {"next/", " \n{ \"next\" : \"\" }", "\"\"", 0},
    {"next/", "{\"next\":null,\"items\":[]}", NULL, 0},
    {"next/", "{\"next\":false}", NULL, 0},
    {"next/", "{\"next\":{\"a\":1}}", NULL, 0},
    {"next/", "{\"next\":[\"a\"]}", NULL, 0},
    {"next/", "{\"items\":[{\"next\":\"no\"}]}", NULL, 0},
    {"meta/next/", "{\"meta\":\"next\",\"next\":\"no\"}", NULL, 0},
    {"meta/next/", "{\"meta\":[{\"next\":\"no\"}]}", NULL, 0},
    {"meta/next/", "{\"meta\":{},\"next\":\"no\"}", NULL, 0},
    {"meta/next/", "{\"meta\":1,\"next\":\"no\"}", NULL, 0},
    {"next/", "[{\"next\":\"no\"}]", NULL, 0},
    {"next/", "\"next\"", NULL, 0},
    {"next/", "next", NULL, 0},
    {"next/", "}}]]", NULL, 0},
    {"next/", "", NULL, 0},
    {"next/", "{\"next\":\"never ends", NULL, 0},
    {"next/", "{\"next\":12", NULL, 0},
    {"", "{\"next\":1}", NULL, 0},
};

static void check(const row *one, size_t chunk) {
    char path[64];
    size_t n = strlen(one->path), size = strlen(one->text), given = 0;
    for (size_t i = 0; i < n; i++) {
        path[i] = one->path[i] == '/' ? '\0' : one->path[i];
    }
    hr_early early;
    hr__early_init(&early, (hr_str){path, n});
    hr_early_state state = early.state;
    while (given < size && state == HR_EARLY_MORE) {
        given = size - given < chunk ? size : given + chunk;
        char *data = malloc(given); /* so that a look beyond it is seen */
        memcpy(data, one->text, given);
        state = hr__early_scan(&early, data, given);
        free(data);
    }
    if (one->want == NULL) {
        HR_CHECK(state != HR_EARLY_FOUND);
        return;
    }
    HR_CHECK_INT(state, HR_EARLY_FOUND);
    HR_CHECK_INT(early.value_size, strlen(one->want));
    HR_CHECK(strncmp(one->text + early.value_at, one->want, early.value_size) == 0);
    HR_CHECK(one->after == 0 || chunk > 1 || given == one->after);
}

HR_CASE(a_value_is_found_wherever_the_text_is_cut) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t chunk = 1; chunk <= strlen(rows[i].text) + 1; chunk++) {
            check(&rows[i], chunk);
        }
    }
}

HR_CASE(what_comes_late_is_not_looked_for) {
    static char text[2 * HR_EARLY_BYTES];
    memset(text, ' ', sizeof text);
    memcpy(text, "{\"a\":[", 6);
    memcpy(text + HR_EARLY_BYTES - 14, "],\"next\":\"b\",", 13);
    hr_early early;
    hr__early_init(&early, (hr_str){"next", 5});
    HR_CHECK_INT(hr__early_scan(&early, text, sizeof text), HR_EARLY_FOUND);
    memcpy(text + HR_EARLY_BYTES - 14, "]            ", 13);
    memcpy(text + HR_EARLY_BYTES - 4, ",\"next\":\"b\"}", 12);
    hr__early_init(&early, (hr_str){"next", 5});
    HR_CHECK_INT(hr__early_scan(&early, text, sizeof text), HR_EARLY_NONE);
    HR_CHECK_INT(early.at, HR_EARLY_BYTES);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    HR_RUN(a_value_is_found_wherever_the_text_is_cut);
    HR_RUN(what_comes_late_is_not_looked_for);
    return HR_DONE();
}
