/* SPDX-License-Identifier: Apache-2.0
 *
 * The dialect of CSV text by its first rows.
 */
#include "csv_sniff.h"

#define MAX_ROWS 1000

/* Fields of the next row from *at on; the row is left out (0) when it is cut by the end of the sample. */
static size_t next_fields(hr_str sample, const hr_csv_dialect *d, size_t *at) {
    size_t n = 1, i = *at;
    bool inside = false, at_start = true;
    for (; i < sample.size_bytes; i++) {
        char c = sample.data[i];
        if (inside) {
            inside = c != d->quote;
        } else if (d->quote != 0 && c == d->quote && (at_start || sample.data[i - 1] == d->quote)) {
            inside = true;
        } else if (c == '\n' || c == '\r') {
            *at = i + 1;
            return n;
        } else if (c == d->delimiter) {
            n++;
            at_start = true;
            continue;
        }
        at_start = false;
    }
    *at = i;
    return 0;
}

/* How well the delimiter splits the sample: the share of rows with the number of fields that most have, and that
 * number. Blank lines do not count. */
static double share_of(hr_str sample, const hr_csv_dialect *d, size_t *n_fields_out) {
    size_t counts[MAX_ROWS], n_rows = 0;
    for (size_t at = 0; at < sample.size_bytes && n_rows < MAX_ROWS;) {
        size_t from = at, n = next_fields(sample, d, &at);
        if (n != 0 && at - from > 1) {
            counts[n_rows++] = n;
        }
    }
    size_t best = 0, most = 1;
    for (size_t i = 0; i < n_rows; i++) {
        size_t same = 0;
        for (size_t k = 0; k < n_rows; k++) {
            same += counts[k] == counts[i];
        }
        if (same > best || (same == best && counts[i] > most)) {
            best = same;
            most = counts[i];
        }
    }
    *n_fields_out = most;
    return n_rows == 0 ? 0 : (double)best / (double)n_rows;
}

void hr__csv_sniff(hr_str sample, hr_csv_dialect *dialect, double *confidence_out) {
    static const char delimiters[] = {',', ';', '\t', '|', ':', ' '};
    double best = 0;
    size_t most = 1;
    hr_csv_dialect tried = *dialect;
    dialect->delimiter = ',';
    for (size_t i = 0; i < sizeof delimiters; i++) {
        if (delimiters[i] == dialect->quote || delimiters[i] == dialect->escape || delimiters[i] == dialect->comment) {
            continue;
        }
        size_t n_fields;
        tried.delimiter = delimiters[i];
        double share = share_of(sample, &tried, &n_fields);
        /* Of delimiters that split all rows alike, the one with most fields; colons and spaces stand in times. */
        double weight = i < 4 ? share : share * 0.8;
        if (n_fields > 1 && (weight > best + 1e-9 || (weight > best - 0.05 && n_fields > most && i < 4))) {
            best = weight > best ? weight : best;
            most = n_fields;
            dialect->delimiter = delimiters[i];
        }
    }
    *confidence_out = best;
}
