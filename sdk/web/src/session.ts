import { Channel } from './channel.js';
import type { Role } from './checks.js';
import type { Attachment } from './entry.js';
import { RtcError, wordsOf } from './errors.js';
import type { LocalStream } from './local-stream.js';
import type { BannedNotice, JoinFields, RoomMessage, RoomView, StreamInfo } from './messages.js';
import type { Platform } from './platform.js';
import { Publisher } from './publisher.js';
import type { Way } from './relays.js';
import { RemoteStream } from './remote-stream.js';
import { Roster } from './roster.js';
import { RequestRefused } from './signalling.js';
import { Subscriber } from './subscriber.js';

export type Ending =
  | { how: 'left' }
  | { how: 'banned'; notice: BannedNotice }
  | { how: 'lost'; error: RtcError }
  /** Before it had joined: whoever called join() hears why. */
  | { how: 'refused' };

/** What the owner of a session hears, in this order: connected, anything of the room, ended (exactly once). */
export interface SessionEvents {
  connected(): void;
  /** Until it is connected again; may be said repeatedly. */
  reconnecting(): void;
  peerJoined(userId: string): void;
  peerLeft(userId: string): void;
  streamAdded(stream: RemoteStream): void;
  streamRemoved(stream: RemoteStream): void;
  error(error: RtcError): void;
  ended(ending: Ending): void;
}

/** One stay of one userId in one room. Used once. */
export class Session {
  readonly #platform: Platform;
  readonly #events: SessionEvents;
  readonly #autoSubscribe: boolean;
  readonly #channel: Channel;
  readonly #subscriber: Subscriber;
  readonly #roster = new Roster();
  #publisher: Publisher | null = null;
  #state: 'joining' | 'joined' | 'ended' = 'joining';

  constructor(platform: Platform, address: string, way: Way, autoSubscribe: boolean, events: SessionEvents) {
    this.#platform = platform;
    this.#events = events;
    this.#autoSubscribe = autoSubscribe;
    this.#channel = new Channel(platform, address, way, {
      received: (message) => {
        if (message.type === 'offer') this.#subscriber.onOffer(message);
        else if (message.type === 'media_lost') this.#renewMedia(message.connection);
        else this.#tell([message]);
      },
      lost: () => events.reconnecting(),
      restored: (attachment) => this.#restoreMedia(attachment),
      attached: (room) => this.#show(room),
      over: (cause, notice) => this.#end(notice ? { how: 'banned', notice } : { how: 'lost', error: cause }, cause),
    });
    this.#subscriber = new Subscriber(platform, this.#channel, (error) => events.error(error));
  }

  get isJoined(): boolean {
    return this.#state === 'joined';
  }

  get role(): Role | undefined {
    return this.#channel.role;
  }

  get publishedStream(): LocalStream | undefined {
    return this.#publisher?.stream;
  }

  async join(fields: JoinFields): Promise<void> {
    let room: RoomView;
    try {
      room = await this.#channel.join(fields);
    } catch (thrown) {
      const error = thrown as RtcError;
      this.#end({ how: 'refused' }, error);
      this.#channel.close(error);
      throw error;
    }
    this.#state = 'joined';
    this.#show(room);
  }

  /** Resolves when the gateway knows, or cannot be told. */
  async leave(): Promise<void> {
    const aborted = new RtcError('API_CALL_ABORTED', 'leave() was called meanwhile.');
    if (this.#state === 'joined') {
      this.#end({ how: 'left' }, aborted);
      await this.#channel.leave();
    }
    // While joining this is all there is to do: a socket that closes with 1000 is a leave too, and join() rejects.
    this.#end({ how: 'refused' }, aborted);
    this.#channel.close(aborted);
  }

  /** Who becomes audience publishes nothing any more. */
  async switchRole(role: Role): Promise<void> {
    if (role === 'audience') await this.unpublish();
    try {
      await this.#channel.switchRole(role);
    } catch (thrown) {
      throw asSwitchError(thrown);
    }
  }

  async publish(stream: LocalStream): Promise<void> {
    const publisher = new Publisher(this.#platform, this.#channel, stream, (error) => this.#events.error(error));
    this.#publisher = publisher;
    try {
      await publisher.started();
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

  /** After a change of the socket: what the gateway has of our media against what we have. */
  #restoreMedia({ media, published, streams }: Attachment): void {
    const isUp = media && this.#publisher?.isUp(published);
    if (!isUp) {
      // Whatever it is, nobody here can send it.
      if (published !== null) void this.#takeBack(published);
      this.#publisher?.renew();
    }
    this.#subscriber.restore(media, new Set(streams.map(({ stream }) => stream)));
  }

  /** The gateway has let go of a connection, and of what went over it. */
  #renewMedia(connection: 'publish' | 'subscribe'): void {
    if (connection === 'publish') this.#publisher?.renew();
    else this.#subscriber.renew();
  }

  async #takeBack(stream: string): Promise<void> {
    await this.#channel.request('unpublish', { stream }).catch((error: unknown) => {
      console.warn(`unpublish: ${wordsOf(error)}`);
    });
  }

  /** The room as it is, which the application sees for the first time or again after a while. */
  #show(room: RoomView): void {
    this.#events.connected();
    this.#tell(this.#roster.missing(room));
    if (this.#autoSubscribe) this.#subscriber.receiveUndecided();
  }

  #tell(messages: RoomMessage[]): void {
    for (const message of messages) {
      // A listener may have left in the midst of it.
      if (this.#state !== 'joined') return;
      this.#roster.note(message);
      this.#tellOne(message);
    }
  }

  #tellOne(message: RoomMessage): void {
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
      // Any other type is of a later version: to be ignored.
    }
  }

  #addStream(info: StreamInfo): void {
    const remote = new RemoteStream(this.#platform, info);
    this.#subscriber.add(info.stream, remote);
    this.#events.streamAdded(remote);
    // After the event, so that an application that chooses in its listener is not asked to pay for both.
    if (this.#autoSubscribe) this.#subscriber.receiveUndecided();
  }

  #removeStream(stream: string): void {
    const remote = this.#subscriber.remove(stream);
    if (!remote) return;
    this.#events.streamRemoved(remote);
    RemoteStream.release(remote);
  }

  /** The one way out: every ending comes through here, and only the first counts. */
  #end(ending: Ending, cause: RtcError): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#publisher?.close(cause);
    this.#publisher = null;
    this.#subscriber.close(cause);
    this.#channel.end(cause);
    this.#events.ended(ending);
  }
}

function asSwitchError(thrown: unknown): RtcError {
  if (thrown instanceof RtcError) return thrown;
  const extraCode = thrown instanceof RequestRefused ? thrown.failure.extra : 0;
  const text = `switchRole failed, errCode: ${extraCode} errMsg: ${wordsOf(thrown)}.`;
  return new RtcError('SWITCH_ROLE_FAILED', text, { call: 'switchRole()', extraCode, cause: thrown });
}
