/* SPDX-License-Identifier: Apache-2.0
 *
 * The dialect of CSV text by its first rows.
 */
#ifndef HR_DECODE_CSV_SNIFF_H
#define HR_DECODE_CSV_SNIFF_H

#include "csv.h"

/* Sets dialect->delimiter (one of , ; tab | : space) by which the rows of the sample have the same number of fields,
 * most often more than one; dialect is otherwise as given. *confidence_out: the share of such rows, 0 to 1; 0 when
 * nothing splits them: then the delimiter is ','. */
void hr__csv_sniff(hr_str sample, hr_csv_dialect *dialect, double *confidence_out);

#endif
