/* SPDX-License-Identifier: Apache-2.0
 *
 * The API of bench/server.py for small pages: one thread, epoll, HTTP/1.1 keep-alive, a latency. It is in C so that it
 * is not what a measurement of requests a second measures.
 *
 *     page_server FILE LATENCY_MS [AT_ONCE [RATE BURST]]
 *
 * FILE holds a page a line. Prints its port and the bytes of all pages, serves until killed. Answers 429 at once to
 * what comes when AT_ONCE requests wait for their answers (0: any number) or finds no token in a bucket of BURST tokens
 * that fills with RATE a second.
 *
 *   GET /items?page=N      page N, or one without records
 *   GET /cursor?cursor=N   the same; the next cursor stands in the header X-Next
 *   GET /links?page=N      the same; the next page and the last stand in the header Link
 *   GET /again?page=N      page N, and behind the last one those behind the first again, without end
 *   GET /refused           how many were answered 429: {"refused": 3}
 */
#define _GNU_SOURCE /* accept4, epoll_pwait2 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 4096, REQUEST_ROOM = 16384, MOST_WAITING = 1 << 16 };

typedef struct page {
    const char *data;
    size_t size;
} page;

typedef enum next_by { NEXT_BY_NUMBER, NEXT_BY_CURSOR, NEXT_BY_LINK, NEXT_AGAIN } next_by;

typedef struct waiting {
    int fd;
    size_t number;
    next_by by;
    uint64_t due_us;
} waiting;

static page *pages;
static size_t n_pages;
static char *answer;                                  /* room for the largest page and its head */
static char requests[MOST_CONNECTIONS][REQUEST_ROOM]; /* by descriptor */
static size_t sizes[MOST_CONNECTIONS];
static waiting queue[MOST_WAITING]; /* all wait equally long: first in, first out */
static size_t queue_first, queue_end;
static size_t most_at_once, n_refused;
static double rate, burst, tokens; /* rate 0: no bucket */
static uint64_t filled_us;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Reads the pages; returns their bytes. */
static size_t load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        die(path);
    }
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file), largest = 0, total = 0;
    rewind(file);
    char *text = malloc(size + 1);
    if (text == NULL || fread(text, 1, size, file) != size) {
        die(path);
    }
    fclose(file);
    size_t cap = 1024;
    pages = malloc(cap * sizeof *pages);
    for (char *at = text, *end; pages != NULL && (end = memchr(at, '\n', size - (size_t)(at - text))) != NULL;
         at = end + 1) {
        if (n_pages == cap) {
            pages = realloc(pages, (cap *= 2) * sizeof *pages);
        }
        if (pages != NULL) {
            pages[n_pages++] = (page){at, (size_t)(end - at)};
            largest = (size_t)(end - at) > largest ? (size_t)(end - at) : largest;
            total += (size_t)(end - at);
        }
    }
    answer = malloc(largest + 1024);
    if (pages == NULL || answer == NULL) {
        die("memory");
    }
    return total;
}

/* Sends all of it, waiting where the socket is full. */
static void send_all(int fd, const char *data, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return; /* closed: the next read says so */
        }
        sent += n > 0 ? (size_t)n : 0;
    }
}

/* Whether a request is let in now, by the limits. */
static bool is_let_in(void) {
    uint64_t now = now_us();
    tokens += (double)(now - filled_us) / 1e6 * rate;
    tokens = tokens > burst ? burst : tokens;
    filled_us = now;
    bool ok = (most_at_once == 0 || queue_end - queue_first < most_at_once) && (rate == 0 || tokens >= 1);
    tokens -= ok ? 1 : 0;
    n_refused += ok ? 0 : 1;
    return ok;
}

