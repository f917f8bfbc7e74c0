import { invalid, type PlayOptions } from './checks.js';
import { randomId } from './ids.js';
import type { Kind } from './messages.js';
import type { Platform } from './platform.js';
import { Player } from './player.js';

/** What local and remote streams have in common: an owner, at most one track of each kind, and a place in the page. */
export abstract class Stream {
  protected readonly platform: Platform;
  readonly #id = randomId();
  readonly #userId: string;
  readonly #defaults: Required<PlayOptions>;
  #audio: MediaStreamTrack | null = null;
  #video: MediaStreamTrack | null = null;
  #player: Player | null = null;

  protected constructor(platform: Platform, userId: string, defaults: Required<PlayOptions>) {
    this.platform = platform;
    this.#userId = userId;
    this.#defaults = defaults;
  }

  abstract hasAudio(): boolean;
  abstract hasVideo(): boolean;

  getId(): string {
    return this.#id;
  }

  getUserId(): string {
    return this.#userId;
  }

  getAudioTrack(): MediaStreamTrack | null {
    return this.#audio;
  }

  getVideoTrack(): MediaStreamTrack | null {
    return this.#video;
  }

  /** False where there is nothing to mute. */
  muteAudio(): boolean {
    return this.mute('audio', true);
  }

  unmuteAudio(): boolean {
    return this.mute('audio', false);
  }

  muteVideo(): boolean {
    return this.mute('video', true);
  }

  unmuteVideo(): boolean {
    return this.mute('video', false);
  }

  protected mute(kind: Kind, isMuted: boolean): boolean {
    const track = kind === 'audio' ? this.#audio : this.#video;
    if (!track) return false;
    track.enabled = !isMuted;
    return true;
  }

  /** Plays inside the container; a stream that plays already moves there. */
  async play(elementId: string | HTMLDivElement, options: PlayOptions = {}): Promise<void> {
    const call = 'play()';
    const container = this.#find(elementId, call);
    if (!this.#player) {
      this.#player = new Player(this.platform, this.#id, { ...this.#defaults, ...options });
      this.#player.setTrack('audio', this.#audio);
      this.#player.setTrack('video', this.#video);
    }
    this.#player.moveTo(container);
    await this.#player.start(call);
  }

  stop(): void {
    this.#player?.remove();
    this.#player = null;
  }

  /** To be called in a gesture of the user when play() was not allowed. */
  async resume(): Promise<void> {
    await this.#player?.start('resume()');
  }

  protected setTracks(audio: MediaStreamTrack | null, video: MediaStreamTrack | null): void {
    if (audio === this.#audio && video === this.#video) return;
    this.#audio = audio;
    this.#video = video;
    if (!this.#player) return;
    this.#player.setTrack('audio', audio);
    this.#player.setTrack('video', video);
    // play() was answered long ago, so that nobody is there to hear this.
    this.#player.start('play()').catch((error: unknown) => console.warn(error));
  }

  #find(elementId: string | HTMLDivElement, call: string): HTMLElement {
    if (typeof elementId !== 'string') {
      // Said by the types, but not every application is checked by a compiler.
      if (typeof (elementId as Partial<Node> | null)?.appendChild === 'function') return elementId;
      throw invalid(`'elementId' must be the id of an element or an element when calling ${call}.`, call);
    }
    const found = this.platform.page.getElementById(elementId);
    if (found) return found;
    throw invalid(`'${elementId}' is not found in the document object when calling ${call}.`, call);
  }
}
