/* hostile.c: the example driver, but for one thing that it does wrong: the one that HOSTILE names in the environment. */
#include <signal.h>
#include <stdlib.h>

#define vnic_driver_entry minimal_entry
#include "minimal.c"
#undef vnic_driver_entry

static bool is(const char *act)
{
    const char *wanted = getenv("HOSTILE");

    return wanted && !strcmp(wanted, act);
}

static void complete(struct minimal *m, struct vnic_net_buffer_list *chain)
{
    m->plain.ops->send_net_buffer_lists_complete(m->plain.ndis->adapter, chain, 0);
}

/* What is wrong before the send is completed. */
static void spoil(struct minimal *m, struct vnic_net_buffer_list *chain)
{
    const struct vnic_bus *bus = &m->plain.ndis->bus;
    struct vnic_segment segment = {0x123000, 64};
    uint8_t stack[64];

    if (is("status")) {
        chain->status = 0x12345;
    } else if (is("packet")) {
        chain->first_net_buffer->data_length--;
    } else if (is("mdl")) {
        chain->first_net_buffer->mdl_chain->len--;
    } else if (is("data")) {
        chain->first_net_buffer->mdl_chain->data[0] ^= 1;
    } else if (is("map stack")) {
        bus->ops->map(bus->opaque, stack, sizeof stack, VNIC_BUS_TO_DEVICE, &segment, 1);
    } else if (is("unmap")) {
        bus->ops->unmap(bus->opaque, &segment, 1, VNIC_BUS_TO_DEVICE);
    } else if (is("direction")) {
        bus->ops->unmap(bus->opaque, &segment, 1, (enum vnic_bus_direction)7);
    } else if (is("wide")) {
        bus->ops->write(bus->opaque, 0, REG_TEST_ECHO, 4, 1ull << 32);
    } else if (is("coherent")) {
        bus->ops->free_coherent(bus->opaque, m->mem, 64, m->plain.shared_addr);
    } else if (is("mdl over stack")) {
        m->plain.ops->alloc_mdl(m->plain.ndis->adapter, stack, sizeof stack);
    } else if (is("timer")) {
        m->plain.ops->set_timer(m->plain.ndis->adapter, m->plain.lock, 1000, 0);
    } else if (is("null link")) {
        m->plain.ops->indicate_link_state(m->plain.ndis->adapter, NULL);
    } else if (is("null routine")) {
        m->plain.ops->queue_work_item(m->plain.ndis->adapter, NULL, m);
    } else if (is("many segments")) {
        bus->ops->unmap(bus->opaque, &segment, UINT32_MAX, VNIC_BUS_TO_DEVICE);
    } else if (is("lock")) {
        m->plain.ops->release_spin_lock(m->plain.ndis->adapter, m->plain.lock);
    } else if (is("lock kept")) {
        m->plain.ops->acquire_spin_lock(m->plain.ndis->adapter, m->plain.lock);
    }
}

static void free_twice(struct minimal *m, struct vnic_net_buffer_list *chain)
{
    const struct vnic_sg_list *list;
    void *memory;

    if (is("sg list")) {
        list = m->plain.ops->alloc_net_buffer_sg_list(m->plain.ndis->adapter, chain->first_net_buffer);
        m->plain.ops->free_net_buffer_sg_list(m->plain.ndis->adapter, list);
        m->plain.ops->free_net_buffer_sg_list(m->plain.ndis->adapter, list);
    } else if (is("memory")) {
        memory = m->plain.ops->alloc_memory(m->plain.ndis->adapter, 100, 16);
        m->plain.ops->free_memory(m->plain.ndis->adapter, memory);
        m->plain.ops->free_memory(m->plain.ndis->adapter, memory);
    } else if (is("list")) {
        m->plain.ops->free_net_buffer_list(m->plain.ndis->adapter, chain);
    }
}

