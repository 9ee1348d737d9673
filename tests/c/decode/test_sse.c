/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: server-sent events, whole and cut at every byte; failing allocations.
 */
#include "hrtest.h"
#include "sse.h"

typedef struct sse_case {
    const char *body, *lines;
    const char *id;
    int64_t retry_ms;
} sse_case;

static const sse_case cases[] = {
    {"data: {\"a\":1}\n\n", "{\"event\":\"message\",\"id\":null,\"data\":{\"a\":1}}\n", "", -1},
    {"event: e\nid: 7\ndata:  x\"\n\ndata: 2\n\n",
     "{\"event\":\"e\",\"id\":\"7\",\"data\":\" x\\\"\"}\n{\"event\":\"message\",\"id\":\"7\",\"data\":2}\n", "7", -1},
    {": keep alive\r\n\r\nretry: 50\r\nid: 1\r\n\r\ndata: [1,\r\ndata: 2]\r\n\r\n",
     "{\"event\":\"message\",\"id\":\"1\",\"data\":[1, 2]}\n", "1", 50},
    {"data\rid\r\rdata: a\rdata: b\r\r", /* the last CR may be half of an end */
     "{\"event\":\"message\",\"id\":null,\"data\":\"\"}\n", "", -1},
    {"id: 1\ndata: a\n\nid: 2\ndata: not ended", "{\"event\":\"message\",\"id\":\"1\",\"data\":\"a\"}\n", "1", -1},
    {"retry: x\nother: y\nnone\n\n", "", "", -1},
    {"data: [DONE]\n\ndata: 1 2\n\n",
     "{\"event\":\"message\",\"id\":null,\"data\":\"[DONE]\"}\n{\"event\":\"message\",\"id\":null,\"data\":\"1 2\"}\n",
     "", -1},
};

static void check_case(const sse_case *c, size_t cut) {
    hr_json_decoder *decoder;
    hr_buf out;
    hr_sse_info first, rest;
    size_t size = strlen(c->body);
    HR_CHECK_INT(hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc}, &decoder, NULL), HR_OK);
    hr__buf_init(&out, &hr__allocator_libc, 0);
    HR_CHECK_INT(hr__sse_lines(decoder, (hr_str){c->body, cut}, (hr_str){NULL, 0}, SIZE_MAX, &out, &first, NULL),
                 HR_OK);
    hr_str behind = {c->body + first.used_bytes, size - first.used_bytes};
    HR_CHECK_INT(hr__sse_lines(decoder, behind, first.id, SIZE_MAX, &out, &rest, NULL), HR_OK);
    HR_CHECK_STR(((hr_str){out.data, out.size_bytes}), c->lines);
    HR_CHECK_STR(rest.id, c->id);
    HR_CHECK_INT(rest.retry_ms >= 0 ? rest.retry_ms : first.retry_ms, c->retry_ms);
    hr__buf_free(&out);
    hr__json_decoder_free(decoder);
}

HR_CASE(events_are_lines_wherever_they_are_cut) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t cut = 0; cut <= strlen(cases[i].body); cut++) {
            check_case(&cases[i], cut);
        }
    }
}

HR_CASE(no_more_events_than_wanted) {
    hr_json_decoder *decoder;
    hr_buf out;
    hr_sse_info info;
    hr_str body = hr__str("id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n");
    HR_CHECK_INT(hr__json_decoder_new(&(hr_json_options){.alloc = &hr__allocator_libc}, &decoder, NULL), HR_OK);
    hr__buf_init(&out, &hr__allocator_libc, 0);
    HR_CHECK_INT(hr__sse_lines(decoder, body, (hr_str){NULL, 0}, 1, &out, &info, NULL), HR_OK);
    HR_CHECK_INT(info.n_events, 1);
    HR_CHECK_INT(info.used_bytes, 15);
    HR_CHECK_STR(info.id, "1");
    hr__buf_free(&out);
    hr__json_decoder_free(decoder);
}

static int read_once(const hr_allocator *alloc) {
    hr_json_decoder *decoder = NULL;
    hr_buf out;
    hr_sse_info info;
    hr_str body = hr__str("id: 1\ndata: {\"a\":[1,2,{\"b\":\"\\n\"}]}\n\nevent: e\ndata: not JSON\ndata: at all\n\n");
    hr__buf_init(&out, alloc, 0);
    int rc = hr__json_decoder_new(&(hr_json_options){.alloc = alloc}, &decoder, NULL);
    rc = rc != HR_OK ? rc : hr__sse_lines(decoder, body, (hr_str){NULL, 0}, SIZE_MAX, &out, &info, NULL);
    hr__buf_free(&out);
    hr__json_decoder_free(decoder);
    return rc;
}

HR_CASE(every_allocation_may_fail) {
    hrtest_sweep(read_once, 200);
}

int main(void) {
    HR_RUN(events_are_lines_wherever_they_are_cut);
    HR_RUN(no_more_events_than_wanted);
    HR_RUN(every_allocation_may_fail);
    return HR_DONE();
}
