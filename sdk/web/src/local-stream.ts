import { capture, captureScreen, DEFAULT_PROFILE, SCREEN_PROFILE } from './capture.js';
import type { StreamConfig } from './checks.js';
import { RtcError } from './errors.js';
import { Emitter } from './events.js';
import type { Kind } from './messages.js';
import type { Platform } from './platform.js';
import { Stream } from './stream.js';

export interface LocalStreamEvents {
  /** The user has ended it in the browser's own controls. */
  'screen-sharing-stopped': [undefined];
}

/** Camera and microphone of this browser, its screen, or tracks that the application brings. */
export class LocalStream extends Stream {
  readonly #config: StreamConfig;
  readonly #emitter = new Emitter<LocalStreamEvents>();
  readonly #muted = new Set<Kind>();
  readonly #watchers = new Set<() => void>();
  #state: 'new' | 'initializing' | 'ready' | 'closed' = 'new';

  /** Made by TRTC.createStream(). */
  constructor(platform: Platform, config: StreamConfig) {
    super(platform, config.userId ?? '', {
      objectFit: 'cover',
      // One does not hear oneself.
      muted: true,
      // As in a mirror, as people expect of their own camera.
      mirror: config.mirror ?? (config.videoSource === undefined && !config.screen),
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

  on<Name extends keyof LocalStreamEvents>(event: Name, handler: (...args: LocalStreamEvents[Name]) => void): void {
    this.#emitter.on(event, handler);
  }

  off<Name extends keyof LocalStreamEvents>(
    event: Name | '*',
    handler?: (...args: LocalStreamEvents[Name]) => void,
  ): void {
    this.#emitter.off(event, handler);
  }

  /** What of it carries nothing now. @internal */
  static muted(stream: LocalStream): Kind[] {
    return Array.from(stream.#muted);
  }

  protected override mute(kind: Kind, isMuted: boolean): boolean {
    if (!super.mute(kind, isMuted)) return false;
    const wasMuted = this.#muted.has(kind);
    if (isMuted) this.#muted.add(kind);
    else this.#muted.delete(kind);
    if (wasMuted !== isMuted) for (const watcher of this.#watchers) watcher();
    return true;
  }

  /** Calls back when something was muted or unmuted, until what this returns is called. @internal */
  static watch(stream: LocalStream, onMuted: () => void): () => void {
    stream.#watchers.add(onMuted);
    return () => stream.#watchers.delete(onMuted);
  }

  /** Bits per second of its picture. @internal */
  static maxBitrate(stream: LocalStream): number {
    return 1000 * (stream.#config.screen ? SCREEN_PROFILE : DEFAULT_PROFILE).bitrateKbps;
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
    this.#muted.clear();
    this.#state = 'closed';
  }

  async #openTracks(): Promise<MediaStreamTrack[]> {
    const { audioSource, videoSource } = this.#config;
    const given = [audioSource, videoSource].filter((track) => track !== undefined);
    const shown = this.#config.screen && !videoSource ? await this.#openScreen() : [];
    const wanted = {
      ...this.#config,
      audio: this.#config.audio === true && !audioSource,
      video: this.#config.video === true && !videoSource,
    };
    if (wanted.audio || wanted.video) {
      const stream = await capture(this.platform, wanted);
      return [...given, ...shown, ...stream.getTracks()];
    }
    return [...given, ...shown];
  }

  async #openScreen(): Promise<MediaStreamTrack[]> {
    const { screenAudio = false, audio = false, audioSource } = this.#config;
    const stream = await captureScreen(this.platform, screenAudio && !audio && !audioSource);
    const tracks = stream.getTracks();
    trackOf(tracks, 'video')?.addEventListener('ended', () => {
      this.#emitter.emit('screen-sharing-stopped', undefined);
    });
    return tracks;
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
