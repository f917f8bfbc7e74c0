/* The native engine: one batch of datagrams in, decrypted, written anew for every subscriber, encrypted, and out.

   It forwards only a packet that follows the one before it in its stream. Every other datagram, and there are few, is
   left to Python, after what came before it has been sent. So nothing is decided here that is not decided in Python
   too, and what leaves is the same to the bit (tests/edge_gateway/media/test_engines_agree.py).

   All calls come from one thread. Lengths are of bytes, numbers in packets big-endian. */

#include "internal.h"

sd_engine *sd_engine_new(sd_srtp protect, sd_srtp unprotect, uint64_t seed) {
    sd_engine *engine = calloc(1, sizeof *engine);
    if (engine != NULL) {
        engine->protect = protect;
        engine->unprotect = unprotect;
        engine->seed = seed | 1;
        engine->users = 1;
        engine->state.deadline = -INFINITY;
    }
    return engine;
}

void sd_engine_free(sd_engine *engine) {
    if (--engine->users == 0)
        free(engine);
}

sd_state *sd_engine_state(sd_engine *engine) { return &engine->state; }

bool sd_has_offload(int descriptor) {
    int size;
    socklen_t length = sizeof size;
    return getsockopt(descriptor, IPPROTO_UDP, UDP_SEGMENT, &size, &length) == 0;
}

uint32_t sd_receive(sd_engine *engine, int descriptor) {
    struct mmsghdr headers[SD_BATCH];
    struct iovec parts[SD_BATCH];
    int count;
    memset(headers, 0, sizeof headers);
    for (int at = 0; at < SD_BATCH; at++) {
        parts[at].iov_base = engine->slots[at];
        parts[at].iov_len = SD_DATAGRAM;
        headers[at].msg_hdr.msg_iov = &parts[at];
        headers[at].msg_hdr.msg_iovlen = 1;
        headers[at].msg_hdr.msg_name = &engine->sender[at];
        headers[at].msg_hdr.msg_namelen = sizeof engine->sender[at];
    }
    engine->state.received_at = sd_monotonic();
    count = recvmmsg(descriptor, headers, SD_BATCH, MSG_DONTWAIT, NULL);
    engine->state.received = count > 0 ? (uint32_t)count : 0;
    for (uint32_t at = 0; at < engine->state.received; at++) {
        bool cut = headers[at].msg_hdr.msg_flags & MSG_TRUNC;
        engine->length[at] = cut ? 0 : headers[at].msg_len;
        engine->sender_length[at] = headers[at].msg_hdr.msg_namelen;
        engine->state.too_long += cut;
    }
    return engine->state.received;
}

char *sd_slot(sd_engine *engine, uint32_t index) { return (char *)engine->slots[index % SD_BATCH]; }

uint32_t sd_length(sd_engine *engine, uint32_t index) { return engine->length[index % SD_BATCH]; }

const char *sd_sender(sd_engine *engine, uint32_t index, uint32_t *length) {
    *length = engine->sender_length[index % SD_BATCH];
    return (const char *)&engine->sender[index % SD_BATCH];
}

/* Keep some one-byte header extensions under other numbers, in place (RFC 8285, 4.2); `block` begins with its 4-byte
   header. Returns the new block's length, 0 for none: it is never longer than the old. */
static uint16_t rewrite_extensions(uint8_t *block, uint32_t length, const uint8_t *ids) {
    uint32_t at = 4, kept = 4;
    while (at < length) {
        uint8_t number = block[at] >> 4;
        uint32_t following = at + 2 + (block[at] & 0x0F);
        if (block[at] == 0) {
            at++;
            continue;
        }
        if (number == EXTENSION_END || following > length)
            break;
        if (ids[number] != 0) {
            block[kept] = (uint8_t)(ids[number] << 4 | (block[at] & 0x0F));
            memmove(block + kept + 1, block + at + 1, following - at - 1);
            kept += following - at;
        }
        at = following;
    }
    if (kept == 4)
        return 0;
    while (kept % 4 != 0)
        block[kept++] = 0;
    write16(block, EXTENSION_PROFILE);
    write16(block + 2, (uint16_t)(kept / 4 - 1));
    return (uint16_t)kept;
}

