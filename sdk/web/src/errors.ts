/** The vendor's numbers, all of them: applications compare `getCode()` with them. */
export const ErrorCode = {
  INVALID_PARAMETER: 0x1000,
  INVALID_OPERATION: 0x1001,
  NOT_SUPPORTED: 0x1002,
  DEVICE_NOT_FOUND: 0x1003,
  INITIALIZE_FAILED: 0x1004,
  SIGNAL_CHANNEL_SETUP_FAILED: 0x4001,
  SIGNAL_CHANNEL_ERROR: 0x4002,
  ICE_TRANSPORT_ERROR: 0x4003,
  JOIN_ROOM_FAILED: 0x4004,
  CREATE_OFFER_FAILED: 0x4005,
  SIGNAL_CHANNEL_RECONNECTION_FAILED: 0x4006,
  UPLINK_RECONNECTION_FAILED: 0x4007,
  DOWNLINK_RECONNECTION_FAILED: 0x4008,
  REMOTE_STREAM_NOT_EXIST: 0x4010,
  CLIENT_BANNED: 0x4040,
  SERVER_TIMEOUT: 0x4041,
  SUBSCRIPTION_TIMEOUT: 0x4042,
  PLAY_NOT_ALLOWED: 0x4043,
  DEVICE_AUTO_RECOVER_FAILED: 0x4044,
  START_PUBLISH_CDN_FAILED: 0x4045,
  STOP_PUBLISH_CDN_FAILED: 0x4046,
  START_MIX_TRANSCODE_FAILED: 0x4047,
  STOP_MIX_TRANSCODE_FAILED: 0x4048,
  NOT_SUPPORTED_H264: 0x4049,
  SWITCH_ROLE_FAILED: 0x404a,
  API_CALL_TIMEOUT: 0x404b,
  SCHEDULE_FAILED: 0x404c,
  API_CALL_ABORTED: 0x404d,
  UNKNOWN: 0xffff,
} as const;

export type ErrorCodes = typeof ErrorCode;
export type ErrorName = keyof ErrorCodes;

export interface ErrorDetails {
  /** The call that failed, for the reader of the message: `createClient()`. */
  call?: string;
  extraCode?: number;
  /** The browser's own name of a device error, which applications switch on. */
  name?: string;
  cause?: unknown;
}

/** What every call of this library throws or rejects with. */
export class RtcError extends Error {
  readonly #code: number;
  readonly #extraCode: number;

  constructor(code: ErrorName, text: string, details: ErrorDetails = {}) {
    const tail = `<${code} 0x${ErrorCode[code].toString(16)}>`;
    super(`${text} \nRefer to: Stagedoor Web SDK, ${details.call ?? 'errors'}\n ${tail}`, { cause: details.cause });
    this.name = details.name ?? 'RtcError';
    this.#code = ErrorCode[code];
    this.#extraCode = details.extraCode ?? 0;
  }

  // Generic because the vendor declares it so, and our errors have to fit into handlers typed for theirs.
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
  getCode<K extends ErrorName>(): ErrorCodes[K] {
    return this.#code as ErrorCodes[K];
  }

  getExtraCode(): number {
    return this.#extraCode;
  }
}

/** What somebody threw, as words. */
export function wordsOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The `name` of what a browser call rejected with (DOMException is not an Error everywhere). */
export function nameOf(thrown: unknown): string {
  const name: unknown = typeof thrown === 'object' && thrown !== null && 'name' in thrown ? thrown.name : undefined;
  return typeof name === 'string' ? name : 'Error';
}
