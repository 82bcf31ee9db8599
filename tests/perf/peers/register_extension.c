/* The register file as a hand-written CPython extension type: read32 is a one-argument (METH_O) method. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "register_read.h"

struct registers_object {
    PyObject_HEAD struct registers *registers;
};

static PyObject *object_read32(PyObject *self, PyObject *argument)
{
    unsigned long long offset = PyLong_AsUnsignedLongLong(argument);

    if (offset == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(registers_read32(((struct registers_object *)self)->registers, offset));
}

static PyObject *object_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    struct registers_object *self = (struct registers_object *)type->tp_alloc(type, 0);

    (void)arguments, (void)keywords;
    if (!self) {
        return NULL;
    }
    self->registers = registers_create();
    if (!self->registers) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void object_free(PyObject *self)
{
    free(((struct registers_object *)self)->registers);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef object_methods[] = {
    {"read32", object_read32, METH_O, "The register at a byte offset."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject object_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "register_extension.Registers",
    .tp_basicsize = sizeof(struct registers_object),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = object_methods,
    .tp_new = object_new,
    .tp_dealloc = object_free,
};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "register_extension",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit_register_extension(void)
{
    PyObject *module;

    if (PyType_Ready(&object_type) < 0) {
        return NULL;
    }
    module = PyModule_Create(&module_definition);
    if (module && PyModule_AddObjectRef(module, "Registers", (PyObject *)&object_type) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
