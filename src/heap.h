/*
 * heap: how the C library's allocator is used. heap_init() before there are threads; heap_give_back() from
 * any of them, when it has come to rest and has freed what it does not need for that.
 */
#ifndef FARO_HEAP_H
#define FARO_HEAP_H

void heap_init(void);
/* To the kernel, whole pages that are free. Where 64 MiB are holes it takes 15 ms, else next to nothing;
 * others who want a large block wait meanwhile. */
void heap_give_back(void);

#endif
