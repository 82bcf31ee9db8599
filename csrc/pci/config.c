/* config.c: configuration space: identity, BARs, and what a write to it sets in motion. */
#include "pci/config.h"

#include "base/check.h"
#include "pci/disturb.h"
#include "pci/errors.h"
#include "pci/interrupt.h"

#define CONFIG_BYTES 4096u
#define CONFIG_BAR_64BIT 0x4u         /* memory, 64-bit, not prefetchable */
#define CONFIG_MULTI_FUNCTION 0x00800000u
#define CONFIG_D0 0u
#define CONFIG_D3HOT 3u

/* --- identity */

/* The words that have something of it. */
static const uint16_t config_identity_words[] = {CFG_ID,        CFG_CLASS,      CFG_HEADER,
                                                 CFG_SUBSYSTEM, CFG_INTERRUPT,  CFG_MSI_CTRL,
                                                 CFG_MSIX_CTRL, CFG_MSIX_TABLE, CFG_MSIX_PBA};

/* Bits that this function's identity adds to the reset value of a word. */
static uint32_t config_identity_bits(const struct pci_identity *id, uint32_t offset)
{
    switch (offset) {
    case CFG_ID:
        return (uint32_t)id->device << ID_DEVICE_SHIFT | id->vendor;
    case CFG_CLASS:
        return id->class_code << CLASS_CLASS_SHIFT | id->revision;
    case CFG_HEADER:
        return id->is_multifunction ? CONFIG_MULTI_FUNCTION : 0;
    case CFG_SUBSYSTEM:
        return (uint32_t)id->subsystem << SUBSYSTEM_ID_SHIFT | id->subsystem_vendor;
    case CFG_INTERRUPT:
        return (uint32_t)id->interrupt_pin << INTERRUPT_PIN_SHIFT;
    case CFG_MSI_CTRL:
        return (uint32_t)id->msi_capable_log2 << MSI_CTRL_CAPABLE_SHIFT;
    case CFG_MSIX_CTRL:
        return (id->vectors - 1u) << MSIX_CTRL_TABLE_SIZE_SHIFT;
    case CFG_MSIX_TABLE:
        return id->msix_table_offset | id->msix_bar;
    case CFG_MSIX_PBA:
        return id->msix_pba_offset | id->msix_bar;
    default:
        return 0;
    }
}

/* [PCI-5] What BAR i holds when value is written: address bits above its size, then its type. */
static uint32_t config_bar_value(const struct pci_identity *id, unsigned i, uint32_t value)
{
    if (id->bar_bytes[i] != 0) {
        return (value & ~(id->bar_bytes[i] - 1)) | CONFIG_BAR_64BIT;
    }
    return i > 0 && id->bar_bytes[i - 1] != 0 ? value : 0;
}

static void config_identify(struct pci_function *f)
{
    for (unsigned i = 0; i < sizeof config_identity_words / sizeof config_identity_words[0]; i++) {
        const uint32_t offset = config_identity_words[i];
        config_set_bits(f, offset, config_identity_bits(&f->identity, offset));
    }
    for (unsigned i = 0; i < PCI_BARS; i++) {
        regfile_set(&f->config, CFG_BAR + 4 * i, config_bar_value(&f->identity, i, 0));
    }
}

uint64_t config_bar_base(const struct pci_function *f, unsigned bar)
{
    return regfile_get64(&f->config, CFG_BAR + 4 * bar) & ~((uint64_t)f->identity.bar_bytes[bar] - 1);
}

/* --- register hooks */

static uint32_t config_on_read(void *owner, const struct reg_ref *ref, uint32_t stored, uint32_t enabled)
{
    const struct pci_function *f = owner;
    (void)enabled;
    switch (ref->reg) {
    case CFGID_COMMAND:
        return stored | (interrupt_is_line_pending(f) ? COMMAND_INTX_STATUS_MASK : 0);
    case CFGID_MSI_PENDING:
        return f->msi_pending;
    default:
        return stored;
    }
}

/* [PCI-18] A PowerState that the function lacks is ignored; the other fields of the write count. */
static void config_check_power(struct pci_function *f, uint32_t old, uint32_t now)
{
    const uint32_t state = now & PM_CTRL_STATE_MASK;
    if (state != CONFIG_D0 && state != CONFIG_D3HOT) {
        regfile_set(&f->config, CFG_PM_CTRL, (now & ~PM_CTRL_STATE_MASK) | (old & PM_CTRL_STATE_MASK));
    }
}

static void config_on_write(void *owner, const struct reg_ref *ref, uint32_t old, uint32_t now,
                            uint32_t pulses, uint32_t written)
{
    struct pci_function *f = owner;
    (void)written;
    switch (ref->reg) {
    case CFGID_BAR:
        regfile_set(&f->config, ref->offset,
                    config_bar_value(&f->identity, (ref->offset - CFG_BAR) / 4, now));
        break;
    case CFGID_PM_CTRL:
        config_check_power(f, old, now);
        break;
    case CFGID_DEVCTL:
        f->wants_flr = (pulses & DEVCTL_FLR_MASK) != 0;
        break;
    default:
        break;
    }
}

static const struct regfile_ops config_ops = {.on_read = config_on_read, .on_write = config_on_write};

/* --- life */

