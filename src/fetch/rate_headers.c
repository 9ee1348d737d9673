/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers are read leniently ("50", "50.5", "100, 100;w=60"): what cannot be read is as if it were not there.
 */
#include "rate_headers.h"

#include "http.h"

#include <curl/curl.h>
#include <strings.h>

/* Larger than any delta, smaller than any time of this century. */
#define EPOCH_S 1000000000.0
#define EPOCH_MS 100000000000.0
/* Beyond this a number is nonsense. */
#define LARGEST 1e15

/* Which spelling told a value: the later in this list, the more it counts. */
enum { TOLD_NOT, TOLD_X, TOLD_DRAFT, TOLD_STRUCTURED };

typedef struct finding {
    int left_by, reset_by;
    double left, reset;
    bool is_delta; /* reset is one for sure */
    int64_t date_ms;
} finding;

/* The number that text begins with, behind blanks and a quote. False: none. */
static bool read_number(hr_str text, double *out) {
    size_t i = 0;
    while (i < text.size_bytes && (text.data[i] == ' ' || text.data[i] == '"')) {
        i++;
    }
    size_t first = i;
    double value = 0, unit = 1;
    for (; i < text.size_bytes && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        value = value > LARGEST ? value : value * 10 + (text.data[i] - '0');
    }
    if (i == first) {
        return false;
    }
    if (i < text.size_bytes && text.data[i] == '.') {
        for (i++; i < text.size_bytes && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
            unit /= 10;
            value += unit * (text.data[i] - '0');
        }
    }
    *out = value;
    return value <= LARGEST;
}

static bool is_name(hr_str name, const char *other) {
    return name.size_bytes == strlen(other) && strncasecmp(name.data, other, name.size_bytes) == 0;
}

/* Cuts the next part up to `end` off text, outside of quotes. */
static hr_str cut(hr_str *text, char end) {
    bool quoted = false;
    size_t i = 0;
    for (; i < text->size_bytes && (quoted || text->data[i] != end); i++) {
        quoted ^= text->data[i] == '"';
    }
    hr_str part = {text->data, i};
    size_t next = i < text->size_bytes ? i + 1 : i;
    *text = (hr_str){text->data + next, text->size_bytes - next};
    while (part.size_bytes > 0 && part.data[0] == ' ') {
        part = (hr_str){part.data + 1, part.size_bytes - 1};
    }
    return part;
}

/* "key=number" with one of the two keys. */
static bool read_member(hr_str part, const char *key, const char *other, double *out) {
    hr_str rest = part, name = cut(&rest, '=');
    return (is_name(name, key) || is_name(name, other)) && read_number(rest, out);
}

/* RateLimit: members separated by commas, their parameters by semicolons; -07 has commas only. The member with the
 * least left counts. */
static void read_structured(hr_str value, finding *found) {
    double least = -1, its_reset = -1, left = -1, reset = -1;
    while (value.size_bytes > 0) {
        hr_str member = cut(&value, ',');
        bool has_parameters = memchr(member.data, ';', member.size_bytes) != NULL;
        if (has_parameters) {
            left = reset = -1;
        }
        while (member.size_bytes > 0) {
            hr_str part = cut(&member, ';');
            double number;
            if (read_member(part, "r", "remaining", &number)) {
                left = number;
            } else if (read_member(part, "t", "reset", &number)) {
                reset = number;
            }
        }
        if (left >= 0 && (least < 0 || left <= least)) {
            least = left;
            its_reset = reset;
        }
    }
    if (least >= 0) {
        found->left_by = found->reset_by = TOLD_STRUCTURED;
        found->left = least;
        found->reset = its_reset;
        found->is_delta = true;
        found->reset_by = its_reset >= 0 ? TOLD_STRUCTURED : TOLD_NOT;
    }
}

/* What stands behind "RateLimit" in a header's name: "-Remaining"; data NULL: it is no such header. */
static hr_str suffix_of(hr_str name, int *by_out) {
    static const struct {
        const char *prefix;
        int by;
    } rows[] = {{"X-RateLimit", TOLD_X}, {"X-Rate-Limit", TOLD_X}, {"RateLimit", TOLD_DRAFT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = strlen(rows[i].prefix);
        if (name.size_bytes >= size && strncasecmp(name.data, rows[i].prefix, size) == 0) {
            *by_out = rows[i].by;
            return (hr_str){name.data + size, name.size_bytes - size};
        }
    }
    return (hr_str){NULL, 0};
}

static void read_one(const hr_http_header *header, finding *found) {
    int by = TOLD_NOT;
    double number;
    if (is_name(header->name, "Date") && header->value.size_bytes < 64) {
        char text[64];
        memcpy(text, header->value.data, header->value.size_bytes);
        text[header->value.size_bytes] = '\0';
        found->date_ms = (int64_t)curl_getdate(text, NULL) * 1000;
        return;
    }
    hr_str suffix = suffix_of(header->name, &by);
    if (suffix.data == NULL) {
        return;
    }
    if (suffix.size_bytes == 0 && by == TOLD_DRAFT) {
        read_structured(header->value, found);
        return;
    }
    bool is_after = is_name(suffix, "-Reset-After");
    if (!read_number(header->value, &number)) {
        return;
    }
    if (is_name(suffix, "-Remaining") && by > found->left_by) {
        found->left = number;
        found->left_by = by;
    } else if ((is_after || is_name(suffix, "-Reset")) && by + is_after > found->reset_by) {
        found->reset = number;
        found->reset_by = by;
        found->is_delta = is_after;
    }
}

void hr__rate_headers_read(const hr_http_header *headers, size_t n_headers, int64_t now_ms, hr_rate_told *told_out) {
    finding found = {.date_ms = -1000};
    for (size_t i = 0; i < n_headers; i++) {
        if (headers[i].name.size_bytes >= 4) {
            read_one(&headers[i], &found);
        }
    }
    *told_out = (hr_rate_told){.has_left = found.left_by != TOLD_NOT, .left = (uint64_t)found.left};
    if (found.reset_by == TOLD_NOT) {
        return;
    }
    double ms = found.reset * 1000;
    if (!found.is_delta && found.reset >= EPOCH_S) {
        double now = (double)(found.date_ms > 0 ? found.date_ms : now_ms);
        ms = (found.reset >= EPOCH_MS ? found.reset : found.reset * 1000) - now;
    }
    told_out->has_reset = true;
    told_out->reset_ms = ms < 0 ? 0 : (uint64_t)ms;
}
