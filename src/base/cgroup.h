/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup: how much memory the container may use. */
#ifndef FARO_BASE_CGROUP_H
#define FARO_BASE_CGROUP_H

#include <stdint.h>

/* The smallest limit on this process's memory, of either version; UINT64_MAX: none. `root` is put
 * before the paths under /proc and /sys; "" but in tests. */
uint64_t cgroup_memory_limit(const char *root);

#endif
