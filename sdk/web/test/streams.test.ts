import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { RtcError } from '../src/errors.js';
import { randomId } from '../src/ids.js';
import { createTrtc, VERSION } from '../src/trtc.js';
import { FakePlatform, fakeTrack } from './fake-gateway.js';
import { FakeElement, FakePage } from './fake-page.js';

function withPage() {
  const platform = new FakePlatform();
  const page = new FakePage();
  platform.page = page.asDocument();
  return { platform, page, trtc: createTrtc(platform) };
}

describe('initialize()', () => {
  it('asks for 640x480 at 15 frames a second and for the named devices', async () => {
    const { platform, trtc } = withPage();
    const asked: MediaStreamConstraints[] = [];
    const capture = platform.captureDevices;
    platform.captureDevices = (constraints) => {
      asked.push(constraints);
      return capture?.(constraints) ?? Promise.reject(new Error('no devices'));
    };
    const stream = trtc.createStream({ userId: 'ann', audio: false, video: true, cameraId: 'cam', facingMode: 'user' });
    await stream.initialize();
    const video = {
      width: { ideal: 640 },
      height: { ideal: 480 },
      frameRate: { ideal: 15 },
      deviceId: { exact: 'cam' },
    };
    assert.deepEqual(asked, [{ audio: false, video }]);
    assert.deepEqual([stream.hasAudio(), stream.hasVideo(), stream.getUserId()], [false, true, 'ann']);
  });

  for (const [name, code] of [
    ['NotFoundError', 0x1003],
    ['NotAllowedError', 0x1004],
  ] as const) {
    it(`rejects with the browser's own ${name}`, async () => {
      const { platform, trtc } = withPage();
      platform.captureDevices = () => Promise.reject(new DOMException('no such thing', name));
      await assert.rejects(
        trtc.createStream({ audio: true, video: true }).initialize(),
        (error) => error instanceof RtcError && error.name === name && error.getCode() === code,
      );
    });
  }

  it('says what is missing where the page is not secure', async () => {
    const { platform, trtc } = withPage();
    platform.captureDevices = undefined;
    await assert.rejects(
      trtc.createStream({ audio: true, video: false }).initialize(),
      (error) =>
        error instanceof RtcError && error.name === 'NotSupportedError' && error.message.includes('not secure'),
    );
  });

  it('takes given tracks without asking for devices, and can be tried again after a failure', async () => {
    const { platform, trtc } = withPage();
    const track = fakeTrack('video');
    const stream = trtc.createStream({ audio: true, videoSource: track });
    const capture = platform.captureDevices;
    platform.captureDevices = () => Promise.reject(new DOMException('', 'NotFoundError'));
    await assert.rejects(stream.initialize(), { name: 'NotFoundError' });
    platform.captureDevices = capture;
    await stream.initialize();
    assert.equal(stream.getVideoTrack(), track);
    assert.equal(stream.getAudioTrack()?.kind, 'audio');
  });

  it('gives the devices back when the stream is closed meanwhile', async () => {
    const { platform, trtc } = withPage();
    const track = fakeTrack('audio');
    platform.captureDevices = () => Promise.resolve(platform.newMediaStream([track]));
    const stream = trtc.createStream({ audio: true, video: false });
    const outcome = assert.rejects(stream.initialize(), { name: 'RtcError' });
    stream.close();
    await outcome;
    assert.equal(track.stopped, true);
  });
});

describe('play()', () => {
  async function local(trtc: ReturnType<typeof createTrtc>) {
    const stream = trtc.createStream({ audioSource: fakeTrack('audio'), videoSource: fakeTrack('video') });
    await stream.initialize();
    return stream;
  }

  it('builds player, audio and video inside the container; stop() takes them away', async () => {
    const { page, trtc } = withPage();
    const stream = await local(trtc);
    await stream.play('self', { objectFit: 'contain' });
    const [player] = page.container.children;
    assert.equal(player?.id, `player_${stream.getId()}`);
    assert.deepEqual(
      player.children.map((one) => [one.id, one.muted, one.attributes]),
      [
        [`audio_${stream.getId()}`, true, ['autoplay', 'playsinline']],
        [`video_${stream.getId()}`, true, ['autoplay', 'playsinline']],
      ],
    );
    assert.equal(player.children[1]?.style['objectFit'], 'contain');
    stream.stop();
    assert.deepEqual(page.container.children, []);
  });

  it('moves when it is called again', async () => {
    const { page, trtc } = withPage();
    const stream = await local(trtc);
    await stream.play('self');
    const elsewhere = new FakeElement();
    await stream.play(elsewhere as unknown as HTMLDivElement);
    assert.deepEqual([page.container.children.length, elsewhere.children.length], [0, 1]);
  });

  it('rejects with 0x4043 when the browser wants a gesture; resume() tries again', async () => {
    const { page, trtc } = withPage();
    const stream = await local(trtc);
    page.wantsGesture = true;
    const notAllowed = (error: unknown) => error instanceof RtcError && error.getCode() === 0x4043;
    await assert.rejects(stream.play('self'), notAllowed);
    await assert.rejects(stream.resume(), notAllowed);
    page.wantsGesture = false;
    await stream.resume();
  });

  it('refuses a container that does not exist', async () => {
    const { trtc } = withPage();
    const stream = await local(trtc);
    await assert.rejects(stream.play('nowhere'), /'nowhere' is not found in the document object/);
    await assert.rejects(stream.play(null as never), /must be the id of an element or an element/);
  });

  it('ends with close(), which stops the tracks', async () => {
    const { page, trtc } = withPage();
    const stream = await local(trtc);
    const track = stream.getVideoTrack() as ReturnType<typeof fakeTrack>;
    await stream.play('self');
    stream.close();
    assert.deepEqual([track.stopped, stream.getVideoTrack(), page.container.children.length], [true, null, 0]);
  });
});

describe('the small things', () => {
  it('ids are UUIDs of version 4', () => {
    assert.match(randomId(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.notEqual(randomId(), randomId());
  });

  it('the version is that of the package', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    assert.equal(VERSION, version);
  });
});
