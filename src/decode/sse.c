/* SPDX-License-Identifier: Apache-2.0
 *
 * Server-sent events, a line at a time. What stands behind the last empty line is left for the next call.
 */
#include "sse.h"

#include "doc_write.h"

/* The event that is read. */
typedef struct event {
    hr_str name, id; /* borrowed from the body */
    hr_buf data;     /* lines, each with its end */
    bool has_data;
    int64_t retry_ms;
} event;

/* The line at `at` and where the next one begins; false: its end is not here yet. A CR at the end may be half of one.
 */
static bool next_line(const char *at, const char *end, hr_str *line_out, const char **next_out) {
    const char *lf = memchr(at, '\n', (size_t)(end - at));
    const char *cr = memchr(at, '\r', (size_t)((lf == NULL ? end : lf) - at));
    const char *stop = cr != NULL ? cr : lf;
    if (stop == NULL || (cr != NULL && cr + 1 == end)) {
        return false;
    }
    *line_out = (hr_str){at, (size_t)(stop - at)};
    *next_out = stop + (cr != NULL && cr[1] == '\n' ? 2 : 1);
    return true;
}

static int64_t number_of(hr_str text) {
    int64_t value = 0;
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > 1000000000) {
            return -1;
        }
        value = value * 10 + (text.data[i] - '0');
    }
    return text.size_bytes == 0 ? -1 : value;
}

static int take_line(event *ev, hr_str line) {
    const char *colon = memchr(line.data, ':', line.size_bytes);
    hr_str name = {line.data, colon == NULL ? line.size_bytes : (size_t)(colon - line.data)};
    hr_str value = {"", 0};
    if (colon != NULL) {
        value = (hr_str){colon + 1, (size_t)(line.data + line.size_bytes - colon - 1)};
        if (value.size_bytes != 0 && *value.data == ' ') {
            value.data++;
            value.size_bytes--;
        }
    }
    if (hr__str_eq(name, hr__str("data"))) {
        ev->has_data = true;
        HR_TRY(hr__buf_append(&ev->data, value.data, value.size_bytes));
        return hr__buf_append_str(&ev->data, "\n");
    }
    if (hr__str_eq(name, hr__str("event"))) {
        ev->name = value;
    } else if (hr__str_eq(name, hr__str("id")) &&
               (value.size_bytes == 0 || memchr(value.data, 0, value.size_bytes) == NULL)) {
        ev->id = value;
    } else if (hr__str_eq(name, hr__str("retry")) && number_of(value) >= 0) {
        ev->retry_ms = number_of(value);
    }
    return HR_OK;
}

/* JSON as it stands, on one line (a line's end in it is white space), or the text. */
static int write_data(hr_json_decoder *decoder, hr_doc *doc, hr_buf *data, hr_buf *out, hr_error *err) {
    data->size_bytes--; /* the last line's end */
    HR_TRY(hr__buf_reserve(data, HR_BODY_PADDING));
    int rc = hr__json_decode(decoder, data->data, data->size_bytes, doc, err);
    if (rc == HR_MEMORY) {
        return rc;
    }
    if (rc != HR_OK) {
        return hr__doc_write_string((hr_str){data->data, data->size_bytes}, HR_WRITE_LENIENT, out, err);
    }
    size_t at = out->size_bytes, bom = data->size_bytes >= 3 && memcmp(data->data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    HR_TRY(hr__buf_append(out, data->data + bom, data->size_bytes - bom));
    for (char *c = out->data + at; (c = memchr(c, '\n', (size_t)(out->data + out->size_bytes - c))) != NULL;) {
        *c = ' ';
    }
    return HR_OK;
}

static int write_event(hr_json_decoder *decoder, hr_doc *doc, event *ev, hr_buf *out, hr_error *err) {
    HR_TRY(hr__buf_append_str(out, "{\"event\":"));
    HR_TRY(hr__doc_write_string(ev->name.size_bytes == 0 ? hr__str("message") : ev->name, HR_WRITE_LENIENT, out, err));
    HR_TRY(hr__buf_append_str(out, ",\"id\":"));
    HR_TRY(ev->id.size_bytes == 0 ? hr__buf_append_str(out, "null")
                                  : hr__doc_write_string(ev->id, HR_WRITE_LENIENT, out, err));
    HR_TRY(hr__buf_append_str(out, ",\"data\":"));
    HR_TRY(write_data(decoder, doc, &ev->data, out, err));
    return hr__buf_append_str(out, "}\n");
}

int hr__sse_lines(hr_json_decoder *decoder, hr_str body, hr_str id, size_t max_events, hr_buf *out,
                  hr_sse_info *info_out, hr_error *err) {
    const char *at = body.data, *end = body.data + body.size_bytes;
    hr_sse_info info = {.id = id, .retry_ms = -1};
    event ev = {.id = id, .retry_ms = -1};
    hr_doc doc;
    hr_str line;
    int rc = HR_OK;
    hr__doc_init(&doc, out->alloc);
    hr__buf_init(&ev.data, out->alloc, 0);
    while (rc == HR_OK && info.n_events < max_events && at < end && next_line(at, end, &line, &at)) {
        if (line.size_bytes != 0) {
            rc = take_line(&ev, line);
            continue;
        }
        if (ev.has_data) {
            rc = write_event(decoder, &doc, &ev, out, err);
            info.n_events++;
        }
        info.used_bytes = (size_t)(at - body.data);
        info.id = ev.id;
        info.retry_ms = ev.retry_ms >= 0 ? ev.retry_ms : info.retry_ms;
        ev.name = (hr_str){NULL, 0};
        ev.has_data = false;
        ev.data.size_bytes = 0;
    }
    hr__doc_free(&doc);
    hr__buf_free(&ev.data);
    if (rc == HR_OK) {
        *info_out = info;
    }
    return rc == HR_OK ? HR_OK : hr__error_memory(err, HR_STAGE_DECODE);
}
