import type { PlayOptions } from './checks.js';
import { RtcError, nameOf, wordsOf } from './errors.js';
import type { Platform } from './platform.js';

type Kind = 'audio' | 'video';

interface Playing {
  track: MediaStreamTrack;
  element: HTMLMediaElement;
}

/** The elements that show and sound one stream, in a box of their own inside the application's container. */
export class Player {
  readonly #platform: Platform;
  readonly #id: string;
  readonly #options: Required<PlayOptions>;
  readonly #box: HTMLElement;
  readonly #playing = new Map<Kind, Playing>();

  constructor(platform: Platform, id: string, options: Required<PlayOptions>) {
    this.#platform = platform;
    this.#id = id;
    this.#options = options;
    this.#box = platform.page.createElement('div');
    this.#box.id = `player_${id}`;
    // Set property by property, here and below: a Content-Security-Policy forbids style attributes, not these.
    const style = this.#box.style;
    style.position = 'relative';
    style.width = '100%';
    style.height = '100%';
    style.overflow = 'hidden';
    style.backgroundColor = 'black';
  }

  moveTo(container: HTMLElement): void {
    container.appendChild(this.#box);
  }

  /** Shows this track of its kind from now on; null: none. */
  setTrack(kind: Kind, track: MediaStreamTrack | null): void {
    const current = this.#playing.get(kind);
    if (current?.track === track) return;
    if (current && track) {
      // The same element goes on: the browser may let no other one play before a gesture.
      current.element.srcObject = this.#platform.newMediaStream([track]);
      current.track = track;
      return;
    }
    if (current) {
      current.element.srcObject = null;
      current.element.remove();
      this.#playing.delete(kind);
    }
    if (track) this.#playing.set(kind, { track, element: this.#addElement(kind, track) });
  }

  /** Starts what does not play yet. Rejects with PLAY_NOT_ALLOWED when the browser wants a gesture for sound first. */
  async start(call: string): Promise<void> {
    await Promise.all(Array.from(this.#playing, ([kind, { element }]) => startElement(kind, element, call)));
  }

  remove(): void {
    this.setTrack('audio', null);
    this.setTrack('video', null);
    this.#box.remove();
  }

  #addElement(kind: Kind, track: MediaStreamTrack): HTMLMediaElement {
    const element = this.#platform.page.createElement(kind);
    element.id = `${kind}_${this.#id}`;
    // The sound is the audio element's alone; a muted video may always start by itself.
    element.muted = kind === 'video' || this.#options.muted;
    element.setAttribute('autoplay', '');
    element.setAttribute('playsinline', '');
    if (kind === 'video') {
      element.style.width = '100%';
      element.style.height = '100%';
      element.style.objectFit = this.#options.objectFit;
      if (this.#options.mirror) element.style.transform = 'scaleX(-1)';
    }
    element.srcObject = this.#platform.newMediaStream([track]);
    this.#box.appendChild(element);
    return element;
  }
}

async function startElement(kind: Kind, element: HTMLMediaElement, call: string): Promise<void> {
  try {
    await element.play();
  } catch (thrown) {
    if (nameOf(thrown) === 'NotAllowedError') {
      const text = `the browser plays no ${kind} before a gesture of the user: call resume() in one.`;
      throw new RtcError('PLAY_NOT_ALLOWED', text, { call, cause: thrown });
    }
    // Taken out of the page while starting, for instance: nothing that the application could mend.
    console.warn(`${kind} did not start: ${wordsOf(thrown)}`);
  }
}
