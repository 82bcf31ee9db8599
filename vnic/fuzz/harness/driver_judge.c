/* driver_judge.c: tells which rule a driver broke, and which statuses there are. */
#include "driver_judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vnic/vnic_ndis.h"

_Noreturn void fuzz_breach(const char *rule, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "driver: %s: ", rule);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

static const uint32_t statuses[] = {NDIS_STATUS_SUCCESS,
                                    NDIS_STATUS_PENDING,
                                    NDIS_STATUS_NOT_RECOGNIZED,
                                    NDIS_STATUS_NOT_COPIED,
                                    NDIS_STATUS_NOT_ACCEPTED,
                                    NDIS_STATUS_CALL_ACTIVE,
                                    NDIS_STATUS_INDICATION_REQUIRED,
                                    NDIS_STATUS_BUFFER_OVERFLOW,
                                    NDIS_STATUS_NOT_RESETTABLE,
                                    NDIS_STATUS_SOFT_ERRORS,
                                    NDIS_STATUS_HARD_ERRORS,
                                    NDIS_STATUS_FAILURE,
                                    NDIS_STATUS_INVALID_PARAMETER,
                                    NDIS_STATUS_INVALID_DEVICE_REQUEST,
                                    NDIS_STATUS_RESOURCES,
                                    NDIS_STATUS_NOT_SUPPORTED,
                                    NDIS_STATUS_INVALID_STATE,
                                    NDIS_STATUS_CLOSING,
                                    NDIS_STATUS_BAD_VERSION,
                                    NDIS_STATUS_BAD_CHARACTERISTICS,
                                    NDIS_STATUS_ADAPTER_NOT_FOUND,
                                    NDIS_STATUS_OPEN_FAILED,
                                    NDIS_STATUS_DEVICE_FAILED,
                                    NDIS_STATUS_MULTICAST_FULL,
                                    NDIS_STATUS_MULTICAST_EXISTS,
                                    NDIS_STATUS_MULTICAST_NOT_FOUND,
                                    NDIS_STATUS_REQUEST_ABORTED,
                                    NDIS_STATUS_RESET_IN_PROGRESS,
                                    NDIS_STATUS_CLOSING_INDICATING,
                                    NDIS_STATUS_INVALID_PACKET,
                                    NDIS_STATUS_ADAPTER_NOT_READY,
                                    NDIS_STATUS_ADAPTER_NOT_OPEN,
                                    NDIS_STATUS_NOT_INDICATING,
                                    NDIS_STATUS_INVALID_LENGTH,
                                    NDIS_STATUS_INVALID_DATA,
                                    NDIS_STATUS_BUFFER_TOO_SHORT,
                                    NDIS_STATUS_INVALID_OID,
                                    NDIS_STATUS_ADAPTER_REMOVED,
                                    NDIS_STATUS_UNSUPPORTED_MEDIA,
                                    NDIS_STATUS_FILE_NOT_FOUND,
                                    NDIS_STATUS_ALREADY_MAPPED,
                                    NDIS_STATUS_RESOURCE_CONFLICT,
                                    NDIS_STATUS_NO_CABLE,
                                    NDIS_STATUS_INVALID_ADDRESS,
                                    NDIS_STATUS_SEND_ABORTED,
                                    NDIS_STATUS_MEDIA_DISCONNECTED,
                                    NDIS_STATUS_PAUSED,
                                    NDIS_STATUS_INTERFACE_NOT_FOUND,
                                    NDIS_STATUS_UNSUPPORTED_REVISION,
                                    NDIS_STATUS_INVALID_PORT,
                                    NDIS_STATUS_INVALID_PORT_STATE,
                                    NDIS_STATUS_LOW_POWER_STATE};

uint32_t fuzz_status(uint32_t status, const char *what)
{
    for (uint32_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i] == status) {
            return status;
        }
    }
    fuzz_breach("DRV-12", "%s is 0x%08X, which is no NDIS status", what, status);
}