/* [PCI-47] The generated map; the errors of channels are no registers of a function that has none. */
static void config_build_map(struct pci_function *f)
{
    vnic_assert(pci_config_map.spans == PCI_CONFIG_SPANS);
    for (uint32_t s = 0; s < PCI_CONFIG_SPANS; s++) {
        f->config_span[s] = pci_config_map.span[s];
        if (f->config_span[s].base == CFG_CHANERR_INT && !f->identity.has_channel_errors) {
            f->config_span[s].count = 0;
        }
    }
    f->config_map = pci_config_map;
    f->config_map.span = f->config_span;
}

int config_create(struct pci_function *f)
{
    config_build_map(f);
    const int result = regfile_create(&f->config, &f->config_map, &config_ops, f);
    if (result == VNIC_OK) {
        f->config.has_identity = true;
        config_identify(f);
    }
    return result;
}

/* [PCI-21] PCIe 6.6.2: besides the sticky fields an FLR leaves Max_Payload_Size, ASPM and Common Clock
 * alone, for the link is shared with what is not reset. */
void config_reset(struct pci_function *f, enum pci_reset level)
{
    const bool is_flr = level == PCI_RESET_FLR;
    const uint32_t shared = LNKCTL_ASPM_MASK | LNKCTL_COMMON_CLOCK_MASK;
    const uint32_t payload = is_flr ? regfile_get(&f->config, CFG_DEVCTL) & DEVCTL_MPS_MASK : 0;
    const uint32_t link = is_flr ? regfile_get(&f->config, CFG_LNKCTL) & shared : 0;
    regfile_reset(&f->config, level != PCI_RESET_POWER);
    config_identify(f);
    config_set_bits(f, CFG_DEVCTL, payload);
    config_set_bits(f, CFG_LNKCTL, link);
}

/* --- accesses */

/* A configuration request names bytes of one dword. */
static bool config_is_access(uint32_t offset, unsigned width)
{
    return (width == 1 || width == 2 || width == 4) && offset < CONFIG_BYTES && offset % 4 + width <= 4;
}

static uint32_t config_ones(unsigned width)
{
    return width == 1 || width == 2 ? (1u << 8 * width) - 1 : UINT32_MAX;
}

static void config_emit(const struct pci_function *f, enum vnic_event_type type, uint32_t offset,
                        unsigned width, uint32_t value)
{
    struct vnic_event event = {.type = (uint8_t)type,
                               .width = (uint8_t)(width > UINT8_MAX ? UINT8_MAX : width),
                               .addr = offset,
                               .value = value};
    pci_emit(f, &event);
}

uint32_t pci_config_read(struct pci_function *f, uint32_t offset, unsigned width)
{
    uint32_t value = config_ones(width);
    if (!f->is_removed && config_is_access(offset, width)) {
        value = (uint32_t)regfile_read(&f->config, offset, width);
    }
    config_emit(f, VNIC_EVENT_CFG_READ, offset, width, value);
    return value;
}

/* After a write has taken effect on the words: resets first, for they undo the rest. */
static void config_settle(struct pci_function *f, bool was_d0, const struct interrupt_view *before)
{
    errors_settle(f);
    if (f->wants_flr) {
        pci_reset(f, PCI_RESET_FLR);
        return;
    }
    if (!was_d0 && pci_is_d0(f)) {
        pci_reset(f, PCI_RESET_D3); /* [PCI-20] No_Soft_Reset is 0 */
        return;
    }
    pci_refresh(f);
    interrupt_settle(f);
    if (interrupt_has_changed(f, before)) {
        f->ops->on_interrupt_mode(f->owner);
    }
}

void pci_config_write(struct pci_function *f, uint32_t offset, unsigned width, uint32_t value)
{
    config_emit(f, VNIC_EVENT_CFG_WRITE, offset, width, value);
    if (f->is_removed || !config_is_access(offset, width)) {
        return;
    }
    const bool was_d0 = pci_is_d0(f);
    struct interrupt_view before;
    interrupt_look(f, &before);
    regfile_write(&f->config, offset, width, value);
    config_settle(f, was_d0, &before);
    pci_settle_leaving(f);
}

/* --- snapshot */

/* Bits that no access changes are those of reset and identity; the First Error Pointer is checked with its
 * status. */
static bool config_are_fixed_bits_sound(const struct pci_function *f)
{
    for (uint32_t offset = 0; offset < f->config.map->size; offset += 4) {
        const uint32_t fixed = regfile_fixed_bits(&f->config, offset);
        const uint32_t expected =
            regfile_reset_value(&f->config, offset) | config_identity_bits(&f->identity, offset);
        if (offset != CFG_AER_CTRL && ((regfile_get(&f->config, offset) ^ expected) & fixed) != 0) {
            return false;
        }
    }
    return true;
}

bool config_is_sound(const struct pci_function *f)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        const uint32_t value = regfile_get(&f->config, CFG_BAR + 4 * i);
        if (config_bar_value(&f->identity, i, value) != value) {
            return false;
        }
    }
    const uint32_t state = regfile_get(&f->config, CFG_PM_CTRL) & PM_CTRL_STATE_MASK;
    return (state == CONFIG_D0 || state == CONFIG_D3HOT) && config_are_fixed_bits_sound(f)
           && errors_are_sound(f);
}
