/* The one thing of CPython's that Cython has no word for: the am_send slot (PEP 620's successor of __next__ for awaits). */
#ifndef CONTROLPLANE_PYTHON_H
#define CONTROLPLANE_PYTHON_H

#include <Python.h>

typedef int (*sender)(PyObject *, PyObject *, PyObject **);

static inline void give_send(PyTypeObject *type, sender send) {
    type->tp_as_async->am_send = (sendfunc)(void (*)(void))send;
    PyType_Modified(type);
}

#endif
