import { RtcError } from './errors.js';

// The texts are the vendor's, word for word: applications and their tests look at them.

interface Rule {
  types: readonly string[];
  required?: boolean;
  /** Whether 0, NaN and blank strings are values. */
  allowEmpty?: boolean;
  values?: readonly string[];
}

const REQUIRED_TEXT: Rule = { types: ['string'], required: true };
const OPTIONAL_TEXT: Rule = { types: ['string'], allowEmpty: true };
const OPTIONAL_FLAG: Rule = { types: ['boolean'], allowEmpty: true };
const OBJECT: Rule = { types: ['Object'], required: true, allowEmpty: true };

const STRING_ROOM = /^[A-Za-z\d\s!#$%&()+\-:;<=.>?@[\]^_{}|~,]{1,64}$/;
const LARGEST_ROOM = 4294967294;

export type RoomId = number | string;
export type Role = 'anchor' | 'audience';

export interface ClientConfig {
  mode: 'rtc' | 'live';
  sdkAppId: number;
  userId: string;
  userSig: string;
  /** Whether rooms are named by strings. Number 123 and string "123" are two rooms. */
  useStringRoomId?: boolean;
  /** Whether every stream of the room is received without asking. Default: yes. */
  autoSubscribe?: boolean;
}

export interface JoinOptions {
  roomId: RoomId;
  /** Counts in mode `live`; in mode `rtc` everybody is an anchor. */
  role?: Role;
}

export interface StreamConfig {
  userId?: string;
  audio?: boolean;
  video?: boolean;
  audioSource?: MediaStreamTrack;
  videoSource?: MediaStreamTrack;
  microphoneId?: string;
  cameraId?: string;
  facingMode?: 'user' | 'environment';
  /** Shows the screen instead of the camera. */
  screen?: boolean;
  /** With the sound of what is shown, where the browser gives it; not together with `audio`. */
  screenAudio?: boolean;
  mirror?: boolean;
}

export interface SmallStreamProfile {
  width: number;
  height: number;
  /** Kilobits per second. */
  bitrate: number;
  frameRate: number;
}

export type VideoSize = 'big' | 'small';

export interface SubscribeOptions {
  audio?: boolean;
  video?: boolean;
}

export interface PlayOptions {
  objectFit?: 'contain' | 'cover' | 'fill' | 'none' | 'scale-down';
  muted?: boolean;
  mirror?: boolean;
}

export function checkClientConfig(config: unknown): asserts config is ClientConfig {
  checkFields('clientConfig', config, 'createClient()', {
    sdkAppId: { types: ['number'], required: true },
    userId: REQUIRED_TEXT,
    userSig: REQUIRED_TEXT,
    mode: { ...REQUIRED_TEXT, values: ['rtc', 'live'] },
    useStringRoomId: OPTIONAL_FLAG,
    autoSubscribe: OPTIONAL_FLAG,
  });
}

export function checkJoinOptions(options: unknown, useStringRoomId: boolean): asserts options is JoinOptions {
  const call = 'join()';
  checkFields('options', options, call, {
    roomId: { types: ['number', 'string'], required: true },
    role: { types: ['string'], values: ['anchor', 'audience'] },
  });
  const room = (options as JoinOptions).roomId;
  if (useStringRoomId) {
    if (typeof room !== 'string' || !STRING_ROOM.test(room)) {
      throw invalid(`'options.roomId' must be validate string when useStringRoomId is true.`, call);
    }
  } else if (!Number.isInteger(room) || Number(room) < 1 || Number(room) > LARGEST_ROOM) {
    const range = `[1, ${LARGEST_ROOM}]`;
    throw invalid(`'options.roomId' must be an integer between ${range} when useStringRoomId is false.`, call);
  }
}

export function checkRole(role: unknown, mode: 'rtc' | 'live'): void {
  const call = 'switchRole()';
  check('role', role, { types: ['string'], required: true, values: ['anchor', 'audience'] }, call);
  if (mode !== 'live') throw invalid('switchRole can only be called in live mode.', call);
}

export function checkIcePolicy(policy: unknown, call: string): void {
  check('proxyServer.iceTransportPolicy', policy, { types: ['string'], values: ['all', 'relay'] }, call);
}

/** From the vendor's way of writing a TURN server, `host:port`, to the browser's. */
export function checkTurnServer(server: unknown, call: string): RTCIceServer {
  checkFields('turnServer', server, call, {
    url: REQUIRED_TEXT,
    username: OPTIONAL_TEXT,
    credential: OPTIONAL_TEXT,
  });
  const { url, username, credential } = server as { url: string; username?: string; credential?: string };
  const urls = /^turns?:/.test(url) ? url : `turn:${url}`;
  return { urls, ...(username !== undefined && { username }), ...(credential !== undefined && { credential }) };
}

export function checkStreamConfig(config: unknown): asserts config is StreamConfig {
  const call = 'createStream()';
  const fields = checkFields('streamConfig', config, call, {
    userId: OPTIONAL_TEXT,
    audio: OPTIONAL_FLAG,
    video: OPTIONAL_FLAG,
    screen: OPTIONAL_FLAG,
    screenAudio: OPTIONAL_FLAG,
    microphoneId: OPTIONAL_TEXT,
    cameraId: OPTIONAL_TEXT,
    facingMode: { types: ['string'], values: ['user', 'environment'] },
    mirror: OPTIONAL_FLAG,
  });
  if (fields['screen'] === true && fields['video'] === true) {
    throw invalid('screen/video cannot be both true.', call);
  }
  if (fields['audio'] === true && fields['screenAudio'] === true) {
    throw invalid('audio/screenAudio cannot be both true.', call);
  }
}

export function checkSmallStreamProfile(profile: unknown): asserts profile is SmallStreamProfile {
  const number: Rule = { types: ['number'], required: true };
  const call = 'setSmallStreamProfile()';
  const rules = { width: number, height: number, bitrate: number, frameRate: number };
  const fields = checkFields('options', profile, call, rules);
  for (const name of Object.keys(rules)) {
    if (Number(fields[name]) < 1) throw invalid(`'options.${name}' must be at least 1.`, call);
  }
}

export function checkVideoSize(size: unknown): asserts size is VideoSize {
  check('status', size, { types: ['string'], required: true, values: ['big', 'small'] }, 'setRemoteVideoStreamType()');
}

export function checkSubscribeOptions(options: unknown): Required<SubscribeOptions> {
  const call = 'subscribe()';
  const fields = checkFields('options', options ?? {}, call, { audio: OPTIONAL_FLAG, video: OPTIONAL_FLAG });
  const choice = { audio: fields['audio'] !== false, video: fields['video'] !== false };
  if (!choice.audio && !choice.video) {
    throw invalid("'options.audio' and 'options.video' are both false: use unsubscribe() instead.", call);
  }
  return choice;
}

export function invalid(text: string, call: string): RtcError {
  return new RtcError('INVALID_PARAMETER', text, { call });
}

function checkFields(
  owner: string,
  value: unknown,
  call: string,
  rules: Record<string, Rule>,
): Record<string, unknown> {
  check(owner, value, OBJECT, call);
  const fields = value as Record<string, unknown>;
  for (const [name, rule] of Object.entries(rules)) {
    check(`${owner}.${name}`, fields[name], rule, call);
  }
  return fields;
}

function check(key: string, value: unknown, rule: Rule, call: string): void {
  if (value === undefined) {
    if (rule.required) {
      throw invalid(`'${key}' is a required param when calling ${call}, received: undefined.`, call);
    }
    return;
  }
  const type = typeName(value);
  if (!rule.types.includes(type)) {
    throw invalid(
      `'${key}' must be type of ${rule.types.join('|')} when calling ${call}, received type: ${type}.`,
      call,
    );
  }
  if (!rule.allowEmpty && isEmpty(value)) {
    throw invalid(`'${key}' cannot be '${shown(value)}' when calling ${call}.`, call);
  }
  if (rule.values && !rule.values.includes(shown(value))) {
    throw invalid(
      `'${key}' must be one of ${rule.values.join('|')} when calling ${call}, received: ${shown(value)}.`,
      call,
    );
  }
}

// Called for strings, numbers and booleans: the types of all others were refused before.
function shown(value: unknown): string {
  return String(value);
}

function isEmpty(value: unknown): boolean {
  return value === 0 || Number.isNaN(value) || (typeof value === 'string' && value.trim() === '');
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'Array';
  return typeof value === 'object' ? 'Object' : typeof value;
}
