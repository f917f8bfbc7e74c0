import { capture } from './capture.js';
import type { StreamConfig } from './checks.js';
import { RtcError } from './errors.js';
import type { Platform } from './platform.js';
import { Stream } from './stream.js';

/** Camera and microphone of this browser, or tracks that the application brings. */
export class LocalStream extends Stream {
  readonly #config: StreamConfig;
  #state: 'new' | 'initializing' | 'ready' | 'closed' = 'new';

  /** Made by TRTC.createStream(). */
  constructor(platform: Platform, config: StreamConfig) {
    super(platform, config.userId ?? '', {
      objectFit: 'cover',
      // One does not hear oneself.
      muted: true,
      // As in a mirror, as people expect of their own camera.
      mirror: config.mirror ?? config.videoSource === undefined,
    });
    this.#config = config;
  }

  /** Opens the devices. Rejects with an RtcError that has the browser's own error name (NotAllowedError ...). */
  async initialize(): Promise<void> {
    const call = 'initialize()';
    if (this.#state === 'initializing') {
      throw new RtcError('API_CALL_ABORTED', 'previous initialize() is ongoing, please avoid repeated calls.', {
        call,
      });
    }
    if (this.#state === 'ready') {
      throw new RtcError('INVALID_OPERATION', 'the stream is initialized already.', { call });
    }
    this.#state = 'initializing';
    try {
      const tracks = await this.#openTracks();
      if (this.#wasClosed()) {
        stopTracks(tracks);
        throw new RtcError('API_CALL_ABORTED', 'the stream was closed while it was initialized.', { call });
      }
      this.setTracks(trackOf(tracks, 'audio'), trackOf(tracks, 'video'));
      this.#state = 'ready';
    } finally {
      if (this.#state === 'initializing') this.#state = 'new';
    }
  }

  override hasAudio(): boolean {
    return this.getAudioTrack() !== null;
  }

  override hasVideo(): boolean {
    return this.getVideoTrack() !== null;
  }

  /** Gives the devices back: the camera's light goes off. */
  close(): void {
    this.stop();
    stopTracks([this.getAudioTrack(), this.getVideoTrack()]);
    this.setTracks(null, null);
    this.#state = 'closed';
  }

  async #openTracks(): Promise<MediaStreamTrack[]> {
    const { audioSource, videoSource } = this.#config;
    const given = [audioSource, videoSource].filter((track) => track !== undefined);
    const wanted = {
      ...this.#config,
      audio: this.#config.audio === true && !audioSource,
      video: this.#config.video === true && !videoSource,
    };
    if (wanted.audio || wanted.video) {
      const stream = await capture(this.platform, wanted);
      return [...given, ...stream.getTracks()];
    }
    return given;
  }

  // A method, because the compiler does not believe that close() may run during an await.
  #wasClosed(): boolean {
    return this.#state === 'closed';
  }
}

function trackOf(tracks: MediaStreamTrack[], kind: 'audio' | 'video'): MediaStreamTrack | null {
  return tracks.find((track) => track.kind === kind) ?? null;
}

function stopTracks(tracks: (MediaStreamTrack | null)[]): void {
  for (const track of tracks) track?.stop();
}
