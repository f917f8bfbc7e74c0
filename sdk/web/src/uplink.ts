import { DEFAULT_PROFILE } from './capture.js';
import type { Channel } from './channel.js';
import { whenBroken } from './connection-watch.js';
import { RtcError, wordsOf, type ErrorName } from './errors.js';
import type { LocalStream } from './local-stream.js';
import type { PublishResult } from './messages.js';
import type { PeerConnection, Platform } from './platform.js';
import { RequestRefused } from './signalling.js';

const CONNECT_TIMEOUT_MS = 10_000;
const CALL = 'publish()';
// What the gateway forwards in version 1 of the protocol, with the retransmissions of video.
const CODECS = { audio: ['audio/opus'], video: ['video/vp8', 'video/rtx'] };

const REFUSALS: Record<string, ErrorName> = {
  invalid_state: 'INVALID_OPERATION',
  no_permission: 'INVALID_OPERATION',
  unsupported_media: 'NOT_SUPPORTED',
};

/** A local stream's way to one gateway: a peer connection that this side offers. */
export class Uplink {
  readonly #stream: LocalStream;
  readonly #platform: Platform;
  readonly #channel: Channel;
  readonly #connection: PeerConnection;
  #remoteId: string | null = null;
  #state: 'live' | 'stopped' | 'over' = 'live';
  #isBroken = false;
  #abort: (error: RtcError) => void = () => undefined;

  constructor(platform: Platform, channel: Channel, stream: LocalStream) {
    this.#platform = platform;
    this.#channel = channel;
    this.#stream = stream;
    this.#connection = platform.openPeerConnection();
  }

  /** The gateway's name of the stream; null: it has not answered. */
  get id(): string | null {
    return this.#remoteId;
  }

  get isBroken(): boolean {
    return this.#isBroken || ['failed', 'closed'].includes(this.#connection.connectionState);
  }

  /** Resolves when media can flow. `onBroken` is called at most once, if nothing will flow any more later. */
  async start(onBroken: () => void): Promise<void> {
    try {
      this.#addTracks();
      const aborted = new Promise<never>((_resolve, reject) => (this.#abort = reject));
      await Promise.race([this.#negotiate(), aborted]);
      await this.#connected(aborted);
    } catch (thrown) {
      void this.stop();
      throw asPublishError(thrown);
    }
    whenBroken(this.#platform, this.#connection, () => {
      this.#isBroken = true;
      onBroken();
    });
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
    if (video) {
      const sendEncodings = [{ maxBitrate: DEFAULT_PROFILE.bitrateKbps * 1000 }];
      this.#addTrack('video', video, { direction: 'sendonly', streams, sendEncodings });
    }
  }

  #addTrack(kind: 'audio' | 'video', track: MediaStreamTrack, init: RTCRtpTransceiverInit): void {
    const transceiver = this.#connection.addTransceiver(track, init);
    const codecs = this.#platform
      .sendableCodecs(kind)
      .filter((codec) => CODECS[kind].includes(codec.mimeType.toLowerCase()));
    if (codecs.length > 0) transceiver.setCodecPreferences(codecs);
  }

  async #negotiate(): Promise<void> {
    await this.#channel.prepare(this.#connection);
    const offer = await this.#connection.createOffer();
    await this.#connection.setLocalDescription(offer);
    // At once, without candidates: the gateway takes the address from the first check that it hears.
    const request = { kind: 'main', sdp: offer.sdp };
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
