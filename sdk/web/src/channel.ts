import { backOffMs } from './back-off.js';
import type { Role } from './checks.js';
import { join, rejoin, resume, type Attachment, type Entry, type Stay } from './entry.js';
import { RtcError, wordsOf } from './errors.js';
import { inTime } from './in-time.js';
import type {
  BannedNotice,
  Ended,
  GatewayMessage,
  IceServers,
  JoinFields,
  MediaLost,
  Offer,
  RoomMessage,
} from './messages.js';
import { parseMessage } from './messages.js';
import type { PeerConnection, Platform } from './platform.js';
import { Relays, type Way } from './relays.js';
import { RequestRefused, Signalling } from './signalling.js';

const REPLY_TIMEOUT_MS = 10_000;
const LEAVE_TIMEOUT_MS = 2_000;
/** The gateway closes first, after 2 s at the latest; this is for one that does not. */
const CLOSE_TIMEOUT_MS = 3_000;
/** A socket that was good for so long counts as a success: after it the first attempt is made at once again. */
const STEADY_MS = 10_000;
/** Requests that are made again where the gateway says that they may succeed later: its media may be beginning anew. */
const MADE_AGAIN = new Set(['publish', 'subscribe', 'reconnect', 'restart_ice']);
const MOST_ABANDONED = 8;
const ENDED_ACK = 'ended_ack';

/** Closed because the session was resumed over a later socket. */
const SUPERSEDED = 4410;
/** Closed with one of these the session has ended: there is nothing to resume. */
const FINAL_CODES = new Set([1000, 1002, 1007, 1008, 1009, 4400, 4403, 4408, 4429]);

export interface ChannelEvents {
  received(message: RoomMessage | MediaLost | ({ type: 'offer' } & Offer)): void;
  /** No socket carries the session; one is sought. */
  lost(): void;
  /** Another socket carries it. What was asked and not answered is asked again after this. */
  restored(attachment: Attachment): void;
  /** And after that. */
  attached(attachment: Attachment): void;
  /** The session has ended. With a notice the application has to be told. */
  over(cause: RtcError, notice: BannedNotice | undefined): void;
}

interface Question {
  type: string;
  fields: object;
  /** For the moment. */
  refusals: number;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A session's way to the gateways: one socket after another, for as long as it lives. */
export class Channel {
  readonly #platform: Platform;
  readonly #address: string;
  readonly #events: ChannelEvents;
  readonly #unanswered = new Set<Question>();
  readonly #relays: Relays;
  /** Left alone because a resume was not answered: the session may live on one of them, which to close would be a leave. */
  readonly #abandoned: Signalling[] = [];
  readonly #first: Signalling;
  /** The one that carries the session. */
  #current: Signalling | null;
  /** The one that is to carry it. */
  #next: Signalling | null = null;
  #stay: Stay | null = null;
  #hasTimedOut = false;
  #over: RtcError | null = null;
  #isSeeking = false;
  #attempts = 0;
  #attachedAt = -Infinity;
  #pauseTimer: ReturnType<typeof setTimeout> | undefined;

  /** Dials at once; throws what the browser throws. */
  constructor(platform: Platform, address: string, way: Way, events: ChannelEvents) {
    this.#platform = platform;
    this.#relays = new Relays(platform, way, () => this.request<IceServers>('ice_servers', {}));
    this.#address = address;
    this.#events = events;
    this.#first = this.#current = this.#dial();
  }

  get role(): Role | undefined {
    return this.#stay?.fields.role;
  }

