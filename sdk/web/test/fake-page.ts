import type { Platform } from '../src/platform.js';

/** An element, as far as the player touches one. */
export class FakeElement {
  id = '';
  muted = false;
  srcObject: unknown = null;
  readonly style: Record<string, string> = {};
  readonly attributes: string[] = [];
  children: FakeElement[] = [];
  #parent: FakeElement | null = null;

  constructor(private readonly page?: FakePage) {}

  setAttribute(name: string): void {
    this.attributes.push(name);
  }

  appendChild(child: FakeElement): void {
    child.remove();
    child.#parent = this;
    this.children.push(child);
  }

  remove(): void {
    if (this.#parent) this.#parent.children = this.#parent.children.filter((one) => one !== this);
    this.#parent = null;
  }

  play(): Promise<void> {
    const isBlocked = this.page?.wantsGesture && this.id.startsWith('audio_');
    return isBlocked ? Promise.reject(new DOMException('', 'NotAllowedError')) : Promise.resolve();
  }
}

/** A document with one element in it, whose id is `self`. */
export class FakePage {
  readonly container = new FakeElement();
  wantsGesture = false;

  asDocument(): Platform['page'] {
    const page = {
      createElement: () => new FakeElement(this),
      getElementById: (id: string) => (id === 'self' ? this.container : null),
    };
    return page as unknown as Platform['page'];
  }
}
