/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ignore_list: the words of the parameter FARO_IGNORE, which are also ignored_total{reason}, a row
 * each.
 *
 * Other words count as OTHER. A file defines IGNORE_REASON and includes this one, which undefines
 * it. It stands in base because metrics, which are below everything, have the labels.
 */
IGNORE_REASON(CRAWLER, "crawler")
IGNORE_REASON(SYNTHETIC, "synthetic")
IGNORE_REASON(HEALTH, "health")
IGNORE_REASON(LOCALHOST, "localhost")
IGNORE_REASON(ADDRESS, "address")
IGNORE_REASON(LEGACY_BROWSER, "legacy_browser")
IGNORE_REASON(OTHER, "other")
#undef IGNORE_REASON
