# Integers from outside: refused by name and bounds, never truncated (a C argument would turn 1.9 into 1 silently).

cdef int64_t integer(object value, str name, int64_t low, int64_t high) except? -1:
    """`value` when it is an int between the bounds; a bool is a mistake, not a number."""
    if isinstance(value, bool) or not PyIndex_Check(value):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    value = PyNumber_Index(value)
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, not {value}")
    return value
