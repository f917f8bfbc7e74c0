import type { Channel } from './channel.js';
import { RtcError, wordsOf } from './errors.js';
import { LocalStream } from './local-stream.js';
import type { PeerConnection, Platform } from './platform.js';
import { Uplink, type Way } from './uplink.js';

/** One local stream, published over one uplink after another for as long as it takes. */
export class Publisher {
  readonly stream: LocalStream;
  readonly #way: Way;
  readonly #platform: Platform;
  readonly #channel: Channel;
  readonly #onLost: (error: RtcError) => void;
  readonly #stopWatching: () => void;
  #uplink: Uplink;
  #started: Promise<void>;
  #state: 'starting' | 'started' | 'over' = 'starting';

  /** Starts at once. `onLost` hears of it when the stream cannot be published again later. */
  constructor(platform: Platform, channel: Channel, stream: LocalStream, way: Way, onLost: (error: RtcError) => void) {
    this.#platform = platform;
    this.#channel = channel;
    this.stream = stream;
    this.#way = way;
    this.#onLost = onLost;
    this.#uplink = new Uplink(platform, channel, stream, way);
    this.#started = this.#start();
    this.#stopWatching = LocalStream.watch(stream, () => void this.#tellMuted());
  }

  get connection(): PeerConnection {
    return this.#uplink.connection;
  }

  async #tellMuted(): Promise<void> {
    const stream = this.#uplink.id;
    // What is published only now says so by itself.
    if (stream === null) return;
    await this.#channel.request('mute', { stream, muted: LocalStream.muted(this.stream) }).catch((error: unknown) => {
      console.warn(`mute: ${wordsOf(error)}`);
    });
  }

  /** Resolves when media can flow, over whichever uplink; rejects with the RtcError of publish(). */
  async started(): Promise<void> {
    let awaited: Promise<void>;
    do {
      awaited = this.#started;
      // What became of an uplink that was replaced meanwhile does not matter.
      await awaited.catch((error: unknown) => {
        if (awaited === this.#started) throw error;
      });
    } while (awaited !== this.#started);
    if (this.#state === 'starting') this.#state = 'started';
  }

  /** Whether this is the stream that a gateway has of us, and media can go on. */
  isUp(published: string | null): boolean {
    return published !== null && published === this.#uplink.id && !this.#uplink.isBroken;
  }

  /** Looks for another way to the gateway, if that was lost. */
  mend(): void {
    void this.#uplink.mend();
  }

  /** The uplink is of no use any more. One that the gateway has not answered yet is as good as new. */
  renew(): void {
    if (this.#uplink.id === null && !this.#uplink.isBroken) return;
    this.#uplink.close(new RtcError('API_CALL_ABORTED', 'the stream is published anew.'));
    this.#uplink = new Uplink(this.#platform, this.#channel, this.stream, this.#way);
    const started = this.#start();
    this.#started = started;
    started.catch((error: unknown) => {
      if (this.#state !== 'started' || started !== this.#started) return;
      const text = `the stream could not be published again: ${wordsOf(error)}`;
      this.#onLost(new RtcError('UPLINK_RECONNECTION_FAILED', text, { cause: error }));
    });
  }

  /** What the gateway has of us says the next socket: perhaps it has ended the session. */
  #start(): Promise<void> {
    return this.#uplink.start(() => this.#channel.renew());
  }

  /** Ends the publication at the gateway too. */
  async stop(): Promise<void> {
    this.#state = 'over';
    this.#stopWatching();
    await this.#uplink.stop();
  }

  /** Because the session has ended: the gateway knows. */
  close(cause: RtcError): void {
    this.#state = 'over';
    this.#stopWatching();
    this.#uplink.close(cause);
  }
}
