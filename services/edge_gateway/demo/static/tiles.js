// The stage: one tile a stream, and the button for browsers that want a gesture before they sound.

const PLAY_NOT_ALLOWED = 0x4043;

const grid = document.getElementById('tiles');
const hear = document.getElementById('hear');
const tiles = new Map();
const unheard = new Set();

hear.addEventListener('click', () => {
  const streams = [...unheard];
  unheard.clear();
  showHear();
  for (const stream of streams) void started(stream, stream.resume());
});

export async function showTile(stream, who, options = {}) {
  removeTile(stream);
  const tile = document.createElement('figure');
  tile.className = 'tile';
  tile.dataset.user = who;
  tile.dataset.self = String(options.isSelf ?? false);
  const picture = document.createElement('div');
  picture.className = 'picture';
  const caption = document.createElement('figcaption');
  caption.append(text('who', options.isSelf ? `${who} (you)` : who), text('what', whatOf(stream)));
  tile.append(picture, caption);
  if (options.isSelf) grid.prepend(tile);
  else grid.append(tile);
  tiles.set(stream, tile);
  await started(stream, stream.play(picture));
}

export function removeTile(stream) {
  stream.stop();
  tiles.get(stream)?.remove();
  tiles.delete(stream);
  unheard.delete(stream);
  showHear();
}

export function clearTiles() {
  for (const stream of [...tiles.keys()]) removeTile(stream);
}

async function started(stream, playing) {
  try {
    await playing;
  } catch (error) {
    if (error.getCode?.() !== PLAY_NOT_ALLOWED) throw error;
    if (tiles.has(stream)) unheard.add(stream);
    showHear();
  }
}

function showHear() {
  hear.hidden = unheard.size === 0;
}

function whatOf(stream) {
  const parts = [stream.hasAudio() && 'sound', stream.hasVideo() && 'picture'].filter(Boolean);
  return parts.join(' and ') || 'nothing';
}

function text(className, words) {
  const element = document.createElement('span');
  element.className = className;
  element.textContent = words;
  return element;
}
