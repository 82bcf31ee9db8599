/* _access.h: register accesses as Python functions, at the price of a hand-written extension (a cffi call costs 4 of them).
 *
 * Part of the compiled module's own source, after Python.h. What Python sees of it is between the cdef markers.
 */

/* cdef begin */

/* What the accesses of one card share. Python owns the flags; the functions only look at them. */
struct vnic_access {
    vnic *card;              /* NULL: closed */
    uint8_t is_auto;         /* after an access, call settle when there is something to do */
    uint8_t is_listening;    /* somebody takes interrupts */
    uint8_t is_inside;       /* an observer or answer of this card is running: no access is allowed */
    uint8_t must_settle;     /* something waits that the card does not know of: an exception, an interrupt */
    uint32_t interrupts;     /* taken from the card, not yet dispatched */
    struct vnic_interrupt interrupt[64];
    void *settle, *closed_error, *inside_error; /* Python objects */
    unsigned holds;
};

/* Addresses of Python objects come as integers (`id()`). settle: called without arguments; errors: two exception types,
 * for a closed card and for an access from inside. NULL: no memory. */
struct vnic_access *vnic_access_create(vnic *card, uintptr_t settle, uintptr_t closed_error, uintptr_t inside_error);
/* Whether settle has something to do. Takes interrupts from the card when somebody listens. */
int vnic_access_has_work(struct vnic_access *access);
/* Puts read8 .. read64 and write8 .. write64 of a BAR into the dict at `names`; 0, or -1 without memory. */
int vnic_access_bind(struct vnic_access *access, unsigned bar, uintptr_t names);
/* Gives up the creator's hold; the functions that were bound keep theirs. */
void vnic_access_release(struct vnic_access *access);

/* cdef end */

struct access_window {
    struct vnic_access *access;
    unsigned bar;
};

struct vnic_access *vnic_access_create(vnic *card, uintptr_t settle, uintptr_t closed_error,
                                       uintptr_t inside_error)
{
    struct vnic_access *a = PyMem_Calloc(1, sizeof *a);

    if (a) {
        a->card = card;
        a->settle = Py_NewRef((PyObject *)settle);
        a->closed_error = Py_NewRef((PyObject *)closed_error);
        a->inside_error = Py_NewRef((PyObject *)inside_error);
        a->holds = 1;
    }
    return a;
}

void vnic_access_release(struct vnic_access *a)
{
    if (--a->holds == 0) {
        Py_DECREF(a->settle);
        Py_DECREF(a->closed_error);
        Py_DECREF(a->inside_error);
        PyMem_Free(a);
    }
}

/* The card, or NULL with an exception set. */
static inline vnic *access_enter(const struct vnic_access *a)
{
    if (!a->card) {
        PyErr_SetString(a->closed_error, "the device is closed");
        return NULL;
    }
    if (a->is_inside) {
        PyErr_SetString(a->inside_error, "an observer or answer must not use its own device");
        return NULL;
    }
    return a->card;
}

int vnic_access_has_work(struct vnic_access *a)
{
    if (a->must_settle || !a->is_auto) {
        return a->must_settle;
    }
    if (a->is_listening) {
        a->interrupts += (uint32_t)vnic_interrupts(a->card, a->interrupt + a->interrupts,
                                                   sizeof a->interrupt / sizeof *a->interrupt - a->interrupts);
    }
    return a->interrupts != 0 || vnic_runnable(a->card) != 0;
}

/* false: settle raised. */
static inline bool access_leave(struct vnic_access *a)
{
    PyObject *nothing;

    if (!vnic_access_has_work(a)) {
        return true;
    }
    nothing = PyObject_CallNoArgs(a->settle);
    Py_XDECREF(nothing);
    return nothing != NULL;
}

static inline bool access_number(PyObject *argument, uint64_t *number)
{
    *number = PyLong_AsUnsignedLongLong(argument);
    return *number != UINT64_MAX || !PyErr_Occurred();
}

