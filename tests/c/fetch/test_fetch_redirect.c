/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: what becomes of a request when it is redirected; expectations are those of requests 2.32.
 */
#include "hrtest.h"
#include "redirect.h"

HR_CASE(method_and_body_after_each_status) {
    static const struct {
        int status;
        const char *method;
        bool follows, is_get, drops_body;
    } rows[] = {
        {301, "POST", true, true, true},    {301, "PUT", true, false, true},  {301, "HEAD", true, false, true},
        {302, "POST", true, true, true},    {302, "PUT", true, true, true},   {302, "HEAD", true, false, true},
        {303, "DELETE", true, true, true},  {303, "HEAD", true, false, true}, {307, "POST", true, false, false},
        {308, "PATCH", true, false, false}, {300, "GET", false, false, true}, {304, "GET", false, false, true},
        {305, "GET", false, false, true},   {200, "GET", false, false, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        HR_CHECK_INT(hr__redirect_status(rows[i].status), rows[i].follows);
        HR_CHECK_INT(hr__redirect_is_get(rows[i].status, hr__str(rows[i].method)), rows[i].is_get);
        HR_CHECK_INT(hr__redirect_drops_body(rows[i].status), rows[i].drops_body);
    }
}

HR_CASE(credentials_stay_with_their_host) {
    static const struct {
        hr_origin from, to;
        bool keeps;
    } rows[] = {
        {{"http", "a", 80}, {"http", "a", 80}, true},     {{"https", "a", 443}, {"https", "a", 443}, true},
        {{"http", "a", 80}, {"https", "a", 443}, true}, /* the usual upgrade */
        {{"https", "a", 443}, {"http", "a", 80}, false},  {{"http", "a", 8080}, {"https", "a", 443}, false},
        {{"http", "a", 80}, {"https", "a", 8443}, false}, {{"http", "a", 8080}, {"http", "a", 8081}, false},
        {{"http", "a", 80}, {"http", "b", 80}, false},    {{"http", "a", 80}, {"http", "x.a", 80}, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        HR_CHECK_INT(hr__redirect_keeps_credentials(&rows[i].from, &rows[i].to), rows[i].keeps);
    }
}

int main(void) {
    HR_RUN(method_and_body_after_each_status);
    HR_RUN(credentials_stay_with_their_host);
    return HR_DONE();
}
