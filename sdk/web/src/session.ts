import { RtcError, wordsOf } from './errors.js';
import type { LocalStream } from './local-stream.js';
import type { BannedNotice, GatewayMessage, JoinFields, JoinResult, StreamInfo } from './messages.js';
import type { Platform } from './platform.js';
import { Publisher } from './publisher.js';
import { RemoteStream } from './remote-stream.js';
import { RequestRefused, Signalling } from './signalling.js';
import { Subscriber } from './subscriber.js';

const JOIN_TIMEOUT_MS = 5_000;
const LEAVE_TIMEOUT_MS = 2_000;
/** The gateway closes first, after 2 s at the latest; this is for one that does not. */
const CLOSE_TIMEOUT_MS = 3_000;

export type Ending =
  | { how: 'left' }
  | { how: 'banned'; notice: BannedNotice }
  | { how: 'lost'; error: RtcError }
  /** Before it had joined: whoever called join() hears why. */
  | { how: 'refused' };

/** What the owner of a session hears, in this order: joined, anything of the room, ended (exactly once). */
export interface SessionEvents {
  joined(): void;
  peerJoined(userId: string): void;
  peerLeft(userId: string): void;
  streamAdded(stream: RemoteStream): void;
  streamRemoved(stream: RemoteStream): void;
  error(error: RtcError): void;
  ended(ending: Ending): void;
}

/** One stay of one userId in one room, over one socket. Used once. */
export class Session {
  readonly #platform: Platform;
  readonly #events: SessionEvents;
  readonly #autoSubscribe: boolean;
  readonly #signalling: Signalling;
  readonly #subscriber: Subscriber;
  #publisher: Publisher | null = null;
  #state: 'joining' | 'joined' | 'ended' = 'joining';

