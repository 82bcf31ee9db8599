/* Segments that leave without a connection: as datagrams, through the outbox. */
#include "stack/answer.h"

#include "stack/hop.h"
#include "stack/network.h"
#include "stack/state.h"

static int answer_datagram(struct vnic_stack *s, const struct vnic_address *local,
                           const struct vnic_address *remote, uint16_t local_port, uint16_t remote_port,
                           uint32_t interface, const struct tcp_segment *segment)
{
    uint8_t l4[TCP_HEADER_MAX];
    const struct ip_out ip = {
        .source = local,
        .destination = remote,
        .l4_len = (uint32_t)tcp_header_write(segment, local_port, remote_port, l4),
        .proto = WIRE_PROTO_TCP,
    };

    return network_send(s, &ip, hop_mask(remote, interface), l4);
}

int answer_send(struct vnic_stack *s, const struct arrived *in, const struct tcp_segment *answer)
{
    return answer_datagram(s, &in->local, &in->remote, in->local_port, in->remote_port, in->interface,
                           answer);
}

void answer_refuse(struct vnic_stack *s, const struct arrived *in)
{
    struct tcp_segment rst;

    if (!in->is_multicast && tcp_reset_for(&in->segment, &rst)) {
        (void)answer_send(s, in, &rst);
    }
}

void answer_reset(struct vnic_stack *s, const struct socket *socket, const struct tcp_connection *c,
                  const struct tcp_segment *rst)
{
    const struct vnic_address local = connection_local(c), remote = connection_remote(c);

    (void)answer_datagram(s, &local, &remote, c->local_port, c->remote_port, socket->path.interface, rst);
}
