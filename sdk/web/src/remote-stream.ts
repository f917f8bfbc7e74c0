import type { Kind, StreamInfo } from './messages.js';
import type { Platform } from './platform.js';
import { Stream } from './stream.js';

export interface Tracks {
  audio: MediaStreamTrack | null;
  video: MediaStreamTrack | null;
}

/** What somebody else of the room publishes. Its tracks are there once it is subscribed. */
export class RemoteStream extends Stream {
  #info: StreamInfo;

  /** Made by the library only: applications get theirs with `stream-added`. */
  constructor(platform: Platform, info: StreamInfo) {
    super(platform, info.user, { objectFit: 'cover', muted: false, mirror: false });
    this.#info = info;
  }

  getType(): 'main' | 'auxiliary' {
    return this.#info.kind === 'auxiliary' ? 'auxiliary' : 'main';
  }

  /** Whether it is published with sound, subscribed or not. */
  override hasAudio(): boolean {
    return this.#info.audio;
  }

  override hasVideo(): boolean {
    return this.#info.video;
  }

  /** What is known of it, or has changed. @internal */
  static update(stream: RemoteStream, change: Partial<StreamInfo>): void {
    stream.#info = { ...stream.#info, ...change };
  }

  /** @internal */
  static codec(stream: RemoteStream, kind: Kind): string | undefined {
    return stream.#info[kind] ? stream.#info.codecs?.[kind] : undefined;
  }

  /** @internal */
  static receive(stream: RemoteStream, tracks: Tracks): void {
    stream.setTracks(tracks.audio, tracks.video);
  }

  /** The stream is over: nothing of it stays in the page. @internal */
  static release(stream: RemoteStream): void {
    stream.stop();
    stream.setTracks(null, null);
  }
}
