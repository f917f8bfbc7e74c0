/* What the files of the native engine share. */

#ifndef SD_INTERNAL_H
#define SD_INTERNAL_H

#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "forwarding.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
    HEADER = 12,
    TRAILER = 256,                       /* more than libsrtp's longest */
    SLOT = SD_DATAGRAM + TRAILER,
    OUT = 512 * 1024,                    /* sent at a time */
    MESSAGES = 512,
    ASIDE = 2 * 1024 * 1024,             /* of what Python sends */
    ASIDE_PACKETS = 2048,
    SEGMENTS = 60,                       /* of one message; the kernel takes 64 */
    MESSAGE = 64000,                     /* less than the longest datagram, 65507 */
    BUCKETS = 16384,
    EXTENSION_PROFILE = 0xBEDE,          /* one-byte header extensions (RFC 8285, 4.2) */
    EXTENSION_END = 15,
};

#define BURST 1.0                        /* seconds that a link may be ahead of its time */

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

typedef struct {
    uint64_t high, low, rest;            /* the IP address; port, IP version and scope */
} key;

struct sd_link {
    sd_engine *engine;
    bool bound, placed, no_offload;
    key at;                              /* found by */
    sd_link *next;                       /* in the same bucket */
    uint64_t number;                     /* of whom Python sends to; 0: packets are sent from here */
    int descriptor;
    address to;
    socklen_t to_length;
    void *receive, *transmit;            /* none: closed */
    double packet_seconds, octet_seconds;
    double packets_until, octets_until;  /* what it sent has used its time up to then */
    uint64_t too_fast;
    sd_receive_stream *streams;
};

typedef struct {
    bool used;
    sd_packet packet;
    uint8_t bytes[SD_DATAGRAM];
} entry;

struct sd_history {
    entry entries[SD_HISTORY];
};

typedef struct {
    struct mmsghdr header[MESSAGES];
    struct iovec part[MESSAGES];
    sd_link *link[MESSAGES];
    uint16_t segments[MESSAGES];
    uint16_t size[MESSAGES];             /* of a segment; the last may be shorter */
    bool full[MESSAGES];                 /* all segments have that size, so another may follow */
    _Alignas(struct cmsghdr) char control[MESSAGES][CMSG_SPACE(sizeof(uint16_t))];
    uint32_t count;
    uint32_t used;                       /* of bytes */
    int descriptor;
    uint8_t bytes[OUT];
} outbox;

typedef struct {
    uint64_t number[ASIDE_PACKETS];
    uint32_t start[ASIDE_PACKETS];
    uint32_t length[ASIDE_PACKETS];
    uint8_t bytes[ASIDE];
} aside;

struct sd_engine {
    sd_state state;
    sd_srtp protect, unprotect;
    uint64_t seed;
    uint64_t users;                      /* Python and its links */
    sd_link *buckets[BUCKETS];
    uint8_t slots[SD_BATCH][SLOT];
    uint32_t length[SD_BATCH];
    address sender[SD_BATCH];
    socklen_t sender_length[SD_BATCH];
    sd_packet packet[SD_BATCH];          /* of those that wait to be sent */
    sd_receive_stream *active[SD_BATCH]; /* streams with such packets */
    uint32_t active_count;
    uint32_t forwarding;                 /* packets of the batch that go to somebody */
    outbox out;
    aside aside;
};

/* links.c */
bool sd_key_of(const address *from, socklen_t length, key *found);
sd_link *sd_find(sd_engine *engine, const key *at);

/* streams.c */
void sd_keep(sd_history *history, const sd_packet *packet);

/* sending.c */
double sd_monotonic(void);
void sd_send_run(sd_engine *engine, sd_receive_stream *stream);
void sd_send_all(sd_engine *engine);
void sd_flush(sd_engine *engine);

/* Numbers in packets. */

static inline uint16_t read16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static inline uint32_t read32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void write16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void write32(uint8_t *at, uint32_t value) {
    write16(at, (uint16_t)(value >> 16));
    write16(at + 2, (uint16_t)value);
}

#endif
