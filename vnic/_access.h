/* _access.h: register accesses as methods of a Python type: each at the price of a C method, a fourth of a cffi call's.
 *
 * Part of the compiled module's own source, after Python.h. What Python sees of it is between the cdef markers.
 */

/* cdef begin */

/* What the windows of one PCI function share. Python owns the flags; the methods only look at them. */
struct vnic_access {
    void *function; /* NULL: closed */
    const struct vnic_access_calls *calls; /* NULL: it is a card */
    uint8_t is_auto; /* after an access, call settle when there is something to do */
    uint8_t is_listening; /* somebody takes interrupts */
    uint8_t is_inside; /* an observer or answer of this function is running: no access is allowed */
    uint8_t must_settle; /* something waits that the function does not know of: an exception, an interrupt */
    uint32_t interrupts; /* taken from the function, not yet dispatched */
    struct vnic_interrupt interrupt[64];
    void *settle, *closed_error, *inside_error; /* Python objects */
    unsigned holds;
};

/* Addresses of Python objects come as integers (`id()`). settle: called without arguments; errors: two exception types,
 * for a closed function and for an access from inside. NULL: no memory. */
struct vnic_access *vnic_access_to_card(vnic *card, uintptr_t settle, uintptr_t closed_error,
                                        uintptr_t inside_error);
struct vnic_access *vnic_access_to_copy(vnic_copy *engine, uintptr_t settle, uintptr_t closed_error,
                                        uintptr_t inside_error);
/* Gives up the creator's hold; windows keep theirs. */
void vnic_access_release(struct vnic_access *access);
/* Whether settle has something to do after an input; after a read: that can move the line, but makes no engine run.
 * Takes interrupts from the function when somebody listens. */
int vnic_access_has_work(struct vnic_access *access);
int vnic_access_has_news(struct vnic_access *access);

/* Makes the type of windows and puts it into the dict at `names` as "Window"; 0, or -1 without memory. */
int vnic_window_type(uintptr_t names);
/* Opens a new window (or an object of a derived class) on a BAR. */
void vnic_window_open(uintptr_t window, struct vnic_access *access, unsigned bar);

/* cdef end */

struct window {
    PyObject_HEAD struct vnic_access *access; /* NULL: not opened */
    unsigned bar;
};

/* What an access does to a function that is not a card. The card's accesses are direct calls: a branch that always goes
 * the same way costs them nothing, a call through a pointer would. */
struct vnic_access_calls {
    uint64_t (*read)(void *function, unsigned bar, uint64_t offset, unsigned width);
    void (*write)(void *function, unsigned bar, uint64_t offset, unsigned width, uint64_t value);
    size_t (*interrupts)(void *function, struct vnic_interrupt *interrupts, size_t max);
    uint32_t (*runnable)(const void *function);
};

static uint64_t copy_read(void *engine, unsigned bar, uint64_t offset, unsigned width)
{
    return vnic_copy_read(engine, bar, offset, width);
}

static void copy_write(void *engine, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    vnic_copy_write(engine, bar, offset, width, value);
}

static size_t copy_interrupts(void *engine, struct vnic_interrupt *interrupts, size_t max)
{
    return vnic_copy_interrupts(engine, interrupts, max);
}

static uint32_t copy_runnable(const void *engine)
{
    return vnic_copy_runnable(engine);
}

static const struct vnic_access_calls copy_calls = {copy_read, copy_write, copy_interrupts, copy_runnable};

static inline bool access_is_card(const struct vnic_access *a)
{
    return __builtin_expect(!a->calls, 1);
}

static inline uint64_t access_read(struct vnic_access *a, unsigned bar, uint64_t offset, unsigned width)
{
    return access_is_card(a) ? vnic_read(a->function, bar, offset, width)
                             : a->calls->read(a->function, bar, offset, width);
}

static inline void access_write(struct vnic_access *a, unsigned bar, uint64_t offset, unsigned width,
                                uint64_t value)
{
    if (access_is_card(a)) {
        vnic_write(a->function, bar, offset, width, value);
    } else {
        a->calls->write(a->function, bar, offset, width, value);
    }
}

static inline size_t access_interrupts(struct vnic_access *a, struct vnic_interrupt *interrupts, size_t max)
{
    return access_is_card(a) ? vnic_interrupts(a->function, interrupts, max)
                             : a->calls->interrupts(a->function, interrupts, max);
}

static inline bool access_is_runnable(const struct vnic_access *a)
{
    return (access_is_card(a) ? vnic_runnable(a->function) : a->calls->runnable(a->function)) != 0;
}

static struct vnic_access *access_create(void *function, const struct vnic_access_calls *calls,
                                         uintptr_t settle, uintptr_t closed_error, uintptr_t inside_error)
{
    struct vnic_access *a = PyMem_Calloc(1, sizeof *a);

    if (a) {
        a->function = function;
        a->calls = calls;
        a->settle = Py_NewRef((PyObject *)settle);
        a->closed_error = Py_NewRef((PyObject *)closed_error);
        a->inside_error = Py_NewRef((PyObject *)inside_error);
        a->holds = 1;
    }
    return a;
}

struct vnic_access *vnic_access_to_card(vnic *card, uintptr_t settle, uintptr_t closed_error,
                                        uintptr_t inside_error)
{
    return access_create(card, NULL, settle, closed_error, inside_error);
}

