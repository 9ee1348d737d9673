/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: one request at a time against tests/servers/faults.py: answers, errors, retries, redirects, encodings, TLS.
 */
#include "fetch_fixture.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <sys/socket.h>
#include <unistd.h>

static fixture fix;

static outcome get(const char *path) {
    char url[512];
    return fetch(&fix, faults_get(url, path));
}

/* ---------------------------------------------------------------------------------------------------- answers */

HR_CASE(answer_comes_whole) {
    outcome out = get("/json?n=3");
    char url[512];
    faults_get(url, "/json?n=3");
    HR_CHECK_INT(out.error.code, HR_OK);
    HR_CHECK_INT(out.error.offset_bytes, -1);
    HR_CHECK_INT(out.status, 200);
    HR_CHECK_STR(hr__str(out.reason), "Said So");
    HR_CHECK_STR(hr__str(out.url), url);
    HR_CHECK_STR(hr__str(out.headers), "Content-Type: application/json\nContent-Length: 44\n");
    HR_CHECK_STR(body_of(&out), JSON_3);
    HR_CHECK_INT(out.wire_bytes, 44);
    HR_CHECK_INT(out.attempts, 1);
    for (size_t i = 0; i < HR_HTTP_BODY_PADDING; i++) {
        HR_CHECK_INT(out.body.data[out.body.size_bytes + i], 0);
    }
    outcome_free(&out);
}

HR_CASE(empty_answer_has_padding) {
    char url[512];
    hr_http_request request = faults_get(url, "/json");
    request.method = hr__str("HEAD");
    outcome out = fetch(&fix, request);
    HR_CHECK_INT(out.error.code, HR_OK);
    HR_CHECK_INT(out.body.size_bytes, 0);
    HR_CHECK(out.body.data != NULL && out.body.data[HR_HTTP_BODY_PADDING - 1] == 0);
    outcome_free(&out);
}

HR_CASE(many_headers_all_come) {
    outcome out = get("/many-headers?n=300");
    HR_CHECK_INT(out.n_headers, 302);
    outcome_free(&out);
}

HR_CASE(connection_is_kept) {
    char url[512];
    outcome out = get("/stats?reset=1");
    outcome_free(&out);
    for (int i = 0; i < 10; i++) {
        out = get("/json");
        outcome_free(&out);
    }
    out = fetch(&fix, faults_get(url, "/stats"));
    CHECK_HOLDS(body_of(&out), "\"connections\": 0");
    outcome_free(&out);
}

/* ---------------------------------------------------------------------------------------------------- what is sent */

