import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RtcError } from '../src/errors.js';
import { gatewayOfScript, signalAddress } from '../src/gateway-address.js';
import { createTrtc } from '../src/trtc.js';
import { FakePlatform } from './fake-gateway.js';
import { CONFIG, stage } from './joined.js';

describe('the address of a gateway', () => {
  const accepted: [string, string, string][] = [
    ['https:', 'wss://gw.example.org', 'wss://gw.example.org/v1/signal'],
    ['https:', 'https://gw.example.org:8443/', 'wss://gw.example.org:8443/v1/signal'],
    ['http:', 'http://10.0.0.2:8080', 'ws://10.0.0.2:8080/v1/signal'],
    ['http:', 'ws://gw/behind/a/proxy/?x=1#y', 'ws://gw/behind/a/proxy/v1/signal'],
    ['https:', 'ws://localhost:8080', 'ws://localhost:8080/v1/signal'],
    ['https:', 'http://127.0.0.1:8080', 'ws://127.0.0.1:8080/v1/signal'],
    ['https:', 'ws://[::1]:8080', 'ws://[::1]:8080/v1/signal'],
    ['https:', 'ws://app.localhost', 'ws://app.localhost/v1/signal'],
    ['file:', 'ws://gw', 'ws://gw/v1/signal'],
  ];
  for (const [page, address, expected] of accepted) {
    it(`${address} from a page of ${page} is ${expected}`, () => {
      assert.equal(signalAddress(address, page, 'setGateway()'), expected);
    });
  }

  const refused: [string, unknown, RegExp][] = [
    ['https:', 'ws://gw.example.org', /mixed content/],
    ['https:', 'http://10.0.0.2:8080', /mixed content/],
    ['https:', 'ws://127.0.0.1.example.org', /mixed content/],
    ['http:', 'gw.example.org', /is not a URL/],
    ['http:', 'ftp://gw', /must start with/],
    ['http:', '', /not empty/],
    ['http:', undefined, /not empty/],
    ['http:', 'ws://ann:secret@gw', /user name or a password/],
  ];
  for (const [page, address, text] of refused) {
    it(`${String(address)} from a page of ${page} is refused`, () => {
      const isRefusal = (error: unknown) =>
        error instanceof RtcError && error.getCode() === 0x1000 && text.test(error.message);
      assert.throws(() => signalAddress(address, page, 'setGateway()'), isRefusal);
    });
  }
});

describe('the gateway of the script', () => {
  it('is the origin that served the UMD build', () => {
    assert.equal(gatewayOfScript('https://gw.example.org/sdk/trtc.js?v=1'), 'https://gw.example.org');
  });

  it('is unknown where the library came in an application’s bundle, in a file, or without a script', () => {
    assert.equal(gatewayOfScript('https://app.example.org/assets/main.js'), undefined);
    assert.equal(gatewayOfScript('file:///home/ann/trtc.js'), undefined);
    assert.equal(gatewayOfScript(''), undefined);
    assert.equal(gatewayOfScript(undefined), undefined);
  });
});

describe('which gateway a client dials', () => {
  it('is none without an address: join rejects and nothing is dialled', async () => {
    const platform = new FakePlatform();
    const client = createTrtc(platform).createClient(CONFIG);
    await assert.rejects(client.join({ roomId: 1 }), /no gateway: .*setGateway.*setProxyServer/);
    assert.equal(platform.connections.length, 0);
  });

  it('is the page’s, unless the client has its own', async () => {
    const { client, trtc, platform } = stage();
    const other = trtc.createClient({ ...CONFIG, userId: 'bob' });
    other.setProxyServer({ websocketProxy: 'ws://proxy' });
    await client.join({ roomId: 1 });
    assert.equal(platform.connection.address, 'ws://gateway:8080/v1/signal');
    await other.join({ roomId: 1 });
    assert.equal(platform.connection.address, 'ws://proxy/v1/signal');
  });
});
