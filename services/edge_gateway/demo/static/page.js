// The demo: one client of the SDK, with everything that it hears written down.

import { log } from './log.js';
import { openSource } from './sources.js';
import { clearTiles, removeTile, showTile } from './tiles.js';

/* global TRTC */

const WHY = {
  kick: 'You are out of the room: the same user id joined it from somewhere else.',
  banned: 'You are out of the room: an administrator removed you.',
  'room-disband': 'You are out of the room: an administrator closed it for everybody.',
};
const LOST = 'You are out of the room: the connection to the gateway was lost.';

const STATES = {
  DISCONNECTED: 'not in a room',
  CONNECTING: 'connecting …',
  CONNECTED: 'in the room',
  RECONNECTING: 'connecting again …',
};

const byId = (id) => document.getElementById(id);
const form = byId('form');

/** The stay in a room that the page shows: its client, and what it sends. Null when there is none. */
let stay = null;

byId('user').value = `guest-${randomDigits()}`;
byId('mode').addEventListener('change', showRole);
byId('leave').addEventListener('click', () => void leave());
byId('banner-close').addEventListener('click', () => showBanner(''));
form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!stay) void join();
});
// A reloaded page gets its fields back from some browsers, but not what depends on them.
showRole();

async function join() {
  const wanted = readForm();
  const mine = { client: null, source: null };
  stay = mine;
  showBanner('');
  showNotice('');
  showControls();
  try {
    const { app, sig } = await fetchUserSig(wanted.user);
    if (stay !== mine) return;
    mine.client = createClient(mine, wanted, app, sig);
    await mine.client.join({ roomId: wanted.room, role: wanted.role });
    log('joined', String(wanted.room));
    if (wanted.role === 'anchor') await send(mine, wanted);
  } catch (error) {
    if (stay !== mine) return;
    fail(error);
    // Joined, but sending failed: the others can still be seen and heard.
    if (isOut()) end(mine);
  }
}

async function leave() {
  const mine = stay;
  if (!mine) return;
  end(mine);
  await mine.client?.leave();
  log('left');
}

/** The one way out of a stay: its devices are given back, whatever ended it. */
function end(mine) {
  mine.source?.close();
  mine.source = null;
  if (stay !== mine) return;
  stay = null;
  clearTiles();
  byId('people').replaceChildren();
  showNotice('');
  showControls();
}

async function send(mine, { user, useTest }) {
  const source = await openSource(user, { useTest, explain: explainTo(mine) });
  // Opening asks the user for permission: much may have happened until the answer.
  if (stay !== mine) {
    source.close();
    return;
  }
  mine.source = source;
  await showTile(source.stream, user, { isSelf: true });
  await mine.client.publish(source.stream);
  if (stay === mine) log('published', user);
}

function explainTo(mine) {
  return (words) => {
    if (stay !== mine) return;
    log('devices', words);
    showNotice(words);
  };
}

function createClient(mine, { mode, user, isString }, sdkAppId, userSig) {
  const client = TRTC.createClient({ mode, sdkAppId, userId: user, userSig, useStringRoomId: isString });
  client.on('connection-state-changed', ({ prevState, state }) => {
    log('connection-state-changed', `${prevState} to ${state}`);
    showState(state);
  });
  client.on('peer-join', ({ userId }) => {
    log('peer-join', userId);
    addPerson(userId);
  });
  client.on('peer-leave', ({ userId }) => {
    log('peer-leave', userId);
    removePerson(userId);
  });
  client.on('stream-added', ({ stream }) => {
    log('stream-added', stream.getUserId());
    client.subscribe(stream).catch((error) => log('subscribe-failed', wordsOf(error)));
  });
  client.on('stream-subscribed', ({ stream }) => {
    log('stream-subscribed', stream.getUserId());
    showTile(stream, stream.getUserId()).catch((error) => log('play-failed', wordsOf(error)));
  });
  client.on('stream-removed', ({ stream }) => {
    log('stream-removed', stream.getUserId());
    removeTile(stream);
  });
  client.on('client-banned', (error) => {
    console.error('client-banned observed: ' + error.message);
    log('client-banned', error.message);
    endWith(mine, WHY[error.reason] ?? error.message);
  });
  client.on('error', (error) => {
    log('error', wordsOf(error));
    if (isOut()) endWith(mine, LOST);
    else showNotice(wordsOf(error));
  });
  return client;
}

function endWith(mine, words) {
  end(mine);
  showBanner(words);
}

async function fetchUserSig(user) {
  const response = await fetch('/dev/usersig', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ user }),
  });
  if (!response.ok) throw new Error(`the gateway signs no user id here (HTTP ${response.status})`);
  return response.json();
}

function readForm() {
  const isString = byId('kind-string').checked;
  const mode = byId('mode').value;
  const room = byId('room').value;
  return {
    user: byId('user').value,
    isString,
    // What is no number goes on as it is: the SDK says best what a room may be.
    room: isString || !/^\d+$/.test(room.trim()) ? room : Number(room),
    mode,
    role: mode === 'rtc' ? 'anchor' : byId('role').value,
    useTest: byId('use-test').checked,
  };
}

function fail(error) {
  const words = wordsOf(error);
  log('failed', words);
  showBanner(words);
}

/** An SDK error's message without its tail for developers. */
function wordsOf(error) {
  return String(error?.message ?? error).split(' \nRefer to: ')[0];
}

function showControls() {
  const isBusy = stay !== null;
  for (const field of form.elements) field.disabled = isBusy;
  byId('leave').disabled = !isBusy;
  if (!isBusy) showRole();
}

function showRole() {
  const isLive = byId('mode').value === 'live';
  byId('role').disabled = !isLive;
  if (!isLive) byId('role').value = 'anchor';
  byId('role-hint').textContent = isLive
    ? 'An anchor sends and receives, the audience receives.'
    : 'In mode rtc everybody is an anchor: sends and receives.';
}

function isOut() {
  return byId('state').dataset.state === 'DISCONNECTED';
}

function showState(state) {
  byId('state').dataset.state = state;
  byId('state').textContent = STATES[state] ?? state;
}

function showBanner(words) {
  byId('banner-text').textContent = words;
  byId('banner').hidden = words === '';
}

function showNotice(words) {
  byId('notice').textContent = words;
  byId('notice').hidden = words === '';
}

function addPerson(userId) {
  removePerson(userId);
  const person = document.createElement('li');
  person.dataset.user = userId;
  person.textContent = userId;
  byId('people').append(person);
}

function removePerson(userId) {
  for (const person of [...byId('people').children]) if (person.dataset.user === userId) person.remove();
}

function randomDigits() {
  return String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000).padStart(6, '0');
}
