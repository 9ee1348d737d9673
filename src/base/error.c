/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors: filling hr_error, and the texts of codes and stages.
 */
#include "base.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const code_texts[] = {
#define HR_X(name, text) text,
    HR_CODE_MAP(HR_X)
#undef HR_X
};
static const char *const stage_texts[] = {
#define HR_X(name, text) text,
    HR_STAGE_MAP(HR_X)
#undef HR_X
};

const char *hr_code_text(hr_code code) {
    return (size_t)code < sizeof code_texts / sizeof *code_texts ? code_texts[code] : "unknown error";
}

const char *hr_stage_text(hr_stage stage) {
    return (size_t)stage < sizeof stage_texts / sizeof *stage_texts ? stage_texts[stage] : "";
}

static int fill(hr_error *err, hr_code code, hr_stage stage, int64_t offset_bytes, const char *fmt, va_list args) {
    if (err != NULL) {
        *err = (hr_error){.code = code, .stage = stage, .offset_bytes = offset_bytes, .record = -1};
        vsnprintf(err->message, sizeof err->message, fmt, args);
    }
    return code;
}

int hr__error_set(hr_error *err, hr_code code, hr_stage stage, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int rc = fill(err, code, stage, -1, fmt, args);
    va_end(args);
    return rc;
}

int hr__error_at(hr_error *err, hr_code code, hr_stage stage, int64_t offset_bytes, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int rc = fill(err, code, stage, offset_bytes, fmt, args);
    va_end(args);
    return rc;
}
