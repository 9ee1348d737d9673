/* SPDX-License-Identifier: Apache-2.0
 *
 * A CURLcode as an error: what was expected, what came, from whom. Only host and port of a URL are named; curl's own
 * text is used for TLS and encodings alone, where it holds the reason and no URL.
 */
#include "http_core.h"

#include <errno.h>
#include <stdio.h>

/* Whom a message names: "127.0.0.1:8080". */
typedef struct peer {
    char text[280];
} peer;

static peer server_of(const hr_http_transfer *transfer) {
    const hr_origin *origin = &transfer->job->hop_origin;
    peer out;
    snprintf(out.text, sizeof out.text, "%s:%u", origin->host, origin->port);
    return out;
}

/* Whom the connection goes to: the proxy, if there is one. */
static peer connected_of(const hr_http_transfer *transfer) {
    const char *proxy = transfer->job->request.proxy.data;
    peer out = server_of(transfer);
    if (*proxy != '\0') {
        CURLU *parsed = curl_url();
        char *host = NULL, *port = NULL;
        if (parsed != NULL &&
            curl_url_set(parsed, CURLUPART_URL, proxy, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) == CURLUE_OK) {
            curl_url_get(parsed, CURLUPART_HOST, &host, 0);
            curl_url_get(parsed, CURLUPART_PORT, &port, 0);
        }
        snprintf(out.text, sizeof out.text, "proxy %.256s%s%.8s", host == NULL ? "" : host, port == NULL ? "" : ":",
                 port == NULL ? "" : port);
        curl_free(host);
        curl_free(port);
        curl_url_cleanup(parsed);
    }
    return out;
}

/* curl's own words, without the prefixes that only repeat ours. */
static const char *curl_words(const hr_http_transfer *transfer, CURLcode curl_code) {
    static const char *const prefixes[] = {"SSL certificate problem: ", "SSL: "};
    const char *text = transfer->message[0] != '\0' ? transfer->message : curl_easy_strerror(curl_code);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t size = strlen(prefixes[i]);
        if (strncmp(text, prefixes[i], size) == 0) {
            return text + size;
        }
    }
    return text;
}

static unsigned long long wire_bytes(const hr_http_transfer *transfer) {
    curl_off_t bytes = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    return (unsigned long long)bytes;
}

static int cut_short(const hr_http_transfer *transfer, hr_error *err) {
    peer server = server_of(transfer);
    curl_off_t length = -1;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length >= 0) {
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH,
                             "the body of %s is cut short: it ended after %llu of %lld bytes (Content-Length)",
                             server.text, wire_bytes(transfer), (long long)length);
    }
    return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH,
                         "the body of %s is cut short: it ended after %llu bytes, before its last chunk", server.text,
                         wire_bytes(transfer));
}

static int tls_failed(const hr_http_transfer *transfer, CURLcode curl_code, hr_error *err) {
    const char *host = transfer->job->hop_origin.host;
    const char *why = curl_words(transfer, curl_code);
    if (curl_code == CURLE_PEER_FAILED_VERIFICATION) {
        return hr__error_set(err, HR_TLS, HR_STAGE_FETCH, "certificate of %s not trusted: %s", host, why);
    }
    return hr__error_set(err, HR_TLS, HR_STAGE_FETCH, "no TLS connection to %s: %s", host, why);
}

/* Whether the server refused our certificate, or wants one: with TLS 1.3 that comes in place of the answer. */
static bool is_certificate_refused(const hr_http_transfer *transfer) {
    const char *alert = strstr(transfer->message, " alert ");
    return alert != NULL && (strstr(alert, "certificate") != NULL || strstr(alert, "unknown ca") != NULL);
}

static int lost(const hr_http_transfer *transfer, CURLcode curl_code, hr_error *err) {
    peer server = server_of(transfer);
    if (transfer->status == 0 && is_certificate_refused(transfer)) {
        return tls_failed(transfer, curl_code, err);
    }
    if (transfer->in_headers && curl_code == CURLE_GOT_NOTHING) {
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH,
                             "the headers of the answer of %s are cut short: the connection was closed within them",
                             server.text);
    }
    if (transfer->in_headers) {
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "the headers of the answer of %s could not be read: %s",
                             server.text, curl_words(transfer, curl_code));
    }
    long connect_status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    if (connect_status >= 300) {
        peer proxy = connected_of(transfer);
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "%s answered %ld when asked to connect to %s", proxy.text,
                             connect_status, server.text);
    }
    if (transfer->status == 0) {
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH,
                             "the connection to %s was closed before an answer came: %s", server.text,
                             curl_easy_strerror(curl_code));
    }
    return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "the connection to %s broke after %llu bytes of the body: %s",
                         server.text, wire_bytes(transfer), curl_easy_strerror(curl_code));
}

static int not_connected(const hr_http_transfer *transfer, hr_error *err) {
    peer to = connected_of(transfer);
    long os_error = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &os_error);
    if (os_error == ECONNREFUSED) {
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "connection to %s refused", to.text);
    }
    return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "no connection to %s: %s", to.text,
                         os_error != 0 ? strerror((int)os_error) : "no address answered");
}

static int timed_out(const hr_http_transfer *transfer, hr_error *err) {
    const hr_http_request *request = &transfer->job->request;
    if (!transfer->silent) {
        peer to = connected_of(transfer);
        return hr__error_set(err, HR_TIMEOUT, HR_STAGE_FETCH, "no connection to %s within %u ms (connect timeout)",
                             to.text, request->connect_timeout_ms);
    }
    peer server = server_of(transfer);
    if (transfer->status == 0) {
        return hr__error_set(err, HR_TIMEOUT, HR_STAGE_FETCH, "no answer from %s within %u ms (read timeout)",
                             server.text, request->read_timeout_ms);
    }
    return hr__error_set(err, HR_TIMEOUT, HR_STAGE_FETCH,
                         "no byte from %s for %u ms (read timeout), after %llu bytes of the body", server.text,
                         request->read_timeout_ms, wire_bytes(transfer));
}

