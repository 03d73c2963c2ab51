/*
 * heap: how the C library's allocator is used. heap_init() before there are threads; heap_give_back() from
 * any of them, when it has come to rest and has freed what it does not need for that.
 */
#ifndef FARO_HEAP_H
#define FARO_HEAP_H

void heap_init(void);
/* To the kernel, whole pages that are free. */
void heap_give_back(void);

#endif
