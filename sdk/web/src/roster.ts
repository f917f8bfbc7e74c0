import type { Kind, PeerInfo, RoomMessage, RoomView, StreamInfo } from './messages.js';

/** Who else is in the room and what they publish, as far as the application has been told. */
export class Roster {
  readonly #peers = new Map<string, PeerInfo>();
  readonly #streams = new Map<string, StreamInfo>();

  /** What has to be told until the room is as in `now`: who went before who came, streams inside of their owners' stays. */
  missing(now: RoomView): RoomMessage[] {
    const peersNow = new Set(now.peers.map(({ session }) => session));
    const streamsNow = new Set(now.streams.map(({ stream }) => stream));
    const gone = <Info>(known: Map<string, Info>, still: Set<string>) =>
      Array.from(known).flatMap(([id, info]) => (still.has(id) ? [] : [info]));
    return [
      ...gone(this.#streams, streamsNow).map((info) => ({ ...info, type: 'stream_removed' as const })),
      ...gone(this.#peers, peersNow).map((info) => ({ ...info, type: 'peer_left' as const })),
      ...now.peers
        .filter(({ session }) => !this.#peers.has(session))
        .map((info) => ({ ...info, type: 'peer_joined' as const })),
      ...now.streams
        .filter(({ stream }) => !this.#streams.has(stream))
        .map((info) => ({ ...info, type: 'stream_added' as const })),
      ...now.streams.filter((info) => this.#hasOtherMuted(info)).map((info) => asMuted(info)),
    ];
  }

  #hasOtherMuted({ stream, muted = [] }: StreamInfo): boolean {
    const known = this.#streams.get(stream);
    return known !== undefined && String(known.muted ?? []) !== String(muted);
  }

  /** What is known to be muted of a stream. */
  muted(stream: string): Kind[] {
    return this.#streams.get(stream)?.muted ?? [];
  }

  /** What is published now. */
  get streams(): StreamInfo[] {
    return Array.from(this.#streams.values());
  }

  /** Called with each message that is told, before it is. */
  note(message: RoomMessage): void {
    switch (message.type) {
      case 'peer_joined':
        this.#peers.set(message.session, message);
        break;
      case 'peer_left':
        this.#peers.delete(message.session);
        break;
      case 'stream_added':
        this.#streams.set(message.stream, message);
        break;
      case 'stream_muted': {
        const known = this.#streams.get(message.stream);
        if (known) this.#streams.set(message.stream, { ...known, muted: message.muted });
        break;
      }
      case 'stream_removed':
        this.#streams.delete(message.stream);
        break;
    }
  }
}

function asMuted({ stream, session, user, muted = [] }: StreamInfo): RoomMessage {
  return { type: 'stream_muted', stream, session, user, muted };
}
