import type { PeerConnection, Platform } from './platform.js';

/** Looks, one a second, not seconds: in a tab that is hidden the browser's timers may stand still for a minute. */
const SILENT_LOOKS = 3;
/** A new way is found within so many, or not at all: through a relay it takes a few round trips. */
const RESTARTING_LOOKS = 8;
/** What the gateway has to say about a connection that it closes is said over the socket, and may be a moment later. */
const WORD_MS = 200;

export interface Troubles {
  /** Nothing arrives any more: there may be another way to the gateway (an ICE restart). */
  lost(): void;
  /** Nothing will flow over this connection any more. Said once, and nothing after it. */
  broken(): void;
}

/**
 * Looks after a connection, from when the descriptions of both sides are set until it is closed or `stop()` is called.
 *
 * It is broken when the gateway has closed its DTLS (which `connectionState` shows 5 to 17 s later), when it does not come
 * about, or when a restart did not help. Its way is lost when nothing at all has arrived for 3 s, though a live gateway answers
 * the checks of the connection, or when the browser says so.
 */
export class ConnectionWatch {
  readonly #connection: PeerConnection;
  readonly #troubles: Troubles;
  readonly #stopLooking: () => void;
  readonly #ended = new AbortController();
  #state: 'well' | 'lost' | 'restarting' = 'well';
  #wasConnected: boolean;
  #isStopped = false;
  #arrived = 0;
  #counts = false;
  /** Without anything new since it was last well, or restarted. */
  #silentLooks = 0;

  constructor(platform: Platform, connection: PeerConnection, troubles: Troubles) {
    this.#connection = connection;
    this.#troubles = troubles;
    this.#wasConnected = connection.connectionState === 'connected';
    this.#stopLooking = platform.every(1_000, () => void this.#look());
    const { signal } = this.#ended;
    connection.addEventListener('connectionstatechange', () => this.#onState(), { signal });
    const transport = transportOf(connection);
    const onTransport = () => {
      if (transport?.state === 'closed' || transport?.state === 'failed') this.#break();
    };
    transport?.addEventListener('statechange', onTransport, { signal });
  }

  /** Whether the connection has ever come about. */
  get wasConnected(): boolean {
    return this.#wasConnected;
  }

  /** A restart is under way. */
  restarted(): void {
    if (this.#state === 'lost') this.#state = 'restarting';
    this.#silentLooks = 0;
  }

  stop(): void {
    this.#isStopped = true;
    this.#lookAway();
  }

  #lookAway(): void {
    this.#stopLooking();
    this.#ended.abort();
  }

  #onState(): void {
    const state = this.#connection.connectionState;
    this.#wasConnected ||= state === 'connected';
    if (state === 'failed' && (!this.#wasConnected || this.#state === 'restarting')) this.#break();
    else if (state === 'failed' || state === 'disconnected') this.#lose();
  }

  async #look(): Promise<void> {
    if (this.#connection.connectionState === 'closed') {
      this.stop();
      return;
    }
    const now = await arrivals(this.#connection);
    if (this.#ended.signal.aborted) return;
    this.#counts ||= now > 0;
    // A browser that does not count says nothing but its state. In a restart the sum may be less: ways go, and their counts.
    const hasArrived = this.#counts ? now > this.#arrived : this.#connection.connectionState === 'connected';
    this.#arrived = now;
    if (hasArrived) {
      this.#state = 'well';
      this.#silentLooks = 0;
      return;
    }
    this.#silentLooks += 1;
    if (this.#state === 'well' && this.#counts && this.#silentLooks >= SILENT_LOOKS) this.#lose();
    if (this.#state === 'restarting' && this.#silentLooks >= RESTARTING_LOOKS) this.#break();
  }

  #lose(): void {
    if (this.#state !== 'well' || !this.#wasConnected) return;
    this.#state = 'lost';
    this.#troubles.lost();
  }

  #break(): void {
    this.#lookAway();
    setTimeout(() => {
      if (!this.#isStopped && this.#connection.connectionState !== 'closed') this.#troubles.broken();
    }, WORD_MS);
  }
}

/** All m-lines share one. */
function transportOf(connection: PeerConnection): RTCDtlsTransport | undefined {
  for (const { sender, receiver } of connection.getTransceivers()) {
    const transport = sender.transport ?? receiver.transport;
    if (transport) return transport;
  }
  return undefined;
}

/**
 * Media, feedback and answers to connectivity checks, in all. The latter are what goes on where there is no media, each 2.5 s;
 * where the browser does not count them (Firefox) it is 0.
 */
async function arrivals(connection: PeerConnection): Promise<number> {
  let packets = 0;
  let answers = 0;
  for (const report of (await connection.getStats()).values()) {
    const { type, packetsReceived, responsesReceived } = report as Arrivals;
    if (type === 'transport') packets += packetsReceived ?? 0;
    if (type === 'candidate-pair') answers += responsesReceived ?? 0;
  }
  return answers > 0 ? packets + answers : 0;
}

interface Arrivals {
  type: string;
  packetsReceived?: number;
  responsesReceived?: number;
}
