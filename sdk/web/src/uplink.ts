import type { Channel } from './channel.js';
import type { SmallStreamProfile } from './checks.js';
import { unsupported, encodings, LAYERED, preferred } from './codecs.js';
import { ConnectionWatch } from './connection-watch.js';
import { RtcError, wordsOf, type ErrorName } from './errors.js';
import { LocalStream } from './local-stream.js';
import type { Kind, PublishResult, RestartResult, StreamKind } from './messages.js';
import type { PeerConnection, Platform } from './platform.js';
import { RequestRefused } from './signalling.js';

const CONNECT_TIMEOUT_MS = 10_000;
const CALL = 'publish()';

/** How a stream is published. */
export interface Way {
  kind: StreamKind;
  /** Also in a small size. */
  small: SmallStreamProfile | null;
  /** What the gateway forwards, the preferred first; asked anew for each uplink. */
  codecs(): string[];
}

const REFUSALS: Record<string, ErrorName> = {
  invalid_state: 'INVALID_OPERATION',
  no_permission: 'INVALID_OPERATION',
  unsupported_media: 'NOT_SUPPORTED',
  media_limit: 'INVALID_OPERATION',
};

/** A local stream's way to one gateway: a peer connection that this side offers. */
export class Uplink {
  readonly #stream: LocalStream;
  readonly #way: Way;
  readonly #platform: Platform;
  readonly #channel: Channel;
  readonly #connection: PeerConnection;
  #remoteId: string | null = null;
  #state: 'live' | 'stopped' | 'over' = 'live';
  #health: 'well' | 'lost' | 'broken' = 'well';
  #watch: ConnectionWatch | undefined;
  #onTrouble: () => void = () => undefined;
  #isRestarting = false;
  #abort: (error: RtcError) => void = () => undefined;

  constructor(platform: Platform, channel: Channel, stream: LocalStream, way: Way) {
    this.#platform = platform;
    this.#channel = channel;
    this.#stream = stream;
    this.#way = way;
    this.#connection = platform.openPeerConnection();
  }

  get connection(): PeerConnection {
    return this.#connection;
  }

  /** The gateway's name of the stream; null: it has not answered. */
  get id(): string | null {
    return this.#remoteId;
  }

  get isBroken(): boolean {
    return this.#health === 'broken' || ['failed', 'closed'].includes(this.#connection.connectionState);
  }

