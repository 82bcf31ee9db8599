/* vnic_driver.h: what a C driver is given: a bus, as a table of operations. It knows no card and no test bench. */
#ifndef VNIC_VNIC_DRIVER_H
#define VNIC_VNIC_DRIVER_H

#include <stddef.h>
#include <stdint.h>

enum vnic_bus_direction { VNIC_BUS_TO_DEVICE = 1, VNIC_BUS_FROM_DEVICE = 2, VNIC_BUS_BIDIRECTIONAL = 3 };

typedef void (*vnic_bus_handler)(void *context, unsigned vector);

struct vnic_bus_ops {
    uint32_t (*config_read)(void *bus, uint32_t offset, unsigned width);
    void (*config_write)(void *bus, uint32_t offset, unsigned width, uint32_t value);
    uint64_t (*read)(void *bus, unsigned bar, uint64_t offset, unsigned width);
    void (*write)(void *bus, unsigned bar, uint64_t offset, unsigned width, uint64_t value);
    /* Zeroed memory that driver and device see coherently; NULL when there is none. Aligned to 4 KiB. */
    void *(*alloc_coherent)(void *bus, size_t len, uint64_t *addr);
    void (*free_coherent)(void *bus, void *memory, size_t len, uint64_t addr);
    /* Streaming: the bus address of memory while it is mapped; UINT64_MAX when it cannot be. */
    uint64_t (*map)(void *bus, void *memory, size_t len, enum vnic_bus_direction direction);
    void (*unmap)(void *bus, uint64_t addr, size_t len, enum vnic_bus_direction direction);
    /* Vectors as the system granted them: 0 is the line when neither MSI nor MSI-X is to be had. */
    int (*alloc_vectors)(void *bus, unsigned min, unsigned max);
    int (*request_irq)(void *bus, unsigned vector, vnic_bus_handler handler, void *context);
    void (*free_irq)(void *bus, unsigned vector);
    void (*delay_ns)(void *bus, uint64_t ns); /* lets virtual time pass */
};

struct vnic_bus {
    const struct vnic_bus_ops *ops;
    void *opaque;
};

#endif