HR_CASE(requests_are_sent_as_requests_sends_them) {
    static const hr_http_header headers[] = {
        {{"X-Key", 5}, {"a b", 3}},          {{"X-Empty", 7}, {"", 0}},
        {{"Cookie", 6}, {"a=1; b=2", 8}},    {{"Accept-Encoding", 15}, {"unknown", 7}},
        {{"Content-Length", 14}, {"99", 2}},
    };
    static const struct {
        const char *method, *body;
        const char *holds[4], *lacks[4];
    } rows[] = {
        {"GET",
         NULL,
         {"\"GET\"", "[\"X-Key\", \"a b\"], [\"X-Empty\", \"\"]", "[\"Cookie\", \"a=1; b=2\"]", "gzip"},
         {"unknown", "Content-Length", "Content-Type", "Expect"}},
        {"POST", NULL, {"\"POST\"", "[\"Content-Length\", \"0\"]"}, {"Content-Type", "Expect"}},
        {"POST", "{}", {"\"POST\"", "[\"Content-Length\", \"2\"]"}, {"Content-Type", "Expect"}},
        {"PUT", "{}", {"\"PUT\"", "[\"Content-Length\", \"2\"]"}, {"Content-Type"}},
        {"DELETE", NULL, {"\"DELETE\"", "[\"Content-Length\", \"0\"]"}, {"Content-Type"}},
        {"GET", "{}", {"\"GET\"", "[\"Content-Length\", \"2\"]"}, {"Content-Type"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char url[512];
        hr_http_request request = faults_get(url, "/headers");
        request.method = hr__str(rows[i].method);
        request.headers = headers;
        request.n_headers = sizeof headers / sizeof *headers;
        request.body = rows[i].body == NULL ? (hr_str){NULL, 0} : hr__str(rows[i].body);
        outcome out = fetch(&fix, request);
        HR_CHECK_INT(out.error.code, HR_OK);
        for (size_t j = 0; j < 4; j++) {
            if (rows[i].holds[j] != NULL) {
                CHECK_HOLDS(body_of(&out), rows[i].holds[j]);
            }
            HR_CHECK(rows[i].lacks[j] == NULL || !holds(body_of(&out), rows[i].lacks[j]));
        }
        outcome_free(&out);
    }
}

HR_CASE(malformed_requests_are_refused_at_once) {
    static const hr_http_header with_break = {{"X-Key", 5}, {"a\r\nb", 4}}, no_name = {{"X Key", 5}, {"a", 1}};
    static const struct {
        const char *method, *url;
        const hr_http_header *header;
        const char *message;
    } rows[] = {
        {"GET", "ftp://host/x?secret", NULL, "expected an http or https URL, found scheme ftp"},
        {"GET", "file:///etc/passwd", NULL, "expected an http or https URL, found scheme file"},
        {"GET", "gopherx://host/", NULL, "expected an http or https URL, found scheme gopherx"},
        {"GET", "http://h\r\nX: y/", NULL, "the URL or the proxy holds a line break or a zero byte"},
        {"GET", "http://host:99999/?secret", NULL, NULL},
        {"G T", "http://host/", NULL, "the method is no HTTP token"},
        {"GET", "http://host/", &with_break, "header X-Key holds a line break or a zero byte"},
        {"GET", "http://host/", &no_name, "the name of header 0 is no HTTP token"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char url[512];
        hr_http_request request = faults_get(url, "/");
        request.method = hr__str(rows[i].method);
        request.url = hr__str(rows[i].url);
        request.headers = rows[i].header;
        request.n_headers = rows[i].header != NULL;
        outcome out = fetch(&fix, request);
        HR_CHECK_INT(out.n_calls, 0);
        HR_CHECK_INT(out.error.code, HR_ARGUMENT);
        HR_CHECK(!out.error.retriable);
        CHECK_LACKS(hr__str(out.error.message), "secret");
        if (rows[i].message != NULL) {
            HR_CHECK_STR(hr__str(out.error.message), rows[i].message);
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- errors */

HR_CASE(errors_say_what_was_found) {
    static const struct {
        const char *path;
        hr_code code;
        int sys_code, status;
        bool retriable;
        const char *message; /* @: the server; NULL: not checked whole */
    } rows[] = {
        {"/short", HR_NETWORK, CURLE_PARTIAL_FILE, 200, true,
         "the body of @ is cut short: it ended after 1024 of 4096 bytes (Content-Length)"},
        {"/short-chunked", HR_NETWORK, CURLE_PARTIAL_FILE, 200, true, NULL},
        {"/reset?sent=1024", HR_NETWORK, CURLE_RECV_ERROR, 200, true,
         "the connection to @ broke after 1024 bytes of the body: Failure when receiving data from the peer"},
        {"/close", HR_NETWORK, CURLE_GOT_NOTHING, 0, true,
         "the connection to @ was closed before an answer came: Server returned nothing (no headers, no data)"},
        {"/garbage", HR_NETWORK, CURLE_UNSUPPORTED_PROTOCOL, 0, true,
         "expected an HTTP answer from @, found something else: Received HTTP/0.9 when not allowed"},
        {"/redirect-to?url=ftp://other/x%3Fsecret", HR_REDIRECT, CURLE_TOO_MANY_REDIRECTS, 302, false,
         "@ redirected to scheme ftp: only http and https are followed"},
        {"/redirect-to?url=http://", HR_REDIRECT, CURLE_TOO_MANY_REDIRECTS, 302, false, NULL},
        {"/redirect-loop", HR_REDIRECT, CURLE_TOO_MANY_REDIRECTS, 302, false,
         "@ redirected more than 30 times (max_redirects)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        outcome out = get(rows[i].path);
        HR_CHECK_INT(out.error.code, rows[i].code);
        HR_CHECK_INT(out.error.stage, HR_STAGE_FETCH);
        HR_CHECK_INT(out.error.sys_code, rows[i].sys_code);
        HR_CHECK_INT(out.error.http_status, rows[i].status);
        HR_CHECK_INT(out.error.retriable, rows[i].retriable);
        CHECK_LACKS(hr__str(out.error.message), "secret");
        if (rows[i].message != NULL) {
            check_message(&out.error, rows[i].message);
        }
        HR_CHECK_INT(out.body.size_bytes, 0);
        outcome_free(&out);
    }
}

HR_CASE(closed_port_and_unknown_host) {
    char url[512];
    hr_http_request request = faults_get(url, "/");
    request.url = hr__str("http://user:secret@127.0.0.1:9/?secret");
    outcome out = fetch(&fix, request);
    HR_CHECK_INT(out.error.code, HR_NETWORK);
    HR_CHECK(out.error.retriable);
    HR_CHECK_STR(hr__str(out.error.message), "connection to 127.0.0.1:9 refused");

    /* a label of 64 bytes: no name server is asked */
    char host[65];
    memset(host, 'a', sizeof host - 1);
    host[64] = '\0';
    snprintf(url, sizeof url, "http://%s/?secret", host);
    request.url = hr__str(url);
    out = fetch(&fix, request);
    HR_CHECK_INT(out.error.code, HR_NETWORK);
    CHECK_HOLDS(hr__str(out.error.message), "not found (DNS)");
    CHECK_LACKS(hr__str(out.error.message), "secret");
}

HR_CASE(silence_ends_in_a_read_timeout) {
    static const struct {
        const char *path, *message;
    } rows[] = {
        {"/hang", "no answer from @ within 150 ms (read timeout)"},
        {"/hang-body", "no byte from @ for 150 ms (read timeout), after 1 bytes of the body"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char url[512];
        hr_http_request request = faults_get(url, rows[i].path);
        request.read_timeout_ms = 150;
        uint64_t begun_ms = clock_ms();
        outcome out = fetch(&fix, request);
        uint64_t ms = clock_ms() - begun_ms;
        HR_CHECK_INT(out.error.code, HR_TIMEOUT);
        HR_CHECK(out.error.retriable);
        check_message(&out.error, rows[i].message);
        HR_CHECK(ms >= 149 && ms < 2000);
    }
}

HR_CASE(slow_but_not_silent_is_no_timeout) {
    char url[512];
    hr_http_request request = faults_get(url, "/drip?n=8&ms=100"); /* 800 ms in all */
    request.read_timeout_ms = 500;
    outcome out = fetch(&fix, request);
    HR_CHECK_INT(out.error.code, HR_OK);
    HR_CHECK_STR(body_of(&out), "xxxxxxxx");
    outcome_free(&out);
}

HR_CASE(handshake_that_hangs_ends_in_a_connect_timeout) {
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* accepts by its backlog, says nothing */
    if (fd < 0) {
        HR_CHECK_INT(fd, 0);
        return;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    HR_CHECK_INT(bind(fd, (struct sockaddr *)&address, size), 0);
    HR_CHECK_INT(listen(fd, 8), 0);
    HR_CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    char url[512], tls_url[64], want[128];
    hr_http_request request = faults_get(url, "/");
    snprintf(tls_url, sizeof tls_url, "https://127.0.0.1:%u/", ntohs(address.sin_port));
    snprintf(want, sizeof want, "no connection to 127.0.0.1:%u within 150 ms (connect timeout)",
             ntohs(address.sin_port));
    request.url = hr__str(tls_url);
    request.connect_timeout_ms = 150;
    outcome out = fetch(&fix, request);
    HR_CHECK_INT(out.error.code, HR_TIMEOUT);
    HR_CHECK_STR(hr__str(out.error.message), want);
    close(fd);
}

/* ---------------------------------------------------------------------------------------------------- retries */

HR_CASE(retries_by_kind_of_failure) {
    static const struct {
        const char *path;
        uint32_t max_attempts, attempts;
        hr_code code;
        int status;
    } rows[] = {
        {"/status/503?times=2&case=1", 5, 3, HR_OK, 200},
        {"/status/503", 3, 3, HR_OK, 503},
        {"/status/500", 1, 1, HR_OK, 500},
        {"/status/404", 5, 1, HR_OK, 404},
        {"/status/501?times=1&case=2", 2, 2, HR_OK, 200},
        {"/reset", 3, 3, HR_NETWORK, 200},
        {"/short", 2, 2, HR_NETWORK, 200},
        {"/close", 2, 2, HR_NETWORK, 0},
        {"/redirect-loop", 3, 1, HR_REDIRECT, 302},
        {"/retry-after?case=3", 2, 2, HR_OK, 200},
        {"/retry-after?case=4&date=1", 2, 2, HR_OK, 200},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char url[512];
        hr_http_request request = faults_get(url, rows[i].path);
        request.retry.max_attempts = rows[i].max_attempts;
        outcome out = fetch(&fix, request);
        HR_CHECK_INT(out.error.code, rows[i].code);
        HR_CHECK_INT(out.status, rows[i].status);
        HR_CHECK_INT(out.attempts, rows[i].attempts);
        outcome_free(&out);
    }
}

HR_CASE(retry_after_is_waited_for) {
    char url[512];
    hr_http_request request = faults_get(url, "/retry-after?seconds=1&case=5");
    request.retry = (hr_http_retry){.max_attempts = 2, .backoff_ms = 1, .max_delay_ms = 5000};
    hr_http_stats before, after;
    hr__http_stats_get(fix.http, &before);
    uint64_t begun_ms = clock_ms();
    outcome out = fetch(&fix, request);
    hr__http_stats_get(fix.http, &after);
    HR_CHECK_INT(out.status, 200);
    HR_CHECK(clock_ms() - begun_ms >= 1000);
    HR_CHECK_INT(after.retries - before.retries, 1);
    HR_CHECK_INT(after.requests - before.requests, 2);
    HR_CHECK(after.throttled_ms - before.throttled_ms >= 1000);
    outcome_free(&out);
}

/* ---------------------------------------------------------------------------------------------------- redirects */

HR_CASE(redirects_are_followed_to_their_limit) {
    char url[512], end[512];
    faults_get(end, "/json");
    outcome out = get("/redirect/3");
    HR_CHECK_INT(out.status, 200);
    HR_CHECK_STR(hr__str(out.url), end);
    HR_CHECK_STR(hr__str(out.headers), "Content-Type: application/json\nContent-Length: 44\n");
    HR_CHECK_STR(body_of(&out), JSON_3);
    outcome_free(&out);

    hr_http_request request = faults_get(url, "/redirect/3");
    request.max_redirects = 2;
    out = fetch(&fix, request);
    HR_CHECK_INT(out.error.code, HR_REDIRECT);
    check_message(&out.error, "@ redirected more than 2 times (max_redirects)");

    request.max_redirects = 0;
    out = fetch(&fix, request);
    HR_CHECK_INT(out.error.code, HR_OK);
    HR_CHECK_INT(out.status, 302);
    HR_CHECK_STR(body_of(&out), "moved");
    CHECK_HOLDS(hr__str(out.headers), "Location: /redirect/2\n");
    outcome_free(&out);
}

HR_CASE(redirects_change_the_request_as_requests_does) {
    static const hr_http_header headers[] = {{{"Content-Type", 12}, {"text/plain", 10}}};
    static const struct {
        int code;
        const char *method, *holds, *body_text, *lacks;
    } rows[] = {
        {302, "POST", "\"GET\"", NULL, "Content-"},
        {301, "PUT", "\"PUT\"", "[\"Content-Length\", \"0\"]", "Content-Type"},
        {303, "DELETE", "\"GET\"", NULL, "Content-"},
        {307, "POST", "\"POST\"", "[\"Content-Length\", \"4\"]", NULL},
        {308, "PUT", "\"PUT\"", "[\"Content-Type\", \"text/plain\"]", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char url[512], path[128];
        snprintf(path, sizeof path, "/redirect-to?url=/headers&code=%d", rows[i].code);
        hr_http_request request = faults_get(url, path);
        request.method = hr__str(rows[i].method);
        request.body = hr__str("body");
        request.headers = headers;
        request.n_headers = 1;
        outcome out = fetch(&fix, request);
        CHECK_HOLDS(body_of(&out), rows[i].holds);
        if (rows[i].body_text != NULL) {
            CHECK_HOLDS(body_of(&out), rows[i].body_text);
        }
        HR_CHECK(rows[i].lacks == NULL || !holds(body_of(&out), rows[i].lacks));
        outcome_free(&out);
    }
    char url[512];
    hr_http_request request = faults_get(url, "/redirect-to?url=/echo&code=307");
    request.method = hr__str("POST");
    request.body = hr__str("body");
    outcome out = fetch(&fix, request);
    HR_CHECK_STR(body_of(&out), "body");
    outcome_free(&out);
}

HR_CASE(credentials_do_not_reach_another_host) {
    static const hr_http_header headers[] = {{{"authorization", 13}, {"Bearer secret", 13}},
                                             {{"Cookie", 6}, {"own=1", 5}},
                                             {{"X-Plain", 7}, {"p", 1}},
                                             {{"x-key", 5}, {"secret2", 7}},
                                             {{"X-Token", 7}, {"secret3", 7}}};
    char url[512], path[256];
    hr_http_request request = faults_get(url, "/redirect-to?url=/headers&cookie=got%3D2");
    request.headers = headers;
    request.n_headers = 5;
    request.secret_headers = hr__str("X-Key\nX-Token");
    outcome out = fetch(&fix, request);
    CHECK_HOLDS(body_of(&out), "Bearer secret");
    CHECK_HOLDS(body_of(&out), "secret2");
    CHECK_HOLDS(body_of(&out), "secret3");
    CHECK_HOLDS(body_of(&out), "own=1");
    CHECK_HOLDS(body_of(&out), "got=2");
    outcome_free(&out);

    snprintf(path, sizeof path, "/redirect-to?url=http://localhost:%u/headers&cookie=got%%3D2", faults_port());
    request.url = faults_get(url, path).url;
    out = fetch(&fix, request);
    HR_CHECK_INT(out.status, 200);
    CHECK_LACKS(body_of(&out), "secret");
    CHECK_LACKS(body_of(&out), "own=1");
    CHECK_LACKS(body_of(&out), "got=2");
    CHECK_HOLDS(body_of(&out), "X-Plain");
    outcome_free(&out);

    out = get("/headers"); /* nor does a cookie stay for the next request */
    CHECK_LACKS(body_of(&out), "ookie");
    outcome_free(&out);
}

HR_CASE(long_body_of_a_redirect_is_not_read) {
    outcome out = get("/redirect-to?url=/json&bytes=2000000");
    HR_CHECK_INT(out.status, 200);
    HR_CHECK_STR(body_of(&out), JSON_3);
    outcome_free(&out);
}

/* ---------------------------------------------------------------------------------------------------- bodies */

HR_CASE(bodies_are_decompressed) {
    static const char *const paths[] = {"/gzip?n=3", "/deflate?n=3"};
    for (size_t i = 0; i < 2; i++) {
        outcome out = get(paths[i]);
        HR_CHECK_STR(body_of(&out), JSON_3);
        HR_CHECK(out.wire_bytes != 44 && out.wire_bytes > 0);
        outcome_free(&out);
    }
}

/* "Content-Encoding: utf-8", gzip in two members, no gzip at all: asked for once more, then known of the host. */
HR_CASE(bodies_that_libcurl_cannot_decode_come_as_they_are) {
    static const struct {
        const char *path, *body;
    } rows[] = {{"/encoded?coding=utf-8", JSON_3}, {"/gzip?members=2", NULL}, {"/bad-gzip", "this is no gzip stream"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fixture own = {.drop_bodies = false};
        HR_CHECK_INT(fixture_start(&own, (hr_http_options){0}), HR_OK);
        for (unsigned n = 0; n < 4; n += 2) {
            char url[512];
            hr_http_stats stats;
            outcome out = fetch(&own, faults_get(url, rows[i].path));
            hr__http_stats_get(own.http, &stats);
            HR_CHECK_INT(out.error.code, HR_OK);
            HR_CHECK(out.encoded);
            HR_CHECK_INT(out.attempts, 1);
            HR_CHECK_INT(stats.requests, 2 + n);
            if (rows[i].body != NULL) {
                HR_CHECK_STR(body_of(&out), rows[i].body);
            } else {
                HR_CHECK_INT((unsigned char)out.body.data[0], 0x1f);
            }
            outcome_free(&out);
            out = fetch(&own, faults_get(url, "/json"));
            HR_CHECK(!out.encoded);
            outcome_free(&out);
        }
        fixture_stop(&own);
    }
}

HR_CASE(bodies_end_at_their_limit) {
    static const struct {
        const char *path;
        uint64_t limit;
        hr_code code;
    } rows[] = {
        {"/big?bytes=100000", 100000, HR_OK},    {"/big?bytes=100001", 100000, HR_LIMIT},
        {"/drip?n=5&ms=1", 4, HR_LIMIT},         {"/bomb?bytes=1073741824", 1000000, HR_LIMIT},
        {"/bomb?bytes=1048576", 1048576, HR_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char url[512], want[256];
        hr_http_request request = faults_get(url, rows[i].path);
        request.max_body_bytes = rows[i].limit;
        outcome out = fetch(&fix, request);
        HR_CHECK_INT(out.error.code, rows[i].code);
        if (rows[i].code == HR_LIMIT) {
            HR_CHECK(!out.error.retriable);
            snprintf(want, sizeof want,
                     "the answer of @ is larger than max_body_bytes (%llu bytes after decompression)",
                     (unsigned long long)rows[i].limit);
            check_message(&out.error, want);
        } else {
            HR_CHECK_INT(out.body.size_bytes, rows[i].limit);
        }
        outcome_free(&out);
    }
}

/* ---------------------------------------------------------------------------------------------------- TLS, proxies */

HR_CASE(certificates_are_checked) {
    const char *cert = faults("HR_FAULTS_CERT"), *port = faults("HR_FAULTS_TLS_PORT");
    static const struct {
        const char *host, *ca;
        bool verify, plain_port;
        uint32_t attempts; /* of 3 */
        hr_code code;
        const char *message;
    } rows[] = {
        {"localhost", "cert", true, false, 1, HR_OK, ""},
        {"localhost", "", false, false, 1, HR_OK, ""},
        {"localhost", "", true, false, 1, HR_TLS, "certificate of localhost not trusted: self"},
        {"localhost", "/tmp", true, false, 1, HR_TLS,
         "certificate of localhost not trusted: self"}, /* a folder of none */
        {"127.0.0.1", "cert", true, false, 1, HR_TLS,
         "certificate of 127.0.0.1 not trusted: no alternative certificate"},
        {"localhost", "/nonexistent.pem", true, false, 1, HR_TLS, "no TLS connection to localhost: "},
        {"localhost", "cert", true, true, 3, HR_TLS, "no TLS connection to localhost: "}, /* hangs up */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char url[512], tls_url[128];
        hr_http_request request = faults_get(url, "/json");
        snprintf(tls_url, sizeof tls_url, "https://%s:%s/json", rows[i].host,
                 rows[i].plain_port ? faults("HR_FAULTS_PORT") : port);
        request.url = hr__str(tls_url);
        request.ca_path = hr__str(strcmp(rows[i].ca, "cert") == 0 ? cert : rows[i].ca);
        request.verify_tls = rows[i].verify;
        request.retry.max_attempts = 3;
        outcome out = fetch(&fix, request);
        HR_CHECK_INT(out.error.code, rows[i].code);
        HR_CHECK_INT(out.status, rows[i].code == HR_OK ? 200 : 0);
        HR_CHECK_INT(out.attempts, rows[i].attempts);
        HR_CHECK_INT(out.error.retriable, rows[i].attempts > 1);
        CHECK_HOLDS(hr__str(out.error.message), rows[i].message);
        outcome_free(&out);
    }
}

HR_CASE(proxies_are_used_and_named) {
    char url[512], proxy[64], tls_url[128], want[256];
    hr_http_request request = faults_get(url, "/");
    snprintf(proxy, sizeof proxy, "http://user:secret@127.0.0.1:%u", faults_port());
    request.proxy = hr__str(proxy);
    request.url = hr__str("http://no.such.host.invalid/headers");
    outcome out = fetch(&fix, request);
    HR_CHECK_INT(out.status, 200);
    CHECK_HOLDS(body_of(&out), "\"http://no.such.host.invalid/headers\"");
    outcome_free(&out);

    snprintf(tls_url, sizeof tls_url, "https://localhost:%s/json", faults("HR_FAULTS_TLS_PORT"));
    request.url = hr__str(tls_url);
    request.ca_path = hr__str(faults("HR_FAULTS_CERT"));
    out = fetch(&fix, request);
    HR_CHECK_INT(out.status, 200);
    HR_CHECK_STR(hr__str(out.headers), "Content-Type: application/json\nContent-Length: 44\n");
    outcome_free(&out);

    request.url = hr__str("https://localhost:1/json");
    out = fetch(&fix, request);
    HR_CHECK_INT(out.error.code, HR_NETWORK);
    snprintf(want, sizeof want, "proxy 127.0.0.1:%u answered 403 when asked to connect to localhost:1", faults_port());
    HR_CHECK_STR(hr__str(out.error.message), want);

    request.proxy = hr__str("http://user:secret@127.0.0.1:9");
    out = fetch(&fix, request);
    HR_CHECK_STR(hr__str(out.error.message), "connection to proxy 127.0.0.1:9 refused");
}

HR_CASE(environment_is_not_read) {
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    setenv("no_proxy", "*", 1);
    outcome out = get("/json");
    HR_CHECK_INT(out.status, 200);
    outcome_free(&out);
    char url[512];
    hr_http_request request = faults_get(url, "/json");
    request.proxy = hr__str("http://127.0.0.1:9");
    out = fetch(&fix, request);
    HR_CHECK_STR(hr__str(out.error.message), "connection to proxy 127.0.0.1:9 refused");
    unsetenv("http_proxy");
    unsetenv("no_proxy");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (fixture_start(&fix, (hr_http_options){0}) != HR_OK) {
        return 1;
    }
    HR_RUN(answer_comes_whole);
    HR_RUN(empty_answer_has_padding);
    HR_RUN(many_headers_all_come);
    HR_RUN(connection_is_kept);
    HR_RUN(requests_are_sent_as_requests_sends_them);
    HR_RUN(malformed_requests_are_refused_at_once);
    HR_RUN(errors_say_what_was_found);
    HR_RUN(closed_port_and_unknown_host);
    HR_RUN(silence_ends_in_a_read_timeout);
    HR_RUN(slow_but_not_silent_is_no_timeout);
    HR_RUN(handshake_that_hangs_ends_in_a_connect_timeout);
    HR_RUN(retries_by_kind_of_failure);
    HR_RUN(retry_after_is_waited_for);
    HR_RUN(redirects_are_followed_to_their_limit);
    HR_RUN(redirects_change_the_request_as_requests_does);
    HR_RUN(credentials_do_not_reach_another_host);
    HR_RUN(long_body_of_a_redirect_is_not_read);
    HR_RUN(bodies_are_decompressed);
    HR_RUN(bodies_that_libcurl_cannot_decode_come_as_they_are);
    HR_RUN(bodies_end_at_their_limit);
    HR_RUN(certificates_are_checked);
    HR_RUN(proxies_are_used_and_named);
    HR_RUN(environment_is_not_read);
    fixture_stop(&fix);
    return HR_DONE();
}
