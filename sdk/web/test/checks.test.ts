import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RtcError } from '../src/errors.js';
import { createTrtc } from '../src/trtc.js';
import { FakePlatform } from './fake-gateway.js';
import { CONFIG, stage } from './joined.js';

/** The text before the tail that names the document and the code. */
function refusal(code: number, text: string, name = 'INVALID_PARAMETER') {
  return (error: unknown): true => {
    assert.ok(error instanceof RtcError);
    assert.equal(error.message.split(' \nRefer to: ')[0], text);
    assert.match(error.message, new RegExp(`\\n <${name} 0x${code.toString(16)}>$`));
    assert.equal(error.getCode(), code);
    assert.equal(error.getExtraCode(), 0);
    assert.equal(error.name, 'RtcError');
    return true;
  };
}

function withField(name: string, value: unknown): never {
  return { ...CONFIG, [name]: value } as never;
}

describe('createClient()', () => {
  const trtc = createTrtc(new FakePlatform());
  const call = 'when calling createClient()';
  const cases: [string, unknown, string][] = [
    ['mode', 'videoCall', `'clientConfig.mode' must be one of rtc|live ${call}, received: videoCall.`],
    ['userId', '', `'clientConfig.userId' cannot be '' ${call}.`],
    ['userId', '  ', `'clientConfig.userId' cannot be '  ' ${call}.`],
    ['userId', 5, `'clientConfig.userId' must be type of string ${call}, received type: number.`],
    ['userSig', undefined, `'clientConfig.userSig' is a required param ${call}, received: undefined.`],
    ['sdkAppId', '1', `'clientConfig.sdkAppId' must be type of number ${call}, received type: string.`],
    ['sdkAppId', 0, `'clientConfig.sdkAppId' cannot be '0' ${call}.`],
    [
      'useStringRoomId',
      'yes',
      `'clientConfig.useStringRoomId' must be type of boolean ${call}, received type: string.`,
    ],
  ];
  for (const [name, value, text] of cases) {
    it(`refuses ${name} = ${JSON.stringify(value)} at once`, () => {
      assert.throws(() => trtc.createClient(withField(name, value)), refusal(0x1000, text));
    });
  }

  it('accepts a userId in any script', () => {
    trtc.createClient(withField('userId', '用户2 😀'));
  });
});

describe('join()', () => {
  const call = 'when calling join()';
  const range = `'options.roomId' must be an integer between [1, 4294967294] when useStringRoomId is false.`;
  const words = `'options.roomId' must be validate string when useStringRoomId is true.`;
  const cases: [boolean, unknown, string][] = [
    [false, { roomId: 1.5 }, range],
    [false, { roomId: -1 }, range],
    [false, { roomId: 4294967295 }, range],
    [false, { roomId: '123' }, range],
    [false, { roomId: 0 }, `'options.roomId' cannot be '0' ${call}.`],
    [false, { roomId: NaN }, `'options.roomId' cannot be 'NaN' ${call}.`],
    [false, { roomId: '' }, `'options.roomId' cannot be '' ${call}.`],
    [false, {}, `'options.roomId' is a required param ${call}, received: undefined.`],
    [false, undefined, `'options' is a required param ${call}, received: undefined.`],
    [false, { roomId: null }, `'options.roomId' must be type of number|string ${call}, received type: null.`],
    [false, { roomId: 1, role: 'host' }, `'options.role' must be one of anchor|audience ${call}, received: host.`],
    [true, { roomId: 123 }, words],
    [true, { roomId: 'a/b' }, words],
    [true, { roomId: 'Ä' }, words],
    [true, { roomId: 'x'.repeat(65) }, words],
  ];
  for (const [useStringRoomId, options, text] of cases) {
    it(`refuses ${JSON.stringify(options)} with useStringRoomId ${String(useStringRoomId)}`, async () => {
      const { client, platform } = stage({ useStringRoomId });
      await assert.rejects(client.join(options as never), refusal(0x1000, text));
      assert.equal(platform.connections.length, 0);
    });
  }

  it('accepts the string rooms that TRTC accepts', async () => {
    const { client, platform } = stage({ useStringRoomId: true });
    await client.join({ roomId: 'a.b c>d' });
    assert.equal(platform.connection.sent[0]?.['room'], 'a.b c>d');
  });
});

describe('createStream()', () => {
  const trtc = createTrtc(new FakePlatform());

  it('accepts an empty configuration', () => {
    assert.equal(trtc.createStream({}).hasAudio(), false);
  });

  it('refuses a screen together with a camera, and its sound together with a microphone', () => {
    const both = { screen: true, video: true } as never;
    assert.throws(() => trtc.createStream(both), refusal(0x1000, 'screen/video cannot be both true.'));
    assert.throws(
      () => trtc.createStream({ screen: true, screenAudio: true, audio: true }),
      refusal(0x1000, 'audio/screenAudio cannot be both true.'),
    );
  });
});
