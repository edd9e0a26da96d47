# Integers from outside: refused by name and bounds, never truncated (an int64_t argument would turn 1.9 into 1).

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1

cdef int64_t INT64_HIGHEST = <int64_t>0x7FFFFFFFFFFFFFFF


cdef int64_t wide(object value, str name) except? -1:
    """`value` as 64 bits; what needs more becomes the nearest bound, which is outside of every range accepted here."""
    cdef int overflow = 0
    cdef int64_t number
    if isinstance(value, bool) or not PyIndex_Check(value):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    number = PyLong_AsLongLongAndOverflow(PyNumber_Index(value), &overflow)
    if overflow:
        return INT64_HIGHEST if overflow > 0 else -INT64_HIGHEST - 1
    return number


cdef int64_t integer(object value, str name, int64_t low, int64_t high) except? -1:
    """`value` when it is an int between the bounds; a bool is a mistake, not a number."""
    cdef int64_t number = wide(value, name)
    if number < low or number > high:
        raise ValueError(f"{name} must be between {low} and {high}, not {value}")
    return number


cdef int64_t switch(object value, str name) except? -1:
    """0 or 1, and here a bool says what it means."""
    return integer(int(value) if isinstance(value, bool) else value, name, 0, 1)
