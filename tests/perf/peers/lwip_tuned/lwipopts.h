/* lwIP built for this benchmark alone: no thread, no lock, static pools, data sent by reference, the fastest checksum. */
#ifndef PERF_LWIPOPTS_H
#define PERF_LWIPOPTS_H

#include <stdint.h>

uint16_t lwip_tuned_chksum(const void *data, int len);

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_STATS 0
#define LWIP_NOASSERT 1

#define MEM_ALIGNMENT 8
#define MEM_SIZE (32 * 1024 * 1024)
#define MEMP_NUM_PBUF 60000
#define MEMP_NUM_TCP_PCB 8192
#define MEMP_NUM_TCP_PCB_LISTEN 8
#define MEMP_NUM_TCP_SEG 60000
#define PBUF_POOL_SIZE 64

#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define LWIP_ETHERNET 1
#define LWIP_ICMP 1
#define LWIP_RAW 0
#define LWIP_UDP 0
#define LWIP_DHCP 0
#define LWIP_TCP 1
#define IP_FRAG 1
#define IP_REASSEMBLY 0

#define TCP_MSS 1460
#define TCP_WND 0xffff
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 1
#define TCP_SND_BUF TCP_WND
#define TCP_SND_QUEUELEN 512

#define LWIP_CHECKSUM_ON_COPY 0
#define LWIP_CHKSUM lwip_tuned_chksum

#endif
