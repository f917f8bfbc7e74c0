import type { StreamConfig } from './checks.js';
import { RtcError, nameOf, wordsOf } from './errors.js';
import type { Platform } from './platform.js';

const CALL = 'initialize()';

/** The vendor's 480p_2. */
export const DEFAULT_PROFILE = { width: 640, height: 480, frameRate: 15, bitrateKbps: 500 };
/** The vendor's 1080p. */
export const SCREEN_PROFILE = { width: 1920, height: 1080, frameRate: 5, bitrateKbps: 1600 };

/** Opens the camera, the microphone or both. */
export async function capture(platform: Platform, wanted: StreamConfig): Promise<MediaStream> {
  const open = platform.captureDevices;
  if (!open) {
    throw notSupported(
      'this browser gives no camera and no microphone to pages that are not secure: use https, or localhost.',
    );
  }
  const constraints = {
    audio: wanted.audio ? audioConstraints(wanted) : false,
    video: wanted.video ? videoConstraints(wanted) : false,
  };
  return opened(() => open(constraints));
}

/** Asks the user what of the screen to show. */
export async function captureScreen(platform: Platform, withSound: boolean): Promise<MediaStream> {
  const open = platform.captureScreen;
  if (!open) throw notSupported('this browser does not share the screen with this page.');
  const { width, height, frameRate } = SCREEN_PROFILE;
  const video = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } };
  return opened(() => open({ video, audio: withSound }));
}

async function opened(open: () => Promise<MediaStream>): Promise<MediaStream> {
  try {
    return await open();
  } catch (thrown) {
    const name = nameOf(thrown);
    const code = name === 'NotFoundError' ? 'DEVICE_NOT_FOUND' : 'INITIALIZE_FAILED';
    throw new RtcError(code, `${name}: ${wordsOf(thrown)}`, { call: CALL, name, cause: thrown });
  }
}

function notSupported(text: string): RtcError {
  return new RtcError('NOT_SUPPORTED', text, { call: CALL, name: 'NotSupportedError' });
}

function audioConstraints({ microphoneId }: StreamConfig): MediaTrackConstraints {
  return {
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    ...(microphoneId && { deviceId: { exact: microphoneId } }),
  };
}

function videoConstraints({ cameraId, facingMode }: StreamConfig): MediaTrackConstraints {
  return {
    width: { ideal: DEFAULT_PROFILE.width },
    height: { ideal: DEFAULT_PROFILE.height },
    frameRate: { ideal: DEFAULT_PROFILE.frameRate },
    ...(cameraId && { deviceId: { exact: cameraId } }),
    // The camera that was named goes before the side that it looks to.
    ...(facingMode && !cameraId && { facingMode }),
  };
}