static void send_page(int fd, size_t number, next_by by) {
    static const page none = {"{\"items\": [], \"total\": 0}", 25};
    if (by == NEXT_AGAIN && number > 0 && n_pages > 1) {
        number = 1 + (number - 1) % (n_pages - 1);
    }
    const page *found = number < n_pages ? &pages[number] : &none;
    char more[128] = "";
    if (by == NEXT_BY_CURSOR && number + 1 < n_pages) {
        snprintf(more, sizeof more, "X-Next: %zu\r\n", number + 1);
    } else if (by == NEXT_BY_LINK && number + 1 < n_pages) {
        snprintf(more, sizeof more, "Link: </links?page=%zu>; rel=\"next\", </links?page=%zu>; rel=\"last\"\r\n",
                 number + 1, n_pages - 1);
    }
    size_t size =
        (size_t)sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
                        more, found->size);
    memcpy(answer + size, found->data, found->size);
    send_all(fd, answer, size + found->size);
}

static void send_refused(int fd) {
    char body[64], text[256];
    int size = snprintf(body, sizeof body, "{\"refused\": %zu}", n_refused);
    int whole = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, body);
    send_all(fd, text, (size_t)whole);
}

/* Answers the whole requests that a connection has sent, now or when the latency is over. */
static void serve(int fd, uint64_t latency_us) {
    char *text = requests[fd], *end;
    text[sizes[fd]] = 0;
    while ((end = strstr(text, "\r\n\r\n")) != NULL) {
        *end = 0;
        text[strcspn(text, "\r")] = 0;
        next_by by = strstr(text, "/cursor") != NULL  ? NEXT_BY_CURSOR
                     : strstr(text, "/links") != NULL ? NEXT_BY_LINK
                     : strstr(text, "/again") != NULL ? NEXT_AGAIN
                                                      : NEXT_BY_NUMBER;
        const char *at = strpbrk(text, "?&");
        at = at == NULL ? NULL : strchr(at, '=');
        size_t number = at == NULL ? 0 : strtoul(at + 1, NULL, 10);
        if (strstr(text, "/refused") != NULL) {
            send_refused(fd);
        } else if (!is_let_in()) {
            static const char refusal[] = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
            send_all(fd, refusal, sizeof refusal - 1);
        } else if (latency_us == 0) {
            send_page(fd, number, by);
        } else {
            queue[queue_end++ % MOST_WAITING] = (waiting){fd, number, by, now_us() + latency_us};
        }
        text = end + 4;
    }
    sizes[fd] -= (size_t)(text - requests[fd]);
    memmove(requests[fd], text, sizes[fd]);
}

static void receive(int epoll, int fd, uint64_t latency_us) {
    ssize_t n = recv(fd, requests[fd] + sizes[fd], REQUEST_ROOM - 1 - sizes[fd], 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        close(fd);
        return;
    }
    sizes[fd] += (size_t)n;
    serve(fd, latency_us);
}

static void take(int epoll, int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
    if (fd < 0) {
        return;
    }
    if (fd >= MOST_CONNECTIONS) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sizes[fd] = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Sends what is due; returns microseconds until the next, UINT64_MAX: nothing waits. */
static uint64_t send_due(void) {
    while (queue_first != queue_end) {
        waiting *next = &queue[queue_first % MOST_WAITING];
        uint64_t now = now_us();
        if (next->due_us > now) {
            return next->due_us - now;
        }
        send_page(next->fd, next->number, next->by);
        queue_first++;
    }
    return UINT64_MAX;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        return 2;
    }
    most_at_once = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    rate = argc > 5 ? strtod(argv[4], NULL) : 0;
    tokens = burst = argc > 5 ? strtod(argv[5], NULL) : 0;
    filled_us = now_us();
    size_t total = load(argv[1]);
    uint64_t latency_us = (uint64_t)(strtod(argv[2], NULL) * 1000);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (listener < 0 || epoll < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 ||
        listen(listener, 512) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0) {
        die("listen");
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, found[64];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    printf("%d %zu\n", ntohs(address.sin_port), total);
    fflush(stdout);
    for (;;) {
        uint64_t left_us = send_due();
        struct timespec left = {.tv_sec = (time_t)(left_us / 1000000), .tv_nsec = (long)(left_us % 1000000 * 1000)};
        int n = epoll_pwait2(epoll, found, 64, left_us == UINT64_MAX ? NULL : &left, NULL);
        for (int i = 0; i < n; i++) {
            if (found[i].data.fd == listener) {
                take(epoll, listener);
            } else {
                receive(epoll, found[i].data.fd, latency_us);
            }
        }
    }
}