/* A callback of ours ended the transfer. */
static int refused(const hr_http_transfer *transfer, hr_error *err) {
    peer server = server_of(transfer);
    if (transfer->refused == HR_CANCELLED) {
        return hr__http_error_cancelled(err);
    }
    if (transfer->refused != HR_LIMIT) {
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    if (transfer->in_headers) {
        return hr__error_set(err, HR_LIMIT, HR_STAGE_FETCH, "the headers of the answer of %s are larger than %zu bytes",
                             server.text, transfer->text.limit_bytes);
    }
    return hr__error_set(err, HR_LIMIT, HR_STAGE_FETCH,
                         "the answer of %s is larger than max_body_bytes (%llu bytes after decompression)", server.text,
                         (unsigned long long)transfer->job->request.max_body_bytes);
}

/* Code and text by CURLcode. */
static int fill(const hr_http_transfer *transfer, CURLcode curl_code, hr_error *err) {
    peer server = server_of(transfer);
    if (transfer->refused != HR_OK) {
        return refused(transfer, err);
    }
    switch (curl_code) {
    case CURLE_OUT_OF_MEMORY:
        if (transfer->in_headers) { /* libcurl says the same of a line that is too long */
            return hr__error_set(err, HR_LIMIT, HR_STAGE_FETCH,
                                 "a header of the answer of %s is longer than libcurl takes, or memory is short",
                                 server.text);
        }
        return hr__error_memory(err, HR_STAGE_FETCH);
    case CURLE_OPERATION_TIMEDOUT:
        return timed_out(transfer, err);
    case CURLE_COULDNT_RESOLVE_HOST:
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "host %s not found (DNS)",
                             transfer->job->hop_origin.host);
    case CURLE_COULDNT_RESOLVE_PROXY: {
        peer proxy = connected_of(transfer);
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "%s not found (DNS)", proxy.text);
    }
    case CURLE_PROXY: {
        peer proxy = connected_of(transfer);
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "%s does not let us through to %s: %s", proxy.text,
                             server.text, curl_words(transfer, curl_code));
    }
    case CURLE_INTERFACE_FAILED:
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH, "nothing can be sent from interface %s",
                             transfer->job->request.interface.data);
    case CURLE_COULDNT_CONNECT: /* after the body was sent: to send it anew, see on_rewind */
        return transfer->sent_bytes > 0 ? lost(transfer, CURLE_GOT_NOTHING, err) : not_connected(transfer, err);
    case CURLE_PARTIAL_FILE: /* HTTP/2 says so, too, of a stream that ends with its connection before its headers */
        return transfer->status == 0 ? lost(transfer, curl_code, err) : cut_short(transfer, err);
    case CURLE_SEND_FAIL_REWIND: /* what on_rewind refused */
        return lost(transfer, CURLE_GOT_NOTHING, err);
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return lost(transfer, curl_code, err);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* the scheme was checked: "Received HTTP/0.9 when not allowed" */
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH,
                             "expected an HTTP answer from %s, found something else: %s", server.text,
                             curl_words(transfer, curl_code));
    case CURLE_BAD_CONTENT_ENCODING:
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "the body of %s cannot be decompressed: %s", server.text,
                             curl_words(transfer, curl_code));
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_ENGINE_INITFAILED:
        return tls_failed(transfer, curl_code, err);
    case CURLE_URL_MALFORMAT:
        return hr__error_set(err, HR_ARGUMENT, HR_STAGE_FETCH, "malformed URL for host %s", server.text);
    default:
        return hr__error_set(err, HR_NETWORK, HR_STAGE_FETCH, "request to %s failed: %s", server.text,
                             curl_easy_strerror(curl_code));
    }
}

/* What another try may mend. A handshake that broke off is a network failure, one that was refused is not. */
static bool is_retriable(const hr_http_transfer *transfer, int code, CURLcode curl_code) {
    if (code == HR_TLS) {
        return curl_code == CURLE_SSL_CONNECT_ERROR &&
               (strstr(transfer->message, "SYSCALL") != NULL || strstr(transfer->message, "reset by peer") != NULL ||
                strstr(transfer->message, "unexpected eof") != NULL);
    }
    return code == HR_TIMEOUT || (code == HR_NETWORK && curl_code != CURLE_BAD_CONTENT_ENCODING);
}

int hr__http_error_fill(const hr_http_transfer *transfer, CURLcode curl_code, hr_error *err) {
    int code = fill(transfer, curl_code, err);
    if (err != NULL) {
        err->sys_code = (int)curl_code;
        err->http_status = transfer->status;
        err->retriable = is_retriable(transfer, code, curl_code);
    }
    return code;
}

int hr__http_error_cancelled(hr_error *err) {
    return hr__error_set(err, HR_CANCELLED, HR_STAGE_FETCH, "the run was cancelled");
}

int hr__http_error_left_alone(const hr_http_job *job, uint64_t left_ms, hr_error *err) {
    hr__error_set(
        err, HR_NETWORK, HR_STAGE_FETCH,
        "%s:%u gave no answer to %u requests in a row, so it is not asked for another %llu ms (circuit breaker)",
        job->origin.host, job->origin.port, job->host->known->n_unanswered, (unsigned long long)left_ms);
    err->retriable = true;
    return HR_NETWORK;
}
