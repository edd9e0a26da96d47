# cython: freethreading_compatible=True
"""A counter of allocations: between `start` and `stop` every block that anybody asks of Python's allocators is counted.

Blocks that are held show in `sys.getallocatedblocks`; a block taken and freed within one call shows nowhere but here.
The counter stands before CPython's three allocators and passes everything on, so it may come and go while blocks live.
What C code takes with malloc() itself is not seen; the raw domain is.
"""

from libc.stdint cimport int64_t

cdef extern from "Python.h":
    ctypedef struct PyMemAllocatorEx:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept nogil
        void *(*calloc)(void *ctx, size_t nelem, size_t elsize) noexcept nogil
        void *(*realloc)(void *ctx, void *ptr, size_t new_size) noexcept nogil
        void (*free)(void *ctx, void *ptr) noexcept nogil
    ctypedef enum PyMemAllocatorDomain:
        PYMEM_DOMAIN_RAW
        PYMEM_DOMAIN_MEM
        PYMEM_DOMAIN_OBJ
    void PyMem_GetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator) nogil
    void PyMem_SetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator) nogil

cdef extern from *:
    """
    static int64_t counted_blocks;
    /* the raw domain is used without the interpreter's lock */
    #define COUNT_BLOCK() ((void)__atomic_fetch_add(&counted_blocks, 1, __ATOMIC_RELAXED))
    #define COUNTED() __atomic_load_n(&counted_blocks, __ATOMIC_RELAXED)
    #define COUNT_ANEW() __atomic_store_n(&counted_blocks, 0, __ATOMIC_RELAXED)
    """
    void COUNT_BLOCK() noexcept nogil
    int64_t COUNTED() noexcept nogil
    void COUNT_ANEW() noexcept nogil

cdef PyMemAllocatorEx[3] real  # index: domain
cdef bint counting = False


cdef void *counted_malloc(void *ctx, size_t size) noexcept nogil:
    cdef PyMemAllocatorEx *to = <PyMemAllocatorEx *>ctx
    COUNT_BLOCK()
    return to.malloc(to.ctx, size)


cdef void *counted_calloc(void *ctx, size_t count, size_t size) noexcept nogil:
    cdef PyMemAllocatorEx *to = <PyMemAllocatorEx *>ctx
    COUNT_BLOCK()
    return to.calloc(to.ctx, count, size)


cdef void *counted_realloc(void *ctx, void *block, size_t size) noexcept nogil:
    cdef PyMemAllocatorEx *to = <PyMemAllocatorEx *>ctx
    COUNT_BLOCK()
    return to.realloc(to.ctx, block, size)


cdef void passed_free(void *ctx, void *block) noexcept nogil:
    cdef PyMemAllocatorEx *to = <PyMemAllocatorEx *>ctx
    to.free(to.ctx, block)


def start():
    global counting
    cdef PyMemAllocatorEx counter
    cdef int domain
    if counting:
        raise RuntimeError("allocations are being counted already: stop() first")
    counter.malloc, counter.calloc, counter.realloc = counted_malloc, counted_calloc, counted_realloc
    counter.free = passed_free
    for domain in range(3):
        PyMem_GetAllocator(<PyMemAllocatorDomain>domain, &real[domain])
        counter.ctx = &real[domain]
        PyMem_SetAllocator(<PyMemAllocatorDomain>domain, &counter)
    counting = True
    COUNT_ANEW()


def stop():
    global counting
    cdef int64_t found = COUNTED()
    cdef int domain
    if not counting:
        raise RuntimeError("allocations are not being counted: start() first")
    for domain in range(3):
        PyMem_SetAllocator(<PyMemAllocatorDomain>domain, &real[domain])
    counting = False
    return found
