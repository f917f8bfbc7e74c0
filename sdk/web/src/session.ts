import { Channel } from './channel.js';
import type { Role, SmallStreamProfile, VideoSize } from './checks.js';
import type { Attachment } from './entry.js';
import { RtcError, wordsOf } from './errors.js';
import type { LocalStream } from './local-stream.js';
import type { BannedNotice, JoinFields, Kind, RoomMessage, StreamInfo, StreamKind } from './messages.js';
import type { Platform } from './platform.js';
import { Quality } from './quality.js';
import type { NetworkQuality } from './stats.js';
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

interface Owner {
  userId: string;
  autoSubscribe: boolean;
}

/** What the owner of a session hears, in this order: connected, anything of the room, ended (exactly once). */
export interface SessionEvents {
  connected(): void;
  /** Until it is connected again; may be said repeatedly. */
  reconnecting(): void;
  peerJoined(userId: string): void;
  peerLeft(userId: string): void;
  streamAdded(stream: RemoteStream): void;
  streamRemoved(stream: RemoteStream): void;
  muted(kind: Kind, userId: string, isMuted: boolean): void;
  quality(quality: NetworkQuality): void;
  error(error: RtcError): void;
  ended(ending: Ending): void;
}

const KINDS = ['main', 'auxiliary'] as const;

/** One stay of one userId in one room. Used once. */
export class Session {
  readonly #platform: Platform;
  readonly #events: SessionEvents;
  readonly #autoSubscribe: boolean;
  readonly #channel: Channel;
  readonly #subscriber: Subscriber;
  readonly #roster = new Roster();
  readonly #publishers = new Map<StreamKind, Publisher>();
  readonly quality: Quality;
  #codecs: string[] = [];
  #state: 'joining' | 'joined' | 'ended' = 'joining';

  constructor(platform: Platform, address: string, way: Way, { userId, autoSubscribe }: Owner, events: SessionEvents) {
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
      attached: (attachment) => this.#show(attachment),
      over: (cause, notice) => this.#end(notice ? { how: 'banned', notice } : { how: 'lost', error: cause }, cause),
    });
    this.#subscriber = new Subscriber(platform, this.#channel, (error) => events.error(error));
    this.quality = new Quality(
      platform,
      {
        userId,
        sending: () => this.#publishers.get('main')?.connection,
        receiving: () => this.#subscriber.connection,
        remotes: () => this.#subscriber.remotes,
      },
      (quality) => events.quality(quality),
    );
  }

  get isJoined(): boolean {
    return this.#state === 'joined';
  }

  get role(): Role | undefined {
    return this.#channel.role;
  }

  /** The stream that is published as the main one, or beside it. */
  published(kind: StreamKind): LocalStream | undefined {
    return this.#publishers.get(kind)?.stream;
  }

  /** What the others publish. */
  get streams(): StreamInfo[] {
    return this.#roster.streams;
  }

  async join(fields: JoinFields): Promise<void> {
    let attachment: Attachment;
    try {
      attachment = await this.#channel.join(fields);
    } catch (thrown) {
      const error = thrown as RtcError;
      this.#end({ how: 'refused' }, error);
      this.#channel.close(error);
      throw error;
    }
    this.#state = 'joined';
    this.quality.start();
    this.#show(attachment);
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
    if (role === 'audience') await Promise.all(KINDS.map((kind) => this.unpublish(kind)));
    try {
      await this.#channel.switchRole(role);
    } catch (thrown) {
      throw asSwitchError(thrown);
    }
  }

  async publish(stream: LocalStream, kind: StreamKind, small: SmallStreamProfile | null): Promise<void> {
    const way = { kind, small, codecs: () => this.#codecs };
    const publisher = new Publisher(this.#platform, this.#channel, stream, way, (error) => this.#events.error(error));
    this.#publishers.set(kind, publisher);
    try {
      await publisher.started();
    } catch (thrown) {
      if (this.#publishers.get(kind) === publisher) this.#publishers.delete(kind);
      throw thrown;
    }
  }

  async unpublish(kind: StreamKind): Promise<void> {
    const publisher = this.#publishers.get(kind);
    this.#publishers.delete(kind);
    await publisher?.stop();
  }

  async prefer(stream: RemoteStream, size: VideoSize): Promise<void> {
    await this.#subscriber.prefer(stream, size);
  }

  async subscribe(stream: RemoteStream, choice: { audio: boolean; video: boolean }): Promise<void> {
    await this.#subscriber.subscribe(stream, choice);
  }

  async unsubscribe(stream: RemoteStream): Promise<void> {
    await this.#subscriber.unsubscribe(stream);
  }

  /** After a change of the socket: what the gateway has of our media against what we have. */
  #restoreMedia({ media, published, auxiliary, codecs, streams }: Attachment): void {
    this.#codecs = codecs;
    for (const kind of KINDS) {
      const there = kind === 'main' ? published : auxiliary;
      const publisher = this.#publishers.get(kind);
      if (media && publisher?.isUp(there)) {
        publisher.mend();
        continue;
      }
      // Whatever it is, nobody here can send it.
      if (there !== null) void this.#takeBack(there);
      publisher?.renew();
    }
    this.#subscriber.restore(media, new Set(streams.map(({ stream }) => stream)));
  }

  /** The gateway has let go of a connection, and of what went over it. */
  #renewMedia(connection: 'publish' | 'subscribe'): void {
    if (connection === 'publish') for (const publisher of this.#publishers.values()) publisher.renew();
    else this.#subscriber.renew();
  }

  async #takeBack(stream: string): Promise<void> {
    await this.#channel.request('unpublish', { stream }).catch((error: unknown) => {
      console.warn(`unpublish: ${wordsOf(error)}`);
    });
  }

  /** The room as it is, which the application sees for the first time or again after a while. */
  #show(attachment: Attachment): void {
    this.#codecs = attachment.codecs;
    this.#events.connected();
    this.#tell(this.#roster.missing(attachment));
    if (this.#autoSubscribe) this.#subscriber.receiveUndecided();
  }

  #tell(messages: RoomMessage[]): void {
    for (const message of messages) {
      // A listener may have left in the midst of it.
      if (this.#state !== 'joined') return;
      const before = 'stream' in message ? this.#roster.muted(message.stream) : [];
      this.#roster.note(message);
      this.#tellOne(message);
      if ('stream' in message && message.type !== 'stream_removed') this.#tellMuted(message, before);
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

  /** Said of a newcomer too, who is muted already. */
  #tellMuted({ user, muted = [] }: { user: string; muted?: Kind[] }, before: Kind[]): void {
    for (const kind of ['audio', 'video'] as const) {
      const isMuted = muted.includes(kind);
      if (isMuted !== before.includes(kind) && this.#state === 'joined') this.#events.muted(kind, user, isMuted);
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
    this.quality.stop();
    for (const publisher of this.#publishers.values()) publisher.close(cause);
    this.#publishers.clear();
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
