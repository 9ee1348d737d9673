/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_simdjson.h"

#include <simdjson.h>

namespace dom = simdjson::dom;
namespace ondemand = simdjson::ondemand;

struct hr_bench_simdjson {
    dom::parser dom;
    ondemand::parser ondemand;
};

static uint64_t read_all(dom::element value) {
    using dom::element_type;
    uint64_t sum = 0;
    switch (value.type()) {
    case element_type::OBJECT:
        for (auto field : dom::object(value)) {
            sum += field.key.size() + read_all(field.value);
        }
        return sum;
    case element_type::ARRAY:
        for (auto item : dom::array(value)) {
            sum += read_all(item);
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

static uint64_t read_all(ondemand::value value) {
    using ondemand::json_type;
    uint64_t sum = 0;
    switch (json_type(value.type())) {
    case json_type::object:
        for (auto field : value.get_object()) {
            sum += std::string_view(field.unescaped_key()).size();
            sum += read_all(field.value().value());
        }
        return sum;
    case json_type::array:
        for (auto item : value.get_array()) {
            sum += read_all(item.value());
        }
        return sum;
    case json_type::string:
        return std::string_view(value.get_string()).size();
    case json_type::number: {
        ondemand::number number = value.get_number();
        return number.is_double() ? (uint64_t)double(number) : number.is_int64() ? (uint64_t)int64_t(number)
                                                                                : uint64_t(number);
    }
    case json_type::boolean:
        return bool(value.get_bool());
    default:
        return 0;
    }
}

extern "C" hr_bench_simdjson *hr_bench_simdjson_new(void) {
    return new hr_bench_simdjson;
}

extern "C" void hr_bench_simdjson_free(hr_bench_simdjson *parsers) {
    delete parsers;
}

extern "C" int hr_bench_simdjson_dom(hr_bench_simdjson *parsers, const char *body, size_t size_bytes, uint64_t *sum) {
    dom::element root;
    if (parsers->dom.parse(body, size_bytes, false).get(root)) {
        return 1;
    }
    *sum += read_all(root);
    return 0;
}

/* Its errors leave as exceptions, which end the program: the pages are good. */
extern "C" int hr_bench_simdjson_ondemand(hr_bench_simdjson *parsers, const char *body, size_t size_bytes,
                                          uint64_t *sum) {
    ondemand::document root = parsers->ondemand.iterate(body, size_bytes, size_bytes + simdjson::SIMDJSON_PADDING);
    *sum += read_all(root.get_value().value());
    return 0;
}
