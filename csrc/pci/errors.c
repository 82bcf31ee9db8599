/* errors.c: what went wrong on the bus, into Status, Device Status and Advanced Error Reporting. */
#include "pci/errors.h"

#include "base/bits.h"
#include "base/check.h"
#include "pci/config.h"

/* The TLP is not ours to know: a register access comes as a call, a completion as its status. */
static void errors_clear_header_log(struct pci_function *f)
{
    for (uint32_t i = 0; i < CFG_AER_HEADER_COUNT; i++) {
        regfile_set(&f->config, CFG_AER_HEADER + i * CFG_AER_HEADER_STRIDE, 0);
    }
}

static bool errors_has_first(const struct pci_function *f)
{
    const uint32_t first = regfile_get(&f->config, CFG_AER_CTRL) & AER_CTRL_FIRST_MASK;
    return (regfile_get(&f->config, CFG_AER_UNCOR_STATUS) >> first & 1u) != 0;
}

/* [PCI-40] A masked error sets its status bit and nothing else; the pointer and the log are the first
 * error's. */
static void errors_record(struct pci_function *f, uint32_t bit)
{
    const bool has_first = errors_has_first(f);
    config_set_bits(f, CFG_AER_UNCOR_STATUS, bit);
    if (has_first || config_is_set(f, CFG_AER_UNCOR_MASK, bit)) {
        return;
    }
    regfile_set(&f->config, CFG_AER_CTRL, bits_ctz(bit) << AER_CTRL_FIRST_SHIFT);
    errors_clear_header_log(f);
}

/* [PCI-38] PCIe 6.2.3.2.4: an error that another agent is to report is advisory here, and correctable. */
static void errors_record_advisory(struct pci_function *f, uint32_t bit)
{
    config_set_bits(f, CFG_DEVCTL, DEVCTL_CORRECTABLE_MASK);
    config_set_bits(f, CFG_AER_COR_STATUS, AER_COR_STATUS_ADVISORY_MASK);
    if (!config_is_set(f, CFG_AER_COR_MASK, AER_COR_MASK_ADVISORY_MASK)) {
        errors_record(f, bit);
    }
}

static void errors_record_uncorrectable(struct pci_function *f, uint32_t bit, bool may_be_advisory)
{
    const bool is_fatal = config_is_set(f, CFG_AER_UNCOR_SEVERITY, bit);
    if (may_be_advisory && !is_fatal) {
        errors_record_advisory(f, bit);
        return;
    }
    config_set_bits(f, CFG_DEVCTL, is_fatal ? DEVCTL_FATAL_MASK : DEVCTL_NONFATAL_MASK);
    errors_record(f, bit);
    if (!config_is_set(f, CFG_AER_UNCOR_MASK, bit) && config_is_set(f, CFG_COMMAND, COMMAND_SERR_MASK)) {
        config_set_bits(f, CFG_COMMAND, COMMAND_SIG_SERR_MASK);
    }
}

/* A completion with UR or CA is not an error of the requester: Status tells of it, AER does not (PCIe
 * 6.2.3.2.5). A poisoned completion is dropped and the card goes on, so it is advisory. */
void pci_log_dma_error(struct pci_function *f, enum vnic_dma_status status)
{
    switch (status) {
    case VNIC_DMA_UNSUPPORTED:
        config_set_bits(f, CFG_COMMAND, COMMAND_RCV_MASTER_ABORT_MASK);
        break;
    case VNIC_DMA_ABORTED:
        config_set_bits(f, CFG_COMMAND, COMMAND_RCV_TARGET_ABORT_MASK);
        break;
    case VNIC_DMA_POISONED:
        config_set_bits(f, CFG_COMMAND, COMMAND_PARITY_ERROR_MASK);
        if (config_is_set(f, CFG_COMMAND, COMMAND_PARITY_MASK)) {
            config_set_bits(f, CFG_COMMAND, COMMAND_MASTER_PARITY_MASK);
        }
        errors_record_uncorrectable(f, AER_UNCOR_STATUS_POISONED_MASK, true);
        break;
    case VNIC_DMA_TIMEOUT:
        errors_record_uncorrectable(f, AER_UNCOR_STATUS_TIMEOUT_MASK, false);
        break;
    case VNIC_DMA_OK:
    case VNIC_DMA_MASTER_OFF:
        break;
    }
}

/* A read is answered with UR, which its requester reports; a posted write is ours to report. */
void pci_log_unsupported(struct pci_function *f, bool is_posted)
{
    config_set_bits(f, CFG_DEVCTL, DEVCTL_UR_MASK);
    errors_record_uncorrectable(f, AER_UNCOR_STATUS_UR_MASK, !is_posted);
}

/* [PCI-48] What the mask keeps away is noted, and AER does not hear of it. */
void pci_log_channel_errors(struct pci_function *f, uint32_t bits)
{
    vnic_assert(f->identity.has_channel_errors);
    bits &= CHANERR_INT_ERRORS_MASK;
    config_set_bits(f, CFG_CHANERR_INT, bits);
    if ((bits & ~regfile_get(&f->config, CFG_CHANERRMSK_INT)) != 0) {
        errors_record_uncorrectable(f, AER_UNCOR_STATUS_INTERNAL_MASK, false);
    }
}

void errors_settle(struct pci_function *f)
{
    if (!errors_has_first(f)) {
        regfile_set(&f->config, CFG_AER_CTRL, 0);
    }
}

bool errors_are_sound(const struct pci_function *f)
{
    const bool can_be_internal = f->identity.has_channel_errors;
    if (!can_be_internal && config_is_set(f, CFG_AER_UNCOR_STATUS, AER_UNCOR_STATUS_INTERNAL_MASK)) {
        return false;
    }
    return regfile_get(&f->config, CFG_AER_CTRL) == 0 || errors_has_first(f);
}
