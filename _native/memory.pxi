# Words in memory that somebody else passes in: the buffer is kept on the heap, out of the collector's sight, which would
# clear a view that is in use here.

cdef Py_buffer *map_words(object memory, Py_ssize_t length) except NULL:
    """A view of at least `length` int64, writable and at a multiple of 64 bytes; `unmap_words` gives it back."""
    cdef Py_buffer *view = <Py_buffer *>calloc(1, sizeof(Py_buffer))
    if view == NULL:
        raise MemoryError
    try:
        PyObject_GetBuffer(memory, view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except:
        free(view)
        raise
    try:
        if view.itemsize != sizeof(int64_t) or view.format == NULL or view.format[0] not in b"ql":
            raise TypeError("memory must hold int64")
        if view.len < length * <Py_ssize_t>sizeof(int64_t):
            raise ValueError(f"memory must hold {length} words, not {view.len // sizeof(int64_t)}")
        if <uint64_t>view.buf % 64:
            raise ValueError("memory must begin at a multiple of 64 bytes: words that are shared have lines of their own")
    except:
        unmap_words(view)
        raise
    return view


cdef void unmap_words(Py_buffer *view) noexcept:
    """Give it back; NULL: there is none."""
    if view != NULL:
        PyBuffer_Release(view)
        free(view)
