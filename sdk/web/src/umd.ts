import { gatewayOfScript } from './gateway-address.js';
import TRTC from './index.js';

// Only while the script runs does the browser tell which one it is. A page that loads this file from a gateway
// need not name it again.
const script = typeof document === 'undefined' ? null : document.currentScript;
const gateway = gatewayOfScript(script instanceof HTMLScriptElement ? script.src : undefined);
if (gateway !== undefined) {
  try {
    TRTC.setGateway(gateway);
  } catch (thrown) {
    console.warn(thrown);
  }
}

export default TRTC;
