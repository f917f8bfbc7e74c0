import type { Channel } from './channel.js';
import type { VideoSize } from './checks.js';
import { canDecode, unsupported } from './codecs.js';
import { ConnectionWatch } from './connection-watch.js';
import { RtcError, wordsOf } from './errors.js';
import type { Kind, Offer } from './messages.js';
import type { PeerConnection, Platform } from './platform.js';
import { RemoteStream } from './remote-stream.js';
import { RequestRefused } from './signalling.js';

const TRACKS_TIMEOUT_MS = 10_000;
/** The gateway hangs up when it has our answer, after 2 s at the latest; this is for one that does not. */
const CLOSE_TIMEOUT_MS = 3_000;
const CALL = 'subscribe()';

interface Choice {
  audio: boolean;
  video: boolean;
}

interface Asked extends Choice {
  size: VideoSize;
}

interface Waiting {
  stream: string;
  resolve(): void;
  reject(error: RtcError): void;
}

interface Subscription {
  remote: RemoteStream;
  /** Null: not asked for, or given up. */
  choice: Asked | null;
  size: VideoSize;
  /** The gateway's answer to the choice. */
  accepted: Promise<unknown>;
  /** Whether the application has said what it wants. */
  isDecided: boolean;
  /** Whether the tracks are of a connection that is no more: they stay in sight until others come. */
  isStale: boolean;
}

/** The streams of the others on their way here: one peer connection, which the gateway offers. */
export class Subscriber {
  readonly #platform: Platform;
  readonly #channel: Channel;
  readonly #onLost: (error: RtcError) => void;
  readonly #subscriptions = new Map<string, Subscription>();
  #waiting: Waiting[] = [];
  #connection: PeerConnection | null = null;
  #lastOffer: Offer | null = null;
  #negotiation: Promise<void> = Promise.resolve();
  /** Counts sockets and connections: what was offered before is not answered over another. */
  #era = 0;
  /** The gateway has been asked to let go of a connection that is broken; until it answers, offers are of that one. */
  #reconnections = 0;
  #health: 'well' | 'lost' | 'broken' = 'well';
  #watch: ConnectionWatch | null = null;
  #isRestarting = false;
  #isClosed = false;
  #isAnswering = false;

  constructor(platform: Platform, channel: Channel, onLost: (error: RtcError) => void) {
    this.#platform = platform;
    this.#channel = channel;
    this.#onLost = onLost;
  }

