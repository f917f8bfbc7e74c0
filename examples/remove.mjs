// Make ann leave room 1: a command onto the bus, with an operator's key. Needs @nats-io/transport-node.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';

const { STAGEDOOR_NATS_URL: servers, STAGEDOOR_NATS_CA_FILE: caFile, STAGEDOOR_NATS_NKEY_FILE: seedFile } = process.env;
const authenticator = nkeyAuthenticator(new TextEncoder().encode(readFileSync(seedFile, 'utf8').trim()));
const bus = await connect({ servers, authenticator, tls: { caFile, handshakeFirst: true } });
const command = { id: randomUUID(), app: 1400000001, room: 1, users: ['ann'] };
const answer = await bus.request('stagedoor.v1.cmd._.1400000001.n1.remove', JSON.stringify(command), { timeout: 5000 });
console.log(answer.string());
await bus.close();
