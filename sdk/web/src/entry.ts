import { RtcError, wordsOf } from './errors.js';
import { inTime } from './in-time.js';
import type {
  BannedNotice,
  IceServers,
  JoinFields,
  JoinResult,
  RequestFailure,
  ResumeResult,
  RoomView,
} from './messages.js';
import { RequestRefused, type Signalling } from './signalling.js';

/** The vendor's. */
const JOIN_TIMEOUT_MS = 5_000;
/** Where nobody waits for it: a gateway tries for 10 s, then it says so. */
const RETURN_TIMEOUT_MS = 12_000;

/** What it takes to carry a session over another socket. */
export interface Stay {
  fields: JoinFields;
  session: string;
  token: string;
  /** The number of the last socket that had the session: it rises from gateway to gateway. */
  attachment: number;
}

/** A session on a socket: what is there, and what of its media. */
export interface Attachment extends RoomView, IceServers {
  stay: Stay;
  media: boolean;
  published: string | null;
  auxiliary: string | null;
  /** What may be published, the preferred first. */
  codecs: string[];
}

/** What a gateway forwards that does not say it. */
const FIRST_CODECS = ['opus', 'VP8'];

/** What became of a try to go on over another socket. */
export type Entry =
  | { how: 'attached'; attachment: Attachment }
  /** Not now. */
  | { how: 'again' }
  /** Perhaps: no answer came in time. */
  | { how: 'unknown' }
  /** The session timed out: one may join anew, once. */
  | { how: 'timed out' }
  | { how: 'refused'; cause: RtcError; notice: BannedNotice | undefined };

/** The first entry. Rejects with the RtcError of join(). */
export async function join(socket: Signalling, fields: JoinFields): Promise<Attachment> {
  try {
    await socket.opened;
    return await enter(socket, fields, JOIN_TIMEOUT_MS);
  } catch (thrown) {
    throw asJoinError(thrown);
  }
}

export async function resume(socket: Signalling, stay: Stay): Promise<Entry> {
  const { fields, session, token, attachment } = stay;
  const { protocol, app, room, mode } = fields;
  const asked = socket.request<ResumeResult>('resume', { protocol, app, room, mode, session, token, attachment });
  try {
    const result = await inTime(asked, 'resume', RETURN_TIMEOUT_MS);
    const { auxiliary = null, codecs = FIRST_CODECS } = result;
    const next = { ...stay, fields: { ...fields, role: result.role }, attachment: result.attachment };
    return { how: 'attached', attachment: { ...result, auxiliary, codecs, stay: next } };
  } catch (thrown) {
    return thrown instanceof RequestRefused ? afterRefusal(thrown.failure) : { how: 'unknown' };
  }
}

/** Enters again by itself: a session of the same user that has come meanwhile has precedence. */
export async function rejoin(socket: Signalling, fields: JoinFields): Promise<Entry> {
  try {
    const attachment = await enter(socket, { ...fields, yields: true }, RETURN_TIMEOUT_MS);
    return { how: 'attached', attachment: { ...attachment, stay: { ...attachment.stay, fields } } };
  } catch (thrown) {
    const failure = thrown instanceof RequestRefused ? thrown.failure : undefined;
    if (failure?.retry) return { how: 'again' };
    return { how: 'refused', cause: asJoinError(thrown), notice: failure?.client_banned };
  }
}

async function enter(socket: Signalling, fields: JoinFields, timeoutMs: number): Promise<Attachment> {
  const result = await inTime(socket.request<JoinResult>('join', fields), 'join', timeoutMs);
  const { session, token, attachment, codecs = FIRST_CODECS, ...rest } = result;
  return {
    ...rest,
    stay: { fields, session, token, attachment },
    media: false,
    published: null,
    auxiliary: null,
    codecs,
  };
}

function afterRefusal(failure: RequestFailure): Entry {
  if (failure.retry) return { how: 'again' };
  if (failure.reason === 'timed_out') return { how: 'timed out' };
  const text = `the session cannot be resumed: ${failure.message}`;
  const cause = new RtcError('SIGNAL_CHANNEL_RECONNECTION_FAILED', text, { extraCode: failure.extra });
  return { how: 'refused', cause, notice: failure.client_banned };
}

function asJoinError(thrown: unknown): RtcError {
  const call = 'join()';
  if (thrown instanceof RequestRefused) {
    const { message, extra } = thrown.failure;
    const text = `Failed to join room - ${message} code: ${extra}`;
    return new RtcError('JOIN_ROOM_FAILED', text, { call, extraCode: extra, cause: thrown });
  }
  if (thrown instanceof RtcError && thrown.getCode() === 0x404b) {
    return new RtcError('JOIN_ROOM_FAILED', 'join room timeout.', { call, cause: thrown });
  }
  return thrown instanceof RtcError
    ? thrown
    : new RtcError('JOIN_ROOM_FAILED', `Failed to join room - ${wordsOf(thrown)}`, { call, cause: thrown });
}
