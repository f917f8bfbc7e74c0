import { RtcError, wordsOf } from './errors.js';
import type { Offer } from './messages.js';
import type { PeerConnection, Platform } from './platform.js';
import { RemoteStream } from './remote-stream.js';
import { RequestRefused, type Signalling } from './signalling.js';

const TRACKS_TIMEOUT_MS = 10_000;
const CALL = 'subscribe()';

interface Choice {
  audio: boolean;
  video: boolean;
}

interface Waiting {
  stream: string;
  resolve(): void;
  reject(error: RtcError): void;
}

interface Subscription {
  remote: RemoteStream;
  /** Null: not asked for, or given up. */
  choice: Choice | null;
  /** The gateway's answer to the choice. */
  accepted: Promise<unknown>;
}

/** The streams of the others on their way here: one peer connection, which the gateway offers. */
export class Subscriber {
  readonly #platform: Platform;
  readonly #signalling: Signalling;
  readonly #onLost: (error: RtcError) => void;
  readonly #subscriptions = new Map<string, Subscription>();
  #waiting: Waiting[] = [];
  #connection: PeerConnection | null = null;
  #lastOffer: Offer | null = null;
  #negotiation: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(platform: Platform, signalling: Signalling, onLost: (error: RtcError) => void) {
    this.#platform = platform;
    this.#signalling = signalling;
    this.#onLost = onLost;
  }

  add(stream: string, remote: RemoteStream): void {
    this.#subscriptions.set(stream, { remote, choice: null, accepted: Promise.resolve() });
  }

  /** Undefined if there was no such stream. */
  remove(stream: string): RemoteStream | undefined {
    const remote = this.#subscriptions.get(stream)?.remote;
    this.#subscriptions.delete(stream);
    this.#giveUp(stream, removed());
    return remote;
  }

  hasChosen(stream: string): boolean {
    return this.#subscriptions.get(stream)?.choice != null;
  }

  /** Resolves when the tracks that were asked for, and that the stream has, are there. */
  async subscribe(remote: RemoteStream, choice: Choice): Promise<void> {
    const [stream, subscription] = this.#find(remote);
    if (!isSame(subscription.choice, choice)) {
      subscription.choice = choice;
      subscription.accepted = this.#signalling.request('subscribe', { stream, ...choice });
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
    if (!subscription.choice) return;
    subscription.choice = null;
    this.#giveUp(stream, new RtcError('API_CALL_ABORTED', 'unsubscribe() was called meanwhile.', { call: CALL }));
    RemoteStream.receive(remote, { audio: null, video: null });
    await this.#signalling.request('unsubscribe', { stream });
  }

  /** Offers are answered one after the other, in the order they came. */
  onOffer(offer: Offer): void {
    this.#negotiation = this.#negotiation
      .then(() => this.#answer(offer))
      .catch((thrown: unknown) => {
        if (this.#isClosed) return;
        this.#onLost(
          new RtcError('DOWNLINK_RECONNECTION_FAILED', `the gateway's offer was not understood: ${wordsOf(thrown)}`, {
            cause: thrown,
          }),
        );
      });
  }

  close(cause: RtcError): void {
    this.#isClosed = true;
    this.#connection?.close();
    for (const one of this.#waiting.splice(0)) one.reject(cause);
    for (const { remote } of this.#subscriptions.values()) RemoteStream.release(remote);
    this.#subscriptions.clear();
  }

  #find(remote: RemoteStream): [string, Subscription] {
    for (const entry of this.#subscriptions) if (entry[1].remote === remote) return entry;
    throw removed();
  }

  async #answer(offer: Offer): Promise<void> {
    if (this.#isClosed) return;
    const connection = (this.#connection ??= this.#open());
    await connection.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    const answer = await connection.createAnswer();
    await connection.setLocalDescription(answer);
    // The session may have ended during the awaits: then there is nothing to hand out and nobody to answer.
    if (this.#isClosed as boolean) return;
    this.#signalling.notify('answer', { number: offer.number, sdp: answer.sdp });
    this.#lastOffer = offer;
    this.#handOut();
  }

  #open(): PeerConnection {
    const connection = this.#platform.openPeerConnection();
    connection.addEventListener('connectionstatechange', () => {
      if (connection.connectionState === 'failed' && !this.#isClosed) {
        this.#onLost(
          new RtcError('DOWNLINK_RECONNECTION_FAILED', 'the connection that media is received over was lost.'),
        );
      }
    });
    return connection;
  }

  /** Gives every stream what is both asked for and named by the last offer, and nothing else. */
  #handOut(): void {
    const offered = this.#lastOffer?.tracks ?? [];
    const transceivers = this.#connection?.getTransceivers() ?? [];
    const trackOfMid = new Map(transceivers.map((one) => [one.mid, one.receiver.track]));
    for (const [stream, { remote, choice }] of this.#subscriptions) {
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

function isSame(one: Choice | null, other: Choice): boolean {
  return one?.audio === other.audio && one.video === other.video;
}

function removed(): RtcError {
  return new RtcError('REMOTE_STREAM_NOT_EXIST', 'the stream is no longer in the room.', { call: CALL });
}

function asSubscribeError(thrown: unknown): RtcError {
  if (thrown instanceof RtcError) return thrown;
  const isUnknown = thrown instanceof RequestRefused && thrown.failure.code === 'unknown_stream';
  const code = isUnknown ? 'REMOTE_STREAM_NOT_EXIST' : 'UNKNOWN';
  return new RtcError(code, `failed to subscribe: ${wordsOf(thrown)}`, { call: CALL, cause: thrown });
}
