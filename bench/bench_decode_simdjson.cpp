/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_decode.h"

#include <simdjson.h>

static uint64_t touch(simdjson::dom::element value) {
    using simdjson::dom::element_type;
    uint64_t sum = 0;
    switch (value.type()) {
    case element_type::OBJECT:
        for (auto field : simdjson::dom::object(value)) {
            sum += field.key.size() + touch(field.value);
        }
        return sum;
    case element_type::ARRAY:
        for (auto item : simdjson::dom::array(value)) {
            sum += touch(item);
        }
        return sum;
    case element_type::STRING:
        return std::string_view(value).size();
    case element_type::INT64:
        return (uint64_t)int64_t(value);
    case element_type::UINT64:
        return uint64_t(value);
    case element_type::DOUBLE:
        return (uint64_t)double(value);
    case element_type::BOOL:
        return bool(value);
    default:
        return 0;
    }
}

extern "C" void *hr_bench_simdjson_new(void) {
    return new simdjson::dom::parser();
}

extern "C" void hr_bench_simdjson_free(void *parser) {
    delete static_cast<simdjson::dom::parser *>(parser);
}

extern "C" int hr_bench_simdjson(void *parser, const char *body, size_t size_bytes, uint64_t *sum) {
    simdjson::dom::element root;
    auto error = static_cast<simdjson::dom::parser *>(parser)->parse(body, size_bytes, false).get(root);
    if (error) {
        return 1;
    }
    *sum += touch(root);
    return 0;
}