struct vnic_access *vnic_access_to_copy(vnic_copy *engine, uintptr_t settle, uintptr_t closed_error,
                                        uintptr_t inside_error)
{
    return access_create(engine, &copy_calls, settle, closed_error, inside_error);
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

/* The access of an open window whose function may be used now, or NULL with an exception set. */
static inline struct vnic_access *window_enter(const struct window *w)
{
    struct vnic_access *a = w->access;

    if (!a) {
        PyErr_SetString(PyExc_ValueError, "the window was not opened");
        return NULL;
    }
    if (!a->function) {
        PyErr_SetString(a->closed_error, "the device is closed");
        return NULL;
    }
    if (a->is_inside) {
        PyErr_SetString(a->inside_error, "an observer or answer must not use its own device");
        return NULL;
    }
    return a;
}

int vnic_access_has_news(struct vnic_access *a)
{
    if (a->is_auto && a->is_listening) {
        a->interrupts += (uint32_t)access_interrupts(
            a, a->interrupt + a->interrupts, sizeof a->interrupt / sizeof *a->interrupt - a->interrupts);
    }
    return a->must_settle || a->interrupts != 0;
}

int vnic_access_has_work(struct vnic_access *a)
{
    return vnic_access_has_news(a) || (a->is_auto && access_is_runnable(a));
}

/* false: settle raised. */
static bool access_settle(struct vnic_access *a)
{
    PyObject *nothing = PyObject_CallNoArgs(a->settle);

    Py_XDECREF(nothing);
    return nothing != NULL;
}

static inline bool window_number(PyObject *argument, uint64_t *number)
{
    *number = PyLong_AsUnsignedLongLong(argument);
    return *number != UINT64_MAX || !PyErr_Occurred();
}

static inline PyObject *window_read(PyObject *self, PyObject *argument, unsigned width)
{
    const struct window *w = (const struct window *)self;
    struct vnic_access *a = window_enter(w);
    uint64_t offset, value;

    if (!a || !window_number(argument, &offset)) {
        return NULL;
    }
    value = access_read(a, w->bar, offset, width);
    if (vnic_access_has_news(a) && !access_settle(a)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(value);
}

static inline PyObject *window_write(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                     unsigned width)
{
    const struct window *w = (const struct window *)self;
    struct vnic_access *a = window_enter(w);
    uint64_t offset, value;

    if (!a) {
        return NULL;
    }
    if (count != 2) {
        return PyErr_Format(PyExc_TypeError, "write%u takes an offset and a value", width * 8);
    }
    if (!window_number(arguments[0], &offset) || !window_number(arguments[1], &value)) {
        return NULL;
    }
    if (width < 8 && value >> (width * 8)) {
        return PyErr_Format(PyExc_OverflowError, "%llu does not fit in %u bits", (unsigned long long)value,
                            width * 8);
    }
    access_write(a, w->bar, offset, width, value);
    if (vnic_access_has_work(a) && !access_settle(a)) {
        return NULL;
    }
    return Py_NewRef(Py_None);
}

#define WINDOW_WIDTH(bits)                                                                                   \
    static PyObject *window_read##bits(PyObject *self, PyObject *argument)                                   \
    {                                                                                                        \
        return window_read(self, argument, (bits) / 8);                                                      \
    }                                                                                                        \
    static PyObject *window_write##bits(PyObject *self, PyObject *const *arguments, Py_ssize_t count)        \
    {                                                                                                        \
        return window_write(self, arguments, count, (bits) / 8);                                             \
    }
WINDOW_WIDTH(8)
WINDOW_WIDTH(16)
WINDOW_WIDTH(32)
WINDOW_WIDTH(64)

#define WINDOW_READ(bits) {"read" #bits, window_read##bits, METH_O, "The " #bits " bits at an offset."}
#define WINDOW_WRITE(bits)                                                                                   \
    {"write" #bits, (PyCFunction)(void (*)(void))window_write##bits, METH_FASTCALL, "Write (offset, value)."}

static PyMethodDef window_methods[] = {
    WINDOW_READ(8),   WINDOW_READ(16),  WINDOW_READ(32),
    WINDOW_READ(64),  WINDOW_WRITE(8),  WINDOW_WRITE(16),
    WINDOW_WRITE(32), WINDOW_WRITE(64), {0},
};

static void window_drop(PyObject *self)
{
    struct window *w = (struct window *)self;
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    if (w->access) {
        vnic_access_release(w->access);
    }
    release(self);
    Py_DECREF(type);
}

static PyType_Slot window_slots[] = {
    {Py_tp_doc, (void *)"The accesses of one BAR."},
    {Py_tp_methods, window_methods},
    {Py_tp_dealloc, (void *)window_drop},
    {0, NULL},
};

static PyType_Spec window_spec = {
    .name = "vnic._core.Window",
    .basicsize = sizeof(struct window),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = window_slots,
};

int vnic_window_type(uintptr_t names)
{
    PyObject *type = PyType_FromSpec(&window_spec);
    int result = type ? PyDict_SetItemString((PyObject *)names, "Window", type) : -1;

    Py_XDECREF(type);
    PyErr_Clear();
    return result;
}

void vnic_window_open(uintptr_t window, struct vnic_access *access, unsigned bar)
{
    struct window *w = (struct window *)window;

    if (w->access) {
        vnic_access_release(w->access);
    }
    access->holds++;
    w->access = access;
    w->bar = bar;
}