  /** Rejects with the RtcError of join(). */
  async join(fields: JoinFields): Promise<Attachment> {
    const attachment = await join(this.#first, fields);
    this.#stay = attachment.stay;
    this.#relays.note(attachment);
    return attachment;
  }

  /**
   * Resolves with the reply's result. Waits for a socket where there is none, and asks again over the next where one is
   * lost before it answers. Rejects with RequestRefused, or an RtcError: no answer in time, or the session has ended.
   */
  async request<Result>(type: string, fields: object): Promise<Result> {
    if (this.#over) throw this.#over;
    let question: Question | undefined;
    const answer = new Promise<Result>((resolve, reject) => {
      question = { type, fields, refusals: 0, resolve, reject };
      this.#unanswered.add(question);
      this.#ask(question);
    });
    try {
      return await inTime(answer, type, REPLY_TIMEOUT_MS);
    } finally {
      if (question) this.#unanswered.delete(question);
    }
  }

  /** To be called before a peer connection looks for its candidates. */
  async prepare(connection: PeerConnection): Promise<void> {
    await this.#relays.prepare(connection);
  }

  async switchRole(role: Role): Promise<void> {
    await this.request('switch_role', { role });
    if (this.#stay) this.#stay = { ...this.#stay, fields: { ...this.#stay.fields, role } };
  }

  /** Answers an offer of the current socket. Where there is none any more, the offer comes again. */
  answer(number: number, sdp: string | undefined): void {
    this.#current?.notify('answer', { number, sdp });
  }

  /** Goes on over another socket, if one can be had: something is wrong with the gateway, or on the way there. */
  renew(): void {
    if (this.#isLive()) void this.#seek();
  }

  /** Ends all but the current socket, which leave() and close() are for. */
  end(cause: RtcError): void {
    this.#over = cause;
    clearTimeout(this.#pauseTimer);
    // A leave to the gateways, should they have the session by now.
    for (const socket of [this.#next, ...this.#abandoned]) socket?.close(cause);
    for (const question of this.#unanswered) question.reject(cause);
  }

  /** Resolves when the gateway knows, or cannot be told. */
  async leave(): Promise<void> {
    if (!this.#current) return;
    await inTime(this.#current.request('leave', {}), 'leave', LEAVE_TIMEOUT_MS).catch((error: unknown) => {
      console.warn(`leave: ${wordsOf(error)}`);
    });
  }

  /** A leave to the gateway, if the session has not ended before. */
  close(cause: RtcError): void {
    this.#current?.close(cause);
  }

  #dial(): Signalling {
    const socket: Signalling = new Signalling(this.#platform, this.#address, {
      received: (message) => {
        if (socket === this.#current) this.#onMessage(message, socket);
      },
      lost: (code, reason) => {
        if (socket === this.#current && this.#isLive()) this.#onLost(code, reason);
      },
    });
    return socket;
  }

  // While joining, join() hears everything from the socket.
  #isLive(): boolean {
    return this.#stay !== null && this.#over === null;
  }

  #ask(question: Question): void {
    const refused = (error: unknown) => {
      // Otherwise the socket was lost, and the next one will be asked.
      if (!(error instanceof RequestRefused)) return;
      if (!error.failure.retry || !MADE_AGAIN.has(question.type)) {
        question.reject(error);
        return;
      }
      const pauseMs = backOffMs(++question.refusals, this.#platform.random());
      setTimeout(() => this.#unanswered.has(question) && this.#ask(question), pauseMs);
    };
    this.#current?.request(question.type, question.fields).then((result) => question.resolve(result), refused);
  }

  #onMessage(message: GatewayMessage, socket: Signalling): void {
    switch (message.type) {
      case 'ended':
        this.#onEnded(message, () => acknowledge(socket));
        break;
      case 'move':
        void this.#seek();
        break;
      case 'error':
        console.error(`the gateway complains: ${message.message}`);
        break;
      default:
        this.#events.received(message);
    }
  }

  /**
   * Takes what the gateway says another way than over a socket, and says whether it was the notice of the end. `answer` says
   * something back that way.
   */
  hearBeside(text: string, answer: (text: string) => void): boolean {
    const message = parseMessage(text);
    if (message?.type !== 'ended') return false;
    const socket = this.#current;
    this.#onEnded(message, () => {
      answer(JSON.stringify({ type: ENDED_ACK }));
      // Nothing more is to come over the socket, if it lives at all.
      if (socket) acknowledge(socket);
    });
    return true;
  }

  #onEnded({ reason, client_banned: notice }: Ended, acknowledged: () => void): void {
    const cause = new RtcError('SIGNAL_CHANNEL_ERROR', `the gateway ended the session: ${reason}.`);
    if (this.#isLive()) {
      if (reason === 'timed_out') this.#startAgain();
      else this.#events.over(cause, notice);
    }
    // Also when it crosses our own leave, where the application hears nothing more: the receipt waits for it.
    acknowledged();
  }

  #onLost(code: number, reason: string): void {
    this.#current = null;
    if (FINAL_CODES.has(code)) {
      const text = `the connection to the gateway was lost (code ${code}${reason && `, ${reason}`}).`;
      this.#events.over(new RtcError('SIGNAL_CHANNEL_ERROR', text), undefined);
      return;
    }
    // Superseded by the next socket, the session is well: the reply is about to come.
    if (code !== SUPERSEDED || !this.#next) this.#events.lost();
    void this.#seek();
  }

  /** The session timed out while it was away: it is entered anew. */
  #startAgain(): void {
    this.#current = null;
    this.#hasTimedOut = true;
    this.#attempts = 0;
    this.#events.lost();
    void this.#seek();
  }

  /** Looks for a socket until one carries the session, or it has ended. The current one, if any, goes on until then. */
  async #seek(): Promise<void> {
    if (this.#isSeeking) return;
    this.#isSeeking = true;
    if (this.#platform.now() - this.#attachedAt >= STEADY_MS) this.#attempts = 0;
    while (!(await this.#tryNext())) {
      if (!this.#current) this.#events.lost();
    }
    this.#isSeeking = false;
  }

  /** Whether the search is over. */
  async #tryNext(): Promise<boolean> {
    await this.#pause(backOffMs(this.#attempts++, this.#platform.random()));
    const stay = this.#stay;
    if (!stay || !this.#isLive()) return true;
    let socket: Signalling;
    try {
      socket = this.#next = this.#dial();
      await socket.opened;
    } catch {
      // The browser's console has the cause.
      this.#next = null;
      return !this.#isLive();
    }
    const entry = await (this.#hasTimedOut ? rejoin(socket, stay.fields) : resume(socket, stay));
    this.#next = null;
    return !this.#isLive() || this.#settle(socket, entry);
  }

  #settle(socket: Signalling, entry: Entry): boolean {
    switch (entry.how) {
      case 'attached':
        this.#attach(socket, entry.attachment);
        return true;
      case 'refused':
        this.#current?.close(entry.cause);
        this.#current = null;
        this.#events.over(entry.cause, entry.notice);
        // Who was refused a new session has none whose end could be acknowledged.
        if (entry.notice && !this.#hasTimedOut) acknowledge(socket);
        else socket.close(entry.cause);
        return true;
      case 'timed out':
        this.#startAgain();
        return false;
      case 'unknown':
        this.#abandon(socket);
        return false;
      case 'again':
        return false;
    }
  }

  #attach(socket: Signalling, attachment: Attachment): void {
    this.#current?.close(new RtcError('SIGNAL_CHANNEL_ERROR', 'the session has moved.'));
    this.#current = socket;
    this.#stay = attachment.stay;
    this.#hasTimedOut = false;
    this.#attachedAt = this.#platform.now();
    this.#relays.note(attachment);
    const again = Array.from(this.#unanswered);
    this.#events.restored(attachment);
    for (const question of again) this.#ask(question);
    this.#events.attached(attachment);
  }

  #abandon(socket: Signalling): void {
    const cause = new RtcError('SIGNAL_CHANNEL_ERROR', 'the gateway did not answer.');
    socket.abandon(cause);
    this.#abandoned.push(socket);
    if (this.#abandoned.length > MOST_ABANDONED) this.#abandoned.shift()?.close(cause);
  }

  async #pause(ms: number): Promise<void> {
    if (ms === 0) return;
    await new Promise<void>((resolve) => (this.#pauseTimer = setTimeout(resolve, ms)));
  }
}

/** Says that the application was told of the end. */
function acknowledge(socket: Signalling): void {
  socket.notify(ENDED_ACK);
  setTimeout(() => socket.close(new RtcError('SIGNAL_CHANNEL_ERROR', 'the session has ended.')), CLOSE_TIMEOUT_MS);
}