  /** Resolves when media can flow. `onTrouble` is called later, when it does not any more: isBroken, or mend() may help. */
  async start(onTrouble: () => void): Promise<void> {
    try {
      this.#addTracks();
      const aborted = new Promise<never>((_resolve, reject) => (this.#abort = reject));
      await Promise.race([this.#negotiate(), aborted]);
      await this.#connected(aborted);
    } catch (thrown) {
      void this.stop();
      throw asPublishError(thrown);
    }
    this.#onTrouble = onTrouble;
    this.#watch = new ConnectionWatch(this.#platform, this.#connection, {
      lost: () => this.#ail('lost'),
      broken: () => this.#ail('broken'),
    });
  }

  #ail(health: 'lost' | 'broken'): void {
    this.#health = health;
    this.#onTrouble();
  }

  /** Looks for another way to the gateway, if the way there was lost: the stream stays what it is. */
  async mend(): Promise<void> {
    if (this.#health !== 'lost' || this.#isRestarting) return;
    this.#isRestarting = true;
    try {
      await this.#restart();
    } catch (thrown) {
      if (this.#state !== 'live') return;
      console.warn(`restart_ice: ${wordsOf(thrown)}`);
      this.#ail('broken');
    } finally {
      this.#isRestarting = false;
    }
  }

  async #restart(): Promise<void> {
    await this.#channel.prepare(this.#connection);
    this.#connection.restartIce();
    const offer = await this.#connection.createOffer();
    await this.#connection.setLocalDescription(offer);
    const request = { stream: this.#remoteId, sdp: offer.sdp };
    const answer = await this.#channel.request<RestartResult>('restart_ice', request);
    if (this.#state !== 'live') return;
    await this.#connection.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
    this.#health = 'well';
    this.#watch?.restarted();
  }

  /** Ends the publication at the gateway too. */
  async stop(): Promise<void> {
    this.#shut('stopped', new RtcError('API_CALL_ABORTED', 'the stream is no longer published.', { call: CALL }));
    await this.#unpublish();
  }

  /** Where the gateway has nothing to be told. */
  close(cause: RtcError): void {
    this.#shut('over', cause);
  }

  #shut(state: 'stopped' | 'over', cause: RtcError): void {
    if (this.#state !== 'over') this.#state = state;
    this.#watch?.stop();
    this.#connection.close();
    this.#abort(cause);
  }

  async #unpublish(): Promise<void> {
    const stream = this.#remoteId;
    if (stream === null || this.#state === 'over') return;
    this.#remoteId = null;
    await this.#channel.request('unpublish', { stream }).catch((error: unknown) => {
      console.warn(`unpublish: ${wordsOf(error)}`);
    });
  }

  #addTracks(): void {
    const audio = this.#stream.getAudioTrack();
    const video = this.#stream.getVideoTrack();
    const tracks = [audio, video].filter((track) => track !== null);
    const streams = [this.#platform.newMediaStream(tracks)];
    if (audio) this.#addTrack('audio', audio, { direction: 'sendonly', streams });
    if (video) this.#addVideo(video, streams);
  }

  #addVideo(track: MediaStreamTrack, streams: MediaStream[]): void {
    const { small } = this.#way;
    // In two sizes only what can be told apart in them; where the gateway has no such codec, there is one size.
    const layered = small ? preferred('video', this.#platform.sendableCodecs('video'), this.#layeredCodecs()) : [];
    const sendEncodings = encodings(track, LocalStream.maxBitrate(this.#stream), layered.length > 0 ? small : null);
    const init: RTCRtpTransceiverInit = { direction: 'sendonly', streams, sendEncodings };
    this.#addTrack('video', track, init, layered.length > 0 ? layered : undefined);
  }

  #layeredCodecs(): string[] {
    return this.#way.codecs().filter((name) => LAYERED.includes(name));
  }

  #addTrack(kind: Kind, track: MediaStreamTrack, init: RTCRtpTransceiverInit, codecs?: RTCRtpCodec[]): void {
    const sendable = this.#platform.sendableCodecs(kind);
    const usable = codecs ?? preferred(kind, sendable, this.#way.codecs());
    if (sendable.length > 0 && usable.length === 0) throw unsupported(this.#way.codecs(), 'send', CALL);
    const transceiver = this.#connection.addTransceiver(track, init);
    if (usable.length > 0) transceiver.setCodecPreferences(usable);
  }

  async #negotiate(): Promise<void> {
    await this.#channel.prepare(this.#connection);
    const offer = await this.#connection.createOffer();
    await this.#connection.setLocalDescription(offer);
    // At once, without candidates: the gateway takes the address from the first check that it hears.
    const request = { kind: this.#way.kind, sdp: offer.sdp, muted: LocalStream.muted(this.#stream) };
    const answer = await this.#channel.request<PublishResult>('publish', request);
    this.#remoteId = answer.stream;
    // Stopped before the gateway had answered: only now is there a stream to take back.
    if (this.#state !== 'live') {
      await this.#unpublish();
      return;
    }
    await this.#connection.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
  }

  async #connected(aborted: Promise<never>): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const settled = new Promise<void>((resolve, reject) => {
      const failed = (how: string) =>
        reject(new RtcError('ICE_TRANSPORT_ERROR', `media cannot reach the gateway: ${how}.`, { call: CALL }));
      timer = setTimeout(() => failed('no connection in time'), CONNECT_TIMEOUT_MS);
      const look = () => {
        if (this.#connection.connectionState === 'connected') resolve();
        if (this.#connection.connectionState === 'failed') failed('the connection has failed');
      };
      this.#connection.addEventListener('connectionstatechange', look);
      look();
    });
    try {
      await Promise.race([settled, aborted]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function asPublishError(thrown: unknown): RtcError {
  if (thrown instanceof RtcError) return thrown;
  const details = { call: CALL, cause: thrown };
  const text = `failed to publish: ${wordsOf(thrown)}`;
  if (!(thrown instanceof RequestRefused)) return new RtcError('CREATE_OFFER_FAILED', text, details);
  const { code, extra: extraCode } = thrown.failure;
  return new RtcError(REFUSALS[code] ?? 'UNKNOWN', text, { ...details, extraCode });
}
