/* Receive streams: to whom they go, and what can be sent again. */

#include "internal.h"

sd_receive_stream *sd_stream_new(sd_link *link, bool keep) {
    sd_receive_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    /* calloc leaves what is never written to the kernel: a stream of short packets needs little of it. */
    if (keep && (stream->history = calloc(1, sizeof *stream->history)) == NULL) {
        free(stream);
        return NULL;
    }
    stream->link = link;
    stream->next = link->streams;
    link->streams = stream;
    return stream;
}

void sd_stream_close(sd_receive_stream *stream) {
    if (stream->link != NULL) {
        sd_receive_stream **place = &stream->link->streams;
        while (*place != stream)
            place = &(*place)->next;
        *place = stream->next;
        stream->link = NULL;
    }
    free(stream->streams);
    free(stream->history);
    stream->streams = NULL;
    stream->history = NULL;
    stream->stream_count = stream->stream_room = 0;
}

void sd_stream_free(sd_receive_stream *stream) {
    sd_stream_close(stream);
    free(stream);
}

bool sd_stream_add(sd_receive_stream *stream, sd_send_stream *to) {
    sd_stream_remove(stream, to);
    if (stream->stream_count == stream->stream_room) {
        uint32_t room = stream->stream_room ? 2 * stream->stream_room : 8;
        sd_send_stream **moved = realloc(stream->streams, room * sizeof *moved);
        if (moved == NULL)
            return false;
        stream->streams = moved;
        stream->stream_room = room;
    }
    stream->streams[stream->stream_count++] = to;
    return true;
}

void sd_stream_remove(sd_receive_stream *stream, sd_send_stream *to) {
    uint32_t at = 0;
    while (at < stream->stream_count && stream->streams[at] != to)
        at++;
    if (at == stream->stream_count)
        return;
    stream->stream_count--;
    memmove(stream->streams + at, stream->streams + at + 1, (stream->stream_count - at) * sizeof *stream->streams);
}

void sd_keep(sd_history *history, const sd_packet *packet) {
    entry *at = &history->entries[packet->sequence & (SD_HISTORY - 1)];
    at->used = true;
    at->packet = *packet;
    at->packet.bytes = at->bytes;
    memcpy(at->bytes, packet->bytes, (size_t)packet->extensions_length + packet->payload_length);
}

bool sd_stream_find(sd_receive_stream *stream, uint16_t sequence, sd_packet *found) {
    entry *at;
    if (stream->history == NULL)
        return false;
    at = &stream->history->entries[sequence & (SD_HISTORY - 1)];
    if (!at->used || at->packet.sequence != sequence)
        return false;
    *found = at->packet;
    return true;
}
