// What this browser sends: camera and microphone, what there is of them, or a test picture and tone.

/* global TRTC */

const WORDS = {
  NotFoundError: 'none was found',
  NotAllowedError: 'permission was denied',
  NotReadableError: 'another program is using it',
  OverconstrainedError: 'none can do what was asked for',
  AbortError: 'the browser gave up opening it',
};

const CHOICES = [
  { audio: true, video: true },
  { audio: true, video: false },
  { audio: false, video: true },
];

const INSTEAD = 'A test picture and tone are sent instead.';
const NOT_SECURE =
  'This page is not secure (no https, not localhost), so the browser gives it neither camera nor microphone. ' +
  INSTEAD;

/** Opens the best that there is. `explain` hears in words what is missing and what is sent instead. */
export async function openSource(userId, { useTest, explain }) {
  if (useTest) return testSource(userId);
  const failures = [];
  for (const wanted of CHOICES) {
    const stream = TRTC.createStream({ userId, ...wanted });
    try {
      await stream.initialize();
      explainMissing(wanted, failures, explain);
      return { stream, close: () => stream.close() };
    } catch (error) {
      if (error.name === 'NotSupportedError') {
        explain(NOT_SECURE);
        return testSource(userId);
      }
      failures.push(WORDS[error.name] ?? error.name);
    }
  }
  const [, microphone, camera] = failures;
  explain(`No microphone (${microphone}) and no camera (${camera}). ${INSTEAD}`);
  return testSource(userId);
}

function explainMissing({ audio, video }, failures, explain) {
  // The first attempt was for both: where the other one opens alone, it has failed for this one's sake.
  if (!video) explain(`Only sound is sent, no picture (camera: ${failures[0]}).`);
  if (!audio) explain(`Only the picture is sent, no sound (microphone: ${failures[1]}).`);
}

async function testSource(userId) {
  const picture = testPicture(userId);
  const tone = testTone();
  const stream = TRTC.createStream({
    userId,
    audio: tone !== undefined,
    video: true,
    videoSource: picture.track,
    ...(tone && { audioSource: tone.track }),
    mirror: false,
  });
  await stream.initialize();
  const close = () => {
    stream.close();
    picture.close();
    tone?.close();
  };
  return { stream, close };
}

function testPicture(userId) {
  const canvas = document.createElement('canvas');
  canvas.width = 640;
  canvas.height = 480;
  const context = canvas.getContext('2d');
  let frame = 0;
  const draw = () => {
    drawBars(context, canvas.width, canvas.height);
    drawWords(context, userId, frame++);
  };
  draw();
  // An interval, not an animation frame: those stop in a tab that is not in front.
  const timer = setInterval(draw, 1000 / 15);
  const [track] = canvas.captureStream(15).getVideoTracks();
  return { track, close: () => clearInterval(timer) };
}

function drawBars(context, width, height) {
  const colours = ['#c9c4b4', '#c7b23e', '#4fa8a3', '#5a9a4b', '#a0568f', '#b8503c', '#3d5c9c'];
  const bar = width / colours.length;
  colours.forEach((colour, index) => {
    context.fillStyle = colour;
    context.fillRect(Math.floor(index * bar), 0, Math.ceil(bar), height);
  });
}

function drawWords(context, userId, frame) {
  const { width, height } = context.canvas;
  context.fillStyle = '#10211ccc';
  context.fillRect(0, height * 0.36, width, height * 0.28);
  context.fillStyle = '#ffffff';
  context.textAlign = 'center';
  context.font = '600 34px system-ui, sans-serif';
  context.fillText(userId, width / 2, height * 0.48, width - 40);
  context.font = '22px system-ui, sans-serif';
  context.fillText(`test picture, frame ${frame}`, width / 2, height * 0.58);
  // Something that moves, so that a picture that stands still is seen to.
  context.fillRect((frame * 6) % width, height * 0.62, 60, 6);
}

function testTone() {
  if (typeof AudioContext === 'undefined') return undefined;
  const audio = new AudioContext();
  const oscillator = audio.createOscillator();
  const volume = audio.createGain();
  const output = audio.createMediaStreamDestination();
  oscillator.frequency.value = 440;
  volume.gain.value = 0.05;
  oscillator.connect(volume).connect(output);
  oscillator.start();
  const [track] = output.stream.getAudioTracks();
  return { track, close: () => void audio.close() };
}
