/* SPDX-License-Identifier: Apache-2.0
 *
 * requests 2.32: sessions.py `resolve_redirects`, `rebuild_method`, `should_strip_auth`.
 */
#include "redirect.h"

bool hr__redirect_status(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool hr__redirect_is_get(int status, hr_str method) {
    bool head = hr__str_eq(method, hr__str("HEAD"));
    return ((status == 302 || status == 303) && !head) || (status == 301 && hr__str_eq(method, hr__str("POST")));
}

bool hr__redirect_drops_body(int status) {
    return status != 307 && status != 308;
}

bool hr__redirect_keeps_credentials(const hr_origin *from, const hr_origin *to) {
    if (strcmp(from->host, to->host) != 0) {
        return false;
    }
    bool upgrade =
        strcmp(from->scheme, "http") == 0 && from->port == 80 && strcmp(to->scheme, "https") == 0 && to->port == 443;
    return upgrade || (from->port == to->port && strcmp(from->scheme, to->scheme) == 0);
}
