# How a guard or a histogram shows its words: int64, read-only, alive as long as the view is.

cdef int show_words(Py_buffer *view, object owner, int64_t *words, Py_ssize_t *length, int flags) except -1:
    PyBuffer_FillInfo(view, owner, words, length[0] * sizeof(int64_t), 1, flags)
    view.itemsize = sizeof(int64_t)
    if flags & PyBUF_FORMAT == PyBUF_FORMAT:
        view.format = b"q"
    if flags & PyBUF_ND == PyBUF_ND:
        view.shape = length
    return 0
