import { ErrorCode } from './errors.js';
import type { BannedNotice } from './messages.js';

/**
 * What `client-banned` hands over: one object for both generations of handlers. Those written for versions before
 * 4.14 of the vendor's SDK ask for getCode(), later ones read `reason`; all read `message`. The words are the gateway's.
 */
export class ClientBanned {
  readonly reason: 'kick' | 'banned' | 'room-disband';
  readonly message: string;

  constructor(notice: BannedNotice) {
    this.reason = notice.v4_reason as ClientBanned['reason'];
    this.message = notice.message;
  }

  getCode(): typeof ErrorCode.CLIENT_BANNED {
    return ErrorCode.CLIENT_BANNED;
  }
}
