import type { SmallStreamProfile } from './checks.js';
import { RtcError } from './errors.js';
import type { Kind } from './messages.js';

/** Which codecs can be published in two sizes. */
export const LAYERED: readonly string[] = ['VP8', 'H264'];

/** Of H.264 the gateways forward one kind. */
const H264_KIND = /packetization-mode=1.*profile-level-id=42e0/i;
const DEFAULT_HEIGHT = 480;

/** Those of the browser's codecs of a kind that are named, in the names' order, and the retransmissions. */
export function preferred(kind: Kind, all: RTCRtpCodec[], names: string[]): RTCRtpCodec[] {
  const codecs = all.filter(({ mimeType }) => mimeType.toLowerCase().startsWith(`${kind}/`));
  const chosen = names.flatMap((name) => codecs.filter((codec) => isKindOf(codec, name)));
  return chosen.length > 0 ? [...chosen, ...codecs.filter((codec) => nameOf(codec) === 'rtx')] : [];
}

/** Whether a browser can decode a codec; one that does not say what it can is believed. */
export function canDecode(codecs: RTCRtpCodec[], name: string | undefined): boolean {
  return name === undefined || codecs.length === 0 || codecs.some((codec) => isKindOf(codec, name));
}

/** The vendor has a number of its own for H.264. */
export function unsupported(names: string[], what: 'send' | 'show', call: string): RtcError {
  const code = names.includes('H264') ? 'NOT_SUPPORTED_H264' : 'NOT_SUPPORTED';
  return new RtcError(code, `this browser cannot ${what} ${names.join(', ')}.`, { call });
}

/** How a picture is sent: once, or in two sizes. */
export function encodings(
  track: MediaStreamTrack,
  maxBitrate: number,
  small: SmallStreamProfile | null,
): RTCRtpEncodingParameters[] {
  if (!small) return [{ maxBitrate }];
  const height = track.getSettings().height ?? DEFAULT_HEIGHT;
  const scaleResolutionDownBy = Math.max(1, height / small.height);
  // Browsers want the smallest first.
  return [
    { rid: 'small', scaleResolutionDownBy, maxBitrate: small.bitrate * 1000, maxFramerate: small.frameRate },
    { rid: 'big', scaleResolutionDownBy: 1, maxBitrate },
  ];
}

function isKindOf(codec: RTCRtpCodec, name: string): boolean {
  const isNamed = nameOf(codec) === name.toLowerCase();
  return isNamed && (name !== 'H264' || H264_KIND.test(codec.sdpFmtpLine ?? ''));
}

function nameOf({ mimeType }: RTCRtpCodec): string {
  return mimeType.toLowerCase().split('/')[1] ?? '';
}
