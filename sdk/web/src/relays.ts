import { wordsOf } from './errors.js';
import type { IceServers } from './messages.js';
import type { PeerConnection, Platform } from './platform.js';

/** The way of media, as the application has it. */
export interface Way {
  /** TURN servers of its own. They take the place of the gateway's. */
  readonly servers?: RTCIceServer[] | undefined;
  /** `relay`: through TURN servers only. */
  readonly policy?: RTCIceTransportPolicy | undefined;
}

/** The TURN servers that peer connections of a session are made with. Credentials last for minutes: each connection asks in time. */
export class Relays {
  readonly #platform: Platform;
  readonly #way: Way;
  readonly #ask: () => Promise<IceServers>;
  #servers: RTCIceServer[] = [];
  #freshUntil = Infinity;

  constructor(platform: Platform, way: Way, ask: () => Promise<IceServers>) {
    this.#platform = platform;
    this.#way = way;
    this.#ask = ask;
  }

  /** What a gateway has said. A gateway without any says nothing. */
  note({ ice_servers: servers = [], ice_seconds: seconds = Infinity }: IceServers): void {
    this.#servers = servers;
    // A connection that is made later than that might find them expired by the time it needs them.
    this.#freshUntil = this.#platform.now() + (seconds * 1000) / 2;
  }

  /** To be called before a connection looks for its candidates. */
  async prepare(connection: PeerConnection): Promise<void> {
    const { servers, policy } = this.#way;
    if (!servers && this.#platform.now() >= this.#freshUntil) await this.#renew();
    const iceServers = servers ?? this.#servers;
    if (iceServers.length > 0 || policy) this.#platform.setIce(connection, iceServers, policy ?? 'all');
  }

  async #renew(): Promise<void> {
    try {
      this.note(await this.#ask());
    } catch (thrown) {
      // Most connections need none.
      console.warn(`ice_servers: ${wordsOf(thrown)}`);
    }
  }
}
