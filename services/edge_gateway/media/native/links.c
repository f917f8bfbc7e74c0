/* Addresses, and the links that are found by them. */

#include "internal.h"

bool sd_key_of(const address *from, socklen_t length, key *found) {
    memset(found, 0, sizeof *found);
    if (length >= sizeof from->v4 && from->any.sa_family == AF_INET) {
        found->low = from->v4.sin_addr.s_addr;
        found->rest = (uint64_t)AF_INET << 16 | from->v4.sin_port;
        return true;
    }
    if (length >= sizeof from->v6 && from->any.sa_family == AF_INET6) {
        memcpy(&found->high, from->v6.sin6_addr.s6_addr, 8);
        memcpy(&found->low, from->v6.sin6_addr.s6_addr + 8, 8);
        found->rest = (uint64_t)from->v6.sin6_scope_id << 32 | (uint64_t)AF_INET6 << 16 | from->v6.sin6_port;
        return true;
    }
    return false;
}

static bool same(const key *one, const key *other) {
    return one->high == other->high && one->low == other->low && one->rest == other->rest;
}

static uint64_t mix(uint64_t value, uint64_t seed) {
    value = (value ^ seed) * 0x9E3779B97F4A7C15u;
    return value ^ value >> 29;
}

static sd_link **bucket(sd_engine *engine, const key *at) {
    uint64_t hash = mix(mix(mix(at->rest, engine->seed) ^ at->low, engine->seed) ^ at->high, engine->seed);
    return &engine->buckets[hash >> 32 & (BUCKETS - 1)];
}

sd_link *sd_find(sd_engine *engine, const key *at) {
    sd_link *link = *bucket(engine, at);
    while (link != NULL && !same(&link->at, at))
        link = link->next;
    return link;
}

static bool read_address(address *into, const char *from, uint32_t length) {
    memset(into, 0, sizeof *into);
    if (length > sizeof *into)
        return false;
    memcpy(into, from, length);
    return true;
}

sd_link *sd_link_new(sd_engine *engine) {
    sd_link *link = calloc(1, sizeof *link);
    if (link != NULL) {
        link->engine = engine;
        engine->users++;
    }
    return link;
}

void sd_link_free(sd_link *link) {
    sd_link_unbind(link);
    for (sd_receive_stream *stream = link->streams; stream != NULL; stream = stream->next)
        stream->link = NULL;
    sd_engine_free(link->engine);
    free(link);
}

bool sd_link_bind(sd_link *link, const char *from, uint32_t length) {
    address at;
    key wanted;
    sd_link *holder, **first;
    if (!read_address(&at, from, length) || !sd_key_of(&at, length, &wanted))
        return false;
    sd_link_unbind(link);
    holder = sd_find(link->engine, &wanted);
    if (holder != NULL)
        sd_link_unbind(holder);
    first = bucket(link->engine, &wanted);
    link->at = wanted;
    link->bound = true;
    link->next = *first;
    *first = link;
    return true;
}

void sd_link_unbind(sd_link *link) {
    sd_link **place;
    if (!link->bound)
        return;
    place = bucket(link->engine, &link->at);
    while (*place != link)
        place = &(*place)->next;
    *place = link->next;
    link->bound = false;
}

bool sd_link_move(sd_link *link, int descriptor, const char *to, uint32_t length) {
    link->placed = length > 0 && read_address(&link->to, to, length);
    link->descriptor = descriptor;
    link->to_length = length;
    link->no_offload = false;
    link->number = 0;
    return link->placed || length == 0;
}

void sd_link_divert(sd_link *link, uint64_t number) {
    link->placed = false;
    link->number = number;
}

void sd_link_limit(sd_link *link, double packet_seconds, double octet_seconds) {
    link->packet_seconds = packet_seconds;
    link->octet_seconds = octet_seconds;
}

static double later(double one, double other) { return one > other ? one : other; }

bool sd_link_admit(sd_link *link, uint32_t length, double now) {
    if (later(link->packets_until, link->octets_until) > now + BURST) {
        link->too_fast++;
        link->engine->state.too_fast++;
        return false;
    }
    link->packets_until = later(link->packets_until, now) + link->packet_seconds;
    link->octets_until = later(link->octets_until, now) + length * link->octet_seconds;
    return true;
}

uint64_t sd_link_too_fast(const sd_link *link) { return link->too_fast; }

void sd_link_open(sd_link *link, void *receive, void *transmit) {
    link->receive = receive;
    link->transmit = transmit;
}
