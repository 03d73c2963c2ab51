/* SPDX-License-Identifier: Apache-2.0 */
#include "config/privacy.h"

enum privacy_path privacy_path_next(const char **path, char *name, struct privacy_step *step)
{
	const char *at = *path;
	size_t n = 0;

	if (*at == '\0')
		return PATH_END;
	for (; *at && *at != '.' && *at != '['; at++) {
		if (*at == '\\' && *++at == '\0')
			return PATH_MALFORMED;
		name[n++] = *at;
	}
	*step = (struct privacy_step){.name = {name, n}};
	for (; at[0] == '[' && at[1] == ']'; at += 2)
		step->arrays++;
	if (n == 0 || (*at == '.' && at[1] == '\0') || (*at != '.' && *at != '\0'))
		return PATH_MALFORMED;
	*path = *at == '.' ? at + 1 : at;
	return PATH_STEP;
}

static bool is_capital(char c)
{
	return c >= 'A' && c <= 'Z';
}

struct view privacy_snake_case(struct view name, char *out)
{
	struct view snake = {NULL, 0};

	for (size_t i = 0; i < name.len; i++) {
		bool begins_word = i > 0 && is_capital(name.ptr[i]);

		if (begins_word)
			out[snake.len++] = '_';
		out[snake.len++] = (char)(begins_word ? name.ptr[i] | 0x20 : name.ptr[i]);
	}
	if (snake.len > name.len)
		snake.ptr = out;
	return snake.ptr ? snake : (struct view){NULL, 0};
}
