/* A small Python int as 64 bits, without a call: what a measured value nearly always is. Everything else is for the
 * careful way (arguments.pxi), which costs a few ns more.
 */
#ifndef CONTROLPLANE_EXACT_H
#define CONTROLPLANE_EXACT_H

#include <Python.h>
#include <stdint.h>

/* 1 where `value` is an int of one digit (30 bits), and no bool; it is then in `number`. */
static inline int exact_small(PyObject *value, int64_t *number) {
    if (!PyLong_CheckExact(value)) return 0;
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)value)) return 0;
    *number = PyUnstable_Long_CompactValue((PyLongObject *)value);
#else
    if ((size_t)Py_SIZE(value) > 1) return 0; /* the size of a negative int is negative */
    *number = Py_SIZE(value) * (int64_t)((PyLongObject *)value)->ob_digit[0];
#endif
    return 1;
}

#endif
