/* SPDX-License-Identifier: Apache-2.0
 *
 * What dlt's settings say of columns by their names: row filters (rule 51), not_null hints (rule 39), the preferred
 * type json (rule 20). dlt itself answers, once for each new key.
 */
#include "core.h"

const char *const hr__own_columns[HR_OWN_COLUMNS] = {"_dlt_id", "_dlt_load_id", "_dlt_parent_id", "_dlt_list_idx",
                                                     "_dlt_root_id"};
enum { OWN_ID = 1u << 0, OWN_LOAD_ID = 1u << 1, OWN_LINK = 3u << 2, OWN_ROOT_ID = 1u << 4 };

int hr__rules_find(hr_normalizer *norm, hr_str table, hr_str column, uint8_t *rules_out) {
    if (norm->options.rules.find != NULL) {
        return norm->options.rules.find(norm->options.rules.ctx, table, column, rules_out, norm->err);
    }
    *rules_out = 0;
    for (size_t i = 0; i < HR_OWN_COLUMNS; i++) {
        if (hr__str_eq(column, hr__str(hr__own_columns[i]))) {
            *rules_out = HR_RULE_NOT_NULL;
        }
    }
    return HR_OK;
}

int hr__shape_rules(hr_normalizer *norm, table_shape *shape) {
    for (size_t i = 0; i < HR_OWN_COLUMNS && norm->options.rules.find != NULL; i++) {
        uint8_t rules = 0;
        HR_TRY(hr__rules_find(norm, shape->name, hr__str(hr__own_columns[i]), &rules));
        shape->own_left_out |= (uint8_t)((rules & HR_RULE_LEFT_OUT) != 0 ? 1u << i : 0);
    }
    return HR_OK;
}

bool hr__shape_own_column(const table_shape *shape, hr_str name, bool *left_out) {
    for (size_t i = 0; i < HR_OWN_COLUMNS; i++) {
        if (hr__str_eq(name, hr__str(hr__own_columns[i]))) {
            *left_out = (shape->own_left_out >> i & 1) != 0;
            return true;
        }
    }
    return false;
}

bool hr__shape_is_left_out(const table_shape *shape) {
    unsigned own = OWN_ID | (shape->root_like ? (unsigned)OWN_LOAD_ID : OWN_LINK);
    own |= (shape->takes_id & HR_ROOT_ID) != 0 ? OWN_ROOT_ID : 0;
    return (shape->own_left_out & own) == own;
}