static inline PyObject *access_read(PyObject *self, PyObject *argument, unsigned width)
{
    const struct access_window *w = PyCapsule_GetPointer(self, NULL);
    vnic *card = access_enter(w->access);
    uint64_t offset, value;

    if (!card || !access_number(argument, &offset)) {
        return NULL;
    }
    value = vnic_read(card, w->bar, offset, width);
    return access_leave(w->access) ? PyLong_FromUnsignedLongLong(value) : NULL;
}

static inline PyObject *access_write(PyObject *self, PyObject *const *arguments, Py_ssize_t count, unsigned width)
{
    const struct access_window *w = PyCapsule_GetPointer(self, NULL);
    vnic *card = access_enter(w->access);
    uint64_t offset, value;

    if (!card) {
        return NULL;
    }
    if (count != 2) {
        return PyErr_Format(PyExc_TypeError, "write%u takes an offset and a value", width * 8);
    }
    if (!access_number(arguments[0], &offset) || !access_number(arguments[1], &value)) {
        return NULL;
    }
    if (width < 8 && value >> (width * 8)) {
        return PyErr_Format(PyExc_OverflowError, "%llu does not fit in %u bits", (unsigned long long)value, width * 8);
    }
    vnic_write(card, w->bar, offset, width, value);
    return access_leave(w->access) ? Py_NewRef(Py_None) : NULL;
}

#define ACCESS_WIDTH(bits)                                                                                  \
    static PyObject *access_read##bits(PyObject *self, PyObject *argument)                                  \
    {                                                                                                       \
        return access_read(self, argument, (bits) / 8);                                                     \
    }                                                                                                       \
    static PyObject *access_write##bits(PyObject *self, PyObject *const *arguments, Py_ssize_t count)       \
    {                                                                                                       \
        return access_write(self, arguments, count, (bits) / 8);                                            \
    }
ACCESS_WIDTH(8)
ACCESS_WIDTH(16)
ACCESS_WIDTH(32)
ACCESS_WIDTH(64)

#define ACCESS_READ(bits) {"read" #bits, access_read##bits, METH_O, "The " #bits " bits at an offset."}
#define ACCESS_WRITE(bits) \
    {"write" #bits, (PyCFunction)(void (*)(void))access_write##bits, METH_FASTCALL, "Write (offset, value)."}

static PyMethodDef access_functions[] = {
    ACCESS_READ(8),  ACCESS_READ(16),  ACCESS_READ(32),  ACCESS_READ(64),
    ACCESS_WRITE(8), ACCESS_WRITE(16), ACCESS_WRITE(32), ACCESS_WRITE(64),
};

static void access_drop(PyObject *capsule)
{
    struct access_window *w = PyCapsule_GetPointer(capsule, NULL);

    vnic_access_release(w->access);
    PyMem_Free(w);
}

static PyObject *access_window(struct vnic_access *a, unsigned bar)
{
    struct access_window *w = PyMem_Malloc(sizeof *w);
    PyObject *capsule = w ? PyCapsule_New(w, NULL, access_drop) : NULL;

    if (!capsule) {
        PyMem_Free(w);
        return NULL;
    }
    w->access = a;
    w->bar = bar;
    a->holds++;
    return capsule;
}

int vnic_access_bind(struct vnic_access *a, unsigned bar, uintptr_t names)
{
    PyObject *window = access_window(a, bar);
    int result = window ? 0 : -1;

    for (size_t i = 0; result == 0 && i < sizeof access_functions / sizeof *access_functions; i++) {
        PyObject *function = PyCFunction_NewEx(&access_functions[i], window, NULL);

        result = function ? PyDict_SetItemString((PyObject *)names, access_functions[i].ml_name, function) : -1;
        Py_XDECREF(function);
    }
    Py_XDECREF(window);
    PyErr_Clear();
    return result;
}
