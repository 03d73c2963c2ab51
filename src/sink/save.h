/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_save: bodies and request headers as files, for tests that compare bytes.
 */
#ifndef FARO_SINK_SAVE_H
#define FARO_SINK_SAVE_H

#include "base/buf.h"

/* Writes DIR/NUMBER.headers, then DIR/NUMBER.json, so that the headers are there once the body is.
 * Each is written under a temporary name and renamed. False with a line on stderr. */
bool save_beacon(const char *dir, unsigned number, struct view headers, struct view body);

#endif
