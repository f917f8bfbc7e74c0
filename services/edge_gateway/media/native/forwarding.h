/* The native engine: what Python sees of it. cffi reads this file too, so it has plain declarations only. */

#define SD_VERSION 3          /* of this file: a module that was built from another is not used */
#define SD_BATCH 64           /* datagrams received at a time */
#define SD_DATAGRAM 2048      /* the longest that is taken */
#define SD_HISTORY 1024       /* packets of a stream that can be sent again: a power of two */
#define SD_EXTENSION_IDS 16
#define SD_LATENCIES 12       /* bounds of the buckets of how long forwarding takes */

/* libsrtp's srtp_protect and srtp_unprotect: context, packet, length in and out; 0 is success. */
typedef int (*sd_srtp)(void *context, void *packet, int *length);

typedef struct sd_link sd_link;
typedef struct sd_engine sd_engine;
typedef struct sd_history sd_history;

/* One track's way to one subscriber; Python owns it. */
typedef struct {
    sd_link *link;
    uint32_t ssrc;
    uint32_t timestamp_offset;
    uint16_t sequence_offset;
    uint8_t payload_type;
    bool extensions;
    bool started;
    uint64_t packets;
    uint64_t octets;
} sd_send_stream;

/* What arrived of one stream. */
typedef struct {
    int64_t first;
    int64_t highest;
    uint64_t received;
    uint64_t octets;
    double jitter;
    double transit;
    double ask_from;
    bool upward;
} sd_counts;

typedef struct sd_receive_stream {
    sd_counts counts;
    uint32_t ssrc;
    double clock_rate;
    uint8_t payload_type;
    uint8_t extension_ids[16];           /* a publisher's number to ours; 0: not forwarded */
    sd_send_stream **streams;
    uint32_t stream_count;
    uint32_t stream_room;
    sd_history *history;                 /* none: nothing can be sent again */
    uint8_t run[64];                     /* packets of this batch that wait to be sent */
    uint8_t run_length;
    sd_link *link;                       /* whom it comes from; none: that is gone */
    struct sd_receive_stream *next;      /* of the same link */
} sd_receive_stream;

/* A packet as Python takes it out of the history. */
typedef struct {
    uint16_t sequence;
    uint32_t timestamp;
    uint8_t marker;
    uint16_t extensions_length;
    uint16_t payload_length;
    uint8_t *bytes;                      /* the extension block, then the payload */
} sd_packet;

/* Of an engine: what Python reads and sets. */
typedef struct {
    double deadline;                     /* media passes before it: seconds of CLOCK_MONOTONIC */
    bool offload;                        /* the kernel cuts one long message into datagrams (UDP GSO) */
    uint32_t received;                   /* datagrams of the batch */
    uint64_t forwarded;                  /* datagrams that left */
    uint64_t too_long;
    uint64_t not_sent;
    uint64_t too_late;                   /* were ready to be sent when the deadline came */
    uint64_t too_fast;                   /* came beyond what their link may send */
    double received_at;                  /* when the batch was read: seconds of CLOCK_MONOTONIC */
    double latency_bounds[12];           /* seconds, rising */
    uint64_t latencies[13];              /* packets that were forwarded, by how long that took */
    double latency_total;                /* seconds */
    uint32_t diverted;                   /* packets that wait for Python to send them; it sets this to 0 when it has */
} sd_state;

/* NULL: no memory. The hash of addresses depends on the seed, so that nobody can choose addresses that collide. */
sd_engine *sd_engine_new(sd_srtp protect, sd_srtp unprotect, uint64_t seed);
void sd_engine_free(sd_engine *engine);
sd_state *sd_engine_state(sd_engine *engine);
/* Whether the kernel has UDP GSO. */
bool sd_has_offload(int descriptor);

/* Receive one batch; Python may ask for each datagram's place, length and sender. Returns how many. */
uint32_t sd_receive(sd_engine *engine, int descriptor);
char *sd_slot(sd_engine *engine, uint32_t index);
uint32_t sd_length(sd_engine *engine, uint32_t index);
const char *sd_sender(sd_engine *engine, uint32_t index, uint32_t *length);
/* Forward what can be, from that place on, and send it. Returns the place of the next datagram that Python must see, or
   how many there are. */
uint32_t sd_forward(sd_engine *engine, uint32_t from, double now);
/* Keep a packet and send it to all; false: it is too long. */
bool sd_forward_one(sd_engine *engine, sd_receive_stream *stream, const sd_packet *packet);

/* One of the packets that Python is to send, sealed: returns its bytes. */
const char *sd_diverted(sd_engine *engine, uint32_t index, uint64_t *number, uint32_t *length);

/* A link has at most one address that it is found by, and one that is sent to. The address is a struct sockaddr. The
   engine lives until its last link is freed. */
sd_link *sd_link_new(sd_engine *engine);
void sd_link_free(sd_link *link);
bool sd_link_bind(sd_link *link, const char *address, uint32_t length);
void sd_link_unbind(sd_link *link);
bool sd_link_move(sd_link *link, int descriptor, const char *address, uint32_t length);
/* Have Python send what goes there, as it is no datagram: under that number, 0 for not. It replaces sd_link_move. */
void sd_link_divert(sd_link *link, uint64_t number);
void sd_link_open(sd_link *link, void *receive, void *transmit);
/* How many seconds of a link's time a packet and an octet that it sends take; and whether there is time for one more. */
void sd_link_limit(sd_link *link, double packet_seconds, double octet_seconds);
bool sd_link_admit(sd_link *link, uint32_t length, double now);
uint64_t sd_link_too_fast(const sd_link *link);

/* Streams: a send stream that Python adds, it removes before it lets go of it. */
sd_receive_stream *sd_stream_new(sd_link *link, bool keep);
void sd_stream_free(sd_receive_stream *stream);
bool sd_stream_add(sd_receive_stream *stream, sd_send_stream *to);
void sd_stream_remove(sd_receive_stream *stream, sd_send_stream *to);
/* Forget everything, and the link. */
void sd_stream_close(sd_receive_stream *stream);
bool sd_stream_find(sd_receive_stream *stream, uint16_t sequence, sd_packet *found);
