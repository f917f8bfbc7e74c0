type EventMap<Events> = { [Name in keyof Events]: unknown[] };

type Listener<Args extends unknown[]> = (...args: Args) => void;

interface Registration<Events extends EventMap<Events>> {
  event: keyof Events;
  // Put in and taken out under its own event's name, which is more than the compiler can follow.
  listener: Listener<Events[keyof Events]>;
  context: unknown;
}

/** Events of one class, typed by a map of event name -> tuple of arguments. */
export class Emitter<Events extends EventMap<Events>> {
  #registrations: Registration<Events>[] = [];

  on<Name extends keyof Events>(event: Name, listener: Listener<Events[Name]>, context?: unknown): void {
    this.#registrations.push({ event, listener: listener as Listener<Events[keyof Events]>, context });
  }

  /** Without a listener: everything, of every event (`off('*')`). */
  off<Name extends keyof Events>(event: Name | '*', listener?: Listener<Events[Name]>, context?: unknown): void {
    this.#registrations =
      event === '*'
        ? []
        : this.#registrations.filter(
            (one) => one.event !== event || one.listener !== listener || (context && one.context !== context),
          );
  }

  /** A listener that throws harms neither the other listeners nor the library. */
  emit<Name extends keyof Events>(event: Name, ...args: Events[Name]): void {
    for (const one of this.#registrations.filter((registration) => registration.event === event)) {
      try {
        one.listener.apply(one.context, args);
      } catch (thrown) {
        console.error(`a listener of '${String(event)}' threw`, thrown);
      }
    }
  }
}
