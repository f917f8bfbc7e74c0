/* Fuzzes the native engine under libFuzzer and the sanitizers: a script of datagrams, links that come and go, and packets
   from Python. SRTP is played by functions that add and take a trailer; nothing is sent, as there is no such descriptor. */

#include "../../services/edge_gateway/media/native/forwarding.c"
#include "../../services/edge_gateway/media/native/links.c"
#include "../../services/edge_gateway/media/native/sending.c"
#include "../../services/edge_gateway/media/native/streams.c"

enum { LINKS = 3, STREAMS = 2, TAG = 16 };

static int protect(void *context, void *packet, int *length) {
    memset((uint8_t *)packet + *length, *(uint8_t *)context, TAG);
    *length += TAG;
    return 0;
}

static int unprotect(void *context, void *packet, int *length) {
    (void)context;
    (void)packet;
    *length -= TAG;
    return *length < 0;
}

typedef struct {
    const uint8_t *at;
    size_t left;
} script;

static uint8_t next(script *from) {
    if (from->left == 0)
        return 0;
    from->left--;
    return *from->at++;
}

static struct sockaddr_in address_of(uint8_t number) {
    struct sockaddr_in at;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons((uint16_t)(1000 + number));
    return at;
}

static void receive(sd_engine *engine, script *from) {
    uint32_t count = next(from) % SD_BATCH;
    double now = next(from);
    for (uint32_t index = 0; index < count; index++) {
        struct sockaddr_in sender = address_of(next(from) % (LINKS + 1));
        uint32_t length = next(from) % 8 == 0 ? (uint32_t)next(from) << 3 : next(from);
        if (length > SD_DATAGRAM)
            length = SD_DATAGRAM;
        engine->sender[index].v4 = sender;
        engine->sender_length[index] = sizeof sender;
        engine->length[index] = length;
        for (uint32_t at = 0; at < length; at++)
            engine->slots[index][at] = next(from);
        /* Most packets are of a stream, in order, or nothing of interest would be reached. */
        if (length >= HEADER && next(from) % 8) {
            sd_receive_stream *stream = sd_find(engine, &(key){0, 0, (uint64_t)AF_INET << 16 | sender.sin_port}) != NULL
                                            ? sd_find(engine, &(key){0, 0, (uint64_t)AF_INET << 16 | sender.sin_port})->streams
                                            : NULL;
            engine->slots[index][0] = 0x80 | (engine->slots[index][0] & 0x3F);
            engine->slots[index][1] = (engine->slots[index][1] & 0x80) | 96;
            if (stream != NULL) {
                write32(engine->slots[index] + 8, stream->ssrc);
                write16(engine->slots[index] + 2, (uint16_t)(stream->counts.highest + 1 + stream->run_length));
            }
        }
    }
    engine->state.received = count;
    for (uint32_t at = 0; (at = sd_forward(engine, at, now)) < count; at++) {
        uint32_t length;
        sd_sender(engine, at, &length);
        (void)sd_slot(engine, at)[sd_length(engine, at) / 2];
    }
}

static void say(sd_engine *engine, sd_receive_stream *stream, script *from) {
    uint8_t bytes[SD_DATAGRAM] = {0};
    sd_packet packet = {.sequence = next(from), .marker = 0x80, .bytes = bytes}, found;
    packet.extensions_length = (uint16_t)(next(from) * 4);
    packet.payload_length = (uint16_t)(next(from) * 8);
    sd_forward_one(engine, stream, &packet);
    if (sd_stream_find(stream, next(from), &found))
        memcpy(bytes, found.bytes, (size_t)found.extensions_length + found.payload_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script from = {data, size};
    uint8_t key = 1;
    sd_engine *engine = sd_engine_new(protect, unprotect, 42);
    sd_link *links[LINKS];
    sd_receive_stream *streams[LINKS][STREAMS];
    sd_send_stream sent[LINKS] = {0};
    uint8_t order = next(&from);         /* in which all is freed: nothing is left of the script by then */
    engine->state.deadline = INFINITY;
    engine->state.offload = next(&from) & 1;
    for (int at = 0; at < SD_LATENCIES; at++)
        engine->state.latency_bounds[at] = (at + 1) / 1000.0;
    for (uint8_t number = 0; number < LINKS; number++) {
        struct sockaddr_in at = address_of(number);
        links[number] = sd_link_new(engine);
        sd_link_bind(links[number], (const char *)&at, sizeof at);
        sd_link_move(links[number], -1, (const char *)&at, sizeof at);
        sd_link_open(links[number], &key, &key);
        sd_link_limit(links[number], number == 1 ? 0.1 : 0, number == 2 ? 0.01 : 0);
        sent[number] = (sd_send_stream){.link = links[number], .ssrc = number, .payload_type = 97, .started = true, .extensions = number & 1};
        for (uint8_t stream = 0; stream < STREAMS; stream++) {
            sd_receive_stream *one = streams[number][stream] = sd_stream_new(links[number], number == 0 && stream == 1);
            one->ssrc = 10u * number + stream;
            one->payload_type = 96;
            one->clock_rate = 90000;
            one->counts.received = 1;
            one->counts.ask_from = INFINITY;
            for (int id = 0; id < SD_EXTENSION_IDS; id++)
                one->extension_ids[id] = (uint8_t)((id * 3) % 15);
        }
    }
    while (from.left > 0) {
        uint8_t verb = next(&from), which = next(&from);
        sd_receive_stream *stream = streams[which % LINKS][which / LINKS % STREAMS];
        sd_link *link = links[which % LINKS];
        struct sockaddr_in at = address_of(which / LINKS % (LINKS + 1));
        switch (verb % 9) {
        case 0: case 1: receive(engine, &from); break;
        case 2: sd_stream_add(stream, &sent[which / 16 % LINKS]); break;
        case 3: sd_stream_remove(stream, &sent[which / 16 % LINKS]); break;
        case 4: say(engine, stream, &from); break;
        case 5: sd_link_bind(link, (const char *)&at, sizeof at); break;
        case 6: sd_link_open(link, which & 128 ? &key : NULL, which & 64 ? &key : NULL); break;
        case 7: stream->counts.upward = which & 128; break;
        case 8: (void)sd_link_admit(link, which, next(&from)), (void)sd_link_too_fast(link); break;
        }
    }
    /* In an order of the script's choice, as Python's garbage collector may. */
    if (order & 1)
        sd_engine_free(engine), engine = NULL;
    for (int number = 0; number < LINKS; number++) {
        bool links_first = order >> (number + 1) & 1;
        if (links_first)
            sd_link_free(links[number]);
        for (int stream = 0; stream < STREAMS; stream++)
            sd_stream_free(streams[number][stream]);
        if (!links_first)
            sd_link_free(links[number]);
    }
    if (engine != NULL)
        sd_engine_free(engine);
    return 0;
}