/* Take a decrypted packet apart, in place (RFC 3550, 5.1). False: its lengths contradict each other. */
static bool parse(uint8_t *data, uint32_t length, const uint8_t *ids, sd_packet *packet) {
    uint32_t start = HEADER + 4u * (data[0] & 0x0F), end = length, block = 0;
    uint8_t *extensions = NULL;
    if (data[0] & 0x10) {
        uint32_t size;
        if (start + 4 > length)
            return false;
        size = 4 + 4u * read16(data + start + 2);
        if (start + size > length)
            return false;
        if (read16(data + start) == EXTENSION_PROFILE) {
            extensions = data + start;
            block = rewrite_extensions(extensions, size, ids);
        }
        start += size;
    }
    if (data[0] & 0x20) {
        uint8_t padding = data[length - 1];
        if (padding == 0 || padding > length)
            return false;
        end -= padding;
    }
    if (end < start)
        return false;
    packet->marker = data[1] & 0x80;
    packet->sequence = read16(data + 2);
    packet->timestamp = read32(data + 4);
    packet->extensions_length = (uint16_t)block;
    packet->payload_length = (uint16_t)(end - start);
    /* The block moves up to the payload, over what was not kept. */
    if (block > 0)
        memmove(data + start - block, extensions, block);
    packet->bytes = data + start - block;
    return true;
}

static void count(sd_receive_stream *stream, const sd_packet *packet, double now) {
    sd_counts *counts = &stream->counts;
    double transit = now * stream->clock_rate - packet->timestamp, step = fabs(transit - counts->transit);
    counts->highest++;
    counts->received++;
    counts->octets += packet->payload_length;
    if (step < 2147483648.0)
        counts->jitter += (step - counts->jitter) / 16;
    counts->transit = transit;
}

static bool follows(const sd_receive_stream *stream, const uint8_t *data, double now) {
    const sd_counts *counts = &stream->counts;
    return counts->received > 0 && !counts->upward && now < counts->ask_from && (data[1] & 0x7F) == stream->payload_type &&
           read16(data + 2) == (uint16_t)(counts->highest + 1);
}

/* Take a datagram. False: it is for Python. */
static bool take(sd_engine *engine, uint32_t index, double now) {
    uint8_t *data = engine->slots[index];
    int length = (int)engine->length[index];
    sd_receive_stream *stream;
    sd_link *link;
    key from;
    if (length == 0)
        return true;
    if (length < HEADER || data[0] >> 6 != 2 || (data[1] >= 192 && data[1] <= 223))
        return false;
    link = sd_key_of(&engine->sender[index], engine->sender_length[index], &from) ? sd_find(engine, &from) : NULL;
    if (link == NULL)
        return true; /* a stranger's */
    stream = link->streams;
    while (stream != NULL && stream->ssrc != read32(data + 8))
        stream = stream->next;
    if (stream == NULL || link->receive == NULL || !follows(stream, data, now))
        return false;
    if (!sd_link_admit(link, (uint32_t)length, now))
        return true;
    if (engine->unprotect(link->receive, data, &length) != 0 || length < HEADER ||
        !parse(data, (uint32_t)length, stream->extension_ids, &engine->packet[index]))
        return true; /* forged, repeated, or nonsense */
    count(stream, &engine->packet[index], now);
    if (stream->history != NULL)
        sd_keep(stream->history, &engine->packet[index]);
    if (stream->run_length == 0)
        engine->active[engine->active_count++] = stream;
    stream->run[stream->run_length++] = (uint8_t)index;
    return true;
}

uint32_t sd_forward(sd_engine *engine, uint32_t from, double now) {
    bool may_forward = sd_monotonic() < engine->state.deadline;
    while (from < engine->state.received && from < SD_BATCH) {
        /* After the deadline Python drops media, as it does in its own engine. */
        if (engine->length[from] > 0 && (!may_forward || !take(engine, from, now)))
            break;
        from++;
    }
    sd_send_all(engine);
    return from;
}

bool sd_forward_one(sd_engine *engine, sd_receive_stream *stream, const sd_packet *packet) {
    if ((uint32_t)HEADER + packet->extensions_length + packet->payload_length > SD_DATAGRAM)
        return false;
    if (stream->history != NULL)
        sd_keep(stream->history, packet);
    engine->packet[0] = *packet;
    stream->run[0] = 0;
    stream->run_length = 1;
    sd_send_run(engine, stream);
    sd_flush(engine);
    engine->forwarding = 0; /* Python measures what it forwards */
    return true;
}
