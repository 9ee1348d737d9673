/* SPDX-License-Identifier: Apache-2.0
 *
 * curl's sockets and its timer on poll(2). curl_multi_socket_action works only on what is ready, where
 * curl_multi_perform asks every transfer's socket each time; poll(2) rather than epoll: at some dozen sockets it costs
 * no more, needs no call to add and remove one, and is everywhere.
 *
 *   fds:  [pipe to wake up] [socket of transfer] [socket of transfer] ...
 */
#define _GNU_SOURCE /* ppoll */
#include "http_core.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* lib/urldata.h 7.88: MAX_SOCKSPEREASYHANDLE. */
#define SOCKETS_PER_TRANSFER 5

static size_t find_fd(const hr_http *http, int fd) {
    size_t i = 1;
    while (i < http->n_fds && http->fds[i].fd != fd) {
        i++;
    }
    return i;
}

/* CURLMOPT_SOCKETFUNCTION */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx) {
    hr_http *http = ctx;
    size_t i = find_fd(http, fd);
    if (what == CURL_POLL_REMOVE) {
        if (i < http->n_fds) {
            http->fds[i] = http->fds[--http->n_fds];
        }
        return 0;
    }
    if (i == http->n_fds) {
        if (i == http->fds_cap) {
            return -1; /* more sockets than curl says it has */
        }
        http->n_fds++;
    }
    http->fds[i] = (struct pollfd){
        .fd = fd,
        .events = (short)(((what & CURL_POLL_IN) != 0 ? POLLIN : 0) | ((what & CURL_POLL_OUT) != 0 ? POLLOUT : 0))};
    return 0;
}

/* CURLMOPT_TIMERFUNCTION */
static int on_timer(CURLM *multi, long timeout_ms, void *ctx) {
    hr_http *http = ctx;
    http->curl_due_ms = timeout_ms < 0 ? UINT64_MAX : timeout_ms == 0 ? 0 : hr__http_clock_ms() + (uint64_t)timeout_ms;
    return 0;
}

static int open_pipe(int fds[2]) {
    if (pipe(fds) != 0) {
        fds[0] = fds[1] = -1;
        return -1;
    }
    for (size_t i = 0; i < 2; i++) {
        if (fcntl(fds[i], F_SETFD, FD_CLOEXEC) != 0 || fcntl(fds[i], F_SETFL, O_NONBLOCK) != 0) {
            return -1;
        }
    }
    return 0;
}

int hr__http_sockets_init(hr_http *http, hr_error *err) {
    const hr_allocator *alloc = http->options.alloc;
    http->pipe_fds[0] = http->pipe_fds[1] = -1;
    http->curl_due_ms = UINT64_MAX;
    size_t cap = 1 + SOCKETS_PER_TRANSFER * ((size_t)http->options.max_in_flight + 1);
    http->fds = hr__calloc(alloc, cap, sizeof *http->fds);
    http->ready = hr__calloc(alloc, cap, sizeof *http->ready);
    http->multi = curl_multi_init();
    if (http->fds == NULL || http->ready == NULL || http->multi == NULL) {
        return hr__error_memory(err, HR_STAGE_FETCH);
    }
    http->fds_cap = cap;
    if (open_pipe(http->pipe_fds) != 0) {
        return hr__error_set(err, HR_INTERNAL, HR_STAGE_FETCH, "a pipe could not be opened: %s", strerror(errno));
    }
    http->fds[0] = (struct pollfd){.fd = http->pipe_fds[0], .events = POLLIN};
    http->n_fds = 1;
    CURLMcode rc = curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    rc = rc != CURLM_OK ? rc : curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    rc = rc != CURLM_OK ? rc : curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    rc = rc != CURLM_OK ? rc : curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    rc = rc != CURLM_OK ? rc : curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)http->options.max_in_flight);
    return rc == CURLM_OK ? HR_OK
                          : hr__error_set(err, HR_INTERNAL, HR_STAGE_FETCH, "libcurl: %s", curl_multi_strerror(rc));
}

void hr__http_sockets_free(hr_http *http) {
    if (http->multi != NULL) {
        curl_multi_cleanup(http->multi);
    }
    for (size_t i = 0; i < 2; i++) {
        if (http->pipe_fds[i] >= 0) {
            close(http->pipe_fds[i]);
        }
    }
    hr__free(http->options.alloc, http->fds);
    hr__free(http->options.alloc, http->ready);
}

static void drain_pipe(hr_http *http) {
    char bytes[64];
    while (read(http->pipe_fds[0], bytes, sizeof bytes) > 0) {
    }
    atomic_store_explicit(&http->woken, false, memory_order_seq_cst);
}

/* poll(2) until the time. Starts are spaced by a rate finer than by its milliseconds, so ppoll(2) where it is known. */
static int wait_until(hr_http *http, uint64_t due_us) {
    if (due_us == UINT64_MAX) {
        return poll(http->fds, (nfds_t)http->n_fds, -1);
    }
    const uint64_t hour_us = (uint64_t)3600 * 1000000, now_us = hr__http_clock_us();
    uint64_t wait_us = due_us <= now_us ? 0 : due_us - now_us;
    wait_us = wait_us > hour_us ? hour_us : wait_us;
#if defined(__linux__)
    struct timespec wait = {.tv_sec = (time_t)(wait_us / 1000000), .tv_nsec = (long)(wait_us % 1000000) * 1000};
    return ppoll(http->fds, (nfds_t)http->n_fds, &wait, NULL);
#else
    return poll(http->fds, (nfds_t)http->n_fds, (int)((wait_us + 999) / 1000));
#endif
}

void hr__http_sockets_run(hr_http *http, uint64_t due_us) {
    int n_running;
    if (http->curl_due_ms != UINT64_MAX && http->curl_due_ms * 1000 < due_us) {
        due_us = http->curl_due_ms * 1000;
    }
    int n_ready = wait_until(http, due_us);
    http->now_ms = hr__http_clock_ms();
    size_t n = 0;
    if (n_ready > 0) { /* a copy: callbacks change fds */
        if (http->fds[0].revents != 0) {
            drain_pipe(http);
        }
        for (size_t i = 1; i < http->n_fds; i++) {
            if (http->fds[i].revents != 0) {
                http->ready[n++] = http->fds[i];
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        short events = http->ready[i].revents;
        int mask = ((events & (POLLIN | POLLHUP)) != 0 ? CURL_CSELECT_IN : 0) |
                   ((events & POLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                   ((events & (POLLERR | POLLNVAL)) != 0 ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(http->multi, http->ready[i].fd, mask, &n_running);
    }
    if (http->curl_due_ms <= http->now_ms) {
        http->curl_due_ms = UINT64_MAX;
        curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
    }
}
