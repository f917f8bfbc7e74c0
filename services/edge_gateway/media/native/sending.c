/* Packets written anew, sealed, gathered and sent. */

#include "internal.h"

double sd_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Send the parts of a message one by one: the kernel would not cut it. */
static void send_apart(sd_engine *engine, uint32_t index) {
    outbox *out = &engine->out;
    struct msghdr header = out->header[index].msg_hdr;
    struct iovec part = out->part[index];
    size_t left = part.iov_len;
    header.msg_control = NULL;
    header.msg_controllen = 0;
    header.msg_iov = &part;
    while (left > 0) {
        part.iov_len = left < out->size[index] ? left : out->size[index];
        if (sendmsg(out->descriptor, &header, MSG_DONTWAIT) >= 0)
            engine->state.forwarded++;
        else
            engine->state.not_sent++;
        left -= part.iov_len;
        part.iov_base = (uint8_t *)part.iov_base + part.iov_len;
    }
}

static uint32_t send_some(sd_engine *engine, uint32_t from) {
    outbox *out = &engine->out;
    int sent = sendmmsg(out->descriptor, out->header + from, out->count - from, MSG_DONTWAIT);
    if (sent > 0) {
        for (int at = 0; at < sent; at++)
            engine->state.forwarded += out->segments[from + (uint32_t)at];
        return (uint32_t)sent;
    }
    if (sent < 0 && errno == EINTR)
        return 0;
    if (sent < 0 && out->segments[from] > 1 && (errno == EIO || errno == EINVAL || errno == EMSGSIZE)) {
        /* EIO: the interface has no checksums to offer. The others: segments are too long for this one's way. */
        if (errno == EIO)
            engine->state.offload = false;
        else
            out->link[from]->no_offload = true;
        send_apart(engine, from);
    } else {
        engine->state.not_sent += out->segments[from]; /* media waits for nobody */
    }
    return 1;
}

void sd_flush(sd_engine *engine) {
    outbox *out = &engine->out;
    uint32_t at = 0;
    /* By the clock of this moment: the process may have been frozen since the batch began. */
    if (out->count > 0 && sd_monotonic() >= engine->state.deadline) {
        for (; at < out->count; at++)
            engine->state.too_late += out->segments[at];
    }
    while (at < out->count)
        at += send_some(engine, at);
    out->count = out->used = 0;
}

/* Take the datagram that was written at the end of the used bytes. */
static void post(sd_engine *engine, sd_link *link, uint32_t length) {
    outbox *out = &engine->out;
    uint32_t last = out->count - 1;
    struct msghdr *header;
    struct cmsghdr *control;
    if (out->count > 0 && out->link[last] == link && out->full[last] && engine->state.offload && !link->no_offload &&
        length <= out->size[last] && out->segments[last] < SEGMENTS && out->part[last].iov_len + length <= MESSAGE) {
        header = &out->header[last].msg_hdr;
        header->msg_control = out->control[last];
        header->msg_controllen = sizeof out->control[last];
        control = CMSG_FIRSTHDR(header);
        control->cmsg_level = IPPROTO_UDP;
        control->cmsg_type = UDP_SEGMENT;
        control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        memcpy(CMSG_DATA(control), &out->size[last], sizeof(uint16_t));
        out->part[last].iov_len += length;
        out->segments[last]++;
        out->full[last] = length == out->size[last];
    } else {
        uint32_t next = out->count++;
        out->part[next].iov_base = out->bytes + out->used;
        out->part[next].iov_len = length;
        memset(&out->header[next], 0, sizeof out->header[next]);
        header = &out->header[next].msg_hdr;
        header->msg_name = &link->to;
        header->msg_namelen = link->to_length;
        header->msg_iov = &out->part[next];
        header->msg_iovlen = 1;
        out->link[next] = link;
        out->segments[next] = 1;
        out->size[next] = (uint16_t)length;
        out->full[next] = true;
    }
    out->used += length;
}

