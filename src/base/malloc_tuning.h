/* SPDX-License-Identifier: Apache-2.0 */
/*
 * malloc_tuning: how the C library's allocator is used.
 *
 * malloc_tuning_init() is called before there are threads; malloc_give_back() by any of them, when
 * it has become idle and has freed its unused memory.
 */
#ifndef FARO_BASE_MALLOC_TUNING_H
#define FARO_BASE_MALLOC_TUNING_H

void malloc_tuning_init(void);
/* Returns unused memory, in whole pages, to the kernel. It takes 15 ms where 64 MiB are free
 * between blocks in use, and hardly any time otherwise; threads that need a large block wait
 * meanwhile. */
void malloc_give_back(void);

#endif
