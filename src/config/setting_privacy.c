/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DESIGN: what the settings of privacy.h demand of their items.
 */
#include <string.h>

#include "config/setting.h"

_Static_assert(PRIVACY_LIST_MAX == 64 && PRIVACY_TEXT_MAX_BYTES == 255,
	       "setting.c says how many are expected");

static const char *text_problem(const char *text)
{
	return strlen(text) <= PRIVACY_TEXT_MAX_BYTES ? NULL : "one of them is too long";
}

const char *setting_check_error(char *text)
{
	return text_problem(text);
}