/* Where a link's next packet is written. NULL: there is no room. */
static uint8_t *room(sd_engine *engine, const sd_link *link) {
    outbox *out = &engine->out;
    uint32_t last = engine->state.diverted - 1;
    if (link->number != 0) {
        uint32_t used = engine->state.diverted > 0 ? engine->aside.start[last] + engine->aside.length[last] : 0;
        return engine->state.diverted < ASIDE_PACKETS && used + SLOT <= ASIDE ? engine->aside.bytes + used : NULL;
    }
    if (out->used + SLOT > OUT || out->count == MESSAGES || (out->count > 0 && out->descriptor != link->descriptor))
        sd_flush(engine);
    out->descriptor = link->descriptor;
    return out->bytes + out->used;
}

static void set_aside(sd_engine *engine, const sd_link *link, const uint8_t *packet, uint32_t length) {
    uint32_t next = engine->state.diverted++;
    engine->aside.number[next] = link->number;
    engine->aside.start[next] = (uint32_t)(packet - engine->aside.bytes);
    engine->aside.length[next] = length;
}

const char *sd_diverted(sd_engine *engine, uint32_t index, uint64_t *number, uint32_t *length) {
    index %= ASIDE_PACKETS;
    *number = engine->aside.number[index];
    *length = engine->aside.length[index];
    return (const char *)engine->aside.bytes + engine->aside.start[index];
}

static void send_packet(sd_engine *engine, sd_send_stream *to, const sd_packet *packet) {
    sd_link *link = to->link;
    const uint8_t *body = packet->bytes;
    uint32_t length = (uint32_t)packet->extensions_length + packet->payload_length;
    bool extended = to->extensions && packet->extensions_length > 0;
    uint8_t *at = room(engine, link);
    int sealed;
    if (at == NULL) {
        engine->state.not_sent++;
        return;
    }
    if (!extended) {
        body += packet->extensions_length;
        length = packet->payload_length;
    }
    at[0] = extended ? 0x90 : 0x80;
    at[1] = packet->marker | to->payload_type;
    write16(at + 2, (uint16_t)(packet->sequence + to->sequence_offset));
    write32(at + 4, packet->timestamp + to->timestamp_offset);
    write32(at + 8, to->ssrc);
    memcpy(at + HEADER, body, length);
    sealed = (int)(HEADER + length);
    if (engine->protect(link->transmit, at, &sealed) != 0)
        return;
    if (link->number != 0)
        set_aside(engine, link, at, (uint32_t)sealed);
    else
        post(engine, link, (uint32_t)sealed);
    to->packets++;
    to->octets += packet->payload_length;
}

void sd_send_run(sd_engine *engine, sd_receive_stream *stream) {
    for (uint32_t to = 0; to < stream->stream_count; to++) {
        const sd_link *link = stream->streams[to]->link;
        if (link->transmit == NULL || (!link->placed && link->number == 0))
            continue;
        for (uint8_t at = 0; at < stream->run_length; at++)
            send_packet(engine, stream->streams[to], &engine->packet[stream->run[at]]);
    }
    if (stream->stream_count > 0)
        engine->forwarding += stream->run_length;
    stream->run_length = 0;
}

static void measure(sd_engine *engine) {
    sd_state *state = &engine->state;
    double seconds = sd_monotonic() - state->received_at;
    uint32_t bucket = 0;
    while (bucket < SD_LATENCIES && seconds > state->latency_bounds[bucket])
        bucket++;
    state->latencies[bucket] += engine->forwarding;
    state->latency_total += seconds * engine->forwarding;
    engine->forwarding = 0;
}

void sd_send_all(sd_engine *engine) {
    for (uint32_t at = 0; at < engine->active_count; at++)
        sd_send_run(engine, engine->active[at]);
    engine->active_count = 0;
    sd_flush(engine);
    if (engine->forwarding > 0)
        measure(engine);
}
