/* SPDX-License-Identifier: Apache-2.0
 *
 * A list: a run knows a handful of hosts.
 */
#include "pacer.h"

#include <pthread.h>
#include <stdatomic.h>

/* How long a host is remembered that nobody asks (guessed: the sources of one run follow each other faster). */
#define KEPT_US ((uint64_t)60000000)

struct hr_pacer {
    _Atomic int refs;
    pthread_mutex_t lock;
    hr_pacer_host *hosts; /* @locks lock */
    uint64_t n_engines;   /* @locks lock; numbers given out */
};

hr_pacer *hr__pacer_new(void) {
    hr_pacer *pacer = hr__calloc(&hr__allocator_libc, 1, sizeof *pacer); /* outlives the engines' allocators */
    if (pacer != NULL) {
        atomic_store(&pacer->refs, 1);
        pthread_mutex_init(&pacer->lock, NULL);
    }
    return pacer;
}

hr_pacer *hr__pacer_ref(hr_pacer *pacer) {
    atomic_fetch_add_explicit(&pacer->refs, 1, memory_order_relaxed);
    return pacer;
}

void hr__pacer_unref(hr_pacer *pacer) {
    if (pacer == NULL || atomic_fetch_sub_explicit(&pacer->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    while (pacer->hosts != NULL) {
        hr_pacer_host *next = pacer->hosts->next;
        hr__free(&hr__allocator_libc, pacer->hosts);
        pacer->hosts = next;
    }
    pthread_mutex_destroy(&pacer->lock);
    hr__free(&hr__allocator_libc, pacer);
}

void hr__pacer_lock(hr_pacer *pacer) {
    pthread_mutex_lock(&pacer->lock);
}

void hr__pacer_unlock(hr_pacer *pacer) {
    pthread_mutex_unlock(&pacer->lock);
}

uint64_t hr__pacer_number(hr_pacer *pacer) {
    hr__pacer_lock(pacer);
    uint64_t number = ++pacer->n_engines;
    hr__pacer_unlock(pacer);
    return number;
}

static bool is_forgotten(const hr_pacer_host *host, uint64_t now_us) {
    const hr_pace *pace = &host->pace;
    uint64_t until_us = host->idle_us + KEPT_US;
    for (uint32_t i = 0; i < pace->n_windows; i++) {
        uint64_t rule_us = host->idle_us + (uint64_t)pace->windows[i].rule.per_ms * 1000;
        until_us = rule_us > until_us ? rule_us : until_us;
    }
    until_us = pace->has_quota && pace->reset_us > until_us ? pace->reset_us : until_us;
    until_us = pace->paused_until_us > until_us ? pace->paused_until_us : until_us;
    until_us = host->left_until_us > until_us ? host->left_until_us : until_us;
    return host->n_users == 0 && now_us > until_us;
}

static void forget(hr_pacer *pacer, uint64_t now_us) {
    for (hr_pacer_host **at = &pacer->hosts; *at != NULL;) {
        hr_pacer_host *host = *at;
        if (is_forgotten(host, now_us)) {
            *at = host->next;
            hr__free(&hr__allocator_libc, host);
        } else {
            at = &host->next;
        }
    }
}

static hr_pacer_host *find(hr_pacer *pacer, const char *name, uint32_t port) {
    hr_pacer_host *host = pacer->hosts;
    while (host != NULL && (host->port != port || strcmp(host->host, name) != 0)) {
        host = host->next;
    }
    return host;
}

hr_pacer_host *hr__pacer_enter(hr_pacer *pacer, uint64_t engine, const char *name, uint32_t port, uint32_t max_window,
                               uint32_t first_window, uint64_t now_us) {
    size_t size = strlen(name) + 1;
    hr__pacer_lock(pacer);
    hr_pacer_host *host = find(pacer, name, port);
    if (host == NULL || host->n_users == 0) {
        forget(pacer, now_us);
        host = find(pacer, name, port);
    }
    if (host == NULL) {
        host = hr__calloc(&hr__allocator_libc, 1, sizeof *host + size);
        if (host != NULL) {
            memcpy(host->host, name, size);
            host->port = port;
            host->next = pacer->hosts;
            pacer->hosts = host;
            hr__pace_init(&host->pace, max_window, first_window);
        }
    }
    if (host != NULL && (host->n_users == 0 || host->pace.max_window > max_window)) {
        host->pace.max_window = max_window;
        host->pace.window = host->pace.window > max_window ? max_window : host->pace.window;
    }
    if (host != NULL && host->n_users == 0 && host->asked_by != engine) { /* a new run begins anew */
        host->n_unanswered = 0;
        host->left_until_us = 0;
    }
    if (host != NULL) {
        host->asked_by = engine;
        host->n_users++;
    }
    hr__pacer_unlock(pacer);
    return host;
}

void hr__pacer_leave(hr_pacer *pacer, hr_pacer_host *host, uint64_t now_us) {
    hr__pacer_lock(pacer);
    if (--host->n_users == 0) {
        host->idle_us = now_us;
    }
    hr__pacer_unlock(pacer);
}
