/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of a request when its answer is a redirect: the rules of requests 2.32 (`SessionRedirectMixin`), which
 * dlt's own client follows. Pure functions; libcurl's own following is not used, because its rules differ (a PUT stays
 * a PUT after 302, credentials are dropped from http to https of one host).
 */
#ifndef HR_FETCH_REDIRECT_H
#define HR_FETCH_REDIRECT_H

#include "http.h"

/* Who is spoken to: scheme and host in lower case, the port always given. */
typedef struct hr_origin {
    char scheme[8];
    char host[256]; /* an IPv6 address with its brackets */
    uint32_t port;
} hr_origin;

/* Statuses that are followed when they come with a Location. */
bool hr__redirect_status(int status);
/* Whether the next request is a GET (else the method stays). */
bool hr__redirect_is_get(int status, hr_str method);
/* Whether the next request goes without body and the headers that describe it. */
bool hr__redirect_drops_body(int status);
/* Whether the next request may carry the credentials of the one before. */
bool hr__redirect_keeps_credentials(const hr_origin *from, const hr_origin *to);

#endif
