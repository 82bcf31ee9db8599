/* kept_copy.c: what a target does to a copy engine, and what comes of it. */
#include <vnic/vnic_copy.h>

#define DEVICE vnic_copy
#define OF(x) vnic_copy_##x
#define NAME(x) "vnic_copy_" #x
#include "kept_function.h"