  constructor(platform: Platform, address: string, autoSubscribe: boolean, events: SessionEvents) {
    this.#platform = platform;
    this.#events = events;
    this.#autoSubscribe = autoSubscribe;
    this.#signalling = new Signalling(platform, address, {
      received: (message) => this.#onMessage(message),
      lost: (code, reason) => this.#onLost(code, reason),
    });
    this.#subscriber = new Subscriber(platform, this.#signalling, (error) => events.error(error));
  }

  get isJoined(): boolean {
    return this.#state === 'joined';
  }

  get publishedStream(): LocalStream | undefined {
    return this.#publisher?.stream;
  }

  async join(fields: JoinFields): Promise<void> {
    try {
      await this.#signalling.opened;
      const room = await this.#signalling.request<JoinResult>('join', fields, JOIN_TIMEOUT_MS);
      this.#state = 'joined';
      this.#events.joined();
      this.#announce(room);
    } catch (thrown) {
      const error = asJoinError(thrown);
      this.#end({ how: 'refused' }, error);
      this.#signalling.close(error);
      throw error;
    }
  }

  /** Resolves when the gateway knows, or cannot be told. */
  async leave(): Promise<void> {
    const aborted = new RtcError('API_CALL_ABORTED', 'leave() was called meanwhile.');
    if (this.#state === 'joined') {
      this.#end({ how: 'left' }, aborted);
      await this.#signalling.request('leave', {}, LEAVE_TIMEOUT_MS).catch((error: unknown) => {
        console.warn(`leave: ${wordsOf(error)}`);
      });
    }
    // While joining this is all there is to do: a socket that closes with 1000 is a leave too, and join() rejects.
    this.#end({ how: 'refused' }, aborted);
    this.#signalling.close(aborted);
  }

  async publish(stream: LocalStream): Promise<void> {
    const publisher = new Publisher(this.#platform, this.#signalling, stream);
    this.#publisher = publisher;
    try {
      await publisher.start((error) => this.#events.error(error));
    } catch (thrown) {
      if (this.#publisher === publisher) this.#publisher = null;
      throw thrown;
    }
  }

  async unpublish(): Promise<void> {
    const publisher = this.#publisher;
    this.#publisher = null;
    await publisher?.stop();
  }

  async subscribe(stream: RemoteStream, choice: { audio: boolean; video: boolean }): Promise<void> {
    await this.#subscriber.subscribe(stream, choice);
  }

  async unsubscribe(stream: RemoteStream): Promise<void> {
    await this.#subscriber.unsubscribe(stream);
  }

  #announce(room: JoinResult): void {
    for (const peer of room.peers) this.#whileJoined(() => this.#events.peerJoined(peer.user));
    for (const stream of room.streams) this.#whileJoined(() => this.#addStream(stream));
  }

  // A listener may have left in the midst of the roster.
  #whileJoined(act: () => void): void {
    if (this.#state === 'joined') act();
  }

  #onMessage(message: GatewayMessage): void {
    if (message.type === 'ended') {
      this.#onEnded(message.reason, message.client_banned);
    } else if (message.type === 'error') {
      console.error(`the gateway complains: ${message.message}`);
    } else {
      this.#whileJoined(() => this.#onRoomMessage(message));
    }
  }

  #onRoomMessage(message: Exclude<GatewayMessage, { type: 'ended' | 'error' }>): void {
    switch (message.type) {
      case 'peer_joined':
        this.#events.peerJoined(message.user);
        break;
      case 'peer_left':
        this.#events.peerLeft(message.user);
        break;
      case 'stream_added':
        this.#addStream(message);
        break;
      case 'stream_removed':
        this.#removeStream(message.stream);
        break;
      case 'offer':
        this.#subscriber.onOffer(message);
        break;
      // Any other type is of a later version: to be ignored.
    }
  }

  #addStream(info: StreamInfo): void {
    const remote = new RemoteStream(this.#platform, info);
    this.#subscriber.add(info.stream, remote);
    this.#events.streamAdded(remote);
    // After the event, so that an application that chooses in its listener is not asked to pay for both.
    if (this.#autoSubscribe && !this.#subscriber.hasChosen(info.stream)) {
      this.#subscriber.subscribe(remote, { audio: true, video: true }).catch((error: unknown) => {
        if (this.#state === 'joined') console.warn(`automatic subscription: ${wordsOf(error)}`);
      });
    }
  }

  #removeStream(stream: string): void {
    const remote = this.#subscriber.remove(stream);
    if (!remote) return;
    this.#events.streamRemoved(remote);
    RemoteStream.release(remote);
  }

  #onEnded(reason: string, notice: BannedNotice | undefined): void {
    const text = `the gateway ended the session: ${reason}.`;
    const error = new RtcError('SIGNAL_CHANNEL_ERROR', text);
    this.#end(notice ? { how: 'banned', notice } : { how: 'lost', error }, error);
    // Also when it crosses our own leave, where the application hears nothing more: the receipt waits for it.
    this.#signalling.notify('ended_ack');
    setTimeout(() => this.#signalling.close(error), CLOSE_TIMEOUT_MS);
  }

  #onLost(code: number, reason: string): void {
    const text = `the connection to the gateway was lost (code ${code}${reason && `, ${reason}`}).`;
    const error = new RtcError('SIGNAL_CHANNEL_ERROR', text);
    // While joining, join() hears it from the socket and ends the session.
    if (this.#state === 'joined') this.#end({ how: 'lost', error }, error);
  }

  /** The one way out: every ending comes through here, and only the first counts. */
  #end(ending: Ending, cause: RtcError): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#publisher?.close(cause);
    this.#publisher = null;
    this.#subscriber.close(cause);
    this.#events.ended(ending);
  }
}

function asJoinError(thrown: unknown): RtcError {
  const call = 'join()';
  if (thrown instanceof RequestRefused) {
    const { message, extra } = thrown.failure;
    const text = `Failed to join room - ${message} code: ${extra}`;
    return new RtcError('JOIN_ROOM_FAILED', text, { call, extraCode: extra, cause: thrown });
  }
  if (thrown instanceof RtcError && thrown.getCode() === 0x404b) {
    return new RtcError('JOIN_ROOM_FAILED', 'join room timeout.', { call, cause: thrown });
  }
  return thrown instanceof RtcError
    ? thrown
    : new RtcError('JOIN_ROOM_FAILED', `Failed to join room - ${wordsOf(thrown)}`, { call, cause: thrown });
}
