/*
 * heap: how the C library's allocator is used. malloc_tuning_init() before there are threads; malloc_give_back() from
 * any of them, when it has come to rest and has freed what it does not need for that.
 */
#ifndef FARO_BASE_MALLOC_TUNING_H
#define FARO_BASE_MALLOC_TUNING_H

void malloc_tuning_init(void);
/* To the kernel, whole pages that are free. Where 64 MiB are holes it takes 15 ms, else next to nothing;
 * others who want a large block wait meanwhile. */
void malloc_give_back(void);

#endif
