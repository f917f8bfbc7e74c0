import type { StreamConfig } from './checks.js';
import { RtcError, nameOf, wordsOf } from './errors.js';
import type { Platform } from './platform.js';

/** The vendor's 480p_2. */
export const DEFAULT_PROFILE = { width: 640, height: 480, frameRate: 15, bitrateKbps: 500 };

/** Opens the camera, the microphone or both. */
export async function capture(platform: Platform, wanted: StreamConfig): Promise<MediaStream> {
  const call = 'initialize()';
  if (!platform.captureDevices) {
    const text =
      'this browser gives no camera and no microphone to pages that are not secure: use https, or localhost.';
    throw new RtcError('NOT_SUPPORTED', text, { call, name: 'NotSupportedError' });
  }
  try {
    return await platform.captureDevices({
      audio: wanted.audio ? audioConstraints(wanted) : false,
      video: wanted.video ? videoConstraints(wanted) : false,
    });
  } catch (thrown) {
    const name = nameOf(thrown);
    const code = name === 'NotFoundError' ? 'DEVICE_NOT_FOUND' : 'INITIALIZE_FAILED';
    throw new RtcError(code, `${name}: ${wordsOf(thrown)}`, { call, name, cause: thrown });
  }
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