  add(stream: string, remote: RemoteStream): void {
    const accepted = Promise.resolve();
    this.#subscriptions.set(stream, {
      remote,
      choice: null,
      size: 'big',
      accepted,
      isDecided: false,
      isStale: false,
    });
  }

  /** Undefined if there was no such stream. */
  remove(stream: string): RemoteStream | undefined {
    const remote = this.#subscriptions.get(stream)?.remote;
    this.#subscriptions.delete(stream);
    this.#giveUp(stream, removed());
    return remote;
  }

  /** The application's choice. Resolves when the tracks that were asked for, and that the stream has, are there. */
  async subscribe(remote: RemoteStream, choice: Choice): Promise<void> {
    const [stream, subscription] = this.#find(remote);
    subscription.isDecided = true;
    for (const kind of ['audio', 'video'] as const) {
      const codec = choice[kind] ? this.#foreign(remote, kind) : undefined;
      if (codec !== undefined) throw unsupported([codec], 'show', CALL);
    }
    await this.#receive(stream, subscription, choice);
  }

  /** The codec of what this browser cannot decode. */
  #foreign(remote: RemoteStream, kind: Kind): string | undefined {
    const codec = RemoteStream.codec(remote, kind);
    return canDecode(this.#platform.receivableCodecs(kind), codec) ? undefined : codec;
  }

  /** Which picture is wanted of a stream that has two. Kept for later where nothing is received now. */
  async prefer(remote: RemoteStream, size: VideoSize): Promise<void> {
    const [stream, subscription] = this.#find(remote);
    subscription.size = size;
    if (subscription.choice) await this.#receive(stream, subscription, subscription.choice);
  }

  get connection(): PeerConnection | null {
    return this.#connection;
  }

  get remotes(): RemoteStream[] {
    return Array.from(this.#subscriptions.values(), ({ remote }) => remote);
  }

  /** Everything of each stream about which the application has said nothing. */
  receiveUndecided(): void {
    for (const [stream, subscription] of this.#subscriptions) {
      if (subscription.isDecided || subscription.choice) continue;
      const { remote } = subscription;
      const codecs = (['audio', 'video'] as const).map((kind) => this.#foreign(remote, kind));
      const foreign = codecs.filter((codec) => codec !== undefined);
      if (foreign.length > 0) this.#onLost(unsupported(foreign, 'show', CALL));
      const choice = { audio: codecs[0] === undefined, video: codecs[1] === undefined };
      this.#receive(stream, subscription, choice).catch((error: unknown) => {
        // That a stream went while it was asked for is no news: the application hears of it as `stream-removed`.
        if (!this.#isClosed && this.#subscriptions.has(stream))
          console.warn(`automatic subscription: ${wordsOf(error)}`);
      });
    }
  }

  async #receive(stream: string, subscription: Subscription, wanted: Choice): Promise<void> {
    const choice: Asked = { ...wanted, size: subscription.size };
    if (!isSame(subscription.choice, choice)) {
      subscription.choice = choice;
      subscription.accepted = this.#channel.request('subscribe', { stream, ...choice });
      this.#handOut();
    }
    try {
      await subscription.accepted;
      await this.#tracks(stream);
    } catch (thrown) {
      // So that a second attempt asks again.
      if (subscription.choice === choice) subscription.choice = null;
      throw asSubscribeError(thrown);
    }
  }

  async unsubscribe(remote: RemoteStream): Promise<void> {
    const [stream, subscription] = this.#find(remote);
    subscription.isDecided = true;
    if (!subscription.choice) return;
    subscription.choice = null;
    subscription.isStale = false;
    this.#giveUp(stream, new RtcError('API_CALL_ABORTED', 'unsubscribe() was called meanwhile.', { call: CALL }));
    RemoteStream.receive(remote, { audio: null, video: null });
    await this.#channel.request('unsubscribe', { stream });
  }

  /**
   * Called after a change of the socket, before any offer comes over the new one. Without `media` the gateway knows
   * nothing of the connection and of the choices; `streams` are those that are still there.
   */
  restore(media: boolean, streams: Set<string>): void {
    this.#era += 1;
    if (!media) this.renew((stream) => streams.has(stream));
    else if (this.#health === 'broken') void this.#reconnect();
    else if (this.#health === 'lost') void this.#mend();
  }

  /** The gateway has another connection for us, and is told again what we want of the streams that are there. */
  renew(isThere: (stream: string) => boolean = () => true): void {
    this.#letGo();
    for (const [stream, subscription] of this.#subscriptions) {
      const { choice } = subscription;
      if (!choice || !isThere(stream)) continue;
      subscription.isStale = true;
      subscription.accepted = this.#channel.request('subscribe', { stream, ...choice });
      subscription.accepted.catch((error: unknown) => {
        if (this.#isClosed) return;
        if (subscription.choice === choice) subscription.choice = null;
        subscription.isStale = false;
        this.#handOut();
        // What took our connection away may have taken the stream, too: that is told as its end.
        if (!isUnknownStream(error)) console.warn(`subscription after a reconnect: ${wordsOf(error)}`);
      });
    }
  }

  /** Has the gateway let go of a connection that it believes to be well. */
  async #reconnect(): Promise<void> {
    this.#letGo();
    this.#reconnections += 1;
    try {
      await this.#channel.request('reconnect', {});
    } catch (thrown) {
      if (this.#isClosed) return;
      const text = `there is no other connection to receive media over: ${wordsOf(thrown)}`;
      this.#onLost(new RtcError('DOWNLINK_RECONNECTION_FAILED', text, { cause: thrown }));
    } finally {
      this.#reconnections -= 1;
    }
    if (!this.#isClosed) this.renew();
  }

  /** Has the gateway offer another way for what there is. */
  async #mend(): Promise<void> {
    const connection = this.#connection;
    if (!connection || this.#isRestarting) return;
    this.#isRestarting = true;
    try {
      await this.#channel.prepare(connection);
      await this.#channel.request('restart_ice', {});
      if (connection !== this.#connection) return;
      this.#health = 'well';
      this.#watch?.restarted();
    } catch (thrown) {
      if (connection !== this.#connection || this.#isClosed) return;
      console.warn(`restart_ice: ${wordsOf(thrown)}`);
      await this.#reconnect();
    } finally {
      this.#isRestarting = false;
    }
  }

  #letGo(): void {
    this.#era += 1;
    this.#watch?.stop();
    this.#watch = null;
    this.#connection?.close();
    this.#connection = null;
    this.#health = 'well';
    this.#lastOffer = null;
    // What goes on at a connection that is closed may never come to an end.
    this.#negotiation = Promise.resolve();
  }

  /** Offers are answered one after the other, in the order they came. */
  onOffer(offer: Offer): void {
    if (this.#reconnections > 0) return;
    const era = this.#era;
    const isOver = () => this.#isClosed || era !== this.#era;
    this.#negotiation = this.#negotiation
      .then(() => this.#answer(offer, isOver))
      .catch((thrown: unknown) => {
        if (isOver()) return;
        this.#onLost(
          new RtcError('DOWNLINK_RECONNECTION_FAILED', `the gateway's offer was not understood: ${wordsOf(thrown)}`, {
            cause: thrown,
          }),
        );
      });
  }

  close(cause: RtcError): void {
    this.#isClosed = true;
    this.#watch?.stop();
    if (!this.#isAnswering) this.#connection?.close();
    for (const one of this.#waiting.splice(0)) one.reject(cause);
    for (const { remote } of this.#subscriptions.values()) RemoteStream.release(remote);
    this.#subscriptions.clear();
  }

  #find(remote: RemoteStream): [string, Subscription] {
    for (const entry of this.#subscriptions) if (entry[1].remote === remote) return entry;
    throw removed();
  }

  async #answer(offer: Offer, isOver: () => boolean): Promise<void> {
    if (isOver()) return;
    const connection = this.#connection ?? (await this.#open());
    // During an await the session may have ended, or its socket: the offer comes again over the next.
    if (isOver()) return;
    await connection.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    const answer = await connection.createAnswer();
    await connection.setLocalDescription(answer);
    this.#watch ??= this.#watchOver(connection);
    if (isOver()) return;
    this.#channel.answer(offer.number, answer.sdp);
    this.#lastOffer = offer;
    this.#handOut();
  }

  async #open(): Promise<PeerConnection> {
    const connection = (this.#connection = this.#platform.openPeerConnection());
    this.#listen(connection);
    await this.#channel.prepare(connection);
    return connection;
  }

  /** Hears over a data channel that the session has ended: the socket may be blocked. */
  #listen(connection: PeerConnection): void {
    // Both sides know of it, so that nobody has to open it.
    const channel = connection.createDataChannel('notice', { negotiated: true, id: 0 });
    channel.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
      if (typeof data !== 'string') return;
      // The answer needs the connection, which the gateway ends when it has it.
      this.#isAnswering = true;
      this.#isAnswering = this.#channel.hearBeside(data, (text) => channel.send(text));
      if (!this.#isAnswering) return;
      channel.addEventListener('close', () => connection.close());
      setTimeout(() => connection.close(), CLOSE_TIMEOUT_MS);
    });
  }

  #watchOver(connection: PeerConnection): ConnectionWatch {
    const watch: ConnectionWatch = new ConnectionWatch(this.#platform, connection, {
      lost: () => {
        this.#health = 'lost';
        this.#channel.renew();
      },
      broken: () => {
        this.#health = 'broken';
        if (!watch.wasConnected) {
          const text = 'the connection that media is to be received over does not come about.';
          this.#onLost(new RtcError('DOWNLINK_RECONNECTION_FAILED', text));
        }
        this.#channel.renew();
      },
    });
    return watch;
  }

  /** Gives every stream what is both asked for and named by the last offer, and nothing else. */
  #handOut(): void {
    const offered = this.#lastOffer?.tracks ?? [];
    const transceivers = this.#connection?.getTransceivers() ?? [];
    const trackOfMid = new Map(transceivers.map((one) => [one.mid, one.receiver.track]));
    for (const [stream, subscription] of this.#subscriptions) {
      const { remote, choice } = subscription;
      subscription.isStale &&= !offered.some((track) => track.stream === stream);
      if (subscription.isStale) continue;
      const trackOf = (kind: 'audio' | 'video') => {
        const mid = offered.find((track) => track.stream === stream && track.kind === kind)?.mid;
        return mid !== undefined && choice?.[kind] ? (trackOfMid.get(mid) ?? null) : null;
      };
      RemoteStream.receive(remote, { audio: trackOf('audio'), video: trackOf('video') });
    }
    for (const one of this.#waiting.filter(({ stream }) => this.#isComplete(stream))) one.resolve();
  }

  #isComplete(stream: string): boolean {
    const subscription = this.#subscriptions.get(stream);
    if (!subscription?.choice) return false;
    const { remote, choice } = subscription;
    const misses = (wanted: boolean, published: boolean, track: unknown) => wanted && published && !track;
    return (
      !misses(choice.audio, remote.hasAudio(), remote.getAudioTrack()) &&
      !misses(choice.video, remote.hasVideo(), remote.getVideoTrack())
    );
  }

  async #tracks(stream: string): Promise<void> {
    if (this.#isComplete(stream)) return;
    if (!this.#subscriptions.has(stream)) throw removed();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let waiting: Waiting | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        waiting = { stream, resolve, reject };
        this.#waiting.push(waiting);
        timer = setTimeout(() => {
          reject(new RtcError('SUBSCRIPTION_TIMEOUT', 'the gateway sent no offer in time.', { call: CALL }));
        }, TRACKS_TIMEOUT_MS);
      });
    } finally {
      clearTimeout(timer);
      this.#waiting = this.#waiting.filter((one) => one !== waiting);
    }
  }

  #giveUp(stream: string, cause: RtcError): void {
    for (const one of this.#waiting.filter((waiting) => waiting.stream === stream)) one.reject(cause);
  }
}

function isSame(one: Asked | null, other: Asked): boolean {
  return one?.audio === other.audio && one.video === other.video && one.size === other.size;
}

function removed(): RtcError {
  return new RtcError('REMOTE_STREAM_NOT_EXIST', 'the stream is no longer in the room.', { call: CALL });
}

function isUnknownStream(thrown: unknown): boolean {
  return thrown instanceof RequestRefused && thrown.failure.code === 'unknown_stream';
}

function asSubscribeError(thrown: unknown): RtcError {
  if (thrown instanceof RtcError) return thrown;
  const code = isUnknownStream(thrown) ? 'REMOTE_STREAM_NOT_EXIST' : 'UNKNOWN';
  return new RtcError(code, `failed to subscribe: ${wordsOf(thrown)}`, { call: CALL, cause: thrown });
}