static void hostile_send(void *context, struct vnic_net_buffer_list *chain, uint32_t port, uint32_t flags)
{
    static struct vnic_net_buffer_list foreign;
    struct minimal *m = context;

    (void)port, (void)flags;
    chain->status = NDIS_STATUS_SUCCESS;
    spoil(m, chain);
    free_twice(m, chain);
    if (is("crash")) {
        raise(SIGSEGV);
    } else if (is("foreign")) {
        complete(m, &foreign);
    } else if (is("cycle")) {
        chain->next = chain;
    } else if (is("handle")) {
        m->plain.ops->send_net_buffer_lists_complete(m, chain, 0);
    }
    complete(m, chain);
    if (is("twice")) {
        complete(m, chain);
    } else if (is("late")) {
        chain->status = 1;
    }
}

static uint32_t hostile_oid(void *context, struct vnic_oid_request *request)
{
    struct minimal *m = context;
    uint32_t status = vnic_plain_oid_request(context, request);

    if (request->oid != OID_GEN_VENDOR_ID) {
        return status;
    }
    if (is("overflow")) {
        ((uint8_t *)request->information_buffer)[request->information_buffer_length] = 1;
    } else if (is("oid status")) {
        return 0x12345;
    } else if (is("oid twice")) {
        m->plain.ops->oid_request_complete(m->plain.ndis->adapter, request, status);
    } else if (is("oid foreign")) {
        m->plain.ops->oid_request_complete(m->plain.ndis->adapter, (struct vnic_oid_request *)context,
                                           status);
    }
    return status;
}

static void hostile_dpc(void *context, uint32_t message, uint32_t processor, void *dpc_context)
{
    static struct vnic_net_buffer_list foreign;
    struct minimal *m = context;
    struct vnic_net_buffer_list *list = m->receives[0].list;
    bool is_lent;

    if (is("indicate foreign")) {
        m->plain.ops->indicate_receive_net_buffer_lists(m->plain.ndis->adapter, &foreign, 0, 1, 0);
    } else if (is("indicate two buffers")) {
        list->first_net_buffer->next = m->receives[1].list->first_net_buffer;
        m->plain.ops->indicate_receive_net_buffer_lists(m->plain.ndis->adapter, list, 0, 1, 0);
    }
    vnic_plain_interrupt_dpc(context, message, processor, dpc_context);
    is_lent = m->receives[0].is_lent;
    if (is_lent && is("written while lent")) {
        list->first_net_buffer->data_length = 42;
    } else if (is_lent && is("indicated twice")) {
        m->plain.ops->indicate_receive_net_buffer_lists(m->plain.ndis->adapter, list, 0, 1, 0);
    } else if (is_lent && is("freed while lent")) {
        m->plain.ops->free_net_buffer_list(m->plain.ndis->adapter, list);
    }
}

static uint32_t hostile_pause(void *context, uint32_t flags)
{
    return is("pause status") ? 0x12345 : vnic_plain_pause(context, flags);
}

static void hostile_halt(void *context, uint32_t action)
{
    struct minimal *m = context;

    if (is("leak")) {
        m->plain.ops->alloc_net_buffer_list(m->plain.ndis->adapter, NULL, 0, 0);
    } else if (is("leaked lock")) {
        m->plain.ops->alloc_spin_lock(m->plain.ndis->adapter);
    }
    vnic_plain_halt(context, action);
}

/* HOSTILE_TABLE: what is wrong with the table itself. */
const struct vnic_miniport *vnic_driver_entry(uint32_t abi)
{
    static struct vnic_miniport table;
    const char *wrong = getenv("HOSTILE_TABLE");

    table = *minimal_entry(abi);
    table.send_net_buffer_lists = getenv("HOSTILE") ? hostile_send : vnic_plain_send;
    table.oid_request = hostile_oid;
    table.interrupt_dpc = hostile_dpc;
    table.pause = hostile_pause;
    table.halt_ex = hostile_halt;
    if (wrong && !strcmp(wrong, "null")) {
        return NULL;
    }
    table.abi += wrong && !strcmp(wrong, "abi");
    table.size -= wrong && !strcmp(wrong, "size");
    table.ndis_major -= wrong && !strcmp(wrong, "ndis");
    table.context_bytes += wrong && !strcmp(wrong, "context") ? SIZE_MAX / 2 : 0;
    table.restart = wrong && !strcmp(wrong, "entry") ? NULL : table.restart;
    return &table;
}
